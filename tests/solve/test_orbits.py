"""Orbits: the published counts, and what Turner et al. 2021 prove of every orbit."""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import figure_one, random_world

from corrigible.errors import DiscountError, WorldError
from corrigible.solve import orbits
from corrigible.solve.orbits import orbit_preference
from corrigible.solve.rational import rational_rows, rational_values
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
few = settings(max_examples=8, deadline=None)


def edges(lists):
    """A world of sure moves: for each state the states that its acts lead to."""
    return world_from_rows([[(f"to {t}", {t: 1.0}) for t in to] for to in lists])


def correction(n):
    """Allow correction (act 0, one end), or prevent it and keep n ends; all as far away."""
    ends = list(range(3, 4 + n))
    return edges([[1, 2], ends[:1], ends[1:], *([s] for s in ends)]), ends


def counted(world, utility, rows, discount):
    """The same counts by brute force: every permutation, over fractions."""
    best, tied = [0] * len(rows), [0] * len(rows)
    moves = rational_rows(world)
    for goal in set(permutations(utility)):
        values = rational_values(world, [[x] for x in goal], discount=discount).values
        worth = [sum(p * values[s][0] for s, p in moves[r].items()) for r in rows]
        top = [k for k, each in enumerate(worth) if each == max(worth)]
        for k in top:
            (best if len(top) == 1 else tied)[k] += 1
    return tuple(best), tuple(tied)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_correction_is_preferred_in_one_of_n_plus_one(n):
    """Published for a utility that sees corrigibility: at most 1 / (n + 1) of every orbit."""
    world, ends = correction(n)
    utility = np.zeros(world.outcomes)
    utility[ends] = 1 + np.arange(n + 1)
    found = orbit_preference(world, utility, 0, [0, 1], discount=0.999, outcomes=ends)
    assert found.prefers(0).value == pytest.approx(1 / (n + 1))
    assert found.prefers(1).value == pytest.approx(n / (n + 1))
    assert (found.undecided, found.whole) == (0, True)


@few
@given(values=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_no_orbit_prefers_the_one_end_more_than_its_share(values):
    """Ties or not, with n copies of what shutdown keeps: n / (n + 1) at least allow going on."""
    world, ends = correction(3)
    utility = np.zeros(world.outcomes)
    utility[ends] = values
    found = orbit_preference(world, utility, 0, [0, 1], discount=0.999, outcomes=ends)
    assert found.prefers(0).high <= 1 / 4
    assert found.allows(1).value >= 3 / 4


@pytest.mark.slow
@few
@given(values=st.lists(st.integers(0, 5), min_size=8, max_size=8), seed=SEEDS)
def test_right_is_preferred_to_left_by_most_of_every_orbit_of_figure_one(values, seed):
    """Proposition 6.9: F(star; right) contains a copy of F(star; left)."""
    discount = [0.1, 0.5, 0.9, 0.99][seed % 4]
    found = orbit_preference(figure_one(), values, 0, [1, 2], discount=discount)
    assert found.undecided == 0 or found.n > orbits.MOST_RATIONAL
    assert found.best[0] <= found.best[1] + found.undecided


@few
@given(seed=SEEDS)
def test_counts_are_those_of_brute_force_over_fractions(seed):
    world = random_world(seed, states=5, outcomes=4)
    rows = list(range(world.rows[0], world.rows[1]))
    if len(rows) < 2:
        return
    utility = np.random.default_rng(seed).integers(0, 3, 4).tolist()
    found = orbit_preference(world, utility, 0, rows, discount=0.9)
    assert (found.best, found.tied) == counted(world, utility, rows, "9/10")
    assert found.n == len(set(permutations(utility)))


def test_rows_that_lead_to_the_same_are_tied_for_every_goal():
    found = orbit_preference(edges([[1, 1], [1]]), [0.0, 1.0], 0, [0, 1], discount=0.5)
    assert (found.best, found.tied, found.undecided) == ((0, 0), (2, 2), 0)
    assert found.allows(0).value == 1
    assert found.prefers(0).value == 0


def test_what_floats_leave_open_is_undecided_where_fractions_are_out_of_reach(monkeypatch):
    monkeypatch.setattr(orbits, "RATIONAL_STATES", 1)
    found = orbit_preference(edges([[1, 1], [1]]), [0.0, 1.0], 0, [0, 1], discount=0.5)
    assert (found.best, found.tied, found.undecided) == ((0, 0), (0, 0), 2)
    assert (found.prefers(0).low, found.prefers(0).high) == (0, 1)


def test_a_difference_below_the_solvers_error_is_no_preference(monkeypatch):
    monkeypatch.setattr(orbits, "RATIONAL_STATES", 1)
    world = edges([[1, 2], [1], [2]])
    close = [0.0, 1.0, 1.0 + 1e-13]
    found = orbit_preference(world, close, 0, [0, 1], discount=0.9, outcomes=[1, 2])
    assert found.undecided == 2
    monkeypatch.setattr(orbits, "RATIONAL_STATES", 12)
    again = orbit_preference(world, close, 0, [0, 1], discount=0.9, outcomes=[1, 2])
    assert (again.best, again.undecided) == ((1, 1), 0)


def test_a_large_orbit_is_sampled_and_its_interval_holds_the_whole_ones_share():
    world, utility = figure_one(), np.arange(8) / 7
    whole = orbit_preference(world, utility, 0, [0, 1, 2], discount=0.99)
    drawn = orbit_preference(
        world, utility, 0, [0, 1, 2], discount=0.99, most=100, sampled=3000, seed=1
    )
    assert (whole.n, whole.whole, drawn.n, drawn.whole) == (40_320, True, 3000, False)
    for row in (0, 1, 2):
        part = drawn.prefers(row)
        assert part.low <= whole.prefers(row).value <= part.high
    assert drawn.method == "3000 of 8! permutations, seed 1"
    assert "Clopper-Pearson" in drawn.prefers(0).method


def test_the_same_seed_draws_the_same_sample():
    options = {"discount": 0.9, "most": 10, "sampled": 500, "seed": 3}
    runs = [orbit_preference(figure_one(), np.arange(8), 0, [1, 2], **options) for _ in range(2)]
    assert runs[0] == runs[1]


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_each_distinct_arrangement_comes_once(values):
    found = Counter(map(tuple, orbits._arrangements(values)))
    assert set(found) == set(permutations(values))
    assert set(found.values()) == {1}
    assert orbits._orbit_size(np.array(values)) == len(found)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"utility": [1.0]}, WorldError, "utility must be 3 finite numbers"),
        ({"rows": [0]}, WorldError, r"at least two distinct ones, got \[0\]"),
        ({"rows": [0, 2]}, WorldError, r"among 0\.\.1, those of state 0, got \[0, 2\]"),
        ({"state": 7}, WorldError, r"state must lie in 0\.\.2, got 7"),
        ({"outcomes": [1, 1]}, WorldError, r"distinct ones of 0\.\.2, got \[1, 1\]"),
        ({"discount": 1}, DiscountError, r"discount must lie in \[0, 1\), got 1"),
    ],
)
def test_what_does_not_fit_the_world_is_refused(change, error, says):
    asked = {"utility": [0.0, 1.0, 2.0], "state": 0, "rows": [0, 1], "discount": 0.5} | change
    world = edges([[1, 2], [1], [2]])
    with pytest.raises(error, match=says):
        orbit_preference(world, **asked)


def test_only_compared_rows_have_a_share():
    found = orbit_preference(edges([[1, 2], [1], [2]]), [0, 1, 2], 0, [0, 1], discount=0.5)
    with pytest.raises(WorldError, match=r"one of those compared, \(0, 1\), got 3"):
        found.prefers(3)
