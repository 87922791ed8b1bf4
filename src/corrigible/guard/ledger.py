"""The ledger: what the guard was asked, decided and saw happen, in the order that it did.

Entries are chained and never changed; checkpoints over all of them are signed.  They are entries
of the chain themselves, so that none can be left out, and every listing shows them.

    with Ledger.open(state / "ledger.sqlite", state / "signing.key") as ledger:
        ledger.append("intent", {"call_id": "c1"}, durable=True).result()

What nobody can tell from the file alone is whether its end was cut, or whether who has the key
wrote all of it anew: give a `witness` that keeps heads where the agent cannot reach.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from corrigible.errors import LedgerError
from corrigible.guard.call import canonical_json
from corrigible.guard.ledger_entry import KINDS, OWN_KINDS, Chain, Entry
from corrigible.guard.ledger_file import HeldError, LedgerFile, NotSyncedError, reading, rows, told
from corrigible.guard.ledger_head import Head, checkpoint_text, head_of, tree_at
from corrigible.guard.signing import PublicKey, SigningKey, signing_key

CHECKPOINT_ENTRIES = 1000
CHECKPOINT_S = 5.0
LONGEST_BODY = 1_000_000
"""Characters of a body in JSON: cut what may be longer, as `redact` does."""

_MOST_WAITING, _MOST_CHARACTERS = 1024, 16_000_000  # in the queue, and in one transaction
_LONGEST_HERE = 20_000  # characters of a body that is written on its caller's thread
_ROOM_S = 30.0
_GATHER_S, _GATHER_SHARE = 0.001, 0.25  # at most, and of the time that the last group took


@dataclass
class _Waiting:
    """What a caller waits for.  `text` None: a checkpoint over whatever is there."""

    kind: str
    text: str | None
    durable: bool
    future: Future[Entry] = field(default_factory=Future)


@dataclass
class _Draft:
    """What is to be written next: the chain with it, and the last checkpoint then."""

    chain: Chain
    last: Entry | None
    key: SigningKey
    entries: list[Entry] = field(default_factory=list)

    def add(self, waiting: _Waiting) -> Entry:
        """Return the entry that a caller waits for."""
        return self.sign() if waiting.text is None else self._next(waiting.kind, waiting.text)

    def sign(self) -> Entry:
        """Return a checkpoint over everything so far: the last one where nothing came after."""
        if self.last is None or self.last.seq != self.chain.seq:
            self.last = self._next("checkpoint", checkpoint_text(self.chain, self.key))
        return self.last

    def _next(self, kind: str, text: str) -> Entry:
        self.entries.append(self.chain.add(kind, text))
        return self.entries[-1]


class Ledger:
    """The one writer of a ledger; made by `open`, a context manager, used from any thread.

    A thread of its own commits what has queued up meanwhile in one transaction.  An entry may be
    written on its caller's thread instead, where nothing is before it and nothing is waited for:
    whoever writes, one does at a time, in the order of the calls.  A group that
    cannot be written is taken back whole and its futures fail; the next group tries again, from
    where the file then stands.  After a failed sync nothing is written any more until the ledger
    is opened anew, as nobody knows what the disk holds.
    """

    def __init__(
        self,
        file: LedgerFile,
        chain: Chain,
        key: SigningKey,
        *,
        witness: Callable[[Head], None] | None,
        checkpoint_entries: int,
        checkpoint_s: float,
    ) -> None:
        self.path = file.path
        self._file = file
        self._chain = chain
        self._key = key
        self._witness = witness
        self._every, self._seconds = checkpoint_entries, checkpoint_s
        self._last: Entry | None = None  # the last checkpoint of this writer
        self._shown: Entry | None = None  # the last one that the witness was given
        self._witness_failed = False
        self._due: float | None = None  # when the next checkpoint is
        self._process = os.getpid()
        self._queue: deque[_Waiting] = deque()
        self._queued = 0  # characters
        self._changed = threading.Condition()
        self._closing = False
        self._grouped, self._here = False, False  # a group is written now; a caller writes now
        self._why_ended = ""
        self._expected, self._gather_s = 0, 0.0
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    @classmethod
    def open(
        cls,
        path: Path,
        key_path: Path,
        *,
        witness: Callable[[Head], None] | None = None,
        checkpoint_entries: int = CHECKPOINT_ENTRIES,
        checkpoint_s: float = CHECKPOINT_S,
    ) -> Self:
        """Open a ledger to write it, made where there is none, with its key.

        Writes `opened`, which says whether the last writer sealed the ledger when it ended.

        Args:
            path: the SQLite file; a lock file lies beside it.
            key_path: the Ed25519 key; one ledger has one key.
            witness: is given each signed head once it is on the disk, by the thread that writes:
                it must be quick.  If it raises, a `note` says so; nothing else fails.
            checkpoint_entries: sign after so many entries,
            checkpoint_s: or so many seconds after an entry, whichever comes first.

        Raises:
            LedgerError: another process writes it; its end was changed; its key is another or
                missing; or a file cannot be opened, made or trusted.
        """
        file = LedgerFile(path)
        try:
            ledger = cls(
                file,
                *_resumed(file, key_path),
                witness=witness,
                checkpoint_entries=checkpoint_entries,
                checkpoint_s=checkpoint_s,
            )
            ledger._begin()
        except BaseException:
            file.close()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def public_key(self) -> PublicKey:
        """What checks this ledger's heads."""
        return self._key.public

    def append(
        self, kind: str, body: Mapping[str, Any], *, durable: bool = False, here: bool = False
    ) -> Future[Entry]:
        """Add an entry; the future resolves once it survives the end of this process.

        If `durable`, once it survives a loss of power.  Blocks only while the queue is full, for
        30 s at most.  The future fails with `LedgerError`, and the caller denies, where: the body
        is no JSON object or too long; the kind is unknown or the ledger's own; the disk is full,
        the file was removed, replaced or written by another; the ledger is closed.  Functions
        given to the future run on the writing thread: they must be quick.

        With `here`, an entry that is not durable is written before this returns where that takes
        no waiting: for the disk, for another program that holds the file, or for other entries.
        """
        waiting = _Waiting(kind, None, durable)
        try:
            waiting.text = _text(kind, body)
            if durable or not here or not self._write_here(waiting):
                self._put(waiting)
        except LedgerError as error:
            waiting.future.set_exception(error)
        return waiting.future

    def head(self) -> Head:
        """Return a signed head over every entry so far; it is on the disk, and so are they.

        Raises:
            LedgerError: it cannot be written.
        """
        if threading.current_thread() is self._thread:
            raise LedgerError("a head must be asked for outside the ledger's own thread")
        waiting = _Waiting("checkpoint", None, durable=True)
        self._put(waiting)
        return head_of(waiting.future.result())

    def entries(self, after: int = 0, kinds: Collection[str] | None = None) -> Iterator[Entry]:
        """Return the committed entries after number `after`, as `rows` does, on a new connection.

        Raises:
            LedgerError: the file cannot be read.
        """
        return rows(self.path, first=after + 1, kinds=KINDS if kinds is None else kinds)

    def unfinished(self) -> tuple[Entry, ...]:
        """Return the intents that have no outcome, in order: nobody knows what came of them.

        Raises:
            LedgerError: the file cannot be read.
        """
        return unfinished(self.path)

    def close(self) -> None:
        """Write what is queued, the seal and a last signed head, and let go of the file.

        Raises:
            LedgerError: the seal could not be written; the file is let go all the same.
        """
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        if os.getpid() != self._process:
            return  # a fork has no writing thread, and the ledger is its parent's
        self._thread.join()
        try:
            self._seal()
        finally:
            self._file.close()

    # -- the caller's side -----------------------------------------------------------------

    def _put(self, waiting: _Waiting) -> None:
        if os.getpid() != self._process:
            raise LedgerError(f"{self.path} is its parent process's to write; open another")
        waiting.future.set_running_or_notify_cancel()  # a queued entry is not cancelled any more
        size = len(waiting.text or "")
        # The writing thread, which a future's function runs on, would wait for itself.
        wait = 0.0 if threading.current_thread() is self._thread else _ROOM_S
        with self._changed:
            if not self._changed.wait_for(lambda: self._closing or self._has_room(), wait):
                raise LedgerError(f"{self.path}: the disk did not keep up for {_ROOM_S:.0f} s")
            if self._closing:
                raise LedgerError(f"{self.path} is closed")
            if self._why_ended:
                raise LedgerError(self._why_ended)
            self._queue.append(waiting)
            self._queued += size
            if len(self._queue) in (1, self._expected):
                self._changed.notify_all()

    def _write_here(self, waiting: _Waiting) -> bool:
        """Write an entry on this thread; False: it was not written, and must be queued."""
        if len(waiting.text or "") > _LONGEST_HERE or os.getpid() != self._process:
            return False
        with self._changed:
            signs = self._chain.seq + 1 - self._chain.signed >= self._every or self._is_due()
            others = self._queue or self._grouped or self._here
            if signs or others or self._closing or self._why_ended:
                return False
            self._here, due = True, self._due
        try:
            self._answer([waiting], waits=False)
        except HeldError:
            return False
        finally:
            with self._changed:
                self._here = False
                if self._queue or self._closing or self._due != due or self._is_due():
                    self._changed.notify_all()
        return True

    def _has_room(self) -> bool:
        return len(self._queue) < _MOST_WAITING and self._queued < _MOST_CHARACTERS

    # -- the writing thread ----------------------------------------------------------------

    def _begin(self) -> None:
        body = {
            "sealed": is_sealed(self._file.last_two()) if self._chain.seq else None,
            "entries": self._chain.seq,
            "public_key": self._key.public.raw.hex(),
            "process": self._process,
        }
        self._commit([_Waiting("opened", canonical_json(body), durable=True)])
        self._thread.start()

    def _run(self) -> None:
        """Write group after group, until the ledger is closed and the queue is empty."""
        try:
            while group := self._next_group():
                self._answer(group)
                self._show_head()
        finally:  # also where a caller's function ended the thread: nobody may wait for it
            with self._changed:
                if not self._closing:
                    self._why_ended = f"{self.path}: the thread that writes it has ended"
                left, self._queue = self._queue, deque()
            for waiting in left:
                waiting.future.set_exception(LedgerError(self._why_ended))

    def _next_group(self) -> list[_Waiting]:
        """Wait for something to write, and take all of it; nothing once the ledger is closed."""
        with self._changed:
            self._grouped = False
            while self._here or not (self._queue or self._closing or self._is_due()):
                soon = None if self._here or self._due is None else self._due - time.monotonic()
                self._changed.wait(soon)
            self._gather()
            self._grouped = True
            group = list(self._queue)
            self._queue.clear()
            self._queued = 0
            self._changed.notify_all()
        if self._is_due():
            self._due = time.monotonic() + self._seconds  # also if it fails now
            group.append(_Waiting("checkpoint", None, durable=True))
        return group

    def _gather(self) -> None:
        """After a sync, wait a moment for the callers that were just answered to come again.

        Else half of them would always be in this group and half in the next: twice the syncs.
        """
        until = time.monotonic() + self._gather_s
        while not self._closing and len(self._queue) < self._expected:
            left = until - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                break
        self._expected, self._gather_s = 0, 0.0

    def _is_due(self) -> bool:
        return self._due is not None and time.monotonic() >= self._due

    def _answer(self, group: list[_Waiting], *, waits: bool = True) -> None:
        """Write a group and answer for it; whatever goes wrong, every caller hears of it.

        Raises:
            HeldError: it may not wait, and would have to; nothing was written nor answered.
        """
        began = time.monotonic()
        try:
            entries = self._commit(group, waits=waits)
        except HeldError:
            raise
        except LedgerError as error:
            why = error
        except Exception as error:  # noqa: BLE001  (a caller without answer would wait for ever)
            why = LedgerError(f"{self.path}: writing it failed: {error!r}")
        else:
            if any(waiting.durable for waiting in group):
                self._expected = min(len(self._queue) + len(group), _MOST_WAITING)
                self._gather_s = min((time.monotonic() - began) * _GATHER_SHARE, _GATHER_S)
            for waiting, entry in zip(group, entries, strict=True):
                waiting.future.set_result(entry)
            return
        for waiting in group:
            waiting.future.set_exception(why)

    def _commit(self, group: list[_Waiting], *, waits: bool = True) -> list[Entry]:
        """Write a group in one transaction; return the entry for each of its members."""
        if self._why_ended:
            raise LedgerError(self._why_ended)
        draft = _Draft(self._chain.copy(), self._last, self._key)
        answers = [draft.add(waiting) for waiting in group]
        if draft.chain.seq - draft.chain.signed >= self._every:
            draft.sign()
        # A head that a witness may keep must be on the disk: else a loss of power looks like a cut.
        durable = any(waiting.durable for waiting in group) or draft.last is not self._last
        try:
            if draft.entries:
                self._file.commit(draft.entries, durable=durable, after=self._chain, waits=waits)
        except HeldError:
            raise
        except Exception as error:
            if isinstance(error, NotSyncedError):
                self._why_ended = str(error)
            if self._file.ends_as(draft.chain):  # written, though it may not last
                self._chain, self._last = draft.chain, draft.last
            raise
        self._chain, self._last = draft.chain, draft.last
        if self._chain.seq == self._chain.signed:
            self._due = None
        elif self._due is None:
            self._due = time.monotonic() + self._seconds
        return answers

    def _show_head(self) -> None:
        """Give the last head to the witness, if it was not given yet."""
        if self._witness is None or self._last is None or self._last is self._shown:
            return
        self._shown = self._last
        try:
            self._witness(head_of(self._last))
        except Exception as error:  # noqa: BLE001  (foreign code must not end the ledger)
            note = {"witness": f"could not take the head of entry {self._last.seq - 1}: {error!r}"}
            waiting = _Waiting("note", canonical_json(note), durable=False)
            if not self._witness_failed and not self._closing:
                self._witness_failed = True
                self._answer([waiting])
        else:
            self._witness_failed = False

    def _seal(self) -> None:
        body = canonical_json({"entries": self._chain.seq + 1})
        closed = _Waiting("closed", body, durable=True)
        self._commit([closed, _Waiting("checkpoint", None, durable=True)])
        self._show_head()


def unfinished(path: Path) -> tuple[Entry, ...]:
    """Return the intents of a ledger that have no outcome, in order.

    Memory grows with them alone, not with the ledger.

    Raises:
        LedgerError: the file cannot be read.
    """
    open_: dict[Any, int] = {}
    query = (
        "SELECT seq, kind, json_extract(body, '$.call_id') FROM entry "
        "WHERE kind IN ('intent', 'outcome') AND json_valid(body) ORDER BY seq"
    )
    with reading(path) as file, told(path):
        for seq, kind, call in file.execute(query):
            if kind == "intent":
                open_[call] = seq
            else:
                open_.pop(call, None)
    if not open_:
        return ()
    wanted = set(open_.values())
    intents = rows(path, first=min(wanted), upto=max(wanted), kinds=("intent",))
    return tuple(entry for entry in intents if entry.seq in wanted)


def is_sealed(last: Sequence[Entry]) -> bool:
    """Say whether a ledger that ends with these entries was closed by its writer."""
    kinds = [entry.kind for entry in last]
    return kinds[-1:] == ["closed"] or kinds[-2:] == ["closed", "checkpoint"]


def _text(kind: str, body: Mapping[str, Any]) -> str:
    if kind not in KINDS or kind in OWN_KINDS:
        raise LedgerError(f"an entry's kind must be one of {KINDS[3:]}, got {kind!r}")
    try:
        text = canonical_json(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(f"a body must be a JSON object, got one that is not: {error}") from error
    if not text.startswith("{"):
        raise LedgerError(f"a body must be a JSON object, got {text[:40]}")
    if len(text) > LONGEST_BODY:
        most = f"{LONGEST_BODY:,} characters of JSON at most"
        raise LedgerError(f"a body may have {most}, got {len(text):,}; cut it with `redact`")
    return text


def _resumed(file: LedgerFile, key_path: Path) -> tuple[Chain, SigningKey]:
    """Return where the chain stands, checked from the last checkpoint on, and the key."""
    first = file.first()
    key = signing_key(key_path, create=first is None)
    if first is None:
        return Chain(), key
    try:
        return _resumed_chain(file, first, key.public), key
    except (LedgerError, ValueError, LookupError, TypeError) as error:
        way = "put its key back, or keep the file, verify it, and start another ledger"
        raise LedgerError(f"{file.path} cannot be gone on with: {error}; {way}") from error


def _resumed_chain(file: LedgerFile, first: Entry, key: PublicKey) -> Chain:
    chain = Chain()
    if first.body["public_key"] != key.raw.hex():
        raise LedgerError("the key must be the one that it began with")
    if last := file.last_checkpoint():
        head = head_of(last)
        if not head.signed_by(key):
            raise LedgerError(f"entry {last.seq} must be signed by the guard's key")
        chain = Chain(head.seq, head.digest, tree=tree_at(last, head))
    for entry in rows(file.path, first=chain.seq + 1):
        if not (entry.sound and (entry.seq, entry.prev) == (chain.seq + 1, chain.digest)):
            raise LedgerError(f"entry {chain.seq + 1} was changed or taken away")
        chain.take(entry)
    return chain
