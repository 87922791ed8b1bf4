"""`corrigible frameworks`: which evidence is relevant to which clause of which framework."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from corrigible.cli.shared import audit_extra, console, errors_as_exit_codes, manifest_of

if TYPE_CHECKING:
    from corrigible.case.frameworks import Coverage, Framework


@click.command("frameworks")
@click.argument("name", required=False)
@click.option(
    "--deployment",
    type=click.Path(path_type=Path),
    help="Say how this deployment's evidence stands: present, stale or none.",
)
@click.option("--gaps", is_flag=True, help="Only clauses without evidence that is relevant.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def frameworks_(name: str | None, *, deployment: Path | None, gaps: bool, as_json: bool) -> None:
    """Show frameworks' clauses, and what evidence of ours is relevant to each.

    It never says that anything complies.  How a clause's text is known stands beside it: read,
    quoted by others, secondary, or unverified.
    """
    with errors_as_exit_codes():
        from corrigible.case.frameworks import framework, frameworks  # noqa: PLC0415
        from corrigible.report import frameworks_text as text  # noqa: PLC0415

        shown = frameworks() if name is None else {name: framework(name)}
        covered = _covered(shown, deployment)
        if as_json:
            found = [_json(one, covered.get(one.name), gaps=gaps) for one in shown.values()]
            click.echo(json.dumps(found if name is None else found[0], indent=1))
        elif name is None and deployment is None:
            console().print(text.gaps_text(shown) if gaps else text.index_text(shown))
        else:
            for one in shown.values():
                console().print(text.framework_text(one, covered.get(one.name), only_gaps=gaps))


def _covered(
    shown: "Mapping[str, Framework]", deployment: Path | None
) -> "dict[str, tuple[Coverage, ...]]":
    """Return how a deployment's evidence stands for each framework; nothing without one."""
    from corrigible.case.frameworks import coverage  # noqa: PLC0415

    if deployment is None:
        return {}
    with audit_extra():
        from corrigible.case.gathered import gather  # noqa: PLC0415
        from corrigible.deployment.load import load_deployment  # noqa: PLC0415

        loaded = load_deployment(manifest_of(deployment))
        found = gather(loaded, now=datetime.now(UTC))
    return {
        name: coverage(framework, found.records, found.stale) for name, framework in shown.items()
    }


def _json(
    one: "Framework", covered: "tuple[Coverage, ...] | None", *, gaps: bool
) -> dict[str, Any]:
    standing = {} if covered is None else {found.clause.id: found for found in covered}
    clauses = []
    for clause in one.clauses:
        now = standing.get(clause.id)
        bare = not clause.relevant if now is None else now.standing in {"none", "stale"}
        if gaps and not bare:
            continue
        found: dict[str, Any] = {
            "id": clause.id,
            "locator": clause.locator,
            "text": clause.text,
            "quoted": clause.quoted,
            "provenance": clause.provenance,
            "known_as": clause.known_as,
            "verified": clause.verified,
            "strength": clause.strength,
            "relevant": list(clause.relevant),
            "note": clause.note,
        }
        if now is not None:
            found["now"] = {
                "standing": now.standing,
                "present": list(now.present),
                "stale": list(now.stale),
                "none": list(now.missing),
            }
        clauses.append(found)
    return {
        "name": one.name,
        "document": one.document,
        "title": one.title,
        "issuer": one.issuer,
        "version": one.version,
        "effective": one.effective,
        "as_of": one.as_of,
        "superseded_by": one.superseded_by,
        "changes": list(one.changes),
        "gaps": list(one.gaps),
        "clauses": clauses,
    }
