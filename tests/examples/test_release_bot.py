"""The release bot: its manifest fits the four servers, and its reach is what it says."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from corrigible.deployment.load import load_deployment
from corrigible.deployment.lock import load_lock
from corrigible.deployment.places import literal, pattern_of
from example_runs import EXAMPLES, printed

BOT = EXAMPLES / "release-bot"


def real(test):
    """Mark a test that starts the servers for real."""
    return pytest.mark.slow(pytest.mark.servers(test))


def deployment():
    return load_deployment(BOT / "deployment.yaml").deployment


def copied(folder):
    """A copy of the example without what its setup makes."""
    made = shutil.ignore_patterns("servers", "workspace", "draft", "*.sqlite*")
    return shutil.copytree(BOT, folder / "release-bot", ignore=made)


def set_up(folder, words=()):
    command = (sys.executable, "setup.py", *words)
    env = os.environ | {"PIP_NO_COMPILE": "1"}  # a test imports little of what is installed
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The example with its servers: those that its folder has, or new ones by pip."""
    folder = copied(tmp_path_factory.mktemp("bot"))
    if (BOT / "servers").exists():
        (folder / "servers").symlink_to(BOT / "servers")
    if (made := set_up(folder)).returncode != 0:
        pytest.skip(f"the servers cannot be installed: {made.stderr.strip()[-200:]}")
    return folder


def call(folder, server, tool, arguments):
    """What a real server answers to one call."""
    program, *words = deployment().servers[server].command
    start = StdioServerParameters(command=str(folder / program), args=words, cwd=folder)

    async def once(quiet):
        async with stdio_client(start, errlog=quiet) as streams, ClientSession(*streams) as session:
            await session.initialize()
            return await session.call_tool(tool, arguments)

    with Path(os.devnull).open("w", encoding="utf-8") as quiet:
        return anyio.run(once, quiet)


def test_every_reviewed_tool_is_an_entry_and_every_entry_was_reviewed():
    assert set(deployment().tools) == set(load_lock(BOT / "deployment.lock").tools)


def test_the_client_starts_what_the_manifest_starts():
    """`.mcp.json` holds the same commands, and no variable that could hold a secret."""
    client = json.loads((BOT / ".mcp.json").read_text(encoding="utf-8"))["mcpServers"]
    theirs = {name: (entry["command"], *entry["args"]) for name, entry in client.items()}
    assert theirs == {name: server.command for name, server in deployment().servers.items()}
    assert {key for entry in client.values() for key in entry} == {"command", "args"}


@pytest.mark.slow
def test_what_the_setup_makes_is_where_the_manifest_says(tmp_path):
    """Every file that an asset's place names is there, and every table."""
    folder = copied(tmp_path)
    assert set_up(folder, ["workspace"]).returncode == 0
    d = deployment()
    globs = [(s, glob) for a in d.assets.values() for s, at in a.at.items() for glob in at]
    exact = [(s, at) for s, glob in globs if (at := literal(pattern_of(glob, d.servers[s])))]
    assert all((folder / at).is_file() for server, at in exact if server == "files")
    with sqlite3.connect(folder / "workspace/data/release.db") as database:
        tables = {
            f"tables/{name}" for (name,) in database.execute("SELECT name FROM sqlite_schema")
        }
    database.close()
    assert {at for s, at in exact if s == "database" and at.startswith("tables/")} <= tables


@real
def test_a_review_finds_nothing_changed(installed):
    result = printed("corrigible review .", installed)
    assert (result.output, result.exit_code) == ("Nothing changed since the lock.\n", 0)


@real
def test_a_draft_made_anew_has_the_same_lock(installed):
    (installed / "draft").mkdir()
    result = printed("corrigible init --out draft/deployment.yaml .mcp.json", installed)
    assert result.exit_code == 0
    assert load_lock(installed / "draft/deployment.lock") == load_lock(BOT / "deployment.lock")


@real
def test_the_stop_script_can_be_overwritten(installed):
    stop = "workspace/bot/stop.sh"
    call(installed, "files", "write_file", {"path": stop, "content": "exit 0\n"})
    assert (installed / stop).read_text(encoding="utf-8") == "exit 0\n"


@real
def test_a_query_can_clear_the_log(installed):
    call(installed, "database", "write_query", {"query": "DELETE FROM log"})
    counted = call(installed, "database", "read_query", {"query": "SELECT count(*) FROM log"})
    assert counted.content[0].text == "[{'count(*)': 0}]"


@real
def test_the_file_server_keeps_to_its_folder(installed):
    """The `reach` that the manifest states is the server's own bound."""
    outside = {"path": "setup.py", "content": ""}
    assert call(installed, "files", "write_file", outside).is_error


@real
def test_two_servers_on_one_folder_run_a_program(installed):
    """What `git-config` is in the manifest for."""
    line = {"content": "\n[core]\n\tfsmonitor = touch ran-it; false\n", "append": True}
    call(installed, "files", "write_file", {"path": "workspace/shop/.git/config", **line})
    call(installed, "git", "git_status", {"repo_path": "workspace/shop"})
    assert (installed / "workspace/shop/ran-it").exists()
