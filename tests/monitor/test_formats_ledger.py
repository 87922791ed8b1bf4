"""The guard's own ledger as events: what was tried, refused, waited for, let pass and stopped."""

import json

import pytest
from small_guard import manifest

from corrigible.errors import DeniedError, PendingError
from corrigible.guard.ledger_text import export
from corrigible.guard.sdk import Guard
from corrigible.monitor.reading import read_transcripts
from corrigible.monitor.transcript import Bad

pytestmark = pytest.mark.slow

APP, LOG = "/srv/app/x", "/srv/log/x"
CUSTOMERS = {"bob@shop.example": False, "ann@shop.example": True}
"""Whether an operator lets the agent write to them."""


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder after calls let out, denied, rejected and approved, and a stop."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "deployment.yaml").write_text(manifest(), encoding="utf-8")

    def go(guard, name, **arguments: object):
        return guard.perform(name, arguments, lambda given: f"did it: {sorted(given)}")

    with Guard(folder, state=folder / "state") as guard:
        go(guard, "files.write_file", path=APP)
        with pytest.raises(DeniedError):
            go(guard, "files.write_file", path=LOG)
        for to, approve in CUSTOMERS.items():
            with pytest.raises(PendingError) as waits:
                go(guard, "mail.send", to=to)
            guard.session.gate.answer(waits.value.id, approve=approve, by="ann", why="so")
        go(guard, "mail.send", to="ann@shop.example")
        guard.stop(why="enough", by="ann")
        with pytest.raises(DeniedError):
            go(guard, "files.write_file", path=APP)
    return folder / "state"


def events_of(path):
    [(transcript, events)] = [(found, list(found.events)) for found in read_transcripts(path)]
    assert events
    return transcript, events


def test_each_entry_is_told_as_it_happened(state):
    transcript, events = events_of(state / "ledger.sqlite")
    assert transcript.format == "ledger"
    assert [(e.kind, e.tool) for e in events] == [
        ("call", "write_file"), ("result", "write_file"),
        ("call", "write_file"), ("denied", "write_file"),
        ("call", "send"), ("denied", "send"), ("denied", ""),
        ("call", "send"), ("denied", "send"), ("approval", ""),
        ("call", "send"), ("result", "send"),
        ("stop", ""),
        ("call", "write_file"), ("denied", "write_file"),
    ]  # fmt: skip
    assert events[2].arguments == {"path": LOG}
    assert "write oversight/*" in events[3].text
    assert events[4].call_id == events[5].call_id == events[6].call_id
    assert events[9].call_id == events[7].call_id
    assert events[9].text == "approved by ann: so"
    assert "enough" in events[12].text
    assert all(e.at and e.where.startswith("entry ") for e in events)


def test_a_state_folder_is_its_ledger_and_nothing_else(state):
    assert events_of(state)[1] == events_of(state / "ledger.sqlite")[1]


def test_an_exported_ledger_tells_the_same(state, tmp_path):
    exported = tmp_path / "ledger.jsonl"
    exported.write_text("".join(f"{line}\n" for line in export(state / "ledger.sqlite")))
    assert events_of(exported)[1] == events_of(state / "ledger.sqlite")[1]


def test_an_entry_that_is_none_is_bad(state, tmp_path):
    lines = [json.loads(line) for line in export(state / "ledger.sqlite")]
    odd = next(one for one in lines if one["kind"] == "denied")
    del odd["body"]["tool"]
    exported = tmp_path / "ledger.jsonl"
    exported.write_text("".join(json.dumps(line) + "\n" for line in lines))
    transcript, *bad = read_transcripts(exported)
    assert [(one.reason, one.line) for one in bad] == [("shape", odd["seq"])]
    assert not isinstance(transcript, Bad)
