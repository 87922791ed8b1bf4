"""Compiled: the best cycles of graphs whose every state leads to every other, goal by goal.

Axes: N lines (states, component after component), Q rows, M components, G goals.  Import it
through `compiled.cycles()`.
"""

import numpy as np

from corrigible.solve.kernels import compiled_entry, compiled_leaf
from corrigible.world.record import Floats, Int32s, Int64s

EPS = float(np.finfo(np.float64).eps)
IMPROVEMENTS = 1000  # far above what is ever needed: each is better than the one before

_Graph = tuple[Int64s, Int64s, Int64s, Int64s, Int64s]
"""first_row [N+1]; of each row the line it leads to, and its own; the rows that lead to each
line: first_in [N+1] and row_in [Q]."""


@compiled_leaf
def _best_cycle(  # noqa: PLR0917 - compiled: arrays by position
    bounds: tuple[int, int], to: Int64s, reward: Floats, policy: Int32s, seen: Int32s
) -> tuple[int, float]:
    """A line on the best of the cycles that the policy runs into, and its mean reward."""
    lo, hi = bounds
    start, best = lo, -np.inf
    for s in range(lo, hi):
        seen[s] = -1
    for s in range(lo, hi):
        i = s
        while seen[i] < 0:
            seen[i] = s
            i = to[policy[i]]
        if seen[i] == s:
            total, length, j = reward[i], 1, to[policy[i]]
            while j != i:
                total += reward[j]
                length += 1
                j = to[policy[j]]
            if total / length > best:
                start, best = i, total / length
    return start, best


@compiled_leaf
def _potentials(  # noqa: PLR0917 - compiled: arrays by position
    bounds: tuple[int, int],
    graph: _Graph,
    reward: Floats,
    cycle: tuple[int, float],
    policy: Int32s,
    potential: Floats,
    seen: Int32s,
    queue: Int32s,
) -> float:
    """What each line earns over the mean until it first comes to the cycle; the largest size.

    The policy is changed where it does not lead to the cycle: then it goes there.
    """
    lo, hi = bounds
    _, to, home, first_in, row_in = graph
    start, mean = cycle
    for s in range(lo, hi):
        seen[s] = 0
    seen[start], potential[start], queue[lo], filled = 1, 0.0, start, lo + 1
    size = 0.0
    for again in range(2):
        at = lo
        while at < filled < hi:
            for k in range(first_in[queue[at]], first_in[queue[at] + 1]):
                r = row_in[k]
                s = home[r]
                if seen[s] == 0 and (again == 1 or policy[s] == r):
                    seen[s], policy[s], queue[filled] = 1, r, s
                    potential[s] = reward[s] - mean + potential[to[r]]
                    size = max(size, abs(potential[s]))
                    filled += 1
            at += 1
    return size


@compiled_leaf
def _improve(  # noqa: PLR0917 - compiled: arrays by position
    bounds: tuple[int, int],
    graph: _Graph,
    reward: Floats,
    mean: float,
    policy: Int32s,
    potential: Floats,
    slack: float,
) -> float:
    """Take the best row where it is better by more than `slack`; the largest surplus of a row."""
    lo, hi = bounds
    first_row, to, _, _, _ = graph
    worst = -np.inf
    for s in range(lo, hi):
        own = potential[s] - reward[s] + mean
        most, best = -np.inf, policy[s]
        for r in range(first_row[s], first_row[s + 1]):
            surplus = potential[to[r]] - own
            if surplus > most:
                most, best = surplus, r
        if most > slack:
            policy[s] = best
        worst = max(worst, most)
    return worst


@compiled_entry
def best_means(  # noqa: PLR0917 - compiled: arrays by position
    goals: Floats,
    component: Int64s,
    which: Int64s,
    graph: _Graph,
    outcome: Int64s,
    low: Floats,
    high: Floats,
    rounding: Floats,
    part: tuple[int, int],
) -> None:
    """Enclose the largest mean of a cycle of each component, by Howard's policy iteration.

    With any potential h, no cycle's mean is above the largest `reward + h(next) - h` of a row
    (Karp 1978 states the dual); the policy's own cycle is a lower bound (Cochet-Terrasson and
    others 1998 for the iteration).

    Args:
        goals: utilities `[G, O]`, in [0, 2].
        component: `[M+1]`, the lines of component c are `component[c]:component[c+1]`.
        which: the components to do, `[K]`; each line of them leads to every other.
        graph: see there.
        outcome: `[N]`.
        low: `[G, M]`, the result, as far as `which` goes.
        high: the same.
        rounding: `[G, M]`, what of the distance is due to rounding alone.
        part: the first goal, and the one after the last.
    """
    lines = len(outcome)
    first_row, to = graph[0], graph[1]
    reward, potential = np.empty(lines), np.empty(lines)
    policy, seen = np.empty(lines, dtype=np.int32), np.empty(lines, dtype=np.int32)
    queue = np.empty(lines, dtype=np.int32)
    for g in range(part[0], part[1]):
        for k in range(len(which)):
            c = which[k]
            bounds = (component[c], component[c + 1])
            for s in range(bounds[0], bounds[1]):
                reward[s] = goals[g, outcome[s]]
            for s in range(bounds[0], bounds[1]):
                policy[s] = first_row[s]
                for r in range(first_row[s] + 1, first_row[s + 1]):
                    if reward[to[r]] > reward[to[policy[s]]]:
                        policy[s] = r
            mean, worst, slack = 0.0, np.inf, 0.0
            improvements = 0
            while worst > slack and improvements < IMPROVEMENTS:
                cycle = _best_cycle(bounds, to, reward, policy, seen)
                mean = cycle[1]
                size = _potentials(
                    bounds, graph, reward, cycle, policy, potential, seen, queue
                )  # fmt: skip
                slack = EPS * (bounds[1] - bounds[0] + 16) * (2 + size)
                worst = _improve(bounds, graph, reward, mean, policy, potential, slack)
                improvements += 1
            low[g, c], high[g, c] = mean - slack, mean + max(worst, 0.0) + slack
            rounding[g, c] = 2 * slack
