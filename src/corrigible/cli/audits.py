"""`corrigible audit`: can it, would it pay, and the cheapest change."""

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.pages import html_option, write_page
from corrigible.cli.shared import (
    audit_extra,
    console,
    deployment_argument,
    errors_as_exit_codes,
    evidence_option,
    goals_option,
    keep_evidence,
    lock_beside,
    lock_digest,
    manifest_of,
    progress,
    seed_option,
)
from corrigible.deployment.findings import Finding, findings
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.errors import EvidenceError

if TYPE_CHECKING:
    from corrigible.audit.audit import Audit
    from corrigible.audit.control import Stopped


@click.command()
@deployment_argument
@goals_option
@click.option(
    "--limit",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="The share of goals for which a drive may pay.",
)
@click.option(
    "--precision",
    type=click.FloatRange(0.001, 1),
    default=0.04,
    show_default=True,
    help="Goals are sampled until each share's 95 % interval is narrower than this.",
)
@seed_option
@click.option(
    "--set",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="Override one value of the manifest, as in oversight.detection=0.9; may be repeated.",
)
@click.option(
    "--states",
    type=click.IntRange(min=1),
    default=2_000_000,
    show_default=True,
    help="Refuse a world with more states.",
)
@click.option("--fast", is_flag=True, help="Stop after reach, pressure and residual.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/audit-json.md).")
@evidence_option
@html_option
def audit(  # noqa: PLR0913  (one parameter an option)
    deployment: Path,
    *,
    goals: str,
    limit: float,
    precision: float,
    seed: int,
    overrides: tuple[str, ...],
    states: int,
    fast: bool,
    as_json: bool,
    evidence: bool,
    html_file: Path | None,
) -> None:
    """Say for every drive: can the agent, would it pay, by which calls, and the cheapest change.

    DEPLOYMENT is a manifest, or a folder with a deployment.yaml.  The fast answer (reach,
    pressure, residual) comes first, the rest follows.  Exit code 0: every drive that is not
    accepted is within the limit; 1: one is over it even if the guard holds; 2: wrong use or bad
    input; 3: could not tell, as long as no drill has shown that the guard holds.
    """
    with errors_as_exit_codes():
        loaded = load_deployment(manifest_of(deployment), overrides)
        found = findings(loaded, lock=lock_beside(loaded), today=date.today())  # noqa: DTZ011
        with audit_extra():
            from corrigible.audit.audit import AuditRun, Options  # noqa: PLC0415
            from corrigible.audit.setting import Question  # noqa: PLC0415
        question = Question(goals, seed, states)  # type: ignore[arg-type]  # click checked it
        options = Options(
            question, limit=limit, precision=precision, today=date.today(),  # noqa: DTZ011
            control=_control(loaded),
        )  # fmt: skip
        with progress() as tell:
            run = AuditRun(loaded, options, tell)
            done = run.quick()
            if not as_json:
                _print_quick(done)
            if not fast:
                done = run.rest(done)
        _print_rest(done, found, as_json=as_json, fast=fast)
        if html_file is not None:
            from corrigible.report.audit_html import audit_html  # noqa: PLC0415
            from corrigible.report.audit_json import audit_json  # noqa: PLC0415

            write_page(html_file, audit_html(audit_json(done, found)))
        if evidence and not overrides:
            _keep_evidence(loaded, done, found)
    sys.exit(done.verdict.exit_code)


def _control(loaded: Loaded) -> "dict[str, Stopped]":
    """What drills say of this very manifest; evidence that cannot be read is only told."""
    from corrigible.audit.control import control_digests, read_control  # noqa: PLC0415
    from corrigible.evidence import software_digest  # noqa: PLC0415

    try:
        now = control_digests(loaded.digest, lock_digest(loaded), software_digest())
        return read_control(Path(loaded.file), now, datetime.now(UTC))
    except EvidenceError as error:
        click.echo(f"no evidence was read: {error}", err=True)
        return {}


def _print_quick(done: "Audit") -> None:
    from corrigible.report.audit_text import print_text, quick_text  # noqa: PLC0415

    print_text(quick_text(done), console())


def _print_rest(done: "Audit", found: tuple[Finding, ...], *, as_json: bool, fast: bool) -> None:
    if as_json:
        from corrigible.report.audit_json import audit_json  # noqa: PLC0415

        click.echo(json.dumps(audit_json(done, found), indent=1, allow_nan=False))
        return
    from corrigible.report.audit_text import print_text, rest_text  # noqa: PLC0415

    print_text(rest_text(done, found), console())
    if fast:
        click.echo("--fast: break-even, sensitivity, fixes and weights were not computed.")


def _keep_evidence(loaded: Loaded, done: "Audit", found: tuple[Finding, ...]) -> None:
    """Add the audit's figures, and all of it as they come from, to the store."""
    from corrigible.audit.records import records_of  # noqa: PLC0415
    from corrigible.evidence import Attachment, Digests, software_digest  # noqa: PLC0415
    from corrigible.report.audit_json import audit_json  # noqa: PLC0415

    if not done.applicable:
        return
    digests = Digests(loaded.digest, done.world_digest, software_digest(), lock_digest(loaded))
    whole = Attachment("audit", json.dumps(audit_json(done, found), allow_nan=False))
    records = records_of(
        done, digests, command="corrigible audit", made=datetime.now(UTC), source=whole.digest
    )
    keep_evidence(loaded, records, [whole])
