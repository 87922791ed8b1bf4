"""Running the lab: every table is there, JSON has its form, the exit code follows the verdicts."""

import json

import pytest

from corrigible.errors import WorldError
from corrigible.lab.run import JSON_FIELDS, TABLES, LabRun, run_tables
from corrigible.lab.table import Source, documented
from corrigible.lab.text import lab_lines, summary

QUICKEST = ("off-switch-partial", "retargetability", "human-control", "indifference", "same-length")
SOURCE = Source("t", "R")
AGREES, DIFFERS = SOURCE.said("one", "a", "a"), SOURCE.said("two", "a", "b", why="the reason")


@pytest.mark.parametrize("name", QUICKEST)
def test_a_table_runs_and_does_not_differ(name):
    run = run_tables([name], quick=True)
    assert (run.tables, run.exit_code) == ((name,), 0)
    assert {row.table for row in run.rows} == {name}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TABLES if name not in QUICKEST])
def test_a_longer_table_runs_and_does_not_differ(name):
    run = run_tables([name], quick=True)
    assert run.exit_code == 0, lab_lines(run)
    assert len({row.row for row in run.rows}) == len(run.rows)


def test_tables_come_in_their_own_order_and_once():
    run = run_tables(["same-length", "human-control", "same-length"])
    assert run.tables == ("human-control", "same-length")


def test_json_has_the_rows_and_nothing_that_json_lacks():
    run = run_tables(["human-control"])
    text = json.dumps(run.as_json(), allow_nan=False)
    (first, *_) = json.loads(text)["rows"]
    assert tuple(first) == JSON_FIELDS
    assert (first["theirs"], first["ours"], first["low"]) == (0.5, 0.5, None)


@pytest.mark.parametrize(
    ("rows", "code"),
    [((), 0), ((AGREES,), 0), ((AGREES, documented(DIFFERS, "why")), 0), ((AGREES, DIFFERS), 1)],
)
def test_the_exit_code_is_0_unless_a_row_differs(rows, code):
    assert LabRun(rows, ("t",), quick=False).exit_code == code


def test_a_table_that_does_not_exist_is_refused_before_anything_runs():
    with pytest.raises(WorldError, match=r"a table must be one of power-seeking, .* got 'x'"):
        run_tables(["human-control", "x"])


def test_people_see_what_differs_and_why():
    lines = lab_lines(LabRun((AGREES, DIFFERS), ("t",), quick=True))
    assert lines[0] == "t"
    assert any(line.startswith("!") for line in lines)
    assert "  ! two: the reason" in lines
    assert lines[-1] == "2 rows of 1 tables (quick): 1 agree, 0 differ as documented, 1 differ"


def test_what_is_being_done_is_told():
    told = []
    run = run_tables(["off-switch-partial"], tell=told.append)
    assert told == ["partially observable off-switch game: all pairs of policies"]
    assert summary(run).endswith("6 agree, 0 differ as documented, 0 differ")
