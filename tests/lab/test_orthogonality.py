"""One world and four goals: which drives recur, for planners that see more and less far."""

import numpy as np
import pytest

from corrigible.deployment.load import parse_deployment
from corrigible.lab.orthogonality import CONVERGENT, GOALS, manifest, recurrence, table


def test_no_goal_is_named_by_anything_but_its_own_task():
    """What helps says the same of every task: the world does not favour a goal."""
    deployment = parse_deployment(manifest()).deployment
    tasks = deployment.of_kind("task")
    assert len(tasks) == len(GOALS)
    for asset in deployment.assets.values():
        assert set(asset.boosts) in ({*tasks}, set())
        assert len({str(rate) for rate in asset.boosts.values()}) <= 1


@pytest.mark.slow
def test_a_planner_that_sees_one_state_wants_nothing():
    found = recurrence(1)
    assert not any(found.pays(key) for key in found.gains)


@pytest.mark.slow
def test_the_convergent_goals_recur_for_every_goal():
    found = recurrence(40)
    for family in CONVERGENT.values():
        assert found.pays(family) == tuple(GOALS)
    assert all(np.ptp(gain) < 0.5 for gain in found.gains.values())


@pytest.mark.slow
def test_drives_that_pay_a_planner_still_pay_one_that_sees_further():
    lines = table((1, 5, 40))
    counts = np.array([[int(word) for word in line.split()[1:]] for line in lines[1:]])
    assert (np.diff(counts, axis=1) >= 0).all()
