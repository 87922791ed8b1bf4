"""What fixed policies bring: occupancies against closed forms and the dense oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import random_boundary, random_mask, random_world

from corrigible.errors import DiscountError, WorldError
from corrigible.solve import chains, policy
from corrigible.solve.optimal import greedy_rows, optimal_values
from corrigible.solve.oracle import dense_rows
from corrigible.solve.policy import (
    expected_visits,
    mean_occupancy,
    outcome_occupancy,
    policy_values,
    state_distribution,
)
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
DISCOUNTS = st.sampled_from([0.0, 0.5, 0.975, 0.999])
quick = settings(max_examples=25, deadline=None)


def random_policies(world, seed, count=None):
    """One random row a state, `[S]`, or `[S, K]`."""
    shape = (world.states,) if count is None else (world.states, count)
    share = np.random.default_rng(seed).random(shape)
    sizes = np.diff(world.rows).reshape(-1, *[1] * (len(shape) - 1))
    return world.rows[:-1].reshape(sizes.shape) + (share * sizes).astype(np.int64)


def dense_occupancy(world, rows, discount, boundary=None):
    """The occupancies by one dense solve."""
    system = np.eye(world.states) - discount * dense_rows(world)[rows]
    right = (1 - discount) * np.eye(world.outcomes)[world.outcome]
    if boundary is not None:
        system[boundary.states] = np.eye(world.states)[boundary.states]
        right[boundary.states] = boundary.occupancy[boundary.states]
    return np.linalg.solve(system, right)


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_occupancies_are_those_of_the_dense_solve(seed, discount):
    world = random_world(seed)
    rows, boundary = random_policies(world, seed), random_boundary(world, seed)
    for given_boundary in (None, boundary):
        found = outcome_occupancy(world, rows, discount=discount, boundary=given_boundary)
        exact = dense_occupancy(world, rows, discount, given_boundary)
        assert abs(found - exact).max() <= 1e-12


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_occupancies_are_shares_of_time(seed, discount):
    world = random_world(seed)
    found = outcome_occupancy(world, random_policies(world, seed), discount=discount)
    assert (found >= 0).all()
    assert abs(found.sum(axis=1) - 1).max() <= 1e-12


def test_an_occupancy_has_its_closed_form():
    """Staying with chance p: the first outcome has the share (1 - d) / (1 - d p)."""
    world = world_from_rows([[("a", {0: 0.75, 1: 0.25})], [("a", {1: 1.0})]])
    share = (1 - 0.9) / (1 - 0.9 * 0.75)
    found = outcome_occupancy(world, [0, 1], discount=0.9)
    assert abs(found - [[share, 1 - share], [0, 1]]).max() <= 1e-15


@pytest.mark.parametrize("count", [1, 2, 5, 32])
def test_the_mean_occupancy_is_the_mean_of_occupancies(count):
    world = random_world(3)
    policies, boundary = random_policies(world, 3, count), random_boundary(world, 3)
    options = {"discount": 0.95, "boundary": boundary}
    each = [outcome_occupancy(world, rows, **options) for rows in policies.T]
    assert abs(mean_occupancy(world, policies, **options) - np.mean(each, axis=0)).max() <= 1e-14


def large_ring():
    """One component just above what is eliminated in place."""
    size = chains.DENSE_LIMIT + 1
    steps = [[("on", {s: 0.5, (s + 1) % size: 0.5})] for s in range(size)]
    return world_from_rows(steps, outcome=np.arange(size) % 4)


def test_a_component_too_large_to_eliminate_is_factorised_to_the_same(monkeypatch):
    world, calls, factorised = large_ring(), [], policy._factorised
    monkeypatch.setattr(policy, "_factorised", lambda *a: calls.append(a) or factorised(*a))
    rows, goals = world.rows[:-1], np.random.default_rng(8).random((4, 3))
    exact = dense_occupancy(world, rows, 0.99)
    paired = policy_values(world, np.tile(rows[:, None], 3), goals, discount=0.99)
    assert abs(outcome_occupancy(world, rows, discount=0.99) - exact).max() <= 1e-12
    assert abs(paired - exact @ goals).max() <= 1e-12
    assert len(calls) == 1 + 3


@quick
@given(seed=SEEDS)
def test_a_policy_is_worth_its_occupancy_times_the_utilities(seed):
    world = random_world(seed)
    goals = np.random.default_rng(seed).random((world.outcomes, 3))
    options = {"discount": 0.9, "boundary": random_boundary(world, seed)}
    rows = random_policies(world, seed)
    values = policy_values(world, rows, goals, **options)
    assert abs(values - outcome_occupancy(world, rows, **options) @ goals).max() <= 1e-12


@quick
@given(seed=SEEDS)
def test_the_greedy_policies_are_worth_the_optimal_values(seed):
    world = random_world(seed)
    goals = np.random.default_rng(seed).random((world.outcomes, 40))
    options = {"discount": 0.95, "available": random_mask(world, seed)}
    solution = optimal_values(world, goals, tolerance=1e-10, **options)
    rows = greedy_rows(world, goals, solution.values, **options)
    assert abs(policy_values(world, rows, goals, **options) - solution.values).max() <= 1e-8


def test_a_row_of_another_state_is_refused():
    world = random_world(0)
    rows = world.rows[:-1].copy()
    rows[4] = world.rows[5]
    with pytest.raises(WorldError, match=r"policy 0 in state 4 must take one of .* got"):
        outcome_occupancy(world, rows, discount=0.9)


def test_a_row_that_is_not_available_is_refused():
    world = world_from_rows([[("a", {0: 1.0}), ("b", {0: 1.0})]])
    with pytest.raises(WorldError, match="policy 0 in state 0 must take one of the available"):
        outcome_occupancy(world, [1], discount=0.9, available=np.array([True, False]))


def test_policies_and_goals_must_pair_up():
    world = random_world(0)
    with pytest.raises(WorldError, match="a column for each of the 2 goals, got 3"):
        policy_values(world, random_policies(world, 0, 3), np.ones((4, 2)), discount=0.9)


def test_a_discount_of_one_has_no_occupancy():
    world = random_world(0)
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\), got 1"):
        outcome_occupancy(world, world.rows[:-1], discount=1)


@quick
@given(seed=SEEDS, steps=st.integers(0, 20))
def test_distributions_are_those_of_the_matrix_power(seed, steps):
    world = random_world(seed)
    rows = random_policies(world, seed)
    power = np.linalg.matrix_power(dense_rows(world)[rows], steps)
    found = state_distribution(world, rows, steps)
    assert abs(found - power[world.initial]).max() <= 1e-12


def test_visits_count_the_rows_taken():
    """One try a step at a chance of 1/4: n steps take 4 (1 - (3/4)^n) tries on average."""
    world = world_from_rows([[("try", {0: 0.75, 1: 0.25})], [("rest", {1: 1.0})]])
    assert expected_visits(world, [0, 1], [1, 0], 10) == pytest.approx(4 * (1 - 0.75**10))
    assert expected_visits(world, [0, 1], [1, 1], 10) == pytest.approx(10)


def test_a_walk_ends_where_the_row_is_minus_one():
    world = world_from_rows([[("go", {1: 1.0})], [("back", {0: 1.0})]])
    assert state_distribution(world, [0, -1], 7).tolist() == [0, 1]
    assert expected_visits(world, [0, -1], [1, 1], 7) == 1


@pytest.mark.parametrize("rows", [[0, 0], [-2, 1], [0, 2]])
def test_a_walk_on_rows_of_other_states_is_refused(rows):
    world = world_from_rows([[("go", {1: 1.0})], [("back", {0: 1.0})]])
    with pytest.raises(WorldError, match=r"must take a row in .*, or -1, got"):
        state_distribution(world, rows, 1)
