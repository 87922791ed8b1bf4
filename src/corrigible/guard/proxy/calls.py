"""`tools/list` and `tools/call`: one decision for what is shown and what is called.

A call that is not let through is answered with a plain error result, in both protocol eras:
`structuredContent.corrigible` says its state (`denied`, `pending`, `stopped`, `withheld`,
`failed`, `unknown`), and for a pending one the id that an operator answers.  A client can do
nothing but call again: no answer of its own ever counts as an approval.
"""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import methods as protocol
from mcp_types.version import LATEST_HANDSHAKE_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import RootModel, ValidationError

from corrigible.guard.call import Call, Caller
from corrigible.guard.proxy.admit import BackError, Flight, RefusedError, admitted
from corrigible.guard.proxy.back import Back
from corrigible.guard.proxy.hub import Ask, Hub, asked_by
from corrigible.guard.proxy.names import front_name, shown
from corrigible.guard.strict import StrictError, check_arguments

Context = ServerRequestContext[Any, Any]
CALLER_KEY = "corrigible.caller"
"""Where the HTTP front leaves, in a request's scope, who was authenticated."""

UNCACHED = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
"""What the 2026 era wants of a list; clients of the handshake era never see it."""

_RELEASED: tuple[str, ...] = ("structuredContent", "isError")
_QUESTION_S = 600.0
_MOST_QUESTIONS = 1_000
_MOST_ROUNDS = 10


class _Any(RootModel[dict[str, Any]]):
    """A client's answer, held against the protocol before."""


@dataclass(frozen=True)
class _Question:
    """A call that waits for the client's answer to what a server asked in between."""

    flight: Flight
    caller: Caller
    state: str | None  # the server's own, handed back to it alone
    keys: frozenset[str]
    until: float


@dataclass(frozen=True)
class _Waiting:
    """A call that its server answered with questions."""

    flight: Flight
    back: Back
    result: Mapping[str, Any]


class Calls:
    """Lists and calls the tools of every server."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._questions: dict[str, _Question] = {}
        self._running: set[Flight] = set()
        self._closed = False
        self._idle = anyio.Event()

    def close(self) -> None:
        """Let no call in any more, and end those in flight: each is answered."""
        self._closed = True
        for question in self._questions.values():
            question.flight.lost("unknown", "the guard ended")
        for flight in self._running:
            flight.scope.cancel()
        if not self._running:
            self._idle.set()

    async def idle(self) -> None:
        """Wait, after `close`, until every call in flight is answered."""
        await self._idle.wait()
        await anyio.sleep(0.01)  # for the answers to be written

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """Return the input schema of a tool by the name that clients use."""
        tool = self.hub.tools.get(name)
        return None if tool is None else tool["inputSchema"]

    async def list(self, _ctx: Context, _params: Any) -> dict[str, Any]:
        """Answer `tools/list`: everything at once, never to be kept."""
        return {"tools": await self.hub.visible(), **UNCACHED}

    async def call(self, ctx: Context, _params: Any) -> dict[str, Any]:
        """Answer `tools/call`, whatever comes of it."""
        params = dict(ctx.params or {})
        try:
            return await self._called(ctx, params)
        except RefusedError as error:
            return refusal_result(error)
        except StrictError as error:
            return refusal_result(RefusedError("denied", str(error), rule=error.rule))

    async def _called(self, ctx: Context, params: dict[str, Any]) -> dict[str, Any]:
        if self._closed:
            raise RefusedError("stopped", "the guard is ending: nothing was dispatched")
        arguments = check_arguments(params.get("arguments"))
        caller = caller_of(ctx, self.hub)
        back, tool = await self._target(str(params["name"]), caller)
        server = "" if back is None else back.name
        call = Call(server, tool, arguments, caller.name, caller.lineage)
        resumed = self._resumed(params, call, caller)
        if resumed is not None:
            flight, more = resumed.flight, _answers(params, resumed)
            flight.scope, flight.parked = anyio.CancelScope(), False
        else:
            flight, more = await self._admitted(call, back), {}
            if back is None or (server, tool) not in self.hub.names.known.values():
                flight.lost("not dispatched", "no server lists it")
                raise RefusedError("denied", f"no server lists a tool {shown(tool)!r}")
            flight.out()
        back = back or self.hub.backs[server]
        self._running.add(flight)
        try:
            return await flight.run(lambda: self._rounds(ctx, flight, back, more))
        finally:
            self._landed(flight)

    async def _admitted(self, call: Call, back: Back | None) -> Flight:
        try:
            return await admitted(self.hub.gate, call)
        except RefusedError as error:
            if back is None or back.up or error.state != "denied":
                raise
            text = f"{error}  ({back.name} {back.problem})"
            raise RefusedError("denied", text, **_without_state(error)) from None

    def _landed(self, flight: Flight) -> None:
        self._running.discard(flight)
        if self._closed and not self._running:
            self._idle.set()

    async def _target(self, name: str, caller: Caller) -> tuple[Back | None, str]:
        """Return the server and the tool that a client's name is of, waking the server.

        A name that is of none goes to the gate as it came, which denies it and says what it
        looks like.
        """
        head, _, tail = name.partition("__")
        meant = self.hub.names.known.get(name, (head, tail))
        back = self.hub.backs.get(meant[0])
        if back is not None and not back.up:
            await back.settled()
            if self.hub.runs(*meant, caller):
                await back.wake()
        known = self.hub.names.known.get(name)
        if known is not None:
            return self.hub.backs[known[0]], known[1]
        # Only a guess at what was meant, for the reason that the gate gives.
        guess = back is not None and front_name(head, tail) == name
        return (back, tail) if guess else (None, name)

    # -- one call on its way -------------------------------------------------------------------

    async def _rounds(
        self, ctx: Context, flight: Flight, back: Back, more: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Send a call, and go on for as long as the server asks for more."""
        call = flight.admission.call
        params = {"name": call.tool, "arguments": dict(call.arguments), **more}
        with self.hub.asking(back.name, flight.admission.id, _ask_of(ctx)):
            for _ in range(_MOST_ROUNDS):
                result = await self._sent(ctx, flight, back, params)
                if not protocol.is_input_required(result):
                    return self._ended(flight, back, result)
                questions = await self._questions_of(back, result)
                if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
                    return self._parked(ctx, _Waiting(flight, back, result), questions)
                params["inputResponses"] = await _asked_inline(ctx, back, questions)
                params["requestState"] = result.get("requestState")
        raise BackError("failed", f"{back.name} asks for ever")

    async def _sent(
        self, ctx: Context, flight: Flight, back: Back, params: Mapping[str, Any]
    ) -> dict[str, Any]:
        call = flight.admission.call
        caller = Caller(call.caller, call.lineage)

        async def note(progress: float, total: float | None, message: str | None) -> None:
            if not flight.ended and self.hub.runs(call.server, call.tool, caller):
                text = None if message is None else shown(message)
                await ctx.session.report_progress(progress, total, text)

        # Always asked for: not every way in shows here whether the client wants it.
        return await back.request("tools/call", params, progress=note)

    def _ended(self, flight: Flight, back: Back, result: dict[str, Any]) -> dict[str, Any]:
        flight.end("failed" if result.get("isError") is True else "completed", result)
        released: dict[str, Any] = {"resultType": "complete"}
        released |= {key: result[key] for key in _RELEASED if key in result}
        released["content"] = [_as_text(block, back) for block in result.get("content") or ()]
        return released

    # -- what a server asks in between -----------------------------------------------------------

    async def _questions_of(self, back: Back, result: Mapping[str, Any]) -> dict[str, Any]:
        """Return the questions in a result, each allowed as a request of that server's.

        Raises:
            RefusedError: one of them is not.
        """
        found = {}
        for key, question in (result.get("inputRequests") or {}).items():
            method = str(question.get("method"))
            body = {k: v for k, v in (question.get("params") or {}).items() if k != "_meta"}
            call = Call(back.name, method, check_arguments(body), f"server:{back.name}")
            try:
                flight = await admitted(self.hub.gate, call)
                flight.out()
                flight.end("completed", None)
            except RefusedError as error:
                text = f"{back.name} asked for {shown(method)}, which is not let through: {error}"
                raise RefusedError("denied", text, **_without_state(error)) from None
            found[key] = {"method": method, "params": asked_by(back.name, body)}
        return found

    def _parked(
        self, ctx: Context, waiting: "_Waiting", questions: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Hand the questions to the client; the call goes on when it calls again with answers."""
        self._sweep()
        if len(self._questions) >= _MOST_QUESTIONS:
            raise RefusedError("failed", "too many questions of servers are open")
        token = secrets.token_urlsafe(24)
        waiting.flight.parked = True
        self._questions[token] = _Question(
            waiting.flight,
            caller_of(ctx, self.hub),
            waiting.result.get("requestState"),
            frozenset(questions),
            time.monotonic() + _QUESTION_S,
        )
        told: dict[str, Any] = {"resultType": "input_required", "requestState": token}
        return told | ({"inputRequests": dict(questions)} if questions else {})

    def _sweep(self) -> None:
        for token, question in list(self._questions.items()):
            if question.until < time.monotonic() or question.flight.ended:
                question.flight.lost("unknown", "its question was not answered")
                del self._questions[token]

    def _resumed(self, params: Mapping[str, Any], call: Call, caller: Caller) -> _Question | None:
        """Return the call that these answers belong to; None: there are no answers.

        Raises:
            RefusedError: they answer no open question of this very call, or it was stopped.
        """
        token, answers = params.get("requestState"), params.get("inputResponses")
        if token is None and not answers:
            return None
        self._sweep()
        question = self._questions.pop(token, None) if isinstance(token, str) else None
        if question is None:
            text = "the answers are to no open question of a server's; call without them"
            raise RefusedError("denied", text, rule="question.open")
        if question.flight.admission.call.digest != call.digest or question.caller != caller:
            question.flight.lost("unknown", "answered for another call")
            text = "the answers belong to another call than the one that the server asked about"
            raise RefusedError("denied", text, rule="question.call")
        if not self.hub.runs(call.server, call.tool, caller):
            question.flight.lost("unknown", "stopped while a question of the server's was open")
            raise RefusedError("stopped", f"{call.name} was stopped by an operator")
        return question


def caller_of(ctx: Context, hub: Hub) -> Caller:
    """Return who sent a request: as authenticated over HTTP, else whom this front serves."""
    found = None if ctx.request is None else ctx.request.scope.get(CALLER_KEY)
    return found if isinstance(found, Caller) else hub.caller


def refusal_result(error: RefusedError) -> dict[str, Any]:
    """Return what a client gets for a call that was not let through; a plain result."""
    return {
        "resultType": "complete",
        "isError": True,
        "content": [{"type": "text", "text": shown(str(error))}],
        "structuredContent": {"corrigible": error.told},
    }


def _without_state(error: RefusedError) -> dict[str, Any]:
    return {key: held for key, held in error.told.items() if key != "state"}


def _answers(params: Mapping[str, Any], question: _Question) -> dict[str, Any]:
    answers = params.get("inputResponses") or {}
    if not question.keys >= set(answers):
        question.flight.lost("unknown", "answered what was not asked")
        raise RefusedError("denied", "the answers are to questions that were not asked")
    more: dict[str, Any] = {"inputResponses": dict(answers)}
    return more if question.state is None else more | {"requestState": question.state}


def _as_text(block: Any, back: Back) -> Any:
    """Return a block of content; a link to a resource becomes a text that says it."""
    if not isinstance(block, Mapping) or block.get("type") != "resource_link":
        return block
    told = json.dumps({"server": back.name, "name": block.get("name"), "uri": block.get("uri")})
    return {"type": "text", "text": f"resource link: {shown(told)}"}


def _ask_of(ctx: Context) -> Ask | None:
    """Return how this request's client is asked; None: its era has no way to be asked."""
    if not ctx.session.can_send_request:
        return None

    async def ask(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        try:
            request: Any = protocol.parse_server_request(
                method, LATEST_HANDSHAKE_VERSION, dict(params)
            )
        except (KeyError, ValidationError):
            raise RefusedError("failed", f"{shown(method)} is no request to a client") from None
        about = ServerMessageMetadata(related_request_id=ctx.request_id)
        return (await ctx.session.send_request(request, _Any, metadata=about)).root

    return ask


async def _asked_inline(ctx: Context, back: Back, questions: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a client of the handshake era what a server of the 2026 era asks."""
    ask = _ask_of(ctx)
    if ask is None:
        raise RefusedError("failed", "the client has no way to be asked")
    try:
        return {key: await ask(held["method"], held["params"]) for key, held in questions.items()}
    except MCPError as error:
        raise RefusedError("failed", f"{back.name} asked, the client: {error}") from None
