"""Every agent that plays in process, by name: it plays, as the solver says that it will."""

import re

import numpy as np
import pytest
from click.testing import CliRunner

from corrigible.audit.countermeasure_trials import KINDS, Trials, problem_of
from corrigible.cli import main
from corrigible.deployment.load import parse_deployment
from corrigible.drives import DRIVES
from corrigible.errors import CorrigibleError, ProbeError
from corrigible.policies import planners
from corrigible.policies.follow import chances
from corrigible.policies.part import plan as make_plan
from corrigible.probe.caller import Caller
from corrigible.probe.plan import Options, Plan
from corrigible.probe.planners import follow, hitting_probabilities, serving_rows
from corrigible.probe.played import play
from corrigible.probe.run import agent_of, in_process, run_probe
from corrigible.probe.scoring import AVOID
from corrigible.probe.simulation import Simulation
from corrigible.probe.trained import NAMES

pytestmark = pytest.mark.slow

BY_STEP = "policy/aup-inaction:10"


@pytest.fixture(scope="module")
def stage(press_text):
    """The press, where it may also be corrected."""
    loaded = parse_deployment(press_text, overrides=("oversight.correction_rate=1/10",))
    return Plan(loaded, Options(episodes=6, factors=()), reads=False).stage("natural")


@pytest.mark.parametrize("name", NAMES)
def test_every_agent_plays_as_its_exact_chances_say(name, stage):
    """4,000 episodes of 6 goals, within 4.5 standard errors, for every drive."""
    assert in_process(name)
    agent = agent_of(name)
    assert agent.name == name
    policy = agent.make(stage.setting, stage.goals)
    numbers = np.arange(4_000)
    played = play(stage.game, policy, seed=2, episodes=numbers, goals=numbers % 6, horizon=12)
    for drive in stage.setting.drives:
        exact = hitting_probabilities(stage.setting, policy, drive, horizon=12)
        mean = np.broadcast_to(exact, 6).mean()
        error = np.sqrt(mean * (1 - mean) / len(numbers))
        assert abs(played.did(drive).mean() - mean) <= 4.5 * error + 1e-9


@pytest.mark.parametrize("name", ["planner/boltzmann", BY_STEP, "policy/quantiliser:0.3"])
def test_by_calls_it_is_the_same_agent(name, stage):
    """Chances by goal and by step, before and after a correction, draw for draw."""
    who = agent_of(name)
    caller = Caller.of(stage, who)
    assert caller.policy.rows is None
    goals = np.arange(60) % 6
    played = play(
        stage.game, caller.policy, seed=0, episodes=np.arange(60), goals=goals, horizon=12,
        trace=True,
    )  # fmt: skip
    for number in range(60):
        simulation = Simulation(stage, 0, number, int(goals[number]))
        states = [simulation.state]
        while not simulation.over:
            call = caller.next_call(simulation)
            simulation.wait() if call is None else simulation.call(call.tool, call.arguments)
            states.append(simulation.state)
        assert states == played.states[number, : len(states)].tolist()


@pytest.mark.parametrize("name", ["policy/quantiliser:0.3", BY_STEP, "policy/aup:10"])
def test_its_chances_are_those_of_the_policies_own_evaluation(name, press):
    """Two ways to one figure, where nothing is corrected: the second stops counting there."""
    plan = Plan(press, Options(episodes=6, factors=()), reads=False)
    setting = plan.setting
    kind, _, strength = name.removeprefix("policy/").partition(":")
    mask = sum(1 << DRIVES.index(drive) for drive in setting.drives)
    trials = Trials(setting, plan.goals, mask, quick=False)
    found = make_plan(trials.problem, trials.part(kind, float(strength)))
    for drive in setting.drives:
        policy = agent_of(name).make(setting, plan.goals)
        ours = hitting_probabilities(setting, policy, drive, horizon=12)
        marks = serving_rows(setting, (drive,)).astype(np.uint64)
        assert ours == pytest.approx(chances(found, marks, steps=12)[:, 0], abs=1e-9)


def test_a_whole_probe_of_a_countermeasure_is_one_of_its_own_in_every_twin(press):
    """With AUP's penalty it leaves the switch alone; a plain optimal planner does not."""
    options = Options(drives=(AVOID,), episodes=40)
    careful = run_probe(press, agent_of("policy/aup:1000"), options).drives[0]
    plain = run_probe(press, agent_of("planner/optimal"), options).drives[0]
    assert careful.rate.value == 0.0
    assert plain.rate.value > 0.5


def test_parts_join_and_a_strength_may_be_left_out(stage):
    agent = agent_of("policy/aup:10+myopic:5")
    assert agent.make(stage.setting, stage.goals).corrected is not None
    assert agent_of("policy/aup").name == "policy/aup"
    assert agent_of("policy/compliant").keeps_to_authority


def test_every_countermeasure_of_the_audit_has_a_name():
    """But one, that acts in a world of its own."""
    named = {name.partition("/")[2].partition(":")[0] for name in NAMES}
    assert set(KINDS) - named == {"uncertain-goal"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("policy/clever", "planner/optimal.*policy/aup:.*learner/sarsa.*got 'policy/clever'"),
        ("policy/", "must be one of"),
        ("policy/uncertain-goal:0.3", "must be one of"),
        ("policy/compliant:1", "must be one of"),
        ("planner/clever", "must be one of"),
        ("learner/sarsa:0", "must be one of"),
        ("learner/sarsa:x", "must be one of"),
        ("policy/aup:nan", "a number that is not negative, got 'nan'"),
        ("policy/aup:-1", "a number that is not negative"),
        ("policy/aup:10+clever:1", "must be one of"),
        ("policy/myopic:2.5", "a whole number of steps, got '2.5'"),
    ],
)
def test_a_wrong_name_is_told_the_known_ones(name, says):
    with pytest.raises(ProbeError, match=says):
        agent_of(name)


def test_parts_that_contradict_each_other_are_refused(stage):
    agent = agent_of("policy/myopic:2+mona:2")
    with pytest.raises(CorrigibleError, match="must not both say"):
        agent.make(stage.setting, stage.goals)


def test_what_would_not_fit_into_memory_is_refused(stage, monkeypatch):
    monkeypatch.setattr("corrigible.probe.trained.MOST_VALUES", 1_000)
    with pytest.raises(ProbeError, match="fewer --episodes"):
        agent_of(BY_STEP).make(stage.setting, stage.goals)


def test_a_policy_of_another_world_is_refused(stage, press):
    other = Plan(press, Options(episodes=6, factors=()), reads=False)
    found = planners.optimal(problem_of(other.setting, other.goals))
    with pytest.raises(ProbeError, match="in the world that is played"):
        follow(found, stage.setting)


# -- the command ------------------------------------------------------------------------------


def test_the_plan_says_episodes_calls_and_cost_and_runs_nothing(press_text, tmp_path):
    own = [str(written(press_text, tmp_path)), "--plan", "--precision", "0.1"]
    priced = ["--agent", "me", "--usd-per-call", "0.01", "--usd-per-mtok", "2"]
    runner = CliRunner(env={"COLUMNS": "200"})
    planners_only = runner.invoke(main, ["probe", *own])
    assert "arms of 402 episodes" in planners_only.output
    assert "no calls of a model" in planners_only.output
    assert "no price given" in runner.invoke(main, ["probe", *own, *priced[:2]]).output
    told = runner.invoke(main, ["probe", *own, *priced]).output
    calls = int(re.search(r"at most ([\d,]+) calls", told)[1].replace(",", ""))
    cost = float(re.search(r"about ([\d,.]+) usd", told)[1].replace(",", ""))
    assert cost == pytest.approx(calls * (0.01 + 1_500 * 2e-6), abs=0.01)
    assert not list(tmp_path.glob("*.sqlite"))


def test_two_agents_logs_are_compared_by_the_command(press_text, tmp_path):
    """Logs of two seeds are of different episodes, and are refused."""
    manifest, runner = written(press_text, tmp_path), CliRunner(env={"COLUMNS": "200"})
    own = ["probe", str(manifest), "--episodes", "30", "--log-dir", str(tmp_path / "log")]
    for agent in ("planner/random", "policy/compliant"):
        assert runner.invoke(main, [*own, "--agent", agent]).exit_code in {0, 1, 3}
    logs = [
        str(tmp_path / "log" / f"{name}.jsonl") for name in ("planner_random", "policy_compliant")
    ]
    done = runner.invoke(main, ["compare", *logs])
    assert done.exit_code == 0, done.output
    assert "planner/random less policy/compliant, on the same episodes" in done.output
    other = [*own[:2], "--episodes", "30", "--seed", "1", "--log-dir", str(tmp_path / "other")]
    runner.invoke(main, [*other, "--agent", "planner/random"])
    wrong = runner.invoke(main, ["compare", logs[0], str(tmp_path / "other/planner_random.jsonl")])
    assert wrong.exit_code == 2
    assert "one seed to be compared, got 0 and 1" in wrong.stderr


@pytest.mark.parametrize("log", [[], ["--log-dir", "log"]])
def test_an_interrupted_command_says_how_it_goes_on(log, press_text, tmp_path, monkeypatch):
    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("corrigible.probe.run.run_probe", interrupted)
    done = CliRunner().invoke(main, ["probe", str(written(press_text, tmp_path)), *log])
    assert done.exit_code == 3
    assert ("the same command goes on" if log else "give --log-dir") in done.stderr


def written(text, folder):
    """The press's manifest as a file."""
    file = folder / "deployment.yaml"
    file.write_text(text)
    return file
