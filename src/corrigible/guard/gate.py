"""The gate: the one way for a call from an agent to a tool, whatever brings it there.

`admit` decides and writes the intent, `dispatch` looks once more just before the call leaves,
`release` looks once more before the agent gets the result, and writes how the call ended.
Everything that fails on the way denies.  Every method may be called from any thread.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from corrigible.deployment.listing import Listing
from corrigible.errors import DeniedError, GuardError, OperatorError, WithheldError
from corrigible.guard.approvals import (
    Answered,
    ApprovalLimits,
    Approvals,
    NotAskedError,
    Pending,
)
from corrigible.guard.bodies import (
    Admission,
    Ending,
    Redact,
    denied_body,
    intent_body,
    outcome_body,
    told,
)
from corrigible.guard.budgets import Budgets
from corrigible.guard.call import Call, Decision
from corrigible.guard.inflight import InFlight
from corrigible.guard.latch import EVERYTHING, Latch, Scope
from corrigible.guard.ledger import Ledger
from corrigible.guard.ledger_entry import Entry
from corrigible.guard.plans import Plan, Plans, walk
from corrigible.guard.policy import Policy, decide
from corrigible.guard.preview import preview_of
from corrigible.guard.seen import Seen

WRITE_TIMEOUT_S = 10.0
"""How long a call waits for its intent to be written before it is denied."""


@dataclass(eq=False)
class Past:
    """What has happened in this run, as far as decisions read it."""

    seen: Seen
    budgets: Budgets
    unknown: set[str] = field(default_factory=set)  # digests of calls whose end was not told


class Gate:
    """Admits, dispatches and releases the calls of one deployment.

    Args:
        policy: what decisions are made from.
        past: what happened in this run before (see `restoring.past_of`).
        ledger: an open ledger.
        latch: the stop latch.
        redact: takes every secret out of what the ledger gets.
        limits: how long approvals live, and how much is asked of one person.
    """

    def __init__(
        self,
        policy: Policy,
        past: Past,
        ledger: Ledger,
        latch: Latch,
        *,
        redact: Redact,
        limits: ApprovalLimits | None = None,
    ) -> None:
        self.policy, self.ledger, self.latch = policy, ledger, latch
        self.approvals = Approvals(limits=limits)
        self.inflight = InFlight()
        self.plans = Plans(self.approvals)
        self.redact = redact
        self._past = past
        self._listings: dict[str, Listing] = {}
        self._out: dict[str, str] = {}  # calls let out and not released: the digest of each
        self._born, self._numbers = secrets.token_hex(4), count(1)
        self._door = threading.Lock()  # between looking at the latch and letting a call through

    # -- admission -------------------------------------------------------------------------

    def admit(self, call: Call) -> Admission:
        """Decide on a call and, where it may go, write its intent; never raises for a denial.

        Blocks until the intent is committed, and on the disk where the call is approved or
        irreversible.
        """
        admission, written = self._begun(call)
        if written is None:
            return admission
        try:
            written.result(WRITE_TIMEOUT_S)
        except (GuardError, TimeoutError) as error:
            return self._unkept(admission, error)
        return admission

    async def admit_async(self, call: Call) -> Admission:
        """`admit`, for asyncio: only the wait for the ledger is long, and nothing else waits."""
        admission, written = self._begun(call)
        if written is None:
            return admission
        try:
            if written.done():
                written.result()
            else:
                await asyncio.wait_for(asyncio.wrap_future(written), WRITE_TIMEOUT_S)
        except (GuardError, TimeoutError) as error:
            return self._unkept(admission, error)
        return admission

    def _begun(self, call: Call) -> tuple[Admission, Future[Entry] | None]:
        """Decide on a call, and begin to write its intent if it may go."""
        admission = self._decided(call)
        if admission.state == "denied":
            self.ledger.append("denied", self._denied(admission), here=True)
        if admission.state != "go":
            return admission, None
        try:
            body = intent_body(admission, self.redact)
            body["rests_on"] = self.redact(body["rests_on"])  # it may quote an argument
            durable = admission.decision.durable
            return admission, self.ledger.append("intent", body, durable=durable, here=True)
        except (GuardError, ValueError, TypeError, RecursionError) as error:
            return self._unkept(admission, error), None

    def _unkept(self, admission: Admission, error: Exception) -> Admission:
        self._leave_plan(admission.approval, "a step could not be kept")
        return self._refused(admission, "ledger.write", f"its intent cannot be kept: {error}")

    def _denied(self, admission: Admission) -> dict[str, Any]:
        """Return what is kept of a denied call, also where its arguments are no JSON at all."""
        try:
            return denied_body(admission, self.redact)
        except (ValueError, TypeError, RecursionError):
            call = replace(admission.call, arguments={_NO_JSON: True})
            return denied_body(replace(admission, call=call), self.redact)

    def _decided(self, call: Call) -> Admission:
        id_ = f"{self._born}-{next(self._numbers)}"
        state = self.latch.state()
        blank = Admission(id_, call, _NOTHING, "denied", epoch=state.epoch)
        mode = state.on(call.server, call.tool, id_, call.caller, call.lineage)
        if mode == "stopped":
            return self._refused(blank, "latch.stopped", "an operator has stopped this")
        if mode == "paused":
            message = "paused by an operator: nothing was dispatched; try again later"
            return replace(blank, state="pending", message=message)
        past, policy = self._past, self.policy
        seen = past.seen
        decision = decide(policy, call, seen, past.budgets.used())
        if decision.verdict != "deny" and self._is_blind_retry(call, decision):
            decision = replace(decision, verdict="approve", rule=_RETRY, reason=_UNKNOWN)
        blank = replace(blank, decision=decision)
        if decision.verdict == "deny":
            return replace(blank, message=told(decision))
        # Every call of its caller is a step of a plan or ends it, whatever it needs by itself; a
        # plan does not speak for a retry whose first try nobody knows the end of.
        retry = decision.rule == _RETRY
        approval = "" if retry else self.plans.next(call, policy.digest) or ""
        if decision.verdict == "approve" and not approval:
            taken = self.approvals.take(call, policy.digest)
            if taken is None:
                return self._asked(blank)
            approval = taken
        blank = self._reserved(blank, policy, seen)
        if blank.state != "go":
            self._leave_plan(approval, "a step was refused")
        return replace(blank, approval=approval)

    def _reserved(self, admission: Admission, policy: Policy, seen: Seen) -> Admission:
        """Take a call's share of the budgets, and note what may hold once it is let out.

        What it takes hangs on how much there is already, so one decided beside it may change it:
        then it is worked out anew.
        """
        call, decision, past = admission.call, admission.decision, self._past
        with self._door:
            if any(
                past.seen.least.get(e.asset) != seen.least.get(e.asset) for e in decision.effects
            ):
                now = decide(policy, call, past.seen, past.budgets.used())
                if now.verdict == "deny":
                    return self._refused(admission, now.rule, now.reason)
                decision = replace(decision, uses=now.uses)
                admission = replace(admission, decision=decision)
            refused = past.budgets.reserve(decision.uses)
            if refused is None:
                past.seen = past.seen.after(policy.deployment, decision, call)
                return replace(admission, state="go")
        return self._refused(admission, f"budget.{refused}", f"the budget {refused!r} is used up")

    def _asked(self, admission: Admission) -> Admission:
        call, decision = admission.call, admission.decision
        used = self._past.budgets.used()
        try:
            preview = preview_of(self.policy.deployment, call, decision, used=used)
            pending = self.approvals.ask(call, decision, decision.policy, preview)
        except NotAskedError as error:
            return self._refused(admission, error.rule, str(error))
        except GuardError as error:
            return self._refused(admission, "approvals.preview", str(error))
        for lapsed in self.approvals.lapsed():
            said = {"id": lapsed.id, "approved": False, "by": "", "why": "nobody answered in time"}
            self.ledger.append("answered", said)
        if pending.first:
            body = denied_body(admission, self.redact) | {"id": pending.id}
            self.ledger.append("asked", body, durable=False)
        message = (
            f"pending, {pending.id}: an operator must approve this call "
            f"(`corrigible approve {pending.id}`); call again with the same arguments then"
        )
        return replace(admission, state="pending", pending=pending.id, message=message)

    def _leave_plan(self, approval: str, why: str) -> None:
        """Void what is left of the plan of which a call was a step: what follows rests on it."""
        plan, slash, _ = approval.partition("/")
        if slash:
            self.plans.void(why, lambda p: p.id == plan)

    def _is_blind_retry(self, call: Call, decision: Decision) -> bool:
        reads = all(effect.verb == "read" for effect in decision.effects)
        return not reads and call.digest in self._past.unknown

    def _refused(self, admission: Admission, rule: str, reason: str) -> Admission:
        """Deny what a rule of the manifest would have let through."""
        decision = replace(admission.decision, verdict="deny", rule=rule, reason=reason)
        return replace(admission, decision=decision, state="denied", message=told(decision))

    # -- dispatch and release --------------------------------------------------------------

    def dispatch(self, admission: Admission, cancel: Callable[[], None]) -> None:
        """Let an admitted call out; `cancel` is called, from any thread, if it is stopped.

        Raises:
            DeniedError: since it was admitted, a stop came, the manifest was replaced, or its tool
                is no longer what was reviewed.
        """
        call = admission.call
        with self._door:
            why = self._void(admission)
            if not why:
                self.inflight.add(admission.id, call, cancel)
                self._out[admission.id] = call.digest
                self._past.unknown.discard(call.digest)
                return
        self._leave_plan(admission.approval, "a step was not dispatched")
        self._write_outcome(admission, "not dispatched", why, 0.0)
        raise DeniedError(f"{call.name} was not dispatched: {why} since it was admitted")

    def _void(self, admission: Admission) -> str:
        """Why an admitted call may not leave any more; what was stopped and resumed is void too."""
        latch, call = self.latch.state(), admission.call
        mode = latch.on(call.server, call.tool, admission.id, call.caller, call.lineage)
        if mode != "run":
            return f"an operator has {mode} it"
        if latch.epoch != admission.epoch:
            return "an operator has stopped, paused or resumed something"
        if admission.decision.policy != self.policy.digest:
            return "the manifest was replaced"
        held = self.policy.held.get(call.name)
        return "" if held is None else f"its tool is held back ({held})"

    def release(self, admission: Admission, state: Ending, result: Any) -> None:
        """Write how a dispatched call ended; returns if the agent may have its result.

        Raises:
            WithheldError: a stop came meanwhile, or the manifest that holds now denies the call.
        """
        flight = self.inflight.done(admission.id, _plain_ending(state))
        took_s = 0.0 if flight is None else time.monotonic() - flight.since
        # A stop has told its operator that the call's end is unknown: what comes later is late.
        why = self._withheld(admission) or ("a stop ended it" if flight is None else "")
        ending: Ending = "withheld" if why and state == "completed" else state
        with self._door:
            self._out.pop(admission.id, None)
            if ending in UNTOLD:
                self._past.unknown.add(admission.call.digest)
        self._write_outcome(admission, ending, result, took_s)
        if state in {"failed", "cancelled", "unknown"}:
            self._leave_plan(admission.approval, f"a step of it {state}")
        if why:
            raise WithheldError(f"the result of {admission.call.name} is withheld: {why}")

    def lost(self, ids: Iterable[str]) -> None:
        """Take note of calls that a stop left without a known end: none is tried again blindly."""
        with self._door:
            self._past.unknown |= {self._out[id_] for id_ in ids if id_ in self._out}

    def _withheld(self, admission: Admission) -> str:
        if self._mode(admission) == "stopped":
            return "an operator has stopped it"
        if admission.decision.policy != self.policy.digest:
            past = self._past
            now = decide(self.policy, admission.call, past.seen, {})
            return "the manifest that holds now denies the call" if now.verdict == "deny" else ""
        return ""

    def _mode(self, admission: Admission) -> str:
        call = admission.call
        state = self.latch.state()
        return state.on(call.server, call.tool, admission.id, call.caller, call.lineage)

    def _write_outcome(
        self, admission: Admission, ending: Ending, result: Any, took_s: float
    ) -> None:
        body = outcome_body(admission, ending, result, took_s=took_s, redact=self.redact)
        self.ledger.append("outcome", body, here=True)

    # -- what the servers list, and what the operator changes ------------------------------

    def listed(self, listing: Listing) -> None:
        """Take a server's tools as they are now: what differs from the lock is held back."""
        with self._door:
            self._listings[listing.server] = listing
            self.policy = self.policy.with_listings(tuple(self._listings.values()))

    def shows(self, server: str, tool: str) -> bool:
        """Whether a list shows the tool: it is known, not held back, and some call may pass."""
        return self.policy.may_pass(server, tool)

    def correct(self, policy: Policy, *, by: str, why: str = "") -> int:
        """Replace the manifest: what was decided under the old one is void; returns how much.

        Raises:
            GuardError: the ledger cannot keep it: nothing is replaced.
        """
        body = {"before": self.policy.digest, "after": policy.digest, "by": by, "why": why}
        self._write("corrected", body)
        with self._door:
            past = self._past
            self.policy = policy.with_listings(tuple(self._listings.values()))
            past.budgets = Budgets(policy.deployment.budgets).restored(past.budgets.used())
            past.seen = past.seen.under(policy.deployment)
        return self.void("the manifest was replaced")

    def answer(
        self, id_: str, *, approve: bool, by: str, why: str = "", count: int = 1
    ) -> Answered:
        """Answer what is pending, for an operator.

        Raises:
            OperatorError: no such request waits, or more are approved than were asked for.
            GuardError: the ledger cannot keep the answer: it was not given.
        """

        def keep(answered: Answered) -> None:
            body = {
                "id": id_, "approved": approve, "by": by, "why": why, "count": answered.count,
                "waited_s": round(answered.waited_s, 3), "quick": answered.quick,
            }  # fmt: skip
            self._write("answered", body)

        return self.approvals.answer(id_, approve, by, why=why, count=count, keep=keep)

    def put_up(self, plan: Plan) -> Pending:
        """Put a plan up as a whole, walked through what its calls may lead to.

        Raises:
            NotAskedError: a step is denied anyway, or too much waits already.
            OperatorError: the deployment is stopped.
        """
        policy, past = self.policy, self._past
        if self.latch.state().on("", "", "", plan.planner, plan.lineage) == "stopped":
            raise OperatorError("no plan is put up while the deployment is stopped")
        preview = walk(
            policy.deployment,
            lambda call, seen, used: decide(policy, call, seen, used),
            plan,
            past.seen,
            used=past.budgets.used(),
        )
        pending = self.plans.put_up(plan, policy.digest, preview)
        body = {"id": pending.id, "plan": plan.digest, "planner": plan.planner}
        self.ledger.append("asked", body | {"calls": [call.name for call in plan.calls]})
        return pending

    def void(self, why: str, scope: Scope = EVERYTHING) -> int:
        """Void requests, approvals and plans in a scope; returns how many.

        Calls that still saw the latch open are in flight once this returns.
        """
        with self._door:
            pass
        if scope == EVERYTHING:
            return self.approvals.void(why) + self.plans.void(why)

        def covered(call: Call) -> bool:
            return scope.covers(
                server=call.server,
                tool=call.tool,
                call_id="",
                caller=call.caller,
                lineage=call.lineage,
            )

        plans = self.plans.void(why, lambda p: any(covered(call) for call in p.plan.calls))
        return plans + self.approvals.void(why, lambda p: covered(p.call))

    def forget(self, caller: str) -> int:
        """Void what waits or is approved for a caller that has gone; returns how much."""
        return self.approvals.forget(caller) + self.plans.forget(caller)

    def used(self) -> Mapping[str, float]:
        """Return what this run has used of each budget."""
        return self._past.budgets.used()

    def _write(self, kind: str, body: Mapping[str, Any]) -> None:
        """Write what must be kept before it holds; a wait that is too long fails."""
        try:
            self.ledger.append(kind, body, durable=True).result(WRITE_TIMEOUT_S)
        except TimeoutError:
            raise GuardError(f"the ledger took more than {WRITE_TIMEOUT_S:g} s") from None


UNTOLD: frozenset[Ending] = frozenset({"unknown", "withheld"})
"""Endings of a call that may have had its effect without its caller knowing."""

_RETRY = "unknown.retry"
_NOTHING = Decision("deny", "default", "nothing was decided")
_UNKNOWN = "an equal call may have had its effect, and its caller was not told how it ended"
_NO_JSON = "(arguments that are no JSON)"


def _plain_ending(state: Ending) -> Any:
    """Return the ending as calls in flight know it."""
    return {"withheld": "completed", "not dispatched": "cancelled"}.get(state, state)
