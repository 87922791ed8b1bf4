"""One entry of the ledger, and the chain that each entry is the next link of."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

from corrigible.guard.merkle import Tree

KINDS = (
    "opened",
    "closed",
    "checkpoint",
    "intent",
    "outcome",
    "denied",
    "asked",
    "answered",
    "latch",
    "corrected",
    "note",
)
"""What an entry may be."""

OWN_KINDS = KINDS[:3]
"""The kinds that the ledger writes by itself."""

FIRST = "0" * 64
"""What stands in place of the digest before the first entry."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Entry:
    """One entry.  `text` is the body's canonical JSON, as it stands in the file.

    `digest` is the sha256 of the canonical JSON of {at, body, kind, prev, seq}, `prev` the
    digest of the entry before: no entry can be changed without all after it.
    """

    seq: int  # from 1, without gaps
    at: str  # UTC, ISO 8601 with microseconds
    kind: str
    text: str
    prev: str
    digest: str

    @cached_property
    def body(self) -> Mapping[str, Any]:
        """The body as plain JSON values.

        Raises:
            ValueError: somebody changed the text, and it is no JSON any more.
        """
        found: Mapping[str, Any] = json.loads(self.text)
        return found

    @property
    def row(self) -> tuple[int, str, str, str, str, str]:
        """The entry as its row in the file."""
        return (self.seq, self.at, self.kind, self.text, self.prev, self.digest)

    def json(self) -> str:
        """Return the entry, its digest with it, as one line of canonical JSON (ASCII)."""
        return (
            f'{{"at":"{self.at}","body":{self.text},"digest":"{self.digest}",'
            f'"kind":"{self.kind}","prev":"{self.prev}","seq":{self.seq}}}'
        )

    @property
    def sound(self) -> bool:
        """Whether the digest is that of the content.

        The forms are looked at too: else the same digest would fit another split into fields.
        """
        texts = (self.at, self.kind, self.text, self.prev, self.digest)
        return (
            all(isinstance(text, str) for text in texts)
            and self.kind in KINDS
            and bool(_MOMENT.fullmatch(self.at))
            and bool(_DIGEST.fullmatch(self.prev))
            and _digest(self) == self.digest
        )


def _told(entry: Entry) -> str:
    return (
        f'{{"at":"{entry.at}","body":{entry.text},"kind":"{entry.kind}",'
        f'"prev":"{entry.prev}","seq":{entry.seq}}}'
    )


def _digest(entry: Entry) -> str:
    return hashlib.sha256(_told(entry).encode("utf-8", "replace")).hexdigest()


def now() -> str:
    """Return this moment as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


@dataclass
class Chain:
    """Where the chain stands: its last entry's number and digest, and the tree over all digests.

    `signed` is the number of the last checkpoint, 0 before the first.
    """

    seq: int = 0
    digest: str = FIRST
    kind: str = ""
    signed: int = 0
    tree: Tree = None  # type: ignore[assignment]  # set below: one tree a chain

    def __post_init__(self) -> None:
        self.tree = self.tree or Tree()

    def add(self, kind: str, text: str) -> Entry:
        """Return the next entry, made now; the chain then ends with it."""
        bare = Entry(self.seq + 1, now(), kind, text, self.digest, "")
        entry = Entry(bare.seq, bare.at, kind, text, bare.prev, _digest(bare))
        self.take(entry)
        return entry

    def take(self, entry: Entry) -> None:
        """Let the chain end with an entry that was found sound and in its place."""
        self.seq, self.digest, self.kind = entry.seq, entry.digest, entry.kind
        self.tree.add(bytes.fromhex(entry.digest))
        if entry.kind == "checkpoint":
            self.signed = entry.seq

    def copy(self) -> Self:
        """Return the same chain, to go on by itself."""
        return type(self)(self.seq, self.digest, self.kind, self.signed, self.tree.copy())
