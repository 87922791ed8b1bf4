"""An incident in the words of others: what a form, a taxonomy or a database asks for.

Each says on its face what it is: where there is no machine-readable schema, or its names are only
known from memory, that it is unofficial.  Nothing is made up: what is not known is said to be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from corrigible.case.classify import category_of
from corrigible.case.clocks import Clock
from corrigible.case.incident_record import Behaviour, Incident, Moment, utc

UNOFFICIAL = "Unofficial: there is no official machine-readable schema for this."
NOT_KNOWN = "not known"
NOT_STATED = "not stated"


@dataclass(frozen=True)
class Field:
    """One field of a form: its number there, its title, and what the record says."""

    number: str
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Form:
    """One form, filled from a record: `notes` stand above it, `annex` below."""

    title: str
    notes: tuple[str, ...]
    fields: tuple[Field, ...]
    annex: tuple[Field, ...] = ()


def eu_form(incident: Incident, clocks: Iterable[Clock] = ()) -> Form:
    """Return the ten fields of the EU's serious-incident form, and as annex the two missing dates.

    The form asks neither when the provider became aware of the model's involvement nor when the
    report is sent, though every deadline runs from the first.
    """
    times, root = incident.times, incident.root_cause
    fields = (
        _field("1", "Start and end dates", [
            f"start: {_moment(times.start)}{_estimate(times.start_is_estimate)}",
            f"end: {_moment(times.end)}{_estimate(times.end_is_estimate)}"]),
        _field("2", "Resulting harm and the victims", [
            f"{one.what}: {one.who}{f' ({one.quantity})' if one.quantity else ''}"
            for one in incident.harm]),
        _field("3", "Chain of events", [
            f"{_moment(link.at)}: {link.what}" for link in incident.chain]),
        _field("4", "The model involved", [
            incident.system.model or NOT_STATED,
            *(f"{name}: {value}" for name, value in _digests(incident))]),
        _field("5", "Material on the model's involvement", [
            *map(_behaviour, incident.behaviours),
            *(f"kept: {item.kind}, {item.sha256}, captured before the stop: "
              f"{_known(item.captured_before_stop)}" for item in incident.evidence)]),
        _field("6", "Response", [
            *incident.response.actions,
            *([f"owner: {incident.response.owner}"] if incident.response.owner else [])]),
        _field("7", "Recommendations to the authority", incident.recommendations),
        _field("8", "Root cause", [
            *([root.summary] if root.summary else []),
            *_named(root, "outputs", "inputs", "mitigations_failed", "mitigations_circumvented",
                    "system_factors", "contextual_factors", "cognitive_factors")]),
        _field("9", "Patterns in monitoring, near misses among them", [
            f"near misses: {_known(incident.patterns.near_misses)}",
            f"rate per 1,000 exposures: {_known(incident.patterns.rate_per_1k_exposures)}",
            *incident.patterns.notes]),
        _field("10", "Submitter", [incident.submitter or NOT_STATED]),
    )  # fmt: skip
    sent = [f"{item.regime}: {utc(item.at)}" for item in times.submitted]
    aware = _moment(times.aware_of_model_involvement)
    annex = (
        _field("A", "Aware of the model's involvement", [aware]),
        _field("B", "Submitted", sent),
        _field("C", "Deadlines, as computed", [_clock(clock) for clock in clocks
                                               if clock.rule.regime.startswith("eu-cop")]),
    )  # fmt: skip
    copied = (
        "The ten fields of the form of 2025-11-04 (GPAI Code of Practice, Measure 9.2) as text to "
        "copy; the annex has the dates that the form does not ask for."
    )
    title = "Serious incident, general-purpose AI model with systemic risk"
    return Form(title, (UNOFFICIAL, copied), fields, annex)


def sb53_form(incident: Incident) -> Form:
    """Return the four fields of a report under SB 53, 22757.13(a)."""
    prong = incident.severity.sb53_prong
    qualifies = {
        None: ["not decided"], "none": ["it was found not to be a critical safety incident"],
    }.get(prong, [f"prong {prong} of the definition of a critical safety incident"])  # fmt: skip
    acts = sorted({one.act or one.drive for one in incident.behaviours})
    gravest = max(incident.behaviours, key=lambda one: (one.ladder, one.ladder_at_most))
    statement = f"{incident.title or 'An incident'}. Gravest class: {behaviour_class(gravest)}."
    fields = (
        _field("1", "Date of the critical safety incident", [_moment(incident.times.start)]),
        _field("2", "Reasons it qualifies as one", qualifies),
        _field("3", "Short and plain statement", [statement, *acts]),
        _field("4", "Whether it was associated with internal use",
               [_known(incident.system.internal_use)]),
    )  # fmt: skip
    return Form("Critical safety incident report", (UNOFFICIAL,), fields)


def oecd(incident: Incident) -> dict[str, Any]:
    """Return the record under names that follow the OECD's common reporting framework.

    The framework has 29 criteria in eight dimensions and no schema; its dimensions' names are
    given here from memory.
    """
    severity = incident.severity
    return {
        "profile": "OECD common reporting framework (AI Papers No 34, 2025), names unverified",
        "unofficial": UNOFFICIAL,
        "incident_metadata": {
            "id": incident.id, "title": incident.title, "status": incident.status,
            "date_first_known": _moment(incident.times.start),
            "submitter": incident.submitter or None,
        },
        "harm_details": {
            "severity": severity.oecd, "near_miss": severity.near_miss,
            "harms": [one.model_dump() for one in incident.harm],
        },
        "people_and_planet": {"affected": [one.who for one in incident.harm]},
        "economic_context": {
            "deployment": incident.system.deployment or None, "phase": incident.context.phase,
        },
        "data_and_input": {"inputs": list(incident.root_cause.inputs)},
        "ai_model": {
            "developer": incident.system.developer or None, "model": incident.system.model or None,
            **dict(_digests(incident)),
        },
        "task_and_output": {
            "autonomy": incident.system.autonomy_level or None,
            "behaviours": [
                {"drive": one.drive, "act": one.act, "class": one.ladder,
                 "class_at_most": one.ladder_at_most}
                for one in incident.behaviours
            ],
        },
        "other_information": {
            "mappings": incident.mappings.model_dump(), "response": incident.response.model_dump(),
        },
    }  # fmt: skip


_DEPLOYED = "L06: Deployment"


def avid(incident: Incident) -> dict[str, Any]:
    """Return the record as a report of AVID's tools; its taxonomy has no code for control."""
    stage = "L05: Evaluation" if incident.context.phase == "evaluation" else _DEPLOYED
    said = "; ".join(_behaviour(one) for one in incident.behaviours)
    sent = [item.at for item in incident.times.submitted]
    system = incident.system.model or incident.system.deployment or NOT_STATED
    return {
        "data_type": "AVID",
        "data_version": None,
        "metadata": {"report_id": None},
        "affects": {
            "developer": [incident.system.developer] if incident.system.developer else [],
            "deployer": [],
            "artifacts": [{"type": "System", "name": system}],
        },
        "problemtype": {
            "classof": "Undefined",
            "type": "Issue",
            "description": {"lang": "eng", "value": incident.title or incident.id},
        },
        "metrics": [],
        "references": [
            {"type": "source", "label": ref, "url": ""} for ref in incident.mappings.aiid
        ],
        "description": {
            "lang": "eng",
            "value": f"{said}  (Unofficial export in the shape of avidtools 0.1.2; not validated "
            "by AVID, whose views have no code for misalignment or loss of control.)",
        },
        "impact": {
            "avid": {
                "risk_domain": ["Security"], "sep_view": [], "lifecycle_view": [stage],
                "taxonomy_version": "0.2",
            }
        },
        "credit": [],
        "reported_date": f"{min(sent):%Y-%m-%d}" if sent else None,
    }  # fmt: skip


def atlas(incident: Incident) -> dict[str, Any]:
    """Return the record as a case study of MITRE ATLAS (`study` of its website's schema).

    A procedure pairs each technique with a tactic, which a record does not know: the techniques
    stand under `references` instead, and the procedure is left to whoever submits it.
    """
    start = incident.times.start
    granularity = "DATE"
    if start is not None and (start.latest - start.earliest).days > 1:
        granularity = "MONTH" if start.earliest.month == start.latest.month else "YEAR"
    return {
        "meta": {"note": "Unofficial: a draft in the shape of ATLAS's case-study files, not "
                         "validated by MITRE; complete the procedure's tactics by hand."},
        "study": {
            "name": incident.title or incident.id,
            "summary": "; ".join(_behaviour(one) for one in incident.behaviours),
            "incident-date": None if start is None else f"{start.earliest:%Y-%m-%d}",
            "incident-date-granularity": granularity,
            "procedure": [],
            "reported-by": incident.submitter or NOT_STATED,
            "actor": incident.system.model or NOT_STATED,
            "target": ", ".join(sorted({b.target for b in incident.behaviours} - {""}))
            or NOT_STATED,
            "case-study-type": "exercise" if incident.context.elicited_by_design else "incident",
            "references": [{"title": name, "url": None} for name in incident.mappings.atlas],
        },
    }  # fmt: skip


def behaviour_class(one: Behaviour) -> str:
    """Return a behaviour's class as it is shown: `R4`, or `R1 to R4` where it is not settled."""
    if one.ladder == one.ladder_at_most:
        return one.ladder
    return f"{one.ladder} to {one.ladder_at_most}"


def _behaviour(one: Behaviour) -> str:
    what = one.act or "an act"
    return f"{what} ({category_of(one.drive)}, {one.drive}): {behaviour_class(one)}"


def _digests(incident: Incident) -> list[tuple[str, str]]:
    values = incident.system.model_dump()
    return [(name, value) for name, value in values.items() if name.endswith("digest") and value]


def _named(part: Any, *names: str) -> list[str]:
    return [f"{name.replace('_', ' ')}: {line}" for name in names for line in getattr(part, name)]


def _field(number: str, title: str, lines: Iterable[str]) -> Field:
    return Field(number, title, tuple(lines) or (NOT_KNOWN,))


def _moment(moment: Moment | None) -> str:
    return NOT_KNOWN if moment is None else str(moment)


def _estimate(estimated: bool) -> str:
    return " (an estimate)" if estimated else ""


def _known(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return NOT_KNOWN if value is None else str(value)


def _clock(clock: Clock) -> str:
    due = clock.due_at
    when = "" if due is None else f", due {utc(due)} at the earliest"
    perhaps = "" if clock.rule.applies == "yes" else "if it applies: "
    return f"{perhaps}{clock.rule.what}: {clock.word}{when}"
