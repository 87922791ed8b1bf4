"""A world laid out for the kernels: live states in solving order, everything else folded away.

L live states, Q live rows, C strongly connected components, O outcomes.  A tile is `[L + O, B]`:
the values of B goals in the live states, in solving order, over the goals' utilities.  Every row
is then one sparse list of (tile line, weight): what it leads to, what it earns at once, and what
its successors on the boundary are worth, since that is linear in the utilities.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.lists import Lists, Seeds, are_summed, joined, seeds_of
from corrigible.world.record import ROW_SUM_TOLERANCE, Bools, Floats, Int32s, Int64s, World

CACHED_PER_WORLD = 8
EXACT_SUM = 8 * float(np.finfo(np.float64).eps)  # how far a row's sum may round away from 1


@dataclass(frozen=True, eq=False)
class Boundary:
    """States whose continuation is fixed beforehand: their value is linear in the utilities.

    `V(s, g) = occupancy[s] @ goals[:, g]` where `states[s]`; elsewhere `occupancy` is not read.
    An occupancy is normalised as `outcome_occupancy` returns it: each line sums to 1.
    """

    states: Bools  # [S]
    occupancy: Floats  # [S, O]


@dataclass(frozen=True)
class Structure:
    """What of a world's shape decides how it is solved, as far as its live states go."""

    states: int
    deterministic: bool  # every row leads to one state
    self_loops: bool  # some row may stay where it is
    components: int  # strongly connected
    largest: int  # states in the largest of them
    closed: int  # components that no row leads out of

    def __str__(self) -> str:
        kind = "deterministic" if self.deterministic else "stochastic"
        loops = "with" if self.self_loops else "without"
        parts = "1 component" if self.components == 1 else f"{self.components} components"
        return (
            f"{kind}, {loops} self-loops, {self.states} states in {parts} "
            f"(largest {self.largest}, {self.closed} closed)"
        )


@dataclass(frozen=True, eq=False)
class Layout:
    """One world, boundary, set of rows and discount, ready for the kernels."""

    order: Int64s  # [L], the state at each line; a component comes after all that it leads to
    component: Int64s  # [C+1], lines of component c are component[c]:component[c+1]
    closed: Bools  # [C], whether no row leads out of the component, so that constants stay
    functional: Bools  # [C], whether every row leads to one state of it at most
    first_row: Int64s  # [L+1], rows of line i are first_row[i]:first_row[i+1]
    row: Int64s  # [Q], the world's number of each row
    outcome: Int32s  # [L], of the state at each line
    outcomes: int
    whole: Lists  # Q(row) = sum of weight * tile: the Bellman operator itself
    inner: Lists  # within the component, without the self-loop, divided by 1 - self-loop;
    # the heaviest term of each row first
    outer: Lists  # everything else but the self-loop, divided by 1 - self-loop
    discount: float
    contraction: float  # largest discounted probability of a row to stay live; < 1 if discount is
    conserving: bool  # every row stays live surely: constants stay constants, discounted
    structure: Structure
    moving: Lists = field(init=False)  # inner, and then outer or, where that has many terms, one
    # line of the tile that holds their sum: line L + O + row, rows counted from the component's
    inside: Int64s = field(init=False)  # [Q], how many terms of each row of `moving` are inner
    summed: Bools = field(init=False)  # [C], whether such lines are used
    seeds: Seeds = field(init=False)  # where sweeps start

    def __post_init__(self) -> None:
        components = len(self.component) - 1
        part = np.repeat(np.arange(components), np.diff(self.component))
        home = np.repeat(np.arange(len(self.order)), np.diff(self.first_row))
        part = part[home]
        summed = are_summed(self.outer, part, components)
        begin = self.first_row[self.component[:-1]][part]
        own = len(self.order) + self.outcomes + np.arange(len(part)) - begin
        moving = joined(self.inner, self.outer, np.where(summed[part], own, -1))
        inside = np.diff(self.inner.first).astype(np.int64)
        object.__setattr__(self, "moving", moving)
        object.__setattr__(self, "inside", inside)
        object.__setattr__(self, "summed", summed)
        object.__setattr__(self, "seeds", seeds_of(moving, inside, home))


_cache: WeakKeyDictionary[World, OrderedDict[tuple[object, ...], Layout]] = WeakKeyDictionary()


def world_layout(
    world: World, *, discount: float, available: Bools | None, boundary: Boundary | None
) -> Layout:
    """The layout of a world; the latest few of each world are kept.

    A boundary is told apart by identity: do not write into its arrays.

    Raises:
        DiscountError: `discount` is not in [0, 1].
        WorldError: a mask has the wrong length, a live state has no row left, or an occupancy
            is not finite.
    """
    if not 0 <= discount <= 1:
        raise DiscountError(f"discount must lie in [0, 1], got {discount!r}")
    mask = None if available is None else np.asarray(available, dtype=np.bool_)
    key = (discount, None if mask is None else mask.tobytes(), boundary)
    layouts = _cache.setdefault(world, OrderedDict())
    if key not in layouts:
        layouts[key] = _laid_out(world, discount, mask, boundary)
        if len(layouts) > CACHED_PER_WORLD:
            layouts.popitem(last=False)
    layouts.move_to_end(key)
    return layouts[key]


def live_states(world: World, boundary: Boundary | None) -> Bools:
    """The states that are optimised, `[S]`: those outside the boundary, which is checked here.

    Raises:
        WorldError: the boundary's shape is not the world's, or an occupancy is not finite.
    """
    if boundary is None:
        return np.ones(world.states, dtype=np.bool_)
    expected = (world.states,), (world.states, world.outcomes)
    if (boundary.states.shape, boundary.occupancy.shape) != expected:
        raise WorldError(
            f"a boundary must have states {expected[0]} and occupancy {expected[1]}, "
            f"got {boundary.states.shape} and {boundary.occupancy.shape}"
        )
    fixed = np.flatnonzero(boundary.states)
    bad = fixed[~np.isfinite(boundary.occupancy[fixed]).all(axis=1)]
    if len(bad):
        raise WorldError(
            f"the boundary's occupancy of state {bad[0]} must be finite, "
            f"got {boundary.occupancy[bad[0]].tolist()!r}"
        )
    return ~boundary.states.astype(np.bool_)


def usable_rows(world: World, available: Bools | None, live: Bools) -> Bools:
    """The rows that may be taken in live states, `[R]`.

    Raises:
        WorldError: the mask has the wrong length, or leaves a live state without a row.
    """
    usable = live[world.row_state]
    if available is None:
        return usable
    if available.shape != usable.shape:
        raise WorldError(
            f"available must have the shape {list(usable.shape)!r}, got {list(available.shape)!r}"
        )
    usable &= available
    stuck = np.flatnonzero(live & ~np.logical_or.reduceat(usable, world.rows[:-1]))
    if len(stuck):
        raise WorldError(
            f"state {stuck[0]} must keep a row that is available, got none "
            f"({len(stuck) - 1} other states too); keep a row that waits"
        )
    return usable


def row_matrix(world: World) -> sparse.csr_matrix:
    """The transition probabilities as a sparse matrix `[R, S]`, over the world's own arrays."""
    return sparse.csr_matrix(
        (world.probability, world.successor, world.entries),
        shape=(len(world.action), world.states),
    )


def _laid_out(
    world: World, discount: float, available: Bools | None, boundary: Boundary | None
) -> Layout:
    live = live_states(world, boundary)
    rows = np.flatnonzero(usable_rows(world, available, live))
    order, component = _solving_order(world, rows, live)
    line = np.full(world.states, -1, dtype=np.int64)
    line[order] = np.arange(len(order))
    rows = rows[np.argsort(line[world.row_state[rows]], kind="stable")]
    moves, home = _moves_of(world, rows), line[world.row_state[rows]]
    whole = _whole(world, rows, line, discount=discount, boundary=boundary)
    inner, outer = _split(whole, home, component)
    row = _row_of(whole)
    staying = whole.line < len(order)
    stay = np.bincount(row[staying], whole.weight[staying], len(rows))
    closed = _closed(whole, home, component, discount)
    wide = np.diff(component)
    return Layout(
        order=order,
        component=component,
        closed=closed,
        functional=_functional(inner, home, component),
        first_row=np.concatenate([[0], np.cumsum(np.bincount(home, minlength=len(order)))]),
        row=rows,
        outcome=np.array(world.outcome[order], dtype=np.int32),
        outcomes=world.outcomes,
        whole=whole,
        inner=inner,
        outer=outer,
        discount=float(discount),
        contraction=min(float(stay.max(initial=0.0)), discount),
        conserving=bool((abs(stay - discount) <= EXACT_SUM).all()),
        structure=Structure(
            states=len(order),
            deterministic=bool((np.diff(moves.first) == 1).all()),
            self_loops=bool((moves.line == world.row_state[rows[_row_of(moves)]]).any()),
            components=len(wide),
            largest=int(wide.max(initial=0)),
            closed=int(closed.sum()),
        ),
    )


def _moves_of(world: World, rows: Int64s) -> Lists:
    """For each of some rows the states that it may lead to, and how likely."""
    counts = np.diff(world.entries)[rows]
    first = np.concatenate([[0], np.cumsum(counts)])
    if len(rows) == len(world.action) and (rows[1:] > rows[:-1]).all():
        return Lists(first, world.successor.astype(np.int64), world.probability)
    at = np.repeat(world.entries[rows] - first[:-1], counts) + np.arange(first[-1])
    return Lists(first, world.successor[at].astype(np.int64), world.probability[at])


def _row_of(lists: Lists) -> Int64s:
    """The row of each term."""
    return np.repeat(np.arange(len(lists.first) - 1), np.diff(lists.first))


def _whole(
    world: World, rows: Int64s, line: Int64s, *, discount: float, boundary: Boundary | None
) -> Lists:
    """The Bellman operator: what each row leads to, earns at once, and is worth on the boundary."""
    moves, lines = _moves_of(world, rows), int((line >= 0).sum())
    earned = lines + world.outcome[world.row_state[rows]]
    row, to = _row_of(moves), line[moves.line]
    stays = slice(None) if boundary is None else to >= 0
    parts = [
        (row[stays], to[stays], discount * moves.weight[stays]),
        (np.arange(len(rows)), earned, np.full(len(rows), 1 - discount)),
    ]
    if boundary is not None:
        fixed = np.flatnonzero(boundary.states)
        number = np.empty(len(line), dtype=np.int64)
        number[fixed] = np.arange(len(fixed))
        ends = to < 0
        leaving = sparse.csr_matrix(
            (moves.weight[ends], (row[ends], number[moves.line[ends]])), (len(rows), len(fixed))
        )
        beyond = (discount * (leaving @ sparse.csr_matrix(boundary.occupancy[fixed]))).tocoo()
        parts.append((beyond.row, lines + beyond.col, beyond.data))
    at, column, weight = (np.concatenate(each) for each in zip(*parts, strict=True))
    whole = sparse.csr_matrix((weight, (at, column)), (len(rows), lines + world.outcomes))
    whole.eliminate_zeros()
    return Lists(
        first=whole.indptr.astype(np.int64),
        line=whole.indices.astype(np.int64),
        weight=whole.data.astype(np.float64),
    )


def _solving_order(world: World, rows: Int64s, live: Bools) -> tuple[Int64s, Int64s]:
    """Live states so that each component comes after all that it leads to, and where each starts.

    Within a component states keep their own order.
    """
    moves = _moves_of(world, rows)
    tail, head = world.row_state[rows[_row_of(moves)]], moves.line
    if not live.all():
        inside = live[head]
        tail, head = tail[inside], head[inside]
    first = np.searchsorted(tail, np.arange(world.states + 1))  # rows stand state by state
    graph = sparse.csr_matrix(
        (np.ones(len(head), dtype=np.int8), head, first), (world.states, world.states)
    )
    _, label = connected_components(graph, directed=True, connection="strong")
    rank = _sinks_first(tail, head, label)
    states = np.flatnonzero(live)
    order = states[np.argsort(rank[states], kind="stable")]
    starts = np.flatnonzero(np.diff(rank[order], prepend=-1))
    return order, np.append(starts, len(order)).astype(np.int64)


def _sinks_first(source: Int32s, target: Int64s, label: Int32s) -> Int64s:
    """For each state the rank of its component, `[S]`: below that of all that lead to it.

    scipy labels components in the order in which Tarjan's algorithm completes them, which is
    this one, but does not promise it; where it does not hold, the components are sorted here.
    """
    tail, head = label[source], label[target]
    rank: Int64s = label.astype(np.int64)
    if (tail >= head).all():
        return rank
    if (tail <= head).all():
        return int(label.max()) - rank
    count = int(label.max()) + 1
    across = tail != head
    edges = np.unique(np.stack([head[across], tail[across]], axis=1), axis=0)
    after = sparse.csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count))
    waits = np.bincount(edges[:, 1], minlength=count)
    ready = list(np.flatnonzero(waits == 0))
    rank = np.empty(count, dtype=np.int64)
    for position in range(count):
        done = ready.pop()
        rank[done] = position
        for nxt in after.indices[after.indptr[done] : after.indptr[done + 1]]:
            waits[nxt] -= 1
            if waits[nxt] == 0:
                ready.append(nxt)
    return np.asarray(rank[label], dtype=np.int64)


def _closed(whole: Lists, home: Int64s, component: Int64s, discount: float) -> Bools:
    """Which components no row leads out of, `[C]`."""
    part = np.repeat(np.arange(len(component) - 1), np.diff(component))
    row = _row_of(whole)
    live = whole.line < component[-1]
    row, to, weight = row[live], whole.line[live], whole.weight[live]
    held = np.bincount(row, weight * (part[to] == part[home[row]]), len(home))
    leaks = np.bincount(part[home], held < discount - ROW_SUM_TOLERANCE, len(component) - 1)
    return np.asarray(leaks == 0, dtype=np.bool_)


def _functional(inner: Lists, home: Int64s, component: Int64s) -> Bools:
    """Components in which every row leads to one other state of them at most, `[C]`."""
    part = np.repeat(np.arange(len(component) - 1), np.diff(component))
    many = np.bincount(part[home], np.diff(inner.first) > 1, len(component) - 1)
    return np.asarray(many == 0, dtype=np.bool_)


def _split(whole: Lists, home: Int64s, component: Int64s) -> tuple[Lists, Lists]:
    """Each row's terms inside its component and outside it, both without its self-loop.

    Dividing by 1 - self-loop makes a row's value the one of taking it until it moves on.  A row
    that never moves on and earns nothing (self-loop 1, at discount 1) is worth 0: no terms.
    """
    row, lines, rows = _row_of(whole), component[-1], len(home)
    part = np.full(max(lines, int(whole.line.max(initial=0)) + 1), -1)
    part[:lines] = np.repeat(np.arange(len(component) - 1), np.diff(component))
    own = home[row]
    loop = whole.line == own
    moving = np.ones(rows)
    moving[row[loop]] -= whole.weight[loop]
    scale = np.divide(1.0, moving, out=np.zeros_like(moving), where=moving > 0)
    weight = whole.weight * scale[row]
    inside = (part[whole.line] == part[own]) & ~loop

    def chosen(which: Bools) -> Lists:
        number, line, kept = row[which], whole.line[which], weight[which]
        counts = np.bincount(number, minlength=rows)
        if counts.max(initial=0) > 1:
            heaviest_first = np.lexsort((-kept, number))
            line, kept = line[heaviest_first], kept[heaviest_first]
        return Lists(np.concatenate([[0], np.cumsum(counts)]), line, kept)

    return chosen(inside), chosen(~inside & ~loop)
