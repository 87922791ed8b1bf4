"""The decision on one call: a pure function of a policy, the call, and what has happened.

In this order, the first that denies: the name of the tool, whether it is held back, the form of
the arguments, the effects under the rules of authority, amounts, what the tool requires, budgets.
Nothing is allowed that some rule does not grant, and every error denies.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from math import inf, isinf, isnan, nan
from types import MappingProxyType
from typing import Any

from corrigible.deployment.listing import Listing, plain
from corrigible.deployment.lock import Lock
from corrigible.deployment.records import Deployment
from corrigible.deployment.rules import Rule, rules_of
from corrigible.guard.alike import look_of
from corrigible.guard.amounts import AmountError, amount_of, must_be_whole, taken
from corrigible.guard.budgets import HOURS, exceeds
from corrigible.guard.call import Call, DecidedEffect, Decision
from corrigible.guard.effects import MISSING_WEIGHTS, Ruled, RuledEffect, Ruler
from corrigible.guard.held import live_tools
from corrigible.guard.names import NameIndex
from corrigible.guard.schema import Checker
from corrigible.guard.seen import Seen
from corrigible.guard.strict import StrictError, check_arguments
from corrigible.guard.weights import WeightTable

_NONE: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Policy:
    """All that decisions are made from; nobody changes it, another manifest makes another one.

    `table` is None where there is none or where it is of another manifest.  `held`: tool -> why
    it is held back.  `checkers`: tool -> the check of its arguments; a tool without one (a plain
    function) has no schema.
    """

    deployment: Deployment
    digest: str
    rules: tuple[Rule, ...]
    table: WeightTable | None
    checkers: Mapping[str, Checker]
    held: Mapping[str, str]
    lock: Lock | None
    names: NameIndex = field(repr=False)
    tools: Mapping[str, "ToolRules"] = field(repr=False)

    @classmethod
    def of(
        cls,
        deployment: Deployment,
        digest: str,
        *,
        table: WeightTable | None = None,
        listings: Sequence[Listing] = (),
        lock: Lock | None = None,
    ) -> "Policy":
        """Make the policy of a checked deployment.

        `table`: weights of acts; one of another manifest counts as none, and rules that read
        weights then deny.  `listings`: the servers' tools as they are now.  `lock`: what was
        reviewed of them.  With neither, nothing is held back and no arguments have a schema:
        that is for plain functions alone.
        """
        fresh = table if table is not None and table.digest == digest else None
        live = live_tools(deployment, listings, lock)
        bare = cls(
            deployment=deployment,
            digest=digest,
            rules=rules_of(deployment),
            table=fresh,
            checkers=live.checkers,
            held=live.held,
            lock=lock,
            names=NameIndex(deployment.tools),
            tools={},
        )
        return replace(bare, tools=_tools(bare))

    def with_listings(self, listings: Sequence[Listing]) -> "Policy":
        """Return the same policy for the servers' tools as they are now."""
        live = live_tools(self.deployment, listings, self.lock)
        bare = replace(self, checkers=live.checkers, held=live.held)
        return replace(bare, tools=_tools(bare))

    def may_pass(self, server: str, tool: str) -> bool:
        """Whether some call of a tool may be let through: it is known, not held, not all denied."""
        name = f"{server}.{tool}"
        if self.names.problem(server, tool) is not None or name in self.held:
            return False
        return self.tools[name].may_pass


@dataclass(frozen=True, eq=False)
class ToolRules:
    """What decisions on the calls of one tool are made from, worked out once.

    `known`: the names that its arguments may have, as far as anybody says; `looks`: what these
    look like.  `counted`: the budgets that count its effects, with the verb and target of each.
    """

    name: str
    ruler: Ruler
    checker: Checker | None
    known: frozenset[str]
    looks: Mapping[str, str]
    counted: tuple[tuple[str, str, str], ...]

    @cached_property
    def may_pass(self) -> bool:
        """Whether some call may be let through."""
        return self.ruler.may_pass()


def _tools(policy: Policy) -> Mapping[str, ToolRules]:
    """Work out the rules of every tool; those whose arguments are as before stay as they are."""
    budgets = policy.deployment.budgets
    counted = tuple((key, *key.split(" ", 1)) for key in budgets if " " in key)
    found = {}
    for name in policy.deployment.tools:
        checker = policy.checkers.get(name)
        speaks = checker is not None and bool(checker.names or checker.closed)
        said = checker.names if checker is not None and speaks else None
        before = policy.tools.get(name)
        if before is not None and before.ruler.known == said:
            ruler = before.ruler
        else:
            ruler = Ruler(policy.deployment, policy.rules, policy.table, name, known=said)
        known = ruler.named if said is None else said
        looks = {look_of(argument): argument for argument in sorted(ruler.named | known)}
        found[name] = ToolRules(name, ruler, checker, known, looks, counted)  # type: ignore[arg-type]
    return MappingProxyType(found)


@dataclass(frozen=True)
class _No:
    """Why a call is denied."""

    rule: str
    reason: str
    lifts: str


def decide(
    policy: Policy | None, call: Call, seen: Seen, used: Mapping[str, float] = _NONE
) -> Decision:
    """Decide on one call.  Pure, and never raises: an error denies with `error.<its type>`.

    What a call costs counts once a call, as the manifest states it, whatever its amount.  An
    effect counts once a place and as often as its amount says (see `amounts`); code that a call
    runs may have an effect any number of times, so no budget on it can be kept and it is denied.
    A call is denied where a thing that its tool requires cannot be held, as far as was let out:
    it would fail, or do what the manifest knows nothing of.  Where it may be held the rules
    decide alone.  A call counts as irreversible where its tool's entry says so, or where some
    effect of it has a weight of `IRREVERSIBLE_FROM` or more.

    Args:
        policy: what is granted; None or anything else that is no policy denies all.
        call: what is asked for.
        seen: the levels that assets may have.
        used: what this run has used of each budget, `hours` too.
    """
    digest = ""
    try:
        if not isinstance(policy, Policy):
            return Decision("deny", "policy.missing", "no policy is loaded, so nothing is granted")
        digest = policy.digest
        return _decided(policy, call, seen, used)
    except Exception as error:  # noqa: BLE001  (whatever fails here must deny, not pass)
        rule = f"error.{type(error).__name__}"
        reason = "the call could not be decided, so it is denied"
        lifts = "report this as a fault of the guard, or make the call or the manifest simpler"
        return Decision("deny", rule, reason, lifts=lifts, policy=digest)


def _decided(policy: Policy, call: Call, seen: Seen, used: Mapping[str, float]) -> Decision:
    if found := policy.names.problem(call.server, call.tool):
        lifts = f"an entry in `tools` named {plain(call.name, 80)!r}, and rules that cover it"
        return Decision("deny", *found, lifts=lifts, policy=policy.digest)
    tool = policy.tools[call.name]
    try:
        arguments = check_arguments(call.arguments)
    except StrictError as error:
        no = _No(error.rule, str(error), "arguments that every reader reads alike")
        return _denied(policy, tool, None, no)
    no_form = _held(policy, call.name) or _ill_formed(tool, arguments)
    if no_form is not None:
        return _denied(policy, tool, arguments, no_form)
    ruled = tool.ruler.ruled(arguments)
    refused = _unauthorized(ruled)
    uses: Mapping[str, float] = _NONE
    if refused is None:
        try:
            uses = dict(_uses(tool, ruled, arguments, seen))
        except AmountError as error:
            refused = _No(error.rule, str(error), "an amount that can be counted")
    refused = refused or _unmet(policy.deployment, tool, seen)
    refused = refused or _spent(policy.deployment, uses, used)
    if refused is not None:
        return _denied(policy, tool, ruled, refused)
    return _granted(policy, ruled, uses)


def _granted(policy: Policy, ruled: Ruled, uses: Mapping[str, float]) -> Decision:
    """Return a decision that lets the call through, or puts it to an operator."""
    first = ruled.deciding
    if first is None:  # `_unauthorized` denies such a call
        raise ValueError("nothing that it does decides")
    asked = ruled.verdict == "approve"
    return Decision(
        verdict="approve" if asked else "allow",
        rule=first.rule,
        reason=_why_granted(first),
        lifts="an operator's approval of exactly this call" if asked else "",
        effects=ruled.decided,
        drives=ruled.drives,
        rests_on=ruled.rests_on,
        irreversible=ruled.irreversible,
        uses=MappingProxyType(dict(uses)),
        policy=policy.digest,
    )


@lru_cache(maxsize=4096)
def _why_granted(effect: DecidedEffect) -> str:
    asked = effect.verdict == "approve"
    needs = "needs an operator's approval, by" if asked else "is granted by"
    return f"{str(effect)!r} {needs} the rule {plain(effect.rule)!r}"


def _denied(
    policy: Policy, tool: ToolRules, what: Ruled | Mapping[str, Any] | None, no: _No
) -> Decision:
    """Return a denial; what the call would have touched is told where it can be known."""
    ruled = what if isinstance(what, Ruled) else None
    if ruled is None and what is not None:
        with suppress(Exception):  # it is denied already: this only says more of it
            ruled = tool.ruler.ruled(what)  # type: ignore[arg-type]  # no Ruled: arguments
    return Decision(
        verdict="deny",
        rule=no.rule,
        reason=no.reason,
        lifts=no.lifts,
        effects=ruled.decided if ruled else (),
        drives=ruled.drives if ruled else (),
        rests_on=ruled.rests_on if ruled else (),
        irreversible=ruled.irreversible if ruled else False,
        policy=policy.digest,
    )


def _held(policy: Policy, name: str) -> _No | None:
    if (why := policy.held.get(name)) is None:
        return None
    lifts = "`corrigible review DEPLOYMENT`, once a person has read what it is now"
    return _No("tool.held", f"{plain(name, 80)!r} is held back: {why}", lifts)


def _ill_formed(tool: ToolRules, arguments: Mapping[str, Any]) -> _No | None:
    """Why arguments are not of the tool's form, or name what only looks like an argument."""
    lifts = "arguments as the tool's schema has them"
    for name in arguments.keys() - tool.known:
        other = tool.looks.get(look_of(name))
        if other is not None and other != name:
            reason = f"the argument {plain(name, 80)!r} looks like {plain(other, 80)!r} and is not"
            return _No("arguments.alike", reason, lifts)
        if tool.checker is not None and tool.checker.closed:
            reason = f"the tool's schema knows no argument {plain(name, 80)!r}"
            return _No("arguments.unknown", reason, lifts)
    wrong = None if tool.checker is None else tool.checker.problem(arguments)
    return None if wrong is None else _No("arguments.schema", plain(wrong, 400), lifts)


def _unauthorized(ruled: Ruled) -> _No | None:
    """Why authority denies a call; None where it does not."""
    if ruled.verdict != "deny":
        return None
    at = f" ({plain(ruled.note, 300)})" if ruled.note else ""
    if ruled.deciding is None:
        lifts = "a rule in `authority.allow` or `authority.approve` that covers what it touches"
        return _No("default", f"no rule grants anything that it touches{at}", lifts)
    return _refusal(ruled.deciding, at)


def _refusal(effect: DecidedEffect, at: str) -> _No:
    shown = repr(str(effect))
    if effect.rule == MISSING_WEIGHTS:
        return _No(
            MISSING_WEIGHTS,
            f"a rule on {shown} reads weights, and there is no table of them for this manifest",
            "`corrigible compile DEPLOYMENT`, which writes the table beside the manifest",
        )
    if effect.rule:
        return _No(
            effect.rule,
            f"{shown} is denied by the rule {plain(effect.rule)!r}{at}",
            "a narrower rule in `authority.deny`, if its operator wants that",
        )
    return _No(
        "default",
        f"no rule grants {shown}{at}",
        f"a rule in `authority.allow` or `authority.approve` that covers {shown}",
    )


def _uses(
    tool: ToolRules, ruled: Ruled, arguments: Mapping[str, Any], seen: Seen
) -> Iterator[tuple[str, float]]:
    """Yield what the call takes from each budget; infinite or no number where nobody can say."""
    record = tool.ruler.tool
    amount = amount_of(record, arguments) if tool.ruler.amount_known else None
    if amount is not None and not amount.is_integer():
        for effect in ruled.effects:
            if must_be_whole(effect.decided.verb, effect.decided.kind):
                text = f"the amount must be whole: {str(effect.decided)!r} comes in whole numbers"
                raise AmountError("amount.whole", text)
    yield "calls", 1.0 + record.cost.get("calls", 0.0)
    yield from ((unit, cost) for unit, cost in record.cost.items() if unit != "calls")
    for key, verb, target in tool.counted:
        fitting = [e for e in ruled.effects if target in {e.decided.asset, e.decided.kind}]
        if verb == "run":
            yield key, float(len({e.decided.asset for e in fitting if e.by_run}))
            continue
        fitting = [effect for effect in fitting if effect.decided.verb == verb]
        if fitting:
            yield key, sum(_taken(tool, effect, amount, seen) for effect in fitting)


def _taken(tool: ToolRules, effect: RuledEffect, amount: float | None, seen: Seen) -> float:
    if effect.by_run:
        return inf
    least = seen.least.get(effect.decided.asset, 0.0)
    each = taken(tool.ruler.tool, amount, effect.decided.verb, least)
    return nan if each is None else each * effect.times


def _unmet(deployment: Deployment, tool: ToolRules, seen: Seen) -> _No | None:
    for needed in tool.ruler.tool.requires:
        if not seen.may_be_held(deployment, needed):
            reason = f"it requires {needed!r}, which cannot be held after what was let out"
            lifts = f"a call that takes {needed!r} first, or its `start` in the manifest"
            return _No(f"requires.{needed}", reason, lifts)
    return None


def _spent(
    deployment: Deployment, uses: Mapping[str, float], used: Mapping[str, float]
) -> _No | None:
    """Name a budget that the call would pass."""
    limits = deployment.budgets
    if HOURS in limits and not used.get(HOURS, 0.0) < limits[HOURS]:
        return _No("budget.hours", f"the run's {limits[HOURS]:g} hours are over", _MORE)
    for key, use in uses.items():
        if use == 0 or key not in limits:
            continue
        before = used.get(key, 0.0)
        if isnan(use):
            reason = f"the call names no amount, so what it takes of the budget {key!r} is unknown"
            return _No(f"budget.{key}", reason, "the amount, as an argument of the call")
        if isinf(use):
            reason = f"code that it runs may do it any number of times, past the budget {key!r}"
            return _No(f"budget.{key}", reason, "a sandbox for the tool that leaves it out")
        if exceeds(before, use, limits[key]):
            left = max(limits[key] - before, 0.0)
            reason = f"of the budget {key!r} {left:g} of {limits[key]:g} is left, it takes {use:g}"
            return _No(f"budget.{key}", reason, _MORE)
    return None


_MORE = "a larger budget in the manifest, or a new run, if its operator wants that"
