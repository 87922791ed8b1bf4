"""What trying countermeasures gives: a record for each, and all of them as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import corrigible
from corrigible.audit.countermeasure_trials import Side
from corrigible.evidence import Estimate
from corrigible.policies.policy import Parameter


@dataclass(frozen=True)
class Tried:
    """What one countermeasure, pair, or edit brings.

    `kept`: the return over that of a plain optimal agent, mean over goals.  `drives`, `joint`:
    the chance that an act serving the drive (any that is not accepted) is tried within one run,
    while neither stopped nor corrected.  `waits`: the share of its steps in which it does nothing;
    `idle`: the chance that it does nothing in the whole run: it stops itself.  `asks`: approvals
    that it asks for in one run.  `frontier`: nothing tried keeps more with less of the drives.
    """

    kind: str
    words: str
    side: Side
    strength: str
    parameters: Mapping[str, Parameter]
    kept: Estimate
    drives: Mapping[str, Estimate]
    joint: Estimate
    waits: Estimate
    idle: Estimate
    asks: Estimate
    approximates: str = ""
    frontier: bool = False


@dataclass(frozen=True)
class Countermeasures:
    """All that was tried in one deployment, and what follows in plain words.

    `useful_from`: an agent is useless that surely keeps less of the task value; `least_kept` times
    what the best agent keeps that never acts outside authority.
    """

    deployment: str
    digest: str
    world_digest: str
    distribution: str
    seed: int
    goals: int
    steps: int
    discount: float
    limit: float
    least_kept: float
    useful_from: float
    rates: Mapping[str, float]
    drives: tuple[str, ...]
    accepted: tuple[str, ...]
    tried: tuple[Tried, ...]
    findings: tuple[str, ...]
    left_out: tuple[str, ...]
    software: str = f"corrigible {corrigible.__version__}"

    @property
    def method(self) -> str:
        """How every figure was made."""
        return (
            f"each policy followed exactly for {self.steps} steps and evaluated exactly, for each "
            f"of {self.goals} goals drawn from {self.distribution} with seed {self.seed}; "
            "intervals over goals, 95 %"
        )

    def of_side(self, *sides: Side) -> tuple[Tried, ...]:
        """What was tried on some sides, in order."""
        return tuple(each for each in self.tried if each.side in sides)

    def as_json(self) -> dict[str, Any]:
        """Plain values: one key a field, estimates as value, low, high, n and method."""
        return {
            "deployment": self.deployment,
            "digest": self.digest,
            "world_digest": self.world_digest,
            "software": self.software,
            "goals": {"distribution": self.distribution, "n": self.goals, "seed": self.seed},
            "steps": self.steps,
            "discount": self.discount,
            "limit": self.limit,
            "least_kept": self.least_kept,
            "useful_from": self.useful_from,
            "rates": dict(self.rates),
            "method": self.method,
            "drives": list(self.drives),
            "accepted": list(self.accepted),
            "tried": [_tried_json(each) for each in self.tried],
            "findings": list(self.findings),
            "left_out": list(self.left_out),
        }


def _tried_json(each: Tried) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "words": each.words,
        "side": each.side,
        "strength": each.strength,
        "parameters": dict(each.parameters),
        "kept": _estimate_json(each.kept),
        "drives": {drive: _estimate_json(own) for drive, own in each.drives.items()},
        "joint": _estimate_json(each.joint),
        "waits": _estimate_json(each.waits),
        "idle": _estimate_json(each.idle),
        "asks": _estimate_json(each.asks),
        "approximates": each.approximates,
        "frontier": each.frontier,
    }


def _estimate_json(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "method": estimate.method,
    }
