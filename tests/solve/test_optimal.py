"""Optimal values: the certified bound, the laws, and agreement with what others compute."""

import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from small_worlds import figure_one, random_boundary, random_mask, random_world, renamed

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve import batch
from corrigible.solve.layout import Boundary, world_layout
from corrigible.solve.optimal import Status, greedy_rows, optimal_values
from corrigible.solve.oracle import bellman_residual, dense_rows, exact_values
from corrigible.world.record import world_from_arrays, world_from_rows

SEEDS = st.integers(0, 10_000)
DISCOUNTS = st.sampled_from([0.0, 0.3, 0.9, 0.975, 0.995])
quick = settings(max_examples=25, deadline=None)


def plain(_world, _seed):
    return {}


def with_removed_rows(world, seed):
    return {"available": random_mask(world, seed)}


def with_boundary(world, seed):
    return {"boundary": random_boundary(world, seed)}


def with_both(world, seed):
    return with_removed_rows(world, seed) | with_boundary(world, seed)


FORMS = [plain, with_removed_rows, with_boundary, with_both]


def name(function):
    return function.__name__


def drawn_goals(world, seed, count=5):
    return np.random.default_rng(seed).random((world.outcomes, count))


def dense_random_world(seed, states=20):
    rng = np.random.default_rng(seed)
    return world_from_arrays(rng.dirichlet(np.ones(states), size=(3, states)))


@pytest.mark.parametrize("form", FORMS, ids=name)
@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_values_are_within_their_bound_of_the_exact_ones(form, seed, discount):
    world = random_world(seed)
    goals, options = drawn_goals(world, seed), form(world, seed)
    solution = optimal_values(world, goals, discount=discount, **options).check()
    exact = exact_values(world, goals, discount=discount, **options)
    assert (abs(solution.values - exact).max(axis=0) <= solution.bound + 1e-12).all()
    assert (solution.bound <= 1e-6).all()


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-11])
def test_bounds_are_within_the_tolerance_asked_for(tolerance):
    world = dense_random_world(1)
    goals = drawn_goals(world, 1)
    solution = optimal_values(world, goals, discount=0.99, tolerance=tolerance).check()
    off = abs(solution.values - exact_values(world, goals, discount=0.99)).max(axis=0)
    assert (off <= solution.bound).all()
    assert (solution.bound <= tolerance).all()


@pytest.mark.parametrize("seed", range(3))
def test_a_world_that_mixes_well_takes_few_sweeps_and_keeps_its_bound(seed):
    """Sweeps that wait for every value to rest would take over a thousand at this discount."""
    world = dense_random_world(seed)
    goals = drawn_goals(world, seed, 40)
    solution = optimal_values(world, goals, discount=0.995).check()
    exact = exact_values(world, goals, discount=0.995)
    assert (abs(solution.values - exact).max(axis=0) <= solution.bound).all()
    assert int(re.search(r"at most (\d+)", solution.method)[1]) < 100


@quick
@given(seed=SEEDS, discount=DISCOUNTS)
def test_cycles_that_never_mix_keep_their_bound_too(seed, discount):
    rng = np.random.default_rng(seed)
    steps = rng.permuted(np.tile(np.arange(1, 3), (6, 1)), axis=1)
    world = world_from_rows(
        [[(f"by {k}", {(s + int(k)) % 6: 1.0}) for k in steps[s]] for s in range(6)]
    )
    goals = drawn_goals(world, seed)
    solution = optimal_values(world, goals, discount=discount).check()
    exact = exact_values(world, goals, discount=discount)
    assert (abs(solution.values - exact).max(axis=0) <= solution.bound + 1e-12).all()


@pytest.mark.parametrize("count", [1, 31, 32, 33, 70])
def test_a_batch_of_goals_equals_its_members(count):
    world = random_world(7)
    goals = drawn_goals(world, 7, count)
    together = optimal_values(world, goals, discount=0.9)
    alone = optimal_values(world, goals[:, -1:], discount=0.9)
    assert together.values.shape == (world.states, count)
    assert abs(together.values[:, -1:] - alone.values).max() <= 2e-6


def test_the_residual_is_the_one_that_the_oracle_measures():
    world = dense_random_world(3)
    goals = drawn_goals(world, 3)
    solution = optimal_values(world, goals, discount=0.9, tolerance=1e-3)
    residual = bellman_residual(world, goals, solution.values, discount=0.9, available=None)
    assert (residual <= solution.bound * (1 - 0.9) + 1e-15).all()


@pytest.mark.parametrize("world", [figure_one(), random_world(5), dense_random_world(5, states=8)])
def test_values_equal_those_of_the_linear_program(world):
    discount, goal = 0.9, drawn_goals(world, 5, 1)
    reward = (1 - discount) * goal[world.outcome, 0]
    home = np.eye(world.states)[world.row_state]
    program = linprog(
        np.ones(world.states),
        A_ub=discount * dense_rows(world) - home,
        b_ub=-reward[world.row_state],
        bounds=(None, None),
    )
    solution = optimal_values(world, goal, discount=discount)
    assert abs(solution.values[:, 0] - program.x).max() <= 2e-6


@quick
@given(seed=SEEDS)
def test_renaming_states_permutes_values(seed):
    world = random_world(seed)
    order = np.random.default_rng(seed).permutation(world.states)
    goals = drawn_goals(world, seed)
    values = optimal_values(world, goals, discount=0.9).values
    again = optimal_values(renamed(world, order), goals, discount=0.9).values
    assert abs(values[order] - again).max() <= 2e-6


@quick
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_an_affine_change_of_utilities_changes_values_alike(seed, factor, shift):
    world = random_world(seed)
    goals = drawn_goals(world, seed)
    values = optimal_values(world, goals, discount=0.9, tolerance=1e-9).values
    other = optimal_values(world, factor * goals + shift, discount=0.9, tolerance=1e-9).values
    assert abs(factor * values + shift - other).max() <= 1e-9 * (factor + 1) + 1e-11


@quick
@given(seed=SEEDS)
def test_removing_rows_never_raises_a_value(seed):
    world = random_world(seed)
    goals, mask = drawn_goals(world, seed), random_mask(world, seed)
    full = optimal_values(world, goals, discount=0.95)
    less = optimal_values(world, goals, discount=0.95, available=mask)
    assert (less.values <= full.values + full.bound + less.bound).all()


@pytest.mark.slow
@quick
@given(seed=SEEDS)
def test_a_warm_start_leads_to_the_same_values(seed):
    world = random_world(seed)
    goals, mask = drawn_goals(world, seed), random_mask(world, seed)
    sibling = optimal_values(world, goals, discount=0.95)
    cold = optimal_values(world, goals, discount=0.95, available=mask)
    warm = optimal_values(world, goals, discount=0.95, available=mask, start=sibling)
    assert (abs(warm.values - cold.values) <= warm.bound + cold.bound).all()


def test_folding_a_boundary_equals_solving_through_it():
    """A state that cannot choose may as well be given by its occupancy."""
    world = world_from_rows(
        [
            [("stay", {0: 1.0}), ("go", {1: 0.5, 2: 0.5})],
            [("on", {1: 0.9, 2: 0.1})],
            [("on", {2: 1.0})],
        ]
    )
    last = (1 - 0.9) / (1 - 0.81)
    occupancy = np.array([[0, 0, 0], [0, last, 1 - last], [0, 0, 1.0]])
    boundary = Boundary(np.array([False, True, True]), occupancy)
    goals = drawn_goals(world, 0)
    through = optimal_values(world, goals, discount=0.9)
    folded = optimal_values(world, goals, discount=0.9, boundary=boundary)
    assert abs(through.values - folded.values).max() <= 2e-6


def test_discount_zero_is_worth_the_reward():
    world = random_world(2)
    goals = drawn_goals(world, 2)
    assert (optimal_values(world, goals, discount=0.0).values == goals[world.outcome]).all()


def test_staying_for_ever_is_worth_its_reward():
    world = world_from_rows([[("stay", {0: 1.0})]])
    assert optimal_values(world, [[0.7]], discount=0.999).values[0, 0] == pytest.approx(0.7)


def test_components_come_after_all_that_they_lead_to():
    world = random_world(11, states=40)
    layout = world_layout(world, discount=0.9, available=None, boundary=None)
    part = np.repeat(np.arange(len(layout.component) - 1), np.diff(layout.component))
    home = np.repeat(np.arange(world.states), np.diff(layout.first_row))
    row = np.repeat(np.arange(len(layout.row)), np.diff(layout.whole.first))
    inside = layout.whole.line < world.states
    assert (part[layout.whole.line[inside]] <= part[home[row[inside]]]).all()


def test_a_goal_that_is_not_finite_does_not_stop_the_others():
    world = random_world(4)
    goals = drawn_goals(world, 4, 3)
    goals[1, 1] = np.nan
    solution = optimal_values(world, goals, discount=0.9)
    assert solution.status == (Status.CONVERGED, Status.NOT_FINITE, Status.CONVERGED)
    assert np.isnan(solution.values[:, 1]).all()
    with pytest.raises(NotSolvedError, match=r"goal 1 must be solved .* got bound inf"):
        solution.check()


def test_running_out_of_sweeps_is_said_and_the_bound_still_holds(monkeypatch):
    monkeypatch.setattr(batch, "MAX_SWEEPS", 2)
    monkeypatch.setattr(batch, "MAX_ROUNDS", 1)
    world = dense_random_world(6)
    goals = drawn_goals(world, 6)
    solution = optimal_values(world, goals, discount=0.99, method="sweeps")
    off = abs(solution.values - exact_values(world, goals, discount=0.99)).max(axis=0)
    assert set(solution.status) == {Status.SWEEPS_EXHAUSTED}
    assert (off <= solution.bound).all()


@pytest.mark.parametrize("discount", [-0.1, 1.0, 2, float("nan")])
def test_a_discount_out_of_range_is_named(discount):
    with pytest.raises(DiscountError, match=r"discount must lie in \[0, 1\), got"):
        optimal_values(random_world(0), drawn_goals(random_world(0), 0), discount=discount)


@pytest.mark.parametrize("tolerance", [0, -1e-6, float("inf"), float("nan")])
def test_a_tolerance_out_of_range_is_named(tolerance):
    world = random_world(0)
    with pytest.raises(DiscountError, match="tolerance must be positive and finite, got"):
        optimal_values(world, drawn_goals(world, 0), discount=0.9, tolerance=tolerance)


def test_a_state_left_without_rows_is_named():
    world = random_world(0)
    mask = np.ones(len(world.action), dtype=bool)
    mask[world.rows[3] : world.rows[4]] = False
    with pytest.raises(WorldError, match="state 3 must keep a row that is available"):
        optimal_values(world, drawn_goals(world, 0), discount=0.9, available=mask)


def test_goals_of_another_shape_are_refused():
    world = random_world(0)
    with pytest.raises(WorldError, match=r"goals must have the shape \[4, G\].*got \[3, 2\]"):
        optimal_values(world, np.zeros((3, 2)), discount=0.9)


def test_a_start_of_another_shape_is_refused():
    world = random_world(0)
    start = optimal_values(world, drawn_goals(world, 0, 2), discount=0.9)
    with pytest.raises(WorldError, match=r"start must hold values of the shape \[12, 5\]"):
        optimal_values(world, drawn_goals(world, 0), discount=0.9, start=start)


def test_a_boundary_that_is_not_finite_is_refused():
    world = random_world(0)
    occupancy = np.full((world.states, world.outcomes), 0.25)
    occupancy[5, 0] = np.inf
    boundary = Boundary(np.arange(world.states) == 5, occupancy)
    with pytest.raises(WorldError, match="occupancy of state 5 must be finite"):
        optimal_values(world, drawn_goals(world, 0), discount=0.9, boundary=boundary)


def test_greedy_rows_are_worth_the_optimal_values():
    world = random_world(9)
    goals = drawn_goals(world, 9)
    values = exact_values(world, goals, discount=0.9)
    rows = greedy_rows(world, goals, values, discount=0.9)
    worth = 0.9 * np.einsum("sgt,tg->sg", dense_rows(world)[rows], values)
    assert abs(0.1 * goals[world.outcome] + worth - values).max() <= 1e-12


def test_ties_go_to_the_lowest_rank_then_to_the_first_row():
    world = world_from_rows([[(action, {0: 1.0}) for action in "abcd"]])
    values = optimal_values(world, [[1.0]], discount=0.9).values
    ranked = greedy_rows(world, [[1.0]], values, discount=0.9, rank=np.array([2, 1, 1, 3]))
    assert (ranked.item(), greedy_rows(world, [[1.0]], values, discount=0.9).item()) == (1, 0)


def test_only_rows_within_the_tie_are_as_good():
    world = world_from_rows(
        [[("a", {1: 1.0}), ("b", {2: 1.0})], *([("s", {i: 1.0})] for i in (1, 2))]
    )
    values = np.array([[1.0], [1.0], [1.0 + 1e-6]])
    goals = np.zeros((3, 1))
    chosen = [
        greedy_rows(world, goals, values, discount=0.5, tie=tie)[0, 0] for tie in (1e-9, 1e-6)
    ]
    assert chosen == [1, 0]


def test_greedy_rows_keep_to_the_available_ones_and_skip_the_boundary():
    world = random_world(9)
    goals, options = drawn_goals(world, 9, 40), with_both(world, 9)
    values = optimal_values(world, goals, discount=0.9, **options).values
    rows = greedy_rows(world, goals, values, discount=0.9, **options)
    fixed = options["boundary"].states
    assert (rows[fixed] == -1).all()
    assert options["available"][rows[~fixed]].all()


def test_a_layout_is_used_again_and_few_are_kept():
    world = random_world(1)
    options = {"available": None, "boundary": None}
    layouts = [world_layout(world, discount=d / 20, **options) for d in (1, 1, *range(2, 12), 1)]
    assert layouts[0] is layouts[1]
    assert layouts[0] is not layouts[-1]
    assert all(a is not b for a, b in pairwise(layouts[1:]))
