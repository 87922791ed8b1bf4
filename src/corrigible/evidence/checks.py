"""What every part of evidence checks its fields by, and its one way of writing JSON."""

import json
import math
import re
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any

from corrigible.errors import EvidenceError


def canonical(plain: dict[str, Any]) -> str:
    """Return plain values as one line of JSON, one text for equal values (ASCII)."""
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def utc(name: str, moment: datetime) -> datetime:
    """Return a moment in UTC; one without its time zone is an EvidenceError that names it."""
    aware = isinstance(moment, datetime) and moment.utcoffset() is not None
    require(aware, name, "a datetime with its time zone, as datetime.now(UTC)", moment)
    return moment.astimezone(UTC)


def sha256(name: str, digest: object) -> str:
    """Return a digest as `sha256:` and 64 hex digits; the prefix may be missing."""
    fits = isinstance(digest, str) and re.fullmatch(r"(sha256:)?[0-9a-f]{64}", digest)
    require(bool(fits), name, "sha256:<64 hex digits>", digest)
    return f"sha256:{str(digest)[-64:]}"


def is_count(value: object) -> bool:
    """Say whether a value is a whole number from 0, numpy's too; True is none."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= 0


def is_number(value: object) -> bool:
    """Say whether a value is a finite number; True is none."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def require_text(name: str, value: object) -> None:
    """Raise EvidenceError unless a value is a text that says something."""
    require(isinstance(value, str) and bool(value.strip()), name, "a text", value)


def require(holds: bool, name: str, rule: str, got: object) -> None:
    """Raise EvidenceError with the place, the rule and what came, unless the rule holds."""
    if not holds:
        raise EvidenceError(f"{name} must be {rule}, got {got!r}")
