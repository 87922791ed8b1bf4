"""Stopping: admission closed, approvals void, calls cancelled, trees killed and proven empty.

The order is that of what may still do harm: nothing new is let in before anything else is done,
nothing is undone, and what cannot be stopped from here is named.
"""

import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from corrigible.errors import GuardError
from corrigible.guard.inflight import Flight, Followed, InFlight
from corrigible.guard.latch import EVERYTHING, Latch, Scope, ScopeState
from corrigible.guard.trees import TreeProof, Trees, marked_by

GUARD_TREE = "guard"
AGENT_TREE = "agent:"
"""A tree named `agent:NAME` is that of an agent, and ends where the agent is stopped."""

_WORKERS = 16
_CANCEL_S = 1.0
_VOID_S = 1.0


@dataclass(frozen=True)
class FlightEnd:
    """How a call that was in flight stands after a stop; `name` is `server.tool`."""

    id: str
    server: str
    name: str
    state: str


@dataclass(frozen=True)
class Beyond:
    """What the guard works with and cannot end by a kill; a stop names what of it is concerned.

    `remote`: servers that run elsewhere.  `local`: servers whose tools are functions that run in
    threads of this process.  `contained`: whether the agent is.
    """

    remote: frozenset[str] = frozenset()
    local: frozenset[str] = frozenset()
    contained: bool = False


@dataclass(frozen=True)
class StopReport:
    """What a stop did, and what lies beyond it.

    `closed_s`: how long until the latch was on disk, from when on no guard admits a call in the
    scope, also after a restart.  `unwritten`: why it could not be written; it then holds for the
    guard that runs, and for no later one.
    """

    scope: Scope
    epoch: int
    closed_s: float
    flights: tuple[FlightEnd, ...] = ()
    trees: tuple[TreeProof, ...] = ()
    voided: int = 0
    outside: tuple[str, ...] = ()
    took_s: float = 0.0
    unwritten: str = ""

    @property
    def proven(self) -> bool:
        """Whether nothing new is admitted and nothing that was killed runs any more.

        What `outside` names is not part of this, nor what a call did before.
        """
        return not self.unwritten and all(tree.proven for tree in self.trees)

    def text(self) -> str:
        """Return the report as lines for an operator."""
        how = "proven" if self.proven else "NOT proven"
        lines = [
            f"stopped: {self.scope} (epoch {self.epoch}), {how}, in {self.took_s:.2f} s",
            f"  admission closed in {1000 * self.closed_s:.1f} ms; {self.voided} approvals void",
        ]
        if self.unwritten:
            lines.append(f"  NOT on disk, so gone when this guard ends: {self.unwritten}")
        lines += [f"  call {one.id} {one.name}: {one.state}" for one in self.flights]
        lines += [f"  processes of {tree.name}: {_told(tree)}" for tree in self.trees]
        lines += [f"  beyond this stop: {one}" for one in self.outside]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "scope": {"kind": self.scope.kind, "name": self.scope.name},
            "epoch": self.epoch,
            "closed_s": self.closed_s,
            "proven": self.proven,
            "unwritten": self.unwritten,
            "flights": [vars(one) | {} for one in self.flights],
            "trees": [
                vars(one) | {"pids": list(one.pids), "left": list(one.left), "proven": one.proven}
                for one in self.trees
            ],
            "voided": self.voided,
            "outside": list(self.outside),
            "took_s": self.took_s,
        }


@dataclass
class _Closing:
    epoch: int
    closed_s: float
    unwritten: str = ""
    troubles: list[str] = field(default_factory=list)


def stop(
    latch: Latch,
    inflight: InFlight,
    trees: Trees,
    *,
    scope: Scope = EVERYTHING,
    why: str,
    by: str,
    void: Callable[[], int] = lambda: 0,
    beyond: Beyond = Beyond(),
    grace_s: float = 2.0,
) -> StopReport:
    """Stop what is in a scope, and report what came of it.

    The latch closes first.  Then approvals are void (`void` returns how many), calls in the scope
    are cancelled side by side, and after `grace_s` at most the trees in scope are killed and
    proven empty; a tree outside the scope is killed too where a call of the scope still runs in
    it.  Calls that have not ended by then are `unknown`.  What fails on the way is reported and
    keeps nothing else from being done.

    `void` is called right after the latch has closed.  If it takes the lock under which calls
    look at the latch and then take off, a call that still saw the latch open is in flight once
    it returns, and so is cancelled.

    Raises:
        GuardError: `by` names nobody; nothing was done.
    """
    if not by.strip():
        raise GuardError(f"a stop must say who asks for it; `by` was {by!r}")
    began = time.monotonic()
    closing = _close(latch, ScopeState(scope, "stopped", why, by, ""))
    voided = _voided(void, closing)
    with inflight.following(scope) as followed:
        if followed.flights:
            _cancel(followed.flights, closing)
        running = followed.settle(max(0.0, began + grace_s - time.monotonic()))
        named = _trees_in(scope, trees.names())
        doomed = named | {one.call.server for one in running if one.call.server in trees.names()}
        spare = max(0.0, began + grace_s - time.monotonic())
        proofs = trees.kill(doomed, spare)
        # A server's end is seen by whoever waits for its answer; they may say how it ended.
        for flight in followed.settle(0.05):
            inflight.done(flight.id, "unknown")
        ends = _ends(followed)
    return StopReport(
        scope=scope,
        epoch=closing.epoch,
        closed_s=closing.closed_s,
        flights=ends,
        trees=proofs,
        voided=voided,
        outside=(*closing.troubles, *_outside(scope, ends, beyond, doomed - named)),
        took_s=time.monotonic() - began,
        unwritten=closing.unwritten,
    )


def stop_hung_guard(
    latch: Latch, *, pid: int, started: int, marker: str, why: str, by: str
) -> StopReport:
    """Stop all where the guard does not answer: the operator's own process does it.

    The latch is written first; then the guard and all that it started, or that bears its marker,
    is stopped and killed, and proven gone; then the latch is looked at once more, since a guard
    that hung in the middle of a change may have finished it.  `pid`, `started` and `marker` are
    what the guard left in `guard.pid`; a process that only has its number by now is left alone.

    Raises:
        GuardError: `by` names nobody, or this is no Linux, where only a kill by hand is left.
    """
    if not by.strip():
        raise GuardError(f"a stop must say who asks for it; `by` was {by!r}")
    began = time.monotonic()
    closing = _close(latch, ScopeState(EVERYTHING, "stopped", why, by, ""))
    if sys.platform != "linux":
        raise GuardError(f"the latch is closed; end the guard itself with `kill -9 {pid}`")
    proofs = marked_by(marker, GUARD_TREE, pid, started).kill(None, 0.0)
    again = latch.state().find(EVERYTHING)
    if closing.unwritten or again is None or again.mode != "stopped":
        closing = _close(latch, ScopeState(EVERYTHING, "stopped", why, by, ""))
    return StopReport(
        scope=EVERYTHING,
        epoch=closing.epoch,
        closed_s=closing.closed_s,
        trees=proofs,
        outside=(
            "calls that were in flight: the ledger holds their intents, and no outcome",
            "servers that run elsewhere, and an agent that is not contained",
        ),
        took_s=time.monotonic() - began,
        unwritten=closing.unwritten,
    )


def _close(latch: Latch, wanted: ScopeState) -> _Closing:
    """Close admission; a latch that cannot be written still closes it for this guard."""
    began = time.monotonic()
    try:
        epoch, unwritten = latch.stop(wanted.scope, wanted.why, wanted.by).epoch, ""
    except GuardError as error:
        epoch, unwritten = latch.state().epoch, str(error)
    return _Closing(epoch, time.monotonic() - began, unwritten)


def _voided(void: Callable[[], int], closing: _Closing) -> int:
    """Return how many approvals were made void; what hangs or fails there holds nothing up."""
    counts: list[int] = []

    def work() -> None:
        try:
            counts.append(void())
        except Exception as error:  # noqa: BLE001  (a stop goes on, whatever fails on the way)
            closing.troubles.append(f"approvals could not be voided: {error!r}")

    worker = threading.Thread(target=work, name="corrigible-void", daemon=True)
    worker.start()
    worker.join(_VOID_S)
    if worker.is_alive():
        closing.troubles.append(f"voiding approvals took more than {_VOID_S:g} s")
    return sum(counts)


def _cancel(flights: Sequence[Flight], closing: _Closing) -> None:
    """Cancel calls side by side, in threads that nobody waits for longer than a second."""
    waiting: queue.SimpleQueue[Flight] = queue.SimpleQueue()
    for flight in flights:
        waiting.put(flight)
    failed: queue.SimpleQueue[str] = queue.SimpleQueue()

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                flight = waiting.get_nowait()
                try:
                    flight.cancel()
                except Exception as error:  # noqa: BLE001  (the next call must be cancelled too)
                    failed.put(f"call {flight.id} could not be cancelled: {error}")

    workers = [
        threading.Thread(target=work, name="corrigible-cancel", daemon=True)
        for _ in range(min(_WORKERS, len(flights)))
    ]
    for worker in workers:
        worker.start()
    deadline = time.monotonic() + _CANCEL_S
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
    while not failed.empty():
        closing.troubles.append(failed.get())
    if any(worker.is_alive() for worker in workers):
        closing.troubles.append(f"some cancels did not return within {_CANCEL_S:g} s")


def _trees_in(scope: Scope, names: Sequence[str]) -> set[str]:
    """Return the trees that a scope names: for a tool or a call, none as such."""
    if scope.kind == "all":
        return set(names)
    wanted = {"server": scope.name, "agent": f"{AGENT_TREE}{scope.name}"}.get(scope.kind)
    return {name for name in names if name == wanted}


def _ends(followed: Followed) -> tuple[FlightEnd, ...]:
    states = followed.states()
    return tuple(
        FlightEnd(one.id, one.call.server, one.call.name, states[one.id])
        for one in followed.flights
    )


def _outside(
    scope: Scope, ends: Sequence[FlightEnd], beyond: Beyond, beside: set[str]
) -> tuple[str, ...]:
    """Name what a stop cannot reach, as far as the scope has to do with it."""
    lines = [
        f"{name} was killed for a call in scope; other calls of it failed"
        for name in sorted(beside)
    ]
    servers = {one.server for one in ends}
    lines += [
        f"{name} runs elsewhere: it gets no more calls, and may go on by itself"
        for name in sorted(beyond.remote)
        if _concerns(scope, name, servers)
    ]
    unknown = [one for one in ends if one.state == "unknown"]
    threads = Counter(one.server for one in unknown if one.server in beyond.local)
    lines += [
        f"{name} has {count} in threads of this process, which run to their end"
        for name, count in sorted(threads.items())
    ]
    sent = sum(one.state in {"completed", "failed"} for one in ends)
    if sent or unknown:
        lines.append(
            f"effects already sent: calls that ended by themselves: {sent}, unknown: {len(unknown)}"
        )
    if scope.kind in {"all", "agent"} and not beyond.contained:
        lines.append("the agent is not contained: what it does beside its tools goes on")
    return tuple(lines)


def _concerns(scope: Scope, server: str, servers: set[str]) -> bool:
    if scope.kind == "server":
        return scope.name == server
    if scope.kind == "tool":
        return scope.name.startswith(f"{server}.")
    return scope.kind == "all" or server in servers


def _told(tree: TreeProof) -> str:
    if not tree.empty:
        return f"{len(tree.left)} LEFT ({', '.join(map(str, tree.left))}) of {len(tree.pids)}"
    found = f"none left of {len(tree.pids)} ({tree.how}, {tree.took_s:.2f} s)"
    return f"{found}; NOT proven: {tree.unproven}" if tree.unproven else found
