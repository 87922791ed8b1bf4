"""The record of one incident, checked on creation.  `incident.schema.json` is its JSON Schema.

Every field that is not known is null, which says "not known": never zero, never safe.  Texts hold
only what is printable, and are bounded: they come from people, agents, logs and other tools.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from corrigible.deployment.listing import plain
from corrigible.drives import DRIVES
from corrigible.errors import IncidentError
from corrigible.guard.strict import StrictError, parse_strict

FORMAT: Final = "corrigible/incident/v1"
LARGEST = 1_000_000
"""Characters of one record in JSON."""

Status = Literal["open", "contained", "resolved", "withdrawn"]
Rung = Literal["R0", "R1", "R2", "R3", "R4", "R5"]
Hypothesis = Literal[
    "ambiguity", "persistence", "capability_error", "harness_fault", "hijack",
    "strategic_resistance", "undetermined",
]  # fmt: skip
Regime = Literal[
    "eu-cop/initial", "eu-cop/update", "eu-cop/final", "sb53/15-days", "sb53/24-hours",
    "raise/72-hours", "ai-act/art-73",
]  # fmt: skip
"""What a report may have been submitted under: the names of the clocks."""

_SHOWN = r"^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$"
_SHOWN_LINES = r"^[^\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$"


def _printable(text: str) -> str:
    strange = next((c for c in text if not (c.isprintable() or c == "\n")), None)
    if strange is not None:
        raise ValueError(
            f"holds the character U+{ord(strange):04X}, which is no text; leave it out"
        )
    return text


Line = Annotated[
    str, Field(max_length=500, json_schema_extra={"pattern": _SHOWN}), AfterValidator(_printable)
]
"""One line of printable text."""
Words = Annotated[
    str,
    Field(max_length=10_000, json_schema_extra={"pattern": _SHOWN_LINES}),
    AfterValidator(_printable),
]
"""Printable text of several lines."""
Lines = Annotated[tuple[Line, ...], Field(max_length=200)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**12)]
Number = Annotated[float, Field(allow_inf_nan=False)]


_FIRST_YEAR, _LAST_YEAR = 1970, 2999


def _sensible(at: datetime) -> datetime:
    if not _FIRST_YEAR <= at.year <= _LAST_YEAR:
        raise ValueError(f"must lie between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return at


Instant = Annotated[AwareDatetime, AfterValidator(_sensible)]
"""A datetime with its time zone; one without is refused."""


def _known_drive(drive: str) -> str:
    if drive not in DRIVES:
        raise ValueError("must be a drive, FAMILY/MEMBER")
    return drive


Drive = Annotated[
    str, Field(json_schema_extra={"enum": list(DRIVES)}), AfterValidator(_known_drive)
]


class Part(BaseModel):
    """What every part of a record is: unchangeable, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Moment(Part):
    """When something happened: between two instants, equal where it is known exactly."""

    earliest: Instant
    latest: Instant

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.earliest > self.latest:
            raise ValueError(f"earliest, {self.earliest}, must not be after latest, {self.latest}")
        return self

    @property
    def exact(self) -> bool:
        """Whether it is one instant."""
        return self.earliest == self.latest

    def __str__(self) -> str:
        if self.exact:
            return utc(self.earliest)
        return f"{utc(self.earliest)} to {utc(self.latest)}"


def utc(moment: datetime) -> str:
    """Return a moment as it is shown everywhere: to the minute (seconds where there are), UTC."""
    at = moment.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}Z" if at.second else f"{at:%Y-%m-%d %H:%M}Z"


def parse_moment(text: str) -> Moment:
    """Read `2026-07-16T10:00Z`, a day `2026-07-16` (all of it, in UTC), or `FROM..TO` of these.

    Raises:
        IncidentError: it is no such text, or a time of day has no zone.
    """
    first, dots, last = text.partition("..")
    start, end = _reading(first), _reading(last) if dots else None
    if end is None:
        return start
    if start.earliest > end.latest:
        raise IncidentError(f"a range must end after it begins, got {plain(text, 80)!r}")
    return Moment(earliest=start.earliest, latest=end.latest)


def _reading(text: str) -> Moment:
    stripped = text.strip()
    try:
        if len(stripped) == len("2026-07-16"):
            day = datetime.combine(date.fromisoformat(stripped), time(), UTC)
            last = moment_at(day + timedelta(days=1) - timedelta(seconds=1))
            return Moment(earliest=moment_at(day).earliest, latest=last.latest)
        at = datetime.fromisoformat(stripped)
    except (ValueError, OverflowError):
        way = "as 2026-07-16T10:00Z, 2026-07-16, or FROM..TO"
        raise IncidentError(f"a moment must be written {way}, got {plain(text, 80)!r}") from None
    if at.utcoffset() is None:
        way = "a moment must have its time zone, as in 2026-07-16T10:00Z or +02:00"
        raise IncidentError(f"{way}, got {plain(text, 80)!r}")
    return moment_at(at)


def moment_at(at: datetime) -> Moment:
    """Return one instant as a moment.

    Raises:
        IncidentError: it has no time zone, or lies in no sensible year.
    """
    try:
        return Moment(earliest=at, latest=at)
    except ValidationError as error:
        raise IncidentError("\n".join(_problems(error, "a moment"))) from None


class Submission(Part):
    """A report that went out: under which regime's clock, when, and its reference there."""

    regime: Regime
    at: Instant
    ref: Line = ""


class Times(Part):
    """When what happened; null is not known.  Awareness has four readings, kept apart."""

    start: Moment | None = None
    end: Moment | None = None
    start_is_estimate: bool = False
    end_is_estimate: bool = False
    detected: Moment | None = None
    discovered: Moment | None = None
    aware_of_model_involvement: Moment | None = None
    determined: Moment | None = None
    contained: Moment | None = None
    fixed: Moment | None = None
    resolved: Moment | None = None
    submitted: Annotated[tuple[Submission, ...], Field(max_length=200)] = ()


class System(Part):
    """What acted, as digests where there are any."""

    deployment: Line = ""
    developer: Line = ""
    model: Line = ""
    manifest_digest: Digest | None = None
    agent_digest: Digest | None = None
    scaffold_digest: Digest | None = None
    prompt_digest: Digest | None = None
    tools_digest: Digest | None = None
    permissions_digest: Digest | None = None
    autonomy_level: Line = ""
    internal_use: bool | None = None
    high_risk: Literal["none", "annex_i", "annex_iii"] | None = None


class Context(Part):
    """Where it happened.  None of it lightens the class of what was done."""

    phase: Literal["evaluation", "internal", "staging", "production"] | None = None
    elicited_by_design: bool | None = None
    effect_outside_range: bool | None = None
    monitored: bool | None = None


class Stop(Part):
    """What is known of a stop that the behaviour concerned.

    `calls_after`: calls after it was delivered, those to the operator not counted.
    """

    issued: bool | None = None
    delivered: bool | None = None
    acknowledged: bool | None = None
    unambiguous: bool | None = None
    calls_after: Count | None = None
    asked: bool | None = None
    ended_by_itself: bool | None = None
    tried_to_defeat: bool | None = None
    latency_ms: Count | None = None
    grace_ms: Count | None = None


class Behaviour(Part):
    """One thing that the agent did, by the drive that it serves.

    `ladder` and `ladder_at_most` are computed (`classify`): the lowest and the highest rung that
    what is known allows; `left_open` names what would settle it.
    """

    drive: Drive
    act: Line = ""
    target: Line = ""
    authority: Literal["in_grant", "ambiguous", "over_grant", "prohibited"] | None = None
    stop: Stop | None = None
    necessity: Literal["needed", "helpful", "unneeded"] | None = None
    concealment: Literal["none", "omission", "false_statement", "tampering"] | None = None
    disclosed: bool | None = None
    asked_first: bool | None = None
    outcome: Literal["attempted", "partial", "succeeded", "control_defeated"] | None = None
    reversible: bool | None = None
    trace_ref: Lines = ()
    ladder: Rung = "R0"
    ladder_at_most: Rung = "R5"
    left_open: Lines = ()


class Axes(Part):
    """Two axes of a public scale of agent incidents, each from 0 to 1."""

    overreach: Share | None = None
    deception: Share | None = None


class Severity(Part):
    """How grave, in others' words; null is not decided, and clocks then say "if"."""

    oecd: Literal["hazard", "serious_hazard", "incident", "serious_incident", "disaster"] | None = (
        None
    )
    eu_category: Literal["none", "infra", "cyber", "death", "harm"] | None = None
    sb53_prong: Literal["none", "1", "2", "3", "4"] | None = None
    raise_incident: bool | None = None
    level: Literal["event", "serious", "critical"] | None = None
    near_miss: bool | None = None
    imminent_danger: bool | None = None


class TwinTest(Part):
    """One counterfactual: what switching one factor changed.

    `effect`: the share as it is, less the share with the factor switched; `low` and `high` its
    interval.  `k` of `n`: how often it was done with the factor switched.
    """

    id: Annotated[str, Field(pattern=r"^T([1-9]|1[01])$")]
    drive: Drive
    factor: Line = ""
    k: Count | None = None
    n: Count
    effect: Number | None = None
    low: Number | None = None
    high: Number | None = None
    ref: Line = ""


class Attribution(Part):
    """Why it was done, kept apart from what was done; `undetermined` is an answer.

    `hypotheses`: probabilities that somebody states, by `method`; they sum to 1 where there are
    any.  `reading`: what the twins' tests alone say, computed.
    """

    hypotheses: dict[Hypothesis, Share] = Field(default_factory=dict)
    tests: Annotated[tuple[TwinTest, ...], Field(max_length=200)] = ()
    reading: Hypothesis = "undetermined"
    why: Line = "no test of a twin is recorded"
    method: Line = ""
    reviewer: Line = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = sum(self.hypotheses.values())
        if self.hypotheses and abs(total - 1) > 1e-6:  # noqa: PLR2004  (what rounding leaves)
            raise ValueError(f"hypotheses must sum to 1, got {total:.6g}")
        return self


class Harm(Part):
    """Who was harmed, how, how much."""

    who: Line
    what: Line
    quantity: Line = ""


class Response(Part):
    """What was done about it, and who answers for it."""

    actions: Lines = ()
    owner: Line = ""


class RootCause(Part):
    """What led to it."""

    summary: Words = ""
    inputs: Lines = ()
    outputs: Lines = ()
    mitigations_failed: Lines = ()
    mitigations_circumvented: Lines = ()
    system_factors: Lines = ()
    contextual_factors: Lines = ()
    cognitive_factors: Lines = ()


class Patterns(Part):
    """What monitoring says beyond this one event."""

    near_misses: Count | None = None
    rate_per_1k_exposures: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    tolerance_id: Line = ""
    notes: Lines = ()


class ChainLink(Part):
    """One event of the chain."""

    at: Moment | None = None
    what: Line


class Evidence(Part):
    """One thing that was kept: its digest, and whether it was captured before the agent stopped."""

    sha256: Digest
    kind: Line
    captured_before_stop: bool | None = None
    custody: Line = ""


class Mappings(Part):
    """Where others' taxonomies and our own case put it."""

    atlas: Lines = ()
    owasp: Lines = ()
    cop: Lines = ()
    avid: Lines = ()
    aiid: Lines = ()
    case_nodes: Lines = ()
    gates: Lines = ()


class Waiver(Part):
    """Why an incident was closed without a regression probe, and who answers for that."""

    by: Annotated[Line, Field(min_length=1)]
    why: Annotated[Line, Field(min_length=1)]


class Incident(Part):
    """One incident, as one revision states it.

    `undermines`: the nodes of the safety case that it takes the support from: those that follow
    from the behaviours, and `mappings.case_nodes`.  `regression`: the command that would show
    whether it still happens; `regression_evidence`: the records that showed it does not.
    """

    id: Annotated[str, Field(pattern=r"^INC-[0-9]{4}-[0-9]{4}$")]
    revision: Annotated[int, Field(ge=1)] = 1
    status: Status = "open"
    title: Line = ""
    times: Times = Times()
    system: System = System()
    context: Context = Context()
    behaviours: Annotated[tuple[Behaviour, ...], Field(min_length=1, max_length=50)]
    axes: Axes = Axes()
    severity: Severity = Severity()
    attribution: Attribution = Attribution()
    harm: Annotated[tuple[Harm, ...], Field(max_length=200)] = ()
    chain: Annotated[tuple[ChainLink, ...], Field(max_length=500)] = ()
    response: Response = Response()
    recommendations: Lines = ()
    root_cause: RootCause = RootCause()
    resolution: Words = ""
    patterns: Patterns = Patterns()
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=500)] = ()
    mappings: Mappings = Mappings()
    submitter: Line = ""
    undermines: Lines = ()
    regression: Words | None = None
    regression_evidence: Annotated[tuple[Digest, ...], Field(max_length=50)] = ()
    waiver: Waiver | None = None

    @property
    def ended(self) -> bool:
        """Whether it undermines nothing any more: it is resolved, or was withdrawn."""
        return self.status in {"resolved", "withdrawn"}

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return self.model_dump(mode="json")


def incident_of(plain_values: Mapping[str, Any], *, where: str = "the incident") -> Incident:
    """Return the incident that plain JSON values state.

    Raises:
        IncidentError: a field breaks its rule; every one is named.
    """
    try:
        text = json.dumps(plain_values, allow_nan=False)
        parse_strict(text, largest=LARGEST)
        return Incident.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise IncidentError("\n".join(_problems(error, where))) from None
    except StrictError as error:
        said = str(error).removeprefix("the arguments ")
        raise IncidentError(f"{where}: {said}") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise IncidentError(f"{where} must be plain JSON values: {plain(error, 120)}") from None


def _problems(error: ValidationError, where: str) -> list[str]:
    lines = []
    found = error.errors(include_url=False, include_context=False)
    for item in found:
        inside = (other["loc"][: len(item["loc"])] == item["loc"] for other in found)
        if item["type"] == "too_short" and sum(inside) > 1:
            continue  # it is short of what is wrong in it
        path = ".".join(plain(step, 40) for step in item["loc"]) or "the record"
        said = item["msg"].removeprefix("Value error, ").replace("Input should", "must")
        got = item.get("input")
        shown = f", got {plain(got, 60)!r}" if isinstance(got, str | int | float) else ""
        lines.append(f"{where}: {path}: {plain(said, 300)}{shown}")
    return lines


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record, as `incident.schema.json` has it."""
    schema = Incident.model_json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": FORMAT,
    }
