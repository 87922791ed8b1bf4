"""Confidence sequences: they cover however often one looks, and normal intervals do at the end."""

import numpy as np
import pytest
from scipy import stats
from small_worlds import FIGURE_ONE, figure_one

from corrigible.errors import WorldError
from corrigible.solve.power import power
from corrigible.solve.sample import GoalSample
from corrigible.solve.sequences import ConfidenceSequence

LEVEL = 1e-4  # of the binomial tests: how often a sound method would fail one, for a random seed
BATCHES = [1, 2, 7, 32, 128, 128, 256, 512, 1024]


def uniform(rng, shape):
    return rng.random(shape), 1 / 2


def rare(rng, shape):
    """Bernoulli with chance 1/50: empirical variances start far too low."""
    return (rng.random(shape) < 1 / 50).astype(float), 1 / 50


def skewed(rng, shape):
    return rng.beta(0.2, 2, shape), 0.2 / 2.2


def coin(rng, shape):
    return rng.integers(0, 2, shape).astype(float), 1 / 2


DATA = [uniform, rare, skewed, coin]


def name(function):
    return function.__name__


def followed(draw, runs, sizes, *, seed, low=0.0, high=1.0):
    """Runs side by side, looked at after every batch: which never missed, and the sequence."""
    rng, sequence = np.random.default_rng(seed), ConfidenceSequence(runs, low, high)
    held, mean = np.ones(runs, dtype=bool), np.nan
    for size in sizes:
        unit, unit_mean = draw(rng, (runs, size))
        seen, mean = low + (high - low) * unit, low + (high - low) * unit_mean
        sequence.add(seen.sum(axis=1), (seen**2).sum(axis=1), size)
        held &= (sequence.lower <= mean) & (mean <= sequence.upper)
    return held, sequence


def assert_error_at_most(missed, runs, error):
    """The exact binomial test finds nothing against a chance to miss of at most `error`."""
    assert stats.binomtest(int(missed), runs, error, alternative="greater").pvalue > LEVEL


@pytest.mark.parametrize("draw", DATA, ids=name)
def test_limits_hold_after_every_batch_together(draw):
    held, _ = followed(draw, 1000, BATCHES, seed=1)
    assert_error_at_most((~held).sum(), 1000, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 5.0)])
@pytest.mark.parametrize("draw", DATA, ids=name)
def test_limits_hold_when_looked_at_after_every_single_observation(draw, bounds):
    held, _ = followed(draw, 5000, [1] * 2000, seed=2, low=bounds[0], high=bounds[1])
    assert_error_at_most((~held).sum(), 5000, 0.05)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [[1] * 4096, [64] * 64, [4096], BATCHES], ids=len)
@pytest.mark.parametrize("draw", DATA, ids=name)
def test_however_batches_are_cut_the_limits_hold(draw, sizes):
    held, _ = followed(draw, 2000, sizes, seed=3)
    assert_error_at_most((~held).sum(), 2000, 0.05)


def test_stopping_when_it_looks_best_does_not_cheat():
    """Each run stops at its first batch whose interval leaves out the mean, if there is one."""
    held, sequence = followed(coin, 2000, [8] * 100, seed=4)
    assert_error_at_most((~held).sum(), 2000, 0.05)
    assert (sequence.lower[held] <= sequence.upper[held]).all()


@pytest.mark.parametrize("value", [0.0, 0.25, 1 / 3, 1.0])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-2.0, 1.0), (1e6, 1e6 + 1)])
def test_limits_of_data_that_never_change_close_in_on_them(value, bounds):
    low, high = bounds
    level, sequence = low + value * (high - low), ConfidenceSequence(1, low, high)
    for size in [1, 10, 100, 1000, 10_000, 100_000]:
        sequence.add(np.array([level * size]), np.array([level**2 * size]), size)
        assert low <= sequence.lower[0] <= level <= sequence.upper[0] <= high
    assert sequence.width[0] < 0.01 * (high - low)


def test_limits_only_close_in():
    rng, sequence = np.random.default_rng(5), ConfidenceSequence(4)
    for size in BATCHES:
        before = sequence.lower, sequence.upper
        seen = rng.random((4, size))
        sequence.add(seen.sum(axis=1), (seen**2).sum(axis=1), size)
        assert (sequence.lower >= before[0]).all()
        assert (sequence.upper <= before[1]).all()
    assert sequence.n == sum(BATCHES)


def test_limits_are_those_of_the_theorem():
    """Waudby-Smith and Ramdas 2024, theorem 2, one observation after the other, batches of 3.

    Each batch's bet and mean are written out from what was seen before it alone.
    """
    seen, sequence = np.random.default_rng(7).random((200, 3)), ConfidenceSequence(1)
    bets, won, paid, lower, upper = 0.0, 0.0, 0.0, 0.0, 1.0
    spread, past = 0.25, np.array([0.5])
    for n, batch in enumerate(seen, 1):
        variance, mean = spread / len(past), past.mean()
        bet = min(0.5, np.sqrt(2 * np.log(40) / (variance * 3 * n * np.log(1 + 3 * n))))
        bets, won = bets + 3 * bet, won + bet * batch.sum()
        paid += sum((x - mean) ** 2 * (-np.log(1 - bet) - bet) for x in batch)
        reach = (np.log(40) + paid) / bets
        lower, upper = max(lower, won / bets - reach), min(upper, won / bets + reach)
        spread += sum((x - mean) ** 2 for x in batch)
        past = np.append(past, batch)
        sequence.add(batch.sum(keepdims=True), (batch**2).sum(keepdims=True), 3)
    assert [sequence.lower[0], sequence.upper[0]] == pytest.approx([lower, upper], abs=1e-12)
    assert 0 < lower < upper < 1


def test_little_spread_needs_few_observations():
    """The width follows the spread: that of Hoeffding's would not."""
    rng = np.random.default_rng(6)
    wide, narrow = ConfidenceSequence(1), ConfidenceSequence(1)
    for size in [128] * 50:
        for sequence, spread in ((wide, 1.0), (narrow, 0.05)):
            seen = 0.5 + spread * (rng.random((1, size)) - 0.5)
            sequence.add(seen.sum(axis=1), (seen**2).sum(axis=1), size)
    assert narrow.width[0] < wide.width[0] / 4


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (1.0, 0.0), (0.0, np.inf), (np.nan, 1.0)])
def test_bounds_must_be_finite_and_in_order(bounds):
    with pytest.raises(WorldError, match="the lower below the higher, got"):
        ConfidenceSequence(1, *bounds)


@pytest.mark.parametrize("error", [0.0, 1.0, -0.1, np.nan])
def test_an_error_out_of_range_is_refused(error):
    with pytest.raises(WorldError, match=r"error must lie in \(0, 1\), got"):
        ConfidenceSequence(1, error=error)


def test_normal_intervals_cover_about_as_often_as_they_say():
    """By the normal theory 95%; skewness takes less than one percent of it at 200 goals."""
    world, at, runs = figure_one(), FIGURE_ONE["rDR"], 400
    covered = 0
    for seed in range(runs):
        found = power(world, GoalSample(200, seed), discount=0.5)
        covered += bool(found.low[at] <= 2 / 3 <= found.high[at])
    assert_error_at_most(runs - covered, runs, 0.06)
    assert stats.binomtest(covered, runs, 0.96, alternative="greater").pvalue > LEVEL


@pytest.mark.slow
def test_intervals_that_stop_when_precise_cover():
    """POWER of a state of figure 1, stopped at a precision that some seeds reach sooner."""
    world, at, runs = figure_one(), FIGURE_ONE["rDR"], 500
    missed = 0
    for seed in range(runs):
        found = power(world, GoalSample(10**6, seed), discount=0.5, precision=0.04)
        missed += not found.low[at] <= 2 / 3 <= found.high[at]
    assert_error_at_most(missed, runs, 0.05)
