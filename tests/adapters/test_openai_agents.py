"""Tools of the OpenAI Agents SDK behind the guard, with the real package and a model of our own."""

import asyncio
import json

import pytest
from small_guard import manifest

from corrigible.errors import GuardError, MissingExtraError
from corrigible.guard.sdk import Guard

try:
    from corrigible.adapters.openai_agents import guarded_tools
except MissingExtraError as missing:
    pytest.skip(f"{missing}", allow_module_level=True)

from agents import (
    Agent,
    Model,
    ModelResponse,
    RunConfig,
    Runner,
    Usage,
    WebSearchTool,
    function_tool,
)
from openai.types.responses import (
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
)

APP, LOG, CUSTOMER = "/srv/app/x", "/srv/log/x", "ann@shop.example"


@pytest.fixture
def guard(tmp_path):
    (tmp_path / "deployment.yaml").write_text(manifest(), encoding="utf-8")
    with Guard(tmp_path, state=tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def made():
    return []


@pytest.fixture
def tools(made):
    @function_tool
    def write_file(path: str) -> str:
        """Write a file."""
        made.append(path)
        return f"wrote {path}"

    @function_tool
    async def send(to: str) -> str:
        """Send a mail."""
        made.append(to)
        return "sent"

    return [write_file, send]


class Script(Model):
    """A model that asks for the calls it was given, and then is done."""

    def __init__(self, calls) -> None:
        self.calls = list(calls)

    async def get_response(self, *_args: object, **_kwargs: object):
        output = [
            ResponseFunctionToolCall(
                type="function_call", call_id=f"c{number}", name=name, arguments=arguments
            )
            for number, (name, arguments) in enumerate(self.calls)
        ] or [
            ResponseOutputMessage(
                id="m", role="assistant", status="completed", type="message",
                content=[ResponseOutputText(type="output_text", text="done", annotations=[])],
            )
        ]  # fmt: skip
        self.calls = []
        return ModelResponse(output=output, usage=Usage(), response_id=None)

    def stream_response(self, *_args: object, **_kwargs: object):
        raise NotImplementedError


def ran(tools, *calls: tuple):
    """Run an agent whose model asks for these calls; return what it is told of each."""
    said = [(name, text if isinstance(text, str) else json.dumps(text)) for name, text in calls]
    agent = Agent(name="bot", model=Script(said), tools=tools)
    result = asyncio.run(Runner.run(agent, "go", run_config=RunConfig(tracing_disabled=True)))
    assert result.final_output == "done"
    return [one.output for one in result.new_items if one.type == "tool_call_output_item"]


def kept(guard, kind):
    guard.session.gate.ledger.append("note", {}).result(10)
    return [one.body for one in guard.session.gate.ledger.entries(kinds={kind})]


def test_calls_of_an_agent_go_through_the_guard(guard, tools, made):
    guarded = guarded_tools(guard, tools, server="files")
    allowed, denied = ran(guarded, ("write_file", {"path": APP}), ("write_file", {"path": LOG}))
    assert allowed == f"wrote {APP}"
    assert "write oversight/*" in denied
    assert made == [APP]
    assert [one["state"] for one in kept(guard, "outcome")] == ["completed"]
    assert len(kept(guard, "denied")) == 1


def test_a_pending_call_is_an_answer_with_its_id_and_runs_once_approved(guard, tools, made):
    guarded = guarded_tools(guard, tools, server="mail")
    (told,) = ran(guarded, ("send", {"to": CUSTOMER}))
    (pending,) = guard.session.gate.approvals.pending()
    assert pending.id in told
    guard.session.gate.answer(pending.id, approve=True, by="ann")
    assert ran(guarded, ("send", {"to": CUSTOMER})) == ["sent"]
    assert made == [CUSTOMER]


def test_a_stopped_guard_lets_no_tool_run(guard, tools, made):
    guarded = guarded_tools(guard, tools, server="files")
    guard.stop(by="ann")
    (told,) = ran(guarded, ("write_file", {"path": APP}))
    assert "stopped" in told
    assert not made


@pytest.mark.parametrize(
    "text",
    ['{"path": "/srv/app/x", "path": "/etc/x"}', '{"path": NaN}', "[]", "{", '{"path": 1e999}'],
)
def test_arguments_that_readers_disagree_on_are_denied(guard, tools, made, text):
    guarded = guarded_tools(guard, tools, server="files")
    (told,) = ran(guarded, ("write_file", text))
    assert "denied by arguments." in told
    assert not made


def test_the_model_sees_the_same_tool(guard, tools):
    for mine, theirs in zip(guarded_tools(guard, tools, server="files"), tools, strict=True):
        assert mine.name == theirs.name
        assert mine.description == theirs.description
        assert mine.params_json_schema == theirs.params_json_schema


def test_what_runs_at_the_provider_is_refused(guard):
    with pytest.raises(GuardError, match="cannot be guarded here"):
        guarded_tools(guard, [WebSearchTool()], server="files")
