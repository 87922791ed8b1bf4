"""Sessions of coding agents: Claude Code's JSONL, and Codex's rollouts."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.chats import is_item_type, item_events
from corrigible.monitor.formats.lines import Placed, Records, parse
from corrigible.monitor.formats.messages import Calls, Said, message_events, text_of
from corrigible.monitor.formats.runs import one_run
from corrigible.monitor.formats.times import moment
from corrigible.monitor.transcript import Bad, Event, Transcript

_INTERRUPTED = "[Request interrupted by user"
CLAUDE_TYPES = frozenset({
    "user", "assistant", "system", "summary", "file-history-snapshot", "queue-operation",
    "progress", "attachment", "last-prompt", "custom-title", "tag", "agent-name", "pr-link",
    "permission-mode", "ai-title", "agent-setting", "mode",
})  # fmt: skip
CODEX_TYPES = frozenset({
    "session_meta", "response_item", "event_msg", "turn_context", "compacted",
})  # fmt: skip


def claude_runs(first: Placed, records: Records, source: str) -> Iterator[Transcript | Bad]:
    """Yield the session that a file of Claude Code's holds; a sub-agent's turns name it."""
    every: Records = chain([first], records)
    id_ = _named(first.value, "sessionId")
    return one_run(every, source, "claude-code", _Claude().events, "claude-code", id_)


class _Claude:
    def __init__(self) -> None:
        self.calls = Calls()

    def events(self, placed: Placed) -> Iterator[Event]:
        """Yield the events of one line."""
        line = _object(placed.value)
        type_ = line.get("type")
        if not isinstance(type_, str):
            raise TranscriptError(f"shape: a line must have a type, got {type_!r:.80}")
        side = line.get("isSidechain") is True
        caller = (_named(line, "agentId") or "sidechain") if side else ""
        said = Said(placed.where, moment(line.get("timestamp")), caller)
        if type_ == "system":
            text = text_of(line.get("content"))
            if text:
                yield Event("system", text, at=said.at, caller=caller, where=said.where)
        elif "message" in line:  # any other line is the program's own bookkeeping
            yield from self._turn(line, said)

    def _turn(self, line: Mapping[str, Any], said: Said) -> Iterator[Event]:
        for event in message_events(line.get("message"), self.calls, said):
            if event.kind == "user" and event.text.startswith(_INTERRUPTED):
                yield Event("stop", event.text, at=said.at, caller=said.caller, where=said.where)
            else:
                yield event


def codex_runs(first: Placed, records: Records, source: str) -> Iterator[Transcript | Bad]:
    """Yield the session that a rollout of Codex holds."""
    every: Records = chain([first], records)
    meta = first.value.get("payload", first.value) if isinstance(first.value, dict) else {}
    return one_run(every, source, "codex", _Codex().events, "codex", _named(meta, "id"))


class _Codex:
    def __init__(self) -> None:
        self.calls = Calls()

    def events(self, placed: Placed) -> Iterator[Event]:
        """Yield the events of one line; `event_msg` repeats what the items say, but for stops."""
        line = _object(placed.value)
        type_, said = line.get("type"), Said(placed.where, moment(line.get("timestamp")))
        if (type_ is None and "id" in line) or line.get("record_type") == "state":
            type_, line = "session_meta", {"payload": line}  # the first form of rollouts
        payload = _object(line.get("payload", {}))
        if type_ == "response_item":
            yield from self._item(payload, said)
        elif type_ == "session_meta":
            if text := text_of(payload.get("instructions")):
                yield Event("system", text, at=said.at, where=said.where)
        elif type_ == "event_msg":
            if payload.get("type") == "turn_aborted":
                why = str(payload.get("reason") or "")
                yield Event("stop", why, at=said.at, where=said.where)
        elif is_item_type(type_):
            yield from self._item(line, said)
        elif not isinstance(type_, str) or type_ not in CODEX_TYPES:
            raise TranscriptError(
                f"shape: a line's type must be one that is known, got {type_!r:.80}"
            )

    def _item(self, item: Mapping[str, Any], said: Said) -> Iterator[Event]:
        if item.get("type") == "ghost_snapshot":  # the program's own
            return
        for event in item_events(item, self.calls, said):
            yield _unpacked(event)


def _unpacked(event: Event) -> Event:
    """Return a result with the exit code that Codex packs into its text taken for an error."""
    if event.kind != "result" or not event.text.startswith("{"):
        return event
    code = _exit_code(event.text)
    if code in {None, 0}:
        return event
    return Event(
        event.kind, event.text, event.server, event.tool, None, event.call_id,
        is_error=True, at=event.at, where=event.where,
    )  # fmt: skip


def _exit_code(text: str) -> int | None:
    try:
        packed = parse(text)
    except TranscriptError:
        return None
    found = packed.get("metadata")
    code = found.get("exit_code") if isinstance(found, dict) else None
    return code if isinstance(code, int) else None


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TranscriptError(f"shape: a line must be an object, got {type(value).__name__}")
    return value


def _named(value: Any, key: str) -> str:
    found = value.get(key) if isinstance(value, dict) else None
    return found[:200] if isinstance(found, str) else ""
