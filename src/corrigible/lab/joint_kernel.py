"""The compiled inner loops of two agents on one map: one pair of rewards after the other.

Axes: N pairs of rewards, P places, S = P * P joint states (H's place times P, plus A's).  The
moves of place p are `to[first[p]:first[p + 1]]`.  Values are filled in less the state's own
reward.
"""

import numpy as np

from corrigible.solve.kernels import compiled_entry
from corrigible.world.record import Floats, Int64s

NEAR = 1e-10
"""How far off a value may be left: sweeps contract, so it is told by what the last one changed."""


@compiled_entry
def answer_a_random_agent(  # noqa: PLR0917 - compiled: arrays by position
    first: Int64s,
    to: Int64s,
    human: Floats,
    discount: float,
    worth: Floats,
    goes: Int64s,
) -> None:
    """H's value `[N, S]` and the place it goes to `[N, S]`, optimal while A moves at random."""
    places = len(first) - 1
    states = places * places
    value, mean = np.empty(states), np.empty(states)
    least = NEAR * (1 - discount) / discount
    for n in range(len(human)):
        value[:] = human[n]
        change = np.inf
        while change > least:
            change = 0.0
            for s in range(states):
                h, a = s // places, s % places
                total = 0.0
                for k in range(first[a], first[a + 1]):
                    total += value[h * places + to[k]]
                mean[s] = total / (first[a + 1] - first[a])
            for s in range(states):
                h, a = s // places, s % places
                best, choice = -np.inf, 0
                for k in range(first[h], first[h + 1]):
                    if mean[to[k] * places + a] > best:
                        best, choice = mean[to[k] * places + a], to[k]
                better = human[n, s] + discount * best
                change = max(change, abs(better - value[s]))
                value[s] = better
                goes[n, s] = choice
        worth[n] = value - human[n]


@compiled_entry
def answer_a_human(  # noqa: PLR0917 - compiled: arrays by position
    first: Int64s,
    to: Int64s,
    goes: Int64s,
    human: Floats,
    agent: Floats,
    discount: float,
    answered: Floats,
    met: Floats,
) -> None:
    """A's value `[N, S]`, optimal against an H that goes there, and that H's against that A."""
    places = len(first) - 1
    states = places * places
    value, follows = np.empty(states), np.empty(states, np.int64)
    least = NEAR * (1 - discount) / discount  # a sweep that changes less leaves less than NEAR
    for n in range(len(agent)):
        value[:] = agent[n]
        change = np.inf
        while change > least:
            change = 0.0
            for s in range(states):
                best, choice, base = -np.inf, 0, goes[n, s] * places
                for k in range(first[s % places], first[s % places + 1]):
                    if value[base + to[k]] > best:
                        best, choice = value[base + to[k]], base + to[k]
                worth = agent[n, s] + discount * best
                change = max(change, abs(worth - value[s]))
                value[s] = worth
                follows[s] = choice
        answered[n] = value - agent[n]
        value[:] = human[n]
        change = np.inf
        while change > least:
            change = 0.0
            for s in range(states):
                worth = human[n, s] + discount * value[follows[s]]
                change = max(change, abs(worth - value[s]))
                value[s] = worth
        met[n] = value - human[n]
