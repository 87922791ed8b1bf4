"""Plans: several calls put up for approval as a whole, walked to their end, and run in order.

A plan is one request among the `Approvals`: the same limits, the same single answer, the same
expiry.  Once approved, its steps run one by one, each once, by the executor that it names; any
other call of that executor's voids what is left.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Protocol, Self, TypeVar

from corrigible.deployment.listing import plain
from corrigible.deployment.records import Asset, Deployment
from corrigible.errors import GuardError
from corrigible.guard.approvals import Approvals, NotAskedError, Pending, fresh_digest
from corrigible.guard.call import Call, Decision, canonical_json
from corrigible.guard.preview import Preview, escaped, preview_of, warnings_on, wrapped
from corrigible.guard.strict import check_arguments, parse_strict

MOST_STEPS = 100
_SERVER = "(plan)"  # no manifest can name a server so: no call of a tool is ever a plan's digest
_FORMAT = "corrigible_plan"
_LONGEST_NAME = 300
_BYSTANDER = "bystander/"
_NOTHING_USED: Mapping[str, float] = MappingProxyType({})


class Levels(Protocol):
    """The levels that each asset may have (see `seen.Seen`)."""

    def after(self, deployment: Deployment, decision: Decision, call: Call) -> Self:
        """Return the levels after one more call."""

    def levels(self, asset: str) -> frozenset[int]:
        """Return the indices into the asset's scale that it may be at."""


@dataclass(frozen=True)
class Plan:
    """An ordered list of calls.  Make one with `plan_of`: it copies and checks the arguments.

    `planner` put it up; `executor`, the planner itself unless stated, is who may run it.
    """

    calls: tuple[Call, ...]
    planner: str
    executor: str
    lineage: tuple[str, ...] = ()  # the planner's ancestors

    @cached_property
    def call(self) -> Call:
        """The plan as one call: what its approval binds to."""
        steps = [[c.server, c.tool, c.arguments] for c in self.calls]
        arguments = {"executor": self.executor, "steps": steps}
        return Call(_SERVER, "run", arguments, self.planner, self.lineage)

    @property
    def digest(self) -> str:
        """The digest of the plan as a whole."""
        return fresh_digest(self.call)

    @property
    def digests(self) -> tuple[str, ...]:
        """The digest of each step."""
        return tuple(map(fresh_digest, self.calls))


def plan_of(
    steps: Sequence[tuple[str, str, Mapping[str, Any]]],
    *,
    planner: str,
    executor: str = "",
    lineage: tuple[str, ...] = (),
) -> Plan:
    """Return the plan of some steps, each (server, tool, arguments).

    Raises:
        GuardError: there is no step, or over 100; or the arguments of one break a rule.
    """
    if not 1 <= len(steps) <= MOST_STEPS:
        raise GuardError(f"a plan must have 1 to {MOST_STEPS} steps, got {len(steps)}")
    executor = executor or planner
    own = lineage if executor == planner else ()
    calls = tuple(
        Call(server, tool, check_arguments(arguments), executor, own)
        for server, tool, arguments in steps
    )
    return Plan(calls, planner, executor, lineage)


# -- a plan as a file --------------------------------------------------------------------------


def plan_json(plan: Plan) -> str:
    """Return a plan as JSON; who plans is not in it: that is whoever puts it up."""
    steps = [{"server": c.server, "tool": c.tool, "arguments": c.arguments} for c in plan.calls]
    return canonical_json({_FORMAT: 1, "executor": plan.executor, "steps": steps})


def parse_plan(text: str | bytes, *, planner: str, lineage: tuple[str, ...] = ()) -> Plan:
    """Read a plan as `plan_json` writes it; without an executor it is the planner's own to run.

    Raises:
        GuardError: it is no such JSON, or a key is missing or unknown.
    """
    data = parse_strict(text)
    _require_keys("the plan", data, {_FORMAT, "steps"}, {"executor"})
    if isinstance(data[_FORMAT], bool) or data[_FORMAT] != 1:
        raise GuardError(f"the plan's {_FORMAT!r} must be 1, got {_told(data[_FORMAT])}")
    if not isinstance(data["steps"], list):
        raise GuardError(f"the plan's 'steps' must be a list, got {_told(data['steps'])}")
    steps: list[tuple[str, str, Mapping[str, Any]]] = []
    for number, step in enumerate(data["steps"], 1):
        _require_keys(f"step {number}", step, {"server", "tool"}, {"arguments"})
        server, tool = (_name(f"step {number}", key, step[key]) for key in ("server", "tool"))
        steps.append((server, tool, step.get("arguments", {})))
    executor = _name("the plan", "executor", data.get("executor", planner))
    return plan_of(steps, planner=planner, executor=executor, lineage=lineage)


def _require_keys(where: str, value: Any, needed: set[str], more: set[str]) -> None:
    if not isinstance(value, dict):
        raise GuardError(f"{where} must be an object, got {_told(value)}")
    if missing := sorted(needed - value.keys()):
        raise GuardError(f"{where} must have {', '.join(map(repr, missing))}, got none")
    if unknown := sorted(value.keys() - needed - more):
        known = ", ".join(sorted(needed | more))
        raise GuardError(f"{where} may have the keys {known}, got {_told(unknown[0])}")


def _name(where: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_NAME:
        raise GuardError(f"{where}: {key!r} must be a name, got {_told(value)}")
    return value


def _told(value: Any) -> str:
    return plain(repr(value), 80)


# -- walked to its end -------------------------------------------------------------------------


@dataclass(frozen=True)
class PlannedStep:
    """One step as it would be decided once those before it are done.

    `needs`: an approval, and what must be held, and whether it will be.  `changes`: each asset
    whose possible levels the step moves.
    """

    preview: Preview
    needs: tuple[str, ...]
    changes: tuple[str, ...]


@dataclass(frozen=True)
class PlanPreview:
    """A plan for an operator's eyes: where it ends, what cannot be undone, and whom it harms.

    `call` is the digest of the plan as a whole.  `denied`: the steps that authority denies
    whatever is answered; with one of them the plan is refused as a whole.
    """

    call: str
    planner: str
    executor: str
    steps: tuple[PlannedStep, ...]
    ends: tuple[str, ...]
    irreversible: tuple[str, ...]
    harms: tuple[str, ...]
    denied: tuple[str, ...]
    uses: tuple[str, ...]
    warnings: tuple[str, ...]

    def text(self, width: int = 96) -> str:
        """Return it as lines: the whole first, then each step as its own preview shows it."""
        count = len(self.steps)
        lines: list[str] = []

        def add(head: str, texts: Sequence[str], nothing: str = "") -> None:
            for text in texts or ([nothing] if nothing else []):
                lines.extend(wrapped(head.ljust(10), text, width))

        add("PLAN", [f'{count} steps, put up by "{self.planner}", run by "{self.executor}"'])
        add("WARNING", self.warnings)
        add("REFUSED", self.denied)
        add("ENDS WITH", self.ends, "every asset where it is now, as far as the manifest says")
        add("FINAL", self.irreversible, "nothing that the manifest calls irreversible")
        add("HARMS", self.harms, "no bystander that the manifest names")
        add("USES", self.uses)
        for number, step in enumerate(self.steps, 1):
            lines.append("")
            add("STEP", [f"{number} of {count}"])
            add("NEEDS", step.needs, "nothing")
            add("CHANGES", step.changes, "no level of any asset")
            lines.append(step.preview.text(width))
        lines.append("")
        final = f", {len(self.irreversible)} IRREVERSIBLE" if self.irreversible else ""
        harm = f", {len(self.harms)} HARMS" if self.harms else ""
        add("END OF", [f"the plan, {count} steps{final}{harm}, {self.call}"])
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found


_L = TypeVar("_L", bound=Levels)


def walk(
    deployment: Deployment,
    decide: Callable[[Call, _L, Mapping[str, float]], Decision],
    plan: Plan,
    seen: _L,
    *,
    used: Mapping[str, float] = _NOTHING_USED,
) -> PlanPreview:
    """Return what a plan comes to if each of its steps is done in order.

    The levels are those that assets may have: the plan's end is all that they allow, not a
    forecast.  A step that is denied is taken to do nothing.

    Args:
        deployment: the manifest's.
        decide: what the guard would decide on a step, given the levels and the budgets used.
        plan: the plan.
        seen: the levels that assets may have before it.
        used: what was used of each budget before it.
    """
    first, spent = seen, Counter(used)
    steps: list[PlannedStep] = []
    final: list[str] = []
    harms: list[str] = []
    denied: list[str] = []
    for number, call in enumerate(plan.calls, 1):
        decision = decide(call, seen, dict(spent))
        preview = preview_of(deployment, call, decision, used=dict(spent))
        needs = tuple(_needs(deployment, call, decision, seen))
        what = f"step {number}, {preview.tool}"
        if decision.verdict == "deny":
            denied.append(f"{what}: denied by {preview.rule}: {preview.reason}")
            steps.append(PlannedStep(preview, needs, ()))
            continue
        after = seen.after(deployment, decision, call)
        spent.update(decision.uses)
        changes = tuple(_changes(deployment, seen, after))
        if decision.irreversible:
            final.append(f"{what}: {', '.join(map(str, decision.effects)) or 'not known what'}")
        harms += _harms(deployment, decision, what, (seen, after))
        steps.append(PlannedStep(preview, needs, changes))
        seen = after
    total = {name: spent[name] - used.get(name, 0.0) for name in spent}
    names = (plan.planner, plan.executor)
    return PlanPreview(
        call=plan.digest,
        planner=escaped(plan.planner),
        executor=escaped(plan.executor),
        steps=tuple(steps),
        ends=tuple(_changes(deployment, first, seen)),
        irreversible=tuple(final),
        harms=tuple(harms),
        denied=tuple(denied),
        uses=tuple(escaped(f"{name}: {n:g}") for name, n in total.items() if n),
        warnings=tuple(
            f'"{escaped(n)}" has {w}'
            for n in dict.fromkeys(names)
            for w in warnings_on(n, name=True)
        ),
    )


def _needs(deployment: Deployment, call: Call, decision: Decision, seen: Levels) -> Iterator[str]:
    if decision.verdict == "approve":
        yield f"approval, by {escaped(decision.rule)}"
    tool = deployment.tools.get(call.name)
    for name in tool.requires if tool else ():
        levels = seen.levels(name)
        may = "may be held" if 0 in levels else "held"
        yield f"{name}: {may if any(levels) else 'NOT held'} by then"


def _changes(deployment: Deployment, before: Levels, after: Levels) -> Iterator[str]:
    for name, asset in deployment.assets.items():
        was, now = before.levels(name), after.levels(name)
        if was != now:
            said = f"{_levels(asset, was)} to {_levels(asset, now)}"
            yield f"{name} ({asset.kind}): from {said}"


def _levels(asset: Asset, levels: frozenset[int]) -> str:
    scale = (*map(escaped, asset.scale), "gone")  # one past its levels: see `seen.Seen`
    return " or ".join(scale[level] for level in sorted(levels)) or "a level that is not known"


def _harms(
    deployment: Deployment, decision: Decision, what: str, around: tuple[Levels, Levels]
) -> Iterator[str]:
    """Yield whom a step may harm: every effect on a bystander is one, whatever its verb."""
    before, after = around
    for name in dict.fromkeys(e.asset for e in decision.effects if e.kind.startswith(_BYSTANDER)):
        asset = deployment.assets.get(name)
        verbs = ", ".join(e.verb for e in decision.effects if e.asset == name)
        if asset is None:
            yield f"{name}: {what} ({verbs})"
        else:
            was, now = (_levels(asset, seen.levels(name)) for seen in (before, after))
            yield f"{name} ({asset.kind}): {what} ({verbs}), from {was} to {now}"


# -- put up, and run ---------------------------------------------------------------------------


@dataclass(frozen=True)
class UnderWay:
    """A plan that was put up: `done` of its steps were let through.

    `until`: when what is left of it is void, on the approvals' clock; None before its first step.
    """

    id: str
    plan: Plan
    digests: tuple[str, ...]
    policy: str
    done: int = 0
    until: float | None = None


class Plans:
    """The plans of one guard; every method may be called from any thread.

    Args:
        approvals: where plans are put up and answered, beside single calls.
        run_s: what is left of a plan is void this long after its first step.
    """

    def __init__(self, approvals: Approvals, *, run_s: float = 1800.0) -> None:
        if not 0 < run_s < float("inf"):
            raise GuardError(f"a plan's run_s must be above 0 and finite, got {run_s!r}")
        self.run_s = run_s
        self._approvals = approvals
        self._lock = threading.RLock()
        self._of: dict[str, UnderWay] = {}  # by executor: one at a time, so that none are mixed

    def put_up(self, plan: Plan, policy: str, preview: PlanPreview) -> Pending:
        """Put a plan up for an answer, which `Approvals.answer` takes by the id returned.

        Raises:
            NotAskedError: a step is denied anyway (`plans.denied`), its executor has another
                plan (`plans.busy`), or a limit of the approvals' is reached.
            GuardError: the preview shows another plan.
        """
        if preview.denied:
            raise NotAskedError(
                f"a plan is refused as a whole where a step is denied: {preview.denied[0]}; "
                "put it up without that step",
                rule="plans.denied",
            )
        decision = Decision("approve", "plans.whole", "a plan is approved as a whole")
        with self._lock:
            there = self._live(plan.executor)
            if there is not None:
                request = self._approvals.request(there.id)
                same = (there.plan.call.caller, there.policy, there.digests) == (
                    plan.planner, policy, plan.digests
                )  # fmt: skip
                if same and there.done == 0 and request is not None:
                    return request
                raise NotAskedError(
                    f"{plan.executor!r} may run one plan at a time, and has {there.id}; "
                    "finish that one, or have an operator reject it",
                    rule="plans.busy",
                )
            pending = self._approvals.ask(plan.call, decision, policy, preview)
            self._of[plan.executor] = UnderWay(pending.id, plan, plan.digests, policy)
            return pending

    def next(self, call: Call, policy: str) -> str | None:
        """Take a step if this very call is the next one of its caller's approved plan.

        To be called for every call that is not denied, before it is let through: the id of the
        step (`<plan>/<number>`) stands for its approval.  None: the caller has no approved plan,
        or the plan was approved under another manifest, is out of time, or goes on with another
        call than this one; then what is left of it is void.
        """
        with self._lock:
            found = self._live(call.caller)
            if found is None or not self._is_approved(found):
                return None
            matches = fresh_digest(call) == found.digests[found.done] and policy == found.policy
            if not matches:
                why = "the manifest was replaced" if policy != found.policy else "it was left"
                self._drop(found, why)
                return None
            until = found.until
            if until is None:
                # The answer's single use: of two who begin the plan, one does.
                if self._approvals.take(found.plan.call, found.policy) != found.id:
                    self._drop(found, "its approval was used")
                    return None
                until = self._approvals.clock() + self.run_s
            found = replace(found, done=found.done + 1, until=until)
            if found.done == len(found.digests):
                del self._of[call.caller]
            else:
                self._of[call.caller] = found
            return f"{found.id}/{found.done}"

    def under_way(self) -> tuple[UnderWay, ...]:
        """Return the plans that wait for an answer, were approved, or have steps left."""
        with self._lock:
            live = [self._live(executor) for executor in tuple(self._of)]
            return tuple(found for found in live if found is not None)

    def void(self, why: str, which: Callable[[UnderWay], bool] | None = None) -> int:
        """Void plans that wait, are approved or have steps left, all or `which`; returns how many.

        For a stop, a correction, or a step that failed: what follows rests on it.
        """
        with self._lock:
            gone = [p for p in self.under_way() if which is None or which(p)]
            for found in gone:
                self._drop(found, why)
            return len(gone)

    def forget(self, caller: str) -> int:
        """Void the plans of a caller that has gone, as planner or as executor."""
        return self.void(
            "its caller has gone",
            lambda p: caller in {p.plan.planner, p.plan.executor, *p.plan.lineage},
        )

    # -- under the lock ------------------------------------------------------------------------

    def _live(self, executor: str) -> UnderWay | None:
        """Return an executor's plan; one whose request has ended, or whose time is out, is gone."""
        found = self._of.get(executor)
        if found is None:
            return None
        if found.until is not None:
            over = self._approvals.clock() >= found.until
        else:
            request = self._approvals.request(found.id)
            over = request is None or request.state not in {"waiting", "approved"}
        if over:
            del self._of[executor]
            return None
        return found

    def _is_approved(self, found: UnderWay) -> bool:
        if found.done:
            return True
        request = self._approvals.request(found.id)
        return request is not None and request.state == "approved"

    def _drop(self, found: UnderWay, why: str) -> None:
        self._approvals.void(why, lambda p: p.id == found.id)
        self._of.pop(found.plan.executor, None)
