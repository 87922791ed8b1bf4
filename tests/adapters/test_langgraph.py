"""LangGraph's tools behind the guard, with the real packages."""

import asyncio
import json
from typing import Annotated

import pytest
from small_guard import manifest

from corrigible.errors import MissingExtraError
from corrigible.guard.sdk import Guard

try:
    from corrigible.adapters.langgraph import guarded_tools
except MissingExtraError as missing:
    pytest.skip(f"{missing}", allow_module_level=True)
pytest.importorskip("langgraph", reason="needs langgraph, which is not installed")

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from pydantic import BaseModel

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
    @tool
    def write_file(path: str, text: str = "hello") -> str:
        """Write a file."""
        made.append((path, text))
        return f"wrote {path}"

    @tool
    async def read_file(path: str) -> str:
        """Read a file."""
        made.append(path)
        return f"read {path}"

    @tool
    def send(to: str) -> str:
        """Send a mail."""
        made.append(to)
        return "sent"

    return [write_file, read_file, send]


def kept(guard, kind):
    guard.session.gate.ledger.append("note", {}).result(10)
    return [one.body for one in guard.session.gate.ledger.entries(kinds={kind})]


def ran(tools, *calls: tuple, asynchronous=False):
    """Run a graph in which a model asks for these calls; return what it is told of each."""
    asked = [
        {"name": name, "args": arguments, "id": f"c{number}", "type": "tool_call"}
        for number, (name, arguments) in enumerate(calls)
    ]
    graph = StateGraph(MessagesState)
    graph.add_node("model", lambda _: {"messages": [AIMessage("", tool_calls=asked)]})
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_edge("model", "tools")
    graph.add_edge("tools", END)
    app, begin = graph.compile(), {"messages": [HumanMessage("go")]}
    state = asyncio.run(app.ainvoke(begin)) if asynchronous else app.invoke(begin)
    return [message for message in state["messages"] if message.type == "tool"]


both = pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])


@both
def test_calls_of_a_graph_go_through_the_guard(guard, tools, made, asynchronous):
    guarded = guarded_tools(guard, tools, server="files")
    allowed, denied = ran(
        guarded,
        ("write_file", {"path": APP}),
        ("write_file", {"path": LOG}),
        asynchronous=asynchronous,
    )
    assert (allowed.status, allowed.content) == ("success", f"wrote {APP}")
    assert denied.status == "error"
    assert "write oversight/*" in denied.content
    assert made == [(APP, "hello")]
    assert [one["state"] for one in kept(guard, "outcome")] == ["completed"]
    assert len(kept(guard, "denied")) == 1


@both
def test_a_pending_call_is_an_answer_with_its_id_and_runs_once_approved(
    guard, tools, made, asynchronous
):
    guarded = guarded_tools(guard, tools, server="mail")
    (told,) = ran(guarded, ("send", {"to": CUSTOMER}), asynchronous=asynchronous)
    (pending,) = guard.session.gate.approvals.pending()
    assert (told.status, pending.id in told.content) == ("error", True)
    guard.session.gate.answer(pending.id, approve=True, by="ann")
    (told,) = ran(guarded, ("send", {"to": CUSTOMER}), asynchronous=asynchronous)
    assert (told.content, made) == ("sent", [CUSTOMER])


def test_an_asynchronous_tool_is_guarded(guard, tools, made):
    guarded = guarded_tools(guard, tools, server="files")
    good, bad = ran(
        guarded, ("read_file", {"path": APP}), ("read_file", {"path": "/etc/x"}), asynchronous=True
    )
    assert (good.content, bad.status) == (f"read {APP}", "error")
    assert made == [APP]


@both
def test_a_stopped_guard_lets_no_tool_run(guard, tools, made, asynchronous):
    guarded = guarded_tools(guard, tools, server="files")
    guard.stop(by="ann")
    (told,) = ran(guarded, ("write_file", {"path": APP}), asynchronous=asynchronous)
    assert "stopped" in told.content
    assert not made


def test_the_model_sees_the_same_tool(guard, tools):
    for mine, theirs in zip(guarded_tools(guard, tools, server="files"), tools, strict=True):
        assert (mine.name, mine.description) == (theirs.name, theirs.description)
        assert mine.tool_call_schema.model_json_schema() == (
            theirs.tool_call_schema.model_json_schema()
        )


def test_what_the_graph_puts_in_reaches_the_tool_and_not_the_decision(guard, made):
    @tool
    def write_file(
        path: str,
        state: Annotated[dict, InjectedState],
        call_id: Annotated[str, InjectedToolCallId],
    ) -> str:
        """Write a file."""
        made.append((path, state["messages"][0].content, call_id))
        return "wrote"

    (told,) = ran(guarded_tools(guard, [write_file], server="files"), ("write_file", {"path": APP}))
    assert told.content == "wrote"
    assert made == [(APP, "go", "c0")]
    assert kept(guard, "intent")[0]["arguments"] == {"path": APP}


class Place(BaseModel):
    path: str


def test_a_record_is_decided_on_as_plain_values(guard, made):
    @tool
    def write_file(path: str, more: list[Place]) -> str:
        """Write a file."""
        made.append((path, more))
        return "wrote"

    ran(
        guarded_tools(guard, [write_file], server="files"),
        ("write_file", {"path": APP, "more": [{"path": "a"}]}),
    )
    assert made == [(APP, [Place(path="a")])]
    assert kept(guard, "intent")[0]["arguments"] == {"path": APP, "more": [{"path": "a"}]}


def test_a_tool_with_an_artifact_keeps_it(guard):
    @tool(response_format="content_and_artifact")
    def write_file(path: str) -> tuple[str, dict]:
        """Write a file."""
        return "wrote", {"at": path}

    (told,) = ran(guarded_tools(guard, [write_file], server="files"), ("write_file", {"path": APP}))
    assert (told.content, told.artifact) == ("wrote", {"at": APP})


def test_a_tool_of_its_own_class_is_guarded(guard, made):
    class Write(BaseTool):
        name: str = "write_file"
        description: str = "Write a file."

        def _run(self, path: str) -> str:
            made.append(path)
            return "wrote"

    (one, two) = ran(
        guarded_tools(guard, [Write()], server="files"),
        ("write_file", {"path": APP}),
        ("write_file", {"path": LOG}),
    )
    assert (one.content, two.status, made) == ("wrote", "error", [APP])


def test_a_tool_that_fails_is_kept_as_failed(guard):
    @tool
    def write_file(path: str) -> str:
        """Write a file."""
        raise ValueError(path)

    (guarded,) = guarded_tools(guard, [write_file], server="files")
    with pytest.raises(ValueError, match=APP):
        guarded.invoke({"path": APP})
    assert kept(guard, "outcome")[0]["state"] == "failed"
    assert json.dumps(kept(guard, "intent")[0])
