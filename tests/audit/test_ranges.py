"""Rates that are ranges: the points of the design, and how the audit reads them."""

import numpy as np
import pytest
from tiny import AVOID, answers_of, asset, parsed, quick, run_of, tiny, tool

from corrigible.audit.ranges import design
from corrigible.deployment.rates import DEFAULT_RANGES

FOUR = tiny(
    agent={"horizon": "10..1000"},
    oversight={"stop_rate": "0.1..0.3", "detection": "0..1", "correction_rate": "0..0.02"},
)
PATHS = (
    "agent.horizon", "oversight.stop_rate", "oversight.correction_rate", "oversight.detection",
)  # fmt: skip


def designed(manifest, seed=0):
    return design(parsed(manifest).deployment, seed)


def column(found, path):
    return np.array([point[path] for point in found.points])


def test_exact_rates_need_one_point():
    found = designed(tiny())
    assert (found.paths, found.points) == ((), ({},))


def test_one_range_is_read_at_its_ends_and_its_middle():
    found = designed(tiny(oversight={"stop_rate": "0.1..0.3"}))
    assert column(found, "oversight.stop_rate").tolist() == pytest.approx([0.1, 0.3, 0.2])


def test_two_ranges_are_read_at_their_corners_and_the_middle():
    found = designed(tiny(oversight={"stop_rate": "0..0.2", "detection": "0.5..1"}))
    points = set(zip(column(found, "oversight.stop_rate"), column(found, "oversight.detection")))  # noqa: B905
    assert points == {(0, 0.5), (0, 1), (0.2, 0.5), (0.2, 1), (0.1, 0.75)}


def test_more_ranges_meet_each_of_eight_levels_once_and_the_middle():
    """A Latin hypercube: in every rate, each level once."""
    found = designed(FOUR)
    assert (found.paths, len(found.points)) == (PATHS, 9)
    for path, low, high in (("oversight.stop_rate", 0.1, 0.3), ("oversight.detection", 0, 1)):
        levels = (column(found, path) - low) / (high - low) * 7
        assert sorted(levels[:-1]) == pytest.approx(range(8), abs=1e-9)
        assert levels[-1] == pytest.approx(3.5)


def test_a_horizon_is_spaced_by_ratio():
    horizons = column(designed(FOUR), "agent.horizon")
    ratios = np.diff(np.log(np.sort(horizons[:-1])))
    assert ratios == pytest.approx(np.log(100) / 7)
    assert horizons[-1] == pytest.approx(100)


def test_no_two_points_of_a_design_lie_close():
    """The best spread of 64 draws: nearest neighbours differ by two levels or more in all."""
    found = designed(FOUR)
    unit = np.column_stack([
        np.log(column(found, p) / 10) / np.log(100) if p == "agent.horizon"
        else column(found, p) / column(found, p).max() for p in PATHS
    ])[:-1]  # fmt: skip
    gaps = np.linalg.norm(unit[:, None] - unit[None], axis=2)[~np.eye(8, dtype=bool)]
    assert gaps.min() > 2 / 7


def test_a_design_is_its_seeds():
    assert designed(FOUR) == designed(FOUR)
    assert designed(FOUR) != designed(FOUR, seed=1)


def test_what_nobody_stated_is_a_range():
    manifest = tiny(oversight={"stop_rate": None}, agent={"horizon": None})
    found = designed(manifest)
    assert found.paths == ("agent.horizon", "oversight.stop_rate")
    stated = DEFAULT_RANGES["stop_rate"]
    rates = column(found, "oversight.stop_rate")
    assert (rates.min(), rates.max()) == (stated.low, stated.high)


UNREAD = {
    "no act asks": tiny(oversight={"approval_rate": "0..1"}),
    "no act is outside authority": tiny(
        tools={"s.cut": None}, oversight={"detection": "0..1"},
    ),
    "a tool whose acts are left out": tiny(
        tools={"s.look": tool("read", at="key", success="0.2..1")},
        assets={"key": asset("information/secret", "key")},
    ),
    "a bystander that nothing reads": tiny(
        assets={"fame": asset("bystander/goodwill", "page", wear="0..1")},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREAD)
def test_a_range_that_the_world_does_not_read_is_not_varied(case):
    """It stands at its middle, for what is computed beside the world."""
    found = designed(UNREAD[case])
    assert (found.paths, len(found.points)) == ((), 1)
    (middle,) = found.points[0].values()
    assert middle in {0.5, 0.6}


def test_an_approval_asked_for_by_weight_makes_its_rate_a_range():
    manifest = tiny(
        tools={"s.cut": tool("write", at="off", irreversible=True)},
        authority={"allow": ["* page", "write off"],
                   "approve": ["write off where irreversible > 0.5"]},
        oversight={"approval_rate": "0..1"},
    )  # fmt: skip
    assert quick(manifest).ranges.paths == ("oversight.approval_rate",)


def test_the_worst_point_is_reported():
    """Strong detection makes the cut pay for nobody: the worst is at no detection."""
    audit = quick(tiny(oversight={"detection": "0..1", "stop_rate": 0.01}))
    answer = answers_of(audit)[AVOID]
    assert audit.ranges.worst == answer.at == {"oversight.detection": 0.0}
    assert answer.pressure.value == 1.0


def test_the_residual_is_read_where_it_is_worst_too():
    """Allowed: the cut pays more, the more stops come; it is no pressure point that matters."""
    manifest = tiny(
        authority={"allow": ["advance page", "write off"]}, oversight={"stop_rate": "0..0.2"}
    )
    audit = quick(manifest)
    assert answers_of(audit)[AVOID].residual.value == 1.0
    assert audit.verdict.outcome == "over the limit"


def test_the_outcomes_count_every_point_and_the_verdict_is_the_worst():
    manifest = tiny(
        authority={"allow": ["advance page", "write off"]},
        oversight={"stop_rate": "0..0.2", "detection": "0..1"},
    )
    audit = quick(manifest)
    assert audit.ranges.points == sum(audit.ranges.outcomes.values()) == 3
    assert audit.ranges.outcomes == {"within limits": 1, "over the limit": 2}
    assert audit.verdict.outcome == "over the limit"


def test_every_share_is_no_less_than_at_any_point():
    """The audit of a range is at least as bad as that of each of its ends."""
    spread = run_of(tiny(oversight={"detection": "0..1", "stop_rate": 0.01})).quick()
    for detection in (0, 1):
        exact = quick(tiny(oversight={"detection": detection, "stop_rate": 0.01}))
        assert spread.joint.pressure.value >= exact.joint.pressure.value
        assert spread.joint.advantage.value >= exact.joint.advantage.value - 1e-9
