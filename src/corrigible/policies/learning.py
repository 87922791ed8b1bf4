"""Compiled: agents that learn from steps in a world, one run for each seed and goal.

Axes: S states, R rows, G goals, N seeds.  Import it through `compiled.learning()`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from corrigible.policies.kernels import mixed, uniform
from corrigible.world.record import Bools, Floats, Int32s, Int64s

Q_LEARNING, SARSA, SAFE_SARSA = 0, 1, 2

_F = TypeVar("_F", bound=Callable[..., Any])
_Moves = tuple[Int64s, Int64s, Int32s, Floats]  # rows, entries, successor, probability
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _entry(function: _F) -> _F:
    """Compile to run without Python's lock, so that threads can share the runs."""
    return cast("_F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def _inlined(function: _F) -> _F:
    return cast("_F", numba.njit(inline="always", error_model="numpy")(function))


@_inlined
def _arrived(moves: _Moves, row: int, stream: np.uint64, counter: int) -> int:
    """Where a row leads; a row with one successor reads no random number."""
    _, entries, successor, probability = moves
    first, last = entries[row], entries[row + 1]
    if last - first == 1:
        return int(successor[first])
    draw, total, e = uniform(stream, counter), 0.0, first
    while e < last - 1:
        total += probability[e]
        if draw < total:
            break
        e += 1
    return int(successor[e])


@_inlined
def _best(first: int, last: int, usable: Bools, q: Floats) -> int:
    """The best usable row of a state, the first of equals."""
    best, most = -1, -np.inf
    for r in range(first, last):
        if usable[r] and q[r] > most:
            best, most = r, q[r]
    return best


@_inlined
def _any(first: int, last: int, usable: Bools, draw: float) -> int:
    """A usable row of a state, each as likely."""
    count = 0
    for r in range(first, last):
        count += usable[r]
    left = int(draw * count)
    for r in range(first, last):
        if usable[r]:
            if left == 0:
                return r
            left -= 1
    return first


@_inlined
def _choice(
    span: tuple[int, int],
    usable: Bools,
    own: Floats,
    odds: tuple[float, float],
    forced: int,
    stream: np.uint64,
    counter: int,
) -> tuple[int, int, int]:
    """What it would take itself, what is taken, and whether somebody interrupted; two numbers."""
    epsilon, chance = odds
    draw = uniform(stream, counter)
    if draw < epsilon:
        wish = _any(span[0], span[1], usable, draw / epsilon)
    else:
        wish = _best(span[0], span[1], usable, own)
    if forced >= 0 and uniform(stream, counter + 1) < chance:
        return wish, forced, 1
    return wish, wish, 0


@_entry
def td_runs(
    moves: _Moves,
    live: Bools,
    usable: Bools,
    rewards: tuple[Floats, Floats],
    starts: Int64s,
    terms: tuple[int, int, int, float],
    schedule: tuple[float, float, float, float],
    forced: Int64s,
    theta: tuple[float, float],
    seeds: Int64s,
    q: Floats,
    counts: Int64s,
    runs: tuple[int, int],
) -> None:
    """Temporal differences, one run for each seed and goal: run n * G + g.

    Args:
        moves: the world's rows, entries, successors and probabilities.
        live: `[S]`, where the agent chooses; elsewhere an episode ends.
        usable: `[R]`.
        rewards: of a step in each state and of ending there, `[G, S]` each, normalised.
        starts: states that episodes begin in, each as likely.
        terms: which algorithm, episodes, most steps of one, discount.
        schedule: rate, the power of a row's count that divides it, first and last epsilon.
        forced: `[S]`, the row that an interruption takes, -1 where there is none.
        theta: chance of an interruption in the first and the last episode.
        seeds: `[N]`.
        q: `[N, G, R]`, start values and result.
        counts: `[N * G, 2]`, steps taken and interruptions; the result.
        runs: the first run, and the one after the last.
    """
    rows = moves[0]
    earned, ended = rewards
    algorithm, episodes, most, discount = terms
    rate, power, first_epsilon, last_epsilon = schedule
    visited = np.zeros(len(usable) if power > 0.0 else 0)
    for run in range(runs[0], runs[1]):
        n, g = run // earned.shape[0], run % earned.shape[0]
        own, reward = q[n, g], earned[g]
        stream = mixed(mixed(np.uint64(seeds[n])) + np.uint64(g + 1) * _GOLDEN)
        visited[:] = 0.0
        counter, taken, held = 0, 0, 0
        for episode in range(episodes):
            done = episode / max(episodes - 1, 1)
            epsilon = first_epsilon + (last_epsilon - first_epsilon) * done
            odds = (epsilon, theta[0] + (theta[1] - theta[0]) * done)
            s = starts[int(uniform(stream, counter) * len(starts))]
            span = (rows[s], rows[s + 1])
            _, row, stopped = _choice(span, usable, own, odds, forced[s], stream, counter + 1)
            held += stopped
            counter += 3
            for _ in range(most):
                old, at = row, s
                s = _arrived(moves, row, stream, counter)
                taken += 1
                step = rate
                if power > 0.0:
                    visited[old] += 1.0
                    step = rate / visited[old] ** power
                if not live[s]:
                    own[old] += step * (reward[at] + discount * ended[g, s] - own[old])
                    break
                span = (rows[s], rows[s + 1])
                wish, row, stopped = _choice(
                    span, usable, own, odds, forced[s], stream, counter + 1
                )
                held += stopped
                counter += 3
                followed = row
                if algorithm == Q_LEARNING:
                    followed = _best(span[0], span[1], usable, own)
                elif algorithm == SAFE_SARSA:
                    followed = wish
                own[old] += step * (reward[at] + discount * own[followed] - own[old])
        counts[run, 0], counts[run, 1] = taken, held


@_inlined
def _softmax(first: int, last: int, usable: Bools, liking: Floats, chance: Floats) -> None:
    """The chances of a state's rows from their likings, into `chance[first:last]`."""
    most, total = -np.inf, 0.0
    for r in range(first, last):
        if usable[r]:
            most = max(most, liking[r])
    for r in range(first, last):
        chance[r] = np.exp(liking[r] - most) if usable[r] else 0.0
        total += chance[r]
    for r in range(first, last):
        chance[r] /= total


@_inlined
def _picked(first: int, last: int, chance: Floats, draw: float) -> int:
    total, found = 0.0, first
    for r in range(first, last):
        if chance[r] > 0.0:
            total += chance[r]
            found = r
            if draw < total:
                break
    return found


@_entry
def actor_critic_runs(
    moves: _Moves,
    live: Bools,
    usable: Bools,
    rewards: tuple[Floats, Floats],
    starts: Int64s,
    terms: tuple[int, int, float],
    rates: tuple[float, float],
    seeds: Int64s,
    liking: Floats,
    values: Floats,
    counts: Int64s,
    runs: tuple[int, int],
) -> None:
    """One-step actor-critic (Sutton and Barto 2018, section 13.5), without the factor gamma^t.

    Arguments as for `td_runs`; `terms`: episodes, most steps, discount; `rates`: the actor's, in
    units of 1 / reward, and the critic's; `liking [N, G, R]`, `values [N, G, S]`: the results.
    """
    rows = moves[0]
    earned, ended = rewards
    episodes, most, discount = terms
    goals = earned.shape[0]
    chance = np.zeros(len(usable))
    for run in range(runs[0], runs[1]):
        g, n = run % goals, run // goals
        own, worth = liking[n, g], values[n, g]
        stream = mixed(mixed(np.uint64(seeds[n])) + np.uint64(g + 1) * _GOLDEN)
        counter, taken = 0, 0
        for _ in range(episodes):
            s = starts[int(uniform(stream, counter) * len(starts))]
            counter += 1
            for _ in range(most):
                first, last = rows[s], rows[s + 1]
                _softmax(first, last, usable, own, chance)
                row = _picked(first, last, chance, uniform(stream, counter))
                then = _arrived(moves, row, stream, counter + 1)
                counter += 2
                taken += 1
                onwards = worth[then] if live[then] else ended[g, then]
                error = earned[g, s] + discount * onwards - worth[s]
                worth[s] += rates[1] * error
                for r in range(first, last):
                    own[r] -= rates[0] * error * chance[r]
                own[row] += rates[0] * error
                s = then
                if not live[s]:
                    break
        counts[run, 0] = taken


@_inlined
def _played(
    moves: _Moves,
    live: Bools,
    usable: Bools,
    own: Floats,
    begin: tuple[int, int],
    stream: np.uint64,
    past: tuple[Int64s, Int64s, Floats, Floats],
) -> tuple[int, int]:
    """Play one episode: how many steps it had and where it ended; each step into `past`."""
    rows = moves[0]
    at, did, seen, chance = past
    s, counter = begin
    steps = 0
    while steps < len(at) and live[s]:
        _softmax(rows[s], rows[s + 1], usable, own, chance)
        row = _picked(rows[s], rows[s + 1], chance, uniform(stream, counter))
        at[steps], did[steps] = s, row
        for r in range(rows[s], rows[s + 1]):
            seen[steps, r - rows[s]] = chance[r]
        s = _arrived(moves, row, stream, counter + 1)
        counter += 2
        steps += 1
    return steps, s


@_entry
def reinforce_runs(
    moves: _Moves,
    live: Bools,
    usable: Bools,
    rewards: tuple[Floats, Floats],
    starts: Int64s,
    terms: tuple[int, int, float],
    rates: tuple[float, float],
    lengths: tuple[Int64s, Floats, float, int],
    seeds: Int64s,
    liking: Floats,
    values: Floats,
    counts: Int64s,
    runs: tuple[int, int],
) -> None:
    """REINFORCE with a baseline (Sutton and Barto 2018, section 13.4), without the factor gamma^t.

    Arguments as for `actor_critic_runs`.  `lengths`: the kind of run that ends in each state
    `[S]`, the most that each kind brings `[k]`, lambda, and how many episodes make one
    meta-episode: an episode's return is then multiplied by `lambda ** (n - E / k) / most`, n of
    the E earlier ones being of its kind (Thornley et al. 2024: DReST).  No kinds: plain returns.
    """
    rows = moves[0]
    earned, ended = rewards
    episodes, most, discount = terms
    kind_of, best, factor, meta = lengths
    goals = earned.shape[0]
    chance = np.zeros(len(usable))
    past, did = np.zeros(most, dtype=np.int64), np.zeros(most, dtype=np.int64)
    widest = 1
    for s in range(len(rows) - 1):
        widest = max(widest, rows[s + 1] - rows[s])
    seen = np.zeros((most, widest))
    played = (past, did, seen, chance)
    before = np.zeros(len(best))
    for run in range(runs[0], runs[1]):
        g, n = run % goals, run // goals
        own, worth = liking[n, g], values[n, g]
        stream = mixed(mixed(np.uint64(seeds[n])) + np.uint64(g + 1) * _GOLDEN)
        counter = 0
        for episode in range(episodes):
            s = starts[int(uniform(stream, counter) * len(starts))]
            steps, s = _played(moves, live, usable, own, (s, counter + 1), stream, played)
            counter += 2 * steps + 1
            counts[run, 0] += steps
            total = 0.0 if live[s] else ended[g, s]
            scale = 1.0
            if len(best) > 0:
                if episode % meta == 0:
                    before[:] = 0.0
                if not live[s]:
                    kind = kind_of[s]
                    earlier = episode % meta
                    scale = factor ** (before[kind] - earlier / len(best)) / best[kind]
                    before[kind] += 1.0
            for t in range(steps - 1, -1, -1):
                at, row = past[t], did[t]
                total = earned[g, at] + discount * total
                error = scale * total - worth[at]
                worth[at] += rates[1] * error
                for r in range(rows[at], rows[at + 1]):
                    own[r] -= rates[0] * error * seen[t, r - rows[at]]
                own[row] += rates[0] * error
