"""A stop closes first, ends what it can, proves it, and names the rest."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from odd_children import LINUX, ODD_CHILDREN, alive, odd_server, script, sleeping, token, until

from corrigible.errors import GuardError
from corrigible.guard import processes
from corrigible.guard.call import Call
from corrigible.guard.inflight import InFlight
from corrigible.guard.latch import EVERYTHING, Latch, Scope
from corrigible.guard.stopping import Beyond, StopReport, stop, stop_hung_guard
from corrigible.guard.trees import TreeProof, Trees

pytestmark = pytest.mark.slow

READ = Call("files", "read", {})
SEND = Call("mail", "send", {}, caller="sub", lineage=("main",))
WHO = {"why": "it deletes", "by": "ann"}


@pytest.fixture
def latch(tmp_path):
    tmp_path.chmod(0o700)
    return Latch.create(tmp_path / "latch.json")


@pytest.fixture
def flights():
    return InFlight()


@pytest.fixture
def trees():
    trees = Trees()
    yield trees
    trees.kill(None, 0.0)


@pytest.fixture
def parts(latch, flights, trees):
    """What a stop acts on."""
    return latch, flights, trees


def fly(flights, id_, call=READ, *, ends="cancelled"):
    """Dispatch a call whose cancel ends it so, or not at all."""
    flights.add(id_, call, lambda: ends and flights.done(id_, ends))


def states(report):
    return {one.id: one.state for one in report.flights}


def test_admission_is_closed_before_anything_else_is_done(latch, flights, trees):
    """Whatever is cancelled or made void must not be asked for again."""
    seen = []

    def look(what):
        seen.append((what, latch.state().on("files", "read", "x", "a", ())))

    flights.add("1", READ, lambda: look("cancel"))
    stop(latch, flights, trees, **WHO, void=lambda: look("void") or 0, grace_s=0)
    assert seen == [("void", "stopped"), ("cancel", "stopped")]


def test_each_call_in_flight_ends_under_its_own_name(latch, flights, trees):
    """Cancelled where that is known, completed where it was faster, else unknown."""
    fly(flights, "1")
    fly(flights, "2", ends="completed")
    fly(flights, "3", ends=None)
    report = stop(latch, flights, trees, **WHO, grace_s=0.05)
    assert states(report) == {"1": "cancelled", "2": "completed", "3": "unknown"}
    assert flights.snapshot() == ()
    assert flights.done("3", "completed") is None  # late: whoever has the result must withhold it
    assert any("ended by themselves: 1, unknown: 1" in line for line in report.outside)


def test_only_what_is_in_scope_is_stopped(latch, flights, trees):
    fly(flights, "1")
    fly(flights, "2", SEND)
    report = stop(latch, flights, trees, scope=Scope("agent", "main"), **WHO, grace_s=0.05)
    assert states(report) == {"2": "cancelled"}
    assert [one.id for one in flights.snapshot()] == ["1"]
    assert latch.state().on("files", "read", "1", "agent", ()) == "run"


def test_a_stop_waits_no_longer_than_it_must(latch, flights, trees):
    """The grace is for those who use it."""
    fly(flights, "1")
    assert stop(latch, flights, trees, **WHO, grace_s=600).took_s < 300


def test_a_cancel_that_hangs_or_fails_keeps_no_other_from_being_called(parts, monkeypatch):
    """Side by side, and nobody waits for one that does not return."""
    monkeypatch.setattr("corrigible.guard.stopping._CANCEL_S", 0.1)
    hung = threading.Event()

    def fail():
        raise RuntimeError("no such request")

    parts[1].add("hangs", READ, lambda: hung.wait(600))
    parts[1].add("fails", READ, fail)
    for n in range(50):
        fly(parts[1], str(n))
    report = stop(*parts, **WHO, grace_s=0.2)
    hung.set()
    ends = states(report)
    assert (ends.pop("hangs"), ends.pop("fails"), set(ends.values())) == (
        "unknown", "unknown", {"cancelled"},
    )  # fmt: skip
    assert report.took_s < 300  # the one that hangs would take longer
    assert any(
        "call fails could not be cancelled: no such request" in one for one in report.outside
    )
    assert any("did not return" in one for one in report.outside)


def test_the_approvals_that_became_void_are_counted(latch, flights, trees):
    assert stop(latch, flights, trees, **WHO, void=lambda: 3).voided == 3


@pytest.mark.parametrize("hangs", [False, True])
def test_approvals_that_cannot_be_voided_hold_up_nothing(parts, monkeypatch, hangs):
    """The rest of the stop is done, and the report says what was not."""
    monkeypatch.setattr("corrigible.guard.stopping._VOID_S", 0.05)
    done = threading.Event()

    def void():
        if hangs:
            done.wait(600)
        raise RuntimeError("no approvals")

    fly(parts[1], "1")
    report = stop(*parts, **WHO, void=void, grace_s=0)
    done.set()
    assert states(report)["1"] in {"cancelled", "unknown"}
    assert any("void" in line for line in report.outside)


def test_a_latch_that_cannot_be_written_still_stops_and_is_not_proven(latch, flights, trees):
    """A full disk, a folder that is gone: this guard is stopped, and the report says the rest."""
    latch.path.unlink()
    latch.path.with_name("latch.made").unlink()
    latch.path.parent.rmdir()
    fly(flights, "1")
    report = stop(latch, flights, trees, **WHO, grace_s=0)
    assert states(report) == {"1": "cancelled"}
    assert not report.proven
    assert "NOT on disk" in report.text()
    assert latch.state().on("files", "read", "1", "a", ()) == "stopped"


@LINUX
def test_a_stop_of_all_ends_every_tree(latch, flights, trees):
    words = {"files": token(), "mail": token()}
    servers = [trees.start(name, odd_server(word)) for name, word in words.items()]
    until(lambda: all(len(sleeping(word)) >= ODD_CHILDREN for word in words.values()))
    flights.add("1", READ, lambda: None)
    report = stop(latch, flights, trees, **WHO, beyond=Beyond(contained=True), grace_s=0.1)
    assert [alive(word) for word in words.values()] == [[], []]
    assert report.proven
    assert [tree.name for tree in report.trees] == ["files", "mail"]
    assert states(report) == {"1": "unknown"}
    for server in servers:
        server.communicate()


@LINUX
def test_a_call_that_does_not_end_takes_its_server_with_it(latch, flights, trees):
    """A cancel is a request; a tool that runs on is stopped with its process, and that is said."""
    word = token()
    server = trees.start("files", ["sleep", word])
    until(lambda: sleeping(word))
    fly(flights, "1", ends=None)
    report = stop(latch, flights, trees, scope=Scope("call", "1"), **WHO, grace_s=0.05)
    assert alive(word) == []
    assert any("files was killed for a call in scope" in line for line in report.outside)
    server.communicate()


@LINUX
@pytest.mark.parametrize(
    ("scope", "killed"),
    [
        (Scope("server", "files"), ["files"]),
        (Scope("agent", "coder"), ["agent:coder"]),
        (Scope("tool", "files.read"), []),
        (EVERYTHING, ["agent:coder", "files"]),
    ],
)
def test_the_trees_of_a_scope(parts, scope, killed):
    """A tool has no tree of its own; an agent that runs contained has one."""
    for name in ("files", "agent:coder"):
        parts[2].expect(name)
    report = stop(*parts, scope=scope, **WHO, grace_s=0)
    assert [tree.name for tree in report.trees] == killed


def test_what_lies_beyond_is_named(latch, flights, trees):
    """Servers elsewhere, threads of this process, an agent that is not contained."""
    fly(flights, "1", ends=None)
    beyond = Beyond(remote=frozenset({"mail"}), local=frozenset({"files"}))
    report = stop(latch, flights, trees, **WHO, beyond=beyond, grace_s=0)
    text = "\n".join(report.outside)
    assert "mail runs elsewhere" in text
    assert "files has 1 in threads of this process" in text
    assert "the agent is not contained" in text


@pytest.mark.parametrize(
    ("scope", "named"),
    [
        (Scope("server", "mail"), True),
        (Scope("server", "files"), False),
        (Scope("tool", "mail.send"), True),
        (Scope("tool", "files.read"), False),
        (Scope("call", "2"), True),
        (Scope("call", "1"), False),
    ],
)
def test_a_remote_server_is_named_where_the_scope_has_to_do_with_it(parts, scope, named):
    fly(parts[1], "1")
    fly(parts[1], "2", SEND)
    beyond = Beyond(remote=frozenset({"mail"}))
    report = stop(*parts, scope=scope, **WHO, beyond=beyond, grace_s=0)
    assert any("mail runs elsewhere" in line for line in report.outside) == named


def test_nobody_stops_without_a_name(latch, flights, trees):
    with pytest.raises(GuardError, match="must say who"):
        stop(latch, flights, trees, why="x", by="")
    assert latch.state().held == ()


@pytest.mark.parametrize(
    ("proof", "proven"),
    [
        (TreeProof("a", (1,), 1, empty=True, took_s=0.1), True),
        (TreeProof("a", (1,), 1, empty=False, took_s=0.1, left=(1,)), False),
        (TreeProof("a", (1,), 1, empty=True, took_s=0.1, unproven="who knows"), False),
    ],
)
def test_a_report_is_proven_only_if_every_tree_is(proof, proven):
    report = StopReport(EVERYTHING, 1, 0.001, trees=(proof,))
    assert report.proven == proven
    assert ("NOT proven" in report.text()) != proven
    assert json.loads(json.dumps(report.as_json()))["proven"] == proven


def test_two_stops_at_once_both_report_the_calls(latch, flights, trees):
    """An operator who is impatient gets the same answer twice."""
    flights.add("1", READ, lambda: None)
    reports = []
    stops = [
        threading.Thread(
            target=lambda: reports.append(stop(latch, flights, trees, **WHO, grace_s=0.2))
        )
        for _ in range(2)
    ]
    for one in stops:
        one.start()
    for one in stops:
        one.join()
    assert [states(report) for report in reports] == [{"1": "unknown"}] * 2


HUNG = """
    import json, signal, sys, time
    from pathlib import Path
    from corrigible.guard.trees import Trees
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
    trees = Trees(sys.argv[2])
    server = trees.start("files", json.loads(sys.argv[1]))
    time.sleep(600)
    """


@LINUX
@pytest.mark.parametrize("frozen", [False, True])
def test_a_guard_that_does_not_answer_is_ended_with_all_that_it_started(latch, frozen):
    """The operator's own process does it: latch first, then the guard, then the proof."""
    word, marker = token(), "ab" * 16
    command = [*script(HUNG), json.dumps(odd_server(word)), marker]
    with subprocess.Popen(command) as guard:
        until(lambda: len(sleeping(word)) >= ODD_CHILDREN)
        started = processes.process(guard.pid).started
        if frozen:
            os.kill(guard.pid, signal.SIGSTOP)
        report = stop_hung_guard(latch, pid=guard.pid, started=started, marker=marker, **WHO)
        assert guard.wait(120) == -signal.SIGKILL
    assert alive(word) == []
    assert report.proven, report.text()
    assert latch.state().on("files", "read", "1", "a", ()) == "stopped"


@LINUX
def test_the_servers_of_a_guard_that_is_gone_are_ended_too(latch):
    """Its number may be another's by now; what bears its marker is its own."""
    word, marker = token(), "cd" * 16
    mark = {"env": {**os.environ, processes.MARK: f"{marker}.1234"}}
    with (
        subprocess.Popen(["sleep", word], **mark, start_new_session=True) as server,
        subprocess.Popen(["sleep", "600"]) as other,
    ):
        started = processes.process(other.pid).started - 1
        report = stop_hung_guard(latch, pid=other.pid, started=started, marker=marker, **WHO)
        assert server.wait(120) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()
    assert report.trees[0].empty


def test_a_guard_that_finishes_its_change_late_does_not_undo_the_stop(latch, monkeypatch):
    """It held the lock and wrote over the operator's latch, just before it was killed."""
    text = latch.path.read_text()

    class Gone:
        def kill(self, _names, _grace_s):
            latch.path.write_text(text)
            return ()

    monkeypatch.setattr("corrigible.guard.stopping.marked_by", lambda *_: Gone())
    stop_hung_guard(latch, pid=1, started=0, marker="x", **WHO)
    assert latch.state().on("files", "read", "1", "a", ()) == "stopped"


def test_closing_admission_takes_milliseconds_with_many_calls_in_flight(latch, flights, trees):
    """It does not depend on what flies; the bound leaves room for a slow disk."""
    for n in range(200):
        fly(flights, str(n))
    began = time.monotonic()
    report = stop(latch, flights, trees, **WHO)
    assert report.closed_s < 0.5
    assert time.monotonic() - began < 3
    assert set(states(report).values()) == {"cancelled"}
