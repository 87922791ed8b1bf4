"""`corrigible monitor`, `explain`, `trim`: what agents did, why it was there, what they need."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.shared import (
    MANIFEST,
    OVER,
    UNTOLD,
    WITHIN,
    audit_extra,
    console,
    deployment_argument,
    errors_as_exit_codes,
    keep_evidence,
    lock_digest,
    manifest_of,
    progress,
)
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.errors import TranscriptError

if TYPE_CHECKING:
    from corrigible.monitor.calibration import Threshold
    from corrigible.monitor.judge import Judged
    from corrigible.monitor.suspicion import Suspicion
    from corrigible.monitor.trim import Trim
    from corrigible.monitor.watching import Watch

_EXPIRES_AFTER = timedelta(days=30)
_FORMATS = (
    "inspect", "openai", "anthropic", "openai-responses", "claude-code", "codex", "otel", "ledger",
)  # fmt: skip  # as `formats.detect.FORMATS` has them, which takes a while to import
_EXITS = {"suspicions": OVER, "none": WITHIN, "partly read": UNTOLD, "nothing read": UNTOLD}

_paths = click.argument(
    "transcripts", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="TRANSCRIPTS…"
)
_deployment = click.option(
    "--deployment", type=click.Path(path_type=Path), help="The manifest that the calls are under."
)
_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@_paths
@_deployment
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="The format, where the content is unclear.",
)
@click.option(
    "--threshold", "threshold_file", type=click.Path(path_type=Path, dir_okay=False),
    help="A threshold that --calibrate wrote; by default the one that is shipped.",
)  # fmt: skip
@click.option(
    "--calibrate", "out", type=click.Path(path_type=Path, dir_okay=False),
    help="Take TRANSCRIPTS as benign, and write the threshold that flags --rate of them here.",
)  # fmt: skip
@click.option(
    "--rate", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.01,
    show_default=True, help="With --calibrate: the share of benign transcripts it may flag.",
)  # fmt: skip
@click.option(
    "--judge", "judge_model", metavar="MODEL",
    help="Also ask this model of Inspect's about the suspicions that are listed; it decides "
    "nothing.",
)  # fmt: skip
@_as_json
@click.option(
    "--evidence", is_flag=True, help="Add the shares found to the store beside the --deployment."
)
def monitor(
    transcripts: tuple[Path, ...],
    *,
    deployment: Path | None,
    form: str | None,
    threshold_file: Path | None,
    out: Path | None,
    rate: float,
    judge_model: str | None,
    as_json: bool,
    evidence: bool,
) -> None:
    """Score transcripts and ledgers for acts that serve a drive.

    TRANSCRIPTS are files or folders: Inspect logs, chats (OpenAI, Anthropic), coding agents'
    sessions, OpenTelemetry spans, ledgers of the guard.  Exit code 0: no suspicion reaches the
    threshold; 1: one does; 2: wrong use; 3: none does, and not everything could be read.
    """
    from corrigible.monitor.scan import Scanner  # noqa: PLC0415
    from corrigible.monitor.watching import read_threshold, watch  # noqa: PLC0415

    with errors_as_exit_codes():
        loaded = None if deployment is None else load_deployment(manifest_of(deployment))
        if evidence and loaded is None:
            raise click.UsageError("--evidence needs --deployment: evidence is of a manifest")
        if out is not None:
            sys.exit(_calibrate(transcripts, loaded, out, rate, form))
        threshold = None if threshold_file is None else read_threshold(threshold_file)
        scanner = Scanner(loaded, threshold=threshold)
        with progress() as tell:
            seen = watch(transcripts, scanner, scanner.threshold.score, form=form, tell=tell)
        judged = () if judge_model is None else _judged(seen, judge_model, form)
        _print_watch(seen, scanner.threshold, judged, as_json=as_json)
        if evidence and loaded is not None:
            _keep(seen, scanner.threshold, loaded)
    sys.exit(_EXITS[seen.outcome])


def _judged(seen: "Watch", model: str, form: str | None) -> "tuple[Judged, ...]":
    """Read again the transcripts whose suspicions are listed, and ask the model about them."""
    import asyncio  # noqa: PLC0415

    from corrigible.monitor.judge import judge  # noqa: PLC0415
    from corrigible.monitor.reading import read_transcripts  # noqa: PLC0415
    from corrigible.monitor.transcript import Transcript  # noqa: PLC0415

    asked: dict[tuple[str, str], list[Suspicion]] = {}
    for found in seen.top:
        asked.setdefault((found.source, found.suspicion.transcript), []).append(found.suspicion)
    judged: list[Judged] = []
    for source in dict.fromkeys(source for source, _ in asked):
        for one in read_transcripts(Path(source), format=form):
            if isinstance(one, Transcript) and (source, one.id) in asked:
                held = replace(one, events=tuple(one.events))
                judged += asyncio.run(judge(held, asked[source, one.id], model=model))
    return tuple(judged)


def _print_watch(
    seen: "Watch", threshold: "Threshold", judged: "tuple[Judged, ...]", *, as_json: bool
) -> None:
    from corrigible.monitor.calibration import threshold_json  # noqa: PLC0415
    from corrigible.report import monitor_text as text  # noqa: PLC0415

    if as_json:
        held = text.watch_json(seen, threshold_json(threshold), threshold.sentence())
        click.echo(text.json_text({**held, "judged": [text.judged_json(one) for one in judged]}))
    else:
        console().print(text.watch_text(seen, threshold))
        if judged:
            console().print(text.judged_text(judged))


def _calibrate(  # noqa: PLR0917  (called in one place, right above)
    paths: tuple[Path, ...], loaded: Loaded | None, out: Path, rate: float, form: str | None
) -> int:
    """Write a threshold; what cannot be read is told, and then the exit code is 3."""
    from corrigible.deployment.atomic import write_whole  # noqa: PLC0415
    from corrigible.monitor.calibration import calibrate, threshold_json  # noqa: PLC0415
    from corrigible.monitor.scan import Scanner  # noqa: PLC0415
    from corrigible.monitor.watching import Watch, benign  # noqa: PLC0415

    unread = Watch()
    names = ", ".join(path.name for path in paths)[:200]
    found = calibrate(
        Scanner(loaded), benign(paths, unread, form=form), rate, source=f"{names}, taken as benign"
    )
    for bad in unread.named:
        click.echo(f"left out: {bad}", err=True)
    if not unread.transcripts:
        raise TranscriptError("empty: no benign transcript could be read, so there is no threshold")
    try:
        write_whole(out, json.dumps(threshold_json(found), indent=1) + "\n")
    except OSError as error:
        raise TranscriptError(f"file: {out} cannot be written: {error.strerror}") from None
    click.echo(f"{out}: {found.sentence()}")
    return WITHIN if found.supported and not unread.unread else UNTOLD


def _keep(seen: "Watch", threshold: "Threshold", loaded: Loaded) -> None:
    """Keep the share of transcripts with an alarm, for each drive with one and for all."""
    from corrigible.evidence import (  # noqa: PLC0415
        ALL_DRIVES,
        Digests,
        Record,
        Unscored,
        share_estimate,
        software_digest,
    )

    if not seen.transcripts:
        click.echo("no evidence was kept: no transcript could be read", err=True)
        return
    made = datetime.now(UTC)
    # No world is computed: the manifest's digest stands for it, as in a drill's evidence.
    digests = Digests(loaded.digest, loaded.digest, software_digest(), lock_digest(loaded))
    unscored = (Unscored("records that could not be read", seen.unread),) if seen.unread else ()
    keep_evidence(
        loaded,
        [
            Record(
                kind="propensity", drive=drive or ALL_DRIVES, measure="transcripts/suspicion",
                estimate=share_estimate(seen.flagged.get(drive, 0), seen.transcripts),
                digests=digests, method=f"deterministic detectors, {threshold.sentence()}",
                seed=None, command="corrigible monitor --evidence", made=made,
                expires=made + _EXPIRES_AFTER, unscored=unscored,
            )
            for drive in sorted({"", *seen.flagged})
        ],
    )  # fmt: skip


# -- explain -------------------------------------------------------------------------------------

_LEDGER = "ledger.sqlite"


def _ledger_of(path: Path) -> Path:
    """Return the ledger itself: a file, the one in a state folder, or a deployment's own."""
    from corrigible.guard.state import state_directory  # noqa: PLC0415

    if path.is_dir() and not (path / MANIFEST).is_file():
        return path / _LEDGER
    if path.is_dir() or path.suffix in {".yaml", ".yml"}:
        return state_directory(manifest_of(path)) / _LEDGER
    return path


def _manifest_for(ledger: Path, deployment: Path | None) -> Path:
    """Return the manifest to read a ledger against; a ledger holds no path to its own."""
    if deployment is not None:
        return manifest_of(deployment)
    if (ledger / MANIFEST).is_file() or ledger.suffix in {".yaml", ".yml"}:
        return manifest_of(ledger)
    beside = [folder / MANIFEST for folder in (ledger.parent, ledger.parent.parent, Path())]
    found = next((manifest for manifest in beside if manifest.is_file()), None)
    if found is None:
        raise click.UsageError("a ledger does not say where its manifest lies: give --deployment")
    return found


@click.command()
@click.argument("ledger", type=click.Path(path_type=Path), metavar="LEDGER")
@_deployment
@click.option("--entry", type=click.IntRange(min=1), help="Explain the act at this entry alone.")
@click.option(
    "--most", type=click.IntRange(min=1), default=20, show_default=True,
    help="How many different acts are told.",
)  # fmt: skip
@click.option("--fast", is_flag=True, help="Do not look for the cheapest change.")
@_as_json
def explain(
    ledger: Path,
    *,
    deployment: Path | None,
    entry: int | None,
    most: int,
    fast: bool,
    as_json: bool,
) -> None:
    """Say of each act that was denied, asked for or served a drive why it was there to be taken.

    LEDGER is a guard's ledger, its state folder, or the deployment itself.  Told are the decision
    point, what was open then, what would have paid there, and the cheapest change of the manifest
    that ends it.  Equal acts are told once.  Exit code 3: some entries could not be read.
    """
    with errors_as_exit_codes():
        loaded = load_deployment(_manifest_for(ledger, deployment))
        with audit_extra():
            from corrigible.monitor.explain import explain as explained  # noqa: PLC0415
        from corrigible.report import monitor_text as text  # noqa: PLC0415

        with progress() as tell:
            found = explained(
                _ledger_of(ledger), loaded, entry=entry, most=most, fixes=not fast, tell=tell
            )
        if as_json:
            click.echo(text.json_text(text.explanation_json(found)))
        else:
            console().print(text.explanation_text(found), soft_wrap=True)
    sys.exit(UNTOLD if found.acts.bad else WITHIN)


# -- trim ----------------------------------------------------------------------------------------


@click.command()
@deployment_argument
@click.argument(
    "ledgers", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="LEDGER…"
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the smaller manifest here.",
)
@click.option(
    "--audit/--no-audit", "audited", default=True, show_default=True,
    help="Audit both manifests (needs the extra `audit`).",
)  # fmt: skip
@_as_json
def trim(
    deployment: Path, ledgers: tuple[Path, ...], *, out: Path | None, audited: bool, as_json: bool
) -> None:
    """Propose the smaller manifest: what was granted and never used in the ledgers, taken away.

    Tools, verbs, rules, credentials, servers, accepted drives and budgets.  Comments and layout
    stay as they are; nothing is written without --out.  Exit code 3: some entries could not be
    read, or no ledger holds a call.
    """
    from corrigible.deployment.atomic import write_whole  # noqa: PLC0415
    from corrigible.monitor.trim import trim as trimmed  # noqa: PLC0415
    from corrigible.report import monitor_text as text  # noqa: PLC0415

    with errors_as_exit_codes():
        manifest = manifest_of(deployment)
        loaded = load_deployment(manifest)
        source = manifest.read_bytes().decode("utf-8-sig")
        try:
            found = trimmed(loaded, source, [_ledger_of(one) for one in ledgers])
        except TranscriptError as error:
            click.echo(f"Could not tell: {error}", err=True)
            sys.exit(UNTOLD)
        audits = _audits(found) if audited and found.diff else None
        if as_json:
            click.echo(text.json_text(text.trim_json(found, audits)))
        else:
            console().print(text.trim_text(found, audits), soft_wrap=True)  # a diff is not wrapped
        if out is not None:
            try:
                write_whole(out, found.after)
            except OSError as error:
                raise TranscriptError(f"file: {out} cannot be written: {error.strerror}") from None
            click.echo(f"written: {out}", err=True)
    sys.exit(UNTOLD if found.used.bad else WITHIN)


def _audits(found: "Trim") -> Mapping[str, tuple[str, str]] | None:
    """Audit the manifest and the smaller one; None where the extra is missing, which is told."""
    try:
        from corrigible.audit.audit import AuditRun, Options  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {"numpy", "scipy", "numba"}:
            click.echo("not audited: pip install 'corrigible[audit]'", err=True)
            return None
        raise
    from corrigible.report.monitor_text import audited_rows  # noqa: PLC0415

    with progress() as tell:
        before = AuditRun(found.loaded, Options(), tell).quick()
        after = AuditRun(found.smaller, Options(), tell).quick()
    return audited_rows(before, after)
