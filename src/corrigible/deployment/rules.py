"""Rules of authority: `VERB (ASSET | KIND | SERVER:PLACE | elsewhere) [where CONDITION]`.

Deny over approve over allow; nothing matches: deny.  A wildcard in a rule that grants (allow,
approve) never covers an oversight organ, and a bare `*` never covers `elsewhere`: these must be
named, by the asset, by a kind that begins with `oversight/`, by the word `elsewhere`, or (for a
place that no asset names) by a place.  A wildcard in a rule that denies covers all that it fits.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Literal

from corrigible.deployment.places import Pattern, PlaceError, find_place, literal, pattern_of
from corrigible.deployment.records import Deployment
from corrigible.drives import KINDS, VERBS

Verdict = Literal["allow", "approve", "deny"]
STRICTEST: tuple[Verdict, ...] = ("deny", "approve", "allow")

WEIGHTS = ("irreversible", "impact", "power_gain")
"""What a condition may read of a mode's computed weights, each in [0, 1] or so."""

DECLARED = "irreversible: true"
"""What a bare `where irreversible` reads: whether the tool's entry says so."""

_SHAPE = re.compile(r"^\s*(\S+)\s+(\S+)(?:\s+where\s+(.+?))?\s*$", re.DOTALL)
_CONDITION = re.compile(
    r"^(irreversible|impact|power_gain|amount|arguments\.[A-Za-z_]\w*)"
    r"(?:\s*(<=|>=|==|!=|<|>)\s*(\"[^\"]*\"|'[^']*'|[^\s]+))?$"
)
_AND = re.compile(r"""\s+and\s+(?=(?:[^"']|"[^"]*"|'[^']*')*$)""")  # one outside quotes


class RuleError(ValueError):
    """A rule that cannot be read; the message says what it must look like."""


@dataclass(frozen=True)
class Condition:
    """One comparison after `where`; a bare name asks whether it is true."""

    name: str
    operator: str
    value: float | str | bool

    @property
    def reads_weights(self) -> bool:
        """Whether it is decided by the world (a weight), not by one call's arguments."""
        return self.name in WEIGHTS

    def holds(self, got: float | str | bool) -> bool:
        """Compare as a server would that takes `"5"` for 5; what cannot be compared is unlike."""
        same = _like(got, self.value)
        if same is None:
            return self.operator == "!="
        return _COMPARE[self.operator](same, self.value)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def _like(got: float | str | bool, value: float | str | bool) -> float | str | bool | None:
    """Return `got` in the type of `value`, or None where it has no such form."""
    if isinstance(value, str):
        return got if isinstance(got, str) else str(got).lower()
    if isinstance(got, str) and isinstance(value, bool):
        return {"true": True, "false": False}.get(got.strip().lower())
    if isinstance(got, str):
        try:
            return float(got)
        except ValueError:
            return None
    return got


@dataclass(frozen=True)
class Rule:
    """One rule: exactly one of `asset`, `kind`, `place` says what it covers."""

    verdict: Verdict
    verb: str
    asset: str | None
    kind: str | None
    server: str | None
    place: Pattern | None
    conditions: tuple[Condition, ...]
    text: str

    def names(self, verb: str, asset: str, kind: str, *, by_run: bool) -> bool:
        """Whether the rule covers `verb` on an asset by its name or kind, wherever it is."""
        if not self.covers_verb(verb, by_run=by_run) or self.place is not None:
            return False
        if self.asset is not None:
            return self.asset == asset
        assert self.kind is not None  # noqa: S101  (one of the three is set, by `parse_rule`)
        return _kind_covers(self.kind, kind, everything=self.verdict == "deny")

    def covers_verb(self, verb: str, *, by_run: bool) -> bool:
        """Whether the rule speaks of `verb`; `run` speaks of all that code does."""
        return self.verb in {"*", verb} or (by_run and self.verb == "run")


def parse_rule(verdict: Verdict, text: str, deployment: Deployment) -> Rule:
    """Read one rule of a deployment.  Raises RuleError."""
    shape = _SHAPE.match(text)
    if not shape:
        hint = "; in a place, write a space as %20" if ":" in text else ""
        raise RuleError(f"must be VERB TARGET [where CONDITION], got {text!r}{hint}")
    verb, target, where = shape.groups()
    if verb != "*" and verb not in VERBS:
        raise RuleError(f"{verb!r} is no verb{_hint(verb, [*VERBS, '*'])}")
    conditions = tuple(_condition(part) for part in _AND.split(where)) if where else ()
    asset, kind, server, place = _target(target, deployment)
    return Rule(verdict, verb, asset, kind, server, place, conditions, text)


def _target(
    target: str, deployment: Deployment
) -> tuple[str | None, str | None, str | None, Pattern | None]:
    server, colon, glob = target.partition(":")
    if colon:
        if server not in deployment.servers:
            hint = _hint(server, list(deployment.servers))
            raise RuleError(f"{server!r} in {target!r} is no server{hint}")
        try:
            return None, None, server, pattern_of(glob, deployment.servers[server])
        except PlaceError as error:
            raise RuleError(f"the place in {target!r} {error}") from None
    if target in deployment.assets:
        return target, None, None, None
    if any(_kind_covers(target, kind) for kind in KINDS):
        return None, target, None, None
    if any(fnmatchcase(kind, target) for kind in KINDS):
        raise RuleError(f"{target!r} names no organ, nor elsewhere: write oversight/… or elsewhere")
    close = get_close_matches(target, [*deployment.assets, *KINDS], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise RuleError(
        f"{target!r} is neither an asset, nor a kind (task, resource/*, oversight/stop, …), nor "
        f"SERVER:PLACE, nor elsewhere{hint}"
    )


def _hint(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"


def _kind_covers(glob: str, kind: str, *, everything: bool = False) -> bool:
    """Whether a kind with wildcards covers a kind: organs and elsewhere only by their name.

    `everything`: a rule that denies covers whatever its wildcards fit.
    """
    if everything:
        return fnmatchcase(kind, glob)
    if kind == "elsewhere":
        return glob == "elsewhere"
    if kind.startswith("oversight/") and not glob.startswith("oversight/"):
        return False
    return fnmatchcase(kind, glob)


def _condition(text: str) -> Condition:
    found = _CONDITION.match(text.strip())
    if not found:
        raise RuleError(
            f"the condition {text!r} must be NAME or NAME OP VALUE, where NAME is irreversible, "
            f"impact, power_gain, amount or arguments.NAME and OP one of < <= > >= == !="
        )
    name, compare, value = found.groups()
    if compare is None and name == "irreversible":
        return Condition(DECLARED, "==", value=True)
    if compare is None:
        return Condition(name, ">", 0.0) if name in WEIGHTS else Condition(name, "==", value=True)
    if name == "irreversible" and value in {"true", "false"} and compare in {"==", "!="}:
        return Condition(DECLARED, compare, value == "true")
    read = _read_value(value)
    ordered = compare not in {"==", "!="} or not name.startswith("arguments.")
    if ordered and (isinstance(read, str | bool)):
        raise RuleError(f"the condition {text!r} compares with a number, got {value}")
    return Condition(name, compare, read)


def _read_value(value: str) -> float | str | bool:
    """Read the right side of a condition: quoted text, a truth, a number, else text."""
    if value[0] in "\"'":
        return value[1:-1]
    if value in {"true", "false"}:
        return value == "true"
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def rules_of(deployment: Deployment) -> tuple[Rule, ...]:
    """Return every rule of a checked deployment, the strictest first."""
    return tuple(
        parse_rule(verdict, text, deployment) for verdict, _, text in deployment.authority.items()
    )


@dataclass(frozen=True)
class Ruling:
    """What authority says of an act, and the rule that says it (None: no rule matched)."""

    verdict: Verdict
    rule: Rule | None


@dataclass(frozen=True)
class Act:
    """A verb on an asset (or `elsewhere`), at the places where a tool can have it.

    `within`: (server, pattern) sets; the act happens at a place that fits all patterns of one.
    `outside`: per server, the patterns of other assets, for an act elsewhere.
    """

    verb: str
    asset: str
    kind: str
    by_run: bool
    within: tuple[tuple[str, tuple[Pattern, ...]], ...]
    outside: Mapping[str, tuple[Pattern, ...]]


Facts = Mapping[str, float | str | bool]
"""What is known of an act: its weights, `DECLARED`, its amount, its arguments, by name."""


def rule_on(act: Act, rules: tuple[Rule, ...], facts: Facts) -> Ruling:
    """Return the most that authority grants to an act: the agent picks the place and arguments.

    A condition on what `facts` does not hold counts for the act: as met where its rule grants
    something, as not met where it takes something away.  An agent can choose its arguments so,
    and a world compiled without weights is compiled as if conditions on them were not there.
    """
    rulings = [
        _most_at(act, _that_hold(rules, facts, met), server, patterns)
        for server, patterns in act.within
        for met in ({"allow"}, {"allow", "approve"})
    ]
    return max(rulings, key=_permission, default=Ruling("deny", None))


def rule_on_every(act: Act, rules: tuple[Rule, ...], facts: Facts) -> Ruling:
    """Return what authority grants to an act wherever it happens: the least over its places.

    For one call: it acts at each of its places, or at one that nobody knows beforehand.  A
    condition on what `facts` does not hold counts against the act.
    """
    rulings = [
        _least_at(act, _that_hold(rules, facts, met), server, patterns)
        for server, patterns in act.within
        for met in ({"deny"}, {"deny", "approve"})
    ]
    return min(rulings, key=_permission, default=Ruling("deny", None))


def _permission(ruling: Ruling) -> tuple[int, bool]:
    """Order rulings by what they grant; of two alike, the one that a rule decides says more."""
    return STRICTEST.index(ruling.verdict), ruling.rule is not None


def _that_hold(rules: tuple[Rule, ...], facts: Facts, unknown_met_in: set[str]) -> tuple[Rule, ...]:
    """Return the rules whose conditions hold; what is unknown, in the lists `unknown_met_in`."""
    return tuple(
        rule
        for rule in rules
        if all(
            c.holds(facts[c.name]) if c.name in facts else rule.verdict in unknown_met_in
            for c in rule.conditions
        )
    )


_Covered = tuple[Rule, Pattern | None]
"""A rule that covers an act on a server: at the places of a pattern, or (None) at all of them."""


def _that_cover(act: Act, rules: tuple[Rule, ...], server: str) -> list[_Covered]:
    found: list[_Covered] = []
    organ = act.kind.startswith("oversight/")
    for rule in rules:
        if rule.names(act.verb, act.asset, act.kind, by_run=act.by_run):
            found.append((rule, None))
        elif (
            rule.place is not None
            and rule.server == server
            and rule.covers_verb(act.verb, by_run=act.by_run)
            and not (organ and rule.verdict != "deny" and literal(rule.place) is None)
        ):
            found.append((rule, rule.place))
    return found


def _most_at(
    act: Act, rules: tuple[Rule, ...], server: str, patterns: tuple[Pattern, ...]
) -> Ruling:
    """Rule on the act at the best of the places of `server` that fit `patterns`."""
    closed: list[Pattern] = list(act.outside.get(server, ()))  # where a stricter rule decides
    asked: Rule | None = None
    for rule, place in _that_cover(act, rules, server):  # the strictest list first
        where = patterns if place is None else (*patterns, place)
        if find_place(where, tuple(closed)) is None:
            continue
        if rule.verdict == "allow" or place is None:
            return Ruling(rule.verdict, rule)
        closed.append(place)
        if rule.verdict == "approve":
            asked = asked or rule
        elif find_place(patterns, tuple(closed)) is None:
            return Ruling("deny", rule)
    return Ruling("approve", asked) if asked else Ruling("deny", None)


def _least_at(
    act: Act, rules: tuple[Rule, ...], server: str, patterns: tuple[Pattern, ...]
) -> Ruling:
    """Rule on the act at the worst of the places of `server` that fit `patterns`."""
    outside = tuple(act.outside.get(server, ()))
    granted_at: list[Pattern] = list(outside)
    asked: Rule | None = None
    granted: Rule | None = None
    for rule, place in _that_cover(act, rules, server):
        where = patterns if place is None else (*patterns, place)
        # A stricter list comes first: what it has granted under approval, `allow` cannot widen.
        closed = outside if rule.verdict == "deny" else tuple(granted_at)
        if find_place(where, closed) is None:
            continue
        if rule.verdict == "deny":
            return Ruling("deny", rule)
        asked = rule if rule.verdict == "approve" and asked is None else asked
        granted = granted or rule
        if place is None:
            return Ruling("approve" if asked else "allow", asked or rule)
        granted_at.append(place)
        if find_place(patterns, tuple(granted_at)) is None:
            return Ruling("approve" if asked else "allow", asked or granted)
    return Ruling("deny", None)
