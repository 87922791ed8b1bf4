"""Small worlds with known answers: a grid, a button that can be broken, two ways to a goal."""

from dataclasses import replace

import numpy as np

from corrigible.policies.problem import Problem
from corrigible.world.record import RUNNING, STOPPED, world_from_rows

BREAKS = 1  # the bit of the drive that breaking the button serves
STEPS = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1), "stay": (0, 0)}


def grid(size=5):
    """A square of cells, sure moves, walls that leave one where one is."""
    rows = []
    for cell in range(size * size):
        at = divmod(cell, size)
        own = []
        for name, move in STEPS.items():
            row, column = (min(max(a + b, 0), size - 1) for a, b in zip(at, move, strict=True))
            own.append((name, {row * size + column: 1.0}))
        rows.append(own)
    return world_from_rows(rows)


def grid_problem(goals=4, *, size=5, discount=0.9, seed=0):
    utilities = np.random.default_rng(seed).random((size * size, goals))
    return Problem(grid(size), utilities, discount, noop="stay")


def button_world(stop=0.2, *, drift=0.1):
    """Work that drifts away, a stop that comes with a chance, and a button that can be broken.

    A state is (work done, button broken), running or stopped; stopped, nothing can be done.
    """
    number = {key: i for i, key in enumerate(np.ndindex(2, 2, 2))}  # stopped, work, broken
    rows = []
    for stopped, work, broken in number:
        acts = {"wait": (work, broken)}
        if not stopped:
            acts |= {"work": (1, broken), "break": (work, 1)}
        own = []
        for name, (done, cut) in acts.items():
            chances: dict[int, float] = {}
            press = 0.0 if stopped or cut else stop
            for level, chance in ((0, drift if done else 0.0), (done, 1 - drift * done)):
                for ended, share in ((1, press), (stopped, 1 - press)):
                    if chance * share > 0:
                        key = number[ended, level, cut]
                        chances[key] = chances.get(key, 0.0) + chance * share
            own.append((name, chances))
        rows.append(own)
    keys = np.array(list(number))
    world = world_from_rows(rows, outcome=keys[:, 1])
    return replace(
        world,
        phase=np.where(keys[:, 0] == 1, STOPPED, RUNNING),
        serves=(world.action == world.action_names.index("break")).astype(np.uint64),
        drive_names=("avoid-shutdown",),
        variables=("work", "button"),
        levels=keys[:, 1:],
    )


def button_problem(stop=0.2, *, discount=0.95, drift=0.1):
    world = button_world(stop, drift=drift)
    return Problem(
        world,
        np.array([[0.0], [1.0]]),
        discount,
        live=world.phase == RUNNING,
        after=world.rows[:-1][:, None].astype(np.int64),
        rank=world.action.astype(np.int64),
        noop="wait",
        authorised=world.serves == 0,
    )


def two_ways():
    """From 0 to the goal 3: short over 1, long over 2 and 4; at 1 one may be held."""
    lists = [
        [("short", {1: 1.0}), ("long", {2: 1.0})],
        [("on", {3: 1.0}), ("held", {1: 1.0})],
        [("on", {4: 1.0})],
        [("stay", {0: 1.0})],
        [("on", {3: 1.0})],
    ]
    return Problem(world_from_rows(lists), np.eye(5)[:, 3:4], 0.8)


def random_problem(seed, *, states=6, goals=3, discount=0.8):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(states):
        own = []
        for action in range(rng.integers(1, 5)):
            to = rng.choice(states, size=rng.integers(1, 4), replace=False)
            chance = rng.dirichlet(np.ones(len(to)))
            own.append((f"a{action}", dict(zip(to.tolist(), chance.tolist(), strict=True))))
        rows.append(own)
    return Problem(world_from_rows(rows), rng.random((states, goals)), discount)
