"""How many entries the guard's ledger takes in a second: one table.

    python benchmarks/guard_ledger.py [--folder DIR] [--seconds S] [--json FILE]

Callers are threads that each wait for an answer before they ask again, as calls of an agent do.
The peer is the disk itself: one thread that appends 400 bytes to a file and syncs it, in the same
run and folder; or, for entries that are not durable, the same without a sync.  `ratio` is ours
over the peer's: for many callers, how many durable entries are acknowledged in the time that the
disk takes to sync once.  A folder on a disk in memory (tmpfs) measures nothing.

Virtual disks often sync in less time than Python takes for one entry; a real one takes some
milliseconds.  So one row has each sync take 4 ms longer, by `strace`, for the peer and for us.

--json writes {"rows": [{"case", "value", "unit", "peer", "peer_value", "ratio"}, ...]}.
"""

import argparse
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from corrigible.guard.ledger import Ledger
from corrigible.guard.redact import Redactor
from corrigible.guard.verify import verify

CALLERS = 32
ROUNDS = 3  # the peer and we take turns, as a disk's pace changes
SLOWER_US = 4000
BODY = {
    "call_id": "c0001", "server": "files", "tool": "write_file", "verdict": "approve",
    "arguments": {"path": "reports/2026/summary.md", "content": "Summary of the week. " * 8},
    "effects": ["change reports"], "drives": [], "rule": "approve change of reports",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One figure beside its peer's."""

    case: str
    value: float
    unit: str
    peer: str = ""
    peer_value: float | None = None
    ratio: float | None = None


def beside(case: str, ours: list[float], peer: str, theirs: list[float]) -> Row:
    """The medians of both, and the median of the ratios of the rounds."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    values = [statistics.median(figures) for figures in (ours, theirs, ratios)]
    return Row(case, values[0], "per s", peer, *values[1:])


def appends(folder: Path, seconds: float, *, sync: bool) -> float:
    """Appends of 400 bytes to a file a second, each synced or not."""
    file = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        os.write(file, b"x" * 400)
        if sync:
            os.fsync(file)
        count += 1
    took = time.perf_counter() - began
    os.close(file)
    return count / took


def answered(folder: Path, seconds: float, *, callers: int, durable: bool) -> float:
    """Entries acknowledged a second, by so many threads that each wait for theirs."""
    counts = [0] * callers
    with tempfile.TemporaryDirectory(dir=folder) as own, _ledger(own) as ledger:
        ends = time.perf_counter() + seconds

        def _call(caller: int) -> None:
            while time.perf_counter() < ends:
                ledger.append("intent", BODY, durable=durable).result()
                counts[caller] += 1

        threads = [threading.Thread(target=_call, args=(caller,)) for caller in range(callers)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - began)


def streamed(folder: Path, seconds: float) -> float:
    """Entries acknowledged a second, by one thread that waits for the last alone."""
    with tempfile.TemporaryDirectory(dir=folder) as own, _ledger(own) as ledger:
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            last = ledger.append("intent", BODY)
            count += 1
        last.result()
        return count / (time.perf_counter() - began)


def verified(folder: Path, count: int) -> float:
    """Entries verified a second, of a ledger of `count`."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        with _ledger(own) as ledger:
            for _ in range(count):
                ledger.append("intent", BODY)
        began = time.perf_counter()
        found = verify(ledger.path)
        took = time.perf_counter() - began
        if not found.ok:
            raise RuntimeError(found.text())
        return found.entries / took


def redacted(seconds: float) -> float:
    """Bodies redacted a second, with ten known secrets."""
    redactor = Redactor([f"known-secret-{number}" for number in range(10)], b"s" * 32)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        redactor.redact(BODY)
        count += 1
    return count / (time.perf_counter() - began)


def on_slow_disk(folder: Path, seconds: float) -> Row | None:
    """The row of durable entries where each sync takes 4 ms longer; None without `strace`."""
    delay = f"inject=fsync,fdatasync:delay_exit={SLOWER_US}"
    command = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=fsync,fdatasync"]
    command += ["-e", delay, sys.executable, __file__, "--slow", "--folder", str(folder)]
    if not shutil.which("strace"):
        return None
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], capture_output=True, text=True, check=False
    )
    return Row(**json.loads(done.stdout)) if done.returncode == 0 else None


def durable_row(case: str, folder: Path, seconds: float, *, callers: int) -> Row:
    """Durable entries of so many callers beside the disk's own syncs."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(appends(folder, seconds, sync=True))
        ours.append(answered(folder, seconds, callers=callers, durable=True))
    return beside(case, ours, "write + fsync in turn", theirs)


def plain_row(case: str, folder: Path, seconds: float, ours: Callable[[], float]) -> Row:
    """Entries that are not durable beside writes that are not synced."""
    rounds = [(appends(folder, seconds, sync=False), ours()) for _ in range(ROUNDS)]
    return beside(case, [ours for _, ours in rounds], "write", [theirs for theirs, _ in rounds])


def _ledger(folder: str) -> Ledger:
    return Ledger.open(Path(folder) / "ledger.sqlite", Path(folder) / "signing.key")


def measure(folder: Path, *, seconds: float, entries: int = 20_000) -> list[Row]:
    """All figures, each from `seconds` of work in each of three rounds."""
    rows = [
        durable_row(f"durable, callers: {callers}", folder, seconds, callers=callers)
        for callers in (1, CALLERS)
    ]
    rows += filter(None, [on_slow_disk(folder, seconds)])
    for callers in (1, CALLERS):

        def _ours(callers: int = callers) -> float:
            return answered(folder, seconds, callers=callers, durable=False)

        rows.append(plain_row(f"not durable, callers: {callers}", folder, seconds, _ours))
    unawaited = plain_row("not awaited", folder, seconds, lambda: streamed(folder, seconds))
    verified_ = Row("verify", verified(folder, entries), "entries per s")
    return [*rows, unawaited, verified_, Row("redact", redacted(seconds), "bodies per s")]


def show(rows: list[Row]) -> None:
    table = Table("case", "value", "unit", "peer", "peer's", "ratio")
    for row in rows:
        theirs = "" if row.peer_value is None else f"{row.peer_value:,.0f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        table.add_row(row.case, f"{row.value:,.0f}", row.unit, row.peer, theirs, ratio)
    Console().print(table)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--slow", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.slow:
        case = f"durable, callers: {CALLERS}; syncs of {SLOWER_US / 1000:g} ms and more"
        print(json.dumps(asdict(durable_row(case, given.folder, given.seconds, callers=CALLERS))))
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        rows = measure(Path(folder), seconds=given.seconds)
    show(rows)
    print(
        f"medians of {ROUNDS} rounds of {given.seconds:g} s; entries of "
        f"{len(json.dumps(BODY))} bytes; {os.cpu_count()} CPUs, {platform.machine()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    if given.json:
        given.json.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
