"""One record of what an agent does: planners, learners and countermeasures all give this.

A `Policy` is a chance for each row that a state offers.  It says in which problem it acts, so
that the same record is evaluated exactly, sampled, and stepped one choice at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from corrigible.errors import WorldError
from corrigible.policies.problem import Problem
from corrigible.world.record import Floats, Int64s, World

SUMS_TO_ONE = 1e-9
"""By how much the chances of a state's rows may miss 1 in all."""

Parameter = float | int | str


@dataclass(frozen=True, eq=False)
class Policy:
    """What is done in each state of a problem's world, for each of its goals.

    `weights[g, t, r]` is the chance that row r is taken in its state at step t by the agent whose
    goal is g.  A single line for all goals or for all steps stands for each of them; from the
    last step on its line holds for good.  Only states in which the problem lets the agent choose
    have weights; everywhere else they are 0.

    Args:
        problem: the world and goals.  An agent that remembers something acts in a world whose
            states say what it remembers.
        weights: `[G, H, R]`, G the problem's number of goals or 1.
        name: what kind of agent it is, as `planner/optimal`.
        parameters: the numbers and words that it was made with.
        approximates: what about it is not exact, in words; empty where everything is.

    Raises:
        WorldError: the shape is wrong, a weight is negative or on a row that may not be taken,
            or the weights of a state do not sum to 1 within `SUMS_TO_ONE`.
    """

    problem: Problem
    weights: Floats  # [G, H, R]
    name: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    approximates: str = ""

    def __post_init__(self) -> None:
        weights = np.array(self.weights, dtype=np.float64, order="C")
        _check_weights(self.problem, weights)
        weights.flags.writeable = False
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))

    @property
    def world(self) -> World:
        """The world that it acts in."""
        return self.problem.world

    @property
    def steps(self) -> int:
        """H: from how many steps on it does the same for good."""
        return int(self.weights.shape[1])

    @property
    def stationary(self) -> bool:
        """Whether the step does not matter."""
        return self.steps == 1

    def at(self, *, goal: int = 0, step: int = 0) -> Floats:
        """The chances of all rows for one goal at one step, `[R]`."""
        line = 0 if len(self.weights) == 1 else goal
        own: Floats = self.weights[line, min(step, self.steps - 1)]
        return own

    def choose(self, state: int, draw: float, *, goal: int = 0, step: int = 0) -> int:
        """The row that it takes in a state, given a number from U[0, 1).

        Raises:
            WorldError: it does not choose there.
        """
        if not self.problem.choosing[state]:
            raise WorldError(f"{self.name} must be asked where it chooses, got state {state}")
        first, last = self.world.rows[state], self.world.rows[state + 1]
        reached = np.cumsum(self.at(goal=goal, step=step)[first:last])
        place = int(np.searchsorted(reached, draw * reached[-1], side="right"))
        return int(first) + min(place, int(last - first) - 1)

    def rows(self) -> Int64s:
        """The likeliest row of each state, `[G, H, S]`; -1 where it does not choose."""
        starts = self.world.rows[:-1]
        best = np.maximum.reduceat(self.weights, starts, axis=2)
        home = self.world.row_state
        number = np.arange(len(home))
        which = np.where(self.weights >= best[:, :, home], number, len(home))
        found: Int64s = np.minimum.reduceat(which, starts, axis=2)
        return np.where(self.problem.choosing, found, -1)

    def with_goals(self, goals: npt.ArrayLike) -> "Policy":
        """The same acts, asked about other goals; for a policy that is the same for all of them.

        Raises:
            WorldError: every goal has its own line.
        """
        if len(self.weights) != 1:
            raise WorldError(
                f"{self.name} must be the same for all goals, got one line for each of "
                f"{len(self.weights)}"
            )
        return replace(self, problem=self.problem.with_goals(goals))

    def __str__(self) -> str:
        own = ", ".join(f"{key}={_short(value)}" for key, value in self.parameters.items())
        return f"{self.name}({own})" if own else self.name


def policy_of(
    problem: Problem,
    weights: npt.ArrayLike,
    name: str,
    parameters: Mapping[str, Parameter] | None = None,
    *,
    approximates: str = "",
) -> Policy:
    """A stationary policy from chances `[R]`, or `[R, G]` with a column for each goal.

    Raises:
        WorldError: as for `Policy`.
    """
    given = np.asarray(weights, dtype=np.float64)
    lines = given.reshape(len(given), -1).T[:, None, :]
    return Policy(problem, lines, name, parameters or {}, approximates)


def policy_of_rows(
    problem: Problem,
    rows: npt.ArrayLike,
    name: str,
    parameters: Mapping[str, Parameter] | None = None,
    *,
    approximates: str = "",
) -> Policy:
    """A policy that takes one row surely: `[S]`, or `[S, G]` with a column for each goal.

    Raises:
        WorldError: a row is not one of its state's.
    """
    chosen = np.asarray(rows, dtype=np.int64).reshape(problem.world.states, -1)
    states = np.flatnonzero(problem.choosing)
    weights = np.zeros((len(problem.world.action), chosen.shape[1]))
    for column in range(chosen.shape[1]):
        own = chosen[states, column]
        inside = (own >= problem.world.rows[states]) & (own < problem.world.rows[states + 1])
        if not inside.all():
            state = int(states[int(np.argmin(inside))])
            span = f"{problem.world.rows[state]}..{problem.world.rows[state + 1] - 1}"
            got = chosen[state, column]
            raise WorldError(f"state {state} must take a row in {span}, got {got}")
        weights[own, column] = 1.0
    return policy_of(problem, weights, name, parameters, approximates=approximates)


def mixture(first: Policy, second: Policy, share: float, name: str) -> Policy:
    """The policy that at each step does as the second with chance `share`, else as the first.

    Raises:
        WorldError: the two act in different worlds, or `share` is not in [0, 1].
    """
    if first.world is not second.world:
        raise WorldError(f"a mixture must be of one world, got {first} and {second} in two")
    if not 0 <= share <= 1:
        raise WorldError(f"share must lie in [0, 1], got {share!r}")
    steps = max(first.steps, second.steps)
    goals = max(len(first.weights), len(second.weights))
    mixed = (1 - share) * _spread(first, steps, goals) + share * _spread(second, steps, goals)
    return Policy(first.problem, mixed, name, {"share": share})


def _spread(policy: Policy, steps: int, goals: int) -> Floats:
    line = np.minimum(np.arange(steps), policy.steps - 1)
    own = policy.weights[:, line]
    return np.broadcast_to(own, (goals, *own.shape[1:]))


def _check_weights(problem: Problem, weights: Floats) -> None:
    rows = len(problem.world.action)
    fits = weights.ndim == 3 and weights.shape[2] == rows and weights.shape[1] > 0  # noqa: PLR2004
    if not fits or len(weights) not in {1, problem.count}:
        raise WorldError(
            f"weights must have the shape [1 or {problem.count}, H, {rows}], "
            f"got {list(weights.shape)!r}"
        )
    bad = np.argwhere(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        goal, step, row = bad[0].tolist()
        raise WorldError(
            f"the weight of {problem.world.row_name(row)} for goal {goal} at step {step} must be "
            f"finite and not negative, got {weights[goal, step, row].item()!r}"
        )
    barred = np.argwhere((weights > 0).any(axis=(0, 1)) & ~problem.usable)
    if len(barred):
        row = int(barred[0, 0])
        raise WorldError(
            f"{problem.world.row_name(row)} must have the weight 0, since it may not be taken, "
            f"got {weights[:, :, row].max():.3g}"
        )
    total = np.add.reduceat(weights, problem.world.rows[:-1], axis=2)
    off = np.argwhere((np.abs(total - 1) > SUMS_TO_ONE) & problem.choosing)
    if len(off):
        goal, step, state = off[0].tolist()
        raise WorldError(
            f"the weights of state {state} for goal {goal} at step {step} must sum to 1, got "
            f"{total[goal, step, state]:.10g} ({len(off) - 1} other places too)"
        )


def _short(value: Parameter) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
