"""Loads the compiled kernels when first called for, so that importing the solver stays quick."""

from importlib import import_module
from types import ModuleType

from corrigible.errors import MissingExtraError


def kernels() -> ModuleType:
    """The kernels over many goals, `solve.kernels`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.solve.kernels")


def lifting() -> ModuleType:
    """The kernels that help where sweeps alone are slow, `solve.lifting`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.solve.lifting")


def chains() -> ModuleType:
    """The kernels over fixed policies, `solve.chains`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.solve.chains")


def choices() -> ModuleType:
    """The kernels that compare rows, `solve.choices`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.solve.choices")


def elimination() -> ModuleType:
    """The kernels that evaluate policies by elimination, `solve.elimination`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.solve.elimination")


def cycles() -> ModuleType:
    """The kernels that find the best cycles of a graph, `solve.cycles`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.solve.cycles")


def compiled_module(name: str) -> ModuleType:
    """Import a module that numba compiles.

    Raises:
        MissingExtraError: numba is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in {"numba", "llvmlite"}:
            raise
        raise MissingExtraError(
            f"solving a world needs {missing!r}, which is not installed; "
            "pip install 'corrigible[audit]'"
        ) from error
