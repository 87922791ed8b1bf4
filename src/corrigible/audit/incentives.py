r"""Would it pay: for each set of drives, what an optimal planner loses without their acts.

The share of goals for which V(s0) in W is more than V(s0) in W\\D by `PAYS`, and the mean of the
difference, over goals sampled in batches until every share is known as well as was asked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from corrigible.audit.setting import Setting
from corrigible.drives import FAMILIES, family_of
from corrigible.evidence import Estimate, mean_estimate, not_measured, share_estimate
from corrigible.solve.optimal import Solution
from corrigible.world.modes import Mode

PAYS = 1e-3
"""An advantage of this much return or less does not count as paying."""

BATCH = 256
MOST_GOALS = 20_000
JOINT = "joint"
LONGEST_PLAN = 60

Floats = npt.NDArray[np.float64]
Plan = tuple[int, ...]
"""A plan's calls, as indexes of modes, from the start until it waits."""


@dataclass(frozen=True)
class FirstUse:
    """Where a goal's best plan first uses a drive: the row, the `wait` row beside it, the step."""

    row: int
    waiting: int
    step: int = field(compare=False)


@dataclass
class Incentives:
    """What was sampled at one setting; grows by `add_batch`.

    `gains[key]` and `residual_gains[key]`: V - V without the key's acts, a value a goal, where a
    key is a drive, a family or `joint`.  `error`: the certified error of each difference.
    """

    setting: Setting
    keys: Mapping[str, frozenset[str]]
    gains: dict[str, Floats] = field(default_factory=dict)
    residual_gains: dict[str, Floats] = field(default_factory=dict)
    values: Floats = field(default_factory=lambda: np.zeros(0))
    residual_values: Floats = field(default_factory=lambda: np.zeros(0))
    plans: list[Plan] = field(default_factory=list)
    first_uses: dict[str, dict[int, FirstUse]] = field(default_factory=dict)
    error: float = 0.0
    batches: int = 0
    _value_sum: Floats | None = None  # [S]
    _utility_sum: Floats | None = None  # [O]

    @property
    def n(self) -> int:
        """How many goals were sampled."""
        return len(self.values)

    def add_batch(self, count: int = BATCH) -> None:
        """Sample `count` more goals and solve every world that the keys ask for."""
        setting = self.setting
        goals = setting.question.goals(setting.deployment, count, self.batches)
        self.batches += 1
        start = setting.world.initial
        whole = setting.solve(goals)
        self.values = np.append(self.values, whole.values[start])
        self._add_gains(self.gains, goals, whole, guarded=False)
        held = setting.solve(goals, guarded=True)
        self.residual_values = np.append(self.residual_values, held.values[start])
        self._add_gains(self.residual_gains, goals, held, guarded=True)
        self._follow(whole, goals)

    def _add_gains(
        self, gains: dict[str, Floats], goals: Floats, whole: Solution, *, guarded: bool
    ) -> None:
        """Solve the world without each key's acts; alike removals are solved once."""
        setting, start = self.setting, self.setting.world.initial
        nothing = setting.available(guarded=guarded).tobytes()
        known: dict[bytes, Floats] = {nothing: np.zeros(goals.shape[1])}
        for key, drives in self.keys.items():
            rows = setting.available(drives, guarded=guarded).tobytes()
            if rows not in known:
                other = setting.solve(goals, drives, guarded=guarded, start=whole)
                known[rows] = np.maximum(whole.values[start] - other.values[start], 0.0)
                self.error = max(self.error, float(whole.bound.max() + other.bound.max()))
            gains[key] = np.append(gains.get(key, np.zeros(0)), known[rows])

    def _follow(self, solved: Solution, goals: Floats) -> None:
        """Read off the best plan of each goal, where it first uses each drive, and mean values."""
        total, utilities = solved.values.sum(axis=1), goals.sum(axis=1)
        if self._value_sum is None or self._utility_sum is None:
            self._value_sum, self._utility_sum = total, utilities
        else:
            self._value_sum, self._utility_sum = (
                self._value_sum + total, self._utility_sum + utilities
            )  # fmt: skip
        self._follow_plans(self.setting.policies(solved, goals))

    def _follow_plans(self, rows: npt.NDArray[np.int32]) -> None:
        """Follow each goal's policy `[S, G]` from the start, every act achieved, until it waits."""
        setting = self.setting
        first = len(self.plans)
        world, modes = setting.world, setting.structure.modes
        count = rows.shape[1]
        state = np.full(count, world.initial)
        calls: list[list[int]] = [[] for _ in range(count)]
        going = np.ones(count, dtype=bool)
        for step in range(LONGEST_PLAN):
            chosen = rows[state, np.arange(count)]
            action = world.action[chosen]
            going &= action != 0
            if not going.any():
                break
            for goal in np.flatnonzero(going):
                mode = int(action[goal]) - 1
                calls[goal].append(mode)
                for drive in modes[mode].drives:
                    uses = self.first_uses.setdefault(drive, {})
                    waiting = int(world.rows[state[goal]])
                    uses.setdefault(first + int(goal), FirstUse(int(chosen[goal]), waiting, step))
            after = setting.achieved[chosen]
            going &= after >= 0
            state = np.where(going, after, state)
        self.plans += [tuple(c) for c in calls]

    # -- estimates -------------------------------------------------------------------------

    def share(self, key: str, *, guarded: bool = False) -> Estimate:
        """Return the share of goals for which the key's acts pay."""
        gains = (self.residual_gains if guarded else self.gains)[key]
        surely = int((gains > PAYS + self.error).sum())
        possibly = int((gains > PAYS - self.error).sum())
        return share_estimate(surely, len(gains), possible=possibly)

    def advantage(self, key: str, *, guarded: bool = False) -> Estimate:
        """Return the mean advantage over all goals, in units of return."""
        gains = (self.residual_gains if guarded else self.gains)[key]
        found = mean_estimate(
            float(gains.sum()), float((gains**2).sum()), len(gains), slack=self.error
        )
        return replace(found, low=max(0.0, found.low or 0.0))  # no act is worse than none

    def power(self) -> Floats:
        """Return POWER of every state `[S]`, over the goals sampled (Turner et al. 2021)."""
        if self._value_sum is None or self._utility_sum is None:
            raise ValueError("no goal was sampled yet; call add_batch first")
        setting = self.setting
        reward = (self._utility_sum / self.n)[setting.world.outcome]
        discount = setting.discount
        if discount == 0.0:
            return np.full(setting.world.states, np.nan)
        power: Floats = (self._value_sum / self.n - (1.0 - discount) * reward) / discount
        return power

    def power_gain(self, drives: Iterable[str]) -> Estimate:
        """Return POWER gained, against waiting, where best plans first use one of the drives.

        The mean over the goals whose best plan uses one; not measured where none does.
        """
        power, world = self.power(), self.setting.world
        firsts: dict[int, FirstUse] = {}
        for drive in sorted(drives):  # a set's order differs from run to run, and sums with it
            for goal, use in self.first_uses.get(drive, {}).items():
                if goal not in firsts or use.step < firsts[goal].step:
                    firsts[goal] = use
        if not firsts or np.isnan(power).any():
            return not_measured()
        cache: dict[FirstUse, float] = {}

        def after(row: int) -> float:
            entries = slice(world.entries[row], world.entries[row + 1])
            return float(world.probability[entries] @ power[world.successor[entries]])

        for use in set(firsts.values()):
            cache[use] = after(use.row) - after(use.waiting)
        gains = np.array([cache[use] for use in firsts.values()])
        slack = 2.0 * self.error / self.setting.discount
        return mean_estimate(float(gains.sum()), float((gains**2).sum()), len(gains), slack=slack)

    def usual_plan(self, key: str) -> Plan:
        """Return the most common best plan among the goals for which the key's acts pay.

        A plan that uses one of the key's acts is preferred; an empty plan says there is none.
        """
        drives = self.keys[key]
        modes = self.setting.structure.modes
        paying = np.flatnonzero(self.gains[key] > PAYS)
        counts: dict[Plan, int] = {}
        for goal in paying:
            plan = self.plans[goal]
            if any(modes[mode].drives & drives for mode in plan):
                counts[plan] = counts.get(plan, 0) + 1
        return max(counts, key=lambda plan: (counts[plan], plan), default=())


def keys_of(setting: Setting) -> dict[str, frozenset[str]]:
    """Return every drive that the world models, every family of them, and all jointly."""
    keys = {drive: frozenset({drive}) for drive in setting.drives}
    for family in FAMILIES:
        members = frozenset(drive for drive in setting.drives if family_of(drive) == family)
        if members:
            keys[family] = members
    keys[JOINT] = frozenset(setting.drives)
    return keys


def sample_until(
    incentives: Incentives,
    precision: float,
    *,
    least: int = 0,
    most: int = MOST_GOALS,
    progress: Callable[[int, float], None] | None = None,
) -> None:
    """Add batches until each share's interval is narrower than `precision`, or `most` goals.

    `least`: as many goals at least.  `progress` is told (goals so far, widest interval) after
    each batch.
    """
    while incentives.n < most:
        if incentives.n >= max(least, 1):
            widest = max(
                incentives.share(key, guarded=guarded).width
                for key in incentives.keys
                for guarded in (False, True)
            )
            if progress is not None:
                progress(incentives.n, widest)
            if widest < precision:
                return
        missing = max(2 * BATCH, least - incentives.n)
        incentives.add_batch(min(missing, 4 * BATCH, most - incentives.n))


def words_of(plan: Plan, modes: tuple[Mode, ...]) -> tuple[str, ...]:
    """Write a plan's calls as a person would read them; repeats become `3 x …`."""
    words: list[str] = []
    index = 0
    while index < len(plan):
        run = 1
        while index + run < len(plan) and plan[index + run] == plan[index]:
            run += 1
        mode = modes[plan[index]]
        text = f"{mode.verb} {mode.asset} with {mode.tools[0]}"
        words.append(f"{run} x {text}" if run > 1 else text)
        index += run
    return tuple(words)
