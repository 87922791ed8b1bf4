"""A case's nodes, in the words of the Goal Structuring Notation, and the case that they make.

Core elements and links, assurance claim points and the dialectic elements are those of the GSN
Community Standard, version 3 (SCSC-141C, 2021).  Two things are added: how what supports a node
is read together (`combine`), and what a goal says in figures (`predicate`).  A node's `status` is
never written by anybody: `status.computed` finds it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, get_args

from corrigible.errors import CaseError

if TYPE_CHECKING:
    from corrigible.case.gates import Decision, GateResult, Gates
    from corrigible.case.gathered import Gathered
    from corrigible.case.incident import Incident

NodeType = Literal[
    "goal", "strategy", "solution", "context", "assumption", "justification", "counter_goal",
    "counter_solution",
]  # fmt: skip
Status = Literal["unsupported", "stale", "undeveloped", "undermined", "supported"]
STATUSES: tuple[Status, ...] = get_args(Status)
"""Worst first.  Unsupported: measured, and what the node says does not follow.  Stale: measured on
something else, or too long ago.  Undeveloped: not measured, or not enough.  Undermined: it would
be supported, and an open doubt stands against it."""

Standing = Literal["open", "mitigated", "accepted", "refuted"]
"""How far a doubt is dealt with: not, by measurements that would have shown it, by a person who
answers for it until a day, or wholly."""

Question = Literal["can", "pays", "does", "stopped", "respond"]
QUESTIONS: tuple[Question, ...] = get_args(Question)

_TYPES: tuple[NodeType, ...] = get_args(NodeType)
_ARGUED = ("goal", "strategy")
_SUPPORTS: Mapping[str, frozenset[str]] = {
    "goal": frozenset({"goal", "strategy", "solution"}),
    "strategy": frozenset({"goal"}),
    "counter_goal": frozenset({"counter_goal", "counter_solution"}),
}
"""Which types may support which (GSN v3, sections 1:2.3 and 1:5)."""
_CONTEXTUAL = frozenset({"context", "assumption", "justification"})
_COUNTER = frozenset({"counter_goal", "counter_solution"})


@dataclass(frozen=True)
class Predicate:
    """What a goal or a solution says in figures: `metric` `op` `value`, at a confidence.

    `per`: the unit that is counted, as in `trial` or `goal`.
    """

    metric: str
    op: Literal["<=", ">="]
    value: float
    confidence: float = 0.95
    per: str = "trial"

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.value:g} at {self.confidence:.0%}"


@dataclass(frozen=True)
class Node:
    """One element of the case.

    `combine`: a node rests on `all` that supports it, or on `any` one line of it.  `acp`: each
    assurance claim point's name, and what it stands on.  `evidence`: ids of records.  `gate`: the
    name of the gate that decides a solution.  `standing`, `owner` and `expires` belong to counter
    goals; their `status` is `undermined` while they are open.

    Raises:
        CaseError: a field does not fit the type.
    """

    id: str
    type: NodeType
    text: str
    supported_by: tuple[str, ...] = ()
    in_context_of: tuple[str, ...] = ()
    challenges: tuple[str, ...] = ()
    acp: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    drive: str | None = None
    question: str | None = None
    evidence: tuple[str, ...] = ()
    gate: str | None = None
    status: Status = "undeveloped"
    why: str = ""
    combine: Literal["all", "any"] = "all"
    predicate: Predicate | None = None
    standing: Standing | None = None
    owner: str | None = None
    expires: date | None = None

    def __post_init__(self) -> None:
        counter = self.type in _COUNTER
        rules = (
            (self.type in _TYPES, f"a type among {', '.join(_TYPES)}", self.type),
            (bool(self.id) and self.id.isprintable(), "an id", self.id),
            (bool(self.text.strip()), "a text", self.text),
            (not self.supported_by or self.type in _SUPPORTS, "no support", self.supported_by),
            (not self.in_context_of or self.type in _ARGUED, "no context", self.in_context_of),
            (bool(self.challenges) <= counter, "no challenge: it is no counter goal",
             self.challenges),
            ((self.standing is not None) == (self.type == "counter_goal"),
             "a standing if it is a counter goal, and only then", self.standing),
        )  # fmt: skip
        for holds, rule, got in rules:
            if not holds:
                raise CaseError(f"node {self.id!r} must have {rule}, got {got!r}")

    @property
    def open(self) -> bool:
        """Whether it is a doubt or a finding that stands against what it challenges."""
        return self.standing == "open" or self.type == "counter_solution"


@dataclass(frozen=True)
class Case:
    """Everything that is argued of one deployment on one day, and how it stands.

    `incidents`: those that are open.  `results`: what each solution in figures was read from, by
    its id; those of `decision`, and those of leaves that nobody gated.
    """

    nodes: Mapping[str, Node]
    top: str
    status: Status
    decision: "Decision"
    gathered: "Gathered"
    incidents: "tuple[Incident, ...]" = ()
    gates: "Gates | None" = None
    results: "Mapping[str, GateResult]" = field(default_factory=dict)

    @property
    def deployment(self) -> str:
        """The deployment's name."""
        return self.gathered.loaded.deployment.name

    @property
    def day(self) -> date:
        """The day that it speaks of (UTC)."""
        return self.gathered.now.date()

    @cached_property
    def id(self) -> str:
        """The sha256 of the canonical JSON of all the rest."""
        text = json.dumps(_document(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    @property
    def exit_code(self) -> int:
        """0 every gate passes and the case is supported; 1 a gate fails; 3 all else."""
        if self.decision.word == "FAIL":
            return 1
        return 0 if self.decision.word == "PASS" and self.status == "supported" else 3

    def of(self, drive: str | None, question: str | None = None) -> tuple[Node, ...]:
        """Return the solutions of one drive, and of one question of it where that is given."""
        return tuple(
            node
            for node in self.nodes.values()
            if node.type == "solution" and node.drive == drive and question in (None, node.question)
        )

    def counters(self, node: str) -> tuple[Node, ...]:
        """Return what challenges a node, by id."""
        return tuple(one for one in self.nodes.values() if node in one.challenges)


def checked(nodes: Mapping[str, Node]) -> None:
    """Hold nodes against the notation: every link leads somewhere it may lead to.

    Raises:
        CaseError: a link leads to nothing, twice to the same, or to a type that it may not.
    """
    for id_, node in nodes.items():
        if id_ != node.id:
            raise CaseError(f"node {node.id!r} must stand under its own id, got {id_!r}")
        allowed = _SUPPORTS.get(node.type, frozenset())
        _check_links(nodes, node, "supported_by", allowed)
        _check_links(nodes, node, "in_context_of", _CONTEXTUAL)
        _check_links(nodes, node, "challenges", frozenset(_TYPES))
        near = {node.id, *node.supported_by, *node.in_context_of}
        for point, ends in node.acp.items():
            if not ends or not near.issuperset(ends):
                raise CaseError(
                    f"node {node.id!r}: the claim point {point} must stand on the node or on what "
                    f"it is linked to, got {ends!r}"
                )


def _check_links(nodes: Mapping[str, Node], node: Node, name: str, allowed: frozenset[str]) -> None:
    ends: tuple[str, ...] = getattr(node, name)
    if len(set(ends)) < len(ends):
        raise CaseError(f"node {node.id!r}: {name} must name each node once, got {ends!r}")
    for end in ends:
        if end not in nodes:
            raise CaseError(f"node {node.id!r}: {name} must name a node of the case, got {end!r}")
        if end == node.id or nodes[end].type not in allowed:
            raise CaseError(
                f"node {node.id!r} (a {node.type}): {name} must lead to another node of type "
                f"{', '.join(sorted(allowed))}, got {end!r}, a {nodes[end].type}"
            )


# -- as plain values -----------------------------------------------------------------------


def case_json(case: Case) -> dict[str, Any]:
    """Return the case as plain JSON values, its id with it; `case.schema.json` is its schema."""
    return {"id": case.id, **_document(case)}


def case_schema() -> dict[str, Any]:
    """Return the JSON Schema that `case_json` keeps to."""
    text = files("corrigible.case").joinpath("case.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _document(case: Case) -> dict[str, Any]:
    """Everything but the id: no clock finer than the day, no folder of one machine."""
    current = case.gathered.current
    return {
        "schema": "corrigible/case/v1",
        "deployment": case.deployment,
        "day": case.day.isoformat(),
        "digests": {kind: dict(vars(current[kind])) for kind in sorted(current)},
        "status": case.status,
        "exit_code": case.exit_code,
        "top": case.top,
        "decision": {
            "word": case.decision.word,
            "why": case.decision.why,
            "change": case.decision.change,
            "gates": [_gate(result) for result in case.decision.results],
        },
        "nodes": [_plain(case.nodes[id_]) for id_ in sorted(case.nodes)],
        "incidents": [
            {"id": one.id, "status": one.status, "undermines": list(one.undermines)}
            for one in case.incidents
        ],
    }


def _plain(node: Node) -> dict[str, Any]:
    """No key is ever left out, so that a reader need not know what a type has."""
    return {
        "id": node.id,
        "type": node.type,
        "text": node.text,
        "status": node.status,
        "why": node.why,
        "supported_by": list(node.supported_by),
        "combine": node.combine,
        "in_context_of": list(node.in_context_of),
        "challenges": list(node.challenges),
        "acp": {name: list(node.acp[name]) for name in sorted(node.acp)},
        "drive": node.drive,
        "question": node.question,
        "predicate": None if node.predicate is None else dict(vars(node.predicate)),
        "evidence": list(node.evidence),
        "gate": node.gate,
        "standing": node.standing,
        "owner": node.owner,
        "expires": None if node.expires is None else node.expires.isoformat(),
    }


def _gate(result: "GateResult") -> dict[str, Any]:
    gate, found = result.gate, result.estimate
    return {
        "name": gate.name,
        "drive": gate.drive,
        "kind": gate.kind,
        "measure": gate.measure,
        "side": gate.side,
        "limit": gate.limit,
        "confidence": gate.confidence,
        "unit": gate.unit,
        "word": result.word,
        "why": result.why,
        "value": found.value,
        "method": found.method,
        "bound": result.bound,
        "n": result.n,
        "events": result.events,
        "rungs": {rung: result.rungs[rung] for rung in sorted(result.rungs)},
        "excluded": {why: result.excluded[why] for why in sorted(result.excluded)},
        "needed": result.needed,
        "attempts": result.attempts,
        "records": list(result.records),
        "waiver": _waiver(result),
    }


def _waiver(result: "GateResult") -> dict[str, Any] | None:
    waiver = result.waiver
    if waiver is None:
        return None
    return {"owner": waiver.owner, "why": waiver.why, "until": waiver.until.isoformat()}
