"""Chat messages as JSON: OpenAI's and Anthropic's forms, and OpenAI's response items.

One record is a run with its `messages` (or its `input` and `output` items), or one message; a
file of single messages is one run.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.lines import Placed, Records
from corrigible.monitor.formats.messages import (
    Calls,
    Said,
    call_event,
    message_events,
    result_event,
    text_of,
)
from corrigible.monitor.formats.runs import one_run, whole_run, why_bad
from corrigible.monitor.formats.times import moment
from corrigible.monitor.transcript import Bad, Event, EventKind, Transcript

_IDS = ("id", "transcript_id", "conversation_id", "session_id", "task_id", "sample_id", "uuid")
_AGENTS = ("model", "agent", "assistant_id")
_OUTPUTS = ("output", "result", "content")
_CALL_ITEMS = {"function_call", "custom_tool_call", "mcp_call"}
_NAMED_CALLS = {
    "web_search_call", "file_search_call", "computer_call", "code_interpreter_call",
    "local_shell_call", "image_generation_call",
}  # fmt: skip


def chat_runs(
    first: Placed, records: Records, source: str, name: str
) -> Iterator[Transcript | Bad]:
    """Yield the runs of a file of chats; `first` says whether its records are runs or messages."""
    every: Records = chain([first], records)
    if isinstance(first.value, dict) and ("role" in first.value or _is_item(first.value)):
        yield from one_run(every, source, name, _Chat().record)
        return
    for record in every:
        if isinstance(record, Bad):
            yield record
            continue
        try:
            yield from _run(record, source, name)
        except Exception as error:  # noqa: BLE001  (a record is hostile: the others are read)
            yield Bad(source, record.line, f"{why_bad(error)} ({record.where})")


def _run(record: Placed, source: str, name: str) -> Iterator[Transcript | Bad]:
    value = record.value
    if not isinstance(value, dict):
        raise TranscriptError(f"shape: a run must be an object, got {type(value).__name__}")
    chat = _Chat()
    yield from whole_run(
        _messages(value, record.where),
        record,
        chat.item,
        source=source,
        format_=name,
        id_=_named(value, _IDS) or record.where.replace(" ", "-"),
        agent=_named(value, _AGENTS),
    )


def _messages(value: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    """Yield the messages of a run with their places, Anthropic's system prompt first."""
    instructions = value.get("system", value.get("instructions"))
    if instructions:
        yield f"{where}, system", {"role": "system", "content": instructions}
    found = False
    for key in ("messages", "input", "output"):
        items = value.get(key)
        if isinstance(items, str) and key == "input":
            items = [{"role": "user", "content": items}]
        if items is None:
            continue
        if not isinstance(items, list):
            raise TranscriptError(f"shape: `{key}` must be a list, got {type(items).__name__}")
        found = True
        for number, item in enumerate(items):
            yield f"{where}, {key} {number}", item
    if not found:
        raise TranscriptError("shape: a run must have `messages`, or `input` or `output`")
    if "messages" in value:  # the answer to a request that was logged with it
        yield from _answers(value, where)


def _answers(value: Mapping[str, Any], where: str) -> Iterator[tuple[str, Any]]:
    response = value.get("response")
    if not isinstance(response, dict):
        return
    if response.get("role") == "assistant":
        yield f"{where}, response", response
    choices = response.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and isinstance(choice.get("message"), dict):
            yield f"{where}, response", choice["message"]


def _named(value: Mapping[str, Any], keys: Iterable[str]) -> str:
    found = (value[key] for key in keys if isinstance(value.get(key), str | int))
    return str(next(found, ""))[:200]


class _Chat:
    """The messages or items of one run, in turn."""

    def __init__(self) -> None:
        self.calls = Calls()

    def record(self, placed: Placed) -> Iterator[Event]:
        """Return the events of a record that is one message."""
        return self.item(placed.where, placed.value)

    def item(self, where: str, value: Any) -> Iterator[Event]:
        """Yield the events of one message or item."""
        if _is_item(value):
            yield from item_events(value, self.calls, Said(where, _at(value)))
        else:
            yield from message_events(value, self.calls, Said(where, _at(value)))


def _at(value: Any) -> float | None:
    if not isinstance(value, dict):
        return None
    return moment(value.get("timestamp", value.get("created_at")))


def _is_item(value: Any) -> bool:
    return isinstance(value, dict) and "role" not in value and is_item_type(value.get("type"))


def is_item_type(type_: Any) -> bool:
    """Whether a `type` is one of OpenAI's response items."""
    return isinstance(type_, str) and (
        type_ in {"message", "reasoning", "item_reference"} | _CALL_ITEMS | _NAMED_CALLS
        or (type_.endswith("_call_output") or type_.startswith("mcp_"))
    )


def item_events(item: Mapping[str, Any], calls: Calls, said: Said) -> Iterator[Event]:
    """Yield what one response item says or asks for.

    Raises:
        TranscriptError: it is none that is known.
    """
    type_ = str(item.get("type"))
    call_id = str(item.get("call_id") or item.get("id") or "")
    if type_ == "message":
        yield from message_events({"role": "assistant", **item}, calls, said)
    elif type_ == "reasoning":
        text = text_of(item.get("summary")) or text_of(item.get("content"))
        if text:
            yield Event("assistant", text, at=said.at, caller=said.caller, where=said.where)
    elif type_ in _CALL_ITEMS:
        given = item.get("arguments", item.get("input"))
        name, server = item.get("name"), item.get("server_label", "")
        yield calls.asked(call_event(name, given, call_id, said, server))
        if type_ == "mcp_call" and (item.get("output") or item.get("error")):
            failed = bool(item.get("error"))
            text = text_of(item.get("error") if failed else item.get("output"))
            yield result_event(text, call_id, calls, said, failed)
    elif type_ in _NAMED_CALLS:
        given = item.get("action", {k: item[k] for k in ("code", "queries") if k in item})
        yield calls.asked(call_event(type_.removesuffix("_call"), given, call_id, said))
    elif type_.endswith("_call_output"):
        text = next((text_of(item[key]) for key in _OUTPUTS if key in item), "")
        yield result_event(text, call_id, calls, said, item.get("status") == "failed")
    elif type_ == "mcp_approval_response":
        kind: EventKind = "approval" if item.get("approve") is True else "denied"
        text = text_of(item.get("reason"))
        yield Event(kind, text, call_id=call_id, at=said.at, caller=said.caller, where=said.where)
    elif type_ not in {"item_reference", "mcp_list_tools", "mcp_approval_request"}:
        raise TranscriptError(f"shape: an item's type must be one that is known, got {type_:.80}")
