"""Every call in flight is known until it ends, and ends once."""

import threading

import pytest

from corrigible.errors import GuardError
from corrigible.guard.call import Call
from corrigible.guard.inflight import InFlight
from corrigible.guard.latch import EVERYTHING, Scope

READ = Call("files", "read", {}, caller="sub", lineage=("main",))
SEND = Call("mail", "send", {})


@pytest.fixture
def flights():
    flights = InFlight(clock=lambda: 5.0)
    flights.add("1", READ, lambda: None)
    flights.add("2", SEND, lambda: None)
    return flights


def ids(some):
    return [one.id for one in some]


def test_a_call_flies_until_it_is_done(flights):
    assert ids(flights.snapshot()) == ["1", "2"]
    ended = flights.done("1", "completed")
    assert (ended.id, ended.state, ended.since, ended.call) == ("1", "completed", 5.0, READ)
    assert ids(flights.snapshot()) == ["2"]


def test_a_call_ends_once(flights):
    """A result that comes after a stop called it unknown is late, and says so."""
    assert flights.done("1", "unknown") is not None
    assert flights.done("1", "completed") is None
    assert flights.done("never", "completed") is None


def test_an_id_is_for_one_call(flights):
    with pytest.raises(GuardError, match="in flight already"):
        flights.add("1", SEND, lambda: None)


def test_an_end_has_a_name(flights):
    with pytest.raises(ValueError, match="running"):
        flights.done("1", "running")


@pytest.mark.parametrize(("scope", "found"), [
    (EVERYTHING, ["1", "2"]), (Scope("server", "mail"), ["2"]),
    (Scope("tool", "files.read"), ["1"]),
    (Scope("call", "2"), ["2"]), (Scope("agent", "main"), ["1"]), (Scope("agent", "sub"), ["1"]),
    (Scope("agent", "agent"), ["2"]), (Scope("tool", "read"), []),
])  # fmt: skip
def test_a_scope_finds_its_calls(flights, scope, found):
    assert ids(flights.within(scope)) == found


def test_those_that_are_followed_are_known_to_their_ends(flights):
    with flights.following(EVERYTHING) as followed:
        flights.add("3", READ, lambda: None)
        flights.done("1", "failed")
        assert followed.states() == {"1": "failed", "2": "running"}
        assert ids(followed.settle(0)) == ["2"]


def test_two_may_follow_the_same_calls(flights):
    """Two stops at the same time each report every call."""
    with flights.following(EVERYTHING) as one:
        with flights.following(EVERYTHING) as other:
            flights.done("1", "failed")
        flights.done("2", "cancelled")
        assert one.states() == {"1": "failed", "2": "cancelled"}
        assert other.states() == {"1": "failed", "2": "running"}


def test_settling_returns_as_soon_as_all_have_ended(flights):
    with flights.following(EVERYTHING) as followed:
        for id_ in ("1", "2"):
            threading.Timer(0.02, flights.done, (id_, "completed")).start()
        assert followed.settle(30) == ()


def test_many_threads_each_end_their_own_calls():
    """No call is lost, none ends twice."""
    flights, ended = InFlight(), []

    def fly(name):
        for n in range(200):
            flights.add(f"{name}-{n}", READ, lambda: None)
            ended.append(flights.done(f"{name}-{n}", "completed"))

    threads = [threading.Thread(target=fly, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.id for one in ended}) == 1600
    assert flights.snapshot() == ()
