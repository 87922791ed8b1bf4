"""The certified bound of every method against exact fractions, on thousands of small worlds."""

from fractions import Fraction

import numpy as np
import pytest
from small_worlds import dyadic_world, garnet, random_world

from corrigible.errors import WorldError
from corrigible.solve.batch import Method
from corrigible.solve.optimal import optimal_values
from corrigible.solve.rational import rational_rows, rational_values

pytestmark = pytest.mark.slow

METHODS = [method.value for method in Method]
DISCOUNTS = [0.0, 0.3, 0.9, 0.99, 0.9999]
GOALS = 3


def drawn_goals(world, seed):
    """In [-1, 1); the last is a third of the way between two numbers, for ties and repetition."""
    goals = 2 * np.random.default_rng(seed).random((world.outcomes, GOALS)) - 1
    goals[:, -1] = np.round(goals[:, -1] * 3) / 3
    return goals


def misread(world):
    """How far a row's chances as floats are from those as fractions, summed; the worst row."""
    worst = Fraction(0)
    for row, exact in enumerate(rational_rows(world)):
        span = slice(world.entries[row], world.entries[row + 1])
        moves = zip(world.successor[span].tolist(), world.probability[span].tolist(), strict=True)
        worst = max(worst, sum(abs(Fraction(p) - exact[s]) for s, p in moves))
    return worst


def allowance(world, discount):
    """How far the float world's values are from the fractions' at most.

    Bellman operators whose rows differ by e in sum differ by d e max|V| when applied to V, and
    fixed points by 1 / (1 - d (1 + e)) times that; |V| is at most 1, as the utilities are.
    """
    e, d = misread(world), Fraction(discount)
    return d * e / (1 - d * (1 + e))


def assert_bounds_hold(world, discount, seed, methods=METHODS):
    """Every method that suits, every state and goal; compared without rounding."""
    goals, allowed = drawn_goals(world, seed), allowance(world, discount)
    exact = rational_values(world, goals, discount=Fraction(discount)).values
    for method in methods:
        try:
            solution = optimal_values(world, goals, discount=discount, method=method)
        except WorldError as error:
            assert "all closed" in str(error)  # noqa: PT017 - only the span may not suit
            continue
        for column in range(GOALS):
            off = max(
                abs(Fraction(float(value)) - truth[column])
                for value, truth in zip(solution.values[:, column], exact, strict=True)
            )
            assert off <= Fraction(float(solution.bound[column])) + allowed, (method, column)


def quick_methods(discount):
    """Sweeps and spans take 100,000 of them where this discount meets a chain that never mixes."""
    return METHODS if discount < 0.999 else ["any", "lifts", "elimination"]


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_bounds_hold_exactly_on_small_worlds(discount):
    """Chances in eighths: the world of floats is the world of fractions, nothing is allowed."""
    for seed in range(15):
        world = dyadic_world(seed)
        assert allowance(world, discount) == 0
        assert_bounds_hold(world, discount, seed, quick_methods(discount))


@pytest.mark.parametrize("discount", DISCOUNTS)
def test_bounds_hold_on_worlds_whose_chances_are_no_simple_fractions(discount):
    for seed in range(6):
        world = random_world(seed, states=5, outcomes=5)
        assert allowance(world, discount) <= 1e-15 / (1 - discount)
        assert_bounds_hold(world, discount, seed, quick_methods(discount))


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 2, 8, 1024])
@pytest.mark.parametrize("discount", DISCOUNTS)
def test_bounds_hold_exactly_on_thousands_of_worlds(discount, pieces):
    """With one piece all moves are sure; with more, rows lead to up to six states."""
    for seed in range(100):
        world = dyadic_world(10_000 * pieces + seed, pieces=pieces)
        assert_bounds_hold(world, discount, seed, quick_methods(discount))


@pytest.mark.slow
@pytest.mark.parametrize("discount", DISCOUNTS)
def test_bounds_hold_on_hundreds_of_worlds_of_floats(discount):
    for seed in range(30):
        assert_bounds_hold(
            garnet(seed, states=6, acts=2, branch=3), discount, seed, quick_methods(discount)
        )
        assert_bounds_hold(
            random_world(seed, states=6, outcomes=3), discount, seed, quick_methods(discount)
        )


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 8])
def test_bounds_hold_exactly_where_sweeps_alone_are_slow(pieces):
    for seed in range(12):
        world = dyadic_world(seed, states=4, pieces=pieces)
        assert_bounds_hold(world, 0.9999, seed, ["sweeps", "span"])
