"""The ledger as text: its last lines for people, every entry as JSON lines for programs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from corrigible.deployment.listing import plain
from corrigible.guard.ledger_entry import Entry
from corrigible.guard.ledger_file import reading, rows, told
from corrigible.guard.ledger_head import head_of

_FIRST = ("server", "tool", "state", "rule", "reason", "mode", "approved", "why", "by", "sealed")
_LEFT_OUT = frozenset({"frontier", "signature", "public_key"})
_LONGEST = 160


def tail(path: Path, count: int = 20) -> tuple[str, ...]:
    """Return the last `count` entries, one line each, safe to print on a terminal.

    They are shown as they stand in the file: `verify` says whether they are what was written.

    Raises:
        LedgerError: the file cannot be read.
    """
    with reading(path) as file, told(path):
        last = file.execute("SELECT coalesce(max(seq), 0) FROM entry").fetchone()[0]
    return tuple(entry_line(entry) for entry in rows(path, first=last - count + 1))


def entry_line(entry: Entry) -> str:
    """Return one entry as one line: number, moment, kind, and what it says."""
    try:
        body = entry.body
        said = _said(body) if isinstance(body, dict) else repr(body)
    except (ValueError, RecursionError):
        said = f"unreadable: {entry.text}"
    when = plain(str(entry.at)[:19].replace("T", " "), 20)
    return f"{entry.seq:>7}  {when}  {plain(entry.kind, 12):<10}  {plain(said, _LONGEST)}".rstrip()


def export(path: Path, after: int = 0) -> Iterator[str]:
    """Return every entry after number `after` as one line of JSON, its digest with it.

    Raises:
        LedgerError: (while reading) the file cannot be read.
    """
    return (entry.json() for entry in rows(path, first=after + 1))


def export_heads(path: Path) -> Iterator[str]:
    """Return every signed head in the ledger as one line of JSON, oldest first.

    Raises:
        LedgerError: (while reading) the file cannot be read, or a checkpoint holds no head.
    """
    return (head_of(entry).json() for entry in rows(path, kinds=("checkpoint",)))


def _said(body: Mapping[str, Any]) -> str:
    order = [name for name in _FIRST if name in body]
    order += [name for name in body if name not in _FIRST and name not in _LEFT_OUT]
    return ", ".join(f"{name} {body[name]}" for name in order if body[name] not in ("", None))
