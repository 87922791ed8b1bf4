"""Newline-delimited JSON-RPC over pipes, read and written with no task in between.

A reader is what the protocol's library reads messages from, a writer what it writes them to.
On the side of the agent every line is parsed strictly: what two parsers may read differently
(a repeated key, NaN, a lone surrogate) is answered with an error and goes no further.
"""

import asyncio
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, Self

import anyio
import mcp_types
from mcp.shared.message import SessionMessage
from pydantic import ValidationError

from corrigible.guard.strict import StrictError, parse_strict

_CHUNK = 65_536
_CLOSED = (
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    ConnectionError,
    OSError,
)

Message = SessionMessage | Exception
Read = Callable[[], Awaitable[bytes]]
"""Returns the next bytes, b"" at the end."""
Parse = Callable[[bytes], Awaitable[SessionMessage | None]]
"""Makes a message of a line; None where the line is none and was dealt with."""


class FloodError(Exception):
    """A peer sent a line that is longer than it may be."""


class Lines:
    """The messages of a byte stream: a reader as the protocol's library wants one."""

    def __init__(self, read: Read, parse: Parse, longest: int) -> None:
        self._read, self._parse, self._longest = read, parse, longest
        self._rest = bytearray()
        self._lines: list[bytes] = []
        self.ended = anyio.Event()
        self.flooded = False

    async def receive(self) -> Message:
        """Return the next message; the end of the stream is an `EndOfStream`."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        while True:
            while self._lines:
                line = self._lines.pop(0)
                if line.strip() and (message := await self._parse(line)) is not None:
                    return message
            if not await self._more():
                self.ended.set()
                raise StopAsyncIteration

    async def _more(self) -> bool:
        try:
            chunk = await self._read()
        except _CLOSED:
            return False
        first, *others = chunk.split(b"\n")
        self._rest += first
        for other in others:
            self._lines.append(bytes(self._rest))
            self._rest = bytearray(other)
        if len(self._rest) > self._longest:
            self.flooded = True
            return False
        return bool(chunk)

    async def aclose(self) -> None:
        """Nothing is closed: the pipe belongs to who opened it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


class LineWriter:
    """Writes each message as one line: a writer as the protocol's library wants one."""

    def __init__(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        self._write = write

    async def send(self, item: SessionMessage, /) -> None:
        """Write a message, whole or not at all."""
        await self.line(item.message.model_dump_json(by_alias=True, exclude_unset=True).encode())

    async def line(self, text: bytes) -> None:
        """Write one line, whole or not at all."""
        try:
            await self._write(text + b"\n")
        except _CLOSED as error:
            raise anyio.BrokenResourceError from error

    async def aclose(self) -> None:
        """Nothing is closed: the pipe belongs to who opened it."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None


class Source(Protocol):
    """A reader of the protocol's library."""

    async def receive(self) -> Message:
        """Return the next message, as the library's own streams do."""

    async def aclose(self) -> None:
        """Let go of it."""


class Taken:
    """A reader that takes out the messages that `take` takes, and hands on everything else.

    `gone` is told when nothing more comes.
    """

    def __init__(
        self, inner: Any, take: Callable[[object], bool], gone: Callable[[], None] = lambda: None
    ) -> None:
        self._inner, self._take, self._gone = inner, take, gone
        self.ended = anyio.Event()

    @property
    def last_context(self) -> Any:
        """The sender's context of the last message, where the inner reader keeps it."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> Message:
        """Return the next message that was not taken out."""
        while True:
            try:
                item: Message = await self._inner.receive()
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                self._end()
                raise
            if not isinstance(item, SessionMessage) or not self._take(item.message):
                return item

    def _end(self) -> None:
        self.ended.set()
        self._gone()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Close the inner reader."""
        self._end()
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


# -- this process's own pipes --------------------------------------------------------------------


def strict_parser(answer: Callable[[SessionMessage], Awaitable[None]]) -> Parse:
    """Return a strict parser of clients' lines; what it refuses it answers with `answer`."""

    async def parse(line: bytes) -> SessionMessage | None:
        try:
            value = parse_strict(line)
            message = mcp_types.jsonrpc_message_adapter.validate_python(value, by_name=False)
        except StrictError as error:
            await answer(SessionMessage(refusal(None, mcp_types.PARSE_ERROR, str(error))))
            return None
        except ValidationError:
            id_ = value.get("id") if isinstance(value, dict) else None
            text = "a message must be one JSON-RPC request, notification or response"
            await answer(SessionMessage(refusal(id_, mcp_types.INVALID_REQUEST, text)))
            return None
        return SessionMessage(message)

    return parse


def refusal(id_: Any, code: int, message: str) -> mcp_types.JSONRPCError:
    """Return a JSON-RPC error; an id that is none becomes null."""
    known = id_ if isinstance(id_, str | int) and not isinstance(id_, bool) else None
    error = mcp_types.ErrorData(code=code, message=message)
    return mcp_types.JSONRPCError(jsonrpc="2.0", id=known, error=error)


@asynccontextmanager
async def own_stdio(longest: int) -> AsyncIterator[tuple[Lines, LineWriter]]:
    """Speak over this process's stdin and stdout, for as long as the block is open.

    Meanwhile descriptor 0 is the null device and 1 is stderr: what else in this process reads
    or prints cannot touch the protocol.
    """
    stdin, stdout = _taken(0), _taken(1)
    loop = asyncio.get_running_loop()
    try:
        # `open` decides whether a descriptor can be waited for; a file cannot, and is read whole.
        reader = asyncio.StreamReader()
        source, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(stdin, "rb", buffering=0)
        )
        sink_transport, sink_protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop), os.fdopen(stdout, "wb", buffering=0)
        )
        sink = asyncio.StreamWriter(sink_transport, sink_protocol, None, loop)

        async def write(data: bytes) -> None:
            sink.write(data)
            await sink.drain()

        writer = LineWriter(write)
        try:
            yield Lines(lambda: reader.read(_CHUNK), strict_parser(writer.send), longest), writer
            with suppress(*_CLOSED), anyio.move_on_after(1):
                await sink.drain()
        finally:
            source.close()
            sink_transport.close()
    finally:
        _given_back(0, 1)


_KEPT: dict[int, int] = {}


def _taken(fd: int) -> int:
    """Return a copy of a standard descriptor, and point the descriptor itself elsewhere."""
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    _KEPT[fd] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    if fd == 1:
        sys.stdout.flush()
        os.dup2(2, 1)
    else:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, fd)
        os.close(null)
    return copy


def _given_back(*fds: int) -> None:
    for fd in fds:
        if (kept := _KEPT.pop(fd, None)) is not None:
            os.dup2(kept, fd)
            os.close(kept)
