"""Operations on lines of goals: a state's rows, whole blocks in and out, and what they measure.

Each is written in LLVM's own language.  Accumulators never leave the registers: numba's own loops
store every partial sum, and test at each start that no arrays overlap.  That costs about twice the
time of the arithmetic, and takes several times as long to compile.

A tile is a C-ordered array of lines of BLOCK goals.  List i of `first`, `line` and `weight` is
`weight * tile[line]` over `first[i]..first[i+1]`, summed in order from 0.  Nothing is checked,
neither bounds nor what the arrays are.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]  # llvmlite ships no types
from numba.core import types

from corrigible.solve.sample import GOLDEN
from corrigible.solve.vectors import LANES, Call, Emitter, operation

LOWEST, HIGHEST = float("-inf"), float("inf")


def _sum_of(emit: Emitter, call: Call, row: Any) -> list[Any]:
    """The sum of one list."""
    tile, first, line, weight = (call.data(name) for name in ("tile", "first", "line", "weight"))
    builder = emit.builder

    def add_term(term: Any, sums: list[Any]) -> list[Any]:
        factor = emit.real(emit.at(weight, term))
        return emit.plus(sums, emit.times(factor, emit.load(tile, emit.at(line, term))))

    span = emit.at(first, row), emit.at(first, builder.add(row, emit.word(1)))
    return emit.loop(*span, emit.real(0.0), add_term)


def _best(emit: Emitter, call: Call, start: Any, stop: Any) -> list[Any]:
    """The best sum of the lists `start..stop` for each goal; there is at least one."""

    def keep_better(row: Any, best: list[Any]) -> list[Any]:
        return emit.chosen(">", _sum_of(emit, call, row), best)

    return emit.loop(start, stop, emit.real(LOWEST), keep_better)


def _best_and_first(emit: Emitter, call: Call) -> tuple[list[Any], list[Any]]:
    """The best sum of the lists `start..stop` for each goal, and the first list that attains it."""
    builder, parts, number = emit.builder, len(emit.parts), ir.IntType(32)

    def keep_better(row: Any, carried: list[Any]) -> list[Any]:
        best, rows, sums = carried[:parts], carried[parts:], _sum_of(emit, call, row)
        this = [emit.spread(builder.trunc(row, number))] * parts
        better = [builder.fcmp_ordered(">", s, b) for s, b in zip(sums, best, strict=True)]
        return emit.where(better, sums, best) + emit.where(better, this, rows)

    start = call.number("start")
    none = [emit.spread(builder.trunc(start, number))] * parts
    found = emit.loop(start, call.number("stop"), emit.real(LOWEST) + none, keep_better)
    return found[:parts], found[parts:]


def _put(emit: Emitter, call: Call, best: list[Any]) -> Any:
    """Write `tile[target]`, widen `room[1]` to how far it moved; whether that is at all."""
    tile, target, room = call.data("tile"), call.number("target"), call.data("room")
    old, widest, builder = emit.load(tile, target), emit.load(room, emit.word(1)), emit.builder
    moved = emit.chosen(">", emit.minus(best, old), emit.minus(old, best))
    emit.store(room, emit.word(1), emit.chosen(">", moved, widest))
    emit.store(tile, target, best)
    other = [builder.fcmp_unordered("!=", a, b) for a, b in zip(best, old, strict=True)]
    any_lane = other[0]
    for mask in other[1:]:
        any_lane = builder.or_(any_lane, mask)
    bits = builder.bitcast(any_lane, ir.IntType(LANES))
    return builder.icmp_unsigned("!=", bits, ir.IntType(LANES)(0))


@operation("tile first line weight start stop out target")
def best_rows(emit: Emitter, call: Call) -> None:
    """`out[target]` becomes the best of the lists `start..stop` of `tile`; it may be `tile`."""
    best = _best(emit, call, call.number("start"), call.number("stop"))
    emit.store(call.data("out"), call.number("target"), best)


@operation("tile first line weight begin end target")
def sum_rows(emit: Emitter, call: Call) -> None:
    """The sum of each list `begin..end`, into the lines of the tile from `target` on."""
    tile, builder = call.data("tile"), emit.builder
    offset = builder.sub(call.number("target"), call.number("begin"))

    def write(row: Any, carried: list[Any]) -> list[Any]:
        emit.store(tile, builder.add(row, offset), _sum_of(emit, call, row))
        return carried

    emit.loop(call.number("begin"), call.number("end"), [], write)


@operation("tile own first line weight begin end")
def seed_lines(emit: Emitter, call: Call) -> None:
    """`tile[s]` becomes the best of its lists `own[s]..own[s+1]`, for s in `begin..end`."""
    own = call.data("own")

    def write(s: Any, carried: list[Any]) -> list[Any]:
        span = emit.at(own, s), emit.at(own, emit.builder.add(s, emit.word(1)))
        emit.store(call.data("tile"), s, _best(emit, call, *span))
        return carried

    emit.loop(call.number("begin"), call.number("end"), [], write)


@operation("tile first line weight start stop preference tie worth chosen place")
def choose_line(emit: Emitter, call: Call) -> None:
    """The first of the lists `preference[start..stop]` that is within `tie` of the best of them.

    It goes to `chosen[place..]`, int32, for each goal; where nothing can be compared, 0.  `worth`
    is workspace, a line for each list.
    """
    builder, worth, number = emit.builder, call.data("worth"), ir.IntType(32)
    start, preference = call.number("start"), call.data("preference")
    count = builder.sub(call.number("stop"), start)

    def list_of(k: Any) -> Any:
        return emit.at(preference, builder.add(start, k))

    def keep_better(k: Any, best: list[Any]) -> list[Any]:
        sums = _sum_of(emit, call, list_of(k))
        emit.store(worth, k, sums)
        return emit.chosen(">", sums, best)

    best = emit.loop(emit.word(0), count, emit.real(LOWEST), keep_better)
    enough = emit.minus(best, emit.real(call.value("tie")))

    def prefer(back: Any, rows: list[Any]) -> list[Any]:
        k = builder.sub(builder.sub(count, emit.word(1)), back)
        pairs = zip(emit.load(worth, k), enough, strict=True)
        good = [builder.fcmp_ordered(">=", own, least) for own, least in pairs]
        this = [emit.spread(builder.trunc(list_of(k), number))] * len(rows)
        return emit.where(good, this, rows)

    none = [emit.spread(number(0))] * len(emit.parts)
    rows = emit.loop(emit.word(0), count, none, prefer)
    emit.store_at(call.data("chosen"), call.number("place"), rows)


@operation("tile first line weight start stop target room", result=types.boolean)
def sweep_line(emit: Emitter, call: Call) -> Any:
    """`tile[target]` becomes the best of its lists `start..stop`; whether that changed it at all.

    `room[1]` becomes the larger of itself and of how far `tile[target]` moved.
    """
    return _put(emit, call, _best(emit, call, call.number("start"), call.number("stop")))


@operation("tile first line weight start stop target room chosen place", result=types.boolean)
def improve_line(emit: Emitter, call: Call) -> Any:
    """As `sweep_line`; `chosen[place]`, int32, becomes the first list that attains the maximum."""
    best, rows = _best_and_first(emit, call)
    emit.store(call.data("chosen"), call.number("place"), rows)
    return _put(emit, call, best)


@operation("tile own first line weight lines pins room horizon", result=types.float64)
def measure_lines(emit: Emitter, call: Call) -> Any:
    """The largest |TV - V| of the block, T the Bellman operator as given; inf where it is none.

    The lists of line s, of `lines`, are `own[s]..own[s+1]`; a line that `pins` names is not
    measured for that goal.  `room[1]` and `room[2]` get the least and the largest TV - V of each
    goal.  Where `horizon` is positive, V* lies within horizon * [least, largest] of V (MacQueen
    1966; Porteus 1971): each goal is moved to the middle, and its residual, as far as it matters,
    is half the span.
    """
    builder, tile, own, parts = emit.builder, call.data("tile"), call.data("own"), len(emit.parts)
    nothing, zero = emit.real(0.0), ir.DoubleType()(0.0)

    def widen(s: Any, carried: list[Any]) -> list[Any]:
        span = emit.at(own, s), emit.at(own, builder.add(s, emit.word(1)))
        off = emit.minus(_best(emit, call, *span), emit.load(tile, s))
        off = emit.where(emit.equal(call.data("pins"), s), nothing, off)
        least, most = carried[:parts], carried[parts : 2 * parts]
        wrong = emit.plus(carried[2 * parts :], emit.minus(off, off))  # 0 while all are numbers
        return emit.chosen("<", off, least) + emit.chosen(">", off, most) + wrong

    begin = emit.real(HIGHEST) + emit.real(LOWEST) + nothing
    found = emit.loop(emit.word(0), call.number("lines"), begin, widen)
    low, high, wrong = found[:parts], found[parts : 2 * parts], found[2 * parts :]
    horizon = call.value("horizon")
    centred = builder.fcmp_ordered(">", horizon, zero)
    middle = emit.times(emit.times(emit.plus(low, high), emit.real(0.5)), emit.real(horizon))
    half = emit.times(emit.minus(high, low), emit.real(0.5))
    high = [builder.select(centred, a, b) for a, b in zip(half, high, strict=True)]
    low = [
        builder.select(centred, a, b) for a, b in zip(emit.minus(nothing, half), low, strict=True)
    ]
    right = [builder.fcmp_ordered("==", a, b) for a, b in zip(wrong, nothing, strict=True)]
    low, high = (
        emit.where(right, low, emit.real(LOWEST)),
        emit.where(right, high, emit.real(HIGHEST)),
    )
    for number, values in enumerate((low, high), start=1):
        emit.store(call.data("room"), emit.word(number), values)

    def move(s: Any, carried: list[Any]) -> list[Any]:
        emit.store(tile, s, emit.plus(emit.load(tile, s), middle))
        return carried

    emit.loop(emit.word(0), builder.select(centred, call.number("lines"), emit.word(0)), [], move)
    worst = emit.chosen(">", high, emit.minus(nothing, low))
    return _largest(emit, emit.chosen(">", worst, nothing))


def _largest(emit: Emitter, values: list[Any]) -> Any:
    def larger(one: Any, other: Any) -> Any:
        return emit.builder.select(emit.builder.fcmp_ordered(">", one, other), one, other)

    return emit.folded(values, larger)


@operation("tile line", result=types.float64)
def widest(emit: Emitter, call: Call) -> Any:
    """The largest number of a line, at least 0."""
    values = emit.load(call.data("tile"), call.number("line"))
    return _largest(emit, emit.chosen(">", values, emit.real(0.0)))


@operation("tile pins begin end", result=types.boolean)
def pin_lines(emit: Emitter, call: Call) -> Any:
    """Set `tile[pins]` to 1 for the goals whose pin is in `begin..end`; whether there are any."""
    builder, tile, pins = emit.builder, call.data("tile"), call.data("pins")

    def pin(goal: Any, carried: list[Any]) -> list[Any]:
        own = emit.at(pins, goal)
        inside = builder.and_(
            builder.icmp_signed(">=", own, call.number("begin")),
            builder.icmp_signed("<", own, call.number("end")),
        )
        with builder.if_then(inside):
            at = builder.add(builder.mul(own, emit.word(emit.width)), goal)
            emit.put(tile, at, ir.DoubleType()(1.0))
        return [builder.or_(carried[0], inside)]

    return emit.loop(emit.word(0), emit.word(emit.width), [ir.IntType(1)(0)], pin)[0]


@operation("tile target room pins")
def hold_line(emit: Emitter, call: Call) -> None:
    """Where `pins` is `target`, set `tile[target]` to 1, and `room[1]` back to `room[0]`."""
    tile, target, room = call.data("tile"), call.number("target"), call.data("room")
    pinned = emit.equal(call.data("pins"), target)
    emit.store(tile, target, emit.where(pinned, emit.real(1.0), emit.load(tile, target)))
    before, now = (emit.load(room, emit.word(line)) for line in range(2))
    emit.store(room, emit.word(1), emit.where(pinned, before, now))


@operation("source line out target")
def copy_line(emit: Emitter, call: Call) -> None:
    """`out[target] = source[line]`."""
    values = emit.load(call.data("source"), call.number("line"))
    emit.store(call.data("out"), call.number("target"), values)


@operation("tile target number")
def fill_line(emit: Emitter, call: Call) -> None:
    """`tile[target]` becomes one number."""
    emit.store(call.data("tile"), call.number("target"), emit.real(call.value("number")))


@operation("tile own first line weight begin end room", result=types.float64)
def jacobi_lines(emit: Emitter, call: Call) -> Any:
    """One Jacobi sweep of the lines `begin..end`; the span of its changes, at most over the goals.

    The lists of line s are `own[s]..own[s+1]`.  `room` takes the new values, and in its lines
    `end - begin` and the next one the least and the largest change.
    """
    builder, tile, own, room = emit.builder, call.data("tile"), call.data("own"), call.data("room")
    begin, end, parts = call.number("begin"), call.number("end"), len(emit.parts)

    def compute(s: Any, carried: list[Any]) -> list[Any]:
        span = emit.at(own, s), emit.at(own, builder.add(s, emit.word(1)))
        emit.store(room, builder.sub(s, begin), _best(emit, call, *span))
        return carried

    def replace(s: Any, carried: list[Any]) -> list[Any]:
        new = emit.load(room, builder.sub(s, begin))
        change = emit.minus(new, emit.load(tile, s))
        emit.store(tile, s, new)
        low, high = carried[:parts], carried[parts:]
        return emit.chosen("<", change, low) + emit.chosen(">", change, high)

    emit.loop(begin, end, [], compute)
    found = emit.loop(begin, end, emit.real(HIGHEST) + emit.real(LOWEST), replace)
    lines = builder.sub(end, begin)
    emit.store(room, lines, found[:parts])
    emit.store(room, builder.add(lines, emit.word(1)), found[parts:])
    return _largest(emit, emit.minus(found[parts:], found[:parts]))


@operation("tile begin end room factor")
def centre_lines(emit: Emitter, call: Call) -> None:
    """Add `factor` times the middle of the changes that `jacobi_lines` found to its lines."""
    builder, tile, room = emit.builder, call.data("tile"), call.data("room")
    begin, end = call.number("begin"), call.number("end")
    low = builder.sub(end, begin)
    changes = emit.load(room, low), emit.load(room, builder.add(low, emit.word(1)))
    middle = emit.times(emit.plus(*changes), emit.real(0.5))
    more = emit.times(emit.real(call.value("factor")), middle)

    def add(s: Any, carried: list[Any]) -> list[Any]:
        emit.store(tile, s, emit.plus(emit.load(tile, s), more))
        return carried

    emit.loop(begin, end, [], add)


def _each(emit: Emitter, count: Any, work: Callable[[Any], None]) -> None:
    """Do something for each number below `count`."""

    def once(number: Any, carried: list[Any]) -> list[Any]:
        work(number)
        return carried

    emit.loop(emit.word(0), count, [], once)


@operation("source row_step goal_step first count tile line lines")
def load_goals(emit: Emitter, call: Call) -> None:
    """`tile[line + i, g] = source[i * row_step + (first + g) * goal_step]` for i below `lines`.

    From the goal number `count` on, the last one is repeated.
    """
    _gather(emit, call, lambda line: line)


@operation("source rows row_step first count tile line lines goal_step")
def load_values(emit: Emitter, call: Call) -> None:
    """As `load_goals`, with the rows of `source` in the order of `rows`."""
    _gather(emit, call, lambda line: emit.at(call.data("rows"), line))


def _gather(emit: Emitter, call: Call, row_of: Callable[[Any], Any]) -> None:
    builder, last = emit.builder, emit.builder.sub(call.number("count"), emit.word(1))
    source, tile = call.data("source"), call.data("tile")

    def line_of(line: Any) -> None:
        start = builder.mul(row_of(line), call.number("row_step"))
        to = builder.mul(builder.add(call.number("line"), line), emit.word(emit.width))

        def goal_of(goal: Any) -> None:
            number = emit.less(builder.add(call.number("first"), goal), last)
            at = builder.add(start, builder.mul(number, call.number("goal_step")))
            emit.put(tile, builder.add(to, goal), emit.at(source, at))

        _each(emit, emit.word(emit.width), goal_of)

    _each(emit, call.number("lines"), line_of)


@operation("tile lines values rows row_step first count")
def keep_values(emit: Emitter, call: Call) -> None:
    """`values[rows[s], first + g] = tile[s, g]` for lines s and g below `count`."""
    builder, values, tile = emit.builder, call.data("values"), call.data("tile")

    def line_of(line: Any) -> None:
        start = builder.mul(emit.at(call.data("rows"), line), call.number("row_step"))
        start = builder.add(start, call.number("first"))
        own = builder.mul(line, emit.word(emit.width))

        def goal_of(goal: Any) -> None:
            emit.put(values, builder.add(start, goal), emit.at(tile, builder.add(own, goal)))

        _each(emit, call.number("count"), goal_of)

    _each(emit, call.number("lines"), line_of)


@operation("tile lines own factor reward count sums")
def keep_moments(emit: Emitter, call: Call) -> None:
    """Add to `sums[s]` the sum over g below `count`, and that of squares, of each line's figure.

    It is `factor * (tile[s, g] - reward * tile[lines + own[s], g])`.
    """
    builder, tile, sums, lines = (
        emit.builder,
        call.data("tile"),
        call.data("sums"),
        call.number("lines"),
    )
    factor, reward = emit.real(call.value("factor")), emit.real(call.value("reward"))
    limit, nothing = emit.spread(call.number("count")), emit.real(0.0)
    counted = [builder.icmp_signed("<", each, limit) for each in emit.lanes()]

    def line_of(line: Any) -> None:
        utility = emit.load(tile, builder.add(lines, emit.at(call.data("own"), line)))
        x = emit.times(factor, emit.minus(emit.load(tile, line), emit.times(reward, utility)))
        x = emit.where(counted, x, nothing)
        for part, figures in enumerate((x, emit.times(x, x))):
            at = builder.add(builder.mul(line, emit.word(2)), emit.word(part))
            emit.put(sums, at, builder.fadd(emit.at(sums, at), emit.folded(figures, builder.fadd)))

    _each(emit, lines, line_of)


@operation("room residual first count")
def keep_residuals(emit: Emitter, call: Call) -> None:
    """`residual[first + g] = max(-room[1, g], room[2, g])` for g below `count`."""
    builder, room = emit.builder, call.data("room")
    low, high = (emit.load(room, emit.word(line)) for line in (1, 2))
    emit.store(room, emit.word(0), emit.chosen(">", emit.minus(emit.real(0.0), low), high))

    def goal_of(goal: Any) -> None:
        emit.put(
            call.data("residual"), builder.add(call.number("first"), goal), emit.at(room, goal)
        )

    _each(emit, call.number("count"), goal_of)


def _mixed(emit: Emitter, number: Any) -> Any:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014, figure 16)."""
    builder = emit.builder

    def folded(number: Any, bits: int) -> Any:
        return builder.xor(number, builder.lshr(number, emit.spread(emit.word(bits))))

    for bits, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        number = builder.mul(folded(number, bits), emit.spread(emit.word(factor)))
    return folded(number, 31)


@operation("tile line outcomes seed goal")
def draw_lines(emit: Emitter, call: Call) -> None:
    """The utilities of the goals from number `goal` on, from U[0, 1), into `tile[line..]`.

    As `GoalSample.utilities` draws them.
    """
    builder, golden, one = emit.builder, emit.spread(emit.word(GOLDEN)), emit.word(1)
    seed, goal = emit.spread(call.number("seed")), builder.add(call.number("goal"), one)
    streams = []
    for lanes in emit.lanes():
        own = builder.add(emit.spread(goal), lanes)
        streams.append(_mixed(emit, builder.add(seed, builder.mul(own, golden))))
    tile, line, most = call.data("tile"), call.number("line"), emit.real(1.0 / (1 << 53))
    shift = emit.spread(emit.word(11))

    def draw(outcome: Any) -> None:
        own = builder.mul(emit.spread(builder.add(outcome, one)), golden)
        bits = [_mixed(emit, builder.add(stream, own)) for stream in streams]
        reals = [builder.uitofp(builder.lshr(each, shift), emit.vector) for each in bits]
        emit.store(tile, builder.add(line, outcome), emit.times(reals, most))

    _each(emit, call.number("outcomes"), draw)
