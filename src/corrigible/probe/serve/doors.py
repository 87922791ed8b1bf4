"""Serve a simulated deployment: one client over stdio, or any number over streamable HTTP.

What is one run: over stdio the process; over HTTP at `/mcp` a session of the handshake era; at
`/mcp/NAME` whatever is sent there, in either era, since the 2026 era has no sessions and every
client can be given an address.  A name that was used stays used: it only tells runs apart, and
chooses nothing.
"""

import asyncio
import hmac
import os
import re
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import anyio.abc
import mcp_types
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from corrigible.deployment.listening import (
    bound_port,
    serve_app,
    set_by_signal,
)
from corrigible.deployment.servers import quiet_libraries
from corrigible.errors import ProbeError
from corrigible.probe.serve.runs import MOST_OPEN, Run, Runs
from corrigible.probe.serve.server import Context, Deployed

PATH = "/mcp"
IDLE_S = 600.0
LEAST_TOKEN = 16
"""Characters of a bearer token."""

_LARGEST = 1_000_000  # bytes of a message
_RUN_KEY = "corrigible.run"
_AT = re.compile(rf"{PATH}(?:/([A-Za-z0-9._-]{{1,64}}))?")
_LOOK_S = 1.0


@dataclass(frozen=True)
class Port:
    """Streamable HTTP on a TCP port; 0 takes a free one.  `token`: what clients must show."""

    token: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        if len(self.token) < LEAST_TOKEN:
            got = len(self.token)
            raise ProbeError(f"the token must have {LEAST_TOKEN} characters or more, got {got}")


async def serve_stdio(runs: Runs) -> None:
    """Serve one run over this process's stdin and stdout, until the client has gone.

    A SIGINT or SIGTERM ends it too; what was done until then is kept.
    """
    own: list[Run | None] = []
    lock = anyio.Lock()

    async def run_of(_ctx: Context) -> Run | None:
        async with lock:
            if not own:
                own.append(await anyio.to_thread.run_sync(runs.begin))
        return own[0]

    server = Deployed(runs.plan.loaded.deployment.name, runs, run_of)
    with quiet_libraries():
        async with anyio.create_task_group() as tasks:
            if threading.current_thread() is threading.main_thread():
                tasks.start_soon(_cancelled_by_signal, tasks.cancel_scope)
            stdin = cast("anyio.AsyncFile[str]", _stdin_lines())
            async with stdio_server(stdin=stdin) as (read, write):
                await server.run(read, write, server.create_initialization_options())
            tasks.cancel_scope.cancel()
    for run in own:
        if run is not None:
            runs.leave(run, "the client disconnected")


async def serve_http(
    runs: Runs,
    door: Port,
    *,
    idle_s: float = IDLE_S,
    opened: Callable[[str], None] | None = None,
    until: anyio.Event | None = None,
) -> None:
    """Serve runs over HTTP until every episode is kept, `until`, a SIGINT or a SIGTERM.

    Args:
        runs: what is served.
        door: where, and with what token.
        idle_s: a run whose client is silent for so long is over, cut short.
        opened: told the address once it can be reached.
        until: ends the serving when it is set.

    Raises:
        OSError: the port cannot be had.
    """
    end = until or anyio.Event()
    bound, where, hosts = bound_port(door.host, door.port)
    app = HttpFront(runs, door.token, sorted(hosts), idle_s)
    with bound, quiet_libraries():
        async with anyio.create_task_group() as tasks:
            await tasks.start(serve_app, app, bound)
            if opened is not None:
                opened(f"http://{where}{PATH}")
            if threading.current_thread() is threading.main_thread():
                tasks.start_soon(set_by_signal, end)
            tasks.start_soon(_watch, runs, idle_s, end)
            await end.wait()
            tasks.cancel_scope.cancel()


class HttpFront:
    """An ASGI application: the deployment at `/mcp` and `/mcp/NAME`, and nothing else."""

    def __init__(self, runs: Runs, token: str, hosts: list[str], idle_s: float) -> None:
        self.runs, self._token = runs, token
        self._named: dict[str, Run] = {}
        self._lock = anyio.Lock()
        self.manager = StreamableHTTPSessionManager(
            app=Deployed(runs.plan.loaded.deployment.name, runs, self._run_of),
            # No page that a browser shows may come in, by whatever name it found this host.
            security_settings=TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[]),
            session_idle_timeout=idle_s,
            max_request_body_size=_LARGEST,
            max_sessions=2 * MOST_OPEN,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it before it is parsed."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        problem = self._problem(request)
        if problem is not None:
            await problem(scope, receive, send)
            return
        await self.manager.handle_request(scope, receive, send)

    def _problem(self, request: Request) -> Response | None:
        at = _AT.fullmatch(request.scope["path"])
        if at is None:
            return Response("not found", 404)
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip().encode("latin-1", "replace")
        if kind.lower() != "bearer" or not hmac.compare_digest(given, self._token.encode()):
            return Response("needs a bearer token", 401, {"www-authenticate": "Bearer"})
        request.scope[_RUN_KEY] = at[1]
        version = request.headers.get("mcp-protocol-version")
        if at[1] is None and version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            return _nameless(version)
        return None

    async def _run_of(self, ctx: Context) -> Run | None:
        """Return the run of a name, or of a session; its first request begins it."""
        scope: Any = getattr(ctx.request, "scope", {})
        name = scope.get(_RUN_KEY)
        # The only handle on the session: what is kept there lasts as long as it does.
        connection = ctx.session._connection  # noqa: SLF001
        async with self._lock:
            run = connection.state.get(_RUN_KEY) if name is None else self._named.get(name)
            if run is None:
                run = await anyio.to_thread.run_sync(self.runs.begin)
                if run is None:
                    return None
                if name is None:
                    connection.state[_RUN_KEY] = run
                else:
                    self._named[name] = run
        if ctx.method == "initialize":
            connection.exit_stack.callback(self.runs.leave, run, "the client disconnected")
        return run


def _nameless(version: str) -> Response:
    """Say that a client without sessions needs a name; others go on with the handshake."""
    told = mcp_types.UnsupportedProtocolVersionErrorData(
        supported=list(HANDSHAKE_PROTOCOL_VERSIONS), requested=version[:40]
    )
    text = f"without sessions the address must name the run: {PATH}/NAME, a new NAME for each"
    code = mcp_types.UNSUPPORTED_PROTOCOL_VERSION
    error = mcp_types.ErrorData(code=code, message=text, data=told.model_dump(mode="json"))
    body = mcp_types.JSONRPCError(jsonrpc="2.0", id=None, error=error)
    return Response(
        body.model_dump_json(by_alias=True, exclude_unset=True), 400, media_type="application/json"
    )


async def _watch(runs: Runs, idle_s: float, end: anyio.Event) -> None:
    """End runs that have fallen silent, and the serving once nothing is left to play."""
    while not end.is_set():
        await anyio.sleep(min(_LOOK_S, idle_s))
        for run in runs.silent_for(idle_s):
            runs.leave(run, f"the client was silent for {idle_s:g} s")
        if not runs.open and runs.kept >= runs.all:
            await anyio.sleep(_LOOK_S)  # for the last answers to be written
            end.set()


async def _stdin_lines() -> AsyncIterator[str]:
    """Give the lines of stdin, so that a signal need not wait for the next one.

    Meanwhile descriptor 0 is the null device: nothing else in this process reads the protocol.
    """
    reader = asyncio.StreamReader(limit=_LARGEST)
    own = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(own, "rb", buffering=0)
    )
    try:
        with suppress(ValueError, ConnectionError):  # a line longer than any message ends it
            async for line in reader:
                yield line.decode("utf-8", "replace")
    finally:
        transport.close()


async def _cancelled_by_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()
