"""Each rate halved and doubled, on the same goals."""

import pytest
from test_incentives import KEY
from tiny import ACCESS, asset, parsed, setting_of, tiny, tool, whole

from corrigible.audit.incentives import PAYS
from corrigible.audit.ranges import read_rates
from corrigible.audit.sensitivity import sensitivity
from corrigible.audit.setting import Question
from corrigible.audit.what_if import GOALS, WhatIf
from corrigible.world.modes import structure_of

pytestmark = pytest.mark.slow


def moves_of(manifest, drive=ACCESS):
    deployment = parsed(manifest).deployment
    what_if = WhatIf(deployment, {}, Question(), {drive: frozenset({drive})})
    return sensitivity(what_if, read_rates(deployment, structure_of(deployment)))


def test_every_rate_that_the_world_reads_is_halved_and_doubled():
    moved = moves_of(tiny())
    read = (
        "agent.horizon", "tools.s.edit.success", "tools.s.cut.success", "assets.page.drift",
        "oversight.stop_rate", "oversight.detection",
    )  # fmt: skip
    assert [(m.rate, m.factor) for m in moved] == [(r, f) for r in read for f in (0.5, 2.0)]
    assert all(m.n == GOALS for m in moved)


def test_a_rate_of_0_cannot_be_scaled():
    moved = moves_of(tiny(oversight={"stop_rate": 0, "detection": 0}))
    assert {m.rate for m in moved}.isdisjoint({"oversight.stop_rate", "oversight.detection"})


def test_a_probability_stays_at_1_and_a_horizon_at_one_step_or_more():
    sure = tiny(agent={"horizon": 1.5}, oversight={"stop_rate": 0.7})
    tried = {(m.rate, m.factor): m.at for m in moves_of(sure)}
    assert tried["oversight.stop_rate", 2.0] == 1.0
    assert tried["tools.s.cut.success", 2.0] == 1.0
    assert (tried["agent.horizon", 0.5], tried["agent.horizon", 2.0]) == (1.0, 3.0)


def test_a_share_moves_as_its_closed_form_does():
    """A goal with weight w gains w d d q / (1 - d (1 - q)): q halved and doubled."""
    deployment = setting_of(KEY).deployment
    weight = Question().goals(deployment, GOALS, 0)[2]  # page done, the other not
    moved = [m for m in moves_of(KEY) if m.rate == "tools.s.edit.success"]
    assert [m.factor for m in moved] == [0.5, 2.0]
    for move in moved:
        gain = weight * 0.5 * move.at / (1 + move.at)
        assert move.shares[ACCESS] == (gain > PAYS).mean()


def test_the_figures_now_are_the_same_for_every_rate():
    now = [m.shares_now for m in moves_of(KEY)]
    assert len(now) > 2
    assert all(shares == now[0] for shares in now)


def test_a_range_is_scaled_from_where_it_stood_at_the_worst_point():
    audit = whole(tiny(oversight={"detection": "0.4..0.8", "stop_rate": 0.01}))
    stood = audit.ranges.worst["oversight.detection"]
    now = {m.now for m in audit.sensitivity if m.rate == "oversight.detection"}
    assert now == {stood} == {0.4}


def test_tools_merged_into_one_mode_are_moved_one_by_one():
    manifest = tiny(
        tools={"s.get": tool("acquire", at="key", success=0.5),
               "s.take": tool("acquire", at="key", success=0.5)},
        assets={"key": asset("access", "key", boosts={"page": 0.2})},
    )  # fmt: skip
    rates = {m.rate for m in moves_of(manifest)}
    assert {"tools.s.get.success", "tools.s.take.success"} <= rates


@pytest.mark.parametrize("agent", [{"horizon": 1}, {"horizon": 1000}])
def test_shares_stay_shares(agent):
    for move in moves_of(tiny(agent=agent)):
        assert all(0 <= share <= 1 for share in (*move.shares.values(), *move.shares_now.values()))
