"""A forward proxy with an allow list: how a contained agent reaches its model, and nothing else.

`CONNECT host:port`, and plain `http://` requests, one each connection.  A host is let through
by its exact name and port.  It is resolved once, and the address that was looked at is the one
that is used.  Numeric addresses, and names that resolve to addresses of this machine or of a
private network, are refused unless the list says so.  What goes through `CONNECT` is encrypted:
the proxy vouches for the host and the port, not for what is said there.
"""

import asyncio
import contextlib
import ipaddress
import os
import re
import socket
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from corrigible.errors import GuardError

_HEAD_BYTES = 16_384
_HEAD_S = 10.0
_CONNECT_S = 15.0
_IDLE_S = 900.0
_LINGER_S = 10.0
_MOST = 128
_CHUNK = 65_536
_MOST_PORT, _HTTP = 65_535, 80
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_LINE = re.compile(rb"([A-Z]{1,20}) ([\x21-\x7e]{1,8192}) HTTP/1\.[01]")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e\t\x80-\xff]*?)[ \t]*")
_OWN_HEADERS = {"connection", "host", "keep-alive", "te", "trailer", "upgrade"}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class Allowed:
    """One place that may be reached: a name or a numeric address, exactly, and a port.

    `private`: also where the name resolves to this machine or to a private network.  A numeric
    address that is listed is meant as such.
    """

    host: str
    port: int
    private: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", canonical_host(self.host))
        if not 0 < self.port <= _MOST_PORT:
            raise GuardError(f"{self.host}: a port is between 1 and {_MOST_PORT}, got {self.port}")


@dataclass(frozen=True)
class Connection:
    """One connection that was asked for, and what came of it; bytes as the agent sees them."""

    host: str
    port: int
    allowed: bool
    why: str = ""
    address: str = ""
    sent: int = 0
    received: int = 0
    took_s: float = 0.0


class _RefusedError(Exception):
    def __init__(self, status: str, why: str, host: str = "", port: int = 0) -> None:
        super().__init__(why)
        self.status = status
        self.connection = Connection(host, port, allowed=False, why=why)


@dataclass(frozen=True)
class _Request:
    method: str
    host: str
    port: int
    head: bytes = b""  # what is sent on; empty for CONNECT
    body: int = 0


def canonical_host(host: str) -> str:
    """Return the one spelling of a host's name or address.

    Raises:
        GuardError: it is neither.
    """
    bracketed = host.startswith("[") and host.endswith("]")
    text = host[1:-1] if bracketed else host
    if (address := _address(text)) is not None:
        return str(address)
    text = "" if bracketed else text
    try:
        name = text.removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        name = ""
    # The last part of a name is no number: resolvers take `127.1` and `0x7f000001` for addresses.
    if not _NAME.fullmatch(name) or re.fullmatch(r"(0x[0-9a-f]*|[0-9]+)", name.split(".")[-1]):
        raise GuardError(f"{host!r} is neither a host's name nor a numeric address")
    return name


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system has for a name."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class ForwardProxy:
    """The proxy; `report` is told of every connection, when it was refused or when it ended."""

    def __init__(
        self,
        allowed: Iterable[Allowed],
        report: Callable[[Connection], None],
        *,
        resolve: Resolve = system_resolve,
        idle_s: float = _IDLE_S,
        head_s: float = _HEAD_S,
    ) -> None:
        self._allowed = {(one.host, one.port): one for one in allowed}
        self._report = report
        self._resolve = resolve
        self._idle_s = idle_s
        self._head_s = head_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.asynccontextmanager
    async def serving(self, path: Path) -> AsyncGenerator[None, None]:
        """Serve on a unix socket, for its user alone, until the block is left.

        Raises:
            OSError: the socket cannot be made.
        """
        self._loop = asyncio.get_running_loop()
        listener = _listener(path)
        server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_HEAD_BYTES)
        try:
            yield
        finally:
            server.close()
            await self.close()
            _remove(path)

    async def close(self) -> None:
        """End every connection, and let none in any more."""
        self._closed = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close_soon(self) -> None:
        """Do as `close` from any thread, without waiting for it."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def open_again(self) -> None:
        """Let connections in again, after a stop was lifted."""
        self._closed = False

    def _cancel(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()

    # -- one connection ----------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._closed or len(self._tasks) >= _MOST:
            writer.close()
            return
        self._tasks.add(task)
        try:
            await self._connected(reader, writer)
        except asyncio.CancelledError:
            pass  # closed by a stop: the agent sees the end of its connection
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            self._tasks.discard(task)
            if writer.transport is not None:
                writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = time.monotonic()
        request = _Request("", "", 0)
        try:
            request = await self._asked(reader)
            address = await self._looked_up(request)
            async with asyncio.timeout(_CONNECT_S):
                far = await asyncio.open_connection(address, request.port, limit=_CHUNK)
        except _RefusedError as error:
            self._report(replace(error.connection, took_s=time.monotonic() - began))
            text = f"corrigible: {error}\n"
            head = f"HTTP/1.1 {error.status}\r\nContent-Length: {len(text)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n{text}".encode(errors="replace"))
            await _flushed(writer)
            return
        except OSError as error:  # TimeoutError is one too
            self._report(Connection(request.host, request.port, allowed=True, why=f"{error!r}"))
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            await _flushed(writer)
            return
        counts: Counter[str] = Counter()
        try:
            await self._carry(request, (reader, writer), far, counts)
        finally:
            far[1].transport.abort()
            self._report(
                Connection(
                    request.host,
                    request.port,
                    allowed=True,
                    address=address,
                    sent=counts["sent"],
                    received=counts["received"],
                    took_s=time.monotonic() - began,
                )
            )

    async def _asked(self, reader: asyncio.StreamReader) -> _Request:
        """Read a request in its time.

        Raises:
            _RefusedError: it is not one that this proxy takes, or not all of it came.
        """
        try:
            async with asyncio.timeout(self._head_s):
                return await _request(reader)
        except (TimeoutError, EOFError):
            why = f"no whole request came within {self._head_s:g} s"
            raise _RefusedError("408 Request Timeout", why) from None

    async def _looked_up(self, request: _Request) -> str:
        """Return the one address to use for a request.

        Raises:
            _RefusedError: the list does not allow it.
        """
        host, port = request.host, request.port
        entry = self._allowed.get((host, port))
        if entry is None:
            raise _RefusedError("403 Forbidden", f"{host}:{port} is not on the list", host, port)
        if _address(host) is not None:
            return host
        try:
            async with asyncio.timeout(_CONNECT_S):
                found = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            why = f"{host} cannot be resolved: {error}"
            raise _RefusedError("502 Bad Gateway", why, host, port) from error
        for text in found:
            address = _address(text.partition("%")[0])
            if address is not None and (entry.private or _is_public(address)):
                return str(address)
        why = f"{host} has no public address (it has {', '.join(found) or 'none'})"
        raise _RefusedError("403 Forbidden", why, host, port)

    async def _carry(
        self,
        request: _Request,
        near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        far: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        counts: Counter[str],
    ) -> None:
        """Carry bytes both ways; of a plain request exactly its body goes out."""
        most = None
        if request.method == "CONNECT":
            near[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await near[1].drain()
        else:
            far[1].write(request.head)
            await far[1].drain()
            most = request.body
        out = self._pump(near[0], far[1], counts, "sent", most=most)
        back = self._pump(far[0], near[1], counts, "received")
        tasks = [asyncio.ensure_future(out), asyncio.ensure_future(back)]
        try:
            await tasks[1]
            if request.method == "CONNECT":
                async with asyncio.timeout(_LINGER_S):
                    await tasks[0]
            await _flushed(near[1])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        counts: Counter[str],
        way: str,
        *,
        most: int | None = None,
    ) -> None:
        """Carry bytes one way, to the end of the source or until `most` were carried."""
        left = most
        while left is None or left > 0:
            async with asyncio.timeout(self._idle_s):
                chunk = await source.read(_CHUNK if left is None else min(left, _CHUNK))
                if not chunk:
                    break
                target.write(chunk)
                await target.drain()
            counts[way] += len(chunk)
            left = None if left is None else left - len(chunk)
        if most is None and target.can_write_eof():
            target.write_eof()


def _listener(path: Path) -> socket.socket:
    """Bind a unix socket that is its user's alone before anybody can connect to it."""
    _remove(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        path.chmod(0o600)
    except OSError:
        listener.close()
        raise
    return listener


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _flushed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def _request(reader: asyncio.StreamReader) -> _Request:
    """Read the head of a request.

    Raises:
        _RefusedError: it is not one that this proxy takes.
        EOFError: it did not come whole.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError:
        why = f"a head is longer than {_HEAD_BYTES} bytes"
        raise _RefusedError("431 Request Header Fields Too Large", why) from None
    line, *lines = head[:-4].split(b"\r\n")
    match = _LINE.fullmatch(line)
    if match is None:
        raise _RefusedError("400 Bad Request", "the first line is no request")
    method, target = match[1].decode(), match[2].decode()
    headers = []
    for text in lines:
        found = _HEADER.fullmatch(text)
        if found is None:
            raise _RefusedError("400 Bad Request", "a header is no header")
        headers.append((found[1].decode(), found[2].decode("latin-1")))
    if method == "CONNECT":
        return _Request(method, *_place(target, None))
    return _plain(method, target, headers)


def _plain(method: str, target: str, headers: list[tuple[str, str]]) -> _Request:
    """Take a plain request, to be sent on as one to its host, with its body of a known length.

    A body of unknown length is refused: what follows it on the connection would be another
    request, which nobody had looked at.
    """
    try:
        parts = urlsplit(target)
    except ValueError:
        raise _RefusedError("400 Bad Request", f"{target[:80]!r} is no URL") from None
    if parts.scheme != "http" or not parts.netloc:
        raise _RefusedError("400 Bad Request", "only CONNECT and http:// requests are forwarded")
    host, port = _place(parts.netloc, _HTTP)
    lengths = {value for name, value in headers if name.lower() == "content-length"}
    if any(name.lower() == "transfer-encoding" for name, _ in headers):
        raise _RefusedError("411 Length Required", "the body must have a length", host, port)
    if len(lengths) > 1 or not all(re.fullmatch(r"[0-9]{1,15}", one) for one in lengths):
        raise _RefusedError("400 Bad Request", "the body has no one length", host, port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    shown = f"[{host}]" if ":" in host else host
    lines = [f"{method} {path} HTTP/1.1", f"Host: {shown}" + (f":{port}" * (port != _HTTP))]
    named = {
        token.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for token in value.split(",")
    }
    lines += [
        f"{name}: {value}"
        for name, value in headers
        if name.lower() not in _OWN_HEADERS | named and not name.lower().startswith("proxy-")
    ]
    head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
    return _Request(method, host, port, head, int(next(iter(lengths), "0")))


def _place(authority: str, port: int | None) -> tuple[str, int]:
    """Split `host:port`, with no user in front.

    Raises:
        _RefusedError: it is not one.
    """
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@/?#\\%]+)(?::([0-9]{1,5}))?", authority)
    number = int(match[2]) if match and match[2] else port
    if match is None or number is None or not 0 < number <= _MOST_PORT:
        raise _RefusedError("400 Bad Request", f"{authority[:80]!r} is no host:port")
    try:
        return canonical_host(match[1]), number
    except GuardError as error:
        raise _RefusedError("400 Bad Request", str(error)) from None


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def _is_public(address: Address) -> bool:
    """Whether an address is one of the public network, also where it wraps another."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast
