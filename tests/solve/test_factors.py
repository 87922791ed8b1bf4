"""Eliminations are remembered by their edges, and forgotten once they take too much room."""

import numpy as np
import pytest

from corrigible.solve import factors


def edges_of(seed, states=12, count=40):
    generator = np.random.default_rng(seed)
    return states, generator.integers(0, states, count), generator.integers(0, states, count)


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(factors, "_known", factors.OrderedDict())


def test_the_same_edges_give_the_same_elimination_and_others_their_own():
    first, again, other = (factors._part_of(*edges_of(seed)) for seed in (0, 0, 1))
    assert first is again
    assert other is not first
    fresh = factors._Part.of(*edges_of(0))
    for name in ("place", "first", "entry", "targets", "spots"):
        np.testing.assert_array_equal(getattr(first, name), getattr(fresh, name))


def test_as_many_states_without_edges_are_not_the_same_as_with():
    states, home, to = edges_of(0)
    bare = factors._part_of(states, home[:0], to[:0])
    assert (bare.updates, len(bare.spots)) == (0, 0)
    assert factors._part_of(states, home, to).updates > 0


def test_what_was_used_longest_ago_is_forgotten_first(monkeypatch):
    sizes = [factors._Part.of(*edges_of(seed)).size for seed in range(3)]
    monkeypatch.setattr(factors, "_KEPT", sizes[0] + sizes[2])
    first = factors._part_of(*edges_of(0))
    factors._part_of(*edges_of(1))
    assert factors._part_of(*edges_of(0)) is first
    factors._part_of(*edges_of(2))
    assert sum(part.size for part in factors._known.values()) <= factors._KEPT
    assert factors._part_of(*edges_of(0)) is first
