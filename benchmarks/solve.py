"""Optimal values for many goals, beside quantecon's DiscreteDP, in one run: `python solve.py`.

Every line is one world, the same for all.  Both times are wall seconds for 1,000 goals at the
same guarantee, 1e-6 of normalised return: ours measured on all goals at once, on all cores;
theirs on single goals, one after another, as DiscreteDP takes them, and scaled up.  CPU seconds
stand beside them, since ours uses every core.  A ratio under 1 is a loss.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numba
import numpy as np
import quantecon
from quantecon.markov import DiscreteDP

from corrigible.solve.layout import row_matrix
from corrigible.solve.optimal import optimal_values
from corrigible.world.record import World, world_from_rows

DISCOUNT = 0.99
TOLERANCE = 1e-6
MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))


@dataclass(frozen=True)
class Timing:
    """Seconds for 1,000 goals, over the repetitions."""

    wall: float
    low: float
    high: float
    cpu: float


def grid(side: int, *, stay: bool, slip: float) -> World:
    """A square grid of single cells; `slip` is the chance to go to one side or the other."""

    def neighbour(state: int, move: tuple[int, int]) -> int:
        row, column = divmod(state, side)
        down, right = row + move[0], column + move[1]
        inside = 0 <= down < side and 0 <= right < side
        return down * side + right if inside else state

    rows = []
    for state in range(side * side):
        own: list[tuple[str, dict[int, float]]] = []
        for number, move in enumerate(MOVES):
            ahead = neighbour(state, move)
            if ahead == state:
                continue
            chances = {ahead: 1 - slip}
            for turn in (1, 3) if slip else ():
                beside = neighbour(state, MOVES[(number + turn) % 4])
                beside = ahead if beside == state and not stay else beside
                chances[beside] = chances.get(beside, 0.0) + slip / 2
            own.append((f"move {number}", chances))
        if stay:
            own.append(("stay", {state: 1.0}))
        rows.append(own)
    return world_from_rows(rows)


def garnet(states: int, actions: int, reached: int) -> World:
    """Random rows over random successors (Archibald et al. 1995)."""
    rng = np.random.default_rng(0)

    def row() -> dict[int, float]:
        to = rng.choice(states, size=reached, replace=False).tolist()
        return dict(zip(to, rng.dirichlet(np.ones(reached)).tolist(), strict=True))

    return world_from_rows([[(f"a{a}", row()) for a in range(actions)] for _ in range(states)])


def deployment(holdings: int, tasks: int, *, drift: float = 0.05) -> World:
    """Things to take that are never lost, and tasks of two levels that drift back."""
    held, done = list(product((0, 1), repeat=holdings)), list(product((0, 1), repeat=tasks))
    number = {state: i for i, state in enumerate(product(held, done))}

    def drifted(have: tuple[int, ...], levels: tuple[int, ...], chance: float) -> dict[int, float]:
        out: dict[int, float] = {}
        for kept in product((0, 1), repeat=tasks):
            if any(k > level for k, level in zip(kept, levels, strict=True)):
                continue
            up = sum(kept)
            p = chance * (1 - drift) ** up * drift ** (sum(levels) - up)
            out[number[have, kept]] = out.get(number[have, kept], 0.0) + p
        return out

    def tried(after: dict[int, float], otherwise: dict[int, float]) -> dict[int, float]:
        return {s: after.get(s, 0.0) + otherwise.get(s, 0.0) for s in {**after, **otherwise}}

    rows = []
    for have, levels in number:
        own = [("wait", drifted(have, levels, 1.0))]
        success = 0.3 + 0.1 * have[0] + 0.2 * have[1]
        for task in (t for t in range(tasks) if not levels[t]):
            up = (*levels[:task], 1, *levels[task + 1 :])
            parts = drifted(have, up, success), drifted(have, levels, 1 - success)
            own.append((f"advance {task}", tried(*parts)))
        for item in (i for i in range(holdings) if not have[i]):
            more = (*have[:item], 1, *have[item + 1 :])
            parts = drifted(more, levels, 0.8), drifted(have, levels, 0.2)
            own.append((f"take {item}", tried(*parts)))
        rows.append(own)
    outcome = [i % len(done) for i in range(len(number))]
    return world_from_rows(rows, outcome=outcome)


def timed(run: Callable[[], object], repeats: int, goals: int) -> Timing:
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        walls.append((time.perf_counter() - wall) * 1000 / goals)
        cpus.append((time.process_time() - cpu) * 1000 / goals)
    return Timing(statistics.median(walls), min(walls), max(walls), statistics.median(cpus))


def theirs(world: World, goals: np.ndarray, method: str) -> np.ndarray:
    """Their values, normalised as ours."""
    moves, columns = row_matrix(world), []
    for goal in goals.T:
        problem = DiscreteDP(
            goal[world.outcome][world.row_state], moves, DISCOUNT, world.row_state, world.action
        )
        found = problem.solve(method=method, epsilon=2 * TOLERANCE / (1 - DISCOUNT))
        columns.append((1 - DISCOUNT) * found.v)
    return np.array(columns).T


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--goals", type=int, default=1000, help="goals for us")
    parser.add_argument("--few", type=int, default=5, help="goals for quantecon")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    worlds = {
        "grid, stay": grid(32, stay=True, slip=0.0),
        "grid, no stay": grid(32, stay=False, slip=0.0),
        "grid, slip, stay": grid(32, stay=True, slip=0.1),
        "grid, slip, no stay": grid(32, stay=False, slip=0.1),
        "garnet": garnet(1000, 4, 5),
        "deployment-like": deployment(6, 4),
    }
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; ", end="")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, numba {numba.__version__}")
    print(f"quantecon {quantecon.__version__}; discount {DISCOUNT}; {options.repeats} repeats")
    print("seconds for 1,000 goals: median [least, most] wall, median CPU; ratios of wall\n")
    head = ("world", "S", "R", "ours", "policy iteration", "modified", "PI/ours", "MPI/ours", "off")
    print("{:20}{:>6}{:>7}  {:36}{:36}{:36}{:>9}{:>9}{:>9}".format(*head))
    rng = np.random.default_rng(0)
    for name, world in worlds.items():
        goals = rng.random((world.outcomes, options.goals))
        few = goals[:, : options.few]

        def ours(world: World = world, goals: np.ndarray = goals) -> np.ndarray:
            found = optimal_values(world, goals, discount=DISCOUNT, tolerance=TOLERANCE)
            return found.check().values

        def peer(method: str, world: World = world, few: np.ndarray = few) -> np.ndarray:
            return theirs(world, few, method)

        methods = ("policy_iteration", "modified_policy_iteration")
        off = max(abs(ours()[:, : options.few] - peer(method)).max() for method in methods)
        mine = timed(ours, options.repeats, options.goals)
        rest = [timed(lambda m=m: peer(m), options.repeats, options.few) for m in methods]  # type: ignore[misc]  # mypy cannot infer a lambda's default
        cells = [f"{t.wall:.3g} [{t.low:.3g}, {t.high:.3g}], {t.cpu:.3g}" for t in (mine, *rest)]
        ratios = [f"{t.wall / mine.wall:.1f}" for t in rest]
        print(f"{name:20}{world.states:6}{len(world.action):7}  ", end="")
        print("".join(f"{cell:36}" for cell in cells), end="")
        print("".join(f"{ratio:>9}" for ratio in ratios), f"{off:8.0e}")


if __name__ == "__main__":
    main()
