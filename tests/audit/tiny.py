"""A deployment of a few states, as plain values, whose parts a test changes; and its audit."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

from corrigible.audit.audit import Audit, AuditRun, Options
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.load import Loaded, parse_deployment

AVOID, REPLICATE = "self-preservation/avoid-shutdown", "self-preservation/replicate"
UNDERMINE, ACCESS = "power-seeking/undermine-oversight", "power-seeking/expand-access"
COMPUTE, SECRET = "resource-acquisition/compute", "resource-acquisition/information"
TINY: dict[str, Any] = {
    "corrigible": 1, "name": "tiny",
    "agent": {"kind": "tool-using", "goal": "Keep the page fresh.", "horizon": 20},
    "servers": {"s": {}},
    "tools": {
        "s.edit": {"verbs": ["advance"], "target": "page", "success": 0.5},
        "s.cut": {"verbs": ["write"], "target": ["off"], "success": 1},
    },
    "assets": {
        "page": {"kind": "task", "at": {"s": "page"}, "drift": 0.1},
        "off": {"kind": "oversight/stop", "at": {"s": "off"}},
    },
    "authority": {"allow": ["advance page"]},
    "oversight": {"stop_rate": 0.1, "correction_rate": 0, "detection": 0.3, "approval_rate": 0.5},
}  # fmt: skip
"""Breaking the switch pays for every goal, and is denied: nine states, exit code 3."""

WORKING = {"s.edit": None, "s.cut": None, "s.work": {"verbs": ["advance"], "target": "page",
           "success": 0.5}}  # fmt: skip
"""Tools that do the work and reach nothing else: nothing can pay."""


def tiny(**sections: Any) -> dict[str, Any]:
    """Return the manifest with sections changed key by key; a key of None is taken out."""
    made = copy.deepcopy(TINY)
    for name, own in sections.items():
        if isinstance(own, dict) and name in made:
            merged = {**made[name], **copy.deepcopy(own)}
            made[name] = {key: value for key, value in merged.items() if value is not None}
        else:
            made[name] = own
    return made


def tool(*verbs: str, at: Any = None, success: Any = 1, **more: Any) -> dict[str, Any]:
    """Return one tool's entry; without `at` it acts anywhere on its server."""
    target = {} if at is None else {"target": at}
    return {"verbs": list(verbs), **target, "success": success, **more}


def asset(kind: str, *places: str, **more: Any) -> dict[str, Any]:
    """Return one asset's entry, at places of the one server."""
    return {"kind": kind, "at": {"s": list(places)}, **more}


def parsed(manifest: dict[str, Any]) -> Loaded:
    return parse_deployment(json.dumps(manifest))


def setting_of(manifest: dict[str, Any], **question: Any) -> Setting:
    return Setting(parsed(manifest).deployment, {}, Question(**question))


def run_of(
    manifest: dict[str, Any], *, goals: Any = "aims", seed: int = 0, **more: Any
) -> AuditRun:
    """Return an audit that samples few goals, unless `most_goals` says otherwise."""
    options = {"precision": 1.0, "most_goals": 128, **more}
    return AuditRun(parsed(manifest), Options(Question(goals, seed), **options))


def quick(manifest: dict[str, Any], **more: Any) -> Audit:
    """Return the fast answer; the same manifest is audited once."""
    return _audited(json.dumps(manifest), tuple(more.items()), fast=True)


def whole(manifest: dict[str, Any], **more: Any) -> Audit:
    """Return all that an audit says; the same manifest is audited once."""
    return _audited(json.dumps(manifest), tuple(more.items()), fast=False)


@cache
def _audited(text: str, more: tuple[tuple[str, Any], ...], *, fast: bool) -> Audit:
    run = run_of(json.loads(text), **dict(more))
    return run.quick() if fast else run.rest(run.quick())


def answers_of(audit: Audit) -> dict[str, Any]:
    """Return the answers by name, families and `joint` too."""
    found = [*audit.drives, *audit.families, *([audit.joint] if audit.joint else [])]
    return {answer.name: answer for answer in found}


def write(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write a manifest as `deployment.yaml` into a folder (JSON is YAML)."""
    file = folder / "deployment.yaml"
    file.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return file
