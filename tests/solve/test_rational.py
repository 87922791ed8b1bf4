"""Exact arithmetic: against closed forms, the float oracle, and the equations themselves."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import figure_one, random_world, renamed

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.optimal import optimal_values
from corrigible.solve.oracle import exact_values
from corrigible.solve.rational import (
    absorption_probabilities,
    as_fraction,
    discounted_visits,
    expansion_at_one,
    expansion_at_zero,
    hull_membership,
    limit_distributions,
    policy_chain,
    rational_rows,
    rational_values,
    recurrent_classes,
    solve_exactly,
    stationary_distribution,
)
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
quick = settings(max_examples=20, deadline=None)
HALF = Fraction(1, 2)
RUIN = {  # a walk on 0..3 that ends at either end, and a two-cycle that it never comes to
    0: {0: Fraction(1)},
    1: {0: Fraction(2, 3), 2: Fraction(1, 3)},
    2: {1: Fraction(2, 3), 3: Fraction(1, 3)},
    3: {3: Fraction(1)},
    4: {5: Fraction(1)},
    5: {4: Fraction(1)},
}


def some_chain(seed, states=5):
    world = random_world(seed, states=states)
    rng = np.random.default_rng(seed)
    pairs = zip(world.rows[:-1], world.rows[1:], strict=True)
    policy = {s: int(rng.integers(*pair)) for s, pair in enumerate(pairs)}
    return policy_chain(rational_rows(world), policy)


@pytest.mark.parametrize(
    ("given_", "meant"),
    [
        (0.1, Fraction(1, 10)),
        (1 / 3, Fraction(1, 3)),
        ("9/10", Fraction(9, 10)),
        (1, Fraction(1)),
        (np.int64(2), Fraction(2)),
        (np.float64(0.975), Fraction(39, 40)),
        (1e-12, Fraction(1e-12)),
        (Fraction(2, 7), Fraction(2, 7)),
    ],
)
def test_a_number_is_read_as_it_was_meant(given_, meant):
    assert as_fraction(given_) == meant


@given(st.floats(1e-300, 1))
def test_what_a_float_is_read_as_rounds_to_it(value):
    assert float(as_fraction(value)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a half", None])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(WorldError, match="must be finite and read as a fraction"):
        as_fraction(value)


@quick
@given(seed=SEEDS)
def test_rows_sum_to_exactly_one_and_stay_where_they_were(seed):
    world = random_world(seed)
    rows = rational_rows(world)
    assert all(sum(row.values()) == 1 for row in rows)
    flat = [float(p) for row in rows for p in row.values()]
    assert np.abs(flat - world.probability).max() <= 1e-9


def test_tenths_stay_tenths():
    world = world_from_rows([[("a", {0: 0.1, 1: 0.2, 2: 0.7})], [("a", {1: 1})], [("a", {2: 1})]])
    assert rational_rows(world)[0] == {0: Fraction(1, 10), 1: Fraction(1, 5), 2: Fraction(7, 10)}


@quick
@given(seed=SEEDS, discount=st.sampled_from(["0", "1/3", "9/10", "199/200"]))
def test_rational_values_obey_bellmans_equation_exactly(seed, discount):
    world, step = random_world(seed, states=5, outcomes=3), Fraction(discount)
    goals = np.random.default_rng(seed).integers(0, 9, (3, 2))
    solved, rows = rational_values(world, goals, discount=discount), rational_rows(world)
    for s in range(world.states):
        for g in range(2):
            span = range(world.rows[s], world.rows[s + 1])
            worth = {r: sum(p * solved.values[t][g] for t, p in rows[r].items()) for r in span}
            own = (1 - step) * int(goals[world.outcome[s], g])
            assert solved.values[s][g] == own + step * max(worth.values())
            assert worth[solved.rows[s][g]] == max(worth.values())


@quick
@given(seed=SEEDS)
def test_the_float_oracle_and_the_kernels_agree_with_the_rational_values(seed):
    world = random_world(seed, states=6)
    goals = np.random.default_rng(seed).random((world.outcomes, 3))
    exact = np.array(rational_values(world, goals, discount=0.9).values, dtype=float)
    assert np.abs(exact - exact_values(world, goals, discount=0.9)).max() <= 1e-12
    solution = optimal_values(world, goals, discount=0.9)
    assert (np.abs(exact - solution.values).max(axis=0) <= solution.bound + 1e-12).all()


def test_figure_one_has_the_values_that_follow_from_its_edges():
    world = figure_one()
    goal = [[Fraction(s, 7)] for s in range(8)]
    solved = rational_values(world, goal, discount="1/2")
    assert solved.values[7] == (1,)
    assert solved.values[1] == (Fraction(1, 7),)
    assert solved.values[4] == (Fraction(4, 7),)


def test_goals_of_the_wrong_shape_and_discounts_of_one_are_refused():
    with pytest.raises(WorldError, match=r"shape \[8, G\]"):
        rational_values(figure_one(), [[1]], discount=0.5)
    with pytest.raises(DiscountError, match=r"in \[0, 1\), got 1"):
        rational_values(figure_one(), np.ones((8, 1)), discount=1)
    with pytest.raises(WorldError, match="got nan"):
        rational_values(figure_one(), np.full((8, 1), np.nan), discount=0.5)


@quick
@given(seed=SEEDS)
def test_a_solved_system_holds(seed):
    rng = np.random.default_rng(seed)
    matrix = [[Fraction(int(x), 7) for x in row] for row in rng.integers(-9, 9, (4, 4))]
    if abs(np.linalg.det(np.array(matrix, dtype=float))) < 1e-9:
        return
    right = [[Fraction(int(x))] for x in rng.integers(-9, 9, 4)]
    found = solve_exactly(matrix, right)
    back = [[sum(a * x[0] for a, x in zip(row, found, strict=True))] for row in matrix]
    assert back == right


def test_a_singular_system_is_refused():
    with pytest.raises(NotSolvedError, match="got rank 1 of 2"):
        solve_exactly([[HALF, HALF], [HALF, HALF]], [[HALF], [HALF]])


def test_the_gamblers_ruin_ends_as_its_closed_form_says():
    """From 1 of 3 with odds 1:2: (2**1 - 1) / (2**3 - 1) to win."""
    assert recurrent_classes(RUIN) == ((0,), (3,), (4, 5))
    assert absorption_probabilities(RUIN)[1] == (Fraction(6, 7), Fraction(1, 7), 0)
    assert stationary_distribution(RUIN, (4, 5)) == {4: HALF, 5: HALF}
    assert limit_distributions(RUIN)[1] == {0: Fraction(6, 7), 3: Fraction(1, 7)}
    assert limit_distributions(RUIN)[4] == {4: HALF, 5: HALF}


@quick
@given(seed=SEEDS)
def test_visits_sum_to_one_and_the_long_run_is_stationary(seed):
    chain = some_chain(seed)
    assert sum(discounted_visits(chain, 0, Fraction(9, 10)).values()) == 1
    limit = limit_distributions(chain)[0]
    moved = {t: sum(w * chain[s].get(t, 0) for s, w in limit.items()) for t in chain}
    assert {t: w for t, w in moved.items() if w} == limit
    assert sum(limit.values()) == 1


@quick
@given(seed=SEEDS)
def test_both_series_add_up_to_the_visits_near_their_ends(seed):
    chain, near = some_chain(seed, 4), Fraction(1, 10**6)
    for discount, terms, ratio in [
        (1 - near, expansion_at_one(chain, 0, 5), near / (1 - near)),
        (near, expansion_at_zero(chain, 0, 5), near),
    ]:
        visits = discounted_visits(chain, 0, discount)
        sums = {s: sum(t.get(s, 0) * ratio**k for k, t in enumerate(terms[:4])) for s in chain}
        if discount == near:
            sums = {s: (1 - near) * (near * x + (s == 0)) for s, x in sums.items()}
        off = max(abs(visits.get(s, 0) - sums[s]) for s in chain)
        assert off <= 2 * ratio**4 * max(map(abs, terms[4].values()), default=0)


@quick
@given(seed=SEEDS)
def test_hull_membership_proves_its_answer(seed):
    rng = np.random.default_rng(seed)
    points = [tuple(Fraction(int(x), 5) for x in p) for p in rng.integers(-3, 6, (6, 2))]
    found = hull_membership(points[0], points[1:])
    if found.weights is not None:
        assert min(found.weights) >= 0
        assert sum(found.weights) == 1
        mixed = zip(*points[1:], strict=True)
        mix = tuple(sum(w * x for w, x in zip(found.weights, c, strict=True)) for c in mixed)
        assert mix == points[0]
    else:
        heights = [sum(r * x for r, x in zip(found.normal, p, strict=True)) for p in points]
        assert heights[0] > max(heights[1:])
        assert max(map(abs, found.normal)) <= 1


@quick
@given(seed=SEEDS)
def test_renaming_states_renames_rational_values(seed):
    world = random_world(seed, states=5)
    order = np.random.default_rng(seed).permutation(5)
    goals = np.random.default_rng(seed).random((world.outcomes, 1))
    values = rational_values(world, goals, discount=0.9).values
    again = rational_values(renamed(world, order), goals, discount=0.9).values
    assert [values[s] for s in order] == list(again)
