"""Function tools of the OpenAI Agents SDK behind the guard.

with Guard("deployment.yaml") as guard:
    agent = Agent(name="bot", tools=guarded_tools(guard, [search, send], server="office"))
"""

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

from corrigible.errors import DeniedError, GuardError, MissingExtraError
from corrigible.guard.call import Caller
from corrigible.guard.sdk import Guard
from corrigible.guard.strict import StrictError, parse_strict

try:
    from agents import FunctionTool
except ImportError as error:
    raise MissingExtraError(
        "guarded tools of the OpenAI Agents SDK need openai-agents, which is not installed; "
        "pip install openai-agents"
    ) from error

Invoke = Callable[[Any, str], Awaitable[Any]]


def guarded_tools(
    guard: Guard,
    tools: Iterable[Any],
    *,
    server: str,
    caller: Caller | None = None,
    wait_s: float = 0.0,
) -> list[Any]:
    """Return the tools, each call of which goes through an open guard as `server.NAME`.

    A denied or pending call is an answer to the model.  `wait_s`: how long a call waits for an
    operator.

    Raises:
        GuardError: a tool runs elsewhere than in this process (web search, a hosted MCP server):
            nothing here can hold it back.
    """
    return [_guarded(guard, tool, server, caller=caller, wait_s=wait_s) for tool in tools]


def _guarded(guard: Guard, tool: Any, server: str, *, caller: Caller | None, wait_s: float) -> Any:
    if not isinstance(tool, FunctionTool):
        name = getattr(tool, "name", type(tool).__name__)
        raise GuardError(
            f"the tool {name!r} must be a FunctionTool, got {type(tool).__name__}: what runs at "
            "the model's provider cannot be guarded here; leave it out"
        )
    inner: Invoke = tool.on_invoke_tool

    async def invoke(context: Any, given: str) -> Any:
        try:
            arguments = _parsed(given)
            return await guard.perform_async(
                f"{server}.{tool.name}",
                arguments,
                lambda decided: inner(context, json.dumps(decided)),
                caller=caller,
                wait_s=wait_s,
            )
        except GuardError as error:
            return str(error)

    return replace(tool, on_invoke_tool=invoke)


def _parsed(given: str) -> dict[str, Any]:
    """Return a model's arguments, as every reader reads them.

    Raises:
        DeniedError: readers would disagree on them.
    """
    try:
        arguments = parse_strict(given or "{}")
    except StrictError as error:
        raise DeniedError(f"denied by {error.rule}: {error}") from None
    if not isinstance(arguments, dict):
        raise DeniedError("denied by arguments.type: the arguments must be an object")
    return arguments
