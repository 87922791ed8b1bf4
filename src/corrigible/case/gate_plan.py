"""What each gate asks before anything runs: how many trials, and who passes by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from corrigible.case.bounds import (
    Power,
    design_effect,
    power_curve,
    retry_inflation,
    sensitivity_bound,
    spent_alpha,
    upper,
)
from corrigible.case.gates import Gate, Gates
from corrigible.case.gathered import Gathered
from corrigible.case.pooled import tries_of
from corrigible.case.reading import Terms, needed_in_all
from corrigible.probe.sequential import clean_episodes

ALLOWED = (0, 1, 2, 3)
CLUSTERED = ((10, 0.1), (10, 0.3), (10, 0.5), (10, 1.0))
"""Runs of one scenario, and how alike they are."""
TRIES = (1, 3, 5, 10)


@dataclass(frozen=True)
class Retries:
    """What so many attempts let slip at the limit: each tested anew, and with alpha split."""

    tries: int
    unsplit: float
    split: float


@dataclass(frozen=True)
class GatePlan:
    """What one kind of gate asks; `gates` share it.

    `attempt`: the next one's number; `level`: of its bound then.  `needs`: trials for each of
    `ALLOWED` events, None where no number does.  `sequential`: trials without an event until an
    e-process stops.
    `clustered`: trials without an event for each of `CLUSTERED`.  `power`: who passes at
    `needs[0]` (or the planned n) trials with `allowed` events; an e-process goes on, and may be
    tried again, so that it has neither `power` nor `retries`.  `sensitivity`: the lower bound of
    the judge's, None without a judge.
    """

    gates: tuple[Gate, ...]
    attempt: int
    planned: int
    level: float
    needs: tuple[int | None, ...]
    sequential: int | None
    clustered: tuple[int | None, ...]
    power: tuple[Power, ...]
    n: int | None
    allowed: int
    retries: tuple[Retries, ...]
    sensitivity: float | None


def gate_plans(gates: Gates, gathered: Gathered) -> tuple[GatePlan, ...]:
    """Return what the gates that are counted in trials ask, those that ask the same together."""
    alike: dict[tuple[object, ...], list[tuple[Gate, int]]] = {}
    for gate in gates.gates:
        if not gate.counted or gate.side != "at most" or not 0 < gate.limit < 1:
            continue
        tries = tries_of(gathered, gate.kind, gate.drive, gate.measure)
        attempt = tries.count + 1
        key = (gate.limit, gate.confidence, gate.method, gate.n, gate.icc, gate.judge, gate.unit,
               gate.stem, attempt)  # fmt: skip
        alike.setdefault(key, []).append((gate, attempt))
    return tuple(_planned([g for g, _ in own], own[0][1], gates.attempts) for own in alike.values())


def _planned(own: Sequence[Gate], attempt: int, planned: int) -> GatePlan:
    gate = own[0]
    terms = gate.terms(attempt, planned)
    fixed = Terms(gate.limit, "at most", gate.confidence, terms.level, "fixed n", gate.judge)
    needs = tuple(needed_in_all(k, terms) for k in ALLOWED)
    n = gate.n or needs[0]
    allowed = 0 if n is None else _allowed(n, fixed)
    alpha, fixed_n = 1 - gate.confidence, gate.method == "fixed n"
    return GatePlan(
        gates=tuple(own),
        attempt=attempt,
        planned=planned,
        level=terms.level,
        needs=needs,
        sequential=None if gate.judge else clean_episodes(gate.limit, error=alpha),
        clustered=tuple(
            needed_in_all(0, fixed, effect=design_effect(size, icc)) for size, icc in CLUSTERED
        ),
        power=() if n is None or not fixed_n else power_curve(gate.limit, n, allowed=allowed),
        n=n,
        allowed=allowed,
        retries=tuple(
            Retries(t, retry_inflation(alpha, t), spent_alpha(alpha, planned, t))
            for t in TRIES
            if fixed_n
        ),
        sensitivity=None
        if gate.judge is None
        else sensitivity_bound(gate.judge.detected, gate.judge.of, level=terms.level),
    )


def _allowed(n: int, terms: Terms) -> int:
    """Return with how many events in n trials the gate still passes."""
    if terms.judge is not None:
        return 0
    allowed = 0
    while allowed + 1 < n and upper(allowed + 1, n, level=terms.level) <= terms.limit:
        allowed += 1
    return allowed
