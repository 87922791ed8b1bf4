"""One chat message into events, whoever's form it is: roles, content blocks, calls and results.

The forms differ in few places (OpenAI's `tool_calls`, Anthropic's `tool_use` blocks, the parts of
OpenTelemetry), and loggers mix them: one reader takes them all, and refuses what none of them has.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.lines import parse
from corrigible.monitor.transcript import Event, EventKind

_ROLES: Mapping[str, EventKind] = {
    "system": "system", "developer": "system", "user": "user", "human": "user",
    "assistant": "assistant", "ai": "assistant", "model": "assistant",
    "tool": "result", "function": "result",
}  # fmt: skip
_TEXTS = frozenset({"text", "input_text", "output_text", "summary_text", "refusal"})
_THOUGHTS = frozenset({"thinking", "reasoning", "redacted_thinking", "reasoning_text"})
_CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use", "tool_call"})
_MOST_OPEN = 10_000

# What the control around the agent answers in a tool's place; only an error may say so, since a
# tool's own answer can say anything.
_DENIALS = (
    "denied by ",
    "The user doesn't want to proceed with this tool use",
    "The user doesn't want to take this action",
    "Permission to use ",
    "Claude requested permissions ",
    "Permission for this action has been denied",
    "User rejected tool use",
)


@dataclass
class Calls:
    """The calls that wait for their results, by id: a result often does not name its tool.

    `turn`: those of the last turn, in order: a result without an id answers the first of them.
    """

    open: dict[str, tuple[str, str]] = field(default_factory=dict)
    turn: list[str] = field(default_factory=list)

    def asked(self, event: Event) -> Event:
        """Remember a call."""
        if event.call_id:
            if len(self.open) >= _MOST_OPEN:
                self.open.pop(next(iter(self.open)))
            self.open[event.call_id] = (event.server, event.tool)
            self.turn.append(event.call_id)
        return event

    def of(self, call_id: str, server: str = "", tool: str = "") -> tuple[str, str, str]:
        """Return the id, server and tool of a call, which is then answered."""
        if not call_id:
            call_id = next((one for one in self.turn if one in self.open), "")
        known = self.open.pop(call_id, ("", ""))
        return (call_id, server, tool) if tool else (call_id, *known)


@dataclass(frozen=True, slots=True)
class Said:
    """What holds for every event of one record."""

    where: str
    at: float | None = None
    caller: str = ""


def split_name(name: str) -> tuple[str, str]:
    """Return server and tool of `mcp__server__tool`; any other name is all tool."""
    if name.startswith("mcp__"):
        server, found, tool = name.removeprefix("mcp__").partition("__")
        if found and server and tool:
            return server, tool
    return "", name


def message_events(message: Any, calls: Calls, said: Said) -> Iterator[Event]:
    """Yield what one message says and asks for, in its order.

    Raises:
        TranscriptError: it is no message, or of a role that nobody knows.
    """
    if not isinstance(message, dict):
        raise TranscriptError(f"shape: a message must be an object, got {_kind(message)}")
    role = message.get("role")
    kind = _ROLES.get(role) if isinstance(role, str) else None
    if kind is None:
        known = ", ".join(_ROLES)
        raise TranscriptError(f"shape: a message's role must be one of {known}; got {role!r:.80}")
    content = message.get("parts", message.get("content"))
    if kind == "assistant":
        calls.turn.clear()
    if kind == "result":
        yield _answer(message, content, calls, said)
        return
    for block in content if isinstance(content, list) else [content]:
        yield from _block(block, kind, calls, said)
    if kind == "assistant":
        for asked in _list(message.get("tool_calls"), "tool_calls"):
            yield calls.asked(_openai_call(asked, said))
        if isinstance(old := message.get("function_call"), dict):
            yield calls.asked(_openai_call({"function": old}, said))
        if isinstance(refusal := message.get("refusal"), str) and refusal:
            yield Event(kind, refusal, at=said.at, caller=said.caller, where=said.where)


def call_event(  # noqa: PLR0917  (what a call is, in its usual order)
    name: Any, arguments: Any, call_id: Any, said: Said, server: Any = "", text: str = ""
) -> Event:
    """Return a call; arguments may be an object or its JSON text.

    Raises:
        TranscriptError: it names no tool.
    """
    if not isinstance(name, str) or not name:
        raise TranscriptError(f"shape: a call must name its tool, got {name!r:.80}")
    found, tool = split_name(name)
    given, raw = _arguments(arguments)
    return Event(
        "call", text or raw, _text(server) or found, tool, given, _text(call_id),
        at=said.at, caller=said.caller, where=said.where,
    )  # fmt: skip


def result_event(  # noqa: PLR0917  (what a result is, in its usual order)
    text: str, call_id: str, calls: Calls, said: Said, is_error: bool = False, tool: str = ""
) -> Event:
    """Return the result of a call, or its denial where a control answered in the tool's place."""
    call_id, server, name = calls.of(call_id, *(split_name(tool) if tool else ("", "")))
    denied = is_error and text.startswith(_DENIALS)
    return Event(
        "denied" if denied else "result", text, server, name, None, call_id, is_error,
        said.at, said.caller, said.where,
    )  # fmt: skip


def text_of(content: Any) -> str:
    """Return the text of a message's or a result's content; what is no text as `[image]`."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(text_of, content)))
    if isinstance(content, dict):
        for key in ("text", "thinking", "reasoning", "refusal", "content", "response", "output"):
            if isinstance(content.get(key), str | list):
                return text_of(content[key])
        kind = content.get("type")
        return f"[{kind}]" if isinstance(kind, str) else str(dict(content))
    return str(content)


def _block(block: Any, kind: EventKind, calls: Calls, said: Said) -> Iterator[Event]:
    if block is None or block == "":
        return
    type_ = block.get("type") if isinstance(block, dict) else None
    if isinstance(type_, str) and isinstance(block, dict):
        if type_ in _CALLS:
            given = block.get("input", block.get("arguments"))
            server = block.get("server_name", "")
            yield calls.asked(call_event(block.get("name"), given, block.get("id"), said, server))
            return
        if type_.endswith("tool_result") or type_ == "tool_call_response":
            yield _result_block(block, calls, said)
            return
        if type_ in _THOUGHTS:
            kind = "assistant"
    if text := text_of(block):
        yield Event(kind, text, at=said.at, caller=said.caller, where=said.where)


def _result_block(block: Mapping[str, Any], calls: Calls, said: Said) -> Event:
    content = block.get("content", block.get("response", block.get("result")))
    call_id = _text(block.get("tool_use_id") or block.get("id"))
    return result_event(text_of(content), call_id, calls, said, block.get("is_error") is True)


def _answer(message: Mapping[str, Any], content: Any, calls: Calls, said: Said) -> Event:
    call_id = _text(message.get("tool_call_id"))
    tool = _text(message.get("name") or message.get("function"))
    failed = bool(message.get("error")) or message.get("is_error") is True
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "tool_call_response":
            return _result_block(part, calls, said)
    text = text_of(content) or text_of(message.get("error"))
    return result_event(text, call_id, calls, said, failed, tool)


def _openai_call(asked: Any, said: Said) -> Event:
    if not isinstance(asked, dict):
        raise TranscriptError(f"shape: a tool call must be an object, got {_kind(asked)}")
    inner = asked.get("function", asked.get("custom"))
    if isinstance(inner, str):  # Inspect's form
        return call_event(inner, asked.get("arguments"), asked.get("id"), said)
    inner = inner if isinstance(inner, dict) else asked
    given = inner.get("arguments", inner.get("input", inner.get("args")))
    return call_event(inner.get("name"), given, asked.get("id"), said)


def _arguments(given: Any) -> tuple[Mapping[str, Any] | None, str]:
    """Return arguments as an object; else None and what stood there."""
    if isinstance(given, dict):
        return given, ""
    if given is None or given == "":
        return {}, ""
    if isinstance(given, str):
        try:
            value = parse(given)
        except TranscriptError:
            return None, given
        return (value, "") if isinstance(value, dict) else (None, given)
    return None, str(given)


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TranscriptError(f"shape: `{name}` must be a list, got {_kind(value)}")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _kind(value: Any) -> str:
    return type(value).__name__
