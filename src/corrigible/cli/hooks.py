"""The command for coding agents that ask before a tool runs."""

import sys
from pathlib import Path

import click

from corrigible.cli.guards import state_option
from corrigible.cli.shared import MANIFEST, errors_as_exit_codes, manifest_of


@click.command("hook")
@click.option(
    "-d",
    "--deployment",
    type=click.Path(path_type=Path),
    default=Path(MANIFEST),
    show_default=True,
    help="The manifest, or its folder; an absolute path, as the agent moves about.",
)
@click.option(
    "--server",
    default="code",
    show_default=True,
    help="The server that the agent's own tools (Bash, Write) are tools of in the manifest.",
)
@click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The guard's socket for agents, where it is not in the state directory.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    help="Seconds until a call is denied; less than the agent's own limit for a hook.",
)
@click.option(
    "--keep-prompts", is_flag=True, help="Let the agent still ask its user about what may go."
)
@click.option("--serve", is_flag=True, help="Be the guard that hooks ask, until interrupted.")
@click.option("--new-run", is_flag=True, help="With --serve: budgets count from here.")
@state_option
def hook(
    *,
    deployment: Path,
    server: str,
    socket_path: Path | None,
    timeout_s: float,
    keep_prompts: bool,
    serve: bool,
    new_run: bool,
    state_folder: Path | None,
) -> None:
    """Answer a coding agent that asks before a tool runs: allowed or denied, and why.

    Reads one event of Claude Code's form from standard input and writes the decision to standard
    output.  Whatever fails denies.  A guard must run: `corrigible hook --serve`, or a program
    with `Guard(…, agent_socket=…)`.
    """
    from corrigible.guard.hook import HookSettings, run_hook  # noqa: PLC0415

    if serve:
        with errors_as_exit_codes():
            _serve(manifest_of(deployment), state_folder, socket_path, new_run=new_run)
        return
    settings = HookSettings(
        deployment, state_folder, socket_path, server, timeout_s, keep_prompts=keep_prompts
    )
    sys.exit(run_hook(settings, sys.stdin.buffer, sys.stdout.buffer))


def _serve(manifest: Path, folder: Path | None, socket_path: Path | None, *, new_run: bool) -> None:
    import signal  # noqa: PLC0415

    from corrigible.deployment.load import load_deployment  # noqa: PLC0415
    from corrigible.guard.session import open_session  # noqa: PLC0415
    from corrigible.guard.state import open_state, state_directory  # noqa: PLC0415
    from corrigible.guard.stopping import Beyond  # noqa: PLC0415

    loaded = load_deployment(manifest)
    state = open_state(state_directory(manifest, folder))
    path = socket_path or state.agent_socket
    # Its tools run in the agent: nothing here can end them.
    beyond = Beyond(remote=frozenset(loaded.deployment.servers))
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with open_session(loaded, state, live=False, new_run=new_run, beyond=beyond, agent_socket=path):
        click.echo(f"guarding {loaded.deployment.name}; hooks ask at {path}", err=True)
        click.echo("agent not contained: what it does beside its tools is not seen", err=True)
        signal.sigwait(ends)
