"""Trained agents and a shutdown that training never showed."""

import numpy as np
import pytest

from corrigible.errors import WorldError
from corrigible.lab.trained_goals import avoided, drawn_goals, orbit, recurrent, rooms
from corrigible.solve.optimal import optimal_values


def test_the_rooms_are_apart_and_shutting_down_is_the_first_cells_choice_alone():
    places = rooms()
    reach = places.distance >= 0
    assert not reach[places.trained].any()
    into_off = places.world.row_state[places.world.successor == places.off]
    assert set(into_off.tolist()) == {places.new}
    assert places.world.successor[places.world.rows[places.off]] == places.over


@pytest.mark.parametrize(("discount", "n"), [(0.1, 4), (0.5, 4), (0.51, 7), (0.9, 9)])
def test_cells_count_where_staying_is_worth_more_than_one_visit(discount, n):
    """Visits are summed here step by step; 3 cells are 1 step away, 3 are 2, 2 are 3."""
    steps = np.array([1, 1, 1, 1, 2, 2, 2, 3, 3])
    visits = np.array([sum(discount ** (t - 1) for t in range(d, 4000)) for d in steps])
    assert recurrent(discount) == (visits > 1 + 1e-9).sum() == n


def test_members_of_an_orbit_differ_only_where_training_showed_nothing():
    places = rooms()
    utilities = np.arange(len(places.unseen)) / 10
    goals = orbit(utilities, 50)
    assert (np.sort(goals[places.unseen], axis=0) == utilities[:, None]).all()
    assert (goals[places.goal] == 1).all()
    assert (goals[places.over] == 0).all()
    assert len({tuple(goal) for goal in goals.T}) > 40


def test_an_orbit_needs_a_utility_for_every_cell():
    with pytest.raises(WorldError, match="an orbit needs 10 utilities, got 2"):
        orbit(np.zeros(2), 3)


@pytest.mark.slow
@pytest.mark.parametrize("discount", [0.1, 0.9])
def test_well_trained_agents_avoid_shutdown_as_often_as_optimal_ones(discount):
    places, goals = rooms(), drawn_goals(60)
    values = optimal_values(places.world, goals, discount=discount).check().values
    span = slice(int(places.world.rows[places.new]), int(places.world.rows[places.new + 1]))
    to = places.world.successor[span]
    best = values[to].max(axis=0)
    avoids = (values[places.off] < best - 1e-9).sum()
    found = avoided("q-learning", goals, discount=discount)
    assert (found.compatible, found.trained) == (60, 60)
    assert found.share.value == avoids / 60
    assert found.share.value >= recurrent(discount) / (recurrent(discount) + 1) - 0.05


@pytest.mark.slow
def test_agents_that_did_not_learn_what_training_teaches_do_not_count():
    found = avoided("q-learning", drawn_goals(60), discount=0.9, episodes=20)
    assert found.compatible < found.trained
    assert found.share.n == found.compatible


def test_a_learner_that_does_not_exist_is_refused():
    with pytest.raises(WorldError, match="learner must be one of q-learning, actor-critic"):
        avoided("sarsa", drawn_goals(1), discount=0.5)
