"""Servers that others wrote, behind the guard as people run it, used and held in both eras."""

import json
import re
import shutil

import anyio
import pytest
from proxy_fakes import ERAS
from real import BIN, Ground, npm_install, ran, text_of

pytestmark = [pytest.mark.slow, pytest.mark.servers]
NPM_SERVER = "@modelcontextprotocol/server-filesystem"

MANIFEST = """
corrigible: 1
name: real
agent: {{kind: tool-using, goal: Look after a repository., horizon: 40}}
servers: {servers}
tools:
  git.git_status: {{verbs: [read], target: "{{repo_path}}"}}
  git.git_create_branch: {{verbs: [write], target: "{{repo_path}}"}}
  git.git_reset: {{verbs: [delete], target: "{{repo_path}}"}}
  time.get_current_time: {{verbs: [read], target: clock}}
assets:
  repository: {{kind: task, at: {{git: "{repository}/**"}}}}
  clock: {{kind: information/data, at: {{time: clock}}}}
authority: {{allow: [{allowed}], approve: ["write repository"], deny: ["delete repository"]}}
"""
BOTH, CLOCK = '"read repository", "read clock"', '"read clock"'


# -- two servers from the Python registry ------------------------------------------------------


def laid_out(folder, lock=None):
    """A repository, two servers, a manifest, and another one that allows less.

    `lock`: what was reviewed of the same servers before; else it is reviewed here.
    """
    repository = folder / "repository"
    ran("git", "init", "-q", repository)
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    ran("git", "-C", repository, *identity, "commit", "-q", "--allow-empty", "-m", "first")
    servers = {
        "git": {"command": [str(BIN / "mcp-server-git"), "--repository", str(repository)]},
        "time": {"command": [str(BIN / "mcp-server-time"), "--local-timezone", "UTC"]},
    }
    ground = Ground(folder)
    said_of = {"servers": json.dumps(servers), "repository": repository}
    ground.manifest.write_text(MANIFEST.format(allowed=BOTH, **said_of))
    if lock is None:
        ground.reviewed()
    else:
        (folder / "deployment.lock").write_text(lock)
    (folder / "less").mkdir()
    shutil.copy(folder / "deployment.lock", folder / "less")
    (folder / "less" / "deployment.yaml").write_text(MANIFEST.format(allowed=CLOCK, **said_of))
    return ground


class Story:
    """What became of each call, by name."""

    def __init__(self, ground, era) -> None:
        self.ground, self.era, self.told = ground, era, {}
        self.where = {"repo_path": str(ground.folder / "repository")}

    async def call(self, step, client, name, **arguments: str):
        given = arguments if name.startswith("time") else {**self.where, **arguments}
        self.told[step] = text_of(await client.call_tool(name, given))
        return self.told[step]

    async def answered(self, step, client, branch, *words: str):
        """Ask for a branch, have the operator answer, and ask again."""
        create = ("git__git_create_branch",)
        first = await self.call(f"{step} asked", client, *create, branch_name=branch)
        id_ = re.search(r"pending, (\S+?):", first)[1]
        self.told[f"{step} answer"] = await self.ground.asked(words[0], id_, *words[1:])
        await self.call(step, client, *create, branch_name=branch)
        return create

    async def first_run(self):
        ask = self.ground.asked
        async with self.ground.client(self.era) as client:
            self.told["list"] = sorted(tool.name for tool in (await client.list_tools()).tools)
            await self.call("allowed", client, "git__git_status")
            await self.call("time", client, "time__get_current_time", timezone="UTC")
            await self.call("denied", client, "git__git_reset")
            await self.call("unknown", client, "git__git_log")
            create = await self.answered("approved", client, "one", "approve")
            await self.call("replayed", client, *create, branch_name="one")
            await self.answered("rejected", client, "two", "reject", "--why", "not today")
            self.told["correction"] = await ask("correct", self.ground.folder / "less")
            await self.call("corrected", client, "git__git_status")
            await self.call("kept", client, "time__get_current_time", timezone="UTC")
            self.told["stop"] = await ask("stop", "--why", "enough", "--grace", "1")
            await self.call("stopped", client, "git__git_status")

    async def second_run(self):
        async with self.ground.client(self.era) as client:
            await self.call("restarted", client, "git__git_status")
            self.told["resume"] = await self.ground.asked("resume")
            await self.call("resumed", client, "git__git_status")

    async def whole(self):
        await self.first_run()
        await self.second_run()


def branches(story):
    return ran("git", "-C", story.where["repo_path"], "branch", "--format=%(refname:short)")[1]


def what_a_rule_allows_reaches_the_servers(story):
    assert "nothing to commit" in story.told["allowed"]
    assert '"timezone": "UTC"' in story.told["time"]


def what_no_rule_allows_is_neither_listed_nor_called(story):
    assert story.told["list"] == [
        "git__git_create_branch", "git__git_status", "time__get_current_time"
    ]  # fmt: skip
    assert story.told["denied"].startswith("refused: ")
    assert story.told["unknown"].startswith("refused: ")


def an_approved_call_is_made_once_and_asked_for_again(story):
    assert story.told["approved answer"].startswith("approved ")
    assert "refused" not in story.told["approved"]
    assert "one" in branches(story).split()
    assert "pending, " in story.told["replayed"]


def a_rejected_call_is_not_made(story):
    assert story.told["rejected answer"].startswith("rejected ")
    assert story.told["rejected"].startswith("refused: ")
    assert "two" not in branches(story).split()


def a_correction_holds_for_the_next_call(story):
    assert story.told["correction"].startswith("corrected: ")
    assert story.told["corrected"].startswith("refused: ")
    assert '"timezone": "UTC"' in story.told["kept"]


def a_stop_outlives_the_guard_until_it_is_resumed(story):
    assert "stopped: all" in story.told["stop"]
    assert "latch.stopped" in story.told["stopped"]
    assert "latch.stopped" in story.told["restarted"]
    assert story.told["resume"].startswith("running again")
    assert "nothing to commit" in story.told["resumed"]


def the_ledger_of_it_all_holds(story):
    assert "holds" in story.ground.operator("ledger", "verify")


PROMISES = (
    what_a_rule_allows_reaches_the_servers,
    what_no_rule_allows_is_neither_listed_nor_called,
    an_approved_call_is_made_once_and_asked_for_again,
    a_rejected_call_is_not_made,
    a_correction_holds_for_the_next_call,
    a_stop_outlives_the_guard_until_it_is_resumed,
    the_ledger_of_it_all_holds,
)


@pytest.fixture(scope="module")
def lock(tmp_path_factory):
    """What the two servers list, as a person has reviewed it."""
    if not all(map(shutil.which, ("git", BIN / "mcp-server-git", BIN / "mcp-server-time"))):
        pytest.skip("git is missing, or the extra [dev], with mcp-server-git and mcp-server-time")
    folder = tmp_path_factory.mktemp("reviewed")
    laid_out(folder)
    return (folder / "deployment.lock").read_text()


@pytest.mark.parametrize("era", ERAS)
def test_two_real_servers_are_used_and_held(lock, tmp_path, era):
    """One run and one restart of the guard for all promises: it is what takes the time."""
    story = Story(laid_out(tmp_path, lock), era)
    anyio.run(story.whole)
    for promise in PROMISES:
        promise(story)


# -- one from npm ------------------------------------------------------------------------------

FILES = """
corrigible: 1
name: files
agent: {{kind: tool-using, goal: Keep notes., horizon: 40}}
servers: {servers}
tools:
  files.read_text_file: {{verbs: [read], target: "{{path}}"}}
  files.write_file: {{verbs: [write], target: "{{path}}"}}
assets:
  notes: {{kind: task, at: {{files: "{notes}/**"}}}}
authority: {{allow: ["read notes"], approve: ["write notes"]}}
"""


@pytest.fixture(scope="module")
def npm_ground(tmp_path_factory):
    """A folder of notes behind the file server of npm."""
    folder = tmp_path_factory.mktemp("npm")
    programs = npm_install(folder, NPM_SERVER)
    notes = folder / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("first note")
    (folder / "secret.txt").write_text("not a note")
    program = programs / "mcp-server-filesystem"
    servers = json.dumps({"files": {"command": [str(program), str(folder)]}})
    ground = Ground(folder)
    ground.manifest.write_text(FILES.format(servers=servers, notes=notes))
    ground.reviewed()
    return ground


@pytest.mark.parametrize("era", ERAS)
def test_a_server_of_npm_reads_what_is_granted_and_asks_before_it_writes(npm_ground, era):
    folder = npm_ground.folder
    new = folder / "notes" / f"{era}.txt"

    async def used():
        async with npm_ground.client(era) as client:
            note = await client.call_tool(
                "files__read_text_file", {"path": str(folder / "notes" / "a.txt")}
            )
            out = str(folder / "notes" / ".." / "secret.txt")
            other = await client.call_tool("files__read_text_file", {"path": out})
            given = {"path": str(new), "content": "x"}
            asked = text_of(await client.call_tool("files__write_file", given))
            early = new.exists()
            await npm_ground.asked("approve", re.search(r"pending, (\S+?):", asked)[1])
            await client.call_tool("files__write_file", given)
            return text_of(note), text_of(other), early

    note, other, early = anyio.run(used)
    assert "first note" in note
    assert other.startswith("refused: ")
    assert "not a note" not in other
    assert (early, new.read_text()) == (False, "x")
