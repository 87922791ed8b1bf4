"""Optimal average rewards (gains) of one world for many goals at once, each with its error.

The gain of a state is the most that the mean utility of the states to come can tend to, and what
the normalised values of `solve.optimal` tend to as the discount tends to 1 (Puterman 1994,
section 8.2).  Axes: S states, R rows, O outcomes, G goals, M maximal end components, K rows of
one state, L states of the world in which each end component is one state, Q its rows.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corrigible.errors import WorldError
from corrigible.solve.batch import Task, sweep_goals
from corrigible.solve.checks import check_tolerance
from corrigible.solve.gains import (
    EndComponents,
    component_gains,
    components_inside,
    normalised_rows,
)
from corrigible.solve.layout import Boundary, Layout, live_states, usable_rows, world_layout
from corrigible.solve.lists import Lists
from corrigible.solve.optimal import ROUNDING, Solution, Status, checked_goals, statuses
from corrigible.solve.sample import GoalSample
from corrigible.solve.threads import Progress
from corrigible.world.record import Bools, Floats, Int64s, World

PART = 20_000_000  # values that are solved for at once
MOST_GOALS = 65_536  # at once: so that progress shows
COARSE = 1e-6  # of a goal's scale: rounding that does more is no excuse for a wide bound


@dataclass(frozen=True, eq=False)
class AverageRowValues:
    """What one state's rows are worth on average, and how far that can be off."""

    rows: Int64s  # [K], the available rows of the state, as the world numbers them
    values: Floats  # [K, G], in units of the utilities
    bound: Floats  # [G], each row's value is off by at most this
    status: tuple[Status, ...]  # [G]


def average_values(
    world: World,
    goals: npt.ArrayLike | GoalSample,
    *,
    tolerance: float = 1e-6,
    available: Bools | None = None,
    progress: Progress | None = None,
) -> Solution:
    """The optimal gain of every state for every goal, to within `tolerance`.

    Whatever is done, it ends in a maximal end component (de Alfaro 1997, theorem 3.2), and there
    the best gain is one number.  These are enclosed first: see `gains.component_gains`.  What
    remains is where to end up: the best expectation of the ends' gains, in a world whose end
    components are one state each and may be stayed in.  There every policy ends, in at most W
    expected steps, and values with a residual of r are off by at most r W (Bertsekas and
    Tsitsiklis 1991, proposition 1); W is bounded, and r measured, in float64.  The bound is the
    sum of that, of the widest end's half width and of rounding.

    Args:
        world: the world; its phases are not read.  Rows are divided by their sums.
        goals: utilities `[O, G]`, or a sample of them.
        tolerance: in units of the utilities, for utilities of any scale.
        available: the rows that may be taken, `[R]`; default all.
        progress: told after each piece of work how many goals are done, and of how many.

    Returns:
        `values [S, G]`, `bound [G]`, `status [G]`.  A goal that is not solved does not stop the
        others: see its status, or call `check()`.  A goal also counts as solved where rounding
        alone, up to 1e-6 of its largest utility, keeps its bound above the tolerance.

    Raises:
        DiscountError: `tolerance` is not positive.
        WorldError: shapes do not match the world, or a state has no row left.
    """
    check_tolerance(tolerance)
    if isinstance(goals, GoalSample):
        goals = goals.utilities(world.outcomes)
    utilities = checked_goals(world, goals)
    mask = None if available is None else np.asarray(available, dtype=np.bool_)
    usable = usable_rows(world, mask, live_states(world, None))
    inside = components_inside(world, usable)
    ends = _Ends.of(world, usable, inside)
    count = utilities.shape[1]
    values = np.empty((world.states, count))
    bound, floor, described = np.empty(count), np.empty(count), [ends.told]
    size = max(1, min(PART // world.states, MOST_GOALS))
    for begin in range(0, count, size):
        part = slice(begin, min(begin + size, count))
        solved = _solve_part(inside, ends, utilities[:, part], tolerance)
        values[:, part], bound[part], floor[part], how = solved
        described.append(how)
        if progress is not None:
            progress(part.stop, count)
    finite = np.isfinite(utilities).all(axis=0)
    values[:, ~finite], bound[~finite], floor[~finite] = np.nan, np.inf, 0.0
    return Solution(
        values=values,
        bound=bound,
        status=statuses(bound, np.maximum(tolerance, floor)),
        method="; ".join(dict.fromkeys(described)),
    )


def average_row_values(
    world: World,
    goals: npt.ArrayLike | GoalSample,
    *,
    state: int,
    tolerance: float = 1e-6,
    available: Bools | None = None,
) -> AverageRowValues:
    """For each row of a state the optimal gain from there if that row is taken whenever there.

    A row is average-optimal where its value is the largest of them: two values differ surely
    where they do by more than twice the bound, and are tied within it otherwise.

    Args:
        world: the world.
        goals: utilities `[O, G]`, or a sample of them.
        state: the state.
        tolerance: as of `average_values`.
        available: the rows that may be taken, `[R]`; default all.

    Returns:
        `rows [K]`, `values [K, G]`, `bound [G]` and `status [G]`: of the row that is solved worst.

    Raises:
        DiscountError: `tolerance` is not positive.
        WorldError: `state` is not one, shapes do not match, or a state has no row left.
    """
    if not 0 <= state < world.states:
        raise WorldError(f"state must lie in 0..{world.states - 1}, got {state!r}")
    if isinstance(goals, GoalSample):
        goals = goals.utilities(world.outcomes)
    mask = None if available is None else np.asarray(available, dtype=np.bool_)
    usable = usable_rows(world, mask, live_states(world, None))
    own = slice(world.rows[state], world.rows[state + 1])
    rows = world.rows[state] + np.flatnonzero(usable[own])
    solved = []
    for row in rows.tolist():
        usable[own] = False
        usable[row] = True
        solved.append(average_values(world, goals, tolerance=tolerance, available=usable))
    worst = [
        next((s for s in each if s is not Status.CONVERGED), Status.CONVERGED)
        for each in zip(*(one.status for one in solved), strict=True)
    ]
    return AverageRowValues(
        rows=rows,
        values=np.stack([one.values[state] for one in solved]),
        bound=np.max([one.bound for one in solved], axis=0),
        status=tuple(worst),
    )


def _solve_part(
    inside: EndComponents, ends: "_Ends", utilities: Floats, tolerance: float
) -> tuple[Floats, Floats, Floats, str]:
    """Values `[S, G]`, bounds `[G]`, what of them counts as rounding `[G]`, and how.

    Every goal is moved and scaled by a power of two into [0, 2] first.
    """
    usable = np.where(np.isfinite(utilities).all(axis=0), utilities, 0.0)
    scale = np.abs(usable).max(axis=0, initial=0.0)
    unit = np.ldexp(1.0, np.clip(np.frexp(scale)[1], -1022, 1023))
    least = (usable / unit).min(axis=0)
    with np.errstate(over="ignore"):  # a goal so small that any result is near enough
        allowed = tolerance / unit
    gains = component_gains(inside, usable / unit - least, allowed / 2)
    found, off, rounding, how = ends.solved(gains.middle, allowed / 4)
    rounding = np.minimum(4 * (rounding + gains.rounding + ROUNDING), COARSE)
    bound = gains.half.max(axis=0) + off + ROUNDING
    return (found + least) * unit, bound * unit, rounding * unit, f"{gains.method}; {how}"


@dataclass(frozen=True, eq=False)
class _Ends:
    """The world whose end components are one state each, laid out for the kernels.

    Its goals have one line for each end component, the gain of staying there, and a last one
    that every row earns: 1 where steps are to be counted, otherwise 0.
    """

    line: Int64s  # [S], of each state of the world
    layout: Layout
    steps: float  # P w <= w - 1 for some w in [0, steps]: at most so many steps until the end

    @classmethod
    def of(cls, world: World, usable: Bools, inside: EndComponents) -> "_Ends":
        merged, state = _merged(world, usable, inside)
        size = merged.states - 1
        last = np.arange(merged.states) == size
        boundary = Boundary(last, np.zeros((merged.states, 1)))
        plain = world_layout(merged, discount=1.0, available=None, boundary=boundary)
        layout = _with_ends(merged, plain, inside.count)
        line = np.empty(size, dtype=np.int64)
        line[plain.order] = np.arange(size)
        return cls(line=line[state], layout=layout, steps=_most_steps(layout))

    @property
    def told(self) -> str:
        """What of the world's shape decides how it is solved."""
        return f"average reward; between end components: {self.layout.structure}"

    def solved(self, gains: Floats, allowed: Floats) -> tuple[Floats, Floats, Floats, str]:
        """Values `[S, G]`, how far they are off, what of it is rounding `[G]`, and how."""
        least, most = gains.min(axis=0), gains.max(axis=0)
        finest = float(allowed.min(initial=1.0))
        wanted = finest / self.steps - ROUNDING if np.isfinite(self.steps) else finest
        goals = np.vstack([gains, np.zeros(gains.shape[1])])
        swept = sweep_goals(self.layout, goals, Task(max(wanted, 2 * ROUNDING)))
        rounding, off = np.zeros_like(most), most - least  # all ends' gains lie so near
        if np.isfinite(self.steps):
            rounding += ROUNDING * self.steps
            off = np.minimum(swept.residual * self.steps + rounding, off)
        values = np.clip(np.nan_to_num(swept.values), least, most)[self.line]
        return values, off, rounding, str(swept)


def _merged(world: World, usable: Bools, inside: EndComponents) -> tuple[World, Int64s]:
    """The world whose end components are its first M states, and each old state's number.

    Each of those may stay for good, by a row that leads to the last state.  A row's chance to
    come back to its own state is left out and the others are divided by what remains: it is
    taken until it moves on.  That keeps all accuracy where moving on is unlikely.
    """
    held, count = inside.number >= 0, inside.count
    state = inside.number.copy()
    state[~held] = count + np.arange((~held).sum())
    size = count + int((~held).sum())
    merge = sparse.csr_matrix(
        (np.ones(world.states), (np.arange(world.states), state)), shape=(world.states, size + 1)
    )
    home = state[world.row_state]
    moves = (normalised_rows(world) @ merge).tocoo()
    kept = (moves.col != home[moves.row]) & usable[moves.row]
    row, to, weight = moves.row[kept], moves.col[kept], moves.data[kept]
    total = np.bincount(row, weight, minlength=len(home))
    leaving = np.flatnonzero(total > 0)
    matrix = sparse.csr_matrix((weight / total[row], (row, to)), shape=(len(home), size + 1))
    owner = np.concatenate([home[leaving], np.arange(count), [size]])
    stays = sparse.csr_matrix(
        (np.ones(count + 1), (np.arange(count + 1), np.full(count + 1, size))),
        shape=(count + 1, size + 1),
    )
    order = np.argsort(owner, kind="stable")
    rows = sparse.vstack([matrix[leaving], stays], format="csr")[order]
    rows.sort_indices()
    merged = World(
        rows=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=size + 1))]),
        action=np.zeros(len(owner), dtype=np.int32),
        entries=rows.indptr,
        successor=rows.indices,
        probability=rows.data,
        outcome=np.zeros(size + 1, dtype=np.int32),
        serves=np.zeros(len(owner), dtype=np.uint64),
        phase=np.zeros(size + 1, dtype=np.uint8),
        initial=int(state[world.initial]),
        action_names=("any",),
        outcome_names=("any",),
    )
    return merged, state


def _with_ends(merged: World, layout: Layout, count: int) -> Layout:
    """The layout with a goal line for each end component, and one that every row earns.

    A boundary's occupancy would say the same, in a dense array of states by end components.
    The discount becomes the last number below 1: the terms are those of discount 1, but every
    policy ends, as it does below 1, and that is what the quicker methods need.
    """
    lines, rows = len(layout.order), len(layout.row)
    stays = np.flatnonzero(merged.successor[merged.entries[layout.row]] == merged.states - 1)
    end = np.repeat(np.arange(lines), np.diff(layout.first_row))[stays]
    earned = sparse.csr_matrix(
        (
            np.ones(len(stays) + rows),
            (
                np.concatenate([stays, np.arange(rows)]),
                np.concatenate([layout.order[end], np.full(rows, count)]),
            ),
        ),
        shape=(rows, count + 1),
    )

    def with_earned(lists: Lists) -> Lists:
        own = sparse.csr_matrix((lists.weight, lists.line, lists.first), shape=(rows, lines + 1))
        both = sparse.hstack([own[:, :lines], earned], format="csr")
        return Lists(both.indptr.astype(np.int64), both.indices.astype(np.int64), both.data)

    return replace(
        layout,
        outcomes=count + 1,
        whole=with_earned(layout.whole),
        outer=with_earned(layout.outer),
        discount=float(np.nextafter(1.0, 0.0)),
        conserving=False,
    )


def _most_steps(layout: Layout) -> float:
    """W with P w <= w - 1 for some w in [0, W], checked in float64; infinite where none is found.

    The w are expected steps under the policy that takes longest, divided by what the residual
    leaves of 1.
    """
    goals = np.zeros((layout.outcomes, 1))
    goals[-1] = 1.0
    swept = sweep_goals(layout, goals, Task(1 / 8))
    steps = float(swept.values.max(initial=1.0))
    with np.errstate(invalid="ignore"):
        left = 1 - float(swept.residual[0]) - ROUNDING * steps
    return steps / left if left > 0 else np.inf
