"""Optimal values of one world for many goals at once, each with its certified error.

Normalisation, here and in all of `solve`: `R(s, g) = u[outcome(s), g]`, and the return is
`(1 - discount) * sum over t >= 0 of discount**t * R(s_t)`, so that values are in units of R.
Axes: S states, R rows, O outcomes, G goals, L live states (outside the boundary).
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from corrigible.errors import NotSolvedError, WorldError
from corrigible.solve.batch import (
    Into,
    Method,
    Task,
    as_tuple,
    blocks_of,
    named_method,
    padded_count,
    sweep_goals,
)
from corrigible.solve.checks import check_discount, check_tolerance
from corrigible.solve.compiled import choices, kernels
from corrigible.solve.layout import Boundary, Layout, world_layout
from corrigible.solve.sample import GoalSample
from corrigible.solve.threads import Progress, share_out
from corrigible.world.record import Bools, Floats, Int32s, Int64s, World

PART = 20_000_000  # values that are solved for at once
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


def optimal_values(  # noqa: PLR0913 - one question, asked in many ways; all but two by name
    world: World,
    goals: npt.ArrayLike | GoalSample,
    *,
    discount: float,
    tolerance: float = 1e-6,
    available: Bools | None = None,
    boundary: Boundary | None = None,
    start: Solution | None = None,
    method: Method | str = Method.ANY,
    storage: npt.DTypeLike = np.float64,
    progress: Progress | None = None,
) -> Solution:
    """Optimal values of every state for every goal, to within `tolerance`.

    Components of the state graph are solved in turn, those that others lead to first, by the
    method that is named or the one that promises to be quickest; then one Bellman sweep over the
    whole world measures the residual in float64, and `bound = residual / (1 - c)`, c the largest
    discounted probability of a row to stay live (Puterman 1994, theorem 6.2.3).  Where every row
    stays live surely, the values are first moved to the middle of MacQueen's and Porteus's
    bounds, and the bound is half their distance.  Rounding is counted in.

    Args:
        world: the world; its phases are not read here, the boundary says what is fixed.
        goals: utilities `[O, G]`, or a sample of them.  For goals per state use
            `world.with_state_outcomes()`.
        discount: per step, in [0, 1).
        tolerance: in units of the utilities, for utilities of any scale.
        available: the rows that may be taken, `[R]`; default all.
        boundary: states whose value is given and not optimised.
        start: a solution of the same states and goals to start from, as of the world with other
            rows or for another discount; it saves time and does not change what is guaranteed.
        method: see `Method`; all give the same values, within their bounds.
        storage: float64, or float32 to hold twice as many values: they are computed in float64
            all the same, and the bound counts what storing them rounds away.
        progress: told after each piece of work how many goals are done, and of how many.

    Returns:
        `values [S, G]`, `bound [G]`, `status [G]`.  A goal that is not solved does not stop the
        others: see its status, or call `check()`.

    Raises:
        DiscountError: `discount` is not in [0, 1) or `tolerance` is not positive.
        NotSolvedError: elimination was named, and the world is too well connected for it.
        WorldError: shapes do not match the world, a state has no row left, or the method is
            unknown or does not suit the world.
    """
    check_discount(discount)
    check_tolerance(tolerance)
    if isinstance(goals, GoalSample):
        goals = goals.utilities(world.outcomes)
    utilities = checked_goals(world, goals)
    task = Task(tolerance, method=named_method(method), progress=None)
    layout = world_layout(world, discount=discount, available=available, boundary=boundary)
    count = utilities.shape[1]
    warm = None if start is None else _start_values(world, start, count)
    spread = _Spread.of(utilities)
    kept = _checked_storage(storage, float(spread.scale.max(initial=0.0)))
    made = np.empty if boundary is None else np.zeros
    values = made((world.states, count), dtype=kept)
    bound, described = np.empty(count), [str(layout.structure)]
    for part in _parts(world.states, count):
        told = None if progress is None else _told(progress, part.start, count)
        into = Into(values, layout.order, part.start)
        if kept != np.float64:
            into = Into(made((world.states, part.stop - part.start)), layout.order, 0)
        bound[part], how = _solve_part(
            layout,
            utilities[:, part],
            spread.part(part),
            replace(task, progress=told, into=into),
            warm=None if warm is None else warm[layout.order, part],
        )
        if into.values is not values:
            values[:, part] = into.values
        described.append(how)
        if boundary is not None:
            values[boundary.states, part] = boundary.occupancy[boundary.states] @ utilities[:, part]
    values[:, ~spread.finite], bound[~spread.finite] = np.nan, np.inf
    stored, least = 0.0, 0.0
    if values.dtype != np.float64:
        kind = np.finfo(values.dtype)
        stored, least = float(kind.eps), float(kind.tiny)
    bound += stored * spread.scale + least
    floor = 4 * (ROUNDING / (1 - layout.contraction) + stored) * spread.scale
    return Solution(
        values=values,
        bound=bound,
        status=statuses(bound, np.maximum(tolerance, floor)),
        method="; ".join(dict.fromkeys(described)),
    )


@dataclass(frozen=True, eq=False)
class _Spread:
    """What of goals decides how they are scaled; of a goal that is not finite, nothing."""

    finite: Bools  # [G]
    scale: Floats  # [G], the largest absolute utility
    least: Floats  # [G], the least utility, at most 0

    @classmethod
    def of(cls, utilities: Floats) -> "_Spread":
        least = np.minimum(utilities.min(axis=0, initial=0.0), 0.0)
        most = np.maximum(utilities.max(axis=0, initial=0.0), 0.0)
        finite = np.isfinite(least) & np.isfinite(most)
        least, most = np.where(finite, least, 0.0), np.where(finite, most, 0.0)
        return cls(finite, np.maximum(most, -least), least)

    def part(self, goals: slice) -> "_Spread":
        """That of some of the goals."""
        return _Spread(self.finite[goals], self.scale[goals], self.least[goals])


def _solve_part(
    layout: Layout, utilities: Floats, spread: _Spread, task: Task, *, warm: Floats | None
) -> tuple[Floats, str]:
    """Bounds `[G]` and how values were found, for a part of the goals; they go where the task says.

    Every goal is solved scaled by a power of two to about 1, so that one residual fits them all,
    and, where that moves all values alike, from 0 upwards: sweeps then never overshoot.
    """
    scale = spread.scale
    usable = utilities if spread.finite.all() else np.where(spread.finite, utilities, 0.0)
    unit = np.ldexp(1.0, np.where(scale > 0, np.minimum(np.frexp(scale)[1], 1023), 0))
    least = spread.least * layout.conserving / unit
    plain = bool((unit == 1).all() and (least == 0).all())
    finest = task.wanted / unit.max(initial=1.0)
    wanted = max(finest * (1 - layout.contraction) - ROUNDING, 2 * ROUNDING)
    swept = sweep_goals(
        layout,
        usable if plain else usable / unit - least,
        replace(task, wanted=wanted),
        warm=warm if plain or warm is None else _scaled_start(warm, unit, least),
    )
    bound = (swept.residual * unit + ROUNDING * scale) / (1 - layout.contraction)
    if not plain:
        np.add(swept.values, least, out=swept.values)
        np.multiply(swept.values, unit, out=swept.values)
    return bound, str(swept)


def _scaled_start(warm: Floats, unit: Floats, least: Floats) -> Floats:
    """Start values as the goals are scaled; 0 where they are too large for that."""
    with np.errstate(over="ignore"):
        scaled = warm / unit - least
    return np.nan_to_num(scaled, posinf=0.0, neginf=0.0)


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
    chosen = np.zeros((len(layout.order), padded_count(count)), dtype=np.int32)
    kernel, blocked, tiles = choices(), blocks_of(utilities), blocks_of(values[layout.order])
    whole, width = as_tuple(layout.whole), int(kernel.BLOCK)
    most = int(np.diff(layout.first_row).max(initial=1))

    def choose(blocks: tuple[int, int]) -> None:
        kernel.choose_rows(
            blocked, layout.first_row, whole, preference, tiles, float(tie), chosen,
            np.empty((len(tiles) + len(blocked), width)), np.empty((most, width)), blocks,
        )  # fmt: skip

    share_out(padded_count(count) // kernel.BLOCK, choose)
    rows = np.full((world.states, count), -1, dtype=np.int32)
    rows[layout.order] = layout.row[chosen[:, :count]]
    return rows


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


def _checked_storage(storage: npt.DTypeLike, largest: float) -> np.dtype[Any]:
    kind = np.dtype(storage)
    if kind not in {np.dtype(np.float64), np.dtype(np.float32)}:
        raise WorldError(f"storage must be float64 or float32, got {kind.name!r}")
    if largest > np.finfo(kind).max:
        raise WorldError(
            f"storage {kind.name} must be able to hold the utilities, got {largest:.3g}; "
            "use float64 or scale them down"
        )
    return kind


def _parts(states: int, count: int) -> list[slice]:
    """Goals to be solved together, so that beside the result only a part is held twice."""
    block = int(kernels().BLOCK)
    size = max(1, PART // max(states, 1) // block) * block
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def _told(progress: Progress, first: int, count: int) -> Progress:
    """What a part's progress is of the whole."""
    return lambda done, _: progress(first + done, count)
