"""Exports: they come back as they were, and other tools compute the same from them."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import MissingExtraError, WorldError
from corrigible.solve.optimal import optimal_values
from corrigible.world.export import gymnasium_env, load_npz, save_npz, write_drn
from corrigible.world.record import world_from_arrays, world_from_rows


def random_dense_world(seed, states=6, actions=3):
    rng = np.random.default_rng(seed)
    dense = rng.dirichlet(np.ones(states), size=(actions, states))
    dense *= rng.random((actions, states, 1)) < np.array([1, 0.5, 0.5])[:actions, None, None]
    dense[0] = rng.dirichlet(np.ones(states), size=states)
    return world_from_arrays(dense, outcome=np.arange(states) % 3)


def rich_world(seed=0):
    """A world with every optional field in use, and names that need care."""
    world = random_dense_world(seed)
    serves = np.arange(len(world.action)) % 4
    return replace(
        world,
        serves=serves,
        phase=[0, 0, 0, 0, 1, 2],
        drive_names=["power-seeking/délégué", "b"],
        variables=["x", "y"],
        levels=np.arange(12).reshape(6, 2) - 4,
        initial=3,
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_saving_then_loading_is_the_identity(seed, tmp_path_factory):
    world, path = rich_world(seed), tmp_path_factory.mktemp("npz") / "world"
    save_npz(world, path)
    loaded = load_npz(path)
    assert loaded.digest() == world.digest()
    assert (loaded.variables, loaded.initial) == (world.variables, world.initial)


def test_a_world_without_drives_or_variables_comes_back_too(tmp_path):
    world = world_from_rows([[("stay", {0: 1.0})]])
    save_npz(world, tmp_path / "w.npz")
    assert load_npz(tmp_path / "w.npz").digest() == world.digest()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x05\x06" + bytes(18)])
def test_a_file_that_holds_no_world_is_refused(tmp_path, content):
    path = tmp_path / "w.npz"
    path.write_bytes(content)
    with pytest.raises(WorldError, match=r"w\.npz must be a world written by save_npz, got"):
        load_npz(path)


def test_a_pickle_is_never_loaded(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, rows=np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(WorldError, match="must be a world written by save_npz"):
        load_npz(path)


def test_a_later_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("corrigible.world.export.FORMAT", 2)
    save_npz(rich_world(), tmp_path / "w.npz")
    monkeypatch.undo()
    with pytest.raises(WorldError, match="must be written in format 1, got 2"):
        load_npz(tmp_path / "w.npz")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_storm_computes_the_same_values(seed, tmp_path):
    stormpy = pytest.importorskip("stormpy", reason="stormpy has no wheel for this platform")
    world, discount = random_dense_world(seed), 0.95
    goals = np.random.default_rng(seed).random((world.outcomes, 2))
    write_drn(world, tmp_path / "w.drn", goals)
    model = stormpy.build_model_from_drn(str(tmp_path / "w.drn"))
    solution = optimal_values(world, goals, discount=discount)
    for goal in range(2):
        formula = f'R{{"goal{goal}"}}max=? [Cdiscount={discount}]'
        found = stormpy.model_checking(model, stormpy.parse_properties(formula)[0])
        values = np.array(found.get_value_vector())
        assert abs((1 - discount) * values - solution.values[:, goal]).max() <= 2e-6


def test_a_world_with_corrected_states_is_not_written_for_storm(tmp_path):
    with pytest.raises(WorldError, match=r"without corrected states, got 1 \(the first: state 5\)"):
        write_drn(rich_world(), tmp_path / "w.drn", np.ones((3, 1)))


def test_drn_names_each_state_row_and_reward(tmp_path):
    world = world_from_rows([[("go", {1: 0.5, 0: 0.5})], [("stay", {1: 1.0})]], initial=1)
    write_drn(world, tmp_path / "w.drn", [0.25, 1])
    text = (tmp_path / "w.drn").read_text().split("@model\n")[1]
    expected = "state 0 [0.25]\n\taction 0\n\t\t0 : 0.5\n\t\t1 : 0.5\n"
    assert text == expected + "state 1 [1.0] init\n\taction 0\n\t\t1 : 1.0\n"


@pytest.mark.parametrize(
    ("utilities", "message"),
    [(np.ones((2, 1)), r"shape \[3, G\], got \[2, 1\]"), ([1, np.nan, 0], r"\[1, 0\] must be fin")],
)
def test_utilities_that_do_not_fit_are_not_written(tmp_path, utilities, message):
    with pytest.raises(WorldError, match=message):
        write_drn(random_dense_world(0), tmp_path / "w.drn", utilities)


def test_gymnasium_accepts_the_environment():
    check_env(gymnasium_env(random_dense_world(0), [0, 0.5, 1], 0), skip_render_check=True)


def test_the_mask_names_exactly_the_actions_of_the_state():
    world = world_from_rows([[("go", {1: 1.0})], [("go", {0: 1.0}), ("stay", {1: 1.0})]])
    env = gymnasium_env(world, [0, 1], 0)
    _, before = env.reset()
    _, _, _, _, after = env.step(0)
    assert (before["action_mask"].tolist(), after["action_mask"].tolist()) == ([1, 0], [1, 1])


def test_an_action_that_is_not_available_is_an_error():
    env = gymnasium_env(world_from_rows([[("a", {1: 1.0})], [("b", {1: 1.0})]]), [0, 1], 0)
    env.reset()
    with pytest.raises(WorldError, match=r"state 0 must be left by one of \['a'\], got action 1"):
        env.step(1)


def test_the_reward_is_that_of_the_state_left():
    env = gymnasium_env(world_from_rows([[("a", {1: 1.0})], [("a", {1: 1.0})]]), [0.25, 1], 0)
    env.reset()
    assert [env.step(0)[1] for _ in range(2)] == [0.25, 1]


def test_equal_seeds_give_equal_runs():
    runs = []
    for _ in range(2):
        env = gymnasium_env(random_dense_world(3), [0, 0.5, 1], 17)
        env.reset()
        runs.append([int(env.step(0)[0]) for _ in range(50)])
    assert runs[0] == runs[1]


def test_steps_follow_the_probabilities():
    env = gymnasium_env(
        world_from_rows([[("a", {0: 0.75, 1: 0.25})], [("a", {0: 1.0})]]), [0, 1], 0
    )
    visits = 0
    env.reset()
    for _ in range(5_000):
        visits += int(env.step(0)[0])
    assert abs(visits / 5_000 - 0.2) <= 5 * np.sqrt(0.16 / 5_000)


def test_a_utility_for_each_outcome_is_needed():
    with pytest.raises(WorldError, match="utility must be 3 finite numbers"):
        gymnasium_env(random_dense_world(0), [0, 1], 0)


def test_without_gymnasium_the_way_out_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "corrigible.world.environment", raising=False)
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtraError, match="pip install gymnasium"):
        gymnasium_env(random_dense_world(0), [0, 0.5, 1], 0)
