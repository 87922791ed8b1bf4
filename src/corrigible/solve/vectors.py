"""The innermost loop in LLVM's own language: the best of a state's rows, for a line of goals.

Its accumulators never leave the registers.  numba's own loops store every partial sum, and test
at each start that no arrays overlap; that costs about twice the time of the arithmetic.
"""

from typing import Any, cast

from llvmlite import ir  # type: ignore[import-untyped]  # llvmlite ships no types
from numba.core import cgutils, types
from numba.extending import intrinsic

BLOCK = 32  # goals to a tile: the lines of a few hundred states then fit a core's L2 cache
LANES = 8  # doubles to a vector; LLVM splits it where the machine's are narrower


class Emitter:
    """Writes loops over lines of `width` goals into the function being compiled."""

    def __init__(self, builder: Any, *, width: int) -> None:
        self.builder = builder
        self.width = width
        self.vector = ir.VectorType(ir.DoubleType(), LANES)
        self.numbers = ir.VectorType(ir.IntType(32), LANES)
        self.word = ir.IntType(64)

    def load(self, base: Any, line: Any) -> list[Any]:
        """One line of a C-ordered `[*, width]` array of float64, as vectors."""
        start = self.builder.mul(line, self.word(self.width))
        return [
            self.builder.load(self._address(base, start, part, self.vector), align=8)
            for part in self.parts
        ]

    def store(self, base: Any, line: Any, values: list[Any]) -> None:
        """Write one line of a C-ordered `[*, width]` array, of float64 or of int32."""
        start = self.builder.mul(line, self.word(self.width))
        for part in self.parts:
            address = self._address(base, start, part, values[part].type)
            self.builder.store(values[part], address, align=4)

    @property
    def parts(self) -> range:
        """The vectors of a line."""
        return range(self.width // LANES)

    def at(self, base: Any, index: Any) -> Any:
        """One element of a one-dimensional array."""
        return self.builder.load(self.builder.gep(base, [index]))

    def spread(self, scalar: Any) -> Any:
        """A vector with the scalar in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
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

    def _address(self, base: Any, start: Any, part: int, kind: Any) -> Any:
        element = self.builder.gep(base, [self.builder.add(start, self.word(part * LANES))])
        return self.builder.bitcast(element, kind.as_pointer())


class Call:
    """The arguments of one call that is being compiled, by position."""

    def __init__(self, context: Any, builder: Any, signature: Any, values: Any) -> None:
        self.context, self.builder = context, builder
        self.kinds, self.values = signature.args, values

    def data(self, position: int) -> Any:
        """Where the data of an argument that is an array begins."""
        array = cast("Any", cgutils).create_struct_proxy(self.kinds[position])
        return array(self.context, self.builder, value=self.values[position]).data

    def number(self, position: int) -> Any:
        """An argument that is an integer, in 64 bits."""
        kinds = self.kinds[position], types.int64
        return self.context.cast(self.builder, self.values[position], *kinds)


def _best(emit: Emitter, lists: tuple[Any, Any, Any, Any], start: Any, stop: Any) -> list[Any]:
    """The best sum of the lists `start..stop` for each goal, and the first list that attains it."""
    tile, first, line, weight = lists
    builder, parts = emit.builder, len(emit.parts)
    nothing = [emit.spread(ir.DoubleType()(0.0))] * parts

    def add_term(term: Any, sums: list[Any]) -> list[Any]:
        factor = emit.spread(emit.at(weight, term))
        terms = emit.load(tile, emit.at(line, term))
        return [builder.fadd(s, builder.fmul(factor, t)) for s, t in zip(sums, terms, strict=True)]

    def keep_better(row: Any, carried: list[Any]) -> list[Any]:
        best, rows = carried[:parts], carried[parts:]
        span = emit.at(first, row), emit.at(first, builder.add(row, emit.word(1)))
        sums = emit.loop(*span, nothing, add_term)
        this = emit.spread(builder.trunc(row, ir.IntType(32)))
        better = [builder.fcmp_ordered(">", s, b) for s, b in zip(sums, best, strict=True)]
        return [builder.select(*of) for of in zip(better, sums, best, strict=True)] + [
            builder.select(is_better, this, other)
            for is_better, other in zip(better, rows, strict=True)
        ]

    lowest = [emit.spread(ir.DoubleType()(float("-inf")))] * parts
    none = [emit.spread(builder.trunc(start, ir.IntType(32)))] * parts
    return emit.loop(start, stop, lowest + none, keep_better)


def _best_rows(  # noqa: PLR0917 - the signature is numba's
    _context: Any,
    tile: Any,
    first: Any,
    line: Any,
    weight: Any,
    start: Any,
    stop: Any,
    out: Any,
    target: Any,
) -> Any:
    """Emit `out[target] = max over r of the sum of list r of tile`, r over `start..stop`.

    There is at least one r; its list is `weight * tile[line]` over `first[r]..first[r+1]`, summed
    in order from 0.  `tile` and `out` are C-ordered `[*, BLOCK]` float64, the pointers int64.
    `out` may be `tile`.  Nothing is checked here.
    """
    signature = types.void(tile, first, line, weight, start, stop, out, target)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        emit, call = Emitter(builder, width=BLOCK), Call(context, builder, signature, values)
        lists = (call.data(0), call.data(1), call.data(2), call.data(3))
        best = _best(emit, lists, call.number(4), call.number(5))[: len(emit.parts)]
        emit.store(call.data(6), call.number(7), best)
        return context.get_dummy_value()

    return signature, generate


best_rows: Any = intrinsic(_best_rows)


def _improve_line(  # noqa: PLR0913, PLR0917 - the signature is numba's
    _context: Any,
    tile: Any,
    first: Any,
    line: Any,
    weight: Any,
    start: Any,
    stop: Any,
    target: Any,
    room: Any,
    chosen: Any,
    place: Any,
) -> Any:
    """Emit `tile[target] = best of lists start..stop`, as `best_rows`, for a sweep.

    `room[1]` becomes the larger of itself and of how far `tile[target]` moved, and
    `chosen[place]`, int32, the first list that attains the maximum, for each goal.
    """
    signature = types.void(tile, first, line, weight, start, stop, target, room, chosen, place)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        emit, call = Emitter(builder, width=BLOCK), Call(context, builder, signature, values)
        parts = len(emit.parts)
        lists = (call.data(0), call.data(1), call.data(2), call.data(3))
        found = _best(emit, lists, call.number(4), call.number(5))
        tile, target, room = call.data(0), call.number(6), call.data(7)
        moved = []
        old, widest = emit.load(tile, target), emit.load(room, emit.word(1))
        for best, before, most in zip(found[:parts], old, widest, strict=True):
            by = builder.fsub(best, before)
            down = builder.fcmp_ordered("<", by, emit.spread(ir.DoubleType()(0.0)))
            by = builder.select(down, builder.fsub(before, best), by)
            moved.append(builder.select(builder.fcmp_ordered(">", by, most), by, most))
        emit.store(room, emit.word(1), moved)
        emit.store(tile, target, found[:parts])
        emit.store(call.data(8), call.number(9), found[parts:])
        return context.get_dummy_value()

    return signature, generate


improve_line: Any = intrinsic(_improve_line)
