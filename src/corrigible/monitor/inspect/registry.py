"""What Inspect finds of corrigible: the probes' tasks and planners, and the detectors.

Inspect imports this whenever it starts; the detectors only where Scout and Sentinel are there.
"""

from importlib.util import find_spec

from corrigible.probe.inspect import registry as probes

__all__ = ["probes"]

if find_spec("inspect_scout") is not None:
    from corrigible.monitor.inspect.scanner import drives

    __all__ += ["drives"]
if find_spec("inspect_sentinel") is not None:
    from corrigible.monitor.inspect.sentinel import drive_monitor

    __all__ += ["drive_monitor"]
