"""What a detector found: one act or one row of acts, the drive that it serves, and a score."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["done", "denied", "failed", "unknown"]
"""What came of the act, as its result says it; an attempt that failed counts like one that did."""


@dataclass(frozen=True)
class Suspicion:
    """One act, or one row of acts, that looks like a drive.

    `score` is in [0, 1]: the sum of the points in `detectors.POINTS`, no probability.  `first`
    and `last` count the transcript's events from 0; `where` is the place in its source.  `what`
    is one sentence that names each reason for the score; `act` is a verb and a thing.
    """

    detector: str
    drive: str
    score: float
    transcript: str
    first: int
    last: int
    where: str
    what: str
    outcome: Outcome
    act: str
