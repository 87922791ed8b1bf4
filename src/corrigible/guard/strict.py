"""Arguments as plain JSON that every reader reads alike, or a refusal.

Two parsers may read one text in two ways: a key twice, a number too large, half a character, a
key that one of them folds into another.  What the guard then judged is not what the server does.
So such texts are refused, whatever they would mean.
"""

import json
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from corrigible.deployment.listing import plain
from corrigible.errors import GuardError
from corrigible.guard.alike import LONGEST, is_plain, look_of

DEEPEST = 32
LARGEST = 1_000_000  # bytes of a text; characters and values of an object
_LARGEST_WHOLE = 2**63
_LONGEST_NUMBER = 40  # digits: no double holds more, and a reader may take for ever


class StrictError(GuardError, ValueError):
    """Arguments that two readers may read in two ways; `rule` names the check."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def parse_strict(raw: str | bytes, *, largest: int = LARGEST) -> Any:
    """Read one JSON text.

    Raises:
        StrictError: it is no JSON, or holds what readers disagree on: a key twice or two that
            look alike, NaN or infinity, a whole number beyond 64 bits, half of a surrogate pair,
            more than `DEEPEST` levels or `largest` bytes.
    """
    if isinstance(raw, str):
        size = len(raw)
        text = raw
    else:
        size = len(raw)
        try:
            text = raw[: largest + 1].decode("utf-8")
        except UnicodeDecodeError as error:
            _refuse("json", f"must be UTF-8, byte {error.start} is not")
    if size > largest:
        _refuse("size", f"may be {largest:,} bytes at most, got {size:,}")
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=lambda word: _refuse("number", f"hold {word}, which JSON does not"),
            parse_int=_whole,
            parse_float=_fraction,
        )
    except RecursionError:
        _refuse("depth", f"may be {DEEPEST} levels deep, got more")
    except json.JSONDecodeError as error:
        _refuse("json", f"must be JSON: {error.msg} at character {error.pos}")
    return _checked(value, most=max(largest, LARGEST))


def check_arguments(value: Any) -> dict[str, Any]:
    """Return a copy of already parsed arguments, as exactly JSON's own types.

    Nobody who holds the original can change the copy.  `None` (no arguments) gives none.

    Raises:
        StrictError: as `parse_strict`; or they are no object, or hold what JSON does not.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        _refuse("type", f"must be an object of names and values, got {type(value).__name__}")
    checked: dict[str, Any] = _checked(value)
    looks: dict[str, str] = {}
    for key in checked:
        other = looks.setdefault(look_of(key), key)
        if other != key:
            _refuse("alike", f"hold two names that look alike: {plain(other)!r} and {plain(key)!r}")
    return checked


def _refuse(rule: str, message: str) -> NoReturn:
    raise StrictError(f"arguments.{rule}", f"the arguments {message}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add gives None
        _refuse("duplicate", f"hold the name {plain(twice, 80)!r} twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        _refuse("number", f"hold a whole number of {len(digits):,} digits; 64 bits is the most")
    return int(digits)


def _fraction(digits: str) -> float:
    if len(digits) > 10 * _LONGEST_NUMBER:
        _refuse("number", f"hold a number of {len(digits):,} characters")
    return float(digits)


class _Walk:
    """One pass over a value: counts what it has seen, so that no value takes for ever."""

    def __init__(self, most: int) -> None:
        self.left = most

    def copy(self, value: Any, depth: int) -> Any:
        """Return a copy of a value, or refuse it."""
        kind = type(value)
        if kind is str or kind is int or kind is float or kind is bool or value is None:
            self.left -= len(value) + 1 if kind is str else 8
            _refuse_scalar(value, kind)
        elif depth >= DEEPEST:
            _refuse("depth", f"may be {DEEPEST} levels deep, got more")
        elif isinstance(value, Mapping):
            value = self._object(value, depth)
        elif kind is list or kind is tuple:
            self.left -= len(value) + 1
            if self.left >= 0:
                value = [self.copy(item, depth + 1) for item in value]
        else:
            _refuse("type", f"hold a {plain(kind.__name__, 40)}, which JSON does not")
        if self.left < 0:
            _refuse("size", "hold more than a million characters or values")
        return value

    def _object(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in value.items():
            if type(key) is not str:
                _refuse("type", f"hold a name that is no text but {type(key).__name__}")
            if len(key) > LONGEST:
                _refuse("key", f"hold a name of {len(key):,} characters; {LONGEST} is the most")
            if not is_plain(key) and (depth == 0 or key):
                _refuse_key(key)
            self.left -= len(key) + 1
            found[key] = self.copy(item, depth + 1)
        _refuse_equal_keys(found)
        return found


def _checked(value: Any, most: int = LARGEST) -> Any:
    return _Walk(most).copy(value, 0)


def _refuse_scalar(value: Any, kind: type) -> None:
    if kind is str and not value.isascii():
        _refuse_half_characters(value)
    elif kind is int and not -_LARGEST_WHOLE <= value < _LARGEST_WHOLE:
        _refuse("number", "hold a whole number beyond 64 bits: readers would change it")
    elif kind is float and not math.isfinite(value):
        _refuse("number", "hold NaN or infinity, which JSON does not")


def _refuse_half_characters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        _refuse("surrogate", "hold half of a surrogate pair: readers would change it")


def _refuse_key(key: str) -> None:
    _refuse_half_characters(key)
    words = "a control, an invisible or an outer space character"
    _refuse("key", f"hold a name with {words}: {plain(repr(key), 80)}")


def _refuse_equal_keys(keys: Iterable[str]) -> None:
    """Refuse names of one object that are one in compatibility form, as some readers take them."""
    odd = [key for key in keys if not key.isascii()]
    for key in odd:
        _refuse_half_characters(key)
    if not odd:
        return
    forms: dict[str, str] = {}
    for key in keys:
        other = forms.setdefault(unicodedata.normalize("NFKC", key), key)
        if other != key:
            words = f"{plain(other, 80)!r} and {plain(key, 80)!r}"
            _refuse("alike", f"hold two names that are one in compatibility form: {words}")
