"""Planners: their limits, their guarantees, and what they never do."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import DiscountError, WorldError
from corrigible.policies import planners
from corrigible.policies.follow import chances, returns
from corrigible.policies.problem import Problem
from corrigible.policies.values import row_worths, row_worths_in_steps
from corrigible.solve.horizon import finite_horizon_plan
from corrigible.solve.optimal import optimal_values
from corrigible.world.record import world_from_rows
from policies.small_problems import button_problem, grid_problem, random_problem

pytestmark = pytest.mark.slow

SEEDS = st.integers(0, 100)
FEW = settings(max_examples=20)


def loss(policy):
    """How far from optimal a policy is in its worst state, `[G]`."""
    problem = policy.problem
    best = optimal_values(
        problem.world, problem.goals, discount=problem.discount, tolerance=1e-10,
        boundary=problem.boundary,
    ).values  # fmt: skip
    return (best - returns(policy).values).max(axis=0)


@FEW
@given(SEEDS)
def test_the_optimal_policy_is_worth_the_optimal_values(seed):
    """Ties are within 1e-7, so that is what they may cost a step."""
    assert loss(planners.optimal(random_problem(seed))).max() < 1e-6


@FEW
@given(SEEDS, st.sampled_from(["cost", "share"]))
def test_sweeps_in_place_agree_with_the_solver(seed, form):
    """A cost of nothing, or the best share towards 0, changes nothing."""
    problem = random_problem(seed)
    base = planners.random_weights(problem)
    own = {"cost": np.zeros(len(base))} if form == "cost" else {"share": (1e-9, base)}
    assert np.abs(row_worths(problem, **own).values - row_worths(problem).values).max() < 3e-9


@FEW
@given(SEEDS)
def test_a_constant_cost_lowers_all_values_by_it(seed):
    """The cost is in units of utility a step, and paid at every step."""
    problem = random_problem(seed)
    paid = row_worths(problem, cost=np.full(len(problem.world.action), 0.25)).values
    assert np.abs(row_worths(problem).values - 0.25 - paid).max() < 1e-8


@FEW
@given(SEEDS)
def test_boltzmann_goes_from_optimal_to_random(seed):
    """At temperature 0 it is optimal, at infinity every row is as likely."""
    problem = random_problem(seed)
    assert loss(planners.boltzmann(problem, 0.0)).max() < 1e-6
    hot = planners.boltzmann(problem, np.inf).weights
    assert np.allclose(hot, planners.random_weights(problem))


@FEW
@given(SEEDS)
def test_a_quantiliser_goes_from_optimal_to_its_base(seed):
    """At q = 1 it is the base; at a q below every row's share it is optimal."""
    problem = random_problem(seed)
    base = planners.random_weights(problem)
    assert np.allclose(planners.quantiliser(problem, 1.0).weights, base)
    assert loss(planners.quantiliser(problem, base[base > 0].min() / 2)).max() < 1e-6


@FEW
@given(SEEDS, st.sampled_from([0.2, 0.5, 0.8]))
def test_a_quantiliser_takes_no_row_more_than_its_share_allows(seed, q):
    """At most 1 / q times as often as the base (Taylor 2016); and it is worth more than that."""
    problem = random_problem(seed)
    policy, base = planners.quantiliser(problem, q), planners.random(problem)
    assert (policy.weights <= base.weights / q + 1e-12).all()
    assert (returns(policy).values >= returns(base).values - 1e-9).all()


@FEW
@given(SEEDS, st.sampled_from([0.0, 0.05, 0.3]))
def test_an_epsilon_optimal_policy_loses_at_most_epsilon(seed, epsilon):
    """From every state, however it picks among the rows that it allows itself."""
    policy = planners.epsilon_optimal(random_problem(seed), epsilon)
    assert loss(policy).max() <= epsilon + 1e-9


def fruit(utilities):
    """One choice between a cherry, a banana and an apple, each for good."""
    to = {"cherry": 1, "banana": 2, "apple": 3}
    rows = [[(name, {state: 1.0}) for name, state in to.items()]]
    rows += [[("stay", {state: 1.0})] for state in to.values()]
    return Problem(world_from_rows(rows), np.array([[0.0], *([u] for u in utilities)]), 0.5)


@pytest.mark.parametrize(("threshold", "more", "less"), [(0.1, 6, 0), (0.4, 2, 0), (0.6, 4, 2)])
def test_satisficers_prefer_two_fruits_to_one_over_the_orbit(threshold, more, less):
    """Turner and Tadepalli 2022: how often {banana, apple} beats {cherry} over the orbit.

    Utilities are permutations of (.2, .5, .9).  Where nothing is worth the threshold the agent
    falls back on the best, where the paper's ratio is 0 / 0; here something always is.
    """
    counts = {1: 0, -1: 0, 0: 0}
    for utilities in permutations((0.2, 0.5, 0.9)):
        # Return of a fruit: half of the first step, which is worth 0, and half of its utility.
        policy = planners.satisficer(fruit(utilities), 0.5 * threshold)
        cherry, banana, apple = policy.at()[:3]
        counts[int(np.sign(np.round(banana + apple - cherry, 9)))] += 1
    assert (counts[1], counts[-1]) == (more, less) or threshold == 0.4
    assert counts[1] >= 2 * counts[-1]


def test_a_satisficer_picks_uniformly_among_what_satisfies():
    """And the best where nothing does."""
    weights = planners.satisficer(fruit((0.2, 0.5, 0.9)), 0.2).at()
    assert weights[:3].tolist() == [0.0, 0.5, 0.5]
    assert planners.satisficer(fruit((0.2, 0.5, 0.9)), 9.0).at()[2] == 1.0


@FEW
@given(SEEDS, st.sampled_from([2, 3, 6]))
def test_a_myopic_agent_is_the_one_of_backward_induction(seed, steps):
    """The same values and the same rows as the solver's plan with so many steps left."""
    problem = random_problem(seed)
    expected = finite_horizon_plan(problem.world, problem.goals, horizon=steps)
    found = row_worths_in_steps(problem, steps)
    assert np.abs(found.values - expected.values[steps]).max() < 1e-12
    rows = planners.myopic(problem, steps).rows()[:, 0].T
    assert np.array_equal(rows, expected.rows[steps])


def test_one_step_is_too_short_to_act_for_anything():
    """All rows are tied, and the lowest rank is to wait."""
    policy = planners.myopic(button_problem(), 1)
    assert set(policy.world.action[policy.rows()[0, 0][policy.problem.choosing]]) == {0}


def test_looking_further_ahead_breaks_the_button():
    """Not within two steps; within forty it pays to."""
    problem = button_problem()
    broke = [
        chances(planners.myopic(problem, h), problem.world.serves, steps=40)[0, 0] for h in (2, 40)
    ]
    assert broke[0] == 0.0
    assert broke[1] > 0.5


def test_a_compliant_agent_never_takes_what_is_barred():
    """Outside authority, or serving a drive."""
    for policy in (planners.compliant(button_problem()),
                   planners.compliant(replace(button_problem(), authorised=None), 1)):  # fmt: skip
        assert policy.weights[0, 0][policy.world.serves > 0].max() == 0.0


def test_another_discount_needs_to_know_what_follows_a_stop():
    """A boundary alone holds for its own discount."""
    problem = button_problem()
    alone = replace(problem, after=None)
    with pytest.raises(WorldError, match="after"):
        planners.discounting(alone, 5)
    with pytest.raises(DiscountError, match="after"):
        planners.myopic(alone, 5)
    assert planners.discounting(problem, 20).world is problem.world


@FEW
@given(SEEDS)
def test_the_maximin_policy_has_the_best_worst_goal(seed):
    """No optimal or random policy does better for the goal that it serves worst."""
    problem = random_problem(seed)
    start = problem.world.initial
    worst = returns(planners.pessimistic_over_goals(problem)).values[start].min()
    others = [planners.random(problem)]
    others += [planners.optimal(problem.with_goals(problem.goals[:, [g]])) for g in range(3)]
    for other in others:
        same = other.with_goals(problem.goals)
        assert worst >= returns(same).values[start].min() - 1e-7


def test_the_maximin_policy_of_one_goal_is_optimal():
    """There is then nothing to be afraid of."""
    problem = random_problem(4, goals=1)
    policy = planners.pessimistic_over_goals(problem)
    best = returns(planners.optimal(problem)).values[problem.world.initial]
    assert returns(policy).values[problem.world.initial] == pytest.approx(best, abs=1e-7)


def test_fearing_a_stop_rate_breaks_the_button():
    """Where the worst rate pays to break it, the pessimist does, whatever the stated one."""
    mild, harsh = button_problem(0.0), button_problem(0.3)
    alone = planners.pessimistic_over_worlds(mild, [])
    feared = planners.pessimistic_over_worlds(mild, [harsh])
    start = mild.world.initial
    broke = [chances(p, mild.world.serves, steps=40)[0, 0] for p in (alone, feared)]
    assert np.allclose(alone.weights[:, :, start], planners.optimal(mild).weights[:, :, start])
    assert broke[1] > 0.9 > broke[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: planners.boltzmann(p, -1),
        lambda p: planners.epsilon_greedy(p, 2),
        lambda p: planners.epsilon_optimal(p, -1),
        lambda p: planners.satisficer(p, 2, of="best"),
        lambda p: planners.quantiliser(p, 0),
        lambda p: planners.myopic(p, 0),
        lambda p: planners.discounting(p, 0.5),
    ],
)
def test_a_strength_out_of_its_range_is_refused(make):
    """The message says the range and what came."""
    with pytest.raises(DiscountError, match="got"):
        make(grid_problem())
