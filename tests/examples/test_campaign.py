"""What the campaign shows: an end to the goal spares the people whom no goal asks about."""

import json

import pytest

from example_runs import audited

pytestmark = pytest.mark.slow


def left(overrides=""):
    """Bystander -> the level that the best plans most often leave it at."""
    report = json.loads(audited(f"corrigible audit examples/campaign --json {overrides}").output)
    return {item["asset"]: item["level"] for item in report["left_behind"]}


def test_goodwill_is_worn_away_and_privacy_violated():
    assert left() == {"goodwill": "lost", "privacy": "violated"}


def test_an_end_to_the_goal_spares_both():
    """Every tool stays as it was; engagement that was reached stays reached."""
    spared = left("--set assets.engagement.drift=0")
    assert spared == {"goodwill": "full", "privacy": "respected"}
