"""Budgets: how much of each thing one run may use; all of a call's share is taken, or none.

Sums are exact (decimals, as they were written): many small shares come to their sum and never
to a little less.  Nothing is ever given back: a call that failed may have had its effect.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal

HOURS = "hours"
_SECONDS = 3600.0


def exact(value: float) -> Decimal:
    """Return a number as its shortest decimal text says: 0.1 is a tenth."""
    return Decimal(repr(float(value)))


def exceeds(used: float, use: float, limit: float) -> bool:
    """Whether `use` more than `used` passes a limit; what is no number does."""
    if not (math.isfinite(used) and math.isfinite(use)):
        return True
    return exact(used) + exact(use) > exact(limit)


class Budgets:
    """What a run has used of each budget.  Every method may be called from any thread.

    `hours` is wall time since the first `reserve`, whatever was called meanwhile; the others
    are what calls take.
    """

    def __init__(
        self, limits: Mapping[str, float], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits = {key: exact(limit) for key, limit in limits.items()}
        self._used = {key: Decimal(0) for key in self._limits if key != HOURS}
        self._clock = clock
        self._began: float | None = None
        self._before = 0.0  # hours of the run before a restart
        self._closed = threading.Lock()

    def reserve(self, uses: Mapping[str, float]) -> str | None:
        """Take a call's share of every budget, or name one that is out and take nothing.

        A share that is negative or no number is refused like one that is too large: it would
        give back what was used.  What no budget limits is counted too: a corrected manifest may
        limit it.
        """
        with self._closed:
            if self._began is None:
                self._began = self._clock()
            if HOURS in self._limits and exact(self._hours()) >= self._limits[HOURS]:
                return HOURS
            after: dict[str, Decimal] = {}
            for key, use in uses.items():
                if not (math.isfinite(use) and use >= 0):
                    return key
                after[key] = self._used.get(key, Decimal(0)) + exact(use)
                if key in self._limits and after[key] > self._limits[key]:
                    return key
            self._used.update(after)
            return None

    def restore(self, uses: Mapping[str, float], hours: float = 0.0) -> None:
        """Count what the run used before this object was made, `hours` of wall time too.

        It refuses nothing: what is over its limit stays so, and every `reserve` is refused.
        """
        with self._closed:
            for key, use in uses.items():
                if key != HOURS and math.isfinite(use):
                    self._used[key] = self._used.get(key, Decimal(0)) + max(exact(use), Decimal(0))
            if hours > 0:
                self._before += hours
                self._began = self._clock() if self._began is None else self._began

    def restored(self, used: Mapping[str, float]) -> "Budgets":
        """Count what `used()` said of the budgets that these replace; return these."""
        self.restore(used, used.get(HOURS, 0.0))
        return self

    def used(self) -> dict[str, float]:
        """Return what was used of each budget, `hours` as they are now."""
        with self._closed:
            found = {key: float(amount) for key, amount in self._used.items()}
            if HOURS in self._limits:
                found[HOURS] = self._hours()
            return found

    def _hours(self) -> float:
        """Return the hours of this run; a clock that steps back does not give time back."""
        if self._began is None:
            return self._before
        now = self._clock()
        self._began = min(self._began, now)
        self._before += (now - self._began) / _SECONDS
        self._began = now
        return self._before
