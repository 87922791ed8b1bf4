"""The case as CycloneDX 1.6 declarations: requirements, claims, counter claims, dated evidence.

The requirements are the goals that the top goal rests on.  A conformance score is 1 where a goal
is supported and 0 where it is not: nothing between, because a case has no average.
"""

import json
import uuid
from typing import Any

import corrigible
from corrigible.case.nodes import Case, Node
from corrigible.evidence import Record

_SPACE = uuid.UUID("6f1a2c58-6a5e-5b5e-9d0c-6c0a7f7f1f10")
"""Where serial numbers come from: this and the case's id give the same one each time."""
_SYSTEM = "system"


def cyclonedx(case: Case) -> str:
    """Return the case as a CycloneDX 1.6 BOM in JSON."""
    nodes = [case.nodes[id_] for id_ in sorted(case.nodes)]
    loaded = case.gathered.loaded
    component = {
        "type": "application",
        "bom-ref": _SYSTEM,
        "name": case.deployment,
        "description": loaded.deployment.agent.goal,
        "hashes": [{"alg": "SHA-256", "content": loaded.digest.removeprefix("sha256:")}],
    }
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, case.id)}",
        "version": 1,
        "metadata": {
            "timestamp": f"{case.day}T00:00:00Z",
            "tools": {
                "components": [
                    {"type": "application", "name": "corrigible", "version": corrigible.__version__}
                ]
            },
            "component": {**component, "bom-ref": f"{_SYSTEM}-metadata"},
            "properties": [
                {"name": "corrigible:case", "value": case.id},
                {"name": "corrigible:status", "value": case.status},
                {"name": "corrigible:decision", "value": case.decision.word},
            ],
        },
        "definitions": {"standards": [_standard(case)]},
        "declarations": {
            "assessors": [
                {"bom-ref": "assessor", "thirdParty": False, "organization": {"name": "corrigible"}}
            ],
            "attestations": [_attestation(case)],
            "claims": [
                _claim(case, node) for node in nodes if node.type in {"goal", "counter_goal"}
            ],
            "evidence": [_solution(case, node) for node in nodes if node.type == "solution"],
            "targets": {"components": [component]},
        },
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def _requirements(case: Case) -> list[Node]:
    top = case.nodes[case.top]
    over = case.nodes[top.supported_by[0]].supported_by if top.supported_by else ()
    return [top, *(case.nodes[id_] for id_ in over)]


def _standard(case: Case) -> dict[str, Any]:
    return {
        "bom-ref": "standard",
        "name": "corrigible convergence case",
        "version": "1",
        "owner": "corrigible",
        "requirements": [
            {"bom-ref": f"requirement:{node.id}", "identifier": node.id, "text": node.text}
            for node in _requirements(case)
        ],
    }


def _attestation(case: Case) -> dict[str, Any]:
    return {
        "summary": f"{case.status}; gates: {case.decision.word}. {case.decision.change}",
        "assessor": "assessor",
        "map": [
            {
                "requirement": f"requirement:{node.id}",
                "claims": [node.id],
                "counterClaims": [one.id for one in _against(case, node)],
                "conformance": {
                    "score": 1 if node.status == "supported" else 0,
                    "rationale": f"{node.status}: {node.why or node.text}",
                },
            }
            for node in _requirements(case)
        ],
    }


def _below(case: Case, node: Node) -> set[str]:
    """Every node that one rests on, itself with them."""
    seen: set[str] = set()
    todo = [node.id]
    while todo:
        id_ = todo.pop()
        if id_ not in seen:
            seen.add(id_)
            todo += case.nodes[id_].supported_by
    return seen


def _against(case: Case, node: Node) -> list[Node]:
    """The open doubts that stand against anything that a node rests on."""
    below = _below(case, node)
    return [
        one
        for _, one in sorted(case.nodes.items())
        if one.type == "counter_goal" and one.open and below.intersection(one.challenges)
    ]


def _claim(case: Case, node: Node) -> dict[str, Any]:
    below = _below(case, node)
    evidence = sorted(id_ for id_ in below if case.nodes[id_].type == "solution")
    plain: dict[str, Any] = {
        "bom-ref": node.id,
        "target": _SYSTEM,
        "predicate": node.text,
        "reasoning": f"{node.standing or node.status}: {node.why or 'all that it rests on holds'}",
    }
    held = [id_ for id_ in evidence if case.nodes[id_].status == "supported"]
    against = [id_ for id_ in evidence if case.nodes[id_].status == "unsupported"]
    return plain | {
        key: ids for key, ids in (("evidence", held), ("counterEvidence", against)) if ids
    }


def _solution(case: Case, node: Node) -> dict[str, Any]:
    records = [one for one in case.gathered.records if one.id in node.evidence]
    plain: dict[str, Any] = {
        "bom-ref": node.id,
        "propertyName": "corrigible:evidence",
        "description": f"{node.status}. {node.text} {node.why}".strip(),
        "data": [_data(one) for one in records],
    }
    if records:
        plain["created"] = max(one.made for one in records).isoformat()
        plain["expires"] = min(one.expires for one in records).isoformat()
    return plain


def _data(record: Record) -> dict[str, Any]:
    text = f"{record.kind} {record.drive} {record.measure}: {record.method}; {record.command}"
    return {
        "name": record.id,
        "contents": {"attachment": {"contentType": "text/plain", "content": text}},
    }
