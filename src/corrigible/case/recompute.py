"""Leaves recomputed: a record's figure again, from the attachment that it names as its source."""

import json
from collections import Counter
from typing import Any

from corrigible.errors import EvidenceError
from corrigible.evidence import (
    Attachment,
    Estimate,
    Record,
    Trials,
    not_measured,
    parse_trials,
    share_estimate,
)
from corrigible.evidence.trials import EVENT, NO_OPPORTUNITY, NONE

_AS_GOOD_AS = 1e-9
"""How far a recomputed figure may be off: two machines round differently."""


def trials_behind(attachment: Attachment) -> Trials | None:
    """Return the raw trials that an attachment holds, None where it is of another kind.

    Raises:
        EvidenceError: the attachment says that it holds trials, and does not.
    """
    return parse_trials(attachment.body) if attachment.kind == "trials" else None


def contradiction(record: Record, source: Trials | dict[str, Any]) -> str | None:
    """Return how a record's figure differs from its source, or None where it is the same.

    A record that says that it measured nothing is contradicted by nothing.
    """
    said = record.estimate
    if not said.measured:
        return None
    if isinstance(source, Trials):
        found = recomputed(record.measure, source)
    else:
        if source.get("digest") != record.digests.manifest:
            return f"its audit is of the manifest {str(source.get('digest'))[:19]}"
        found = _audited(record, source)
    if found is None:
        return "its attachment holds no such figure"
    parts = ("value", "low", "high")
    off = [p for p in parts if not _alike(getattr(said, p), getattr(found, p))]
    if not off and said.n == found.n:
        return None
    what = off[0] if off else "n"
    one, two = getattr(found, what), getattr(said, what)
    return f"recomputed {what} {_figure(one)}, the record says {_figure(two)}"


def recomputed(measure: str, trials: Trials) -> Estimate | None:
    """Return the figure of a measure from its trials, by the method that its record used.

    None where the measure is not counted from trials of one drive.
    """
    stem = measure.partition("/")[0]
    if stem == "rate":
        return rate_of(trials)
    if stem == "opportunity":
        none = trials.outcome.count(NO_OPPORTUNITY)
        return share_estimate(trials.n, trials.n + none)
    if stem == "recurrence":
        events, sizes = by_cluster(trials)
        return share_estimate(sum(k > 0 for k in events), len(sizes))
    if stem in {"paths-stopped", "attacks-held", "stops-proven"}:
        return share_estimate(trials.n - trials.events, trials.n)
    return None


def rate_of(trials: Trials) -> Estimate:
    """Return the share of events: exact where every trial stands alone, else over clusters."""
    if trials.alone:
        return share_estimate(trials.events, trials.n)
    events, sizes = by_cluster(trials)
    if max(sizes, default=1) == 1:
        return share_estimate(trials.events, trials.n)
    import numpy as np  # noqa: PLC0415  (only where there are clusters)

    from corrigible.probe.statistics import clustered_share  # noqa: PLC0415

    return clustered_share(np.array(events, dtype=np.int64), np.array(sizes, dtype=np.int64))


def by_cluster(trials: Trials) -> tuple[list[int], list[int]]:
    """Return for each cluster with a trial that counts its events and its size."""
    pairs = list(zip(trials.cluster, trials.outcome, strict=True))
    sizes = Counter(c for c, o in pairs if o in (EVENT, NONE))
    events = Counter(c for c, o in pairs if o == EVENT)
    return [events[c] for c in sizes], list(sizes.values())


def audit_document(attachment: Attachment) -> dict[str, Any]:
    """Return the audit that an attachment of the kind `audit` holds.

    Raises:
        EvidenceError: it holds none.
    """
    try:
        plain = json.loads(attachment.body)
        if plain["digest"] and isinstance(plain["drives"], list):
            return dict(plain)
    except (ValueError, TypeError, LookupError, RecursionError):
        pass
    what = f"must be an audit, got {attachment.body[:80]!r}"
    raise EvidenceError(f"the attachment {attachment.digest} {what}")


def audited(audit: dict[str, Any], drive: str) -> dict[str, Any] | None:
    """Return what an audit answers for a drive, a family or `all`; None where it does not."""
    answers = [*audit.get("drives", ()), *audit.get("families", ())]
    if drive == "all":
        joint = audit.get("joint")
        return joint if isinstance(joint, dict) else None
    return next((one for one in answers if one.get("drive") == drive), None)


def _audited(record: Record, audit: dict[str, Any]) -> Estimate | None:
    answer = audited(audit, record.drive)
    stem, _, goals = record.measure.partition("/")
    try:
        if answer is None or audit["goals"]["distribution"] != goals:
            return None
        plain = answer["pays"][stem]
        if plain["value"] is None:
            return not_measured(plain["n"])
        return Estimate(
            plain["value"], plain["low"], plain["high"], plain["n"], record.estimate.method
        )
    except (TypeError, LookupError, EvidenceError):
        return None


def _alike(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return abs(one - two) <= _AS_GOOD_AS * max(1.0, abs(one))


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.6g}"
