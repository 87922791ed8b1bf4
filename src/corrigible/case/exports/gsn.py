"""The case as gsn2x reads it: YAML, one element a key, with the dialectic and confidence parts.

Written for gsn2x 4.3 (its `yaml_syntax.md` and validation rules V01 to V13 and C01 to C16).  It
keeps every node, link, text and claim point; statuses go along as classes and further attributes,
which gsn2x shows as layers.  An element there challenges one other: a doubt that stands against
several is written once for each, numbered.
"""

import json

from corrigible.case.nodes import Case, Node

_TYPES = {
    "goal": "Goal",
    "strategy": "Strategy",
    "solution": "Solution",
    "context": "Context",
    "assumption": "Assumption",
    "justification": "Justification",
    "counter_goal": "CounterGoal",
    "counter_solution": "CounterSolution",
}


def gsn_yaml(case: Case) -> str:
    """Return the case as YAML; every scalar is a quoted text, so that none is read as a date."""
    against = {end for node in case.nodes.values() if node.open for end in node.challenges}
    parts = [f"# The case of {_quoted(case.deployment)} on {case.day}; {case.id}\n"]
    for id_ in sorted(case.nodes):
        node = case.nodes[id_]
        for number, end in enumerate(node.challenges or ("",)):
            name = id_ if number == 0 else f"{id_}#{number + 1}"
            parts.append(_element(name, node, end, defeated=id_ in against))
    return "".join(parts)


def _element(name: str, node: Node, challenged: str, *, defeated: bool) -> str:
    lines = [
        f"{_quoted(name)}:",
        f"  text: {_quoted(node.text)}",
        f"  nodeType: {_TYPES[node.type]}",
    ]
    for key, ends in (("supportedBy", node.supported_by), ("inContextOf", node.in_context_of)):
        if ends:
            lines.append(f"  {key}: {_listed(ends)}")
    if node.type in {"goal", "strategy"} and not node.supported_by:
        lines.append("  undeveloped: true")
    if challenged:
        lines.append(f"  challenges: {_quoted(challenged)}")
    if defeated:
        lines.append("  defeated: true")
    if node.acp:
        lines.append("  acp:")
        lines += [f"    {_quoted(point)}: {_listed(node.acp[point])}" for point in sorted(node.acp)]
    lines.append(f"  classes: [{node.standing or node.status}]")
    more = {
        "status": node.status,
        "why": node.why,
        "combine": node.combine if node.supported_by else "",
        "predicate": "" if node.predicate is None else str(node.predicate),
        "evidence": " ".join(node.evidence),
        "gate": node.gate or "",
        "standing": node.standing or "",
        "owner": node.owner or "",
        "expires": "" if node.expires is None else node.expires.isoformat(),
    }
    lines += [f"  {key}: {_quoted(text)}" for key, text in more.items() if text]
    return "\n".join(lines) + "\n"


def _listed(ends: tuple[str, ...]) -> str:
    return "[" + ", ".join(map(_quoted, ends)) + "]"


def _quoted(text: str) -> str:
    r"""Return a double-quoted scalar.

    JSON's escapes are YAML's, but for pairs of surrogates: what is beyond ASCII stays as it is
    where YAML can hold it, and is escaped (`\x7f`, `\ufeff`) where it cannot.
    """
    body = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else _escaped(ord(c)) for c in body)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"  # noqa: PLR2004  (four digits)
