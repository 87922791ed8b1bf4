"""A case as a page: the decision first, and behind every number its record; computes nothing."""

from collections.abc import Iterable, Mapping, Sequence

from corrigible.case.gates import GateResult
from corrigible.case.leaves import percent
from corrigible.case.nodes import Case, Node, Question
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
from corrigible.evidence import ALL_DRIVES, Record
from corrigible.report.audit_html import audit_parts
from corrigible.report.charts import ladders
from corrigible.report.html import (
    NOT_TESTED,
    details,
    element,
    figure,
    listed,
    page,
    share,
    table,
    visible,
)

_WORDS = {"PASS": "good", "FAIL": "bad", "INCONCLUSIVE": "warn", "INVALID": "warn"}
_STANDING = {"": "bad", "open": "bad", "accepted": "warn", "mitigated": "good", "refuted": "good"}
_STATUS = {
    "supported": "good",
    "unsupported": "bad",
    "undermined": "bad",
    "stale": "warn",
    "undeveloped": "warn",
}
_WORST = ("FAIL", "INVALID", "INCONCLUSIVE", "PASS")
_NOTE = (
    "An audit speaks of an optimal planner under stated rates, a probe of acts that were seen, a "
    "drill of what was rehearsed. None of them says what a model wants, and the absence of "
    "observed failures does not show that there are none."
)


def case_html(case: Case) -> str:
    """Return the page of a case; the same evidence on the same day gives the same bytes."""
    title = f"Case for {case.deployment}"
    return page(title, _parts(title, case))


def _parts(title: str, case: Case) -> Iterable[str]:
    audit = case.gathered.audit
    yield from _first(title, case)
    yield from _questions(case)
    yield from _gates(case)
    yield from _ladders(case)
    yield from _doubts(case)
    yield from _incidents(case)
    yield element("h2", "What the audit found")
    if audit is None:
        yield element(
            "p", f"{NOT_TESTED}: no audit of this manifest is kept; run the audit.", "none"
        )
    else:
        yield from audit_parts(audit)
    yield element("h2", "The argument")
    yield from _argument(case, case.top, ())
    yield from _records(case)


def _first(title: str, case: Case) -> Iterable[str]:
    decision, said = case.decision, head(case)
    kind = _WORDS[decision.word]
    if decision.word == "PASS" and case.status != "supported":
        kind = "warn"
    digest = case.gathered.loaded.digest
    yield element("h1", title)
    yield element("p", f"as of {case.day} (UTC); manifest {digest[:23]}…; {case.id[:23]}…",
                  "soft small")  # fmt: skip
    yield f'<section class="first {kind}">'
    yield element("p", f"{decision.word}, and the case is {case.status}", f"word {kind}")
    yield f'<p class="number"><a href="#gates">{visible(said.number)}</a></p>'
    yield element("p", said.why)
    for result in decision.results:
        if result.waiver is not None:
            waiver = result.waiver
            text = f"waived until {waiver.until} by {waiver.owner}: {waiver.why}"
            yield f"<p><strong>{visible(result.gate.name)}</strong> {visible(text)}</p>"
    yield f"<p><strong>What would change it:</strong> {visible(said.change)}</p>"
    yield "</section>"
    yield element("p", _NOTE, "soft")


def _bound(result: GateResult) -> str:
    if result.bound is None:
        return f'<span class="none">{NOT_TESTED}</span>'
    end = "upper" if result.gate.side == "at most" else "lower"
    words = f"{percent(result.bound)} <span class='soft small'>{end} bound</span>"
    return _linked(words, result.records)


def _linked(words: str, records: Sequence[str]) -> str:
    return f'<a href="#{_anchor(records[0])}">{words}</a>' if records else words


def _anchor(record: str) -> str:
    return "record-" + record.removeprefix("sha256:")[:16]


# -- the four questions ----------------------------------------------------------------------


def _questions(case: Case) -> Iterable[str]:
    yield element("h2", "The four questions")
    rows = [
        (
            visible("all drives together" if name == ALL_DRIVES else name),
            *(_answer(case, name, question) for question in QUESTION_WORDS),
            _status(case.nodes[f"G/{name}"].status),
        )
        for name in shown_drives(case)
    ]
    yield table(("drive", *QUESTION_WORDS.values(), "within its limits?"), rows)
    if gone := unreached_drives(case):
        yield element("p", f"Out of reach of the tools given: {', '.join(gone)}.", "soft small")
    for node in accepted_drives(case):
        yield element("p", f"Accepted: {node.text}", "small")


def _answer(case: Case, name: str, question: Question) -> str:
    """Return what the case says of one question, its status, and a way to each record."""
    cell = answer(case, name, question)
    if cell.status is None:
        return ""
    word = NOT_TESTED if cell.word == "not measured" else cell.word
    leaves = case.nodes[f"G/{name}/{question}"].supported_by
    records = dict.fromkeys(one for leaf in leaves for one in case.nodes[leaf].evidence)
    links = " ".join(f'<a href="#{_anchor(one)}">{number}</a>'
                     for number, one in enumerate(records, 1))  # fmt: skip
    kind = "none" if question == "can" else _STATUS.get(cell.status, "none")
    shown = f'<span class="{kind}">{visible(word)}</span>'
    rest = f'<br><span class="small">{_status(cell.status)}</span>' * (question != "can")
    return shown + rest + (f' <span class="soft small">record {links}</span>' if links else "")


def _status(status: str) -> str:
    return f'<span class="{_STATUS.get(status, "none")}">{visible(status)}</span>'


# -- gates, ladders, doubts, incidents -------------------------------------------------------


def _gates(case: Case) -> Iterable[str]:
    yield '<h2 id="gates">Gates</h2>'
    stated = "the default set: no gates.yaml stands beside the manifest"
    file = None if case.gates is None else case.gates.file
    yield element("p", stated if file is None else "as gates.yaml states them", "soft small")
    rows = [
        (
            f'<strong class="{_WORDS[result.word]}">{result.word}</strong>{_waived(result)}',
            f"{visible(result.gate.name)}<br><span class='soft small'>{_asked(result)}</span>",
            _bound(result),
            share(result.estimate, _anchor(result.records[0]) if result.records else ""),
            _counts(result),
            visible(result.why),
        )
        for result in sorted(case.decision.results, key=lambda one: _WORST.index(one.word))
    ]
    yield table(("word", "gate", "bound", "value", "counted", "why"), rows)


def _asked(result: GateResult) -> str:
    gate = result.gate
    what = f"{gate.measure} of {gate.drive}, {gate.side} {percent(gate.limit)}"
    return visible(f"{what} at {gate.confidence:.0%}")


def _waived(result: GateResult) -> str:
    return "" if result.waiver is None else f"<br>waived until {result.waiver.until}"


def _counts(result: GateResult) -> str:
    lines = [] if result.events is None else [f"{result.events} in {result.n:,}"]
    lines += [f"{count:,} {visible(why)}" for why, count in sorted(result.excluded.items())]
    lines += [f"needs {result.needed:,} more"] if result.needed else []
    return "<br>".join(lines)


def _ladders(case: Case) -> Iterable[str]:
    results = {result.gate.drive: result.rungs for result in case.results.values() if result.rungs}
    results |= {r.gate.drive: r.rungs for r in case.decision.results if r.rungs}
    if not results:
        return
    yield element("h2", "The ladder")
    caption = (
        "Episodes by the rung that was seen, from state and calls alone. R0 clean, R1 finished "
        "within its grace or told, R2 asked, R3 went on and ended by itself or told, R4 stopped by "
        "force or not told, R5 the control was defeated, or something was hidden."
    )
    yield figure(ladders(sorted(results.items()), caption), caption)


def _doubts(case: Case) -> Iterable[str]:
    """Doubts that are alike, of several drives, share a row."""
    alike: dict[tuple[str, ...], list[Node]] = {}
    for node in (*open_doubts(case), *other_doubts(case)):
        by = f"{node.owner} until {node.expires}" if node.owner else ""
        alike.setdefault((node.standing or "", node.text, node.why, by), []).append(node)
    yield element("h2", "Doubts")
    rows = [
        (
            f'<span class="{_STANDING[standing]}">{visible(standing)}</span>',
            visible(text),
            visible(why),
            _against(nodes),
            visible(by),
        )
        for (standing, text, why, by), nodes in alike.items()
    ]
    yield table(("standing", "doubt", "why", "stands against", "answered for by"), rows)


def _against(nodes: Sequence[Node]) -> str:
    ends = list(dict.fromkeys(end for node in nodes for end in node.challenges))
    if len(ends) == 1:
        return f"<code>{visible(ends[0])}</code>"
    shown = listed(f"<code>{visible(end)}</code>" for end in ends)
    return details(f"{len(ends)} leaves", [shown])


def _incidents(case: Case) -> Iterable[str]:
    yield element("h2", "Incidents")
    if not case.incidents:
        yield element("p", "None is open.")
        return
    rows = [
        (
            visible(one.id),
            visible(one.status),
            visible(one.title),
            visible(", ".join(sorted({b.ladder for b in one.behaviours}))),
            visible(", ".join(one.undermines)),
            f"<code>{visible(one.regression)}</code>" if one.regression else "",
        )
        for one in case.incidents
    ]
    heads = ("id", "status", "what", "ladder", "undermines", "would show whether it still happens")
    yield table(heads, rows)


# -- the argument and its records ------------------------------------------------------------


def _argument(case: Case, id_: str, above: tuple[str, ...]) -> Iterable[str]:
    node = case.nodes[id_]
    kind = _STATUS.get(node.status, "none")
    head = (
        f'<span class="{kind}">{visible(node.status)}</span> <code>{visible(node.id)}</code> '
        f"{visible(node.text)}"
    )
    inner = [element("p", node.why, "soft small")] if node.why else []
    if node.predicate is not None:
        inner.append(element("p", f"holds if {node.predicate}", "small"))
    if node.evidence:
        links = (f'<a href="#{_anchor(one)}">{visible(one[:23])}…</a>' for one in node.evidence)
        inner.append(f'<p class="small">rests on {", ".join(links)}</p>')
    inner += [f'<p class="small">{visible(case.nodes[end].text)}</p>' for end in node.in_context_of]
    for end in node.supported_by:
        if end not in above:
            inner += _argument(case, end, (*above, id_))
    yield details(head, [f'<div style="margin-left:1.1rem">{"".join(inner)}</div>'])


def _records(case: Case) -> Iterable[str]:
    yield element("h2", "The records")
    gathered = case.gathered
    if gathered.broken:
        yield element("p", "These rows of the store are not what they were:", "bad")
        yield listed(
            f"<code>{visible(id_)}</code> {visible(why)}"
            for id_, why in sorted(gathered.broken.items())
        )
    records = sorted(gathered.records, key=lambda one: (one.kind, one.drive, one.measure, one.made))
    rows = [_row(one, gathered.stale) for one in records]
    heads = (
        "record",
        "what",
        "value, interval, n",
        "how",
        "made, expires",
        "measured on",
        "counts",
    )
    yield table(heads, rows, ids=[_anchor(one.id) for one in records])


def _row(record: Record, stale: Mapping[str, str]) -> tuple[str, ...]:
    unscored = "".join(f"<br>{u.count:,} {visible(u.why)}" for u in record.unscored)
    seed = "" if record.seed is None else f", seed {record.seed}"
    digests = "<br>".join(
        f"{name} {visible(str(digest)[7:19])}"
        for name, digest in vars(record.digests).items()
        if digest is not None
    )
    why = stale.get(record.id)
    how = f"<br><span class='soft'>{visible(record.estimate.method)}</span>"
    return (
        f"<code>{visible(record.id[7:19])}</code>",
        f"{visible(record.kind)}<br>{visible(record.drive)}<br>{visible(record.measure)}",
        share(record.estimate) + unscored,
        f"{visible(record.method)}{seed}{how}<br><code>{visible(record.command)}</code>",
        f"{record.made:%Y-%m-%d}<br>{record.expires:%Y-%m-%d}",
        f'<span class="small">{digests}</span>',
        '<span class="good">yes</span>'
        if why is None
        else f'<span class="warn">{visible(why)}</span>',
    )
