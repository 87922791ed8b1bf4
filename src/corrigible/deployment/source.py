"""YAML into plain values, each with its line and column; hostile until parsed.

Whatever is wrong comes back at once, as problems with their places: syntax, duplicate keys,
aliases, depth, size.  Nothing is built from a file's tags but text, numbers, booleans and null.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from corrigible.errors import ManifestError, Problem

LARGEST_BYTES = 1_000_000
DEEPEST = 40

Path_ = tuple[str | int, ...]
"""Where a value stands: the keys and indexes that lead to it."""


@dataclass
class Source:
    """A parsed file: `value`, and the (line, column) of each value and key by its path."""

    file: str
    value: Any = None
    values_at: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    keys_at: dict[Path_, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, path: Path_, text: str, *, key: bool = False) -> Problem:
        """Make a problem at `path`, or at the nearest place above it that the file has."""
        places = self.keys_at if key else self.values_at
        for length in range(len(path), -1, -1):
            if place := places.get(path[:length]) or self.values_at.get(path[:length]):
                return Problem(self.file, *place, text)
        return Problem(self.file, 0, 0, text)


def read_source(path: Path) -> Source:
    """Read a YAML file whole.

    Raises:
        ManifestError: it cannot be read, is too large, or is no YAML mapping of plain values.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            text = f"may be {LARGEST_BYTES:,} bytes at most, got {size:,}; is this a manifest?"
            raise ManifestError([Problem(str(path), 0, 0, text)])
        return parse_source(path.read_bytes().decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        text = f"must be UTF-8 text, byte {error.start} is {error.object[error.start]:#04x}"
        raise ManifestError([Problem(str(path), 0, 0, text)]) from None
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}"
        raise ManifestError([Problem(str(path), 0, 0, text)]) from None


def parse_source(text: str, file: str) -> Source:
    """Parse YAML text into a `Source`; its `problems` hold duplicate keys and strange tags.

    Raises:
        ManifestError: the text is empty, no YAML, too deep, or holds an alias.
    """
    source = Source(file)
    _refuse_aliases_and_depth(text, file)
    try:
        node = YAML(typ="safe", pure=True).compose(io.StringIO(text))
    except YAMLError as error:
        raise ManifestError([_syntax_problem(error, file)]) from None
    if node is None:
        raise ManifestError([Problem(file, 1, 1, "is empty; `corrigible init` drafts a manifest")])
    source.value = _plain(node, (), source)
    if not isinstance(source.value, dict):
        found = type(source.value).__name__
        raise ManifestError([source.problem((), f"must be a mapping of keys, got a {found}")])
    return source


def _syntax_problem(error: YAMLError, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = error.problem if isinstance(error, MarkedYAMLError) else str(error).splitlines()[0]
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    return Problem(file, line, column, f"is not YAML: {words or 'cannot be parsed'}")


def _refuse_aliases_and_depth(text: str, file: str) -> None:
    """Walk the events first: an alias inside an alias can stand for billions of values."""
    depth = 0
    try:
        for event in YAML(typ="safe", pure=True).parse(io.StringIO(text)):
            kind, mark = type(event).__name__, event.start_mark
            if kind == "AliasEvent":
                words = "aliases (`*name`) are not taken in a manifest; write the value out"
                raise ManifestError([Problem(file, mark.line + 1, mark.column + 1, words)])
            depth += kind.endswith("StartEvent") - kind.endswith("EndEvent")
            if depth > DEEPEST:
                words = f"may be nested {DEEPEST} deep at most"
                raise ManifestError([Problem(file, mark.line + 1, mark.column + 1, words)])
    except YAMLError as error:
        raise ManifestError([_syntax_problem(error, file)]) from None
    except RecursionError:
        words = f"may be nested {DEEPEST} deep at most"
        raise ManifestError([Problem(file, 0, 0, words)]) from None


def _plain(node: Node, path: Path_, source: Source) -> Any:
    source.values_at[path] = (node.start_mark.line + 1, node.start_mark.column + 1)
    if isinstance(node, ScalarNode):
        return _scalar(node, path, source)
    if isinstance(node, MappingNode):
        return _mapping(node, path, source)
    return [_plain(item, (*path, index), source) for index, item in enumerate(node.value)]


def _mapping(node: MappingNode, path: Path_, source: Source) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        if not isinstance(key_node, ScalarNode):
            source.problems.append(Problem(source.file, *place, "a key must be plain text"))
            continue
        key = str(key_node.value)
        if key in values:
            first = source.keys_at[*path, key][0]
            text = f"duplicate key {key!r}, first seen in line {first}; keep one of them"
            source.problems.append(Problem(source.file, *place, text))
            continue
        source.keys_at[*path, key] = place
        values[key] = _plain(value_node, (*path, key), source)
    return values


def _scalar(node: ScalarNode, path: Path_, source: Source) -> Any:
    tag = str(node.tag).rpartition(":")[2]
    text = str(node.value)
    try:
        if tag == "null":
            return None
        if tag == "bool":
            return text.lower() in {"true", "yes", "on"}
        if tag == "int":
            return int(text.replace("_", ""), 0) if len(text) < 100 else float(text)  # noqa: PLR2004
        if tag == "float":
            return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return text
    if tag not in {"str", "timestamp"}:
        source.problems.append(source.problem(path, f"has the tag {str(node.tag)!r}; write plain"))
    return text
