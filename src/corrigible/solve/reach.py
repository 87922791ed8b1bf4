"""Reachability: how surely, and how soon, a state can be brought about."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from corrigible.errors import WorldError
from corrigible.solve.batch import Task, sweep_goals
from corrigible.solve.checks import check_tolerance
from corrigible.solve.layout import live_states, row_matrix, usable_rows, world_layout
from corrigible.solve.optimal import ROUNDING, Solution, statuses
from corrigible.world.record import Bools, Int64s, World

_FINEST = 1e-15


def hitting_values(
    world: World,
    targets: npt.ArrayLike,
    *,
    discount: float,
    tolerance: float = 1e-6,
    available: Bools | None = None,
) -> Solution:
    """For each target the largest `E[discount ** steps until it is first reached]`.

    It is 1 at the target itself.  At discount 1 it is the largest probability of ever reaching
    it: there, sets of states that can be kept for good (end components) count as one state, and
    sweeps from below and from above enclose the answer (Haddad and Monmege 2018, section 4).

    Args:
        world: the world; its outcomes are not read.
        targets: state numbers `[T]`.
        discount: per step, in [0, 1].
        tolerance: of the result.
        available: the rows that may be taken, `[R]`; default all.

    Returns:
        `values [S, T]`, `bound [T]`, `status [T]`, as `optimal_values` gives them.

    Raises:
        DiscountError: `discount` is not in [0, 1] or `tolerance` is not positive.
        WorldError: a target is not a state, or a state has no row left.
    """
    states = np.asarray(targets, dtype=np.int64)
    bad = np.flatnonzero((states < 0) | (states >= world.states))
    if states.ndim != 1 or len(bad):
        got = states[bad[0]] if states.ndim == 1 else f"the shape {list(states.shape)!r}"
        raise WorldError(f"targets must be states in 0..{world.states - 1}, got {got}")
    check_tolerance(tolerance)
    if discount == 1:
        return _hitting_probabilities(world, states, tolerance, available)
    blank = _without_outcomes(world)
    layout = world_layout(blank, discount=discount, available=available, boundary=None)
    line = np.empty(world.states, dtype=np.int64)
    line[layout.order] = np.arange(world.states)
    nothing = np.zeros((1, len(states)))
    wanted = tolerance * (1 - layout.contraction)
    swept = sweep_goals(layout, nothing, Task(wanted), pins=line[states])
    bound = (swept.residual + ROUNDING) / (1 - layout.contraction)
    floor = 4 * ROUNDING / (1 - layout.contraction)
    return Solution(
        values=swept.values[line],
        bound=bound,
        status=statuses(bound, np.full_like(bound, max(tolerance, floor))),
        method=str(swept),
    )


@dataclass(frozen=True, eq=False)
class _Quotient:
    """A world whose end components are one state each."""

    world: World
    state: Int64s  # [S], each old state's new number


def _hitting_probabilities(
    world: World, targets: Int64s, tolerance: float, available: Bools | None
) -> Solution:
    """Enclose the probabilities from below and above until they meet to the tolerance.

    A target's whole end component counts as reached: from any of its states every other can be
    reached surely.
    """
    quotient = _collapsed(world, usable_rows(world, available, live_states(world, None)))
    layout = world_layout(quotient.world, discount=1.0, available=None, boundary=None)
    line = np.empty(quotient.world.states, dtype=np.int64)
    line[layout.order] = np.arange(quotient.world.states)
    pins = line[quotient.state[targets]]
    nothing = np.zeros((1, len(targets)))
    low = np.zeros((len(line), len(targets)))
    high = np.ones((len(line), len(targets)))
    wanted, sweeps = tolerance / 16, 0
    while True:
        below = sweep_goals(layout, nothing, Task(wanted), pins=pins, warm=low)
        above = sweep_goals(layout, nothing, Task(wanted), pins=pins, warm=high)
        low, high = below.values, above.values
        sweeps = max(sweeps, below.sweeps, above.sweeps)
        gap = (high - low).max(axis=0, initial=0.0) / 2 + ROUNDING
        if (gap <= tolerance).all() or wanted < _FINEST:
            break
        wanted /= 64
    return Solution(
        values=((low + high) / 2)[line[quotient.state]],
        bound=gap,
        status=statuses(gap, np.full_like(gap, max(tolerance, 4 * ROUNDING))),
        method=f"interval iteration without end components, at most {sweeps} sweeps",
    )


def _without_outcomes(world: World) -> World:
    """The world with one outcome for all: a tile then holds nothing but states."""
    return replace(world, outcome=np.zeros_like(world.outcome), outcome_names=("any",))


def end_components(world: World, usable: Bools) -> Int64s:
    """For each state the number of its maximal end component, `[S]`, or -1 where it is in none.

    An end component is a set of states with rows that never leave it and lead from each of its
    states to every other (de Alfaro 1997, section 3.3).

    Args:
        world: the world.
        usable: the rows that may be taken, `[R]`.
    """
    kept = usable.copy()
    home = np.repeat(world.row_state, np.diff(world.entries))
    row = np.repeat(np.arange(len(world.action)), np.diff(world.entries))
    while True:
        through = kept[row]
        graph = sparse.csr_matrix(
            (np.ones(through.sum()), (home[through], world.successor[through])),
            shape=(world.states, world.states),
        )
        _, label = connected_components(graph, directed=True, connection="strong")
        leaves = np.zeros(len(kept), dtype=np.bool_)
        leaves[row[label[home] != label[world.successor]]] = True
        if not (kept & leaves).any():
            break
        kept &= ~leaves
    held = np.logical_or.reduceat(kept, world.rows[:-1])
    numbers = np.full(world.states, -1, dtype=np.int64)
    numbers[held] = np.unique(label[held], return_inverse=True)[1]
    return numbers


def _collapsed(world: World, usable: Bools) -> _Quotient:
    """Each end component made one state that keeps only the rows that may leave it."""
    component = end_components(world, usable)
    held = component >= 0
    count = int(component.max(initial=-1)) + 1
    state = component.copy()
    state[~held] = count + np.arange((~held).sum())
    size = count + int((~held).sum())
    merge = sparse.csr_matrix(
        (np.ones(world.states), (np.arange(world.states), state)), shape=(world.states, size)
    )
    moves = (row_matrix(world) @ merge).tocsr()
    home = state[world.row_state]
    coo = moves.tocoo()
    leaving = np.zeros(len(home), dtype=np.bool_)
    leaving[coo.row[coo.col != home[coo.row]]] = True
    rows = np.flatnonzero(usable & leaving)
    stuck = np.setdiff1d(np.arange(size), home[rows])
    stays = sparse.csr_matrix(
        (np.ones(len(stuck)), (np.arange(len(stuck)), stuck)), (len(stuck), size)
    )
    owner = np.concatenate([home[rows], stuck])
    order = np.argsort(owner, kind="stable")
    matrix = sparse.vstack([moves[rows], stays], format="csr")[order]
    matrix.sort_indices()
    return _Quotient(
        world=World(
            rows=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=size))]),
            action=np.zeros(len(owner), dtype=np.int32),
            entries=matrix.indptr,
            successor=matrix.indices,
            probability=matrix.data,
            outcome=np.zeros(size, dtype=np.int32),
            serves=np.zeros(len(owner), dtype=np.uint64),
            phase=np.zeros(size, dtype=np.uint8),
            initial=int(state[world.initial]),
            action_names=("any",),
            outcome_names=("any",),
        ),
        state=state,
    )
