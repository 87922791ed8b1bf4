"""Values that acts have under an objective: with costs of acts, other dynamics, or few steps.

Where acts cost nothing the solver for many goals is asked; where they do, sweeps over states in
place do the same, with the same kind of bound.  Axes as in `problem`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.policies.compiled import kernels
from corrigible.policies.problem import Problem
from corrigible.solve.checks import check_tolerance
from corrigible.solve.layout import row_matrix, world_layout
from corrigible.solve.optimal import ROUNDING, optimal_values
from corrigible.solve.stochastic import row_values
from corrigible.solve.threads import share_out
from corrigible.world.record import Floats, World

TOLERANCE = 1e-9
MOST_SWEEPS = 100_000


@dataclass(frozen=True, eq=False)
class RowValues:
    """What states and rows are worth to each goal under an objective, and how far that is off."""

    values: Floats  # [S, G], in units of the utilities
    rows: Floats  # [R, G], what taking a row and then going on as well as possible is worth
    bound: Floats  # [G], both are at most this far off


def moves_of(world: World) -> tuple[npt.NDArray[np.generic], ...]:
    """The world's transitions as the kernels take them; copies, since those need writable ones."""
    return (
        world.rows.copy(), world.entries.copy(), world.successor.copy(), world.probability.copy()
    )  # fmt: skip


def row_worths(
    problem: Problem,
    *,
    cost: Floats | None = None,
    share: tuple[float, Floats] | None = None,
    fixed: Floats | None = None,
    tolerance: float = TOLERANCE,
) -> RowValues:
    """The optimal values of an objective in which acts may cost something.

    `Q(r, g) = (1 - discount) * (R(s, g) - cost(r, g)) + discount * sum of P(t | r) V(t, g)`, and
    V the best of a state's rows.  Sweeps in place, one component of the state graph after another;
    their last sweeps' largest move times `1 / (1 - discount)` bounds the error (Puterman 1994,
    section 6.3.3), rounding aside, which grows with the largest cost.

    Args:
        problem: the world, goals, discount, and what follows where the agent does not choose.
        cost: of taking each row, `[R]` or `[R, G]`, in units of utility a step; default none.
        share: (q, base `[R]`): V is the mean of the best share q of the base distribution instead
            of the best row; q in (0, 1].
        fixed: what states are worth in which the agent does not choose, `[S, G]`; default: the
            problem's.
        tolerance: of the values.

    Raises:
        DiscountError: `tolerance` is not positive, or q not in (0, 1].
        NotSolvedError: the sweeps ran out.
        WorldError: a shape does not match, or a cost is not finite.
    """
    check_tolerance(tolerance)
    if cost is None and share is None and fixed is None:
        return _without_costs(problem, tolerance)
    q, base = (0.0, np.zeros(len(problem.world.action))) if share is None else share
    if share is not None and not 0 < q <= 1:
        raise DiscountError(f"the share q must lie in (0, 1], got {q!r}")
    paid = _checked_cost(problem, cost) * (1 - problem.discount)
    given = problem.fixed if fixed is None else fixed
    values, residual = _swept(problem, paid, (q, base), given, tolerance=tolerance)
    bound = (residual + 4 * ROUNDING * np.abs(values).max(axis=0, initial=0.0)) / (
        1 - problem.discount
    )
    rounding = 64 * ROUNDING * max(_size(values), _size(paid)) / (1 - problem.discount)
    if (bound > tolerance + rounding).any():
        raise NotSolvedError(
            f"values must be within {tolerance:.3g}, got a bound of {bound.max():.3g} after "
            f"{MOST_SWEEPS} sweeps; ask for less, or for a shorter horizon"
        )
    worth = row_values(problem.world, problem.goals, values, discount=problem.discount) - paid
    return RowValues(values, worth, bound)


def row_worths_in_steps(problem: Problem, steps: int, *, cost: Floats | None = None) -> RowValues:
    """The same when only the next `steps` steps count, and all of them alike.

    Means over the steps, so in units of the utilities; the state one is in counts first, so with
    one step every row is worth the same but for its cost.  Exact but for rounding.

    Raises:
        DiscountError: `steps` is less than 1, or there is a boundary and no `after`.
        WorldError: a shape does not match.
    """
    if steps != int(steps) or steps < 1:
        raise DiscountError(f"steps must be a whole number, at least 1, got {steps!r}")
    moves, home = row_matrix(problem.world), problem.world.row_state
    paid, live = _checked_cost(problem, cost), problem.choosing
    beyond = problem.sums_beyond(steps)
    values = np.zeros((problem.world.states, problem.count))
    worth = np.zeros((len(home), problem.count))
    for left in range(1, steps + 1):
        worth = problem.reward[home] - paid + moves @ values
        values = np.where(live[:, None], best_of(problem, worth), beyond[left])
    off = steps * ROUNDING * np.abs(problem.goals).max(axis=0, initial=0.0)
    return RowValues(values / steps, worth / steps, off)


def best_of(problem: Problem, worth: Floats) -> Floats:
    """The best usable row's worth in each state, `[S, G]`; where none is, -inf."""
    barred = np.where(problem.usable[:, None], worth, -np.inf)
    best: Floats = np.maximum.reduceat(barred, problem.world.rows[:-1], axis=0)
    return best


def greedy_weights(problem: Problem, worth: Floats, *, tie: float) -> Floats:
    """All weight on each state's best row, ties to the lowest rank: `[R, G]`."""
    rank = np.zeros(len(worth), dtype=np.int64) if problem.rank is None else problem.rank
    home = problem.world.row_state
    order = np.lexsort((np.arange(len(worth)), rank, home))
    best = best_of(problem, worth)[home]
    good = ((worth >= best - tie) & problem.usable[:, None])[order]
    place = np.arange(len(worth))[:, None]
    first = np.minimum.reduceat(np.where(good, place, len(worth)), problem.world.rows[:-1], axis=0)
    weights = np.zeros(worth.shape)
    states, goals = np.nonzero(first < len(worth))
    weights[order[first[states, goals]], goals] = 1.0
    return weights


def shared_out(problem: Problem, weight: Floats) -> Floats:
    """Weights divided by their sum in each state; 0 where the agent does not choose."""
    kept = np.where(problem.usable[:, None], weight, 0.0)
    total = np.add.reduceat(kept, problem.world.rows[:-1], axis=0)[problem.world.row_state]
    shares: Floats = np.divide(kept, total, out=np.zeros_like(kept), where=total > 0)
    return shares


def _without_costs(problem: Problem, tolerance: float) -> RowValues:
    solved = optimal_values(
        problem.world, problem.goals, discount=problem.discount, tolerance=tolerance,
        available=problem.available, boundary=problem.boundary,
    ).check()  # fmt: skip
    worth = row_values(problem.world, problem.goals, solved.values, discount=problem.discount)
    return RowValues(solved.values, worth, solved.bound)


def _checked_cost(problem: Problem, cost: Floats | None) -> Floats:
    rows = len(problem.world.action)
    if cost is None:
        return np.zeros((rows, 1))
    given = np.asarray(cost, dtype=np.float64).reshape(len(cost), -1)
    if len(given) != rows or given.shape[1] not in {1, problem.count}:
        raise WorldError(
            f"cost must have the shape [{rows}] or [{rows}, {problem.count}], got "
            f"{list(np.shape(cost))!r}"
        )
    if not np.isfinite(given).all():
        row = int(np.argmax(~np.isfinite(given).all(axis=1)))
        raise WorldError(
            f"the cost of {problem.world.row_name(row)} must be finite, got {given[row].tolist()!r}"
        )
    return given


def _swept(
    problem: Problem,
    paid: Floats,
    share: tuple[float, Floats],
    fixed: Floats,
    *,
    tolerance: float,
) -> tuple[Floats, Floats]:
    kernel, world = kernels(), problem.world
    values = np.where(problem.choosing[:, None], 0.0, fixed)
    residual = np.zeros(problem.count)
    moves, usable = moves_of(world), problem.usable.copy()
    layout = world_layout(
        world, discount=problem.discount, available=problem.available, boundary=problem.boundary
    )
    order, component = layout.order.copy(), layout.component.copy()
    reward = np.ascontiguousarray((1 - problem.discount) * problem.reward)
    wanted = max(tolerance * (1 - problem.discount) / 2, ROUNDING * _size(paid))
    terms = (problem.discount, float(share[0]), float(wanted), MOST_SWEEPS)
    base = np.array(share[1], dtype=np.float64)
    costs = np.ascontiguousarray(paid)
    blocks = -(-problem.count // kernel.BLOCK)

    def solve(part: tuple[int, int]) -> None:
        kernel.solve_goals(
            moves, usable, order, component, reward, costs, base, terms, values, residual, part
        )  # fmt: skip

    share_out(blocks, solve)
    return values, residual


def _size(values: Floats) -> float:
    return float(np.abs(values).max(initial=1.0))
