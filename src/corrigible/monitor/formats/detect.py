"""Which form a file is in, by what it holds and never by its name."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from corrigible.monitor.formats.chats import chat_runs, is_item_type
from corrigible.monitor.formats.coding import CLAUDE_TYPES, CODEX_TYPES, claude_runs, codex_runs
from corrigible.monitor.formats.ledgers import ledger_line_runs
from corrigible.monitor.formats.lines import Placed, Records
from corrigible.monitor.formats.otel import span_runs
from corrigible.monitor.transcript import Bad, Transcript

_BLOCKS = frozenset({"tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use"})


def _chats(name: str) -> Callable[[Placed, Records, str], Iterator[Transcript | Bad]]:
    return lambda first, records, source: chat_runs(first, records, source, name)


READERS: Mapping[str, Callable[[Placed, Records, str], Iterator[Transcript | Bad]]] = {
    "openai": _chats("openai"),
    "anthropic": _chats("anthropic"),
    "openai-responses": _chats("openai-responses"),
    "claude-code": claude_runs,
    "codex": codex_runs,
    "otel": span_runs,
    "ledger": ledger_line_runs,
}
"""The forms that are JSON records, each with what reads it: (first record, the others, source)."""

FORMATS = ("inspect", *READERS)
"""What `--format` takes."""


def format_of(value: Any) -> str | None:  # noqa: PLR0911  (one return a form)
    """Return the form of a file by one of its records; None where it is none that is known."""
    if not isinstance(value, dict):
        return None
    keys = value.keys()
    if "resourceSpans" in keys or _is_span(value):
        return "otel"
    if {"seq", "kind", "body"} <= keys:
        return "ledger"
    if {"eval", "status", "version"} <= keys:
        return "inspect"
    type_ = value.get("type")
    if _is_codex(value, type_):
        return "codex"
    if isinstance(type_, str) and type_ in CLAUDE_TYPES and _is_claude(value):
        return "claude-code"
    return _chat_format(value)


def _chat_format(value: Mapping[str, Any]) -> str | None:
    messages, keys = value.get("messages"), value.keys()
    if isinstance(messages, list):
        return "anthropic" if _is_anthropic(messages, system="system" in keys) else "openai"
    if "role" in keys and {"content", "tool_calls", "parts"} & keys:
        return "anthropic" if _is_anthropic([value], system=False) else "openai"
    asked, items = value.get("input"), value.get("output")
    answers = value.get("object") == "response" or (isinstance(items, list) and _are_items(items))
    requests = isinstance(asked, list | str) and "model" in keys
    return "openai-responses" if answers or requests or is_item_type(value.get("type")) else None


def _is_span(value: Mapping[str, Any]) -> bool:
    ids = value.get("context") if isinstance(value.get("context"), dict) else value
    return "name" in value and isinstance(ids, dict) and bool({"traceId", "trace_id"} & ids.keys())


def _is_codex(value: Mapping[str, Any], type_: Any) -> bool:
    if isinstance(type_, str) and type_ in CODEX_TYPES and "payload" in value:
        return True
    return {"id", "timestamp", "instructions"} <= value.keys() and type_ is None


def _is_claude(value: Mapping[str, Any]) -> bool:
    known = {"sessionId", "uuid", "parentUuid", "leafUuid", "snapshot", "messageId"}
    return bool(known & value.keys()) or (
        isinstance(value.get("message"), dict) and "role" in value["message"]
    )


def _is_anthropic(messages: list[Any], *, system: bool) -> bool:
    """Whether messages have blocks of Anthropic's, or stand beside a system prompt."""
    found = set[Any]()
    for message in messages[:50]:
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            type_ = block.get("type") if isinstance(block, dict) else None
            found |= {type_} if isinstance(type_, str) else set()
    told = any(isinstance(m, dict) and m.get("role") == "system" for m in messages[:50])
    return bool(found & _BLOCKS) or (system and not told)


def _are_items(items: list[Any]) -> bool:
    return bool(items) and isinstance(items[0], dict) and is_item_type(items[0].get("type"))
