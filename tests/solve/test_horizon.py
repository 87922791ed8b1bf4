"""Backward induction: against every plan there is, and against the limit of a long horizon."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import random_mask, random_world

from corrigible.errors import DiscountError, WorldError
from corrigible.solve import horizon as module
from corrigible.solve.horizon import finite_horizon_plan, finite_horizon_values
from corrigible.solve.optimal import optimal_values
from corrigible.solve.oracle import dense_rows
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
DISCOUNTS = st.sampled_from([0.0, 0.3, 0.9, 1.0])
HORIZONS = st.integers(1, 6)
quick = settings(max_examples=12, deadline=None)


def drawn_goals(world, seed, count=5):
    return np.random.default_rng([seed, 1]).normal(size=(world.outcomes, count))


def best_sum(world, goal, state, terms):
    """The best discounted sum of utilities from a state, by trying every plan."""
    left, discount, available = terms
    if left == 0:
        return 0.0
    going_on = []
    for row in range(world.rows[state], world.rows[state + 1]):
        if available is None or available[row]:
            span = slice(world.entries[row], world.entries[row + 1])
            after = [
                best_sum(world, goal, s, (left - 1, discount, available))
                for s in world.successor[span]
            ]
            going_on.append(float(world.probability[span] @ after))
    return goal[world.outcome[state]] + discount * max(going_on)


def weight_of(horizon, discount):
    return sum(discount**t for t in range(horizon))


@pytest.mark.parametrize("masked", [False, True])
@settings(max_examples=15, deadline=None)
@given(seed=SEEDS, discount=DISCOUNTS, horizon=st.integers(1, 3))
def test_values_are_the_best_of_all_plans(masked, seed, discount, horizon):
    world = random_world(seed, states=4)
    goal = drawn_goals(world, seed, 1)
    available = random_mask(world, seed) if masked else None
    found = finite_horizon_values(
        world, goal, horizon=horizon, discount=discount, available=available
    )
    sums = [best_sum(world, goal[:, 0], s, (horizon, discount, available)) for s in range(4)]
    exact = np.array(sums) / weight_of(horizon, discount)
    assert abs(found.values[:, 0] - exact).max() <= found.bound[0] + 1e-14


@quick
@given(seed=SEEDS, discount=st.sampled_from([0.3, 0.9, 0.99]), horizon=st.integers(1, 60))
def test_a_longer_horizon_comes_as_near_to_optimal_values_as_promised(seed, discount, horizon):
    world, goals = random_world(seed), drawn_goals(random_world(seed), seed)
    found = finite_horizon_values(world, goals, horizon=horizon, discount=discount)
    solved = optimal_values(world, goals, discount=discount, tolerance=1e-9)
    promised = discount**horizon * np.ptp(goals, axis=0)
    assert (abs(found.values - solved.values) <= promised + found.bound + solved.bound).all()


@quick
@given(seed=SEEDS, discount=DISCOUNTS, horizon=HORIZONS)
def test_a_plan_holds_the_values_of_every_horizon(seed, discount, horizon):
    world, goals = random_world(seed), drawn_goals(random_world(seed), seed)
    plan = finite_horizon_plan(world, goals, horizon=horizon, discount=discount)
    assert (plan.values[0] == 0).all()
    for left in range(1, horizon + 1):
        alone = finite_horizon_values(world, goals, horizon=left, discount=discount)
        assert (plan.values[left] == alone.values).all()
        assert (alone.bound <= plan.bound).all()


@quick
@given(seed=SEEDS, discount=DISCOUNTS, horizon=HORIZONS)
def test_doing_what_the_plan_says_brings_its_values(seed, discount, horizon):
    world, goals = random_world(seed), drawn_goals(random_world(seed), seed, 3)
    plan = finite_horizon_plan(world, goals, horizon=horizon, discount=discount, tie=0)
    moves = dense_rows(world)
    for goal in range(3):
        total = np.zeros(world.states)
        for left in range(1, horizon + 1):
            rows = plan.rows[left, :, goal]
            assert (world.row_state[rows] == np.arange(world.states)).all()
            total = goals[world.outcome, goal] + discount * moves[rows] @ total
        exact = total / weight_of(horizon, discount)
        assert abs(plan.values[horizon, :, goal] - exact).max() <= plan.bound[goal] + 1e-14


@quick
@given(seed=SEEDS, discount=DISCOUNTS, factor=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_an_affine_change_of_utilities_changes_values_alike(seed, discount, factor, shift):
    world, goals = random_world(seed), drawn_goals(random_world(seed), seed)
    found = finite_horizon_values(world, goals, horizon=5, discount=discount)
    other = finite_horizon_values(world, factor * goals + shift, horizon=5, discount=discount)
    off = factor * found.bound + other.bound + 1e-14 * (factor + 10)
    assert (abs(factor * found.values + shift - other.values) <= off).all()


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_removing_rows_never_raises_a_value(seed, discount):
    world, goals = random_world(seed), drawn_goals(random_world(seed), seed)
    mask = random_mask(world, seed)
    full = finite_horizon_values(world, goals, horizon=4, discount=discount)
    less = finite_horizon_values(world, goals, horizon=4, discount=discount, available=mask)
    assert (less.values <= full.values + full.bound + less.bound).all()


def test_a_mean_over_all_steps_has_its_closed_form():
    """Two steps to the only good place and h in all: (h - 2) / h."""
    world = world_from_rows([[("on", {1: 1.0})], [("on", {2: 1.0})], [("stay", {2: 1.0})]])
    found = finite_horizon_values(world, [[0.0], [0.0], [1.0]], horizon=1000)
    exact = np.array([998, 999, 1000]) / 1000
    assert abs(found.values[:, 0] - exact).max() <= found.bound[0] <= 1e-11


def test_goals_in_blocks_equal_goals_at_once(monkeypatch):
    world = random_world(3)
    goals = drawn_goals(world, 3, 11)
    whole = finite_horizon_plan(world, goals, horizon=4)
    monkeypatch.setattr(module, "_PART", 2 * len(world.action))
    blocks = finite_horizon_plan(world, goals, horizon=4)
    assert (whole.values == blocks.values).all()
    assert (whole.rows == blocks.rows).all()


def test_ties_go_to_the_lowest_rank_and_all_rows_tie_at_the_last_step():
    ways = [("left", {1: 1.0}), ("right", {2: 1.0}), ("mend", {3: 1.0})]
    world = world_from_rows(
        [ways, *([("stay", {s: 1.0})] for s in range(1, 4))], outcome=[0, 1, 1, 2]
    )
    goals = [[0.0], [1.0], [0.5]]
    first = finite_horizon_plan(world, goals, horizon=2)
    ranked = finite_horizon_plan(world, goals, horizon=2, rank=np.array([1, 0, -1, 0, 0, 0]))
    assert first.rows[:, 0, 0].tolist() == [-1, 0, 0]
    assert ranked.rows[:, 0, 0].tolist() == [-1, 2, 1]


def test_a_plan_may_change_with_the_steps_left():
    """A small gain at once, or a large one later: what pays depends on the time that is left."""
    world = world_from_rows(
        [
            [("small", {1: 1.0}), ("large", {2: 1.0})],
            [("stay", {1: 1.0})],
            [("on", {3: 1.0})],
            [("stay", {3: 1.0})],
        ]
    )
    plan = finite_horizon_plan(world, [[0.0], [1.0], [0.0], [1.8]], horizon=5)
    assert plan.rows[2:, 0, 0].tolist() == [0, 0, 1, 1]  # 2 beats 1.8, then 3.6 beats 3


def test_a_goal_that_is_not_finite_spoils_no_other():
    world = random_world(1)
    goals = drawn_goals(world, 1, 2)
    goals[0, 0] = np.nan
    found = finite_horizon_values(world, goals, horizon=3)
    assert np.isnan(found.values[:, 0]).all()
    assert found.bound[0] == np.inf
    assert found.bound[1] <= 1e-13


@pytest.mark.parametrize("horizon", [0, -1, 1.5])
def test_a_horizon_that_is_no_number_of_steps_is_refused(horizon):
    with pytest.raises(DiscountError, match=r"horizon must be a whole number, at least 1, got"):
        finite_horizon_values(random_world(0), np.zeros((4, 1)), horizon=horizon)


def test_what_does_not_fit_is_refused():
    world, goals = random_world(0), np.zeros((4, 1))
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\], got 1.1"):
        finite_horizon_values(world, goals, horizon=2, discount=1.1)
    with pytest.raises(DiscountError, match=r"tie must not be negative, got -1"):
        finite_horizon_plan(world, goals, horizon=2, tie=-1)
    with pytest.raises(WorldError, match=r"rank must have the shape \[\d+\], got \[1\]"):
        finite_horizon_plan(world, goals, horizon=2, rank=np.zeros(1, dtype=np.int64))
    with pytest.raises(WorldError, match=r"goals must have the shape \[4, G\]"):
        finite_horizon_values(world, goals[:3], horizon=2)
