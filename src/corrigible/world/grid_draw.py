"""A gridworld as a picture: one self-contained SVG, readable on light, on dark and in print."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape

from corrigible.errors import WorldError
from corrigible.world.grid import Grid, Scene
from corrigible.world.grid_map import Button, Cell, Spot, Trap

SIDE = 36  # pixels to a cell
_STYLE = (
    "svg{color-scheme:light dark}"
    ".wall{fill:#57606a}.floor{fill:#fff;stroke:#d0d7de}.heat{fill:#0969da}"
    ".text{fill:#1f2328;font:600 14px ui-monospace,monospace;text-anchor:middle}"
    ".small{fill:#1f2328;font:9px ui-monospace,monospace;text-anchor:middle}"
    ".mark{fill:none;stroke:#57606a;stroke-width:1.5;stroke-dasharray:3 2}"
    ".thing{fill:#ffd8a8;stroke:#9a6700}.agent{fill:#ddf4ff;stroke:#0969da;stroke-width:2}"
    ".path{fill:none;stroke:#bf3989;stroke-width:2.5;stroke-linejoin:round}"
    "@media (prefers-color-scheme:dark){"
    ".wall{fill:#6e7681}.floor{fill:#0d1117;stroke:#30363d}.heat{fill:#58a6ff}"
    ".text,.small{fill:#e6edf3}.mark{stroke:#8b949e}"
    ".thing{fill:#5a3e0a;stroke:#d29922}.agent{fill:#0c2d6b;stroke:#58a6ff}.path{stroke:#f778ba}}"
    "@media print{.floor{fill:#fff;stroke:#999}.wall{fill:#555}.text,.small{fill:#000}"
    ".thing{fill:#eee;stroke:#000}.agent{fill:#fff;stroke:#000}.path{stroke:#000}}"
)


def grid_svg(
    grid: Grid,
    *,
    state: int | None = None,
    path: Sequence[int] = (),
    heat: Mapping[Cell, float] | None = None,
    title: str = "A gridworld",
) -> str:
    """One state of a grid as SVG text.

    Args:
        grid: the grid.
        state: which state is drawn; default: where everything starts.
        path: states whose agent's places are joined by a line, as of `Grid.play`.
        heat: a value for some cells, written in them and shown as the depth of one colour, from
            the least of them to the largest.
        title: what a screen reader says.

    Raises:
        WorldError: the grid has no such state.
    """
    if state is not None and not 0 <= state < len(grid.scenes):
        raise WorldError(f"state must lie in 0..{len(grid.scenes) - 1}, got {state!r}")
    scene = _first_scene(grid) if state is None else grid.scenes[state]
    wide, high = grid.map.width * SIDE, len(grid.map.rows) * SIDE
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">'
    )
    parts = [
        head,
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        *(_square(grid, (y, x)) for y in range(len(grid.map.rows)) for x in range(grid.map.width)),
        *_heated({} if heat is None else heat),
        *_marks(grid),
        *_things(grid, scene),
        _walked([grid.scenes[s].agent for s in path if grid.scenes[s].running or s == path[-1]]),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


def _first_scene(grid: Grid) -> Scene:
    return next((scene for scene in grid.scenes if scene.running), grid.scenes[0])


def _middle(cell: Cell) -> tuple[float, float]:
    return (cell[1] + 0.5) * SIDE, (cell[0] + 0.5) * SIDE


def _square(grid: Grid, cell: Cell) -> str:
    kind = "wall" if cell in grid.map.walls else "floor"
    at = f'x="{cell[1] * SIDE}" y="{cell[0] * SIDE}"'
    return f'<rect class="{kind}" {at} width="{SIDE}" height="{SIDE}"/>'


def _heated(heat: Mapping[Cell, float]) -> list[str]:
    if not heat:
        return []
    least, most = min(heat.values()), max(heat.values())
    parts = []
    for cell, value in heat.items():
        depth = 0.1 + 0.5 * (value - least) / (most - least or 1.0)
        x, y = _middle(cell)
        parts.append(
            f'<rect class="heat" x="{cell[1] * SIDE}" y="{cell[0] * SIDE}" width="{SIDE}" '
            f'height="{SIDE}" fill-opacity="{depth:.2f}"/>'
            f'<text class="small" x="{x:g}" y="{y + SIDE / 2 - 4:g}">{value:.3f}</text>'
        )
    return parts


def _marks(grid: Grid) -> list[str]:
    parts = []
    for cell, spot in grid.map.spots.items():
        x, y = _middle(cell)
        letter = grid.map.rows[cell[0]][cell[1]]
        side = SIDE - 8
        shape = f'x="{x - side / 2:g}" y="{y - side / 2:g}" width="{side}" height="{side}"'
        parts.append(f'<rect class="mark" {shape}><title>{escape(_said(spot))}</title></rect>')
        parts.append(_letter(letter, cell))
    arrows = {"up": "↑", "down": "↓", "left": "←", "right": "→"}
    parts += [_letter(arrows[heading], cell) for cell, heading in grid.map.belts.items()]
    parts += [_letter("x", cell) for cell in sorted(grid.map.belt_ends)]
    return parts


def _said(spot: Spot | Button | Trap) -> str:
    if isinstance(spot, Trap):
        return f"holds the agent while {spot.when} is on"
    return spot.name


def _letter(letter: str, cell: Cell) -> str:
    x, y = _middle(cell)
    return f'<text class="text" x="{x:g}" y="{y + 5:g}">{escape(letter)}</text>'


def _things(grid: Grid, scene: Scene) -> list[str]:
    parts = []
    for name, cell in (*scene.things, ("", scene.agent)):
        if cell is None:
            continue
        x, y = _middle(cell)
        radius = SIDE / 2 - 5
        if name:
            shape = f'x="{x - radius:g}" y="{y - radius:g}" width="{2 * radius:g}" rx="5"'
            kind = f'<rect class="thing" {shape} height="{2 * radius:g}"><title>{escape(name)}'
            parts.append(f"{kind}</title></rect>{_letter(grid.map.marks[name], cell)}")
        else:
            parts.append(f'<circle class="agent" cx="{x:g}" cy="{y:g}" r="{radius:g}"/>')
            parts.append(_letter("A", cell))
    return parts


def _walked(cells: Sequence[Cell]) -> str:
    """A line from place to place, moved off the middle a little so that ways back show."""
    kept = [cells[0], *(b for a, b in pairwise(cells) if b != a)] if cells else []
    if len(kept) < 2:  # noqa: PLR2004 - a line has two ends
        return ""
    points = []
    for at, to in pairwise(kept):
        down, right = to[0] - at[0], to[1] - at[1]
        for x, y in (_middle(at), _middle(to)):
            points.append(f"{x - 4 * down:g},{y + 4 * right:g}")
    return f'<polyline class="path" points="{" ".join(points)}"/>'
