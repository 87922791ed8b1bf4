"""One server process: its pipes as a transport, its limits, and the end of its whole tree.

A server is somebody else's program.  While it is listed it runs as the user who lists it, in a
session of its own; what it prints never reaches the caller's streams.  Afterwards every process
that it started and that can be found is killed: its process group, its descendants, and, where
the system shows processes' environments (Linux), whatever still carries the mark that it was
started with, however it detached itself.  A process that has shed its mark, its parents and its
group escapes this; only containment holds such a one.
"""

import os
import secrets
import signal
import subprocess
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import mcp_types
from anyio.abc import ObjectReceiveStream, ObjectSendStream, Process
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

MARK = "CORRIGIBLE_LISTED"
"""The environment variable that marks the processes of one listing."""

_PROC = Path("/proc")
_GRACE_S = 0.5
_CHUNK = 65_536
_CLOSED = (
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    ConnectionError,
    OSError,
)
_LONGEST_LINE_SHOWN = 400


@dataclass
class Printed:
    """What a server printed that is not the protocol: the last lines, in bounded room."""

    lines: deque[str] = field(default_factory=lambda: deque(maxlen=40))
    garbage: deque[str] = field(default_factory=lambda: deque(maxlen=5))
    rest: bytes = b""

    def add(self, chunk: bytes) -> None:
        """Take what was printed on stderr."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        self.rest = self.rest[-4096:]
        self.lines.extend(line[:_LONGEST_LINE_SHOWN].decode(errors="replace") for line in lines)

    def last(self) -> tuple[str, ...]:
        """Return the lines, the unfinished one included."""
        tail = (self.rest[:_LONGEST_LINE_SHOWN].decode(errors="replace"),) if self.rest else ()
        return tuple(line for line in (*self.lines, *tail) if line.strip())


@dataclass
class ServerProcess:
    """A running server: how it ended, what it printed, and why it was cut off, if it was."""

    process: Process
    mark: str
    printed: Printed = field(default_factory=Printed)
    received: int = 0
    ended: bool = False
    flooded: str | None = None


@asynccontextmanager
async def started(
    command: Sequence[str], env: Mapping[str, str], cwd: str | None
) -> AsyncGenerator[ServerProcess, None]:
    """Start a server; when the block is left, however it is, nothing of it runs any more.

    Raises:
        OSError: it cannot be started.
    """
    mark = secrets.token_hex(16)
    process = await anyio.open_process(
        list(command),
        env={**get_default_environment(), **env, MARK: mark},
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    server = ServerProcess(process, mark)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_drain_stderr, server)
            try:
                yield server
            finally:
                with anyio.CancelScope(shield=True):
                    await _end(server)
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _release(process)


@asynccontextmanager
async def transport(server: ServerProcess, most_bytes: int) -> AsyncGenerator[Any, None]:
    """Speak newline-delimited JSON-RPC with a server: yield the streams that a client wants.

    Lines that are no JSON-RPC are kept in `server.printed.garbage`.  A server that sends more
    than `most_bytes` is cut off, and `server.flooded` says so.
    """
    to_client, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_client = anyio.create_memory_object_stream[SessionMessage](0)
    async with to_client, incoming, outgoing, from_client, anyio.create_task_group() as tasks:
        tasks.start_soon(_receive, server, to_client, most_bytes)
        tasks.start_soon(_send, server, from_client)
        try:
            yield incoming, outgoing
        finally:
            tasks.cancel_scope.cancel()


async def _receive(
    server: ServerProcess,
    to_client: ObjectSendStream[SessionMessage | Exception],
    most_bytes: int,
) -> None:
    """Hand each line of the server's stdout to the client, until it ends or floods."""
    stdout = server.process.stdout
    line = bytearray()
    with suppress(*_CLOSED):
        async with to_client:
            while stdout is not None and not server.flooded:
                chunk = await stdout.receive(_CHUNK)
                server.received += len(chunk)
                if server.received > most_bytes:
                    server.flooded = f"it sent more than {most_bytes:,} bytes"
                    break
                *whole, rest = chunk.split(b"\n")
                for piece in whole:
                    line += piece
                    if message := _message(bytes(line), server):
                        await to_client.send(message)
                    line.clear()
                line += rest
    server.ended = True


def _message(line: bytes, server: ServerProcess) -> SessionMessage | None:
    if not line.strip():
        return None
    try:
        message = mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        server.printed.garbage.append(line[:_LONGEST_LINE_SHOWN].decode(errors="replace"))
        return None
    return SessionMessage(message)


async def _send(server: ServerProcess, from_client: ObjectReceiveStream[SessionMessage]) -> None:
    """Write each message of the client to the server's stdin."""
    stdin = server.process.stdin
    with suppress(*_CLOSED):
        async for message in from_client:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            if stdin is not None:
                await stdin.send(text.encode() + b"\n")


async def _drain_stderr(server: ServerProcess) -> None:
    stderr = server.process.stderr
    with suppress(*_CLOSED):
        while stderr is not None:
            server.printed.add(await stderr.receive(_CHUNK))


# -- the end -----------------------------------------------------------------------------------


async def _end(server: ServerProcess) -> None:
    """Ask it to end by closing its stdin, then kill all that is left of it."""
    process = server.process
    family = _family(process.pid)
    if process.stdin is not None:
        with suppress(*_CLOSED):
            await process.stdin.aclose()
    await exited(process, _GRACE_S)
    deadline = time.monotonic() + 2 * _GRACE_S
    while True:
        left = {pid for pid, start in family.items() if _started_at(pid) == start}
        left |= _marked(server.mark)
        if process.returncode is None:
            left.add(process.pid)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not left or time.monotonic() > deadline:
            return
        await anyio.sleep(0.02)


async def exited(process: Process, seconds: float) -> bool:
    """Say whether a process ends within a time.

    `Process.wait` would also wait for its pipes, which a child that outlives it may hold open.
    """
    deadline = time.monotonic() + seconds
    while process.returncode is None:
        if time.monotonic() > deadline:
            return False
        await anyio.sleep(0.01)
    return True


async def _release(process: Process) -> None:
    """Close the pipes, also where a process that got away still holds their other ends."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(*_CLOSED):
                await stream.aclose()
    await exited(process, 1)
    transport_ = getattr(getattr(process, "_process", None), "_transport", None)
    if callable(close := getattr(transport_, "close", None)):
        with suppress(PermissionError, ProcessLookupError):
            close()
    await anyio.lowlevel.checkpoint()


def _marked(mark: str) -> set[int]:
    """Return the processes whose environment holds the mark; empty where none can be seen."""
    sign = f"{MARK}={mark}".encode()
    found = set()
    for entry in _PROC.glob("[0-9]*/environ"):
        with suppress(OSError):
            if sign in entry.read_bytes():
                found.add(int(entry.parent.name))
    return found


def _family(root: int) -> dict[int, int]:
    """Return the descendants of a process, each with the time at which it started."""
    parents: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            parents.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found: dict[int, int] = {}
    queue = deque(parents.get(root, ()))
    while queue:
        pid = queue.popleft()
        if (start := _started_at(pid)) is not None:
            found[pid] = start
        queue.extend(parents.get(pid, ()))
    return found


def _started_at(pid: int) -> int | None:
    """Return when a process started, in the system's ticks; None: it is gone, or a zombie."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])
