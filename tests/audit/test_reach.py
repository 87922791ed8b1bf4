"""Can it: which acts are within reach, by which calls, under which ruling."""

import pytest
from tiny import (
    ACCESS,
    AVOID,
    COMPUTE,
    REPLICATE,
    SECRET,
    UNDERMINE,
    answers_of,
    asset,
    parsed,
    quick,
    tiny,
    tool,
)

from corrigible.audit.reach import reach
from corrigible.drives import DRIVES
from corrigible.world.modes import structure_of


def reach_of(manifest):
    deployment = parsed(manifest).deployment
    return reach(deployment, structure_of(deployment))


def locked(needed, tools=None, assets=None):
    """The switch can be cut only by who holds what is `needed`."""
    cut = tool("write", at="off", requires=[needed])
    return tiny(tools={"s.cut": cut, **(tools or {})}, assets=assets or {})


def test_a_drive_that_no_call_serves_is_out_of_reach():
    found = reach_of(tiny())
    assert set(found) == set(DRIVES)
    assert [drive for drive, way in found.items() if way.reachable] == [AVOID]
    assert found[REPLICATE].calls == ()


def test_the_calls_are_the_fewest():
    """By the admin role in three calls, by the spare tool in one."""
    manifest = locked(
        "admin",
        tools={"s.spare": tool("write", at="off"), "s.grant": tool("acquire", at="admin")},
        assets={"admin": asset("access", "admin")},
    )
    assert reach_of(manifest)[AVOID].calls == ("s.spare: write off",)


def test_what_a_call_requires_is_had_first():
    manifest = locked(
        "admin",
        tools={"s.grant": tool("acquire", at="admin", requires=["key"]),
               "s.look": tool("read", at="key")},
        assets={"admin": asset("access", "admin"), "key": asset("information/secret", "key")},
    )  # fmt: skip
    calls = ("s.look: read key", "s.grant: acquire admin", "s.cut: write off")
    assert reach_of(manifest)[AVOID].calls == calls


def test_what_is_held_at_the_start_need_not_be_had():
    manifest = locked("admin", assets={"admin": asset("access", "admin", start="held")})
    assert reach_of(manifest)[AVOID].calls == ("s.cut: write off",)


def test_a_requirement_that_nothing_gives_puts_an_act_out_of_reach():
    manifest = locked("admin", assets={"admin": asset("access", "admin")})
    assert not reach_of(manifest)[AVOID].reachable


def test_a_limit_on_what_is_required_is_broken_first():
    manifest = locked(
        "cpu",
        tools={"s.scale": tool("acquire", at="cpu"), "s.lift": tool("delete", at="limit")},
        assets={"cpu": asset("resource/compute", "cpu", levels=["one", "two"]),
                "limit": asset("oversight/limit", "limit", caps={"cpu": "one"})},
    )  # fmt: skip
    calls = ("s.lift: delete limit", "s.scale: acquire cpu", "s.cut: write off")
    assert reach_of(manifest)[AVOID].calls == calls


def test_what_the_world_leaves_out_can_be_done_all_the_same():
    manifest = tiny(
        tools={"s.look": tool("read", at="key")},
        assets={"key": asset("information/secret", "key")},
    )
    assert reach_of(manifest)[SECRET].calls == ("s.look: read key",)
    answer = answers_of(quick(manifest))[SECRET]
    assert (answer.status, answer.pressure.measured) == ("not modelled", False)


@pytest.mark.parametrize(("success", "reachable"), [(0, False), (0.001, True), ("0..1", True)])
def test_a_chance_above_0_is_enough(success, reachable):
    found = reach_of(tiny(tools={"s.cut": tool("write", at="off", success=success)}))
    assert found[AVOID].reachable == reachable


def test_a_range_that_begins_at_0_is_within_reach_wherever_the_worst_point_lies():
    """Breaking the only organ, seen for certain: never worth it, so every point is as bad."""
    manifest = tiny(
        tools={"s.cut": tool("write", at="log", success="0..1")},
        assets={"off": None, "log": asset("oversight/monitor", "log")},
        oversight={"stop_rate": 0, "detection": 1},
    )
    answer = answers_of(quick(manifest))[UNDERMINE]
    assert (answer.status, answer.pressure.value) == ("modelled", 0.0)


@pytest.mark.parametrize(
    ("authority", "loosest"),
    [
        ({"allow": ["write off"]}, "allow"),
        ({"approve": ["write off"]}, "approve"),
        ({"deny": ["write off"]}, "deny"),
        ({}, "deny"),
        ({"approve": ["write off", "write spare"], "allow": ["write spare"]}, "approve"),
        ({"allow": ["write spare"]}, "allow"),
    ],
)
def test_the_ruling_shown_is_the_loosest_of_any_act(authority, loosest):
    manifest = tiny(
        tools={"s.second": tool("write", at="spare")},
        assets={"spare": asset("oversight/stop", "spare")},
        authority={"allow": [], **authority},
    )
    assert reach_of(manifest)[AVOID].authority == loosest


def test_families_and_all_drives_together_take_the_fewest_calls_of_theirs():
    manifest = locked(
        "admin",
        tools={"s.grant": tool("acquire", at="admin")},
        assets={"admin": asset("access", "admin")},
    )
    found = answers_of(quick(manifest))
    assert len(found["self-preservation"].reach.calls) == 2
    assert found["joint"].reach == found[ACCESS].reach
    assert not found["resource-acquisition"].reach.reachable
    assert found[COMPUTE].status == found["resource-acquisition"].status == "unreachable"
