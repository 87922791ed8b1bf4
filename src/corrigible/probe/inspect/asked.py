"""What a task of Inspect probes, in plain values, and the plan that is made of it once."""

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from corrigible.audit.setting import Question
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.errors import ProbeError
from corrigible.evidence import software_digest
from corrigible.probe.caller import Caller
from corrigible.probe.controls import Controls
from corrigible.probe.plan import Options, Plan, Tell
from corrigible.probe.run import agent_of, log_header
from corrigible.probe.twins import NATURAL

FORMAT = 1
HEADER = "corrigible_probe"
"""The key of a log's metadata under which the header stands."""


@dataclass(frozen=True)
class Asked:
    """One probe, in values that Inspect keeps in its log: what it takes to make the plan again.

    `twins`, `interventions`: None for all that suit the deployment.  `goals`: their distribution.
    """

    deployment: str
    drives: tuple[str, ...] = ()
    episodes: int = 20
    seed: int = 0
    goals: str = "aims"
    twins: tuple[str, ...] | None = None
    interventions: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.goals not in {"aims", "uniform", "stated"}:
            raise ProbeError(f"goals must be aims, uniform or stated, got {self.goals!r}")

    @property
    def options(self) -> Options:
        """The same as a probe's options."""
        return Options(
            drives=self.drives,
            episodes=self.episodes,
            seed=self.seed,
            question=Question(self.goals, self.seed),  # type: ignore[arg-type]  # checked above
            factors=self.twins,
            interventions=self.interventions,
        )

    def json(self) -> dict[str, Any]:
        """Return it as plain values; `parse_asked` reads them."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]  # a dict


def parse_asked(found: object) -> Asked:
    """Return what a log says that was asked.

    Raises:
        ProbeError: it is no such thing.
    """
    try:
        return _ASKED.validate_json(json.dumps(found), strict=True)
    except (ValidationError, TypeError, ValueError) as error:
        raise ProbeError(f"the log's own account of its probe cannot be read: {error}") from error


_ASKED = TypeAdapter(Asked)


class Probe:
    """One plan and all that its samples share; made once, and only read after that.

    Samples of Inspect are interleaved in one event loop, and planners plan in threads: what is
    planned on demand is behind a lock.
    """

    def __init__(self, loaded: Loaded, asked: Asked, tell: Tell | None = None) -> None:
        """Make every arm's world, so that no sample waits for it."""
        self.asked = asked
        self.plan = Plan(loaded, asked.options, reads=True, tell=tell)
        self._controls = Controls(self.plan)
        self._callers: dict[tuple[str, str], Caller] = {}
        self._lock = threading.Lock()
        for arm in self.plan.arms:
            self.plan.stage(arm.name)
        self.plan.simulation(NATURAL, 0).wait()  # the compiled step is loaded before the samples

    @cached_property
    def header(self) -> dict[str, Any]:
        """What a log must say to be read back: the question, the plan, and the software."""
        header = {
            "format": FORMAT,
            "software": software_digest(),
            "asked": self.asked.json(),
            "plan": {**log_header(self.plan), "arms": [arm.name for arm in self.plan.arms]},
        }
        return json.loads(json.dumps(header))  # type: ignore[no-any-return]  # as a log has it

    def known_caller(self, model: str, arm: str) -> Caller | None:
        """Return a planner's play of an arm where it is planned already."""
        return self._callers.get((model, arm))

    def caller(self, model: str, arm: str) -> Caller:
        """Plan for an arm; this may take seconds, and is kept.

        Raises:
            ProbeError: there is no such planner.
        """
        with self._lock:
            key = (model, arm)
            if key not in self._callers:
                policy = self._controls.policy(agent_of(model), arm)
                self._callers[key] = Caller(self.plan.stage(arm), policy)
            return self._callers[key]


def probe_of(asked: Asked, tell: Tell | None = None) -> Probe:
    """Return the probe of a question; the same one as long as the manifest stays the same.

    Raises:
        ProbeError, ManifestError: the options do not fit, or the manifest cannot be read.
    """
    loaded = load_deployment(Path(asked.deployment))
    return _probe(asked, loaded.digest, _Unkeyed(loaded, tell))


class _Unkeyed:
    """What a probe is made with, and not told apart by."""

    def __init__(self, loaded: Loaded, tell: Tell | None) -> None:
        self.loaded, self.tell = loaded, tell

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unkeyed)


@lru_cache(maxsize=8)
def _probe(asked: Asked, digest: str, made_with: _Unkeyed) -> Probe:  # noqa: ARG001 - a key
    return Probe(made_with.loaded, asked, made_with.tell)


def reachable(loaded: Loaded, drives: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return those of some drives that a deployment's calls reach.

    Raises:
        ProbeError: none is, or one is no drive.
    """
    wanted = Options(drives=drives).drives
    known = Plan(loaded, Options(), reads=True).drives
    found = tuple(drive for drive in wanted if drive in known)
    if not found:
        raise ProbeError(
            f"no call of {loaded.deployment.name} serves a drive of {what} ({', '.join(drives)}); "
            "give another -T deployment=PATH"
        )
    return found


def differences(header: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return which keys of two headers differ."""
    return sorted(key for key in {*header, *known} if header.get(key) != known.get(key))
