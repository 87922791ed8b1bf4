"""Visit distributions: the sizes and the listing that Turner et al. 2021 print, and laws."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import FIGURE_ONE, figure_one, random_world, renamed

from corrigible.errors import DiscountError, WorldError, WorldTooLargeError
from corrigible.solve.policy import outcome_occupancy
from corrigible.solve.rational import rational_values
from corrigible.solve.visits import (
    extreme_points,
    nondominated,
    recurrent_distributions,
    visit_distributions,
)
from corrigible.world.record import world_from_rows

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 10_000)
quick = settings(max_examples=15, deadline=None)
STAR, LEFT, RIGHT = FIGURE_ONE["star"], 1, 2
HALF = Fraction(1, 2)


def small(seed):
    """A random world of 4 states, each its own outcome, of at most a few hundred policies."""
    return random_world(seed, states=4, outcomes=4)


def inner(one, other):
    return sum(a * b for a, b in zip(one, other, strict=True))


def at(**weights):  # noqa: ANN003 - a state is a name
    """A distribution over the states of figure 1, by their names."""
    names = ("star", "null", "lL", "lUL", "lDL", "rR", "rUR", "rDR")
    return tuple(Fraction(weights.get(name, 0)) for name in names)


@pytest.mark.parametrize(("row", "size"), [(LEFT, 4), (RIGHT, 6), (None, 11)])
def test_figure_one_has_the_printed_sizes(row, size):
    """Printed: |F(star; left)| = 4, |F(star; right)| = 6; null adds one."""
    assert len(visit_distributions(figure_one(), STAR, discount="9/10", row=row).policies) == size


def test_figure_one_has_the_printed_recurrent_distributions():
    found = recurrent_distributions(figure_one(), STAR).distributions
    mix = at(rUR=HALF, rDR=HALF)
    left = {at(lDL=1), at(lUL=HALF, lDL=HALF)}
    assert set(found) == left | {at(null=1), at(rUR=1), at(rDR=1), mix}
    told = nondominated(found)
    assert {found[i] for i in range(6)} - {found[i] for i in told.indices} == {mix}
    (weights,) = told.mixtures.values()
    halves = {found[told.indices[k]] for k, w in enumerate(weights) if w == HALF}
    assert halves == {at(rUR=1), at(rDR=1)}


@quick
@given(seed=SEEDS, discount=st.sampled_from(["0", "1/2", "9/10"]))
def test_visits_sum_to_one_and_start_where_they_start(seed, discount):
    visits = visit_distributions(small(seed), 0, discount=discount)
    assert all(sum(each) == 1 for each in visits.distributions)
    assert all(each[0] >= 1 - Fraction(discount) for each in visits.distributions)
    assert len(set(visits.distributions)) == len(visits.distributions)


@quick
@given(seed=SEEDS)
def test_the_best_visits_are_worth_the_optimal_value(seed):
    """V* = max f.r, for every start; and an optimal policy's own visits are such an f."""
    world = small(seed)
    goal = [Fraction(int(x)) for x in np.random.default_rng(seed).integers(0, 99, 4)]
    solved = rational_values(world, [[x] for x in goal], discount="4/5")
    for state in range(4):
        visits = visit_distributions(world, state, discount="4/5")
        worth = [inner(each, goal) for each in visits.distributions]
        assert max(worth) == solved.values[state][0]
        chosen = visit_distributions(world, state, discount="4/5", row=solved.rows[state][0])
        assert max(inner(each, goal) for each in chosen.distributions) == max(worth)


@quick
@given(seed=SEEDS)
def test_each_policy_has_the_visits_that_floats_find(seed):
    world = small(seed)
    visits = visit_distributions(world, 0, discount="9/10")
    for each, policy in zip(visits.array, visits.policies, strict=True):
        rows = np.where(np.array(policy) < 0, world.rows[:-1], policy)
        assert np.abs(outcome_occupancy(world, rows, discount=0.9)[0] - each).max() <= 1e-12


@quick
@given(seed=SEEDS)
def test_recurrent_distributions_are_the_limits_of_the_visits(seed):
    world = small(seed)
    near = visit_distributions(world, 0, discount=1 - Fraction(1, 10**9)).array
    for each in recurrent_distributions(world, 0).array:
        assert np.abs(near - each).max(axis=1).min() <= 1e-6


@quick
@given(seed=SEEDS)
def test_the_rows_together_have_the_visits_of_the_state(seed):
    world = small(seed)
    rows = range(world.rows[0], world.rows[1])
    split = [visit_distributions(world, 0, discount="1/2", row=r).distributions for r in rows]
    whole = visit_distributions(world, 0, discount="1/2").distributions
    assert {each for part in split for each in part} == set(whole)


@quick
@given(seed=SEEDS)
def test_domination_is_proved_both_ways(seed):
    distributions = visit_distributions(small(seed), 0, discount="1/2").distributions[:40]
    told = nondominated(distributions)
    for index, reward in zip(told.indices, told.rewards, strict=True):
        others = [inner(d, reward) for i, d in enumerate(distributions) if i != index]
        assert not others or inner(distributions[index], reward) > max(others)
    best = [distributions[i] for i in told.indices]
    for index, weights in told.mixtures.items():
        assert sum(weights) == 1
        assert min(weights) >= 0
        mix = tuple(inner(weights, column) for column in zip(*best, strict=True))
        assert mix == distributions[index]
    assert len(told.indices) + len(told.mixtures) == len(distributions)
    assert set(extreme_points(distributions)) == set(best)


@quick
@given(seed=SEEDS)
def test_renaming_states_permutes_the_visits(seed):
    world, order = small(seed), np.random.default_rng(seed).permutation(4)
    start = int(np.argsort(order)[0])
    again = visit_distributions(renamed(world, order), start, discount="1/2").distributions
    plain = visit_distributions(world, 0, discount="1/2").distributions
    assert set(again) == {tuple(each[s] for s in order) for each in plain}


def test_states_of_one_outcome_are_added_up():
    world = world_from_rows(
        [[("a", {1: 1.0}), ("b", {2: 1.0})], [("stay", {1: 1.0})], [("stay", {2: 1.0})]],
        outcome=[0, 1, 1],
    )
    visits = visit_distributions(world, 0, discount="1/2")
    assert len(visits.distributions) == 2
    assert visits.over_outcomes(world).distributions == ((HALF, HALF),)


def test_what_cannot_be_listed_is_refused():
    world = figure_one()
    with pytest.raises(WorldTooLargeError, match="state 0 must have at most 10 policies"):
        visit_distributions(world, STAR, discount=0.5, most=10)
    with pytest.raises(WorldError, match=r"row must be one of state 0, in 0\.\.2, got 3"):
        visit_distributions(world, STAR, discount=0.5, row=3)
    with pytest.raises(WorldError, match=r"state must lie in 0\.\.7, got 8"):
        recurrent_distributions(world, 8)
    with pytest.raises(DiscountError, match=r"in \[0, 1\), got 1"):
        visit_distributions(world, STAR, discount=1)
    with pytest.raises(WorldError, match="must be distinct, got 1"):
        nondominated([(HALF, HALF), (HALF, HALF)])
