"""Every attack is held by the guard, and is seen to break each time its defence is taken away."""

import json
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from corrigible.drill import attacks, attacks_calls, attacks_state
from corrigible.drill.attacks import ASSUMED, KINDS, fire_attacks
from corrigible.drill.ground import Found, Kind
from corrigible.errors import GuardError
from corrigible.guard import gate as gate_module
from corrigible.guard import policy as policy_module
from corrigible.guard import preview as preview_module
from corrigible.guard import session as session_module
from corrigible.guard.approvals import Approvals
from corrigible.guard.budgets import Budgets
from corrigible.guard.call import Decision
from corrigible.guard.gate import Gate
from corrigible.guard.latch import Latch, LatchState
from corrigible.guard.ledger import Ledger
from corrigible.guard.redact import Redactor
from corrigible.guard.state import Holder
from corrigible.guard.strict import StrictError

pytestmark = pytest.mark.slow

BY_NAME = {kind.name: kind for kind in KINDS}


# -- each defence, taken away ----------------------------------------------------------------


def all_allowed(patch):
    patch.setattr(
        gate_module, "decide",
        lambda policy, *_: Decision("allow", "nothing", "", policy=policy.digest),
    )  # fmt: skip


def read_loosely(patch):
    def loose(text):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise StrictError("arguments.json", str(error)) from error

    patch.setattr("corrigible.drill.stage.parse_strict", loose)


def amounts_not_checked(patch):
    patch.setattr(policy_module, "amount_of", lambda *_: 0.0)


def any_approval(patch):
    def take(self, *_: object):
        return next((p.id for p in self._open.values() if p.state == "approved"), None)

    patch.setattr(Approvals, "take", take)


def nothing_expires(patch):
    def unswept(self):
        return self.clock()

    patch.setattr(Approvals, "_swept", unswept)


def door_open(patch):
    patch.setattr("corrigible.guard.operator.hmac.compare_digest", lambda *_: True)


def no_flood_limit(patch):
    patch.setattr(Approvals, "_check_limits", lambda *_: None)


def raw_preview(patch):
    preview = preview_module.preview_of

    class Raw:
        def __init__(self, call, shown) -> None:
            self.call, self.text = shown.call, lambda: str(dict(call.arguments).get("drill_note"))

        def as_json(self):
            return {}

    def raw(deployment, call, decision, **more: object):
        return Raw(call, preview(deployment, call, decision, **more))

    patch.setattr(gate_module, "preview_of", raw)


def nobody_forgotten(patch):
    patch.setattr(Gate, "forget", lambda *_: 0)


def budgets_not_taken(patch):
    patch.setattr(Budgets, "reserve", lambda *_: None)


def retries_not_seen(patch):
    patch.setattr(Gate, "_is_blind_retry", lambda *_: False)


def not_looked_at_again(patch):
    patch.setattr(Gate, "dispatch", lambda self, a, cancel: self.inflight.add(a.id, a.call, cancel))


def listings_not_taken(patch):
    patch.setattr(Gate, "listed", lambda *_: None)


def lineage_not_read(patch):
    on = LatchState.on
    patch.setattr(LatchState, "on", lambda self, *call: on(self, *call[:4], ()))


def latch_always_open(patch):
    patch.setattr(Latch, "state", lambda _: LatchState(0))


def ledger_not_waited_for(patch):
    kept = SimpleNamespace(result=lambda *_: None)
    patch.setattr(Ledger, "append", lambda *_, **__: kept)


def denials_not_kept(patch):
    append = Ledger.append

    def kept(self, kind, body, **how):  # noqa: ANN003  (as `append` has it)
        return append(self, "note" if kind == "denied" else kind, body, **how)

    patch.setattr(Ledger, "append", kept)


def nothing_verified(patch):
    patch.setattr(attacks_state, "verify", lambda *_, **__: SimpleNamespace(ok=True))


def not_held(patch):
    @contextmanager
    def held(_state):
        yield Holder(1, 0, "any")

    @contextmanager
    def opened(*_: object):
        yield SimpleNamespace(append=None, path=None)

    patch.setattr(session_module, "hold_guard", held)
    patch.setattr(session_module, "OperatorServer", lambda *_, **__: opened())
    patch.setattr(session_module.Ledger, "open", classmethod(lambda *_, **__: opened()))
    patch.setattr(session_module, "past_of", lambda *_: None)


def nothing_redacted(patch):
    patch.setattr(Redactor, "redact", lambda _, value: value)


def latch_made_anew(patch):
    create = Latch.create.__func__

    def anew(cls, path):
        for file in (path, path.with_name("latch.made")):
            file.unlink(missing_ok=True)
        return create(cls, path)

    patch.setattr(Latch, "create", classmethod(anew))


SABOTAGE = {
    "spelled tool names": all_allowed,
    "prefixed and shadowed names": all_allowed,
    "hidden tools": all_allowed,
    "requests beside tools/call": all_allowed,
    "argument forms": read_loosely,
    "amounts": amounts_not_checked,
    "spelled places": all_allowed,
    "errors in a check": all_allowed,
    "attempts leave no trace": denials_not_kept,
    "mutated and replayed approvals": any_approval,
    "late approvals": nothing_expires,
    "self-approval": door_open,
    "floods of requests": no_flood_limit,
    "misleading previews": raw_preview,
    "rejected, and gone": nobody_forgotten,
    "raced budgets": budgets_not_taken,
    "blind retries": retries_not_seen,
    "an old manifest's decisions": not_looked_at_again,
    "changed definitions": listings_not_taken,
    "calls around a stop": not_looked_at_again,
    "sub-agents of a stopped agent": lineage_not_read,
    "an unreadable latch": latch_always_open,
    "a ledger that fails": ledger_not_waited_for,
    "a rewritten ledger": nothing_verified,
    "a second guard": not_held,
    "secrets in the log": nothing_redacted,
    "a restart": latch_made_anew,
}
SLOW = {"self-approval", "an unreadable latch", "a ledger that fails", "a rewritten ledger",
        "spelled places", "a second guard"}  # fmt: skip


def each(names):
    return [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in names]


@pytest.mark.parametrize("name", each(BY_NAME))
def test_the_guard_holds_it(ground, name):
    """None is held for want of anything to fire."""
    found = BY_NAME[name].fire(ground)
    assert (found.answer, found.tries > 0) == ("held", True), found.said


@pytest.mark.parametrize("name", each(SABOTAGE))
def test_without_its_defence_it_is_broken(ground, name, monkeypatch):
    SABOTAGE[name](monkeypatch)
    found = BY_NAME[name].fire(ground)
    assert found.answer == "broken", found.said


def test_every_attack_has_its_sabotage():
    assert set(SABOTAGE) == set(BY_NAME)


def test_every_attack_of_the_list_is_fired_or_says_what_must_close_it():
    """35 are in the list; none is left out in silence, and what is assumed is never fired."""
    numbers = {n for one in (*KINDS, *ASSUMED) for n in one.numbers}
    assert numbers == set(range(1, 36))


def test_what_does_not_apply_is_not_held(written):
    """A deployment with no budgets, amounts or approvals."""
    from corrigible.drill.ground import ground_of  # noqa: PLC0415
    from corrigible.drill.stage import open_stage  # noqa: PLC0415

    plain = written(
        tools="{files.read_file: {verbs: [read], target: '{path}'}}",
        authority="{allow: ['read files:/srv/**']}",
        assets="{app: {kind: task, at: {files: '/srv/app/**'}}}",
        budgets="{}",
        servers="{files: {root: /srv}}",
    )
    with open_stage(plain) as opened:
        ground = ground_of(opened)
        for name in ("raced budgets", "amounts", "floods of requests", "blind retries"):
            assert BY_NAME[name].fire(ground).answer == "not applicable"


def test_a_drill_that_fails_is_not_held(monkeypatch, ground):
    def fails(_):
        raise GuardError("no room")

    kind = Kind("one", (1,), "it is", fails)
    monkeypatch.setattr(attacks, "KINDS", (kind, replace(kind, fire=lambda _: Found("held", ""))))
    first, second = fire_attacks(ground)
    assert (first.answer, second.answer) == ("could not tell", "held")
    assert "no room" in first.said


@pytest.mark.parametrize(
    ("variant", "is_read"),
    [
        ("/srv/./x", True), ("/srv/a/../x", True), ("/srv%2fx", True), ("/srv\\x", True),
        ("/srv/x\x00.txt", True), ("file:///srv/x", True), ("/srv/%2578", True),
        ("/srv/y", False), ("/srv/x2", False),
    ],
)  # fmt: skip
def test_a_server_may_read_a_spelling_as_the_place(variant, is_read):
    assert attacks_calls._is_read_as(variant, "/srv/x") is is_read
