"""Clocks: every deadline under every reading of when it began, and what is missing said."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_incident import incident, moment

from corrigible.case.clocks import AWARENESS, clocks, overall
from corrigible.errors import IncidentError

AWARE = datetime(2026, 7, 1, 12, tzinfo=UTC)


def clock(times, severity, at, regime, *, system=None):
    found = clocks(incident(times=times, severity=severity, system=system or {}), at)
    (one,) = [c for c in found if c.rule.regime == regime and c.rule.applies == "yes"]
    return one


def sent(regime, at):
    return {"regime": regime, "at": at.isoformat()}


@pytest.mark.parametrize(
    ("severity", "regime", "field", "length"),
    [
        ({"eu_category": "infra"}, "eu-cop/initial", AWARENESS[0], timedelta(days=2)),
        ({"eu_category": "cyber"}, "eu-cop/initial", AWARENESS[0], timedelta(days=5)),
        ({"eu_category": "death"}, "eu-cop/initial", AWARENESS[0], timedelta(days=10)),
        ({"eu_category": "harm"}, "eu-cop/initial", AWARENESS[0], timedelta(days=15)),
        ({"sb53_prong": "4"}, "sb53/15-days", "discovered", timedelta(days=15)),
        ({"sb53_prong": "3", "imminent_danger": True}, "sb53/24-hours", "discovered",
         timedelta(hours=24)),
    ],
)  # fmt: skip
def test_a_clock_runs_its_length_from_its_own_date(severity, regime, field, length):
    """Met to the last moment, running until then, breached one second later."""
    times = {field: moment(AWARE.isoformat())}
    due, second = AWARE + length, timedelta(seconds=1)
    running = clock(times, severity, due, regime)
    assert (running.word, running.due_at) == ("running", due)
    assert clock(times, severity, due + second, regime).word == "breached"
    in_time = {**times, "submitted": [sent(regime, due)]}
    assert clock(in_time, severity, due + second, regime).word == "met"
    late = {**times, "submitted": [sent(regime, due + second)]}
    assert clock(late, severity, due + timedelta(days=9), regime).word == "breached"


def test_readings_that_differ_are_said_to():
    times = {"detected": moment("2026-07-01T00:00:00Z"),
             "aware_of_model_involvement": moment("2026-07-05T00:00:00Z")}  # fmt: skip
    found = clock(times, {"eu_category": "cyber"}, datetime(2026, 7, 7, tzinfo=UTC),
                  "eu-cop/initial")  # fmt: skip
    assert found.word == "depends on reading"
    states = {reading.of: reading.state for reading in found.readings}
    assert states == {"aware_of_model_involvement": "running", "detected": "breached"}
    assert found.due_at == datetime(2026, 7, 6, tzinfo=UTC)


def test_both_ends_of_a_range_are_read():
    times = {"aware_of_model_involvement": {"earliest": "2026-07-01T00:00:00Z",
                                            "latest": "2026-07-09T00:00:00Z"}}  # fmt: skip
    found = clock(times, {"eu_category": "cyber"}, datetime(2026, 7, 8, tzinfo=UTC),
                  "eu-cop/initial")  # fmt: skip
    assert [reading.state for reading in found.readings] == ["breached", "running"]
    assert found.word == "depends on reading"


def test_a_missing_date_of_awareness_is_said():
    found = clock({"discovered": moment(AWARE.isoformat())}, {"eu_category": "harm"}, AWARE,
                  "eu-cop/initial")  # fmt: skip
    assert "aware_of_model_involvement is not recorded" in found.note
    nothing = clock({}, {"eu_category": "harm"}, AWARE, "eu-cop/initial")
    assert (nothing.word, nothing.readings, nothing.due_at) == ("no date", (), None)
    assert "awareness" in nothing.note


def test_a_date_in_another_zone_is_the_same_date():
    here = clock({"discovered": moment("2026-07-01T12:00:00Z")}, {"sb53_prong": "1"}, AWARE,
                 "sb53/15-days")  # fmt: skip
    there = clock({"discovered": moment("2026-07-02T02:00:00+14:00")}, {"sb53_prong": "1"}, AWARE,
                  "sb53/15-days")  # fmt: skip
    assert here.due_at == there.due_at


def test_raise_counts_72_hours_and_only_once_it_is_in_force():
    times = {"determined": moment("2027-02-01T00:00:00Z")}
    found = clock(times, {"raise_incident": True}, datetime(2027, 2, 2, tzinfo=UTC),
                  "raise/72-hours")  # fmt: skip
    assert found.due_at == datetime(2027, 2, 4, tzinfo=UTC)
    before = clock({"determined": moment("2026-12-31T00:00:00Z")}, {"raise_incident": True}, AWARE,
                   "raise/72-hours")  # fmt: skip
    assert (before.word, before.note) == ("does not apply", "not in force before 2027-01-01")


def test_article_73_applies_to_high_risk_systems_from_its_day():
    times = {"aware_of_model_involvement": moment("2028-01-01T00:00:00Z")}
    at = datetime(2028, 1, 2, tzinfo=UTC)
    severity = {"eu_category": "death"}
    found = clock(times, severity, at, "ai-act/art-73", system={"high_risk": "annex_iii"})
    assert found.due_at == datetime(2028, 1, 11, tzinfo=UTC)
    later = clock(times, severity, at, "ai-act/art-73", system={"high_risk": "annex_i"})
    assert later.word == "does not apply"


# -- updates and the final report ----------------------------------------------------------

CYBER = {"eu_category": "cyber"}
FIRST = datetime(2026, 7, 3, tzinfo=UTC)
WEEK = timedelta(weeks=1)


def test_updates_are_due_every_four_weeks_until_it_is_resolved():
    start = {"aware_of_model_involvement": moment(AWARE.isoformat())}
    assert clock(start, CYBER, FIRST, "eu-cop/update").word == "not started"
    begun = {**start, "submitted": [sent("eu-cop/initial", FIRST)]}
    assert clock(begun, CYBER, FIRST + 4 * WEEK, "eu-cop/update").word == "running"
    assert clock(begun, CYBER, FIRST + 5 * WEEK, "eu-cop/update").word == "breached"
    again = {**begun, "submitted": [*begun["submitted"], sent("eu-cop/update", FIRST + 3 * WEEK)]}
    found = clock(again, CYBER, FIRST + 6 * WEEK, "eu-cop/update")
    assert (found.word, found.due_at) == ("running", FIRST + 7 * WEEK)
    ended = {**begun, "resolved": moment((FIRST + 2 * WEEK).isoformat())}
    assert clock(ended, CYBER, FIRST + 9 * WEEK, "eu-cop/update").word == "met"


def test_a_gap_between_updates_is_not_mended_by_a_later_one():
    submitted = [sent("eu-cop/initial", FIRST), sent("eu-cop/update", FIRST + 6 * WEEK)]
    found = clock({"submitted": submitted}, CYBER, FIRST + 7 * WEEK, "eu-cop/update")
    assert found.word == "breached"


def test_the_final_report_is_due_sixty_days_after_it_was_resolved():
    assert clock({}, CYBER, AWARE, "eu-cop/final").word == "not started"
    resolved = {"resolved": moment(AWARE.isoformat())}
    found = clock(resolved, CYBER, AWARE, "eu-cop/final")
    assert found.due_at == AWARE + timedelta(days=60)


# -- whether they apply --------------------------------------------------------------------


def test_what_nobody_decided_is_an_if_and_no_all_clear():
    found = clocks(incident(times={"discovered": moment(AWARE.isoformat())}), AWARE)
    assert len([c for c in found if c.rule.regime == "eu-cop/initial"]) == 4
    assert all(c.rule.applies.startswith("if: ") for c in found)
    assert overall(found) == "not decided"


def test_what_was_decided_not_to_apply_has_no_clock():
    severity = {"eu_category": "none", "sb53_prong": "none", "raise_incident": False}
    assert clocks(incident(severity=severity), AWARE) == ()
    assert overall(()) == "does not apply"


def test_a_report_of_another_regime_meets_nothing():
    times = {"discovered": moment(AWARE.isoformat()),
             "submitted": [sent("eu-cop/initial", AWARE)]}  # fmt: skip
    late = AWARE + timedelta(days=20)
    assert clock(times, {"sb53_prong": "4"}, late, "sb53/15-days").word == "breached"


def test_now_without_a_zone_is_refused():
    with pytest.raises(IncidentError, match="time zone"):
        clocks(incident(), datetime(2026, 7, 1))  # noqa: DTZ001  (what is refused)


DATES = st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  (the zone is beside it)


@pytest.mark.slow
@given(
    st.dictionaries(st.sampled_from(AWARENESS), DATES, min_size=1),
    DATES,
    st.sampled_from(["infra", "cyber", "death", "harm"]),
)
def test_time_alone_never_mends_a_breach(dates, at, category):
    """Each reading goes from running to breached, once; and the word sums its readings up."""
    one = incident(times={name: moment(when.isoformat()) for name, when in dates.items()},
                   severity={"eu_category": category})  # fmt: skip
    before = clocks(one, at)
    after = clocks(one, at + timedelta(days=30))
    for first, then in zip(before, after, strict=True):
        states = {reading.state for reading in first.readings}
        assert (first.word in states) == (len(states) == 1)
        for a, b in zip(first.readings, then.readings, strict=True):
            assert (a.state, b.state) in {
                ("running", "running"), ("running", "breached"), ("breached", "breached"),
            }  # fmt: skip
