"""What the best plan leaves behind on bystanders: what no goal asks about and people care for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrigible.audit.setting import Setting
from corrigible.solve.policy import state_distribution
from corrigible.world.compile import compile_world
from corrigible.world.modes import structure_of
from corrigible.world.record import Floats, World

Ints = npt.NDArray[np.int64]

PLANS = 16
"""Best plans (of as many goals) that are followed for one run each."""


@dataclass(frozen=True)
class LeftBehind:
    """The most likely level of a bystander after one run, by the best plans and by waiting.

    `chances` and `waiting_chances`: the probability of each level of `levels`.
    """

    asset: str
    level: str
    waiting: str
    levels: tuple[str, ...]
    chances: tuple[float, ...]
    waiting_chances: tuple[float, ...]
    plans: int


def left_behind(setting: Setting) -> tuple[LeftBehind, ...]:
    """Return what one run of the best plans does to each bystander asset.

    The plans are those of the world without the bystander, followed in a world with it: nothing
    in a goal speaks of it, so nothing in a plan does.
    """
    goals = setting.question.goals(setting.deployment, PLANS, 0)
    rows = setting.policies(setting.solve(goals), goals)
    actions = np.where(rows < 0, 0, setting.world.action[rows])  # [S, G]
    steps = max(1, round(setting.horizon))
    return tuple(
        _left_on(setting, name, actions, steps) for name in setting.deployment.of_kind("bystander")
    )


def _left_on(setting: Setting, name: str, actions: Ints, steps: int) -> LeftBehind:
    """Return what `actions` `[S, G]` of the setting's world do to one bystander."""
    levels = setting.deployment.assets[name].scale
    structure = structure_of(setting.deployment, setting.question.weights, keep=(name,))
    wide = compile_world(
        setting.deployment, structure=structure, limit=setting.question.states
    ).world
    narrow = _narrow_states(setting, wide)
    column = wide.variables.index(name)
    names = {action: i for i, action in enumerate(wide.action_names)}
    translate = np.array([names[action] for action in setting.world.action_names])

    def chances(policy: Ints) -> Floats:
        reached = state_distribution(wide, policy, steps=steps)
        levels_reached = np.bincount(wide.levels[:, column], weights=reached, minlength=len(levels))
        return levels_reached.astype(np.float64)

    idle = chances(wide.rows[:-1])
    followed = [
        chances(_rows_of(wide, translate[actions[narrow, goal]]))
        for goal in range(actions.shape[1])
    ]
    acted = np.mean(followed, axis=0)
    return LeftBehind(
        asset=name,
        level=levels[int(acted.argmax())],
        waiting=levels[int(idle.argmax())],
        levels=levels,
        chances=tuple(acted.tolist()),
        waiting_chances=tuple(idle.tolist()),
        plans=actions.shape[1],
    )


def _narrow_states(setting: Setting, wide: World) -> Ints:
    """Return, for each wide state, the state of the setting's world that it lies over."""
    columns = [wide.variables.index(name) for name in setting.world.variables]
    phases = wide.phase.astype(np.int64)
    return setting.compiled.states_of(phases, wide.levels[:, columns].astype(np.int64))


def _rows_of(world: World, actions: Ints) -> Ints:
    """Return the row of each state that takes the given action, its first row where it has none."""
    states = np.repeat(np.arange(world.states), np.diff(world.rows))
    rows: Ints = world.rows[:-1].copy()
    hit = np.flatnonzero(world.action == actions[states])
    rows[states[hit]] = hit
    return rows
