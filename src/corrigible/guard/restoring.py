"""What a ledger says of the run that goes on: budgets used, levels reached, ends unknown.

A restart forgets nothing that a call may have done.  It forgets every approval: what waited or
was approved is asked again.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from corrigible.deployment.records import Deployment
from corrigible.errors import LedgerError
from corrigible.guard.budgets import Budgets
from corrigible.guard.call import Call, DecidedEffect, Decision
from corrigible.guard.gate import UNTOLD, Past
from corrigible.guard.ledger import Ledger
from corrigible.guard.seen import Seen

RUN = "run"
"""The key of a `note` that begins a new run: budgets count from there."""


def begin_run(ledger: Ledger, *, by: str) -> None:
    """Begin a new run: what was used before counts no more.

    Raises:
        LedgerError: the ledger cannot keep it.
    """
    ledger.append("note", {RUN: "begins", "by": by}, durable=True).result()


def past_of(ledger: Ledger, deployment: Deployment) -> Past:
    """Return what the run has done so far, and give every unfinished call an end: unknown.

    Raises:
        LedgerError: the ledger cannot be read or written, or an intent is not one of ours.
    """
    seen, used = Seen.start(deployment), dict[str, float]()
    running: dict[str, str] = {}  # by call id: the digest of the call
    unknown: set[str] = set()
    again = set[str]()  # calls that try again what has an unknown end
    began = ""
    for entry in ledger.entries(kinds={"intent", "outcome", "note"}):
        body = entry.body
        try:
            if entry.kind == "note":
                if RUN in body:
                    seen, used, began = Seen.start(deployment), {}, ""
            elif entry.kind == "intent":
                began = began or entry.at
                seen = seen_after(seen, deployment, body)
                for name, amount in body["uses"].items():
                    used[name] = used.get(name, 0.0) + float(amount)
                running[body["call_id"]] = body["call"]
                if body["call"] in unknown:
                    unknown.discard(body["call"])
                    again.add(body["call_id"])
            else:
                call = running.pop(body["call_id"], None)
                void = body["state"] == "not dispatched" and body["call_id"] in again
                if call is not None and (body["state"] in UNTOLD or void):
                    unknown.add(call)
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"{ledger.path}: entry {entry.seq} cannot be read: {error}") from None
    for call_id, call in running.items():
        unknown.add(call)
        ended = {"call_id": call_id, "state": "unknown", "result": "the guard ended", "took_s": 0.0}
        ledger.append("outcome", ended, durable=False).result()
    budgets = Budgets(deployment.budgets)
    budgets.restore(used, _hours_since(began))
    return Past(seen, budgets, unknown)


def seen_after(seen: Seen, deployment: Deployment, body: Mapping[str, Any]) -> Seen:
    """Return what may hold after a call of which the ledger has the intent.

    Raises:
        KeyError, TypeError, ValueError: the body is no intent's.
    """
    effects = tuple(
        DecidedEffect(verb, asset, deployment.assets[asset].kind, "allow", "")
        for verb, asset, _ in body["effects"]
        if asset in deployment.assets
    )
    call = Call(body["server"], body["tool"], body["arguments"])
    return seen.after(deployment, Decision("allow", "", "", effects=effects), call)


def _hours_since(began: str) -> float:
    if not began:
        return 0.0
    passed = datetime.now(UTC) - datetime.fromisoformat(began)
    return max(0.0, passed.total_seconds() / 3600)
