"""Raw trials and attachments: what they hold, that none can be changed, the way to a text."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corrigible.errors import EvidenceError
from corrigible.evidence import (
    Attachment,
    Digests,
    EvidenceStore,
    Record,
    Trials,
    exact_estimate,
    parse_record,
    parse_trials,
    record_json,
    trials_text,
)
from corrigible.evidence.trials import trials_of

MADE = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = st.lists(
    st.tuples(st.text(max_size=8), st.sampled_from("10-nx"), st.sampled_from("012345.")),
    max_size=20,
)
THREE = Trials(("a", "b", "c"), ("g", "g", "h"), "10-", "40.")


def record(**changed):  # noqa: ANN003
    made = Record(
        kind="propensity",
        drive="all",
        measure="rate/aims",
        estimate=exact_estimate(0.0, 3),
        digests=Digests("a" * 64, "b" * 64, "c" * 64),
        method="m",
        seed=0,
        command="c",
        made=MADE,
        expires=MADE + timedelta(days=1),
    )
    return replace(made, **changed)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deployment.evidence.sqlite"


# -- trials -------------------------------------------------------------------------------------


@given(ROWS)
def test_trials_come_back_from_their_text_as_they_were(rows):
    made = trials_of([(f"{i}/{u}", u, o, r) for i, (u, o, r) in enumerate(rows)])
    text = trials_text(made)
    assert parse_trials(text) == made
    assert trials_text(parse_trials(text)) == text
    assert made.n + sum(made.excluded.values()) == len(made) == len(rows)
    assert made.events == sum(o == "1" for _, o, _ in rows)
    assert sum(made.rungs.values()) == sum(o in "10" and r != "." for _, o, r in rows)


def test_what_is_left_out_stands_beside_n_and_on_no_rung():
    made = Trials(tuple("abcdef"), tuple("gggggg"), "10-nxx", "451234")
    assert (made.n, made.events) == (2, 1)
    assert made.excluded == {"unscored": 1, "no opportunity": 1, "error": 2}
    assert made.rungs == {"R4": 1, "R5": 1}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((("a",), ("g", "g"), "1", "."), r"one length, got \[1, 2, 1, 1\]"),
        ((("a",), ("g",), "2", "."), "trials.outcome must be of '10-nx', got '2'"),
        ((("a",), ("g",), "1", "6"), r"trials.rung must be of '012345.', got '6'"),
        ((("a", "a"), ("g", "h"), "10", ".."), "name each trial once, got 'a' twice"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, said):
    with pytest.raises(EvidenceError, match=said):
        Trials(*columns)


@pytest.mark.parametrize(
    "changed",
    [
        lambda plain: plain.pop("rung"),
        lambda plain: plain.update(more=1),
        lambda plain: plain.update(trials=2),
        lambda plain: plain.update(unit=["a", "b", 3]),
        lambda plain: plain.update(unit="abc"),
        lambda plain: plain.update(outcome=["1", "0", "-"]),
        lambda plain: plain.update(cluster=["g", "g", ["h"]]),
    ],
)
def test_a_text_that_is_no_trials_is_refused(changed):
    plain = json.loads(trials_text(THREE))
    changed(plain)
    with pytest.raises(EvidenceError, match="must be trials of format 1"):
        parse_trials(json.dumps(plain, sort_keys=True, separators=(",", ":")))


@pytest.mark.parametrize("text", ["", "[", "null", "[]", "1", "[" * 100_000])
def test_a_text_that_is_nothing_is_refused(text):
    with pytest.raises(EvidenceError, match="must be trials"):
        parse_trials(text)


@pytest.mark.slow
def test_a_million_trials_parse_in_some_seconds():
    from time import perf_counter  # noqa: PLC0415

    count = 1_000_000
    units = tuple(f"natural/{i}" for i in range(count))
    text = trials_text(Trials(units, tuple(map(str, range(count))), "0" * count, "0" * count))
    began = perf_counter()
    assert len(parse_trials(text)) == count
    assert perf_counter() - began < 10


# -- attachments --------------------------------------------------------------------------------


def test_an_attachment_is_found_by_its_digest_and_added_once(path):
    with EvidenceStore(path) as store:
        digest = store.attach("trials", trials_text(THREE))
        assert store.attach("trials", trials_text(THREE)) == digest
        assert store.attachment(digest) == THREE.attachment()
        assert store.attachments("trials") == (THREE.attachment(),)
        assert store.attachments("audit") == ()


def test_attachments_of_several_kinds_come_in_the_order_they_were_added(path):
    with EvidenceStore(path) as store:
        for kind, body in (("plan", "1"), ("attempt", "2"), ("trials", "3"), ("plan", "4")):
            store.attach(kind, body)
        found = store.attachments("attempt", "plan")
    assert [(one.kind, one.body) for one in found] == [
        ("plan", "1"), ("attempt", "2"), ("plan", "4")
    ]  # fmt: skip


def test_the_kind_is_part_of_the_digest():
    """A waiver cannot be passed off as an attempt."""
    assert Attachment("plan", "x").digest != Attachment("waiver", "x").digest


@pytest.mark.parametrize(("kind", "body"), [("", "x"), ("A", "x"), ("a b", "x"), ("a", None)])
def test_an_attachment_is_a_text_of_a_kind(kind, body):
    with pytest.raises(EvidenceError, match="attachment"):
        Attachment(kind, body)


def test_a_missing_attachment_is_an_error(path):
    with EvidenceStore(path) as store, pytest.raises(EvidenceError, match="must hold the attach"):
        store.attachment("sha256:" + "0" * 64)


def test_attachments_are_never_changed_or_deleted(path):
    with EvidenceStore(path) as store:
        digest = store.attach("trials", trials_text(THREE))
    never = pytest.raises(sqlite3.IntegrityError, match="evidence is never")
    with closing(sqlite3.connect(path)) as file:
        for statement in ("UPDATE attachment SET body = 'x'", "DELETE FROM attachment"):
            with never:
                file.execute(statement)
        file.execute("INSERT OR REPLACE INTO attachment VALUES (1, ?, 'trials', 'x')", (digest,))
        file.commit()
    with EvidenceStore(path) as store:
        assert store.attachment(digest) == THREE.attachment()


def test_one_that_was_changed_behind_the_triggers_is_an_error_at_each_reading(path):
    with EvidenceStore(path) as store:
        digest = store.attach("trials", trials_text(THREE))
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DROP TRIGGER append_only_attachment_0")
        file.execute("UPDATE attachment SET kind = 'audit'")
    with EvidenceStore(path, read_only=True) as store:
        for read in (lambda: store.attachment(digest), lambda: store.attachments("audit")):
            with pytest.raises(EvidenceError, match="was changed after it was added"):
                read()


def test_records_and_what_they_rest_on_are_added_together_or_not_at_all(path):
    own = record(source=THREE.attachment().digest)
    with EvidenceStore(path) as store:
        assert store.add_all([own], [THREE.attachment()]) == 1
        assert store.add_all([own], [THREE.attachment()]) == 0
        store._open.execute("PRAGMA query_only = ON")
        with pytest.raises(EvidenceError, match="readonly"):
            store.add_all([record(seed=2)], [Attachment("audit", "{}")])
        store._open.execute("PRAGMA query_only = OFF")
        assert store.records() == (own,)
        assert store.attachments("audit") == ()


# -- records with a source, stores of before ----------------------------------------------------


def test_a_record_without_a_source_keeps_the_id_it_had():
    """The text that an earlier version wrote, letter by letter."""
    text = record_json(record())
    assert "source" not in text
    assert parse_record(text) == record()
    with pytest.raises(EvidenceError, match="was changed"):
        parse_record(text.replace('"unscored"', '"source":null,"unscored"'))


def test_the_source_is_part_of_the_id():
    one, two = record(source="1" * 64), record(source="2" * 64)
    assert len({record().id, one.id, two.id}) == 3
    assert parse_record(record_json(one)) == one
    with pytest.raises(EvidenceError, match="source must be sha256"):
        record(source="x")


def test_a_store_without_attachments_is_read_and_grows_when_it_is_written(path):
    with EvidenceStore(path) as store:
        store.add(record())
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DROP TABLE attachment")
        file.execute("PRAGMA user_version = 1")
    with EvidenceStore(path, read_only=True) as store:
        assert store.attachments("trials") == ()
        with pytest.raises(EvidenceError, match="got none"):
            store.attachment("sha256:" + "0" * 64)
    with EvidenceStore(path) as store:
        assert store.records() == (record(),)
        store.attach("plan", "{}")
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (2,)


def test_reading_all_names_each_row_that_is_not_sound(path):
    with EvidenceStore(path) as store:
        store.add_all([record(), record(seed=2)])
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("DROP TRIGGER append_only_record_0")
        file.execute("UPDATE record SET body = replace(body, '0.0', '0.5') WHERE seq = 1")
    with EvidenceStore(path, read_only=True) as store:
        found = store.read()
        assert found.records == (record(seed=2),)
        assert list(found.broken) == [record().id]
        with pytest.raises(EvidenceError, match="was changed"):
            store.records()
