"""Bytes into JSON values, one record at a time: bounded, and strict where readers disagree.

What is refused, so that no two readers see two things: other encodings than UTF-8, a key twice,
NaN and infinity, depth beyond `DEEPEST`, records beyond `LONGEST`.  Half of a surrogate pair
becomes U+FFFD: a tool's answer must not make the run unreadable that it stands in.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from corrigible.errors import TranscriptError
from corrigible.monitor.transcript import Bad

LONGEST = 64 << 20
"""Bytes of one line."""
LARGEST_DOCUMENT = 256 << 20
"""Bytes of a file that is one JSON text: it is read whole."""
DEEPEST = 64

_PART = 1 << 20
_BOMS = {
    b"\xff\xfe": "UTF-16 or UTF-32", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32",
    b"\x1f\x8b": "a gzip file: unpack it first",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placed:
    """One JSON value and where it stands."""

    value: Any
    line: int
    where: str


Records = Iterator[Placed | Bad]


def parse(raw: bytes | str) -> Any:
    """Read one JSON text.

    Raises:
        TranscriptError: it is none, or breaks a rule of this module.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TranscriptError(
            f"encoding: must be UTF-8, byte {error.start} is {error.object[error.start]:#04x}"
        ) from None
    try:
        value = _DECODER.decode(text)
    except TranscriptError:
        raise
    except RecursionError:
        _too_deep()
    except ValueError as error:  # JSONDecodeError, and whole numbers of thousands of digits
        said = getattr(error, "msg", None) or "a number with too many digits"
        raise TranscriptError(f"json: {said} at {getattr(error, 'pos', 0)}") from None
    if text.count("{") + text.count("[") > DEEPEST and isinstance(value, dict | list):
        _check_depth(value)
    return _whole_characters(value) if "\\ud" in text or "\\uD" in text else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TranscriptError(f"duplicate key: an object holds {twice[:80]!r} twice")
    return found


def _constant(word: str) -> NoReturn:
    raise TranscriptError(f"number: holds {word}, which JSON does not")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise TranscriptError(f"number: holds {digits[:40]}, which is no finite number")
    return number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_finite
)
"""Made once: `json.loads` would make one a record."""


def _too_deep() -> NoReturn:
    raise TranscriptError(f"depth: may be {DEEPEST} levels deep, got more")


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            item
            for one in level
            for item in (one.values() if type(one) is dict else one)
            if type(item) is dict or type(item) is list
        ]
        if not level:
            return
    _too_deep()


def _whole_characters(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole_characters(item) for item in value]
    if isinstance(value, dict):
        return {_whole_characters(key): _whole_characters(item) for key, item in value.items()}
    return value


def records_of(path: Path) -> Records:
    """Yield the JSON values of a file: of its lines, or of the one text that it is.

    An array gives its items.  Memory: one line, or the whole of a file that is one text.

    Raises:
        OSError: (while reading) the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4)
        for mark, what in _BOMS.items():
            if start.startswith(mark):
                yield Bad(str(path), 0, f"encoding: must be UTF-8 text, got {what}")
                return
        file.seek(3 if start.startswith(b"\xef\xbb\xbf") else 0)
        lines = _lines(file, str(path))
        number, first = _first(lines)
        if isinstance(first, bytes) and _opens_document(first):
            yield from _document(file, str(path))
            return
        if first is not None:
            yield from _values(chain([(number, first)], lines), str(path))


def _first(lines: Iterator[tuple[int, bytes | Bad]]) -> tuple[int, bytes | Bad | None]:
    """Return the first line that is not empty, and its number."""
    for number, line in lines:
        if isinstance(line, Bad) or line.strip():
            return number, line
    return 0, None


def _opens_document(line: bytes) -> bool:
    """Whether a first line is the beginning of one text that is written over several lines."""
    bare = line.strip()
    if bare in {b"{", b"["}:
        return True
    if not bare.endswith((b"{", b"[", b",", b":")):
        return False
    try:
        parse(bare)
    except TranscriptError:
        return bare.startswith((b"{", b"["))
    return False


def _lines(file: BinaryIO, source: str) -> Iterator[tuple[int, bytes | Bad]]:
    number = 0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) <= LONGEST:
            yield number, line
            continue
        size = len(line)
        del line
        while (rest := file.readline(_PART)) and not rest.endswith(b"\n"):
            size += len(rest)
        size += len(rest)
        yield number, Bad(source, number, f"size: a line may be {LONGEST:,} bytes, got {size:,}")


def _values(lines: Iterator[tuple[int, bytes | Bad]], source: str) -> Records:
    for number, line in lines:
        if isinstance(line, Bad):
            yield line
            continue
        if not line.strip():
            continue
        try:
            value = parse(line)
        except TranscriptError as error:
            cut = not line.endswith(b"\n") and str(error).startswith(("json", "encoding"))
            why = f"truncated: the file ends within this record ({error})" if cut else str(error)
            yield Bad(source, number, why)
            continue
        yield from _items(value, number, f"line {number}")


def _document(file: BinaryIO, source: str) -> Records:
    file.seek(0)
    raw = file.read(LARGEST_DOCUMENT + 1)
    if len(raw) > LARGEST_DOCUMENT:
        most = f"a file that is one JSON text may be {LARGEST_DOCUMENT:,} bytes"
        yield Bad(source, 0, f"size: {most}; write one record a line")
        return
    try:
        value = parse(raw.removeprefix(b"\xef\xbb\xbf"))
    except TranscriptError as error:
        cut = str(error).startswith("json") and not raw.rstrip().endswith((b"}", b"]"))
        why = f"truncated: the file ends within its JSON text ({error})" if cut else str(error)
        yield Bad(source, 0, why)
        return
    yield from _items(value, 1, "")


def _items(value: Any, line: int, where: str) -> Records:
    if not isinstance(value, list):
        yield Placed(value, line, where or "the file")
        return
    for number, item in enumerate(value):
        yield Placed(item, line, f"{where} item {number}".strip())
