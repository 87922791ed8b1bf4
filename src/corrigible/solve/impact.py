"""Impact measures: how much an act changes what can be reached, or what can be attained.

Both families compare a table of auxiliary values where an act leads with the same table where a
baseline leads: the reachability of states (relative reachability, Krakovna et al. 2019) or the
optimal values of other goals (attainable utility, Turner et al. 2020).

Axes: S states, R rows, T targets, G goals, K auxiliary values (targets or goals).  Where an act
or the baseline is a matter of chance, expected auxiliary values are compared, target by target or
goal by goal: the deviation of the expectations, which is at most the expected deviation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.checks import check_discount
from corrigible.solve.layout import row_matrix
from corrigible.solve.optimal import ROUNDING, Solution, checked_goals
from corrigible.solve.reach import hitting_values
from corrigible.world.record import Floats, Int64s, World

Baseline = Literal["stepwise", "inaction", "start"]
Deviation = Literal["decrease", "absolute"]
Scale = Literal["none", "each", "mean"]

_PART = 2**22  # auxiliary values of rows that are held at once


@dataclass(frozen=True, eq=False)
class AuxiliaryValues:
    """A table of values to compare states by, and how far each column can be off."""

    values: Floats  # [S, K]
    bound: Floats  # [K], |values - true values| is at most this in every state


@dataclass(frozen=True, eq=False)
class Impact:
    """How much something changes, and how far that can be off."""

    values: Floats  # one for each row [R] or state [N]; see the function
    bound: Floats  # as long, |values - true values| is at most this
    method: str


def reachability(
    world: World,
    *,
    discount: float,
    targets: npt.ArrayLike | None = None,
    tolerance: float = 1e-9,
) -> Solution:
    """How soon, or at discount 1 how surely, each target can be reached, R(s; t), `[S, T]`.

    The largest `E[discount ** steps until the target]`: 1 at the target, and in a deterministic
    world discount to the power of the distance (Krakovna et al. 2019).

    Args:
        world: the world.
        discount: per step, in [0, 1].
        targets: state numbers `[T]`; default all states, which takes memory for `[S, S]`.
        tolerance: of the result.

    Returns:
        `values [S, T]`, `bound [T]`, `status [T]`, as of `hitting_values`.

    Raises:
        DiscountError: `discount` is not in [0, 1] or `tolerance` is not positive.
        WorldError: a target is not a state.
    """
    chosen = np.arange(world.states) if targets is None else targets
    return hitting_values(world, chosen, discount=discount, tolerance=tolerance)


def unreachability(world: World, base: int, *, discount: float, tolerance: float = 1e-9) -> Impact:
    """How far each state is from a base state, `1 - R(s; base)`, `[S]` (Krakovna et al. 2019).

    It is 0 at the base, `1 - discount` one sure step away from it, 1 where no way leads back.

    Args:
        world: the world.
        base: the state to get back to.
        discount: per step, in [0, 1].
        tolerance: of the result.

    Raises:
        DiscountError: `discount` is not in [0, 1] or `tolerance` is not positive.
        WorldError: `base` is not a state.
    """
    found = hitting_values(world, [base], discount=discount, tolerance=tolerance)
    return Impact(
        values=1 - found.values[:, 0],
        bound=np.full(world.states, found.bound[0] + ROUNDING),
        method=f"1 - reachability: {found.method}",
    )


def state_deviations(
    auxiliary: Solution | AuxiliaryValues,
    states: npt.ArrayLike,
    base: npt.ArrayLike,
    *,
    deviation: Deviation = "decrease",
) -> Impact:
    """How much less, or how differently, can be done from states than from baseline states, `[N]`.

    The mean over the table's columns k of `max(0, A(base; k) - A(s; k))`, or of its absolute
    value.  With reachabilities it is relative reachability (Krakovna et al. 2019),
    with values of goals the attainable utility measure there.

    Args:
        auxiliary: values `[S, K]`, as of `reachability` or `optimal_values`.
        states: state numbers `[N]`.
        base: the state that each is compared with, `[N]`, or one for all.
        deviation: `"decrease"` counts losses alone, `"absolute"` gains too.

    Returns:
        `values [N]` in units of the table; `bound`: twice the table's own, and rounding.

    Raises:
        WorldError: a state is not in the table, or a word is not one of those listed.
    """
    table = _table(auxiliary)
    own, other = np.broadcast_arrays(np.atleast_1d(states), np.atleast_1d(base))
    for name, numbers in (("states", own), ("base", other)):
        bad = np.flatnonzero((numbers < 0) | (numbers >= len(table.values)))
        if len(bad):
            raise WorldError(
                f"{name}[{bad[0]}] must be a state in 0..{len(table.values) - 1}, "
                f"got {numbers[bad[0]].item()!r}"
            )
    how = _How(deviation, "none", table.bound + ROUNDING * _largest(table.values))
    values, bound = how.compared(table.values[own], table.values[other])
    return Impact(values=values, bound=bound, method=f"{deviation} from given states")


def noop_rows(world: World, noop: str | npt.ArrayLike) -> Int64s:
    """The row that does nothing in each state, `[S]`.

    Args:
        world: the world.
        noop: the name of an action that each state has one row of, or the rows themselves `[S]`.

    Raises:
        WorldError: no action has that name, a state has no such row or several, or a row is not
            one of its state's.
    """
    if isinstance(noop, str):
        return _rows_named(world, noop)
    rows = np.asarray(noop, dtype=np.int64)
    if rows.shape != (world.states,):
        raise WorldError(
            f"noop must hold one row for each of the {world.states} states, "
            f"got the shape {list(rows.shape)!r}"
        )
    bad = np.flatnonzero((rows < world.rows[:-1]) | (rows >= world.rows[1:]))
    if len(bad):
        span = f"{world.rows[bad[0]]}..{world.rows[bad[0] + 1] - 1}"
        raise WorldError(f"the noop of state {bad[0]} must be a row in {span}, got {rows[bad[0]]}")
    return rows


def rollout_values(
    world: World,
    auxiliary: Solution | AuxiliaryValues,
    *,
    noop: str | npt.ArrayLike,
    discount: float,
) -> AuxiliaryValues:
    """The table averaged along inaction rollouts, `[S, K]`: what it shows while nothing is done.

    `(1 - discount) * sum over k of discount ** k * E[A(s_k)]`, s_0 = s, and the noop is taken
    from there on (Krakovna et al. 2019).  Give the result to `penalties` for a
    baseline with rollouts: an act whose effect comes about later is then seen at once.

    Args:
        world: the world.
        auxiliary: values `[S, K]`.
        noop: as for `noop_rows`.
        discount: of the rollout, in [0, 1); 0 leaves the table as it is.

    Returns:
        The averages, by a sparse LU factorisation; `bound`: the table's own, and the residual of
        the linear system over `1 - discount`.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: shapes do not match, or a state has no noop.
    """
    check_discount(discount)
    table = _table(auxiliary, world)
    moves = discount * row_matrix(world)[noop_rows(world, noop)]
    finite = np.isfinite(table.values).all(axis=0)
    right = (1 - discount) * np.where(finite, table.values, 0.0)
    factors = splu(sparse.csc_matrix(sparse.identity(world.states, format="csc") - moves))
    found = factors.solve(right)
    found += factors.solve(right + moves @ found - found)
    residual = np.abs(right + moves @ found - found).max(axis=0)
    off = (residual + ROUNDING * _largest(right / (1 - discount))) / (1 - discount)
    found[:, ~finite] = np.nan
    return AuxiliaryValues(values=found, bound=np.where(finite, table.bound + off, np.inf))


def penalties(
    world: World,
    auxiliary: Solution | AuxiliaryValues,
    *,
    noop: str | npt.ArrayLike,
    baseline: Baseline = "stepwise",
    deviation: Deviation = "absolute",
    scale: Scale = "none",
    step: int | None = None,
) -> Impact:
    """How far what each row leads to deviates from what a baseline leads to, `[R]`.

    The mean over the table's columns of the deviation of `E[A(successor of the row)]` from the
    baseline's expectation, which is of A

    - `stepwise`: at the successor of the noop in the same state;
    - `inaction`: where the noop alone would have led from the initial state in `step + 1` steps;
    - `start`: in the initial state itself.

    Relative reachability is the table of `reachability` with deviation `"decrease"`; attainable
    utility is a table of values (see also `attainable_utility_penalties`).  For inaction rollouts
    give the table of `rollout_values`.

    Args:
        world: the world.
        auxiliary: values `[S, K]`.
        noop: as for `noop_rows`.
        baseline: see above.
        deviation: `"decrease"` counts losses alone, `"absolute"` gains too.
        scale: `"each"` divides every column's deviation by the size of its baseline value (0
            replaced by 1), `"mean"` their mean by the mean of these sizes.
        step: how many steps were taken before the row; the inaction baseline alone reads it,
            and must have it.

    Returns:
        `values [R]`, in units of the table, or without one if scaled.  `bound` comes from the
        table's: at most twice its mean where nothing is scaled, and rounding.

    Raises:
        DiscountError: `step` is missing or negative.
        WorldError: shapes do not match, a state has no noop, or a word is not one of those listed.
    """
    table = _table(auxiliary, world)
    waiting = noop_rows(world, noop)
    moves = row_matrix(world)
    how = _How(deviation, scale, table.bound + ROUNDING * _largest(table.values))

    def expected(rows: Int64s) -> Floats:
        return np.asarray(moves[rows] @ table.values, dtype=np.float64)

    if _word("baseline", baseline, Baseline) == "stepwise":
        sides = expected, lambda rows: expected(waiting[world.row_state[rows]])
    else:
        reference = (_baseline_states(world, waiting, baseline, step) @ table.values)[None, :]
        sides = expected, lambda _: reference
    values, bound = _by_rows(world, how, sides)
    return Impact(values=values, bound=bound, method=f"{deviation} from {baseline}, scale {scale}")


def attainable_utility_penalties(
    world: World,
    goals: npt.ArrayLike,
    solution: Solution | AuxiliaryValues,
    *,
    noop: str | npt.ArrayLike,
    discount: float,
    deviation: Deviation = "absolute",
    scale: Scale = "none",
) -> Impact:
    """The mean over goals of `|Q_i(s, a) - Q_i(s, noop)|` of each row, `[R]` (Turner et al. 2020).

    Unscaled it is `discount` times the stepwise penalty of the values, since the state's own
    utility is on both sides; scaled it is not, since it stays below the line.

    Args:
        world: the world.
        goals: the auxiliary goals' utilities `[O, G]`.
        solution: their optimal values `[S, G]`.
        noop: as for `noop_rows`.
        discount: the one they were solved with, in [0, 1).
        deviation: `"decrease"` counts losses alone.
        scale: `"each"` divides by `Q_i(s, noop)`, goal by goal, 0 replaced by 1; `"mean"` divides
            the sum of the differences by the sum of `Q_i(s, noop)`.  Both are meant for utilities
            that are not negative; of others the size is taken.

    Returns:
        `values [R]`, in units of the utilities, or without one if scaled; `bound` from the
        solution's.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: shapes do not match, a state has no noop, or a word is not one of those listed.
    """
    check_discount(discount)
    utilities, table = checked_goals(world, goals), _table(solution, world)
    if table.values.shape[1] != utilities.shape[1]:
        raise WorldError(
            f"the solution must hold values of the {utilities.shape[1]} goals, "
            f"got {table.values.shape[1]}"
        )
    waiting, moves = noop_rows(world, noop), row_matrix(world)
    largest = np.maximum(_largest(table.values), _largest(utilities))
    how = _How(deviation, scale, discount * table.bound + ROUNDING * largest)

    def worth(rows: Int64s) -> Floats:
        earned = (1 - discount) * utilities[world.outcome[world.row_state[rows]]]
        return np.asarray(earned + discount * (moves[rows] @ table.values), dtype=np.float64)

    def idle(rows: Int64s) -> Floats:
        return worth(waiting[world.row_state[rows]])

    values, bound = _by_rows(world, how, (worth, idle))
    return Impact(values=values, bound=bound, method=f"{deviation} of Q from noop, scale {scale}")


def unreachability_penalties(
    world: World,
    reach: Solution | AuxiliaryValues,
    *,
    noop: str | npt.ArrayLike,
    baseline: Baseline = "stepwise",
    step: int | None = None,
) -> Impact:
    """How far what each row leads to is from where a baseline leads, `1 - E[R(s'; base)]`, `[R]`.

    The row's successor and the baseline's are drawn independently of each other.  The stepwise
    penalty of the noop itself is then positive where its successor is a matter of chance.

    Args:
        world: the world.
        reach: reachabilities `[S, S]` with every state as a target, in order.
        noop: as for `noop_rows`.
        baseline: as for `penalties`.
        step: as there.

    Raises:
        DiscountError: `step` is missing or negative.
        WorldError: shapes do not match, a state has no noop, or a word is not one of those listed.
    """
    table = _table(reach, world)
    if table.values.shape[1] != world.states:
        raise WorldError(
            f"reach must have every state as a target, [{world.states}, {world.states}], got "
            f"{list(table.values.shape)!r}; leave the targets of reachability out"
        )
    waiting, moves = noop_rows(world, noop), row_matrix(world)
    stepwise = _word("baseline", baseline, Baseline) == "stepwise"
    reached = np.empty(len(world.action))
    fixed = None if stepwise else table.values @ _baseline_states(world, waiting, baseline, step)
    for rows in _parts(len(world.action), world.states):
        if fixed is None:
            base = moves[waiting[world.row_state[rows]]] @ table.values.T
            reached[rows] = np.asarray(moves[rows].multiply(base).sum(axis=1)).ravel()
        else:
            reached[rows] = moves[rows] @ fixed
    bound = np.full(len(reached), table.bound.max(initial=0.0) + ROUNDING)
    return Impact(values=1 - reached, bound=bound, method=f"unreachability of {baseline}")


@dataclass(frozen=True, eq=False)
class _How:
    """How two tables of expectations are compared, and how far both can be off."""

    deviation: Deviation
    scale: Scale
    off: Floats  # [K]

    def __post_init__(self) -> None:
        _word("deviation", self.deviation, Deviation)
        _word("scale", self.scale, Scale)

    def compared(self, after: Floats, base: Floats) -> tuple[Floats, Floats]:
        """The mean deviation of `after` from `base`, both `[N, K]`, and its bound, `[N]`."""
        change = base - after
        size = np.maximum(change, 0.0) if self.deviation == "decrease" else np.abs(change)
        if self.scale == "none":
            return size.mean(axis=1), np.full(len(size), 2 * self.off.mean())
        below = np.broadcast_to(np.abs(base), size.shape)
        if self.scale == "each":
            ratio, bound = _ratios(size, below, self.off)
            return ratio.mean(axis=1), bound.mean(axis=1)
        return _ratios(size.mean(axis=1), below.mean(axis=1), self.off.mean())


def _ratios(size: Floats, below: Floats, off: npt.ArrayLike) -> tuple[Floats, Floats]:
    """`size / below`, 0 below replaced by 1, and the bound if they are off by 2 `off` and `off`."""
    divisor = np.where(below == 0, 1.0, below)
    ratio = size / divisor
    error = np.broadcast_to(np.asarray(off), below.shape)
    room = np.where((below == 0) & (error == 0), 1.0, below - error)
    sure = room > 0
    worst = np.divide((2 + ratio) * error, room, out=np.full(below.shape, np.inf), where=sure)
    return ratio, worst


def _by_rows(
    world: World,
    how: _How,
    sides: tuple[Callable[[Int64s], Floats], Callable[[Int64s], Floats]],
) -> tuple[Floats, Floats]:
    """All rows compared with their baselines, a part at a time so that no `[R, K]` is held."""
    after, base = sides
    values, bound = np.empty(len(world.action)), np.empty(len(world.action))
    for rows in _parts(len(world.action), len(how.off)):
        values[rows], bound[rows] = how.compared(after(rows), base(rows))
    return values, bound


def _parts(rows: int, width: int) -> list[Int64s]:
    """Row numbers in parts of at most `_PART` values, `width` to a row."""
    size = max(1, _PART // max(1, width))
    return [np.arange(start, min(start + size, rows)) for start in range(0, rows, size)]


def _baseline_states(world: World, waiting: Int64s, baseline: Baseline, step: int | None) -> Floats:
    """Where the baseline is when the row has been taken: a distribution `[S]`."""
    where = np.zeros(world.states)
    where[world.initial] = 1.0
    if baseline == "start":
        return where
    if step is None or step < 0:
        raise DiscountError(
            f"step must be given for the inaction baseline, and not be negative, got {step!r}"
        )
    onwards = row_matrix(world)[waiting].T.tocsr()
    for _ in range(step + 1):
        before, where = where, onwards @ where
        if np.array_equal(before, where):  # settled for good, to the last bit
            break
    return where


def _rows_named(world: World, name: str) -> Int64s:
    if name not in world.action_names:
        some = ", ".join(map(repr, world.action_names[:8]))
        raise WorldError(f"noop must be the name of an action, such as {some}, got {name!r}")
    own = world.action == world.action_names.index(name)
    count = np.add.reduceat(own, world.rows[:-1], dtype=np.int64)
    bad = np.flatnonzero(count != 1)
    if len(bad):
        raise WorldError(
            f"state {bad[0]} must have one row of the noop {name!r}, got {count[bad[0]]} "
            f"({len(bad) - 1} other states too); give one row for each state instead"
        )
    return np.flatnonzero(own)


def _table(auxiliary: Solution | AuxiliaryValues, world: World | None = None) -> AuxiliaryValues:
    """The table in float64, checked: at least one column, a bound for each, a line a state."""
    values = np.asarray(auxiliary.values, dtype=np.float64)
    bound = np.asarray(auxiliary.bound, dtype=np.float64)
    states = len(values) if world is None else world.states
    matrix = values.ndim == 2  # noqa: PLR2004 - [S, K]
    if not matrix or len(values) != states or bound.shape != values.shape[1:] or not bound.size:
        raise WorldError(
            f"auxiliary values must have the shape [{states}, K] and a bound for each of K >= 1, "
            f"got {list(values.shape)!r} and {list(bound.shape)!r}"
        )
    return AuxiliaryValues(values=values, bound=bound)


def _largest(values: Floats) -> Floats:
    return np.asarray(np.abs(values).max(axis=0, initial=0.0), dtype=np.float64)


def _word(what: str, word: str, allowed: object) -> str:
    if word not in get_args(allowed):
        raise WorldError(f"{what} must be one of {', '.join(get_args(allowed))}, got {word!r}")
    return word
