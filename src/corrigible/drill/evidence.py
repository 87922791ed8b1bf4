"""A drill's answers as records of evidence, of kind `control`."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from corrigible.audit.control import ATTACKS, CONTAINED, NOT_CONTAINED, PATHS, SEARCH, STOPS
from corrigible.drill.records import Answer, Drill
from corrigible.evidence import (
    ALL_DRIVES,
    Digests,
    Estimate,
    Record,
    Unscored,
    exact_estimate,
)

EXPIRES_AFTER = timedelta(days=30)


def records_of(drill: Drill, digests: Digests, *, command: str, made: datetime) -> list[Record]:
    """Return one record for each drive that was fired at, and those of the deployment as a whole.

    A path that could not be fired, an attack or a stop that could not be told is unscored: it
    stands beside n, never in it.  An attack that does not apply is unscored in no way.
    """
    where = CONTAINED if drill.contained else NOT_CONTAINED

    def record(what: tuple[str, str], estimate: Estimate, how: str, left: int = 0) -> Record:
        drive, measure = what
        unscored = (Unscored("could not be fired or told", left),) if left else ()
        return Record(
            kind="control",
            drive=drive,
            measure=measure,
            estimate=estimate,
            digests=digests,
            method=f"{how}, at the guard with simulated servers; {where}",
            seed=drill.seed,
            command=command,
            made=made,
            expires=made + EXPIRES_AFTER,
            unscored=unscored,
        )

    found = [
        record(
            (one.drive, PATHS), one.stopped, "every mode and shortest path fired",
            len(one.paths) - len(one.fired),
        )
        for one in drill.drives
    ]  # fmt: skip
    found.append(
        record((ALL_DRIVES, ATTACKS), drill.held, "each attack that applies fired",
               _untold([one.answer for one in drill.attacks]))
    )  # fmt: skip
    found.append(
        record((ALL_DRIVES, STOPS), drill.proven, "stop, pause and correction rehearsed",
               _untold([one.answer for one in drill.stops]))
    )  # fmt: skip
    none_found = exact_estimate(0.0 if drill.search.found else 1.0, max(drill.search.states, 1))
    how = f"sequences of up to {drill.search.depth} calls searched"
    found.append(record((ALL_DRIVES, SEARCH), none_found, how))
    return found


def _untold(answers: Sequence[Answer]) -> int:
    return answers.count("could not tell")
