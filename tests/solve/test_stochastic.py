"""Stochastic policies: against dense solves, deterministic policies, and limits of temperature."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import random_boundary, random_mask, random_world

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.optimal import greedy_rows, optimal_values
from corrigible.solve.oracle import dense_rows
from corrigible.solve.policy import outcome_occupancy, policy_values
from corrigible.solve.stochastic import (
    boltzmann_policy,
    epsilon_greedy_policy,
    paired_policy_values,
    policy_chain,
    row_values,
    stochastic_occupancy,
    stochastic_policy_values,
    uniform_policy,
)
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
DISCOUNTS = st.sampled_from([0.0, 0.5, 0.975, 0.9999])
TEMPERATURES = st.sampled_from([0.0, 1e-300, 1e-3, 1.0, 1e300, np.inf])
quick = settings(max_examples=12, deadline=None)


def drawn_weights(world, seed, count):
    """Random policies `[R, P]`, some rows never taken."""
    rng = np.random.default_rng(seed)
    weight = rng.random((len(world.action), count)) * (rng.random((len(world.action), 1)) < 0.7)
    weight[world.rows[:-1]] += 1e-3
    return weight / np.add.reduceat(weight, world.rows[:-1], axis=0)[world.row_state]


def drawn_goals(world, seed, count=5):
    return np.random.default_rng([seed, 1]).normal(size=(world.outcomes, count))


def dense_values(world, weight, goals, *, discount, boundary=None):
    """One policy under every goal, by one dense solve."""
    chain = np.zeros((world.states, world.states))
    np.add.at(chain, world.row_state, weight[:, None] * dense_rows(world))
    system = np.eye(world.states) - discount * chain
    right = (1 - discount) * goals[world.outcome]
    if boundary is not None:
        system[boundary.states] = np.eye(world.states)[boundary.states]
        right[boundary.states] = boundary.occupancy[boundary.states] @ goals
    return np.linalg.solve(system, right)


def as_weights(world, rows):
    """Deterministic policies `[S, P]` as weights `[R, P]`."""
    weight = np.zeros((len(world.action), rows.shape[1]))
    np.put_along_axis(weight, rows.astype(np.int64), 1.0, axis=0)
    return weight


@pytest.mark.parametrize("bounded", [False, True])
@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_values_are_within_their_bound_of_the_dense_solve(bounded, seed, discount):
    world = random_world(seed)
    weights, goals = drawn_weights(world, seed, 3), drawn_goals(world, seed)
    boundary = random_boundary(world, seed) if bounded else None
    found = stochastic_policy_values(world, weights, goals, discount=discount, boundary=boundary)
    for policy in range(3):
        exact = dense_values(world, weights[:, policy], goals, discount=discount, boundary=boundary)
        off = abs(found.values[:, policy] - exact).max(axis=0)
        assert (off <= found.bound[policy] + 1e-14 / (1 - discount)).all()
    assert found.bound.max() <= 1e-12 / (1 - discount)


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_pairs_are_the_diagonal_of_the_batch(seed, discount):
    world = random_world(seed)
    weights, goals = drawn_weights(world, seed, 4), drawn_goals(world, seed, 4)
    paired = paired_policy_values(world, weights, goals, discount=discount)
    batch = stochastic_policy_values(world, weights, goals, discount=discount)
    diagonal = np.diagonal(batch.values, axis1=1, axis2=2)
    assert (abs(paired.values - diagonal) <= paired.bound + np.diag(batch.bound)).all()


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_sure_weights_give_the_values_of_the_deterministic_policy(seed, discount):
    world = random_world(seed)
    goals, boundary = drawn_goals(world, seed), random_boundary(world, seed)
    share = np.random.default_rng(seed).random((world.states, 5))
    rows = world.rows[:-1, None] + (share * np.diff(world.rows)[:, None]).astype(np.int64)
    exact = policy_values(world, rows, goals, discount=discount, boundary=boundary)
    found = paired_policy_values(
        world, as_weights(world, rows), goals, discount=discount, boundary=boundary
    )
    assert (abs(found.values - exact) <= found.bound + 1e-12).all()


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_occupancies_are_shares_of_time_and_give_the_values(seed, discount):
    world = random_world(seed)
    weight, goals = drawn_weights(world, seed, 1)[:, 0], drawn_goals(world, seed)
    found = stochastic_occupancy(world, weight, discount=discount)
    values = stochastic_policy_values(world, weight, goals, discount=discount)
    assert abs(found.shares.sum(axis=1) - 1).max() <= found.bound.sum()
    off = found.bound @ abs(goals) + values.bound[0] + 1e-14
    assert (abs(found.shares @ goals - values.values[:, 0]) <= off).all()


def test_the_occupancy_of_sure_weights_is_the_deterministic_one():
    world = random_world(4)
    sure = as_weights(world, world.rows[:-1, None])
    found = stochastic_occupancy(world, sure, discount=0.9)
    exact = outcome_occupancy(world, world.rows[:-1], discount=0.9)
    assert (abs(found.shares - exact) <= found.bound + 1e-13).all()


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_the_policy_mean_of_row_values_is_the_value(seed, discount):
    """V(s) is the mean of Q over the rows as the policy takes them."""
    world = random_world(seed)
    weight, goals = drawn_weights(world, seed, 1)[:, 0], drawn_goals(world, seed)
    found = stochastic_policy_values(world, weight, goals, discount=discount)
    worth = row_values(world, goals, found.values[:, 0], discount=discount)
    mean = np.add.reduceat(weight[:, None] * worth, world.rows[:-1], axis=0)
    assert (abs(mean - found.values[:, 0]) <= 2 * found.bound[0] + 1e-13).all()


@quick
@given(seed=SEEDS, temperature=TEMPERATURES, masked=st.booleans())
def test_policies_are_distributions_over_available_rows(seed, temperature, masked):
    world = random_world(seed)
    available = random_mask(world, seed) if masked else None
    worth = np.random.default_rng(seed).normal(size=(len(world.action), 3))
    policies = [
        boltzmann_policy(world, worth, temperature, available=available),
        epsilon_greedy_policy(world, worth, 0.1, available=available),
        uniform_policy(world, available=available)[:, None],
    ]
    for weight in policies:
        assert abs(np.add.reduceat(weight, world.rows[:-1], axis=0) - 1).max() <= 1e-12
        assert (weight >= 0).all()
        assert not masked or (weight[~available] == 0).all()


@quick
@given(seed=SEEDS)
def test_boltzmann_goes_from_greedy_to_uniform_as_it_warms(seed):
    world = random_world(seed)
    worth = np.random.default_rng(seed).permutation(len(world.action)).astype(float)[:, None]
    greedy, cold = (boltzmann_policy(world, worth, t) for t in (0.0, 1e-2))
    uniform, hot = (boltzmann_policy(world, worth, t) for t in (np.inf, 1e9))
    assert abs(greedy - cold).max() <= 1e-40  # values differ by 1 at least: exp(-100)
    assert abs(uniform - hot).max() <= 1e-6
    assert (uniform[:, 0] == uniform_policy(world)).all()
    assert (np.maximum.reduceat(greedy, world.rows[:-1]) == 1).all()


@quick
@given(seed=SEEDS, shift=st.floats(-1e6, 1e6))
def test_boltzmann_odds_are_those_of_its_formula_and_ignore_shifts(seed, shift):
    world = random_world(seed)
    worth = np.random.default_rng(seed).normal(size=(len(world.action), 2))
    raw = np.exp(worth / 0.7)
    exact = raw / np.add.reduceat(raw, world.rows[:-1], axis=0)[world.row_state]
    assert abs(boltzmann_policy(world, worth, 0.7) - exact).max() <= 1e-14
    assert abs(boltzmann_policy(world, worth + shift, 0.7) - exact).max() <= 1e-8


def three_ways(worth):
    world = world_from_rows([[(f"act {k}", {0: 1.0}) for k in range(3)]])
    return world, np.array(worth)[:, None]


def test_ties_share_equally_at_temperature_zero_and_when_greedy():
    world, worth = three_ways([1.0, 1.0 - 1e-12, 0.0])
    assert boltzmann_policy(world, worth, 0)[:, 0].tolist() == [1 / 2, 1 / 2, 0]
    greedy = epsilon_greedy_policy(world, worth, 0.3)[:, 0]
    assert np.allclose(greedy, [0.45, 0.45, 0.1], rtol=0, atol=1e-15)


def test_a_single_best_row_of_n_has_one_less_epsilon_and_its_share():
    """1 - epsilon + epsilon / n (Sutton and Barto 2018, section 5.4)."""
    world, worth = three_ways([0.0, 2.0, 1.0])
    greedy = epsilon_greedy_policy(world, worth, 0.3)[:, 0]
    assert np.allclose(greedy, [0.1, 0.8, 0.1], rtol=0, atol=1e-15)


@quick
@given(seed=SEEDS, discount=st.sampled_from([0.3, 0.9]))
def test_the_greedy_policy_of_the_optimal_values_is_worth_them(seed, discount):
    world, goals = random_world(seed), drawn_goals(random_world(seed), seed)
    solved = optimal_values(world, goals, discount=discount, tolerance=1e-10)
    worth = row_values(world, goals, solved.values, discount=discount)
    cold = boltzmann_policy(world, worth, 0.0)
    found = paired_policy_values(world, cold, goals, discount=discount)
    assert abs(found.values - solved.values).max() <= 1e-6
    rows = greedy_rows(world, goals, solved.values, discount=discount)
    assert (np.take_along_axis(cold, rows.astype(np.int64), axis=0) > 0).all()


def test_the_chain_holds_what_the_policy_makes_of_the_world():
    world = random_world(2)
    weight = drawn_weights(world, 2, 1)[:, 0]
    chain = policy_chain(world, weight)
    exact = np.add.reduceat(weight[:, None] * dense_rows(world), world.rows[:-1], axis=0)
    assert abs(chain.toarray() - exact).max() <= 1e-15


def test_a_goal_that_is_not_finite_spoils_no_other():
    world = random_world(1)
    goals = drawn_goals(world, 1, 2)
    goals[0, 0] = np.inf
    found = stochastic_policy_values(world, uniform_policy(world), goals, discount=0.9)
    assert np.isnan(found.values[:, 0, 0]).all()
    assert found.bound[0, 0] == np.inf
    assert found.bound[0, 1] <= 1e-11


def test_weights_that_do_not_sum_to_one_are_refused():
    world, _ = three_ways([0.0, 0.0, 0.0])
    with pytest.raises(WorldError, match=r"state 0 in policy 1 must sum to 1, got 0\.9 "):
        stochastic_policy_values(world, [[1, 0.9], [0, 0], [0, 0]], np.zeros((1, 1)), discount=0.5)


@pytest.mark.parametrize("weight", [-0.5, np.nan])
def test_a_weight_that_is_no_chance_is_refused(weight):
    world, _ = three_ways([0.0, 0.0, 0.0])
    with pytest.raises(WorldError, match=r"row 1 \(state 0, action 'act 1'\) in policy 0 must be"):
        stochastic_policy_values(world, [1.5, weight, 0], np.zeros((1, 1)), discount=0.5)


def test_arrays_that_do_not_fit_are_refused():
    world, worth = three_ways([0.0, 0.0, 0.0])
    goals, weights = np.zeros((1, 2)), np.full((3, 3), 1 / 3)
    with pytest.raises(WorldError, match=r"one policy for each of the 2 goals, got 3"):
        paired_policy_values(world, weights, goals, discount=0.5)
    with pytest.raises(WorldError, match=r"must hold one policy, got 3; take a column"):
        stochastic_occupancy(world, weights, discount=0.5)
    with pytest.raises(WorldError, match=r"weights must have the shape \[3\] or \[3, P\]"):
        stochastic_policy_values(world, weights[:2], goals, discount=0.5)
    with pytest.raises(WorldError, match=r"values must have the shape \[1, 2\], got \[1, 1\]"):
        row_values(world, goals, [[0.0]], discount=0.5)
    with pytest.raises(WorldError, match=r"values must have the shape \[3, G\]"):
        boltzmann_policy(world, worth[:2], 1.0)
    with pytest.raises(WorldError, match=r"for goal 0 must be finite, got nan"):
        boltzmann_policy(world, worth * np.nan, 1.0)


def test_numbers_out_of_their_range_are_refused():
    world, worth = three_ways([0.0, 0.0, 0.0])
    with pytest.raises(DiscountError, match=r"temperature must lie in \[0, inf\], got -1"):
        boltzmann_policy(world, worth, -1)
    with pytest.raises(DiscountError, match=r"temperature must lie in \[0, inf\], got nan"):
        boltzmann_policy(world, worth, np.nan)
    with pytest.raises(DiscountError, match=r"epsilon must lie in \[0, 1\], got 1.5"):
        epsilon_greedy_policy(world, worth, 1.5)
    with pytest.raises(DiscountError, match=r"tie must not be negative, got -1"):
        epsilon_greedy_policy(world, worth, 0.5, tie=-1)
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\), got 1"):
        stochastic_policy_values(world, uniform_policy(world), np.zeros((1, 1)), discount=1)
