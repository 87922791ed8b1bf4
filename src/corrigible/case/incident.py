"""Incidents beside a manifest: one file each, whose revisions are added and chained.

`deployment.incidents/INC-2026-0001.json` holds every revision whole.  Each names the digest of the
one before, so that an edited earlier revision is found at the next reading.  Whoever can write the
file can write all of it anew, or leave out its last revision: that shows only against a digest that
was kept elsewhere (`History.digest`, which every command prints).
"""

import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from corrigible.case.classify import classified
from corrigible.case.incident_closing import regression_of
from corrigible.case.incident_record import FORMAT, Incident, incident_of
from corrigible.deployment.atomic import write_whole
from corrigible.deployment.listing import plain
from corrigible.errors import CorrigibleError, IncidentError
from corrigible.guard.strict import StrictError, parse_strict

__all__ = [
    "UNNUMBERED", "History", "Incident", "Revision", "all_incidents", "edited", "incidents_folder",
    "open_incident", "open_incidents", "read_incident", "revise",
]  # fmt: skip

UNNUMBERED = "INC-0000-0000"
"""The id of an incident that is about to be opened."""
LARGEST_FILE = 16_000_000
"""Bytes of one incident's file, all revisions together."""
_FIRST = "sha256:" + "0" * 64
_NAME = re.compile(r"INC-[0-9]{4}-[0-9]{4}")
_MOST = 9999
_LONGEST_WHY = 500
_LARGEST_PATCH_DEPTH = 20


@dataclass(frozen=True)
class Revision:
    """One revision: when, by whom and why it was made, what it states, and its place in the chain.

    `digest` is the sha256 of the canonical JSON of everything else, `prev` that of the revision
    before.
    """

    number: int
    at: datetime
    by: str
    why: str
    prev: str
    incident: Incident
    digest: str


@dataclass(frozen=True)
class History:
    """One incident with all its revisions, oldest first."""

    path: Path
    revisions: tuple[Revision, ...]

    @property
    def incident(self) -> Incident:
        """What the last revision states."""
        return self.revisions[-1].incident

    @property
    def digest(self) -> str:
        """The digest of the last revision, to be kept elsewhere."""
        return self.revisions[-1].digest


def incidents_folder(manifest: Path) -> Path:
    """Return where a manifest's incidents are kept: `deployment.incidents` beside it."""
    return manifest.with_suffix(".incidents")


def open_incidents(manifest: Path) -> tuple[Incident, ...]:
    """Return every incident of a manifest that is neither resolved nor withdrawn, by number.

    Raises:
        IncidentError: a file cannot be read, or was changed: then nobody can tell.
    """
    return tuple(
        history.incident for history in all_incidents(manifest) if not history.incident.ended
    )


def all_incidents(manifest: Path) -> tuple[History, ...]:
    """Return every incident of a manifest, by number; none where there is no folder.

    Raises:
        IncidentError: a file cannot be read, or was changed.
    """
    folder = incidents_folder(manifest)
    try:
        names = sorted(path.name for path in folder.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise IncidentError(f"{folder} cannot be listed: {error.strerror}") from None
    for name in names:
        if not _NAME.fullmatch(name.removesuffix(".json")):
            raise IncidentError(
                f"{folder} must hold INC-<year>-<number>.json files, got {plain(name, 80)!r}; "
                "move it away"
            )
    _none_missing(folder, names)
    return tuple(_read(folder / name) for name in names)


def _none_missing(folder: Path, names: list[str]) -> None:
    """Refuse a gap in the numbers of a year: an incident was taken away."""
    there = set(names)
    for name in names:
        year, number = name[4:8], int(name[9:13])
        before = f"INC-{year}-{number - 1:04}.json"
        if number > 1 and before not in there:
            raise IncidentError(f"{folder}: {before} is missing, though {name} came after it")


def read_incident(manifest: Path, id_: str) -> History:
    """Return one incident with its revisions.

    Raises:
        IncidentError: there is none of that id, its file cannot be read, or it was changed.
    """
    path = _path(manifest, id_)
    if not path.exists():
        known = ", ".join(history.incident.id for history in all_incidents(manifest)) or "none"
        raise IncidentError(f"no incident {id_} is beside {manifest}; there are: {known}")
    return _read(path)


def open_incident(
    manifest: Path, fields: Mapping[str, Any], *, by: str, why: str, now: datetime
) -> History:
    """Add an incident: the next number of the year, classed, as its first revision.

    Args:
        manifest: whose incident it is.
        fields: what the record states, without `id` and `revision`.
        by: who opens it.
        why: how it was found.
        now: this moment.

    Raises:
        IncidentError: a field breaks its rule, or the folder cannot be written.
    """
    folder = incidents_folder(manifest)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise IncidentError(f"{folder} cannot be made: {error.strerror}") from None
    with _locked(folder):
        taken = [
            int(path.stem[-4:]) for path in folder.glob(f"INC-{now:%Y}-[0-9][0-9][0-9][0-9].json")
        ]
        number = max(taken, default=0) + 1
        if number > _MOST:
            raise IncidentError(f"{folder} holds {_MOST:,} incidents of {now:%Y}; start another")
        id_ = f"INC-{now:%Y}-{number:04}"
        incident = incident_of({**fields, "id": id_, "revision": 1}, where=id_)
        return _added(folder / f"{id_}.json", (), incident, by=by, why=why, now=now)


def revise(
    manifest: Path,
    id_: str,
    change: Callable[[Incident], Incident],
    *,
    by: str,
    why: str,
    now: datetime,
) -> History:
    """Add a revision: what `change` makes of the last one, checked and classed anew.

    Raises:
        IncidentError: there is no such incident, it was changed, or the new one breaks a rule.
    """
    path = _path(manifest, id_)
    with _locked(incidents_folder(manifest)):
        history = read_incident(manifest, id_)
        changed = change(history.incident)
        values = {**changed.plain(), "id": id_, "revision": len(history.revisions) + 1}
        incident = incident_of(values, where=id_)
        return _added(path, history.revisions, incident, by=by, why=why, now=now)


def edited(incident: Incident, edits: Mapping[str, Any]) -> Incident:
    """Return an incident with some fields set, by dotted path (`severity.eu_category`).

    A number in a path is a place in a list; the place after its end adds to it.

    Raises:
        IncidentError: a path leads nowhere or is not to be set, or a value breaks its rule.
    """
    values = incident.plain()
    for path, value in edits.items():
        _set(values, path, value)
    unnumbered = incident.id == UNNUMBERED
    return incident_of(values, where="the incident" if unnumbered else incident.id)


_COMPUTED = {"id", "revision", "status", "undermines", "regression"}
_COMPUTED_PARTS = {"ladder", "ladder_at_most", "left_open", "reading"}


def _set(values: dict[str, Any], path: str, value: Any) -> None:
    steps = path.split(".")
    if steps[0] in _COMPUTED or (len(steps) > 1 and steps[-1] in _COMPUTED_PARTS):
        raise IncidentError(f"{plain(path, 80)} is computed, and cannot be set")
    if len(steps) > _LARGEST_PATCH_DEPTH:
        raise IncidentError(f"{plain(path, 80)} leads nowhere in a record")
    at: Any = values
    for step, after in zip(steps, [*steps[1:], None], strict=True):
        if isinstance(at, list):
            at = _in_list(at, step, path, value, last=after is None)
        elif isinstance(at, dict) and (step in at or after is None):
            if after is None:
                at[step] = value
            else:
                at[step] = {} if at[step] is None else at[step]
                at = at[step]
        else:
            raise IncidentError(f"{plain(path, 80)} leads nowhere: no {plain(step, 40)!r} there")


def _in_list(at: list[Any], step: str, path: str, value: Any, *, last: bool) -> Any:
    if not re.fullmatch(r"[0-9]{1,4}", step) or int(step) > len(at) or int(step) >= _MOST:
        raise IncidentError(f"{plain(path, 80)}: a place in a list of {len(at)}, got {step[:20]!r}")
    place = int(step)
    if place == len(at):
        at.append({})
    if last:
        at[place] = value
    return at[place]


# -- the file ------------------------------------------------------------------------------


def _path(manifest: Path, id_: str) -> Path:
    if not _NAME.fullmatch(id_):
        raise IncidentError(f"an incident is named INC-<year>-<4 digits>, got {plain(id_, 80)!r}")
    return incidents_folder(manifest) / f"{id_}.json"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time add to a folder of incidents."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise IncidentError(f"{folder} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _added(
    path: Path,
    before: tuple[Revision, ...],
    incident: Incident,
    *,
    by: str,
    why: str,
    now: datetime,
) -> History:
    """Write a file with one revision more, whole or not at all."""
    if now.utcoffset() is None:
        raise IncidentError(f"now must have its time zone, got {now}")
    if not by.strip():
        raise IncidentError("a revision must name who made it, got nobody")
    bare = Revision(
        number=len(before) + 1,
        at=now.astimezone(UTC),
        by=plain(by, _LONGEST_WHY),
        why=plain(why, _LONGEST_WHY),
        prev=before[-1].digest if before else _FIRST,
        incident=_computed(incident, path),
        digest="",
    )
    revisions = (*before, Revision(**{**vars(bare), "digest": _digest_of(_body(bare))}))
    whole = {
        "format": FORMAT,
        "id": incident.id,
        "revisions": [{**_body(one), "digest": one.digest} for one in revisions],
    }
    text = json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n"
    if len(text) > LARGEST_FILE:
        raise IncidentError(f"{path} may hold {LARGEST_FILE:,} bytes, and would hold {len(text):,}")
    try:
        write_whole(path, text, keep=not before)
    except OSError as error:
        raise IncidentError(f"{path} cannot be written: {error.strerror}") from None
    return History(path, revisions)


def _computed(incident: Incident, path: Path) -> Incident:
    """Return an incident with all that follows from the rest of it."""
    found = classified(incident)
    named = (path.parent.with_suffix(suffix) for suffix in (".yaml", ".yml"))
    manifest = next((one for one in named if one.exists()), path.parent.with_suffix(".yaml"))
    return found.model_copy(update={"regression": regression_of(found, manifest)})


def _body(revision: Revision) -> dict[str, Any]:
    return {
        "revision": revision.number,
        "at": revision.at.isoformat(),
        "by": revision.by,
        "why": revision.why,
        "prev": revision.prev,
        "incident": revision.incident.plain(),
    }


def _digest_of(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> History:
    whole = _parsed(path)
    try:
        if whole["format"] != FORMAT or whole["id"] != path.stem:
            raise IncidentError(
                f"{path} must hold {path.stem} in {FORMAT}, "
                f"got {plain(whole['id'], 40)!r} in {plain(whole['format'], 40)!r}"
            )
        revisions = _chained(path, whole["revisions"])
    except CorrigibleError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        said = plain(error, 80)
        raise IncidentError(f"{path} must hold an incident's revisions: {said}") from None
    return History(path, revisions)


def _parsed(path: Path) -> Any:
    try:
        # A pipe of that name would else be waited for.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise IncidentError(f"{path} must be a file")
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise IncidentError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return parse_strict(data, largest=LARGEST_FILE)
    except StrictError as error:
        said = str(error).removeprefix("the arguments ")
        raise IncidentError(f"{path}: {said}") from None


def _chained(path: Path, items: list[dict[str, Any]]) -> tuple[Revision, ...]:
    revisions: list[Revision] = []
    if not items:
        raise IncidentError(f"{path} must hold a revision, got none")
    for number, item in enumerate(items, 1):
        body = {key: value for key, value in item.items() if key != "digest"}
        prev = revisions[-1].digest if revisions else _FIRST
        sound = item["digest"] == _digest_of(body) and body["prev"] == prev
        if not sound or body["revision"] != number:
            raise IncidentError(
                f"{path}: revision {number} is not what its digest was made of, or not in its "
                "place: it was changed after it was made; restore the file"
            )
        incident = incident_of(body["incident"], where=f"{path}: revision {number}")
        if (incident.id, incident.revision) != (path.stem, number):
            raise IncidentError(f"{path}: revision {number} states another incident or revision")
        at = datetime.fromisoformat(body["at"])
        by, why = str(body["by"]), str(body["why"])
        revisions.append(Revision(number, at, by, why, prev, incident, str(item["digest"])))
    return tuple(revisions)
