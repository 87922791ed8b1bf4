"""What the ledger keeps of calls: one body a kind of entry, secrets redacted, texts bounded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from corrigible.guard.call import Call, Decision

Redact = Callable[[Any], Any]
State = Literal["go", "denied", "pending"]
Ending = Literal["completed", "failed", "cancelled", "unknown", "withheld", "not dispatched"]


@dataclass(frozen=True)
class Admission:
    """What became of a call at the door.

    `go`: its intent is in the ledger, and `Gate.dispatch` may let it out.  `pending`: an
    operator is asked, `pending` is what they answer ("" while the guard is paused).  `message`
    is what the agent is told where it is not `go`.
    """

    id: str
    call: Call
    decision: Decision
    state: State
    message: str = ""
    pending: str = ""
    approval: str = ""
    epoch: int = 0


def intent_body(admission: Admission, redact: Redact) -> dict[str, Any]:
    """Return the body of an `intent`: what is about to be dispatched, and on whose word."""
    decision = admission.decision
    return _call_body(admission, redact) | {
        "verdict": decision.verdict,
        "effects": [[e.verb, e.asset, e.verdict] for e in decision.effects],
        "uses": dict(decision.uses),
        "irreversible": decision.irreversible,
        "rests_on": list(decision.rests_on),
        "epoch": admission.epoch,
        "approval": admission.approval,
    }


def denied_body(admission: Admission, redact: Redact) -> dict[str, Any]:
    """Return the body of a `denied`: what was tried, and the drives that it would have served."""
    decision = admission.decision
    return _call_body(admission, redact) | {
        "reason": redact(decision.reason),
        "effects": [[e.verb, e.asset, e.verdict] for e in decision.effects],
    }


def _call_body(admission: Admission, redact: Redact) -> dict[str, Any]:
    call, decision = admission.call, admission.decision
    return {
        "call_id": admission.id,
        "call": call.digest,
        "server": redact(call.server),
        "tool": redact(call.tool),
        "arguments": redact(dict(call.arguments)),
        "caller": call.caller,
        "lineage": list(call.lineage),
        "rule": decision.rule,
        "drives": list(decision.drives),
        "policy": decision.policy,
    }


def outcome_body(
    admission: Admission, ending: Ending, result: Any, *, took_s: float, redact: Redact
) -> dict[str, Any]:
    """Return the body of an `outcome`: how the call with this intent ended."""
    return {
        "call_id": admission.id,
        "state": ending,
        "result": redact(result),
        "took_s": round(took_s, 6),
    }


def told(decision: Decision) -> str:
    """Return what the agent is told of a denied call: the rule, why, and what would lift it."""
    lifts = f"  What would lift it: {decision.lifts}" if decision.lifts else ""
    return f"denied by {decision.rule}: {decision.reason}{lifts}"
