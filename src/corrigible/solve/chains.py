"""Compiled inner loops for fixed policies: a policy makes a chain, and chains are solved exactly.

Arrays are copied by loops, and workspace comes from outside: numba takes seconds to compile slices
and new arrays.

Axes: S states, M columns to solve for, K policies.  Import it through `compiled.chains()`.
"""

from corrigible.solve.kernels import compiled_entry, compiled_leaf
from corrigible.world.record import Bools, Floats, Int32s, Int64s

DENSE_LIMIT = 600  # states of one component; above it elimination in place is no longer quick

FOUND, LOW, CLOSED, PLACE, CURSOR, PATH, OPEN = range(7)
"""Rows of the workspace: when a state was met, the earliest that it leads back to, whether its
component is complete, its position there (else -1), the next entry to follow, and two stacks."""
MARKS = 7

_Chain = tuple[Int64s, Int32s, Floats]  # entries, successor, probability, as in the world


@compiled_leaf
def _solve_component(
    span: tuple[int, int],
    marks: Int64s,
    policy: int,
    rows: Int64s,
    chain: _Chain,
    discount: float,
    matrix: Floats,
    result: Floats,
) -> None:
    """Solve one component, given the result of all that it leads to, and what its states earn.

    Its states are `marks[OPEN]` between the two of `span`; `matrix` is workspace.  No pivoting:
    I - discount * P is strictly diagonally dominant by rows, which bounds the growth of the
    elements by 2 (Higham 2002, section 9.5).
    """
    entries, successor, probability = chain
    begin, n, columns = span[0], span[1] - span[0], result.shape[1]
    for i in range(n):
        marks[PLACE, marks[OPEN, begin + i]] = i
    for i in range(n):
        s = marks[OPEN, begin + i]
        for j in range(n):
            matrix[i * n + j] = 0.0
        matrix[i * n + i] = 1.0
        for e in range(entries[rows[policy, s]], entries[rows[policy, s] + 1]):
            weight, t = discount * probability[e], successor[e]
            j = marks[PLACE, t]
            if j >= 0:
                matrix[i * n + j] -= weight
            else:
                for m in range(columns):
                    result[s, m] += weight * result[t, m]
    for k in range(n):
        s = marks[OPEN, begin + k]
        for i in range(k + 1, n):
            if matrix[i * n + k] != 0.0:
                factor, t = matrix[i * n + k] / matrix[k * n + k], marks[OPEN, begin + i]
                for j in range(k + 1, n):
                    matrix[i * n + j] -= factor * matrix[k * n + j]
                for m in range(columns):
                    result[t, m] -= factor * result[s, m]
    for k in range(n - 1, -1, -1):
        s = marks[OPEN, begin + k]
        for i in range(k + 1, n):
            factor, t = matrix[k * n + i], marks[OPEN, begin + i]
            if factor != 0.0:
                for m in range(columns):
                    result[s, m] -= factor * result[t, m]
        factor = matrix[k * n + k]
        for m in range(columns):
            result[s, m] /= factor
    for i in range(n):
        marks[PLACE, marks[OPEN, begin + i]] = -1


@compiled_leaf
def _solve_chain(
    policy: int,
    rows: Int64s,
    live: Bools,
    chain: _Chain,
    discount: float,
    marks: Int64s,
    matrix: Floats,
    result: Floats,
) -> bool:
    """Solve one chain, component by component as Tarjan's algorithm completes them.

    `result` holds the given values of states that are not live, and what the others earn; these
    are solved.  False, and nothing of use is written, where a component is larger than
    DENSE_LIMIT.
    """
    entries, successor, _ = chain
    states = len(live)
    for s in range(states):
        marks[FOUND, s], marks[CLOSED, s], marks[PLACE, s] = -1, 0, -1
    opened = met = 0
    for root in range(states):
        if not live[root] or marks[FOUND, root] >= 0:
            continue
        marks[PATH, 0], depth = root, 1
        while depth > 0:
            s = marks[PATH, depth - 1]
            if marks[FOUND, s] < 0:
                marks[FOUND, s] = marks[LOW, s] = met
                met += 1
                marks[OPEN, opened] = s
                opened += 1
                marks[CURSOR, s] = entries[rows[policy, s]]
            deeper = False
            while not deeper and marks[CURSOR, s] < entries[rows[policy, s] + 1]:
                t = successor[marks[CURSOR, s]]
                deeper = live[t] and marks[FOUND, t] < 0
                if deeper:
                    marks[PATH, depth] = t
                    depth += 1
                else:
                    if live[t] and not marks[CLOSED, t]:
                        marks[LOW, s] = min(marks[LOW, s], marks[LOW, t])
                    marks[CURSOR, s] += 1
            if deeper:
                continue
            depth -= 1
            if marks[LOW, s] == marks[FOUND, s]:
                start = opened - 1
                while marks[OPEN, start] != s:
                    start -= 1
                if opened - start > DENSE_LIMIT:
                    return False
                for i in range(start, opened):
                    marks[CLOSED, marks[OPEN, i]] = 1
                span = (start, opened)
                _solve_component(span, marks, policy, rows, chain, discount, matrix, result)
                opened = start
    return True


@compiled_entry
def add_sums(
    rows: Int64s,
    live: Bools,
    chain: _Chain,
    discount: float,
    reward: Floats,
    totals: Floats,
    solved: Bools,
    marks: Int64s,
    matrix: Floats,
    result: Floats,
    slices: tuple[int, int],
) -> None:
    """For each policy the discounted sums of a reward, added up over the policies of a slice.

    Args:
        rows: `[K, S]`, the row that each policy takes in each state.
        live: `[S]`, the states to solve; for the others `reward` is the sum itself.
        chain: the world's entries.
        discount: in [0, 1).
        reward: `[K, S, M]`, each policy's own; or `[1, S, M]`, one for all.
        totals: `[T, S, M]` of zeros, the result: policy k is added to slice k modulo T.
        solved: `[K]`, the result: False where the policy was too large, and is not in `totals`.
        marks: `[MARKS, S]`, workspace.
        matrix: as many numbers as the largest component has states, squared; workspace.
        result: `[S, M]`, workspace.
        slices: the first slice of `totals`, and the one after the last.
    """
    states, columns = result.shape
    for target in range(slices[0], slices[1]):
        for k in range(target, rows.shape[0], totals.shape[0]):
            own = min(k, reward.shape[0] - 1)
            for s in range(states):
                for m in range(columns):
                    result[s, m] = reward[own, s, m]
            solved[k] = _solve_chain(k, rows, live, chain, discount, marks, matrix, result)
            if solved[k]:
                for s in range(states):
                    for m in range(columns):
                        totals[target, s, m] += result[s, m]
