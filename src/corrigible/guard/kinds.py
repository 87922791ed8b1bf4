"""The kind of a place: which of the patterns that decisions on a tool's calls compare it with fit.

Places of one kind are touched and ruled alike, so what was found for one holds for all of them,
and a place that was never seen before costs a few look-ups.  Whatever is out of the ordinary (an
argument that is missing, no text or a list, a place that leaves its target, patterns with many
wildcards, a deletion above something) has no kind here, and is looked at anew.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from corrigible.deployment.places import (
    LONGEST_MATCHED,
    Pattern,
    PlaceError,
    arguments_of,
    beginning,
    below,
    canonical,
    expression,
    literal,
    pattern_of,
    template_pattern,
)
from corrigible.deployment.records import Server, Tool

Kind = tuple[Any, ...]
"""Equal for calls that authority cannot tell apart."""

_UNDER: Pattern = below(("x",))[1:]
# A path that is its own canonical form wherever case counts: no escape, no step, no scheme.
_WORD = r"[A-Za-z0-9_@=,+ -][A-Za-z0-9_@=,+ .-]*"
_PLAIN = re.compile(rf"/?{_WORD}(?:/{_WORD})*")


class Index:
    """Patterns, to be asked which of them a place fits."""

    def __init__(self, patterns: Collection[Pattern]) -> None:
        """Index them; `whole` is False where one holds too many wildcards to be matched here."""
        self.whole = True
        self._exact: dict[str, tuple[int, ...]] = {}
        self._below: dict[str, tuple[int, ...]] = {}
        self._others: list[tuple[str, Callable[[str], Any], int]] = []
        self._above: set[str] = set()  # places with something of ours under them, or just at them
        for number, pattern in enumerate(dict.fromkeys(patterns)):
            self._add(number, pattern)

    def _add(self, number: int, pattern: Pattern) -> None:
        exact = literal(pattern)
        under = literal(pattern[: -len(_UNDER)]) if pattern[-len(_UNDER) :] == _UNDER else None
        if exact is not None:
            self._exact[exact] = (*self._exact.get(exact, ()), number)
            self._above |= {exact, *_above(exact)}
        elif under is not None:
            self._below[under] = (*self._below.get(under, ()), number)
            self._above |= set(_above(under))
        elif (matching := expression(pattern)) is not None:
            self._others.append((beginning(pattern), matching.fullmatch, number))
        else:
            self.whole = False

    def fits(self, place: str) -> tuple[int, ...]:
        """Return the numbers of the patterns that a place fits: one tuple for each set of them."""
        found = self._exact.get(place, ())
        under = self._below
        if under:
            at = place.find("/")
            while at >= 0:
                if (more := under.get(place[:at])) is not None:
                    found += more
                at = place.find("/", at + 1)
            found += under.get(place, ())
        for start, fits, number in self._others:
            if place.startswith(start) and fits(place):
                found += (number,)
        return found

    def parts(self, place: str) -> bool:
        """Whether a pattern may fit a part of what lies at and under a place, and not all of it."""
        return (
            place in {"", "/"}
            or place in self._above
            or any(
                start.startswith(place) or place.startswith(start) for start, _, _ in self._others
            )
        )


def _above(place: str) -> list[str]:
    return [place[:at] for at, letter in enumerate(place) if letter == "/"]


class Kinds:
    """Tells the kinds of one tool's calls apart.

    Args:
        tool: its entry in the manifest.
        server: the record of its server.
        reads: the arguments that decisions on it read, in the order in which they are given.
        other: those of them whose values count by themselves, whatever the place.
        patterns: what its places are compared with: where assets are, and where rules hold.
    """

    def __init__(
        self,
        tool: Tool,
        server: Server,
        *,
        reads: Sequence[str],
        other: Collection[str],
        patterns: Collection[Pattern],
    ) -> None:
        self._server = server
        self._index = Index(patterns)
        self._deletes = "delete" in tool.verbs
        self._folds = server.case == "insensitive"
        self._other = tuple(at for at, name in enumerate(reads) if name in other)
        self._targets: tuple[_Target, ...] = ()
        self._known = False
        try:
            canonical("/x", server)
            reach = [pattern_of(glob, server) for glob in tool.reach or ()]
            templates = tuple(tool.target or ())
            self._targets = tuple(_Target(t, server, reads) for t in templates)
        except PlaceError:
            return
        self._reach = Index(reach) if reach else None
        self._known = bool(
            templates
            and self._index.whole
            and all(target.usable for target in self._targets)
            and (self._reach is None or self._reach.whole)
        )

    def of(self, key: Sequence[Any]) -> Kind | None:
        """Return the kind of a call by the values of its arguments; None: it has none.

        A value is as `effects` has it in its keys: text, or a pair of a type and a value.
        """
        if not self._known:
            return None
        places: dict[str, tuple[int, ...]] = {}
        for target in self._targets:
            place = self._place(target, key)
            if place is None:
                return None
            if place not in places:
                places[place] = self._index.fits(place)
        return (*places.values(), *[key[at] for at in self._other])

    def _place(self, target: "_Target", key: Sequence[Any]) -> str | None:
        """Return the one place that a target names in a call, inside of what was stated of it."""
        values = target.values(key)
        if values is None:
            return None
        text = target.head + "".join([value + after for value, after in values])
        if _PLAIN.fullmatch(text) and (text[0] == "/" or self._server.root is None):
            place = text.lower() if self._folds else text
        else:
            try:
                filled = {n: v for n, (v, _) in zip(target.names, values, strict=True)}
                place = "".join(template_pattern(target.template, self._server, filled))
            except PlaceError:
                return None
        if len(place) > LONGEST_MATCHED or not target.holds(place):
            return None
        if self._reach is not None and not self._reach.fits(place):
            return None
        return None if self._deletes and self._index.parts(place) else place


class _Target:
    """One template of a tool's target, taken apart."""

    def __init__(self, template: str, server: Server, reads: Sequence[str]) -> None:
        self.template = template
        self.names = arguments_of(template)
        parts = re.split(r"\{[^{}]+\}", template)
        self.head, self._after = parts[0], parts[1:]
        # A name that is not read is one that the schema does not know: its place stays open.
        self.usable = len(set(self.names)) == len(self.names) and set(self.names) <= set(reads)
        self._at = [reads.index(name) for name in self.names] if self.usable else []
        self._open = Index([template_pattern(template, server)])
        self.usable = self.usable and self._open.whole
        self.holds: Callable[[str], Any] = self._open.fits

    def values(self, key: Sequence[Any]) -> list[tuple[str, str]] | None:
        """Return the text that fills in each argument, with the literal text behind it."""
        found: list[tuple[str, str]] = []
        before = self.head
        for at, after in zip(self._at, self._after, strict=True):
            value = key[at]
            if type(value) is tuple and value[0] is int:
                value = str(value[1])
            if type(value) is not str or (before and value.startswith("/")):
                return None  # open, or no text; or it starts anew behind other text
            found.append((value, after))
            before = "x"
        return found
