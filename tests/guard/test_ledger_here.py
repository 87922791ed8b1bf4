"""Entries that their caller's thread writes: at once, in order, and never by waiting."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest
from ledger_runs import opened

from corrigible.errors import LedgerError
from corrigible.guard.verify import verify


def test_an_entry_may_be_written_before_its_caller_goes_on(tmp_path):
    with opened(tmp_path) as ledger:
        future = ledger.append("note", {"n": 1}, here=True)
        assert future.done()
        assert [entry.seq for entry in ledger.entries(after=1)] == [2]
        assert ledger.append("note", {}, here=True, durable=True).result(5).seq == 3  # it syncs
        long = ledger.append("note", {"long": "x" * 30_000}, here=True)
        assert long.result(5).seq == 4
        assert "JSON object" in str(ledger.append("note", [], here=True).exception())
    with pytest.raises(LedgerError, match="is closed"):
        ledger.append("note", {}, here=True).result()
    assert verify(tmp_path / "ledger.sqlite").ok


def test_what_must_be_synced_is_never_written_by_its_caller(tmp_path, monkeypatch):
    with opened(tmp_path) as ledger:
        monkeypatch.setattr(
            ledger, "_write_here", lambda _: pytest.fail("it would wait for a sync")
        )
        assert ledger.append("note", {}, here=True, durable=True).result(5).seq == 2


def test_who_writes_at_once_waits_for_no_locked_file_and_keeps_the_order(tmp_path):
    with opened(tmp_path) as ledger:
        with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            futures = [ledger.append("note", {"n": n}, here=True) for n in range(20)]
            assert time.monotonic() - began < 1  # the thread waits 5 s for the lock
            assert not any(future.done() for future in futures)
            other.execute("ROLLBACK")
        assert [future.result(10).body["n"] for future in futures] == list(range(20))
        assert [future.result().seq for future in futures] == list(range(2, 22))
        until = time.monotonic() + 5  # the thread lets go of its group a moment after
        while not ledger.append("note", {}, here=True).done():
            assert time.monotonic() < until
    assert verify(tmp_path / "ledger.sqlite").ok


def test_what_is_written_at_once_is_refused_as_what_is_queued(tmp_path):
    with opened(tmp_path) as ledger:
        assert ledger.append("note", {}, here=True).result().seq == 2
        wal = ledger.path.with_name(ledger.path.name + "-wal")
        wal.rename(tmp_path / "away")
        assert "was removed" in str(ledger.append("note", {}, here=True).exception(5))
        (tmp_path / "away").rename(wal)
        assert ledger.append("note", {}, here=True).result(5).seq == 3


@pytest.mark.slow
def test_many_callers_that_write_at_once_write_one_chain(tmp_path):
    with opened(tmp_path, checkpoint_entries=50) as ledger:
        last = {}

        def _append(name):
            for number in range(100):
                body = {"who": name, "n": number}
                entry = ledger.append("note", body, here=number % 5 != 0).result(10)
                assert entry.seq > last.get(name, 0)
                last[name] = entry.seq

        callers = [threading.Thread(target=_append, args=(name,)) for name in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        notes = [e.body for e in ledger.entries(kinds=("note",))]
        assert len(notes) == 800
        for name in range(8):
            assert [body["n"] for body in notes if body["who"] == name] == list(range(100))
    assert verify(tmp_path / "ledger.sqlite").ok


def test_entries_written_at_once_are_signed_in_time_and_by_number(tmp_path):
    with opened(tmp_path, checkpoint_entries=5, checkpoint_s=0.2) as ledger:
        for number in range(9):
            ledger.append("note", {"n": number}, here=True).result(5)
        kinds = [entry.kind for entry in ledger.entries()]
        assert kinds.count("checkpoint") >= 1
        until = time.monotonic() + 5
        while [entry.kind for entry in ledger.entries()][-1] != "checkpoint":
            assert time.monotonic() < until
            time.sleep(0.02)
