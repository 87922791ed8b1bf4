"""What the gate promises by itself, with its real parts: ledger, latch, approvals, budgets."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from small_guard import call, listed, manifest, policy_of

from corrigible.deployment.load import load_deployment
from corrigible.deployment.lock import lock_of
from corrigible.errors import DeniedError, GuardError, OperatorError, WithheldError
from corrigible.guard.approvals import ApprovalLimits, Approvals
from corrigible.guard.budgets import Budgets
from corrigible.guard.gate import Gate, Past
from corrigible.guard.latch import EVERYTHING, Latch, Scope
from corrigible.guard.ledger import Ledger
from corrigible.guard.redact import Redactor
from corrigible.guard.restoring import begin_run, past_of
from corrigible.guard.seen import Seen
from corrigible.guard.session import open_session
from corrigible.guard.state import open_state
from corrigible.guard.verify import verify

READ = call("files.read_file", path="/srv/a")
WRITE = call("files.write_file", path="/srv/app/a")
DENIED = call("files.write_file", path="/srv/bot/prompt.md")
ASKS = call("mail.send", to="ann@shop.example")
SCALE = call("cluster.scale", name="web", replicas=2)
SECRET = "hunter2-hunter2-hunter2"  # noqa: S105  (a decoy)


@pytest.fixture
def parts(tmp_path):
    """Opens gates on one ledger and one latch, one after the other."""

    @contextmanager
    def opened(*, policy=None, **sections: str):
        policy = policy or policy_of(**sections)
        latch = Latch.create(tmp_path / "latch.json")
        with Ledger.open(tmp_path / "ledger.sqlite", tmp_path / "key") as ledger:
            past = past_of(ledger, policy.deployment)
            redact = Redactor({SECRET}, b"salt").redact
            yield Gate(policy, past, ledger, latch, redact=redact)

    return opened


@pytest.fixture
def gate(parts):
    with parts() as opened:
        yield opened


def flown(gate, made, state="completed", result=None):
    """Admit, dispatch and release one call."""
    admission = gate.admit(made)
    assert admission.state == "go", admission.message
    gate.dispatch(admission, lambda: None)
    gate.release(admission, state, result)
    return admission


def kept(gate, *kinds: str):
    gate.ledger.head()
    return [entry.body for entry in gate.ledger.entries(kinds=set(kinds))]


def approved(gate, made=ASKS, **more: str):
    """Ask for a call and say yes; return the request's id."""
    asked = gate.admit(made)
    assert asked.state == "pending", asked
    gate.answer(asked.pending, approve=True, by="ann", **more)
    return asked.pending


# -- intent, outcome, denial ----------------------------------------------------------------


def test_the_intent_is_committed_before_a_call_may_go(gate):
    admission = gate.admit(READ)
    (intent,) = [e.body for e in gate.ledger.entries(kinds={"intent"})]  # read by another hand
    assert (admission.state, intent["call_id"], intent["call"]) == ("go", admission.id, READ.digest)
    gate.dispatch(admission, lambda: None)
    gate.release(admission, "completed", {"ok": True})
    (outcome,) = kept(gate, "outcome")
    assert (outcome["call_id"], outcome["state"]) == (admission.id, "completed")


def test_a_denied_attempt_is_kept_with_its_drives(gate):
    assert gate.admit(DENIED).state == "denied"
    (attempt,) = kept(gate, "denied")
    assert attempt["drives"] == ["goal-preservation/resist-correction"]
    assert attempt["rule"] == "write oversight/*"
    assert not kept(gate, "intent")


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), object(), {1: 2}, 2**70, b"x"],
    ids=lambda value: type(value).__name__,
)
def test_arguments_that_are_no_json_are_denied_and_the_attempt_is_kept(gate, value):
    """A call that comes from a program, not from a text."""
    assert gate.admit(call("files.read_file", path=value)).state == "denied"
    assert len(kept(gate, "denied")) == 1


@pytest.mark.slow
def test_endless_arguments_are_denied_and_the_attempt_is_kept(gate):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert gate.admit(call("files.read_file", path=deep)).state == "denied"
    assert len(kept(gate, "denied")) == 1


def test_a_ledger_that_fails_denies(parts):
    with parts() as gate:
        gate.ledger.close()
        admission = gate.admit(READ)
        assert (admission.state, admission.decision.rule) == ("denied", "ledger.write")


def test_no_secret_stands_in_the_ledgers_bytes(gate, tmp_path):
    made = call("files.read_file", path=f"/srv/{SECRET}", token=SECRET)
    flown(gate, made, result={"text": f"it is {SECRET}!", SECRET: [SECRET]})
    gate.admit(call("files.write_file", path=f"/etc/{SECRET}"))
    gate.admit(call(f"x.{SECRET}"))
    gate.ledger.head()
    raw = b"".join(file.read_bytes() for file in tmp_path.glob("ledger*"))
    assert READ.digest.encode() not in raw
    assert made.digest.encode() in raw
    assert SECRET.encode() not in raw


def test_no_secret_stands_in_what_a_decision_rests_on(parts, tmp_path):
    """A place outside the tool's stated reach is quoted there."""
    sections = {
        "tools": "{files.read_file: {verbs: [read], target: '{path}', reach: '/srv/app/**'}}",
        "authority": "{allow: ['read files:/srv/**']}",
        "assets": "{app: {kind: task, at: {files: '/srv/app/**'}}}",
        "budgets": "{}",
    }
    with parts(**sections) as gate:
        admission = flown(gate, call("files.read_file", path=f"/srv/{SECRET}"))
        assert any(SECRET in text for text in admission.decision.rests_on)
        gate.ledger.head()
        raw = b"".join(file.read_bytes() for file in tmp_path.glob("ledger*"))
        assert SECRET.encode() not in raw


# -- budgets ----------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [2, 16])
def test_calls_at_once_never_pass_a_budget(gate, threads):
    """Ten calls and two dollars at 0.4: five scales at most, whoever is first."""
    fixed = call("cluster.scale", name="web", replicas=1)
    with ThreadPoolExecutor(threads) as pool:
        states = [one.state for one in pool.map(gate.admit, [fixed] * 40)]
    assert states.count("go") == 5
    assert gate.used()["usd"] == 2.0


def test_an_amount_is_counted_from_what_may_be_there_now(gate):
    """Between deciding `to 2` and letting it out, another call may have taken it down to 0."""
    up, down = SCALE, call("cluster.scale", name="web", replicas=0)
    reserve, once = gate._reserved, []

    def late(admission, policy, seen):
        if not once:
            once.append(True)
            assert gate.admit(down).state == "go"
        return reserve(admission, policy, seen)

    gate._reserved = late
    assert gate.admit(up).state == "go"
    assert gate.used()["acquire replicas"] == 2  # not 1, as from the one replica at the start


def test_what_is_refused_takes_nothing(gate):
    gate.admit(call("cluster.scale", name="web", replicas=4))
    assert gate.used()["calls"] == 0


# -- approvals ---------------------------------------------------------------------------------


def test_an_approval_is_for_one_call_once(gate):
    approved(gate)
    assert gate.admit(call("mail.send", to="bob@shop.example")).state == "pending"
    assert gate.admit(replace(ASKS, caller="other")).state == "pending"
    assert gate.admit(ASKS).state == "go"
    assert gate.admit(ASKS).state == "pending"


def test_threads_that_take_one_approval_get_it_once(gate):
    approved(gate)
    with ThreadPoolExecutor(8) as pool:
        states = [one.state for one in pool.map(gate.admit, [ASKS] * 16)]
    assert states.count("go") == 1


def test_an_approval_ends(gate):
    now = [0.0]
    gate.approvals = Approvals(lambda: now[0], ApprovalLimits(ask_s=5, use_s=5))
    approved(gate)
    now[0] = 6.0
    assert gate.admit(ASKS).state == "pending"


def test_no_answer_that_cannot_be_kept_counts(gate):
    asked = gate.admit(ASKS)
    gate.ledger.close()
    with pytest.raises(GuardError):
        gate.answer(asked.pending, approve=True, by="ann")
    assert gate.approvals.take(ASKS, gate.policy.digest) is None


def test_an_approval_does_not_lift_a_denial(gate):
    """What was approved is decided again: the budget is out by then."""
    approved(gate)
    fixed = call("files.read_file", path="/srv/a")
    while gate.admit(fixed).state == "go":
        pass
    again = gate.admit(ASKS)
    assert (again.state, again.decision.rule) == ("denied", "budget.calls")


def test_who_has_gone_leaves_no_approval(gate):
    approved(gate)
    assert gate.forget(ASKS.caller) == 1
    assert gate.admit(ASKS).state == "pending"


def test_requests_and_answers_are_kept(gate):
    id_ = approved(gate, why="it is ann")
    (asked,), (answered,) = kept(gate, "asked"), kept(gate, "answered")
    assert (asked["id"], asked["call"]) == (id_, ASKS.digest)
    assert (answered["id"], answered["approved"], answered["by"]) == (id_, True, "ann")
    assert gate.admit(ASKS).approval == id_


def test_an_answer_to_nothing_is_refused(gate):
    with pytest.raises(OperatorError):
        gate.answer("nothing", approve=True, by="ann")


# -- unknown ends -------------------------------------------------------------------------------


def test_a_blind_retry_is_asked(gate):
    flown(gate, WRITE, "unknown")
    again = gate.admit(WRITE)
    assert (again.state, again.decision.rule) == ("pending", "unknown.retry")
    assert gate.admit(call("files.write_file", path="/srv/app/b")).state == "go"


def test_a_read_with_an_unknown_end_may_be_tried_again(gate):
    flown(gate, READ, "unknown")
    assert gate.admit(READ).state == "go"


def test_a_retry_that_did_not_leave_is_still_blind(gate):
    flown(gate, WRITE, "unknown")
    approved(gate, WRITE)
    gate.latch.pause(EVERYTHING, "", "ann")
    gate.latch.resume(EVERYTHING, "ann")
    approved_too = gate.admit(WRITE)
    gate.latch.stop(Scope("server", "files"), "", "ann")
    with pytest.raises(DeniedError):
        gate.dispatch(approved_too, lambda: None)
    gate.latch.resume(Scope("server", "files"), "ann")
    assert gate.admit(WRITE).decision.rule == "unknown.retry"


# -- stop, pause, correction --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "stops"),
    [
        (EVERYTHING, True),
        (Scope("server", "files"), True),
        (Scope("tool", "files.write_file"), True),
        (Scope("agent", "agent"), True),
        (Scope("server", "mail"), False),
        (Scope("tool", "files.read_file"), False),
        (Scope("agent", "other"), False),
    ],
    ids=str,
)
def test_a_stop_denies_what_is_in_its_scope(gate, scope, stops):
    flying = gate.admit(WRITE)
    gate.dispatch(flying, lambda: None)
    gate.latch.stop(scope, "", "ann")
    assert (gate.admit(WRITE).decision.rule == "latch.stopped") is stops
    if stops:
        with pytest.raises(WithheldError):
            gate.release(flying, "completed", {})
        assert [body["state"] for body in kept(gate, "outcome")] == ["withheld"]
    else:
        gate.release(flying, "completed", {})


def test_what_was_admitted_before_a_stop_does_not_leave(gate):
    before = gate.admit(WRITE)
    gate.latch.stop(EVERYTHING, "", "ann")
    with pytest.raises(DeniedError):
        gate.dispatch(before, lambda: None)
    assert [body["state"] for body in kept(gate, "outcome")] == ["not dispatched"]
    assert not gate.inflight.snapshot()


def test_what_was_admitted_before_a_stop_does_not_leave_after_it_either(gate):
    """Stopped and resumed meanwhile: what was voided stays void."""
    before = gate.admit(WRITE)
    gate.latch.stop(EVERYTHING, "", "ann")
    gate.latch.resume(EVERYTHING, "ann")
    with pytest.raises(DeniedError, match="stopped, paused or resumed"):
        gate.dispatch(before, lambda: None)


def test_a_result_that_a_stop_ended_is_late_even_after_a_resume(gate):
    flying = gate.admit(WRITE)
    gate.dispatch(flying, lambda: None)
    gate.inflight.done(flying.id, "unknown")  # as a stop does
    with pytest.raises(WithheldError):
        gate.release(flying, "completed", {})
    assert gate.admit(WRITE).decision.rule == "unknown.retry"


def test_a_withheld_call_is_not_sent_again_blindly(gate):
    """Its effect is there, and its caller was told nothing."""
    flying = gate.admit(WRITE)
    gate.dispatch(flying, lambda: None)
    gate.latch.stop(EVERYTHING, "", "ann")
    with pytest.raises(WithheldError):
        gate.release(flying, "completed", {})
    gate.latch.resume(EVERYTHING, "ann")
    assert gate.admit(WRITE).decision.rule == "unknown.retry"


def test_calls_that_a_stop_left_hanging_are_not_sent_again_blindly(gate):
    flying = gate.admit(WRITE)
    gate.dispatch(flying, lambda: None)
    gate.inflight.done(flying.id, "unknown")
    gate.lost([flying.id, "never"])
    assert gate.admit(WRITE).decision.rule == "unknown.retry"


def test_a_pause_holds_and_a_resume_lets_go(gate):
    gate.latch.pause(EVERYTHING, "", "ann")
    held = gate.admit(WRITE)
    assert (held.state, held.pending) == ("pending", "")
    gate.latch.resume(EVERYTHING, "ann")
    assert flown(gate, WRITE)


def test_a_latch_that_cannot_be_read_is_a_stop(gate):
    gate.latch.path.write_text("running")
    assert gate.admit(READ).decision.rule == "latch.stopped"


def test_a_correction_voids_what_was_decided(gate):
    before, flying = gate.admit(WRITE), gate.admit(READ)
    gate.dispatch(flying, lambda: None)
    approved(gate)
    corrected = policy_of(authority="{allow: ['write files:/srv/app/**'], approve: ['send *']}")
    assert gate.correct(corrected, by="ann") == 1
    with pytest.raises(DeniedError, match="manifest was replaced"):
        gate.dispatch(before, lambda: None)
    with pytest.raises(WithheldError, match="denies"):
        gate.release(flying, "completed", {})
    assert gate.admit(ASKS).state == "pending"
    assert gate.admit(READ).state == "denied"


def test_a_correction_keeps_what_was_used_and_seen(gate):
    flown(gate, SCALE)
    flown(gate, call("cluster.grant", role="admin"))
    corrected = policy_of(budgets="{calls: 4, 'acquire replicas': 1}")
    gate.correct(corrected, by="ann")
    assert gate.used()["calls"] == 2
    assert gate.admit(SCALE).state == "denied"
    assert gate._past.seen.may_be_held(corrected.deployment, "admin")


def test_a_correction_that_cannot_be_kept_replaces_nothing(gate):
    before = gate.policy.digest
    gate.ledger.close()
    with pytest.raises(GuardError):
        gate.correct(policy_of(budgets="{calls: 1}"), by="ann")
    assert gate.policy.digest == before


def test_a_tool_that_changed_is_held_also_when_it_was_admitted_before(parts):
    good = listed("files", "read_file", {"type": "object", "properties": {"path": {}}})
    policy = policy_of(listings=[good], lock=lock_of([good]))
    with parts(policy=policy) as gate:
        gate.listed(good)
        before = gate.admit(READ)
        assert before.state == "go"
        gate.listed(listed("files", "read_file", {"type": "object"}))
        assert gate.admit(READ).decision.rule == "tool.held"
        with pytest.raises(DeniedError, match="held back"):
            gate.dispatch(before, lambda: None)


# -- a restart ----------------------------------------------------------------------------------


def test_a_restart_restores_budgets_levels_and_unknown_ends(parts):
    with parts() as gate:
        flown(gate, SCALE)
        flown(gate, call("cluster.grant", role="admin"))
        flown(gate, WRITE, "unknown")
        hanging = gate.admit(call("files.write_file", path="/srv/app/b"))
        gate.dispatch(hanging, lambda: None)
        used = gate.used()
    with parts() as gate:
        assert gate.used() == used
        assert gate._past.seen.may_be_held(gate.policy.deployment, "admin")
        assert gate.admit(WRITE).decision.rule == "unknown.retry"
        assert gate.admit(hanging.call).decision.rule == "unknown.retry"
        assert [b["state"] for b in kept(gate, "outcome")].count("unknown") == 2


def test_a_restart_remembers_what_was_withheld(parts):
    with parts() as gate:
        flying = gate.admit(WRITE)
        gate.dispatch(flying, lambda: None)
        gate.latch.stop(EVERYTHING, "", "ann")
        with pytest.raises(WithheldError):
            gate.release(flying, "completed", {})
        gate.latch.resume(EVERYTHING, "ann")
    with parts() as gate:
        assert gate.admit(WRITE).decision.rule == "unknown.retry"


def test_a_retry_that_did_not_leave_is_still_blind_after_a_restart(parts):
    with parts() as gate:
        flown(gate, WRITE, "unknown")
        approved(gate, WRITE)
        again = gate.admit(WRITE)
        gate.latch.stop(EVERYTHING, "", "ann")
        with pytest.raises(DeniedError):
            gate.dispatch(again, lambda: None)
        gate.latch.resume(EVERYTHING, "ann")
    with parts() as gate:
        assert gate.admit(WRITE).decision.rule == "unknown.retry"


def test_a_restart_voids_approvals_and_keeps_a_stop(parts):
    with parts() as gate:
        approved(gate)
    with parts() as gate:
        assert gate.admit(ASKS).state == "pending"
        gate.latch.stop(EVERYTHING, "", "ann")
    with parts() as gate:
        assert gate.admit(READ).decision.rule == "latch.stopped"


def test_a_new_run_starts_anew_and_forgets_no_unknown_end(parts):
    with parts() as gate:
        flown(gate, SCALE)
        flown(gate, WRITE, "unknown")
        begin_run(gate.ledger, by="ann")
    with parts() as gate:
        assert gate.used()["calls"] == 0
        assert gate.admit(WRITE).decision.rule == "unknown.retry"


# -- together -------------------------------------------------------------------------------------


def test_under_threads_every_dispatch_has_its_intent_before_it(gate, tmp_path):
    """And none leaves that was stopped; the ledger verifies."""
    sent, over = [], threading.Event()

    def agent(number):
        for step in range(30):
            admission = gate.admit(call("files.read_file", path=f"/srv/{number}", n=step))
            if admission.state != "go":
                continue
            late = over.is_set()
            try:
                gate.dispatch(admission, lambda: None)
            except DeniedError:
                continue
            sent.append((admission.id, late))
            with suppress(WithheldError):
                gate.release(admission, "completed", {})

    gate.policy = policy_of(budgets="{calls: 300}")
    gate._past = Past(Seen.start(gate.policy.deployment), Budgets({"calls": 300}))
    threads = [threading.Thread(target=agent, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    gate.latch.stop(EVERYTHING, "", "ann")
    gate.void("stopped")
    over.set()
    for thread in threads:
        thread.join()
    intents = {body["call_id"] for body in kept(gate, "intent")}
    assert {id_ for id_, _ in sent} <= intents
    assert not [id_ for id_, late in sent if late]
    assert verify(tmp_path / "ledger.sqlite").ok


def test_a_stop_of_the_session_leaves_no_call_that_is_sent_again_blindly(tmp_path):
    file = tmp_path / "deployment.yaml"
    file.write_text(manifest(), encoding="utf-8")
    loaded = load_deployment(file)
    with open_session(loaded, open_state(tmp_path / "state"), live=False) as session:
        gate = session.gate
        flying = gate.admit(WRITE)
        gate.dispatch(flying, lambda: None)
        report = session.stop(why="", by="ann", grace_s=0.01)
        assert [one.state for one in report.flights] == ["unknown"]
        session.answer({"do": "resume", "peer": {"uid": 0}, "by": "ann"})
        assert gate.admit(WRITE).decision.rule == "unknown.retry"
        assert json.dumps(report.as_json())
