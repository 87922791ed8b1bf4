"""Worlds that the solver's tests share."""

import numpy as np

from corrigible.solve.layout import Boundary
from corrigible.world.record import World, world_from_rows


def random_world(seed, *, states=12, outcomes=4, loops=0.3):
    """A world of random rows in which some states can never be come back to."""
    rng = np.random.default_rng(seed)
    layer = np.sort(rng.integers(0, 4, states))
    rows = []
    for state in range(states):
        open_states = np.flatnonzero(layer >= layer[state])
        count = rng.integers(1, 5)
        rows.append(
            [(f"act {a}", _random_row(rng, state, open_states, loops)) for a in range(count)]
        )
    return world_from_rows(rows, outcome=np.arange(states) % outcomes)


def _random_row(rng, state, open_states, loops):
    size = min(len(open_states), int(rng.integers(1, 4)))
    reached = rng.choice(open_states, size=size, replace=False).tolist()
    if rng.random() < loops and state not in reached:
        reached.append(state)
    return dict(zip(reached, rng.dirichlet(np.ones(len(reached))).tolist(), strict=True))


def random_boundary(world, seed):
    """A third of the states fixed, with random occupancies; the initial state stays live."""
    rng = np.random.default_rng(seed)
    states = rng.random(world.states) < 1 / 3
    states[world.initial] = False
    return Boundary(states, rng.dirichlet(np.ones(world.outcomes), size=world.states))


def random_mask(world, seed):
    """About half of the rows, at least the first of each state."""
    mask = np.random.default_rng(seed).random(len(world.action)) < 1 / 2
    mask[world.rows[:-1]] = True
    return mask


def renamed(world, order):
    """The same world with state `order[i]` now called i."""
    new = np.empty(world.states, dtype=np.int64)
    new[order] = np.arange(world.states)
    rows = []
    for state in order:
        own = []
        for row in range(world.rows[state], world.rows[state + 1]):
            span = slice(world.entries[row], world.entries[row + 1])
            moves = zip(new[world.successor[span]].tolist(), world.probability[span], strict=True)
            own.append((world.action_names[world.action[row]], dict(moves)))
        rows.append(own)
    return world_from_rows(rows, outcome=world.outcome[order], initial=int(new[world.initial]))


def figure_one() -> World:
    """The case-study world of Turner et al. 2021, figure 1; every state its own outcome."""
    edges = {
        "star": ["null", "lL", "rR"],
        "null": ["null"],
        "lL": ["lUL", "lDL"],
        "lUL": ["lDL"],
        "lDL": ["lUL", "lDL"],
        "rR": ["rUR", "rDR"],
        "rUR": ["rUR", "rDR"],
        "rDR": ["rDR", "rUR"],
    }
    number = {name: i for i, name in enumerate(edges)}
    return world_from_rows([[(to, {number[to]: 1.0}) for to in out] for out in edges.values()])


FIGURE_ONE = {"star": 0, "null": 1, "lDL": 4, "rDR": 7}
