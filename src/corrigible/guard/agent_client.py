"""The agent's end of its door: one connection to a running guard, a few requests, all in time.

Light on purpose: a hook starts anew for every call of an agent.
"""

import json
import os
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corrigible.errors import GuardError

LARGEST_LINE = 1_000_000
"""Bytes of a request or an answer, at most."""

_LONGEST_PATH = 100  # the kernel takes 107 bytes, macOS 103


@contextmanager
def door_address(path: Path) -> Iterator[str]:
    """Yield the address of a Unix socket at `path`, short enough for the kernel.

    Raises:
        GuardError: it is too long, and this system has no other name for it.
        OSError: its folder cannot be opened.
    """
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    if sys.platform != "linux":
        raise GuardError(f"{path}: a socket's path may have {_LONGEST_PATH} bytes; name another")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


class DoorClient:
    """One connection to the agent's door; made by `door_open`.

    `cancelled`: calls that an operator stopped while they were out.
    """

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection, self._until = connection, until
        self._rest = bytearray()
        self.cancelled: set[str] = set()

    def say(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the guard's answer to one request (see `agent_door`).

        Raises:
            GuardError: it did not answer in time, or what it said is no answer.
        """
        line = json.dumps(request, allow_nan=False).encode() + b"\n"
        if len(line) > LARGEST_LINE:
            raise GuardError(f"a request may have {LARGEST_LINE:,} bytes, got {len(line):,}")
        try:
            self._connection.settimeout(self._left())
            self._connection.sendall(line)
            while True:
                answer = self._heard(self._line())
                if answer.get("do") != "cancel":
                    return answer
                self.cancelled.add(str(answer.get("id")))
        except TimeoutError:
            raise GuardError("the guard did not answer in time") from None
        except OSError as error:
            raise GuardError(f"the guard cannot be reached: {error.strerror or error}") from None

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _line(self) -> bytes:
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > LARGEST_LINE:
                raise GuardError("the guard's answer is too long")
            self._connection.settimeout(self._left())
            got = self._connection.recv(65536)
            if not got:
                raise GuardError("the guard closed the connection without an answer")
            self._rest += got
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line

    @staticmethod
    def _heard(line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise GuardError("the guard answered what is no answer; is it of this version?")
        return answer


@contextmanager
def door_open(path: Path, *, timeout_s: float, owner: int | None = None) -> Iterator[DoorClient]:
    """Connect to the agent's door of a running guard.

    Args:
        path: the door's socket.
        timeout_s: for all that is said until it is closed.
        owner: whose guard it must be, where that is known; root's will do too.

    Raises:
        GuardError: nobody listens there, or somebody else.
    """
    until = time.monotonic() + timeout_s
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with door_address(path) as address:
                _connect(connection, address, until)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise GuardError(f"{path}: no guard listens there; start one first") from None
        except TimeoutError:
            raise GuardError(f"{path}: the guard did not answer in time") from None
        except OSError as error:
            raise GuardError(
                f"{path}: the guard cannot be reached: {error.strerror or error}"
            ) from None
        if owner is not None:
            _require(connection, path, owner)
        yield DoorClient(connection, until)


def _connect(connection: socket.socket, address: str, until: float) -> None:
    """Connect; where others crowd the door, try again until it is time to give up."""
    while True:
        try:
            connection.connect(address)
        except BlockingIOError:  # as many wait to be let in as may
            if time.monotonic() >= until:
                raise TimeoutError from None
            time.sleep(0.01)
        else:
            return


def _require(connection: socket.socket, path: Path, owner: int) -> None:
    from corrigible.guard.operator import peer_of  # noqa: PLC0415  (it costs a hook's start)

    if (uid := peer_of(connection).uid) not in {owner, 0}:
        raise GuardError(f"{path}: the guard must be of uid {owner}, and uid {uid} answers")
