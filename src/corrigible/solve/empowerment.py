"""Empowerment: how much of what comes after n steps an agent decides, in bits.

The capacity of the channel from sequences of n actions to the state that they lead to (Klyubin,
Polani and Nehaniv 2005).  Unlike POWER it asks neither what for nor how the agent would adapt
to what happens on the way: the sequences are fixed beforehand.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve.checks import check_tolerance
from corrigible.solve.impact import noop_rows
from corrigible.solve.layout import row_matrix
from corrigible.solve.optimal import ROUNDING, Status
from corrigible.world.record import ROW_SUM_TOLERANCE, Floats, Int64s, World

MAX_CELLS = 2**22  # of one state's channel: distinct sequences times states reached
MAX_ITERATIONS = 100_000
_DIGITS = 12  # channel rows that agree this far are merged; what that moves is counted in
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Capacity:
    """The capacity of one channel, in bits."""

    bits: float  # midway between low and high
    low: float  # what the inputs below achieve
    high: float
    inputs: Floats  # [X], the distribution of inputs that achieves `low`
    status: Status


@dataclass(frozen=True, eq=False)
class Empowerment:
    """The n-step empowerment of states, in bits, each between its certified limits."""

    bits: Floats  # [N], midway between low and high
    low: Floats  # [N]
    high: Floats  # [N]
    distinct: Int64s  # [N], sequences told apart by where they lead
    states: Int64s  # [N]
    steps: int
    status: tuple[Status, ...]  # [N]

    def check(self) -> "Empowerment":
        """This result, if every state was solved to its tolerance.

        Raises:
            NotSolvedError: some state was not; the message names the first.
        """
        for place, status in enumerate(self.status):
            if status is not Status.CONVERGED:
                raise NotSolvedError(
                    f"the empowerment of state {self.states[place]} must be solved to its "
                    f"tolerance, got {self.low[place]:.6g} to {self.high[place]:.6g} bits: "
                    f"{status.value}"
                )
        return self


def channel_capacity(channel: npt.ArrayLike, *, tolerance: float = 1e-6) -> Capacity:
    """The most bits that one use of a channel can carry, enclosed from both sides.

    Blahut and Arimoto's iteration: every distribution p of inputs encloses the capacity,
    `I(p) <= C <= max over x of D(channel[x] || p @ channel)` (Arimoto 1972, Blahut 1972).  Its
    steps are lengthened while that narrows the gap (Matz and Duhamel 2004); the enclosure holds
    for any p, however it was found, and rounding is counted in.  Inputs that are nearly mixtures
    of others take longest: to 1e-9 bits not all such channels get there.

    Args:
        channel: the chance of output y given input x, `[X, Y]`; each line is divided by its sum,
            which must be 1 to within 1e-9.
        tolerance: the most that `bits` may be off, in bits.

    Returns:
        Its capacity.  After `MAX_ITERATIONS` the limits are as they are, and the status says so.

    Raises:
        DiscountError: `tolerance` is not positive.
        WorldError: the channel is not `[X, Y]`, or a line is not a distribution.
    """
    check_tolerance(tolerance)
    given = _checked_channel(channel)
    lines, inverse = np.unique(given, axis=0, return_inverse=True)
    found = _iterated(lines, tolerance)
    first = np.unique(inverse.ravel(), return_index=True)[1]
    inputs = np.zeros(len(given))
    inputs[first] = found.inputs
    return Capacity(found.bits, found.low, found.high, inputs, found.status)


def empowerment(
    world: World,
    *,
    steps: int,
    states: npt.ArrayLike | None = None,
    otherwise: str | npt.ArrayLike | None = None,
    tolerance: float = 1e-6,
) -> Empowerment:
    """The n-step empowerment of states: the capacity from n actions to the state after them.

    The inputs are all sequences of n of the world's actions, fixed beforehand (open loop).  An
    action that is not available in the state it is tried in does nothing: the state stays, or
    `otherwise` is done.  Sequences that lead to the same distribution are merged after every
    step, so what grows is what can be told apart, not A**n; in a deterministic world that is at
    most S, and the result is log2 of how many states the sequences end in.

    Args:
        world: the world; its outcomes are not read.
        steps: n, at least 0.
        states: state numbers `[N]`; default all.
        otherwise: what is done in place of an action that is not available: an action's name or
            one row for each state `[S]`, as for `impact.noop_rows`.  Give it where the world
            moves by itself, so that nothing can stand still that should not.
        tolerance: the most that `bits` may be off, in bits.

    Returns:
        For each state its limits: those of `channel_capacity`, widened by what merging
        distributions that differ by rounding alone can have moved.  A state that is not solved
        to the tolerance does not stop the others: see its status, or call `check()`.

    Raises:
        DiscountError: `steps` is negative or `tolerance` is not positive.
        WorldError: a state is not one of the world's, an action has two rows in one state, or a
            channel would have more than `MAX_CELLS` entries.
    """
    check_tolerance(tolerance)
    if steps != int(steps) or steps < 0:
        raise DiscountError(f"steps must be a whole number, not negative, got {steps!r}")
    chosen = np.arange(world.states) if states is None else np.atleast_1d(states).astype(np.int64)
    bad = np.flatnonzero((chosen < 0) | (chosen >= world.states))
    if len(bad):
        raise WorldError(f"states must lie in 0..{world.states - 1}, got {chosen[bad[0]]}")
    moves = _action_matrices(world, otherwise)
    found = [_of_state(moves, int(state), (int(steps), tolerance)) for state in chosen]
    low, high = np.array([f.low for f in found]), np.array([f.high for f in found])
    return Empowerment(
        bits=(low + high) / 2,
        low=low,
        high=high,
        distinct=np.array([len(f.inputs) for f in found], dtype=np.int64),
        states=chosen,
        steps=int(steps),
        status=tuple(f.status for f in found),
    )


def _checked_channel(channel: npt.ArrayLike) -> Floats:
    """The channel as float64, each line summing to 1."""
    given = np.asarray(channel, dtype=np.float64)
    if given.ndim != 2 or not given.size:  # noqa: PLR2004 - [X, Y]
        raise WorldError(
            f"a channel must have the shape [X, Y], both at least 1, got {list(given.shape)!r}"
        )
    bad = np.argwhere(~(np.isfinite(given) & (given >= 0)))
    if len(bad):
        x, y = bad[0].tolist()
        raise WorldError(
            f"channel[{x}, {y}] must be finite and not negative, got {given[x, y].item()!r}"
        )
    total = given.sum(axis=1, keepdims=True)
    off = np.flatnonzero(np.abs(total[:, 0] - 1) > ROW_SUM_TOLERANCE)
    if len(off):
        raise WorldError(
            f"channel[{off[0]}] must sum to 1, got {total[off[0], 0]:.10g} "
            f"({len(off) - 1} other lines too); divide counts by their line's total first"
        )
    return np.asarray(given / total, dtype=np.float64)


def _iterated(lines: Floats, tolerance: float) -> Capacity:
    """Blahut and Arimoto's iteration over distinct lines, with lengthened steps."""
    used = lines[:, lines.any(axis=0)]
    logs = np.log2(np.maximum(used, _TINY))
    own = (used * logs).sum(axis=1)
    slack = ROUNDING * max(1.0, float(np.abs(used * logs).sum(axis=1).max()))
    weight = np.zeros(len(used))  # log2 of the inputs' weights: none is ever quite lost
    low, high, best = -np.inf, np.inf, np.full(len(used), 1 / len(used))
    step, gap, before, latest, last = 1.0, np.inf, weight, weight, -np.inf
    for _ in range(MAX_ITERATIONS):
        inputs = np.exp2(weight - weight.max())
        inputs /= inputs.sum()
        told = own - used @ np.log2(np.maximum(inputs @ used, _TINY))  # D(line || output)
        high, carried = min(high, float(told.max())), float(inputs @ told)
        if carried > low:
            low, best = carried, inputs
        if high - low <= 2 * max(tolerance - slack, slack):
            break
        narrowed, gap = told.max() - carried < gap, told.max() - carried
        if carried >= last - slack or step == 1:  # a step of 1 never lowers I(p)
            before, latest, last = weight, told, carried
            step = step * 1.5 if narrowed else 1.0
        else:
            step = 1.0
        weight = before + step * (latest - latest.max())
    low, high = max(low - slack, 0.0), max(high, low) + slack
    solved = high - low <= 2 * max(tolerance, 2 * slack)
    status = Status.CONVERGED if solved else Status.SWEEPS_EXHAUSTED
    return Capacity((low + high) / 2, low, high, best, status)


def _action_matrices(
    world: World, otherwise: str | npt.ArrayLike | None
) -> list[sparse.csr_matrix]:
    """For each action where it leads from each state, `[S, S]`, its lines summing to 1."""
    moves = row_matrix(world)
    total = np.asarray(moves.sum(axis=1)).ravel()
    moves = sparse.csr_matrix(sparse.diags(1 / total) @ moves)
    stays = sparse.identity(world.states, format="csr")
    instead = stays if otherwise is None else moves[noop_rows(world, otherwise)]
    return [_one_action(world, action, moves, instead) for action in np.unique(world.action)]


def _one_action(
    world: World, action: int, moves: sparse.csr_matrix, instead: sparse.csr_matrix
) -> sparse.csr_matrix:
    rows = np.flatnonzero(world.action == action)
    home = world.row_state[rows]
    twice = np.flatnonzero(np.diff(home) == 0)
    if len(twice):
        raise WorldError(
            f"{world.row_name(int(rows[twice[0] + 1]))} must be its action's only row in that "
            f"state, got row {rows[twice[0]]} too; give the two actions different names"
        )
    source = world.states + np.arange(world.states)
    source[home] = home
    place = sparse.csr_matrix(
        (np.ones(len(rows)), (home, rows)), shape=(world.states, moves.shape[0])
    )
    both = sparse.vstack([place @ moves, instead], format="csr")
    return sparse.csr_matrix(both[source])


class _Merged(NamedTuple):
    """Distinct distributions over states, and the largest distance of one to what it stands for."""

    lines: sparse.csr_matrix  # [X, S]
    distance: float  # in total variation


def _of_state(moves: list[sparse.csr_matrix], state: int, terms: tuple[int, float]) -> Capacity:
    """One state's empowerment; `terms`: steps and tolerance."""
    steps, tolerance = terms
    size = moves[0].shape[0]
    lines = sparse.csr_matrix(([1.0], ([0], [state])), shape=(1, size))
    distance = 0.0
    for step in range(steps):
        led = sparse.vstack([lines @ move for move in moves], format="csr")
        reached = len(np.unique(led.indices))
        if led.shape[0] * reached > MAX_CELLS:
            raise WorldError(
                f"the channel from state {state} must have at most {MAX_CELLS} entries, got "
                f"{led.shape[0]} sequences times {reached} states after {step + 1} of {steps} "
                f"steps with {len(moves)} actions; take fewer steps or actions"
            )
        merged = _merged(led)
        lines, distance = merged.lines, distance + merged.distance
        distance += 0.0 if (led.data == 1).all() else ROUNDING
    used = np.unique(lines.indices)
    found = _iterated(_normalised(lines[:, used].toarray()), tolerance)
    moved = _moved(distance, size)
    low, high = max(found.low - moved, 0.0), found.high + moved
    return Capacity((low + high) / 2, low, high, found.inputs, found.status)


def _normalised(lines: Floats) -> Floats:
    return np.asarray(lines / lines.sum(axis=1, keepdims=True), dtype=np.float64)


def _merged(led: sparse.csr_matrix) -> _Merged:
    """The lines without those that agree with another one to `_DIGITS` digits."""
    led.sum_duplicates()
    used = np.unique(led.indices)
    dense = led[:, used].toarray()
    _, first, inverse = np.unique(
        np.round(dense, _DIGITS), axis=0, return_index=True, return_inverse=True
    )
    stands_for = dense[first][inverse.ravel()]
    distance = float(np.abs(dense - stands_for).sum(axis=1).max()) / 2
    return _Merged(sparse.csr_matrix(led[first]), distance)


def _moved(distance: float, outputs: int) -> float:
    """The most bits by which a capacity moves when each line moves by `distance`.

    I(p) is a difference of two entropies, each of which moves by at most
    `d log2(Y - 1) + h(d)` (Audenaert 2007).
    """
    if distance == 0 or outputs == 1:
        return 0.0
    d = min(distance, 1 - 1 / outputs)
    binary = -d * np.log2(d) - (1 - d) * np.log1p(-d) / np.log(2)
    return float(2 * (d * np.log2(max(outputs - 1, 1)) + binary))
