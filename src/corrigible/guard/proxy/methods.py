"""Every request but the tools': decided as a call of a tool that has the method's name.

`files.resources/read: {verbs: [read], target: "{uri}"}` in the manifest, and rules that allow
what it does, let `resources/read` through to `files`; a method without an entry is denied.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

import mcp_types
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp_types import methods as protocol

from corrigible.guard.call import Call, Caller
from corrigible.guard.proxy.admit import BackError, Flight, RefusedError, admitted
from corrigible.guard.proxy.back import Back
from corrigible.guard.proxy.calls import UNCACHED, Context, caller_of
from corrigible.guard.proxy.hub import Hub
from corrigible.guard.proxy.names import Names, back_uri, front_name, front_uri, shown, shown_json
from corrigible.guard.strict import StrictError, check_arguments

_LISTS = {
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
_KEPT = ("name", "title", "description", "mimeType", "size", "uri", "uriTemplate", "arguments")
_OF_THE_CLIENT = frozenset({"_meta", "inputResponses", "requestState", "cursor"})
_COMPLETE = {"resultType": "complete"}
_MOST_PAGES = 100
_MOST_ITEMS = 10_000
SERVED = (
    *_LISTS,
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
)
"""The methods that are routed to servers; every other one but the tools' is refused."""


class Methods:
    """Routes the requests that are no tool calls."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._prompts = Names()
        self._listen = ListenHandler(hub.bus)

    async def request(self, ctx: Context, _params: Any) -> dict[str, Any]:
        """Answer a request that `SERVED` names; an `MCPError` says why where it is refused."""
        try:
            if ctx.method in _LISTS:
                return await self._list(ctx)
            if ctx.method == "logging/setLevel":
                return await self._for_all(ctx)
            return await self._routed(ctx)
        except (RefusedError, StrictError) as error:
            _raise(error)

    async def unknown(self, ctx: Context) -> NoReturn:
        """Refuse a method that nobody routes, after the gate has heard of it.

        `tasks/*` names no server, so it is denied as the server `*`, which no manifest has.

        Raises:
            MCPError: always.
        """
        why = ""
        try:
            caller = caller_of(ctx, self.hub)
            await self._admit("*", ctx.method, _body(ctx), caller)
        except (RefusedError, StrictError) as error:
            why = f": {error}"
        text = f"{shown(ctx.method)[:80]} is not let through{why}"
        raise MCPError(mcp_types.METHOD_NOT_FOUND, text)

    async def listen(
        self, ctx: Context, params: mcp_types.SubscriptionsListenRequestParams
    ) -> mcp_types.SubscriptionsListenResult:
        """Serve a stream of changes of what the client may hear of; the rest is not honoured."""
        wanted = params.notifications
        shown_by = self.hub.shown_by
        kept = mcp_types.SubscriptionFilter(
            tools_list_changed=wanted.tools_list_changed,
            prompts_list_changed=wanted.prompts_list_changed
            if shown_by("notifications/prompts/list_changed")
            else None,
            resources_list_changed=wanted.resources_list_changed
            if shown_by("notifications/resources/list_changed")
            else None,
            resource_subscriptions=[
                uri
                for uri in wanted.resource_subscriptions or ()
                if await self._subscribed(ctx, uri)
            ],
        )
        return await self._listen(ctx, params.model_copy(update={"notifications": kept}))

    async def _subscribed(self, ctx: Context, uri: str) -> bool:
        try:
            back, real = self._of_uri(uri)
            caller = caller_of(ctx, self.hub)
            await self._send(back, "resources/subscribe", {"uri": real}, caller)
        except (RefusedError, StrictError):
            return False
        return True

    # -- one server ----------------------------------------------------------------------------

    async def _routed(self, ctx: Context) -> dict[str, Any]:
        body = _body(ctx)
        back, params = self._target(ctx.method, body)
        result = await self._send(back, ctx.method, params, caller_of(ctx, self.hub))
        if ctx.method == "resources/read":
            result["contents"] = [
                {**item, "uri": front_uri(back.name, str(item.get("uri")))}
                for item in result.get("contents") or ()
            ]
        return {**result, **(UNCACHED if ctx.method in protocol.CACHEABLE_METHODS else _COMPLETE)}

    def _target(self, method: str, body: dict[str, Any]) -> tuple[Back, dict[str, Any]]:
        """Return the server that a request is for, and the request as that server knows it."""
        if method.startswith("resources/"):
            back, uri = self._of_uri(body.get("uri"))
            return back, {**body, "uri": uri}
        if method == "prompts/get":
            back, name = self._of_prompt(body.get("name"))
            return back, {**body, "name": name}
        ref = dict(body.get("ref") or {})
        if ref.get("type") == "ref/prompt":
            back, ref["name"] = self._of_prompt(ref.get("name"))
        else:
            back, ref["uri"] = self._of_uri(ref.get("uri"))
        return back, {**body, "ref": ref}

    def _of_uri(self, uri: object) -> tuple[Back, str]:
        found = back_uri(uri)
        if found is None or found[0] not in self.hub.backs:
            text = f"must be an address as `resources/list` gives it, got {shown(str(uri))[:80]!r}"
            raise RefusedError("denied", f"a resource's address {text}", rule="names.exact")
        return self.hub.backs[found[0]], found[1]

    def _of_prompt(self, name: object) -> tuple[Back, str]:
        found = self._prompts.known.get(name) if isinstance(name, str) else None
        if found is None:
            text = f"must be a name as `prompts/list` gives it, got {shown(str(name))[:80]!r}"
            raise RefusedError("denied", f"a prompt's name {text}", rule="names.exact")
        return self.hub.backs[found[0]], found[1]

    async def _admit(
        self, server: str, method: str, body: Mapping[str, Any], caller: Caller
    ) -> Flight:
        call = Call(server, method, check_arguments(body), caller.name, caller.lineage)
        return await admitted(self.hub.gate, call)

    async def _send(
        self, back: Back, method: str, params: Mapping[str, Any], caller: Caller
    ) -> dict[str, Any]:
        if not back.up and self.hub.runs(back.name, method, caller):
            await back.wake()
        flight = await self._admit(back.name, method, params, caller)
        flight.out()

        async def work() -> dict[str, Any]:
            result = await back.request(method, params)
            if protocol.is_input_required(result):
                text = f"{back.name} asks the client in the middle of {method}: not let through"
                raise BackError("failed", text)
            flight.end("completed", result)
            return result

        return await flight.run(work)

    # -- all servers ---------------------------------------------------------------------------

    async def _for_all(self, ctx: Context) -> dict[str, Any]:
        await self._each(ctx, _body(ctx))
        return dict(_COMPLETE)

    async def _list(self, ctx: Context) -> dict[str, Any]:
        key = _LISTS[ctx.method]
        found: list[dict[str, Any]] = []
        prompts: list[tuple[str, str]] = []
        for back, pages in (await self._each(ctx, {})).items():
            for item in pages:
                wire = {k: shown_json(item[k]) for k in _KEPT if item.get(k) is not None}
                if key == "prompts":
                    prompts.append((back, item["name"]))
                    wire["name"] = front_name(back, item["name"])
                else:
                    place = "uri" if key == "resources" else "uriTemplate"
                    wire[place] = front_uri(back, item[place])
                found.append(wire)
        if key == "prompts":
            self._prompts = Names.of(prompts)
            found = [item for item in found if item["name"] in self._prompts.known]
        return {key: found, **UNCACHED}

    async def _each(self, ctx: Context, body: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Send a request to every server that may get it; what each answered, by its name.

        Raises:
            RefusedError: no server may get it.
        """
        found: dict[str, list[Any]] = {}
        problem: Exception | None = None
        caller = caller_of(ctx, self.hub)
        for back in self.hub.backs.values():
            await back.settled()
            try:
                found[back.name] = await self._all_pages(back, ctx.method, body, caller)
            except RefusedError as error:
                problem = problem or error
        if not found and problem is not None:
            raise problem
        return found

    async def _all_pages(
        self, back: Back, method: str, body: Mapping[str, Any], caller: Caller
    ) -> list[Any]:
        items: list[Any] = []
        params = dict(body)
        for _ in range(_MOST_PAGES):
            result = await self._send(back, method, params, caller)
            items += result.get(_LISTS.get(method, ""), ())
            cursor = result.get("nextCursor")
            if not cursor or len(items) > _MOST_ITEMS:
                break
            params = {**body, "cursor": cursor}
        return items[:_MOST_ITEMS]


def _body(ctx: Context) -> dict[str, Any]:
    return {key: v for key, v in (ctx.params or {}).items() if key not in _OF_THE_CLIENT}


def _raise(error: RefusedError | StrictError) -> NoReturn:
    told: dict[str, Any] = {"state": "failed"}
    if isinstance(error, RefusedError):
        told = error.told
    elif isinstance(error, StrictError):
        told = {"state": "denied", "rule": error.rule}
    raise MCPError(mcp_types.INVALID_REQUEST, shown(str(error)), {"corrigible": told}) from None
