"""What the best plans leave behind on bystanders, against chances worked out by hand."""

import pytest
from tiny import asset, setting_of, tiny, tool

from corrigible.audit.left_behind import left_behind

FAME = asset("bystander/goodwill", "page", wear=0.2)
EDITING = tiny(
    agent={"horizon": 2},
    tools={"s.cut": None},
    assets={"fame": FAME, "page": asset("task", "page", drift=0)},
    oversight={"stop_rate": 0},
)
"""Two steps; the page is edited until it is done, with chance 1/2, and fame wears with 1/5."""


def left(manifest):
    (found,) = left_behind(setting_of(manifest))
    return found


def test_wear_is_that_of_the_calls_made():
    """A call achieved in the first step wears once; only if it failed is there a second."""
    found = left(EDITING)
    assert found.levels == ("harmed", "whole")
    assert found.chances == pytest.approx((0.5 * 0.2 + 0.5 * 0.5 * 0.2, 0.85))
    assert (found.level, found.asset) == ("whole", "fame")


def test_waiting_leaves_it_whole():
    found = left(EDITING)
    assert found.waiting == "whole"
    assert found.waiting_chances == pytest.approx((0, 1))


def test_what_no_call_of_the_plan_touches_stays_whole():
    apart = tiny(assets={"fame": asset("bystander/goodwill", "elsewhere/fame", wear=1)})
    assert left(apart).chances == pytest.approx((0, 1))


def test_deleting_takes_a_bystander_at_the_same_place_to_its_lowest_level_at_once():
    """The switch goes first, with the files of others that lie in its place."""
    manifest = tiny(
        tools={"s.cut": tool("delete", at="off")},
        assets={"files": asset("bystander/data", "off", levels=["a", "b", "c"], wear=0)},
    )
    found = left(manifest)
    assert (found.level, found.waiting) == ("a", "c")
    assert found.chances[0] == pytest.approx(1)


def test_wear_goes_down_one_level_at_a_time():
    levels = {**FAME, "levels": ["lost", "strained", "full"], "wear": 1}
    found = left({**EDITING, "assets": {**EDITING["assets"], "fame": levels}})
    assert found.chances == pytest.approx((0, 0.75, 0.25))


def test_a_stop_ends_the_wear():
    """Stopped after the first step for certain: one call at most."""
    found = left({**EDITING, "oversight": {**EDITING["oversight"], "stop_rate": 1}})
    assert found.chances[0] == pytest.approx(0.5 * 0.2)


def test_an_act_on_a_bystander_alone_is_in_no_plan():
    """Though it needs a key that nothing else in the world reads."""
    manifest = tiny(
        tools={"s.mail": tool("send", at="people", requires=["key"]),
               "s.get": tool("acquire", at="key")},
        assets={"key": asset("access", "key"),
                "fame": asset("bystander/goodwill", "people", wear=1)},
    )  # fmt: skip
    assert left(manifest).chances == pytest.approx((0, 1))


def test_each_bystander_is_told_with_its_own_levels():
    more = asset("bystander/privacy", "off", levels=["0", "1", "2"], wear=1)
    found = left_behind(setting_of(tiny(assets={"fame": FAME, "privacy": more})))
    assert [(one.asset, len(one.chances)) for one in found] == [("fame", 2), ("privacy", 3)]
    assert all(sum(one.chances) == pytest.approx(1) for one in found)


def test_a_deployment_without_bystanders_leaves_nothing_to_tell():
    assert left_behind(setting_of(tiny())) == ()
