"""Slow, dense and plain numpy: what the compiled kernels are tested against, and nothing else.

It shares no code with them: no components, no folding, no blocks.
"""

import numpy as np
import numpy.typing as npt

from corrigible.errors import NotSolvedError
from corrigible.solve.layout import Boundary
from corrigible.world.record import Bools, Floats, Int64s, World

MAX_IMPROVEMENTS = 1000


def dense_rows(world: World) -> Floats:
    """Every row's successor probabilities, `[R, S]`."""
    dense = np.zeros((len(world.action), world.states))
    row = np.repeat(np.arange(len(world.action)), np.diff(world.entries))
    dense[row, world.successor] = world.probability
    return dense


def exact_values(
    world: World,
    goals: npt.ArrayLike,
    *,
    discount: float,
    available: Bools | None = None,
    boundary: Boundary | None = None,
) -> Floats:
    """Optimal values `[S, G]` by policy iteration with dense solves: exact but for rounding.

    Args:
        world: a small world: memory grows with R times S.
        goals: utilities `[O, G]`.
        discount: per step, in [0, 1).
        available: the rows that may be taken.
        boundary: states whose value is given.

    Raises:
        NotSolvedError: the policies did not settle.
    """
    utilities = np.asarray(goals, dtype=np.float64)
    columns = []
    for goal in utilities.T:
        fixed = np.full(world.states, np.nan)
        if boundary is not None:
            fixed[boundary.states] = boundary.occupancy[boundary.states] @ goal
        usable = np.ones(len(world.action), dtype=np.bool_) if available is None else available
        columns.append(
            _one_goal(world, (1 - discount) * goal[world.outcome], (discount, usable, fixed))
        )
    return np.array(columns).T.reshape(world.states, utilities.shape[1])


def bellman_residual(
    world: World, goals: npt.ArrayLike, values: Floats, *, discount: float, available: Bools | None
) -> Floats:
    """The largest `|TV - V|` of each goal, `[G]`, in a world without a boundary."""
    utilities = np.asarray(goals, dtype=np.float64)
    worth = discount * (dense_rows(world) @ values)
    if available is not None:
        worth[~available] = -np.inf
    best = np.maximum.reduceat(worth, world.rows[:-1], axis=0)
    change: Floats = (1 - discount) * utilities[world.outcome] + best - values
    worst: Floats = np.abs(change).max(axis=0)
    return worst


def _one_goal(world: World, reward: Floats, terms: tuple[float, Bools, Floats]) -> Floats:
    discount, usable, fixed = terms
    moves = dense_rows(world)
    given = ~np.isnan(fixed)
    policy = _best_rows(world, np.where(usable, 0.0, -np.inf))
    for _ in range(MAX_IMPROVEMENTS):
        system: Floats = np.eye(world.states) - discount * moves[policy]
        right = reward.copy()
        system[given], right[given] = np.eye(world.states)[given], fixed[given]
        values: Floats = np.asarray(np.linalg.solve(system, right), dtype=np.float64)
        worth = np.where(usable, moves @ values, -np.inf)
        better = _best_rows(world, worth)
        gain = worth[better] - worth[policy]
        if not (gain > 1e-13 * np.abs(values).max(initial=1.0)).any():
            return values
        policy = np.where(gain > 0, better, policy)
    raise NotSolvedError(f"policy iteration must settle in {MAX_IMPROVEMENTS} improvements")


def _best_rows(world: World, worth: Floats) -> Int64s:
    """The best row of each state, the first where several are."""
    return np.array(
        [
            start + np.argmax(worth[start:stop])
            for start, stop in zip(world.rows[:-1], world.rows[1:], strict=True)
        ],
        dtype=np.int64,
    )
