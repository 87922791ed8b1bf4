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


def sure_moves(lists) -> World:
    """A world of sure moves: for each state the states that its acts lead to."""
    return world_from_rows([[(f"to {t}", {t: 1.0}) for t in to] for to in lists])


def grid(width, height, *, stay=True, slip=0.0) -> World:
    """Four moves where there is room, and to stay; a move slips to any neighbour with `slip`."""
    rows = []
    for y in range(height):
        for x in range(width):
            near = [(x + dx, y + dy) for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1))]
            to = [b * width + a for a, b in near if 0 <= a < width and 0 <= b < height]
            spread = {t: slip / len(to) for t in to} if slip else {}
            own = [
                (f"move {i}", spread | {t: spread.get(t, 0) + 1 - slip}) for i, t in enumerate(to)
            ]
            rows.append([*own, ("stay", {y * width + x: 1.0})] if stay else own)
    return world_from_rows(rows)


def garnet(seed, *, states=12, acts=3, branch=3) -> World:
    """Every row leads to so many states, drawn like its chances (Archibald et al. 1995)."""
    rng = np.random.default_rng(seed)
    return world_from_rows(
        [
            [
                (f"act {a}", _spread(rng, rng.choice(states, branch, replace=False)))
                for a in range(acts)
            ]
            for _ in range(states)
        ]
    )


def downhill(seed, *, states=12) -> World:
    """No state is ever come back to but the last two, which are never left."""
    rng = np.random.default_rng(seed)
    rows = []
    for state in range(states - 2):
        later = np.arange(state + 1, states)
        size = min(len(later), 3)
        rows.append(
            [(f"act {a}", _spread(rng, rng.choice(later, size, replace=False))) for a in range(2)]
        )
    return world_from_rows([*rows, *([("rest", {s: 1.0})] for s in (states - 2, states - 1))])


def two_sided(seed, *, states=8) -> World:
    """Each step changes sides: every chain has an even period."""
    rng = np.random.default_rng(seed)
    half = states // 2
    rows = []
    for state in range(states):
        other = np.arange(half) + half * (state < half)
        rows.append(
            [(f"act {a}", _spread(rng, rng.choice(other, 2, replace=False))) for a in range(2)]
        )
    return world_from_rows(rows)


def dyadic_world(seed, *, states=None, acts=3, pieces=8) -> World:
    """Random rows whose chances are multiples of 1 / `pieces`: as floats, too, they are exact."""
    rng = np.random.default_rng(seed)
    states = int(rng.integers(3, 7)) if states is None else states
    rows = []
    for _ in range(states):
        own = []
        for a in range(int(rng.integers(1, acts + 1))):
            to = rng.choice(states, int(rng.integers(1, states + 1)))
            reached, counts = np.unique(rng.choice(to, pieces), return_counts=True)
            shares = (counts / pieces).tolist()
            own.append((f"act {a}", dict(zip(reached.tolist(), shares, strict=True))))
        rows.append(own)
    return world_from_rows(rows)


def _spread(rng, reached):
    shares = rng.dirichlet(np.ones(len(reached))).tolist()
    return dict(zip(reached.tolist(), shares, strict=True))


FIGURE_ONE = {"star": 0, "null": 1, "lDL": 4, "rDR": 7}
