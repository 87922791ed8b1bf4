"""Average rewards: against all policies of small worlds, closed forms, laws, high discounts."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_worlds import FIGURE_ONE, figure_one, random_mask, random_world, renamed

from corrigible.errors import DiscountError, NotSolvedError, WorldError
from corrigible.solve import average, gains
from corrigible.solve.average import average_row_values, average_values
from corrigible.solve.optimal import Status, optimal_values
from corrigible.solve.oracle import dense_rows
from corrigible.solve.sample import GoalSample
from corrigible.world.record import world_from_arrays, world_from_rows

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 100_000)
quick = settings(max_examples=15, deadline=None)


def layered(seed):
    """Stochastic, with states that are never come back to."""
    return random_world(seed, states=5)


def deterministic(seed):
    """Each state leads surely to one to three others: several cycles, or none nearby."""
    rng = np.random.default_rng(seed)
    ways = [rng.choice(6, size=rng.integers(1, 4), replace=False).tolist() for _ in range(6)]
    return world_from_rows([[(f"to {t}", {t: 1.0}) for t in to] for to in ways])


def periodic(seed):
    """Two sides that each step changes: every chain of it has an even period."""
    rng = np.random.default_rng(seed)
    rows = []
    for state in range(6):
        other = np.arange(3) + 3 * (state < 3)
        own = []
        for a in range(int(rng.integers(1, 4))):
            to = rng.choice(other, size=rng.integers(1, 3), replace=False).tolist()
            own.append((f"act {a}", dict(zip(to, rng.dirichlet(np.ones(len(to))), strict=True))))
        rows.append(own)
    return world_from_rows(rows)


def multichain(seed):
    """Rows of all kinds anywhere: end components that policies may split into many classes."""
    rng = np.random.default_rng(seed)
    rows = []
    for state in range(5):
        own = [("stay", {state: 1.0})] if rng.random() < 0.6 else []
        for a in range(int(rng.integers(1, 3))):
            to = rng.choice(5, size=rng.integers(1, 4), replace=False).tolist()
            own.append((f"act {a}", dict(zip(to, rng.dirichlet(np.ones(len(to))), strict=True))))
        rows.append(own)
    return world_from_rows(rows)


KINDS = [layered, deterministic, periodic, multichain]


def name(function):
    return function.__name__


def drawn_goals(world, seed, count=5):
    return np.random.default_rng(seed).random((world.outcomes, count))


def at_rest(chain):
    """The stationary distribution, without a subtraction (Grassmann, Taksar and Heyman 1985)."""
    left = chain.copy()
    for n in range(len(left) - 1, 0, -1):
        left[:n, n] /= left[n, :n].sum()
        left[:n, :n] += np.outer(left[:n, n], left[n, :n])
    shares = np.ones(len(left))
    for n in range(1, len(left)):
        shares[n] = shares[:n] @ left[:n, n]
    return shares / shares.sum()


def time_shares(moves):
    """The share of time a chain spends in each state in the long run, from each, `[S, S]`."""
    states = len(moves)
    reaches = np.linalg.matrix_power(np.eye(states) + (moves > 0), states) > 0
    back = (reaches <= reaches.T).all(axis=1)  # whatever is reached leads back: recurrent
    shares = np.zeros((states, states))
    system = (np.eye(states) - moves)[np.ix_(~back, ~back)]
    for own in np.unique(reaches[back], axis=0):
        stationary = at_rest(moves[np.ix_(own, own)])
        ends_here = own.astype(float)
        ends_here[~back] = np.linalg.solve(system, moves[np.ix_(~back, own)].sum(axis=1))
        shares[:, own] = np.outer(ends_here, stationary)
    return shares / shares.sum(axis=1, keepdims=True)


def best_average(world, goals, usable=None):
    """The best over all deterministic stationary policies, by trying them all, `[S, G]`."""
    usable = np.ones(len(world.action), dtype=bool) if usable is None else usable
    choices = [
        a + np.flatnonzero(usable[a:b])
        for a, b in zip(world.rows[:-1], world.rows[1:], strict=True)
    ]
    moves, reward = dense_rows(world), np.asarray(goals)[world.outcome]
    return np.max([time_shares(moves[list(p)]) @ reward for p in product(*choices)], axis=0)


def assert_exact(world, goals, *, tolerance=1e-6, available=None):
    solution = average_values(world, goals, tolerance=tolerance, available=available).check()
    exact = best_average(world, goals, available)
    assert (abs(solution.values - exact).max(axis=0) <= solution.bound + 1e-12).all()
    assert (solution.bound <= tolerance).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=name)
@quick
@given(seed=SEEDS)
def test_values_are_the_best_of_all_policies(kind, seed):
    world = kind(seed)
    assert_exact(world, drawn_goals(world, seed))


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1e-3, 1e-9])
@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_values_of_hundreds_of_worlds_are_the_best_of_all_policies(kind, tolerance):
    for seed in range(25):
        world = kind(seed)
        assert_exact(world, drawn_goals(world, seed, 8), tolerance=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_evaluating_policies_from_the_first_sweep_on_gives_the_same(kind, monkeypatch):
    monkeypatch.setattr(gains, "SWEEPS", 1)
    for seed in range(25):
        world = kind(seed)
        assert_exact(world, drawn_goals(world, seed, 8), tolerance=1e-9)


@quick
@given(seed=SEEDS)
def test_rows_that_are_not_available_are_not_taken(seed):
    world = multichain(seed)
    assert_exact(world, drawn_goals(world, seed), available=random_mask(world, seed))


def test_figure_one_has_the_power_of_its_paper():
    """POWER(star, 1) = 517/640, by integration over the ends that are not dominated."""
    best = average_values(figure_one(), GoalSample(100_000, seed=1)).check().values
    error = best.std(axis=1) / np.sqrt(best.shape[1])
    for state, exact in (("star", 517 / 640), ("null", 1 / 2), ("lDL", 7 / 12), ("rDR", 2 / 3)):
        at = FIGURE_ONE[state]
        assert abs(best[at].mean() - exact) < 4 * error[at]


def test_figure_one_has_the_optimality_probabilities_of_its_paper():
    rows = average_row_values(figure_one(), GoalSample(100_000, seed=2), state=FIGURE_ONE["star"])
    best = rows.values >= rows.values.max(axis=0) - 2 * rows.bound
    assert rows.rows.tolist() == [0, 1, 2]
    assert abs(best.mean(axis=1) - [113 / 480, 47 / 160, 113 / 240]).max() < 4 * 0.5 / 100_000**0.5


@pytest.mark.slow
@quick
@given(seed=SEEDS)
def test_a_rows_value_is_the_best_of_all_policies_that_take_it(seed):
    world, state = multichain(seed), seed % 5
    goals = drawn_goals(world, seed)
    found = average_row_values(world, goals, state=state)
    for row, values in zip(found.rows, found.values, strict=True):
        usable = (world.row_state != state) | (np.arange(len(world.action)) == row)
        exact = best_average(world, goals, usable)[state]
        assert (abs(values - exact) <= found.bound + 1e-12).all()
    best = average_values(world, goals)
    assert (abs(found.values.max(axis=0) - best.values[state]) <= found.bound + best.bound).all()


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_values_at_high_discounts_tend_to_the_average(kind):
    """Normalised values are off by 1 - discount times a constant of the world."""
    for seed in range(5):
        world = kind(seed)
        goals = drawn_goals(world, seed)
        limit = average_values(world, goals).values
        off = [
            abs(optimal_values(world, goals, discount=d, tolerance=1e-8).values - limit).max()
            for d in (0.99, 0.999, 0.9999)
        ]
        assert off[1] <= off[0] / 5 + 2e-6
        assert off[2] <= off[1] / 5 + 2e-6


@pytest.mark.parametrize("length", [1, 2, 3, 50])
def test_a_circle_is_worth_its_mean(length):
    world = world_from_rows([[("on", {(s + 1) % length: 1.0})] for s in range(length)])
    goals = drawn_goals(world, length)
    solution = average_values(world, goals, tolerance=1e-12).check()
    assert abs(solution.values - goals.mean(axis=0)).max() <= 1e-12


def test_a_chance_that_is_the_same_in_every_state_is_worth_the_mean():
    """A chain that is at rest at once: no state is nearer to any other."""
    world = world_from_arrays(np.full((1, 20, 20), 1 / 20))
    goals = drawn_goals(world, 3, 40)
    assert abs(average_values(world, goals).values - goals.mean(axis=0)).max() <= 1e-6


def test_ends_that_cannot_be_left_or_reached_keep_their_own_worth():
    world = world_from_rows(
        [
            [("on", {1: 0.5, 2: 0.5}), ("again", {0: 1 - 1e-9, 3: 1e-9})],
            [("stay", {1: 1.0})],
            [("stay", {2: 1.0})],
            [("stay", {3: 1.0})],
            [("out of nowhere", {0: 1.0})],
        ]
    )
    goals = np.array([[9.0, 9], [0, 1], [1, 1], [0.4, 1.1], [7, 7]])
    values = average_values(world, goals).check().values
    exact = np.array([[0.5, 1.1], [0, 1], [1, 1], [0.4, 1.1], [0.5, 1.1]])
    assert abs(values - exact).max() <= 1e-6


def test_the_gambler_who_must_go_on_is_ruined_at_the_known_rate():
    """P(n before 0 from i) = i / n, fair odds (Feller 1968, XIV.2)."""
    n = 30
    steps = [[("bet", {s - 1: 0.5, s + 1: 0.5})] for s in range(1, n)]
    world = world_from_rows([[("end", {0: 1.0})], *steps, [("end", {n: 1.0})]])
    values = average_values(world, np.eye(n + 1)[:, [n]], tolerance=1e-9).check().values[:, 0]
    assert abs(values - np.arange(n + 1) / n).max() <= 1e-9


@pytest.mark.parametrize("states", [30, 600])
def test_a_walk_that_mixes_slowly_is_settled_by_evaluating_policies(states):
    """Birth and death at 2 to 1 in the first half: P(s) by detailed balance."""
    up = np.where(np.arange(states) < states // 2, 0.5, 0.4)
    rows = [
        [("on", {max(s - 1, 0): 1 - up[s], min(s + 1, states - 1): up[s]})] for s in range(states)
    ]
    world, goals = world_from_rows(rows), drawn_goals(world_from_rows(rows), 1, 3)
    share = np.concatenate([[1.0], np.cumprod(up[:-1] / (1 - up[1:]))])
    solution = average_values(world, goals, tolerance=1e-8).check()
    assert abs(solution.values - share / share.sum() @ goals).max() <= 1e-8


def test_chances_as_small_as_a_millionth_keep_the_bound():
    """Two states that each leaves for the other hardly ever: p / (p + q) of the time."""
    p, q = 1e-6, 3e-6
    world = world_from_rows([[("on", {0: 1 - p, 1: p})], [("on", {1: 1 - q, 0: q})]])
    solution = average_values(world, np.eye(2)).check()
    assert (abs(solution.values - [[0.75, 0.25]] * 2) <= solution.bound).all()


def test_running_out_of_sweeps_is_said_and_the_bound_still_holds(monkeypatch):
    monkeypatch.setattr(gains, "SWEEPS", 2)
    monkeypatch.setattr(gains, "NEAR", 0.5)
    monkeypatch.setattr(gains, "POLICIES", 0)
    world = world_from_arrays(np.random.default_rng(0).dirichlet(np.full(5, 0.3), size=(1, 5)))
    goals = drawn_goals(world, 0)
    solution = average_values(world, goals)
    assert set(solution.status) == {Status.SWEEPS_EXHAUSTED}
    assert (abs(solution.values - best_average(world, goals)) <= solution.bound).all()


def test_where_no_bound_on_the_steps_is_found_the_range_of_the_ends_is_one(monkeypatch):
    monkeypatch.setattr(average, "_most_steps", lambda _layout: np.inf)
    ends = [[("stay", {s: 1.0})] for s in (1, 2)]
    world = world_from_rows([[("on", {0: 0.5, 1: 0.25, 2: 0.25})], *ends])
    goals = np.array([[0, 0], [0.25, 1], [0.5, 1]])
    solution = average_values(world, goals)
    assert solution.status == (Status.SWEEPS_EXHAUSTED, Status.CONVERGED)
    assert (abs(solution.values[0] - [0.375, 1]) <= solution.bound).all()
    assert solution.bound[0] == pytest.approx(0.25)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=name)
@quick
@given(seed=SEEDS)
def test_renaming_states_permutes_values(kind, seed):
    world = kind(seed)
    order = np.random.default_rng(seed).permutation(world.states)
    goals = drawn_goals(world, seed)
    first, again = average_values(world, goals), average_values(renamed(world, order), goals)
    assert (abs(first.values[order] - again.values) <= first.bound + again.bound).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=name)
@quick
@given(seed=SEEDS, factor=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_an_affine_change_of_utilities_changes_values_alike(kind, seed, factor, shift):
    world = kind(seed)
    goals = drawn_goals(world, seed)
    one, other = average_values(world, goals), average_values(world, factor * goals + shift)
    off = abs(factor * one.values + shift - other.values)
    assert (off <= factor * one.bound + other.bound + 1e-15 * (factor + 10)).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=name)
@quick
@given(seed=SEEDS)
def test_adding_an_action_never_lowers_a_value(kind, seed):
    world = kind(seed)
    goals = drawn_goals(world, seed)
    full = average_values(world, goals)
    less = average_values(world, goals, available=random_mask(world, seed))
    assert (less.values <= full.values + full.bound + less.bound).all()


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_a_batch_of_goals_equals_its_members(kind):
    world = kind(7)
    goals = drawn_goals(world, 7, 70)
    together = average_values(world, goals)
    for goal in (0, 31, 32, 69):
        alone = average_values(world, goals[:, [goal]])
        off = abs(together.values[:, [goal]] - alone.values).max()
        assert off <= together.bound[goal] + alone.bound[0]


@pytest.mark.parametrize("kind", KINDS, ids=name)
def test_utilities_of_any_scale_are_solved_alike(kind):
    world = kind(11)
    goals = drawn_goals(world, 11)
    exact = best_average(world, goals)
    for scale in (1e-300, 1e-12, 1e12, 1e300):
        solution = average_values(world, scale * goals, tolerance=1e-9 * scale).check()
        assert abs(solution.values / scale - exact).max() <= 2e-9
    mixed = average_values(world, goals * [1e12, 1e-12, 1, 1, 1]).check()
    assert (abs(mixed.values - exact * [1e12, 1e-12, 1, 1, 1]) <= mixed.bound).all()
    assert mixed.bound[0] <= 1e6
    assert (mixed.bound[1:] <= 1e-6).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_goal_that_is_not_finite_does_not_stop_the_others(bad):
    world = layered(4)
    goals = drawn_goals(world, 4, 3)
    goals[1, 1] = bad
    solution = average_values(world, goals)
    assert solution.status == (Status.CONVERGED, Status.NOT_FINITE, Status.CONVERGED)
    assert np.isnan(solution.values[:, 1]).all()
    assert abs(solution.values[:, [0]] - best_average(world, goals[:, [0]])).max() <= 1e-6
    with pytest.raises(NotSolvedError, match=r"goal 1 must be solved .* got bound inf"):
        solution.check()
    assert average_row_values(world, goals, state=0).status == solution.status


def test_progress_is_told_to_the_last_goal(monkeypatch):
    monkeypatch.setattr(average, "MOST_GOALS", 4)
    world, told = layered(0), []
    goals = drawn_goals(world, 0, 10)
    solution = average_values(world, goals, progress=lambda *done: told.append(done))
    assert told == [(4, 10), (8, 10), (10, 10)]
    assert abs(solution.values - best_average(world, goals)).max() <= 1e-6


def test_no_goals_have_no_values():
    solution = average_values(layered(1), np.zeros((4, 0)))
    assert (solution.values.shape, solution.status) == ((5, 0), ())


@pytest.mark.parametrize("tolerance", [0, -1e-6, float("inf"), float("nan")])
def test_a_tolerance_out_of_range_is_named(tolerance):
    with pytest.raises(DiscountError, match="tolerance must be positive and finite, got"):
        average_values(layered(0), drawn_goals(layered(0), 0), tolerance=tolerance)


def test_a_state_left_without_rows_is_named():
    world = layered(0)
    with pytest.raises(WorldError, match="state 3 must keep a row that is available"):
        average_values(world, drawn_goals(world, 0), available=world.row_state != 3)


def test_goals_of_another_shape_are_refused():
    with pytest.raises(WorldError, match=r"goals must have the shape \[4, G\].*got \[3, 2\]"):
        average_values(layered(0), np.zeros((3, 2)))


@pytest.mark.parametrize("state", [-1, 5])
def test_rows_of_a_state_that_is_none_are_refused(state):
    with pytest.raises(WorldError, match=r"state must lie in 0\.\.4, got"):
        average_row_values(layered(0), drawn_goals(layered(0), 0), state=state)
