"""Exports: what forms and databases ask for, from the record alone, each with what it is not."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from made_incident import AVOID, NOW, incident, moment, pressed

from corrigible.case.classify import classified
from corrigible.case.clocks import clocks
from corrigible.case.incident import open_incident, read_incident, revise
from corrigible.case.incident_exports import (
    atlas,
    avid,
    eu_form,
    oecd,
    sb53_form,
)
from corrigible.case.incident_record import incident_of
from corrigible.cli.incidents import _yaml
from corrigible.report.incident_text import escaped, form_markdown, incident_markdown

FOLDER = Path(__file__).parent
REFERENCE = classified(
    incident_of(json.loads((FOLDER / "incident_july_2026.json").read_text(encoding="utf-8")))
)
HOSTILE = "<script>alert(1)</script> | `x` [a](javascript:b) *c* _d_ & \"e\" 'f'"
AT = datetime(2026, 9, 30, tzinfo=UTC)


def exports(one):
    """Every export of an incident, as text."""
    found = clocks(one, AT)
    return {
        "eu.md": form_markdown(eu_form(one, found)),
        "sb53.md": form_markdown(sb53_form(one)),
        "oecd.json": json.dumps(oecd(one), indent=1) + "\n",
        "avid.json": json.dumps(avid(one), indent=1) + "\n",
        "atlas.yaml": _yaml(atlas(one)),
    }


@pytest.mark.parametrize("name", exports(REFERENCE))
def test_the_reference_incident_is_exported_as_before(name, request):
    golden = FOLDER / "golden" / f"incident_{name}"
    made = exports(REFERENCE)[name]
    if request.config.getoption("rewrite"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(made, encoding="utf-8")
    assert golden.read_text(encoding="utf-8") == made


@pytest.mark.parametrize("name", exports(REFERENCE))
def test_each_export_says_that_it_is_unofficial(name):
    assert "nofficial" in exports(REFERENCE)[name]


def test_the_eus_form_has_ten_fields_and_the_dates_that_it_lacks_as_annex():
    times = {"aware_of_model_involvement": moment("2026-07-03T08:00:00Z"),
             "submitted": [{"regime": "eu-cop/initial", "at": "2026-07-05T08:00:00Z"}]}  # fmt: skip
    form = eu_form(incident(times=times))
    assert [field.number for field in form.fields] == [str(n) for n in range(1, 11)]
    annex = {field.title: field.lines for field in form.annex}
    assert annex["Aware of the model's involvement"] == ("2026-07-03 08:00Z",)
    assert annex["Submitted"] == ("eu-cop/initial: 2026-07-05 08:00Z",)


def test_a_report_under_sb_53_has_four_fields():
    assert len(sb53_form(incident()).fields) == 4
    assert "not decided" in form_markdown(sb53_form(incident()))


def test_what_is_not_known_is_said_and_never_left_out():
    text = form_markdown(eu_form(incident()))
    assert text.count("not known") >= 7
    assert "start: not known" in text


def test_the_study_of_atlas_has_what_its_schema_requires():
    """The keys that the schema of its website's case studies demands (atlas-data, 2022-05-26)."""
    study = atlas(REFERENCE)["study"]
    assert {"name", "summary", "incident-date", "incident-date-granularity", "procedure",
            "reported-by"} <= set(study)  # fmt: skip
    assert study["incident-date-granularity"] == "MONTH"
    assert study["references"] == [{"title": "AML.CS0068", "url": None}]


# -- hostile text --------------------------------------------------------------------------


def hostile():
    behaviour = {"drive": AVOID, "act": HOSTILE, "target": HOSTILE}
    return classified(incident(
        behaviour, title=HOSTILE, submitter=HOSTILE, recommendations=[HOSTILE],
        harm=[{"who": HOSTILE, "what": HOSTILE}], chain=[{"what": HOSTILE}],
        root_cause={"summary": f"a\n# b\n{HOSTILE}"}, system={"model": HOSTILE},
    ))  # fmt: skip


@pytest.mark.parametrize("name", ["eu.md", "sb53.md"])
def test_a_form_shows_hostile_text_as_text(name):
    text = exports(hostile())[name]
    assert "<" not in text
    assert "&lt;script&gt;" in text
    assert not re.search(r"(?<!\\)[`|*]|(?<!\\)\[", text)


def test_a_page_shows_hostile_text_as_text_in_whole_rows(tmp_path):
    manifest = pressed(tmp_path)
    values = {k: v for k, v in hostile().plain().items() if k not in {"id", "revision"}}
    history = open_incident(manifest, values, by=HOSTILE, why=HOSTILE, now=NOW)
    text = incident_markdown(history, clocks(history.incident, NOW))
    assert "<" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} <= {5, 6}
    assert text.count("\n# ") == 0


@pytest.mark.parametrize("text", ["# a", "- a", "+ a", "1. a", "12) a"])
def test_what_begins_a_heading_or_a_list_begins_none(text):
    assert "\\" in escaped(text)


# -- the history ---------------------------------------------------------------------------


def test_a_page_names_every_revision(tmp_path):
    manifest = pressed(tmp_path)
    open_incident(manifest, {"behaviours": [{"drive": AVOID}]}, by="ann", why="seen", now=NOW)
    revise(manifest, "INC-2026-0001", lambda one: one, by="bob", why="looked again", now=NOW)
    history = read_incident(manifest, "INC-2026-0001")
    text = incident_markdown(history, ())
    assert "| 1 | 2026-07-20 12:00Z | ann | seen |" in text
    assert "| 2 | 2026-07-20 12:00Z | bob | looked again |" in text
    assert history.digest in text
