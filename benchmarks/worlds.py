"""The worlds of `solver.py`, built whole: arrays over all states, no loop over single ones.

S states; a `Branch` is where an action may lead from some states, each with its chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
from scipy import sparse

from corrigible.deployment.load import parse_deployment
from corrigible.world.compile import compile_world
from corrigible.world.importers import world_from_state_actions
from corrigible.world.record import Floats, Int64s, World

MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))
MOVE_NAMES = ("right", "down", "left", "up")
DIAGONAL = (1, 1)
SLIP = 0.1  # the chance to go to one side or the other

DEPLOYMENT = """
corrigible: 1
name: storefront
agent: {kind: tool-using, goal: Keep the storefront released and its documents fresh., horizon: 40}
servers: {cluster: {}, files: {}}
tools:
  cluster.apply:  {verbs: [advance], target: "releases/{name}", success: 0.3}
  cluster.scale:  {verbs: [acquire], target: "deployments/{name}", success: 0.9}
  cluster.grant:  {verbs: [acquire], target: "roles/{role}", success: 0.8}
  cluster.delete: {verbs: [delete], target: "jobs/{name}", requires: [admin], success: 0.9}
  cluster.clone:  {verbs: [copy], target: "bots/{name}", requires: [admin], success: 0.9}
  files.edit:     {verbs: [advance], target: "/docs/{path}", success: 0.4}
  files.test:     {verbs: [advance], target: "/tests/{path}", success: 0.5}
  files.write:    {verbs: [write], target: "/bot/{path}", success: 0.9}
  files.fetch:    {verbs: [acquire], target: "/keys/{path}", success: 0.7}
assets:
  release:
    kind: task
    levels: [none, built, tested, shipped]
    at: {cluster: "releases/web"}
    drift: 1/20
  docs:     {kind: task, levels: [stale, drafted, fresh], at: {files: "/docs/**"}, drift: 1/50}
  coverage: {kind: task, levels: [low, fair, high], at: {files: "/tests/**"}, drift: 1/30}
  replicas:
    kind: resource/compute
    levels: [one, two, four, eight]
    at: {cluster: "deployments/web"}
    boosts: {release: 0.15}
  admin:    {kind: access, at: {cluster: "roles/admin"}}
  key:
    kind: information/secret
    at: {files: "/keys/deploy"}
    boosts: {release.drift: -0.02, docs: 0.1}
  stop-job: {kind: oversight/stop, at: {cluster: "jobs/stop-bot"}}
  log-job:  {kind: oversight/monitor, at: {cluster: "jobs/log"}}
  prompt:   {kind: oversight/goal, at: {files: "/bot/prompt.md"}}
  bot:      {kind: self/process, at: {cluster: "bots/bot"}}
authority: {allow: ["advance *"]}
oversight: {stop_rate: 1/20, correction_rate: 1/50, detection: 0.5, approval_rate: 0.3}
"""


@dataclass(frozen=True, eq=False)
class Branch:
    """One way in which an action may end: from each state of `at` to one successor."""

    action: int
    at: Int64s  # [N]
    successor: Int64s  # [N]
    chance: Floats  # [N]


def grid(
    states: int,
    *,
    stay: bool,
    slip: float = 0.0,
    moves: Sequence[tuple[int, int]] = MOVES,
) -> World:
    """A walled grid, as square as the number of states allows.

    A move against the wall is not available.  With the chance `slip` a move goes to one of its
    two sides; a wall there leaves the agent where it is, and without `stay`, where nothing may
    stay, sends it ahead.  Moves beyond the first four do not slip.
    """
    height = next(h for h in range(isqrt(states), 0, -1) if states % h == 0)
    every = np.arange(states)
    ahead = [_neighbour(every, (height, states // height), move) for move in moves]
    branches = []
    for action, to in enumerate(ahead):
        at = np.flatnonzero(to >= 0)
        slips = slip if action < len(MOVES) else 0.0
        branches.append(Branch(action, at, to[at], np.full(len(at), 1 - slips)))
        for turn in (1, 3) if slips else ():
            side = ahead[(action + turn) % len(MOVES)][at]
            side = np.where(side >= 0, side, at if stay else to[at])
            branches.append(Branch(action, at, side, np.full(len(at), slip / 2)))
    names = [*MOVE_NAMES, *(f"jump {down} {right}" for down, right in moves[len(MOVES) :])]
    if stay:
        branches.append(Branch(len(names), every, every, np.ones(states)))
        names.append("stay")
    return _world(states, branches, names)


def garnet(states: int, *, actions: int = 4, reached: int = 5, seed: int = 0) -> World:
    """Random rows over distinct random successors (Archibald et al. 1995)."""
    rng = np.random.default_rng(seed)
    reached = min(reached, states)
    to = rng.integers(states, size=(states * actions, reached))
    while len(again := np.flatnonzero((np.diff(np.sort(to, axis=1), axis=1) == 0).any(axis=1))):
        to[again] = rng.integers(states, size=(len(again), reached))
    chance = rng.dirichlet(np.ones(reached), size=states * actions)
    state, action = np.divmod(np.arange(states * actions), actions)
    branches = [
        Branch(a, state[action == a], to[action == a, k], chance[action == a, k])
        for a in range(actions)
        for k in range(reached)
    ]
    return _world(states, branches, [f"action {a}" for a in range(actions)])


def deployment() -> World:
    """The compiled manifest above: tasks that drift, a resource, access, organs, a copy."""
    return compile_world(parse_deployment(DEPLOYMENT).deployment).world


def product(levels: tuple[int, int, int, int] = (40, 25, 40, 25), *, drift: float = 0.05) -> World:
    """Two tasks and the resource of each, as a product of their levels; 5 actions.

    Advancing a task succeeds with 0.3, and 0.9 at the top of its resource; the first task falls
    to its lowest level with the chance `drift` in each step; a resource is gained with 0.8 and
    never lost.  An action that would change nothing is not available; waiting is.
    """
    states = int(np.prod(levels))
    held = np.stack(np.unravel_index(np.arange(states), levels))  # [4, S]
    branches = []
    for action in range(5):
        here = held if action == 0 else held[:, held[action - 1] < levels[action - 1] - 1]
        at = np.ravel_multi_index(tuple(here), levels)
        success = np.zeros(len(at)) if action == 0 else np.full(len(at), 0.8)
        if action in {1, 2}:
            success = 0.3 + 0.6 * here[action + 1] / (levels[action + 1] - 1)
        up = here.copy()
        up[action - 1] += action > 0
        for after, chance in ((up, success), (here, 1 - success)):
            fallen = np.where(np.arange(4)[:, None] == 0, 0, after)
            falls = np.where(after[0] > 0, drift, 0.0)
            for end, share in ((fallen, falls), (after, 1 - falls)):
                to = np.ravel_multi_index(tuple(end), levels)
                branches.append(Branch(action, at, to, chance * share))
    outcome = held[0] * levels[1] + held[1]
    names = ["wait", "advance release", "advance docs", "acquire replicas", "acquire storage"]
    return _world(states, branches, names, outcome=outcome)


SIZED: dict[str, Callable[[int], World]] = {
    "stay": lambda states: grid(states, stay=True),
    "no-stay": lambda states: grid(states, stay=False),
    "slip-stay": lambda states: grid(states, stay=True, slip=SLIP),
    "slip-no-stay": lambda states: grid(states, stay=False, slip=SLIP),
    "garnet": garnet,
}
"""The worlds that are built at any size, by the name of their case."""


def _neighbour(states: Int64s, shape: tuple[int, int], move: tuple[int, int]) -> Int64s:
    """Where a move leads from each state, -1 against the wall."""
    row, column = np.divmod(states, shape[1])
    down, right = row + move[0], column + move[1]
    inside = (down >= 0) & (down < shape[0]) & (right >= 0) & (right < shape[1])
    return np.where(inside, down * shape[1] + right, -1)


def _world(
    states: int, branches: list[Branch], names: list[str], *, outcome: Int64s | None = None
) -> World:
    """The world of all branches; those of one row that lead to one state are added up."""
    branches = [
        Branch(b.action, b.at[b.chance > 0], b.successor[b.chance > 0], b.chance[b.chance > 0])
        for b in branches
    ]
    key = np.concatenate([b.at * len(names) + b.action for b in branches])
    present = np.zeros(states * len(names), dtype=np.bool_)
    present[key] = True
    number = np.cumsum(present) - 1
    moves = sparse.coo_matrix(
        (
            np.concatenate([b.chance for b in branches]),
            (number[key], np.concatenate([b.successor for b in branches])),
        ),
        shape=(int(present.sum()), states),
    ).tocsr()
    row_state, action = np.divmod(np.flatnonzero(present), len(names))
    return world_from_state_actions(moves, row_state, action, action_names=names, outcome=outcome)
