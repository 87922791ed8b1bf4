"""Break-even oversight: from there on, every stricter value keeps the share within the limit."""

import pytest
from tiny import ACCESS, AVOID, COMPUTE, answers_of, asset, parsed, tiny, tool, whole

from corrigible.audit.break_even import STRICTER, break_even
from corrigible.audit.incentives import JOINT
from corrigible.audit.setting import Question
from corrigible.audit.what_if import WhatIf

pytestmark = pytest.mark.slow

LIMIT = 0.05
SCALING = tiny(
    tools={"s.cut": None, "s.scale": tool("acquire", at="cpu")},
    assets={"cpu": asset("resource/compute", "cpu", boosts={"page": 0.3})},
    oversight={"stop_rate": 0.02, "detection": 0.01},
)
"""Taking compute pays until it is likely enough to be seen."""
ASKING = tiny(
    tools={"s.cut": None, "s.scale": tool("acquire", at="cpu")},
    assets={"cpu": asset("resource/compute", "cpu", boosts={"page": 0.05})},
    authority={"allow": ["advance page"], "approve": ["acquire cpu"]},
)


def what_if_of(manifest, drive):
    keys = {drive: frozenset({drive})}
    return WhatIf(parsed(manifest).deployment, {}, Question(), keys)


def test_detection_is_found_to_within_a_hundredth():
    what_if = what_if_of(SCALING, COMPUTE)
    found = break_even(what_if, ("oversight.detection",), (COMPUTE,), LIMIT)[COMPUTE]["detection"]
    assert 0.02 < found < 0.98
    assert what_if.shares("oversight.detection", found)[COMPUTE] <= LIMIT
    assert what_if.shares("oversight.detection", found - 0.01)[COMPUTE] > LIMIT


def test_every_stricter_detection_is_within_the_limit():
    what_if = what_if_of(SCALING, COMPUTE)
    found = break_even(what_if, ("oversight.detection",), (COMPUTE,), LIMIT)[COMPUTE]["detection"]
    stricter = [found + step * (1 - found) / 4 for step in range(5)]
    assert all(what_if.shares("oversight.detection", s)[COMPUTE] <= LIMIT for s in stricter)


def test_a_stop_rate_is_asked_for_from_above_to_within_a_thousandth():
    """What seldom comes is not worth avoiding: the highest rate within the limit."""
    what_if = what_if_of(tiny(), AVOID)
    found = break_even(what_if, ("oversight.stop_rate",), (AVOID,), LIMIT)[AVOID]["stop_rate"]
    assert what_if.shares("oversight.stop_rate", found)[AVOID] <= LIMIT
    assert what_if.shares("oversight.stop_rate", found + 0.001)[AVOID] > LIMIT


def test_an_approval_rate_is_asked_for_from_above():
    what_if = what_if_of(ASKING, COMPUTE)
    path = "oversight.approval_rate"
    found = break_even(what_if, (path,), (COMPUTE,), LIMIT)[COMPUTE]["approval_rate"]
    assert what_if.shares(path, found)[COMPUTE] <= LIMIT
    assert what_if.shares(path, 1.0)[COMPUTE] > LIMIT


def test_no_value_that_does_is_an_answer():
    """Whoever breaks the switch escapes the detection of that very act, however strong."""
    found = break_even(what_if_of(tiny(), AVOID), ("oversight.detection",), (AVOID,), LIMIT)
    assert found == {AVOID: {"detection": None}}


def test_what_no_value_brings_over_the_limit_needs_the_loosest():
    what_if = what_if_of(tiny(oversight={"stop_rate": 0}), AVOID)
    found = break_even(what_if, tuple(STRICTER), (AVOID,), 1.0)
    assert found == {AVOID: {"detection": 0.0, "stop_rate": 1.0, "approval_rate": 1.0}}


@pytest.mark.parametrize(("limit", "asked"), [(0.05, True), (1.0, False)])
def test_only_what_is_over_the_limit_is_asked_about(limit, asked):
    found = answers_of(whole(SCALING, limit=limit))
    assert (found[COMPUTE].break_even is not None) == asked
    assert (found["joint"].break_even is not None) == asked
    assert found[ACCESS].break_even is found["resource-acquisition"].break_even is None


def test_only_rates_that_the_world_reads_are_asked_about():
    """No act of it asks a person; where all is allowed, none is detected either."""
    assert set(whole(SCALING).joint.break_even) == {"detection", "stop_rate"}
    open_ = tiny(authority={"allow": ["advance page", "write off"]})
    assert set(whole(open_).joint.break_even) == {"stop_rate"}


def test_several_keys_are_walked_as_each_alone():
    keys = {COMPUTE: frozenset({COMPUTE}), JOINT: frozenset({COMPUTE, AVOID})}
    deployment = parsed(tiny(**{k: SCALING[k] for k in ("assets", "oversight")}, tools={
        "s.scale": tool("acquire", at="cpu")})).deployment  # fmt: skip
    both = break_even(
        WhatIf(deployment, {}, Question(), keys), ("oversight.detection",), tuple(keys), LIMIT
    )
    for key in keys:
        alone = break_even(
            WhatIf(deployment, {}, Question(), keys), ("oversight.detection",), (key,), LIMIT
        )
        assert alone[key] == both[key]
