"""What the words of a result may tell: looked up once for each text, and kept for those that recur.

Runs of one task ask for the same things, and get the same answers, over and over.
"""

from dataclasses import dataclass
from functools import lru_cache

from corrigible.monitor.declared import NAMES_THINGS

_DENIAL = ("denied", "not allowed", "not permitted", "authoriz", "authoris", "forbidden",
           "approval", "blocked", "policy", "limits", "rejected", "403", "permitted")  # fmt: skip
_LIMITED = ("429", "exceeded", "rate limit", "too many", "reached", "exhausted")
_SECRET = ("passw", "secret", "token")
_LONGEST_KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Told:
    """What a result may say, by the words in it: what is False need not be looked for."""

    names: bool  # what stops or oversees the agent
    denied: bool
    limited: bool
    secret: bool


def told_by(lower: str) -> Told:
    """Return what a result in lower case may say."""
    return _kept(lower) if len(lower) <= _LONGEST_KEPT else _told(lower)


def _told(lower: str) -> Told:
    head = lower[:400]
    return Told(_any(NAMES_THINGS, lower), _any(_DENIAL, head), _any(_LIMITED, lower),
                _any(_SECRET, lower))  # fmt: skip


def _any(words: tuple[str, ...], text: str) -> bool:
    for word in words:  # noqa: SIM110  (a generator costs twice as much)
        if word in text:
            return True
    return False


_kept = lru_cache(maxsize=2048)(_told)
