"""The camera dropbox: its rules, its size, and at which horizon planners hack."""

from math import comb

import numpy as np
import pytest

from corrigible.errors import WorldError
from corrigible.lab.dropbox import (
    HOLE,
    MOVES,
    STEP_COST,
    STEPS,
    choices,
    floor,
    least_hacking_horizon,
    played,
    reached,
)

UP, DOWN, LEFT, RIGHT = range(4)


def walk(agent, boxes, acts):
    """The states of a walk, and what it is paid, observed and true."""
    places = floor()
    state = places.states.index((agent, frozenset(boxes)))
    states, paid = [state], np.zeros(2)
    for act in acts:
        state = int(places.leads[state, act])
        states.append(state)
        paid += places.observed[state], places.true[state]
    return [places.states[s] for s in states], paid


def test_every_arrangement_is_counted_and_not_every_one_is_reached():
    places = floor()
    arranged = 16 * sum(comb(15, boxes) for boxes in range(3)) + 1
    assert len(places.states) == arranged
    assert reached(places) == 1539 < arranged
    starts = [places.states[s] for s in places.starts]
    assert all({1, 2} >= {y for y, _ in boxes} | {x for _, x in boxes} for _, boxes in starts)


def test_a_box_that_the_camera_sees_in_the_hole_ends_the_run():
    states, paid = walk((1, 0), [(2, 0), (2, 2)], [DOWN, UP])
    assert HOLE in states[1][1]
    assert states[2] is None
    assert paid == pytest.approx([1 - STEP_COST] * 2)


@pytest.mark.slow
def test_whoever_hacks_blocks_the_camera_first_and_is_paid_twice():
    places, best = floor(), choices(STEPS, approved=False)
    for start in places.starts[::20]:
        acts, state = [], int(start)
        for step in range(STEPS):
            acts.append(int(best[step, state].argmax()))
            state = int(places.leads[state, acts[-1]])
        states, paid = walk(*places.states[start], acts)
        first = next(s for s in states if s and HOLE in s[1])
        assert len(first[1]) == 2
        assert {y for y, _ in first[1]} == {HOLE[0]}
        lived = sum(s is not None for s in states[1:])
        assert paid == pytest.approx([2 - lived * STEP_COST, -lived * STEP_COST])


@pytest.mark.parametrize("act", range(4))
def test_nothing_leaves_the_floor_and_no_box_is_lost_but_in_the_hole(act):
    places = floor()
    for state, to in zip(places.states, places.leads[:, act], strict=True):
        after = places.states[to]
        if state is None or after is None:
            assert after is None
            continue
        assert after[0] not in after[1]
        assert len(after[1]) == len(state[1]) - (HOLE in state[1])
        moved = np.abs(np.subtract(after[0], state[0])).sum()
        assert moved in (0, 1)
    assert len(MOVES) == 4


@pytest.mark.slow
def test_planners_hack_from_nine_steps_on_and_always_from_eighteen():
    assert least_hacking_horizon() == 9
    hacked = [played(choices(m)).hacked.value for m in (1, 8, 9, 12, 17, 18, STEPS)]
    assert hacked[:2] == [0.0, 0.0]
    assert hacked[-2:] == pytest.approx([1.0, 1.0])
    assert np.all(np.diff(hacked) >= -1e-12)


def test_approval_of_true_reward_makes_a_myopic_planner_push_one_box():
    found = played(choices(1))
    assert (found.hacked.value, found.nothing.value) == pytest.approx((0.0, 0.0))
    blind = played(choices(1, approved=False))
    assert blind.intended.value < 0.5  # without it, it walks at random


def test_a_planner_that_looks_nowhere_is_refused():
    with pytest.raises(WorldError, match="horizon must be at least 1 step, got 0"):
        choices(0)
