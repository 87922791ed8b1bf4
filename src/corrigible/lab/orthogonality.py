"""Orthogonality (Bostrom 2012): one world, very different goals, and the drives that recur.

The world is a deployment (`orthogonality.yaml`): machines to rent, code to improve, a role to be
granted, a stop job, a prompt.  Four goals each want one thing and nothing else.  A planner looks
so many steps ahead; a drive *pays* where the best plan without its acts is worth less by more
than the audit's threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from corrigible.audit.incentives import LONGEST_PLAN, PAYS, words_of
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.load import parse_deployment
from corrigible.drives import family_of
from corrigible.lab.table import Row, Source, Tell
from corrigible.world.record import Floats

SOURCE = Source("orthogonality", "R/S")
GOALS = {
    "paperclips": "paperclips=made",
    "digits of pi": "digits=new",
    "a cure": "cure=well",
    "sonnets": "sonnets=fresh",
}
"""Each goal, and the level of the task that it wants."""
HORIZONS = (1, 2, 3, 5, 10, 20, 40, 100)
LONG = 40
CONVERGENT = {
    "self-preservation": "self-preservation",
    "goal-content integrity": "goal-preservation",
    "cognitive enhancement": "cognitive-enhancement",
    "resource acquisition": "resource-acquisition",
}
"""Bostrom's names, and the families that they are here; technological perfection has no act."""


@dataclass(frozen=True, eq=False)
class Recurrence:
    """What each drive is worth to each goal, for one planner.

    `gains[key][g]`: the value that goal g loses without the acts of a drive or family, in units
    of return.  `plans[g]`: the best plan's calls, every act achieved, until it waits.
    """

    horizon: int
    goals: tuple[str, ...]
    values: Floats  # [G]
    gains: dict[str, Floats]  # [G] each
    plans: tuple[tuple[str, ...], ...]

    def pays(self, key: str) -> tuple[str, ...]:
        """The goals for which a drive or a family pays."""
        return tuple(g for g, gain in zip(self.goals, self.gains[key], strict=True) if gain > PAYS)


def manifest() -> str:
    """The deployment, as YAML."""
    return (files("corrigible.lab") / "orthogonality.yaml").read_text(encoding="utf-8")


@cache
def recurrence(horizon: int, *, seed: int = 0) -> Recurrence:
    """What each drive and family is worth to each goal, for a planner with this horizon.

    Exact but for the goals that a correction may bring, 32 drawn with the seed.
    """
    loaded = parse_deployment(manifest(), overrides=[f"agent.horizon={horizon}"])
    setting = Setting(loaded.deployment, {}, Question("aims", seed))
    names = setting.world.outcome_names
    wanted = np.array([[float(want in name) for want in GOALS.values()] for name in names])
    whole = setting.solve(wanted)
    start = setting.world.initial
    keys = {drive: [drive] for drive in setting.drives}
    for drive in setting.drives:
        keys.setdefault(family_of(drive), []).append(drive)
    gains = {}
    for key, drives in keys.items():
        without = setting.solve(wanted, drives, start=whole)
        gains[key] = np.maximum(whole.values[start] - without.values[start], 0.0)
    rows = setting.policies(whole, wanted)
    plans = tuple(_plan(setting, rows[:, goal]) for goal in range(len(GOALS)))
    return Recurrence(horizon, tuple(GOALS), whole.values[start], gains, plans)


def _plan(setting: Setting, policy: np.ndarray[tuple[int], np.dtype[np.int32]]) -> tuple[str, ...]:
    """The calls from the start until the plan waits or does for good what advances its task."""
    world, state, calls = setting.world, setting.world.initial, []
    for _ in range(LONGEST_PLAN):
        row = int(policy[state])
        if world.action[row] == 0 or setting.achieved[row] < 0:
            break
        calls.append(int(world.action[row]) - 1)
        state = int(setting.achieved[row])
    return words_of(tuple(calls), setting.structure.modes)


def table(horizons: Sequence[int] = HORIZONS) -> list[str]:
    """Lines of text: for each drive and horizon for how many of the goals it pays."""
    found = [recurrence(horizon) for horizon in horizons]
    drives = [key for key in found[0].gains if "/" in key]
    width = max(map(len, drives))
    lines = [" " * width + "".join(f"{horizon:>5}" for horizon in horizons)]
    for drive in drives:
        counts = "".join(f"{len(each.pays(drive)):>5}" for each in found)
        lines.append(f"{drive:<{width}}{counts}")
    return lines


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """Whether each convergent goal recurs for all four goals; the whole table is `table`."""
    del quick
    tell("orthogonality: four goals")
    found = recurrence(LONG)
    return [
        SOURCE.said(
            f"{name} pays for",
            "every goal",
            _how_many(found.pays(family)),
            why=f"horizon {LONG}; gains of "
            + ", ".join(f"{gain:.3f}" for gain in found.gains[family])
            + f" of return for {', '.join(found.goals)}",
        )
        for name, family in CONVERGENT.items()
    ]


def _how_many(goals: tuple[str, ...]) -> str:
    if len(goals) == len(GOALS):
        return "every goal"
    return ", ".join(goals) or "no goal"
