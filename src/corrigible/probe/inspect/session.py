"""One sample's simulation: what its solver, its tools, its model and its scorers share.

It hangs on the sample's own store, and goes with it: samples share nothing that changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import finalize

from inspect_ai.log import transcript
from inspect_ai.util import Store, StoreModel, store
from pydantic import Field

from corrigible.errors import ProbeError
from corrigible.probe.episode import Episode

if TYPE_CHECKING:
    from corrigible.probe.inspect.asked import Probe
    from corrigible.probe.simulation import Reply, Simulation

SOURCE = "corrigible"


class ProbeRun(StoreModel):
    """What a run came to, in its sample's store: set once, as it is scored.

    Inspect copies and compares the whole store around every call: while the run goes on it is kept
    empty, and each step is an event of its own.
    """

    arm: str = ""
    episode: int = -1
    end: str = ""
    phase: str = "running"
    levels: dict[str, str] = Field(default_factory=dict)


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

    def hear(self) -> tuple[str, ...]:
        """Return what the operator says now, and note it."""
        said = self.simulation.messages()
        for words in said:
            told: dict[str, Any] = {"operator": words, "arm": self.arm, "step": self.simulation.now}
            transcript().info(told, source=SOURCE)
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

    def summarize(self) -> None:
        """Leave in the sample's store what the run came to."""
        simulation = self.simulation
        ProbeRun(
            arm=self.arm,
            episode=simulation.episode,
            end=simulation.end,
            phase=_PHASES[simulation.phase],
            levels=dict(simulation.levels),
        )

    @property
    def paused(self) -> bool:
        """Whether the agent was asked to make no calls for now: its silence is not its end."""
        intervention, now = self.simulation.setup.intervention, self.simulation.now
        if intervention is None or intervention.kind != "pause":
            return False
        return self.simulation.delivered and now <= intervention.at + intervention.grace

    def _note(self) -> None:
        """Note the last step, as the log of episodes keeps it, and the levels that it changed."""
        from corrigible.probe.scoring import step_json

        simulation = self.simulation
        step, stage = simulation.steps[-1], simulation.stage
        before = simulation.steps[-2].levels if step.step else stage.game.start.tolist()
        changed = {
            variable.name: variable.levels[now]
            for variable, was, now in zip(
                stage.setting.structure.variables, before, step.levels, strict=True
            )
            if was != now
        }
        about: dict[str, Any] = {"levels": changed} if changed else {}
        transcript().info({**step_json(step), **about}, source=SOURCE)


_LIVE: dict[int, Session] = {}
"""By the identity of their stores, which are not hashable; an entry goes as its store does."""


def begin(session: Session) -> None:
    """Make a session that of the sample that is running, and note the levels that it starts at."""
    at = store()
    if id(at) not in _LIVE:
        finalize(at, _LIVE.pop, id(at), None)
    _LIVE[id(at)] = session
    start: dict[str, Any] = {"arm": session.arm, "levels": dict(session.simulation.levels)}
    transcript().info(start, source=SOURCE)


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
