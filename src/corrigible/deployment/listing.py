"""What a live server listed, as plain records; the text in them is neutralised, not trusted.

These records know nothing of the protocol: `servers.py` fills them, and inference, the draft
and the lock read them.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

LONGEST_NAME = 128
"""Characters that a tool's name may have: as many as the protocol recommends."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class ListedTool:
    """One tool as its server described it; every field is the server's own claim.

    Texts and schemas are as they came (they are what the lock digests): pass them through
    `plain` before showing them to a person.
    """

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    output_schema: Mapping[str, Any] | None = None
    annotations: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Listing:
    """What listing one server gave.

    `problem`: why there are no tools to rely on, in one sentence; None where it went well.
    `refused`: for each tool that was left out (a hostile name, a schema too large), which and
    why.  `printed`: the last lines that it wrote on stderr, or on stdout outside the protocol,
    with secrets masked.  `seconds`: what the listing took, the server's end included.
    """

    server: str
    tools: tuple[ListedTool, ...] = ()
    problem: str | None = None
    refused: tuple[str, ...] = ()
    protocol: str | None = None
    server_info: str | None = None
    instructions: str | None = None
    printed: tuple[str, ...] = ()
    seconds: float = 0.0


def plain(text: object, longest: int = 200) -> str:
    r"""Return `text` as one line that shows what it is: safe to print and to write.

    Control, format, private and unassigned characters (ANSI escapes, line separators, marks
    that turn the direction of text, zero-width ones) come out as `\x1b`, `\u202e`; runs of
    white space as one space; what passes `longest` characters is cut, with an ellipsis.
    """
    raw = str(text)
    squeezed = re.sub(r"\s+", " ", raw[: longest * 8]).strip()
    shown = squeezed
    if not squeezed.isprintable():
        shown = "".join(char if char.isprintable() else _escaped(char) for char in squeezed)
    if len(shown) > longest or len(raw) > longest * 8:
        return shown[: longest - 1].rstrip() + "…"
    return shown


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:  # noqa: PLR2004  (what two hexadecimal digits can say)
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def why_refused(name: object) -> str | None:
    """Return why a tool's name cannot stand in a manifest, or None where it can.

    A name must be text of 1 to `LONGEST_NAME` printable characters without white space, equal
    to its own compatibility form (NFKC): names that only look alike must not pass for others.
    """
    if not isinstance(name, str) or not name:
        return f"its name must be text, got {plain(repr(name), 40)}"
    if len(name) > LONGEST_NAME:
        return f"its name may have {LONGEST_NAME} characters at most, got {len(name):,}"
    if not name.isprintable() or any(char.isspace() for char in name):
        return "its name holds white space, control or invisible characters"
    if unicodedata.normalize("NFKC", name) != name:
        return "its name is not in its compatibility form (NFKC): it looks like another name"
    return None


def canonical(value: Any) -> str:
    """Return the canonical JSON of a plain value: sorted keys, no spaces, not escaped."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
