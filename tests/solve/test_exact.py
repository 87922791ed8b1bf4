"""Exact POWER and optimality: the printed values of Turner et al. 2021, sampling, and laws."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import FIGURE_ONE, figure_one, random_world, renamed

from corrigible.errors import DiscountError, WorldError, WorldTooLargeError
from corrigible.solve import exact
from corrigible.solve.exact import (
    exact_average_optimality,
    exact_optimality,
    exact_power,
    expected_maximum,
)
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
DISCOUNTS = st.sampled_from(["0", "1/10", "1/2", "9/10", "1"])
few = settings(max_examples=6, deadline=None)
STAR, DOWN, LEFT, RIGHT = FIGURE_ONE["star"], 0, 1, 2
HALF, THIRD = Fraction(1, 2), Fraction(1, 3)


def edges(lists):
    """A world of sure moves: for each state the states that its acts lead to."""
    return world_from_rows([[(f"to {t}", {t: 1.0}) for t in to] for to in lists])


WAIT = edges([[1, 2], [1], [3, 4], [3], [4]])  # start -> candy or wait -> chocolate or hug
FIGURE_TEN = edges([[1, 2], [1, 2], [3, 4], [3], [4]])  # s1 -> s2 (N) or s3 (NE); s3 -> A or B


def tenths(seed, states=4):
    """A random world of at most two acts a state, with chances in tenths."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(states):
        own = []
        for act in range(rng.integers(1, 3)):
            one, other = rng.choice(states, size=2, replace=False).tolist()
            cut = int(rng.integers(1, 11)) / 10
            own.append((f"act {act}", {one: cut, other: 1 - cut} if cut < 1 else {one: 1.0}))
        rows.append(own)
    return world_from_rows(rows)


def sampled(functions, n=200_000, seed=0):
    """The mean of the largest function, who is largest, and five standard errors of each."""
    heights = np.random.default_rng(seed).random((n, functions.shape[1])) @ functions.T
    top = heights.max(axis=1)
    wins = heights >= top[:, None] - 1e-12
    off = 5 * wins.std(axis=0) / np.sqrt(n) + 1e-4
    return top.mean(), 5 * top.std() / np.sqrt(n), wins.mean(axis=0), off


def test_figure_one_has_its_exact_values_at_discount_one():
    assert exact_power(figure_one(), STAR, discount=1) == Fraction(517, 640)
    chances = {LEFT: Fraction(47, 160), RIGHT: Fraction(113, 240), DOWN: Fraction(113, 480)}
    assert exact_optimality(figure_one(), STAR, discount=1) == chances
    assert exact_average_optimality(figure_one(), STAR) == chances


@pytest.mark.parametrize("discount", ["0", "1/100", "1/3", "9/10", "999/1000", "1"])
def test_figure_one_has_the_printed_power(discount):
    step, world = Fraction(discount), figure_one()
    assert exact_power(world, FIGURE_ONE["null"], discount=step) == HALF
    printed = (Fraction(2, 3) + step / 2) / (1 + step)
    assert exact_power(world, FIGURE_ONE["lDL"], discount=step) == printed
    assert exact_power(world, FIGURE_ONE["rDR"], discount=step) == Fraction(2, 3)


@pytest.mark.parametrize(
    ("discount", "power"), [(0.1, 0.7456), (0.5, 0.7401), (0.9, 0.7871), (0.99, 0.8058)]
)
def test_figure_one_has_the_sampled_power(discount, power):
    """An independent simulation, to the error of .001 that it states."""
    assert abs(exact_power(figure_one(), STAR, discount=discount) - power) <= 0.001


@pytest.mark.parametrize("discount", [0.1, 0.5, 0.9, pytest.param(0.99, marks=pytest.mark.slow)])
def test_figure_one_has_the_chances_that_plain_sampling_finds(discount):
    """The paper's own graph, swept in numpy: no code of the package, five standard errors."""
    to, n = [[1, 2, 5], [1], [3, 4], [4], [3, 4], [6, 7], [6, 7], [7, 6]], 40_000
    reward = np.random.default_rng(1).random((8, n))
    value = np.zeros((8, n))
    for _ in range(int(np.log(1e-6) / np.log(discount)) + 2):
        value = reward + discount * np.array([value[ends].max(axis=0) for ends in to])
    wins = np.bincount(value[[1, 2, 5]].argmax(axis=0), minlength=3) / n
    chances = exact_optimality(figure_one(), STAR, discount=discount)
    off = 5 * np.sqrt(wins * (1 - wins) / n)
    assert (abs(wins - [float(chances[row]) for row in (DOWN, LEFT, RIGHT)]) <= off).all()


def test_figure_ten_has_the_printed_values():
    """More POWER, yet optimal less often (proposition B.1)."""
    assert exact_power(FIGURE_TEN, 1, discount=1) == Fraction(3, 4)
    assert exact_power(FIGURE_TEN, 2, discount=1) == Fraction(2, 3)
    assert exact_optimality(FIGURE_TEN, 0, discount=1) == {0: THIRD, 1: 2 * THIRD}


def test_in_the_long_run_alone_a_detour_costs_nothing():
    """From s2 everything can still be had: going there first is always average-optimal."""
    assert exact_average_optimality(FIGURE_TEN, 0) == {0: 1, 1: 2 * THIRD}


@pytest.mark.parametrize(
    ("discount", "waits", "power"), [(0, HALF, 2 * THIRD), (1, 2 * THIRD, Fraction(3, 4))]
)
def test_waiting_has_the_published_limits(discount, waits, power):
    assert exact_optimality(WAIT, 0, discount=discount)[1] == waits
    assert exact_power(WAIT, 0, discount=discount) == power


@pytest.mark.parametrize("world", [FIGURE_TEN, WAIT], ids=["figure 10", "wait"])
@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_are_the_limits_of_what_lies_between(world, end):
    near = abs(end - Fraction(1, 10**6))
    chances, close = (exact_optimality(world, 0, discount=d) for d in (end, near))
    assert all(abs(chances[row] - close[row]) <= 1e-5 for row in chances)
    assert abs(exact_power(world, 0, discount=end) - exact_power(world, 0, discount=near)) <= 1e-5


@pytest.mark.parametrize("ways", [1, 2, 5])
def test_power_at_discount_zero_is_the_mean_of_the_best_next_state(ways):
    """E[max of n U(0, 1)] = n / (n + 1)."""
    world = edges([list(range(1, ways + 1)), *([0] for _ in range(ways))])
    assert exact_power(world, 0, discount=0) == Fraction(ways, ways + 1)


def test_what_the_next_outcome_leaves_tied_later_ones_decide():
    """At discount 0 both acts lead to the same outcome; one of them keeps two ways open."""
    world = world_from_rows(
        [
            [("a", {1: 1.0}), ("b", {2: 1.0})],
            [("x", {3: 1.0})],
            [("y", {4: 1.0}), ("z", {5: 1.0})],
            *([("stay", {s: 1.0})] for s in (3, 4, 5)),
        ],
        outcome=[0, 1, 1, 2, 3, 4],
    )
    assert exact_optimality(world, 0, discount=0) == {0: THIRD, 1: 2 * THIRD}


@pytest.mark.parametrize("discount", ["0", "1/2", "1"])
def test_acts_that_lead_to_the_same_are_both_optimal(discount):
    world = edges([[1, 1, 2], [1], [2]])
    assert exact_optimality(world, 0, discount=discount) == {0: HALF, 1: HALF, 2: HALF}


def test_a_corridor_of_ends_shuts_down_with_the_chance_of_one_end():
    """Eleven 1-cycles: the shutdown state is the best with chance 1/11 in the long run."""
    world = edges([[1, 2], [1], list(range(3, 13)), *([s] for s in range(3, 13))])
    assert exact_optimality(world, 0, discount=1)[0] == Fraction(1, 11)
    assert exact_power(world, 0, discount=1) == Fraction(11, 12)


@pytest.mark.slow
@few
@given(seed=SEEDS)
def test_the_largest_function_has_the_mean_and_shares_that_sampling_finds(seed):
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(10, np.ones(4) / 4, size=5) * (rng.random((5, 4)) < 2)
    found = expected_maximum([[Fraction(int(x), 10) for x in row] for row in weights])
    mean, off, wins, wins_off = sampled(weights / 10)
    assert abs(float(found.mean) - mean) <= off
    assert (abs(wins - np.array(found.shares, dtype=float)) <= wins_off).all()
    best = dict(zip(map(tuple, weights.tolist()), found.shares, strict=True))
    assert sum(best.values()) == 1


@pytest.mark.slow
@few
@given(seed=SEEDS)
def test_independent_groups_give_what_one_group_gives(seed):
    """The race of groups against the same functions tied together by a hair of one utility."""
    rng = np.random.default_rng(seed)
    one, other = rng.multinomial(6, [0.5, 0.5], size=3), rng.multinomial(6, [0.3, 0.7], size=2)
    functions = np.block([[one, np.zeros((3, 2), int)], [np.zeros((2, 2), int), other]])
    exact_functions = [[Fraction(int(x), 6) for x in row] for row in functions]
    hair = Fraction(1, 10**6)
    joined = [[x * (1 - hair) for x in row] + [hair * (k % 2), hair * (1 - k % 2)]
              for k, row in enumerate(exact_functions)]  # fmt: skip
    apart, tied = expected_maximum(exact_functions), expected_maximum(joined)
    assert abs(apart.mean - tied.mean) <= 3e-6
    if len({tuple(row) for row in exact_functions}) == len(exact_functions):
        assert all(abs(a - b) <= 1e-4 for a, b in zip(apart.shares, tied.shares, strict=True))


@few
@given(seed=SEEDS, discount=DISCOUNTS)
def test_chances_are_those_of_distinct_acts_and_power_is_bounded(seed, discount):
    """Proposition 5.4: no state's POWER is above E[max of all R] = n / (n + 1)."""
    world = tenths(seed)
    chances = exact_optimality(world, 0, discount=discount)
    assert sum(chances.values()) >= 1
    assert all(0 <= chance <= 1 for chance in chances.values())
    assert HALF <= exact_power(world, 0, discount=discount) <= Fraction(4, 5)


@pytest.mark.parametrize("discount", ["0", "2/3", "1"])
def test_power_is_largest_where_everything_is_one_step_away(discount):
    """Proposition 5.4, with equality."""
    world = edges([list(range(4))] * 4)
    assert exact_power(world, 0, discount=discount) == Fraction(4, 5)


@few
@given(seed=SEEDS, discount=st.sampled_from(["1/2", "9/10", "99/100"]))
def test_power_is_smooth_between_states_that_lead_to_each_other(seed, discount):
    """Proposition 5.5: it differs by (1 - discount) at most, for rewards within [0, 1]."""
    rng = np.random.default_rng(seed)
    lists = [set(rng.integers(0, 4, 2).tolist()) for _ in range(4)]
    world = edges([sorted(lists[0] | {1}), sorted(lists[1] | {0}), *map(sorted, lists[2:])])
    one, other = (exact_power(world, s, discount=discount) for s in (0, 1))
    assert abs(one - other) <= 1 - Fraction(discount)


@pytest.mark.parametrize("discount", ["0", "1/10", "1/2", "9/10", "1"])
def test_a_state_with_more_options_has_more_power_and_is_gone_to_more_often(discount):
    """Propositions 6.6 and 6.9, for iid utilities a direct inequality (lemma B.3)."""
    world = edges([[1, 2], [3, 4], [5, 6, 7], [3], [4], [5], [6], [7]])
    few_, more = (exact_power(world, s, discount=discount) for s in (1, 2))
    assert few_ < more
    chances = exact_optimality(world, 0, discount=discount)
    assert chances[0] <= chances[1]
    assert (chances[0] == chances[1]) == (discount == "0")


@few
@given(seed=SEEDS, discount=DISCOUNTS)
def test_renaming_states_changes_no_power(seed, discount):
    world, order = tenths(seed), np.random.default_rng(seed).permutation(4)
    start = int(np.argsort(order)[0])
    again = renamed(world, order)
    assert exact_power(again, start, discount=discount) == exact_power(world, 0, discount=discount)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("discount", ["1/2", "9/10"])
def test_larger_worlds_have_the_power_and_chances_that_sampling_finds(seed, discount):
    """Value iteration in numpy over 60,000 goals, five standard errors."""
    world, step, n = tenths(seed, 6), float(Fraction(discount)), 60_000
    moves = np.zeros((len(world.action), 6))
    moves[np.repeat(np.arange(len(moves)), np.diff(world.entries)), world.successor] = (
        world.probability
    )
    reward = np.random.default_rng(seed).random((6, n))
    value = np.zeros((6, n))
    for _ in range(int(np.log(1e-9) / np.log(step))):
        value = reward + step * np.maximum.reduceat(moves @ value, world.rows[:-1], axis=0)
    earned = (1 - step) / step * (value[0] - reward[0])
    power = float(exact_power(world, 0, discount=discount))
    assert abs(power - earned.mean()) <= 5 * earned.std() / np.sqrt(n)
    worth = (moves @ value)[: world.rows[1]]
    wins = (worth >= worth.max(axis=0) - 1e-7).mean(axis=1)
    chances = exact_optimality(world, 0, discount=discount)
    assert np.abs(wins - [float(chances[r]) for r in range(len(wins))]).max() <= 0.011


@pytest.mark.parametrize("seed", range(4))
def test_worlds_of_uneven_probabilities_keep_exact_sums(seed):
    world = random_world(seed, states=3, outcomes=3)
    rows = range(world.rows[0], world.rows[1])
    assert sum(exact_optimality(world, 0, discount="9/10")[r] for r in rows) == 1


def test_what_is_too_large_or_out_of_range_is_refused(monkeypatch):
    monkeypatch.setattr(exact, "MOST_JOINED", 2)
    with pytest.raises(WorldTooLargeError, match="share at most 2 outcomes, got 3"):
        exact_power(figure_one(), STAR, discount=0.5)
    with pytest.raises(DiscountError, match=r"in \[0, 1\], got 1\.5"):
        exact_power(figure_one(), STAR, discount=1.5)
    with pytest.raises(WorldError, match=r"state must lie in 0\.\.7, got 9"):
        exact_optimality(figure_one(), 9, discount=0.5)
    with pytest.raises(WorldError, match="weights from 0 with one sum"):
        expected_maximum([[1, 0], [1, 1]])
