"""Countermeasures: the laws that each is known by, and what each leaves."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import DiscountError, WorldError
from corrigible.policies import countermeasures as agents
from corrigible.policies import planners
from corrigible.policies.assistance import uncertain, with_answers
from corrigible.policies.follow import chances, returns, visits
from corrigible.policies.part import both, plan
from corrigible.policies.pretend import unpressed_states, waiting_stop
from corrigible.policies.values import row_worths
from policies.small_problems import button_problem, grid_problem

pytestmark = pytest.mark.slow

STRENGTHS = (0.0, 0.5, 5.0, 500.0)
BASELINES = ("stepwise", "start", "inaction")
RATES = st.floats(0.01, 0.6)


def breaks(policy, steps=30):
    """The chance that the button is broken within a run."""
    return chances(policy, policy.world.serves, steps=steps)[0, 0]


def worth(policy):
    return returns(policy).values[policy.world.initial, 0]


def waits(policy):
    """Whether it does nothing wherever it may choose."""
    often = visits(policy, steps=20)
    return often[:, policy.problem.waiting].sum() == pytest.approx(often.sum())


def test_a_plain_optimal_agent_breaks_the_button():
    """That is what the countermeasures are tried against."""
    assert breaks(planners.optimal(button_problem())) > 0.9


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("make", [agents.aup_part, agents.relative_reachability_part])
def test_without_strength_a_penalty_changes_nothing(make, baseline):
    """At lambda 0 the agent is optimal."""
    problem = button_problem()
    policy = plan(problem, make(problem, 0.0, baseline=baseline, steps=5))
    assert worth(policy) == pytest.approx(worth(planners.optimal(problem)), abs=1e-9)


@pytest.mark.parametrize("make", [agents.aup, agents.relative_reachability])
def test_with_all_strength_a_stepwise_penalty_leaves_nothing_but_waiting(make):
    """Doing nothing deviates from doing nothing by nothing: that much is always free."""
    assert waits(make(button_problem(), 1e6))


def test_stepwise_penalties_are_0_for_the_noop_and_positive_for_breaking():
    """Breaking the button makes more attainable, so it deviates."""
    problem = button_problem()
    cost = agents.aup_part(problem, 1.0).cost
    breaking = (problem.world.serves > 0) & problem.usable
    breaking &= (problem.world.levels[:, 1] == 0)[problem.world.row_state]
    assert np.abs(cost[problem.waiting]).max() == 0.0
    assert cost[breaking].min() > 0.01


def test_value_falls_as_the_penalty_grows():
    """The world's own return of the agent under a heavier penalty is never larger."""
    problem = button_problem()
    found = [worth(agents.aup(problem, strength)) for strength in STRENGTHS]
    assert all(a >= b - 1e-9 for a, b in pairwise(found))
    assert found[0] > found[-1] + 0.1


def test_the_inaction_baseline_moves_step_by_step():
    """Its costs differ while the baseline moves, and it says that it then stands still."""
    problem = replace(button_problem(), goals=np.array([[0.0], [1.0]]))
    part = agents.aup_part(problem, 1.0, baseline="inaction", steps=8)
    policy = plan(problem, part)
    assert part.cost_by_step.shape == (8, len(problem.world.action))
    assert policy.steps == 8
    assert "stands still after 8 steps" in policy.approximates


def test_auxiliary_goals_are_a_function_of_the_seed():
    """Over states or over outcomes; another seed, other goals."""
    problem = button_problem()
    for over, lines in (("states", problem.world.states), ("outcomes", 2)):
        one, again, other = (
            agents.auxiliary_goals(problem, count=5, seed=seed, over=over) for seed in (1, 1, 2)
        )
        assert one.goals.shape == (lines, 5)
        assert np.array_equal(one.values.values, again.values.values)
        assert not np.array_equal(one.goals, other.goals)


@settings(max_examples=20)
@given(RATES, st.sampled_from([0.3, 0.7]))
def test_an_indifferent_agents_own_value_does_not_hang_on_the_button(rate, drift):
    """Its value, as it sees it, is that of a world without presses (Soares et al. 2015)."""
    seen = button_problem(rate, drift=drift)
    pretended = agents.indifference_part("stop").pretend(seen)
    never = button_problem(0.0, drift=drift)
    own = row_worths(replace(seen, world=pretended)).values[seen.world.initial]
    assert own == pytest.approx(row_worths(never).values[never.world.initial], abs=1e-8)


@settings(max_examples=20)
@given(RATES)
def test_an_indifferent_agent_lets_itself_be_stopped(rate):
    """It gains nothing by breaking the button, so it does not, and works on."""
    policy = agents.indifferent(button_problem(rate))
    assert breaks(policy) == 0.0
    assert not waits(policy)


def test_partial_compensation_does_not_suffice():
    """What of the loss is not made good is still worth preventing."""
    assert breaks(agents.indifferent(button_problem(), share=0.9)) > 0.5


@settings(max_examples=20)
@given(RATES)
def test_preferences_between_runs_of_one_length_leave_the_button_alone(rate):
    """Stops come with one chance whatever is done, so breaking the button wins no time."""
    policy = agents.post(button_problem(rate))
    assert breaks(policy) == 0.0
    assert "step by step" in policy.approximates


def test_the_chance_of_a_stop_while_waiting_is_read_off_the_world():
    """It is what runs are taken to end with."""
    assert waiting_stop(button_problem(0.35)) == pytest.approx(0.35)


def test_a_pressed_state_is_undone_by_its_levels():
    """Stopped states go to the running one with the same levels, running ones stay."""
    world = button_problem().world
    to = unpressed_states(world, "stop")
    assert (world.phase[to] == 0).all()
    assert np.array_equal(world.levels[to], world.levels)
    with pytest.raises(WorldError, match="press must be one of"):
        unpressed_states(world, "button")
    bare = replace(world, variables=(), levels=np.zeros((world.states, 0)))
    with pytest.raises(WorldError, match="variables"):
        unpressed_states(bare)


def test_a_penalty_on_the_act_removes_it_once_it_outweighs_the_gain():
    """Too little leaves it, enough removes it, and the work goes on."""
    problem = button_problem()
    assert breaks(agents.penalised(problem, 0.01, 1)) > 0.9
    assert breaks(agents.penalised(problem, 100.0, 1)) == 0.0
    assert not waits(agents.penalised(problem, 1e6, 1))


def test_a_penalty_that_nobody_sees_changes_nothing():
    """Training cannot punish what it does not recognise."""
    problem = button_problem()
    part = agents.penalty_part(problem, 1e6, 1, seen=np.zeros(len(problem.world.action)))
    assert breaks(plan(problem, part)) > 0.9


def test_approval_holds_at_one_step_and_not_at_forty():
    """Myopic optimisation of an overseer's approval; the longer it looks, the less it counts."""
    problem = button_problem()
    overseer = planners.compliant(problem)
    part = agents.mona_part(problem, overseer, 1, disapproved=problem.world.serves > 0)
    assert breaks(plan(problem, part)) == 0.0
    assert not waits(plan(problem, part))
    far = agents.mona_part(problem, overseer, 40, weight=0.01)
    assert breaks(plan(problem, far)) > 0.5


def test_an_overseer_of_another_world_is_refused():
    """Approval is of rows, and rows are of one world."""
    with pytest.raises(WorldError, match="same world"):
        agents.mona(button_problem(), planners.random(grid_problem()))


def test_certain_of_its_goal_an_assistant_is_optimal():
    """With one goal there is nothing to ask."""
    problem = button_problem()
    assert worth(uncertain(problem, 0.5)) == pytest.approx(worth(planners.optimal(problem)))


def test_an_assistant_that_is_always_answered_asks_first():
    """Two goals at odds, a chance of 1 of an answer: one step of waiting, then the right way."""
    problem = replace(
        button_problem(0.0), goals=np.array([[0.0, 1.0], [1.0, 0.0]]), rank=None, noop="wait"
    )
    policy = uncertain(problem, 1.0)
    first = policy.rows()[:, 0, policy.world.initial]
    assert set(policy.world.action[first]) == {0}
    assert policy.world.variables[-1] == "(told)"


def test_answers_never_lower_what_an_assistant_is_worth_on_average():
    """It may ignore them."""
    problem = grid_problem(3)
    mean = [returns(uncertain(problem, a)).values[0].mean() for a in (0.0, 0.3, 1.0)]
    assert mean[0] <= mean[1] + 1e-9 <= mean[2] + 2e-9


def test_the_world_with_a_memory_moves_as_the_plain_one():
    """Whether told or not, the same rows lead to the same states, the memory aside."""
    problem = button_problem()
    told = with_answers(problem, 0.4).problem
    both_halves = returns(planners.random(told)).values
    plain = returns(planners.random(problem)).values
    assert np.allclose(both_halves, np.vstack([plain, plain]))


def test_a_pair_does_what_both_do():
    """A penalty that alone is too small, and looking a few steps ahead."""
    problem = button_problem()
    pair = both(agents.penalty_part(problem, 0.1, 1), planners.myopic_part(4))
    alone = plan(problem, agents.penalty_part(problem, 0.1, 1)), planners.myopic(problem, 4)
    assert all(breaks(policy) > 0.5 for policy in alone)
    assert pair.name == "countermeasure/penalty + planner/myopic"
    assert breaks(plan(problem, pair)) == 0.0
    added = both(agents.penalty_part(problem, 1.0, 1), agents.aup_part(problem, 1.0))
    alone = agents.aup_part(problem, 1.0).cost + (problem.world.serves > 0)
    assert np.allclose(added.cost.ravel(), alone)


def test_parts_that_contradict_each_other_are_no_pair():
    """Both say how far to look, or both how rows are picked."""
    with pytest.raises(WorldError, match="steps"):
        both(planners.myopic_part(2), planners.discounting_part(3))
    with pytest.raises(WorldError, match="rule"):
        both(planners.boltzmann_part(1), planners.satisficer_part(0.5))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: agents.aup(p, -1),
        lambda p: agents.penalised(p, -1, 1),
        lambda p: agents.indifferent(p, share=2),
        lambda p: agents.post(p, share=-1),
        lambda p: uncertain(p, 2),
    ],
)
def test_a_strength_out_of_its_range_is_refused(make):
    """The message says the range and what came."""
    with pytest.raises(DiscountError, match="got"):
        make(button_problem())


def test_a_problem_without_a_noop_has_nothing_to_compare_with():
    """The message says what to give."""
    with pytest.raises(WorldError, match="noop must be given"):
        agents.aup(replace(button_problem(), noop=None))
