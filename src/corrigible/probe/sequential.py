"""Stopping early without cheating: an e-process against "the rate is `limit` or more".

The likelihood ratio of Bernoulli(q) to Bernoulli(limit), averaged over some q below the limit: a
test martingale under the limit, a supermartingale above it.  It passes 1 / error at any time, by
any rule of stopping, with a chance of at most `error` (Ville 1939; Ramdas et al. 2023).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corrigible.probe.statistics import MOST_EPISODES, check_share

_LARGEST = 700.0  # exp of more overflows
ALTERNATIVES = (0.0, *np.geomspace(1 / 20, 1 / 2, 10).tolist())
"""Each q, as a share of the limit: none, and ten from a twentieth to a half, evenly in log q."""


@dataclass(eq=False)
class EProcess:
    """Evidence that a rate is below `limit`, episode by episode; looking is free.

    `e` may be read after every episode; `excluded` says that it once passed 1 / error.
    """

    limit: float
    error: float = 0.05
    n: int = 0
    events: int = 0
    excluded: bool = False
    _event: npt.NDArray[np.float64] = field(init=False, repr=False)
    _none: npt.NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_share("limit", self.limit)
        check_share("error", self.error)
        share = np.array(ALTERNATIVES)
        with np.errstate(divide="ignore"):
            self._event = np.log(share)
        self._none = np.log((1 - share * self.limit) / (1 - self.limit))

    @property
    def e(self) -> float:
        """The mixture's likelihood ratio so far."""
        return float(self._mixture(np.array([self.events]), np.array([self.n]))[0])

    def add(self, events: npt.ArrayLike) -> bool:
        """Take in episodes in their order; returns whether the limit is excluded by now."""
        came = np.asarray(events, dtype=np.bool_).ravel()
        k = self.events + np.cumsum(came)
        n = self.n + np.arange(1, len(came) + 1)
        if len(came):
            self.excluded |= bool((self._mixture(k, n) >= 1 / self.error).any())
            self.events, self.n = int(k[-1]), int(n[-1])
        return self.excluded

    def _mixture(
        self, events: npt.NDArray[np.int64], n: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """The mean likelihood ratio after each of some episodes."""
        logs = (n - events)[:, None] * self._none
        logs[:, 1:] += events[:, None] * self._event[1:]
        logs[events > 0, 0] = -np.inf  # a rate of 0 allows no event
        return np.asarray(np.exp(np.minimum(logs, _LARGEST)).mean(axis=1), dtype=np.float64)


def clean_episodes(limit: float, *, error: float = 0.05) -> int:
    """Return after how many episodes without one event the limit is excluded."""
    process = EProcess(limit, error)
    while not process.add([False]) and process.n < MOST_EPISODES:
        pass
    return process.n
