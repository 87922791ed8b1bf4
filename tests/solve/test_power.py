"""POWER, against the closed forms of Turner et al. 2021, figure 1."""

import numpy as np
import pytest
from small_worlds import FIGURE_ONE, figure_one

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.optimal import optimal_values
from corrigible.solve.power import power

PRINTED = {  # for rewards iid U(0, 1)
    "null": lambda _: 1 / 2,
    "lDL": lambda d: (2 / 3 + d / 2) / (1 + d),
    "rDR": lambda _: 2 / 3,
}


def estimated(discount, count, seed=0):
    world = figure_one()
    goals = np.random.default_rng(seed).random((world.outcomes, count))
    return power(world, goals, optimal_values(world, goals, discount=discount), discount=discount)


@pytest.mark.parametrize("discount", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("state", PRINTED)
def test_power_has_the_printed_value_within_its_interval(state, discount):
    """Three half-widths, so that a sound estimate fails for one seed in 240 million."""
    found, at = estimated(discount, 20_000), FIGURE_ONE[state]
    half = found.high[at] - found.mean[at]
    assert abs(found.mean[at] - PRINTED[state](discount)) <= 3 * half
    assert half < 5e-3


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    at = FIGURE_ONE["rDR"]
    runs = [estimated(0.5, 200, seed) for seed in range(80)]
    covered = sum(run.low[at] <= 2 / 3 <= run.high[at] for run in runs)
    assert 0.95 * 80 - 4 * np.sqrt(80 * 0.95 * 0.05) <= covered


def test_one_goal_has_no_interval():
    found = estimated(0.9, 1)
    assert found.n == 1
    assert np.isinf(found.high - found.low).all()


def test_power_needs_a_discount_above_zero():
    world = figure_one()
    solution = optimal_values(world, np.ones((8, 1)), discount=0.0)
    with pytest.raises(DiscountError, match=r"discount must lie in \(0, 1\), got 0"):
        power(world, np.ones((8, 1)), solution, discount=0.0)


def test_power_needs_its_goals_solved():
    world = figure_one()
    goals = np.full((8, 1), np.nan)
    with pytest.raises(NotSolvedError, match="goal 0 must be solved"):
        power(world, goals, optimal_values(world, goals, discount=0.5), discount=0.5)


def test_power_refuses_a_solution_of_other_goals():
    world = figure_one()
    solution = optimal_values(world, np.ones((8, 2)), discount=0.5)
    with pytest.raises(WorldError, match=r"got the shape \[8, 2\]"):
        power(world, np.ones((8, 3)), solution, discount=0.5)
