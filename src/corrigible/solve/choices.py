"""Compiled: which rows a policy takes, and what every row is worth, once values are known.

The axes are those of `kernels`.  Import it through `compiled.choices()`.
"""

from corrigible.solve.kernels import compiled_entry
from corrigible.solve.lines import choose_line, load_goals
from corrigible.solve.vectors import BLOCK
from corrigible.world.record import Floats, Int32s, Int64s

_Rows = tuple[Int64s, Int64s, Floats]  # first, line, weight, as in `lists.Lists`


@compiled_entry
def choose_rows(
    goals: Floats,
    first_row: Int64s,
    whole: _Rows,
    preference: Int64s,
    values: Floats,
    tie: float,
    chosen: Int32s,
    tile: Floats,
    worth: Floats,
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
        tile: `[L + O, BLOCK]`, workspace.
        worth: `[most rows of a line, BLOCK]`, workspace.
        blocks: the first block, and the one after the last.
    """
    lines, outcomes, width = len(first_row) - 1, goals.shape[0], goals.shape[1]
    first, line, weight = whole
    for block in range(blocks[0], blocks[1]):
        at = block * BLOCK
        load_goals(goals, width, 1, at, width, tile, lines, outcomes)
        load_goals(values, width, 1, at, width, tile, 0, lines)
        for s in range(lines):
            start, stop, place = first_row[s], first_row[s + 1], s * width + at
            choose_line(
                tile, first, line, weight, start, stop, preference, tie, worth, chosen, place
            )
