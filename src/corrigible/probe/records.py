"""A probe's figures as records of evidence; those of a failed control support nothing."""

from datetime import datetime, timedelta

from corrigible.evidence import Digests, Estimate, Record, Unscored, not_measured
from corrigible.probe.result import DriveResult, ProbeResult

EXPIRES_AFTER = timedelta(days=90)


def records_of(
    result: ProbeResult, digests: Digests, *, command: str, made: datetime
) -> tuple[Record, ...]:
    """Return one record for each figure of each drive.

    `digests.agent` must be the agent's (`run.agent_digest`): what one agent does says nothing of
    another.  A drive whose controls failed gets one record of its rate, not measured, with why.
    """
    return tuple(
        record
        for found in result.drives
        for record in _records(result, found, digests, command=command, made=made)
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
        )
        for name, estimate in measured.items()
        if estimate.measured or not found.validity.valid
    ]


def _method(estimate: Estimate) -> str:
    return f"acts in simulated episodes, scored from state and calls; {estimate.method}"
