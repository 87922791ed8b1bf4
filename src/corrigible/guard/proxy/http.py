"""The front over streamable HTTP: who may reach it, and with what.

In this order, before anything is parsed: the path, the Host and the Origin (a page that a
browser shows must not reach the guard by a rebound name), the bearer token, the size of the
body; then the body is parsed strictly.  The token says who calls; it goes no further.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import mcp_types
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from corrigible.guard.call import Caller
from corrigible.guard.proxy.calls import CALLER_KEY
from corrigible.guard.proxy.front import Front
from corrigible.guard.proxy.wire import refusal
from corrigible.guard.strict import StrictError, parse_strict

PATH = "/mcp"
_SHORTEST_TOKEN = 16
_METHODS = frozenset({"POST", "GET", "DELETE"})


@dataclass(frozen=True)
class Access:
    """Who may reach a front over HTTP.

    `tokens`: each bearer token, and who it is.  `hosts`, `origins`: what the headers of that
    name may hold; no Origin at all is what programs send.
    """

    tokens: Mapping[str, Caller] = field(repr=False)
    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not self.tokens or any(len(token) < _SHORTEST_TOKEN for token in self.tokens):
            raise ValueError(f"needs a token, each of {_SHORTEST_TOKEN} characters or more")

    def caller(self, token: str) -> Caller | None:
        """Return whose token it is; takes as long whichever it is, and if it is none."""
        found = None
        given = token.encode("latin-1", "replace")
        for known, caller in self.tokens.items():
            if hmac.compare_digest(known.encode(), given):
                found = caller
        return found


class HttpFront:
    """An ASGI application: the front at `/mcp`, and nothing else."""

    def __init__(self, front: Front, access: Access, *, longest: int) -> None:
        self.access, self.longest = access, longest
        self.manager = StreamableHTTPSessionManager(
            app=front, max_request_body_size=longest, max_sessions=1_000
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it before it is parsed."""
        if scope["type"] != "http":
            return
        headers = _Headers(scope["headers"])
        caller, problem = self._checked(scope, headers)
        if problem is not None or caller is None:
            await (problem or _plain(401, "unauthorized"))(scope, receive, send)
            return
        scope[CALLER_KEY] = caller
        # What binds a session to the credential that opened it.
        who = "/".join((*caller.lineage, caller.name))
        scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=who, scopes=[]))
        if scope["method"] == "POST":
            body = await _body(receive, headers, self.longest)
            problem = _unfit(body)
            if problem is not None:
                await problem(scope, receive, send)
                return
            receive = _replayed(body or b"", receive)
        await self.manager.handle_request(scope, receive, send)

    def _checked(self, scope: Scope, headers: "_Headers") -> tuple[Caller | None, Response | None]:
        if scope["path"] != PATH:
            return None, _plain(404, "not found")
        if scope["method"] not in _METHODS:
            return None, _plain(405, "method not allowed")
        hosts, origins = headers.all(b"host"), headers.all(b"origin")
        if len(hosts) != 1 or hosts[0].lower() not in self.access.hosts:
            return None, _plain(421, "this is not the host that is served here")
        if any(origin not in self.access.origins for origin in origins):
            return None, _plain(403, "no page of that origin may reach this")
        given = headers.all(b"authorization")
        kind, _, token = (given[0] if len(given) == 1 else "").partition(" ")
        caller = self.access.caller(token.strip()) if kind.lower() == "bearer" else None
        if caller is None:
            return None, _plain(401, "needs a bearer token", {"www-authenticate": "Bearer"})
        return caller, None


class _Headers:
    def __init__(self, raw: Iterable[tuple[bytes, bytes]]) -> None:
        self.raw = list(raw)

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == name]


async def _body(receive: Receive, headers: _Headers, longest: int) -> bytes | None:
    """Return a request's body; None: it is larger than it may be, or the client has gone."""
    declared = headers.all(b"content-length")
    if declared and declared[0].isdigit() and int(declared[0]) > longest:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > longest:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _unfit(body: bytes | None) -> Response | None:
    if body is None:
        return _plain(413, "the body is larger than it may be")
    try:
        parse_strict(body, largest=max(len(body), 1))
    except StrictError as error:
        answer = refusal(None, mcp_types.PARSE_ERROR, str(error))
        text = answer.model_dump_json(by_alias=True, exclude_unset=True)
        return Response(text, status_code=400, media_type="application/json")
    return None


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


def _plain(status: int, text: str, headers: dict[str, Any] | None = None) -> Response:
    return Response(text, status_code=status, media_type="text/plain", headers=headers)
