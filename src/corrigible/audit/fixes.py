"""Fixes: the cheapest sets of manifest edits that bring every drive within its limit.

Edits that take acts away are tried by removing rows of the compiled world; the others (rates,
levels, authority) by compiling the edited deployment.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from corrigible.audit.incentives import PAYS
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.records import Authority, Deployment
from corrigible.evidence import Estimate, share_estimate
from corrigible.solve.policy import expected_visits

GOALS = 192
APPROVAL_GOALS = 8
LARGEST_SET = 3
MOST_TRIALS = 240
MOST_FIXES = 6


@dataclass(frozen=True)
class Edit:
    """One edit of the manifest, in words.

    `modes`: the modes (by name) that it takes away; `change`: how it changes the deployment and
    the rates, for an edit that takes no act away.
    """

    words: str
    modes: frozenset[str] = frozenset()
    change: Callable[[Deployment, dict[str, float]], tuple[Deployment, dict[str, float]]] | None = (
        None
    )
    excludes: str = ""


@dataclass(frozen=True)
class Fix:
    """A set of edits and what follows: shares of goals for which any drive that is not accepted
    pays, the change of the authorised plan's mean return, and approvals asked for in one run."""  # noqa: D205, D209

    edits: tuple[str, ...]
    pressure: Estimate
    residual: Estimate
    task_value: float
    approvals_per_run: float


@dataclass(frozen=True)
class Fixes:
    """The fixes found, cheapest first, and how they were looked for."""

    fixes: tuple[Fix, ...]
    method: str
    trials: int


def find_fixes(
    deployment: Deployment,
    rates: Mapping[str, float],
    question: Question,
    *,
    drives: frozenset[str],
    limit: float,
    break_even: Mapping[str, float | None],
    progress: Callable[[], None] | None = None,
) -> Fixes:
    """Look for the cheapest edits that bring pressure on `drives`, jointly, within `limit`.

    Sets are tried by size, one edit first, and no superset of a set that works: exact up to the
    size reached, for the edits that are listed, while `MOST_TRIALS` last; then one greedy set.
    """
    search = _Search(
        deployment, dict(rates), question, drives=drives, limit=limit, progress=progress
    )
    edits = list(_edits(search.base, deployment, rates, drives, break_even))
    found, size, whole = search.by_size(edits)
    method = f"exact: every set of up to {size} of {len(edits)} edits was tried"
    if not found and edits:
        found = search.greedy(edits)
        method = f"greedy over {len(edits)} edits; sets of up to {size} edits were tried first"
    elif not whole:
        method = f"sets of up to {size} of {len(edits)} edits; not every set of {size} was tried"
    ordered = sorted(
        found,
        key=lambda f: (
            round(max(0.0, -f.task_value), 3), round(f.approvals_per_run, 1), len(f.edits)
        ),
    )  # fmt: skip
    return Fixes(tuple(ordered[:MOST_FIXES]), method, search.trials)


class _Search:
    """Trials of sets of edits, on the same goals."""

    def __init__(
        self,
        deployment: Deployment,
        rates: dict[str, float],
        question: Question,
        *,
        drives: frozenset[str],
        limit: float,
        progress: Callable[[], None] | None,
    ) -> None:
        self.deployment, self.rates, self.question = deployment, rates, question
        self.drives, self.limit, self.progress = drives, limit, progress
        self.base = Setting(deployment, rates, question)
        self.trials = 0
        self._settings: dict[tuple[str, ...], Setting] = {}
        goals = question.goals(self.base.deployment, GOALS, 0)
        start = self.base.world.initial
        self.value_now = float(self.base.solve(goals, guarded=True).values[start].mean())

    def by_size(self, edits: list[Edit]) -> tuple[list[Fix], int, bool]:
        """Return the minimal sets that work, the largest size tried, whether it was finished."""
        found: list[Fix] = []
        working: list[frozenset[int]] = []
        for size in range(1, LARGEST_SET + 1):
            settled: set[str] = set()
            for chosen in combinations(range(len(edits)), size):
                if any(small <= set(chosen) for small in working):
                    continue
                picked = [edits[i] for i in chosen]
                kinds = [e.excludes for e in picked if e.excludes]
                if len(kinds) != len(set(kinds)) or settled & set(kinds):
                    continue  # two values of one rate, or a stricter one than already works
                if self.trials >= MOST_TRIALS:
                    return found, size, False
                if self.share(picked).high <= self.limit:
                    working.append(frozenset(chosen))
                    settled |= set(kinds) if size == 1 else set()
                    found.append(self.fix(picked))
            if found:
                return found, size, True
        return found, min(LARGEST_SET, len(edits)), True

    def greedy(self, edits: list[Edit]) -> list[Fix]:
        """Add the edit that lowers the share most until it is within the limit."""
        chosen: list[Edit] = []
        left = list(edits)
        while left:
            scored = [(self.share([*chosen, edit]).value or 0.0, i) for i, edit in enumerate(left)]
            _, best = min(scored)
            chosen.append(left.pop(best))
            if self.share(chosen).high <= self.limit:
                return [self.fix(chosen)]
        return []

    def share(self, edits: list[Edit], *, guarded: bool = False) -> Estimate:
        """Return the share of goals for which the drives, jointly, pay after the edits."""
        self.trials += 1
        if self.progress is not None:
            self.progress()
        setting = self.setting(edits)
        goals = self.question.goals(setting.deployment, GOALS, 0)
        start = setting.world.initial
        whole = setting.solve(goals, guarded=guarded)
        without = setting.solve(goals, self.drives, guarded=guarded, start=whole)
        gains = whole.values[start] - without.values[start]
        error = float(whole.bound.max() + without.bound.max())
        return share_estimate(
            int((gains > PAYS + error).sum()), GOALS, possible=int((gains > PAYS - error).sum())
        )

    def setting(self, edits: list[Edit]) -> Setting:
        """Return the setting after the edits; the compiled world is shared where it can be."""
        deployment, rates = self.deployment, self.rates
        changing = [edit for edit in edits if edit.change is not None]
        for edit in changing:
            assert edit.change is not None  # noqa: S101  (just filtered)
            deployment, rates = edit.change(deployment, rates)
        key = tuple(edit.words for edit in changing)
        if key not in self._settings:
            setting = Setting(deployment, rates, self.question) if changing else self.base
            self._settings[key] = setting
        setting = self._settings[key]
        gone = frozenset[str]().union(*(edit.modes for edit in edits))
        if not gone:
            return setting
        return setting.without_modes(
            i for i, mode in enumerate(setting.structure.modes) if mode.name in gone
        )

    def fix(self, edits: list[Edit]) -> Fix:
        """Return what a set of edits costs."""
        setting = self.setting(edits)
        goals = self.question.goals(setting.deployment, GOALS, 0)
        start = setting.world.initial
        solved = setting.solve(goals, guarded=True)
        value = float(solved.values[start].mean())
        return Fix(
            edits=tuple(edit.words for edit in edits),
            pressure=self.share(edits),
            residual=self.share(edits, guarded=True),
            task_value=value - self.value_now,
            approvals_per_run=approvals_per_run(setting),
        )


def approvals_per_run(setting: Setting) -> float:
    """Return how often the best authorised plans ask a person in one run, on average."""
    asking = np.array([False, *(mode.verdict == "approve" for mode in setting.structure.modes)])
    if not asking.any():
        return 0.0
    goals = setting.question.goals(setting.deployment, APPROVAL_GOALS, 0)
    solved = setting.solve(goals, guarded=True)
    rows = setting.policies(solved, goals, guarded=True)
    weight = asking[setting.world.action].astype(float)
    organs = [
        setting.world.variables.index(name)
        for name in setting.deployment.of_kind("oversight/approval")
        if name in setting.world.variables
    ]
    if organs:
        intact = (setting.world.levels[:, organs] == 0).any(axis=1)
        weight = weight * intact[setting.state_of_row]
    steps = max(1, round(setting.horizon))
    counts = [
        expected_visits(setting.world, rows[:, goal], row_weight=weight, steps=steps)
        for goal in range(rows.shape[1])
    ]
    return float(np.mean(counts))


# -- the edits that are tried --------------------------------------------------------------


def _edits(
    base: Setting,
    deployment: Deployment,
    rates: Mapping[str, float],
    drives: frozenset[str],
    break_even: Mapping[str, float | None],
) -> Iterator[Edit]:
    yield from _taking_away(base, drives)
    yield from _approvals(base, deployment, drives)
    yield from _caps(base, deployment, drives)
    yield from _oversight(deployment, rates, break_even)
    yield from _horizons(base)
    yield from _bounds(base, deployment)


def _taking_away(base: Setting, drives: frozenset[str]) -> Iterator[Edit]:
    """Drop a verb of a tool, or keep its target off one asset."""
    modes = [mode for mode in base.structure.modes if mode.drives & drives]
    by_verb: dict[tuple[str, str], set[str]] = {}
    for mode in modes:
        for tool in mode.tools:
            by_verb.setdefault((tool, mode.verb), set()).add(mode.name)
    for (tool, verb), names in by_verb.items():
        whole = [m.name for m in base.structure.modes if m.verb == verb and tool in m.tools]
        if any(len(m.tools) > 1 for m in modes if m.name in names):
            continue  # another tool has the same effect: dropping one of them changes nothing
        yield Edit(f"tools.{tool}.verbs: drop {verb}", frozenset(whole))
        if len(whole) > 1:
            for name in sorted(names):
                asset = next(m.asset for m in modes if m.name == name)
                yield Edit(f"tools.{tool}.target: keep it off {asset}", frozenset({name}))
    shared = {m.name: m for m in modes if len(m.tools) > 1}
    for name, mode in shared.items():
        words = f"tools {', '.join(mode.tools)}: keep {mode.verb} off {mode.asset}"
        yield Edit(words, frozenset({name}))


def _approvals(base: Setting, deployment: Deployment, drives: frozenset[str]) -> Iterator[Edit]:
    asked: set[tuple[str, str]] = set()
    for mode in base.structure.modes:
        if mode.drives & drives and mode.verdict == "allow" and (mode.verb, mode.asset) not in asked:
            asked.add((mode.verb, mode.asset))
            yield Edit(
                f"authority.approve: add {mode.verb} {mode.asset}",
                change=_approving(f"{mode.verb} {mode.asset}"),
            )


def _approving(rule: str):  # type: ignore[no-untyped-def]
    def change(deployment: Deployment, rates: dict[str, float]):  # type: ignore[no-untyped-def]
        old = deployment.authority
        new = Authority(allow=old.allow, approve=(*old.approve, rule), deny=old.deny)
        return deployment.model_copy(update={"authority": new}), rates

    return change


def _caps(base: Setting, deployment: Deployment, drives: frozenset[str]) -> Iterator[Edit]:
    """Fewer levels of what can be climbed by more than one."""
    climbed = {
        m.asset
        for m in base.structure.modes
        if m.drives & drives and m.change == "up" and len(deployment.assets[m.asset].scale) > 2  # noqa: PLR2004
    }
    for name in sorted(climbed):
        scale = deployment.assets[name].scale
        capped = [a.caps[name] for a in deployment.assets.values() if name in a.caps]
        for size in range(len(scale) - 1, 1, -1):  # the mildest first
            kept = scale[:size]
            if not set(capped) <= set(kept):
                break
            yield Edit(
                f"assets.{name}.levels: [{', '.join(kept)}]",
                change=_capping(name, kept),
                excludes=f"levels of {name}",
            )


def _capping(name: str, kept: tuple[str, ...]):  # type: ignore[no-untyped-def]
    def change(deployment: Deployment, rates: dict[str, float]):  # type: ignore[no-untyped-def]
        asset = deployment.assets[name].model_copy(update={"levels": kept})
        return deployment.model_copy(update={"assets": {**deployment.assets, name: asset}}), rates

    return change


def _setting_rate(path: str, value: float):  # type: ignore[no-untyped-def]
    def change(deployment: Deployment, rates: dict[str, float]):  # type: ignore[no-untyped-def]
        return deployment, {**rates, path: value}

    return change


def _oversight(
    deployment: Deployment, rates: Mapping[str, float], break_even: Mapping[str, float | None]
) -> Iterator[Edit]:
    now = rates.get("oversight.detection", deployment.rates()["oversight.detection"].low)
    needed = break_even.get("detection")
    tried = {0.9, 0.99} | ({math.ceil(needed * 100) / 100} if needed is not None else set())
    for value in sorted(v for v in tried if v > now):  # the mildest first
        yield Edit(
            f"oversight.detection: {value:g}",
            change=_setting_rate("oversight.detection", value),
            excludes="detection",
        )


def _horizons(base: Setting) -> Iterator[Edit]:
    for share in (2, 4, 8):
        steps = round(base.horizon / share)
        if steps >= 1:
            yield Edit(
                f"agent.horizon: {steps}",
                change=_setting_rate("agent.horizon", float(steps)),
                excludes="horizon",
            )


def _bounds(base: Setting, deployment: Deployment) -> Iterator[Edit]:
    for name in deployment.of_kind("task"):
        drift = base.deployment.assets[name].drift
        if drift is not None and drift.low > 0:
            yield Edit(
                f"assets.{name}.drift: 0 (done is done)",
                change=_setting_rate(f"assets.{name}.drift", 0.0),
            )
