"""Safe interruptibility: interrupted worlds, the two-state example, and who learns what."""

import numpy as np
import pytest

from corrigible.lab import interruption
from corrigible.lab.interruption import (
    adapted_return,
    interrupted,
    learned_earnings,
    share_optimal,
    shortcut,
    stays_optimal,
    two_states,
)
from corrigible.policies.learners import learn_values
from corrigible.solve.oracle import dense_rows


def test_interrupted_acts_are_a_mixture_of_both():
    case = two_states()
    plain, mixed = (
        dense_rows(case.problem.world),
        dense_rows(interrupted(case.problem.world, case.forced, 0.25)),
    )
    for row, home in enumerate(case.problem.world.row_state):
        other = case.forced[home]
        expected = plain[row] if other < 0 else 0.75 * plain[row] + 0.25 * plain[other]
        assert np.allclose(mixed[row], expected, atol=1e-15)


def test_a_world_in_which_nobody_interrupts_is_the_world_itself():
    case = shortcut()
    same = interrupted(case.problem.world, case.forced, 0.0)
    assert same.digest() == case.problem.world.digest()


@pytest.mark.slow
@pytest.mark.parametrize(("theta", "gap"), [(0.0, 0.0), (0.1, 0.0), (0.5, 0.2), (1.0, 0.2)])
def test_the_optimum_under_interruptions_gives_up_a_fifth_where_they_are_frequent(theta, gap):
    """Staying is worth .9 / (1 - .5), going 1 / (1 - .5); it pays up to theta = 2/9."""
    adapted, best = adapted_return(two_states(), theta)
    assert best == pytest.approx(2.0)
    assert best - adapted == pytest.approx(gap)


@pytest.mark.slow
@pytest.mark.parametrize("make", [two_states, shortcut])
@pytest.mark.parametrize(
    ("algorithm", "share"), [("q-learning", 1), ("safe-sarsa", 1), ("sarsa", 0)]
)
def test_interruptions_change_what_sarsa_learns_and_nobody_else(make, algorithm, share):
    found = share_optimal(make(), algorithm, (0.9, 0.9), seeds=5, episodes=5000)
    assert found.value == share
    free = share_optimal(make(), algorithm, None, seeds=5, episodes=5000)
    assert free.value == 1


@pytest.mark.slow
def test_a_learner_of_nothing_is_not_optimal():
    found = learn_values(shortcut().problem, "q-learning", episodes=1, steps=1, seeds=3)
    assert not stays_optimal(found).any()


@pytest.mark.slow
def test_a_learner_of_the_return_presses_the_button():
    assert {(e.shown, e.true) for e in learned_earnings(seeds=3)} == {(38.0, 19.0)}


def test_there_are_two_sides_to_every_row():
    optimal = interruption._row("a", interruption.share_estimate(19, 20), "q-learning", (0.9, 0.9))
    moved = interruption._row("a", interruption.share_estimate(19, 20), "sarsa", (0.9, 0.9))
    free = interruption._row("a", interruption.share_estimate(19, 20), "sarsa", None)
    assert [row.verdict for row in (optimal, moved, free)] == ["agrees", "differs", "agrees"]
