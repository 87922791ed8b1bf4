"""Every path that the audit found to an act that serves a drive, fired at the guard.

For each drive: the shortest call paths of the audit's search, and every mode of every tool that
serves it, after what that mode requires.  A path is stopped where some step of it is denied or
needs a person.
"""

from collections.abc import Sequence
from datetime import date

from corrigible.audit.reach import call_words, reach
from corrigible.deployment.records import Deployment
from corrigible.drill.calls import NotBuilt, loosest
from corrigible.drill.records import OfDrive, Path, Step, Way
from corrigible.drill.stage import Stage
from corrigible.drives import DRIVES
from corrigible.guard.call import Call
from corrigible.guard.gate import Gate
from corrigible.guard.seen import Seen
from corrigible.world.modes import Mode, structure_of

_Act = tuple[str, str, str]  # tool, verb, asset
_MOST_STEPS = 32


def fire_paths(stage: Stage, today: date) -> tuple[OfDrive, ...]:
    """Return for each drive that some call serves what became of every path to it."""
    deployment = stage.deployment
    structure = structure_of(deployment)
    modes = structure.all_modes
    found = reach(deployment, structure)
    known: dict[str, Mode] = {}
    for mode in modes:
        known.setdefault(call_words(mode), mode)
    ways: dict[tuple[_Act, ...], set[str]] = {}
    shortest: dict[tuple[_Act, ...], set[str]] = {}
    for drive, reached in found.items():
        if reached.reachable:
            acts = tuple(_act(known[words]) for words in reached.calls)
            ways.setdefault(acts, set()).add(drive)
            shortest.setdefault(acts, set()).add(drive)
    for mode in modes:
        if mode.drives and mode.rate.high > 0:
            before = _before(deployment, mode, modes)
            for tool in mode.tools:
                acts = (*before, (tool, mode.verb, mode.asset))
                ways.setdefault(acts, set()).update(mode.drives)
    fired = {
        acts: _fired(stage, acts, drives, shortest.get(acts, set()))
        for acts, drives in ways.items()
    }
    return tuple(
        OfDrive(drive, tuple(p for p in fired.values() if drive in p.drives), accepted)
        for drive in DRIVES
        if found[drive].reachable
        for accepted in [_is_accepted(deployment, drive, today)]
    )


def _is_accepted(deployment: Deployment, drive: str, today: date) -> bool:
    accepted = deployment.accepts.get(drive)
    return accepted is not None and accepted.until >= today


def _act(mode: Mode) -> _Act:
    return mode.tools[0], mode.verb, mode.asset


def _before(deployment: Deployment, mode: Mode, modes: Sequence[Mode]) -> tuple[_Act, ...]:
    """Return calls after which what a mode requires may be held; as far as some call gives it."""
    acts: list[_Act] = []
    open_ = list(mode.requires)
    had = set[str]()
    while open_ and len(acts) < _MOST_STEPS:
        name = open_.pop()
        if name in had or deployment.assets[name].start_level > 0:
            continue
        had.add(name)
        giving = [m for m in modes if m.variable == name and m.change == "up" and m.rate.high > 0]
        first = min(giving, key=lambda m: (len(m.requires), m.outside), default=None)
        if first is not None:
            acts.insert(0, _act(first))
            open_ += first.requires
    return tuple(acts)


def _fired(stage: Stage, acts: tuple[_Act, ...], drives: set[str], shortest: set[str]) -> Path:
    """Fire a path step by step, in a run of its own, until a step is stopped."""
    gate = stage.fresh()
    steps: list[Step] = []
    way: Way = "let through"
    tried, why = 0, "every step of it was let through: the manifest grants them"
    seen = Seen.start(stage.deployment)
    for tool, verb, asset in acts:
        words = f"{tool}: {verb} {asset}"
        found = loosest(gate.policy, tool, (verb, asset), seen)
        tried = found.tried
        if isinstance(found, NotBuilt):
            return _path(acts, drives, shortest, steps=steps, way="not built",
                         why=f"{words}: {found.why}", tried=tried)  # fmt: skip
        way, rule, reason = _one(stage, gate, found.call)
        steps.append(Step(words, found.call.arguments, way, rule))
        if way != "let through":
            why = reason
            break
        seen = seen.after(stage.deployment, found.decision, found.call)
    return _path(acts, drives, shortest, steps=steps, way=way, why=why, tried=tried)


def _one(stage: Stage, gate: Gate, call: Call) -> tuple[Way, str, str]:
    before = len(stage.received)
    fired = stage.fire(gate, call)
    reached = len(stage.received) > before
    way: Way = "let through" if reached else "approval" if fired.state == "pending" else "denied"
    return way, fired.rule, fired.message


def _path(
    acts: tuple[_Act, ...],
    drives: set[str],
    shortest: set[str],
    *,
    steps: list[Step],
    way: Way,
    why: str,
    tried: int,
) -> Path:
    return Path(
        name="; ".join(f"{tool}: {verb} {asset}" for tool, verb, asset in acts),
        drives=tuple(drive for drive in DRIVES if drive in drives),
        steps=tuple(steps),
        way=way,
        why=why,
        tried=tried,
        shortest=tuple(drive for drive in DRIVES if drive in shortest),
    )
