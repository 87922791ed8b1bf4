"""Whatever is changed in a ledger behind the guard's back shows; what cannot show is said."""

import json
import shutil
import sqlite3
import threading
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_runs import change, entries, opened, rechained, sealed

from corrigible.errors import LedgerError
from corrigible.guard.ledger import Ledger
from corrigible.guard.ledger_entry import Chain
from corrigible.guard.ledger_head import checkpoint_text, head_of
from corrigible.guard.signing import signing_key
from corrigible.guard.verify import verify

SEQS = st.integers(1, 32)  # those of `whole`
COLUMNS = ("at", "kind", "body", "prev", "digest")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sealed ledger of 32 entries, written in two sittings, with checkpoints in it."""
    folder = tmp_path_factory.mktemp("whole")
    shown = []
    for _ in range(2):
        with opened(folder, checkpoint_entries=6, witness=shown.append) as ledger:
            for number in range(11):
                ledger.append("note", {"number": number, "text": "body"}).result()
    return ledger.path, tuple(shown), ledger.public_key


@pytest.fixture
def copied(whole, tmp_path):
    """A function that gives a fresh copy of it, to be changed."""

    def _copied():
        return shutil.copy(whole[0], tmp_path / "copy.sqlite")

    return _copied


def problems(path, whole, *, heads=False):
    """What is found wrong, with the key known, and with every head if `heads`."""
    found = verify(path, whole[1] if heads else (), whole[2])
    assert found.ok == (not found.problems)
    return [str(problem) for problem in found.problems]


def test_an_untouched_ledger_holds(whole):
    path, shown, key = whole
    found = verify(path, shown, key)
    assert (found.ok, found.sealed, found.entries, found.unsigned) == (True, True, 32, 0)
    assert (found.breaks, found.heads, found.last) == (0, len(shown), shown[-1])
    assert found.notes == ("what was cut after entry 31, the newest head given, cannot be seen",)
    assert "holds; 32 entries, sealed" in found.text()


def test_what_cannot_be_seen_is_said(whole):
    first, second = verify(whole[0]).notes
    assert "against the key that the ledger itself names" in first
    assert "cannot be seen without a head kept elsewhere" in second


changes = settings(max_examples=25)


@changes
@given(st.data())
def test_any_changed_record_is_found(whole, tmp_path_factory, data):
    """One character of one column of one entry."""
    path = shutil.copy(whole[0], tmp_path_factory.mktemp("a") / "copy.sqlite")
    entry = entries(path)[data.draw(SEQS) - 1]
    column = data.draw(st.sampled_from(COLUMNS))
    text = entry.row[1 + COLUMNS.index(column)]
    place = data.draw(st.integers(0, len(text) - 1))
    put = data.draw(st.sampled_from('0a1f"}, ').filter(lambda char: char != text[place]))
    new = text[:place] + put + text[place + 1 :]
    put = f"UPDATE entry SET {column} = ? WHERE seq = ?"  # noqa: S608  (of COLUMNS)
    change(path, (put, (new, entry.seq)))
    found = problems(path, whole)
    assert found
    assert found[0].startswith((f"entry {entry.seq}:", f"entry {entry.seq + 1}:"))


@changes
@given(st.data())
def test_dropped_records_are_found(whole, tmp_path_factory, data):
    """With the numbers left as they are, or closed up."""
    path = shutil.copy(whole[0], tmp_path_factory.mktemp("a") / "copy.sqlite")
    first = data.draw(st.integers(1, 31))
    last = data.draw(st.integers(first, 31))
    close_up = data.draw(st.booleans())
    change(path, ("DELETE FROM entry WHERE seq BETWEEN ? AND ?", (first, last)))
    if close_up:
        for seq in range(last + 1, 33):
            put = ("UPDATE entry SET seq = ? WHERE seq = ?", (seq - last + first - 1, seq))
            change(path, put)
    found = problems(path, whole)
    assert found[0].startswith(f"entry {first}:")
    assert close_up or "missing" in found[0]


@changes
@given(st.lists(SEQS, min_size=2, max_size=2, unique=True))
def test_reordered_records_are_found(whole, tmp_path_factory, pair):
    path = shutil.copy(whole[0], tmp_path_factory.mktemp("a") / "copy.sqlite")
    swap = "UPDATE entry SET seq = ? WHERE seq = ?"
    change(path, (swap, (99, pair[0])), (swap, pair), (swap, (pair[1], 99)))
    assert problems(path, whole)[0].startswith(f"entry {min(pair)}:")


@changes
@given(SEQS)
def test_an_inserted_record_is_found(whole, tmp_path_factory, at):
    """One that follows what is before it, in everything but what comes after."""
    path = shutil.copy(whole[0], tmp_path_factory.mktemp("a") / "copy.sqlite")
    kept = entries(path)
    prev = kept[at - 2].digest if at > 1 else Chain.digest
    forged = Chain(at - 1, prev).add("note", '{"forged":true}')
    up = [("UPDATE entry SET seq = -seq - 1 WHERE seq >= ?", (at,)),
          ("UPDATE entry SET seq = -seq WHERE seq < 0",)]  # fmt: skip
    change(path, *up, ("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", forged.row))
    assert problems(path, whole)[0].startswith((f"entry {at}:", f"entry {at + 1}:"))


@changes
@given(st.integers(0, 31), st.booleans())
def test_a_cut_tail_is_found_against_a_head(whole, tmp_path_factory, kept, again):
    """Also where somebody wrote other entries in the place of the cut ones."""
    path = shutil.copy(whole[0], tmp_path_factory.mktemp("a") / "copy.sqlite")
    change(path, ("DELETE FROM entry WHERE seq > ?", (kept,)))
    if again and kept:
        chain = Chain(kept, entries(path)[-1].digest)
        more = [chain.add("note", "{}").row for _ in range(40)]
        change(path, *(("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", row) for row in more))
    seen = [head.seq for head in whole[1] if head.seq > kept]
    found = problems(path, whole, heads=True)
    assert bool(found) == bool(seen or not kept)
    if kept and seen and not again:
        assert f"the ledger ends with entry {kept}" in found[-1]


@changes
@given(st.sets(SEQS, min_size=1, max_size=5))
def test_a_chain_written_anew_is_found_by_its_signatures(whole, tmp_path_factory, dropped):
    """All digests fit then; only who has the key could sign the checkpoints again."""
    path = shutil.copy(whole[0], tmp_path_factory.mktemp("a") / "copy.sqlite")
    rechained(path, skip=dropped)
    assert problems(path, whole)


def test_all_written_anew_with_another_key_is_found_by_key_or_head(whole, tmp_path):
    """It fits in itself: nothing in the file says otherwise."""
    with opened(tmp_path) as ledger:
        for number in range(40):
            ledger.append("note", {"number": number}).result()
    assert verify(ledger.path).ok
    assert "another key" in problems(ledger.path, whole)[0]
    (found, *_) = verify(ledger.path, whole[1]).problems
    assert "is not signed by the key" in found.text


def test_all_written_anew_with_the_same_key_is_found_by_a_head(tmp_path):
    path, head, key = sealed(tmp_path)
    path.unlink()
    with Ledger.open(path, tmp_path / "signing.key") as ledger:
        for number in range(20):
            ledger.append("note", {"number": number}).result()
    assert verify(path, (), key).ok
    (found,) = verify(path, [head], key).problems
    assert (found.seq, "it was rewritten" in found.text) == (head.seq, True)


def test_a_wrong_root_is_found_though_it_is_signed(tmp_path):
    """Who has the key still cannot say that another tree was signed, if a head shows."""
    path, _, _ = sealed(tmp_path)
    kept = entries(path)[:-1]
    chain = Chain()
    for entry in kept:
        chain.take(entry)
    chain.tree.add(b"more")
    forged = chain.add("checkpoint", checkpoint_text(chain, signing_key(tmp_path / "signing.key")))
    put = ("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", forged.row)
    change(path, ("DELETE FROM entry WHERE seq = ?", (forged.seq,)), put)
    (found,) = verify(path).problems
    assert "signs another root" in found.text
    (found,) = verify(path, [head_of(forged)], None).problems[:1]
    assert found.seq == head_of(forged).seq
    with pytest.raises(LedgerError, match=r"cannot be gone on with.*frontier"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DROP TRIGGER append_only_1", "trigger append_only_1 is missing"),
        ("CREATE TABLE other (a)", "table 'other' was added"),
        ("CREATE INDEX other ON entry (kind)", "index 'other' was added"),
    ],
)
def test_other_tables_and_missing_triggers_are_found(statement, said, copied, whole):
    path = copied()
    with closing(sqlite3.connect(path)) as file:
        file.execute(statement)
    assert said in problems(path, whole)[0]


def test_a_view_in_the_tables_place_is_found(copied, whole):
    """It could show some entries to one reader and others to the next."""
    path = copied()
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE entry RENAME TO hidden")
        file.execute("CREATE VIEW entry AS SELECT * FROM hidden")
    assert any("table entry is missing" in problem for problem in problems(path, whole))


def test_a_table_of_another_form_is_told_and_not_read(copied, whole):
    path = copied()
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE entry RENAME TO hidden")
        file.execute("CREATE TABLE entry (seq TEXT, at, kind, body, prev, digest)")
        file.execute("INSERT INTO entry VALUES ('one', 2, 3, x'00', NULL, 4.5)")
        file.commit()
    assert any("the table entry is missing" in problem for problem in problems(path, whole))


@pytest.mark.parametrize("seq", [0, -5])
def test_a_row_before_the_first_is_found(seq, copied, whole):
    path = copied()
    row = (seq, *entries(path)[0].row[1:])
    change(path, ("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", row))
    assert f"has the number {seq}" in problems(path, whole)[0]


def test_fields_cannot_be_split_otherwise(tmp_path):
    """Two splits of one text into fields would have one digest."""
    with opened(tmp_path) as ledger:
        ledger.append("note", {"a": "x", "body": 1}).result()
    entry = entries(ledger.path)[1]
    at, body = f'{entry.at}","body":{{"a":"x', "1}"
    change(ledger.path, ("UPDATE entry SET at = ?, body = ? WHERE seq = 2", (at, body)))
    (found,) = verify(ledger.path).problems
    assert (found.seq, "was changed" in found.text) == (2, True)


@settings(max_examples=25)
@given(st.data())
def test_a_damaged_file_never_passes_for_whole(whole, tmp_path_factory, data):
    """Bytes of the table's pages overwritten: told, one way or another, or without effect."""
    path = shutil.copy(whole[0], tmp_path_factory.mktemp("a") / "copy.sqlite")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(100, len(content) - 60))
    content[place : place + 60] = data.draw(st.binary(min_size=60, max_size=60))
    path.write_bytes(content)
    try:
        found = verify(path, whole[1], whole[2])
    except LedgerError:
        return
    if found.ok:
        assert [entry.row for entry in entries(path)] == [e.row for e in entries(whole[0])]


def test_a_ledger_cut_off_in_the_middle_of_its_file_is_told(copied, whole):
    path = copied()
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 4096])
    try:
        found = verify(path, (), whole[2])
    except LedgerError as error:
        assert "broken" in str(error) or "SQLite" in str(error)  # noqa: PT017
    else:
        assert not found.ok


def test_a_foreign_head_is_told(whole, tmp_path):
    _, head, _ = sealed(tmp_path)
    (found,) = verify(whole[0], [head], whole[2]).problems
    assert "is not signed by the key" in found.text


def test_a_ledger_that_is_being_written_verifies(tmp_path):
    """Nothing is held up, and what comes in meanwhile is left out."""
    stop = threading.Event()
    with opened(tmp_path, checkpoint_entries=20) as ledger:

        def _write():
            while not stop.is_set():
                ledger.append("note", {"text": "x" * 300}).result()

        writer = threading.Thread(target=_write)
        writer.start()
        try:
            rounds = [verify(ledger.path, [ledger.head()], ledger.public_key) for _ in range(8)]
        finally:
            stop.set()
            writer.join()
    assert all(found.ok and not found.sealed for found in rounds)
    assert rounds[-1].entries > rounds[0].entries


def test_many_problems_are_bounded(tmp_path):
    path, _, _ = sealed(tmp_path, count=300)
    change(path, ("UPDATE entry SET at = 'never'",))
    assert len(verify(path).problems) == 100


def test_what_the_file_says_cannot_write_to_the_terminal(tmp_path):
    """Texts of a changed ledger are another's: they are shown, not obeyed."""
    path, head, _ = sealed(tmp_path)
    body = {**json.loads(head.json()), "key": "\x1b[2J", "seq": 1}
    forged = Chain(1, entries(path)[0].digest).add("checkpoint", json.dumps(body))
    put = ("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", forged.row)
    change(path, ("DELETE FROM entry WHERE seq > 1",), put)
    text = verify(path).text()
    assert r"\x1b[2J" in text
    assert all(line.isprintable() for line in text.splitlines())


def test_an_empty_ledger_is_no_ledger(copied, whole):
    path = copied()
    change(path, ("DELETE FROM entry",))
    assert "the ledger is empty" in problems(path, whole)[0]
    assert "is missing" in problems(path, whole, heads=True)[-1]


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("checkpoint", {"seq": 1}, "must hold a head"),
        ("closed", {"entries": 7}, "seals 7 entries, not 2"),
        ("opened", {"sealed": True}, "is no 'opened' of a ledger"),
        ("opened", {"sealed": True, "public_key": None}, "says otherwise of the end"),
    ],
)
def test_entries_of_the_ledgers_own_that_say_other_than_they_must_are_told(
    kind, body, said, tmp_path
):
    """Chained as they should be: their content is what does not fit."""
    path, _, key = sealed(tmp_path)
    first = entries(path)[0]
    if "public_key" in body:
        body["public_key"] = key.raw.hex()
    forged = Chain(1, first.digest).add(kind, json.dumps(body))
    put = ("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", forged.row)
    change(path, ("DELETE FROM entry WHERE seq > 1",), put)
    (found,) = verify(path).problems
    assert said in found.text
