"""The store: the records of one deployment and what they rest on, in one file that only grows."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from corrigible.errors import EvidenceError
from corrigible.evidence.attachments import Attachment
from corrigible.evidence.record import EvidenceKind, Record, parse_record, record_json
from corrigible.evidence.sqlite_file import connected, prepare, told, write_ahead


def store_path(manifest: Path) -> Path:
    """Return where a manifest's evidence is kept: beside it, `deployment.evidence.sqlite`."""
    return manifest.with_suffix(".evidence.sqlite")


@dataclass(frozen=True)
class Reading:
    """All that a store holds: the records that are sound, and for each other row what is wrong."""

    records: tuple[Record, ...]
    broken: Mapping[str, str]


class EvidenceStore:
    """The records and attachments of one deployment, in one SQLite file; a context manager.

    Both are added and never changed.  Every reading checks every record against its id, and
    each attachment that it reads against its digest, so that no changed one can hide behind a
    filter; a deleted one leaves no trace here.  Several processes may write at once.  What was
    added is on the disk when `add` returns.  One store object belongs to one thread.

    Args:
        path: the file; made where there is none, unless `read_only`.
        read_only: never write: also for a file in a folder that cannot be written.

    Raises:
        EvidenceError: (on entering) the file is no evidence store, was written by a newer
            corrigible, or cannot be opened; (on reading) a record was changed, and its id.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._open: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        if self._open is not None:
            raise EvidenceError(f"{self.path} is open already; use one store in one `with`")
        with told(self.path):
            self._open = connected(self.path, self._read_only)
            try:
                prepare(self._open, self.path, self._read_only)
                if not self._read_only:
                    write_ahead(self._open)  # not before the file is known to be ours
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def add(self, record: Record) -> None:
        """Add one record, as `add_all` does; one that is there already is left alone."""
        self.add_all([record])

    def add_all(self, records: Iterable[Record], attachments: Iterable[Attachment] = ()) -> int:
        """Add records and what they rest on, all or none; return how many records are new.

        Raises:
            EvidenceError: the file cannot be written; nothing was added.
        """
        rows = [(record.id, record_json(record)) for record in records]
        bodies = [(one.digest, one.kind, one.body) for one in attachments]
        with self._session() as file, file:  # commits at its end, or rolls back
            file.execute("BEGIN IMMEDIATE")
            file.executemany(_ATTACH, bodies)
            before = file.total_changes
            file.executemany("INSERT INTO record (id, body) VALUES (?, ?)", rows)
            return file.total_changes - before

    def attach(self, kind: str, body: str) -> str:
        """Add one attachment; return its digest.  One that is there already is left alone."""
        attachment = Attachment(kind, body)
        self.add_all([], [attachment])
        return attachment.digest

    def records(
        self,
        *,
        kind: EvidenceKind | None = None,
        drive: str | None = None,
        measure: str | None = None,
    ) -> tuple[Record, ...]:
        """Return the records that match every filter given, in the order they were added.

        Raises:
            EvidenceError: some record in the file, matching or not, was changed.
        """
        return tuple(
            record
            for record in [_checked(self.path, id_, body) for id_, body in self._rows()]
            if kind in (None, record.kind)
            and drive in (None, record.drive)
            and measure in (None, record.measure)
        )

    def read(self) -> Reading:
        """Return all sound records in the order they were added, and why each other row is not."""
        records: list[Record] = []
        broken: dict[str, str] = {}
        for id_, body in self._rows():
            try:
                records.append(_checked(self.path, id_, body))
            except EvidenceError as error:
                broken[str(id_)] = str(error)
        return Reading(tuple(records), broken)

    def latest(
        self,
        *,
        kind: EvidenceKind | None = None,
        drive: str | None = None,
        measure: str | None = None,
    ) -> Record | None:
        """Return the one of `records` that was made last (of equals, added last), or None."""
        found = self.records(kind=kind, drive=drive, measure=measure)
        return max(reversed(found), key=lambda record: record.made, default=None)

    def attachment(self, digest: str) -> Attachment:
        """Return one attachment.

        Raises:
            EvidenceError: there is none of that digest, or it was changed.
        """
        with self._session() as file:
            row = self._attached(file, "SELECT digest, kind, body FROM attachment WHERE digest = ?",
                                 digest)  # fmt: skip
        if not row:
            gone = "got none: it was never attached, or was deleted"
            raise EvidenceError(f"{self.path} must hold the attachment {digest}, {gone}")
        return _sound(self.path, *row[0])

    def attachments(self, *kinds: str) -> tuple[Attachment, ...]:
        """Return every attachment of some kinds, in the order they were added.

        Raises:
            EvidenceError: one of them was changed.
        """
        query = (
            "SELECT digest, kind, body FROM attachment "
            "WHERE instr(?, ' ' || kind || ' ') ORDER BY seq"
        )
        with self._session() as file:
            rows = self._attached(file, query, f" {' '.join(kinds)} ")
        return tuple(_sound(self.path, *row) for row in rows)

    def _rows(self) -> list[tuple[str, str]]:
        with self._session() as file:
            return file.execute("SELECT id, body FROM record ORDER BY seq").fetchall()

    def _attached(
        self, file: sqlite3.Connection, query: str, value: str
    ) -> list[tuple[str, str, str]]:
        has = "SELECT count(*) FROM sqlite_master WHERE name = 'attachment'"
        if not file.execute(has).fetchone()[0]:  # of an older corrigible, opened to be read
            return []
        return file.execute(query, (value,)).fetchall()

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        if self._open is None:
            raise EvidenceError(f"{self.path} is not open; use `with EvidenceStore(path) as store`")
        with told(self.path):
            yield self._open


_ATTACH = "INSERT INTO attachment (digest, kind, body) VALUES (?, ?, ?)"


def _checked(path: Path, id_: str, body: str) -> Record:
    try:
        record = parse_record(body)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: the row of record {id_}: {error}") from error
    if record.id != id_:
        raise EvidenceError(f"{path}: the row of record {id_} holds record {record.id}")
    return record


def _sound(path: Path, digest: str, kind: str, body: str) -> Attachment:
    try:
        found = Attachment(kind, body)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: the attachment {digest}: {error}") from error
    if found.digest != digest:
        changed = "was changed after it was added; measure again"
        raise EvidenceError(f"{path}: the attachment {digest} {changed}")
    return found
