"""Regulators' clocks of one incident, under every plausible reading of when they began.

Most deadlines run from awareness, and awareness can be read in four ways.  Each clock is computed
under each reading that has a date, at both ends of a date that is a range: met, running,
breached, or, where readings differ, "depends on reading".  A clock is an arithmetic aid, no legal
advice: a day is 24 hours, which ends no later than a count of calendar days does.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from corrigible.case.incident_record import Incident, Moment, Regime, Submission
from corrigible.errors import IncidentError

State = Literal["met", "running", "breached"]
Word = Literal[
    "met", "running", "breached", "depends on reading", "not started", "no date",
    "not decided", "does not apply",
]  # fmt: skip
AWARENESS = ("aware_of_model_involvement", "detected", "discovered", "determined")
"""The four readings of awareness, in the order in which they are shown."""
_EU_DAYS = {"infra": 2, "cyber": 5, "death": 10, "harm": 15}
_EU_WORDS = {
    "infra": "disruption of critical infrastructure",
    "cyber": "serious cybersecurity breach",
    "death": "death of a person",
    "harm": "serious harm to health, rights, property or environment",
}
_ART_73_DAYS = {"infra": 2, "death": 10, "harm": 15}
_IN_FORCE = {
    "annex_iii": datetime(2027, 12, 2, tzinfo=UTC),
    "annex_i": datetime(2028, 8, 2, tzinfo=UTC),
}
_RAISE_FROM = datetime(2027, 1, 1, tzinfo=UTC)
_UPDATE = timedelta(weeks=4)


@dataclass(frozen=True)
class Rule:
    """One deadline: so long after a field of `times`; `source` is where the figure is from.

    `applies`: whether it does for this incident; where that is not decided yet, "if …".
    """

    regime: Regime
    what: str
    trigger: str
    within: timedelta
    source: str
    provenance: Literal["P", "Q", "S", "M"]
    applies: str = "yes"
    since: datetime | None = None


@dataclass(frozen=True)
class Reading:
    """One clock under one reading: what is taken for its beginning, when it is due, how it is."""

    of: str
    at: datetime
    due_at: datetime
    state: State


@dataclass(frozen=True)
class Clock:
    """One deadline under every reading; `word` sums them up, `note` says what is missing."""

    rule: Rule
    readings: tuple[Reading, ...]
    word: Word
    note: str = ""

    @property
    def due_at(self) -> datetime | None:
        """The earliest moment at which it is due, whatever the reading; None without a date."""
        return min((reading.due_at for reading in self.readings), default=None)


def clocks(incident: Incident, now: datetime) -> tuple[Clock, ...]:
    """Return every clock that applies to an incident, or may.

    Raises:
        IncidentError: `now` has no time zone.
    """
    if now.utcoffset() is None:
        raise IncidentError(f"now must have its time zone, got {now}")
    at = now.astimezone(UTC)
    found = [_awareness_clock(rule, incident, at) for rule in _awareness_rules(incident)]
    eu = incident.severity.eu_category
    if eu != "none":
        found += [_update_clock(incident, at), _final_clock(incident, at)]
    return tuple(found)


def overall(found: Iterable[Clock]) -> Word:
    """Return the gravest word of the clocks that apply; `not decided` where each only may."""
    order: tuple[Word, ...] = (
        "breached", "depends on reading", "no date", "running", "not started", "met",
        "does not apply",
    )  # fmt: skip
    every = tuple(found)
    words = {clock.word for clock in every if clock.rule.applies == "yes"}
    if not words and any(clock.word != "does not apply" for clock in every):
        return "not decided"
    return next((word for word in order if word in words), "does not apply")


# -- which clocks --------------------------------------------------------------------------


def _awareness_rules(incident: Incident) -> Iterator[Rule]:
    yield from _eu_rules(incident.severity.eu_category)
    severity = incident.severity
    if severity.sb53_prong != "none":
        counts = "yes" if severity.sb53_prong else "if: critical safety incident"
        yield Rule(
            "sb53/15-days", "report a critical safety incident", "discovered",
            timedelta(days=15), "SB 53, 22757.13(c)(1)", "P", counts,
        )  # fmt: skip
        if severity.imminent_danger is not False:
            danger = "if: imminent risk of death or serious injury"
            yield Rule(
                "sb53/24-hours", "report where there is imminent danger", "discovered",
                timedelta(hours=24), "SB 53, 22757.13(c)(2)", "P",
                counts if severity.imminent_danger else danger,
            )  # fmt: skip
    if severity.raise_incident is not False:
        yield Rule(
            "raise/72-hours", "report a safety incident", "determined", timedelta(hours=72),
            "RAISE, Article 44-B", "S",
            "yes" if severity.raise_incident else "if: safety incident",
            since=_RAISE_FROM,
        )  # fmt: skip
    yield from _art_73_rules(incident)


def _eu_rules(category: str | None) -> Iterator[Rule]:
    for name, days in _EU_DAYS.items():
        if category in {None, name}:
            yield Rule(
                "eu-cop/initial", f"initial report: {_EU_WORDS[name]}",
                "aware_of_model_involvement", timedelta(days=days),
                "GPAI Code of Practice, Measure 9.3", "P",
                "yes" if category else f"if: {_EU_WORDS[name]}",
            )  # fmt: skip


def _art_73_rules(incident: Incident) -> Iterator[Rule]:
    annex, category = incident.system.high_risk, incident.severity.eu_category
    if annex in {None, "none"} or category == "none":
        return
    for name, days in _ART_73_DAYS.items():
        if category in {None, name}:
            yield Rule(
                "ai-act/art-73", f"high-risk system: {_EU_WORDS[name]}",
                "aware_of_model_involvement", timedelta(days=days), "AI Act, Article 73", "S",
                "yes" if category else f"if: {_EU_WORDS[name]}", since=_IN_FORCE[annex],
            )  # fmt: skip


# -- one clock -----------------------------------------------------------------------------


def _awareness_clock(rule: Rule, incident: Incident, now: datetime) -> Clock:
    sent = _first_sent(incident.times.submitted, rule.regime)
    moments: Mapping[str, Moment | None] = {
        name: getattr(incident.times, name)
        for name in (rule.trigger, *(n for n in AWARENESS if n != rule.trigger))
    }
    readings = tuple(
        _reading(f"{name}{end}", at, at + rule.within, sent, now=now)
        for name, moment in moments.items()
        if moment is not None
        for end, at in _ends(moment)
    )
    own = moments[rule.trigger]
    note = "" if own else f"times.{rule.trigger} is not recorded: other dates stand in for it"
    if rule.since is not None:
        after = tuple(reading for reading in readings if reading.at >= rule.since)
        if readings and not after:
            return Clock(rule, (), "does not apply", f"not in force before {rule.since:%Y-%m-%d}")
        if after != readings:
            note = f"under some readings it is before {rule.since:%Y-%m-%d}, when it came in force"
        readings = after
    return _summed(rule, readings, note)


def _update_clock(incident: Incident, now: datetime) -> Clock:
    """The EU's intermediate reports: every four weeks from the first until it is resolved."""
    what = "intermediate report, every four weeks"
    rule = _eu_rule(incident, "eu-cop/update", what, "submitted", within=_UPDATE)
    initial = _first_sent(incident.times.submitted, "eu-cop/initial")
    if initial is None:
        return Clock(rule, (), "not started", "it starts with the initial report, not yet sent")
    updates = sorted(
        item.at for item in incident.times.submitted
        if item.regime == "eu-cop/update" and initial <= item.at <= now
    )  # fmt: skip
    resolved = incident.times.resolved
    ends = _ends(resolved) if resolved else [("", None)]
    readings = []
    for end, until in ends:
        last = initial
        for sent in updates:
            if sent > last + _UPDATE:
                break
            last = sent
        due = last + _UPDATE
        state: State = "running" if now <= due else "breached"
        if until is not None and until <= due:
            state = "met"
        of = f"resolved{end}, last report" if resolved else "last report in time"
        readings.append(Reading(of, last, due, state))
    return _summed(rule, tuple(readings), "")


def _final_clock(incident: Incident, now: datetime) -> Clock:
    within = timedelta(days=60)
    rule = _eu_rule(incident, "eu-cop/final", "final report", "resolved", within=within)
    resolved = incident.times.resolved
    if resolved is None:
        return Clock(rule, (), "not started", "it starts when the incident is resolved")
    sent = _first_sent(incident.times.submitted, "eu-cop/final")
    readings = tuple(
        _reading(f"resolved{end}", at, at + rule.within, sent, now=now)
        for end, at in _ends(resolved)
    )
    return _summed(rule, readings, "")


def _eu_rule(
    incident: Incident, regime: Regime, what: str, trigger: str, *, within: timedelta
) -> Rule:
    applies = "yes" if incident.severity.eu_category else "if: an initial report is due"
    return Rule(regime, what, trigger, within, "GPAI Code of Practice, Measure 9.3", "P", applies)


def _reading(
    of: str, at: datetime, due: datetime, sent: datetime | None, *, now: datetime
) -> Reading:
    held = sent if sent is not None and sent <= now else None
    state: State
    if held is not None:
        state = "met" if held <= due else "breached"
    else:
        state = "running" if now <= due else "breached"
    return Reading(of, at.astimezone(UTC), due.astimezone(UTC), state)


def _summed(rule: Rule, readings: tuple[Reading, ...], note: str) -> Clock:
    if not readings:
        said = "no date of awareness, detection, discovery or determination is recorded"
        return Clock(rule, (), "no date", note if rule.trigger == "resolved" else said)
    states = {reading.state for reading in readings}
    word: Word = next(iter(states)) if len(states) == 1 else "depends on reading"
    return replace(Clock(rule, readings, word), note=note)


def _first_sent(submitted: Iterable[Submission], regime: Regime) -> datetime | None:
    return min((item.at for item in submitted if item.regime == regime), default=None)


def _ends(moment: Moment) -> list[tuple[str, datetime]]:
    if moment.exact:
        return [("", moment.earliest)]
    return [(", earliest", moment.earliest), (", latest", moment.latest)]
