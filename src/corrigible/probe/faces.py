"""The face that a deployment's tools show to a language model: names, schemas, and calls.

`call_of` and `acts_of` are each other's inverse: the call that has an effect, and the effects that
a call has, both by the same `touch` as everywhere.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from corrigible.deployment.listing import ListedTool
from corrigible.deployment.places import (
    ANYWHERE,
    arguments_of,
    find_place,
    pattern_of,
    template_pattern,
)
from corrigible.deployment.records import Deployment, Tool
from corrigible.deployment.touch import ELSEWHERE, asset_patterns, named_places, touch
from corrigible.world.modes import Mode, Structure

OPEN = "request"
"""The argument of a tool whose manifest names none: what is asked of it, in words."""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list,
    "object": dict,
}  # fmt: skip
_DELETING = re.compile(r"\b(delete|drop|remove|truncate|rm|clear|destroy|kill)", re.IGNORECASE)


@dataclass(frozen=True)
class Face:
    """A tool as the agent sees it; `full` is its name in the manifest, `name` the one shown."""

    full: str
    name: str
    description: str
    schema: Mapping[str, Any] = field(hash=False)

    def problem(self, arguments: Mapping[str, Any]) -> str | None:
        """Return what a server would answer to arguments that do not fit, or None if they do."""
        properties = self.schema.get("properties", {})
        missing = [n for n in self.schema.get("required", ()) if n not in arguments]
        if missing:
            return f"missing required argument: {', '.join(missing)}"
        unknown = [n for n in arguments if n not in properties]
        if unknown and self.schema.get("additionalProperties", True) is False:
            return f"unexpected argument: {', '.join(unknown)}"
        for name, value in arguments.items():
            wanted = properties.get(name, {}).get("type")
            fits = _TYPES.get(wanted) if isinstance(wanted, str) else None
            wrong = isinstance(value, bool) and wanted != "boolean"
            if fits is not None and (wrong or not isinstance(value, fits)):
                return f"{name} must be of type {wanted}, got {type(value).__name__}"
            least = properties.get(name, {}).get("minimum")
            if least is not None and isinstance(value, int | float) and value < least:
                return f"{name} must be at least {least}, got {value}"
        return None


def faces_of(
    deployment: Deployment, *, live: Mapping[str, ListedTool] | None = None, renamed: bool = False
) -> tuple[Face, ...]:
    """Return the face of every tool.

    Args:
        deployment: whose tools.
        live: by `server.tool`, how its server described it, where that is known.
        renamed: servers under neutral names, as in `service1.apply`: a placebo.
    """
    servers = {name: f"service{i}" for i, name in enumerate(deployment.servers, 1)}
    faces = []
    for full, tool in deployment.tools.items():
        server, _, short = full.partition(".")
        name = f"{servers[server]}.{short}" if renamed else full
        listed = (live or {}).get(full)
        if listed is not None:
            faces.append(Face(full, name, listed.description or "", dict(listed.input_schema)))
        else:
            faces.append(Face(full, name, _description(short, tool), _schema(tool)))
    return tuple(faces)


def _description(short: str, tool: Tool) -> str:
    words = short.replace("_", " ").replace("-", " ")
    does = " or ".join(tool.verbs)
    where = "" if tool.target is None else f" at {' or '.join(tool.target)}"
    needs = f" Requires {', '.join(tool.requires)}." if tool.requires else ""
    return f"{words.capitalize()}: {does}{where}.{needs}"


def _schema(tool: Tool) -> dict[str, Any]:
    """Derive a schema from the target's templates and the amount's argument."""
    named = [n for template in tool.target or () for n in arguments_of(template)]
    properties: dict[str, Any] = {name: {"type": "string"} for name in named}
    required = list(properties)
    if tool.target is None:
        properties[OPEN] = {"type": "string", "description": "what to do, and to what"}
        required.append(OPEN)
    if tool.amount is not None and tool.amount.arg not in properties:
        properties[tool.amount.arg] = {"type": "integer", "minimum": 0}
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class Acts:
    """What one call comes to: `modes` of the world, effects outside it, and what is not known.

    `drives`: those that any of its effects serves; of these `against` by an effect outside
    authority, `denied` by one that a rule denies, `approved` by one that is to be approved.
    `outside`: whether an effect in no mode of the world lies outside authority.  `open_drives`:
    what it may serve where its arguments leave open which effects it has.
    """

    modes: tuple[int, ...]
    assets: tuple[str, ...]
    drives: frozenset[str]
    against: frozenset[str]
    denied: frozenset[str]
    approved: frozenset[str]
    outside: bool
    open_drives: frozenset[str]


def acts_of(
    deployment: Deployment, structure: Structure, full: str, arguments: Mapping[str, Any]
) -> Acts:
    """Return what a call does: the modes of the world whose effects it has.

    Where no argument says where the call acts, it acts on what its words name; where they name
    nothing and the tool reaches something, it is unresolved.
    """
    server, _, short = full.partition(".")
    touched = touch(deployment, server, short, arguments)
    effects = [(e.verb, e.asset) for e in touched.effects if e.asset != ELSEWHERE]
    exact = all(
        isinstance(arguments.get(name), str | int)
        for template in deployment.tools[full].target or ()
        for name in arguments_of(template)
    )
    unresolved = False
    if deployment.tools[full].target is None or not exact or touched.note:
        words = " ".join(str(value) for value in arguments.values())
        named = {a for a in {a for _, a in effects} if _names(deployment, a, words)}
        unresolved = bool(effects) and not named
        effects = [(v, a) for v, a in effects if a in named]
        spoken = [(v, a) for v, a in effects if re.search(rf"\b{v}", words, re.IGNORECASE)]
        effects = spoken or effects
    deletes = any(_DELETING.search(str(value)) for value in arguments.values())
    effects = _one_way(effects, deletes=deletes)
    own = [(i, mode) for i, mode in enumerate(structure.all_modes) if full in mode.tools]
    modes = [(i, mode) for i, mode in own if (mode.verb, mode.asset) in effects]
    inside = len(structure.modes)
    return Acts(
        modes=tuple(index for index, _ in modes if index < inside),
        assets=tuple(dict.fromkeys(asset for _, asset in effects)),
        drives=_drives(mode for _, mode in modes),
        against=_drives(mode for _, mode in modes if mode.outside),
        denied=_drives(mode for _, mode in modes if mode.outside and mode.rule is not None),
        approved=_drives(mode for _, mode in modes if mode.verdict == "approve"),
        outside=any(mode.outside for index, mode in modes if index >= inside),
        open_drives=_drives(mode for _, mode in own) if unresolved else frozenset(),
    )


def _drives(modes: Iterable[Mode]) -> frozenset[str]:
    return frozenset(drive for mode in modes for drive in mode.drives)


def _names(deployment: Deployment, asset: str, words: str) -> bool:
    """Whether words name an asset, by its name or by the last part of one of its places."""
    record = deployment.assets[asset]
    known = {asset}
    for globs in record.at.values():
        known |= {glob.rstrip("*/").rpartition("/")[2] for glob in globs}
    return any(name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words) for name in known)


def _one_way(effects: Sequence[tuple[Any, str]], *, deletes: bool) -> list[tuple[Any, str]]:
    """Of a tool that both deletes and writes an asset, keep what this call says that it does."""
    both = {a for v, a in effects if v == "delete"} & {a for v, a in effects if v != "delete"}
    return [(v, a) for v, a in effects if a not in both or (v == "delete") == deletes]


def call_of(deployment: Deployment, mode: Mode) -> tuple[str, dict[str, Any]] | None:
    """Return a call (tool, arguments) that has a mode's effect, at a place of its own if there is.

    None where no text could be found.
    """
    for full in mode.tools:
        tool = deployment.tools[full]
        if tool.target is None:
            return full, {OPEN: f"{mode.verb} {mode.asset}", **_amount(tool)}
        server = deployment.server_of(full)
        record = deployment.servers[server]
        others = tuple(
            p for p in named_places(deployment, server)
            if p not in asset_patterns(deployment, deployment.assets[mode.asset], server)
        )  # fmt: skip
        reach = [pattern_of(glob, record) for glob in tool.reach or ()] or [ANYWHERE]
        for none_of in (others, ()):
            for template in tool.target:
                for at in asset_patterns(deployment, deployment.assets[mode.asset], server):
                    for bound in reach:
                        form = template_pattern(template, record)
                        place = find_place((form, at, bound), none_of)
                        filled = None if place is None else _filled(template, place)
                        if filled is not None:
                            return full, {**filled, **_amount(tool)}
    return None


def _amount(tool: Tool) -> dict[str, int]:
    return {} if tool.amount is None else {tool.amount.arg: 1}


def _filled(template: str, place: str) -> dict[str, str] | None:
    """Return the arguments that make a template this place."""
    names = arguments_of(template)
    form = "".join(
        "(.*)" if part.startswith("{") else re.escape(part)
        for part in re.split(r"(\{[^{}]+\})", template)
    )
    text = place.replace("\x00", "x")
    found = re.fullmatch(form, text) or re.fullmatch(form.removeprefix("/"), text)
    if found is None:
        return None
    return {name: value or "x" for name, value in zip(names, found.groups(), strict=True)}
