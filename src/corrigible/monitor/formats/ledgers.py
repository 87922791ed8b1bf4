"""The guard's own ledger: its SQLite file, or its lines as `corrigible ledger export` prints them.

Nothing is verified here: `corrigible ledger verify` says whether it is what the guard wrote.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from corrigible.errors import LedgerError, TranscriptError
from corrigible.guard.ledger_entry import Entry
from corrigible.guard.ledger_file import rows
from corrigible.monitor.formats.lines import Placed, Records, parse
from corrigible.monitor.formats.runs import one_run
from corrigible.monitor.formats.times import moment
from corrigible.monitor.transcript import Bad, Event, EventKind, Transcript

KINDS = frozenset(
    {"intent", "outcome", "denied", "asked", "answered", "latch", "corrected", "note"}
)
_LATCH: Mapping[str, EventKind] = {"stopped": "stop", "paused": "pause", "resumed": "resume"}
_MOST_ASKED = 10_000


def ledger_file_runs(path: Path) -> Iterator[Transcript | Bad]:
    """Yield the one run of a ledger's file, read as it streams, also beside a guard that writes."""
    return one_run(_entries(path), str(path), "ledger", _Ledger().events, "", path.parent.name)


def ledger_line_runs(first: Placed, records: Records, source: str) -> Iterator[Transcript | Bad]:
    """Yield the one run of an exported ledger."""
    return one_run(chain([first], records), source, "ledger", _Ledger().events)


def _entries(path: Path) -> Records:
    seq = 0
    try:
        for entry in rows(path, kinds=KINDS):
            seq = entry.seq
            try:
                body = parse(entry.text)
            except TranscriptError as error:
                yield Bad(str(path), seq, str(error))
                continue
            yield Placed(_line(entry, body), seq, f"entry {seq}")
    except LedgerError as error:
        yield Bad(str(path), seq + 1, f"ledger: {error}")


def _line(entry: Entry, body: Any) -> dict[str, Any]:
    return {"seq": entry.seq, "at": entry.at, "kind": entry.kind, "body": body}


class _Ledger:
    """One ledger's entries, in turn."""

    def __init__(self) -> None:
        self.tools: dict[str, tuple[str, str]] = {}  # of calls without an outcome yet
        self.asked: dict[str, str] = {}  # request -> the call that was put to an operator

    def events(self, placed: Placed) -> Iterable[Event]:
        """Return the events of one entry."""
        entry = placed.value
        if not isinstance(entry, dict) or not isinstance(entry.get("body"), dict):
            raise TranscriptError("shape: an entry must be an object with a `body`")
        if not isinstance(kind := entry.get("kind"), str) or kind not in KINDS:
            return ()
        where = f"entry {entry.get('seq')}"
        at = moment(entry.get("at"))
        found = getattr(self, f"_{kind}")(entry["body"], at, where)
        return found if isinstance(found, tuple) else (found,)

    def _intent(self, body: Mapping[str, Any], at: float | None, where: str) -> Event:
        call = _call(body, at, where)
        self.asked.pop(str(body.get("approval") or ""), "")
        _keep(self.tools, call.call_id, (call.server, call.tool))
        return call

    def _outcome(self, body: Mapping[str, Any], at: float | None, where: str) -> Event:
        id_, state = str(body.get("call_id")), str(body.get("state"))
        server, tool = self.tools.pop(id_, ("", ""))
        result = body.get("result")
        text = result if isinstance(result, str) else "" if result is None else str(result)
        if state == "not dispatched":
            return Event("denied", text, server, tool, None, id_, at=at, where=where)
        failed = state != "completed"
        text = f"{state}: {text}" if failed else text
        return Event("result", text, server, tool, None, id_, failed, at, where=where)

    def _denied(self, body: Mapping[str, Any], at: float | None, where: str) -> tuple[Event, ...]:
        call = _call(body, at, where)
        return call, _like(call, "denied", f"denied by {body.get('rule')}: {body.get('reason')}")

    def _asked(self, body: Mapping[str, Any], at: float | None, where: str) -> tuple[Event, ...]:
        if "tool" not in body:  # a plan as a whole: its calls come when they are made
            return ()
        call = _call(body, at, where)
        _keep(self.asked, str(body.get("id")), call.call_id)
        return call, _like(call, "denied", "waits for an operator's approval")

    def _answered(self, body: Mapping[str, Any], at: float | None, where: str) -> Event:
        approved, id_ = body.get("approved") is True, str(body.get("id"))
        text = f"{'approved' if approved else 'rejected'} by {body.get('by')}: {body.get('why')}"
        call = self.asked.get(id_, "") if approved else self.asked.pop(id_, "")  # may count twice
        kind: EventKind = "approval" if approved else "denied"
        return Event(kind, text, call_id=call, at=at, where=where)

    def _latch(self, body: Mapping[str, Any], at: float | None, where: str) -> Event:
        kind = _LATCH.get(str(body.get("mode")))
        if kind is None:
            raise TranscriptError(f"shape: a latch must say its mode, got {body.get('mode')!r:.80}")
        text = f"{body.get('scope') or 'all'}, by {body.get('by')}: {body.get('why') or ''}"
        return Event(kind, text, at=at, where=where)

    def _corrected(self, body: Mapping[str, Any], at: float | None, where: str) -> Event:
        text = f"manifest {body.get('after')}, by {body.get('by')}: {body.get('why') or ''}"
        return Event("correction", text, at=at, where=where)

    def _note(self, body: Mapping[str, Any], at: float | None, where: str) -> tuple[Event, ...]:
        if "operator refused" not in body:
            return ()
        call = Event("call", "", "guard", "operator", {}, where, at=at, where=where)
        return call, _like(call, "denied", f"refused as operator: {body['operator refused']}")


def _call(body: Mapping[str, Any], at: float | None, where: str) -> Event:
    given = body.get("arguments")
    names = [body.get(key) for key in ("server", "tool", "call_id")]
    if not all(isinstance(name, str) for name in names):
        raise TranscriptError(
            f"shape: a call must name its server, tool and id, got {names!r:.120}"
        )
    return Event(
        "call", "", str(names[0]), str(names[1]), given if isinstance(given, dict) else None,
        str(names[2]), at=at, caller=str(body.get("caller") or ""), where=where,
    )  # fmt: skip


def _like(call: Event, kind: EventKind, text: str) -> Event:
    return Event(
        kind, text, call.server, call.tool, None, call.call_id,
        at=call.at, caller=call.caller, where=call.where,
    )  # fmt: skip


def _keep(kept: dict[str, Any], key: str, value: Any) -> None:
    if len(kept) >= _MOST_ASKED:
        kept.pop(next(iter(kept)))
    kept[key] = value
