"""OpenTelemetry's spans of generative AI (semantic conventions `gen_ai.*`): OTLP JSON, or a span
a line, as collectors' file exporters and the console exporter of the SDKs write them.

A trace is a run.  Its spans end in any order and among those of other traces, so traces are held
until the file ends, within a bound; a trace that is let go before its last span comes in parts.
"""  # noqa: D205  (the sentence is longer than a line)

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.lines import Placed, Records, parse
from corrigible.monitor.formats.messages import (
    Calls,
    Said,
    call_event,
    message_events,
    result_event,
    text_of,
)
from corrigible.monitor.formats.runs import BadOnes, why_bad
from corrigible.monitor.formats.times import moment
from corrigible.monitor.transcript import Bad, Event, Transcript

MOST_HELD = 64_000_000
"""Characters of the spans that are held at once."""

_DEEPEST_PARENT = 64
_OLD_EVENTS = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant", "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Span:
    trace: str
    id: str
    parent: str
    start: float | None
    failed: bool
    attributes: Mapping[str, Any]
    events: tuple[tuple[str, float | None, Mapping[str, Any]], ...]
    size: int
    where: str
    line: int


def span_runs(first: Placed, records: Records, source: str) -> Iterator[Transcript | Bad]:
    """Yield a run for each trace that holds a span of generative AI, in the order they began."""
    held: dict[str, list[_Span]] = {}
    parts: dict[str, int] = {}
    size, found = 0, False
    for record in chain([first], records):
        if isinstance(record, Bad):
            yield record
            continue
        try:
            for span in _spans(record):
                held.setdefault(span.trace, []).append(span)
                size += span.size
        except Exception as error:  # noqa: BLE001  (a record is hostile: the others are read)
            yield Bad(source, record.line, f"{why_bad(error)} ({record.where})")
        while size > MOST_HELD and held:
            trace = next(iter(held))
            size -= sum(span.size for span in held[trace])
            parts[trace] = parts.get(trace, 0) + 1
            for one in _run(trace, held.pop(trace), source, parts[trace]):
                found = True
                yield one
    for trace, spans in held.items():
        for one in _run(trace, spans, source, parts.get(trace, 0) + 1):
            found = True
            yield one
    if not found:
        yield Bad(source, 0, "format: no span has a `gen_ai.operation.name` or messages")


def _run(trace: str, spans: list[_Span], source: str, part: int) -> Iterator[Transcript | Bad]:
    bad = BadOnes(source)
    reader = _Trace(spans)
    events: list[Event] = []
    for span in sorted(spans, key=lambda one: one.start or 0.0):
        try:
            events += reader.events(span)
        except Exception as error:  # noqa: BLE001  (a span is hostile: the others are read)
            bad.add(Bad(source, span.line, f"{why_bad(error)} ({span.where})"))
    names = ("gen_ai.agent.name", "gen_ai.request.model", "gen_ai.response.model")
    agent = next((str(s.attributes[n]) for n in names for s in spans if s.attributes.get(n)), "")
    id_ = trace if part == 1 else f"{trace} part {part}"
    if events:
        yield Transcript(id_, source, "otel", agent[:200], tuple(events))
    yield from bad.take()


@dataclass
class _Trace:
    """One trace: each message and call once, however many spans repeat it."""

    spans: Iterable[_Span]
    calls: Calls = field(default_factory=Calls)
    told: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.by_id = {span.id: span for span in self.spans if span.id}

    def events(self, span: _Span) -> Iterator[Event]:
        """Yield what a span adds."""
        said = Said(span.where, span.start, self._caller(span))
        own = span.attributes
        if own.get("gen_ai.operation.name") == "execute_tool":
            yield from self._tool(span, said)
            return
        for attributes in (own, *(a for _, _, a in span.events)):
            system = _unpacked(attributes.get("gen_ai.system_instructions"))
            if system:
                yield from self._message({"role": "system", "content": text_of(system)}, said)
            for key in ("gen_ai.input.messages", "gen_ai.output.messages"):
                for message in _list(_unpacked(attributes.get(key)), key):
                    yield from self._message(message, said)
        for name, at, attributes in span.events:
            if role := _OLD_EVENTS.get(name):
                yield from self._message(_old(role, attributes), Said(span.where, at, said.caller))

    def _message(self, message: Any, said: Said) -> Iterator[Event]:
        if not isinstance(message, dict):
            raise TranscriptError(f"shape: a message must be an object, got {_kind(message)}")
        kept = {key: value for key, value in message.items() if key != "finish_reason"}
        mark = json.dumps(kept, sort_keys=True)
        if mark in self.told:
            return
        self.told.add(mark)
        for event in message_events(message, self.calls, said):
            if self._is_new(event):
                yield event

    def _is_new(self, event: Event) -> bool:
        """Whether a call or its result is told for the first time."""
        if not event.call_id or event.kind not in {"call", "result", "denied"}:
            return True
        seen = self.asked if event.kind == "call" else self.answered
        if event.call_id in seen:
            return False
        seen.add(event.call_id)
        return True

    def _tool(self, span: _Span, said: Said) -> Iterator[Event]:
        own = span.attributes
        id_ = str(own.get("gen_ai.tool.call.id") or span.id)
        given = _unpacked(own.get("gen_ai.tool.call.arguments"))
        name = own.get("gen_ai.tool.name")
        call = self.calls.asked(call_event(name, given, id_, said))
        if self._is_new(call):
            yield call
        told = own.get("gen_ai.tool.call.result")
        if told is None and not span.failed:
            return
        text = text_of(told) or str(own.get("error.type") or "")
        result = result_event(text, id_, self.calls, said, span.failed, str(name))
        if self._is_new(result):
            yield result

    def _caller(self, span: _Span) -> str:
        """The agent that a span belongs to: its own, or the nearest one above it."""
        here: _Span | None = span
        for _ in range(_DEEPEST_PARENT):  # hostile spans may be their own parents
            if here is None:
                return ""
            if name := here.attributes.get("gen_ai.agent.name"):
                return str(name)[:200]
            here = self.by_id.get(here.parent)
        return ""


def _old(role: str, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message of the first convention, whose events each are one."""
    inner = _unpacked(attributes.get("message"))
    message = inner if isinstance(inner, dict) else attributes
    return {
        "role": role,
        "content": _unpacked(message.get("content")),
        "tool_calls": _unpacked(message.get("tool_calls")),
        "tool_call_id": message.get("id"),
    }


# -- spans ---------------------------------------------------------------------------------


def _spans(record: Placed) -> Iterator[_Span]:
    value = record.value
    if not isinstance(value, dict):
        raise TranscriptError(f"shape: a span must be an object, got {_kind(value)}")
    if "resourceSpans" not in value:
        yield _span(value, record.where, record.line)
        return
    for resource in _list(value["resourceSpans"], "resourceSpans"):
        for scope in _list(_of(resource, "scopeSpans"), "scopeSpans"):
            for number, span in enumerate(_list(_of(scope, "spans"), "spans")):
                yield _span(span, f"{record.where}, span {number}", record.line)


def _span(span: Any, where: str, line: int) -> _Span:
    if not isinstance(span, dict):
        raise TranscriptError(f"shape: a span must be an object, got {_kind(span)}")
    context = span.get("context")
    ids = {**span, **context} if isinstance(context, dict) else span
    trace = _first(ids, "traceId", "trace_id")
    if not isinstance(trace, str) or not trace:
        raise TranscriptError("shape: a span must have a traceId")
    attributes = _attributes(span.get("attributes"))
    events = tuple(
        (str(_of(e, "name")), _moment(e), _attributes(_of(e, "attributes")))
        for e in _list(span.get("events"), "events")
    )
    status = span.get("status")
    code = _first(status, "code", "status_code") if isinstance(status, dict) else None
    id_ = str(_first(ids, "spanId", "span_id") or "")
    texts = chain(attributes.values(), *(e[2].values() for e in events))
    return _Span(
        trace[:200], id_[:200], str(_first(span, "parentSpanId", "parent_id") or ""),
        _moment(span), code in (2, "ERROR", "STATUS_CODE_ERROR") or "error.type" in attributes,
        attributes, events, 1000 + sum(len(str(text)) for text in texts),
        f"{where}, span {id_[:40]}" if id_ else where, line,
    )  # fmt: skip


def _moment(value: Any) -> float | None:
    keys = ("startTimeUnixNano", "start_time_unix_nano", "start_time", "timeUnixNano", "timestamp")
    return moment(_first(value, *keys))


def _attributes(value: Any) -> Mapping[str, Any]:
    """Return attributes as names and plain values, from OTLP's list of pairs too."""
    if value is None or isinstance(value, dict):
        return value or {}
    pairs = _list(value, "attributes")
    return {str(_of(pair, "key")): _plain(_of(pair, "value")) for pair in pairs}


def _plain(value: Any) -> Any:
    """Return one of OTLP's typed values as a plain one."""
    if not isinstance(value, dict) or len(value) != 1:
        return value
    kind, inner = next(iter(value.items()))
    if kind == "arrayValue":
        return [_plain(item) for item in _list(_of(inner, "values"), "values")]
    if kind == "kvlistValue":
        return _attributes(_of(inner, "values"))
    if kind == "intValue" and isinstance(inner, str):
        return int(inner) if inner.lstrip("-").isdigit() and len(inner) <= 20 else inner  # noqa: PLR2004  (64 bits)
    return inner if kind in {"stringValue", "intValue", "boolValue", "doubleValue"} else value


def _unpacked(value: Any) -> Any:
    """Return a value that may be written as JSON text."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        try:
            return parse(value)
        except TranscriptError:
            return value
    return value


def _list(value: Any, name: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise TranscriptError(f"shape: `{name}` must be a list, got {_kind(value)}")
    return value


def _of(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        raise TranscriptError(f"shape: what holds `{key}` must be an object, got {_kind(value)}")
    return value.get(key)


def _first(value: Any, *keys: str) -> Any:
    return next((value[key] for key in keys if value.get(key) is not None), None)


def _kind(value: Any) -> str:
    return type(value).__name__
