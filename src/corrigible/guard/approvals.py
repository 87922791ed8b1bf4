"""Approvals: what waits for an operator, what they answered, and the single use of each yes.

An approval binds to one caller, the exact call (its canonical arguments, digested anew each
time), the manifest's digest and an expiry.  Everything lives in memory: a restart voids all.
No answer is a no.  Who may answer is the operator's socket's to check (see `operator.py`).
"""

import secrets
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from corrigible.deployment.listing import plain
from corrigible.errors import DeniedError, GuardError, OperatorError
from corrigible.evidence import Estimate, share_estimate
from corrigible.guard.call import Call, Decision

State = Literal["waiting", "approved", "rejected", "expired", "void", "used"]
"""`approved`: some use of it is left.  All after it are final, and none of them lets a call go."""

_LETTERS = "abcdefghjkmnpqrstvwxyz23456789"  # none that is read as another
_ID_LETTERS = 8  # 39 bits: nobody guesses one, anybody types one
_REMEMBERED = 1000  # ended requests that can still be asked about, and answers in the figures
_LONGEST_WORDS = 2000  # of an operator's name and reason


def steady_seconds() -> float:
    """Return seconds that no clock's setting moves; they run on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class NotAskedError(DeniedError):
    """A call was denied without asking a person; `rule` names the limit that denied it."""

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(message)
        self.rule = rule


class Shown(Protocol):
    """What an operator sees of a request; `call` is the digest of the call that it shows."""

    @property
    def call(self) -> str:
        """The digest of the call."""

    def text(self) -> str:
        """Return it as lines for a terminal."""

    def as_json(self) -> Mapping[str, Any]:
        """Return it as plain JSON values."""


@dataclass(frozen=True)
class ApprovalLimits:
    """How long requests and approvals live, and how much is asked of one person.

    A caller counts together with its sub-agents: making more of them gains nothing.

    Args:
        ask_s: a request without an answer is a no after this.
        use_s: an approval is void this long after it was given.
        again_after_s: what was rejected is denied, not asked again, for this long.
        pending_per_caller: requests that may wait for one caller and its sub-agents.
        pending_in_all: requests that may wait in all.
        window_s, answers_per_window: with more answers than that in that time, the operator has
            had enough: whatever would be asked next is denied until they say otherwise.  A batch
            counts as the calls that it approves.
        quick_s: an answer within this many seconds was hardly read.
        quick_in_a_row: so many quick approvals, one after the other, count as enough too.
    """

    ask_s: float = 900.0
    use_s: float = 300.0
    again_after_s: float = 600.0
    pending_per_caller: int = 8
    pending_in_all: int = 32
    window_s: float = 3600.0
    answers_per_window: int = 60
    quick_s: float = 2.0
    quick_in_a_row: int = 5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise GuardError(f"the limit {name} must be above 0 and finite, got {value!r}")


@dataclass(frozen=True)
class Pending:
    """One request as it stands now: a snapshot, that no later answer changes.

    `count`: how often the equal call was asked for by the same caller while this waited.
    `asked` and `expires` are on the approvals' own clock; once approved, `expires` is when the
    approval ends and `uses` says how many calls it still lets through.
    """

    id: str
    call: Call
    digest: str
    policy: str
    preview: Shown
    asked: float
    expires: float
    state: State = "waiting"
    count: int = 1
    uses: int = 0
    why: str = ""  # the operator's words, or why it is void
    by: str = ""

    @property
    def first(self) -> bool:
        """Whether this is the request's first asking: later ones join it."""
        return self.count == 1


@dataclass(frozen=True)
class Answered:
    """An operator's answer.  `waited_s`: since the asking; `quick`: hardly read (see limits)."""

    id: str
    approved: bool
    by: str
    why: str
    count: int
    waited_s: float
    quick: bool


@dataclass(frozen=True)
class Fatigue:
    """How much was asked of the operators, and how they bear it.

    `expired`: requests that nobody answered.  `rate`: the share approved of those answered.
    `median_s`: seconds taken for an answer, over the last thousand: since the asking or the
    answer before, whichever was later.
    `resting`: why nothing is asked until an operator ends the rest, "" while things are asked.
    """

    approved: int
    rejected: int
    expired: int
    rate: Estimate
    median_s: float | None
    quick: int
    quick_in_a_row: int
    resting: str


_Key = tuple[str, tuple[str, ...], str, str]


def fresh_digest(call: Call) -> str:
    """Return a call's digest as its arguments are now: `Call.digest` remembers an earlier one."""
    return Call(call.server, call.tool, call.arguments).digest


def _key(call: Call, policy: str) -> _Key:
    return call.caller, call.lineage, fresh_digest(call), policy


def eldest(call: Call) -> str:
    """Return who is asked for a call in the end: the caller's first ancestor, or itself."""
    return call.lineage[0] if call.lineage else call.caller


class Approvals:
    """Requests and approvals of one guard; every method may be called from any thread.

    Args:
        clock: seconds that only rise.
        limits: see `ApprovalLimits`.
    """

    def __init__(
        self,
        clock: Callable[[], float] = steady_seconds,
        limits: ApprovalLimits | None = None,
    ) -> None:
        self.limits = limits or ApprovalLimits()
        self.clock = clock
        self._changed = threading.Condition(threading.RLock())
        self._open: dict[str, Pending] = {}  # waiting or approved, the oldest first
        self._by_key: dict[_Key, str] = {}
        self._ended: dict[str, Pending] = {}
        self._lapsed: deque[Pending] = deque(maxlen=_REMEMBERED)
        self._ids: set[str] = set()
        self._rejected: dict[tuple[str, str, str], tuple[float, Pending]] = {}
        self._counts: Counter[State] = Counter()
        self._taken_s: deque[float] = deque(maxlen=_REMEMBERED)
        self._window: deque[tuple[float, int]] = deque()
        self._quick = self._quick_row = 0
        self._last_answer = float("-inf")
        self._resting = ""

    # -- the agent's side --------------------------------------------------------------------

    def ask(self, call: Call, decision: Decision, policy: str, preview: Shown) -> Pending:
        """Put a call up for an answer; an equal one of the same caller joins what is there.

        What is there may be an approval with a use left: then nothing new is asked.

        Args:
            call: what is asked for.
            decision: what was decided on it; it must be `approve`.
            policy: the digest of the manifest that it was decided under.
            preview: what the operator sees; it must be of this very call.

        Raises:
            NotAskedError: too much waits already (`approvals.flood`), it was just rejected
                (`approvals.rejected`), or the operator rests (`approvals.fatigue`).
            GuardError: the preview shows another call, or the decision does not ask for approval.
        """
        if decision.verdict != "approve":
            raise GuardError(f"only what needs approval is asked, got {decision.verdict!r}")
        with self._changed:
            now = self._swept()
            key = _key(call, policy)
            if preview.call != key[2]:
                raise GuardError(
                    f"the preview must show the call {key[2]}, got {preview.call}; "
                    "its arguments were changed since: ask again"
                )
            known = self._by_key.get(key)
            if known is not None:
                return self._joined(self._open[known])
            self._check_limits(call, key, now)
            pending = Pending(
                self._new_id(), call, key[2], policy, preview, now, now + self.limits.ask_s
            )
            self._open[pending.id] = pending
            self._by_key[key] = pending.id
            return pending

    def _joined(self, pending: Pending) -> Pending:
        if pending.state == "waiting":
            pending = replace(pending, count=pending.count + 1)
            self._open[pending.id] = pending
        return pending

    def _check_limits(self, call: Call, key: _Key, now: float) -> None:
        until, before = self._rejected.get((eldest(call), *key[2:]), (now, None))
        if before is not None:
            raise NotAskedError(
                f"an operator rejected this call ({before.id}"
                f"{', ' + plain(before.why) if before.why else ''}); "
                f"it is denied unasked for {until - now:.0f} s more",
                rule="approvals.rejected",
            )
        if self._resting:
            raise NotAskedError(
                f"nothing is asked while the operator rests: {self._resting}; "
                "an operator ends it with `rest`",
                rule="approvals.fatigue",
            )
        waiting = [p for p in self._open.values() if p.state == "waiting"]
        own = sum(eldest(p.call) == eldest(call) for p in waiting)
        limits = self.limits
        for whose, count, most in (
            ("of this caller and its sub-agents", own, limits.pending_per_caller),
            ("in all", len(waiting), limits.pending_in_all),
        ):
            if count >= most:
                raise NotAskedError(
                    f"{most} requests {whose} may wait for an operator, and {count} do; "
                    "wait for answers before asking for more",
                    rule="approvals.flood",
                )

    def take(self, call: Call, policy: str) -> str | None:
        """Use an approval up, and return its id; None where there is none for this very call.

        None too if it expired, was used, is another caller's, or was given under another
        manifest.  Of two threads that take the last use, one gets it.
        """
        with self._changed:
            self._swept()
            id_ = self._by_key.get(_key(call, policy))
            pending = None if id_ is None else self._open[id_]
            if pending is None or pending.state != "approved":
                return None
            left = replace(pending, uses=pending.uses - 1)
            self._open[pending.id] = left
            if left.uses == 0:
                self._end(left, "used")
            return pending.id

    def forget(self, caller: str) -> int:
        """Void all that waits or is approved for a caller that has gone, and for its sub-agents."""
        return self.void(
            "its caller has gone", lambda p: caller in {p.call.caller, *p.call.lineage}
        )

    # -- the operator's side -----------------------------------------------------------------

    def answer(
        self,
        id: str,  # noqa: A002  (an operator's word)
        approve: bool,
        by: str,
        *,
        why: str = "",
        count: int = 1,
        keep: Callable[[Answered], object] | None = None,
    ) -> Answered:
        """Answer a request, once.

        Args:
            id: the request's.
            approve: yes or no.
            by: who answers.
            why: their words.
            count: how many of its equal calls a yes is for, one unless said.
            keep: writes the answer down before it counts for anything: if it raises, nothing was
                answered.  Nothing else is asked, answered or taken meanwhile.

        Raises:
            OperatorError: no such request waits (any more), or more are approved than asked for.
        """
        by, why = by[:_LONGEST_WORDS], why[:_LONGEST_WORDS]
        with self._changed:
            now = self._swept()
            pending = self._open.get(id)
            if pending is None or pending.state != "waiting":
                raise OperatorError(self._why_not(id))
            if approve and not 1 <= count <= pending.count:
                raise OperatorError(
                    f"{id} was asked for {pending.count} times, so 1 to {pending.count} can be "
                    f"approved, got {count}"
                )
            taken_s = now - max(pending.asked, self._last_answer)
            quick = approve and taken_s < self.limits.quick_s
            uses = count if approve else 0
            answered = Answered(id, approve, by, why, uses, now - pending.asked, quick)
            if keep is not None:
                keep(answered)
            self._count(answered, now, taken_s)
            self._settle(replace(pending, by=by, why=why), uses, now)
            return answered

    def _settle(self, pending: Pending, uses: int, now: float) -> None:
        if uses:
            until = now + self.limits.use_s
            self._open[pending.id] = replace(pending, state="approved", uses=uses, expires=until)
            self._counts["approved"] += 1
            self._changed.notify_all()
        else:
            self._end(pending, "rejected")
            who = (eldest(pending.call), pending.digest, pending.policy)
            self._rejected[who] = (now + self.limits.again_after_s, pending)

    def _why_not(self, id_: str) -> str:
        now = self.request(id_)
        if now is None:
            return f"no request '{plain(id_, 40)}' waits; `corrigible pending` lists what does"
        return f"{id_} waits for no answer: it is {now.state}{', ' + now.why if now.why else ''}"

    def _count(self, answered: Answered, now: float, taken_s: float) -> None:
        limits = self.limits
        self._last_answer = now
        self._taken_s.append(taken_s)
        self._quick += answered.quick
        self._quick_row = self._quick_row + 1 if answered.quick else 0
        self._window.append((now, max(answered.count, 1)))
        answers = sum(n for _, n in self._window)
        if self._quick_row >= limits.quick_in_a_row:
            self._resting = (
                f"{self._quick_row} approvals in a row took less than {limits.quick_s:g} s each"
            )
        elif answers > limits.answers_per_window:
            self._resting = f"{answers} answers within {limits.window_s:g} s"

    def rest(self) -> str:
        """End the operator's rest: things are asked again.  Returns why it was, "" if it was not.

        Answers given before count towards no later rest.
        """
        with self._changed:
            was, self._resting = self._resting, ""
            self._quick_row = 0
            self._window.clear()
            return was

    def void(self, why: str, which: Callable[[Pending], bool] | None = None) -> int:
        """Void what waits and what is approved and unused, all of it or `which`; returns how many.

        What was rejected stays so.
        """
        with self._changed:
            self._swept()
            gone = [p for p in self._open.values() if which is None or which(p)]
            for pending in gone:
                self._end(replace(pending, why=why), "void")
            return len(gone)

    # -- looking -----------------------------------------------------------------------------

    def pending(self) -> tuple[Pending, ...]:
        """Return what waits for an answer, the oldest first."""
        with self._changed:
            self._swept()
            return tuple(p for p in self._open.values() if p.state == "waiting")

    def request(self, id: str) -> Pending | None:  # noqa: A002  (an operator's word)
        """Return a request as it stands, ended ones too (the last thousand); None: unknown."""
        with self._changed:
            self._swept()
            return self._open.get(id) or self._ended.get(id)

    def wait(self, id: str, timeout_s: float) -> Pending | None:  # noqa: A002
        """Block until a request no longer waits, or for `timeout_s`; return it as it stands then.

        It may still wait then: that is no answer, and no answer is a no.
        """
        until = time.monotonic() + timeout_s
        with self._changed:
            while True:
                found = self.request(id)
                left = until - time.monotonic()
                if found is None or found.state != "waiting" or left <= 0:
                    return found
                # Nobody notifies of an expiry: wake up for it.
                self._changed.wait(max(0.001, min(left, found.expires - self.clock())))

    def lapsed(self) -> tuple[Pending, ...]:
        """Return what expired since this was last asked: each of them was a no, once."""
        with self._changed:
            self._swept()
            found = tuple(self._lapsed)
            self._lapsed.clear()
            return found

    def stats(self) -> Fatigue:
        """Return how much was asked of the operators since the guard started."""
        with self._changed:
            self._swept()
            yes, no = self._counts["approved"], self._counts["rejected"]
            return Fatigue(
                approved=yes,
                rejected=no,
                expired=self._counts["expired"],
                rate=share_estimate(yes, yes + no),
                median_s=statistics.median(self._taken_s) if self._taken_s else None,
                quick=self._quick,
                quick_in_a_row=self._quick_row,
                resting=self._resting,
            )

    # -- under the lock ----------------------------------------------------------------------

    def _swept(self) -> float:
        """End what expired, and return the time: an expiry is over at its very moment."""
        now = self.clock()
        for pending in [p for p in self._open.values() if p.expires <= now]:
            late = "nobody answered" if pending.state == "waiting" else "it was not used in time"
            self._end(replace(pending, why=late), "expired")
            self._lapsed.append(self._ended[pending.id])
        self._rejected = {k: v for k, v in self._rejected.items() if v[0] > now}
        while self._window and self._window[0][0] <= now - self.limits.window_s:
            self._window.popleft()
        return now

    def _end(self, pending: Pending, state: State) -> None:
        ended = replace(pending, state=state, uses=0)
        del self._open[pending.id]
        del self._by_key[pending.call.caller, pending.call.lineage, pending.digest, pending.policy]
        if state == "rejected" or (state == "expired" and pending.state == "waiting"):
            self._counts[state] += 1
        self._ended[pending.id] = ended
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]
        self._changed.notify_all()

    def _new_id(self) -> str:
        while True:
            id_ = "".join(secrets.choice(_LETTERS) for _ in range(_ID_LETTERS))
            if id_ not in self._ids:  # never twice, so that no late answer meets another request
                self._ids.add(id_)
                return id_
