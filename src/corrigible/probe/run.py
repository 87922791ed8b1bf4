"""One probe from end to end: plan, play every arm, check the controls, and say what was seen."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corrigible.deployment.load import Loaded
from corrigible.errors import ProbeError
from corrigible.probe.controls import Controls, play_planner
from corrigible.probe.episode import Episode
from corrigible.probe.log import EpisodeLog, Episodes, log_path
from corrigible.probe.plan import Arm, Options, Plan, Tell
from corrigible.probe.planners import Planner, Policy
from corrigible.probe.result import ProbeResult, result_of
from corrigible.probe.scoring import acted, score_simulation
from corrigible.probe.sequential import EProcess
from corrigible.probe.simulation import Simulation
from corrigible.probe.trained import NAMES, agent_named

_BATCH = 50  # episodes between two looks at whether to stop, and two writes to the log


@dataclass(frozen=True)
class TextAgent:
    """An agent that plays by calls: `play` takes a simulation to its end.

    What it raises makes the episode an error, never a safe one.
    """

    name: str
    play: Callable[[Simulation], None] = field(compare=False)
    digest: str | None = None


Agent = Planner | TextAgent


def agent_of(name: str) -> Planner:
    """Return the agent of a name that plays in process.

    Raises:
        ProbeError: there is none.
    """
    return agent_named(name)


def in_process(name: str) -> bool:
    """Whether an agent's name is of one that plays here; any other one's episodes are in a log."""
    return name.startswith(("planner/", "policy/", "learner/"))


def agent_digest(agent: Agent | str) -> str:
    """Return what stands for an agent in evidence: its own digest, or that of its name."""
    own: str | None = getattr(agent, "digest", None)
    name = agent if isinstance(agent, str) else agent.name
    return own or hashlib.sha256(name.encode()).hexdigest()


def run_probe(
    loaded: Loaded, agent: Agent, options: Options | None = None, tell: Tell | None = None
) -> ProbeResult:
    """Probe an agent in a deployment.

    With `options.log_dir` every episode is kept as it ends, and a rerun plays only what is missing.

    Raises:
        ProbeError: the options do not fit, or the log belongs to another probe.
        WorldTooLargeError, NotSolvedError: as an audit raises them.
    """
    asked = options or Options()
    told: Tell = tell or (lambda _text: None)
    plan = Plan(loaded, asked, reads=isinstance(agent, TextAgent), tell=told)
    log = open_log(plan, agent.name)
    episodes: Episodes = {} if log is None else log.episodes
    controls = Controls(plan)
    for arm in plan.arms:
        _play_arm(plan, agent, arm, episodes=episodes, log=log, controls=controls)
    told("controls")
    file = None if log is None else str(log.file)
    return result_of(plan, agent.name, _own(plan, episodes), controls=controls, log=file)


def result_of_log(
    loaded: Loaded, agent: str, options: Options, tell: Tell | None = None
) -> ProbeResult:
    """Return what the episodes say that an agent played by calls and left in `options.log_dir`.

    Controls run as in every probe; an episode that is missing from the log is in no figure.

    Raises:
        ProbeError: there is no log of the agent, or it belongs to another probe.
    """
    file = log_file(options, agent)
    if file is None or not file.exists():
        where = "--log-dir is not given" if file is None else f"there is no {file}"
        known = ", ".join(NAMES)
        raise ProbeError(
            f"--agent must be one of {known}, or one with a log ({where}), got {agent!r}"
        )
    plan = Plan(loaded, options, reads=True, tell=tell)
    log = open_log(plan, agent)
    assert log is not None  # noqa: S101 - it has a folder
    return result_of(plan, agent, _own(plan, log.episodes), log=str(file))


def log_file(options: Options, agent: str) -> Path | None:
    """Return where an agent's episodes are kept; None where they are not."""
    return None if options.log_dir is None else log_path(Path(options.log_dir), agent)


def open_log(plan: Plan, agent: str) -> EpisodeLog | None:
    """Open the log that the options ask for; None where they ask for none."""
    if plan.options.log_dir is None:
        return None
    return EpisodeLog(Path(plan.options.log_dir), agent, log_header(plan))


def log_header(plan: Plan) -> dict[str, Any]:
    """Return what episodes must share to be of one probe."""
    return {
        "deployment": plan.loaded.deployment.name,
        "digest": plan.loaded.digest,
        "world": plan.setting.world.digest(),
        "seed": plan.options.seed,
        "goals": plan.goals.shape[1],
        "distribution": plan.options.question.distribution,
        "drives": list(plan.drives),
        "main": [arm.name for arm in plan.main],
    }


def _own(plan: Plan, episodes: Episodes) -> Episodes:
    """Keep the episodes that this probe asks for: a log may hold more."""
    names = {arm.name for arm in plan.arms}
    count = plan.options.count
    return {
        arm: {n: e for n, e in those.items() if n < count}
        for arm, those in episodes.items()
        if arm in names
    }


def _play_arm(
    plan: Plan,
    agent: Agent,
    arm: Arm,
    *,
    episodes: Episodes,
    log: EpisodeLog | None,
    controls: Controls,
) -> None:
    """Play what is missing of an arm, a batch at a time."""
    own = episodes.setdefault(arm.name, {})
    policy: Policy | None = None
    for first in range(0, plan.options.count, _BATCH):
        numbers = range(first, min(first + _BATCH, plan.options.count))
        missing = [n for n in numbers if n not in own]
        if missing:
            plan.tell(f"{agent.name}, {arm.name}: {first} of {plan.options.count} episodes")
            if isinstance(agent, Planner):
                policy = controls.policy(agent, arm.name) if policy is None else policy
                _keep(play_planner(plan, agent, arm, missing, policy=policy), own, log)
            else:
                for n in missing:  # each is dear: none is lost if the next one is interrupted
                    _keep([play_text(plan, agent, arm, n)], own, log)
        if plan.options.stop_limit is not None and _may_stop(plan, arm, own):
            return


def _keep(new: list[Episode], own: dict[int, Episode], log: EpisodeLog | None) -> None:
    if log is not None:
        log.add(new)
    own.update({episode.episode: episode for episode in new})


def play_text(plan: Plan, agent: TextAgent, arm: Arm, number: int) -> Episode:
    """Play and score one episode by calls."""
    simulation = plan.simulation(arm.name, number)
    try:
        agent.play(simulation)
        simulation.finish()
    except Exception as error:  # noqa: BLE001 - one broken episode must not lose the others
        simulation.over = False
        simulation.finish(f"error: {type(error).__name__}: {error}"[:200])
    return score_simulation(simulation, arm=arm.name, drives=plan.drives, agent=agent.name)


def _may_stop(plan: Plan, arm: Arm, own: dict[int, Episode]) -> bool:
    """Whether every drive's rate is by now known to be below the limit, however often one looks."""
    limit = plan.options.stop_limit
    assert limit is not None  # noqa: S101 - asked only with a limit
    for drive in arm.drives:
        said = [own[n] for n in sorted(own) if not own[n].facts(drive).left_out]
        if not EProcess(limit).add(acted(said, drive)):
            return False
    return True
