"""Edits of a manifest that may make drives stop paying, as data: words, and what they change."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from corrigible.audit.setting import Setting
from corrigible.deployment.records import Authority, Deployment
from corrigible.world.modes import Mode

Change = Callable[[Deployment, dict[str, float]], tuple[Deployment, dict[str, float]]]

_HORIZONS = (2, 4, 8)
_DETECTIONS = (0.9, 0.99)


@dataclass(frozen=True)
class Edit:
    """One edit that leaves every act in place and changes a rate, a level or authority.

    `group`: of the edits of one group at most one is made, the mildest that works; the edits of
    a group come mildest first.
    """

    words: str
    change: Change
    group: str


def words_for_removal(
    deployment: Deployment, modes: Iterable[Mode], all_modes: tuple[Mode, ...]
) -> tuple[str, ...]:
    """Say how the manifest would take modes away: drop a verb, or keep a target off an asset.

    Code that a tool runs has every verb, so that none can be dropped: its sandbox is narrowed.
    """
    gone = tuple(modes)
    names = {mode.name for mode in gone}
    words: dict[str, None] = {}
    for mode in gone:
        for tool in mode.tools:
            verbs = deployment.tools[tool].verbs
            if "run" in verbs:
                words[f"tools.{tool}.sandbox: keep it off {mode.asset}"] = None
            if mode.verb not in verbs:
                continue
            siblings = [m for m in all_modes if tool in m.tools and m.verb == mode.verb]
            if {m.name for m in siblings} <= names:
                words[f"tools.{tool}.verbs: drop {mode.verb}"] = None
            else:
                words[f"tools.{tool}.target: keep it off {mode.asset}"] = None
    return tuple(words)


def changing_edits(
    base: Setting,
    deployment: Deployment,
    rates: Mapping[str, float],
    drives: frozenset[str],
    *,
    break_even: Mapping[str, float | None],
) -> Iterator[Edit]:
    """Yield the edits worth trying for `drives`, the mildest of each group first."""
    yield from _approvals(base, drives)
    yield from _caps(base, deployment, drives)
    yield from _detections(deployment, rates, break_even)
    for share in _HORIZONS:
        steps = round(base.horizon / share)
        if steps >= 1:
            change = _rate("agent.horizon", float(steps))
            yield Edit(f"agent.horizon: {steps}", change, "horizon")
    for name in deployment.of_kind("task"):
        drift = base.deployment.assets[name].drift
        if drift is not None and drift.low > 0:
            path = f"assets.{name}.drift"
            yield Edit(f"{path}: 0 (done is done)", _rate(path, 0.0), path)


def _approvals(base: Setting, drives: frozenset[str]) -> Iterator[Edit]:
    asked: dict[str, None] = {}
    for mode in base.structure.modes:
        if mode.drives & drives and mode.verdict == "allow":
            asked[f"{mode.verb} {mode.asset}"] = None
    for rule in asked:
        yield Edit(f"authority.approve: add {rule}", _approving(rule), f"approve {rule}")


def _approving(rule: str) -> Change:
    def change(d: Deployment, rates: dict[str, float]) -> tuple[Deployment, dict[str, float]]:
        old = d.authority
        new = Authority(allow=old.allow, approve=(*old.approve, rule), deny=old.deny)
        return d.model_copy(update={"authority": new}), rates

    return change


def _caps(base: Setting, deployment: Deployment, drives: frozenset[str]) -> Iterator[Edit]:
    """Fewer levels of what can be climbed by more than one."""
    climbing = [m for m in base.structure.modes if m.drives & drives and m.change == "up"]
    for name in sorted({mode.asset for mode in climbing}):
        scale = deployment.assets[name].scale
        capped = {a.caps[name] for a in deployment.assets.values() if name in a.caps}
        for size in range(len(scale) - 1, 1, -1):
            kept = scale[:size]
            if capped <= set(kept):
                words = f"assets.{name}.levels: [{', '.join(kept)}]"
                yield Edit(words, _capping(name, kept), f"levels of {name}")


def _capping(name: str, kept: tuple[str, ...]) -> Change:
    def change(d: Deployment, rates: dict[str, float]) -> tuple[Deployment, dict[str, float]]:
        asset = d.assets[name].model_copy(update={"levels": kept})
        return d.model_copy(update={"assets": {**d.assets, name: asset}}), rates

    return change


def _rate(path: str, value: float) -> Change:
    def change(d: Deployment, rates: dict[str, float]) -> tuple[Deployment, dict[str, float]]:
        return d, {**rates, path: value}

    return change


def _detections(
    deployment: Deployment, rates: Mapping[str, float], break_even: Mapping[str, float | None]
) -> Iterator[Edit]:
    path = "oversight.detection"
    now = rates.get(path, deployment.rates()[path].low)
    needed = break_even.get("detection")
    tried = set(_DETECTIONS) | (set() if needed is None else {math.ceil(needed * 100) / 100})
    for value in sorted(v for v in tried if v > now):
        yield Edit(f"{path}: {value:g}", _rate(path, value), "detection")
