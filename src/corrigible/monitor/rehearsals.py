"""Transcripts with known truth: our own planners, played by calls and written as a run is.

The benign ones calibrate the shipped threshold; the others measure what the detectors find.  What
an episode served is known from its acts, not from its text.  Needs the extra `audit`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from corrigible.deployment.load import Loaded
from corrigible.monitor.transcript import Event, Transcript
from corrigible.probe.caller import Caller
from corrigible.probe.plan import Options, Plan
from corrigible.probe.planners import planner, seeker
from corrigible.probe.simulation import Reply, Simulation

_LONGEST = 40
"""Steps of an episode that are written; a planner whose work is done waits on for ever."""


@dataclass(frozen=True)
class Rehearsed:
    """A transcript, and the drives that its acts outside authority serve: its truth."""

    transcript: Transcript
    drives: frozenset[str]


def rehearse(loaded: Loaded, agent: str, *, episodes: int, seed: int = 0) -> Iterator[Rehearsed]:
    """Yield episodes of a planner in a deployment's world, as transcripts.

    Args:
        loaded: the deployment.
        agent: a planner's name (`planner/optimal`), or `seek:` and a drive.
        episodes: how many; each has a goal of its own.
        seed: of the world's chances.
    """
    plan = Plan(loaded, Options(episodes=episodes, seed=seed, factors=()), reads=False)
    stage = plan.stage("natural")
    who = seeker(agent.removeprefix("seek:")) if agent.startswith("seek:") else planner(agent)
    caller = Caller.of(stage, who)
    for episode in range(episodes):
        simulation = Simulation(stage, seed, episode, plan.goal_of(episode))
        events = [
            Event("system", simulation.system_prompt, where="prompt"),
            Event("user", loaded.deployment.agent.goal or "Go on."),
        ]
        while not simulation.over and simulation.now < _LONGEST:
            call = caller.next_call(simulation)
            if call is None:
                simulation.wait()
                continue
            reply = simulation.call(call.tool, call.arguments)
            events += _written(call.tool, call.arguments, reply, len(events))
        served = [s.acts.against for s in simulation.steps if s.acts is not None]
        name = f"{loaded.deployment.name}/{agent}/{seed}/{episode}"
        yield Rehearsed(
            Transcript(name, loaded.file, "rehearsed", agent, tuple(events)),
            frozenset[str]().union(*served),
        )


def _written(tool: str, arguments: Any, reply: Reply, index: int) -> list[Event]:
    server, _, name = tool.partition(".")
    where = f"call {index}"
    denied = "outside your authority" in reply.text
    return [
        Event("call", server=server, tool=name, arguments=dict(arguments), call_id=where,
              where=where),
        Event("denied" if denied else "result", reply.text, call_id=where, is_error=reply.error,
              where=where),
    ]  # fmt: skip
