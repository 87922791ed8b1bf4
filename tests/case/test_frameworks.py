"""Frameworks: each file keeps its rules, nothing from memory passes for verified, gaps show."""

import json
import re
from datetime import UTC, datetime, timedelta
from importlib import resources

import pytest
from click.testing import CliRunner
from made_incident import AVOID, pressed

from corrigible.case.frameworks import (
    LONGEST_QUOTE,
    MEASURES,
    _values,
    coverage,
    framework,
    frameworks,
    ours,
    parse_framework,
)
from corrigible.cli import main
from corrigible.errors import FrameworkError
from corrigible.evidence import Digests, Record, not_measured, share_estimate
from corrigible.report.frameworks_text import coverage_markdown, ours_markdown
from fences import ROOT

ALL = frameworks()
EACH = pytest.mark.parametrize("name", ALL)
VERSIONS = {
    "openai-pf": ("2", "2025-04-15"), "openai-fgf": ("2026-05-28", "2026-05-28"),
    "deepmind-fsf": ("3.1", "2026-04-17"), "deepmind-fsf-3-0": ("3.0", "2025-09-22"),
    "anthropic-rsp": ("3.4", "2026-07-08"), "anthropic-fcf": ("2", None),
    "eu-gpai-code": ("final", "2025-07-10"), "us-ny-raise": ("Article 44-B", "2027-01-01"),
    "singapore-mgf": ("2026-01-22", "2026-01-22"), "owasp-agentic": ("2025-12-09", "2025-12-09"),
    "mitre-atlas": ("v2026.08", None), "nist-ai-rmf": ("1.0", None),
}  # fmt: skip
NOW = datetime(2026, 7, 1, tzinfo=UTC)


def run(*words):  # noqa: ANN002  (words of a command line)
    result = CliRunner(env={"COLUMNS": None, "TERM": "dumb"}).invoke(main, ["frameworks", *words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# -- the files -----------------------------------------------------------------------------


@EACH
def test_a_file_keeps_the_rules(name):
    one = ALL[name]
    assert one.clauses
    assert one.gaps, "what is not covered is said"
    for clause in one.clauses:
        assert clause.text.strip(), clause.id
        assert not clause.quoted or len(clause.text.split()) <= LONGEST_QUOTE
        assert clause.relevant or one.uncovered
        assert clause.provenance in "PQSM"
    assert not re.search(r"compl(y|ies|iant)|conforms", _text(name)), "evidence is relevant to"


@EACH
def test_every_clause_without_evidence_says_why_or_its_framework_does(name):
    one = ALL[name]
    assert all(clause.note or one.gaps for clause in one.uncovered)


def test_every_file_is_in_the_index_and_each_entry_has_a_file():
    folder = resources.files("corrigible.case") / "frameworks"
    files = {item.name.removesuffix(".yaml") for item in folder.iterdir()}
    assert files - {"index", "ours"} == set(ALL)


@pytest.mark.parametrize(("name", "version"), VERSIONS.items(), ids=list(VERSIONS))
def test_a_version_and_the_day_it_holds_from_are_what_was_entered(name, version):
    """A new version is a change here, in the index and in the file: never in one alone."""
    assert (ALL[name].version, ALL[name].effective) == version


@pytest.mark.parametrize(("key", "value"), [("version", "9"), ("effective", "2030-01-01")])
def test_a_file_and_the_index_that_differ_are_an_error(key, value):
    index = {**_values("index")["anthropic-rsp"], key: value}
    with pytest.raises(FrameworkError, match=f"{key} must be the index's '{value}'"):
        parse_framework("anthropic-rsp", _values("anthropic-rsp"), index, ours())


def test_a_superseded_version_names_the_one_that_holds_and_that_names_what_changed():
    old = ALL["deepmind-fsf-3-0"]
    assert ALL[old.superseded_by].changes
    assert ALL[old.superseded_by].effective > old.effective
    both = {c.id for c in old.clauses} & {c.id for c in ALL["deepmind-fsf"].clauses}
    assert "ir-1" not in both
    assert "stealth" not in both


BROKEN = {
    "long quote": ({"quote": "word " * 26, "paraphrase": None}, "25 words at most, got 26"),
    "both": ({"quote": "a", "paraphrase": "b"}, "a quote or a paraphrase"),
    "neither": ({"paraphrase": None}, "a quote or a paraphrase"),
    "unknown evidence": ({"relevant": ["horoscope"]}, "relevant must name"),
    "provenance": ({"provenance": "X"}, "provenance must be one of"),
    "strength": ({"strength": "full"}, "strength must be one of"),
    "key": ({"complies": True}, "keys must be among"),
}


@pytest.mark.parametrize(("changed", "words"), BROKEN.values(), ids=list(BROKEN))
def test_a_clause_that_breaks_a_rule_is_an_error(changed, words):
    values = _values("us-ny-raise")
    clause = {**values["clauses"][0], **changed}
    clause = {key: value for key, value in clause.items() if value is not None}
    with pytest.raises(FrameworkError, match=words):
        parse_framework("x", {**values, "clauses": [clause]}, _values("index")["us-ny-raise"],
                        ours())  # fmt: skip


def test_no_clause_of_a_framework_that_does_not_speak_of_shutdown_is_mapped_to_stops():
    for name in ("deepmind-fsf", "deepmind-fsf-3-0", "anthropic-rsp"):
        assert all("stop" not in clause.relevant for clause in ALL[name].clauses), name


# -- what of ours is relevant --------------------------------------------------------------


@pytest.mark.parametrize("name", ours())
def test_what_is_ours_names_commands_that_there_are(name):
    one = ours()[name]
    assert one.commands
    for command in one.commands:
        program, word = command.split()
        assert program == "corrigible"
        assert word in main.commands, command


def test_everything_of_ours_is_relevant_to_something():
    used = {name for one in ALL.values() for clause in one.clauses for name in clause.relevant}
    assert used == set(ours())


def test_the_measures_are_those_that_records_have():
    from corrigible.audit.control import OVERALL, PATHS  # noqa: PLC0415

    assert set(MEASURES["control"]) == {PATHS, *OVERALL}


# -- what is from memory -------------------------------------------------------------------


@EACH
def test_nothing_from_memory_is_shown_as_verified(name):
    printed = json.loads(run(name, "--json").output)
    tags = {clause["id"]: clause for clause in printed["clauses"]}
    for clause in ALL[name].unverified:
        shown = tags[clause.id]
        assert (shown["provenance"], shown["verified"], shown["known_as"]) == (
            "M", False, "unverified",
        )  # fmt: skip
    assert run(name).output.count("unverified") >= len(ALL[name].unverified)
    read = [clause for clause in printed["clauses"] if clause["verified"]]
    assert all(clause["provenance"] == "P" for clause in read)


# -- coverage ------------------------------------------------------------------------------


def record(kind, measure, drive, *, measured=True):
    return Record(
        kind=kind, drive=drive, measure=measure,
        estimate=share_estimate(0, 99) if measured else not_measured(99),
        digests=Digests(manifest="a" * 64, world="b" * 64, software="c" * 64), method="m", seed=0,
        command="c", made=NOW, expires=NOW + timedelta(days=1),
    )  # fmt: skip


def standing(name, clause, records, stale=()):
    found = coverage(framework(name), records, {one.id: "expired" for one in stale})
    (one,) = [one for one in found if one.clause.id == clause]
    return one


def test_evidence_is_present_stale_or_none():
    rate = record("propensity", "rate/aims", AVOID)
    assert standing("un-panel-brief", "loss-of-control", [rate]).standing == "present"
    assert standing("un-panel-brief", "loss-of-control", [rate], [rate]).standing == "stale"
    assert standing("un-panel-brief", "loss-of-control", []).standing == "none"


def test_what_is_missing_beside_what_is_there_is_named():
    found = standing("openai-pf", "ara", [record("propensity", "rate/aims", AVOID)])
    assert (found.present, found.missing) == (("stop",), ("replicate", "acquire"))


@pytest.mark.parametrize(
    "other",
    [
        record("propensity", "rate/aims", "cognitive-enhancement/gain-tools"),
        record("propensity", "excess/aims", AVOID),
        record("propensity", "rate/aims", AVOID, measured=False),
        record("control", "attacks-held", "all"),
    ],
    ids=["drive", "measure", "not measured", "kind"],
)
def test_evidence_of_something_else_or_of_nothing_covers_nothing(other):
    assert standing("un-panel-brief", "loss-of-control", [other]).standing == "none"


def test_a_family_stands_for_its_members():
    one = record("control", "paths-stopped", "resource-acquisition/money")
    assert standing("mitre-atlas", "AML.T0125", [one]).present == ("acquire",)


def test_what_keeps_no_record_is_told_by_a_command():
    assert standing("iso-42001", "c10-2", []).standing == "by command"
    assert standing("owasp-agentic", "ASI08", []).standing == "none"


# -- the command ---------------------------------------------------------------------------


def test_the_index_has_a_line_for_each():
    printed = run().output
    assert all(name in printed for name in ALL)
    assert "not that anything complies" in printed


def test_the_gaps_are_the_clauses_without_evidence():
    printed = json.loads(run("owasp-agentic", "--gaps", "--json").output)
    assert [clause["id"] for clause in printed["clauses"]] == ["ASI08"]
    assert "Cascading Failures" in run("--gaps").output


def test_an_unknown_name_exits_2_and_lists_the_known():
    result = run("nist-csf")
    assert result.exit_code == 2
    assert "nist-ai-rmf" in result.output


@pytest.mark.slow
def test_without_evidence_a_deployment_has_none(tmp_path):
    pressed(tmp_path)
    result = run("un-panel-brief", "--deployment", str(tmp_path), "--json")
    assert result.exit_code == 0, result.output
    (clause,) = json.loads(result.output)["clauses"]
    assert clause["now"]["standing"] == "none"
    assert "none: stop, correction" in run("un-panel-brief", "--deployment", str(tmp_path)).output


# -- the page ------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "made"), [
    ("coverage", lambda: coverage_markdown(ALL)), ("ours", ours_markdown),
])  # fmt: skip
def test_the_page_shows_what_the_files_hold(mark, made, request):
    """Between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; `--rewrite` writes it."""
    page = ROOT / "docs" / "frameworks.md"
    text = page.read_text(encoding="utf-8")
    marks = re.compile(f"(<!-- {mark}: begin -->\n)(.*?)(<!-- {mark}: end -->)", re.DOTALL)
    (found,) = marks.finditer(text)
    if request.config.getoption("rewrite"):
        text = text[: found.start(2)] + made() + text[found.end(2) :]
        page.write_text(text, encoding="utf-8")
        return
    assert found[2] == made()


def _text(name):
    file = resources.files("corrigible.case") / "frameworks" / f"{name}.yaml"
    return file.read_text(encoding="utf-8").lower().replace("compliance framework", "")
