"""Optimal policies tend to seek power (Turner et al. 2021, and the first author's posts)."""

from fractions import Fraction

import numpy as np

from corrigible.evidence import Estimate, share_estimate
from corrigible.lab.table import Row, Source, Tell
from corrigible.solve.average import average_values
from corrigible.solve.empowerment import empowerment
from corrigible.solve.exact import exact_average_optimality, exact_optimality, exact_power
from corrigible.solve.orbits import OrbitPreference, orbit_preference
from corrigible.solve.power import power
from corrigible.solve.sample import GoalSample
from corrigible.solve.visits import visit_distributions
from corrigible.world.grid import Grid, grid_world
from corrigible.world.grid_map import Rules, Spot
from corrigible.world.record import World, world_from_rows

PAPER = Source("power-seeking", "R+C")
POSTS = Source("power-seeking, posts", "R+C")

EDGES = {
    "star": ("null", "left", "right"),
    "null": ("null",),
    "left": ("left up", "left down"),
    "left up": ("left down",),
    "left down": ("left up", "left down"),
    "right": ("right up", "right down"),
    "right up": ("right up", "right down"),
    "right down": ("right down", "right up"),
}
"""The case study, figure 1."""
STATE = {name: number for number, name in enumerate(EDGES)}
NULL, LEFT, RIGHT = 0, 1, 2  # rows of the star
SEED = 0
AIMA = ["######", "#   P#", "# # N#", "#A   #", "######"]
"""The 4 x 3 world of Russell and Norvig, its two ends states that are stayed in."""
PACMAN = ["#########", "#G A    #", "### # # #", "#       #", "#########"]
"""To the left of the start lies the ghost; all else is a maze to live in."""


def sure_moves(*ways: tuple[int, ...]) -> World:
    """A world of sure moves: for each state the states that its acts lead to."""
    return world_from_rows([[(f"to {t}", {t: 1.0}) for t in to] for to in ways])


def case_study() -> World:
    """The world of figure 1."""
    return sure_moves(*(tuple(STATE[to] for to in ends) for ends in EDGES.values()))


def figure_ten() -> World:
    """s1 goes to s2 (north) or s3 (north-east); s2 to itself or s3; s3 to one of two ends."""
    return sure_moves((1, 2), (1, 2), (3, 4), (3,), (4,))


def wait_world() -> World:
    """Candy now, or wait, and then chocolate or a hug."""
    return sure_moves((1, 2), (1,), (3, 4), (3,), (4,))


def ends_after(first: int, later: int) -> World:
    """From the start `first` ends are one step away, `later` ends two, past one more state."""
    hub = first + 1
    ends = range(1, first + 1), range(hub + 1, hub + 1 + later)
    ways = [tuple(ends[0]) + ((hub,) if later else ()), *((e,) for e in ends[0])]
    if later:
        ways += [tuple(ends[1]), *((e,) for e in ends[1])]
    return sure_moves(*ways)


def share_ending_in(world: World, state: int, *, goals: int, seed: int = SEED) -> Estimate:
    """The share of goals for which being in one state for good is the best of all averages."""
    utilities = GoalSample(goals, seed).utilities(world.outcomes)
    solved = average_values(world, utilities, tolerance=1e-9).check()
    best = utilities[world.outcome[state]] >= solved.values[world.initial] - 1e-8
    return share_estimate(int(best.sum()), goals)


def grid_of_ends(text: list[str], *names: str) -> Grid:
    """A maze of which every cell may be stayed in; marks are the first letters of the names."""
    legend = {name[0].upper(): Spot(name, ends=True) for name in names}
    return grid_world(text, legend, rules=Rules(after_end="stay"))


def ending(grid: Grid, name: str) -> int:
    """The state in which a grid's run has ended in a spot."""
    return next(state for state, scene in enumerate(grid.scenes) if scene.ended == name)


def orbit_of_case_study(*, discount: str = "1/2") -> OrbitPreference:
    """Left against right over the whole orbit of a goal with eight different utilities."""
    utility = [0.05, 0.15, 0.3, 0.35, 0.5, 0.65, 0.8, 0.95]
    return orbit_preference(case_study(), utility, STATE["star"], [LEFT, RIGHT], discount=discount)


def rows(*, quick: bool, tell: Tell) -> list[Row]:
    """Figures 1 and 10, the propositions, and appendices A and C."""
    tell("power-seeking: figure 1")
    found = [*_figure_one(), *_figure_ten()]
    tell("power-seeking: orbits")
    orbit = orbit_of_case_study()
    left, right = orbit.best
    found.append(
        PAPER.said(
            "prop. 6.9, orbit of 40,320: more goals prefer right than left",
            "yes",
            "yes" if right >= left + orbit.undecided else "no",
            why=f"{right} against {left}, {sum(orbit.tied) // 2} tied, gamma 1/2",
        )
    )
    tell("power-seeking: bounds and mazes")
    found += [*_bounds(), _pacman(20_000 if quick else 100_000), _empowerment()]
    for options, name in ((1, "ignores the reward"), (3, "best of 3"), (5, "best of 5")):
        ours = exact_power(ends_after(options, 0), 0, discount=0)
        theirs = Fraction(options, options + 1)
        found.append(PAPER.exactly(f"figure 11, policy that {name}", theirs, ours))
    return found


def post_rows(*, quick: bool, tell: Tell) -> list[Row]:
    """The figures of the posts: waiting, ends, scaling, correction, two players."""
    tell("power-seeking: posts")
    wait = wait_world()
    half, thirds, quarters = Fraction(1, 2), Fraction(2, 3), Fraction(3, 4)
    found = [
        POSTS.exactly("waits, gamma to 0", half, exact_optimality(wait, 0, discount=0)[1]),
        POSTS.exactly("waits, gamma to 1", thirds, exact_optimality(wait, 0, discount=1)[1]),
        POSTS.exactly("POWER before waiting, gamma to 0", thirds, exact_power(wait, 0, discount=0)),
        POSTS.exactly("POWER before waiting, gamma to 1", quarters,
                      exact_power(wait, 0, discount=1)),
    ]  # fmt: skip
    game = exact_average_optimality(ends_after(5, 5), 0)
    found += [
        POSTS.exactly("tic-tac-toe: a move that ends the game", Fraction(1, 10), game[0], tag="R"),
        POSTS.exactly("tic-tac-toe: the move that goes on", half, game[5], tag="R"),
    ]
    most = exact_average_optimality(_branches(2, 51), 0)[1]
    guaranteed = "25/26 of every orbit, ties counting; iid utilities are one orbit"
    found += [
        POSTS.bounded("51 ends against 2", most, at_least=25 / 26, why=guaranteed),
        POSTS.exactly("51 ends against 2, conjectured n / (n + m)", Fraction(51, 53), most),
    ]
    aima = grid_of_ends(AIMA, "plus", "negative")
    count = 20_000 if quick else 100_000
    for name in ("plus", "negative"):
        share = share_ending_in(aima.world, ending(aima, name), goals=count)
        found.append(
            POSTS.printed(
                f"AIMA's 4 x 3 world: ends in the {name} end",
                1 / 11,
                share,
                within=0.0,
                why=f"average optimality, seed {SEED}",
            )
        )
    return [*found, *_correction(), *_two_players()]


def _branches(few: int, many: int) -> World:
    """Two states to go to; one leads to a few ends, the other to many."""
    first = tuple(range(3, 3 + few))
    second = tuple(range(3 + few, 3 + few + many))
    return sure_moves((1, 2), first, second, *((e,) for e in (*first, *second)))


def _figure_one() -> list[Row]:
    world, found = case_study(), []
    for text in ("1/10", "1/2", "9/10", "1"):
        g = Fraction(text)
        left = (Fraction(2, 3) + g / 2) / (1 + g)
        printed_formulas = {
            "null": Fraction(1, 2),
            "left down": left,
            "right down": Fraction(2, 3),
        }
        for name, theirs in printed_formulas.items():
            ours = exact_power(world, STATE[name], discount=text)
            found.append(PAPER.exactly(f"figure 1, POWER({name}), gamma {text}", theirs, ours))
    for row, name, theirs_count in ((LEFT, "left", 4), (RIGHT, "right", 6)):
        ways = visit_distributions(world, STATE["star"], discount="1/3", row=row).distributions
        found.append(PAPER.exactly(f"figure 1, |F(star; {name})|", float(theirs_count),
                                   float(len(ways))))  # fmt: skip
    for gamma, printed in ((0.1, 0.7456), (0.5, 0.7401), (0.9, 0.7871), (0.99, 0.8058)):
        star = exact_power(world, STATE["star"], discount=str(gamma))
        found.append(PAPER.printed(f"figure 1, POWER(star), gamma {gamma:g}", printed, star,
                                   within=1e-3, why="their sampling", tag="C"))  # fmt: skip
    limit = {LEFT: Fraction(47, 160), RIGHT: Fraction(113, 240), NULL: Fraction(113, 480)}
    chances = exact_average_optimality(world, STATE["star"])
    for row, name in ((LEFT, "left"), (RIGHT, "right"), (NULL, "down")):
        found.append(PAPER.exactly(f"figure 1, P({name}), average", limit[row], chances[row],
                                   tag="C"))  # fmt: skip
    star = exact_power(world, STATE["star"], discount=1)
    found.append(PAPER.exactly("figure 1, POWER(star), gamma 1", Fraction(517, 640), star, tag="C"))
    return found


def _figure_ten() -> list[Row]:
    world = figure_ten()
    chances = exact_optimality(world, 0, discount=1)
    ties = exact_average_optimality(world, 0)[0]
    why = f"the limit from below 1; at 1 itself s2 loses nothing, and by ties P(N) = {ties}"
    return [
        PAPER.exactly("figure 10, POWER(s2), gamma 1", Fraction(3, 4),
                      exact_power(world, 1, discount=1)),
        PAPER.exactly("figure 10, POWER(s3), gamma 1", Fraction(2, 3),
                      exact_power(world, 2, discount=1)),
        PAPER.exactly("figure 10, P(s1, N)", Fraction(1, 3), chances[0], why=why),
        PAPER.exactly("figure 10, P(s1, NE)", Fraction(2, 3), chances[1], why=why),
    ]  # fmt: skip


def _bounds() -> list[Row]:
    """Propositions 5.4 and 5.5 on a grid, where neighbours lead to each other."""
    grid = grid_world(["#####", "#A  #", "#   #", "#   #", "#####"], rules=Rules(bumps=False))
    world = grid.world
    pairs = [
        (s, int(t)) for s in range(world.states)
        for t in world.successor[world.entries[world.rows[s]] : world.entries[world.rows[s + 1]]]
        if s < t
    ]  # fmt: skip
    found = power(world, GoalSample(5_000, SEED), discount=0.9, pairs=pairs)
    state, pair = int(found.mean.argmax()), int(np.abs(found.difference).argmax())
    how = f"normal 95 %, seed {SEED}"
    largest = Estimate(found.mean[state], found.low[state], found.high[state], found.n, how)
    ends = found.difference_low[pair], found.difference_high[pair]
    low, value, high = sorted(abs(x) for x in (*ends, found.difference[pair]))
    step = Estimate(value, low, high, found.n, how)
    return [
        PAPER.bounded("prop. 5.4, 3 x 3 grid, gamma .9: largest POWER", largest,
                      at_most=9 / 10, why="E[max of 9]", tag="R"),
        PAPER.bounded("prop. 5.5, 3 x 3 grid, gamma .9: largest step in POWER", step,
                      at_most=0.1, why="(c - b) (1 - gamma)", tag="R"),
    ]  # fmt: skip


def _pacman(goals: int) -> Row:
    grid = grid_of_ends(PACMAN, "ghost")
    alive = sum(scene.running for scene in grid.scenes)
    share = share_ending_in(grid.world, ending(grid, "ghost"), goals=goals)
    return PAPER.bounded(
        f"figure 8, like Pac-Man: dying is optimal, {alive} cells to live in",
        share,
        at_most=1 / (alive + 1),
        why=f"cor. 6.14: at most 1 / (k + 1) of every orbit; seed {SEED}",
        tag="R",
    )


def _empowerment() -> Row:
    """Appendix A: a world that swings between one place and two."""
    both = [(1, 1), (2, 3), (1, 1), (1, 1)]
    world = world_from_rows([[("a", {a: 1.0}), ("b", {b: 1.0})] for a, b in both])
    bits = [float(empowerment(world, steps=n, states=[0]).check().bits[0]) for n in range(1, 9)]
    swings = np.allclose(bits, [0.0, 1.0] * 4, atol=1e-6)
    near = [exact_power(world, 0, discount=d) for d in ("999/1000", "9999/10000", "1")]
    settles = abs(near[1] - near[2]) < abs(near[0] - near[2]) < Fraction(1, 100)
    ours = f"{'swings' if swings else 'settles'}, {'settles' if settles else 'does not'}"
    return PAPER.said(
        "appendix A: empowerment as n grows, POWER as gamma does",
        "swings, settles",
        ours,
        why=f"0 and 1 bits in turn over n = 1..8; POWER to {near[2]}",
        tag="R",
    )


def _correction() -> list[Row]:
    """One end that allows correction, and n that disabling it keeps open."""
    found = []
    for n, sampled in ((2, 0.334), (3, 0.249), (5, 0.167)):
        chance = exact_average_optimality(ends_after(n + 1, 0), 0)[0]
        name = f"correction, n = {n}: allowing it is strictly optimal"
        found.append(POSTS.printed(name, sampled, chance, within=2e-3, why="their sampling",
                                   tag="C"))  # fmt: skip
    quarter = exact_average_optimality(ends_after(4, 0), 0)[0]
    third = exact_average_optimality(ends_after(3, 0), 0)[0]
    return [
        *found,
        POSTS.exactly("correction seen by the goal, n = 3: at most", Fraction(1, 4), quarter),
        POSTS.exactly("correction not seen, n = 3: weakly at most", Fraction(1, 3), third),
    ]


def _two_players() -> list[Row]:
    """Matching pennies, worth 1 in all: what each could get against the other's mixture."""
    win = np.array([[1.0, 0.0], [0.0, 1.0]])

    def total(one: float, other: float) -> float:
        first = (win @ [other, 1 - other]).max()
        second = ([one, 1 - one] @ (1 - win)).max()
        return float(first + second)

    ticks = np.linspace(0, 1, 101)
    sums = np.array([[total(float(p), float(q)) for q in ticks] for p in ticks])
    at_least = np.argwhere(sums <= 1 + 1e-12)
    nash = at_least.tolist() == [[50, 50]]
    return [
        POSTS.bounded("two players, constant sum 1: least sum of POWER", float(sums.min()),
                      at_least=1.0, why="101 x 101 pairs of mixtures of matching pennies"),
        POSTS.said("equal to it only at the Nash equilibrium", "yes", "yes" if nash else "no"),
    ]  # fmt: skip
