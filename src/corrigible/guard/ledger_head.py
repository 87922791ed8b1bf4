"""Signed heads of the ledger: short texts to keep where the agent cannot reach.

A ledger cannot show by itself that its end was cut off, or that all of it was written anew by
somebody who has the key.  A head that was kept elsewhere can.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corrigible.errors import LedgerError
from corrigible.guard.call import canonical_json
from corrigible.guard.ledger_entry import Chain, Entry, now
from corrigible.guard.merkle import Tree
from corrigible.guard.signing import PublicKey, SigningKey

_PURPOSE = b"corrigible ledger head 1\n"  # no other signature of the key passes for a head
_HEX = re.compile(r"[0-9a-f]*")
_LENGTHS = {"digest": 64, "root": 64, "signature": 128}
_LONGEST = 2000  # characters of a head in JSON


@dataclass(frozen=True)
class Head:
    """What the ledger held up to entry `seq`: that entry's digest and the root over all.

    Raises:
        LedgerError: a field is not of its form.
    """

    seq: int
    digest: str
    root: str
    at: str
    key: str  # the fingerprint of the key that signed
    signature: str

    def __post_init__(self) -> None:
        texts = (self.at, self.key, *(getattr(self, name) for name in _LENGTHS))
        fits = type(self.seq) is int and all(isinstance(text, str) for text in texts)
        hexes = {name: getattr(self, name) for name in _LENGTHS} if fits else {}
        if not fits or any(
            len(text) != _LENGTHS[name] or not _HEX.fullmatch(text) for name, text in hexes.items()
        ):
            raise LedgerError(f"a head must have the fields that the ledger gave it, got {self!r}")

    def json(self) -> str:
        """Return the head as one line of JSON; `parse_head` reads it."""
        return canonical_json(asdict(self))

    def signed_by(self, key: PublicKey) -> bool:
        """Say whether the key's owner signed this head."""
        signature = bytes.fromhex(self.signature)
        return key.fingerprint == self.key and key.signed(_message(asdict(self)), signature)


def parse_head(text: str) -> Head:
    """Return the head that `Head.json` wrote.

    Raises:
        LedgerError: the text is no head.
    """
    try:
        return Head(**json.loads(text[:_LONGEST]))
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(f"must be one head of a ledger in JSON, got {text[:80]!r}") from error


def read_heads(lines: Iterable[str]) -> tuple[Head, ...]:
    """Return the heads in lines of JSON, empty lines left out.

    Raises:
        LedgerError: a line is no head; the message gives its number.
    """
    heads = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                heads.append(parse_head(line))
            except LedgerError as error:
                raise LedgerError(f"line {number}: {error}") from error
    return tuple(heads)


def append_head(path: Path, head: Head) -> None:
    """Add a head as one line to a file, as a witness of the ledger may do.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("a", encoding="ascii") as file:
        file.write(head.json() + "\n")


def checkpoint_text(chain: Chain, key: SigningKey) -> str:
    """Return the body of a checkpoint over all of the chain so far, as canonical JSON.

    The frontier of the tree goes with it, so that a restart need not read what is before.
    """
    said: dict[str, Any] = {
        "seq": chain.seq,
        "digest": chain.digest,
        "root": chain.tree.root().hex(),
        "at": now(),
        "key": key.public.fingerprint,
    }
    said["signature"] = key.sign(_message(said)).hex()
    said["frontier"] = [node.hex() for node in chain.tree.frontier]
    return canonical_json(said)


def head_of(checkpoint: Entry) -> Head:
    """Return the head that a checkpoint holds.

    Raises:
        LedgerError: the entry holds none.
    """
    try:
        return Head(**{name: checkpoint.body[name] for name in Head.__dataclass_fields__})
    except (LookupError, TypeError, ValueError) as error:
        raise LedgerError(f"entry {checkpoint.seq} must hold a head of the ledger") from error


def tree_at(checkpoint: Entry, head: Head) -> Tree:
    """Return the tree as it stood at a checkpoint, checked against the root that was signed.

    Raises:
        LedgerError: the frontier is not that of the root.
    """
    try:
        tree = Tree(head.seq, map(bytes.fromhex, checkpoint.body["frontier"]))
    except (LookupError, TypeError, ValueError):
        tree = Tree(-1)
    if not tree.whole or tree.root().hex() != head.root:
        raise LedgerError(f"entry {checkpoint.seq} must hold the tree's frontier at its root")
    return tree


def _message(said: dict[str, Any]) -> bytes:
    signed = {name: said[name] for name in ("seq", "digest", "root", "at", "key")}
    return _PURPOSE + canonical_json(signed).encode()
