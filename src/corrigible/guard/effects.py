"""What one tool's calls do and what authority says of it, found fast and kept.

What a call touches and how the rules read it depends on few of its arguments: those in the
tool's target and those in the rules' conditions.  So answers are kept by the values of these, and
by the kind of place that they name (see `kinds`): one that is kept is the one that would be
found again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import isfinite
from typing import Any

from corrigible.deployment.listing import plain
from corrigible.deployment.places import arguments_of, overlap
from corrigible.deployment.records import Deployment
from corrigible.deployment.rules import DECLARED, Condition, Facts, Rule, Verdict
from corrigible.deployment.touch import (
    ELSEWHERE,
    Effect,
    Touched,
    decides,
    named_places,
    ruling_on,
    ruling_on_call,
    strictest,
    touch,
)
from corrigible.drives import DRIVES
from corrigible.guard.alike import look_of
from corrigible.guard.amounts import AmountError, amount_of
from corrigible.guard.call import DecidedEffect
from corrigible.guard.kinds import Kind, Kinds
from corrigible.guard.weights import IRREVERSIBLE_FROM, WeightTable

_KEPT = 1024  # answers kept for each tool, by values and by kinds
_LONGEST_KEY = 2048  # characters of arguments: longer ones are looked at anew
_MOST_ITEMS = 64  # of a list: `touch` takes a longer one to be anything
_EXACT = 2**53  # beyond it some readers round a whole number to another one
MISSING_WEIGHTS = "weights.missing"

Key = tuple[Any, ...]
"""The values of the arguments that are read, each with its type: 1, 1.0 and true are three."""

_OPEN = ("open",)  # stands for what no template can fill in: an object, a long list


@dataclass(frozen=True)
class RuledEffect:
    """One effect of a call with its ruling; `counts`: whether it decides the whole call.

    `times`: at how many stated places one call has it; `by_run`: code may have it any number of
    times.
    """

    decided: DecidedEffect
    counts: bool
    by_run: bool
    times: int


@dataclass(frozen=True)
class Ruled:
    """What a call touches and what authority says of each effect."""

    effects: tuple[RuledEffect, ...]
    drives: tuple[str, ...]
    rests_on: tuple[str, ...]
    note: str
    irreversible: bool

    @cached_property
    def decided(self) -> tuple[DecidedEffect, ...]:
        """Every effect and its verdict."""
        return tuple(effect.decided for effect in self.effects)

    @cached_property
    def verdict(self) -> Verdict:
        """The strictest verdict of the effects that count; `deny` where none does."""
        return strictest([effect.decided.verdict for effect in self.effects if effect.counts])

    @cached_property
    def deciding(self) -> DecidedEffect | None:
        """The first effect that counts and has that verdict; None where none counts."""
        counting = (effect.decided for effect in self.effects if effect.counts)
        return next((one for one in counting if one.verdict == self.verdict), None)


class Ruler:
    """Says what authority grants to the calls of one tool.  Thread-safe.

    `known`: the arguments that the tool's schema knows, None where it says nothing of them: one
    that it does not know is not what the server reads, so it fills no template.
    """

    def __init__(
        self,
        deployment: Deployment,
        rules: Sequence[Rule],
        table: WeightTable | None,
        name: str,
        *,
        known: frozenset[str] | None = None,
    ) -> None:
        self.name, self.known = name, known
        self.server, _, self.short = name.partition(".")
        self.tool = deployment.tools[name]
        self._deployment, self._rules, self._table = deployment, tuple(rules), table
        templates = self.tool.target or ()
        targets = {n for template in templates for n in arguments_of(template)}
        self.targets = frozenset(targets if known is None else targets & known)
        self._conditions = _conditions_on_arguments(self._rules)
        self._reads_amount = any(c.name == "amount" for r in self._rules for c in r.conditions)
        amount = {self.tool.amount.arg} if self.tool.amount else set()
        self.amount_known = known is None or amount <= known
        self.reads = tuple(
            sorted(
                self.targets
                | (amount if self._reads_amount and self.amount_known else set())
                | {n for n in self._conditions if known is None or n in known}
            )
        )
        self._named = frozenset(targets | amount | set(self._conditions))
        self._near = self._nearby()
        self._covering: dict[tuple[str, str, bool], tuple[Rule, ...]] = {}
        self._kinds = self._kinds_of_places(amount)
        self._by_kind: dict[Kind, Ruled] = {}
        self._kept = lru_cache(maxsize=_KEPT)(self._ruled_by_kind)

    @property
    def named(self) -> frozenset[str]:
        """Every argument that the manifest names for this tool."""
        return self._named

    def ruled(self, arguments: Mapping[str, Any]) -> Ruled:
        """Return what a call with these arguments touches, each effect with its ruling.

        Raises:
            PlaceError: its places hold so many wildcards that they cannot be compared.
        """
        size, key = 0, []
        for name in self.reads:
            value = _frozen(arguments.get(name))
            size += _size(value)
            key.append(value)
        if size > _LONGEST_KEY:
            return self.ruled_anew(tuple(key))
        return self._kept(tuple(key))

    def _ruled_by_kind(self, key: Key) -> Ruled:
        """Return what `ruled_anew` finds, or found for a call of the same kind."""
        kind = self._kinds.of(key)
        if kind is None:
            return self.ruled_anew(key)
        ruled = self._by_kind.get(kind)
        if ruled is None:
            ruled = self.ruled_anew(key)
            if len(self._by_kind) >= _KEPT:
                self._by_kind.clear()
            self._by_kind[kind] = ruled
        return ruled

    def ruled_anew(self, key: Key) -> Ruled:
        """Return what `ruled` keeps, from the values of the arguments that are read."""
        arguments = {n: _thawed(v) for n, v in zip(self.reads, key, strict=True) if v is not None}
        filled = {n: v for n, v in arguments.items() if n in self.targets}
        where = self._near
        touched = touch(where, self.server, self.short, filled)
        if touched.note:  # it leaves the target, or nobody knows where it acts
            where = self._deployment
            touched = touch(where, self.server, self.short, filled)
        facts = self._facts(arguments)
        effects = tuple(
            self._ruled(place, effect, facts)
            for place, effect in self._with_all_places(where, touched, filled)
        )
        served = {drive for effect in touched.effects for drive in effect.drives}
        return Ruled(
            effects=effects,
            drives=tuple(drive for drive in DRIVES if drive in served),
            rests_on=self._rests_on(touched),
            note=touched.note,
            irreversible=self._is_irreversible(effects),
        )

    def may_pass(self) -> bool:
        """Whether some call of the tool may be let through, or put to an operator."""
        effects = touch(self._deployment, self.server, self.short).effects
        verdicts: dict[str, list[Any]] = {}
        for effect in effects:
            facts = {DECLARED: self.tool.irreversible, **self._weights(effect)}
            ruling = ruling_on(self._deployment, effect, self._rules, facts)
            if decides(effect, ruling):
                verdicts.setdefault(effect.asset, []).append(ruling.verdict)
        return any(strictest(found) != "deny" for found in verdicts.values())

    # -- what it touches -------------------------------------------------------------------

    def _with_all_places(
        self, where: Deployment, touched: Touched, filled: Mapping[str, Any]
    ) -> Iterator[tuple[Deployment, Effect]]:
        """Yield each effect with the deployment to rule it in, no place of the call left out.

        A bystander that no rule speaks of decides nothing (see `touch.decides`), so a place that
        it alone covers counts as elsewhere: what is granted at another place must not speak for
        this one.
        """
        unspoken = {e.asset for e in touched.effects if self._is_unspoken(e)}
        if not unspoken:
            yield from ((where, effect) for effect in touched.effects)
            return
        kept = {name: asset for name, asset in where.assets.items() if name not in unspoken}
        bare = where.model_copy(update={"assets": kept})
        yield from ((where, e) for e in touched.effects if e.asset != ELSEWHERE)
        beside = touch(bare, self.server, self.short, filled).effects
        yield from ((bare, e) for e in beside if e.asset == ELSEWHERE)

    def _is_unspoken(self, effect: Effect) -> bool:
        return effect.kind.startswith("bystander/") and not any(
            rule.place is None for rule in self._covering_rules(effect)
        )

    def _nearby(self) -> Deployment:
        """Return the deployment with those assets alone that any call inside its target touches.

        A place that fits the target lies in no asset that the open target does not meet, so a
        call that stays inside it is decided alike, and sooner.
        """
        near = set(touch(self._deployment, self.server, self.short).assets)
        kept = {name: asset for name, asset in self._deployment.assets.items() if name in near}
        return self._deployment.model_copy(update={"assets": kept})

    def _kinds_of_places(self, amount: set[str]) -> Kinds:
        """Return what tells the kinds of its places apart: by all that these are compared with."""
        server = self._deployment.servers[self.server]
        speaking = [  # what code does, it does wherever the call acts
            rule.place
            for rule in self._rules
            if rule.place is not None
            and rule.server == self.server
            and any(rule.covers_verb(verb, by_run=False) for verb in self.tool.verbs)
        ]
        places = (*named_places(self._near, self.server), *speaking)
        other = {*self._conditions, *(amount if self._reads_amount else ())}
        return Kinds(self.tool, server, reads=self.reads, other=other, patterns=places)

    def _rests_on(self, touched: Touched) -> tuple[str, ...]:
        found: list[str] = []
        if any(not effect.by_run for effect in touched.effects):
            if self.tool.target is None:
                found.append(
                    f"{self.server}: no target is stated, so a call may act anywhere on it"
                )
            else:
                found.append(
                    f"{self.server}: it opens the very place that the call names (links and races "
                    "can lead elsewhere)"
                )
        if "run" in self.tool.verbs:
            found.append(
                "the sandbox that the manifest states for the code that is run"
                if self.tool.sandbox is not None
                else "nothing: no sandbox is stated, so the code may touch all on its host"
            )
        if touched.note:
            found.append(plain(touched.note, 300))
        return tuple(found)

    # -- what the rules say of it ----------------------------------------------------------

    def _ruled(self, where: Deployment, effect: Effect, facts: Facts) -> RuledEffect:
        rules = self._covering_rules(effect)
        times = len({(server, patterns[0]) for server, patterns in effect.within})
        if self._table is None and any(_reads_weights(rule, effect) for rule in rules):
            decided = DecidedEffect(effect.verb, effect.asset, effect.kind, "deny", MISSING_WEIGHTS)
            return RuledEffect(decided, counts=True, by_run=effect.by_run, times=times)
        ruling = ruling_on_call(where, effect, rules, {**facts, **self._weights(effect)})
        text = "" if ruling.rule is None else ruling.rule.text
        decided = DecidedEffect(effect.verb, effect.asset, effect.kind, ruling.verdict, text)
        return RuledEffect(decided, decides(effect, ruling), effect.by_run, times)

    def _covering_rules(self, effect: Effect) -> tuple[Rule, ...]:
        """Return the rules that can speak of an effect, wherever it happens."""
        key = (effect.verb, effect.asset, effect.by_run)
        rules = self._covering.get(key)
        if rules is None:
            rules = tuple(
                rule
                for rule in self._rules
                if rule.covers_verb(effect.verb, by_run=effect.by_run)
                and (
                    rule.place is not None
                    or rule.names(effect.verb, effect.asset, effect.kind, by_run=effect.by_run)
                )
            )
            self._covering[key] = rules
        servers = {server for server, _ in effect.within}
        return tuple(rule for rule in rules if rule.place is None or rule.server in servers)

    def _weights(self, effect: Effect) -> dict[str, float]:
        if self._table is None:
            return {}
        weights = self._table.of(self.name, effect.verb, effect.asset)
        return {} if weights is None else weights.facts()

    def _is_irreversible(self, effects: tuple[RuledEffect, ...]) -> bool:
        if self.tool.irreversible or self._table is None:
            return self.tool.irreversible
        found = (self._table.of(self.name, e.decided.verb, e.decided.asset) for e in effects)
        return any(w is not None and w.irreversible >= IRREVERSIBLE_FROM for w in found)

    def _facts(self, arguments: Mapping[str, Any]) -> dict[str, float | str | bool]:
        """Return what conditions may read; what is left out counts against the call."""
        facts: dict[str, float | str | bool] = {DECLARED: self.tool.irreversible}
        if self._reads_amount:
            try:
                amount = amount_of(self.tool, arguments)
            except AmountError:
                amount = None
            if amount is not None:
                facts["amount"] = amount
        for name, conditions in self._conditions.items():
            value = arguments.get(name)
            if isinstance(value, str | bool | int | float) and all(
                _compares(value, condition) for condition in conditions
            ):
                facts[f"arguments.{name}"] = value
        return facts


def _conditions_on_arguments(rules: Sequence[Rule]) -> dict[str, list[Condition]]:
    found: dict[str, list[Condition]] = {}
    for rule in rules:
        for condition in rule.conditions:
            if condition.name.startswith("arguments."):
                found.setdefault(condition.name.partition(".")[2], []).append(condition)
    return found


def _compares(value: float | str | bool, condition: Condition) -> bool:
    """Whether a value compares with a condition's as every server would compare them.

    Text that only looks like the condition's (`DROP`, `drop `) may be that to a server, and text
    in place of a number may be one: nobody can tell.
    """
    if isinstance(condition.value, bool):
        return isinstance(value, bool) or value in {"true", "false"}
    if not isinstance(value, str):
        return not (isinstance(condition.value, str) and isinstance(value, float))
    if isinstance(condition.value, str):
        return value == condition.value or look_of(value) != look_of(condition.value)
    try:
        return isfinite(float(value)) and value.isascii() and "_" not in value
    except ValueError:
        return False


def _reads_weights(rule: Rule, effect: Effect) -> bool:
    if not any(condition.reads_weights for condition in rule.conditions):
        return False
    place = rule.place
    return place is None or any(
        server == rule.server and overlap(*patterns, place) for server, patterns in effect.within
    )


def _frozen(value: Any) -> Any:
    """Return a value as part of a key: no two values that are read apart have one key."""
    kind = type(value)
    if value is None or kind is str:
        return value
    if kind is bool or kind is float:
        return kind, value
    if kind is int:
        return (kind, value) if -_EXACT <= value <= _EXACT else _OPEN
    if kind is list and len(value) <= _MOST_ITEMS:
        return list, tuple(_frozen(item) for item in value)
    return _OPEN


def _size(value: Any) -> int:
    if type(value) is str:
        return len(value)
    return sum(map(_size, value)) + 8 if type(value) is tuple else 8


def _thawed(value: Any) -> Any:
    if type(value) is not tuple:
        return value
    if value == _OPEN:
        return {}
    kind, inner = value
    return [_thawed(item) for item in inner] if kind is list else inner
