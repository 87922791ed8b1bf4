"""Compiled policy iteration whose policies are evaluated by sparse elimination, goals abreast.

The axes are those of `kernels`.  Import it through `compiled.elimination()`.
"""

from typing import Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]  # llvmlite ships no types
from numba.core import types
from numba.extending import intrinsic

from corrigible.solve.kernels import (
    ROOM,
    compiled_entry,
    compiled_leaf,
    inlined,
    keep_block,
    leave_component,
    load_block,
    measure_block,
    sweep_component,
)
from corrigible.solve.vectors import BLOCK, LANES, Call, Emitter
from corrigible.world.record import Bools, Floats, Int32s, Int64s, UInt8s

SWEEPS = 8  # between two evaluations: one takes as long as dozens, and they save some of them
IMPROVEMENTS = 1000  # far above what is ever needed: a policy never comes back

NEGLIGIBLE = 1e-100  # of a weight: far below rounding, far above what processors are slow with

_Rows = tuple[Int64s, Int64s, Floats]
_Seeds = tuple[Int64s, Int64s, Int64s, Floats]
_Plan = tuple[Int64s, Int64s, Int32s, Int64s, Int32s, Int32s]
"""place, first, entry, first_target, target and spot of a `factors.Plan`."""


def _subtract_lines(
    _context: Any,
    numbers: Any,
    target: Any,
    start: Any,
    source: Any,
    count: Any,
    factor: Any,
    line: Any,
) -> Any:
    """Emit `numbers[target[start + i]] -= factor[line] * numbers[source + i]`, i below count."""
    signature = types.void(numbers, target, start, source, count, factor, line)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        emit, call = Emitter(builder, width=LANES), Call(context, builder, signature, values)
        numbers, target = call.data(0), call.data(1)
        start, source, count = call.number(2), call.number(3), call.number(4)
        held = emit.load(call.data(5), call.number(6))

        def update(i: Any, carried: list[Any]) -> list[Any]:
            to = builder.sext(emit.at(target, builder.add(start, i)), ir.IntType(64))
            old = emit.load(numbers, to)
            own = emit.load(numbers, builder.add(source, i))
            new = [
                builder.fsub(a, builder.fmul(b, c)) for a, b, c in zip(old, held, own, strict=True)
            ]
            emit.store(numbers, to, new)
            return carried

        emit.loop(emit.word(0), count, [], update)
        return context.get_dummy_value()

    return signature, generate


_subtract = cast("Any", intrinsic(_subtract_lines))


@compiled_leaf
def _assemble(
    tile: Floats,
    bounds: tuple[int, int],
    moving: _Rows,
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


@inlined
def _improve(
    tile: Floats,
    bounds: tuple[int, int],
    first_row: Int64s,
    moving: _Rows,
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
            moved = sweep_component(
                tile, bounds, k % 2 == 0, first_row, moving, pins, 1, policy, room
            )
            if not moved > tolerance or cancel[0] != 0:
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
    draw: tuple[np.uint64, int, int],
    component: Int64s,
    summed: Bools,
    first_row: Int64s,
    moving: _Rows,
    outer: _Rows,
    seeds: _Seeds,
    whole: _Rows,
    plan: _Plan,
    limits: tuple[float, float, int],
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
    numbers: Floats,
    blocks: tuple[int, int],
) -> None:
    """As `kernels.solve_goals`, with policy iteration instead of sweeps.

    Args:
        goals: as there; so are all that are not named here.
        draw: as there.
        component: as there.
        summed: as there.
        first_row: as there.
        moving: as there.
        outer: as there.
        seeds: as there.
        whole: as there.
        plan: the elimination of the layout's components.
        limits: the residual wanted, the horizon, and how many rounds at most.
        values: as there.
        warm: as there.
        residual: as there.
        report: `[G / BLOCK, 3]`; evaluations of policies in the second column.
        own: as there.
        scaling: as there.
        sums: as there.
        cancel: as there.
        tile: as there.
        room: as there.
        numbers: `[numbers of the largest component's plan, LANES]`, workspace.
        blocks: as there.
    """
    wanted, horizon, rounds = limits
    lines = len(first_row) - 1
    longest = len(room) - ROOM
    policy = np.empty((longest, BLOCK), dtype=np.int32)
    right = np.empty((longest, LANES))
    factor = np.empty((1, LANES))
    pins = np.full(len(residual), -1)
    pinned = np.empty(BLOCK + 1, dtype=np.int64)
    for block in range(blocks[0], blocks[1]):
        at = block * BLOCK
        load_block(goals, draw, at, tile, lines, values, warm, pins, pinned)
        tolerance = wanted
        for attempt in range(rounds):
            for c in range(len(component) - 1):
                lo, hi = component[c], component[c + 1]
                begin = hi - lo == 1 or not (warm or attempt > 0)
                bounds = (lo, hi, lines + draw[2] if summed[c] else -1)
                leave_component(tile, bounds, first_row, outer, seeds, begin, pinned)
                if hi - lo > 1:
                    report[block, 1] += _improve(
                        tile, (lo, hi), first_row, moving, pinned, plan, tolerance,
                        policy, room, numbers, right, factor, cancel,
                    )  # fmt: skip
            left = measure_block(tile, first_row, whole, pinned, horizon, room)
            if not left > wanted or cancel[0]:
                break
            tolerance /= 8
        keep_block(tile, room, at, values, residual, own, scaling, sums)
        if cancel[0]:
            break
