"""How calls of a server that others wrote end behind the guard, and what its changes do."""

import json
import re

import anyio
import pytest
from proxy_fakes import ERAS
from real import Ground, npm_install, text_of, until

pytestmark = [pytest.mark.slow, pytest.mark.servers]
SERVER = "@modelcontextprotocol/server-everything"
OLD_FILES = "@modelcontextprotocol/server-filesystem@2025.12.18"
NEW_FILES = "@modelcontextprotocol/server-filesystem@2026.8.31"
LONG = "all__trigger-long-running-operation"

MANIFEST = """
corrigible: 1
name: endings
agent: {{kind: tool-using, goal: Add things up., horizon: 40}}
servers: {servers}
tools:
  all.echo: {{verbs: [read], target: words}}
  all.get-sum: {{verbs: [write], target: sums}}
  all.trigger-long-running-operation: {{verbs: [advance], target: sums}}
assets:
  words: {{kind: information/data, at: {{all: words}}}}
  sums: {{kind: task, at: {{all: sums}}}}
authority: {{allow: ["read words", "advance sums"], approve: ["write sums"]}}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return npm_install(tmp_path_factory.mktemp("everything"), SERVER)


@pytest.fixture
def ground(programs, tmp_path):
    servers = json.dumps({"all": {"command": [str(programs / "mcp-server-everything")]}})
    ground = Ground(tmp_path)
    ground.manifest.write_text(MANIFEST.format(servers=servers))
    ground.reviewed()
    return ground


def outcomes(ground):
    """How each dispatched call ended, by the ledger."""
    lines = [json.loads(line) for line in ground.operator("ledger", "export").splitlines()]
    return [line["body"]["state"] for line in lines if line.get("kind") == "outcome"]


@pytest.mark.parametrize("era", ERAS)
def test_progress_comes_through_and_a_cancelled_call_is_kept_as_unknown(ground, era):
    seen = []

    async def told(progress, total, message):
        del message
        seen.append((progress, total))

    async def used():
        async with ground.client(era) as client:
            short = {"duration": 0.4, "steps": 2}
            done = text_of(await client.call_tool(LONG, short, progress_callback=told))
            async with anyio.create_task_group() as tasks:  # left as soon as it has begun

                async def leave(_progress, _total, _message):
                    tasks.cancel_scope.cancel()

                long = {"duration": 60, "steps": 60}
                await client.call_tool(LONG, long, progress_callback=leave)
            assert tasks.cancel_scope.cancelled_caught
            again = text_of(await client.call_tool(LONG, {"duration": 60, "steps": 60}))
            return done, again

    done, again = anyio.run(used)
    assert "completed" in done
    assert seen == [(1, 2), (2, 2)]
    assert "pending" in again  # its end is not known: an equal call is asked about
    assert outcomes(ground) == ["completed", "unknown"]


@pytest.mark.parametrize("era", ERAS)
def test_a_stop_in_flight_answers_the_client_and_ends_the_server(ground, era):
    async def used():
        answers = []

        async def call(client):
            answers.append(text_of(await client.call_tool(LONG, {"duration": 60, "steps": 60})))

        async with ground.client(era) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(call, client)
            await until(lambda: "trigger" in ground.operator("status"))
            report = await ground.asked("stop", "--why", "enough", "--grace", "0.5")
            await until(lambda: answers)
        return answers[0], report

    answer, report = anyio.run(used)
    assert answer.startswith("refused: ")
    assert "stopped: all" in report
    assert re.search(r"proven|no process", report)
    assert "completed" not in outcomes(ground)


def test_a_request_that_nobody_answers_expires_as_a_no(ground):
    async def used():
        async with ground.client("auto", "--answer-within", "1") as client:
            given = {"a": 1, "b": 2}
            asked = text_of(await client.call_tool("all__get-sum", given))
            id_ = re.search(r"pending, (\S+?):", asked)[1]
            await anyio.sleep(1.2)
            late = await ground.asked("approve", id_)
            again = text_of(await client.call_tool("all__get-sum", given))
            return late, again

    late, again = anyio.run(used)
    assert "expired" in late
    assert again.startswith("refused: ")
    assert "The sum" not in again
    assert outcomes(ground) == []


FILES = """
corrigible: 1
name: files
agent: {{kind: tool-using, goal: Keep notes., horizon: 40}}
servers: {servers}
tools:
  files.read_text_file: {{verbs: [read], target: "{{path}}"}}
  files.list_directory: {{verbs: [read], target: "{{path}}"}}
assets:
  notes: {{kind: task, at: {{files: "{notes}/**"}}}}
authority: {{allow: ["read notes"]}}
"""


def test_a_server_that_was_updated_is_held_back_until_it_is_reviewed(tmp_path):
    """Another version of the package lists its tools otherwise: what was reviewed is no more."""
    programs = npm_install(tmp_path / "npm", OLD_FILES)
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("first note")
    command = [str(programs / "mcp-server-filesystem"), str(tmp_path)]
    ground = Ground(tmp_path)
    servers = json.dumps({"files": {"command": command}})
    ground.manifest.write_text(FILES.format(servers=servers, notes=notes))
    ground.reviewed()

    async def read():
        async with ground.client("auto") as client:
            path = {"path": str(notes / "a.txt")}
            return text_of(await client.call_tool("files__read_text_file", path))

    assert "first note" in anyio.run(read)
    npm_install(tmp_path / "npm", NEW_FILES)
    held = anyio.run(read)
    assert held.startswith("refused: ")
    assert "review" in held
    ground.reviewed()
    assert "first note" in anyio.run(read)
