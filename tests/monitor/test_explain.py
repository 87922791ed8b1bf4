"""An act in a ledger explained: what held, what was open, what would have paid, what ends it."""

import json

import pytest
from tiny import AVOID, asset, tiny, tool

from corrigible.audit.incentives import Incentives
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.load import load_deployment
from corrigible.errors import DeniedError, PendingError, TranscriptError
from corrigible.guard.sdk import Guard
from corrigible.monitor.explain import explain
from corrigible.monitor.explain_acts import find_acts

pytestmark = pytest.mark.slow

COMPUTE = "resource-acquisition/compute"
MANIFEST = tiny(
    tools={
        "s.take": tool("acquire", at="hosts", success=0.9),
        "s.key": tool("acquire", at="key"),
        "s.cut": tool("write", at="off", requires=["key"]),
    },
    assets={
        "hosts": asset("resource/compute", "hosts", levels=[1, 2], boosts={"page": 0.4}),
        "key": asset("access", "key"),
    },
    authority={
        "allow": ["advance page", "acquire key"], "approve": ["acquire hosts"],
    },
    budgets={"acquire key": 1},
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A manifest and the ledger of a run under it."""
    folder = tmp_path_factory.mktemp("explained")
    (folder / "deployment.yaml").write_text(json.dumps(MANIFEST), encoding="utf-8")
    with Guard(folder, state=folder / "state") as guard:

        def go(name, expected=None):
            if expected is None:
                return guard.perform(name, {}, lambda _: "done")
            with pytest.raises(expected) as raised:
                guard.perform(name, {}, lambda _: "done")
            return raised.value

        go("s.edit")
        go("s.cut", DeniedError)
        go("s.cut", DeniedError)
        go("s.key")
        go("s.cut", DeniedError)
        asked = go("s.take", PendingError)
        guard.session.gate.answer(asked.id, approve=True, by="ann")
        go("s.take")
        guard.stop(why="enough", by="ann")
        go("s.edit", DeniedError)
    return load_deployment(folder / "deployment.yaml"), folder / "state" / "ledger.sqlite"


@pytest.fixture(scope="module")
def explained(made):
    loaded, ledger = made
    return explain(ledger, loaded).explained


def test_equal_acts_in_equal_situations_are_told_once(explained):
    told = [(e.act.what, e.act.tool, e.act.count) for e in explained]
    assert told == [
        ("denied", "s.cut", 2), ("done", "s.key", 1), ("denied", "s.cut", 1),
        ("asked", "s.take", 1), ("approved", "s.take", 1), ("denied", "s.edit", 1),
    ]  # fmt: skip


def test_what_held_then_is_what_was_let_out_before(explained):
    first, _, after_key, *_, stopped = explained
    assert first.missing == ("key",)
    assert after_key.missing == ()
    assert "key" not in first.act.levels
    assert after_key.act.levels["key"] == ("no", "held")
    assert stopped.act.levels["hosts"] == ("1", "2")
    assert stopped.act.held == ("stopped: all",)
    assert stopped.act.rule == "latch.stopped"


def test_what_was_open_has_the_guards_word_on_it(explained):
    first, _, after_key, *_, stopped = explained

    def verdicts(one):
        return {o.words: o.verdict for o in one.open}

    assert verdicts(first) == {
        "s.edit: advance page": "allow", "s.key: acquire key": "allow",
        "s.take: acquire hosts": "approve",
    }  # fmt: skip
    assert verdicts(after_key)["s.cut: write off"] == "deny"
    assert verdicts(after_key)["s.key: acquire key"] == "deny"  # its budget is used up
    assert set(verdicts(stopped).values()) == {"deny"}


def test_what_would_have_paid_is_asked_of_the_states_that_are_possible(explained, made):
    """Once the page may be done or not: two; with the key that may be held or not: four."""
    first, _, after_key, *_ = explained
    assert (first.pays.states, after_key.pays.states) == (2, 4)
    assert after_key.act.drives == (AVOID,)
    assert after_key.pays.share.value > 0.9
    assert after_key.pays.value > after_key.pays.without
    loaded, ledger = made
    hosts = next(e for e in explained if e.act.what == "approved")
    assert hosts.pays.share.value > 0.5
    assert explain(ledger, loaded, entry=hosts.act.first).explained == (hosts,)


def test_at_the_start_it_is_what_the_audit_says(tmp_path):
    """Nothing was let out yet: one state, and the audit's own goals."""
    (tmp_path / "deployment.yaml").write_text(json.dumps(tiny()), encoding="utf-8")
    with Guard(tmp_path, state=tmp_path / "state") as guard, pytest.raises(DeniedError):
        guard.perform("s.cut", {}, lambda _: "done")
    loaded = load_deployment(tmp_path / "deployment.yaml")
    [one] = explain(tmp_path / "state" / "ledger.sqlite", loaded, fixes=False).explained
    asked = Incentives(Setting(loaded.deployment, {}, Question()), {AVOID: frozenset({AVOID})})
    asked.add_batch()
    assert one.pays.states == 1
    assert one.pays.share == one.pays.lowest == asked.share(AVOID)
    assert one.pays.value == pytest.approx(asked.values.mean())
    gain = one.pays.value - one.pays.without
    assert gain == pytest.approx(asked.advantage(AVOID).value, abs=1e-5)


def test_the_cheapest_change_ends_it(explained):
    first = explained[0]
    assert first.fix.edits
    assert first.fix.pressure.at_most <= 0.05
    assert explained[-1].fix is None
    assert "an operator had stopped it" in explained[-1].fix_why


def test_what_serves_no_drive_is_not_measured_and_never_zero(explained):
    stopped = explained[-1]
    assert stopped.pays.share.value is None
    assert stopped.pays.why


def test_an_entry_that_is_no_act_is_refused(made):
    loaded, ledger = made
    with pytest.raises(TranscriptError, match="entry: 1 of"):
        find_acts(ledger, loaded, entry=1)


def test_acts_beyond_what_is_told_are_counted(made):
    loaded, ledger = made
    acts = find_acts(ledger, loaded, most=2)
    assert (len(acts.told), acts.left_out) == (2, 4)


def test_an_accepted_drive_needs_no_change(made):
    loaded, ledger = made
    why = {"why": "its job", "until": "2999-01-01"}
    accepting = loaded.deployment.model_copy(update={"accepts": {COMPUTE: why}})
    found = explain(ledger, type(loaded)(accepting, loaded.source, loaded.digest), most=4)
    assert found.explained[3].fix_why == "the manifest accepts it"
