"""Plans: walked to their end before they are approved, and run in order or not at all."""

import json
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import load
from test_approvals import OTHER, Clock, P, at_once

from corrigible.errors import GuardError, OperatorError
from corrigible.guard.approvals import ApprovalLimits, Approvals, NotAskedError
from corrigible.guard.call import Call, DecidedEffect, Decision
from corrigible.guard.plans import MOST_STEPS, Plans, parse_plan, plan_json, plan_of, walk
from corrigible.guard.seen import Seen

DEPLOYMENT = load(
    servers="{files: {}, roles: {}, mail: {}}",
    tools="""{files.write: {verbs: [write], target: "{path}"},
      files.drop: {verbs: [delete], target: "{path}", requires: [admin], irreversible: true},
      roles.take: {verbs: [acquire], target: "{role}"},
      mail.send: {verbs: [send], target: "{to}"}}""",
    assets="""{release: {kind: task, levels: [none, built, shipped], drift: 0,
        at: {files: /srv/**}},
      admin: {kind: access, at: {roles: admin}},
      goodwill: {kind: bystander/goodwill, levels: [lost, strained, full], at: {mail: "**"}}}""",
    authority="{allow: ['write release', 'send *'], approve: ['delete release', 'acquire admin']}",
    budgets="{calls: 3}",
).deployment
EFFECTS = {
    "files.write": ("write", "release", "task", "allow"),
    "files.drop": ("delete", "release", "task", "approve"),
    "roles.take": ("acquire", "admin", "access", "approve"),
    "mail.send": ("send", "goodwill", "bystander/goodwill", "allow"),
}
WRITE, DROP = ("files", "write", {"path": "/srv/a"}), ("files", "drop", {"path": "/srv/a"})
TAKE, SEND = ("roles", "take", {"role": "admin"}), ("mail", "send", {"to": "ann"})


def decide(call, seen, used):
    """A small policy: what needs the admin role is denied without it; three calls at most."""
    if used.get("calls", 0) >= 3:
        return Decision("deny", "budget.calls", "the budget is used up")
    if call.name not in EFFECTS:
        return Decision("deny", "names.exact", "no such tool")
    verb, asset, kind, verdict = EFFECTS[call.name]
    effect = DecidedEffect(verb, asset, kind, verdict, f"{verb} {asset}")
    if call.tool == "drop" and not seen.may_be_held(DEPLOYMENT, "admin"):
        return Decision("deny", "requires", "admin is not held", effects=(effect,))
    final = call.tool == "drop"
    return Decision(
        verdict, effect.rule, "", effects=(effect,), irreversible=final, uses={"calls": 1}
    )


def walked(plan, **more: object):
    return walk(DEPLOYMENT, decide, plan, Seen.start(DEPLOYMENT), **more)


def a_plan(*steps: tuple, planner="bot", executor=""):
    return plan_of(steps or (WRITE, TAKE, DROP), planner=planner, executor=executor)


def call_of(step, caller="bot"):
    return Call(*step, caller)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def plans(clock):
    return Plans(Approvals(clock, ApprovalLimits(quick_in_a_row=1000)))


def put_up(plans, plan, policy=P):
    return plans.put_up(plan, policy, walked(plan)).id


def approved(plans, plan=None):
    id_ = put_up(plans, plan or a_plan())
    plans._approvals.answer(id_, approve=True, by="ann")
    return id_


# -- the walk ----------------------------------------------------------------------------------


def test_a_walk_says_where_it_ends_what_is_final_and_whom_it_harms():
    preview = walked(a_plan(TAKE, DROP, SEND))
    assert preview.denied == ()
    assert preview.ends[0] == "admin (access): from no to no or held"
    assert preview.irreversible == ("step 2, files.drop: delete release",)
    [harm] = preview.harms
    assert harm.startswith("goodwill (bystander/goodwill): step 3, mail.send (send), from full to")
    assert "strained" in harm
    assert preview.uses == ("calls: 3",)


def test_a_step_is_decided_on_what_those_before_it_did():
    """Alone it is denied: only the role that the plan takes first makes it possible."""
    alone = walked(a_plan(DROP)).denied
    assert alone == ("step 1, files.drop: denied by requires: admin is not held",)
    preview = walked(a_plan(TAKE, DROP))
    assert preview.denied == ()
    assert preview.steps[1].needs == (
        "approval, by delete release",
        "admin: may be held by then",
    )
    assert walked(a_plan(DROP)).steps[0].needs == ("admin: NOT held by then",)


def test_budgets_run_out_along_the_walk():
    preview = walked(a_plan(WRITE, WRITE, WRITE, WRITE))
    assert preview.denied == ("step 4, files.write: denied by budget.calls: the budget is used up",)
    assert len(walked(a_plan(WRITE, WRITE), used={"calls": 2.0}).denied) == 1


def test_a_plans_text_says_the_whole_first_and_every_step_in_full():
    text = walked(a_plan(TAKE, DROP, SEND, executor="r\u202eun")).text()
    lines = text.splitlines()
    assert lines[0] == 'PLAN      3 steps, put up by "bot", run by "r\\u202eun"'
    assert "turn the direction" in lines[1]
    for start in ("ENDS WITH admin", "FINAL     step 2, files.drop", "HARMS     goodwill"):
        assert [line for line in lines if line.startswith(start)]
    assert [line for line in lines if line.startswith("STEP")] == [
        f"STEP      {n} of 3" for n in (1, 2, 3)
    ]
    assert text.count("END OF    files.drop, 1 values, IRREVERSIBLE") == 1
    assert "END OF    the plan, 3 steps, 1 IRREVERSIBLE, 1 HARMS, sha256:" in text
    data = walked(a_plan()).as_json()
    assert json.loads(json.dumps(data)) == data


def test_a_harmless_plan_says_so():
    text = walked(a_plan(WRITE)).text()
    assert "FINAL     nothing that the manifest calls irreversible" in text
    assert "HARMS     no bystander that the manifest names" in text


def test_a_plan_with_a_denied_step_is_refused_as_a_whole(plans):
    with pytest.raises(NotAskedError, match=r"step 2, x\.y: denied by names\.exact") as caught:
        put_up(plans, a_plan(WRITE, ("x", "y", {})))
    assert caught.value.rule == "plans.denied"
    assert plans.under_way() == ()


# -- the run -----------------------------------------------------------------------------------


def test_an_approved_plan_runs_in_order_each_step_once(plans):
    id_ = approved(plans)
    steps = [plans.next(call_of(step), P) for step in (WRITE, TAKE, DROP)]
    assert steps == [f"{id_}/{n}" for n in (1, 2, 3)]
    assert plans.next(call_of(DROP), P) is None
    assert plans.under_way() == ()


def test_attack_15_replay_of_a_plan(plans):
    approved(plans, a_plan(WRITE))
    assert plans.next(call_of(WRITE), P)
    assert plans.next(call_of(WRITE), P) is None


def test_attack_15_a_plan_put_up_twice_runs_once(plans):
    """The same plan again joins its request: no second run is to be had from one answer."""
    first, again = put_up(plans, a_plan(WRITE)), put_up(plans, a_plan(WRITE))
    assert first == again
    with pytest.raises(OperatorError, match="asked for 1 times"):
        plans._approvals.answer(first, approve=True, by="ann", count=2)
    plans._approvals.answer(first, approve=True, by="ann")
    assert [bool(plans.next(call_of(WRITE), P)) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    "wrong",
    [TAKE, ("files", "write", {"path": "/srv/b"}), ("files", "write", {"path": "/srv/a", "x": 1})],
    ids=str,
)
def test_attack_14_deviate_from_an_approved_plan(plans, wrong):
    """Out of order, or with other arguments: nothing of the plan goes on after that."""
    id_ = approved(plans)
    assert plans.next(call_of(wrong), P) is None
    assert plans.next(call_of(WRITE), P) is None
    assert plans._approvals.request(id_).state == "void"


def test_attack_14_deviate_in_the_middle_of_a_plan(plans):
    approved(plans)
    assert plans.next(call_of(WRITE), P)
    assert plans.next(call_of(WRITE), P) is None
    assert plans.next(call_of(TAKE), P) is None


def test_attack_14_mutate_a_step_after_approval(plans):
    path = {"path": "/srv/a"}
    plan = plan_of([("files", "write", path)], planner="bot")
    approved(plans, plan)
    path["path"] = "/etc/shadow"
    assert plans.next(Call("files", "write", path, "bot"), P) is None
    plan.calls[0].arguments["path"] = "/etc/shadow"
    assert plans.next(Call("files", "write", path, "bot"), P) is None


def test_attack_14_show_one_plan_and_put_up_another(plans):
    with pytest.raises(GuardError, match="the preview must show the call"):
        plans.put_up(a_plan(TAKE), P, walked(a_plan(WRITE)))


def test_attack_16_a_plan_that_nobody_answered_does_not_run(plans):
    put_up(plans, a_plan())
    assert plans.next(call_of(WRITE), P) is None
    assert len(plans.under_way()) == 1  # doing something else meanwhile is no deviation


def test_a_rejected_plan_does_not_run_and_is_not_asked_again_at_once(plans):
    plans._approvals.answer(put_up(plans, a_plan()), approve=False, by="ann")
    assert plans.next(call_of(WRITE), P) is None
    with pytest.raises(NotAskedError) as caught:
        put_up(plans, a_plan())
    assert caught.value.rule == "approvals.rejected"


def test_attack_19_a_plan_outlives_a_change_of_the_manifest(plans):
    approved(plans)
    assert plans.next(call_of(WRITE), P)
    assert plans.next(call_of(TAKE), OTHER) is None
    assert plans.next(call_of(TAKE), P) is None


def test_attack_20_a_plan_without_an_answer_in_time(plans, clock):
    put_up(plans, a_plan())
    clock.now += plans._approvals.limits.ask_s
    assert plans.next(call_of(WRITE), P) is None
    assert plans.under_way() == ()


def test_attack_20_a_plan_begun_or_continued_too_late(plans, clock):
    approved(plans)
    clock.now += plans._approvals.limits.use_s
    assert plans.next(call_of(WRITE), P) is None
    approved(plans)
    assert plans.next(call_of(WRITE), P)
    clock.now += plans.run_s
    assert plans.next(call_of(TAKE), P) is None


def test_a_plan_is_run_by_the_executor_that_it_states_alone(plans):
    approved(plans, a_plan(WRITE, planner="planner", executor="hand"))
    assert plans.next(call_of(WRITE, "planner"), P) is None
    assert plans.next(call_of(WRITE, "hand"), P)


def test_attack_17_two_plans_mixed_into_one_that_nobody_saw(plans):
    """One plan at a time for an executor, whoever put it up."""
    approved(plans, a_plan(WRITE))
    for planner in ("bot", "other"):
        with pytest.raises(NotAskedError, match="one plan at a time") as caught:
            put_up(plans, a_plan(TAKE, planner=planner, executor="bot"))
        assert caught.value.rule == "plans.busy"


def test_a_step_of_a_plan_does_not_serve_as_a_single_approval(plans):
    approved(plans, a_plan(WRITE))
    assert plans._approvals.take(call_of(WRITE), P) is None


@pytest.mark.parametrize("begun", [False, True])
def test_a_stop_voids_plans(plans, begun):
    approved(plans)
    if begun:
        plans.next(call_of(WRITE), P)
    assert plans.void("stopped", lambda p: p.plan.executor == "nobody") == 0
    assert plans.void("stopped") == 1
    assert [plans.next(call_of(s), P) for s in (WRITE, TAKE)] == [None, None]


@pytest.mark.parametrize("gone", ["planner", "hand"])
def test_what_a_gone_caller_planned_or_was_to_run_is_void(plans, gone):
    approved(plans, a_plan(WRITE, planner="planner", executor="hand"))
    assert plans.forget(gone) == 1
    assert plans.next(call_of(WRITE, "hand"), P) is None


def test_of_threads_that_take_the_same_step_one_wins(plans):
    for _ in range(20):
        approved(plans, a_plan(WRITE))
        won = at_once(4, lambda: plans.next(call_of(WRITE), P))
        assert sum(step is not None for step in won) == 1
    assert threading.active_count() < 20


# -- a plan as a file --------------------------------------------------------------------------

NAMES = st.text("abcxyz", min_size=1, max_size=5)
STEPS = st.lists(
    st.tuples(NAMES, NAMES, st.dictionaries(NAMES, st.integers(0, 9) | st.text("ab"))), min_size=1
)


@settings(max_examples=25)
@given(STEPS, NAMES)
def test_a_plan_read_back_is_the_same(steps, executor):
    plan = plan_of(steps, planner="bot", executor=executor)
    assert parse_plan(plan_json(plan), planner="bot") == plan


BAD = [
    ("[]", "the plan must be an object, got \\[\\]"),
    ('{"steps": []}', "must have 'corrigible_plan', got none"),
    ('{"corrigible_plan": 1, "steps": [], "x": 1}', "may have the keys .*, got 'x'"),
    ('{"corrigible_plan": true, "steps": []}', "must be 1, got True"),
    ('{"corrigible_plan": 2, "steps": []}', "must be 1, got 2"),
    ('{"corrigible_plan": 1, "steps": {}}', "'steps' must be a list"),
    ('{"corrigible_plan": 1, "steps": []}', "1 to 100 steps, got 0"),
    ('{"corrigible_plan": 1, "steps": [1]}', "step 1 must be an object, got 1"),
    ('{"corrigible_plan": 1, "steps": [{"server": "a"}]}', "step 1 must have 'tool'"),
    ('{"corrigible_plan": 1, "steps": [{"server": "a", "tool": 1}]}', "'tool' must be a name"),
    ('{"corrigible_plan": 1, "executor": "", "steps": []}', "'executor' must be a name, got ''"),
    (
        '{"corrigible_plan": 1, "steps": [{"server": "a", "tool": "b", "arguments": [1]}]}',
        "arguments",
    ),
    ('{"corrigible_plan": 1, "corrigible_plan": 1, "steps": []}', "corrigible_plan"),
    ('{"corrigible_plan": NaN', "arguments|NaN"),
]


@pytest.mark.parametrize(("text", "told"), BAD)
def test_what_is_no_plan_is_refused(text, told):
    with pytest.raises(GuardError, match=told):
        parse_plan(text, planner="bot")


def test_a_plan_has_its_most_steps():
    with pytest.raises(GuardError, match="got 101"):
        a_plan(*[WRITE] * (MOST_STEPS + 1))


def test_no_tool_of_a_manifest_can_be_called_as_a_plan():
    """The server that a plan's digest is under has a name that no manifest may hold."""
    with pytest.raises(ValueError, match="servers"):
        load(servers='{"(plan)": {}}')


def test_a_plan_has_an_end():
    with pytest.raises(GuardError, match="run_s must be above 0 and finite, got inf"):
        Plans(Approvals(), run_s=float("inf"))
