"""Many transcripts through one scanner: what was read, what could not be, what was found."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Protocol

from corrigible.errors import CorrigibleError, TranscriptError
from corrigible.evidence import Estimate
from corrigible.monitor.calibration import Threshold
from corrigible.monitor.formats.lines import parse
from corrigible.monitor.reading import read_transcripts
from corrigible.monitor.suspicion import Suspicion
from corrigible.monitor.transcript import Bad, Event, Transcript

MOST_NAMED = 20
"""Bad records, and suspicions, that are told one by one."""

_LARGEST_THRESHOLD = 100_000  # bytes
_HIGHEST = 1.01  # one step above the highest score: nothing is an alarm

OUTCOMES = ("done", "denied", "failed", "unknown")


class Scans(Protocol):
    """What looks for drives in one transcript."""

    def scan(self, transcript: Transcript) -> Sequence[Suspicion]:
        """Return what it finds, of any score."""


@dataclass(frozen=True)
class Found:
    """The highest suspicion of one drive in one transcript, its file, and how many there are."""

    source: str
    suspicion: Suspicion
    count: int


@dataclass
class Watch:
    """What a watch saw; memory does not grow with it.

    `bad`: how many records could not be read, by reason; `named`: the first of them.
    `suspicions`: over the threshold, by drive and outcome; `flagged`: transcripts with one, by
    drive, and "" for any.  `top`: the highest, one a transcript and drive.  `below`: suspicions
    under the threshold.
    """

    transcripts: int = 0
    partly: int = 0  # transcripts of which some records could not be read
    events: int = 0
    formats: dict[str, int] = field(default_factory=dict)
    bad: dict[str, int] = field(default_factory=dict)
    named: list[Bad] = field(default_factory=list)
    suspicions: dict[str, dict[str, int]] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)
    below: int = 0
    _heap: list[tuple[float, int, Found]] = field(default_factory=list)

    @property
    def top(self) -> tuple[Found, ...]:
        """The suspicions with the highest scores, the earliest first among equals."""
        return tuple(
            found for _, _, found in sorted(self._heap, key=lambda one: (-one[0], -one[1]))
        )

    @property
    def unread(self) -> int:
        """Records and files that could not be read."""
        return sum(self.bad.values())

    @property
    def over(self) -> int:
        """Suspicions over the threshold."""
        return sum(sum(counts.values()) for counts in self.suspicions.values())

    @property
    def outcome(self) -> str:
        """What it comes to: `suspicions`, `none`, `partly read` or `nothing read`.

        What could not be read is never called clean.
        """
        if self.over:
            return "suspicions"
        if not self.transcripts or not self.events:
            return "nothing read"
        return "partly read" if self.unread else "none"

    def counted(self, transcript: Transcript) -> Iterator[Event]:
        """Yield the events of a transcript, and count them."""
        for event in transcript.events:
            self.events += 1
            yield event

    def take_bad(self, bad: Bad) -> None:
        """Take note of what could not be read."""
        self.bad[bad.reason] = self.bad.get(bad.reason, 0) + bad.count
        if len(self.named) < MOST_NAMED:
            self.named.append(bad)

    def take_found(self, source: str, suspicions: Iterable[Suspicion], at_least: float) -> None:
        """Take note of what was found in one transcript."""
        over: dict[str, list[Suspicion]] = {}
        for one in suspicions:
            if one.score < at_least:
                self.below += 1
                continue
            over.setdefault(one.drive, []).append(one)
            counts = self.suspicions.setdefault(one.drive, dict.fromkeys(OUTCOMES, 0))
            counts[one.outcome] += 1
        for drive, found in over.items():
            highest = max(found, key=lambda one: one.score)
            entry = (highest.score, -next(_NUMBERS), Found(source, highest, len(found)))
            if len(self._heap) < MOST_NAMED:
                heapq.heappush(self._heap, entry)
            else:
                heapq.heappushpop(self._heap, entry)
            self.flagged[drive] = self.flagged.get(drive, 0) + 1
        if over:
            self.flagged[""] = self.flagged.get("", 0) + 1


_NUMBERS = count()


def watch(
    paths: Iterable[Path],
    scanner: Scans,
    at_least: float,
    *,
    form: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Watch:
    """Scan every transcript at some paths, one after the other.

    Args:
        paths: files and folders, as `read_transcripts` takes them.
        scanner: what looks at each.
        at_least: the score from which a suspicion counts.
        form: the format, where it is not to be told by the content.
        tell: told of each transcript.

    Raises:
        TranscriptError: there is no such format.
    """
    seen = Watch()
    last: Transcript | None = None
    for path in paths:
        for found in read_transcripts(path, format=form):
            if isinstance(found, Bad):
                seen.take_bad(found)
                if last is not None and found.source == last.source:
                    seen.partly += 1
                last = None
                continue
            tell(f"{found.source}: {found.id}")
            seen.transcripts += 1
            seen.formats[found.format] = seen.formats.get(found.format, 0) + 1
            read = replace(found, events=seen.counted(found))
            seen.take_found(found.source, scanner.scan(read), at_least)
            last = found
    return seen


def benign(
    paths: Iterable[Path], unread: Watch, *, form: str | None = None
) -> Iterator[Transcript]:
    """Yield the transcripts at some paths, for calibration; what is bad goes to `unread`."""
    for path in paths:
        for found in read_transcripts(path, format=form):
            if isinstance(found, Bad):
                unread.take_bad(found)
            else:
                unread.transcripts += 1
                yield found


def read_threshold(path: Path) -> Threshold:
    """Return a threshold from the file that `corrigible monitor --calibrate` wrote.

    Raises:
        TranscriptError: it cannot be read, or holds no threshold.
    """
    try:
        with path.open("rb") as file:
            held = parse(file.read(_LARGEST_THRESHOLD))
        estimate = Estimate(**held["estimate"])
        score, rate, source = held["score"], held["rate"], held["source"]
        fits = 0 <= float(score) <= _HIGHEST and 0 < float(rate) < 1 and isinstance(source, str)
    except OSError as error:
        raise TranscriptError(f"threshold: {path} cannot be read: {error.strerror}") from None
    except (CorrigibleError, LookupError, TypeError, ValueError) as error:
        raise TranscriptError(f"threshold: {path} holds none: {error!r:.200}") from None
    if not fits:
        got = f"score {score!r:.40}, rate {rate!r:.40}"
        raise TranscriptError(f"threshold: {path} must hold a score and a rate, got {got}")
    return Threshold(float(score), float(rate), estimate, source)
