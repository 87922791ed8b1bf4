"""Every method on worlds of every form: one guarantee, whatever is asked and however."""

import threading
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import (
    downhill,
    dyadic_world,
    figure_one,
    garnet,
    grid,
    random_boundary,
    random_mask,
    random_world,
    renamed,
    sure_moves,
    two_sided,
)

from corrigible.errors import NotSolvedError, WorldError
from corrigible.solve import factors, threads
from corrigible.solve.batch import Method
from corrigible.solve.compiled import kernels, lifting
from corrigible.solve.layout import world_layout
from corrigible.solve.optimal import Solution, Status, optimal_values
from corrigible.solve.oracle import exact_values
from corrigible.solve.rational import rational_values
from corrigible.world.record import world_from_rows

EPS = float(np.finfo(np.float64).eps)
METHODS = [method.value for method in Method]
SEEDS = st.integers(0, 10_000)
quick = settings(max_examples=6, deadline=None)


def deterministic_with_stay():
    return grid(4, 3), {}


def deterministic_without_stay():
    return grid(4, 3, stay=False), {}


def stochastic_with_stay():
    return grid(4, 3, slip=0.25), {}


def stochastic_without_stay():
    return grid(4, 3, stay=False, slip=0.25), {}


def random_branches():
    return garnet(1), {}


def random_components():
    return random_world(3), {}


def layers_to_an_end():
    return downhill(2), {}


def periodic_two_cycle():
    return sure_moves([[1], [0]]), {}


def periodic_choices():
    return two_sided(4), {}


def unreachable_states():
    """Nothing leads to states 3 and 4, one of which can be left; 5 is alone for ever."""
    return sure_moves([[1, 2], [0], [1, 0], [3, 0], [3, 2], [5]]), {}


def fixed_boundary():
    world = garnet(5)
    return world, {"boundary": random_boundary(world, 5)}


def removed_rows():
    world = garnet(6)
    return world, {"available": random_mask(world, 6)}


def boundary_and_removed_rows():
    world = random_world(7)
    return world, {"boundary": random_boundary(world, 7), "available": random_mask(world, 7)}


def single_state():
    return world_from_rows([[("stay", {0: 1.0}), ("stay too", {0: 1.0})]]), {}


FORMS = [
    deterministic_with_stay,
    deterministic_without_stay,
    stochastic_with_stay,
    stochastic_without_stay,
    random_branches,
    random_components,
    layers_to_an_end,
    periodic_two_cycle,
    periodic_choices,
    unreachable_states,
    fixed_boundary,
    removed_rows,
    boundary_and_removed_rows,
    single_state,
]
CLOSED = [  # all components closed, so that every method suits
    deterministic_without_stay,
    stochastic_with_stay,
    random_branches,
    periodic_choices,
]


def name(function):
    return function.__name__


def drawn_goals(world, seed, count=5):
    """Utilities in [-1, 1)."""
    return 2 * np.random.default_rng(seed).random((world.outcomes, count)) - 1


def suits(method, world, *, available=None, boundary=None):
    layout = world_layout(world, discount=0.5, available=available, boundary=boundary)
    return method != "span" or bool(layout.closed.all())


def oracle_error(world, discount):
    """Its policies are within 1e-13 of a best row each, and a dense solve is backward stable:
    the condition of I - d P is at most 2 / (1 - d)."""
    return (1e-13 + 8 * world.states * EPS) / (1 - discount)


def assert_certified(solution, exact, error):
    assert (abs(solution.values - exact).max(axis=0) <= solution.bound + error).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", FORMS, ids=name)
def test_values_are_within_their_bound_of_the_oracle(form, method):
    world, options = form()
    if not suits(method, world, **options):
        return  # what it answers here is promised below
    goals = drawn_goals(world, 1)
    for discount in (0.0, 0.5, 0.95, 0.995):
        solution = optimal_values(world, goals, discount=discount, method=method, **options)
        exact = exact_values(world, goals, discount=discount, **options)
        assert_certified(solution.check(), exact, oracle_error(world, discount))
        assert (solution.bound <= 1e-6).all()


@pytest.mark.parametrize("form", FORMS, ids=name)
def test_methods_agree_within_their_bounds(form):
    world, options = form()
    goals = drawn_goals(world, 2)
    found = [
        optimal_values(world, goals, discount=0.97, method=method, **options)
        for method in METHODS
        if suits(method, world, **options)
    ]
    for one in found:
        assert (abs(one.values - found[0].values) <= one.bound + found[0].bound).all()


@pytest.mark.parametrize("method", METHODS)
def test_values_are_within_their_bound_of_exact_fractions(method):
    """Chances in eighths, and the discount as the float that it is: nothing is read otherwise."""
    world = dyadic_world(1, states=5)
    assert suits(method, world)
    goals = drawn_goals(world, 3)
    solution = optimal_values(world, goals, discount=0.9, method=method).check()
    exact = rational_values(world, goals, discount=Fraction(0.9)).values
    for found, truth in zip(solution.values, exact, strict=True):
        for value, fraction, bound in zip(found, truth, solution.bound, strict=True):
            assert abs(Fraction(float(value)) - fraction) <= Fraction(float(bound))


@pytest.mark.parametrize("form", [layers_to_an_end, random_components], ids=name)
def test_spans_need_components_that_are_not_left(form):
    world, _ = form()
    with pytest.raises(WorldError, match=r"'span' needs .* all closed.*use 'any' or 'sweeps'"):
        optimal_values(world, drawn_goals(world, 0), discount=0.9, method="span")


def test_a_method_of_another_name_is_refused():
    world = figure_one()
    with pytest.raises(WorldError, match=r"one of 'any', 'sweeps', .* got 'magic'"):
        optimal_values(world, drawn_goals(world, 0), discount=0.9, method="magic")


def test_elimination_refuses_a_world_that_is_too_well_connected(monkeypatch):
    monkeypatch.setattr(factors, "MOST_UPDATES", 100)
    world = garnet(8, states=20)
    with pytest.raises(NotSolvedError, match=r"at most 100 updates a policy.*use the method 'any'"):
        optimal_values(world, drawn_goals(world, 0), discount=0.9, method="elimination")


def test_any_method_does_without_an_elimination_that_is_too_long(monkeypatch):
    monkeypatch.setattr(factors, "MOST_UPDATES", 100)
    world = grid(6, 6, stay=False, slip=0.1)
    goals = drawn_goals(world, 0)
    solution = optimal_values(world, goals, discount=0.999, method="any").check()
    exact = exact_values(world, goals, discount=0.999)
    assert_certified(solution, exact, oracle_error(world, 0.999))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("form", CLOSED, ids=name)
def test_a_batch_of_goals_equals_its_members(form, method):
    world, _ = form()
    goals = drawn_goals(world, 4, 33)
    together = optimal_values(world, goals, discount=0.9, method=method)
    for goal in (0, 31, 32):
        alone = optimal_values(world, goals[:, goal : goal + 1], discount=0.9, method=method)
        off = abs(together.values[:, goal] - alone.values[:, 0]).max()
        assert off <= together.bound[goal] + alone.bound[0]


@pytest.mark.parametrize("method", METHODS)
def test_goals_may_lie_in_memory_as_they_like(method):
    """Nor does a kernel compile again for it, which takes seconds."""
    world = garnet(9)
    goals = drawn_goals(world, 4, 33)
    first = optimal_values(world, goals, discount=0.9, method=method)
    modules = kernels(), lifting()
    before = [len(module.solve_goals.signatures) for module in modules]
    fixed = goals.copy()
    fixed.flags.writeable = False
    wide = np.repeat(goals, 2, axis=1)
    for same in (np.asfortranarray(goals), fixed, wide[:, ::2], goals.tolist()):
        found = optimal_values(world, same, discount=0.9, method=method)
        assert (found.values == first.values).all()
        assert (found.bound == first.bound).all()
    assert [len(module.solve_goals.signatures) for module in modules] == before


def test_a_block_that_gets_help_at_once_is_solved_as_one_that_asks_for_it():
    world = sure_moves([[(state + 1) % 40, (state + 3) % 40] for state in range(40)])
    goals = drawn_goals(world, 4, 70)
    asked = optimal_values(world, goals, discount=0.9999).check()
    assert "evaluations of the policy" in asked.method
    again = optimal_values(world, goals, discount=0.9999).check()
    assert again.method == asked.method
    assert (again.values == asked.values).all()
    assert (again.bound == asked.bound).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1, 32, 33])
def test_any_number_of_goals_is_solved(count, method):
    world = garnet(9)
    goals = drawn_goals(world, 5, count)
    solution = optimal_values(world, goals, discount=0.9, method=method).check()
    assert (solution.values.shape, solution.bound.shape) == ((world.states, count), (count,))
    assert len(solution.status) == count
    assert_certified(solution, exact_values(world, goals, discount=0.9), oracle_error(world, 0.9))


@pytest.mark.parametrize("method", METHODS)
@quick
@given(seed=SEEDS)
def test_renaming_states_permutes_values(method, seed):
    world = garnet(seed, states=9)
    order = np.random.default_rng(seed).permutation(world.states)
    goals = drawn_goals(world, seed)
    names = renamed(world, order)
    if not (suits(method, world) and suits(method, names)):
        return
    one = optimal_values(world, goals, discount=0.9, method=method)
    other = optimal_values(names, goals, discount=0.9, method=method)
    assert (abs(one.values[order] - other.values) <= one.bound + other.bound).all()


@pytest.mark.parametrize("method", METHODS)
@quick
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_an_affine_change_of_utilities_changes_values_alike(method, seed, factor, shift):
    world = two_sided(seed)
    if not suits(method, world):
        return
    goals = drawn_goals(world, seed)
    one = optimal_values(world, goals, discount=0.9, method=method)
    other = optimal_values(world, factor * goals + shift, discount=0.9, method=method)
    rounding = 8 * EPS * (factor + abs(shift))  # of the goals and of what they are compared with
    off = abs(factor * one.values + shift - other.values)
    assert (off <= factor * one.bound + other.bound + rounding).all()


@pytest.mark.parametrize("method", METHODS)
@quick
@given(seed=SEEDS)
def test_one_more_action_never_lowers_a_value(method, seed):
    world = garnet(seed)
    goals, mask = drawn_goals(world, seed), random_mask(world, seed)
    if not (suits(method, world) and suits(method, world, available=mask)):
        return
    more = optimal_values(world, goals, discount=0.95, method=method)
    less = optimal_values(world, goals, discount=0.95, available=mask, method=method)
    assert (less.values <= more.values + more.bound + less.bound).all()


def from_another_discount(world, goals):
    return optimal_values(world, goals, discount=0.5)


def from_far_above(world, goals):
    return Solution(np.full((world.states, goals.shape[1]), 1e3), np.zeros(0), (), "")


def from_far_below(world, goals):
    return Solution(np.full((world.states, goals.shape[1]), -1e3), np.zeros(0), (), "")


def from_nothing_finite(world, goals):
    return Solution(np.full((world.states, goals.shape[1]), np.nan), np.zeros(0), (), "")


STARTS = [from_another_discount, from_far_above, from_far_below, from_nothing_finite]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("start", STARTS, ids=name)
@pytest.mark.parametrize("form", CLOSED, ids=name)
def test_a_start_does_not_change_what_is_guaranteed(form, start, method):
    world, _ = form()
    goals = drawn_goals(world, 6)
    begin = start(world, goals)
    solution = optimal_values(world, goals, discount=0.98, start=begin, method=method).check()
    exact = exact_values(world, goals, discount=0.98)
    assert_certified(solution, exact, oracle_error(world, 0.98))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("method", METHODS)
def test_float32_storage_keeps_an_honest_bound(method, scale):
    world = garnet(10)
    goals = scale * drawn_goals(world, 7)
    solution = optimal_values(world, goals, discount=0.9, storage=np.float32, method=method)
    assert solution.values.dtype == np.float32
    exact = exact_values(world, goals, discount=0.9)
    assert_certified(solution, exact, scale * oracle_error(world, 0.9))
    assert (solution.bound <= 1e-6 + 2.0**-23 * scale).all()


def test_other_storage_is_refused():
    with pytest.raises(WorldError, match="float64 or float32, got 'float16'"):
        optimal_values(figure_one(), np.zeros((8, 1)), discount=0.9, storage=np.float16)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [1, 33, 200])
def test_progress_counts_up_to_all_goals(count, method):
    world, told = garnet(11), []
    goals = drawn_goals(world, 8, count)
    optimal_values(
        world, goals, discount=0.99, method=method, progress=lambda *pair: told.append(pair)
    )
    done = [pair[0] for pair in told]
    assert done == sorted(set(done))
    assert told[-1] == (count, count)
    assert {pair[1] for pair in told} == {count}


def interrupt(_done, _all):
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupt_leaves_no_thread_behind_and_no_wrong_result(method):
    world, before = garnet(12), threading.active_count()
    goals = drawn_goals(world, 9, 200)
    with pytest.raises(KeyboardInterrupt):
        optimal_values(world, goals, discount=0.99, method=method, progress=interrupt)
    assert threading.active_count() == before
    again = optimal_values(world, goals, discount=0.99, method=method).check()
    exact = exact_values(world, goals, discount=0.99)
    assert_certified(again, exact, oracle_error(world, 0.99))


def test_an_interrupt_is_told_to_the_pieces_that_already_run(monkeypatch):
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    cancel, saw, begun = np.zeros(1, dtype=np.uint8), [], threading.Event()

    def work(span):
        if span[0] == 0:
            begun.wait(5)
            return
        begun.set()
        end = time.monotonic() + 5
        while not cancel[0] and time.monotonic() < end:
            time.sleep(1e-3)
        saw.append(int(cancel[0]))

    with pytest.raises(KeyboardInterrupt):
        threads.share_out(2, work, size=1, cancel=cancel, progress=interrupt)
    assert saw == [1]


@pytest.mark.parametrize("method", METHODS)
def test_values_do_not_depend_on_how_many_threads_there_are(monkeypatch, method):
    """The world is laid out anew each time, so that nothing is remembered of the last one."""
    goals = drawn_goals(grid(8, 8), 10, 2000)
    found = []
    for count in (1, 2, 7):
        monkeypatch.setattr(threads, "thread_count", lambda count=count: count)
        found.append(optimal_values(grid(8, 8, slip=0.25), goals, discount=0.9, method=method))
    for other in found[1:]:
        assert (other.values == found[0].values).all()
        assert (other.bound == found[0].bound).all()


def test_a_world_whose_states_are_all_fixed_is_worth_what_was_given():
    world = garnet(14)
    boundary = random_boundary(world, 14)
    boundary.states[:] = True
    goals = drawn_goals(world, 11)
    solution = optimal_values(world, goals, discount=0.9, boundary=boundary)
    assert solution.status == (Status.CONVERGED,) * 5
    assert ((solution.bound >= 0) & (solution.bound <= 1e-12)).all()
    assert abs(solution.values - boundary.occupancy @ goals).max() <= 1e-15 * world.outcomes


def test_elimination_has_nothing_to_do_where_all_states_are_fixed():
    world = garnet(15)
    boundary = random_boundary(world, 15)
    boundary.states[:] = True
    goals = drawn_goals(world, 12)
    options = {"discount": 0.9, "boundary": boundary}
    one, other = (optimal_values(world, goals, method=m, **options) for m in ("any", "elimination"))
    assert (one.values == other.values).all()
