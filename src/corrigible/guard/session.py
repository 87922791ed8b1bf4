"""A guard at work: its state directory, ledger, latch, processes and the operator's door.

Everything that runs behind a guard (the proxy, the SDK, a contained agent) opens one session.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corrigible.deployment.listing import Listing
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.deployment.lock import Lock, load_lock, lock_path
from corrigible.errors import CorrigibleError, OperatorError, StaleTableError
from corrigible.guard.agent_door import AgentDoor
from corrigible.guard.approvals import ApprovalLimits
from corrigible.guard.call import canonical_json
from corrigible.guard.gate import Gate
from corrigible.guard.latch import EVERYTHING, Latch, Scope
from corrigible.guard.ledger import Ledger
from corrigible.guard.operator import Intrusion, OperatorServer
from corrigible.guard.plans import parse_plan
from corrigible.guard.policy import Policy
from corrigible.guard.redact import Redactor
from corrigible.guard.restoring import begin_run, past_of
from corrigible.guard.signing import ledger_salt
from corrigible.guard.state import StateDirectory, create_token, hold_guard
from corrigible.guard.stopping import Beyond, StopReport, stop
from corrigible.guard.trees import Trees
from corrigible.guard.weights import WeightTable, load_table, table_path


def policy_of(loaded: Loaded, *, listings: Sequence[Listing] = (), live: bool = True) -> Policy:
    """Return the policy of a manifest, with the table and the lock that lie beside it.

    Args:
        loaded: the manifest.
        listings: the servers' tools as they are now.
        live: whether its tools are those of servers; for plain functions there is no lock, and
            nothing is held back.

    Raises:
        ManifestError: the lock cannot be read.
        StaleTableError: the table of weights is of another manifest.
        GuardError: the table cannot be read.
    """
    manifest = Path(loaded.file)
    lock: Lock | None = None
    if live:
        lock = load_lock(lock_path(manifest)) if lock_path(manifest).exists() else Lock()
    table: WeightTable | None = None
    if table_path(manifest).exists():
        table = load_table(table_path(manifest), loaded.digest)
    return Policy.of(loaded.deployment, loaded.digest, table=table, listings=listings, lock=lock)


def secrets_of(loaded: Loaded, environ: Mapping[str, str]) -> frozenset[str]:
    """Return the values of all that the manifest refers to: they never reach the ledger."""
    names = set[str]()
    for server in loaded.deployment.servers.values():
        references = [*server.env.values(), *server.headers.values()]
        references += [] if server.auth is None else [server.auth]
        names |= {reference.env for reference in references}
    return frozenset(environ[name] for name in names if environ.get(name))


@dataclass(eq=False)
class Session:
    """An open guard; made by `open_session`."""

    loaded: Loaded
    state: StateDirectory
    gate: Gate
    trees: Trees
    live: bool
    beyond: Beyond = field(default_factory=Beyond)
    on_stop: Callable[[], None] = lambda: None  # closes what else an agent reaches, at once

    def stop(
        self, scope: Scope = EVERYTHING, *, why: str, by: str, grace_s: float = 2.0
    ) -> StopReport:
        """Stop a scope, prove it, and write it down; never asks anybody.

        Raises:
            GuardError: `by` names nobody.
        """
        gate = self.gate
        if scope.kind in {"all", "agent"}:
            self.on_stop()
        report = stop(
            gate.latch, gate.inflight, self.trees, scope=scope, why=why, by=by,
            void=lambda: gate.void(f"stopped: {why}", scope), beyond=self.beyond, grace_s=grace_s,
        )  # fmt: skip
        gate.lost(flight.id for flight in report.flights if flight.state == "unknown")
        body = {"mode": "stopped", "by": by, "why": why, **report.as_json()}
        gate.ledger.append("latch", body, durable=True)  # a stop waits for nothing
        return report

    def answer(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one request of an operator, as `operator.REQUESTS` has them.

        Raises:
            CorrigibleError: it is refused; the operator gets the message.
        """
        do = request["do"]
        by = str(request.get("by") or f"uid {request['peer']['uid']}")
        why = str(request.get("why") or "")
        if do in {"approve", "reject"}:
            answered = self.gate.answer(
                request["id"], approve=do == "approve", by=by, why=why,
                count=request.get("count", 1),
            )  # fmt: skip
            return {"id": answered.id, "approved": answered.approved, "count": answered.count}
        if do == "stop":
            grace = float(request.get("grace_s", 2.0))
            report = self.stop(_scope(request), why=why, by=by, grace_s=grace)
            return {"report": report.as_json(), "text": report.text()}
        if do in {"pause", "resume"}:
            return self._held(do, _scope(request), why, by)
        if do == "correct":
            return self._corrected(Path(request["manifest"]), why, by)
        if do == "put up":
            plan = parse_plan(canonical_json(request["plan"]), planner=by)
            pending = self.gate.put_up(plan)
            return {"id": pending.id, "preview": pending.preview.text()}
        return self._told(do, request)

    def _told(self, do: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        approvals = self.gate.approvals
        if do == "rest":
            return {"ended": approvals.rest()}
        if do == "show":
            found = approvals.request(request["id"])
            if found is None:
                raise OperatorError(f"no request {request['id']!r} is known")
            return {"id": found.id, "state": found.state, "preview": found.preview.text()}
        waiting = [
            {
                "id": one.id, "tool": one.call.name, "caller": one.call.caller,
                "count": one.count, "waits_s": round(approvals.clock() - one.asked, 1),
                "expires_s": round(one.expires - approvals.clock(), 1),
                "preview": one.preview.text(),
            }
            for one in approvals.pending()
        ]  # fmt: skip
        if do == "pending":
            return {"pending": waiting}
        return {"pending": len(waiting), **self.status()}

    def status(self) -> dict[str, Any]:
        """Return how the guard stands, as plain JSON values."""
        latch, fatigue = self.gate.latch.state(), self.gate.approvals.stats()
        return {
            "deployment": self.loaded.deployment.name,
            "manifest": self.loaded.digest,
            "contained": self.beyond.contained,
            "latch": {
                "epoch": latch.epoch,
                "readable": latch.readable,
                "held": [
                    {"scope": str(one.scope), "mode": one.mode, "why": one.why, "by": one.by}
                    for one in latch.held
                ],
            },
            "in_flight": [f"{one.id} {one.call.name}" for one in self.gate.inflight.snapshot()],
            "used": dict(self.gate.used()),
            "approvals": {
                "approved": fatigue.approved,
                "rejected": fatigue.rejected,
                "expired": fatigue.expired,
                "rate": [fatigue.rate.value, fatigue.rate.low, fatigue.rate.high],
                "median_s": fatigue.median_s,
                "quick": fatigue.quick,
                "resting": fatigue.resting,
            },
        }

    def _held(self, do: str, scope: Scope, why: str, by: str) -> Mapping[str, Any]:
        latch = self.gate.latch
        state = latch.pause(scope, why, by) if do == "pause" else latch.resume(scope, by)
        body = {"mode": do + "d", "scope": str(scope), "why": why, "by": by, "epoch": state.epoch}
        self.gate.ledger.append("latch", body, durable=True)
        return {"epoch": state.epoch, "held": [str(one.scope) for one in state.held]}

    def _corrected(self, manifest: Path, why: str, by: str) -> Mapping[str, Any]:
        try:
            loaded = load_deployment(manifest)
            policy = policy_of(loaded, live=self.live)
        except StaleTableError:
            raise
        except (CorrigibleError, OSError) as error:
            raise OperatorError(f"nothing was corrected: {error}") from error
        if set(loaded.deployment.servers) != set(self.loaded.deployment.servers):
            raise OperatorError(
                "nothing was corrected: the servers are others; stop this guard and start a new one"
            )
        before = self.loaded.digest
        voided = self.gate.correct(policy, by=by, why=why)
        self.loaded = loaded
        return {"before": before, "after": loaded.digest, "voided": voided}

    def report(self, intrusion: Intrusion) -> None:
        """Write down a refused attempt to act as the operator."""
        body = {
            "operator refused": intrusion.why, "times": intrusion.times,
            "pid": intrusion.peer.pid, "uid": intrusion.peer.uid,
        }  # fmt: skip
        self.gate.ledger.append("note", body)


def _scope(request: Mapping[str, Any]) -> Scope:
    try:
        return Scope(request.get("kind") or "all", request.get("name") or "")
    except ValueError as error:
        raise OperatorError(str(error)) from None


@contextmanager
def open_session(
    loaded: Loaded,
    state: StateDirectory,
    *,
    live: bool = True,
    new_run: bool = False,
    beyond: Beyond | None = None,
    environ: Mapping[str, str] | None = None,
    agent_socket: Path | None = None,
    limits: ApprovalLimits | None = None,
) -> Iterator[Session]:
    """Open the one guard of a deployment, with the operator's door; on leaving all is ended.

    Args:
        loaded: the manifest.
        state: its state directory (`state.open_state`).
        live: whether its tools are those of servers (see `policy_of`).
        new_run: begin a new run; else budgets and levels go on from where the ledger left them.
        beyond: what a stop cannot reach.
        environ: where the manifest's references are looked up; the process's own by default.
        agent_socket: where the agent's other processes may ask (see `agent_door`), as the state
            directory's `agent_socket`; nowhere by default.
        limits: how long approvals live, and how much is asked of one person.

    Raises:
        GuardError: another guard runs, or a file of the directory cannot be trusted.
        ManifestError: the lock cannot be read.
    """
    policy = policy_of(loaded, live=live)
    with ExitStack() as stack:
        holder = stack.enter_context(hold_guard(state))
        token = create_token(state)
        latch = Latch.create(state.latch)
        ledger = stack.enter_context(Ledger.open(state.ledger, state.signing_key))
        known = secrets_of(loaded, os.environ if environ is None else environ)
        redactor = Redactor({*known, token}, ledger_salt(state.signing_key))
        if new_run:
            begin_run(ledger, by=f"uid {os.geteuid()}")
        past = past_of(ledger, loaded.deployment)
        gate = Gate(policy, past, ledger, latch, redact=redactor.redact, limits=limits)
        trees = Trees(holder.marker)
        stack.callback(trees.kill, None, 0.5)
        session = Session(loaded, state, gate, trees, live, beyond or Beyond())
        stack.enter_context(OperatorServer(session.answer, state, report=session.report))
        if agent_socket is not None:
            stack.enter_context(AgentDoor(gate, agent_socket))
        yield session
