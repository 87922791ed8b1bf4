"""The README: its commands exist, its output is the real one, and it fits on a screen or two."""

import importlib.util
import re
import shlex
import shutil
from difflib import unified_diff

import pytest

from fences import ROOT, blocks_of, pages, shell_commands

README = ROOT / "README.md"
HAS_CLI = importlib.util.find_spec("corrigible.cli") is not None
needs_cli = pytest.mark.skipif(not HAS_CLI, reason="corrigible.cli is not there yet")


def calls_of_corrigible(page):
    """Every `corrigible …` that the page types or names, as words, the program left off."""
    parts = [part for line in shell_commands(page) for part in re.split(r"&&|\|\||[;|]", line)]
    words = [shlex.split(part, comments=True) for part in parts]
    typed = [call[1:] for call in words if call and call[0].rpartition("/")[2] == "corrigible"]
    named = re.findall(r"`corrigible ([a-z]+)", page.read_text(encoding="utf-8"))
    return typed + [[name] for name in named]


def without_times(text):
    """The text without what differs from run to run: durations, and spaces at the lines' ends."""
    text = re.sub(r"\d+(\.\d+)?(?= ?(s|ms|seconds|min)\b)", "#", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def run_cli(arguments):
    """What the command prints on a terminal of 100 columns, both streams together."""
    from click.testing import CliRunner  # noqa: PLC0415

    from corrigible.cli import main  # noqa: PLC0415

    result = CliRunner(env={"COLUMNS": "100"}).invoke(main, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_one_command_passes_the_tests_and_ci_runs_the_same():
    """What the README tells people to run is what decides on a change."""
    typed = [part.strip() for line in shell_commands(README) for part in line.split("&&")]
    (tests,) = [part for part in typed if re.match(r"\S*pytest ", part)]
    assert f" {tests}\n" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert tests.removeprefix(".venv/bin") in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_each_set_up_command_stands_alone():
    """Either of the two works first, on a fresh clone, with nothing but Python installed."""
    set_up = [line for line in shell_commands(README) if "pip install" in line]
    assert len(set_up) == 2
    for line in set_up:
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
        assert "-c constraints.txt" in line


def test_the_first_code_comes_early_and_the_page_ends():
    """Code before line 20; at most 120 lines."""
    assert blocks_of(README)[0].line < 20
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120


@needs_cli
@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page):
    """`corrigible word …` in any page is a command of the program, its paths are there."""
    from corrigible.cli import main  # noqa: PLC0415

    for call in calls_of_corrigible(page):
        known = {option for p in main.params for option in p.opts} | {*main.commands, "--help"}
        assert call[0] in known
        lost = [w for w in call if w.startswith("examples/") and not (ROOT / w).exists()]
        assert not lost


def real_block(text):
    """What a console block should say; where it ends in `...`, only as many lines as it has."""
    (command,) = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    output = run_cli(shlex.split(command.partition("corrigible ")[2])).rstrip()
    lines = [f"$ {command}", *(line.rstrip() for line in output.splitlines())]
    if text.endswith("\n...\n"):
        lines = [*lines[: text.count("\n") - 1], "..."]
    return "\n".join(lines) + "\n"


@needs_cli
@pytest.mark.slow
def test_the_output_shown_is_the_real_one(tmp_path, monkeypatch, request):
    """Every console block of the README, timings left out; `--rewrite` writes what is real."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    shown = [block.text for block in blocks_of(README) if block.language == "console"]
    assert shown
    for text in shown:
        real = real_block(text)
        if request.config.getoption("rewrite"):
            README.write_text(README.read_text(encoding="utf-8").replace(text, real))
            continue
        difference = unified_diff(without_times(text), without_times(real), "README", "real")
        assert not (found := "\n".join(difference)), found


def test_times_are_left_out_of_a_comparison_and_figures_are_not():
    """Two runs differ in their seconds alone; a figure that differs is a difference."""
    assert without_times("in 3.2 s\n") == without_times("in 11 s  \n")
    assert without_times("0.878 of goals") != without_times("0.879 of goals")
