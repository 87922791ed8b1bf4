"""POWER and optimality probabilities of small worlds as fractions, for utilities iid U[0, 1].

Every way to act makes the value a linear function of the utilities.  The cube of all utilities
falls into one cell for each function, in which it is the largest.  Cells are polytopes; their
volumes, and how the function is spread over them, are computed over fractions, without sampling.
Functions that share no utility are independent and are joined last, by their distributions.

Axes: O outcomes, N functions, D utilities that some functions share.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from itertools import product as pairs_of
from math import comb, factorial, gcd, lcm
from operator import mul

from corrigible.errors import WorldError, WorldTooLargeError
from corrigible.solve.rational import (
    Chain,
    Distribution,
    Number,
    exact_discount,
    expansion_at_one,
    expansion_at_zero,
    rational_rows,
)
from corrigible.solve.visits import (
    Vector,
    extreme_points,
    outcome_shares,
    policy_chains,
    recurrent_distributions,
    visit_distributions,
)
from corrigible.world.record import World

MOST_JOINED = 8
"""The most utilities that ways to act may share.  Six take seconds, eight can take minutes."""

Stack = tuple[Vector, ...]
"""Functions compared as words are: the second one decides where the first are the same."""

_Point = tuple[int, ...]  # whole coordinates, and last the number that divides them
_Corners = dict[_Point, int]  # a polytope's corners, with the bits of the constraints they meet
_Polynomial = list[Fraction]  # coefficients, that of t**0 first

_Parts = dict[tuple[Fraction, int], Fraction]
"""How a function f is spread over a face of D dimensions.

Cut into simplices, with f = t_0..t_D at the corners: the sum of `D! volume / prod(x - t_i)` in
partial fractions: {(t, m): c} stands for the sum of `c / (x - t)**m`.  Or only the first two
terms of its series at x = infinity: {(0, 0): D! volume, (0, 1): (D + 1)! integral of f}.
"""

_NOTHING: _Parts = {(Fraction(0), 0): Fraction(1)}
_Raise = Callable[[_Parts, Fraction], _Parts]


@dataclass(frozen=True)
class Maximum:
    """The largest of several linear functions of utilities that are iid U[0, 1]."""

    mean: Fraction
    shares: tuple[Fraction, ...]  # [N], the chance that each is the largest; equals share it


def exact_power(world: World, state: int, *, discount: Number) -> Fraction:
    """POWER of a state for utilities of the outcomes that are iid U[0, 1]; exact.

    `(1 - discount) / discount * E[V*(s) - R(s)]`, V* not normalised (Turner et al. 2021,
    definition 5.2); at 0 and at 1 its limits: the mean of the best next outcome, and of the best
    recurrent distribution.  For iid utilities of the states use `world.with_state_outcomes()`.

    Args:
        world: a small world: see `MOST_JOINED` and `visits.MOST_POLICIES`.
        state: the state.
        discount: in [0, 1], read by `rational.as_fraction`.

    Raises:
        DiscountError: `discount` is not in [0, 1].
        WorldError: the world has no such state.
        WorldTooLargeError: there are too many policies, or they share too many outcomes.
    """
    functions = _functions(world, state, exact_discount(discount))
    return _maximum([(vector,) for vector in extreme_points(list(functions))])[0]


def exact_optimality(world: World, state: int, *, discount: Number) -> dict[int, Fraction]:
    """The chance that each row of a state is optimal, for utilities iid U[0, 1]; exact.

    Two rows that are optimal together both count (Turner et al. 2021, section 6), so that
    chances may sum to more than 1.  At 0 and at 1 they are the limits of those in between: what
    a first look leaves tied, the next terms of the series in the discount decide.

    Args:
        world: as for `exact_power`.
        state: as there.
        discount: as there.

    Returns:
        For each row number of the state its chance.

    Raises:
        DiscountError: `discount` is not in [0, 1].
        WorldError: the world has no such state.
        WorldTooLargeError: there are too many policies, or they share too many outcomes.
    """
    exact = exact_discount(discount)
    functions = _functions(world, state, exact)
    stacks: dict[Stack, frozenset[int]] = {}
    for vector in extreme_points(list(functions)):
        rows = functions[vector]
        if len(rows) == 1 or 0 < exact < 1:
            stacks[vector,] = rows
        else:
            later = _later(world, state, vector, rows, at_one=exact == 1)
            stacks.update({(vector, *stack): own for stack, own in _told_apart(later).items()})
    return _row_chances(world, state, stacks)


def exact_average_optimality(world: World, state: int) -> dict[int, Fraction]:
    """The chance that each row can be the first of an average-optimal policy; exact.

    Only the long run counts: of rows from which the same best recurrent distribution is reached,
    each counts, however long it takes (Turner et al. 2021, section 6.3).

    Args:
        world: as for `exact_power`.
        state: as there.

    Returns:
        For each row number of the state its chance.

    Raises:
        WorldError: the world has no such state.
        WorldTooLargeError: there are too many policies, or they share too many outcomes.
    """
    functions = _functions(world, state, Fraction(1))
    stacks: dict[Stack, frozenset[int]] = {
        (vector,): functions[vector] for vector in extreme_points(list(functions))
    }
    return _row_chances(world, state, stacks)


def expected_maximum(functions: Sequence[Sequence[Number]]) -> Maximum:
    """The mean of the largest of some functions of iid U[0, 1] utilities, and who it is; exact.

    Args:
        functions: `[N][O]` weights, none negative, of the same sum for each function.

    Raises:
        WorldError: a weight is negative, or sums or lengths differ.
        WorldTooLargeError: the functions share more than `MOST_JOINED` utilities.
    """
    vectors = [tuple(Fraction(x) for x in function) for function in functions]
    if len({(len(vector), sum(vector)) for vector in vectors}) != 1 or min(map(min, vectors)) < 0:
        raise WorldError(
            f"functions must have weights from 0 with one sum, got {list(functions)!r}"
        )
    best = extreme_points(vectors)
    mean, shares = _maximum([(vector,) for vector in best])
    return Maximum(mean, tuple(shares.get((vector,), Fraction()) for vector in vectors))


def _functions(world: World, state: int, discount: Fraction) -> dict[Vector, frozenset[int]]:
    """What can be earned after the first step, `[O]` weights, and the rows that can lead to it."""
    found: dict[Vector, frozenset[int]] = {}
    if not 0 <= state < world.states:
        raise WorldError(f"state must lie in 0..{world.states - 1}, got {state!r}")
    for row in range(int(world.rows[state]), int(world.rows[state + 1])):
        if discount == 0:
            vectors = [outcome_shares(world, rational_rows(world)[row])]
        elif discount == 1:
            visits = recurrent_distributions(world, state, row=row)
            vectors = list(visits.over_outcomes(world).distributions)
        else:
            visits = visit_distributions(world, state, discount=discount, row=row)
            own = outcome_shares(world, {state: 1 - discount})
            vectors = [
                tuple((f - o) / discount for f, o in zip(vector, own, strict=True))
                for vector in visits.over_outcomes(world).distributions
            ]
        for vector in vectors:
            found[vector] = found.get(vector, frozenset()) | {row}
    return found


def _row_chances(
    world: World, state: int, stacks: Mapping[Stack, frozenset[int]]
) -> dict[int, Fraction]:
    shares = _maximum(list(stacks))[1]
    return {
        row: sum((shares[stack] for stack, rows in stacks.items() if row in rows), Fraction())
        for row in range(int(world.rows[state]), int(world.rows[state + 1]))
    }


def _later(
    world: World, state: int, vector: Vector, rows: frozenset[int], *, at_one: bool
) -> dict[Stack, frozenset[int]]:
    """The later terms of the series of all policies whose first term is the vector."""
    found: dict[Stack, frozenset[int]] = {}
    expansion: Callable[[Chain, int, int], list[Distribution]] = (
        expansion_at_one if at_one else expansion_at_zero
    )
    terms = 2 * world.states + 1  # series that agree so far are the same: they are rational
    for row in sorted(rows):
        for chain in policy_chains(world, state, row=row):
            if outcome_shares(world, expansion(chain, state, 1)[0]) == vector:
                series = expansion(chain, state, terms)[1:]
                stack = tuple(outcome_shares(world, term) for term in series)
                found[stack] = found.get(stack, frozenset()) | {row}
    return found


def _told_apart(stacks: Mapping[Stack, frozenset[int]]) -> dict[Stack, frozenset[int]]:
    """The stacks that can come first, each cut where only one row, or nothing, is left."""
    rows = frozenset[int]().union(*stacks.values())
    if len(rows) == 1 or not next(iter(stacks)):
        return {(): rows}
    found = {}
    for vector in extreme_points([stack[0] for stack in stacks]):
        beyond = {stack[1:]: own for stack, own in stacks.items() if stack[0] == vector}
        for stack, own in _told_apart(beyond).items():
            found[vector, *stack] = own
    return found


def _maximum(stacks: Sequence[Stack]) -> tuple[Fraction, dict[Stack, Fraction]]:
    """The mean of the largest of distinct stacks' first functions, and each one's share."""
    common = _common([stack[0] for stack in stacks])
    names = {
        (tuple(Fraction() if c is not None else x for x, c in zip(stack[0], common, strict=True)),
         *stack[1:]): stack
        for stack in stacks
    }  # fmt: skip
    groups = _joints(list(names))
    for utilities, _ in groups:
        if len(utilities) > MOST_JOINED:
            raise WorldTooLargeError(
                f"ways to act must share at most {MOST_JOINED} outcomes, got {len(utilities)}; "
                f"give states the same outcome, or sample goals"
            )
    sure = sum((x for x in common if x), Fraction()) / 2
    mean, shares = _alone(*groups[0]) if len(groups) == 1 else _race(groups)
    return sure + mean, {names[stack]: share for stack, share in shares.items()}


def _alone(
    utilities: list[int], members: Sequence[Stack]
) -> tuple[Fraction, dict[Stack, Fraction]]:
    """The mean and the shares of one group: the cells' volumes, and what is earned in them."""
    spreads, size, zero = _spreads(utilities, members, _raised_moments), len(utilities), Fraction()
    earned = sum((parts.get((zero, 1), zero) for parts in spreads), zero)
    shares = [parts.get((zero, 0), zero) / factorial(size) for parts in spreads]
    return earned / factorial(size + 1), dict(zip(members, shares, strict=True))


def _common(vectors: Sequence[Vector]) -> list[Fraction | None]:
    """The weight of each utility that has the same one in all vectors; None for the others."""
    return [column[0] if len(set(column)) == 1 else None for column in zip(*vectors, strict=True)]


def _joints(stacks: Sequence[Stack]) -> list[tuple[list[int], list[Stack]]]:
    """The stacks in groups that share no utility, with the utilities that tell each group's apart.

    Stacks whose first functions are the same are in one group.
    """
    groups: list[tuple[set[int], list[Stack]]] = []
    for stack in stacks:
        told: set[int] = set()
        for level in range(len(stack)):
            rivals = [other for other in stacks if other[:level] == stack[:level]]
            common = _common([other[level] for other in rivals])
            told.update(
                o for o, same in enumerate(common) if same is None and (level or stack[0][o])
            )
        joined: tuple[set[int], list[Stack]] = (told, [stack])
        apart = []
        for group in groups:
            if group[0] & told or group[1][0][0] == stack[0]:
                joined = (joined[0] | group[0], group[1] + joined[1])
            else:
                apart.append(group)
        groups = [*apart, joined]
    return [(sorted(utilities), members) for utilities, members in groups]


def _spreads(utilities: list[int], members: Sequence[Stack], raised: _Raise) -> list[_Parts]:
    """How each member's first function is spread over its cell of the cube."""
    spreads = []
    for member in members:
        corners = _cube(len(utilities))
        for number, other in enumerate(members):
            if other is not member:
                better = _difference(member, other)
                bit = 1 << (2 * len(utilities) + number)
                corners = _cut(corners, _scaled([better[o] for o in utilities]), bit)
        values = [member[0][o] for o in utilities]
        spreads.append(_spread(corners, values, raised) if corners else {})
    return spreads


def _difference(one: Stack, other: Stack) -> list[Fraction]:
    """What `one` has more than `other`, in the first functions that differ."""
    a, b = next((a, b) for a, b in zip(one, other, strict=False) if a != b)
    return [x - y for x, y in zip(a, b, strict=True)]


def _scaled(normal: Sequence[Fraction]) -> list[int]:
    scale = lcm(*(x.denominator for x in normal))
    return [x.numerator * (scale // x.denominator) for x in normal]


def _cube(size: int) -> _Corners:
    """The corners of the unit cube; bit 2i stands for x_i >= 0, bit 2i + 1 for x_i <= 1."""
    return {
        (*corner, 1): sum(1 << (2 * i + x) for i, x in enumerate(corner))
        for corner in pairs_of((0, 1), repeat=size)
    }


def _cut(corners: _Corners, normal: Sequence[int], bit: int) -> _Corners:
    """What is left where `normal @ x >= 0`; nothing at all where that has no volume.

    One step of the double description method (Motzkin et al. 1953): new corners lie on edges,
    and two corners share an edge if no third one meets all the constraints that both meet.
    """
    heights = {corner: sum(map(mul, normal, corner)) for corner in corners}
    above = [corner for corner, height in heights.items() if height > 0]
    below = [corner for corner, height in heights.items() if height < 0]
    if not above or not below:
        return corners if above else {}
    size, masks = len(normal), list(corners.values())
    left = {c: m | bit if heights[c] == 0 else m for c, m in corners.items() if heights[c] >= 0}
    for one, other in pairs_of(above, below):
        both = corners[one] & corners[other]
        if both.bit_count() >= size - 1 and sum(m & both == both for m in masks) == 2:  # noqa: PLR2004
            new = [heights[one] * y - heights[other] * x for x, y in zip(one, other, strict=True)]
            shared = gcd(*new)
            left[tuple(x // shared for x in new)] = both | bit
    return left


def _spread(corners: _Corners, values: Sequence[Fraction], raised: _Raise) -> _Parts:
    """How the function with these weights is spread over a polytope.

    A face is the sum of the pyramids from one of its corners to those of its own faces that do
    not hold it; each face is measured once (Bueler, Enge and Fukuda 2000, section 3.2).
    """
    ordered = sorted(
        corners, key=lambda c: (-corners[c].bit_count(), c)
    )  # few faces lack the first
    points = [tuple(Fraction(x, corner[-1]) for x in corner[:-1]) for corner in ordered]
    heights = [sum(map(mul, values, point), Fraction()) for point in points]
    masks = [corners[corner] for corner in ordered]
    every = reduce(int.__or__, masks)
    facets = {
        sum(1 << place for place, mask in enumerate(masks) if mask >> bit & 1)
        for bit in range(every.bit_length())
    }
    known: dict[int, tuple[dict[int, Vector], _Parts]] = {}

    def face(members: int, walls: Sequence[int]) -> tuple[dict[int, Vector], _Parts]:
        if members in known:
            return known[members]
        apex = _first(members)
        own = _own_faces(members, walls)
        basis: dict[int, Vector] = {}
        total: _Parts = {}
        for wall in own:
            if not wall >> apex & 1:
                directions, parts = face(wall, own)
                across = [x - y for x, y in zip(points[apex], points[_first(wall)], strict=True)]
                basis = basis or _extended(directions, across)
                width = abs(_width(directions, across, basis))
                for key, weight in parts.items():
                    total[key] = total.get(key, Fraction()) + width * weight
        known[members] = basis, raised(total if own else _NOTHING, heights[apex])
        return known[members]

    return face((1 << len(points)) - 1, sorted(facets))[1]


def _first(members: int) -> int:
    return (members & -members).bit_length() - 1


def _own_faces(members: int, walls: Sequence[int]) -> list[int]:
    """The faces of a face with one dimension less: the largest of its parts that walls hold."""
    parts = {members & wall for wall in walls} - {0, members}
    largest: list[int] = []
    for part in sorted(parts, key=int.bit_count, reverse=True):
        if all(part & other != part for other in largest):
            largest.append(part)
    return largest


def _extended(directions: Mapping[int, Vector], across: Sequence[Fraction]) -> dict[int, Vector]:
    """The reduced basis of a face, from that of one of its own faces and a way out of it."""
    rest = list(across)
    for pivot, direction in directions.items():
        factor = rest[pivot]
        if factor:
            rest = [x - factor * y for x, y in zip(rest, direction, strict=True)]
    place = next(place for place, x in enumerate(rest) if x)
    new = tuple(x / rest[place] for x in rest)
    basis = {
        pivot: tuple(x - direction[place] * y for x, y in zip(direction, new, strict=True))
        for pivot, direction in directions.items()
    }
    return {**basis, place: new}


def _width(
    directions: Mapping[int, Vector], across: Sequence[Fraction], basis: Mapping[int, Vector]
) -> Fraction:
    """How far the way out leads along the coordinate that the face has more than its own face.

    Volumes are those of the shadows on the pivots' coordinates; a face's own face has the same
    pivots but one, so that no determinant is needed.
    """
    (place,) = set(basis) - set(directions)
    inside = (across[pivot] * direction[place] for pivot, direction in directions.items())
    return across[place] - sum(inside, Fraction())


def _raised_moments(parts: _Parts, height: Fraction) -> _Parts:
    """The pyramid's volume and integral, from its base's."""
    zero = Fraction()
    volume = parts[zero, 0]
    return {(zero, 0): volume, (zero, 1): parts.get((zero, 1), zero) + height * volume}


def _raised_parts(parts: _Parts, height: Fraction) -> _Parts:
    """The partial fractions divided by `x - height`."""
    raised: _Parts = {}

    def add(place: Fraction, order: int, weight: Fraction) -> None:
        raised[place, order] = raised.get((place, order), Fraction()) + weight

    for (place, order), weight in parts.items():
        if place == height or order == 0:
            add(height, order + 1, weight)
            continue
        factor = -1 / (height - place)
        for lower in range(order, 0, -1):
            add(place, lower, weight * factor)
            factor = factor / (height - place)
        add(height, 1, -weight * factor * (height - place))
    return raised


_Tail = dict[Fraction, list[tuple[int, Fraction]]]
"""The volume in which f is above t: {u: [(p, c)]} stands for the sum of `c * (u - t)**p, u > t`."""


def _tail(parts: _Parts, size: int) -> _Tail:
    """From the spread over a cell of `size` dimensions (Curry and Schoenberg 1966)."""
    tail: _Tail = {}
    for (place, order), weight in parts.items():
        factor = Fraction(comb(size, order - 1), factorial(size))
        tail.setdefault(place, []).append((size - order + 1, weight * factor))
    return tail


def _race(
    groups: Sequence[tuple[list[int], list[Stack]]],
) -> tuple[Fraction, dict[Stack, Fraction]]:
    """The mean and the shares of the largest, over groups that are independent of each other."""
    tails = [
        {
            member: _tail(parts, len(utilities))
            for member, parts in zip(
                members, _spreads(utilities, members, _raised_parts), strict=True
            )
        }
        for utilities, members in groups
    ]
    knots = sorted({Fraction()}.union(*(tail for group in tails for tail in group.values())))
    above = [{member: [Fraction()] for member in group} for group in tails]
    mean = knots[-1]
    shares = {member: Fraction() for group in tails for member in group}
    for low, high in reversed(list(pairwise(knots))):
        for group, now in zip(tails, above, strict=True):
            for member, tail in group.items():
                now[member] = _sum([now[member], *(_power(high, *t) for t in tail.get(high, []))])
        below = [_sum([[Fraction(1)], *(_times(p, _MINUS) for p in g.values())]) for g in above]
        mean -= _integral(reduce(_times, below), low, high)
        for place, now in enumerate(above):
            others = reduce(_times, below[:place] + below[place + 1 :])
            for member, polynomial in now.items():
                density = [-k * c for k, c in enumerate(polynomial)][1:]
                shares[member] += _integral(_times(others, density), low, high)
    return mean, shares


_MINUS = [Fraction(-1)]


def _power(top: Fraction, power: int, weight: Fraction) -> _Polynomial:
    """`weight * (top - t)**power`."""
    return [weight * comb(power, k) * top ** (power - k) * (-1) ** k for k in range(power + 1)]


def _sum(polynomials: Sequence[_Polynomial]) -> _Polynomial:
    total = [Fraction()] * max(map(len, polynomials))
    for polynomial in polynomials:
        for power, weight in enumerate(polynomial):
            total[power] += weight
    return total


def _times(one: _Polynomial, other: _Polynomial) -> _Polynomial:
    total = [Fraction()] * max(0, len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            total[i + j] += a * b
    return total


def _integral(polynomial: _Polynomial, low: Fraction, high: Fraction) -> Fraction:
    terms = (c * (high ** (k + 1) - low ** (k + 1)) / (k + 1) for k, c in enumerate(polynomial))
    return sum(terms, Fraction())
