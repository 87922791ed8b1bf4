"""Serve clients: over this process's stdio, a port, a unix socket, or several at once."""

import os
import socket
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.abc

from corrigible.deployment.listening import (
    bound_port,
    serve_app,
    set_by_signal,
)
from corrigible.deployment.servers import quiet_libraries
from corrigible.guard.call import Caller
from corrigible.guard.proxy.admit import GateLike
from corrigible.guard.proxy.back import Back
from corrigible.guard.proxy.front import Front
from corrigible.guard.proxy.http import Access, HttpFront
from corrigible.guard.proxy.hub import Hub
from corrigible.guard.proxy.wire import own_stdio

_LONGEST = 4_000_000
_GRACE_S = 2.0


@dataclass(frozen=True)
class Stdio:
    """One client over this process's stdin and stdout; when it has gone, serving ends."""


@dataclass(frozen=True)
class Port:
    """Streamable HTTP on a TCP port; 0 takes a free one.  `origins`: pages that may come in."""

    tokens: Mapping[str, Caller] = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    origins: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Unix:
    """Streamable HTTP on a unix socket, as `http://localhost/mcp`; `mode` says who may open it.

    `hosts`: what else clients may call it by, as where a port leads to it.
    """

    tokens: Mapping[str, Caller] = field(repr=False)
    path: Path
    mode: int = 0o600
    hosts: frozenset[str] = frozenset()


Door = Stdio | Port | Unix


async def serve(
    gate: GateLike,
    backs: Sequence[Back],
    doors: Sequence[Door],
    *,
    caller: Caller | None = None,
    until: anyio.Event | None = None,
    opened: Callable[[str], None] | None = None,
) -> None:
    """Serve every door until `until`, a SIGINT or SIGTERM, or the end of a stdio client.

    At the end every call in flight is answered, then the servers are ended with all that they
    started.

    Args:
        gate: decides every call.
        backs: the servers, none of them running yet.
        doors: where clients come in; one gate, one set of servers behind all of them.
        caller: who calls over stdio.
        until: ends the serving when it is set.
        opened: told the address of each door once it can be reached.

    Raises:
        OSError: a port or a socket cannot be had.
    """
    hub = Hub(gate, backs, caller=caller)
    front = Front(hub)
    end = until or anyio.Event()
    with quiet_libraries():
        async with anyio.create_task_group() as tasks:
            await tasks.start(hub.run)
            for door in doors:
                where = await tasks.start(_open, door, front, end)
                if opened is not None:
                    opened(where)
            if threading.current_thread() is threading.main_thread():
                tasks.start_soon(set_by_signal, end)
            await end.wait()
            front.calls.close()
            with anyio.move_on_after(_GRACE_S):
                await front.calls.idle()
            tasks.cancel_scope.cancel()


async def serve_stdio(
    gate: GateLike, backs: Sequence[Back], *, caller: Caller | None = None
) -> None:
    """Serve one client over stdin and stdout: as `serve`."""
    await serve(gate, backs, (Stdio(),), caller=caller)


async def serve_http(
    gate: GateLike,
    backs: Sequence[Back],
    *,
    tokens: Mapping[str, Caller],
    host: str = "127.0.0.1",
    port: int = 0,
    path: Path | None = None,
    opened: Callable[[str], None] | None = None,
) -> None:
    """Serve over HTTP, on a port or, where `path` is given, on a unix socket: as `serve`."""
    door = Unix(tokens, path) if path is not None else Port(tokens, host, port)
    await serve(gate, backs, (door,), opened=opened)


async def _open(
    door: Door,
    front: Front,
    end: anyio.Event,
    *,
    task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED,
) -> None:
    if isinstance(door, Stdio):
        async with own_stdio(_LONGEST) as (read, write):
            task_status.started("stdio")
            await front.run(read, write, front.create_initialization_options())
        end.set()
        return
    bound, access, where = _unix(door) if isinstance(door, Unix) else _port(door)
    app = HttpFront(front, access, longest=_LONGEST)
    with bound:
        try:
            async with anyio.create_task_group() as tasks:
                await tasks.start(serve_app, app, bound)
                task_status.started(where)
        finally:
            if isinstance(door, Unix):
                with suppress(OSError):
                    door.path.unlink()


def _port(door: Port) -> tuple[socket.socket, Access, str]:
    bound, where, hosts = bound_port(door.host, door.port)
    return bound, Access(door.tokens, hosts, door.origins), f"http://{where}/mcp"


def _unix(door: Unix) -> tuple[socket.socket, Access, str]:
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(door.path.lstat().st_mode):
            raise FileExistsError(f"{door.path} is there, and is no socket")
        door.path.unlink()
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o777 & ~door.mode)  # the socket never exists with wider rights
    try:
        bound.bind(str(door.path))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound, Access(door.tokens, door.hosts | {"localhost"}), f"unix:{door.path}"
