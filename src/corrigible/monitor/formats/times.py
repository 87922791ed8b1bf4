"""Moments as logs write them, as seconds since 1970."""

import math
from datetime import UTC, datetime
from typing import Any

_LATEST = 32_503_680_000  # the year 3000: what is larger counts in smaller units
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000)


def moment(value: Any) -> float | None:
    """Return seconds since 1970; None where it cannot be told.

    Numbers are taken for seconds, milliseconds, microseconds or nanoseconds, whichever lies
    before the year 3000; text for ISO 8601, UTC where it states no zone, or for such a number.
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        return _of_text(value)
    if not isinstance(value, int | float) or not 0 < value < _LATEST * _UNITS[-1]:
        return None
    return next(float(value) / unit for unit in _UNITS if value / unit < _LATEST)


def _of_text(text: str) -> float | None:
    if len(text) > 64:  # noqa: PLR2004  (no moment is longer)
        return None
    if text.isascii() and text.isdigit():
        return moment(int(text))
    try:
        found = datetime.fromisoformat(text)
        return _finite((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def _finite(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) else None
