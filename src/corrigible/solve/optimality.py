"""Optimality probability: for what share of goals an act is part of the best plan.

Axes: K rows of one state, G goals.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.evidence import Estimate, share_estimate
from corrigible.solve.layout import live_states, row_matrix, usable_rows
from corrigible.solve.optimal import ROUNDING, checked_goals, optimal_values
from corrigible.solve.sample import GOALS, MOST_GOALS, GoalSample
from corrigible.solve.sequences import ConfidenceSequence
from corrigible.solve.threads import Progress
from corrigible.world.record import Bools, Floats, Int64s, World

PART = 256  # goals to a batch
NEAR_ONE = 1 - 1e-4  # stands for the limit at discount 1; nearer, rounding hides differences


@dataclass(frozen=True, eq=False)
class Optimality:
    """How often each row of a state is optimal."""

    state: int
    rows: Int64s  # [K], the world's numbers
    actions: tuple[str, ...]  # [K]
    share: tuple[Estimate, ...]  # [K], of goals for which some optimal policy takes the row
    tied: tuple[Estimate, ...]  # [K], of goals for which it is optimal and another row is too
    tolerance: float  # rows whose values differ by no more cannot be told apart: a tie
    n: int
    seed: int | None  # of the goals; None where the caller gave them
    method: str


def optimality_probability(
    world: World,
    goals: npt.ArrayLike | GoalSample | None = None,
    *,
    discount: float,
    state: int | None = None,
    precision: float | None = None,
    available: Bools | None = None,
    tolerance: float = 1e-9,
    progress: Progress | None = None,
) -> Optimality:
    """The share of goals for which an optimal policy takes each row of a state.

    Turner et al. 2021, section 6.  A tie is a tie: rows
    that are equally good are all optimal, so that the shares may add up to more than 1.

    Args:
        world: the world.
        goals: utilities `[O, G]`, or a sample; default: 1,000 uniform ones, or, where a
            `precision` is asked for, as many as it takes.
        discount: in (0, 1]; 1 is the limit, computed at 1 - 1e-4: it differs from the limit for
            the goals alone whose best act still changes above that.
        state: whose rows; default: the initial one.
        precision: stop as soon as the interval of every share is at most this far to both sides
            of its middle; by a confidence sequence, so that stopping early does not cheat.
        available: the rows that may be taken, `[R]`; default all.
        tolerance: of the values, in units of the utilities.  What differs by less than twice
            the bound that comes of it counts as tied; see `Optimality.tolerance`.
        progress: told how many goals are done, and of how many at most.

    Returns:
        For each row of the state that may be taken its share with a 95% interval, by Clopper and
        Pearson for a given number of goals.

    Raises:
        DiscountError: `discount` is not in (0, 1], or `precision` is not positive.
        NotSolvedError: a goal was not solved to the tolerance, or the precision was not reached
            within the sample.
        WorldError: shapes do not match the world, or there is no such state.
    """
    if not 0 < discount <= 1:
        raise DiscountError(
            f"discount must lie in (0, 1], got {discount!r}; for the limit at 0 of a small world "
            "see solve.exact.exact_optimality"
        )
    if precision is not None and not 0 < precision < np.inf:
        raise DiscountError(f"precision must be positive and finite, got {precision!r}")
    own = world.initial if state is None else state
    if not 0 <= own < world.states:
        raise WorldError(f"state must lie in 0..{world.states - 1}, got {own!r}")
    if goals is None:
        goals = GoalSample(GOALS if precision is None else MOST_GOALS)
    if precision is not None and not isinstance(goals, GoalSample):
        raise WorldError("a precision needs goals as a GoalSample, got utilities")
    if not isinstance(goals, GoalSample):
        goals = checked_goals(world, goals)
    rows = np.arange(world.rows[own], world.rows[own + 1])
    mask = None if available is None else np.asarray(available, dtype=np.bool_)
    rows = rows[usable_rows(world, mask, live_states(world, None))[rows]]
    asked = _Asked(world, rows, NEAR_ONE if discount == 1 else discount, tolerance, mask)
    counted = asked.counted(goals, precision, progress)
    return Optimality(
        state=own,
        rows=rows,
        actions=tuple(world.action_names[world.action[row]] for row in rows),
        share=counted.shares,
        tied=tuple(share_estimate(int(tied), counted.n) for tied in counted.tied),
        tolerance=counted.apart,
        n=counted.n,
        seed=goals.seed if isinstance(goals, GoalSample) else None,
        method=counted.method,
    )


@dataclass(frozen=True, eq=False)
class _Counted:
    shares: tuple[Estimate, ...]
    tied: Int64s  # [K]
    n: int
    apart: float
    method: str


@dataclass(frozen=True, eq=False)
class _Asked:
    """One state's rows, at one discount."""

    world: World
    rows: Int64s
    discount: float
    tolerance: float
    available: Bools | None

    def counted(
        self, goals: Floats | GoalSample, precision: float | None, progress: Progress | None
    ) -> _Counted:
        """Count until the goals are used up, or the shares are precise enough."""
        count = goals.count if isinstance(goals, GoalSample) else goals.shape[1]
        best, tied = np.zeros((2, len(self.rows)), dtype=np.int64)
        sequence = ConfidenceSequence(len(self.rows), aim=precision)
        n, apart, method, precise = 0, 0.0, "", precision is None
        for part in self._parts(goals):
            optimal, gap, method = self._optimal(part)
            best += optimal.sum(axis=1)
            tied += (optimal & (optimal.sum(axis=0) > 1)).sum(axis=1)
            n, apart = n + part.shape[1], max(apart, gap)
            hits = optimal.sum(axis=1).astype(np.float64)
            sequence.add(hits, hits, part.shape[1])
            if progress is not None:
                progress(n, count)
            if precision is not None and sequence.width.max() <= precision:
                precise = True
                break
        if not precise:
            raise NotSolvedError(
                f"optimality must be known to {precision:.3g}, got "
                f"{sequence.width.max():.3g} after all {n} goals of the sample; ask for less or "
                "give a larger sample"
            )
        shares = tuple(share_estimate(int(hits), n) for hits in best)
        if precision is not None:
            shares = tuple(
                Estimate(
                    float(np.clip(hits / n, low, high)), low, high, n, "95 % confidence sequence"
                )
                for hits, low, high in zip(best, sequence.lower, sequence.upper, strict=True)
            )
        return _Counted(shares, tied, n, apart, f"Monte Carlo over goals; {method}")

    def _parts(self, goals: Floats | GoalSample) -> Iterator[Floats]:
        count = goals.count if isinstance(goals, GoalSample) else goals.shape[1]
        for first in range(0, count, PART):
            stop = min(first + PART, count)
            if isinstance(goals, GoalSample):
                yield goals.utilities(self.world.outcomes, first=first, stop=stop)
            else:
                yield goals[:, first:stop]

    def _optimal(self, goals: Floats) -> tuple[Bools, float, str]:
        """Which rows are optimal for which goals, `[K, G]`; the difference that counts as none."""
        found = optimal_values(
            self.world,
            goals,
            discount=self.discount,
            tolerance=self.tolerance,
            available=self.available,
        ).check()
        worth = self.discount * (row_matrix(self.world)[self.rows] @ found.values)
        apart = 2 * (self.discount * found.bound + ROUNDING * abs(goals).max(axis=0))
        return worth >= worth.max(axis=0) - apart, float(apart.max(initial=0.0)), found.method
