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


def pointer(context: Any, builder: Any, signature: Any, values: Any, position: int) -> Any:  # noqa: PLR0917 - numba's own terms
    """Where the data of an argument that is an array begins."""
    array = cast("Any", cgutils).create_struct_proxy(signature.args[position])
    return array(context, builder, value=values[position]).data


def whole_number(context: Any, builder: Any, signature: Any, values: Any, position: int) -> Any:  # noqa: PLR0917 - numba's own terms
    """An argument that is an integer, in 64 bits."""
    return context.cast(builder, values[position], signature.args[position], types.int64)


def _best_rows(  # noqa: PLR0913, PLR0917 - the signature is numba's
    _context: Any,
    tile: Any,
    first: Any,
    line: Any,
    weight: Any,
    start: Any,
    stop: Any,
    out: Any,
    target: Any,
    chosen: Any,
    place: Any,
) -> Any:
    """Emit `out[target] = max over r of the sum of list r of tile`, r over `start..stop`.

    There is at least one r; its list is `weight * tile[line]` over `first[r]..first[r+1]`, summed
    in order from 0.  `chosen[place]` gets the first r that attains the maximum.  `tile` and
    `out` are C-ordered `[*, BLOCK]` float64, `chosen` the same of int32, the pointers int64.
    `out` may be `tile`.  Nothing is checked here.
    """
    arguments = (tile, first, line, weight, start, stop, out, target, chosen, place)
    signature = types.void(*arguments)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        emit = Emitter(builder, width=BLOCK)
        parts = len(emit.parts)

        def data(position: int) -> Any:
            return pointer(context, builder, signature, values, position)

        def number(position: int) -> Any:
            return whole_number(context, builder, signature, values, position)

        tile, first, line, weight = (data(i) for i in range(4))
        start, stop = number(4), number(5)
        nothing = [emit.spread(ir.DoubleType()(0.0))] * parts

        def add_term(term: Any, sums: list[Any]) -> list[Any]:
            factor = emit.spread(emit.at(weight, term))
            terms = emit.load(tile, emit.at(line, term))
            return [
                builder.fadd(s, builder.fmul(factor, t)) for s, t in zip(sums, terms, strict=True)
            ]

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
        found = emit.loop(start, stop, lowest + none, keep_better)
        emit.store(data(6), number(7), found[:parts])
        emit.store(data(8), number(9), found[parts:])
        return context.get_dummy_value()

    return signature, generate


best_rows: Any = intrinsic(_best_rows)
