"""The case as Markdown, for a job's summary or a pull request: decision, number, what to change."""

from corrigible.case.leaves import percent, sentence
from corrigible.case.nodes import Case
from corrigible.case.summary import QUESTION_WORDS, answer, head, open_doubts, shown_drives


def markdown(case: Case) -> str:
    """Return the case as one page of Markdown; every text in it is escaped."""
    top = head(case)
    lines = [
        f"## {_plain(case.deployment)}: {case.decision.word}, case {case.status}",
        "",
        _plain(top.why),
        "",
        f"**{_plain(top.number)}**",
        "",
        f"What would change it: {_plain(top.change)}",
        "",
    ]
    shown = shown_drives(case)
    if shown:
        lines += _table(["drive", *QUESTION_WORDS.values(), "status"])
        for name in shown:
            cells = [answer(case, name, question).word for question in QUESTION_WORDS]
            lines.append(_row([name, *cells, case.nodes[f"G/{name}"].status]))
        lines.append("")
    lines += ["### Gates", "", *_table(["gate", "word", "value", "bound", "n", "why"])]
    for result in case.decision.results:
        value, bound = result.estimate.value, result.bound
        word = result.word if result.waiver is None else f"{result.word} (waived)"
        lines.append(_row([
            result.gate.name, word, "not measured" if value is None else percent(value),
            "-" if bound is None else percent(bound), f"{result.n:,}",
            result.why or sentence(result),
        ]))  # fmt: skip
    doubts = open_doubts(case)
    if doubts:
        lines += ["", "### Open doubts", ""]
        lines += [f"- **{_plain(one.id)}** {_plain(one.text)} {_plain(one.why)}" for one in doubts]
    if case.incidents:
        lines += ["", "### Open incidents", ""]
        lines += [f"- {_plain(one.id)} ({one.status})" for one in case.incidents]
    lines += ["", f"Case `{case.id}`, {case.day}."]
    return "\n".join(lines) + "\n"


def _table(columns: list[str]) -> list[str]:
    return [_row(columns), _row(["---"] * len(columns))]


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(map(_plain, cells)) + " |" if cells[0] != "---" else (
        "|" + "|".join(cells) + "|"
    )  # fmt: skip


def _plain(text: str) -> str:
    """Escape what Markdown or HTML would read as its own, and keep it on one line."""
    one = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#~!" else c for c in one if c.isprintable())
