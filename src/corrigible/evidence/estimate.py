"""Estimates: a value with its 95 % interval, its n and its method, or nothing at all."""

import math
from dataclasses import dataclass

from corrigible.evidence.checks import is_count, is_number, require, require_text
from corrigible.quantiles import beta_quantile

_TAIL = 0.025  # on each side of a 95 % interval
_NORMAL = 1.959963984540054  # the standard normal's quantile at 1 - _TAIL


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, its n, and how the interval was made.

    Where nothing was measured `value`, `low` and `high` are all None: that is no zero, and a
    limit is neither kept nor passed by it.

    Raises:
        EvidenceError: a part is missing, not finite, or the value lies outside its interval.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str

    def __post_init__(self) -> None:
        require(is_count(self.n), "estimate.n", "a whole number from 0", self.n)
        object.__setattr__(self, "n", int(self.n))  # numpy's counts are welcome
        require_text("estimate.method", self.method)
        parts = (self.value, self.low, self.high)
        if self.value is None or self.low is None or self.high is None:
            require(parts == (None, None, None), "estimate", "whole or not measured", parts)
            return
        require(all(map(is_number, parts)), "estimate", "of finite numbers", parts)
        require(self.low <= self.value <= self.high, "estimate", "low <= value <= high", parts)
        require(self.n > 0, "estimate.n", "at least 1 where something was measured", self.n)
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)  # no -0.0

    @property
    def measured(self) -> bool:
        """Whether there is a value at all."""
        return self.value is not None

    @property
    def width(self) -> float:
        """The width of the interval; infinite where nothing was measured."""
        return self.at_most - self.at_least

    @property
    def at_least(self) -> float:
        """The lower bound; minus infinity where nothing was measured."""
        return -math.inf if self.low is None else self.low

    @property
    def at_most(self) -> float:
        """The upper bound; infinity where nothing was measured, so within no limit."""
        return math.inf if self.high is None else self.high


def share_estimate(successes: int, n: int, *, possible: int | None = None) -> Estimate:
    """Estimate a share from `successes` in `n` independent cases, by Clopper and Pearson (1934).

    The interval covers the true share with probability 0.95 or more, whatever that share is.

    Args:
        successes: cases that certainly count; the value is their share.
        n: all cases; with none of them nothing was measured.
        possible: `successes` and the cases that an error left undecided.  The interval then runs
            from the lower end for `successes` to the upper end for `possible`.

    Raises:
        EvidenceError: not `0 <= successes <= possible <= n`.
    """
    most = successes if possible is None else possible
    counts = (successes, most, n)
    ordered = all(map(is_count, counts)) and successes <= most <= n
    require(ordered, "(successes, possible, n)", "whole numbers in rising order", counts)
    if n == 0:
        return not_measured()
    low = 0.0 if successes == 0 else beta_quantile(_TAIL, successes, n - successes + 1)
    high = 1.0 if most == n else beta_quantile(1 - _TAIL, most + 1, n - most)
    undecided = f", {most - successes} undecided" if most > successes else ""
    return Estimate(successes / n, low, high, n, f"Clopper-Pearson 95 %{undecided}")


def mean_estimate(values_sum: float, squares_sum: float, n: int, *, slack: float = 0.0) -> Estimate:
    """Estimate a mean from `n` independent values' sum and sum of squares.

    The interval is the normal one, mean ± 1.96 s / √n, widened by `slack` on both sides: it
    holds for large n and values of finite variance, and not for a few values that are all equal.
    With fewer than two values there is no spread to go by: not measured.

    Args:
        values_sum: the values' sum, in the unit of the result.
        squares_sum: the sum of their squares.
        n: how many values.
        slack: the most by which any single value may be off, as a solver certified it.

    Raises:
        EvidenceError: a number is not finite, `slack` is negative, or the sums contradict
            each other (`n * squares_sum` is below `values_sum ** 2`).
    """
    require(is_count(n), "n", "a whole number from 0", n)
    sums = (values_sum, squares_sum, slack)
    require(all(map(is_number, sums)) and slack >= 0, "sums, slack", "finite, slack >= 0", sums)
    if n < 2:  # noqa: PLR2004  (two values have a spread, one has none)
        return not_measured(n)
    squares_about_mean = squares_sum - values_sum * values_sum / n
    possible = squares_about_mean >= -1e-9 * squares_sum  # as far as rounding goes
    require(possible, "(sum, squares, n)", "the sums of n numbers", (*sums[:2], n))
    mean = values_sum / n
    half = _NORMAL * math.sqrt(max(squares_about_mean, 0.0) / (n - 1) / n) + slack
    widened = f", ± {slack:.2g} of the solver" if slack else ""
    return Estimate(mean, mean - half, mean + half, n, f"normal 95 %{widened}")


def exact_estimate(value: float, n: int) -> Estimate:
    """Return a value that was counted or computed over all there is: its interval is itself."""
    return Estimate(value, value, value, n, "exact")


def not_measured(n: int = 0) -> Estimate:
    """Return the estimate of what was not measured; `n` cases were tried all the same."""
    return Estimate(None, None, None, n, "not measured")
