"""The operator's end of the socket: one request to a running guard, and its answer."""

import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from corrigible.errors import OperatorError
from corrigible.guard.operator import (
    LARGEST_ANSWER,
    LARGEST_REQUEST,
    peer_of,
    read_line,
    socket_address,
)
from corrigible.guard.state import StateDirectory, read_token


def ask_guard(
    state: StateDirectory, request: Mapping[str, Any], timeout_s: float = 10.0
) -> dict[str, Any]:
    """Return a running guard's answer to one request (see `operator.REQUESTS`), without `ok`.

    Args:
        state: the guard's, checked by `state.found_state`.
        request: `{"do": …}` and its fields; the token is added here.
        timeout_s: for all of it.  A stop's grace is on top of what a stop needs.

    Raises:
        OperatorError: no guard runs, it refused, or it did not answer in time.
        GuardError: the token cannot be read.
    """
    until = time.monotonic() + timeout_s
    token = read_token(state)
    try:
        line = json.dumps({**request, "token": token}, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise OperatorError(f"a request must be plain JSON, got {error}") from error
    if len(line) > LARGEST_REQUEST:
        raise OperatorError(f"a request may have {LARGEST_REQUEST:,} bytes, got {len(line):,}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            _connect(state, connection, until)
            _require_the_guard(state, connection)
            connection.sendall(line)
            answer = read_line(connection, max(0.001, until - time.monotonic()), LARGEST_ANSWER)
        except (FileNotFoundError, ConnectionRefusedError):
            raise OperatorError(
                f"no guard runs for {state.path}; start it with `corrigible guard`"
            ) from None
        except TimeoutError:
            raise OperatorError(
                f"the guard of {state.path} did not answer within {timeout_s:g} s; nobody knows "
                "whether it did what was asked: look with `corrigible pending`, or end its "
                "process, and what it guards is denied"
            ) from None
        except (BrokenPipeError, ConnectionResetError):
            answer = None
        except OSError as error:
            raise OperatorError(
                f"{state.operator_socket}: the guard cannot be reached: {error.strerror}"
            ) from error
    return _read(state, answer)


def _connect(state: StateDirectory, connection: socket.socket, until: float) -> None:
    """Connect; where others crowd the door, try again until it is time to give up."""
    with socket_address(state) as address:
        while True:
            try:
                connection.connect(address)
            except BlockingIOError:  # as many wait to be let in as may
                if time.monotonic() >= until:
                    raise TimeoutError from None
                time.sleep(0.01)
            else:
                return


def _require_the_guard(state: StateDirectory, connection: socket.socket) -> None:
    """Refuse to tell the token to anyone but the directory's owner, or root."""
    owner = state.path.lstat().st_uid
    if (uid := peer_of(connection).uid) not in {owner, 0}:
        raise OperatorError(
            f"{state.operator_socket}: the guard must be of uid {owner}, and uid {uid} answers; "
            "it was told nothing: find out who listens there"
        )


def _read(state: StateDirectory, line: bytes | None) -> dict[str, Any]:
    if line is None:
        raise OperatorError(
            f"the guard of {state.path} closed the connection without an answer; "
            "it is ending, or has too many operators: try again"
        )
    try:
        answer = json.loads(line)
        ok = answer.pop("ok")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise OperatorError(
            f"the guard of {state.path} answered what is no answer; is it of this version?"
        ) from None
    if ok is not True:
        raise OperatorError(f"the guard refused: {answer.get('error', 'it does not say why')}")
    found: dict[str, Any] = answer
    return found
