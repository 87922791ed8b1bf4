"""What a fixed policy brings: occupancies, values, visits and where it ends up.

A policy is one row number a state, `[S]`.  Occupancies are normalised as values are: the
occupancy of an outcome is `(1 - discount) * sum over t >= 0 of discount**t * P(outcome_t)`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.compiled import chains
from corrigible.solve.layout import Boundary, live_states, row_matrix, usable_rows
from corrigible.solve.optimal import checked_goals
from corrigible.solve.threads import share_out, thread_count
from corrigible.world.record import Bools, Floats, Int64s, World


def outcome_occupancy(
    world: World,
    policy_rows: npt.ArrayLike,
    *,
    discount: float,
    available: Bools | None = None,
    boundary: Boundary | None = None,
) -> Floats:
    """The discounted share of time that a policy spends in each outcome, from each state.

    Exact but for rounding: each component of the policy's chain by elimination.  For utilities u
    the policy is worth `occupancy @ u`.

    Args:
        world: the world.
        policy_rows: `[S]`, the row taken in each state; not read in boundary states.
        discount: per step, in [0, 1).
        available: the rows that may be taken; the policy must keep to them.
        boundary: states whose occupancy is given.

    Returns:
        `[S, O]`, each line summing to 1 where the boundary's do.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: a row is not one of its state's, or is not available.
    """
    rows = _checked_policies(world, np.asarray(policy_rows)[:, None], available, boundary)
    return _mean(world, rows, discount, boundary)


def mean_occupancy(
    world: World,
    policy_rows: npt.ArrayLike,
    *,
    discount: float,
    available: Bools | None = None,
    boundary: Boundary | None = None,
) -> Floats:
    """The mean of `outcome_occupancy` over K policies, one of which was drawn at the start.

    Args:
        world: the world.
        policy_rows: `[S, K]`, as `greedy_rows` returns them.
        discount: as for `outcome_occupancy`.
        available: as there.
        boundary: as there.

    Returns:
        `[S, O]`.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: a row is not one of its state's, or is not available.
    """
    rows = _checked_policies(world, np.asarray(policy_rows), available, boundary)
    return _mean(world, rows, discount, boundary)


def policy_values(
    world: World,
    policy_rows: npt.ArrayLike,
    goals: npt.ArrayLike,
    *,
    discount: float,
    available: Bools | None = None,
    boundary: Boundary | None = None,
) -> Floats:
    """What policies are worth to goals, exact but for rounding.

    Args:
        world: the world.
        policy_rows: `[S]`, one policy for all goals, or `[S, G]`, goal g's own in column g.
        goals: utilities `[O, G]`.
        discount: as for `outcome_occupancy`.
        available: as there.
        boundary: as there.

    Returns:
        Values `[S, G]`, in units of the utilities.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: shapes do not match, a row is not one of its state's, or is not available.
    """
    utilities = checked_goals(world, goals)
    given = np.asarray(policy_rows)
    rows = _checked_policies(world, given.reshape(len(given), -1), available, boundary)
    reward = utilities[world.outcome]
    fixed = np.zeros_like(reward)
    if boundary is not None:
        fixed[boundary.states] = boundary.occupancy[boundary.states] @ utilities
    sums = _Sums(discount, reward, fixed, live_states(world, boundary))
    if given.ndim == 1:
        return _mean_sums(world, rows, sums)
    if rows.shape[0] != utilities.shape[1]:
        raise WorldError(
            f"policy_rows must have a column for each of the {utilities.shape[1]} goals, "
            f"got {rows.shape[0]}"
        )
    return _paired_sums(world, rows, sums)


def state_distribution(world: World, policy_rows: npt.ArrayLike, steps: int) -> Floats:
    """Where a policy has led from the initial state after so many steps, `[S]`, summing to 1.

    A row of -1 ends the walk: it stays in that state for good.

    Raises:
        WorldError: a row is neither -1 nor one of its state's.
    """
    rows = _walk_rows(world, policy_rows)
    moves = _walk_matrix(world, rows)
    now = np.zeros(world.states)
    now[world.initial] = 1.0
    for _ in range(steps):
        before, now = now, moves @ now
        if np.array_equal(before, now):  # settled for good, to the last bit
            break
    return now


def expected_visits(
    world: World, policy_rows: npt.ArrayLike, row_weight: npt.ArrayLike, steps: int
) -> float:
    """The expected sum of the weights of the rows taken in the first steps from the initial state.

    A weight of 1 counts a row's calls.  A row of -1 ends the walk: no rows are taken after it.

    Args:
        world: the world.
        policy_rows: `[S]`.
        row_weight: `[R]`, in the unit of the result.
        steps: how many steps are counted.

    Raises:
        WorldError: shapes do not match, or a row is neither -1 nor one of its state's.
    """
    weight = np.asarray(row_weight, dtype=np.float64)
    if weight.shape != world.action.shape:
        raise WorldError(
            f"row_weight must have the shape {list(world.action.shape)!r}, "
            f"got {list(weight.shape)!r}"
        )
    rows = _walk_rows(world, policy_rows)
    moves = _walk_matrix(world, rows)
    earned = np.where(rows >= 0, weight[rows], 0.0)
    now = np.zeros(world.states)
    now[world.initial] = 1.0
    total = 0.0
    for step in range(steps):
        total += float(now @ earned)
        before, now = now, moves @ now
        if np.array_equal(before, now):  # settled for good, to the last bit
            return total + (steps - 1 - step) * float(now @ earned)
    return total


def _checked_policies(
    world: World,
    policies: npt.NDArray[np.generic],
    available: Bools | None,
    boundary: Boundary | None,
) -> Int64s:
    """The policies as `[K, S]`, each row one that its state may take."""
    if policies.ndim != 2 or len(policies) != world.states:  # noqa: PLR2004 - [S, K]
        raise WorldError(
            f"policy_rows must have one line for each of the {world.states} states, "
            f"got the shape {list(policies.shape)!r}"
        )
    live = live_states(world, boundary)
    rows = np.array(policies.T, dtype=np.int64, order="C")  # a copy: see _Sums
    inside = (rows >= world.rows[:-1]) & (rows < world.rows[1:])
    usable = usable_rows(world, available, live)
    good = inside & usable[np.clip(rows, 0, len(usable) - 1)]
    bad = np.argwhere(live & ~good)
    if len(bad):
        policy, state = bad[0]
        span = f"{world.rows[state]}..{world.rows[state + 1] - 1}"
        raise WorldError(
            f"policy {policy} in state {state} must take one of the available rows in {span}, "
            f"got {rows[policy, state]}"
        )
    return rows


def _mean(world: World, rows: Int64s, discount: float, boundary: Boundary | None) -> Floats:
    reward = np.zeros((world.states, world.outcomes))
    reward[np.arange(world.states), world.outcome] = 1.0
    fixed = np.zeros_like(reward) if boundary is None else boundary.occupancy
    sums = _Sums(discount, reward, fixed, live_states(world, boundary))
    return _mean_sums(world, rows, sums)


@dataclass(frozen=True, eq=False)
class _Sums:
    """Which discounted sums are wanted.

    What the kernels get is always a fresh, writable, C-ordered copy: for numba a read-only array
    is another type, and would have it compile everything again.
    """

    discount: float
    reward: Floats  # [S, M], each to be added up in units of itself
    fixed: Floats  # [S, M], the sums in states that are not live
    live: Bools  # [S]

    def __post_init__(self) -> None:
        if not 0 <= self.discount < 1:
            raise DiscountError(f"discount must lie in [0, 1), got {self.discount!r}")


def _mean_sums(world: World, rows: Int64s, sums: _Sums) -> Floats:
    """The mean over the policies, `[S, M]`."""
    totals = np.zeros((min(thread_count(), len(rows)), *sums.reward.shape))
    earned = np.where(sums.live[:, None], (1 - sums.discount) * sums.reward, sums.fixed)
    solved = _added(world, rows, sums, earned[None], totals)
    total: Floats = totals.sum(axis=0)
    for policy in np.flatnonzero(~solved):
        total += _factorised(world, rows[policy], sums, slice(None))
    mean: Floats = total / len(rows)
    mean[~sums.live] = sums.fixed[~sums.live]
    return mean


def _paired_sums(world: World, rows: Int64s, sums: _Sums) -> Floats:
    """For policy k the sums of column k, `[S, K]`."""
    totals = np.zeros((*rows.shape, 1))
    earned = np.where(sums.live[:, None], (1 - sums.discount) * sums.reward, sums.fixed)
    solved = _added(world, rows, sums, np.array(earned.T[:, :, None], order="C"), totals)
    for policy in np.flatnonzero(~solved):
        own = slice(policy, policy + 1)
        totals[policy] = _factorised(world, rows[policy], sums, own)
    return np.ascontiguousarray(totals[:, :, 0].T)


def _added(  # noqa: PLR0917 - what is solved, and what for
    world: World, rows: Int64s, sums: _Sums, earned: Floats, totals: Floats
) -> Bools:
    """Add each policy's sums to its slice of `totals`; which policies were small enough for it."""
    kernel = chains()
    solved = np.zeros(len(rows), dtype=np.bool_)
    chain, discount = (world.entries, world.successor, world.probability), float(sums.discount)
    largest = min(world.states, int(kernel.DENSE_LIMIT))

    def add(slices: tuple[int, int]) -> None:
        kernel.add_sums(
            rows, sums.live, chain, discount, earned, totals, solved,
            np.empty((int(kernel.MARKS), world.states), dtype=np.int64), np.empty(largest**2),
            np.empty(totals.shape[1:]), slices,
        )  # fmt: skip

    share_out(len(totals), add)
    return solved


def _factorised(world: World, rows: Int64s, sums: _Sums, columns: slice) -> Floats:
    """One policy's sums by a sparse LU factorisation: for components too large to eliminate."""
    inside, outside = np.flatnonzero(sums.live), np.flatnonzero(~sums.live)
    moves = sums.discount * row_matrix(world)[rows[inside]]
    system = sparse.identity(len(inside), format="csc") - moves[:, inside]
    result = np.array(sums.fixed[:, columns], dtype=np.float64)
    right = (1 - sums.discount) * sums.reward[inside, columns]
    right = right + moves[:, outside] @ result[outside]
    result[inside] = splu(sparse.csc_matrix(system)).solve(right)
    return result


def _walk_rows(world: World, policy_rows: npt.ArrayLike) -> Int64s:
    rows = np.asarray(policy_rows, dtype=np.int64)
    if rows.shape != (world.states,):
        raise WorldError(
            f"policy_rows must have the shape [{world.states}], got {list(rows.shape)!r}"
        )
    bad = np.flatnonzero((rows != -1) & ((rows < world.rows[:-1]) | (rows >= world.rows[1:])))
    if len(bad):
        state = bad[0]
        span = f"{world.rows[state]}..{world.rows[state + 1] - 1}"
        raise WorldError(f"state {state} must take a row in {span}, or -1, got {rows[state]}")
    return rows


def _walk_matrix(world: World, rows: Int64s) -> sparse.csr_matrix:
    """The transposed chain `[S, S]`: multiplying by it moves a distribution one step on."""
    ended = rows < 0
    moves = row_matrix(world)[np.where(ended, 0, rows)]
    goes = sparse.diags((~ended).astype(np.float64))
    stays = sparse.diags(ended.astype(np.float64))
    return (goes @ moves + stays).T.tocsr()
