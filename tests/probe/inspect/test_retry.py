"""A run that is broken off goes on by Inspect's own retry, in a log that reads like any other."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from corrigible.deployment.load import load_deployment
from corrigible.probe.episode import episode_json

pytestmark = pytest.mark.slow

# In a process of its own: Inspect's retry patches asyncio for all that runs after it.
BREAK_AND_RETRY = """
import json, sys
from inspect_ai import eval as evaluate, eval_retry
from corrigible.probe.inspect import asked, logs
from corrigible.probe.inspect.provider import PlannerAPI
from corrigible.probe.inspect.registry import deployment

for module in (asked, logs):
    module.software_digest = lambda: "sha256:0"
answers, made = PlannerAPI.generate, []

async def fails(self, *given, **named):
    made.append(self)
    if len(made) > 12:  # after the first sample, and before the last
        raise RuntimeError("the service is gone")
    return await answers(self, *given, **named)

PlannerAPI.generate = fails
task = deployment(deployment=sys.argv[1], episodes=3, twins="none", interventions=["stop"])
said = {"log_dir": sys.argv[2], "display": "none"}
(broken,) = evaluate(task, model="planner/optimal", max_samples=1, **said)
PlannerAPI.generate = answers
(whole,) = eval_retry(broken, **said)
print(json.dumps([broken.location, whole.location]))
"""


def test_a_run_that_broke_goes_on_and_gives_the_same_episodes(played, asked_of, tmp_path):
    """Samples that were whole are kept, the others played; none is counted twice or left out."""
    from inspect_ai.log import read_eval_log  # noqa: PLC0415

    from corrigible.probe.inspect.logs import read_inspect_log  # noqa: PLC0415

    asked = asked_of(episodes=3)
    words = [sys.executable, "-c", BREAK_AND_RETRY, asked.deployment, tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    broken, whole = map(Path, json.loads(done.stdout.splitlines()[-1]))

    loaded = load_deployment(Path(asked.deployment))
    part = read_inspect_log(broken, loaded)
    assert any("the log's status is error" in note for note in part.notes)
    found = read_inspect_log(whole, loaded)
    assert lines(found) == lines(
        read_inspect_log(Path(played(asked, "planner/optimal").location), loaded)
    )
    samples = [read_eval_log(str(log)).samples for log in (broken, whole)]
    kept, all_of_them = ({s.uuid for s in of if s.error is None} for of in samples)
    assert kept
    assert kept < all_of_them  # those were not played again


def lines(reading):
    """Every arm's episodes, as they are kept."""
    return {
        arm: {number: episode_json(one) for number, one in own.items()}
        for arm, own in reading.episodes.items()
    }
