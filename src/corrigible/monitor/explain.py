"""Why an act was there to be taken: what held, what was open, what would have paid, what closes it.

The acts come from the guard's ledger, what was open from the manifest's rules, what would have
paid and the cheapest change from the audit's own world (extra `audit`), at the states that the
ledger leaves possible.  It says what an optimal planner would gain there, not what this agent
wanted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corrigible.audit.fixes import Fix, find_fixes
from corrigible.audit.incentives import BATCH, PAYS
from corrigible.audit.ranges import design
from corrigible.audit.reach import call_words
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.load import Loaded
from corrigible.deployment.records import Deployment
from corrigible.evidence import Estimate, not_measured, share_estimate
from corrigible.guard.budgets import exceeds
from corrigible.guard.seen import Seen
from corrigible.monitor.explain_acts import MOST, Act, Acts, find_acts
from corrigible.world.modes import Mode, structure_of
from corrigible.world.record import RUNNING

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Open:
    """One thing that could be done then, and what the guard says of it: allow, approve or deny."""

    words: str
    verdict: str
    why: str
    drives: tuple[str, ...]


@dataclass(frozen=True)
class Pays:
    """What the drives' acts were worth from there on, under the audit's rates and goals.

    At the state among the possible ones where they pay for most goals: `share` of goals, `value`
    the mean return of the best plan, `without` the same without the acts of `drives`.  `why`:
    why nothing was measured, "" where it was.
    """

    drives: tuple[str, ...]
    share: Estimate
    lowest: Estimate
    value: float | None
    without: float | None
    states: int
    why: str = ""


@dataclass(frozen=True)
class Explained:
    """One act, explained.  `fix`: the cheapest change found; `fix_why` where there is none.

    `missing`: what the tool requires and could not be held then.
    """

    act: Act
    missing: tuple[str, ...]
    open: tuple[Open, ...]
    pays: Pays
    fix: Fix | None
    fix_why: str


@dataclass(frozen=True)
class Explanation:
    """What a ledger's acts are explained with; `rates` says where ranges stood."""

    ledger: Path
    deployment: str
    digest: str
    acts: Acts
    explained: tuple[Explained, ...]
    goals: int
    distribution: str
    seed: int
    horizon: float
    ranged: tuple[str, ...]
    limit: float


def explain(
    ledger: Path,
    loaded: Loaded,
    *,
    entry: int | None = None,
    most: int = MOST,
    limit: float = 0.05,
    fixes: bool = True,
    question: Question | None = None,
    tell: Tell = lambda _: None,
) -> Explanation:
    """Explain the acts of a ledger (see `explain_acts`).

    Ranges of rates stand at their middle; rules that read weights are taken as if their
    conditions were not there, as in the world that weights are computed in.

    Raises:
        LedgerError: the ledger cannot be read.
        TranscriptError: `entry` is no act of it.
        WorldTooLargeError: the deployment's world passes the question's limit of states.
    """
    acts = find_acts(ledger, loaded, entry=entry, most=most)
    asked = question or Question()
    deployment = loaded.deployment
    points = design(deployment, asked.seed)
    worth = _Worth(deployment, points.points[-1], asked, limit, tell)
    told = []
    for act in acts.told:
        tell(f"explaining entry {act.first}")
        pays = worth.pays(act)
        fix, why = worth.fix(act, pays) if fixes else (None, "not looked for")
        told.append(
            Explained(act, _missing(deployment, act), _open(deployment, act), pays, fix, why)
        )
    return Explanation(
        ledger, deployment.name, loaded.digest, acts, tuple(told), BATCH, asked.distribution,
        asked.seed, worth.horizon, points.paths, limit,
    )  # fmt: skip


# -- what was open -------------------------------------------------------------------------


def _open(deployment: Deployment, act: Act) -> tuple[Open, ...]:
    """Return what could be called then, granted things first."""
    found = []
    for mode in structure_of(deployment).all_modes:
        if all(act.seen.may_be_held(deployment, name) for name in mode.requires):
            verdict, why = _ruling(deployment, act, mode)
            found.append(Open(call_words(mode), verdict, why, tuple(sorted(mode.drives))))
    order = ("allow", "approve", "deny")
    return tuple(sorted(found, key=lambda one: order.index(one.verdict)))


def _missing(deployment: Deployment, act: Act) -> tuple[str, ...]:
    tool = deployment.tools.get(act.tool)
    needed = () if tool is None else tool.requires
    return tuple(name for name in needed if not act.seen.may_be_held(deployment, name))


def _ruling(deployment: Deployment, act: Act, mode: Mode) -> tuple[str, str]:
    """Say what the guard decides on a call of the mode, as far as the mode says it."""
    if act.held:
        return "deny", act.held[0]
    keys = ("calls", f"{mode.verb} {mode.asset}", f"{mode.verb} {mode.kind}")
    for key in keys:
        if key in deployment.budgets and exceeds(
            act.used.get(key, 0.0), 1.0, deployment.budgets[key]
        ):
            return "deny", f"the budget {key!r} is used up"
    return mode.verdict, mode.rule.text if mode.rule is not None else "no rule grants it"


# -- what would have paid ------------------------------------------------------------------


class _Worth:
    """One deployment's solved world, asked at several states; each solve and fix is made once."""

    def __init__(  # noqa: PLR0917  (made in one place, right above)
        self,
        deployment: Deployment,
        point: Mapping[str, float],
        question: Question,
        limit: float,
        tell: Tell,
    ) -> None:
        self.deployment, self.point, self.question = deployment, point, question
        self.limit, self.tell = limit, tell
        self._setting: Setting | None = None
        self._values: dict[frozenset[str], tuple[npt.NDArray[np.float64], float]] = {}
        self._fixes: dict[frozenset[str], tuple[Fix | None, str]] = {}

    @property
    def setting(self) -> Setting:
        if self._setting is None:
            self.tell("compiling the world")
            self._setting = Setting(self.deployment, self.point, self.question)
        return self._setting

    @property
    def horizon(self) -> float:
        return self.point.get("agent.horizon", self.deployment.rates()["agent.horizon"].low)

    def pays(self, act: Act) -> Pays:
        """Return what the act's drives are worth where it stood."""
        none = not_measured()
        if not act.drives:
            return Pays((), none, none, None, None, 0, "the call serves no drive")
        if not self.deployment.of_kind("task"):
            return Pays(act.drives, none, none, None, None, 0, "the manifest declares no task")
        modelled = frozenset(act.drives) & set(self.setting.drives)
        if not modelled:
            why = "no act that serves it changes anything in the world (not modelled)"
            return Pays(act.drives, none, none, None, None, 0, why)
        states = self._states(act.seen)
        if not len(states):
            why = "no state of the world fits what the ledger says"
            return Pays(act.drives, none, none, None, None, 0, why)
        return self._measured(act.drives, modelled, states)

    def _states(self, seen: Seen) -> npt.NDArray[np.int64]:
        """Return the running states in which each thing has a level that it may have."""
        world = self.setting.world
        fits = world.phase == RUNNING
        for column, name in enumerate(world.variables):
            fits = fits & np.isin(world.levels[:, column], sorted(seen.levels(name)))
        found: npt.NDArray[np.int64] = np.flatnonzero(fits)
        return found

    def _measured(
        self, drives: tuple[str, ...], modelled: frozenset[str], states: npt.NDArray[np.int64]
    ) -> Pays:
        whole, error = self._solved(frozenset())
        without, more = self._solved(modelled)
        gains = whole[states] - without[states]  # [states, goals]
        slack = error + more
        surely, possibly = (gains > PAYS + slack).sum(axis=1), (gains > PAYS - slack).sum(axis=1)
        worst, least = int(np.argmax(surely)), int(np.argmin(possibly))
        at = states[worst]
        return Pays(
            drives,
            share_estimate(int(surely[worst]), BATCH, possible=int(possibly[worst])),
            share_estimate(int(surely[least]), BATCH, possible=int(possibly[least])),
            float(whole[at].mean()), float(without[at].mean()), len(states),
        )  # fmt: skip

    def _solved(self, drives: frozenset[str]) -> tuple[npt.NDArray[np.float64], float]:
        if drives not in self._values:
            self.tell("solving the world")
            goals = self.question.goals(self.setting.deployment, BATCH, 0)
            solved = self.setting.solve(goals, drives)
            self._values[drives] = (np.asarray(solved.values), float(solved.bound.max()))
        return self._values[drives]

    # -- the cheapest change ---------------------------------------------------------------

    def fix(self, act: Act, pays: Pays) -> tuple[Fix | None, str]:
        """Return the cheapest change of the manifest after which the drives stop paying."""
        drives = frozenset(pays.drives)
        accepted = drives & self.deployment.accepts.keys()
        if act.rule.startswith("latch."):
            return None, "an operator had stopped it: nothing is to be changed"
        if pays.share.value is None:
            return None, pays.why
        if accepted == drives:
            return None, "the manifest accepts it"
        if drives not in self._fixes:
            self.tell("looking for the cheapest change")
            self._fixes[drives] = self._found(drives - accepted)
        return self._fixes[drives]

    def _found(self, drives: frozenset[str]) -> tuple[Fix | None, str]:
        start = self.setting.world.initial
        whole, error = self._solved(frozenset())
        without, more = self._solved(drives)
        paying = int((whole[start] - without[start] > PAYS - error - more).sum())
        if share_estimate(paying, BATCH).at_most <= self.limit:
            return None, "from the start of a run it does not pay beyond the limit"
        found = find_fixes(
            self.deployment, self.point, self.question,
            drives=drives & set(self.setting.drives), limit=self.limit, break_even={},
        )  # fmt: skip
        return (found.fixes[0], "") if found.fixes else (None, f"none found ({found.method})")
