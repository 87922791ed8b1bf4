"""What a target of the fuzzer is, and how a check says that something is wrong."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random


class Wrong(Exception):  # noqa: N818  (a finding, not an error of ours)
    """A promise that does not hold for the input."""


class TooSlow(BaseException):
    """The input took too long.  No `except Exception` on the way swallows it."""


@dataclass(frozen=True)
class Target:
    """`make` draws an input; `check` raises whatever for one that breaks a promise."""

    name: str
    make: Callable[[Random], bytes]
    check: Callable[[bytes], None]


def require(holds: object, told: str) -> None:
    """Raise `Wrong` unless something holds."""
    if not holds:
        raise Wrong(told)
