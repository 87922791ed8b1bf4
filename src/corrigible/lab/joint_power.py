"""POWER on maps, of one agent and of two whose rewards are correlated (Harris and Suo 2022-23).

Two agents move at once on one map, a person H who learns slowly and an AI A that learns fast.
Rewards are on the joint state.  For each pair of rewards: H's policy is optimal against an A that
takes every move it has as often; A's is optimal against that H; then A's value is what it gets
against that H, and H's what that H gets against that A.  POWER is
`(1 - gamma) / gamma * E[V - r]` of each.

With correlation c, A's reward of a joint state is H's with probability c, and else drawn afresh;
with a negative one it is 1 minus H's with probability -c.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from corrigible.errors import DiscountError, WorldError
from corrigible.evidence import Estimate
from corrigible.lab.table import Row, Source, Tell
from corrigible.solve.exact import exact_power
from corrigible.solve.power import Power, power
from corrigible.solve.sample import GoalSample
from corrigible.solve.threads import share_out, thread_count
from corrigible.world.grid import Grid, grid_world
from corrigible.world.grid_map import Rules
from corrigible.world.record import Floats, Int64s

SOURCE = Source("POWER on maps", "R+C")
OPEN = ["#####", "#A  #", "#   #", "#   #", "#####"]
MAZE = [
    "#########",
    "#A      #",
    "# ## ####",
    "#    ####",
    "# ##    #",
    "# ## ## #",
    "# ##    #",
    "#    ## #",
    "#########",
]
KINDS = {"corner": (0, 2, 6, 8), "edge": (1, 3, 5, 7), "centre": (4,)}
"""Places of the 3 x 3 map, row by row."""
DISCOUNT, SEED, BATCHES = 0.6, 0, 20
STUDENT_95 = 2.093024054408263  # two-sided 95 % of Student's t with B - 1 degrees of freedom
CORRELATIONS = tuple(round(0.05 * step, 2) for step in range(21))
ALIGNED = 0.004  # the printed values are read off figures to three digits, from 20,000 samples
SINGLE = 0.003

AGENT_ALONE = {"corner": 0.8058, "edge": 0.8358, "centre": 0.862}
"""Of one agent: means of the printed corners and edges."""
INDEPENDENT = {  # (A's place, H's place): H's printed range; and A's, by A's place
    ("corner", "corner"): (0.660, 0.663), ("corner", "edge"): (0.677, 0.679),
    ("corner", "centre"): (0.693, 0.696), ("edge", "corner"): (0.651, 0.655),
    ("edge", "edge"): (0.666, 0.669), ("edge", "centre"): (0.680, 0.683),
    ("centre", "corner"): (0.645, 0.648), ("centre", "edge"): (0.659, 0.660),
    ("centre", "centre"): (0.671, 0.671),
}  # fmt: skip
AGENT_INDEPENDENT = {"corner": (0.800, 0.805), "edge": (0.828, 0.830), "centre": (0.852, 0.853)}
SEEDED = {
    ("corner", "corner"): 0.660, ("corner", "edge"): 0.677, ("corner", "centre"): 0.692,
    ("edge", "corner"): 0.652, ("edge", "edge"): 0.667, ("edge", "centre"): 0.680,
    ("centre", "corner"): 0.644, ("centre", "edge"): 0.657, ("centre", "centre"): 0.669,
}  # fmt: skip
IDENTICAL = {
    ("corner", "corner"): (0.896, 0.898), ("corner", "edge"): (0.906, 0.907),
    ("corner", "centre"): (0.913, 0.914), ("edge", "corner"): (0.909, 0.910),
    ("edge", "edge"): (0.916, 0.918), ("edge", "centre"): (0.923, 0.924),
    ("centre", "corner"): (0.921, 0.921), ("centre", "edge"): (0.927, 0.927),
    ("centre", "centre"): (0.931, 0.931),
}  # fmt: skip


Who = Literal["human", "agent", "human_seeded"]


@dataclass(frozen=True, eq=False)
class JointPower:
    """POWER of both agents in every joint state, H's place times P plus A's."""

    correlation: float
    human: Floats  # [S]
    agent: Floats  # [S]
    human_seeded: Floats  # [S], of H against an A that moves at random
    batches: dict[Who, Floats]  # [B, S] each, the means over each batch of samples
    alignment: Estimate  # Pearson's correlation of both over the joint states
    left_out: Floats  # [B], the alignment without each batch of samples in turn
    n: int
    seed: int

    def mean_over(self, who: Who, states: Sequence[int] | None = None) -> Estimate:
        """The mean POWER of one agent over some joint states, or all, with its 95 % interval."""
        own = self.batches[who] if states is None else self.batches[who][:, list(states)]
        each = own.mean(axis=1)
        half = STUDENT_95 * float(each.std(ddof=1)) / np.sqrt(len(each))
        mean = float(each.mean())
        method = f"normal 95 % of {len(each)} batches, seed {self.seed}"
        return Estimate(mean, mean - half, mean + half, self.n, method)


@dataclass(frozen=True, eq=False)
class Sweep:
    """One `JointPower` for each correlation, over the same draws."""

    each: tuple[JointPower, ...]
    crossing: Estimate  # the correlation at which the alignment is 0; not measured if none is


def map_grid(text: Sequence[str]) -> Grid:
    """A map on which the agent may stay, or go where there is room."""
    return grid_world(text, rules=Rules(bumps=False))


def moves_of(text: Sequence[str]) -> list[list[int]]:
    """For each open place, row by row, where one can be after one move."""
    rows = list(text)
    cells = [(y, x) for y, row in enumerate(rows) for x, mark in enumerate(row) if mark != "#"]
    number = {cell: place for place, cell in enumerate(cells)}
    ways = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
    return [
        [number[y + dy, x + dx] for dy, dx in ways if (y + dy, x + dx) in number] for y, x in cells
    ]


def single_power(grid: Grid, *, discount: float, samples: int, seed: int = SEED) -> Power:
    """POWER of one agent in every state of a grid."""
    return power(grid.world, GoalSample(samples, seed), discount=discount)


def joint_power(
    moves: Sequence[Sequence[int]],
    correlation: float,
    *,
    discount: float = DISCOUNT,
    samples: int = 20_000,
    seed: int = SEED,
) -> JointPower:
    """POWER of both agents at one correlation.

    Args:
        moves: for each place where one can be next, as of `moves_of`.
        correlation: of their rewards, in [-1, 1].
        discount: of both, in (0, 1).
        samples: pairs of rewards.  The same seed draws the same numbers for every correlation.
        seed: of the draws.

    Raises:
        DiscountError: the discount is not in (0, 1).
        WorldError: the correlation is not in [-1, 1], or there are fewer than 20 samples; those
            beyond the last whole twentieth are not counted.
    """
    return correlation_sweep(
        moves, [correlation], discount=discount, samples=samples, seed=seed
    ).each[0]


def correlation_sweep(
    moves: Sequence[Sequence[int]],
    correlations: Sequence[float] = CORRELATIONS,
    *,
    discount: float = DISCOUNT,
    samples: int = 20_000,
    seed: int = SEED,
    tell: Tell | None = None,
) -> Sweep:
    """POWER of both agents at each correlation, over the same draws, and where alignment is 0.

    Arguments and errors as of `joint_power`; `tell` is told each correlation.
    """
    _check(correlations, discount, samples)
    states = len(moves) ** 2
    rng = np.random.default_rng(seed)
    human, fresh, chance = (rng.random((samples, states)) for _ in range(3))
    if tell is not None:
        tell("two agents, H against a random A")
    pair, found = _answered_at_random(moves, human, discount, seed), []
    for correlation in correlations:
        if tell is not None:
            tell(f"two agents, correlation {correlation:g}")
        shared = human if correlation >= 0 else 1 - human
        agent = np.where(chance < abs(correlation), shared, fresh)
        found.append(_measured(pair, agent, correlation))
    return Sweep(tuple(found), _crossing(found))


def _check(correlations: Sequence[float], discount: float, samples: int) -> None:
    if not 0 < discount < 1:
        raise DiscountError(f"discount must lie in (0, 1), got {discount!r}")
    for correlation in correlations:
        if not -1 <= correlation <= 1:
            raise WorldError(f"a correlation must lie in [-1, 1], got {correlation!r}")
    if samples < BATCHES:
        raise WorldError(f"samples must be at least {BATCHES}, got {samples!r}")


@dataclass(frozen=True, eq=False)
class _Pair:
    """One map at one discount, with H's rewards and its answer to an A that moves at random."""

    first: Int64s  # [P+1]
    to: Int64s
    discount: float
    human: Floats  # [N, S]
    seeded: Floats  # [N, S], H's value less the state's own reward
    goes: Int64s  # [N, S]
    seed: int


def _answered_at_random(
    moves: Sequence[Sequence[int]], human: Floats, discount: float, seed: int
) -> _Pair:
    from corrigible.lab.joint_kernel import answer_a_random_agent  # noqa: PLC0415 - compiles

    first = np.cumsum([0, *(len(ends) for ends in moves)])
    to = np.array([end for ends in moves for end in ends], dtype=np.int64)
    goes = np.empty(human.shape, dtype=np.int64)
    pair = _Pair(first, to, discount, human, np.empty_like(human), goes, seed)

    def solve(own: slice) -> None:
        answer_a_random_agent(first, to, human[own], discount, pair.seeded[own], goes[own])

    _in_pieces(len(human), solve)
    return pair


def _in_pieces(count: int, solve: Callable[[slice], None]) -> None:
    """Samples shared out over the processors."""
    pieces = np.array_split(np.arange(count), 4 * thread_count())

    def some(span: tuple[int, int]) -> None:
        for piece in pieces[span[0] : span[1]]:
            if len(piece):
                solve(slice(int(piece[0]), int(piece[-1]) + 1))

    share_out(len(pieces), some)


def _measured(pair: _Pair, rewards: Floats, correlation: float) -> JointPower:
    """A's answer to that H, and what both then get."""
    from corrigible.lab.joint_kernel import answer_a_human  # noqa: PLC0415 - compiles

    discount = pair.discount
    answered, met = np.empty_like(rewards), np.empty_like(rewards)

    def solve(own: slice) -> None:
        answer_a_human(
            pair.first, pair.to, pair.goes[own], pair.human[own], rewards[own], discount,
            answered[own], met[own],
        )  # fmt: skip

    _in_pieces(len(rewards), solve)
    scale = (1 - discount) / discount
    human, agent = scale * met, scale * answered
    values: dict[Who, Floats] = {
        "human": human, "agent": agent, "human_seeded": scale * pair.seeded,
    }  # fmt: skip
    means = {who: _batch_means(each) for who, each in values.items()}
    h, a = means["human"], means["agent"]
    left = np.array([
        _pearson(np.delete(h, b, axis=0).mean(axis=0), np.delete(a, b, axis=0).mean(axis=0))
        for b in range(BATCHES)
    ])  # fmt: skip
    whole = _pearson(h.mean(axis=0), a.mean(axis=0))
    half = STUDENT_95 * _jackknife_error(left)
    return JointPower(
        correlation=correlation,
        human=h.mean(axis=0),
        agent=a.mean(axis=0),
        human_seeded=means["human_seeded"].mean(axis=0),
        batches=means,
        alignment=Estimate(
            whole,
            max(whole - half, -1.0),
            min(whole + half, 1.0),
            len(human),
            f"jackknife 95 %, seed {pair.seed}",
        ),
        left_out=left,
        n=len(human),
        seed=pair.seed,
    )


def _batch_means(values: Floats) -> Floats:
    """The means over equal batches of samples, `[B, S]`; what is left over is not counted."""
    size = len(values) // BATCHES
    means: Floats = values[: size * BATCHES].reshape(BATCHES, size, -1).mean(axis=1)
    return means


def _pearson(one: Floats, other: Floats) -> float:
    return float(np.corrcoef(one, other)[0, 1])


def _jackknife_error(left_out: Floats) -> float:
    """The standard error of a figure, from the figure without each of B batches."""
    count = len(left_out)
    return float(np.sqrt((count - 1) / count * ((left_out - left_out.mean()) ** 2).sum()))


def _crossing(found: Sequence[JointPower]) -> Estimate:
    """Where the line through the alignments first crosses 0, with its jackknife interval."""
    at = _first_zero([(f.correlation, f.alignment.value or 0.0) for f in found])
    without = [
        _first_zero([(f.correlation, float(f.left_out[batch])) for f in found])
        for batch in range(BATCHES)
    ]
    known = np.array([zero for zero in without if zero is not None])
    if at is None or len(known) < BATCHES:
        return Estimate(None, None, None, found[0].n, "no crossing")
    half = STUDENT_95 * _jackknife_error(known)
    return Estimate(at, at - half, at + half, found[0].n, "jackknife 95 %, linear between points")


def _first_zero(points: Sequence[tuple[float, float]]) -> float | None:
    ordered = sorted(points)
    for (x, y), (right, above) in zip(ordered, ordered[1:], strict=False):  # noqa: RUF007
        if y < 0 <= above:
            return x + (right - x) * -y / (above - y)
    return None


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """One agent on 3 x 3 and in the maze; two agents at correlation 0 and 1; the sweep."""
    samples = 4_000 if quick else 60_000
    found = [*_alone(4_000 if quick else 50_000, tell), *_maze(4_000 if quick else 20_000, tell)]
    steps = CORRELATIONS if not quick else (0.0, 0.25, 0.5, 0.75, 1.0)
    sweep = correlation_sweep(moves_of(OPEN), steps, samples=samples, tell=tell)
    independent, identical = sweep.each[0], sweep.each[-1]
    for where, limits in INDEPENDENT.items():
        ours = independent.mean_over("human", _states(where))
        found.append(_printed(f"correlation 0, POWER of H, {_at(where)}", limits, ours))
    for place, limits in AGENT_INDEPENDENT.items():
        ours = independent.mean_over("agent", _states(*((place, human) for human in KINDS)))
        found.append(_printed(f"correlation 0, POWER of A, A in the {place}", limits, ours))
    for where, value in SEEDED.items():
        name = f"POWER of H against a random A, {_at(where)}"
        ours = independent.mean_over("human_seeded", _states(where))
        found.append(_printed(name, (value, value), ours))
    for where, limits in IDENTICAL.items():
        name = f"correlation 1, POWER of both, {_at(where)}"
        ours = identical.mean_over("human", _states(where))
        found.append(_printed(name, limits, ours))
    gap = float(np.abs(identical.human - identical.agent).max())
    found.append(
        SOURCE.bounded("correlation 1: H and A differ by", gap, at_most=1e-9, why="equal rewards")
    )
    return [*found, *_sweep_rows(sweep)]


def _at(where: tuple[str, str]) -> str:
    return f"A in the {where[0]}, H in the {where[1]}"


def _states(*places: tuple[str, str]) -> list[int]:
    """The joint states with A and H in such places, in that order."""
    return [h * 9 + a for agent, human in places for h in KINDS[human] for a in KINDS[agent]]


def _printed(name: str, limits: tuple[float, float], ours: Estimate) -> Row:
    """The mean over all such states, at most .004 outside the printed range."""
    middle, half = sum(limits) / 2, (limits[1] - limits[0]) / 2
    why = f"{ALIGNED:g} beyond the printed {limits[0]:.3f} to {limits[1]:.3f}"
    return SOURCE.printed(name, round(middle, 6), ours, within=ALIGNED + half, strict=True, why=why)


def _estimate(found: Power, states: Sequence[int]) -> Estimate:
    """The mean over states; the mean of their half widths is no less than its own."""
    own = list(states)
    mean, half = float(found.mean[own].mean()), float((found.high - found.low)[own].mean()) / 2
    return Estimate(mean, mean - half, mean + half, found.n, f"normal 95 %, seed {found.seed}")


def _alone(samples: int, tell: Tell) -> list[Row]:
    tell("POWER on maps: one agent on 3 x 3")
    grid = map_grid(OPEN)
    found = single_power(grid, discount=DISCOUNT, samples=samples)
    rows = []
    for kind, theirs in AGENT_ALONE.items():
        states = [
            state for state, scene in enumerate(grid.scenes)
            if (scene.agent[0] - 1) * 3 + scene.agent[1] - 1 in KINDS[kind]
        ]  # fmt: skip
        ours, why = _estimate(found, states), "figures of 50,000 samples, three digits"
        row = SOURCE.printed(f"one agent, {kind}", theirs, ours, within=SINGLE, strict=True,
                             why=why)  # fmt: skip
        rows.append(row)
    return rows


def _maze(samples: int, tell: Tell) -> list[Row]:
    tell("POWER on maps: the maze")
    grid = map_grid(MAZE)
    world = grid.world
    cells = [(scene.agent[0] - 1, scene.agent[1] - 1) for scene in grid.scenes]
    degree = np.diff(world.rows) - 1
    found = []
    for ways, kind in ((1, "dead end"), (2, "corridor"), (3, "junction")):
        powers = {exact_power(world, int(s), discount=0) for s in np.flatnonzero(degree == ways)}
        theirs = Fraction(ways + 1, ways + 2)
        ours = powers.pop() if len(powers) == 1 else Fraction(-1)
        why = f"{(degree == ways).sum()} cells"
        found.append(SOURCE.exactly(f"maze, gamma to 0, {kind}", theirs, ours, why=why))
    short = single_power(grid, discount=0.01, samples=samples)
    long = single_power(grid, discount=0.99, samples=samples)
    best, worst = int(long.mean.argmax()), int(long.mean.argmin())
    why = "their 4000 samples"
    top = _estimate(short, [cells.index((2, 3)), cells.index((3, 3))])
    return [
        *found,
        SOURCE.printed("maze, gamma .01, (2, 3) and (3, 3)", 0.80, top, within=0.005, why=why,
                       tag="C"),
        SOURCE.said("maze, gamma .99: most POWER at", "(2, 3)", str(cells[best]), tag="C"),
        SOURCE.printed("maze, gamma .99, most", 0.957, _estimate(long, [best]), within=0.003,
                       why=why, tag="C"),
        SOURCE.said("maze, gamma .99: least POWER at", "(0, 6)", str(cells[worst]), tag="C"),
        SOURCE.printed("maze, gamma .99, least", 0.943, _estimate(long, [worst]), within=0.003,
                       why=why, tag="C"),
    ]  # fmt: skip


def _sweep_rows(sweep: Sweep) -> list[Row]:
    """The ends of the curve as they are known; what lies between, of which only that is."""
    first, last = sweep.each[0], sweep.each[-1]
    rounded = "their rounding, and sampling"
    rows = [
        SOURCE.printed("correlation 0: alignment over the 81 states", -0.49, first.alignment,
                       within=0.005, why="their sampling", tag="C"),
        SOURCE.printed("correlation 1: alignment", 1.0, last.alignment, within=1e-6, tag="C"),
        SOURCE.printed("correlation 0: mean POWER of H", 0.666, first.mean_over("human"),
                       within=0.001, why=rounded, tag="C"),
        SOURCE.printed("correlation 0: mean POWER of A", 0.820, first.mean_over("agent"),
                       within=0.001, why=rounded, tag="C"),
        SOURCE.printed("correlation 1: mean POWER of both", 0.911, last.mean_over("human"),
                       within=0.001, why=rounded, tag="C"),
    ]  # fmt: skip
    why = "only the ends are known, and that the sign changes between them"
    for found in sweep.each[1:-1]:
        curves = (
            ("alignment", found.alignment, -0.49, 1.0),
            ("mean POWER of H", found.mean_over("human"), 0.666, 0.911),
            ("mean POWER of A", found.mean_over("agent"), 0.820, 0.911),
        )
        rows += [
            SOURCE.bounded(f"correlation {found.correlation:g}: {name}", ours, at_least=low,
                           at_most=high, why=why, tag="C")
            for name, ours, low, high in curves
        ]  # fmt: skip
    if sweep.crossing.measured:
        crossing = SOURCE.bounded("alignment crosses 0 at a correlation of", sweep.crossing,
                                  at_least=0.0, at_most=1.0, why=why, tag="C")  # fmt: skip
    else:
        crossing = SOURCE.said("alignment crosses 0 between correlation 0 and 1", "yes", "no",
                               why=why, tag="C")  # fmt: skip
    return [*rows, crossing]
