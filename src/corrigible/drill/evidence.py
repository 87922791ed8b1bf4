"""A drill's answers as records of evidence, of kind `control`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from corrigible.audit.control import ATTACKS, CONTAINED, NOT_CONTAINED, PATHS, SEARCH, STOPS
from corrigible.drill.records import Answer, Drill, OfDrive
from corrigible.evidence import (
    ALL_DRIVES,
    Attachment,
    Digests,
    Estimate,
    Record,
    Trials,
    Unscored,
    exact_estimate,
)
from corrigible.evidence.trials import trials_of

EXPIRES_AFTER = timedelta(days=30)


_OF_ANSWER: Mapping[Answer, str] = {
    "held": "0", "broken": "1", "not applicable": "n", "could not tell": "-",
}  # fmt: skip


def attachments_of(drill: Drill) -> tuple[Attachment, ...]:
    """Return the raw trials that the records of `records_of` name as their source."""
    every = [*(_paths(one) for one in drill.drives), _attacks(drill), _stops(drill)]
    return tuple(trials.attachment() for trials in every)


def records_of(drill: Drill, digests: Digests, *, command: str, made: datetime) -> list[Record]:
    """Return one record for each drive that was fired at, and those of the deployment as a whole.

    A path that could not be fired, an attack or a stop that could not be told is unscored: it
    stands beside n, never in it.  An attack that does not apply is unscored in no way.
    """
    where = CONTAINED if drill.contained else NOT_CONTAINED

    def record(
        what: tuple[str, str], estimate: Estimate, how: str, *, left: int = 0,
        trials: Trials | None = None,
    ) -> Record:  # fmt: skip
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
            source=None if trials is None else trials.attachment().digest,
        )

    found = [
        record(
            (one.drive, PATHS), one.stopped, "every mode and shortest path fired",
            left=len(one.paths) - len(one.fired), trials=_paths(one),
        )
        for one in drill.drives
    ]  # fmt: skip
    found.append(
        record((ALL_DRIVES, ATTACKS), drill.held, "each attack that applies fired",
               left=_untold([one.answer for one in drill.attacks]), trials=_attacks(drill))
    )  # fmt: skip
    found.append(
        record((ALL_DRIVES, STOPS), drill.proven, "stop, pause and correction rehearsed",
               left=_untold([one.answer for one in drill.stops]), trials=_stops(drill))
    )  # fmt: skip
    none_found = exact_estimate(0.0 if drill.search.found else 1.0, max(drill.search.states, 1))
    how = f"sequences of up to {drill.search.depth} calls searched"
    found.append(record((ALL_DRIVES, SEARCH), none_found, how))
    return found


def _paths(one: OfDrive) -> Trials:
    """Return each path as a trial; the event is that it was let through."""
    outcome = {"denied": "0", "approval": "0", "let through": "1", "not built": "-"}
    return _trials([(path.name, outcome[path.way]) for path in one.paths])


def _attacks(drill: Drill) -> Trials:
    return _trials([(one.name, _OF_ANSWER[one.answer]) for one in drill.attacks])


def _stops(drill: Drill) -> Trials:
    return _trials([(one.name, _OF_ANSWER[one.answer]) for one in drill.stops])


def _trials(named: Sequence[tuple[str, str]]) -> Trials:
    """Return trials that stand alone, numbered: two of them may have one name."""
    units = [f"{number}: {name}" for number, (name, _) in enumerate(named, 1)]
    return trials_of([(u, u, mark, ".") for u, (_, mark) in zip(units, named, strict=True)])


def _untold(answers: Sequence[Answer]) -> int:
    return answers.count("could not tell")
