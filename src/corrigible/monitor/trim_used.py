"""What of a deployment's grants its ledgers show in use: tools, verbs, rules, budgets, drives.

Whatever may have been used counts as used: a call that was asked for and refused, an act whose
arguments the ledger had to redact.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from corrigible.deployment.load import Loaded
from corrigible.errors import TranscriptError
from corrigible.guard.effects import MISSING_WEIGHTS
from corrigible.guard.ledger_file import rows
from corrigible.guard.policy import Policy
from corrigible.guard.restoring import RUN
from corrigible.monitor.formats.lines import parse

_READ = frozenset({"intent", "asked", "note", "opened", "checkpoint", "closed"})  # last: the time
_REDACTED = "<redacted "


@dataclass
class Used:
    """What ledgers show: how often, and how long was looked.

    `tools`, `rules`, `effects` and `drives` by how many calls; `verbs`: what each tool did;
    `most`: the most that one run took of each budget.  `seconds`: between the first and the last
    entry of each ledger, added up.  `other`: calls that were decided under another manifest; they
    count all the same.
    """

    calls: int = 0
    seconds: float = 0.0
    runs: int = 0
    other: int = 0
    tools: dict[str, int] = field(default_factory=dict)
    rules: dict[str, int] = field(default_factory=dict)
    effects: dict[tuple[str, str], int] = field(default_factory=dict)
    drives: dict[str, int] = field(default_factory=dict)
    verbs: dict[str, set[str]] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    @property
    def days(self) -> float:
        """Days between first and last entry."""
        return self.seconds / 86_400

    @property
    def at_most(self) -> float | None:
        """What share of calls a thing may be in that was in none of these, 95 % sure.

        Exact and one-sided, for calls that are alike and independent; None without a call.
        """
        return 1.0 - 0.05 ** (1.0 / self.calls) if self.calls else None


def used_in(ledgers: Iterable[Path], loaded: Loaded) -> Used:
    """Return what the ledgers show; they are read as they stand, one entry at a time.

    Raises:
        LedgerError: one cannot be read.
    """
    reader = _Reader(loaded)
    for ledger in ledgers:
        reader.read(ledger)
    return reader.used


class _Reader:
    def __init__(self, loaded: Loaded) -> None:
        self.used = Used()
        self.digest = loaded.digest
        self.policy = Policy.of(loaded.deployment, loaded.digest)
        self.run: dict[str, float] = {}

    def read(self, ledger: Path) -> None:
        """Take one ledger in."""
        self.run = {}
        first = last = ""
        self.used.runs += 1
        for entry in rows(ledger, kinds=_READ):
            first, last = first or entry.at, entry.at
            try:
                body = parse(entry.text)
                if entry.kind == "note" and RUN in body:
                    self.run = {}
                    self.used.runs += 1
                elif entry.kind in {"intent", "asked"} and "tool" in body:
                    self._call(body, dispatched=entry.kind == "intent")
            except (TranscriptError, KeyError, TypeError, ValueError, AttributeError) as error:
                if len(self.used.bad) < 100:  # noqa: PLR2004  (as many as a person reads)
                    self.used.bad.append(
                        f"{ledger}:{entry.seq}: no entry of a guard: {error!r:.200}"
                    )
        self.used.seconds += _between(first, last)

    def _call(self, body: Mapping[str, Any], *, dispatched: bool) -> None:
        used, tool = self.used, f"{body['server']}.{body['tool']}"
        used.calls += dispatched
        used.other += dispatched and body["policy"] != self.digest
        _count(used.tools, tool)
        for drive in body["drives"]:
            _count(used.drives, str(drive))
        for verb, asset, _ in body["effects"]:
            _count(used.effects, (str(verb), str(asset)))
            used.verbs.setdefault(tool, set()).add(str(verb))
        for rule in {str(body["rule"]), *self._rules(tool, body["arguments"])}:
            _count(used.rules, rule)
        for name, amount in (body["uses"] if dispatched else {}).items():
            self.run[name] = self.run.get(name, 0.0) + float(amount)
            used.most[name] = max(used.most.get(name, 0.0), self.run[name])

    def _rules(self, tool: str, arguments: Mapping[str, Any]) -> set[str]:
        """Return the rules that decide some effect of a call; every one of them was needed."""
        rules = self.policy.tools.get(tool)
        if rules is None or not isinstance(arguments, Mapping):
            return set()
        if any(_REDACTED in str(arguments.get(name)) for name in rules.ruler.reads):
            return {rule.text for rule in self.policy.rules}  # nobody knows which
        found = {effect.rule for effect in rules.ruler.ruled(arguments).decided}
        if MISSING_WEIGHTS in found:  # decided by a table that is not here: any of these may have
            found |= {
                r.text for r in self.policy.rules if any(c.reads_weights for c in r.conditions)
            }
        return found


def _count(counts: dict[Any, int], key: Any) -> None:
    counts[key] = counts.get(key, 0) + 1


def _between(first: str, last: str) -> float:
    try:
        passed = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    except ValueError:
        return 0.0
    return max(0.0, passed.total_seconds())
