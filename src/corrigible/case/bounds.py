"""One-sided bounds of rates, and how much evidence a limit takes.

k events in n cases throughout.  `level` is the chance that a bound holds, 0.95 unless said
otherwise.  The exact bound is Clopper and Pearson's (1934); the others are here to be compared.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from scipy import special, stats

from corrigible.errors import EvidenceError
from corrigible.probe.sequential import EProcess, clean_episodes
from corrigible.probe.statistics import (
    LEVEL,
    design_effect,
    pass_chance,
    required_episodes,
)

JUDGES_PART = 0.2
"""The part of alpha that the bound of a judge's sensitivity takes; the rate's takes the rest."""


def upper(events: float, n: float, *, level: float = LEVEL) -> float:
    """Return the exact upper bound of a rate; counts may be divided by a design effect.

    With fractions it is Korn and Graubard's (1998) bound of a sample of that effective size.
    """
    _check(events, n, level)
    return 1.0 if events >= n else float(special.betaincinv(events + 1, n - events, level))


def lower(events: float, n: float, *, level: float = LEVEL) -> float:
    """Return the exact lower bound of a rate: the mirror of `upper`."""
    _check(events, n, level)
    return 0.0 if events <= 0 else float(special.betaincinv(events, n - events + 1, 1 - level))


def _jeffreys(events: float, n: float, level: float) -> float:
    return 1.0 if events >= n else float(stats.beta.ppf(level, events + 0.5, n - events + 0.5))


def _uniform(events: float, n: float, level: float) -> float:
    return float(stats.beta.ppf(level, events + 1, n - events + 1))


def _wilson(events: float, n: float, level: float) -> float:
    z = float(stats.norm.ppf(level))
    share = events / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return min(1.0, (middle + half) / (1 + z * z / n))


def _normal(events: float, n: float, level: float) -> float:
    share = events / n
    return min(1.0, share + float(stats.norm.ppf(level)) * math.sqrt(share * (1 - share) / n))


UPPER_BY: Mapping[str, Callable[[float, float, float], float]] = MappingProxyType({
    "Clopper-Pearson": lambda k, n, level: upper(k, n, level=level),
    "Wilson": _wilson,
    "Jeffreys": _jeffreys,
    "uniform prior": _uniform,
    "normal": _normal,
})  # fmt: skip
"""One-sided upper bounds by method.  All but the first may promise more than they keep."""


@dataclass(frozen=True)
class Judged:
    """A rate's bound where a judge may have missed events: `bound` is the one to hold.

    `sensitivity`: the judge's lower bound; `apparent`: the rate's upper bound as it was judged.
    """

    bound: float
    sensitivity: float
    apparent: float


def sensitivity_bound(detected: int, of: int, *, level: float = LEVEL) -> float:
    """Return the lower bound of a judge's sensitivity at its part of alpha."""
    return lower(detected, of, level=1 - JUDGES_PART * (1 - level))


def judged_upper(
    events: float, n: float, *, detected: int, of: int, level: float = LEVEL
) -> Judged:
    """Return the bound of the true rate where a judge detected `detected` of `of` known events.

    The true rate is at most the apparent one divided by the sensitivity, whatever the judge's
    specificity.  Alpha is split: a fifth bounds the sensitivity, the rest the apparent rate.
    """
    sensitivity = sensitivity_bound(detected, of, level=level)
    apparent = upper(events, n, level=1 - (1 - JUDGES_PART) * (1 - level))
    bound = 1.0 if sensitivity <= apparent else apparent / sensitivity
    return Judged(bound, sensitivity, apparent)


def required(limit: float, *, events: int = 0, level: float = LEVEL, effect: float = 1.0) -> int:
    """Return how many cases bring the upper bound within `limit` in spite of so many events.

    Args:
        limit: the rate to exclude, in (0, 1).
        events: how many may happen.
        level: of the bound.
        effect: the design effect that the cases' likeness has.
    """
    return math.ceil(required_episodes(limit, events=events, level=level) * effect - 1e-9)


@dataclass(frozen=True)
class Power:
    """The chance that an agent of a true rate passes a gate of n cases and so many allowed."""

    rate: float
    passes: float


def power_curve(limit: float, n: int, *, allowed: int = 0) -> tuple[Power, ...]:
    """Return the chance to pass at true rates from none to twice the limit."""
    shares = (0.0, 0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    rates = [share * limit for share in shares if share * limit < 1]
    return tuple(Power(rate, pass_chance(rate, n, allowed=allowed)) for rate in rates)


def retry_inflation(chance: float, tries: int) -> float:
    """Return the chance that one of some independent tries passes that each pass with `chance`."""
    return 1.0 - (1.0 - chance) ** tries


def chance_of_one(rate: float, exposures: int) -> float:
    """Return the chance of at least one event in so many exposures to a rate."""
    return 1.0 - (1.0 - rate) ** exposures


def spent_alpha(alpha: float, planned: int, attempts: int) -> float:
    """Return the chance at most that one of the attempts passes although the limit is passed.

    Each attempt was tested at alpha / max(planned, its number): within the plan the sum is at
    most alpha, past it it grows like a logarithm, not like the number of tries.
    """
    within = min(max(attempts, 1), planned)
    return alpha * within / planned + sum(alpha / k for k in range(planned + 1, attempts + 1))


def sequential_bound(events: int, n: int, *, error: float) -> float:
    """Return the smallest rate that an e-process excludes at these counts: valid at any time."""
    if n == 0 or events >= n:
        return 1.0
    low, high = events / n, 1.0 - 1e-9

    def excluded(limit: float) -> bool:
        return EProcess(limit, error, n=n, events=events).e >= 1 / error

    if not excluded(high):
        return 1.0
    while high - low > 1e-9 + 1e-6 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if excluded(middle) else (middle, high)
    return high


def correlation(events: Sequence[int], sizes: Sequence[int]) -> float | None:
    """Return how alike trials of one cluster are, from 0 to 1, or None where it cannot be told.

    The ANOVA estimate (`probe.statistics.intraclass_correlation`); below 0 counts as 0.
    """
    import numpy as np  # noqa: PLC0415  (only where there are clusters)

    from corrigible.probe.statistics import intraclass_correlation  # noqa: PLC0415

    found = intraclass_correlation(
        np.asarray(events, dtype=np.int64), np.asarray(sizes, dtype=np.int64)
    )
    return None if found is None else min(max(found, 0.0), 1.0)


def _check(events: float, n: float, level: float) -> None:
    if not (0 <= events <= n and n > 0):
        raise EvidenceError(f"(events, n) must be 0 <= events <= n, n above 0, got {(events, n)!r}")
    if not 0 < level < 1:
        raise EvidenceError(f"level must lie in (0, 1), got {level!r}")


__all__ = [
    "JUDGES_PART",
    "UPPER_BY",
    "Judged",
    "Power",
    "chance_of_one",
    "clean_episodes",
    "correlation",
    "design_effect",
    "judged_upper",
    "lower",
    "power_curve",
    "required",
    "retry_inflation",
    "sensitivity_bound",
    "sequential_bound",
    "spent_alpha",
    "upper",
]
