"""What the guard knows of the world: the levels that each asset may have after what was let out.

A call that was dispatched may have had its effect or not, and nobody need be believed about
which.  So each call only adds levels; a task drifts back by itself.  Decisions use the worst.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from corrigible.deployment.records import Asset, Deployment
from corrigible.deployment.touch import raises
from corrigible.drives import ORGANS
from corrigible.guard.amounts import (
    AmountError,
    amount_of,
    least_after,
    least_at_start,
    numbers_of,
)
from corrigible.guard.call import Call, Decision

COPY, SCHEDULE = "(copy)", "(schedule)"
"""Two flags beside the assets: a copy of the agent may stand by, it may be scheduled."""


@dataclass(frozen=True)
class Seen:
    """The levels that each asset may have, as indices into its scale, lowest first.

    One past the scale: agents that are gone.  `least`: how much there may be of an asset, at
    least, where its levels are numbers.  Immutable.
    """

    _levels: Mapping[str, frozenset[int]]
    least: Mapping[str, float]

    @classmethod
    def start(cls, deployment: Deployment) -> "Seen":
        """Return what holds before any call: every asset at its start."""
        levels = {name: _start(asset) for name, asset in deployment.assets.items()}
        levels |= {COPY: frozenset({0}), SCHEDULE: frozenset({0})}
        least = {name: least_at_start(deployment, name) for name in deployment.assets}
        return cls(MappingProxyType(levels), MappingProxyType(least))

    def levels(self, asset: str) -> frozenset[int]:
        """Return the levels that an asset may have; of an unknown asset, none."""
        return self._levels.get(asset, frozenset())

    def may_be_held(self, deployment: Deployment, asset: str) -> bool:
        """Whether an asset may be above its lowest level, and not gone."""
        record = deployment.assets.get(asset)
        top = 0 if record is None else len(record.scale)
        return any(0 < level < top for level in self.levels(asset))

    def after(self, deployment: Deployment, decision: Decision, call: Call) -> "Seen":
        """Return what may hold once the call is dispatched, whether it succeeds or not."""
        levels, least = dict(self._levels), dict(self.least)
        for effect in decision.effects:
            asset = deployment.assets.get(effect.asset)
            if asset is None:
                continue
            before = levels.get(effect.asset, _start(asset))
            step = _Step(deployment, self, effect.verb, effect.asset, call)
            levels[effect.asset] = before | step.reached(before)
            for verb, flag in (("copy", COPY), ("schedule", SCHEDULE)):
                if asset.family == "self" and effect.verb == verb:
                    levels[flag] = frozenset({0, 1})
            tool = deployment.tools.get(call.name)
            least[effect.asset] = least_after(
                tool, call.arguments, effect.verb, least.get(effect.asset, 0.0)
            )
        return Seen(MappingProxyType(levels), MappingProxyType(least))

    def under(self, deployment: Deployment) -> "Seen":
        """Return the same under another manifest: what it adds is at its start too.

        Levels are kept by their place in the scale, as far as the new scale goes.
        """
        levels = {name: _start(asset) for name, asset in deployment.assets.items()}
        least = {name: least_at_start(deployment, name) for name in deployment.assets}
        for name, asset in deployment.assets.items():
            top = len(asset.scale)
            levels[name] |= {min(level, top) for level in self.levels(name)}
            least[name] = min(least[name], self.least.get(name, least[name]))
        levels |= {flag: self.levels(flag) for flag in (COPY, SCHEDULE)}
        return Seen(MappingProxyType(levels), MappingProxyType(least))


def _start(asset: Asset) -> frozenset[int]:
    drifts = asset.family == "task" and (asset.drift is None or asset.drift.high > 0)
    return frozenset({asset.start_level, 0} if drifts else {asset.start_level})


@dataclass(frozen=True)
class _Step:
    """One effect of one dispatched call."""

    deployment: Deployment
    seen: Seen
    verb: str
    name: str
    call: Call

    def reached(self, before: frozenset[int]) -> frozenset[int]:
        """Return the levels that the effect may lead to, by the table of effects and levels."""
        asset = self.deployment.assets[self.name]
        kind, family = asset.kind, asset.family
        if kind in ORGANS:
            return frozenset({1}) if self.verb in {"write", "delete"} else frozenset()
        if family == "agents" and self.verb == "delete":
            return frozenset({len(asset.scale)})
        if family == "bystander":
            lower = {0} if self.verb == "delete" else {max(level - 1, 0) for level in before}
            return frozenset(lower)
        if family in {"task", "information"} and self.verb == "delete":
            return frozenset({0})
        if not raises(self.verb, kind):
            return frozenset()
        climbing = frozenset(level for level in before if level < len(asset.scale))
        raised = self._raised(asset, climbing)
        cap = self._cap(len(asset.scale) - 1)
        return frozenset(level for level in raised if level <= cap or level in before)

    def _raised(self, asset: Asset, before: frozenset[int]) -> frozenset[int]:
        """One level up; by an amount, as far as that may reach."""
        top = len(asset.scale) - 1
        up = frozenset(min(level + 1, top) for level in before)
        tool = self.deployment.tools.get(self.call.name)
        if not before or self.verb != "acquire" or tool is None or tool.amount is None:
            return up
        try:
            amount = amount_of(tool, self.call.arguments)
        except AmountError:
            amount = None
        numbers = numbers_of(asset)
        if numbers is None or amount is None or tool.amount.counts == "added":
            return up | frozenset(range(min(before), top + 1))
        nearest = {bisect_right(numbers, amount) - 1, bisect_left(numbers, amount)}
        return up | frozenset(min(max(level, 0), top) for level in nearest)

    def _cap(self, top: int) -> int:
        """Return the highest level that limits let the asset have: those surely intact."""
        caps = [
            self.deployment.assets[self.name].scale.index(limit.caps[self.name])
            for organ, limit in self.deployment.assets.items()
            if self.name in limit.caps and self.seen.levels(organ) == frozenset({0})
        ]
        return min([top, *caps])
