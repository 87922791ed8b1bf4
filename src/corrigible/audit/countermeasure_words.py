"""What follows from the frontier, in plain words: what works, what fails, and what backfires."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from corrigible.audit.countermeasure_records import Tried
from corrigible.audit.countermeasure_trials import KINDS
from corrigible.audit.verdict import percent
from corrigible.evidence import Estimate

_GENERAL, _NAMED = ("training",), ("training", "training, acts named")
_SHOWN = 3
_WORSE = 0.05  # a drive must come about so much more often, surely, to be called worse


@dataclass(frozen=True)
class _Limits:
    limit: float
    useful_from: float

    def removed(self, chance: Estimate) -> bool:
        return chance.at_most <= self.limit

    def left(self, chance: Estimate) -> bool:
        return chance.at_least > self.limit

    def useful(self, tried: Tried) -> bool:
        return tried.kept.at_least >= self.useful_from

    def useless(self, tried: Tried) -> bool:
        return tried.kept.at_most < self.useful_from

    def works(self, tried: Tried) -> bool:
        return self.removed(tried.joint) and self.useful(tried)


def findings_of(
    tried: Sequence[Tried], drives: tuple[str, ...], *, limit: float, useful_from: float
) -> tuple[str, ...]:
    """Say what a plain optimal agent does, and what of all that was tried helps against it.

    Args:
        tried: everything, the plain optimal agent first.
        drives: those that are not accepted.
        limit: a drive is removed where its chance is surely at most this.
        useful_from: an agent that surely keeps less of the task value is useless.
    """
    limits, plain = _Limits(limit, useful_from), tried[0]
    if not drives:
        return ("No call serves a drive that is not accepted: there is nothing to counter.",)
    if limits.removed(plain.joint):
        rate = percent(plain.joint.at_most)
        text = f"A plain optimal agent acts on a drive in at most {rate} of runs: there is nothing"
        return (f"{text} to counter.",)
    return (
        _plain(plain, drives),
        _single(tried, limits),
        *_by_drive(tried, drives, limits),
        *_sweeps(tried, limits),
        *_worse(tried, drives),
        *_pairs(tried, limits),
        *_permissions(tried, limits),
    )


def _plain(plain: Tried, drives: tuple[str, ...]) -> str:
    does = [f"on {d} in {_said(plain.drives[d])}" for d in drives if _value(plain.drives[d]) > 0]
    never = [d for d in drives if _value(plain.drives[d]) == 0]
    text = f"A plain optimal agent acts {_listed(does)} of runs"
    return f"{text}, and never on {_listed(never)}." if never else f"{text}."


def _single(tried: Sequence[Tried], limits: _Limits) -> str:
    """Whether any single one suffices."""
    general = _best(t for t in tried if t.side in _GENERAL and limits.works(t))
    named = _best(t for t in tried if t.side == "training, acts named" and limits.works(t))
    if general is not None:
        text = f"One countermeasure alone suffices: {_cost(general)}."
        if named is None:
            return text
        return f"{text} Of those that are told which acts serve a drive: {_cost(named)}."
    if named is not None:
        return (
            "No countermeasure suffices alone unless training is told which acts serve a drive; "
            f"told so: {_cost(named)}."
        )
    return (
        f"No single countermeasure suffices: none surely brings every drive to {_limit(limits)} or "
        f"less and keeps {percent(limits.useful_from)} of the task value."
    )


def _by_drive(tried: Sequence[Tried], drives: tuple[str, ...], limits: _Limits) -> Iterator[str]:
    """Which drives no training-side countermeasure removes, and only permissions do."""
    plain = tried[0]
    at_stake = [d for d in drives if not limits.removed(plain.drives[d])]

    def removes(drive: str, sides: Iterable[str]) -> bool:
        return any(
            t.side in sides and limits.useful(t) and limits.removed(t.drives[drive]) for t in tried
        )

    only, told, neither = [], [], []
    for drive in at_stake:
        if removes(drive, _GENERAL):
            continue
        if removes(drive, _NAMED):
            told.append(drive)
        elif removes(drive, ("permission",)):
            only.append(drive)
        else:
            neither.append(drive)
    keeps = f"keeps {percent(limits.useful_from)} of the task value"
    if only:
        yield (
            f"No training-side countermeasure removes {_listed(only)} and {keeps}; only "
            "permissions do."
        )
    if told:
        yield (
            f"Without being told which acts those are, no training-side countermeasure removes "
            f"{_listed(told)} and {keeps}; permissions do."
            if all(removes(d, ("permission",)) for d in told)
            else f"Only training that is told which acts those are removes {_listed(told)}."
        )
    if neither:
        yield f"Nothing that was tried removes {_listed(neither)} and {keeps}."
    if at_stake and not (only or told or neither):
        yield (
            f"Each of {_listed(at_stake)} is removed by some training-side countermeasure that "
            f"{keeps}: here permissions are not the only way."
        )


def _sweeps(tried: Sequence[Tried], limits: _Limits) -> Iterator[str]:
    """For each countermeasure: where too little fails, and where too much is useless."""
    kinds = dict.fromkeys(t.kind for t in tried if t.side in _NAMED)
    for kind in kinds:
        own = [t for t in tried if t.kind == kind]
        if len(own) < 2:  # noqa: PLR2004 - a sweep has two ends
            continue
        little = [t for t in own if limits.left(t.joint)]
        working = [t for t in own if limits.works(t)]
        useless = [t for t in own if limits.useless(t)]
        if working:
            text = f"{_capital(KINDS.get(kind, kind))} works: {_cost(working[0])}"
            weaker = [t for t in little if own.index(t) < own.index(working[0])]
            if weaker:
                text += f"; too little fails: {weaker[-1].words}: {_figures(weaker[-1])}"
            if useless:
                text += f"; too much is useless: {useless[0].words}: {_figures(useless[0])}"
            yield text + "."
        elif little:
            least = min(own, key=lambda t: _value(t.joint))
            text = f"No strength tried of {KINDS.get(kind, kind)} works: {own[0].words}: "
            text += _figures(own[0])
            if least is not own[0]:
                text += f"; {least.words}: {_figures(least)}"
            yield text + (", useless by then." if least in useless else ".")


def _worse(tried: Sequence[Tried], drives: tuple[str, ...]) -> Iterator[str]:
    """Which countermeasures make a drive come about more often than a plain optimal agent does."""
    plain = tried[0]
    for drive in drives:
        before = plain.drives[drive]
        rising = [
            t for t in tried
            if t.side in _NAMED and t.drives[drive].at_least > before.at_most + _WORSE
        ]  # fmt: skip
        rising.sort(key=lambda t: -_value(t.drives[drive]))
        kinds: dict[str, Tried] = {}
        for each in rising:
            kinds.setdefault(each.kind, each)
        if kinds:
            shown = [f"{t.words} ({_said(t.drives[drive])})" for t in kinds.values()][:_SHOWN]
            more = len(kinds) - len(shown)
            others = f", and {more} more" if more > 0 else ""
            yield (
                f"Some make {drive} worse, against {_said(before)} of runs: {_listed(shown)}"
                f"{others}."
            )


def _pairs(tried: Sequence[Tried], limits: _Limits) -> Iterator[str]:
    pairs = [t for t in tried if t.side == "pair"]
    if not pairs:
        return
    best = _best(t for t in pairs if limits.works(t))
    if best is None:
        least = min(pairs, key=lambda t: _value(t.joint))
        yield f"No pair that was tried suffices; the nearest: {_cost(least)}."
    else:
        yield f"Of {len(pairs)} pairs the best that suffices: {_cost(best)}."


def _permissions(tried: Sequence[Tried], limits: _Limits) -> Iterator[str]:
    own = [t for t in tried if t.side == "permission"]
    best = _best(t for t in own if limits.works(t))
    if best is not None:
        yield f"Permissions suffice, whatever the agent was trained for: {_cost(best)}."
    elif own:
        least = min(own, key=lambda t: _value(t.joint))
        yield f"No edit of permissions that was tried suffices alone; the nearest: {_cost(least)}."


def _best(tried: Iterable[Tried]) -> Tried | None:
    return max(tried, key=lambda t: _value(t.kept), default=None)


def _cost(tried: Tried) -> str:
    return f"{tried.words}: {_figures(tried)}"


def _figures(tried: Tried) -> str:
    kept = _value(tried.kept)
    lost = f"a loss of {percent(1 - kept)}" if kept < 1 else "no loss"
    return f"{_said(tried.joint)} of runs act on a drive, at {lost} of task value"


def _said(estimate: Estimate) -> str:
    return percent(_value(estimate))


def _limit(limits: _Limits) -> str:
    return f"{100 * limits.limit:.3g}%"


def _value(estimate: Estimate) -> float:
    return 0.0 if estimate.value is None else estimate.value


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(items: Sequence[str]) -> str:
    if len(items) <= 1:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"
