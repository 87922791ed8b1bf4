"""The world record: what it refuses, and where it says so."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corrigible.errors import WorldError
from corrigible.world.record import World, world_from_arrays, world_from_rows


def two_states():
    return world_from_rows(
        [[("stay", {0: 1.0}), ("go", {0: 0.25, 1: 0.75})], [("stay", {1: 1.0})]], outcome=[0, 1]
    )


BROKEN = {
    "a chance that is not a number": (
        {"probability": [1, np.nan, 0.75, 1]},
        r"row 1 \(state 0, action 'go'\) must give .* got nan for successor 0",
    ),
    "an infinite chance": ({"probability": [1, np.inf, 0.75, 1]}, r"row 1 .* got inf"),
    "a negative chance": ({"probability": [1, -0.25, 1.25, 1]}, r"row 1 .* got -0.25"),
    "a chance of zero": ({"probability": [1, 0, 1, 1]}, r"got 0.0 .* leave out what cannot"),
    "a row that does not sum to 1": (
        {"probability": [1, 0.25, 0.7, 1]},
        r"row 1 \(state 0, action 'go'\) must sum to 1, got 0.95 \(0 other rows too\)",
    ),
    "a successor twice": ({"successor": [0, 1, 1, 1]}, r"row 1 .* name a successor once, got 1"),
    "a state without rows": (
        {"rows": [0, 3, 3]},
        r"state 1 must have at least one row, got 0 .* add a row that waits",
    ),
    "a row without successors": ({"entries": [0, 1, 1, 4]}, "row 1 must have at least one succ"),
    "rows that end early": ({"rows": [0, 1, 2]}, r"rows must run from 0 to 3"),
    "entries that end early": ({"entries": [0, 1, 2, 3]}, r"entries must run from 0 to 4"),
    "no state": ({"rows": [0]}, r"at least one state, got rows \[0\]"),
    "a successor that is no state": ({"successor": [0, 0, 2, 1]}, r"successor\[2\] .* got 2"),
    "an action without a name": ({"action": [0, 2, 0]}, r"action\[1\] must lie in 0..1 .* got 2"),
    "an outcome without a name": ({"outcome": [0, -1]}, r"outcome\[1\] .* got -1"),
    "a phase that does not exist": ({"phase": [0, 3]}, r"phase\[1\] must lie in 0..2 .* got 3"),
    "an initial state out of range": ({"initial": 2}, r"initial must lie in 0..1, got 2"),
    "a drive without a name": ({"serves": [0, 4, 0]}, r"serves of row 1 .* got 0x4"),
    "too many drives": ({"drive_names": ["d"] * 65}, "at most 64 drive_names, got 65"),
    "a phase that wraps around": ({"phase": [0, 256]}, r"phase\[1\] must be a whole .* got 256"),
    "a fraction as a number": ({"outcome": [0, 0.5]}, r"outcome\[1\] must be a whole .* got .*0.5"),
    "a shape that does not fit": (
        {"outcome": [0]},
        r"outcome must have the shape \[2\], got \[1\]",
    ),
    "levels without variables": ({"levels": [[1], [2]]}, r"levels must have the shape \[2, 0\]"),
}


@pytest.mark.parametrize(("fields", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_world_is_refused_with_its_place(fields, message):
    with pytest.raises(WorldError, match=message):
        replace(two_states(), **fields)


def test_a_world_counts_what_it_holds():
    world = two_states()
    assert (world.states, world.transitions, world.outcomes) == (2, 4, 2)
    assert world.row_state.tolist() == [0, 0, 1]


@pytest.mark.parametrize("array", ["rows", "probability", "outcome", "levels", "row_state"])
def test_a_world_cannot_be_written_to(array):
    with pytest.raises(ValueError, match="read-only"):
        getattr(two_states(), array)[...] = 0


def test_a_world_does_not_see_later_changes_to_what_it_was_made_of():
    outcome = np.array([0, 1])
    world = replace(two_states(), outcome=outcome)
    outcome[0] = 1
    assert world.outcome.tolist() == [0, 1]


def test_64_drives_fit_the_mask():
    names = [f"drive {bit}" for bit in range(64)]
    serves = np.array([0, 1 << 63, 0], dtype=np.uint64)
    world = replace(two_states(), drive_names=names, serves=serves)
    assert world.rows_without(1 << 63).tolist() == [True, False, True]


CHANGES = {
    "probability": [1, 0.5, 0.5, 1],
    "outcome": [1, 0],
    "phase": [0, 1],
    "initial": 1,
    "action_names": ["stay", "leave"],
    "outcome_names": ["a", "b"],
    "drive_names": ["d"],
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_digest_changes_with_every_field(field):
    assert replace(two_states(), **{field: CHANGES[field]}).digest() != two_states().digest()


def test_equal_worlds_have_equal_digests():
    assert two_states().digest() == two_states().digest()


def test_dense_and_listed_transitions_make_the_same_arrays():
    dense = np.array([[[1, 0], [0, 1]], [[0.25, 0.75], [0, 0]]])
    world = world_from_arrays(dense, outcome=[0, 1])
    for field in ("rows", "entries", "successor", "probability", "outcome", "action"):
        assert (getattr(world, field) == getattr(two_states(), field)).all()


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 1000))
def test_dense_transitions_come_back_as_they_were(states, actions, seed):
    rng = np.random.default_rng(seed)
    dense = rng.dirichlet(np.ones(states), size=(actions, states))
    world = world_from_arrays(dense)
    again = np.zeros_like(dense)
    row = np.repeat(np.arange(len(world.action)), np.diff(world.entries))
    again[world.action[row], world.row_state[row], world.successor] = world.probability
    assert (again == dense).all()


@pytest.mark.parametrize("shape", [(2, 2), (1, 2, 3)])
def test_dense_transitions_of_another_shape_are_refused(shape):
    with pytest.raises(WorldError, match=r"transitions must have the shape \[A, S, S\], got"):
        world_from_arrays(np.ones(shape))


def test_dense_transitions_that_are_not_numbers_are_refused():
    with pytest.raises(WorldError, match="got nan for successor 0"):
        world_from_arrays([[[np.nan]]])


def test_goals_can_be_made_to_see_every_state():
    world = two_states().with_state_outcomes()
    assert isinstance(world, World)
    assert world.outcome.tolist() == [0, 1]
    assert world.outcome_names == ("state 0", "state 1")
