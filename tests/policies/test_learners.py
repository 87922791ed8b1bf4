"""Learners: they come to the exact values, and interruptions move Sarsa alone."""

import numpy as np
import pytest

from corrigible.errors import DiscountError, WorldError
from corrigible.policies import planners
from corrigible.policies.follow import returns
from corrigible.policies.learners import (
    Interruption,
    Lengths,
    Schedule,
    actor_critic,
    learn_values,
    reinforce,
)
from corrigible.policies.problem import Problem
from corrigible.policies.values import row_worths
from corrigible.world.record import world_from_rows
from policies.small_problems import button_problem, grid_problem, random_problem, two_ways

pytestmark = pytest.mark.slow

EXPLORING = Schedule(rate=0.5, power=0.6, epsilon=(1.0, 1.0), anywhere=True)
OFTEN = Schedule(rate=1.0, power=0.7, epsilon=(0.3, 0.02), anywhere=True)
SEEDS = 20


def test_q_learning_comes_to_the_optimal_values():
    """In a world of sure moves to 1e-6, whatever it explores."""
    problem = grid_problem(3, size=3)
    learned = learn_values(problem, "q-learning", episodes=4000, steps=20, seeds=2,
                           schedule=Schedule(rate=0.5, epsilon=(1.0, 1.0)))  # fmt: skip
    assert np.abs(learned.rows - row_worths(problem).rows.T).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("make", [random_problem, lambda _: button_problem()])
def test_q_learning_comes_to_the_optimal_values_by_chance_too(make):
    """Where moves are a matter of chance, within 0.01 after two million steps."""
    problem = make(3)
    learned = learn_values(problem, "q-learning", episodes=100_000, steps=20, seeds=2,
                           schedule=EXPLORING)  # fmt: skip
    off = np.abs(learned.rows - row_worths(problem).rows.T)[:, :, problem.usable]
    assert off.max() < 0.01


@pytest.mark.parametrize("algorithm", ["q-learning", "sarsa", "safe-sarsa"])
def test_every_learner_of_values_finds_the_short_way(algorithm):
    """Nobody interrupts: all of them take it, from every seed."""
    learned = learn_values(two_ways(), algorithm, episodes=3000, steps=20, seeds=SEEDS,
                           schedule=OFTEN)  # fmt: skip
    assert (learned.greedy()[:, 0, 0] == 0).all()
    assert learned.interruptions.sum() == 0


@pytest.mark.parametrize(
    ("algorithm", "kept"), [("q-learning", SEEDS), ("safe-sarsa", SEEDS), ("sarsa", 0)]
)
def test_interruptions_move_sarsa_alone(algorithm, kept):
    """Held with chance 0.9 on the short way: how many of 20 seeds still take it.

    Q-learning and safe Sarsa are safely interruptible, Sarsa is not (Orseau and Armstrong 2016).
    """
    held = np.full(5, -1)
    held[1] = 3  # the row of state 1 that stays there
    learned = learn_values(two_ways(), algorithm, episodes=3000, steps=20, seeds=SEEDS,
                           schedule=OFTEN, interruption=Interruption(held, (0.9, 0.9)))  # fmt: skip
    assert (learned.greedy()[:, 0, 0] == 0).sum() == kept
    assert learned.interruptions.min() > 0


@pytest.mark.parametrize("learn", [actor_critic, reinforce])
def test_learners_of_policies_find_the_short_way(learn):
    """They draw their rows, so they come close to the optimum and not onto it."""
    problem = two_ways()
    learned = learn(problem, episodes=4000, steps=20, seeds=3)
    best = returns(planners.optimal(problem)).values[0, 0]
    for seed in range(3):
        assert returns(learned.policy(seed)).values[0, 0] > 0.97 * best


def test_a_run_is_the_same_whatever_else_is_learned():
    """A seed and a goal's place give the run; the number of runs does not matter."""
    problem = grid_problem(4)
    many = learn_values(problem, "sarsa", episodes=50, steps=20, seeds=5)
    few = learn_values(problem, "sarsa", episodes=50, steps=20, seeds=[3])
    assert np.array_equal(many.rows[3], few.rows[0])
    assert not np.array_equal(many.rows[3], many.rows[4])


def test_an_episode_ends_where_the_agent_no_longer_chooses():
    """Fewer steps than the most that there could be, and nothing is learned of stopped states."""
    problem = button_problem(0.5)
    learned = learn_values(problem, "q-learning", episodes=200, steps=50)
    assert learned.steps[0, 0] < 200 * 50
    assert (learned.rows[0, 0][~problem.usable] == 0).all()


def lengths_problem():
    """A short run of much, a long one of little: press (end 1), or walk on twice (end 2)."""
    lists = [
        [("short", {3: 1.0}), ("long", {1: 1.0})],
        [("on", {2: 1.0})],
        [("on", {4: 1.0})],
        [("end", {3: 1.0})],
        [("end", {4: 1.0})],
    ]
    world = world_from_rows(lists)
    live = np.array([True, True, True, False, False])
    goals = np.array([[0.0], [0.0], [1.0], [0.0], [0.0]])
    return Problem(world, goals, 0.9, live=live, after=world.rows[:-1][:, None].astype(np.int64))


def test_training_by_discounted_reward_for_equal_lengths_keeps_both():
    """Plain REINFORCE always takes the longer run, DReST's chance of each stays near a half.

    As in Thornley et al. 2024: about a half, against nearly 1 by default.
    """
    problem = lengths_problem()
    most = np.array([0.05, 0.1 * 0.81])
    lengths = Lengths(np.array([0, 0, 0, 0, 1]), most, factor=0.9, episodes=64)
    # A short run brings nothing here: give it its own coin, so that both are worth training.
    coins = problem.with_goals(np.array([[0.05 / 0.1], [0.0], [1.0], [0.0], [0.0]]))
    plain = reinforce(coins, episodes=20_000, steps=5, rates=(0.5, 0.1))
    drest = reinforce(coins, episodes=20_000, steps=5, seeds=5, rates=(0.02, 0.05),
                      lengths=lengths)  # fmt: skip
    assert plain.policy().at()[1] > 0.95
    shares = [drest.policy(seed).at()[1] for seed in range(5)]
    assert all(0.2 < share < 0.8 for share in shares)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Schedule(rate=0),
        lambda: Schedule(epsilon=(2, 0)),
        lambda: Interruption(np.zeros(5), (2.0, 0.0)),
        lambda: Lengths(np.zeros(2), np.zeros(2)),
        lambda: learn_values(two_ways(), "sarsa", episodes=0, steps=1),
        lambda: reinforce(two_ways(), episodes=1, steps=1, seeds=[]),
    ],
)
def test_settings_out_of_their_range_are_refused(make):
    """The message says the range and what came."""
    with pytest.raises(DiscountError, match="got"):
        make()


def test_an_interruption_takes_a_row_of_its_state():
    """A row of another state is no act there; an unknown algorithm has no name."""
    with pytest.raises(WorldError, match="must take a row in"):
        learn_values(two_ways(), "sarsa", episodes=1, steps=1,
                     interruption=Interruption(np.array([-1, 0, -1, -1, -1])))  # fmt: skip
    with pytest.raises(WorldError, match="must be one of"):
        learn_values(two_ways(), "dyna", episodes=1, steps=1)
