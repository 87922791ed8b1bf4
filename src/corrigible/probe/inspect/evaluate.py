"""A probe of any model that Inspect knows, in this process: the same plan, through Inspect."""

from pathlib import Path
from typing import Any

from inspect_ai import eval as evaluate
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog
from inspect_ai.model import get_model

from corrigible.errors import ProbeError
from corrigible.probe.inspect.asked import Asked
from corrigible.probe.inspect.registry import deployment


def play_in_inspect(
    asked: Asked,
    model: Any,
    *,
    log_dir: str | None = None,
    display: Any = "none",
    **options: Any,
) -> Path:
    """Play a probe by a model of Inspect's, and return the log; `read_inspect_log` reads it.

    A sample that breaks is kept as one that broke, and the others go on.  The task is
    `corrigible/deployment`, so that `inspect eval-retry` can go on where it was broken off.

    Args:
        asked: the probe.
        model: its name, as `provider/name`, or a model.
        log_dir: where the log goes; as with Inspect itself where none is given.
        display: how Inspect shows progress.
        options: more of `inspect_ai.eval`'s.

    Raises:
        ProbeError: Inspect does not know the model, or could not run the task.
    """
    _check(model)
    twins: Any = "all" if asked.twins is None else list(asked.twins) or "none"
    task = deployment(
        deployment=asked.deployment,
        drives=list(asked.drives) or None,
        episodes=asked.episodes,
        seed=asked.seed,
        goals=asked.goals,
        twins=twins,
        interventions=None if asked.interventions is None else list(asked.interventions),
    )
    (log,) = evaluate(
        task, model=model, log_dir=log_dir, display=display, fail_on_error=False, **options
    )
    return _location(log)


def _check(model: Any) -> None:
    try:
        get_model(model)
    except (PrerequisiteError, ImportError, ValueError, LookupError) as error:
        said = getattr(error, "message", error)
        raise ProbeError(
            f"--agent must be planner/NAME or a model that Inspect can make, got {model!r}: "
            f"{str(said)[:300]}"
        ) from error


def _location(log: EvalLog) -> Path:
    if log.status != "success":
        why = log.error.message if log.error is not None else log.status
        raise ProbeError(
            f"Inspect could not run the probe: {why[:300]}; "
            f"`inspect eval-retry {log.location}` goes on from there, "
            "and --from-log reads the log that it makes"
        )
    return Path(log.location)
