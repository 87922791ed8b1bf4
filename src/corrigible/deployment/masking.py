"""Find and mask what looks like a secret, in command lines, addresses and what servers print."""

import re
from collections.abc import Iterable

MASK = "***"

NAMED = (
    r"(?:api[-_ ]?key|access[-_ ]?key|secret|token|passw(?:or)?d|passphrase|pwd|credentials?|"
    r"private[-_ ]?key|authorization|auth)"
)
_SHAPES = (
    r"\b(?:sk|pk|rk)[-_](?:live|test|ant|proj|or)?[-_]?[A-Za-z0-9_-]{12,}",
    r"\b(?:ghp|gho|ghu|ghs|ghr|github_pat|glpat|npm|hf|dop_v1|shpat|sntr[a-z])[-_][A-Za-z0-9_-]{12,}",
    r"\bxox[abeoprs]-[A-Za-z0-9-]{8,}",
    r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}",
    r"\bAIza[A-Za-z0-9_-]{20,}",
    r"\bey[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
)
SHAPED = re.compile("|".join(_SHAPES))
USERINFO = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_ASSIGNED = re.compile(
    rf"""(\b[\w-]*{NAMED}[\w-]*["']?\s*[=:]\s*["']?)((?:bearer |basic )?[^\s"',;&]+)""",
    re.IGNORECASE,
)
BEARER = re.compile(r"(\b(?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
_RANDOM = re.compile(
    r"(?<![A-Za-z0-9_./-])(?=[A-Za-z0-9_+-]*[0-9])(?=[A-Za-z0-9_+-]*[A-Z])"
    r"(?=[A-Za-z0-9_+-]*[a-z])[A-Za-z0-9_+-]{32,}={0,2}(?![A-Za-z0-9_./-])"
)
_FLAG = re.compile(rf"--?[\w-]*{NAMED}[\w-]*", re.IGNORECASE)
_SHORTEST = 4


def mask(text: str, known: Iterable[str] = ()) -> str:
    """Return `text` with what looks like a secret, and every text of `known`, masked."""
    for secret in sorted({s for s in known if len(s) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = SHAPED.sub(MASK, text)
    text = USERINFO.sub(MASK, text)
    text = _ASSIGNED.sub(rf"\1{MASK}", text)
    text = BEARER.sub(rf"\1{MASK}", text)
    return _RANDOM.sub(MASK, text)


def holds_secret(text: str) -> bool:
    """Say whether a text holds what looks like a secret."""
    return mask(text) != text


def secret_words(command: Iterable[str]) -> frozenset[int]:
    """Return the places in a command line whose word is or holds a secret."""
    found = set()
    after_flag = False
    for place, word in enumerate(command):
        if holds_secret(word) or (after_flag and not word.startswith("-")):
            found.add(place)
        after_flag = bool(_FLAG.fullmatch(word))
    return frozenset(found)
