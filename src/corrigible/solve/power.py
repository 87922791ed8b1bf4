"""POWER: how well placed a state leaves an agent, on average over the goals it might have."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.optimal import Solution, checked_goals
from corrigible.world.record import Floats, World

NORMAL_95 = 1.959963984540054  # two-sided 95% of the standard normal


@dataclass(frozen=True, eq=False)
class Power:
    """The POWER of every state, with its interval and how many goals it rests on."""

    mean: Floats  # [S], in units of the utilities
    low: Floats  # [S]
    high: Floats  # [S]
    n: int
    method: str


def power(world: World, goals: npt.ArrayLike, solution: Solution, *, discount: float) -> Power:
    """The mean over goals of what optimal play brings from a state, its own reward left out.

    `POWER(s) = (1 - discount) / discount * E[V*(s) - R(s)]` with V* not normalised (Turner et
    al. 2021, definition 5.2); in this project's units, `E[v(s) - (1 - discount) R(s)] / discount`.

    Args:
        world: the world.
        goals: utilities `[O, G]`, drawn from the distribution that is meant.
        solution: of these goals.
        discount: the one it was solved with, in (0, 1).

    Returns:
        For each state the mean and a 95% interval by the normal theory, widened by the solver's
        own bound.  It is for one state at a time, and without limits where G is 1.

    Raises:
        DiscountError: `discount` is not in (0, 1).
        WorldError: shapes do not match the world.
        NotSolvedError: a goal was not solved to its tolerance.
    """
    utilities = checked_goals(world, goals)
    if not 0 < discount < 1:
        raise DiscountError(f"discount must lie in (0, 1), got {discount!r}")
    count = utilities.shape[1]
    if solution.values.shape != (world.states, count) or count == 0:
        raise WorldError(
            f"the solution must hold values for {world.states} states and at least one goal of "
            f"{count}, got the shape {list(solution.values.shape)!r}"
        )
    solution.check()
    mean, spread = np.empty(world.states), np.full(world.states, np.inf)
    for start in range(0, world.states, 1024):  # in parts, so that no second [S, G] is needed
        part = slice(start, start + 1024)
        earned = (1 - discount) * utilities[world.outcome[part]]
        each = (solution.values[part] - earned) / discount
        mean[part] = each.mean(axis=1)
        if count > 1:
            spread[part] = NORMAL_95 * each.std(axis=1, ddof=1) / np.sqrt(count)
    off = spread + solution.bound.mean() / discount
    return Power(
        mean=mean,
        low=mean - off,
        high=mean + off,
        n=count,
        method=f"Monte Carlo over goals; 95% normal interval and the bound of: {solution.method}",
    )
