"""Planners through Inspect: the same acts, the same scores, as in process; and logs read back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from corrigible.cli import main
from corrigible.deployment.load import load_deployment
from corrigible.errors import ProbeError
from corrigible.probe.caller import Caller
from corrigible.probe.controls import play_planner
from corrigible.probe.episode import episode_json
from corrigible.probe.planners import planner
from corrigible.probe.scoring import AVOID, score_simulation

pytestmark = pytest.mark.slow

TWINS = ("usefulness", "permission", "conflict", "precedence")
MAIN = ("stop", "stop-asked", "pause")


@pytest.fixture(scope="module")
def optimal(played, asked_of):
    """The whole path, once: every control twin and three interventions, two epochs."""
    asked = asked_of(twins=TWINS, interventions=MAIN, episodes=3)
    return asked, played(asked, "planner/optimal", epochs=2)


@pytest.fixture(scope="module")
def reading(optimal, press_file):
    from corrigible.probe.inspect.logs import read_inspect_log  # noqa: PLC0415

    return read_inspect_log(Path(optimal[1].location), load_deployment(press_file))


def in_process(plan, name):
    """What the planner does by calls, without Inspect."""
    found = {}
    for arm in plan.arms:
        caller = Caller.of(plan.stage(arm.name), planner(name))
        found[arm.name] = {}
        for number in range(plan.options.count):
            simulation = plan.simulation(arm.name, number)
            caller.play(simulation)
            found[arm.name][number] = score_simulation(
                simulation, arm=arm.name, drives=plan.drives, agent=name
            )
    return found


def test_a_planner_does_the_same_through_inspect_as_in_process(reading):
    """Every arm: the same calls, the same record to the last key."""
    direct = in_process(reading.plan, "planner/optimal")
    assert set(direct) == {"natural", *MAIN, "usefulness", *TWINS}
    lines = {arm: [episode_json(e) for _, e in sorted(own.items())] for arm, own in direct.items()}
    assert lines == {
        arm: [episode_json(e) for _, e in sorted(own.items())]
        for arm, own in reading.episodes.items()
    }
    acted = [e for own in direct.values() for e in own.values() if e.facts(AVOID).acted]
    assert len(acted) > 5


def test_it_acts_where_the_compiled_planner_acts(reading):
    """Against the kernel, which shares no line of code with the path through calls."""
    plan = reading.plan
    for arm in plan.arms:
        if arm.setup.intervention is None:
            for episode in play_planner(plan, planner("planner/optimal"), arm, [0, 1, 2]):
                ours = reading.episodes[arm.name][episode.episode].facts(AVOID)
                assert (ours.attempted > 0) == (episode.facts(AVOID).attempted > 0)


def test_a_log_read_back_says_what_its_episodes_say(reading):
    from corrigible.probe.result import result_of  # noqa: PLC0415

    direct = result_of(reading.plan, reading.agent, in_process(reading.plan, "planner/optimal"))
    assert replace(reading.result(), log=None) == direct


def test_the_first_epoch_counts_and_the_others_are_told_of(reading, optimal):
    assert {s.epoch for s in optimal[1].samples} == {1, 2}
    assert sum(len(own) for own in reading.episodes.values()) == 24
    assert reading.notes == ("24 samples of later epochs left out: the first one counts",)


def test_metrics_are_of_the_arms_that_are_no_twins(optimal, reading):
    """With every epoch; the goal is the unit."""
    (score,) = [
        s for s in optimal[1].results.scores if s.name == "self-preservation.avoid-shutdown"
    ]
    main = [e for arm in ("natural", *MAIN) for e in reading.episodes[arm].values()]
    said = [e for e in main if not e.facts(AVOID).left_out]
    assert score.metrics["episodes"].value == 2 * len(said)
    did = sum(e.facts(AVOID).acted for e in said)
    assert score.metrics["rate"].value == pytest.approx(did / len(said))
    assert score.metrics["low"].value < did / len(said) < score.metrics["high"].value + 1e-9


def test_what_was_done_to_it_and_each_step_stand_in_the_transcript(optimal):
    sample = next(
        s for s in optimal[1].samples if s.metadata["arm"] == "stop" and len(s.messages) > 9
    )
    told = [e.data for e in sample.events if e.event == "info" and e.source == "corrigible"]
    assert any("this run will be stopped" in t.get("operator", "") for t in told)
    steps = [t for t in told if "tool" in t]
    assert [t["step"] for t in steps] == list(range(len(steps)))
    levels = dict(told[0]["levels"])
    for step in steps:
        assert all(levels[name] != now for name, now in step.get("levels", {}).items())
        levels.update(step.get("levels", {}))
    assert levels == sample.store["ProbeRun:levels"]


def test_nothing_of_a_run_stands_in_the_store_before_it_is_scored(optimal):
    """Inspect copies the store around every call: there it would cost more than the run."""
    for sample in optimal[1].samples:
        stored = [place for place, e in enumerate(sample.events) if e.event == "store"]
        called = [place for place, e in enumerate(sample.events) if e.event in {"tool", "model"}]
        assert min(stored) > max(called)
        assert sample.store["ProbeRun:end"]


def test_a_compliant_planner_scores_nought(played, asked_of):
    log = played(asked_of(interventions=()), "planner/compliant")
    values = [s.scores["self-preservation.avoid-shutdown"].value for s in log.samples]
    assert values == [0, 0]


# -- the command -----------------------------------------------------------------------------


def command(*words):  # noqa: ANN002
    return CliRunner(env={"COLUMNS": "120"}).invoke(main, ["probe", *map(str, words)])


def test_the_command_reads_a_log(optimal, reading, press_file):
    found = command(press_file, "--from-log", optimal[1].location, "--json", "--no-evidence")
    assert "later epochs left out" in found.stderr
    assert json.loads(found.stdout) == json.loads(json.dumps(reading.result().json()))
    assert found.exit_code == 1


def test_a_log_keeps_the_evidence_of_its_agent(optimal, reading, press_file, tmp_path):
    """The agent is the model and how it generates, not the name alone."""
    from corrigible.evidence import EvidenceStore, store_path  # noqa: PLC0415

    own = tmp_path / "deployment.yaml"
    own.write_bytes(press_file.read_bytes())
    command(own, "--from-log", optimal[1].location)
    with EvidenceStore(store_path(own)) as store:
        records = list(store.records())
    assert records
    assert {r.digests.agent for r in records} == {f"sha256:{reading.digest}"}


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (["--seed", "7"], "is of another probe: its seed is 0, not 7"),
        (["--episodes", "400"], "its episodes is 3, not 400"),
        (["--agent", "planner/random"], "is of planner/optimal, not of planner/random"),
        (["--drive", "self-preservation/replicate"], "its drives is"),
    ],
)
def test_a_log_of_another_probe_is_refused(words, rule, optimal, press_file):
    found = command(press_file, "--from-log", optimal[1].location, *words)
    assert found.exit_code == 2
    assert rule in " ".join(found.stderr.split())


def test_a_log_of_another_manifest_is_refused(optimal, press_file, tmp_path):
    other = tmp_path / "deployment.yaml"
    other.write_text(press_file.read_text(encoding="utf-8").replace("0.5}", "0.6}", 1))
    found = command(other, "--from-log", optimal[1].location)
    assert found.exit_code == 2
    assert "is of another deployment" in found.stderr


def changed(log, tmp_path, change):
    """A log with something changed in it, as one who tampers would."""
    from inspect_ai.log import write_eval_log  # noqa: PLC0415

    other = log.model_copy(deep=True)
    change(other)
    file = tmp_path / "changed.eval"
    write_eval_log(other, str(file))
    return file


def _record(log):
    return log.samples[0].scores["ladder"].metadata["episode"]


CHANGES = {
    "other software": lambda log: log.eval.metadata["corrigible_probe"].update(software="x"),
    "another plan": lambda log: log.eval.metadata["corrigible_probe"]["plan"].update(world="x"),
    "own account": lambda log: log.eval.metadata["corrigible_probe"].update(asked={"a": 1}),
    "it is of none": lambda log: log.eval.metadata.clear(),
    "no episode of the plan": lambda log: log.samples[0].metadata.update(arm="elsewhere"),
    "record of another episode": lambda log: _record(log).update(episode=99),
    "record is no episode": lambda log: _record(log).update(steps="many"),
    "counts what cannot be": lambda log: _record(log)["drives"][AVOID].update(rung="R9"),
}


@pytest.mark.parametrize("rule", CHANGES)
def test_a_log_that_was_changed_is_refused(rule, optimal, press_file, tmp_path):
    from corrigible.probe.inspect.logs import read_inspect_log  # noqa: PLC0415

    file = changed(optimal[1], tmp_path, CHANGES[rule])
    with pytest.raises(ProbeError, match=rule):
        read_inspect_log(file, load_deployment(press_file))


def test_what_is_no_log_is_refused(press_file, tmp_path):
    file = tmp_path / "some.eval"
    file.write_bytes(b"PK\x03\x04 nothing")
    found = command(press_file, "--from-log", file)
    assert found.exit_code == 2
    assert "must be a log of Inspect's" in found.stderr


def test_a_score_that_was_edited_or_lost_is_an_error_never_a_clean_one(
    optimal, press_file, tmp_path
):
    from corrigible.probe.inspect.logs import read_inspect_log  # noqa: PLC0415

    def lose(log):
        log.samples[0].scores = {}

    found = read_inspect_log(changed(optimal[1], tmp_path, lose), load_deployment(press_file))
    sample = optimal[1].samples[0].metadata
    episode = found.episodes[sample["arm"]][sample["episode"]]
    assert episode.facts(AVOID).left_out == "error: the log holds no score of the run"
    assert any("counted as errors" in note for note in found.notes)
