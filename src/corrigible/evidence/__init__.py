"""Evidence: estimates with their intervals, one immutable record of each, and the store.

An `Estimate` is a value with its 95 % interval and its n, or says that nothing was measured.
A `Record` says what was measured, on what, how, and until when it counts; its id is the digest
of everything else in it.  `Trials` are what a share is counted from, one by one.  An
`EvidenceStore` keeps records, and what they rest on as attachments, beside the manifest: both are
added, never changed, and every reading checks what it reads against its digest.

Evidence that no longer fits what is deployed supports nothing: ask `is_stale` first.
"""

from corrigible.evidence.attachments import Attachment
from corrigible.evidence.estimate import (
    Estimate,
    exact_estimate,
    mean_estimate,
    not_measured,
    share_estimate,
)
from corrigible.evidence.record import (
    ALL_DRIVES,
    EVIDENCE_KINDS,
    Digests,
    EvidenceKind,
    Record,
    Unscored,
    is_stale,
    parse_record,
    record_json,
    software_digest,
)
from corrigible.evidence.sqlite_file import write_ahead
from corrigible.evidence.store import EvidenceStore, Reading, store_path
from corrigible.evidence.trials import Trials, parse_trials, trials_text

__all__ = [
    "ALL_DRIVES",
    "EVIDENCE_KINDS",
    "Attachment",
    "Digests",
    "Estimate",
    "EvidenceKind",
    "EvidenceStore",
    "Reading",
    "Record",
    "Trials",
    "Unscored",
    "exact_estimate",
    "is_stale",
    "mean_estimate",
    "not_measured",
    "parse_record",
    "parse_trials",
    "record_json",
    "share_estimate",
    "software_digest",
    "store_path",
    "trials_text",
    "write_ahead",
]
