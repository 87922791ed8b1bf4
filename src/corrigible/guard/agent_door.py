"""The agent's door: a Unix socket where the agent's other processes ask before a tool runs.

One JSON object a line.  It can ask and say how a call ended, nothing else: what an operator may
do is not to be had here.

    {"do": "ask", "server", "tool", "arguments", "caller"?, "lineage"?}
        -> {"state": "go" | "denied" | "pending", "id", "message", "rule"}
    {"do": "keep", "id", "key"}              -> {"state": "kept"}
    {"do": "ended", "id" | "key", "state", "result"?}
        -> {"state": "released"} or {"state": "withheld", "message"}
    {"do": "left", "caller"}                 -> {"state": "left", "calls"}

`go` means that the call is out: its intent is written, and it must be ended.  A call belongs to
its connection: when that goes away, nobody knows how the call ended.  `keep` takes it from its
connection, for who starts anew each time, and gives it a key of the caller's own choice.  When an
operator stops a call that is out, its connection gets `{"do": "cancel", "id"}`.

What comes in here is the agent's own word.  So every caller is a sub-agent of one root, whatever
it calls itself: a stop of the root stops all, and limits on one caller count them together.
"""

import json
import logging
import os
import re
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from corrigible.deployment.listing import plain
from corrigible.errors import DeniedError, GuardError, WithheldError
from corrigible.guard.agent_client import LARGEST_LINE, door_address
from corrigible.guard.bodies import Admission, Ending
from corrigible.guard.call import Call
from corrigible.guard.gate import Gate
from corrigible.guard.operator import peer_of
from corrigible.guard.strict import StrictError, parse_strict

ROOT = "agent"
"""Who all callers at this door descend from."""

_CALLER = re.compile(r"[A-Za-z0-9._:@/+-]{1,200}")
_ENDINGS: Mapping[str, Ending] = MappingProxyType(
    {"completed": "completed", "failed": "failed", "cancelled": "cancelled", "unknown": "unknown"}
)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DoorLimits:
    """How much and how long: connections, calls out and kept, and seconds to wait for each."""

    connections: int = 64
    calls_out: int = 64  # of one connection
    kept: int = 1024
    line_s: float = 10.0  # for one request to arrive, however slowly it drips
    idle_s: float = 60.0  # with no call out
    call_s: float = 3600.0  # for a call that is out, kept or not
    send_s: int = 5


class AgentDoor:
    """Answers the agent's processes until it is closed; use it as a context manager.

    Args:
        gate: decides on what is asked.
        path: where the socket is made.
        uids: whose processes may ask; the guard's own user and root where nothing is said.
        limits: see `DoorLimits`.
    """

    def __init__(
        self,
        gate: Gate,
        path: Path,
        *,
        uids: frozenset[int] | None = None,
        limits: DoorLimits | None = None,
    ) -> None:
        self._gate, self._path, self._limits = gate, path, limits or DoorLimits()
        self._uids = uids or frozenset({os.geteuid(), 0})
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._connections: dict[_Connection, threading.Thread] = {}
        self._kept: dict[str, tuple[float, Admission]] = {}

    def __enter__(self) -> Self:
        self._listener = self._bound()
        self._waking, self._wakes = socket.socketpair()
        self._accepting = threading.Thread(
            target=self._accept, name="corrigible-agent-door", daemon=True
        )
        self._accepting.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._wakes.close()
        self._accepting.join(2.0)
        self._waking.close()
        self._listener.close()
        with self._lock:
            open_ = tuple(self._connections.items())
        for connection, _ in open_:
            connection.shut()
        for _, thread in open_:
            thread.join(2.0)
        self._lose(lambda _since, _admission: True, "the guard was closed")
        self._path.unlink(missing_ok=True)

    def _bound(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            if os.path.lexists(self._path):
                self._require_left_over()
                self._path.unlink()
            with door_address(self._path) as address:
                listener.bind(address)
            own = self._uids <= {os.geteuid(), 0}
            self._path.chmod(0o600 if own else 0o666)  # each peer's uid is looked at besides
            listener.listen(128)
            listener.setblocking(False)  # noqa: FBT003  (the socket's own word)
        except OSError as error:
            listener.close()
            raise GuardError(
                f"{self._path}: the agent's socket cannot be opened: {error.strerror or error}"
            ) from error
        except GuardError:
            listener.close()
            raise
        return listener

    def _require_left_over(self) -> None:
        """Refuse to take the place of what is no socket, or of one where somebody answers."""
        if not stat.S_ISSOCK(self._path.lstat().st_mode):
            raise GuardError(f"{self._path}: what is there is no socket; name another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as trial, suppress(OSError):
            trial.settimeout(1.0)
            with door_address(self._path) as address:
                trial.connect(address)
            raise GuardError(f"{self._path}: somebody listens there already; name another path")

    # -- connections ---------------------------------------------------------------------------

    def _accept(self) -> None:
        watch = select.poll()
        watch.register(self._listener, select.POLLIN)
        watch.register(self._waking, select.POLLIN)
        while not self._closing.is_set():
            self._expire()
            try:
                watch.poll(1000)
                accepted, _ = self._listener.accept()
            except BlockingIOError:  # nobody came: it closes, or it is time to look again
                continue
            except OSError as error:
                if not self._closing.is_set():
                    _LOG.warning("the agent's socket: %s", error)
                    self._closing.wait(0.1)  # out of file handles: others may close some
                continue
            connection = _Connection(accepted, self._limits)
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="corrigible-agent", daemon=True
            )
            with self._lock:
                full = len(self._connections) >= self._limits.connections
                if not full:
                    self._connections[connection] = thread
            if full:
                connection.tell(_denied("door.full", "too many connections; close some"))
                connection.close()
                continue
            try:
                thread.start()
            except RuntimeError:  # no thread to be had
                self._forget(connection)

    def _serve(self, connection: "_Connection") -> None:
        try:
            if peer_of(connection.socket).uid not in self._uids:
                connection.tell(_denied("door.user", "this door is not for this user"))
                return
            while not self._closing.is_set() and (line := connection.next()) is not None:
                connection.tell(self._answered(line, connection))
        except StrictError as error:
            connection.tell(_denied(error.rule, str(error)))
        except (GuardError, OSError):
            pass  # the other end has gone, was too slow, or is not to be known
        finally:
            self._forget(connection)

    def _forget(self, connection: "_Connection") -> None:
        with self._lock:
            self._connections.pop(connection, None)
        connection.close()
        for admission in connection.out.values():
            self._release(admission, "unknown", {"raised": "its caller has gone"})

    def _expire(self) -> None:
        until = time.monotonic() - self._limits.call_s
        self._lose(lambda since, _: since < until, "it took too long")

    def _lose(self, which: Callable[[float, Admission], bool], why: str) -> int:
        """Write of kept calls that nobody knows how they ended; return how many."""
        with self._lock:
            lost = {key: one for key, one in self._kept.items() if which(*one)}
            for key in lost:
                del self._kept[key]
        for _, admission in lost.values():
            self._release(admission, "unknown", {"raised": why})
        return len(lost)

    def _release(self, admission: Admission, state: Ending, result: Any) -> None:
        with suppress(WithheldError):  # nobody is there to be told
            self._gate.release(admission, state, result)

    # -- requests ------------------------------------------------------------------------------

    def _answered(self, line: bytes, connection: "_Connection") -> Mapping[str, Any]:
        do = "ask"
        try:
            request = parse_strict(line, largest=LARGEST_LINE)
            do = _checked(request)
            does = {"ask": self._ask, "keep": self._keep, "ended": self._ended, "left": self._left}
            return does[do](request, connection)
        except StrictError as error:
            return _denied(error.rule, str(error))
        except _RefusedError as error:
            return _denied("door.request", str(error)) | {"state": "refused"}
        except DeniedError as error:
            return _denied("door.dispatch", str(error))
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001  (the door stays open; what failed is denied)
            _LOG.exception("the agent's request %r failed", plain(do, 20))
            return _denied(f"error.{type(error).__name__}", "the guard failed at it")

    def _ask(self, request: Mapping[str, Any], connection: "_Connection") -> Mapping[str, Any]:
        if len(connection.out) >= self._limits.calls_out:
            return _denied("door.full", "too many calls of this connection are out; end some")
        arguments = request["arguments"]
        call = Call(request["server"], request["tool"], arguments, *_callers(request))
        admission = self._gate.admit(call)
        if admission.state != "go":
            return {
                "state": admission.state, "id": admission.pending or admission.id,
                "message": admission.message, "rule": admission.decision.rule,
            }  # fmt: skip
        if connection.is_gone():
            self._release(admission, "not dispatched", "its caller has gone")
            raise ConnectionAbortedError
        id_ = admission.id
        self._gate.dispatch(admission, lambda: connection.tell({"do": "cancel", "id": id_}))
        connection.out[id_] = admission
        return {"state": "go", "id": id_, "message": "", "rule": admission.decision.rule}

    def _keep(self, request: Mapping[str, Any], connection: "_Connection") -> Mapping[str, Any]:
        id_, key = request["id"], request["key"]
        if id_ not in connection.out:
            raise _RefusedError("no call with this id is out on this connection")
        with self._lock:
            if key in self._kept:
                raise _RefusedError("a call is kept under this key already")
            if len(self._kept) >= self._limits.kept:
                raise _RefusedError("too many calls are kept; end some")
            self._kept[key] = time.monotonic(), connection.out.pop(id_)
        return {"state": "kept"}

    def _ended(self, request: Mapping[str, Any], connection: "_Connection") -> Mapping[str, Any]:
        ending = _ENDINGS.get(request["state"])
        if ending is None:
            raise _RefusedError(f"a call ends as one of {', '.join(_ENDINGS)}")
        admission = connection.out.pop(request.get("id", ""), None)
        if admission is None:
            with self._lock:
                _, admission = self._kept.pop(request.get("key", ""), (0.0, None))
        if admission is None:
            raise _RefusedError("no such call is out")
        try:
            self._gate.release(admission, ending, request.get("result"))
        except WithheldError as error:
            return {"state": "withheld", "message": str(error)}
        return {"state": "released"}

    def _left(self, request: Mapping[str, Any], _: "_Connection") -> Mapping[str, Any]:
        caller = _callers(request)[0]
        if caller == ROOT:
            raise _RefusedError("'left' names the caller that has gone")
        lost = self._lose(
            lambda _, one: caller in {one.call.caller, *one.call.lineage}, "its caller has gone"
        )
        self._gate.forget(caller)
        return {"state": "left", "calls": lost}


class _RefusedError(GuardError):
    """A request that the door cannot do; nothing came of it."""


@dataclass(frozen=True)
class _Field:
    type: type
    needed: bool = True


_TEXT = _Field(str)
_WHO = {"caller": _Field(str, needed=False), "lineage": _Field(list, needed=False)}
_REQUESTS: Mapping[str, Mapping[str, _Field]] = MappingProxyType(
    {
        "ask": {"server": _TEXT, "tool": _TEXT, "arguments": _Field(dict), **_WHO},
        "keep": {"id": _TEXT, "key": _TEXT},
        "ended": {
            "id": _Field(str, needed=False), "key": _Field(str, needed=False), "state": _TEXT,
            "result": _Field(object, needed=False),
        },
        "left": {"caller": _TEXT},
    }
)  # fmt: skip
"""All that may be said at this door, with the fields of each; there is nothing else."""

_LONGEST_TEXT = 512


def _checked(request: Any) -> str:
    """Return what a request asks for, once its fields are its own and each of its type."""
    do = request.get("do") if isinstance(request, dict) else None
    fields = _REQUESTS.get(do) if isinstance(do, str) else None
    if not isinstance(do, str) or fields is None:
        raise _RefusedError(
            f"'do' must be one of {', '.join(_REQUESTS)}, got {plain(repr(do), 80)}"
        )
    for name in request:
        if name != "do" and name not in fields:
            raise _RefusedError(f"{do!r} takes {', '.join(fields)}, got {plain(repr(name), 80)}")
    for name, field in fields.items():
        if name not in request and not field.needed:
            continue
        value = request.get(name)
        too_long = field.type is str and len(str(value)) > _LONGEST_TEXT
        if not isinstance(value, field.type) or too_long:
            raise _RefusedError(f"{do!r} needs {name!r} as {field.type.__name__}")
    return do


def _callers(request: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return who calls and its ancestors, the root of all first."""
    name, lineage = request.get("caller", ROOT), request.get("lineage", [])
    names = [name, *lineage]
    if not all(isinstance(one, str) and _CALLER.fullmatch(one) for one in names):
        raise _RefusedError("a caller's name has up to 200 letters, digits or ._:@/+-")
    if len(names) > 16:  # noqa: PLR2004  (deeper than agents are nested)
        raise _RefusedError("a caller has 15 ancestors at most")
    if name == ROOT:
        return ROOT, ()
    return name, (ROOT, *(one for one in lineage if one != ROOT))


def _denied(rule: str, message: str) -> dict[str, Any]:
    return {"state": "denied", "id": "", "message": f"denied by {rule}: {message}", "rule": rule}


class _Connection:
    """One connection: its lines in, its answers out, and the calls that are out on it."""

    def __init__(self, accepted: socket.socket, limits: DoorLimits) -> None:
        self.socket, self._limits = accepted, limits
        self.out: dict[str, Admission] = {}
        self._rest = bytearray()
        self._sending = threading.Lock()
        accepted.setblocking(True)  # noqa: FBT003  (the socket's own word)
        # The kernel's own limit: a timeout of the socket object would hold for its reader too.
        accepted.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", limits.send_s, 0)
        )

    def next(self) -> bytes | None:
        """Return the next line; None where the other end has closed or says nothing.

        Raises:
            StrictError: it is too long.
        """
        first_s = self._limits.call_s if self.out else self._limits.idle_s
        until = time.monotonic() + (self._limits.line_s if self._rest else first_s)
        seen = 0
        while (end := self._rest.find(b"\n", seen)) < 0:
            seen = len(self._rest)
            if seen > LARGEST_LINE:
                raise StrictError("arguments.size", f"a line may have {LARGEST_LINE:,} bytes")
            if not self._readable(until - time.monotonic()):
                return None
            got = self.socket.recv(65536)
            if not got:
                return None
            if not seen:
                until = time.monotonic() + self._limits.line_s
            self._rest += got
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line

    def _readable(self, wait_s: float) -> bool:
        watch = select.poll()
        watch.register(self.socket, select.POLLIN)
        return bool(watch.poll(max(0.0, wait_s) * 1000))

    def is_gone(self) -> bool:
        """Whether the other end has closed."""
        try:
            return self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def tell(self, answer: Mapping[str, Any]) -> None:
        """Send a line; who does not read it in time is cut off, as half a line may be sent."""
        line = json.dumps(answer).encode() + b"\n"
        with self._sending:
            try:
                self.socket.sendall(line)
            except OSError:
                self.shut()

    def shut(self) -> None:
        """Wake whoever reads from it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it for good."""
        self.shut()
        self.socket.close()
