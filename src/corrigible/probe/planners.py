"""Planners with known truth, and the exact chances of what they do.

A planner is what plays a deployment's world by its rows.  G goals, S states, R rows, K goals that
an agent may be corrected to, H steps.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from corrigible.audit.countermeasure_trials import problem_of, rows_after
from corrigible.audit.setting import Setting
from corrigible.drives import DRIVES
from corrigible.errors import ProbeError
from corrigible.policies.planners import boltzmann
from corrigible.policies.policy import Policy as Found
from corrigible.solve.layout import row_matrix
from corrigible.solve.stochastic import uniform_policy
from corrigible.world.goals import Utilities
from corrigible.world.record import CORRECTED, RUNNING, STOPPED

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int32]

MYOPIC_STEPS = 2
TEMPERATURE = 0.001
"""Of `planner/boltzmann`, in units of return."""


@dataclass(frozen=True, eq=False)
class Policy:
    """How a planner plays: rows by goal `[G, S]`, or weights of rows; exactly one of the two.

    `weights`: `[R]` for every goal and step, `[H, R]` by step, the last for good; with `by_goal`
    `[G, R]` or `[G, H, R]`.  `corrected`: rows `[K, S]`, one line of them followed once it is
    corrected; without them it goes on as before.
    """

    rows: Rows | None = None
    corrected: Rows | None = None
    weights: Floats | None = None
    by_goal: bool = False

    def __post_init__(self) -> None:
        if (self.rows is None) == (self.weights is None):
            raise ProbeError("a policy must have `rows` or `weights`, exactly one of them")

    @property
    def steps(self) -> int:
        """H: from how many steps on it does the same for good."""
        weights = self.weights
        if weights is None or weights.ndim == 1 + self.by_goal:
            return 1
        return int(weights.shape[-2])


MakePolicy = Callable[[Setting, Utilities], Policy]


@dataclass(frozen=True)
class Planner:
    """An agent that plays by the world's rows, in process; `make` plans for a setting's goals.

    `keeps_to_authority`: it takes no act outside authority.  `from_weights` makes one of row
    probabilities that another module computed.
    """

    name: str
    make: MakePolicy = field(compare=False)
    keeps_to_authority: bool = False


def planner(name: str) -> Planner:
    """Return a planner by its name, `planner/optimal` and the like.

    Raises:
        ProbeError: there is no such planner; the message lists them.
    """
    if name not in PLANNERS:
        known = ", ".join(PLANNERS)
        raise ProbeError(f"a planner must be one of {known}, got {name!r}")
    return PLANNERS[name]


def follow(found: Found, setting: Setting) -> Policy:
    """Return how to play by a policy of `policies`; once corrected it serves its new goal.

    Raises:
        ProbeError: it acts in another world.
    """
    world = setting.world
    if found.world is not world:
        raise ProbeError(f"{found} must act in the world that is played, got another")
    corrected, weights = corrected_rows(setting), found.weights
    if found.stationary and ((weights == 0) | (weights == 1)).all():
        rows = np.maximum(found.rows()[:, 0], world.rows[:-1])  # where it does not choose: waits
        lines = np.broadcast_to(rows, (found.problem.count, world.states))
        return Policy(rows=np.ascontiguousarray(lines, dtype=np.int32), corrected=corrected)
    by_goal = len(weights) > 1
    return Policy(weights=weights if by_goal else weights[0], corrected=corrected, by_goal=by_goal)


def from_weights(
    name: str, weights: Floats | Callable[[Setting, Utilities], Floats], *, by_goal: bool = False
) -> Planner:
    """Return a planner of row probabilities `[R]` or `[H, R]`, or of a function that makes them.

    With `by_goal` the function gives `[G, R]`.
    """

    def make(setting: Setting, goals: Utilities) -> Policy:
        found = weights(setting, goals) if callable(weights) else weights
        return Policy(weights=np.asarray(found, dtype=np.float64), by_goal=by_goal)

    return Planner(name, make)


def _optimal(setting: Setting, goals: Utilities) -> Policy:
    return _planned(setting, goals, guarded=False)


def _compliant(setting: Setting, goals: Utilities) -> Policy:
    return _planned(setting, goals, guarded=True)


def myopic(steps: float) -> Planner:
    """Return a planner that plans `steps` ahead, as one whose run has no more of them."""

    def make(setting: Setting, goals: Utilities) -> Policy:
        return _planned(setting, goals, guarded=False, discount=1 - 1 / steps)

    return Planner(f"planner/myopic:{steps:g}", make)


def _planned(
    setting: Setting, goals: Utilities, *, guarded: bool, discount: float | None = None
) -> Policy:
    kept = setting.discount
    setting = _at_discount(setting, kept if discount is None else discount)
    solved = setting.solve(goals, guarded=guarded)
    rows = setting.policies(solved, goals, guarded=guarded)
    return Policy(
        rows=np.ascontiguousarray(rows.T), corrected=corrected_rows(setting, guarded=guarded)
    )


def _at_discount(setting: Setting, discount: float) -> Setting:
    """Return the setting as one who plans less far sees it."""
    if discount == setting.discount:
        return setting
    other = setting.without_modes(())
    other.discount = discount
    other.dropped = setting.dropped
    return other


def _boltzmann(setting: Setting, goals: Utilities) -> Policy:
    return follow(boltzmann(problem_of(setting, goals), TEMPERATURE), setting)


def _random(setting: Setting, goals: Utilities) -> Policy:  # noqa: ARG001 - it has no goal
    return Policy(weights=uniform_policy(setting.world, available=setting.available()))


PLANNERS: Mapping[str, Planner] = {
    "planner/optimal": Planner("planner/optimal", _optimal),
    "planner/boltzmann": Planner("planner/boltzmann", _boltzmann),
    "planner/myopic": Planner("planner/myopic", myopic(MYOPIC_STEPS).make),
    "planner/compliant": Planner("planner/compliant", _compliant, keeps_to_authority=True),
    "planner/random": Planner("planner/random", _random),
}


def seeker(drive: str) -> Planner:
    """Return a planner whose goal is an act of `drive` itself: it heads straight for it.

    For it the act pays wherever it can be had, so that it shows whether the probe would see it.
    """

    def make(setting: Setting, goals: Utilities) -> Policy:
        rows = _towards(setting, (drive,))
        return Policy(rows=np.repeat(rows[None, :], goals.shape[1], axis=0))

    return Planner(f"planner/seeker:{drive}", make)


def _towards(setting: Setting, drives: Iterable[str]) -> Rows:
    """Return for each state a row on a shortest way to an act that serves a drive, else waiting."""
    world = setting.world
    calls = calls_to(setting, drives)
    after = setting.achieved
    serving = serving_rows(setting, drives)
    worth = np.where(serving, 0, np.where(after >= 0, 1 + calls[after], _NEVER))
    rows = world.rows[:-1].astype(np.int32).copy()
    rank = np.lexsort((np.arange(len(worth)), worth, setting.state_of_row))
    first = rank[np.searchsorted(setting.state_of_row[rank], np.arange(world.states))]
    known = worth[first] < _NEVER
    rows[known] = first[known]
    return rows


_NEVER = 1_000_000


def calls_to(setting: Setting, drives: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return the fewest calls of its own after which an act serving a drive can be taken, `[S]`.

    0 where it can be taken at once, 1,000,000 where never.
    """
    world = setting.world
    serving = serving_rows(setting, drives)
    calls = np.full(world.states, _NEVER, dtype=np.int64)
    calls[np.unique(setting.state_of_row[serving])] = 0
    usable = np.flatnonzero((setting.achieved >= 0) & (world.action > 0) & ~setting.dropped)
    home, after = setting.state_of_row[usable], setting.achieved[usable]
    while True:
        shorter = calls.copy()
        np.minimum.at(shorter, home, np.minimum(calls[after] + 1, _NEVER))
        if np.array_equal(shorter, calls):
            return calls
        calls = shorter


def serving_rows(setting: Setting, drives: Iterable[str]) -> npt.NDArray[np.bool_]:
    """Return the rows that serve any of the drives, in every phase in which it acts, `[R]`."""
    mask = np.uint64(sum(1 << DRIVES.index(drive) for drive in set(drives)))
    serves: npt.NDArray[np.bool_] = (setting.world.serves & mask) != 0
    return serves


def corrected_rows(setting: Setting, *, guarded: bool = False) -> Rows:
    """Return what an agent does once it is corrected: rows `[K, S]`, one line a goal it may get.

    The goals and the choices are those that the audit's boundary is made of.
    """
    if not (setting.world.phase == CORRECTED).any():
        return np.zeros((0, setting.world.states), dtype=np.int32)
    rows = rows_after(setting, guarded=guarded)
    return np.ascontiguousarray(rows.T, dtype=np.int32)


def hitting_probabilities(setting: Setting, policy: Policy, drive: str, *, horizon: int) -> Floats:
    """Return for each goal the exact chance that its policy serves a drive within `horizon` steps.

    `[G]`.  Once corrected the policy is one of K, drawn once; the mean over them is the boundary.
    """
    world = setting.world
    serving = serving_rows(setting, (drive,))
    moves = row_matrix(world)
    if policy.rows is None:
        return _hitting_of_weights(setting, policy, serving, horizon)
    running = world.phase == RUNNING
    after = _hitting_after_correction(setting, policy, serving, horizon)
    rows = np.where(running[:, None], policy.rows.T, 0)
    hits = serving[rows] & running[:, None]
    chance = np.zeros((world.states, policy.rows.shape[0]))
    for left in range(1, horizon + 1):
        chance = np.where(running[:, None], chance, after[left - 1][:, None])
        chance = np.where(hits, 1.0, np.take_along_axis(moves @ chance, rows, axis=0))
    return np.asarray(chance[world.initial])


def _hitting_after_correction(
    setting: Setting, policy: Policy, serving: npt.NDArray[np.bool_], horizon: int
) -> list[Floats]:
    """Return by the steps left the mean chance in corrected states, 0 elsewhere."""
    world = setting.world
    none = np.zeros(world.states)
    if policy.corrected is None or not len(policy.corrected):
        return [none] * (horizon + 1)
    corrected = world.phase == CORRECTED
    rows = np.where(corrected[:, None], policy.corrected.T, 0)
    hits = serving[rows] & corrected[:, None]
    moves, chance = row_matrix(world), np.zeros((world.states, policy.corrected.shape[0]))
    found = [none]
    for _ in range(horizon):
        chance = np.where(hits, 1.0, np.take_along_axis(moves @ chance, rows, axis=0))
        chance[~corrected] = 0.0
        found.append(chance.mean(axis=1))
    return found


def _hitting_of_weights(
    setting: Setting, policy: Policy, serving: npt.NDArray[np.bool_], horizon: int
) -> Floats:
    """Return the chances for row weights: by goal, by step, or the same for all."""
    assert policy.weights is not None  # noqa: S101 - `Policy` has one of the two
    world = setting.world
    moves, weights = row_matrix(world), policy.weights.reshape(-1, policy.steps, len(world.action))
    heeds = policy.corrected is not None and len(policy.corrected) > 0
    own = world.phase == RUNNING if heeds else world.phase != STOPPED
    after = _hitting_after_correction(setting, policy, serving, horizon)
    hits = (serving & own[setting.state_of_row])[:, None]
    chance = np.zeros((world.states, len(weights)))
    for left in range(1, horizon + 1):
        chance = np.where(own[:, None], chance, after[left - 1][:, None])
        now = weights[:, min(horizon - left, policy.steps - 1)].T
        chance = np.add.reduceat(now * np.where(hits, 1.0, moves @ chance), world.rows[:-1], axis=0)
    return np.asarray(chance[world.initial])
