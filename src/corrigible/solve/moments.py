"""Moments over goals without the goals: what values are on average, and how they spread.

Goals are drawn inside the kernel, block by block, and only sums are kept: memory grows with the
states, not with the goals.  Axes: S states, G goals.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from corrigible.errors import NotSolvedError, WorldError
from corrigible.solve.batch import Method, Task, named_method, sweep_goals
from corrigible.solve.checks import check_discount, check_tolerance
from corrigible.solve.layout import Layout, world_layout
from corrigible.solve.optimal import ROUNDING
from corrigible.solve.sample import GoalSample
from corrigible.solve.threads import Progress
from corrigible.world.record import Bools, Floats, World

HELD = 1024  # goals held together where a quantile makes them


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and spread of a quantity over goals, for each state."""

    mean: Floats  # [S], in units of the utilities
    variance: Floats  # [S], of one goal's value about the mean, unbiased; NaN for one goal
    n: int
    bound: float  # how far each goal's value, and so the mean, can be off; certified
    seed: int
    method: str


@dataclass(frozen=True, eq=False)
class Batch:
    """The sums over one batch of goals."""

    total: Floats  # [S]
    squares: Floats  # [S]
    n: int
    bound: float
    method: str


def value_moments(
    world: World,
    sample: GoalSample,
    *,
    discount: float,
    tolerance: float = 1e-6,
    available: Bools | None = None,
    method: Method | str = Method.ANY,
    progress: Progress | None = None,
) -> Moments:
    """Mean and variance over goals of the optimal value of each state.

    Args:
        world: the world.
        sample: the goals; drawn as they are needed, never held all together.
        discount: per step, in [0, 1).
        tolerance: of each goal's values, in units of the utilities.
        available: the rows that may be taken, `[R]`; default all.
        method: as for `optimal_values`.
        progress: told how many goals are done, and of how many.

    Raises:
        DiscountError: `discount` is not in [0, 1) or `tolerance` is not positive.
        NotSolvedError: a goal was not solved to the tolerance.
        WorldError: a state has no row left, or a utility is not finite.
    """
    layout = _layout(world, discount, tolerance, available)
    task = Task(tolerance, method=named_method(method), progress=progress, scaling=(1.0, 0.0))
    if sample.quantile is None:
        return gathered([solved_batch(layout, sample, task)], sample.seed)
    parts: list[Batch] = []
    for part in batches(layout, sample, replace(task, progress=None), size=HELD):
        parts.append(part)
        if progress is not None:
            progress(sum(done.n for done in parts), sample.count)
    return gathered(parts, sample.seed)


def batches(layout: Layout, sample: GoalSample, task: Task, *, size: int) -> Iterator[Batch]:
    """The sums of one batch of `size` goals after another, until the sample is used up.

    Args:
        layout: the world's.
        sample: the goals.
        task: as for `solved_batch`.
        size: goals to a batch.
    """
    for first in range(0, sample.count, size):
        yield solved_batch(layout, sample, task, first=first, stop=min(first + size, sample.count))


def solved_batch(
    layout: Layout, sample: GoalSample, task: Task, *, first: int = 0, stop: int | None = None
) -> Batch:
    """The sums over the goals numbered `first` to `stop` (default: all of the sample).

    Args:
        layout: the world's.
        sample: the goals.
        task: its `wanted` is the tolerance of the values here, its `scaling` says of what.
        first: the first goal.
        stop: the one after the last.

    Raises:
        NotSolvedError: a goal was not solved to the tolerance.
        WorldError: a utility is not finite.
    """
    stop = sample.count if stop is None else stop
    scale = 1.0
    goals: Floats | GoalSample = GoalSample(stop - first, sample.seed)
    if sample.quantile is not None:
        goals = sample.utilities(layout.outcomes, first=first, stop=stop)
        scale = float(abs(goals).max(initial=0.0))
        if not np.isfinite(scale):
            raise WorldError(f"every utility must be finite, got {scale!r} from the quantile")
    horizon = 1 / (1 - layout.contraction)
    wanted = max(task.wanted / horizon - ROUNDING * scale, 2 * ROUNDING * max(scale, 1.0))
    swept = sweep_goals(
        layout,
        goals,
        Task(wanted, task.method, task.progress, first=first, scaling=task.scaling),
    )
    bound = float(swept.residual.max(initial=0.0) + ROUNDING * scale) * horizon
    if bound > max(task.wanted, 4 * ROUNDING * scale * horizon):
        raise NotSolvedError(
            f"goals {first} to {stop} must be solved to {task.wanted:.3g}, got a bound of "
            f"{bound:.3g} ({swept}); ask for less, or for another method"
        )
    factor = 1.0 if task.scaling is None else task.scaling[0]
    sums = np.empty((len(layout.order), 2))
    sums[layout.order] = swept.sums
    return Batch(sums[:, 0], sums[:, 1], stop - first, bound * factor, str(swept))


def gathered(parts: list[Batch], seed: int) -> Moments:
    """The moments over several batches."""
    n = sum(part.n for part in parts)
    mean = np.sum([part.total for part in parts], axis=0) / n
    squares = np.sum([part.squares for part in parts], axis=0)
    variance = np.full(len(mean), np.nan)
    if n > 1:
        variance = np.maximum(squares - n * mean**2, 0.0) / (n - 1)
    return Moments(
        mean=mean,
        variance=variance,
        n=n,
        bound=max(part.bound for part in parts),
        seed=seed,
        method=parts[-1].method,
    )


def _layout(world: World, discount: float, tolerance: float, available: Bools | None) -> Layout:
    check_discount(discount)
    check_tolerance(tolerance)
    return world_layout(world, discount=discount, available=available, boundary=None)
