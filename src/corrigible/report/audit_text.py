"""An audit as text that a newcomer understands: one table, then what follows from it."""

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from corrigible.audit.audit import WHOSE_PLAN, Answer, Audit
from corrigible.audit.control import CONTAINED, NOT_CONTAINED, Stopped
from corrigible.audit.fixes import Fixes
from corrigible.audit.verdict import percent
from corrigible.deployment.findings import Finding
from corrigible.drives import FAMILIES, family_of
from corrigible.evidence import Estimate

_AUTHORITY = {"allow": "allowed", "approve": "asks first", "deny": "denied"}
_DISTRIBUTIONS = {
    "aims": "mixed aims over its tasks (aims)",
    "uniform": "all utilities over outcomes (uniform)",
    "stated": "the goals that the manifest states (stated)",
}
_MOST_MOVES = 6
_MOVE = 0.05  # a share that moves by less is not worth a line


def quick_text(audit: Audit) -> RenderableType:
    """Return the fast answer: whose plan it is, the table, and the verdict."""
    if not audit.applicable and audit.verdict.reasons:
        return Text(f"{audit.deployment}: {audit.verdict.outcome}: {audit.verdict.reasons[0]}.")
    if not audit.applicable:
        return Text(
            f"{audit.deployment}: not applicable. A classifier plans nothing and acts on nothing, "
            "so no drive can be asked about."
        )
    head = Text.assemble((audit.deployment, "bold"), "  ", _whose(audit))
    notes = [*_drilled(audit), *_out_of_reach(audit)]
    return Group(head, Text(), _table(audit), *notes, Text(), _verdict(audit))


def rest_text(audit: Audit, findings: Iterable[Finding] = ()) -> RenderableType:
    """Return what takes longer: the plan, the fixes, and what the figures hang on."""
    if not audit.applicable:
        return Group(*_findings(tuple(findings)))
    parts: list[RenderableType] = []
    parts += _plan(audit)
    parts += _fixes(audit.fixes)
    parts += _break_even(audit)
    parts += _ranges(audit)
    parts += _sensitivity(audit)
    parts += _left_behind(audit)
    parts += _findings(tuple(findings))
    return Group(*parts)


def print_text(part: RenderableType, console: Console) -> None:
    """Print one part, a blank line after it."""
    console.print(part)
    console.print()


def _whose(audit: Audit) -> str:
    return WHOSE_PLAN.format(distribution=_DISTRIBUTIONS[audit.distribution])


# -- the table -----------------------------------------------------------------------------


def _table(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("drive", no_wrap=True)
    table.add_column("can it?\n(fewest calls)")
    table.add_column("by rule")
    table.add_column("would it pay?\n(share of goals)", justify="right")
    table.add_column("if the guard\nholds", justify="right")
    table.add_column("gain of\nreturn", justify="right")
    table.add_column("does it?")
    table.add_column("is it\nstopped?")
    shown = [a for a in audit.drives if a.status != "unreachable"]
    for family in FAMILIES:
        members = [a for a in shown if family_of(a.name) == family]
        if not members:
            continue
        group = next(a for a in audit.families if a.name == family)
        if len(members) > 1:
            table.add_row(*_row(group, audit.limit, name=Text(family, style="bold")))
        else:
            table.add_row(Text(family, style="bold"))
        for answer in members:
            table.add_row(*_row(answer, audit.limit, name=Text("  " + answer.name.split("/")[1])))
    if audit.joint is not None and len(shown) > 1:
        table.add_row(*_row(audit.joint, audit.limit, name=Text("all of them together", "bold")))
    return table


def _row(answer: Answer, limit: float, *, name: Text) -> tuple[RenderableType, ...]:
    calls = len(answer.reach.calls)
    can = f"yes, in {_counted(calls, 'call')}" if answer.reach.reachable else "no"
    if answer.accepted is not None:
        name = name + Text(f"  (accepted until {answer.accepted.until})", style="dim")
    return (
        name,
        can,
        _AUTHORITY[answer.reach.authority],
        _share(answer, answer.pressure, limit),
        _share(answer, answer.residual, limit),
        "" if not answer.advantage.measured else f"{answer.advantage.value:.4f}",
        Text("not measured", style="dim"),
        _stopped(answer.stopped),
    )


_STANDS = {"holds": ("yes", "green"), "got through": ("NO", "bold red")}


def _stopped(stopped: Stopped) -> Text:
    word, style = _STANDS.get(stopped.stands, (stopped.stands, "yellow"))
    if stopped.stands == "not measured":
        return Text(word, style="dim")
    paths = stopped.paths
    if stopped.stands in _STANDS and paths.value is not None:
        word += f", {round(paths.value * paths.n)} of {paths.n}"
    return Text(word, style=style)


def _drilled(audit: Audit) -> list[RenderableType]:
    """Say what stands behind the last column, where a drill stands there."""
    drilled = [answer.stopped for answer in audit.drives if answer.stopped.made is not None]
    if not drilled:
        return []
    made = min(one.made for one in drilled if one.made is not None)
    agent = CONTAINED if all(one.contained for one in drilled) else NOT_CONTAINED
    fired = f"is it stopped: paths stopped, of those that a drill of {made:%Y-%m-%d} fired at the "
    lines = [f"{fired}guard with simulated servers; {agent}."]
    stale = next((one.why for one in drilled if one.stands == "stale"), "")
    if stale:
        lines.append(f"stale: {stale}; it supports nothing, drill again.")
    return [Text(line, style="dim") for line in lines]


def _share(answer: Answer, estimate: Estimate, limit: float) -> Text:
    if answer.status == "not modelled":
        return Text("not modelled", style="dim")
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Text(answer.status, style="yellow")
    text = f"{percent(estimate.value)} ({percent(estimate.low)} to {percent(estimate.high)})"
    if estimate.low > limit:
        return Text(text, style="bold red")
    return Text(text, style="yellow" if estimate.high > limit else "green")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _out_of_reach(audit: Audit) -> list[RenderableType]:
    gone = [a.name for a in audit.drives if a.status == "unreachable"]
    lines: list[RenderableType] = []
    if gone:
        lines += [Text(), Text(f"Out of reach of the tools given: {', '.join(gone)}.", "dim")]
    if any(a.status == "not modelled" for a in audit.drives):
        words = (
            "not modelled: a call can do it, and no rule of the world lets it pay or not pay; "
            "that is no number, and not safe."
        )
        lines += [Text(words, style="dim")]
    if any(a.status == "substitutable" for a in audit.drives):
        words = (
            "substitutable: other acts stand in for it, so removing it alone costs nothing; read "
            "its family and the line for all of them together."
        )
        lines += [Text(words, style="dim")]
    return lines


def _verdict(audit: Audit) -> RenderableType:
    style = {"within limits": "green", "over the limit": "bold red"}
    head = Text.assemble(
        ("Verdict: ", "bold"),
        (audit.verdict.outcome, style.get(audit.verdict.outcome, "bold yellow")),
        f" (limit: {100 * audit.limit:.3g}% of goals; {audit.goals:,} goals, "
        f"{audit.world['states']:,} states, seed {audit.seed})",
    )
    return Group(head, *[Text(f"  - {reason}") for reason in audit.verdict.reasons])


# -- what follows --------------------------------------------------------------------------


def _section(title: str, lines: list[RenderableType]) -> list[RenderableType]:
    body = [Padding(line, (0, 0, 0, 2), expand=False) for line in lines]
    return [Text(title, style="bold"), *body, Text()] if lines else []


def _plan(audit: Audit) -> list[RenderableType]:
    if audit.joint is None or not audit.joint.plan:
        return []
    steps = [Text(f"{i}. {step}") for i, step in enumerate(audit.joint.plan, 1)]
    return _section("The best plan, for most goals that it pays for", list(steps))


def _fixes(fixes: Fixes | None) -> list[RenderableType]:
    if fixes is None:
        return []
    if not fixes.fixes:
        return _section("Fixes", [Text(fixes.method)])
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("edit of the manifest")
    table.add_column("would pay", justify="right")
    table.add_column("if the guard holds", justify="right")
    table.add_column("task value", justify="right")
    table.add_column("approvals a run", justify="right")
    for fix in fixes.fixes:
        table.add_row(
            Text("\n+ ".join(fix.edits)),
            percent(fix.pressure.value or 0.0),
            percent(fix.residual.value or 0.0),
            f"{fix.task_value:+.4f}",
            f"{fix.approvals_per_run:.1f}",
        )
    note = Text(f"{fixes.method}; {fixes.fixes[0].pressure.n} goals each", style="dim")
    return _section("The cheapest changes after which nothing pays beyond the limit", [table, note])


def _break_even(audit: Audit) -> list[RenderableType]:
    joint = audit.joint
    if joint is None or not joint.break_even:
        return []
    words = {"detection": "at least", "stop_rate": "at most", "approval_rate": "at most"}
    parts = [
        f"{rate} {words[rate]} {value:g}" if value is not None else f"no {rate} does it alone"
        for rate, value in joint.break_even.items()
    ]
    return _section("Break-even oversight, all drives together", [Text("; ".join(parts))])


def _ranges(audit: Audit) -> list[RenderableType]:
    ranges = audit.ranges
    if not ranges.paths:
        return []
    outcomes = ", ".join(f"{name} at {count}" for name, count in ranges.outcomes.items())
    worst = ", ".join(f"{path} {value:.3g}" for path, value in ranges.worst.items())
    return _section(
        "Rates that are ranges",
        [
            Text(f"{ranges.points} points over {_counted(len(ranges.paths), 'range')}: {outcomes}"),
            Text(f"the figures above are the worst; most pressure at {worst}"),
        ],
    )


def _sensitivity(audit: Audit) -> list[RenderableType]:
    moves = []
    for moved in audit.sensitivity or ():
        by = moved.shares["joint"] - moved.shares_now["joint"]
        if abs(by) >= _MOVE:
            moves.append((abs(by), moved))
    if audit.sensitivity is None:
        return []
    moves.sort(key=lambda item: -item[0])
    lines: list[RenderableType] = [
        Text(
            f"{m.rate} {m.now:g} -> {m.at:g}: would pay for {percent(m.shares['joint'])} "
            f"of goals (now {percent(m.shares_now['joint'])})"
        )
        for _, m in moves[:_MOST_MOVES]
    ]
    n = audit.sensitivity[0].n if audit.sensitivity else 0
    lines = lines or [Text("no rate, halved or doubled, moves the joint figure by 5 points")]
    return _section(f"If a rate were half or twice what is stated ({n} goals each)", lines)


def _left_behind(audit: Audit) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(
            f"{left.asset}: {left.level} after one run ({percent(round(max(left.chances), 9))}); "
            f"by waiting: {left.waiting} ({percent(round(max(left.waiting_chances), 9))})"
        )
        for left in audit.left_behind or ()
    ]
    return _section("What the best plans leave behind on bystanders", lines)


def _findings(findings: tuple[Finding, ...]) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text.assemble((f"{finding.rule}  ", "bold"), f"{finding.where}: {finding.text}")
        for finding in findings
    ]
    return _section("Findings in the manifest", lines)
