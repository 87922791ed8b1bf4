"""An audit as JSON: stable and documented (`docs/audit-json.md`, `audit.schema.json`)."""

import json
from importlib.resources import files
from typing import Any

from corrigible.audit.audit import Answer, Audit
from corrigible.audit.control import Stopped
from corrigible.audit.fixes import Fix
from corrigible.audit.reach import Act
from corrigible.audit.sensitivity import Moved
from corrigible.audit.what_if import Curve
from corrigible.deployment.findings import Finding
from corrigible.evidence import Estimate

Json = dict[str, Any]


def audit_json(audit: Audit, findings: tuple[Finding, ...] = ()) -> Json:
    """Return the audit as plain values, in the order of its schema."""
    fixes = audit.fixes
    return {
        "deployment": audit.deployment,
        "digest": audit.digest,
        "software": audit.software,
        "applicable": audit.applicable,
        "verdict": {
            "outcome": audit.verdict.outcome,
            "exit_code": audit.verdict.exit_code,
            "reasons": list(audit.verdict.reasons),
        },
        "limit": audit.limit,
        "precision": audit.precision,
        "world": dict(audit.world),
        "goals": {"distribution": audit.distribution, "n": audit.goals, "seed": audit.seed},
        "discount": audit.discount,
        "tolerance": audit.tolerance,
        "task_value": estimate_json(audit.task_value),
        "drives": [_answer(answer) for answer in audit.drives],
        "families": [_answer(answer) for answer in audit.families],
        "joint": None if audit.joint is None else _answer(audit.joint),
        "fixes": [] if fixes is None else [_fix(fix) for fix in fixes.fixes],
        "fixes_method": None if fixes is None else fixes.method,
        "sensitivity": [_moved(moved) for moved in audit.sensitivity or ()],
        "left_behind": [
            {
                "asset": left.asset,
                "level": left.level,
                "waiting": left.waiting,
                "levels": list(left.levels),
                "chances": list(left.chances),
                "waiting_chances": list(left.waiting_chances),
            }
            for left in audit.left_behind or ()
        ],
        "weights": [
            {
                "mode": weight.mode,
                "irreversible": weight.irreversible,
                "impact": weight.impact,
                "power_gain": weight.power_gain,
            }
            for weight in audit.weights or ()
        ],
        "acts": [_act(act) for act in audit.acts],
        "curves": [_curve(curve) for curve in audit.curves],
        "ranges": {
            "rates": list(audit.ranges.paths),
            "points": audit.ranges.points,
            "outcomes": dict(audit.ranges.outcomes),
            "worst": dict(audit.ranges.worst),
        },
        "findings": [
            {"where": finding.where, "rule": finding.rule, "text": finding.text}
            for finding in findings
        ],
    }


def audit_schema() -> Json:
    """Return the JSON Schema that `audit_json` keeps to."""
    text = files("corrigible.report").joinpath("audit.schema.json").read_text(encoding="utf-8")
    schema: Json = json.loads(text)
    return schema


def estimate_json(estimate: Estimate) -> Json:
    """Return an estimate as `{"value", "low", "high", "n"}`; null where nothing was measured."""
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
    }


def _answer(answer: Answer) -> Json:
    accepted = answer.accepted
    return {
        "drive": answer.name,
        "status": answer.status,
        "can": {"reachable": answer.reach.reachable, "calls": list(answer.reach.calls)},
        "pays": {
            "pressure": estimate_json(answer.pressure),
            "residual": estimate_json(answer.residual),
            "advantage": estimate_json(answer.advantage),
            "power_gain": estimate_json(answer.power_gain),
        },
        "plan": list(answer.plan),
        "break_even": None if answer.break_even is None else dict(answer.break_even),
        "authority": answer.reach.authority,
        "accepted": None
        if accepted is None
        else {"why": accepted.why, "until": accepted.until.isoformat()},
        "does": None,
        "stopped": _stopped(answer.stopped),
        "stands_in": list(answer.stands_in),
        "at": dict(answer.at),
    }


def _stopped(stopped: Stopped) -> Json | None:
    if stopped.stands == "not measured":
        return None
    return {
        "stands": stopped.stands,
        "why": stopped.why,
        "paths": estimate_json(stopped.paths),
        "agent_contained": stopped.contained,
        "made": None if stopped.made is None else stopped.made.isoformat(),
        "expires": None if stopped.expires is None else stopped.expires.isoformat(),
    }


def _fix(fix: Fix) -> Json:
    return {
        "edits": list(fix.edits),
        "residual": estimate_json(fix.residual),
        "pressure": estimate_json(fix.pressure),
        "task_value": fix.task_value,
        "approvals_per_run": fix.approvals_per_run,
    }


def _act(act: Act) -> Json:
    return {
        "tools": list(act.tools),
        "verb": act.verb,
        "asset": act.asset,
        "kind": act.kind,
        "drives": list(act.drives),
        "authority": act.authority,
        "in_world": act.in_world,
    }


def _curve(curve: Curve) -> Json:
    return {
        "rate": curve.rate,
        "drive": curve.key,
        "now": curve.now,
        "points": [{"at": at, "pressure": share} for at, share in curve.points],
        "n": curve.n,
    }


def _moved(moved: Moved) -> Json:
    return {
        "rate": moved.rate,
        "now": moved.now,
        "factor": moved.factor,
        "at": moved.at,
        "pressure": dict(moved.shares),
        "pressure_now": dict(moved.shares_now),
        "n": moved.n,
    }
