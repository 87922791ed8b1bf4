"""The compiled inner loops: many goals at once, a block of them to a tile that stays in cache.

Axes: L live lines, Q rows, C components, O outcomes, G goals (padded to whole blocks), N terms.
Import this module through `compiled.kernels()`, which says what to install where numba is missing.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]  # llvmlite ships no types
from numba.core import cgutils, types
from numba.extending import intrinsic

from corrigible.world.record import Bools, Floats, Int64s

BLOCK = 32  # goals to a tile: the lines of a few hundred states then fit a core's L2 cache
PROBE = 6  # sweeps over which a method's speed is measured
MARGIN = 3  # another method must promise to be this many times as quick: first sweeps flatter
LANES = 8  # doubles to a vector; LLVM splits it where the machine's are narrower

_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    """Compile without fastmath, so that sums keep their order and NaN its meaning."""
    return cast("_F", numba.njit(cache=True, error_model="numpy")(function))


def _compiled_free(function: _F) -> _F:
    """Compile to run without Python's lock, so that threads can share the blocks of goals.

    numba's own `parallel=True` takes twice as long to compile and is no faster here.
    """
    return cast("_F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


class _Emitter:
    """Writes `best_of_rows` in LLVM's language: its accumulators never leave the registers.

    numba's own loops store every partial sum, and test at each start that no arrays overlap;
    that costs about twice the time of the arithmetic.
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.vector = ir.VectorType(ir.DoubleType(), LANES)
        self.word = ir.IntType(64)

    def load(self, base: Any, line: Any) -> list[Any]:
        """One line of a C-ordered `[*, BLOCK]` array, as vectors."""
        start = self.builder.mul(line, self.word(BLOCK))
        return [self.builder.load(self._address(base, start, j), align=8) for j in self.parts]

    def store(self, base: Any, line: Any, values: list[Any]) -> None:
        """Write one line of a C-ordered `[*, BLOCK]` array."""
        start = self.builder.mul(line, self.word(BLOCK))
        for j in self.parts:
            self.builder.store(values[j], self._address(base, start, j), align=8)

    @property
    def parts(self) -> range:
        """The vectors of a line."""
        return range(BLOCK // LANES)

    def at(self, base: Any, index: Any) -> Any:
        """One element of a one-dimensional array."""
        return self.builder.load(self.builder.gep(base, [index]))

    def spread(self, scalar: Any) -> Any:
        """A vector with the scalar in every lane."""
        undefined = ir.Constant(self.vector, ir.Undefined)
        index = ir.IntType(32)
        single = self.builder.insert_element(undefined, scalar, index(0))
        zeros = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
        return self.builder.shuffle_vector(single, undefined, zeros)

    def loop(self, start: Any, stop: Any, carried: list[Any], body: Any) -> list[Any]:
        """`for i in range(start, stop): carried = body(i, carried)`; what is carried at the end."""
        builder = self.builder
        before = builder.block
        head = builder.append_basic_block("head")
        inside = builder.append_basic_block("inside")
        after = builder.append_basic_block("after")
        builder.branch(head)
        builder.position_at_end(head)
        index = builder.phi(self.word)
        index.add_incoming(start, before)
        values = [builder.phi(value.type) for value in carried]
        for value, first in zip(values, carried, strict=True):
            value.add_incoming(first, before)
        builder.cbranch(builder.icmp_signed("<", index, stop), inside, after)
        builder.position_at_end(inside)
        changed = body(index, values)
        index.add_incoming(builder.add(index, self.word(1)), builder.block)
        for value, new in zip(values, changed, strict=True):
            value.add_incoming(new, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return values

    def _address(self, base: Any, start: Any, part: int) -> Any:
        element = self.builder.gep(base, [self.builder.add(start, self.word(part * LANES))])
        return self.builder.bitcast(element, self.vector.as_pointer())


def _best_of_rows(  # noqa: PLR0913, PLR0917 - the signature is numba's
    _context: Any,
    tile: Any,
    first: Any,
    line: Any,
    weight: Any,
    start: Any,
    stop: Any,
    constant: Any,
    offset: Any,
    step: Any,
    out: Any,
    target: Any,
) -> Any:
    """Emit `out[target] = max over r of constant[offset + step * (r - start)] + list r of tile`.

    r runs over `start..stop`, at least one; the list of r is the sum of `weight * tile[line]`
    over `first[r]..first[r+1]`, in order.  `tile`, `constant` and `out` are C-ordered
    `[*, BLOCK]` float64, the pointers int64.  Nothing is checked here.
    """
    arguments = (tile, first, line, weight, start, stop, constant, offset, step, out, target)
    signature = types.void(*arguments)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        emit = _Emitter(builder)

        def data(position: int) -> Any:
            array = cast("Any", cgutils).create_struct_proxy(signature.args[position])
            return array(context, builder, value=values[position]).data

        def number(position: int) -> Any:
            kinds = signature.args[position], types.int64
            return context.cast(builder, values[position], *kinds)

        tile, first, line, weight = (data(i) for i in range(4))
        start, stop = number(4), number(5)
        constant, offset, step = data(6), number(7), number(8)

        def add_term(term: Any, sums: list[Any]) -> list[Any]:
            factor = emit.spread(emit.at(weight, term))
            terms = emit.load(tile, emit.at(line, term))
            return [
                builder.fadd(s, builder.fmul(factor, t)) for s, t in zip(sums, terms, strict=True)
            ]

        def keep_better(row: Any, best: list[Any]) -> list[Any]:
            own = builder.add(offset, builder.mul(step, builder.sub(row, start)))
            span = emit.at(first, row), emit.at(first, builder.add(row, emit.word(1)))
            sums = emit.loop(*span, emit.load(constant, own), add_term)
            return [
                builder.select(builder.fcmp_ordered(">", s, b), s, b)
                for s, b in zip(sums, best, strict=True)
            ]

        lowest = [emit.spread(ir.DoubleType()(float("-inf")))] * (BLOCK // LANES)
        emit.store(data(9), number(10), emit.loop(start, stop, lowest, keep_better))
        return context.get_dummy_value()

    return signature, generate


best_of_rows: Any = intrinsic(_best_of_rows)


@_compiled
def _copy(  # noqa: PLR0917 - compiled: arrays by position
    source: Floats, start: tuple[int, int], target: Floats, at: tuple[int, int], lines: int
) -> None:
    """Copy `lines` lines of one block; numba takes ten seconds to compile a slice's assignment."""
    for s in range(lines):
        for g in range(BLOCK):
            target[at[0] + s, at[1] + g] = source[start[0] + s, start[1] + g]


@_compiled
def _pin(tile: Floats, bounds: tuple[int, int], pins: Int64s) -> None:
    """Set to 1 what goals hold at 1 in the component, and note in `pins[BLOCK]` if any do."""
    lo, hi = bounds
    pins[BLOCK] = 0
    for g in range(BLOCK):
        if lo <= pins[g] < hi:
            tile[pins[g], g] = 1.0
            pins[BLOCK] = 1


@_compiled
def _begin(tile: Floats, bounds: tuple[int, int], first_row: Int64s, constant: Floats) -> None:
    """Start each line at the best of what its rows bring by leaving the component."""
    lo, hi = bounds
    base = first_row[lo]
    for s in range(lo, hi):
        for g in range(BLOCK):
            tile[s, g] = constant[first_row[s] - base, g]
        for r in range(first_row[s] + 1, first_row[s + 1]):
            for g in range(BLOCK):
                tile[s, g] = max(tile[s, g], constant[r - base, g])


@_compiled
def _sweep(  # noqa: PLR0917 - compiled: arrays by position
    tile: Floats,
    bounds: tuple[int, int, bool],
    first_row: Int64s,
    inner: tuple[Int64s, Int64s, Floats],
    constant: Floats,
    pins: Int64s,
) -> float:
    """One Gauss-Seidel sweep of a component, up or down its lines; the largest move."""
    lo, hi, upward = bounds
    base = first_row[lo]
    new = np.empty((1, BLOCK))
    moved = np.zeros(BLOCK)
    first, line, weight = inner
    for k in range(hi - lo):
        s = lo + k if upward else hi - 1 - k
        start, stop = first_row[s], first_row[s + 1]
        best_of_rows(tile, first, line, weight, start, stop, constant, start - base, 1, new, 0)
        if pins[BLOCK]:
            for g in range(BLOCK):
                if pins[g] == s:
                    new[0, g] = 1.0
        for g in range(BLOCK):
            moved[g] = max(moved[g], abs(new[0, g] - tile[s, g]))
            tile[s, g] = new[0, g]
    return float(moved.max())


@_compiled
def _jacobi(  # noqa: PLR0917 - compiled: arrays by position
    tile: Floats,
    bounds: tuple[int, int],
    first_row: Int64s,
    whole: tuple[Int64s, Int64s, Floats],
    room: Floats,
) -> float:
    """One Jacobi sweep of a component; half the span of its changes, at most over the goals.

    `room` takes the new values, and in its last two lines the least and the largest change.
    """
    lo, hi = bounds
    zero = np.zeros((1, BLOCK))
    first, line, weight = whole
    low, high = room[hi - lo], room[hi - lo + 1]
    low[:], high[:] = np.inf, -np.inf
    for s in range(lo, hi):
        start, stop = first_row[s], first_row[s + 1]
        best_of_rows(tile, first, line, weight, start, stop, zero, 0, 0, room, s - lo)
    for s in range(lo, hi):
        for g in range(BLOCK):
            change = room[s - lo, g] - tile[s, g]
            low[g] = min(low[g], change)
            high[g] = max(high[g], change)
            tile[s, g] = room[s - lo, g]
    return float((high - low).max()) / 2


@_compiled
def _sweeps_to_go(now: float, before: float, wanted: float) -> float:
    """Sweeps still needed, should each shrink what is left as the last PROBE of them did."""
    if now <= wanted:
        return 0.0
    if now >= before:
        return np.inf
    return float(PROBE * np.log(now / wanted) / np.log(before / now))


@_compiled
def _settle_span(  # noqa: PLR0917 - compiled: arrays by position
    tile: Floats,
    bounds: tuple[int, int],
    first_row: Int64s,
    whole: tuple[Int64s, Int64s, Floats],
    limits: tuple[float, float, int],
    rival: float,
) -> int:
    """Settle a closed component by Jacobi sweeps; how many, or less than 0 where given up.

    After a sweep whose changes lie in [low, high], all later ones together lie within
    d / (1 - d) times that, d the discount (MacQueen 1966).  Adding the middle of it leaves a
    Bellman residual of at most d times half the span, and where a chain mixes well the span
    shrinks far sooner than the changes.  Given up as soon as `rival` sweeps promise to be fewer.
    """
    lo, hi = bounds
    discount, tolerance, most = limits
    room = np.empty((hi - lo + 2, BLOCK))
    before = np.inf
    for sweep in range(most):
        half = discount * _jacobi(tile, bounds, first_row, whole, room)
        if not half > tolerance:
            for g in range(BLOCK):
                middle = (room[hi - lo, g] + room[hi - lo + 1, g]) / 2
                for s in range(lo, hi):
                    tile[s, g] += discount / (1 - discount) * middle
            return sweep + 1
        if sweep % PROBE == 0:
            if sweep > 0 and MARGIN * _sweeps_to_go(half, before, tolerance) > rival:
                return -sweep
            before = half
    return -most


@_compiled
def _settle(  # noqa: PLR0917 - compiled: arrays by position
    tile: Floats,
    bounds: tuple[int, int, bool],
    first_row: Int64s,
    inner: tuple[Int64s, Int64s, Floats],
    whole: tuple[Int64s, Int64s, Floats],
    constant: Floats,
    pins: Int64s,
    limits: tuple[float, float, int],
) -> int:
    """Sweep one component until no value moves by much; how many sweeps it took.

    Gauss-Seidel, up and down in turn; a closed component that this settles slowly is tried by
    `_settle_span` too.
    """
    lo, hi, closed = bounds
    _, tolerance, most = limits
    before, extra = np.inf, 0
    for sweep in range(most):
        moved = _sweep(tile, (lo, hi, sweep % 2 == 0), first_row, inner, constant, pins)
        if not moved > tolerance:
            return sweep + 1 + extra
        if sweep == PROBE:
            before = moved
        if sweep == 2 * PROBE and closed and not pins[BLOCK]:
            rival = _sweeps_to_go(moved, before, tolerance)
            if rival > MARGIN * PROBE:
                extra = _settle_span(tile, (lo, hi), first_row, whole, limits, rival)
                if extra > 0:
                    return sweep + 1 + extra
                extra = -extra
    return most


@_compiled
def _solve_block(  # noqa: PLR0913, PLR0917 - compiled: arrays by position
    tile: Floats,
    component: Int64s,
    closed: Bools,
    first_row: Int64s,
    inner: tuple[Int64s, Int64s, Floats],
    outer: tuple[Int64s, Int64s, Floats],
    whole: tuple[Int64s, Int64s, Floats],
    pins: Int64s,
    limits: tuple[float, float, int],
    warm: bool,
) -> int:
    """Settle every component of one block, those that others lead to first; sweeps, at most."""
    widest = 0
    for c in range(len(component) - 1):
        widest = max(widest, first_row[component[c + 1]] - first_row[component[c]])
    constant = np.empty((widest, BLOCK))
    zero = np.zeros((1, BLOCK))
    first, line, weight = outer
    most = 0
    for c in range(len(component) - 1):
        lo, hi = component[c], component[c + 1]
        base = first_row[lo]
        for r in range(base, first_row[hi]):
            best_of_rows(tile, first, line, weight, r, r + 1, zero, 0, 0, constant, r - base)
        if not warm or hi - lo == 1:
            _begin(tile, (lo, hi), first_row, constant)
        _pin(tile, (lo, hi), pins)
        if hi - lo > 1:
            bounds = (lo, hi, closed[c])
            sweeps = _settle(tile, bounds, first_row, inner, whole, constant, pins, limits)
            most = max(most, sweeps)
    return most


@_compiled
def _residual(  # noqa: PLR0917 - compiled: arrays by position
    tile: Floats,
    first_row: Int64s,
    whole: tuple[Int64s, Int64s, Floats],
    pins: Int64s,
    worst: Floats,
) -> None:
    """For each goal the largest |TV - V| over live lines: T is the Bellman operator as given."""
    zero = np.zeros((1, BLOCK))
    new = np.empty((1, BLOCK))
    first, line, weight = whole
    worst[:] = 0.0
    for s in range(len(first_row) - 1):
        start, stop = first_row[s], first_row[s + 1]
        best_of_rows(tile, first, line, weight, start, stop, zero, 0, 0, new, 0)
        for g in range(BLOCK):
            off = abs(new[0, g] - tile[s, g])
            if pins[g] == s:
                off = 0.0
            worst[g] = max(worst[g], off)


@_compiled
def _solve_one(  # noqa: PLR0913, PLR0917 - compiled: arrays by position
    block: int,
    goals: Floats,
    component: Int64s,
    closed: Bools,
    first_row: Int64s,
    inner: tuple[Int64s, Int64s, Floats],
    outer: tuple[Int64s, Int64s, Floats],
    whole: tuple[Int64s, Int64s, Floats],
    pins: Int64s,
    limits: tuple[float, float, float, int, int],
    values: Floats,
    warm: bool,
    residual: Floats,
    sweeps: Int64s,
) -> None:
    """Solve one block of goals; see `solve_goals`."""
    lines, outcomes, at = len(first_row) - 1, goals.shape[0], block * BLOCK
    tile = np.empty((lines + outcomes, BLOCK))
    _copy(goals, (0, at), tile, (lines, 0), outcomes)
    if warm:
        _copy(values, (0, at), tile, (0, 0), lines)
    pinned = np.empty(BLOCK + 1, dtype=np.int64)
    for g in range(BLOCK):
        pinned[g] = pins[at + g]
    worst = np.empty(BLOCK)
    discount, wanted, tolerance, most, rounds = limits
    for attempt in range(rounds):
        done = _solve_block(
            tile,
            component,
            closed,
            first_row,
            inner,
            outer,
            whole,
            pinned,
            (discount, tolerance, most),
            warm or attempt > 0,
        )
        sweeps[block] = max(sweeps[block], done)
        _residual(tile, first_row, whole, pinned, worst)
        if not worst.max() > wanted:
            break
        tolerance /= 8
    for g in range(BLOCK):
        residual[at + g] = worst[g]
    _copy(tile, (0, 0), values, (0, at), lines)


@_compiled_free
def solve_goals(  # noqa: PLR0913, PLR0917 - compiled: arrays by position
    goals: Floats,
    component: Int64s,
    closed: Bools,
    first_row: Int64s,
    inner: tuple[Int64s, Int64s, Floats],
    outer: tuple[Int64s, Int64s, Floats],
    whole: tuple[Int64s, Int64s, Floats],
    pins: Int64s,
    limits: tuple[float, float, float, int, int],
    values: Floats,
    warm: bool,
    residual: Floats,
    sweeps: Int64s,
    blocks: tuple[int, int],
) -> None:
    """Solve each block of goals in a range on its own, and measure what is left.

    Args:
        goals: `[O, G]`, G a multiple of BLOCK.
        component: the layout's.
        closed: the layout's.
        first_row: the layout's.
        inner: the layout's, as a tuple.
        outer: the same.
        whole: the same.
        pins: `[G]`, the line that each goal holds at 1, or -1.
        limits: the discount, the residual wanted, the first inner tolerance, and how many sweeps
            and rounds at most.
        values: `[L, G]`, start values where `warm`; the result.
        warm: whether `values` holds start values.
        residual: `[G]`, the largest Bellman residual, the result.
        sweeps: `[G / BLOCK]`, the most sweeps of a component, the result.
        blocks: the first block, and the one after the last.
    """
    for block in range(blocks[0], blocks[1]):
        _solve_one(
            block,
            goals,
            component,
            closed,
            first_row,
            inner,
            outer,
            whole,
            pins,
            limits,
            values,
            warm,
            residual,
            sweeps,
        )


@_compiled
def _choose_one(  # noqa: PLR0917 - compiled: arrays by position
    block: int,
    goals: Floats,
    first_row: Int64s,
    whole: tuple[Int64s, Int64s, Floats],
    preference: Int64s,
    values: Floats,
    tie: float,
    chosen: npt.NDArray[np.int32],
) -> None:
    """Choose for one block of goals; see `choose_rows`."""
    lines, outcomes, at = len(first_row) - 1, goals.shape[0], block * BLOCK
    widest = 0
    for s in range(lines):
        widest = max(widest, first_row[s + 1] - first_row[s])
    first, line, weight = whole
    tile = np.empty((lines + outcomes, BLOCK))
    _copy(goals, (0, at), tile, (lines, 0), outcomes)
    _copy(values, (0, at), tile, (0, 0), lines)
    zero = np.zeros((1, BLOCK))
    worth = np.empty((widest, BLOCK))
    best = np.empty(BLOCK)
    for s in range(lines):
        start, stop = first_row[s], first_row[s + 1]
        best[:] = -np.inf
        for k in range(stop - start):
            r = preference[start + k]
            best_of_rows(tile, first, line, weight, r, r + 1, zero, 0, 0, worth, k)
            for g in range(BLOCK):
                best[g] = max(best[g], worth[k, g])
        for k in range(stop - start - 1, -1, -1):
            r = preference[start + k]
            for g in range(BLOCK):
                if worth[k, g] >= best[g] - tie:
                    chosen[s, at + g] = r


@_compiled_free
def choose_rows(  # noqa: PLR0917 - compiled: arrays by position
    goals: Floats,
    first_row: Int64s,
    whole: tuple[Int64s, Int64s, Floats],
    preference: Int64s,
    values: Floats,
    tie: float,
    chosen: npt.NDArray[np.int32],
    blocks: tuple[int, int],
) -> None:
    """For each line and goal the first row, in order of preference, within `tie` of the best.

    Args:
        goals: `[O, G]`, G a multiple of BLOCK.
        first_row: the layout's.
        whole: the layout's, as a tuple.
        preference: `[Q]`, the rows of each line, best liked first.
        values: `[L, G]`.
        tie: in units of the values.
        chosen: `[L, G]`, the result: the layout's number of each row.
        blocks: the first block, and the one after the last.
    """
    for block in range(blocks[0], blocks[1]):
        _choose_one(block, goals, first_row, whole, preference, values, tie, chosen)
