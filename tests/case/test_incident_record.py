"""The record: what it takes, what it refuses, and that its schema says the same."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_incident import AVOID, incident, moment

import corrigible.case
from corrigible.case.incident_record import (
    Incident,
    incident_of,
    json_schema,
    parse_moment,
)
from corrigible.errors import IncidentError

SCHEMA_FILE = Path(corrigible.case.__file__).parent / "incident.schema.json"
SCHEMA = jsonschema.Draft202012Validator(json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
REFERENCE = Path(__file__).parent / "incident_july_2026.json"


def reference():
    return json.loads(REFERENCE.read_text(encoding="utf-8"))


# -- the schema ----------------------------------------------------------------------------


def test_the_schema_that_ships_is_the_records(request):
    made = json.dumps(json_schema(), indent=1, sort_keys=True) + "\n"
    if request.config.getoption("rewrite"):
        SCHEMA_FILE.write_text(made, encoding="utf-8")
    assert SCHEMA_FILE.read_text(encoding="utf-8") == made


def test_the_schema_is_a_valid_one_of_2020_12():
    jsonschema.Draft202012Validator.check_schema(SCHEMA.schema)


@pytest.mark.parametrize(
    "values",
    [
        reference(),
        incident().plain(),
        incident({"drive": AVOID, "stop": {"issued": True}}).plain(),
    ],
    ids=["reference", "bare", "with a stop"],
)
def test_what_a_record_writes_fits_the_schema(values):
    SCHEMA.validate(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("id", "INC-26-1"), ("status", "closed"), ("behaviours", []), ("title", "a\x1b[2Jb"),
        ("axes", {"overreach": 2}), ("unknown", 1), ("undermines", ["x" * 501]),
        ("evidence", [{"sha256": "sha256:abc", "kind": "file"}]),
    ],
)  # fmt: skip
def test_what_the_record_refuses_the_schema_refuses_too(key, value):
    values = {**incident().plain(), key: value}
    with pytest.raises(IncidentError, match=key):
        incident_of(values)
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(values)


# -- the reference incident ----------------------------------------------------------------


def test_the_reference_incident_of_july_2026_fits_field_by_field():
    """It states every field of the record, and comes back as it was."""
    values = reference()
    assert set(values) == set(Incident.model_fields)
    for name in ("times", "system", "context", "severity", "attribution", "root_cause"):
        part = Incident.model_fields[name].annotation
        assert set(values[name]) == set(part.model_fields), name
    assert incident_of(values).plain() == values


# -- moments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-07-16T10:00Z", "2026-07-16 10:00Z"),
        ("2026-07-16T10:00+02:00", "2026-07-16 08:00Z"),
        ("2026-07-16", "2026-07-16 00:00Z to 2026-07-16 23:59:59Z"),
        ("2026-07-16..2026-07-18T06:00Z", "2026-07-16 00:00Z to 2026-07-18 06:00Z"),
    ],
)
def test_a_moment_is_an_instant_a_day_or_a_range(text, shown):
    assert str(parse_moment(text)) == shown


@pytest.mark.parametrize(
    "text",
    ["2026-07-16T10:00", "2026-07-18..2026-07-16", "yesterday", "", "..", "2026-13-01",
     "9999-12-31", "0001-01-01", "2026-07-16T10:00Z..2026-07-17T10:00"],
)  # fmt: skip
def test_a_moment_without_a_zone_or_sense_is_refused(text):
    with pytest.raises(IncidentError):
        parse_moment(text)


@pytest.mark.parametrize("at", ["2026-07-16T10:00:00", 1752660000, "2026-07-16"])
def test_a_record_takes_no_naive_moment(at):
    with pytest.raises(IncidentError, match=r"times\.start"):
        incident(times={"start": moment(at)})


# -- hostile values ------------------------------------------------------------------------


@pytest.mark.parametrize("mark", ["\x1b", "\x00", "\x7f", "\u202e", "\u2028", "\u200b", "\r"])
def test_a_character_that_is_no_text_is_refused(mark):
    with pytest.raises(IncidentError, match="title"):
        incident(title=f"a{mark}b")


def test_an_error_shows_no_control_character():
    with pytest.raises(IncidentError) as caught:
        incident(title="a\x1b[2J", mappings={"atlas": ["\u202ex"]})
    assert str(caught.value).replace("\n", "").isprintable()


def test_what_is_wrong_in_a_list_is_named_and_not_that_it_is_short():
    with pytest.raises(IncidentError) as caught:
        incident({"drive": "peace"})
    assert str(caught.value).splitlines() == [
        "the incident: behaviours.0.drive: must be a drive, FAMILY/MEMBER, got 'peace'"
    ]


def test_probabilities_that_do_not_sum_to_one_are_refused():
    with pytest.raises(IncidentError, match=r"sum to 1, got 0\.5"):
        incident(attribution={"hypotheses": {"hijack": 0.5}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.sampled_from(sorted(Incident.model_fields)), JSON)
def test_any_value_in_any_field_is_taken_or_refused_with_one_error(field, value):
    values = {"id": "INC-2026-0001", "behaviours": [{"drive": AVOID}], field: value}
    try:
        found = incident_of(values)
    except IncidentError:
        return
    assert incident_of(found.plain()) == found
