"""Compiled inner loops for fixed policies: a policy makes a chain, and chains are solved exactly.

Arrays are copied by loops: numba takes seconds to compile each assignment of a slice.

Axes: S states, M columns to solve for, K policies.  Import it through `compiled.chains()`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from corrigible.world.record import Bools, Floats, Int32s, Int64s

DENSE_LIMIT = 600  # states of one component; above it elimination in place is no longer quick

_F = TypeVar("_F", bound=Callable[..., Any])
_Chain = tuple[Int64s, Int32s, Floats]  # entries, successor, probability, as in the world


def _compiled(function: _F) -> _F:
    return cast("_F", numba.njit(cache=True, error_model="numpy")(function))


def _compiled_free(function: _F) -> _F:
    """Compile to run without Python's lock, so that threads can share the policies."""
    return cast("_F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


@_compiled
def _substitute(matrix: Floats, right: Floats) -> None:
    """Solve the upper triangle of `matrix` in place, x into `right`."""
    n, columns = right.shape
    for k in range(n - 1, -1, -1):
        for i in range(k + 1, n):
            if matrix[k, i] != 0.0:
                for j in range(columns):
                    right[k, j] -= matrix[k, i] * right[i, j]
        for j in range(columns):
            right[k, j] /= matrix[k, k]


@_compiled
def _eliminate(matrix: Floats, right: Floats) -> None:
    """Solve `matrix @ x = right` in place, x into `right`.

    No pivoting: I - discount * P is strictly diagonally dominant by rows, which bounds the
    growth of the elements by 2 (Higham 2002, section 9.5).
    """
    n, columns = right.shape
    for k in range(n):
        for i in range(k + 1, n):
            if matrix[i, k] != 0.0:
                factor = matrix[i, k] / matrix[k, k]
                for j in range(k + 1, n):
                    matrix[i, j] -= factor * matrix[k, j]
                for j in range(columns):
                    right[i, j] -= factor * right[k, j]
    _substitute(matrix, right)


@_compiled
def _solve_component(
    members: Int64s,
    place: Int64s,
    rows: Int64s,
    chain: _Chain,
    discount: float,
    reward: Floats,
    result: Floats,
) -> None:
    """Solve one component, given the result of all that it leads to.

    `place[s]` is a member's position among `members`, and -1 everywhere else, before and after.
    """
    entries, successor, probability = chain
    n, columns = len(members), reward.shape[1]
    matrix = np.zeros((n, n))
    right = np.empty((n, columns))
    for i in range(n):
        place[members[i]] = i
    for i in range(n):
        s = members[i]
        matrix[i, i] = 1.0
        for m in range(columns):
            right[i, m] = reward[s, m]
        for e in range(entries[rows[s]], entries[rows[s] + 1]):
            weight = discount * probability[e]
            j = place[successor[e]]
            if j >= 0:
                matrix[i, j] -= weight
            else:
                for m in range(columns):
                    right[i, m] += weight * result[successor[e], m]
    _eliminate(matrix, right)
    for i in range(n):
        for m in range(columns):
            result[members[i], m] = right[i, m]
        place[members[i]] = -1


@_compiled
def _solve_chain(
    rows: Int64s, live: Bools, chain: _Chain, discount: float, reward: Floats, result: Floats
) -> bool:
    """Solve one chain, component by component as Tarjan's algorithm completes them.

    `result` holds the given values of states that are not live; the rest is written.  False, and
    nothing of use is written, where a component is larger than DENSE_LIMIT.
    """
    entries, successor, _ = chain
    states = len(rows)
    found = np.full(states, -1, dtype=np.int64)  # when each state was met
    low = np.zeros(states, dtype=np.int64)
    closed = np.zeros(states, dtype=np.bool_)
    place = np.full(states, -1, dtype=np.int64)
    cursor = np.zeros(states, dtype=np.int64)
    path = np.empty(states, dtype=np.int64)
    open_states = np.empty(states, dtype=np.int64)
    depth = opened = met = 0
    for root in range(states):
        if not live[root] or found[root] >= 0:
            continue
        path[0], depth = root, 1
        while depth > 0:
            s = path[depth - 1]
            if found[s] < 0:
                found[s] = low[s] = met
                met += 1
                open_states[opened] = s
                opened += 1
                cursor[s] = entries[rows[s]]
            deeper = False
            while cursor[s] < entries[rows[s] + 1]:
                t = successor[cursor[s]]
                if live[t] and found[t] < 0:
                    path[depth] = t
                    depth += 1
                    deeper = True
                    break
                if live[t] and not closed[t]:
                    low[s] = min(low[s], low[t])
                cursor[s] += 1
            if deeper:
                continue
            depth -= 1
            if low[s] == found[s]:
                start = opened - 1
                while open_states[start] != s:
                    start -= 1
                members = open_states[start:opened]
                if len(members) > DENSE_LIMIT:
                    return False
                for member in members:
                    closed[member] = True
                _solve_component(members, place, rows, chain, discount, reward, result)
                opened = start
    return True


@_compiled
def _add_sums(
    thread: int,
    rows: Int64s,
    live: Bools,
    chain: _Chain,
    discount: float,
    reward: Floats,
    fixed: Floats,
    totals: Floats,
    solved: Bools,
) -> None:
    """Add up one thread's share of the policies; see `mean_sums`."""
    result = np.empty(reward.shape)
    for k in range(thread, rows.shape[0], totals.shape[0]):
        for s in range(reward.shape[0]):
            for m in range(reward.shape[1]):
                result[s, m] = fixed[s, m]
        solved[k] = _solve_chain(rows[k], live, chain, discount, reward, result)
        if solved[k]:
            for s in range(reward.shape[0]):
                for m in range(reward.shape[1]):
                    totals[thread, s, m] += result[s, m]


@_compiled
def _solve_column(
    k: int,
    rows: Int64s,
    live: Bools,
    chain: _Chain,
    discount: float,
    reward: Floats,
    fixed: Floats,
    result: Floats,
    solved: Bools,
) -> None:
    """Solve one policy for its own column; see `paired_sums`."""
    states = rows.shape[1]
    column, own = np.empty((states, 1)), np.empty((states, 1))
    for s in range(states):
        column[s, 0], own[s, 0] = fixed[k, s], reward[k, s]
    solved[k] = _solve_chain(rows[k], live, chain, discount, own, column)
    for s in range(states):
        result[k, s] = column[s, 0]


@_compiled_free
def mean_sums(
    rows: Int64s,
    live: Bools,
    chain: _Chain,
    discount: float,
    reward: Floats,
    fixed: Floats,
    totals: Floats,
    solved: Bools,
    slices: tuple[int, int],
) -> None:
    """For each policy the discounted sums of `reward`, added up over the policies.

    Args:
        rows: `[K, S]`, the row that each policy takes in each state.
        live: `[S]`, the states to solve; the others are worth `fixed`.
        chain: the world's entries.
        discount: in [0, 1).
        reward: `[S, M]`.
        fixed: `[S, M]`.
        totals: `[T, S, M]` of zeros, the result: its T slices add up to it.
        solved: `[K]`, the result: False where the policy was too large, and is not in `totals`.
        slices: the first slice of `totals`, and the one after the last.
    """
    for thread in range(slices[0], slices[1]):
        _add_sums(thread, rows, live, chain, discount, reward, fixed, totals, solved)


@_compiled_free
def paired_sums(
    rows: Int64s,
    live: Bools,
    chain: _Chain,
    discount: float,
    reward: Floats,
    fixed: Floats,
    result: Floats,
    solved: Bools,
    policies: tuple[int, int],
) -> None:
    """For policy k the discounted sums of its own column k of `reward`.

    Args:
        rows: `[K, S]`.
        live: `[S]`.
        chain: the world's entries.
        discount: in [0, 1).
        reward: `[K, S]`.
        fixed: `[K, S]`.
        result: `[K, S]`, the result.
        solved: `[K]`, the result: False where the policy was too large.
        policies: the first policy, and the one after the last.
    """
    for k in range(policies[0], policies[1]):
        _solve_column(k, rows, live, chain, discount, reward, fixed, result, solved)
