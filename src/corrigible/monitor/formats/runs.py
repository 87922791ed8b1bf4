"""Records into transcripts: one run a file, read as it streams, or one run a record."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.lines import Placed, Records
from corrigible.monitor.transcript import Bad, Event, Transcript

Convert = Callable[[Placed], Iterable[Event]]

MOST_NAMED = 1000
"""Bad records of one run that are named; of the others only the number and the reason is kept."""


class BadOnes:
    """The bad records of one run: memory does not grow with them."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._named: list[Bad] = []
        self._more: dict[str, int] = {}

    def add(self, bad: Bad) -> None:
        """Note one."""
        if len(self._named) < MOST_NAMED:
            self._named.append(bad)
        else:
            self._more[bad.reason] = self._more.get(bad.reason, 0) + bad.count

    def take(self) -> Iterator[Bad]:
        """Yield all of them; what is not named any more as one for each reason."""
        yield from self._named
        for reason, count in self._more.items():
            yield Bad(self._source, 0, f"{reason}: {count:,} more, not named", count)


def one_run(  # noqa: PLR0917  (what a transcript is made of)
    records: Records, source: str, format_: str, convert: Convert, agent: str = "", id_: str = ""
) -> Iterator[Transcript | Bad]:
    """Yield the one run that a file holds, its events read as they are asked for; then what is bad.

    `convert` may raise TranscriptError: the record is then bad, and the run goes on.
    """
    bad = BadOnes(source)

    def events() -> Iterator[Event]:
        for record in records:
            if isinstance(record, Bad):
                bad.add(record)
                continue
            try:
                yield from convert(record)
            except Exception as error:  # noqa: BLE001  (a record is hostile: the run goes on)
                bad.add(Bad(source, record.line, f"{why_bad(error)}{_of(record)}"))

    stream = events()
    yield Transcript(id_ or Path(source).stem, source, format_, agent, stream)
    for _ in stream:  # what the caller left: a bad record there is bad all the same
        pass
    yield from bad.take()


def whole_run(  # what a transcript is made of, each by its name
    items: Iterable[tuple[str, Any]],
    placed: Placed,
    convert: Callable[[str, Any], Iterable[Event]],
    *,
    source: str,
    format_: str,
    id_: str,
    agent: str = "",
) -> Iterator[Transcript | Bad]:
    """Yield one run that a record holds whole; then what of it is bad."""
    bad = BadOnes(source)
    events: list[Event] = []
    for where, item in items:
        try:
            events += convert(where, item)
        except Exception as error:  # noqa: BLE001  (a message is hostile: the run goes on)
            bad.add(Bad(source, placed.line, f"{why_bad(error)} ({where})"))
    yield Transcript(id_, source, format_, agent, tuple(events))
    yield from bad.take()


def why_bad(error: Exception) -> str:
    """Return why a record is bad; what no rule names is a fault of its reader, and said to be."""
    if isinstance(error, TranscriptError):
        return str(error)
    return f"reader: could not take it ({type(error).__name__}: {error!s:.100})"


def _of(record: Placed) -> str:
    """Where in its line a record stands, if it is not all of it."""
    return "" if record.where == f"line {record.line}" else f" ({record.where})"
