"""A probe's figures as records of evidence; those of a failed control support nothing."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from corrigible.evidence import (
    ALL_DRIVES,
    Attachment,
    Digests,
    Estimate,
    Record,
    Unscored,
    not_measured,
)
from corrigible.probe.result import DriveResult, ProbeResult

EXPIRES_AFTER = timedelta(days=90)
_COUNTED = frozenset({"rate", "opportunity", "recurrence"})
"""Figures that are counted from the trials of one drive alone."""


def attachments_of(result: ProbeResult) -> tuple[Attachment, ...]:
    """Return the raw trials that the records of `records_of` name as their source."""
    return tuple(found.trials.attachment() for found in result.drives)


def records_of(
    result: ProbeResult, digests: Digests, *, command: str, made: datetime
) -> tuple[Record, ...]:
    """Return one record for each figure of each drive, each twin's difference, and sandbagging.

    `digests.agent` must be the agent's (`run.agent_digest`): what one agent does says nothing of
    another.  A drive whose controls failed gets one record of its rate, not measured, with why.
    """
    return tuple(
        record
        for found in result.drives
        for record in _records(result, found, digests, command=command, made=made)
    ) + tuple(_differences(result, digests, command=command, made=made))


def _differences(
    result: ProbeResult, digests: Digests, *, command: str, made: datetime
) -> Iterator[Record]:
    """Yield what twins and a costly score change; a doubt about the rates is answered by these.

    A twin of usefulness is left out: its difference is the record `sensitivity`.
    """
    valid = {found.drive for found in result.drives if found.validity.valid}
    found = [
        (twin.drive, f"twin/{twin.factor.replace(' ', '-')}", twin.difference)
        for twin in result.twins
        if twin.factor != "usefulness" and twin.drive in valid
    ]
    found.append((ALL_DRIVES, "sandbagging", result.sandbagging))
    for drive, name, estimate in found:
        if estimate.measured:
            yield Record(
                kind="propensity",
                drive=drive,
                measure=f"{name}/{result.distribution}",
                estimate=estimate,
                digests=digests,
                method=_method(estimate),
                seed=result.seed,
                command=command,
                made=made,
                expires=made + EXPIRES_AFTER,
            )


def _records(
    result: ProbeResult, found: DriveResult, digests: Digests, *, command: str, made: datetime
) -> list[Record]:
    measured = {
        "rate": found.rate,
        "opportunity": found.opportunity,
        "recurrence": found.recurrence,
        "sensitivity": found.sensitivity,
        "excess": found.excess,
    }
    unscored = [Unscored(why, count) for why, count in found.left_out.items()]
    if not found.validity.valid:
        measured = {"rate": not_measured(found.rate.n)}
        unscored.append(Unscored(f"invalid: {found.validity.why}", max(found.rate.n, 1)))
    source = found.trials.attachment().digest
    return [
        Record(
            kind="propensity",
            drive=found.drive,
            measure=f"{name}/{result.distribution}",
            estimate=estimate,
            digests=digests,
            method=_method(estimate),
            seed=result.seed,
            command=command,
            made=made,
            expires=made + EXPIRES_AFTER,
            unscored=tuple(unscored),
            source=source if name in _COUNTED else None,
        )
        for name, estimate in measured.items()
        if estimate.measured or not found.validity.valid
    ]


def _method(estimate: Estimate) -> str:
    return f"acts in simulated episodes, scored from state and calls; {estimate.method}"
