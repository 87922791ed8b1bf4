"""The names that clients see, and the texts of servers made safe to show.

One scheme for tools and prompts: `server__tool`.  A dot, as in the manifest, is legal in the
protocol, yet the interfaces of model vendors refuse it, so it would not arrive.  A name that
is not of letters, digits, `_` and `-`, or is longer than `LONGEST`, is cut, its other
characters become `_`, and eight digits of a digest of the manifest's name follow.  The way back
is by lookup alone: no name is ever taken apart to find out what it calls.

A resource keeps its address behind its server's name: `corrigible://SERVER/ADDRESS`.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from corrigible.deployment.listing import plain

LONGEST = 64
"""Characters that every client and every model vendor takes in a tool's name."""

_LEGAL = re.compile(r"[A-Za-z0-9_-]+")
_URI = re.compile(r"corrigible://([A-Za-z0-9][A-Za-z0-9_-]*)/(.+)", re.DOTALL)
# What is blank or invisible though it counts as printable: joiners, fillers, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def front_name(server: str, name: str) -> str:
    """Return the name that clients see for a tool or a prompt of a server."""
    whole = f"{server}__{name}"
    if len(whole) <= LONGEST and _LEGAL.fullmatch(whole):
        return whole
    mark = hashlib.sha256(f"{server}.{name}".encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', whole)[: LONGEST - 9]}_{mark}"


@dataclass(frozen=True)
class Names:
    """The way back from clients' names: `known` maps each to (server, name).

    `refused`: for each client's name that two would share, why neither is reachable by it.
    """

    known: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> "Names":
        """Index (server, name) pairs; two pairs of one client's name are both refused."""
        found: dict[str, list[tuple[str, str]]] = {}
        for server, name in dict.fromkeys(pairs):
            found.setdefault(front_name(server, name), []).append((server, name))
        refused = {
            shown: f"{' and '.join(f'{s}.{n}' for s, n in owners)} share this name"
            for shown, owners in found.items()
            if len(owners) > 1
        }
        known = {shown: owners[0] for shown, owners in found.items() if shown not in refused}
        return cls(known, refused)


def front_uri(server: str, uri: str) -> str:
    """Return the address that clients see for a resource, or a template of one, of a server."""
    return f"corrigible://{server}/{uri}"


def back_uri(uri: object) -> tuple[str, str] | None:
    """Return (server, address) of a client's address, or None where it is none of ours."""
    match = _URI.fullmatch(uri) if isinstance(uri, str) else None
    return (match[1], match[2]) if match else None


def shown(text: str) -> str:
    r"""Return a text with everything invisible in it spelled out, as `\u200b`.

    Line breaks and tabs stay; other control, format, private and unassigned characters, odd
    spaces, and what is blank or invisible though printable are escaped.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char
        if (char.isprintable() or char in "\n\t") and not _UNSEEN.match(char)
        else _spelled(char)
        for char in text.replace("\r\n", "\n")
    )


def _spelled(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  (four digits)


def shown_json(value: Any) -> Any:
    """Return a JSON value with every text in it, but not the keys, passed through `shown`."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Mapping):
        return {key: shown_json(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [shown_json(held) for held in value]
    return value


def unclean_key(value: Any) -> str | None:
    """Return, escaped, a key within a JSON value that `shown` would change; None: there is none.

    A schema with such a key cannot be neutralised: the key is what an argument must be called.
    """
    if isinstance(value, Mapping):
        for key, held in value.items():
            if shown(key) != key:
                return plain(key, 80)
            if (found := unclean_key(held)) is not None:
                return found
    elif isinstance(value, list | tuple):
        for held in value:
            if (found := unclean_key(held)) is not None:
                return found
    return None
