"""The operator's door: only the operator comes through, and nobody holds up the guard at it."""

import json
import os
import socket
import struct
import threading
import time
import warnings
from contextlib import suppress

import pytest

from corrigible.errors import GuardError, OperatorError
from corrigible.guard import operator as door
from corrigible.guard.approvals import Approvals, fresh_digest
from corrigible.guard.call import Call, Decision
from corrigible.guard.operator import REQUESTS, OperatorServer, checked_request, peer_of
from corrigible.guard.operator_client import ask_guard
from corrigible.guard.state import StateDirectory, create_token, open_state

ROOT = os.geteuid() == 0
P = "sha256:" + "1" * 64


@pytest.fixture
def state(tmp_path):
    found = open_state(tmp_path / "state")
    create_token(found)
    return found


@pytest.fixture
def intrusions():
    return []


@pytest.fixture
def server(state, intrusions):
    seen = []

    def handler(request):
        seen.append(request)
        if request["do"] == "show" and request["id"] == "bug":
            raise ValueError("the inside of the guard")
        if request["do"] == "show":
            raise OperatorError("no request 'x' waits")
        return {"did": request["do"], "ok": "a handler cannot say no"}

    with OperatorServer(handler, state, report=intrusions.append) as running:
        running.seen = seen
        yield running


def connected(state):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(120)
    connection.connect(str(state.operator_socket))
    return connection


def said(state, *lines: bytes):
    """What the server answers to raw bytes, all of it until it closes."""
    with connected(state) as connection:
        for line in lines:
            connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        got = b""
        # A server that closes with bytes unread resets the connection: that is an end too.
        with suppress(ConnectionResetError):
            while data := connection.recv(65536):
                got += data
    return [json.loads(line) for line in got.splitlines()]


def token_of(state):
    return state.operator_token.read_text("ascii")


def line_of(state, **request: object):
    return json.dumps({"token": token_of(state), **request}).encode() + b"\n"


def test_an_operator_is_answered(state, server):
    assert ask_guard(state, {"do": "pending"}) == {"did": "pending"}
    assert server.seen == [{"do": "pending", "peer": {"pid": os.getpid(), "uid": os.geteuid()}}]


def test_several_requests_may_come_over_one_connection(state, server):
    lines = [line_of(state, do="status"), line_of(state, do="pending")]
    assert [a["did"] for a in said(state, *lines)] == ["status", "pending"]
    assert len(server.seen) == 2


# -- who is no operator ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token",
    [None, "", "0" * 64, 5, ["0"], {"a": 1}, True, "é" * 64, "0" * 100_000],
    ids=lambda t: repr(t)[:20],
)
def test_attack_16_self_approval_with_no_or_a_wrong_token(state, server, intrusions, token):
    request = {"do": "approve", "id": "abcd"} | ({} if token is None else {"token": token})
    [answer] = said(state, json.dumps(request).encode() + b"\n")
    assert (answer["ok"], "token is wrong" in answer["error"]) == (False, True)
    assert server.seen == []
    [intrusion] = intrusions
    assert (intrusion.peer.uid, intrusion.times) == (os.geteuid(), 1)
    assert intrusion.why == ("no token" if token is None else "a wrong token")


def test_attack_16_part_of_the_token_is_not_the_token(state, server):
    token = token_of(state)
    for wrong in (token[:-1], token + "0", token.upper(), f" {token}"):
        request = {"do": "status", "token": wrong}
        if wrong != token:
            assert said(state, json.dumps(request).encode() + b"\n")[0]["ok"] is False
    assert server.seen == []


def test_attack_16_a_wrong_token_ends_the_connection(state, server):
    """No second try over it: neither a guess nor the right one smuggled in behind."""
    wrong = b'{"do": "status", "token": "0"}\n'
    assert len(said(state, wrong, line_of(state, do="status"))) == 1
    assert server.seen == []


def as_uid(uid, work):
    """Run `work` in a forked child of another user; returns what it returned, as JSON."""
    read, write = os.pipe()
    with warnings.catch_warnings():  # the child takes no lock that another thread may hold
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            os.close(read)
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        got = file.read()
    os.waitpid(child, 0)
    return json.loads(got) if got else None


@pytest.mark.skipif(not ROOT, reason="only root can act as another user")
def test_attack_16_self_approval_by_another_user_who_has_the_token(state, server, intrusions):
    """Even with the door left open and the token stolen, the kernel says who is there."""
    stolen = line_of(state, do="approve", id="abcd")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = state.path
    for parent in (folder, *folder.parents):
        if parent.owner() == "root" and len(parent.parts) > 2:
            parent.chmod(0o755)
    state.operator_socket.chmod(0o777)

    def work():
        connection.connect(str(state.operator_socket))
        connection.sendall(stolen)
        return connection.recv(65536).decode()

    with connection:
        answer = json.loads(as_uid(12345, work))
    assert answer == {"ok": False, "error": "only the guard's own user and root may ask"}
    assert server.seen == []
    assert (intrusions[0].peer.uid, intrusions[0].why[:9]) == (12345, "uid 12345")


@pytest.mark.skipif(not ROOT, reason="only root can act as another user")
def test_attack_16_another_user_reaches_neither_the_socket_nor_the_token(state, server):
    def work():
        found = []
        for reach in (lambda: connected(state), lambda: token_of(state)):
            try:
                reach()
            except OSError as error:
                found.append(type(error).__name__)
        return found

    assert as_uid(12345, work) == ["PermissionError", "PermissionError"]
    assert server.seen == []


def test_attack_16_guess_tokens_fast(state, server, intrusions, monkeypatch):
    """Wrong tokens wait, longer each time; the ledger gets few reports, and all are counted."""
    waits = []
    monkeypatch.setattr(server._closing, "wait", waits.append)
    for _ in range(12):
        said(state, b'{"do": "status", "token": "0"}\n')
    assert waits == [min(0.05 * 2**n, 5.0) for n in range(12)]
    assert len(intrusions) < 12
    assert sum(i.times for i in intrusions) <= 12


def test_the_operator_does_not_wait_for_those_who_guess(state, server, monkeypatch):
    monkeypatch.setattr(door, "_SLOWEST_S", 60.0)
    server._wrong, server._last_wrong = 16, time.monotonic()
    with connected(state) as guesser:
        guesser.sendall(b'{"do": "status", "token": "0"}\n')
        began = time.monotonic()
        assert ask_guard(state, {"do": "stop"})["did"] == "stop"
        assert time.monotonic() - began < 5


def test_a_report_that_fails_lets_nobody_in(state):
    def broken(_):
        raise RuntimeError("disk full")

    with OperatorServer(dict, state, report=broken):
        assert said(state, b'{"do": "status"}\n')[0]["ok"] is False


def test_attack_16_a_false_guard_is_not_told_the_token(state, monkeypatch):
    """Somebody else listens in the directory: the client looks before it speaks."""
    monkeypatch.setattr("corrigible.guard.operator_client.peer_of", lambda _: door.Peer(1, 4242))
    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(state.operator_socket))
        listener.listen()

        def listen():
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(1000))

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(OperatorError, match="uid 4242 answers; it was told nothing"):
            ask_guard(state, {"do": "status"})
        thread.join()
    assert heard == [b""]


def test_an_answer_over_the_socket_is_what_lets_a_call_through(state):
    """The whole way: asked by the agent, approved by the operator, taken once."""
    approvals = Approvals()
    call = Call("files", "write", {"path": "/srv/a"})

    class Card:
        call = fresh_digest(Call("files", "write", {"path": "/srv/a"}))

    pending = approvals.ask(call, Decision("approve", "r", ""), P, Card())

    def handler(request):
        by = f"uid {request['peer']['uid']}"
        return vars(approvals.answer(request["id"], request["do"] == "approve", by))

    with OperatorServer(handler, state):
        assert (
            said(state, b'{"do": "approve", "id": "%s"}\n' % pending.id.encode())[0]["ok"] is False
        )
        assert approvals.take(call, P) is None
        assert ask_guard(state, {"do": "approve", "id": pending.id})["approved"] is True
        assert approvals.take(call, P) == pending.id
        with pytest.raises(OperatorError, match="it is used"):
            ask_guard(state, {"do": "approve", "id": pending.id})


# -- what is no request ------------------------------------------------------------------------

BAD = [
    ({"do": "format"}, "'do' must be one of status, .*; got 'format'"),
    ({"do": ["stop"]}, "'do' must be one of"),
    ({}, "'do' must be one of .*; got None"),
    ({"do": "pending", "id": "x"}, "'pending' takes no field; got 'id'"),
    ({"do": "approve"}, "'approve' needs 'id' as str, got none"),
    ({"do": "approve", "id": None}, "'approve' needs 'id' as str, got None"),
    ({"do": "approve", "id": "x", "count": True}, "needs 'count' as int, got True"),
    ({"do": "approve", "id": "x", "count": 1.0}, "needs 'count' as int, got 1.0"),
    ({"do": "approve", "id": "x", "why": "y" * 5000}, "needs 'why' as str"),
    ({"do": "stop", "grace_s": "2"}, "needs 'grace_s' as float, got '2'"),
    ({"do": "stop", "peer": {"uid": 0}}, "'stop' takes .*; got 'peer'"),
    ([], r"a request must be an object, got \[\]"),
]


@pytest.mark.parametrize(("request_", "told"), BAD, ids=lambda v: str(v)[:40])
def test_what_is_no_request_is_refused(request_, told):
    with pytest.raises(OperatorError, match=told):
        checked_request(request_)


def test_every_request_is_good_with_its_fields():
    values = {str: "x", int: 1, float: 2, dict: {}}
    for do, fields in REQUESTS.items():
        full = {"do": do} | {name: values[field.type] for name, field in fields.items()}
        assert checked_request(full) == full


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"\n", "the request:"),
        (b"[]\n", "the token is wrong"),
        (b"{\n", "the request:"),
        (b"\xff\xfe\n", "the request:"),
        (b'{"do": "status", "do": "stop"}\n', "the request:"),
        (b"[" * 100_000 + b"\n", "the request:"),
        (b'{"do": "status"', "the line was cut off"),
        (b"x" * (door.LARGEST_REQUEST + 70_000), "a line may have 1,048,576 bytes"),
    ],
    ids=range(8),
)
def test_attack_31_a_line_that_is_no_request_is_refused_and_the_guard_lives(
    state, server, line, told
):
    try:
        answers = said(state, line)
    except (BrokenPipeError, ConnectionResetError):  # it was not even read to its end
        answers = [{"ok": False, "error": told}]
    assert answers[0]["ok"] is False
    assert told in answers[0]["error"]
    assert ask_guard(state, {"do": "status"})["did"] == "status"
    assert len(server.seen) == 1


@pytest.mark.usefixtures("server")
def test_an_error_meant_for_people_reaches_them_and_no_other_does(state, caplog):
    with pytest.raises(OperatorError, match="the guard refused: no request 'x' waits"):
        ask_guard(state, {"do": "show", "id": "x"})
    with pytest.raises(OperatorError, match="the guard failed at it") as caught:
        ask_guard(state, {"do": "show", "id": "bug"})
    assert "inside" not in str(caught.value)
    assert "the inside of the guard" in caplog.text
    assert ask_guard(state, {"do": "status"})


@pytest.mark.parametrize(
    ("answer", "told"),
    [({"x": {1}}, "cannot be written"), ({"x": "y" * door.LARGEST_ANSWER}, "ask for less")],
    ids=["set", "long"],
)
def test_an_answer_that_cannot_be_sent_is_an_error(state, answer, told):
    with (
        OperatorServer(lambda _: answer, state),
        pytest.raises(OperatorError, match=told),
    ):
        ask_guard(state, {"do": "status"})


# -- who holds the door ------------------------------------------------------------------------


@pytest.mark.usefixtures("server")
def test_attack_31_strangers_who_hold_every_connection_do_not_keep_the_operator_out(state):
    idle = [connected(state) for _ in range(100)]
    assert ask_guard(state, {"do": "stop"}, 5)["did"] == "stop"
    for connection in idle:
        connection.close()


@pytest.mark.usefixtures("server")
def test_attack_31_a_request_that_drips_in_is_cut_off(state, monkeypatch):
    monkeypatch.setattr(door, "_FIRST_S", 0.3)
    began = time.monotonic()

    def drip(connection):
        while time.monotonic() - began < 9:
            connection.sendall(b" ")
            time.sleep(0.01)

    with connected(state) as slow, pytest.raises(ConnectionError):
        drip(slow)
    assert time.monotonic() - began < 5


def test_attack_31_a_crowd_at_the_door_is_waited_for(state, monkeypatch):
    """A full queue is no missing guard: the client tries again until its time is out."""
    monkeypatch.setattr(door, "_BACKLOG", 0)
    server = OperatorServer(lambda _: {"x": 1}, state)  # nobody is let in yet
    with connected(state):
        with pytest.raises(OperatorError, match=r"did not answer within 0\.1 s"):
            ask_guard(state, {"do": "status"}, 0.1)
        threading.Timer(0.1, server.__enter__).start()
        assert ask_guard(state, {"do": "status"}) == {"x": 1}
    server.close()


def test_at_most_sixteen_operators_are_served_at_once(state):
    gate = threading.Event()
    with OperatorServer(lambda _: {"waited": gate.wait(120)}, state) as running:
        busy = [connected(state) for _ in range(16)]
        for connection in busy:
            connection.sendall(line_of(state, do="status"))
        while sum(running._known.values()) < 16:
            time.sleep(0.01)
        with pytest.raises(OperatorError, match="closed the connection without an answer"):
            ask_guard(state, {"do": "status"}, 5)
        gate.set()
        for connection in busy:
            assert json.loads(connection.recv(1000))["waited"] is True
            connection.close()


def test_a_slow_handler_holds_up_nobody_else(state):
    gate = threading.Event()

    def handler(request):
        return {"waited": request["do"] == "status" and gate.wait(120)}

    with OperatorServer(handler, state):
        with connected(state) as slow:
            slow.sendall(line_of(state, do="status"))
            assert ask_guard(state, {"do": "stop"}, 5) == {"waited": False}
            with pytest.raises(OperatorError, match=r"did not answer within 0\.2 s"):
                ask_guard(state, {"do": "status"}, 0.2)
        gate.set()


def test_the_server_ends_with_what_it_was_doing(state):
    threads = threading.active_count()
    with OperatorServer(lambda _: {}, state) as running, connected(state) as open_one:
        open_one.sendall(line_of(state, do="status"))
        open_one.recv(100)
        running.close()
        assert open_one.recv(100) == b""
    assert threading.active_count() == threads
    assert not state.operator_socket.exists()


# -- the client --------------------------------------------------------------------------------


def test_no_guard_says_the_way_out(state):
    with pytest.raises(OperatorError, match=r"no guard runs for .*; start it with"):
        ask_guard(state, {"do": "status"})
    with socket.socket(socket.AF_UNIX) as left:  # what a killed guard leaves
        left.bind(str(state.operator_socket))
    with pytest.raises(OperatorError, match="no guard runs for"):
        ask_guard(state, {"do": "status"})
    with OperatorServer(lambda _: {}, state):
        assert ask_guard(state, {"do": "status"}) == {}


def test_a_token_that_cannot_be_trusted_is_not_used(state):
    state.operator_token.chmod(0o644)
    with pytest.raises(GuardError, match="mode 0644"):
        ask_guard(state, {"do": "status"})
    with pytest.raises(GuardError, match="mode 0644"):
        OperatorServer(lambda _: {}, state)


@pytest.mark.parametrize("line", [b"hello\n", b"[]\n", b'{"error": 1}\n', b'"ok"\n'])
def test_what_is_no_answer_is_refused(state, line):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state.operator_socket))
        listener.listen()

        def listen():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(line)

        thread = threading.Thread(target=listen)
        thread.start()
        with pytest.raises(OperatorError, match="answered what is no answer"):
            ask_guard(state, {"do": "status"})
        thread.join()


@pytest.mark.parametrize(
    ("request_", "told"),
    [({"do": {1}}, "plain JSON"), ({"do": "x" * door.LARGEST_REQUEST}, "may have 1,048,576 bytes")],
)
def test_a_request_that_cannot_be_sent_is_not_sent(state, request_, told):
    with pytest.raises(OperatorError, match=told):
        ask_guard(state, request_)


def test_a_directory_with_a_long_path_has_a_socket_too(tmp_path):
    """Longer than the kernel lets a socket's address be."""
    state = open_state(tmp_path.joinpath(*["deep" * 10] * 3))
    create_token(state)
    with OperatorServer(lambda _: {"x": 1}, state):
        assert state.operator_socket.is_socket()
        assert ask_guard(state, {"do": "status"}) == {"x": 1}
    assert not state.operator_socket.exists()


def test_a_socket_that_cannot_be_opened_says_so(state):
    state.operator_socket.mkdir()
    with pytest.raises(OperatorError, match="operator's socket cannot be opened"):
        OperatorServer(lambda _: {}, StateDirectory(state.path))


def test_the_kernel_says_who_is_there():
    one, other = socket.socketpair()
    with one, other:
        assert peer_of(one) == door.Peer(os.getpid(), os.geteuid())
    assert struct.calcsize("3i") == 12
