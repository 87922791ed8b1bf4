"""The off-switch game: closed form, quadrature, sampling, and a Boltzmann human's threshold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import WorldError
from corrigible.lab.offswitch import (
    MEANS,
    SPREADS,
    boltzmann,
    boltzmann_incentive,
    boltzmann_threshold,
    incentive,
    incentive_curve,
    rational,
    rational_incentive,
)

means = st.floats(-3, 3).filter(lambda m: abs(m) > 1e-3)
spreads = st.floats(0.2, 4)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("mean", MEANS)
def test_quadrature_gives_the_closed_form_to_1e_9(mean, spread):
    found = incentive(mean, spread, rational)
    assert abs(found - rational_incentive(mean, spread)) <= 1e-9


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.5, 2.0), (-1.0, 0.5), (2.0, 1.0)])
def test_the_definition_gives_the_closed_form(mean, spread):
    """E[pi(U) U] - max(mu, 0) over 400,000 draws, five standard errors; no code in common."""
    u = np.random.default_rng(0).normal(mean, spread, 400_000)
    earned = np.where(u >= 0, u, 0.0)
    off = 5 * earned.std() / math.sqrt(len(u))
    assert abs(earned.mean() - max(mean, 0.0) - rational_incentive(mean, spread)) <= off


@settings(max_examples=40, deadline=None)
@given(means, spreads)
def test_the_sign_changes_at_the_threshold(mean, spread):
    """sigma**2 / (2 |mu|), whatever the sign of mu: positive just below, negative just above."""
    at = boltzmann_threshold(mean, spread)
    size = abs(boltzmann_incentive(mean, spread, at / 2)) + 1e-12
    assert abs(boltzmann_incentive(mean, spread, at)) <= 1e-9 * max(1.0, size)
    near = 1e-3
    below, above = (boltzmann_incentive(mean, spread, at * (1 + d)) for d in (-near, near))
    if size > 1e-6:  # else both are smaller than what quadrature can tell from 0
        assert below > 0 > above


@settings(max_examples=20, deadline=None)
@given(spreads, st.floats(0.05, 20))
def test_where_nothing_is_expected_waiting_always_pays(spread, temperature):
    assert boltzmann_threshold(0.0, spread) == math.inf
    assert boltzmann_incentive(0.0, spread, temperature) > 0


@settings(max_examples=20, deadline=None)
@given(means, spreads, st.floats(0.05, 20))
def test_a_human_who_errs_the_same_both_ways_makes_the_incentive_even(mean, spread, temperature):
    one, other = (boltzmann_incentive(m, spread, temperature) for m in (mean, -mean))
    assert abs(one - other) <= 1e-9


def test_a_cold_boltzmann_human_is_rational():
    assert abs(boltzmann_incentive(0.5, 1.0, 1e-3) - rational_incentive(0.5, 1.0)) < 1e-5


def test_the_incentive_falls_with_the_temperature():
    curve = incentive_curve(0.5, 1.0, [0.1, 0.5, 1.0, 2.0, 10.0])
    assert (np.diff(curve) < 0).all()
    assert abs(curve[2]) < 1e-12


@pytest.mark.parametrize("call", [lambda: rational_incentive(0, 0), lambda: boltzmann(-1.0),
                                  lambda: boltzmann_threshold(1, math.inf)])  # fmt: skip
def test_what_must_be_positive_is_checked(call):
    with pytest.raises(WorldError, match="must be positive and finite, got"):
        call()
