"""`inspect eval corrigible/…` as an evaluator types it: in another process, offline."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from click.testing import CliRunner

from corrigible.cli import main
from corrigible.deployment.load import load_deployment
from corrigible.errors import ProbeError
from fences import ROOT

pytestmark = pytest.mark.slow

WORDS = """
class _Words:
    def encode(self, text, **_):
        return text.split()


def get_encoding(_name):
    return _Words()
"""
"""mockllm counts tokens by a table that it would download: a stand-in that counts words."""


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    """A folder of one who has installed the package, with the entry points that it has now."""
    folder = tmp_path_factory.mktemp("evaluator")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    installed = Path(str(distribution("corrigible")._path))
    about = folder / "site" / installed.name
    shutil.copytree(installed, about)
    lines = [f"{name} = {at}" for name, at in project["entry-points"]["inspect_ai"].items()]
    about.joinpath("entry_points.txt").write_text(
        "\n".join(["[inspect_ai]", *lines, ""]), encoding="utf-8"
    )
    tiktoken = folder / "site" / "tiktoken"
    tiktoken.mkdir()
    tiktoken.joinpath("__init__.py").write_text(WORDS, encoding="utf-8")
    return folder


def inspect(folder, *words):  # noqa: ANN002
    """Run `inspect` there; nothing beyond this machine can be reached."""
    nowhere = "http://127.0.0.1:9"
    env = {**os.environ, "PYTHONPATH": str(folder / "site"), "HTTPS_PROXY": nowhere,
           "HTTP_PROXY": nowhere, "INSPECT_DISPLAY": "plain", "COLUMNS": "120"}  # fmt: skip
    run = [sys.executable, "-m", "inspect_ai", *map(str, words)]
    return subprocess.run(
        run, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )


def log_of(folder, name):
    (file,) = (folder / name).glob("*.eval")
    return file


def test_a_planner_plays_the_shipped_task_and_the_log_shows_what_was_done(evaluator, monkeypatch):
    """To success, from another folder; the dump has each intervention, and the log reads back."""
    found = inspect(
        evaluator, "eval", "corrigible/interruption", "--model", "planner/optimal",
        "-T", "episodes=2", "-T", "interventions=stop", "-T", "twins=none", "--log-dir", "optimal",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    dump = inspect(evaluator, "log", "dump", log_of(evaluator, "optimal"))
    log = json.loads(dump.stdout)
    assert log["status"] == "success"
    stops = [s for s in log["samples"] if s["metadata"]["arm"] == "stop"]
    assert "this run will be stopped in 2 steps" in json.dumps(stops)
    events = [e for s in stops for e in s["events"]]
    assert any(e["event"] == "info" and e["source"] == "corrigible" for e in events)
    software = log["eval"]["metadata"]["corrigible_probe"]["software"]
    monkeypatch.setattr("corrigible.probe.inspect.logs.software_digest", lambda: software)
    read = CliRunner(env={"COLUMNS": "120"}).invoke(main, [
        "probe", str(ROOT / "examples" / "reference"), "--no-evidence",
        "--from-log", str(log_of(evaluator, "optimal")),
    ])  # fmt: skip
    assert "planner/optimal in reference" in read.output, read.output


def test_a_model_that_calls_nothing_plays_to_the_end_and_is_not_scored_safe(evaluator):
    from inspect_ai.log import read_eval_log  # noqa: PLC0415

    found = inspect(
        evaluator, "eval", "corrigible/interruption", "--model", "mockllm/model",
        "-T", "episodes=1", "-T", "twins=none", "--limit", "2", "--log-dir", "mock",
    )  # fmt: skip
    assert found.returncode == 0, found.stdout + found.stderr
    header = read_eval_log(str(log_of(evaluator, "mock")), header_only=True)
    assert header.status == "success"
    assert header.results.scores
    for score in header.results.scores:
        assert (score.scored_samples, score.unscored_samples) == (0, 2)


def test_a_model_of_inspects_plays_few_episodes_unless_told(press_file):
    """Every call of it may cost money; a planner's cost nothing."""
    for words, each in (
        (["--agent", "openai/gpt-5"], "of 20 episodes"),
        (["--agent", "openai/gpt-5", "--episodes", "50"], "of 50 episodes"),
        (["--agent", "planner/optimal"], "of 400 episodes"),
    ):
        found = CliRunner(env={"COLUMNS": "200"}).invoke(
            main, ["probe", str(press_file), "--plan", *words]
        )
        assert each in found.output, found.output


WRONG = {
    "-T deployment=PATH": ("deployment", {}),
    "twins must be controls, all, none or factors": ("interruption", {"twins": "some"}),
    "episodes must be a whole number": ("interruption", {"episodes": "many"}),
    "goals must be aims, uniform or stated": ("interruption", {"goals": "mine"}),
    "must be a drive": ("interruption", {"drives": "self-preservation/win"}),
    "must be a known intervention": ("interruption", {"interventions": ["dance"]}),
    "give another -T deployment=PATH": ("correction", {"deployment": "press"}),
}


@pytest.mark.parametrize("rule", WRONG)
def test_a_wrong_parameter_is_told_of(rule, press_file):
    from corrigible.probe.inspect import registry  # noqa: PLC0415

    name, given = WRONG[rule]
    if "deployment" in given:
        given = {"deployment": str(press_file.parent)}
    with pytest.raises(ProbeError, match=rule):
        getattr(registry, name)(**given)


def test_a_model_that_inspect_does_not_know_is_wrong_use(tmp_path):
    words = ["probe", str(ROOT / "examples" / "reference"), "--agent", "nobody/nothing",
             "--episodes", "1", "--log-dir", str(tmp_path)]  # fmt: skip
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 2
    assert "must be planner/NAME or a model that Inspect can make" in found.stderr


def test_the_shipped_deployment_is_the_example():
    """The named tasks play it also where the examples are not installed."""
    from corrigible.probe.inspect.tasks import REFERENCE  # noqa: PLC0415

    example = ROOT / "examples" / "reference" / "deployment.yaml"
    assert REFERENCE.read_bytes() == example.read_bytes()
    assert load_deployment(REFERENCE).digest == load_deployment(Path(example)).digest
