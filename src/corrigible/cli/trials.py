"""`corrigible countermeasures`: training-side countermeasures and permissions on one frontier."""

import json
from datetime import date
from pathlib import Path

import click

from corrigible.cli.shared import (
    audit_extra,
    console,
    deployment_argument,
    errors_as_exit_codes,
    goals_option,
    manifest_of,
    progress,
    seed_option,
)
from corrigible.deployment.load import load_deployment
from corrigible.errors import ManifestError, Problem


@click.command()
@deployment_argument
@goals_option
@seed_option
@click.option("--quick", is_flag=True, help="Fewer strengths and goals.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (docs/policies.md).")
@click.option(
    "--svg",
    "picture",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the frontier into this file.",
)
def countermeasures(
    deployment: Path, *, goals: str, seed: int, quick: bool, as_json: bool, picture: Path | None
) -> None:
    """Try each countermeasure over its strength, and each permission edit: what is kept, what acts.

    Task value kept against how often each drive is acted on in a run, in the deployment's solved
    world; and in words which drives nothing in training removes and only permissions do.
    """
    with errors_as_exit_codes():
        loaded = load_deployment(manifest_of(deployment))
        if loaded.deployment.agent.kind == "classifier" or not loaded.deployment.of_kind("task"):
            why = "needs an agent that acts, and a task that its goals can be about"
            raise ManifestError([Problem(loaded.file, 0, 0, why)])
        with audit_extra():
            from corrigible.audit.countermeasures import (  # noqa: PLC0415
                countermeasures as try_all,
            )
            from corrigible.audit.setting import Question  # noqa: PLC0415
            from corrigible.report.countermeasures_svg import (  # noqa: PLC0415
                countermeasures_svg,
            )
            from corrigible.report.countermeasures_text import (  # noqa: PLC0415
                countermeasures_text,
            )
        question = Question(goals, seed)  # type: ignore[arg-type]  # click checked it
        with progress() as tell:
            today = date.today()  # noqa: DTZ011  (the operator's own day)
            found = try_all(loaded, question=question, quick=quick, today=today, tell=tell)
        if as_json:
            click.echo(json.dumps(found.as_json(), indent=1, allow_nan=False))
        else:
            console().print(countermeasures_text(found))
        if picture is not None:
            picture.write_text(countermeasures_svg(found), encoding="utf-8")
            click.echo(f"Drew {picture}.", err=True)
