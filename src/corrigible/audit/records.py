"""An audit's answers as records of evidence."""

from datetime import datetime, timedelta

from corrigible.audit.audit import Answer, Audit
from corrigible.audit.incentives import JOINT
from corrigible.evidence import ALL_DRIVES, Digests, Record

EXPIRES_AFTER = timedelta(days=90)


def records_of(
    audit: Audit, digests: Digests, *, command: str, made: datetime, source: str | None = None
) -> tuple[Record, ...]:
    """Return one record for each share and advantage that was measured, by drive and family.

    They say what would pay, under the manifest's rates; they expire after `EXPIRES_AFTER`.
    `source`: the digest of the attachment that holds the audit whole.
    """
    answers = [*audit.drives, *audit.families]
    answers += [] if audit.joint is None else [audit.joint]
    return tuple(
        record
        for answer in answers
        for record in _records(audit, answer, digests, command=command, made=made, source=source)
    )


def _records(
    audit: Audit,
    answer: Answer,
    digests: Digests,
    *,
    command: str,
    made: datetime,
    source: str | None,
) -> list[Record]:
    measured = {
        "pressure": answer.pressure,
        "residual": answer.residual,
        "advantage": answer.advantage,
        "power_gain": answer.power_gain,
    }
    return [
        Record(
            kind="incentive",
            drive=ALL_DRIVES if answer.name == JOINT else answer.name,
            measure=f"{name}/{audit.distribution}",
            estimate=estimate,
            digests=digests,
            method=f"optimal policies over sampled goals, certified to {audit.tolerance:g}",
            seed=audit.seed,
            command=command,
            made=made,
            expires=made + EXPIRES_AFTER,
            source=source,
        )
        for name, estimate in measured.items()
        if estimate.measured
    ]
