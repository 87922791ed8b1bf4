"""The guard's speed and memory, beside its peers: one table.

    python benchmarks/guard.py [--quick] [--json FILE] [--peers PYTHON]

Decisions, the proxy, the ledger, stops, and the memory of a long run, each measured beside its
peer in the same run.  `ratio` is over 1 where ours is better, whatever the unit.  PYTHON is an
interpreter that has the peers (the extra `bench`); without it those that are missing say so.
On a busy machine the figures are noise: see the load average.
"""

import argparse
import json
import os
import platform
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import guard_decide
import guard_ledger
import guard_proxy
import guard_stop
from rich.console import Console
from rich.table import Table

from corrigible.guard.call import Call
from corrigible.guard.sdk import Guard

KEYS = ("case", "value", "unit", "peer", "peer_value", "ratio")
MANIFEST = """
corrigible: 1
name: long-run
agent: {kind: tool-using, goal: Answer the mail., horizon: 20}
servers: {mail: {}}
tools: {mail.read: {verbs: [read], target: "{box}"}}
assets: {answered: {kind: task, at: {mail: "done"}}}
authority: {allow: ["read mail:inbox/**"]}
"""


def plain(row: Any) -> dict[str, Any]:
    """A row of any of the four, as one mapping with the keys that every row has."""
    found = {key: (row if isinstance(row, Mapping) else vars(row)).get(key) for key in KEYS}
    value, peer = found["value"], found["peer_value"]
    if value and peer:
        found["ratio"] = value / peer if str(found["unit"]).endswith("/s") else peer / value
    return found


def memory(calls: int) -> Iterator[dict[str, Any]]:
    """How much larger the process is after so many calls through the whole gate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "deployment.yaml").write_text(MANIFEST)
        with Guard(folder, state=folder / "state") as guard:
            gate, early = guard.session.gate, 0.0
            for number in range(calls):
                call = Call("mail", "read", {"box": f"inbox/{number}"})
                admission = gate.admit(call)
                gate.dispatch(admission, lambda: None)
                gate.release(admission, "completed", "a letter")
                if number == calls // 10:
                    early = resident()
            late = resident()
    case = f"memory after {calls:,} calls, beside that after a tenth of them"
    yield dict(zip(KEYS, (case, late, "MiB", "itself, earlier", early, early / late), strict=True))


def resident() -> float:
    """The memory that this process has now, in MiB."""
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def rows(*, quick: bool, peers: str | None) -> Iterator[dict[str, Any]]:
    """Every row, as it is measured."""
    yield from map(plain, guard_decide.rows(peers, calls=1000 if quick else 4000))
    yield from map(plain, guard_proxy.rows(200 if quick else 600, peers))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        seconds = 1.0 if quick else 3.0
        yield from map(plain, guard_ledger.measure(Path(folder), seconds=seconds))
    yield from map(plain, guard_stop.rows(repeats=2 if quick else 5))
    yield from memory(20_000 if quick else 1_000_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer calls: a minute or two")
    parser.add_argument("--json", type=Path, help="write every figure here")
    parser.add_argument("--peers", help="an interpreter that has the peers")
    arguments = parser.parse_args()
    load = ", ".join(f"{x:.2f}" for x in os.getloadavg())
    console = Console(width=150)
    console.print(f"{platform.machine()}, {os.cpu_count()} cores, load average {load}")
    table = Table("case", "ours", "unit", "peer", "its", "ratio", box=None)
    found = []
    for row in rows(quick=arguments.quick, peers=arguments.peers):
        found.append(row)
        shown = [
            "" if row[key] is None else row[key] if isinstance(row[key], str) else f"{row[key]:.4g}"
            for key in KEYS
        ]
        table.add_row(*shown)
    console.print(table)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"rows": found}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
