"""How the figures move when a rate is halved or doubled."""

from collections.abc import Callable
from dataclasses import dataclass

from corrigible.audit.what_if import GOALS, WhatIf
from corrigible.deployment.rates import Span


@dataclass(frozen=True)
class Moved:
    """Shares with one rate multiplied by `factor`, on `n` goals; `shares_now` as it stands."""

    rate: str
    now: float
    factor: float
    at: float
    shares: dict[str, float]
    shares_now: dict[str, float]
    n: int


def sensitivity(
    what_if: WhatIf, rates: dict[str, Span], progress: Callable[[], None] | None = None
) -> tuple[Moved, ...]:
    """Return the shares of every key with each rate that the world reads halved and doubled.

    A rate of 0 cannot be scaled and is left out; a probability is held to 1, a horizon to 1 or
    more steps.  The same goals are used throughout.
    """
    moved: list[Moved] = []
    for path in rates:
        now = what_if.stated(path)
        if now == 0.0:
            continue
        shares_now = what_if.shares(path, now)
        for factor in (0.5, 2.0):
            at = now * factor
            at = max(at, 1.0) if path == "agent.horizon" else min(at, 1.0)
            shares = what_if.shares(path, at)
            moved.append(Moved(path, now, factor, at, shares, shares_now, GOALS))
            if progress is not None:
                progress()
    return tuple(moved)
