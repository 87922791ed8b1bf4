"""Every form tells the same story as the same events, and what it does not say is not made up."""

import json
import random
from pathlib import Path

import pytest

from corrigible.monitor.reading import read_transcripts
from corrigible.monitor.transcript import Bad

PATH = {"path": "/srv/a"}
ARGS = json.dumps(PATH)
WHEN = "2026-01-02T03:04:05Z"
AT = 1767323045.0

STORY = [
    ("system", "", None, "be brief"),
    ("user", "", None, "read it"),
    ("assistant", "", None, "I read it"),
    ("call", "read_file", PATH, ""),
    ("result", "read_file", None, "<b>hello</b>"),
    ("assistant", "", None, "done"),
]
"""What each file below says: (kind, tool, arguments, text)."""

CHAT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "read it"},
    {"role": "assistant", "content": "I read it", "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "read_file", "arguments": ARGS}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "<b>hello</b>"},
    {"role": "assistant", "content": "done"},
]  # fmt: skip
FLAT = [
    *CHAT[:2],
    {"role": "assistant", "content": "I read it",
     "tool_calls": [{"id": "c1", "name": "read_file", "arguments": PATH}]},
    {"role": "tool", "name": "read_file", "content": "<b>hello</b>"},
    CHAT[4],
]  # fmt: skip
NAMELESS = [
    *FLAT[:3],
    {"role": "tool", "content": "<b>hello</b>"},
    CHAT[4],
]
TURNS = [
    {"role": "user", "content": "read it"},
    {"role": "assistant", "content": [
        {"type": "text", "text": "I read it"},
        {"type": "tool_use", "id": "c1", "name": "read_file", "input": PATH}]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "c1",
         "content": [{"type": "text", "text": "<b>hello</b>"}]}]},
    {"role": "assistant", "content": [{"type": "text", "text": "done"}]},
]  # fmt: skip
ITEMS = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "read it"}]},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "I read it"}]},
    {"type": "function_call", "call_id": "c1", "name": "read_file", "arguments": ARGS},
    {"type": "function_call_output", "call_id": "c1", "output": "<b>hello</b>"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
]
SESSION = [
    {"type": "summary", "summary": "A file is read", "leafUuid": "u9"},
    {"type": "system", "sessionId": "s1", "content": "be brief", "timestamp": WHEN},
    *({"type": m["role"], "sessionId": "s1", "uuid": "u", "timestamp": WHEN, "message": m}
      for m in TURNS),
    {"type": "file-history-snapshot", "messageId": "m"},
]  # fmt: skip
ROLLOUT = [
    {
        "timestamp": WHEN,
        "type": "session_meta",
        "payload": {"id": "s1", "instructions": "be brief"},
    },
    {"timestamp": WHEN, "type": "event_msg", "payload": {"type": "user_message", "message": "…"}},
    *({"timestamp": WHEN, "type": "response_item", "payload": item} for item in ITEMS),
]
PARTS_IN = [{"role": "user", "parts": [{"type": "text", "content": "read it"}]}]
PARTS_OUT = [{"role": "assistant", "finish_reason": "tool_call", "parts": [
    {"type": "text", "content": "I read it"},
    {"type": "tool_call", "id": "c1", "name": "read_file", "arguments": PATH}]}]  # fmt: skip
PARTS_BACK = [{"role": "tool", "parts": [
    {"type": "tool_call_response", "id": "c1", "response": "<b>hello</b>"}]}]  # fmt: skip
PARTS_LAST = [{"role": "assistant", "parts": [{"type": "text", "content": "done"}]}]


def spans(pack):
    """Two chats with a tool between them, the second repeating what the first said."""
    first = {"gen_ai.operation.name": "chat",
             "gen_ai.system_instructions": [{"type": "text", "content": "be brief"}],
             "gen_ai.input.messages": PARTS_IN, "gen_ai.output.messages": PARTS_OUT}  # fmt: skip
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "read_file",
            "gen_ai.tool.call.id": "c1", "gen_ai.tool.call.arguments": PATH,
            "gen_ai.tool.call.result": "<b>hello</b>"}  # fmt: skip
    last = {"gen_ai.operation.name": "chat",
            "gen_ai.input.messages": PARTS_IN + PARTS_OUT + PARTS_BACK,
            "gen_ai.output.messages": PARTS_LAST}  # fmt: skip
    seconds = int(AT)
    return [
        pack("t1", f"s{number}", (seconds + number) * 10**9, attributes)
        for number, attributes in [(2, last), (0, first), (1, tool)]  # as they end, in any order
    ]


def otlp(trace, span, nanoseconds, attributes):
    pairs = [{"key": key, "value": {"stringValue": json.dumps(value) if not isinstance(value, str)
              else value}} for key, value in attributes.items()]  # fmt: skip
    return {"traceId": trace, "spanId": span, "name": "x", "startTimeUnixNano": str(nanoseconds),
            "attributes": pairs}  # fmt: skip


def plain(trace, span, nanoseconds, attributes):
    return {"name": "x", "context": {"trace_id": trace, "span_id": span},
            "start_time": nanoseconds, "attributes": attributes}  # fmt: skip


def lines(*values: object):
    return "".join(json.dumps(value) + "\n" for value in values)


FILES = {
    "openai run a line": ("openai", lines({"id": "r1", "messages": CHAT})),
    "openai run, whole": ("openai", json.dumps({"model": "m", "messages": CHAT}, indent=1)),
    "openai flat calls": ("openai", lines({"messages": FLAT})),
    "openai without ids": ("openai", lines({"messages": NAMELESS})),
    "openai array": ("openai", json.dumps(CHAT, indent=2)),
    "openai array on a line": ("openai", json.dumps(CHAT)),
    "openai message a line": ("openai", lines(*CHAT)),
    "anthropic": ("anthropic", lines({"model": "m", "system": "be brief", "messages": TURNS})),
    "responses": ("openai-responses", lines(
        {"object": "response", "model": "m", "instructions": "be brief", "input": ITEMS[:1],
         "output": ITEMS[1:]})),
    "claude code": ("claude-code", lines(*SESSION)),
    "codex": ("codex", lines(*ROLLOUT)),
    "codex, first form": ("codex", lines(
        {"id": "s1", "timestamp": WHEN, "instructions": "be brief"}, *ITEMS)),
    "otlp": ("otel", lines({"resourceSpans": [{"scopeSpans": [{"spans": spans(otlp)}]}]})),
    "spans a line": ("otel", lines(*spans(plain))),
    "with a mark": ("openai", "\ufeff" + lines({"messages": CHAT})),
}  # fmt: skip


def read(tmp_path, text, **options: str):
    """The transcripts and the bad records of a file."""
    file = tmp_path / "runs.jsonl"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = [(t, tuple(t.events)) if not isinstance(t, Bad) else t
             for t in read_transcripts(file, **options)]  # fmt: skip
    return [t for t in found if not isinstance(t, Bad)], [t for t in found if isinstance(t, Bad)]


@pytest.mark.parametrize("name", FILES)
def test_every_form_tells_the_same_story(tmp_path, name):
    form, text = FILES[name]
    [(transcript, events)], bad = read(tmp_path, text)
    assert not bad
    assert transcript.format == form
    assert [(e.kind, e.tool, e.arguments, e.text) for e in events] == STORY
    call, result = events[3], events[4]
    assert call.call_id == result.call_id == "c1"
    assert all(event.where for event in events)


def test_a_form_that_is_forced_is_not_asked_for(tmp_path):
    [(transcript, _)], bad = read(tmp_path, lines({"messages": CHAT}), format="anthropic")
    assert (transcript.format, bad) == ("anthropic", [])


def test_a_moment_is_kept_where_there_is_one(tmp_path):
    for name in ("claude code", "codex", "otlp"):
        [(_, events)], _ = read(tmp_path, FILES[name][1])
        assert {int(event.at // 10) for event in events} == {int(AT // 10)}


def test_arguments_that_are_no_object_are_kept_as_text(tmp_path):
    asked = {"id": "c", "function": {"name": "run", "arguments": '{"a": 1, "a": 2}'}}
    [(_, [call])], bad = read(tmp_path, lines({"messages": [
        {"role": "assistant", "content": None, "tool_calls": [asked]}]}))  # fmt: skip
    assert (call.arguments, call.text, bad) == (None, '{"a": 1, "a": 2}', [])


def test_a_server_in_a_tools_name_is_told_apart(tmp_path):
    use = {"type": "tool_use", "id": "c", "name": "mcp__files__read_file", "input": {}}
    message = {"role": "assistant", "content": [use]}
    [(_, [call])], _ = read(tmp_path, lines({"messages": [message]}))
    assert (call.server, call.tool) == ("files", "read_file")


@pytest.mark.parametrize(("failed", "kind"), [(True, "denied"), (False, "result")])
def test_only_an_error_can_be_a_denial(tmp_path, failed, kind):
    """A tool's own answer can say anything, and must not pass for a control's."""
    back = {"type": "tool_result", "tool_use_id": "c", "is_error": failed,
            "content": "denied by write oversight/*: no"}  # fmt: skip
    use = {"type": "tool_use", "id": "c", "name": "x", "input": {}}
    messages = [{"role": "assistant", "content": [use]}, {"role": "user", "content": [back]}]
    [(_, events)], _ = read(tmp_path, lines({"messages": messages}))
    assert events[1].kind == kind


def test_a_sub_agent_and_an_interruption_are_told(tmp_path):
    side = {"type": "user", "uuid": "u", "isSidechain": True, "agentId": "a7",
            "message": {"role": "user", "content": "go"}}  # fmt: skip
    stop = {
        "type": "user",
        "uuid": "u",
        "message": {
            "role": "user",
            "content": [{"type": "text", "text": "[Request interrupted by user]"}],
        },
    }
    [(_, events)], _ = read(tmp_path, lines(side, stop))
    assert [(e.kind, e.caller) for e in events] == [("user", "a7"), ("stop", "")]


def test_a_record_that_breaks_a_rule_is_bad_and_the_run_goes_on(tmp_path):
    odd = [*CHAT[:2], {"role": "wizard", "content": "x"}, *CHAT[2:]]
    [(_, events)], bad = read(tmp_path, lines({"messages": odd}))
    assert len(events) == len(STORY)
    assert [one.reason for one in bad] == ["shape"]
    [(_, events)], bad = read(tmp_path, lines(*odd))
    assert len(events) == len(STORY)
    assert [(one.reason, one.line) for one in bad] == [("shape", 3)]


def test_a_span_that_is_its_own_parent_ends(tmp_path):
    span = plain("t", "s", 1, {"gen_ai.input.messages": PARTS_IN})
    [(_, events)], bad = read(tmp_path, lines(span | {"parent_id": "s"}))
    assert (len(events), bad) == (1, [])


def test_spans_of_several_traces_are_told_apart(tmp_path):
    text = lines(*spans(plain), *spans(lambda trace, *rest: plain(f"{trace}b", *rest)))
    found, bad = read(tmp_path, text)
    assert [t.id for t, _ in found] == ["t1", "t1b"]
    assert not bad


def test_the_formats_of_the_command_line_are_those_that_are_read():
    from corrigible.cli import monitors  # noqa: PLC0415
    from corrigible.monitor.formats.detect import FORMATS  # noqa: PLC0415

    assert set(monitors._FORMATS) == set(FORMATS)


def test_a_run_says_where_it_comes_from(tmp_path):
    [(transcript, _)], _ = read(tmp_path, lines({"id": "r1", "model": "m", "messages": CHAT}))
    assert (transcript.id, transcript.agent) == ("r1", "m")
    assert Path(transcript.source).name == "runs.jsonl"


# -- files that were tampered with -----------------------------------------------------------------

ODD = (None, True, 0, -1, 1e300, 10**30, "", "x", "[", "{", [], {}, [[]], [None],
       {"type": "text"}, {"type": "tool_use"}, {"role": "user"})  # fmt: skip


def places(value, path=()):
    yield path
    if not isinstance(value, dict | list):
        return
    for step, item in value.items() if isinstance(value, dict) else enumerate(value):
        yield from places(item, (*path, step))


def tampered(text, rng):
    """A known file with one to three values of one of its records exchanged or taken away."""
    bare = text.removeprefix("\ufeff")
    rows = [json.loads(bare)] if bare.startswith("[") or bare.count("\n{") == 0 else [
        json.loads(line) for line in bare.splitlines()]  # fmt: skip
    number = rng.randrange(len(rows))
    for _ in range(rng.randint(1, 3)):
        *way, last = rng.choice([p for p in places(rows[number]) if p] or [(None,)])
        inner = rows[number]
        for step in way:
            inner = inner[step]
        if last is None:
            break
        if isinstance(inner, dict) and rng.random() < 0.3:
            del inner[last]
        else:
            inner[last] = json.loads(json.dumps(rng.choice(ODD)))
    return lines(*rows)


@pytest.mark.parametrize("name", FILES)
def test_no_tampering_makes_a_reader_fail(tmp_path, name):
    """Whatever stands where: events of the right types, or bad records, and never an exception."""
    rng = random.Random(name)  # noqa: S311  (no secret)
    for _ in range(40):
        text = tampered(FILES[name][1], rng)
        found, bad = read(tmp_path, text)
        assert found or bad
        assert "reader" not in {one.reason for one in bad}, text
        for event in (event for _, events in found for event in events):
            texts = (event.text, event.server, event.tool, event.call_id, event.where)
            assert all(isinstance(one, str) for one in texts), text
            assert event.arguments is None or isinstance(event.arguments, dict)
