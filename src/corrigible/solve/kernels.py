"""The compiled inner loops: many goals at once, a block of them to a tile that stays in cache.

Axes: L live lines, Q rows, C components, O outcomes, G goals, N terms.
Import this module through `compiled.kernels()`, which says what to install where numba is missing.

What most worlds need is here, and what few do in modules of their own, `lifting` and
`elimination`: a first call compiles what it uses.  numba takes longer over a loop than LLVM, and
LLVM optimises what a function calls once more inside each caller.  So loops over goals are
operations of `vectors`, and calls are two deep.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from corrigible.solve.lines import (
    centre_lines,
    copy_line,
    draw_lines,
    fill_line,
    hold_line,
    improve_line,
    jacobi_lines,
    keep_moments,
    keep_residuals,
    keep_values,
    load_goals,
    load_values,
    measure_lines,
    pin_lines,
    seed_lines,
    sum_rows,
    sweep_line,
    widest,
)
from corrigible.solve.vectors import BLOCK
from corrigible.world.record import Floats, Int32s, Int64s, UInt8s

PROBE = 6  # sweeps over which a method's speed is measured
ROOM = 3  # lines of workspace beside those of a component
MARGIN = 3  # another method must promise to be this many times as quick: first sweeps flatter
LIFT_EVERY = 8  # sweeps between two evaluations of the policy: one takes about 20 of them
LIFT_FROM = 24  # sweeps that a component gets without, unless lifts are asked for
QUIET = 8  # of so many lines one must have stood still before sweeps look for such lines

ANY, SWEEPS, SPAN, LIFTS = range(4)
"""How components are settled: whatever promises to be quickest, or by one method alone."""

CLOSED, FUNCTIONAL, SUMMED = 1, 2, 4
"""What a component is, added up: as the layout's arrays of these names say."""

_F = TypeVar("_F", bound=Callable[..., Any])
Rows = tuple[Int64s, Int64s, Floats]  # first, line, weight, as in `lists.Lists`
Seeds = tuple[Int64s, Int64s, Int64s, Floats]  # first, and the three of its lists
Moments = tuple[Int32s, tuple[float, float, int], Floats]  # own, scaling, sums: see `keep_block`
Stamps = tuple[Int64s, Int64s]  # of each line of a component: last changed, last computed


def compiled_leaf(function: _F) -> _F:
    """Compile without fastmath, so that sums keep their order and NaN its meaning."""
    options: Any = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast("_F", numba.njit(**options)(function))


def inlined(function: _F) -> _F:
    """Make it part of its caller."""
    return cast("_F", numba.njit(inline="always", error_model="numpy")(function))


def compiled_entry(function: _F) -> _F:
    """Compile to run without Python's lock, so that threads can share the blocks of goals.

    numba's own `parallel=True` takes twice as long to compile and is no faster here.
    """
    options: Any = {"error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    return cast("_F", numba.njit(cache=True, **options)(function))


@compiled_leaf
def load_block(
    goals: Floats,
    steps: tuple[int, int],
    draw: tuple[np.uint64, int, int],
    at: int,
    tile: Floats,
    lines: int,
    values: Floats,
    order: Int64s,
    begin: tuple[bool, int, int],
    pins: Int64s,
    pinned: Int64s,
) -> None:
    """Bring one block into the tile: its goals, drawn or given, start values, what they pin.

    `begin` says whether there are start values, in which column, and how many goals there are;
    beyond the last one it is repeated.
    """
    warm, column, count = begin
    seed, first, outcomes = draw
    if len(goals) == 0:
        draw_lines(tile, lines, outcomes, seed, first + at)
    else:
        load_goals(goals, steps[0], steps[1], at, count, tile, lines, outcomes)
    if warm:
        width = values.shape[1]
        load_values(values, order, width, column + at, column + count, tile, 0, lines, 1)
    for g in range(BLOCK):
        pinned[g] = pins[min(at + g, count - 1)]


@compiled_leaf
def keep_block(
    tile: Floats,
    room: Floats,
    at: int,
    values: Floats,
    order: Int64s,
    column: int,
    residual: Floats,
    moments: Moments,
) -> None:
    """Bring one block out: residuals; and values where there is room for them, else moments.

    `own` are the outcomes of the lines.  The moments, added to `sums`, `[L, 2]`, are those of
    `scaling[0] * (V - scaling[1] * u)`, u the utility of the line's outcome, over the goals before
    number `scaling[2]`.
    """
    own, (factor, reward, goals), sums = moments
    lines, count, width = len(own), min(BLOCK, goals - at), values.shape[1]
    keep_residuals(room, residual, at, count)
    if width > 0:
        keep_values(tile, lines, values, order, width, column + at, count)
    else:
        keep_moments(tile, lines, own, factor, reward, count, sums)


@inlined
def leave_component(
    tile: Floats,
    bounds: tuple[int, int, int],
    first_row: Int64s,
    outer: Rows,
    seeds: Seeds,
    begin: bool,
    pins: Int64s,
) -> None:
    """What of a component's rows does not change while it is settled, and where it starts.

    `bounds` are its lines and the line of the tile from which the sums of what each row brings
    from outside are written, or -1 where sweeps add that up themselves.  Where `begin`, each
    line starts at the best of its seeds.  What goals hold at 1 in the component is set to 1, and
    `pins[BLOCK]` says whether any do.
    """
    lo, hi, sums = bounds
    if sums >= 0:
        sum_rows(tile, outer[0], outer[1], outer[2], first_row[lo], first_row[hi], sums)
    if begin:
        seed_lines(tile, seeds[0], seeds[1], seeds[2], seeds[3], lo, hi)
    pins[BLOCK] = pin_lines(tile, pins, lo, hi)


@compiled_leaf
def sweep_component(
    tile: Floats,
    bounds: tuple[int, int],
    sweep: int,
    quiet: bool,
    first_row: Int64s,
    inside: Int64s,
    moving: Rows,
    pins: Int64s,
    room: Floats,
    stamps: Stamps,
) -> int:
    """Gauss-Seidel sweep number `sweep` of a component, up or down its lines in turn.

    Where `quiet`, a line whose successors have not changed since it was last computed is left
    out: it would not change either.  `room[1]` gets how far each goal's values moved.  Returns
    how many lines stood still.
    """
    lo, hi = bounds
    first, line, weight = moving
    changed, computed = stamps
    clock, still = sweep * (hi - lo + 1), 0
    fill_line(room, 1, 0.0)
    for k in range(hi - lo):
        s = lo + k if sweep % 2 == 0 else hi - 1 - k
        start, stop = first_row[s], first_row[s + 1]
        clock += 1
        stale = not quiet
        if quiet:
            for r in range(start, stop):
                for t in range(first[r], first[r] + inside[r]):
                    stale |= changed[line[t] - lo] > computed[s - lo]
        if pins[BLOCK]:
            copy_line(room, 1, room, 0)
        if stale and sweep_line(tile, first, line, weight, start, stop, s, room):
            changed[s - lo] = clock
        else:
            still += 1
        if stale:
            computed[s - lo] = clock
        if pins[BLOCK]:
            hold_line(tile, s, room, pins)
    return still


@compiled_leaf
def improve_component(
    tile: Floats,
    bounds: tuple[int, int],
    upward: bool,
    first_row: Int64s,
    moving: Rows,
    pins: Int64s,
    policy: Int32s,
    room: Floats,
) -> None:
    """As `sweep_component` of every line; `policy[s - lo]` gets the rows that attain the values."""
    lo, hi = bounds
    first, line, weight = moving
    fill_line(room, 1, 0.0)
    for k in range(hi - lo):
        s = lo + k if upward else hi - 1 - k
        if pins[BLOCK]:
            copy_line(room, 1, room, 0)
        start, stop = first_row[s], first_row[s + 1]
        improve_line(tile, first, line, weight, start, stop, s, room, policy, s - lo)
        if pins[BLOCK]:
            hold_line(tile, s, room, pins)


@inlined
def sweeps_to_go(now: float, before: float, wanted: float) -> float:
    """Sweeps still needed, should each shrink what is left as the last PROBE of them did."""
    still = np.inf if now > wanted else 0.0
    if wanted < now < before:
        still = PROBE * np.log(now / wanted) / np.log(before / now)
    return still


@inlined
def _settle_span(
    tile: Floats,
    bounds: tuple[int, int],
    first_row: Int64s,
    whole: Rows,
    limits: tuple[float, float, int],
    rival: float,
    room: Floats,
    cancel: UInt8s,
) -> int:
    """Settle a closed component by Jacobi sweeps; how many, or less than 0 where given up.

    After a sweep whose changes lie in [low, high], all later ones together lie within
    d / (1 - d) times that, d the discount (MacQueen 1966).  Adding the middle of it leaves a
    Bellman residual of at most d times half the span, and where a chain mixes well the span
    shrinks far sooner than the changes.  Given up as soon as `rival` sweeps promise to be fewer.
    """
    lo, hi = bounds
    first, line, weight = whole
    discount, tolerance, most = limits
    before, sweep, took = np.inf, 0, 0
    while took == 0:
        half = discount * jacobi_lines(tile, first_row, first, line, weight, lo, hi, room) / 2
        sweep += 1
        if not half > tolerance:
            centre_lines(tile, lo, hi, room, discount / (1 - discount))
            took = sweep
        elif sweep >= most or cancel[0]:
            took = -sweep
        elif sweep % PROBE == 1:
            if sweep > 1 and MARGIN * sweeps_to_go(half, before, tolerance) > rival:
                took = -sweep
            before = half
    return took


@compiled_leaf
def settle(
    tile: Floats,
    bounds: tuple[int, int],
    kind: int,
    first_row: Int64s,
    inside: Int64s,
    moving: Rows,
    whole: Rows,
    pins: Int64s,
    limits: tuple[float, float, int, int],
    room: Floats,
    stamps: Stamps,
    report: Int64s,
    block: int,
    cancel: UInt8s,
) -> bool:
    """Sweep one component until no value moves by much; False: the help of `lifting` is wanted.

    `report` counts sweeps and spans.  What Gauss-Seidel settles slowly is tried by `_settle_span`
    where the component is closed.
    """
    lo, hi = bounds
    discount, tolerance, most, method = limits
    rival = np.inf if method == SPAN else 0.0
    may_lift = method == ANY and kind & FUNCTIONAL
    may_span = method == ANY and kind & CLOSED and not kind & FUNCTIONAL and not pins[BLOCK]
    before, still, sweeps = np.inf, 0, lo - lo  # for numba a plain 0 is a type of its own
    for s in range(hi - lo):
        stamps[0][s] = 0
    done = False
    while not done:
        if rival > MARGIN * PROBE:
            span = (discount, tolerance, most)
            took = _settle_span(tile, (lo, hi), first_row, whole, span, rival, room, cancel)
            done, sweeps, rival, still = took > 0, sweeps + abs(took), 0.0, 0
            report[block, 2] += done
        else:
            quiet = still * QUIET > hi - lo and not pins[BLOCK]
            still = sweep_component(
                tile, bounds, sweeps, quiet, first_row, inside, moving, pins, room, stamps
            )
            moved = widest(room, 1)
            sweeps += 1
            done = not moved > tolerance or sweeps >= most or cancel[0] != 0
            if sweeps == PROBE:
                before = moved
            if sweeps == 2 * PROBE and may_span:
                rival = sweeps_to_go(moved, before, tolerance)
            if not done and may_lift and sweeps == LIFT_FROM < most // 2:
                return False
    report[block, 0] = max(report[block, 0], sweeps)
    return True


@compiled_entry
def solve_goals(
    goals: Floats,
    steps: tuple[int, int],
    draw: tuple[np.uint64, int, int],
    component: Int64s,
    kinds: UInt8s,
    first_row: Int64s,
    inside: Int64s,
    moving: Rows,
    outer: Rows,
    seeds: Seeds,
    whole: Rows,
    pins: Int64s,
    limits: tuple[float, float, float, int, int, int],
    values: Floats,
    order: Int64s,
    begin: tuple[bool, int, int],
    residual: Floats,
    report: Int64s,
    moments: Moments,
    cancel: UInt8s,
    tile: Floats,
    room: Floats,
    pinned: Int64s,
    stamps: Stamps,
    blocks: tuple[int, int],
) -> None:
    """Solve each block of goals in a range on its own, and measure what is left.

    A block that wants the help of `lifting` is not solved: see `report`.

    Args:
        goals: the utilities, in one line; or none, where goals are drawn.
        steps: how far apart in `goals` outcomes are, and goals.
        draw: the seed, the number of the first goal, and O.
        component: the layout's.
        kinds: `[C]`, what each component is.
        first_row: the layout's.
        inside: the layout's.
        moving: the layout's, as a tuple.
        outer: as `moving`.
        seeds: the same.
        whole: the same.
        pins: `[G]`, the line that each goal holds at 1, or -1.
        limits: the discount; the residual wanted; 1 / (1 - discount) where adding a constant to
            all values adds the discounted constant, else 0; how many sweeps and rounds at most;
            the method.
        values: the result, and start values where there are any.  No columns: nothing is kept.
        order: `[L]`, the row of `values` of each line.
        begin: whether `values` holds start values, the column of the first goal there, and G.
        residual: `[G]`, the largest Bellman residual, the result.
        report: `[blocks, 4]`, most sweeps of a component, lifts, spans, and 1 where help is
            wanted; the result.
        moments: own, scaling and sums; see `keep_block`.
        cancel: `[1]`; where it becomes other than 0, all ends soon, and nothing is of use.
        tile: `[L + O + most rows of a component that is summed, BLOCK]`, workspace.
        room: `[lines of the largest component + ROOM, BLOCK]`, workspace.
        pinned: `[BLOCK + 1]`, workspace.
        stamps: each `[lines of the largest component]`, workspace.
        blocks: the first block, and the one after the last.
    """
    discount, wanted, horizon, most, rounds, method = limits
    lines = len(first_row) - 1
    for block in range(blocks[0], blocks[1]):
        at = block * BLOCK
        load_block(goals, steps, draw, at, tile, lines, values, order, begin, pins, pinned)
        settled, tolerance = True, wanted
        for attempt in range(rounds):
            for c in range(len(component) - 1):
                lo, hi = component[c], component[c + 1]
                starts = hi - lo == 1 or not (begin[0] or attempt > 0)
                summed = lines + draw[2] if kinds[c] & SUMMED else -1
                leave_component(tile, (lo, hi, summed), first_row, outer, seeds, starts, pinned)
                if hi - lo > 1:
                    settled = settle(
                        tile, (lo, hi), kinds[c], first_row, inside, moving, whole, pinned,
                        (discount, tolerance, most, method), room, stamps, report, block, cancel,
                    )  # fmt: skip
                    if not settled:
                        break
            if not settled:
                break
            left = measure_lines(
                tile, first_row, whole[0], whole[1], whole[2], lines, pinned, room, horizon
            )
            if not left > wanted or cancel[0]:
                break
            tolerance /= 8
        report[block, 3] = not settled
        if settled:
            keep_block(tile, room, at, values, order, begin[1], residual, moments)
        if cancel[0]:
            break
