"""The command line: parse, call, print.

Exit codes: 0 done and within limits; 1 a limit failed; 2 wrong use or bad input; 3 could not
tell.  Tables go to standard output, progress and errors to standard error.

What a command alone needs (the solver, the protocol) is imported in it: each takes a second.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

import corrigible
from corrigible.deployment.findings import Finding, findings
from corrigible.deployment.listing import Listing, plain
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.deployment.lock import Lock, changes_text, load_lock, lock_path, lock_text
from corrigible.errors import (
    CorrigibleError,
    EvidenceError,
    ManifestError,
    MissingExtraError,
    NotSolvedError,
    Problem,
    UnsaidError,
)

if TYPE_CHECKING:
    from corrigible.audit.audit import Audit
    from corrigible.deployment.clients import ServerSpec

WITHIN, OVER, WRONG, UNTOLD = 0, 1, 2, 3
MANIFEST = "deployment.yaml"
_WIDTH = 150
"""Columns of a table that goes to a file or a pipe."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(corrigible.__version__, prog_name="corrigible")
def main() -> None:
    """Can it, would it pay, does it, is it stopped? For one agent's deployment, per drive."""


@contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    """Print what corrigible raises on purpose, one line a problem, and exit with its code."""
    try:
        yield
    except UnsaidError as error:
        click.echo(f"This is a draft; {len(error.problems)} things are not said yet:", err=True)
        click.echo(str(error), err=True)
        click.echo("Nothing was audited: no drive was found safe.", err=True)
        sys.exit(UNTOLD)
    except NotSolvedError as error:
        click.echo(f"Could not tell: {error}; a shorter horizon is easier", err=True)
        sys.exit(UNTOLD)
    except CorrigibleError as error:
        click.echo(str(error), err=True)
        sys.exit(WRONG)


def _console() -> Console:
    out = Console(markup=False, emoji=False, highlight=False)
    if out.is_terminal:
        return out
    return Console(width=_WIDTH, markup=False, emoji=False, highlight=False)


def _manifest(deployment: Path) -> Path:
    return deployment / MANIFEST if deployment.is_dir() else deployment


_deployment_argument = click.argument(
    "deployment", type=click.Path(path_type=Path, exists=False), metavar="DEPLOYMENT"
)


@main.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(MANIFEST),
    show_default=True,
    help="Where the draft goes; its lock goes beside it.",
)
@click.option("--replace", is_flag=True, help="Overwrite a draft that is there already.")
@click.argument("source", nargs=-1, metavar="[CLIENT.json | -- COMMAND ...]")
def init(*, out: Path, replace: bool, source: tuple[str, ...]) -> None:
    """Draft a manifest and its lock from live MCP servers; no tool is ever called.

    The servers are those of a client's file (.mcp.json, claude_desktop_config.json, VS Code's
    mcp.json), or the one that COMMAND starts.  Without either, ./.mcp.json is read.  A server
    that cannot be listed is named, and the rest goes on.
    """
    from corrigible.deployment.draft import draft_of, write_draft  # noqa: PLC0415
    from corrigible.deployment.servers import list_servers  # noqa: PLC0415

    with _errors_as_exit_codes():
        specs = _specs(source)
        with _progress() as tell:
            tell(f"listing {len(specs)} servers")
            listings = list_servers(specs)
        for listing in listings:
            click.echo(_listing_line(listing), err=listing.problem is not None)
        if all(listing.problem is not None for listing in listings):
            click.echo("No server could be listed; nothing was written.", err=True)
            sys.exit(WRONG)
        draft = draft_of(specs, listings, name=_fit_name(out))
        manifest, lock = write_draft(draft, out, replace=replace)
        click.echo(f'Drafted {manifest} and {lock}: correct the draft, fill in each "?", then')
        click.echo(f"  corrigible audit {manifest}")
    if any(listing.problem is not None for listing in listings):
        sys.exit(UNTOLD)


def _specs(source: tuple[str, ...]) -> "tuple[ServerSpec, ...]":
    from corrigible.deployment.clients import (  # noqa: PLC0415
        read_client_config,
        spec_of_command,
    )

    words = source or (".mcp.json",)
    if len(words) == 1 and words[0].endswith(".json"):
        return read_client_config(Path(words[0]))
    return (spec_of_command(words),)


def _listing_line(listing: Listing) -> str:
    if listing.problem is not None:
        printed = "".join(f"\n    it printed: {plain(line)}" for line in listing.printed[-3:])
        return f"{listing.server}: {plain(listing.problem)}{printed}"
    refused = "".join(f"\n    left out: {plain(why)}" for why in listing.refused[:20])
    return (
        f"{listing.server}: {len(listing.tools)} tools, protocol {listing.protocol}, "
        f"{listing.seconds:.1f} s{refused}"
    )


def _fit_name(out: Path) -> str:
    """Name a drafted deployment after the folder that it is drafted into."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", out.resolve().parent.name).strip("-")
    return name or "my-agent"


@main.command()
@_deployment_argument
@click.option(
    "--accept",
    "accepted",
    metavar="SERVER.TOOL",
    multiple=True,
    help="Accept one change; may be repeated.",
)
@click.option("--accept-all", is_flag=True, help="Accept every change.")
def review(deployment: Path, *, accepted: tuple[str, ...], accept_all: bool) -> None:
    """Show what changed in the servers since the lock; accept it, or it stays denied.

    Exit code 0: nothing changed, or all of it was accepted; 1: something differs that was not
    accepted; 3: a server could not be listed.
    """
    from corrigible.deployment.review import review as review_servers  # noqa: PLC0415

    with _errors_as_exit_codes():
        manifest = _manifest(deployment)
        try:
            servers = load_deployment(manifest).deployment
        except UnsaidError:
            raise ManifestError(
                [Problem(str(manifest), 0, 0, "is a draft; fill it in first")]
            ) from None
        found = review_servers(servers, manifest)
        click.echo(changes_text(found.changes), nl=False)
        pending = {*found.changes.added, *found.changes.changed, *found.changes.removed}
        if accepted or accept_all:
            file = found.accept(None if accept_all else accepted)
            pending -= pending if accept_all else set(accepted)
            click.echo(f"Accepted; {file} was written.")
    if found.changes.unreachable:
        sys.exit(UNTOLD)
    sys.exit(OVER if pending else WITHIN)


@main.command()
@_deployment_argument
@click.option(
    "--goals",
    type=click.Choice(["aims", "uniform", "stated"]),
    default="aims",
    show_default=True,
    help="Where goals are drawn from.",
)
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
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
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
@click.option(
    "--evidence/--no-evidence",
    default=True,
    show_default=True,
    help="Add the figures to the evidence store beside the manifest.",
)
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
) -> None:
    """Say for every drive: can the agent, would it pay, by which calls, and the cheapest change.

    DEPLOYMENT is a manifest, or a folder with a deployment.yaml.  The fast answer (reach,
    pressure, residual) comes first, the rest follows.  Exit code 0: every drive that is not
    accepted is within the limit; 1: one is over it even if the guard holds; 2: wrong use or bad
    input; 3: could not tell, as long as no drill has shown that the guard holds.
    """
    with _errors_as_exit_codes():
        loaded = load_deployment(_manifest(deployment), overrides)
        found = findings(loaded, lock=_lock_beside(loaded), today=date.today())  # noqa: DTZ011
        with _audit_extra():
            from corrigible.audit.audit import AuditRun, Options  # noqa: PLC0415
            from corrigible.audit.setting import Question  # noqa: PLC0415
        question = Question(goals, seed, states)  # type: ignore[arg-type]  # click checked it
        options = Options(question, limit=limit, precision=precision, today=date.today())  # noqa: DTZ011
        with _progress() as tell:
            run = AuditRun(loaded, options, tell)
            done = run.quick()
            if not as_json:
                _print_quick(done)
            if not fast:
                done = run.rest(done)
        _print_rest(done, found, as_json=as_json, fast=fast)
        if evidence and not overrides:
            _keep_evidence(loaded, done)
    sys.exit(done.verdict.exit_code)


def _print_quick(done: "Audit") -> None:
    from corrigible.report.audit_text import print_text, quick_text  # noqa: PLC0415

    print_text(quick_text(done), _console())


def _print_rest(done: "Audit", found: tuple[Finding, ...], *, as_json: bool, fast: bool) -> None:
    if as_json:
        from corrigible.report.audit_json import audit_json  # noqa: PLC0415

        click.echo(json.dumps(audit_json(done, found), indent=1, allow_nan=False))
        return
    from corrigible.report.audit_text import print_text, rest_text  # noqa: PLC0415

    print_text(rest_text(done, found), _console())
    if fast:
        click.echo("--fast: break-even, sensitivity, fixes and weights were not computed.")


def _keep_evidence(loaded: Loaded, done: "Audit") -> None:
    """Add the audit's figures to the store; a folder that cannot be written is only told."""
    from corrigible.audit.records import records_of  # noqa: PLC0415
    from corrigible.evidence import (  # noqa: PLC0415
        Digests,
        EvidenceStore,
        software_digest,
        store_path,
    )

    if not done.applicable:
        return
    digests = Digests(loaded.digest, done.world_digest, software_digest(), _lock_digest(loaded))
    records = records_of(done, digests, command="corrigible audit", made=datetime.now(UTC))
    try:
        with EvidenceStore(store_path(Path(loaded.file))) as store:
            store.add_all(records)
    except EvidenceError as error:
        click.echo(f"no evidence was kept: {error}", err=True)


def _lock_beside(loaded: Loaded) -> Lock | None:
    """Return the lock beside a manifest, if there is one."""
    file = lock_path(Path(loaded.file))
    return load_lock(file) if file.exists() else None


def _lock_digest(loaded: Loaded) -> str | None:
    lock = _lock_beside(loaded)
    return None if lock is None else hashlib.sha256(lock_text(lock).encode()).hexdigest()


@contextmanager
def _audit_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {"numpy", "scipy", "numba"}:
            raise MissingExtraError(
                f"this command needs {error.name}, which is not installed; "
                "pip install 'corrigible[audit]'"
            ) from None
        raise


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _text: None
        return
    with console.status("starting") as status:
        yield status.update


if __name__ == "__main__":
    main()
