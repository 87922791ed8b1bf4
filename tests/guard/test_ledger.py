"""The ledger: entries in order, answered once they are kept, refused where they are not."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_runs import change, entries, opened, sealed

from corrigible.errors import LedgerError
from corrigible.guard.call import canonical_json
from corrigible.guard.ledger import LONGEST_BODY, Ledger, unfinished
from corrigible.guard.ledger_entry import KINDS, Chain
from corrigible.guard.ledger_head import parse_head, read_heads
from corrigible.guard.ledger_text import export, export_heads, tail
from corrigible.guard.signing import ledger_salt, parse_public_key, signing_key
from corrigible.guard.verify import verify

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


# -- entries -------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_an_entry_gives_back_its_body_and_its_line_is_canonical(body):
    """One text for one entry, whatever is in it: the digest is over all the rest of that text."""
    entry = Chain().add("note", canonical_json(body))
    assert canonical_json(entry.body) == canonical_json(body)
    assert entry.sound
    plain = json.loads(entry.json())
    assert canonical_json(plain) == entry.json()
    assert entry.json().isascii()


def test_what_is_appended_stands_there_in_order(tmp_path):
    with opened(tmp_path) as ledger:
        first = ledger.append("intent", {"call_id": "a", "name": "ü"}, durable=True).result()
        then = ledger.append("outcome", {"call_id": "a"}).result()
        assert list(ledger.entries(after=1)) == [first, then]
        assert list(ledger.entries(kinds=["outcome"])) == [then]
    found = entries(ledger.path)
    assert [entry.kind for entry in found] == [
        "opened",
        "intent",
        "outcome",
        "closed",
        "checkpoint",
    ]
    assert [entry.seq for entry in found] == [1, 2, 3, 4, 5]
    assert all(entry.prev == before.digest for before, entry in pairwise(found))
    assert found[3].body == {"entries": 4}
    assert first.body == {"call_id": "a", "name": "ü"}


def test_many_callers_get_their_own_entries(tmp_path):
    """Each future resolves with the entry of its own body, and nothing is written twice."""
    got = {}
    with opened(tmp_path, checkpoint_entries=7) as ledger:

        def _append(worker):
            for number in range(40):
                body = {"by": worker, "number": number}
                entry = ledger.append("note", body, durable=number % 9 == 0).result()
                assert entry.body == body
                got[worker, number] = entry.seq

        workers = [threading.Thread(target=_append, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert len(set(got.values())) == 8 * 40
    assert all(got[w, n] < got[w, n + 1] for w in range(8) for n in range(39))
    assert verify(ledger.path).ok


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("checkpoint", {}, "kind must be one of"),
        ("closed", {}, "kind must be one of"),
        ("whatever", {}, "kind must be one of"),
        ("note", [], "must be a JSON object"),
        ("note", {"at": float("nan")}, "must be a JSON object"),
        ("note", {"at": object()}, "must be a JSON object"),
        ("note", {"text": "x" * LONGEST_BODY}, "cut it with `redact`"),
    ],
)
def test_what_is_no_entry_is_refused_and_the_rest_goes_on(kind, body, said, tmp_path):
    with opened(tmp_path) as ledger:
        with pytest.raises(LedgerError, match=said):
            ledger.append(kind, body).result()
        assert ledger.append("note", {}).result().seq == 2


def test_an_object_that_holds_itself_is_refused(tmp_path):
    body = {}
    body["self"] = body
    with opened(tmp_path) as ledger, pytest.raises(LedgerError, match="must be a JSON object"):
        ledger.append("note", body).result()


def test_a_body_changed_after_it_was_given_is_kept_as_given(tmp_path):
    body = {"amount": 1}
    with opened(tmp_path) as ledger:
        future = ledger.append("note", body)
        body["amount"] = 1_000_000
        assert future.result().body == {"amount": 1}


def test_a_queued_entry_cannot_be_cancelled(tmp_path):
    """Else it would be in the ledger, and its caller would think that it is not."""
    with opened(tmp_path) as ledger:
        future = ledger.append("note", {})
        assert not future.cancel()
        try:
            assert future.result().seq == 2
        except CancelledError:
            pytest.fail("cancelled")


@pytest.mark.slow
def test_callers_that_wait_share_their_syncs(tmp_path, monkeypatch):
    """Of many that each wait for their own entry, most are written together."""
    monkeypatch.setattr("corrigible.guard.ledger._GATHER_SHARE", 50)  # a machine may be busy
    monkeypatch.setattr("corrigible.guard.ledger._GATHER_S", 0.5)
    groups = []
    with opened(tmp_path, checkpoint_entries=10**6) as ledger:
        commit = ledger._file.commit

        def _slow_disk(entries, **options):  # noqa: ANN003
            groups.append(len(entries))
            time.sleep(0.004)  # as a disk syncs
            commit(entries, **options)

        ledger._file.commit = _slow_disk

        def _append():
            for _ in range(8):
                ledger.append("note", {}, durable=True).result()

        callers = [threading.Thread(target=_append) for _ in range(16)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert sum(groups) == 16 * 8 + 2
    assert len(groups) < 64  # 8 at best, 16 in two halves, 128 one by one


@pytest.mark.slow
def test_a_queue_has_a_bound(tmp_path):
    """While the disk keeps everything up, who asks for more waits: nothing piles up."""
    done = []
    with opened(tmp_path) as ledger:

        def _append():
            for number in range(4000):
                future = ledger.append("note", {"number": number})
                done.append(future)

        asking = threading.Thread(target=_append)
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            asking.start()
            before = -1
            while before < len(done):
                before = len(done)
                time.sleep(0.15)
            assert 0 < len(done) <= 2 * 1024  # a group on its way, and a full queue
        asking.join()
        seqs = [future.result().seq for future in done]
        assert seqs == sorted(set(seqs))


def test_a_futures_function_may_append_but_not_wait_for_itself(tmp_path):
    with opened(tmp_path) as ledger:
        more, heads, done = [], [], threading.Event()

        def _then(_):
            more.append(ledger.append("note", {"then": True}))
            with pytest.raises(LedgerError, match="outside the ledger's own thread"):
                ledger.head()
            heads.append("refused")
            done.set()

        ledger.append("note", {}).add_done_callback(_then)
        assert done.wait(120)
    assert (more[0].result().seq, heads) == (3, ["refused"])


# -- opening and closing -------------------------------------------------------------------


def test_opening_says_whether_the_last_writer_sealed(tmp_path):
    path, _, _ = sealed(tmp_path)
    with opened(tmp_path) as ledger:
        start = next(ledger.entries(after=12))
        assert (start.kind, start.body["sealed"], start.body["entries"]) == ("opened", True, 12)
    assert entries(path)[0].body["sealed"] is None
    change(path, ("DELETE FROM entry WHERE seq > 10",))
    with opened(tmp_path) as ledger:
        assert next(ledger.entries(after=10)).body["sealed"] is False
    assert verify(path).breaks == 1


def test_a_closed_ledger_takes_nothing(tmp_path):
    with opened(tmp_path) as ledger:
        pass
    with pytest.raises(LedgerError, match="is closed"):
        ledger.append("note", {}).result()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.head()
    ledger.close()


def test_what_is_queued_when_it_is_closed_is_written(tmp_path):
    with opened(tmp_path) as ledger:
        futures = [ledger.append("note", {"number": number}) for number in range(500)]
    assert [future.result(0).seq for future in futures] == list(range(2, 502))


def test_a_fork_does_not_write(tmp_path):
    """It has no writing thread, and the chain would be written twice."""
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom corrigible.guard.ledger import Ledger\n"
        "folder = Path(sys.argv[1])\n"
        "with Ledger.open(folder / 'ledger.sqlite', folder / 'key') as ledger:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        why = str(ledger.append('note', {}).exception())\n"
        "        ledger.close()\n"
        "        os._exit(7 if 'parent' in why else 1)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "7\n"
    assert verify(tmp_path / "ledger.sqlite").sealed


@pytest.mark.parametrize("put", ["digest = printf('%064d', 0)", "body = body || ' '"])
def test_an_end_that_was_changed_is_not_gone_on_with(put, tmp_path):
    path, _, _ = sealed(tmp_path)
    change(path, (f"UPDATE entry SET {put} WHERE seq = 12",))  # noqa: S608
    with pytest.raises(LedgerError, match="cannot be gone on with"):
        opened(tmp_path)


def test_another_key_is_refused_and_none_is_made_for_an_old_ledger(tmp_path):
    sealed(tmp_path)
    key = tmp_path / "signing.key"
    kept = key.read_bytes()
    key.unlink()
    with pytest.raises(LedgerError, match="must hold the guard's key, got no file"):
        opened(tmp_path)
    assert not key.exists()
    signing_key(key)
    with pytest.raises(LedgerError, match="the key must be the one that it began with"):
        opened(tmp_path)
    key.write_bytes(kept)
    opened(tmp_path).close()


def test_another_programs_file_is_refused(tmp_path):
    for statement in ("PRAGMA user_version=3", "CREATE TABLE a (b)"):
        path = tmp_path / f"{len(statement)}.sqlite"
        with closing(sqlite3.connect(path)) as file:
            file.execute(statement)
        path.chmod(0o600)
        with pytest.raises(LedgerError, match="another program's SQLite file"):
            Ledger.open(path, tmp_path / "key")
    path.write_bytes(b"x" * 5000)
    with pytest.raises(LedgerError, match="no SQLite file"):
        Ledger.open(path, tmp_path / "key")


def test_a_newer_ledger_is_refused(tmp_path):
    path, _, _ = sealed(tmp_path)
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA user_version=2")
    with pytest.raises(LedgerError, match="a newer corrigible wrote it"):
        opened(tmp_path)
    with pytest.raises(LedgerError, match="a newer corrigible wrote it"):
        verify(path)


@pytest.mark.parametrize("trigger", range(3))
def test_without_its_triggers_it_is_not_written(trigger, tmp_path):
    path, _, _ = sealed(tmp_path)
    with closing(sqlite3.connect(path)) as file:
        file.execute(f"DROP TRIGGER append_only_{trigger}")
    with pytest.raises(LedgerError, match="is missing or changed"):
        opened(tmp_path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET body = '{}' WHERE seq = 2",
        "DELETE FROM entry WHERE seq = 2",
        "INSERT OR REPLACE INTO entry SELECT seq, at, kind, '{}', prev, digest FROM entry",
        "INSERT INTO entry SELECT seq + 100, at, kind, body, prev, digest FROM entry",
        "INSERT INTO entry SELECT -seq, at, kind, body, prev, digest FROM entry",
    ],
)
def test_rows_are_never_changed_through_sqlite(statement, tmp_path):
    path, _, _ = sealed(tmp_path)
    with closing(sqlite3.connect(path)) as file, pytest.raises(sqlite3.IntegrityError, match="ent"):
        file.execute(statement)


# -- the files underneath ------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "-wal", "-shm", ".lock"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_files_taken_away_deny_until_they_are_back(end, how, tmp_path):
    """SQLite would go on writing a file that no name leads to."""
    with opened(tmp_path) as ledger:
        file = tmp_path / f"ledger.sqlite{end}"
        file.rename(tmp_path / "kept")
        if how == "replaced":
            file.write_bytes((tmp_path / "kept").read_bytes())
        for _ in range(2):
            with pytest.raises(LedgerError, match=f"{file} must stay .* it was {how}"):
                ledger.append("note", {"lost": True}).result()
        (tmp_path / "kept").replace(file)
        assert ledger.append("note", {"lost": False}).result().seq == 2
    found = verify(ledger.path)
    assert (found.ok, found.sealed) == (True, True)


def test_a_log_that_is_cut_denies(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append("note", {"text": "x" * 9000}).result()
        os.truncate(f"{ledger.path}-wal", 0)
        with pytest.raises(LedgerError):
            ledger.append("note", {}).result()
        with pytest.raises(LedgerError):
            ledger.append("note", {}).result()
        with pytest.raises(LedgerError):
            ledger.close()


def test_a_log_moved_into_the_file_by_another_program_is_no_harm(tmp_path):
    with opened(tmp_path) as ledger:
        ledger.append("note", {"text": "x" * 9000}).result()
        with closing(sqlite3.connect(ledger.path)) as other:
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert os.path.getsize(f"{ledger.path}-wal") == 0  # noqa: PTH202
        assert ledger.append("note", {}).result().seq == 3
    assert verify(ledger.path).ok


def test_an_entry_that_another_program_wrote_denies(tmp_path):
    """Going on would chain to it."""
    with opened(tmp_path) as ledger:
        foreign = Chain(1, entries(ledger.path)[0].digest).add("note", "{}")
        with closing(sqlite3.connect(ledger.path)) as other, other:
            other.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?)", foreign.row)
        for _ in range(2):
            with pytest.raises(LedgerError, match="something else wrote it"):
                ledger.append("note", {}).result()
        with pytest.raises(LedgerError):
            ledger.close()


def test_a_locked_file_denies_and_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr("corrigible.guard.ledger_file._WAIT_S", 0.05)
    with opened(tmp_path) as ledger:
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError, match="another program held it"):
                ledger.append("note", {}).result()
        assert ledger.append("note", {}).result().seq == 2


def test_only_the_owner_can_read_what_is_made(tmp_path):
    sealed(tmp_path)
    ledger_salt(tmp_path / "signing.key")
    with opened(tmp_path):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 6
    assert set(modes.values()) == {0o600}


def test_a_link_or_a_file_that_others_write_is_no_ledger(tmp_path):
    path, _, _ = sealed(tmp_path)
    path.chmod(0o620)
    with pytest.raises(LedgerError, match="chmod 600"):
        opened(tmp_path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(LedgerError, match="must be a file of user"):
        Ledger.open(tmp_path / "link", tmp_path / "signing.key")


# -- keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
@pytest.mark.parametrize("name", ["signing.key", "ledger.salt"])
def test_a_secret_that_others_can_read_is_refused(name, mode, tmp_path):
    secret = {"signing.key": signing_key, "ledger.salt": ledger_salt}[name]
    secret(tmp_path / "signing.key")
    (tmp_path / name).chmod(mode)
    with pytest.raises(LedgerError, match=f"must be its owner's alone, got mode {mode:o}"):
        secret(tmp_path / "signing.key")


def test_a_secret_that_is_no_plain_file_is_refused(tmp_path):
    signing_key(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("link", "pipe"):
        with pytest.raises(LedgerError, match="must be a"):
            signing_key(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_secret_of_another_user_is_refused(tmp_path):
    signing_key(tmp_path / "key")
    os.chown(tmp_path / "key", 65534, -1)
    with pytest.raises(LedgerError, match="must belong to user 0, who runs the guard"):
        signing_key(tmp_path / "key")


def test_a_key_comes_back_as_it_was_made(tmp_path):
    made = signing_key(tmp_path / "key")
    again = signing_key(tmp_path / "key", create=False)
    assert parse_public_key(made.public.pem()) == made.public == again.public
    assert made.public.signed(b"text", again.sign(b"text"))
    assert not made.public.signed(b"other", again.sign(b"text"))
    assert not signing_key(tmp_path / "other").public.signed(b"text", again.sign(b"text"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["key", "other"]
    (tmp_path / "key").write_text("no key")
    with pytest.raises(LedgerError, match="must hold a private key in PEM"):
        signing_key(tmp_path / "key")
    with pytest.raises(LedgerError, match="a public key must be one in PEM"):
        parse_public_key("nothing")


def test_a_salt_is_made_once(tmp_path):
    salt = ledger_salt(tmp_path / "signing.key")
    assert len(salt) == 32
    assert ledger_salt(tmp_path / "signing.key") == salt
    (tmp_path / "ledger.salt").write_bytes(salt[:8])
    with pytest.raises(LedgerError, match="must hold 32 bytes, got 8"):
        ledger_salt(tmp_path / "signing.key")


# -- heads ---------------------------------------------------------------------------------


def test_a_head_covers_what_was_appended_before_it_and_stays_while_nothing_is(tmp_path):
    with opened(tmp_path) as ledger:
        last = ledger.append("note", {}).result()
        head = ledger.head()
        assert (head.seq, head.digest) == (last.seq, last.digest)
        assert head.signed_by(ledger.public_key)
        assert ledger.head() == head
        ledger.append("note", {}).result()
        assert ledger.head().seq == 4
    assert parse_head(head.json()) == head


@settings(max_examples=25)
@given(st.sampled_from(["seq", "digest", "root", "at", "key", "signature"]), st.integers(0, 20))
def test_a_head_with_any_field_changed_is_not_signed(field, place):
    key, plain = HEAD
    value = plain[field]
    if field == "seq":
        changed = value + 1
    else:
        at = place % len(value)
        changed = value[:at] + ("0" if value[at] != "0" else "1") + value[at + 1 :]
    head = parse_head(json.dumps({**plain, field: changed}))
    assert not head.signed_by(key)


@pytest.fixture(autouse=True, scope="module")
def _a_head(tmp_path_factory):
    global HEAD  # noqa: PLW0603  (Hypothesis takes no fixture of a test)
    _, head, key = sealed(tmp_path_factory.mktemp("head"))
    assert head.signed_by(key)
    HEAD = (key, json.loads(head.json()))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"seq": 1}', "[" * 5000, '"x"'])
def test_what_is_no_head_is_told(text):
    with pytest.raises(LedgerError, match="must be one head"):
        parse_head(text)
    with pytest.raises(LedgerError, match="line 2"):
        read_heads(["", text or "-"])


@pytest.mark.parametrize(("field", "value"), [("root", "ab"), ("seq", "1"), ("digest", 7)])
def test_a_head_of_another_form_is_told(field, value):
    with pytest.raises(LedgerError, match="a head must have"):
        parse_head(json.dumps({**HEAD[1], field: value}))


def test_checkpoints_come_by_number_and_by_time(tmp_path):
    shown = []
    with opened(tmp_path, checkpoint_entries=5, checkpoint_s=60, witness=shown.append) as ledger:
        for number in range(11):
            ledger.append("note", {"number": number}).result()
    assert [head.seq for head in shown] == [5, 11, 15]  # a checkpoint is an entry too
    shown.clear()
    with opened(tmp_path, checkpoint_s=0.05, witness=shown.append) as ledger:
        until = time.monotonic() + 10
        while not shown and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(0.2)
        assert [head.seq for head in shown] == [17]  # nothing more while nothing happens
    assert verify(ledger.path, shown, ledger.public_key).ok


def test_a_witness_that_fails_is_noted_once_and_holds_up_nothing(tmp_path):
    def _witness(head):
        raise OSError(f"no route for {head.seq}")

    with opened(tmp_path, checkpoint_entries=3, witness=_witness) as ledger:
        for number in range(9):
            ledger.append("note", {"number": number}).result()
    notes = [e for e in entries(ledger.path) if e.kind == "note" and "witness" in e.body]
    assert len(notes) == 1
    assert "no route for 3" in notes[0].body["witness"]
    assert verify(ledger.path).sealed


# -- reading -------------------------------------------------------------------------------


def test_unfinished_intents_are_found_after_a_restart(tmp_path):
    with opened(tmp_path) as ledger:
        for call in "abcd":
            ledger.append("intent", {"call_id": call})
        for call in "ca":
            ledger.append("outcome", {"call_id": call, "state": "completed"}).result()
        assert [entry.body["call_id"] for entry in ledger.unfinished()] == ["b", "d"]
    assert unfinished(ledger.path)[0].kind == "intent"


def test_readers_are_not_held_up_and_see_what_is_committed(tmp_path):
    with opened(tmp_path) as ledger:
        for number in range(600):
            ledger.append("note", {"number": number})
        ledger.head()
        reader = ledger.entries()
        assert next(reader).kind == "opened"
        assert ledger.append("note", {}, durable=True).result().seq == 603
        assert len(list(reader)) == 602


def test_the_tail_shows_what_is_there_and_no_escapes(tmp_path):
    with opened(tmp_path) as ledger:
        body = {"server": "files", "tool": "read", "reason": "\x1b[31m red \u202e\n", "extra": None}
        ledger.append("denied", body).result()
        (line,) = tail(ledger.path, 1)
        assert line.split("  ")[-1] == r"server files, tool read, reason \x1b[31m red \u202e"
        assert "denied" in line
        assert len(tail(ledger.path, 50)) == 2
    change(ledger.path, ("UPDATE entry SET kind = ?, at = ? WHERE seq = 2", ("\x1b[2J", "\x07")))
    change(ledger.path, ("UPDATE entry SET body = ? WHERE seq = 2", ("[1",)))
    assert all(line.isprintable() for line in tail(ledger.path))


def test_the_export_is_one_json_line_an_entry_and_a_head(tmp_path):
    path, head, _ = sealed(tmp_path)
    lines = [json.loads(line) for line in export(path, after=1)]
    assert [line["seq"] for line in lines] == list(range(2, 13))
    assert lines[-1]["digest"] == entries(path)[-1].digest
    assert set(lines[0]) == {"seq", "at", "kind", "body", "prev", "digest"}
    assert read_heads(export_heads(path))[0] == head


def test_a_file_that_cannot_be_written_can_be_read(tmp_path):
    """As on a disk that is mounted to be read alone."""
    path, _, _ = sealed(tmp_path)
    path.chmod(0o400)
    assert verify(path).ok
    with pytest.raises(LedgerError, match="must be a ledger, got no file"):
        verify(tmp_path / "none")


def test_every_kind_that_is_not_the_ledgers_own_can_be_written(tmp_path):
    with opened(tmp_path) as ledger:
        for kind in KINDS[3:]:
            assert ledger.append(kind, {}).result().kind == kind
