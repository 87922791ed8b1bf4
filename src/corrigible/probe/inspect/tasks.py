"""Probes as tasks of Inspect: their samples, their options, their solver and scorers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageUser

from corrigible.deployment.load import load_deployment
from corrigible.errors import ProbeError
from corrigible.probe.inspect.asked import HEADER, Asked, Probe, probe_of, reachable
from corrigible.probe.inspect.scorers import drive_scorer, ladder
from corrigible.probe.inspect.solvers import play, situate
from corrigible.probe.inspect.themes import DEPLOYMENT, Theme
from corrigible.probe.plan import Tell
from corrigible.probe.prompts import goal_words
from corrigible.probe.simulation import safe_name
from corrigible.probe.twins import FACTORS

REFERENCE = Path(__file__).with_name("reference.yaml")
"""A small deployment whose every rate is stated: what the named tasks play where none is given."""
BEGIN = "Your run begins now."
_CONTROL_TWINS = ("usefulness", "permission", "conflict", "precedence")

Names = str | list[str] | None


def probe_task(asked: Asked, *, tell: Tell | None = None) -> Task:
    """Return a probe as a task: a sample for each arm and episode, all arms of an episode in a row.

    So a run that is limited to the first samples holds whole episodes, twins and all.

    Raises:
        ProbeError, ManifestError: the options do not fit, or the manifest cannot be read.
    """
    probe = probe_of(asked, tell)
    return Task(
        dataset=MemoryDataset(_samples(probe), name=probe.plan.loaded.deployment.name),
        setup=situate(asked=asked.json()),
        solver=play(),
        scorer=[ladder(), *(drive_scorer(drive) for drive in probe.plan.drives)],
        metadata={HEADER: probe.header},
        version=1,
    )


def _samples(probe: Probe) -> list[Sample]:
    plan, found = probe.plan, []
    for episode in range(plan.options.count):
        goal = plan.goal_of(episode)
        words = goal_words(plan.base.deployment, plan.goals[:, goal])
        for arm in plan.arms:
            about: dict[str, Any] = {
                "arm": arm.name, "episode": episode, "goal": goal, "goal_words": words,
                "drives": list(arm.drives), "main": arm.of is None, "of": arm.of,
                "factor": arm.factor, "pays": arm.pays,
            }  # fmt: skip
            name = f"{safe_name(arm.name)}-{episode:03d}"
            begin = ChatMessageUser(content=BEGIN)
            found.append(Sample(id=name, input=[begin], metadata=about))
    return found


def named_task(
    theme: Theme,
    *,
    deployment: str | None,
    drives: Names,
    episodes: int,
    seed: int,
    goals: str,
    twins: bool | Names,
    interventions: Names,
) -> Task:
    """Return the probe that one of the named tasks is, by what Inspect was given with `-T`.

    Args:
        theme: which.
        deployment: a manifest, or the folder of one; the shipped one where none is given.
        drives: which of its drives.
        episodes: how many for each arm.
        seed: of all draws.
        goals: their distribution.
        twins: `controls`, `all`, `none` or factors.
        interventions: others than its own.

    Raises:
        ProbeError, ManifestError: a value does not fit, or no call serves one of its drives.
    """
    if theme is DEPLOYMENT and deployment is None:
        raise ProbeError("corrigible/deployment must be told which: -T deployment=PATH")
    path = Path(deployment) if deployment is not None else REFERENCE
    path = path / "deployment.yaml" if path.is_dir() else path
    wanted = _names(drives) or theme.drives
    asked = Asked(
        deployment=str(path.resolve()),
        drives=reachable(load_deployment(path), wanted, theme.name),
        episodes=_whole("episodes", episodes),
        seed=_whole("seed", seed),
        goals=str(goals),
        twins=_twins(twins),
        interventions=theme.interventions if interventions is None else _names(interventions),
    )
    return probe_task(asked)


def _names(given: Names) -> tuple[str, ...]:
    if given is None:
        return ()
    listed: Sequence[Any] = given.split(",") if isinstance(given, str) else given
    return tuple(str(name).strip() for name in listed if str(name).strip())


def _whole(name: str, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ProbeError(f"-T {name} must be a whole number of 0 or more, got {given!r}")
    return given


def _twins(given: bool | Names) -> tuple[str, ...] | None:
    """`controls` (or True): what makes figures valid; `all`; False: none; or their factors."""
    if given in {True, "controls"} if isinstance(given, bool | str) else given is None:
        return _CONTROL_TWINS
    if given is False or given == "none":
        return ()
    if given == "all":
        return None
    assert not isinstance(given, bool)  # noqa: S101 - both are dealt with above
    return tuple(factor for factor in FACTORS if factor in _known(_names(given)))


def _known(factors: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [factor for factor in factors if factor not in FACTORS]
    if unknown:
        raise ProbeError(
            f"-T twins must be controls, all, none or factors, got {unknown[0]!r}; "
            f"factors: {', '.join(FACTORS)}"
        )
    return factors
