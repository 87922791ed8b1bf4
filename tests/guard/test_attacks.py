"""The page's table of attacks: each that is held names tests, and they are there."""

import re

import pytest

from fences import ROOT

PAGE = (ROOT / "docs" / "guard.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.*?) ?\|$", PAGE, re.MULTILINE)
HELD = [row for row in ROWS if not row[2].startswith("not held")]


def test_every_attack_has_its_row():
    assert [int(row[0]) for row in ROWS] == list(range(1, 36))


@pytest.mark.parametrize("row", HELD, ids=lambda row: row[0])
def test_what_is_held_is_shown_by_a_test(row):
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", row[3])
    assert named
    for file, name in named:
        text = (ROOT / "tests" / "guard" / file).read_text(encoding="utf-8")
        assert re.search(rf"def {name}\(", text), (file, name)


@pytest.mark.parametrize("row", [row for row in ROWS if row not in HELD], ids=lambda row: row[0])
def test_what_is_not_held_claims_no_test(row):
    assert row[3] == ""
