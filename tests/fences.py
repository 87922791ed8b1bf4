"""The fenced blocks of a Markdown page: what the docs' tests run and compare."""

import re
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(
    r"^(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """One fenced block: its language, its text, and the line of its first text line."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(m["language"].strip(), m["text"], text.count("\n", 0, m.start("text")) + 1)
        for m in _BLOCK.finditer(text)
    ]


def shell_commands(page: Path) -> list[str]:
    """Return what the page tells its reader to type: `sh` blocks, and `$` lines of `console`."""
    commands = []
    for block in blocks_of(page):
        lines = block.text.replace("\\\n", " ").splitlines()
        if block.language == "sh":
            commands += [line for line in lines if line.strip() and not line.startswith("#")]
        if block.language == "console":
            commands += [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return commands


def printed_by_python(page: Path) -> list[tuple[Block, Block | None, str]]:
    """Run the page's python blocks as one reader would, in order.

    Each comes with the `text` block right under it, which shows what it prints, and with what it
    printed.
    """
    names = {"__name__": "__main__"}
    blocks, found = blocks_of(page), []
    for block, after in pairwise([*blocks, None]):
        if block.language == "python":
            padded = "\n" * (block.line - 1) + block.text  # a traceback names the page's line
            with redirect_stdout(StringIO()) as out:
                exec(compile(padded, str(page), "exec"), names)  # noqa: S102  (our own docs)
            found.append((block, after if _shows(block, after) else None, out.getvalue()))
    return found


def _shows(block: Block, after: Block | None) -> bool:
    """Whether a `text` block stands under another with an empty line between them alone."""
    below = block.line + block.text.count("\n") + 3
    return after is not None and after.language == "text" and after.line == below


def pages() -> list[Path]:
    """Return every page for readers: README, CHANGELOG, and what `docs` and `examples` hold.

    An example's page lies in its folder: what its `setup.py` makes further down is not ours.
    """
    deep = [*sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").glob("*/*.md"))]
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *deep]
