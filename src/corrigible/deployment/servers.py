"""List the tools of live MCP servers, and never call one.

Each server is bounded in time, in bytes and in tools.  One that does not start, ends at once,
hangs, floods or answers what is no protocol is named with why and with what it printed, and the
others go on.  What it started is ended afterwards (`process.py`).
"""

import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import httpx2
import mcp_types
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from corrigible.deployment.clients import ServerSpec, resolve
from corrigible.deployment.listing import ListedTool, Listing, canonical, plain, why_refused
from corrigible.deployment.masking import mask
from corrigible.deployment.process import ServerProcess, exited, started, transport


@dataclass(frozen=True)
class Limits:
    """What one server may take and send: time, pages, tools, bytes in all and of one tool."""

    seconds: float = 30.0
    tools: int = 2_000
    pages: int = 500
    total_bytes: int = 32_000_000
    tool_bytes: int = 256_000
    lines_kept: int = 8


_TALKATIVE = ("mcp", "client", "httpx2", "httpcore2", "uvicorn", "sse_starlette")
_DEFAULT_LIMITS = Limits()
_CLIENT = mcp_types.Implementation(name="corrigible", version="1")


class _Page(mcp_types.PaginatedResult):
    """A page of tools as they came: nothing that the protocol's records do not know is lost."""

    tools: list[Any]


class _FloodError(Exception):
    """A server sent more than it may."""


def list_servers(
    specs: Sequence[ServerSpec], *, limits: Limits = _DEFAULT_LIMITS, at_once: int = 4
) -> tuple[Listing, ...]:
    """Start or reach each server and list its tools; one listing a server, in their order.

    Nothing is raised for what a server does: its listing says it.
    """
    return anyio.run(list_servers_async, specs, limits, at_once)


async def list_servers_async(
    specs: Sequence[ServerSpec], limits: Limits = _DEFAULT_LIMITS, at_once: int = 4
) -> tuple[Listing, ...]:
    """List servers from within an event loop: as `list_servers`."""
    found: list[Listing] = [Listing(spec.name) for spec in specs]
    room = anyio.CapacityLimiter(at_once)

    async def one(place: int, spec: ServerSpec) -> None:
        async with room:
            found[place] = await _list_one(spec, limits)

    with quiet_libraries():
        async with anyio.create_task_group() as tasks:
            for place, spec in enumerate(specs):
                tasks.start_soon(one, place, spec)
    return tuple(found)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what clients and servers send out of the log: the protocol's libraries quote it."""
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


async def _list_one(spec: ServerSpec, limits: Limits) -> Listing:
    began = time.monotonic()
    try:
        spec = with_references(spec)
    except LookupError as error:
        return Listing(spec.name, problem=f"was not started: {error.args[0]}")
    listing = Listing(spec.name)
    try:
        if spec.command is not None:
            listing = await _list_stdio(spec, limits)
        else:
            listing = await _list_http(spec, limits)
    except Exception as error:  # noqa: BLE001  (whatever a server does must not end the others)
        listing = Listing(spec.name, problem=why_failed(error, spec))
    return replace(listing, seconds=round(time.monotonic() - began, 3))


def with_references(spec: ServerSpec) -> ServerSpec:
    """Fill in what a server's entry refers to.

    Raises:
        LookupError: something that it refers to is not known; the message names it.
    """
    environ = os.environ
    return replace(
        spec,
        command=spec.command and tuple(resolve(word, environ) for word in spec.command),
        url=spec.url and resolve(spec.url, environ),
        cwd=spec.cwd and resolve(spec.cwd, environ),
        env=tuple(replace(given, text=resolve(given.text, environ)) for given in spec.env),
        headers=tuple(replace(given, text=resolve(given.text, environ)) for given in spec.headers),
    )


def secrets_of_spec(spec: ServerSpec) -> tuple[str, ...]:
    """Return what a server is given in its environment and headers: it never reaches a text."""
    return tuple(given.text for given in (*spec.env, *spec.headers))


def _shown(text: object, spec: ServerSpec, longest: int = 300) -> str:
    return plain(mask(str(text)[: 4 * longest], secrets_of_spec(spec)), longest)


# -- stdio -------------------------------------------------------------------------------------


async def _list_stdio(spec: ServerSpec, limits: Limits) -> Listing:
    env = {given.name: given.text for given in spec.env}
    async with started(spec.command or (), env, spec.cwd) as server:
        problem: str | None = None
        listing = Listing(spec.name)
        with anyio.move_on_after(limits.seconds) as clock:
            try:
                listing = await _converse(spec, transport(server, limits.total_bytes), limits)
            except Exception as error:  # noqa: BLE001  (what went wrong is said with what it printed)
                problem = await _why_stdio(error, spec, server)
        if clock.cancelled_caught:
            problem = f"gave no full answer within {limits.seconds:g} s"
        if server.flooded:
            problem = f"floods: {server.flooded}"
    printed = _printed(spec, server, limits)
    if problem is None:
        return replace(listing, printed=printed)
    if server.printed.garbage:
        problem += f"; it printed {_shown(server.printed.garbage[0], spec, 80)!r}, no JSON-RPC"
    return Listing(spec.name, problem=problem, printed=printed)


async def _why_stdio(error: BaseException, spec: ServerSpec, server: ServerProcess) -> str:
    """Say what went wrong; a server that ended is given a moment for its exit code to be seen."""
    if server.ended and not server.flooded:
        await exited(server.process, 1)
        code = server.process.returncode
        if code is not None:
            how = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
            return f"ended {how} before it had listed its tools"
        return "closed its output before it had listed its tools"
    return why_failed(error, spec)


def _printed(spec: ServerSpec, server: ServerProcess, limits: Limits) -> tuple[str, ...]:
    lines = [*server.printed.garbage, *server.printed.last()]
    return tuple(_shown(line, spec, 200) for line in lines[-limits.lines_kept :])


# -- HTTP --------------------------------------------------------------------------------------


class _Metered(httpx2.AsyncBaseTransport):
    """Count the bytes of every answer, and stop at a limit."""

    def __init__(self, most_bytes: int) -> None:
        self.inner = httpx2.AsyncHTTPTransport()
        self.most = most_bytes
        self.received = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self.inner.handle_async_request(request)
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _MeteredStream(response.stream, self)
        return response

    async def aclose(self) -> None:
        await self.inner.aclose()


class _MeteredStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, meter: _Metered) -> None:
        self.inner = inner
        self.meter = meter

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self.inner:
            self.meter.received += len(chunk)
            if self.meter.received > self.meter.most:
                raise httpx2.ReadError("the limit of bytes is passed")
            yield chunk

    async def aclose(self) -> None:
        await self.inner.aclose()


async def _list_http(spec: ServerSpec, limits: Limits) -> Listing:
    meter = _Metered(limits.total_bytes)
    problem: str | None = None
    listing = Listing(spec.name)
    with anyio.move_on_after(limits.seconds) as clock:
        try:
            listing = await _converse(spec, _http_transport(spec, meter, limits), limits)
        except Exception as error:  # noqa: BLE001  (the listing says what went wrong)
            problem = why_failed(error, spec)
    if clock.cancelled_caught:
        problem = f"gave no full answer within {limits.seconds:g} s"
    if meter.received > meter.most:
        problem = f"floods: it sent more than {meter.most:,} bytes"
    return listing if problem is None else Listing(spec.name, problem=problem)


@asynccontextmanager
async def _http_transport(
    spec: ServerSpec, meter: _Metered, limits: Limits
) -> AsyncGenerator[Any, None]:
    headers = {given.name: given.text for given in spec.headers}
    url = spec.url or ""

    def client(
        headers: dict[str, str] | None = headers,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        wait = timeout or httpx2.Timeout(limits.seconds)
        return httpx2.AsyncClient(transport=meter, headers=headers, timeout=wait, auth=auth)

    if spec.transport == "sse":
        async with sse_client(url, headers, httpx_client_factory=client) as streams:
            yield streams
        return
    async with (
        client() as http,
        streamable_http_client(url, http_client=http, max_sse_event_size=meter.most) as streams,
    ):
        yield streams


# -- the protocol --------------------------------------------------------------------------------


async def _converse(spec: ServerSpec, streams: Any, limits: Limits) -> Listing:
    """Negotiate, list every page, and take what may stand in a manifest."""
    client = Client(streams, mode="auto", cache=None, client_info=_CLIENT)
    async with client:
        raw = await tool_pages(client, limits)
        tools, refused = tools_of_pages(raw, limits)
        info = client.server_info
        return Listing(
            spec.name,
            tools=tools,
            refused=refused,
            protocol=plain(client.protocol_version, 40),
            server_info=None if info is None else plain(f"{info.name} {info.version}", 120),
            instructions=client.instructions,
        )


async def tool_pages(client: Client, limits: Limits) -> list[Any]:
    """Every tool of every page, as it came.

    Raises:
        _FloodError: there are more tools or pages than there may be, or the pages go in a circle.
    """
    found: list[Any] = []
    cursor: str | None = None
    seen: set[str] = set()
    for _ in range(limits.pages):
        params = mcp_types.PaginatedRequestParams(cursor=cursor)
        request = mcp_types.ListToolsRequest(params=params)
        page = (await client.session.send_request(request, _Page)).model_dump(by_alias=True)
        found += page.get("tools") or ()
        if len(found) > limits.tools:
            raise _FloodError(f"it lists more than {limits.tools:,} tools")
        cursor = page.get("nextCursor")
        if not cursor:
            return found
        if cursor in seen:
            raise _FloodError("its pages go in a circle")
        seen.add(cursor)
    raise _FloodError(f"it lists more than {limits.pages:,} pages")


def tools_of_pages(
    raw: Sequence[Any], limits: Limits
) -> tuple[tuple[ListedTool, ...], tuple[str, ...]]:
    """Make records of the tools that may stand in a manifest; say which may not, and why."""
    names = [tool.get("name") for tool in raw if isinstance(tool, Mapping)]
    tools: list[ListedTool] = []
    refused: list[str] = []
    for tool in raw:
        if not isinstance(tool, Mapping):
            refused.append("a tool that is no object")
            continue
        name = tool.get("name")
        why = why_refused(name)
        if why is None and names.count(name) > 1:
            why = "it is listed more than once: which one is called cannot be told"
        if why is None and (size := _size(tool)) > limits.tool_bytes:
            why = f"its description has {size:,} bytes, {limits.tool_bytes:,} are the limit"
        if why is None:
            tools.append(_listed(tool))
        else:
            refused.append(f"{plain(repr(name), 60)}: {why}")
    return tuple(tools), tuple(dict.fromkeys(refused))


def _size(tool: Mapping[str, Any]) -> int:
    return len(canonical(tool).encode(errors="replace"))


def _listed(tool: Mapping[str, Any]) -> ListedTool:
    def text(key: str) -> str | None:
        return tool[key] if isinstance(tool.get(key), str) else None

    def mapping(key: str) -> Mapping[str, Any] | None:
        return tool[key] if isinstance(tool.get(key), Mapping) else None

    return ListedTool(
        name=tool["name"],
        title=text("title"),
        description=text("description"),
        input_schema=mapping("inputSchema") or {},
        output_schema=mapping("outputSchema"),
        annotations=mapping("annotations"),
    )


def why_failed(error: BaseException, spec: ServerSpec) -> str:
    """One sentence for what went wrong, whatever it was wrapped in."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    if isinstance(error, _FloodError):
        why = f"floods: {error}"
    elif isinstance(error, FileNotFoundError):
        why = f"was not started: there is no {_shown(error.filename, spec, 120)!r}"
    elif isinstance(error, OSError) and spec.command is not None:
        why = f"was not started: {_shown(error.strerror or error, spec)}"
    elif isinstance(error, MCPError):
        why = f"answered with an error: {_shown(error.error.message, spec)}"
    elif isinstance(error, ValidationError):
        where = ".".join(str(step) for step in error.errors()[0]["loc"][:6])
        why = f"answered what the protocol does not allow, at {_shown(where, spec, 80)!r}"
    elif isinstance(error, httpx2.HTTPError | OSError):
        why = f"cannot be reached: {_shown(error, spec) or type(error).__name__}"
    else:
        why = f"could not be listed: {type(error).__name__}: {_shown(error, spec)}"
    return why
