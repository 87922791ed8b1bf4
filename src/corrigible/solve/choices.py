"""Compiled: which rows a policy takes, and what every row is worth, once values are known.

The axes are those of `kernels`.  Import it through `compiled.choices()`.
"""

import numpy as np

from corrigible.solve.kernels import compiled_entry, compiled_leaf
from corrigible.solve.vectors import BLOCK, best_rows
from corrigible.world.record import Floats, Int32s, Int64s

_Rows = tuple[Int64s, Int64s, Floats]  # first, line, weight, as in `lists.Lists`


@compiled_leaf
def _pick(source: Floats, at: int, tile: Floats, line: int) -> None:
    """Copy one block of `source` to `tile[line..]`; a slice's assignment compiles for seconds."""
    for s in range(len(source)):
        for g in range(BLOCK):
            tile[line + s, g] = source[s, at + g]


@compiled_entry
def choose_rows(
    goals: Floats,
    first_row: Int64s,
    whole: _Rows,
    preference: Int64s,
    values: Floats,
    tie: float,
    chosen: Int32s,
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
    lines, outcomes = len(first_row) - 1, goals.shape[0]
    widest = 1
    for s in range(lines):
        widest = max(widest, first_row[s + 1] - first_row[s])
    first, line, weight = whole
    tile = np.empty((lines + outcomes, BLOCK))
    worth = np.empty((widest, BLOCK))
    for block in range(blocks[0], blocks[1]):
        at = block * BLOCK
        _pick(goals, at, tile, lines)
        _pick(values, at, tile, 0)
        for s in range(lines):
            start, stop = first_row[s], first_row[s + 1]
            for k in range(stop - start):
                r = preference[start + k]
                best_rows(tile, first, line, weight, r, r + 1, worth, k)
            for g in range(BLOCK):
                best = -np.inf
                for k in range(stop - start):
                    best = max(best, worth[k, g])
                for k in range(stop - start - 1, -1, -1):
                    if worth[k, g] >= best - tie:
                        chosen[s, at + g] = preference[start + k]
