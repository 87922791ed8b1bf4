"""Which tool a call names: exactly one that the manifest holds, or none.

A name that only looks like a known one is denied like any other unknown name; the reason says
which it looks like, since it is either an attack or a gateway that rewrites names.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from corrigible.deployment.listing import plain
from corrigible.guard.alike import LONGEST, look_of

METHODS = frozenset({
    "initialize", "ping", "completion/complete", "logging/setLevel", "prompts/get",
    "prompts/list", "resources/list", "resources/read", "resources/subscribe",
    "resources/unsubscribe", "resources/templates/list", "tools/call", "tools/list",
    "sampling/createMessage", "elicitation/create", "roots/list", "server/discover",
    "subscriptions/listen",
})  # fmt: skip
"""Requests of the protocol, decided as calls of a tool of that name."""

_METHOD = re.compile(
    r"(?:completion|elicitation|logging|notifications|prompts|resources|roots|sampling|server|"
    r"subscriptions|tasks|tools)/[A-Za-z/_]{1,60}"
)


def is_method(tool: str) -> bool:
    """Whether a tool's name is one of a protocol's request or notification."""
    return tool in METHODS or _METHOD.fullmatch(tool) is not None


class NameProblem(NamedTuple):
    """Why a name is no known tool: the name of the check, and one sentence."""

    rule: str
    reason: str


class NameIndex:
    """The tools of a manifest by name (`server.tool`), matched to the letter."""

    def __init__(self, known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._looks: dict[str, str] = {}
        self._tools: dict[str, str] = {}
        for name in sorted(self._known):
            self._looks.setdefault(look_of(name), name)
            self._tools.setdefault(look_of(name.partition(".")[2]), name)

    def problem(self, server: str, tool: str) -> NameProblem | None:
        """Return why a call names no known tool, or None where it names one exactly.

        `names.exact`: it resembles a known one (case, width, letters drawn alike, what is not
        seen, a prefix, another server); `names.unknown`: it resembles none.
        """
        if type(server) is str and type(tool) is str:
            if "." not in server and f"{server}.{tool}" in self._known:
                return None
            shown = plain(f"{server}.{tool}"[: 2 * LONGEST], 120)
            if found := self._resembled(server, tool):
                known, how = found
                return NameProblem("names.exact", f"{shown!r} is not {known!r}: {how}")
            return NameProblem("names.unknown", f"{shown!r} is no tool of the manifest")
        return NameProblem("names.unknown", "a server and a tool are named by text")

    def _resembled(self, server: str, tool: str) -> tuple[str, str] | None:
        """Return the known tool that a name may be taken for, and how they differ."""
        full = f"{server[:LONGEST]}.{tool[:LONGEST]}"
        if known := self._looks.get(look_of(full)):
            return known, _difference(full, known)
        short = look_of(tool)
        if known := self._looks.get(short):  # the server's name stands in the tool's, too
            return known, f"the tool's name begins with a server's, and is called on {_q(server)}"
        if known := self._tools.get(short):
            return known, f"that tool is another server's than {_q(server)}"
        for at in range(1, len(tool[:LONGEST])):
            if tool[at - 1] in _PREFIX_ENDS:
                known = self._tools.get(look_of(tool[at:]))
                if known and look_of(tool[at:]):
                    return known, f"it stands behind the prefix {_q(tool[:at])}"
        return None


_PREFIX_ENDS = frozenset("_-./:")


def _q(name: str) -> str:
    return repr(plain(name, 60))


def _difference(got: str, known: str) -> str:
    """Say how two names of one look differ."""
    if got.casefold() == known.casefold():
        return "they differ by case"
    if got.strip() == known or got.replace(" ", "") == known:
        return "they differ by spaces"
    if unicodedata.normalize("NFKC", got).casefold() == known.casefold():
        return "they differ by the width or form of letters"
    if any(not c.isprintable() for c in got):
        return "it holds characters that are not seen"
    if not got.isascii():
        return "it holds letters that are drawn alike"
    return "they differ by what joins their words"
