"""Places: canonical values, patterns over them, and whether some place fits several patterns.

A place is text that a server understands: a path, a job's name, an address.  Two texts that a
server would take for one place must be one value here, so places are compared in canonical form:
percent-escapes decoded, `.` and `..` resolved, doubled slashes closed, `~` and relative paths
made whole, case folded where the server's file system ignores it.

Patterns are globs: `*` is any text within one segment, `**` any text at all, `?` one character
of a segment.  What a server then opens for a place (links, races) is the server's affair.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from corrigible.deployment.records import Server

Pattern = tuple[str, ...]
"""A compiled pattern: literal characters, and the three wildcards below."""

_ALL, _STAR, _ONE = "**", "*", "?"
_WILD = (_ALL, _STAR, _ONE)
_OTHER = "\x00"  # stands for every character that no pattern names; no canonical place holds it
_MOST_DECODINGS = 5
_LONGEST = 4096


class PlaceError(ValueError):
    """A text that has no canonical form: what it names cannot be known beforehand."""


def canonical(place: str, server: Server) -> str:
    """Return the canonical form of a place on `server`.

    Raises:
        PlaceError: control characters, endless escapes, a `~` of unknown home, or a relative
            place that climbs out of its root: it must be taken to be anywhere.
    """
    text = _decoded(place)
    if len(text) > _LONGEST:
        raise PlaceError(f"is longer than {_LONGEST} characters")
    if any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp"} for c in text):
        raise PlaceError(f"holds a control or an invisible character: {text[:80]!r}")
    text = unicodedata.normalize("NFC", text).replace("\\", "/")
    text = re.sub(r"^file://(localhost)?(?=/)", "", text, flags=re.IGNORECASE)
    if server.case == "insensitive":
        text = text.casefold()
    scheme = re.match(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/]*", text)
    head, rest = (scheme[0].lower(), text[scheme.end() :]) if scheme else ("", text)
    if not head and rest.startswith("~"):
        rest = _home(rest, server)
    if not head and not rest.startswith("/") and server.root is not None and rest:
        root = server.root.casefold() if server.case == "insensitive" else server.root
        rest = f"{root}/{rest}"
    return head + _resolved(rest)


def _decoded(place: str) -> str:
    for _ in range(_MOST_DECODINGS):
        decoded = unquote(place, errors="replace")
        if decoded == place:
            return place
        place = decoded
    raise PlaceError("is percent-encoded over and over")


def _home(text: str, server: Server) -> str:
    user, slash, rest = text.partition("/")
    if user != "~" or server.home is None:
        raise PlaceError(f"starts at the home {user!r}, which the manifest does not state")
    return f"{server.home}{slash}{rest}"


def _resolved(text: str) -> str:
    """Resolve `.`, `..` and doubled slashes by text alone."""
    absolute = text.startswith("/")
    kept: list[str] = []
    for part in text.split("/"):
        if part in {"", "."}:
            continue
        if part != "..":
            kept.append(part)
        elif kept:
            kept.pop()
        elif not absolute:
            raise PlaceError("climbs out of where it starts with `..`")
    return ("/" if absolute else "") + "/".join(kept)


def pattern_of(glob: str, server: Server) -> Pattern:
    """Compile a glob over places of `server`.  Raises PlaceError as `canonical` does."""
    return _tokens(canonical(glob, server))


def template_pattern(template: str, server: Server, values: dict[str, str] | None = None) -> Pattern:
    """Compile a target template; `{argument}` without a value in `values` is any text.

    Raises:
        PlaceError: once filled, it has no canonical form.
    """
    known = values or {}
    open_ = [name for name in arguments_of(template) if name not in known]
    text = re.sub(r"\{([^{}]+)\}", lambda m: known.get(m[1], m[0]), template)
    if not open_:
        return tuple(canonical(text, server))
    if any(".." in value or "%" in value or "~" in value for value in known.values()):
        raise PlaceError("is only partly known and holds `..`, `%` or `~`")
    # Each open argument goes through `canonical` as one private-use character.
    marked = re.sub(r"\{([^{}]+)\}", "\ue000", text)
    return tuple(_ALL if c == "\ue000" else c for c in canonical(marked, server))


def arguments_of(template: str) -> tuple[str, ...]:
    """Return the names of the arguments that a target template reads."""
    return tuple(re.findall(r"\{([^{}]+)\}", template))


def _tokens(text: str) -> Pattern:
    return tuple(re.findall(r"\*\*|\*|\?|.", text, flags=re.DOTALL))


def literal(pattern: Pattern) -> str | None:
    """Return the one place that a pattern stands for, or None if it has a wildcard."""
    return None if any(token in _WILD for token in pattern) else "".join(pattern)


ANYWHERE: Pattern = (_ALL,)


def overlap(*patterns: Pattern) -> bool:
    """Whether some place fits every one of the patterns."""
    return find_place(tuple(patterns), ()) is not None


@lru_cache(maxsize=65_536)
def find_place(all_of: tuple[Pattern, ...], none_of: tuple[Pattern, ...]) -> str | None:
    """Return a shortest text that fits every pattern of `all_of` and none of `none_of`, or None.

    Exact: the patterns' automata are walked together, breadth first, each as the set of
    positions that it can be at.  A character that no pattern names shows as a NUL.
    """
    patterns = all_of + none_of
    alphabet = {token for p in patterns for token in p if token not in _WILD} | {"/", _OTHER}
    letters = sorted(alphabet)
    first = tuple(_closed(p, {0}) for p in patterns)
    seen = {first}
    queue: deque[tuple[tuple[frozenset[int], ...], str]] = deque([(first, "")])
    while queue:
        at, text = queue.popleft()
        ends = [len(p) in here for p, here in zip(patterns, at, strict=True)]
        if all(ends[: len(all_of)]) and not any(ends[len(all_of) :]):
            return text
        for letter in letters:
            after = tuple(
                _step(p, here, letter) for p, here in zip(patterns, at, strict=True)
            )
            if all(after[: len(all_of)]) and after not in seen:
                seen.add(after)
                queue.append((after, text + letter))
    return None


def _closed(pattern: Pattern, positions: set[int]) -> frozenset[int]:
    closed = set(positions)
    for position in sorted(positions):
        here = position
        while here < len(pattern) and pattern[here] in {_ALL, _STAR}:
            here += 1
            closed.add(here)
    return frozenset(closed)


def _step(pattern: Pattern, positions: frozenset[int], letter: str) -> frozenset[int]:
    after: set[int] = set()
    for position in positions:
        if position == len(pattern):
            continue
        token = pattern[position]
        if token == _ALL or (token == _STAR and letter != "/"):
            after.add(position)
        elif token == letter or (token == _ONE and letter != "/"):
            after.add(position + 1)
    return _closed(pattern, after)
