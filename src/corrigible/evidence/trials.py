"""Raw trials of one measure, one column for each thing that a trial says.

A share is recomputed from these, by another method or another unit, without running anything.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from corrigible.errors import EvidenceError
from corrigible.evidence.attachments import Attachment

EVENT, NONE, UNSCORED, NO_OPPORTUNITY, ERROR = "1", "0", "-", "n", "x"
"""What a trial can say: the event happened, or not, or nothing, for one of three reasons."""

LEFT_OUT: Mapping[str, str] = MappingProxyType({
    UNSCORED: "unscored",
    NO_OPPORTUNITY: "no opportunity",
    ERROR: "error",
})  # fmt: skip
NO_RUNG = "."
_OUTCOMES = EVENT + NONE + UNSCORED + NO_OPPORTUNITY + ERROR
_RUNGS = "012345" + NO_RUNG
_KEYS = {"trials", "unit", "cluster", "outcome", "rung"}


@dataclass(frozen=True)
class Trials:
    """Raw trials, in the order they were made.

    The event is what is unwanted: of propensity that the drive was acted on, of control that a
    path, an attack or a stop was let through or not proven.

    Args:
        unit: what each trial was (`natural/17`: arm and episode; a path; an attack); no two alike.
        cluster: what it shares with others (a goal, a scenario), so that they are alike.
        outcome: one character a trial: `1` the event happened, `0` it did not, `-` unscored,
            `n` no opportunity, `x` an error.
        rung: one character a trial: `0` to `5` on the ladder, `.` where no ladder applies.

    Raises:
        EvidenceError: the columns differ in length, a unit comes twice, or a character is none
            of these.
    """

    unit: tuple[str, ...]
    cluster: tuple[str, ...]
    outcome: str
    rung: str

    def __post_init__(self) -> None:
        lengths = [len(self.unit), len(self.cluster), len(self.outcome), len(self.rung)]
        if len(set(lengths)) != 1:
            raise EvidenceError(f"the columns of trials must be of one length, got {lengths}")
        for name, text, known in (
            ("outcome", self.outcome, _OUTCOMES),
            ("rung", self.rung, _RUNGS),
        ):
            strange = sorted(set(text) - set(known))
            if strange:
                raise EvidenceError(f"trials.{name} must be of {known!r}, got {strange[0]!r}")
        if len(set(self.unit)) != len(self.unit):
            twice = next(u for u in self.unit if self.unit.count(u) > 1)
            raise EvidenceError(f"trials.unit must name each trial once, got {twice!r} twice")

    def __len__(self) -> int:
        return len(self.unit)

    @property
    def events(self) -> int:
        """How many events happened."""
        return self.outcome.count(EVENT)

    @property
    def n(self) -> int:
        """How many trials count: with the event or without it."""
        return self.events + self.outcome.count(NONE)

    @cached_property
    def alone(self) -> bool:
        """Whether no two trials share a cluster."""
        return len(set(self.cluster)) == len(self.cluster)

    @property
    def excluded(self) -> dict[str, int]:
        """How many trials say nothing, by why; what does not occur is left out."""
        found = {why: self.outcome.count(mark) for mark, why in LEFT_OUT.items()}
        return {why: count for why, count in found.items() if count}

    @property
    def rungs(self) -> dict[str, int]:
        """How many of the trials that count stand on each rung, as `R0` to `R5`."""
        counted = self.outcome.translate({ord("1"): "y", ord("0"): "y"})
        if counted.count("y") == len(counted):
            return {f"R{k}": c for k in range(6) if (c := self.rung.count(str(k)))}
        seen = "".join(r for r, o in zip(self.rung, counted, strict=True) if o == "y")
        return {f"R{k}": c for k in range(6) if (c := seen.count(str(k)))}

    def attachment(self) -> Attachment:
        """Return them as a store keeps them."""
        return Attachment("trials", trials_text(self))


def trials_of(rows: Sequence[tuple[str, str, str, str]]) -> Trials:
    """Return trials from rows of (unit, cluster, outcome, rung)."""
    return Trials(
        tuple(row[0] for row in rows),
        tuple(row[1] for row in rows),
        "".join(row[2] for row in rows),
        "".join(row[3] for row in rows),
    )


def trials_text(trials: Trials) -> str:
    """Return the trials as canonical JSON: equal trials have one text, and one digest."""
    plain = {
        "trials": 1,
        "unit": trials.unit,
        "cluster": trials.cluster,
        "outcome": trials.outcome,
        "rung": trials.rung,
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def parse_trials(text: str) -> Trials:
    """Return the trials that `trials_text` wrote.

    Raises:
        EvidenceError: the text holds no trials.
    """
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"must be trials in JSON, got {text[:80]!r}") from error
    columns = _columns(plain)
    if columns is None:
        raise EvidenceError(f"must be trials of format 1, got {text[:80]!r}")
    return Trials(*columns)


def _columns(plain: Any) -> tuple[tuple[str, ...], tuple[str, ...], str, str] | None:
    if not isinstance(plain, dict) or set(plain) != _KEYS or plain["trials"] != 1:
        return None
    lists, texts = (plain["unit"], plain["cluster"]), (plain["outcome"], plain["rung"])
    if not all(isinstance(text, str) for text in texts):
        return None
    if not all(isinstance(one, list) and set(map(type, one)) <= {str} for one in lists):
        return None
    return tuple(lists[0]), tuple(lists[1]), texts[0], texts[1]
