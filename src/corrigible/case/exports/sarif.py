"""The case as SARIF 2.1.0: what keeps it from being supported, each at a line of a file.

Code hosts refuse a whole file if one result has no place in the repository, so every result has
one: the gate's line where a gates' file states it, else the line of the manifest that it is about.
The ids of rules never change their meaning; a result's fingerprint is its rule and its node, so
that one finding stays one finding while its numbers move.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import corrigible
from corrigible.case.leaves import sentence
from corrigible.case.nodes import Case, Node
from corrigible.deployment.source import Path_

RULES: dict[str, tuple[str, str, str]] = {
    "gate-failed": ("error", "8.5", "A gate fails: what it limits is surely past its limit."),
    "gate-inconclusive": ("warning", "5.0", "A gate could not tell: there is too little evidence."),
    "gate-invalid": ("warning", "6.0", "A gate could not be read: its evidence cannot be used."),
    "goal-not-supported": (
        "warning",
        "5.5",
        "A goal that the whole case rests on is not supported.",
    ),
    "doubt-open": ("warning", "4.5", "A doubt that every case must face is open."),
    "incident-open": ("error", "8.0", "An incident is open that speaks against the case."),
}
"""Each rule's id, its level, its security severity (0 to 10), and what it says."""

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(case: Case) -> str:
    """Return the case as SARIF."""
    results = [*_gates(case), *_drives(case), *_doubts(case)]
    run = {
        "tool": {
            "driver": {
                "name": "corrigible",
                "version": corrigible.__version__,
                "rules": [_rule(id_) for id_ in RULES],
            }
        },
        "automationDetails": {"id": f"corrigible/{case.deployment}/"},
        "columnKind": "unicodeCodePoints",
        "properties": {"case": case.id, "status": case.status, "decision": case.decision.word},
        "results": results,
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _rule(id_: str) -> dict[str, Any]:
    level, severity, text = RULES[id_]
    return {
        "id": id_,
        "name": "".join(word.capitalize() for word in id_.split("-")),
        "shortDescription": {"text": text},
        "defaultConfiguration": {"level": level},
        "properties": {"security-severity": severity, "tags": ["security", "agent"]},
    }


def _gates(case: Case) -> list[dict[str, Any]]:
    words = {"FAIL": "gate-failed", "INCONCLUSIVE": "gate-inconclusive", "INVALID": "gate-invalid"}
    found = []
    for result in case.decision.results:
        if result.word == "PASS":
            continue
        gate = result.gate
        place = _place_of_gate(case, gate.line, gate.column, gate.drive)
        text = f"{gate.name}: {result.word}: {result.why}. {sentence(result)}"
        one = _result(words[result.word], text, f"{gate.drive}/{gate.measure}/{gate.name}", place)
        if result.waiver is not None:
            said = f"waived by {result.waiver.owner} until {result.waiver.until}"
            justification = f"{said}: {result.waiver.why}"
            one["suppressions"] = [
                {"kind": "external", "status": "accepted", "justification": justification}
            ]
        found.append(one)
    return found


def _drives(case: Case) -> list[dict[str, Any]]:
    top = case.nodes[case.top]
    over = case.nodes[top.supported_by[0]].supported_by if top.supported_by else ()
    return [
        _result(
            "goal-not-supported",
            f"{node.id}: {node.status}: {node.why or node.text}",
            node.id,
            _place(case, node.drive),
        )
        for node in (case.nodes[id_] for id_ in over)
        if node.status != "supported" and node.id != "G/gates"  # each gate is a result itself
    ]


def _doubts(case: Case) -> list[dict[str, Any]]:
    found = []
    for _, node in sorted(case.nodes.items()):
        if node.type == "counter_goal" and node.open:
            rule = "incident-open" if node.id.startswith("CG/incident/") else "doubt-open"
            text = f"{node.id}: {node.text} {node.why}. It stands against {_ends(node)}."
            found.append(_result(rule, text, node.id, _place(case, node.drive)))
    return found


def _ends(node: Node) -> str:
    first, *more = node.challenges or ("nothing",)
    return f"{first} and {len(more)} more" if more else first


def _result(rule: str, text: str, about: str, place: dict[str, Any]) -> dict[str, Any]:
    fingerprint = hashlib.sha256(f"{rule}\0{about}".encode()).hexdigest()
    return {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "level": RULES[rule][0],
        "message": {"text": text},
        "locations": [
            {"physicalLocation": place, "logicalLocations": [{"fullyQualifiedName": about}]}
        ],
        "partialFingerprints": {"corrigible/v1": fingerprint},
    }


# -- places --------------------------------------------------------------------------------


def _place_of_gate(case: Case, line: int, column: int, drive: str) -> dict[str, Any]:
    if line and case.gates is not None and case.gates.file is not None:
        return _physical(case.gates.file, line, column)
    return _place(case, drive)


def _place(case: Case, drive: str | None) -> dict[str, Any]:
    """Return where the manifest speaks of it: what it accepts, its authority, or its first line."""
    source = case.gathered.loaded.source
    ways: tuple[Path_, ...] = (("accepts", drive or ""), ("authority",), ("agent",), ())
    for way in ways:
        at = source.keys_at.get(way) or source.values_at.get(way)
        if at is not None:
            return _physical(source.file, *at)
    return _physical(source.file, 1, 1)


def _physical(file: str, line: int, column: int) -> dict[str, Any]:
    return {
        "artifactLocation": {"uri": repository_path(Path(file)), "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": max(line, 1), "startColumn": max(column, 1)},
    }


def repository_path(file: Path) -> str:
    """Return a file's path from the root of its repository, else from here, else its name."""
    whole = file.absolute()
    roots = [folder for folder in whole.parents if (folder / ".git").exists()]
    for root in (*roots[:1], Path.cwd()):
        if whole.is_relative_to(root):
            return whole.relative_to(root).as_posix()
    return file.name
