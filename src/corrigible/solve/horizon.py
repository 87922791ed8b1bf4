"""Optimal play when the number of steps is fixed: backward induction for many goals at once.

With h steps left, the utilities of the states at steps 0 to h - 1 count, the state one is in
first, weighted by discount to the step.  Values are the weighted mean of these utilities, so in
units of the utilities whatever the horizon and the discount:

    v_h(s) = max E[sum over t < h of discount ** t * R(s_t)] / (sum over t < h of discount ** t).

Axes: S states, R rows, O outcomes, G goals, H the horizon.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.layout import live_states, row_matrix, usable_rows
from corrigible.solve.optimal import checked_goals
from corrigible.world.record import Bools, Floats, Int32s, Int64s, World

TIE = 1e-9
_EPS = float(np.finfo(np.float64).eps)
_PART = 2**21  # values of rows that are held at once


@dataclass(frozen=True, eq=False)
class HorizonValues:
    """Optimal values over a fixed number of steps."""

    values: Floats  # [S, G], in units of the utilities
    bound: Floats  # [G], what rounding can have done to any state's value
    horizon: int
    discount: float


@dataclass(frozen=True, eq=False)
class HorizonPlan:
    """Optimal values and what is done, for every number of steps left, from 0 to the horizon."""

    values: Floats  # [H+1, S, G], values[h] with h steps left, over those h; values[0] is 0
    rows: Int32s  # [H+1, S, G], rows[h] is taken with h steps left; rows[0] is -1
    bound: Floats  # [G], of every number of steps left
    discount: float


def finite_horizon_values(
    world: World,
    goals: npt.ArrayLike,
    *,
    horizon: int,
    discount: float = 1.0,
    available: Bools | None = None,
) -> HorizonValues:
    """Optimal values of every state for every goal over `horizon` steps, exact but for rounding.

    Backward induction (Puterman 1994, section 4.5), a block of goals at a time.  As the horizon
    grows they approach those of `optimal_values` with the same discount below 1: they differ by
    at most `discount ** horizon` times the difference of the goal's largest and least utility.

    Args:
        world: the world.
        goals: utilities `[O, G]`.
        horizon: how many steps count, at least 1; over 1 step a state is worth its own utility.
        discount: weighs step t by `discount ** t`; in [0, 1], at 1 all steps alike.
        available: the rows that may be taken, `[R]`; default all.

    Returns:
        `values [S, G]`, and in `bound [G]` the most that rounding can have done, which grows with
        the horizon: at most some (successors of a row + 6) * 2.2e-16 of the largest utility a
        step at discount 0 or 1.  A goal with a utility that is not finite has values NaN and a
        bound of inf.

    Raises:
        DiscountError: `horizon` is less than 1, or `discount` is not in [0, 1].
        WorldError: shapes do not match the world, or a state has no row left.
    """
    task = _Task(world, checked_goals(world, goals), (horizon, discount), available)
    values = np.empty((world.states, task.utilities.shape[1]))
    for part in task.blocks():
        for _, latest, _ in task.steps(part):
            values[:, part] = latest
    values[:, ~task.finite] = np.nan
    return HorizonValues(
        values=values, bound=task.rounding(), horizon=horizon, discount=float(discount)
    )


def finite_horizon_plan(
    world: World,
    goals: npt.ArrayLike,
    *,
    horizon: int,
    discount: float = 1.0,
    tie: float = TIE,
    rank: Int64s | None = None,
    available: Bools | None = None,
) -> HorizonPlan:
    """Optimal values and greedy rows for every number of steps left up to `horizon`.

    It holds `(horizon + 1) * S * G` values and as many rows; `finite_horizon_values` does not.

    Args:
        world: the world.
        goals: utilities `[O, G]`.
        horizon: as for `finite_horizon_values`.
        discount: as there.
        tie: rows within this much of the best are as good, in units of the values of what follows.
        rank: `[R]`, the lowest wins a tie; equal ranks in the order of the rows.  Default: that.
        available: the rows that may be taken, `[R]`; default all.

    Returns:
        `values` and `rows`, `[H+1, S, G]`, by the number of steps left.  With one step left, or
        a discount of 0, nothing that follows counts and all rows are tied.

    Raises:
        DiscountError: as there, or `tie` is negative.
        WorldError: shapes do not match the world, or a state has no row left.
    """
    if not tie >= 0:
        raise DiscountError(f"tie must not be negative, got {tie!r}")
    if rank is not None and np.shape(rank) != world.action.shape:
        raise WorldError(
            f"rank must have the shape [{len(world.action)}], got {list(np.shape(rank))!r}"
        )
    task = _Task(world, checked_goals(world, goals), (horizon, discount), available)
    shape = (horizon + 1, world.states, task.utilities.shape[1])
    values, rows = np.zeros(shape), np.full(shape, -1, dtype=np.int32)
    order = task.preference(rank)
    for part in task.blocks():
        for left, latest, worth in task.steps(part):
            values[left, :, part] = latest
            rows[left, :, part] = task.chosen(worth, order, tie)
    values[1:, :, ~task.finite] = np.nan
    return HorizonPlan(values=values, rows=rows, bound=task.rounding(), discount=float(discount))


class _Task:
    """One world, its goals, the horizon and the discount, ready for backward induction."""

    def __init__(
        self,
        world: World,
        utilities: Floats,
        terms: tuple[int, float],
        available: Bools | None,
    ) -> None:
        self.horizon, self.discount = terms
        if self.horizon != int(self.horizon) or self.horizon < 1:
            raise DiscountError(f"horizon must be a whole number, at least 1, got {self.horizon!r}")
        if not 0 <= self.discount <= 1:
            raise DiscountError(f"discount must lie in [0, 1], got {self.discount!r}")
        self.finite = np.isfinite(utilities).all(axis=0)
        self.utilities = np.where(self.finite, utilities, 0.0)
        self.world = world
        self.row = np.flatnonzero(usable_rows(world, available, live_states(world, None)))
        self.moves: sparse.csr_matrix = row_matrix(world)[self.row]
        self.home = world.row_state[self.row]
        counts = np.bincount(self.home, minlength=world.states)
        self.first = np.concatenate([[0], np.cumsum(counts)])[:-1]

    def blocks(self) -> list[slice]:
        """The goals in blocks whose row values are held at once."""
        count, size = self.utilities.shape[1], max(1, _PART // max(1, len(self.row)))
        return [slice(start, min(start + size, count)) for start in range(0, count, size)]

    def weights(self) -> Iterator[tuple[float, float]]:
        """For 1, 2, ... steps left: the share of the first step, and of all that follow."""
        total = 0.0
        for _ in range(self.horizon):
            before, total = total, 1.0 + self.discount * total
            yield 1.0 / total, self.discount * before / total

    def steps(self, part: slice) -> Iterator[tuple[int, Floats, Floats]]:
        """Steps left, values `[S, B]`, and what each usable row leads to `[Q, B]`, from 1 on."""
        earned = self.utilities[:, part][self.world.outcome]
        latest: Floats = np.zeros_like(earned)
        for left, (now, later) in enumerate(self.weights(), start=1):
            worth: Floats = self.moves @ latest
            latest = now * earned + later * np.maximum.reduceat(worth, self.first, axis=0)
            yield left, latest, worth

    def preference(self, rank: Int64s | None) -> Int64s:
        """The usable rows, state by state, those first that win a tie."""
        if rank is None:
            return np.arange(len(self.row))
        ordered: Int64s = np.lexsort((self.row, np.asarray(rank)[self.row], self.home))
        return ordered

    def chosen(self, worth: Floats, order: Int64s, tie: float) -> Int64s:
        """The best row of each state, the first in `order` of those that are tied, `[S, B]`."""
        best = np.maximum.reduceat(worth, self.first, axis=0)[self.home]
        place = np.arange(len(self.row))[:, None]
        good = (worth >= best - (tie if self.discount else np.inf))[order]
        first = np.minimum.reduceat(np.where(good, place, len(place)), self.first, axis=0)
        rows: Int64s = self.row[order[first]]
        return rows

    def rounding(self) -> Floats:
        """The most that rounding can have moved a value, `[G]`: each step adds to a share of it.

        A sum of n products is off by n eps of the largest term (Higham 2002, section 3.1).
        """
        terms = int(np.diff(self.moves.indptr).max(initial=1))
        exact = self.discount in {0, 1}  # the sum of the weights is then a whole number
        off, most, drift = 0.0, 0.0, 0.0
        for _, later in self.weights():
            drift = 0.0 if exact else later * (drift + _EPS) + _EPS
            off = later * (off + terms * _EPS) + 2 * drift + 6 * _EPS
            most = max(most, off)
        bound: Floats = most * np.abs(self.utilities).max(axis=0, initial=0.0)
        bound[~self.finite] = np.inf
        return bound
