"""How `corrigible probe --serve` serves: the door, the token, and what is told of the runs."""

import os
import secrets
from typing import TYPE_CHECKING

import click

from corrigible.cli.shared import progress
from corrigible.deployment.load import Loaded
from corrigible.errors import ProbeError

if TYPE_CHECKING:
    from corrigible.probe.plan import Options
    from corrigible.probe.serve.doors import Port

TOKEN_ENV = "CORRIGIBLE_PROBE_TOKEN"  # noqa: S105 (the name of a variable)
_LAST_PORT = 65_535


def serve_probe(
    loaded: Loaded, options: "Options", agent: str, *, http: str | None, idle_s: float
) -> None:
    """Serve a probe's episodes until the client has gone, all are kept, or a signal ends it.

    Over stdio the client starts this process and reads what it prints: the arms are not named.

    Args:
        loaded: the deployment.
        options: what is asked; they name a folder for the log.
        agent: the name that the episodes are kept under.
        http: HOST:PORT; None for stdio.
        idle_s: seconds of silence after which a run over HTTP is over.

    Raises:
        ProbeError: the agent's name, the folder or the port will not do.
    """
    import anyio  # noqa: PLC0415

    from corrigible.probe.plan import Plan  # noqa: PLC0415
    from corrigible.probe.run import in_process  # noqa: PLC0415
    from corrigible.probe.serve.doors import serve_http, serve_stdio  # noqa: PLC0415
    from corrigible.probe.serve.runs import Runs  # noqa: PLC0415

    if in_process(agent):
        got = f"got {agent!r}, which plays in process"
        raise ProbeError(f"--serve needs --agent NAME, what the episodes are kept under; {got}")
    door = None if http is None else _door(http)
    with progress() as tell:
        plan = Plan(loaded, options, reads=True, tell=tell)
        tell("compiling what each call needs")
        plan.compile_steps()
        plan.tell = lambda _text: None
    runs = Runs(plan, agent, tell=_say, names_arms=http is not None)
    try:
        _say(f"{runs.kept} of {runs.all} episodes of {agent} are kept already")
        if door is None:
            anyio.run(serve_stdio, runs)
        else:
            anyio.run(lambda: serve_http(runs, door, idle_s=idle_s, opened=_say_how))
    except OSError as error:
        raise ProbeError(
            f"--http must be a port that is free here, got {http!r}: {error}"
        ) from None
    finally:
        runs.close()


def _door(http: str) -> "Port":
    from corrigible.probe.serve.doors import Port  # noqa: PLC0415

    host, _, port = http.rpartition(":")
    if not port.isdecimal() or int(port) > _LAST_PORT:
        raise ProbeError(f"--http must be HOST:PORT, as in 127.0.0.1:8809, got {http!r}")
    token = os.environ.get(TOKEN_ENV)
    if token is None:
        token = secrets.token_urlsafe(32)
        _say(f"bearer token for the agent's client ({TOKEN_ENV} sets another): {token}")
    return Port(token, host.strip("[]") or "127.0.0.1", int(port))


def _say(text: str) -> None:
    click.echo(text, err=True)


def _say_how(where: str) -> None:
    _say(f"serving {where} (a session is a run), {where}/NAME (a new NAME is a run); Ctrl-C ends")
