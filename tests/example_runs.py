"""What the command prints for the examples, run from the repository's root, once a session."""

import shlex
from contextlib import chdir
from functools import cache

from click.testing import CliRunner, Result

from corrigible.cli import main
from fences import ROOT, Block, blocks_of

EXAMPLES = ROOT / "examples"
PLAIN = {"COLUMNS": None, "FORCE_COLOR": None, "TERM": "dumb", "TTY_COMPATIBLE": None}
"""A pipe on any machine: nothing in the environment widens, narrows or colours a table."""


@cache
def printed(command: str, folder=ROOT) -> Result:
    """Return what a command line (`corrigible audit …`) printed, and its exit code."""
    program, *words = shlex.split(command)
    assert program == "corrigible"
    with chdir(folder):
        result = CliRunner(env=PLAIN).invoke(main, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def audited(command: str) -> Result:
    """Return what an audit printed; no evidence is kept, so that examples stay as they are."""
    return printed(f"{command} --no-evidence")


def quotes_of(name: str) -> list[Block]:
    """Return the blocks in which an example's page quotes the command, in order."""
    return [b for b in blocks_of(EXAMPLES / name / "README.md") if b.language == "console"]


def plain_lines(text: str) -> list[str]:
    """Return the lines of a text, columns one space apart."""
    return [" ".join(line.split()) for line in text.splitlines()]
