"""The ledger of attempts: every probe and drill that was begun, also those that were aborted.

An attempt is written down before its first trial and closed after its last.  One that was never
closed counts as aborted: who stops a run because of what it shows cannot make it undone.
"""

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from corrigible.errors import EvidenceError
from corrigible.evidence import Attachment, Digests, EvidenceKind, EvidenceStore, Record
from corrigible.evidence.checks import canonical, utc

State = Literal["done", "aborted"]


@dataclass(frozen=True)
class Attempt:
    """One run that was opened, and how it ended.

    `drives`: what it was to measure, none for all.  `plan`: what settles its trials beside the
    digests and the seed (episodes, goals, interventions): an attempt of the same plan plays the
    same trials again.  `state`: `aborted` also where it was never closed.  `played`: trials that
    were seen by then, None where nobody knows.  `records`: what it added to the store.
    """

    id: str
    kind: EvidenceKind
    deployment: str
    agent: str
    digests: Digests
    seed: int | None
    drives: tuple[str, ...]
    plan: str
    opened: datetime
    state: State = "aborted"
    played: int | None = None
    records: tuple[str, ...] = ()
    why: str = "never closed"

    def covers(self, drive: str) -> bool:
        """Whether it was to measure a drive."""
        return not self.drives or drive in self.drives

    def repeats(self, other: "Attempt") -> bool:
        """Whether it plays the trials of another again, all of them."""
        same = ("kind", "deployment", "agent", "digests", "seed", "plan")
        some = bool(other.drives) and set(other.drives) <= set(self.drives)
        wider = not self.drives or some
        return wider and all(getattr(self, name) == getattr(other, name) for name in same)


def open_attempt(
    store: EvidenceStore,
    kind: EvidenceKind,
    *,
    deployment: str,
    digests: Digests,
    agent: str = "",
    seed: int | None = None,
    drives: Iterable[str] = (),
    plan: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> Attempt:
    """Write down that a run begins, before its first trial.

    Args:
        store: where; open, and not read only.
        kind: what the run measures.
        deployment: the manifest's name.
        digests: what it runs on, as its records will say.
        agent: the agent's name, empty where none takes part.
        seed: of the run.
        drives: what it is to measure; none for all.
        plan: what settles its trials beside these.
        now: when; the clock's time where it is not said.

    Raises:
        EvidenceError: the store cannot be written.
    """
    opened = utc("now", now or datetime.now(UTC))
    plain = {
        "attempt": 1,
        "nonce": secrets.token_hex(16),  # two runs alike are two attempts
        "kind": kind,
        "deployment": deployment,
        "agent": agent,
        "digests": vars(digests),
        "seed": seed,
        "drives": sorted(drives),
        "plan": canonical(dict(plan or {})),
        "opened": opened.isoformat(),
    }
    body = canonical(plain)
    return _opened(store.attach("attempt", body), json.loads(body))


def close_attempt(
    store: EvidenceStore,
    attempt: Attempt,
    records: Iterable[Record] = (),
    *,
    agent: str = "",
    state: State = "done",
    played: int | None = None,
    why: str = "",
) -> Attempt:
    """Write down how a run ended; the first closing of an attempt is the one that counts.

    `agent`: its name, where that is known only now.

    Raises:
        EvidenceError: the store cannot be written.
    """
    ids = sorted(record.id for record in records)
    plain = {
        "attempt": 1,
        "closes": attempt.id,
        "agent": agent or attempt.agent,
        "state": state,
        "played": played,
        "records": ids,
        "why": why,
    }
    store.attach("attempt", canonical(plain))
    return _closed(attempt, plain)


def read_attempts(attachments: Iterable[Attachment]) -> tuple[Attempt, ...]:
    """Return the attempts that attachments of the kind `attempt` tell of, in their order.

    Raises:
        EvidenceError: one of them is no attempt, or closes one that is not there.
    """
    found: dict[str, Attempt] = {}
    closed: set[str] = set()
    for attachment in attachments:
        try:
            plain = json.loads(attachment.body)
            if "closes" not in plain:
                found[attachment.digest] = _opened(attachment.digest, plain)
                continue
            id_ = plain["closes"]
            if id_ not in closed:
                closed.add(id_)
                found[id_] = _closed(found[id_], plain)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            what = f"must be an attempt, got {attachment.body[:80]!r}"
            raise EvidenceError(f"the attachment {attachment.digest} {what}") from error
    return tuple(found.values())


def _opened(id_: str, plain: dict[str, Any]) -> Attempt:
    return Attempt(
        id=id_,
        kind=plain["kind"],
        deployment=plain["deployment"],
        agent=plain["agent"],
        digests=Digests(**plain["digests"]),
        seed=plain["seed"],
        drives=tuple(plain["drives"]),
        plan=plain["plan"],
        opened=utc("opened", datetime.fromisoformat(plain["opened"])),
    )


def _closed(attempt: Attempt, plain: dict[str, Any]) -> Attempt:
    if plain["state"] not in get_args(State):
        raise EvidenceError(f"an attempt must be {get_args(State)}, got {plain['state']!r}")
    return replace(
        attempt,
        agent=str(plain["agent"]),
        state=plain["state"],
        played=plain["played"],
        records=tuple(plain["records"]),
        why=plain["why"],
    )


def unaccounted(attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts whose trials nobody can read: aborted, or their figures not kept.

    One whose trials were all played again, later and to the end, by an attempt of the same plan
    is accounted for by that one.
    """
    every = list(attempts)
    return tuple(
        one
        for place, one in enumerate(every)
        if not one.records
        and one.played != 0
        and not any(later.records and later.repeats(one) for later in every[place + 1 :])
    )
