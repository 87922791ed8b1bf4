"""JSON, with comments and trailing commas allowed, and with the place of every value."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]  # public in CPython, untyped
from typing import Any

from corrigible.errors import ManifestError, Problem

_DEEPEST = 64
_GAP = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*[\s\S]*?\*/)*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORDS = {"true": True, "false": False, "null": None}

Steps = tuple[str | int, ...]
"""The keys and indexes that lead to a value."""


@dataclass
class Json:
    """A file's value, the offset of each value by its steps, and what is wrong so far."""

    file: str
    text: str
    value: Any = None
    offsets: dict[Steps, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, steps: Steps, text: str) -> Problem:
        """Make a problem at a value, or at the nearest one above it that the file has."""
        for length in range(len(steps), -1, -1):
            if (offset := self.offsets.get(steps[:length])) is not None:
                return self.problem_at(offset, text)
        return Problem(self.file, 0, 0, text)

    def problem_at(self, offset: int, text: str) -> Problem:
        """Make a problem at an offset of the text."""
        before = self.text[:offset]
        return Problem(self.file, before.count("\n") + 1, offset - before.rfind("\n"), text)


def parse_json(text: str, file: str) -> Json:
    """Parse a text; comments (`//`, `/* */`) and trailing commas are allowed.

    Raises:
        ManifestError: it is no JSON: the first place where that shows.
    """
    source = Json(file, text.removeprefix("\ufeff"))
    reader = _Reader(source)
    source.value, end = reader.value(reader.skip(0), ())
    if (end := reader.skip(end)) != len(source.text):
        reader.fail(end, "nothing may follow the value")
    return source


@dataclass
class _Reader:
    source: Json

    def fail(self, at: int, rule: str) -> None:
        got = self.source.text[at : at + 12]
        tail = f", got {got!r}" if got else "; the file ends here"
        raise ManifestError([self.source.problem_at(at, f"is no JSON: {rule}{tail}")])

    def skip(self, at: int) -> int:
        match = _GAP.match(self.source.text, at)
        return match.end() if match else at

    def value(self, at: int, steps: Steps) -> tuple[Any, int]:
        self.source.offsets[steps] = at
        first = self.source.text[at : at + 1]
        if len(steps) > _DEEPEST:
            self.fail(at, f"values may be nested {_DEEPEST} deep at most")
        if first == "{":
            return self.mapping(at + 1, steps)
        if first == "[":
            return self.sequence(at + 1, steps)
        if first == '"':
            return self.string(at)
        if match := _NUMBER.match(self.source.text, at):
            return self.number(at, match[0]), match.end()
        for word, value in _WORDS.items():
            if self.source.text.startswith(word, at):
                return value, at + len(word)
        self.fail(at, "a value must stand here")
        raise AssertionError

    def number(self, at: int, text: str) -> Any:
        if len(text) > 100:  # noqa: PLR2004  (Python refuses to read thousands of digits)
            self.fail(at, "a number may have 100 digits at most")
        return json.loads(text)

    def string(self, at: int) -> tuple[str, int]:
        try:
            text, end = scanstring(self.source.text, at + 1, True)  # noqa: FBT003  (positional in C)
        except json.JSONDecodeError as error:
            self.fail(error.pos, f"a text breaks off or holds what it must escape ({error.msg})")
            raise AssertionError from error
        return str(text), int(end)

    def mapping(self, at: int, steps: Steps) -> tuple[Mapping[str, Any], int]:
        found: dict[str, Any] = {}
        at = self.skip(at)
        while self.source.text[at : at + 1] != "}":
            key_at = at
            if self.source.text[at : at + 1] != '"':
                self.fail(at, 'a key in double quotes or "}" must stand here')
            key, at = self.string(at)
            if key in found:
                text = f"{key!r} stands twice in one mapping; keep one"
                self.source.problems.append(self.source.problem_at(key_at, text))
            at = self.skip(at)
            if self.source.text[at : at + 1] != ":":
                self.fail(at, "a colon must follow the key")
            found[key], at = self.value(self.skip(at + 1), (*steps, key))
            at = self.separator(at, "}")
        return found, at + 1

    def sequence(self, at: int, steps: Steps) -> tuple[list[Any], int]:
        found: list[Any] = []
        at = self.skip(at)
        while self.source.text[at : at + 1] != "]":
            item, at = self.value(at, (*steps, len(found)))
            found.append(item)
            at = self.separator(at, "]")
        return found, at + 1

    def separator(self, at: int, closing: str) -> int:
        at = self.skip(at)
        if self.source.text[at : at + 1] == ",":
            return self.skip(at + 1)
        if self.source.text[at : at + 1] != closing:
            self.fail(at, f"a comma or {closing!r} must stand here")
        return at
