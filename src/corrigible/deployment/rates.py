"""Rates: probabilities that an operator states, as decimals, fractions or ranges.

A rate that nobody stated has no default value, only a default range (`DEFAULT_RANGES`): what
follows from it is computed over the range, never from a guess that looks like a fact.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_FORMS = "a decimal (0.05), a fraction (1/20) or a range (0.2..0.8)"
_NUMBER = re.compile(
    r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?|[+-]?\d{1,18}\s*/\s*\d{1,18}",
    re.IGNORECASE | re.ASCII,
)
_LONGEST = 80  # characters in one rate: Fraction of a huge exponent takes for ever


def _number(value: object) -> float:
    """Read one number; raises ValueError with the forms that are taken."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        got = repr(value)[:_LONGEST]
        raise ValueError(f"must be {_FORMS}, got {got}")  # noqa: TRY004  (one kind of error)
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
            raise ValueError(f"must be {_FORMS}, got {value[:_LONGEST]!r}")
        if re.search(r"/\s*0+$", text):
            raise ValueError(f"must not divide by zero, got {value!r}")
        return float(Fraction(re.sub(r"\s", "", text))) if "/" in text else float(text)
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"must be {_FORMS}, got a number of over 300 digits") from None


def _ends(value: object) -> tuple[float, float]:
    if isinstance(value, str) and ".." in value:
        low, _, high = value.partition("..")
        return _number(low), _number(high)
    return _number(value), _number(value)


def _range_error(text: str) -> PydanticCustomError:
    return PydanticCustomError("rate", "{text}", {"text": text})


@dataclass(frozen=True)
class Span:
    """A number that lies somewhere in `low..high`; exactly known where the two are equal."""

    low: float
    high: float

    @property
    def exact(self) -> bool:
        """Whether the number is known exactly."""
        return self.low == self.high

    @property
    def middle(self) -> float:
        """The arithmetic middle of the span."""
        return (self.low + self.high) / 2

    def __str__(self) -> str:
        return f"{self.low!r}" if self.exact else f"{self.low!r}..{self.high!r}"

    @classmethod
    def _limits(cls) -> tuple[float, float, str]:
        return 0.0, float("inf"), "0 or more"

    @classmethod
    def parse(cls, value: object) -> "Span":
        """Read a number or a range.  Raises ValueError with the rule and the value got."""
        if isinstance(value, Span):
            return cls(value.low, value.high)
        low, high = _ends(value)
        least, most, words = cls._limits()
        if not (least <= low <= most and least <= high <= most):
            raise ValueError(f"must be {words}, got {value!r}")
        if low > high:
            raise ValueError(f"a range runs from low to high, got {value!r}")
        return cls(low + 0.0, high + 0.0)  # no negative zero: it would be written otherwise

    @classmethod
    def _validate(cls, value: object) -> "Span":
        try:
            return cls.parse(value)
        except ValueError as error:
            raise _range_error(str(error)) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read by `parse`, written back as text."""
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )


class Rate(Span):
    """A probability in [0, 1], or a range of them."""

    @classmethod
    def _limits(cls) -> tuple[float, float, str]:
        return 0.0, 1.0, "a probability, 0 to 1"


class Steps(Span):
    """A number of steps, 1 or more, or a range of them."""

    @classmethod
    def _limits(cls) -> tuple[float, float, str]:
        return 1.0, 1e6, "a number of steps, 1 to 1,000,000"


DEFAULT_RANGES: Mapping[str, Span] = MappingProxyType({
    "horizon": Steps(20, 200),
    "success": Rate(0.5, 1.0),
    "drift": Rate(0.0, 0.05),
    "wear": Rate(0.01, 0.2),
    "stop_rate": Rate(0.01, 0.1),
    "correction_rate": Rate(0.0, 0.05),
    "detection": Rate(0.1, 0.9),
    "approval_rate": Rate(0.2, 0.9),
})  # fmt: skip
"""What an unstated rate may be; the key is the last word of the rate's path in the manifest."""
