"""Concrete calls that touch a given asset by a given verb: what a path is made of when fired.

Places are witnesses: shortest texts that fit both the tool's target and the asset's places, one
for each rule that speaks of a part of them.  A call counts only if `touch` says that it has the
effect; of several, the guard's own decision says which is granted most.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from corrigible.deployment.places import (
    ANYWHERE,
    Pattern,
    PlaceError,
    arguments_of,
    find_place,
    literal,
    pattern_of,
    template_pattern,
)
from corrigible.deployment.records import Deployment, Server, Tool
from corrigible.deployment.rules import Condition, Rule, rules_of
from corrigible.deployment.touch import asset_patterns, named_places, touch
from corrigible.guard.amounts import numbers_of
from corrigible.guard.call import Call, Decision
from corrigible.guard.policy import Policy, decide
from corrigible.guard.seen import Seen

_MOST = 96
_MOST_PLACES = 12
_FILLERS = "xqzwkvjy0123456789"
_ALL = ANYWHERE[0]
(_ONE,) = pattern_of("?", Server())
_SLASHED: Pattern = (_ALL, "/")
_GRANTED = ("deny", "approve", "allow")


@dataclass(frozen=True)
class Candidate:
    """One call, what the guard decides on it at the start of a run, and how many were tried."""

    call: Call
    decision: Decision
    tried: int


@dataclass(frozen=True)
class NotBuilt:
    """Why no call could be made that has the effect."""

    why: str
    tried: int = 0


def loosest(
    policy: Policy, tool: str, act: tuple[str, str], seen: Seen | None = None
) -> Candidate | NotBuilt:
    """Return, of the calls of a tool that have an effect, the one that is granted most.

    `act`: the verb and the asset.  `seen`: what was let out before; nothing where it is None.
    """
    found = list(candidates(policy, tool, act, seen))
    if not found:
        return NotBuilt("no arguments were found with which the call has this effect")
    best = max(found, key=lambda one: _GRANTED.index(one.decision.verdict))
    return Candidate(best.call, best.decision, len(found))


def candidates(
    policy: Policy, tool: str, act: tuple[str, str], seen: Seen | None = None
) -> Iterator[Candidate]:
    """Yield calls of a tool that have an effect, each with its decision."""
    deployment = policy.deployment
    server, _, short = tool.partition(".")
    at = seen or Seen.start(deployment)
    for arguments in islice(_arguments(deployment, tool, act[1]), _MOST):
        touched = touch(deployment, server, short, arguments)
        if any((e.verb, e.asset) == act for e in touched.effects):
            call = Call(server, short, arguments)
            yield Candidate(call, decide(policy, call, at), 1)


def _arguments(deployment: Deployment, name: str, asset: str) -> Iterator[dict[str, Any]]:
    """Yield arguments that put a call of a tool on an asset, those of rules' conditions with it."""
    tool = deployment.tools[name]
    rules = rules_of(deployment)
    extras = list(_extras(deployment, tool, asset, rules))
    for filling in _fillings(deployment, name, asset, rules):
        for extra in extras:
            yield {**extra, **filling}


# -- where ---------------------------------------------------------------------------------


def _fillings(
    deployment: Deployment, name: str, asset: str, rules: tuple[Rule, ...]
) -> Iterator[dict[str, str]]:
    """Yield the arguments of the target's templates, one of which lies in the asset."""
    server, _, _ = name.partition(".")
    record, tool = deployment.servers[server], deployment.tools[name]
    templates = tool.target or ()
    if not any(arguments_of(template) for template in templates):
        yield {}
        return
    for at, template in enumerate(templates):
        others = [t for i, t in enumerate(templates) if i != at and arguments_of(t)]
        for place in _places(deployment, server, tool, asset=asset, template=template, rules=rules):
            for own in inverted(template, place, record):
                yield from _with_others(deployment, server, tool, own=own, others=others,
                                        rules=rules)  # fmt: skip


def _with_others(
    deployment: Deployment,
    server: str,
    tool: Tool,
    *,
    own: dict[str, str],
    others: list[str],
    rules: tuple[Rule, ...],
) -> Iterator[dict[str, str]]:
    """Fill the other templates of a call too: with the same values, else with any asset's place."""
    open_ = [t for t in others if not set(arguments_of(t)) <= own.keys()]
    if not open_:
        yield own
        return
    choices = [
        [
            filling
            for other in deployment.assets
            for place in _places(deployment, server, tool, asset=other, template=t, rules=rules)
            for filling in inverted(t, place, deployment.servers[server])
        ][:_MOST_PLACES]
        for t in open_
    ]
    for chosen in product(*choices):
        merged: dict[str, str] = {}
        for filling in chosen:
            merged |= filling
        yield {**merged, **own}


def _places(
    deployment: Deployment,
    server: str,
    tool: Tool,
    *,
    asset: str,
    template: str,
    rules: tuple[Rule, ...],
) -> list[str]:
    """Return places in an asset that a template reaches: one for each rule on a part of them."""
    record = deployment.servers[server]
    if asset == "elsewhere":
        within, outside = [ANYWHERE], named_places(deployment, server)
    else:
        within, outside = list(asset_patterns(deployment, deployment.assets[asset], server)), ()
    reach = [pattern_of(glob, record) for glob in tool.reach] if tool.reach else [ANYWHERE]
    granted = [r.place for r in rules if r.place and r.server == server and r.verdict != "deny"]
    denied = tuple(r.place for r in rules if r.place and r.server == server and r.verdict == "deny")
    target = template_pattern(template, record)
    # Also with some text for every argument: the shortest place of `lists/*` is `lists/`.
    filled = tuple(
        part for token in target for part in ([_ONE, _ALL] if token == _ALL else [token])
    )
    found: dict[str, None] = {}
    for pattern, bound, aim in product(within, reach, (target, filled)):
        for extra in [ANYWHERE, *granted]:
            for none_of in {(*outside, *denied), outside}:
                all_of = (aim, pattern, bound, extra)
                place = _witness(all_of, none_of)
                if place is not None:
                    found[place] = None
    return list(found)[:_MOST_PLACES]


def _witness(all_of: tuple[Pattern, ...], none_of: tuple[Pattern, ...]) -> str | None:
    """Return a place that fits, in letters that a server takes."""
    try:
        # No canonical place ends in a slash; one that does is only found where nothing else fits.
        place = find_place(all_of, (*none_of, _SLASHED)) or find_place(all_of, none_of)
    except PlaceError:
        return None
    if place is None or "\x00" not in place:
        return place
    named = {token for pattern in (*all_of, *none_of) for token in pattern}
    for letter in _FILLERS:
        if letter not in named:
            return place.replace("\x00", letter)
    return None


def inverted(template: str, place: str, server: Server) -> list[dict[str, str]]:
    """Return arguments that fill a template so that it is this place, to the letter."""
    names = list(dict.fromkeys(arguments_of(template)))
    found: list[dict[str, str]] = []
    for text in _spellings(place, server):
        for quantifier in ("+?", "+"):
            values = _split(template, text, quantifier)
            if values is None or list(values) != names:
                continue
            try:
                made = literal(template_pattern(template, server, values))
            except PlaceError:
                continue
            if made == place and values not in found:
                found.append(values)
    return found


def _spellings(place: str, server: Server) -> Iterable[str]:
    """Return a place as it may stand in a template: whole, or from the server's root."""
    yield place
    root = (server.root or "").rstrip("/")
    if root and place.startswith(f"{root}/"):
        yield place[len(root) + 1 :]


def _split(template: str, text: str, quantifier: str) -> dict[str, str] | None:
    parts, known = [], set[str]()
    for piece in re.split(r"(\{[^{}]+\})", template):
        name = piece[1:-1]
        if not (piece.startswith("{") and piece.endswith("}")):
            parts.append(re.escape(piece))
        elif name in known:
            parts.append(f"(?P=a{_key(name)})")
        else:
            known.add(name)
            parts.append(f"(?P<a{_key(name)}>.{quantifier})")
    found = re.fullmatch("".join(parts), text, re.DOTALL)
    if found is None:
        return None
    return {name: found[f"a{_key(name)}"] for name in dict.fromkeys(arguments_of(template))}


def _key(name: str) -> str:
    return name.encode().hex()


# -- how much, and what conditions read ----------------------------------------------------


def _extras(
    deployment: Deployment, tool: Tool, asset: str, rules: tuple[Rule, ...]
) -> Iterator[dict[str, Any]]:
    """Yield amounts, and values on both sides of every condition on an argument."""
    choices: dict[str, list[Any]] = {}
    record = deployment.assets.get(asset)
    if tool.amount is not None:
        numbers = (numbers_of(record) if record is not None else None) or ()
        bounds = [c.value for r in rules for c in r.conditions if c.name == "amount"]
        near = [v + d for v in bounds if isinstance(v, float) for d in (-1, 0, 1) if v + d >= 0]
        choices[tool.amount.arg] = list(dict.fromkeys([1, *near, *map(_whole, numbers)]))
    for rule in rules:
        for condition in rule.conditions:
            if condition.name.startswith("arguments."):
                name = condition.name.partition(".")[2]
                choices.setdefault(name, [])
                choices[name] += [v for v in _sides(condition) if v not in choices[name]]
    names = list(choices)
    for values in product(*(choices[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def _sides(condition: Condition) -> list[Any]:
    value = condition.value
    if isinstance(value, bool):
        return [value, not value]
    if isinstance(value, str):
        return [value, f"{value}x"]
    return [_whole(value), _whole(value + 1), _whole(value - 1)]


def _whole(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number


def shown(arguments: Mapping[str, Any]) -> str:
    """Return arguments as one short text."""
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())
