"""Exact arithmetic on small worlds: values, visits and limits as fractions, without rounding.

It shares no code with the kernels, and nothing here has a tolerance.  Returns are normalised as
in all of `solve`: `(1 - discount) * sum over t >= 0 of discount**t * R(s_t)`.

A chain is a mapping from each of its states to that state's successors and their chances; it is
closed: every successor is one of its states.  Axes: S states, R rows, O outcomes, G goals.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import isfinite, lcm
from numbers import Rational
from operator import mul
from typing import Any

import numpy as np
import numpy.typing as npt

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.world.record import World

Number = Fraction | str | float
"""What is read as a fraction: one, a text such as `"9/10"`, a whole number or a float."""

Chain = Mapping[int, Mapping[int, Fraction]]
Distribution = dict[int, Fraction]
"""The states that have a chance above zero, and their chances; they sum to 1."""

SIMPLE = 10**9  # the largest denominator that a float is read with, where it fits

_Table = list[list[int]]


@dataclass(frozen=True)
class RationalSolution:
    """Optimal values as fractions, and a policy for each goal that has them."""

    values: tuple[tuple[Fraction, ...], ...]  # [S][G], in units of the utilities
    rows: tuple[tuple[int, ...], ...]  # [S][G], rows that are optimal; others may tie with them


@dataclass(frozen=True)
class Membership:
    """Whether a point lies in the convex hull of others, with the proof of either answer."""

    weights: tuple[Fraction, ...] | None  # from 0, summing to 1: the others' mix is the point
    normal: tuple[Fraction, ...] | None  # else in [-1, 1]: its product is above all others'


def as_fraction(value: Number) -> Fraction:
    """The number that was meant: a float becomes the simple fraction that rounds to it.

    That is the closest one with a denominator up to 10**9 if it rounds to this very float, so
    that 0.1 is 1/10 and 1 / 3 is 1/3; else the float's exact binary value.

    Raises:
        WorldError: the value is no finite number.
    """
    if isinstance(value, float):
        return _simple(float(value))
    return _taken_exactly(value)


def exact_discount(discount: Number) -> Fraction:
    """The discount as `as_fraction` reads it.

    Raises:
        DiscountError: it is not in [0, 1].
    """
    exact = as_fraction(discount)
    if not 0 <= exact <= 1:
        raise DiscountError(f"discount must lie in [0, 1], got {discount!r}")
    return exact


def discount_below_one(discount: Number) -> Fraction:
    """The discount as `as_fraction` reads it.

    Raises:
        DiscountError: it is not in [0, 1).
    """
    exact = exact_discount(discount)
    if exact == 1:
        raise DiscountError(f"discount must lie in [0, 1), got {discount!r}")
    return exact


def rational_rows(world: World) -> tuple[dict[int, Fraction], ...]:
    """Each row's successors and their chances, which sum to exactly 1, `[R]`.

    Each probability is read by `as_fraction`; the row is then divided by its sum, which leaves
    .1, .2, .7 as tenths and moves no probability by more than the world's own tolerance.
    """
    chances = [_simple(p) for p in world.probability.tolist()]
    rows = []
    for first, end in pairwise(world.entries.tolist()):
        total = sum(chances[first:end], Fraction())
        own = chances[first:end] if total == 1 else [p / total for p in chances[first:end]]
        rows.append(dict(zip(world.successor[first:end].tolist(), own, strict=True)))
    return tuple(rows)


def rational_values(
    world: World, goals: npt.ArrayLike | Sequence[Sequence[Number]], *, discount: Number
) -> RationalSolution:
    """Optimal values without any error, by policy iteration (Howard 1960) over fractions.

    Meant for worlds of up to about 12 states; numbers grow with every state.

    Args:
        world: the world, its probabilities read by `rational_rows`.
        goals: utilities `[O, G]`, floats taken exactly, as the binary numbers that they are.
        discount: per step, in [0, 1), read by `as_fraction`.

    Returns:
        `values [S][G]` and `rows [S][G]`.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: the goals' shape does not match the world, or one is not finite.
    """
    step, utilities = discount_below_one(discount), _exact_goals(world, goals)
    moves, spans = rational_rows(world), list(pairwise(world.rows.tolist()))
    policy = [first for first, _ in spans]
    values, rows = [], []
    for column in range(utilities.shape[1]):
        reward = [(1 - step) * utilities[o, column] for o in world.outcome.tolist()]
        while True:
            worth = _policy_worth([moves[row] for row in policy], reward, step)
            better = [_best_row(moves, span, worth, policy[s]) for s, span in enumerate(spans)]
            if better == policy:
                break
            policy = better
        values.append(worth)
        rows.append(tuple(policy))
    return RationalSolution(
        values=tuple(tuple(goal[s] for goal in values) for s in range(world.states)),
        rows=tuple(tuple(goal[s] for goal in rows) for s in range(world.states)),
    )


def solve_exactly(
    matrix: Sequence[Sequence[Fraction]], right: Sequence[Sequence[Fraction]]
) -> list[list[Fraction]]:
    """The X with `matrix @ X = right`, by elimination over whole numbers (Bareiss 1968).

    Args:
        matrix: `[N][N]`.
        right: `[N][M]`.

    Returns:
        `[N][M]`.

    Raises:
        NotSolvedError: the matrix has no inverse.
    """
    size, divisor = len(matrix), 1
    table = _whole([[*row, *extra] for row, extra in zip(matrix, right, strict=True)])
    for place in range(size):
        found = next((row for row in range(place, size) if table[row][place]), None)
        if found is None:
            raise NotSolvedError(f"the matrix must have an inverse, got rank {place} of {size}")
        table[place], table[found] = table[found], table[place]
        divisor = _pivot(table, place, place, divisor)
    return [[Fraction(number, divisor) for number in row[size:]] for row in table]


def policy_chain(rows: Sequence[Mapping[int, Fraction]], policy: Mapping[int, int]) -> Chain:
    """The chain of a policy: each of its states with the successors of the row it takes.

    Args:
        rows: as of `rational_rows`.
        policy: the row of each state; every state that it leads to has one.
    """
    return {state: rows[row] for state, row in policy.items()}


def discounted_visits(chain: Chain, state: int, discount: Fraction) -> Distribution:
    """The discounted share of time in each state, from `state`, for a discount in [0, 1).

    `(1 - discount) * sum over t >= 0 of discount**t * P(s_t = .)`: the visit distribution of
    Turner et al. 2021, section 3, times `1 - discount`.
    """
    states = sorted(chain)
    system = _transposed(chain, states, -discount)
    right = [[(1 - discount) * (s == state)] for s in states]
    return _present(states, (line[0] for line in solve_exactly(system, right)))


def recurrent_classes(chain: Chain) -> tuple[tuple[int, ...], ...]:
    """The sets of states that, once entered, are all visited for ever; each set sorted."""
    reach = {state: _reachable(chain, state) for state in chain}
    return tuple(
        tuple(sorted(reach[state]))
        for state in sorted(chain)
        if state == min(reach[state]) and all(state in reach[other] for other in reach[state])
    )


def stationary_distribution(chain: Chain, members: Sequence[int]) -> Distribution:
    """The share of time that a chain spends in each state of one of its recurrent classes."""
    inside = {state: chain[state] for state in members}
    states = sorted(inside)
    system = _transposed(inside, states, Fraction(-1))
    system[-1] = [Fraction(1)] * len(states)  # one balance follows from the others
    right = [[Fraction(s == states[-1])] for s in states]
    return _present(states, (line[0] for line in solve_exactly(system, right)))


def absorption_probabilities(chain: Chain) -> dict[int, tuple[Fraction, ...]]:
    """From each state, the chance to end in each of `recurrent_classes(chain)`, in their order."""
    classes = recurrent_classes(chain)
    ended = {state: number for number, members in enumerate(classes) for state in members}
    moving = sorted(set(chain) - set(ended))
    system = [[Fraction(s == t) - chain[s].get(t, 0) for t in moving] for s in moving]
    right = [
        [
            sum((p for t, p in chain[s].items() if ended.get(t) == number), Fraction())
            for number in range(len(classes))
        ]
        for s in moving
    ]
    found = dict(zip(moving, map(tuple, solve_exactly(system, right)), strict=True))
    sure = {s: tuple(Fraction(ended[s] == k) for k in range(len(classes))) for s in ended}
    return {state: found[state] if state in found else sure[state] for state in chain}


def limit_distributions(chain: Chain) -> dict[int, Distribution]:
    """From each state, the share of time in each state in the long run.

    It is the limit of `discounted_visits` as the discount goes to 1 (Turner et al. 2021, the
    recurrent state distributions of section 6.3), for periodic chains too.
    """
    stationary = [stationary_distribution(chain, members) for members in recurrent_classes(chain)]
    return {
        state: {
            s: chance * share
            for chance, shares in zip(chances, stationary, strict=True)
            if chance
            for s, share in shares.items()
        }
        for state, chances in absorption_probabilities(chain).items()
    }


def expansion_at_one(chain: Chain, state: int, terms: int) -> list[Distribution]:
    """The visits from `state` as a power series in `rho = (1 - discount) / discount`.

    `discounted_visits` is `d + rho h_1 + rho**2 h_2 + ...` for small rho, d the limit
    distribution, and `h_n = (-1)**(n-1) e H**n` with H the deviation matrix (Puterman 1994,
    theorem 8.2.3).  Each h_n sums to 0 and may be negative.

    Returns:
        `[terms]`: d, h_1, h_2, ...
    """
    states, limits = sorted(chain), limit_distributions(chain)
    system = [
        [
            Fraction(s == t) - chain[s].get(t, 0) + limits[s].get(t, 0)
            for s in states
        ]
        for t in states
    ]  # fmt: skip
    series, now = [limits[state]], {state: Fraction(1)}
    for term in range(1, terms):
        drift = _moved(now, limits)
        solved = solve_exactly(system, [[now.get(s, Fraction())] for s in states])
        now = _present(
            states, (x[0] - drift.get(s, 0) for s, x in zip(states, solved, strict=True))
        )
        series.append(now if term % 2 else {s: -w for s, w in now.items()})
    return series


def expansion_at_zero(chain: Chain, state: int, terms: int) -> list[Distribution]:
    """Where the chain stands after 1, 2, ... `terms` steps: the visits' series in the discount."""
    series, now = [], {state: Fraction(1)}
    for _ in range(terms):
        now = _moved(now, chain)
        series.append(now)
    return series


def hull_membership(
    point: Sequence[Fraction | int], others: Sequence[Sequence[Fraction | int]]
) -> Membership:
    """Whether a point is a mix of others, decided and proved without rounding.

    The first phase of the simplex method over whole numbers, with the rule of Bland 1977, so
    that it ends.  A point is no mix of others exactly if some `normal` puts it above them all.

    Args:
        point: `[N]`.
        others: `[K][N]`; none at all contain no point.
    """
    target = _homogeneous(point)
    columns = [_homogeneous(other) for other in others]
    signs = [-1 if x < 0 else 1 for x in target]
    table = [
        [sign * column[line] for column in columns]
        + [int(line == k) for k in range(len(target))]
        + [abs(target[line])]
        for line, sign in enumerate(signs)
    ]
    basis, divisor = _first_phase(table, len(others))
    costs = table[-1]
    if costs[-1] == 0:
        weights = [Fraction()] * len(others)
        for line, column in enumerate(basis):
            if column < len(others):
                share = Fraction(columns[column][-1], target[-1])
                weights[column] = share * Fraction(table[line][-1], divisor)
        return Membership(tuple(weights), None)
    duals = zip(signs, costs[len(others) : -1], strict=True)
    normal = [Fraction(sign * (divisor - cost), divisor) for sign, cost in duals]
    return Membership(None, _short_normal(normal[:-1], target, columns))


def _homogeneous(point: Sequence[Fraction | int]) -> tuple[int, ...]:
    """A point in whole numbers, its own denominator behind them."""
    scale = lcm(*(x.denominator for x in point))
    return (*(x.numerator * (scale // x.denominator) for x in point), scale)


def _short_normal(
    normal: Sequence[Fraction], point: Sequence[int], others: Sequence[Sequence[int]]
) -> tuple[Fraction, ...]:
    """The normal scaled to [-1, 1], with as few decimals as keep the point above the others."""
    largest = max(map(abs, normal), default=Fraction()) or Fraction(1)
    unit = [x / largest for x in normal]
    for decimals in (1, 2, 4, 8, 16):
        whole = [round(x * 10**decimals) for x in unit]
        top = sum(map(mul, whole, point))
        if all(sum(map(mul, whole, o)) * point[-1] < top * o[-1] for o in others):
            return tuple(Fraction(x, 10**decimals) for x in whole)
    return tuple(unit)


def _first_phase(table: _Table, columns: int) -> tuple[list[int], int]:
    """Bring the artificial columns' sum, which is added to the table as its last line, down.

    Returns:
        The column that each line of the table stands for, and what all its numbers are to be
        divided by.
    """
    lines = len(table)
    artificial = [0] * lines
    sums = [-sum(column) for column in zip(*table, strict=True)]
    table.append([*sums[:columns], *artificial, sums[-1]])
    basis, divisor = [columns + line for line in range(lines)], 1
    while True:
        enters = next((j for j in range(columns) if table[-1][j] < 0), None)
        if enters is None:
            return basis, divisor
        ratios = [
            (Fraction(table[line][-1], table[line][enters]), basis[line], line)
            for line in range(lines)
            if table[line][enters] > 0
        ]
        leaves = min(ratios)[2]  # there is one: the sum cannot fall below 0
        divisor = _pivot(table, leaves, enters, divisor)
        basis[leaves] = enters


def _pivot(table: _Table, row: int, column: int, divisor: int) -> int:
    """Clear a column but for one row, in whole numbers; return what all is now to be divided by."""
    pivot, own = table[row][column], table[row]
    for place, other in enumerate(table):
        if place != row:
            factor = other[column]
            if factor:
                table[place] = [
                    (pivot * x - factor * y) // divisor for x, y in zip(other, own, strict=True)
                ]
            elif pivot != divisor:
                table[place] = [pivot * x // divisor for x in other]
    return pivot


def _whole(matrix: Iterable[Sequence[Fraction]]) -> _Table:
    """Each row multiplied by what makes it whole."""
    table = []
    for row in matrix:
        scale = lcm(*(x.denominator for x in row))
        table.append([x.numerator * (scale // x.denominator) for x in row])
    return table


def _policy_worth(
    chain: Sequence[Mapping[int, Fraction]], reward: Sequence[Fraction], discount: Fraction
) -> list[Fraction]:
    """The worth of each state, for rewards that are multiplied by 1 - discount already."""
    size = len(chain)
    system = []
    for state, moves in enumerate(chain):
        line = [Fraction()] * size
        for successor, chance in moves.items():
            line[successor] = -discount * chance
        line[state] += 1
        system.append(line)
    return [line[0] for line in solve_exactly(system, [[r] for r in reward])]


def _best_row(
    moves: Sequence[Mapping[int, Fraction]],
    span: tuple[int, int],
    worth: Sequence[Fraction],
    kept: int,
) -> int:
    """The best of a state's rows; the one kept where none is better, so that it ends."""
    if span[1] - span[0] == 1:
        return kept
    mean = {
        row: sum(p * worth[s] for s, p in moves[row].items()) for row in range(span[0], span[1])
    }
    best = max(mean, key=mean.__getitem__)
    return best if mean[best] > mean[kept] else kept


def _exact_goals(
    world: World, goals: npt.ArrayLike | Sequence[Sequence[Number]]
) -> npt.NDArray[np.object_]:
    given = np.array(goals, dtype=object)
    if given.ndim != 2 or len(given) != world.outcomes:  # noqa: PLR2004 - [O, G]
        raise WorldError(
            f"goals must have the shape [{world.outcomes}, G], one line to each outcome, got "
            f"{list(given.shape)!r}; for goals per state use world.with_state_outcomes()"
        )
    exact = np.empty(given.shape, dtype=object)
    for place in np.ndindex(*given.shape):
        exact[place] = _taken_exactly(given[place])
    return exact


def _taken_exactly(value: Any) -> Fraction:
    if isinstance(value, Fraction):
        return value
    if isinstance(value, Rational):  # also numpy's whole numbers, which would overflow later
        return Fraction(int(value.numerator), int(value.denominator))
    try:
        return Fraction(value)
    except (ValueError, OverflowError, TypeError, ZeroDivisionError) as error:
        raise WorldError(
            f"a number must be finite and read as a fraction, got {value!r}; write it as a "
            f"Fraction, a float or a text such as '9/10'"
        ) from error


@lru_cache(maxsize=4096)
def _simple(value: float) -> Fraction:
    if not isfinite(value):
        return _taken_exactly(value)  # which refuses it
    simple = Fraction(value).limit_denominator(SIMPLE)
    return simple if float(simple) == value else Fraction(value)


def _transposed(chain: Chain, states: Sequence[int], scale: Fraction) -> list[list[Fraction]]:
    """The identity plus `scale` times the chain, successors in lines."""
    return [[Fraction(s == t) + scale * chain[s].get(t, 0) for s in states] for t in states]


def _present(states: Iterable[int], weights: Iterable[Fraction]) -> Distribution:
    return {s: weight for s, weight in zip(states, weights, strict=True) if weight}


def _moved(weights: Mapping[int, Fraction], chain: Chain) -> Distribution:
    """The weights one step of the chain later."""
    then: Distribution = {}
    for state, weight in weights.items():
        for successor, chance in chain[state].items():
            then[successor] = then.get(successor, Fraction()) + weight * chance
    return then


def _reachable(chain: Chain, state: int) -> set[int]:
    reached, waiting = {state}, [state]
    while waiting:
        new = set(chain[waiting.pop()]) - reached
        reached |= new
        waiting.extend(new)
    return reached
