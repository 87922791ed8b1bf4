"""Waivers: a person's signed word that a gate may be passed in spite of its own, until a day."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from corrigible.errors import EvidenceError, LedgerError
from corrigible.evidence import Attachment
from corrigible.evidence.checks import canonical, require, require_text, utc
from corrigible.guard.signing import SigningKey, parse_public_key


@dataclass(frozen=True)
class Waiver:
    """Who waives which gate, why, and until the end of which day (UTC).

    `of`: the digest of the gate as it was when it was waived: another limit needs another waiver.
    `key`: the fingerprint of the key that signed.  `problem`: why it does nothing (expired, badly
    signed, of another gate), None where it holds.
    """

    gate: str
    of: str
    owner: str
    why: str
    until: date
    made: datetime
    key: str
    problem: str | None = None


def waiver_attachment(
    key: SigningKey, *, gate: str, of: str, owner: str, why: str, until: date, made: datetime
) -> Attachment:
    """Return a signed waiver as a store keeps it.

    Args:
        key: who signs.
        gate: the gate's name.
        of: the gate's digest.
        owner: who answers for it.
        why: the reason.
        until: the last day on which it holds, in UTC.
        made: when.

    Raises:
        EvidenceError: the owner or the reason is empty, or the day lies before `made`.
    """
    require_text("owner", owner)
    require_text("why", why)
    at = utc("made", made)
    require(until >= at.date(), "until", f"{at.date()} or later", str(until))
    said = {
        "waiver": 1,
        "gate": gate,
        "of": of,
        "owner": owner,
        "why": why,
        "until": until.isoformat(),
        "made": at.isoformat(),
        "key": key.public.pem(),
    }
    signature = key.sign(_message(said)).hex()
    return Attachment("waiver", canonical({**said, "signature": signature}))


def read_waiver(attachment: Attachment, now: datetime) -> Waiver:
    """Return a waiver, with its `problem` where it is badly signed or not of this day.

    Raises:
        EvidenceError: the attachment is no waiver at all.
    """
    try:
        plain = json.loads(attachment.body)
        signature = bytes.fromhex(plain.pop("signature"))
        public = parse_public_key(plain["key"])
        waiver = Waiver(
            gate=str(plain["gate"]),
            of=str(plain["of"]),
            owner=str(plain["owner"]),
            why=str(plain["why"]),
            until=date.fromisoformat(plain["until"]),
            made=utc("made", datetime.fromisoformat(plain["made"])),
            key=public.fingerprint,
        )
    except (ValueError, TypeError, LookupError, AttributeError, LedgerError) as error:
        what = f"must be a waiver, got {attachment.body[:80]!r}"
        raise EvidenceError(f"the attachment {attachment.digest} {what}") from error
    if not public.signed(_message(plain), signature):
        return replace(waiver, problem="its signature does not fit what it says")
    then = utc("now", now)
    if then < waiver.made:
        return replace(waiver, problem=f"made in the future, on {waiver.made:%Y-%m-%d %H:%M} UTC")
    if then.astimezone(UTC).date() > waiver.until:
        return replace(waiver, problem=f"expired on {waiver.until}")
    return waiver


def of_owner(waiver: Waiver, owners: Mapping[str, str]) -> Waiver:
    """Return a waiver with its `problem` where its owner's key is stated, and is another."""
    if waiver.problem is not None or not owners:
        return waiver
    known = owners.get(waiver.owner)
    if known is None:
        return replace(waiver, problem=f"{waiver.owner} is none of the owners who may waive")
    if known != waiver.key:
        return replace(waiver, problem=f"it is not signed by the key of {waiver.owner}")
    return waiver


def _message(said: Mapping[str, object]) -> bytes:
    return b"corrigible waiver\n" + canonical(dict(said)).encode()
