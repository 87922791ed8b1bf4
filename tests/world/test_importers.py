"""Worlds brought from elsewhere: the same rows, whatever form they came in."""

import gymnasium
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from corrigible.errors import WorldError
from corrigible.solve.oracle import dense_rows
from corrigible.world.importers import (
    world_from_gymnasium,
    world_from_networkx,
    world_from_sparse,
    world_from_state_actions,
)
from corrigible.world.record import world_from_arrays

FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
HALVES = [[0.5, 0.5], [0.0, 1.0]]


def random_dense(seed, states=7, actions=3):
    """Transitions `[A, S, S]` with many zeros, and actions that some states lack."""
    rng = np.random.default_rng(seed)
    weights = rng.random((actions, states, states)) * (rng.random((actions, states, states)) < 0.4)
    weights[:, np.arange(states), rng.integers(states, size=states)] += 0.1
    dense = weights / weights.sum(axis=2, keepdims=True)
    dense[1:] *= rng.random((actions - 1, states, 1)) < 0.6
    return dense


def pairs_of(dense):
    """The same as state-action pairs: moves `[R, S]`, states `[R]`, actions `[R]`."""
    state, action = np.nonzero(dense.any(axis=2).T)
    return dense[action, state], state, action


class Listed:
    """As much of an environment as the importer reads."""

    def __init__(self, table, starts=None) -> None:
        self.unwrapped = self
        self.P = table
        if starts is not None:
            self.initial_state_distrib = np.array(starts)


def made(name, slippery=None):
    options = {} if slippery is None else {"is_slippery": slippery}
    env = gymnasium.make(name, **options)
    env.close()
    return env


def taxi():
    """The newest Taxi that this gymnasium makes."""
    versions = [spec.id for spec in gymnasium.registry.values() if spec.name == "Taxi"]
    return made(max(versions))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), form=st.sampled_from(FORMATS), array=st.booleans())
def test_sparse_transitions_make_the_world_of_the_dense_ones(seed, form, array):
    dense, kind = random_dense(seed), sparse.coo_array if array else sparse.coo_matrix
    outcome = np.arange(7) % 3
    world = world_from_sparse([kind(m).asformat(form) for m in dense], outcome=outcome, initial=2)
    assert world.digest() == world_from_arrays(dense, outcome=outcome, initial=2).digest()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.randoms(use_true_random=False))
def test_pairs_make_the_same_world_in_any_order(seed, order):
    dense = random_dense(seed)
    moves, state, action = pairs_of(dense)
    shuffled = list(range(len(state)))
    order.shuffle(shuffled)
    world = world_from_state_actions(
        sparse.csc_array(moves[shuffled]),
        state[shuffled],
        action[shuffled],
        action_names=["action 0", "action 1", "action 2"],
    )
    assert world.digest() == world_from_arrays(dense).digest()


def test_pairs_may_be_dense():
    moves, state, action = pairs_of(random_dense(0))
    world = world_from_state_actions(moves, state, action)
    assert world.digest() == world_from_arrays(random_dense(0)).digest()


def test_explicit_zeros_are_no_successors_and_no_actions():
    held = sparse.csr_array(([1.0, 0.0, 0.0], ([0, 0, 1], [0, 1, 0])), shape=(2, 2))
    world = world_from_sparse([sparse.eye_array(2), held])
    assert (len(world.action), world.transitions) == (3, 3)
    assert held.nnz == 3  # the caller's matrix is as it was


def test_entries_for_the_same_place_are_added_up():
    twice = sparse.coo_array(([0.5, 0.5], ([0, 0], [0, 0])), shape=(1, 1))
    assert world_from_sparse([twice]).probability.tolist() == [1.0]


def test_many_states_are_taken_without_a_loop_over_them():
    """A loop in Python over these would take minutes on a slow machine."""
    states = 200_000
    ring = sparse.coo_array(
        (np.ones(states), (np.arange(states), (np.arange(states) + 1) % states))
    )
    world = world_from_sparse([ring, sparse.eye_array(states)])
    assert (world.states, len(world.action)) == (states, 2 * states)


@pytest.mark.parametrize(
    ("transitions", "message"),
    [
        (sparse.eye_array(2), r"one for each action, got one matrix \[2, 2\]; put it in a list"),
        ([], "at least one matrix"),
        ([np.eye(2)], r"transitions\[0\] must be a scipy sparse matrix, got ndarray"),
        ([sparse.eye_array(2), sparse.eye_array(3)], r"transitions\[1\].*\[2, 2\], got \[3, 3\]"),
        ([sparse.csr_array((2, 3))], r"shape \[3, 3\], got \[2, 3\]"),
        ([sparse.csr_array((2, 2))], "state 0 must have at least one row"),
        ([sparse.csr_array([[1.5, -0.5], [0, 1]])], r"row 0 \(state 0.*positive.*got -0.5"),
        ([sparse.csr_array([[1, 0], [np.nan, 1]])], r"row 1 \(state 1.*positive finite.*got nan"),
        ([sparse.csr_array([[1, 0], [0, 0.9]])], r"row 1 \(state 1, action 'action 0'\) must sum"),
        ([sparse.csr_array([[1j]])], "real matrix of two dimensions"),
    ],
)
def test_sparse_transitions_that_break_a_rule_are_refused(transitions, message):
    with pytest.raises(WorldError, match=message):
        world_from_sparse(transitions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_state": [0, 2]}, r"row_state\[1\] must be a whole number in 0..1, got 2"),
        ({"row_state": [0, 0.5]}, r"row_state\[1\] must be a whole number in 0..1, got 0.5"),
        ({"row_state": [0]}, "one entry for each of the 2 rows of moves, got 1"),
        ({"action": [0, -1]}, r"action\[1\] must be a whole number .* got -1"),
        ({"action": [0, np.nan]}, r"action\[1\] must be a whole number .* got nan"),
        ({"action": ["go", "stay"]}, "action must be one row of whole numbers"),
        ({"row_state": [1, 1]}, "state 1 must have action 0 once, got rows 0 and 1 of moves"),
        ({"moves": [[0.5, 0.5], [0, 0]]}, r"moves\[1\] \(state 1, action 0\) must have a succ"),
        ({"moves": "nonsense"}, "moves must be numbers"),
        ({"outcome": [0, -2]}, r"outcome\[1\] must be a whole number .* got -2"),
        ({"outcome": [0]}, r"outcome must have the shape \[2\], got \[1\]"),
        ({"initial": 2}, "initial must lie in 0..1, got 2"),
    ],
)
def test_pairs_that_break_a_rule_are_refused(change, message):
    given_ = {"moves": HALVES, "row_state": [0, 1], "action": [0, 0]} | change
    with pytest.raises(WorldError, match=message):
        world_from_state_actions(**given_)


@pytest.mark.parametrize("slippery", [False, True])
def test_frozen_lake_keeps_its_states_and_ends_in_its_holes(slippery):
    env = made("FrozenLake-v1", slippery)
    world = world_from_gymnasium(env, action_names=["left", "down", "right", "up"])
    dense = dense_rows(world)
    assert (world.states, len(world.action), world.initial) == (16, 64, 0)
    assert all((dense[world.row_state == end][:, end] == 1).all() for end in (5, 7, 11, 12, 15))
    assert abs(dense[2].max() - (1 / 3 if slippery else 1)) < 1e-12


def test_the_cliff_ends_at_the_goal_though_its_table_goes_on():
    world = world_from_gymnasium(made("CliffWalking-v1"))
    goal = dense_rows(world)[world.row_state == 47]
    assert (world.states, world.initial) == (48, 36)
    assert (goal[:, 47] == 1).all()


def test_a_taxi_drives_on_over_the_rank_where_another_run_ended():
    world = world_from_gymnasium(taxi(), initial=1)
    ends = [f"state {s} (ended)" for s in (0, 85, 410, 475)]
    dense = dense_rows(world)
    assert (world.states, world.outcome_names[500:]) == (504, tuple(ends))
    assert (dense[world.row_state >= 500][:, 500:].sum(axis=1) == 1).all()
    assert dense[world.row_state == 0][:, 0].max() == 1  # a wall: still there, not ended
    assert dense[world.row_state == 16][5, 500] == 1  # dropped off


def test_a_taxi_that_starts_anywhere_needs_to_be_told_where():
    with pytest.raises(WorldError, match=r"always start in one state, got 300 .* `initial=`"):
        world_from_gymnasium(taxi())


def test_blackjack_tells_no_transitions():
    with pytest.raises(WorldError, match=r"BlackjackEnv must tell .*`env.unwrapped.P`, got None"):
        world_from_gymnasium(made("Blackjack-v1"))


def test_a_run_of_the_world_is_one_of_the_environment():
    """Sampled steps of the environment are all possible in the world, ends included."""
    env = taxi()
    world = world_from_gymnasium(env, initial=1)
    dense, number = dense_rows(world), {name: s for s, name in enumerate(world.outcome_names)}
    env.action_space.seed(0)
    state, _ = env.reset(seed=0)
    for _ in range(500):
        action = env.action_space.sample()
        after, _, ended, _, _ = env.step(action)
        name = f"state {after} (ended)" if ended else f"state {after}"
        assert dense[world.rows[state] + action, number[name]] > 0
        state = env.reset()[0] if ended else after


def test_an_ended_copy_shares_its_states_outcome():
    table = {0: {0: [(1, 1, 0, False)]}, 1: {0: [(0.5, 1, 0, True), (0.5, 0, 0, False)]}}
    world = world_from_gymnasium(Listed(table, [1, 0]), outcome=[0, 1])
    assert (world.outcome.tolist(), world.outcome_names) == ([0, 1, 1], ("outcome 0", "outcome 1"))


def test_two_ends_side_by_side_are_no_way_through():
    """What the table lists after an end is never played, so it makes no copy of another end."""
    end = [(1, 1, 0, False)], [(1, 2, 0, False)]
    table = {0: {0: [(0.5, 1, 0, True), (0.5, 2, 0, True)]}, 1: {0: end[1]}, 2: {0: end[0]}}
    world = world_from_gymnasium(Listed(table, [1, 0, 0]))
    assert dense_rows(world)[1:].tolist() == [[0, 1, 0], [0, 0, 1]]


def test_an_end_without_actions_stays_where_it_is():
    table = {0: {1: [(0.25, 1, 0, True), (0.75, 1, 0, True), (0, 0, 0, False)]}, 1: {}}
    world = world_from_gymnasium(Listed(table, [1, 0]))
    assert (world.action.tolist(), world.successor.tolist()) == ([1, 0], [1, 1])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, r"must tell its transitions"),
        ({1: {}}, r"keys of env.unwrapped.P must be 0..0, got 1"),
        ({0: [(1, 0, 0, False)]}, r"P\[0\] must map actions"),
        ({0: {0: [(1, 0, False)]}}, r"P\[0\]\[0\] must list \(prob.*got \(1, 0, False\)"),
        ({0: {0: [(1, 3, 0, False)]}}, r"P\[0\]\[0\] must name a successor in 0..0, got \(1, 3"),
        ({0: {"up": [(1, 0, 0, False)]}}, r"must be actions from 0, got 'up'"),
        ({0: {0: [(0.5, 0, 0, False)]}}, r"row 0 \(state 0, action 'action 0'\) must sum to 1"),
        ({0: {0: []}}, "state 0 must have at least one row"),
    ],
)
def test_tables_of_another_form_are_refused(table, message):
    with pytest.raises(WorldError, match=message):
        world_from_gymnasium(Listed(table, [1]))


def test_edges_are_actions_that_lead_to_their_heads():
    world = world_from_networkx(nx.DiGraph([("hub", "left"), ("hub", "right"), ("left", "hub"),
                                            ("right", "hub")]))  # fmt: skip
    assert world.outcome_names == ("hub", "left", "right")
    assert [world.action_names[a] for a in world.action] == [
        "to left", "to right", "to hub", "to hub",
    ]  # fmt: skip
    assert world.successor.tolist() == [1, 2, 0, 0]


def test_an_undirected_edge_goes_both_ways():
    world = world_from_networkx(nx.path_graph(3), initial=2)
    assert (world.initial, world.successor.tolist()) == (2, [1, 0, 2, 1])


def test_parallel_edges_to_one_head_are_one_action():
    assert len(world_from_networkx(nx.MultiDiGraph([(0, 0), (0, 0)])).action) == 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), multi=st.booleans())
def test_edges_of_one_action_are_one_row(seed, multi):
    """A world written as a graph, each branch an edge or two, comes back as it was."""
    dense = random_dense(seed)
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(range(7))
    for a, s, t in np.argwhere(dense > 0).tolist():
        for _ in range(1 + multi):
            graph.add_edge(s, t, act=f"action {a}", p=dense[a, s, t] / (1 + multi))
    world = world_from_networkx(graph, action="act", probability="p")
    names = [world.action_names[a] for a in world.action]
    rows = dict(
        zip(zip(world.row_state.tolist(), names, strict=True), dense_rows(world), strict=True)
    )
    expected = {(s, f"action {a}"): dense[a, s] for a, s in np.argwhere(dense.any(axis=2)).tolist()}
    assert rows.keys() == expected.keys()
    assert all(np.allclose(rows[key], expected[key], atol=1e-15) for key in rows)


def test_chances_without_actions_make_a_chain():
    graph = nx.DiGraph([("a", "b", {"p": 0.25}), ("a", "a", {"p": 0.75}), ("b", "a", {"p": 1})])
    world = world_from_networkx(graph, probability="p")
    assert (world.action_names, world.action.tolist()) == (("move",), [0, 0])
    assert dense_rows(world).tolist() == [[0.75, 0.25], [1, 0]]


def test_goals_may_care_about_an_attribute_of_the_nodes():
    graph = nx.cycle_graph(3)
    nx.set_node_attributes(graph, {0: "wet", 1: "dry", 2: "wet"}, "ground")
    world = world_from_networkx(graph, outcome="ground")
    assert (world.outcome.tolist(), world.outcome_names) == ([0, 1, 0], ("wet", "dry"))


def test_dead_ends_stay_if_they_may():
    world = world_from_networkx(nx.DiGraph([(0, 1)]), dead_ends="stay")
    assert (world.action_names, world.successor.tolist()) == (("to 1", "stay"), [1, 1])


def test_nodes_that_print_alike_keep_apart():
    graph = nx.DiGraph([(1, "1"), ("1", 1)])
    assert world_from_networkx(graph).outcome_names == ("1", "'1'")


LOOSE = nx.DiGraph([("a", "b", {"act": "go", "p": 0.5}), ("a", "a", {"act": "go", "p": 0.4})])


@pytest.mark.parametrize(
    ("graph", "options", "message"),
    [
        (nx.DiGraph(), {}, "at least one node"),
        (nx.DiGraph([(0, 1)]), {}, "node 1 must have an edge that leaves it, got none; dead_ends="),
        (nx.cycle_graph(3), {"initial": 7}, "initial must be a node of the graph, got 7"),
        (nx.cycle_graph(3), {"dead_ends": "go"}, "must be 'refuse' or 'stay', got 'go'"),
        (nx.cycle_graph(3), {"action": "act"}, r"edge 0 -> 1 must have the attribute 'act', got"),
        (nx.cycle_graph(3), {"outcome": "x"}, r"node 0 must have the attribute 'x', got \[\]"),
        (LOOSE, {"action": "act"}, r"'go' of node 'a' must lead to one node, got \['b', 'a'\]"),
        (
            LOOSE,
            {"probability": "p"},
            "'move' of node 'a' must have chances that sum to 1, got 0.9",
        ),
        (LOOSE, {"probability": "act"}, "'act' of edge 'a' -> 'b' must be a number .* got 'go'"),
    ],
)
def test_graphs_that_break_a_rule_are_refused(graph, options, message):
    with pytest.raises(WorldError, match=message):
        world_from_networkx(graph, **options)
