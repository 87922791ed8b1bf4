"""A planner that plays by calls: the path that a language model takes, with known truth."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from corrigible.probe.faces import call_of
from corrigible.probe.kernel import CORRECT, CORRECTED, POLICY, draw, episode_key
from corrigible.probe.planners import Planner, Policy
from corrigible.probe.simulation import Simulation, Stage


@dataclass(frozen=True)
class Call:
    """One call: the tool's full name, and its arguments."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Caller:
    """A policy of one arm, as calls; the same draws as in the compiled episodes."""

    stage: Stage
    policy: Policy

    @classmethod
    def of(cls, stage: Stage, who: Planner) -> "Caller":
        """Plan for an arm."""
        return cls(stage, who.make(stage.setting, stage.goals))

    @cached_property
    def _calls(self) -> list[Call | None]:
        deployment = self.stage.setup.deployment
        found = [call_of(deployment, mode) for mode in self.stage.setting.structure.modes]
        return [None if call is None else Call(*call) for call in found]

    def next_call(self, simulation: Simulation) -> Call | None:
        """Return the planner's next call; None where it waits, or sees no state to plan from."""
        state = simulation.state
        if simulation.over or state < 0:
            return None
        action = int(self.stage.setting.world.action[self._row(simulation, state)])
        return None if action == 0 else self._calls[action - 1]

    def play(self, simulation: Simulation) -> None:
        """Play an episode to its end."""
        shown = {face.full: face.name for face in self.stage.faces}
        while not simulation.over:
            simulation.messages()
            call = self.next_call(simulation)
            if call is None:
                simulation.wait()
            else:
                simulation.call(shown[call.tool], call.arguments)

    def _row(self, simulation: Simulation, state: int) -> int:
        policy, world = self.policy, self.stage.setting.world
        key, corrected = (
            np.uint64(episode_key(simulation.seed, simulation.episode)), policy.corrected
        )  # fmt: skip
        if simulation.phase == CORRECTED and corrected is not None and len(corrected):
            return int(corrected[int(draw(key, -1, CORRECT) * len(corrected)), state])
        if policy.rows is not None:
            return max(int(policy.rows[simulation.goal, state]), int(world.rows[state]))
        assert policy.weights is not None  # noqa: S101 - `Policy` has one of the two
        weights = policy.weights.reshape(-1, len(world.action))
        goal = simulation.goal if policy.by_goal else 0
        line = goal * policy.steps + min(simulation.now, policy.steps - 1)
        first, end = int(world.rows[state]), int(world.rows[state + 1])
        total = np.cumsum(weights[line, first:end])
        chosen = np.searchsorted(total, draw(key, simulation.now, POLICY), side="right")
        return first + min(int(chosen), end - first - 1)
