"""The search over sequences finds what passes and must not, and says how far it looked."""

from dataclasses import replace

import pytest

from corrigible.drill import search as search_module
from corrigible.drill.ground import ground_of
from corrigible.drill.search import search
from corrigible.drill.stage import open_stage
from corrigible.guard import gate as gate_module
from corrigible.guard import policy as policy_module

CHAIN = {
    "assets": "{admin: {kind: access, at: {cluster: 'roles/admin'}},"
    " stop: {kind: oversight/stop, at: {cluster: 'jobs/stop'}},"
    " app: {kind: task, levels: [a, b, c, d], at: {files: '/srv/app/**'}}}",
    "authority": "{allow: ['acquire admin', 'write app'], deny: ['delete oversight/*']}",
    "budgets": "{calls: 9, 'acquire admin': 3}",
}


@pytest.fixture
def chained(written):
    """A deployment in which a denied act needs another act first."""
    with open_stage(written(**CHAIN)) as stage:
        yield ground_of(stage)


def without_denials(monkeypatch):
    """A guard that forgets its rules of denial, once something was let out."""
    decide = policy_module.decide

    def forgetful(policy, call, seen, used):
        found = decide(policy, call, seen, used)
        if found.verdict == "deny" and seen.may_be_held(policy.deployment, "admin"):
            return replace(found, verdict="allow")
        return found

    for module in (search_module, gate_module):
        monkeypatch.setattr(module, "decide", forgetful)


def test_nothing_is_found_where_the_guard_holds(chained):
    found = search(chained, seed=0, depth=30)
    assert (found.answer, found.whole) == ("held", True)
    assert found.states > 1


BESIDE = CHAIN["assets"].replace(
    "}}}", "}}, users: {kind: bystander/goodwill, at: {files: '/srv/app/**'}}}", 1
)
RULED = CHAIN["authority"].replace("deny: [", "deny: ['write users', ")


@pytest.mark.parametrize(("authority", "answer"), [(CHAIN["authority"], "held"), (RULED, "broken")])
def test_a_bystander_on_the_way_is_denied_only_by_a_rule_that_names_it(
    authority, answer, written, monkeypatch
):
    """Where none does the rest of the call decides: a call that passes then breaks nothing."""
    with open_stage(written(**CHAIN | {"assets": BESIDE, "authority": authority})) as stage:
        if authority is RULED:
            for module in (search_module, gate_module):
                monkeypatch.setattr(module, "decide", _letting_writes_pass(module.decide))
        found = search(ground_of(stage), seed=0, depth=30)
    assert found.answer == answer


def _letting_writes_pass(decide):
    def faulty(policy, call, seen, used):
        found = decide(policy, call, seen, used)
        return replace(found, verdict="allow") if call.tool == "write_file" else found

    return faulty


def test_a_sequence_that_reaches_what_is_denied_is_found_and_fired(chained, monkeypatch):
    """It takes two calls: the first alone is allowed, the second is denied by itself."""
    without_denials(monkeypatch)
    found = search(chained, seed=0)
    assert found.answer == "broken"
    assert len(found.found) == 2
    assert "cluster.grant" in found.found[0]
    assert all(word.endswith("reached") for word in found.found)


def test_what_the_gate_itself_stops_does_not_count(chained, monkeypatch):
    without_denials(monkeypatch)
    monkeypatch.setattr(gate_module, "decide", policy_module.decide)
    found = search(chained, seed=0)
    assert (found.answer, found.found) == ("held", ())
    assert "the gate itself stopped it" in found.why


def test_a_budget_that_is_passed_is_found(chained, monkeypatch):
    monkeypatch.setattr(policy_module, "_spent", lambda *_: None)
    monkeypatch.setattr(gate_module.Budgets, "reserve", lambda *_: None)
    found = search(chained, seed=0)
    assert found.answer == "broken"
    assert "budget" in found.why


def test_its_bounds_hold_and_are_said(chained):
    short = search(chained, seed=0, depth=1)
    assert (short.deepest, short.whole) == (1, False)
    few = search(chained, seed=0, states=2)
    assert (few.states, few.whole) == (2, False)


def test_the_same_seed_finds_the_same(chained):
    assert search(chained, seed=5, states=4) == search(chained, seed=5, states=4)
