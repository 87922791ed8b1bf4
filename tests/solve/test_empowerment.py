"""Capacities against closed forms, empowerment against sequences counted one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import random_world, renamed

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve import empowerment as module
from corrigible.solve.empowerment import channel_capacity, empowerment
from corrigible.solve.oracle import dense_rows
from corrigible.world.record import world_from_rows

SEEDS = st.integers(0, 10_000)
quick = settings(max_examples=12, deadline=None)


def entropy(chances):
    return -sum(p * np.log2(p) for p in chances if p > 0)


def binary_symmetric(p):
    return [[1 - p, p], [p, 1 - p]], 1 - entropy([p, 1 - p])


def binary_erasure(p):
    return [[1 - p, p, 0], [0, p, 1 - p]], 1 - p


def z_channel(p):
    return [[1, 0], [p, 1 - p]], np.log2(1 + (1 - p) * p ** (p / (1 - p)))


def noisy_typewriter(p):
    """Five letters, each itself or the next: log2 5 less what the noise takes."""
    del p
    return (np.eye(5) + np.roll(np.eye(5), 1, axis=1)) / 2, np.log2(5) - 1


CHANNELS = [binary_symmetric, binary_erasure, z_channel, noisy_typewriter]


@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
@pytest.mark.parametrize("p", [0.01, 0.3, 0.5])
@pytest.mark.parametrize("channel", CHANNELS, ids=lambda c: c.__name__)
def test_capacities_are_those_of_the_textbook(channel, p, tolerance):
    """Cover and Thomas 2006, section 7.1 and problem 7.8."""
    lines, exact = channel(p)
    found = channel_capacity(lines, tolerance=tolerance)
    assert found.low <= exact + 1e-15 <= found.high + 2e-15
    assert found.high - found.low <= 2 * tolerance
    assert found.status is module.Status.CONVERGED


def random_channel(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.integers(1, 9, size=2)
    return rng.dirichlet(np.full(y, 0.4), size=x)


def information(inputs, channel):
    joint = inputs[:, None] * channel
    return entropy(joint.sum(axis=0)) + entropy(inputs) - entropy(joint.ravel())


@quick
@given(seed=SEEDS)
def test_the_inputs_achieve_the_lower_limit_and_nothing_beats_the_upper(seed):
    channel = random_channel(seed)
    found = channel_capacity(channel)
    assert found.low <= information(found.inputs, channel) + 1e-12
    for inputs in np.random.default_rng(seed).dirichlet(np.ones(len(channel)), size=20):
        assert information(inputs, channel) <= found.high + 1e-12
    assert found.high - found.low <= 2e-6


@quick
@given(seed=SEEDS)
def test_mixing_in_inputs_adds_nothing_and_order_does_not_matter(seed):
    channel, rng = random_channel(seed), np.random.default_rng(seed)
    mixed = rng.dirichlet(np.ones(len(channel)), size=3) @ channel
    more = np.concatenate([channel, mixed, channel])[:, rng.permutation(channel.shape[1])]
    plain, other = channel_capacity(channel), channel_capacity(rng.permutation(more))
    assert abs(plain.bits - other.bits) <= 2e-6
    assert len(other.inputs) == len(more)


@quick
@given(seed=SEEDS)
def test_capacities_of_independent_channels_add_up(seed):
    """C of the product channel (Cover and Thomas 2006, problem 7.5)."""
    one, two = random_channel(seed), random_channel(seed + 1)
    parts = channel_capacity(one), channel_capacity(two)
    whole = channel_capacity(np.kron(one, two))
    assert abs(whole.bits - sum(part.bits for part in parts)) <= 3e-6


def hostile_world():
    """Three ways from a start: sure, a toss-up, and stay; each action in each state."""
    return world_from_rows(
        [
            [("a", {1: 1.0}), ("b", {1: 0.5, 2: 0.5}), ("c", {0: 1.0})],
            [("a", {2: 1.0}), ("b", {0: 1.0}), ("c", {1: 1.0})],
            [("a", {2: 1.0}), ("b", {2: 1.0}), ("c", {2: 0.9, 0: 0.1})],
        ]
    )


def matrices(world, instead):
    """Every action's dense matrix, `instead [S, S]` where it is not available."""
    moves, found = dense_rows(world), []
    for action in range(len(world.action_names)):
        matrix = instead.copy()
        for row in np.flatnonzero(world.action == action):
            matrix[world.row_state[row]] = moves[row]
        found.append(matrix)
    return found


def all_sequences(world, state, steps, instead):
    """The channel line of every sequence of actions."""
    start = np.eye(world.states)[state]
    each = matrices(world, instead)
    lines = []
    for sequence in product(each, repeat=steps):
        line = start
        for matrix in sequence:
            line = line @ matrix
        lines.append(line)
    return np.array(lines)


@pytest.mark.parametrize("steps", [0, 1, 2, pytest.param(3, marks=pytest.mark.slow)])
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_empowerment_is_the_capacity_over_all_sequences(steps, seed):
    world = random_world(seed, states=5)
    found = empowerment(world, steps=steps).check()
    for state in range(world.states):
        whole = channel_capacity(all_sequences(world, state, steps, np.eye(5)))
        assert abs(found.bits[state] - whole.bits) <= 2e-6
        assert found.low[state] <= whole.high + 1e-9
        assert whole.low <= found.high[state] + 1e-9


@quick
@given(seed=SEEDS, steps=st.integers(0, 4))
def test_a_sure_world_gives_log2_of_the_states_reached(seed, steps):
    """Every sequence ends in one state (Klyubin et al. 2005)."""
    to = np.random.default_rng(seed).integers(0, 9, size=(9, 3))
    world = world_from_rows([[(f"go {k}", {int(t): 1.0}) for k, t in enumerate(ts)] for ts in to])
    found = empowerment(world, steps=steps).check()
    reached = [{s} for s in range(9)]
    for _ in range(steps):
        reached = [{int(t) for s in at for t in to[s]} for at in reached]
    exact = np.log2([len(at) for at in reached])
    assert abs(found.bits - exact).max() <= 1e-12
    assert (found.high - found.low).max() <= 1e-12
    assert found.distinct.tolist() == [len(at) for at in reached]


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_renaming_states_permutes_empowerment(seed):
    world = random_world(seed, states=6)
    order = np.random.default_rng(seed).permutation(6)
    plain = empowerment(world, steps=2).bits
    other = empowerment(renamed(world, order), steps=2).bits
    assert abs(plain[order] - other).max() <= 3e-6


def test_noise_and_irreversible_ends_lower_empowerment():
    world = hostile_world()
    found = empowerment(world, steps=1, tolerance=1e-9).check()
    flip = channel_capacity([[0, 1, 0], [0, 0.5, 0.5], [1, 0, 0]], tolerance=1e-9)
    assert abs(found.bits[0] - flip.bits) <= 2e-9
    assert abs(found.bits[1] - np.log2(3)) <= 2e-9
    assert found.bits[2] < 0.1
    assert empowerment(world, steps=1, states=[2, 1]).states.tolist() == [2, 1]


def test_what_is_not_available_does_nothing_or_what_is_said_instead():
    """On a belt that moves by itself an act that does not exist must not hold it up."""
    world = world_from_rows(
        [
            [("wait", {1: 1.0})],
            [("wait", {2: 1.0}), ("jump", {0: 1.0})],
            [("wait", {2: 1.0})],
        ]
    )
    stays = empowerment(world, steps=2).bits
    moves = empowerment(world, steps=2, otherwise="wait").bits
    assert abs(stays - [np.log2(3), np.log2(3), 0]).max() <= 1e-12
    assert abs(moves - [1, 1, 0]).max() <= 1e-12  # from 0: wait, wait or wait, jump


def test_sequences_are_merged_after_every_step():
    """Ten actions over twelve steps are 10**12 sequences, which end in two states."""
    names = [f"act {k}" for k in range(10)]
    world = world_from_rows(
        [[(name, {k % 2: 1.0}) for k, name in enumerate(names)] for _ in range(2)]
    )
    found = empowerment(world, steps=12).check()
    assert abs(found.bits - 1).max() <= 1e-12
    assert found.distinct.tolist() == [2, 2]


def test_lines_that_differ_by_rounding_are_merged_and_the_limits_say_so():
    """Two biased steps in either order are the same line but for the last bits."""
    kinds = {"a": 0.1, "b": 0.3, "c": 0.7}
    world = world_from_rows(
        [
            [
                (name, {min(s + 1, 4): p, s: 1 - p} if s < 4 else {4: 1.0})
                for name, p in kinds.items()
            ]
            for s in range(5)
        ]
    )
    found = empowerment(world, steps=4, states=[0]).check()
    assert found.distinct[0] == 15  # multisets of 4 from 3: order does not matter
    whole = channel_capacity(all_sequences(world, 0, 4, np.eye(5)), tolerance=1e-8)
    assert found.low[0] - 1e-12 <= whole.high
    assert whole.low <= found.high[0] + 1e-12


def test_a_channel_that_grows_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_CELLS", 20)
    with pytest.raises(WorldError, match=r"from state \d must have at most 20 entries, got \d+ se"):
        empowerment(hostile_world(), steps=5)


def test_a_state_that_runs_out_of_iterations_says_so(monkeypatch):
    monkeypatch.setattr(module, "MAX_ITERATIONS", 1)
    found = empowerment(hostile_world(), steps=1, tolerance=1e-9)
    assert found.low[0] < found.high[0] - 1e-3
    with pytest.raises(NotSolvedError, match=r"empowerment of state 0 must be solved .* bits: the"):
        found.check()


def test_what_does_not_fit_is_refused():
    world = hostile_world()
    with pytest.raises(DiscountError, match=r"steps must be a whole number, .* got -1"):
        empowerment(world, steps=-1)
    with pytest.raises(DiscountError, match=r"tolerance must be positive and finite, got 0"):
        empowerment(world, steps=1, tolerance=0)
    with pytest.raises(WorldError, match=r"states must lie in 0\.\.2, got 3"):
        empowerment(world, steps=1, states=[3])
    twice = world_from_rows([[("a", {0: 1.0}), ("a", {1: 1.0})], [("a", {1: 1.0})]])
    with pytest.raises(WorldError, match=r"row 1 \(state 0, action 'a'\) must be its action's"):
        empowerment(twice, steps=1)


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ([1.0], r"must have the shape \[X, Y\]"),
        ([[0.5, 0.4]], r"channel\[0\] must sum to 1, got 0\.9 "),
        ([[1.5, -0.5]], r"channel\[0, 1\] must be finite and not negative, got -0\.5"),
        ([[np.nan, 1]], r"channel\[0, 0\] must be finite and not negative, got nan"),
    ],
)
def test_a_channel_that_is_none_is_refused(channel, message):
    with pytest.raises(WorldError, match=message):
        channel_capacity(channel)
