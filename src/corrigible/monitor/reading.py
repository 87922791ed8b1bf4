"""Transcripts out of whatever a run was written in, one at a time.

    for found in read_transcripts(Path("logs")):
        if isinstance(found, Bad):
            print(found)                      # file:line and the reason
        else:
            for event in found.events: ...    # before the next one is asked for

What cannot be read is a `Bad`, never an exception and never silence.
"""

import stat
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.detect import FORMATS, READERS, format_of
from corrigible.monitor.formats.inspect_logs import inspect_runs
from corrigible.monitor.formats.ledgers import ledger_file_runs
from corrigible.monitor.formats.lines import Placed, Records, records_of
from corrigible.monitor.transcript import Bad, Transcript

SUFFIXES = (".json", ".jsonl", ".ndjson", ".eval", ".sqlite")
"""Of a folder's files, those that are read; one that is named itself is read whatever its name."""

_SQLITE, _ZIP = b"SQLite format 3\0", b"PK\x03\x04"
_LOOKED_AT = 20
"""Records that are looked at to tell the form."""
_FEW = 3
"""Bad records that are named where a file holds nothing else."""


def read_transcripts(path: Path, *, format: str | None = None) -> Iterator[Transcript | Bad]:  # noqa: A002  (the option's name)
    """Yield the runs in a file, or in all files of a folder, and whatever of them cannot be read.

    A transcript's events may be read once, before the next one is asked for; its bad records
    come right after it.  A file's form is told by its content; `format` forces it.  Memory: one
    record, or one run where a record holds one (a file that is one JSON text is read whole, up to
    256 MiB); of OpenTelemetry's spans, those of the traces that are open, up to 64 million
    characters.

    Args:
        path: a file, or a folder that is gone through in the order of its names; links to
            folders are not followed.
        format: one of `FORMATS`.

    Raises:
        TranscriptError: there is no such format.
    """
    if format is not None and format not in FORMATS:
        raise TranscriptError(f"format: must be one of {', '.join(FORMATS)}; got {format!r:.80}")
    return _read(path, format)


def _read(path: Path, forced: str | None) -> Iterator[Transcript | Bad]:
    for file in _files(path):
        if isinstance(file, Bad):
            yield file
            continue
        try:
            yield from _read_file(file, forced)
        except OSError as error:
            yield Bad(str(file), 0, f"file: cannot be read: {error.strerror or error}")


def _files(path: Path) -> Iterator[Path | Bad]:
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        yield Bad(
            str(path), 0, f"file: cannot be read: {getattr(error, 'strerror', None) or error}"
        )
        return
    if stat.S_ISREG(mode):
        yield path
    elif stat.S_ISDIR(mode):
        found = False
        for file in _inside(path):
            found = True
            yield file
        if not found:
            yield Bad(str(path), 0, f"file: the folder holds no {', '.join(SUFFIXES)}")
    else:
        yield Bad(str(path), 0, "file: must be a file or a folder")


def _inside(folder: Path) -> Iterator[Path | Bad]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield Bad(str(folder), 0, f"file: cannot be read: {error.strerror or error}")
        return
    if (ledger := folder / "ledger.sqlite") in entries:
        yield from _files(ledger)  # a guard's state: what else lies there is no transcript
        return
    for entry in entries:
        if entry.is_dir() and not entry.is_symlink():
            yield from _inside(entry)
        elif entry.suffix.lower() in SUFFIXES:
            yield from _files(entry)


def _read_file(path: Path, forced: str | None) -> Iterator[Transcript | Bad]:
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        yield Bad(str(path), 0, "empty: the file holds nothing")
    elif start == _SQLITE and forced in {None, "ledger"}:
        yield from ledger_file_runs(path)
    elif forced == "inspect" or (start.startswith(_ZIP) and forced is None):
        yield from inspect_runs(path)
    else:
        yield from _read_records(path, forced)


def _read_records(path: Path, forced: str | None) -> Iterator[Transcript | Bad]:
    records = records_of(path)
    ahead: list[Placed | Bad] = []
    found = forced
    for record in islice(records, _LOOKED_AT):
        ahead.append(record)
        if isinstance(record, Placed) and (found := forced or format_of(record.value)):
            break
    if found == "inspect":
        yield from inspect_runs(path)
        return
    bad = [record for record in ahead if isinstance(record, Bad)]
    good = [record for record in ahead if isinstance(record, Placed)]
    if found is None or not good:
        yield from _not_told(str(path), bad, some=bool(good))
        return
    every: Records = chain(bad, good[1:], records)
    yield from READERS[found](good[0], every, str(path))


def _not_told(source: str, bad: list[Bad], *, some: bool) -> Iterator[Bad]:
    """Yield why the form of a file could not be told; `some`: some records of it are JSON."""
    known = f"nothing here is of a form that is known ({', '.join(FORMATS)})"
    if some:
        yield Bad(source, 0, f"format: {known}; `--format` forces one")
    elif len(bad) > _FEW:
        yield Bad(
            source, 0, f"format: none of the first {len(bad)} records can be read ({bad[0].why})"
        )
    elif bad:
        yield from bad
    else:
        yield Bad(source, 0, "empty: the file holds no record")
