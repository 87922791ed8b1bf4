"""The text of an audit: golden for a tiny deployment, and honest with any."""

import re
from dataclasses import replace
from datetime import date
from difflib import unified_diff
from pathlib import Path

import pytest
from rich.console import Console
from tiny import AVOID, REPLICATE, asset, parsed, quick, setting_of, tiny, tool, whole

from corrigible.audit.left_behind import LeftBehind, left_behind
from corrigible.deployment.findings import Finding, findings
from corrigible.evidence import Estimate, share_estimate
from corrigible.report.audit_text import print_text, quick_text, rest_text

GOLDEN = Path(__file__).parent / "golden"
FULL = tiny(
    tools={
        "s.copy": tool("copy", at="bot", success="0.5..1"),
        "s.look": tool("read", at="key"),
    },
    assets={
        "bot": asset("self/process", "bot"),
        "key": asset("information/secret", "key"),
        "fame": asset("bystander/goodwill", "page", wear=0.2),
    },
    accepts={REPLICATE: {"why": "it is a fleet", "until": "9999-01-01"}},
)
SHOWN = {
    "tiny": tiny(),
    "full": FULL,
    "within": tiny(oversight={"stop_rate": 0}),
}


def shown(part, width=150):
    """Return a part as a pipe of any machine would get it, lines stripped on the right."""
    console = Console(width=width, markup=False, emoji=False, highlight=False, color_system=None,
                      force_terminal=False, _environ={})  # fmt: skip
    with console.capture() as captured:
        print_text(part, console)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip() + "\n"


def text_of(manifest):
    found = findings(parsed(manifest), today=date(2026, 1, 1))
    return f"{shown(quick_text(quick(manifest)))}\n{shown(rest_text(whole(manifest), found))}"


@pytest.mark.parametrize("name", [pytest.param("full", marks=pytest.mark.slow), "tiny", "within"])
def test_the_text_is_the_golden_one(name, request):
    """`pytest tests/report --rewrite` writes what is printed."""
    printed, file = text_of(SHOWN[name]), GOLDEN / f"{name}.txt"
    if request.config.getoption("rewrite"):
        file.write_text(printed, encoding="utf-8")
    golden = file.read_text(encoding="utf-8")
    lines = unified_diff(golden.splitlines(), printed.splitlines(), file.name, "printed", "", "")
    difference = "\n".join(lines)
    assert not difference, difference


def test_each_golden_text_has_its_deployment():
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(SHOWN)


# -- honest ---------------------------------------------------------------------------------


def rows_of(text):
    """Return the rows of the table of answers."""
    return [line for line in text.splitlines() if re.match(r"(  )?[a-z -]+ +(yes|no)[, ]", line)]


def test_what_an_audit_does_not_measure_stands_in_both_columns_of_every_row():
    rows = rows_of(shown(quick_text(quick(FULL))))
    assert len(rows) == 5 - 1  # a family of one has no figures of its own
    assert all(re.search(r"not measured +not measured$", row) for row in rows)


ALMOST = [(1, 1000, "<1%"), (9, 1000, "<1%"), (991, 1000, ">99%"), (999, 1000, ">99%")]


def with_share(audit, share):
    answers = [replace(a, pressure=share, residual=share) for a in audit.drives if a.name == AVOID]
    return replace(audit, drives=tuple(answers), joint=replace(audit.joint, pressure=share))


@pytest.mark.parametrize(("count", "n", "words"), ALMOST)
def test_a_share_that_is_not_0_or_1_is_never_written_as_one(count, n, words):
    text = shown(quick_text(with_share(quick(tiny()), share_estimate(count, n))))
    (row,) = rows_of(text)
    assert row.count(words) >= 2
    assert not re.search(r"(?<![>\d])100% \(|(?<![<\d])\b0% \(", row)


def test_the_end_of_an_interval_is_not_rounded_away_either():
    near = Estimate(0.5, 1e-6, 1 - 1e-6, 10, "test")
    assert "50% (<1% to >99%)" in shown(quick_text(with_share(quick(tiny()), near)))


def test_a_chance_left_behind_is_not_rounded_away():
    left = LeftBehind("fame", "whole", "whole", ("harmed", "whole"), (4e-4, 1 - 4e-4), (0, 1.0), 16)
    text = shown(rest_text(replace(quick(tiny()), left_behind=(left,))))
    assert "fame: whole after one run (>99%); by waiting: whole (100%)" in text


@pytest.mark.parametrize(("limit", "words"), [(0.05, "5%"), (0.005, "0.5%"), (0, "0%")])
def test_the_limit_is_written_as_it_was_asked_for(limit, words):
    assert f"(limit: {words} of goals" in shown(quick_text(quick(tiny(), limit=limit)))


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (tiny(tools={"s.look": tool("read", at="key")},
              assets={"key": asset("information/secret", "key")}), "not modelled"),
        (tiny(tools={"s.self": tool("schedule", at="bot")},
              assets={"bot": asset("self/process", "bot")}), "substitutable"),
    ],
)  # fmt: skip
def test_a_share_that_is_none_is_said_in_words_and_explained(manifest, words):
    text = shown(quick_text(quick(manifest)))
    assert any(words in row for row in rows_of(text))
    assert f"\n{words}: " in text


def test_the_text_says_whose_plan_it_is_and_what_it_does_not_claim():
    for goals, words in (("aims", "mixed aims"), ("uniform", "all utilities over outcomes")):
        text = " ".join(shown(quick_text(quick(tiny(), goals=goals))).split())
        assert words in text
        assert "nothing of what this agent wants or does" in text


def test_a_classifier_is_told_to_be_not_applicable():
    nothing = tiny(agent={"kind": "classifier"}, tools={"s.edit": None, "s.cut": None})
    text = shown(quick_text(quick(nothing)))
    assert text.startswith("tiny: not applicable.")
    assert "%" not in text


def test_a_classifier_with_tools_could_not_be_told():
    text = shown(quick_text(quick(tiny(agent={"kind": "classifier"}))))
    assert "could not tell" in text
    assert "not applicable" not in text


# -- hostile names ---------------------------------------------------------------------------

HOSTILE = ("[red]x", "[/]", ":bomb:", "[link=file:///x]y[/link]", "{joint}", "%s", "<b>")


def hostile(name):
    """The name stands as a tool, as levels, and in what is found."""
    place = {"s.edit": None, f"s.{name}": tool("advance", at="page", success=0.5)}
    levels = [f"{name}0", f"{name}1"]
    return tiny(tools=place, assets={"page": asset("task", "page", levels=levels, drift=0.1),
                "fame": asset("bystander/law", "page", levels=levels, wear=0.1)})  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_printed_as_they_are(name):
    audit = quick(hostile(name))
    audit = replace(audit, left_behind=left_behind(setting_of(hostile(name))))
    text = shown(rest_text(audit))
    assert f"advance page with s.{name}" in text
    assert re.search(re.escape(f"fame: {name}") + "[01] after one run", text)


def test_a_finding_is_printed_as_it_is():
    found = Finding("[bold]file[/]", "a-rule", ":bomb: [/red] said\n")
    text = shown(rest_text(quick(tiny()), [found]))
    assert "a-rule  [bold]file[/]: :bomb: [/red] said" in text
