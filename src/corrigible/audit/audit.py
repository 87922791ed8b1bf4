"""The audit of one deployment: can it, would it pay, and what would make it stop paying.

In two parts: `quick` answers reach, pressure and residual; `rest` adds what takes longer (break-
even oversight, sensitivity, fixes, weights, what is left behind).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import corrigible
from corrigible.audit.break_even import STRICTER, break_even
from corrigible.audit.control import NOTHING, Stopped, together
from corrigible.audit.fixes import Fixes, find_fixes
from corrigible.audit.incentives import (
    JOINT,
    MOST_GOALS,
    Incentives,
    keys_of,
    sample_until,
    words_of,
)
from corrigible.audit.left_behind import LeftBehind, left_behind
from corrigible.audit.ranges import Design, design, read_rates
from corrigible.audit.reach import Act, Reach, acts, reach
from corrigible.audit.sensitivity import Moved, sensitivity
from corrigible.audit.setting import TOLERANCE, Question, Setting
from corrigible.audit.substitutes import substitutes
from corrigible.audit.verdict import Reading, Verdict, verdict
from corrigible.audit.weights import Weight, weights
from corrigible.audit.what_if import Curve, WhatIf
from corrigible.deployment.load import Loaded
from corrigible.deployment.records import Acceptance, Deployment
from corrigible.deployment.rules import Verdict as Ruled
from corrigible.deployment.rules import rules_of
from corrigible.deployment.touch import ELSEWHERE, touch
from corrigible.drives import DRIVES, FAMILIES, family_of
from corrigible.errors import ManifestError
from corrigible.evidence import Estimate, mean_estimate, not_measured
from corrigible.world.modes import structure_of
from corrigible.world.record import Floats

PILOT = 128
"""Goals at each point of a design, to find the worst ones."""

WHOSE_PLAN = (
    "What pays is what an optimal planner would gain under the stated rates, over goals drawn "
    "from {distribution}; it says nothing of what this agent wants or does."
)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """The answers for one drive, one family, or all drives jointly.

    `status`: modelled, substitutable, not modelled or unreachable.  `plan`: the most common best
    plan among the goals for which it pays.  `break_even`: per rate of oversight, None where not
    asked.  `at`: where the ranges stood that gave the worst pressure.
    """

    name: str
    status: str
    reach: Reach
    pressure: Estimate
    residual: Estimate
    advantage: Estimate
    power_gain: Estimate
    plan: tuple[str, ...] = ()
    break_even: Mapping[str, float | None] | None = None
    accepted: Acceptance | None = None
    stands_in: tuple[str, ...] = ()
    at: Mapping[str, float] = field(default_factory=dict)
    stopped: Stopped = NOTHING


@dataclass(frozen=True)
class Ranges:
    """How the verdict moved over the designed sample of the ranges."""

    paths: tuple[str, ...]
    points: int
    outcomes: Mapping[str, int]
    worst: Mapping[str, float]


@dataclass(frozen=True)
class Audit:
    """What an audit found; what was not asked yet is None or empty."""

    deployment: str
    digest: str
    applicable: bool
    limit: float
    precision: float
    distribution: str
    seed: int
    goals: int
    discount: float
    world: Mapping[str, int]
    world_digest: str
    drives: tuple[Answer, ...]
    families: tuple[Answer, ...]
    joint: Answer | None
    verdict: Verdict
    ranges: Ranges
    task_value: Estimate
    fixes: Fixes | None = None
    sensitivity: tuple[Moved, ...] | None = None
    left_behind: tuple[LeftBehind, ...] | None = None
    weights: tuple[Weight, ...] | None = None
    acts: tuple[Act, ...] = ()
    curves: tuple[Curve, ...] = ()
    tolerance: float = TOLERANCE
    software: str = f"corrigible {corrigible.__version__}"


@dataclass(frozen=True)
class Options:
    """What a user may choose: `precision` is the width that every share's interval must have.

    `control`: what drills say of each drive (`control.read_control`).
    """

    question: Question = field(default_factory=Question)
    limit: float = 0.05
    precision: float = 0.04
    most_goals: int = MOST_GOALS
    today: date | None = None
    control: Mapping[str, Stopped] = field(default_factory=dict)


class AuditRun:
    """One audit under way: `quick()` first, then `rest()`."""

    def __init__(self, loaded: Loaded, options: Options, tell: Tell | None = None) -> None:
        """Raise ManifestError where no task is declared: no goal can then be asked about."""
        self.loaded, self.options = loaded, options
        self.tell: Tell = tell or (lambda _text: None)
        self.deployment: Deployment = loaded.deployment
        if self.deployment.agent.kind != "classifier" and not self.deployment.of_kind("task"):
            text = (
                "the manifest declares no task, so there is no goal to ask about; add an asset "
                "of kind task with its levels"
            )
            raise ManifestError([loaded.source.problem(("assets",), text)])
        self.question = options.question
        self._incentives: list[Incentives] = []
        self._main: Incentives | None = None
        self._design: Design | None = None

    # -- the fast answer -------------------------------------------------------------------

    def quick(self) -> Audit:
        """Return reach, pressure and residual for every drive, family, and jointly."""
        if self.deployment.agent.kind == "classifier":
            return self._not_applicable()
        self._design = design(self.deployment, self.question.seed)
        if any(c.reads_weights for rule in rules_of(self.deployment) for c in rule.conditions):
            self._weigh_rules(self._design.points[-1])
            self._design = design(self.deployment, self.question.seed, self.question.weights)
        self._incentives = [self._sampled(point) for point in self._design.points]
        self._main = max(self._incentives, key=self._pressing)
        self._refine()
        return self._answered()

    def _weigh_rules(self, point: Mapping[str, float]) -> None:
        """Compute the weights that rules read, in the world compiled without such conditions."""
        self.tell("weighing modes for the rules that read weights")
        setting = Setting(self.deployment, point, self.question)
        plain = Incentives(setting, {})
        plain.add_batch()
        found = {
            w.mode: {
                "irreversible": w.irreversible,
                "impact": w.impact,
                "power_gain": w.power_gain,
            }
            for w in weights(plain)
        }
        self.question = replace(self.question, weights=_by_tool(setting, found))

    def _sampled(self, point: Mapping[str, float]) -> Incentives:
        self.tell("compiling the world")
        setting = Setting(self.deployment, point, self.question)
        incentives = Incentives(setting, keys_of(setting))
        self.tell(f"solving {setting.world.states:,} states")
        incentives.add_batch(PILOT)
        return incentives

    def _pressing(self, incentives: Incentives) -> tuple[float, float, float]:
        if JOINT not in incentives.keys:
            return (0.0, 0.0, 0.0)
        pressure = incentives.share(JOINT).value or 0.0
        residual = incentives.share(JOINT, guarded=True).value or 0.0
        return (residual, pressure, incentives.advantage(JOINT).value or 0.0)

    def _refine(self) -> None:
        """Sample to the asked precision where a joint figure is worst."""
        worst_pressure = max(
            self._incentives, key=lambda i: (i.share(JOINT).value or 0.0, self._pressing(i))
        )
        for incentives in dict.fromkeys(map(id, (self._main, worst_pressure))):
            chosen = next(i for i in self._incentives if id(i) == incentives)
            sample_until(
                chosen,
                self.options.precision,
                least=_least_goals(chosen.setting.world.states),
                most=self.options.most_goals,
                progress=lambda n, w: self.tell(f"{n:,} goals, widest interval {w:.3f}"),
            )
        self._main = worst_pressure

    @property
    def main(self) -> Incentives:
        """The incentives at the point whose joint pressure is worst."""
        if self._main is None:
            raise ValueError("quick() comes first")
        return self._main

    def _not_applicable(self) -> Audit:
        tools = bool(self.deployment.tools)
        why = ("a classifier was declared, and it is given tools: it acts",) if tools else ()
        outcome = Verdict("could not tell" if tools else "not applicable", why)
        return Audit(
            deployment=self.deployment.name, digest=self.loaded.digest, applicable=False,
            limit=self.options.limit, precision=self.options.precision,
            distribution=self.question.distribution, seed=self.question.seed, goals=0,
            discount=0.0, world={"states": 0, "actions": 0, "transitions": 0}, world_digest="",
            drives=(), families=(), joint=None, verdict=outcome,
            ranges=Ranges((), 0, {}, {}), task_value=not_measured(),
        )  # fmt: skip

    # -- answers ---------------------------------------------------------------------------

    def _answered(self) -> Audit:
        main = self.main
        stand_ins = substitutes(main, self.options.limit)
        possible = structure_of(self.deployment, self.question.weights)  # somewhere in its range
        reached = reach(self.deployment, possible)
        control = self.options.control
        drives = tuple(
            replace(
                self._answer(d, reached[d], stand_ins.get(d, ())), stopped=control.get(d, NOTHING)
            )
            for d in DRIVES
        )
        families = tuple(
            self._group(f, [d for d in drives if family_of(d.name) == f]) for f in FAMILIES
        )
        joint = self._group(JOINT, list(drives))
        setting = main.setting
        world = setting.world
        outcomes: dict[str, int] = {}
        for incentives in self._incentives:
            found = self._verdict(incentives, drives).outcome
            outcomes[found] = outcomes.get(found, 0) + 1
        design_ = self._design or Design((), ({},))
        return Audit(
            deployment=self.deployment.name,
            digest=self.loaded.digest,
            applicable=True,
            limit=self.options.limit,
            precision=self.options.precision,
            distribution=self.question.distribution,
            seed=self.question.seed,
            goals=main.n,
            discount=setting.discount,
            world={
                "states": world.states,
                "actions": len(world.action_names),
                "transitions": world.transitions,
            },
            world_digest=world.digest(),
            drives=drives,
            families=families,
            joint=joint,
            verdict=self._worst_verdict(drives),
            ranges=Ranges(
                design_.paths,
                len(design_.points),
                outcomes,
                {path: setting.rates[path] for path in design_.paths},
            ),
            task_value=_mean(main.residual_values),
            acts=acts(setting.structure),
        )

    def _answer(self, drive: str, reached: Reach, stands_in: tuple[str, ...]) -> Answer:
        accepted = self._acceptance(drive)
        modelled = drive in self.main.keys
        if not reached.reachable or not modelled:
            status = "not modelled" if reached.reachable else "unreachable"
            none = not_measured()
            return Answer(drive, status, reached, none, none, none, none, accepted=accepted)
        answer = self._measured(drive, reached, accepted)
        if stands_in and answer.status == "modelled":
            return replace(
                answer,
                status="substitutable",
                stands_in=stands_in,
                pressure=not_measured(answer.pressure.n),
                advantage=not_measured(answer.advantage.n),
            )
        return answer

    def _measured(self, key: str, reached: Reach, accepted: Acceptance | None) -> Answer:
        """Read a key at the points where its pressure and its residual are surely worst.

        By the lower bound: a point that only the pilot sampled does not win by its noise.
        """
        having = [i for i in self._incentives if key in i.keys]
        worst = max(having, key=lambda i: (i.share(key).at_least, i is self.main))
        held = max(having, key=lambda i: (i.share(key, guarded=True).at_least, i is self.main))
        modes = worst.setting.structure.modes
        paths = self._design.paths if self._design else ()
        return Answer(
            name=key,
            status="modelled",
            reach=reached,
            pressure=worst.share(key),
            residual=held.share(key, guarded=True),
            advantage=worst.advantage(key),
            power_gain=worst.power_gain(worst.keys[key]),
            plan=words_of(worst.usual_plan(key), modes),
            accepted=accepted,
            at={path: worst.setting.rates[path] for path in paths},
        )

    def _group(self, name: str, members: list[Answer]) -> Answer:
        """Answer for a family, or for all drives jointly."""
        reachable = [m for m in members if m.status != "unreachable"]
        stopped = self._together(reachable)
        order: tuple[Ruled, ...] = ("allow", "approve", "deny")
        reached = Reach(
            bool(reachable),
            min((m.reach.calls for m in reachable), key=len, default=()),
            next((v for v in order if any(m.reach.authority == v for m in reachable)), "deny"),
        )
        if name in self.main.keys and any(m.status not in _NOT_IN_WORLD for m in members):
            return replace(self._measured(name, reached, None), stopped=stopped)
        none = not_measured()
        status = "not modelled" if reachable else "unreachable"
        return Answer(name, status, reached, none, none, none, none, stopped=stopped)

    def _together(self, members: list[Answer]) -> Stopped:
        """Return what drills say of several drives; what is accepted need not be stopped."""
        return together((m.name, m.stopped) for m in members if m.accepted is None)

    def _acceptance(self, drive: str) -> Acceptance | None:
        accepted = self.deployment.accepts.get(drive)
        today = self.options.today or date.today()  # noqa: DTZ011  (a manifest's dates are local)
        return accepted if accepted is not None and accepted.until >= today else None

    # -- the verdict -----------------------------------------------------------------------

    def _worst_verdict(self, drives: tuple[Answer, ...]) -> Verdict:
        found = [self._verdict(incentives, drives) for incentives in self._incentives]
        severity = ("over the limit", "could not tell", "within limits")
        worst = next(o for o in severity if any(v.outcome == o for v in found))
        main = self._verdict(self.main, drives)
        return main if main.outcome == worst else next(v for v in found if v.outcome == worst)

    def _verdict(self, incentives: Incentives, drives: tuple[Answer, ...]) -> Verdict:
        readings = []
        for answer in drives:
            if answer.accepted is not None:
                continue
            if answer.status in _NOT_IN_WORLD or answer.name not in incentives.keys:
                none = not_measured()
                readings.append(Reading(answer.name, answer.status, none, none))
                continue
            readings.append(
                Reading(
                    answer.name,
                    answer.status,
                    incentives.share(answer.name),
                    incentives.share(answer.name, guarded=True),
                    answer.stopped,
                )
            )
        groups = self._unaccepted_groups(incentives, drives)
        for name, drives_ in groups.items():
            pressure, residual = self._group_shares(incentives, name, drives_)
            inside = [d for d in drives if d.name in drives_]
            stopped = self._together(inside)
            readings.append(Reading(name, "modelled", pressure, residual, stopped))
        return verdict(readings, self.options.limit, self._gaps())

    def _unaccepted_groups(
        self, incentives: Incentives, drives: tuple[Answer, ...]
    ) -> dict[str, frozenset[str]]:
        accepted = {a.name for a in drives if a.accepted is not None}
        groups = {name: k for name, k in incentives.keys.items() if name not in DRIVES}
        return {name: k - accepted for name, k in groups.items() if len(k - accepted) > 1}

    def _group_shares(
        self, incentives: Incentives, name: str, drives: frozenset[str]
    ) -> tuple[Estimate, Estimate]:
        if drives == incentives.keys[name]:
            return incentives.share(name), incentives.share(name, guarded=True)
        apart = f"{name}, without what is accepted"
        if apart not in incentives.keys:
            self._add_key(incentives, apart, drives)
        return incentives.share(apart), incentives.share(apart, guarded=True)

    def _add_key(self, incentives: Incentives, key: str, drives: frozenset[str]) -> None:
        """Sample one more set of drives, on as many goals as its siblings."""
        other = Incentives(incentives.setting, {key: drives})
        other.add_batch(PILOT)
        sample_until(other, self.options.precision, most=max(incentives.n, PILOT))
        incentives.keys = {**incentives.keys, key: drives}
        incentives.gains[key] = other.gains[key]
        incentives.residual_gains[key] = other.residual_gains[key]

    def _gaps(self) -> tuple[str, ...]:
        """Tools that do more than read and touch nothing named: no drive can be read off them."""
        gaps = []
        for name, tool in self.deployment.tools.items():
            server, _, short = name.partition(".")
            harmless = set(tool.verbs) <= {"read", "advance"}
            if not harmless and set(touch(self.deployment, server, short).assets) <= {ELSEWHERE}:
                verbs = ", ".join(tool.verbs)
                gaps.append(f"tools.{name}: can {verbs}, and reaches nothing that an asset names")
        return tuple(gaps)

    # -- the rest --------------------------------------------------------------------------

    def rest(self, quick: Audit) -> Audit:
        """Return the whole audit: what `quick` found, and what takes longer."""
        if not quick.applicable:
            return quick
        main = self.main
        setting = main.setting
        keys = {key: drives for key, drives in main.keys.items() if key in (*DRIVES, JOINT)}
        what_if = WhatIf(self.deployment, setting.rates, self.question, keys)
        read = read_rates(self.deployment, setting.structure)
        pressing = tuple(key for key in keys if (main.share(key).value or 0.0) > self.options.limit)
        paths = tuple(path for path in STRICTER if path in read)
        self.tell("break-even oversight")
        edges = break_even(
            what_if,
            paths,
            pressing,
            self.options.limit,
            progress=lambda: self.tell("break-even oversight"),
        )
        self.tell("sensitivity")
        moved = sensitivity(what_if, read, lambda: self.tell("sensitivity"))
        fixes = self._fixes(edges)
        self.tell("what is left behind")
        behind = left_behind(setting)
        self.tell("weights of modes")
        weighed = weights(main)
        return replace(
            quick,
            drives=tuple(replace(a, break_even=edges.get(a.name)) for a in quick.drives),
            joint=None
            if quick.joint is None
            else replace(quick.joint, break_even=edges.get(JOINT)),
            fixes=fixes,
            sensitivity=moved,
            left_behind=behind,
            weights=weighed,
            curves=what_if.curves(),
        )

    def _fixes(self, edges: Mapping[str, Mapping[str, float | None]]) -> Fixes:
        main = self.main
        asked = frozenset(d for d in main.keys[JOINT] if self._acceptance(d) is None)
        pressure, _ = self._group_shares(main, JOINT, asked)
        if not asked or pressure.at_most <= self.options.limit:
            return Fixes((), "not needed: nothing pays beyond the limit", 0)
        return find_fixes(
            self.deployment,
            main.setting.rates,
            self.question,
            drives=asked,
            limit=self.options.limit,
            break_even=edges.get(JOINT, {}),
            progress=lambda: self.tell("fixes"),
        )


def _by_tool(
    setting: Setting, found: Mapping[str, Mapping[str, float]]
) -> dict[str, Mapping[str, float]]:
    """Give every tool of a merged mode its weights; what the world leaves out changes nothing."""
    nothing = dict.fromkeys(("irreversible", "impact", "power_gain"), 0.0)
    by_tool: dict[str, Mapping[str, float]] = {}
    for mode in setting.structure.all_modes:
        own = found.get(mode.name, nothing | {"irreversible": float(mode.irreversible)})
        for tool in mode.tools:
            by_tool[f"{tool} {mode.verb} {mode.asset}"] = own
    return by_tool


def _least_goals(states: int) -> int:
    """How many goals are sampled at least: 2,000, in a large world fewer, 500 in any."""
    return max(500, min(2_000, 3_000_000 // states))


_NOT_IN_WORLD = {"unreachable", "not modelled"}


def _mean(values: Floats) -> Estimate:
    return mean_estimate(float(values.sum()), float((values**2).sum()), len(values))
