"""POWER: how well placed a state leaves an agent, on average over the goals it might have.

Axes: S states, G goals, P pairs of states.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.average import average_values
from corrigible.solve.batch import Task
from corrigible.solve.checks import check_tolerance
from corrigible.solve.layout import row_matrix, usable_rows, world_layout
from corrigible.solve.moments import Batch, gathered, solved_batch
from corrigible.solve.optimal import ROUNDING, Solution, checked_goals, optimal_values
from corrigible.solve.sample import GOALS, MOST_GOALS, GoalSample
from corrigible.solve.sequences import ConfidenceSequence
from corrigible.solve.threads import Progress
from corrigible.world.record import Bools, Floats, World

NORMAL_95 = 1.959963984540054  # two-sided 95% of the standard normal
FIRST_BATCH, LARGEST_BATCH = 128, 8192
HELD = 2_000_000  # values of goals held at once, where they are


@dataclass(frozen=True, eq=False)
class Power:
    """The POWER of every state, with its interval and how many goals it rests on."""

    mean: Floats  # [S], in units of the utilities
    low: Floats  # [S]
    high: Floats  # [S]
    n: int
    seed: int | None  # of the goals; None where the caller gave them
    method: str
    pairs: npt.NDArray[np.int64]  # [P, 2]
    difference: Floats  # [P], of the first state's POWER and the second's, over the same goals
    difference_low: Floats  # [P]
    difference_high: Floats  # [P]


def power(
    world: World,
    goals: npt.ArrayLike | GoalSample | None = None,
    *,
    discount: float,
    precision: float | None = None,
    pairs: Sequence[tuple[int, int]] = (),
    available: Bools | None = None,
    tolerance: float = 1e-6,
    progress: Progress | None = None,
) -> Power:
    """The mean over goals of what optimal play brings from a state, its own reward left out.

    `POWER(s) = (1 - discount) / discount * E[V*(s) - R(s)]` with V* not normalised (Turner et
    al. 2021, definition 5.2).  At discount 0 and 1 its limits: the best expected utility of the
    next state, and the best average utility in the long run.

    Args:
        world: the world; goals are over its outcomes.  For goals over states use
            `world.with_state_outcomes()`.
        goals: utilities `[O, G]`, or a sample; default: 1,000 uniform ones, or, where a
            `precision` is asked for, as many as it takes.
        discount: in [0, 1].
        precision: stop as soon as every interval is at most this far to both sides of its
            middle.  Goals are then a sample with a support.
        pairs: states whose POWER is compared over the same goals: far tighter than their
            intervals side by side.
        available: the rows that may be taken, `[R]`; default all.
        tolerance: of each goal's values, in units of the utilities.
        progress: told how many goals are done, and of how many at most.

    Returns:
        Means with 95% intervals, each for one state or pair at a time: by the normal theory for
        a given number of goals; by a confidence sequence, valid whenever it stops, where a
        precision was asked for.  The solver's own bound is counted in.

    Raises:
        DiscountError: `discount` is not in [0, 1], or a tolerance or precision is not positive.
        NotSolvedError: a goal was not solved to the tolerance, or the precision was not reached
            within the sample.
        WorldError: shapes do not match the world, or goals do not suit what is asked.
    """
    asked = _asked(world, discount, pairs, available, tolerance)
    if precision is not None and not 0 < precision < np.inf:
        raise DiscountError(f"precision must be positive and finite, got {precision!r}")
    if goals is None:
        goals = GoalSample(GOALS if precision is None else MOST_GOALS)
    if not isinstance(goals, GoalSample):
        goals = _checked(world, goals)
    asked = replace(asked, progress=progress)
    if precision is None:
        return asked.measured(goals)
    return asked.measured_to(goals, precision)


@dataclass(frozen=True, eq=False)
class _Asked:
    """One question about POWER, its goals apart."""

    world: World
    discount: float
    tolerance: float
    pairs: npt.NDArray[np.int64]
    available: Bools | None
    progress: Progress | None = None

    def measured(self, goals: Floats | GoalSample) -> Power:
        """Over all the goals, with normal intervals."""
        count = goals.count if isinstance(goals, GoalSample) else goals.shape[1]
        return self.gathered(goals, list(self._told(self._batches(goals, _even(count)), count)))

    def gathered(self, goals: Floats | GoalSample, parts: list[Batch]) -> Power:
        """What the batches bring together, with normal intervals."""
        found = gathered(parts, 0)
        spread = np.full(len(found.mean), np.inf)
        if found.n > 1:
            spread = NORMAL_95 * np.sqrt(found.variance / found.n)
        limits = found.mean - spread, found.mean + spread
        text = f"Monte Carlo over goals; 95% normal interval and the bound of: {found.method}"
        return self._power(goals, parts, limits, text)

    def measured_to(self, goals: Floats | GoalSample, precision: float) -> Power:
        """Until every interval is precise enough."""
        if not isinstance(goals, GoalSample) or goals.support is None:
            got = "utilities" if not isinstance(goals, GoalSample) else "a sample without bounds"
            raise WorldError(
                f"a precision needs goals as a GoalSample with bounds, got {got}; "
                "give bounds=(lowest, highest)"
            )
        low, high = goals.support
        kinds = self.world.states, len(self.pairs)
        sequences = (
            ConfidenceSequence(kinds[0], low, high, aim=precision),
            ConfidenceSequence(kinds[1], low - high, high - low, aim=precision),
        )
        parts: list[Batch] = []
        for part in self._told(self._batches(goals, _growing(goals.count)), goals.count):
            parts.append(part)
            for sequence, span in zip(sequences, _spans(*kinds), strict=True):
                sequence.add(part.total[span], part.squares[span], part.n)
            off = max(part.bound for part in parts)  # of a state; of a pair twice that
            widest = max(
                sequence.width.max(initial=0.0) + times * off * (sequence.count > 0)
                for times, sequence in enumerate(sequences, start=1)
            )
            if widest <= precision:
                break
        else:
            raise NotSolvedError(
                f"POWER must be known to {precision:.3g}, got {widest:.3g} after all "
                f"{goals.count} goals of the sample; ask for less or give a larger sample"
            )
        limits = tuple(
            np.concatenate([getattr(s, end) for s in sequences]) for end in ("lower", "upper")
        )
        text = "Monte Carlo over goals until precise enough; 95% confidence sequence and the bound"
        return self._power(goals, parts, (limits[0], limits[1]), f"{text} of: {parts[-1].method}")

    def _power(
        self,
        goals: Floats | GoalSample,
        parts: list[Batch],
        limits: tuple[Floats, Floats],
        method: str,
    ) -> Power:
        found = gathered(parts, 0)
        own, both = _spans(self.world.states, len(self.pairs))
        off = np.full(len(found.mean), found.bound)
        off[both] *= 2
        low, high = limits[0] - off, limits[1] + off
        mean = np.clip(found.mean, low, high)  # a sequence's limits need not hold the latest mean
        return Power(
            mean=mean[own],
            low=low[own],
            high=high[own],
            n=found.n,
            seed=goals.seed if isinstance(goals, GoalSample) else None,
            method=method,
            pairs=self.pairs,
            difference=mean[both],
            difference_low=low[both],
            difference_high=high[both],
        )

    def _told(self, parts: Iterable[Batch], count: int) -> Iterator[Batch]:
        done = 0
        for part in parts:
            done += part.n
            if self.progress is not None:
                self.progress(done, count)
            yield part

    def _batches(self, goals: Floats | GoalSample, spans: Iterable[slice]) -> Iterator[Batch]:
        """Sums over one span of goals after the other, of states and then of pairs."""
        streamed = isinstance(goals, GoalSample) and 0 < self.discount < 1 and not len(self.pairs)
        for span in spans:
            if streamed and isinstance(goals, GoalSample):
                yield self._streamed(goals, span)
            else:
                yield self._held(goals, span)

    def _streamed(self, goals: GoalSample, span: slice) -> Batch:
        layout = world_layout(
            self.world, discount=self.discount, available=self.available, boundary=None
        )
        task = Task(self.tolerance, scaling=(1 / self.discount, 1 - self.discount))
        return solved_batch(layout, goals, task, first=span.start, stop=span.stop)

    def _held(self, goals: Floats | GoalSample, span: slice) -> Batch:
        sums, bound, method = np.zeros((2, self.world.states + len(self.pairs))), 0.0, ""
        size = max(1, HELD // self.world.states)
        for first in range(span.start, span.stop, size):
            stop = min(first + size, span.stop)
            if isinstance(goals, GoalSample):
                part = goals.utilities(self.world.outcomes, first=first, stop=stop)
            else:
                part = goals[:, first:stop]
            each = self.each(part)
            bound, method = max(bound, each.bound), each.method
            sums += each.sums(self.pairs)
        return Batch(sums[0], sums[1], span.stop - span.start, bound, method)

    def each(self, goals: Floats, start: Solution | None = None) -> "_Each":
        """The POWER of every state for each goal alone."""
        world, discount = self.world, self.discount
        reward = goals[world.outcome]
        if discount == 0:
            usable = usable_rows(world, self.available, np.ones(world.states, dtype=np.bool_))
            worth = np.where(usable[:, None], row_matrix(world) @ reward, -np.inf)
            best: Floats = np.maximum.reduceat(worth, world.rows[:-1])
            return _Each(best, ROUNDING * float(abs(goals).max()), "the best next state", start)
        if discount == 1:
            found = average_values(
                world, goals, tolerance=self.tolerance, available=self.available
            ).check()
            return _Each(found.values, float(found.bound.max()), found.method, start)
        found = optimal_values(
            world,
            goals,
            discount=discount,
            tolerance=self.tolerance,
            available=self.available,
            start=start,
        ).check()
        values = (found.values - (1 - discount) * reward) / discount
        return _Each(values, float(found.bound.max()) / discount, found.method, found)


@dataclass(frozen=True, eq=False)
class _Each:
    """POWER for each goal alone."""

    values: Floats  # [S, G]
    bound: float
    method: str
    solution: Solution | None  # to start another discount from

    def sums(self, pairs: npt.NDArray[np.int64]) -> Floats:
        """The sums and the sums of squares over the goals, of states and then of pairs."""
        observed = np.concatenate(
            [self.values, self.values[pairs[:, 0]] - self.values[pairs[:, 1]]]
        )
        return np.stack([observed.sum(axis=1), (observed**2).sum(axis=1)])


def power_sweep(
    world: World,
    discounts: Sequence[float],
    goals: npt.ArrayLike | GoalSample | None = None,
    *,
    available: Bools | None = None,
    tolerance: float = 1e-6,
) -> tuple[Power, ...]:
    """POWER at several discounts over the same goals, each solved from the one before.

    Args:
        world: the world.
        discounts: each in [0, 1]; in order they start each other best.
        goals: as for `power`, held in memory together with their values.
        available: as there.
        tolerance: as there.

    Returns:
        One for each discount, as `power` returns it.

    Raises:
        DiscountError: as for `power`.
        NotSolvedError: as there.
        WorldError: as there.
    """
    given = GoalSample(GOALS) if goals is None else goals
    held = given.utilities(world.outcomes) if isinstance(given, GoalSample) else given
    utilities, start, found = _checked(world, held), None, []
    for discount in discounts:
        asked = _asked(world, discount, (), available, tolerance)
        each = asked.each(utilities, start)
        start = each.solution
        sums = each.sums(asked.pairs)
        parts = [Batch(sums[0], sums[1], utilities.shape[1], each.bound, each.method)]
        found.append(asked.gathered(given if isinstance(given, GoalSample) else utilities, parts))
    return tuple(found)


def _asked(  # noqa: PLR0917 - the arguments of power
    world: World,
    discount: float,
    pairs: Sequence[tuple[int, int]],
    available: Bools | None,
    tolerance: float,
) -> _Asked:
    if not 0 <= discount <= 1:
        raise DiscountError(f"discount must lie in [0, 1], got {discount!r}")
    check_tolerance(tolerance)
    return _Asked(world, discount, tolerance, _checked_pairs(world, pairs), available)


def _checked(world: World, goals: npt.ArrayLike) -> Floats:
    utilities = checked_goals(world, goals)
    if utilities.shape[1] == 0 or not np.isfinite(utilities).all():
        raise WorldError(
            f"goals must be at least one, and finite, got the shape {list(utilities.shape)!r}"
        )
    return utilities


def _spans(states: int, pairs: int) -> tuple[slice, slice]:
    return slice(0, states), slice(states, states + pairs)


def _even(count: int) -> list[slice]:
    return [
        slice(first, min(first + LARGEST_BATCH, count)) for first in range(0, count, LARGEST_BATCH)
    ]


def _growing(count: int) -> Iterator[slice]:
    """Batches whose sizes are fixed beforehand, as a confidence sequence wants them."""
    first, size = 0, FIRST_BATCH
    while first < count:
        yield slice(first, min(first + size, count))
        first += size
        size = min(max(first // 4, FIRST_BATCH), LARGEST_BATCH)


def _checked_pairs(world: World, pairs: Sequence[tuple[int, int]]) -> npt.NDArray[np.int64]:
    array = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    bad = array[((array < 0) | (array >= world.states)).any(axis=1)]
    if len(bad):
        raise WorldError(
            f"pairs must be of states in 0..{world.states - 1}, got {bad[0].tolist()!r}"
        )
    return array
