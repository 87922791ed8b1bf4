"""`corrigible probe` through Inspect: a model plays there, or a log of it is read back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from corrigible.cli.shared import console, progress
from corrigible.deployment.load import Loaded
from corrigible.errors import ProbeError

if TYPE_CHECKING:
    from corrigible.probe.inspect.logs import Reading
    from corrigible.probe.plan import Options


def in_inspect(agent: str, options: "Options") -> bool:
    """Whether an agent's name is of a model of Inspect's, as `provider/name`.

    One that has played by calls, and left a log of its own, is not.
    """
    from corrigible.probe.run import in_process, log_file  # noqa: PLC0415

    if in_process(agent) or "/" not in agent:
        return False
    file = log_file(options, agent)
    return file is None or not file.exists()


MODEL_EPISODES = 20
"""Of each arm where a model plays and no number was typed: every call of it may cost money."""


def episodes_of(agent: str, episodes: int, log_dir: Path | None) -> int:
    """Return how many episodes each arm has: fewer where a model of Inspect's is to play."""
    from corrigible.probe.plan import Options  # noqa: PLC0415

    typed = any(map(_typed, ("episodes", "precision", "serve", "from_log")))
    options = Options(log_dir=None if log_dir is None else str(log_dir))
    return episodes if typed or not in_inspect(agent, options) else MODEL_EPISODES


def inspected(
    loaded: Loaded, options: "Options", agent: str, *, log: Path | None, as_json: bool
) -> "Reading":
    """Have a model play in Inspect, or take a log that is given, and read the log."""
    from corrigible.probe.inspect.asked import Asked  # noqa: PLC0415
    from corrigible.probe.inspect.evaluate import play_in_inspect  # noqa: PLC0415
    from corrigible.probe.inspect.logs import read_inspect_log  # noqa: PLC0415

    given: dict[str, Any] = {}
    if log is None:
        asked = Asked(
            deployment=str(Path(loaded.file).resolve()),
            drives=options.drives,
            episodes=options.count,
            seed=options.seed,
            goals=options.question.distribution,
        )
        shown = None if console().is_terminal and not as_json else "none"
        log = play_in_inspect(asked, agent, log_dir=options.log_dir, display=shown)
    else:
        given = _given(options)
    with progress() as tell:
        reading = read_inspect_log(log, loaded, given=given, tell=tell)
    if _typed("agent") and reading.agent != agent:
        raise ProbeError(f"{log} is of {reading.agent}, not of {agent}")
    for note in reading.notes:
        click.echo(note, err=True)
    return reading


def _given(options: "Options") -> dict[str, Any]:
    """Return what was typed of a probe's options: a log must agree with it."""
    asked: dict[str, Any] = {"seed": options.seed, "goals": options.question.distribution}
    given = {name: value for name, value in asked.items() if _typed(name)}
    if _typed("episodes") or _typed("precision"):
        given["episodes"] = options.count
    if options.drives:
        given["drives"] = options.drives
    return given


def _typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE
