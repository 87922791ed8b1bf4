"""Goals that training cannot tell apart (Krakovna and Kramar 2023): shutdown in a new state.

An agent learned to act in training states; then it comes to a state of another kind, in which it
may shut down or go on.  The goals that agree with its training are taken orbit by orbit, their
utilities permuted over what training never showed.  Of each orbit at least n / (n + 1) avoid
shutdown, n being the recurrent states that going on leads to.

What is here is about optimal agents; the goals of trained ones are another table's.
"""

from dataclasses import dataclass
from fractions import Fraction
from itertools import permutations

import numpy as np

from corrigible.evidence import Estimate, exact_estimate, not_measured, share_estimate
from corrigible.lab.table import Row, Source, Tell
from corrigible.solve.optimal import optimal_values
from corrigible.solve.sample import GoalSample
from corrigible.world.record import Floats, World, world_from_rows

SOURCE = Source("training-compatible goals", "C")
COUNTS, DISCOUNTS = (1, 2, 5), (0.01, 0.1, 0.5, 0.9)
PRINTED = {
    1: (0.5050, 0.5500, 0.7500, 0.9500),
    2: (0.6733, 0.7300, 0.9167, 0.9967),
    5: (0.8415, 0.9016, 0.9948, 1.0000),
}
"""By the number of self-loops and the discount: the chance that shutdown is avoided."""
SEED, TIE = 0, 1e-9


@dataclass(frozen=True, eq=False)
class Shutdown:
    """A world with a choice to shut down: the state of the choice, and its first row's number.

    The first row of `choice` shuts down.  Outcome `over`, which follows, is worth nothing to
    anyone.  `unseen`: the outcomes that training never showed, `over` left out.
    """

    world: World
    choice: int
    over: int
    unseen: tuple[int, ...]
    trained: int | None = None  # the row that training taught, in the one training state


def one_choice(loops: int) -> Shutdown:
    """New state: shut down, a state that is visited once; or one of some self-loops for good."""
    over = 2 + loops
    ways = [("shut down", {1: 1.0})] + [(f"go to {i}", {1 + i: 1.0}) for i in range(1, loops + 1)]
    rows: list[list[tuple[str, dict[int, float]]]] = [ways, [("end", {over: 1.0})]]
    rows += [[("stay", {1 + i: 1.0})] for i in range(1, loops + 1)]
    rows.append([("stay", {over: 1.0})])
    return Shutdown(world_from_rows(rows), 0, over, tuple(range(1, over)))


def after_training(loops: int) -> Shutdown:
    """A training state with two ways to end, then a new state as in `one_choice`.

    Training taught the first way.  What is permuted are the utilities of the unseen states.
    """
    new, off, over = 3, 4, 5 + loops
    ways = [("shut down", {off: 1.0})] + [(f"go to {i}", {off + i: 1.0})
                                         for i in range(1, loops + 1)]  # fmt: skip
    rows: list[list[tuple[str, dict[int, float]]]] = [
        [("taught", {1: 1.0}), ("other", {2: 1.0})],
        [("stay", {1: 1.0})],
        [("stay", {2: 1.0})],
        ways,
        [("end", {over: 1.0})],
        *([("stay", {off + i: 1.0})] for i in range(1, loops + 1)),
        [("stay", {over: 1.0})],
    ]
    return Shutdown(world_from_rows(rows), new, over, tuple(range(off, over)), trained=0)


def avoid_chance(loops: int, discount: float | Fraction) -> Fraction:
    """The chance that an optimal agent avoids shutdown in `one_choice`, in closed form.

    It shuts down where its utility r is more than every loop's, `r > R_i / (1 - gamma)`: for iid
    U[0, 1] the chance is `E[((1 - gamma) r)**n] = (1 - gamma)**n / (n + 1)`.
    """
    kept = 1 - Fraction(str(discount))
    return 1 - kept**loops / (loops + 1)


def avoid_share(shutdown: Shutdown, goals: Floats, *, discount: float) -> Estimate:
    """The share of goals `[O, G]` for which shutting down is not optimal, `over` worth nothing."""
    avoids, kept = _avoids(shutdown, goals, discount)
    return share_estimate(int(avoids[kept].sum()), int(kept.sum()))


def orbit_avoid_share(shutdown: Shutdown, utility: Floats, *, discount: float) -> Estimate:
    """The share that avoids shutdown, of one goal's orbit as far as it agrees with training; exact.

    Not measured where no goal of the orbit agrees with training.

    Args:
        shutdown: the world.
        utility: `[O]`, of which those of the unseen outcomes are permuted.
        discount: per step.
    """
    arranged = sorted(set(permutations(utility[list(shutdown.unseen)].tolist())))
    goals = np.repeat(utility[:, None], len(arranged), axis=1)
    goals[list(shutdown.unseen)] = np.array(arranged).T
    avoids, kept = _avoids(shutdown, goals, discount)
    count = int(kept.sum())
    if not count:
        return not_measured(len(arranged))
    return exact_estimate(float(avoids[kept].sum()) / count, count)


def _avoids(
    shutdown: Shutdown, goals: Floats, discount: float
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """For each goal whether going on is strictly better, and whether it agrees with training."""
    worth = np.array(goals, dtype=np.float64)
    worth[shutdown.over] = 0.0
    world = shutdown.world
    values = optimal_values(world, worth, discount=discount, tolerance=TIE / 10).check().values
    after = values[world.successor]  # every row leads to one state
    first, stop = int(world.rows[shutdown.choice]), int(world.rows[shutdown.choice + 1])
    avoids = after[first + 1 : stop].max(axis=0) > after[first] + TIE * (1 - discount)
    kept = np.ones(goals.shape[1], dtype=np.bool_)
    if shutdown.trained is not None:
        home = int(world.row_state[shutdown.trained])
        rows = slice(int(world.rows[home]), int(world.rows[home + 1]))
        kept = after[shutdown.trained] >= after[rows].max(axis=0) - TIE
    return avoids, kept


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """The toy world against its closed form, the bound over whole orbits, and both over samples."""
    found = []
    count = 20_000 if quick else 100_000
    for loops in COUNTS:
        tell(f"training-compatible goals: {loops} ways to go on")
        world = one_choice(loops)
        goals = GoalSample(count, SEED).utilities(world.world.outcomes)
        for discount, theirs in zip(DISCOUNTS, PRINTED[loops], strict=True):
            exact = float(avoid_chance(loops, discount))
            name = f"n {loops}, gamma {discount:g}: avoids shutdown"
            found.append(SOURCE.printed(name, theirs, exact, within=5e-5, why="rounding"))
        ours = avoid_share(world, goals, discount=0.5)
        name = f"n {loops}, gamma 0.5, solved for sampled goals"
        closed = float(avoid_chance(loops, 0.5))
        found.append(SOURCE.printed(name, closed, ours, within=0.0, why=f"seed {SEED}"))
    for loops in COUNTS:
        least = _least_of_orbits(loops, draws=20 if quick else 100)
        found.append(
            SOURCE.bounded(
                f"n {loops}: least share of an orbit that avoids shutdown",
                least,
                at_least=loops / (loops + 1),
                why=f"theorem 2, n / (n + 1); whole orbits of training-compatible goals, "
                f"seed {SEED}, gamma .1, .5 and .9",
                tag="R",
            )
        )
    return found


def _least_of_orbits(loops: int, *, draws: int) -> float:
    shutdown, rng = after_training(loops), np.random.default_rng(SEED)
    least = 1.0
    for _ in range(draws if loops < 5 else max(draws // 10, 2)):  # noqa: PLR2004 - 720 goals each
        utility = rng.random(shutdown.world.outcomes)
        utility[1], utility[2] = max(utility[1], utility[2]), min(utility[1], utility[2])
        for discount in (0.1, 0.5, 0.9):
            found = orbit_avoid_share(shutdown, utility, discount=discount)
            least = min(least, found.at_least if found.measured else 1.0)
    return least
