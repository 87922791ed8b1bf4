"""The JSON of an audit keeps to its schema, says everything, and says it again the same."""

import json
from datetime import date

import jsonschema
import pytest
from tiny import AVOID, REPLICATE, asset, parsed, quick, run_of, tiny, tool, whole

from corrigible.deployment.findings import findings
from corrigible.report.audit_json import audit_json, audit_schema, estimate_json
from fences import ROOT

GRANTED = {AVOID: {"why": "it tests the switch", "until": "9999-01-01"}}
CASES = {
    "plain": tiny(),
    "classifier": {
        **tiny(), "agent": {"kind": "classifier", "goal": "Sort mail."}, "tools": {},
        "authority": {},
    },
    "substitutable": tiny(
        tools={"s.copy": tool("schedule", at="bot")}, assets={"bot": asset("self/process", "bot")}
    ),
    "ranges": tiny(oversight={"detection": "0..1", "stop_rate": None}),
    "accepted": tiny(accepts=GRANTED),
    "a classifier with tools": tiny(agent={"kind": "classifier"}),
    "nothing to do": tiny(tools={"s.cut": None, "s.edit": None}, authority={"allow": []}),
    "no chance": tiny(tools={"s.cut": tool("write", at="off", success=0)}),
    "one step": tiny(agent={"horizon": 1}),
    "bystanders": tiny(assets={"fame": asset("bystander/goodwill", "page", wear=0.2)}),
    "not modelled": tiny(
        tools={"s.look": tool("read", at="key")},
        assets={"key": asset("information/secret", "key")},
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize("case", CASES)
QUICK = ("plain", "classifier", "accepted")
WHOLE = pytest.mark.parametrize(
    "case", [pytest.param(c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES]
)
VALIDATOR = jsonschema.Draft202012Validator(audit_schema())


def written(case, audit):
    return audit_json(audit, findings(parsed(CASES[case]), today=date(2026, 1, 1)))


def document(case):
    """Return the whole of an audit."""
    return written(case, whole(CASES[case]))


def early(case):
    """Return what `--fast` prints."""
    return written(case, quick(CASES[case]))


def scalars_of(value):
    if isinstance(value, dict | list):
        items = value.values() if isinstance(value, dict) else value
        return [scalar for item in items for scalar in scalars_of(item)]
    return [value]


@pytest.mark.slow
@WHOLE
def test_it_keeps_to_its_schema(case):
    VALIDATOR.validate(document(case))


@EACH
def test_the_fast_answer_keeps_to_the_schema_with_nothing_that_takes_longer(case):
    VALIDATOR.validate(early(case))
    assert (early(case)["fixes"], early(case)["fixes_method"]) == ([], None)
    assert (early(case)["sensitivity"], early(case)["weights"]) == ([], [])


@pytest.mark.parametrize("printed", [document, early])
def test_no_key_is_ever_left_out(printed):
    assert list(printed("plain")) == list(printed("classifier")) == audit_schema()["required"]


@EACH
def test_it_is_the_same_after_a_round_trip(case):
    """And nothing in it is infinite or no number: these are no JSON."""
    assert json.loads(json.dumps(early(case), allow_nan=False)) == early(case)
    assert all(x is None or type(x) in {str, int, float, bool} for x in scalars_of(early(case)))


@WHOLE
def test_the_whole_is_the_same_after_a_round_trip(case):
    assert json.loads(json.dumps(document(case), allow_nan=False)) == document(case)


@pytest.mark.slow
@WHOLE
def test_it_is_the_same_in_a_second_run_with_the_same_seed(case):
    run = run_of(CASES[case])
    assert written(case, run.rest(run.quick())) == document(case)


@pytest.mark.slow
def test_the_schema_is_a_schema_and_closed_everywhere():
    """A key that nobody documented fails the validation."""
    jsonschema.Draft202012Validator.check_schema(audit_schema())
    extended = {**document("plain"), "more": 1}
    assert not VALIDATOR.is_valid(extended)
    for key in document("plain"):
        left = {k: v for k, v in document("plain").items() if k != key}
        assert not VALIDATOR.is_valid(left), key


def test_the_keys_are_exactly_those_documented():
    """The page's two tables of keys, in their order."""
    page = (ROOT / "docs/audit-json.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    written = [key.strip(" `") for row in rows for key in row.split(",")]
    top, answer = list(document("plain")), list(document("plain")["joint"])
    assert sorted(written) == sorted([*top, *answer])


@pytest.mark.slow
def test_what_takes_longer_holds_something_for_some_deployment():
    found = document("bystanders")
    for key in ("fixes", "sensitivity", "left_behind", "weights", "findings"):
        assert found[key], key
    assert sum(found["left_behind"][0]["chances"]) == pytest.approx(1)


def test_a_classifier_is_not_applicable_and_asks_nothing():
    found = early("classifier")
    assert (found["applicable"], found["joint"], found["drives"]) == (False, None, [])
    assert found["verdict"] == {"outcome": "not applicable", "exit_code": 0, "reasons": []}
    assert early("a classifier with tools")["verdict"]["exit_code"] == 3


def test_what_was_not_measured_is_null_and_never_0():
    none = {"value": None, "low": None, "high": None}
    for case in ("substitutable", "not modelled", "no chance"):
        for answer in early(case)["drives"]:
            if answer["status"] != "modelled":
                assert {k: answer["pays"]["pressure"][k] for k in none} == none, answer["drive"]


def test_statuses_are_told_apart():
    statuses = {case: {a["drive"]: a["status"] for a in early(case)["drives"]} for case in CASES}
    assert statuses["plain"][AVOID] == "modelled"
    assert statuses["substitutable"][AVOID] == "substitutable"
    assert statuses["no chance"][AVOID] == "unreachable"
    assert statuses["plain"][REPLICATE] == "unreachable"
    assert "not modelled" in statuses["not modelled"].values()


def test_an_accepted_drive_says_why_and_until():
    (answer,) = [a for a in early("accepted")["drives"] if a["accepted"]]
    assert (answer["drive"], answer["accepted"]) == (AVOID, GRANTED[AVOID])
    assert early("accepted")["verdict"]["outcome"] == "within limits"


def test_ranges_say_where_the_worst_was():
    found = early("ranges")
    assert set(found["ranges"]["worst"]) == set(found["ranges"]["rates"])
    assert sum(found["ranges"]["outcomes"].values()) == found["ranges"]["points"] == 5
    assert set(found["joint"]["at"]) == set(found["ranges"]["rates"])


def test_an_audit_measures_neither_acts_nor_control():
    answers = [a for case in CASES for a in early(case)["drives"]]
    assert answers
    assert all(a["does"] is None and a["stopped"] is None for a in answers)


def test_an_estimate_is_written_whole():
    run = run_of(CASES["plain"])
    answer = run.quick().joint
    assert estimate_json(answer.pressure) == {
        "value": 1.0, "low": answer.pressure.low, "high": 1.0, "n": 128,
    }  # fmt: skip
