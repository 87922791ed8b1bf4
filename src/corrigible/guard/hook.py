"""The hook of a coding agent: told of each call of a tool before it runs, it answers for the guard.

The form is that of Claude Code's hooks: a JSON object on standard input, a JSON object on
standard output.  `PreToolUse` asks the guard and is answered with a permission decision;
`PostToolUse` and `PostToolUseFailure` end the call; `SessionEnd` ends what the session left.

A hook that fails lets the call run, as its agent sees it.  So whatever fails here is a denial
with its reason, on standard output, with exit code 0; where even that cannot be written the exit
code is 2, which denies too.  This module is light: it starts anew for every call.

Not tried with Claude Code itself: the fields and exit codes are as its documentation and others'
recorded payloads have them, up to version 2.1.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

from corrigible.errors import CorrigibleError, GuardError
from corrigible.guard.agent_client import LARGEST_LINE, DoorClient, door_open
from corrigible.guard.strict import StrictError, parse_strict

BUILT_IN = "code"
"""The server that an agent's own tools (`Bash`, `Write`, …) belong to, where nothing is said."""

BEFORE, AFTER, AFTER_FAILURE, LEFT = (
    "PreToolUse", "PostToolUse", "PostToolUseFailure", "SessionEnd",
)  # fmt: skip
_LARGEST_EVENT = 1 << 24
_LARGEST_RESULT = LARGEST_LINE // 8  # a character may take six bytes on the way
_DENIED_EXIT = 2

Answer = dict[str, Any]
Door = Callable[[], AbstractContextManager[DoorClient]]


@dataclass(frozen=True)
class HookSettings:
    """Where a hook asks, and how.

    `socket` is the guard's, else that of the deployment's state directory.  `timeout_s` is for
    all of it, and must be less than the time after which the agent gives its hook up: it lets
    the call run then.  `keep_prompts`: where the guard lets a call go, the agent asks its user
    as it would without a hook.
    """

    deployment: Path = Path("deployment.yaml")
    state: Path | None = None
    socket: Path | None = None
    server: str = BUILT_IN
    timeout_s: float = 10.0
    keep_prompts: bool = False


def run_hook(settings: HookSettings, source: BinaryIO, target: BinaryIO) -> int:
    """Answer one event; return the exit code.  Never raises."""
    event = BEFORE
    try:
        with _deadline(settings.timeout_s):
            told = read_event(source)
            event = str(told["hook_event_name"])
            answer = answer_event(told, lambda: _door(settings), settings)
    except CorrigibleError as error:
        answer = denial(event, str(error))
    except _TooLateError:
        answer = denial(event, f"the guard did not answer within {settings.timeout_s:g} s")
    except Exception as error:  # noqa: BLE001  (whatever fails must deny, not let the call run)
        answer = denial(event, f"the hook failed: {type(error).__name__}")
    try:
        target.write(json.dumps(answer).encode() + b"\n")
        target.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            sys.stderr.write("corrigible: the decision could not be written; the call is denied\n")
        return _DENIED_EXIT
    return 0


def read_event(source: BinaryIO) -> dict[str, Any]:
    """Return an event as the agent tells it, its name among the known ones.

    Of what a tool gave back only its text matters, so it need not be read strictly.

    Raises:
        GuardError: it is no event, or readers would disagree on what it says.
    """
    raw = source.read(_LARGEST_EVENT + 1)
    if len(raw) > _LARGEST_EVENT:
        raise GuardError(f"an event may have {_LARGEST_EVENT:,} bytes, got more")
    try:
        event = parse_strict(raw, largest=_LARGEST_EVENT)
    except StrictError as error:
        event = _read_after(raw)
        if event is None:
            raise GuardError(f"{error.rule}: {error}") from None
    known = {BEFORE, AFTER, AFTER_FAILURE, LEFT}
    name = event.get("hook_event_name") if isinstance(event, dict) else None
    if not isinstance(name, str) or name not in known:
        raise GuardError(f"an event is one of {', '.join(sorted(known))}; got {str(name)[:80]!r}")
    found: dict[str, Any] = event
    return found


def _read_after(raw: bytes) -> dict[str, Any] | None:
    """Return an event that only ends a call, or None."""
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    ends = isinstance(event, dict) and event.get("hook_event_name") in {AFTER, AFTER_FAILURE, LEFT}
    return event if ends else None


def answer_event(event: Mapping[str, Any], door: Door, settings: HookSettings) -> Answer:
    """Ask the guard, and return what the agent is told.

    Raises:
        GuardError: nobody could be asked, or the event lacks what it needs.
    """
    name, session = event["hook_event_name"], _text(event, "session_id")
    if name == LEFT:
        with door() as client:
            client.say({"do": "left", "caller": session})
        return {}
    key = f"{session}/{_text(event, 'tool_use_id')}"
    if name == BEFORE:
        return _before(event, key, door, settings)
    failed = name == AFTER_FAILURE
    result = _bounded(event.get("error") if failed else event.get("tool_response"))
    state = "failed" if failed else "completed"
    if failed and event.get("is_interrupt") is True:
        state = "unknown"
    with door() as client:
        answer = client.say({"do": "ended", "key": key, "state": state, "result": result})
    if answer.get("state") == "released":
        return {}
    told = _said(answer)
    if answer.get("state") == "withheld":
        return denial(name, told) | {"continue": False, "stopReason": told}
    return denial(name, told)


def _before(event: Mapping[str, Any], key: str, door: Door, settings: HookSettings) -> Answer:
    server, tool = tool_of(_text(event, "tool_name"), settings.server)
    session, agent = _text(event, "session_id"), event.get("agent_id")
    who = {"caller": session} if not agent else {"caller": agent, "lineage": [session]}
    arguments = event.get("tool_input")
    if not isinstance(arguments, dict):
        raise GuardError("an event before a call must have 'tool_input' as an object")
    asked = {"do": "ask", "server": server, "tool": tool, "arguments": arguments, **who}
    with door() as client:
        answer = client.say(asked)
        if answer.get("state") != "go":
            return denial(BEFORE, _said(answer))
        id_ = str(answer.get("id"))
        kept = client.say({"do": "keep", "id": id_, "key": key})
        if kept.get("state") != "kept" or id_ in client.cancelled:
            return denial(BEFORE, _said(kept))
    if settings.keep_prompts:
        return {}
    reason = f"corrigible: {str(answer.get('rule'))[:200]}"
    return _decision("allow", reason)


def tool_of(name: str, server: str = BUILT_IN) -> tuple[str, str]:
    """Return the server and the tool of a name as the agent has it.

    `mcp__SERVER__TOOL` is a server's; any other is the agent's own, of `server`.

    Raises:
        GuardError: the name can be read in two ways, or an MCP server has the name that stands
            for the agent's own tools.
    """
    if not name.startswith("mcp__"):
        return server, name
    rest = name.removeprefix("mcp__")
    splits = [at for at in range(len(rest) - 1) if rest[at : at + 2] == "__"]
    if len(splits) != 1 or splits[0] == 0 or splits[0] == len(rest) - 2:
        raise GuardError(
            f"{name[:120]!r} must be mcp__SERVER__TOOL with no other '__' in it: "
            "else two servers' tools have one name"
        )
    found = rest[: splits[0]]
    if found == server:
        raise GuardError(
            f"the MCP server {found[:80]!r} has the name that stands for the agent's own tools; "
            "rename it, or give --server another name"
        )
    return found, rest[splits[0] + 2 :]


def denial(event: str, reason: str) -> Answer:
    """Return what denies in the form that goes with an event."""
    if event in {AFTER, AFTER_FAILURE}:
        return {"decision": "block", "reason": f"corrigible: {reason}"}
    return _decision("deny", f"corrigible: {reason}")


def _decision(decision: str, reason: str) -> Answer:
    return {
        "hookSpecificOutput": {
            "hookEventName": BEFORE,
            "permissionDecision": decision,
            "permissionDecisionReason": reason,
        }
    }


def _said(answer: Mapping[str, Any]) -> str:
    message = answer.get("message")
    return message if isinstance(message, str) and message else "the guard did not say why"


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if not isinstance(value, str) or not value:
        raise GuardError(f"the event must have {name!r} as text")
    return value


def _bounded(result: Any) -> Any:
    """Return a result that fits a request and that every reader reads alike, or its beginning."""
    text = json.dumps(result)
    with suppress(StrictError):
        if len(text) <= _LARGEST_RESULT:
            return parse_strict(text)
    return {"beginning": text[:_LARGEST_RESULT], "characters": len(text)}


@contextmanager
def _door(settings: HookSettings) -> Iterator[DoorClient]:
    path, owner = settings.socket, None
    if path is None:
        from corrigible.guard.state import found_state, state_directory  # noqa: PLC0415

        manifest = settings.deployment
        manifest = manifest / "deployment.yaml" if manifest.is_dir() else manifest
        state = found_state(state_directory(manifest, settings.state))
        path, owner = state.agent_socket, state.path.lstat().st_uid
    with door_open(path, timeout_s=settings.timeout_s, owner=owner) as client:
        yield client


class _TooLateError(BaseException):
    """The time is over; no `except Exception` on the way may take it for something else."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise `_TooLateError` in the body once its time is over, whatever it waits for."""

    def over(_number: int, _frame: FrameType | None) -> None:
        raise _TooLateError

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one event from standard input: `corrigible hook`, without what its commands load."""
    from argparse import ArgumentParser  # noqa: PLC0415  (the command line has click for this)

    parser = ArgumentParser(prog="corrigible-hook", description=main.__doc__)
    plain = HookSettings()
    parser.add_argument("--server", default=plain.server)
    parser.add_argument("-d", "--deployment", type=Path, default=plain.deployment)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--socket", type=Path)
    parser.add_argument("--timeout", dest="timeout_s", type=float, default=plain.timeout_s)
    parser.add_argument("--keep-prompts", action="store_true")
    settings = HookSettings(**vars(parser.parse_args(arguments)))
    return run_hook(settings, sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    os._exit(main())  # nothing is left to be done, and an interpreter's end takes time
