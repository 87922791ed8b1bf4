"""Serve HTTP on a socket for as long as a task runs."""

import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Protocol

import anyio
import uvicorn
from starlette.types import Receive, Scope, Send


class _Manager(Protocol):
    def run(self) -> AbstractAsyncContextManager[None]: ...


class App(Protocol):
    """An ASGI application with the manager of its sessions."""

    manager: _Manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""


def bound_port(host: str, port: int) -> tuple[socket.socket, str, frozenset[str]]:
    """Return a listening socket, the host and port as an address shows them, and Host headers.

    Port 0 takes a free one.  The headers are those that a client on the same machine may send.

    Raises:
        OSError: the port cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(128)
    except OSError:
        bound.close()
        raise
    number = bound.getsockname()[1]
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    names = {shown.lower(), "localhost", "127.0.0.1", "[::1]"}
    return bound, f"{shown}:{number}", frozenset(f"{name}:{number}" for name in names)


async def serve_app(
    app: App,
    bound: socket.socket,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application on a listening socket until this task is cancelled."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = _Uvicorn(config)
    async with app.manager.run(), anyio.create_task_group() as tasks:
        tasks.start_soon(_run_uvicorn, server, bound)
        task_status.started()  # it listens: whoever connects now waits in the socket's queue
        try:
            await anyio.sleep_forever()
        finally:
            server.should_exit = True


async def set_by_signal(end: anyio.Event) -> None:
    """Set an event at every SIGINT and SIGTERM; of the main thread alone."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            end.set()


async def _run_uvicorn(server: "_Uvicorn", bound: socket.socket) -> None:
    # It ends by `should_exit`: cancelled in the middle it would leave its sockets open.
    with anyio.CancelScope(shield=True):
        await server.serve(sockets=[bound])


class _Uvicorn(uvicorn.Server):
    """The server, with signals left to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
