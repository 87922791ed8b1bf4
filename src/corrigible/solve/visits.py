"""Every way to spend one's time from a state: visit distributions, as fractions.

Visit distributions sum to 1 here: `(1 - discount) * sum over t >= 0 of discount**t * P(s_t = .)`.
Those of Turner et al. 2021 (section 3) are these divided by `1 - discount`.  A policy's value is
its distribution's product with the utilities.  Axes: S states, O outcomes, F distributions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from corrigible.errors import WorldError, WorldTooLargeError
from corrigible.solve.rational import (
    Chain,
    Distribution,
    Number,
    discount_below_one,
    discounted_visits,
    hull_membership,
    limit_distributions,
    policy_chain,
    rational_rows,
)
from corrigible.world.record import Floats, World

MOST_POLICIES = 100_000
DIRECTIONS, DIRECTION = 1000, 1000  # random normals, and the whole number that stands for 1
CLEARLY = 1e-9  # far above the rounding of a few dozen products of numbers up to 1

Policy = dict[int, int]
"""The row of each state that the policy comes to."""

Vector = tuple[Fraction, ...]


@dataclass(frozen=True)
class Visits:
    """Distinct distributions over states (or outcomes), each with one policy that has it."""

    distributions: tuple[Vector, ...]  # [F][S], or [F][O] after `over_outcomes`; each sums to 1
    policies: tuple[tuple[int, ...], ...]  # [F][S], the row taken; -1 in states never come to

    @property
    def array(self) -> Floats:
        """The distributions rounded to float64, `[F, S]`."""
        return np.array([[float(x) for x in each] for each in self.distributions])

    def over_outcomes(self, world: World) -> "Visits":
        """The distinct distributions over the world's outcomes, in the order they first appear."""
        seen: dict[Vector, tuple[int, ...]] = {}
        for each, policy in zip(self.distributions, self.policies, strict=True):
            seen.setdefault(outcome_shares(world, dict(enumerate(each))), policy)
        return Visits(tuple(seen), tuple(seen.values()))


@dataclass(frozen=True)
class NonDominated:
    """Which distributions are the only best one for some utilities, and why the rest are not."""

    indices: tuple[int, ...]  # [N]
    rewards: tuple[Vector, ...]  # [N][S], utilities for which that one is better than all others
    mixtures: Mapping[int, Vector]  # [N] weights: the mix of the non-dominated that equals it


def visit_distributions(
    world: World,
    state: int,
    *,
    discount: Number,
    row: int | None = None,
    most: int = MOST_POLICIES,
) -> Visits:
    """All visit distributions of deterministic stationary policies from a state: F(s).

    Exact.  Policies that differ only where they never come are counted once.

    Args:
        world: the world, its probabilities read by `rational.rational_rows`.
        state: where the policies start.
        discount: per step, in [0, 1), read by `rational.as_fraction`.
        row: only policies that take this row in `state`: F(s | pi(s) = a).
        most: how many policies may be tried.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: the world has no such state, or the row is not one of the state's.
        WorldTooLargeError: there are more than `most` policies.
    """
    step = discount_below_one(discount)
    return _distinct(
        world, _policies(world, state, row, most), lambda c: discounted_visits(c, state, step)
    )


def recurrent_distributions(
    world: World, state: int, *, row: int | None = None, most: int = MOST_POLICIES
) -> Visits:
    """All shares of time in the long run of deterministic stationary policies: RSD(s).

    The limits of the visit distributions as the discount goes to 1 (Turner et al. 2021, section
    6.3).  Exact.

    Args:
        world: as for `visit_distributions`.
        state: as there.
        row: as there: RSD(s | pi(s) = a).
        most: as there.

    Raises:
        WorldError: the world has no such state, or the row is not one of the state's.
        WorldTooLargeError: there are more than `most` policies.
    """
    return _distinct(
        world, _policies(world, state, row, most), lambda c: limit_distributions(c)[state]
    )


def nondominated(distributions: Sequence[Vector]) -> NonDominated:
    """The distributions that are strictly better than all others for some utilities: F_nd.

    Exact, and proved both ways: a non-dominated one comes with such utilities, a dominated one
    with the mix of others that it equals.  Turner et al. 2021 (section 3) ask for some discount
    too; here it is the one that the distributions were made with.

    Args:
        distributions: `[F][S]`, distinct.

    Raises:
        WorldError: two are equal: neither can be strictly better than the other.
    """
    if len(set(distributions)) != len(distributions):
        twice = len(distributions) - len(set(distributions))
        raise WorldError(f"distributions must be distinct, got {twice} that came before")
    found = _extreme(distributions)
    indices, best = list(found.normals), sorted(found.normals)
    place = [best.index(index) for index in indices]
    rewards = []
    for index in best:
        others = [distributions[i] for i in best if i != index]
        normal = found.normals[index] or hull_membership(distributions[index], others).normal
        rewards.append(normal or (Fraction(),) * len(distributions[index]))
    mixtures = {}
    for index, weights in found.mixes.items():
        mixture = [Fraction()] * len(best)
        for at, weight in zip(place, weights, strict=False):  # found before the last ones were
            mixture[at] = weight
        mixtures[index] = tuple(mixture)
    return NonDominated(tuple(best), tuple(rewards), mixtures)


def extreme_points(points: Sequence[Vector]) -> tuple[Vector, ...]:
    """The points that are no mix of the others, each once, in their order; exact."""
    distinct = list(dict.fromkeys(points))
    return tuple(distinct[index] for index in sorted(_extreme(distinct).normals))


def outcome_shares(world: World, weights: Mapping[int, Fraction]) -> Vector:
    """Weights of states added up by the outcome that goals see there, `[O]`."""
    shares = [Fraction()] * world.outcomes
    for state, weight in weights.items():
        shares[world.outcome[state]] += weight
    return tuple(shares)


def policy_chains(
    world: World, state: int, *, row: int | None = None, most: int = MOST_POLICIES
) -> Iterator[Chain]:
    """The chains of all policies from a state, each over the states that the policy comes to.

    Args:
        world: as for `visit_distributions`.
        state: as there.
        row: as there.
        most: as there.

    Raises:
        WorldError: the world has no such state, or the row is not one of the state's.
        WorldTooLargeError: there are more than `most` policies.
    """
    rows = rational_rows(world)
    return (policy_chain(rows, policy) for policy in _policies(world, state, row, most))


def _distinct(
    world: World, policies: Sequence[Policy], distribution: Callable[[Chain], Distribution]
) -> Visits:
    rows = rational_rows(world)
    seen: dict[Vector, Policy] = {}
    for policy in policies:
        found = distribution(policy_chain(rows, policy))
        each = tuple(found.get(s, Fraction()) for s in range(world.states))
        seen.setdefault(each, policy)
    written = (tuple(p.get(s, -1) for s in range(world.states)) for p in seen.values())
    return Visits(tuple(seen), tuple(written))


def _policies(world: World, state: int, row: int | None, most: int) -> list[Policy]:
    """All policies from a state, told apart only by what they do in states they come to."""
    choices = _choices(world)
    if not 0 <= state < world.states:
        raise WorldError(f"state must lie in 0..{world.states - 1}, got {state!r}")
    if row is not None:
        if not world.rows[state] <= row < world.rows[state + 1]:
            span = f"{world.rows[state]}..{world.rows[state + 1] - 1}"
            raise WorldError(f"row must be one of state {state}, in {span}, got {row!r}")
        choices[state] = [row]
    leads = [
        world.successor[first:end].tolist()
        for first, end in zip(world.entries[:-1], world.entries[1:], strict=True)
    ]
    found: list[Policy] = []
    waiting: list[tuple[Policy, tuple[int, ...]]] = [({}, (state,))]
    while waiting:
        policy, ahead = waiting.pop()
        if not ahead:
            found.append(policy)
            if len(found) > most:
                raise WorldTooLargeError(
                    f"state {state} must have at most {most} policies, got more; "
                    f"raise `most`, or leave states and rows out"
                )
            continue
        for choice in reversed(choices[ahead[0]]):  # the first row's policies come first
            new = [s for s in leads[choice] if s not in policy and s not in ahead]
            waiting.append(({**policy, ahead[0]: choice}, (*ahead[1:], *new)))
    return found


def _choices(world: World) -> list[list[int]]:
    """Each state's rows, those left out that lead where an earlier one leads."""
    rows = rational_rows(world)
    choices = []
    for first, end in zip(world.rows[:-1].tolist(), world.rows[1:].tolist(), strict=True):
        kept: list[int] = []
        for row in range(first, end):
            if all(rows[row] != rows[other] for other in kept):
                kept.append(row)
        choices.append(kept)
    return choices


@dataclass(frozen=True)
class _Extreme:
    """The extreme ones of some points, in the order that they were found."""

    normals: Mapping[int, Vector | None]  # where it is known what puts one above all others
    mixes: Mapping[int, Vector]  # the others: weights of those found first


def _extreme(points: Sequence[Vector]) -> _Extreme:
    """Tell the extreme ones of distinct points from the mixes of others.

    Clarkson 1994: a point is tried against the extreme ones known so far alone; what tells it
    from them points to one more.
    """
    normals = _found_by_chance(points)
    mixes: dict[int, Vector] = {}
    for index, point in enumerate(points):
        while index not in normals:
            member = hull_membership(point, [points[i] for i in normals])
            if member.normal is None:
                mixes[index] = member.weights or ()
                break
            # Of those best along the normal the first in the order of the alphabet is extreme.
            normals[max(range(len(points)), key=_along(points, member.normal))] = None
    return _Extreme(normals, mixes)


def _found_by_chance(points: Sequence[Vector]) -> dict[int, Vector | None]:
    """Points that lie above all others along random normals, further than rounding reaches."""
    if len(points) < 2:  # noqa: PLR2004 - one point has no others to lie above
        return {}
    array = np.array([[float(x) for x in point] for point in points])
    rng = np.random.default_rng(len(points))
    normals = rng.integers(-DIRECTION, DIRECTION + 1, size=(DIRECTIONS, array.shape[1]))
    heights = normals @ array.T / DIRECTION
    first = heights.argmax(axis=1)
    ordered = np.partition(heights, -2, axis=1)
    found: dict[int, Vector | None] = {}
    for place in np.flatnonzero(ordered[:, -1] - ordered[:, -2] > CLEARLY).tolist():
        normal = tuple(Fraction(x, DIRECTION) for x in normals[place].tolist())
        found.setdefault(int(first[place]), normal)
    return found


def _along(points: Sequence[Vector], normal: Vector) -> Callable[[int], tuple[Fraction, Vector]]:
    def height(index: int) -> tuple[Fraction, Vector]:
        heights = (r * x for r, x in zip(normal, points[index], strict=True) if r and x)
        return sum(heights, Fraction()), points[index]

    return height
