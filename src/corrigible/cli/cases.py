"""`corrigible case`: everything that is known of a deployment, as one argument with one answer."""

import json
import sys
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.pages import html_option, write_page
from corrigible.cli.shared import (
    audit_extra,
    console,
    deployment_argument,
    errors_as_exit_codes,
    manifest_of,
)
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.errors import CaseError

if TYPE_CHECKING:
    from corrigible.case.nodes import Case


@click.command("case")
@deployment_argument
@click.option("--agent", help="The agent that is deployed, as in `probe --agent`; else the only "
              "one that the evidence speaks of.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/case.md).")
@click.option(
    "--export",
    "exports",
    metavar="FORMAT=FILE",
    multiple=True,
    help="Also write it as gsn, mermaid, dot, cyclonedx, in-toto, sarif, junit or markdown; `-` "
    "for standard output; may be repeated.",
)
@click.option(
    "--sign",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="KEY",
    help="Sign what is exported as in-toto, with the Ed25519 key in this PEM file.",
)
@click.option(
    "--at",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Read the evidence as at the end of this day (UTC); now where it is today or not given.",
)
@html_option
def case_(
    deployment: Path,
    *,
    agent: str | None,
    as_json: bool,
    exports: tuple[str, ...],
    sign: Path | None,
    at: datetime | None,
    html_file: Path | None,
) -> None:
    """Assemble the case for a deployment from its evidence, run its gates, and export it.

    Nothing is measured: run `audit`, `probe` and `drill` first.  Exit code 0: every gate passes
    and the case is supported; 1: a gate fails; 2: wrong use or bad input; 3: could not tell
    (inconclusive, invalid, not measured, stale, or an open doubt).
    """
    with errors_as_exit_codes():
        with audit_extra():
            wanted = _wanted(exports, sign, as_json=as_json)
        loaded = load_deployment(manifest_of(deployment))
        if _not_applicable(loaded):
            click.echo(f"{loaded.deployment.name}: not applicable. A classifier plans nothing and "
                       "acts on nothing, so there is no case to make.")  # fmt: skip
            return
        found = assembled(loaded, agent=agent, now=_moment(at))
        written = [(file, _text(found, name, sign)) for name, file in wanted]
        if as_json:
            from corrigible.case.nodes import case_json  # noqa: PLC0415

            click.echo(json.dumps(case_json(found), indent=1, allow_nan=False))
        elif all(file != "-" for file, _ in written):
            from corrigible.report.case_text import case_text  # noqa: PLC0415

            console().print(case_text(found))
        for file, text in written:
            _write(file, text)
        if html_file is not None:
            from corrigible.report.case_html import case_html  # noqa: PLC0415

            write_page(html_file, case_html(found))
    sys.exit(found.exit_code)


def assembled(loaded: Loaded, *, agent: str | None, now: datetime) -> "Case":
    """Return the case of a deployment from what stands beside its manifest."""
    from corrigible.case.gates import run_gates  # noqa: PLC0415
    from corrigible.case.gates_file import gates_of  # noqa: PLC0415
    from corrigible.case.gathered import gather  # noqa: PLC0415
    from corrigible.case.incident import open_incidents  # noqa: PLC0415
    from corrigible.case.pattern import convergence_case  # noqa: PLC0415

    gates = gates_of(loaded, now.date())
    gathered = gather(loaded, now=now, agent=agent or gates.agent)
    incidents = open_incidents(Path(loaded.file))
    return convergence_case(gathered, run_gates(gates, gathered, incidents), incidents, gates=gates)


def _not_applicable(loaded: Loaded) -> bool:
    return loaded.deployment.agent.kind == "classifier" and not loaded.deployment.tools


def _moment(at: datetime | None) -> datetime:
    """Return now, or the last moment of another day."""
    now = datetime.now(UTC)
    if at is None or at.date() == now.date():
        return now
    return datetime.combine(date(at.year, at.month, at.day), time(23, 59, 59), UTC)


def _wanted(exports: tuple[str, ...], sign: Path | None, *, as_json: bool) -> list[tuple[str, str]]:
    from corrigible.case.exports.formats import FORMATS  # noqa: PLC0415

    found = []
    for export in exports:
        name, equals, file = export.partition("=")
        if not equals or not file or name not in FORMATS:
            raise CaseError(f"--export must be FORMAT=FILE, FORMAT one of {', '.join(FORMATS)}, "
                            f"got {export!r}")  # fmt: skip
        found.append((name, file))
    printed = [name for name, file in found if file == "-"] + ["JSON"] * as_json
    if len(printed) > 1:
        raise CaseError(f"standard output holds one of them, got {' and '.join(printed)}")
    if sign is not None and not any(name == "in-toto" for name, _ in found):
        raise CaseError("--sign signs what is exported as in-toto; add --export in-toto=FILE")
    return found


def _text(case: "Case", name: str, sign: Path | None) -> str:
    from corrigible.case.exports.formats import FORMATS  # noqa: PLC0415

    if name == "in-toto" and sign is not None:
        from corrigible.case.exports.intoto import envelope  # noqa: PLC0415
        from corrigible.guard.signing import signing_key  # noqa: PLC0415

        return envelope(case, signing_key(sign, create=False))
    return FORMATS[name](case)


def _write(file: str, text: str) -> None:
    if file == "-":
        click.echo(text, nl=False)
        return
    from corrigible.deployment.atomic import write_whole  # noqa: PLC0415

    try:
        write_whole(Path(file), text)
    except OSError as error:
        raise CaseError(f"{file} could not be written: {error.strerror or error}") from error
    click.echo(f"wrote {file}", err=True)
