"""Take secrets out of what the ledger keeps, and bound it; equal secrets stay recognisable.

A secret is replaced by the start of its salted HMAC-SHA256: who has the salt can tell whether a
given secret was used, and nobody can look short ones up in a table.  What is taken for a secret:
every text that is known to be one, in the spellings it is commonly sent in; what `mask` would
mask; and what stands under a key that is named like one.  A secret that is none of these stays.
"""

import base64
import hashlib
import hmac
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from corrigible.deployment.masking import BEARER, NAMED, SHAPED, USERINFO

LONGEST_TEXT = 2000
"""Characters of one text that are kept; the rest is its length and a digest of the whole."""

_MOST_CHARACTERS = 50_000  # of one value, all its texts together
_MOST_ITEMS = 4000  # of one value, in all its objects and lists
_DEEPEST = 32
_SHORTEST = 4  # of a known secret, as in `mask`: shorter ones are in every text
_MARGIN = 500  # read beyond the end, so that what looks like a secret there still does
_LONGEST_NUMBER = 256  # bits
_NAMES_KEPT, _LONGEST_NAME = 2048, 64  # names that were looked at, and their characters

_NAME = re.compile(
    r"api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|secret|token|passw(?:or)?d|passphrase|pwd|"
    r"credential|authori[sz]ation|auth(?!or)|cookie|session[-_ ]?id|signature|\b(?:pin|otp|cvv)\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"tokens\b|count|limit|max|length", re.IGNORECASE)
_MARKER = re.compile(r"<redacted sha256:[0-9a-f]{16}>")

# The rules of `mask` that look at names, with every repetition bounded: an agent chooses what
# is redacted, and must not be able to make that slow.
_ASSIGNED = re.compile(
    rf"""{NAMED}[\w-]{{0,40}}["']?\s{{0,4}}[=:]\s{{0,4}}["']?"""
    r"""((?:bearer |basic )?[^\s"',;&]+)""",
    re.IGNORECASE,
)
_RANDOM = re.compile(
    r"(?<![A-Za-z0-9_./+-])(?=[A-Za-z0-9_+-]*[0-9])(?=[A-Za-z0-9_+-]*[A-Z])"
    r"(?=[A-Za-z0-9_+-]*[a-z])[A-Za-z0-9_+-]{32,}={0,2}(?![A-Za-z0-9_./-])"
)
# What a text must hold for a rule to match: most texts hold none of it, and this is quicker.
_LONG_WORD = re.compile(r"[A-Za-z0-9_.+-]{13}")
_NAMED = ("key", "secret", "token", "passw", "passphrase", "pwd", "credential", "auth")
# One look for all of it, in plain ASCII.
_MAY_MATCH = re.compile(
    rf"{_LONG_WORD.pattern}|-----BEGIN|://|{'|'.join(_NAMED)}|bearer|basic", re.IGNORECASE
)


def redact(value: Any, secrets: Iterable[str], salt: bytes) -> Any:
    """Return `value` without secrets, bounded, and safe to write as JSON; see `Redactor`."""
    return Redactor(secrets, salt).redact(value)


class Redactor:
    """Takes the same secrets out of many values.  Never raises while it does.

    Args:
        secrets: texts known to be secret; those under 4 characters are left out.
        salt: random bytes that stay beside the guard's key, as `signing.ledger_salt` keeps them.
    """

    def __init__(self, secrets: Iterable[str], salt: bytes) -> None:
        self._salt = salt
        self._spelled = {
            spelling: secret
            for secret in sorted({text for text in secrets if len(text) >= _SHORTEST})
            for spelling in _spellings(secret)
        }
        self._margin = _MARGIN + max(map(len, self._spelled), default=0)
        self._shortest = min(map(len, self._spelled), default=LONGEST_TEXT + 1)
        self.is_common = lru_cache(maxsize=_NAMES_KEPT)(self._is_common)

    def redact(self, value: Any) -> Any:
        """Return the value: mappings as dicts, sequences as lists, what is not JSON as text."""
        try:
            return _Pass(self).value(value, 0)
        except Exception as error:  # noqa: BLE001  (a foreign object's own methods may do anything)
            return f"<could not be read: {type(error).__name__}>"

    def digest(self, text: str) -> str:
        """Return the first 16 hex digits of the text's salted digest."""
        content = text.encode("utf-8", "surrogatepass")
        return hmac.new(self._salt, content, hashlib.sha256).hexdigest()[:16]

    def marker(self, secret: str) -> str:
        """Return what stands in a secret's place."""
        return f"<redacted sha256:{self.digest(secret)}>"

    def whole(self, value: Any) -> str:
        """Return what stands in place of a text that is secret as a whole."""
        text = str(value)
        return text if not text or _MARKER.fullmatch(text) else self.marker(text)

    def text(self, text: str, longest: int = LONGEST_TEXT) -> str:
        """Return a text without its secrets, `longest` characters of it and a digest at most."""
        if len(text) <= longest and self._is_harmless(text):
            return text
        window = text[: longest + self._margin]
        kept, at = [], 0
        for span in self._spans(window):
            if span.start >= longest:
                break
            kept += [window[at : span.start], self.marker(span.secret)]
            at = span.end
        kept.append(window[at : max(at, longest)])
        if len(text) > longest:
            kept.append(f"<cut: {len(text)} characters, sha256:{self.digest(text)}>")
        return "".join(kept)

    def _is_common(self, name: str) -> bool:
        """Whether a name stays as it is, and says nothing of what is under it."""
        return self._is_harmless(name) and not _NAME.search(name)

    def _is_harmless(self, text: str) -> bool:
        """Whether no rule can find anything in a short text."""
        if not text.isascii() or _MAY_MATCH.search(text):
            return False
        return len(text) < self._shortest or not any(known in text for known in self._spelled)

    def _spans(self, text: str) -> "Iterator[_Span]":
        """Where secrets are, in order, without overlaps: known ones first, then what looks so."""
        known = [
            _Span(found.start(), found.end(), secret)
            for spelling, secret in self._spelled.items()
            if spelling in text
            for found in re.finditer(re.escape(spelling), text)
        ]
        marked = [found.span() for found in _MARKER.finditer(text)] if "<" in text else []
        looks = []
        for rule in _rules(text):
            for found in rule.finditer(text):
                start, end = found.span(found.re.groups)  # the last group, or the whole
                if not any(first <= start and end <= last for first, last in marked):
                    looks.append((start, end))
        return _merged(text, known, looks)


def _rules(text: str) -> Iterator[re.Pattern[str]]:
    """The rules that may find something."""
    if _LONG_WORD.search(text) or "-----BEGIN" in text:
        yield SHAPED
        yield _RANDOM
    if "://" in text:
        yield USERINFO
    lower = text.lower()
    if any(name in lower for name in _NAMED):
        yield _ASSIGNED
    if "bearer" in lower or "basic" in lower:
        yield BEARER


@dataclass(frozen=True)
class _Span:
    start: int
    end: int
    secret: str


def _merged(text: str, known: list[_Span], looks: list[tuple[int, int]]) -> Iterator[_Span]:
    """Join what overlaps; a span with one known secret in it has that secret's digest."""
    ends = [(span.start, span.end, span.secret) for span in known]
    spans = sorted([*ends, *((start, end, "") for start, end in looks)])
    at = 0
    while at < len(spans):
        start, end, secret = spans[at]
        at += 1
        while at < len(spans) and spans[at][0] < end:
            end, secret = max(end, spans[at][1]), secret or spans[at][2]
            at += 1
        yield _Span(start, end, secret or text[start:end])


class _Pass:
    """One value on its way: how many characters and items are left for it."""

    def __init__(self, redactor: Redactor) -> None:
        self.by = redactor
        self.left = _MOST_CHARACTERS
        self.items = _MOST_ITEMS

    def value(self, value: Any, depth: int, *, secret: bool = False) -> Any:
        if isinstance(value, str):
            return self.text(value, secret=secret)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self.number(value, secret=secret)
        if isinstance(value, Mapping | list | tuple):
            return self.nested(value, depth, secret=secret)
        if isinstance(value, bytes | bytearray):
            return f"<{len(value)} bytes, sha256:{self.by.digest(value.hex())}>"
        known = value is None or isinstance(value, bool)
        return value if known else f"<no JSON: {type(value).__name__}>"

    def nested(self, value: Any, depth: int, *, secret: bool) -> Any:
        if depth >= _DEEPEST:
            return "<nested too deep>"
        if isinstance(value, Mapping):
            return self.mapping(value, depth, secret=secret)
        kept: list[Any] = []
        for item in value:
            if not self.items:
                return [*kept, f"<cut: {len(value) - len(kept)} more items>"]
            self.items -= 1
            kept.append(self.value(item, depth + 1, secret=secret))
        return kept

    def text(self, text: str, *, secret: bool) -> str:
        shown = self.by.whole(text) if secret else self.by.text(text, min(LONGEST_TEXT, self.left))
        self.left = max(self.left - len(shown), 0)
        return shown

    def number(self, number: float, *, secret: bool) -> Any:
        if isinstance(number, int) and number.bit_length() > _LONGEST_NUMBER:
            return f"<integer of {number.bit_length()} bits>"
        if secret or str(number) in self.by._spelled:  # noqa: SLF001  (this module's own)
            return self.by.whole(number)
        return str(number) if isinstance(number, float) and not math.isfinite(number) else number

    def mapping(self, value: Mapping[Any, Any], depth: int, *, secret: bool) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for number, (key, item) in enumerate(value.items()):
            if not self.items:
                kept["<cut>"] = f"{len(value) - number} more items"
                break
            self.items -= 1
            plain = key if isinstance(key, str) else f"<{type(key).__name__}>"
            if len(plain) <= min(_LONGEST_NAME, self.left) and self.by.is_common(plain):
                name, named = plain, secret
                self.left -= len(name)
            else:
                named = secret or self.named(plain, item)
                name = self.text(plain, secret=False)
            if name in kept:
                name = f"{name} <again {number}>"
            kept[name] = self.value(item, depth + 1, secret=named)
        return kept

    def named(self, key: str, item: Any) -> bool:
        """Whether a key is named like a secret; one that counts tokens is not."""
        key = key[:LONGEST_TEXT]
        number = isinstance(item, int | float)
        return bool(_NAME.search(key)) and not (number and _COUNTED.search(key))


def _spellings(secret: str) -> set[str]:
    """The secret as it is commonly sent: plain, in JSON, in an address, in hex and base64."""
    raw = secret.encode("utf-8", "surrogatepass")
    found = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    found |= {quote(raw, safe=""), quote(raw), quote_plus(raw), raw.hex(), raw.hex().upper()}
    for before in range(3):  # base64 of a longer text that holds it, wherever it begins
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        first = -(-before * 8 // 6)  # whole characters that only the secret decides
        last = (before + len(raw)) * 8 // 6
        core = encoded[first:last]
        found |= {core, core.translate(str.maketrans("+/", "-_"))}
    return {spelling for spelling in found if len(spelling) >= _SHORTEST}
