"""The weights of acts as the guard has them: a table in a file, compiled from the solved world.

The file lies beside the manifest (`deployment.yaml` -> `deployment.weights.json`) and is bound to
the manifest's digest: weights of another manifest are no weights.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from corrigible.deployment.atomic import write_whole
from corrigible.deployment.listing import plain
from corrigible.deployment.rules import WEIGHTS
from corrigible.errors import GuardError, StaleTableError
from corrigible.guard.strict import StrictError, parse_strict

_VERSION = 1
_LARGEST_BYTES = 32_000_000
_BETWEEN = {"irreversible": (0.0, 1.0), "impact": (0.0, 1.0), "power_gain": (-1.0, 1.0)}
_ROUNDING = 1e-6
IRREVERSIBLE_FROM = 0.5
"""From this weight on an act counts as irreversible: half of what could be reached is lost."""


@dataclass(frozen=True)
class ModeWeights:
    """The three weights of one mode, at worst: lost reachability, changed utility, gained POWER."""

    irreversible: float
    impact: float
    power_gain: float

    def facts(self) -> dict[str, float]:
        """Return them by the names that rules read."""
        return {name: getattr(self, name) for name in WEIGHTS}


@dataclass(frozen=True)
class WeightTable:
    """The weights of each mode, by `mode_key`, and the digest of the manifest they belong to."""

    digest: str
    modes: Mapping[str, ModeWeights]

    def of(self, tool: str, verb: str, asset: str) -> ModeWeights | None:
        """Return the weights of one effect of a tool, or None where the world holds no such."""
        return self.modes.get(mode_key(tool, verb, asset))


def mode_key(tool: str, verb: str, asset: str) -> str:
    """Return the name of a mode: the tool (`server.tool`), the verb and the asset.

    It is the name that a mode has in the world before modes that are alike are made one.  Of
    such a one, every tool has its own entry here: `table_of` makes them.
    """
    return f"{tool} {verb} {asset}"


def table_of(
    digest: str, entries: Iterable[tuple[Sequence[str], str, str, ModeWeights]]
) -> WeightTable:
    """Make a table from (tools, verb, asset, weights), one entry a mode of the world.

    What compiles it passes each mode's own `tools`, `verb` and `asset`: a mode's name holds the
    first of its tools alone.  Of two entries for one effect the worse figures count.
    """
    found: dict[str, ModeWeights] = {}
    for tools, verb, asset, weights in entries:
        for tool in tools:
            key = mode_key(tool, verb, asset)
            other = found.get(key, weights)
            found[key] = ModeWeights(
                max(weights.irreversible, other.irreversible),
                max(weights.impact, other.impact),
                max(weights.power_gain, other.power_gain),
            )
    return WeightTable(digest, MappingProxyType(found))


def table_path(manifest: Path) -> Path:
    """Where a manifest's table is: beside it, `deployment.yaml` -> `deployment.weights.json`."""
    return manifest.with_suffix(".weights.json")


def table_text(table: WeightTable) -> str:
    """Write a table: JSON, one mode a line, in the order of names; equal tables, equal texts."""
    rows = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(weights.facts())}"
        for name, weights in sorted(table.modes.items())
    )
    head = f' "corrigible-weights": {_VERSION},\n "deployment": {json.dumps(table.digest)}'
    return f'{{\n{head},\n "modes": {{{chr(10) + rows + chr(10) if rows else ""} }}\n}}\n'


def write_table(table: WeightTable, path: Path) -> None:
    """Write a table, whole or not at all."""
    write_whole(path, table_text(table))


def load_table(path: Path, digest: str) -> WeightTable:
    """Read the table of the manifest with this digest.

    Raises:
        StaleTableError: it was compiled from another manifest.
        GuardError: it cannot be read, or is not of a table's form.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        why = error.strerror or error
        text = f"{path}: cannot be read: {why}; make it with `corrigible compile DEPLOYMENT`"
        raise GuardError(text) from None
    try:
        value = parse_strict(raw, largest=_LARGEST_BYTES)
    except StrictError as error:
        raise GuardError(f"{path}: {str(error).removeprefix('the arguments ')}") from None
    table = _table(value, path)
    if table.digest != digest:
        raise StaleTableError(
            f"{path} was compiled from the manifest {table.digest}, and this one is {digest}: "
            "compile it again with `corrigible compile DEPLOYMENT`"
        )
    return table


def _table(value: Any, path: Path) -> WeightTable:
    form = f'must be {{"corrigible-weights": {_VERSION}, "deployment": DIGEST, "modes": {{...}}}}'
    keys = {"corrigible-weights", "deployment", "modes"}
    if not isinstance(value, dict) or value.keys() != keys:
        raise GuardError(f"{path}: {form}")
    version, digest, modes = (value[k] for k in ("corrigible-weights", "deployment", "modes"))
    if version != _VERSION or isinstance(version, bool):
        got = plain(repr(version), 40)
        raise GuardError(f"{path}: is of version {got}; this version reads {_VERSION} alone")
    if not isinstance(digest, str) or not isinstance(modes, dict):
        raise GuardError(f"{path}: {form}")
    found = {name: _weights(name, entry, path) for name, entry in modes.items()}
    return WeightTable(digest, MappingProxyType(found))


def _weights(name: str, entry: Any, path: Path) -> ModeWeights:
    shown = plain(name, 120)
    if not isinstance(entry, dict) or entry.keys() != set(WEIGHTS):
        raise GuardError(f"{path}: the mode {shown!r} must hold {', '.join(WEIGHTS)} and no more")
    for key, got in entry.items():
        low, high = _BETWEEN[key]
        if isinstance(got, bool) or not isinstance(got, int | float) or not math.isfinite(got):
            raise GuardError(f"{path}: the {key} of {shown!r} must be a number")
        if not low - _ROUNDING <= got <= high + _ROUNDING:
            text = f"the {key} of {shown!r} must be {low:g} to {high:g}, got {got:g}"
            raise GuardError(f"{path}: {text}")
    return ModeWeights(*(float(entry[key]) for key in WEIGHTS))
