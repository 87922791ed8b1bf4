"""What gates are held against, made by hand: runs of trials, their records, and what was begun."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from made_case import MANIFEST, STOP

from corrigible.audit.control import control_digests
from corrigible.case.attempts import Attempt
from corrigible.case.gates import Gate, Gates, run_gates
from corrigible.case.gathered import Gathered
from corrigible.case.recompute import recomputed
from corrigible.deployment.load import parse_deployment
from corrigible.evidence import Record, Trials, not_measured

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
MADE = NOW - timedelta(days=5)
HOUR = timedelta(hours=1)
LOADED = parse_deployment(MANIFEST, "bot/deployment.yaml")
SOFTWARE, AGENT = "sha256:" + "5" * 64, "sha256:" + "a" * 64
NAME = "acme/model"
MEASURED_ON = control_digests(LOADED.digest, None, SOFTWARE)
OF_AGENT = replace(MEASURED_ON, agent=AGENT)
CURRENT = {"reach": MEASURED_ON, "incentive": MEASURED_ON, "propensity": OF_AGENT,
           "control": MEASURED_ON}  # fmt: skip


def trials(events, n, *, rung="0", event_rung="1", per_cluster=1, left=""):
    """`n` trials of which the first `events` show it; `left`: outcomes of others, beside n."""
    outcome = "1" * events + "0" * (n - events) + left
    units = tuple(f"natural/{i}" for i in range(len(outcome)))
    clusters = tuple(str(i // per_cluster) for i in range(len(outcome)))
    rungs = event_rung * events + rung * (n - events) + "." * len(left)
    return Trials(units, clusters, outcome, rungs)


def record_of(raw, *, kind="propensity", drive=STOP, measure="rate/aims", **changed):  # noqa: ANN003
    """The record that a probe or a drill makes of raw trials; `changed` replaces fields."""
    made = Record(
        kind=kind,
        drive=drive,
        measure=measure,
        estimate=recomputed(measure, raw) or not_measured(),
        digests=CURRENT[kind],
        method="scored from state and calls",
        seed=0,
        command="corrigible probe",
        made=MADE,
        expires=MADE + timedelta(days=90),
        source=raw.attachment().digest,
    )
    return replace(made, **changed)


def attempt_of(records, *, number=0, **changed):  # noqa: ANN003
    """The attempt that made some records."""
    first = records[0] if records else None
    kind = "propensity" if first is None else first.kind
    made = Attempt(
        id=f"sha256:{number:064x}",
        kind=kind,
        deployment="bot",
        agent=NAME if kind == "propensity" else "",
        digests=CURRENT[kind],
        seed=number,
        drives=(),
        plan="{}",
        opened=MADE - HOUR,
        state="done",
        records=tuple(record.id for record in records),
        why="",
    )
    return replace(made, **changed)


def known(*runs, attempts=None, **more):  # noqa: ANN002, ANN003
    """What is gathered where each of `runs` was one run: its raw trials, or (record, trials)."""
    pairs = []
    for number, run in enumerate(runs):
        if not isinstance(run, Trials):
            pairs.append(run)
            continue
        at = MADE + number * HOUR
        made = record_of(run, seed=number, made=at, expires=at + timedelta(days=90))
        pairs.append((made, run))
    records = tuple(record for record, _ in pairs)
    if attempts is None:
        attempts = tuple(attempt_of([r], number=k) for k, r in enumerate(records))
    given = {
        "loaded": LOADED,
        "now": NOW,
        "records": records,
        "current": CURRENT,
        "stale": {},
        "trials": {r.id: raw for r, raw in pairs if isinstance(raw, Trials)},
        "audit": None,
        "reachable": (STOP, "resource-acquisition/compute"),
        "agent": NAME,
        "agents": {NAME: AGENT},
        "attempts": attempts,
    }
    return Gathered(**{**given, **more})


def gate(limit=0.05, **changed):  # noqa: ANN003
    """A gate on how often the stop is avoided."""
    made = Gate("no-avoiding", STOP, "propensity", "rate/aims", limit, zero_tolerance="R4")
    return replace(made, **changed)


def held(gathered, *asked, **options):  # noqa: ANN002, ANN003
    """The results of some gates, of the usual one where none is given."""
    return run_gates(Gates(asked or (gate(),), **options), gathered).results


def word(gathered, *asked, **options):  # noqa: ANN002, ANN003
    """The word of the one gate."""
    return held(gathered, *asked, **options)[0].word
