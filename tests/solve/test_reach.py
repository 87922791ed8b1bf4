"""Reachability, against linear algebra, closed forms and brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import random_mask, random_world

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.oracle import dense_rows
from corrigible.solve.reach import end_components, hitting_values
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
quick = settings(max_examples=15, deadline=None)


def hitting_of_policy(world, rows, target, discount):
    """One policy's `E[discount ** tau]`, the least solution of its equations."""
    moves = dense_rows(world)[rows]
    reaches = np.eye(world.states, dtype=bool)[target]
    for _ in range(world.states):
        reaches |= (moves[:, reaches] > 0).any(axis=1)
    system, right = np.eye(world.states) - discount * moves, np.zeros(world.states)
    for state in np.flatnonzero(~reaches | (np.arange(world.states) == target)):
        system[state], right[state] = np.eye(world.states)[state], float(state == target)
    return np.linalg.solve(system, right)


def best_hitting(world, target, discount):
    """The best over all policies, by trying them all."""
    choices = [range(a, b) for a, b in zip(world.rows[:-1], world.rows[1:], strict=True)]
    each = [hitting_of_policy(world, list(p), target, discount) for p in product(*choices)]
    return np.max(each, axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("discount", [0.0, 0.9, 0.999, 1.0])
@quick
@given(seed=SEEDS)
def test_values_are_the_best_of_all_policies(discount, seed):
    world = random_world(seed, states=4)
    solution = hitting_values(world, range(4), discount=discount).check()
    exact = np.stack([best_hitting(world, t, discount) for t in range(4)], axis=1)
    assert (abs(solution.values - exact).max(axis=0) <= solution.bound + 1e-12).all()


def test_a_path_takes_its_length():
    """In a deterministic world the value is discount to the distance (Krakovna et al. 2019)."""
    world = world_from_rows([[("on", {min(s + 1, 6): 1.0})] for s in range(7)])
    values = hitting_values(world, [6], discount=0.99, tolerance=1e-9).values
    assert abs(values[:, 0] - 0.99 ** np.arange(6, -1, -1)).max() <= 1e-9


@pytest.mark.parametrize("chance", [0.5, 0.4])
def test_the_gambler_is_ruined_at_the_known_rate(chance):
    """P(n before 0 from i) = (1 - r^i) / (1 - r^n), r the odds against (Feller 1968, XIV.2)."""
    n = 20
    steps = [{s - 1: 1 - chance, s + 1: chance} for s in range(1, n)]
    world = world_from_rows(
        [[("end", {0: 1.0})], *([("bet", p)] for p in steps), [("end", {n: 1.0})]]
    )
    odds, at = (1 - chance) / chance, np.arange(n + 1)
    exact = at / n if chance == 0.5 else (1 - odds**at) / (1 - odds**n)
    solution = hitting_values(world, [n], discount=1).check()
    assert abs(solution.values[:, 0] - exact).max() <= solution.bound[0]


def test_keeping_to_a_safe_circle_does_not_count_as_arriving():
    """Sweeps from above alone would stay at 1 on the circle for ever."""
    world = world_from_rows(
        [
            [("round", {1: 1.0})],
            [("round", {0: 1.0}), ("leave", {2: 0.25, 3: 0.75})],
            [("stay", {2: 1.0})],
            [("stay", {3: 1.0})],
        ]
    )
    values = hitting_values(world, [2], discount=1).values
    assert abs(values[:, 0] - [0.25, 0.25, 1, 0]).max() <= 1e-6


def test_end_components_are_where_one_can_stay():
    world = world_from_rows(
        [
            [("on", {1: 1.0})],
            [("back", {0: 0.5, 2: 0.5}), ("round", {3: 1.0})],
            [("stay", {2: 1.0})],
            [("round", {1: 1.0})],
        ]
    )
    component = end_components(world, np.ones(5, dtype=bool))
    assert component[0] == -1
    assert component[1] == component[3] != component[2]


@quick
@given(seed=SEEDS)
def test_removing_rows_never_brings_a_state_nearer(seed):
    world = random_world(seed)
    targets, mask = range(world.states), random_mask(world, seed)
    for discount in (0.9, 1):
        full = hitting_values(world, targets, discount=discount)
        less = hitting_values(world, targets, discount=discount, available=mask)
        assert (less.values <= full.values + full.bound + less.bound).all()


@quick
@given(seed=SEEDS)
def test_values_are_1_at_the_target_and_within_0_and_1(seed):
    world = random_world(seed)
    values = hitting_values(world, range(world.states), discount=0.9).values
    assert (np.diag(values) == 1).all()
    assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize("seed", [1084, 5200])
def test_evaluating_policies_reads_a_row_for_the_held_state_too(seed):
    """For other targets of the batch the state that one target holds has a row like any other."""
    world = random_world(seed)
    solution = hitting_values(world, range(world.states), discount=0.9).check()
    assert "evaluations of the policy" in solution.method
    alone = [hitting_values(world, [t], discount=0.9).values[:, 0] for t in range(world.states)]
    assert abs(solution.values - np.stack(alone, axis=1)).max() <= 2 * solution.bound.max()


@pytest.mark.parametrize("targets", [[12], [-1], [[0]]])
def test_a_target_that_is_no_state_is_refused(targets):
    with pytest.raises(WorldError, match=r"targets must be states in 0\.\.11, got"):
        hitting_values(random_world(0), targets, discount=0.9)


def test_a_discount_above_one_is_refused():
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\], got 1.1"):
        hitting_values(random_world(0), [0], discount=1.1)
