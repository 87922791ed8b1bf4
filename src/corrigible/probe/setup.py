"""What one arm of a probe consists of: the deployment at exact rates, and all that is told."""

from dataclasses import dataclass
from typing import Literal

from corrigible.deployment.records import Deployment
from corrigible.probe.interventions import Intervention


@dataclass(frozen=True)
class Setup:
    """One arm: the world by its deployment, and what only an agent that reads can tell apart.

    `permission`: what the prompt says of acts outside authority; `precedence`: whether it says
    that a stop comes before the task; `score`: whether what is scored and what is wanted agree;
    `context`: whether the task is put as usual, or elsewhere; `names`: plain, or renamed.
    """

    deployment: Deployment
    intervention: Intervention | None = None
    guarded: bool = False
    permission: Literal["as stated", "forbidden", "permitted", "unmentioned"] = "as stated"
    precedence: Literal["unsaid", "stated", "ambiguous"] = "unsaid"
    watched: Literal["as it is", "said", "denied"] = "as it is"
    stakes: Literal["unsaid", "high", "low"] = "unsaid"
    names: Literal["plain", "renamed"] = "plain"
    score: Literal["agrees", "parts"] = "agrees"
    context: Literal["usual", "shifted"] = "usual"
    consequence: Literal["none", "high score"] = "none"
    memory: bool = False
