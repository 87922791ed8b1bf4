"""What the monitor found, an explanation, a trim: as text for people and as plain JSON values."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from corrigible.audit.verdict import percent
from corrigible.deployment.listing import plain
from corrigible.evidence import Estimate
from corrigible.monitor.watching import OUTCOMES, Found, Watch

if TYPE_CHECKING:
    from corrigible.audit.audit import Answer, Audit
    from corrigible.monitor.calibration import Threshold
    from corrigible.monitor.explain import Explained, Explanation, Pays
    from corrigible.monitor.judge import Judged
    from corrigible.monitor.trim import Trim

_LONGEST = 140
_UNVERIFIED = (
    "a ledger was read as it stands, not verified: `corrigible ledger verify` says whether it is "
    "what the guard wrote"
)
_WORDS = {
    "suspicions": ("suspicions over the threshold", "bold red"),
    "none": ("no suspicion over the threshold", "green"),
    "partly read": (
        "could not tell: none in what could be read, and not all could",
        "yellow",
    ),
    "nothing read": ("could not tell: nothing could be read", "bold yellow"),
}


_WHAT = {
    "denied": "denied",
    "asked": "put to an operator",
    "approved": "let out on an operator's word",
    "done": "let out",
}


# -- monitor -------------------------------------------------------------------------------------


def watch_text(watch: Watch, threshold: "Threshold") -> RenderableType:
    """Return what a watch saw, for people."""
    forms = ", ".join(f"{count:,} {name}" for name, count in watch.formats.items())
    head = Text.assemble(
        (f"{watch.transcripts:,} transcripts", "bold"), f" ({forms or 'none'}), ",
        f"{watch.events:,} events, ",
        (f"{watch.unread:,} bad records", "yellow" if watch.unread else ""),
    )  # fmt: skip
    words, style = _WORDS[watch.outcome]
    parts: list[RenderableType] = [head, *_bad(watch), Text()]
    if watch.over:
        parts += [_drives(watch), Text(), *_top(watch)]
    parts += [Text(line, style="dim") for line in _threshold_lines(threshold, watch)]
    return Group(*parts, Text.assemble(("Verdict: ", "bold"), (words, style)))


def _bad(watch: Watch) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for reason, count in sorted(watch.bad.items(), key=lambda one: -one[1]):
        lines.append(Text(f"  {count:,} x {plain(reason, 60)}", style="yellow"))
    lines += [Text(f"    {plain(bad, _LONGEST)}", style="yellow") for bad in watch.named]
    if watch.unread > len(watch.named):
        lines.append(Text(f"    and {watch.unread - len(watch.named):,} more", style="yellow"))
    return lines


def _drives(watch: Watch) -> RenderableType:
    table = _table("drive", *OUTCOMES, "transcripts")
    for drive, counts in sorted(watch.suspicions.items(), key=lambda one: -sum(one[1].values())):
        cells = [str(counts[outcome]) if counts[outcome] else "-" for outcome in OUTCOMES]
        table.add_row(drive, *cells, f"{watch.flagged[drive]:,} of {watch.transcripts:,}")
    return table


def _top(watch: Watch) -> list[RenderableType]:
    more = watch.over - sum(found.count for found in watch.top)
    title = "The highest of each transcript and drive"
    title += f" ({more:,} suspicions in others are not told)" if more else ""
    parts: list[RenderableType] = [Text(title, style="bold")]
    for found in watch.top:
        one = found.suspicion
        style = "red" if one.outcome == "done" else "yellow"
        parts.append(
            Text.assemble(
                f"  {one.score:.2f}  ", (f"{one.drive}, {one.outcome}", style),
                f": {plain(one.act, 80)}",
                f" (and {found.count - 1} more)" if found.count > 1 else "",
            )
        )  # fmt: skip
        parts.append(Text(f"        {plain(one.what, _LONGEST)}"))
        parts.append(Text(f"        {_place(found)}", style="dim"))
    return [*parts, Text()]


def _place(found: Found) -> str:
    one = found.suspicion
    span = f"event {one.first}" if one.first == one.last else f"events {one.first} to {one.last}"
    return f"{plain(found.source, 80)}, {plain(one.transcript, 60)}, {plain(one.where, 60)}, {span}"


def _threshold_lines(threshold: "Threshold", watch: Watch) -> list[str]:
    lines = [f"Threshold: {threshold.sentence()} (calibrated on: {plain(threshold.source, 200)})"]
    if watch.below:
        lines.append(f"{watch.below:,} suspicions lie under it and are not told")
    if "ledger" in watch.formats:
        lines.append(_UNVERIFIED)
    return lines


def judged_text(judged: "Sequence[Judged]") -> RenderableType:
    """Return what a judge says of the suspicions listed; it decides nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("the judge says", "drive", "transcript", "why"):
        table.add_column(column)
    for one in judged:
        held = one.suspicion
        table.add_row(
            one.opinion, held.drive, plain(held.transcript, 40), Text(plain(one.why, 300))
        )
    said = f"Asked: {plain(judged[0].model, 80)}. A judge's word changes no score and no exit code."
    return Group(table, Text(said, style="dim"))


def judged_json(one: "Judged") -> dict[str, Any]:
    """Return one opinion, as plain JSON values, with what it is about."""
    held = one.suspicion
    return {
        "transcript": held.transcript,
        "detector": held.detector,
        "drive": held.drive,
        "opinion": one.opinion,
        "why": one.why,
        "model": one.model,
    }


def watch_json(watch: Watch, threshold: Mapping[str, Any], says: str) -> dict[str, Any]:
    """Return what a watch saw, as plain JSON values; the threshold as `threshold_json` has it."""
    return {
        "outcome": watch.outcome,
        "transcripts": watch.transcripts,
        "partly_read": watch.partly,
        "events": watch.events,
        "formats": watch.formats,
        "bad": {
            "count": watch.unread,
            "reasons": watch.bad,
            "first": [{"source": b.source, "line": b.line, "why": b.why} for b in watch.named],
        },
        "threshold": {**threshold, "says": says},
        "suspicions": watch.over,
        "below": watch.below,
        "drives": watch.suspicions,
        "flagged": {drive or "any": count for drive, count in watch.flagged.items()},
        "top": [
            {"source": found.source, "count": found.count, **vars(found.suspicion)}
            for found in watch.top
        ],
    }


# -- explain -------------------------------------------------------------------------------------


def explanation_text(found: "Explanation") -> RenderableType:
    """Return an explanation for people."""
    acts = found.acts
    head = Text.assemble(
        (found.deployment, "bold"), f"  {acts.calls:,} calls dispatched; ",
        f"{sum(one.act.count for one in found.explained):,} acts to explain, "
        f"{len(found.explained)} of them different",
    )  # fmt: skip
    parts: list[RenderableType] = [head]
    if acts.left_out:
        parts.append(Text(f"{acts.left_out:,} further acts are not told: --most", style="yellow"))
    parts += [Text(plain(line, 200), style="yellow") for line in acts.bad]
    for one in found.explained:
        parts += [Text(), *_explained(one, found)]
    if not found.explained:
        parts += [Text("Nothing was denied, asked for or approved, and nothing served a drive.")]
    return Group(*parts, Text(), *[Text(line, style="dim") for line in _basis(found)])


def _explained(one: "Explained", found: "Explanation") -> list[RenderableType]:
    act = one.act
    often = f", {act.count} times up to entry {act.last}" if act.count > 1 else ""
    verbs = (
        ", ".join(f"{verb} {asset}" for verb, asset, _ in act.effects) or "nothing that is named"
    )
    lines = [
        Text.assemble(
            (f"entry {act.first}{often}: ", ""), (plain(act.tool, 80), "bold"), f" ({verbs}), ",
            (_WHAT[act.what], "bold"),
            f" by {plain(act.rule, 80)}",
        ),
        Text(f"  serves {', '.join(act.drives)}" if act.drives else "  serves no drive"),
    ]  # fmt: skip
    if act.policy not in {"", found.digest}:  # a stop denies before any manifest is asked
        lines.append(Text("  decided under another manifest than the one given", style="yellow"))
    lines.append(Text(f"  then: {_situation(one)}"))
    if one.missing:
        needed = ", ".join(one.missing)
        lines.append(Text(f"  could not have come off: it requires {needed}, not held then"))
    lines += [Text(line) for line in _open_lines(one)]
    lines.append(Text(f"  would have paid: {_pays(one.pays)}"))
    lines.append(Text(f"  cheapest change: {_fix(one)}"))
    return [*lines]


def _situation(one: "Explained") -> str:
    act = one.act
    levels = [f"{name} {' or '.join(given)}" for name, given in act.levels.items()]
    parts = [*act.held, *levels]
    if act.corrected:
        parts.append(f"corrected {act.corrected} times")
    return "; ".join(parts) if parts else "everything at its start, running"


def _open_lines(one: "Explained") -> list[str]:
    lines = []
    for verdict, words in (("allow", "allowed"), ("approve", "with approval"), ("deny", "denied")):
        calls = [plain(o.words, 60) for o in one.open if o.verdict == verdict]
        if calls:
            more = f" and {len(calls) - 8} more" if len(calls) > 8 else ""  # noqa: PLR2004  (a line)
            lines.append(f"  open, {words}: {'; '.join(calls[:8])}{more}")
    return lines or ["  open: nothing"]


def _pays(pays: "Pays") -> str:
    if pays.share.value is None or pays.value is None or pays.without is None:
        return f"not measured: {pays.why}"
    where = "" if pays.states == 1 else f" at the worst of {pays.states:,} possible states"
    least = "" if pays.states == 1 else f", {percent(pays.lowest.value or 0.0)} at the mildest"
    return (
        f"yes for {percent(pays.share.value)}{_span(pays.share)} of {pays.share.n} goals{where}"
        f"{least}; mean return {pays.value:.3f} with it, {pays.without:.3f} without"
    )


def _fix(one: "Explained") -> str:
    if one.fix is None:
        return one.fix_why
    fix = one.fix
    return (
        f"{'; '.join(fix.edits)} (then it pays for {percent(fix.pressure.value or 0.0)} of goals; "
        f"task value {fix.task_value:+.3f}, {fix.approvals_per_run:.1f} approvals a run)"
    )


def _basis(found: "Explanation") -> list[str]:
    ranged = f"; {', '.join(found.ranged)} at the middle of their ranges" if found.ranged else ""
    who = (
        f"What pays is what an optimal planner would gain from there on, over {found.goals} goals "
        f"drawn from {found.distribution} (seed {found.seed}, horizon {found.horizon:g}{ranged}); "
        "it says nothing of what this agent wants."
    )
    return [who, f"{_UNVERIFIED.capitalize()}."]


def explanation_json(found: "Explanation") -> dict[str, Any]:
    """Return an explanation as plain JSON values."""
    return {
        "ledger": str(found.ledger), "deployment": found.deployment, "manifest": found.digest,
        "calls": found.acts.calls, "left_out": found.acts.left_out, "bad": list(found.acts.bad),
        "goals": found.goals, "distribution": found.distribution, "seed": found.seed,
        "horizon": found.horizon, "ranges_at_their_middle": list(found.ranged),
        "limit": found.limit, "acts": [_explained_json(one) for one in found.explained],
    }  # fmt: skip


def _explained_json(one: "Explained") -> dict[str, Any]:
    act, pays = one.act, one.pays
    return {
        "what": act.what, "entry": act.first, "last_entry": act.last, "count": act.count,
        "at": act.at, "caller": act.caller, "tool": act.tool, "arguments": dict(act.arguments),
        "rule": act.rule, "reason": act.reason, "effects": [list(e) for e in act.effects],
        "drives": list(act.drives), "manifest": act.policy,
        "then": {
            "levels": {name: list(levels) for name, levels in act.levels.items()},
            "used": dict(act.used), "held": list(act.held), "corrected": act.corrected,
        },
        "missing": list(one.missing),
        "open": [vars(o) | {"drives": list(o.drives)} for o in one.open],
        "pays": {
            "share": vars(pays.share) | {}, "lowest": vars(pays.lowest) | {}, "value": pays.value,
            "without": pays.without, "states": pays.states, "why": pays.why,
        },
        "fix": None if one.fix is None else {
            "edits": list(one.fix.edits), "pressure": vars(one.fix.pressure) | {},
            "task_value": one.fix.task_value, "approvals_per_run": one.fix.approvals_per_run,
        },
        "fix_why": one.fix_why,
    }  # fmt: skip


# -- trim ----------------------------------------------------------------------------------------


def trim_text(found: "Trim", audits: Mapping[str, tuple[str, str]] | None) -> RenderableType:
    """Return a trim for people; `audits`: what the audit says before and after, by drive."""
    used = found.used
    head = Text.assemble(
        (found.loaded.deployment.name, "bold"),
        f"  {used.calls:,} calls in {used.runs} runs over {_time(used.seconds)}",
    )
    parts: list[RenderableType] = [head]
    if used.other:
        parts.append(Text(f"{used.other:,} of them under another manifest", style="yellow"))
    parts += [Text(plain(line, 200), style="yellow") for line in used.bad]
    table = _table("never used", "", "")
    for one in found.cuts:
        table.add_row(
            one.what, plain(one.name, 80), f"kept: {plain(one.kept, 80)}" if one.kept else ""
        )
    for name in found.idle:
        table.add_row("held by nobody", name, "kept: an asset is no grant")
    if found.cuts or found.idle:
        parts += [Text(), Padding(table, (0, 0, 0, 2))]
    parts += [Text(), Text(found.diff or "Nothing is to be cut: all that is granted was used.")]
    if audits:
        rows = _table("drive", "pressure before", "after")
        for drive, (before, after) in audits.items():
            rows.add_row(drive, before, after)
        parts += [rows, Text()]
    return Group(*parts, *[Text(line, style="dim") for line in trim_notes(found)])


def trim_notes(found: "Trim") -> tuple[str, ...]:
    """Return what a trim's figures say, and what they do not."""
    used = found.used
    bound = "" if used.at_most is None else fine(used.at_most)
    never = (
        f"Never used in {used.calls:,} calls over {_time(used.seconds)} is no proof: it says with "
        f"95 % confidence that a thing is in at most {bound} of calls, if those to come are like "
        "these."
    )
    return (
        never,
        "Each task that granted calls advance is still advanced by one in the smaller manifest.",
        "Not judged: whether a tool's reach, sandbox or target could be narrower.",
        f"{_UNVERIFIED.capitalize()}.",
    )


def trim_json(found: "Trim", audits: Mapping[str, tuple[str, str]] | None) -> dict[str, Any]:
    """Return a trim as plain JSON values."""
    used = found.used
    return {
        "deployment": found.loaded.deployment.name, "manifest": found.loaded.digest,
        "smaller": found.smaller.digest, "calls": used.calls, "runs": used.runs,
        "days": used.days, "other_manifest": used.other, "bad": list(used.bad),
        "use_at_most": used.at_most, "method": "exact one-sided 95 %",
        "never_used": [
            {"what": one.what, "name": one.name, "kept": one.kept} for one in found.cuts
        ],
        "idle": list(found.idle), "diff": found.diff,
        "audit": None if audits is None else {
            drive: {"before": before, "after": after} for drive, (before, after) in audits.items()
        },
        "notes": list(trim_notes(found)),
    }  # fmt: skip


def audited_rows(before: "Audit", after: "Audit") -> dict[str, tuple[str, str]]:
    """Return each drive's pressure before and after as words, and the value of the task."""
    later = {one.name: one for one in (*after.drives, after.joint) if one is not None}
    rows = {
        one.name: (_pressure(one), _pressure(later[one.name]))
        for one in (*before.drives, before.joint)
        if one is not None and one.name in later and one.status != "unreachable"
    }
    values = [_value(one.task_value) for one in (before, after)]
    return {**rows, "task value within authority": (values[0], values[1])}


def _pressure(answer: "Answer") -> str:
    return answer.status if answer.pressure.value is None else percent(answer.pressure.value)


def _value(estimate: Estimate) -> str:
    return "not measured" if estimate.value is None else f"{estimate.value:.3f}"


# -- shared --------------------------------------------------------------------------------------


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON for a terminal or a file: ASCII, so that nothing in it moves a cursor."""
    return json.dumps(value, indent=1, allow_nan=False, default=list)


def fine(share: float) -> str:
    """Write a share in per cent, with three figures: rates of alarms are small."""
    return f"{100 * share:.3g} %"


def _time(seconds: float) -> str:
    """Write a length of time in the largest unit that it fills."""
    for name, unit in (("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.1f} seconds"


def _span(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return ""
    return f" ({fine(estimate.low)} to {fine(estimate.high)})"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column)
    return table
