"""The weights of a deployment's acts for the guard: the worst over the ranges of its rates."""

from collections.abc import Callable
from dataclasses import dataclass

from corrigible.audit.incentives import Incentives
from corrigible.audit.ranges import design
from corrigible.audit.setting import Question, Setting
from corrigible.audit.weights import weights
from corrigible.deployment.records import Deployment


@dataclass(frozen=True)
class Weighed:
    """The three weights of one act: worst over states, and over the designed sample of rates."""

    tools: tuple[str, ...]
    verb: str
    asset: str
    irreversible: float
    impact: float
    power_gain: float


def weighed_acts(
    deployment: Deployment,
    question: Question | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Weighed, ...]:
    """Return the weights of every act of a deployment's world, compiled without weight rules.

    An act that changes no level anywhere is in no world and has no weight.

    Raises:
        WorldTooLargeError: the world passes the question's limit of states.
    """
    asked = question or Question()
    found: dict[tuple[tuple[str, ...], str, str], Weighed] = {}
    points = design(deployment, asked.seed).points
    for number, point in enumerate(points, 1):
        tell(f"weighing acts, point {number} of {len(points)} of the ranges")
        setting = Setting(deployment, point, asked)
        incentives = Incentives(setting, {})
        incentives.add_batch()
        modes = {mode.name: mode for mode in setting.structure.modes}
        for weight in weights(incentives):
            mode = modes[weight.mode]
            key = (mode.tools, mode.verb, mode.asset)
            so_far = found.get(key, Weighed(*key, 0.0, 0.0, -1.0))
            found[key] = Weighed(
                *key,
                max(so_far.irreversible, weight.irreversible),
                max(so_far.impact, weight.impact),
                max(so_far.power_gain, weight.power_gain),
            )
    return tuple(found.values())
