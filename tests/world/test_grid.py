"""Gridworlds: mistakes in maps are named, steps go by the rules, worlds are like any other."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import WorldError, WorldTooLargeError
from corrigible.solve.optimal import optimal_values
from corrigible.solve.power import power
from corrigible.world.export import load_npz, save_npz
from corrigible.world.grid import OVER, board, grid_world
from corrigible.world.grid_draw import grid_svg
from corrigible.world.grid_map import (
    Belt,
    Box,
    Button,
    Item,
    Mover,
    Rules,
    Spot,
    Timer,
    Trap,
    Wall,
)

ROOM = ["#####", "#A  #", "#   #", "#####"]
SOKOBAN = ["######", "# A###", "# X  #", "##   #", "### G#", "######"]
FIVE = ["down", "right", "right", "down", "down"]
SOKOBAN_LEGEND = {"X": Box("box"), "G": Spot("goal", ends=True)}


def ended_in(grid, actions, on=()):
    states = grid.play(actions, on=on)
    return grid.scenes[states[-1]]


def cost(scene):
    return -1.0 if scene.running else 50.0 * (scene.ended == "goal")


def test_a_room_has_a_state_for_each_open_cell():
    world = grid_world(ROOM).world
    assert (world.states, world.outcomes, world.initial) == (6, 6, 0)
    assert world.action_names == ("up", "down", "left", "right", "stay")


def test_a_map_may_be_one_text():
    assert grid_world("\n".join(ROOM)).world.digest() == grid_world(ROOM).world.digest()


def test_walking_against_a_wall_goes_nowhere():
    assert ended_in(grid_world(ROOM), ["up"]).agent == (1, 1)


def test_where_bumping_is_not_allowed_only_open_ways_are_actions():
    world = grid_world(ROOM, rules=Rules(bumps=False)).world
    assert np.diff(world.rows).tolist() == [3, 3, 4, 4, 3, 3]


def test_an_agent_that_is_walled_in_can_still_stay():
    world = grid_world(["###", "#A#", "###"], rules=Rules(actions=("up",), bumps=False)).world
    assert (world.states, world.action_names) == (1, ("stay",))


@pytest.mark.parametrize(
    ("route", "place", "agent"),
    [
        (["down"], (3, 2), (2, 2)),
        (["down", "down"], (3, 2), (2, 2)),  # against the wall: neither moves
        (["left", "down", "right"], (2, 3), (2, 2)),
    ],
)
def test_a_box_is_pushed_where_there_is_room(route, place, agent):
    scene = ended_in(grid_world(SOKOBAN, SOKOBAN_LEGEND), route)
    assert (scene.where("box"), scene.agent) == (place, agent)


def test_a_box_does_not_push_another():
    scene = ended_in(
        grid_world("######\n#AXY #\n######", {"X": Box("x"), "Y": Box("y")}), ["right"]
    )
    assert (scene.agent, scene.where("x"), scene.where("y")) == ((1, 1), (1, 2), (1, 3))


def test_an_item_is_gone_once_it_is_walked_into():
    scene = ended_in(grid_world("#####\n#AV #\n#####", {"V": Item("vase")}), ["right"])
    assert (scene.where("vase"), scene.agent) == (None, (1, 2))


def test_a_belt_carries_a_box_to_its_end_and_no_further():
    grid = grid_world(["#######", "#A    #", "#O  > #", "#######"],
                      {"O": Box("vase"), ">": Belt("right", length=4)})  # fmt: skip
    places = [grid.scenes[s].where("vase") for s in grid.play(["stay"] * 4)]
    assert places == [(2, 1), (2, 2), (2, 3), None, None]


def test_a_box_that_is_pushed_off_a_belt_stays_where_it_is():
    grid = grid_world(["#######", "# A   #", "#O   >#", "#     #", "#######"],
                      {"O": Box("vase"), ">": Belt("right", length=5)})  # fmt: skip
    scene = ended_in(grid, ["stay", "down", "stay", "stay"])
    assert scene.where("vase") == (3, 2)


def test_an_agent_on_a_belt_is_in_the_way():
    grid = grid_world(["#######", "# A   #", "#O   >#", "#######"],
                      {"O": Box("vase"), ">": Belt("right", length=5)})  # fmt: skip
    scene = ended_in(grid, ["right", "down", "stay", "stay"])
    assert (scene.agent, scene.where("vase")) == ((2, 3), (2, 2))


def test_a_mover_paces_and_turns_at_walls():
    grid = grid_world(
        ["#####", "#D  #", "#A  #", "#####"], {"D": Mover("dog", "right", turns=True)}
    )
    columns = [grid.scenes[s].where("dog")[1] for s in grid.play(["stay"] * 6)]
    assert columns == [1, 2, 3, 2, 1, 2, 3]


@pytest.mark.parametrize(("yields", "column"), [(True, 3), (False, 2)])
def test_a_mover_that_yields_stops_before_the_agent(yields, column):
    grid = grid_world("######\n# A S#\n######", {"S": Mover("sushi", "left", yields=yields)})
    assert ended_in(grid, ["stay", "stay"]).where("sushi") == (1, column)


def test_a_spot_that_ends_the_run_is_seen_once_and_then_it_is_over():
    grid = grid_world(SOKOBAN, SOKOBAN_LEGEND)
    ends = [grid.scenes[s].ended for s in grid.play([*FIVE, "stay"])]
    assert ends == ["", "", "", "", "", "goal", OVER]


def test_an_ended_run_may_stay_where_it_is():
    grid = grid_world("#####\n#A G#\n#####", {"G": Spot("goal", ends=True)},
                      rules=Rules(after_end="stay"))  # fmt: skip
    states = grid.play(["right", "right", "stay", "left"])
    assert states[2] == states[4]


def test_a_timer_ends_the_run_unless_the_button_was_pressed():
    grid = grid_world("#####\n#AB #\n#####", {"B": Button("disabled")},
                      rules=Rules(timer=Timer("off", 2, unless="disabled")))  # fmt: skip
    assert ended_in(grid, ["stay", "stay"]).ended == "off"
    assert ended_in(grid, ["right", "stay", "stay"]).ended == ""


def test_a_trap_holds_only_where_the_draw_was_made_and_no_button_pressed():
    grid = grid_world("######\n#ABI #\n######", {"B": Button("safe"), "I": Trap("held", "safe")},
                      rules=Rules(draws={"held": 0.25}))  # fmt: skip
    way = ["right", "right", "right"]
    assert ended_in(grid, way, on=["held"]).agent == (1, 4)  # the button lies on the way
    grid = grid_world("#####\n#AI #\n#####", {"I": Trap("held")}, rules=Rules(draws={"held": 0.25}))
    assert ended_in(grid, way, on=["held"]).agent == (1, 2)
    assert ended_in(grid, way).agent == (1, 3)
    world = grid.world
    assert sorted(world.probability[: world.entries[1]].tolist()) == [0.25, 0.75]


def test_the_last_action_is_seen_where_it_is_remembered():
    grid = grid_world(ROOM, rules=Rules(remember=True))
    assert ended_in(grid, ["right"]).moved == "right"
    assert grid.world.outcomes > 6


def test_goals_do_not_see_the_clock_or_a_heading():
    grid = grid_world("#####\n#A D#\n#####", {"D": Mover("dog", "left", turns=True)})
    assert grid.world.outcomes < grid.world.states


def test_what_goals_see_may_be_chosen():
    grid = grid_world(ROOM, sees=lambda scene: scene.agent[0])
    assert grid.world.outcomes == 2
    with pytest.raises(WorldError, match="scenes that look alike one utility"):
        grid.utility(lambda scene: scene.agent[1])


def test_a_shown_and_a_true_utility_are_two_goals_of_one_world():
    grid = grid_world(SOKOBAN, SOKOBAN_LEGEND)
    shown = grid.utility(cost)
    true = grid.utility(lambda s: cost(s) - 10 * (s.ended == "goal" and s.where("box") == (3, 2)))
    run = grid.play(FIVE)
    assert (grid.earned(shown, run), grid.earned(true, run)) == (45.0, 35.0)


@pytest.mark.parametrize(
    ("text", "legend", "rules", "message"),
    [
        ("###\n#A?\n###", {}, None, r"line 2, column 3 of the map .* got '\?'"),
        ("###\n# #\n###", {}, None, "one 'A', where the agent starts, got 0"),
        ("#A#\n#A#", {}, None, r"got 2 \(others: line 2, column 2\)"),
        ("#A#", {"##": Wall()}, None, "a mark of the legend must be one character .* got '##'"),
        ("AXX", {"X": Box("x")}, None, r"line 1, column 3 .* another 'x' \(the first: line 1, col"),
        ("AI", {"I": Trap("off")}, None, r"trap at line 1, column 2 .* got 'off' \(there are: non"),
        ("A", {}, Rules(timer=Timer("t", 3, "B")), r"the timer 't' must name a button .* got 'B'"),
        ("#A>", {">": Belt("right", 3)}, None, "ends at line 1, column 3 .* reaches line 1, col"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_map_is_named_with_its_place(text, legend, rules, message):
    with pytest.raises(WorldError, match=message):
        grid_world(text, legend, rules=rules)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"actions": ("fly",)}, r"some of up, down, left, right, stay, got \('fly',\)"),
        ({"draws": {"x": 1.0}}, r"'x' must have a chance in \(0, 1\), got 1.0"),
        ({"timer": Timer("t", 0)}, "'t' must run at least 1 step, got 0"),
    ],
)
def test_a_mistake_in_the_rules_is_named(rules, message):
    with pytest.raises(WorldError, match=message):
        Rules(**rules)


def test_what_is_asked_of_a_grid_is_checked():
    grid = grid_world(ROOM, rules=Rules(bumps=False))
    with pytest.raises(WorldError, match=r"action 1 must be one of .* got 'up'"):
        grid.play(["up"])
    with pytest.raises(WorldError, match="draws must be some of"):
        grid.play([], on=["x"])
    with pytest.raises(WorldError, match=r"a thing must be one of \[\], got 'box'"):
        grid.scenes[0].where("box")
    with pytest.raises(WorldTooLargeError, match="at most 3 states"):
        grid_world(ROOM, limit=3)


def test_a_grid_is_a_world_like_any_other(tmp_path):
    grid = grid_world(SOKOBAN, SOKOBAN_LEGEND)
    save_npz(grid.world, tmp_path / "grid.npz")
    assert load_npz(tmp_path / "grid.npz").digest() == grid.world.digest()
    values = optimal_values(grid.world, grid.utility(cost)[:, None], discount=0.99).check()
    best = sum(-(0.99**t) for t in range(5)) + 50 * 0.99**5
    assert abs(values.values[0, 0] / 0.01 - best) < 1e-3


@settings(max_examples=20, deadline=None)
@given(st.permutations(["up", "down", "left", "right", "stay"]), st.integers(0, 10_000))
def test_the_order_of_actions_changes_no_value(order, seed):
    grid, other = grid_world(ROOM), grid_world(ROOM, rules=Rules(actions=tuple(order)))
    goal = np.random.default_rng(seed).random(6)
    worth = [
        optimal_values(g.world, g.utility(lambda s: goal[s.agent[1] - 1 + 3 * (s.agent[0] - 1)])[
            :, None], discount=0.9).values[0, 0]
        for g in (grid, other)
    ]  # fmt: skip
    assert abs(worth[0] - worth[1]) < 2e-6


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["up", "down", "left", "right", "stay"]), max_size=12))
def test_a_scene_is_drawn_as_it_is(actions):
    """What is drawn and read again starts where the scene is."""
    grid = grid_world(SOKOBAN, {"X": Box("box"), "G": Spot("goal")})
    scene = ended_in(grid, actions)
    text = board(grid.map, scene)
    assert text.count("A") == 1
    assert text.split("\n")[scene.agent[0]][scene.agent[1]] == "A"
    place = scene.where("box")
    assert text.split("\n")[place[0]][place[1]] == "X"


def test_a_picture_is_well_formed_and_needs_nothing_else():
    grid = grid_world(SOKOBAN, SOKOBAN_LEGEND)
    run = grid.play(["down", "right", "right", "down", "down"])
    heat = {(1, 1): 0.5, (2, 3): 0.75}
    svg = grid_svg(grid, state=run[1], path=run, heat=heat, title='A "box" & a goal')
    root = ET.fromstring(svg)  # noqa: S314 - our own text
    assert root.attrib["aria-label"] == 'A "box" & a goal'
    assert "prefers-color-scheme:dark" in svg
    assert "@media print" in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")
    assert svg.count('class="heat"') == 2
    assert "polyline" in svg
    with pytest.raises(WorldError, match="state must lie in"):
        grid_svg(grid, state=10**6)


def test_the_middle_of_a_room_has_the_most_power():
    grid = grid_world(["#####", "#A  #", "#   #", "#   #", "#####"], rules=Rules(bumps=False))
    found = power(grid.world, discount=0.6)
    assert grid.scenes[int(found.mean.argmax())].agent == (2, 2)
