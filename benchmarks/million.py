"""A million states, 1,000 goals, 5 actions: moments alone are kept.

Each world is built and solved in a process of its own, so that its peak memory is its own.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from timing import TOLERANCE
from worlds import DIAGONAL, MOVES, SLIP, grid, product

from corrigible.solve.moments import value_moments
from corrigible.solve.sample import GoalSample
from corrigible.world.record import World

STATES = 1_000_000
DISCOUNT = 0.99

WORLDS: dict[str, Callable[[], World]] = {
    "no-stay": lambda: grid(STATES, stay=False, moves=(*MOVES, DIAGONAL)),
    "deployment": product,
    "slip-no-stay": lambda: grid(STATES, stay=False, slip=SLIP, moves=(*MOVES, DIAGONAL)),
}
"""A deterministic grid and a slipping one, neither with staying, and tasks times resources."""

COLUMNS = "{:14}{:>10}{:>11}{:>12}{:>7}{:>9}{:>9}{:>12}{:>10}"
HEAD = ("world", "S", "rows", "transitions", "goals", "wall s", "CPU s", "peak MiB", "before")


def report(*, goals: int) -> None:
    """Print one line for each world, as soon as it is there."""
    print(f"discount {DISCOUNT}, error {TOLERANCE:g}; one run each; compiling and building the")
    print("world are left out of the seconds, not of the peak of resident memory; before: the peak")
    print("when solving began\n")
    print(COLUMNS.format(*HEAD), flush=True)
    script = Path(__file__).with_name("solver.py")
    for name in WORLDS:
        command = [sys.executable, str(script), "--million", name, "--goals", str(goals)]
        code = subprocess.run(command, check=False).returncode
        if code:
            print(f"{name:14} ended with code {code}", flush=True)


def solve(name: str, *, goals: int) -> None:
    """Print the line of one world, solved in this process."""
    value_moments(product((3, 2, 3, 2)), GoalSample(count=64), discount=DISCOUNT)  # compiles
    world = WORLDS[name]()
    before = _peak()
    wall, cpu = time.perf_counter(), time.process_time()
    sample = GoalSample(count=goals, seed=0)
    value_moments(world, sample, discount=DISCOUNT, tolerance=TOLERANCE)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        COLUMNS.format(
            name, world.states, len(world.action), world.transitions, goals,
            f"{wall:.1f}", f"{cpu:.1f}", f"{_peak():.0f}", f"{before:.0f}",
        ),
        flush=True,
    )  # fmt: skip


def _peak() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
