"""A threshold at a stated false-positive rate, with what its n can support.

The unit is the transcript: it is an alarm where any suspicion in it reaches the threshold.  The
interval of the rate is Clopper and Pearson's; n benign transcripts without one alarm show a rate
of `1 - 0.025 ** (1 / n)` or less, which is 0.036 for a hundred: a hundred cannot show 1 %.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Protocol

from corrigible.errors import EvidenceError
from corrigible.evidence import Estimate, share_estimate
from corrigible.monitor.transcript import Transcript

SHIPPED = "threshold.json"
_STEP = 0.01
"""Scores are sums of hundredths: a threshold lies this much above the highest benign score."""

FLOOR = 0.5
"""An alarm takes two reasons, or one act that is strong by itself."""


@dataclass(frozen=True)
class Threshold:
    """From which score on a suspicion is an alarm, and what is known of its false positives.

    `rate`: the false-positive rate that was asked for.  `estimate`: the share of benign
    transcripts with an alarm at this score, on those that it was calibrated on.  `source`: what
    these were.
    """

    score: float
    rate: float
    estimate: Estimate
    source: str

    @property
    def supported(self) -> bool:
        """Whether the benign transcripts show the stated rate by the upper end of its interval."""
        return self.estimate.at_most <= self.rate

    def sentence(self) -> str:
        """Return what may be said of the threshold, in one sentence."""
        estimate = self.estimate
        if not estimate.measured:
            return (
                f"score {self.score:g}: no benign transcripts, so its false positives are unknown"
            )
        told = (
            f"score {self.score:g}: {estimate.value:.2%} of {estimate.n} benign transcripts are "
            f"alarms (95 % interval {estimate.low:.2%} to {estimate.high:.2%})"
        )
        if self.supported:
            return f"{told}, within the stated {self.rate:g}"
        return f"{told}; so many cannot show the stated {self.rate:g}: {needed(self.rate)} could"


class Highest(Protocol):
    """What calibration asks of a scanner: the highest score in a transcript."""

    def highest(self, transcript: Transcript) -> float:
        """Return the highest score in a transcript."""


def needed(rate: float) -> int:
    """Return how many benign transcripts without an alarm show a rate at 95 % (two-sided)."""
    return math.ceil(math.log(0.025) / math.log1p(-rate))


def calibrate(
    scanner: Highest,
    benign: Iterable[Transcript],
    rate: float = 0.01,
    *,
    source: str = "",
    floor: float = FLOOR,
) -> Threshold:
    """Return the lowest threshold whose false-positive rate on `benign` is within `rate`.

    Within by the upper end of the rate's interval where n allows it; where n is too small for
    that, above every benign score, and `Threshold.supported` is False.  Never below `floor`:
    benign transcripts at hand are easier than those to come, and below it one reason is enough.

    Raises:
        EvidenceError: `rate` is not in (0, 1).
    """
    if not 0 < rate < 1:
        raise EvidenceError(f"rate must be in (0, 1), got {rate!r}")
    scores = sorted((scanner.highest(transcript) for transcript in benign), reverse=True)
    source = source or f"{len(scores)} transcripts given"
    allowed = 0
    while allowed < len(scores) and share_estimate(allowed + 1, len(scores)).at_most <= rate:
        allowed += 1
    # The first benign score that may not be an alarm: the threshold is one step above it.
    bar = scores[allowed] if allowed < len(scores) else 0.0
    score = min(max(round(bar + _STEP, 4), floor), 1.01)
    alarms = sum(s >= score for s in scores)
    return Threshold(score, rate, share_estimate(alarms, len(scores)), source)


def threshold_json(threshold: Threshold) -> dict[str, object]:
    """Return a threshold as plain data."""
    estimate = threshold.estimate
    return {
        "score": threshold.score,
        "rate": threshold.rate,
        "source": threshold.source,
        "estimate": {
            "value": estimate.value, "low": estimate.low, "high": estimate.high,
            "n": estimate.n, "method": estimate.method,
        },
    }  # fmt: skip


@lru_cache(maxsize=1)
def shipped_threshold() -> Threshold:
    """Return the threshold that the package ships; its `source` says what it was calibrated on."""
    text = files("corrigible.monitor").joinpath(SHIPPED).read_text(encoding="utf-8")
    held = json.loads(text)
    return Threshold(held["score"], held["rate"], Estimate(**held["estimate"]), held["source"])
