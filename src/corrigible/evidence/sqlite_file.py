"""An evidence store as a SQLite file: opened, made, grown from an older schema, told of errors."""

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from corrigible.errors import EvidenceError

_APPLICATION = 0x636F7272  # "corr": marks the file as ours
_SCHEMA = 2  # 1 had no attachments
_TABLES = {
    "record": (
        "CREATE TABLE record (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL)"
    ),
    "attachment": (
        "CREATE TABLE attachment (seq INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, "
        "kind TEXT NOT NULL, body TEXT NOT NULL)"
    ),
}
_NAMED_BY = {"record": "id", "attachment": "digest"}
_WAIT_S = 30.0


def _triggers(table: str) -> dict[str, str]:
    """Return what refuses to change a table: by when, what is done."""
    known = f"WHERE {_NAMED_BY[table]} = NEW.{_NAMED_BY[table]} OR seq = NEW.seq"
    return {
        f"UPDATE ON {table}": "SELECT RAISE(ABORT, 'evidence is never changed')",
        f"DELETE ON {table}": "SELECT RAISE(ABORT, 'evidence is never deleted')",
        # Without this one, INSERT OR REPLACE would delete a row and fire no trigger.
        f"INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} {known})": "SELECT RAISE(IGNORE)",  # noqa: S608  (the same)
    }


def connected(path: Path, read_only: bool) -> sqlite3.Connection:
    """Open the file; one that is only read may lie in a folder that cannot be written."""
    if not read_only:
        return sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
    if not path.exists():
        raise EvidenceError(f"{path} must be an evidence store, got no file; audit first")
    uri = path.absolute().as_uri()
    file = sqlite3.connect(f"{uri}?mode=ro", timeout=_WAIT_S, isolation_level=None, uri=True)
    try:
        file.execute("PRAGMA user_version")
    except sqlite3.Error as error:
        file.close()
        left = path.with_name(f"{path.name}-wal").exists()  # records that would be missed
        if left or not re.search("unable to open|readonly", str(error)):
            raise
        # No log and no writing here: the file is whole, and there is nobody to lock out.
        return sqlite3.connect(f"{uri}?immutable=1", isolation_level=None, uri=True)
    return file


def write_ahead(file: sqlite3.Connection, wait_s: float = _WAIT_S) -> None:
    """Switch to write-ahead logging: SQLite waits for no lock here, so this does."""
    until = time.monotonic() + wait_s
    while True:
        try:
            file.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def prepare(file: sqlite3.Connection, path: Path, read_only: bool) -> None:
    """Make the tables in an empty file; refuse one that is another's or newer."""
    if not read_only:
        file.execute("PRAGMA synchronous=FULL")
        file.execute("BEGIN IMMEDIATE")  # two processes may both find it empty
    empty = file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    application = file.execute("PRAGMA application_id").fetchone()[0]
    version = file.execute("PRAGMA user_version").fetchone()[0]
    if empty and not read_only and (application, version) == (0, 0):
        _make(file, _TABLES)
    elif application != _APPLICATION:
        raise EvidenceError(f"{path} must be an evidence store, got another program's SQLite file")
    elif version > _SCHEMA:
        rule = f"must have schema {_SCHEMA} or older, got {version}"
        raise EvidenceError(f"{path} {rule}: a newer corrigible wrote it; install that one")
    elif version < _SCHEMA and not read_only:
        _make(file, ("attachment",))
    if not read_only:
        file.execute("COMMIT")


def _make(file: sqlite3.Connection, tables: Iterable[str]) -> None:
    for table in tables:
        file.execute(_TABLES[table])
        for number, (when, then) in enumerate(_triggers(table).items()):
            name = f"append_only_{table}_{number}"
            file.execute(f"CREATE TRIGGER {name} BEFORE {when} BEGIN {then}; END")
    file.execute(f"PRAGMA application_id={_APPLICATION}")
    file.execute(f"PRAGMA user_version={_SCHEMA}")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite says into an `EvidenceError` with the file and the way out."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        said = str(error)
        if "locked" in said:
            way = f"another process held it for {_WAIT_S:.0f} s; try again when it is done"
        elif "unable to open" in said or "readonly" in said:
            way = "make the file and its folder writable, or keep the evidence in another file"
        else:
            way = "it is no SQLite file, or a broken one; move it away and measure again"
        raise EvidenceError(f"{path}: {said}; {way}") from error
