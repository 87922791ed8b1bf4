"""The server that clients speak to, in both protocol eras."""

from typing import Any

import anyio
import mcp_types
from mcp.server.context import CallNext, HandlerResult
from mcp.server.lowlevel import Server
from mcp.server.models import InitializationOptions
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import BaseModel, ConfigDict

from corrigible.guard.proxy.calls import Calls, Context
from corrigible.guard.proxy.direct import Direct
from corrigible.guard.proxy.hub import Hub
from corrigible.guard.proxy.methods import SERVED, Methods
from corrigible.guard.proxy.wire import Taken

_PASSED = frozenset({"initialize", "ping", "server/discover"})
_INSTRUCTIONS = (
    "Every call is decided by the rules of this deployment.  An error result whose "
    "structuredContent has `corrigible` says what was decided: `denied` (the rule, and what would "
    "lift it) or `pending` (an operator is asked; call again with the same arguments later)."
)


class _Raw(BaseModel):
    """Parameters that the handler reads as they came."""

    model_config = ConfigDict(extra="ignore")


class Front(Server[Any]):
    """Speaks MCP to clients; everything but the handshake and pings goes past the gate."""

    def __init__(self, hub: Hub, *, version: str = "1") -> None:
        self.hub = hub
        self.calls, self.methods = Calls(hub), Methods(hub)
        super().__init__(
            "corrigible",
            version=version,
            instructions=_INSTRUCTIONS,
            get_tool_input_schema=self.calls.schema,
            on_subscriptions_listen=self.methods.listen,
        )
        # No spans: arguments and results are not to leave by a tracer of somebody's.
        self.middleware = [self._keep]
        self.add_request_handler("tools/list", _Raw, self.calls.list)
        self.add_request_handler("tools/call", _Raw, self.calls.call)
        for method in SERVED:
            self.add_request_handler(method, _Raw, self.methods.request)

    async def run(
        self,
        read_stream: Any,
        write_stream: Any,
        initialization_options: InitializationOptions,
        raise_exceptions: bool = False,
    ) -> None:
        """Serve one client over a pair of streams, until its side ends."""
        async with anyio.create_task_group() as tasks:
            direct = Direct(self.calls, write_stream, tasks, stamp=lambda: self.server_info_stamp)
            read = Taken(read_stream, direct.take)
            await super().run(read, write_stream, initialization_options, raise_exceptions)
            tasks.cancel_scope.cancel()

    async def _keep(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Let through what has a handler; refuse every other request, and tell the gate."""
        if ctx.request_id is None:
            if ctx.method == "notifications/initialized":
                # The only handle on the connection: what the clients are told goes over it.
                self.hub.clients.add(ctx.session._connection)  # noqa: SLF001
            return await call_next(ctx)
        if ctx.method in _PASSED or self.get_request_handler(ctx.method) is not None:
            return await call_next(ctx)
        return await self.methods.unknown(ctx)

    def get_capabilities(
        self,
        notification_options: Any = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> mcp_types.ServerCapabilities:
        """Announce tools, and of the rest only what the manifest has entries for."""
        del notification_options, experimental_capabilities, extensions
        by = self.hub.shown_by
        resources = by("resources/list") or by("resources/read") or by("resources/templates/list")
        modern = protocol_version in MODERN_PROTOCOL_VERSIONS
        return mcp_types.ServerCapabilities(
            tools=mcp_types.ToolsCapability(list_changed=True),
            resources=mcp_types.ResourcesCapability(
                subscribe=bool(by("resources/subscribe")),
                list_changed=bool(by("notifications/resources/list_changed")),
            )
            if resources
            else None,
            prompts=mcp_types.PromptsCapability(
                list_changed=bool(by("notifications/prompts/list_changed"))
            )
            if by("prompts/list")
            else None,
            completions=mcp_types.CompletionsCapability() if by("completion/complete") else None,
            logging=mcp_types.LoggingCapability()
            if by("logging/setLevel") and not modern
            else None,
        )
