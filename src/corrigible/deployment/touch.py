"""What a call touches: (server, tool, arguments) -> effects on assets.

One function serves the audit, which asks with the arguments open ("what can calls of this tool
do at all?"), and the guard, which asks with the arguments of one call.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from corrigible.deployment.places import (
    ANYWHERE,
    Pattern,
    PlaceError,
    arguments_of,
    find_place,
    overlap,
    pattern_of,
    template_pattern,
)
from corrigible.deployment.records import Asset, Deployment, Tool
from corrigible.deployment.rules import Act, Facts, Rule, Ruling, Verdict, rule_on
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

    `arguments` None leaves them all open: the union over all calls.  An argument that is
    missing, or that is no text or number, is open; a place that has no canonical form is taken
    to be anywhere on the server.  An asset is touched if some place fits both.

    Raises:
        UnknownToolError: the manifest has no such tool.
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
    values = _plain_arguments(arguments)
    try:
        targets = [template_pattern(t, record, values) for t in tool.target]
    except PlaceError as error:
        return ((ANYWHERE,),), f"a place of the call {error}: taken to be anywhere on {server}"
    if arguments is not None:
        # An exact place is where the call acts, whatever reach was stated for it.
        return tuple((target,) for target in targets), ""
    return tuple((target, r) for target in targets for r in reach), ""


def _plain_arguments(arguments: Mapping[str, Any] | None) -> dict[str, str]:
    plain: dict[str, str] = {}
    for name, value in (arguments or {}).items():
        if isinstance(value, str) or (
            isinstance(value, int | float) and not isinstance(value, bool)
        ):
            plain[name] = str(value)
    return plain


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


def _effects(
    deployment: Deployment, verbs: tuple[Verb, ...], where: dict[str, _Where], *, by_run: bool
) -> list[Effect]:
    found: list[Effect] = []
    for name, asset in deployment.assets.items():
        within = tuple(
            (server, (*patterns, at))
            for server, alternatives in where.items()
            for at in asset_patterns(deployment, asset, server)
            for patterns in alternatives
            if overlap(*patterns, at)
        )
        if within:
            found += [Effect(verb, name, asset.kind, by_run, within) for verb in verbs]
    elsewhere = tuple(
        (server, patterns)
        for server, alternatives in where.items()
        for patterns in alternatives
        if find_place(patterns, named_places(deployment, server)) is not None
    )
    if elsewhere:
        found += [Effect(verb, ELSEWHERE, ELSEWHERE, by_run, elsewhere) for verb in verbs]
    return found


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
    outside = (
        {server: named_places(deployment, server) for server, _ in effect.within}
        if effect.asset == ELSEWHERE
        else {}
    )
    act = Act(effect.verb, effect.asset, effect.kind, effect.by_run, effect.within, outside)
    return rule_on(act, rules, facts)


def is_indivisible(tool: Tool) -> bool:
    """Whether every call of the tool touches all that any call touches: no argument says where."""
    return tool.target is None or not any(arguments_of(t) for t in tool.target)


def strictest(verdicts: list[Verdict]) -> Verdict:
    """Return the strictest of some verdicts; of none, `deny`."""
    for verdict in ("deny", "approve", "allow"):
        if verdict in verdicts:
            return verdict  # type: ignore[return-value]  # one of the three literals
    return "deny"
