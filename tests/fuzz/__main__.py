"""`python -m fuzz --seconds 600`: hostile input for everything that parses; exit code 1: found.

`python -m fuzz --replay FILE` feeds a kept input again and shows what is raised.
"""

import argparse
import random
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from fuzz.runner import TARGETS, Tally, finding, fuzz

KEPT = Path(tempfile.gettempdir()) / "corrigible-fuzz-found"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def replay(path: Path) -> int:
    """Feed one kept input again."""
    name = path.name.partition("--")[0]
    found = finding(TARGETS[name], path.read_bytes())
    _say(f"{name}: nothing is wrong with it" if found is None else found.told)
    return found is not None


def report(tallies: list[Tally], folder: Path) -> int:
    """Print the counts, and keep each finding as a file that can be replayed."""
    for name in TARGETS:
        if count := sum(tally.counts.get(name, 0) for tally in tallies):
            _say(f"{name:18} {count:12,}")
    findings = {kind: found for tally in tallies for kind, found in tally.findings.items()}
    for found in findings.values():
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / found.file
        file.write_bytes(found.data)
        _say(f"\n{found.kind}\n  {found.data[:300]!r}\n  python -m fuzz --replay {file}")
    total = sum(sum(tally.counts.values()) for tally in tallies)
    _say(f"\n{total:,} inputs, {len(findings)} findings")
    return bool(findings)


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", default=str(random.randrange(10**6)))  # noqa: S311
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="only this one")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path, default=KEPT, help="where failing inputs are kept")
    parser.add_argument("--replay", type=Path, help="a failing input that was kept")
    given = parser.parse_args()
    if given.replay:
        return replay(given.replay)
    names = given.target or list(TARGETS)
    _say(f"seed {given.seed}, {given.seconds:g} s, {given.processes} processes")
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        seeds = [f"{given.seed}/{number}" for number in range(given.processes)]
        work = [pool.submit(fuzz, names, given.seconds, seed) for seed in seeds]
        return report([one.result() for one in work], given.keep)


if __name__ == "__main__":
    sys.exit(main())
