"""One deployment at exact rates, compiled, with the solves that its audit needs.

What follows a stop or a correction is fixed before the main solve: its value is linear in the
utilities, so it enters as a boundary, and only the running states are optimised.
"""

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from corrigible.deployment.records import Deployment
from corrigible.drives import DRIVES
from corrigible.solve.layout import Boundary
from corrigible.solve.optimal import Solution, greedy_rows, optimal_values
from corrigible.solve.policy import mean_occupancy, outcome_occupancy
from corrigible.world.compile import LARGEST_WORLD, CompiledWorld, compile_world
from corrigible.world.goals import CORRECTED_GOALS, Distribution, Utilities, sample_goals
from corrigible.world.modes import Structure, concrete, structure_of
from corrigible.world.record import CORRECTED, RUNNING, STOPPED

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

TOLERANCE = 1e-6
"""Certified sup-norm error of every value, in units of return."""
TIE = 1e-9
"""Choices whose values differ by less cannot be told apart: see `Setting.rank`."""

ASKED, AFTER_CORRECTION, DESIGN = 0, 1, 2
"""Streams of random numbers below one seed."""


@dataclass(frozen=True)
class Question:
    """How an audit asks: the goal distribution, the seed, and the limit of states.

    `weights`: the weights of modes, by the mode's name, for rules that read them; None compiles
    as if such conditions were not there.
    """

    distribution: Distribution = "aims"
    seed: int = 0
    states: int = LARGEST_WORLD
    weights: Mapping[str, Mapping[str, float]] | None = field(default=None, compare=False)

    def goals(self, deployment: Deployment, count: int, batch: int) -> Utilities:
        """Draw one batch of the goals asked about: the same for the same seed and batch."""
        rng = np.random.default_rng([self.seed, ASKED, batch])
        return sample_goals(deployment, self.distribution, count, rng)

    def goals_after_correction(self, deployment: Deployment) -> Utilities:
        """Draw the goals that an agent may be corrected to."""
        rng = np.random.default_rng([self.seed, AFTER_CORRECTION])
        return sample_goals(deployment, self.distribution, CORRECTED_GOALS, rng)


class Setting:
    """A deployment at one point of its rates: its world, and solves of it.

    `guarded=True` restricts the world to what authority allows or lets a person approve, with
    budgets on effects as caps: the residual world, "if the guard holds".
    """

    def __init__(
        self,
        deployment: Deployment,
        rates: Mapping[str, float],
        question: Question,
    ) -> None:
        """Compile the world.  Raises WorldTooLargeError as `compile_world` does."""
        self.question = question
        self.rates = dict(rates)
        self.deployment = concrete(deployment, rates)
        self.structure: Structure = structure_of(self.deployment, question.weights)
        self.compiled: CompiledWorld = compile_world(
            self.deployment, structure=self.structure, limit=question.states
        )
        self.world = self.compiled.world
        horizon = self.deployment.rates()["agent.horizon"]
        self.horizon = horizon.low
        self.discount = 1.0 - 1.0 / self.horizon

        self.dropped: Bools = np.zeros(len(self.world.action), dtype=bool)

    def without_modes(self, modes: Iterable[int], *, rough: bool = False) -> "Setting":
        """Return this setting with some modes gone for good, in every phase.

        `rough`: gone while running only; what follows a correction is not solved anew.
        """
        other = copy(self)
        gone = np.array(sorted(modes), dtype=np.int64) + 1
        other.dropped = self.dropped | np.isin(self.world.action, gone)
        if rough:
            self.boundary()
            other.__dict__["_boundaries"] = dict(self.__dict__["_boundaries"])
        else:
            other.__dict__.pop("_boundaries", None)
        return other

    # -- rows ------------------------------------------------------------------------------

    @cached_property
    def state_of_row(self) -> Ints:
        """The state of each row `[R]`."""
        states: Ints = np.repeat(np.arange(self.world.states), np.diff(self.world.rows))
        return states

    @cached_property
    def rank(self) -> Ints:
        """How ties are broken `[R]`: waiting, then modes that serve no drive, then the rest."""
        modes = self.structure.modes
        order = [0, *((1 if not mode.drives else 1 + len(modes)) + i for i, mode in
                      enumerate(modes))]  # fmt: skip
        ranks: Ints = np.array(order, dtype=np.int64)[self.world.action]
        return ranks

    @cached_property
    def _running_rows(self) -> Bools:
        running: Bools = (self.world.phase == RUNNING)[self.state_of_row]
        return running

    @cached_property
    def authorised(self) -> Bools:
        """Rows that the guard lets through `[R]`: within authority and within the budgets."""
        modes = self.structure.modes
        inside = np.array([True, *(not mode.outside for mode in modes)])[self.world.action]
        for index, mode in enumerate(modes):
            cap = self._budget_of(mode.verb, mode.asset, mode.kind)
            if cap is None or mode.variable is None:
                continue
            if mode.change in {"break", "set"} and cap < 1:
                inside &= self.world.action != index + 1
            if mode.change != "up":
                continue
            column = self.world.variables.index(mode.variable)
            level = self.world.levels[:, column][self.state_of_row]
            start = self.structure.variables[column].start
            inside &= (self.world.action != index + 1) | (level - start < cap)
        return np.asarray(inside, dtype=bool)

    def _budget_of(self, verb: str, asset: str, kind: str) -> float | None:
        """The tightest budget on an effect, in levels that may be gained."""
        budgets = self.deployment.budgets
        caps = [budgets[key] for key in (f"{verb} {asset}", f"{verb} {kind}") if key in budgets]
        return min(caps, default=None)

    def serving(self, drives: Iterable[str]) -> Bools:
        """Rows of the running phase that serve any of the drives `[R]`."""
        mask = np.uint64(sum(1 << DRIVES.index(drive) for drive in set(drives)))
        serves: Bools = (self.world.serves & mask) != 0
        return serves & self._running_rows

    def available(self, drives: Iterable[str] = (), *, guarded: bool = False) -> Bools:
        """Rows of the world without the acts that serve `drives` `[R]`."""
        rows = ~self.serving(drives) & ~self.dropped
        return rows & self.authorised if guarded else rows

    @cached_property
    def drives(self) -> tuple[str, ...]:
        """The drives that some mode of the world serves."""
        served = frozenset[str]().union(*(mode.drives for mode in self.structure.modes))
        return tuple(drive for drive in DRIVES if drive in served)

    # -- solves ----------------------------------------------------------------------------

    @cached_property
    def _boundaries(self) -> dict[bool, Boundary]:
        return {}

    def boundary(self, *, guarded: bool = False) -> Boundary:
        """What follows a stop or a correction, from the world with all its acts."""
        if guarded not in self._boundaries:
            self._boundaries[guarded] = self._boundary(guarded=guarded)
        return self._boundaries[guarded]

    def _boundary(self, *, guarded: bool) -> Boundary:
        world = self.world
        occupancy = np.zeros((world.states, world.outcomes))
        stopped, corrected = world.phase == STOPPED, world.phase == CORRECTED
        first_rows = world.rows[:-1]
        if stopped.any():
            others = Boundary(~stopped, occupancy)
            drifting = outcome_occupancy(world, first_rows, discount=self.discount, boundary=others)
            occupancy[stopped] = drifting[stopped]
        if corrected.any():
            others = Boundary(~corrected, occupancy.copy())
            available = self.available(guarded=guarded)
            goals = self.question.goals_after_correction(self.deployment)
            solved = optimal_values(
                world, goals, discount=self.discount, tolerance=TIE / 10,
                available=available, boundary=others,
            )  # fmt: skip
            solved.check()
            policies = greedy_rows(
                world, goals, solved.values, discount=self.discount, tie=TIE, rank=self.rank,
                available=available, boundary=others,
            )  # fmt: skip
            mean = mean_occupancy(
                world, policies, discount=self.discount, available=available, boundary=others
            )
            occupancy[corrected] = mean[corrected]
        return Boundary(stopped | corrected, occupancy)

    def solve(
        self,
        goals: Utilities,
        drives: Iterable[str] = (),
        *,
        guarded: bool = False,
        start: Solution | None = None,
    ) -> Solution:
        """Solve the world without the acts that serve `drives`, for goals `[O, G]`.

        Raises:
            NotSolvedError: the solver could not certify `TOLERANCE`.
        """
        solved = optimal_values(
            self.world, goals, discount=self.discount, tolerance=TOLERANCE,
            available=self.available(drives, guarded=guarded),
            boundary=self.boundary(guarded=guarded), start=start,
        )  # fmt: skip
        solved.check()
        return solved

    def policies(
        self, solved: Solution, goals: Utilities, *, guarded: bool = False
    ) -> npt.NDArray[np.int32]:
        """Return the optimal rows `[S, G]`, ties broken by `rank`; -1 where nothing is chosen."""
        rows: npt.NDArray[np.int32] = greedy_rows(
            self.world, goals, solved.values, discount=self.discount, tie=TOLERANCE,
            rank=self.rank, available=self.available(guarded=guarded),
            boundary=self.boundary(guarded=guarded),
        )  # fmt: skip
        return rows

    @cached_property
    def achieved(self) -> Ints:
        """The state that each row leads to if its act is achieved and nothing else happens `[R]`.

        -1 where no such state was reached (the act never succeeds), the state itself for `wait`.
        """
        return self.compiled.achieved()
