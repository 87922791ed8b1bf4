"""Compiled: components that sweeps settle slowly, with the help of evaluated policies.

The axes are those of `kernels`.  Import it through `compiled.lifting()`.
"""

import numpy as np

from corrigible.solve.kernels import (
    FUNCTIONAL,
    LIFT_EVERY,
    LIFT_FROM,
    LIFTS,
    QUIET,
    ROOM,
    SUMMED,
    Moments,
    Rows,
    Seeds,
    Stamps,
    compiled_entry,
    compiled_leaf,
    improve_component,
    inlined,
    keep_block,
    leave_component,
    load_block,
    settle,
    sweep_component,
)
from corrigible.solve.lines import measure_lines, widest
from corrigible.solve.vectors import BLOCK, LANES
from corrigible.world.record import Floats, Int32s, Int64s, UInt8s


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
    moving: Rows,
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
def _settle_with_lifts(
    tile: Floats,
    bounds: tuple[int, int],
    first_row: Int64s,
    inside: Int64s,
    moving: Rows,
    pins: Int64s,
    limits: tuple[float, int, int],
    room: Floats,
    stamps: Stamps,
    policy: Int32s,
    reals: Floats,
    places: Int32s,
    report: Int64s,
    block: int,
    cancel: UInt8s,
) -> None:
    """As `kernels.settle`, helped by `_lift`; `report` counts sweeps and lifts.

    The second half of the sweeps allowed goes without lifts: sweeps alone converge from anywhere.
    """
    lo, hi = bounds
    tolerance, most, begin = limits
    sweeps, still = lo - lo, 0  # for numba a plain 0 is a type of its own
    for s in range(hi - lo):
        stamps[0][s] = 0
    done = False
    while not done:
        if (sweeps + 1) % LIFT_EVERY == 0:
            improve_component(tile, bounds, sweeps % 2 == 0, first_row, moving, pins, policy, room)
            still = 0
        else:
            quiet = still * QUIET > hi - lo and not pins[BLOCK]
            still = sweep_component(
                tile, bounds, sweeps, quiet, first_row, inside, moving, pins, room, stamps
            )
        sweeps += 1
        done = not widest(room, 1) > tolerance or sweeps >= most or cancel[0] != 0
        if not done and begin <= sweeps < most // 2 and sweeps % LIFT_EVERY == 0:
            _lift(tile, bounds, moving, inside, pins, policy, reals, places)
            report[block, 1] += 1
    report[block, 0] = max(report[block, 0], sweeps)


@inlined
def _settle(
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
    policy: Int32s,
    reals: Floats,
    places: Int32s,
    report: Int64s,
    block: int,
    cancel: UInt8s,
) -> None:
    """With lifts where rows lead to one state at most; elsewhere they cost more than they bring."""
    _, tolerance, most, method = limits
    if method == LIFTS or kind & FUNCTIONAL:
        _settle_with_lifts(
            tile, bounds, first_row, inside, moving, pins,
            (tolerance, most, 0 if method == LIFTS else LIFT_FROM), room, stamps, policy, reals,
            places, report, block, cancel,
        )  # fmt: skip
    else:
        settle(
            tile, bounds, kind, first_row, inside, moving, whole, pins, limits, room, stamps,
            report, block, cancel,
        )  # fmt: skip


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
    """As `kernels.solve_goals`, with lifts.

    Args:
        goals: as there; so are all others.
        steps: as there.
        draw: as there.
        component: as there.
        kinds: as there.
        first_row: as there.
        inside: as there.
        moving: as there.
        outer: as there.
        seeds: as there.
        whole: as there.
        pins: as there.
        limits: as there.
        values: as there.
        order: as there.
        begin: as there.
        residual: as there.
        report: as there.
        moments: as there.
        cancel: as there.
        tile: as there.
        room: as there.
        pinned: as there.
        stamps: as there.
        blocks: as there.
    """
    discount, wanted, horizon, most, rounds, method = limits
    lines, longest = len(first_row) - 1, len(room) - ROOM
    policy = np.empty((longest, BLOCK), dtype=np.int32)
    reals = np.empty((3 * LANES, longest))
    places = np.empty((LANES + 2, longest), dtype=np.int32)
    for block in range(blocks[0], blocks[1]):
        at = block * BLOCK
        load_block(goals, steps, draw, at, tile, lines, values, order, begin, pins, pinned)
        report[block, 0] = report[block, 2] = report[block, 3] = 0
        tolerance = wanted
        for attempt in range(rounds):
            for c in range(len(component) - 1):
                lo, hi = component[c], component[c + 1]
                starts = hi - lo == 1 or not (begin[0] or attempt > 0)
                summed = lines + draw[2] if kinds[c] & SUMMED else -1
                leave_component(tile, (lo, hi, summed), first_row, outer, seeds, starts, pinned)
                if hi - lo > 1:
                    _settle(
                        tile, (lo, hi), kinds[c], first_row, inside, moving, whole, pinned,
                        (discount, tolerance, most, method), room, stamps, policy, reals, places,
                        report, block, cancel,
                    )  # fmt: skip
            left = measure_lines(
                tile, first_row, whole[0], whole[1], whole[2], lines, pinned, room, horizon
            )
            if not left > wanted or cancel[0]:
                break
            tolerance /= 8
        keep_block(tile, room, at, values, order, begin[1], residual, moments)
        if cancel[0]:
            break
