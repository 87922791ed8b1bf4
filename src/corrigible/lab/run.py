"""Run the lab's tables: all of them or some, in full or quickly."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from corrigible.errors import WorldError
from corrigible.lab.table import Row, Tell, Verdict, worst

TABLES: Mapping[str, str] = {
    "power-seeking": "power_seeking:rows",
    "power-posts": "power_seeking:post_rows",
    "retargetability": "retargetable:rows",
    "training-goals": "training_goals:rows",
    "trained-goals": "trained_goals:rows",
    "off-switch": "offswitch:rows",
    "off-switch-partial": "po_offswitch:rows",
    "indifference": "indifference:rows",
    "human-control": "human_control:rows",
    "same-length": "same_length:rows",
    "same-length-trained": "drest:rows",
    "interruption": "interruption:rows",
    "power-on-maps": "joint_power:rows",
    "side-effects": "side_effects:rows",
    "attainable-utility": "aup:rows",
    "gridworlds": "gridworlds:rows",
    "camera-dropbox": "dropbox:rows",
    "orthogonality": "orthogonality:rows",
}
"""By name: the module of this package and its function; imported when the table is run."""

JSON_FIELDS = ("table", "row", "theirs", "ours", "low", "high", "tag", "verdict")


@dataclass(frozen=True)
class LabRun:
    """The rows of the tables that were run."""

    rows: tuple[Row, ...]
    tables: tuple[str, ...]
    quick: bool

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of any row."""
        return worst(self.rows)

    @property
    def exit_code(self) -> int:
        """0 where no row differs, or only as documented; else 1."""
        return int(self.verdict == "differs")

    def as_json(self) -> dict[str, Any]:
        """Plain values: `{"rows": [{"table", "row", "theirs", "ours", "low", ...}]}`."""
        return {"rows": [{name: getattr(row, name) for name in JSON_FIELDS} for row in self.rows]}


def run_tables(
    names: Iterable[str] = (), *, quick: bool = False, tell: Tell | None = None
) -> LabRun:
    """Run the named tables, or all; each row's table is the name that it was asked for by.

    Args:
        names: of `TABLES`; each once, in their order there, whatever the order here.
        quick: fewer samples and points, so that all take under a minute.
        tell: told in words what is being done.

    Raises:
        WorldError: there is no such table.
    """
    asked = list(names)
    unknown = [name for name in asked if name not in TABLES]
    if unknown:
        raise WorldError(
            f"a table must be one of {', '.join(TABLES)}, got {', '.join(map(repr, unknown))}"
        )
    chosen = tuple(name for name in TABLES if not asked or name in asked)
    found: list[Row] = []
    for name in chosen:
        found += [_named(row, name) for row in _function(name)(quick=quick, tell=tell or _silent)]
    return LabRun(tuple(found), chosen, quick)


def _function(name: str) -> Callable[..., list[Row]]:
    module, _, function = TABLES[name].partition(":")
    made: Callable[..., list[Row]] = getattr(import_module(f"corrigible.lab.{module}"), function)
    return made


def _named(row: Row, table: str) -> Row:
    parts = {field.name: getattr(row, field.name) for field in fields(row)}
    return Row(**{**parts, "table": table})


def _silent(text: str) -> None:
    del text
