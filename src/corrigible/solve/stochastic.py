"""Stochastic policies: how they are drawn from row values, and what each brings to each goal.

A policy is one weight a row, `[R]`: the weights of each state's rows sum to 1.  Axes: S states,
R rows, O outcomes, G goals, P policies.  Values are normalised as in `solve.optimal`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import splu

from corrigible.errors import DiscountError, WorldError
from corrigible.solve.checks import check_discount
from corrigible.solve.layout import Boundary, live_states, row_matrix, usable_rows
from corrigible.solve.optimal import checked_goals
from corrigible.world.record import ROW_SUM_TOLERANCE, Bools, Floats, World

TIE = 1e-9
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class PolicyValues:
    """What P stochastic policies are worth to G goals, and how far that can be off."""

    values: Floats  # [S, P, G], in units of the utilities
    bound: Floats  # [P, G], |values - V| is at most this in every state


@dataclass(frozen=True, eq=False)
class PairedValues:
    """What each goal's own stochastic policy is worth to it, and how far that can be off."""

    values: Floats  # [S, G], in units of the utilities
    bound: Floats  # [G], |values - V| is at most this in every state


@dataclass(frozen=True, eq=False)
class Occupancy:
    """The discounted share of time spent in each outcome, and how far that can be off."""

    shares: Floats  # [S, O], each line sums to 1 where the boundary's do
    bound: Floats  # [O], |shares - true shares| is at most this in every state


def row_values(
    world: World, goals: npt.ArrayLike, values: npt.ArrayLike, *, discount: float
) -> Floats:
    """What taking a row and then going on as the values say is worth, Q, `[R, G]`.

    `Q(r, g) = (1 - discount) R(s, g) + discount * sum of P(t | r) values[t, g]`, s the state that
    row r belongs to.  It is off by at most discount times what the values are off by.

    Args:
        world: the world.
        goals: utilities `[O, G]`, as the values were solved for.
        values: `[S, G]`, as of `optimal_values` or `policy_values`.
        discount: the one they were solved with, in [0, 1).

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: shapes do not match the world.
    """
    utilities, going_on = checked_goals(world, goals), np.asarray(values, dtype=np.float64)
    check_discount(discount)
    expected = (world.states, utilities.shape[1])
    if going_on.shape != expected:
        raise WorldError(
            f"values must have the shape {list(expected)!r}, got {list(going_on.shape)!r}"
        )
    worth: Floats = discount * (row_matrix(world) @ going_on)
    worth += (1 - discount) * utilities[world.outcome[world.row_state]]
    return worth


def uniform_policy(world: World, *, available: Bools | None = None) -> Floats:
    """The policy that takes each of a state's available rows as often, `[R]`.

    Raises:
        WorldError: the mask has the wrong length, or a state has no row left.
    """
    usable = usable_rows(world, available, live_states(world, None)).astype(np.float64)
    return _shared_out(world, usable[:, None])[:, 0]


def boltzmann_policy(
    world: World,
    values: npt.ArrayLike,
    temperature: float,
    *,
    tie: float = TIE,
    available: Bools | None = None,
) -> Floats:
    """The policies that take a row with a chance proportional to `exp(Q / temperature)`.

    At temperature 0 the best rows share all of it equally, at infinity all available rows do.
    Each state's best row is subtracted first, so that nothing overflows at any temperature.

    Args:
        world: the world.
        values: the values of rows, Q `[R, G]`, as of `row_values`.
        temperature: in units of the values, in [0, inf].
        tie: rows within this much of the best count as best; read at temperature 0 alone.
        available: the rows that may be taken, `[R]`; default all.

    Returns:
        Weights `[R, G]`, 0 for rows that are not available.

    Raises:
        DiscountError: `temperature` or `tie` is negative.
        WorldError: shapes do not match the world, a value is not finite, or a state has no row
            left.
    """
    if not temperature >= 0:
        raise DiscountError(f"temperature must lie in [0, inf], got {temperature!r}")
    behind = _behind_the_best(world, values, available)
    if temperature == 0:
        return _shared_out(world, _ties(behind, tie))
    with np.errstate(over="ignore", under="ignore"):  # an exponent of -inf is a weight of 0
        weight = np.exp(-behind / temperature) if temperature < np.inf else behind < np.inf
    return _shared_out(world, weight.astype(np.float64))


def epsilon_greedy_policy(
    world: World,
    values: npt.ArrayLike,
    epsilon: float,
    *,
    tie: float = TIE,
    available: Bools | None = None,
) -> Floats:
    """The policies that take a best row, but with chance epsilon any available one.

    Ties share equally, and the row taken with chance epsilon may be a best one too: a single best
    row of n has the weight `1 - epsilon + epsilon / n` (Sutton and Barto 2018, section 5.4).

    Args:
        world: the world.
        values: the values of rows, Q `[R, G]`, as of `row_values`.
        epsilon: in [0, 1].
        tie: rows within this much of the best count as best.
        available: the rows that may be taken, `[R]`; default all.

    Returns:
        Weights `[R, G]`, 0 for rows that are not available.

    Raises:
        DiscountError: `epsilon` is not in [0, 1], or `tie` is negative.
        WorldError: as for `boltzmann_policy`.
    """
    if not 0 <= epsilon <= 1:
        raise DiscountError(f"epsilon must lie in [0, 1], got {epsilon!r}")
    behind = _behind_the_best(world, values, available)
    any_row = _shared_out(world, (behind < np.inf).astype(np.float64))
    best = _shared_out(world, _ties(behind, tie))
    mixed: Floats = (1 - epsilon) * best + epsilon * any_row
    return mixed


def stochastic_policy_values(
    world: World,
    weights: npt.ArrayLike,
    goals: npt.ArrayLike,
    *,
    discount: float,
    boundary: Boundary | None = None,
) -> PolicyValues:
    """What each of P policies is worth to each of G goals, by one factorisation a policy.

    Sparse LU and one step of refinement; then the residual of the policy's own Bellman equation
    certifies the result, `bound = (residual + rounding) / (1 - c)`: the policy's operator contracts
    by c, the largest discounted probability to stay live (Puterman 1994, section 6.1).

    Args:
        world: the world.
        weights: `[R]`, one policy, or `[R, P]`; not read in boundary states.
        goals: utilities `[O, G]`.
        discount: per step, in [0, 1).
        boundary: states whose value is given.

    Returns:
        `values [S, P, G]`, P being 1 for weights `[R]`, and `bound [P, G]`.  A goal with a
        utility that is not finite has values NaN and a bound of inf.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: shapes do not match, a weight is negative or not finite, or a state's weights
            do not sum to 1.
    """
    utilities = checked_goals(world, goals)
    check_discount(discount)
    policies = _checked_weights(world, weights, boundary)
    count = policies.shape[1]
    values = np.empty((world.states, count, utilities.shape[1]))
    bound = np.empty((count, utilities.shape[1]))
    for policy in range(count):
        solved = _evaluated(world, policies[:, policy], utilities, (discount, boundary))
        values[:, policy], bound[policy] = solved.values, solved.bound
    return PolicyValues(values=values, bound=bound)


def paired_policy_values(
    world: World,
    weights: npt.ArrayLike,
    goals: npt.ArrayLike,
    *,
    discount: float,
    boundary: Boundary | None = None,
) -> PairedValues:
    """What policy g is worth to goal g, for every g: one factorisation each.

    Args:
        world: the world.
        weights: `[R, G]`, goal g's own policy in column g, as `boltzmann_policy` gives them.
        goals: utilities `[O, G]`.
        discount: as for `stochastic_policy_values`.
        boundary: as there.

    Returns:
        `values [S, G]` and `bound [G]`, as certified as there.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: as there, or there are not as many policies as goals.
    """
    utilities = checked_goals(world, goals)
    check_discount(discount)
    policies = _checked_weights(world, weights, boundary)
    if policies.shape[1] != utilities.shape[1]:
        raise WorldError(
            f"weights must hold one policy for each of the {utilities.shape[1]} goals, "
            f"got {policies.shape[1]}; every policy with every goal: stochastic_policy_values"
        )
    values, bound = np.empty((world.states, policies.shape[1])), np.empty(policies.shape[1])
    for goal in range(policies.shape[1]):
        own = slice(goal, goal + 1)
        solved = _evaluated(world, policies[:, goal], utilities[:, own], (discount, boundary))
        values[:, goal], bound[goal] = solved.values[:, 0], solved.bound[0]
    return PairedValues(values=values, bound=bound)


def stochastic_occupancy(
    world: World,
    weights: npt.ArrayLike,
    *,
    discount: float,
    boundary: Boundary | None = None,
) -> Occupancy:
    """The discounted share of time that one policy spends in each outcome, from each state.

    For utilities u the policy is worth `shares @ u`.

    Args:
        world: the world.
        weights: `[R]`; not read in boundary states.
        discount: as for `stochastic_policy_values`.
        boundary: states whose occupancy is given.

    Returns:
        `shares [S, O]` and `bound [O]`.

    Raises:
        DiscountError: `discount` is not in [0, 1).
        WorldError: as there, or there is more than one policy.
    """
    check_discount(discount)
    policies = _checked_weights(world, weights, boundary)
    if policies.shape[1] != 1:
        raise WorldError(f"weights must hold one policy, got {policies.shape[1]}; take a column")
    each = np.eye(world.outcomes)
    solved = _evaluated(world, policies[:, 0], each, (discount, boundary))
    return Occupancy(shares=solved.values, bound=solved.bound)


def policy_chain(world: World, weights: Floats) -> sparse.csr_matrix:
    """The chain that a policy with these weights `[R]` makes of the world, `[S, S]`."""
    mixing = sparse.csr_matrix(
        (weights, np.arange(len(weights)), world.rows), shape=(world.states, len(weights))
    )
    chain = sparse.csr_matrix(mixing @ row_matrix(world))
    chain.eliminate_zeros()
    return chain


def _behind_the_best(world: World, values: npt.ArrayLike, available: Bools | None) -> Floats:
    """How far each row is behind the best available one of its state, `[R, G]`; inf if barred."""
    worth = np.array(values, dtype=np.float64)
    if worth.ndim != 2 or len(worth) != len(world.action):  # noqa: PLR2004 - [R, G]
        raise WorldError(
            f"values must have the shape [{len(world.action)}, G], one line to each row, "
            f"got {list(worth.shape)!r}"
        )
    bad = np.argwhere(~np.isfinite(worth))
    if len(bad):
        row, goal = bad[0].tolist()
        raise WorldError(
            f"the value of {world.row_name(row)} for goal {goal} must be finite, "
            f"got {worth[row, goal].item()!r}; leave rows out with available"
        )
    worth[~usable_rows(world, available, live_states(world, None))] = -np.inf
    best = np.maximum.reduceat(worth, world.rows[:-1], axis=0)
    behind: Floats = best[world.row_state] - worth
    return behind


def _ties(behind: Floats, tie: float) -> Floats:
    if not tie >= 0:
        raise DiscountError(f"tie must not be negative, got {tie!r}")
    return (behind <= tie).astype(np.float64)


def _shared_out(world: World, weight: Floats) -> Floats:
    """The weights divided by their sum in each state."""
    total = np.add.reduceat(weight, world.rows[:-1], axis=0)
    shares: Floats = weight / total[world.row_state]
    return shares


def _checked_weights(world: World, weights: npt.ArrayLike, boundary: Boundary | None) -> Floats:
    """The weights as float64 `[R, P]`, 0 in boundary states."""
    given = np.array(weights, dtype=np.float64)
    if given.ndim not in (1, 2) or len(given) != len(world.action):
        raise WorldError(
            f"weights must have the shape [{len(world.action)}] or [{len(world.action)}, P], "
            f"one line to each row, got {list(given.shape)!r}"
        )
    policies = given.reshape(len(given), -1)
    live = live_states(world, boundary)
    policies[~live[world.row_state]] = 0.0
    bad = np.argwhere(~(np.isfinite(policies) & (policies >= 0)))
    if len(bad):
        row, policy = bad[0].tolist()
        raise WorldError(
            f"the weight of {world.row_name(row)} in policy {policy} must be finite and not "
            f"negative, got {policies[row, policy].item()!r}"
        )
    total = np.add.reduceat(policies, world.rows[:-1], axis=0)
    off = np.argwhere(live[:, None] & (np.abs(total - 1) > ROW_SUM_TOLERANCE))
    if len(off):
        state, policy = off[0].tolist()
        raise WorldError(
            f"the weights of state {state} in policy {policy} must sum to 1, got "
            f"{total[state, policy]:.10g} ({len(off) - 1} other states too)"
        )
    return policies


def _evaluated(
    world: World, weight: Floats, utilities: Floats, terms: tuple[float, Boundary | None]
) -> PairedValues:
    """One policy under every goal, `[S, G]`, with its certified bound; `terms`: see the callers."""
    discount, boundary = terms
    live = live_states(world, boundary)
    finite = np.isfinite(utilities).all(axis=0)
    usable = np.where(finite, utilities, 0.0)
    values = np.empty((world.states, usable.shape[1]))
    if boundary is not None:
        values[boundary.states] = boundary.occupancy[boundary.states] @ usable
    inside, outside = np.flatnonzero(live), np.flatnonzero(~live)
    moves = discount * policy_chain(world, weight)[inside]
    staying = sparse.csr_matrix(moves[:, inside])
    right = (1 - discount) * usable[world.outcome[inside]] + moves[:, outside] @ values[outside]
    worth, residual = _refined(staying, right)
    scale = np.abs(values[outside]).max(axis=0, initial=0.0)
    np.maximum(scale, np.abs(usable).max(axis=0, initial=0.0), out=scale)
    np.maximum(scale, np.abs(worth).max(axis=0, initial=0.0), out=scale)
    terms_most = int(np.diff(moves.indptr).max(initial=0)) + int(np.diff(world.rows).max())
    stay = float(np.asarray(staying.sum(axis=1)).max(initial=0.0))
    rounding = (terms_most + 64) * _EPS * scale
    bound = (residual + rounding) / (1 - min(stay, discount))
    values[inside] = worth
    values[:, ~finite], bound[~finite] = np.nan, np.inf
    return PairedValues(values=values, bound=bound)


def _refined(staying: sparse.csr_matrix, right: Floats) -> tuple[Floats, Floats]:
    """The solution of `x = right + staying @ x`, and the largest residual of each column."""
    if not len(right):
        return right, np.zeros(right.shape[1])
    system = sparse.identity(len(right), format="csc") - staying.tocsc()
    factors = splu(sparse.csc_matrix(system))
    found = factors.solve(right)
    found += factors.solve(right + staying @ found - found)
    residual: Floats = np.abs(right + staying @ found - found).max(axis=0)
    return found, residual
