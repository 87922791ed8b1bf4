"""One record of what an agent does: checked, evaluated exactly, sampled, stepped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import WorldError
from corrigible.policies import planners
from corrigible.policies.follow import (
    after_steps,
    chances,
    occupancy,
    returns,
    sample,
    sample_counts,
    visits,
)
from corrigible.policies.policy import Policy, mixture, policy_of, policy_of_rows
from corrigible.solve.stochastic import paired_policy_values
from policies.small_problems import BREAKS, button_problem, grid_problem, random_problem

pytestmark = pytest.mark.slow


def spoiled(problem, change):
    weights = planners.random(problem).weights.copy()
    change(weights)
    return lambda: Policy(problem, weights, "spoiled")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.__setitem__((0, 0, 0), 0.9), "must sum to 1"),
        (lambda w: w.__setitem__((0, 0, 0), -0.1), "finite and not negative"),
        (lambda w: w.__setitem__((0, 0, 0), np.nan), "finite and not negative"),
    ],
)
def test_weights_that_are_no_chances_are_refused(change, words):
    """The message names the state or the row, and what came."""
    with pytest.raises(WorldError, match=words):
        spoiled(grid_problem(), change)()


def test_a_row_that_may_not_be_taken_must_have_no_weight():
    """Where the agent is stopped it chooses nothing."""
    problem = button_problem()
    with pytest.raises(WorldError, match="may not be taken"):
        Policy(problem, np.ones((1, 1, len(problem.world.action))), "stopped")


def test_a_shape_that_is_of_no_goal_is_refused():
    """One line for all goals, or one for each."""
    problem = grid_problem(goals=4)
    with pytest.raises(WorldError, match="1 or 4"):
        Policy(problem, np.zeros((3, 1, len(problem.world.action))), "short")


@settings(max_examples=20)
@given(st.integers(0, 50))
def test_returns_are_those_of_the_solver_for_stochastic_policies(seed):
    """The same values whichever form the weights are in."""
    problem = random_problem(seed)
    policy = planners.boltzmann(problem, 0.05)
    expected = paired_policy_values(
        problem.world, policy.weights[:, 0].T, problem.goals, discount=problem.discount
    )
    assert np.abs(returns(policy).values - expected.values).max() < 1e-12


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 50))
def test_a_policy_by_step_that_repeats_itself_is_worth_as_much(seed):
    """Steps whose lines are equal are one line for good."""
    problem = random_problem(seed)
    once = planners.boltzmann(problem, 0.1)
    thrice = Policy(problem, np.repeat(once.weights, 3, axis=1), "thrice")
    assert np.abs(returns(thrice).values - returns(once).values).max() < 1e-12
    assert np.abs(occupancy(thrice) - occupancy(once)).max() < 1e-12


def test_occupancy_times_utilities_is_the_return():
    """Both are exact, so they agree to rounding; what follows a stop is counted."""
    policy = planners.epsilon_greedy(button_problem(), 0.3)
    worth = returns(policy).values[policy.world.initial, 0]
    assert occupancy(policy)[0] @ policy.problem.goals[:, 0] == pytest.approx(worth, abs=1e-12)


def test_the_chance_of_a_first_act_is_the_closed_form():
    """With chance 1/3 a step, while not stopped: sum of (2/3 * 0.8)^t / 3."""
    policy = planners.random(button_problem(stop=0.2))
    expected = sum((2 / 3 * 0.8) ** t / 3 for t in range(10))
    found = chances(policy, policy.world.serves, steps=10)
    assert found[0, 0] == pytest.approx(expected, abs=1e-12)


def test_visits_add_up_to_the_steps_in_which_it_still_chooses():
    """Without a button nothing ends: as many visits as steps."""
    policy = planners.random(grid_problem())
    assert visits(policy, steps=7).sum(axis=1) == pytest.approx(7.0)
    running = visits(planners.compliant(button_problem(0.2)), steps=3).sum()
    assert running == pytest.approx(1 + 0.8 + 0.64)


def test_sampled_episodes_agree_with_the_exact_chance():
    """20,000 episodes: within four standard errors of the exact chance, counted or kept."""
    policy, n = planners.random(button_problem()), 20_000
    exact = chances(policy, policy.world.serves, steps=12)[0, 0]
    counted = sample_counts(policy, policy.world.serves, episodes=n, steps=12, seed=3)
    kept = sample(policy, episodes=n, steps=12, seed=3)
    broke = (kept.rows >= 0) & (policy.world.serves[np.maximum(kept.rows, 0)] == BREAKS)
    running = policy.problem.choosing[np.maximum(kept.states[:, :-1], 0)]
    assert (broke & running).any(axis=1).sum() == counted.hits[0, 0]
    assert abs(counted.hits[0, 0] / n - exact) < 4 * np.sqrt(exact * (1 - exact) / n)


def test_an_episode_is_the_same_whatever_else_is_sampled():
    """Episode n is a function of the seed and n."""
    policy = planners.random(grid_problem())
    few, many = (sample(policy, episodes=n, steps=9, seed=5) for n in (3, 50))
    assert np.array_equal(few.states, many.states[:3])
    other = sample(policy, episodes=3, steps=9, seed=6)
    assert not np.array_equal(few.states, other.states)


def test_a_walk_follows_what_is_done_after_a_stop():
    """A stopped agent waits; every step has a row of the state that it is in."""
    policy = planners.random(button_problem(stop=0.5))
    kept = sample(policy, episodes=200, steps=20)
    assert (kept.rows >= 0).all()
    assert np.array_equal(policy.world.row_state[kept.rows], kept.states[:, :-1])
    ended = ~policy.problem.choosing[kept.states[:, :-1]]
    assert (policy.world.action[kept.rows[ended]] == 0).all()


def test_where_it_is_after_some_steps_sums_to_one():
    """Walks that have ended stay where they ended."""
    policy = planners.random(button_problem())
    assert after_steps(policy, 30).sum() == pytest.approx(1.0)


def test_choosing_by_a_number_gives_the_weights():
    """A thousand evenly spaced numbers give each row its share."""
    policy = planners.boltzmann(grid_problem(), 0.02)
    taken = [policy.choose(7, (i + 0.5) / 1000, goal=2) for i in range(1000)]
    counts = np.bincount(taken, minlength=len(policy.world.action)) / 1000
    first, last = policy.world.rows[7:9]
    assert np.abs(counts - policy.at(goal=2))[first:last].max() <= 2e-3


def test_a_mixture_lies_between_its_parts():
    """A share of 0 is the first, of 1 the second, and half the mean of both."""
    problem = grid_problem()
    one, other = planners.optimal(problem), planners.random(problem)
    for share in (0.0, 0.5, 1.0):
        mixed = mixture(one, other, share, "mixed").weights
        assert np.allclose(mixed, (1 - share) * one.weights + share * other.weights)


def test_rows_that_are_taken_surely_are_read_back():
    """`policy_of_rows` and `rows` are each other's inverse."""
    problem = grid_problem()
    rows = planners.optimal(problem).rows()[:, 0].T
    assert np.array_equal(policy_of_rows(problem, rows, "again").rows()[:, 0].T, rows)
    with pytest.raises(WorldError, match="must take a row in"):
        policy_of_rows(problem, np.zeros(problem.world.states, dtype=int), "wrong")


def test_a_policy_names_itself_and_its_parameters():
    """Reports print this."""
    problem = grid_problem()
    assert str(planners.boltzmann(problem, 0.5)) == "planner/boltzmann(temperature=0.5)"
    assert str(policy_of(problem, planners.random_weights(problem), "plain")) == "plain"
