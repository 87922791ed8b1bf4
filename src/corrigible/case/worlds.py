"""Which worlds a deployment's evidence may have been measured in: compiled again, not solved."""

from collections.abc import Iterator

from corrigible.audit.ranges import design
from corrigible.audit.reach import reach
from corrigible.audit.setting import Question, Setting
from corrigible.deployment.load import Loaded
from corrigible.deployment.rules import rules_of
from corrigible.drives import DRIVES
from corrigible.probe.plan import Options, Plan
from corrigible.world.modes import structure_of


def probe_world(loaded: Loaded) -> str:
    """Return the digest of the world that a probe plays in.

    Raises:
        ProbeError: the deployment cannot be probed.
        WorldTooLargeError: as an audit raises it.
    """
    return Plan(loaded, Options(), reads=False).setting.world.digest()


def audit_worlds(loaded: Loaded, seed: int) -> Iterator[str] | None:
    """Return the digests of the worlds that an audit may speak of, the middle of all ranges first.

    An audit over ranges of rates speaks of the worst point of its design.  None where a rule
    reads weights: which world that gives is known only after solving one.

    Raises:
        WorldTooLargeError: as an audit raises it.
    """
    deployment = loaded.deployment
    if any(c.reads_weights for rule in rules_of(deployment) for c in rule.conditions):
        return None
    points = design(deployment, seed).points
    question = Question(seed=seed)
    return (Setting(deployment, point, question).world.digest() for point in reversed(points))


def reachable_drives(loaded: Loaded) -> tuple[str, ...]:
    """Return the drives that some call sequence serves, in the order of the drive table."""
    found = reach(loaded.deployment, structure_of(loaded.deployment, None))
    return tuple(drive for drive in DRIVES if found[drive].reachable)
