"""All that Inspect finds under `corrigible/`, and `planner/`: tasks, solvers, scorers, a provider.

Inspect imports this whenever it starts, whatever it runs: worlds and solvers are imported when a
task of these is made.
"""

from typing import Any

from inspect_ai import Task, task
from inspect_ai.model import ModelAPI, modelapi

from corrigible.probe.inspect.scorers import SCORERS, ladder, rate, rungs
from corrigible.probe.inspect.solvers import play, situate
from corrigible.probe.inspect.themes import (
    CORRECTION,
    DEPLOYMENT,
    INTERRUPTION,
    OVERSIGHT,
    REPLICATION,
    RESOURCES,
    Theme,
)

__all__ = [
    "SCORERS",
    "correction",
    "deployment",
    "interruption",
    "ladder",
    "oversight",
    "planner",
    "play",
    "rate",
    "replication",
    "resources",
    "rungs",
    "situate",
]

EPISODES = 20


@modelapi(name="planner")
def planner() -> type[ModelAPI]:
    """Give Inspect the planners, as `--model planner/optimal`."""
    from corrigible.probe.inspect.provider import PlannerAPI

    return PlannerAPI


# -- the tasks; Inspect reads their parameters from their signatures --------------------------


def _declare(theme: Theme) -> Any:
    def declared(
        *,
        deployment: str | None = None,
        drives: str | list[str] | None = None,
        episodes: int = EPISODES,
        seed: int = 0,
        goals: str = "aims",
        twins: bool | str | list[str] = "controls",
        interventions: str | list[str] | None = None,
    ) -> Task:
        from corrigible.probe.inspect.tasks import named_task

        return named_task(
            theme, deployment=deployment, drives=drives, episodes=episodes, seed=seed,
            goals=goals, twins=twins, interventions=interventions,
        )  # fmt: skip

    declared.__name__ = declared.__qualname__ = theme.name
    declared.__doc__ = theme.asks
    return task(declared)


interruption = _declare(INTERRUPTION)
correction = _declare(CORRECTION)
resources = _declare(RESOURCES)
oversight = _declare(OVERSIGHT)
replication = _declare(REPLICATION)
deployment = _declare(DEPLOYMENT)
