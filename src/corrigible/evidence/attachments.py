"""Attachments: what records rest on (raw trials, an audit whole), each named by its digest."""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property

from corrigible.evidence.checks import require

_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")
LARGEST_BYTES = 500_000_000
"""Some ten million trials; SQLite itself takes twice as much in one row."""


@dataclass(frozen=True)
class Attachment:
    """A text and what kind of text it is: `trials`, `audit`, `attempt`, `plan` or `waiver`.

    Raises:
        EvidenceError: the kind is no lower-case word, or the body no text or too large.
    """

    kind: str
    body: str

    def __post_init__(self) -> None:
        fits = isinstance(self.kind, str) and _KIND.fullmatch(self.kind)
        require(bool(fits), "attachment.kind", "a lower-case word", self.kind)
        text = isinstance(self.body, str)
        require(text, "attachment.body", "a text", type(self.body).__name__)
        most = f"of {LARGEST_BYTES:,} characters at most"
        require(len(self.body) <= LARGEST_BYTES, "attachment.body", most, len(self.body))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the kind and the body."""
        sha = hashlib.sha256(f"{self.kind}\0".encode())
        sha.update(self.body.encode("utf-8", "surrogatepass"))
        return f"sha256:{sha.hexdigest()}"
