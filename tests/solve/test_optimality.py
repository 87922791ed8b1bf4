"""Optimality probability: exact and printed shares, ties, and when it may stop."""

from fractions import Fraction

import numpy as np
import pytest
from small_worlds import figure_one, garnet, sure_moves

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.average import average_values
from corrigible.solve.exact import exact_optimality
from corrigible.solve.optimality import optimality_probability
from corrigible.solve.power import power
from corrigible.solve.sample import GoalSample
from corrigible.world.record import world_from_rows

FIGURE_TEN = sure_moves([[1, 2], [1, 2], [3, 4], [3], [4]])  # s1 -> s2 (N) or s3 (NE); s3 -> A, B
TWINS = world_from_rows([[("one", {1: 1.0}), ("other", {1: 1.0})], [("on", {1: 1.0})]])


def assert_within(estimates, exact, times=2.5):
    """Over twice the half-width of 95%: a sound estimate falls outside for one in a million."""
    for estimate, true in zip(estimates, exact, strict=True):
        half = (estimate.high - estimate.low) / 2
        assert abs(estimate.value - float(true)) <= times * half


def test_figure_one_has_its_shares_at_discount_one():
    """Exact integration over the recurrent distributions; Turner et al. print their order."""
    found = optimality_probability(figure_one(), GoalSample(20_000), discount=1.0)
    exact = [Fraction(113, 480), Fraction(47, 160), Fraction(113, 240)]  # down, left, right
    assert found.actions == ("null", "lL", "rR")
    assert_within(found.share, exact)
    assert [float(f) for f in exact] == pytest.approx([s.value for s in found.share], abs=0.01)


@pytest.mark.parametrize("discount", ["1/10", "1/2", "9/10"])
def test_figure_one_has_its_exact_shares(discount):
    world = figure_one()
    exact = exact_optimality(world, 0, discount=discount)
    found = optimality_probability(world, GoalSample(10_000), discount=float(Fraction(discount)))
    assert_within(found.share, [exact[row] for row in found.rows.tolist()])
    assert all(tied.value == 0 for tied in found.tied)


def test_figure_ten_has_less_power_where_more_goals_lead():
    """Turner et al. 2021, proposition B.1: 1/3 < 2/3, and yet POWER 3/4 > 2/3."""
    found = optimality_probability(FIGURE_TEN, GoalSample(20_000), discount=1.0)
    assert_within(found.share, [1 / 3, 2 / 3])
    there = power(FIGURE_TEN, GoalSample(5000), discount=1.0, pairs=[(1, 2)])
    half = (there.high - there.low)[1:3] / 2
    assert (abs(there.mean[1:3] - [3 / 4, 2 / 3]) <= 2.5 * half).all()
    assert there.difference_low[0] > 0


def test_average_values_of_figure_one_have_their_exact_mean():
    """517/640, by integration: see exact_power."""
    each = average_values(figure_one(), GoalSample(20_000)).check().values[0]
    assert abs(each.mean() - 517 / 640) <= 5 * each.std() / np.sqrt(len(each))


@pytest.mark.parametrize("discount", [0.1, 0.9, 1.0])
def test_two_acts_that_are_one_share_every_goal(discount):
    found = optimality_probability(TWINS, GoalSample(500), discount=discount)
    assert [share.value for share in found.share] == [1.0, 1.0]
    assert [tied.value for tied in found.tied] == [1.0, 1.0]
    assert 0 < found.tolerance <= 1e-8


def test_twins_share_what_is_theirs_and_no_more():
    """Acts 0 and 1 lead to the same end, act 2 to another: a half each, the twins' tied."""
    world = sure_moves([[1], [1], [2]])
    world = world_from_rows(
        [
            [("a", {1: 1.0}), ("b", {1: 1.0}), ("c", {2: 1.0})],
            *([("on", {s: 1.0})] for s in (1, 2)),
        ]
    )
    found = optimality_probability(world, GoalSample(5000), discount=0.9)
    values = [share.value for share in found.share]
    assert values[0] == values[1] == 1 - values[2] == found.tied[0].value
    assert found.tied[2].value == 0
    assert_within(found.share, [1 / 2] * 3)


def test_goals_that_are_indifferent_tie_every_act():
    found = optimality_probability(figure_one(), np.full((8, 4), 0.3), discount=0.9)
    assert [share.value for share in found.share] == [1.0] * 3
    assert [tied.value for tied in found.tied] == [1.0] * 3


def test_differences_above_the_tolerance_are_no_ties():
    world = sure_moves([[1, 2], [1], [2]])
    for gap in (1e-3, 1e-6, 1e-8):
        goals = np.array([[0.0], [0.5], [0.5 + gap]])
        found = optimality_probability(world, goals, discount=0.9)
        assert found.tolerance < 0.9 * gap
        assert [share.value for share in found.share] == [0.0, 1.0]


def test_a_wider_tolerance_ties_more():
    world = sure_moves([[1, 2], [1], [2]])
    goals = np.array([[0.0], [0.5], [0.5 + 1e-15]])
    found = optimality_probability(world, goals, discount=0.9)
    assert [share.value for share in found.share] == [1.0, 1.0]
    assert found.tolerance >= 1e-15


def test_a_precision_is_kept_and_stops_early():
    found = optimality_probability(figure_one(), discount=1.0, precision=0.05)
    assert all((share.high - share.low) / 2 <= 0.05 for share in found.share)
    assert found.n < 20_000
    assert_within(found.share, [113 / 480, 47 / 160, 113 / 240], times=1)
    assert "confidence sequence" in found.share[0].method


def test_a_precision_out_of_reach_is_said():
    with pytest.raises(NotSolvedError, match=r"known to 0.001, got 0.\d+ after all 300 goals"):
        optimality_probability(figure_one(), GoalSample(300), discount=0.5, precision=1e-3)


def test_a_precision_needs_a_sample():
    with pytest.raises(WorldError, match="a precision needs goals as a GoalSample"):
        optimality_probability(figure_one(), np.ones((8, 2)), discount=0.5, precision=0.1)


def test_the_state_asked_for_is_the_one_answered_for():
    """From rR, staying clear of both of its two-cycles is no choice: rUR or rDR, a half each."""
    found = optimality_probability(figure_one(), GoalSample(5000), discount=0.9, state=5)
    assert (found.state, found.actions) == (5, ("rUR", "rDR"))
    assert_within(found.share, [1 / 2, 1 / 2])


def test_only_available_acts_are_compared():
    world = figure_one()
    mask = np.ones(len(world.action), dtype=bool)
    mask[2] = False  # star's way right
    found = optimality_probability(world, GoalSample(2000), discount=0.9, available=mask)
    assert found.rows.tolist() == [0, 1]
    assert sum(share.value for share in found.share) == pytest.approx(1)


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(WorldError, match=r"available must have the shape \[15\], got \[2\]"):
        optimality_probability(
            figure_one(), GoalSample(2), discount=0.5, available=np.ones(2, dtype=bool)
        )


def test_a_discount_near_one_is_not_exchanged_for_another():
    """One goal that goes right for 0.99999 and down for 0.9999: half a step's patience apart."""
    world = sure_moves([[1, 2], [1], [3], [3]])
    goals = np.array([[0.0], [0.5], [0.0], [0.500025]])
    found = optimality_probability(world, goals, discount=0.99999)
    assert [share.value for share in found.share] == [0.0, 1.0]


def test_sampled_and_given_goals_have_the_same_shares():
    world, sample = garnet(1), GoalSample(600, 3)
    drawn = optimality_probability(world, sample, discount=0.9)
    held = optimality_probability(world, sample.utilities(world.outcomes), discount=0.9)
    assert drawn.share == held.share
    assert (drawn.seed, held.seed) == (3, None)


def test_progress_counts_up_to_all_goals():
    told = []
    optimality_probability(
        figure_one(), GoalSample(600), discount=0.5, progress=lambda *pair: told.append(pair)
    )
    assert told == [(256, 600), (512, 600), (600, 600)]


@pytest.mark.parametrize("discount", [0.0, -1.0, 1.5, float("nan")])
def test_a_discount_out_of_range_is_refused(discount):
    with pytest.raises(DiscountError, match=r"discount must lie in \(0, 1\], got"):
        optimality_probability(figure_one(), discount=discount)


@pytest.mark.parametrize("state", [-1, 8])
def test_another_state_is_refused(state):
    with pytest.raises(WorldError, match=r"state must lie in 0\.\.7, got"):
        optimality_probability(figure_one(), discount=0.5, state=state)


def test_goals_that_are_not_finite_are_refused():
    goals = np.full((8, 2), np.nan)
    with pytest.raises(NotSolvedError, match="goal 0 must be solved"):
        optimality_probability(figure_one(), goals, discount=0.5)
