"""The ledger's SQLite file: one process writes it, rows are added and never changed.

The journal is write-ahead.  A commit leaves its pages with the kernel, so they survive the end
of this process, however it ends; with `synchronous=FULL` SQLite also syncs the log before the
commit returns, and with it all that was committed before, so they survive a loss of power.
"""

import contextlib
import fcntl
import json
import os
import re
import sqlite3
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from corrigible.errors import LedgerError
from corrigible.evidence import write_ahead
from corrigible.guard.ledger_entry import KINDS, Chain, Entry
from corrigible.guard.signing import sync_folder

_APPLICATION = 0x636F6C67  # "colg": marks the file as ours
_SCHEMA = 1
_TABLE = (
    "CREATE TABLE entry (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, "
    "body TEXT NOT NULL, prev TEXT NOT NULL, digest TEXT NOT NULL) STRICT"
)
_TRIGGERS = {
    "UPDATE ON entry": "SELECT RAISE(ABORT, 'an entry is never changed')",
    "DELETE ON entry": "SELECT RAISE(ABORT, 'an entry is never deleted')",
    # Without this one, INSERT OR REPLACE would delete a row and fire no trigger.
    "INSERT ON entry WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM entry)": (
        "SELECT RAISE(ABORT, 'an entry is added at the end')"
    ),
}
_MADE = {("table", "entry", _TABLE)} | {
    ("trigger", (name := f"append_only_{number}"),
     f"CREATE TRIGGER {name} BEFORE {when} BEGIN {then}; END")
    for number, (when, then) in enumerate(_TRIGGERS.items())
}  # fmt: skip
_ROW = "SELECT seq, at, kind, body, prev, digest FROM entry"
_PLACES = "(?,?,?,?,?,?)"
_ROWS_INSERTED = 64
_WAIT_S = 5.0
_LOG_PAGES = 1000  # moved into the file once the log has so many, as SQLite does by itself
_ROWS, _CHARACTERS = 256, 1_000_000  # read at once, whichever comes first
_FIRST_SEQ = -(2**63)
_LAST_SEQ = 2**63 - 1
_NOT_SYNCED = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


class NotSyncedError(LedgerError):
    """The disk would not sync.  What it holds is not known any more: open the ledger anew."""


class HeldError(LedgerError):
    """Somebody would have to be waited for: nothing was written."""


class LedgerFile:
    """The writer's hold of a ledger: its lock, its connection, and which files they are.

    Used by one thread at a time.

    Raises:
        LedgerError: another process writes the ledger; the file is a link, another user's,
            another program's or a newer corrigible's; or it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _locked(path)
        self._durable, self._waits = True, True
        self._names = tuple(map(str, _files(path)))
        self._held: dict[str, tuple[int, int]] = {}
        self._log_size = 0
        try:
            with told(path):
                _make(path)
                self._open = sqlite3.connect(
                    path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False
                )
        except BaseException:
            os.close(self._lock)
            raise
        try:
            with told(path):
                _prepare(self._open, path)
                sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file and let another process write it."""
        with contextlib.suppress(sqlite3.Error):  # the files were taken away: nothing to keep
            self._open.close()
        os.close(self._lock)

    def commit(
        self, entries: Sequence[Entry], *, durable: bool, after: Chain, waits: bool = True
    ) -> None:
        """Add entries, all or none, to a ledger that must end as `after` does.

        When this returns they are committed, and synced where `durable`.  Unless it `waits`, it
        waits for no lock of another program's, and moves no log into the file, which syncs.

        Raises:
            HeldError: it may not wait, and would have to; nothing was written.
            NotSyncedError: the disk would not sync.
            LedgerError: nothing may be relied on to have been written.
        """
        with told(self.path):
            self._set(durable=durable, waits=waits)
            self._same_files()
            self._begin()
            try:
                self._insert(entries, after)
                self._open.execute("COMMIT")
            except BaseException:
                if self._open.in_transaction:
                    self._open.execute("ROLLBACK")
                raise
            self._same_files()

    def _set(self, *, durable: bool, waits: bool) -> None:
        """Set what the connection syncs, and what it waits for."""
        if durable != self._durable:
            self._open.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        if waits != self._waits:
            self._open.execute(f"PRAGMA busy_timeout={_WAIT_S * 1000 if waits else 0:.0f}")
            self._open.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES if waits else 0}")
            self._waits = waits

    def _begin(self) -> None:
        try:
            self._open.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if self._waits or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            raise HeldError(f"{self.path} is locked by another program") from error

    def _insert(self, entries: Sequence[Entry], after: Chain) -> None:
        if self._tail() != (after.seq, after.digest):
            ends = f"must end with entry {after.seq} as this guard wrote it"
            raise LedgerError(f"{self.path} {ends}: something else wrote it; verify it")
        # Many rows a statement: each statement lets go of the interpreter, and gets it back only
        # after the callers that were answered last.
        for first in range(0, len(entries), _ROWS_INSERTED):
            part = entries[first : first + _ROWS_INSERTED]
            places = ",".join([_PLACES] * len(part))
            values = [value for entry in part for value in entry.row]
            self._open.execute(f"INSERT INTO entry VALUES {places}", values)  # noqa: S608  (marks)

    def ends_as(self, chain: Chain) -> bool:
        """Say whether the ledger ends as the chain does; False where it cannot be read."""
        try:
            return self._tail() == (chain.seq, chain.digest)
        except sqlite3.Error:
            return False

    def last_checkpoint(self) -> Entry | None:
        """Return the last checkpoint, or None where there is none yet."""
        return self._one(f"{_ROW} WHERE kind = 'checkpoint' ORDER BY seq DESC LIMIT 1")

    def first(self) -> Entry | None:
        """Return the first entry, or None in an empty ledger."""
        return self._one(f"{_ROW} ORDER BY seq LIMIT 1")

    def last_two(self) -> tuple[Entry, ...]:
        """Return the last two entries, in their order."""
        with told(self.path):
            found = self._open.execute(f"{_ROW} ORDER BY seq DESC LIMIT 2").fetchall()
        return tuple(Entry(*row) for row in reversed(found))

    def _one(self, query: str) -> Entry | None:
        with told(self.path):
            row = self._open.execute(query).fetchone()
        return None if row is None else Entry(*row)

    def _tail(self) -> tuple[int, str]:
        last = "SELECT seq, digest FROM entry ORDER BY seq DESC LIMIT 1"
        found: tuple[int, str] = self._open.execute(last).fetchone() or (Chain.seq, Chain.digest)
        return found

    def _same_files(self) -> None:
        """Refuse to go on where the names lead to other files than those that are open.

        SQLite would write on into a file that was removed, and its entries would be gone.
        """
        for name in self._names:
            try:
                found = os.lstat(name)
            except FileNotFoundError:
                if name not in self._held:
                    continue  # the log is not there before the first commit
                raise LedgerError(f"{name} must stay while a guard runs: it was removed") from None
            which = (found.st_dev, found.st_ino)
            if self._held.setdefault(name, which) != which:
                raise LedgerError(f"{name} must stay while a guard runs: it was replaced")
            if name is self._names[1]:
                self._same_log(found.st_size)

    def _same_log(self, size: int) -> None:
        """Look at the end of the ledger from outside, where its log became shorter.

        That is allowed to a program that moved the log's content into the file.
        """
        if size < self._log_size:
            if not self._waits:
                raise HeldError(f"{self.path}-wal became shorter, which takes a look at it")
            with reading(self.path) as file:
                there = file.execute("SELECT max(seq) FROM entry").fetchone()[0]
            if there != self._tail()[0]:
                raise LedgerError(f"{self.path}-wal must stay whole: it was cut")
        self._log_size = size


def rows(
    path: Path, *, first: int = _FIRST_SEQ, upto: int = _LAST_SEQ, kinds: Collection[str] = KINDS
) -> Iterator[Entry]:
    """Return the entries of a ledger as they stand in the file, `first` to `upto`, unchecked.

    On a connection of its own, a part at a time: nothing is held up while a caller takes its
    time, and memory does not grow with the ledger.

    Raises:
        LedgerError: (while reading) the file cannot be read, or is no ledger.
    """
    every = len(set(kinds)) == len(KINDS)  # then what is of no known kind is returned too
    wanted = "" if every else f" AND kind IN ({','.join('?' * len(kinds))})"
    query = f"{_ROW} WHERE seq BETWEEN ? AND ?{wanted} ORDER BY seq"
    with reading(path) as file:
        while first <= upto:
            with told(path):
                part = _part(file.execute(query, (first, upto, *(() if every else kinds))))
            yield from part
            if not part:
                return
            first = part[-1].seq + 1


def _part(cursor: sqlite3.Cursor) -> list[Entry]:
    part, size = [], 0
    with closing(cursor):  # ends the transaction: the log may be written over again
        for row in cursor:
            part.append(Entry(*row))
            size += len(str(row[3]))
            if len(part) == _ROWS or size > _CHARACTERS:
                break
    return part


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection that only reads, also beside a guard that writes.

    Raises:
        LedgerError: there is no file, or it is no ledger that can be read.
    """
    if not path.exists():
        raise LedgerError(f"{path} must be a ledger, got no file")
    with told(path):
        file = _read_only(path)
    with closing(file):
        file.text_factory = lambda text: text.decode("utf-8", "replace")
        with told(path):
            _ours(file, path)
        yield file


def strange_parts(file: sqlite3.Connection) -> tuple[str, ...]:
    """Return what differs in the file's tables and triggers from those of a ledger."""
    found = set(file.execute("SELECT type, name, sql FROM sqlite_master").fetchall())
    missing = (f"the {type_} {name} is missing or changed" for type_, name, _ in _MADE - found)
    known = {name for _, name, _ in _MADE}
    added = (f"a {type_} {name!r} was added" for type_, name, _ in found if name not in known)
    return tuple(sorted((*missing, *added)))


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into a `LedgerError` with the file and the way out."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:  # the last of a broken file
        said = str(error)
        code = getattr(error, "sqlite_errorcode", None)
        if code in _NOT_SYNCED:
            way = "the disk would not sync; look after it, then start the guard anew"
            raise NotSyncedError(f"{path}: {said}; {way}") from error
        if "locked" in said:
            way = f"another program held it for {_WAIT_S:.0f} s; end that one"
        elif "full" in said or "disk I/O" in said:
            way = "make room on the disk"
        elif isinstance(error, OSError) or re.search("unable to open|readonly", said):
            way = "the guard's user must be able to write the file and its folder"
        else:
            way = "it is no SQLite file, or a broken one; keep it, and start another ledger"
        raise LedgerError(f"{path}: {said}; {way}") from error


def _files(path: Path) -> tuple[Path, ...]:
    """The file, its log, its index, and the lock; in this order."""
    return (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", ".lock")))


def _locked(path: Path) -> int:
    """Take the lock beside the ledger; it ends with the process, however that ends."""
    where = _files(path)[-1]
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        lock = os.open(where, flags, 0o600)
    except OSError as error:
        raise LedgerError(f"{where} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        who = _holder(os.pread(lock, 200, 0))
        os.close(lock)
        raise LedgerError(
            f"{path} is written by {who} already: one guard writes a ledger"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps({"pid": os.getpid()}).encode(), 0)
    return lock


def _holder(text: bytes) -> str:
    try:
        return f"process {int(json.loads(text)['pid'])}"
    except (ValueError, LookupError, TypeError):
        return "another process"


def _make(path: Path) -> None:
    """Make an empty file that its owner alone may read, or look at the one that is there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        return
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        raise LedgerError(f"{path} must be a file of user {os.geteuid()}, who runs the guard")
    if stat.S_IMODE(found.st_mode) & 0o022:
        mode = stat.S_IMODE(found.st_mode)
        raise LedgerError(f"{path} must be its owner's to write, got mode {mode:o}; chmod 600 it")


def _prepare(file: sqlite3.Connection, path: Path) -> None:
    """Make the table in an empty file; refuse one that is another's or newer."""
    file.execute("PRAGMA synchronous=FULL")
    with file:
        file.execute("BEGIN IMMEDIATE")
        if file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0 and (
            _marks(file) == (0, 0)
        ):
            for _, _, sql in sorted(_MADE):
                file.execute(sql)
            file.execute(f"PRAGMA application_id={_APPLICATION}")
            file.execute(f"PRAGMA user_version={_SCHEMA}")
        _ours(file, path)
    if strange := strange_parts(file):
        raise LedgerError(f"{path} must be as this guard made it: {strange[0]}; keep it, verify it")
    write_ahead(file, _WAIT_S)


def _marks(file: sqlite3.Connection) -> tuple[int, int]:
    names = ("application_id", "user_version")
    application, version = (file.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return application, version


def _ours(file: sqlite3.Connection, path: Path) -> None:
    application, version = _marks(file)
    if application != _APPLICATION:
        raise LedgerError(f"{path} must be a ledger, got another program's SQLite file")
    if version != _SCHEMA:
        rule = f"must have schema {_SCHEMA}, got {version}"
        raise LedgerError(f"{path} {rule}: a newer corrigible wrote it; install that one")


def _read_only(path: Path) -> sqlite3.Connection:
    uri = path.absolute().as_uri()
    options: dict[str, Any] = {"isolation_level": None, "uri": True, "check_same_thread": False}
    file: sqlite3.Connection = sqlite3.connect(f"{uri}?mode=ro", timeout=_WAIT_S, **options)
    try:
        file.execute("PRAGMA user_version")
    except sqlite3.Error as error:
        file.close()
        left = _files(path)[1].exists()  # entries that would be missed
        if left or not re.search("unable to open|readonly", str(error)):
            raise
        # No log and no writing here: the file is whole, and there is nobody to lock out.
        file = sqlite3.connect(f"{uri}?immutable=1", **options)
    return file
