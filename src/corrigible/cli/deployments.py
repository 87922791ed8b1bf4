"""`corrigible init` and `corrigible review`: drafts a manifest, keeps it true."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.shared import (
    MANIFEST,
    OVER,
    UNTOLD,
    WITHIN,
    WRONG,
    deployment_argument,
    errors_as_exit_codes,
    manifest_of,
    progress,
)
from corrigible.deployment.listing import Listing, plain
from corrigible.deployment.load import load_deployment
from corrigible.deployment.lock import changes_text
from corrigible.errors import ManifestError, Problem, UnsaidError

if TYPE_CHECKING:
    from corrigible.deployment.clients import ServerSpec


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
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

    with errors_as_exit_codes():
        specs = _specs(source)
        with progress() as tell:
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


@click.command()
@deployment_argument
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

    with errors_as_exit_codes():
        manifest = manifest_of(deployment)
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
