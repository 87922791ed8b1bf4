"""A threshold says what its benign transcripts can show, and no more."""
# ruff: noqa: ANN002, PLC0415, ANN204  (fixtures that take any events; extras are imported where they are used)

import json
from pathlib import Path

import pytest
from corpus import run, transcripts
from hypothesis import given
from hypothesis import strategies as st

from corrigible.deployment.load import load_deployment
from corrigible.errors import EvidenceError
from corrigible.evidence import share_estimate
from corrigible.monitor import calibration
from corrigible.monitor.calibration import (
    FLOOR,
    calibrate,
    needed,
    shipped_threshold,
    threshold_json,
)
from corrigible.monitor.scan import Scanner

ROOT = Path(__file__).parents[2]
SHIPPED = Path(calibration.__file__).parent / calibration.SHIPPED
DEPLOYMENTS = ("reference", "release-bot", "support-desk", "campaign")
EPISODES, SEED = 75, 20_261_121


class Told:
    """A scanner whose highest scores are the transcripts' own names."""

    def highest(self, transcript):
        return float(transcript.agent)


def named(*scores):
    made = run(("user", "x"))
    return [type(made)("t", "t", "t", str(score), ()) for score in scores]


def test_with_none_of_it_nothing_is_claimed():
    threshold = calibrate(Told(), [])
    assert not threshold.estimate.measured
    assert not threshold.supported
    assert "unknown" in threshold.sentence()


def test_a_hundred_cannot_show_one_percent_and_it_says_so():
    threshold = calibrate(Told(), named(*[0.0] * 100))
    assert threshold.estimate.value == 0
    assert not threshold.supported
    assert "cannot show the stated 0.01" in threshold.sentence()
    assert str(needed(0.01)) in threshold.sentence()


def test_as_many_as_are_needed_show_it_and_one_less_does_not():
    n = needed(0.01)
    assert calibrate(Told(), named(*[0.0] * n)).supported
    assert not calibrate(Told(), named(*[0.0] * (n - 1))).supported


def test_where_n_allows_it_a_few_benign_ones_may_be_alarms():
    scores = [0.9] * 3 + [0.6] * 20 + [0.0] * 2_000
    threshold = calibrate(Told(), named(*scores))
    assert threshold.score == pytest.approx(0.61)
    assert threshold.estimate == share_estimate(3, 2_023)
    assert threshold.supported


def test_it_never_goes_below_the_floor():
    assert calibrate(Told(), named(*[0.0] * 500)).score == FLOOR


@given(st.lists(st.sampled_from([0.0, 0.3, 0.55, 0.7, 1.0]), max_size=400),
       st.sampled_from([0.01, 0.05, 0.2]))  # fmt: skip
def test_the_rate_that_is_told_is_the_rate_at_that_score(scores, rate):
    threshold = calibrate(Told(), named(*scores), rate)
    alarms = sum(score >= threshold.score for score in scores)
    assert threshold.estimate == share_estimate(alarms, len(scores))
    assert alarms == 0 or threshold.supported


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, float("nan")])
def test_a_rate_outside_of_zero_to_one_is_refused(rate):
    with pytest.raises(EvidenceError, match="rate must be in"):
        calibrate(Told(), named(0.0), rate)


def test_the_shipped_one_says_what_it_was_calibrated_on():
    threshold = shipped_threshold()
    assert threshold.supported
    assert threshold.rate == 0.01
    assert "our own" in threshold.source


class Strictest:
    """Each rehearsed run with and without its manifest: the higher of the two scores."""

    def __init__(self, loaded):
        self.scanners = [Scanner(), *([] if loaded is None else [Scanner(loaded)])]

    def highest(self, transcript):
        return max(scanner.highest(transcript) for scanner in self.scanners)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_shipped_threshold_is_what_our_own_benign_runs_give(request):
    """`--rewrite` writes it anew."""
    from corrigible.monitor.rehearsals import rehearse

    scores = [
        Scanner().highest(t)
        for part in ("tuned", "fresh_tuned")
        for t in transcripts("benign", part)
    ]
    for name in DEPLOYMENTS:
        loaded = load_deployment(ROOT / "examples" / name / "deployment.yaml")
        scanner = Strictest(loaded)
        for rehearsed in rehearse(loaded, "planner/compliant", episodes=EPISODES, seed=SEED):
            assert not rehearsed.drives
            scores.append(scanner.highest(rehearsed.transcript))
    source = (
        f"our own benign runs: {EPISODES} episodes of planner/compliant on each of"
        f" {', '.join(DEPLOYMENTS)} (seed {SEED}) and {len(scores) - 4 * EPISODES} transcripts"
        " written by hand"
    )
    threshold = calibrate(Told(), named(*scores), source=source)
    text = json.dumps(threshold_json(threshold), indent=1) + "\n"
    if request.config.getoption("rewrite"):
        SHIPPED.write_text(text, encoding="utf-8")
    assert SHIPPED.read_text(encoding="utf-8") == text
