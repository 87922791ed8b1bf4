"""The guard's commands: start it, run an agent behind it, compile what it weighs."""

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.shared import (
    audit_extra,
    deployment_argument,
    errors_as_exit_codes,
    manifest_of,
    progress,
)
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.errors import GuardError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from corrigible.guard.proxy.back import Back
    from corrigible.guard.proxy.serve import Door
    from corrigible.guard.session import Session

state_option = click.option(
    "--state",
    "state_folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the guard keeps its latch, ledger and token; the agent must not reach it.",
)

answer_option = click.option(
    "--answer-within",
    type=click.FloatRange(min=1),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a call waits for an operator's answer: after that the answer is no.",
)


@click.command("compile")
@deployment_argument
def compile_(deployment: Path) -> None:
    """Write the weights of acts beside the manifest, for rules that read them.

    A rule such as `where irreversible > 0.2` reads irreversibility, impact and power gain from
    this table; the guard needs no solver.  It is bound to the manifest: after a change, again.
    """
    from corrigible.guard.weights import (  # noqa: PLC0415
        ModeWeights,
        table_of,
        table_path,
        write_table,
    )

    with errors_as_exit_codes():
        loaded = load_deployment(manifest_of(deployment))
        with audit_extra():
            from corrigible.audit.weighing import weighed_acts  # noqa: PLC0415
        with progress() as tell:
            acts = weighed_acts(loaded.deployment, tell=tell)
        entries = (
            (a.tools, a.verb, a.asset, ModeWeights(a.irreversible, a.impact, a.power_gain))
            for a in acts
        )
        table = table_of(loaded.digest, entries)
        file = table_path(Path(loaded.file))
        write_table(table, file)
    click.echo(f"Wrote the weights of {len(table.modes)} acts to {file}.")


@click.command("guard")
@deployment_argument
@click.option("--http", metavar="HOST:PORT", help="Serve streamable HTTP there, not stdio.")
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Serve streamable HTTP on this Unix socket.",
)
@click.option(
    "--token-env",
    default="CORRIGIBLE_AGENT_TOKEN",
    show_default=True,
    help="The variable with the bearer token of HTTP clients; without it one is made and shown.",
)
@click.option("--new-run", is_flag=True, help="Begin a new run: budgets count from here.")
@answer_option
@state_option
def guard_(
    deployment: Path,
    *,
    http: str | None,
    socket_path: Path | None,
    token_env: str,
    new_run: bool,
    answer_within: float,
    state_folder: Path | None,
) -> None:
    """Stand between an agent and its MCP servers: every call decided, kept and stoppable.

    Without --http or --socket the agent's client speaks over stdin and stdout.  Started by the
    agent itself, as its own user, this is advice: `corrigible run` contains the agent.
    """
    import anyio  # noqa: PLC0415

    from corrigible.guard.proxy.serve import serve  # noqa: PLC0415

    with errors_as_exit_codes():
        loaded = load_deployment(manifest_of(deployment))
        doors = _doors(http, socket_path, token_env)
        opened = session_for(
            loaded, state_folder, new_run=new_run, contained=False, answer_within=answer_within
        )
        with opened as session:
            click.echo(opening_line(session), err=True)
            click.echo("agent not contained: what it does beside its tools is not seen", err=True)
            backs = backs_of(session)
            anyio.run(lambda: serve(session.gate, backs, doors, opened=_say_where))


def _say_where(where: str) -> None:
    click.echo(f"serving {where}", err=True)


def _doors(http: str | None, socket_path: Path | None, token_env: str) -> "list[Door]":
    from corrigible.guard.call import Caller  # noqa: PLC0415
    from corrigible.guard.proxy.serve import Port, Stdio, Unix  # noqa: PLC0415

    if http is None and socket_path is None:
        return [Stdio()]
    token = os.environ.get(token_env)
    if token is None:
        token = secrets.token_urlsafe(32)
        click.echo(f"bearer token for the agent's client: {token}", err=True)
    doors: list[Door] = []
    if http is not None:
        host, _, port = http.rpartition(":")
        if not port.isdecimal():
            raise GuardError(f"--http must be HOST:PORT, as in 127.0.0.1:8808, got {http!r}")
        doors.append(Port({token: Caller()}, host or "127.0.0.1", int(port)))
    if socket_path is not None:
        doors.append(Unix({token: Caller()}, socket_path))
    return doors


def session_for(
    loaded: Loaded, folder: Path | None, *, new_run: bool, contained: bool, answer_within: float
) -> "AbstractContextManager[Session]":
    """Open the session of a manifest; what runs elsewhere is beyond its stop."""
    from corrigible.guard.approvals import ApprovalLimits  # noqa: PLC0415
    from corrigible.guard.session import open_session  # noqa: PLC0415
    from corrigible.guard.state import open_state, state_directory  # noqa: PLC0415
    from corrigible.guard.stopping import Beyond  # noqa: PLC0415

    state = open_state(state_directory(Path(loaded.file), folder))
    servers = loaded.deployment.servers
    remote = frozenset(name for name, server in servers.items() if server.url)
    beyond = Beyond(remote=remote, contained=contained)
    limits = ApprovalLimits(ask_s=answer_within)
    return open_session(loaded, state, new_run=new_run, beyond=beyond, limits=limits)


def opening_line(session: "Session") -> str:
    """Say what is guarded, how its latch stands, and where its state is."""
    state = session.gate.latch.state()
    held = ", ".join(f"{one.scope} {one.mode} by {one.by}" for one in state.held)
    how = f"HELD: {held}" if state.held else "running"
    how = how if state.readable else "STOPPED: its latch cannot be read"
    return f"guarding {session.loaded.deployment.name}, {how}; state in {session.state.path}"


def backs_of(session: "Session") -> "list[Back]":
    """Return the manifest's servers, each to be started below a warden.

    Raises:
        GuardError: every server is only described.
    """
    from corrigible.deployment.clients import specs_of_manifest  # noqa: PLC0415
    from corrigible.guard.proxy.back import Back  # noqa: PLC0415

    servers = {
        name: server.model_dump()
        for name, server in session.loaded.deployment.servers.items()
        if server.command or server.url
    }
    if not servers:
        raise GuardError("no server has a `command` or a `url`: there is nothing to guard")
    adopt = None if sys.platform == "linux" else session.trees.adopt  # there the warden tells
    wrap = session.trees.wrap
    return [Back(spec, wrap=wrap, on_start=adopt) for spec in specs_of_manifest(servers)]
