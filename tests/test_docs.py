"""The docs: every python block runs, every link leads somewhere, every page is listed."""

import re
import shutil
import sys

import pytest

from fences import ROOT, blocks_of, pages, printed_by_python

LANGUAGES = {"python", "console", "sh", "yaml", "json", "text"}
PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))

# They compile kernels and solve worlds, or import Inspect.
LONG = {"inspect.md", "lab.md", "policies.md", "probe.md", "solver.md"}
RUNS = pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            marks=[pytest.mark.slow] if page.name in LONG else [],
            id=str(page.relative_to(ROOT)),
        )
        for page in pages()
    ],
)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A reader's folder: the examples, and nothing else; what it imports is let go again."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["docs"])


@RUNS
def test_the_pages_python_runs(page, reader):  # noqa: ARG001
    """Every block of a page, in order, in one namespace, in a folder with the examples.

    A `text` block right under one shows what it prints.
    """
    python = re.findall(r"^```+python", page.read_text(encoding="utf-8"), re.MULTILINE)
    ran = printed_by_python(page)
    assert len(ran) == len(python)
    for block, shown, printed in ran:
        if shown is not None:
            assert (block.line, shown.text) == (block.line, printed)


@PAGES
def test_every_block_says_its_language(page):
    """Code that is called anything but `python` would never be run: the names are few."""
    unknown = {(b.line, b.language) for b in blocks_of(page) if b.language not in LANGUAGES}
    assert not unknown
    fences = re.findall(r"^\s*```", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(fences) == 2 * len(blocks_of(page))


@PAGES
def test_every_link_to_a_file_leads_to_one(page):
    """A relative link names a file that is in the repository."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    lost = [at for at in links if ":" not in at and not (page.parent / at).exists()]
    assert not lost


def test_the_index_lists_every_page():
    """A page that the index does not name is a page that nobody finds."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(([^)#\s]+\.md)[^)]*\)", index))
    there = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert there - {"index.md"} <= listed
