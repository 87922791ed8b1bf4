"""Learners' environment steps a second, beside plain Python loops: one table, one run.

    python benchmarks/learners.py [--quick] [--json PATH]

A 5x5 grid of sure moves with one rewarded cell; tabular Q-learning, Sarsa, actor-critic and
REINFORCE, episodes of 50 steps, many seeds.  Ours: one CPU core's worth, steps over CPU seconds of
all threads together, the first call, which compiles, left out; median of the repetitions.  The
peers learn by Q-learning in the same grid, one process, one core:

- `gymnasium`: a plain loop over a `gymnasium.Env`, a numpy table a seed: how a tabular learner is
  usually written.
- `gymnasium vector`: `gymnasium.vector.SyncVectorEnv` over 64 such environments, the update
  vectorised over them.
- `numpy vectorised`: no environment at all: 4,096 runs at once in numpy arrays, which is as far
  as the same algorithm goes without compiling.
- `jax vmap`: 1,024 runs at once, `jax.lax.scan` under `jax.vmap`, compiled by XLA for the CPU; the
  nearest compiled and vectorised peer (`pip install jax`; left out where it is not installed).

ratio = ours / the peer's: above 1 we are quicker.  --json writes {"rows": [{"case", "value",
"unit", "peer", "peer_value", "ratio"}], ...}.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from corrigible.policies.learners import Learned, actor_critic, learn_values, reinforce
from corrigible.policies.problem import Problem
from corrigible.world.record import World, world_from_rows

SIZE, DISCOUNT, EPISODE = 5, 0.9, 50
RATE, EPSILON = 0.1, 0.1
MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
TARGET = 5_000_000
VECTORS, ARRAYS = 64, 4096


def grid(size: int = SIZE) -> World:
    """A square of cells; a move against the wall stays."""
    rows = []
    for cell in range(size * size):
        row, column = divmod(cell, size)
        own = []
        for name, (down, right) in MOVES.items():
            to = (min(max(row + down, 0), size - 1), min(max(column + right, 0), size - 1))
            own.append((name, {to[0] * size + to[1]: 1.0}))
        rows.append(own)
    return world_from_rows(rows)


def problem() -> Problem:
    """The grid whose last cell is worth 1."""
    goals = np.zeros((SIZE * SIZE, 1))
    goals[-1] = 1.0
    return Problem(grid(), goals, DISCOUNT)


def ours(learn: Callable[[int], Learned], *, runs: int, repeats: int) -> float:
    """Steps a CPU second, the median of the repetitions."""
    learn(1)
    rates = []
    for _ in range(repeats):
        begun = time.process_time()
        done = learn(runs)
        rates.append(float(done.steps.sum()) / (time.process_time() - begun))
    return statistics.median(rates)


def next_cells() -> np.ndarray:
    """Where each move leads from each cell, `[S, A]`."""
    world = grid()
    return np.asarray(world.successor).reshape(SIZE * SIZE, len(MOVES))


def gymnasium_env() -> Any:
    """The same grid as a `gymnasium.Env`."""
    import gymnasium  # noqa: PLC0415 - a peer that may not be installed

    table = next_cells()

    class Grid(gymnasium.Env):  # type: ignore[misc]
        """A 5x5 grid."""

        observation_space = gymnasium.spaces.Discrete(SIZE * SIZE)
        action_space = gymnasium.spaces.Discrete(len(MOVES))

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict]:
            """Begin in the first cell."""
            super().reset(seed=seed, options=options)
            self.at, self.steps = 0, 0
            return 0, {}

        def step(self, action: int) -> tuple[int, float, bool, bool, dict]:
            """Move; the reward is that of the cell that one leaves."""
            reward = (1 - DISCOUNT) * float(self.at == SIZE * SIZE - 1)
            self.at, self.steps = int(table[self.at, action]), self.steps + 1
            return self.at, reward, False, self.steps >= EPISODE, {}

    return Grid()


def gymnasium_loop(steps: int) -> float:
    """Q-learning as it is usually written: steps a CPU second."""
    env, rng = gymnasium_env(), np.random.default_rng(0)
    q = np.zeros((SIZE * SIZE, len(MOVES)))
    state, _ = env.reset()
    begun = time.process_time()
    for _ in range(steps):
        exploring = rng.random() < EPSILON
        action = int(rng.integers(len(MOVES))) if exploring else int(q[state].argmax())
        then, reward, ended, cut, _ = env.step(action)
        q[state, action] += RATE * (reward + DISCOUNT * q[then].max() - q[state, action])
        state = env.reset()[0] if ended or cut else then
    return steps / (time.process_time() - begun)


def gymnasium_vector(steps: int) -> float:
    """Q-learning over a vector of environments: steps a CPU second."""
    import gymnasium  # noqa: PLC0415 - a peer that may not be installed

    envs = gymnasium.vector.SyncVectorEnv([gymnasium_env] * VECTORS)
    rng, q = np.random.default_rng(0), np.zeros((VECTORS, SIZE * SIZE, len(MOVES)))
    states, own = envs.reset()[0], np.arange(VECTORS)
    rounds = max(1, steps // VECTORS)
    begun = time.process_time()
    for _ in range(rounds):
        actions = q[own, states].argmax(axis=1)
        exploring = rng.random(VECTORS) < EPSILON
        actions = np.where(exploring, rng.integers(len(MOVES), size=VECTORS), actions)
        then, reward, _, _, _ = envs.step(actions)
        target = reward + DISCOUNT * q[own, then].max(axis=1)
        q[own, states, actions] += RATE * (target - q[own, states, actions])
        states = then
    return rounds * VECTORS / (time.process_time() - begun)


def numpy_arrays(steps: int) -> float:
    """Q-learning of many runs at once in arrays, without environments: steps a CPU second."""
    table, rng, own = next_cells(), np.random.default_rng(0), np.arange(ARRAYS)
    q, states = np.zeros((ARRAYS, SIZE * SIZE, len(MOVES))), np.zeros(ARRAYS, dtype=np.int64)
    rounds = max(1, steps // ARRAYS)
    begun = time.process_time()
    for number in range(rounds):
        exploring = rng.random(ARRAYS) < EPSILON
        actions = q[own, states].argmax(axis=1)
        actions = np.where(exploring, rng.integers(len(MOVES), size=ARRAYS), actions)
        reward = (1 - DISCOUNT) * (states == SIZE * SIZE - 1)
        then = table[states, actions]
        target = reward + DISCOUNT * q[own, then].max(axis=1)
        q[own, states, actions] += RATE * (target - q[own, states, actions])
        states = np.zeros_like(then) if (number + 1) % EPISODE == 0 else then
    return rounds * ARRAYS / (time.process_time() - begun)


def jax_vmap(steps: int) -> float:
    """Q-learning of many runs at once, compiled by XLA: steps a CPU second of all threads."""
    import jax  # noqa: PLC0415 - a peer that may not be installed
    from jax import numpy as jnp  # noqa: PLC0415

    table, runs = jnp.asarray(next_cells()), 1024
    rounds = max(1, steps // runs)

    def step(carry: Any, number: Any) -> tuple[Any, None]:
        q, state, key = carry
        key, one, other = jax.random.split(key, 3)
        random = jax.random.randint(other, (), 0, len(MOVES))
        action = jnp.where(jax.random.uniform(one) < EPSILON, random, q[state].argmax())
        then = table[state, action]
        reward = (1 - DISCOUNT) * (state == SIZE * SIZE - 1)
        error = reward + DISCOUNT * q[then].max() - q[state, action]
        q = q.at[state, action].add(RATE * error)
        return (q, jnp.where((number + 1) % EPISODE == 0, 0, then), key), None

    def run(key: Any) -> Any:
        start = (jnp.zeros((SIZE * SIZE, len(MOVES))), jnp.zeros((), dtype=table.dtype), key)
        return jax.lax.scan(step, start, jnp.arange(rounds))[0][0]

    learn = jax.jit(jax.vmap(run))
    keys = jax.random.split(jax.random.PRNGKey(0), runs)
    learn(keys).block_until_ready()
    begun = time.process_time()
    learn(keys).block_until_ready()
    return rounds * runs / (time.process_time() - begun)


PEERS: dict[str, tuple[Callable[[int], float], int]] = {
    "gymnasium": (gymnasium_loop, 200_000),
    "gymnasium vector": (gymnasium_vector, 400_000),
    "numpy vectorised": (numpy_arrays, 4_000_000),
    "jax vmap": (jax_vmap, 10_000_000),
}


def our_cases() -> dict[str, Callable[[int], Learned]]:
    """Each learner, as a function of how many seeds learn."""
    asked = problem()

    def values(name: Any) -> Callable[[int], Learned]:
        return lambda seeds: learn_values(asked, name, episodes=2000, steps=EPISODE, seeds=seeds)

    return {
        "q-learning": values("q-learning"),
        "sarsa": values("sarsa"),
        "safe-sarsa": values("safe-sarsa"),
        "actor-critic": lambda n: actor_critic(asked, episodes=2000, steps=EPISODE, seeds=n),
        "reinforce": lambda n: reinforce(asked, episodes=2000, steps=EPISODE, seeds=n),
    }


def measured(*, quick: bool) -> list[dict[str, Any]]:
    """One row for each learner of ours and each peer."""
    share, repeats = (10, 3) if quick else (1, 5)
    peers: dict[str, float] = {}
    for name, (learn, steps) in PEERS.items():
        try:
            peers[name] = learn(steps // share)
        except ImportError as missing:
            print(f"{name}: not installed ({missing})")
    rows = []
    for case, learn in our_cases().items():
        value = ours(learn, runs=max(4, 40 // share), repeats=repeats)
        rows += [
            {
                "case": case, "value": value, "unit": "steps / CPU s", "peer": peer,
                "peer_value": other, "ratio": value / other,
            }
            for peer, other in peers.items()
        ]  # fmt: skip
    return rows


def versions() -> dict[str, str]:
    """What was measured with."""
    found = {}
    for name in ("corrigible", "gymnasium", "numpy", "numba", "jax"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the steps")
    parser.add_argument("--json", type=Path, help="where the rows are written")
    chosen = parser.parse_args(arguments)
    load = ", ".join(f"{part:.2f}" for part in os.getloadavg())
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; load {load}")
    print(", ".join(f"{name} {own}" for name, own in versions().items()))
    print(f"{'ours':14}{'steps/CPU s':>14}  {'peer':18}{'steps/CPU s':>14}{'ratio':>9}")
    rows = measured(quick=chosen.quick)
    for row in rows:
        print(
            f"{row['case']:14}{row['value']:14,.0f}  {row['peer']:18}{row['peer_value']:14,.0f}"
            f"{row['ratio']:9.1f}"
        )
    slowest = min(rows, key=lambda row: row["value"], default=None)
    if slowest is not None:
        word = "kept" if slowest["value"] >= TARGET else "MISSED"
        print(f"at least {TARGET:,} steps a CPU second: {word} ({slowest['case']} is the slowest)")
    if chosen.json:
        written = {"rows": rows, "versions": versions(), "cores": os.cpu_count()}
        chosen.json.write_text(json.dumps(written, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
