"""Records: what was measured, on what, until when; immutable, named by the digest of it all."""

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from corrigible.drives import DRIVES, FAMILIES
from corrigible.errors import EvidenceError
from corrigible.evidence.checks import canonical, is_count, require, require_text, sha256, utc
from corrigible.evidence.estimate import Estimate

EvidenceKind = Literal["reach", "incentive", "propensity", "control"]
"""Which question a record answers: can it, would it pay, does it, is it stopped."""

EVIDENCE_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)

ALL_DRIVES = "all"
"""In place of a drive: every drive jointly, or the deployment as a whole."""

_MEASURE = re.compile(r"[a-z0-9]+([./_-][a-z0-9]+)*")


@dataclass(frozen=True)
class Digests:
    """What evidence rests on: the sha256 of each thing; None where there was no such thing.

    Raises:
        EvidenceError: a digest is not a sha256 in hex, with or without `sha256:` before it.
    """

    manifest: str
    world: str
    software: str
    lock: str | None = None
    agent: str | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            digest = getattr(self, name)
            if digest is None and name in {"lock", "agent"}:
                continue
            object.__setattr__(self, name, sha256(f"digests.{name}", digest))


@dataclass(frozen=True)
class Unscored:
    """Cases that were tried and not counted, and why: they stand beside n, never inside it."""

    why: str
    count: int

    def __post_init__(self) -> None:
        require_text("unscored.why", self.why)
        counted = is_count(self.count) and self.count > 0
        require(counted, f"unscored {self.why!r}", "a count from 1", self.count)
        object.__setattr__(self, "count", int(self.count))


@dataclass(frozen=True)
class Record:
    """One piece of evidence: what was measured, on what, how, and until when it counts.

    Immutable; `id` is the sha256 of everything else.  `command` stands in the store as it is
    given: leave secrets out of it.  `source` is the digest of the attachment that the figure is
    computed from, None where nothing was attached.

    Raises:
        EvidenceError: a field breaks its rule; the message names it.
    """

    kind: EvidenceKind
    drive: str  # one of DRIVES, one of FAMILIES, or ALL_DRIVES
    measure: str  # what the value is, as in "share/aims"; lower case, parts joined by . / _ -
    estimate: Estimate
    digests: Digests
    method: str  # how it was measured, in a sentence
    seed: int | None  # None where nothing was drawn
    command: str  # what makes it again
    made: datetime
    expires: datetime
    unscored: tuple[Unscored, ...] = ()
    source: str | None = None

    def __post_init__(self) -> None:
        require(self.kind in EVIDENCE_KINDS, "kind", f"one of {EVIDENCE_KINDS}", self.kind)
        known = self.drive in DRIVES or self.drive in FAMILIES or self.drive == ALL_DRIVES
        require(known, "drive", f"a drive, a family or {ALL_DRIVES!r}", self.drive)
        fits = isinstance(self.measure, str) and _MEASURE.fullmatch(self.measure)
        require(bool(fits), "measure", "lower-case words joined by . / _ or -", self.measure)
        require(isinstance(self.estimate, Estimate), "estimate", "an Estimate", self.estimate)
        require(isinstance(self.digests, Digests), "digests", "Digests", self.digests)
        require_text("method", self.method)
        require_text("command", self.command)
        if self.seed is not None:
            require(is_count(self.seed), "seed", "a whole number from 0, or None", self.seed)
            object.__setattr__(self, "seed", int(self.seed))
        tried = all(isinstance(item, Unscored) for item in self.unscored)
        require(tried, "unscored", "a tuple of Unscored", self.unscored)
        object.__setattr__(self, "unscored", tuple(self.unscored))
        object.__setattr__(self, "made", utc("made", self.made))
        object.__setattr__(self, "expires", utc("expires", self.expires))
        if self.source is not None:
            object.__setattr__(self, "source", sha256("source", self.source))
        require(self.made < self.expires, "expires", f"after made, {self.made}", str(self.expires))

    @cached_property
    def id(self) -> str:
        """The sha256 of the canonical JSON of every field."""
        return "sha256:" + hashlib.sha256(canonical(self._plain()).encode()).hexdigest()

    def _plain(self) -> dict[str, Any]:
        values = {name: _plain_value(getattr(self, name)) for name in self.__dataclass_fields__}
        if values["source"] is None:  # records that never had one keep their ids
            del values["source"]
        return values


def _plain_value(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [vars(item) for item in value]
    return vars(value) if isinstance(value, Estimate | Digests) else value


def record_json(record: Record) -> str:
    """Return the record, its id with it, as one line of canonical JSON (ASCII)."""
    return canonical({**record._plain(), "id": record.id})  # noqa: SLF001  (this module's own)


_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def parse_record(text: str) -> Record:
    """Return the record that `record_json` wrote.

    Raises:
        EvidenceError: the text is no record, or is not what its id was made of.
    """
    try:
        plain = json.loads(text)
        id_ = plain.pop("id")
        record = _built(plain)
    except EvidenceError as error:
        raise EvidenceError(f"record {id_} breaks a rule: {error}") from error
    except _UNREADABLE as error:
        raise EvidenceError(f"must be one record in JSON, got {str(text)[:80]!r}") from error
    if record_json(record) != text:
        changed = "was changed after it was made; measure again"
        raise EvidenceError(f"record {id_} is not what its id was made of: it {changed}")
    return record


def software_digest(versions: Iterable[str] = ()) -> str:
    """Return the digest of this package's source, and of `versions` (as in `numpy 2.4.6`)."""
    sha = hashlib.sha256("".join(f"{version}\0" for version in sorted(versions)).encode())
    root = Path(__file__).parents[1]
    for file in sorted(root.rglob("*.py")):
        sha.update(f"\0{file.relative_to(root).as_posix()}\0".encode())
        sha.update(hashlib.sha256(file.read_bytes()).digest())
    return "sha256:" + sha.hexdigest()


def is_stale(record: Record, current: Digests, now: datetime) -> str | None:
    """Return why the record supports nothing any more, or None while it still does.

    A record of no agent (`digests.agent` is None) holds for every agent; a record made without
    a lock does not hold for a deployment that has one.

    Raises:
        EvidenceError: `now` has no time zone.
    """
    then = utc("now", now)
    if then >= record.expires:
        return f"expired on {record.expires:%Y-%m-%d %H:%M} UTC"
    if then < record.made:
        return f"made in the future, on {record.made:%Y-%m-%d %H:%M} UTC: check the clock"
    for name in Digests.__dataclass_fields__:
        measured, deployed = getattr(record.digests, name), getattr(current, name)
        if measured != deployed and not (name == "agent" and measured is None):
            return f"{name} changed: measured on {_short(measured)}, now {_short(deployed)}"
    return None


def _built(plain: dict[str, Any]) -> Record:
    return Record(**{
        **plain,
        "estimate": Estimate(**plain["estimate"]),
        "digests": Digests(**plain["digests"]),
        "unscored": tuple(Unscored(**item) for item in plain["unscored"]),
        "made": datetime.fromisoformat(plain["made"]),
        "expires": datetime.fromisoformat(plain["expires"]),
    })  # fmt: skip


def _short(digest: str | None) -> str:
    return digest.removeprefix("sha256:")[:12] if digest else "none"
