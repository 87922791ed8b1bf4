"""What a person reads of a case first: the decision, one number, what would change it, a table."""

from collections.abc import Mapping
from dataclasses import dataclass

from corrigible.case.gates import GateResult
from corrigible.case.leaves import counted, percent
from corrigible.case.nodes import Case, Node, Question, Status
from corrigible.drives import DRIVES, FAMILIES
from corrigible.evidence import ALL_DRIVES

QUESTION_WORDS: Mapping[Question, str] = {
    "can": "can it?",
    "pays": "would it pay, guarded?",
    "does": "does it?",
    "stopped": "is it stopped?",
}
"""The columns of the table of drives, in order."""

_WORST_WORDS = ("FAIL", "INVALID", "INCONCLUSIVE", "PASS")


@dataclass(frozen=True)
class Head:
    """What comes first: why it stands as it does, the one number, and what would change it."""

    why: str
    number: str
    change: str


@dataclass(frozen=True)
class Cell:
    """One question's answer for one drive: in words with its number, and the goal's status."""

    word: str
    status: Status | None


def head(case: Case) -> Head:
    """Return what a person should read if they read no more."""
    decisive = _decisive(case)
    number = "No gate was run." if decisive is None else _number(decisive)
    top = case.nodes[case.top]
    if case.decision.word == "PASS" and case.status != "supported":
        why = f"Every gate passes, but the case is {case.status}."
        return Head(why, number, top.why)
    if not case.gathered.records:
        change = "nothing was measured yet: run `corrigible audit`, `probe` and `drill`"
        return Head(case.decision.why, number, change)
    return Head(case.decision.why, number, case.decision.change)


def _decisive(case: Case) -> GateResult | None:
    """Return the gate that decides: the worst word, then furthest past its limit.

    Among gates that pass, one with a bound says more than one that was counted whole.
    """
    results = [one for one in case.decision.results if one.waiver is None]
    return min(
        results or case.decision.results,
        key=lambda one: (
            _WORST_WORDS.index(one.word),
            one.word == "PASS" and one.gate.kind == "control",
            -_past(one),
            one.gate.name,
        ),
        default=None,
    )


def _past(result: GateResult) -> float:
    """How far the bound is past the limit; nothing measured counts as furthest."""
    bound = result.bound if result.bound is not None else result.estimate.value
    if bound is None:
        return 1.0
    limit = result.gate.limit
    return bound - limit if result.gate.side == "at most" else limit - bound


def _number(result: GateResult) -> str:
    gate, value = result.gate, result.estimate.value
    limit = f"{gate.side} {percent(gate.limit)}"
    if value is None:
        return f"{gate.drive} {gate.measure}: not measured ({limit})"
    sure = result.bound is not None and gate.kind != "control"
    bound = f", bound {percent(result.bound or 0.0)}" if sure else ""
    return f"{gate.drive} {gate.measure}: {percent(value)} ({counted(result)}{bound}; {limit})"


# -- the table -----------------------------------------------------------------------------


def shown_drives(case: Case) -> tuple[str, ...]:
    """Return the drives, families and all together that have a row: those within reach."""
    return tuple(n for n in (*DRIVES, *FAMILIES, ALL_DRIVES) if f"S/{n}" in case.nodes)


def unreached_drives(case: Case) -> tuple[str, ...]:
    """Return the drives that no call of the deployment reaches, by its manifest."""
    return tuple(d for d in DRIVES if f"G/{d}" in case.nodes and f"S/{d}" not in case.nodes)


def accepted_drives(case: Case) -> tuple[Node, ...]:
    """Return the contexts that say which drives are accepted, why and until when."""
    found = (case.nodes.get(f"C/accepted/{drive}") for drive in DRIVES)
    return tuple(node for node in found if node is not None)


def open_doubts(case: Case) -> tuple[Node, ...]:
    """Return the counter goals that are open, incidents left out."""
    return tuple(
        node
        for _, node in sorted(case.nodes.items())
        if node.type == "counter_goal" and node.open and not node.id.startswith("CG/incident/")
    )


def other_doubts(case: Case) -> tuple[Node, ...]:
    """Return the counter goals that are mitigated, accepted or refuted."""
    return tuple(
        node
        for _, node in sorted(case.nodes.items())
        if node.type == "counter_goal" and not node.open
    )


def answer(case: Case, name: str, question: Question) -> Cell:
    """Return what the case says of one question for one drive, family or all drives."""
    goal = case.nodes.get(f"G/{name}/{question}")
    if goal is None:
        return Cell("", None)
    if question == "can":
        leaf = case.nodes[goal.supported_by[0]]
        said = leaf.why.replace("it can", "yes") if leaf.status == "unsupported" else "no"
        return Cell(said, goal.status)
    own = (case.results[id_] for id_ in goal.supported_by if id_ in case.results)
    figure = next(own, None)  # its own comes first, what it shares with others after it
    word = "not measured" if figure is None or figure.estimate.value is None else _figure(figure)
    return Cell("stale" if goal.status == "stale" else word, goal.status)


def _figure(result: GateResult) -> str:
    value = result.estimate.value or 0.0
    if result.gate.kind == "control":
        return f"{round(value * result.n)} of {result.n}"
    bound = "" if result.bound is None else f" (bound {percent(result.bound)})"
    return f"{percent(value)}{bound}"
