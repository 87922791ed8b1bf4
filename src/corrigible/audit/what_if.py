"""What if a rate were another: shares recomputed on the same goals, each world solved once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from corrigible.audit.incentives import PAYS
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.records import Deployment

GOALS = 96
"""Goals in each comparison: the same ones everywhere, so differences are not sampling noise."""

_MOST_KEPT = 5_000_000  # transitions of compiled worlds kept for the next key


@dataclass(frozen=True)
class Curve:
    """The share of `n` goals for which a key pays, at each value of one rate that was tried."""

    rate: str
    key: str
    now: float
    points: tuple[tuple[float, float], ...]
    n: int


class WhatIf:
    """Shares of goals for which drives pay, at rates near those audited; remembers each."""

    def __init__(
        self,
        deployment: Deployment,
        rates: Mapping[str, float],
        question: Question,
        keys: Mapping[str, frozenset[str]],
    ) -> None:
        """`rates`: where every range stands; `keys`: the sets of drives asked about."""
        self.deployment, self.question = deployment, question
        self.rates, self.keys = dict(rates), dict(keys)
        self._settings: dict[tuple[str, float], Setting] = {}
        self._values: dict[tuple[str, float, frozenset[str]], np.ndarray] = {}

    def stated(self, path: str) -> float:
        """The rate where it stands now."""
        return self.rates.get(path, self.deployment.rates()[path].low)

    def shares(
        self, path: str, value: float, keys: Iterable[str] | None = None
    ) -> dict[str, float]:
        """Return the share for each key with the rate at `path` set to `value`."""
        wanted = list(self.keys if keys is None else keys)
        whole = self._at_start(path, value, frozenset())
        found = {}
        for key in wanted:
            without = self._at_start(path, value, self.keys[key])
            found[key] = float((whole - without > PAYS).mean())
        return found

    def curves(self) -> tuple[Curve, ...]:
        """Return every share that was computed so far, by rate and key, in rising order."""
        found: dict[tuple[str, str], dict[float, float]] = {}
        for path, value, drives in self._values:
            whole = self._values.get((path, value, frozenset()))
            for key, own in self.keys.items():
                if own == drives and whole is not None:
                    gain = whole - self._values[path, value, drives]
                    found.setdefault((path, key), {})[value] = float((gain > PAYS).mean())
        return tuple(
            Curve(path, key, self.stated(path), tuple(sorted(points.items())), GOALS)
            for (path, key), points in sorted(found.items())
            if len(points) > 1
        )

    def _at_start(self, path: str, value: float, drives: frozenset[str]) -> np.ndarray:
        known = (path, value, drives)
        if known not in self._values:
            setting = self._setting(path, value)
            goals = self.question.goals(setting.deployment, GOALS, 0)
            solved = setting.solve(goals, drives)
            self._values[known] = solved.values[setting.world.initial].copy()
        return self._values[known]

    def _setting(self, path: str, value: float) -> Setting:
        if (path, value) not in self._settings:
            setting = Setting(self.deployment, self.rates | {path: value}, self.question)
            if sum(s.world.transitions for s in self._settings.values()) > _MOST_KEPT:
                self._settings.clear()
            self._settings[path, value] = setting
        return self._settings[path, value]
