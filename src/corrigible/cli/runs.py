"""`corrigible run`: an agent contained, with the guard as its only route."""

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from corrigible.cli.guards import answer_option, backs_of, opening_line, session_for, state_option
from corrigible.cli.shared import deployment_argument, errors_as_exit_codes, manifest_of
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.deployment.lock import lock_path
from corrigible.errors import ContainmentError, GuardError

if TYPE_CHECKING:
    from corrigible.guard.contain import Containment
    from corrigible.guard.forward import Allowed, Connection
    from corrigible.guard.proxy.serve import Door
    from corrigible.guard.session import Session

MCP_PORT, FORWARD_PORT = 8700, 8701
"""Ports of the agent's own loopback: the guard, and the proxy to its model."""


@dataclass(frozen=True)
class _Agent:
    """What is to be run, and how."""

    command: tuple[str, ...]
    cwd: Path
    hidden: tuple[Path, ...]
    writable: tuple[Path, ...]
    model: "tuple[Allowed, ...]"
    contained: bool


@click.command("run")
@deployment_argument
@click.option(
    "--model",
    "models",
    metavar="HOST:PORT",
    multiple=True,
    help="Where the agent may reach its model, through the guard's proxy; may be repeated.",
)
@click.option(
    "--cwd",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=".",
    show_default=True,
    help="Where the agent works, and may write.",
)
@click.option(
    "--hide",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A folder or file that the agent must not see; may be repeated.",
)
@click.option(
    "--writable",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A folder that it may write in, beside --cwd; may be repeated.",
)
@click.option(
    "--uncontained", is_flag=True, help="Run it as you, unconfined; every output says so."
)
@click.option("--new-run", is_flag=True, help="Begin a new run: budgets count from here.")
@answer_option
@state_option
@click.argument("command", nargs=-1, required=True, metavar="-- AGENT ...")
def run_(  # noqa: PLR0913  (one parameter an option)
    deployment: Path,
    *,
    models: tuple[str, ...],
    cwd: Path,
    hide: tuple[Path, ...],
    writable: tuple[Path, ...],
    uncontained: bool,
    new_run: bool,
    answer_within: float,
    state_folder: Path | None,
    command: tuple[str, ...],
) -> None:
    """Start an agent contained, with the guard as its only route (Linux).

    It runs as another user, in process, network and file namespaces of its own.  It finds the
    guard at $CORRIGIBLE_MCP_URL with the bearer token $CORRIGIBLE_MCP_TOKEN, and its model through
    $HTTPS_PROXY.  Its exit code is this command's.  Where the system does not allow containment
    this refuses, unless --uncontained says that it need not be.
    """
    import anyio  # noqa: PLC0415

    with errors_as_exit_codes():
        loaded = load_deployment(manifest_of(deployment))
        agent = _Agent(command, cwd, hide, writable, _allowed(models), not uncontained)
        opened = session_for(
            loaded,
            state_folder,
            new_run=new_run,
            contained=agent.contained,
            answer_within=answer_within,
        )
        with opened as session:
            click.echo(opening_line(session), err=True)
            if session.gate.latch.state().on("", "", "", "agent", ()) == "stopped":
                raise GuardError("no agent is started while it is stopped; `corrigible resume`")
            if not agent.contained:
                click.echo("agent not contained: it can go around the guard", err=True)
            code = anyio.run(_run, session, agent)
            if not agent.contained:
                click.echo("agent was not contained: it could go around the guard", err=True)
    sys.exit(code)


def _allowed(models: tuple[str, ...]) -> "tuple[Allowed, ...]":
    from corrigible.guard.forward import Allowed  # noqa: PLC0415

    found = []
    for model in models:
        host, _, port = model.rpartition(":")
        if not (host and port.isdecimal()):
            raise GuardError(f"--model must be HOST:PORT, as in api.example.org:443, got {model!r}")
        private = host in {"localhost", "127.0.0.1", "::1"}
        found.append(Allowed(host, int(port), private=private))
    return tuple(found)


async def _run(session: "Session", agent: _Agent) -> int:
    """Serve the agent while it runs; return its exit code."""
    import anyio  # noqa: PLC0415

    from corrigible.guard.forward import ForwardProxy  # noqa: PLC0415
    from corrigible.guard.proxy.serve import serve  # noqa: PLC0415

    def report(connection: "Connection") -> None:
        session.gate.ledger.append("note", {"model connection": vars(connection) | {}})

    token, until, ready = secrets.token_urlsafe(32), anyio.Event(), anyio.Event()
    where: list[str] = []

    def opened(address: str) -> None:
        where.append(address)
        ready.set()

    forward = ForwardProxy(agent.model, report)
    session.on_stop = forward.close_soon
    backs, door = backs_of(session), _door(session, agent, token)
    code, failed = 1, None
    async with forward.serving(_forward_socket(session)), anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: serve(session.gate, backs, [door], until=until, opened=opened))
        await ready.wait()
        work = _ran_contained if agent.contained else _ran_uncontained
        try:
            code = await anyio.to_thread.run_sync(
                work, session, agent, _env(token, where[0]), abandon_on_cancel=True
            )
        except (ContainmentError, OSError) as error:
            failed = ContainmentError(str(error))
        finally:
            until.set()
    if failed is not None:
        raise failed
    return code


def _door(session: "Session", agent: _Agent, token: str) -> "Door":
    from corrigible.guard.call import Caller  # noqa: PLC0415
    from corrigible.guard.proxy.serve import Port, Unix  # noqa: PLC0415

    tokens = {token: Caller()}
    if not agent.contained:
        return Port(tokens)
    hosts = frozenset({f"127.0.0.1:{MCP_PORT}", f"localhost:{MCP_PORT}"})
    return Unix(tokens, _mcp_socket(session), hosts=hosts)


def _mcp_socket(session: "Session") -> Path:
    return session.state.path / "mcp.sock"


def _forward_socket(session: "Session") -> Path:
    return session.state.path / "forward.sock"


def _env(token: str, where: str) -> dict[str, str]:
    """Return what tells the agent where the guard is."""
    inside = f"http://127.0.0.1:{MCP_PORT}/mcp"
    url = where if where.startswith("http") else inside
    return {"CORRIGIBLE_MCP_URL": url, "CORRIGIBLE_MCP_TOKEN": token}


def _ran_uncontained(session: "Session", agent: _Agent, env: dict[str, str]) -> int:
    """Run the agent as whoever runs this; a stop still ends it."""
    from corrigible.guard.stopping import AGENT_TREE  # noqa: PLC0415

    started = subprocess.Popen(agent.command, cwd=agent.cwd, env={**os.environ, **env})  # noqa: S603
    session.trees.adopt(f"{AGENT_TREE}agent", started.pid)
    return started.wait()


def _ran_contained(session: "Session", agent: _Agent, env: dict[str, str]) -> int:
    """Run the agent to its end, contained.

    Raises:
        ContainmentError: the system does not allow it.
    """
    proxy = f"http://127.0.0.1:{FORWARD_PORT}"
    env |= {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy, "NO_PROXY": "127.0.0.1,localhost"}
    box = _containment(session, agent, env)
    if problems := box.check():
        raise ContainmentError(
            f"the agent cannot be contained here: {'; '.join(problems)}; allow it, or say "
            "--uncontained and take the guard for advice"
        )
    started = box.start(session.trees)
    for lack in started.lacks:
        click.echo(f"contained, except that {lack}", err=True)
    return started.wait()


def _containment(session: "Session", agent: _Agent, env: dict[str, str]) -> "Containment":
    from corrigible.guard.contain import Containment  # noqa: PLC0415

    return Containment(
        command=agent.command,
        cwd=agent.cwd,
        hidden=(session.state.path, *_papers(session.loaded, agent), *agent.hidden),
        writable=agent.writable,
        sockets={MCP_PORT: _mcp_socket(session), FORWARD_PORT: _forward_socket(session)},
        env=env,
    )


def _papers(loaded: Loaded, agent: _Agent) -> tuple[Path, ...]:
    """Return what says what the agent may do: the manifest's folder, or the files in it.

    Raises:
        ContainmentError: the agent could write there: a lock or a table of its own, say.
    """
    from corrigible.evidence import store_path  # noqa: PLC0415
    from corrigible.guard.weights import table_path  # noqa: PLC0415

    manifest = Path(loaded.file).resolve()
    open_folders = [folder.resolve() for folder in (agent.cwd, *agent.writable)]
    if beside := next((f for f in open_folders if manifest.is_relative_to(f)), None):
        raise ContainmentError(
            f"{manifest} lies in {beside}, where the agent may write; give it another folder with "
            "--cwd (and --writable), or keep the manifest elsewhere"
        )
    if not any(folder.is_relative_to(manifest.parent) for folder in open_folders):
        return (manifest.parent,)
    papers = (manifest, lock_path(manifest), table_path(manifest), store_path(manifest))
    return tuple(path for path in papers if path.exists())
