"""How fast a stop closes admission and ends trees, and what a plain `killpg` leaves running."""

import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from corrigible.guard.call import Call
from corrigible.guard.inflight import InFlight
from corrigible.guard.latch import EVERYTHING, Latch, LatchState, Scope
from corrigible.guard.stopping import Beyond, stop
from corrigible.guard.trees import Trees, bootstrapped

CALLS = 200
TREES = 10
ODD = 4  # a session of its own, a daemon, one deaf to being asked, one without its environment
SERVER = """
setsid sleep $0 &
(setsid sleep $0 &)
sh -c 'trap "" TERM; sleep $0; :' "$0" &
env -i PATH="$PATH" setsid sleep $0 &
echo ready; cat >/dev/null; wait
"""
Row = dict[str, Any]


def rows(*, repeats: int = 5) -> list[Row]:
    """Every figure: what was measured, ours, and the peer's."""
    return [
        *admission(repeats),
        *trees(repeats),
        *starting(repeats),
    ]


def row(
    case: str, value: float, unit: str, *, peer: str = "", peer_value: float | None = None
) -> Row:
    """One figure; `ratio`: ours to the peer's."""
    ratio = None if not peer_value else value / peer_value
    figures = {"value": value, "unit": unit, "peer": peer, "peer_value": peer_value}
    return {"case": case, **figures, "ratio": ratio}


def admission(repeats: int) -> list[Row]:
    """Closing with many calls in flight, and what a look at the latch costs each call."""
    closed, whole, written = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        latch = Latch.create(Path(folder) / "latch.json")
        for _ in range(repeats):
            flights = InFlight()
            for n in range(CALLS):
                flights.add(str(n), Call("files", "read", {"n": n}), lambda: None)
            report = stop(latch, flights, Trees(), why="measured", by="bench", grace_s=0)
            closed.append(1000 * report.closed_s)
            whole.append(1000 * report.took_s)
            latch.resume(EVERYTHING, "bench")
            written.append(1000 * timed(lambda: synced(Path(folder) / "plain")))
        for n in range(10):
            latch.stop(Scope("tool", f"mail.t{n}"), "measured", "bench")
        look = timed(lambda: looks(latch, 20_000)) / 20_000
        bare = timed(lambda: [latch.path.lstat() for _ in range(20_000)]) / 20_000
        inside = [1000 * closing_inside(latch.path) for _ in range(repeats)]
    return [
        row(
            "admission closed for the guard that runs",
            statistics.median(inside), "ms",
            peer="one file written and fsynced", peer_value=statistics.median(written),
        ),
        row(
            f"admission closed on disk, {CALLS} calls in flight",
            statistics.median(closed), "ms",
            peer="one file written and fsynced", peer_value=statistics.median(written),
        ),
        row(f"stop with {CALLS} calls that do not answer", statistics.median(whole), "ms"),
        row(
            "a look at the latch, 10 tools held", 1e6 * look, "us",
            peer="one stat", peer_value=1e6 * bare,
        ),
    ]  # fmt: skip


def closing_inside(path: Path) -> float:
    """Seconds from the order until the guard's own latch says so; the disk comes after."""
    seen: list[float] = []

    class Watched(Latch):
        def _write(self, state: LatchState, *, mtime_ns: int) -> None:
            assert self.state().on("files", "read", "c1", "agent", ()) == "stopped"  # noqa: S101
            seen.append(time.perf_counter())
            super()._write(state, mtime_ns=mtime_ns)

    began = time.perf_counter()
    Watched(path).stop(EVERYTHING, "measured", "bench")
    return seen[0] - began


def looks(latch: Latch, count: int) -> None:
    for _ in range(count):
        latch.state().on("files", "read", "c1", "agent", ())


def synced(path: Path) -> None:
    with path.open("w") as file:
        file.write("{}")
        file.flush()
        os.fsync(file.fileno())


def trees(repeats: int) -> list[Row]:
    """Ten servers of four odd children each: ours with and without a namespace, and `killpg`."""
    found = []
    for namespaces in (True, False):
        took, left = zip(*(ours(namespaces=namespaces) for _ in range(repeats)), strict=True)
        peer_took, survivors = zip(*(killpg() for _ in range(repeats)), strict=True)
        how = "PID namespace" if namespaces else "subreaper"
        found += [
            row(
                f"{TREES} trees of {ODD} odd children proven empty, {how}",
                statistics.median(took), "s",
                peer="killpg", peer_value=statistics.median(peer_took),
            ),
            row(
                f"processes left of {TREES * (ODD + 1)}, {how}",
                max(left), "", peer="killpg", peer_value=statistics.median(survivors),
            ),
        ]  # fmt: skip
    return found


def ours(*, namespaces: bool) -> tuple[float, int]:
    """Seconds until all is proven empty, and what runs afterwards."""
    word, registry = token(), Trees(namespaces=namespaces)
    servers = [registry.start(str(n), ["sh", "-c", SERVER, word]) for n in range(TREES)]
    wait_for(word)
    with tempfile.TemporaryDirectory() as folder:
        latch = Latch.create(Path(folder) / "latch.json")
        report = stop(
            latch, InFlight(), registry,
            why="measured", by="bench", beyond=Beyond(contained=True), grace_s=0,
        )  # fmt: skip
    assert report.proven, report.text()  # noqa: S101  (a figure of what did not work is none)
    for server in servers:
        server.communicate()
    return report.took_s, len(sleepers(word))


def killpg() -> tuple[float, int]:
    """The same by what MCP clients do: end the process group that each server was started in."""
    word = token()
    servers = [
        subprocess.Popen(
            ["/bin/sh", "-c", SERVER, word],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for _ in range(TREES)
    ]
    wait_for(word)

    def end() -> None:
        for server in servers:
            os.killpg(server.pid, signal.SIGKILL)
        for server in servers:
            server.wait()

    took = timed(end)
    survivors = sleepers(word)
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    for server in servers:
        server.communicate()
    return took, len(survivors)


def starting(repeats: int) -> list[Row]:
    """What a warden adds to the start of a server."""
    true = ["true"]
    warden = bootstrapped("warden", "--", *true)
    ours_ms, bare_ms = (
        1000 * statistics.median(timed(lambda c=c: run(c)) for _ in range(4 * repeats))
        for c in (warden, true)
    )
    return [
        row(
            "start and end of a server below a warden", ours_ms, "ms",
            peer="without", peer_value=bare_ms,
        )
    ]  # fmt: skip


def run(command: list[str]) -> None:
    subprocess.run(command, check=True)


def token() -> str:
    """A time to sleep that no other process has in its arguments."""
    return str(10**9 + secrets.randbelow(10**9))


def sleepers(word: str) -> list[int]:
    """The odd children that run."""
    sign = b"sleep\0" + word.encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cmdline").read_bytes().startswith(sign):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for(word: str) -> None:
    deadline = time.monotonic() + 30
    while len(sleepers(word)) < TREES * ODD:
        if time.monotonic() > deadline:
            raise TimeoutError(f"only {len(sleepers(word))} odd children came up")
        time.sleep(0.02)


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    measured = rows()
    if "--json" in sys.argv:
        print(json.dumps(measured, indent=1))
        return
    table = Table("case", "ours", "unit", "peer", "peer's", "ratio")
    for one in measured:
        cells = [one[key] for key in ("value", "peer_value", "ratio")]
        value, peer_value, ratio = ("" if cell is None else f"{cell:.3g}" for cell in cells)
        table.add_row(one["case"], value, one["unit"], one["peer"], peer_value, ratio)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
