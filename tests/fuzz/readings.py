"""Where a place may lead, by Python's own means and none of corrigible's.

A server may decode a place no time, once or more, before or after it resolves `..`; take a
backslash for a slash or not; know `file:` addresses or not.  What is granted must hold for all.
"""

import posixpath
from itertools import product
from typing import Any
from urllib.parse import unquote

_DECODINGS = 6


def _decoded(text: str) -> list[str]:
    found = [text]
    for _ in range(_DECODINGS):
        found.append(unquote(found[-1]))
    return sorted(set(found))


def _normal(path: str) -> str:
    path = posixpath.normpath(path)
    return "/" + path.lstrip("/") if path.startswith("//") else path


def readings(text: str, root: str, home: str) -> set[str]:
    """Return every place that a server with this root and home may take a text for."""
    found = set()
    for once, slashes in product(_decoded(text), (False, True)):
        plain = once.replace("\\", "/") if slashes else once
        if plain.lower().startswith("file:"):
            plain = plain[5:].removeprefix("//localhost")
        if plain == "~" or plain.startswith("~/"):
            plain = home + plain[1:]
        whole = _normal(posixpath.join(root, plain))
        for late in _decoded(whole):
            found.add(_normal(late.replace("\\", "/") if slashes else late))
    return found


def below(place: str, folder: str) -> bool:
    """Whether a place is a folder or in it."""
    return place == folder or place.startswith(folder + "/")


def texts_of(value: Any) -> list[str] | None:
    """Return the texts that a server may take an argument for; None: nobody can say."""
    if isinstance(value, list):
        parts = [texts_of(item) for item in value]
        return None if None in parts else [text for part in parts for text in part or ()]
    if isinstance(value, str):
        return [value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    return None
