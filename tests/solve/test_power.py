"""POWER: exact and printed values, its limits and laws, and how many goals it takes."""

from fractions import Fraction

import numpy as np
import pytest
from small_worlds import (
    FIGURE_ONE,
    downhill,
    figure_one,
    garnet,
    grid,
    random_mask,
    random_world,
    sure_moves,
)

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.average import average_values
from corrigible.solve.exact import exact_power
from corrigible.solve.power import power, power_sweep
from corrigible.solve.sample import GoalSample

DISCOUNTS = ["0", "1/10", "1/2", "9/10", "99/100", "999/1000", "1"]
ROUNDING = 1e-12  # of sums over thousands of numbers in [0, 1]
STAR, DOWN, LEFT, RIGHT = (FIGURE_ONE[key] for key in ("star", "null", "lDL", "rDR"))


def half_width(found):
    return (found.high - found.low) / 2


def assert_within(found, exact, times=3):
    """Three half-widths: a sound estimate falls outside for one seed in 240 million."""
    assert (abs(found.mean - exact) <= times * half_width(found)).all()


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_every_state_of_figure_one_has_its_exact_power(discount):
    world = figure_one()
    exact = [float(exact_power(world, s, discount=discount)) for s in range(world.states)]
    found = power(world, GoalSample(8000), discount=float(Fraction(discount)))
    assert_within(found, np.array(exact))
    assert (half_width(found) < 1e-2).all()
    assert (found.n, found.seed) == (8000, 0)


@pytest.mark.parametrize(
    ("state", "printed"),
    [
        (DOWN, lambda _: 1 / 2),
        (LEFT, lambda d: (2 / 3 + d / 2) / (1 + d)),
        (RIGHT, lambda _: 2 / 3),
    ],
)
@pytest.mark.parametrize("discount", [0.0, 0.25, 0.75, 0.95, 1.0])
def test_power_has_the_printed_values(discount, state, printed):
    """Turner et al. 2021, below figure 1 and in its caption."""
    found = power(figure_one(), GoalSample(8000, 1), discount=discount)
    assert abs(found.mean[state] - printed(discount)) <= 3 * half_width(found)[state]


def test_a_three_by_three_grid_has_the_published_power():
    """Gladstone AI's POWERplay, part 1, figure 1: read off the figure, so within 0.003."""
    found = power(grid(3, 3), GoalSample(50_000), discount=0.6)
    printed = np.array([[0.805, 0.835, 0.805], [0.836, 0.862, 0.836], [0.807, 0.837, 0.806]])
    assert abs(found.mean.reshape(3, 3) - printed).max() <= 0.003
    assert (half_width(found) < 0.003).all()


def test_states_of_a_grid_that_mirror_each_other_have_power_that_may_be_equal():
    pairs = [(0, corner) for corner in (2, 6, 8)] + [(1, edge) for edge in (3, 5, 7)]
    found = power(grid(3, 3), GoalSample(5000), discount=0.6, pairs=pairs)
    half = (found.difference_high - found.difference_low) / 2
    assert (abs(found.difference) <= 3 * half).all()


def test_at_discount_zero_power_counts_the_next_states():
    """E max of d + 1 uniform utilities: (d + 1) / (d + 2)."""
    found = power(grid(3, 3), GoalSample(20_000), discount=0.0)
    neighbours = np.array([2, 3, 2, 3, 4, 3, 2, 3, 2])
    assert_within(found, (neighbours + 1) / (neighbours + 2))


@pytest.mark.parametrize("world", [figure_one(), garnet(1), grid(3, 3)])
def test_at_discount_zero_power_is_the_best_next_utility(world):
    goals = np.random.default_rng(2).random((world.outcomes, 50))
    found = power(world, goals, discount=0.0)
    near = power(world, goals, discount=1e-4, tolerance=1e-10)
    assert abs(found.mean - near.mean).max() <= 2e-4  # POWER moves by at most the spread times d


def test_at_discount_one_power_is_the_best_average():
    world, sample = figure_one(), GoalSample(3000)
    found = power(world, sample, discount=1.0)
    averages = average_values(world, sample).check()
    assert abs(found.mean - averages.values.mean(axis=1)).max() <= averages.bound.max() + ROUNDING


@pytest.mark.parametrize("world", [figure_one(), grid(3, 3), sure_moves([[0, 1], [0, 1]])])
def test_at_discount_one_power_is_the_limit(world):
    """Proposition 5.3's limits; POWER is smooth there, so that 1e-5 below it is as near."""
    goals = np.random.default_rng(3).random((world.outcomes, 100))
    limit = power(world, goals, discount=1.0)
    near = power(world, goals, discount=1 - 1e-5)
    assert abs(limit.mean - near.mean).max() <= 1e-5 * 2 * world.states


@pytest.mark.parametrize("world", [figure_one(), garnet(4), downhill(4), grid(3, 3, slip=0.2)])
@pytest.mark.parametrize("discount", [0.0, 0.3, 0.95, 1.0])
def test_power_is_at_most_the_best_of_all_utilities(discount, world):
    """Turner et al. 2021, proposition 5.4; it holds for each goal, so for any sample of them."""
    sample = GoalSample(500)
    best = sample.utilities(world.outcomes).max(axis=0).mean()
    assert (power(world, sample, discount=discount).mean <= best + 1e-6 / max(discount, 0.1)).all()


@pytest.mark.parametrize("discount", [0.0, 0.3, 0.95, 1.0])
def test_power_is_largest_where_every_state_is_one_step_away(discount):
    world, sample = sure_moves([range(5)] * 5), GoalSample(500)
    found = power(world, sample, discount=discount)
    best = sample.utilities(5).max(axis=0).mean()
    assert abs(found.mean - best).max() <= 1e-6 / max(discount, 0.1)
    assert_within(found, 5 / 6)


@pytest.mark.parametrize("discount", [0.0, 0.3, 0.9, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_neighbours_who_reach_each_other_have_power_that_is_near(seed, discount):
    """Turner et al. 2021, proposition 5.5; it holds for each goal, so for any sample of them."""
    rng = np.random.default_rng(seed)
    ways = [rng.choice(6, size=2, replace=False).tolist() for _ in range(6)]
    world = sure_moves([sorted({*to, 1 - s}) if s < 2 else to for s, to in enumerate(ways)])
    found = power(world, GoalSample(500, seed), discount=discount, pairs=[(0, 1)])
    assert abs(found.difference[0]) <= 1 - discount + 2e-6 / max(discount, 0.1)


@pytest.mark.parametrize("discount", ["0", "1/2", "9/10", "1"])
def test_pairs_have_the_exact_difference_and_tighter_intervals(discount):
    world, pairs = figure_one(), [(RIGHT, LEFT), (STAR, RIGHT)]
    exact = [exact_power(world, s, discount=discount) for s in range(world.states)]
    true = np.array([float(exact[a] - exact[b]) for a, b in pairs])
    found = power(world, GoalSample(5000), discount=float(Fraction(discount)), pairs=pairs)
    half, apart = (found.difference_high - found.difference_low) / 2, half_width(found)
    assert (abs(found.difference - true) <= 3 * half).all()
    assert half[1] < apart[STAR] + apart[RIGHT]
    assert found.pairs.tolist() == [list(pair) for pair in pairs]


def test_neighbours_on_a_grid_are_told_apart_by_their_pair_alone():
    """Their POWER goes up and down together: intervals side by side overlap for long."""
    found = power(grid(4, 4), GoalSample(150), discount=0.95, pairs=[(5, 0)])
    assert found.low[5] < found.high[0]
    assert found.difference_low[0] > 0
    assert found.difference == pytest.approx(found.mean[5] - found.mean[0], abs=1e-5)


def test_the_solvers_own_bound_is_counted_twice_in_a_difference():
    """Goals that do not differ leave no spread: what is left of an interval is the bound."""
    world = grid(6, 6, stay=False, slip=0.1)
    goals = np.repeat(np.random.default_rng(6).random((36, 1)), 16, axis=1)
    found = power(world, goals, discount=0.99, pairs=[(0, 1)], tolerance=1e-2)
    own, apart = found.high - found.low, found.difference_high - found.difference_low
    assert own.min() > 1e-15
    assert apart[0] >= (own[0] + own[1]) * (1 - 1e-3) - 1e-7


def test_sampled_and_given_goals_have_one_power():
    world, sample = garnet(5), GoalSample(700, 5)
    drawn = power(world, sample, discount=0.9)
    held = power(world, sample.utilities(world.outcomes), discount=0.9)
    assert abs(drawn.mean - held.mean).max() <= 2 * 1e-6 / 0.9
    assert abs(half_width(drawn) - half_width(held)).max() <= 1e-5
    assert (drawn.seed, held.seed) == (5, None)


def test_without_goals_a_thousand_are_drawn():
    found = power(figure_one(), discount=0.5)
    assert (found.n, found.seed) == (1000, 0)
    assert (found.mean == power(figure_one(), GoalSample(1000), discount=0.5).mean).all()


@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
def test_a_precision_is_kept_and_stops_early(discount):
    world, pairs = figure_one(), [(RIGHT, LEFT)]
    found = power(world, discount=discount, precision=0.05, pairs=pairs)
    assert (half_width(found) <= 0.05).all()
    assert ((found.difference_high - found.difference_low) / 2 <= 0.05).all()
    assert found.n < 20_000
    exact = [float(exact_power(world, s, discount=discount)) for s in range(world.states)]
    assert ((found.low <= exact) & (exact <= found.high)).all()


def test_utilities_of_another_range_stop_at_a_precision_of_their_own():
    wide = GoalSample(10**6, quantile=lambda u: 100 * u - 50, bounds=(-50, 50))
    unit = power(figure_one(), GoalSample(10**6), discount=0.5, precision=0.05)
    found = power(figure_one(), wide, discount=0.5, precision=5.0)
    assert found.n == unit.n
    assert found.mean == pytest.approx(100 * unit.mean - 50, abs=1e-3)


def test_a_precision_out_of_reach_is_said():
    with pytest.raises(NotSolvedError, match=r"known to 0.001, got 0.\d+ after all 300 goals"):
        power(figure_one(), GoalSample(300), discount=0.5, precision=1e-3)


@pytest.mark.parametrize(
    "goals", [np.ones((8, 5)), GoalSample(5, quantile=lambda u: u)], ids=["given", "without bounds"]
)
def test_a_precision_needs_a_sample_with_bounds(goals):
    with pytest.raises(WorldError, match=r"a precision needs goals as a GoalSample with bounds"):
        power(figure_one(), goals, discount=0.5, precision=0.1)


def test_one_goal_has_no_interval():
    found = power(figure_one(), GoalSample(1), discount=0.9)
    assert found.n == 1
    assert np.isinf(found.high - found.low).all()


def test_fewer_rows_leave_less_power():
    world, sample = random_world(6), GoalSample(200)
    mask = random_mask(world, 6)
    for discount in (0.0, 0.9, 1.0):
        more = power(world, sample, discount=discount)
        less = power(world, sample, discount=discount, available=mask)
        assert (less.mean <= more.mean + 3e-6).all()


@pytest.mark.parametrize("options", [{}, {"precision": 0.1}, {"pairs": [(0, 1)]}])
def test_progress_is_told(options):
    told = []
    found = power(
        figure_one(),
        GoalSample(20_000),
        discount=0.5,
        progress=lambda *pair: told.append(pair),
        **options,
    )
    assert told == sorted(told)
    assert told[-1] == (found.n, 20_000)


def test_a_sweep_equals_power_at_each_discount():
    world, sample = figure_one(), GoalSample(500, 7)
    discounts = [0.0, 0.1, 0.9, 0.99, 1.0, 0.5]
    for discount, swept in zip(discounts, power_sweep(world, discounts, sample), strict=True):
        single = power(world, sample, discount=discount)
        off = 2 * 1e-6 / max(discount, 0.1) + ROUNDING
        assert abs(swept.mean - single.mean).max() <= off
        assert abs(swept.high - single.high).max() <= 10 * off
        assert (swept.n, swept.seed) == (500, 7)


def test_a_sweep_of_no_discounts_is_empty():
    assert power_sweep(figure_one(), []) == ()


@pytest.mark.parametrize("discount", [-0.1, 1.1, float("nan")])
def test_a_discount_out_of_range_is_refused(discount):
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\], got"):
        power(figure_one(), discount=discount)
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\], got"):
        power_sweep(figure_one(), [discount])


@pytest.mark.parametrize(
    "options", [{"tolerance": 0}, {"tolerance": np.inf}, {"precision": 0}, {"precision": np.nan}]
)
def test_tolerance_and_precision_must_be_positive(options):
    with pytest.raises(DiscountError, match="must be positive and finite, got"):
        power(figure_one(), discount=0.5, **options)


@pytest.mark.parametrize("pair", [(0, 8), (-1, 0)])
def test_pairs_of_other_states_are_refused(pair):
    with pytest.raises(WorldError, match=r"pairs must be of states in 0\.\.7, got"):
        power(figure_one(), discount=0.5, pairs=[pair])


def test_no_goals_are_refused():
    with pytest.raises(WorldError, match=r"at least one, and finite, got the shape \[8, 0\]"):
        power(figure_one(), np.zeros((8, 0)), discount=0.5)
