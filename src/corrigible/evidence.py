"""Evidence: estimates with their intervals, one immutable record of each, and the store.

An `Estimate` is a value with its 95 % interval and its n, or says that nothing was measured.
A `Record` says what was measured, on what, how, and until when it counts; its id is the digest
of everything else in it.  An `EvidenceStore` keeps records beside the manifest: records are
added, never changed, and every reading checks every record's id.

Evidence that no longer fits what is deployed supports nothing: ask `is_stale` first.
"""

import hashlib
import json
import math
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Self, get_args

from corrigible.drives import DRIVES, FAMILIES
from corrigible.errors import EvidenceError
from corrigible.quantiles import beta_quantile

EvidenceKind = Literal["reach", "incentive", "propensity", "control"]
"""Which question a record answers: can it, would it pay, does it, is it stopped."""

EVIDENCE_KINDS: tuple[EvidenceKind, ...] = get_args(EvidenceKind)

ALL_DRIVES = "all"
"""In place of a drive: every drive jointly, or the deployment as a whole."""

_TAIL = 0.025  # on each side of a 95 % interval
_MEASURE = re.compile(r"[a-z0-9]+([./_-][a-z0-9]+)*")
_NORMAL = 1.959963984540054  # the standard normal's quantile at 1 - _TAIL


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, its n, and how the interval was made.

    Where nothing was measured `value`, `low` and `high` are all None: that is no zero, and a
    limit is neither kept nor passed by it.

    Raises:
        EvidenceError: a part is missing, not finite, or the value lies outside its interval.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str

    def __post_init__(self) -> None:
        _require(_is_count(self.n), "estimate.n", "a whole number from 0", self.n)
        object.__setattr__(self, "n", int(self.n))  # numpy's counts are welcome
        _require_text("estimate.method", self.method)
        parts = (self.value, self.low, self.high)
        if self.value is None or self.low is None or self.high is None:
            _require(parts == (None, None, None), "estimate", "whole or not measured", parts)
            return
        _require(all(map(_is_number, parts)), "estimate", "of finite numbers", parts)
        _require(self.low <= self.value <= self.high, "estimate", "low <= value <= high", parts)
        _require(self.n > 0, "estimate.n", "at least 1 where something was measured", self.n)
        for name in ("value", "low", "high"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)  # no -0.0

    @property
    def measured(self) -> bool:
        """Whether there is a value at all."""
        return self.value is not None

    @property
    def width(self) -> float:
        """The width of the interval; infinite where nothing was measured."""
        return self.at_most - self.at_least

    @property
    def at_least(self) -> float:
        """The lower bound; minus infinity where nothing was measured."""
        return -math.inf if self.low is None else self.low

    @property
    def at_most(self) -> float:
        """The upper bound; infinity where nothing was measured, so within no limit."""
        return math.inf if self.high is None else self.high


def share_estimate(successes: int, n: int, *, possible: int | None = None) -> Estimate:
    """Estimate a share from `successes` in `n` independent cases, by Clopper and Pearson (1934).

    The interval covers the true share with probability 0.95 or more, whatever that share is.

    Args:
        successes: cases that certainly count; the value is their share.
        n: all cases; with none of them nothing was measured.
        possible: `successes` and the cases that an error left undecided.  The interval then runs
            from the lower end for `successes` to the upper end for `possible`.

    Raises:
        EvidenceError: not `0 <= successes <= possible <= n`.
    """
    most = successes if possible is None else possible
    counts = (successes, most, n)
    ordered = all(map(_is_count, counts)) and successes <= most <= n
    _require(ordered, "(successes, possible, n)", "whole numbers in rising order", counts)
    if n == 0:
        return not_measured()
    low = 0.0 if successes == 0 else beta_quantile(_TAIL, successes, n - successes + 1)
    high = 1.0 if most == n else beta_quantile(1 - _TAIL, most + 1, n - most)
    undecided = f", {most - successes} undecided" if most > successes else ""
    return Estimate(successes / n, low, high, n, f"Clopper-Pearson 95 %{undecided}")


def mean_estimate(values_sum: float, squares_sum: float, n: int, *, slack: float = 0.0) -> Estimate:
    """Estimate a mean from `n` independent values' sum and sum of squares.

    The interval is the normal one, mean ± 1.96 s / √n, widened by `slack` on both sides: it
    holds for large n and values of finite variance, and not for a few values that are all equal.
    With fewer than two values there is no spread to go by: not measured.

    Args:
        values_sum: the values' sum, in the unit of the result.
        squares_sum: the sum of their squares.
        n: how many values.
        slack: the most by which any single value may be off, as a solver certified it.

    Raises:
        EvidenceError: a number is not finite, `slack` is negative, or the sums contradict
            each other (`n * squares_sum` is below `values_sum ** 2`).
    """
    _require(_is_count(n), "n", "a whole number from 0", n)
    sums = (values_sum, squares_sum, slack)
    _require(all(map(_is_number, sums)) and slack >= 0, "sums, slack", "finite, slack >= 0", sums)
    if n < 2:  # noqa: PLR2004  (two values have a spread, one has none)
        return not_measured(n)
    squares_about_mean = squares_sum - values_sum * values_sum / n
    possible = squares_about_mean >= -1e-9 * squares_sum  # as far as rounding goes
    _require(possible, "(sum, squares, n)", "the sums of n numbers", (*sums[:2], n))
    mean = values_sum / n
    half = _NORMAL * math.sqrt(max(squares_about_mean, 0.0) / (n - 1) / n) + slack
    widened = f", ± {slack:.2g} of the solver" if slack else ""
    return Estimate(mean, mean - half, mean + half, n, f"normal 95 %{widened}")


def exact_estimate(value: float, n: int) -> Estimate:
    """Return a value that was counted or computed over all there is: its interval is itself."""
    return Estimate(value, value, value, n, "exact")


def not_measured(n: int = 0) -> Estimate:
    """Return the estimate of what was not measured; `n` cases were tried all the same."""
    return Estimate(None, None, None, n, "not measured")


@dataclass(frozen=True)
class Digests:
    """What evidence rests on: the sha256 of each thing; None where there was no such thing.

    Raises:
        EvidenceError: a digest is not a sha256 in hex, with or without `sha256:` before it.
    """

    manifest: str
    world: str
    software: str
    lock: str | None = None
    agent: str | None = None

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            digest = getattr(self, name)
            if digest is None and name in {"lock", "agent"}:
                continue
            fits = isinstance(digest, str) and re.fullmatch(r"(sha256:)?[0-9a-f]{64}", digest)
            _require(bool(fits), f"digests.{name}", "sha256:<64 hex digits>", digest)
            object.__setattr__(self, name, "sha256:" + digest[-64:])


@dataclass(frozen=True)
class Unscored:
    """Cases that were tried and not counted, and why: they stand beside n, never inside it."""

    why: str
    count: int

    def __post_init__(self) -> None:
        _require_text("unscored.why", self.why)
        counted = _is_count(self.count) and self.count > 0
        _require(counted, f"unscored {self.why!r}", "a count from 1", self.count)
        object.__setattr__(self, "count", int(self.count))


@dataclass(frozen=True)
class Record:
    """One piece of evidence: what was measured, on what, how, and until when it counts.

    Immutable; `id` is the sha256 of everything else.  `command` stands in the store as it is
    given: leave secrets out of it.

    Raises:
        EvidenceError: a field breaks its rule; the message names it.
    """

    kind: EvidenceKind
    drive: str  # one of DRIVES, one of FAMILIES, or ALL_DRIVES
    measure: str  # what the value is, as in "share/aims"; lower case, parts joined by . / _ -
    estimate: Estimate
    digests: Digests
    method: str  # how it was measured, in a sentence
    seed: int | None  # None where nothing was drawn
    command: str  # what makes it again
    made: datetime
    expires: datetime
    unscored: tuple[Unscored, ...] = ()

    def __post_init__(self) -> None:
        _require(self.kind in EVIDENCE_KINDS, "kind", f"one of {EVIDENCE_KINDS}", self.kind)
        known = self.drive in DRIVES or self.drive in FAMILIES or self.drive == ALL_DRIVES
        _require(known, "drive", f"a drive, a family or {ALL_DRIVES!r}", self.drive)
        fits = isinstance(self.measure, str) and _MEASURE.fullmatch(self.measure)
        _require(bool(fits), "measure", "lower-case words joined by . / _ or -", self.measure)
        _require(isinstance(self.estimate, Estimate), "estimate", "an Estimate", self.estimate)
        _require(isinstance(self.digests, Digests), "digests", "Digests", self.digests)
        _require_text("method", self.method)
        _require_text("command", self.command)
        if self.seed is not None:
            _require(_is_count(self.seed), "seed", "a whole number from 0, or None", self.seed)
            object.__setattr__(self, "seed", int(self.seed))
        tried = all(isinstance(item, Unscored) for item in self.unscored)
        _require(tried, "unscored", "a tuple of Unscored", self.unscored)
        object.__setattr__(self, "unscored", tuple(self.unscored))
        object.__setattr__(self, "made", _utc("made", self.made))
        object.__setattr__(self, "expires", _utc("expires", self.expires))
        _require(self.made < self.expires, "expires", f"after made, {self.made}", str(self.expires))

    @cached_property
    def id(self) -> str:
        """The sha256 of the canonical JSON of every field."""
        return "sha256:" + hashlib.sha256(_canonical(self._plain()).encode()).hexdigest()

    def _plain(self) -> dict[str, Any]:
        return {name: _plain_value(getattr(self, name)) for name in self.__dataclass_fields__}


def _plain_value(value: object) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [vars(item) for item in value]
    return vars(value) if isinstance(value, Estimate | Digests) else value


def record_json(record: Record) -> str:
    """Return the record, its id with it, as one line of canonical JSON (ASCII)."""
    return _canonical({**record._plain(), "id": record.id})  # noqa: SLF001  (this module's own)


_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


def parse_record(text: str) -> Record:
    """Return the record that `record_json` wrote.

    Raises:
        EvidenceError: the text is no record, or is not what its id was made of.
    """
    try:
        plain = json.loads(text)
        id_ = plain.pop("id")
        record = _built(plain)
    except EvidenceError as error:
        raise EvidenceError(f"record {id_} breaks a rule: {error}") from error
    except _UNREADABLE as error:
        raise EvidenceError(f"must be one record in JSON, got {str(text)[:80]!r}") from error
    if record_json(record) != text:
        changed = "was changed after it was made; measure again"
        raise EvidenceError(f"record {id_} is not what its id was made of: it {changed}")
    return record


def software_digest(versions: Iterable[str] = ()) -> str:
    """Return the digest of this package's source, and of `versions` (as in `numpy 2.4.6`)."""
    sha = hashlib.sha256("".join(f"{version}\0" for version in sorted(versions)).encode())
    root = Path(__file__).parent
    for file in sorted(root.rglob("*.py")):
        sha.update(f"\0{file.relative_to(root).as_posix()}\0".encode())
        sha.update(hashlib.sha256(file.read_bytes()).digest())
    return "sha256:" + sha.hexdigest()


def is_stale(record: Record, current: Digests, now: datetime) -> str | None:
    """Return why the record supports nothing any more, or None while it still does.

    A record of no agent (`digests.agent` is None) holds for every agent; a record made without
    a lock does not hold for a deployment that has one.

    Raises:
        EvidenceError: `now` has no time zone.
    """
    then = _utc("now", now)
    if then >= record.expires:
        return f"expired on {record.expires:%Y-%m-%d %H:%M} UTC"
    if then < record.made:
        return f"made in the future, on {record.made:%Y-%m-%d %H:%M} UTC: check the clock"
    for name in Digests.__dataclass_fields__:
        measured, deployed = getattr(record.digests, name), getattr(current, name)
        if measured != deployed and not (name == "agent" and measured is None):
            return f"{name} changed: measured on {_short(measured)}, now {_short(deployed)}"
    return None


def _built(plain: dict[str, Any]) -> Record:
    return Record(**{
        **plain,
        "estimate": Estimate(**plain["estimate"]),
        "digests": Digests(**plain["digests"]),
        "unscored": tuple(Unscored(**item) for item in plain["unscored"]),
        "made": datetime.fromisoformat(plain["made"]),
        "expires": datetime.fromisoformat(plain["expires"]),
    })  # fmt: skip


def _canonical(plain: dict[str, Any]) -> str:
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _utc(name: str, moment: datetime) -> datetime:
    aware = isinstance(moment, datetime) and moment.utcoffset() is not None
    _require(aware, name, "a datetime with its time zone, as datetime.now(UTC)", moment)
    return moment.astimezone(UTC)


def _short(digest: str | None) -> str:
    return digest.removeprefix("sha256:")[:12] if digest else "none"


def _is_count(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= 0


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _require_text(name: str, value: object) -> None:
    _require(isinstance(value, str) and bool(value.strip()), name, "a text", value)


def _require(holds: bool, name: str, rule: str, got: object) -> None:
    if not holds:
        raise EvidenceError(f"{name} must be {rule}, got {got!r}")


_APPLICATION = 0x636F7272  # "corr": marks the file as ours
_SCHEMA = 1
_TABLE = (
    "CREATE TABLE record (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL)"
)
_TRIGGERS = {
    "UPDATE ON record": "SELECT RAISE(ABORT, 'evidence is never changed')",
    "DELETE ON record": "SELECT RAISE(ABORT, 'evidence is never deleted')",
    # Without this one, INSERT OR REPLACE would delete a row and fire no trigger.
    "INSERT ON record WHEN EXISTS (SELECT 1 FROM record WHERE id = NEW.id OR seq = NEW.seq)": (
        "SELECT RAISE(IGNORE)"
    ),
}
_WAIT_S = 30.0


def store_path(manifest: Path) -> Path:
    """Return where a manifest's evidence is kept: beside it, `deployment.evidence.sqlite`."""
    return manifest.with_suffix(".evidence.sqlite")


class EvidenceStore:
    """The records of one deployment, in one SQLite file; a context manager.

    Records are added and never changed.  Every reading checks every record against its id, so
    that no changed one can hide behind a filter; a deleted one leaves no trace.  Several
    processes may write at once.  What was added is on the disk when `add` returns.  One store
    object belongs to one thread.

    Args:
        path: the file; made where there is none, unless `read_only`.
        read_only: never write: also for a file in a folder that cannot be written.

    Raises:
        EvidenceError: (on entering) the file is no evidence store, was written by a newer
            corrigible, or cannot be opened; (on reading) a record was changed, and its id.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._open: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        if self._open is not None:
            raise EvidenceError(f"{self.path} is open already; use one store in one `with`")
        with _told(self.path):
            self._open = _connected(self.path, self._read_only)
            try:
                _prepare(self._open, self.path, self._read_only)
                if not self._read_only:
                    write_ahead(self._open)  # not before the file is known to be ours
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def add(self, record: Record) -> None:
        """Add one record, as `add_all` does; one that is there already is left alone."""
        self.add_all([record])

    def add_all(self, records: Iterable[Record]) -> int:
        """Add records, all or none; return how many were not there before.

        Raises:
            EvidenceError: the file cannot be written; nothing was added.
        """
        rows = [(record.id, record_json(record)) for record in records]
        with self._session() as file:
            before = file.total_changes
            with file:  # commits at its end, or rolls back
                file.execute("BEGIN IMMEDIATE")
                file.executemany("INSERT INTO record (id, body) VALUES (?, ?)", rows)
            return file.total_changes - before

    def records(
        self,
        *,
        kind: EvidenceKind | None = None,
        drive: str | None = None,
        measure: str | None = None,
    ) -> tuple[Record, ...]:
        """Return the records that match every filter given, in the order they were added.

        Raises:
            EvidenceError: some record in the file, matching or not, was changed.
        """
        with self._session() as file:
            rows = file.execute("SELECT id, body FROM record ORDER BY seq").fetchall()
        return tuple(
            record
            for record in [_checked(self.path, id_, body) for id_, body in rows]
            if kind in (None, record.kind)
            and drive in (None, record.drive)
            and measure in (None, record.measure)
        )

    def latest(
        self,
        *,
        kind: EvidenceKind | None = None,
        drive: str | None = None,
        measure: str | None = None,
    ) -> Record | None:
        """Return the one of `records` that was made last (of equals, added last), or None."""
        found = self.records(kind=kind, drive=drive, measure=measure)
        return max(reversed(found), key=lambda record: record.made, default=None)

    @contextmanager
    def _session(self) -> Iterator[sqlite3.Connection]:
        if self._open is None:
            raise EvidenceError(f"{self.path} is not open; use `with EvidenceStore(path) as store`")
        with _told(self.path):
            yield self._open


def _checked(path: Path, id_: str, body: str) -> Record:
    try:
        record = parse_record(body)
    except EvidenceError as error:
        raise EvidenceError(f"{path}: the row of record {id_}: {error}") from error
    if record.id != id_:
        raise EvidenceError(f"{path}: the row of record {id_} holds record {record.id}")
    return record


def _connected(path: Path, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
    if not path.exists():
        raise EvidenceError(f"{path} must be an evidence store, got no file; audit first")
    uri = path.absolute().as_uri()
    file = sqlite3.connect(f"{uri}?mode=ro", timeout=_WAIT_S, isolation_level=None, uri=True)
    try:
        file.execute("PRAGMA user_version")
    except sqlite3.Error as error:
        file.close()
        left = path.with_name(f"{path.name}-wal").exists()  # records that would be missed
        if left or not re.search("unable to open|readonly", str(error)):
            raise
        # No log and no writing here: the file is whole, and there is nobody to lock out.
        return sqlite3.connect(f"{uri}?immutable=1", isolation_level=None, uri=True)
    return file


def write_ahead(file: sqlite3.Connection, wait_s: float = _WAIT_S) -> None:
    """Switch to write-ahead logging: SQLite waits for no lock here, so this does."""
    until = time.monotonic() + wait_s
    while True:
        try:
            file.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _prepare(file: sqlite3.Connection, path: Path, read_only: bool) -> None:
    """Make the tables in an empty file; refuse one that is another's or newer."""
    if not read_only:
        file.execute("PRAGMA synchronous=FULL")
        file.execute("BEGIN IMMEDIATE")  # two processes may both find it empty
    empty = file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    application = file.execute("PRAGMA application_id").fetchone()[0]
    version = file.execute("PRAGMA user_version").fetchone()[0]
    if empty and not read_only and (application, version) == (0, 0):
        file.execute(_TABLE)
        for number, (when, then) in enumerate(_TRIGGERS.items()):
            file.execute(f"CREATE TRIGGER append_only_{number} BEFORE {when} BEGIN {then}; END")
        file.execute(f"PRAGMA application_id={_APPLICATION}")
        file.execute(f"PRAGMA user_version={_SCHEMA}")
    elif application != _APPLICATION:
        raise EvidenceError(f"{path} must be an evidence store, got another program's SQLite file")
    elif version > _SCHEMA:
        rule = f"must have schema {_SCHEMA} or older, got {version}"
        raise EvidenceError(f"{path} {rule}: a newer corrigible wrote it; install that one")
    if not read_only:
        file.execute("COMMIT")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what SQLite says into an `EvidenceError` with the file and the way out."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        said = str(error)
        if "locked" in said:
            way = f"another process held it for {_WAIT_S:.0f} s; try again when it is done"
        elif "unable to open" in said or "readonly" in said:
            way = "make the file and its folder writable, or keep the evidence in another file"
        else:
            way = "it is no SQLite file, or a broken one; move it away and measure again"
        raise EvidenceError(f"{path}: {said}; {way}") from error
