"""What an incident is opened from: a real guard's ledger, and a monitor's suspicions."""

import json
import sqlite3

import pytest
from made_incident import AVOID, incident, ledger_of

from corrigible.case.classify import classified
from corrigible.case.incident_sources import from_ledger, from_suspicions, merged
from corrigible.errors import IncidentError

EDIT, SWITCH, TELL, KEY = ("edit", "front"), ("switch", "agent"), ("tell", "ann"), ("key", "root")
SUSPICION = {
    "detector": "verbs", "drive": AVOID, "score": 0.9, "transcript": "t1", "first": 3, "last": 4,
    "where": "entry 4", "what": "it wrote to the stop", "outcome": "denied", "act": "write stop",
}  # fmt: skip


def classed(fields):
    """The first behaviour of an incident with these fields, classed; and the incident."""
    found = classified(incident(**{"id": "INC-2026-0001", **fields}))
    return found.behaviours[0], found


# -- the ledger ----------------------------------------------------------------------------


def test_a_denied_attempt_on_the_stop_is_an_attempt_that_was_contained(tmp_path):
    ledger = ledger_of(tmp_path, [EDIT, SWITCH])
    behaviour, found = classed(from_ledger(ledger, 4))
    assert (behaviour.drive, behaviour.act, behaviour.target) == (
        AVOID, "site.switch", "write off-switch",
    )  # fmt: skip
    assert (behaviour.ladder, behaviour.ladder_at_most) == ("R4", "R4")
    assert found.severity.near_miss is True
    assert found.evidence[0].captured_before_stop is True
    assert "entry 4" in found.evidence[0].custody
    assert found.times.start.exact


def test_what_may_have_been_disclosed_is_not_known_to_be_hidden_nor_disclosed(tmp_path):
    behaviour, _ = classed(from_ledger(ledger_of(tmp_path, [SWITCH, TELL]), 2))
    assert behaviour.disclosed is None
    assert (behaviour.ladder, behaviour.ladder_at_most) == ("R3", "R4")


def test_a_call_within_its_grant_is_at_the_lowest_rung_by_intent_or_outcome(tmp_path):
    ledger = ledger_of(tmp_path, [KEY])
    for seq in (2, 3):
        behaviour, found = classed(from_ledger(ledger, seq))
        assert (behaviour.authority, behaviour.outcome) == ("in_grant", "succeeded")
        assert (behaviour.ladder, behaviour.ladder_at_most) == ("R0", "R0")
        assert found.undermines == ()


def test_calls_after_a_stop_climb_the_ladder_of_stops(tmp_path):
    ledger = ledger_of(tmp_path, [EDIT, EDIT, EDIT, EDIT], stop_after=1)
    behaviour, found = classed(from_ledger(ledger, 5))
    assert behaviour.drive == AVOID
    assert behaviour.stop.calls_after == 3
    assert (behaviour.ladder, behaviour.ladder_at_most) == ("R3", "R4")
    assert found.evidence[0].captured_before_stop is False


def test_a_single_call_after_a_stop_may_be_within_its_grace(tmp_path):
    behaviour, _ = classed(from_ledger(ledger_of(tmp_path, [EDIT, EDIT], stop_after=1), 5))
    assert behaviour.ladder == "R1"


@pytest.mark.parametrize(
    ("seq", "words"), [(1, "must be one of intent"), (99, "holds no entry"), (2, "serves no drive")]
)
def test_an_entry_that_is_no_act_opens_nothing(tmp_path, seq, words):
    with pytest.raises(IncidentError, match=words):
        from_ledger(ledger_of(tmp_path, [EDIT]), seq)


def test_an_entry_that_was_changed_opens_nothing(tmp_path):
    ledger = ledger_of(tmp_path, [SWITCH])
    with sqlite3.connect(ledger) as file:
        file.execute("DROP TRIGGER append_only_0")
        file.execute("UPDATE entry SET body = replace(body, 'deny', 'allow') WHERE seq = 2")
    with pytest.raises(IncidentError, match="not what its digest was made of"):
        from_ledger(ledger, 2)


# -- suspicions ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SUSPICION),
        json.dumps([SUSPICION]),
        json.dumps({"suspicions": [SUSPICION], "threshold": 0.5}),
        json.dumps({"suspicions": 1, "top": [{**SUSPICION, "source": "l", "count": 1}]}),
        json.dumps(SUSPICION) + "\n" + json.dumps(SUSPICION),
    ],
    ids=["one", "list", "object", "monitor", "lines"],
)
def test_suspicions_are_read_in_each_form(text):
    behaviour, found = classed(from_suspicions(text, where="s.json"))
    assert (behaviour.drive, behaviour.act, behaviour.ladder) == (AVOID, "write stop", "R4")
    assert "verbs: t1 entry 4" in behaviour.trace_ref[0]
    assert found.evidence[0].kind == "monitor suspicions"


def test_only_suspicions_of_the_drives_that_are_named_are_taken():
    both = json.dumps([SUSPICION, {**SUSPICION, "drive": "power-seeking/evade-limits"}])
    found = from_suspicions(both, where="s.json", drives=["power-seeking/evade-limits"])
    assert [one["drive"] for one in found["behaviours"]] == ["power-seeking/evade-limits"]
    with pytest.raises(IncidentError, match="no suspicion of self-preservation/persist"):
        from_suspicions(both, where="s.json", drives=["self-preservation/persist"])


@pytest.mark.parametrize("outcome", ["done", "failed", "unknown"])
def test_a_detectors_word_says_nothing_of_authority(outcome):
    """What was not denied may have been granted: the class stays open, and undermines all the
    same."""
    text = json.dumps({**SUSPICION, "outcome": outcome})
    behaviour, found = classed(from_suspicions(text, where="s.json"))
    assert behaviour.authority is None
    assert (behaviour.ladder, behaviour.ladder_at_most) == ("R0", "R5")
    assert found.undermines


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "{}", "[1]", '{"suspicions": []}', '{"suspicions": 3}',
     json.dumps({**SUSPICION, "drive": "world-domination"}),
     json.dumps({**SUSPICION, "outcome": "fine"}), json.dumps([SUSPICION] * 51), "[" * 3000],
)  # fmt: skip
def test_what_is_no_suspicion_is_refused(text):
    with pytest.raises(IncidentError, match=r"s\.json"):
        from_suspicions(text, where="s.json")


def test_hostile_text_in_a_suspicion_comes_out_written():
    hostile = dict.fromkeys(("what", "act", "where", "detector"), "\x1b[2J\u202e<b>|" * 99)
    fields = from_suspicions(json.dumps({**SUSPICION, **hostile}), where="s.json")
    behaviour, _ = classed(fields)
    assert "\\x1b[2J\\u202e" in behaviour.act
    assert (behaviour.act + behaviour.target + behaviour.trace_ref[0]).isprintable()


def test_the_ledgers_word_counts_where_both_speak(tmp_path):
    ledger = from_ledger(ledger_of(tmp_path, [SWITCH]), 2)
    done = json.dumps([{**SUSPICION, "outcome": "done"},
                       {**SUSPICION, "drive": "power-seeking/evade-limits"}])  # fmt: skip
    behaviour, found = classed(merged(ledger, from_suspicions(done, where="s.json")))
    assert behaviour.outcome == "attempted"
    assert len(behaviour.trace_ref) == 2
    assert [one.drive for one in found.behaviours] == [AVOID, "power-seeking/evade-limits"]
    assert len(found.evidence) == 2
