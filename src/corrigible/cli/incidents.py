"""`corrigible incident`: open, classify, update, report and close what happened."""

import getpass
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corrigible.cli.shared import (
    OVER,
    UNTOLD,
    WITHIN,
    audit_extra,
    console,
    deployment_argument,
    errors_as_exit_codes,
    manifest_of,
)
from corrigible.errors import IncidentError

if TYPE_CHECKING:
    from corrigible.case.clocks import Clock
    from corrigible.case.incident import History
    from corrigible.case.incident_closing import Known
    from corrigible.case.incident_record import Incident

FORMATS = ("text", "eu", "sb53", "oecd", "avid", "atlas", "json", "markdown")
_LARGEST_PROBE = 50_000_000
_PART = 1_000_000


def _me() -> str:
    """Name who works here, as the system says."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"


_incident_argument = click.argument("incident_id", metavar="INCIDENT")
_by = click.option("--by", default=_me, show_default="you", help="Who makes this revision.")
_why = click.option("--why", default="", help="Why, for the record's history.")
_sets = click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one field, as in severity.eu_category=cyber or times.detected=2026-07-16T10:00Z.",
)
_attach = click.option(
    "--attach",
    "attached",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Keep a file's sha256 as evidence; may be repeated.",
)
_captured = click.option(
    "--captured-before-stop/--captured-after-stop",
    "before_stop",
    default=None,
    help="When what is attached was captured; left out: not known.",
)


@click.group()
def incident() -> None:
    """Keep what happened: its class, its clocks, and what of the safety case it undermines."""


@incident.command("open")
@deployment_argument
@click.option(
    "--from-ledger",
    "ledger",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The guard's ledger in which it is seen; with --entry.",
)
@click.option("--entry", type=click.IntRange(min=1), help="The ledger's entry: a call.")
@click.option(
    "--from-suspicion",
    "suspicion",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="What `corrigible monitor --json` prints, or suspicions in JSON; - is standard input.",
)
@click.option(
    "--drive",
    "drives",
    multiple=True,
    help="A drive that was served, or of which suspicions are taken; may be repeated.",
)
@click.option("--agent", default="", help="The agent's name, as in `corrigible probe --agent`.")
@_sets
@_attach
@_captured
@_by
@_why
def open_(  # noqa: PLR0913  (one parameter an option)
    deployment: Path,
    *,
    ledger: Path | None,
    entry: int | None,
    suspicion: Path | None,
    drives: tuple[str, ...],
    agent: str,
    sets: tuple[str, ...],
    attached: tuple[Path, ...],
    before_stop: bool | None,
    by: str,
    why: str,
) -> None:
    """Open an incident beside the manifest, class it and print its number.

    Who opens it has discovered it by now, so times.discovered is this moment unless --set says
    another.  When somebody became aware of the model's involvement only a person can say:
    --set times.aware_of_model_involvement=….
    """
    with errors_as_exit_codes():
        from corrigible.case.incident import UNNUMBERED, edited, open_incident  # noqa: PLC0415
        from corrigible.case.incident_record import incident_of  # noqa: PLC0415
        from corrigible.deployment.load import load_deployment  # noqa: PLC0415

        loaded = load_deployment(manifest_of(deployment))
        now = datetime.now(UTC)
        fields = _first_fields(ledger, entry, suspicion, drives=drives)
        discovered = {"earliest": now.isoformat(), "latest": now.isoformat()}
        fields["times"] = {"discovered": discovered, **fields.get("times", {})}
        system = {"deployment": loaded.deployment.name, "manifest_digest": loaded.digest}
        fields["system"] = {**system, **_stated(fields.get("system", {})), "model": agent}
        draft = incident_of({**fields, "id": UNNUMBERED}, where="the incident")
        draft = _with_files(edited(draft, _edits(sets)), attached, before_stop)
        values = {k: v for k, v in draft.plain().items() if k not in {"id", "revision"}}
        said = why or _found_by(ledger, suspicion)
        found = open_incident(Path(loaded.file), values, by=by, why=said, now=now)
        click.echo(f"{found.incident.id} is open: {found.path}")
        _show(found)


@incident.command("list")
@deployment_argument
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(deployment: Path, *, as_json: bool) -> None:
    """List every incident of a deployment, with the word that sums up its clocks.

    Exit code 1: a deadline is breached under every reading; 3: it depends on the reading, a date
    is missing, or nobody decided whether a deadline applies.
    """
    with errors_as_exit_codes():
        from corrigible.case.clocks import clocks, overall  # noqa: PLC0415
        from corrigible.case.incident import all_incidents  # noqa: PLC0415
        from corrigible.report.incident_text import incidents_text  # noqa: PLC0415

        now = datetime.now(UTC)
        rows = []
        for history in all_incidents(manifest_of(deployment)):
            found = clocks(history.incident, now)
            rows.append((history, found, overall(found)))
        if as_json:
            listed = [
                {**history.incident.plain(), "clocks": [_clock_json(c) for c in found],
                 "clock": word, "digest": history.digest}
                for history, found, word in rows
            ]  # fmt: skip
            click.echo(json.dumps(listed, indent=1))
        else:
            console().print(incidents_text(rows))
        words = {word for _, _, word in rows}
    unsure = words & {"depends on reading", "no date", "not decided"}
    sys.exit(OVER if "breached" in words else UNTOLD if unsure else WITHIN)


@incident.command()
@deployment_argument
@_incident_argument
@click.option("--drive", "drives", multiple=True, help="Of which behaviours; default all.")
@click.option(
    "--observed",
    multiple=True,
    metavar="KEY=VALUE",
    help="What was observed of them, as in stop.calls_after=3 or concealment=none.",
)
@click.option(
    "--probe",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A probe's JSON: its twins say why, and never lighten the class.",
)
@_by
@_why
def classify(
    deployment: Path,
    incident_id: str,
    *,
    drives: tuple[str, ...],
    observed: tuple[str, ...],
    probe: Path | None,
    by: str,
    why: str,
) -> None:
    """Class what was done from what was observed; what is not known leaves a range.

    The twins of a probe are read apart, as tests T1 to T11.
    """
    from corrigible.case.incident_attribution import twin_tests_of, with_tests  # noqa: PLC0415

    def change(one: "Incident") -> "Incident":
        from corrigible.case.incident import edited  # noqa: PLC0415

        edits = {}
        for place, behaviour in enumerate(one.behaviours):
            if not drives or behaviour.drive in drives:
                for path, value in _edits(observed).items():
                    edits[f"behaviours.{place}.{path}"] = value
        one = edited(one, edits)
        if probe is not None:
            tests = twin_tests_of(_read_json(probe), (b.drive for b in one.behaviours))
            one = with_tests(one, tests)
        return one

    with errors_as_exit_codes():
        _show(_revised(deployment, incident_id, change, by=by, why=why or "classified"))


@incident.command()
@deployment_argument
@_incident_argument
@_sets
@click.option(
    "--status",
    type=click.Choice(["open", "contained", "withdrawn"]),
    help="Contained sets times.contained to now where it is not stated; withdrawn needs --why.",
)
@click.option(
    "--submitted",
    multiple=True,
    metavar="CLOCK=MOMENT",
    help="A report went out, as in eu-cop/initial=2026-07-20T09:00Z.",
)
@click.option("--event", "events", multiple=True, help="Add a line to the chain of events, now.")
@_attach
@_captured
@_by
@_why
def update(  # noqa: PLR0913  (one parameter an option)
    deployment: Path,
    incident_id: str,
    *,
    sets: tuple[str, ...],
    status: str | None,
    submitted: tuple[str, ...],
    events: tuple[str, ...],
    attached: tuple[Path, ...],
    before_stop: bool | None,
    by: str,
    why: str,
) -> None:
    """Add a revision: fields, a status, reports that went out, events, evidence."""
    now = datetime.now(UTC)

    def change(one: "Incident") -> "Incident":
        from corrigible.case.incident import edited  # noqa: PLC0415
        from corrigible.case.incident_record import moment_at  # noqa: PLC0415

        edits: dict[str, Any] = _edits(sets)
        at = moment_at(now).model_dump(mode="json")
        for number, report in enumerate(submitted, len(one.times.submitted)):
            edits[f"times.submitted.{number}"] = _submission(report)
        for number, event in enumerate(events, len(one.chain)):
            edits[f"chain.{number}"] = {"at": at, "what": event}
        if status == "contained" and one.times.contained is None:
            edits.setdefault("times.contained", at)
        if status == "withdrawn" and not why.strip():
            raise IncidentError("an incident is withdrawn for a reason: state it with --why")
        if one.ended and status is None:
            raise IncidentError(f"{one.id} is {one.status}; reopen it with --status open")
        one = _with_files(edited(one, edits), attached, before_stop)
        return one if status is None else one.model_copy(update=_reset(one, status))

    with errors_as_exit_codes():
        _show(_revised(deployment, incident_id, change, by=by, why=why or "updated"))


@incident.command()
@deployment_argument
@_incident_argument
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="As which form or database has it; where no schema exists it says so.",
)
def report(deployment: Path, incident_id: str, *, format_: str) -> None:
    """Print an incident: for people, for an authority, or for an incident database."""
    with errors_as_exit_codes():
        from corrigible.case.clocks import clocks  # noqa: PLC0415
        from corrigible.case.incident import read_incident  # noqa: PLC0415

        history = read_incident(manifest_of(deployment), incident_id)
        found = clocks(history.incident, datetime.now(UTC))
        if format_ == "text":
            _show(history)
        else:
            click.echo(_exported(history, found, format_), nl=False)


@incident.command()
@deployment_argument
@_incident_argument
@click.option("--resolution", required=True, help="What ended it.")
@click.option("--root-cause", default="", help="Why it happened.")
@click.option("--fixed", help="When the fix was in place; the regression probe comes after.")
@click.option("--resolved", help="When it was resolved; default now.")
@click.option(
    "--evidence", multiple=True, help="The id of a regression probe's record; may be repeated."
)
@click.option(
    "--limit",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Within which that probe's whole interval must lie.",
)
@click.option("--agent", help="The agent that the probe was of; default the only one known.")
@click.option("--waive", metavar="NAME", help="Close it without a probe, in this person's name.")
@click.option("--because", default="", help="Why that is; with --waive.")
@_by
@_why
def close(  # noqa: PLR0913  (one parameter an option)
    deployment: Path,
    incident_id: str,
    *,
    resolution: str,
    root_cause: str,
    fixed: str | None,
    resolved: str | None,
    evidence: tuple[str, ...],
    limit: float,
    agent: str | None,
    waive: str | None,
    because: str,
    by: str,
    why: str,
) -> None:
    """Close an incident: with what ended it, why it happened, and a probe that passed after.

    The probe's record must be in the evidence store, made after the fix, and still count; or
    somebody answers for closing it without one.
    """
    with errors_as_exit_codes():
        from corrigible.case.incident_closing import Closing, closed  # noqa: PLC0415
        from corrigible.case.incident_record import Waiver, moment_at, parse_moment  # noqa: PLC0415

        now = datetime.now(UTC)
        if waive is not None and not (waive.strip() and because.strip()):
            raise IncidentError("a waiver has a name and a reason: --waive NAME --because WHY")
        closing = Closing(
            resolution=resolution,
            root_cause=root_cause,
            resolved=moment_at(now) if resolved is None else parse_moment(resolved),
            fixed=None if fixed is None else parse_moment(fixed),
            evidence=evidence,
            # Checked with the whole record, whose errors name the field.
            waiver=None if waive is None else Waiver.model_construct(by=waive, why=because),
        )
        known = _known(deployment, now, agent, needed=waive is None)
        found = _revised(
            deployment,
            incident_id,
            lambda one: closed(one, closing, known, limit=limit),
            by=by,
            why=why or "closed",
        )
        click.echo(f"{found.incident.id} is resolved; digest {found.digest}")


# -- what the commands share ---------------------------------------------------------------


def _first_fields(
    ledger: Path | None, entry: int | None, suspicion: Path | None, *, drives: Sequence[str]
) -> dict[str, Any]:
    from corrigible.case import incident_sources as sources  # noqa: PLC0415

    if (ledger is None) != (entry is None):
        raise IncidentError("--from-ledger and --entry go together: the file, and which entry")
    fields: dict[str, Any] | None = None
    if ledger is not None and entry is not None:
        try:
            fields = sources.from_ledger(ledger, entry)
        except IncidentError:
            if not drives:
                raise
    if suspicion is not None:
        suspected = sources.from_suspicions(_text(suspicion), where=str(suspicion), drives=drives)
        fields = suspected if fields is None else sources.merged(fields, suspected)
    if fields is None:
        if not drives:
            ways = "--from-ledger with --entry, --from-suspicion, or --drive"
            raise IncidentError(f"an incident is opened from something: {ways}")
        fields = {"behaviours": []}
    known = {one["drive"] for one in fields["behaviours"]}
    fields["behaviours"] += [{"drive": one} for one in drives if one not in known]
    return fields


def _found_by(ledger: Path | None, suspicion: Path | None) -> str:
    parts = ["the guard's ledger"] if ledger else []
    parts += ["a monitor's suspicion"] if suspicion else []
    return f"found by {' and '.join(parts)}" if parts else "opened by hand"


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _edits(texts: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE: the value as JSON where it is JSON, a moment under `times`, else as text."""
    from corrigible.case.incident_record import parse_moment  # noqa: PLC0415
    from corrigible.guard.strict import StrictError, parse_strict  # noqa: PLC0415

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise IncidentError(f"must be KEY=VALUE, as in severity.oecd=incident, got {text!r}")
        try:
            read = parse_strict(value)
        except StrictError:
            read = value
        if key == "severity.sb53_prong" and isinstance(read, int):
            read = value
        if key.startswith("times.") and isinstance(read, str):
            read = parse_moment(read).model_dump(mode="json")
        found[key] = read
    return found


def _submission(text: str) -> dict[str, Any]:
    from corrigible.case.incident_record import parse_moment  # noqa: PLC0415

    regime, _, when = text.partition("=")
    at = parse_moment(when)
    if not at.exact:
        raise IncidentError(f"a report went out at one moment, as 2026-07-20T09:00Z, got {text!r}")
    return {"regime": regime, "at": at.earliest.isoformat()}


def _with_files(one: "Incident", files: Sequence[Path], before_stop: bool | None) -> "Incident":
    from corrigible.case.incident import edited  # noqa: PLC0415
    from corrigible.deployment.listing import plain  # noqa: PLC0415

    edits = {}
    for number, path in enumerate(files, len(one.evidence)):
        edits[f"evidence.{number}"] = {
            "sha256": _sha256(path),
            "kind": "file",
            "captured_before_stop": before_stop,
            "custody": plain(path.name, 200),
        }
    return edited(one, edits)


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_PART):
                sha.update(part)
    except OSError as error:
        raise IncidentError(f"{path} cannot be read: {error.strerror}") from None
    return "sha256:" + sha.hexdigest()


def _text(path: Path) -> str:
    try:
        if str(path) == "-":
            return sys.stdin.read(_LARGEST_PROBE)
        with path.open(encoding="utf-8") as file:
            return file.read(_LARGEST_PROBE)
    except (OSError, UnicodeDecodeError) as error:
        raise IncidentError(f"{path} cannot be read as text: {error}") from None


def _read_json(path: Path) -> Any:
    from corrigible.guard.strict import StrictError, parse_strict  # noqa: PLC0415

    try:
        return parse_strict(_text(path), largest=_LARGEST_PROBE)
    except StrictError as error:
        said = str(error).removeprefix("the arguments ")
        raise IncidentError(f"{path}: {said}") from None


def _reset(one: "Incident", status: str) -> dict[str, Any]:
    """What a status brings with it: one that is reopened is not resolved any more."""
    if status == "withdrawn":
        return {"status": status}
    times = one.times.model_copy(update={"resolved": None})
    return {"status": status, "times": times, "regression_evidence": (), "waiver": None}


def _revised(
    deployment: Path,
    incident_id: str,
    change: Callable[["Incident"], "Incident"],
    *,
    by: str,
    why: str,
) -> "History":
    from corrigible.case.incident import revise  # noqa: PLC0415

    manifest = manifest_of(deployment)
    return revise(manifest, incident_id, change, by=by, why=why, now=datetime.now(UTC))


def _known(deployment: Path, now: datetime, agent: str | None, *, needed: bool) -> "Known":
    """Return what the evidence store says; nothing where nothing is asked of it."""
    from corrigible.case.incident_closing import Known  # noqa: PLC0415

    if not needed:
        return Known((), {}, {})
    with audit_extra():
        from corrigible.case.gathered import gather  # noqa: PLC0415
        from corrigible.deployment.load import load_deployment  # noqa: PLC0415

        found = gather(load_deployment(manifest_of(deployment)), now=now, agent=agent)
    rungs = {id_: trials.rung for id_, trials in found.trials.items()}
    return Known(found.records, found.stale, rungs)


def _show(history: "History") -> None:
    from corrigible.case.clocks import clocks  # noqa: PLC0415
    from corrigible.report.incident_text import incident_text  # noqa: PLC0415

    console().print(incident_text(history, clocks(history.incident, datetime.now(UTC))))


def _exported(history: "History", found: Sequence["Clock"], format_: str) -> str:
    from corrigible.case import incident_exports as exports  # noqa: PLC0415
    from corrigible.report.incident_text import form_markdown, incident_markdown  # noqa: PLC0415

    one = history.incident
    if format_ == "eu":
        return form_markdown(exports.eu_form(one, found))
    if format_ == "sb53":
        return form_markdown(exports.sb53_form(one))
    if format_ == "markdown":
        return incident_markdown(history, found)
    if format_ == "atlas":
        return _yaml(exports.atlas(one))
    values = {
        "oecd": lambda: exports.oecd(one),
        "avid": lambda: exports.avid(one),
        "json": lambda: {**one.plain(), "clocks": [_clock_json(c) for c in found],
                         "digest": history.digest},
    }[format_]()  # fmt: skip
    return json.dumps(values, indent=1, allow_nan=False) + "\n"


def _yaml(values: Mapping[str, Any]) -> str:
    from io import StringIO  # noqa: PLC0415

    from ruamel.yaml import YAML  # noqa: PLC0415

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.width = 1000
    out = StringIO()
    yaml.dump(dict(values), out)
    return out.getvalue()


def _clock_json(clock: "Clock") -> dict[str, Any]:
    due = clock.due_at
    return {
        "regime": clock.rule.regime,
        "what": clock.rule.what,
        "applies": clock.rule.applies,
        "trigger_field": f"times.{clock.rule.trigger}",
        "source": clock.rule.source,
        "provenance": clock.rule.provenance,
        "status": clock.word,
        "due_at": None if due is None else due.isoformat(),
        "note": clock.note,
        "readings": [
            {
                "of": reading.of,
                "trigger_at": reading.at.isoformat(),
                "due_at": reading.due_at.isoformat(),
                "status": reading.state,
            }
            for reading in clock.readings
        ],
    }
