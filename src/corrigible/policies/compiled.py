"""Loads the compiled kernels when first called for, so that importing the policies stays quick."""

from types import ModuleType

from corrigible.solve.compiled import compiled_module


def kernels() -> ModuleType:
    """The kernels that solve, follow and sample policies, `policies.kernels`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.policies.kernels")


def learning() -> ModuleType:
    """The kernels that learn, `policies.learning`.

    Raises:
        MissingExtraError: numba is not installed.
    """
    return compiled_module("corrigible.policies.learning")
