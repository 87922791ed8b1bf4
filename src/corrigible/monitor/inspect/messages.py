"""Inspect's chat messages into a transcript, without a log file between."""

from collections.abc import Iterable, Iterator
from typing import Any

from corrigible.monitor.transcript import Event, Transcript

FORMAT = "inspect"


def transcript_of(messages: Iterable[Any], *, id: str = "", model: str = "") -> Transcript:  # noqa: A002  (the record's own name)
    """Return the transcript of some of Inspect's chat messages."""
    return Transcript(id, id, FORMAT, model, tuple(_events(messages)))


def _events(messages: Iterable[Any]) -> Iterator[Event]:
    for number, message in enumerate(messages, 1):
        where = f"M{number}"
        if message.role == "tool":
            error = message.error
            refused = error is not None and error.type in {"approval", "permission"}
            text = message.text or (error.message if error is not None else "")
            yield Event(
                "denied" if refused else "result", text, tool=message.function or "",
                call_id=message.tool_call_id or "", is_error=error is not None, where=where,
            )  # fmt: skip
            continue
        if message.text:
            yield Event(message.role, message.text, where=where)
        for call in getattr(message, "tool_calls", None) or ():
            yield call_event(call, where)


def call_event(call: Any, where: str) -> Event:
    """Return the event of one of Inspect's tool calls."""
    given = call.arguments if isinstance(call.arguments, dict) else None
    return Event("call", tool=call.function, arguments=given, call_id=call.id, where=where)
