"""Runs the targets, each for a short while in turn, and keeps what breaks a promise."""

import hashlib
import signal
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzz import calls, files, texts
from fuzz.target import Target, TooSlow

TARGETS = {target.name: target for target in (*calls.TARGETS, *texts.TARGETS, *files.TARGETS)}
SLOWEST_S = 4.0  # of processor time for one input
_SLICE_S = 0.4
_LONGER = {"decide": 4, "decide-examples": 3, "places": 3, "manifest": 6, "ledger-verify": 2}
_MOST_SHRINKS = 400


@dataclass(frozen=True)
class Finding:
    """An input that breaks a promise; `kind` is equal for those that break it in one way."""

    target: str
    data: bytes
    kind: str
    told: str

    @property
    def file(self) -> str:
        """The name under which it is kept; the runner replays it by that."""
        return f"{self.target}--{hashlib.sha256(self.data).hexdigest()[:12]}.input"


@dataclass
class Tally:
    """What became of the inputs."""

    counts: dict[str, int] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)


@contextmanager
def _in_time() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TooSlow(f"over {SLOWEST_S:g} s of processor time")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, SLOWEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def finding(target: Target, data: bytes) -> Finding | None:
    """Return what is wrong with one input, or None."""
    try:
        with _in_time():
            target.check(data)
    except (Exception, TooSlow) as error:  # noqa: BLE001  (whatever is raised is what is sought)
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "corrigible" in frame.filename] or frames
        where = f"{Path(ours[-1].filename).name}:{ours[-1].name}"
        words = str(error).split("'")[0].split('"')[0][:60]
        kind = f"{target.name} {type(error).__name__} {where} {words}"
        return Finding(target.name, data, kind, "".join(traceback.format_exception(error)))
    return None


def shrunk(target: Target, found: Finding) -> Finding:
    """Return a smaller input that is wrong in the same way."""
    if "TooSlow" in found.kind:
        return found
    tries, size = 0, max(1, len(found.data) // 2)
    while size and tries < _MOST_SHRINKS:
        at = 0
        while at < len(found.data) and tries < _MOST_SHRINKS:
            tries += 1
            smaller = finding(target, found.data[:at] + found.data[at + size :])
            if smaller is not None and smaller.kind == found.kind:
                found = smaller
            else:
                at += size
        size //= 2
    return found


def fuzz(names: Sequence[str], seconds: float, seed: str) -> Tally:
    """Feed the targets in turn for so long; one finding of each kind is kept, made small."""
    tally, rngs = Tally(), {name: Random(f"{seed} {name}") for name in names}  # noqa: S311
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name in names:
            until = min(end, time.monotonic() + _SLICE_S * _LONGER.get(name, 1))
            while time.monotonic() < until:
                data = TARGETS[name].make(rngs[name])
                tally.counts[name] = tally.counts.get(name, 0) + 1
                found = finding(TARGETS[name], data)
                if found is not None and found.kind not in tally.findings:
                    tally.findings[found.kind] = shrunk(TARGETS[name], found)
    return tally
