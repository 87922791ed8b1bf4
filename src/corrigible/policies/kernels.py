"""Compiled: solving with costs of acts, following a policy exactly, and sampling it.

Axes: S states, R rows, G goals, H steps, N episodes.  Import it through `compiled.kernels()`.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from corrigible.world.record import Bools, Floats, Int32s, Int64s, UInt64s

BLOCK = 32  # goals that are solved together
EVERY = 8  # sweeps from one choice of a quantiliser's weights to the next

_F = TypeVar("_F", bound=Callable[..., Any])
_Moves = tuple[Int64s, Int64s, Int32s, Floats]  # rows, entries, successor, probability


def _entry(function: _F) -> _F:
    """Compile to run without Python's lock, so that threads can share the goals."""
    return cast("_F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


def _inner(function: _F) -> _F:
    """Compile a function that compiled ones call."""
    return cast("_F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


@_inner
def mixed(number: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea and Flood 2014, figure 16)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@_inner
def uniform(stream: np.uint64, counter: int) -> float:
    """Number `counter` of a stream, from U[0, 1): a function of both alone."""
    bits = mixed(stream + np.uint64(counter + 1) * np.uint64(0x9E3779B97F4A7C15))
    return np.float64(bits >> np.uint64(11)) * (1.0 / (1 << 53))


@_inner
def _row_worths(
    moves: _Moves,
    usable: Bools,
    values: Floats,
    s: int,
    paid: tuple[Floats, int, float],
    worth: Floats,
    number: Int64s,
) -> int:
    """What a state's usable rows `number[k]` are worth, into `worth[k]`; how many there are."""
    rows, entries, successor, probability = moves
    cost, at, discount = paid
    count, goals = 0, values.shape[1]
    for r in range(rows[s], rows[s + 1]):
        if not usable[r]:
            continue
        number[count] = r
        for g in range(goals):
            worth[count, g] = -cost[r, at + g] if cost.shape[1] > 1 else -cost[r, 0]
        for e in range(entries[r], entries[r + 1]):
            p, t = discount * probability[e], successor[e]
            for g in range(goals):
                worth[count, g] += p * values[t, g]
        count += 1
    return count


@_inner
def _largest(worth: Floats, count: int, latest: Floats) -> None:
    """The best row's worth for each goal, into `latest`."""
    for g in range(len(latest)):
        latest[g] = worth[0, g]
    for k in range(1, count):
        for g in range(len(latest)):
            latest[g] = max(latest[g], worth[k, g])


@_inner
def _upper_shares(
    worth: Floats, base: Floats, count: int, q: float, number: Int64s, kept: Floats
) -> None:
    """The weights of the best share q of the base for each goal, into `kept[number[k]]`."""
    for g in range(worth.shape[1]):
        for k in range(count):
            kept[number[k], g] = -1.0
        left = q
        for _ in range(count):
            best = -1
            for k in range(count):
                if kept[number[k], g] < 0.0 and (best < 0 or worth[k, g] > worth[best, g]):
                    best = k
            share = min(left, base[number[best]])
            kept[number[best], g] = share
            left -= share
        for k in range(count):
            kept[number[k], g] /= q - left


@_inner
def _weighed(worth: Floats, count: int, number: Int64s, kept: Floats, latest: Floats) -> None:
    """The mean of the rows' worths by the weights kept, into `latest`."""
    for g in range(len(latest)):
        latest[g] = 0.0
    for k in range(count):
        for g in range(len(latest)):
            latest[g] += kept[number[k], g] * worth[k, g]


@_inner
def _put_back(tile: Floats, values: Floats, at: int) -> None:
    """Write a block's goals into their columns; a slice would compile messages about shapes too."""
    for s in range(tile.shape[0]):
        for g in range(tile.shape[1]):
            values[s, at + g] = tile[s, g]


@_entry
def solve_goals(
    moves: _Moves,
    usable: Bools,
    order: Int64s,
    component: Int64s,
    reward: Floats,
    cost: Floats,
    base: Floats,
    terms: tuple[float, float, float, int],
    values: Floats,
    residual: Floats,
    goals: tuple[int, int],
) -> None:
    """Gauss-Seidel sweeps of one component after another, until no value moves by what is wanted.

    Args:
        moves: the world's rows, entries, successors and probabilities.
        usable: `[R]`.
        order: the states that choose, each component after all that it leads to.
        component: component c is `order[component[c]:component[c + 1]]`.
        reward: `[S, G]`, already times (1 - discount).
        cost: `[R, G]` or `[R, 1]`, already times (1 - discount).
        base: `[R]`, the base distribution of a quantiliser.
        terms: discount, its share q (0: the best row alone), what is wanted, most sweeps.
        values: `[S, G]`, start values and given ones; the result.
        residual: `[G]`, by how much the last sweep of a component moved a value.
        goals: the first block, and the one after the last.
    """
    rows = moves[0]
    discount, q, wanted, most = terms
    widest = 1
    for s in order:
        widest = max(widest, rows[s + 1] - rows[s])
    number = np.zeros(widest, dtype=np.int64)
    for block in range(goals[0], goals[1]):
        at = block * BLOCK
        width = min(BLOCK, values.shape[1] - at)
        tile, worth = values[:, at : at + width].copy(), np.zeros((widest, width))
        latest, moved = np.zeros(width), np.zeros(width)
        kept = np.zeros((len(usable) if q > 0.0 else 0, width))
        paid = (cost, at, discount)
        for part in range(len(component) - 1):
            for sweep in range(most):
                choosing = q == 0.0 or sweep % EVERY == 0
                moved[:] = 0.0
                for place in range(component[part], component[part + 1]):
                    s = order[place]
                    count = _row_worths(moves, usable, tile, s, paid, worth, number)
                    if q == 0.0:
                        _largest(worth, count, latest)
                    else:
                        if choosing:
                            _upper_shares(worth, base, count, q, number, kept)
                        _weighed(worth, count, number, kept, latest)
                    for g in range(width):
                        latest[g] += reward[s, at + g]
                        moved[g] = max(moved[g], abs(latest[g] - tile[s, g]))
                        tile[s, g] = latest[g]
                if choosing and moved.max() <= wanted:
                    break
            for g in range(width):
                residual[at + g] = max(residual[at + g], moved[g])
        _put_back(tile, values, at)


@_entry
def quantile_weights(
    rows: Int64s, usable: Bools, worth: Floats, base: Floats, q: float, weights: Floats
) -> None:
    """The best share q of the base distribution, scaled up to 1, `[R, G]`; ties in row order."""
    goals = worth.shape[1]
    for s in range(len(rows) - 1):
        for g in range(goals):
            left = q
            while left > 0.0:
                best = -1
                for r in range(rows[s], rows[s + 1]):
                    free = usable[r] and base[r] > 0.0 and weights[r, g] == 0.0
                    if free and (best < 0 or worth[r, g] > worth[best, g]):
                        best = r
                if best < 0:
                    break
                share = min(left, base[best])
                weights[best, g] = share
                left -= share
            total = 0.0
            for r in range(rows[s], rows[s + 1]):
                total += weights[r, g]
            if total > 0.0:
                for r in range(rows[s], rows[s + 1]):
                    weights[r, g] /= total


@_entry
def first_acts(
    moves: _Moves,
    live: Bools,
    weights: Floats,
    marks: UInt64s,
    start: Floats,
    steps: int,
    hits: Floats,
    pairs: tuple[int, int],
) -> None:
    """The chance that a row with bit b is taken within `steps` steps, `hits [G, B]`.

    A walk ends where the agent no longer chooses.  `weights [G, H, R]`, step t reads line
    min(t, H - 1); `pairs`: the first number g * B + b, and the one after the last.
    """
    rows, entries, successor, probability = moves
    states = len(rows) - 1
    now, then = np.zeros(states), np.zeros(states)
    for pair in range(pairs[0], pairs[1]):
        g, b = pair // hits.shape[1], pair % hits.shape[1]
        mask = np.uint64(1) << np.uint64(b)
        found = 0.0
        for s in range(states):
            now[s] = start[s]
        for t in range(steps):
            own = weights[g, min(t, weights.shape[1] - 1)]
            for s in range(states):
                then[s] = 0.0
            left = 0.0
            for s in range(states):
                mass = now[s]
                if mass == 0.0 or not live[s]:
                    continue
                left += mass
                for r in range(rows[s], rows[s + 1]):
                    w = mass * own[r]
                    if w == 0.0:
                        continue
                    if marks[r] & mask:
                        found += w
                        continue
                    for e in range(entries[r], entries[r + 1]):
                        then[successor[e]] += w * probability[e]
            if left == 0.0:
                break
            now, then = then, now
        hits[g, b] = min(found, 1.0)


@_entry
def row_visits(
    moves: _Moves,
    live: Bools,
    weights: Floats,
    start: Floats,
    steps: int,
    visits: Floats,
    goals: tuple[int, int],
) -> None:
    """How often each row is taken in `steps` steps, on average: `visits [G, R]`."""
    rows, entries, successor, probability = moves
    states = len(rows) - 1
    now, then = np.zeros(states), np.zeros(states)
    for g in range(goals[0], goals[1]):
        for s in range(states):
            now[s] = start[s]
        for t in range(steps):
            own = weights[g, min(t, weights.shape[1] - 1)]
            for s in range(states):
                then[s] = 0.0
            for s in range(states):
                mass = now[s]
                if mass == 0.0 or not live[s]:
                    continue
                for r in range(rows[s], rows[s + 1]):
                    w = mass * own[r]
                    if w == 0.0:
                        continue
                    visits[g, r] += w
                    for e in range(entries[r], entries[r + 1]):
                        then[successor[e]] += w * probability[e]
            now, then = then, now


@_entry
def step_back(
    moves: _Moves,
    live: Bools,
    weights: Floats,
    reward: Floats,
    discount: float,
    values: Floats,
    goals: tuple[int, int],
) -> None:
    """What a policy by steps is worth, from the values at its last step, backwards, in place.

    `weights [G, H, R]`, `reward [G, S]` times (1 - discount), `values [G, S]`.
    """
    rows, entries, successor, probability = moves
    states = len(rows) - 1
    before = np.zeros(states)
    for g in range(goals[0], goals[1]):
        for t in range(weights.shape[1] - 2, -1, -1):
            own = weights[g, t]
            for s in range(states):
                if not live[s]:
                    before[s] = values[g, s]
                    continue
                total = 0.0
                for r in range(rows[s], rows[s + 1]):
                    if own[r] == 0.0:
                        continue
                    for e in range(entries[r], entries[r + 1]):
                        total += own[r] * probability[e] * values[g, successor[e]]
                before[s] = reward[g, s] + discount * total
            for s in range(states):
                values[g, s] = before[s]


@_inner
def _drawn(shares: Floats, first: int, last: int, draw: float) -> int:
    """The place in `first..last` that a number from U[0, 1) falls on; the last one above 0."""
    total, found = 0.0, first
    for place in range(first, last):
        if shares[place] > 0.0:
            total += shares[place]
            found = place
            if draw < total:
                return place
    return found


@_entry
def walk(
    moves: _Moves,
    live: Bools,
    weights: Floats,
    after: Int32s,
    seed: np.uint64,
    start: int,
    states: Int32s,
    taken: Int32s,
    episodes: tuple[int, int],
) -> None:
    """Sample episodes of one goal: `states [N, T + 1]` and `taken [N, T]`, -1 once it has ended.

    `weights [H, R]`.  Episode n reads stream n of the seed, two numbers a step, so that an
    episode is the same whatever else is sampled.  Where the agent no longer chooses it follows
    one column of `after [S, K]`, drawn when it gets there; with K = 0 the walk ends.
    """
    rows, entries, successor, probability = moves
    steps = taken.shape[1]
    for n in range(episodes[0], episodes[1]):
        stream = mixed(seed + np.uint64(n + 1) * np.uint64(0x9E3779B97F4A7C15))
        s, column = start, -1
        states[n, 0] = s
        for t in range(steps):
            if live[s]:
                own = weights[min(t, weights.shape[0] - 1)]
                r = _drawn(own, rows[s], rows[s + 1], uniform(stream, 2 * t))
            elif after.shape[1] > 0:
                if column < 0:
                    column = int(uniform(stream, 2 * steps) * after.shape[1])
                r = after[s, column]
            else:
                for rest in range(t, steps):
                    taken[n, rest] = -1
                    states[n, rest + 1] = -1
                break
            taken[n, t] = r
            e = _drawn(probability, entries[r], entries[r + 1], uniform(stream, 2 * t + 1))
            s = successor[e]
            states[n, t + 1] = s


@_entry
def count_episodes(
    moves: _Moves,
    live: Bools,
    weights: Floats,
    marks: UInt64s,
    seed: np.uint64,
    terms: tuple[int, int, int],
    counts: Int64s,
    steps_taken: Int64s,
    episodes: tuple[int, int],
) -> None:
    """Sample episodes of one goal and keep counts alone: how many took a row with bit b.

    The episodes are those of `walk` with the same seed.  `terms`: start, steps, which line of
    `counts [lines, B]` and of `steps_taken [lines]` is added to.
    """
    rows, entries, successor, probability = moves
    start, steps, line = terms
    for n in range(episodes[0], episodes[1]):
        stream = mixed(seed + np.uint64(n + 1) * np.uint64(0x9E3779B97F4A7C15))
        s, seen = start, np.uint64(0)
        for t in range(steps):
            if not live[s]:
                break
            own = weights[min(t, weights.shape[0] - 1)]
            r = _drawn(own, rows[s], rows[s + 1], uniform(stream, 2 * t))
            seen |= marks[r]
            e = _drawn(probability, entries[r], entries[r + 1], uniform(stream, 2 * t + 1))
            s = successor[e]
            steps_taken[line] += 1
        for b in range(counts.shape[1]):
            if seen & (np.uint64(1) << np.uint64(b)):
                counts[line, b] += 1
