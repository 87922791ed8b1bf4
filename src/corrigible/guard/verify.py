"""Check a ledger from its first entry to its last, with nothing but the file and signed heads.

What is found: any entry that was changed, dropped, moved or put in; a signature that is not the
key's; an end that is shorter than a head that was kept elsewhere.  What cannot be found without
such a head is said in `notes`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corrigible.deployment.listing import plain
from corrigible.errors import LedgerError
from corrigible.guard.ledger import is_sealed
from corrigible.guard.ledger_entry import Chain, Entry
from corrigible.guard.ledger_file import reading, rows, strange_parts, told
from corrigible.guard.ledger_head import Head, head_of
from corrigible.guard.signing import PublicKey

_MOST_PROBLEMS = 100
_LONGEST_PROBLEM = 400  # characters; what the file says may be anything
_NO_HEADS = (
    "a cut tail after the last checkpoint, or a ledger cut at an earlier one, "
    "cannot be seen without a head kept elsewhere: none was given"
)
_NO_KEY = (
    "signatures were checked against the key that the ledger itself names: "
    "give the public key to see that it is the guard's"
)


@dataclass(frozen=True)
class LedgerProblem:
    """One thing wrong, and at which entry; 0 where it is no single one."""

    seq: int
    text: str

    def __str__(self) -> str:
        return f"entry {self.seq}: {self.text}" if self.seq else self.text


@dataclass(frozen=True)
class Verification:
    """What checking a ledger found.

    `problems` holds the first hundred.  `sealed`: the last writer closed it; a ledger that is
    being written, or whose guard was killed, is not.  `last`: the last signed head in the file.
    `unsigned`: entries after its checkpoint, that no signature covers.  `breaks`: how often a
    writer began where the one before had not sealed.  `notes`: what this check could not see.
    """

    path: Path
    entries: int
    problems: tuple[LedgerProblem, ...]
    sealed: bool
    last: Head | None
    unsigned: int
    breaks: int
    heads: int  # heads kept elsewhere that were compared
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong."""
        return not self.problems

    def text(self) -> str:
        """Return the findings for people, one a line."""
        state = "holds" if self.ok else "does NOT hold"
        end = "sealed" if self.sealed else "not sealed: being written, or its guard was ended"
        lines = [f"{self.path}: {state}; {self.entries:,} entries, {end}"]
        lines += [f"  wrong: {problem}" for problem in self.problems]
        if self.unsigned:
            lines.append(f"  {self.unsigned:,} entries at the end are not signed for yet")
        if self.breaks:
            lines.append(f"  {self.breaks} times a guard began where the last had not sealed")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def verify(
    path: Path, heads: Iterable[Head] = (), public_key: PublicKey | None = None
) -> Verification:
    """Check every entry, checkpoint and head of a ledger; also while a guard writes it.

    Entries that come in while this reads are left out.  Nothing is written; memory does not
    grow with the ledger.

    Args:
        path: the ledger's file, with its `-wal` beside it if there is one.
        heads: signed heads that were kept elsewhere: each must still be a part of this ledger.
        public_key: the guard's, from elsewhere; None takes the one that the ledger names.

    Raises:
        LedgerError: there is no file, or it cannot be opened as a ledger.
    """
    check = _Check(public_key, tuple(heads))
    with reading(path) as file, told(path):
        strange = strange_parts(file)
        for part in strange:
            check.found(0, f"the file is not as the guard made it: {part}")
        if any("the table" in part for part in strange):
            return check.result(path)  # what it would give as entries is anything
        upto = file.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
    try:
        for entry in rows(path, upto=upto):
            check.take(entry)
    except LedgerError as error:
        check.found(check.chain.seq + 1, f"cannot be read: {error}")
    return check.result(path)


@dataclass
class _Check:
    """What was seen so far.

    The chain follows the entries as they are found: one change is one problem, and not one for
    each entry after it.
    """

    key: PublicKey | None
    heads: tuple[Head, ...]
    chain: Chain = field(default_factory=Chain)
    problems: list[LedgerProblem] = field(default_factory=list)
    last: Head | None = None
    breaks: int = 0
    ends: list[Entry] = field(default_factory=list)  # the last two, by which one sees the seal

    def __post_init__(self) -> None:
        self.pinned = self.key is not None
        self.wanted: dict[int, list[Head]] = {}
        for head in self.heads:
            self.wanted.setdefault(head.seq, []).append(head)

    def found(self, seq: int, text: str) -> None:
        """Note a problem; beyond the first hundred only that there are more."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(LedgerProblem(seq, plain(text, _LONGEST_PROBLEM)))

    def take(self, entry: Entry) -> None:
        """Check one entry against what came before it."""
        if not isinstance(entry.seq, int) or entry.seq < 1:
            self.found(0, f"an entry has the number {entry.seq!r}: it was put in")
            return
        expected = self.chain.seq + 1
        if entry.seq != expected:
            several = entry.seq - expected > 1
            which = f"{expected} to {entry.seq - 1} are" if several else f"{expected} is"
            self.found(expected, f"{which} missing")
        elif entry.prev != self.chain.digest:
            self.found(entry.seq, "does not follow the one before it: one of both was exchanged")
        if not entry.sound:
            self.found(entry.seq, "was changed: its digest is not that of its content")
            self._skip(entry)
            return
        self._content(entry)
        self.chain.seq = entry.seq - 1
        self.chain.take(entry)
        self.ends = [*self.ends[-1:], entry]
        for head in self.wanted.pop(entry.seq, ()):
            self._compare(head, entry)

    def _skip(self, entry: Entry) -> None:
        """Go on after a changed entry as if it were right."""
        fits = isinstance(entry.digest, str) and len(entry.digest) == len(Chain.digest)
        digest = entry.digest if fits else Chain.digest
        self.chain.seq, self.chain.digest, self.chain.kind = entry.seq, digest, ""
        self.ends = []
        for head in self.wanted.pop(entry.seq, ()):
            self.found(entry.seq, f"is not the one that was signed at {head.at}")

    def _content(self, entry: Entry) -> None:
        """Check what the ledger itself says in its own entries."""
        try:
            if entry.kind == "opened":
                self._opened(entry, entry.body)
            elif entry.kind == "checkpoint":
                self._checkpoint(entry)
            elif entry.kind == "closed" and entry.body["entries"] != entry.seq:
                self.found(entry.seq, f"seals {entry.body['entries']} entries, not {entry.seq}")
            elif entry.seq == 1:
                self.found(1, f"must say who opened the ledger, got a {entry.kind!r}")
        except (LedgerError, LookupError, TypeError, ValueError, RecursionError) as error:
            self.found(entry.seq, f"is no {entry.kind!r} of a ledger: {error!r}")

    def _opened(self, entry: Entry, body: Any) -> None:
        named = PublicKey(bytes.fromhex(body["public_key"]))
        self.key = self.key or named
        if named != self.key:
            self.found(entry.seq, f"was written with another key, {named.fingerprint}")
        sealed = is_sealed(self.ends)
        self.breaks += entry.seq > 1 and not sealed
        if self.problems:
            return  # what was before it is not known
        if body["sealed"] not in (sealed, None) or (body["sealed"] is None) != (entry.seq == 1):
            self.found(entry.seq, "says otherwise of the end before it than stands there")

    def _checkpoint(self, entry: Entry) -> None:
        head = head_of(entry)
        if self.key is None or not head.signed_by(self.key):
            self.found(entry.seq, f"is not signed by the ledger's key (it names {head.key[:80]})")
        elif (head.seq, head.digest) != (entry.seq - 1, entry.prev):
            self.found(entry.seq, f"signs entry {head.seq}, not the one before it")
        elif not self.problems and head.root != self.chain.tree.root().hex():
            self.found(entry.seq, "signs another root than that of the entries before it")
        else:
            self.last = head

    def _compare(self, head: Head, entry: Entry) -> None:
        """Compare a head from elsewhere with the entry that it is of."""
        if self.key is not None and not head.signed_by(self.key):
            self.found(entry.seq, f"the head given for it is not signed by the key {head.key[:80]}")
        elif head.digest != entry.digest:
            self.found(entry.seq, f"is not the one that was signed at {head.at}: it was rewritten")
        elif not self.problems and head.root != self.chain.tree.root().hex():
            self.found(entry.seq, f"what is before it is not what was signed at {head.at}")

    def result(self, path: Path) -> Verification:
        """Return what was found, once every entry was taken."""
        if not self.chain.seq and not self.problems:
            self.found(0, "the ledger is empty: a guard writes its first entry when it opens one")
        for head in (head for seq in sorted(self.wanted) for head in self.wanted[seq]):
            if self.key is not None and not head.signed_by(self.key):
                self.found(head.seq, f"the head given for it is not signed by the key {head.key}")
            elif head.seq > self.chain.seq:
                ends = f"the ledger ends with entry {self.chain.seq}"
                self.found(head.seq, f"was there and signed at {head.at}, and is missing: {ends}")
        notes = [] if self.pinned else [_NO_KEY]
        newest = max((head.seq for head in self.heads), default=0)
        if not newest:
            notes.append(_NO_HEADS)
        elif newest < self.chain.seq:
            notes.append(
                f"what was cut after entry {newest}, the newest head given, cannot be seen"
            )
        return Verification(
            path,
            self.chain.seq,
            tuple(self.problems),
            is_sealed(self.ends),
            self.last,
            self.chain.seq - (self.last.seq + 1 if self.last else 0),
            self.breaks,
            len(self.heads),
            tuple(notes),
        )
