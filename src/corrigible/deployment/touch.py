"""What a call touches: (server, tool, arguments) -> effects on assets.

One function serves the audit, which asks with the arguments open ("what can calls of this tool
do at all?"), and the guard, which asks with the arguments of one call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from corrigible.deployment.places import (
    ANYWHERE,
    Pattern,
    PlaceError,
    arguments_of,
    below,
    find_place,
    literal,
    overlap,
    pattern_of,
    template_pattern,
)
from corrigible.deployment.records import Asset, Deployment, Tool
from corrigible.deployment.rules import (
    STRICTEST,
    Act,
    Facts,
    Rule,
    Ruling,
    Verdict,
    rule_on,
    rule_on_every,
)
from corrigible.drives import RUN_MEANS, Verb, drives_served
from corrigible.errors import CorrigibleError

ELSEWHERE = "elsewhere"


class UnknownToolError(CorrigibleError, LookupError):
    """A call of a tool that the manifest does not hold: unknown tools are denied."""


@dataclass(frozen=True)
class Effect:
    """A verb on an asset, or on `elsewhere`.

    `within`: for each server, the patterns that the place must fit, all of them; what is known
    exactly is one literal pattern.  `by_run`: it comes from code that the call runs.
    """

    verb: Verb
    asset: str
    kind: str
    by_run: bool
    within: tuple[tuple[str, tuple[Pattern, ...]], ...]

    @property
    def drives(self) -> frozenset[str]:
        """The drives that it serves."""
        return drives_served(self.verb, self.kind)  # type: ignore[arg-type]  # a checked kind


@dataclass(frozen=True)
class Touched:
    """What a call touches.  `note` says why it had to be taken to reach more than it names."""

    tool: str
    effects: tuple[Effect, ...]
    note: str = ""

    @property
    def assets(self) -> tuple[str, ...]:
        """The assets touched, in the manifest's order, `elsewhere` last."""
        return tuple(dict.fromkeys(effect.asset for effect in self.effects))


def touch(
    deployment: Deployment, server: str, tool: str, arguments: Mapping[str, Any] | None = None
) -> Touched:
    """Return every effect that a call may have.

    `arguments` None leaves them all open: the union over all calls.  An argument that is missing
    is open; of a list, each element is a place of the call.  One that is neither text, whole
    number nor a list of a few of these, or a place that has no canonical form, is taken to be
    anywhere on the server.
    An asset is touched if some place fits both; what is deleted goes with all that is below it.

    Raises:
        UnknownToolError: the manifest has no such tool.
        PlaceError: the patterns hold so many wildcards that they cannot be compared.
    """
    full = f"{server}.{tool}"
    record = deployment.tools.get(full)
    if record is None:
        raise UnknownToolError(f"{full!r} is no tool of {deployment.name!r}: it is denied")
    patterns, note = _places_of_call(deployment, server, record, arguments)
    effects: list[Effect] = []
    direct = tuple(verb for verb in record.verbs if verb != "run")
    if direct:
        effects += _effects(deployment, direct, {server: patterns}, by_run=False)
    if "run" in record.verbs:
        sandbox = _sandbox(deployment, server, record)
        effects += _effects(deployment, RUN_MEANS, sandbox, by_run=True)
    return Touched(full, tuple(effects), note)


_Where = tuple[tuple[Pattern, ...], ...]
"""Alternatives; a place must fit all patterns of one of them."""


def _places_of_call(
    deployment: Deployment, server: str, tool: Tool, arguments: Mapping[str, Any] | None
) -> tuple[_Where, str]:
    """Return the alternatives of places where a call acts, and a note where it is a guess."""
    record = deployment.servers[server]
    reach = [pattern_of(glob, record) for glob in tool.reach] if tool.reach else [ANYWHERE]
    if tool.target is None:
        return tuple((r,) for r in reach), ""
    found: dict[tuple[Pattern, ...], None] = {}
    notes: dict[str, None] = {}
    for template in tool.target:
        for values in _fillings(template, arguments):
            if unread := _unreadable(template, arguments, values):
                note = f"the argument {unread!r} cannot be read as places: anywhere on {server}"
                return ((ANYWHERE,),), note
            try:
                target = template_pattern(template, record, values)
            except PlaceError as error:
                note = f"a place of the call {error}: taken to be anywhere on {server}"
                return ((ANYWHERE,),), note
            if literal(target) is None or arguments is None:
                found |= {(target, r): None for r in reach}
                opened = [n for n in arguments_of(template) if n not in values]
                notes |= {f"the argument {n!r} is not known: taken to be any": None for n in opened}
                continue
            # An exact place is where the call acts, whatever was stated of its reach.
            found[target,] = None
            at = literal(target)
            if find_place((target,), (template_pattern(template, record),)) is not None:
                notes[f"{at!r} leaves the target {template!r}"] = None
            if find_place((target,), tuple(reach)) is not None:
                notes[f"{at!r} lies outside the stated reach of the tool"] = None
    return tuple(found), "; ".join(notes) if arguments is not None else ""


def _unreadable(
    template: str, arguments: Mapping[str, Any] | None, values: Mapping[str, str]
) -> str:
    """Return an argument that was passed and fills nothing in: a server may read `..` in it."""
    given = arguments or {}
    found = (n for n in arguments_of(template) if n not in values and given.get(n) is not None)
    return next(found, "")


_MOST_FILLINGS = 64


def _fillings(template: str, arguments: Mapping[str, Any] | None) -> list[dict[str, str]]:
    """Return the texts that one call puts into a template: several where it passes a list."""
    choices: list[list[tuple[str, str]]] = []
    for name in dict.fromkeys(arguments_of(template)):
        value = (arguments or {}).get(name)
        texts = [_as_text(item) for item in (value if isinstance(value, list | tuple) else [value])]
        if texts and len(texts) <= _MOST_FILLINGS and None not in texts:
            choices.append([(name, text) for text in texts if text is not None])
    if prod(len(choice) for choice in choices) > _MOST_FILLINGS:
        choices = [choice for choice in choices if len(choice) == 1]
    return [dict(filling) for filling in product(*choices)]


def _as_text(value: Any) -> str | None:
    """Return what a server would read; a fraction may be written in several ways: None."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    return value if isinstance(value, str) else None


def _sandbox(deployment: Deployment, server: str, tool: Tool) -> dict[str, _Where]:
    if tool.sandbox is not None:
        return {
            name: tuple((pattern_of(glob, deployment.servers[name]),) for glob in globs)
            for name, globs in tool.sandbox.items()
        }
    host = deployment.servers[server].where
    return {
        name: ((ANYWHERE,),)
        for name, other in deployment.servers.items()
        if name == server or other.where == host
    }


_Within = tuple[tuple[str, tuple[Pattern, ...]], ...]


def _effects(
    deployment: Deployment, verbs: tuple[Verb, ...], where: dict[str, _Where], *, by_run: bool
) -> list[Effect]:
    at_or_below = {
        server: tuple(tuple(below(p) for p in patterns) for patterns in alternatives)
        for server, alternatives in where.items()
    }
    found: list[Effect] = []
    for name in (*deployment.assets, ELSEWHERE):
        asset = deployment.assets.get(name)
        kind = ELSEWHERE if asset is None else asset.kind
        deleted = _within(deployment, asset, at_or_below) if "delete" in verbs else ()
        touched = _within(deployment, asset, where)
        found += [
            Effect(verb, name, kind, by_run, within)
            for verb in verbs
            if (within := deleted if verb == "delete" else touched)
        ]
    return found


def _within(deployment: Deployment, asset: Asset | None, where: dict[str, _Where]) -> _Within:
    """Return where in `where` the places of an asset lie; of None, those that no asset names."""
    if asset is None:
        return tuple(
            (server, patterns)
            for server, alternatives in where.items()
            for patterns in alternatives
            if find_place(patterns, named_places(deployment, server)) is not None
        )
    return tuple(
        (server, (*patterns, at))
        for server, alternatives in where.items()
        for at in asset_patterns(deployment, asset, server)
        for patterns in alternatives
        if overlap(*patterns, at)
    )


def asset_patterns(deployment: Deployment, asset: Asset, server: str) -> tuple[Pattern, ...]:
    """Return the patterns of an asset's places on one server."""
    globs = asset.at.get(server, ())
    return tuple(pattern_of(glob, deployment.servers[server]) for glob in globs)


def named_places(deployment: Deployment, server: str) -> tuple[Pattern, ...]:
    """Return the patterns of every asset's places on one server: the rest is `elsewhere`."""
    return tuple(
        pattern
        for asset in deployment.assets.values()
        for pattern in asset_patterns(deployment, asset, server)
    )


def ruling_on(
    deployment: Deployment,
    effect: Effect,
    rules: tuple[Rule, ...],
    facts: Facts,
) -> Ruling:
    """Return the most that authority grants to one effect (see `rules.rule_on`)."""
    return rule_on(act_of(deployment, effect), rules, facts)


def ruling_on_call(
    deployment: Deployment, effect: Effect, rules: tuple[Rule, ...], facts: Facts
) -> Ruling:
    """Return what authority grants to one effect of one call, wherever that call acts.

    The least over its places (see `rules.rule_on_every`): a call that copies from one place to
    another acts at both, and one whose place is not known may act at any.
    """
    return rule_on_every(act_of(deployment, effect), rules, facts)


def decides(effect: Effect, ruling: Ruling) -> bool:
    """Whether a ruling counts in deciding the whole call that has the effect.

    A bystander is touched on the way to something else: where no rule speaks of it, the rest of
    the call decides.  Every other effect counts, and what no rule matches is denied.
    """
    return ruling.rule is not None or not effect.kind.startswith("bystander/")


def act_of(deployment: Deployment, effect: Effect) -> Act:
    """Return what the rules of authority read of an effect."""
    outside = (
        {server: named_places(deployment, server) for server, _ in effect.within}
        if effect.asset == ELSEWHERE
        else {}
    )
    return Act(effect.verb, effect.asset, effect.kind, effect.by_run, effect.within, outside)


_RAISED_BY: Mapping[str, frozenset[str]] = {
    "task": frozenset({"advance", "write"}),
    "resource": frozenset({"acquire"}),
    "access": frozenset({"acquire"}),
    "tools": frozenset({"acquire"}),
    "information": frozenset({"read", "acquire"}),
    "people": frozenset({"send"}),
    "agents": frozenset({"delegate"}),
    "self": frozenset({"write"}),
}


def raises(verb: str, kind: str) -> bool:
    """Whether `verb` takes an asset of `kind` one level up: what was not held is held then."""
    return kind != "self/process" and verb in _RAISED_BY.get(kind.partition("/")[0], frozenset())


def is_indivisible(tool: Tool) -> bool:
    """Whether every call of the tool touches all that any call touches: no argument says where."""
    return tool.target is None or not any(arguments_of(t) for t in tool.target)


def strictest(verdicts: list[Verdict]) -> Verdict:
    """Return the strictest of some verdicts; of none, `deny`."""
    return next((verdict for verdict in STRICTEST if verdict in verdicts), "deny")
