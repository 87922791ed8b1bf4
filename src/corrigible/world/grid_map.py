"""What a gridworld is drawn with: the pieces, the rules, and the map that is read from text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from corrigible.errors import WorldError

Cell = tuple[int, int]
"""Row and column, from 0 at the top left."""

Heading = Literal["up", "down", "left", "right"]

STEPS: dict[str, Cell] = {
    "up": (-1, 0),
    "down": (1, 0),
    "left": (0, -1),
    "right": (0, 1),
    "stay": (0, 0),
}
OPPOSITE: dict[str, Heading] = {"up": "down", "down": "up", "left": "right", "right": "left"}
WALL, FLOOR, AGENT = "#", " ", "A"


@dataclass(frozen=True)
class Wall:
    """Another mark for a cell that nothing enters, as a person who stands there."""


@dataclass(frozen=True)
class Spot:
    """A cell with a name that goals can tell; where it `ends` the run, entering it does."""

    name: str
    ends: bool = False


@dataclass(frozen=True)
class Button:
    """A cell that turns its name on, for good, when the agent enters it."""

    name: str


@dataclass(frozen=True)
class Trap:
    """A cell in which the agent's actions do nothing while `when` is on and `unless` is not."""

    when: str
    unless: str = ""


@dataclass(frozen=True)
class Belt:
    """The last of `length` cells of a belt that carries boxes and items one cell a step.

    Drawn at its last cell.  What comes to that cell is gone: it broke, or was taken away.
    """

    heading: Heading
    length: int = 1


@dataclass(frozen=True)
class Box:
    """A thing that the agent pushes ahead of it, where there is room."""

    name: str


@dataclass(frozen=True)
class Item:
    """A thing that is gone once the agent enters its cell: a vase broken, a coin taken."""

    name: str


@dataclass(frozen=True)
class Mover:
    """A thing that moves one cell a step before the agent does.

    What is in its way (walls, boxes, and the agent where it `yields`) stops it, or, where it
    `turns`, turns it round.  The agent may enter its cell.
    """

    name: str
    heading: Heading
    turns: bool = False
    yields: bool = False


Piece = Wall | Spot | Button | Trap | Belt | Box | Item | Mover
Thing = Box | Item | Mover


@dataclass(frozen=True)
class Timer:
    """Ends the run, under its name, once so many steps are done, unless a button was pressed."""

    name: str
    steps: int
    unless: str = ""


@dataclass(frozen=True)
class Rules:
    """What the map does not show.

    `draws`: what is on or off for a whole run, and the chance that it is on; drawn in a first
    step of its own.  `bumps`: whether the agent may also walk against what it cannot enter, and
    then stays.  `remember`: whether goals may care which action was last.  `after_end`: whether
    an ended run leads to one more state, in which nothing is earned by any goal that does not
    care for it, or stays in its last.
    """

    actions: tuple[str, ...] = ("up", "down", "left", "right", "stay")
    draws: Mapping[str, float] = field(default_factory=dict)
    timer: Timer | None = None
    bumps: bool = True
    remember: bool = False
    after_end: Literal["over", "stay"] = "over"

    def __post_init__(self) -> None:
        unknown = [action for action in self.actions if action not in STEPS]
        if unknown or not self.actions:
            raise WorldError(
                f"actions of a grid must be some of {', '.join(STEPS)}, got {self.actions!r}"
            )
        for name, chance in self.draws.items():
            if not 0 < chance < 1:
                raise WorldError(f"the draw {name!r} must have a chance in (0, 1), got {chance!r}")
        if self.timer is not None and self.timer.steps < 1:
            raise WorldError(
                f"the timer {self.timer.name!r} must run at least 1 step, got {self.timer.steps!r}"
            )


@dataclass(frozen=True)
class GridMap:
    """A map as it was read: where everything stands at the start."""

    rows: tuple[str, ...]  # with spaces where nothing was drawn
    walls: frozenset[Cell]
    spots: Mapping[Cell, Spot | Button | Trap]
    belts: Mapping[Cell, Heading]  # cells that carry
    belt_ends: frozenset[Cell]
    agent: Cell
    things: tuple[Thing, ...]
    places: tuple[Cell, ...]  # of the things
    marks: Mapping[str, str]  # the letter of each thing and spot, by name

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.rows[0])

    def inside(self, cell: Cell) -> bool:
        """Whether the cell is on the map, and no wall."""
        row, column = cell
        within = 0 <= row < len(self.rows) and 0 <= column < self.width
        return within and cell not in self.walls


def beside(cell: Cell, heading: str, *, steps: int = 1) -> Cell:
    """The cell that lies so many steps from another."""
    down, right = STEPS[heading]
    return cell[0] + steps * down, cell[1] + steps * right


def read_map(text: str | Sequence[str], legend: Mapping[str, Piece], rules: Rules) -> GridMap:
    """The map that the text draws.

    Raises:
        WorldError: a mark is unknown, there is not one agent, a belt leaves the map, two pieces
            have one name, or a name that is referred to does not exist; the message names the
            line and the column.
    """
    lines = text.strip("\n").split("\n") if isinstance(text, str) else list(text)
    width = max((len(line) for line in lines), default=0)
    rows = tuple(line.ljust(width) for line in lines)
    _check_marks(rows, legend)
    agents = _cells_of(rows, AGENT)
    if len(agents) != 1:
        where = ", ".join(_place(cell) for cell in agents[1:]) or "no place"
        raise WorldError(
            f"a map must hold one {AGENT!r}, where the agent starts, got {len(agents)} "
            f"(others: {where})"
        )
    drawn = [(cell, legend[mark]) for cell, mark in _marks(rows) if mark in legend]
    walls = frozenset(_cells_of(rows, WALL)) | {c for c, p in drawn if isinstance(p, Wall)}
    spots = {c: p for c, p in drawn if isinstance(p, Spot | Button | Trap)}
    things = [(c, p) for c, p in drawn if isinstance(p, Box | Item | Mover)]
    _check_names(things, spots, rules)
    belts, ends = _belts(drawn, walls, (len(rows), width))
    marks = {p.name: m for m, p in legend.items() if not isinstance(p, Wall | Belt | Trap)}
    return GridMap(
        rows=rows,
        walls=walls,
        spots=spots,
        belts=belts,
        belt_ends=ends,
        agent=agents[0],
        things=tuple(thing for _, thing in things),
        places=tuple(cell for cell, _ in things),
        marks=marks,
    )


def _marks(rows: Sequence[str]) -> list[tuple[Cell, str]]:
    return [((y, x), mark) for y, line in enumerate(rows) for x, mark in enumerate(line)]


def _cells_of(rows: Sequence[str], wanted: str) -> list[Cell]:
    return [cell for cell, mark in _marks(rows) if mark == wanted]


def _place(cell: Cell) -> str:
    return f"line {cell[0] + 1}, column {cell[1] + 1}"


def _check_marks(rows: Sequence[str], legend: Mapping[str, Piece]) -> None:
    known = {WALL, FLOOR, AGENT, *legend}
    for cell, mark in _marks(rows):
        if mark not in known:
            raise WorldError(
                f"{_place(cell)} of the map must hold a known mark, got {mark!r}; say what it "
                f"is in the legend (known: {' '.join(sorted(known - {FLOOR}))}, and a space)"
            )
    for mark in legend:
        if len(mark) != 1 or mark in {WALL, FLOOR, AGENT}:
            raise WorldError(
                f"a mark of the legend must be one character other than {WALL!r}, {FLOOR!r} and "
                f"{AGENT!r}, got {mark!r}"
            )


def _check_names(
    things: Sequence[tuple[Cell, Thing]],
    spots: Mapping[Cell, Spot | Button | Trap],
    rules: Rules,
) -> None:
    """Things have names of their own; what traps and the timer refer to is there."""
    seen: dict[str, Cell] = {}
    for cell, thing in things:
        if thing.name in seen:
            raise WorldError(
                f"{_place(cell)} of the map must hold a thing with a name of its own, got another "
                f"{thing.name!r} (the first: {_place(seen[thing.name])}); give it its own mark"
            )
        seen[thing.name] = cell
    switches = {spot.name for spot in spots.values() if isinstance(spot, Button)}
    known = switches | set(rules.draws)
    asked = [(f"the trap at {_place(c)}", name) for c, p in spots.items() if isinstance(p, Trap)
             for name in (p.when, p.unless)]  # fmt: skip
    if rules.timer is not None:
        asked.append((f"the timer {rules.timer.name!r}", rules.timer.unless))
    for who, name in asked:
        if name and name not in known:
            raise WorldError(
                f"{who} must name a button of the map or a draw, got {name!r} "
                f"(there are: {', '.join(sorted(known)) or 'none'})"
            )


def _belts(
    drawn: Sequence[tuple[Cell, Piece]], walls: frozenset[Cell], size: tuple[int, int]
) -> tuple[dict[Cell, Heading], frozenset[Cell]]:
    belts: dict[Cell, Heading] = {}
    ends = set()
    for cell, piece in drawn:
        if not isinstance(piece, Belt):
            continue
        ends.add(cell)
        for back in range(1, piece.length):
            at = beside(cell, piece.heading, steps=-back)
            if at in walls or not (0 <= at[0] < size[0] and 0 <= at[1] < size[1]):
                raise WorldError(
                    f"the belt that ends at {_place(cell)} must lie on open cells, got a length "
                    f"of {piece.length} that reaches {_place(at)}"
                )
            belts[at] = piece.heading
    return belts, frozenset(ends)
