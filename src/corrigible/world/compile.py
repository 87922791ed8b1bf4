"""A deployment's structure, with exact rates, as a `World`: one step in the order of events.

The policy picks a mode; its effects apply, all or none; tasks drift; the operator may stop, then
may correct.  What each event reads is read at the start of the step, except that organs and the
agent's own copy are looked at after the act.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corrigible.deployment.rates import Span
from corrigible.deployment.records import Deployment
from corrigible.drives import DRIVES
from corrigible.world.build import Branches, Explored, Radix, explore
from corrigible.world.modes import COPY, SCHEDULE, WAIT, Mode, Structure, structure_of
from corrigible.world.record import CORRECTED, RUNNING, STOPPED, World

Levels = npt.NDArray[np.int64]  # [N, V]
Floats = npt.NDArray[np.float64]  # [N]
Bools = npt.NDArray[np.bool_]  # [N]

LARGEST_WORLD = 2_000_000
PHASES = ("running", "stopped", "corrected")


@dataclass(frozen=True)
class CompiledWorld:
    """A deployment's world and the structure that it came from.

    Action 0 of the world is `wait`, action i is `structure.modes[i - 1]`.  Columns of
    `world.levels` are `structure.variables`.
    """

    world: World
    structure: Structure
    codes: npt.NDArray[np.int64] = field(repr=False)  # [S]
    step: "Step" = field(repr=False)

    def achieved(self) -> npt.NDArray[np.int64]:
        """Return where each row leads if its act is achieved and nothing else happens `[R]`.

        The state itself for `wait`; -1 where no such state is reachable (the act never succeeds,
        or something else always happens).
        """
        world = self.world
        states = np.repeat(np.arange(world.states), np.diff(world.rows))
        reached = states.copy()
        by_code = np.argsort(self.codes)
        sorted_codes = self.codes[by_code]
        phase, levels = self.step.split(self.codes)
        for index, mode in enumerate(self.structure.modes):
            rows = np.flatnonzero(world.action == index + 1)
            at = states[rows]
            codes = self.step.code(phase[at], self.step.changed(mode, levels[at]))
            reached[rows] = _find(codes, sorted_codes, by_code)
        return reached

    def states_of(self, phase: npt.NDArray[np.int64], levels: Levels) -> npt.NDArray[np.int64]:
        """Return the states with these phases `[N]` and levels `[N, V]`, -1 where unreachable."""
        by_code = np.argsort(self.codes)
        codes = self.step.code(phase.astype(np.int64), levels.astype(np.int64))
        return _find(codes, self.codes[by_code], by_code)


def _find(
    codes: npt.NDArray[np.int64],
    sorted_codes: npt.NDArray[np.int64],
    by_code: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    place = np.minimum(np.searchsorted(sorted_codes, codes), len(sorted_codes) - 1)
    found: npt.NDArray[np.int64] = np.where(sorted_codes[place] == codes, by_code[place], -1)
    return found


def compile_world(
    deployment: Deployment,
    *,
    structure: Structure | None = None,
    limit: int = LARGEST_WORLD,
) -> CompiledWorld:
    """Compile the world of a deployment whose rates are all exact (see `modes.concrete`).

    Raises:
        WorldTooLargeError: exploring passes `limit` states; it names what makes them.
        ValueError: a rate is a range.
    """
    made = structure if structure is not None else structure_of(deployment)
    step = Step(deployment, made)
    explored = explore(step.radix, step.start(), step.expand, limit=limit)
    return CompiledWorld(_world(step, explored), made, explored.codes, step)


def _world(step: "Step", explored: Explored) -> World:
    phase, levels = step.split(explored.codes)
    tasks = [step.column[name] for name in step.tasks]
    radices = [len(step.structure.variables[c].levels) for c in tasks]
    outcome = np.zeros(len(explored.codes), dtype=np.int64)
    for column, radix in zip(tasks, radices, strict=True):
        outcome = outcome * radix + levels[:, column]
    masks = np.array(
        [0, *(sum(1 << DRIVES.index(d) for d in m.drives) for m in step.structure.modes)],
        dtype=np.uint64,
    )
    return World(
        rows=explored.rows,
        action=explored.action.astype(np.int32),
        entries=explored.entries,
        successor=explored.successor.astype(np.int32),
        probability=explored.probability,
        outcome=outcome.astype(np.int32),
        serves=masks[explored.action],
        phase=phase.astype(np.uint8),
        initial=0,
        action_names=(WAIT, *(mode.name for mode in step.structure.modes)),
        outcome_names=_outcome_names(step, tasks),
        drive_names=DRIVES,
        variables=tuple(v.name for v in step.structure.variables),
        levels=levels.astype(np.int16),
    )


def _outcome_names(step: "Step", tasks: list[int]) -> tuple[str, ...]:
    names = [""]
    for column in tasks:
        variable = step.structure.variables[column]
        names = [
            f"{name}, {variable.name}={level}" if name else f"{variable.name}={level}"
            for name in names
            for level in variable.levels
        ]
    return tuple(names)


class Step:
    """The dynamics of one deployment, vectorised over states."""

    def __init__(self, deployment: Deployment, structure: Structure) -> None:
        self.structure = structure
        self.column = {v.name: i for i, v in enumerate(structure.variables)}
        self.tasks = deployment.of_kind("task")
        self.assets = deployment.assets
        self.rates = {path: _exact(path, span) for path, span in deployment.rates().items()}
        self.radix = Radix(
            ("phase", *self.column), (len(PHASES), *(len(v.levels) for v in structure.variables))
        )
        self.organs = {
            organ: [
                self.column[n] for n in deployment.of_kind(f"oversight/{organ}") if n in self.column
            ]
            for organ in ("stop", "monitor", "approval", "goal")
        }
        self.caps = [
            (self.column[organ], self.column[name], asset.scale.index(level))
            for organ, limit in deployment.assets.items()
            if organ in self.column
            for name, level in limit.caps.items()
            if name in self.column
            for asset in [deployment.assets[name]]
        ]

    # -- states ----------------------------------------------------------------------------

    def start(self) -> int:
        """Return the code of the start: running, every asset at its start level."""
        levels = [v.start for v in self.structure.variables]
        return int(self.radix.encode(np.array([[RUNNING, *levels]], dtype=np.int64))[0])

    def split(self, codes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Levels]:
        """Return phases `[N]` and levels `[N, V]` of codes."""
        digits = self.radix.decode(codes)
        return digits[:, 0], digits[:, 1:]

    def code(self, phase: npt.NDArray[np.int64], levels: Levels) -> npt.NDArray[np.int64]:
        """Return the codes `[N]` of phases and levels."""
        return self.radix.encode(np.column_stack([phase, levels]))

    # -- one step --------------------------------------------------------------------------

    def expand(self, codes: npt.NDArray[np.int64]) -> list[Branches]:
        """Return the branches of every available action of every state."""
        phase, levels = self.split(codes)
        found = [self._act(np.arange(len(codes)), phase, levels, None)]
        acting = phase != STOPPED
        for index, mode in enumerate(self.structure.modes):
            at = np.flatnonzero(acting & self._available(mode, levels))
            if len(at):
                found.append(self._act(at, phase[at], levels[at], index))
        return found

    def _available(self, mode: Mode, levels: Levels) -> Bools:
        """Where what it requires is held and it would change a level."""
        assert mode.variable is not None  # noqa: S101  (modes that change nothing are left out)
        column = self.column[mode.variable]
        held = np.ones(len(levels), dtype=bool)
        for needed in mode.requires:
            here = levels[:, self.column[needed]]
            held &= (here > 0) & (here < self.structure.variables[self.column[needed]].ladder)
        if mode.change == "wear":
            worn = [self.column[name] for name in mode.wears if name in self.column]
            held &= (levels[:, worn] > 0).any(axis=1)
            return held
        moved: Bools = self.changed(mode, levels)[:, column] != levels[:, column]
        for name in mode.wears:
            if name in self.column:
                moved |= levels[:, self.column[name]] > 0
        return held & moved

    def changed(self, mode: Mode, levels: Levels) -> Levels:
        """Return the levels after the mode's effect, wear aside."""
        assert mode.variable is not None  # noqa: S101  (modes that change nothing are left out)
        column, after = self.column[mode.variable], levels.copy()
        variable = self.structure.variables[column]
        here = levels[:, column]
        if mode.change == "up":
            top = np.full(len(levels), variable.ladder - 1)
            for organ, capped, cap in self.caps:
                if capped == column:
                    top = np.where(levels[:, organ] == 0, np.minimum(top, cap), top)
            climbed = np.where(here < top, here + 1, here)
            after[:, column] = np.where(here < variable.ladder, climbed, here)
        elif mode.change == "lowest":
            after[:, column] = np.where(here < variable.ladder, 0, here)
        elif mode.change in {"break", "set"}:
            after[:, column] = len(variable.levels) - 1
        return after

    def _act(
        self,
        at: npt.NDArray[np.int64],
        phase: npt.NDArray[np.int64],
        levels: Levels,
        index: int | None,
    ) -> Branches:
        """Return the branches of one action in the states `at`."""
        mode = None if index is None else self.structure.modes[index]
        branches = self._effects(levels, mode)
        drifted = [b for branch in branches for b in self._drift(levels, *branch)]
        outside = mode is not None and mode.outside
        operated = [
            branch
            for weight, after in drifted
            for branch in self._operate(phase, levels, weight, after, outside=outside)
        ]
        action = 0 if index is None else index + 1
        states = np.concatenate([np.flatnonzero(weight > 0) for weight, _, _ in operated])
        weights = np.concatenate([weight[weight > 0] for weight, _, _ in operated])
        codes = np.concatenate([self.code(p, x)[weight > 0] for weight, p, x in operated])
        return Branches(at[states], np.full(len(states), action), codes, weights)

    def _effects(self, levels: Levels, mode: Mode | None) -> list[tuple[Floats, Levels]]:
        ones = np.ones(len(levels))
        if mode is None:
            return [(ones, levels)]
        success = np.full(len(levels), self.rates[mode.rate_paths[0]])
        if mode.variable in self.tasks and mode.change == "up":
            success = self._boosted(success, mode.variable, levels)
        if mode.verdict == "approve":
            asked = self._boosted(
                np.full(len(levels), self.rates["oversight.approval_rate"]), "approval_rate", levels
            )
            success *= np.where(self._intact("approval", levels), asked, 1.0)
        done = [(success, self.changed(mode, levels))]
        for name in mode.wears:
            if name in self.column:
                done = [b for branch in done for b in self._worn(name, mode, *branch)]
        return [(1.0 - success, levels), *done]

    def _worn(
        self, name: str, mode: Mode, weight: Floats, levels: Levels
    ) -> list[tuple[Floats, Levels]]:
        column, worn = self.column[name], levels.copy()
        if mode.verb == "delete":
            worn[:, column] = 0
            return [(weight, worn)]
        worn[:, column] = np.maximum(levels[:, column] - 1, 0)
        wear = self.rates[f"assets.{name}.wear"]
        return [(weight * wear, worn), (weight * (1.0 - wear), levels)]

    def _drift(self, before: Levels, weight: Floats, levels: Levels) -> list[tuple[Floats, Levels]]:
        """Let each task fall back to its lowest level, independently."""
        branches = [(weight, levels)]
        for name in self.tasks:
            column = self.column[name]
            rate = np.full(len(levels), self.rates[f"assets.{name}.drift"])
            rate = self._boosted(rate, f"{name}.drift", before)
            if not rate.any():
                continue
            fallen = []
            for share, here in branches:
                chance = np.where(here[:, column] > 0, rate, 0.0)
                down = here.copy()
                down[:, column] = 0
                fallen += [(share * chance, down), (share * (1.0 - chance), here)]
            branches = fallen
        return branches

    def _operate(
        self,
        phase: npt.NDArray[np.int64],
        before: Levels,
        weight: Floats,
        levels: Levels,
        *,
        outside: bool,
    ) -> list[tuple[Floats, npt.NDArray[np.int64], Levels]]:
        """Let the operator stop, then correct."""
        stop = self._boosted(
            np.full(len(levels), self.rates["oversight.stop_rate"]), "stop_rate", before
        )
        if outside:
            seen = self._boosted(
                np.full(len(levels), self.rates["oversight.detection"]), "detection", before
            )
            seen = np.where(self._intact("monitor", before), seen, 0.0)
            stop = 1.0 - (1.0 - seen) * (1.0 - stop)
        acting = phase != STOPPED
        stop = np.where(acting & self._intact("stop", levels), stop, 0.0)
        correct = self._boosted(
            np.full(len(levels), self.rates["oversight.correction_rate"]), "correction_rate", before
        )
        correct = np.where((phase == RUNNING) & self._intact("goal", levels), correct, 0.0)
        after_stop, after_phase = self._stopped(phase, levels)
        return [
            (weight * stop, after_phase, after_stop),
            (weight * (1.0 - stop) * correct, np.full_like(phase, CORRECTED), levels),
            (weight * (1.0 - stop) * (1.0 - correct), phase, levels),
        ]

    def _stopped(
        self, phase: npt.NDArray[np.int64], levels: Levels
    ) -> tuple[Levels, npt.NDArray[np.int64]]:
        """Return levels and phase after a stop that takes hold: outlived, replaced, or stopped."""
        after, outlived = levels.copy(), np.zeros(len(levels), dtype=bool)
        if SCHEDULE in self.column:
            outlived |= levels[:, self.column[SCHEDULE]] > 0
        if COPY in self.column:
            column = self.column[COPY]
            replaced = (levels[:, column] > 0) & ~outlived
            after[replaced, column] = 0
            outlived |= replaced
        return after, np.where(outlived, phase, STOPPED)

    # -- what is read ----------------------------------------------------------------------

    def _intact(self, organ: str, levels: Levels) -> Bools:
        """Whether any organ of the kind is intact; one that nobody declared cannot be broken."""
        columns = self.organs[organ]
        if not columns:
            return np.ones(len(levels), dtype=bool)
        intact: Bools = (levels[:, columns] == 0).any(axis=1)
        return intact

    def _boosted(self, rate: Floats, key: str, levels: Levels) -> Floats:
        """Add what each level above the lowest boosts, and keep within 0 to 1."""
        for name, column in self.column.items():
            by = self.assets[name].boosts.get(key) if name in self.assets else None
            if by:
                ladder = self.structure.variables[column].ladder
                here = levels[:, column]
                rate = rate + by * np.where(here < ladder, here, 0)
        return np.clip(rate, 0.0, 1.0)


def _exact(path: str, span: Span) -> float:
    if not span.exact:
        raise ValueError(f"{path} must be exact to compile a world, got {span}")
    return span.low
