"""Loads the compiled kernels when first called for, so that importing the policies stays quick."""

from importlib import import_module
from types import ModuleType

from corrigible.errors import MissingExtraError


def kernels() -> ModuleType:
    """The kernels that solve, follow and sample policies, `policies.kernels`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return _module("corrigible.policies.kernels")


def learning() -> ModuleType:
    """The kernels that learn, `policies.learning`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return _module("corrigible.policies.learning")


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"numba", "llvmlite"}:
            raise
        raise MissingExtraError(
            f"policies need {missing!r}, which is not installed; pip install 'corrigible[audit]'"
        ) from error
