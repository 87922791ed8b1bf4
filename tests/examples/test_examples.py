"""Each example loads, is small, and prints what its page quotes and its golden text holds."""

import re
from datetime import date
from difflib import get_close_matches, unified_diff
from pathlib import Path

import pytest

from corrigible.deployment.findings import findings
from corrigible.deployment.load import load_deployment
from example_runs import EXAMPLES, audited, plain_lines, quotes_of

GOLDEN = Path(__file__).parent / "golden"
EXITS = {"reference": 3, "campaign": 1, "support-desk": 3, "release-bot": 1}
EACH = pytest.mark.parametrize("name", EXITS)

FOUND = (
    ("reference", "missing-organ", "assets"),
    ("campaign", "open-ended-goal", "assets.engagement.drift"),
    ("campaign", "open-ended-goal", "the manifest"),
    ("campaign", "unbounded-wording", "agent.goal"),
    ("campaign", "missing-organ", "assets"),
    ("support-desk", "open-ended-goal", "assets.satisfaction.drift"),
    ("release-bot", "organ-in-reach", "tools.files.write_file"),
    ("release-bot", "organ-in-reach", "tools.database.write_query"),
)


def test_each_example_is_in_the_table_and_has_a_page():
    assert {manifest.parent.name for manifest in EXAMPLES.glob("*/deployment.yaml")} == set(EXITS)
    pages = {page.parent.name for page in EXAMPLES.glob("*/README.md")}
    assert pages == {*EXITS, "scenarios"}  # a folder of seven, with tests of their own


@EACH
def test_an_example_loads_without_problems(name):
    """A problem would be raised; the folder is the deployment's name."""
    assert load_deployment(EXAMPLES / name / "deployment.yaml").deployment.name == name


@pytest.mark.parametrize(("name", "rule", "at"), FOUND)
def test_what_a_reviewer_should_ask_about_is_found(name, rule, at):
    loaded = load_deployment(EXAMPLES / name / "deployment.yaml")
    found = findings(loaded, today=date(2026, 1, 1))
    assert any(f.rule == rule and f.where.endswith(f" {at}") for f in found)


@EACH
@pytest.mark.slow
def test_the_fast_answer_is_the_golden_one(name, request):
    """At seed 0; `pytest tests/examples --rewrite-golden` writes what is printed."""
    text = audited(f"corrigible audit examples/{name} --fast").output
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    file = GOLDEN / f"{name}.txt"
    if request.config.getoption("rewrite"):
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    golden = file.read_text(encoding="utf-8").splitlines()
    difference = "\n".join(unified_diff(golden, lines, file.name, "printed", lineterm=""))
    assert not difference, difference


def test_no_golden_text_holds_a_time():
    """A duration or a date of today would differ from run to run."""
    for file in GOLDEN.glob("*.txt"):
        assert not re.search(
            r"\b\d+(\.\d+)? ?(s|ms|min)\b|(?<!until )\b20\d\d-\d\d", file.read_text("utf-8")
        )


@EACH
@pytest.mark.slow
def test_an_example_exits_as_its_page_says(name):
    page = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    assert audited(f"corrigible audit examples/{name} --fast").exit_code == EXITS[name]
    assert f"exit code {EXITS[name]}" in page


@EACH
@pytest.mark.slow
def test_an_example_is_small(name):
    """Under 20,000 states, so that it is answered at once."""
    text = audited(f"corrigible audit examples/{name} --fast").output
    (states,) = re.findall(r"goals, ([\d,]+) states", text)
    assert int(states.replace(",", "")) < 20_000


QUOTES = [(name, place) for name in EXITS for place in range(len(quotes_of(name)))]


def refreshed(quote, text):
    """The quote with each line made the nearest one that is printed after the one before."""
    first, *lines = quote.splitlines()
    real, new = [line.rstrip() for line in text.splitlines()], [first]
    for line in lines:
        nearest = [] if line == "..." else get_close_matches(line, real, n=1)
        real = real[real.index(nearest[0]) + 1 :] if nearest else real
        new += nearest or [line]
    return "\n".join(new) + "\n"


@pytest.mark.parametrize(("name", "place"), QUOTES)
@pytest.mark.slow
def test_each_line_that_a_page_quotes_is_printed(name, place, request):
    """In the order of the page; `...` stands for any lines between."""
    quote = quotes_of(name)[place].text
    output = audited(quote.splitlines()[0].removeprefix("$ ")).output
    if request.config.getoption("rewrite"):
        page = EXAMPLES / name / "README.md"
        new = refreshed(quote, output)
        page.write_text(page.read_text("utf-8").replace(quote, new), encoding="utf-8")
        quote = new
    real = iter(plain_lines(output))
    missing = [line for line in plain_lines(quote)[1:] if line != "..." and line not in real]
    assert not missing


@EACH
def test_a_figure_in_the_prose_is_quoted_or_stated(name):
    """Decimals and shares: each stands in a quoted line of the page, or in the manifest."""
    page = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    sources = [block.text for block in quotes_of(name)]
    prose = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    sources.append((EXAMPLES / name / "deployment.yaml").read_text(encoding="utf-8"))
    figures = set(re.findall(r"\d+\.\d+|\d+%", prose))
    assert not {figure for figure in figures if figure not in " ".join(sources)}


@EACH
def test_a_page_quotes_the_audit_of_its_own_folder(name):
    commands = [block.text.splitlines()[0] for block in quotes_of(name)]
    assert commands[0] == f"$ corrigible audit examples/{name}"
    assert all(command.startswith(commands[0]) for command in commands)
