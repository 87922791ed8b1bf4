"""Approvals: bound to the exact call, one caller, one manifest and a time; used once; no floods."""

import sys
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from corrigible.errors import DeniedError, GuardError, OperatorError
from corrigible.guard.approvals import (
    ApprovalLimits,
    Approvals,
    NotAskedError,
    fresh_digest,
    steady_seconds,
)
from corrigible.guard.call import Call, Decision

APPROVE = Decision("approve", "write files:/srv/**", "the rule asks for approval")
P = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


@dataclass(frozen=True)
class Card:
    """The least that can be shown of a call."""

    call: str

    def text(self) -> str:
        return self.call

    def as_json(self) -> dict[str, Any]:
        return {"call": self.call}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def approvals(clock):
    return Approvals(clock, ApprovalLimits(pending_per_caller=3, pending_in_all=5))


def a_call(path="/srv/a", caller="bot", lineage=(), **more: object):
    return Call("files", "write", {"path": path, **more}, caller, lineage)


def ask(approvals, call, policy=P):
    return approvals.ask(call, APPROVE, policy, Card(fresh_digest(call)))


def approved(approvals, call, policy=P, count=1):
    pending = ask(approvals, call, policy)
    approvals.answer(pending.id, approve=True, by="ann", count=count)
    return pending.id


# -- what an approval is good for --------------------------------------------------------------


def test_an_approval_lets_its_call_through(approvals):
    id_ = approved(approvals, a_call())
    assert approvals.take(a_call(), P) == id_
    assert approvals.request(id_).state == "used"


@pytest.mark.parametrize(
    "other",
    [
        a_call("/srv/b"),
        a_call(force=True),
        a_call(path=["/srv/a"]),
        Call("files", "delete", {"path": "/srv/a"}, "bot"),
        Call("jobs", "write", {"path": "/srv/a"}, "bot"),
    ],
    ids=str,
)
def test_attack_14_mutate_after_approval(approvals, other):
    """An approval serves the exact call alone."""
    approved(approvals, a_call())
    assert approvals.take(other, P) is None
    assert approvals.take(a_call(), P)


def test_attack_14_mutate_the_same_object_after_approval(approvals):
    """The digest that a call remembers is not believed: its arguments are digested again."""
    call = a_call()
    assert call.digest  # remembered from here on
    approved(approvals, call)
    call.arguments["path"] = "/etc/shadow"
    assert approvals.take(call, P) is None


def test_attack_14_show_one_call_and_ask_for_another(approvals):
    shown = Card(fresh_digest(a_call("/srv/harmless")))
    with pytest.raises(GuardError, match="the preview must show the call sha256:"):
        approvals.ask(a_call("/etc/shadow"), APPROVE, P, shown)


def test_1_and_1_point_0_are_two_calls(approvals):
    approved(approvals, a_call(n=1))
    assert approvals.take(a_call(n=1.0), P) is None


def test_attack_15_replay(approvals):
    approved(approvals, a_call())
    assert approvals.take(a_call(), P)
    assert approvals.take(a_call(), P) is None


def test_attack_15_replay_by_answering_again(approvals):
    id_ = approved(approvals, a_call())
    with pytest.raises(OperatorError, match=f"{id_} waits for no answer: it is approved"):
        approvals.answer(id_, approve=True, by="ann")
    approvals.take(a_call(), P)
    with pytest.raises(OperatorError, match="it is used"):
        approvals.answer(id_, approve=True, by="ann")


def test_attack_16_answer_by_a_guessed_id(approvals):
    ask(approvals, a_call())
    with pytest.raises(OperatorError, match=r"no request 'aaaaaaaa\\x1b' waits"):
        approvals.answer("aaaaaaaa\x1b", approve=True, by="ann")


@pytest.mark.parametrize(
    "other",
    [a_call(caller="helper"), a_call(caller="helper", lineage=("bot",)), a_call(lineage=("root",))],
    ids=str,
)
def test_an_approval_of_one_caller_does_not_serve_another(approvals, other):
    approved(approvals, a_call())
    assert approvals.take(other, P) is None


def test_attack_19_approval_outlives_a_change_of_the_manifest(approvals):
    approved(approvals, a_call())
    assert approvals.take(a_call(), OTHER) is None


def test_attack_20_timeout_as_yes(approvals, clock):
    pending = ask(approvals, a_call())
    clock.now = pending.expires
    assert approvals.take(a_call(), P) is None
    with pytest.raises(OperatorError, match="it is expired, nobody answered"):
        approvals.answer(pending.id, approve=True, by="ann")
    assert [p.id for p in approvals.lapsed()] == [pending.id]
    assert approvals.lapsed() == ()


def test_attack_20_use_an_approval_long_after(approvals, clock):
    id_ = approved(approvals, a_call())
    clock.now += approvals.limits.use_s
    assert approvals.take(a_call(), P) is None
    assert approvals.request(id_).why == "it was not used in time"


def test_attack_20_waiting_in_vain_is_no_answer(approvals):
    pending = ask(approvals, a_call())
    assert approvals.wait(pending.id, 0.01).state == "waiting"
    assert approvals.take(a_call(), P) is None


def test_only_what_needs_approval_is_asked(approvals):
    with pytest.raises(GuardError, match="got 'deny'"):
        approvals.ask(a_call(), Decision("deny", "default", ""), P, Card(a_call().digest))


# -- one request for equal calls ---------------------------------------------------------------


def test_equal_calls_of_one_caller_are_one_request(approvals):
    first, again = ask(approvals, a_call()), ask(approvals, a_call())
    assert (first.id, first.count, first.first) == (again.id, 1, True)
    assert (again.count, again.first) == (2, False)
    assert [p.count for p in approvals.pending()] == [2]


def test_attack_17_bury_in_a_batch(approvals):
    """A yes is for one call unless the operator says how many; never for more than were asked."""
    pending = [ask(approvals, a_call()) for _ in range(3)][-1]
    with pytest.raises(OperatorError, match="asked for 3 times, so 1 to 3 can be approved, got 4"):
        approvals.answer(pending.id, approve=True, by="ann", count=4)
    approvals.answer(pending.id, approve=True, by="ann")
    assert [approvals.take(a_call(), P) for _ in range(2)] == [pending.id, None]


def test_a_batch_lets_as_many_through_as_were_approved(approvals):
    pending = [ask(approvals, a_call()) for _ in range(3)][-1]
    answered = approvals.answer(pending.id, approve=True, by="ann", count=2)
    assert answered.count == 2
    assert [approvals.take(a_call(), P) for _ in range(3)] == [pending.id, pending.id, None]


def test_what_is_approved_is_not_asked_again(approvals):
    id_ = approved(approvals, a_call())
    assert (ask(approvals, a_call()).id, approvals.pending()) == (id_, ())


def test_ids_are_typed_easily_and_never_come_twice(approvals):
    ids = []
    for number in range(200):
        pending = ask(approvals, a_call(str(number)))
        approvals.void("next")
        ids.append(pending.id)
    assert len(set(ids)) == 200
    assert all(len(i) == 8 and not set(i) - set("abcdefghjkmnpqrstvwxyz23456789") for i in ids)


# -- floods and fatigue ------------------------------------------------------------------------


def refused_rule(approvals, call):
    with pytest.raises(NotAskedError) as caught:
        ask(approvals, call)
    assert isinstance(caught.value, DeniedError)
    return caught.value.rule


def test_attack_17_flood_with_different_calls(approvals):
    for number in range(3):
        ask(approvals, a_call(str(number)))
    assert refused_rule(approvals, a_call("more")) == "approvals.flood"
    assert ask(approvals, a_call("0")).count == 2  # what waits already is no flood


def test_attack_17_flood_by_making_more_sub_agents(approvals):
    for number in range(3):
        ask(approvals, a_call(caller=f"helper-{number}", lineage=("bot",)))
    assert refused_rule(approvals, a_call()) == "approvals.flood"


def test_attack_17_flood_from_many_callers(approvals):
    for number in range(5):
        ask(approvals, a_call(caller=str(number)))
    assert refused_rule(approvals, a_call()) == "approvals.flood"


def test_attack_17_ask_until_they_give_in(approvals, clock):
    pending = ask(approvals, a_call())
    approvals.answer(pending.id, approve=False, by="ann", why="never\x1b[2J")
    assert refused_rule(approvals, a_call()) == "approvals.rejected"
    assert refused_rule(approvals, a_call(caller="kid", lineage=("bot",))) == "approvals.rejected"
    with pytest.raises(NotAskedError, match=r"never\\x1b\[2J\); it is denied unasked for 600 s"):
        ask(approvals, a_call())
    assert ask(approvals, a_call(caller="someone else"))
    clock.now += approvals.limits.again_after_s
    assert ask(approvals, a_call())


def test_a_rejection_holds_under_its_manifest_and_through_a_void(approvals):
    approvals.answer(ask(approvals, a_call()).id, approve=False, by="ann")
    approvals.void("stopped")
    assert refused_rule(approvals, a_call()) == "approvals.rejected"
    assert ask(approvals, a_call(), OTHER)


def test_attack_17_wear_the_operator_out(clock):
    """After too many answers in a while nothing is asked until they say that they have rested."""
    approvals = Approvals(clock, ApprovalLimits(answers_per_window=4))
    for number in range(5):
        clock.now += 10
        approvals.answer(ask(approvals, a_call(str(number))).id, bool(number % 2), "ann")
    assert refused_rule(approvals, a_call("x")) == "approvals.fatigue"
    clock.now += 10 * approvals.limits.window_s
    assert refused_rule(approvals, a_call("x")) == "approvals.fatigue"  # it does not just pass
    assert approvals.rest() == "5 answers within 3600 s"
    assert ask(approvals, a_call("x"))
    assert approvals.rest() == ""


def test_attack_17_wear_the_operator_out_with_a_batch(clock):
    approvals = Approvals(clock, ApprovalLimits(answers_per_window=4))
    pending = [ask(approvals, a_call()) for _ in range(5)][-1]
    approvals.answer(pending.id, approve=True, by="ann", count=5)
    assert refused_rule(approvals, a_call("x")) == "approvals.fatigue"


def test_attack_17_answers_given_without_reading(clock):
    """A backlog answered in a hurry counts as quick, though each request waited for long."""
    approvals = Approvals(clock, ApprovalLimits(quick_in_a_row=3))
    waiting = [ask(approvals, a_call(str(number))) for number in range(4)]
    clock.now += 60
    quick = [approvals.answer(p.id, approve=True, by="ann").quick for p in waiting]
    assert quick == [False, True, True, True]
    assert approvals.stats().resting == "3 approvals in a row took less than 2 s each"
    assert refused_rule(approvals, a_call("x")) == "approvals.fatigue"


def test_a_rejection_is_never_quick_and_ends_a_row(clock):
    approvals = Approvals(clock, ApprovalLimits(quick_in_a_row=2))
    for number, yes in enumerate([True, False, True]):
        approvals.answer(ask(approvals, a_call(str(number))).id, yes, "ann")
    assert (approvals.stats().resting, approvals.stats().quick) == ("", 2)


def test_the_figures_of_fatigue(approvals, clock):
    assert (approvals.stats().median_s, approvals.stats().rate.measured) == (None, False)
    for number, took in enumerate([1, 9, 20]):
        pending = ask(approvals, a_call(str(number)))
        clock.now += took
        approvals.answer(pending.id, number > 0, "ann")
    lost = ask(approvals, a_call("lost"))
    clock.now = lost.expires
    stats = approvals.stats()
    assert (stats.approved, stats.rejected, stats.expired, stats.median_s) == (2, 1, 1, 9)
    assert (stats.rate.value, stats.rate.n) == (2 / 3, 3)
    assert stats.rate.low < 2 / 3 < stats.rate.high


@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan")])
def test_a_limit_must_limit(value):
    with pytest.raises(GuardError, match="limit ask_s must be above 0 and finite"):
        ApprovalLimits(ask_s=value)


# -- written down first ------------------------------------------------------------------------


def test_an_answer_counts_once_it_is_written_down(approvals):
    """No call passes on a yes that the ledger may yet fail to keep."""
    pending = ask(approvals, a_call())
    kept = []

    def keep(answered):
        kept.append((answered, approvals.request(pending.id).state))

    answered = approvals.answer(pending.id, approve=True, by="ann", keep=keep)
    assert kept == [(answered, "waiting")]
    assert approvals.take(a_call(), P)


def test_an_answer_that_cannot_be_written_down_is_none(approvals):
    def keep(_):
        raise GuardError("the disk is full")

    pending = ask(approvals, a_call())
    with pytest.raises(GuardError, match="disk is full"):
        approvals.answer(pending.id, approve=True, by="ann", keep=keep)
    assert approvals.take(a_call(), P) is None
    assert (approvals.request(pending.id).state, approvals.stats().approved) == ("waiting", 0)


# -- voids -------------------------------------------------------------------------------------


def test_a_void_ends_what_waits_and_what_is_approved(approvals):
    waits = ask(approvals, a_call("w")).id
    id_ = approved(approvals, a_call())
    assert approvals.void("stopped by ann") == 2
    assert approvals.take(a_call(), P) is None
    assert [approvals.request(i).why for i in (waits, id_)] == ["stopped by ann"] * 2
    with pytest.raises(OperatorError, match="it is void, stopped by ann"):
        approvals.answer(waits, approve=True, by="ann")
    assert approvals.void("again") == 0


def test_a_void_may_be_of_some(approvals):
    approved(approvals, a_call(caller="one"))
    approved(approvals, a_call(caller="two"))
    assert approvals.void("stopped", lambda p: p.call.caller == "one") == 1
    assert approvals.take(a_call(caller="one"), P) is None
    assert approvals.take(a_call(caller="two"), P)


def test_what_a_gone_caller_left_is_void_with_its_sub_agents(approvals):
    approved(approvals, a_call())
    ask(approvals, a_call("w"))
    approved(approvals, a_call(caller="kid", lineage=("bot",)))
    approved(approvals, a_call(caller="other"))
    assert approvals.forget("bot") == 3
    assert approvals.take(a_call(), P) is None
    assert approvals.take(a_call(caller="other"), P)


# -- threads -----------------------------------------------------------------------------------


def at_once(count, work):
    """What `count` threads get that do the same at once, switched as often as may be."""
    barrier, found = threading.Barrier(count), []

    def run():
        barrier.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    return found


def test_attack_15_two_threads_take_the_same_approval_and_one_wins():
    for number in range(50):
        approvals = Approvals()  # a fresh one each: no limits in the way
        id_ = approved(approvals, a_call(str(number)))
        won = at_once(4, lambda a=approvals, n=number: a.take(a_call(str(n)), P))
        assert sorted(won, key=str) == sorted([id_, None, None, None], key=str)


def test_of_two_answers_at_once_one_counts():
    approvals = Approvals()
    pending = ask(approvals, a_call())

    def answer():
        try:
            return approvals.answer(pending.id, approve=True, by="ann").approved
        except OperatorError:
            return None

    assert sorted(at_once(4, answer), key=str) == [None, None, None, True]


def test_who_waits_hears_of_the_answer():
    approvals = Approvals()
    pending = ask(approvals, a_call())
    threading.Timer(
        0.05, lambda: approvals.answer(pending.id, approve=False, by="ann", why="no")
    ).start()
    ended = approvals.wait(pending.id, 20)
    assert (ended.state, ended.why, ended.by) == ("rejected", "no", "ann")


def test_who_waits_hears_of_the_expiry():
    approvals = Approvals(limits=ApprovalLimits(ask_s=0.05))
    assert approvals.wait(ask(approvals, a_call()).id, 20).state == "expired"


def test_of_an_unknown_request_nothing_is_known(approvals):
    assert approvals.request("nope") is None
    assert approvals.wait("nope", 1) is None


def test_the_usual_clock_only_rises():
    assert 0 < steady_seconds() <= steady_seconds()


# -- the law, under any interleaving -----------------------------------------------------------

CALLS = st.builds(
    a_call, st.sampled_from(["a", "b"]), st.sampled_from(["x", "y"]), st.sampled_from([(), ("z",)])
)
POLICIES = st.sampled_from([P, OTHER])


class EveryUseWasApproved(RuleBasedStateMachine):
    """Whatever the order: no call passes without its own unexpired, unvoided, unused yes."""

    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.approvals = Approvals(self.clock, ApprovalLimits(quick_s=1e-9, use_s=50, ask_s=100))
        self.yes = {}  # (caller, lineage, digest, policy) -> [id, uses left, until]
        self.asked = {}

    def key(self, call, policy):
        return call.caller, call.lineage, call.digest, policy

    @rule(target=requests, call=CALLS, policy=POLICIES)
    def ask(self, call, policy):
        try:
            pending = ask(self.approvals, call, policy)
        except NotAskedError:
            return None
        self.asked.setdefault(pending.id, self.key(call, policy))
        assert self.asked[pending.id] == self.key(call, policy)
        return pending.id

    @rule(id_=requests, yes=st.booleans(), count=st.integers(0, 3))
    def answer(self, id_, yes, count):
        if id_ is None:
            return
        try:
            answered = self.approvals.answer(id_, yes, "ann", count=count)
        except OperatorError:
            return
        if answered.approved:
            self.yes[self.asked[id_]] = [id_, count, self.clock.now + 50]

    @rule(call=CALLS, policy=POLICIES)
    def take(self, call, policy):
        mine = self.yes.get(self.key(call, policy), ["", 0, 0.0])
        good = mine[1] > 0 and self.clock.now < mine[2]
        assert self.approvals.take(call, policy) == (mine[0] if good else None)
        mine[1] -= good

    @rule(seconds=st.sampled_from([1, 10, 49, 50, 99, 100]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule()
    def void(self):
        self.approvals.void("stop")
        self.yes.clear()

    @rule(caller=st.sampled_from(["x", "y", "z"]))
    def forget(self, caller):
        self.approvals.forget(caller)
        self.yes = {k: v for k, v in self.yes.items() if caller not in (k[0], *k[1])}

    @invariant()
    def waiting_requests_are_of_distinct_calls(self):
        keys = [self.asked[p.id] for p in self.approvals.pending()]
        assert len(keys) == len(set(keys))


EveryUseWasApproved.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)
TestEveryUseWasApproved = EveryUseWasApproved.TestCase
