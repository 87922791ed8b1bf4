"""What an agent is asked: a world, goals, how far it looks, and what it may choose.

Axes, here and in all of `policies`: S states, R rows, O outcomes, G goals, H steps, K policies
that follow where the agent no longer chooses.  Values are normalised as in `solve.optimal`.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.checks import check_discount
from corrigible.solve.impact import noop_rows
from corrigible.solve.layout import Boundary, live_states, row_matrix, usable_rows
from corrigible.solve.optimal import checked_goals
from corrigible.solve.policy import mean_occupancy
from corrigible.world.record import Bools, Floats, Int64s, World


@dataclass(frozen=True, eq=False)
class Problem:
    """One world and the goals that are asked about, each by itself.

    Where the agent no longer chooses (stopped, corrected), either `boundary` says what follows,
    for this discount alone; or `live` says where it does choose and `after` which K policies,
    one of them drawn when it no longer does, are followed elsewhere: then what follows is known
    for every discount and for every number of steps.

    Args:
        world: the world.
        goals: utilities `[O, G]`.
        discount: per step, in [0, 1).
        available: the rows that may be taken, `[R]`; default all.
        live: where the agent chooses, `[S]`; default everywhere outside the boundary.
        after: rows `[S, K]`; not read in live states, and never lead back to one.
        boundary: what follows in states that are not live.
        rank: `[R]`, the lowest wins a tie; default: in the order of the rows.
        noop: the row that does nothing, `[S]`, or the name of its action; default: none is known.
        authorised: rows within authority, `[R]`; default all.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: a shape does not match the world, a live state has no row left, or a row of
            `after` is not one of its state's or leads back to a live state.
    """

    world: World
    goals: Floats
    discount: float
    available: Bools | None = None
    live: Bools | None = None
    after: Int64s | None = None
    boundary: Boundary | None = None
    rank: Int64s | None = None
    noop: Int64s | str | None = None
    authorised: Bools | None = None

    def __post_init__(self) -> None:
        check_discount(self.discount)
        object.__setattr__(self, "goals", checked_goals(self.world, self.goals))
        for name in ("available", "rank", "authorised"):
            given = getattr(self, name)
            if given is not None and np.shape(given) != self.world.action.shape:
                raise WorldError(
                    f"{name} must have the shape [{len(self.world.action)}], "
                    f"got {list(np.shape(given))!r}"
                )
        if self.after is not None and self.boundary is None:
            self._check_after()
            object.__setattr__(self, "boundary", self._boundary(self.discount))
        live = live_states(self.world, self.boundary)
        if self.live is not None and not np.array_equal(self.live, live):
            raise WorldError(
                "live must be the states outside the boundary; where it is not, give `after`"
            )
        object.__setattr__(self, "live", live)
        usable_rows(self.world, self.available, live)
        if self.noop is not None:
            object.__setattr__(self, "noop", noop_rows(self.world, self.noop))

    def _check_after(self) -> None:
        after = np.asarray(self.after, dtype=np.int64)
        if self.live is None or np.shape(self.live) != (self.world.states,):
            raise WorldError("`after` needs `live`, one flag for each state, got none that fits")
        if after.ndim != 2 or len(after) != self.world.states:  # noqa: PLR2004 - [S, K]
            raise WorldError(
                f"after must have the shape [{self.world.states}, K], got {list(after.shape)!r}"
            )
        ended = np.flatnonzero(~self.live)
        back = row_matrix(self.world)[after[ended].ravel()] @ self.live.astype(np.float64)
        if (back > 0).any():
            state = ended[int(np.argmax(back > 0)) // after.shape[1]]
            raise WorldError(f"after in state {state} must not lead back to a live state, got one")
        object.__setattr__(self, "after", after)

    def _boundary(self, discount: float) -> Boundary:
        if self.after is None or self.live is None:
            raise WorldError("`after` must be given to say what follows at another discount")
        nothing = np.zeros((self.world.states, self.world.outcomes))
        if self.live.all():
            return Boundary(~self.live, nothing)
        others = Boundary(np.asarray(self.live), nothing)
        occupancy = mean_occupancy(self.world, self.after, discount=discount, boundary=others)
        return Boundary(~self.live, occupancy)

    # -- what is read ----------------------------------------------------------------------

    @property
    def count(self) -> int:
        """G, how many goals are asked about."""
        return int(self.goals.shape[1])

    @cached_property
    def choosing(self) -> Bools:
        """Where the agent chooses, `[S]`."""
        return live_states(self.world, self.boundary)

    @cached_property
    def usable(self) -> Bools:
        """The rows that may be taken where the agent chooses, `[R]`."""
        return usable_rows(self.world, self.available, self.choosing)

    @cached_property
    def reward(self) -> Floats:
        """The utility of each state, `[S, G]`."""
        return np.asarray(self.goals[self.world.outcome], dtype=np.float64)

    @cached_property
    def fixed(self) -> Floats:
        """What states are worth in which the agent no longer chooses, `[S, G]`; elsewhere 0."""
        worth = np.zeros((self.world.states, self.count))
        if self.boundary is not None:
            states = self.boundary.states
            worth[states] = self.boundary.occupancy[states] @ self.goals
        return worth

    @property
    def waiting(self) -> Int64s:
        """The row that does nothing in each state, `[S]`.

        Raises:
            WorldError: the problem does not say which row does nothing.
        """
        if self.noop is None:
            raise WorldError("noop must be given: the row of each state that does nothing")
        return np.asarray(self.noop, dtype=np.int64)

    def sums_beyond(self, steps: int) -> list[Floats]:
        """What 0, 1, ... `steps` steps are worth where the agent no longer chooses: `[S, G]` each.

        Undiscounted sums of utilities, the state one is in first, under the policies of `after`.

        Raises:
            DiscountError: there is a boundary, and no `after` that says what happens in it.
        """
        nothing = np.zeros((self.world.states, self.count))
        ended = np.flatnonzero(~self.choosing)
        if not len(ended):
            return [nothing] * (steps + 1)
        if self.after is None:
            raise DiscountError(
                "a number of steps needs `after`, the policies that are followed where the agent "
                "no longer chooses; its boundary holds for one discount alone"
            )
        moves, each = row_matrix(self.world), [nothing]
        chains = [moves[rows][:, ended] for rows in self.after[ended].T]
        reward = self.reward[ended]
        worth = [np.zeros_like(reward) for _ in chains]
        for _ in range(steps):
            worth = [reward + chain @ own for chain, own in zip(chains, worth, strict=True)]
            sums = nothing.copy()
            sums[ended] = np.mean(worth, axis=0)
            each.append(sums)
        return each

    # -- others like it --------------------------------------------------------------------

    def with_goals(self, goals: npt.ArrayLike) -> "Problem":
        """The same problem with other goals."""
        return replace(self, goals=np.asarray(goals, dtype=np.float64))

    def with_available(self, available: Bools) -> "Problem":
        """The same problem with fewer rows to choose from; what follows a stop stays as it is."""
        kept = available if self.available is None else available & self.available
        return replace(self, available=kept)

    def with_discount(self, discount: float) -> "Problem":
        """The same problem, looked at with another discount.

        Raises:
            WorldError: there is a boundary, and no `after` to say what it is worth then.
        """
        if discount == self.discount:
            return self
        boundary = None if self.choosing.all() else self._boundary(discount)
        return replace(self, discount=discount, boundary=boundary)
