"""Incidents as text: a list, one of them with its clocks, forms and pages in Markdown.

Whatever a record holds is shown as text and nothing else: Markdown and HTML in it come out
written, not read.
"""

import re
from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from corrigible.case.classify import category_of
from corrigible.case.clocks import Clock
from corrigible.case.incident import History
from corrigible.case.incident_exports import Form, behaviour_class
from corrigible.case.incident_record import Incident, utc

_SHOWN_AS = {
    "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;",
    **{mark: "\\" + mark for mark in "\\`*_[]|~"},
}  # fmt: skip
"""What Markdown or HTML would read, as they show it."""
ATTRIBUTED_APART = "Why it was done is attributed apart and never lightens the class."


def incidents_text(found: Sequence[tuple[History, Sequence[Clock], str]]) -> RenderableType:
    """Return every incident, a line each, with the word that sums up its clocks."""
    if not found:
        return Text("No incident is recorded beside this manifest.")
    table = _table("incident", "status", "class", "drives", "clocks", "undermines", "title")
    for history, _, word in found:
        one = history.incident
        worst = max(one.behaviours, key=lambda b: (b.ladder, b.ladder_at_most))
        table.add_row(
            one.id, one.status, behaviour_class(worst),
            ", ".join(dict.fromkeys(b.drive for b in one.behaviours)),
            word, "nothing, it has ended" if one.ended else ", ".join(one.undermines) or "nothing",
            one.title,
        )  # fmt: skip
    return table


def incident_text(history: History, clocks: Sequence[Clock]) -> RenderableType:
    """Return one incident: what was done, the clocks, what it undermines, what is to be run."""
    one = history.incident
    head = Text.assemble((one.id, "bold"), f"  {one.status}, revision {one.revision}")
    parts: list[RenderableType] = [head]
    if one.title:
        parts.append(Text(one.title))
    parts += [Text(), _behaviours(one), Text(ATTRIBUTED_APART), Text(_attributed(one)), Text()]
    parts += [_clocks(clocks), *_notes(clocks), Text()]
    parts.append(Text(_undermines(one)))
    if one.regression and not one.ended:
        parts += [Text("To see whether it still happens:"), Text(_indented(one.regression))]
    parts.append(Text(f"digest {history.digest}", style="dim"))
    return Group(*parts)


def form_markdown(form: Form) -> str:
    """Return a filled form as Markdown."""
    lines = [f"# {escaped(form.title)}", "", *(f"> {escaped(note)}" for note in form.notes), ""]
    for field in form.fields:
        lines += [f"## {field.number}. {escaped(field.title)}", ""]
        lines += [f"- {escaped(line)}" for line in field.lines] + [""]
    if form.annex:
        lines += ["## Annex: not asked for by the form", ""]
    for field in form.annex:
        lines += [f"### {field.number}. {escaped(field.title)}", ""]
        lines += [f"- {escaped(line)}" for line in field.lines] + [""]
    return "\n".join(lines).rstrip() + "\n"


def incident_markdown(history: History, clocks: Sequence[Clock]) -> str:
    """Return one incident with its history as a page in Markdown."""
    one = history.incident
    lines = [f"# {one.id}: {escaped(one.title or 'incident')}", ""]
    lines += [f"Status: {one.status}. Revision {one.revision}. Digest `{history.digest}`.", ""]
    lines += ["| drive | category | act | class | left open |", "|---|---|---|---|---|"]
    for b in one.behaviours:
        open_ = ", ".join(b.left_open)
        lines.append(_row(b.drive, category_of(b.drive), b.act, behaviour_class(b), open_))
    lines += ["", ATTRIBUTED_APART, escaped(_attributed(one)), "", "## Clocks", ""]
    lines += ["| deadline | applies | word | due | source |", "|---|---|---|---|---|"]
    for clock in clocks:
        rule = clock.rule
        lines.append(_row(rule.what, rule.applies, clock.word, _due(clock), _source(clock)))
    lines += ["", "## What it undermines", "", escaped(_undermines(one)), ""]
    if one.resolution:
        lines += ["## Resolution", "", escaped(one.resolution), ""]
    if one.root_cause.summary:
        lines += ["## Root cause", "", escaped(one.root_cause.summary), ""]
    lines += ["## Revisions", "", "| revision | at | by | why |", "|---|---|---|---|"]
    for revision in history.revisions:
        lines.append(_row(str(revision.number), utc(revision.at), revision.by, revision.why))
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Return text that Markdown and HTML show as it is, in one line."""
    line = " ".join(text.split())
    shown = "".join(_SHOWN_AS.get(char, char) for char in line)
    # What begins a heading or a list.
    return re.sub(r"^([#+-])|^([0-9]+)([.)])", _backslashed, shown)


def _backslashed(mark: re.Match[str]) -> str:
    return f"\\{mark[1]}" if mark[1] else f"{mark[2]}\\{mark[3]}"


def _row(*cells: str) -> str:
    return "| " + " | ".join(map(escaped, cells)) + " |"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _behaviours(one: Incident) -> Table:
    table = _table("drive", "category", "act", "class", "left open by")
    for b in one.behaviours:
        table.add_row(
            b.drive, category_of(b.drive), b.act or "-", behaviour_class(b),
            ", ".join(b.left_open) or "-",
        )  # fmt: skip
    return table


def _clocks(clocks: Sequence[Clock]) -> RenderableType:
    if not clocks:
        return Text("No clock applies.")
    table = _table(
        "deadline", "applies", "in all", "due (UTC)", "is", "under the reading", "source"
    )
    for column in table.columns[2:5]:
        column.no_wrap = True
    for clock in clocks:
        if not clock.readings:
            table.add_row(
                clock.rule.what, clock.rule.applies, clock.word, "-", "-", clock.note or "-",
                _source(clock),
            )  # fmt: skip
        for number, reading in enumerate(clock.readings):
            first = number == 0
            table.add_row(
                clock.rule.what if first else "",
                clock.rule.applies if first else "",
                clock.word if first else "",
                utc(reading.due_at),
                reading.state,
                reading.of.replace("_", " "),
                _source(clock) if first else "",
            )
    return table


def _notes(clocks: Iterable[Clock]) -> list[Text]:
    notes = dict.fromkeys(clock.note for clock in clocks if clock.note and clock.readings)
    return [Text(f"Note: {note}.") for note in notes]


def _source(clock: Clock) -> str:
    words = {"P": "read", "Q": "quoted", "S": "secondary", "M": "unverified"}
    return f"{clock.rule.source} ({words[clock.rule.provenance]})"


def _due(clock: Clock) -> str:
    found = [f"{utc(r.due_at)} {r.state} ({r.of.replace('_', ' ')})" for r in clock.readings]
    return "; ".join(found) or clock.note or "-"


def _attributed(one: Incident) -> str:
    attribution = one.attribution
    stated = ", ".join(f"{name} {p:.2g}" for name, p in attribution.hypotheses.items())
    by = f" by {attribution.method}" if attribution.method else ""
    tests = f"The twins read: {attribution.reading} ({attribution.why})."
    return f"{tests}  Stated{by}: {stated}." if stated else tests


def _undermines(one: Incident) -> str:
    if one.ended:
        return f"It is {one.status}, and undermines nothing any more."
    return f"It undermines {', '.join(one.undermines) or 'nothing'}."


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
