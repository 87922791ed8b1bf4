"""The case as a graph for Graphviz and for Mermaid, in GSN's shapes, coloured by status."""

from collections.abc import Iterable, Iterator

from corrigible.case.nodes import STATUSES, Case, Node

_FILL = {
    "supported": "#d9f0dd",
    "undermined": "#fde8c8",
    "undeveloped": "#eeeeee",
    "stale": "#e3dcf2",
    "unsupported": "#f8d4d4",
}
_DOT_SHAPES = {
    "goal": "box",
    "strategy": "parallelogram",
    "solution": "ellipse, margin=0",
    "context": 'box, style="rounded,filled"',
    "assumption": "ellipse",
    "justification": "ellipse",
    "counter_goal": 'box, style="dashed,filled"',
    "counter_solution": 'ellipse, style="dashed,filled"',
}  # fmt: skip
_MERMAID_SHAPES = {
    "goal": ("[", "]"),
    "strategy": ("[/", "/]"),
    "solution": ("((", "))"),
    "context": ("([", "])"),
    "assumption": ("([", "])"),
    "justification": ("([", "])"),
    "counter_goal": ("{{", "}}"),
    "counter_solution": ("((", "))"),
}
MOST_EDGES, MOST_TEXT = 450, 45_000
"""Mermaid draws at most 500 edges and 50,000 characters where nobody raised its limits."""
_WIDTH = 34


def dot(case: Case) -> str:
    """Return the whole case for Graphviz (`dot -Tsvg`)."""
    lines = [
        "digraph case {",
        "  rankdir=LR; node [style=filled, fontname=Helvetica, fontsize=10];",
        f"  label={_dot_text([f'{case.deployment}, {case.day}: {case.status}', case.id])};",
    ]
    for id_ in sorted(case.nodes):
        node = case.nodes[id_]
        text = _dot_text([node.id, *_wrapped(node.text), _word(node)])
        lines.append(
            f"  {_dot_text([id_])} [shape={_DOT_SHAPES[node.type]}, "
            f'fillcolor="{_FILL[node.status]}", label={text}];'
        )
    styles = {
        "supported": "",
        "context": " [arrowhead=empty, style=dashed]",
        "challenge": ' [arrowhead=open, style=dashed, color="#b00020"]',
    }
    for first, second, kind in _edges(case.nodes.values()):
        lines.append(f"  {_dot_text([first])} -> {_dot_text([second])}{styles[kind]};")
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(case: Case) -> str:
    """Return the case as a Mermaid flowchart, as much of it as Mermaid draws, and what is left out.

    First what is only context goes, then the leaves, then all but the goals of whole drives.
    """
    nodes = list(case.nodes.values())
    argued = [n for n in nodes if n.type in {"goal", "strategy", "counter_goal"}]
    heads = [n for n in nodes if n.id == case.top or n.id.startswith("S/drives")
             or (n.type == "goal" and n.id in case.nodes[case.nodes[case.top].supported_by[0]]
             .supported_by)] if case.nodes[case.top].supported_by else []  # fmt: skip
    bare = [n for n in nodes if n.type not in {"context", "assumption", "justification"}]
    for kept in (nodes, bare, argued, heads):
        text = _mermaid(case, kept)
        if text.count("\n") - len(kept) < MOST_EDGES and len(text) < MOST_TEXT:
            return text
    return _mermaid(case, [case.nodes[case.top]])


def _mermaid(case: Case, kept: list[Node]) -> str:
    names = {node.id: f"n{number}" for number, node in enumerate(sorted(kept, key=lambda n: n.id))}
    lines = ["flowchart TD", f"  %% {case.id}"]
    for node in sorted(kept, key=lambda one: one.id):
        before, after = _MERMAID_SHAPES[node.type]
        text = "<br/>".join(map(_mermaid_text, [node.id, *_wrapped(node.text), _word(node)]))
        lines.append(f'  {names[node.id]}{before}"{text}"{after}:::{node.status}')
    if left := len(case.nodes) - len(kept):
        lines.append(f'  left["{left} more nodes are left out here"]:::undeveloped')
    arrows = {"supported": "-->", "context": "-.->", "challenge": "-. challenges .->"}
    for first, second, kind in _edges(kept):
        if second in names:
            lines.append(f"  {names[first]} {arrows[kind]} {names[second]}")
    lines += [f"  classDef {status} fill:{_FILL[status]},color:#111" for status in STATUSES]
    return "\n".join(lines) + "\n"


def _edges(nodes: Iterable[Node]) -> Iterator[tuple[str, str, str]]:
    for node in sorted(nodes, key=lambda one: one.id):
        yield from ((node.id, end, "supported") for end in node.supported_by)
        yield from ((node.id, end, "context") for end in node.in_context_of)
        yield from ((node.id, end, "challenge") for end in node.challenges)


def _word(node: Node) -> str:
    if node.standing is not None:
        return node.standing
    return node.status if node.type in {"goal", "strategy", "solution"} else ""


def _wrapped(text: str) -> list[str]:
    """Break a text into lines that fit a box; words are never cut."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= _WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _dot_text(lines: Iterable[str]) -> str:
    """Return a quoted string: backslashes and quotes escaped, nothing else is special in one."""
    safe = (_shown(line).replace("\\", "\\\\").replace('"', '\\"') for line in lines if line)
    return '"' + "\\n".join(safe) + '"'


def _mermaid_text(line: str) -> str:
    """Return a text as Mermaid shows it: what could end the label or be HTML becomes an entity."""
    return "".join(c if c.isalnum() or c in " .,:;/-+()%'" else f"#{ord(c)};" for c in _shown(line))


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
