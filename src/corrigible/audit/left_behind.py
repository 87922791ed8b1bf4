"""What the best plan leaves behind on bystanders: what no goal asks about and people care for."""

from dataclasses import dataclass

import numpy as np

from corrigible.audit.setting import Setting
from corrigible.solve.policy import state_distribution
from corrigible.world.compile import compile_world
from corrigible.world.modes import structure_of

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
    found = []
    for name in setting.deployment.of_kind("bystander"):
        levels = setting.deployment.assets[name].scale
        structure = structure_of(setting.deployment, keep=(name,))
        wide = compile_world(setting.deployment, structure=structure)
        narrow = _narrow_states(setting, wide.world.variables, wide.world.levels, wide.world.phase)
        column = wide.world.variables.index(name)
        names = {action: i for i, action in enumerate(wide.world.action_names)}
        translate = np.array([names[action] for action in setting.world.action_names])

        def chances(policy: np.ndarray, wide=wide, column=column, size=len(levels)) -> np.ndarray:  # type: ignore[no-untyped-def]
            reached = state_distribution(wide.world, policy, steps=steps)
            return np.bincount(
                wide.world.levels[:, column], weights=reached, minlength=size
            )[:size]

        idle = chances(wide.world.rows[:-1])
        acted = np.mean(
            [
                chances(_rows_of(wide.world, translate[actions[narrow, goal]]))
                for goal in range(actions.shape[1])
            ],
            axis=0,
        )
        found.append(
            LeftBehind(
                name, levels[int(acted.argmax())], levels[int(idle.argmax())], levels,
                tuple(acted.tolist()), tuple(idle.tolist()), actions.shape[1],
            )  # fmt: skip
        )
    return tuple(found)


def _narrow_states(
    setting: Setting, variables: tuple[str, ...], levels: np.ndarray, phase: np.ndarray
) -> np.ndarray:
    """Return, for each wide state, the state of the setting's world that it lies over."""
    columns = [variables.index(name) for name in setting.world.variables]
    return setting.compiled.states_of(phase, levels[:, columns])


def _rows_of(world, actions: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return the row of each state that takes the given action, its first row where it has none."""
    states = np.repeat(np.arange(world.states), np.diff(world.rows))
    rows = world.rows[:-1].copy()
    hit = np.flatnonzero(world.action == actions[states])
    rows[states[hit]] = hit
    return rows
