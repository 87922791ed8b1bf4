"""Regular expressions of schemas, matched in linear time.

A backtracking matcher can be made to run for ever by text that its pattern's author did not
think of.  So a pattern is walked as a set of states, one step a character: the subset of
ECMA-262 that needs no memory.  What needs it (references back, looking around) is refused.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

from corrigible.errors import GuardError

_MOST_STATES = 2_000
_MOST_KEPT = 20_000
_MOST_STEPS = 2_000_000  # of one match: states times characters


class PatternError(GuardError, ValueError):
    """A pattern that cannot be matched in linear time, or is none."""


@dataclass(eq=False)
class _State:
    """One place in a pattern: `takes` a character (as a class of `re`), or only leads on."""

    takes: re.Pattern[str] | None = None
    asks: str = ""  # "^", "$", "b" or "B": what must be so here
    after: list["_State"] = field(default_factory=list)


@dataclass
class _Part:
    first: _State
    last: _State


class _Parser:
    """Reads a pattern into states, by descent."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.made = 0

    def state(self, takes: re.Pattern[str] | None = None, asks: str = "") -> _State:
        """Make one state."""
        self.made += 1
        if self.made > _MOST_STATES:
            raise PatternError(f"needs more than {_MOST_STATES:,} states")
        return _State(takes, asks)

    def peek(self) -> str:
        """Return the next character, or nothing."""
        return self.text[self.at : self.at + 1]

    def whole(self) -> _Part:
        """Read all of the text."""
        part = self.choice(0)
        if self.at < len(self.text):
            raise PatternError(f"has an unmatched {self.peek()!r}")
        return part

    def choice(self, depth: int) -> _Part:
        """Read alternatives."""
        if depth > 50:  # noqa: PLR2004  (groups in groups)
            raise PatternError("has groups 50 deep")
        first, last = self.state(), self.state()
        while True:
            branch = self.sequence(depth)
            first.after.append(branch.first)
            branch.last.after.append(last)
            if self.peek() != "|":
                return _Part(first, last)
            self.at += 1

    def sequence(self, depth: int) -> _Part:
        """Read what stands in a row."""
        first = last = self.state()
        while self.peek() not in {"", "|", ")"}:
            part = self.repeated(depth)
            last.after.append(part.first)
            last = part.last
        return _Part(first, last)

    def repeated(self, depth: int) -> _Part:
        """Read one thing and how often it stands."""
        began = self.at
        part = self.thing(depth)
        ended = self.at
        bounds = self.quantifier()
        if bounds is None:
            return part
        least, most = bounds
        if self.peek() == "?":
            self.at += 1  # lazy: the same texts match
        resume = self.at

        def again() -> _Part:
            self.at = began
            copy = self.thing(depth)
            assert self.at == ended  # noqa: S101  (the same text is read the same way)
            return copy

        first = last = self.state()
        for _ in range(least):
            copy = again()
            last.after.append(copy.first)
            last = copy.last
        if most is None:
            copy, loop = again(), self.state()
            last.after.append(loop)
            loop.after.append(copy.first)
            copy.last.after.append(loop)
            last = loop
        else:
            end = self.state()
            for _ in range(most - least):
                copy = again()
                last.after += [copy.first, end]
                last = copy.last
            last.after.append(end)
            last = end
        self.at = resume
        return _Part(first, last)

    def quantifier(self) -> tuple[int, int | None] | None:
        """Read `*`, `+`, `?` or `{n,m}`."""
        mark = self.peek()
        if mark in {"*", "+", "?"} and mark:
            self.at += 1
            return (1 if mark == "+" else 0), (1 if mark == "?" else None)
        found = re.compile(r"\{(\d{1,4})(,)?(\d{1,4})?\}").match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        least = int(found[1])
        most = None if found[2] and not found[3] else int(found[3] or found[1])
        if most is not None and most < least:
            raise PatternError(f"repeats from {least} down to {most}")
        return least, most

    def thing(self, depth: int) -> _Part:
        """Read one character, class, group or assertion."""
        mark = self.peek()
        self.at += 1
        if mark in {"*", "+", "?"}:
            raise PatternError(f"has nothing before {mark!r}")
        if mark == "(":
            return self.group(depth)
        if mark in {"^", "$"}:
            only = self.state(asks=mark)
        elif mark == ".":
            only = self.state(_class(r"[^\n\r\u2028\u2029]"))
        elif mark == "[":
            only = self.state(self.character_class())
        elif mark == "\\":
            only = self.escape()
        else:
            only = self.state(_class(re.escape(mark)))
        return _Part(only, only)

    def group(self, depth: int) -> _Part:
        """Read a group, whatever it captures."""
        opened = re.compile(r"\?(:|P?<[A-Za-z_]\w*>)").match(self.text, self.at)
        if opened:
            self.at = opened.end()
        elif self.peek() == "?":
            raise PatternError("looks around or sets flags")
        inner = self.choice(depth + 1)
        if self.peek() != ")":
            raise PatternError("has a group without an end")
        self.at += 1
        return inner

    def escape(self) -> _State:
        """Read what follows a backslash outside a class."""
        letter = self.peek()
        if letter in {"b", "B"} and letter:
            self.at += 1
            return self.state(asks=letter)
        return self.state(_class(self.escaped()))

    def escaped(self) -> str:
        """Read what follows a backslash, and return it as `re` writes it."""
        found = _ESCAPE.match(self.text, self.at)
        if found is None:
            raise PatternError(f"has the escape \\{self.peek()}, which needs memory or is unknown")
        self.at = found.end()
        letter, code = found[0][0], found[1] or found[2] or found[3]
        if code is not None:
            return re.escape(chr(int(code, 16))) if int(code, 16) < 0x110000 else "[^\\W\\w]"  # noqa: PLR2004
        if letter in "dDwWsS":
            return f"\\{letter}"
        if letter == "0":
            return "\\x00"
        return f"\\{letter}" if letter in "tnrfv" else re.escape(letter)

    def character_class(self) -> re.Pattern[str]:
        """Read `[...]`."""
        parts = ["[^" if self.peek() == "^" else "["]
        self.at += self.peek() == "^"
        while self.peek() != "]":
            letter = self.peek()
            if not letter:
                raise PatternError("has a class without an end")
            self.at += 1
            if letter == "\\" and self.peek() == "b":
                self.at += 1
                parts.append("\\x08")
            elif letter == "\\":
                parts.append(self.escaped())
            else:
                parts.append("-" if letter == "-" else re.escape(letter))
        self.at += 1
        if len(parts) == 1:
            return _class("[^\\W\\w]" if parts[0] == "[" else "[\\W\\w]")
        return _class("".join([*parts, "]"]))


_ESCAPE = re.compile(
    r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}|0(?![0-9])|[dDwWsStnrfv]"
    r"|[^A-Za-z0-9]"
)


@lru_cache(maxsize=1024)
def _class(text: str) -> re.Pattern[str]:
    """One character, as `re` matches it: in time that does not depend on the text."""
    if re.search(r"--|&&|~~|\|\|", text):  # sets, one day, to `re`; and what to ECMA?
        raise PatternError("has a class that two readers read in two ways")
    try:
        return re.compile(text, re.ASCII if "\\s" not in text.lower() else 0)
    except re.error as error:
        raise PatternError(f"has a class that cannot be read: {error.msg}") from None


_Here = frozenset[_State]


class Pattern:
    """A compiled pattern; `found_in` looks for it anywhere in a text, as schemas do."""

    def __init__(self, text: str) -> None:
        parser = _Parser(text)
        part = parser.whole()
        self._first, self._last, self._states = part.first, part.last, parser.made
        self._steps: dict[tuple[_Here, str, str], _Here] = {}

    def found_in(self, text: str) -> bool:
        """Whether the pattern fits some part of a text.

        Raises:
            PatternError: the text is so long that even a linear walk takes too many steps.
        """
        if len(text) * self._states > _MOST_STEPS:
            raise PatternError(f"meets a text of {len(text):,} characters, which is too long")
        here: _Here = frozenset()
        for at in range(len(text) + 1):
            near = text[at - 1 : at] if at else "", text[at : at + 1]
            edge = _edge(*near)
            here = self._step(here, edge, "closed")
            if self._last in here:
                return True
            if near[1]:
                here = self._step(here, near[1], "taken")
        return False

    def _step(self, here: _Here, what: str, how: str) -> _Here:
        key = (here, what, how)
        after = self._steps.get(key)
        if after is None:
            after = self._closed(here, what) if how == "closed" else _taken(here, what)
            if len(self._steps) >= _MOST_KEPT:
                self._steps.clear()
            self._steps[key] = after
        return after

    def _closed(self, here: _Here, edge: str) -> _Here:
        """Add what is reached without a character; the search may begin at any place."""
        found: set[_State] = set()
        stack = [*here, self._first]
        while stack:
            state = stack.pop()
            if state in found or (state.asks and state.asks not in edge):
                continue
            found.add(state)
            if state.takes is None:
                stack += state.after
        return frozenset(found)


def _taken(here: _Here, letter: str) -> _Here:
    return frozenset(
        after
        for state in here
        if state.takes is not None and state.takes.fullmatch(letter)
        for after in state.after
    )


def _edge(before: str, after: str) -> str:
    """Return which assertions hold between two characters."""
    words = [c.isascii() and (c.isalnum() or c == "_") for c in (before, after)]
    return (
        ("" if before else "^")
        + ("" if after else "$")
        + ("b" if words[0] != words[1] and (before or after) else "B")
    )
