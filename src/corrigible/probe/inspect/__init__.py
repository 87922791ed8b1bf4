"""The plug-in of Inspect AI: probes as its tasks, planners as its models, its logs read back."""

from importlib.util import find_spec

from corrigible.errors import MissingExtraError

if find_spec("inspect_ai") is None:
    raise MissingExtraError(
        "probes in Inspect need inspect-ai, which is not installed; pip install 'corrigible[evals]'"
    )
