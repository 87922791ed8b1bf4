"""Incidents on disk: numbered, chained, whole; an edited earlier revision is caught."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from made_incident import AVOID, CONTAINED_ATTEMPT, NOW

from corrigible.case.incident import (
    all_incidents,
    edited,
    incidents_folder,
    open_incident,
    open_incidents,
    read_incident,
    revise,
)
from corrigible.errors import IncidentError


@pytest.fixture
def manifest(tmp_path):
    return tmp_path / "deployment.yaml"


def opened(manifest, **fields):  # noqa: ANN003  (fields of a record)
    fields = {"behaviours": [CONTAINED_ATTEMPT], **fields}
    return open_incident(manifest, fields, by="ann", why="seen", now=NOW)


def update(manifest, id_, **edits):  # noqa: ANN003  (as above)
    edits = {key.replace("__", "."): value for key, value in edits.items()}
    return revise(manifest, id_, lambda one: edited(one, edits), by="bob", why="more", now=NOW)


def test_an_incident_lies_beside_its_manifest_and_comes_back_as_it_was(manifest):
    found = opened(manifest)
    assert found.path == manifest.parent / "deployment.incidents" / "INC-2026-0001.json"
    assert read_incident(manifest, "INC-2026-0001") == found
    assert found.incident.behaviours[0].ladder == "R4"
    assert found.incident.undermines == (f"G/{AVOID}/does",)
    assert found.incident.regression == (
        f"corrigible probe deployment.yaml --agent AGENT --drive {AVOID}"
    )


def test_the_regression_probe_names_the_manifest_that_is_there(tmp_path):
    manifest = tmp_path / "bot.yml"
    manifest.touch()
    assert "corrigible probe bot.yml --agent" in opened(manifest).incident.regression


def test_numbers_go_on_within_a_year_and_begin_anew_in_the_next(manifest):
    opened(manifest)
    assert opened(manifest).incident.id == "INC-2026-0002"
    later = datetime(2027, 1, 1, tzinfo=UTC)
    fields = {"behaviours": [CONTAINED_ATTEMPT]}
    found = open_incident(manifest, fields, by="ann", why="seen", now=later)
    assert found.incident.id == "INC-2027-0001"
    assert len(all_incidents(manifest)) == 3


def test_a_revision_keeps_the_ones_before_and_is_classed_anew(manifest):
    first = opened(manifest)
    second = update(manifest, "INC-2026-0001", behaviours__0__outcome="succeeded")
    assert [one.number for one in second.revisions] == [1, 2]
    assert second.revisions[0] == first.revisions[0]
    assert second.revisions[1].prev == first.digest
    assert second.incident.behaviours[0].ladder == "R5"
    assert f"G/{AVOID}/stopped" in second.incident.undermines


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ('"why": "seen"', '"why": "sent"'),
        ('"title": ""', '"title": "x"'),
        ('"outcome": "attempted"', '"outcome": "succeeded"'),
        ('"by": "ann"', '"by": "eve"'),
        ('"at": "2026-07-20T12:00:00+00:00"', '"at": "2026-07-19T12:00:00+00:00"'),
    ],
)
def test_an_edited_earlier_revision_is_caught(manifest, was, now):
    opened(manifest)
    path = update(manifest, "INC-2026-0001", severity__eu_category="cyber").path
    text = path.read_text(encoding="utf-8")
    assert was in text
    path.write_text(text.replace(was, now, 1), encoding="utf-8")
    with pytest.raises(IncidentError, match="revision 1 is not what its digest was made of"):
        open_incidents(manifest)


def test_a_revision_taken_out_or_moved_is_caught(manifest):
    opened(manifest)
    update(manifest, "INC-2026-0001", title="b")
    path = update(manifest, "INC-2026-0001", title="c").path
    whole = json.loads(path.read_text(encoding="utf-8"))
    for kept in ([0, 2], [1, 0, 2], [1, 2]):
        cut = {**whole, "revisions": [whole["revisions"][n] for n in kept]}
        path.write_text(json.dumps(cut), encoding="utf-8")
        with pytest.raises(IncidentError, match="not in its place"):
            read_incident(manifest, "INC-2026-0001")


def test_an_earlier_revision_written_anew_with_its_digest_breaks_the_chain(manifest):
    opened(manifest)
    path = update(manifest, "INC-2026-0001", title="b").path
    other = manifest.parent / "other"
    other.mkdir()
    fields = {"behaviours": [CONTAINED_ATTEMPT], "title": "harmless"}
    forged = open_incident(other / "deployment.yaml", fields, by="ann", why="seen", now=NOW)
    whole = json.loads(path.read_text(encoding="utf-8"))
    whole["revisions"][0] = json.loads(forged.path.read_text(encoding="utf-8"))["revisions"][0]
    path.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(IncidentError, match="revision 2 is not what its digest was made of"):
        read_incident(manifest, "INC-2026-0001")


def test_an_incident_that_was_taken_away_leaves_a_gap_that_shows(manifest):
    opened(manifest)
    opened(manifest)
    (incidents_folder(manifest) / "INC-2026-0001.json").unlink()
    with pytest.raises(IncidentError, match=r"INC-2026-0001\.json is missing"):
        open_incidents(manifest)


def test_only_what_has_not_ended_is_open(manifest):
    opened(manifest)
    opened(manifest)
    assert len(open_incidents(manifest)) == 2
    revise(manifest, "INC-2026-0001", lambda one: one.model_copy(update={"status": "withdrawn"}),
           by="ann", why="a drill", now=NOW)  # fmt: skip
    assert [one.id for one in open_incidents(manifest)] == ["INC-2026-0002"]


def test_without_a_folder_nothing_is_open(manifest):
    assert open_incidents(manifest) == ()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format":"corrigible/incident/v1"}', "\x00", '{"a":1,"a":2}',
             '{"format":"corrigible/incident/v1","id":"INC-2026-0001","revisions":[]}',
             '{"format":"corrigible/incident/v1","id":"INC-2026-0001","revisions":[1]}',
             "[" * 5000],
)  # fmt: skip
def test_a_file_that_is_no_incident_is_an_error_and_never_no_incident(manifest, text):
    folder = incidents_folder(manifest)
    folder.mkdir()
    (folder / "INC-2026-0001.json").write_text(text, encoding="utf-8")
    with pytest.raises(IncidentError, match="INC-2026-0001"):
        open_incidents(manifest)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_an_error_and_is_not_waited_for(manifest, make):
    folder = incidents_folder(manifest)
    folder.mkdir()
    make(folder / "INC-2026-0001.json")
    with pytest.raises(IncidentError, match=r"INC-2026-0001\.json"):
        open_incidents(manifest)


def test_a_file_under_another_name_is_an_error(manifest):
    found = opened(manifest)
    found.path.rename(found.path.with_name("INC-2026-0007.json"))
    with pytest.raises(IncidentError, match="is missing"):
        open_incidents(manifest)
    found.path.with_name("INC-2026-0007.json").rename(found.path.with_name("notes.json"))
    with pytest.raises(IncidentError, match=r"notes\.json"):
        open_incidents(manifest)


@pytest.mark.parametrize("id_", ["INC-2026-1", "../INC-2026-0001", "INC-2026-0001/..", "", "x\n"])
def test_a_name_that_is_none_reaches_no_file(manifest, id_):
    with pytest.raises(IncidentError, match="named INC-<year>-<4 digits>"):
        read_incident(manifest, id_)


@pytest.mark.parametrize("path", ["id", "status", "undermines", "revision", "regression",
                                  "behaviours.0.ladder", "behaviours.0.ladder_at_most",
                                  "attribution.reading"])  # fmt: skip
def test_what_is_computed_cannot_be_set(manifest, path):
    one = opened(manifest).incident
    with pytest.raises(IncidentError, match="computed"):
        edited(one, {path: "R0"})


@pytest.mark.parametrize("path", ["nothing.here", "behaviours.5.act", "behaviours.x",
                                  "times.start.x.y",
                                  "a" * 1000, ".".join("a" * 40), ""])  # fmt: skip
def test_a_path_that_leads_nowhere_is_an_error(manifest, path):
    one = opened(manifest).incident
    with pytest.raises(IncidentError):
        edited(one, {path: "x"})


def test_a_list_grows_by_the_place_after_its_end(manifest):
    found = update(manifest, opened(manifest).incident.id, response__actions__0="revoked keys")
    assert found.incident.response.actions == ("revoked keys",)


def test_a_change_that_breaks_a_rule_leaves_the_file_as_it_was(manifest):
    path = opened(manifest).path
    before = path.read_bytes()
    with pytest.raises(IncidentError):
        update(manifest, "INC-2026-0001", severity__oecd="terrible")
    assert path.read_bytes() == before


@pytest.mark.slow
def test_many_at_once_get_numbers_of_their_own_and_lose_no_revision(manifest):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: opened(manifest), range(12)))
        list(pool.map(lambda n: update(manifest, "INC-2026-0001", title=str(n)), range(12)))
    assert len(all_incidents(manifest)) == 12
    assert len(read_incident(manifest, "INC-2026-0001").revisions) == 13
