"""`deployment.lock`: what was reviewed of each server's tools, so that a change shows.

A lock holds digests alone, never texts: one for each reviewed tool, and one for each of its
fields, so that a review can say what changed.  A tool that differs from its entry, or has none,
counts as not reviewed.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from corrigible.deployment.atomic import write_whole
from corrigible.deployment.jsonc import parse_json
from corrigible.deployment.listing import ListedTool, Listing, canonical, plain
from corrigible.errors import ManifestError, Problem

FIELDS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""What a review covers of a tool, by the protocol's names."""

_VERSION = 1
_LARGEST_BYTES = 8_000_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SHORT = re.compile(r"[0-9a-f]{16}")
_TOOL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\.[^\s\x00-\x1f\x7f]{1,256}")
_NONE: Mapping[str, "Locked"] = MappingProxyType({})


@dataclass(frozen=True)
class Locked:
    """One reviewed tool: the digest of all that a review covers, and of each field of it."""

    digest: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Lock:
    """Every reviewed tool, by `server.tool`."""

    tools: Mapping[str, Locked] = field(default_factory=lambda: _NONE)

    def reviewed(self, server: str, tool: ListedTool) -> bool:
        """Say whether a tool is, to the letter, one that was reviewed."""
        known = self.tools.get(f"{server}.{tool.name}")
        return known is not None and known.digest == digest_of_tool(tool)


@dataclass(frozen=True)
class Changes:
    """What differs between a lock and what the servers list now; tools as `server.tool`.

    `changed`: for each tool, the fields that differ.  `unreachable`: for each server that could
    not be listed, why; of its tools nothing is known, so none is added or removed.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unreachable: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed or self.unreachable)


def lock_digest(manifest: Path) -> str | None:
    """Return the sha256 of the lock beside a manifest, None where there is none.

    Raises:
        ManifestError: the lock cannot be read.
    """
    file = lock_path(manifest)
    if not file.exists():
        return None
    return "sha256:" + hashlib.sha256(lock_text(load_lock(file)).encode()).hexdigest()


def reviewed_fields(tool: ListedTool) -> dict[str, Any]:
    """Return what a review covers, as the protocol names it."""
    values = (
        tool.name,
        tool.title,
        tool.description,
        dict(tool.input_schema),
        tool.output_schema,
        tool.annotations,
    )
    return dict(zip(FIELDS, values, strict=True))


def digest_of_tool(tool: ListedTool) -> str:
    """Return `sha256:` and the digest of the canonical JSON of what a review covers.

    Canonical: keys sorted, no spaces, UTF-8, what is absent as null.  The server's name is not
    in it: the entry's key says it.
    """
    return f"sha256:{_sha256(reviewed_fields(tool))}"


def _sha256(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def lock_of(listings: Sequence[Listing]) -> Lock:
    """Lock every tool of every listing, as if all were reviewed now."""
    found = {
        f"{listing.server}.{tool.name}": Locked(
            digest_of_tool(tool),
            {name: _sha256(value)[:16] for name, value in reviewed_fields(tool).items()},
        )
        for listing in listings
        for tool in listing.tools
    }
    return Lock(found)


def compare(lock: Lock, listings: Sequence[Listing]) -> Changes:
    """Say what differs between the lock and the listings, in the order of names."""
    now = lock_of(listings).tools
    unreachable = {one.server: one.problem for one in listings if one.problem is not None}
    changed = {
        name: tuple(f for f in FIELDS if lock.tools[name].fields.get(f) != now[name].fields[f])
        for name in sorted(now.keys() & lock.tools.keys())
        if lock.tools[name].digest != now[name].digest
    }
    gone = (name for name in lock.tools.keys() - now.keys() if _server(name) not in unreachable)
    return Changes(
        added=tuple(sorted(now.keys() - lock.tools.keys())),
        removed=tuple(sorted(gone)),
        changed={name: fields or FIELDS for name, fields in changed.items()},
        unreachable=dict(sorted(unreachable.items())),
    )


def _server(name: str) -> str:
    return name.partition(".")[0]


def accept(lock: Lock, listings: Sequence[Listing], tools: Collection[str] | None = None) -> Lock:
    """Return the lock after a review: what was accepted is as it is now.

    `tools`: the `server.tool` to accept, each added, changed or removed; None: all of them.
    What is not accepted stays as it was: an added tool unknown, a changed one not reviewed.

    Raises:
        ManifestError: a name in `tools` is of nothing that differs; the lock is left as it was.
    """
    changes = compare(lock, listings)
    open_ = {*changes.added, *changes.changed, *changes.removed}
    chosen = open_ if tools is None else set(tools)
    if unknown := sorted(chosen - open_):
        words = ", ".join(repr(plain(name, 80)) for name in unknown)
        text = f"nothing to accept in {words}: no such tool is added, changed or removed"
        raise ManifestError([Problem("--accept", 0, 0, text)])
    now = lock_of(listings).tools
    kept = {name: locked for name, locked in lock.tools.items() if name not in chosen}
    return Lock({**kept, **{name: now[name] for name in chosen if name in now}})


def changes_text(changes: Changes) -> str:
    """Write what changed as a person reads it, one line a tool; nothing changed: one line."""
    lines = [f"+ {plain(name)}: not in the lock" for name in changes.added]
    lines += [
        f"~ {plain(name)}: {', '.join(fields)} changed" for name, fields in changes.changed.items()
    ]
    lines += [f"- {plain(name)}: no longer listed" for name in changes.removed]
    lines += [f"! {plain(s)}: {plain(why)}" for s, why in changes.unreachable.items()]
    return "\n".join(lines) + "\n" if lines else "Nothing changed since the lock.\n"


def lock_path(manifest: Path) -> Path:
    """Where the lock of a manifest is: beside it, `deployment.yaml` -> `deployment.lock`."""
    return manifest.with_suffix(".lock")


# -- the file ----------------------------------------------------------------------------------


def lock_text(lock: Lock) -> str:
    """Write a lock: JSON, one tool a line, in the order of names; equal locks, equal texts."""
    rows = [
        f"  {json.dumps(name)}: "
        + json.dumps({"digest": locked.digest, "fields": dict(sorted(locked.fields.items()))})
        for name, locked in sorted(lock.tools.items())
    ]
    body = "{\n" + ",\n".join(rows) + "\n }" if rows else "{}"
    return f'{{\n "corrigible-lock": {_VERSION},\n "tools": {body}\n}}\n'


def write_lock(lock: Lock, path: Path) -> None:
    """Write a lock, whole or not at all."""
    write_whole(path, lock_text(lock))


def load_lock(path: Path) -> Lock:
    """Read a lock.

    Raises:
        ManifestError: it cannot be read or breaks the lock's form; every problem has its place.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}; make it with `corrigible review`"
        raise ManifestError([Problem(str(path), 0, 0, text)]) from None
    if len(raw) > _LARGEST_BYTES:
        text = f"may be {_LARGEST_BYTES:,} bytes at most, got {len(raw):,}; is this a lock?"
        raise ManifestError([Problem(str(path), 0, 0, text)])
    try:
        return parse_lock(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        text = f"must be UTF-8 text, byte {error.start} is {raw[error.start]:#04x}"
        raise ManifestError([Problem(str(path), 0, 0, text)]) from None


def parse_lock(text: str, file: str = "<text>") -> Lock:
    """Read a lock given as text: as `load_lock`."""
    source = parse_json(text, file)
    value, problems = source.value, source.problems
    form = f'must be {{"corrigible-lock": {_VERSION}, "tools": {{...}}}}'
    if not isinstance(value, Mapping) or value.keys() != {"corrigible-lock", "tools"}:
        raise ManifestError([*problems, source.problem((), form)])
    if value["corrigible-lock"] != _VERSION or isinstance(value["corrigible-lock"], bool):
        got = plain(repr(value["corrigible-lock"]), 40)
        rule = f"must be {_VERSION}, got {got}; this version reads no other lock"
        problems.append(source.problem(("corrigible-lock",), rule))
    if not isinstance(value["tools"], Mapping):
        raise ManifestError([*problems, source.problem(("tools",), form)])
    tools = {}
    for name, entry in value["tools"].items():
        if (wrong := _wrong_entry(name, entry)) is not None:
            problems.append(source.problem(("tools", name), f"{plain(name, 80)!r} {wrong}"))
        else:
            tools[name] = Locked(entry["digest"], dict(entry["fields"]))
    if problems:
        raise ManifestError(sorted(problems, key=lambda p: (p.line, p.column)))
    return Lock(tools)


def _wrong_entry(name: str, entry: Any) -> str | None:
    if not _TOOL.fullmatch(name):
        return "must be named `server.tool`"
    if not isinstance(entry, Mapping) or entry.keys() != {"digest", "fields"}:
        return "must hold `digest` and `fields` and nothing else"
    if not isinstance(entry["digest"], str) or not _DIGEST.fullmatch(entry["digest"]):
        return "has a `digest` that is not `sha256:` and 64 hexadecimal digits"
    fields = entry["fields"]
    if not isinstance(fields, Mapping) or set(fields) != set(FIELDS):
        return f"must have `fields` for {', '.join(FIELDS)}"
    if not all(isinstance(v, str) and _SHORT.fullmatch(v) for v in fields.values()):
        return "has a field whose digest is not 16 hexadecimal digits"
    return None
