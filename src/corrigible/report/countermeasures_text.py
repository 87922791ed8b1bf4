"""What was tried against drives as text: one table, then what follows in plain words."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from corrigible.audit.countermeasure_records import Countermeasures, Tried
from corrigible.audit.verdict import percent
from corrigible.evidence import Estimate

_HEADINGS = {
    "reference": "for comparison",
    "training": "trained so",
    "training, acts named": "trained so, told which acts serve a drive",
    "pair": "two at once",
    "permission": "permissions, a plain optimal agent acting in what is left",
}
_NEVER = 0.0


def countermeasures_text(found: Countermeasures) -> RenderableType:
    """Return the table of everything tried, the findings, and what was left out."""
    parts: list[RenderableType] = [_head(found), Text(), _table(found), Text()]
    parts += [Text(f"- {sentence}") for sentence in found.findings]
    parts += _accepted(found)
    parts += [Text(f"Left out: {why}.", style="dim") for why in found.left_out]
    parts += _approximated(found.tried)
    parts.append(Text(f"Method: {found.method}.", style="dim"))
    return Group(*parts)


def _head(found: Countermeasures) -> Text:
    told = (
        "  What agents would do that are optimal for what they were trained for, under the stated "
        "rates; not what this agent does."
    )
    return Text.assemble((found.deployment, "bold"), told)


def _table(found: Countermeasures) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("countermeasure")
    table.add_column("task value\nkept", justify="right")
    table.add_column("acts on\na drive", justify="right")
    for drive in found.drives:
        table.add_column(drive.split("/")[1].replace("-", "\n", 1), justify="right")
    table.add_column("waits", justify="right")
    table.add_column("never\nacts", justify="right")
    table.add_column("asks\na run", justify="right")
    for side, heading in _HEADINGS.items():
        own = [each for each in found.tried if each.side == side]
        if own:
            table.add_row("", Text(heading, style="bold"))
        for each in own:
            table.add_row(*_row(each, found))
    return table


def _row(each: Tried, found: Countermeasures) -> tuple[RenderableType, ...]:
    kept = _percent(each.kept)
    if each.kept.at_most < found.useful_from:
        kept = Text(kept.plain, style="red")
    asks = "" if not each.asks.value else f"{each.asks.value:.1f}"
    return (
        "*" if each.frontier else "",
        Text(each.words),
        kept,
        _chance(each.joint, found.limit),
        *(_chance(each.drives[drive], found.limit) for drive in found.drives),
        _percent(each.waits),
        _percent(each.idle),
        asks,
    )


def _percent(estimate: Estimate) -> Text:
    return Text("not measured" if estimate.value is None else percent(estimate.value))


def _chance(estimate: Estimate, limit: float) -> Text:
    """A chance, coloured by what its interval says of the limit."""
    if estimate.value is None:
        return Text("not measured", style="dim")
    style = "green" if estimate.at_most <= limit else "yellow"
    return Text(percent(estimate.value), style="bold red" if estimate.at_least > limit else style)


def _accepted(found: Countermeasures) -> Iterable[RenderableType]:
    if found.accepted:
        yield Text(f"Accepted, and so not counted: {', '.join(found.accepted)}.", style="dim")


def _approximated(tried: Iterable[Tried]) -> Iterable[RenderableType]:
    """Which policies are not exactly what their names say, and how."""
    notes: dict[str, list[str]] = {}
    for each in tried:
        if each.approximates and each.side != "pair":
            kinds = notes.setdefault(each.approximates, [])
            if each.kind not in kinds:
                kinds.append(each.kind)
    for note, kinds in notes.items():
        yield Text(f"Approximate: {', '.join(kinds)}: {note}.", style="dim")
    yield Text("* nothing tried keeps more of the task value with less of the drives.", style="dim")
