"""Which tools are held back, and why: what runs must be, to the letter, what was reviewed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from corrigible.deployment.listing import ListedTool, Listing, plain
from corrigible.deployment.lock import Lock, compare, digest_of_tool
from corrigible.deployment.records import Deployment
from corrigible.guard.names import is_method
from corrigible.guard.schema import Checker, SchemaError


@dataclass(frozen=True)
class Live:
    """What is known of the tools as they are now.

    `held`: tool (`server.tool`) -> why no call of it may pass.  `checkers`: the compiled input
    schema of each tool that has one.
    """

    held: Mapping[str, str]
    checkers: Mapping[str, Checker]


def live_tools(deployment: Deployment, listings: Sequence[Listing], lock: Lock | None) -> Live:
    """Compare the manifest's tools with what the servers list and with what was reviewed.

    Without listings and lock nothing is held back and nothing has a schema: plain functions.
    A request of the protocol (`resources/read`) is no server's tool: it is held back only where
    a server lists a tool of that name, which could then be called in its place.
    """
    if not listings and lock is None:
        return Live(MappingProxyType({}), MappingProxyType({}))
    by_server = {one.server: one for one in listings}
    servers = [one.server for one in listings]
    held: dict[str, str] = {}
    checkers: dict[str, Checker] = {}
    for name in deployment.tools:
        server, _, tool = name.partition(".")
        found = (
            [t for t in by_server[server].tools if t.name == tool] if server in by_server else []
        )
        if is_method(tool):
            if found:
                held[name] = "the server lists a tool that is called as a request of the protocol"
            continue
        if servers.count(server) > 1:
            held[name] = f"two listings call themselves {server!r}"
            continue
        why = _why_not_live(server, by_server.get(server), found)
        why = why or _why_not_reviewed(server, found[0], lock)
        if why:
            held[name] = why
        else:
            try:
                checkers[name] = Checker(dict(found[0].input_schema))
            except SchemaError as error:
                held[name] = f"its arguments cannot be checked: {error}"
    return Live(MappingProxyType(held), MappingProxyType(checkers))


def _why_not_live(server: str, listing: Listing | None, found: list[ListedTool]) -> str:
    if listing is None:
        return f"the server {server!r} has not listed its tools"
    if listing.problem is not None:
        return f"the server {server!r} could not be listed: {plain(listing.problem)}"
    if not found:
        return f"the server {server!r} does not list it"
    return "the server lists it twice" if len(found) > 1 else ""


def _why_not_reviewed(server: str, tool: ListedTool, lock: Lock | None) -> str:
    if lock is None:
        return "nobody has reviewed it: there is no lock"
    known = lock.tools.get(f"{server}.{tool.name}")
    if known is None:
        return "nobody has reviewed it: it is not in the lock"
    if known.digest == digest_of_tool(tool):
        return ""
    changes = compare(Lock({f"{server}.{tool.name}": known}), [Listing(server, (tool,))])
    fields = ", ".join(changes.changed.get(f"{server}.{tool.name}", ()))
    return f"it is not what was reviewed: {fields or 'something'} changed"
