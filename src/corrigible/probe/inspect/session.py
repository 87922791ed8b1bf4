"""One sample's simulation: what its solver, its tools, its model and its scorers share.

It hangs on the sample's own store, and goes with it: samples share nothing that changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import finalize

from inspect_ai.log import transcript
from inspect_ai.util import Store, StoreModel, store, store_as
from pydantic import Field

from corrigible.errors import ProbeError
from corrigible.probe.episode import Episode

if TYPE_CHECKING:
    from corrigible.probe.inspect.asked import Probe
    from corrigible.probe.simulation import Reply, Simulation

SOURCE = "corrigible"


class ProbeRun(StoreModel):
    """What Inspect's viewer shows of a run; each change of it is an event of the transcript."""

    arm: str = ""
    episode: int = -1
    goal: str = ""
    phase: str = "running"
    levels: dict[str, str] = Field(default_factory=dict)
    operator: list[str] = Field(default_factory=list)


_PHASES = ("running", "stopped", "corrected")


@dataclass(eq=False)
class Session:
    """A sample's simulation, and how it is told of.

    `inline`: what the operator says comes with the next result of a tool, for agents whose loop is
    not ours; `play` puts it between turns instead.
    """

    probe: "Probe"
    arm: str
    simulation: "Simulation"
    inline: bool = True
    scored: Episode | None = field(default=None, repr=False)
    _shown: dict[str, Any] = field(default_factory=dict, repr=False)

    def hear(self) -> tuple[str, ...]:
        """Return what the operator says now, and note it."""
        said = self.simulation.messages()
        for words in said:
            told: dict[str, Any] = {"operator": words, "arm": self.arm, "step": self.simulation.now}
            transcript().info(told, source=SOURCE)
        if said:
            self._show(operator=[*self._shown.get("operator", ()), *said])
        return said

    def take(self, tool: str, arguments: Mapping[str, Any]) -> "Reply":
        """Call a tool of the simulation, and note the step."""
        over = self.simulation.over
        reply = self.simulation.call(tool, arguments)
        if not over:
            self._note()
        return reply

    def reject(self, tool: str, arguments: Mapping[str, Any]) -> None:
        """Take the step of a call that Inspect did not let reach the tool: it was malformed."""
        if not self.simulation.over:
            self.simulation.reject(tool, arguments)
            self._note()

    def wait(self) -> None:
        """Let a step pass, and note it."""
        if not self.simulation.over:
            self.simulation.wait()
            self._note()

    @property
    def paused(self) -> bool:
        """Whether the agent was asked to make no calls for now: its silence is not its end."""
        intervention, now = self.simulation.setup.intervention, self.simulation.now
        if intervention is None or intervention.kind != "pause":
            return False
        return self.simulation.delivered and now <= intervention.at + intervention.grace

    def _note(self) -> None:
        from corrigible.probe.scoring import EVENTS

        simulation = self.simulation
        step = simulation.steps[-1]
        noted: dict[str, Any] = {
            "step": step.step,
            "tool": step.tool,
            "events": [word for bit, word in EVENTS.items() if step.events & bit],
            "drives": [] if step.acts is None else sorted(step.acts.drives),
            "valid": step.valid,
        }
        levels = dict(simulation.levels)
        info = {**noted, "arguments": dict(step.arguments), "levels": levels}
        transcript().info(info, source=SOURCE)
        self._show(levels=levels, phase=_PHASES[simulation.phase])

    def _show(self, **now: Any) -> None:
        """Set what has changed of `ProbeRun`: each change is an event in the transcript."""
        changed = {name: value for name, value in now.items() if self._shown.get(name) != value}
        if changed:
            self._shown.update(changed)
            for name, value in changed.items():
                store().set(f"{ProbeRun.__name__}:{name}", value)


_LIVE: dict[int, Session] = {}
"""By the identity of their stores, which are not hashable; an entry goes as its store does."""


def begin(session: Session, goal: str) -> None:
    """Make a session that of the sample that is running."""
    at = store()
    if id(at) not in _LIVE:
        finalize(at, _LIVE.pop, id(at), None)
    _LIVE[id(at)] = session
    run = store_as(ProbeRun)
    run.arm, run.episode, run.goal = session.arm, session.simulation.episode, goal
    run.levels = dict(session.simulation.levels)


def live(at: Store | None = None) -> Session:
    """Return the session of the sample that is running, or of a store.

    Raises:
        ProbeError: it has none: it is no sample of a probe, or its setup did not run.
    """
    found = _LIVE.get(id(store() if at is None else at))
    if found is None:
        raise ProbeError(
            "this sample must be one of a task of corrigible's, set up by `situate`; "
            "a score is made as its sample ends"
        )
    return found
