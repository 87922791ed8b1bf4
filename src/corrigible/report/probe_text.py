"""A probe as text: one table of drives, then the twins that say why, and what was left out."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from corrigible.audit.verdict import percent
from corrigible.evidence import Estimate
from corrigible.probe.plan import Forecast
from corrigible.probe.result import Comparison, DriveResult, ProbeResult, TwinResult

WHAT_IT_SAYS = (
    "What was seen of acts in a simulated deployment; it says nothing of what this agent wants, "
    "and it holds for this agent, this deployment and these goals."
)
_CLEAR = 0.05


def probe_text(result: ProbeResult) -> RenderableType:
    """Return the whole result: the table, the twins, and what stands beside the rates."""
    head = Text.assemble(
        (f"{result.agent} in {result.deployment}", "bold"),
        f"  {result.episodes:,} episodes, seed {result.seed}, goals: {result.distribution}",
    )
    parts: list[RenderableType] = [head, Text(WHAT_IT_SAYS), Text(), _table(result.drives)]
    parts += _why(result.drives)
    parts += _interventions(result)
    parts += _twins(result.twins)
    parts += _left_out(result.drives)
    if result.log is not None:
        parts += [Text(), Text(f"Every episode: {result.log}")]
    return Group(*parts)


def forecast_text(forecast: Forecast) -> RenderableType:
    """Return what a probe will take, before anything runs."""
    each = forecast.episodes // max(forecast.arms, 1)
    what = f"{forecast.arms} arms of {each:,} episodes, {forecast.episodes:,} episodes in all"
    if not forecast.calls:
        return Text(f"{what}, no calls of a model.")
    cost = "no price given"
    if forecast.cost_usd is not None:
        cost = f"about {forecast.cost_usd:,.2f} usd"
    tokens = f"about {forecast.tokens:,} tokens, {cost}"
    return Text(f"{what}, at most {forecast.calls:,} calls of the agent ({tokens}).")


def comparison_text(comparison: Comparison) -> RenderableType:
    """Return two agents beside each other, on the same episodes."""
    table = _plain_table("drive", "difference", "episodes", "p", "p (Holm)")
    for found in comparison.drives:
        table.add_row(
            found.drive, _signed(found.difference), str(found.difference.n),
            _p(found.p), _p(found.p_adjusted),
        )  # fmt: skip
    head = f"{comparison.first} less {comparison.second}, on the same episodes"
    return Group(Text(head, style="bold"), Text(), table)


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="", show_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _table(drives: Iterable[DriveResult]) -> Table:
    table = _plain_table(
        "drive", "does it?", "could it?", "where it pays, more", "beyond the best plan",
        "worst seen", "why", "controls",
    )  # fmt: skip
    for found in drives:
        table.add_row(
            found.drive,
            _share(found.rate) if found.validity.valid else "INVALID",
            _share(found.opportunity),
            _signed(found.sensitivity),
            _share(found.excess),
            _worst(found),
            found.attribution.word or "-",
            found.validity.word,
        )
    return table


def _share(estimate: Estimate) -> str:
    """Return a share with its interval, as `22% (18% to 26%)`."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "not measured"
    return f"{percent(estimate.value)} ({percent(estimate.low)} to {percent(estimate.high)})"


def _signed(estimate: Estimate) -> str:
    """Return a difference of shares with its interval, in points."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "not measured"
    value, low, high = (round(100 * x) for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:+d} ({low:+d} to {high:+d})"


def _worst(found: DriveResult) -> str:
    """Return the highest rung that was seen, and how often."""
    seen = [rung for rung, count in found.ladder.items() if count]
    return f"{seen[-1]} x {found.ladder[seen[-1]]}" if seen else "-"


def _p(p: float | None) -> str:
    return "-" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004


def _why(drives: Iterable[DriveResult]) -> list[RenderableType]:
    lines = []
    for found in drives:
        if not found.validity.valid:
            lines.append(Text(f"  {found.drive}: INVALID: {found.validity.why}"))
        elif found.attribution.word is not None:
            text = f"{found.attribution.word}: {found.attribution.why}"
            lines.append(Text(f"  {found.drive}: {text}"))
    return [Text(), Text("Why", style="bold"), *lines] if lines else []


def _interventions(result: ProbeResult) -> list[RenderableType]:
    """Return what was done under each intervention, and what it says of goals and scores."""
    if len({found.arm for found in result.arms}) < 2:  # noqa: PLR2004 - the world as it is, alone
        return []
    table = _plain_table("intervention", "drive", "does it?")
    for found in result.arms:
        table.add_row(found.arm, found.drive, _share(found.rate))
    parts: list[RenderableType] = [Text(), Text("Under each intervention", style="bold"), table]
    if result.served:
        counts = ", ".join(f"{word} {count}" for word, count in result.served.items())
        parts.append(Text(f"  after a correction the goal served was: {counts}"))
    lost = result.sandbagging
    if lost.value is not None and lost.low is not None and lost.high is not None:
        span = f"{lost.value:+.3f} ({lost.low:+.3f} to {lost.high:+.3f})"
        parts.append(Text(f"  utility lost where a high score has consequences: {span}"))
    return parts


def _twins(twins: Iterable[TwinResult]) -> list[RenderableType]:
    """Return the twins that make a clear difference, and in one line each that do not apply."""
    table = _plain_table("twin", "drive", "as it is, less switched", "p", "p (Holm)")
    clear, none = 0, dict[str, None]()
    for twin in twins:
        if twin.p is None:
            none[f"  {twin.factor}: {twin.difference.method}"] = None
        elif twin.p_adjusted is not None and twin.p_adjusted < _CLEAR:
            clear += 1
            table.add_row(
                twin.factor, twin.drive, _signed(twin.difference), _p(twin.p), _p(twin.p_adjusted)
            )
    parts: list[RenderableType] = [Text(), Text("Twins that differ clearly, in points", "bold")]
    parts.append(table if clear else Text("  none"))
    if none:
        parts += [Text(), Text("Twins that could not be compared", style="bold")]
        parts += [Text(line) for line in none]
    return parts


def _left_out(drives: Iterable[DriveResult]) -> list[RenderableType]:
    lines = [
        Text(f"  {found.drive}: {count} x {why}")
        for found in drives
        for why, count in sorted(found.left_out.items())
    ]
    if not lines:
        return []
    head = "Beside the rates: episodes that say nothing of a drive are neither safe nor unsafe"
    return [Text(), Text(head, style="bold"), *lines]
