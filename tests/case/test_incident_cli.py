"""`corrigible incident`: from a ledger's entry to a record that is closed, as a user types it."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_incident import AVOID, ledger_of, pressed

from corrigible.case.incident import open_incidents, read_incident
from corrigible.cli import main
from corrigible.cli.incidents import FORMATS

SUSPICION = {
    "detector": "verbs", "drive": AVOID, "score": 0.9, "transcript": "t", "first": 1, "last": 2,
    "where": "entry 2", "what": "w", "outcome": "denied", "act": "a",
}  # fmt: skip


def run(*words, **more):  # noqa: ANN002, ANN003  (words of a command line)
    """Run the command line; anything but an exit is raised."""
    result = CliRunner(env={"COLUMNS": None, "TERM": "dumb"}).invoke(
        main, [str(word) for word in words], **more
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def incident(verb, folder, *words, **more):  # noqa: ANN002, ANN003  (as run)
    return run("incident", verb, folder, *words, **more)


@pytest.fixture
def opened(tmp_path):
    """A folder with an incident opened by hand."""
    pressed(tmp_path)
    assert incident("open", tmp_path, "--drive", AVOID).exit_code == 0
    return tmp_path


def current(folder):
    return read_incident(folder / "deployment.yaml", "INC-2026-0001").incident


@pytest.fixture(autouse=True)
def _in_2026(monkeypatch):
    """The clock of the command line stands still, so that numbers and words do."""
    from datetime import UTC, datetime  # noqa: PLC0415

    class Clock(datetime):
        @classmethod
        def now(cls, tz=UTC):  # noqa: ANN206  (as its base)
            return cls(2026, 8, 1, 12, tzinfo=tz)

    monkeypatch.setattr("corrigible.cli.incidents.datetime", Clock)


# -- open ----------------------------------------------------------------------------------


def test_a_planted_attempt_is_opened_from_the_ledger(tmp_path):
    ledger = ledger_of(tmp_path, [("switch", "agent")])
    result = incident("open", tmp_path, "--from-ledger", ledger, "--entry", 2, "--agent", "a/b")
    assert result.exit_code == 0
    assert "INC-2026-0001 is open" in result.output
    (one,) = open_incidents(tmp_path / "deployment.yaml")
    assert one.behaviours[0].ladder == "R4"
    assert one.undermines == (f"G/{AVOID}/does",)
    assert one.regression == f"corrigible probe deployment.yaml --agent a/b --drive {AVOID}"
    assert str(one.times.discovered) == "2026-08-01 12:00Z"
    assert one.times.aware_of_model_involvement is None
    assert "aware_of_model_involvement is not recorded" in result.output
    assert one.system.deployment == "press"


def test_an_incident_is_opened_from_a_suspicion_on_standard_input(tmp_path):
    pressed(tmp_path)
    result = incident("open", tmp_path, "--from-suspicion", "-", input=json.dumps(SUSPICION))
    assert result.exit_code == 0
    assert current(tmp_path).behaviours[0].ladder == "R4"


def test_what_is_attached_is_kept_by_its_digest(opened):
    note = opened / "note.txt"
    note.write_bytes(b"abc")
    result = incident("update", opened, "INC-2026-0001", "--attach", note, "--captured-before-stop")
    assert result.exit_code == 0
    (kept,) = current(opened).evidence
    assert kept.sha256 == "sha256:" + hashlib.sha256(b"abc").hexdigest()
    assert (kept.captured_before_stop, kept.custody) == (True, "note.txt")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "opened from something"),
        (["--entry", 3], "go together"),
        (["--drive", "peace"], "must be a drive"),
        (["--drive", AVOID, "--set", "title"], "must be KEY=VALUE"),
        (["--drive", AVOID, "--set", "times.start=2026-07-01T10:00"], "must have its time zone"),
        (["--drive", AVOID, "--set", "title=a\x1b[2Jb"], "U+001B"),
        (["--drive", AVOID, "--set", "severity.oecd=bad"], "severity.oecd"),
        (["--drive", AVOID, "--by", " "], "must name who made it"),
    ],
)
def test_what_cannot_be_opened_exits_2_and_leaves_nothing(tmp_path, words, said):
    pressed(tmp_path)
    result = incident("open", tmp_path, *words)
    assert result.exit_code == 2
    assert said in result.output
    assert "\x1b" not in result.output
    assert open_incidents(tmp_path / "deployment.yaml") == ()


def test_a_manifest_that_is_none_exits_2(tmp_path):
    assert incident("open", tmp_path / "no.yaml", "--drive", AVOID).exit_code == 2


# -- classify, update ----------------------------------------------------------------------


def test_observations_settle_the_class(opened):
    words = ["--observed", "authority=prohibited", "--observed", "outcome=succeeded",
             "--observed", "concealment=none", "--observed", "disclosed=false"]  # fmt: skip
    assert "R5" in incident("classify", opened, "INC-2026-0001", *words).output
    behaviour = current(opened).behaviours[0]
    assert (behaviour.ladder, behaviour.ladder_at_most) == ("R5", "R5")
    stop = ["--observed", "stop.calls_after=3", "--observed", "stop.delivered=true"]
    assert incident("classify", opened, "INC-2026-0001", *stop).exit_code == 0
    assert current(opened).behaviours[0].stop.calls_after == 3


def test_a_probe_speaks_of_why_and_changes_no_class(opened):
    probe = opened / "probe.json"
    twin = {"factor": "precedence", "drive": AVOID,
            "difference": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 90}}  # fmt: skip
    probe.write_text(json.dumps({"twins": [twin]}), encoding="utf-8")
    before = current(opened).behaviours
    assert incident("classify", opened, "INC-2026-0001", "--probe", probe).exit_code == 0
    after = current(opened)
    assert [test.id for test in after.attribution.tests] == ["T1"]
    assert after.behaviours == before


def test_an_update_moves_the_clocks_and_the_status(opened):
    words = ["--set", "severity.eu_category=cyber",
             "--set", "times.aware_of_model_involvement=2026-07-01",
             "--submitted", "eu-cop/initial=2026-07-04T09:00Z", "--event", "the tool was removed",
             "--status", "contained"]  # fmt: skip
    assert incident("update", opened, "INC-2026-0001", *words).exit_code == 0
    one = current(opened)
    assert (one.status, str(one.times.contained)) == ("contained", "2026-08-01 12:00Z")
    assert one.chain[0].what == "the tool was removed"
    listed = json.loads(incident("list", opened, "--json").output)
    (initial,) = [c for c in listed[0]["clocks"] if c["regime"] == "eu-cop/initial"]
    states = [reading["status"] for reading in initial["readings"]]
    assert states == ["met", "met", "met"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--status", "withdrawn"], "withdrawn for a reason"),
        (["--submitted", "eu-cop/initial=2026-07-04"], "at one moment"),
        (["--submitted", "nobody=2026-07-04T09:00Z"], "regime"),
        (["--set", "undermines=[]"], "computed"),
    ],
)
def test_an_update_that_breaks_a_rule_exits_2(opened, words, said):
    result = incident("update", opened, "INC-2026-0001", *words)
    assert result.exit_code == 2
    assert said in result.output
    assert current(opened).revision == 1


# -- list, report --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "code"),
    [
        (["severity.eu_category=none", "severity.sb53_prong=none",
          "severity.raise_incident=false"], 0),
        (["severity.eu_category=cyber"], 0),
        (["severity.eu_category=cyber", "times.discovered=2026-07-01"], 1),
        (["severity.eu_category=cyber", "times.detected=2026-07-01"], 3),
        ([], 3),
    ],
    ids=["none applies", "running", "breached", "depends", "not decided"],
)  # fmt: skip
def test_the_lists_exit_code_is_the_clocks(opened, sets, code):
    words = [word for one in sets for word in ("--set", one)]
    incident("update", opened, "INC-2026-0001", *words)
    assert incident("list", opened).exit_code == code


def test_without_incidents_the_list_says_so(tmp_path):
    pressed(tmp_path)
    result = incident("list", tmp_path)
    assert (result.exit_code, result.output.split(".")[0]) == (
        0, "No incident is recorded beside this manifest",
    )  # fmt: skip


@pytest.mark.parametrize("format_", FORMATS)
def test_each_format_is_printed(opened, format_):
    result = incident("report", opened, "INC-2026-0001", "--format", format_)
    assert result.exit_code == 0
    assert len(result.output) > 200


def test_the_json_is_the_record_with_its_clocks(opened):
    printed = json.loads(incident("report", opened, "INC-2026-0001", "--format", "json").output)
    assert printed["id"] == "INC-2026-0001"
    assert {"regime", "due_at", "status", "readings"} <= set(printed["clocks"][0])


def test_an_incident_that_was_changed_is_not_reported(opened):
    path = opened / "deployment.incidents" / "INC-2026-0001.json"
    path.write_text(path.read_text().replace("by hand", "by foot"), encoding="utf-8")
    for verb in ("list", "report", "update", "classify"):
        words = [] if verb == "list" else ["INC-2026-0001"]
        assert incident(verb, opened, *words).exit_code == 2


# -- close ---------------------------------------------------------------------------------


def test_a_waiver_closes_it_and_has_a_name_and_a_reason(opened):
    words = [
        "INC-2026-0001",
        "--resolution",
        "retired",
        "--root-cause",
        "a grant",
        "--waive",
        "Ann",
    ]
    assert incident("close", opened, *words).exit_code == 2
    assert incident("close", opened, *words, "--because", "no agent is left").exit_code == 0
    assert open_incidents(opened / "deployment.yaml") == ()
    assert incident("update", opened, "INC-2026-0001", "--set", "title=x").exit_code == 2
    assert incident("update", opened, "INC-2026-0001", "--status", "open").exit_code == 0
    (one,) = open_incidents(opened / "deployment.yaml")
    assert (one.times.resolved, one.waiver) == (None, None)


@pytest.mark.slow
def test_a_probe_that_was_really_run_closes_it(opened, monkeypatch):
    """What the evidence store holds is checked against the deployment as it is now."""
    from datetime import datetime  # noqa: PLC0415

    from corrigible.evidence import EvidenceStore, store_path  # noqa: PLC0415

    monkeypatch.setattr("corrigible.cli.incidents.datetime", datetime)
    manifest = opened / "deployment.yaml"
    run("probe", manifest, "--agent", "planner/compliant", "--drive", AVOID, "--episodes", "100")
    with EvidenceStore(store_path(manifest)) as store:
        (rate,) = [r for r in store.records(drive=AVOID) if r.measure.startswith("rate/")]
    words = ["INC-2026-0001", "--resolution", "fixed", "--root-cause", "a grant",
             "--fixed", "2026-08-01T12:00Z", "--agent", "planner/compliant"]  # fmt: skip
    none = incident("close", opened, *words, "--evidence", "sha256:" + "0" * 64)
    assert none.exit_code == 2
    assert "has no such one" in none.output
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("drift: 1/10", "drift: 1/20"), encoding="utf-8")
    stale = incident("close", opened, *words, "--evidence", rate.id)
    assert stale.exit_code == 2
    assert "counts no more: manifest changed" in stale.output
    manifest.write_text(text, encoding="utf-8")
    found = incident("close", opened, *words, "--evidence", rate.id)
    assert found.exit_code == 0, found.output
    assert current(opened).regression_evidence == (rate.id,)


def test_every_subcommand_has_help_that_says_what_it_is_for():
    group = main.commands["incident"]
    for name, command in group.commands.items():
        shown = run("incident", name, "--help").output.split("\n\n")[1].strip()
        assert shown.endswith(".")
        for option in command.params:
            if option.param_type_name == "option":
                assert option.help or option.show_default, option.name


def test_the_reference_incident_can_be_opened_by_its_fields(tmp_path):
    pressed(tmp_path)
    values = json.loads((Path(__file__).parent / "incident_july_2026.json").read_text())
    sets = [f"{key}={json.dumps(values[key])}" for key in ("title", "context", "harm", "mappings")]
    words = [word for one in sets for word in ("--set", one)]
    drive = values["behaviours"][0]["drive"]
    times = ["--set", "times.start=2026-07-01..2026-07-31", "--set", "times.start_is_estimate=true"]
    result = incident("open", tmp_path, "--drive", drive, *words, *times)
    assert result.exit_code == 0, result.output
    one = current(tmp_path)
    assert one.context.effect_outside_range is True
    assert one.mappings.atlas == ("AML.CS0068",)
    assert one.times.start_is_estimate is True
