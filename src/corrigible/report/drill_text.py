"""A drill as text: what got through first, then each drive, the attacks, the stops."""

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from corrigible.audit.verdict import percent
from corrigible.deployment.listing import plain
from corrigible.drill.records import NOT_CONTAINED, Answer, Drill, OfDrive, Path
from corrigible.evidence import Estimate

_STYLE: dict[Answer, str] = {
    "held": "green",
    "broken": "bold red",
    "could not tell": "yellow",
    "not applicable": "dim",
}
_WORDS: dict[Answer, str] = {
    "held": "held",
    "broken": "GOT THROUGH",
    "could not tell": "could not tell",
    "not applicable": "does not apply",
}
_LONGEST = 110


def drill_text(drill: Drill) -> RenderableType:
    """Return the whole of a drill for people."""
    agent = "agent contained, as it was said" if drill.contained else NOT_CONTAINED
    head = Text.assemble(
        (drill.deployment, "bold"), "  is it stopped?  ", (agent, "yellow"),
        f"; servers {drill.servers}",
    )  # fmt: skip
    return Group(
        head, Text(), _paths(drill), *_through(drill), Text(), *_attacks(drill),
        *_search(drill), *_stops(drill), Text(), _verdict(drill),
    )  # fmt: skip


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column)
    return table


def _paths(drill: Drill) -> RenderableType:
    table = _table("drive", "paths stopped", "denied", "put to a person", "let through",
                   "is it stopped?")  # fmt: skip
    for one in drill.drives:
        count = {way: sum(p.way == way for p in one.paths) for way in
                 ("denied", "approval", "let through")}  # fmt: skip
        table.add_row(
            one.drive,
            _share(one.stopped),
            str(count["denied"]),
            str(count["approval"]),
            str(count["let through"]),
            _answer(one),
        )
    if not drill.drives:
        return Text("No call of this deployment serves a drive: there is no path to fire.")
    return table


def _answer(one: OfDrive) -> Text:
    if one.accepted:
        return Text(f"{_WORDS[one.answer]} (accepted)", style="dim")
    return Text("yes" if one.answer == "held" else _WORDS[one.answer], style=_STYLE[one.answer])


def _share(estimate: Estimate) -> str:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "not measured"
    count = round(estimate.value * estimate.n)
    return f"{count} of {estimate.n} ({percent(estimate.low)} to {percent(estimate.high)})"


def _through(drill: Drill) -> list[RenderableType]:
    open_ = {
        path.name: path
        for one in drill.drives
        for path in one.paths
        if path.way in {"let through", "not built"}
    }
    lines = [Text(line) for path in open_.values() for line in _path_lines(path)]
    return _section("What was let through, or could not be fired", lines)


def _path_lines(path: Path) -> list[str]:
    if path.way == "not built":
        return [f"could not be fired: {path.why}"]
    lines = []
    for step in path.steps:
        given = ", ".join(f"{name}={value!r}" for name, value in step.arguments.items())
        lines.append(plain(f"{step.words}  ({given}), by the rule {step.rule!r}", _LONGEST))
    return lines


def _section(title: str, lines: list[Text]) -> list[RenderableType]:
    if not lines:
        return []
    return [Text(), Text(title, style="bold"), *[Padding(x, (0, 0, 0, 2)) for x in lines]]


def _attacks(drill: Drill) -> list[RenderableType]:
    table = _table("attack", "no.", "", "")
    for one in drill.attacks:
        said = one.held_when if one.answer == "held" else one.said
        table.add_row(
            one.name,
            ", ".join(map(str, one.numbers)),
            Text(_WORDS[one.answer], style=_STYLE[one.answer]),
            Text(plain(said, _LONGEST), style="dim" if one.answer != "broken" else "red"),
        )
    away = sum(one.answer == "not applicable" for one in drill.attacks)
    title = f"Attacks: {_share(drill.held)} held, {away} that do not apply are not counted"
    assumed = [
        Text(f"{one.name} ({', '.join(map(str, one.numbers))}): {one.closed_by}", style="dim")
        for one in drill.assumed
    ]
    return [
        Text(title, style="bold"),
        Padding(table, (0, 0, 0, 2)),
        *_section("Not held here, never counted as held: what must close it", assumed),
    ]


def _search(drill: Drill) -> list[RenderableType]:
    search = drill.search
    how = "every state was looked at" if search.whole else "not every state was looked at"
    lines = [
        Text(
            f"{search.states:,} states, {search.calls:,} calls, up to {search.depth} in a row "
            f"(seed {search.seed}): {how}"
        )
    ]
    if search.found:
        lines.append(Text(f"GOT THROUGH: {search.why}", style="bold red"))
        lines += [Text(plain(word, _LONGEST)) for word in search.found]
    else:
        lines.append(Text(search.why or "none found that passes and reaches what is denied"))
    return _section("Sequences of calls", lines)


def _stops(drill: Drill) -> list[RenderableType]:
    lines: list[Text] = []
    for one in drill.stops:
        figures = ", ".join(f"{_named(name)} {value:g}" for name, value in one.figures.items())
        lines.append(
            Text.assemble(
                f"{one.name}: ",
                (_WORDS[one.answer], _STYLE[one.answer]),
                f"  {figures or one.said}",
            )
        )
        lines += [Text(f"  failed: {name}", "red") for name, ok in one.checks.items() if not ok]
        if one.flights:
            ends = ", ".join(f"{count} {state}" for state, count in one.flights.items())
            lines.append(Text(f"  calls in flight ended as: {ends}", style="dim"))
        lines += [Text(f"  beyond it: {plain(text)}", style="dim") for text in one.beyond]
    return _section(f"Stops rehearsed: {_share(drill.proven)} held", lines)


def _named(figure: str) -> str:
    name, _, unit = figure.rpartition("_")
    return f"{name.replace('_', ' ')} [{unit}]" if unit in {"ms", "s"} else figure.replace("_", " ")


def _verdict(drill: Drill) -> RenderableType:
    words = {
        0: ("stopped: every path, every attack that applies, every stop", "green"),
        1: ("NOT stopped: something got through", "bold red"),
        3: ("could not tell", "bold yellow"),
    }
    said, style = words[drill.exit_code]
    return Text.assemble(
        ("Verdict: ", "bold"), (said, style),
        f" ({'agent contained' if drill.contained else NOT_CONTAINED}; {drill.took_s:.1f} s)",
    )  # fmt: skip
