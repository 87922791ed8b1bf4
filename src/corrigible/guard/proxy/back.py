"""One server behind the proxy: started or reached, listed, called, and reconnected on demand.

A server that does not start, dies or hangs is named with why, and the others go on.  It is
started again only for a call that may go to it, after a wait that doubles; a stopped
deployment asks for none, so nothing of it comes back.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import anyio
import anyio.abc
import httpx2
import mcp_types
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, RootModel, ValidationError

from corrigible.deployment.clients import ServerSpec
from corrigible.deployment.listing import Listing, plain
from corrigible.deployment.masking import MASK, mask
from corrigible.deployment.process import ServerProcess, exited, started

# The lock digests what `corrigible review` listed: the guard must list by the same code.
from corrigible.deployment.servers import Limits as ListLimits
from corrigible.deployment.servers import (
    secrets_of_spec,
    tool_pages,
    tools_of_pages,
    why_failed,
    with_references,
)
from corrigible.guard.proxy.admit import BackError
from corrigible.guard.proxy.pipe import Pipe
from corrigible.guard.proxy.wire import Lines, LineWriter, Taken

Wrap = Callable[[str, Sequence[str]], Sequence[str]]
"""(server's name, command) -> the command to start in its place: a warden that owns the tree."""

_CLIENT = mcp_types.Implementation(name="corrigible", version="1")
_SHORTEST_SECRET = 6


@dataclass(frozen=True)
class Limits:
    """What one server may take and send: times in seconds, sizes in bytes."""

    connect_s: float = 30.0
    call_s: float = 600.0
    message_bytes: int = 32_000_000
    result_bytes: int = 8_000_000
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0


_DEFAULT_LIMITS = Limits()


class Owner(Protocol):
    """Who is told what servers list and say, and decides what they may ask of the client."""

    async def listed(self, back: "Back", listing: Listing) -> None:
        """Take what a server lists now."""

    async def told(self, back: "Back", method: str, params: Mapping[str, Any]) -> None:
        """Take a notification of a server's."""

    async def asked(self, back: "Back", method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a request of a server's; raises `MCPError` where it is refused."""

    def answers(self, server: str, method: str) -> bool:
        """Say whether a server may ask this of the client at all."""


class _Request(mcp_types.Request[dict[str, Any], str]):
    """A request as it is: what was decided on is what is sent."""

    method: str
    params: dict[str, Any]


class _Answer(RootModel[dict[str, Any]]):
    """An answer as it came; the library has held it against the protocol before."""


class Back:
    """One server of the manifest.

    Args:
        spec: how it is started or reached; its references are resolved when it is.
        limits: what it may take and send.
        wrap: puts a warden around its command.
        on_start: told (name, pid) of each process that is started.
    """

    def __init__(
        self,
        spec: ServerSpec,
        *,
        limits: Limits = _DEFAULT_LIMITS,
        wrap: Wrap | None = None,
        on_start: Callable[[str, int], None] | None = None,
    ) -> None:
        self.spec, self.limits = spec, limits
        self.name = spec.name
        self.problem: str | None = "is being started"
        self.listing = Listing(spec.name)
        self.capabilities = mcp_types.ServerCapabilities()
        self.modern = False
        self._wrap, self._on_start = wrap, on_start
        self._client: Client | None = None
        self._pipe: Pipe | None = None  # over stdio
        self._secrets: tuple[str, ...] = ()
        self._settled, self._demand, self._broken = anyio.Event(), anyio.Event(), anyio.Event()
        self._was_up = False  # in this attempt
        self._not_before = 0.0

    @property
    def up(self) -> bool:
        """Whether it can be called now."""
        return self._client is not None

    async def settled(self) -> None:
        """Wait until it is up, or known not to be."""
        await self._settled.wait()

    async def wake(self) -> None:
        """Have it started again if it is down and not too soon; wait until that is settled."""
        if not self.up and self._settled.is_set() and time.monotonic() >= self._not_before:
            self._settled = anyio.Event()
            self._demand.set()
        await self.settled()

    async def run(self, owner: Owner) -> None:
        """Keep the server for as long as this runs; whatever it does, nothing is raised."""
        wait = self.limits.first_wait_s
        while True:
            began = time.monotonic()
            self._broken, self._was_up = anyio.Event(), False
            try:
                await self._session(owner)
                self.problem = self.problem or "closed its connection"
            except Exception as error:  # noqa: BLE001  (a server must not end the others)
                self.problem = self._why(error)
            self._client = None
            if time.monotonic() - began > self.limits.longest_wait_s:
                wait = self.limits.first_wait_s
            self._not_before = time.monotonic() + wait
            wait = min(2 * wait, self.limits.longest_wait_s)
            if not self._was_up:
                self.listing = Listing(self.name, problem=self.problem)
                await owner.listed(self, self.listing)
                self._settled.set()
            await self._demand.wait()
            self._demand = anyio.Event()

    # -- one connection ------------------------------------------------------------------------

    async def _session(self, owner: Owner) -> None:
        try:
            spec = with_references(self.spec)
        except LookupError as error:
            self.problem = f"was not started: {error.args[0]}"
            return
        self._secrets = _secret_texts(spec)
        async with anyio.create_task_group() as tasks:
            ask = _Asking(self, owner, tasks)
            if spec.command is None:
                async with _http_streams(spec, self.limits) as (read, write):
                    await self._converse(owner, (Taken(read, ask.take), write), ask)
            else:
                await self._over_stdio(spec, owner, ask)
            tasks.cancel_scope.cancel()

    async def _over_stdio(self, spec: ServerSpec, owner: Owner, ask: "_Asking") -> None:
        command = tuple(spec.command or ())
        if self._wrap is not None:
            command = tuple(self._wrap(self.name, command))
        env = {given.name: given.text for given in spec.env}
        async with started(command, env, spec.cwd) as server:
            if self._on_start is not None:
                self._on_start(self.name, server.process.pid)
            lines, write = _process_streams(server, self.limits.message_bytes)
            self._pipe = pipe = Pipe(write)
            read = Taken(lines, lambda m: pipe.take(m) or ask.take(m), pipe.close)
            try:
                await self._converse(owner, (read, write), ask)
            except Exception as error:  # noqa: BLE001  (what went wrong is said with how it ended)
                self.problem = self._why(error)
            finally:
                self._pipe = None
                pipe.close()
            self.problem = await self._how_it_ended(server, lines) or self.problem

    async def _how_it_ended(self, server: ServerProcess, lines: Lines) -> str | None:
        if lines.flooded:
            return f"floods: it sent a message of more than {self.limits.message_bytes:,} bytes"
        if not lines.ended.is_set():
            return None
        await exited(server.process, 1)
        code = server.process.returncode
        if code is None:
            how = "closed its output"
        else:
            how = f"ended with exit code {code}" if code >= 0 else f"ended by signal {-code}"
        said = server.printed.last()
        return f"{how}; it printed {self._clean(said[-1], 120)!r}" if said else how

    async def _converse(self, owner: Owner, streams: tuple[Taken, Any], ask: "_Asking") -> None:
        read, ask.write = streams
        with anyio.fail_after(self.limits.connect_s) as clock:
            async with self._client_of(owner, streams) as client:
                await self._list(client)
                clock.deadline = float("inf")
                await owner.listed(self, self.listing)
                self._client, self.problem, self._was_up = client, None, True
                self._settled.set()
                try:
                    await self._until_it_ends(owner, client, read)
                finally:
                    self._client = None

    async def _until_it_ends(self, owner: Owner, client: Client, read: Taken) -> None:
        async with anyio.create_task_group() as tasks:
            if self.modern:
                tasks.start_soon(self._listen, owner, client)
            tasks.start_soon(_set_after, read.ended, self._broken)
            await self._broken.wait()
            tasks.cancel_scope.cancel()

    @asynccontextmanager
    async def _client_of(self, owner: Owner, streams: Any) -> AsyncIterator[Client]:
        async def told(message: Any) -> None:
            if isinstance(message, BaseModel):
                body = message.model_dump(by_alias=True, mode="json", exclude_none=True)
                await self._told(owner, str(body.get("method")), body.get("params") or {})

        def may(method: str) -> Any:
            # Only that it is set matters: it is what announces the capability.
            return _never_asked if owner.answers(self.name, method) else None

        client = Client(
            _Streams(streams),
            mode="auto",
            cache=None,
            client_info=_CLIENT,
            message_handler=told,
            elicitation_callback=may("elicitation/create"),
            sampling_callback=may("sampling/createMessage"),
            list_roots_callback=may("roots/list"),
        )
        async with client:
            self.modern = client.protocol_version in MODERN_PROTOCOL_VERSIONS
            self.capabilities = client.server_capabilities
            if self._pipe is not None:
                self._pipe.agreed(client.session, client.protocol_version)
            yield client

    async def _list(self, client: Client) -> None:
        limits = ListLimits()
        raw = await tool_pages(client, limits)
        tools, refused = tools_of_pages(raw, limits)
        info = client.server_info
        self.listing = Listing(
            self.name,
            tools=tools,
            refused=refused,
            protocol=plain(client.protocol_version, 40),
            server_info=None if info is None else plain(f"{info.name} {info.version}", 120),
            instructions=client.instructions,
        )
        if self.modern and self.spec.command is None:
            # Over HTTP the library sends arguments as headers too, which it learns by listing.
            cursor = None
            for _ in range(limits.pages):
                params = mcp_types.PaginatedRequestParams(cursor=cursor)
                cursor = (await client.session.list_tools(params=params)).next_cursor
                if not cursor:
                    return

    async def _listen(self, owner: Owner, client: Client) -> None:
        """Hear of changes from a server of the 2026 era, which tells only who listens."""
        wait = 0.5
        while True:
            try:
                async with client.listen(
                    tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
                ) as heard:
                    async for _ in heard:
                        wait = 0.5  # the events themselves arrive as notifications
            except ListenNotSupportedError:
                return
            except (SubscriptionLost, MCPError, TimeoutError) as error:
                if isinstance(error, MCPError) and error.error.code == mcp_types.METHOD_NOT_FOUND:
                    return
            await anyio.sleep(wait)
            wait = min(2 * wait, 60.0)
            await self._told(owner, "notifications/tools/list_changed", {})  # one may be missed

    async def _told(self, owner: Owner, method: str, params: Mapping[str, Any]) -> None:
        if method == "notifications/tools/list_changed":
            client = self._client
            if client is None:
                return
            try:
                with anyio.fail_after(self.limits.connect_s):
                    await self._list(client)
            except Exception as error:  # noqa: BLE001  (what it lists now is not known: say so)
                self.listing = Listing(self.name, problem=self._why(error))
            await owner.listed(self, self.listing)
        elif method not in {"notifications/progress", "notifications/cancelled"}:
            await owner.told(self, method, params)

    # -- calls ---------------------------------------------------------------------------------

    async def request(
        self, method: str, params: Mapping[str, Any], *, progress: ProgressFnT | None = None
    ) -> dict[str, Any]:
        """Send a request and return its result as it came, with the server's secrets masked.

        Raises:
            BackError: it is down, failed, did not answer in time or as the protocol allows.
        """
        client = self._client
        if client is None:
            raise BackError("not dispatched", f"{self.name} {self.problem or 'is not up'}")
        try:
            answer = await self._answer(client, method, params, progress)
        except MCPError as error:
            raise self._failed(error) from None
        except ValidationError as error:
            where = ".".join(str(step) for step in error.errors()[0]["loc"][:6])
            text = f"{self.name} answered what the protocol does not allow, at {plain(where, 80)!r}"
            raise BackError("unknown", text) from None
        except (httpx2.HTTPError, OSError, anyio.BrokenResourceError) as error:
            self._broken.set()
            raise BackError("unknown", f"{self.name} {self._why(error)}") from None
        return self._bounded(answer)

    async def _answer(
        self, client: Client, method: str, params: Mapping[str, Any], progress: ProgressFnT | None
    ) -> dict[str, Any]:
        seconds = self.limits.call_s
        if method == "tools/call" and progress is not None and self._pipe is not None:
            return await self._pipe.call(params, seconds=seconds, progress=progress)
        answer = await client.session.send_request(
            _Request(method=method, params=dict(params)),
            _Answer,
            request_read_timeout_seconds=seconds,
            progress_callback=progress,
        )
        return answer.root

    def _failed(self, error: MCPError) -> BackError:
        text = self._clean(error.error.message, 400)
        code = error.error.code
        if code == mcp_types.REQUEST_TIMEOUT:
            return BackError("unknown", f"{self.name} gave no answer in {self.limits.call_s:g} s")
        if code == mcp_types.CONNECTION_CLOSED or text in {
            "Session terminated",
            "Session not found",
        }:
            if self.spec.command is None:
                self._broken.set()
            return BackError("unknown", f"{self.name} ended before it had answered")
        return BackError("failed", f"{self.name} answered with an error: {text}")

    def _bounded(self, result: dict[str, Any]) -> dict[str, Any]:
        text = json.dumps(result)
        if len(text) > self.limits.result_bytes:
            raise BackError(
                "unknown",
                f"the result of {self.name} has {len(text):,} bytes, "
                f"{self.limits.result_bytes:,} are the limit",
            )
        if any(json.dumps(secret)[1:-1] in text for secret in self._secrets):
            hidden: dict[str, Any] = _hidden(result, self._secrets)
            return hidden
        return result

    def _clean(self, text: object, longest: int) -> str:
        return plain(mask(str(text)[: 8 * longest], self._secrets), longest)

    def _why(self, error: BaseException) -> str:
        while isinstance(error, BaseExceptionGroup) and error.exceptions:
            error = error.exceptions[0]
        if isinstance(error, TimeoutError):
            return f"gave no full answer within {self.limits.connect_s:g} s"
        return self._clean(why_failed(error, self.spec), 400)


class _Streams:
    """A pair of streams as the library's client wants it: something to be entered."""

    def __init__(self, streams: Any) -> None:
        self.streams = streams

    async def __aenter__(self) -> Any:
        return self.streams

    async def __aexit__(self, *exc: object) -> None:
        return None


async def _never_asked(_context: ClientRequestContext, *_: Any) -> Any:
    """Stand where a callback must: what a server asks is taken before the library sees it."""
    return mcp_types.ErrorData(code=mcp_types.INVALID_REQUEST, message="not supported")


class _Asking:
    """Takes what a server asks of the client, and answers it whatever comes."""

    def __init__(self, back: Back, owner: Owner, tasks: anyio.abc.TaskGroup) -> None:
        self.back, self.owner, self.tasks = back, owner, tasks
        self.write: Any = None

    def take(self, message: object) -> bool:
        if not isinstance(message, mcp_types.JSONRPCRequest) or message.method == "ping":
            return False  # the library answers a ping
        self.tasks.start_soon(self._answer, message)
        return True

    async def _answer(self, request: mcp_types.JSONRPCRequest) -> None:
        answer: mcp_types.JSONRPCResponse | mcp_types.JSONRPCError
        try:
            result = await self.owner.asked(self.back, request.method, request.params or {})
            answer = mcp_types.JSONRPCResponse(jsonrpc="2.0", id=request.id, result=result)
        except MCPError as error:
            answer = mcp_types.JSONRPCError(jsonrpc="2.0", id=request.id, error=error.error)
        except Exception:  # noqa: BLE001  (a request that breaks us is refused, not left open)
            fault = mcp_types.ErrorData(code=mcp_types.INTERNAL_ERROR, message="refused")
            answer = mcp_types.JSONRPCError(jsonrpc="2.0", id=request.id, error=fault)
        try:
            await self.write.send(SessionMessage(answer))
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return  # it has gone


def _process_streams(server: ServerProcess, longest: int) -> tuple[Lines, LineWriter]:
    async def read() -> bytes:
        stdout = server.process.stdout
        try:
            return b"" if stdout is None else await stdout.receive(65_536)
        except anyio.EndOfStream:
            return b""

    async def parse(line: bytes) -> SessionMessage | None:
        try:
            message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            server.printed.garbage.append(line[:400].decode(errors="replace"))
            return None
        return SessionMessage(message)

    async def write(data: bytes) -> None:
        if server.process.stdin is not None:
            await server.process.stdin.send(data)

    return Lines(read, parse, longest), LineWriter(write)


class _Bounded(httpx2.AsyncBaseTransport):
    """Cut off an answer that passes a size; nothing is sent to another place than the server's."""

    def __init__(self, most_bytes: int) -> None:
        self.inner = httpx2.AsyncHTTPTransport()
        self.most = most_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self.inner.handle_async_request(request)
        kind = response.headers.get("content-type", "")
        stream = response.stream
        # A stream of events may go on for ever; each event of it is bounded by the client.
        if isinstance(stream, httpx2.AsyncByteStream) and not kind.startswith("text/event-stream"):
            response.stream = _BoundedStream(stream, self.most)
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, most: int) -> None:
        self.inner, self.left = inner, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.inner:
            self.left -= len(chunk)
            if self.left < 0:
                raise httpx2.ReadError("its answer is larger than it may be")
            yield chunk

    async def aclose(self) -> None:
        await self.inner.aclose()


@asynccontextmanager
async def _http_streams(spec: ServerSpec, limits: Limits) -> AsyncIterator[Any]:
    headers = {given.name: given.text for given in spec.headers}
    async with (
        httpx2.AsyncClient(
            transport=_Bounded(limits.message_bytes),
            headers=headers,
            timeout=httpx2.Timeout(limits.connect_s, read=limits.call_s),
        ) as http,
        streamable_http_client(
            spec.url or "",
            http_client=http,
            terminate_on_close=False,
            max_sse_event_size=limits.message_bytes,
        ) as streams,
    ):
        yield streams


async def _set_after(first: anyio.Event, then: anyio.Event) -> None:
    await first.wait()
    then.set()


def _secret_texts(spec: ServerSpec) -> tuple[str, ...]:
    """Return what must not be seen: every given value, and the token within `Bearer TOKEN`."""
    texts = {*secrets_of_spec(spec)}
    texts |= {text.partition(" ")[2] for text in texts if text.startswith("Bearer ")}
    return tuple(sorted((t for t in texts if len(t) >= _SHORTEST_SECRET), key=len, reverse=True))


def _hidden(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, MASK)
        return value
    if isinstance(value, Mapping):
        return {_hidden(key, secrets): _hidden(held, secrets) for key, held in value.items()}
    if isinstance(value, list):
        return [_hidden(held, secrets) for held in value]
    return value
