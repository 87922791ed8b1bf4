"""What is read from a file, a socket or a pipe: only errors of ours, and nothing invented."""

import asyncio
import atexit
import json
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from ledger_runs import change, entries, opened
from mcp.shared.message import SessionMessage
from small_guard import listed, manifest

from corrigible.deployment.load import parse_deployment
from corrigible.deployment.lock import lock_of, lock_text, parse_lock
from corrigible.errors import CorrigibleError, GuardError, LedgerError, ManifestError, OperatorError
from corrigible.guard.latch import EVERYTHING, Latch
from corrigible.guard.ledger_head import parse_head, read_heads
from corrigible.guard.operator import REQUESTS, checked_request
from corrigible.guard.plans import parse_plan, plan_json, plan_of
from corrigible.guard.policy import Policy
from corrigible.guard.proxy.wire import Lines, strict_parser
from corrigible.guard.strict import parse_strict
from corrigible.guard.verify import verify
from corrigible.guard.weights import ModeWeights, WeightTable, load_table, table_text
from fuzz.calls import EXAMPLES
from fuzz.mutate import changed, packed, text, unpacked, with_change
from fuzz.target import Target, require


@cache
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="corrigible-fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _from(seeds: tuple[bytes, ...], most: int = 4) -> Any:
    """Return a maker of texts that are like some others."""
    return lambda rng: changed(rng, rng.choice(seeds), seeds, most)


# -- manifests, locks, plans, tables -----------------------------------------------------------

MANIFESTS = (
    manifest().encode(),
    *(path.read_bytes() for path in sorted(EXAMPLES.glob("*/deployment.yaml"))),
)
LOCKS = (
    lock_text(lock_of([listed("files", "read", {"type": "object"})])).encode(),
    (EXAMPLES / "release-bot" / "deployment.lock").read_bytes()[:3000],
)
DIGEST = "sha256:" + "0" * 64
TABLES = (table_text(WeightTable(DIGEST, {"a.b write app": ModeWeights(0.5, 0.1, -0.2)})).encode(),)
PLANS = (
    plan_json(plan_of([("files", "read", {"path": "/x"})], planner="p", executor="e")).encode(),
)


def _checked_manifest(data: bytes) -> None:
    try:
        loaded = parse_deployment(data.decode("utf-8", "replace"), "fuzz.yaml")
    except CorrigibleError:
        return
    Policy.of(loaded.deployment, loaded.digest)


def _checked_lock(data: bytes) -> None:
    try:
        lock = parse_lock(data.decode("utf-8", "surrogateescape"))
    except ManifestError:
        return
    require(parse_lock(lock_text(lock)) == lock, "a lock is another once it is written and read")


def _checked_plan(data: bytes) -> None:
    try:
        plan = parse_plan(data, planner="p")
    except GuardError:
        return
    again = parse_plan(plan_json(plan), planner="p")
    require(again.digest == plan.digest, "a plan is another once it is written and read")
    require(1 <= len(plan.calls) <= 100, "a plan of no step, or of too many")


def _checked_table(data: bytes) -> None:
    path = _folder() / "table.json"
    path.write_bytes(data)
    try:
        table = load_table(path, DIGEST)
    except GuardError:
        return
    for weights in table.modes.values():
        facts = weights.facts().values()
        require(all(-1.1 < fact < 1.1 for fact in facts), "a weight is out of its range")


# -- the operator's requests -------------------------------------------------------------------

ASKED: tuple[dict[str, Any], ...] = (
    {"do": "status"}, {"do": "pending"}, {"do": "show", "id": "a1"},
    {"do": "approve", "id": "a1", "count": 2, "why": "fine", "by": "ann"},
    {"do": "reject", "id": "a1", "why": "no"}, {"do": "rest", "by": "ann"},
    {"do": "stop", "kind": "server", "name": "files", "why": "x", "grace_s": 1.5},
    {"do": "pause", "kind": "all"}, {"do": "resume", "by": "ann"},
    {"do": "correct", "manifest": "/x/deployment.yaml"}, {"do": "put up", "plan": {"steps": []}},
)  # fmt: skip


def _made_request(rng: Random) -> bytes:
    made: Any = dict(rng.choice(ASKED))
    for _ in range(rng.choice((1, 1, 2, 3))):
        made = with_change(rng, made, (*REQUESTS, "all", "id"))
    return packed(made)


def _checked_request(data: bytes) -> None:
    try:
        request = parse_strict(data)
    except GuardError:
        return
    try:
        found = checked_request(request)
    except OperatorError:
        return
    fields = REQUESTS[found["do"]]
    require(found.keys() <= {"do", *fields}, "a field that nobody knows")
    for name, held in found.items():
        require(not isinstance(held, bool), f"{name} is a truth value")
        require(not isinstance(held, str) or len(held) <= 4096, f"{name} is too long")


# -- the ledger --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kept:
    """A sealed ledger: its bytes, its entries, its heads and its key."""

    raw: bytes
    rows: list[Any]
    heads: tuple[Any, ...]
    key: Any


@cache
def _kept() -> Kept:
    folder = _folder() / "whole"
    folder.mkdir()
    heads: list[Any] = []
    for _ in range(2):
        with opened(folder, checkpoint_entries=6, witness=heads.append) as ledger:
            for number in range(8):
                ledger.append("note", {"number": number, "text": "body"}).result()
    with closing(sqlite3.connect(ledger.path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return Kept(ledger.path.read_bytes(), entries(ledger.path), tuple(heads), ledger.public_key)


_COLUMNS = ("at", "kind", "body", "prev", "digest", "seq")


def _made_edits(rng: Random) -> bytes:
    kept = _kept()
    if rng.random() < 0.5:
        flips = [[rng.randrange(len(kept.raw)), rng.randrange(1, 256)] for _ in range(4)]
        return packed({"flips": flips[: rng.randint(1, 4)], "cut": rng.choice((0, 0, 0, 4096))})
    rows = []
    for _ in range(rng.randint(1, 3)):
        entry, at = rng.choice(kept.rows), rng.randrange(len(_COLUMNS))
        held = str(getattr(entry, "text" if _COLUMNS[at] == "body" else _COLUMNS[at]))
        new = changed(rng, held.encode(), (held.encode(), b'{"entries": 3}', b"checkpoint"), 2)
        rows.append([_COLUMNS[at], entry.seq, new.decode("utf-8", "replace")])
    return packed({"rows": rows})


def _checked_ledger(data: bytes) -> None:
    kept, path = _kept(), _folder() / "copy.sqlite"
    for left in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        left.unlink(missing_ok=True)
    try:
        edits = unpacked(data)
        raw = bytearray(kept.raw)
        for at, mask in edits.get("flips", ()):
            raw[at] ^= mask
        path.write_bytes(raw[: len(raw) - edits.get("cut", 0)])
        for column, seq, new in edits.get("rows", ()):
            if column not in _COLUMNS:
                return
            change(path, (f"UPDATE entry SET {column} = ? WHERE seq = ?", (new, seq)))  # noqa: S608
    except (ValueError, TypeError, IndexError, AttributeError, sqlite3.Error):
        return
    try:
        found = verify(path, kept.heads, kept.key)
    except LedgerError:
        return
    found.text()
    if found.ok:
        require(entries(path) == kept.rows, "verify is content with other entries")


def _made_head(rng: Random) -> bytes:
    seeds = tuple(head.json().encode() for head in _kept().heads)
    return changed(rng, rng.choice(seeds), seeds, 2)


def _checked_head(data: bytes) -> None:
    given = data.decode("utf-8", "replace")
    with suppress(LedgerError):
        read_heads(given.splitlines())
    try:
        head = parse_head(given)
    except LedgerError:
        return
    require(parse_head(head.json()) == head, "a head is another once it is written and read")
    if head.signed_by(_kept().key):
        require(head in _kept().heads, "a head passes that was never signed")


# -- the latch ---------------------------------------------------------------------------------


@cache
def _latch() -> tuple[Latch, Path, bytes]:
    path = _folder() / "latch"
    latch = Latch.create(path)
    latch.stop(EVERYTHING, "for good", "ann")
    return latch, path, path.read_bytes()


def _made_latch(rng: Random) -> bytes:
    seed = _latch()[2]
    return changed(rng, seed, (seed,), 3)


def _checked_latch(data: bytes) -> None:
    _, path, _ = _latch()
    path.write_bytes(data)
    state = Latch(path).state()
    standing = state.on("files", "read", "1", "agent", ())
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        require(standing == "stopped", "a latch that is no JSON does not stop")
        return
    if standing != "stopped":
        require(isinstance(value, dict) and state.readable, "a latch of no form does not stop")
        require(b"all" not in data or b"stopped" not in data or _says_less(value), "it is let go")


def _says_less(value: dict[str, Any]) -> bool:
    """Whether the file itself no longer holds that all is stopped."""
    held = value.get("held", value.get("scopes"))
    return not any(
        isinstance(one, dict) and one.get("kind") == "all" and one.get("mode") == "stopped"
        for one in (held if isinstance(held, list) else ())
    )


# -- the proxy's wire --------------------------------------------------------------------------

LINES = (
    b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "a"}}\n',
    b'{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"arguments": {"a": 1}}}\n',
    b'{"jsonrpc": "2.0", "method": "notifications/initialized"}\n',
    b'{"jsonrpc": "2.0", "id": "x", "result": {}}\n',
    b'{"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "m"}}\n[]\n\n{}\n',
)


@cache
def _runner() -> asyncio.Runner:
    runner = asyncio.Runner()
    atexit.register(runner.close)
    return runner


async def _read_whole(data: bytes) -> None:
    chunks = [data[at : at + 50] for at in range(0, len(data), 50)]
    answers: list[SessionMessage] = []

    async def read() -> bytes:
        return chunks.pop(0) if chunks else b""

    async def answer(message: SessionMessage) -> None:
        answers.append(message)

    lines = Lines(read, strict_parser(answer), 2000)
    messages = [message async for message in lines]
    require(all(isinstance(one, SessionMessage) for one in messages), "no message, but handed on")
    for one in messages:
        json.loads(one.message.model_dump_json(by_alias=True, exclude_unset=True))  # type: ignore[union-attr]
    for told in answers:
        json.loads(told.message.model_dump_json(by_alias=True))


def _checked_wire(data: bytes) -> None:
    _runner().run(_read_whole(data))


def _made_manifest(rng: Random) -> bytes:
    """A manifest's text after one change of a value, so that more of it is still a manifest."""
    seed = rng.choice(MANIFESTS)
    if rng.random() < 0.5:
        return changed(rng, seed, MANIFESTS, 2)
    lines = seed.split(b"\n")
    at = rng.randrange(len(lines))
    key, colon, rest = lines[at].partition(b":")
    put = json.dumps(text(rng)).encode() if rng.random() < 0.7 else rest * 2
    lines[at] = key + colon + b" " + put
    return b"\n".join(lines)


TARGETS = (
    Target("manifest", _made_manifest, _checked_manifest),
    Target("lock", _from(LOCKS), _checked_lock),
    Target("plan", _from(PLANS), _checked_plan),
    Target("weights", _from(TABLES), _checked_table),
    Target("operator", _made_request, _checked_request),
    Target("ledger-head", _made_head, _checked_head),
    Target("ledger-verify", _made_edits, _checked_ledger),
    Target("latch", _made_latch, _checked_latch),
    Target("wire", _from(LINES), _checked_wire),
)
