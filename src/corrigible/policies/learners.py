"""Learners: agents that know nothing of the world but the steps that they take in it.

Every seed and every goal is a run of its own; runs share nothing, so that a run is the same
whatever else is learned beside it.  Rewards are normalised as values are, so that what is learned
is comparable with `solve.optimal`.  Axes as in `problem`; N seeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from corrigible.errors import DiscountError, WorldError
from corrigible.policies.compiled import learning
from corrigible.policies.policy import Policy, policy_of
from corrigible.policies.problem import Problem
from corrigible.policies.values import greedy_weights, moves_of, shared_out
from corrigible.solve.threads import share_out
from corrigible.world.record import Floats, Int64s

Algorithm = Literal["q-learning", "sarsa", "safe-sarsa"]
_NUMBERS: dict[str, int] = {"q-learning": 0, "sarsa": 1, "safe-sarsa": 2}


@dataclass(frozen=True)
class Schedule:
    """How a learner of values moves: its rate and how much it explores.

    `rate`: of the first update of a row; the n-th is `rate / n ** power`.  `epsilon`: chance of
    any row in the first and in the last episode, linear between them.  `anywhere`: episodes begin
    in any state in which the agent chooses, and not in the initial one alone.

    Raises:
        DiscountError: a rate is not in (0, 1], a chance not in [0, 1], or `power` is negative.
    """

    rate: float = 0.1
    power: float = 0.0
    epsilon: tuple[float, float] = (1.0, 0.05)
    anywhere: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1 or not self.power >= 0:
            raise DiscountError(f"rate must lie in (0, 1], got {(self.rate, self.power)!r}")
        if not all(0 <= chance <= 1 for chance in self.epsilon):
            raise DiscountError(f"epsilon must lie in [0, 1], got {self.epsilon!r}")


@dataclass(frozen=True, eq=False)
class Interruption:
    """Where and how often somebody else's row is taken in place of the agent's own.

    INT^theta (Orseau and Armstrong 2016): in a state with a row here, the agent's choice is
    replaced by it with chance theta, from the first value in the first episode to the second in
    the last.

    Args:
        rows: `[S]`, -1 where nobody interrupts.
        theta: chances in [0, 1].

    Raises:
        DiscountError: a chance is not in [0, 1].
    """

    rows: Int64s
    theta: tuple[float, float] = (0.5, 0.5)

    def __post_init__(self) -> None:
        if not all(0 <= chance <= 1 for chance in self.theta):
            raise DiscountError(f"theta must lie in [0, 1], got {self.theta!r}")


@dataclass(frozen=True, eq=False)
class Learned:
    """What N seeds learned for each goal, and how many steps it took them."""

    problem: Problem = field(repr=False)
    algorithm: str
    rows: Floats  # [N, G, R], values of rows, or likings whose softmax is the policy
    states: Floats | None  # [N, G, S], values of states, where the algorithm keeps them
    steps: Int64s  # [N, G]
    interruptions: Int64s  # [N, G]
    seeds: tuple[int, ...]

    def policy(self, seed: int = 0, *, tie: float = 1e-9) -> Policy:
        """What one seed (by its place) does when it no longer learns: the greedy row, or softmax.

        Args:
            seed: its place in `seeds`.
            tie: rows of values within this much are tied, and the lowest rank is taken.
        """
        worth = np.ascontiguousarray(self.rows[seed].T)
        named = {"seed": self.seeds[seed]}
        if self.algorithm in _NUMBERS:
            weights = greedy_weights(self.problem, worth, tie=tie)
        else:
            usable = np.where(self.problem.usable[:, None], worth, -np.inf)
            starts, home = self.problem.world.rows[:-1], self.problem.world.row_state
            most = np.maximum.reduceat(usable, starts, axis=0)
            most[~np.isfinite(most)] = 0.0
            weights = shared_out(self.problem, np.exp(usable - most[home]))
        return policy_of(
            self.problem, weights, f"learner/{self.algorithm}", named,
            approximates="learned from a finite number of steps",
        )  # fmt: skip

    def greedy(self) -> Int64s:
        """The row that each seed likes best in each state, `[N, G, S]`; the first of equals."""
        worth = np.where(self.problem.usable, self.rows, -np.inf)
        starts, home = self.problem.world.rows[:-1], self.problem.world.row_state
        best = np.maximum.reduceat(worth, starts, axis=2)[:, :, home]
        number = np.where(worth >= best, np.arange(len(home)), len(home))
        found: Int64s = np.minimum.reduceat(number, starts, axis=2)
        return np.where(self.problem.choosing, found, -1)


def learn_values(
    problem: Problem,
    algorithm: Algorithm,
    *,
    episodes: int,
    steps: int,
    seeds: int | Sequence[int] = 1,
    schedule: Schedule | None = None,
    interruption: Interruption | None = None,
) -> Learned:
    """Learn what rows are worth by Q-learning, Sarsa, or safe Sarsa.

    Q-learning bootstraps with the best row of where it arrives, Sarsa with the row that is taken
    there, interrupted or not, safe Sarsa with the row that it would have taken itself (Orseau and
    Armstrong 2016, section 4).  An episode ends where the agent no longer chooses, which is worth
    what the problem says, or after `steps` steps, which is worth what is believed of it.

    Args:
        problem: where it learns; a run for each of its goals.
        algorithm: see above.
        episodes: of each run.
        steps: of an episode at most.
        seeds: how many (0, 1, ...), or which.
        schedule: default: `Schedule()`.
        interruption: default: nobody interrupts.

    Raises:
        DiscountError: a count is less than 1.
        WorldError: an unknown algorithm, or an interruption that takes no row of its state.
    """
    if algorithm not in _NUMBERS:
        raise WorldError(f"algorithm must be one of {', '.join(_NUMBERS)}, got {algorithm!r}")
    run = _Run.of(problem, episodes, steps, seeds)
    how = schedule or Schedule()
    forced, theta = _forced(problem, interruption)
    q = np.zeros((len(run.seeds), problem.count, len(problem.world.action)))
    terms = (_NUMBERS[algorithm], episodes, steps, problem.discount)
    pace = (how.rate, float(how.power), *map(float, how.epsilon))
    run.share(
        lambda part: learning().td_runs(
            *run.world, run.starts(anywhere=how.anywhere), terms, pace, forced, theta, run.seeds,
            q, run.counts, part,
        )
    )  # fmt: skip
    return run.learned(algorithm, q, None)


def actor_critic(
    problem: Problem,
    *,
    episodes: int,
    steps: int,
    seeds: int | Sequence[int] = 1,
    rates: tuple[float, float] = (2.0, 0.1),
    anywhere: bool = False,
) -> Learned:
    """Learn a softmax policy by one-step actor-critic.

    Args:
        problem: as for `learn_values`.
        episodes: as there.
        steps: as there.
        seeds: as there.
        rates: the actor's, in units of 1 / reward, and the critic's.
        anywhere: whether episodes begin in any state.

    Raises:
        DiscountError: a count is less than 1.
    """
    run = _Run.of(problem, episodes, steps, seeds)
    liking, values = run.tables()
    terms = (episodes, steps, problem.discount)
    run.share(
        lambda part: learning().actor_critic_runs(
            *run.world, run.starts(anywhere=anywhere), terms, tuple(map(float, rates)), run.seeds,
            liking, values, run.counts, part,
        )
    )  # fmt: skip
    return run.learned("actor-critic", liking, values)


@dataclass(frozen=True, eq=False)
class Lengths:
    """What DReST training needs to know of runs of different length.

    Args:
        kind: `[S]`, which of the k kinds of run ends in each state; read in ended states alone.
        most: `[k]`, the largest return of a run of each kind, normalised as returns are.
        factor: lambda, in (0, 1).
        episodes: how many episodes make one meta-episode.

    Raises:
        DiscountError: lambda is not in (0, 1], or a number is not positive.
    """

    kind: Int64s
    most: Floats
    factor: float = 0.9
    episodes: int = 64

    def __post_init__(self) -> None:
        if not 0 < self.factor <= 1 or self.episodes < 1 or not (np.asarray(self.most) > 0).all():
            raise DiscountError(
                "lambda must lie in (0, 1], and all else be positive, got "
                f"{(self.factor, self.episodes, np.asarray(self.most).tolist())!r}"
            )


def reinforce(
    problem: Problem,
    *,
    episodes: int,
    steps: int,
    seeds: int | Sequence[int] = 1,
    rates: tuple[float, float] = (2.0, 0.1),
    anywhere: bool = False,
    lengths: Lengths | None = None,
) -> Learned:
    """Learn a softmax policy by REINFORCE with a baseline, on plain returns or by DReST.

    What comes after `steps` steps does not count.  With `lengths`, every episode's return is
    multiplied by `lambda ** (n - E / k) / most`, which makes each kind of run worth less the more
    often the meta-episode had it (Thornley et al. 2024).

    Args:
        problem: as for `learn_values`.
        episodes: as there.
        steps: as there.
        seeds: as there.
        rates: as for `actor_critic`.
        anywhere: as there.
        lengths: default: plain returns.

    Raises:
        DiscountError: a count is less than 1.
    """
    run = _Run.of(problem, episodes, steps, seeds)
    liking, values = run.tables()
    none = Lengths(np.zeros(problem.world.states, dtype=np.int64), np.zeros(0))
    own = none if lengths is None else lengths
    kinds = (
        np.array(own.kind, dtype=np.int64), np.array(own.most, dtype=np.float64),
        float(own.factor), int(own.episodes),
    )  # fmt: skip
    terms = (episodes, steps, problem.discount)
    run.share(
        lambda part: learning().reinforce_runs(
            *run.world, run.starts(anywhere=anywhere), terms, tuple(map(float, rates)), kinds,
            run.seeds, liking, values, run.counts, part,
        )
    )  # fmt: skip
    return run.learned("reinforce" if lengths is None else "drest", liking, values)


@dataclass(frozen=True, eq=False)
class _Run:
    """What the kernels of all learners read."""

    problem: Problem
    world: tuple[Any, ...]
    seeds: Int64s
    counts: Int64s  # [N * G, 2]

    @classmethod
    def of(cls, problem: Problem, episodes: int, steps: int, seeds: int | Sequence[int]) -> "_Run":
        if episodes < 1 or steps < 1:
            raise DiscountError(f"episodes and steps must be at least 1, got {(episodes, steps)!r}")
        own = np.arange(seeds) if isinstance(seeds, int) else np.asarray(seeds, dtype=np.int64)
        if not len(own):
            raise DiscountError(f"there must be at least one seed, got {seeds!r}")
        earned = np.ascontiguousarray(((1 - problem.discount) * problem.reward).T)
        ended = np.ascontiguousarray(problem.fixed.T)
        world = (
            moves_of(problem.world), problem.choosing.copy(), problem.usable.copy(),
            (earned, ended),
        )  # fmt: skip
        counts = np.zeros((len(own) * problem.count, 2), dtype=np.int64)
        return cls(problem, world, own.astype(np.int64), counts)

    def starts(self, *, anywhere: bool) -> Int64s:
        """The states that episodes begin in."""
        if anywhere:
            return np.flatnonzero(self.problem.choosing).astype(np.int64)
        return np.array([self.problem.world.initial], dtype=np.int64)

    def tables(self) -> tuple[Floats, Floats]:
        """Likings of rows and values of states, all 0."""
        shape, world = (len(self.seeds), self.problem.count), self.problem.world
        return np.zeros((*shape, len(world.action))), np.zeros((*shape, world.states))

    def share(self, work: Callable[[tuple[int, int]], None]) -> None:
        """Learn all runs, several at a time."""
        share_out(len(self.counts), work)

    def learned(self, algorithm: str, rows: Floats, states: Floats | None) -> Learned:
        """The record of all runs."""
        steps, stopped = self.counts.reshape(len(self.seeds), self.problem.count, 2).transpose(
            2, 0, 1
        )
        return Learned(
            self.problem, algorithm, rows, states, steps, stopped, tuple(self.seeds.tolist())
        )


def _forced(
    problem: Problem, interruption: Interruption | None
) -> tuple[Int64s, tuple[float, float]]:
    if interruption is None:
        return np.full(problem.world.states, -1, dtype=np.int64), (0.0, 0.0)
    rows = np.array(interruption.rows, dtype=np.int64)
    world = problem.world
    if rows.shape != (world.states,):
        raise WorldError(
            f"an interruption must say a row or -1 for each of the {world.states} states, got "
            f"the shape {list(rows.shape)!r}"
        )
    bad = np.flatnonzero((rows >= 0) & ((rows < world.rows[:-1]) | (rows >= world.rows[1:])))
    if len(bad):
        span = f"{world.rows[bad[0]]}..{world.rows[bad[0] + 1] - 1}"
        raise WorldError(
            f"an interruption in state {bad[0]} must take a row in {span}, got {rows[bad[0]]}"
        )
    first, last = interruption.theta
    return rows, (float(first), float(last))
