"""How our own solver is timed: all goals at once, whole calls, what a call needs included."""

import statistics
import time
from dataclasses import dataclass, replace

import numpy as np

from corrigible.solve.optimal import optimal_values
from corrigible.world.record import Floats, World

TOLERANCE = 1e-6  # of the normalised return, for us and for the peers
WARM = 64  # goals of the call that compiles, which is not timed


@dataclass(frozen=True)
class Timing:
    """Seconds of one piece of work over its repetitions."""

    walls: tuple[float, ...]
    cpus: tuple[float, ...]

    @property
    def wall(self) -> float:
        """The median."""
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        """The median of CPU seconds, of all threads together."""
        return statistics.median(self.cpus)

    def __str__(self) -> str:
        return f"{self.wall:.3g} [{min(self.walls):.3g}, {max(self.walls):.3g}]"

    def scaled(self, factor: float) -> "Timing":
        """The same, for so many times the work."""
        walls, cpus = (tuple(t * factor for t in ts) for ts in (self.walls, self.cpus))
        return Timing(walls, cpus)


def some_goals(world: World, count: int) -> Floats:
    """Goals from U[0, 1), `[O, count]`; a longer list begins with the shorter one."""
    return np.random.default_rng(0).random((count, world.outcomes)).T


def ours(world: World, goals: Floats, *, discount: float, repeats: int) -> Timing:
    """Solve all goals to a certified error, some times, after a first call that is not timed.

    Each call gets a copy of the world: what is kept of a world between calls (the order of its
    states, the plan of an elimination) is counted in each.
    """
    optimal_values(replace(world), goals[:, :WARM], discount=discount, tolerance=TOLERANCE)
    walls, cpus = [], []
    for _ in range(repeats):
        fresh = replace(world)
        wall, cpu = time.perf_counter(), time.process_time()
        optimal_values(fresh, goals, discount=discount, tolerance=TOLERANCE).check()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Timing(tuple(walls), tuple(cpus))
