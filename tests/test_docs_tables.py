"""Tables of the docs that repeat what the code holds: each equals the code.

`pytest tests/test_docs_tables.py --rewrite` writes them from the code.
"""

import json
import re

import pytest

from corrigible.deployment.findings import RULES
from corrigible.deployment.rates import DEFAULT_RANGES
from corrigible.deployment.records import _TWO_LEVELS
from corrigible.drives import (
    CROSSWALK,
    DRIVE_TABLE,
    DRIVES,
    FAMILIES,
    KINDS,
    NEIGHBOURS,
    RUN_MEANS,
    family_of,
)
from fences import ROOT, blocks_of

DOCS = ROOT / "docs"


def table(header, rows):
    """A Markdown table, one line a row."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def members(family):
    return [drive.partition("/")[2] for drive in DRIVES if family_of(drive) == family]


def families():
    rows = [[family, ", ".join(members(family))] for family in FAMILIES]
    return table(["family", "members"], rows)


def drive_table():
    def cell(verb, kind):
        served = DRIVE_TABLE[verb, kind]
        return ", ".join(d.partition("/")[2] for d in DRIVES if d in served) or "-"

    rows = [[f"`{kind}`", *(cell(verb, kind) for verb in RUN_MEANS)] for kind in KINDS]
    return table(["kind", *(f"`{verb}`" for verb in RUN_MEANS)], rows)


def crosswalk():
    rows = [
        [drive, *(", ".join(part) or "-" for part in (n.omohundro, n.bostrom, n.evaluations))]
        for drive, n in CROSSWALK.items()
    ]
    return table(["drive", "Omohundro 2008", "Bostrom 2012, 2014", "evaluations"], rows)


def neighbours():
    return table(["neighbour", "what it is"], [[name, text] for name, text in NEIGHBOURS.items()])


def ranges():
    where = {
        "horizon": "agent", "success": "tools.NAME", "drift": "assets.NAME",
        "wear": "assets.NAME",
    }  # fmt: skip
    rows = [
        [f"`{where.get(key, 'oversight')}.{key}`", f"{span.low:g} to {span.high:g}"]
        for key, span in DEFAULT_RANGES.items()
    ]
    return table(["rate", "range where nobody stated it"], rows)


def levels():
    rows = [[family, ", ".join(pair)] for family, pair in _TWO_LEVELS.items()]
    return table(["kind begins with", "levels, lowest first"], rows)


def rules():
    return table(["finding", "because"], [[f"`{name}`", text] for name, text in RULES.items()])


TABLES = {
    "families": ("drives.md", families),
    "drive table": ("drives.md", drive_table),
    "crosswalk": ("drives.md", crosswalk),
    "neighbours": ("drives.md", neighbours),
    "ranges": ("manifest.md", ranges),
    "levels": ("manifest.md", levels),
    "findings": ("manifest.md", rules),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_docs_is_what_the_code_holds(name, request):
    """Between `<!-- NAME: begin -->` and `<!-- NAME: end -->` stands what the code says."""
    file, made = TABLES[name]
    text = (DOCS / file).read_text(encoding="utf-8")
    marks = re.compile(f"(<!-- {name}: begin -->\n)(.*?)(<!-- {name}: end -->)", re.DOTALL)
    (found,) = marks.finditer(text)
    if request.config.getoption("rewrite"):
        text = text[: found.start(2)] + made() + text[found.end(2) :]
        (DOCS / file).write_text(text, encoding="utf-8")
        return
    assert found[2] == made()


def shape_of(value):
    """The value with its numbers as approximations: what another machine may print."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    if isinstance(value, float):
        return pytest.approx(value, abs=2e-4)
    return value


@pytest.mark.slow
def test_the_json_shown_is_what_the_audit_of_the_example_says(monkeypatch):
    """Every key that docs/audit-json.md shows has that value in the real output."""
    from click.testing import CliRunner  # noqa: PLC0415

    from corrigible.cli import main  # noqa: PLC0415

    monkeypatch.chdir(ROOT)
    arguments = ["audit", "examples/reference", "--json", "--no-evidence"]
    real = json.loads(CliRunner().invoke(main, arguments).stdout)
    for block in blocks_of(DOCS / "audit-json.md"):
        if block.language == "json":
            shown = json.loads(block.text)
            for key, value in shown.items():
                if key in {"drives", "families"}:  # a page shows one of them
                    named = {answer["drive"]: answer for answer in real[key]}
                    assert [named[answer["drive"]] for answer in value] == shape_of(value)
                elif isinstance(value, list):
                    assert real[key][: len(value)] == shape_of(value)
                else:
                    assert real[key] == shape_of(value)
