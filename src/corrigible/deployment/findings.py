"""What a sound manifest may still leave open: findings, each with its place, its rule, a sentence.

A finding is no error: the manifest says what it says.  It is what a reviewer would ask about.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Protocol

from corrigible.deployment.check import givers_of
from corrigible.deployment.load import Loaded, dotted
from corrigible.deployment.masking import holds_secret, secret_words
from corrigible.deployment.records import Deployment
from corrigible.deployment.rules import DECLARED, STRICTEST, Act, Rule, parse_rule, rule_on
from corrigible.deployment.source import Path_
from corrigible.deployment.touch import ELSEWHERE, Effect, Touched, act_of, ruling_on, touch
from corrigible.drives import ORGANS


@dataclass(frozen=True)
class Finding:
    """One thing to ask about: `where` (`file:line:column path`), the rule, one sentence."""

    where: str
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: {self.text}"


class ReviewedTools(Protocol):
    """What `findings` reads of a lock: which tools were reviewed."""

    @property
    def tools(self) -> Mapping[str, object]:
        """`server.tool` -> what was reviewed of it: its digest, or more."""
        ...


@dataclass(frozen=True)
class _Review:
    """A checked deployment, with what its rules of review read of it."""

    deployment: Deployment
    lock: ReviewedTools | None
    today: date

    @cached_property
    def touched(self) -> Mapping[str, Touched]:
        """What the calls of each tool can touch."""
        parts = {name: name.partition(".") for name in self.deployment.tools}
        return {name: touch(self.deployment, p[0], p[2]) for name, p in parts.items()}

    @cached_property
    def effects(self) -> tuple[Effect, ...]:
        """Every effect of every tool, alike ones once."""
        return tuple(dict.fromkeys(e for t in self.touched.values() for e in t.effects))

    @cached_property
    def acts(self) -> tuple[Act, ...]:
        """The effects, as the rules of authority read them."""
        return tuple(act_of(self.deployment, effect) for effect in self.effects)

    @cached_property
    def rules(self) -> Mapping[Path_, Rule]:
        """The rules of authority by their place, the strictest list first."""
        return {
            ("authority", verdict, index): parse_rule(verdict, text, self.deployment)
            for verdict, index, text in self.deployment.authority.items()
        }


_Found = Iterator[tuple[Path_, str]]


def findings(
    loaded: Loaded, *, lock: ReviewedTools | None = None, today: date
) -> tuple[Finding, ...]:
    """Return what a reviewer of the manifest would ask about, in the order of the file.

    Args:
        loaded: a deployment that was loaded, and so checked.
        lock: what was reviewed of its servers; None where there is no lock.
        today: the day by which acceptances have ended or not.

    Returns:
        One finding for each thing; `RULES` says what each rule looks for.
    """
    review = _Review(loaded.deployment, lock, today)
    found = []
    for name, (_, rule) in _RULES.items():
        for path, text in rule(review):
            problem = loaded.source.problem(path, text)
            place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else None
            where = f"{place or problem.file} {dotted(path)}"
            found.append(((problem.line, problem.column), Finding(where, name, text)))
    return tuple(finding for _, finding in sorted(found, key=lambda item: item[0]))


# -- the goal ------------------------------------------------------------------------------


def _open_ended_goal(review: _Review) -> _Found:
    d = review.deployment
    if d.agent.kind == "classifier":
        return
    if d.agent.horizon is None:
        yield ("agent",), "no horizon is stated: nothing says when one run ends"
    if not d.budgets:
        yield (), "no budget is stated: nothing says what one run may use up"
    for name in d.of_kind("task"):
        drift = d.assets[name].drift
        if drift is not None and drift.high > 0:
            text = f"{name!r} drifts ({drift} in each step): it never stays done"
            yield ("assets", name, "drift"), text


_UNBOUNDED = re.compile(
    r"""\b(?:
      (?:maximi[sz]|minimi[sz])(?:e|es|ing)
    | as\s(?:much|many|long|far|often|large|big|high|low|little|few)
      (?:\s\w+){0,3}?\sas\s(?:is\s)?(?:possible|(?:you|it|they|we)\s(?:can|could))
    | at\s(?:all|any)\scosts?
    | by\s(?:all|any)\smeans
    | no\smatter\s(?:what|how|the\scosts?)
    | whatever\sit\stakes
    | without\s(?:any\s)?(?:limits?|bounds?|end|restrictions?|regard)
    | never\sstops?(?=\s*(?:$|[.,;!])|\s\w+ing\b)
    | (?:always|ever|more\sand)\s(?:more|larger|bigger|greater|higher|better|faster)
    | keeps?\s(?:on\s)?(?:growing|increasing|expanding|improving)
    | forever | indefinitely | endlessly
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
_NEGATED = re.compile(
    r"\b(?:not|never|don't|won't|without|avoid|rather than|instead of|nor)\s(?:\w+\s)?$",
    re.IGNORECASE,
)
_BOUNDED = re.compile(
    r"^[^.;]{0,60}?\b(?:up to|at most|no more than|within|until|not (?:over|above|below)|"
    r"down to|to (?:at least )?)\s*[$€£]?\s*\d",
    re.IGNORECASE,
)


def _unbounded_wording(review: _Review) -> _Found:
    goal = " ".join(review.deployment.agent.goal.split())
    for found in _UNBOUNDED.finditer(goal):
        if _NEGATED.search(goal[: found.start()]) or _BOUNDED.match(goal[found.end() :]):
            continue
        text = f"the goal says {found[0]!r} and not when that is reached; state what is enough"
        yield ("agent", "goal"), text


# -- what tools reach ----------------------------------------------------------------------

_KEEPS_AS_IT_IS = ("read", "send", "spend")


def _organ_in_reach(review: _Review) -> _Found:
    d = review.deployment
    rules = tuple(review.rules.values())
    for tool, touched in review.touched.items():
        granted: dict[tuple[str, str, str], list[str]] = {}
        facts = {DECLARED: d.tools[tool].irreversible}
        for effect in touched.effects:
            guarded = effect.kind in ORGANS or effect.kind.startswith("self/")
            if not guarded or effect.verb in _KEEPS_AS_IT_IS:
                continue
            ruling = ruling_on(d, effect, rules, facts)
            if ruling.verdict != "deny" and ruling.rule is not None:
                key = (effect.asset, ruling.verdict, ruling.rule.text)
                granted.setdefault(key, []).append(effect.verb)
        for (asset, verdict, rule), verbs in granted.items():
            kind = d.assets[asset].kind
            text = f"its calls can {', '.join(verbs)} {asset!r} ({kind}): {verdict} {rule!r}"
            yield ("tools", tool), text
        yield from _organs_beside(d, tool, touched)


def _organs_beside(d: Deployment, tool: str, touched: Touched) -> _Found:
    """Organs of another server on the host on which a tool runs code that nothing bounds."""
    if d.tools[tool].sandbox is not None:
        return
    own = d.server_of(tool)
    beside: dict[str, str] = {}
    for effect in touched.effects:
        servers = [server for server, _ in effect.within]
        if effect.by_run and effect.kind in ORGANS and own not in servers:
            beside.setdefault(effect.asset, servers[0])
    for asset, server in beside.items():
        text = f"code that it runs reaches {asset!r} of the server {server!r}, on the same host"
        yield ("tools", tool), text


def _run_without_sandbox(review: _Review) -> _Found:
    for name, tool in review.deployment.tools.items():
        if "run" in tool.verbs and tool.sandbox is None:
            text = f"{name!r} runs code and states no sandbox: it counts as every act on its host"
            yield ("tools", name), text


def _asset_not_reached(review: _Review) -> _Found:
    reached = {effect.asset for effect in review.effects}
    for name, asset in review.deployment.assets.items():
        if name in reached:
            continue
        if asset.kind in ORGANS:
            text = f"no tool reaches the organ {name!r}: as it should be, if its place is right"
        else:
            text = f"no tool reaches {name!r}: its place is mistyped, or the world goes without it"
        yield ("assets", name), text


def _tool_reaches_nothing(review: _Review) -> _Found:
    for name, touched in review.touched.items():
        if not touched.effects:
            yield ("tools", name), f"no place fits both the target and the reach of {name!r}"
        elif set(touched.assets) == {ELSEWHERE}:
            text = f"{name!r} reaches no asset: what it acts on is named nowhere, so it counts as "
            yield ("tools", name), f"{text}elsewhere and serves no drive"


def _unmet_requirement(review: _Review) -> _Found:
    d = review.deployment
    givers = givers_of(d)
    for name, tool in d.tools.items():
        for index, needed in enumerate(tool.requires):
            if not givers[needed] and d.assets[needed].start_level == 0:
                text = f"{name!r} requires {needed!r}, which is not held at the start and which "
                yield ("tools", name, "requires", index), f"{text}no call can give"


# -- authority -----------------------------------------------------------------------------


def _rule_never_matches(review: _Review) -> _Found:
    for path, rule in review.rules.items():
        stricter = tuple(
            replace(other, verdict="deny")
            for other in review.rules.values()
            if STRICTEST.index(other.verdict) < STRICTEST.index(rule.verdict)
            and not other.conditions
        )
        if _decides(review, rule, stricter):
            continue
        if stricter and _decides(review, rule, ()):
            text = f"the rule {rule.text!r} never decides: stricter rules cover all that it covers"
        else:
            text = f"the rule {rule.text!r} covers no effect of any tool; is it mistyped?"
        yield path, text


def _decides(review: _Review, rule: Rule, stricter: tuple[Rule, ...]) -> bool:
    """Whether a rule covers some act at some place that none of the `stricter` ones covers."""
    alone = (*stricter, replace(rule, verdict="allow", conditions=()))
    return any(rule_on(act, alone, {}).verdict == "allow" for act in review.acts)


_WITHOUT_ORGAN: Mapping[str, str] = {
    "oversight/stop": "the audit takes it that every stop takes hold and that no act can prevent "
    "one",
    "oversight/monitor": "the audit takes it that nothing can blind what detects acts",
    "oversight/approval": "the audit takes it that nothing can get round who approves",
    "oversight/goal": "the audit takes it that every correction takes hold and that no act can "
    "prevent one",
}


def _missing_organ(review: _Review) -> _Found:
    if review.deployment.agent.kind == "classifier":
        return
    for kind, follows in _WITHOUT_ORGAN.items():
        if not review.deployment.of_kind(kind):
            yield ("assets",), f"no asset is declared {kind}: {follows}; say where it lives"


def _expired_acceptance(review: _Review) -> _Found:
    for drive, acceptance in review.deployment.accepts.items():
        if acceptance.until < review.today:
            text = f"the acceptance of {drive} ended on {acceptance.until}: it grants nothing"
            yield ("accepts", drive, "until"), text


def _idle_acceptance(review: _Review) -> _Found:
    served = {drive for effect in review.effects for drive in effect.drives}
    for drive in review.deployment.accepts:
        if drive not in served:
            yield ("accepts", drive), f"{drive} is accepted and no call serves it; drop it"


# -- the agent, its servers, the lock ------------------------------------------------------


def _classifier_with_tools(review: _Review) -> _Found:
    d = review.deployment
    if d.agent.kind == "classifier" and d.tools:
        text = f"a classifier acts on nothing, and this one has {len(d.tools)} tools; which is it?"
        yield ("agent", "kind"), text


def _secrets_by_value(review: _Review) -> _Found:
    for name, server in review.deployment.servers.items():
        way_out = "put it into the environment and name that under env, auth or headers"
        for index in sorted(secret_words(server.command or ())):
            text = f"argument {index} of its command looks like a secret (not shown): {way_out}"
            yield ("servers", name, "command", index), text
        if server.url is not None and holds_secret(server.url):
            text = f"its address looks as if it held a secret (not shown): {way_out}"
            yield ("servers", name, "url"), text


def _started(d: Deployment) -> set[str]:
    """Return the servers that are started or called, not only described."""
    return {name for name, server in d.servers.items() if server.command or server.url}


def _no_lock(review: _Review) -> _Found:
    started = sorted(_started(review.deployment))
    if review.lock is None and started:
        text = f"what {', '.join(started)} offer was never reviewed: there is no lock; "
        yield ("servers",), f"{text}`corrigible review` makes one"


def _stale_lock(review: _Review) -> _Found:
    if review.lock is None:
        return
    d = review.deployment
    locked = set(review.lock.tools)
    for name in d.tools:
        if name not in locked and d.server_of(name) in _started(d):
            text = f"the lock does not hold {name!r}: nobody reviewed it, and the guard denies it"
            yield ("tools", name), text
    for name in sorted(locked - set(d.tools)):
        text = f"the lock holds {name!r}, which is no entry of the manifest: the guard denies it"
        yield ("tools",), text


_Rule = Callable[[_Review], _Found]
_RULES: Mapping[str, tuple[str, _Rule]] = {
    "open-ended-goal": ("what never ends makes staying on and gaining pay", _open_ended_goal),
    "unbounded-wording": ("a goal without enough has no reason to stop", _unbounded_wording),
    "organ-in-reach": ("who can change its control need not obey it", _organ_in_reach),
    "run-without-sandbox": ("code does whatever its host lets it do", _run_without_sandbox),
    "asset-not-reached": ("a mistyped place is watched by nobody", _asset_not_reached),
    "tool-reaches-nothing-named": ("what no asset names serves no drive", _tool_reaches_nothing),
    "rule-never-matches": (
        "a rule that decides nothing is not what was meant",
        _rule_never_matches,
    ),
    "missing-organ": ("what nobody declared cannot be seen to break", _missing_organ),
    "unmet-requirement": ("a demand that nothing meets makes a tool dead", _unmet_requirement),
    "expired-acceptance": ("an acceptance grants until its end", _expired_acceptance),
    "idle-acceptance": ("what is granted and not needed is granted to the next", _idle_acceptance),
    "classifier-with-tools": ("what acts is no classifier", _classifier_with_tools),
    "secrets-by-value": ("a manifest is read by many", _secrets_by_value),
    "no-lock": ("what was not reviewed may be anything", _no_lock),
    "stale-lock": ("what was not reviewed may be anything", _stale_lock),
}

RULES: Mapping[str, str] = {name: reason for name, (reason, _) in _RULES.items()}
"""Each rule of `findings`, and why it is one."""
