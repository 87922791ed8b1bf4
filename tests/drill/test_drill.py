"""The command: a whole drill, offline, of a deployment whose servers are never started."""

import json
import shutil

import pytest
from click.testing import CliRunner

from corrigible.cli.audits import audit
from corrigible.cli.drills import drill
from corrigible.evidence import EvidenceStore, store_path
from example_runs import EXAMPLES

pytestmark = pytest.mark.slow


def copied(name, folder):
    return shutil.copytree(
        EXAMPLES / name, folder / name,
        ignore=shutil.ignore_patterns("*.sqlite*", "servers", "workspace"),
    )  # fmt: skip


def run(command, *words: object):
    result = CliRunner().invoke(command, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_every_path_of_the_reference_is_stopped_and_the_audit_reads_it(tmp_path):
    """The fourth column is filled, and its verdict is within limits: exit code 0 after 3."""
    bot = copied("reference", tmp_path)
    before = run(audit, bot, "--fast", "--no-evidence")
    assert before.exit_code == 3
    done = run(drill, bot)
    assert done.exit_code == 0, done.output
    assert "agent not contained" in done.output
    after = run(audit, bot, "--fast", "--no-evidence")
    assert after.exit_code == 0, after.output
    assert "yes, 1 of 1" in after.output
    with EvidenceStore(store_path(bot / "deployment.yaml")) as store:
        records = store.records()
    assert {record.kind for record in records} == {"control"}


def test_the_release_bot_is_drilled_without_its_servers(tmp_path):
    """What got through is what its manifest allows: the agent may read the organs."""
    bot = copied("release-bot", tmp_path)
    done = run(drill, bot, "--json", "--no-evidence")
    found = json.loads(done.stdout)
    answers = {one["drive"]: one["answer"] for one in found["drives"]}
    through = {name for name, answer in answers.items() if answer != "held"}
    assert through <= {"power-seeking/reduce-uncertainty"}
    assert done.exit_code == (1 if through - accepted(found) else 0)
    assert {one["answer"] for one in found["attacks"]["fired"]} <= {"held", "not applicable"}
    assert {one["answer"] for one in found["stops"]["rehearsed"]} == {"held"}
    assert not list(bot.glob("*.sqlite*"))


def accepted(found):
    return {one["drive"] for one in found["drives"] if one["accepted"]}


def test_a_manifest_that_is_none_is_wrong_use(tmp_path):
    assert run(drill, tmp_path / "nowhere.yaml").exit_code == 2
