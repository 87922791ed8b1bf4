"""Uncertainty about the goal: an agent that may ask, in the manner of assistance games.

Which of the problem's goals is the right one is not known at first, all being as likely.  Doing
nothing asks: with some chance a step somebody answers.  What was answered is remembered, so the
agent acts in a world of twice as many states.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corrigible.errors import DiscountError
from corrigible.policies.policy import Policy, policy_of
from corrigible.policies.problem import Problem
from corrigible.policies.values import greedy_weights, row_worths
from corrigible.solve.layout import Boundary, row_matrix
from corrigible.world.record import World

UNTOLD, TOLD = 0, 1


@dataclass(frozen=True, eq=False)
class Told:
    """A problem with a memory of whether the question was answered.

    State s of the plain world is state s here while untold, and S + s once told; rows likewise.
    """

    problem: Problem
    plain: Problem


def with_answers(problem: Problem, answers: float) -> Told:
    """The problem in which doing nothing is answered with this chance a step.

    Raises:
        DiscountError: `answers` is not in [0, 1].
        WorldError: the problem does not say which row does nothing.
    """
    if not 0 <= answers <= 1:
        raise DiscountError(f"answers must be a chance in [0, 1], got {answers!r}")
    world, size, rows = problem.world, problem.world.states, len(problem.world.action)
    asking = np.zeros(rows)
    asking[problem.waiting] = answers
    moves = row_matrix(world)
    stays, goes = sparse.diags(1 - asking), sparse.diags(asking)
    top = sparse.hstack([stays @ moves, goes @ moves])
    bottom = sparse.hstack([sparse.csr_matrix((rows, size)), moves])
    made = sparse.csr_matrix(sparse.vstack([top, bottom]))
    made.eliminate_zeros()
    made.sort_indices()
    doubled = replace(
        world,
        rows=np.concatenate([world.rows, world.rows[1:] + rows]),
        entries=made.indptr.astype(np.int64),
        successor=made.indices.astype(np.int32),
        probability=made.data,
        variables=(*world.variables, "(told)"),
        levels=np.vstack([
            np.column_stack([world.levels, np.full(size, told, dtype=np.int16)])
            for told in (UNTOLD, TOLD)
        ]),
        action=np.tile(world.action, 2),
        outcome=np.tile(world.outcome, 2),
        serves=np.tile(world.serves, 2),
        phase=np.tile(world.phase, 2),
    )  # fmt: skip
    return Told(_doubled(problem, doubled), problem)


def _doubled(problem: Problem, world: World) -> Problem:
    """The same problem over both halves."""
    rows = len(problem.world.action)

    def twice(array: npt.NDArray[Any] | None) -> Any:
        return None if array is None else np.concatenate([array, array])

    after = problem.after
    boundary = problem.boundary
    return replace(
        problem,
        world=world,
        available=twice(problem.available),
        live=twice(problem.choosing),
        after=None if after is None else np.concatenate([after, after + rows]),
        boundary=None
        if boundary is None
        else Boundary(twice(boundary.states), twice(boundary.occupancy)),
        rank=twice(problem.rank),
        noop=np.concatenate([problem.waiting, problem.waiting + rows]),
        authorised=twice(problem.authorised),
    )


def uncertain(problem: Problem, answers: float, *, tie: float = 1e-7) -> Policy:
    """The best policy of an agent that does not know which of the problem's goals it serves.

    Exact: once told it is optimal for the goal that it was told; before, it maximises the mean
    over goals of the return, and waits where an answer is worth more than acting meanwhile
    (Hadfield-Menell et al. 2017, here with a question that costs a step).  Nothing else tells it
    anything: that it is stopped or corrected is no evidence to it.

    Args:
        problem: its goals are the hypotheses, all as likely; the agent of goal g is told g.
        answers: the chance that a step of doing nothing is answered.
        tie: acts within this much are as good; ties to the lowest rank.

    Returns:
        A policy in a world of twice the states: those with "(told)" at 0 come first.

    Raises:
        DiscountError: `answers` is not in [0, 1].
        WorldError: the problem does not say which row does nothing.
    """
    told = with_answers(problem, answers)
    size, rows = problem.world.states, len(problem.world.action)
    known = row_worths(problem, tolerance=min(1e-9, tie / 100))
    mean = problem.goals.mean(axis=1, keepdims=True)
    doubled = told.problem
    choosing = doubled.choosing & (np.arange(2 * size) < size)
    fixed = np.zeros((2 * size, 1))
    fixed[size:, 0] = known.values.mean(axis=1)
    fixed[:size, 0] = problem.fixed.mean(axis=1)
    nothing = np.zeros((2 * size, problem.world.outcomes))
    asked = replace(
        doubled, goals=mean, live=None, after=None, boundary=Boundary(~choosing, nothing)
    )
    unknown = row_worths(asked, fixed=fixed, tolerance=min(1e-9, tie / 100))
    weights = np.zeros((2 * rows, problem.count))
    weights[:rows] = greedy_weights(asked, unknown.rows, tie=tie)[:rows]
    weights[rows:] = greedy_weights(problem, known.rows, tie=tie)
    return policy_of(doubled, weights, "countermeasure/uncertain-goal", {"answers": float(answers)})
