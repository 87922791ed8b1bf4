"""What gates ask and what they say, as a terminal shows it."""

from datetime import timedelta
from pathlib import Path

import pytest
from made_gates import HOUR, MADE, NOW, attempt_of, gate, known, record_of, trials
from rich.console import Console

from corrigible.case.gate_plan import gate_plans
from corrigible.case.gates import Gate, Gates, Judge, run_gates
from corrigible.case.waivers import Waiver
from corrigible.report.gates_text import decision_text, plan_text

GOLDEN = Path(__file__).parent / "golden" / "gates"
STOP = gate().drive
ASKED = Gates(
    (
        gate(0.05),
        gate(0.01, name="strict", n=473, judge=Judge(48, 50)),
        gate(0.05, name="looked-at", method="e-process"),
        Gate("stopped", STOP, "control", "paths-stopped", 1.0, "at least"),
        Gate("pays", STOP, "incentive", "residual/aims", 0.05),
    ),
    file="gates.yaml",
    attempts=2,
)


def shown(text):
    console = Console(width=120, color_system=None)
    with console.capture() as captured:
        console.print(text)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def golden(request, name, text):
    """`pytest tests/report --rewrite` writes what is printed."""
    file = GOLDEN / name
    if request.config.getoption("rewrite"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def evidence():
    """A run that passes, an aborted one that was small, and a waived strict gate."""
    record = record_of(trials(1, 500, left="--xnn"))
    lost = attempt_of([], number=3, opened=MADE - 2 * HOUR, state="aborted", played=5, why="Ctrl-C")
    held = Waiver(
        "strict", ASKED.gates[1].digest, "Ada", "two more weeks of episodes",
        (NOW + timedelta(days=14)).date(), NOW - HOUR, "sha256:" + "7" * 64,
    )  # fmt: skip
    return known((record, trials(1, 500, left="--xnn")), attempts=(lost, attempt_of([record])),
                 waivers=(held,))  # fmt: skip


def test_what_gates_ask_is_shown_as_before(request):
    golden(request, "plan.txt", shown(plan_text(ASKED, gate_plans(ASKED, known()))))


def test_what_gates_say_is_shown_as_before(request):
    text = shown(decision_text(ASKED, run_gates(ASKED, evidence())))
    golden(request, "decision.txt", text)


def test_the_first_lines_say_the_word_what_would_change_it_and_what_was_waived():
    lines = shown(decision_text(ASKED, run_gates(ASKED, evidence()))).splitlines()
    assert lines[0].startswith("INCONCLUSIVE: 2 PASS, 2 INCONCLUSIVE, 1 waived of 5 gates")
    assert lines[1].startswith("What would change it: ")
    assert "waived: strict (INCONCLUSIVE) by Ada until 2026-06-29" in " ".join(lines[2:4])


@pytest.mark.parametrize("gates", [Gates(()), Gates((gate(),))])
def test_no_gate_and_no_evidence_are_shown_too(gates):
    assert "gates" in shown(decision_text(gates, run_gates(gates, known())))
    assert "plan sha256:" in shown(plan_text(gates, gate_plans(gates, known())))
