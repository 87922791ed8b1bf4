"""Gates for a terminal: what they ask before anything runs, and what they say afterwards."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from corrigible.case.gate_plan import ALLOWED, CLUSTERED, GatePlan
from corrigible.case.gates import Decision, Gate, GateResult, Gates
from corrigible.case.leaves import percent

_STYLES = {"PASS": "green", "FAIL": "red", "INCONCLUSIVE": "yellow", "INVALID": "magenta"}
_SHARES = ("none", "1/100", "1/20", "1/10", "1/5", "1/2", "the limit", "twice it")
"""The true rates of a power curve, as shares of the limit."""


def plan_text(gates: Gates, plans: Iterable[GatePlan]) -> RenderableType:
    """Return what each gate asks: n for so many events, by clusters, power, retries."""
    plans = tuple(plans)
    others = [g for g in gates.gates if not any(g in plan.gates for plan in plans)]
    parts: list[RenderableType] = [Text(_where(gates))]
    for plan in plans:
        parts += [Text(), *_plan(plan)]
    if others:
        parts += [Text(), Text("Counted or computed whole, so that no number of trials is asked:")]
        parts += [Padding(line, (0, 0, 0, 2)) for line in _others(others)]
    parts += [Text(), Text(f"plan {gates.digest}")]
    return Group(*parts)


def _others(gates: Iterable[Gate]) -> list[Text]:
    """Return what is asked of each measure, with the drives that it is asked of."""
    drives: dict[str, list[str]] = {}
    for gate in gates:
        drives.setdefault(f"{gate.measure} {gate.side} {gate.limit:g}", []).append(gate.drive)
    return [Text(f"{what}: {', '.join(own)}") for what, own in drives.items()]


def _where(gates: Gates) -> str:
    whence = "the default set: no gates.yaml beside the manifest" if gates.file is None else (
        f"stated in {gates.file}"
    )  # fmt: skip
    alpha = f"confidence split over {gates.attempts} attempts" if gates.attempts > 1 else (
        "confidence planned for one attempt"
    )  # fmt: skip
    return f"{len(gates.gates)} gates, {whence}; {alpha}"


def _plan(plan: GatePlan) -> list[RenderableType]:
    gate = plan.gates[0]
    names = ", ".join(g.name for g in plan.gates)
    head = f"{gate.stem} at most {gate.limit:g} at {gate.confidence:.4g}, {gate.method}"
    if plan.level != gate.confidence:
        nth = f"attempt {plan.attempt} of {plan.planned} planned"
        head += f"; {nth}, tested at {plan.level:.4g}"
    if plan.sensitivity is not None and gate.judge is not None:
        seen = f"{gate.judge.detected} of {gate.judge.of}"
        head += f"; the judge saw {seen}, so at least {plan.sensitivity:.3f} of what happens"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("trials needed", *(_events(k) for k in ALLOWED), "e-process, none"):
        table.add_column(column, justify="left" if column == "trials needed" else "right")
    table.add_row("alone", *map(_count, plan.needs), _count(plan.sequential))
    alike = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    alike.add_column("no event, clusters of 10")
    for _, icc in CLUSTERED:
        alike.add_column(f"ICC {icc:g}", justify="right")
    alike.add_row("trials needed", *map(_count, plan.clustered))
    power = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    power.add_column(f"{_count(plan.n)} trials, {_events(plan.allowed)} allowed")
    for share in _SHARES[: len(plan.power)]:
        power.add_column(share, justify="right")
    power.add_row("true rate, by its share of the limit", *(f"{p.rate:.3g}" for p in plan.power))
    power.add_row("chance to pass", *(percent(p.passes) for p in plan.power))
    retries = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    retries.add_column("attempts at the limit")
    for retry in plan.retries:
        retries.add_column(f"{retry.tries}", justify="right")
    retries.add_row("one of them passes, alpha as it is", *(percent(r.unsplit)
                    for r in plan.retries))  # fmt: skip
    retries.add_row("at most, alpha split", *(percent(r.split) for r in plan.retries))
    tables = [table, alike]
    tables += [power] if plan.power else []
    tables += [retries] if plan.retries else []
    spaced: list[RenderableType] = []
    for one in tables:
        spaced += [Text(), Padding(one, (0, 0, 0, 2))]
    return [Text(head), Padding(Text(names), (0, 0, 0, 2)), *spaced]


def decision_text(gates: Gates, decision: Decision) -> RenderableType:
    """Return the decision, what would change it, and one line for every gate."""
    head = Text(decision.word, style=f"bold {_STYLES[decision.word]}")
    head.append(f": {decision.why}", style="not bold default")
    parts: list[RenderableType] = [head, Text(f"What would change it: {decision.change}")]
    for one in decision.results:
        if one.waiver is not None:
            w = one.waiver
            said = f"waived: {one.gate.name} ({one.word}) by {w.owner} until {w.until}: {w.why}"
            parts.append(Text(f"{said} (key {w.key[:19]})", style="bold"))
    parts += [Text(_where(gates)), Text(), _table(decision.results)]
    if notes := _notes(decision.results):
        parts += [Text(), *notes]
    return Group(*parts)


def _table(results: Iterable[GateResult]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("gate", "word", "k/n", "value", "bound", "limit", "worst", "tries", "why"):
        right = column in {"k/n", "value", "bound", "limit", "worst", "tries"}
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    for one in results:
        word = f"{one.word}, waived" if one.waiver is not None else one.word
        side = "≤" if one.gate.side == "at most" else "≥"
        table.add_row(
            one.gate.name,
            Text(word, style=_STYLES[one.word]),
            "-" if one.events is None else f"{one.events:,}/{one.n:,}",
            _figure(one.estimate.value),
            _figure(one.bound),
            f"{side} {one.gate.limit:g}",
            _figure(one.worst),
            f"{one.attempts}" if one.attempts else "-",
            one.why + _beside(one),
        )
    return table


def _beside(one: GateResult) -> str:
    excluded = ", ".join(f"{count:,} {why}" for why, count in sorted(one.excluded.items()))
    rungs = ", ".join(f"{count:,} {rung}" for rung, count in sorted(one.rungs.items()))
    parts = [f"beside n: {excluded}" if excluded else "", f"rungs: {rungs}" if rungs else ""]
    said = "; ".join(part for part in parts if part)
    return f" ({said})" if said else ""


def _notes(results: Iterable[GateResult]) -> list[Text]:
    """Return each warning once, with how many gates it stands beside."""
    gates: dict[str, list[str]] = {}
    for one in results:
        for note in one.warnings:
            gates.setdefault(note, []).append(one.gate.name)
    return [
        Text(f"{own[0]}{f' and {len(own) - 1} more' if len(own) > 1 else ''}: {note}")
        for note, own in gates.items()
    ]


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
