"""Sources of a page each: games, indifference, human control, orbits, lengths, new states."""

from fractions import Fraction
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import WorldError
from corrigible.lab import human_control, indifference, po_offswitch, retargetable, same_length
from corrigible.lab.training_goals import (
    after_training,
    avoid_chance,
    avoid_share,
    one_choice,
    orbit_avoid_share,
)

few = settings(max_examples=25, deadline=None)


def test_there_are_nine_times_four_pairs_of_policies():
    assert sum(1 for _ in po_offswitch.pairs()) == 36


def test_the_optimum_of_the_partly_seen_game_is_one_behaviour():
    best = [p for p in po_offswitch.pairs() if p.worth == Fraction(7, 4)]
    assert {tuple(p.robot.items()) for p in best} == {
        (("legacy", "act"), ("modern", "wait 0")),
    }
    assert {tuple(p.human.values()) for p in best} == {(False, True)}


@few
@given(st.integers(0, 10_000))
def test_indifference_makes_the_chance_of_the_press_worthless(seed):
    rng = np.random.default_rng(seed)
    button = indifference.drawn(rng)
    flat = np.full_like(button.pressed, rng.uniform(0.05, 0.95))
    other = indifference.Button(flat, button.state, button.normal, button.shutdown)
    plain = (other.normal * other.state).sum(axis=2).max(axis=1)
    assert np.allclose(other.indifferent(), plain, atol=1e-12)


@few
@given(st.floats(-2, 2))
def test_a_constant_sways_the_agent_on_either_side_of_one_value(constant):
    worth = indifference.three_acts(normal=1.0, shutdown=0.0).with_constant(constant)
    assert np.sign(worth[2] - worth[0]) == np.sign(round(constant - 1.0, 12))


def test_only_obeying_survives_the_shift():
    survives = {
        p for m in (0, 1) for a in (0, 1) for b in (0, 1)
        if human_control.expected(p := human_control.Policy(m, (a, b)), human_control.after) == 1
    }  # fmt: skip
    assert {p.acts for p in survives} == {(0, 1)}


@few
@given(st.permutations([Fraction(i, 7) for i in range(1, 5)]), st.integers(1, 6))
def test_every_rule_of_utilities_alone_is_retargetable(order, draws):
    """Two against one option: at least twice as many of the orbit, whatever the utilities."""
    utilities = order[:3]
    rules = [retargetable.best, retargetable.worst, retargetable.best_of(draws),
             retargetable.satisficer(order[3]), retargetable.boltzmann(0.3),
             retargetable.quantiliser(Fraction(draws, 6))]  # fmt: skip
    for rule in rules:
        found = retargetable.orbit_preferences(rule, utilities)
        assert found.keeps
        assert found.more_a + found.more_b + found.equal == 6


@few
@given(st.permutations([Fraction(1, 9), Fraction(1, 3), Fraction(1, 2), Fraction(3, 4)]))
def test_shares_sum_to_one_and_follow_the_options(order):
    rules = (retargetable.quantiliser(Fraction(2, 5)), retargetable.best_of(3))
    for rule in rules:
        shares = dict(zip(order, rule(tuple(order)), strict=True))
        assert sum(shares.values()) == 1
        sorted_shares = dict(zip(sorted(order), rule(tuple(sorted(order))), strict=True))
        assert shares == sorted_shares


def test_best_of_two_is_what_drawing_says():
    u = (Fraction(1), Fraction(2), Fraction(3))
    wins = [max(pair) for pair in [(a, b) for a in u for b in u]]
    assert retargetable.best_of(2)(u) == tuple(Fraction(wins.count(x), 9) for x in u)


def test_a_share_of_nothing_is_no_quantiliser():
    with pytest.raises(WorldError, match=r"share must lie in \(0, 1\]"):
        retargetable.quantiliser(Fraction(0))


@pytest.mark.parametrize(("p", "bits"), [([0.5, 0.5], 1.0), ([1, 0], 0.0), ([0.25] * 4, 2.0)])
def test_neutrality_is_the_entropy_of_the_length(p, bits):
    assert same_length.neutrality(p) == pytest.approx(bits, abs=1e-12)


@pytest.mark.slow
def test_the_expected_return_is_that_of_playing_it():
    """F(n) against 20,000 meta-episodes played with `drest_reward`, five standard errors."""
    rng, n, p = np.random.default_rng(0), 6, 0.3
    total = np.zeros(20_000)
    for run in range(len(total)):
        before = [0, 0]
        for episode in range(n):
            length = int(rng.random() < p)
            total[run] += same_length.drest_reward(1.0, before[length], episode)
            before[length] += 1
    off = 5 * total.std() / np.sqrt(len(total))
    assert abs(same_length.expected_return([1 - p, p], n)[0] - total.mean()) <= off


@pytest.mark.slow
def test_uniform_lengths_are_best_for_few_mini_episodes_and_not_for_the_papers_64():
    assert same_length.least_episodes_against_uniform(most=58) is None
    assert same_length.least_episodes_against_uniform() == 59
    best = same_length.expected_return([[0.5, 0.5], [0.44, 0.56]], 64)
    assert best[1] > best[0]


def test_chances_that_are_no_distribution_are_refused():
    with pytest.raises(WorldError, match="chances must be from 0 and sum to 1"):
        same_length.neutrality([0.5, 0.6])


@pytest.mark.parametrize("loops", [1, 2, 5])
@pytest.mark.parametrize("discount", [0.1, 0.5, 0.9])
def test_solved_goals_avoid_shutdown_as_often_as_the_closed_form_says(loops, discount):
    shutdown = one_choice(loops)
    goals = np.random.default_rng(loops).random((shutdown.world.outcomes, 4_000))
    found = avoid_share(shutdown, goals, discount=discount)
    p = float(avoid_chance(loops, discount))
    assert abs(found.value - p) <= 5 * np.sqrt(p * (1 - p) / 4_000) + 1e-12


@few
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3]), st.sampled_from([0.1, 0.5, 0.9]))
def test_no_orbit_of_training_compatible_goals_avoids_shutdown_less_than_the_bound(
    seed, loops, discount
):
    shutdown = after_training(loops)
    utility = np.random.default_rng(seed).random(shutdown.world.outcomes)
    found = orbit_avoid_share(shutdown, utility, discount=discount)
    assert found.measured == (utility[1] >= utility[2])
    if found.measured:
        assert found.n == factorial(loops + 1)
        assert found.value >= loops / (loops + 1) - 1e-12
