"""Logs of Inspect AI, through its own reader (extra `evals`), one sample at a time."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.lines import LARGEST_DOCUMENT
from corrigible.monitor.formats.messages import (
    Calls,
    Said,
    call_event,
    message_events,
    result_event,
)
from corrigible.monitor.formats.runs import BadOnes
from corrigible.monitor.formats.times import moment
from corrigible.monitor.transcript import Bad, Event, EventKind, Transcript

_MISSING = "extra: an Inspect log needs Inspect AI to be read; pip install 'corrigible[evals]'"
_SPOKEN = {"system", "user"}
_REFUSED = {"reject", "terminate"}


def inspect_runs(path: Path) -> Iterator[Transcript | Bad]:
    """Yield a run for each sample of a log; of an `.eval` one sample at a time is in memory."""
    source = str(path)
    try:
        import inspect_ai.log as logs  # noqa: PLC0415  (two seconds, and an extra)
    except ImportError:
        yield Bad(source, 0, _MISSING)
        return
    try:
        if why := _too_large(path):
            yield Bad(source, 0, why)
            return
        samples = _zipped(path, logs) if zipfile.is_zipfile(path) else _whole(path, logs)
        for number, (model, sample) in enumerate(samples):
            yield from _run(sample, source, str(model), f"sample {number}")
    except Exception as error:  # noqa: BLE001  (a foreign reader of hostile files: whatever it raises)
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
        yield Bad(source, 0, f"inspect: its reader could not read this: {said:.300}")


def _too_large(path: Path) -> str:
    if not zipfile.is_zipfile(path):
        size = path.stat().st_size
        rule = f"a log in JSON may be {LARGEST_DOCUMENT:,} bytes"
        way = "`inspect log convert --to eval` makes one that streams"
        return "" if size <= LARGEST_DOCUMENT else f"size: {rule}, got {size:,}; {way}"
    with zipfile.ZipFile(path) as parts:
        large = [p for p in parts.infolist() if p.file_size > LARGEST_DOCUMENT]
    return f"size: a part of a log may be {LARGEST_DOCUMENT:,} bytes unpacked" if large else ""


def _zipped(path: Path, logs: Any) -> Iterator[tuple[str, Any]]:
    model = logs.read_eval_log(path, header_only=True).eval.model
    for one in logs.read_eval_log_sample_summaries(path):
        yield (
            model,
            logs.read_eval_log_sample(path, id=one.id, epoch=one.epoch, resolve_attachments=True),
        )


def _whole(path: Path, logs: Any) -> Iterator[tuple[str, Any]]:
    log = logs.read_eval_log(path, resolve_attachments=True, format="json")
    for sample in log.samples or ():
        yield log.eval.model, sample


def _run(sample: Any, source: str, agent: str, where: str) -> Iterator[Transcript | Bad]:
    bad, reader = BadOnes(source), _Sample()
    events: list[Event] = []
    items = sample.events if any(e.event == "model" for e in sample.events) else ()
    steps: Iterable[tuple[str, Any]] = (
        [(f"{where}, event {i}", e) for i, e in enumerate(items)]
        or [(f"{where}, message {i}", m) for i, m in enumerate(sample.messages)]
    )  # fmt: skip
    for at, item in steps:
        try:
            events += reader.events(item, at)
        except TranscriptError as error:
            bad.add(Bad(source, 0, f"{error} ({at})"))
    if sample.error is not None:
        bad.add(Bad(source, 0, f"sample failed: {where} ended by an error, so it is not whole"))
    yield Transcript(f"{sample.id}-{sample.epoch}", source, "inspect", agent, tuple(events))
    yield from bad.take()


class _Sample:
    """The events or messages of one sample, in turn."""

    def __init__(self) -> None:
        self.calls = Calls()
        self.told: set[str] = set()  # messages: each model event repeats those before it
        self.asked: set[str] = set()
        self.ended: set[str] = set()  # calls with a result or a denial

    def events(self, item: Any, where: str) -> Iterator[Event]:
        """Yield what an event or message adds."""
        kind = getattr(item, "event", "message")
        at = moment(item.timestamp.timestamp()) if hasattr(item, "timestamp") else None
        said = Said(where, at, str(getattr(item, "agent", None) or ""))
        if kind == "message":
            yield from self._message(item, said)
        elif kind == "model":
            for message in item.input:
                if message.role in _SPOKEN:
                    yield from self._message(message, said)
            for choice in item.output.choices:
                yield from self._message(choice.message, said)
        elif kind == "tool":
            yield from self._tool(item, said)
        elif kind == "approval":
            yield from self._approval(item, said)
        else:
            yield from _other(kind, item, said)

    def _message(self, message: Any, said: Said) -> Iterator[Event]:
        if message.id and message.id in self.told:
            return
        self.told.add(message.id or "")
        plain = message.model_dump(mode="json", exclude_none=True)
        for event in message_events(plain, self.calls, said):
            if event.kind == "call":
                self.asked.add(event.call_id)
            yield event

    def _tool(self, item: Any, said: Said) -> Iterator[Event]:
        if item.id not in self.asked:
            self.asked.add(item.id)
            yield self.calls.asked(call_event(item.function, item.arguments, item.id, said))
        if item.id in self.ended:
            return
        self.ended.add(item.id)
        failed = item.error is not None
        text = item.error.message if failed else _told(item.result)
        result = result_event(text, item.id, self.calls, said, failed, item.function)
        if failed and item.error.type == "approval":
            yield _event("denied", text, said, result)
        else:
            yield result

    def _approval(self, item: Any, said: Said) -> Iterator[Event]:
        id_ = item.call.id
        if id_ not in self.asked:
            self.asked.add(id_)
            yield self.calls.asked(call_event(item.call.function, item.call.arguments, id_, said))
        server, tool = self.calls.open.get(id_, ("", item.call.function))
        like = Event("call", "", server, tool, None, id_)
        text = f"{item.decision} by {item.approver}: {item.explanation or ''}"
        if item.decision in _REFUSED:
            self.ended.add(id_)
            yield _event("denied", text, said, like)
        elif item.approver != "auto":
            yield _event("approval", text, said, like)


def _other(kind: str, item: Any, said: Said) -> Iterator[Event]:
    if kind == "interrupt":
        yield _event("stop", f"{item.source}, {item.interrupted}", said)
    elif kind == "sentinel" and item.kind == "decision" and item.action in _REFUSED:
        yield _event("denied", f"sentinel: {item.explanation or item.action}", said)


def _event(kind: EventKind, text: str, said: Said, like: Event | None = None) -> Event:
    of = like or Event("call")
    return Event(
        kind, text, of.server, of.tool, None, of.call_id,
        at=said.at, caller=said.caller, where=said.where,
    )  # fmt: skip


def _told(result: Any) -> str:
    if isinstance(result, list):
        return "\n".join(_told(item) for item in result)
    return str(getattr(result, "text", result))
