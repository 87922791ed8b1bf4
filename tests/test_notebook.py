"""The notebooks of the docs: their cells run, and print what is stored under them.

`pytest tests/test_notebook.py --rewrite` stores what they print.
"""

import json
from contextlib import redirect_stdout
from io import StringIO

import pytest

from fences import ROOT

NOTEBOOKS = sorted((ROOT / "docs").rglob("*.ipynb"))
EACH = pytest.mark.parametrize("page", NOTEBOOKS, ids=lambda page: str(page.relative_to(ROOT)))
PLAIN = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def cells_of(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed_by(notebook, page):
    """What each code cell prints, all in one namespace, as Jupyter would run them."""
    names, printed = {"__name__": "__main__"}, []
    for number, cell in enumerate(cells_of(notebook)):
        code = compile("".join(cell["source"]), f"{page.name}[{number}]", "exec")
        with redirect_stdout(StringIO()) as out:
            exec(code, names)  # noqa: S102  (our own docs)
        printed.append(out.getvalue())
    return printed


def stored(text):
    """Printed text as a notebook keeps it."""
    lines = text.splitlines(keepends=True)
    return [{"name": "stdout", "output_type": "stream", "text": lines}] if lines else []


def test_there_is_a_notebook():
    assert NOTEBOOKS


@EACH
def test_a_notebook_prints_what_it_shows(page, request, tmp_path, monkeypatch):
    notebook = json.loads(page.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    printed = printed_by(notebook, page)
    if request.config.getoption("rewrite"):
        for cell, text in zip(cells_of(notebook), printed, strict=True):
            cell["outputs"] = stored(text)
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        page.write_text(text, encoding="utf-8")
        return
    assert [cell["outputs"] for cell in cells_of(notebook)] == [stored(text) for text in printed]


@EACH
def test_a_notebook_tells_nothing_of_the_machine(page):
    """No kernel, no times, no counts of runs: nothing that changes with whoever saved it."""
    notebook = json.loads(page.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"] == PLAIN
    assert {cell["execution_count"] for cell in cells_of(notebook)} == {None}
    assert all(cell["metadata"] == {} for cell in notebook["cells"])
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
