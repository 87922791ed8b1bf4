"""Places: canonical values, patterns over them, and whether some place fits several patterns.

A place is text that a server understands: a path, a job's name, an address.  Two texts that a
server would take for one place must be one value here, so places are compared in canonical form:
percent-escapes decoded, `.` and `..` resolved, doubled slashes closed, `~` and relative paths
made whole, case folded where the server's file system ignores it.  A text that two servers would
resolve to two places (one decodes `%2f` before it resolves `..`, the other after) has none.

Patterns are globs: `*` is any text within one segment, `**` any text at all, `?` one character
of a segment; a whole segment `**` may be no segment, so that `/srv/**` covers `/srv` too.  What
a server then opens for a place (links, races) is the server's affair.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Literal
from urllib.parse import unquote

from corrigible.deployment.records import Server

Pattern = tuple[str, ...]
"""A compiled pattern: literal characters, and the wildcards below, which are longer than one."""

_ALL, _STAR, _ONE = "**", "[*]", "[?]"
_BELOW = "/**"  # nothing, or a slash and what the `_ALL` behind it takes
_WILD = {_ALL, _STAR, _ONE, _BELOW}
_OTHER = "\x00"  # stands for every character that no pattern names; no canonical place holds it
_OPEN = "\ufdd0"  # stands for an open argument on its way through `canonical`; no character
_MOST_DECODINGS = 5
_LONGEST = 4096
_MOST_STATES = 10_000


class PlaceError(ValueError):
    """A text that has no canonical form: what it names cannot be known beforehand."""


def canonical(place: str, server: Server) -> str:
    """Return the canonical form of a place on `server`.

    Raises:
        PlaceError: control characters, endless escapes, a `~` of unknown home, a relative place
            that climbs out of its root, or one that servers resolve differently: it must be
            taken to be anywhere.
    """
    readings = _readings(place)
    text = readings[-1]
    if len(text) > _LONGEST:
        raise PlaceError(f"is longer than {_LONGEST} characters")
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for c in text):
        raise PlaceError(f"holds a control or an invisible character: {text[:80]!r}")
    resolved = _resolved(text, server)
    if "\\" in readings[-2] and not _is_slash(resolved, server):
        raise PlaceError("holds a backslash, a letter to some servers: it can be two places")
    if ".." in text:
        for earlier in readings[:-1]:
            if _resolved(_readings(_closed_up(earlier))[-1], server) != resolved:
                raise PlaceError("holds `..` beside an escape or a backslash: it can be two places")
    return resolved


def _readings(place: str) -> list[str]:
    """Return what a place may be read as: as it is, decoded once and more, with plain slashes."""
    if len(place) > _LONGEST * 3:
        raise PlaceError(f"is longer than {_LONGEST} characters")
    readings = [place]
    for _ in range(_MOST_DECODINGS):
        try:
            decoded = unquote(readings[-1], errors="strict")
        except UnicodeDecodeError:
            raise PlaceError("is percent-encoded, and not as UTF-8") from None
        if decoded == readings[-1]:
            return [*readings, decoded.replace("\\", "/")]
        readings.append(decoded)
    raise PlaceError("is percent-encoded over and over")


def _is_slash(place: str, server: Server) -> bool:
    """Whether a backslash is a slash here: in a web address, and where places have drives."""
    stated = (place, server.root or "", server.home or "")
    drives = any(re.match(r"[A-Za-z]:([/\\]|$)", text) for text in stated)
    return drives or _URL.match(place) is not None


_URL = re.compile(r"(https?|wss?|ftp):/*([^/?#]*)([^?#]*)([^#]*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_DRIVE = re.compile(r"[A-Za-z]:(?=/|$)")
_FILE = re.compile(r"file:(//(localhost)?)?(?=/)", re.IGNORECASE)
_PORTS = {"http": ":80", "ws": ":80", "https": ":443", "wss": ":443", "ftp": ":21"}


def _resolved(text: str, server: Server) -> str:
    """Make a decoded place whole and resolve it, by text alone."""
    text = _folded(text, server)
    start = _FILE.match(text)
    text = text[start.end() :] if start else text
    root, home = (
        None if place is None else _folded(_readings(place)[-1], server).rstrip("/")
        for place in (server.root, server.home)
    )
    drives = bool(_DRIVE.match(f"{root or ''}/") or _DRIVE.match(f"{home or ''}/"))
    if text.startswith("~"):
        user, slash, rest = text.partition("/")
        if user != "~" or home is None:
            raise PlaceError(f"starts at the home {user!r}, which the manifest does not state")
        text = f"{home}{slash}{rest}" or "/"
    elif root is not None and not _is_whole(text, drives=drives):
        text = f"{root}/{text}"
    if url := _URL.match(text):
        return _resolved_url(url)
    head = _SCHEME.match(text) or (_DRIVE.match(text) if drives else None)
    if head is None:
        resolved = _steps(text, absolute=text.startswith("/"))
        if not resolved.startswith("/") and (resolved.startswith("~") or _is_whole(resolved)):
            raise PlaceError("is another place once it is resolved")
        return resolved
    colon = head[0].find(":")
    scheme = head[0][:colon].lower() + head[0][colon:]
    return scheme + _steps(text[head.end() :], absolute=True).rstrip("/")


def _folded(text: str, server: Server) -> str:
    if server.case == "insensitive":
        text = unicodedata.normalize("NFD", text).casefold()
        text = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", text)


def _is_whole(text: str, *, drives: bool = False) -> bool:
    """Whether a place says by itself where it starts."""
    forms = (_URL, _SCHEME, _FILE, *((_DRIVE,) if drives else ()))
    return text.startswith("/") or any(form.match(text) for form in forms)


def _resolved_url(url: re.Match[str]) -> str:
    """Write a web address as its server gets it: no user, no usual port, no fragment."""
    scheme, host, path, query = url[1].lower(), url[2], url[3], url[4]
    host = host.rpartition("@")[2].lower().removesuffix(_PORTS[scheme]).rstrip(".")
    if not host:
        raise PlaceError("is a web address without a host: it can be two places")
    return f"{scheme}://{host}{_steps(path, absolute=True)}{query}"


def _closed_up(text: str) -> str:
    """Take out every `x/../` of a text that is not decoded, as one would who resolves first."""
    url = _URL.match(text)
    start = url.start(3) if url else head.end() if (head := _SCHEME.match(text)) else 0
    end = url.end(3) if url else len(text)
    kept: list[str] = []
    for part in text[start:end].split("/"):
        if part == ".." and [p for p in kept if p not in {"", ".", ".."}]:
            while kept.pop() in {"", "."}:
                pass
        else:
            kept.append(part)
    return text[:start] + "/".join(kept) + text[end:]


def _steps(text: str, *, absolute: bool) -> str:
    """Resolve `.`, `..` and doubled slashes."""
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


# -- patterns ------------------------------------------------------------------------------

ANYWHERE: Pattern = (_ALL,)


def pattern_of(glob: str, server: Server) -> Pattern:
    """Compile a glob over places of `server`.  Raises PlaceError as `canonical` does."""
    return _compiled(glob, server.root, server.home, server.case)


@lru_cache(maxsize=8192)
def _compiled(
    glob: str, root: str | None, home: str | None, case: Literal["sensitive", "insensitive"]
) -> Pattern:
    text = canonical(glob, Server(root=root, home=home, case=case))
    tokens: list[str] = []
    for found in re.findall(r"/\*\*(?=/|$)|\*\*|\*|\?|.", text, flags=re.DOTALL):
        tokens += {"/**": [_BELOW, _ALL], "*": [_STAR], "?": [_ONE]}.get(found, [found])
    return tuple(tokens)


def template_pattern(
    template: str, server: Server, values: Mapping[str, str] | None = None
) -> Pattern:
    """Compile a target template; `{argument}` without a value in `values` is any text.

    Raises:
        PlaceError: once filled, it has no canonical form.
    """
    read = arguments_of(template)
    known = {name: text for name, text in (values or {}).items() if name in read}
    text = re.sub(r"\{([^{}]+)\}", lambda m: known.get(m[1], _OPEN), template)
    if _OPEN in template or any(_OPEN in value for value in known.values()):
        raise PlaceError("holds U+FDD0, which is no character")
    for name, value in known.items():
        if value.startswith(("/", "\\", "~")) and not template.startswith(f"{{{name}}}"):
            raise PlaceError(f"has {name} start anew behind other text: it can be two places")
    if _OPEN not in text:
        return tuple(canonical(text, server))
    if any(mark in value for value in known.values() for mark in ("..", "%", "~", "\\")):
        raise PlaceError("is only partly known and holds `..`, `%`, `~` or a backslash")
    if text.startswith(_OPEN):  # what stands there may start anywhere
        server = server.model_copy(update={"root": None})
    return tuple(_ALL if c == _OPEN else c for c in canonical(text, server))


def arguments_of(template: str) -> tuple[str, ...]:
    """Return the names of the arguments that a target template reads."""
    return tuple(re.findall(r"\{([^{}]+)\}", template))


def literal(pattern: Pattern) -> str | None:
    """Return the one place that a pattern stands for, or None if it has a wildcard."""
    return "".join(pattern) if _WILD.isdisjoint(pattern) else None


def below(pattern: Pattern) -> Pattern:
    """Return the pattern of the places that `pattern` fits and of all that lies under them."""
    if pattern and pattern[-1] == _ALL:
        return pattern
    return ANYWHERE if pattern in {(), ("/",)} else (*pattern, _BELOW, _ALL)


def overlap(*patterns: Pattern) -> bool:
    """Whether some place fits every one of the patterns."""
    return find_place(tuple(patterns), ()) is not None


_Positions = frozenset[int]
_State = tuple[_Positions, ...]


def find_place(all_of: tuple[Pattern, ...], none_of: tuple[Pattern, ...]) -> str | None:
    """Return a shortest text that fits every pattern of `all_of` and none of `none_of`, or None.

    Exact: the patterns' automata are walked together, breadth first, each as the set of
    positions that it can be at.  A character that no pattern names shows as a NUL.

    Raises:
        PlaceError: the patterns hold so many wildcards that the walk would not end soon.
    """
    known = next((text for p in all_of if (text := literal(p)) is not None), None)
    if known is not None and (fits := _all_fit(known, all_of, none_of)) is not None:
        return known if fits else None
    start = ""  # what every place that fits begins with
    for pattern in all_of:
        own = beginning(pattern)
        if not (own.startswith(start) or start.startswith(own)):
            return None
        start = max(start, own, key=len)
    near = tuple(
        pattern
        for pattern in none_of
        if (own := beginning(pattern)).startswith(start) or start.startswith(own)
    )
    return _walk(all_of, near)


LONGEST_MATCHED = 1024
"""Characters of a place that is matched as an expression; a longer one is walked."""

_MOST_MATCHED = 4  # wildcards of a pattern: more, and matching may take longer than the walk


def _all_fit(text: str, all_of: tuple[Pattern, ...], none_of: tuple[Pattern, ...]) -> bool | None:
    """Whether one known place fits all of some patterns and none of others; None: walk instead."""
    if len(text) > LONGEST_MATCHED:
        return None
    walk = False
    for patterns, wanted in ((all_of, True), (none_of, False)):
        for pattern in patterns:
            own = beginning(pattern)
            if len(own) == len(pattern) or not text.startswith(own):
                fits: bool | None = own == text and len(own) == len(pattern)
            else:
                matching = expression(pattern)
                fits = None if matching is None else matching.fullmatch(text) is not None
            if fits is None:
                walk = True
            elif fits != wanted:
                return False
    return None if walk else True


@lru_cache(maxsize=8192)
def expression(pattern: Pattern) -> re.Pattern[str] | None:
    """Return a pattern as a regular expression, where it is quick to match."""
    if sum(token in _WILD for token in pattern) > _MOST_MATCHED:
        return None
    parts: list[str] = []
    for token, after in zip(pattern, (*pattern, "")[1:], strict=True):
        if token == _BELOW and after == _ALL:
            parts.append("(?:/")  # closed behind the `_ALL`
        elif token == _ALL:
            parts.append(".*)?" if parts and parts[-1] == "(?:/" else ".*")
        else:
            parts.append({_STAR: "[^/]*", _ONE: "[^/]"}.get(token) or re.escape(token))
    return re.compile("".join(parts), re.DOTALL)


@lru_cache(maxsize=8192)
def beginning(pattern: Pattern) -> str:
    """Return the characters before the first wildcard."""
    return "".join(takewhile(lambda token: token not in _WILD, pattern))


@lru_cache(maxsize=8192)
def _walk(all_of: tuple[Pattern, ...], none_of: tuple[Pattern, ...]) -> str | None:
    patterns = all_of + none_of
    first = tuple(_closed(p, {0}) for p in patterns)
    seen = {first}
    queue: deque[tuple[_State, str]] = deque([(first, "")])
    while queue:
        at, text = queue.popleft()
        ends = [len(p) in here for p, here in zip(patterns, at, strict=True)]
        if all(ends[: len(all_of)]) and not any(ends[len(all_of) :]):
            return text
        for letter in _letters(patterns, at):
            after = tuple(_step(p, here, letter) for p, here in zip(patterns, at, strict=True))
            if after in seen or not all(after[: len(all_of)]):
                continue
            if any(map(_takes_all, none_of, after[len(all_of) :])):
                continue
            if len(seen) >= _MOST_STATES:
                raise PlaceError("holds too many wildcards to be compared with the others")
            seen.add(after)
            queue.append((after, text + letter))
    return None


def _letters(patterns: tuple[Pattern, ...], at: _State) -> list[str]:
    """Return the characters that make a difference here; every other one is as `_OTHER`."""
    named = {p[i] for p, here in zip(patterns, at, strict=True) for i in here if i < len(p)}
    return sorted((named - _WILD) | {"/", _OTHER})


def _takes_all(pattern: Pattern, positions: _Positions) -> bool:
    """Whether the pattern fits however the text goes on."""
    return len(pattern) - 1 in positions and pattern[-1] == _ALL


def _closed(pattern: Pattern, positions: set[int]) -> _Positions:
    """Add the positions reached for nothing; drop what a `**` further on takes as well."""
    closed: set[int] = set()
    last_all = -1
    for position in sorted(positions):
        here = position
        while here not in closed:
            closed.add(here)
            token = pattern[here] if here < len(pattern) else ""
            if token == _ALL:
                last_all = max(last_all, here)
            if token not in {_ALL, _STAR, _BELOW}:
                break
            here += 2 if token == _BELOW else 1
    return frozenset(position for position in closed if position >= last_all)


def _step(pattern: Pattern, positions: _Positions, letter: str) -> _Positions:
    after: set[int] = set()
    for position in positions:
        token = pattern[position] if position < len(pattern) else ""
        if token == _ALL or (token == _STAR and letter != "/"):
            after.add(position)
        elif token in {letter, _BELOW if letter == "/" else _ONE}:
            after.add(position + 1)
    return _closed(pattern, after) if after else frozenset()
