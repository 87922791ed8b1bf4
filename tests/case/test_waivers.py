"""Waivers: signed, of one gate as it was, until a day; and what they cannot do."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from made_gates import HOUR, NOW, gate, held, known, trials

from corrigible.case.gates import Gates, run_gates
from corrigible.case.waivers import read_waiver, waiver_attachment
from corrigible.errors import EvidenceError
from corrigible.evidence import Attachment
from corrigible.evidence.checks import canonical
from corrigible.guard.signing import signing_key

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    return signing_key(tmp_path_factory.mktemp("keys") / "ada.pem")


@pytest.fixture(scope="module")
def other_key(tmp_path_factory):
    return signing_key(tmp_path_factory.mktemp("keys") / "eve.pem")


def signed(key, *, of=None, until=None, made=NOW - HOUR, owner="Ada"):
    return waiver_attachment(
        key, gate="no-avoiding", of=of or gate().digest, owner=owner, why="fixed next week",
        until=until or (NOW + 7 * DAY).date(), made=made,
    )  # fmt: skip


def waived(attachment, *runs, owners=None, now=NOW):  # noqa: ANN002
    gathered = known(*runs, waivers=(read_waiver(attachment, now),), now=now)
    return run_gates(Gates((gate(),), owners=owners or {}), gathered)


def test_a_waived_gate_keeps_its_word_and_the_decision_passes(key):
    decision = waived(signed(key), trials(50, 100))
    (one,) = decision.results
    assert (one.word, one.waiver.owner, one.waiver.key) == ("FAIL", "Ada", key.public.fingerprint)
    assert (decision.word, decision.exit_code) == ("PASS", 0)
    assert decision.why == "1 waived of 1 gates"
    assert waived(signed(key), trials(0, 10)).word == "PASS"


def test_a_waiver_holds_until_the_end_of_its_day(key):
    last = signed(key, until=NOW.date())
    assert waived(last, trials(50, 100)).word == "PASS"
    after = waived(last, trials(50, 100), now=NOW + DAY)
    assert after.word == "FAIL"
    assert f"the waiver by Ada does nothing: expired on {NOW.date()}" in after.results[0].warnings


@pytest.mark.parametrize("name", ["owner", "why", "until", "gate", "of", "made"])
def test_a_waiver_that_was_edited_does_nothing_and_is_named(key, name):
    plain = json.loads(signed(key).body)
    longer = {"until": "2030-01-01", "made": (NOW - 2 * HOUR).isoformat()}
    plain[name] = longer.get(name, f"{plain[name]}x")
    edited = read_waiver(Attachment("waiver", canonical(plain)), NOW)
    assert edited.problem == "its signature does not fit what it says"


def test_a_waiver_signed_by_another_key_in_its_owners_name_does_nothing(key, other_key):
    owners = {"Ada": key.public.fingerprint}
    assert waived(signed(key), trials(50, 100), owners=owners).word == "PASS"
    forged = waived(signed(other_key), trials(50, 100), owners=owners)
    assert forged.word == "FAIL"
    assert "not signed by the key of Ada" in forged.results[0].warnings[-1]
    stranger = waived(signed(other_key, owner="Eve"), trials(50, 100), owners=owners)
    assert "Eve is none of the owners" in stranger.results[0].warnings[-1]


def test_a_key_swapped_for_ones_own_does_not_fit(key, other_key):
    plain = json.loads(signed(key).body)
    plain["key"] = other_key.public.pem()
    assert read_waiver(Attachment("waiver", canonical(plain)), NOW).problem is not None


def test_another_limit_needs_another_waiver(key):
    decision = waived(signed(key, of=gate(0.01).digest), trials(50, 100))
    assert decision.word == "FAIL"
    assert "asked something else" in decision.results[0].warnings[-1]


@pytest.mark.parametrize("rung", ["4", "5"])
def test_an_event_at_r4_or_above_cannot_be_waived(key, rung):
    decision = waived(signed(key), trials(1, 1000, event_rung=rung))
    assert decision.word == "FAIL"
    assert f"an event at R{rung} cannot be waived" in decision.results[0].warnings[-1]


def test_evidence_that_cannot_be_used_cannot_be_waived(key):
    decision = run_gates(
        Gates((gate(),)),
        known(trials(0, 100), attempts=(), waivers=(read_waiver(signed(key), NOW),)),
    )
    assert decision.word == "INVALID"
    assert "cannot be waived" in decision.results[0].warnings[-1]


def test_a_gate_that_passes_needs_no_waiver(key):
    gathered = known(trials(0, 100), waivers=(read_waiver(signed(key), NOW),))
    (one,) = held(gathered)
    assert (one.word, one.waiver) == ("PASS", None)


def test_a_waiver_of_the_future_does_nothing(key):
    assert "made in the future" in read_waiver(signed(key, made=NOW + HOUR), NOW).problem


def test_a_waiver_needs_an_owner_a_reason_and_a_day_to_come(key):
    for changed, said in (
        ({"owner": " "}, "owner must be a text"),
        ({"until": (NOW - 2 * DAY).date()}, "until must be"),
    ):
        with pytest.raises(EvidenceError, match=said):
            signed(key, **changed)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"signature":"zz"}', '{"signature":"00"}'])
def test_what_is_no_waiver_is_an_error_that_names_it(body):
    with pytest.raises(EvidenceError, match="must be a waiver"):
        read_waiver(Attachment("waiver", body), NOW)


def test_a_signature_covers_every_word(key):
    found = read_waiver(signed(key), NOW)
    assert (found.problem, replace(found, problem="x").owner) == (None, "Ada")
