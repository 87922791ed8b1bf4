"""Explore a world from rules: from one state, breadth first, many states at a time.

A state is one integer, the mixed-radix code of its variables; a caller says how a frontier of
codes branches, and gets back the reachable states with their rows in compressed form.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corrigible.errors import WorldTooLargeError

Ints = npt.NDArray[np.int64]
_LARGEST_CODE = 2**62
_EVERY_CODE = 50_000  # up to here all codes are expanded at once: far fewer, larger calls
_CHUNK = 50_000  # states expanded at once: bounds the memory of a wide frontier


class Radix:
    """A mixed-radix code: `sizes[i]` values for the variable `names[i]`."""

    def __init__(self, names: tuple[str, ...], sizes: tuple[int, ...]) -> None:
        """Raise WorldTooLargeError where the product of the sizes passes 2**62."""
        self.names, self.sizes = names, sizes
        if prod(sizes) > _LARGEST_CODE:
            raise WorldTooLargeError(
                f"the world has {prod(sizes):.3g} combinations of levels, more than can be "
                f"counted; its largest variables are {self.largest()}; merge levels or assets"
            )
        strides = [1]
        for size in reversed(sizes[1:]):
            strides.append(strides[-1] * size)
        self.strides = np.array(strides[::-1], dtype=np.int64)

    def encode(self, digits: Ints) -> Ints:
        """Turn digits `[N, V]` into codes `[N]`."""
        codes: Ints = digits.astype(np.int64) @ self.strides
        return codes

    def decode(self, codes: Ints) -> Ints:
        """Turn codes `[N]` into digits `[N, V]`."""
        digits: Ints = (codes[:, None] // self.strides) % np.array(self.sizes, dtype=np.int64)
        return digits

    def largest(self, *, count: int = 6) -> str:
        """Name the variables with the most values, as `replicas (8)`."""
        ordered = sorted(zip(self.sizes, self.names, strict=True), reverse=True)
        return ", ".join(f"{name} ({size})" for size, name in ordered[:count] if size > 1)


@dataclass(frozen=True)
class Branches:
    """Where actions lead: parallel arrays; `state` indexes the frontier that was expanded."""

    state: Ints  # [E]
    action: Ints  # [E]
    code: Ints  # [E], the successor's code
    probability: npt.NDArray[np.float64]  # [E]


@dataclass(frozen=True)
class Explored:
    """The reachable states, the start first, and their rows in compressed form.

    `rows`, `action`, `entries`, `successor`, `probability`: as in `World`.
    """

    codes: Ints  # [S]
    rows: Ints
    action: Ints
    entries: Ints
    successor: Ints
    probability: npt.NDArray[np.float64]


def explore(
    radix: Radix, start: int, expand: Callable[[Ints], list[Branches]], *, limit: int
) -> Explored:
    """Explore from `start`; `expand` returns the branches of a frontier of codes.

    Raises:
        WorldTooLargeError: more than `limit` states; it names the variables that make it so.
    """
    if prod(radix.sizes) <= min(_EVERY_CODE, 4 * limit):
        everything = np.arange(prod(radix.sizes), dtype=np.int64)
        pieces = [_joined(everything, expand(everything))]
        codes = _reached(start, pieces[0], len(everything))
        if len(codes) > limit:
            raise _too_large(radix, limit)
        inside = np.zeros(len(everything), dtype=bool)
        inside[codes] = True
        kept = inside[pieces[0].state]
        return _compressed(codes, [pieces[0].kept(kept)])
    return _explored_by_frontiers(radix, start, expand, limit)


def _explored_by_frontiers(
    radix: Radix, start: int, expand: Callable[[Ints], list[Branches]], limit: int
) -> Explored:
    known = np.array([start], dtype=np.int64)  # sorted
    order = [known]
    pieces: list[_Piece] = []
    frontier = known
    while len(frontier):
        new: list[Ints] = []
        for begin in range(0, len(frontier), _CHUNK):
            chunk = frontier[begin : begin + _CHUNK]
            pieces.append(_joined(chunk, expand(chunk)))
            found = np.unique(pieces[-1].code)
            at = np.minimum(np.searchsorted(known, found), len(known) - 1)
            found = found[known[at] != found]
            new.append(found)
            known = np.union1d(known, found)
            if len(known) > limit:
                raise _too_large(radix, limit)
        frontier = np.concatenate(new)
        order.append(frontier)
    return _compressed(np.concatenate(order), pieces)


def _too_large(radix: Radix, limit: int) -> WorldTooLargeError:
    return WorldTooLargeError(
        f"the world has more than {limit:,} states; its variables with the most values are "
        f"{radix.largest()}; merge levels, drop assets or raise --states"
    )


class _Piece(NamedTuple):
    """Branches of one expansion, joined: codes of both ends, action, probability."""

    state: Ints
    action: Ints
    code: Ints
    probability: npt.NDArray[np.float64]

    def kept(self, those: npt.NDArray[np.bool_]) -> "_Piece":
        return _Piece(
            self.state[those], self.action[those], self.code[those], self.probability[those]
        )


def _joined(codes: Ints, branches: list[Branches]) -> _Piece:
    return _Piece(
        codes[np.concatenate([b.state for b in branches])],
        np.concatenate([b.action for b in branches]),
        np.concatenate([b.code for b in branches]),
        np.concatenate([b.probability for b in branches]),
    )


def _reached(start: int, piece: _Piece, count: int) -> Ints:
    """Return the codes that can be reached from `start`, breadth first."""
    graph = sparse.csr_matrix(
        (np.ones(len(piece.state), dtype=np.int8), (piece.state, piece.code)), shape=(count, count)
    )
    order = sparse.csgraph.breadth_first_order(graph, start, return_predecessors=False)
    return np.asarray(order, dtype=np.int64)


def _compressed(codes: Ints, pieces: list[_Piece]) -> Explored:
    """Number the states, sort the branches by (state, action, successor), add up equal ones."""
    by_code = np.argsort(codes)
    sorted_codes = codes[by_code]

    def number(values: Ints) -> Ints:
        return by_code[np.searchsorted(sorted_codes, values)].astype(np.int64)

    state = number(np.concatenate([p.state for p in pieces]))
    action = np.concatenate([p.action for p in pieces])
    successor = number(np.concatenate([p.code for p in pieces]))
    weight = np.concatenate([p.probability for p in pieces])
    actions = int(action.max()) + 1
    key = (state * actions + action) * len(codes) + successor
    keys, inverse = np.unique(key, return_inverse=True)
    probability = np.bincount(inverse, weights=weight, minlength=len(keys)).astype(np.float64)
    row_key, row_start = np.unique(keys // len(codes), return_index=True)
    entries = np.append(row_start, len(keys))
    row_state = row_key // actions
    rows = np.searchsorted(row_state, np.arange(len(codes) + 1))
    return Explored(codes, rows, row_key % actions, entries, keys % len(codes), probability)
