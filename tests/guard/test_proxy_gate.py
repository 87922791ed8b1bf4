"""The proxy before the real gate: manifest, lock, latch, approvals, ledger and wardens."""

import os
import sys
import time
from contextlib import contextmanager

import pytest
from proxy_fakes import ERAS, TOY, house, said, told, toy_spec

from corrigible.deployment.load import load_deployment
from corrigible.deployment.lock import lock_of, lock_path, write_lock
from corrigible.deployment.servers import list_servers
from corrigible.guard.session import open_session
from corrigible.guard.state import open_state

pytestmark = pytest.mark.slow
MANIFEST = """
corrigible: 1
name: toy
agent: {kind: tool-using, goal: Say it.}
servers: {toy: {command: [python, toy]}}
tools:
  toy.echo: {verbs: [read], target: "/docs/{text}"}
  toy.slow: {verbs: [read], target: "/docs/{text}"}
  toy.fail: {verbs: [write], target: "/docs/{text}"}
  toy.rug: {verbs: [read], target: "/docs/x"}
  toy.resources/read: {verbs: [read], target: "/{uri}"}
assets: {docs: {kind: information/data, at: {toy: "/docs/**"}}}
authority: {allow: [read docs], approve: [write docs]}
"""


@contextmanager
def guarded(tmp_path):
    """A session, and a house whose gate is the session's."""
    path, log = tmp_path / "deployment.yaml", tmp_path / "log"
    path.write_text(MANIFEST.replace("[python, toy]", f"[{sys.executable}, {TOY}]"))
    log.touch()
    spec = toy_spec("toy", log)
    write_lock(lock_of(list_servers([spec])), lock_path(path))
    state = open_state(tmp_path / "state")
    with open_session(load_deployment(path), state) as session:
        trees = session.trees
        more = {"wrap": trees.wrap, "on_start": trees.adopt, "gate": session.gate}
        with house([spec], log, **more) as kept:
            assert kept.hub.backs["toy"].problem is None
            yield session, kept


def entries(session, kind):
    return [entry.body for entry in session.gate.ledger.entries() if entry.kind == kind]


def test_calls_are_shown_allowed_denied_and_approved_as_the_manifest_says(tmp_path):
    with guarded(tmp_path) as (session, kept):
        for era in ERAS:

            async def names(client):
                return {tool.name for tool in (await client.list_tools()).tools}

            shown = kept.within(era, names)
            assert {"toy__echo", "toy__fail"} <= shown
            assert not shown & {"toy__secret_tool", "toy__poison", "toy__big"}
            assert said(kept.call(era, "toy__echo", {"text": "a"})) == "toya"
            assert told(kept.call(era, "toy__echo", {"text": "../etc"}))["state"] == "denied"
            assert told(kept.call(era, "toy__secret_tool"))["state"] == "denied"
            assert told(kept.call(era, "Toy__echo", {"text": "a"}))["state"] == "denied"
            write = {"text": f"by-{era}"}
            asked = told(kept.call(era, "toy__fail", write))
            assert asked["state"] == "pending"
            session.gate.answer(asked["id"], approve=True, by="op")
            assert told(kept.call(era, "toy__fail", {"text": "other"}))["state"] == "pending"
            assert said(kept.call(era, "toy__fail", write)) == "it broke"
            assert told(kept.call(era, "toy__fail", write))["state"] == "pending"  # used up
        states = [body["state"] for body in entries(session, "outcome")]
        assert states == ["completed", "failed"] * len(ERAS)
        assert "toy.echo" in {f"{b['server']}.{b['tool']}" for b in entries(session, "denied")}


def test_a_rug_pull_is_held_back_and_a_stop_kills_the_tree(tmp_path):
    with guarded(tmp_path) as (session, kept):
        kept.call("auto", "toy__rug")
        until = time.monotonic() + 10  # the server's word of it comes behind its answer
        while session.gate.shows("toy", "echo") and time.monotonic() < until:
            time.sleep(0.01)
        changed = told(kept.call("auto", "toy__echo", {"text": "a"}))
        assert changed["state"] == "denied"
        assert "differs" in changed["reason"] or "changed" in changed["reason"]

        running = kept.portal.start_task_soon(_calling, kept)
        while not session.gate.inflight.snapshot():
            os.sched_yield()
        report = session.stop(why="drill", by="op", grace_s=0.5)
        assert [tree.empty for tree in report.trees] == [True]
        assert [flight.state for flight in report.flights] == ["unknown"]
        assert told(running.result(5))["state"] == "stopped"
        assert told(kept.call("legacy", "toy__slow", {"text": "1"}))["rule"] == "latch.stopped"
        assert entries(session, "outcome")[-1]["state"] == "unknown"


async def _calling(kept):
    async with kept.client("auto") as client:
        return await client.call_tool("toy__slow", {"text": "60"})
