"""Sparse lists over the lines of a tile: what each row, or each start, adds up.

Axes: L lines, Q rows, N terms.  A layout's rows stand line by line, its lines by component.
"""

from dataclasses import dataclass

import numpy as np

from corrigible.world.record import Bools, Floats, Int64s

FEW_TERMS = 2  # up to so many terms of a row are added up each time


@dataclass(frozen=True, eq=False)
class Lists:
    """Sparse lists: list i is `first[i]:first[i+1]` of `line` and `weight`."""

    first: Int64s
    line: Int64s  # [N], lines of the tile
    weight: Floats  # [N]


def joined(inner: Lists, outer: Lists, pointer: Int64s) -> Lists:
    """Each row's inner terms, and then its outer ones or the one line that holds their sum.

    Args:
        inner: one list a row.
        outer: the same.
        pointer: `[Q]`, that line, or -1 where the outer terms are to stand for themselves.
    """
    within, beyond = np.diff(inner.first), np.diff(outer.first)
    summed = pointer >= 0
    first = np.concatenate([[0], np.cumsum(within + np.where(summed, 1, beyond))]).astype(np.int64)
    line, weight = np.empty(first[-1], dtype=np.int64), np.ones(first[-1])
    at = np.repeat(first[:-1] - inner.first[:-1], within) + np.arange(len(inner.line))
    line[at], weight[at] = inner.line, inner.weight
    behind = first[:-1] + within
    at = np.repeat(behind - outer.first[:-1], beyond) + np.arange(len(outer.line))
    kept = np.repeat(~summed, beyond)
    line[at[kept]], weight[at[kept]] = outer.line[kept], outer.weight[kept]
    line[behind[summed]] = pointer[summed]
    return Lists(first, line, weight)


@dataclass(frozen=True, eq=False)
class Seeds:
    """Where each line may start: values of policies that are known without solving anything."""

    first: Int64s  # [L+1], the seeds of line i are first[i]:first[i+1]; at least one
    lists: Lists  # one a seed


def seeds_of(moving: Lists, inside: Int64s, home: Int64s) -> Seeds:
    """For each line the rows that leave its component, and those that go to and fro for good.

    Row r alone: what it brings from outside, as if what it leads to inside were worth nothing.
    A row r that leads to one state inside, t, and a row q of t that leads back: once there and
    back brings `outside(r) + w_r * outside(q)`, and for good that divided by `1 - w_r * w_q`.

    Args:
        moving: the rows' lists, as `joined` makes them.
        inside: `[Q]`, how many terms of each are inner; they come first.
        home: `[Q]`, the line of each row.
    """
    single = np.flatnonzero(inside == 1)
    to, weight = moving.line[moving.first[single]], moving.weight[moving.first[single]]
    lines = int(home.max(initial=-1)) + 1
    there, back = home[single] * lines + to, to * lines + home[single]
    order = np.argsort(there, kind="stable")
    low = np.searchsorted(there[order], back, side="left")
    counts = np.searchsorted(there[order], back, side="right") - low
    r = np.repeat(np.arange(len(single)), counts)
    within = np.arange(len(r)) - np.repeat(np.cumsum(counts) - counts, counts)
    q = order[np.repeat(low, counts) + within]
    around = weight[r] * weight[q]
    good = around < 1
    r, q, scale = r[good], q[good], 1 / (1 - around[good])
    alone = np.arange(len(home))
    seed_line = np.concatenate([home, home[single[r]]])
    sources = np.concatenate([alone, np.stack([single[r], single[q]], axis=1).ravel()])
    factors = np.concatenate(
        [np.ones(len(home)), np.stack([scale, weight[r] * scale], axis=1).ravel()]
    )
    parts = np.concatenate([np.ones(len(home), np.int64), np.full(len(r), 2)])
    return _sorted_seeds(_scaled(moving, inside, (sources, factors, parts)), seed_line, lines)


def _scaled(moving: Lists, inside: Int64s, of: tuple[Int64s, Floats, Int64s]) -> Lists:
    """One list a seed: the outside terms of its source rows, `parts` of them, times factors."""
    sources, factors, parts = of
    begin = moving.first[:-1][sources] + inside[sources]
    counts = moving.first[1:][sources] - begin
    at = np.repeat(begin - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
    ends = np.concatenate([[0], np.cumsum(counts)])[np.concatenate([[0], np.cumsum(parts)])]
    return Lists(ends, moving.line[at], moving.weight[at] * np.repeat(factors, counts))


def _sorted_seeds(lists: Lists, seed_line: Int64s, lines: int) -> Seeds:
    """The seeds in the order of their lines."""
    order = np.argsort(seed_line, kind="stable")
    counts = np.diff(lists.first)[order]
    first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    at = np.repeat(lists.first[:-1][order] - first[:-1], counts) + np.arange(first[-1])
    number = np.bincount(seed_line, minlength=lines)
    return Seeds(
        np.concatenate([[0], np.cumsum(number)]).astype(np.int64),
        Lists(first, lists.line[at], lists.weight[at]),
    )


def are_summed(outer: Lists, part: Int64s, components: int) -> Bools:
    """Components whose rows bring so many terms from outside that a sum of them is kept, `[C]`.

    Args:
        outer: one list a row.
        part: `[Q]`, the component of each row.
        components: C.
    """
    terms = np.bincount(part, np.diff(outer.first), components)
    return np.asarray(terms > FEW_TERMS * np.bincount(part, minlength=components))
