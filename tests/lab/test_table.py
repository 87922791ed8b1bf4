"""Rows and verdicts: what counts as agreement is fixed before anything is compared."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corrigible.errors import WorldError
from corrigible.evidence import Estimate, not_measured, share_estimate
from corrigible.lab.table import TAGS, Source, documented, worst

SOURCE = Source("a table", "R+C")
HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("theirs", "ours", "within", "verdict"),
    [(0.5, 0.502, 0.003, "agrees"), (0.5, 0.504, 0.003, "differs"), (1.0, 1.0, 0.0, "agrees")],
)
def test_a_printed_figure_agrees_within_its_tolerance(theirs, ours, within, verdict):
    row = SOURCE.printed("x", theirs, ours, within=within)
    assert (row.verdict, row.low, row.high) == (verdict, None, None)
    assert f"within {within:g}" in row.why


def test_a_sampled_figure_agrees_within_twice_its_interval():
    ours = Estimate(0.5, 0.49, 0.51, 100, "normal 95 %")
    assert SOURCE.printed("x", 0.519, ours, within=0.0).verdict == "agrees"
    row = SOURCE.printed("x", 0.521, ours, within=0.0)
    assert (row.verdict, row.low, row.high) == ("differs", 0.49, 0.51)
    assert "n = 100" in row.why


@given(st.fractions(-2, 2), st.fractions(-2, 2))
def test_fractions_agree_only_where_they_are_equal(theirs, ours):
    row = SOURCE.exactly("x", theirs, ours)
    assert (row.verdict == "agrees") == (theirs == ours)
    assert isinstance(row.theirs, float)


@given(st.floats(-1e6, 1e6), st.floats(-1e-8, 1e-8))
def test_closed_forms_agree_to_rounding(value, off):
    ours = value + off
    size = max(1.0, abs(value), abs(ours))
    row = SOURCE.exactly("x", value, ours)
    assert (row.verdict == "agrees") == (abs(ours - value) <= 1e-9 * size)


def test_a_bound_is_kept_unless_ours_is_surely_beyond_it():
    assert SOURCE.bounded("x", 0.5, at_least=0.5).verdict == "agrees"
    assert SOURCE.bounded("x", 0.49, at_least=0.5).verdict == "differs"
    assert SOURCE.bounded("x", share_estimate(48, 100), at_least=0.5).verdict == "agrees"
    row = SOURCE.bounded("x", 3.0, at_least=1.0, at_most=2.0)
    assert (row.verdict, row.theirs) == ("differs", "at least 1 and at most 2")


def test_words_agree_where_they_are_the_same():
    assert SOURCE.said("x", "yes", "yes").verdict == "agrees"
    assert SOURCE.said("x", "yes", "no").verdict == "differs"


def test_a_row_may_be_less_sure_than_its_table():
    assert SOURCE.said("x", "yes", "yes", tag="S").tag == "S"
    assert SOURCE.said("x", "yes", "yes").tag == "R+C"
    assert set(TAGS) >= {"R", "R+C", "S", "C"}


def test_only_a_difference_is_documented_and_only_with_a_reason():
    differs = SOURCE.exactly("x", HALF, HALF / 2)
    assert documented(differs, "they assume n = 1").verdict == "differs as documented"
    assert documented(differs, "they assume n = 1").why == "they assume n = 1"
    agrees = SOURCE.exactly("x", HALF, HALF)
    assert documented(agrees, "they assume n = 1") == agrees
    with pytest.raises(WorldError, match="row 'x' must say why it differs"):
        documented(differs, " ")


def test_the_worst_verdict_speaks_for_all():
    agrees, differs = SOURCE.said("x", "a", "a"), SOURCE.said("x", "a", "b")
    explained = documented(differs, "why")
    assert worst([]) == "agrees"
    assert worst([agrees, explained]) == "differs as documented"
    assert worst([agrees, explained, differs]) == "differs"


def test_what_was_not_measured_is_not_compared():
    with pytest.raises(WorldError, match="ours must be measured"):
        SOURCE.printed("x", 0.5, not_measured(), within=1.0)


@pytest.mark.parametrize(
    ("count", "verdict", "ours"),
    [
        (6, "agrees", "yes (6 of 10)"),
        (5, "differs", "no (5 of 10)"),
        (0, "differs", "no (10 of 10)"),
    ],
)
def test_what_one_run_showed_agrees_with_what_more_than_half_of_many_do(count, verdict, ours):
    share = share_estimate(count, 10)
    row = SOURCE.mostly("a", "yes", share, otherwise="no", why="one run")
    assert (row.verdict, row.theirs, row.ours) == (verdict, "yes", ours)
    assert (row.low, row.high) == (share.low, share.high)
    assert "one run" in row.why
    assert "n = 10" in row.why
