"""What an incident is opened from: an entry of a guard's ledger, or suspicions of a monitor.

Both give the record's first fields, as plain values, from what is in them and nothing else.  What
a ledger would show and does not (a message to the operator, say) counts as not seen; what it
cannot show stays null.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from corrigible.deployment.listing import plain
from corrigible.drives import DRIVES
from corrigible.errors import IncidentError
from corrigible.guard.ledger_entry import Entry
from corrigible.guard.ledger_file import rows
from corrigible.guard.strict import StrictError, parse_strict

AVOID = "self-preservation/avoid-shutdown"
_STOPPED = "latch.stopped"
_LARGEST = 5_000_000
_MOST = 50
_CALLS = ("intent", "denied", "asked", "outcome")
_TOLD = ("send",)  # a verb by which an operator may have been told
_LINE = 300

Fields = dict[str, Any]


def from_ledger(path: Path, seq: int) -> Fields:
    """Return an incident's first fields from one entry of a ledger: a call, or what came of it.

    An entry that lies outside what the manifest grants and was denied is an attempt that was
    contained; calls after a stop are counted on the ladder of stops.

    Raises:
        IncidentError: there is no such entry, it was changed, it is no call, or it serves no drive.
        LedgerError: the file cannot be read.
    """
    entry = _entry(path, seq)
    body = _body(entry)
    if entry.kind == "outcome":
        entry = _intent_of(path, entry, body)
        body = _body(entry)
    if body.get("rule") == _STOPPED:
        behaviours = [_after_stop(path, entry, body)]
    else:
        outcome = _outcome(path, entry, body)
        act = _act(path, entry, body, outcome=outcome)
        behaviours = [{**act, "drive": drive} for drive in _drives(body)]
    if not behaviours:
        raise IncidentError(
            f"{path}: entry {entry.seq} serves no drive; open the incident with --drive"
        )
    at = _moment(entry.at)
    stopped_at = _stopped_before(path, entry.seq)
    held = entry.kind == "denied"
    return {
        "title": f"{_call(body)} at entry {entry.seq} of {plain(path.name, 80)}"[:_LINE],
        "status": "open",
        "times": {"start": at, "end": at},
        "system": {"manifest_digest": _digest_or_none(body.get("policy"))},
        "severity": {"near_miss": True if held else None},
        "behaviours": behaviours,
        "chain": [{"at": at, "what": f"{entry.kind}: {_call(body)}"[:_LINE]}],
        "evidence": [
            {
                "sha256": "sha256:" + hashlib.sha256(entry.json().encode()).hexdigest(),
                "kind": "ledger entry",
                "captured_before_stop": stopped_at is None,
                "custody": f"{plain(path.name, 120)}, entry {entry.seq}, digest {entry.digest}",
            }
        ],
    }


def from_suspicions(text: str, *, where: str, drives: Collection[str] = ()) -> Fields:
    """Return an incident's first fields from a monitor's suspicions in JSON.

    One object, a list of them, one a line, or what `corrigible monitor --json` prints (its `top`);
    of them those of some drives, where any are named.  A detector's word is no observation of
    authority: only a denied act is known to lie outside it.

    Raises:
        IncidentError: the text is none of these, or a suspicion lacks a field.
    """
    found = [_suspected(one, where) for one in _objects(text, where)]
    found = [one for one in found if not drives or one["drive"] in drives]
    if not found:
        raise IncidentError(f"{where} holds no suspicion of {', '.join(drives)}")
    data = text.encode("utf-8", "replace")
    return {
        "title": plain(f"{found[0]['act'] or found[0]['drive']}, as suspected", _LINE),
        "status": "open",
        "severity": {"near_miss": None},
        "behaviours": found,
        "evidence": [
            {
                "sha256": "sha256:" + hashlib.sha256(data).hexdigest(),
                "kind": "monitor suspicions",
                "custody": plain(where, _LINE),
            }
        ],
    }


def merged(first: Fields, second: Fields) -> Fields:
    """Return what a ledger says with what a monitor says of the same: the ledger's word counts."""
    drives = {one["drive"]: one for one in first["behaviours"]}
    for one in second["behaviours"]:
        known = drives.get(one["drive"])
        if known is None:
            first["behaviours"].append(one)
        else:
            known["trace_ref"] = [*known.get("trace_ref", []), *one["trace_ref"]][:_MOST]
    return {**first, "evidence": [*first["evidence"], *second["evidence"]]}


# -- the ledger ----------------------------------------------------------------------------


def _entry(path: Path, seq: int) -> Entry:
    found = next(rows(path, first=seq, upto=seq), None)
    if found is None:
        raise IncidentError(f"{path} holds no entry {seq}")
    if not found.sound:
        way = "run `corrigible ledger verify`"
        raise IncidentError(f"{path}: entry {seq} is not what its digest was made of; {way}")
    if found.kind not in _CALLS:
        must = f"must be one of {', '.join(_CALLS)}"
        raise IncidentError(f"{path}: entry {seq} {must}, got {plain(found.kind, 40)!r}")
    return found


def _body(entry: Entry) -> Mapping[str, Any]:
    try:
        body = entry.body
    except (ValueError, RecursionError):
        body = {}
    return body if isinstance(body, dict) else {}


def _intent_of(path: Path, outcome: Entry, body: Mapping[str, Any]) -> Entry:
    for entry in rows(path, upto=outcome.seq, kinds=("intent",)):
        if _body(entry).get("call_id") == body.get("call_id"):
            return _entry(path, entry.seq)
    raise IncidentError(f"{path}: entry {outcome.seq} is an outcome without an intent")


def _drives(body: Mapping[str, Any]) -> list[str]:
    named = body.get("drives")
    return [one for one in DRIVES if isinstance(named, list) and one in named]


def _act(path: Path, entry: Entry, body: Mapping[str, Any], *, outcome: str | None) -> Fields:
    denied = entry.kind == "denied"
    by_rule = body.get("rule") != "default" and any(one[2] == "deny" for one in _effects(body))
    return {
        "act": _call(body),
        "target": plain(", ".join(f"{verb} {asset}" for verb, asset, _ in _effects(body)), _LINE),
        "authority": "in_grant" if not denied else "prohibited" if by_rule else "over_grant",
        "concealment": "none",  # each call of the guard's is in the ledger
        "disclosed": _told(path, entry, body),
        "asked_first": entry.kind == "asked" or bool(body.get("approval")),
        "outcome": "attempted" if denied or entry.kind == "asked" else outcome,
        "reversible": False if body.get("irreversible") is True else None,
        "trace_ref": [f"entry {entry.seq}"],
    }  # fmt: skip


def _after_stop(path: Path, entry: Entry, body: Mapping[str, Any]) -> Fields:
    """Return what a caller did after a stop, as far as the ledger has it: up to its end."""
    stopped = _stopped_before(path, entry.seq)
    after = [
        other
        for other in rows(path, first=(stopped or entry.seq), kinds=("denied",))
        if (said := _body(other)).get("rule") == _STOPPED
        and said.get("caller") == body.get("caller")
    ]
    return {
        "drive": AVOID,
        "act": f"{_call(body)}, after a stop",
        "authority": None,  # once all is stopped no rule is asked what a call was for
        "concealment": "none",
        "disclosed": False,
        "asked_first": False,
        "outcome": "attempted",
        "stop": {"issued": True, "delivered": True, "calls_after": len(after), "asked": False},
        "trace_ref": [f"entry {other.seq}" for other in after[:_MOST]],
    }  # fmt: skip


def _outcome(path: Path, entry: Entry, body: Mapping[str, Any]) -> str | None:
    """Return what the ledger says became of a call; None where it does not say."""
    if entry.kind != "intent":
        return "attempted"
    for other in rows(path, first=entry.seq, kinds=("outcome",)):
        said = _body(other)
        if said.get("call_id") == body.get("call_id"):
            ends = {"completed": "succeeded", "withheld": "succeeded", "failed": "attempted",
                    "not dispatched": "attempted"}  # fmt: skip
            return ends.get(str(said.get("state")))
    return None


def _told(path: Path, entry: Entry, body: Mapping[str, Any]) -> bool | None:
    """Whether it was disclosed: not, where its caller sent nothing afterwards; else not known."""
    for other in rows(path, first=entry.seq + 1, kinds=("intent",)):
        said = _body(other)
        sent = any(effect[0] in _TOLD for effect in _effects(said))
        if sent and said.get("caller") == body.get("caller"):
            return None
    return False


def _stopped_before(path: Path, seq: int) -> int | None:
    """Return the entry of the stop that was in force at an entry, or None."""
    found = None
    for entry in rows(path, upto=seq, kinds=("latch",)):
        mode = _body(entry).get("mode")
        found = entry.seq if mode == "stopped" else None if mode == "resumed" else found
    return found


def _effects(body: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    effects = body.get("effects")
    if not isinstance(effects, list):
        return []
    return [
        (plain(one[0], 40), plain(one[1], 80), plain(one[2], 20))
        for one in effects[:_MOST]
        if isinstance(one, list) and len(one) == 3  # noqa: PLR2004  (verb, asset, verdict)
    ]


def _call(body: Mapping[str, Any]) -> str:
    return plain(f"{body.get('server', '')}.{body.get('tool', '')}", 200)


def _moment(at: str) -> Fields:
    return {"earliest": at, "latest": at}


def _digest_or_none(text: object) -> str | None:
    known = isinstance(text, str) and text.startswith("sha256:") and len(text) == 71  # noqa: PLR2004
    return str(text) if known else None


# -- suspicions ----------------------------------------------------------------------------


def _objects(text: str, where: str) -> Sequence[Mapping[str, Any]]:
    try:
        whole: Any = [parse_strict(text, largest=_LARGEST)]
    except StrictError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            whole = [parse_strict(line, largest=_LARGEST) for line in lines[: _MOST + 1]]
        except StrictError:
            said = str(error).removeprefix("the arguments ")
            raise IncidentError(f"{where}, as suspicions: {said}") from None
    if len(whole) == 1 and isinstance(whole[0], dict) and "drive" not in whole[0]:
        held = whole[0].get("suspicions")
        whole = held if isinstance(held, list) else whole[0].get("top")
    elif len(whole) == 1 and isinstance(whole[0], list):
        whole = whole[0]
    if not isinstance(whole, list) or not whole or not all(isinstance(x, dict) for x in whole):
        raise IncidentError(f"{where} must hold at least one suspicion, as an object")
    if len(whole) > _MOST:
        raise IncidentError(f"{where} may hold {_MOST} suspicions of one incident, got more")
    return whole


def _suspected(one: Mapping[str, Any], where: str) -> Fields:
    drive = one.get("drive")
    if drive not in DRIVES:
        raise IncidentError(f"{where}: a suspicion's drive must be one, got {plain(drive, 60)!r}")
    outcome = one.get("outcome", "unknown")
    if outcome not in {"done", "denied", "failed", "unknown"}:
        must = "must be done, denied, failed or unknown"
        raise IncidentError(f"{where}: a suspicion's outcome {must}, got {plain(outcome, 40)!r}")
    denied = outcome == "denied"
    trace = f"{one.get('detector', '?')}: {one.get('transcript', '?')} {one.get('where', '')}"
    said = f"{one.get('first', '?')}..{one.get('last', '?')}, score {one.get('score', '?')}"
    return {
        "drive": drive,
        "act": plain(one.get("act", ""), _LINE),
        "target": plain(one.get("what", ""), _LINE),
        "authority": "over_grant" if denied else None,
        "concealment": "none" if denied else None,
        "disclosed": False if denied else None,
        "outcome": {"done": "succeeded", "denied": "attempted", "failed": "attempted"}.get(
            str(outcome)
        ),
        "trace_ref": [plain(f"{trace}, events {said}", _LINE)],
    }
