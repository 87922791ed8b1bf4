"""A rehearsed stop measures what it says, with real processes, and sees what does not stop."""

import os
import signal
import subprocess
import sys

import pytest

from corrigible.drill import children
from corrigible.drill.ground import ground_of
from corrigible.drill.stage import open_stage
from corrigible.drill.stops import rehearse
from corrigible.guard.gate import Gate
from corrigible.guard.latch import Latch
from corrigible.guard.trees import TreeProof, Trees

linux = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart by /proc")
pytestmark = [pytest.mark.slow, linux]


@pytest.fixture
def rehearsed(written):
    """Rehearses every stop of the small deployment, with room for the calls in flight."""

    def run(**sections: str):
        loaded = written(**{"budgets": "{calls: 100}", **sections})
        with open_stage(loaded) as stage:
            return {one.name: one for one in rehearse(loaded, ground_of(stage), contained=False)}

    return run


def failed(stop):
    return {name for name, holds in stop.checks.items() if not holds}


def test_all_hold(rehearsed):
    found = rehearsed()
    assert {name: failed(one) for name, one in found.items()} == {name: set() for name in found}
    assert {one.answer for one in found.values()} == {"held"}
    figures = found["stop all"].figures
    assert figures["calls_in_flight"] == 20
    assert figures["processes"] == 2 * len(children.KINDS)
    assert figures["trees_empty_s"] < 3
    assert found["stop all"].flights == {"cancelled": "10", "unknown": "10"}
    assert any("not contained" in line for line in found["stop all"].beyond)


def nothing_killed(patch):
    def kill(self, names=None, *_: object):
        every = self.names() if names is None else names
        return tuple(TreeProof(n, (), 0, empty=True, took_s=0.0) for n in every)

    patch.setattr(Trees, "kill", kill)


def latch_not_closed(patch):
    patch.setattr(Latch, "stop", lambda self, *_: self.state())


def results_handed_out(patch):
    patch.setattr(Gate, "_withheld", lambda *_: "")


def retries_unseen(patch):
    patch.setattr(Gate, "_is_blind_retry", lambda *_: False)


def not_looked_at_again(patch):
    patch.setattr(Gate, "dispatch", lambda self, a, cancel: self.inflight.add(a.id, a.call, cancel))


@pytest.mark.parametrize(
    ("sabotage", "case"),
    [
        (latch_not_closed, ("stop all", "after a restart it is still stopped")),
        (retries_unseen, ("stop all", "resumed, nothing is sent a second time unasked")),
        (not_looked_at_again, ("stop all", "what was admitted before does not leave")),
        (not_looked_at_again, ("pause and recover", "what was admitted before does not leave")),
        (not_looked_at_again,
         ("correct while calls fly", "what was decided under the old one does not leave")),
        (results_handed_out, ("correct while calls fly", "what it denies is not handed out")),
    ],
)  # fmt: skip
def test_without_its_defence_a_rehearsal_fails(rehearsed, monkeypatch, sabotage, case):
    name, check = case
    sabotage(monkeypatch)
    found = rehearsed()[name]
    assert found.answer == "broken"
    assert check in failed(found)


def test_processes_that_are_not_killed_are_seen(rehearsed, monkeypatch):
    """The drill looks at /proc by itself: a proof that says `empty` is not taken for it."""
    marks, word = [], children.word
    monkeypatch.setattr(children, "word", lambda: marks.append(word()) or marks[-1])
    monkeypatch.setattr(children, "KINDS", ("own session", "daemon"))
    nothing_killed(monkeypatch)
    try:
        found = rehearsed()["stop all"]
        assert (found.answer, "no process of any is left" in failed(found)) == ("broken", True)
    finally:
        for pid in (pid for mark in marks for pid in children.alive(mark)):
            os.kill(pid, signal.SIGKILL)


def test_no_call_that_passes_is_no_stop_that_holds(rehearsed):
    found = rehearsed(authority="{deny: ['read *']}")
    assert {one.answer for one in found.values()} == {"could not tell"}


@pytest.mark.parametrize("kind", children.KINDS)
def test_a_child_of_each_kind_outlives_a_plain_kill_of_its_server(kind):
    """Else a stop that ends nothing but the server would pass."""
    mark = children.word()
    process = subprocess.Popen(children.command(kind, mark), start_new_session=True)
    try:
        assert len(children.settled(mark, children.LEAST)) == children.LEAST
        process.kill()
        process.wait()
        assert len(children.alive(mark)) == 1
    finally:
        for pid in children.alive(mark):
            os.kill(pid, signal.SIGKILL)


def test_approvals_are_void_after_a_stop(written):
    with open_stage(written()) as stage:
        gate = stage.session.gate
        asking = ground_of(stage).asking[0].call
        asked = gate.admit(asking)
        gate.answer(asked.pending, approve=True, by="drill")
        report = stage.session.stop(why="drill", by="drill", grace_s=0.01)
        assert report.voided == 1
        assert gate.approvals.take(asking, gate.policy.digest) is None
