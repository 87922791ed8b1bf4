"""What joins clients and servers: which servers there are, what they list, who hears of it."""

import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import anyio
import mcp_types
from mcp.server.connection import Connection
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from corrigible.deployment.listing import ListedTool, Listing, plain
from corrigible.guard.call import Call, Caller
from corrigible.guard.names import is_method
from corrigible.guard.proxy.admit import Flight, GateLike, RefusedError, admitted
from corrigible.guard.proxy.back import Back
from corrigible.guard.proxy.names import Names, front_uri, shown, shown_json, unclean_key
from corrigible.guard.strict import StrictError, check_arguments

log = logging.getLogger("corrigible.guard.proxy")

Ask = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Puts a server's request to the client whose call the server is working on."""

_CHANGED = {
    "notifications/prompts/list_changed": PromptsListChanged(),
    "notifications/resources/list_changed": ResourcesListChanged(),
}
_HINTS = ("readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint")


class Hub:
    """The gate, the servers behind it, and the clients in front of it."""

    def __init__(
        self, gate: GateLike, backs: Sequence[Back], *, caller: Caller | None = None
    ) -> None:
        self.gate = gate
        self.backs = {back.name: back for back in backs}
        self.caller = caller or Caller()
        self.names = Names()
        self.unfit: dict[tuple[str, str], str] = {}  # why the proxy itself keeps a tool back
        self.tools: dict[str, dict[str, Any]] = {}
        self.bus = InMemorySubscriptionBus()
        self.clients: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._asks: dict[str, dict[str, Ask]] = {name: {} for name in self.backs}
        self._dropped: set[tuple[str, str]] = set()

    async def run(
        self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Keep every server for as long as this runs."""
        async with anyio.create_task_group() as tasks:
            for back in self.backs.values():
                tasks.start_soon(back.run, self)
            task_status.started()

    def shown_by(self, method: str) -> list[Back]:
        """Return the servers for which the manifest has an entry of this method."""
        return [back for back in self.backs.values() if self.gate.shows(back.name, method)]

    def runs(self, server: str, tool: str, caller: Caller) -> bool:
        """Say whether no stop or pause holds this."""
        state = self.gate.latch.state()
        return bool(state.on(server, tool, "", caller.name, caller.lineage) == "run")

    # -- what servers list -----------------------------------------------------------------

    async def listed(self, back: Back, listing: Listing) -> None:
        """Take what a server lists now: the gate first, then the names, then the clients."""
        self.gate.listed(listing)
        if listing.problem is not None:
            log.warning("%s %s", back.name, listing.problem)
        for refused in listing.refused:
            log.warning("%s: a tool is left out: %s", back.name, refused)
        self._index()
        await self._tell("notifications/tools/list_changed", {}, ToolsListChanged())

    def _index(self) -> None:
        pairs = [(back.name, tool) for back in self.backs.values() for tool in back.listing.tools]
        self.unfit = {
            (server, tool.name): why for server, tool in pairs if (why := _why_unfit(tool))
        }
        self.names = Names.of((s, t.name) for s, t in pairs if (s, t.name) not in self.unfit)
        by_pair = {(server, tool.name): tool for server, tool in pairs}
        self.tools = {name: wire_tool(name, by_pair[key]) for name, key in self.names.known.items()}
        for (server, tool), why in self.unfit.items():
            log.warning("%s.%s is left out: %s", server, plain(tool, 80), why)
        for name, why in self.names.refused.items():
            log.warning("%s is left out: %s", name, why)

    async def visible(self) -> list[dict[str, Any]]:
        """Return the tools that clients are shown, in the order of the manifest's servers."""
        for back in self.backs.values():
            await back.settled()
        return [
            self.tools[name]
            for name, (server, tool) in self.names.known.items()
            if self.gate.shows(server, tool)
        ]

    # -- what servers say and ask ----------------------------------------------------------

    async def told(self, back: Back, method: str, params: Mapping[str, Any]) -> None:
        """Pass on a server's notification, where the manifest allows it; else drop it."""
        if not self.gate.shows(back.name, method):
            if (back.name, method) not in self._dropped:
                self._dropped.add((back.name, method))
                log.info("%s: %s is dropped, the manifest has no such entry", back.name, method)
            return
        try:
            body = check_arguments({key: v for key, v in params.items() if key != "_meta"})
            flight = await admitted(self.gate, Call(back.name, method, body, _asker(back)))
            flight.out()
            flight.end("completed", None)
        except (RefusedError, StrictError):
            return
        body = shown_json(body)
        if method == "notifications/resources/updated":
            body["uri"] = front_uri(back.name, str(body.get("uri")))
            await self._tell(method, body, ResourceUpdated(body["uri"]))
        elif method == "notifications/message":
            body["logger"] = f"{back.name}/{body.get('logger', '')}".rstrip("/")
            await self._tell(method, body, None)
        elif method in _CHANGED:
            await self._tell(method, {}, _CHANGED[method])

    async def _tell(self, method: str, params: dict[str, Any], event: Any) -> None:
        for connection in list(self.clients):
            with anyio.move_on_after(1):
                await connection.notify(method, params or None)
        if event is not None:
            await self.bus.publish(event)

    def answers(self, server: str, method: str) -> bool:
        """Say whether a server may ask this of the client at all."""
        return self.gate.shows(server, method)

    async def asked(self, back: Back, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Put a server's request to the client whose call it works on, where that is allowed.

        Raises:
            MCPError: it is refused, or there is no one client to ask.
        """
        try:
            body = check_arguments({key: v for key, v in params.items() if key != "_meta"})
            flight = await admitted(self.gate, Call(back.name, method, body, _asker(back)))
            flight.out()
            return await flight.run(lambda: self._put(back, flight, body))
        except (RefusedError, StrictError) as error:
            raise MCPError(mcp_types.INVALID_REQUEST, str(error)) from None

    async def _put(self, back: Back, flight: Flight, body: Mapping[str, Any]) -> dict[str, Any]:
        asks = list(self._asks[back.name].values())
        if len(asks) != 1:
            raise RefusedError("failed", "it cannot be told which client is meant")
        answer = await asks[0](flight.admission.call.tool, asked_by(back.name, body))
        flight.end("completed", answer)
        return answer

    @contextmanager
    def asking(self, server: str, key: str, ask: Ask | None) -> Iterator[None]:
        """Let a server ask, while it works on a call, the client that called."""
        if ask is not None:
            self._asks[server][key] = ask
        try:
            yield
        finally:
            self._asks[server].pop(key, None)


def _asker(back: Back) -> str:
    return f"server:{back.name}"


def asked_by(server: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a server's question as the client gets it: nothing invisible, and who asks."""
    body: dict[str, Any] = shown_json(params)
    if isinstance(body.get("message"), str):
        body["message"] = f"The server {server} asks: {body['message']}"
    return body


def _why_unfit(tool: ListedTool) -> str | None:
    if is_method(tool.name):
        return "it has the name of a method of the protocol"
    for schema in (tool.input_schema, tool.output_schema or {}):
        if (key := unclean_key(schema)) is not None:
            return f"its schema has a name with invisible characters: {key!r}"
    return None


def wire_tool(name: str, tool: ListedTool) -> dict[str, Any]:
    """Return a tool as clients see it: texts neutralised, nothing that is not listed here."""
    wire: dict[str, Any] = {
        "name": name,
        "inputSchema": {"type": "object", **shown_json(tool.input_schema)},
    }
    if tool.title is not None:
        wire["title"] = shown(tool.title)
    if tool.description is not None:
        wire["description"] = shown(tool.description)
    if tool.output_schema is not None:
        wire["outputSchema"] = shown_json(tool.output_schema)
    hints = {
        key: tool.annotations[key]
        for key in _HINTS
        if isinstance((tool.annotations or {}).get(key), bool) and tool.annotations is not None
    }
    title = (tool.annotations or {}).get("title")
    if isinstance(title, str):
        hints["title"] = shown(title)
    if hints:
        wire["annotations"] = hints
    return wire
