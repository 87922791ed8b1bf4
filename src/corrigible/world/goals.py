"""Goals: utilities in [0, 1] over outcomes, drawn from a stated distribution.

Outcomes are the combinations of task levels, the first task slowest, as in a compiled world.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from corrigible.deployment.records import Deployment
from corrigible.errors import WorldError

Distribution = Literal["aims", "uniform", "stated"]
DISTRIBUTIONS: tuple[Distribution, ...] = ("aims", "uniform", "stated")
CORRECTED_GOALS = 32
"""How many goals an agent may be corrected to; shared by all the goals asked about."""

Utilities = npt.NDArray[np.float64]  # [O, G]


def sample_goals(
    deployment: Deployment, distribution: Distribution, count: int, rng: np.random.Generator
) -> Utilities:
    """Draw `count` goals: utilities `[outcomes, count]`, each in [0, 1].

    `uniform`: every outcome's utility iid U[0, 1] (Turner et al. 2021).  `aims`: weights over
    tasks from Dirichlet(1, …, 1); within a task from 0 at the lowest level to 1 at the top, by
    Dirichlet(1, …, 1) increments; all draws independent.  `stated`: the manifest's own goals,
    by their weights.

    Raises:
        WorldError: there is no task, or `stated` is asked of a manifest that states no goals.
    """
    tasks = [deployment.assets[name] for name in deployment.of_kind("task")]
    if not tasks:
        raise WorldError("a goal needs a task to care about, and the manifest declares none")
    levels = [len(task.scale) for task in tasks]
    if distribution == "uniform":
        return rng.random((int(np.prod(levels)), count))
    if distribution == "stated":
        return _stated(deployment, count, rng)
    weights = rng.dirichlet(np.ones(len(tasks)), size=count).T  # [tasks, count]
    utilities = np.zeros((1, count))
    for weight, size in zip(weights, levels, strict=True):
        steps = rng.dirichlet(np.ones(size - 1), size=count).T  # [size - 1, count]
        climbs = np.vstack([np.zeros(count), np.cumsum(steps, axis=0)]) * weight
        utilities = (utilities[:, None, :] + climbs[None, :, :]).reshape(-1, count)
    return np.minimum(utilities, 1.0)


def _stated(deployment: Deployment, count: int, rng: np.random.Generator) -> Utilities:
    goals = list(deployment.goals.values())
    if not goals:
        raise WorldError(
            "--goals stated needs the manifest's own goals, and it states none; add them under "
            "`goals:`, or ask for aims or uniform"
        )
    columns = []
    for goal in goals:
        utilities = np.zeros(1)
        for name in deployment.of_kind("task"):
            size = len(deployment.assets[name].scale)
            own = np.array(goal.tasks.get(name, (0.0,) * size))
            utilities = (utilities[:, None] + own).ravel()
        columns.append(np.minimum(utilities, 1.0))
    weights = np.array([goal.weight for goal in goals])
    picked = rng.choice(len(goals), size=count, p=weights / weights.sum())
    return np.column_stack(columns)[:, picked]
