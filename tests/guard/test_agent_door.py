"""The agent's door: it can ask and say how a call ended, and nothing that an operator may."""

import json
import os
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
from small_guard import manifest

from corrigible.errors import GuardError
from corrigible.guard import operator
from corrigible.guard.agent_client import door_open
from corrigible.guard.agent_door import AgentDoor, DoorLimits
from corrigible.guard.latch import Scope
from corrigible.guard.operator import REQUESTS
from corrigible.guard.sdk import Guard

pytestmark = pytest.mark.slow

APP, LOG = "/srv/app/x", "/srv/log/x"
CUSTOMER = "ann@shop.example"
WRITE = {"do": "ask", "server": "files", "tool": "write_file", "arguments": {"path": APP}}
SEND = {"do": "ask", "server": "mail", "tool": "send", "arguments": {"to": CUSTOMER}}


@pytest.fixture
def guard(tmp_path):
    (tmp_path / "deployment.yaml").write_text(manifest(), encoding="utf-8")
    state = tmp_path / "state"
    with Guard(tmp_path, state=state, agent_socket=state / "agent.sock") as opened:
        yield opened


def door(guard, timeout_s=120.0):
    return door_open(guard.session.state.agent_socket, timeout_s=timeout_s, owner=os.geteuid())


@contextmanager
def narrow(guard, tmp_path, **limits: float):
    """A second door of the same gate, with limits of its own."""
    path = tmp_path / "narrow.sock"
    with AgentDoor(guard.session.gate, path, limits=DoorLimits(**limits)):
        yield path


def raw(path, line: bytes) -> dict:
    """What a door says to a line that no client of ours would send."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(120)
        connection.connect(str(path))
        with suppress(BrokenPipeError):  # it answers before it has read all of too long a line
            connection.sendall(line + b"\n")
        with connection.makefile("rb") as answers:
            return json.loads(answers.readline())


def kept(guard, kind):
    guard.session.gate.ledger.append("note", {}).result(10)
    return [one.body for one in guard.session.gate.ledger.entries(kinds={kind})]


def soon(what):
    until = time.monotonic() + 20
    while not (found := what()) and time.monotonic() < until:
        time.sleep(0.01)
    return found


def flying(guard):
    return guard.session.gate.inflight.snapshot()


# -- asking --------------------------------------------------------------------------------------


def test_an_allowed_call_is_out_until_it_is_ended(guard):
    with door(guard) as client:
        answer = client.say(WRITE)
        assert answer["state"] == "go"
        assert [one.id for one in flying(guard)] == [answer["id"]]
        ended = {"do": "ended", "id": answer["id"], "state": "completed", "result": "done"}
        assert client.say(ended) == {"state": "released"}
        assert client.say(ended)["state"] == "refused"
    assert not flying(guard)
    (outcome,) = kept(guard, "outcome")
    assert (outcome["state"], outcome["result"]) == ("completed", "done")


def test_a_denied_call_says_its_rule_and_is_not_out(guard):
    with door(guard) as client:
        answer = client.say(WRITE | {"arguments": {"path": LOG}})
    assert answer["state"] == "denied"
    assert answer["rule"] == "write oversight/*"
    assert not flying(guard)
    assert len(kept(guard, "denied")) == 1


def test_a_pending_call_is_let_out_once_the_operator_approves(guard):
    with door(guard) as client:
        asked = client.say(SEND)
        assert asked["state"] == "pending"
        assert asked["id"] in asked["message"]
        guard.session.gate.answer(asked["id"], approve=True, by="ann")
        assert client.say(SEND)["state"] == "go"
        assert client.say(SEND)["state"] == "pending"


def test_a_stopped_deployment_lets_nothing_out(guard):
    guard.stop(by="ann")
    with door(guard) as client:
        answer = client.say(WRITE)
    assert (answer["state"], answer["rule"]) == ("denied", "latch.stopped")


# -- what may not be said here -------------------------------------------------------------------


@pytest.mark.parametrize("do", [*REQUESTS, "", "admit", None, 7])
def test_attack_16_what_an_operator_may_is_not_to_be_had_here(guard, do):
    with door(guard) as client:
        pending = client.say(SEND)["id"]
        answer = client.say({"do": do, "id": pending, "token": "0" * 64, "kind": "all"})
        assert answer["state"] == "refused"
        assert "must be one of ask, keep, ended, left" in answer["message"]
        assert client.say(SEND)["state"] == "pending"
    assert not guard.session.gate.latch.state().held


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (b'{"do":"ask","server":"mail","tool":"send","arguments":{"to":"a","to":"b"}}',
         "arguments.duplicate"),
        (b'{"do":"ask","do":"ended"}', "arguments.duplicate"),
        (b'{"do":"ask","server":"files","tool":"read_file","arguments":{"path":NaN}}',
         "arguments.number"),
        (b'{"do":"ask","server":"files","tool":"read_file","arguments":{"path":"\\ud800"}}',
         "arguments.surrogate"),
        (b"[" * 500, "arguments."),
        (b"\xff", "arguments.json"),
        (b"", "arguments.json"),
    ],
)  # fmt: skip
def test_what_readers_would_read_in_two_ways_is_denied(guard, line, rule):
    answer = raw(guard.session.state.agent_socket, line)
    assert answer["state"] == "denied"
    assert answer["rule"].startswith(rule)
    assert not flying(guard)


@pytest.mark.parametrize(
    "request_",
    [
        WRITE | {"approved": True},
        WRITE | {"arguments": [APP]},
        WRITE | {"arguments": None},
        WRITE | {"server": None},
        WRITE | {"tool": "x" * 600},
        WRITE | {"caller": "a\nb"},
        WRITE | {"caller": ""},
        WRITE | {"lineage": [7]},
        WRITE | {"caller": "a", "lineage": ["b"] * 40},
        {"do": "ended", "state": "completed"},
        {"do": "ended", "id": "none", "state": "completed"},
        {"do": "ended", "id": "none", "state": "withheld"},
        {"do": "keep", "id": "none", "key": "mine"},
        {"do": "left", "caller": "agent"},
        [],
        7,
    ],
    ids=lambda value: str(value)[-60:],
)
def test_what_is_no_request_is_refused(guard, request_):
    answer = raw(guard.session.state.agent_socket, json.dumps(request_).encode())
    assert answer["state"] == "refused"
    assert not flying(guard)


def test_a_line_without_end_is_refused(guard):
    answer = raw(guard.session.state.agent_socket, b" " * 1_200_000)
    assert (answer["state"], answer["rule"]) == ("denied", "arguments.size")


# -- calls whose caller goes ---------------------------------------------------------------------


def test_a_connection_that_goes_leaves_its_calls_unknown(guard):
    with door(guard) as client:
        client.say(WRITE)
    assert soon(lambda: kept(guard, "outcome"))[0]["state"] == "unknown"
    assert not flying(guard)
    with door(guard) as client:  # nothing is tried again blindly
        assert client.say(WRITE)["state"] == "pending"


def test_nothing_is_let_out_for_a_connection_that_has_gone(guard):
    gate, admit = guard.session.gate, guard.session.gate.admit
    inside, go = threading.Event(), threading.Event()

    def slow(call):
        inside.set()
        go.wait(120)
        return admit(call)

    gate.admit = slow
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(guard.session.state.agent_socket))
        connection.sendall(json.dumps(WRITE).encode() + b"\n")
        assert inside.wait(120)
    go.set()
    assert soon(lambda: kept(guard, "outcome"))[0]["state"] == "not dispatched"


def test_a_call_of_another_connection_cannot_be_ended_or_taken(guard):
    with door(guard) as mine, door(guard) as other:
        id_ = mine.say(WRITE)["id"]
        assert other.say({"do": "ended", "id": id_, "state": "completed"})["state"] == "refused"
        assert other.say({"do": "keep", "id": id_, "key": "k"})["state"] == "refused"
        assert len(flying(guard)) == 1


def test_a_kept_call_outlives_its_connection_and_is_ended_by_its_key(guard):
    with door(guard) as client:
        id_ = client.say(WRITE)["id"]
        assert client.say({"do": "keep", "id": id_, "key": "s/1"}) == {"state": "kept"}
    time.sleep(0.1)
    assert len(flying(guard)) == 1
    with door(guard) as client:
        ended = {"do": "ended", "key": "s/1", "state": "failed", "result": None}
        assert client.say(ended) == {"state": "released"}
    assert not flying(guard)


def test_one_key_is_for_one_call(guard):
    with door(guard) as client:
        first = client.say(WRITE)["id"]
        second = client.say(WRITE | {"arguments": {"path": f"{APP}2"}})["id"]
        assert client.say({"do": "keep", "id": first, "key": "k"})["state"] == "kept"
        assert client.say({"do": "keep", "id": second, "key": "k"})["state"] == "refused"


def test_who_leaves_leaves_its_kept_calls_unknown_and_its_requests_void(guard):
    with door(guard) as client:
        mine = WRITE | {"caller": "helper", "lineage": ["s1"]}
        other = WRITE | {"caller": "s2", "arguments": {"path": f"{APP}2"}}
        for key, asked in (("a", mine), ("b", other)):
            client.say({"do": "keep", "id": client.say(asked)["id"], "key": key})
        client.say(SEND | {"caller": "s1"})
        assert client.say({"do": "left", "caller": "s1"}) == {"state": "left", "calls": 1}
    assert [one.call.caller for one in flying(guard)] == ["s2"]
    assert not guard.session.gate.approvals.pending()


@pytest.mark.slow
def test_a_kept_call_that_never_ends_is_unknown_at_last(guard, tmp_path):
    with narrow(guard, tmp_path, call_s=0.2) as path:
        with door_open(path, timeout_s=120) as client:
            client.say({"do": "keep", "id": client.say(WRITE)["id"], "key": "k"})
        assert soon(lambda: kept(guard, "outcome"))[0]["state"] == "unknown"


def test_a_closing_guard_leaves_what_is_out_unknown(guard, tmp_path):
    with narrow(guard, tmp_path) as path, door_open(path, timeout_s=120) as client:
        client.say({"do": "keep", "id": client.say(WRITE)["id"], "key": "k"})
        client.say(WRITE | {"arguments": {"path": f"{APP}2"}})
    assert not flying(guard)
    assert [one["state"] for one in kept(guard, "outcome")] == ["unknown", "unknown"]
    assert not path.exists()


# -- stops, and whose stops ----------------------------------------------------------------------


def test_a_stop_tells_the_connection_and_withholds_the_result(guard):
    with door(guard) as client:
        id_ = client.say(WRITE)["id"]
        guard.session.stop(why="", by="ann", grace_s=0.1)
        answer = client.say({"do": "ended", "id": id_, "state": "completed", "result": "x"})
        assert answer["state"] == "withheld"
        assert client.cancelled == {id_}


@pytest.mark.parametrize("who", [{}, {"caller": "me"}, {"caller": "me", "lineage": ["you"]}])
def test_a_stop_of_the_root_stops_every_caller_whatever_it_calls_itself(guard, who):
    guard.stop(Scope("agent", "agent"), by="ann")
    with door(guard) as client:
        assert client.say(WRITE | who)["rule"] == "latch.stopped"


def test_another_name_gets_no_more_requests_past_the_limit_of_one_caller(guard):
    with door(guard) as client:
        rules = [
            client.say(SEND | {"arguments": {"to": f"a{n}@shop.example"}, "caller": f"c{n}"})[
                "rule"
            ]
            for n in range(guard.session.gate.approvals.limits.pending_per_caller + 1)
        ]
    assert rules[-1] == "approvals.flood"


# -- limits --------------------------------------------------------------------------------------


def test_too_many_connections_are_turned_away(guard, tmp_path):
    with (
        narrow(guard, tmp_path, connections=1) as path,
        door_open(path, timeout_s=120) as first,
    ):
        assert first.say(WRITE)["state"] == "go"
        assert raw(path, json.dumps(WRITE).encode())["rule"] == "door.full"


def test_too_many_calls_of_one_connection_are_denied(guard, tmp_path):
    with (
        narrow(guard, tmp_path, calls_out=1) as path,
        door_open(path, timeout_s=120) as client,
    ):
        assert client.say(WRITE)["state"] == "go"
        assert client.say(WRITE)["rule"] == "door.full"


def test_too_many_kept_calls_are_refused(guard, tmp_path):
    with narrow(guard, tmp_path, kept=1) as path, door_open(path, timeout_s=120) as client:
        states = [
            client.say({"do": "keep", "id": client.say(WRITE)["id"], "key": key})["state"]
            for key in ("a", "b")
        ]
    assert states == ["kept", "refused"]


@pytest.mark.parametrize(("limit", "sent"), [("idle_s", b""), ("line_s", b'{"do"')])
def test_who_says_nothing_or_drips_is_cut_off(guard, tmp_path, limit, sent):
    stranger = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with narrow(guard, tmp_path, **{limit: 0.1}) as path, stranger:
        stranger.settimeout(120)
        stranger.connect(str(path))
        stranger.sendall(sent)
        assert stranger.recv(10) == b""


def test_who_does_not_read_holds_nobody_up(guard, tmp_path):
    deaf = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with narrow(guard, tmp_path, send_s=1) as path, deaf:
        deaf.connect(str(path))
        deaf.setblocking(False)  # noqa: FBT003
        with suppress(BlockingIOError):
            while True:
                deaf.send(b"{}\n" * 1000)
        with door_open(path, timeout_s=120) as client:
            assert client.say(WRITE)["state"] == "go"


# -- the socket ----------------------------------------------------------------------------------


def test_the_socket_is_the_guards_user_s_alone(guard):
    assert guard.session.state.agent_socket.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_another_users_process_is_turned_away(guard, tmp_path):
    path = tmp_path / "for-nobody.sock"
    with AgentDoor(guard.session.gate, path, uids=frozenset({65534})):
        answer = raw(path, json.dumps(WRITE).encode())  # root's uid is not among them
        assert answer["rule"] == "door.user"
        assert path.stat().st_mode & 0o777 == 0o666


def test_what_is_there_and_no_left_over_socket_is_not_replaced(guard, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(GuardError, match="no socket"), AgentDoor(guard.session.gate, file):
        pass
    assert file.read_text() == "mine"
    taken = guard.session.state.agent_socket
    with pytest.raises(GuardError, match="listens there already"):
        AgentDoor(guard.session.gate, taken).__enter__()
    left_over = tmp_path / "old.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as gone:
        gone.bind(str(left_over))
    with AgentDoor(guard.session.gate, left_over), door_open(left_over, timeout_s=120) as client:
        assert client.say(WRITE)["state"] == "go"


def test_a_path_too_long_for_the_kernel_works_too(guard, tmp_path):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    path = folder / "agent.sock"
    with AgentDoor(guard.session.gate, path), door_open(path, timeout_s=120) as client:
        assert client.say(WRITE)["state"] == "go"


# -- the client ----------------------------------------------------------------------------------


def test_a_guard_that_is_not_there_is_an_error(tmp_path):
    with (
        pytest.raises(GuardError, match="no guard listens"),
        door_open(tmp_path / "x", timeout_s=1),
    ):
        pass


def test_another_users_guard_is_told_nothing(guard, monkeypatch):
    monkeypatch.setattr(operator, "peer_of", lambda _: operator.Peer(1, 4242))  # as a kernel says
    with pytest.raises(GuardError, match="must be of uid"), door(guard):
        pass


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, "in time"),
        (b"", "closed the connection"),
        (b"[]\n", "no answer"),
        (b"{\n", "no answer"),
    ],
)
def test_a_guard_that_does_not_answer_is_an_error(tmp_path, said, told):
    path = tmp_path / "false.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as false:
        false.bind(str(path))
        false.listen()

        def work():
            connection, _ = false.accept()
            with connection:
                connection.recv(1000)
                if said is None:
                    connection.recv(1000)
                else:
                    connection.sendall(said)

        thread = threading.Thread(target=work)
        thread.start()
        with pytest.raises(GuardError, match=told), door_open(path, timeout_s=0.5) as client:
            client.say(WRITE)
        thread.join()
