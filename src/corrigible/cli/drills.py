"""`corrigible drill`: is it stopped."""

import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.shared import (
    Attempted,
    attempting,
    console,
    deployment_argument,
    errors_as_exit_codes,
    evidence_option,
    lock_digest,
    manifest_of,
    progress,
    seed_option,
)
from corrigible.deployment.load import Loaded, load_deployment

if TYPE_CHECKING:
    from corrigible.drill.records import Drill


@click.command()
@deployment_argument
@seed_option
@click.option(
    "--states",
    type=click.IntRange(1, 100_000),
    default=400,
    show_default=True,
    help="How many states the search over sequences looks at.",
)
@click.option(
    "--depth",
    type=click.IntRange(1, 50),
    default=5,
    show_default=True,
    help="How many calls a sequence has at most.",
)
@click.option("--contained", is_flag=True, help="Say that the agent runs under `corrigible run`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@evidence_option
def drill(
    deployment: Path,
    *,
    seed: int,
    states: int,
    depth: int,
    contained: bool,
    as_json: bool,
    evidence: bool,
) -> None:
    """Fire every path that the audit finds, the attacks and a stop at the guard.

    The guard is the real one, on a state directory of its own; the servers are simulated and
    nothing is started.  Exit code 0: every path of a drive that is not accepted is denied or put
    to a person, every attack that applies is held, every stop proven; 1: something got through;
    2: wrong use or bad input; 3: could not tell.
    """
    with errors_as_exit_codes():
        from corrigible.drill.drill import Options, run_drill  # noqa: PLC0415

        loaded = load_deployment(manifest_of(deployment))
        asked = Options(seed, contained, states, depth, date.today())  # noqa: DTZ011
        plan = {"states": states, "depth": depth, "contained": contained}
        with attempting(loaded, "control", keep=evidence, seed=seed, plan=plan) as attempt:
            with progress() as tell:
                done = run_drill(loaded, asked, tell)
            _keep_evidence(loaded, done, attempt)
        _print(done, as_json=as_json)
    sys.exit(done.exit_code)


def _print(done: "Drill", *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(done.as_json(), indent=1, allow_nan=False))
        return
    from corrigible.report.drill_text import drill_text  # noqa: PLC0415

    console().print(drill_text(done))


def _keep_evidence(loaded: Loaded, done: "Drill", attempt: Attempted) -> None:
    """Add the drill's figures to the store."""
    from corrigible.audit.control import control_digests  # noqa: PLC0415
    from corrigible.drill.evidence import attachments_of, records_of  # noqa: PLC0415
    from corrigible.evidence import software_digest  # noqa: PLC0415

    digests = control_digests(loaded.digest, lock_digest(loaded), software_digest())
    records = records_of(done, digests, command="corrigible drill", made=datetime.now(UTC))
    attempt.found(records, attachments_of(done))
