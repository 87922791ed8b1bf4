"""The lab's page: what it shows without running it is what the code says."""

from pathlib import Path

import pytest

from corrigible.lab.orthogonality import table
from corrigible.lab.run import TABLES
from corrigible.lab.side_effects import matrix
from corrigible.lab.table import TAGS

PAGE = (Path(__file__).parents[2] / "docs" / "lab.md").read_text(encoding="utf-8")


def test_every_table_and_tag_is_on_the_page():
    assert [name for name in TABLES if f"| `{name}` |" not in PAGE] == []
    assert [tag for tag in TAGS if tag not in PAGE] == []


@pytest.mark.slow
def test_the_page_shows_what_penalised_planners_do():
    assert "\n".join(matrix()) in PAGE


@pytest.mark.slow
def test_the_page_shows_for_how_many_goals_each_drive_pays():
    assert "\n".join(table()) in PAGE
