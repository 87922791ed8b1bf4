"""The compiled inner loops: many goals at once, a block of them to a tile that stays in cache.

Axes: L live lines, Q rows, C components, O outcomes, G goals (padded to whole blocks), N terms.
Import this module through `compiled.kernels()`, which says what to install where numba is missing.

LLVM optimises what a function calls once more inside each caller, so the calls are kept two deep:
leaves are compiled by themselves, everything between them and the entry is inlined.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from corrigible.solve.vectors import BLOCK, LANES, best_rows, improve_line
from corrigible.world.record import Bools, Floats, Int32s, Int64s, UInt8s

PROBE = 6  # sweeps over which a method's speed is measured
ROOM = 3  # lines of workspace beside those of a component
MARGIN = 3  # another method must promise to be this many times as quick: first sweeps flatter
LIFT_EVERY = 8  # sweeps between two evaluations of the policy: one takes about 20 of them
LIFT_FROM = 24  # sweeps that a component gets without, unless lifts are asked for

ANY, SWEEPS, SPAN, LIFTS = range(4)
"""How components are settled: whatever promises to be quickest, or by one method alone."""

_F = TypeVar("_F", bound=Callable[..., Any])
_Rows = tuple[Int64s, Int64s, Floats]  # first, line, weight, as in `lists.Lists`
_Seeds = tuple[Int64s, Int64s, Int64s, Floats]  # first, and the three of its lists


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
    return cast("_F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


@inlined
def _mixed(number: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014, figure 16)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@compiled_leaf
def load_block(
    goals: Floats,
    draw: tuple[np.uint64, int, int],
    at: int,
    tile: Floats,
    lines: int,
    values: Floats,
    warm: bool,
    pins: Int64s,
    pinned: Int64s,
) -> None:
    """Bring one block into the tile: its goals, drawn or given, start values, what they pin."""
    seed, begin, outcomes = draw
    golden, most = np.uint64(0x9E3779B97F4A7C15), 1.0 / (1 << 53)
    for g in range(BLOCK):
        pinned[g] = pins[at + g]
        stream = _mixed(seed + np.uint64(begin + at + g + 1) * golden)
        for o in range(outcomes):
            if goals.shape[1] > 0:
                tile[lines + o, g] = goals[o, at + g]
            else:
                bits = _mixed(stream + np.uint64(o + 1) * golden)
                tile[lines + o, g] = np.float64(bits >> np.uint64(11)) * most
    if warm:
        for s in range(lines):
            for g in range(BLOCK):
                tile[s, g] = values[s, at + g]


@compiled_leaf
def keep_block(
    tile: Floats,
    room: Floats,
    at: int,
    values: Floats,
    residual: Floats,
    own: Int32s,
    scaling: tuple[float, float, int],
    sums: Floats,
) -> None:
    """Bring one block out: residuals; and values where there is room for them, else moments.

    The moments are those of `scaling[0] * (V - scaling[1] * u)`, u the utility of the line's
    outcome, over the goals before number `scaling[2]`; the others are padding.
    """
    factor, reward, goals = scaling
    lines, count = len(own), min(BLOCK, goals - at)
    for g in range(BLOCK):
        residual[at + g] = max(-room[1, g], room[2, g])
    for s in range(lines):
        if values.shape[1] > 0:
            for g in range(BLOCK):
                values[s, at + g] = tile[s, g]
        else:
            total, squares = 0.0, 0.0
            for g in range(count):
                x = factor * (tile[s, g] - reward * tile[lines + own[s], g])
                total += x
                squares += x * x
            sums[s, 0] += total
            sums[s, 1] += squares


@compiled_leaf
def leave_component(
    tile: Floats,
    bounds: tuple[int, int, int],
    first_row: Int64s,
    outer: _Rows,
    seeds: _Seeds,
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
    base = first_row[lo]
    if sums >= 0:
        first, line, weight = outer
        for r in range(base, first_row[hi]):
            best_rows(tile, first, line, weight, r, r + 1, tile, sums + r - base)
    if begin:
        own, first, line, weight = seeds
        for s in range(lo, hi):
            best_rows(tile, first, line, weight, own[s], own[s + 1], tile, s)
    pins[BLOCK] = 0
    for g in range(BLOCK):
        if lo <= pins[g] < hi:
            tile[pins[g], g] = 1.0
            pins[BLOCK] = 1


@compiled_leaf
def sweep_component(
    tile: Floats,
    bounds: tuple[int, int],
    upward: bool,
    first_row: Int64s,
    moving: _Rows,
    pins: Int64s,
    kept: int,
    policy: Int32s,
    room: Floats,
) -> float:
    """One Gauss-Seidel sweep of a component, up or down its lines; the largest move.

    Where `kept` is 1, not 0, `policy[s - lo]` gets the rows that attain the values.
    """
    lo, hi = bounds
    first, line, weight = moving
    for g in range(BLOCK):
        room[1, g] = 0.0
    for k in range(hi - lo):
        s = lo + k if upward else hi - 1 - k
        start, stop = first_row[s], first_row[s + 1]
        held = False
        if pins[BLOCK]:
            for g in range(BLOCK):
                held = held or pins[g] == s
        if held:
            for g in range(BLOCK):
                room[0, g] = room[1, g]
        improve_line(tile, first, line, weight, start, stop, s, room, policy, (s - lo) * kept)
        if held:
            for g in range(BLOCK):
                if pins[g] == s:
                    tile[s, g], room[1, g] = 1.0, room[0, g]
    moved = 0.0
    for g in range(BLOCK):
        moved = max(moved, room[1, g])
    return moved


@inlined
def _follow(lines: int, reals: Floats, places: Int32s, j: int) -> None:
    """Solve `value[i] = own[i] + factor[i] * value[after[i]]` exactly; `after` -1 ends a path.

    The four are lines j of their parts of the workspace of `_lift`.
    """
    factor, value, met, path = LANES + j, 2 * LANES + j, LANES, LANES + 1
    for i in range(lines):
        places[met, i] = 0
    for begin in range(lines):
        i, depth = begin, 0
        while i >= 0 and places[met, i] == 0:
            places[path, depth] = i
            depth += 1
            places[met, i] = -depth
            i = places[j, i]
        x = 0.0
        if i >= 0 and places[met, i] < 0:  # a cycle: what it brings once around, for good
            around = 1.0
            for k in range(-places[met, i] - 1, depth):
                x += around * reals[j, places[path, k]]
                around *= reals[factor, places[path, k]]
            x /= 1.0 - around
        elif i >= 0:
            x = reals[value, i]
        for k in range(depth - 1, -1, -1):
            i = places[path, k]
            x = reals[j, i] + reals[factor, i] * x
            reals[value, i] = x
            places[met, i] = 1


@compiled_leaf
def _lift(
    tile: Floats,
    bounds: tuple[int, int],
    moving: _Rows,
    inside: Int64s,
    pins: Int64s,
    policy: Int32s,
    reals: Floats,
    places: Int32s,
) -> None:
    """Evaluate the policy of the last sweep along each row's likeliest successor.

    Each state keeps its likeliest successor (the first term of a row's list) and takes the
    values of the others as they stand: what is left is a functional graph, and is solved exactly
    in O(lines).  This is one step of a regular splitting of the policy's equations (Varga 1962,
    theorem 3.13): exact policy evaluation where rows lead to one state, and elsewhere a step
    that follows every cycle of likely moves to its end.  It never passes the policy's own value
    from below.

    `reals` is `[3 * LANES, n]` and `places` `[LANES + 2, n]` workspace.
    """
    lo, hi = bounds
    first, line, weight = moving
    for part in range(0, BLOCK, LANES):
        for i in range(hi - lo):
            for j in range(LANES):
                g = part + j
                r = policy[i, g]
                total, likely, to = 0.0, 0.0, -1
                start = first[r]
                if pins[BLOCK] and pins[g] == lo + i:
                    total = 1.0
                else:
                    if inside[r] > 0:
                        likely, to, start = weight[start], line[start] - lo, start + 1
                    for t in range(start, first[r + 1]):
                        total += weight[t] * tile[line[t], g]
                reals[j, i], reals[LANES + j, i], places[j, i] = total, likely, to
        for j in range(LANES):
            _follow(hi - lo, reals, places, j)
        for i in range(hi - lo):
            for j in range(LANES):
                tile[lo + i, part + j] = reals[2 * LANES + j, i]


@compiled_leaf
def _jacobi(
    tile: Floats,
    bounds: tuple[int, int],
    first_row: Int64s,
    whole: _Rows,
    room: Floats,
) -> float:
    """One Jacobi sweep of a component; half the span of its changes, at most over the goals.

    `room` takes the new values, and in its last two lines the least and the largest change.
    """
    lo, hi = bounds
    first, line, weight = whole
    low, high = hi - lo, hi - lo + 1
    for g in range(BLOCK):
        room[low, g], room[high, g] = np.inf, -np.inf
    for s in range(lo, hi):
        best_rows(tile, first, line, weight, first_row[s], first_row[s + 1], room, s - lo)
    for s in range(lo, hi):
        for g in range(BLOCK):
            change = room[s - lo, g] - tile[s, g]
            room[low, g] = min(room[low, g], change)
            room[high, g] = max(room[high, g], change)
            tile[s, g] = room[s - lo, g]
    widest = 0.0
    for g in range(BLOCK):
        widest = max(widest, room[high, g] - room[low, g])
    return widest / 2


@inlined
def _sweeps_to_go(now: float, before: float, wanted: float) -> float:
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
    whole: _Rows,
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
    discount, tolerance, most = limits
    before = np.inf
    took = 0
    sweep = 0
    while took == 0:
        half = discount * _jacobi(tile, (lo, hi), first_row, whole, room)
        sweep += 1
        if not half > tolerance:
            for g in range(BLOCK):
                middle = (room[hi - lo, g] + room[hi - lo + 1, g]) / 2
                for s in range(lo, hi):
                    tile[s, g] += discount / (1 - discount) * middle
            took = sweep
        elif sweep >= most or cancel[0]:
            took = -sweep
        elif sweep % PROBE == 1:
            if sweep > 1 and MARGIN * _sweeps_to_go(half, before, tolerance) > rival:
                took = -sweep
            before = half
    return took


@inlined
def _settle(
    tile: Floats,
    bounds: tuple[int, int, bool, bool],
    first_row: Int64s,
    moving: _Rows,
    inside: Int64s,
    whole: _Rows,
    pins: Int64s,
    limits: tuple[float, float, int],
    method: int,
    room: Floats,
    policy: Int32s,
    reals: Floats,
    places: Int32s,
    report: Int64s,
    block: int,
    cancel: UInt8s,
) -> None:
    """Sweep one component until no value moves by much; `report` counts sweeps, lifts, spans.

    Gauss-Seidel, up and down in turn.  What this settles slowly is helped by `_lift` where rows
    lead to one state at most (elsewhere a lift costs more than it brings), and tried by
    `_settle_span` where it is closed.  The second half of the sweeps allowed goes without lifts:
    sweeps alone converge from anywhere.
    """
    lo, hi, closed, functional = bounds
    _, tolerance, most = limits
    before = np.inf
    rival = np.inf if method == SPAN else 0.0
    sweeps = 0
    may_span = method == ANY and closed and not functional and not pins[BLOCK]
    lift_from = most
    if method == LIFTS:
        lift_from = 0
    elif method == ANY and functional:
        lift_from = LIFT_FROM
    done = False
    while not done:
        if rival > MARGIN * PROBE:
            took = _settle_span(tile, (lo, hi), first_row, whole, limits, rival, room, cancel)
            done, sweeps, rival = took > 0, sweeps + abs(took), 0.0
            report[block, 2] += done
        else:
            kept = 1 if (sweeps + 1) % LIFT_EVERY == 0 else 0
            moved = sweep_component(
                tile, (lo, hi), sweeps % 2 == 0, first_row, moving, pins, kept, policy, room
            )
            sweeps += 1
            done = not moved > tolerance or sweeps >= most or cancel[0] != 0
            if sweeps == PROBE:
                before = moved
            if sweeps == 2 * PROBE and may_span:
                rival = _sweeps_to_go(moved, before, tolerance)
            if lift_from <= sweeps < most // 2 and sweeps % LIFT_EVERY == 0 and not done:
                _lift(tile, (lo, hi), moving, inside, pins, policy, reals, places)
                report[block, 1] += 1
    report[block, 0] = max(report[block, 0], sweeps)


@compiled_leaf
def measure_block(
    tile: Floats,
    first_row: Int64s,
    whole: _Rows,
    pins: Int64s,
    horizon: float,
    room: Floats,
) -> float:
    """The largest |TV - V| of the block, T the Bellman operator as given.

    Lines 1 and 2 of `room` get the least and the largest TV - V of each goal.  Where `horizon`
    is positive, V* lies within horizon * [least, largest] of V (MacQueen 1966; Porteus 1971):
    each goal is moved to the middle, and its residual, as far as it matters, is half the span.
    """
    first, line, weight = whole
    lines = len(first_row) - 1
    for g in range(BLOCK):
        room[1, g], room[2, g] = np.inf, -np.inf
    for s in range(lines):
        best_rows(tile, first, line, weight, first_row[s], first_row[s + 1], room, 0)
        for g in range(BLOCK):
            off = 0.0 if pins[g] == s else room[0, g] - tile[s, g]
            room[1, g] = min(room[1, g], off)
            room[2, g] = max(room[2, g], off)
    worst = 0.0
    for g in range(BLOCK):
        if horizon > 0:
            middle, half = (room[1, g] + room[2, g]) / 2, (room[2, g] - room[1, g]) / 2
            room[0, g], room[1, g], room[2, g] = horizon * middle, -half, half
        worst = max(worst, -room[1, g], room[2, g])
    if horizon > 0:
        for s in range(lines):
            for g in range(BLOCK):
                tile[s, g] += room[0, g]
    return worst


@compiled_entry
def solve_goals(
    goals: Floats,
    draw: tuple[np.uint64, int, int],
    component: Int64s,
    closed: Bools,
    functional: Bools,
    summed: Bools,
    first_row: Int64s,
    inside: Int64s,
    moving: _Rows,
    outer: _Rows,
    seeds: _Seeds,
    whole: _Rows,
    pins: Int64s,
    limits: tuple[float, float, float, int, int, int],
    values: Floats,
    warm: bool,
    residual: Floats,
    report: Int64s,
    own: Int32s,
    scaling: tuple[float, float, int],
    sums: Floats,
    cancel: UInt8s,
    tile: Floats,
    room: Floats,
    blocks: tuple[int, int],
) -> None:
    """Solve each block of goals in a range on its own, and measure what is left.

    Args:
        goals: `[O, G]`, G a multiple of BLOCK; or no columns, where goals are drawn.
        draw: the seed, the number of the first goal, and O.
        component: the layout's.
        closed: the layout's.
        functional: the layout's.
        summed: the layout's.
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
        values: `[L, G]`, start values where `warm`; the result.  No columns: nothing is kept.
        warm: whether `values` holds start values.
        residual: `[G]`, the largest Bellman residual, the result.
        report: `[G / BLOCK, 3]`, most sweeps of a component, lifts, spans; the result.
        own: `[L]`, the outcome of each line.
        scaling: see `keep_block`.
        sums: `[L, 2]`, added to, where values are not kept.
        cancel: `[1]`; where it becomes other than 0, all ends soon, and nothing is of use.
        tile: `[L + O + most rows of a component that is summed, BLOCK]`, workspace.
        room: `[lines of the largest component + ROOM, BLOCK]`, workspace.
        blocks: the first block, and the one after the last.
    """
    discount, wanted, horizon, most, rounds, method = limits
    lines, outcomes = len(first_row) - 1, draw[2]
    longest = len(room) - ROOM
    policy = np.empty((longest, BLOCK), dtype=np.int32)
    reals = np.empty((3 * LANES, longest))
    places = np.empty((LANES + 2, longest), dtype=np.int32)
    pinned = np.empty(BLOCK + 1, dtype=np.int64)
    for block in range(blocks[0], blocks[1]):
        at = block * BLOCK
        load_block(goals, draw, at, tile, lines, values, warm, pins, pinned)
        for attempt in range(rounds):
            for c in range(len(component) - 1):
                lo, hi = component[c], component[c + 1]
                begin = hi - lo == 1 or not (warm or attempt > 0)
                bounds = (lo, hi, lines + outcomes if summed[c] else -1)
                leave_component(tile, bounds, first_row, outer, seeds, begin, pinned)
                if hi - lo > 1:
                    _settle(
                        tile, (lo, hi, closed[c], functional[c]), first_row, moving, inside,
                        whole, pinned, (discount, wanted / 8.0**attempt, most), method, room,
                        policy, reals, places, report, block, cancel,
                    )  # fmt: skip
            left = measure_block(tile, first_row, whole, pinned, horizon, room)
            if not left > wanted or cancel[0]:
                break
        keep_block(tile, room, at, values, residual, own, scaling, sums)
        if cancel[0]:
            break
