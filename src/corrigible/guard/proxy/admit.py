"""What the proxy needs of a gate, and the life of one call through it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal, Protocol

import anyio
import anyio.lowlevel

from corrigible.deployment.listing import Listing
from corrigible.errors import DeniedError, WithheldError
from corrigible.guard.bodies import Ending
from corrigible.guard.call import Call, Decision


class AdmissionLike(Protocol):
    """What became of a call at the door: see `guard.bodies.Admission`."""

    @property
    def id(self) -> str:
        """Its id in the ledger."""

    @property
    def call(self) -> Call:
        """What was asked for."""

    @property
    def decision(self) -> Decision:
        """What was decided."""

    @property
    def state(self) -> Literal["go", "denied", "pending"]:
        """What becomes of it."""

    @property
    def pending(self) -> str:
        """What an operator answers, or nothing."""

    @property
    def message(self) -> str:
        """What the agent is told."""


class GateLike(Protocol):
    """The gate as the proxy uses it; `guard.gate.Gate` is one.  Nothing but `admit` waits."""

    async def admit_async(self, call: Call) -> Any:
        """Decide on a call; where it may go, its intent is kept.  Never raises for a denial."""

    def dispatch(self, admission: Any, cancel: Callable[[], None]) -> None:
        """Let an admitted call out; raises `DeniedError` where it may not leave any more."""

    def release(self, admission: Any, state: Ending, result: Any) -> None:
        """Write how a call ended; raises `WithheldError` where its result must be kept back."""

    def listed(self, listing: Listing) -> None:
        """Take a server's tools as they are now."""

    def shows(self, server: str, tool: str) -> bool:
        """Say whether a list shows the tool."""

    @property
    def latch(self) -> Any:
        """The stop latch: `latch.state().on(server, tool, call_id, caller, lineage)`."""


class RefusedError(Exception):
    """A call that the agent does not get through, and what it is told.

    `state`: denied, pending, stopped, withheld, failed or unknown.
    """

    def __init__(self, state: str, message: str, **told: Any) -> None:
        super().__init__(message)
        self.state = state
        self.told = {"state": state, **{key: held for key, held in told.items() if held}}


class BackError(Exception):
    """A server did not do what it was asked; `state` says what is known of the call's effect.

    `not dispatched`: nothing left.  `failed`: the server said so.  `unknown`: no answer came,
    or none that the protocol allows.
    """

    def __init__(self, state: Literal["not dispatched", "failed", "unknown"], text: str) -> None:
        super().__init__(text)
        self.state = state


class Flight:
    """One call on its way: admitted, let out, ended, each once."""

    def __init__(self, gate: GateLike, admission: AdmissionLike) -> None:
        self.gate, self.admission = gate, admission
        self.scope = anyio.CancelScope()
        self.stopped = False
        self.parked = False  # out, and waiting for the client's answer to a server's question
        self.ended = False

    def out(self) -> None:
        """Let the call out; from here on a stop cancels its scope, from whatever thread.

        Raises:
            RefusedError: it may not leave any more.
        """
        loop = asyncio.get_running_loop()

        def stop() -> None:
            with suppress(RuntimeError):  # the loop has ended: so has the call
                loop.call_soon_threadsafe(self._stop)

        try:
            self.gate.dispatch(self.admission, stop)
        except DeniedError as error:
            self.ended = True  # the gate has written that it was not dispatched
            raise RefusedError("stopped", str(error)) from None

    async def run(self, work: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Do the work of a call that is out, and write how it ended where `work` has not.

        Raises:
            RefusedError: it failed, or was stopped.
        """
        done: dict[str, Any] | None = None
        try:
            with self.scope:
                done = await work()
        except BackError as error:
            self.lost(error.state, str(error))
            told = "failed" if error.state == "not dispatched" else error.state
            raise RefusedError(told, str(error)) from None
        except RefusedError as error:
            self.lost("failed", str(error))
            raise
        except BaseException as error:  # the client cancelled or has gone, or we are at fault
            self.lost("unknown", f"left while the server worked on it: {type(error).__name__}")
            raise
        if done is not None:
            return done
        who = "an operator" if self.stopped else "the end of the guard"
        self.lost("unknown", f"stopped by {who} while the server worked on it")
        name = self.admission.call.name
        text = f"{name} was stopped by {who}; what it did before that is not known"
        raise RefusedError("stopped", text)

    def _stop(self) -> None:
        self.stopped = True
        self.scope.cancel()
        if self.parked:
            self.lost("unknown", "stopped while a question of the server's was open")

    def end(self, state: Ending, result: Any) -> None:
        """Write how it ended; only the first time counts.

        Raises:
            RefusedError: the agent may not have the result.
        """
        if self.ended:
            return
        self.ended = True
        try:
            self.gate.release(self.admission, state, result)
        except WithheldError as error:
            raise RefusedError("withheld", str(error)) from None

    def lost(self, state: Ending, why: str) -> None:
        """Write an end that has no result for the agent, whatever the gate thinks of it."""
        with suppress(RefusedError):
            self.end(state, {"why": why})


async def admitted(gate: GateLike, call: Call) -> Flight:
    """Ask the gate; return a call that may go, or raise what the agent is told.

    While the gate decides nothing interrupts it: an intent that is written gets its outcome.
    A caller that has gone meanwhile gets nothing dispatched.

    Raises:
        RefusedError: it is denied, or waits for an operator.
    """
    with anyio.CancelScope(shield=True):
        admission: AdmissionLike = await gate.admit_async(call)
    decision = admission.decision
    if admission.state == "pending":
        raise RefusedError("pending", admission.message, id=admission.pending, rule=decision.rule)
    if admission.state != "go":
        raise RefusedError(
            "denied",
            admission.message,
            rule=decision.rule,
            reason=decision.reason,
            lifts=decision.lifts,
        )
    flight = Flight(gate, admission)
    try:
        await anyio.lowlevel.checkpoint_if_cancelled()
    except BaseException:
        flight.lost("not dispatched", "the caller has gone")
        raise
    return flight
