"""A case as text: the decision, the one number, what would change it; then what it rests on."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from corrigible.case.leaves import percent, sentence
from corrigible.case.nodes import Case, Node
from corrigible.case.summary import (
    QUESTION_WORDS,
    accepted_drives,
    answer,
    head,
    open_doubts,
    other_doubts,
    shown_drives,
    unreached_drives,
)
from corrigible.deployment.listing import plain

_STYLE = {
    "supported": "green",
    "undermined": "yellow",
    "undeveloped": "yellow",
    "stale": "magenta",
    "unsupported": "bold red",
}
_WORD_STYLE = {"PASS": "green", "FAIL": "bold red", "INCONCLUSIVE": "yellow", "INVALID": "magenta"}
_LONGEST = 400


def case_text(case: Case) -> RenderableType:
    """Return the whole case for people."""
    first = head(case)
    lines = [
        Text.assemble(
            (case.deployment, "bold"), f"  {case.day}  decision: ",
            (case.decision.word, _WORD_STYLE[case.decision.word]), "  case: ",
            (case.status, _STYLE[case.status]),
        ),
        Text(_line(first.why)),
        Text(_line(first.number), style="bold"),
        Text(f"What would change it: {_line(first.change)}"),
    ]  # fmt: skip
    return Group(
        *lines, Text(), *_drives(case), *_gates(case), *_doubts(case), *_incidents(case), Text(),
        Text(case.id, style="dim"),
    )  # fmt: skip


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _drives(case: Case) -> list[RenderableType]:
    table = _table("drive", *QUESTION_WORDS.values(), "within its limits?")
    for name in shown_drives(case):
        goal = case.nodes[f"G/{name}"]
        cells = []
        for question in QUESTION_WORDS:
            cell = answer(case, name, question)
            style = "" if cell.status is None or question == "can" else _STYLE[cell.status]
            cells.append(Text(cell.word, style=style))
        called = "all drives together" if name == "all" else name
        table.add_row(called, *cells, Text(goal.status, style=_STYLE[goal.status]))
    parts: list[RenderableType] = [table] if table.row_count else []
    if gone := unreached_drives(case):
        parts.append(Text(f"Out of reach of the tools given: {', '.join(gone)}.", style="dim"))
    parts += [Text(_line(f"Accepted: {node.text}"), style="dim") for node in accepted_drives(case)]
    return [*parts, Text()]


def _gates(case: Case) -> list[RenderableType]:
    """Every gate that does not pass by itself, with its figures, and the names of those that do."""
    table = _table("gate", "word", "value", "bound", "limit", "n", "why")
    passing = []
    for result in case.decision.results:
        gate, value = result.gate, result.estimate.value
        if result.word == "PASS":
            passing.append(gate.name)
            continue
        word = result.word if result.waiver is None else f"{result.word}, waived"
        table.add_row(
            Text(plain(gate.name)),
            Text(word, style=_WORD_STYLE[result.word]),
            "not measured" if value is None else percent(value),
            "-" if result.bound is None else percent(result.bound),
            f"{gate.side} {percent(gate.limit)}",
            f"{result.n:,}",
            Text(_line(result.why or sentence(result))),
        )
    body: list[RenderableType] = [table] if table.row_count else []
    body += [Text(f"PASS: {', '.join(map(plain, passing))}", style="green")] if passing else []
    title = Text(f"Gates: {case.nodes['C/limits'].text}", style="bold")
    return [title, *[Padding(part, (0, 0, 0, 2)) for part in body], Text()]


def _doubts(case: Case) -> list[RenderableType]:
    open_ = [Text(_line(line), style="yellow") for line in _said(open_doubts(case))]
    rest = [Text(_line(line), style="dim") for line in _said(other_doubts(case))]
    return [
        *_section("Open doubts: each leaves what it stands against undermined", open_),
        *_section("Doubts that are answered", rest),
    ]


def _said(nodes: tuple[Node, ...]) -> list[str]:
    """One line a doubt and standing: the first drive's reason, and of how many more it is."""
    grouped: dict[tuple[str, str], list[Node]] = {}
    for node in nodes:
        name = node.id.split("/")[1]
        grouped.setdefault((name, str(node.standing)), []).append(node)
    lines = []
    for (name, standing), (first, *more) in grouped.items():
        of = "" if first.drive is None else f" of {first.drive}"
        also = f" (and of {len(more)} more)" if more else ""
        lines.append(f"{name}{of}{also}: {standing}: {first.why or first.text}")
    return lines


def _incidents(case: Case) -> list[RenderableType]:
    lines = [
        Text(_line(f"{one.id}: {one.status}; undermines {', '.join(one.undermines) or 'the case'}"))
        for one in case.incidents
    ]
    return _section("Open incidents", lines)


def _section(title: str, lines: list[Text]) -> list[RenderableType]:
    if not lines:
        return []
    return [Text(title, style="bold"), *[Padding(line, (0, 0, 0, 2)) for line in lines], Text()]


def _line(text: str) -> str:
    return plain(text, _LONGEST)
