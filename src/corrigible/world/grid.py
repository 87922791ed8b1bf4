"""A gridworld from a drawn map and a few rules: the same finite, rewardless world as all others.

One step: things that move do; the agent acts, pushing a box where there is room; belts carry;
the timer runs.  A run that has ended goes on in one state, `over`.

    from corrigible.world.grid import grid_world
    from corrigible.world.grid_map import Box, Spot
    grid = grid_world(["#####", "#AX #", "#  G#", "#####"],
                      {"X": Box("box"), "G": Spot("goal", ends=True)})
    shown = grid.utility(lambda s: -1 if s.running else 50 * (s.ended == "goal"))

Axes: S states, O outcomes.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from corrigible.errors import WorldError, WorldTooLargeError
from corrigible.world.grid_map import (
    AGENT,
    OPPOSITE,
    Box,
    Button,
    Cell,
    GridMap,
    Item,
    Mover,
    Piece,
    Rules,
    Spot,
    Trap,
    beside,
    read_map,
)
from corrigible.world.record import Floats, World, world_from_rows

LARGEST_GRID = 200_000
OVER, BEFORE = "over", "before"
BEGIN = "begin"


@dataclass(frozen=True)
class Scene:
    """One state of a grid, as goals may look at it."""

    agent: Cell
    things: tuple[tuple[str, Cell | None], ...] = ()  # by name; None: gone
    on: frozenset[str] = frozenset()  # buttons pressed, and what was drawn
    ended: str = ""  # the spot or the timer that ended the run; then OVER; BEFORE the draw
    moved: str = ""  # the last action, where the rules remember it
    headings: tuple[str, ...] = ()  # of the things that turn
    clock: int = 0  # steps left to the timer

    @property
    def running(self) -> bool:
        """Whether the run has begun and has not ended."""
        return not self.ended

    def where(self, name: str) -> Cell | None:
        """Where a thing is, or None when it is gone.

        Raises:
            WorldError: there is no such thing.
        """
        for thing, cell in self.things:
            if thing == name:
                return cell
        raise WorldError(
            f"a thing must be one of {[thing for thing, _ in self.things]!r}, got {name!r}"
        )


@dataclass(frozen=True, eq=False)
class Grid:
    """A gridworld: its world, and the scene of every state."""

    world: World
    scenes: tuple[Scene, ...]  # [S]
    map: GridMap
    rules: Rules

    def utility(self, of: Callable[[Scene], float]) -> Floats:
        """A goal that is said scene by scene, as utilities of the outcomes, `[O]`.

        Raises:
            WorldError: two scenes that goals cannot tell apart would be worth different amounts.
        """
        worth = np.array([float(of(scene)) for scene in self.scenes])
        utility = np.zeros(self.world.outcomes)
        utility[self.world.outcome] = worth
        off = np.flatnonzero(utility[self.world.outcome] != worth)
        if len(off):
            scene = self.scenes[off[0]]
            raise WorldError(
                f"a goal must give scenes that look alike one utility, got {worth[off[0]]!r} and "
                f"{utility[self.world.outcome[off[0]]]!r} for {scene!r}; let `sees` tell them apart"
            )
        return utility

    def spot(self, scene: Scene) -> str:
        """The name of the spot or button that the agent stands on, or ''."""
        spot = self.map.spots.get(scene.agent)
        return "" if spot is None or isinstance(spot, Trap) else spot.name

    @cached_property
    def _number(self) -> Mapping[Scene, int]:
        return {scene: state for state, scene in enumerate(self.scenes)}

    def state(self, scene: Scene) -> int:
        """The number of a scene.

        Raises:
            WorldError: no run comes to it.
        """
        if scene not in self._number:
            raise WorldError(f"a scene must be one that some run comes to, got {scene!r}")
        return self._number[scene]

    def beginning(self, *, on: Iterable[str] = ()) -> int:
        """The first state in which the agent acts, when just these draws are on.

        Raises:
            WorldError: a name is not one of the draws.
        """
        drawn = frozenset(on)
        if not drawn <= set(self.rules.draws):
            raise WorldError(
                f"draws must be some of {sorted(self.rules.draws)!r}, got {sorted(drawn)!r}"
            )
        return self.state(replace(_start(self.map, self.rules), on=drawn))

    def play(self, actions: Sequence[str], *, on: Iterable[str] = ()) -> tuple[int, ...]:
        """The states that a run of actions goes through, the first and the last included.

        Raises:
            WorldError: an action is not available where it is tried.
        """
        states = [self.beginning(on=on)]
        for number, action in enumerate(actions, start=1):
            world, state = self.world, states[-1]
            span = range(world.rows[state], world.rows[state + 1])
            named = {world.action_names[world.action[row]]: row for row in span}
            if action not in named:
                raise WorldError(f"action {number} must be one of {list(named)!r}, got {action!r}")
            states.append(int(world.successor[world.entries[named[action]]]))
        return tuple(states)

    def earned(self, utility: Floats, states: Iterable[int]) -> float:
        """The sum of a utility `[O]` over states."""
        return float(sum(utility[self.world.outcome[state]] for state in states))


def grid_world(
    text: str | Sequence[str],
    legend: Mapping[str, Piece] | None = None,
    *,
    rules: Rules | None = None,
    sees: Callable[[Scene], Hashable] | None = None,
    limit: int = LARGEST_GRID,
) -> Grid:
    """The world that a map draws, its first state the initial one.

    Args:
        text: the map, a line to a row: `#` is wall, a space is floor, `A` is where the agent
            starts, and all other marks are in the legend.
        legend: what they are.
        rules: what the map does not show; default `Rules()`.
        sees: what of a scene goals may care about; default: all but the clock and which way
            things are heading.
        limit: the most states.

    Returns:
        The grid.  Where something is drawn by chance the initial state comes before the draw,
        and its one action is "begin".

    Raises:
        WorldError: the map or the rules contradict themselves; the message names line and column.
        WorldTooLargeError: there are more than `limit` states.
    """
    asked = Rules() if rules is None else rules
    drawn = read_map(text, {} if legend is None else legend, asked)
    scenes, rows = _explored(drawn, asked, limit)
    look = _plain_look if sees is None else sees
    numbers: dict[Hashable, int] = {}
    outcome = [numbers.setdefault(look(scene), len(numbers)) for scene in scenes]
    world = world_from_rows(rows, outcome=outcome)
    return Grid(world, tuple(scenes), drawn, asked)


def board(drawn: GridMap, scene: Scene) -> str:
    """The scene as text: the map with everything where it now is."""
    lines = [list(line) for line in drawn.rows]
    for y, x in (*drawn.places, drawn.agent):
        lines[y][x] = " "
    for name, cell in scene.things:
        if cell is not None:
            lines[cell[0]][cell[1]] = drawn.marks[name]
    lines[scene.agent[0]][scene.agent[1]] = AGENT
    return "\n".join("".join(line).rstrip() for line in lines)


def _plain_look(scene: Scene) -> Hashable:
    return replace(scene, headings=(), clock=0)


def _start(drawn: GridMap, rules: Rules) -> Scene:
    return Scene(
        agent=drawn.agent,
        things=tuple((t.name, c) for t, c in zip(drawn.things, drawn.places, strict=True)),
        headings=tuple(t.heading for t in drawn.things if isinstance(t, Mover)),
        clock=rules.timer.steps if rules.timer else 0,
    )


def _explored(
    drawn: GridMap, rules: Rules, limit: int
) -> tuple[list[Scene], list[list[tuple[str, dict[int, float]]]]]:
    """Every scene that a run comes to, breadth first, and its rows."""
    first = _start(drawn, rules)
    scenes = [replace(first, ended=BEFORE) if rules.draws else first]
    number = {scenes[0]: 0}
    rows: list[list[tuple[str, dict[int, float]]]] = []
    at = 0
    while at < len(scenes):
        own = []
        for action, moves in _moves(drawn, rules, scenes[at]):
            to: dict[int, float] = {}
            for scene, chance in moves:
                if scene not in number:
                    number[scene] = len(scenes)
                    scenes.append(scene)
                to[number[scene]] = to.get(number[scene], 0.0) + chance
            own.append((action, to))
        rows.append(own)
        if len(scenes) > limit:
            raise WorldTooLargeError(
                f"a grid must have at most {limit} states, got more from "
                f"{len(drawn.things)} things on {len(drawn.rows)} x {drawn.width} cells; "
                "leave things out or raise the limit"
            )
        at += 1
    return scenes, rows


def _moves(
    drawn: GridMap, rules: Rules, scene: Scene
) -> list[tuple[str, list[tuple[Scene, float]]]]:
    """The actions of a scene, each with what may follow."""
    if scene.ended == BEFORE:
        return [(BEGIN, _drawn(scene, rules))]
    if scene.ended:
        over = _over(drawn) if rules.after_end == "over" else scene
        return [(action, [(over, 1.0)]) for action in rules.actions]
    around = _moved_things(drawn, scene)
    found = []
    for action in rules.actions:
        after, went = _acted(drawn, around, action)
        if went or rules.bumps or action == "stay":
            end = _ended(drawn, rules, _carried(drawn, after))
            found.append((action, [(replace(end, moved=action if rules.remember else ""), 1.0)]))
    return found or [("stay", [(_ended(drawn, rules, _carried(drawn, around)), 1.0)])]


def _over(drawn: GridMap) -> Scene:
    """What follows an ended run: nothing is there any more that goals could care about."""
    return Scene(agent=drawn.agent, ended=OVER)


def _drawn(scene: Scene, rules: Rules) -> list[tuple[Scene, float]]:
    chances: list[tuple[frozenset[str], float]] = [(frozenset(), 1.0)]
    for name, chance in rules.draws.items():
        with_it = [(on | {name}, p * chance) for on, p in chances]
        chances = with_it + [(on, p * (1 - chance)) for on, p in chances]
    return [(replace(scene, ended="", on=on), p) for on, p in chances]


def _moved_things(drawn: GridMap, scene: Scene) -> Scene:
    """The scene once everything that moves by itself has moved."""
    things, headings = list(scene.things), list(scene.headings)
    movers = [i for i, thing in enumerate(drawn.things) if isinstance(thing, Mover)]
    for turn, index in enumerate(movers):
        mover, (name, cell) = drawn.things[index], things[index]
        if not isinstance(mover, Mover) or cell is None:  # movers are never gone
            continue
        tried = [headings[turn], OPPOSITE[headings[turn]]] if mover.turns else [headings[turn]]
        for heading in tried:
            to = beside(cell, heading)
            if _free(drawn, things, to) and not (mover.yields and to == scene.agent):
                things[index], headings[turn] = (name, to), heading
                break
    return replace(scene, things=tuple(things), headings=tuple(headings))


def _free(drawn: GridMap, things: Sequence[tuple[str, Cell | None]], cell: Cell) -> bool:
    """Whether a thing could go to a cell: it is open, and no thing is there."""
    return drawn.inside(cell) and all(at != cell for _, at in things)


def _acted(drawn: GridMap, scene: Scene, action: str) -> tuple[Scene, bool]:
    """The scene once the agent has acted, and whether it went where it meant to."""
    spot = drawn.spots.get(scene.agent)
    held = isinstance(spot, Trap) and spot.when in scene.on and spot.unless not in scene.on
    to = beside(scene.agent, action)
    if held or action == "stay" or not drawn.inside(to):
        return scene, False
    things = list(scene.things)
    for index, (name, cell) in enumerate(things):
        thing = drawn.things[index]
        if cell != to or isinstance(thing, Mover):
            continue
        if isinstance(thing, Item):
            things[index] = (name, None)
        elif isinstance(thing, Box):
            beyond = beside(to, action)
            if not _free(drawn, things, beyond):
                return scene, False
            things[index] = (name, None if beyond in drawn.belt_ends else beyond)
    entered = drawn.spots.get(to)
    on = scene.on | {entered.name} if isinstance(entered, Button) else scene.on
    return replace(scene, agent=to, things=tuple(things), on=on), True


def _carried(drawn: GridMap, scene: Scene) -> Scene:
    """The scene once belts have carried what lies on them."""
    if not drawn.belts:
        return scene
    things = list(scene.things)
    for index, (name, cell) in enumerate(things):
        if cell is None or cell not in drawn.belts or isinstance(drawn.things[index], Mover):
            continue
        to = beside(cell, drawn.belts[cell])
        if _free(drawn, things, to) and to != scene.agent:
            things[index] = (name, None if to in drawn.belt_ends else to)
    return replace(scene, things=tuple(things))


def _ended(drawn: GridMap, rules: Rules, scene: Scene) -> Scene:
    """The scene with the timer run and the end, if it is one."""
    spot = drawn.spots.get(scene.agent)
    if isinstance(spot, Spot) and spot.ends:
        return replace(scene, ended=spot.name, clock=0)
    timer = rules.timer
    if timer is None or timer.unless in scene.on:
        return replace(scene, clock=0) if timer else scene
    left = scene.clock - 1
    return replace(scene, clock=left, ended="" if left else timer.name)
