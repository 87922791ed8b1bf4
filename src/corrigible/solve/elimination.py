"""Compiled policy iteration whose policies are evaluated by sparse elimination, goals abreast.

The axes are those of `kernels`.  Import it through `compiled.elimination()`.
"""

from typing import Any

import numpy as np

from corrigible.solve.kernels import (
    ROOM,
    SUMMED,
    Moments,
    Rows,
    Seeds,
    compiled_entry,
    compiled_leaf,
    improve_component,
    keep_block,
    leave_component,
    load_block,
)
from corrigible.solve.lines import measure_lines, widest
from corrigible.solve.vectors import BLOCK, LANES, Call, Emitter, operation
from corrigible.world.record import Floats, Int32s, Int64s, UInt8s

SWEEPS = 8  # between two evaluations: one takes as long as dozens, and they save some of them
IMPROVEMENTS = 1000  # far above what is ever needed: a policy never comes back

NEGLIGIBLE = 1e-100  # of a weight: far below rounding, far above what processors are slow with

_Plan = tuple[Int64s, Int64s, Int32s, Int64s, Int32s, Int32s]
"""place, first, entry, first_target, target and spot of a `factors.Plan`."""


@operation("numbers target start source count factor line", width=LANES)
def _subtract(emit: Emitter, call: Call) -> None:
    """`numbers[target[start + i]] -= factor[line] * numbers[source + i]`, i below count."""
    builder, numbers, target = emit.builder, call.data("numbers"), call.data("target")
    start, source = call.number("start"), call.number("source")
    held = emit.load(call.data("factor"), call.number("line"))

    def update(i: Any, carried: list[Any]) -> list[Any]:
        to = emit.at(target, builder.add(start, i))
        old = emit.load(numbers, to)
        own = emit.load(numbers, builder.add(source, i))
        emit.store(numbers, to, emit.minus(old, emit.times(held, own)))
        return carried

    emit.loop(emit.word(0), call.number("count"), [], update)


@compiled_leaf
def _assemble(
    tile: Floats,
    bounds: tuple[int, int],
    moving: Rows,
    policy: Int32s,
    part: int,
    place: Int64s,
    spot: Int32s,
    entries: int,
    numbers: Floats,
    right: Floats,
) -> None:
    """The equations of each goal's policy, LANES goals from `part`: 1 less where rows lead."""
    lo, hi = bounds
    first, line, weight = moving
    states = hi - lo
    for i in range(states + 2 * entries):
        for g in range(LANES):
            numbers[i, g] = 1.0 if i < states else 0.0
    for s in range(states):
        for g in range(LANES):
            r, brought = policy[s, part + g], 0.0
            for t in range(first[r], first[r + 1]):
                if spot[t] >= 0:
                    numbers[spot[t], g] -= weight[t]
                else:
                    brought += weight[t] * tile[line[t], part + g]
            right[place[lo + s], g] = brought


@compiled_leaf
def _solve_part(
    bounds: tuple[int, int],
    first: Int64s,
    entry: Int32s,
    first_target: Int64s,
    target: Int32s,
    numbers: Floats,
    right: Floats,
    factor: Floats,
) -> None:
    """Solve the equations in place, the solution into `right`.

    No pivoting: they are strictly diagonally dominant by rows, which bounds the growth of the
    elements by 2 (Higham 2002, section 9.5).
    """
    lo, hi = bounds
    states, begin = hi - lo, first[lo]
    entries = first[hi] - begin
    for k in range(states):
        own = first[lo + k] - begin
        count = first[lo + k + 1] - first[lo + k]
        at = first_target[lo + k]
        for g in range(LANES):
            numbers[k, g] = 1.0 / numbers[k, g]
        for i in range(count):
            below = entry[begin + own + i]
            for g in range(LANES):
                factor[0, g] = numbers[states + entries + own + i, g] * numbers[k, g]
            weight = 0.0
            for g in range(LANES):
                weight = max(weight, -factor[0, g])
            if weight > NEGLIGIBLE:  # most of what some policy might touch, these do not
                for g in range(LANES):
                    right[below, g] -= factor[0, g] * right[k, g]
                _subtract(numbers, target, at + i * count, states + own, count, factor, 0)
    for k in range(states - 1, -1, -1):
        own = first[lo + k] - begin
        for i in range(first[lo + k + 1] - first[lo + k]):
            beside = entry[begin + own + i]
            for g in range(LANES):
                right[k, g] -= numbers[states + own + i, g] * right[beside, g]
        for g in range(LANES):
            right[k, g] *= numbers[k, g]


@compiled_leaf
def _improve(
    tile: Floats,
    bounds: tuple[int, int],
    first_row: Int64s,
    moving: Rows,
    pins: Int64s,
    plan: _Plan,
    tolerance: float,
    policy: Int32s,
    room: Floats,
    numbers: Floats,
    right: Floats,
    factor: Floats,
    cancel: UInt8s,
) -> int:
    """Improve and evaluate policies until no value moves; how many were evaluated.

    Sweeps improve: the policy that the last one finds is worth at least the values it leaves, as
    long as they start at or below what they can become (Puterman 1994, section 6.4).
    """
    lo, hi = bounds
    place, first, entry, first_target, target, spot = plan
    evaluated = 0
    while evaluated < IMPROVEMENTS:
        for k in range(SWEEPS):
            improve_component(tile, bounds, k % 2 == 0, first_row, moving, pins, policy, room)
            if not widest(room, 1) > tolerance or cancel[0] != 0:
                return evaluated
        entries = first[hi] - first[lo]
        for part in range(0, BLOCK, LANES):
            _assemble(tile, bounds, moving, policy, part, place, spot, entries, numbers, right)
            _solve_part(bounds, first, entry, first_target, target, numbers, right, factor)
            for s in range(lo, hi):
                for g in range(LANES):
                    tile[s, part + g] = right[place[s], g]
        evaluated += 1
    return evaluated


@compiled_entry
def improve_goals(
    goals: Floats,
    steps: tuple[int, int],
    draw: tuple[np.uint64, int, int],
    component: Int64s,
    kinds: UInt8s,
    first_row: Int64s,
    moving: Rows,
    outer: Rows,
    seeds: Seeds,
    whole: Rows,
    plan: _Plan,
    limits: tuple[float, float, int],
    values: Floats,
    order: Int64s,
    begin: tuple[bool, int, int],
    residual: Floats,
    report: Int64s,
    moments: Moments,
    cancel: UInt8s,
    tile: Floats,
    room: Floats,
    pins: Int64s,
    pinned: Int64s,
    numbers: Floats,
    blocks: tuple[int, int],
) -> None:
    """As `kernels.solve_goals`, with policy iteration instead of sweeps.

    Args:
        goals: as there; so are all that are not named here.
        steps: as there.
        draw: as there.
        component: as there.
        kinds: as there.
        first_row: as there.
        moving: as there.
        outer: as there.
        seeds: as there.
        whole: as there.
        plan: the elimination of the layout's components.
        limits: the residual wanted, the horizon, and how many rounds at most.
        values: as there.
        order: as there.
        begin: as there.
        residual: as there.
        report: `[blocks, 4]`; evaluations of policies in the second column.
        moments: as there.
        cancel: as there.
        tile: as there.
        room: as there.
        pins: as there; nothing is held.
        pinned: as there.
        numbers: `[numbers of the largest component's plan, LANES]`, workspace.
        blocks: as there.
    """
    wanted, horizon, rounds = limits
    lines = len(first_row) - 1
    longest = len(room) - ROOM
    policy = np.empty((longest, BLOCK), dtype=np.int32)
    right = np.empty((longest, LANES))
    factor = np.empty((1, LANES))
    for block in range(blocks[0], blocks[1]):
        at = block * BLOCK
        load_block(goals, steps, draw, at, tile, lines, values, order, begin, pins, pinned)
        tolerance = wanted
        for attempt in range(rounds):
            for c in range(len(component) - 1):
                lo, hi = component[c], component[c + 1]
                starts = hi - lo == 1 or not (begin[0] or attempt > 0)
                summed = lines + draw[2] if kinds[c] & SUMMED else -1
                leave_component(tile, (lo, hi, summed), first_row, outer, seeds, starts, pinned)
                if hi - lo > 1:
                    report[block, 1] += _improve(
                        tile, (lo, hi), first_row, moving, pinned, plan, tolerance,
                        policy, room, numbers, right, factor, cancel,
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
