"""`corrigible gates`: what must be shown, before anything runs; registered, checked, waived."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.shared import (
    audit_extra,
    console,
    deployment_argument,
    errors_as_exit_codes,
    manifest_of,
)
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.errors import EvidenceError

if TYPE_CHECKING:
    from corrigible.case.gates import Gates
    from corrigible.case.gathered import Gathered

agent_option = click.option(
    "--agent",
    metavar="NAME",
    help="The agent that is gated; without it the one in gates.yaml, or the only one measured.",
)


@click.group("gates")
def gates_() -> None:
    """State how much evidence each gate needs, register that, hold evidence against it, waive."""


@gates_.command("plan")
@deployment_argument
@agent_option
def plan(deployment: Path, *, agent: str | None) -> None:
    """Say for every gate how many trials it needs, and which agents pass by chance.

    Nothing is run.  By true rate the chance to pass, and what trying again and again does to it.
    """
    with errors_as_exit_codes():
        gates, gathered = _known(load_deployment(manifest_of(deployment)), agent)
        from corrigible.case.gate_plan import gate_plans  # noqa: PLC0415
        from corrigible.report.gates_text import plan_text  # noqa: PLC0415

        console().print(plan_text(gates, gate_plans(gates, gathered)))


@gates_.command("register")
@deployment_argument
def register(deployment: Path) -> None:
    """Write the digest of the gates into the evidence store, before the data.

    What is measured afterwards is pre-registered, as long as the gates stay as they are.
    """
    with errors_as_exit_codes():
        loaded = load_deployment(manifest_of(deployment))
        gates = _gates(loaded)
        from corrigible.evidence import EvidenceStore, store_path  # noqa: PLC0415
        from corrigible.evidence.checks import canonical  # noqa: PLC0415

        now = datetime.now(UTC)
        with EvidenceStore(store_path(Path(loaded.file))) as store:
            said = {"plan": gates.digest, "registered": now.isoformat(), "gates": gates.plan()}
            store.attach("plan", canonical(said))
        click.echo(f"registered {len(gates.gates)} gates at {now:%Y-%m-%d %H:%M} UTC")
        click.echo(f"plan {gates.digest}")


@gates_.command("check")
@deployment_argument
@agent_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(deployment: Path, *, agent: str | None, as_json: bool) -> None:
    """Hold the evidence that there is against every gate; nothing is measured.

    Exit code 0: every gate passes; 1: one fails; 2: wrong use or bad input; 3: one is
    inconclusive, or its evidence cannot be used.
    """
    with errors_as_exit_codes():
        gates, gathered = _known(load_deployment(manifest_of(deployment)), agent)
        from corrigible.case.gates import decision_json, run_gates  # noqa: PLC0415
        from corrigible.case.incident import open_incidents  # noqa: PLC0415
        from corrigible.report.gates_text import decision_text  # noqa: PLC0415

        decision = run_gates(gates, gathered, open_incidents(Path(gathered.loaded.file)))
        if as_json:
            click.echo(json.dumps(decision_json(decision), indent=1, allow_nan=False))
        else:
            console().print(decision_text(gates, decision))
    sys.exit(decision.exit_code)


@gates_.command("waive")
@deployment_argument
@click.argument("gate")
@click.option("--owner", required=True, metavar="NAME", help="Who answers for it.")
@click.option("--why", required=True, metavar="TEXT", help="The reason, as the case will show it.")
@click.option(
    "--until",
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The last day on which it holds (UTC).",
)
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="An Ed25519 key in PEM that signs it; made there where there is no file.",
)
def waive(deployment: Path, gate: str, *, owner: str, why: str, until: datetime, key: Path) -> None:
    """Sign that GATE may be passed in spite of its word, until a day.

    The report and the case show the gate's own word, who waived it and why.  Evidence that cannot
    be used, and an event at R4 or above, cannot be waived.
    """
    with errors_as_exit_codes():
        loaded = load_deployment(manifest_of(deployment))
        gates = _gates(loaded)
        named = {one.name: one for one in gates.gates}
        if gate not in named:
            raise EvidenceError(f"GATE must be one of {', '.join(named)}, got {gate!r}")
        from corrigible.case.waivers import waiver_attachment  # noqa: PLC0415
        from corrigible.evidence import EvidenceStore, store_path  # noqa: PLC0415
        from corrigible.guard.signing import signing_key  # noqa: PLC0415

        signer = signing_key(key)
        known = gates.owners.get(owner)
        if gates.owners and known != signer.public.fingerprint:
            what = "is none of the owners" if known is None else "signs with another key"
            raise EvidenceError(
                f"{owner} {what} in {gates.file}: this key is {signer.public.fingerprint}"
            )
        signed = waiver_attachment(
            signer, gate=gate, of=named[gate].digest, owner=owner, why=why, until=until.date(),
            made=datetime.now(UTC),
        )  # fmt: skip
        with EvidenceStore(store_path(Path(loaded.file))) as store:
            store.add_all([], [signed])
        click.echo(f"{gate} is waived by {owner} until {until.date()}: {why}")
        click.echo(f"signed by the key {signer.public.fingerprint}")


def _gates(loaded: Loaded) -> "Gates":
    with audit_extra():
        from corrigible.case.gates_file import gates_of  # noqa: PLC0415
    return gates_of(loaded, datetime.now(UTC).date())


def _known(loaded: Loaded, agent: str | None) -> "tuple[Gates, Gathered]":
    gates = _gates(loaded)
    from corrigible.case.gathered import gather  # noqa: PLC0415

    return gates, gather(loaded, now=datetime.now(UTC), agent=agent or gates.agent)
