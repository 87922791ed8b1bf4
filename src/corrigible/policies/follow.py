"""What a policy brings, exactly and by episodes: returns, first acts, visits, and walks.

Everything is asked from the world's initial state.  Axes as in `problem`; B marks, N episodes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrigible.errors import WorldError
from corrigible.policies.compiled import kernels
from corrigible.policies.policy import Policy
from corrigible.policies.values import moves_of
from corrigible.solve.layout import row_matrix
from corrigible.solve.optimal import ROUNDING
from corrigible.solve.policy import policy_values
from corrigible.solve.stochastic import (
    PairedValues,
    paired_policy_values,
    policy_chain,
    stochastic_policy_values,
)
from corrigible.solve.threads import share_out
from corrigible.world.record import Floats, Int32s, Int64s

MOST_MARKS = 64


@dataclass(frozen=True, eq=False)
class Episodes:
    """Sampled walks: where each was, and what it did."""

    states: Int32s  # [N, T+1], -1 after the walk has ended
    rows: Int32s  # [N, T], -1 after it has ended


@dataclass(frozen=True, eq=False)
class Counts:
    """How many of n sampled episodes took a row with each mark, and how many steps they took."""

    hits: Int64s  # [G, B]
    steps: Int64s  # [G]
    episodes: int


def returns(policy: Policy) -> PairedValues:
    """What each goal's own line of a policy is worth to that goal, from every state.

    Rows taken surely: by elimination, exact but for rounding.  Stationary: one sparse factorisation
    a goal, with a certified bound.  By steps: the last line for good, then backwards through the
    others; rounding is added to the bound.
    """
    problem, world = policy.problem, policy.world
    last = policy.weights[:, -1]
    if ((last == 0) | (last == 1)).all():
        rows = np.maximum(policy.rows()[:, -1], 0)
        values = policy_values(
            world, rows[0] if len(rows) == 1 else rows.T, problem.goals,
            discount=problem.discount, boundary=problem.boundary,
        )  # fmt: skip
        size = np.abs(problem.goals).max(axis=0, initial=0.0)
        solved = PairedValues(values, 64 * ROUNDING * size / (1 - problem.discount))
    elif len(last) == 1:
        shared = stochastic_policy_values(
            world, last[0], problem.goals, discount=problem.discount, boundary=problem.boundary
        )
        solved = PairedValues(shared.values[:, 0], shared.bound[0])
    else:
        solved = paired_policy_values(
            world, np.ascontiguousarray(last.T), problem.goals, discount=problem.discount,
            boundary=problem.boundary,
        )  # fmt: skip
    if policy.stationary:
        return solved
    kernel, weights = kernels(), _all_goals(policy)
    values = np.ascontiguousarray(solved.values.T)
    reward = np.ascontiguousarray((1 - problem.discount) * problem.reward.T)
    moves, live = moves_of(world), problem.choosing.copy()

    def back(goals: tuple[int, int]) -> None:
        kernel.step_back(moves, live, weights, reward, problem.discount, values, goals)

    share_out(problem.count, back)
    largest = np.abs(problem.goals).max(axis=0, initial=0.0)
    return PairedValues(values.T, solved.bound + policy.steps * ROUNDING * largest)


def chances(
    policy: Policy, marks: npt.ArrayLike, *, steps: int, count: int | None = None
) -> Floats:
    """The chance of taking a marked row within `steps` steps, for each goal and mark, `[G, B]`.

    Exact but for rounding.  Where the agent no longer chooses nothing more is counted.

    Args:
        policy: who acts.
        marks: `[R]`, bit b set: mark b; as `world.serves` are.
        steps: how many steps are looked at.
        count: B; default: as many as the highest bit needs.

    Raises:
        WorldError: the shape does not match.
    """
    bits = _checked_marks(policy, marks)
    wanted = _highest(bits) if count is None else count
    kernel = kernels()
    hits = np.zeros((policy.problem.count, wanted))
    moves, live = moves_of(policy.world), policy.problem.choosing.copy()
    weights = _all_goals(policy)
    start = _start(policy)

    def follow(pairs: tuple[int, int]) -> None:
        kernel.first_acts(moves, live, weights, bits, start, steps, hits, pairs)

    if wanted:
        share_out(hits.size, follow)
    return hits


def visits(policy: Policy, *, steps: int) -> Floats:
    """How often each row is taken in `steps` steps, on average, `[G, R]`; exact but for rounding.

    Its sum over rows is the number of steps in which the agent still chooses.
    """
    kernel = kernels()
    found = np.zeros((policy.problem.count, len(policy.world.action)))
    moves, live = moves_of(policy.world), policy.problem.choosing.copy()
    weights, start = _all_goals(policy), _start(policy)

    def follow(goals: tuple[int, int]) -> None:
        kernel.row_visits(moves, live, weights, start, steps, found, goals)

    share_out(len(found), follow)
    return found


def occupancy(policy: Policy) -> Floats:
    """The discounted share of time spent in each outcome from the start, `[G, O]`."""
    each = np.eye(policy.world.outcomes)
    problem = policy.problem
    shares = np.empty((len(policy.weights), policy.world.outcomes))
    for line in range(len(shares)):
        last = np.array(policy.weights[line, -1])
        solved = stochastic_policy_values(
            policy.world, last, each, discount=problem.discount, boundary=problem.boundary
        )
        values = solved.values[:, 0]
        for step in range(policy.steps - 2, -1, -1):
            chain = policy_chain(policy.world, np.array(policy.weights[line, step]))
            going = (1 - problem.discount) * each[policy.world.outcome]
            going = going + problem.discount * (chain @ values)
            values = np.where(problem.choosing[:, None], going, values)
        shares[line] = values[policy.world.initial]
    return np.broadcast_to(shares, (problem.count, shares.shape[1]))


def after_steps(policy: Policy, steps: int, *, goal: int = 0) -> Floats:
    """Where one goal's agent is after so many steps, `[S]`; a walk that has ended stays there."""
    world, live = policy.world, policy.problem.choosing
    onwards, now = row_matrix(world).T.tocsr(), _start(policy)
    for step in range(steps):
        own = policy.at(goal=goal, step=step) * (now * live)[world.row_state]
        now = np.asarray(onwards @ own + np.where(live, 0.0, now), dtype=np.float64)
    return np.asarray(now, dtype=np.float64)


def sample(policy: Policy, *, episodes: int, steps: int, seed: int = 0, goal: int = 0) -> Episodes:
    """Sampled walks of one goal's agent from the initial state.

    Episode n is a function of the seed, n and the policy alone.  Where the agent no longer
    chooses, the walk follows one of the problem's `after`, drawn once; without any it ends.

    Raises:
        WorldError: a count is negative or the seed does not fit 64 bits.
    """
    _check_counts(episodes, steps, seed)
    kernel, problem = kernels(), policy.problem
    states = np.empty((episodes, steps + 1), dtype=np.int32)
    rows = np.empty((episodes, steps), dtype=np.int32)
    after = np.zeros((policy.world.states, 0)) if problem.after is None else problem.after
    follow = np.ascontiguousarray(after, dtype=np.int32)
    moves, live, weights = moves_of(policy.world), problem.choosing.copy(), _line(policy, goal)
    start = policy.world.initial

    def walk(part: tuple[int, int]) -> None:
        kernel.walk(moves, live, weights, follow, np.uint64(seed), start, states, rows, part)

    share_out(episodes, walk)
    return Episodes(states, rows)


def sample_counts(
    policy: Policy, marks: npt.ArrayLike, *, episodes: int, steps: int, seed: int = 0
) -> Counts:
    """How many of so many sampled episodes of each goal took a row with each mark.

    Holds no episode in memory; those of goal g are `sample`'s with the seed `seed + g`.

    Raises:
        WorldError: a shape does not match, a count is negative, or the seed does not fit 64 bits.
    """
    _check_counts(episodes, steps, seed)
    kernel, problem = kernels(), policy.problem
    bits = _checked_marks(policy, marks)
    hits = np.zeros((problem.count, _highest(bits)), dtype=np.int64)
    taken = np.zeros(problem.count, dtype=np.int64)
    moves, live = moves_of(policy.world), problem.choosing.copy()
    lines = [_line(policy, goal) for goal in range(len(policy.weights))]

    def count(goals: tuple[int, int]) -> None:
        for goal in range(*goals):
            kernel.count_episodes(
                moves, live, lines[goal % len(lines)], bits, np.uint64(seed + goal),
                (policy.world.initial, steps, goal), hits, taken, (0, episodes),
            )  # fmt: skip

    share_out(problem.count, count)
    return Counts(hits, taken, episodes)


def _start(policy: Policy) -> Floats:
    start = np.zeros(policy.world.states)
    start[policy.world.initial] = 1.0
    return start


def _all_goals(policy: Policy) -> Floats:
    """The weights with a line for each goal, writable, as the kernels read them."""
    shape = (policy.problem.count, *policy.weights.shape[1:])
    return np.array(np.broadcast_to(policy.weights, shape), order="C")


def _line(policy: Policy, goal: int) -> Floats:
    line: Floats = policy.weights[goal if len(policy.weights) > 1 else 0].copy()
    return line


def _highest(bits: npt.NDArray[np.uint64]) -> int:
    return int(bits.max(initial=0)).bit_length()


def _checked_marks(policy: Policy, marks: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    bits = np.array(marks, dtype=np.uint64)
    if bits.shape != policy.world.action.shape:
        raise WorldError(
            f"marks must have the shape [{len(policy.world.action)}], got {list(bits.shape)!r}"
        )
    return bits


def _check_counts(episodes: int, steps: int, seed: int) -> None:
    if episodes < 1 or steps < 1:
        raise WorldError(f"episodes and steps must be at least 1, got {(episodes, steps)!r}")
    if not 0 <= seed < 2**63:
        raise WorldError(f"seed must lie in 0..2**63 - 1, got {seed!r}")
