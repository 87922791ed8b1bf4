"""The operator's door: a Unix socket in the state directory, apart from the agent's.

One JSON object a line: `{"token", "do", …}` in, `{"ok": true, …}` or `{"ok": false, "error"}`
out.  A request counts only from the guard's own user or root, and only with the operator's
token.  The server has its own threads; nothing that a client does holds up the guard.
"""

import hmac
import json
import logging
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self

from corrigible.deployment.listing import plain
from corrigible.errors import CorrigibleError, GuardError, OperatorError
from corrigible.guard.state import StateDirectory, read_token
from corrigible.guard.strict import parse_strict

LARGEST_REQUEST = 1 << 20
LARGEST_ANSWER = 1 << 24
_AT_ONCE = 16
_BACKLOG = 128
_LINE_S = 10.0  # for one whole request to arrive, however slowly it drips
_FIRST_S = 3.0  # for the first one: who has no token yet gets less time
_IDLE_S = 60.0
_SLOWEST_S = 5.0  # what a wrong token waits at most
_FORGIVEN_S = 60.0
_LOG = logging.getLogger(__name__)

Handler = Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Field:
    """One field of a request: its type, and whether it must be there."""

    type: type
    needed: bool = False


_ID = Field(str, needed=True)
_TEXT = Field(str)
_WHY = {"why": _TEXT, "by": _TEXT}
_SCOPED = {"kind": _TEXT, "name": _TEXT, **_WHY}
REQUESTS: Mapping[str, Mapping[str, Field]] = MappingProxyType(
    {
        "status": {},
        "pending": {},
        "show": {"id": _ID},
        "approve": {"id": _ID, "count": Field(int), **_WHY},
        "reject": {"id": _ID, **_WHY},
        "rest": {"by": _TEXT},
        "stop": {**_SCOPED, "grace_s": Field(float)},
        "pause": _SCOPED,
        "resume": {"kind": _TEXT, "name": _TEXT, "by": _TEXT},
        "correct": {"manifest": _ID, **_WHY},
        "put up": {"plan": Field(dict, needed=True), "by": _TEXT},
    }
)
"""What an operator may ask for, and the fields of each request; there are no others."""

_LONGEST_TEXT = 4096


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of a connection, as the kernel says; pid 0: it does not say."""

    pid: int
    uid: int


@dataclass(frozen=True)
class Intrusion:
    """A refused attempt to act as the operator; `times`: how many such since the last report."""

    peer: Peer
    why: str
    times: int


def peer_of(connection: socket.socket) -> Peer:
    """Return who is at the other end of a Unix socket.

    Raises:
        OperatorError: this system does not say.
    """
    if sys.platform == "linux":
        size = struct.calcsize("3i")
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid, uid, _ = struct.unpack("3i", told)
    elif sys.platform == "darwin":  # LOCAL_PEERCRED at SOL_LOCAL: a version, the uid, the groups
        pid, (_, uid) = 0, struct.unpack("2I", connection.getsockopt(0, 1, 76)[:8])
    else:
        raise OperatorError(f"the other end must be known, and {sys.platform} does not say it")
    return Peer(pid, uid)


@contextmanager
def socket_address(state: StateDirectory) -> Iterator[str]:
    """Yield the address of the operator's socket, short enough for the kernel's 107 bytes.

    Raises:
        OperatorError: it is too long, and this system has no other name for it.
    """
    path = str(state.operator_socket)
    if len(os.fsencode(path)) <= 100:  # noqa: PLR2004  (103 on macOS)
        yield path
        return
    if sys.platform != "linux":
        raise OperatorError(f"{path}: a socket's path may have 100 bytes; name another directory")
    folder = os.open(state.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{state.operator_socket.name}"
    finally:
        os.close(folder)


class OperatorServer:
    """Answers operators until it is closed; use it as a context manager.

    Args:
        handler: answers one request, a mapping with `do`, its fields as `REQUESTS` has them, and
            `peer` ({"pid", "uid"}).  It runs on the server's threads.  A `CorrigibleError`'s
            message goes to the operator as it is; of any other error they learn that there was
            one, and the log has it.
        state: whose socket and token these are; the caller holds it (`state.hold_guard`).
        report: is told of refused attempts, for the ledger; at most one report each `_SLOWEST_S`
            while they go on, with how many there were.
    """

    def __init__(
        self,
        handler: Handler,
        state: StateDirectory,
        *,
        report: Callable[[Intrusion], None] = lambda _: None,
    ) -> None:
        self._handler, self._state, self._report = handler, state, report
        self._token = read_token(state).encode()
        self._uids = {os.geteuid(), 0}
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._known: dict[socket.socket, bool] = {}  # connections; whether each showed the token
        self._threads: set[threading.Thread] = set()
        self._wrong = self._unreported = 0
        self._last_wrong = self._report_from = float("-inf")
        self._listener = self._bound()

    def __enter__(self) -> Self:
        self._start(self._accept, "operator")
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server and its connections; what it was answering is cut off."""
        self._closing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections, threads = tuple(self._known), tuple(self._threads)
        for connection in connections:
            _shut(connection)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(2.0)
        self._state.operator_socket.unlink(missing_ok=True)

    def _bound(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Whoever ran before is gone: the caller holds the directory's lock.
            self._state.operator_socket.unlink(missing_ok=True)
            with socket_address(self._state) as address:
                listener.bind(address)
            self._state.operator_socket.chmod(0o600)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise OperatorError(
                f"{self._state.operator_socket}: the operator's socket cannot be opened: "
                f"{error.strerror or error}"
            ) from error
        return listener

    def _start(self, work: Callable[..., None], name: str, *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, name=f"corrigible-{name}", daemon=True)
        with self._lock:
            self._threads = {t for t in self._threads if t.is_alive() or t.ident is None}
            self._threads.add(thread)
        thread.start()

    # -- connections ---------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if self._closing.is_set():
                    return
                _LOG.warning("the operator's socket: %s", error)
                self._closing.wait(0.1)  # out of file handles: others may close some
                continue
            if self._admitted(connection):
                try:
                    self._start(self._serve, "operator-connection", connection)
                except RuntimeError:  # no thread to be had
                    self._forget(connection)

    def _admitted(self, connection: socket.socket) -> bool:
        """Keep a connection; of too many, the oldest that showed no token makes room."""
        with self._lock:
            full = len(self._known) >= _AT_ONCE
            stranger = next((c for c, shown in self._known.items() if not shown), None)
            if full and stranger is not None:
                del self._known[stranger]
                _shut(stranger)
            elif full:
                connection.close()
                return False
            self._known[connection] = False
            return True

    def _forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._known.pop(connection, None)
        connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            peer = peer_of(connection)
            if peer.uid not in self._uids:
                self._intruded(peer, f"uid {peer.uid} is neither the guard's user nor root")
                self._answer(connection, _refusal("only the guard's own user and root may ask"))
                return
            lines = _Lines(connection)
            wait_s, line_s = _FIRST_S, _FIRST_S
            while not self._closing.is_set():
                line = lines.next(wait_s, line_s, LARGEST_REQUEST)
                if line is None:
                    return
                answer = self._answered(line, peer, connection)
                self._answer(connection, answer)
                with self._lock:
                    if not self._known.get(connection):
                        return  # no token, no second try on this connection
                wait_s, line_s = _IDLE_S, _LINE_S
        except GuardError as error:
            with suppress(OSError):
                self._answer(connection, _refusal(str(error)))
        except OSError:
            pass  # the client has gone, or was too slow
        finally:
            self._forget(connection)

    @staticmethod
    def _answer(connection: socket.socket, answer: Mapping[str, Any]) -> None:
        try:
            line = json.dumps(answer, allow_nan=False).encode() + b"\n"
        except (TypeError, ValueError):
            _LOG.exception("an answer to the operator is no JSON")
            line = json.dumps(_refusal("the guard's answer cannot be written")).encode() + b"\n"
        if len(line) > LARGEST_ANSWER:
            told = f"the answer has {len(line):,} bytes, {LARGEST_ANSWER:,} at most; ask for less"
            line = json.dumps(_refusal(told)).encode() + b"\n"
        connection.settimeout(_LINE_S)
        connection.sendall(line)

    # -- requests ------------------------------------------------------------------------------

    def _answered(self, line: bytes, peer: Peer, connection: socket.socket) -> Mapping[str, Any]:
        try:
            request = parse_strict(line, largest=LARGEST_REQUEST)
        except GuardError as error:
            return _refusal(f"the request: {error}")
        given = request.pop("token", None) if isinstance(request, dict) else None
        # Looked at before anything else that is in it, and in the same time wherever it differs.
        mine = given.encode("utf-8", "replace") if isinstance(given, str) else b""
        if not hmac.compare_digest(mine, self._token):
            self._intruded(peer, "no token" if given is None else "a wrong token")
            return _refusal("the token is wrong; run this as the guard's user")
        with self._lock:
            if connection in self._known:
                self._known[connection] = True
        try:
            checked = checked_request(request)
            answer = self._handler(checked | {"peer": {"pid": peer.pid, "uid": peer.uid}})
        except CorrigibleError as error:
            return _refusal(str(error))
        except Exception:  # noqa: BLE001  (the guard lives on; its inside is not theirs to see)
            _LOG.exception("the operator's request %r failed", plain(request.get("do")))
            return _refusal("the guard failed at it; the guard's own log says why")
        return {**answer, "ok": True}

    def _intruded(self, peer: Peer, why: str) -> None:
        """Report a refused attempt, and make whoever made it wait: longer each time."""
        with self._lock:
            now = time.monotonic()
            self._wrong = self._wrong + 1 if now - self._last_wrong < _FORGIVEN_S else 1
            self._last_wrong = now
            self._unreported += 1
            wait_s = min(0.05 * 2.0 ** min(self._wrong - 1, 16), _SLOWEST_S)
            times = self._unreported
            due = now >= self._report_from
            if due:
                self._unreported, self._report_from = 0, now + wait_s
        if due:
            try:
                self._report(Intrusion(peer, why, times))
            except Exception:  # noqa: BLE001  (a ledger that fails must let nobody in)
                _LOG.exception("an intrusion could not be reported")
        self._closing.wait(wait_s)


def checked_request(request: Any) -> dict[str, Any]:
    """Return a request whose `do` is known and whose fields are its own, each of its type.

    Raises:
        OperatorError: it is not.
    """
    if not isinstance(request, dict):
        raise OperatorError(f"a request must be an object, got {plain(repr(request), 80)}")
    do = request.get("do")
    fields = REQUESTS.get(do) if isinstance(do, str) else None
    if fields is None:
        known = ", ".join(REQUESTS)
        raise OperatorError(f"'do' must be one of {known}; got {plain(repr(do), 80)}")
    for name in request:
        if name != "do" and name not in fields:
            may = ", ".join(fields) or "no field"
            raise OperatorError(f"{do!r} takes {may}; got {plain(repr(name), 80)}")
    for name, field in fields.items():
        value = request.get(name)
        if name not in request and not field.needed:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number if field.type is float else type(value) is field.type
        if not fits or (isinstance(value, str) and len(value) > _LONGEST_TEXT):
            told = plain(repr(value), 80) if name in request else "none"
            raise OperatorError(f"{do!r} needs {name!r} as {field.type.__name__}, got {told}")
    return dict(request)


def _refusal(error: str) -> dict[str, Any]:
    return {"ok": False, "error": error}


def _shut(connection: socket.socket) -> None:
    """Wake whoever reads from a connection; its own thread closes it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Lines:
    """The lines that come over a connection, each bounded in length and in time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._rest = bytearray()

    def next(self, wait_s: float, line_s: float, largest: int) -> bytes | None:
        """Return the next line, None where the other end has closed.

        It must begin within `wait_s`, and be whole `line_s` after it began.

        Raises:
            OperatorError: it is longer than `largest`, or was cut off.
            TimeoutError: it was too slow.
        """
        until = time.monotonic() + (line_s if self._rest else wait_s)
        seen = 0
        while (end := self._rest.find(b"\n", seen)) < 0:
            seen = len(self._rest)
            if seen > largest:
                raise OperatorError(f"a line may have {largest:,} bytes, got more")
            left_s = until - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._connection.settimeout(left_s)
            got = self._connection.recv(65536)
            if not got and self._rest:
                raise OperatorError("the line was cut off")
            if not got:
                return None
            if not seen:
                until = time.monotonic() + line_s
            self._rest += got
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        if len(line) > largest:
            raise OperatorError(f"a line may have {largest:,} bytes, got {len(line):,}")
        return line


def read_line(connection: socket.socket, timeout_s: float, largest: int) -> bytes | None:
    """Return one line, whole within `timeout_s` (see `_Lines.next`)."""
    return _Lines(connection).next(timeout_s, timeout_s, largest)
