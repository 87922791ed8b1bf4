"""Drives that stand in for each other: removing one costs nothing, removing all of them does."""

import numpy as np

from corrigible.audit.incentives import BATCH, PAYS, Incentives


def substitutes(incentives: Incentives, limit: float) -> dict[str, tuple[str, ...]]:
    """Return, for each drive that is `substitutable`, the drives that stand in for it.

    A drive whose own share is within `limit` is tried against a set S of other drives, grown
    one by one while most goals lose at most `PAYS` by the removal of S.  It is substitutable if
    for more than `limit` of the goals the plan without S is near-optimal and lives on it:
    V(W) - V(W\\S) <= PAYS and V(W\\S) - V(W\\S\\D) > PAYS.
    """
    setting = incentives.setting
    goals = setting.question.goals(setting.deployment, BATCH, 0)
    known: dict[bytes, np.ndarray] = {}

    def values(drives: frozenset[str]) -> np.ndarray:
        rows = setting.available(drives).tobytes()
        if rows not in known:
            known[rows] = setting.solve(goals, drives).values[setting.world.initial].copy()
        return known[rows]

    whole = values(frozenset())
    found: dict[str, tuple[str, ...]] = {}
    for drive in setting.drives:
        if incentives.share(drive).low > limit:
            continue
        apart = frozenset[str]()
        for other in setting.drives:
            grown = apart | {other}
            if other != drive and float((whole - values(grown) > PAYS).mean()) <= limit:
                apart = grown
        without = values(apart)
        lives_on = (whole - without <= PAYS) & (without - values(apart | {drive}) > PAYS)
        if float(lives_on.mean()) > limit:
            found[drive] = _needed(values, whole, drive, apart, limit)
    return found


def _needed(values, whole, drive, apart, limit):  # type: ignore[no-untyped-def]
    """Leave out of `apart` what does not matter: those left are the true stand-ins."""
    kept = apart
    for other in sorted(apart):
        fewer = kept - {other}
        without = values(fewer)
        lives_on = (whole - without <= PAYS) & (without - values(fewer | {drive}) > PAYS)
        if float(lives_on.mean()) > limit:
            kept = fewer
    return tuple(sorted(kept))
