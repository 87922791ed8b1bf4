"""Compiled: agents that learn auxiliary values and their own together, and that plan with them.

Axes: N seeds, S states, B boards, A actions, K auxiliary rewards, T steps.
"""

import numpy as np

from corrigible.policies.kernels import mixed, uniform
from corrigible.solve.kernels import compiled_entry
from corrigible.world.record import Bools, Floats, Int64s

STEPWISE, START, INACTION = 0, 1, 2


@compiled_entry
def learn(  # noqa: C901, PLR0917 - compiled: one loop, arrays by position
    level: tuple[Int64s, Floats, Bools, Int64s],
    stay: int,
    terms: tuple[int, int, float, float],
    explores: tuple[float, float, float],
    seeds: Int64s,
    own: Floats,
    auxiliary: Floats,
    runs: tuple[int, int],
) -> None:
    """Q-learning of K random rewards and of the penalised one, at a rate of 1.

    Args:
        level: where acts lead and what they pay, `[S, A]` each; which states end a run and which
            board is seen in each, `[S]` each.
        stay: the action that does nothing.
        terms: episodes, steps of one, discount, lambda.
        explores: chance of the greedy action, the share of episodes until it changes, and then.
        seeds: `[N]`.
        own: `[N, B, A]`, 0 before; the result.
        auxiliary: `[N, B, K, A]`, 0 before; the result.
        runs: the first seed's place, and the one after the last.
    """
    leads, reward, over, board = level
    actions = leads.shape[1]
    episodes, most, discount, strength = terms
    boards, count = auxiliary.shape[1], auxiliary.shape[2]
    pay, top = np.empty((boards, count)), np.empty((boards, count))
    for n in range(runs[0], runs[1]):
        stream = mixed(mixed(np.uint64(seeds[n])) + np.uint64(1))
        counter = 0
        for b in range(boards):
            for k in range(count):
                pay[b, k] = uniform(stream, counter)
                counter += 1
        q, each = own[n], auxiliary[n]
        top[:] = 0.0
        for episode in range(episodes):
            greedy_chance = explores[2] if episode > explores[1] * episodes else explores[0]
            s = 0
            for _ in range(most):
                b = board[s]
                action = 0
                for a in range(1, actions):
                    if q[b, a] > q[b, action]:
                        action = a
                draw = uniform(stream, counter)
                counter += 1
                if draw >= greedy_chance:  # any other, each as likely
                    other = int((draw - greedy_chance) / (1.0 - greedy_chance) * (actions - 1))
                    action = other if other < action else other + 1
                then = leads[s, action]
                after = board[then]
                penalty = 0.0
                for k in range(count):
                    each[b, k, action] = pay[after, k] + discount * top[after, k]
                    most_of_row = each[b, k, 0]
                    for a in range(1, actions):
                        most_of_row = max(most_of_row, each[b, k, a])
                    top[b, k] = most_of_row
                    idle = each[b, k, stay]
                    off = abs(each[b, k, action] - idle)
                    penalty += off / idle if idle != 0.0 else off
                onwards = q[after, 0]
                for a in range(1, actions):
                    onwards = max(onwards, q[after, a])
                cost = strength * penalty / count if count > 0 else 0.0
                q[b, action] = reward[s, action] - cost + discount * onwards
                s = then
                if over[s]:
                    break


@compiled_entry
def plan(  # noqa: PLR0917 - compiled: arrays by position
    level: tuple[Int64s, Floats, Bools, Int64s],
    stay: int,
    terms: tuple[float, float, int, bool],
    auxiliary: Floats,
    rests: Int64s,
    best: Int64s,
    value: Floats,
) -> None:
    """What a planner of T steps does in each state, with so many steps left: `best [T + 1, S]`.

    An act is penalised for what may be attained at the end of the plan, if nothing more is done
    after it, against the baseline.

    Args:
        level: as for `learn`.
        stay: as there.
        terms: discount, lambda, baseline, whether only decreases count.
        auxiliary: one seed's `[B, K, A]`.
        rests: `[T + 1, S]`, where so many steps of doing nothing lead.
        best: the result.
        value: `[T + 1, S]`, 0 before; the plan's worth.
    """
    leads, reward, over, board = level
    discount, strength, baseline, decreases = terms
    steps, count = len(best) - 1, auxiliary.shape[1]
    fixed = board[rests[steps, 0]] if baseline == INACTION else board[0]
    for left in range(1, steps + 1):
        for s in range(len(leads)):
            if over[s]:
                continue
            most = -np.inf
            for action in range(leads.shape[1]):
                then = leads[s, action]
                comes, waits = board[rests[left - 1, then]], board[rests[left, s]]
                penalty = 0.0
                for k in range(count):
                    idle = auxiliary[waits, k, stay]
                    if baseline != STEPWISE:
                        idle = auxiliary[fixed, k].max()
                    off = auxiliary[comes, k].max() - idle
                    if decreases and off > 0.0:
                        off = 0.0
                    penalty += abs(off) / (idle if idle != 0.0 else 1.0)
                cost = strength * penalty / count if count > 0 else 0.0
                onwards = 0.0 if over[then] else value[left - 1, then]
                worth = reward[s, action] - cost + discount * onwards
                if worth > most:
                    most = worth
                    best[left, s] = action
            value[left, s] = most
