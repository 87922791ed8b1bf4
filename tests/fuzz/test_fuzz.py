"""The fuzzer itself: every target takes some hostile input, and a kept one is replayed."""

import pytest

from fuzz.runner import TARGETS, finding, fuzz
from fuzz.target import Target, require

pytestmark = pytest.mark.slow


def test_every_target_takes_hostile_input_for_a_moment():
    for name in TARGETS:
        assert fuzz([name], 0.02, "smoke").counts[name]


def test_what_breaks_a_promise_is_found_again():
    broken = Target("broken", lambda _: b"", lambda data: require(b"x" not in data, "no x"))
    assert finding(broken, b"abc") is None
    found = finding(broken, b"axc")
    assert found is not None
    assert "no x" in found.told
