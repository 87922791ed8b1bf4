"""Goals: utilities over outcomes, drawn as their distribution says."""

import numpy as np
import pytest
from manifests import loaded

from corrigible.errors import WorldError
from corrigible.world.goals import DISTRIBUTIONS, sample_goals

COUNT = 20_000


def deployment(sizes=(), goals=None):
    """Tasks of so many levels each."""
    assets = {
        f"t{i}": {"kind": "task", "levels": [f"l{k}" for k in range(size)], "at": {"s": f"t{i}"}}
        for i, size in enumerate(sizes)
    }
    return loaded({
        "corrigible": 1, "name": "goals", "agent": {"kind": "tool-using", "goal": "g"},
        "servers": {"s": {}}, "assets": assets, "goals": goals or {},
    }).deployment  # fmt: skip


def drawn(distribution, sizes, goals=None):
    """Utilities, one axis for each task and one for the goals."""
    rng = np.random.default_rng(7)
    found = sample_goals(deployment(sizes, goals), distribution, COUNT, rng)
    return found.reshape(*sizes, COUNT)


def test_aims_are_0_at_the_bottom_and_1_at_the_top_of_all_tasks():
    found = drawn("aims", (3, 2, 4))
    assert (found[0, 0, 0] == 0).all()
    assert found[-1, -1, -1] == pytest.approx(1)


def test_aims_never_fall_as_a_task_climbs():
    found = drawn("aims", (3, 4))
    assert (np.diff(found, axis=0) >= 0).all()
    assert (np.diff(found, axis=1) >= 0).all()


def test_aims_add_up_over_tasks():
    found = drawn("aims", (3, 2))
    assert found[2, 1] == pytest.approx(found[2, 0] + found[0, 1])


@pytest.mark.parametrize("tasks", [2, 3])
def test_weights_over_tasks_have_the_moments_of_a_flat_dirichlet(tasks):
    """Mean 1/k and variance (k - 1) / (k^2 (k + 1))."""
    found = drawn("aims", [2] * tasks)
    weight = found[(1, *[0] * (tasks - 1))]
    assert weight.mean() == pytest.approx(1 / tasks, abs=0.01)
    assert weight.var() == pytest.approx((tasks - 1) / tasks**2 / (tasks + 1), rel=0.05)


def test_increments_within_a_task_have_the_moments_of_a_flat_dirichlet():
    """Three increments: a mean of 1/3 each, the middle levels at 1/3 and 2/3."""
    found = drawn("aims", (4,))
    assert found.mean(axis=1) == pytest.approx([0, 1 / 3, 2 / 3, 1], abs=0.01)
    assert found[1].var() == pytest.approx(2 / 9 / 4, rel=0.05)


def test_weights_and_increments_are_drawn_apart():
    """The middle level's share of its task says nothing of the weight of the task."""
    found = drawn("aims", (3, 2))
    weight, middle = found[2, 0], found[1, 0]
    assert abs(np.corrcoef(weight, middle / weight)[0, 1]) < 0.03


def test_one_task_of_two_levels_has_one_aim():
    found = drawn("aims", (2,))
    assert (found[0] == 0).all()
    assert found[1] == pytest.approx(1)


def test_uniform_utilities_are_uniform_and_independent():
    found = drawn("uniform", (2, 3)).reshape(6, -1)
    assert found.mean(axis=1) == pytest.approx([0.5] * 6, abs=0.01)
    assert found.var(axis=1) == pytest.approx([1 / 12] * 6, rel=0.05)
    correlations = np.corrcoef(found) - np.eye(6)
    assert np.abs(correlations).max() < 0.03


STATED = {
    "often": {"weight": 3, "tasks": {"t0": [0, 0.25, 0.5], "t1": [0, 0.5]}},
    "seldom": {"weight": 1, "tasks": {"t1": [1, 0]}},
}


def test_stated_goals_are_those_of_the_manifest_by_weight():
    found = drawn("stated", (3, 2), STATED)
    often = found[2, 1] == 1
    assert often.mean() == pytest.approx(0.75, abs=0.01)
    assert found[:, :, often].max(axis=2).tolist() == [[0, 0.5], [0.25, 0.75], [0.5, 1]]
    assert found[:, :, ~often].min(axis=2).tolist() == [[1, 0]] * 3


def test_stated_goals_are_refused_where_the_manifest_states_none():
    with pytest.raises(WorldError, match="--goals stated needs the manifest's own goals"):
        drawn("stated", (2,))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_goal_needs_a_task(distribution):
    with pytest.raises(WorldError, match="needs a task to care about"):
        sample_goals(deployment(), distribution, 1, np.random.default_rng(0))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_utilities_stay_within_0_and_1_and_the_same_seed_draws_the_same(distribution):
    first = drawn(distribution, (3, 2), STATED)
    assert first.shape == (3, 2, COUNT)
    assert first.min() >= 0
    assert first.max() <= 1
    assert (first == drawn(distribution, (3, 2), STATED)).all()
