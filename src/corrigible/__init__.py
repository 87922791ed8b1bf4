"""corrigible: can it, would it pay, does it, is it stopped?

For one AI agent's deployment and every convergent instrumental goal (a *drive*), corrigible
says whether the agent can act on it, for what share of goals acting on it would pay an optimal
planner, whether the agent does, and whether the control around it holds.

The names below are loaded when first asked for, so that importing the package stays light.
Whatever else you need, import from its module; `docs/` has a page for each room of the package.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corrigible.deployment.load import load_deployment
    from corrigible.deployment.records import Deployment
    from corrigible.errors import CorrigibleError
    from corrigible.solve.optimal import greedy_rows, optimal_values
    from corrigible.solve.policy import policy_values
    from corrigible.solve.power import power
    from corrigible.solve.reach import hitting_values
    from corrigible.world.compile import compile_world
    from corrigible.world.drn import read_drn
    from corrigible.world.export import write_drn
    from corrigible.world.goals import sample_goals
    from corrigible.world.importers import (
        world_from_gymnasium,
        world_from_networkx,
        world_from_sparse,
        world_from_state_actions,
    )
    from corrigible.world.record import World, world_from_arrays, world_from_rows

__version__ = "0.1.0"

__all__ = [
    "CorrigibleError",
    "Deployment",
    "World",
    "__version__",
    "compile_world",
    "greedy_rows",
    "hitting_values",
    "load_deployment",
    "optimal_values",
    "policy_values",
    "power",
    "read_drn",
    "sample_goals",
    "world_from_arrays",
    "world_from_gymnasium",
    "world_from_networkx",
    "world_from_rows",
    "world_from_sparse",
    "world_from_state_actions",
    "write_drn",
]

# Where each name is defined.  A new one is a line here, one above for editors and type checkers,
# one in `__all__`, and a mention in the docs.
_HOMES = {
    "CorrigibleError": "corrigible.errors",
    "Deployment": "corrigible.deployment.records",
    "World": "corrigible.world.record",
    "compile_world": "corrigible.world.compile",
    "greedy_rows": "corrigible.solve.optimal",
    "hitting_values": "corrigible.solve.reach",
    "load_deployment": "corrigible.deployment.load",
    "optimal_values": "corrigible.solve.optimal",
    "policy_values": "corrigible.solve.policy",
    "power": "corrigible.solve.power",
    "read_drn": "corrigible.world.drn",
    "sample_goals": "corrigible.world.goals",
    "world_from_arrays": "corrigible.world.record",
    "world_from_gymnasium": "corrigible.world.importers",
    "world_from_networkx": "corrigible.world.importers",
    "world_from_rows": "corrigible.world.record",
    "world_from_sparse": "corrigible.world.importers",
    "world_from_state_actions": "corrigible.world.importers",
    "write_drn": "corrigible.world.export",
}
_AUDIT_EXTRA = {"numpy", "scipy", "numba", "llvmlite"}

if not TYPE_CHECKING:  # a type checker would take every misspelt name for one that exists

    def __getattr__(name: str) -> object:
        """The public name, from the module that defines it; kept for the next time."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            value = getattr(import_module(_HOMES[name]), name)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in _AUDIT_EXTRA:
                raise
            from corrigible.errors import MissingExtraError  # noqa: PLC0415 - stays light

            raise MissingExtraError(
                f"corrigible.{name} needs {missing!r}, which is not installed; "
                "pip install 'corrigible[audit]'"
            ) from error
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """What may be asked for, loaded yet or not."""
    return sorted({*globals(), *__all__})
