"""Samples of goals, and moments over them that are summed without keeping any."""

import numpy as np
import pytest
from scipy import stats
from small_worlds import figure_one, garnet, grid, random_mask, random_world

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve import batch, threads
from corrigible.solve.batch import Method, Task
from corrigible.solve.layout import world_layout
from corrigible.solve.moments import batches, gathered, solved_batch, value_moments
from corrigible.solve.optimal import optimal_values
from corrigible.solve.sample import GoalSample

EPS = float(np.finfo(np.float64).eps)
METHODS = [method.value for method in Method]
FAIR = 1e-6  # the least chance of a sound sample's statistic; seeds are fixed, so none is redrawn


def coin(u):
    """Bernoulli with chance 0.3."""
    return (u < 0.3).astype(float)


def beta(u):
    return stats.beta(2, 5).ppf(u)


QUANTILES = {"uniform": None, "coin": coin, "beta": beta}


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_utilities_look_uniform(seed):
    drawn = GoalSample(20_000, seed).utilities(5)
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert min(stats.kstest(line, "uniform").pvalue for line in drawn) > FAIR
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > FAIR


def test_utilities_of_outcomes_goals_and_seeds_are_uncorrelated():
    """A correlation of n independent pairs is within 5 / sqrt(n) but for one in 1.7 million."""
    one, other = (GoalSample(20_000, seed).utilities(6) for seed in (3, 4))
    rows = np.vstack([one, other, np.roll(one[:1], 1, axis=1)])
    between = np.corrcoef(rows)
    assert abs(between[~np.eye(len(rows), dtype=bool)]).max() < 5 / np.sqrt(20_000)


def test_pairs_of_successive_goals_fill_the_square_evenly():
    line = GoalSample(40_000, 5).utilities(1)[0]
    counts = np.histogram2d(line[:-1:2], line[1::2], bins=10, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(counts.ravel()).pvalue > FAIR


def test_a_longer_sample_begins_with_the_shorter_one():
    assert (GoalSample(50, 6).utilities(4)[:, :20] == GoalSample(20, 6).utilities(4)).all()
    assert (GoalSample(50, 6).utilities(4)[:3] == GoalSample(50, 6).utilities(3)).all()
    assert (
        GoalSample(50, 6).utilities(4, first=7, stop=9) == GoalSample(9, 6).utilities(4)[:, 7:]
    ).all()


@pytest.mark.parametrize(("quantile", "mean"), [(coin, 0.3), (beta, 2 / 7)])
def test_a_quantile_turns_uniform_draws_into_its_distribution(quantile, mean):
    drawn = GoalSample(20_000, 7, quantile=quantile).utilities(3)
    assert (drawn == quantile(GoalSample(20_000, 7).utilities(3))).all()
    assert abs(drawn.mean() - mean) <= 5 * drawn.std() / np.sqrt(drawn.size)


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (-1, 0), (2**62, 0), (1, -1), (1, 2**64)])
def test_a_sample_out_of_range_is_refused(count, seed):
    with pytest.raises(WorldError, match=r"count must be|seed must lie"):
        GoalSample(count, seed)


def test_a_quantile_must_keep_the_shape():
    sample = GoalSample(5, quantile=lambda u: u[0])
    with pytest.raises(WorldError, match=r"quantile must keep the shape \[3, 5\], got \[5\]"):
        sample.utilities(3)


@pytest.mark.parametrize("first", [0, 1, 31, 32, 1000, 2**40])
def test_the_kernel_draws_just_what_numpy_draws(first):
    """One goal at discount 0 is worth its own utility: the sum is the draw, bit for bit."""
    world, sample = figure_one(), GoalSample(2**41, 8)
    layout = world_layout(world, discount=0.0, available=None, boundary=None)
    found = solved_batch(
        layout, sample, Task(1e-6, scaling=(1.0, 0.0)), first=first, stop=first + 1
    )
    drawn = sample.utilities(world.outcomes, first=first, stop=first + 1)
    assert (found.total == drawn[:, 0]).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("quantile", QUANTILES)
@pytest.mark.parametrize("count", [2, 33, 500])
def test_moments_are_those_of_the_values(count, quantile, method):
    world, sample = grid(3, 3), GoalSample(count, 9, quantile=QUANTILES[quantile])
    found = value_moments(world, sample, discount=0.9, method=method)
    values = optimal_values(world, sample, discount=0.9, method=method)
    off, rounding = found.bound + values.bound.max(), 4 * count * EPS
    assert abs(found.mean - values.values.mean(axis=1)).max() <= off + rounding
    spread = 4 * off * count / (count - 1) + rounding  # of squares of numbers in [0, 1]
    assert abs(found.variance - values.values.var(axis=1, ddof=1)).max() <= spread
    assert (found.n, found.seed) == (count, 9)


def test_moments_keep_to_the_available_rows():
    world, sample = random_world(10), GoalSample(100, 10)
    mask = random_mask(world, 10)
    found = value_moments(world, sample, discount=0.9, available=mask)
    values = optimal_values(world, sample, discount=0.9, available=mask).values
    assert abs(found.mean - values.mean(axis=1)).max() <= 2e-6


def test_one_goal_has_a_mean_and_no_variance():
    found = value_moments(figure_one(), GoalSample(1), discount=0.5)
    assert np.isfinite(found.mean).all()
    assert np.isnan(found.variance).all()


def test_batches_add_up_to_the_whole():
    layout = world_layout(garnet(11), discount=0.9, available=None, boundary=None)
    sample, task = GoalSample(333, 11), Task(1e-9, scaling=(1.0, 0.0))
    parts = gathered(list(batches(layout, sample, task, size=50)), 11)
    whole = gathered([solved_batch(layout, sample, task)], 11)
    assert parts.n == whole.n == 333
    assert abs(parts.mean - whole.mean).max() <= parts.bound + whole.bound + 333 * EPS


@pytest.mark.parametrize("method", METHODS)
def test_moments_depend_on_the_number_of_threads_by_rounding_alone(monkeypatch, method):
    """Sums of n numbers in [0, 1], in another order, differ by n roundings each at most."""
    found, sample = [], GoalSample(2000, 12)
    for count in (1, 2, 7):
        monkeypatch.setattr(threads, "thread_count", lambda count=count: count)
        found.append(value_moments(grid(8, 8), sample, discount=0.9, method=method))
    for other in found[1:]:
        assert abs(other.mean - found[0].mean).max() <= 2 * 2000 * EPS
        assert other.bound == found[0].bound


@pytest.mark.parametrize("count", [1, 200])
def test_progress_counts_up_to_all_goals(count):
    told = []
    value_moments(
        garnet(13), GoalSample(count), discount=0.9, progress=lambda *pair: told.append(pair)
    )
    assert told == sorted(told)
    assert told[-1] == (count, count)


def test_moments_of_goals_that_are_not_solved_are_refused(monkeypatch):
    monkeypatch.setattr(batch, "MAX_SWEEPS", 2)
    monkeypatch.setattr(batch, "MAX_ROUNDS", 1)
    with pytest.raises(NotSolvedError, match=r"goals 0 to 40 must be solved to 1e-06, got a bound"):
        value_moments(garnet(14), GoalSample(40), discount=0.99, method="sweeps")


def test_moments_of_utilities_that_are_not_finite_are_refused():
    sample = GoalSample(40, quantile=lambda u: np.where(u < 0.5, np.inf, u))
    with pytest.raises(WorldError, match="every utility must be finite, got inf from the quantile"):
        value_moments(garnet(15), sample, discount=0.9)


@pytest.mark.parametrize("options", [{"discount": 1.0}, {"discount": 0.5, "tolerance": 0.0}])
def test_moments_need_a_discount_below_one_and_a_tolerance(options):
    with pytest.raises(DiscountError, match=r"must lie in \[0, 1\)|must be positive"):
        value_moments(garnet(16), GoalSample(4), **options)
