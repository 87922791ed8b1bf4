"""Everything that is known now of one deployment: its records, which still count, their trials."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from corrigible.audit.control import control_digests
from corrigible.case.attempts import Attempt, read_attempts
from corrigible.case.recompute import audit_document, contradiction, trials_behind
from corrigible.case.waivers import Waiver, read_waiver
from corrigible.case.worlds import audit_worlds, probe_world, reachable_drives
from corrigible.deployment.load import Loaded
from corrigible.deployment.lock import lock_digest
from corrigible.errors import CorrigibleError, EvidenceError
from corrigible.evidence import (
    Attachment,
    Digests,
    EvidenceKind,
    EvidenceStore,
    Record,
    Trials,
    is_stale,
    software_digest,
    store_path,
)
from corrigible.evidence.checks import utc

_LEDGER = ("attempt", "plan", "waiver")


@dataclass(frozen=True)
class Registration:
    """A plan of gates that was written down: its digest, when, and what had begun by then.

    `before`: the ids of the attempts that were opened before it.
    """

    plan: str
    at: datetime
    before: frozenset[str]


@dataclass(frozen=True)
class Gathered:
    """Everything that is known now of one deployment.

    `current`: what evidence of each kind must have been measured on; its world is the manifest's
    digest where nothing that is otherwise current asks for one.  `stale`: for each record that
    supports nothing, by its id, why: a digest, an expiry, a date in the future, or an attachment
    that contradicts it.  `wrong`: those of them that should count and cannot be trusted (in the
    future, contradicted).  `trials`: the raw trials of each record that is not stale and has
    some.  `audit`: the newest current audit document, or None.  `reachable`: the drives that some
    call sequence serves.  `broken`: rows of the store that are not what they were, or are gone,
    and why.  `agents`: the digest of each agent that the evidence speaks of, by its name;
    `agent`: the name of the one asked about, None where nobody said and there are several.
    """

    loaded: Loaded
    now: datetime
    records: tuple[Record, ...]
    current: Mapping[EvidenceKind, Digests]
    stale: Mapping[str, str]
    trials: Mapping[str, Trials]
    audit: dict[str, Any] | None
    reachable: tuple[str, ...] = ()
    wrong: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    agent: str | None = None
    agents: Mapping[str, str] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    registrations: tuple[Registration, ...] = ()
    waivers: tuple[Waiver, ...] = ()

    def newest(self, kind: EvidenceKind, drive: str, measure: str) -> Record | None:
        """Return the newest record that still counts; where none does, the newest of the stale."""
        found = self.every(kind, drive, measure)
        return max(
            reversed(found), key=lambda one: (one.id not in self.stale, one.made), default=None
        )

    def every(self, kind: EvidenceKind, drive: str, measure: str) -> tuple[Record, ...]:
        """Return every record of a measure, stale ones too, in the order they were added."""
        return tuple(
            one
            for one in self.records
            if (one.kind, one.drive, one.measure) == (kind, drive, measure)
        )


def gather(loaded: Loaded, *, now: datetime, agent: str | None = None) -> Gathered:
    """Return what is known of a deployment at a moment.

    What was changed in the store is in `broken` and `wrong`; it raises nothing.

    Args:
        loaded: the deployment.
        now: a moment with its time zone.
        agent: the name of the agent that is deployed, as in `--agent`; None takes the only one
            that the evidence speaks of.

    Raises:
        EvidenceError: the store cannot be opened, or is another program's.
    """
    at = utc("now", now)
    reachable = reachable_drives(loaded)
    path = store_path(Path(loaded.file))
    if not path.exists():
        current = _current(loaded, None)
        return Gathered(loaded, at, (), current, {}, {}, None, reachable, agent=agent)
    with EvidenceStore(path, read_only=True) as store:
        return _gathered(loaded, store, at, agent=agent, reachable=reachable)


def _gathered(
    loaded: Loaded,
    store: EvidenceStore,
    now: datetime,
    *,
    agent: str | None,
    reachable: tuple[str, ...],
) -> Gathered:
    read = store.read()
    broken = dict(read.broken)
    attempts, registrations, waivers = _ledger(store, now, broken)
    known = {record.id for record in read.records}
    for attempt in attempts:
        for id_ in attempt.records:
            if id_ not in known and id_ not in broken:
                broken[id_] = f"the attempt of {attempt.opened:%Y-%m-%d %H:%M} UTC made it; gone"
    agents = _agents(read.records, attempts)
    if agent is None and len(agents) == 1:
        (agent,) = agents
    current = _current(loaded, None if agent is None else agents.get(agent, _of_name(agent)))
    worlds, sources = _Worlds(loaded, current), _Sources(store)
    stale, wrong = _stale(read.records, worlds, sources, now)
    trials = {
        record.id: source
        for record in read.records
        if record.id not in stale and isinstance(source := sources.of(record), Trials)
    }
    return Gathered(
        loaded=loaded,
        now=now,
        records=read.records,
        current=worlds.current,
        stale=stale,
        trials=trials,
        audit=_newest_audit(read.records, stale, sources),
        reachable=reachable,
        wrong=wrong,
        broken=broken,
        agent=agent,
        agents=agents,
        attempts=attempts,
        registrations=registrations,
        waivers=waivers,
    )


def _current(loaded: Loaded, agent: str | None) -> dict[EvidenceKind, Digests]:
    """Return what evidence must rest on, the manifest standing for each world."""
    lock = lock_digest(Path(loaded.file))
    digests = control_digests(loaded.digest, lock, software_digest())
    own = replace(digests, agent=agent)
    return {"reach": digests, "incentive": digests, "propensity": own, "control": digests}


def _of_name(agent: str) -> str:
    return f"sha256:{hashlib.sha256(agent.encode()).hexdigest()}"


def _agents(records: tuple[Record, ...], attempts: tuple[Attempt, ...]) -> dict[str, str]:
    """Return the digest of every agent that something was measured of, by the name it goes by."""
    measured = {r.id: r.digests.agent for r in records if r.kind == "propensity"}
    found: dict[str, str] = {}
    named: set[str] = set()
    for attempt in attempts:
        own = {digest for id_ in attempt.records if (digest := measured.get(id_)) is not None}
        named |= own
        if own:
            found[attempt.agent] = min(own)  # the newest attempt's counts: one agent has one
    for digest in measured.values():
        if digest is not None and digest not in named:
            found[digest[:19]] = digest  # measured without the ledger: nobody said its name
    return found


# -- what is stale -------------------------------------------------------------------------


def _stale(
    records: tuple[Record, ...], worlds: "_Worlds", sources: "_Sources", now: datetime
) -> tuple[dict[str, str], dict[str, str]]:
    """Return why records support nothing, and of which of them that is because they are wrong."""
    stale: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for record in records:
        why = worlds.stale(record, now)
        if why is None and record.source is not None:
            why = sources.contradiction(record)
            if why is not None:
                wrong[record.id] = why
        elif why is not None and record.made > now and worlds.stale(record, record.made) is None:
            wrong[record.id] = why
        if why is not None:
            stale[record.id] = why
    return stale, wrong


class _Worlds:
    """Holds records against what is current; a world is compiled only where it decides."""

    def __init__(self, loaded: Loaded, current: dict[EvidenceKind, Digests]) -> None:
        self.current = current
        self._loaded = loaded
        self._fitting: dict[tuple[str, int, str], bool] = {}
        self._probe: str | None = None

    def stale(self, record: Record, now: datetime) -> str | None:
        """Return why a record is stale, or None."""
        current = self.current[record.kind]
        world = record.digests.world
        found = is_stale(record, replace(current, world=world), now)
        if found is not None or record.kind == "reach":
            return found
        try:
            fits = self._fits(record)
        except CorrigibleError as error:
            return f"its world cannot be compiled: {error}"
        if fits:
            self.current[record.kind] = replace(current, world=world)
            return None
        return is_stale(record, self.current[record.kind], now) or "world changed"

    def _fits(self, record: Record) -> bool:
        world = record.digests.world
        if record.kind == "control":
            return world == self.current["control"].world
        if record.kind == "propensity":
            if self._probe is None:
                self._probe = probe_world(self._loaded)
                own = self.current["propensity"]
                self.current["propensity"] = replace(own, world=self._probe)
            return world == self.current["propensity"].world
        key = (record.kind, record.seed or 0, world)
        if key not in self._fitting:
            possible = audit_worlds(self._loaded, record.seed or 0)
            self._fitting[key] = possible is None or any(
                world == f"sha256:{one}" for one in possible
            )
        return self._fitting[key]


class _Sources:
    """What records rest on, each read and checked once."""

    def __init__(self, store: EvidenceStore) -> None:
        self._store = store
        self._read: dict[str, Trials | dict[str, Any] | str] = {}

    def of(self, record: Record) -> Trials | dict[str, Any] | None:
        """Return the source of a record, None where it has none that can be read."""
        if record.source is None:
            return None
        found = self._found(record)
        return None if isinstance(found, str) else found

    def contradiction(self, record: Record) -> str | None:
        """Return why a record cannot stand on its source, or None."""
        found = self._found(record)
        return found if isinstance(found, str) else contradiction(record, found)

    def _found(self, record: Record) -> Trials | dict[str, Any] | str:
        source = record.source or ""
        if source not in self._read:
            try:
                attachment = self._store.attachment(source)
                trials = trials_behind(attachment)
                self._read[source] = audit_document(attachment) if trials is None else trials
            except EvidenceError as error:
                self._read[source] = str(error)
        return self._read[source]


def _newest_audit(
    records: tuple[Record, ...], stale: Mapping[str, str], sources: _Sources
) -> dict[str, Any] | None:
    made = sorted((r.made, place) for place, r in enumerate(records)
                  if r.kind == "incentive" and r.id not in stale)  # fmt: skip
    found = (sources.of(records[place]) for _, place in reversed(made))
    return next((one for one in found if isinstance(one, dict)), None)


# -- the ledger ----------------------------------------------------------------------------


def _ledger(
    store: EvidenceStore, now: datetime, broken: dict[str, str]
) -> tuple[tuple[Attempt, ...], tuple[Registration, ...], tuple[Waiver, ...]]:
    """Read attempts, plans and waivers; a row that was changed is `broken`, none are then read."""
    try:
        rows = store.attachments(*_LEDGER)
        attempts = read_attempts(row for row in rows if row.kind == "attempt")
        waivers = tuple(read_waiver(row, now) for row in rows if row.kind == "waiver")
        registrations = tuple(_registrations(rows, now))
    except EvidenceError as error:
        broken["the ledger of attempts, plans and waivers"] = str(error)
        return (), (), ()
    return attempts, registrations, waivers


def _registrations(rows: tuple[Attachment, ...], now: datetime) -> Iterator[Registration]:
    before: set[str] = set()
    for row in rows:
        if row.kind == "attempt":
            before.add(row.digest)
        if row.kind != "plan":
            continue
        try:
            plain = json.loads(row.body)
            at = utc("registered", datetime.fromisoformat(plain["registered"]))
            plan = str(plain["plan"])
        except (ValueError, TypeError, LookupError) as error:
            what = f"must be a plan, got {row.body[:80]!r}"
            raise EvidenceError(f"the attachment {row.digest} {what}") from error
        if at <= now:
            yield Registration(plan, at, frozenset(before))
