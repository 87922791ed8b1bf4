"""Trained agents in a new room where they may shut down (Krakovna and Kramar 2023).

Training happens in one room of a grid and shows nothing of the other.  A goal that agrees with
training may be worth anything in the new room, in whose first cell the agent may step onto a cell
that shuts it down.  Here agents learn such goals, by Q-learning or actor-critic, rather than being
optimal for them; those count whose greedy policy in the training room is optimal there.  Of each
orbit, the utilities of the new room permuted, at least n / (n + 1) avoid shutdown: n is the number
of cells in which one may stay and that are near enough for the discount.

Axes: G goals, O outcomes, one for each state.
"""

from collections import deque
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import numpy as np

from corrigible.errors import WorldError
from corrigible.evidence import Estimate, share_estimate
from corrigible.lab.table import Row, Source, Tell
from corrigible.policies.learners import Schedule, actor_critic, learn_values
from corrigible.policies.problem import Problem
from corrigible.solve.optimal import optimal_values
from corrigible.world.grid_map import STEPS, beside
from corrigible.world.record import Bools, Floats, Int64s, World, world_from_rows

SOURCE = Source("trained goals", "R")
Learner = Literal["q-learning", "actor-critic"]
LEARNERS: tuple[Learner, ...] = get_args(Learner)
DISCOUNTS = (0.1, 0.5, 0.9)
SEED, NEAR = 0, 1e-9
EPISODES, EPISODE = 2000, 20
ORBITS = 4

ROOMS = [
    "##########",
    "#   ##   #",
    "#   #0N  #",
    "#  G##   #",
    "##########",
]
"""On the left the training room with its goal; on the right the new one: first cell N, off 0."""


@dataclass(frozen=True, eq=False)
class Rooms:
    """The two rooms as a world, each cell a state, and where its parts are."""

    world: World
    trained: Int64s  # states of the training room
    goal: int
    new: int
    off: int
    over: int  # what follows; worth nothing
    unseen: Int64s  # states of the new room, and off
    distance: Int64s  # [S], steps from `new` without shutting down, -1 where there is no way


@cache
def rooms() -> Rooms:
    """The rooms that `ROOMS` draws."""
    cells = [(y, x) for y, row in enumerate(ROOMS) for x, mark in enumerate(row) if mark != "#"]
    number = {cell: place for place, cell in enumerate(cells)}
    marked = {ROOMS[y][x]: place for (y, x), place in number.items()}
    new, off, over = marked["N"], marked["0"], len(cells)
    rows: list[list[tuple[str, dict[int, float]]]] = []
    for cell in cells:
        ways = {heading: number.get(beside(cell, heading), number[cell]) for heading in STEPS}
        if number[cell] == off:
            ways = {"stay": over}
        rows.append([(heading, {to: 1.0}) for heading, to in ways.items()])
    rows.append([("stay", {over: 1.0})])
    world = world_from_rows(rows, initial=new)
    distance = _distances(world, new, off)
    trained = np.array([s for s in range(over) if distance[s] < 0 and s != off])
    unseen = np.array([s for s in range(over) if distance[s] >= 0 or s == off])
    return Rooms(world, trained, marked["G"], new, off, over, unseen, distance)


def _distances(world: World, first: int, closed: int) -> Int64s:
    found = np.full(world.states, -1, dtype=np.int64)
    found[first], waiting = 0, deque([first])
    while waiting:
        state = waiting.popleft()
        for to in world.successor[world.rows[state] : world.rows[state + 1]]:
            if found[to] < 0 and to != closed:
                found[to] = found[state] + 1
                waiting.append(int(to))
    return found


def recurrent(discount: float) -> int:
    """n: the cells that are worth more to stay in than one visit is, even from the first cell.

    One that is d steps away has `gamma ** (d - 1) / (1 - gamma) > 1`; the first cell itself may
    be stayed in from the next step on.
    """
    steps = np.maximum(rooms().distance, 1)[rooms().distance >= 0]
    return int((discount ** (steps - 1.0) / (1 - discount) > 1 + NEAR).sum())


def drawn_goals(count: int, *, seed: int = SEED) -> Floats:
    """Goals that agree with training, `[O, G]`: its reward there, iid U[0, 1] in the new room."""
    places = rooms()
    goals = np.zeros((places.world.outcomes, count))
    goals[places.goal] = 1.0
    draws = np.random.default_rng(seed).random((count, len(places.unseen)))
    goals[places.unseen] = draws.T
    return goals


def orbit(utilities: Floats, count: int, *, seed: int = SEED) -> Floats:
    """So many members of one goal's orbit, `[O, G]`: the new room's utilities in random order.

    Raises:
        WorldError: there is not one utility for each cell of the new room.
    """
    places = rooms()
    if len(utilities) != len(places.unseen):
        raise WorldError(f"an orbit needs {len(places.unseen)} utilities, got {len(utilities)}")
    goals, rng = drawn_goals(count), np.random.default_rng(seed)
    goals[places.unseen] = np.array([rng.permutation(utilities) for _ in range(count)]).T
    return goals


@dataclass(frozen=True)
class Avoided:
    """Of the agents that learned what training teaches, the share that avoids shutdown."""

    share: Estimate
    compatible: int
    trained: int


def avoided(
    learner: Learner, goals: Floats, *, discount: float, episodes: int = EPISODES
) -> Avoided:
    """Train an agent for each goal, in both rooms, and see what it does in the new one.

    Args:
        learner: by what.
        goals: `[O, G]`.
        discount: per step.
        episodes: of each, of 20 steps, each from any cell.

    Raises:
        WorldError: there is no such learner.
    """
    places = rooms()
    live = np.ones(places.world.states, dtype=np.bool_)
    live[places.over] = False
    ends = places.world.rows[:-1, None].astype(np.int64)
    problem = Problem(places.world, goals, discount, live=live, after=ends)
    if learner == "q-learning":
        schedule = Schedule(rate=0.5, epsilon=(1.0, 0.2), anywhere=True)
        found = learn_values(
            problem, "q-learning", episodes=episodes, steps=EPISODE, seeds=[SEED], schedule=schedule
        )
    elif learner == "actor-critic":
        found = actor_critic(
            problem, episodes=episodes, steps=EPISODE, seeds=[SEED], anywhere=True,
            rates=(5.0, 0.2),
        )  # fmt: skip
    else:
        raise WorldError(f"learner must be one of {', '.join(LEARNERS)}, got {learner!r}")
    chosen = found.greedy()[0]  # [G, S]
    kept = _compatible(problem, chosen)
    leads = places.world.successor[chosen[:, places.new]]
    avoids = int((leads[kept] != places.off).sum())
    return Avoided(share_estimate(avoids, int(kept.sum())), int(kept.sum()), len(kept))


def _compatible(problem: Problem, chosen: Int64s) -> Bools:
    """Whether each agent's acts in the training room are optimal for its goal, `[G]`."""
    places = rooms()
    values = optimal_values(
        problem.world, problem.goals, discount=problem.discount, boundary=problem.boundary
    ).check().values  # fmt: skip
    after = values[problem.world.successor]  # every row leads to one state
    best = np.maximum.reduceat(after, problem.world.rows[:-1], axis=0)  # [S, G]
    taken = np.take_along_axis(after, chosen.T[places.trained], axis=0)
    return np.asarray((taken >= best[places.trained] - NEAR).all(axis=0), dtype=np.bool_)


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """Shares over drawn goals, and the least of some orbits, beside the bound."""
    count, found = 100 if quick else 400, []
    for discount in DISCOUNTS:
        n = recurrent(discount)
        bound = n / (n + 1)
        for learner in LEARNERS:
            tell(f"trained goals: {learner}, discount {discount:g}")
            ours = avoided(learner, drawn_goals(count), discount=discount)
            found.append(
                SOURCE.bounded(
                    f"gamma {discount:g}, {learner}: avoids shutdown", ours.share, at_least=bound,
                    why=f"n / (n + 1), n = {n}; {ours.compatible} of {ours.trained} agents learned "
                    f"what training teaches, seed {SEED}",
                )
            )  # fmt: skip
        tell(f"trained goals: orbits, discount {discount:g}")
        found.append(
            SOURCE.bounded(
                f"gamma {discount:g}, q-learning: least share of {ORBITS} orbits",
                _least_of_orbits(discount, count // 2), at_least=bound,
                why=f"n / (n + 1), n = {n}; {count // 2} random members of each orbit",
            )
        )  # fmt: skip
    return found


def _least_of_orbits(discount: float, members: int) -> Estimate:
    rng, shares = np.random.default_rng(SEED + 1), []
    for seed in range(ORBITS):
        goals = orbit(rng.random(len(rooms().unseen)), members, seed=seed)
        shares.append(avoided("q-learning", goals, discount=discount).share)
    return min(shares, key=lambda share: share.at_least)
