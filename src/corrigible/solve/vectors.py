"""How operations on lines of goals are written in LLVM's own language; they stand in `lines`."""

import inspect
from collections.abc import Callable
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
        self.longs = ir.VectorType(ir.IntType(64), LANES)
        self.word = ir.IntType(64)

    def load(self, base: Any, line: Any, kind: Any = None) -> list[Any]:
        """One line of a C-ordered `[*, width]` array, of float64 or of `kind`, as vectors."""
        start = self.builder.mul(line, self.word(self.width))
        return [
            self.builder.load(self._address(base, start, part, kind or self.vector), align=4)
            for part in self.parts
        ]

    def store(self, base: Any, line: Any, values: list[Any]) -> None:
        """Write one line of a C-ordered `[*, width]` array, of float64 or of int32."""
        self.store_at(base, self.builder.mul(line, self.word(self.width)), values)

    def store_at(self, base: Any, start: Any, values: list[Any]) -> None:
        """Write a line anywhere in a C-ordered array of float64 or of int32."""
        for part in self.parts:
            address = self._address(base, start, part, values[part].type)
            self.builder.store(values[part], address, align=4)

    @property
    def parts(self) -> range:
        """The vectors of a line."""
        return range(self.width // LANES)

    def at(self, base: Any, index: Any) -> Any:
        """One element of a one-dimensional array; whole numbers in 64 bits."""
        found = self.builder.load(self.builder.gep(base, [index]))
        if isinstance(found.type, ir.IntType) and found.type.width < self.word.width:
            return self.builder.sext(found, self.word)
        return found

    def put(self, base: Any, index: Any, value: Any) -> None:
        """Write one element of a one-dimensional array."""
        self.builder.store(value, self.builder.gep(base, [index]))

    def less(self, one: Any, other: Any) -> Any:
        """The lesser of two whole numbers."""
        return self.builder.select(self.builder.icmp_signed("<", one, other), one, other)

    def spread(self, scalar: Any) -> Any:
        """A vector with the scalar in every lane."""
        undefined = ir.Constant(ir.VectorType(scalar.type, LANES), ir.Undefined)
        index = ir.IntType(32)
        single = self.builder.insert_element(undefined, scalar, index(0))
        zeros = ir.Constant(ir.VectorType(index, LANES), [0] * LANES)
        return self.builder.shuffle_vector(single, undefined, zeros)

    def real(self, number: Any) -> list[Any]:
        """A line of one number, known already or when it runs."""
        if isinstance(number, float):
            number = ir.DoubleType()(number)
        return [self.spread(number)] * len(self.parts)

    def lanes(self) -> list[Any]:
        """The line 0, 1, 2 and so on, of int64."""
        ranges = [range(part * LANES, (part + 1) * LANES) for part in self.parts]
        return [ir.Constant(self.longs, list(each)) for each in ranges]

    def folded(self, values: list[Any], of: Callable[[Any, Any], Any]) -> Any:
        """One scalar of a line: its lanes taken together two by two."""
        whole = values[0]
        for part in values[1:]:
            whole = of(whole, part)
        lanes = [self.builder.extract_element(whole, ir.IntType(32)(n)) for n in range(LANES)]
        while len(lanes) > 1:
            lanes = [of(a, b) for a, b in zip(lanes[::2], lanes[1::2], strict=True)]
        return lanes[0]

    def chosen(self, which: str, left: list[Any], right: list[Any]) -> list[Any]:
        """Of two lines each lane of the left one where it compares so, else of the right one."""
        builder = self.builder
        pairs = list(zip(left, right, strict=True))
        return [builder.select(builder.fcmp_ordered(which, a, b), a, b) for a, b in pairs]

    def plus(self, left: list[Any], right: list[Any]) -> list[Any]:
        """The sum of two lines."""
        return [self.builder.fadd(a, b) for a, b in zip(left, right, strict=True)]

    def times(self, left: list[Any], right: list[Any]) -> list[Any]:
        """The product of two lines, lane by lane."""
        return [self.builder.fmul(a, b) for a, b in zip(left, right, strict=True)]

    def minus(self, left: list[Any], right: list[Any]) -> list[Any]:
        """One line less another."""
        return [self.builder.fsub(a, b) for a, b in zip(left, right, strict=True)]

    def where(self, mask: list[Any], left: list[Any], right: list[Any]) -> list[Any]:
        """Of two lines each lane of the left one where the mask is set, else of the right one."""
        return [self.builder.select(*of) for of in zip(mask, left, right, strict=True)]

    def equal(self, base: Any, number: Any) -> list[Any]:
        """A mask of the first line of an array of int64: where it is this number."""
        same, builder = self.spread(number), self.builder
        own = self.load(base, self.word(0), self.longs)
        return [builder.icmp_signed("==", one, same) for one in own]

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
    """The arguments of one call that is being compiled, by name."""

    def __init__(self, context: Any, builder: Any, kinds: dict[str, Any], values: Any) -> None:
        self.context, self.builder = context, builder
        self.kinds, self.values = kinds, dict(zip(kinds, values, strict=True))

    def data(self, name: str) -> Any:
        """Where the data of an argument that is an array begins."""
        array = cast("Any", cgutils).create_struct_proxy(self.kinds[name])
        return array(self.context, self.builder, value=self.values[name]).data

    def value(self, name: str) -> Any:
        """An argument as it is."""
        return self.values[name]

    def number(self, name: str) -> Any:
        """An argument that is an integer, in 64 bits."""
        kinds = self.kinds[name], types.int64
        return self.context.cast(self.builder, self.values[name], *kinds)


def operation(
    arguments: str, *, width: int = BLOCK, result: Any = types.void
) -> Callable[[Callable[[Emitter, Call], Any]], Any]:
    """Make a function that emits code into one that compiled functions can call.

    Nothing is checked in what is emitted, neither bounds nor that arrays are C-ordered.

    Args:
        arguments: the names of what it is called with, by position.
        width: how many goals its lines have.
        result: numba's type of what it returns.
    """
    names = arguments.split()

    def made(write: Callable[[Emitter, Call], Any]) -> Any:
        def definition(_context: Any, *kinds: Any) -> Any:
            def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                by_name = dict(zip(names, signature.args, strict=True))
                call = Call(context, builder, by_name, values)
                returned = write(Emitter(builder, width=width), call)
                return context.get_dummy_value() if returned is None else returned

            return result(*kinds), generate

        known = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in
                 ("context", *names)]  # fmt: skip
        cast("Any", definition).__signature__ = inspect.Signature(known)
        definition.__name__, definition.__doc__ = write.__name__, write.__doc__
        return cast("Any", intrinsic)(definition)

    return made
