"""A deployment's dynamics as arrays for the compiled step: the same rules as its compiled world."""

from collections.abc import Mapping

import numpy as np

from corrigible.deployment.records import Deployment
from corrigible.probe.kernel import LAST, LOWEST, UP, WEAR, Dynamics
from corrigible.world.modes import COPY, SCHEDULE, Mode, Structure

_CHANGES: Mapping[str | None, int] = {
    "up": UP, "lowest": LOWEST, "break": LAST, "set": LAST, "wear": WEAR,
}  # fmt: skip
_OVERSIGHT = ("stop_rate", "correction_rate", "detection", "approval_rate")
_ORGANS = ("stop", "monitor", "approval", "goal")


def dynamics_of(deployment: Deployment, structure: Structure) -> Dynamics:
    """Return the arrays of one deployment at exact rates.

    Mode m of the arrays is `structure.modes[m]`, variable v is `structure.variables[v]`.
    """
    column = {v.name: i for i, v in enumerate(structure.variables)}
    tasks = deployment.of_kind("task")
    rates = {path: span.middle for path, span in deployment.rates().items()}
    modes = structure.modes
    keys = [*tasks, *(f"{task}.drift" for task in tasks), *_OVERSIGHT]
    base = [0.0] * len(tasks) + [rates[f"assets.{task}.drift"] for task in tasks]
    base += [rates[f"oversight.{name}"] for name in _OVERSIGHT]
    boosts = np.array(
        [[_boost(deployment, v.name, key) for v in structure.variables] for key in keys],
        dtype=np.float64,
    ).reshape(len(keys), len(column))
    return Dynamics(
        strides=_strides(structure),
        ladder=_ints([v.ladder for v in structure.variables]),
        last=_ints([len(v.levels) - 1 for v in structure.variables]),
        tasks=_ints([column[task] for task in tasks]),
        base=np.array(base, dtype=np.float64),
        boosts=boosts,
        moves=(boosts != 0).any(axis=1),
        rate=np.array([rates[m.rate_paths[0]] for m in modes], dtype=np.float64),
        change=_ints([_CHANGES[m.change] for m in modes]),
        column=_ints([column[m.variable or ""] for m in modes]),
        task=_ints([_advanced(m, tasks) for m in modes]),
        approve=np.array([m.verdict == "approve" for m in modes], dtype=np.bool_),
        outside=np.array([m.outside for m in modes], dtype=np.bool_),
        deletes=np.array([m.verb == "delete" for m in modes], dtype=np.bool_),
        needs=_members([m.requires for m in modes], column),
        wears=_members([m.wears for m in modes], column),
        wear_rate=np.array([rates.get(f"assets.{name}.wear", 0.0) for name in column]),
        organs=_members([deployment.of_kind(f"oversight/{organ}") for organ in _ORGANS], column),
        caps=_caps(deployment, column),
        copy=column.get(COPY, -1),
        schedule=column.get(SCHEDULE, -1),
    )


def start_levels(structure: Structure) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the level at which each variable starts, `[V]`."""
    return np.array([v.start for v in structure.variables], dtype=np.int64)


def _strides(structure: Structure) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    sizes = [3, *(len(v.levels) for v in structure.variables)]  # three phases
    strides = [1]
    for size in reversed(sizes[1:]):
        strides.append(strides[-1] * size)
    return np.array(strides[::-1], dtype=np.int64)


def _ints(values: list[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(values, dtype=np.int64)


def _boost(deployment: Deployment, name: str, key: str) -> float:
    asset = deployment.assets.get(name)
    return 0.0 if asset is None else asset.boosts.get(key, 0.0)


def _advanced(mode: Mode, tasks: tuple[str, ...]) -> int:
    rises = mode.variable in tasks and mode.change == "up"
    return tasks.index(mode.variable) if rises and mode.variable is not None else -1


def _members(
    names: list[tuple[str, ...]], column: Mapping[str, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    table = np.zeros((len(names), len(column)), dtype=np.bool_)
    for line, members in enumerate(names):
        for name in members:
            if name in column:
                table[line, column[name]] = True
    return table


def _caps(
    deployment: Deployment, column: Mapping[str, int]
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    found = [
        (column[organ], column[name], deployment.assets[name].scale.index(level))
        for organ, limit in deployment.assets.items()
        if organ in column
        for name, level in limit.caps.items()
        if name in column
    ]
    return np.array(found, dtype=np.int64).reshape(len(found), 3)
