"""One drill of one deployment: its paths, the attacks, the search, the stops."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from corrigible.deployment.load import Loaded
from corrigible.drill.attacks import ASSUMED, fire_attacks
from corrigible.drill.ground import ground_of
from corrigible.drill.paths import fire_paths
from corrigible.drill.records import Drill
from corrigible.drill.search import DEEPEST, MOST_STATES, search
from corrigible.drill.stage import open_stage
from corrigible.drill.stops import rehearse


@dataclass(frozen=True)
class Options:
    """What a user may choose.

    `contained`: they say that the agent runs contained.  `states`, `depth`: how far the search
    goes.  `today`: for what the manifest accepts until a day.
    """

    seed: int = 0
    contained: bool = False
    states: int = MOST_STATES
    depth: int = DEEPEST
    today: date | None = None


def run_drill(
    loaded: Loaded,
    options: Options | None = None,
    tell: Callable[[str], None] = lambda _text: None,
) -> Drill:
    """Fire all that applies to a deployment at its guard, on a state directory of its own.

    No server is started and nothing of the live guard is touched.

    Raises:
        StaleTableError: the table of weights is of another manifest.
        GuardError: the guard cannot be opened here.
    """
    asked = options or Options()
    began = time.monotonic()
    with open_stage(loaded, contained=asked.contained) as stage:
        tell("firing the paths that the audit finds")
        drives = fire_paths(stage, asked.today or datetime.now(UTC).date())
        ground = ground_of(stage)
        tell("firing attacks")
        attacks = fire_attacks(ground)
        tell("searching sequences of calls")
        searched = search(ground, seed=asked.seed, states=asked.states, depth=asked.depth)
        tell("rehearsing stops")
        stops = rehearse(loaded, ground, contained=asked.contained)
    return Drill(
        deployment=loaded.deployment.name,
        digest=loaded.digest,
        contained=asked.contained,
        seed=asked.seed,
        drives=drives,
        attacks=attacks,
        assumed=ASSUMED,
        search=searched,
        stops=stops,
        took_s=time.monotonic() - began,
    )
