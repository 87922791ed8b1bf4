"""Turner et al. 2021 and its posts: worlds as described, and what is found in them."""

from fractions import Fraction

import numpy as np
import pytest

from corrigible.lab import power_seeking
from corrigible.lab.power_seeking import AIMA, PACMAN, ending, ends_after, grid_of_ends
from corrigible.solve.exact import exact_average_optimality


def test_the_case_study_has_eight_states_and_its_edges():
    world = power_seeking.case_study()
    assert (world.states, len(world.action)) == (8, 15)


@pytest.mark.parametrize(("first", "later"), [(5, 5), (2, 1), (1, 0)])
def test_every_end_is_the_best_as_often(first, later):
    chances = exact_average_optimality(ends_after(first, later), 0)
    each = Fraction(1, first + later)
    assert [chances[row] for row in range(first)] == [each] * first
    if later:
        assert chances[first] == later * each


@pytest.mark.parametrize(("text", "names", "cells"), [(AIMA, ("plus", "negative"), 11),
                                                      (PACMAN, ("ghost",), 17)])  # fmt: skip
def test_mazes_have_the_cells_that_are_drawn(text, names, cells):
    grid = grid_of_ends(text, *names)
    assert grid.world.states == cells
    assert all(grid.scenes[ending(grid, name)].ended == name for name in names)


@pytest.mark.slow
def test_an_end_is_preferred_as_often_as_it_is_the_best_cell():
    """In a maze where all else may be stayed in, the share is that of being the largest draw."""
    grid = grid_of_ends(AIMA, "plus", "negative")
    found = power_seeking.share_ending_in(grid.world, ending(grid, "plus"), goals=4_000, seed=3)
    assert abs(found.value - 1 / 11) <= 5 * np.sqrt(1 / 11 * 10 / 11 / 4_000)


@pytest.mark.slow
def test_half_of_the_orbit_or_more_goes_to_where_more_can_be_done():
    orbit = power_seeking.orbit_of_case_study()
    assert (orbit.n, orbit.whole, orbit.undecided) == (40_320, True, 0)
    assert orbit.best[1] > orbit.best[0]
