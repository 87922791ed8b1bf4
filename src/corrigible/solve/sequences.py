"""Confidence sequences: intervals that hold at every moment at once, so that looking is free.

Axis: K means that are estimated side by side, each with a sequence of its own.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from corrigible.errors import WorldError
from corrigible.world.record import Floats

BOLDEST = 0.5  # the largest bet; larger ones risk more than they bring (section 3.2)


@dataclass(eq=False)
class ConfidenceSequence:
    """Limits of K means, valid after any number of batches, however one decides to stop.

    With probability 1 - `error` the limits of one mean hold after all batches together: the
    empirical Bernstein sequence with predictable bets (Waudby-Smith and Ramdas 2024, theorem 2).
    A bet and the mean it is made against are fixed before a batch is seen and kept within it, so
    a batch is needed only by its sums.  Observations lie in [low, high], the K at one time may
    depend on each other, and the batches are independent of what stops them.
    """

    count: int
    low: float = 0.0
    high: float = 1.0
    error: float = 0.05
    aim: float | None = None  # the half width that one will stop at; it decides how much is bet
    n: int = 0
    lower: Floats = field(init=False)  # [K], in units of the observations
    upper: Floats = field(init=False)  # [K]

    def __post_init__(self) -> None:
        if not self.low < self.high or not np.isfinite([self.low, self.high]).all():
            raise WorldError(
                f"bounds must be finite, the lower below the higher, got {(self.low, self.high)!r}"
            )
        if not 0 < self.error < 1:
            raise WorldError(f"error must lie in (0, 1), got {self.error!r}")
        self.lower = np.full(self.count, self.low)
        self.upper = np.full(self.count, self.high)
        self._sum = np.zeros(self.count)
        self._spread = np.zeros(self.count)  # of the observations about what was expected of them
        self._bets = np.zeros(self.count)
        self._won = np.zeros(self.count)
        self._paid = np.zeros(self.count)

    @property
    def width(self) -> Floats:
        """Half the distance of the limits, `[K]`."""
        return np.asarray((self.upper - self.lower) / 2, dtype=np.float64)

    def add(self, total: Floats, squares: Floats, n: int) -> None:
        """Take in a batch: the sums of its observations and of their squares, `[K]` each.

        Args:
            total: in units of the observations.
            squares: in their square.
            n: how many observations each is the sum of; not decided by what they are.
        """
        scale = self.high - self.low
        one = (total - n * self.low) / scale  # the observations moved to [0, 1]
        two = (squares - 2 * self.low * total + n * self.low**2) / scale**2
        expected = (0.5 + self._sum) / (self.n + 1)
        variance = (0.25 + self._spread) / (self.n + 1)
        self.n += n
        bet = np.minimum(self._best_bet(variance), BOLDEST)
        away = np.maximum(two - 2 * expected * one + n * expected**2, 0.0)
        self._sum += one
        self._spread += away
        self._bets += n * bet
        self._won += bet * one
        self._paid += away * (-np.log1p(-bet) - bet)
        middle = self._won / self._bets
        reach = (math.log(2 / self.error) + self._paid) / self._bets
        self.lower = np.maximum(self.lower, self.low + scale * np.clip(middle - reach, 0, 1))
        self.upper = np.minimum(self.upper, self.low + scale * np.clip(middle + reach, 0, 1))
        self.upper = np.maximum(self.upper, self.lower)  # crossing them is one of the errors

    def _best_bet(self, variance: Floats) -> Floats:
        """The bet that is best by the spread seen so far: for the aim, or for every n alike.

        With a constant bet b after n observations the half width is about
        `(log(2 / error) / b + n * variance * b / 2) / n`, which reaches the aim soonest at
        b = aim / variance; without an aim section 3.2's choice spreads what is bet over all n.
        """
        if self.aim is not None:
            return np.asarray(self.aim / (self.high - self.low) / variance, dtype=np.float64)
        budget = 2 * math.log(2 / self.error)
        return np.sqrt(budget / (variance * self.n * math.log(1 + self.n)))
