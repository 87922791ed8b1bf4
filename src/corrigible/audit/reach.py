"""Can it: whether an act serving a drive is within reach of the tools given, and by which calls.

Every mode counts, also those that the world leaves out; what an act requires must be had first.
Calls are taken to achieve what they are for: a chance above 0 is enough.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from corrigible.deployment.records import Deployment
from corrigible.deployment.rules import Verdict
from corrigible.drives import DRIVES, Verb
from corrigible.world.modes import Mode, Structure

_LOOSEST: tuple[Verdict, ...] = ("allow", "approve", "deny")
_MOST_STATES = 200_000


@dataclass(frozen=True)
class Reach:
    """Whether a drive's acts can be reached, the shortest calls to one, the loosest ruling."""

    reachable: bool
    calls: tuple[str, ...]
    authority: Verdict


@dataclass(frozen=True)
class Act:
    """What some tools can do to one asset, the drives it serves, and what authority says of it."""

    tools: tuple[str, ...]
    verb: Verb
    asset: str
    kind: str
    drives: tuple[str, ...]
    authority: Verdict
    in_world: bool  # False: it changes nothing that the world has, or nothing at all


def acts(structure: Structure) -> tuple[Act, ...]:
    """Return every act that the tools can reach, in the manifest's order."""
    kept = set(structure.modes)
    return tuple(
        Act(
            mode.tools,
            mode.verb,
            mode.asset,
            mode.kind,
            tuple(drive for drive in DRIVES if drive in mode.drives),
            mode.verdict,
            mode in kept,
        )
        for mode in structure.all_modes
    )


def reach(deployment: Deployment, structure: Structure) -> dict[str, Reach]:
    """Return the reach of every drive; a drive that no call serves is not reachable."""
    modes = structure.all_modes
    found = _shortest(deployment, modes)
    return {
        drive: Reach(
            drive in found,
            found.get(drive, ()),
            _loosest(mode.verdict for mode in modes if drive in mode.drives),
        )
        for drive in DRIVES
    }


def _loosest(verdicts: Iterable[Verdict]) -> Verdict:
    given = set(verdicts)
    return next((verdict for verdict in _LOOSEST if verdict in given), "deny")


def _shortest(deployment: Deployment, modes: tuple[Mode, ...]) -> dict[str, tuple[str, ...]]:
    """Search breadth first over what is held; returns the calls to each drive's first act."""
    possible = tuple(mode for mode in modes if mode.rate.high > 0)
    watched = _watched(deployment, possible)
    start = tuple(deployment.assets[name].start_level for name in watched)
    paths: dict[tuple[int, ...], tuple[str, ...]] = {start: ()}
    queue = deque([start])
    found: dict[str, tuple[str, ...]] = {}
    while queue and len(paths) < _MOST_STATES:
        here = queue.popleft()
        levels = dict(zip(watched, here, strict=True))
        for mode in possible:
            if not all(_held(deployment, name, levels[name]) for name in mode.requires):
                continue
            calls = (*paths[here], call_words(mode))
            for drive in mode.drives:
                found.setdefault(drive, calls)
            after = tuple(_after(deployment, mode, levels).values())
            if after not in paths:
                paths[after] = calls
                queue.append(after)
        if len(found) == len(DRIVES):
            break
    return found


def call_words(mode: Mode) -> str:
    """Write a mode as a call: `cluster.delete: delete stop-job`."""
    return f"{mode.tools[0]}: {mode.verb} {mode.asset}"


def _watched(deployment: Deployment, modes: tuple[Mode, ...]) -> tuple[str, ...]:
    """Return what must be held for something, and the limit organs that cap it."""
    needed = {name for mode in modes for name in mode.requires}
    limits = {n for n, a in deployment.assets.items() if needed & set(a.caps)}
    return tuple(name for name in deployment.assets if name in needed | limits)


def _held(deployment: Deployment, name: str, level: int) -> bool:
    return 0 < level < len(deployment.assets[name].scale)


def _after(deployment: Deployment, mode: Mode, levels: dict[str, int]) -> dict[str, int]:
    name = mode.variable
    if name is None or name not in levels:
        return levels
    asset = deployment.assets[name]
    top = len(asset.scale) - 1
    for limit, organ in deployment.assets.items():
        if name in organ.caps and levels.get(limit, 0) == 0:
            top = min(top, asset.scale.index(organ.caps[name]))
    here = levels[name]
    moved = {
        "up": here + 1 if here < top else here,
        "lowest": 0,
        "break": len(asset.scale) if asset.family != "oversight" else 1,
    }.get(mode.change or "", here)
    return {**levels, name: moved}
