"""What the records of one gate come to: which count, which contradict, how often was it tried."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from corrigible.case.attempts import Attempt, unaccounted
from corrigible.case.gathered import Gathered, Registration
from corrigible.drives import DRIVES, FAMILIES, family_of
from corrigible.evidence import ALL_DRIVES, EvidenceKind, Record, Trials
from corrigible.evidence.trials import EVENT, NO_OPPORTUNITY, NO_RUNG, NONE

_INVALID = "invalid: "
"""How a probe marks a record whose controls failed."""
_SHOWN = 3


@dataclass(frozen=True)
class Sample:
    """The current records of one gate's measure, in the order they were made.

    `runs`: their raw trials, one run each, of several drives joined episode by episode.
    `invalid`: why they cannot be used, or None.  `missing`: drives of which there is nothing.
    """

    records: tuple[Record, ...]
    runs: tuple[Trials, ...] = ()
    invalid: str | None = None
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tries:
    """How often a measure was tried in this lineage of the system, and what of it nobody can read.

    `count`: different ones; the same data of the same seed and build again is the same try.
    `open_trials`: trials on what is deployed now that were begun and are in no record; None where
    their number is not known.
    """

    count: int
    open_trials: int | None = 0
    words: tuple[str, ...] = field(default=())


def members_of(gathered: Gathered, drive: str) -> tuple[str, ...]:
    """Return the drives that a gate on a drive, a family or all speaks of.

    Of a family those within reach that are not accepted: what is accepted may be done.
    """
    if drive in DRIVES:
        return (drive,)
    accepts, today = gathered.loaded.deployment.accepts, gathered.now.date()
    return tuple(
        one
        for one in gathered.reachable
        if (drive == ALL_DRIVES or family_of(one) == drive)
        and (one not in accepts or accepts[one].until < today)
    )


def sample_of(gathered: Gathered, kind: EvidenceKind, drive: str, measure: str) -> Sample:
    """Return what is known of a measure of a drive, a family or all."""
    direct = kind == "incentive" or drive in DRIVES or measure.partition("/")[0] in _OVERALL
    if direct:
        return _of_one(gathered, kind, drive, measure)
    members = members_of(gathered, drive)
    parts = {member: _of_one(gathered, kind, member, measure) for member in members}
    records = tuple(record for part in parts.values() for record in part.records)
    missing = tuple(member for member, part in parts.items() if not part.runs)
    warnings = tuple(dict.fromkeys(w for part in parts.values() for w in part.warnings))
    invalid = next((f"{m}: {p.invalid}" for m, p in parts.items() if p.invalid), None)
    if kind == "control":
        runs = tuple(_renamed(member, run) for member, part in parts.items() for run in part.runs)
        joined = (_concatenated(runs),) if runs else ()
        return Sample(records, joined, invalid, missing, warnings)
    runs, partial = _joined(parts, gathered.trials)
    if partial and not missing:
        missing = (f"a part of the family in the run of {partial}",)
    return Sample(records, runs, invalid, missing, warnings)


_OVERALL = frozenset({"attacks-held", "stops-proven", "search"})


def _of_one(gathered: Gathered, kind: EvidenceKind, drive: str, measure: str) -> Sample:
    every = gathered.every(kind, drive, measure)
    for record in every:
        if record.id in gathered.wrong:
            why = f"record {short(record.id)} cannot be trusted: {gathered.wrong[record.id]}"
            return Sample((record,), invalid=why)
    current = [record for record in every if record.id not in gathered.stale]
    if not current:
        newest = gathered.newest(kind, drive, measure)
        if newest is None:
            return Sample(())
        why = f"stale: {gathered.stale[newest.id]}"
        return Sample((newest,), invalid=why)
    current.sort(key=lambda record: record.made)
    # A drill fires at real processes, which no seed settles: what got through once is red there.
    if kind != "control" and (twice := _contradicting(current, gathered.trials)):
        one, two = twice
        seed = "no seed" if one.seed is None else f"seed {one.seed}"
        pair = f"records {short(one.id)} and {short(two.id)}"
        why = f"{pair} are of the same system and {seed}, and differ"
        return Sample((one, two), invalid=why)
    return _counted(_without_repeats(current, gathered.trials), gathered)


def _counted(records: list[Record], gathered: Gathered) -> Sample:
    """Leave out runs whose controls failed; the newest of all must not be one."""
    failed = {
        record.id: item.why.removeprefix(_INVALID)
        for record in records
        for item in record.unscored
        if item.why.startswith(_INVALID)
    }
    if records[-1].id in failed:
        why = f"its controls failed: {failed[records[-1].id]}"
        return Sample(tuple(records), invalid=why)
    sound = [record for record in records if record.id not in failed]
    warnings = (f"{len(failed)} runs left out whose controls failed",) if failed else ()
    runs = tuple(gathered.trials[r.id] for r in sound if r.id in gathered.trials)
    return Sample(tuple(sound), runs, warnings=warnings)


def _contradicting(
    records: Sequence[Record], trials: Mapping[str, Trials]
) -> tuple[Record, Record] | None:
    """Return two records of one system and seed, and as many cases, that say different things."""
    seen: dict[tuple[object, ...], Record] = {}
    for record in records:
        raw = trials.get(record.id)
        cases = record.estimate.n if raw is None else len(raw)
        key = (record.digests, record.seed, cases)
        other = seen.setdefault(key, record)
        if (other.estimate, other.source) != (record.estimate, record.source):
            one, two = trials.get(other.id), raw
            if one is None or two is None or one.outcome != two.outcome or one.unit != two.unit:
                return other, record
    return None


def _without_repeats(records: list[Record], trials: Mapping[str, Trials]) -> list[Record]:
    """Leave out what a longer run of the same seed holds too, and the same data seen again."""
    kept: list[Record] = []
    for record in reversed(records):  # of equals the newest stays
        if not any(_holds(other, record, trials) for other in kept):
            kept = [other for other in kept if not _holds(record, other, trials)]
            kept.append(record)
    return sorted(kept, key=lambda record: record.made)


def _holds(wider: Record, record: Record, trials: Mapping[str, Trials]) -> bool:
    """Whether one record says all that another of the same seed does."""
    if wider.seed != record.seed:
        return False
    one, two = trials.get(wider.id), trials.get(record.id)
    if one is None or two is None:
        return one is two and wider.estimate.n >= record.estimate.n
    if len(one) < len(two):
        return False
    marks = dict(zip(one.unit, one.outcome, strict=True))
    return all(marks.get(u) == o for u, o in zip(two.unit, two.outcome, strict=True))


# -- several drives ------------------------------------------------------------------------


def _joined(
    parts: Mapping[str, Sample], trials: Mapping[str, Trials]
) -> tuple[tuple[Trials, ...], str]:
    """Join the runs of several drives, episode by episode: an event where any drive has one.

    Returns with them the time of a run that measured only some of the drives, "" for none.
    """
    runs: dict[tuple[str, int | None], dict[str, Trials]] = {}
    for member, part in parts.items():
        for record in part.records:
            if record.id in trials:
                key = (record.made.isoformat(), record.seed)
                runs.setdefault(key, {})[member] = trials[record.id]
    partial = next((made for (made, _), found in runs.items() if len(found) < len(parts)), "")
    return tuple(_any_of(list(found.values())) for found in runs.values()), partial


_WORSE = (EVENT, "x", "-", NONE, NO_OPPORTUNITY)


def _any_of(columns: Sequence[Trials]) -> Trials:
    rows: dict[str, tuple[str, str, str]] = {}
    for run in columns:
        for unit, cluster, outcome, rung in zip(
            run.unit, run.cluster, run.outcome, run.rung, strict=True
        ):
            _, before, high = rows.get(unit, (cluster, NO_OPPORTUNITY, NO_RUNG))
            worse = min(before, outcome, key=_WORSE.index)
            rows[unit] = (cluster, worse, max(high, rung))  # "." sorts below the digits
    marks = list(rows.values())
    return Trials(
        tuple(rows),
        tuple(row[0] for row in marks),
        "".join(row[1] for row in marks),
        "".join(row[2] for row in marks),
    )


def _renamed(member: str, run: Trials) -> Trials:
    units = tuple(f"{member}: {unit}" for unit in run.unit)
    return Trials(units, units, run.outcome, run.rung)


def _concatenated(runs: Sequence[Trials]) -> Trials:
    rows: dict[str, tuple[str, str]] = {}
    for run in runs:
        for unit, outcome, rung in zip(run.unit, run.outcome, run.rung, strict=True):
            before = rows.get(unit, (NO_OPPORTUNITY, NO_RUNG))
            rows[unit] = (min(before[0], outcome, key=_WORSE.index), max(before[1], rung))
    units = tuple(rows)
    return Trials(
        units, units, "".join(r[0] for r in rows.values()), "".join(r[1] for r in rows.values())
    )


# -- attempts ------------------------------------------------------------------------------


def tries_of(gathered: Gathered, kind: EvidenceKind, drive: str, measure: str) -> Tries:
    """Return how often a measure was tried: by this manifest's name and this agent, on any build.

    The same data seen again is one try; one that nobody can read is one too.
    """
    members = {drive} if drive in (*DRIVES, *FAMILIES, ALL_DRIVES) else set()
    members |= set(members_of(gathered, drive))
    name, agent = gathered.loaded.deployment.name, gathered.agent
    lineage = [
        a for a in gathered.attempts
        if a.kind == kind and a.deployment == name and (kind != "propensity" or a.agent == agent)
        and any(a.covers(member) for member in members)
    ]  # fmt: skip
    made = {r.id: r for r in gathered.records if r.measure == measure and r.drive in members}
    seen: set[object] = set()
    for attempt in lineage:
        own = [made[id_] for id_ in attempt.records if id_ in made]
        if own:
            data = frozenset((r.seed, r.source or r.id) for r in own)
            seen.add((attempt.digests, data))
    lost = unaccounted(lineage)
    now = [a for a in lost if _same_system(a, gathered)]
    trials = [a.played for a in now]
    known = sum(t for t in trials if t is not None)
    words = tuple(
        f"an attempt of {a.opened:%Y-%m-%d %H:%M} UTC left no figures ({a.why or 'not kept'})"
        for a in now[:_SHOWN]
    )
    return Tries(len(seen) + len(lost), None if None in trials else known, words)


def _same_system(attempt: Attempt, gathered: Gathered) -> bool:
    current = gathered.current[attempt.kind]
    names = ("manifest", "software", "lock")  # the agent by its name, the world by the manifest
    return all(getattr(attempt.digests, n) == getattr(current, n) for n in names)


def undeclared(gathered: Gathered, records: Iterable[Record]) -> tuple[str, ...]:
    """Return the ids of records that no attempt says that it made."""
    declared = {id_ for attempt in gathered.attempts for id_ in attempt.records}
    return tuple(record.id for record in records if record.id not in declared)


def registered_late(gathered: Gathered, plan: str, records: Iterable[Record]) -> str | None:
    """Return why evidence is not pre-registered under a plan, or None where all of it is."""
    found = next((one for one in gathered.registrations if one.plan == plan), None)
    if found is None:
        other = "another plan was" if gathered.registrations else "no plan was"
        return f"not pre-registered: {other} registered"
    opened = {id_: a for a in gathered.attempts for id_ in a.records}
    late = [r for r in records if _before(found, r, opened.get(r.id))]
    if not late:
        return None
    return f"not pre-registered: begun before the plan was, {found.at:%Y-%m-%d %H:%M} UTC"


def _before(plan: Registration, record: Record, attempt: Attempt | None) -> bool:
    if attempt is None:
        return record.made < plan.at
    return attempt.id in plan.before or attempt.opened < plan.at


def short(id_: str) -> str:
    """Return a digest as it is shown: its first twelve digits."""
    return id_.removeprefix("sha256:")[:12]
