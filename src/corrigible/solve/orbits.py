"""Orbits: how many of a goal's permutations prefer which act.

The orbit of a goal are the goals that give the same utilities to outcomes in another order
(Turner et al. 2021, section 5).  Axes: S states, O outcomes, N goals of the orbit, K rows compared.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial, prod

import numpy as np
import numpy.typing as npt

from corrigible.errors import WorldError
from corrigible.evidence import Estimate, share_estimate
from corrigible.solve.optimal import ROUNDING, optimal_values
from corrigible.solve.oracle import dense_rows
from corrigible.solve.rational import Number, as_fraction, rational_rows, rational_values
from corrigible.world.record import Bools, Floats, World

MOST_GOALS = 40_320  # 8!
SAMPLED = 10_000
RATIONAL_STATES = 12
MOST_RATIONAL = 2_000
BATCH = 4_096


@dataclass(frozen=True)
class OrbitPreference:
    """For how many goals of an orbit each of some rows is the best one of them."""

    rows: tuple[int, ...]  # [K], the rows compared
    best: tuple[int, ...]  # [K], goals for which that row is strictly better than the others
    tied: tuple[int, ...]  # [K], goals for which it is as good as the best, and not alone
    undecided: int  # goals whose best rows differ by less than the solver's error
    n: int  # goals tried
    whole: bool  # whether these are all distinct goals of the orbit, or a sample
    method: str

    def prefers(self, row: int) -> Estimate:
        """The share of the orbit for which the row is strictly the best, `undecided` in its range.

        The interval of a sample is Clopper and Pearson's; a whole orbit has no sampling error.

        Raises:
            WorldError: the row was not compared.
        """
        return self._share(self.best[self._place(row)])

    def allows(self, row: int) -> Estimate:
        """The share of the orbit for which no other row is better; as `prefers` otherwise.

        Raises:
            WorldError: the row was not compared.
        """
        place = self._place(row)
        return self._share(self.best[place] + self.tied[place])

    def _place(self, row: int) -> int:
        if row not in self.rows:
            raise WorldError(f"row must be one of those compared, {self.rows!r}, got {row!r}")
        return self.rows.index(row)

    def _share(self, surely: int) -> Estimate:
        possibly = surely + self.undecided
        if not self.whole:
            return share_estimate(surely, self.n, possible=possibly)
        low, high = surely / self.n, possibly / self.n
        return Estimate(low, low, high, self.n, self.method)


def orbit_preference(  # noqa: PLR0913 - each option is one of the question's own
    world: World,
    utility: npt.ArrayLike,
    state: int,
    rows: Sequence[int],
    *,
    discount: Number,
    outcomes: Sequence[int] | None = None,
    most: int = MOST_GOALS,
    sampled: int = SAMPLED,
    seed: int = 0,
    tolerance: float = 1e-9,
) -> OrbitPreference:
    """For how many permutations of a utility each row is the best of `rows` in a state.

    A row is preferred only where it is better by more than the certified error of the solver.
    Goals that this leaves open are solved again over fractions where the world has at most
    `RATIONAL_STATES` states, the first `MOST_RATIONAL` of them: that tells true ties.  What then
    is still open counts as `undecided`, never as a preference.

    Args:
        world: the world.
        utility: `[O]`, the goal whose orbit is taken; equal utilities make the orbit smaller.
        state: where the choice is.
        rows: at least two distinct rows of that state.
        discount: per step, in [0, 1).
        outcomes: those whose utilities change places; the others keep theirs.  Default: all.
        most: an orbit of up to this many distinct goals is tried whole.
        sampled: how many permutations are drawn, each independently, from a larger one.
        seed: of that draw.
        tolerance: of the solver, as a share of the largest utility.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: shapes do not match, a row is not one of the state's, or an outcome is
            named twice.
    """
    given = _checked_utility(world, utility)
    compared = _checked_rows(world, state, rows)
    moved = _checked_outcomes(world, outcomes)
    size = _orbit_size(given[moved])
    whole = size <= most
    order = f"{len(moved)}! permutations"
    if whole:
        goals = np.repeat(given[:, None], size, axis=1)
        goals[moved] = np.array(list(_arrangements(given[moved].tolist()))).T
        method = f"all {size} distinct goals of {order}"
    else:
        rng = np.random.default_rng(seed)
        goals = np.repeat(given[:, None], sampled, axis=1)
        goals[moved] = rng.permuted(goals[moved], axis=0)
        method = f"{sampled} of {order}, seed {seed}"
    top = _top_rows(world, goals, compared, (discount, tolerance * max(abs(given).max(), 1e-300)))
    alone = top.sum(axis=0) == 1
    best = (top & alone).sum(axis=1)
    tied = np.zeros(len(compared), dtype=np.int64)
    left = np.flatnonzero(~alone)
    solved = left[:MOST_RATIONAL] if world.states <= RATIONAL_STATES else left[:0]
    for goal in solved.tolist():
        equals = _rational_best(world, goals[:, goal], compared, discount)
        (best if len(equals) == 1 else tied)[equals] += 1
    return OrbitPreference(
        rows=tuple(compared),
        best=tuple(best.tolist()),
        tied=tuple(tied.tolist()),
        undecided=len(left) - len(solved),
        n=goals.shape[1],
        whole=whole,
        method=method,
    )


def _top_rows(
    world: World, goals: Floats, rows: Sequence[int], terms: tuple[Number, float]
) -> Bools:
    """Which rows may be the best of them for each goal, `[K, N]`: one alone where it is sure."""
    discount, tolerance = float(as_fraction(terms[0])), terms[1]
    moves = dense_rows(world)[list(rows)]  # [K, S]
    top = np.empty((len(rows), goals.shape[1]), dtype=np.bool_)
    for start in range(0, goals.shape[1], BATCH):
        part = goals[:, start : start + BATCH]
        solution = optimal_values(world, part, discount=discount, tolerance=tolerance)
        worth = moves @ solution.values
        slack = 2 * (solution.bound + ROUNDING * np.abs(part).max(axis=0))
        top[:, start : start + BATCH] = worth >= worth.max(axis=0) - slack
    return top


def _rational_best(world: World, goal: Floats, rows: Sequence[int], discount: Number) -> list[int]:
    """The places of the rows that are the best of them, over fractions."""
    values = rational_values(world, goal[:, None], discount=discount).values
    moves = rational_rows(world)
    worth = [sum(p * values[s][0] for s, p in moves[row].items()) for row in rows]
    return [place for place, each in enumerate(worth) if each == max(worth)]


def _orbit_size(values: Floats) -> int:
    repeated = Counter(values.tolist()).values()
    return factorial(len(values)) // prod(map(factorial, repeated))


def _arrangements(values: Sequence[float]) -> Iterator[list[float]]:
    """Every distinct order of the values, each once."""
    counts = sorted(Counter(values).items())

    def filled(line: list[float], free: tuple[int, ...], number: int) -> Iterator[list[float]]:
        if number == len(counts):
            yield line.copy()
            return
        value, count = counts[number]
        for places in combinations(free, count):
            for place in places:
                line[place] = value
            rest = tuple(place for place in free if place not in places)
            yield from filled(line, rest, number + 1)

    return filled([0.0] * len(values), tuple(range(len(values))), 0)


def _checked_utility(world: World, utility: npt.ArrayLike) -> Floats:
    given = np.asarray(utility, dtype=np.float64)
    if given.shape != (world.outcomes,) or not np.isfinite(given).all():
        raise WorldError(
            f"utility must be {world.outcomes} finite numbers, one for each outcome, got "
            f"{given.tolist()!r}"
        )
    return given


def _checked_rows(world: World, state: int, rows: Sequence[int]) -> list[int]:
    if not 0 <= state < world.states:
        raise WorldError(f"state must lie in 0..{world.states - 1}, got {state!r}")
    span = range(int(world.rows[state]), int(world.rows[state + 1]))
    compared = [int(row) for row in rows]
    if len(set(compared)) != len(compared) or len(compared) < 2:  # noqa: PLR2004 - to compare
        raise WorldError(f"rows must be at least two distinct ones, got {compared!r}")
    if not set(compared) <= set(span):
        raise WorldError(
            f"rows must be among {span.start}..{span.stop - 1}, those of state {state}, "
            f"got {compared!r}"
        )
    return compared


def _checked_outcomes(world: World, outcomes: Sequence[int] | None) -> list[int]:
    moved = list(range(world.outcomes)) if outcomes is None else [int(o) for o in outcomes]
    if len(set(moved)) != len(moved) or not set(moved) <= set(range(world.outcomes)) or not moved:
        raise WorldError(
            f"outcomes must be distinct ones of 0..{world.outcomes - 1}, got {moved!r}"
        )
    return moved
