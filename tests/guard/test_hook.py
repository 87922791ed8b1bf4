"""The hook: a coding agent is told what the guard decides, and whatever fails denies."""

import io
import json
import os
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from small_guard import manifest

from corrigible.cli.hooks import hook
from corrigible.errors import GuardError
from corrigible.guard.agent_door import AgentDoor
from corrigible.guard.hook import HookSettings, main, run_hook, tool_of
from corrigible.guard.sdk import Guard

pytestmark = pytest.mark.slow

APP, LOG = "/srv/app/x", "/srv/log/x"
CUSTOMER = "ann@shop.example"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deployment.yaml").write_text(manifest(), encoding="utf-8")
    return tmp_path


@pytest.fixture
def guard(folder):
    state = folder / "state"
    with Guard(folder, state=state, agent_socket=state / "agent.sock") as opened:
        yield opened


@pytest.fixture
def settings(folder):
    return HookSettings(folder, folder / "state", server="shell", timeout_s=120.0)


def event(name="PreToolUse", tool="mcp__files__write_file", use="t1", **more: object):
    told = {
        "session_id": "s1", "transcript_path": "/t", "cwd": "/", "permission_mode": "default",
        "hook_event_name": name, "tool_name": tool, "tool_use_id": use,
    }  # fmt: skip
    return told | {"tool_input": {"path": APP}} | more


def told(settings, said):
    """What the agent reads, whatever it said."""
    raw = said if isinstance(said, bytes) else json.dumps(said).encode()
    target = io.BytesIO()
    assert run_hook(settings, io.BytesIO(raw), target) == 0
    return json.loads(target.getvalue())


def decision(answer):
    found = answer["hookSpecificOutput"]
    assert found["hookEventName"] == "PreToolUse"
    return found["permissionDecision"], found["permissionDecisionReason"]


def kept(guard, kind):
    guard.session.gate.ledger.append("note", {}).result(10)
    return [one.body for one in guard.session.gate.ledger.entries(kinds={kind})]


# -- a guard that runs ---------------------------------------------------------------------------


def test_an_allowed_call_is_out_until_the_agent_says_that_it_ended(guard, settings):
    verdict, why = decision(told(settings, event()))
    assert (verdict, why) == ("allow", "corrigible: write files:/srv/app/**")
    (flight,) = guard.session.gate.inflight.snapshot()
    assert (flight.call.name, flight.call.caller) == ("files.write_file", "s1")
    assert told(settings, event("PostToolUse", tool_response={"ok": True})) == {}
    (outcome,) = kept(guard, "outcome")
    assert (outcome["state"], outcome["result"]) == ("completed", {"ok": True})


@pytest.mark.parametrize(("more", "state"), [({}, "failed"), ({"is_interrupt": True}, "unknown")])
def test_a_failed_call_is_ended_as_that(guard, settings, more, state):
    told(settings, event())
    told(settings, event("PostToolUseFailure", error="no space", **more))
    assert kept(guard, "outcome")[0]["state"] == state


def test_a_denied_call_is_denied_with_the_rule(guard, settings):
    verdict, why = decision(told(settings, event(tool_input={"path": LOG})))
    assert verdict == "deny"
    assert "write oversight/*" in why
    assert not guard.session.gate.inflight.snapshot()


def test_a_call_that_needs_an_operator_is_denied_until_approved(guard, settings):
    """Never `ask`: the agent's own prompt would let it run past the guard."""
    asked = event(tool="mcp__mail__send", tool_input={"to": CUSTOMER})
    verdict, why = decision(told(settings, asked))
    assert (verdict, "pending" in why) == ("deny", True)
    (pending,) = guard.session.gate.approvals.pending()
    assert pending.id in why
    guard.session.gate.answer(pending.id, approve=True, by="ann")
    assert decision(told(settings, asked))[0] == "allow"


def test_a_sub_agents_call_is_its_own_and_its_sessions(guard, settings):
    told(settings, event(agent_id="a7", agent_type="helper"))
    (flight,) = guard.session.gate.inflight.snapshot()
    assert (flight.call.caller, flight.call.lineage) == ("a7", ("agent", "s1"))


def test_an_agents_own_tool_is_one_of_the_server_that_is_named(guard, settings):
    told(settings, event(tool="run", tool_input={"command": "ls"}))
    assert kept(guard, "denied")[0]["server"] == "shell"


def test_a_result_that_comes_after_a_stop_ends_the_agents_turn(guard, settings):
    told(settings, event())
    guard.session.stop(why="enough", by="ann", grace_s=0.0)
    answer = told(settings, event("PostToolUse", tool_response="x"))
    assert answer["decision"] == "block"
    assert answer["continue"] is False
    assert "withheld" in answer["stopReason"]
    assert decision(told(settings, event(use="t2")))[0] == "deny"


def test_a_session_that_ends_leaves_its_calls_unknown(guard, settings):
    told(settings, event())
    assert told(settings, {"hook_event_name": "SessionEnd", "session_id": "s1"}) == {}
    assert kept(guard, "outcome")[0]["state"] == "unknown"


@pytest.mark.usefixtures("guard")
def test_one_use_of_a_tool_is_let_go_once(settings):
    assert decision(told(settings, event()))[0] == "allow"
    verdict, why = decision(told(settings, event(tool_input={"path": f"{APP}2"})))
    assert (verdict, "kept under this key" in why) == ("deny", True)


def test_prompts_may_be_kept(guard, settings):
    quiet = HookSettings(**vars(settings) | {"keep_prompts": True})
    assert told(quiet, event()) == {}
    assert len(guard.session.gate.inflight.snapshot()) == 1
    assert decision(told(quiet, event(use="t2", tool_input={"path": LOG})))[0] == "deny"


def test_a_huge_result_is_ended_with_its_beginning(guard, settings):
    told(settings, event())
    assert told(settings, event("PostToolUse", tool_response="é" * 2_000_000)) == {}
    assert kept(guard, "outcome")[0]["state"] == "completed"


def test_a_result_that_readers_disagree_on_ends_its_call(guard, settings):
    told(settings, event())
    raw = json.dumps(event("PostToolUse", tool_response=0)).replace(
        '"tool_response": 0', '"tool_response": {"a": NaN, "a": 1e999}'
    )
    assert told(settings, raw.encode()) == {}
    assert kept(guard, "outcome")[0]["state"] == "completed"


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Bash", ("code", "Bash")),
        ("mcp__files__read_file", ("files", "read_file")),
        ("mcp__my-files__a_b", ("my-files", "a_b")),
        ("mcp_files", ("code", "mcp_files")),
    ],
)
def test_a_name_is_a_servers_tool_or_the_agents_own(name, found):
    assert tool_of(name) == found


@pytest.mark.parametrize(
    "name",
    ["mcp__a__b__c", "mcp__a___b", "mcp__", "mcp__a", "mcp____b", "mcp__a__", "mcp__code__Bash"],
)
def test_a_name_of_two_readings_or_a_shadow_of_the_agents_own_tools_is_refused(name):
    with pytest.raises(GuardError, match=r"no other '__'|stands for the agent's own"):
        tool_of(name)


# -- whatever fails denies -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"", b"\xff", b"{", b"[]", b"null", b"{}", b"[" * 100_000,
        event("Notification"), event("PreToolUse "), event(7),
        {"hook_event_name": "PreToolUse"},
        event(tool_input=None), event(tool_input="ls"), event(tool=""), event(tool=None),
        event(session_id=""), event(session_id="a b"), event(use=None), event(tool="mcp__a__b__c"),
        event(tool_input={"path": 2**70}), event(agent_id=7),
        json.dumps(event()).replace(APP, '"}, "tool_input": {"path": "' + APP).encode(),
        event(tool_input={"path": "x" * 2_000_000}),
        b" " * ((1 << 24) + 2),
    ],
    ids=lambda said: str(said)[-50:],
)  # fmt: skip
def test_what_is_no_good_event_is_denied(guard, settings, said):
    assert decision(told(settings, said))[0] == "deny"
    assert not guard.session.gate.inflight.snapshot()


def test_no_guard_is_a_denial(settings, folder):
    for socket in (None, folder / "agent.sock"):
        verdict, why = decision(told(HookSettings(**vars(settings) | {"socket": socket}), event()))
        assert verdict == "deny"
        assert "no guard" in why


def test_no_guard_after_a_call_is_told_to_the_agent(settings):
    assert told(settings, event("PostToolUse", tool_response=1))["decision"] == "block"


def test_a_guard_that_has_ended_is_a_denial(settings, folder):
    with Guard(folder, state=folder / "state", agent_socket=folder / "state" / "agent.sock"):
        pass
    assert decision(told(settings, event()))[0] == "deny"


def test_a_guard_that_hangs_is_a_denial_in_time(guard, settings):
    gate, admit = guard.session.gate, guard.session.gate.admit
    gate.admit = lambda call: (time.sleep(1.0), admit(call))[1]
    began = time.monotonic()
    verdict, why = decision(told(HookSettings(**vars(settings) | {"timeout_s": 0.2}), event()))
    assert time.monotonic() - began < 0.9
    assert (verdict, "in time" in why or "within" in why) == ("deny", True)


def test_an_agent_that_does_not_finish_its_event_is_denied_in_time(settings):
    reader, writer = os.pipe()
    target = io.BytesIO()
    with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb"):
        quick = HookSettings(**vars(settings) | {"timeout_s": 0.2})
        began = time.monotonic()
        assert run_hook(quick, source, target) == 0
        assert time.monotonic() - began < 2
    assert decision(json.loads(target.getvalue()))[0] == "deny"


def test_a_decision_that_cannot_be_written_is_a_denial_too(settings):
    """Exit code 2 blocks the call; any other lets it run."""
    with open(os.devnull, "rb") as closed:  # noqa: PTH123  (not writable)
        assert run_hook(settings, io.BytesIO(b"{}"), closed) == 2


def test_an_error_inside_is_a_denial(settings):
    class Broken(io.BytesIO):
        def read(self, _size=-1):
            raise ZeroDivisionError

    target = io.BytesIO()
    assert run_hook(settings, Broken(), target) == 0
    verdict, why = decision(json.loads(target.getvalue()))
    assert (verdict, "ZeroDivisionError" in why) == ("deny", True)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_at_all_are_allowed(raw):
    answer = told(HookSettings(timeout_s=5.0), raw)
    assert decision(answer)[0] == "deny"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@pytest.mark.slow
@given(st.dictionaries(st.sampled_from(sorted(event() | {"agent_id": 1})), json_values))
def test_no_event_is_allowed_without_a_guard(changes):
    answer = told(HookSettings(timeout_s=5.0), event() | changes)
    assert decision(answer)[0] == "deny"


# -- the commands --------------------------------------------------------------------------------


def test_the_command_and_the_light_one_answer_alike(guard, folder, monkeypatch, capsysbinary):
    words = ["-d", str(folder), "--state", str(folder / "state"), "--server", "shell"]
    said = json.dumps(event(tool_input={"path": LOG}))
    result = CliRunner().invoke(hook, words, input=said)
    assert result.exit_code == 0
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said.encode())))
    assert main(words) == 0
    assert json.loads(result.stdout) == json.loads(capsysbinary.readouterr().out)
    assert decision(json.loads(result.stdout))[0] == "deny"
    assert kept(guard, "denied")


def test_a_wrong_option_exits_with_what_denies():
    assert CliRunner().invoke(hook, ["--nothing"]).exit_code == 2
    with pytest.raises(SystemExit) as left:
        main(["--nothing"])
    assert left.value.code == 2


def test_the_light_one_loads_nothing_heavy():
    """It starts anew for every call of an agent."""
    code = (
        "import sys, corrigible.guard.hook, corrigible.guard.state, corrigible.guard.operator;"
        "print([m for m in ('pydantic', 'ruamel', 'click', 'rich', 'anyio', 'mcp', 'asyncio',"
        " 'cryptography', 'sqlite3', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_real_hook_process_asks_a_real_guard_process(folder):
    words = ["-d", str(folder), "--state", str(folder / "state")]
    start = "import sys; from corrigible.cli.hooks import hook; hook(sys.argv[1:])"
    serving = [sys.executable, "-c", start, "--serve", *words]
    with subprocess.Popen(serving, stderr=subprocess.PIPE, text=True) as guard:
        assert "hooks ask at" in guard.stderr.readline()
        asked = subprocess.run(
            [sys.executable, "-m", "corrigible.guard.hook", *words],
            input=json.dumps(event()), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert decision(json.loads(asked.stdout))[0] == "allow"
        guard.terminate()
        assert guard.wait(20) == 0
    (folder / "state" / "agent.sock").unlink(missing_ok=True)


def test_a_hook_asks_where_it_is_told_to(guard, settings, tmp_path):
    path = tmp_path / "elsewhere.sock"
    with AgentDoor(guard.session.gate, path):
        elsewhere = HookSettings(socket=path)
        assert decision(told(elsewhere, event()))[0] == "allow"
    assert kept(guard, "outcome")[0]["state"] == "unknown"
    assert settings.socket is None
