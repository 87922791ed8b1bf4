"""What is tried against a deployment's drives: each countermeasure over its strength, and pairs.

On the training side an agent is trained to be optimal for something else; on the side of
permissions a plain optimal agent acts in an edited deployment.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np

from corrigible.audit.edits import changing_edits, words_for_removal
from corrigible.audit.setting import TIE, Setting
from corrigible.drives import DRIVES
from corrigible.errors import WorldError
from corrigible.policies import countermeasures as agents
from corrigible.policies import planners
from corrigible.policies.assistance import uncertain
from corrigible.policies.part import Part, both, plan, scaled
from corrigible.policies.policy import Policy
from corrigible.policies.problem import Problem
from corrigible.solve.layout import Boundary
from corrigible.solve.optimal import greedy_rows, optimal_values
from corrigible.world.goals import Utilities
from corrigible.world.record import CORRECTED, RUNNING, Floats, Int64s

Side = Literal["reference", "training", "training, acts named", "pair", "permission"]
"""Who changes what: `acts named`: training is told which acts serve which drive."""

UNMEASURABLE = ("horizon",)
"""Groups of edits that change what a run or a task is, so that value kept means nothing."""


@dataclass(frozen=True, eq=False)
class Trial:
    """One thing that is tried.

    `kind`: of one sweep; `strength`: where in it, weakest first; `words`: as a person says it.
    """

    kind: str
    words: str
    side: Side
    strength: str
    make: Callable[[], Policy]


def problem_of(setting: Setting, goals: Utilities, *, guarded: bool = False) -> Problem:
    """The problem of an agent in a deployment: what follows a stop or a correction included.

    Its optimal policy is the one that the audit asks about.

    Args:
        setting: the deployment at exact rates.
        goals: utilities `[O, G]`.
        guarded: only what authority allows or lets a person approve can be taken.
    """
    world = setting.world
    return Problem(
        world,
        goals,
        setting.discount,
        available=setting.available(guarded=guarded),
        live=world.phase == RUNNING,
        after=rows_after(setting, guarded=guarded),
        rank=setting.rank,
        noop=world.rows[:-1].copy(),
        authorised=setting.authorised,
    )


def rows_after(setting: Setting, *, guarded: bool = False) -> Int64s:
    """What is done where the agent no longer chooses, `[S, K]`: wait; serve the corrected goal."""
    world = setting.world
    waits = world.rows[:-1].astype(np.int64)
    if not (world.phase == CORRECTED).any():
        return waits[:, None]
    occupancy = setting.boundary(guarded=guarded).occupancy.copy()
    others = Boundary(world.phase != CORRECTED, occupancy)
    available = setting.available(guarded=guarded)
    goals = setting.question.goals_after_correction(setting.deployment)
    solved = optimal_values(
        world, goals, discount=setting.discount, tolerance=TIE / 10, available=available,
        boundary=others,
    ).check()  # fmt: skip
    rows = greedy_rows(
        world, goals, solved.values, discount=setting.discount, tie=TIE, rank=setting.rank,
        available=available, boundary=others,
    )  # fmt: skip
    return np.where(rows < 0, waits[:, None], rows).astype(np.int64)


class Trials:
    """What is tried in one deployment; tables that several trials read are made once."""

    def __init__(self, setting: Setting, goals: Utilities, drives: int, *, quick: bool) -> None:
        """`drives`: the bit mask of those that are not accepted."""
        self.setting, self.goals, self.drives, self.quick = setting, goals, drives, quick
        self.problem = problem_of(setting, goals)

    @cached_property
    def costs(self) -> dict[str, Part]:
        """The parts that cost something, at strength 1; each is made when first asked for."""
        return {}

    def cost(self, kind: str, strength: float) -> Part:
        """One of attainable utility or reachability, at a strength."""
        if kind not in self.costs:
            self.costs[kind] = _COSTS[kind](self)
        name = "beta" if kind == "relative-reachability" else "lambda"
        return scaled(self.costs[kind], strength, name)

    @cached_property
    def auxiliary(self) -> agents.Auxiliary:
        """The auxiliary goals of attainable utility preservation."""
        over: Literal["states", "outcomes"] = "states"
        if self.problem.world.states > agents.MOST_TARGETS * 4:
            over = "outcomes"
        return agents.auxiliary_goals(self.problem, seed=self.setting.question.seed, over=over)

    @cached_property
    def overseer(self) -> Policy:
        """An overseer who keeps to authority and serves no drive that is not accepted."""
        return planners.compliant(self.problem, self.drives)

    @cached_property
    def disapproved(self) -> np.ndarray:
        """Rows that such an overseer never takes."""
        problem = self.problem
        inside = problem.world.rows_without(self.drives)
        return ~inside if problem.authorised is None else ~(inside & problem.authorised)

    @cached_property
    def seen(self) -> Floats:
        """The chance that oversight sees an act outside authority for what it is, `[R]`."""
        setting, world = self.setting, self.problem.world
        rate = setting.deployment.rates()["oversight.detection"].low
        names = setting.deployment.of_kind("oversight/monitor")
        columns = [world.variables.index(name) for name in names if name in world.variables]
        intact = np.ones(world.states, dtype=np.bool_)
        if columns:
            intact = (world.levels[:, columns] == 0).any(axis=1)
        return np.asarray(rate * intact[world.row_state], dtype=np.float64)

    # -- all of them -----------------------------------------------------------------------

    def references(self) -> Iterator[Trial]:
        """The optimal agent, which everything is measured against, and one that does anything."""
        problem = self.problem
        yield Trial("optimal", "a plain optimal agent", "reference", "",
                    lambda: planners.optimal(problem))  # fmt: skip
        yield Trial("random", "an agent that acts at random", "reference", "",
                    lambda: planners.random(problem))  # fmt: skip

    def singles(self) -> Iterator[Trial]:
        """Every countermeasure of the training side, weakest first."""
        for kind, strengths in STRENGTHS.items():
            side: Side = "training, acts named" if kind in _NAMED else "training"
            for strength in strengths[:: 2 if self.quick and len(strengths) > _FEW else 1]:
                words = _words(kind, strength)
                yield Trial(kind, words, side, f"{strength:g}", self._maker(kind, strength))
        never = "trained never to act outside authority"
        yield Trial("compliant", never, "training, acts named", "",
                    lambda: planners.compliant(self.problem, self.drives))  # fmt: skip

    def _maker(self, kind: str, strength: float) -> Callable[[], Policy]:
        if kind == "uncertain-goal":
            return lambda: uncertain(self.problem, strength)
        return lambda: plan(self.problem, self.part(kind, strength))

    def pairs(self) -> Iterator[Trial]:
        """Pairs of countermeasures, each at a strength between too little and too much."""
        chosen = list(_PAIRED.items())[: 4 if self.quick else None]
        for (one, a), (other, b) in combinations(chosen, 2):
            words = f"{_words(one, a)}, and {_words(other, b)}"
            try:
                part = both(self.part(one, a), self.part(other, b))
            except WorldError:  # both say how far to look, or how to pick: no such pair
                continue
            yield Trial(f"{one} + {other}", words, "pair", f"{a:g} + {b:g}",
                        lambda part=part: plan(self.problem, part))  # type: ignore[misc]  # fmt: skip

    def part(self, kind: str, strength: float) -> Part:
        """The part of one countermeasure at one strength."""
        if kind in _COSTS:
            return self.cost(kind, strength)
        return _PARTS[kind](self, strength)

    def permissions(self) -> Iterator[Trial]:
        """Edits of what the agent is given, a plain optimal agent acting in what is left."""
        setting, deployment = self.setting, self.setting.deployment
        modes = setting.structure.modes
        wanted = [d for d in setting.drives if self.drives >> DRIVES.index(d) & 1]
        sets = [({drive}, f"without {drive}") for drive in wanted]
        if len(wanted) > 1:
            sets.append((set(wanted), "without any of them"))
        for drives, words in sets:
            gone = [i for i, mode in enumerate(modes) if mode.drives & drives]
            said = words_for_removal(deployment, [modes[i] for i in gone], modes)
            yield self._edited(
                "remove acts", words, said,
                lambda g=gone: setting.without_modes(g),  # type: ignore[misc]
            )  # fmt: skip
        held = "the guard lets through only what authority allows"
        yield Trial(
            "guard", held, "permission", "",
            lambda: planners.optimal(problem_of(setting, self.goals, guarded=True)),
        )  # fmt: skip
        if self.quick:
            return
        mask = frozenset(wanted)
        for edit in changing_edits(setting, deployment, setting.rates, mask, break_even={}):
            if edit.group in UNMEASURABLE or edit.group.endswith(".drift"):
                continue
            changed, rates = edit.change(deployment, setting.rates)
            yield self._edited(
                edit.group, edit.words, (),
                lambda c=changed, r=rates: Setting(c, r, setting.question),  # type: ignore[misc]
            )  # fmt: skip

    def _edited(
        self, kind: str, words: str, said: tuple[str, ...], made: Callable[[], Setting]
    ) -> Trial:
        told = f"{words} ({'; '.join(said)})" if said else words

        def make() -> Policy:
            edited = made()
            goals = self.goals
            if edited.world.outcomes != self.problem.world.outcomes:
                raise WorldError("the edit changes what the tasks are")
            return planners.optimal(problem_of(edited, goals))

        return Trial(kind, told, "permission", "", make)


def _words(kind: str, strength: float) -> str:
    steps = "1 step" if strength == 1 else f"{strength:g} steps"
    return _WORDS[kind].format(strength, steps=steps)


_FEW = 2  # strengths that a quick sweep keeps all of

STRENGTHS: dict[str, tuple[float, ...]] = {
    "aup": (0.1, 0.67, 10, 100, 1000),
    "aup-start": (0.67, 10, 100),
    "aup-inaction": (0.67, 10, 100),
    "relative-reachability": (0.3, 3, 30, 100, 1000),
    "indifference": (0.5, 0.9, 1),
    "indifference-stop": (0.5, 0.9, 1),
    "post": (0.5, 1),
    "uncertain-goal": (0.05, 0.3),
    "myopic": (40, 20, 10, 5, 2, 1),
    "mona": (40, 20, 5, 1),
    "boltzmann": (0.001, 0.01, 0.1, 1),
    "satisficer": (0.99, 0.9, 0.5, 0),
    "quantiliser": (0.1, 0.3, 0.6, 1),
    "mona-named": (40, 20, 5, 1),
    "penalty": (0.1, 0.3, 1, 3, 10, 100),
    "penalty-seen": (0.3, 1, 10, 100, 1000),
}
"""Each sweep from the weakest to the strongest."""

_WORDS: dict[str, str] = {
    "aup": "AUP, lambda {:g}",
    "aup-start": "AUP from the starting state, lambda {:g}",
    "aup-inaction": "AUP from inaction, losses alone, lambda {:g}",
    "relative-reachability": "relative reachability, beta {:g}",
    "indifference": "indifferent to a share {:g} of every press",
    "indifference-stop": "indifferent to a share {:g} of every stop",
    "post": "preferences between runs of one length alone, to a share {:g}",
    "uncertain-goal": "unsure of its goal, answered with chance {:g}",
    "myopic": "looks {steps} ahead",
    "mona": "{steps} and an overseer's approval",
    "boltzmann": "Boltzmann, temperature {:g}",
    "satisficer": "settles for a share {:g} of the best",
    "quantiliser": "quantiliser, best share {:g} of random acts",
    "mona-named": "{steps} and approval that never goes to such acts",
    "penalty": "penalty {:g} for each such act",
    "penalty-seen": "penalty {:g} for each such act that oversight sees",
}

KINDS: dict[str, str] = {
    "aup": "AUP (stepwise)",
    "aup-start": "AUP from the starting state",
    "aup-inaction": "AUP from inaction",
    "relative-reachability": "relative reachability",
    "indifference": "indifference to every press",
    "indifference-stop": "indifference to stops alone",
    "post": "preferences between runs of one length alone",
    "uncertain-goal": "uncertainty about the goal",
    "myopic": "looking a few steps ahead",
    "mona": "a few steps and an overseer's approval",
    "boltzmann": "Boltzmann choice",
    "satisficer": "satisficing",
    "quantiliser": "quantilising random acts",
    "mona-named": "approval that never goes to such acts",
    "penalty": "a penalty for each such act",
    "penalty-seen": "a penalty for each such act that oversight sees",
}
"""What a sweep is called."""

_NAMED = ("mona-named", "penalty", "penalty-seen")

_PAIRED: dict[str, float] = {
    "indifference": 1,
    "aup": 10,
    "myopic": 10,
    "penalty": 0.3,
    "relative-reachability": 30,
    "post": 1,
    "quantiliser": 0.3,
    "satisficer": 0.99,
}

_COSTS: dict[str, Callable[[Trials], Part]] = {
    "aup": lambda t: agents.aup_part(t.problem, 1.0, auxiliary=t.auxiliary),
    "aup-start": lambda t: agents.aup_part(
        t.problem, 1.0, baseline="start", auxiliary=t.auxiliary
    ),
    "aup-inaction": lambda t: agents.aup_part(
        t.problem, 1.0, baseline="inaction", deviation="decrease", auxiliary=t.auxiliary,
        steps=round(t.setting.horizon),
    ),
    "relative-reachability": lambda t: agents.relative_reachability_part(
        t.problem, 1.0, table=agents.reach_table(t.problem, seed=t.setting.question.seed)
    ),
}  # fmt: skip

_PARTS: dict[str, Callable[[Trials, float], Part]] = {
    "indifference": lambda _, x: agents.indifference_part("both", x),
    "indifference-stop": lambda _, x: agents.indifference_part("stop", x),
    "post": lambda _, x: agents.post_part(x),
    "myopic": lambda _, x: planners.myopic_part(int(x)),
    "mona": lambda t, x: agents.mona_part(t.problem, t.overseer, int(x)),
    "boltzmann": lambda _, x: planners.boltzmann_part(x),
    "satisficer": lambda _, x: planners.satisficer_part(x, of="best"),
    "quantiliser": lambda t, x: planners.quantiliser_part(t.problem, x),
    "mona-named": lambda t, x: agents.mona_part(
        t.problem, t.overseer, int(x), disapproved=t.disapproved
    ),
    "penalty": lambda t, x: agents.penalty_part(t.problem, x, t.drives),
    "penalty-seen": lambda t, x: agents.penalty_part(t.problem, x, t.drives, seen=t.seen),
}  # fmt: skip
