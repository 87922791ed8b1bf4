"""Calls over a server's pipe, beside what the library's client sends over it, and past its layers.

They have ids of their own, which that client never uses, and what answers them is taken out
before it reads.  The rules are the library's: a result is held against the protocol version that
was agreed, a call that is given up is cancelled, and one whose server has gone has no answer.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import mcp_types
from mcp.client import session as library
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp_types import methods as protocol

from corrigible.guard.proxy.wire import LineWriter

_FIRST_ID = 2**30  # the library's client counts from 1
_MOST_NOTES = 100  # of progress, waiting for a client that is slow: the eldest are left out
_CANCEL_S = 5.0
_CLOSED = mcp_types.ErrorData(code=mcp_types.CONNECTION_CLOSED, message="Connection closed")


@dataclass(eq=False)
class _Waiting:
    """A call that was sent, what was heard of it, and what wakes its caller."""

    progress: ProgressFnT
    notes: deque[tuple[float, float | None, str | None]] = field(
        default_factory=lambda: deque(maxlen=_MOST_NOTES)
    )
    outcome: dict[str, Any] | mcp_types.ErrorData | None = None
    woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """Have the caller look."""
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)


class Pipe:
    """Sends calls over one connection, in the version of the protocol that was agreed on it."""

    def __init__(self, write: LineWriter) -> None:
        self._write = write
        self._waiting: dict[int, _Waiting] = {}
        self._next = _FIRST_ID
        self._closed = False
        self._version, self._meta = "", dict[str, Any]()

    def agreed(self, session: library.ClientSession, version: str) -> None:
        """Take what the library's client has agreed: the version, and what each request says."""
        data: dict[str, Any] = {"method": "tools/call", "params": {}}
        session._stamp(data, {})  # noqa: SLF001  (there is no other way to learn it)
        self._version, self._meta = version, data["params"].get("_meta") or {}

    def take(self, message: object) -> bool:
        """Take a message that is for us; False: it is not."""
        if isinstance(message, mcp_types.JSONRPCResponse | mcp_types.JSONRPCError):
            waiting = self._waiting.get(message.id) if type(message.id) is int else None
            if waiting is None:
                return type(message.id) is int and _FIRST_ID <= message.id < self._next
            if waiting.outcome is None:  # a second answer says nothing
                if isinstance(message, mcp_types.JSONRPCError):
                    waiting.outcome = message.error
                else:
                    waiting.outcome = message.result
                waiting.wake()
            return True
        if isinstance(message, mcp_types.JSONRPCNotification):
            return message.method == "notifications/progress" and self._noted(message.params or {})
        return False

    def _noted(self, params: Mapping[str, Any]) -> bool:
        token, progress = params.get("progressToken"), params.get("progress")
        waiting = self._waiting.get(token) if type(token) is int else None
        if waiting is None:
            return False
        if isinstance(progress, int | float) and not isinstance(progress, bool):
            total, text = params.get("total"), params.get("message")
            waiting.notes.append(
                (
                    float(progress),
                    float(total) if isinstance(total, int | float) else None,
                    text if isinstance(text, str) else None,
                )
            )
            waiting.wake()
        return True

    def close(self) -> None:
        """End every call that waits: nothing comes over this connection any more."""
        self._closed = True
        for waiting in self._waiting.values():
            waiting.outcome = waiting.outcome or _CLOSED
            waiting.wake()

    async def call(
        self, params: Mapping[str, Any], *, seconds: float, progress: ProgressFnT
    ) -> dict[str, Any]:
        """Send a `tools/call` and return its result as it came.

        Raises:
            MCPError: the server's own; `REQUEST_TIMEOUT` where no answer came in time;
                `CONNECTION_CLOSED` where none can come.
            ValidationError: the answer is none that the protocol allows.
        """
        if self._closed:
            raise MCPError.from_error_data(_CLOSED)
        id_, self._next = self._next, self._next + 1
        meta = {**(params.get("_meta") or {}), **self._meta, "progressToken": id_}
        waiting = self._waiting[id_] = _Waiting(progress)
        try:
            outcome = await self._outcome(id_, {**params, "_meta": meta}, waiting, seconds)
        finally:
            del self._waiting[id_]
        if isinstance(outcome, mcp_types.ErrorData):
            raise MCPError.from_error_data(outcome)
        with suppress(KeyError):  # a version without such a table
            protocol.validate_server_result("tools/call", self._version, outcome)
        later = library._later_revision_fields("tools/call", self._version)  # noqa: SLF001  (its own rule of what a version's result may hold)
        return {key: held for key, held in outcome.items() if key not in later}

    async def _outcome(
        self, id_: int, params: dict[str, Any], waiting: _Waiting, seconds: float
    ) -> dict[str, Any] | mcp_types.ErrorData:
        await anyio.lowlevel.checkpoint_if_cancelled()  # from here on it may have reached it
        request = {"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}
        try:
            try:
                await self._line(request)
            except anyio.BrokenResourceError:
                return _CLOSED
            with anyio.fail_after(seconds):
                return await _heard(waiting)
        except TimeoutError:
            await self._cancel(id_, f"timed out after {seconds:g} s", shield=False)
            text = "Request 'tools/call' timed out"
            return mcp_types.ErrorData(code=mcp_types.REQUEST_TIMEOUT, message=text)
        except anyio.get_cancelled_exc_class():
            await self._cancel(id_, "caller cancelled", shield=True)
            raise

    async def _cancel(self, id_: int, why: str, *, shield: bool) -> None:
        told = {"requestId": id_, "reason": why}
        with anyio.move_on_after(_CANCEL_S, shield=shield), suppress(anyio.BrokenResourceError):
            await self._line(
                {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": told}
            )

    async def _line(self, message: Mapping[str, Any]) -> None:
        text = json.dumps(message, separators=(",", ":"), allow_nan=False)
        await self._write.line(text.encode())


async def _heard(waiting: _Waiting) -> dict[str, Any] | mcp_types.ErrorData:
    """Pass on what is heard of a call, in order, until it has ended."""
    while True:
        while waiting.notes:
            with suppress(Exception):  # a client that hears nothing of it gets its result
                await waiting.progress(*waiting.notes.popleft())
        if waiting.outcome is not None:
            return waiting.outcome
        waiting.woken = asyncio.get_running_loop().create_future()
        await waiting.woken
