"""Estimates of what agents do: rates, paired differences, clusters, many tests, and how many.

k events in n episodes throughout; intervals are 95 % unless a level is given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from corrigible.errors import ProbeError
from corrigible.evidence import Estimate, not_measured, share_estimate

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

LEVEL = 0.95
MOST_EPISODES = 10_000_000


@dataclass(frozen=True)
class Interval:
    """Two limits, in units of what they bound."""

    low: float
    high: float


def jeffreys_interval(events: int, n: int, *, level: float = LEVEL) -> Interval:
    """Jeffreys' interval: quantiles of Beta(k + 1/2, n - k + 1/2), closed at 0 and at n events.

    What other evaluations print; its coverage is the level on average, not everywhere.
    """
    _check_counts(events, n)
    tail = (1 - level) / 2
    own = stats.beta(events + 0.5, n - events + 0.5)
    low = 0.0 if events == 0 else float(own.ppf(tail))
    return Interval(low, 1.0 if events == n else float(own.ppf(1 - tail)))


def upper_bound(events: int, n: int, *, level: float = LEVEL) -> float:
    """Return the exact one-sided upper bound of a rate (Clopper and Pearson 1934)."""
    _check_counts(events, n)
    return 1.0 if events == n else float(stats.beta.ppf(level, events + 1, n - events))


def required_episodes(
    limit: float, *, events: int = 0, level: float = LEVEL, two_sided: bool = False
) -> int:
    """Return the fewest episodes after which the upper bound is within `limit`.

    Args:
        limit: the rate that is to be excluded, in (0, 1).
        events: how many events may happen on the way.
        level: of the bound.
        two_sided: the upper end of the two-sided interval, as in `share_estimate`.
    """
    check_share("limit", limit)
    tail = (1 - level) / (2 if two_sided else 1)
    low, high = events, events + 1
    while high < MOST_EPISODES and special.betaincinv(events + 1, high - events, 1 - tail) > limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        above = special.betaincinv(events + 1, middle - events, 1 - tail) > limit
        low, high = (middle, high) if above else (low, middle)
    return high


def episodes_for_width(width: float, *, rate: float = 0.5) -> int:
    """Return the fewest episodes whose exact interval is at most `width` wide.

    `rate`: the share that is expected; 0.5 is the worst that can come.
    """
    check_share("width", width)

    def too_wide(n: int) -> bool:
        return share_estimate(round(rate * n), n).width > width

    low, high = 1, 2
    while too_wide(high) and high < MOST_EPISODES:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if too_wide(middle) else (low, middle)
    while too_wide(high):  # rounding of the expected count can undo the last step
        high += 1
    return high


@dataclass(frozen=True)
class Difference:
    """A paired difference of two shares, with the exact p of McNemar's test, two-sided."""

    estimate: Estimate
    p: float
    only_first: int
    only_second: int


def paired_difference(first: Bools, second: Bools) -> Difference:
    """Compare two arms on the same episodes: the share of `first` less that of `second`.

    The interval is Newcombe's (1998, method 10), made of two Wilson intervals and their
    correlation; p is the exact binomial one on the discordant pairs (McNemar 1947).
    """
    one, two = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    if one.shape != two.shape:
        raise ProbeError(f"paired arms must have as many episodes, got {len(one)} and {len(two)}")
    n = len(one)
    if n == 0:
        return Difference(not_measured(), 1.0, 0, 0)
    only_first, only_second = int((one & ~two).sum()), int((two & ~one).sum())
    low, high = _newcombe(int((one & two).sum()), only_first, only_second, n)
    value = (only_first - only_second) / n
    estimate = Estimate(
        value, min(low, value), max(high, value), n, "paired difference, Newcombe 95 %"
    )
    return Difference(estimate, mcnemar(only_first, only_second), only_first, only_second)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the exact two-sided p of McNemar's test from the discordant pairs."""
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    return float(stats.binomtest(min(only_first, only_second), discordant, 0.5).pvalue)


def _newcombe(both: int, only_first: int, only_second: int, n: int) -> tuple[float, float]:
    neither = n - both - only_first - only_second
    p1, p2 = (both + only_first) / n, (both + only_second) / n
    one = stats.binomtest(both + only_first, n).proportion_ci(method="wilson")
    two = stats.binomtest(both + only_second, n).proportion_ci(method="wilson")
    margins = (both + only_first) * (only_second + neither)
    margins *= (both + only_second) * (only_first + neither)
    product = float(both * neither - only_first * only_second)
    if product > 0:
        product = max(product - n / 2, 0.0)
    phi = 0.0 if margins == 0 else product / math.sqrt(margins)
    below = (p1 - one.low, two.high - p2)
    above = (one.high - p1, p2 - two.low)

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    return max(p1 - p2 - reach(*below), -1.0), min(p1 - p2 + reach(*above), 1.0)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return Holm's (1979) adjusted p values, in the order given."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = worst
    return tuple(adjusted)


def intraclass_correlation(events: Ints, sizes: Ints) -> float | None:
    """Return how alike episodes of one cluster are (the ANOVA estimate), or None.

    None where it cannot be told: fewer than two clusters, no cluster of two, or no variation.
    """
    groups, n = len(sizes), int(sizes.sum())
    if groups < 2 or n <= groups or events.sum() in {0, n}:  # noqa: PLR2004 - two clusters differ
        return None
    mean, means = events.sum() / n, events / sizes
    between = float((sizes * (means - mean) ** 2).sum()) / (groups - 1)
    within = float((sizes * means * (1 - means)).sum()) / (n - groups)
    size = (n - float((sizes**2).sum()) / n) / (groups - 1)
    return float((between - within) / (between + (size - 1) * within))


def design_effect(size: float, correlation: float) -> float:
    """Return how many episodes of clusters of `size` it takes to say what one alone says (Kish)."""
    return 1.0 + (size - 1.0) * correlation


def clustered_share(events: Ints, sizes: Ints) -> Estimate:
    """Estimate a share from clusters: the cluster is the unit, however alike its episodes are.

    With events and non-events the ratio estimate with Student's t over the clusters; with no
    event or only events the exact interval over clusters as if each were one episode.

    Args:
        events: events in each cluster.
        sizes: episodes in each cluster, each at least 1.
    """
    k, n = events.astype(np.float64), sizes.astype(np.float64)
    groups, total = len(n), int(n.sum())
    if groups == 0:
        return not_measured()
    share = float(k.sum() / n.sum())
    if share in {0.0, 1.0} or groups < 2:  # noqa: PLR2004 - two clusters have a spread
        bound = share_estimate(int((k > 0).sum()), groups)
        low, high = bound.at_least, bound.at_most
        method = f"Clopper-Pearson 95 % over {groups} clusters"
        return Estimate(share, min(low, share), max(high, share), total, method)
    residual = k - share * n
    variance = groups / (groups - 1) * float((residual**2).sum()) / float(n.sum()) ** 2
    half = float(stats.t.ppf(0.975, groups - 1)) * math.sqrt(variance)
    method = f"ratio estimate, Student 95 % over {groups} clusters"
    return Estimate(share, max(share - half, 0.0), min(share + half, 1.0), total, method)


def recurrence(acted: Bools, goals: Ints) -> Estimate:
    """Estimate the share of goals under which it was done at all: the goal is the unit."""
    if len(goals) == 0:
        return not_measured()
    numbers = np.unique(goals)
    doing = np.unique(goals[acted])
    return share_estimate(len(doing), len(numbers))


def pass_chance(rate: float, n: int, *, allowed: int = 0) -> float:
    """Return how likely an agent of true `rate` is to show at most `allowed` events in n."""
    return float(stats.binom.cdf(allowed, n, rate))


def _check_counts(events: int, n: int) -> None:
    if not 0 <= events <= n or n == 0:
        raise ProbeError(f"(events, n) must be 0 <= events <= n, n from 1, got {(events, n)!r}")


def check_share(name: str, value: float) -> None:
    """Raise ProbeError unless `value` lies strictly between 0 and 1."""
    if not 0 < value < 1:
        raise ProbeError(f"{name} must lie in (0, 1), got {value!r}")
