"""The guard as an approver of Inspect: every call of a tool is decided before it runs.

    with Guard("deployment.yaml") as guard:
        policy = [ApprovalPolicy(guard_approver(guard, server="sandbox"), "*")]
        eval(task, model=…, approval=policy)

Inspect tells an approver nothing of how a call ended.  So an end is read from the conversation
the next time that the same agent asks; what is never told is written as unknown when the guard
closes the run (`GuardApprover.close`).  Its tools run in Inspect: a stop lets no call in, and what
runs goes on to its end.
"""

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Literal, Protocol

from corrigible.errors import DeniedError, MissingExtraError, WithheldError
from corrigible.guard.bodies import Admission
from corrigible.guard.call import Caller
from corrigible.guard.sdk import Guard

try:
    from inspect_ai.approval import Approval, approver
except ImportError as error:
    raise MissingExtraError(
        "the Inspect approver needs inspect-ai, which is not installed; pip install inspect-ai"
    ) from error

Others = Literal["reject", "escalate"]
_STOPPED = "latch.stopped"


class _ToolCall(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Any]: ...
    @property
    def parse_error(self) -> str | None: ...


class GuardApprover:
    """Decides on Inspect's calls of tools; made by `guard_approver`, which says how.

    Use `close` once the evaluation is over.
    """

    def __init__(
        self, guard: Guard, server: str, caller: Caller, *, wait_s: float, others: Others
    ) -> None:
        self._guard, self._server, self._caller = guard, server, caller
        self._wait_s, self._others = wait_s, others
        self._out: dict[str, Admission] = {}
        self._lock = threading.Lock()

    async def __call__(
        self,
        message: str,  # noqa: ARG002  (Inspect names them)
        call: _ToolCall,
        view: Any,  # noqa: ARG002
        history: list[Any],
    ) -> Any:
        """Approve, reject, escalate or terminate one call, with the reason."""
        self._end_told(history)
        gate = self._guard.session.gate
        if (
            self._others == "escalate"
            and f"{self._server}.{call.function}" not in gate.policy.tools
        ):
            return Approval(decision="escalate", explanation="no tool of the guarded deployment")
        if call.parse_error:
            return Approval(decision="reject", explanation="denied: its arguments are no JSON")
        try:
            admission = await self._guard.admission_async(
                f"{self._server}.{call.function}",
                call.arguments,
                caller=self._caller,
                wait_s=self._wait_s,
            )
        except DeniedError as error:
            return Approval(decision="reject", explanation=str(error))
        if admission.state != "go":
            # A stop is not for the model to work around: its sample ends.
            stopped = admission.decision.rule == _STOPPED
            word: Literal["terminate", "reject"] = "terminate" if stopped else "reject"
            return Approval(decision=word, explanation=admission.message)
        try:
            gate.dispatch(admission, lambda: None)
        except DeniedError as error:
            return Approval(decision="reject", explanation=str(error))
        with self._lock:
            before = self._out.pop(call.id, None)
            self._out[call.id] = admission
        if before is not None:  # the model gave two calls one name: nobody can tell them apart
            self._release(before, "unknown", {"raised": "another call has its id"})
        return Approval(decision="approve", explanation=f"granted by {admission.decision.rule}")

    def _end_told(self, history: Iterable[Any]) -> None:
        """Write the ends that the conversation tells of."""
        with self._lock:
            told = [
                (self._out.pop(said.tool_call_id), said)
                for said in history
                if getattr(said, "role", "") == "tool" and said.tool_call_id in self._out
            ]
        for admission, said in told:
            failed = said.error is not None
            result = {"raised": said.error.type} if failed else said.text
            self._release(admission, "failed" if failed else "completed", result)

    def _release(
        self, admission: Admission, state: Literal["completed", "failed", "unknown"], result: Any
    ) -> None:
        with suppress(WithheldError):  # the model has it already
            self._guard.session.gate.release(admission, state, result)

    def close(self) -> None:
        """Write of the calls whose end nobody told that it is unknown."""
        with self._lock:
            left = tuple(self._out.values())
            self._out.clear()
        for admission in left:
            self._release(admission, "unknown", {"raised": "its end was not told"})


def _guard_approver(
    guard: Guard,
    server: str = "code",
    *,
    caller: Caller | None = None,
    wait_s: float = 0.0,
    others: Others = "reject",
) -> GuardApprover:
    """Return an approver that asks an open guard.

    Args:
        guard: an open guard; its manifest has the task's tools as `server.TOOL`.
        server: the server that they are tools of in the manifest.
        caller: who calls; the agent of an evaluation where nothing is said.
        wait_s: how long to wait for an operator where a call needs one; it is rejected then,
            with the request's id.
        others: what becomes of tools that the manifest does not name: `escalate` leaves them to
            the next approver.
    """
    return GuardApprover(guard, server, caller or Caller(), wait_s=wait_s, others=others)


guard_approver = approver(name="corrigible_guard")(_guard_approver)
"""`_guard_approver`, known to Inspect's registry."""
