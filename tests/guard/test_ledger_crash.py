"""What was acknowledged survives: a killed writer, a full disk, a disk that does not sync."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tracemalloc

import pytest
from ledger_runs import __file__ as script
from ledger_runs import crash_rounds, entries, opened, start

from corrigible.guard.verify import verify

strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace shows what is synced")


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(tmp_path):
    """Every acknowledged entry is there, and all verifies, after each of some kills under load."""
    assert crash_rounds(tmp_path, 6, seed=1) > 100
    with opened(tmp_path) as ledger:
        last = entries(ledger.path)[-1]
    assert (last.kind, last.body["sealed"]) == ("opened", False)
    assert verify(tmp_path / "ledger.sqlite").breaks == 6


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["limit", "tmpfs"])
def test_a_full_disk_denies_until_there_is_room(disk, tmp_path):
    """The entries before are kept, one that finds no room fails, and the next ones go on."""
    folder, done = tmp_path / "state", None
    folder.mkdir()
    if disk == "tmpfs":
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        done = subprocess.run(mount, capture_output=True, check=False)
        if done.returncode:
            pytest.skip("only who may mount has a small disk")
    try:
        writer = start("full", folder, f"--{disk}", stdin=subprocess.PIPE)
        said = json.loads(writer.stdout.readline())
        assert re.search(r"make room on the disk", said["why"])
        if disk == "tmpfs":
            subprocess.run(["mount", "-o", "remount,size=8m", str(folder)], check=True)
        after, _ = writer.communicate("go on\n", timeout=300)
        assert (writer.returncode, int(after)) == (0, said["kept"] + 1)
        found = verify(folder / "ledger.sqlite")
        assert found.ok, found.text()
        assert (found.sealed, found.entries) == (True, int(after) + 2)
    finally:
        if disk == "tmpfs":
            subprocess.run(["umount", str(folder)], check=True)


@strace
@pytest.mark.slow
def test_a_durable_entry_is_synced_before_it_is_acknowledged(tmp_path):
    """Twenty durable ones one after the other: a sync of the log each; the others: none.

    A checkpoint of others is synced: a witness may keep its head.
    """
    log = tmp_path / "calls"
    calls = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o", str(log)]
    done = subprocess.run(
        [*calls, sys.executable, script, "sync", str(tmp_path)], check=False, capture_output=True
    )
    if done.returncode and b"ptrace" in done.stderr:
        pytest.skip("tracing is not allowed here")
    said = r'"(?:durable True|durable False|heads|few|end)\\n"'
    _, durable, plain, _, signed, _ = re.split(said, log.read_text())
    synced = re.compile(r"sync\(\d+<[^>]*ledger\.sqlite-wal>\)\s+= 0")
    assert len(synced.findall(durable)) >= 20
    assert not re.findall(r"sync\(", plain)
    assert len(synced.findall(signed)) == 4  # what a witness may hold is on the disk


@strace
@pytest.mark.slow
def test_a_disk_that_does_not_sync_ends_the_ledger(tmp_path):
    """After a failed sync nobody knows what the disk holds: nothing more is acknowledged."""
    fail = "inject=fdatasync,fsync:error=EIO:when=12"
    calls = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-e", fail, "-o", os.devnull]
    done = subprocess.run(
        [*calls, sys.executable, script, "sync", str(tmp_path)],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if "ptrace" in done.stderr:
        pytest.skip("tracing is not allowed here")
    failed = [line for line in done.stdout.splitlines() if line.startswith("failed")]
    assert len(failed) > 20
    assert all("would not sync" in line for line in failed)
    with opened(tmp_path) as ledger:
        ledger.append("note", {}).result()
    assert verify(ledger.path).ok


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    """Callers that do not wait for answers are slowed down: the queue has a bound."""
    with opened(tmp_path) as ledger:
        tracemalloc.start()
        try:
            peaks = []
            for _ in range(3):
                tracemalloc.reset_peak()
                for number in range(15_000):
                    ledger.append("note", {"number": number, "text": "x" * 500})
                peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert max(peaks) < 12e6  # the 45,000 bodies alone would take 24 MB
    assert verify(ledger.path).ok


@pytest.mark.slow
def test_one_process_writes_a_ledger(tmp_path):
    """The second one is told who the first is, and gets it once that one is dead."""
    first = start("hold", tmp_path, stdin=subprocess.PIPE)
    assert first.stdout.readline() == "open\n"
    with pytest.raises(RuntimeError, match=rf"written by process {first.pid} already"):
        opened(tmp_path)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    with opened(tmp_path) as ledger:
        assert ledger.append("note", {}).result().seq > 2
