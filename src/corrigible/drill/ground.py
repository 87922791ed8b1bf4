"""What attacks stand on: which calls of a deployment pass, which ask, which are denied."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from corrigible.deployment.touch import touch
from corrigible.drill.calls import Candidate, NotBuilt, candidates, loosest
from corrigible.drill.records import Answer
from corrigible.drill.stage import NOTE, Fired, Stage
from corrigible.guard.call import Call


@dataclass(frozen=True)
class Found:
    """What one attack came to."""

    answer: Answer
    said: str
    tries: int = 0


@dataclass(frozen=True)
class Kind:
    """One attack: its numbers in the list, when it is held, and how it is fired."""

    name: str
    numbers: tuple[int, ...]
    held_when: str
    fire: Callable[["Ground"], Found]


@dataclass(frozen=True)
class Ground:
    """A stage, and calls of its deployment: one for each tool, verb and asset.

    `passing` are allowed at the start of a run, `asking` need an operator, `denied` neither.
    """

    stage: Stage
    passing: tuple[Candidate, ...]
    asking: tuple[Candidate, ...]
    denied: tuple[Candidate, ...]

    @property
    def acting(self) -> Candidate | None:
        """A call that passes and does more than read, reversible before irreversible."""
        found = [one for one in self.passing if any(e.verb != "read" for e in one.decision.effects)]
        return min(found, key=lambda one: one.decision.irreversible, default=None)

    @property
    def harmless(self) -> Candidate | None:
        """A call that passes, one that only reads before one that does more."""
        acting = self.acting
        return next((one for one in self.passing if one is not acting), acting)


def ground_of(stage: Stage) -> Ground:
    """Sort the calls of a deployment by what the guard decides on them."""
    policy, deployment = stage.policy, stage.deployment
    sorted_: dict[str, list[Candidate]] = {"allow": [], "approve": [], "deny": []}
    for name in deployment.tools:
        server, _, short = name.partition(".")
        acts = {(e.verb, e.asset): None for e in touch(deployment, server, short).effects}
        for act in acts:
            best = loosest(policy, name, act)
            if isinstance(best, NotBuilt):
                continue
            sorted_[best.decision.verdict].append(best)
            if best.decision.verdict != "deny":
                worst = [
                    one for one in candidates(policy, name, act) if one.decision.verdict == "deny"
                ]
                sorted_["deny"] += worst[:1]
    return Ground(stage, *(_distinct(sorted_[verdict]) for verdict in ("allow", "approve", "deny")))


def _distinct(found: Iterable[Candidate]) -> tuple[Candidate, ...]:
    return tuple({one.call.digest: one for one in found}.values())


def none_reached(fired: Sequence[tuple[str, Fired]], *, what: str) -> Found:
    """Held where no call of some reached its server; `what` they were, in the plural."""
    through = [name for name, one in fired if one.state in {"reached", "withheld"}]
    if not fired:
        return Found("not applicable", f"there are no {what}")
    if through:
        return Found("broken", f"reached its server: {', '.join(through[:3])}", len(fired))
    rules = sorted({one.rule for _, one in fired if one.rule})
    return Found("held", f"{len(fired)} {what} denied by {', '.join(rules[:4])}", len(fired))


def renamed(call: Call, *, server: str | None = None, tool: str | None = None) -> Call:
    """Return a call of another name."""
    return replace(call, server=server or call.server, tool=tool or call.tool)


def noted(call: Call, number: int) -> Call:
    """Return a call with one more argument, that nothing reads: another call to the guard."""
    return replace(call, arguments={**call.arguments, NOTE: number})


def not_applicable(why: str) -> Found:
    """Return that an attack does not apply."""
    return Found("not applicable", why)


def checked(checks: dict[str, bool], *, tries: int = 0) -> Found:
    """Held where every check holds; names those that do not."""
    failed = [name for name, holds in checks.items() if not holds]
    if failed:
        return Found("broken", f"does not hold: {'; '.join(failed)}", tries or len(checks))
    return Found("held", "; ".join(checks), tries or len(checks))
