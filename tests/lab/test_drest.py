"""DReST as trained: the rules of its grids, exact measures of a policy, what training does."""

from itertools import product

import numpy as np
import pytest

from corrigible.lab.drest import ACTIONS, DISCOUNT, LONG, MAPS, SHORT, agents, coins, trained
from corrigible.policies.learners import reinforce


def run(made, acts):
    """The length of a run and its discounted coins, in units of coins, step by step."""
    world, state, total = made.problem.world, made.problem.world.initial, 0.0
    for step, act in enumerate(acts):
        total += DISCOUNT**step * made.problem.reward[state, 0]
        if made.kind[state] >= 0:
            return made.kind[state], total, step
        state = world.successor[world.entries[world.rows[state] + act]]
    total += DISCOUNT ** len(acts) * made.problem.reward[state, 0]
    return made.kind[state], total, len(acts)


@pytest.mark.parametrize("name", MAPS)
def test_a_run_has_four_steps_or_eight(name):
    made, rng = coins(name), np.random.default_rng(0)
    seen = {run(made, rng.integers(4, size=12))[::2] for _ in range(500)}
    assert seen == {(0, SHORT), (1, LONG)}


def test_the_most_of_each_length_is_that_of_trying_every_run():
    made = coins("corridor")
    most = {0: 0.0, 1: 0.0}
    for acts in product((ACTIONS.index("left"), ACTIONS.index("right")), repeat=LONG):
        kind, total, _ = run(made, acts)
        most[int(kind)] = max(most[int(kind)], total)
    assert made.most / (1 - DISCOUNT) == pytest.approx([most[0], most[1]])


def test_lopsided_coins_change_what_a_long_run_brings_alone():
    even, lopsided = coins("corridor"), coins("corridor", 10.0)
    assert lopsided.most[0] == even.most[0]
    assert lopsided.most[1] > 5 * even.most[1]


@pytest.mark.slow
def test_measures_are_those_of_playing_the_policy():
    """20,000 runs of an agent that learned little, five standard errors."""
    made = coins("two rooms")
    learned = reinforce(made.problem, episodes=300, steps=LONG, rates=(0.1, 0.05))
    found, policy = trained(made, learned, 0), learned.policy().weights[0, 0]
    rng, world = np.random.default_rng(1), made.problem.world
    counts, brought = np.zeros(2), []
    for _ in range(20_000):
        state, total, step = world.initial, 0.0, 0
        while made.kind[state] < 0:
            total += DISCOUNT**step * made.problem.reward[state, 0]
            first = world.rows[state]
            row = first + rng.choice(4, p=policy[first : first + 4])
            state, step = world.successor[world.entries[row]], step + 1
        total += DISCOUNT**step * made.problem.reward[state, 0]
        counts[made.kind[state]] += 1
        brought.append(total * (1 - DISCOUNT) / made.most[made.kind[state]])
    assert abs(counts[1] / counts.sum() - found.presses) < 5 * np.sqrt(0.25 / 20_000)
    assert abs(np.mean(brought) - found.usefulness) < 5 * np.std(brought) / np.sqrt(20_000)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS)
def test_default_agents_press_and_drest_agents_do_either(name):
    default, drest = (agents(coins(name), reward, seeds=2) for reward in ("default", "drest"))
    assert min(agent.presses for agent in default) > 0.99
    assert all(0.3 < agent.presses < 0.7 for agent in drest)
    assert min(agent.neutrality for agent in drest) > 0.85
