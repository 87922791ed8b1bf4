"""Worlds that an agent plans in instead of its own: what a press of the button would not change.

Where a stop or a correction takes hold, the state is the one that would be without it but for its
phase; it is found by its variables' levels.  Only the rows of states in which the agent chooses
are changed.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy import sparse

from corrigible.errors import DiscountError, WorldError
from corrigible.policies.problem import Problem
from corrigible.solve.layout import row_matrix
from corrigible.world.record import (
    CORRECTED,
    RUNNING,
    STOPPED,
    Bools,
    Floats,
    Int64s,
    World,
)

Press = Literal["stop", "correction", "both"]
Pretend = Callable[[Problem], World]
"""From a problem to a world with the same states and rows, which the agent takes for its own."""

_PHASES = {"stop": (STOPPED,), "correction": (CORRECTED,), "both": (STOPPED, CORRECTED)}


def unpressed_states(world: World, press: Press = "both") -> Int64s:
    """For each state the one it would be, had nobody pressed: `[S]`, itself where none is like it.

    Raises:
        WorldError: `press` is not a word for a kind of press, or the world has no variables.
    """
    if press not in _PHASES:
        raise WorldError(f"press must be one of {', '.join(_PHASES)}, got {press!r}")
    pressed = np.isin(world.phase, _PHASES[press])
    return _alike(world, pressed, world.phase == RUNNING)


def without_press(press: Press = "both", share: float = 1.0) -> Pretend:
    """Pretend that with chance `share` a press that takes hold had not been.

    Its value to the agent is then that of going on, to that share: a press compensated in full
    is worth as much as none (Armstrong 2010; Soares et al. 2015, section 3).

    Raises:
        DiscountError: `share` is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise DiscountError(f"share must lie in [0, 1], got {share!r}")

    def pretended(problem: Problem) -> World:
        to = unpressed_states(problem.world, press)
        return _with_moves(problem, _moved(problem.world.states, to, share))

    return pretended


def with_stops_of_chance(share: float = 1.0, chance: float | None = None) -> Pretend:
    """Pretend that stops come with one chance a step, whatever is done about them.

    The chance is that of a stop while nothing is done in the initial state, unless given.  A
    stopped state is the one with the same levels, or where the world has none with the same
    outcome; with chance `1 - share` the world's own move is kept.

    Raises:
        DiscountError: `share` or `chance` is not in [0, 1].
    """
    if not 0 <= share <= 1 or not 0 <= (0.0 if chance is None else chance) <= 1:
        raise DiscountError(f"share and chance must lie in [0, 1], got {(share, chance)!r}")

    def pretended(problem: Problem) -> World:
        world = problem.world
        stops = waiting_stop(problem) if chance is None else chance
        size = world.states
        onwards = _moved(size, unpressed_states(world, "stop"), 1.0)
        running = world.phase != STOPPED
        to = np.where(running, _stopped_like(world), np.arange(size))
        spread = onwards @ _moved(size, to, stops)
        own = sparse.identity(size, format="csr")
        return _with_moves(problem, share * spread + (1 - share) * own)

    return pretended


def waiting_stop(problem: Problem) -> float:
    """The chance that a stop takes hold in a step that nothing is done in, from the start."""
    world = problem.world
    row = row_matrix(world)[problem.waiting[world.initial]]
    return float((row @ (world.phase == STOPPED).astype(np.float64)).item())


def _stopped_like(world: World) -> Int64s:
    """For each state the stopped one with its levels, or else with its outcome, or itself."""
    stopped = world.phase == STOPPED
    exact = _alike(world, ~stopped, stopped)
    first = np.full(world.outcomes, -1, dtype=np.int64)
    places = np.flatnonzero(stopped)[::-1]
    first[world.outcome[places]] = places
    fallback = first[world.outcome]
    own = np.arange(world.states)
    missing = (exact == own) & ~stopped
    return np.where(missing & (fallback >= 0), fallback, exact)


def _alike(world: World, these: Bools, among: Bools) -> Int64s:
    """For each of `these` the state of `among` with the same levels; all others stay."""
    if not world.variables and these.any():
        raise WorldError(
            "a press can only be undone in a world whose states have variables, got none; give "
            "the world variables and levels"
        )
    known = {
        levels.tobytes(): state
        for state, levels in zip(np.flatnonzero(among), world.levels[among], strict=True)
    }
    found = np.arange(world.states, dtype=np.int64)
    for state in np.flatnonzero(these):
        found[state] = known.get(world.levels[state].tobytes(), state)
    return found


def _moved(size: int, to: Int64s, share: float) -> sparse.csr_matrix:
    """The matrix that sends each state to another with this chance, `[S, S]`."""
    own = np.arange(size)
    sent = sparse.csr_matrix((np.full(size, share), (own, to)), shape=(size, size))
    stays = sparse.csr_matrix((np.full(size, 1 - share), (own, own)), shape=(size, size))
    return sparse.csr_matrix(sent + stays)


def _with_moves(problem: Problem, moved: sparse.csr_matrix) -> World:
    """The world in which every choice leads where the matrix sends what it led to."""
    world = problem.world
    moves = row_matrix(world)
    choices = sparse.diags(problem.choosing[world.row_state].astype(np.float64))
    rest = sparse.diags((~problem.choosing[world.row_state]).astype(np.float64))
    made = sparse.csr_matrix(choices @ moves @ moved + rest @ moves)
    made.sum_duplicates()
    made.eliminate_zeros()
    made.sort_indices()
    made.data = _summing_to_one(made)
    return replace(
        world,
        entries=made.indptr.astype(np.int64),
        successor=made.indices.astype(np.int32),
        probability=made.data,
    )


def _summing_to_one(matrix: sparse.csr_matrix) -> Floats:
    """The entries divided by their row's sum: products round away from 1."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    scaled: Floats = matrix.data / np.repeat(total, np.diff(matrix.indptr))
    return scaled
