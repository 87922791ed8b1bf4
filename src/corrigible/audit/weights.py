"""The weight of a mode: how irreversible, how far-reaching, how empowering, at worst.

From the solved world with all its acts, over the running states in which the mode can be
called, each against waiting there:

- irreversibility: relative reachability lost (Krakovna et al. 2019), the mean over target
  states of max(0, reach after waiting - reach after the act), reach discounted as the return;
- impact: the mean over goals of |Q(act) - Q(wait)|, attainable utility change (Turner et al.
  2020), in units of return;
- power gain: POWER after the act less POWER after waiting (Turner et al. 2021).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corrigible.audit.incentives import Incentives
from corrigible.audit.setting import DESIGN, Setting
from corrigible.solve.reach import hitting_values
from corrigible.world.record import RUNNING

TARGETS = 256
GOALS = 64

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weight:
    """The three weights of one mode, worst cases; `targets`, `goals`: what the means are over."""

    mode: str
    irreversible: float
    impact: float
    power_gain: float
    targets: int
    goals: int


def weights(incentives: Incentives) -> tuple[Weight, ...]:
    """Return the weights of every mode of the world, in the structure's order."""
    setting = incentives.setting
    world = setting.world
    transitions = sparse.csr_matrix(
        (world.probability, world.successor, world.entries),
        shape=(len(world.action), world.states),
    )
    acting, waiting = _pairs(setting)
    lost, targets = _reach_lost(setting, transitions, acting, waiting)
    goals = setting.question.goals(setting.deployment, GOALS, 0)
    values = setting.solve(goals).values
    changed = np.abs(transitions[acting] @ values - transitions[waiting] @ values)
    impact = setting.discount * changed.mean(axis=1)
    power = np.nan_to_num(incentives.power())
    gained = transitions[acting] @ power - transitions[waiting] @ power
    found = []
    for index, mode in enumerate(setting.structure.modes):
        rows = world.action[acting] == index + 1
        if not rows.any():
            continue
        irreversible = 1.0 if mode.irreversible else float(lost[rows].max())
        found.append(
            Weight(
                mode.name,
                irreversible,
                float(impact[rows].max()),
                float(gained[rows].max()),
                targets,
                GOALS,
            )
        )
    return tuple(found)


def _pairs(setting: Setting) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of acts in running states, and the `wait` row beside each."""
    world = setting.world
    running = (world.phase == RUNNING)[setting.state_of_row]
    acting = np.flatnonzero(running & (world.action > 0))
    return acting, world.rows[setting.state_of_row[acting]]


def _reach_lost(
    setting: Setting,
    transitions: sparse.csr_matrix,
    acting: npt.NDArray[np.int64],
    waiting: npt.NDArray[np.int64],
) -> tuple[Floats, int]:
    """Return the relative reachability lost `[rows]` over a sample of running states."""
    world = setting.world
    running = np.flatnonzero(world.phase == RUNNING)
    rng = np.random.default_rng([setting.question.seed, DESIGN, 1])
    count = min(TARGETS, len(running))
    targets = np.sort(rng.choice(running, size=count, replace=False))
    reach = hitting_values(world, targets, discount=setting.discount).values
    lost = np.maximum(transitions[waiting] @ reach - transitions[acting] @ reach, 0.0)
    return lost.mean(axis=1), count
