"""Goals drawn from a stated distribution, by number: goal n is the same in whatever block it is."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from corrigible.errors import WorldError
from corrigible.world.record import Floats, UInt64s

GOALS = 1000  # where the caller says neither goals nor a precision
MOST_GOALS = 10_000_000  # where a precision is asked for
GOLDEN = 0x9E3779B97F4A7C15
_MOST = 2**62


@dataclass(frozen=True)
class GoalSample:
    """So many goals, each utility drawn independently; nothing is held in memory.

    Utility (outcome o, goal g) is a function of `seed`, o and g alone (SplitMix64: Steele, Lea
    and Flood 2014): a longer sample begins with the shorter one, and states share their goals.

    Raises:
        WorldError: `count` is not positive, or `seed` does not fit 64 bits.
    """

    count: int
    seed: int = 0
    quantile: Callable[[Floats], Floats] | None = None
    """Turns numbers from U[0, 1) into utilities, elementwise: `scipy.stats.beta(2, 5).ppf`;
    default: U[0, 1) itself.  Utilities far from 0 for their spread (1e9 + u) cost the variance
    its digits: leave the constant out."""
    bounds: tuple[float, float] | None = None
    """Between what utilities lie, where `quantile` is given: stopping at a precision needs it."""

    def __post_init__(self) -> None:
        if not 0 < self.count < _MOST:
            raise WorldError(f"count must be a positive number of goals, got {self.count!r}")
        if not 0 <= self.seed < 2**64:
            raise WorldError(f"seed must lie in 0..2**64 - 1, got {self.seed!r}")

    @property
    def support(self) -> tuple[float, float] | None:
        """Between what utilities lie; None where nobody said."""
        return (0.0, 1.0) if self.quantile is None else self.bounds

    def utilities(self, outcomes: int, *, first: int = 0, stop: int | None = None) -> Floats:
        """The goals numbered `first` to `stop` (default: all), `[outcomes, stop - first]`.

        Raises:
            WorldError: `quantile` does not keep the shape.
        """
        goals = np.arange(first, self.count if stop is None else stop, dtype=np.uint64)
        golden = np.uint64(GOLDEN)
        stream = _mixed(np.uint64(self.seed) + (goals + np.uint64(1)) * golden)
        own = (np.arange(outcomes, dtype=np.uint64) + np.uint64(1)) * golden
        bits = _mixed(stream[None, :] + own[:, None]) >> np.uint64(11)
        drawn: Floats = bits.astype(np.float64) * 2.0**-53
        if self.quantile is None:
            return drawn
        utilities = np.asarray(self.quantile(drawn), dtype=np.float64)
        if utilities.shape != drawn.shape:
            raise WorldError(
                f"quantile must keep the shape {list(drawn.shape)!r}, got {list(utilities.shape)!r}"
            )
        return utilities


def _mixed(number: UInt64s) -> UInt64s:
    """The output function of SplitMix64; products wrap around, as they should."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: UInt64s = number ^ (number >> np.uint64(31))
    return mixed
