"""`tools/call` on a stream of the 2026 era, served past the layers of the library's server.

There every request says its version for itself, so a call needs nothing of what these layers
keep of a connection.  The library's own checks are made: of the envelope, the parameters and the
result.  What they refuse, and all else, goes the library's way, which answers it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.abc
import mcp_types
from mcp.server.runner import modern_error_data
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import InboundLadderRejection, classify_inbound_request
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import SessionMessage
from mcp_types import methods as protocol
from pydantic import ValidationError

from corrigible.guard.proxy.calls import Calls

_CALL = "tools/call"
_ENVELOPE = (
    mcp_types.PROTOCOL_VERSION_META_KEY,
    mcp_types.CLIENT_INFO_META_KEY,
    mcp_types.CLIENT_CAPABILITIES_META_KEY,
)


class _Session:
    """What the handler of one call may say to its client: progress, if it was asked for."""

    can_send_request = False  # not in this era

    def __init__(self, write: Any, params: Mapping[str, Any]) -> None:
        self._write, self._token = write, progress_token_from_params(params)
        self.over = False

    async def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> None:
        """Tell the client how far the call is."""
        if self._token is None or self.over:
            return
        told = {"progressToken": self._token, "progress": progress}
        more = {"total": total, "message": message}
        told |= {key: held for key, held in more.items() if held is not None}
        note = mcp_types.JSONRPCNotification(
            jsonrpc="2.0", method="notifications/progress", params=told
        )
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._write.send(SessionMessage(note))


@dataclass(frozen=True)
class _Request:
    """What the handler of a call reads of its request; see the library's context of one."""

    request_id: str | int
    params: dict[str, Any]
    protocol_version: str
    session: _Session
    request: None = None
    method: str = _CALL


class _Running:
    """One call that is being served."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.cancelled = False
        self.over = anyio.Event()


class Direct:
    """Takes the calls out of one client's stream, and answers them.

    What comes after the cancelling of a call is served once that call has ended: an equal one
    must not be decided before it is known that nobody knows how the first ended.
    """

    def __init__(
        self,
        calls: Calls,
        write: Any,
        tasks: anyio.abc.TaskGroup,
        *,
        stamp: Callable[[], dict[str, Any]],
    ) -> None:
        """Serve with `calls`; `stamp` says in each result who answered."""
        self._calls, self._write, self._tasks, self._stamp = calls, write, tasks, stamp
        self._modern: bool | None = None  # None: the client has asked for nothing yet
        self._known: tuple[tuple[Any, ...], str] = ((), "")  # an envelope, and its version
        self._running: dict[str | int, _Running] = {}

    def take(self, message: object) -> bool:
        """Take a message that is for us; False: it is the library's."""
        if isinstance(message, mcp_types.JSONRPCNotification):
            return message.method == "notifications/cancelled" and self._cancel(message.params)
        if not isinstance(message, mcp_types.JSONRPCRequest):
            return False
        if self._modern is None:  # as the library decides it, by the first request
            version = self._version(message)
            self._modern = message.method != "initialize" and version is not None
            return False
        if not self._modern or message.method != _CALL or message.id in self._running:
            return False
        version = self._version(message)
        if version is None or not _fits(version, message.params or {}):
            return False
        before = [one.over for one in self._running.values() if one.cancelled]
        self._running[message.id] = running = _Running()
        self._tasks.start_soon(
            self._serve, _request(message, version, self._write), running, before
        )
        return True

    def _version(self, request: mcp_types.JSONRPCRequest) -> str | None:
        """Return the version that a request's envelope states; None: it is not in order."""
        meta = (request.params or {}).get("_meta")
        if not isinstance(meta, Mapping):
            return None
        envelope = tuple(meta.get(key) for key in _ENVELOPE)
        if self._known[0] != envelope:
            route = classify_inbound_request({"method": request.method, "params": request.params})
            if isinstance(route, InboundLadderRejection):
                return None
            self._known = (envelope, route.protocol_version)
        return self._known[1]

    def _cancel(self, params: Mapping[str, Any] | None) -> bool:
        id_ = (params or {}).get("requestId")
        running = self._running.get(id_) if type(id_) in {str, int} else None  # type: ignore[arg-type]  # one of the two
        if running is None:
            return False
        running.cancelled = True
        running.scope.cancel()
        return True

    async def _serve(self, request: _Request, running: _Running, before: list[anyio.Event]) -> None:
        id_ = request.request_id
        answer: mcp_types.JSONRPCResponse | mcp_types.JSONRPCError | None = None
        try:
            with running.scope:
                for over in before:
                    await over.wait()
                result = await self._result(request)
                answer = mcp_types.JSONRPCResponse(jsonrpc="2.0", id=id_, result=result)
        except Exception as error:  # noqa: BLE001  (as the library: it is said, and nothing ends)
            fault = modern_error_data(error)
            answer = mcp_types.JSONRPCError(jsonrpc="2.0", id=id_, error=fault)
        finally:
            request.session.over = True
            running.over.set()
            del self._running[id_]
        if answer is None or running.cancelled:  # who cancelled hears no more of it
            return
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._write.send(SessionMessage(answer))

    async def _result(self, request: _Request) -> dict[str, Any]:
        """Return what the client gets.  Raises what the library would make an error of."""
        result = await self._calls.call(request, None)  # type: ignore[arg-type]  # of it, what is read
        version = request.protocol_version
        try:
            wire: dict[str, Any] = protocol.serialize_server_result(_CALL, version, result)
        except ValidationError:
            text = "Handler returned an invalid result"
            raise MCPError(mcp_types.INTERNAL_ERROR, text) from None
        stamp = {mcp_types.SERVER_INFO_META_KEY: self._stamp()}
        return {**wire, "_meta": {**(wire.get("_meta") or {}), **stamp}}


def _request(message: mcp_types.JSONRPCRequest, version: str, write: Any) -> _Request:
    params = message.params or {}
    return _Request(message.id, params, version, _Session(write, params))


def _fits(version: str, params: Mapping[str, Any]) -> bool:
    """Whether the library finds the parameters of a call in order."""
    try:
        protocol.validate_client_request(_CALL, version, params)
    except (KeyError, ValidationError):
        return False
    return True
