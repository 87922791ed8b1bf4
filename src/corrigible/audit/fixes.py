"""Fixes: the cheapest sets of manifest edits that bring every drive within its limit.

Two searches.  Which acts to take away is searched exactly, with the law that taking more away
never makes the rest pay more: an act without which the others still pay must go.  The edits that
change a rate, a level or authority are tried one by one, then with the acts that must still go.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from corrigible.audit.edits import Edit, changing_edits, words_for_removal
from corrigible.audit.incentives import PAYS
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.records import Deployment
from corrigible.evidence import Estimate, share_estimate
from corrigible.solve.policy import expected_visits
from corrigible.world.modes import Mode

GOALS = 192
SCREENING = 48
"""Goals on which a set that clearly fails is thrown out early."""

APPROVAL_GOALS = 8
MOST_EXTRAS = 3
MOST_TRIALS = 150
MOST_FIXES = 6


@dataclass(frozen=True)
class Fix:
    """A set of edits and what follows from it.

    `pressure`, `residual`: the share of goals for which the drives that are not accepted,
    jointly, still pay.  `task_value`: by how much the mean return of the best plan within
    authority changes.  `approvals_per_run`: how often that plan asks a person in one run.
    """

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

    Jointly within the limit is each of them and each family within it.  The costs compared are
    task value lost, then approvals, then the number of edits.
    """
    search = _Search(deployment, dict(rates), question, drives, limit, progress)
    edits = list(changing_edits(search.base, deployment, rates, drives, break_even=break_even))
    removals, exact = search.removals(None)
    found = [search.fix(None, modes) for modes in removals]
    done: set[str] = set()
    for edit in edits:
        if edit.group not in done and search.works(edit, frozenset()):
            done.add(edit.group)
            found.append(search.fix(edit, frozenset()))
    if not found or not done:
        found += search.mixed(edits, removals)
    acts = len(search.units)
    method = (
        f"exact over which of {acts} acts to take away"
        if exact
        else f"not every set of {acts} acts was tried"
    ) + f"; each of {len(edits)} other edits alone"
    if not done and edits:
        method += ", then with the acts that must still go"
    return Fixes(tuple(sorted(found, key=_cost)[:MOST_FIXES]), method, search.trials)


def _cost(fix: Fix) -> tuple[float, float, int]:
    lost = max(0.0, -fix.task_value)
    return round(lost, 3), round(fix.approvals_per_run, 1), len(fix.edits)


class _Search:
    """Trials of edits and removals, on the same goals."""

    def __init__(  # noqa: PLR0917  (made in one place, right above)
        self,
        deployment: Deployment,
        rates: dict[str, float],
        question: Question,
        drives: frozenset[str],
        limit: float,
        progress: Callable[[], None] | None,
    ) -> None:
        self.deployment, self.rates, self.question = deployment, rates, question
        self.drives, self.limit, self.progress = drives, limit, progress
        self.base = Setting(deployment, rates, question)
        self.units = _units(deployment, [m for m in self.base.structure.modes if m.drives & drives])
        self.serving = _all_of(self.units)
        self.trials = 0
        self._edited: dict[str, Setting] = {}
        start = self.base.world.initial
        goals = question.goals(self.base.deployment, GOALS, 0)
        self.value_now = float(self.base.solve(goals, guarded=True).values[start].mean())

    # -- searches --------------------------------------------------------------------------

    def removals(self, edit: Edit | None) -> tuple[list[frozenset[str]], bool]:
        """Return the minimal sets of acts to take away, with one edit made, and if all of them.

        First the acts that must go: those without whose removal all the other removals fail.
        """
        if not self.works(edit, self.serving):
            return [], True
        must = _all_of(u for u in self.units if not self.works(edit, self.serving - u))
        if self.works(edit, must):
            return [must], True
        found: list[frozenset[str]] = []
        others = [unit for unit in self.units if not unit <= must]
        for size in range(1, min(MOST_EXTRAS, len(others)) + 1):
            for extra in combinations(others, size):
                chosen = must | _all_of(extra)
                if any(small <= chosen for small in found):
                    continue
                if self.trials >= MOST_TRIALS:
                    return found or [self.pruned(edit, must)], False
                if self.works(edit, chosen):
                    found.append(chosen)
        exact = bool(found) and len(others) <= MOST_EXTRAS
        return found or [self.pruned(edit, must)], exact

    def pruned(self, edit: Edit | None, must: frozenset[str]) -> frozenset[str]:
        """Return one minimal set of acts to take away: all of them, less each that need not go."""
        gone = self.serving
        for unit in self.units:
            if not unit <= must and self.works(edit, gone - unit):
                gone -= unit
        return gone

    def mixed(self, edits: list[Edit], alone: list[frozenset[str]]) -> list[Fix]:
        """Try each other edit (the strictest of its group) with the acts that must still go.

        `alone`: the sets of acts that suffice without any other edit; what holds one of them
        gains nothing by its edit.
        """
        strictest = {edit.group: edit for edit in edits}
        found = []
        for edit in strictest.values():
            if self.trials >= MOST_TRIALS:
                break
            sets, _ = self.removals(edit)
            shorter = [m for m in sets if not any(whole <= m for whole in alone)]
            found += [self.fix(edit, modes) for modes in shorter[:1]]
        return found

    # -- one trial -------------------------------------------------------------------------

    def works(self, edit: Edit | None, gone: frozenset[str]) -> bool:
        """Whether the drives, jointly, are surely within the limit after the edit and removal."""
        setting = self.setting(edit, gone, rough=True)
        if self.share(setting, SCREENING).at_least > self.limit:
            return False
        if self.share(setting, GOALS).at_most > self.limit:
            return False
        exact = self.setting(edit, gone)
        return self.share(exact, GOALS).at_most <= self.limit

    def setting(self, edit: Edit | None, gone: frozenset[str], *, rough: bool = False) -> Setting:
        """Return the setting after one edit, with some acts taken away."""
        words = "" if edit is None else edit.words
        if words not in self._edited:
            deployment, rates = self.deployment, self.rates
            if edit is not None:
                deployment, rates = edit.change(deployment, rates)
                self._edited[words] = Setting(deployment, rates, self.question)
            else:
                self._edited[words] = self.base
        setting = self._edited[words]
        if not gone:
            return setting
        indexes = [i for i, mode in enumerate(setting.structure.modes) if mode.name in gone]
        return setting.without_modes(indexes, rough=rough)

    def share(self, setting: Setting, count: int, *, guarded: bool = False) -> Estimate:
        """Return the share of goals for which the drives, jointly, pay."""
        self.trials += count == GOALS
        if self.progress is not None:
            self.progress()
        goals = self.question.goals(setting.deployment, count, 0)
        start = setting.world.initial
        whole = setting.solve(goals, guarded=guarded)
        without = setting.solve(goals, self.drives, guarded=guarded, start=whole)
        gains = whole.values[start] - without.values[start]
        error = float(whole.bound.max() + without.bound.max())
        surely, possibly = int((gains > PAYS + error).sum()), int((gains > PAYS - error).sum())
        return share_estimate(surely, count, possible=possibly)

    def fix(self, edit: Edit | None, gone: frozenset[str]) -> Fix:
        """Return what an edit and a removal cost."""
        setting = self.setting(edit, gone)
        goals = self.question.goals(setting.deployment, GOALS, 0)
        solved = setting.solve(goals, guarded=True)
        value = float(solved.values[setting.world.initial].mean())
        modes = self.base.structure.modes
        removal = words_for_removal(self.deployment, (m for m in modes if m.name in gone), modes)
        return Fix(
            edits=(() if edit is None else (edit.words,)) + removal,
            pressure=self.share(setting, GOALS),
            residual=self.share(setting, GOALS, guarded=True),
            task_value=value - self.value_now,
            approvals_per_run=approvals_per_run(setting),
        )


def _units(deployment: Deployment, modes: Iterable[Mode]) -> tuple[frozenset[str], ...]:
    """Return what can be taken away one by one, as names of modes.

    One mode each; of code that a tool runs, all that it can do to one asset (see
    `words_for_removal`).
    """
    units: dict[tuple[str, ...], set[str]] = {}
    for mode in modes:
        running = [tool for tool in mode.tools if "run" in deployment.tools[tool].verbs]
        units.setdefault((mode.asset, *running) if running else (mode.name,), set()).add(mode.name)
    return tuple(sorted(map(frozenset, units.values()), key=sorted))


def _all_of(units: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*units)


def approvals_per_run(setting: Setting) -> float:
    """Return how often the best authorised plans ask a person in one run, on average.

    Counted until a stop or a correction: what a corrected agent asks is another goal's affair.
    """
    asking = np.array([False, *(mode.verdict == "approve" for mode in setting.structure.modes)])
    if not asking.any():
        return 0.0
    goals = setting.question.goals(setting.deployment, APPROVAL_GOALS, 0)
    rows = setting.policies(setting.solve(goals, guarded=True), goals, guarded=True)
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
        expected_visits(setting.world, rows[:, goal], weight, steps)
        for goal in range(rows.shape[1])
    ]
    return float(np.mean(counts))
