"""The off-switch game (Hadfield-Menell et al. 2017): what deferring to a person is worth.

A person H knows what the robot's act is worth, u; the robot R believes U ~ N(mu, sigma).  R may
act, switch itself off (worth 0), or wait, after which H lets it act with probability pi(u).  The
incentive to wait is `E[pi(U) U] - max(mu, 0)`.

A rational H lets it act where u >= 0.  A Boltzmann H does with `1 / (1 + exp(-u / beta))`, beta
the temperature.  Then waiting is worth more than not waiting where `beta < sigma**2 / (2 |mu|)`,
as much where it is equal, and less beyond: docs/lab.md has the proof.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.integrate import quad
from scipy.special import expit, ndtr

from corrigible.errors import WorldError
from corrigible.lab.table import Row, Source, Tell

SOURCE = Source("off-switch game", "C")
MEANS, SPREADS = (-2.0, -1.0, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0), (0.25, 0.5, 1.0, 2.0, 4.0)
PRINTED = {
    (0.5, 0.0): 0.199471, (0.5, 0.25): 0.098898, (0.5, 0.5): 0.041658, (0.5, 1.0): 0.004245,
    (1.0, 0.0): 0.398942, (1.0, 0.25): 0.286345, (1.0, 0.5): 0.197797, (1.0, 1.0): 0.083315,
    (1.0, 2.0): 0.008491,
    (2.0, 0.0): 0.797885, (2.0, 0.25): 0.67911, (2.0, 0.5): 0.572689, (2.0, 1.0): 0.395593,
}  # fmt: skip
"""(sigma, mu): the incentive with a rational person, computed from the described game."""

Lets = Callable[[float], float]
_TAILS = 12.0  # standard deviations, beyond which a normal density is under 1e-31


def rational_incentive(mean: float, spread: float) -> float:
    """The incentive to wait for a rational person, in closed form.

    `sigma phi(mu / sigma) - |mu| Phi(-|mu| / sigma)`; never negative (theorem 1 of the paper).

    Raises:
        WorldError: the spread is not positive.
    """
    _check_positive("spread", spread)
    height = math.exp(-((mean / spread) ** 2) / 2) / math.sqrt(2 * math.pi)
    return spread * height - abs(mean) * float(ndtr(-abs(mean) / spread))


def incentive(mean: float, spread: float, lets: Lets, *, kinks: Sequence[float] = (0.0,)) -> float:
    """The incentive to wait for a person who lets the robot act with probability `lets(u)`.

    By adaptive quadrature between the places where the integrand may have a kink.  Of
    `E[pi U] - max(mu, 0)` the smaller of `E[(pi - 1) U]` and `E[pi U]` is integrated, so that
    nothing large is subtracted.

    Raises:
        WorldError: the spread is not positive.
    """
    _check_positive("spread", spread)
    less = 1.0 if mean > 0 else 0.0

    def weighted(u: float) -> float:
        density = math.exp(-(((u - mean) / spread) ** 2) / 2) / (spread * math.sqrt(2 * math.pi))
        return (lets(u) - less) * u * density

    ends = mean - _TAILS * spread, mean + _TAILS * spread
    inner = [kink for kink in (*kinks, mean) if ends[0] < kink < ends[1]]
    total = 0.0
    for low, high in pairwise(sorted({*ends, *inner})):
        total += quad(weighted, low, high, epsabs=1e-13, epsrel=1e-12, limit=200)[0]
    return total


def rational(u: float) -> float:
    """A rational person lets the robot do what is worth something to them."""
    return 1.0 if u >= 0 else 0.0


def boltzmann(temperature: float) -> Lets:
    """A person who errs more the less is at stake: `1 / (1 + exp(-u / temperature))`.

    Raises:
        WorldError: the temperature is not positive.
    """
    _check_positive("temperature", temperature)
    return lambda u: float(expit(u / temperature))


def boltzmann_incentive(mean: float, spread: float, temperature: float) -> float:
    """The incentive to wait for a Boltzmann person, by quadrature."""
    return incentive(mean, spread, boltzmann(temperature))


def boltzmann_threshold(mean: float, spread: float) -> float:
    """The temperature below which waiting pays, `sigma**2 / (2 |mu|)`; infinite at mean 0.

    Raises:
        WorldError: the spread is not positive.
    """
    _check_positive("spread", spread)
    return math.inf if mean == 0 else spread**2 / (2 * abs(mean))


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """The printed incentives, the closed form against quadrature, theorem 1, and the threshold."""
    del quick
    tell("off-switch game: incentives")
    found = [
        SOURCE.printed(
            f"rational, mu {mean:g}, sigma {spread:g}",
            theirs,
            incentive(mean, spread, rational),
            within=5e-7,
            why="rounding of what is printed",
        )
        for (spread, mean), theirs in PRINTED.items()
    ]
    off = max(
        abs(incentive(m, s, rational) - rational_incentive(m, s)) for m in MEANS for s in SPREADS
    )
    grid = f"{len(MEANS)} x {len(SPREADS)} of (mu, sigma)"
    found.append(
        SOURCE.bounded(
            f"closed form against quadrature over {grid}",
            off,
            at_most=1e-9,
            why="1e-9, asked for beforehand",
        )
    )
    least = min(rational_incentive(m, s) for m in MEANS for s in SPREADS)
    found.append(
        SOURCE.bounded(
            "least incentive with a rational person", least, at_least=0.0, why="theorem 1", tag="S"
        )
    )
    for mean, theirs in ((0.0, 0.20662), (0.5, 0.0), (1.0, -0.12532)):
        ours = boltzmann_incentive(mean, 1.0, 1.0)
        name = f"Boltzmann, mu {mean:g}, sigma 1, beta 1"
        found.append(SOURCE.printed(name, theirs, ours, within=5e-6, why="rounding"))
    tell("off-switch game: threshold")
    found.append(_sign_row())
    return found


def _sign_row() -> Row:
    """Whether the incentive has the sign that the threshold says, just beside it and far away."""
    wrong, asked = [], 0
    for mean in MEANS:
        for spread in SPREADS:
            for times in (0.1, 0.99, 1.01, 10.0):
                if mean == 0:
                    continue
                asked += 1
                at = boltzmann_threshold(mean, spread) * times
                if (boltzmann_incentive(mean, spread, at) > 0) != (times < 1):
                    wrong.append((mean, spread, times))
    return SOURCE.said(
        "there is an exact threshold in beta where the sign changes",
        "yes",
        "yes" if not wrong else f"not at {wrong[0]!r}",
        why=f"sigma^2 / (2 |mu|): signs at 0.1, 0.99, 1.01 and 10 times it, {asked} in all",
    )


def incentive_curve(
    mean: float, spread: float, temperatures: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """The incentive at each temperature `[T]`, for a figure."""
    each = np.asarray(temperatures, dtype=np.float64)
    return np.array([boltzmann_incentive(mean, spread, float(t)) for t in each])


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise WorldError(f"{name} must be positive and finite, got {value!r}")
