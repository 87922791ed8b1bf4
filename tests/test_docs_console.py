"""The docs' console blocks: what they show is what the command prints."""

import re
import shlex
import shutil

import pytest

from fences import ROOT, blocks_of

BLOCKS = [
    pytest.param(block.text, id=f"{page.name}:{block.line}")
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for block in blocks_of(page)
    if block.language == "console"
]


@pytest.mark.slow
@pytest.mark.parametrize("text", BLOCKS)
def test_a_console_block_shows_what_is_printed(text, tmp_path, monkeypatch):
    """Both streams, spaces at the ends of lines left out; after `...` more may follow."""
    from click.testing import CliRunner  # noqa: PLC0415

    from corrigible.cli import main  # noqa: PLC0415

    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^\$ corrigible (.*)$", text, re.MULTILINE)
    result = CliRunner(env={"COLUMNS": "100"}).invoke(main, shlex.split(command))
    printed = [line.rstrip() for line in result.output.rstrip().splitlines()]
    shown = [line.rstrip() for line in text.splitlines()[1:]]
    if shown[-1] == "...":
        shown = shown[:-1]
        printed = printed[: len(shown)]
    assert printed == shown
