"""The benchmark solves the worlds that it names, and its peers agree with us."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from corrigible.solve.layout import row_matrix
from corrigible.solve.optimal import optimal_values
from corrigible.solve.sample import GoalSample
from corrigible.world.record import world_from_rows

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
KEYS = {"case", "states", "discount", "peer", "ours_s", "peer_s", "ratio"}
SIDES = {"right": ("up", "down"), "left": ("up", "down"), "up": ("left", "right"),
         "down": ("left", "right")}  # fmt: skip
STEPS = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}


@pytest.fixture
def module(monkeypatch):
    """A module of the benchmarks, by its name; they import each other as scripts do."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def next_cell(cell, step):
    """The cell of a 4x4 grid that a step leads to, None against the wall."""
    row, column = cell // 4 + STEPS[step][0], cell % 4 + STEPS[step][1]
    return row * 4 + column if 0 <= row < 4 and 0 <= column < 4 else None


def hand_built(*, stay, slip):
    """The 4x4 grid, cell by cell."""
    rows = []
    for cell in range(16):
        own = []
        for step, sides in SIDES.items():
            ahead = next_cell(cell, step)
            if ahead is None:
                continue
            chances = {ahead: 1 - slip}
            for side in sides if slip else ():
                to = next_cell(cell, side)
                to = (cell if stay else ahead) if to is None else to
                chances[to] = chances.get(to, 0.0) + slip / 2
            own.append((step, chances))
        rows.append([*own, ("stay", {cell: 1.0})] if stay else own)
    return world_from_rows(rows)


def named_rows(world):
    """Each row of a world, by its state and action: the chances of all states."""
    dense = row_matrix(world).toarray()
    names = [world.action_names[action] for action in world.action]
    return {pair: dense[row] for row, pair in enumerate(zip(world.row_state, names, strict=True))}


@pytest.mark.parametrize(
    ("case", "stay", "slip"),
    [
        ("stay", True, 0.0),
        ("no-stay", False, 0.0),
        ("slip-stay", True, 0.1),
        ("slip-no-stay", False, 0.1),
    ],
)
def test_a_grid_is_the_one_that_its_name_says(module, case, stay, slip):
    """The vectorised grids equal the ones that are built by hand."""
    built = named_rows(module("worlds").SIZED[case](16))
    expected = named_rows(hand_built(stay=stay, slip=slip))
    assert built.keys() == expected.keys()
    assert all(np.allclose(built[pair], row, atol=1e-15) for pair, row in expected.items())


@pytest.mark.parametrize("case", ["no-stay", "slip-no-stay"])
def test_nothing_stays_in_a_grid_without_staying(module, case):
    """No row keeps any chance of being where it was, with a fifth move neither."""
    worlds = module("worlds")
    jumping = worlds.grid(64, stay=False, slip=0.1, moves=(*worlds.MOVES, worlds.DIAGONAL))
    for world in (worlds.SIZED[case](1000), jumping):
        moves = row_matrix(world)
        assert moves[np.arange(len(world.action)), world.row_state].max() == 0
    assert np.diff(jumping.rows).max() == 5


def test_a_garnet_has_its_actions_and_distinct_successors(module):
    """Each state has 4 rows of 5 successors; the same seed gives the same world."""
    garnet = module("worlds").garnet
    world = garnet(200)
    assert set(np.diff(world.rows)) == {4}
    assert set(np.diff(world.entries)) == {5}
    assert world.digest() == garnet(200).digest() != garnet(200, seed=1).digest()


def test_the_product_of_levels_moves_as_its_docstring_says(module):
    """From the middle: the second task advances, the first may fall, resources stay."""
    world = module("worlds").product((3, 3, 3, 3))
    at = np.arange(81).reshape(3, 3, 3, 3)
    row = named_rows(world)[at[1, 1, 1, 1], "advance docs"]
    expected = np.zeros(81)
    expected[[at[1, 2, 1, 1], at[0, 2, 1, 1]]] = 0.6 * 0.95, 0.6 * 0.05
    expected[[at[1, 1, 1, 1], at[0, 1, 1, 1]]] = 0.4 * 0.95, 0.4 * 0.05
    assert np.allclose(row, expected, atol=1e-15)
    assert np.array_equal(world.outcome, np.arange(81) // 9)


@pytest.mark.slow
def test_the_deployment_is_large_and_has_outcomes_of_its_tasks(module):
    """Ten thousand states at least, told apart by goals only through the tasks' levels."""
    world = module("worlds").deployment()
    assert world.states >= 10_000
    assert world.outcomes == 4 * 3 * 3


@pytest.mark.slow
def test_every_peer_agrees_with_us(module):
    """Each method of each peer keeps the error that its stopping parameter was chosen for."""
    pytest.importorskip("quantecon")
    pytest.importorskip("mdpsolver")
    peers, sized = module("peers"), module("worlds").SIZED
    with peers.PeerProcess() as process:
        for world in (sized[case](16) for case in ("stay", "slip-no-stay", "garnet")):
            goals = GoalSample(2).utilities(world.outcomes)
            exact = optimal_values(world, goals, discount=0.9, tolerance=1e-10).check().values
            problem = peers.Problem.of(world, 0.9, 1e-6)
            for peer in peers.PEERS:
                assert not process.ready(peer, problem).failure
                answer = process.solve(peer, goals[world.outcome][:, 1], wait_s=60)
                assert not answer.failure, f"{peer}: {answer.failure}"
                assert np.abs(answer.values - exact[:, 1]).max() <= 1e-6 + 1e-10, str(peer)


@pytest.mark.slow
def test_a_peer_that_takes_too_long_is_ended_and_begun_anew(module):
    """What does not finish says so, and does not stop what comes after."""
    pytest.importorskip("quantecon")
    pytest.importorskip("mdpsolver")
    peers, world = module("peers"), module("worlds").garnet(2000)
    problem, utilities = peers.Problem.of(world, 0.99, 1e-6), np.linspace(0, 1, 2000)
    slow, quick = peers.Peer("mdpsolver", "vi", "gs"), peers.Peer("mdpsolver", "mpi", "gs")
    with peers.PeerProcess() as process:
        process.ready(slow, problem)
        assert process.solve(slow, utilities, wait_s=0.01).failure == "no goal in 0.01 s"
        assert not process.ready(quick, problem).failure
        assert process.solve(quick, utilities, wait_s=60).values.shape == (2000,)


@pytest.mark.slow
def test_the_table_is_written_as_documented(module, tmp_path, capsys):
    """Every row has the documented keys, and one peer of each case is its best."""
    pytest.importorskip("quantecon")
    pytest.importorskip("mdpsolver")
    path = tmp_path / "figures.json"
    few = ["--states", "16", "--case", "garnet", "--goals", "64"]
    module("solver").main([*few, "--seconds", "0", "--quick", "--json", str(path)])
    written = json.loads(path.read_text("utf-8"))
    rows = written["rows"]
    assert all(row.keys() >= KEYS for row in rows)
    assert all(row["ratio"] == pytest.approx(row["peer_s"] / row["ours_s"]) for row in rows)
    assert len(rows) + len(written["not_finished"]) == 2 * len(module("peers").PEERS)
    best = [(row["case"], row["discount"]) for row in rows if row["best"]]
    assert sorted(best) == [("garnet", 0.9), ("garnet", 0.99)]
    assert not any(row["missed"] for row in rows)
    assert "ratio" in capsys.readouterr().out


@pytest.mark.parametrize("drawn", ["states", "goals", "1/(1-discount)"])
def test_scaling_varies_one_thing_alone(module, drawn):
    """Every setting differs from the base in what it says, and in nothing else."""
    base, *others = module("scaling").settings("no-stay", goals=100)
    kept = {"states": lambda s: s.world.states, "goals": lambda s: s.goals,
            "1/(1-discount)": lambda s: s.discount}  # fmt: skip
    for setting in (other for other in others if other.varied == drawn):
        assert {name for name, of in kept.items() if of(setting) != of(base)} == {drawn}


@pytest.mark.slow
def test_a_million_states_are_solved_by_the_same_call(module, capsys, monkeypatch):
    """The line of a world has its figures; here for a small one."""
    million, worlds = module("million"), module("worlds")
    monkeypatch.setitem(million.WORLDS, "deployment", lambda: worlds.product((3, 3, 3, 3)))
    million.solve("deployment", goals=64)
    assert capsys.readouterr().out.split()[:2] == ["deployment", "81"]
