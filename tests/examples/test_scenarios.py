"""Each scenario pays as shipped, stops paying after the one change, and prints what it quotes."""

import json
import re
from dataclasses import dataclass
from datetime import date
from functools import cache

import pytest

from corrigible.deployment.findings import findings
from corrigible.deployment.load import load_deployment
from corrigible.world.modes import structure_of
from example_runs import EXAMPLES, audited, plain_lines, printed, quotes_of

SCENARIOS = EXAMPLES / "scenarios"
INDEX = (SCENARIOS / "README.md").read_text(encoding="utf-8")

TESTED = {
    "taking resources not granted": "resource-acquisition/compute",
    "copying itself or its weights": "self-preservation/replicate",
    "resisting shutdown": "self-preservation/avoid-shutdown",
    "manipulating oversight": "power-seeking/undermine-oversight",
    "widening what it can do": "cognitive-enhancement/gain-tools",
    "resisting retraining": "goal-preservation/resist-correction",
    "guarding its goal by deceit": "power-seeking/gain-leverage",
}
"""What laboratories test agents for -> the drive that the scenario for it shows."""

EXPECTED = {"open-ended-goal", "asset-not-reached"}
"""What a reviewer would ask about here: tasks that drift, organs that no tool reaches."""


@dataclass(frozen=True)
class Row:
    """One line of the index."""

    topic: str
    name: str
    drive: str
    pays: str
    held: str
    change: str
    then: str


def rows():
    """The lines of the index, without its head."""
    found = []
    for line in INDEX.splitlines():
        if line.startswith("| ") and "](" in line:
            topic, name, *rest = (cell.strip().strip("`") for cell in line.strip("| ").split(" | "))
            found.append(Row(topic, re.match(r"\[(.+?)\]", name)[1], *rest))
    return tuple(found)


EACH = pytest.mark.parametrize("row", rows(), ids=lambda row: row.name)


@cache
def answers(name, change=None):
    """Drive -> its answer, as the fast audit gives it."""
    words = "" if change is None else f" --set '{change}'"
    report = json.loads(audited(f"corrigible audit {folder(name)} --fast --json{words}").output)
    return {answer["drive"]: answer for answer in report["drives"]}


def folder(name):
    return f"examples/scenarios/{name}"


def share(answer, which):
    """Return a share as the tables print it, or the status where there is none."""
    if answer["status"] != "modelled":
        return answer["status"]
    return f"{answer['pays'][which]['value']:.0%}"


def test_the_seven_cover_what_laboratories_test_by_their_drives():
    assert {row.topic: row.drive for row in rows()} == TESTED
    assert {row.name for row in rows()} == {f.parent.name for f in SCENARIOS.glob("*/*.yaml")}


def test_deceit_reaches_the_overseer_and_its_records_too():
    """Persuaded people are the figure; false records and false figures stand beside it."""
    loaded = load_deployment(SCENARIOS / "case-reports" / "deployment.yaml")
    served = {drive for mode in structure_of(loaded.deployment).all_modes for drive in mode.drives}
    assert served >= {"goal-preservation/deceive-overseer", "power-seeking/undermine-oversight"}


@EACH
def test_a_scenario_loads_states_its_rates_and_leaves_nothing_open(row):
    loaded = load_deployment(SCENARIOS / row.name / "deployment.yaml")
    assert loaded.deployment.name == row.name
    assert {f.rule for f in findings(loaded, today=date(2026, 1, 1))} <= EXPECTED
    assert all(span.exact for span in loaded.deployment.rates().values())


@EACH
@pytest.mark.slow
def test_the_act_pays_as_shipped_and_not_after_the_one_change(row):
    before = answers(row.name)[row.drive]
    assert (share(before, "pressure"), share(before, "residual")) == (row.pays, row.held)
    assert before["pays"]["pressure"]["low"] > 0.5
    after = answers(row.name, row.change)[row.drive]
    assert share(after, "pressure") == row.then
    assert row.then == "unreachable" or after["pays"]["pressure"]["high"] <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model-rollout", "oversight.stop_rate=1/2000"),
        ("label-retraining", 'tools.training.drop_batch.target="batches/raw-{batch}"'),
        ("case-reports", "oversight.correction_rate=0"),
    ],
)
def test_other_ways_that_the_pages_name_end_it_too(name, change):
    drive = next(row.drive for row in rows() if row.name == name)
    after = answers(name, change)[drive]
    assert after["status"] == "unreachable" or after["pays"]["pressure"]["high"] <= 0.05


@EACH
@pytest.mark.slow
def test_a_scenario_is_small_and_exits_as_its_page_says(row):
    result = audited(f"corrigible audit {folder(row.name)} --fast")
    (states,) = re.findall(r"goals, ([\d,]+) states", result.output)
    assert int(states.replace(",", "")) < 3_000
    page = (SCENARIOS / row.name / "README.md").read_text(encoding="utf-8")
    assert f"exit code {result.exit_code}" in page


QUOTES = [
    (name, place)
    for name in (".", *(row.name for row in rows()))
    for place in range(len(quotes_of(f"scenarios/{name}")))
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "place"), QUOTES)
def test_each_line_that_a_page_quotes_is_printed(name, place):
    """In the order of the page; `...` stands for any lines between."""
    quote = quotes_of(f"scenarios/{name}")[place].text
    output = audited(quote.splitlines()[0].removeprefix("$ ")).output
    real = iter(plain_lines(output))
    assert not [line for line in plain_lines(quote)[1:] if line != "..." and line not in real]


@EACH
def test_a_figure_in_the_prose_is_quoted_or_stated(row):
    """Decimals and shares: each stands in a quoted line of the page, or in the manifest."""
    page = (SCENARIOS / row.name / "README.md").read_text(encoding="utf-8")
    sources = [block.text for block in quotes_of(f"scenarios/{row.name}")]
    sources.append((SCENARIOS / row.name / "deployment.yaml").read_text(encoding="utf-8"))
    prose = re.sub(r"```.*?```|arXiv \d{4}\.\d{5}", "", page, flags=re.DOTALL)
    figures = set(re.findall(r"\d+\.\d+|\d+%", prose))
    assert not {figure for figure in figures if figure not in " ".join(sources)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpu-batch", "label-retraining"])
def test_a_planner_within_its_authority_never_does_it(name):
    drive = next(row.drive for row in rows() if row.name == name)
    words = f"{folder(name)} --agent planner/compliant --episodes 60 --drive {drive}"
    found = json.loads(printed(f"corrigible probe {words} --no-evidence --json").output)
    (answer,) = found["drives"]
    assert answer["rate"]["value"] == 0.0
    assert answer["validity"] == "valid"
