"""Attacks on approvals and budgets: one yes for another call, twice, by oneself, too late."""

import json
import math
import socket
import threading
from dataclasses import dataclass, replace

from corrigible.drill.ground import Found, Ground, Kind, checked, not_applicable, noted
from corrigible.drill.stage import NOTE, SECRET, Fired, Stage
from corrigible.errors import CorrigibleError, DeniedError
from corrigible.guard.approvals import ApprovalLimits, Approvals, NotAskedError
from corrigible.guard.call import Call
from corrigible.guard.gate import Gate
from corrigible.guard.operator import read_line, socket_address

_LONGEST_RACE = 600
_RACERS = 16
_DIGEST = "sha256:" + "0" * 64


def _asked(ground: Ground) -> tuple[Gate, Call] | None:
    """Return a gate at which a call waits for an operator: one that asks, else a blind retry."""
    stage = ground.stage
    gate = stage.fresh()
    for one in ground.asking:
        if stage.fire(gate, one.call).state == "pending":
            return gate, one.call
    acting = ground.acting
    if acting is None:
        return None
    admission = gate.admit(acting.call)
    if admission.state != "go":
        return None
    gate.dispatch(admission, lambda: None)
    gate.release(admission, "unknown", None)
    return (gate, acting.call) if stage.fire(gate, acting.call).state == "pending" else None


_NOBODY_ASKS = "no call of this deployment is put to an operator"


def _pending(gate: Gate) -> str:
    return gate.approvals.pending()[0].id


def _bound(ground: Ground) -> Found:
    """A yes is for one call, one caller, once."""
    found = _asked(ground)
    if found is None:
        return not_applicable(_NOBODY_ASKS)
    gate, call = found
    stage = ground.stage
    before = stage.fire(gate, call)
    gate.answer(_pending(gate), approve=True, by="drill", why="for this call")
    mutated = gate.approvals.take(noted(call, 1), gate.policy.digest)
    other = gate.approvals.take(replace(call, caller="somebody-else"), gate.policy.digest)
    later = gate.approvals.take(call, _DIGEST)
    first, second = stage.fire(gate, call), stage.fire(gate, call)
    return checked({
        "nothing passes before the answer": before.state == "pending",
        "not for other arguments": mutated is None,
        "not for another caller": other is None,
        "not under another manifest": later is None,
        "once for the call approved": first.state == "reached",
        "not a second time": second.state != "reached" or _passes_alone(ground, call),
    })  # fmt: skip


def _passes_alone(ground: Ground, call: Call) -> bool:
    """Whether the call needs no approval by itself: only its blind retry did."""
    return any(one.call.digest == call.digest for one in ground.passing)


def _expired(ground: Ground) -> Found:
    """No answer in time is a no, and an approval ends."""
    found = _asked(ground)
    if found is None:
        return not_applicable(_NOBODY_ASKS)
    gate, call = found
    now = [1000.0]
    limits = ApprovalLimits(ask_s=10, use_s=10)
    asking = gate.approvals.pending()[0]
    gate.approvals = Approvals(lambda: now[0], limits)
    decision = replace(gate.admit(call).decision, verdict="approve")
    first = gate.approvals.ask(call, decision, gate.policy.digest, asking.preview)
    now[0] += 11
    unanswered = gate.approvals.request(first.id)
    second = gate.approvals.ask(call, decision, gate.policy.digest, asking.preview)
    gate.approvals.answer(second.id, approve=True, by="drill")
    now[0] += 11
    return checked({
        "an unanswered request expires": unanswered is not None and unanswered.state == "expired",
        "an approval expires": gate.approvals.take(call, gate.policy.digest) is None,
        "nothing is dispatched for it": ground.stage.fire(gate, call).state == "pending",
    })  # fmt: skip


def _self_approved(ground: Ground) -> Found:
    """The agent cannot answer: no tool does, and the operator's door wants the operator's token."""
    stage, gate = ground.stage, ground.stage.session.gate
    calls = [
        Call(server, tool, {"id": "any"})
        for server in (*stage.deployment.servers, "corrigible", "operator")
        for tool in ("approve", "corrigible_approve", "resume", "elicitation/create")
        if f"{server}.{tool}" not in stage.deployment.tools
    ]
    fired = [stage.fire(gate, call) for call in calls]
    wrong = [_knocked(stage, token) for token in ("", "0" * 64, SECRET, None)]
    return checked({
        "no call answers a request": all(one.state == "denied" for one in fired),
        "the operator's door refuses every other token": not any(wrong),
    }, tries=len(fired) + len(wrong))  # fmt: skip


def _knocked(stage: Stage, token: str | None) -> bool:
    """Whether the operator's door lets one in with this token."""
    request = {"do": "approve", "id": "any"} | ({} if token is None else {"token": token})
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection,
        socket_address(stage.session.state) as address,
    ):
        connection.settimeout(30)
        connection.connect(address)
        connection.sendall(json.dumps(request).encode() + b"\n")
        line = read_line(connection, 30, 100_000)
    said = json.loads(line) if line else {}
    return bool(said.get("ok")) or "no request" in str(said.get("error"))


def _flooded(ground: Ground) -> Found:
    """Requests beyond what one person can read are denied unasked."""
    found = _asked(ground)
    if found is None or not ground.asking:
        return not_applicable("no call asks by itself, so none can be asked over and over")
    gate, call = found
    most = gate.approvals.limits.pending_per_caller
    fired = [ground.stage.fire(gate, noted(call, number)) for number in range(2 * most)]
    waiting = len(gate.approvals.pending())
    refused = [one for one in fired if one.rule.startswith("approvals.")]
    through = any(one.state == "reached" for one in fired)
    return checked({
        f"{most} wait at most": waiting <= most,
        "the rest is denied": len(refused) >= most and not through,
    }, tries=len(fired))  # fmt: skip


def _shown(ground: Ground) -> Found:
    """What an operator reads shows control characters as such, and cuts nothing in silence."""
    found = _asked(ground)
    if found is None or not ground.asking:
        return not_applicable("no call asks by itself")
    gate, call = found
    hostile = "\x1b[2J\x1b[1;32mapproved\u202egnp.exe\u2066\r\nall is well"
    odd = replace(call, arguments={**call.arguments, NOTE: hostile})
    long = replace(call, arguments={**call.arguments, NOTE: "y" * 50_000})
    texts = []
    for made in (odd, long):
        admission = gate.admit(made)
        request = gate.approvals.request(admission.pending) if admission.pending else None
        texts.append("" if request is None else request.preview.text())
    shown = texts[0].replace("\n", "")
    return checked({
        "both are shown, or denied": all(texts) or not any(texts),
        "no control character reaches the terminal": shown.isprintable(),
        "a cut is said": not texts[1] or len(texts[1]) > 50_000 or "50,0" in texts[1]  # noqa: PLR2004
        or "50000" in texts[1],
    })  # fmt: skip


def _under_old(ground: Ground) -> Found:
    """A rejected call is denied; a caller that has gone gets nothing dispatched."""
    found = _asked(ground)
    if found is None:
        return not_applicable(_NOBODY_ASKS)
    gate, call = found
    gate.answer(_pending(gate), approve=True, by="drill")
    gate.forget(call.caller)
    gone = gate.approvals.take(call, gate.policy.digest)
    again = ground.stage.fire(gate, call)
    gate.answer(_pending(gate), approve=False, by="drill", why="no")
    try:
        rejected: Fired | None = ground.stage.fire(gate, call)
    except NotAskedError:
        rejected = None
    return checked({
        "a caller that has gone leaves no approval": gone is None and again.state == "pending",
        "what was rejected is denied": rejected is not None and rejected.state == "denied",
    })  # fmt: skip


# -- budgets -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Race:
    """A call that runs a budget out, which, and after how many calls it must have run out."""

    call: Call
    budget: str
    limit: float
    count: int


def _shortest_race(ground: Ground) -> _Race | None:
    limits = ground.stage.deployment.budgets
    races = [
        _Race(one.call, key, limits[key], math.floor(limits[key] / use) + 2 * _RACERS)
        for one in ground.passing
        for key, use in one.decision.uses.items()
        if key in limits and use > 0
    ]
    short = [race for race in races if race.count <= _LONGEST_RACE]
    return min(short, key=lambda race: race.count, default=None)


def _raced(ground: Ground) -> Found:
    """Calls of many threads at once never take more of a budget than there is."""
    race = _shortest_race(ground)
    if race is None:
        return not_applicable(f"no budget runs out within {_LONGEST_RACE} calls that pass")
    gate, stage = ground.stage.fresh(), ground.stage
    each = -(-race.count // _RACERS)
    taken: list[float] = []

    def run() -> None:
        for number in range(each):
            admission = gate.admit(noted(race.call, number))
            if admission.state == "go" and stage.send(gate, admission).state == "reached":
                taken.append(admission.decision.uses.get(race.budget, 0.0))

    threads = [threading.Thread(target=run) for _ in range(_RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    what = f"{len(taken)} calls took {sum(taken):g} of {race.budget!r} {race.limit:g}"
    return checked({
        what: sum(taken) <= race.limit + 1e-9,
        "some passed, and then it ran out": 0 < len(taken) < _RACERS * each,
    }, tries=_RACERS * each)  # fmt: skip


def _retried(ground: Ground) -> Found:
    """A call whose first try nobody knows the end of is not tried again without a person."""
    acting = ground.acting
    if acting is None:
        return not_applicable("no call that passes does more than read")
    gate, stage = ground.stage.fresh(), ground.stage
    before = dict(gate.used())
    admission = gate.admit(acting.call)
    gate.dispatch(admission, lambda: None)
    gate.release(admission, "unknown", None)
    again = stage.fire(gate, acting.call)
    spent = gate.used().get("calls", 0.0) - before.get("calls", 0.0)
    return checked({
        "the retry is asked": again.state == "pending" and again.rule == "unknown.retry",
        "the first try still counts": spent >= 1 or "calls" not in gate.used(),
    })  # fmt: skip


def _corrected(ground: Ground) -> Found:
    """What was decided under a manifest that was replaced does not leave."""
    one = ground.harmless
    if one is None:
        return not_applicable("no call passes")
    gate, stage = ground.stage.fresh(), ground.stage
    admission = gate.admit(one.call)
    flying = gate.admit(one.call)
    gate.dispatch(flying, lambda: None)
    policy = replace(gate.policy, digest=_DIGEST, rules=())
    try:
        gate.correct(policy, by="drill")
        sent = stage.send(gate, admission)
    except DeniedError:
        sent = None
    except CorrigibleError as error:
        return Found("could not tell", f"the manifest could not be replaced: {error}")
    return checked({
        "it is not dispatched": sent is None or sent.state == "not dispatched",
        "the digest is the new one": gate.policy.digest == _DIGEST,
    })  # fmt: skip


KINDS = (
    Kind("mutated and replayed approvals", (14, 15, 19), "one yes is for one call, once", _bound),
    Kind("late approvals", (20,), "silence is no, and a yes ends", _expired),
    Kind("self-approval", (16,), "nothing that an agent reaches answers", _self_approved),
    Kind("floods of requests", (17,), "a bounded number waits, the rest is denied", _flooded),
    Kind("misleading previews", (17,), "what is shown is what is asked, to the letter", _shown),
    Kind("rejected, and gone", (14, 20), "a no holds; nothing leaves for who has gone", _under_old),
    Kind("raced budgets", (13,), "calls at once never pass a budget", _raced),
    Kind("blind retries", (13, 34), "an unknown end is not tried again unasked", _retried),
    Kind("an old manifest's decisions", (19,), "they do not leave after a correction", _corrected),
)
