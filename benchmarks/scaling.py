"""How our own cost grows: one thing varied at a time, beside the base."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from timing import TOLERANCE, Timing, ours, some_goals
from worlds import SIZED, garnet

from corrigible.world.record import World

STATES = 1_000
DISCOUNT = 0.99
NAMES = ("no-stay", "slip-stay", "garnet")
FACTORS = {"states": (10,), "goals": (0.1, 10), "actions": (0.5, 2, 4), "1/(1-discount)": (0.1, 10)}
COLUMNS = "{:11}{:>16}{:>9}   {:28}{:>8}{:>7}"

FIRST = """
import time
begun = time.perf_counter()
import numpy as np
from corrigible.solve.optimal import optimal_values
from corrigible.world.record import world_from_rows
world = world_from_rows([[("on", {(s + 1) % 10: 0.5, s: 0.5}), ("stay", {s: 1.0})]
                         for s in range(10)])
goals = np.random.default_rng(0).random((10, 1000))
imported = time.perf_counter()
optimal_values(world, goals, discount=0.99).check()
print(imported - begun, time.perf_counter() - imported)
"""


@dataclass(frozen=True, eq=False)
class Setting:
    """What is solved, and what of it differs from the base."""

    name: str
    varied: str  # "" for the base
    value: float
    world: World
    goals: int
    discount: float


def report(*, goals: int, repeats: int) -> None:
    """Print the tables."""
    print(f"base: {STATES:,} states, {goals:,} goals, discount {DISCOUNT}, error {TOLERANCE:g};")
    print(f"n = {repeats} runs, wall seconds: median [least, most]; times: to the base\n")
    print(COLUMNS.format("world", "varied", "to", "wall", "CPU", "times"))
    for name in NAMES:
        base: Timing | None = None
        for setting in settings(name, goals=goals):
            timing = timed(setting, repeats)
            base = base or timing
            times = f"{timing.wall / base.wall:.2f}"
            cells = (name, setting.varied or "base", f"{setting.value:g}", str(timing))
            print(COLUMNS.format(*cells, f"{timing.cpu:.3g}", times), flush=True)
    small = timed(Setting("garnet", "", 0, garnet(10), goals, DISCOUNT), 10 * repeats)
    print(f"\n10 states, {goals:,} goals, once compiled: {small.scaled(1000)} ms")
    with tempfile.TemporaryDirectory() as folder:
        for what in ("compiling (empty cache)", "compiled before (cache on disk)"):
            imports, call = first_call(folder)
            print(f"first call of a fresh process, {what}: {call:.1f} s, imports {imports:.1f} s")


def settings(name: str, *, goals: int) -> Iterator[Setting]:
    """The base, then each thing varied alone; only random worlds have actions to vary."""
    build = SIZED[name]
    world = build(STATES)
    yield Setting(name, "", STATES, world, goals, DISCOUNT)
    for varied, factors in FACTORS.items():
        for factor in factors:
            if varied == "states":
                states = round(STATES * factor)
                yield Setting(name, varied, states, build(states), goals, DISCOUNT)
            elif varied == "goals":
                count = round(goals * factor)
                yield Setting(name, varied, count, world, count, DISCOUNT)
            elif varied == "actions" and name == "garnet":
                actions = round(4 * factor)
                other = garnet(STATES, actions=actions)
                yield Setting(name, varied, actions, other, goals, DISCOUNT)
            elif varied == "1/(1-discount)":
                steps = factor / (1 - DISCOUNT)
                yield Setting(name, varied, round(steps), world, goals, 1 - 1 / steps)


def timed(setting: Setting, repeats: int) -> Timing:
    """Our seconds."""
    goals = some_goals(setting.world, setting.goals)
    return ours(setting.world, goals, discount=setting.discount, repeats=repeats)


def first_call(cache: str) -> tuple[float, float]:
    """Seconds of importing and of the first call, in a process that caches in this folder."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST],
        env={**os.environ, "NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=True,
    )
    imports, call = map(float, done.stdout.split())
    return imports, call
