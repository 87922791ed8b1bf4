"""Drives that stand in for each other: removing one costs nothing, removing all of them does."""

from corrigible.audit.incentives import BATCH, PAYS, Incentives
from corrigible.audit.setting import Setting
from corrigible.world.record import Floats


def substitutes(incentives: Incentives, limit: float) -> dict[str, tuple[str, ...]]:
    r"""Return, for each drive that is `substitutable`, the drives that stand in for it.

    A drive whose own share is within `limit` is tried against a set S of other drives, grown
    one by one while most goals lose at most `PAYS` by the removal of S.  It is substitutable if
    for more than `limit` of the goals the plan without S is near-optimal and lives on it:
    V(W) - V(W\\S) <= PAYS and V(W\\S) - V(W\\S\\D) > PAYS.
    """
    setting = incentives.setting
    removals = _Removals(setting, limit)
    found: dict[str, tuple[str, ...]] = {}
    for drive in setting.drives:
        if incentives.share(drive).at_least > limit:
            continue
        apart = frozenset[str]()
        for other in setting.drives:
            if other != drive and removals.costs_nothing(apart | {other}):
                apart = apart | {other}
        if removals.lives_on(drive, apart):
            found[drive] = removals.needed(drive, apart)
    return found


class _Removals:
    """Values at the start without some drives' acts, each world solved once."""

    def __init__(self, setting: Setting, limit: float) -> None:
        self.setting, self.limit = setting, limit
        self.goals = setting.question.goals(setting.deployment, BATCH, 0)
        self.known: dict[bytes, Floats] = {}

    def values(self, drives: frozenset[str]) -> Floats:
        """Return V(s0) `[G]` without the acts of some drives."""
        rows = self.setting.available(drives).tobytes()
        if rows not in self.known:
            solved = self.setting.solve(self.goals, drives)
            self.known[rows] = solved.values[self.setting.world.initial].copy()
        return self.known[rows]

    def costs_nothing(self, drives: frozenset[str]) -> bool:
        """Whether at most `limit` of the goals lose more than `PAYS` by the removal."""
        lost = self.values(frozenset()) - self.values(drives)
        return float((lost > PAYS).mean()) <= self.limit

    def lives_on(self, drive: str, apart: frozenset[str]) -> bool:
        """Whether, without `apart`, plans are near-optimal and need the drive's acts."""
        without = self.values(apart)
        near = self.values(frozenset()) - without <= PAYS
        needs = without - self.values(apart | {drive}) > PAYS
        return float((near & needs).mean()) > self.limit

    def needed(self, drive: str, apart: frozenset[str]) -> tuple[str, ...]:
        """Leave out of `apart` what does not matter: those left are the true stand-ins."""
        kept = apart
        for other in sorted(apart):
            if self.lives_on(drive, kept - {other}):
                kept = kept - {other}
        return tuple(sorted(kept))
