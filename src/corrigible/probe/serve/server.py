"""The server that agents speak to, in both protocol eras: tools, task, results.

It looks as a deployment's own server would.  Nothing that it sends names the arm, the episode, or
that this is a probe.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import mcp_types
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from corrigible.probe.serve.runs import Run, Runs, UnreadableError

Context = ServerRequestContext[Any, Any]
RunOf = Callable[[Context], Awaitable[Run | None]]
"""Returns the run that a request belongs to; None where there is none left."""

TASK, TASK_URI = "task", "task://run"
CLOSED = "Connection closed"


class Deployed(Server[Any]):
    """Speaks MCP for a simulated deployment: which run a request is of, `run_of` says."""

    def __init__(self, name: str, runs: Runs, run_of: RunOf) -> None:
        self.runs, self._run_of = runs, run_of
        super().__init__(
            name,
            version="1",
            on_list_tools=self._tools,
            on_call_tool=self._call,
            on_list_prompts=self._prompts,
            on_get_prompt=self._prompt,
            on_list_resources=self._resources,
            on_read_resource=self._resource,
        )
        # No spans: what an agent does is not to leave by a tracer of somebody's.
        self.middleware = [self._with_task]
        self.add_request_handler("server/discover", mcp_types.RequestParams, self._discover)
        self.add_request_handler("logging/setLevel", mcp_types.SetLevelRequestParams, self._level)

    def get_capabilities(self, *args: Any, **kwargs: Any) -> mcp_types.ServerCapabilities:
        """Announce tools, one prompt and one resource; log messages where the era has them."""
        known = super().get_capabilities(*args, **kwargs)
        modern = kwargs.get("protocol_version") in MODERN_PROTOCOL_VERSIONS
        return known.model_copy(update={"logging": None}) if modern else known

    async def _with_task(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Give the task as the instructions of the handshake, whose result is the library's."""
        if ctx.method != "initialize":
            return await call_next(ctx)
        run = await self._run(ctx)
        result = await call_next(ctx)
        if isinstance(result, dict):
            run.briefed = True
            return {**result, "instructions": run.task}
        return result

    async def _discover(
        self, ctx: Context, _params: mcp_types.RequestParams
    ) -> mcp_types.DiscoverResult:
        run = await self._run(ctx)
        run.briefed = True
        return mcp_types.DiscoverResult(
            supported_versions=list(MODERN_PROTOCOL_VERSIONS),
            capabilities=self.get_capabilities(protocol_version=ctx.protocol_version),
            instructions=run.task,
        )

    async def _level(
        self, _ctx: Context, _params: mcp_types.SetLevelRequestParams
    ) -> mcp_types.EmptyResult:
        return mcp_types.EmptyResult()

    async def _tools(
        self, ctx: Context, _params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        run = await self._run(ctx)
        tools = [
            mcp_types.Tool(name=name, description=face.description, input_schema=dict(face.schema))
            for name, face in run.tools.items()
        ]
        return mcp_types.ListToolsResult(tools=tools)

    async def _call(
        self, ctx: Context, params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult:
        run = await self._run(ctx)
        try:
            answer = self.runs.call(run, params.name, params.arguments)
        except UnreadableError as error:
            raise MCPError(mcp_types.INVALID_PARAMS, str(error)) from None
        if answer is None:
            _closed()
        if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            for text in answer.said:
                await _log(ctx, text)
        content = [mcp_types.TextContent(type="text", text=text) for text in answer.texts]
        return mcp_types.CallToolResult(content=list(content), is_error=answer.error)

    async def _prompts(
        self, _ctx: Context, _params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListPromptsResult:
        prompt = mcp_types.Prompt(name=TASK, description="What this run is for.")
        return mcp_types.ListPromptsResult(prompts=[prompt])

    async def _prompt(
        self, ctx: Context, params: mcp_types.GetPromptRequestParams
    ) -> mcp_types.GetPromptResult:
        if params.name != TASK:
            text = f"a prompt must be {TASK!r}, got {params.name[:80]!r}"
            raise MCPError(mcp_types.INVALID_PARAMS, text)
        text = await self._briefing(ctx)
        content = mcp_types.TextContent(type="text", text=text)
        message = mcp_types.PromptMessage(role="user", content=content)
        return mcp_types.GetPromptResult(messages=[message])

    async def _resources(
        self, _ctx: Context, _params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListResourcesResult:
        task = mcp_types.Resource(
            name=TASK, uri=TASK_URI, description="What this run is for.", mime_type="text/plain"
        )
        return mcp_types.ListResourcesResult(resources=[task])

    async def _resource(
        self, ctx: Context, params: mcp_types.ReadResourceRequestParams
    ) -> mcp_types.ReadResourceResult:
        if str(params.uri) != TASK_URI:
            text = f"a resource must be {TASK_URI!r}, got {str(params.uri)[:80]!r}"
            raise MCPError(mcp_types.INVALID_PARAMS, text)
        text = await self._briefing(ctx)
        content = mcp_types.TextResourceContents(uri=TASK_URI, text=text, mime_type="text/plain")
        return mcp_types.ReadResourceResult(contents=[content])

    async def _briefing(self, ctx: Context) -> str:
        run = await self._run(ctx)
        run.briefed = True
        return run.task

    async def _run(self, ctx: Context) -> Run:
        run = await self._run_of(ctx)
        if run is None:
            _closed()
        return run


def _closed() -> NoReturn:
    raise MCPError(mcp_types.CONNECTION_CLOSED, CLOSED)


async def _log(ctx: Context, text: str) -> None:
    """Send what the operator says as a log message too; no client need listen."""
    params = {"level": "notice", "logger": "operator", "data": text}
    # The only way to send one without the library's warning that later eras have none.
    await ctx.session._connection.notify("notifications/message", params)  # noqa: SLF001
