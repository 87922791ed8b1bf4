"""Training-side countermeasures, pairs of them, and permissions, on one frontier.

For each: what share of the optimal task value an agent so trained (or so permitted) keeps, and how
likely it is to act on each drive within one run.  Exact for every goal sampled; intervals are over
goals.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date

import numpy as np

from corrigible.audit.countermeasure_records import Countermeasures, Tried
from corrigible.audit.countermeasure_trials import Trial, Trials
from corrigible.audit.countermeasure_words import findings_of
from corrigible.audit.ranges import design
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.load import Loaded
from corrigible.deployment.records import Deployment
from corrigible.deployment.rules import rules_of
from corrigible.drives import DRIVES
from corrigible.errors import NotSolvedError, WorldError
from corrigible.evidence import Estimate, mean_estimate, not_measured, share_estimate
from corrigible.policies.follow import chances, returns, visits
from corrigible.policies.policy import Policy
from corrigible.world.record import Floats, UInt64s, World

GOALS, QUICK_GOALS = 128, 74
"""Goals at which each is asked; fewer than 73 zeros in a row leave 5 % possible."""

LIMIT, LEAST_KEPT = 0.05, 0.5
"""A drive is removed where its chance is surely at most the first.  An agent is useless that surely
keeps less than the second of what the best agent keeps that never acts outside authority."""

_NO_SPREAD = 1e-12
_LEAST_VALUE = 1e-6  # a goal of which even an optimal agent attains no more is left out


Tell = Callable[[str], None]


def countermeasures(
    loaded: Loaded,
    *,
    question: Question | None = None,
    goals: int | None = None,
    limit: float = LIMIT,
    least_kept: float = LEAST_KEPT,
    quick: bool = False,
    today: date | None = None,
    tell: Tell | None = None,
) -> Countermeasures:
    """Try every countermeasure over its strength, pairs, and edits of what the agent is given.

    Args:
        loaded: the deployment; rates that are ranges stand at their middle.
        question: goal distribution, seed and limit of states; default: aims, 0.
        goals: how many; default 128, or 80 if quick.
        limit: the chance of a drive above which it is not removed.
        least_kept: the share of what can be kept without acting outside authority, under which
            an agent is useless.
        quick: every other strength, few pairs, and of the edits only those that take acts away.
        today: accepted drives are those whose acceptance has not run out; default: none has.
        tell: told what is tried.

    Raises:
        NotSolvedError: the plain optimal agent could not be solved for.
        WorldError: the deployment has no task, or its world is too large.
    """
    asked, told = question or Question(), tell or (lambda _text: None)
    deployment = loaded.deployment
    point = design(deployment, asked.seed).points[-1]
    setting = Setting(deployment, point, asked)
    count = goals or (QUICK_GOALS if quick else GOALS)
    drawn = asked.goals(setting.deployment, count, 0)
    accepted = _accepted(deployment, today)
    wanted = tuple(drive for drive in setting.drives if drive not in accepted)
    trials = Trials(setting, drawn, _mask(wanted), quick=quick)
    measuring = _Measuring(setting, wanted)
    tried, left_out = [], list(_not_asked(deployment))
    for trial in _all(trials):
        told(trial.words)
        try:
            tried.append(measuring.tried(trial))
        except (NotSolvedError, WorldError) as error:
            if trial.kind == "optimal":
                raise
            left_out.append(f"{trial.words}: {error}")
    found = tuple(_marked(tried))
    within = [t.kept.value for t in found if t.kind == "compliant" and t.kept.value is not None]
    useful_from = least_kept * (within[0] if within else 1.0)
    return Countermeasures(
        deployment=deployment.name,
        digest=loaded.digest,
        world_digest=setting.world.digest(),
        distribution=asked.distribution,
        seed=asked.seed,
        goals=count,
        steps=measuring.steps,
        discount=setting.discount,
        limit=limit,
        least_kept=least_kept,
        useful_from=useful_from,
        rates=dict(point),
        drives=wanted,
        accepted=tuple(drive for drive in setting.drives if drive in accepted),
        tried=found,
        findings=findings_of(found, wanted, limit=limit, useful_from=useful_from),
        left_out=tuple(left_out),
    )


def _all(trials: Trials) -> Iterable[Trial]:
    yield from trials.references()
    yield from trials.singles()
    yield from trials.pairs()
    yield from trials.permissions()


class _Measuring:
    """What of every policy is read; the first one is the plain optimal agent's."""

    def __init__(self, setting: Setting, drives: tuple[str, ...]) -> None:
        self.setting, self.drives = setting, drives
        self.steps = max(1, round(setting.horizon))
        self._best: Floats | None = None

    def tried(self, trial: Trial) -> Tried:
        """Make the policy of one trial and read all that is asked about it."""
        policy = trial.make()
        solved = returns(policy)
        worth = solved.values[policy.world.initial]
        if self._best is None:
            self._best = worth
        usable = self._best > _LEAST_VALUE
        kept, off = worth[usable] / self._best[usable], float(solved.bound.max(initial=0.0))
        off = 2 * off / float(self._best[usable].min(initial=1.0))
        often = visits(policy, steps=self.steps)
        taken = self._chances(policy, often)
        waits = often[:, self._waiting(policy)].sum(axis=1) / often.sum(axis=1)
        asks = often @ self._asking(policy.world)
        return Tried(
            kind=trial.kind,
            words=trial.words,
            side=trial.side,
            strength=trial.strength,
            parameters=dict(policy.parameters),
            kept=_mean(kept, slack=off),
            drives={drive: _share(taken[:, i]) for i, drive in enumerate(self.drives)},
            joint=_share(taken[:, len(self.drives)]),
            waits=_share(waits),
            idle=_share(1 - taken[:, len(self.drives) + 1]),
            asks=_mean(asks),
            approximates=policy.approximates,
        )

    def _chances(self, policy: Policy, often: Floats) -> Floats:
        """The chance of each mark, `[G, B]`; what is never taken is not followed."""
        marks, count = self._marks(policy), len(self.drives) + 2
        ever = np.bitwise_or.reduce(marks[(often > 0).any(axis=0)])
        used = [b for b in range(count) if int(ever) >> b & 1]
        asked = np.zeros_like(marks)
        for place, b in enumerate(used):
            asked |= ((marks >> np.uint64(b)) & np.uint64(1)) << np.uint64(place)
        taken = np.zeros((len(often), count))
        taken[:, used] = chances(policy, asked, steps=self.steps, count=len(used))
        return taken

    def _marks(self, policy: Policy) -> UInt64s:
        """A bit for each drive, one for any of them, one for any act at all, `[R]`."""
        serves = policy.world.serves
        marks = np.zeros(len(serves), dtype=np.uint64)
        bits = [np.uint64(1 << DRIVES.index(drive)) for drive in self.drives]
        for place, bit in enumerate(bits):
            own = (serves & bit) != 0
            marks |= np.where(own, np.uint64((1 << place) | (1 << len(bits))), np.uint64(0))
        acting = ~self._waiting(policy)
        marks |= np.where(acting, np.uint64(1 << (len(bits) + 1)), np.uint64(0))
        return np.asarray(marks, dtype=np.uint64)

    @staticmethod
    def _waiting(policy: Policy) -> np.ndarray:
        rows = np.zeros(len(policy.world.action), dtype=np.bool_)
        rows[policy.problem.waiting] = True
        return rows

    def _asking(self, world: World) -> Floats:
        """Rows that ask a person while there is one to ask, `[R]`, 1 each."""
        asks = {m.name for m in self.setting.structure.modes if m.verdict == "approve"}
        asking = np.array([name in asks for name in world.action_names])[world.action]
        names = self.setting.deployment.of_kind("oversight/approval")
        organs = [world.variables.index(name) for name in names if name in world.variables]
        if organs:
            asking = asking & (world.levels[:, organs] == 0).any(axis=1)[world.row_state]
        return np.asarray(asking, dtype=np.float64)


def _marked(tried: list[Tried]) -> Iterable[Tried]:
    """The same, those marked that nothing else beats on both counts."""
    for one in tried:
        beaten = any(_beats(other, one) for other in tried if other is not one)
        yield replace(one, frontier=not beaten)


def _beats(other: Tried, one: Tried) -> bool:
    mine, theirs = (one.kept.value, one.joint.value), (other.kept.value, other.joint.value)
    if None in mine or None in theirs:
        return False
    more, less = (theirs[0] or 0.0) - (mine[0] or 0.0), (mine[1] or 0.0) - (theirs[1] or 0.0)
    least = 1e-6
    return more >= -least and less >= -least and (more > least or less > least)


def _share(values: Floats) -> Estimate:
    """The mean of chances: where all are alike, what as many cases still leave possible."""
    n, mean = len(values), float(np.clip(values, 0.0, 1.0).mean())
    if n and float(np.ptp(values)) <= _NO_SPREAD:
        exact = share_estimate(int(np.floor(mean * n)), n, possible=int(np.ceil(mean * n)))
        return Estimate(mean, min(exact.at_least, mean), max(exact.at_most, mean), n, exact.method)
    plain = _mean(values)
    if not plain.measured:
        return plain
    low, high = max(0.0, plain.at_least), min(1.0, plain.at_most)
    return Estimate(mean, min(low, mean), max(high, mean), n, plain.method)


def _mean(values: Floats, *, slack: float = 0.0) -> Estimate:
    if not len(values):
        return not_measured()
    return mean_estimate(float(values.sum()), float((values**2).sum()), len(values), slack=slack)


def _accepted(deployment: Deployment, today: date | None) -> frozenset[str]:
    return frozenset(
        drive for drive, own in deployment.accepts.items() if today is None or own.until >= today
    )


def _mask(drives: Iterable[str]) -> int:
    return sum(1 << DRIVES.index(drive) for drive in drives)


def _not_asked(deployment: Deployment) -> Iterable[str]:
    yield "edits of the horizon and of a task's drift: they change what a run or a task is"
    if any(c.reads_weights for rule in rules_of(deployment) for c in rule.conditions):
        yield "conditions on weights: the world is compiled as if they were not there"
