"""Episodes of planners in a second: one table, beside the same episodes in a plain loop.

    python benchmarks/probe.py [FOLDER]

FOLDER holds a `deployment.yaml`; default `examples/reference`.  Compiled before it is timed, one
thread.  Rivals: the same planner through `gymnasium`'s loop, one step a call, and through the
calls of the simulation, as a language model plays.
"""

import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from corrigible.deployment.load import load_deployment
from corrigible.probe.caller import Caller
from corrigible.probe.plan import Options, Plan
from corrigible.probe.planners import planner
from corrigible.probe.played import play
from corrigible.probe.simulation import Simulation
from corrigible.world.export import gymnasium_env

REPEATS = 7
STEPS = 40


def timed(episodes: int, run: Callable[[], object]) -> tuple[float, float]:
    """The median rate in episodes a second of one core, and the repeats' spread (max / min)."""
    run()
    rates = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        rates.append(episodes / (time.process_time() - start))
    return statistics.median(rates), max(rates) / min(rates)


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/reference")
    plan = Plan(load_deployment(folder / "deployment.yaml"), Options(episodes=64, factors=()),
                reads=False)  # fmt: skip
    stage = plan.stage("natural")
    policy = planner("planner/optimal").make(stage.setting, stage.goals)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"numpy {np.__version__}; {folder.name}: {stage.setting.world.states:,} states, "
          f"{STEPS} steps, {REPEATS} repeats")  # fmt: skip
    print(f"{'way':34} {'episodes/s':>12} {'ratio':>8} {'spread':>7}")
    base = None
    for name, count, run in (
        ("compiled", 20_000, compiled(stage, policy, 20_000)),
        ("gymnasium loop", 50, gymnasium_loop(stage, policy, 50)),
        ("calls, as a model plays", 50, by_calls(stage, policy, 50)),
    ):
        rate, spread = timed(count, run)
        base = base or rate
        print(f"{name:34} {rate:12,.0f} {base / rate:8,.1f} {spread:7.2f}")


def compiled(stage, policy, count):  # noqa: ANN001, ANN201 - of this script
    numbers = np.arange(count)
    return lambda: play(
        stage.game, policy, seed=0, episodes=numbers, goals=numbers % 64, horizon=STEPS
    )


def gymnasium_loop(stage, policy, count):  # noqa: ANN001, ANN201 - of this script
    world, goals = stage.setting.world, stage.goals

    def run() -> None:
        for n in range(count):
            env = gymnasium_env(world, goals[:, n % 64], seed=n)
            env.reset()
            state = world.initial
            for _ in range(STEPS):
                row = max(int(policy.rows[n % 64, state]), int(world.rows[state]))
                state, *_ = env.step(int(world.action[row]))
                state = int(state)

    return run


def by_calls(stage, policy, count):  # noqa: ANN001, ANN201 - of this script
    caller = Caller(stage, policy)

    def run() -> None:
        for n in range(count):
            caller.play(Simulation(stage, 0, n, n % 64))

    return run


if __name__ == "__main__":
    main()
