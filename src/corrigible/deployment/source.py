"""YAML into plain values, each with its line and column; hostile until parsed.

Whatever is wrong comes back at once, as problems with their places: syntax, duplicate keys,
aliases, tags, depth, size.  Values are text, numbers, booleans and null as YAML 1.2 reads them
(`no` and `010` are text); nothing is built from a file's tags.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from corrigible.errors import ManifestError, Problem

LARGEST_BYTES = 256_000
"""A thousand tools fit; the parser reads some 50 kB in a second."""
DEEPEST = 40

Path_ = tuple[str | int, ...]
"""Where a value stands: the keys and indexes that lead to it."""


@dataclass
class Source:
    """A parsed file: `value`, and the (line, column) of each value and key by its path.

    `overrides`: for each path that was set from outside the file, what set it (`--set KEY`).
    """

    file: str
    value: Any = None
    values_at: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    keys_at: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    overrides: dict[Path_, str] = field(default_factory=dict)

    def problem(self, path: Path_, text: str, *, key: bool = False) -> Problem:
        """Make a problem at `path`, or at the nearest place above it that the file has."""
        places = self.keys_at if key else self.values_at
        prefixes = range(len(path), -1, -1)
        for length in prefixes:
            if path[:length] in self.overrides:
                return Problem(self.overrides[path[:length]], 0, 0, text)
        for length in prefixes:
            if place := places.get(path[:length]) or self.values_at.get(path[:length]):
                return Problem(self.file, *place, text)
        return Problem(self.file, 0, 0, text)


def read_source(path: Path) -> Source:
    """Read a YAML file whole.

    Raises:
        ManifestError: it cannot be read, is too large, or is no YAML mapping of plain values.
    """
    try:
        with path.open("rb") as file:  # not by its stated size: a device states none
            data = file.read(LARGEST_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        text = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ManifestError([Problem(str(path), 0, 0, text)]) from None
    if len(data) > LARGEST_BYTES:
        raise ManifestError([Problem(str(path), 0, 0, _too_large())])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        words = f"must be UTF-8 text, byte {error.start} is {error.object[error.start]:#04x}"
        raise ManifestError([Problem(str(path), 0, 0, words)]) from None
    return parse_source(text, str(path))


def parse_source(text: str, file: str) -> Source:
    """Parse YAML text into a `Source`; its `problems` hold duplicate keys and strange tags.

    Raises:
        ManifestError: the text is empty, too large, no YAML, too deep, or holds an alias.
    """
    source = Source(file)
    if len(text) > LARGEST_BYTES:
        raise ManifestError([Problem(file, 0, 0, _too_large())])
    try:
        _fill(source, YAML(typ="safe", pure=True).parse(io.StringIO(text.removeprefix("\ufeff"))))
    except ManifestError as error:
        raise ManifestError([*source.problems, *error.problems]) from None
    except Exception as error:  # noqa: BLE001  (a parser of hostile text: whatever it raises, it is no YAML)
        raise ManifestError([*source.problems, _syntax_problem(error, text, file)]) from None
    if () not in source.values_at:
        raise ManifestError([Problem(file, 1, 1, "is empty; `corrigible init` drafts a manifest")])
    if not isinstance(source.value, dict):
        found = "list" if isinstance(source.value, list) else f"single value {source.value!r:.80}"
        raise ManifestError([source.problem((), f"must be a mapping of keys, got a {found}")])
    return source


def _too_large() -> str:
    return f"may be {LARGEST_BYTES:,} bytes at most, and holds more; is this a manifest?"


def _syntax_problem(error: Exception, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
    elif isinstance(position := getattr(error, "position", None), int):
        before = text[:position]
        line, column = before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1
    else:
        line, column = 0, 0
    words = error.problem if isinstance(error, MarkedYAMLError) else str(error).splitlines()[:1]
    words = (words[0] if words else "") if isinstance(words, list) else words
    return Problem(file, line, column, f"is not YAML: {words or 'cannot be parsed'}")


# -- events into values --------------------------------------------------------------------

_END = (StreamEndEvent, MappingEndEvent, SequenceEndEvent, DocumentEndEvent)


def _fill(source: Source, events: Iterator[Event]) -> None:
    """Read the one document of a stream into `source`."""
    documents = 0
    for event in events:
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                _refuse(source, event, "holds a second document; a manifest is one")
        elif isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent | AliasEvent):
            empty = isinstance(event, ScalarEvent) and event.value == "" and event.style is None
            if not empty:  # what a file of comments parses to
                source.value = _value(source, event, events, ())


def _refuse(source: Source, event: Event, text: str) -> None:
    raise ManifestError([Problem(source.file, *_place(event), text)])


def _place(event: Event) -> tuple[int, int]:
    return (event.start_mark.line + 1, event.start_mark.column + 1)


def _value(source: Source, event: Event, events: Iterator[Event], path: Path_) -> Any:
    """Read the value that `event` starts; its place is kept under `path`."""
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
        # An alias of an alias can stand for billions of values.
        words = "anchors and aliases (`&name`, `*name`) are not taken in a manifest; write it out"
        _refuse(source, event, words)
    if len(path) >= DEEPEST:
        _refuse(source, event, f"may be nested {DEEPEST} deep at most")
    source.values_at[path] = _place(event)
    tag = getattr(event, "tag", None)
    if tag not in {None, "!", "tag:yaml.org,2002:str"}:
        text = f"has the tag {str(tag)!r}; write the value without it"
        source.problems.append(Problem(source.file, *_place(event), text))
    if isinstance(event, ScalarEvent):
        return _scalar(source, event)
    if isinstance(event, MappingStartEvent):
        return _mapping(source, events, path)
    values: list[Any] = []
    while not isinstance(item := next(events), _END):
        values.append(_value(source, item, events, (*path, len(values))))
    return values


def _mapping(source: Source, events: Iterator[Event], path: Path_) -> dict[str, Any]:
    values: dict[str, Any] = {}
    while not isinstance(event := next(events), _END):
        place = _place(event)
        nowhere = Source(source.file)  # for what is read only to be passed over
        if not isinstance(event, ScalarEvent):
            _value(nowhere, event, events, path)
            _value(nowhere, next(events), events, path)
            source.problems.append(Problem(source.file, *place, "a key must be plain text"))
            continue
        key = _text(source, event)
        if key in values:
            first = source.keys_at[*path, key][0]
            text = f"duplicate key {key!r}, first seen in line {first}; keep one of them"
            source.problems.append(Problem(source.file, *place, text))
            _value(nowhere, next(events), events, (*path, key))
            continue
        source.keys_at[*path, key] = place
        values[key] = _value(source, next(events), events, (*path, key))
    return values


_CONSTANTS: Mapping[str, bool | None] = MappingProxyType({
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
})  # fmt: skip
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,99})|0o[0-7]{1,99}|0x[0-9a-fA-F]{1,99}")
_DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def _scalar(source: Source, event: ScalarEvent) -> Any:
    """Read a plain scalar by the core schema of YAML 1.2; a quoted one is text."""
    text = _text(source, event)
    if event.style or event.tag is not None:
        return text
    constant = _CONSTANTS.get(text, text)
    if constant is not text:
        return constant
    if _INTEGER.fullmatch(text):
        return int(text, 0)
    leading_zero = re.match(r"[-+]?0[0-9]", text)  # octal to some readers: text, read by its field
    if _SPECIAL.fullmatch(text) or (_DECIMAL.fullmatch(text) and not leading_zero):
        return float(re.sub(r"\.(?=[iInN])", "", text))
    return text


def _text(source: Source, event: ScalarEvent) -> str:
    """Return a scalar's text; characters that no text of a manifest may hold are a problem."""
    text = str(event.value)
    strange = next((c for c in text if _is_strange(c)), None)
    if strange is None:
        return text
    words = f"holds the character U+{ord(strange):04X}, which is no text; leave it out"
    source.problems.append(Problem(source.file, *_place(event), words))
    return "".join(c for c in text if not _is_strange(c))


def _is_strange(character: str) -> bool:
    """Control characters steer terminals; half a surrogate pair cannot be written down."""
    code = ord(character)
    return (code < 0x20 and character not in "\n\t") or 0x7F <= code < 0xA0 or code >> 11 == 0x1B  # noqa: PLR2004
