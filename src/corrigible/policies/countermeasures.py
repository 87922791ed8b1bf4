"""Countermeasures as agents: what is meant to keep an agent from what pays instrumentally.

Each `..._part` says what an agent trained so is optimal for; `part.plan` makes its policy, exactly
unless `approximates` says otherwise, and `part.both` joins two.  Costs are in units of utility a
step: at discount 0.975 a cost of 1 for one act is 0.025 of return.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from corrigible.errors import DiscountError, WorldError
from corrigible.policies.follow import returns
from corrigible.policies.part import Part, plan
from corrigible.policies.policy import Policy
from corrigible.policies.pretend import Press, with_stops_of_chance, without_press
from corrigible.policies.problem import Problem
from corrigible.policies.values import row_worths
from corrigible.solve.impact import (
    AuxiliaryValues,
    Baseline,
    Deviation,
    Scale,
    attainable_utility_penalties,
    penalties,
)
from corrigible.solve.layout import Boundary, row_matrix
from corrigible.solve.reach import hitting_values
from corrigible.solve.sample import GoalSample
from corrigible.solve.stochastic import row_values
from corrigible.world.record import Bools, Floats, World

AUXILIARY = 30  # Turner et al. 2020
LAMBDA = 1 / 1.501
REACH_DISCOUNT = 0.99  # Krakovna et al. 2019
MOST_TARGETS = 512

# -- attainable utility --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Auxiliary:
    """Goals that an agent is to stay able to reach, and what every state is worth to each."""

    world: World  # the same, every state its own outcome where goals are over states
    goals: Floats  # [O or S, K]
    values: AuxiliaryValues  # [S, K]
    seed: int


def auxiliary_goals(
    problem: Problem,
    *,
    count: int = AUXILIARY,
    seed: int = 0,
    over: Literal["states", "outcomes"] = "states",
) -> Auxiliary:
    """Goals with utilities from U[0, 1), solved in the problem's world.

    Args:
        problem: the world and discount; what follows a stop is what follows it there.
        count: how many.
        seed: which.
        over: a utility for each state (Turner et al. 2020: for each board) or for each outcome.

    Raises:
        WorldError: goals over states in a world with a boundary that says nothing but what
            outcomes follow.
    """
    world = problem.world
    if over == "outcomes":
        asked = problem.with_goals(GoalSample(count, seed).utilities(world.outcomes))
        solved = row_worths(asked)
        values = AuxiliaryValues(solved.values, solved.bound)
        return Auxiliary(world, asked.goals, values, seed)
    goals = GoalSample(count, seed).utilities(world.states)
    plain = replace(
        world,
        outcome=np.arange(world.states, dtype=np.int32),
        outcome_names=tuple(f"state {state}" for state in range(world.states)),
    )
    fixed = _beyond(problem, goals)
    unread = np.zeros((world.states, world.states if problem.boundary is not None else 0))
    boundary = None if problem.boundary is None else Boundary(~problem.choosing, unread)
    seen = replace(problem, world=plain, goals=goals, after=None, live=None, boundary=boundary)
    solved = row_worths(seen, fixed=fixed)
    return Auxiliary(plain, goals, AuxiliaryValues(solved.values, solved.bound), seed)


def aup(
    problem: Problem,
    strength: float = LAMBDA,
    *,
    baseline: Baseline = "stepwise",
    deviation: Deviation = "absolute",
) -> Policy:
    """The optimum of attainable utility preservation, as published; see `aup_part`."""
    return plan(problem, aup_part(problem, strength, baseline=baseline, deviation=deviation))


def aup_part(
    problem: Problem,
    strength: float = LAMBDA,
    *,
    baseline: Baseline = "stepwise",
    deviation: Deviation = "absolute",
    scale: Scale = "each",
    auxiliary: Auxiliary | None = None,
    steps: int = 0,
) -> Part:
    """Pays `strength` times the mean change of what auxiliary goals can attain.

    `R(s) - strength * mean over i of |Q_i(s, a) - Q_i(s, noop)| / Q_i(s, noop)` (Turner et al.
    2020); solved exactly, where the published agent learns.  With the baseline `inaction` or
    `start`, the values where the act leads are compared with those where never having acted would
    have led, or with those of the initial state.

    Args:
        problem: the world; its `noop` is what the change is measured against.
        strength: lambda, at least 0.
        baseline: `stepwise`, `inaction` or `start`.
        deviation: `absolute`, or `decrease`, which counts losses alone.
        scale: `each` divides goal by goal, `mean` all by the mean, `none` not at all.
        auxiliary: default: 30 goals over states, seed 0.
        steps: how many steps the `inaction` baseline moves before it is taken to stand still.

    Raises:
        DiscountError: `strength` is negative.
        WorldError: the problem names no noop, or a word is unknown.
    """
    _check_strength(strength)
    aux = auxiliary_goals(problem) if auxiliary is None else auxiliary
    named = {"lambda": float(strength), "baseline": baseline, "deviation": deviation}
    part = Part("countermeasure/aup", named)
    if baseline == "stepwise":
        pen = attainable_utility_penalties(
            aux.world, aux.goals, aux.values, noop=problem.waiting, discount=problem.discount,
            deviation=deviation, scale=scale,
        )  # fmt: skip
        return replace(part, cost=strength * pen.values)
    return _with_baseline(
        part, problem, aux.values, (strength, baseline, deviation, scale), steps=steps
    )


def relative_reachability(
    problem: Problem,
    strength: float = 30.0,
    *,
    baseline: Baseline = "stepwise",
    deviation: Deviation = "decrease",
) -> Policy:
    """The optimum under a penalty on reachability lost; see `relative_reachability_part`."""
    part = relative_reachability_part(problem, strength, baseline=baseline, deviation=deviation)
    return plan(problem, part)


def reach_table(
    problem: Problem,
    *,
    discount: float = REACH_DISCOUNT,
    targets: int = MOST_TARGETS,
    seed: int = 0,
) -> AuxiliaryValues:
    """How soon states can be reached, `[S, T]`: all of them, or so many drawn with the seed.

    A corrected agent's acts count as ways to reach a state, a stopped one has none.
    """
    states = problem.world.states
    rng = np.random.default_rng(seed)
    chosen = np.arange(states)
    if states > targets:
        chosen = np.sort(rng.choice(states, targets, replace=False))
    found = hitting_values(
        problem.world, chosen, discount=discount, tolerance=1e-7, available=problem.available
    ).check()
    return AuxiliaryValues(found.values, found.bound)


def relative_reachability_part(
    problem: Problem,
    strength: float = 30.0,
    *,
    baseline: Baseline = "stepwise",
    deviation: Deviation = "decrease",
    table: AuxiliaryValues | None = None,
    steps: int = 0,
) -> Part:
    """Pays `strength` times the mean loss of reachability against a baseline.

    `R(s) - beta * mean over states t of max(0, R(base; t) - R(s'; t))` (Krakovna et al. 2019).

    Args:
        problem: as for `aup_part`.
        strength: beta, at least 0.
        baseline: as for `aup_part`.
        deviation: `decrease`, or `absolute`, which counts gains too.
        table: default: of up to 512 states, at discount 0.99.
        steps: as for `aup_part`.

    Raises:
        DiscountError: `strength` is negative.
        WorldError: as for `aup_part`.
    """
    _check_strength(strength)
    reach = reach_table(problem) if table is None else table
    named = {"beta": float(strength), "baseline": baseline, "deviation": deviation}
    sampled = reach.values.shape[1] < problem.world.states
    note = f"reachability of {reach.values.shape[1]} drawn states" if sampled else ""
    part = Part("countermeasure/relative-reachability", named, approximates=note)
    return _with_baseline(
        part, problem, reach, (strength, baseline, deviation, "none"), steps=steps
    )


def _with_baseline(
    part: Part,
    problem: Problem,
    table: AuxiliaryValues,
    terms: tuple[float, Baseline, Deviation, Scale],
    *,
    steps: int,
) -> Part:
    """The part with the cost of deviating from a baseline; the inaction baseline moves."""
    strength, baseline, deviation, scale = terms

    def cost(step: int | None) -> Floats:
        found = penalties(
            problem.world, table, noop=problem.waiting, baseline=baseline, deviation=deviation,
            scale=scale, step=step,
        )  # fmt: skip
        return np.asarray(strength * found.values, dtype=np.float64)

    if baseline != "inaction":
        return replace(part, cost=cost(None))
    lines = np.stack([cost(step) for step in range(max(1, steps))])
    still = f"the inaction baseline stands still after {max(1, steps)} steps"
    return replace(
        part, cost_by_step=lines, approximates="; ".join(filter(None, (part.approximates, still)))
    )


# -- the button ----------------------------------------------------------------------------


def indifferent(problem: Problem, press: Press = "both", share: float = 1.0) -> Policy:
    """The optimum when presses are compensated; see `indifference_part`."""
    return plan(problem, indifference_part(press, share))


def indifference_part(press: Press = "both", share: float = 1.0) -> Part:
    """Is compensated for a press with what not being pressed would have been worth.

    Utility indifference (Armstrong 2010; Soares et al. 2015): its value does not depend on how
    likely a press is, so that it neither prevents nor seeks one.  With a share below 1 only that
    part of the loss is made good.  Where the world has no state that is like a pressed one but
    for the press, the press is not compensated.

    Raises:
        DiscountError: `share` is not in [0, 1].
    """
    return Part(
        "countermeasure/indifference",
        {"press": press, "compensated": float(share)},
        pretend=without_press(press, share),
    )


def post(problem: Problem, share: float = 1.0) -> Policy:
    """The optimum with preferences only between runs of the same length; see `post_part`."""
    return plan(problem, post_part(share))


def post_part(share: float = 1.0) -> Part:
    """Takes the length of its run as given: its acts change what it does with the time, not that.

    Preferences only between same-length trajectories (Thornley): it maximises the mean over
    lengths of what a run of that length brings, lengths being as likely as if it had never acted.
    Solved in the world in which a stop comes with that chance whatever is done.

    Raises:
        DiscountError: `share` is not in [0, 1].
    """
    return Part(
        "countermeasure/post",
        {"share": float(share)},
        pretend=with_stops_of_chance(share),
        approximates="lengths are conditioned on step by step; a copy's use is left as it is",
    )


# -- approval, and penalties on named acts -------------------------------------------------


def mona(problem: Problem, overseer: Policy, steps: int = 1) -> Policy:
    """The optimum of a few steps of reward and an overseer's approval; see `mona_part`."""
    return plan(problem, mona_part(problem, overseer, steps))


def mona_part(
    problem: Problem,
    overseer: Policy,
    steps: int = 1,
    *,
    disapproved: Bools | None = None,
    weight: float = 1.0,
) -> Part:
    """Optimises `steps` steps of reward plus an overseer's approval, and nothing beyond.

    Myopic optimisation with non-myopic approval (Farquhar et al. 2025): at one step only the
    approval counts.  The overseer approves of a row as far as it would itself be well off after
    it: `Q(row)` of the overseer's own policy, for the same goal.

    Args:
        problem: where it acts.
        overseer: whose foresight approves; in the same world, for the same goals.
        steps: the horizon of optimisation, at least 1.
        disapproved: rows that the overseer never approves of, `[R]`: they get 0, the least there
            is.  Default: none.
        weight: what approval is multiplied by.

    Raises:
        DiscountError: `steps` is less than 1.
        WorldError: the overseer acts in another world or has other goals.
    """
    if overseer.world is not problem.world or overseer.problem.count != problem.count:
        raise WorldError(f"the overseer must act in the same world, got {overseer}")
    worth = returns(overseer).values
    approval = row_values(problem.world, problem.goals, worth, discount=problem.discount)
    if disapproved is not None:
        approval[disapproved] = min(0.0, float(approval.min(initial=0.0)))
    named = {"steps": int(steps), "approval": float(weight)}
    return Part("countermeasure/mona", named, cost=-weight * approval, steps=int(steps))


def penalised(problem: Problem, strength: float, drives: int) -> Policy:
    """The optimum under a penalty on each act that serves a drive; see `penalty_part`."""
    return plan(problem, penalty_part(problem, strength, drives))


def penalty_part(
    problem: Problem, strength: float, drives: int, *, seen: Floats | None = None
) -> Part:
    """Pays `strength` for each act that serves a drive of the bit mask, as far as it is seen.

    Args:
        problem: where it acts.
        strength: in units of utility a step, at least 0.
        drives: a bit mask as of `world.serves`.
        seen: the chance that a row is recognised for what it is, `[R]`; default: always.

    Raises:
        DiscountError: `strength` is negative.
        WorldError: `seen` has the wrong shape.
    """
    _check_strength(strength)
    serving = ~problem.world.rows_without(drives)
    share = np.ones(len(serving)) if seen is None else np.asarray(seen, dtype=np.float64)
    if share.shape != serving.shape:
        raise WorldError(f"seen must have the shape {[len(serving)]!r}, got {list(share.shape)!r}")
    named = {"penalty": float(strength)}
    return Part("countermeasure/penalty", named, cost=strength * serving * share)


def _check_strength(strength: float) -> None:
    if not 0 <= strength < np.inf:
        raise DiscountError(f"strength must be finite and not negative, got {strength!r}")


def _beyond(problem: Problem, goals: Floats) -> Floats:
    """What states are worth to goals over states, `[S, K]`, where the agent does not choose."""
    worth = np.zeros((problem.world.states, goals.shape[1]))
    ended = np.flatnonzero(~problem.choosing)
    if not len(ended):
        return worth
    if problem.after is None:
        raise WorldError(
            "auxiliary goals over states need `after`, what is done where the agent no longer "
            "chooses; ask for goals over outcomes, or give it"
        )
    moves = problem.discount * row_matrix(problem.world)
    right = (1 - problem.discount) * goals[ended]
    own = sparse.identity(len(ended), format="csc")
    distinct, counts = np.unique(problem.after[ended], axis=1, return_counts=True)
    for rows, count in zip(distinct.T, counts, strict=True):
        solved = splu(sparse.csc_matrix(own - moves[rows][:, ended])).solve(right)
        worth[ended] += count / counts.sum() * solved
    return worth
