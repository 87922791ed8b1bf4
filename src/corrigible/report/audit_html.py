"""An audit as a page, from its JSON document (`docs/audit-json.md`); computes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corrigible.case.leaves import percent
from corrigible.evidence import Estimate
from corrigible.report.charts import Line, curves, intervals, moved
from corrigible.report.html import (
    NOT_TESTED,
    as_estimate,
    details,
    element,
    figure,
    listed,
    page,
    share,
    table,
    visible,
)
from corrigible.report.reach_svg import reach_svg

_Json = Mapping[str, Any]
_KINDS = {"within limits": "good", "over the limit": "bad", "could not tell": "warn"}
_NOTE = (
    "An audit speaks of an optimal planner under the stated rates: what the best plan would do, "
    "for a share of the goals that an agent might have. It says nothing of what a model wants."
)
_OVERSIGHT = ("oversight.detection", "oversight.stop_rate", "oversight.approval_rate")
_MOST_LINES = 6
_MOST_RATES = 16


def audit_html(document: _Json) -> str:
    """Return the page of an audit; the same document gives the same bytes."""
    title = f"Audit of {document['deployment']}"
    return page(title, [*_first(title, document), *audit_parts(document), *_foot(document)])


def audit_parts(document: _Json) -> Iterable[str]:
    """Return the parts that a page of an audit and one of a case share."""
    if not document["applicable"]:
        yield element("p", "Not applicable: it plans nothing and acts on nothing.")
        return
    yield element("h2", "What it can reach")
    caption = (
        "Tools, the assets that they reach, and the drives which that serves. Acts that serve no "
        "drive are left out; a line is drawn by the loosest of the acts that it stands for."
    )
    yield figure(reach_svg(document["acts"]), caption)
    yield from _incentives(document)
    yield from _break_even(document)
    yield from _sensitivity(document)
    yield from _fixes(document)
    yield from _left_behind(document)
    yield from _findings(document)


def pays_words(answer: _Json, *, link: str = "") -> str:
    """Return the pressure of a drive as HTML, or why it has none."""
    if answer["status"] in {"not modelled", "unreachable"}:
        return f'<span class="none">{answer["status"]}</span>'
    if answer["status"] == "substitutable":
        others = visible(", ".join(answer["stands_in"]))
        return f'<span class="none">substitutable</span> <span class="small">({others})</span>'
    return share(as_estimate(answer["pays"]["pressure"]), link)


def can_words(answer: _Json) -> str:
    """Return whether a drive's acts can be reached, and by which calls, as HTML."""
    if not answer["can"]["reachable"]:
        return '<span class="good">no</span>'
    calls = " → ".join(answer["can"]["calls"])
    return f'yes <span class="soft small">{visible(calls)}</span>'


def stopped_words(stopped: _Json | None) -> str:
    """Return what drills say of a drive, as HTML."""
    if stopped is None:
        return f'<span class="none">{NOT_TESTED}</span>'
    kind = {"holds": "good", "got through": "bad"}.get(stopped["stands"], "warn")
    contained = "" if stopped["agent_contained"] else " agent not contained"
    why = f": {stopped['why']}" if stopped["why"] else ""
    return (
        f'<span class="{kind}">{visible(stopped["stands"])}</span>{visible(why)}'
        f'<span class="soft small">{contained}</span>'
    )


def _first(title: str, document: _Json) -> Iterable[str]:
    verdict = document["verdict"]
    kind = _KINDS.get(verdict["outcome"], "none")
    yield element("h1", title)
    yield element("p", f"{document['software']}; manifest {document['digest'][:23]}…", "soft small")
    yield f'<section class="first {kind}">'
    yield element("p", verdict["outcome"], f"word {kind}")
    yield f'<p class="number">{_number(document)}</p>'
    yield f"<p><strong>What would change it:</strong> {visible(_change(document))}</p>"
    yield "</section>"
    if verdict["reasons"]:
        reasons = listed(map(visible, verdict["reasons"]))
        yield details(f"Why, in {len(verdict['reasons'])} sentences", [reasons])
    yield element("p", _NOTE, "soft")


def _number(document: _Json) -> str:
    joint = document["joint"]
    if joint is None or joint["pays"]["pressure"]["value"] is None:
        return "No share of goals was measured for all drives jointly."
    pressure, residual = (as_estimate(joint["pays"][name]) for name in ("pressure", "residual"))
    return (
        f"For {share(pressure)} of goals an act on some drive is part of the best plan; "
        f"for {share(residual)} if the guard holds. Limit {percent(document['limit'])}."
    )


def _change(document: _Json) -> str:
    if document["verdict"]["outcome"] == "within limits":
        return "a drive that pays for more goals than the limit, or evidence that expires."
    if not document["fixes"]:
        method = document["fixes_method"]
        return f"{method}." if method else "the audit was cut short; run it whole."
    first = document["fixes"][0]
    return f"the cheapest edit found: {'; '.join(first['edits'])}."


def _incentives(document: _Json) -> Iterable[str]:
    answers: list[_Json] = [a for a in document["drives"] if a["can"]["reachable"]]
    yield element("h2", "The four questions")
    rows = [
        (
            visible(answer["drive"]) + _accepted(answer),
            can_words(answer),
            pays_words(answer),
            _residual(answer),
            f'<span class="none">{NOT_TESTED}</span>',  # an audit never says what an agent does
            stopped_words(answer["stopped"]),
        )
        for answer in answers
    ]
    heads = ("drive", "can it?", "would it pay?", "… if the guard holds", "does it?",
             "is it stopped?")  # fmt: skip
    yield table(heads, rows)
    rest = [a["drive"] for a in document["drives"] if not a["can"]["reachable"]]
    if rest:
        yield element("p", f"No call reaches: {', '.join(rest)}.", "soft small")
    measured = [(a["drive"], *_both(a)) for a in answers]
    if document["joint"] is not None:
        measured.append(("all drives jointly", *_both(document["joint"])))
    caption = (
        "Share of goals for which the act is part of the best plan, with its 95 % interval. "
        "Filled: as it stands; open: if the guard holds; dashed: the limit."
    )
    yield figure(intervals(measured, document["limit"], caption), caption)
    for answer in answers:
        if answer["plan"]:
            steps = "".join(f"<li>{visible(step)}</li>" for step in answer["plan"])
            head = f"The usual best plan where {visible(answer['drive'])} pays"
            yield details(head, [f"<ol>{steps}</ol>"])


def _both(answer: _Json) -> tuple[Estimate, Estimate]:
    pays = answer["pays"]
    return as_estimate(pays["pressure"]), as_estimate(pays["residual"])


def _residual(answer: _Json) -> str:
    return share(as_estimate(answer["pays"]["residual"]))


def _accepted(answer: _Json) -> str:
    accepted = answer["accepted"]
    if accepted is None:
        return ""
    text = f"accepted until {accepted['until']}: {accepted['why']}"
    return f'<br><span class="soft small">{visible(text)}</span>'


def _break_even(document: _Json) -> Iterable[str]:
    over = [a["drive"] for a in document["drives"] if a["break_even"]]
    names = [*over[: _MOST_LINES - 1], "joint"]
    panels = []
    for rate in _OVERSIGHT:
        found = [c for c in document["curves"] if c["rate"] == rate and c["drive"] in names]
        lines = [
            Line(c["drive"], tuple((p["at"], p["pressure"]) for p in c["points"]))
            for c in sorted(found, key=lambda c: names.index(c["drive"]))
        ]
        if lines:
            panels.append((rate.partition(".")[2], found[0]["now"], lines))
    if not panels:
        return
    yield element("h2", "Oversight that would be enough")
    n = max(c["n"] for c in document["curves"])
    caption = (
        f"Share of goals for which each drive pays, at other rates of oversight; the same {n} "
        "goals at every value that was tried. Dashed across: the limit; dotted down: as it stands."
    )
    yield figure(curves(panels, document["limit"], caption), caption)
    rates = list(dict.fromkeys(r for a in document["drives"] for r in a["break_even"] or {}))
    rows = [
        (visible(a["drive"]), *(_suffices(a["break_even"].get(rate)) for rate in rates))
        for a in document["drives"]
        if a["break_even"]
    ]
    yield table(("drive", *(f"{rate} that suffices" for rate in rates)), rows)


def _suffices(value: float | None) -> str:
    return '<span class="none">none tried does</span>' if value is None else f"{value:.4g}"


def _sensitivity(document: _Json) -> Iterable[str]:
    found: dict[str, dict[float, _Json]] = {}
    for one in document["sensitivity"]:
        if "joint" in one["pressure"]:
            found.setdefault(one["rate"], {})[one["factor"]] = one
    rows = [
        (rate, by[0.5]["pressure_now"]["joint"], by[0.5]["pressure"]["joint"],
         by[2.0]["pressure"]["joint"])
        for rate, by in found.items()
        if {0.5, 2.0} <= set(by)
    ]  # fmt: skip
    rows.sort(key=lambda row: (-abs(row[2] - row[3]), row[0]))
    if not rows:
        return
    yield element("h2", "What the figures hang on")
    left = f" The {len(rows) - _MOST_RATES} that move it least are left out." * (
        len(rows) > _MOST_RATES
    )
    caption = (
        "Share of goals for which some drive pays, with one rate halved (½) and doubled (2x); the "
        f"dot is where it stands.{left}"
    )
    yield figure(moved(rows[:_MOST_RATES], caption), caption)


def _fixes(document: _Json) -> Iterable[str]:
    if not document["fixes_method"]:
        return
    yield element("h2", "The cheapest fixes")
    yield element("p", document["fixes_method"], "soft small")
    if document["fixes"]:
        rows = [
            (
                "<br>".join(f"<code>{visible(edit)}</code>" for edit in fix["edits"]),
                share(as_estimate(fix["pressure"])),
                f"{fix['task_value']:+.4f}",
                f"{fix['approvals_per_run']:.2f}",
            )
            for fix in document["fixes"]
        ]
        heads = ("edits", "some drive still pays for", "task value", "approvals a run")
        yield table(heads, rows)


def _left_behind(document: _Json) -> Iterable[str]:
    if not document["left_behind"]:
        return
    yield element("h2", "What a run leaves behind")
    rows = [
        (visible(one["asset"]), *map(visible, _likeliest(one))) for one in document["left_behind"]
    ]
    yield table(("bystander", "after the best plan", "after waiting"), rows)


def _likeliest(one: _Json) -> Sequence[str]:
    chances = (("level", "chances"), ("waiting", "waiting_chances"))
    return [
        f"{one[level]} ({percent(one[given][one['levels'].index(one[level])])})"
        for level, given in chances
    ]


def _findings(document: _Json) -> Iterable[str]:
    if not document["findings"]:
        return
    yield element("h2", "Findings in the manifest")
    rows = [(f"<code>{visible(f['where'])}</code>", visible(f["text"]))
            for f in document["findings"]]  # fmt: skip
    yield table(("where", "what"), rows)


def _foot(document: _Json) -> Iterable[str]:
    if not document["applicable"]:
        return
    goals, world = document["goals"], document["world"]
    yield element("h2", "How it was computed")
    yield element(
        "p",
        f"{goals['n']:,} goals drawn as `{goals['distribution']}`, seed {goals['seed']}; discount "
        f"{document['discount']:.6g}; values certified to {document['tolerance']:g}; a world of "
        f"{world['states']:,} states and {world['actions']:,} actions. Intervals are 95 %.",
        "soft",
    )
