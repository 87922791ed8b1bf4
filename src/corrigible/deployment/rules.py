"""Rules of authority: `VERB (ASSET | KIND | SERVER:PLACE | elsewhere) [where CONDITION]`.

Deny over approve over allow; nothing matches: deny.  A wildcard in a rule never covers an
oversight organ, and a bare `*` never covers `elsewhere`: these must be named, by the asset, by
a kind that begins with `oversight/`, by the word `elsewhere`, or (for a place that no asset
names) by a place.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

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
        """Compare; a value of another type does not hold."""
        if isinstance(got, str) != isinstance(self.value, str):
            return self.operator == "!="
        return {
            "<": lambda a, b: a < b,
            "<=": lambda a, b: a <= b,
            ">": lambda a, b: a > b,
            ">=": lambda a, b: a >= b,
            "==": lambda a, b: a == b,
            "!=": lambda a, b: a != b,
        }[self.operator](got, self.value)


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
        if kind.startswith("oversight/") and not self.kind.startswith("oversight/"):
            return False
        if kind == "elsewhere":
            return self.kind == "elsewhere"
        return fnmatchcase(kind, self.kind)

    def covers_verb(self, verb: str, *, by_run: bool) -> bool:
        """Whether the rule speaks of `verb`; `run` speaks of all that code does."""
        return self.verb in {"*", verb} or (by_run and self.verb == "run")


def parse_rule(verdict: Verdict, text: str, deployment: Deployment) -> Rule:
    """Read one rule of a deployment.  Raises RuleError."""
    shape = _SHAPE.match(text)
    if not shape:
        raise RuleError(f"must be VERB TARGET [where CONDITION], got {text!r}")
    verb, target, where = shape.groups()
    if verb != "*" and verb not in VERBS:
        raise RuleError(f"{verb!r} is no verb; the verbs are {', '.join(VERBS)} and *")
    conditions = tuple(_condition(part) for part in re.split(r"\s+and\s+", where)) if where else ()
    asset, kind, server, place = _target(target, deployment)
    return Rule(verdict, verb, asset, kind, server, place, conditions, text)


def _target(
    target: str, deployment: Deployment
) -> tuple[str | None, str | None, str | None, Pattern | None]:
    server, colon, glob = target.partition(":")
    if colon:
        if server not in deployment.servers:
            known = ", ".join(deployment.servers)
            raise RuleError(f"{server!r} in {target!r} is no server; the servers are {known}")
        try:
            return None, None, server, pattern_of(glob, deployment.servers[server])
        except PlaceError as error:
            raise RuleError(f"the place in {target!r} {error}") from None
    if target in deployment.assets:
        return target, None, None, None
    if any(fnmatchcase(kind, target) for kind in KINDS):
        return None, target, None, None
    raise RuleError(
        f"{target!r} is neither an asset, nor a kind (task, resource/*, oversight/stop, …), nor "
        f"SERVER:PLACE, nor elsewhere"
    )


def _condition(text: str) -> Condition:
    found = _CONDITION.match(text.strip())
    if not found:
        raise RuleError(
            f"the condition {text!r} must be NAME or NAME OP VALUE, where NAME is irreversible, "
            f"impact, power_gain, amount or arguments.NAME and OP one of < <= > >= == !="
        )
    name, operator, value = found.groups()
    if operator is None and name == "irreversible":
        return Condition(DECLARED, "==", value=True)
    if operator is None:
        return Condition(name, ">", 0.0) if name in WEIGHTS else Condition(name, "==", value=True)
    if value[0] in "\"'":
        return Condition(name, operator, value[1:-1])
    if value in {"true", "false"}:
        return Condition(name, operator, value == "true")
    try:
        return Condition(name, operator, float(value))
    except ValueError:
        return Condition(name, operator, value)


def rules_of(deployment: Deployment) -> tuple[Rule, ...]:
    """Return every rule of a checked deployment, the strictest first."""
    return tuple(
        parse_rule(verdict, text, deployment)  # type: ignore[arg-type]  # the three list names
        for verdict, _, text in deployment.authority.items()
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

    A condition on what `facts` does not hold counts as met in `allow` and as not met in
    `approve` and `deny`: an agent can choose its arguments so, and a world compiled without
    weights is compiled as if conditions on them were not there.
    """
    best = Ruling("deny", None)
    for server, patterns in act.within:
        ruling = _rule_at(act, rules, facts, server, patterns)
        if STRICTEST.index(ruling.verdict) > STRICTEST.index(best.verdict) or best.rule is None:
            best = ruling
    return best


def _holds(rule: Rule, facts: Facts) -> bool:
    unknown = rule.verdict == "allow"
    return all(
        condition.holds(facts[condition.name]) if condition.name in facts else unknown
        for condition in rule.conditions
    )


def _rule_at(  # noqa: PLR0917  (private, and each of the five is one thing)
    act: Act, rules: tuple[Rule, ...], facts: Facts, server: str, patterns: tuple[Pattern, ...]
) -> Ruling:
    """Rule on the act at the places of `server` that fit `patterns`, strictest list first."""
    closed: list[Pattern] = list(act.outside.get(server, ()))
    asked: Rule | None = None  # an approve rule that covers some of the places, all in `closed`
    for rule in rules:
        if not _holds(rule, facts) or not rule.covers_verb(act.verb, by_run=act.by_run):
            continue
        named = rule.names(act.verb, act.asset, act.kind, by_run=act.by_run)
        if not named and not _covers_places(rule, act, server):
            continue
        where = patterns if rule.place is None else (*patterns, rule.place)
        if find_place(where, tuple(closed)) is None:
            continue
        if named or (rule.verdict == "allow"):
            return Ruling(rule.verdict, rule)
        assert rule.place is not None  # noqa: S101  (not named, so it covers by its place)
        closed.append(rule.place)
        if rule.verdict == "approve":
            asked = asked or rule
        elif find_place(patterns, tuple(closed)) is None:
            return Ruling("deny", rule)
    return Ruling("approve", asked) if asked else Ruling("deny", None)


def _covers_places(rule: Rule, act: Act, server: str) -> bool:
    if rule.place is None or rule.server != server:
        return False
    organ = act.kind.startswith("oversight/")
    return not organ or literal(rule.place) is not None  # a wildcard covers no organ
