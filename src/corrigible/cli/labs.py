"""`corrigible lab`: the literature's tables, theirs beside ours."""

import json
import sys

import click

from corrigible.cli.shared import audit_extra, errors_as_exit_codes, progress


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE ...]")
@click.option("--quick", is_flag=True, help="Fewer samples and smaller worlds: under a minute.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/lab.md).")
def lab(tables: tuple[str, ...], *, quick: bool, as_json: bool) -> None:
    """Reproduce what is known: each published table, theirs beside ours, with a verdict.

    Without TABLE all of them.  Exit code 0: every row agrees, or differs as documented; 1: one
    differs.
    """
    with errors_as_exit_codes():
        with audit_extra():
            from corrigible.lab.run import run_tables  # noqa: PLC0415
            from corrigible.lab.text import lab_lines  # noqa: PLC0415
        with progress() as tell:
            run = run_tables(tables, quick=quick, tell=tell)
        lines = [json.dumps(run.as_json(), indent=1)] if as_json else lab_lines(run)
        for line in lines:
            click.echo(line)
    sys.exit(run.exit_code)
