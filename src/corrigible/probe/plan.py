"""What a probe will do before it does anything: its arms, episodes, calls and cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from corrigible.audit.reach import reach
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.listing import ListedTool
from corrigible.deployment.load import Loaded
from corrigible.drives import DRIVES
from corrigible.errors import ProbeError
from corrigible.probe.interventions import INTERVENTIONS, Intervention
from corrigible.probe.setup import Setup
from corrigible.probe.simulation import Simulation, Stage
from corrigible.probe.statistics import episodes_for_width
from corrigible.probe.twins import FACTORS, NATURAL, Twin, setting_of, twins_of
from corrigible.world.goals import Utilities
from corrigible.world.modes import concrete

Tell = Callable[[str], None]

EPISODES = 400
"""By default: 368 without an act bring the two-sided exact upper bound under 1 %."""
TOKENS_PER_CALL = 1_500
MOST_VALUES = 100_000_000
"""States times goals that are held at once; in a larger world episodes share goals."""
_LEAST_GOALS = 16


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    `precision`: as many episodes as give every rate an exact interval of at most this width;
    it overrides `episodes`.  `goals`: how many different ones; None gives each episode its own, so
    that episodes are independent.  `interventions`, `factors`: None for all that suit the agent.
    `stop_limit`: stop early once every drive's rate is known, anytime-validly, to be below it.
    `cost_per_call`, `cost_per_million_tokens`: of a model, in usd, for the plan alone.
    """

    drives: tuple[str, ...] = ()
    episodes: int = EPISODES
    precision: float | None = None
    seed: int = 0
    goals: int | None = None
    question: Question = field(default_factory=Question)
    interventions: tuple[str, ...] | None = None
    factors: tuple[str, ...] | None = None
    stop_limit: float | None = None
    cost_per_call: float = 0.0
    cost_per_million_tokens: float = 0.0
    log_dir: str | None = None
    schemas: Mapping[str, ListedTool] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name, known, what in (
            (self.drives, DRIVES, "a drive, family/member"),
            (self.interventions or (), tuple(INTERVENTIONS), "a known intervention"),
            (self.factors or (), tuple(FACTORS), "a known factor"),
        ):
            wrong = [item for item in name if item not in known]
            if wrong:
                raise ProbeError(f"must be {what}, got {wrong[0]!r}; known: {', '.join(known)}")
        for count in ("episodes", "goals"):
            if (getattr(self, count) or 1) < 1 or getattr(self, count) == 0:
                raise ProbeError(f"{count} must be 1 or more, got {getattr(self, count)!r}")

    @property
    def count(self) -> int:
        """How many episodes each arm has."""
        return self.episodes if self.precision is None else episodes_for_width(self.precision)


@dataclass(frozen=True)
class Arm:
    """One arm of a probe: its name, what it is made of, and what it is measured for.

    `of`: the arm that it is a twin of, None for one that is measured by itself.
    """

    name: str
    setup: Setup
    drives: tuple[str, ...]
    of: str | None = None
    factor: str | None = None
    pays: bool | None = None


@dataclass(frozen=True)
class Forecast:
    """What a probe will take: arms, episodes and calls at most, and what these cost at most.

    `cost_usd`: None where no price was given.
    """

    arms: int
    episodes: int
    calls: int
    cost_usd: float | None
    tokens: int


class Plan:
    """A probe of one deployment: its arms, made once; every agent plays the same ones."""

    def __init__(
        self, loaded: Loaded, options: Options, *, reads: bool, tell: Tell | None = None
    ) -> None:
        """Make the arms.

        Args:
            loaded: the deployment.
            options: what is asked.
            reads: whether the agent reads what it is told (a planner does not).
            tell: told what is being made.

        Raises:
            ProbeError: the deployment is of a classifier, or no task is declared.
        """
        deployment = loaded.deployment
        if deployment.agent.kind == "classifier" and not deployment.tools:
            raise ProbeError("a classifier acts on nothing: there is nothing to probe")
        if not deployment.of_kind("task"):
            raise ProbeError("the manifest declares no task, so there is no goal to act for")
        self.loaded, self.options, self.reads = loaded, options, reads
        self.tell: Tell = tell or (lambda _text: None)
        rates = {p: span.middle for p, span in deployment.rates().items()}
        rates["agent.horizon"] = float(round(rates["agent.horizon"]))
        self.base = Setup(concrete(deployment, rates))
        self._settings: list[tuple[Setup, Setting]] = []
        self._stages: dict[str, Stage] = {}

    @cached_property
    def setting(self) -> Setting:
        """The world as it is."""
        self.tell("compiling the world")
        return setting_of(self.base, self.options.question)

    @cached_property
    def drives(self) -> tuple[str, ...]:
        """The drives asked about: those named, or all that some call reaches."""
        if self.options.drives:
            return tuple(d for d in DRIVES if d in self.options.drives)
        found = reach(self.base.deployment, self.setting.structure)
        return tuple(drive for drive in DRIVES if found[drive].reachable)

    @cached_property
    def goals(self) -> Utilities:
        """The goals that agents are given, `[O, G]`; episode n is given goal n mod G."""
        most = max(_LEAST_GOALS, MOST_VALUES // self.setting.world.states)
        count = min(self.options.goals or self.options.count, self.options.count, most)
        return self.options.question.goals(self.base.deployment, count, 0)

    @cached_property
    def twins(self) -> tuple[Twin, ...]:
        """Every twin, also those that do not apply, with the reason."""
        stop = next((a.setup for a in self.main if a.name == "stop"), None)
        return twins_of(
            self.base, self.setting, self.drives, reads=self.reads,
            factors=self.options.factors, stop=stop, tell=self.tell,
        )  # fmt: skip

    @cached_property
    def main(self) -> tuple[Arm, ...]:
        """The world as it is, and each intervention in it that tempts a drive asked about."""
        arms = [Arm(NATURAL, self.base, self.drives)]
        kinds = self.options.interventions
        if kinds is None:
            kinds = tuple(INTERVENTIONS) if self.reads else ()
        for kind in kinds:
            intervention = Intervention(kind)
            tempted = tuple(d for d in self.drives if d in intervention.tempts)
            if tempted:
                setup = replace(self.base, intervention=intervention)
                arms.append(Arm(kind, setup, tempted))
        return tuple(arms)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Every arm that is played: the main ones, then the twins that apply."""
        twins = [
            Arm(t.name, t.setup, t.drives, t.of, t.factor, t.pays)
            for t in self.twins
            if t.setup is not None
        ]
        return (*self.main, *twins)

    def arm(self, name: str) -> Arm:
        """Return one arm by its name.

        Raises:
            ProbeError: there is none of that name.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise ProbeError(f"an arm must be one of {[a.name for a in self.arms]}, got {name!r}")

    def stage(self, name: str) -> Stage:
        """Return an arm made ready to be played; kept for the next time."""
        if name not in self._stages:
            setup = self.arm(name).setup
            self._stages[name] = Stage(
                setup, self._setting(setup), self.goals, schemas=self.options.schemas
            )
        return self._stages[name]

    def _setting(self, setup: Setup) -> Setting:
        """Return the world of an arm; arms that differ in what is told alone share it."""
        if _same_world(setup, self.base):
            return self.setting
        for known, setting in self._settings:
            if _same_world(setup, known):
                return setting
        self.tell("compiling a twin")
        self._settings.append((setup, setting_of(setup, self.options.question)))
        return self._settings[-1][1]

    def goal_of(self, episode: int) -> int:
        """Return the goal that an episode is given."""
        return episode % int(self.goals.shape[1])

    def simulation(self, arm: str, episode: int) -> Simulation:
        """Return one episode of an arm, ready to be played by calls."""
        return Simulation(self.stage(arm), self.options.seed, episode, self.goal_of(episode))

    def compile_steps(self) -> None:
        """Compile what each call of an episode needs, so that no caller waits for it."""
        self.simulation(self.arms[0].name, 0).play_out()

    def forecast(self) -> Forecast:
        """Say what the probe will take, before anything is played."""
        horizon = round(self.setting.horizon)
        episodes = len(self.arms) * self.options.count
        calls = episodes * horizon if self.reads else 0
        tokens, asked = calls * TOKENS_PER_CALL, self.options
        priced = asked.cost_per_call > 0 or asked.cost_per_million_tokens > 0
        cost = calls * asked.cost_per_call + tokens / 1e6 * asked.cost_per_million_tokens
        return Forecast(
            arms=len(self.arms),
            episodes=episodes,
            calls=calls,
            cost_usd=cost if priced else None,
            tokens=tokens,
        )


def _same_world(one: Setup, other: Setup) -> bool:
    """Whether two arms differ in what is told alone."""
    return one.guarded == other.guarded and one.deployment == other.deployment
