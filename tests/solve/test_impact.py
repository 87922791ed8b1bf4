"""Impact measures: closed forms, small worlds by hand, laws, and the bounds they promise."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import random_world

from corrigible.errors import DiscountError, WorldError
from corrigible.solve import impact
from corrigible.solve.impact import (
    AuxiliaryValues,
    attainable_utility_penalties,
    noop_rows,
    penalties,
    reachability,
    rollout_values,
    state_deviations,
    unreachability,
    unreachability_penalties,
)
from corrigible.solve.optimal import optimal_values
from corrigible.solve.oracle import dense_rows
from corrigible.solve.stochastic import row_values
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
quick = settings(max_examples=12, deadline=None)
G = 0.9
DEVIATIONS, SCALES = ["decrease", "absolute"], ["none", "each", "mean"]
BASELINES = [{"baseline": "stepwise"}, {"baseline": "start"}, {"baseline": "inaction", "step": 3}]


def random_noop(world, seed):
    """Some row of each state, `[S]`."""
    share = np.random.default_rng([seed, 2]).random(world.states)
    return world.rows[:-1] + (share * np.diff(world.rows)).astype(np.int64)


def random_table(world, seed, count=6):
    rng = np.random.default_rng([seed, 3])
    return AuxiliaryValues(rng.random((world.states, count)), rng.random(count) * 1e-3)


def exact_table(values):
    return AuxiliaryValues(np.asarray(values), np.zeros(np.shape(values)[1]))


def sure_world(seed, states=8):
    """A deterministic world; its first action waits."""
    to = np.random.default_rng(seed).integers(0, states, size=(states, 2))
    return world_from_rows(
        [
            [("wait", {s: 1.0}), *((f"go {k}", {int(t): 1.0}) for k, t in enumerate(to[s]))]
            for s in range(states)
        ]
    )


def test_an_irreversible_step_is_wholly_unreachable_and_one_step_off_costs_one_discount():
    """As the tests of the paper's own code: 1 back over it, 1 - discount towards it."""
    world = world_from_rows([[("stay", {0: 1.0}), ("go", {1: 1.0})], [("stay", {1: 1.0})]])
    assert abs(unreachability(world, 0, discount=G).values - [0, 1]).max() <= 1e-9
    assert abs(unreachability(world, 1, discount=G).values - [1 - G, 0]).max() <= 1e-9
    assert unreachability(world, 1, discount=1).values[0] <= 1e-9


def test_reachability_is_discount_to_the_distance():
    world = world_from_rows([[("on", {min(s + 1, 4): 1.0})] for s in range(5)])
    ahead = np.subtract.outer(np.arange(5), np.arange(5)) * -1.0
    found = reachability(world, discount=G).check()
    assert abs(found.values - np.where(ahead >= 0, G**ahead, 0)).max() <= found.bound.max()
    some = reachability(world, discount=G, targets=[3, 1])
    assert abs(some.values - found.values[:, [3, 1]]).max() <= 2e-9


@quick
@given(seed=SEEDS)
def test_relative_reachability_obeys_shahs_identity(seed):
    """E_g[discount ** max(n, n')] = E_g[R(s', g)] - loss, in deterministic worlds (R. Shah)."""
    world = sure_world(seed)
    reach = reachability(world, discount=G)
    pairs = np.array(list(product(range(world.states), repeat=2)))
    both = np.minimum(reach.values[pairs[:, 0]], reach.values[pairs[:, 1]]).mean(axis=1)
    loss = state_deviations(reach, pairs[:, 0], pairs[:, 1])
    gap = both - (reach.values[pairs[:, 1]].mean(axis=1) - loss.values)
    assert (abs(gap) <= loss.bound + 1e-12).all()


def sushi():
    """Left alone the sushi is eaten (1); whoever holds the belt keeps it where it is (0)."""
    return world_from_rows([[("wait", {1: 1.0}), ("hold", {0: 1.0})], [("wait", {1: 1.0})]])


def test_the_starting_state_baseline_interferes_with_what_the_world_does():
    world = sushi()
    reach = reachability(world, discount=G)
    options = {"noop": "wait", "deviation": "decrease"}
    start = penalties(world, reach, baseline="start", **options).values
    assert abs(start - [1 / 2, 0, 1 / 2]).max() <= 1e-8  # what waiting loses: state 0, of two
    for others in ({}, {"baseline": "inaction", "step": 0}):
        found = penalties(world, reach, **options, **others).values
        assert abs(found - [0, (1 - G) / 2, 0]).max() <= 1e-8  # holding puts 1 a step off


def conveyor():
    """A vase on a belt (0) breaks (1) unless it is taken off (2), and may be put back."""
    return world_from_rows(
        [
            [("wait", {1: 1.0}), ("take", {2: 1.0})],
            [("wait", {1: 1.0})],
            [("wait", {2: 1.0}), ("put back", {0: 1.0})],
        ]
    )


@pytest.mark.parametrize("deviation", DEVIATIONS)
@pytest.mark.parametrize("rolled", [False, True])
def test_the_inaction_baseline_permits_offsetting_and_stepwise_does_not(rolled, deviation):
    world, wait, put_back = conveyor(), 3, 4
    table = reachability(world, discount=G)
    if rolled:
        table = rollout_values(world, table, noop="wait", discount=G)
    options = {"noop": "wait", "deviation": deviation}
    inaction = penalties(world, table, baseline="inaction", step=1, **options).values
    stepwise = penalties(world, table, **options).values
    assert inaction[put_back] < inaction[wait] - 1e-3  # left alone it would be broken by now
    assert stepwise[put_back] > stepwise[wait] + 1e-3 == 1e-3


def test_inaction_baseline_follows_the_steps_already_taken():
    world = conveyor()
    table = exact_table(np.eye(3))
    first, later = (
        penalties(world, table, noop="wait", baseline="inaction", step=step).values
        for step in (0, 10_000)
    )
    assert np.allclose(first, [0, 2 / 3, 0, 2 / 3, 2 / 3], rtol=0, atol=1e-12)
    assert (first == later).all()


def brute_force(world, table, noop, options):
    """Penalties unscaled, with dense matrices."""
    moves = dense_rows(world)
    after = moves @ table.values
    start = np.eye(world.states)[world.initial]
    inaction = np.linalg.matrix_power(moves[noop], options.get("step", 0) + 1)
    base = {
        "stepwise": after[noop][world.row_state],
        "inaction": start @ inaction @ table.values,
        "start": start @ table.values,
    }[options["baseline"]]
    change = base - after
    deviation = np.abs(change) if options["deviation"] == "absolute" else np.maximum(change, 0)
    return deviation.mean(axis=1)


@pytest.mark.parametrize("deviation", DEVIATIONS)
@pytest.mark.parametrize("chosen", BASELINES, ids=lambda b: b["baseline"])
@quick
@given(seed=SEEDS)
def test_penalties_are_those_of_dense_matrices(chosen, deviation, seed):
    world = random_world(seed)
    table, noop = random_table(world, seed), random_noop(world, seed)
    options = {**chosen, "deviation": deviation}
    found = penalties(world, table, noop=noop, **options)
    assert abs(found.values - brute_force(world, table, noop, options)).max() <= 1e-14


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("deviation", DEVIATIONS)
@pytest.mark.parametrize("chosen", BASELINES, ids=lambda b: b["baseline"])
@quick
@given(seed=SEEDS)
def test_a_table_off_by_its_bound_moves_penalties_by_theirs_at_most(chosen, deviation, scale, seed):
    world = random_world(seed)
    table, noop = random_table(world, seed), random_noop(world, seed)
    sign = np.random.default_rng(seed).choice([-1, 1], size=table.values.shape)
    true = exact_table(table.values + sign * table.bound)
    options = {"noop": noop, "deviation": deviation, "scale": scale, **chosen}
    found, exact = (penalties(world, given_, **options) for given_ in (table, true))
    assert (abs(found.values - exact.values) <= found.bound + exact.bound).all()


@quick
@given(seed=SEEDS, scale=st.sampled_from(SCALES), deviation=st.sampled_from(DEVIATIONS))
def test_doing_nothing_has_no_stepwise_penalty(seed, scale, deviation):
    world = random_world(seed)
    noop, options = random_noop(world, seed), {"deviation": deviation, "scale": scale}
    found = penalties(world, random_table(world, seed), noop=noop, **options)
    assert (found.values[noop] == 0).all()
    goals = np.random.default_rng(seed).random((world.outcomes, 4))
    solved = optimal_values(world, goals, discount=G)
    found = attainable_utility_penalties(world, goals, solved, noop=noop, discount=G, **options)
    assert (found.values[noop] == 0).all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("chosen", BASELINES, ids=lambda b: b["baseline"])
@quick
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3))
def test_order_of_goals_does_not_matter_and_scaling_them_scales(chosen, scale, seed, factor):
    world = random_world(seed)
    table, noop = random_table(world, seed), random_noop(world, seed)
    order = np.random.default_rng(seed).permutation(len(table.bound))
    other = AuxiliaryValues(factor * table.values[:, order], factor * table.bound[order])
    options = {"noop": noop, "scale": scale, **chosen}
    found, again = (penalties(world, given_, **options).values for given_ in (table, other))
    unit = factor if scale == "none" else 1
    assert np.allclose(unit * found, again, rtol=1e-9, atol=1e-12 * unit)


@quick
@given(seed=SEEDS)
def test_attainable_utility_is_that_of_its_formula(seed):
    """|Q(s, a) - Q(s, noop)|, plain, over Q(s, noop), or both summed (Turner et al. 2020)."""
    world, noop = random_world(seed), random_noop(random_world(seed), seed)
    goals = np.random.default_rng(seed).random((world.outcomes, 4))
    solved = optimal_values(world, goals, discount=G)
    worth = row_values(world, goals, solved.values, discount=G)
    idle = worth[noop][world.row_state]
    exact = {
        "none": abs(worth - idle).mean(axis=1),
        "each": (abs(worth - idle) / idle).mean(axis=1),
        "mean": abs(worth - idle).sum(axis=1) / idle.sum(axis=1),
    }
    for scale, values in exact.items():
        found = attainable_utility_penalties(
            world, goals, solved, noop=noop, discount=G, scale=scale
        )
        assert abs(found.values - values).max() <= 1e-12
        assert (found.bound <= 1e-4).all()


@quick
@given(seed=SEEDS)
def test_unscaled_attainable_utility_is_the_discounted_stepwise_penalty(seed):
    world, noop = random_world(seed), random_noop(random_world(seed), seed)
    goals = np.random.default_rng(seed).random((world.outcomes, 4))
    solved = optimal_values(world, goals, discount=G)
    found = attainable_utility_penalties(world, goals, solved, noop=noop, discount=G)
    stepwise = penalties(world, solved, noop=noop)
    assert abs(found.values - G * stepwise.values).max() <= 1e-13


def test_a_baseline_value_of_zero_is_replaced_by_one():
    world = world_from_rows([[("wait", {0: 1.0}), ("go", {1: 1.0})], [("wait", {1: 1.0})]])
    table = exact_table([[0.0, 2.0], [3.0, 1.0]])
    each = penalties(world, table, noop="wait", scale="each")
    assert each.values[1] == pytest.approx((3 / 1 + 1 / 2) / 2, abs=1e-12)
    unsure = AuxiliaryValues(table.values, np.array([1e-9, 1e-9]))
    assert penalties(world, unsure, noop="wait", scale="each").bound[1] == np.inf


@quick
@given(seed=SEEDS, discount=st.sampled_from([0.0, 0.5, 0.999]))
def test_rollouts_are_those_of_the_dense_solve_and_keep_the_bound(seed, discount):
    world, noop = random_world(seed), random_noop(random_world(seed), seed)
    table = random_table(world, seed)
    found = rollout_values(world, table, noop=noop, discount=discount)
    system = np.eye(world.states) - discount * dense_rows(world)[noop]
    exact = np.linalg.solve(system, (1 - discount) * table.values)
    assert abs(found.values - exact).max() <= 1e-12
    assert (found.bound >= table.bound).all()
    assert (found.bound <= table.bound + 1e-10).all()


def test_rollouts_see_at_once_what_comes_about_later():
    """A fuse that is lit burns down by itself: only a rollout tells at the first step."""
    world = world_from_rows(
        [
            [("wait", {0: 1.0}), ("light", {1: 1.0})],
            [("wait", {2: 1.0}), ("put out", {0: 1.0})],
            [("wait", {2: 1.0})],
        ]
    )
    whole = exact_table([[1.0], [1.0], [0.0]])
    assert penalties(world, whole, noop="wait").values[1] <= 1e-12
    rolled = rollout_values(world, whole, noop="wait", discount=G)
    assert abs(penalties(world, rolled, noop="wait").values[1] - G) <= 1e-12


@quick
@given(seed=SEEDS)
def test_unreachability_penalties_are_those_of_the_successors(seed):
    world = sure_world(seed)
    reach = reachability(world, discount=G)
    to, state = world.successor, world.row_state
    exact = {
        "stepwise": 1 - reach.values[to, state],  # waiting stays
        "start": 1 - reach.values[to, world.initial],
        "inaction": 1 - reach.values[to, world.initial],
    }
    for baseline, values in exact.items():
        found = unreachability_penalties(world, reach, noop="wait", baseline=baseline, step=2)
        assert abs(found.values - values).max() <= 1e-12


def test_chance_successors_are_drawn_apart_for_unreachability():
    """1 - sum of P(s') P(base) R(s'; base)."""
    world = world_from_rows(
        [[("wait", {1: 0.5, 2: 0.5})], [("wait", {1: 1.0})], [("wait", {2: 1.0})]]
    )
    reach = reachability(world, discount=G)
    found = unreachability_penalties(world, reach, noop="wait").values
    assert abs(found - [1 / 2, 0, 0]).max() <= 1e-9


def test_rows_in_parts_equal_rows_at_once(monkeypatch):
    world = random_world(5)
    noop, reach = random_noop(world, 5), reachability(world, discount=G)
    functions = (penalties, unreachability_penalties)
    whole = [f(world, reach, noop=noop).values for f in functions]
    monkeypatch.setattr(impact, "_PART", 3 * world.states)
    parts = [f(world, reach, noop=noop).values for f in functions]
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))


def test_a_noop_is_found_by_its_name_or_refused():
    world = conveyor()
    assert noop_rows(world, "wait").tolist() == [0, 2, 3]
    with pytest.raises(WorldError, match=r"name of an action, such as 'wait', .* got 'sleep'"):
        noop_rows(world, "sleep")
    with pytest.raises(WorldError, match=r"state 1 must have one row of the noop 'take', got 0"):
        noop_rows(world, "take")
    with pytest.raises(WorldError, match=r"the noop of state 1 must be a row in 2\.\.2, got 3"):
        noop_rows(world, [0, 3, 3])
    with pytest.raises(WorldError, match=r"one row for each of the 3 states, got the shape \[1\]"):
        noop_rows(world, [0])


def test_what_does_not_fit_is_refused():
    world = conveyor()
    table, options = exact_table(np.eye(3)), {"noop": "wait"}
    with pytest.raises(DiscountError, match=r"step must be given for the inaction .* got None"):
        penalties(world, table, baseline="inaction", **options)
    with pytest.raises(WorldError, match=r"baseline must be one of stepwise, .* got 'never'"):
        penalties(world, table, baseline="never", **options)
    with pytest.raises(WorldError, match=r"deviation must be one of decrease, absolute, got 'up'"):
        penalties(world, table, deviation="up", **options)
    with pytest.raises(WorldError, match=r"shape \[3, K\] and a bound .* got \[2, 3\]"):
        penalties(world, exact_table(np.eye(3)[:2]), **options)
    with pytest.raises(WorldError, match=r"base\[0\] must be a state in 0\.\.2, got 3"):
        state_deviations(table, [0], 3)
    with pytest.raises(WorldError, match=r"reach must have every state as a target, \[3, 3\]"):
        unreachability_penalties(world, exact_table(np.ones((3, 2))), **options)
    with pytest.raises(WorldError, match=r"must hold values of the 2 goals, got 3"):
        attainable_utility_penalties(world, np.ones((3, 2)), table, discount=G, **options)
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\), got 1"):
        rollout_values(world, table, discount=1, **options)
