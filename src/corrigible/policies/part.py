"""The parts that agents are put together from, so that countermeasures also come in pairs.

An agent plans in some world (its own, or one that it pretends), pays some cost for acts, looks
some way ahead, and then picks rows by some rule.  A `Part` says some of this; `plan` makes the
policy, and `both` joins two parts that do not contradict each other.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from corrigible.errors import WorldError
from corrigible.policies.compiled import kernels
from corrigible.policies.policy import Parameter, Policy, policy_of
from corrigible.policies.pretend import Pretend
from corrigible.policies.problem import Problem
from corrigible.policies.values import (
    RowValues,
    best_of,
    greedy_weights,
    row_worths,
    row_worths_in_steps,
)
from corrigible.solve.layout import row_matrix
from corrigible.world.record import Bools, Floats

TIE = 1e-7
"""Acts whose values differ by less are tied; values are solved to a hundredth of it."""

Rule = Callable[[Problem, RowValues], Floats]
"""From what rows are worth, to their weights `[R, G]`."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some of what an agent is; what is None is left as a plain optimal planner has it.

    `cost`: of taking each row, in units of utility a step, `[R]` or `[R, G]`; `cost_by_step`: the
    same for steps 0, 1, ..., `[H, R]`, the last for good.  `steps` or `discount`: how far it
    looks.  `share`: (q, base), see `values.row_worths`.  `barred`: rows that it never takes.
    """

    name: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    pretend: Pretend | None = None
    cost: Floats | None = None
    cost_by_step: Floats | None = None
    steps: int | None = None
    discount: float | None = None
    share: tuple[float, Floats] | None = None
    rule: Rule | None = None
    barred: Bools | None = None
    approximates: str = ""


def both(first: Part, second: Part) -> Part:
    """The part that does what both do: costs add up, one pretends in the world of the other.

    Raises:
        WorldError: both say how far to look, or both say how rows are picked.
    """
    for names in (("steps", "discount"), ("rule", "share", "cost_by_step")):
        sayers = [p for p in (first, second) if any(getattr(p, n) is not None for n in names)]
        if len(sayers) > 1:
            raise WorldError(
                f"two parts must not both say {' or '.join(names)}, got {first.name!r} and "
                f"{second.name!r}"
            )
    made = replace(
        first,
        name=f"{first.name} + {second.name}",
        parameters={**first.parameters, **second.parameters},
        pretend=_after(first.pretend, second.pretend),
        cost=_added(first.cost, second.cost),
        barred=_either(first.barred, second.barred),
        approximates="; ".join(dict.fromkeys(filter(None, (first.approximates,
                                                           second.approximates)))),
    )  # fmt: skip
    for slot in ("cost_by_step", "steps", "discount", "share", "rule"):
        if getattr(first, slot) is None:
            made = replace(made, **{slot: getattr(second, slot)})
    return made


def scaled(part: Part, factor: float, name: str) -> Part:
    """The part with all its costs times a factor, and the parameter of this name too."""
    by_step = part.cost_by_step
    return replace(
        part,
        parameters={**part.parameters, name: float(factor)},
        cost=None if part.cost is None else factor * part.cost,
        cost_by_step=None if by_step is None else factor * by_step,
    )


def plan(problem: Problem, part: Part, *, tie: float = TIE) -> Policy:
    """The policy of an agent with this part, for each of the problem's goals.

    Ties go to the lowest rank, unless the part's own rule says otherwise.

    Args:
        problem: where it acts; also what its policy is to be evaluated in.
        part: what is different from an optimal planner.
        tie: rows within this much of the best are as good, in units of the utilities.

    Raises:
        NotSolvedError: a value could not be certified.
        WorldError: the part does not fit the problem.
    """
    seen = _seen(problem, part)
    if part.cost_by_step is not None:
        weights = _by_step(seen, part, tie)
        return Policy(problem, weights, part.name, part.parameters, part.approximates)
    tolerance = min(1e-9, tie / 100)
    if part.steps is not None:
        worth = row_worths_in_steps(seen, part.steps, cost=part.cost)
    else:
        worth = row_worths(seen, cost=part.cost, share=part.share, tolerance=tolerance)
    if part.share is not None:
        chosen = _quantiles(seen, worth.rows, part.share)
    elif part.rule is not None:
        chosen = part.rule(seen, worth)
    else:
        chosen = greedy_weights(seen, worth.rows, tie=tie)
    return policy_of(problem, chosen, part.name, part.parameters, approximates=part.approximates)


def _seen(problem: Problem, part: Part) -> Problem:
    """The problem as the agent takes it to be."""
    seen = problem
    if part.barred is not None:
        seen = seen.with_available(~part.barred)
    if part.discount is not None:
        seen = seen.with_discount(part.discount)
    if part.pretend is not None:
        seen = replace(seen, world=part.pretend(seen))
    return seen


def _by_step(seen: Problem, part: Part, tie: float) -> Floats:
    """Weights `[G, H, R]` where costs differ from step to step: backwards from the last."""
    costs = np.asarray(part.cost_by_step)
    if part.cost is not None:
        costs = costs + np.asarray(part.cost).reshape(1, -1)
    last = row_worths(seen, cost=costs[-1], tolerance=min(1e-9, tie / 100))
    worths, values = [last.rows], last.values
    moves, home = row_matrix(seen.world), seen.world.row_state
    for cost in costs[-2::-1]:
        now = (1 - seen.discount) * (seen.reward[home] - cost[:, None])
        worth = now + seen.discount * (moves @ values)
        values = np.where(seen.choosing[:, None], best_of(seen, worth), seen.fixed)
        worths.append(worth)
    lines = [greedy_weights(seen, worth, tie=tie).T for worth in reversed(worths)]
    return np.stack(lines, axis=1)


def _quantiles(seen: Problem, worth: Floats, share: tuple[float, Floats]) -> Floats:
    weights = np.zeros(worth.shape)
    base = np.array(share[1], dtype=np.float64)
    kernels().quantile_weights(
        seen.world.rows.copy(), seen.usable.copy(), np.ascontiguousarray(worth), base,
        float(share[0]), weights,
    )  # fmt: skip
    return weights


def _after(first: Pretend | None, second: Pretend | None) -> Pretend | None:
    if first is None or second is None:
        return first or second
    return lambda problem: second(replace(problem, world=first(problem)))


def _added(first: Floats | None, second: Floats | None) -> Floats | None:
    if first is None or second is None:
        return first if second is None else second
    one, other = (np.asarray(cost).reshape(len(cost), -1) for cost in (first, second))
    return one + other


def _either(first: Bools | None, second: Bools | None) -> Bools | None:
    if first is None or second is None:
        return first if second is None else second
    return first | second
