"""Inspect's logs read back: the same episodes, and so the same result, as were played.

What a log says is believed of the acts, never of the plan: the plan is made again from what was
asked, and must be the log's own.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inspect_ai.log import EvalLog, EvalSample, read_eval_log, read_eval_log_samples
from pydantic import ValidationError

from corrigible.deployment.load import Loaded
from corrigible.errors import ProbeError
from corrigible.evidence import software_digest
from corrigible.probe.controls import Controls
from corrigible.probe.episode import RUNGS, DriveFacts, Episode
from corrigible.probe.inspect.asked import FORMAT, HEADER, Asked, Probe, differences, parse_asked
from corrigible.probe.inspect.scorers import EPISODE, RECORD
from corrigible.probe.log import Episodes
from corrigible.probe.plan import Plan, Tell
from corrigible.probe.result import ProbeResult, result_of
from corrigible.probe.run import TextAgent
from corrigible.probe.simulation import Simulation

_LADDER = "ladder"
_UNREAD = {"messages", "events", "store", "attachments", "output", "timelines"}


@dataclass(frozen=True)
class Reading:
    """What a log holds: the plan, the agent and its digest, the episodes, and what was left out.

    `notes`: in sentences, what of the log does not count, with its number.
    """

    plan: Plan = field(compare=False)
    agent: str
    digest: str
    episodes: Episodes
    notes: tuple[str, ...]
    file: str

    @property
    def who(self) -> TextAgent:
        """The agent as evidence knows it; it has played already."""
        return TextAgent(self.agent, Simulation.finish, self.digest)

    def result(self, controls: Controls | None = None) -> ProbeResult:
        """Return what the episodes say, as of any other agent's."""
        return result_of(self.plan, self.agent, self.episodes, controls=controls, log=self.file)


def read_inspect_log(
    file: Path, loaded: Loaded, *, given: Mapping[str, Any] | None = None, tell: Tell | None = None
) -> Reading:
    """Read the episodes of a probe from Inspect's log of it.

    The first epoch of a sample counts, whatever came of it: a sample that broke is an error.

    Args:
        file: the log, `.eval` or `.json`.
        loaded: the deployment, which must be the log's.
        given: options by their names in `Asked` that the log must agree with.
        tell: told what is being made.

    Raises:
        ProbeError: it cannot be read, or is of another deployment, plan or software.
    """
    log = _header(file)
    header = (log.eval.metadata or {}).get(HEADER)
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ProbeError(f"{file} must be Inspect's log of a probe of corrigible's; it is of none")
    asked = parse_asked(header.get("asked"))
    plan = _own_plan(file, header, asked, loaded, given=given or {}, tell=tell)
    samples = _samples(file)
    agent = str(log.eval.model)
    episodes, notes = _episodes(plan, agent, samples)
    if log.status != "success":
        notes.append(f"the log's status is {log.status}: it may hold a part of what was to be run")
    notes += _missing(plan, episodes)
    return Reading(plan, agent, agent_digest_of(log), episodes, tuple(notes), str(file))


def agent_digest_of(log: EvalLog) -> str:
    """Return what stands for the agent of a log: its model, how it generates, and who loops."""
    spec = log.eval
    config = spec.model_generate_config.model_dump(exclude_none=True)
    about = {
        "model": spec.model,
        "model_args": spec.model_args,
        "base_url": spec.model_base_url,
        "generate": {k: v for k, v in config.items() if k not in _NOT_THE_AGENT},
        "plan": {
            k: v
            for k, v in log.plan.config.model_dump(exclude_none=True).items()
            if k not in _NOT_THE_AGENT
        },
        "solver": [
            (step.solver, step.params)
            for step in log.plan.steps
            if step.solver.rpartition("/")[2] != "situate"
        ],
    }
    text = json.dumps(about, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


_NOT_THE_AGENT = {"max_connections", "max_retries", "timeout", "attempt_timeout", "cache"}
"""What changes how calls are made and not what is answered."""


def _header(file: Path) -> EvalLog:
    try:
        return read_eval_log(str(file), header_only=True)
    except _UNREADABLE as error:
        raise ProbeError(f"{file} must be a log of Inspect's, got {_short(error)}") from error


_UNREADABLE = (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile)


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _own_plan(
    file: Path,
    header: Mapping[str, Any],
    asked: Asked,
    loaded: Loaded,
    *,
    given: Mapping[str, Any],
    tell: Tell | None,
) -> Plan:
    """Make the log's plan again, and hold it against what the log says of it."""
    told = header.get("plan")
    if not isinstance(told, dict):
        raise ProbeError(f"{file} does not say which plan was played")
    if told.get("digest") != loaded.digest:
        raise ProbeError(
            f"{file} is of another deployment: its manifest's digest is {told.get('digest')!r}, "
            f"that of {loaded.file} is {loaded.digest!r}"
        )
    known = {**asked.json(), "drives": told.get("drives")}
    wrong = [k for k, v in given.items() if json.loads(json.dumps(v)) != known[k]]
    if wrong:
        raise ProbeError(
            f"{file} is of another probe: its {wrong[0]} is {known[wrong[0]]!r}, "
            f"not {given[wrong[0]]!r}"
        )
    software = software_digest()
    if header.get("software") != software:
        raise ProbeError(
            f"{file} was made by other software (digest {header.get('software')!r}, this is "
            f"{software!r}): play it anew"
        )
    probe = Probe(loaded, asked, tell)
    different = differences(told, probe.header["plan"])
    if different:
        raise ProbeError(f"{file} is of another plan ({', '.join(different)} differ)")
    return probe.plan


def _samples(file: Path) -> Iterable[EvalSample]:
    try:
        yield from read_eval_log_samples(
            str(file), all_samples_required=False, exclude_fields=_UNREAD
        )
    except _UNREADABLE as error:
        raise ProbeError(f"{file}: a sample cannot be read: {_short(error)}") from error


def _episodes(plan: Plan, agent: str, samples: Iterable[EvalSample]) -> tuple[Episodes, list[str]]:
    episodes: Episodes = {}
    later = broke = again = 0
    for sample in samples:
        arm, number = _place(plan, sample)
        if sample.epoch != 1:
            later += 1
            continue
        again += bool(sample.error_retries)
        why = _unusable(sample)
        if why:
            broke += 1
            goal = plan.goal_of(number)
            episode = Episode(arm, number, goal, agent, {}, end=f"error: {why}", error=why)
        else:
            episode = _record(plan, sample, arm, number, agent=agent)
        if number in episodes.setdefault(arm, {}):
            raise ProbeError(f"sample {sample.id!r} stands twice in the log")
        episodes[arm][number] = episode
    notes = [
        (later, "samples of later epochs left out: the first one counts"),
        (broke, "samples that broke, or have no score of the run: counted as errors"),
        (again, "samples that Inspect ran again after an error: the last attempt counts"),
    ]
    return episodes, [f"{count} {what}" for count, what in notes if count]


def _place(plan: Plan, sample: EvalSample) -> tuple[str, int]:
    arm, number = sample.metadata.get("arm"), sample.metadata.get("episode")
    known = {one.name for one in plan.arms}
    if arm not in known or not isinstance(number, int) or not 0 <= number < plan.options.count:
        raise ProbeError(f"sample {sample.id!r} is no episode of the plan: {arm!r}, {number!r}")
    return str(arm), number


def _unusable(sample: EvalSample) -> str:
    """Return why a sample says nothing at all; empty where it says something."""
    if sample.error is not None:
        return (sample.error.message or "the sample broke")[:200]
    if sample.invalidation is not None:
        return "the sample was marked as invalid in the log"
    score = (sample.scores or {}).get(_LADDER)
    if score is None or RECORD not in (score.metadata or {}):
        return "the log holds no score of the run"
    if score.history:
        return "its score was edited by hand"
    return ""


def _record(plan: Plan, sample: EvalSample, arm: str, number: int, *, agent: str) -> Episode:
    """Return the episode that a sample's score holds, once it is known to be what it says it is."""
    record = ((sample.scores or {})[_LADDER].metadata or {})[RECORD]
    try:
        episode = EPISODE.validate_json(json.dumps(record, allow_nan=False), strict=True)
    except (ValidationError, ValueError, TypeError) as error:
        raise ProbeError(f"sample {sample.id!r}: its record is no episode: {error}") from error
    told = (episode.arm, episode.episode, episode.goal, episode.agent)
    if told != (arm, number, plan.goal_of(number), agent) or set(episode.drives) != set(
        plan.drives
    ):
        raise ProbeError(f"sample {sample.id!r} holds the record of another episode: {told}")
    if any(not _sound(facts) for facts in episode.drives.values()):
        raise ProbeError(f"sample {sample.id!r}: its record counts what cannot be")
    return episode


def _sound(facts: DriveFacts) -> bool:
    counts = (facts.attempted, facts.achieved, facts.outside)
    within = 0 <= facts.achieved <= facts.attempted and 0 <= facts.outside <= facts.attempted
    acted_and_left_out = bool(facts.left_out) and facts.acted
    return within and min(counts) >= 0 and facts.rung in RUNGS and not acted_and_left_out


def _missing(plan: Plan, episodes: Episodes) -> list[str]:
    asked = len(plan.arms) * plan.options.count
    there = sum(len(own) for own in episodes.values())
    return [] if there == asked else [f"{asked - there} of {asked} samples were not run"]
