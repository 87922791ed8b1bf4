"""The acts in a ledger that want an explanation, each with what held when it was decided.

An act is one that was denied, put to an operator, dispatched on an operator's word, or dispatched
though it serves a drive.  Equal acts in equal situations are told once, with how often.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from corrigible.deployment.load import Loaded
from corrigible.deployment.records import Deployment
from corrigible.errors import TranscriptError
from corrigible.guard.ledger_file import rows
from corrigible.guard.restoring import RUN, seen_after
from corrigible.guard.seen import COPY, SCHEDULE, Seen
from corrigible.monitor.formats.lines import parse

What = Literal["denied", "asked", "approved", "done"]
MOST = 20
"""Acts that are told, unless more are asked for."""

_READ = frozenset({"intent", "denied", "asked", "latch", "corrected", "note"})


@dataclass(frozen=True)
class Act:
    """One act, or several that are equal, and what the guard knew before it.

    `effects`: (verb, asset, verdict).  `levels`: the levels that each asset may have then, by
    name, where these are not its start alone.  `used`: what the run had used of each budget.
    `held`: what an operator had stopped or paused.  `corrected`: how often the manifest had been
    replaced.  `policy`: the digest of the manifest that decided.
    """

    what: What
    first: int
    last: int
    count: int
    at: str
    caller: str
    tool: str
    arguments: Mapping[str, Any]
    rule: str
    reason: str
    effects: tuple[tuple[str, str, str], ...]
    drives: tuple[str, ...]
    seen: Seen = field(repr=False)
    levels: Mapping[str, tuple[str, ...]]
    used: Mapping[str, float]
    held: tuple[str, ...]
    corrected: int
    policy: str


@dataclass(frozen=True)
class Acts:
    """What was found: `told` acts, how many kinds of act were left out, entries that are bad."""

    told: tuple[Act, ...]
    left_out: int
    calls: int
    bad: tuple[str, ...]


def find_acts(ledger: Path, loaded: Loaded, *, entry: int | None = None, most: int = MOST) -> Acts:
    """Return the acts of a ledger in the order of their first entry; memory does not grow with it.

    Args:
        ledger: the file; also while a guard writes it.
        loaded: the manifest that its calls are read against.
        entry: tell only the act at this number.
        most: how many different acts are told.

    Raises:
        LedgerError: the file cannot be read.
        TranscriptError: `entry` is no act.
    """
    walk = _Walk(loaded.deployment)
    told: dict[Any, Act] = {}
    left_out = 0
    for act in walk.acts(ledger, entry):
        if entry is not None and act.first != entry:
            continue
        key = (act.what, act.tool, act.rule, act.effects, act.drives, tuple(act.levels.items()))
        if (known := told.get(key)) is not None:
            told[key] = _again(known, act)
        elif len(told) < most:
            told[key] = act
        else:
            left_out += 1
    if entry is not None and not told:
        rule = "must be one that was denied, asked for, approved, or that serves a drive"
        raise TranscriptError(f"entry: {entry} of {ledger} {rule}")
    return Acts(tuple(told.values()), left_out, walk.calls, tuple(walk.bad))


def _again(known: Act, act: Act) -> Act:
    return Act(**{**vars(known), "last": act.last, "count": known.count + 1})


class _Walk:
    """One ledger from its first entry on: what may hold, what is used, what is held back."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.start = Seen.start(deployment)
        self.seen, self.used = self.start, dict[str, float]()
        self.held: dict[str, str] = {}
        self.corrected = self.calls = 0
        self.bad: list[str] = []

    def acts(self, ledger: Path, upto: int | None) -> Iterator[Act]:
        last = {} if upto is None else {"upto": upto}
        for entry in rows(ledger, kinds=_READ, **last):
            try:
                body = parse(entry.text)
                yield from self._entry(entry.kind, entry.seq, entry.at, body)
            except (TranscriptError, KeyError, TypeError, ValueError, AttributeError) as error:
                if len(self.bad) < 100:  # noqa: PLR2004  (as many as a person reads)
                    self.bad.append(f"{ledger}:{entry.seq}: no entry of a guard: {error!r:.200}")

    def _entry(self, kind: str, seq: int, at: str, body: Mapping[str, Any]) -> Iterator[Act]:
        if kind == "note":
            if RUN in body:
                self.seen, self.used = self.start, {}
        elif kind == "latch":
            self._latch(body)
        elif kind == "corrected":
            self.corrected += 1
        elif kind == "intent":
            self.calls += 1
            if body["approval"] or body["drives"]:
                yield self._act("approved" if body["approval"] else "done", seq, at, body)
            self.seen = seen_after(self.seen, self.deployment, body)
            for name, amount in body["uses"].items():
                self.used[name] = self.used.get(name, 0.0) + float(amount)
        elif "tool" in body:  # a plan that is put up names no single call
            yield self._act("denied" if kind == "denied" else "asked", seq, at, body)

    def _latch(self, body: Mapping[str, Any]) -> None:
        scope = body.get("scope") or "all"
        name = f"{scope['kind']} {scope['name']}".strip() if isinstance(scope, dict) else str(scope)
        if body["mode"] != "resumed":
            self.held[name] = str(body["mode"])
        elif name == "all":
            self.held.clear()
        else:
            self.held.pop(name, None)

    def _act(self, what: What, seq: int, at: str, body: Mapping[str, Any]) -> Act:
        return Act(
            what=what, first=seq, last=seq, count=1, at=at, caller=str(body["caller"]),
            tool=f"{body['server']}.{body['tool']}", arguments=body["arguments"],
            rule=str(body["rule"]), reason=str(body.get("reason", "")),
            effects=tuple((str(v), str(a), str(r)) for v, a, r in body["effects"]),
            drives=tuple(map(str, body["drives"])), seen=self.seen,
            levels=_levels(self.deployment, self.seen, self.start), used=dict(self.used),
            held=tuple(f"{mode}: {name}" for name, mode in self.held.items()),
            corrected=self.corrected, policy=str(body["policy"]),
        )  # fmt: skip


def _levels(deployment: Deployment, seen: Seen, start: Seen) -> Mapping[str, tuple[str, ...]]:
    found = {}
    for name, asset in deployment.assets.items():
        if (levels := seen.levels(name)) != start.levels(name):
            scale = (*asset.scale, "gone")
            found[name] = tuple(scale[min(level, len(asset.scale))] for level in sorted(levels))
    for flag, words in ((COPY, "a copy may stand by"), (SCHEDULE, "it may be scheduled")):
        if seen.levels(flag) != start.levels(flag):
            found[flag] = (words,)
    return found
