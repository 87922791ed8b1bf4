"""Optimal values of one world for many goals at once, each with its certified error.

Normalisation, here and in all of `solve`: `R(s, g) = u[outcome(s), g]`, and the return is
`(1 - discount) * sum over t >= 0 of discount**t * R(s_t)`, so that values are in units of R.
Axes: S states, R rows, O outcomes, G goals, L live states (outside the boundary).
"""

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.compiled import kernels
from corrigible.solve.layout import Boundary, Layout, Lists, world_layout
from corrigible.solve.threads import share_out
from corrigible.world.record import Bools, Floats, Int32s, Int64s, World

MAX_SWEEPS = 100_000
MAX_ROUNDS = 12
ROUNDING = 64 * float(np.finfo(np.float64).eps)  # of one Bellman sum, in units of the values


class Status(Enum):
    """How solving one goal ended."""

    CONVERGED = "converged: the bound is within the tolerance"
    SWEEPS_EXHAUSTED = "the sweeps ran out before the bound was within the tolerance"
    NOT_FINITE = "a utility was not finite, so neither is the result"


@dataclass(frozen=True, eq=False)
class Solution:
    """Optimal values and how far they can be off."""

    values: Floats  # [S, G], in units of the utilities; boundary states hold what they were given
    bound: Floats  # [G], |values - V*| is at most this in every state
    status: tuple[Status, ...]  # [G]
    method: str

    def check(self) -> "Solution":
        """This solution, if every goal was solved to its tolerance.

        Raises:
            NotSolvedError: some goal was not; the message names the first.
        """
        for goal, status in enumerate(self.status):
            if status is not Status.CONVERGED:
                others = sum(s is not Status.CONVERGED for s in self.status) - 1
                raise NotSolvedError(
                    f"goal {goal} must be solved to its tolerance, got bound "
                    f"{self.bound[goal]:.3g} ({others} other goals too): {status.value}"
                )
        return self


def optimal_values(
    world: World,
    goals: npt.ArrayLike,
    *,
    discount: float,
    tolerance: float = 1e-6,
    available: Bools | None = None,
    boundary: Boundary | None = None,
    start: Solution | None = None,
) -> Solution:
    """Optimal values of every state for every goal, to within `tolerance`.

    Components of the state graph are solved in turn, those that others lead to first, each by
    Gauss-Seidel sweeps with self-loops eliminated, or, where nothing leads out and it is quicker,
    by Jacobi sweeps until their changes differ little (MacQueen 1966); then one Bellman sweep
    over the whole world measures the residual, and `bound = residual / (1 - c)`, c the largest
    discounted probability of a row to stay live (Puterman 1994, theorem 6.2.3); rounding is
    counted in.

    Args:
        world: the world; its phases are not read here, the boundary says what is fixed.
        goals: utilities `[O, G]`.  For goals per state use `world.with_state_outcomes()`.
        discount: per step, in [0, 1).
        tolerance: in units of the utilities, for utilities of any scale.
        available: the rows that may be taken, `[R]`; default all.
        boundary: states whose value is given and not optimised.
        start: a solution of the same states and goals to start from, as of the world with other
            rows; it saves time and does not change what is guaranteed.

    Returns:
        `values [S, G]`, `bound [G]`, `status [G]`.  A goal that is not solved does not stop the
        others: see its status, or call `check()`.

    Raises:
        DiscountError: `discount` is not in [0, 1) or `tolerance` is not positive.
        WorldError: shapes do not match the world, or a state has no row left.
    """
    utilities = checked_goals(world, goals)
    if not 0 <= discount < 1:
        raise DiscountError(f"discount must lie in [0, 1), got {discount!r}")
    if not 0 < tolerance < np.inf:
        raise DiscountError(f"tolerance must be positive and finite, got {tolerance!r}")
    layout = world_layout(world, discount=discount, available=available, boundary=boundary)
    finite = np.isfinite(utilities).all(axis=0)
    usable = np.where(finite, utilities, 0.0)
    scale = np.abs(usable).max(axis=0, initial=0.0)
    warm = None if start is None else _start_values(world, start, usable.shape[1])[layout.order]
    swept = sweep_goals(
        layout, usable, pins=None, warm=warm, wanted=tolerance * (1 - layout.contraction)
    )
    residual = swept.residual + ROUNDING * scale
    bound = residual / (1 - layout.contraction)
    values = np.empty((world.states, usable.shape[1]))
    values[layout.order] = swept.values
    if boundary is not None:
        values[boundary.states] = boundary.occupancy[boundary.states] @ usable
    values[:, ~finite], bound[~finite] = np.nan, np.inf
    floor = 4 * ROUNDING * scale / (1 - layout.contraction)
    return Solution(
        values=values,
        bound=bound,
        status=statuses(bound, np.maximum(tolerance, floor)),
        method=f"sweeps by components, at most {swept.sweeps}",
    )


def greedy_rows(
    world: World,
    goals: npt.ArrayLike,
    values: Floats,
    *,
    discount: float,
    tie: float = 1e-9,
    rank: Int64s | None = None,
    available: Bools | None = None,
    boundary: Boundary | None = None,
) -> Int32s:
    """The row that each state takes for each goal: the best, ties to the lowest rank.

    Args:
        world: the world.
        goals: utilities `[O, G]`, as the values were solved for.
        values: `[S, G]`, as of `optimal_values`.
        discount: as there.
        tie: rows within this much of the best are as good, in units of the values.  Solve to a
            tolerance well below it where ties must be told from differences.
        rank: `[R]`, the lowest wins a tie; equal ranks in the order of the rows.  Default: that.
        available: the rows that may be taken.
        boundary: as the values were solved with.

    Returns:
        Row numbers `[S, G]`; -1 in boundary states, which choose nothing.

    Raises:
        DiscountError: `discount` is not in [0, 1].
        WorldError: shapes do not match the world, or a state has no row left.
    """
    utilities = checked_goals(world, goals)
    count = utilities.shape[1]
    if values.shape != (world.states, count):
        raise WorldError(
            f"values must have the shape {[world.states, count]!r}, got {list(values.shape)!r}"
        )
    layout = world_layout(world, discount=discount, available=available, boundary=boundary)
    order = np.zeros(len(world.action), dtype=np.int64) if rank is None else np.asarray(rank)
    if order.shape != world.action.shape:
        raise WorldError(f"rank must have the shape [{len(world.action)}], got {order.shape!r}")
    home = np.repeat(np.arange(len(layout.order)), np.diff(layout.first_row))
    preference = np.lexsort((layout.row, order[layout.row], home)).astype(np.int64)
    chosen = np.zeros((len(layout.order), _padded(count)), dtype=np.int32)
    kernel, blocked, tiles = kernels(), _blocks(utilities), _blocks(values[layout.order])
    whole = _tuple(layout.whole)

    def choose(blocks: tuple[int, int]) -> None:
        kernel.choose_rows(
            blocked, layout.first_row, whole, preference, tiles, float(tie), chosen, blocks
        )

    share_out(_padded(count) // kernel.BLOCK, choose)
    rows = np.full((world.states, count), -1, dtype=np.int32)
    rows[layout.order] = layout.row[chosen[:, :count]]
    return rows


@dataclass(frozen=True, eq=False)
class Swept:
    """What the kernel found, on the layout's lines."""

    values: Floats  # [L, G]
    residual: Floats  # [G], the largest |TV - V|
    sweeps: int  # the most that any component took


def sweep_goals(
    layout: Layout, goals: Floats, *, pins: Int64s | None, warm: Floats | None, wanted: float
) -> Swept:
    """Run the kernel until the Bellman residual is at most `wanted`, or its rounds run out.

    Args:
        layout: the world's.
        goals: finite utilities `[O, G]`.
        pins: the line that each goal holds at 1, `[G]`, or -1.
        warm: values to start from, `[L, G]`.
        wanted: in units of the utilities.
    """
    count, lines = goals.shape[1], len(layout.order)
    kernel = kernels()
    padded = _padded(count)
    values = np.empty((lines, padded)) if warm is None else _blocks(warm)
    targets = np.full(padded, -1, dtype=np.int64)
    if pins is not None:
        targets[:count] = pins
    residual = np.zeros(padded)
    sweeps = np.zeros(padded // kernel.BLOCK, dtype=np.int64)
    limits = (layout.discount, float(wanted), float(wanted), MAX_SWEEPS, MAX_ROUNDS)
    blocked = _blocks(goals)
    lists = _tuple(layout.inner), _tuple(layout.outer), _tuple(layout.whole)

    def solve(blocks: tuple[int, int]) -> None:
        kernel.solve_goals(
            blocked, layout.component, layout.closed, layout.first_row, *lists, targets, limits,
            values, warm is not None, residual, sweeps, blocks,
        )  # fmt: skip

    share_out(len(sweeps), solve)
    return Swept(values[:, :count], residual[:count], int(sweeps.max(initial=0)))


def statuses(bound: Floats, allowed: Floats) -> tuple[Status, ...]:
    """For each goal whether its bound `[G]` is within what is allowed `[G]`."""
    pairs = zip(bound.tolist(), allowed.tolist(), strict=True)
    return tuple(
        Status.CONVERGED
        if off <= most
        else (Status.SWEEPS_EXHAUSTED if np.isfinite(off) else Status.NOT_FINITE)
        for off, most in pairs
    )


def checked_goals(world: World, goals: npt.ArrayLike) -> Floats:
    """The goals as float64 `[O, G]`.

    Raises:
        WorldError: they are not two-dimensional, or not one line to each outcome.
    """
    utilities = np.asarray(goals, dtype=np.float64)
    if utilities.ndim != 2 or utilities.shape[0] != world.outcomes:  # noqa: PLR2004 - [O, G]
        raise WorldError(
            f"goals must have the shape [{world.outcomes}, G], one line to each outcome, got "
            f"{list(utilities.shape)!r}; for goals per state use world.with_state_outcomes()"
        )
    return utilities


def _start_values(world: World, start: Solution, count: int) -> Floats:
    if start.values.shape != (world.states, count):
        raise WorldError(
            f"start must hold values of the shape {[world.states, count]!r}, "
            f"got {list(start.values.shape)!r}"
        )
    return np.nan_to_num(start.values)


def _padded(count: int) -> int:
    block = int(kernels().BLOCK)
    return -(-count // block) * block


def _blocks(array: Floats) -> Floats:
    """C-ordered, with zero columns up to a whole number of blocks."""
    padded = np.zeros((array.shape[0], _padded(array.shape[1])))
    padded[:, : array.shape[1]] = array
    return padded


def _tuple(lists: Lists) -> tuple[Int64s, Int64s, Floats]:
    return lists.first, lists.line, lists.weight
