"""Two agents on one map: the definitions, solved again in plain numpy, and the sweep."""

import numpy as np
import pytest

from corrigible.errors import DiscountError, WorldError
from corrigible.lab.joint_power import (
    MAZE,
    OPEN,
    correlation_sweep,
    joint_power,
    map_grid,
    moves_of,
)

CORRIDOR = [[0, 1], [0, 1, 2], [1, 2]]


def slowly(moves, human, agent, gamma):
    """POWER of H, of A, and of H against a random A for one pair of rewards, state by state."""
    places = len(moves)
    states = [(h, a) for h in range(places) for a in range(places)]
    value = dict(zip(states, human, strict=True))
    reward_h, reward_a = dict(value), dict(zip(states, agent, strict=True))

    def against_random(v, h, a):
        return {to: np.mean([v[to, b] for b in moves[a]]) for to in moves[h]}

    for _ in range(200):
        value = {s: reward_h[s] + gamma * max(against_random(value, *s).values()) for s in states}
    goes = {s: max((w, to) for to, w in against_random(value, *s).items())[1] for s in states}
    seeded = [value[s] - reward_h[s] for s in states]
    value = dict(reward_a)
    for _ in range(200):
        value = {
            (h, a): reward_a[h, a] + gamma * max(value[goes[h, a], b] for b in moves[a])
            for h, a in states
        }
    answers = {(h, a): max((value[goes[h, a], b], b) for b in moves[a])[1] for h, a in states}
    answered = [value[s] - reward_a[s] for s in states]
    value = dict(reward_h)
    for _ in range(200):
        value = {s: reward_h[s] + gamma * value[goes[s], answers[s]] for s in states}
    met = [value[s] - reward_h[s] for s in states]
    return ((1 - gamma) / gamma) * np.array([met, answered, seeded])


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.3, 1.0])
def test_power_is_that_of_the_definitions(correlation):
    """The mean over twenty pairs of rewards, solved by dictionaries."""
    rng = np.random.default_rng(7)
    human, fresh, chance = (rng.random((20, 9)) for _ in range(3))
    shared = human if correlation >= 0 else 1 - human
    agent = np.where(chance < abs(correlation), shared, fresh)
    each = [slowly(CORRIDOR, h, a, 0.6) for h, a in zip(human, agent, strict=True)]
    found = joint_power(CORRIDOR, correlation, samples=20, seed=7)
    mine = np.array([found.human, found.agent, found.human_seeded])
    assert np.abs(mine - np.mean(each, axis=0)).max() < 1e-8


@pytest.mark.slow
def test_equal_rewards_make_equal_power_and_full_alignment():
    found = joint_power(CORRIDOR, 1.0, samples=200)
    assert np.abs(found.human - found.agent).max() < 1e-9
    assert found.alignment.value == pytest.approx(1.0, abs=1e-9)


@pytest.mark.slow
def test_alignment_grows_with_the_correlation_and_crosses_zero():
    """On the 3 x 3 map, the crossing inside its own interval whichever points it is read from."""
    sweep = correlation_sweep(moves_of(OPEN), [0.0, 0.1, 0.2, 0.3, 0.6, 1.0], samples=2_000)
    alignments = [each.alignment.value for each in sweep.each]
    assert alignments == sorted(alignments)
    assert 0 < sweep.crossing.low < sweep.crossing.value < sweep.crossing.high < 1


@pytest.mark.slow
def test_the_same_seed_draws_the_same_and_another_does_not():
    one, again, other = (joint_power(CORRIDOR, 0.5, samples=40, seed=s) for s in (1, 1, 2))
    assert (one.human == again.human).all()
    assert (one.human != other.human).any()


def test_moves_are_those_of_the_map():
    moves = moves_of(OPEN)
    assert [len(ends) for ends in moves] == [3, 4, 3, 4, 5, 4, 3, 4, 3]
    assert sorted(moves[0]) == [0, 1, 3]
    assert len(moves_of(MAZE)) == map_grid(MAZE).world.states == 31


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"correlation": 1.5}, WorldError, r"a correlation must lie in \[-1, 1\], got 1.5"),
        ({"correlation": 0.5, "samples": 3}, WorldError, "samples must be at least 20, got 3"),
        ({"correlation": 0.5, "discount": 1.0}, DiscountError, r"in \(0, 1\), got 1.0"),
    ],
)
def test_what_is_out_of_range_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        joint_power(CORRIDOR, **options)
