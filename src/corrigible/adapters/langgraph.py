"""LangChain's and LangGraph's tools behind the guard.

with Guard("deployment.yaml") as guard:
    tools = guarded_tools(guard, [search, send_mail], server="office")
    agent = create_react_agent(model, tools)
"""

from collections.abc import Iterable
from typing import Any

from corrigible.errors import GuardError, MissingExtraError
from corrigible.guard.call import Caller
from corrigible.guard.sdk import Guard

try:
    from langchain_core.messages import ToolMessage
    from langchain_core.tools import (
        BaseTool,
        InjectedToolCallId,
        StructuredTool,
        ToolException,
    )
except ImportError as error:
    raise MissingExtraError(
        "guarded LangGraph tools need langchain-core, which is not installed; "
        "pip install langgraph langchain-core"
    ) from error


def guarded_tools(
    guard: Guard,
    tools: Iterable[BaseTool],
    *,
    server: str,
    caller: Caller | None = None,
    wait_s: float = 0.0,
) -> list[BaseTool]:
    """Return the tools, each call of which goes through an open guard as `server.NAME`.

    The guard decides on what the model gave; what LangGraph puts in (state, store, a call's id) is
    passed by it.  A denied or pending call is an answer to the model, as a tool's error is.
    `wait_s`: how long a call waits for an operator.
    """
    return [_guarded(guard, tool, server, caller=caller, wait_s=wait_s) for tool in tools]


def _guarded(
    guard: Guard, tool: BaseTool, server: str, *, caller: Caller | None, wait_s: float
) -> BaseTool:
    name = f"{server}.{tool.name}"
    shown = _names(tool.tool_call_schema)

    def parted(given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        arguments = {key: _plain(value) for key, value in given.items() if key in shown}
        return arguments, {key: value for key, value in given.items() if key not in shown}

    def run(**given: Any) -> Any:
        arguments, injected = parted(given)
        try:
            return _told(
                tool,
                guard.perform(
                    name,
                    arguments,
                    lambda decided: tool.invoke(_request(tool, decided, injected)),
                    caller=caller,
                    wait_s=wait_s,
                ),
            )
        except GuardError as error:
            raise ToolException(str(error)) from None

    async def run_async(**given: Any) -> Any:
        arguments, injected = parted(given)
        try:
            return _told(
                tool,
                await guard.perform_async(
                    name,
                    arguments,
                    lambda decided: tool.ainvoke(_request(tool, decided, injected)),
                    caller=caller,
                    wait_s=wait_s,
                ),
            )
        except GuardError as error:
            raise ToolException(str(error)) from None

    return StructuredTool(
        name=tool.name,
        description=tool.description,
        args_schema=tool.get_input_schema() if tool.args_schema is None else tool.args_schema,
        func=run,
        coroutine=run_async,
        return_direct=tool.return_direct,
        response_format=tool.response_format,
        tags=tool.tags,
        metadata=tool.metadata,
        handle_tool_error=True,
    )


def _names(schema: Any) -> frozenset[str]:
    """Return the arguments that the model may give."""
    fields = schema.get("properties", {}) if isinstance(schema, dict) else schema.model_fields
    return frozenset(fields)


def _plain(value: Any) -> Any:
    """Return an argument as the model gave it: parsed records back as plain values."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _call_id_name(schema: Any) -> str:
    """Return the argument that the graph puts a call's id in; "" where there is none."""
    fields = {} if isinstance(schema, dict) else getattr(schema, "model_fields", {})
    for name, field in fields.items():
        if any(
            one is InjectedToolCallId or isinstance(one, InjectedToolCallId)
            for one in field.metadata
        ):
            return str(name)
    return ""


def _request(tool: BaseTool, decided: dict[str, Any], injected: dict[str, Any]) -> dict[str, Any]:
    """Return what the tool is invoked with; as a whole call where it needs that."""
    arguments = decided | injected
    name = _call_id_name(tool.args_schema)
    if not name and tool.response_format != "content_and_artifact":
        return arguments
    id_ = injected.get(name) or "guarded"
    return {"name": tool.name, "args": arguments, "id": id_, "type": "tool_call"}


def _told(tool: BaseTool, result: Any) -> Any:
    """Return a result as the tool's own function would have."""
    if not isinstance(result, ToolMessage):
        return result
    if result.status == "error":
        raise ToolException(str(result.content))
    if tool.response_format == "content_and_artifact":
        return result.content, result.artifact
    return result.content
