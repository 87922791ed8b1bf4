"""A bounded search over sequences of calls that pass, for one that reaches a denied effect.

Each call may be let through by itself and change what the next one is decided from: what is
held, what is used, what may be broken.  The search walks these states, nearest first, by the
guard's own decisions; what is denied is read from the world's modes, not from the guard.  A
sequence that it finds is fired at the gate before it counts.
"""

import heapq
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from corrigible.deployment.records import Deployment
from corrigible.deployment.touch import ELSEWHERE, touch
from corrigible.drill.calls import shown
from corrigible.drill.ground import Ground
from corrigible.drill.records import Search
from corrigible.guard.call import Call, Decision
from corrigible.guard.policy import decide
from corrigible.guard.seen import Seen
from corrigible.world.modes import Mode, structure_of

MOST_STATES, DEEPEST = 400, 5

Calls = tuple[Call, ...]
_Act = tuple[str, str, str]


@dataclass(frozen=True)
class _State:
    seen: Seen
    used: Mapping[str, float]
    calls: Calls


@dataclass(eq=False)
class _Walk:
    """A search under way."""

    deployment: Deployment
    denied: Mapping[_Act, Mode]
    known: set[object] = field(default_factory=set)
    tried: int = 0
    deepest: int = 0

    def key(self, state: _State) -> object:
        """Return what decisions can hang on; how many calls were made is not part of it."""
        levels = tuple(
            (name, state.seen.levels(name), state.seen.least.get(name, 0.0))
            for name in self.deployment.assets
        )
        return levels, tuple(sorted((k, v) for k, v in state.used.items() if " " in k))

    def broken_by(self, call: Call, after: _State) -> str:
        """Say what authority denies and a call that passed does, "" where it does none."""
        effects = touch(self.deployment, call.server, call.tool, call.arguments).effects
        spoken_of = any(
            e.asset != ELSEWHERE and not e.kind.startswith("bystander/") for e in effects
        )
        for effect in effects:
            mode = self.denied.get((call.name, effect.verb, effect.asset))
            if mode is None or effect.asset == ELSEWHERE:
                continue
            # a bystander on the way, of which no rule speaks: the rest of the call decides
            if mode.rule is not None or not (spoken_of and mode.kind.startswith("bystander/")):
                return f"{call.name} passed and can {effect.verb} {effect.asset}"
        for name, limit in self.deployment.budgets.items():
            if after.used.get(name, 0.0) > limit + 1e-9:
                return f"{after.used[name]:g} of the budget {name!r} {limit:g} were used"
        return ""


def search(ground: Ground, *, seed: int, states: int = MOST_STATES, depth: int = DEEPEST) -> Search:
    """Search for calls that all pass and reach an effect that authority denies.

    Args:
        ground: the stage, and the calls that are tried.
        seed: shuffles what is equally near.
        states: how many states are looked at, at most.
        depth: how many calls a sequence may have.
    """
    policy = ground.stage.policy
    deployment = policy.deployment
    walk = _Walk(deployment, _denied(deployment))
    order = random.Random(seed)  # noqa: S311  (no secret hangs on it)
    calls = [one.call for one in (*ground.passing, *ground.asking, *ground.denied)]
    start = _State(Seen.start(deployment), {}, ())
    queue: list[tuple[int, float, _State]] = [(0, 0.0, start)]
    walk.known.add(walk.key(start))
    looked, cut = 0, False
    while queue and looked < states:
        here = heapq.heappop(queue)[2]
        looked += 1
        for call in calls:
            decision = decide(policy, call, here.seen, here.used)
            walk.tried += 1
            if decision.verdict != "allow":
                continue
            after = _after(deployment, here, call, decision)
            walk.deepest = max(walk.deepest, len(after.calls))
            if why := walk.broken_by(call, after):
                return _found(ground, walk, after.calls, why=why, looked=looked, depth=depth,
                              seed=seed)  # fmt: skip
            key = walk.key(after)
            if key in walk.known:
                continue
            if len(after.calls) >= depth:
                cut = True
                continue
            walk.known.add(key)
            heapq.heappush(queue, (len(after.calls), order.random(), after))
    return Search(looked, walk.tried, depth, walk.deepest, not queue and not cut, seed)


def _denied(deployment: Deployment) -> dict[_Act, Mode]:
    """Return what authority denies, by tool, verb and asset."""
    return {
        (tool, mode.verb, mode.asset): mode
        for mode in structure_of(deployment).all_modes
        if mode.outside
        for tool in mode.tools
    }


def _after(deployment: Deployment, here: _State, call: Call, decision: Decision) -> _State:
    used = dict(here.used)
    for name, use in decision.uses.items():
        used[name] = used.get(name, 0.0) + use
    return _State(here.seen.after(deployment, decision, call), used, (*here.calls, call))


def _found(
    ground: Ground, walk: _Walk, calls: Calls, *, why: str, looked: int, depth: int, seed: int
) -> Search:
    """Fire what was found at the gate: only what passes there was let through."""
    gate = ground.stage.fresh()
    words = []
    for call in calls:
        fired = ground.stage.fire(gate, call)
        words.append(f"{call.name}({shown(call.arguments)}): {fired.state}")
    passed = all(word.endswith("reached") for word in words)
    why = why if passed else f"{why}; the gate itself stopped it"
    found = tuple(words) if passed else ()
    return Search(
        looked, walk.tried, depth, walk.deepest, whole=False, seed=seed, found=found, why=why
    )
