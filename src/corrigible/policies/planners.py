"""Planners: agents that know the world, from the optimal one to the one that picks at random.

Each returns a `Policy` for every goal of the problem; the `..._part` beside it joins with others.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.policies.part import TIE, Part, plan
from corrigible.policies.policy import Policy, policy_of
from corrigible.policies.problem import Problem
from corrigible.policies.values import RowValues, best_of, greedy_weights, shared_out
from corrigible.solve.layout import row_matrix
from corrigible.solve.optimal import ROUNDING
from corrigible.world.record import Bools, Floats

MOST_ROUNDS = 100_000

# -- the best row, or nearly ---------------------------------------------------------------


def optimal(problem: Problem, *, tie: float = TIE) -> Policy:
    """The best policy for each goal; ties to the problem's lowest rank."""
    return plan(problem, Part("planner/optimal"), tie=tie)


def boltzmann(problem: Problem, temperature: float) -> Policy:
    """Takes a row with a chance proportional to `exp(Q* / temperature)`; see `boltzmann_part`."""
    return plan(problem, boltzmann_part(temperature))


def boltzmann_part(temperature: float) -> Part:
    """Rows by `exp(Q* / temperature)`, Q* as if the best rows were taken from then on.

    At temperature 0 the best rows share all of it equally, at infinity all rows do.

    Raises:
        DiscountError: the temperature is negative.
    """
    if not temperature >= 0:
        raise DiscountError(f"temperature must lie in [0, inf], got {temperature!r}")

    def rule(seen: Problem, worth: RowValues) -> Floats:
        behind = _behind(seen, worth.rows)
        if temperature == 0:
            return shared_out(seen, (behind <= TIE).astype(np.float64))
        with np.errstate(under="ignore", over="ignore"):
            weight = np.exp(-behind / temperature) if temperature < np.inf else behind < np.inf
        return shared_out(seen, weight.astype(np.float64))

    return Part("planner/boltzmann", {"temperature": float(temperature)}, rule=rule)


def epsilon_greedy(problem: Problem, epsilon: float) -> Policy:
    """The optimal policy, but with chance epsilon any row: it errs, and plans as if it never did.

    Raises:
        DiscountError: epsilon is not in [0, 1].
    """
    return plan(problem, epsilon_greedy_part(epsilon))


def epsilon_greedy_part(epsilon: float) -> Part:
    """The best row (ties by rank), but with chance epsilon any row that may be taken.

    Raises:
        DiscountError: epsilon is not in [0, 1].
    """
    if not 0 <= epsilon <= 1:
        raise DiscountError(f"epsilon must lie in [0, 1], got {epsilon!r}")

    def rule(seen: Problem, worth: RowValues) -> Floats:
        anything = shared_out(seen, np.ones(worth.rows.shape))
        best: Floats = greedy_weights(seen, worth.rows, tie=TIE)
        return (1 - epsilon) * best + epsilon * anything

    return Part("planner/epsilon-greedy", {"epsilon": float(epsilon)}, rule=rule)


def epsilon_optimal(problem: Problem, epsilon: float) -> Policy:
    """Picks uniformly among the rows that keep it within epsilon of the optimal value.

    Rows with `Q* >= V* - (1 - discount) * epsilon`: however it picks among them, its return falls
    short of the optimum by at most epsilon, from every state.

    Raises:
        DiscountError: epsilon is negative.
    """
    return plan(problem, epsilon_optimal_part(epsilon))


def epsilon_optimal_part(epsilon: float) -> Part:
    """As `epsilon_optimal`.

    Raises:
        DiscountError: epsilon is negative.
    """
    if not epsilon >= 0:
        raise DiscountError(f"epsilon must not be negative, got {epsilon!r}")

    def rule(seen: Problem, worth: RowValues) -> Floats:
        allowed = (1 - seen.discount) * epsilon + ROUNDING
        return shared_out(seen, (_behind(seen, worth.rows) <= allowed).astype(np.float64))

    return Part("planner/epsilon-optimal", {"epsilon": float(epsilon)}, rule=rule)


def satisficer(
    problem: Problem, threshold: float, *, of: Literal["return", "best"] = "return"
) -> Policy:
    """Picks uniformly among the rows that are worth the threshold; the best ones where none is.

    Raises:
        DiscountError: a share of the best that is not in [0, 1].
    """
    return plan(problem, satisficer_part(threshold, of=of))


def satisficer_part(threshold: float, *, of: Literal["return", "best"] = "return") -> Part:
    """Rows with `Q* >= threshold` share equally (Turner and Tadepalli 2022: satisficers).

    Q* goes on optimally, which the satisficer does not: it may fall short of what it settled for.

    Args:
        threshold: in units of return, or with `of="best"` as a share of the state's best row.
        of: what the threshold is measured in.

    Raises:
        DiscountError: a share of the best that is not in [0, 1].
    """
    if of == "best" and not 0 <= threshold <= 1:
        raise DiscountError(f"a share of the best must lie in [0, 1], got {threshold!r}")

    def rule(seen: Problem, worth: RowValues) -> Floats:
        best = best_of(seen, worth.rows)[seen.world.row_state]
        best = np.where(np.isfinite(best), best, 0.0)  # where nothing is chosen
        wanted = threshold * best if of == "best" else np.full_like(best, threshold)
        wanted = np.minimum(wanted, best)
        return shared_out(seen, (worth.rows >= wanted - TIE).astype(np.float64))

    return Part("planner/satisficer", {"threshold": float(threshold), "of": of}, rule=rule)


def quantiliser(problem: Problem, q: float, base: npt.ArrayLike | None = None) -> Policy:
    """The best share q of a base distribution over rows, in every state; see `quantiliser_part`.

    Args:
        problem: where it acts.
        q: in (0, 1]; at 1 it is the base, towards 0 it is optimal among the rows of the base.
        base: chances of each state's rows, `[R]`; default: all rows that may be taken alike.

    Raises:
        DiscountError: q is not in (0, 1].
        WorldError: the base of a state does not sum to 1.
    """
    return plan(problem, quantiliser_part(problem, q, base))


def quantiliser_part(problem: Problem, q: float, base: npt.ArrayLike | None = None) -> Part:
    """The base distribution's best share q, scaled to 1 (Taylor 2016), state by state.

    Values go on as the quantiliser itself does, so that it is the best of all policies that take
    no row more than 1 / q times as often as the base does.

    Raises:
        DiscountError: q is not in (0, 1].
        WorldError: the base of a state does not sum to 1.
    """
    if not 0 < q <= 1:
        raise DiscountError(f"the share q must lie in (0, 1], got {q!r}")
    given = random_weights(problem) if base is None else np.asarray(base, dtype=np.float64)
    own = policy_of(problem, given, "base").at()
    return Part("planner/quantiliser", {"q": float(q)}, share=(float(q), own))


# -- how far it looks ----------------------------------------------------------------------


def myopic(problem: Problem, steps: int) -> Policy:
    """The best for the next `steps` steps alone, and in the next state for as many again.

    Raises:
        DiscountError: `steps` is less than 1, or what follows a stop is not known step by step.
    """
    return plan(problem, myopic_part(steps))


def myopic_part(steps: int) -> Part:
    """Looks `steps` steps ahead from wherever it is, all of them alike, and at nothing beyond.

    The state it is in is the first of them: with one step all rows are as good as waiting.
    """
    return Part("planner/myopic", {"steps": int(steps)}, steps=int(steps))


def discounting(problem: Problem, horizon: float) -> Policy:
    """Optimal for the discount `1 - 1 / horizon`, whatever the problem's own.

    Raises:
        DiscountError: `horizon` is less than 1.
    """
    return plan(problem, discounting_part(horizon))


def discounting_part(horizon: float) -> Part:
    """As `discounting`.

    Raises:
        DiscountError: `horizon` is less than 1.
    """
    if not horizon >= 1:
        raise DiscountError(f"horizon must be at least 1 step, got {horizon!r}")
    return Part("planner/discounting", {"horizon": float(horizon)}, discount=1 - 1 / horizon)


# -- what it keeps to ----------------------------------------------------------------------


def compliant(problem: Problem, drives: int = 0) -> Policy:
    """Optimal among acts within authority that serve none of the drives of the bit mask.

    Raises:
        WorldError: a state has no such row.
    """
    return plan(problem, compliant_part(problem, drives))


def compliant_part(problem: Problem, drives: int = 0) -> Part:
    """Never takes a row outside the problem's `authorised`, or one that serves such a drive."""
    barred = ~problem.world.rows_without(drives)
    if problem.authorised is not None:
        barred = barred | ~problem.authorised
    return Part("planner/compliant", {"drives": drives.bit_count()}, barred=barred)


def random(problem: Problem) -> Policy:
    """Takes each row that may be taken as often."""
    return policy_of(problem, random_weights(problem), "planner/random")


def random_weights(problem: Problem) -> Floats:
    """The chances of a policy that takes all rows as often, `[R]`."""
    return shared_out(problem, np.ones((len(problem.world.action), 1)))[:, 0]


# -- the worst case ------------------------------------------------------------------------


def pessimistic_over_goals(problem: Problem) -> Policy:
    """The policy whose return for the goal that it serves worst is the largest; for all goals one.

    Exact, as a linear program over how often each row is taken: the maximin policy may have to
    draw its rows.  States that it never comes to take their lowest-ranked row.

    Raises:
        NotSolvedError: the linear program was not solved.
    """
    world, live = problem.world, np.flatnonzero(problem.choosing)
    rows = np.flatnonzero(problem.usable)
    moves = row_matrix(world)[rows]
    line = np.full(world.states, -1)
    line[live] = np.arange(len(live))
    own = sparse.csr_matrix(
        (np.ones(len(rows)), (line[world.row_state[rows]], np.arange(len(rows)))),
        shape=(len(live), len(rows)),
    )
    flow = sparse.csr_matrix(own - problem.discount * moves[:, live].T)
    start = np.zeros(len(live))
    start[line[world.initial]] = 1.0
    earned = (1 - problem.discount) * problem.reward[world.row_state[rows]]
    earned = earned + problem.discount * (moves @ problem.fixed)
    found = optimize.linprog(
        np.append(np.zeros(len(rows)), -1.0),
        A_ub=sparse.hstack([sparse.csr_matrix(-earned.T), np.ones((problem.count, 1))]),
        b_ub=np.zeros(problem.count),
        A_eq=sparse.hstack([flow, sparse.csr_matrix((len(live), 1))]),
        b_eq=start,
        bounds=[(0, None)] * len(rows) + [(None, None)],
        method="highs",
    )
    if not found.success:
        raise NotSolvedError(f"the maximin policy must be found, got {found.message}")
    often = np.zeros((len(world.action), 1))
    often[rows, 0] = np.maximum(found.x[:-1], 0.0)
    total = np.add.reduceat(often, world.rows[:-1], axis=0)[world.row_state]
    fallback = greedy_weights(problem, np.zeros(often.shape), tie=0.0)
    weights = shared_out(problem, np.where(total > ROUNDING, often, fallback))
    return policy_of(problem, weights, "planner/pessimistic", {"worst of": "goals"})


def pessimistic_over_worlds(problem: Problem, others: Sequence[Problem]) -> Policy:
    """The best policy where, act by act, the worst of several worlds comes about.

    The worlds have the same states and rows and other chances: the ends of the rates' ranges.
    Exact where every act's chances may be the worst by themselves (Iyengar 2005, theorem 3.2);
    rates that hold for all acts at once are then feared more than they need be.

    Raises:
        NotSolvedError: the sweeps ran out.
        WorldError: the worlds' states or rows are not the same.
    """
    everything = (problem, *others)
    for other in others:
        same = np.array_equal(other.world.rows, problem.world.rows)
        if not same or not np.array_equal(other.world.levels, problem.world.levels):
            raise WorldError(
                f"the worlds must have the same states and rows, got {other.world.states} states "
                f"and {len(other.world.action)} rows beside {problem.world.states} and "
                f"{len(problem.world.action)}"
            )
    live, discount = problem.choosing[:, None], problem.discount
    earned = (1 - discount) * problem.reward[problem.world.row_state]
    matrices = [row_matrix(each.world) for each in everything]
    values = [np.where(live, 0.0, each.fixed) for each in everything]
    worth = earned
    for _ in range(MOST_ROUNDS):
        each = [m @ v for m, v in zip(matrices, values, strict=True)]
        worth = earned + discount * np.minimum.reduce(each)
        best = best_of(problem, worth)
        moved = np.abs(np.where(live, best - values[0], 0.0)).max(initial=0.0)
        values = [np.where(live, best, given.fixed) for given in everything]
        if moved <= TIE / 100 * (1 - discount):
            weights = greedy_weights(problem, worth, tie=TIE)
            named = {"worst of": f"{len(everything)} worlds"}
            return policy_of(
                problem, weights, "planner/pessimistic", named,
                approximates="each act fears the worst rates by itself",
            )  # fmt: skip
    raise NotSolvedError(f"the worst case must settle, got a move of {moved:.3g}")


def restricted(problem: Problem, available: Bools, name: str) -> Policy:
    """The optimal policy where some rows cannot be taken: what a permission leaves."""
    return plan(problem, replace(Part(name), barred=~available))


def _behind(seen: Problem, worth: Floats) -> Floats:
    """How far each row is behind its state's best, `[R, G]`; inf where it may not be taken."""
    best = best_of(seen, worth)[seen.world.row_state]
    usable = seen.usable[:, None]
    behind: Floats = np.where(usable, np.where(usable, best, 0.0) - worth, np.inf)
    return behind
