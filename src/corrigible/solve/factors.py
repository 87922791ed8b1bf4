"""What elimination will touch, worked out once for all goals and policies of a layout.

Every policy's equations have entries only where some row of the world leads, so one fill-in, one
order and one list of updates serve them all; only the numbers differ from goal to goal.
N states of one component, F updates: the sum over pivots of the squared number of entries below.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from corrigible.errors import NotSolvedError
from corrigible.solve.layout import Layout
from corrigible.world.record import Int32s, Int64s

MOST_UPDATES = 30_000_000  # a list of this length takes 120 MB


@dataclass(frozen=True, eq=False)
class Plan:
    """The elimination of every component with more than one state, one after the other.

    The numbers of component c live in one array: N diagonal entries, then what stands right of
    each pivot, then what stands below each, in the same order.
    """

    place: Int64s  # [L], the position of each line in its component's order of elimination
    first: (
        Int64s  # [L+1], the entries right of pivot `component[c] + k` are first[...]:first[...+1]
    )
    entry: Int32s  # the position of each entry in its component's order
    first_target: Int64s  # [L+1], where the updates of each pivot start
    target: Int32s  # [F], which number each update changes
    spot: Int32s  # for each term of the layout's `moving` the number it is part of; -1: none
    largest: int  # numbers that the largest component has

    @property
    def updates(self) -> int:
        """F, of all components together."""
        return len(self.target)


def elimination_plan(layout: Layout) -> Plan:
    """The order, the fill-in and the updates of every component.

    The order is minimum degree on the pattern of A + A^T (Liu 1985, as SuperLU does it); the
    fill-in follows from the elimination tree.

    Raises:
        NotSolvedError: eliminating would take more than MOST_UPDATES updates: the world is too
            well connected for it.
    """
    lines = len(layout.order)
    place, nothing = np.zeros(lines, dtype=np.int64), np.zeros(0, dtype=np.int64)
    entry, target = [nothing], [nothing]
    first, first_target = np.zeros(lines + 1, np.int64), np.zeros(lines + 1, np.int64)
    spot = np.full(len(layout.moving.line), -1, dtype=np.int32)
    largest = updates = entries = 0
    for lo, hi in zip(layout.component[:-1].tolist(), layout.component[1:].tolist(), strict=True):
        part = _part_of(hi - lo, *_edges(layout, lo, hi))
        updates += part.updates
        if updates > MOST_UPDATES:
            raise NotSolvedError(
                f"elimination must take at most {MOST_UPDATES} updates a policy, got more: "
                f"{hi - lo} states lead to too many others; use the method 'any'"
            )
        place[lo:hi] = part.place
        first[lo + 1 : hi + 1] = entries + part.first[1:]
        first_target[lo + 1 : hi + 1] = updates - part.updates + np.cumsum(np.diff(part.first) ** 2)
        entries += len(part.entry)
        entry.append(part.entry)
        target.append(part.targets)
        spot[_inner_terms(layout, lo, hi)] = part.spots
        largest = max(largest, hi - lo + 2 * len(part.entry))
    return Plan(
        place=place,
        first=first,
        entry=np.concatenate(entry).astype(np.int32),
        first_target=first_target,
        target=np.concatenate(target).astype(np.int32),
        spot=spot,
        largest=largest,
    )


_KEPT = 8_000_000
"""Numbers that remembered components may have in all: 64 MB."""

_known: OrderedDict[tuple[int, bytes, bytes], "_Part"] = OrderedDict()
_lock = threading.Lock()


def _part_of(states: int, home: Int64s, to: Int64s) -> "_Part":
    """The elimination of a component with these edges, remembered from the last time.

    Components of one world are often alike, and so are worlds that differ in their rates alone.
    """
    key = (states, home.tobytes(), to.tobytes())
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    part = _Part.of(states, home, to)
    with _lock:
        _known[key] = part
        size = sum(known.size for known in _known.values())
        while size > _KEPT:
            size -= _known.popitem(last=False)[1].size
    return part


@dataclass(frozen=True, eq=False)
class _Part:
    """One component: its order and its fill-in, in positions of that order."""

    place: Int64s  # [N]
    first: Int64s  # [N+1]
    entry: Int64s  # sorted within each pivot
    home: Int64s  # for each edge the state that it leaves
    to: Int64s  # and the one it leads to

    @classmethod
    def of(cls, states: int, home: Int64s, to: Int64s) -> "_Part":
        if not len(home):
            nothing = np.zeros(0, dtype=np.int64)
            return cls(np.arange(states), np.zeros(states + 1, np.int64), nothing, home, to)
        pattern = sparse.csc_matrix((np.ones(len(home)), (home, to)), shape=(states, states))
        pattern = ((pattern + pattern.T) > 0).astype(np.float64)
        place = _minimum_degree(pattern)
        coo = pattern.tocoo()
        row, column = place[coo.row], place[coo.col]
        above = row < column
        below = sparse.csr_matrix(
            (np.ones(above.sum()), (row[above], column[above])), shape=(states, states)
        )
        fill = _filled(below, states)
        counts = [len(own) for own in fill]
        return cls(
            place=place,
            first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            entry=np.concatenate(fill).astype(np.int64),
            home=home,
            to=to,
        )

    @property
    def size(self) -> int:
        """About how many numbers it holds."""
        return self.updates + 3 * len(self.home) + 2 * len(self.place)

    @property
    def updates(self) -> int:
        """How many updates eliminating this component takes."""
        return int((np.diff(self.first) ** 2).sum())

    def numbers(self, row: Int64s, column: Int64s) -> Int64s:
        """Which of the component's numbers each (row, column) is; every one must exist."""
        states, entries = len(self.place), len(self.entry)
        pivot, other = np.minimum(row, column), np.maximum(row, column)
        keys = np.repeat(np.arange(states), np.diff(self.first)) * states + self.entry
        found = np.searchsorted(keys, pivot * states + other)
        right = states + found
        return np.where(row == column, row, np.where(row < column, right, right + entries))

    @cached_property
    def targets(self) -> Int64s:
        """The number that each update changes, pivot by pivot, rows before columns."""
        rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for pivot in range(len(self.place)):
            own = self.entry[self.first[pivot] : self.first[pivot + 1]]
            rows.append(np.repeat(own, len(own)))
            columns.append(np.tile(own, len(own)))
        return self.numbers(np.concatenate(rows), np.concatenate(columns))

    @cached_property
    def spots(self) -> Int64s:
        """The number that each edge is part of."""
        return self.numbers(self.place[self.home], self.place[self.to])


def _inner_terms(layout: Layout, lo: int, hi: int) -> Int64s:
    """Where the inner terms of a component's rows stand in `moving`, in the order of `inner`."""
    rows = slice(layout.first_row[lo], layout.first_row[hi])
    counts = layout.inside[rows]
    before = np.cumsum(counts) - counts
    return np.repeat(layout.moving.first[rows] - before, counts) + np.arange(counts.sum())


def _edges(layout: Layout, lo: int, hi: int) -> tuple[Int64s, Int64s]:
    """For each inner term of a component its own state and the one it leads to, from 0."""
    first_row, inner = layout.first_row, layout.inner
    rows = slice(first_row[lo], first_row[hi])
    state = np.repeat(np.arange(hi - lo), np.diff(first_row[lo : hi + 1]))
    counts = np.diff(inner.first[first_row[lo] : first_row[hi] + 1])
    terms = slice(inner.first[rows.start], inner.first[rows.stop])
    return np.repeat(state, counts), inner.line[terms] - lo


def _minimum_degree(pattern: sparse.csc_matrix) -> Int64s:
    """The position of each state in the order of elimination, `[N]`."""
    weight = np.asarray(pattern.sum(axis=1)).ravel() + 1
    dominant = (sparse.diags(weight) - pattern).tocsc()
    factors = splu(
        dominant,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return np.asarray(factors.perm_c, dtype=np.int64)


def _filled(above: sparse.csr_matrix, states: int) -> list[Int64s]:
    """For each pivot the later positions that its elimination touches, sorted.

    Those it has itself, and those of the pivots whose first touched position it is.
    """
    fill: list[Int64s] = []
    children: list[list[int]] = [[] for _ in range(states)]
    for pivot in range(states):
        own = [above.indices[above.indptr[pivot] : above.indptr[pivot + 1]].astype(np.int64)]
        own += [fill[child][1:] for child in children[pivot]]
        touched = np.unique(np.concatenate(own))
        fill.append(touched)
        if len(touched):
            children[touched[0]].append(pivot)
    return fill
