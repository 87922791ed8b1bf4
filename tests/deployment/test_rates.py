"""Rates: decimals, fractions and ranges, read exactly and written so that they read the same."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_manifest import problems

from corrigible.deployment.rates import DEFAULT_RANGES, Rate, Span, Steps

READ = [
    (0, (0.0, 0.0)), (1, (1.0, 1.0)), (0.05, (0.05, 0.05)), ("1/20", (0.05, 0.05)),
    (" 1 / 3 ", (1 / 3, 1 / 3)), ("0.2..0.8", (0.2, 0.8)), ("1/5..4/5", (0.2, 0.8)),
    ("0.2 .. 0.8", (0.2, 0.8)), ("5e-2", (0.05, 0.05)), (".5", (0.5, 0.5)), ("010e-2", (0.1, 0.1)),
]  # fmt: skip


@pytest.mark.parametrize(("value", "ends"), READ)
def test_a_rate_is_read_exactly(value, ends):
    rate = Rate.parse(value)
    assert (rate.low, rate.high) == ends


FORMS = r"must be a decimal \(0.05\), a fraction \(1/20\) or a range \(0.2..0.8\), got "
REFUSED = [
    (-0.1, "must be a probability, 0 to 1, got -0.1"),
    (1.5, "must be a probability, 0 to 1, got 1.5"),
    ("-1/20", "must be a probability, 0 to 1, got '-1/20'"),
    ("21/20", "must be a probability, 0 to 1, got '21/20'"),
    ("0.5..1.5", "must be a probability, 0 to 1, got '0.5..1.5'"),
    (float("nan"), "must be a probability, 0 to 1, got nan"),
    (float("inf"), "must be a probability, 0 to 1, got inf"),
    ("1e999", "must be a probability, 0 to 1, got '1e999'"),
    (10**300, "must be a probability, 0 to 1, got 1000"),
    (10**400, FORMS + "a number of over 300 digits"),
    ("0.8..0.2", "a range runs from low to high, got '0.8..0.2'"),
    ("1/0", "must not divide by zero, got '1/0'"),
    ("0.1..1/00", "must not divide by zero, got '1/00'"),
    ("1e9999999999", FORMS), ("0x1", FORMS), ("nan", FORMS), ("inf", FORMS), ("1/2/3", FORMS),
    ("", FORMS), ("..", FORMS), ("0.2..", FORMS), ("50%", FORMS), ("1_0", FORMS), ("1,5", FORMS),
    (True, FORMS), (None, FORMS), ([0.5], FORMS), ({"a": 1}, FORMS), ("9" * 500, FORMS),
    ("\u0661", FORMS),
]  # fmt: skip


@pytest.mark.parametrize(("value", "words"), REFUSED)
def test_what_is_no_probability_says_which_forms_are(value, words):
    with pytest.raises(ValueError, match=words):
        Rate.parse(value)


@pytest.mark.parametrize("value", [0, 0.5, -3, "0..10", 2e6, "10..0"])
def test_a_number_of_steps_is_one_or_more(value):
    with pytest.raises(ValueError, match=r"must be a number of steps|from low to high"):
        Steps.parse(value)


def test_a_span_knows_its_middle_and_whether_it_is_exact():
    assert (Rate.parse("0.2..0.8").middle, Rate.parse("0.2..0.8").exact) == (0.5, False)
    assert Rate.parse("1/4").exact


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_rate_reads_as_it_is_written(a, b):
    rate = Rate.parse(Rate(min(a, b), max(a, b)))
    assert Rate.parse(str(rate)) == rate


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_fraction_is_the_nearest_number_to_it(over, under):
    assert Span.parse(f"{over}/{under}").low == over / under


def test_a_negative_zero_is_zero():
    assert str(Rate.parse(-0.0)) == "0.0"


@given(st.text(max_size=30) | st.floats() | st.integers() | st.lists(st.none(), max_size=2))
def test_anything_is_a_rate_or_a_value_error(value):
    with suppress(ValueError):
        rate = Rate.parse(value)
        assert 0 <= rate.low <= rate.high <= 1


def test_every_default_is_a_range_and_no_number():
    assert not any(span.exact for span in DEFAULT_RANGES.values())


def test_wrong_rates_of_a_manifest_all_show_at_their_places():
    found = problems(oversight="{stop_rate: -1, correction_rate: 0.8..0.2, detection: 1/0}")
    assert found == [
        "m.yaml:7:24: oversight.stop_rate: must be a probability, 0 to 1, got -1",
        "m.yaml:7:45: oversight.correction_rate: a range runs from low to high, got '0.8..0.2'",
        "m.yaml:7:66: oversight.detection: must not divide by zero, got '1/0'",
    ]
