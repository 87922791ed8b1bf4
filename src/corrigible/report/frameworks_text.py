"""Frameworks as text: which evidence of ours is relevant to which clause, and where there is none.

Never that anything complies with anything.
"""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from corrigible.case.frameworks import Clause, Coverage, Framework, ours

WHAT_IT_SAYS = (
    "Evidence relevant to a clause, where there is any; not that anything complies with it.  "
    "Read the document itself: its versions move."
)
_LONGEST = 400


def index_text(found: Mapping[str, Framework]) -> RenderableType:
    """Return every framework, a line each."""
    table = _table("name", "framework", "version", "holds from", "clauses", "relevant", "none",
                   "unverified")  # fmt: skip
    for one in found.values():
        title = f"{one.title} (superseded)" if one.superseded_by else one.title
        table.add_row(
            one.name, title, one.version, one.effective or "not known", str(len(one.clauses)),
            str(len(one.covered)), str(len(one.uncovered)), str(len(one.unverified)),
        )  # fmt: skip
    return Group(table, Text(), Text(WHAT_IT_SAYS))


def framework_text(
    one: Framework, covered: Sequence[Coverage] | None, *, only_gaps: bool = False
) -> RenderableType:
    """Return one framework's clauses; with a deployment's coverage, how its evidence stands."""
    head = Text.assemble(
        (one.title, "bold"),
        f"  version {one.version}, holds from {one.effective or 'a day not known here'}; "
        f"entered {one.as_of}",
    )
    parts: list[RenderableType] = [head]
    if one.superseded_by:
        parts.append(Text(f"Superseded by {one.superseded_by}."))
    parts += [Text(f"Since before: {change}") for change in one.changes]
    standing = {} if covered is None else {found.clause.id: found for found in covered}
    shown = one.uncovered if only_gaps else one.clauses
    if only_gaps and standing:
        shown = tuple(c for c in one.clauses if standing[c.id].standing in {"none", "stale"})
    parts += [Text(), _clauses(shown, standing)]
    parts += [Text(), Text("Gaps:"), *(Text(f"- {gap}") for gap in one.gaps)]
    parts += [Text(), Text(WHAT_IT_SAYS)]
    return Group(*parts)


def gaps_text(found: Mapping[str, Framework]) -> RenderableType:
    """Return, for every framework, the clauses that nothing of ours is relevant to, and why."""
    table = _table("framework", "clause", "text", "known as", "note")
    for one in found.values():
        for clause in one.uncovered:
            table.add_row(one.name, clause.locator, clause.text, clause.known_as, clause.note)
    lines = [Text(f"- {one.name}: {gap}") for one in found.values() for gap in one.gaps]
    return Group(table, Text(), *lines, Text(), Text(WHAT_IT_SAYS))


def coverage_markdown(found: Mapping[str, Framework]) -> str:
    """Return every framework's clauses with what is relevant to them, as Markdown."""
    lines = []
    for one in found.values():
        version = f"version {one.version}, holds from {one.effective or 'a day not known here'}"
        lines += [f"### {one.title}", "", f"`{one.name}`: {one.issuer}, {version}.", ""]
        lines += [f"- {change}" for change in one.changes]
        lines += [""] if one.changes else []
        lines += ["| clause | text is | says | evidence relevant to it |", "|---|---|---|---|"]
        for clause in one.clauses:
            relevant = ", ".join(f"`{name}`" for name in clause.relevant) or "none"
            if not clause.relevant and clause.note:
                relevant += f" ({clause.note.rstrip('.')})"
            lines.append(f"| {clause.locator} | {clause.known_as} | {said(clause)} | {relevant} |")
        lines += ["", *(f"- Gap: {gap}" for gap in one.gaps), ""]
    return "\n".join(lines)


def ours_markdown() -> str:
    """Return what of ours may be relevant, as a table in Markdown."""
    lines = ["| name | says | records | made by |", "|---|---|---|---|"]
    for one in ours().values():
        records = "; ".join(
            f"{w.kind} {w.measure}" + (f" of {', '.join(w.drives)}" if w.drives else "")
            for w in one.evidence
        )
        commands = ", ".join(f"`{command}`" for command in one.commands)
        lines.append(f"| `{one.name}` | {one.what} | {records or '-'} | {commands} |")
    return "\n".join(lines) + "\n"


def said(clause: Clause) -> str:
    """Return a clause's text: a quote in quotation marks, else in our words."""
    return f"“{clause.text}”" if clause.quoted else clause.text


def _clauses(shown: Sequence[Clause], standing: Mapping[str, Coverage]) -> Table:
    columns = ["clause", "text is", "says", "evidence relevant to it"]
    table = _table(*columns, *(["now"] if standing else []))
    for clause in shown:
        note = f" ({clause.note.rstrip('.')})" if clause.note else ""
        row = [
            clause.locator, clause.known_as, f"{said(clause)}{note}"[:_LONGEST],
            ", ".join(clause.relevant) or "none",
        ]  # fmt: skip
        table.add_row(*row, *([_now(standing[clause.id])] if standing else []))
    return table


def _now(found: Coverage) -> str:
    parts = [
        f"{word}: {', '.join(names)}"
        for word, names in (
            ("present", found.present), ("stale", found.stale), ("none", found.missing),
        )
        if names
    ]  # fmt: skip
    return "; ".join(parts) or found.standing


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
