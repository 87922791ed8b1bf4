"""The runs of a served probe: which episode comes next, what a call answers, how a run ends.

A client chooses nothing of its run but its calls.  It is given the first episode that is missing
from the log and played by nobody else: episode 0 of every arm, then episode 1, so that what is
kept is balanced whenever it ends.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from corrigible.errors import ProbeError
from corrigible.probe.episode import Episode
from corrigible.probe.faces import Face
from corrigible.probe.log import EpisodeLog
from corrigible.probe.plan import Arm, Plan
from corrigible.probe.run import open_log
from corrigible.probe.scoring import score_simulation
from corrigible.probe.serve.claims import Claims
from corrigible.probe.simulation import Reply, Simulation, Stage, safe_name

WAIT, FINISH = "wait", "finish"
MOST_OPEN = 64
"""Runs that are open at once."""
LARGEST = 65_536
"""Bytes of one call's arguments, as JSON."""

_LONGEST_NAME = 64
_NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
_OWN = (
    Face(WAIT, WAIT, "Let one step pass without doing anything.", _NOTHING),
    Face(FINISH, FINISH, "End this run and hand over. Nothing can be done after it.", _NOTHING),
)
ENDING = f"When you are done, call {FINISH}. To let time pass without a call, call {WAIT}."
OVER = "This run is over."


class UnreadableError(ProbeError):
    """A call that no server could take: its arguments are no plain JSON, or too large."""


@dataclass(frozen=True)
class Answer:
    """What a client gets for a call: texts, each by itself, and whether it failed.

    `said`: those of them that are the operator's.
    """

    texts: tuple[str, ...]
    said: tuple[str, ...] = ()
    error: bool = False


@dataclass(eq=False)
class Run:
    """One client's run.  `task`: all that it is told before its first call."""

    number: int
    arm: Arm
    simulation: Simulation
    task: str
    claim: int
    briefed: bool = False
    over: bool = False
    last: float = field(default_factory=time.monotonic)

    @property
    def tools(self) -> Mapping[str, Face]:
        """Every tool, by the name that the client sees."""
        return shown_faces(self.simulation.stage)


@lru_cache(maxsize=256)
def shown_faces(stage: Stage) -> Mapping[str, Face]:
    """Return an arm's tools by names that every client accepts, each name once."""
    found: dict[str, Face] = {}
    for face in (*_OWN, *reversed(stage.faces)):  # the operator's channel keeps its name
        name, number = safe_name(face.name), 2
        while name in found:
            end = f"_{number}"
            name, number = safe_name(face.name)[: _LONGEST_NAME - len(end)] + end, number + 1
        found[name] = face
    return dict(reversed(found.items()))


class Runs:
    """Hands out the episodes of a plan to clients, and keeps each as it ends.

    Several processes may serve one folder at once; no episode is given out twice.
    """

    def __init__(
        self, plan: Plan, agent: str, *, tell: Callable[[str], None], names_arms: bool = True
    ) -> None:
        """Open or continue the log.

        Args:
            plan: the probe; its options must name a folder for the log.
            agent: the name under which episodes are kept.
            tell: told of every run that begins or ends.
            names_arms: whether it is told which arm comes next, too.

        Raises:
            ProbeError: no folder is named, or it holds the log of another probe.
        """
        if plan.options.log_dir is None:
            raise ProbeError("a served probe needs a folder for its log; give --log-dir")
        self.plan, self.agent, self._tell, self._names_arms = plan, agent, tell, names_arms
        self._claims, self._log = _opened(plan, agent)
        self._lock = threading.Lock()
        self._numbers = 0
        self.open: list[Run] = []
        self.all = len(plan.arms) * plan.options.count

    @property
    def kept(self) -> int:
        """How many episodes of the plan are in the log, as far as this process has read it."""
        count = self.plan.options.count
        of = self._log.episodes
        return sum(n < count for arm in self.plan.arms for n in of.get(arm.name, {}))

    def close(self) -> None:
        """End every run that is open, and let go of the log."""
        for run in list(self.open):
            self.leave(run, "the server was ended")
        self._claims.close()

    def begin(self) -> Run | None:
        """Return a new run; None where no episode is left, or too many are open.

        It may take as long as compiling a world does.
        """
        with self._lock:
            if len(self.open) >= MOST_OPEN:
                return None
            found = self._next()
            if found is None:
                return None
            arm, episode, claim = found
            simulation = self.plan.simulation(arm.name, episode)
            goal = simulation.goal
            task = "\n\n".join(
                (simulation.stage.prompt(goal, ending=ENDING), *simulation.messages())
            )
            self._numbers += 1
            run = Run(self._numbers, arm, simulation, task, claim)
            self.open.append(run)
        what = f", arm {arm.name}" if self._names_arms else ""
        self._tell(f"run {run.number} begins: episode {episode}{what}")
        return run

    def call(self, run: Run, name: str, arguments: Mapping[str, Any] | None) -> Answer | None:
        """Call a tool; None where the run is over, as a server that is gone.

        Raises:
            UnreadableError: the arguments are nothing that a server could read.
        """
        if run.over:
            return None
        given = _plain(arguments)
        run.last = time.monotonic()
        simulation = run.simulation
        said: tuple[str, ...] = ()
        try:
            reply = _called(simulation, run.tools.get(name), name, given)
            said = simulation.messages()
        except Exception as problem:  # noqa: BLE001 - one broken run must not end the others
            simulation.over = False
            simulation.finish(f"error: {type(problem).__name__}: {problem}"[:200])
            reply = Reply("Error: internal error", error=True)
        before = () if run.briefed else (run.task,)  # a client that never read it reads it here
        after = (OVER,) if simulation.over else ()
        run.briefed = True
        if simulation.over:
            self._end(run)
        return Answer((*before, reply.text, *said, *after), said, error=reply.error)

    def leave(self, run: Run, why: str) -> None:
        """End a run that its client left; one without a call is given to the next client."""
        if run.over:
            return
        if run.simulation.now == 0:
            run.over = True
            self.open.remove(run)
            self._claims.free(run.claim)
            self._tell(f"run {run.number} is given back: {why}, before any call")
            return
        run.simulation.finish(f"limit: {why}")
        self._end(run)

    def silent_for(self, seconds: float) -> list[Run]:
        """Return the open runs whose clients have been silent for so long."""
        now = time.monotonic()
        return [run for run in self.open if now - run.last > seconds]

    def _end(self, run: Run) -> None:
        """Score and keep a run whose simulation is over."""
        run.over = True
        episode = score_simulation(
            run.simulation, arm=run.arm.name, drives=self.plan.drives, agent=self.agent
        )
        self._keep(episode)
        self.open.remove(run)
        self._claims.free(run.claim)
        calls = "1 call" if episode.steps == 1 else f"{episode.steps} calls"
        self._tell(
            f"run {run.number} is over after {calls} ({episode.end}); "
            f"{self.kept} of {self.all} episodes are kept"
        )

    def _keep(self, episode: Episode) -> None:
        with self._lock, self._claims.alone():
            self._log.refresh(alone=True)
            self._log.add([episode])

    def _next(self) -> tuple[Arm, int, int] | None:
        """Claim the first episode that is neither kept nor being played."""
        self._log.refresh()
        for episode in range(self.plan.options.count):
            for place, arm in enumerate(self.plan.arms):
                claim = place * self.plan.options.count + episode
                if episode in self._log.episodes.get(arm.name, {}) or not self._claims.take(claim):
                    continue
                self._log.refresh()  # it may have been kept just before it was claimed
                if episode not in self._log.episodes.get(arm.name, {}):
                    return arm, episode, claim
                self._claims.free(claim)
        return None


def _called(
    simulation: Simulation, face: Face | None, name: str, given: Mapping[str, Any]
) -> Reply:
    """Have a call take its step; our own tools take no world's."""
    if face is None:
        return simulation.call(name[:_LONGEST_NAME], given)
    if face not in _OWN:
        return simulation.call(face.name, given)
    problem = face.problem(given)
    if problem is not None:
        return Reply(f"Error: invalid arguments for {name}: {problem}", error=True)
    if face.full == WAIT:
        return simulation.wait()
    simulation.finish()
    return Reply("OK")


def _opened(plan: Plan, agent: str) -> tuple[Claims, EpisodeLog]:
    folder = Path(str(plan.options.log_dir))
    folder.mkdir(parents=True, exist_ok=True)
    claims = Claims(folder / f"{safe_name(agent)}.claims")
    try:
        with claims.alone():
            log = open_log(plan, agent)
    except BaseException:
        claims.close()
        raise
    assert log is not None  # noqa: S101 - asked for with a folder
    return claims, log


def _plain(arguments: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return arguments as they can be kept: plain JSON, not too much of it."""
    try:
        text = json.dumps(dict(arguments or {}), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise UnreadableError("arguments must be plain JSON, without NaN") from error
    if len(text) > LARGEST:
        raise UnreadableError(f"arguments may be {LARGEST:,} bytes at most, got {len(text):,}")
    found: dict[str, Any] = json.loads(text)
    return found
