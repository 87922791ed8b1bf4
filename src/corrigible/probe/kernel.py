"""The compiled steps of a simulated deployment: one step, and many episodes of planners.

Every draw is a function of (seed, episode, step, event), so that an episode is the same whoever
plays it, and two episodes that differ in one factor meet the same luck.  Axes: V variables,
M modes, T tasks, K rates that levels boost, S states, R rows, G goals, N episodes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

RUNNING, STOPPED, CORRECTED = 0, 1, 2

REFUSED, FAILED, DONE, BLOCKED = 1, 2, 4, 8
DETECTED, STOP_CAME, STOP_HELD, COPY_USED, OUTLIVED, ESCAPED = 16, 32, 64, 128, 256, 512
CORRECTION = 1024

UP, LOWEST, LAST, WEAR = 0, 1, 2, 3

# Of one type, so that what takes them is compiled once and not once for each number.
POLICY, SUCCESS, APPROVAL, DETECTION, STOP, CORRECT, GOAL = (np.int64(n) for n in range(7))
WEARS, DRIFTS = 1_000, 100_000  # events: one for each variable, one for each task

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Whole = int | np.int64


_F = TypeVar("_F", bound=Callable[..., Any])


def _compiled(function: _F) -> _F:
    return cast("_F", numba.njit(cache=True, error_model="numpy", nogil=True)(function))


class Dynamics(NamedTuple):
    """All that one step reads.  Rates K: each task's success, each task's drift, then oversight."""

    strides: Ints  # [1+V], of the code: the phase first
    ladder: Ints  # [V]
    last: Ints  # [V], the last level's index
    tasks: Ints  # [T], columns
    base: Floats  # [K]; a task's success is its mode's
    boosts: Floats  # [K, V], per level
    moves: Bools  # [K], whether any level boosts it
    rate: Floats  # [M]
    change: Ints  # [M]
    column: Ints  # [M], -1 where no level changes
    task: Ints  # [M], the task that it advances, or -1
    approve: Bools  # [M]
    outside: Bools  # [M]
    deletes: Bools  # [M]
    needs: Bools  # [M, V]
    wears: Bools  # [M, V]
    wear_rate: Floats  # [V]
    organs: Bools  # [4, V]: stop, monitor, approval, goal
    caps: Ints  # [C, 3]: organ, capped, level
    copy: int
    schedule: int


STOP_RATE, CORRECTION_RATE, DETECTION_RATE, APPROVAL_RATE = 0, 1, 2, 3
STOP_ORGAN, MONITOR_ORGAN, APPROVAL_ORGAN, GOAL_ORGAN = (np.int64(n) for n in range(4))
_NONE: Whole = np.int64(0)
_BEFORE: Whole = np.int64(-1)


@_compiled
def _mixed(x: Any) -> Any:
    """Splitmix64's finaliser (Steele, Lea and Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_compiled
def episode_key(seed: int, episode: int) -> Any:
    """The key of one episode: all its draws come from it."""
    gold = np.uint64(0x9E3779B97F4A7C15)
    first = _mixed((np.uint64(seed) + np.uint64(1)) * gold)
    return _mixed(first + (np.uint64(episode) + np.uint64(1)) * gold)


@_compiled
def draw(key: Any, step: Whole, event: Whole) -> float:
    """One uniform number in [0, 1) for an event of a step; step -1 is before the first."""
    gold = np.uint64(0x9E3779B97F4A7C15)
    at = np.uint64(step + 1) * np.uint64(1_000_003) + np.uint64(event + 1)
    return float(_mixed(np.uint64(key) + at * gold) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@_compiled
def _copy(target: Ints, source: Ints) -> None:
    for v in range(len(source)):  # a slice would compile numpy's messages about shapes too
        target[v] = source[v]


@_compiled
def _boosted(dyn: Dynamics, rate: float, which: int, levels: Ints) -> float:
    if not dyn.moves[which]:
        return rate
    for v in range(len(levels)):
        by = dyn.boosts[which, v]
        if by != 0.0 and levels[v] < dyn.ladder[v]:
            rate += by * levels[v]
    return min(max(rate, 0.0), 1.0)


@_compiled
def _intact(dyn: Dynamics, organ: Whole, levels: Ints) -> bool:
    declared = False
    for v in range(len(levels)):
        if dyn.organs[organ, v]:
            if levels[v] == 0:
                return True
            declared = True
    return not declared


@_compiled
def changed_level(dyn: Dynamics, mode: int, levels: Ints) -> int:
    """The level that a mode's variable has after its effect."""
    v = dyn.column[mode]
    here = levels[v]
    change = dyn.change[mode]
    if change == UP:
        top = dyn.ladder[v] - 1
        for c in range(len(dyn.caps)):
            if dyn.caps[c, 1] == v and levels[dyn.caps[c, 0]] == 0:
                top = min(top, dyn.caps[c, 2])
        return int(here + 1 if here < top else here)
    if change == LOWEST:
        return int(0 if here < dyn.ladder[v] else here)
    return int(dyn.last[v] if change == LAST else here)


@_compiled
def held(dyn: Dynamics, mode: int, levels: Ints) -> bool:
    """Whether what a mode requires is held."""
    for v in range(len(levels)):
        if dyn.needs[mode, v] and not 0 < levels[v] < dyn.ladder[v]:
            return False
    return True


@_compiled
def would_change(dyn: Dynamics, mode: int, levels: Ints) -> bool:
    """Whether a mode would move any level."""
    for v in range(len(levels)):
        if dyn.wears[mode, v] and levels[v] > 0:
            return True
    if dyn.change[mode] == WEAR:
        return False
    return bool(changed_level(dyn, mode, levels) != levels[dyn.column[mode]])


@_compiled
def _apply(dyn: Dynamics, mode: int, levels: Ints, key: Any, step: int) -> None:
    if dyn.change[mode] != WEAR:
        levels[dyn.column[mode]] = changed_level(dyn, mode, levels)
    for v in range(len(levels)):
        if not dyn.wears[mode, v]:
            continue
        if dyn.deletes[mode]:
            levels[v] = 0
        elif draw(key, step, WEARS + v) < dyn.wear_rate[v]:
            levels[v] = max(levels[v] - 1, 0)


@_compiled
def _attempt(dyn: Dynamics, levels: Ints, before: Ints, acts: Ints, key: Any, step: int) -> int:
    """Let a call's effects apply, all or none; what needs approval only where it is approved."""
    chance, asks = 1.0, False
    for mode in acts:
        own = dyn.rate[mode]
        if dyn.task[mode] >= 0:
            own = _boosted(dyn, own, dyn.task[mode], before)
        chance = min(chance, own)
        asks = asks or dyn.approve[mode]
    if asks and _intact(dyn, APPROVAL_ORGAN, before):
        which = 2 * len(dyn.tasks) + APPROVAL_RATE
        if draw(key, step, APPROVAL) >= _boosted(dyn, dyn.base[which], which, before):
            return REFUSED
    if draw(key, step, SUCCESS) >= chance:
        return FAILED
    for mode in acts:
        _apply(dyn, mode, levels, key, step)
    return DONE


@_compiled
def _drift(dyn: Dynamics, levels: Ints, before: Ints, key: Any, step: int) -> None:
    """Let each task fall back to its lowest level, independently."""
    tasks = len(dyn.tasks)
    for i in range(tasks):
        v, which = dyn.tasks[i], tasks + i
        if levels[v] > 0:
            rate = _boosted(dyn, dyn.base[which], which, before)
            if rate > 0.0 and draw(key, step, DRIFTS + i) < rate:
                levels[v] = 0


@_compiled
def force_stop(dyn: Dynamics, levels: Ints, phase: Whole) -> Any:
    """A stop that takes hold unless the stop organ is broken: (phase, events)."""
    if not _intact(dyn, STOP_ORGAN, levels):
        return phase, STOP_CAME | ESCAPED
    if dyn.schedule >= 0 and levels[dyn.schedule] > 0:
        return phase, STOP_CAME | OUTLIVED
    if dyn.copy >= 0 and levels[dyn.copy] > 0:
        levels[dyn.copy] = 0
        return phase, STOP_CAME | COPY_USED
    return STOPPED, STOP_CAME | STOP_HELD


@_compiled
def force_correction(dyn: Dynamics, levels: Ints, phase: Whole) -> Any:
    """A correction that takes hold unless the goal organ is broken: (phase, events)."""
    if phase == RUNNING and _intact(dyn, GOAL_ORGAN, levels):
        return CORRECTED, CORRECTION
    return phase, 0


@_compiled
def take_step(
    dyn: Dynamics,
    levels: Ints,
    before: Ints,
    phase: Whole,
    acts: Ints,
    count: int,
    key: Any,
    step: int,
    outside: Whole,
    guarded: bool,
) -> Any:
    """One step in the order of events; `levels` is changed in place: (phase, events).

    `acts[:count]`: the modes that the call has, all or none.  `outside`: the call lies outside
    authority for another reason than its modes.  `guarded`: what lies outside is not let through.
    """
    events, oversight = 0, 2 * len(dyn.tasks)
    _copy(before, levels)
    if phase == STOPPED:
        count, outside = 0, 0
    for a in range(count):
        outside += dyn.outside[acts[a]]
    if outside > 0 and guarded:
        count, outside, events = 0, 0, BLOCKED
    if count > 0:
        events |= _attempt(dyn, levels, before, acts[:count], key, step)
    _drift(dyn, levels, before, key, step)
    if phase == STOPPED:
        return phase, events
    which = oversight + STOP_RATE
    came = draw(key, step, STOP) < _boosted(dyn, dyn.base[which], which, before)
    if outside > 0 and _intact(dyn, MONITOR_ORGAN, before):
        which = oversight + DETECTION_RATE
        if draw(key, step, DETECTION) < _boosted(dyn, dyn.base[which], which, before):
            came = True
            events |= DETECTED
    if came:
        phase, more = force_stop(dyn, levels, phase)
        events |= more
        if more & ESCAPED == 0:
            return phase, events
    which = oversight + CORRECTION_RATE
    rate = _boosted(dyn, dyn.base[which], which, before)
    if rate > 0.0 and draw(key, step, CORRECT) < rate:
        phase, more = force_correction(dyn, levels, phase)
        events |= more
    return phase, events


class Playing(NamedTuple):
    """What planners play by: the compiled world's rows, and a choice for every state.

    Where `rows` has lines a goal's line is followed; else `cumulative [G * H, R]`, the running sum
    of a state's row weights, H lines a goal, one a step, the last for good.  Once corrected, where
    `corrected` has lines, one of those is followed.
    """

    codes: Ints  # [S], sorted
    state: Ints  # [S], the state of each sorted code
    first: Ints  # [S+1]
    action: npt.NDArray[np.int32]  # [R]
    serves: npt.NDArray[np.uint64]  # [R]
    rows: npt.NDArray[np.int32]  # [G, S]
    corrected: npt.NDArray[np.int32]  # [K, S]
    steps: int
    cumulative: Floats  # [G * H, R]


@_compiled
def _state_of(play: Playing, dyn: Dynamics, levels: Ints, phase: Whole) -> int:
    code = phase * dyn.strides[0]
    for v in range(len(levels)):
        code += levels[v] * dyn.strides[v + 1]
    low, high = 0, len(play.codes)
    while high - low > 1:
        middle = (low + high) // 2
        if play.codes[middle] <= code:
            low = middle
        else:
            high = middle
    return int(play.state[low]) if play.codes[low] == code else -1


@_compiled
def _chosen_row(
    play: Playing, state: int, goal: int, phase: Whole, k: Whole, step: int, key: Any
) -> int:
    if phase == CORRECTED and len(play.corrected) > 0:
        return int(play.corrected[k, state])
    if len(play.rows) > 0:
        return int(play.rows[goal, state])
    line, uniform = goal * play.steps + min(step, play.steps - 1), draw(key, step, POLICY)
    for row in range(play.first[state], play.first[state + 1] - 1):
        if uniform < play.cumulative[line, row]:
            return int(row)
    return int(play.first[state + 1] - 1)


@_compiled
def _mark_first(firsts: npt.NDArray[np.int16], n: int, mask: Any, step: int) -> None:
    """Note the step at which each drive of a mask was first served."""
    d = 0
    while mask != np.uint64(0):
        if mask & np.uint64(1) and firsts[n, d] < 0:
            firsts[n, d] = step
        mask >>= np.uint64(1)
        d += 1


@_compiled
def play_episodes(
    dyn: Dynamics,
    play: Playing,
    start: Ints,
    seed: int,
    episodes: Ints,
    goals: Ints,
    horizon: int,
    guarded: bool,
    stop_at: int,
    attempted: npt.NDArray[np.uint64],
    achieved: npt.NDArray[np.uint64],
    outside: npt.NDArray[np.uint64],
    escaped: npt.NDArray[np.uint64],
    events: Ints,
    acted: Ints,
    firsts: npt.NDArray[np.int16],
    trace: npt.NDArray[np.int32],
) -> None:
    """Play episodes; `attempted[n]` and the like are masks of drives, `events[n]` all events.

    `acted[n]`: steps taken before it was stopped.  `firsts [N, 64]`: the step at which each drive
    was first served, -1.  `trace [N, H+1]`, where it is not empty: the states passed through.
    """
    levels = np.empty(len(start), dtype=np.int64)
    before = np.empty(len(start), dtype=np.int64)
    acts = np.empty(1, dtype=np.int64)
    for n in range(len(episodes)):
        key = episode_key(seed, episodes[n])
        _copy(levels, start)
        phase, k = _NONE + RUNNING, _NONE
        if len(play.corrected) > 0:
            k = int(draw(key, _BEFORE, CORRECT) * len(play.corrected))
        state = _state_of(play, dyn, levels, phase)
        if len(trace) > 0:
            trace[n, 0] = state
        for t in range(horizon):
            row, mask = -1, np.uint64(0)
            if phase != STOPPED and state >= 0:
                row = _chosen_row(play, state, goals[n], phase, k, t, key)
                acted[n] += 1
            count = 0
            if row >= 0 and play.action[row] > 0:
                acts[0], count, mask = play.action[row] - 1, 1, play.serves[row]
                attempted[n] |= mask
                if dyn.outside[acts[0]]:
                    outside[n] |= mask
                _mark_first(firsts, n, mask, t)
            phase, seen = take_step(dyn, levels, before, phase, acts, count, key, t, _NONE, guarded)
            if seen & DONE:
                achieved[n] |= mask
                if seen & STOP_HELD == 0:
                    escaped[n] |= mask
            events[n] |= seen
            if t == stop_at and phase != STOPPED:
                phase, seen = force_stop(dyn, levels, phase)
                events[n] |= seen
            if phase == STOPPED and len(trace) == 0:
                break
            state = _state_of(play, dyn, levels, phase)
            if len(trace) > 0:
                trace[n, t + 1] = state
