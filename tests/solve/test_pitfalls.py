"""What other solvers of many goals get wrong: see docs and the benchmarks for who does."""

from fractions import Fraction

import numpy as np
import pytest
from small_worlds import downhill, dyadic_world, figure_one, garnet, grid, sure_moves

from corrigible.errors import NotSolvedError, WorldError
from corrigible.solve import batch
from corrigible.solve.batch import Task, sweep_goals
from corrigible.solve.layout import world_layout
from corrigible.solve.optimal import Solution, Status, optimal_values
from corrigible.solve.oracle import exact_values
from corrigible.solve.power import power, power_sweep
from corrigible.solve.rational import rational_values
from corrigible.solve.sample import GoalSample
from corrigible.world.record import world_from_arrays, world_from_rows

EPS = float(np.finfo(np.float64).eps)


def drawn_goals(world, seed=0, count=5):
    return np.random.default_rng(seed).random((world.outcomes, count))


def oracle_error(world, discount):
    """Of a dense solve, its condition at most 2 / (1 - d), and of policies that all but tie."""
    return (1e-13 + 8 * world.states * EPS) / (1 - discount)


def assert_right(world, goals, *, discount, **options: object):
    solution = optimal_values(world, goals, discount=discount, **options).check()
    off = abs(solution.values - exact_values(world, goals, discount=discount)).max(axis=0)
    scale = abs(goals).max(axis=0)
    assert (off <= solution.bound + scale * oracle_error(world, discount)).all()
    return solution


def assert_right_in_fractions(world, goals, solution, *, discount):
    exact = rational_values(world, goals, discount=Fraction(discount)).values
    for found, truth in zip(solution.values, exact, strict=True):
        for value, fraction, bound in zip(found, truth, solution.bound, strict=True):
            assert abs(Fraction(float(value)) - fraction) <= Fraction(float(bound))


def test_a_long_horizon_is_not_solved_to_a_relative_tolerance():
    """Stopping once values change by 1e-4 of themselves leaves an error of 0.96 on 100 states."""
    world = grid(8, 8)
    assert (assert_right(world, drawn_goals(world), discount=0.99).bound <= 1e-6).all()


@pytest.mark.parametrize("method", ["any", "span"])
def test_stopping_at_a_small_span_is_corrected(method):
    """Without the correction values are off by up to 1 / (1 - d) times what a sweep changes."""
    world = garnet(1, states=60, acts=4, branch=6)
    assert (
        assert_right(world, drawn_goals(world), discount=0.99, method=method).bound < 1e-6
    ).all()


@pytest.mark.parametrize("discount", [0.99, 0.999, 0.9999])
def test_storing_float32_does_not_stop_the_sweeps_early(discount):
    """Sweeps in float32 rest 290 times above their tolerance, and say that they converged."""
    world = grid(6, 5, stay=False, slip=0.1)
    solution = assert_right(world, drawn_goals(world), discount=discount, storage=np.float32)
    assert (solution.bound <= 1e-6 + 2.0**-23).all()


def test_storing_float32_does_not_excuse_sweeps_that_ran_out(monkeypatch):
    monkeypatch.setattr(batch, "MAX_SWEEPS", 2)
    monkeypatch.setattr(batch, "MAX_ROUNDS", 1)
    world = grid(6, 5, stay=False, slip=0.1)
    options = {"discount": 0.9999, "method": "sweeps", "storage": np.float32}
    solution = optimal_values(world, drawn_goals(world), **options)
    assert (solution.bound > 1e-6 + 2.0**-22).all()
    assert set(solution.status) == {Status.SWEEPS_EXHAUSTED}


@pytest.mark.parametrize("discount", [0.5, 0.99, 0.9999])
def test_a_two_cycle_swings_for_ever_and_is_solved(discount):
    """V = (u0 + d u1) / (1 + d), normalised; plain iteration swings about it."""
    solution = optimal_values(sure_moves([[1], [0]]), [[1.0], [0.0]], discount=discount).check()
    exact = np.array([1, discount]) / (1 + discount)
    assert abs(solution.values[:, 0] - exact).max() <= solution.bound[0]


def test_states_that_nothing_leads_to_are_solved_too():
    world = sure_moves([[1], [0, 1], [0, 2], [2, 4], [3]])
    assert_right(world, drawn_goals(world), discount=0.95)


def test_absorbing_states_are_worth_their_utility():
    world, discount = downhill(3), 0.9999
    goals = drawn_goals(world)
    solution = assert_right(world, goals, discount=discount)
    assert (abs(solution.values[-2:] - goals[-2:]) <= solution.bound).all()


@pytest.mark.parametrize("stay", [True, False])
@pytest.mark.parametrize("slip", [0.0, 0.1])
def test_slow_mixing_at_a_discount_near_one_is_solved(slip, stay):
    world = grid(8, 8, stay=stay, slip=slip)
    assert (assert_right(world, drawn_goals(world), discount=0.9999).bound <= 1e-6).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1.0, 1e12, 1e300, 1e308])
def test_goals_of_any_scale_have_an_honest_bound(scale):
    world = dyadic_world(4)
    goals = scale * (2 * drawn_goals(world) - 1)
    solution = optimal_values(world, goals, discount=0.99).check()
    assert_right_in_fractions(world, goals, solution, discount=0.99)
    assert (solution.bound <= 1e-6 * max(scale, 1e-6)).all() or scale == 1.0


def test_goals_of_all_scales_in_one_batch_are_as_exact_as_alone():
    """Each bound is within the tolerance, or within what rounding at its own scale allows."""
    world, scale = dyadic_world(5), np.array([1e-12, 1.0, 1e12, 1e-12, 1e6])
    goals = scale * (2 * drawn_goals(world) - 1)
    solution = optimal_values(world, goals, discount=0.99).check()
    assert_right_in_fractions(world, goals, solution, discount=0.99)
    assert (solution.bound <= np.minimum(1e-6, scale) + 1e-11 * scale).all()


def test_a_tolerance_suits_the_utilities_it_is_given_with():
    world = dyadic_world(6)
    goals = 1e-12 * drawn_goals(world)
    solution = optimal_values(world, goals, discount=0.9, tolerance=1e-18).check()
    assert (solution.bound <= 1e-18).all()
    assert_right_in_fractions(world, goals, solution, discount=0.9)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_goal_that_is_not_finite_is_marked_and_alone(odd):
    world = garnet(7)
    goals = drawn_goals(world, count=40)
    goals[3, 33] = odd
    solution = optimal_values(world, goals, discount=0.9)
    others = np.arange(40) != 33
    assert [s for s in solution.status if s is not Status.CONVERGED] == [Status.NOT_FINITE]
    assert np.isnan(solution.values[:, 33]).all()
    exact = exact_values(world, goals[:, others], discount=0.9)
    assert abs(solution.values[:, others] - exact).max() <= 1e-6
    with pytest.raises(
        NotSolvedError, match=r"goal 33 .* got bound inf \(0 other goals too\): a ut"
    ):
        solution.check()


def test_power_refuses_utilities_that_are_not_finite():
    goals = np.ones((8, 3))
    goals[0, 0] = np.nan
    with pytest.raises(WorldError, match="goals must be at least one, and finite"):
        power(figure_one(), goals, discount=0.5)


@pytest.mark.parametrize("discount", [0.0, 0.5, 1.0])
def test_a_sweep_of_power_refuses_utilities_that_are_not_finite(discount):
    goals = np.full((8, 3), np.inf)
    with pytest.raises(WorldError, match="goals must be at least one, and finite"):
        power_sweep(figure_one(), [discount], goals)


def test_a_sweep_of_power_needs_a_goal():
    with pytest.raises(WorldError, match="goals must be at least one, and finite"):
        power_sweep(figure_one(), [0.5], np.zeros((8, 0)))


def test_a_row_that_does_not_sum_to_one_is_named():
    rows = [[("go", {1: 1.0})], [("back", {0: 0.5, 1: 0.49})]]
    with pytest.raises(
        WorldError, match=r"row 1 \(state 1, action 'back'\) must sum to 1, got 0.99"
    ):
        world_from_rows(rows)


def test_a_state_without_an_action_is_named():
    with pytest.raises(WorldError, match="state 1 must have at least one row, got 0"):
        world_from_rows([[("go", {1: 1.0})], []])
    nothing = np.zeros((1, 2, 2))
    nothing[0, 0, 1] = 1.0
    with pytest.raises(WorldError, match="state 1 must have at least one row, got 0"):
        world_from_arrays(nothing)


def test_negative_utilities_are_no_worse_than_others():
    """A value that starts at 0 is above them all: sweeps that only raise values would stay."""
    world = garnet(8)
    assert_right(world, -1 - drawn_goals(world), discount=0.99)


@pytest.mark.parametrize("level", [-3.0, 0.0, 0.1, 1e9])
def test_utilities_that_are_all_equal_are_worth_just_that(level):
    world = grid(5, 5, stay=False, slip=0.1)
    solution = optimal_values(world, np.full((25, 1), level), discount=0.9999).check()
    assert abs(solution.values - level).max() <= solution.bound[0]
    assert solution.bound[0] <= max(1e-6, 1e-9 * abs(level))


def test_each_discount_of_a_sweep_is_right_by_itself():
    world, start = grid(5, 5, stay=False, slip=0.1), None
    goals = drawn_goals(world)
    for discount in (0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99, 0.5):
        start = assert_right(world, goals, discount=discount, start=start)


def test_noise_of_sampling_goals_is_told():
    """A thousand goals leave far more than the tolerance of the values: the interval says so."""
    found = power(grid(4, 4), GoalSample(1000), discount=0.99)
    assert ((found.high - found.low) / 2 > 100 * 1e-6).all()


@pytest.mark.parametrize("shift", [-1e6, 1e3, 1e6])
def test_utilities_far_from_zero_spread_no_less(shift):
    """A variance as the difference of two squares loses (mean / spread)**2 roundings: 1e-3 here."""
    near = power(figure_one(), GoalSample(500), discount=0.5)
    far = GoalSample(500, quantile=lambda u: shift + u, bounds=(shift, shift + 1))
    found = power(figure_one(), far, discount=0.5)
    width = found.high - found.low
    assert width == pytest.approx(near.high - near.low, rel=1e-2, abs=1e-12 * abs(shift))


def test_a_start_too_large_for_the_goals_does_not_certify_infinity():
    """Scaled up with the goals it overflows; what is then no number moved by nothing."""
    world = grid(3, 3)
    goals = drawn_goals(world) * 1e-300
    cold = optimal_values(world, goals, discount=0.9).check()
    start = Solution(np.full((9, 5), 1e300), cold.bound, cold.status, "")
    warm = optimal_values(world, goals, discount=0.9, start=start).check()
    assert (abs(warm.values - cold.values) <= warm.bound + cold.bound).all()


@pytest.mark.parametrize("start", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_has_no_small_residual(start):
    world = grid(3, 3)
    layout = world_layout(world, discount=0.9, available=None, boundary=None)
    goals = drawn_goals(world)
    swept = sweep_goals(layout, goals, Task(1e-9), warm=np.full((9, 5), start))
    off = abs(swept.values - exact_values(world, goals, discount=0.9)[layout.order]).max(axis=0)
    assert (~(swept.residual <= 1e-9) | (off <= 1e-7)).all()
