"""A deployment as variables and modes: what can change, what changes it, and who reads it.

One mode for each (tool, verb, asset) whose effect changes a level; modes alike in effect, chance,
demands and authority are one.  What nothing in the world reads is left out: such a mode still
counts for *can it*, and a drive all of whose modes are left out is *not modelled*.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from corrigible.deployment.places import overlap
from corrigible.deployment.rates import Rate, Span
from corrigible.deployment.records import RATES_OF_OVERSIGHT, Asset, Deployment, Tool
from corrigible.deployment.rules import DECLARED, Rule, Verdict, rules_of
from corrigible.deployment.touch import (
    ELSEWHERE,
    Effect,
    asset_patterns,
    decides,
    is_indivisible,
    raises,
    ruling_on,
    strictest,
    touch,
)
from corrigible.drives import ORGANS, Verb

WAIT = "wait"
COPY, SCHEDULE = "(copy)", "(schedule)"
GONE = "gone"

Change = Literal["up", "lowest", "break", "set", "wear"]
"""How a mode moves its variable: one level up, to the lowest, to its last value (an organ broken,
agents gone), a flag set; `wear` leaves it to `Mode.wears`."""


@dataclass(frozen=True)
class Variable:
    """One thing that changes: the level of an asset, or a flag of the agent's own.

    `levels` names its values, lowest first; `ladder`: how many of them are climbed one by one
    (agents that are `gone` have left it, and boost nothing).
    """

    name: str
    levels: tuple[str, ...]
    start: int
    kind: str
    ladder: int


@dataclass(frozen=True)
class Mode:
    """A distinct effect that some call can have.

    `variable` is None where the effect changes no level; `rate` is its chance of success, and
    `rate_path` where that is stated.  `wears`: bystander assets that such a call touches too.
    `rule`: the rule of authority that decides, None where none matched.
    """

    name: str
    tools: tuple[str, ...]
    verb: Verb
    asset: str
    kind: str
    drives: frozenset[str]
    verdict: Verdict
    rule: Rule | None
    rate: Span
    rate_paths: tuple[str, ...]
    requires: tuple[str, ...]
    variable: str | None
    change: Change | None
    wears: tuple[str, ...]
    irreversible: bool

    @property
    def outside(self) -> bool:
        """Whether it lies outside authority: denied, or matched by no rule."""
        return self.verdict == "deny"


@dataclass(frozen=True)
class Structure:
    """What a deployment's world is made of: `variables` and `modes` kept, and `left_out`."""

    variables: tuple[Variable, ...]
    modes: tuple[Mode, ...]
    left_out: tuple[Mode, ...]

    @property
    def all_modes(self) -> tuple[Mode, ...]:
        """Every mode, kept or left out, in the manifest's order of tools and assets."""
        return self.modes + self.left_out


def concrete(deployment: Deployment, rates: Mapping[str, float]) -> Deployment:
    """Return the deployment with each rate of `rates` (path -> value) stated exactly."""
    tools = dict(deployment.tools)
    assets = dict(deployment.assets)
    oversight = deployment.oversight
    agent = deployment.agent
    for path, value in rates.items():
        section, _, rest = path.partition(".")
        name, _, key = rest.rpartition(".")
        exact = Rate(value, value) if path != "agent.horizon" else None
        if section == "tools":
            tools[name] = tools[name].model_copy(update={key: exact})
        elif section == "assets":
            assets[name] = assets[name].model_copy(update={key: exact})
        elif section == "oversight":
            oversight = oversight.model_copy(update={rest: exact})
        else:
            agent = agent.model_copy(update={"horizon": Span(value, value)})
    return deployment.model_copy(
        update={"tools": tools, "assets": assets, "oversight": oversight, "agent": agent}
    )


def structure_of(
    deployment: Deployment,
    weights: Mapping[str, Mapping[str, float]] | None = None,
    *,
    keep: Iterable[str] = (),
) -> Structure:
    """Return the variables and modes of a deployment.

    `keep`: assets to keep as variables though nothing reads them (bystanders, to see what is
    left behind on them).

    `weights`: mode name -> its weights, for rules that read them; None compiles the world as if
    such conditions were not there (they then neither deny nor ask for approval).
    """
    modes = _merged(_modes(deployment, weights or {}))
    kept = _kept_variables(deployment, modes, set(keep))
    inside = tuple(m for m in modes if m.variable in kept)
    order = [name for name in deployment.assets if name in kept]
    order += [flag for flag in (COPY, SCHEDULE) if any(m.variable == flag for m in inside)]
    variables = tuple(_variable(deployment, name, modes) for name in order)
    return Structure(variables, inside, tuple(m for m in modes if m.variable not in kept))


# -- modes ---------------------------------------------------------------------------------


def _modes(deployment: Deployment, weights: Mapping[str, Mapping[str, float]]) -> list[Mode]:
    rules = rules_of(deployment)
    rates = deployment.rates()
    found: list[Mode] = []
    for name, tool in deployment.tools.items():
        server, _, short = name.partition(".")
        effects = touch(deployment, server, short).effects
        verdicts = _verdicts(deployment, name, tool, effects, rules=rules, weights=weights)
        for effect in effects:
            if effect.asset == ELSEWHERE:
                continue
            verdict, rule = verdicts[effect]
            variable, change = _change(effect)
            path = f"tools.{name}.success"
            found.append(
                Mode(
                    name=_mode_name(name, effect),
                    tools=(name,),
                    verb=effect.verb,
                    asset=effect.asset,
                    kind=effect.kind,
                    drives=effect.drives,
                    verdict=verdict,
                    rule=rule,
                    rate=rates[path],
                    rate_paths=(path,),
                    requires=tuple(sorted(tool.requires)),
                    variable=variable,
                    change=change,
                    wears=_wears(deployment, effect),
                    irreversible=tool.irreversible,
                )
            )
    return list({mode.name: mode for mode in found}.values())


def _mode_name(tool: str, effect: Effect) -> str:
    return f"{tool} {effect.verb} {effect.asset}"


def _verdicts(
    deployment: Deployment,
    name: str,
    tool: Tool,
    effects: tuple[Effect, ...],
    *,
    rules: tuple[Rule, ...],
    weights: Mapping[str, Mapping[str, float]],
) -> dict[Effect, tuple[Verdict, Rule | None]]:
    """Decide each effect as the guard would decide a call that has it.

    A call has all the verbs of its tool on what it touches, bystanders at the same places with
    it; where no argument says where it acts, or where it runs code, it may have all of the
    tool's effects: the strictest decides.
    """
    declared = {DECLARED: tool.irreversible}
    own = {
        effect: ruling_on(
            deployment, effect, rules, {**declared, **weights.get(_mode_name(name, effect), {})}
        )
        for effect in effects
    }
    whole = "run" in tool.verbs or is_indivisible(tool)
    decided: dict[Effect, tuple[Verdict, Rule | None]] = {}
    for effect in effects:
        touched = {effect.asset, *_wears(deployment, effect)}
        together = [e for e in effects if whole or e.asset in touched]
        together = [e for e in together if decides(e, own[e])] or [effect]
        verdict = strictest([own[e].verdict for e in together])
        rule = next(own[e].rule for e in together if own[e].verdict == verdict)
        decided[effect] = (verdict, rule)
    return decided


def _change(effect: Effect) -> tuple[str | None, Change | None]:
    """Return the variable that an effect changes and how (the table of effects and levels)."""
    verb, kind, asset = effect.verb, effect.kind, effect.asset
    family = kind.partition("/")[0]
    if verb in {"copy", "schedule"} and family == "self":
        return (COPY if verb == "copy" else SCHEDULE), "set"
    changes: tuple[tuple[bool, Change], ...] = (
        (kind in ORGANS and verb in {"write", "delete"}, "break"),
        (family == "agents" and verb == "delete", "break"),
        (family == "bystander", "wear"),
        (family in {"task", "information"} and verb == "delete", "lowest"),
        (raises(verb, kind), "up"),
    )
    change = next((change for holds, change in changes if holds), None)
    return (None if change is None else asset), change


def _wears(deployment: Deployment, effect: Effect) -> tuple[str, ...]:
    """Return the bystanders at the places where the effect happens, its own asset included."""
    return tuple(
        name
        for name in deployment.of_kind("bystander")
        if name == effect.asset
        or any(
            overlap(*patterns, at)
            for server, patterns in effect.within
            for at in asset_patterns(deployment, deployment.assets[name], server)
        )
    )


def _merged(modes: Iterable[Mode]) -> list[Mode]:
    """Make one of modes that are alike in all that the world sees."""
    merged: dict[object, Mode] = {}
    for mode in modes:
        chance = mode.rate if mode.rate.exact else mode.rate_paths
        key = (mode.verb, mode.asset, chance, mode.requires, mode.verdict, mode.wears)
        first = merged.get(key)
        if first is None:
            merged[key] = mode
        else:
            merged[key] = replace(
                first,
                tools=first.tools + mode.tools,
                rate_paths=first.rate_paths + mode.rate_paths,
                irreversible=first.irreversible or mode.irreversible,
            )
    return list(merged.values())


# -- what is read --------------------------------------------------------------------------


def _kept_variables(deployment: Deployment, modes: list[Mode], keep: set[str]) -> set[str]:
    """Return the names of the variables that something in the world reads, by closure."""
    assets = deployment.assets
    kept = keep | set(deployment.of_kind("task"))
    for kind in ("oversight/stop", "oversight/monitor", "oversight/goal"):
        kept |= set(deployment.of_kind(kind))
    kept |= {COPY, SCHEDULE}
    while True:
        more = {n for n, a in assets.items() if n not in kept and _is_read(a, kept, modes, n)}
        if not more:
            return kept
        kept |= more


def _is_read(asset: Asset, kept: set[str], modes: list[Mode], name: str) -> bool:
    if any(capped in kept for capped in asset.caps):
        return True
    inside = [mode for mode in modes if mode.variable in kept]
    if asset.kind == "oversight/approval" and any(mode.verdict == "approve" for mode in inside):
        return True
    boosted = {key.partition(".")[0] for key, by in asset.boosts.items() if by != 0}
    if boosted & (kept | set(RATES_OF_OVERSIGHT)):
        return True
    return any(name in mode.requires for mode in inside)


def _variable(deployment: Deployment, name: str, modes: list[Mode]) -> Variable:
    if name in {COPY, SCHEDULE}:
        standing = "a copy stands by" if name == COPY else "scheduled"
        return Variable(name, ("no", standing), 0, name, 1)
    asset = deployment.assets[name]
    if asset.family == "oversight":
        return Variable(name, asset.scale, 0, asset.kind, len(asset.scale))
    goes = any(m.variable == name and m.change == "break" for m in modes)
    levels = (*asset.scale, GONE) if goes else asset.scale
    return Variable(name, levels, asset.start_level, asset.kind, len(asset.scale))
