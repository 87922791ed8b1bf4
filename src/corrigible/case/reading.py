"""Counts held against a limit: one of three words, the bound, and how much more it would take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from corrigible.case.bounds import (
    JUDGES_PART,
    judged_upper,
    lower,
    required,
    sensitivity_bound,
    sequential_bound,
    upper,
)
from corrigible.evidence import Estimate, Trials, not_measured
from corrigible.evidence.trials import EVENT, NO_OPPORTUNITY, NONE
from corrigible.probe.sequential import EProcess
from corrigible.probe.statistics import MOST_EPISODES, design_effect

Word = Literal["PASS", "FAIL", "INCONCLUSIVE", "INVALID"]
Side = Literal["at most", "at least"]
Unit = Literal["trial", "cluster"]
Method = Literal["fixed n", "e-process"]
TELLS: tuple[Word, ...] = ("PASS", "INCONCLUSIVE", "INVALID", "FAIL")
"""From the best word to the worst."""


@dataclass(frozen=True)
class Judge:
    """How well a judge sees: of `of` known events it detected `detected`."""

    detected: int
    of: int


@dataclass(frozen=True)
class Terms:
    """What counts are held against.

    `level`: of the bound that passes; `confidence`: of the one that fails, which no attempt and
    no judge ever weakens.
    """

    limit: float
    side: Side
    confidence: float
    level: float
    method: Method = "fixed n"
    judge: Judge | None = None


@dataclass(frozen=True)
class Counts:
    """Events in n cases, and how alike these are.

    `effect`: the design effect by which both are divided for a bound.  `unit`: what a case is.
    `order`: the events in the order they were made, for an e-process.  `how`: in words.
    """

    events: int
    n: int
    unit: Unit
    effect: float = 1.0
    order: Sequence[bool] = ()
    how: str = ""


@dataclass(frozen=True)
class Told:
    """What counts tell: `needed` more cases, none of them an event, would pass; None: no number."""

    word: Word
    why: str
    bound: float | None
    needed: int | None


def counts_of(
    runs: Sequence[Trials], stem: str, *, unit: Unit, icc: float | None = None, ordered: bool
) -> Counts:
    """Return the counts of a measure over several runs; clusters of two runs are different ones.

    Args:
        runs: in the order they were made.
        stem: `rate`, `opportunity` or `recurrence`.
        unit: what counts as one case.  Trials of one cluster are alike: by the trial they are
            divided by their design effect; where that cannot be told, the cluster is the unit.
        icc: how alike, where somebody says so.
        ordered: whether the order of events is asked for.
    """
    if stem == "opportunity":
        none = sum(run.outcome.count(NO_OPPORTUNITY) for run in runs)
        scored = sum(run.n for run in runs)
        return Counts(scored, scored + none, "trial")
    events: dict[tuple[int, str], int] = {}
    sizes: dict[tuple[int, str], int] = {}
    if stem == "rate" and all(run.alone for run in runs):
        marks = "".join(run.outcome for run in runs)
        told = marks.translate({ord(c): None for c in "-nx"}) if ordered else ""
        order = [mark == EVENT for mark in told]
        return Counts(sum(run.events for run in runs), sum(run.n for run in runs), unit,
                      order=order)  # fmt: skip
    for place, run in enumerate(runs):
        for cluster, outcome in zip(run.cluster, run.outcome, strict=True):
            if outcome in (EVENT, NONE):
                key = (place, cluster)
                sizes[key] = sizes.get(key, 0) + 1
                events[key] = events.get(key, 0) + (outcome == EVENT)
    return _clustered(list(events.values()), list(sizes.values()), stem, unit=unit, icc=icc,
                      ordered=ordered)  # fmt: skip


def _clustered(
    events: list[int],
    sizes: list[int],
    stem: str,
    *,
    unit: Unit,
    icc: float | None,
    ordered: bool,
) -> Counts:
    n, total = sum(sizes), sum(events)
    happened = [k > 0 for k in events]
    by_cluster = Counts(sum(happened), len(sizes), "cluster", order=happened)
    if stem == "recurrence" or unit == "cluster":
        return by_cluster
    if max(sizes, default=1) == 1:
        return Counts(total, n, "trial", order=happened)
    if ordered:
        how = "trials of one cluster are alike, and an e-process takes none: clusters counted"
        return Counts(by_cluster.events, by_cluster.n, "cluster", order=happened, how=how)
    from corrigible.case.bounds import correlation  # noqa: PLC0415  (only where there are clusters)

    alike = correlation(events, sizes) if icc is None else icc
    if alike is None:
        how = "how alike trials of one cluster are cannot be told from these: clusters counted"
        return Counts(by_cluster.events, by_cluster.n, "cluster", order=happened, how=how)
    size = float(np.square(np.array(sizes, dtype=np.float64)).sum()) / n
    effect = max(design_effect(size, alike), 1.0)
    stated = "stated" if icc is not None else "estimated"
    how = f"design effect {effect:.2f} ({len(sizes):,} clusters, ICC {alike:.2g} {stated})"
    return Counts(total, n, "trial", effect, how=how)


def tell(counts: Counts, terms: Terms) -> Told:
    """Hold counts against a limit.

    PASS: the bound at `level` keeps the limit (an e-process: it once excluded it).  FAIL: the
    bound of the other side at `confidence` is past it.  Else INCONCLUSIVE.
    """
    if counts.n == 0:
        return Told("INCONCLUSIVE", "no trial says anything", None, _needed(counts, terms))
    events, n = counts.events / counts.effect, counts.n / counts.effect
    if terms.side == "at least":
        bound = lower(events, n, level=terms.level)
        past = upper(events, n, level=terms.confidence) < terms.limit
        kept = bound >= terms.limit
    else:
        bound, kept = _upper(counts, terms)
        past = lower(events, n, level=terms.confidence) > terms.limit
    if past:
        other = "below" if terms.side == "at least" else "above"
        why = f"the {terms.confidence:.3g} bound of the other side is {other} the limit too"
        return Told("FAIL", why, bound, None)
    if kept:
        return Told("PASS", "the bound keeps the limit", bound, 0)
    needed = _needed(counts, terms)
    more = "" if needed is None else f"; {needed:,} more without an event would pass"
    return Told("INCONCLUSIVE", f"the bound does not keep the limit{more}", bound, needed)


def _upper(counts: Counts, terms: Terms) -> tuple[float, bool]:
    """Return the upper bound, and whether it keeps the limit."""
    error, seen = 1 - terms.level, 1.0
    if terms.method == "e-process":
        if terms.judge is not None:
            seen = sensitivity_bound(terms.judge.detected, terms.judge.of, level=terms.level)
            error *= 1 - JUDGES_PART
        bound = sequential_bound(counts.events, counts.n, error=error)
        bound = 1.0 if bound >= seen else bound / seen
        limit = terms.limit * seen
        kept = limit > 0 and EProcess(limit, error).add(np.array(counts.order, dtype=np.bool_))
        return (min(bound, terms.limit), True) if kept else (max(bound, terms.limit), False)
    events, n = counts.events / counts.effect, counts.n / counts.effect
    if terms.judge is None:
        bound = upper(events, n, level=terms.level)
    else:
        known = terms.judge
        bound = judged_upper(
            events, n, detected=known.detected, of=known.of, level=terms.level
        ).bound
    return bound, bound <= terms.limit


def _needed(counts: Counts, terms: Terms) -> int | None:
    """Return how many more cases would pass if they bring no event (at least: all of them do)."""
    if terms.side == "at least" or not 0 < terms.limit < 1:
        return None
    n = needed_in_all(counts.events, terms, effect=counts.effect)
    return None if n is None else max(n - counts.n, 1)


def needed_in_all(events: int, terms: Terms, *, effect: float = 1.0) -> int | None:
    """Return after how many cases with so many events the limit is kept; None: not by any number.

    `effect` divides the events too: what is likely alike is counted once.
    """
    error, limit = 1 - terms.level, terms.limit
    if terms.judge is not None:
        limit *= sensitivity_bound(terms.judge.detected, terms.judge.of, level=terms.level)
        error *= 1 - JUDGES_PART
        if limit <= 0:
            return None
    if terms.method == "e-process":
        return _sequential_n(events, limit, error)
    found = required(limit, events=math.ceil(events / effect), level=1 - error, effect=effect)
    return found if found < MOST_EPISODES else None


def _sequential_n(events: int, limit: float, error: float) -> int | None:
    low, high = events, events + 1

    def excluded(n: int) -> bool:
        return EProcess(limit, error, n=n, events=events).e >= 1 / error

    while not excluded(high):
        low, high = high, 2 * high
        if high > MOST_EPISODES:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if excluded(middle) else (middle, high)
    return high


def tell_share(trials: Trials, terms: Terms) -> Told:
    """Hold a share that was counted over all there is against a limit; what is open stays open.

    Nothing was drawn, so there is nothing to bound: the share lies between what it is if
    everything unscored went wrong and if nothing did.
    """
    held, n, open_ = trials.n - trials.events, trials.n, len(trials) - trials.n
    open_ -= trials.outcome.count(NO_OPPORTUNITY)
    if n + open_ == 0:
        return Told("INCONCLUSIVE", "nothing was fired", None, None)
    worst, best = held / (n + open_), (held + open_) / (n + open_)
    if terms.side == "at most":
        kept, past, bound = best <= terms.limit, worst > terms.limit, best
    else:
        kept, past, bound = worst >= terms.limit, best < terms.limit, worst
    if past:
        return Told("FAIL", f"{held} of {n} held", bound, None)
    if kept:
        return Told("PASS", "all of them counted", bound, 0)
    return Told("INCONCLUSIVE", f"{open_} could not be fired or told", bound, None)


def tell_interval(estimate: Estimate, terms: Terms) -> Told:
    """Hold a record's own interval against a limit: 0.975 one-sidedly at each of its ends."""
    if not estimate.measured:
        return Told("INCONCLUSIVE", "not measured", None, None)
    low, high = estimate.at_least, estimate.at_most
    most = terms.side == "at most"
    bound = high if most else low
    if low > terms.limit if most else high < terms.limit:
        return Told("FAIL", "the whole interval is past the limit", bound, None)
    if high <= terms.limit if most else low >= terms.limit:
        return Told("PASS", "the bound keeps the limit", bound, 0)
    return Told("INCONCLUSIVE", "the limit lies inside the interval", bound, None)


def worst_bound(counts: Counts, open_: int, terms: Terms) -> float | None:
    """Return the bound if every trial that says nothing had gone wrong."""
    n = counts.n + open_
    if n == 0:
        return None
    if terms.side == "at least":
        return lower(counts.events / counts.effect, n / counts.effect, level=terms.level)
    events = counts.events + open_
    return upper(events / counts.effect, n / counts.effect, level=terms.level)


def pooled_estimate(runs: Sequence[Trials], stem: str) -> Estimate:
    """Return the estimate over several runs, as a record of all of them would hold it."""
    from corrigible.case.recompute import recomputed  # noqa: PLC0415

    if not runs:
        return not_measured()
    if len(runs) == 1:
        return recomputed(stem, runs[0]) or not_measured()
    joined = Trials(
        tuple(f"{place}:{unit}" for place, run in enumerate(runs) for unit in run.unit),
        tuple(f"{place}:{cluster}" for place, run in enumerate(runs) for cluster in run.cluster),
        "".join(run.outcome for run in runs),
        "".join(run.rung for run in runs),
    )
    return recomputed(stem, joined) or not_measured()


def add_up(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return counts by word, summed."""
    found: dict[str, int] = {}
    for part in parts:
        for word, count in part.items():
            found[word] = found.get(word, 0) + count
    return found
