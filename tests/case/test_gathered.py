"""What is gathered from a store: what counts, what is stale and why, and what was tampered with."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from made_case import MANIFEST, STOP
from made_gates import HOUR, MADE, NAME, NOW, gate, trials

from corrigible.audit.control import control_digests
from corrigible.case import gathered as gathered_module
from corrigible.case.attempts import close_attempt, open_attempt
from corrigible.case.gates import Gates, run_gates
from corrigible.case.gathered import gather
from corrigible.case.recompute import contradiction, recomputed
from corrigible.case.worlds import audit_worlds, probe_world
from corrigible.deployment.load import load_deployment, parse_deployment
from corrigible.deployment.lock import Lock, lock_path, lock_text
from corrigible.evidence import (
    Attachment,
    EvidenceStore,
    Record,
    Trials,
    record_json,
    software_digest,
    store_path,
)
from corrigible.evidence.trials import trials_text

AGENT = gathered_module._of_name(NAME)
WORLDS: dict[str, str] = {}


@pytest.fixture
def manifest(tmp_path):
    file = tmp_path / "deployment.yaml"
    file.write_text(MANIFEST)
    return file


def current(manifest, **changed):  # noqa: ANN003
    loaded = load_deployment(manifest)
    if loaded.digest not in WORLDS:
        WORLDS[loaded.digest] = probe_world(loaded)
    digests = control_digests(loaded.digest, None, software_digest())
    return replace(digests, world=WORLDS[loaded.digest], agent=AGENT, **changed)


def probed(manifest, raw, *, agent=NAME, **changed):  # noqa: ANN003
    """Put a run of a probe into the store, with its attempt and its trials."""
    digests = current(manifest)
    record = Record(
        kind="propensity", drive=STOP, measure="rate/aims",
        estimate=recomputed("rate", raw), digests=digests,
        method="scored from state and calls", seed=0, command="corrigible probe", made=MADE,
        expires=MADE + timedelta(days=90), source=raw.attachment().digest,
    )  # fmt: skip
    record = replace(record, **changed)
    with EvidenceStore(store_path(manifest)) as store:
        attempt = open_attempt(
            store, "propensity", deployment="bot", digests=digests, agent=agent, seed=0,
            now=MADE - HOUR,
        )  # fmt: skip
        store.add_all([record], [raw.attachment()])
        close_attempt(store, attempt, [record])
    return record


def known(manifest, **asked):  # noqa: ANN003
    return gather(load_deployment(manifest), now=NOW, **asked)


def decided(manifest, **asked):  # noqa: ANN003
    return run_gates(Gates((gate(),)), known(manifest, **asked))


def changed_rows(manifest, *statements):  # noqa: ANN002
    """Change the store behind the triggers' back."""
    with closing(sqlite3.connect(store_path(manifest), isolation_level=None)) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            file.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            file.execute(*statement)


# -- what counts --------------------------------------------------------------------------------


def test_without_a_store_nothing_is_known(manifest):
    found = known(manifest)
    assert (found.records, found.attempts, found.audit) == ((), (), None)
    assert STOP in found.reachable
    assert run_gates(Gates((gate(),)), found).word == "INCONCLUSIVE"
    assert not store_path(manifest).exists()


def test_current_evidence_counts_with_its_trials_and_its_agent(manifest):
    record = probed(manifest, trials(0, 100))
    found = known(manifest)
    assert (found.stale, found.agent, found.agents) == ({}, NAME, {NAME: AGENT})
    assert found.trials[record.id] == trials(0, 100)
    assert found.newest("propensity", STOP, "rate/aims") == record
    assert found.current["propensity"] == record.digests
    assert decided(manifest).word == "PASS"


def test_evidence_of_two_agents_asks_which(manifest):
    probed(manifest, trials(0, 100))
    other = replace(current(manifest), agent=gathered_module._of_name("b"))
    probed(manifest, trials(0, 90), agent="b", digests=other)
    assert decided(manifest).results[0].why.endswith("name one of acme/model, b")
    assert decided(manifest, agent="b").results[0].n == 90
    assert decided(manifest, agent=NAME).results[0].n == 100


# -- stale --------------------------------------------------------------------------------------


def test_one_byte_of_the_manifest_makes_it_stale(manifest):
    probed(manifest, trials(0, 100))
    manifest.write_text(MANIFEST.replace("horizon: 40", "horizon: 41"))
    decision = decided(manifest)
    assert decision.word == "INVALID"
    assert decision.results[0].why.startswith("stale: manifest changed")


def test_a_comment_in_the_manifest_changes_nothing(manifest):
    probed(manifest, trials(0, 100))
    manifest.write_text(f"# reviewed\n{MANIFEST}")
    assert decided(manifest).word == "PASS"


def test_a_lock_that_came_later_makes_it_stale(manifest):
    probed(manifest, trials(0, 100))
    lock_path(manifest).write_text(lock_text(Lock()))
    assert decided(manifest).results[0].why.startswith("stale: lock changed: measured on none")


def test_another_name_of_the_agent_makes_it_stale(manifest):
    probed(manifest, trials(0, 100))
    decision = decided(manifest, agent=f"{NAME}x")
    assert (decision.word, decision.exit_code) == ("INVALID", 3)
    assert decision.results[0].why.startswith("stale: agent changed")


def test_another_software_makes_it_stale(manifest, monkeypatch):
    probed(manifest, trials(0, 100))
    monkeypatch.setattr(gathered_module, "software_digest", lambda: "sha256:" + "f" * 64)
    assert decided(manifest).results[0].why.startswith("stale: software changed")


def test_another_world_makes_it_stale(manifest):
    probed(manifest, trials(0, 100), digests=replace(current(manifest), world="e" * 64))
    assert decided(manifest).results[0].why.startswith("stale: world changed")


def test_what_expired_and_what_is_of_the_future_are_told_apart(manifest):
    probed(manifest, trials(0, 100), expires=NOW - HOUR)
    assert "expired on" in decided(manifest).results[0].why
    ahead = probed(manifest, trials(0, 90), made=NOW + HOUR, expires=NOW + 2 * HOUR)
    found = known(manifest)
    assert list(found.wrong) == [ahead.id]
    assert "made in the future" in decided(manifest).results[0].why


# -- tampered with ------------------------------------------------------------------------------


def test_an_edited_record_is_named_and_the_decision_is_invalid(manifest):
    record = probed(manifest, trials(20, 100))
    flattered = record_json(record).replace('"value":0.2', '"value":0.0')
    assert flattered != record_json(record)
    changed_rows(manifest, ("UPDATE record SET body = ?", (flattered,)))
    found = known(manifest)
    assert (found.records, list(found.broken)) == ((), [record.id])
    decision = decided(manifest)
    assert (decision.word, decision.exit_code) == ("INVALID", 3)
    assert record.id.removeprefix("sha256:")[:12] in decision.why


def test_a_re_dated_record_is_caught(manifest):
    record = probed(manifest, trials(0, 100), expires=NOW - HOUR)
    later = (NOW + HOUR).isoformat()
    text = record_json(record).replace(record.expires.isoformat(), later)
    changed_rows(manifest, ("UPDATE record SET body = ?", (text,)))
    assert "was changed after it was made" in decided(manifest).why


def test_a_record_under_another_id_is_caught(manifest):
    record = probed(manifest, trials(0, 100))
    other = "sha256:" + "0" * 64
    changed_rows(manifest, ("UPDATE record SET id = ?", (other,)))
    assert set(known(manifest).broken) == {other, record.id}


def test_a_deleted_record_is_missed_by_its_attempt(manifest):
    record = probed(manifest, trials(20, 100))
    changed_rows(manifest, ("DELETE FROM record", ()))
    found = known(manifest)
    assert "made it; gone" in found.broken[record.id]
    assert decided(manifest).word == "INVALID"


def test_deleted_trials_are_caught(manifest):
    record = probed(manifest, trials(0, 100))
    changed_rows(manifest, ("DELETE FROM attachment WHERE kind = 'trials'", ()))
    found = known(manifest)
    assert list(found.wrong) == [record.id]
    assert decided(manifest).word == "INVALID"
    assert "must hold the attachment" in decided(manifest).results[0].why


def test_a_trial_taken_out_of_its_attachment_is_caught(manifest):
    probed(manifest, trials(20, 100))
    fewer = trials_text(trials(0, 80))
    changed_rows(manifest, ("UPDATE attachment SET body = ? WHERE kind = 'trials'", (fewer,)))
    assert "was changed after it was added" in decided(manifest).results[0].why


def test_a_figure_that_its_own_trials_contradict_is_caught(manifest):
    """A record made by hand, with a valid id, over trials that say otherwise."""
    probed(manifest, trials(20, 100), estimate=recomputed("rate", trials(0, 100)))
    assert "recomputed value 0.2, the record says 0" in decided(manifest).results[0].why


def test_an_edited_attempt_makes_everything_invalid(manifest):
    probed(manifest, trials(0, 100))
    changed_rows(manifest, ("UPDATE attachment SET body = '{}' WHERE kind = 'attempt'", ()))
    found = known(manifest)
    assert found.attempts == ()
    assert "the ledger of attempts" in next(iter(found.broken))
    assert decided(manifest).word == "INVALID"


# -- recomputed ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("measure", "value", "n"),
    [("rate/aims", 0.2, 10), ("opportunity/aims", 10 / 13, 13), ("recurrence/aims", 0.4, 5),
     ("paths-stopped", 0.8, 10)],
)  # fmt: skip
def test_a_figure_is_counted_again_from_its_trials(measure, value, n):
    units = tuple(map(str, range(14)))
    goals = tuple(str(i % 5) for i in range(14))
    raw = Trials(units, goals, "01000100000nnn"[:13] + "n", "." * 14)
    raw = Trials(units, goals, "0100010000nnn-", "." * 14)
    found = recomputed(measure, raw)
    assert (found.value, found.n) == (pytest.approx(value), n)
    assert recomputed("sensitivity/aims", raw) is None


def test_an_audit_says_what_its_records_say():
    raw = trials(1, 100)
    digests = control_digests("a" * 64, None, "b" * 64)
    estimate = recomputed("rate", raw)
    record = Record(
        kind="incentive", drive=STOP, measure="residual/aims", estimate=estimate, digests=digests,
        method="m", seed=0, command="c", made=MADE, expires=NOW,
    )  # fmt: skip
    own = {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": 100}
    audit = {
        "digest": digests.manifest, "goals": {"distribution": "aims"}, "families": [],
        "drives": [{"drive": STOP, "pays": {"residual": own}}],
    }  # fmt: skip
    assert contradiction(record, audit) is None
    moved = json.loads(json.dumps(audit))
    moved["drives"][0]["pays"]["residual"]["value"] = 0.012
    assert contradiction(record, moved) == "recomputed value 0.012, the record says 0.01"
    assert "is of the manifest" in contradiction(record, {**audit, "digest": "sha256:0"})
    assert "no such figure" in contradiction(record, {**audit, "drives": []})


def test_an_audit_over_ranges_may_speak_of_any_of_its_points(manifest):
    manifest.write_text(MANIFEST.replace('{verbs: [advance], target: "{name}"}',
                        '{verbs: [advance], target: "{name}", success: 0.2..0.8}'))  # fmt: skip
    loaded = load_deployment(manifest)
    possible = list(audit_worlds(loaded, 0))
    assert len(set(possible)) > 1
    assert possible[0] == next(audit_worlds(loaded, 0))
    weighed = MANIFEST.replace('"advance release"', '"advance release where irreversible < 0.5"')
    assert audit_worlds(parse_deployment(weighed), 0) is None


def test_attachments_of_other_kinds_are_no_trials(manifest):
    """A record that names an attempt as its source stands on nothing."""
    odd = Attachment("audit", "{}")
    with EvidenceStore(store_path(manifest)) as store:
        store.add_all([], [odd])
    probed(manifest, trials(0, 100), source=odd.digest)
    assert "must be an audit" in decided(manifest).results[0].why
    assert Path(store_path(manifest)).exists()
