"""Decisions and previews: no call passes that by an independent reading no rule can grant."""

import fnmatch
import unicodedata
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from small_guard import PATH_SCHEMA, listed, policy_of, reviewed

from corrigible.deployment.load import load_deployment
from corrigible.deployment.places import arguments_of
from corrigible.errors import GuardError
from corrigible.guard.call import Call, canonical_json
from corrigible.guard.policy import Policy, decide
from corrigible.guard.preview import preview_of
from corrigible.guard.seen import Seen
from fuzz.mutate import TEXTS, packed, text, unpacked, value, with_change
from fuzz.readings import below, readings, texts_of
from fuzz.target import Target, require

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ROOT, HOME = "/srv", "/home/bot"
SEEDS = (
    "/srv/app/x", "/srv/app/x/y", "/srv/bot/prompt.md", "/srv/log/a", "/etc/passwd", "app/z",
    "/srv/app/../log/a", "deployments/web", "web", "db", "release-1", "admin", "../roles/admin",
    "a@shop.example", "boss@x", "/srv", "/srvx/app", "/srv/application",
)  # fmt: skip
CALLS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("files", "read_file", {"path": "/srv/app/x"}),
    ("files", "write_file", {"path": "/srv/app/x", "text": "hello"}),
    ("files", "delete_file", {"paths": ["/srv/app/x", "/srv/app/y"]}),
    ("cluster", "scale", {"name": "web", "replicas": 2}),
    ("cluster", "add", {"name": "web", "more": 1}),
    ("cluster", "grant", {"role": "admin"}),
    ("cluster", "drop", {"name": "release-1"}),
    ("mail", "send", {"to": "a@shop.example", "text": "hello"}),
    ("shell", "run", {"command": "ls"}),
)
_OPEN = """{allow: ['read files:/srv/**', 'write files:/srv/app/**',
  'delete files:/srv/app/**', 'acquire replicas', 'acquire admin', 'delete release',
  'send customers']}"""
KINDS = ("functions", "schema", "open")


@cache
def small(kind: str) -> Policy:
    """The small guard: its tools as functions, one with a reviewed schema, nothing to approve."""
    if kind == "functions":
        return policy_of()
    if kind == "open":
        return policy_of(authority=_OPEN, budgets="{}")
    return reviewed({}, listed("files", "read_file", PATH_SCHEMA))


def _drawn(rng: Random, tools: tuple[tuple[str, str, dict[str, Any]], ...]) -> list[Any]:
    server, tool, arguments = rng.choice(tools)
    made: Any = dict(arguments)
    for key in made:
        if rng.random() < 0.5:
            made[key] = text(rng, SEEDS) if rng.random() < 0.8 else value(rng, SEEDS)
    for _ in range(rng.choice((0, 0, 1, 2))):
        made = with_change(rng, made, SEEDS)
    names = [server, tool]
    if rng.random() < 0.15:
        at = rng.randrange(2)
        odd = text(rng, (names[at], names[at].upper(), names[at] + "\u200b", *TEXTS))
        names[at] = odd[:400]
    return [*names, made]


def _made_small(rng: Random) -> bytes:
    used = {"calls": rng.choice((0, 9, 10)), "usd": rng.choice((0, 1.8)), "delete app": 1}
    return packed([rng.choice(KINDS), *_drawn(rng, CALLS), used])


def _checked_small(data: bytes) -> None:
    try:
        kind, server, tool, arguments, used = unpacked(data)
        call = Call(str(server), str(tool), arguments)
        used = {str(key): float(count) for key, count in used.items()}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return
    policy = small(kind if kind in KINDS else "open")
    decision = decide(policy, call, Seen.start(policy.deployment), used)
    require(not decision.rule.startswith("error."), f"decide failed: {decision.rule}")
    if decision.verdict == "deny":
        return
    require(call.name in policy.deployment.tools, "an unknown tool passes")
    require(isinstance(arguments, dict) or arguments is None, "arguments that are no object pass")
    canonical_json(arguments)
    for key, use in decision.uses.items():
        limit = policy.deployment.budgets.get(key)
        require(use >= 0, f"a share of {key} is given back")
        require(limit is None or used.get(key, 0) + use <= limit + 1e-9, f"{key} is passed")
    _granted(call, decision.verdict, kind)


def _granted(call: Call, verdict: str, kind: str) -> None:
    """Require that what passes is within the grants of the small guard, as written there."""
    folders = {"read_file": "/srv", "write_file": "/srv/app", "delete_file": "/srv/app"}
    given = call.arguments or {}
    if call.server == "files":
        names = texts_of(given.get("paths" if call.tool == "delete_file" else "path"))
        require(names is not None, "a place that nobody can read passes")
        for name in names or ():
            for place in readings(name, ROOT, HOME):
                require(below(place, folders[call.tool]), f"may be {place!r}, outside of the grant")
    elif call.server == "cluster":
        key = "role" if call.tool == "grant" else "name"
        folder = {"grant": "roles", "drop": "jobs"}.get(call.tool, "deployments")
        globs = (
            ("/jobs/release-*",) if call.tool == "drop" else ("/deployments/web", "/roles/admin")
        )
        names = texts_of(given.get(key))
        require(names is not None, "a name that nobody can read passes")
        for name in names or ():
            for place in readings(f"{folder}/{name}", "/", "/~"):
                fits = any(fnmatch.fnmatchcase(place, glob) for glob in globs)
                require(fits, f"may be {place!r}, not {globs}")
        amount = given.get({"scale": "replicas", "add": "more"}.get(call.tool, ""), 1)
        fits = isinstance(amount, int | float) and not isinstance(amount, bool)
        counted = kind in {"functions", "schema"}  # elsewhere no budget asks for one
        require(not counted or (fits and 0 <= amount < 1e6), f"an amount of {amount!r} passes")
    elif call.server == "mail":
        asks = kind in {"functions", "schema"}
        require(verdict == "approve" or not asks, "mail is sent without being asked")
        names = texts_of(given.get("to"))
        require(names is not None, "an address that nobody can read passes")
        for name in names or ():
            require(name.rstrip().endswith("@shop.example"), f"{name!r} is no customer")


# -- the examples' own manifests ---------------------------------------------------------------


@cache
def examples() -> tuple[Policy, ...]:
    """The policies of the examples, their tools as functions."""
    found = [load_deployment(path) for path in sorted(EXAMPLES.glob("*/deployment.yaml"))]
    return tuple(Policy.of(one.deployment, one.digest) for one in found)


@cache
def _tools(number: int) -> tuple[tuple[str, str, dict[str, Any]], ...]:
    policy = examples()[number]
    found = []
    for name in policy.deployment.tools:
        server, _, tool = name.partition(".")
        arguments = dict.fromkeys(sorted(policy.tools[name].ruler.named), "x")
        found.append((server, tool, arguments))
    return tuple(found)


def _made_example(rng: Random) -> bytes:
    number = rng.randrange(len(examples()))
    return packed([number, *_drawn(rng, _tools(number))])


def _call_of(data: bytes) -> tuple[Policy, Call] | None:
    try:
        number, server, tool, arguments = unpacked(data)
        return examples()[number % len(examples())], Call(str(server), str(tool), arguments)
    except (ValueError, TypeError):
        return None


def _checked_example(data: bytes) -> None:
    if (found := _call_of(data)) is None:
        return
    policy, call = found
    decision = decide(policy, call, Seen.start(policy.deployment), {})
    require(not decision.rule.startswith("error."), f"decide failed: {decision.rule}")
    again = decide(policy, call, Seen.start(policy.deployment), {})
    require(again == decision, "the same call is decided in two ways")
    if decision.verdict == "deny":
        return
    require(call.name in policy.deployment.tools, "an unknown tool passes")
    require(policy.may_pass(call.server, call.tool), "a call passes of a tool that may not")
    require(decision.effects, "a call passes that touches nothing")
    canonical_json(call.arguments)


_SAID = "x"  # takes the place of each argument that is not drawn
_RANKS = ("deny", "approve", "allow")


@cache
def _placed() -> tuple[tuple[Policy, str, str], ...]:
    """Each policy, tool and argument such that the argument says where the tool acts."""
    policies = (*examples(), small("functions"), small("open"))
    return tuple(
        (policy, name, argument)
        for policy in policies
        for name, tool in policy.deployment.tools.items()
        if tool.reach is None  # its server refuses what lies outside
        for template in tool.target or ()
        for argument in arguments_of(template)
    )


@cache
def _known_places(number: int) -> tuple[str, ...]:
    """Texts that lie near the places of a manifest's assets and rules."""
    policy = _placed()[number][0]
    globs = [
        glob
        for asset in policy.deployment.assets.values()
        for of_server in asset.at.values()
        for glob in of_server
    ]
    plain = [glob.replace("**", "a/b").replace("*", "a").replace("?", "a") for glob in globs]
    return tuple({part for glob in plain for part in (glob, glob.split("/")[-1])})


def _made_mixed(rng: Random) -> bytes:
    number = rng.randrange(len(_placed()))
    known = (*_known_places(number), *SEEDS)
    places = [rng.choice(known) if rng.random() < 0.8 else text(rng, known) for _ in range(2)]
    return packed([number, *places])


def _checked_mixed(data: bytes) -> None:
    """Several places in one call are granted no more than each of them by itself."""
    try:
        number, first, second = unpacked(data)
        policy, name, argument = _placed()[number % len(_placed())]
    except (ValueError, TypeError):
        return
    server, _, tool = name.partition(".")
    rest = dict.fromkeys(policy.tools[name].ruler.named, _SAID)
    seen = Seen.start(policy.deployment)

    def rank(given: Any) -> int:
        call = Call(server, tool, {**rest, argument: given})
        return _RANKS.index(decide(policy, call, seen, {}).verdict)

    least = min(rank(first), rank(second))
    for told, given in (
        ("two places", [first, second]),
        ("a long list of places", [first] * 200 + [second]),
        ("places in a list in a list", [first, [second]]),
        ("places in an object", {"path": second, "more": first}),
    ):
        require(rank(given) <= least, f"more is granted at {told} than at each: {name!r}")


def shown_badly(text_: str) -> str | None:
    """Return a character that a terminal would obey or hide, of a text that should hold none."""
    for char in text_:
        if char != "\n" and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"}:
            return char
        if unicodedata.bidirectional(char) in {"R", "AL", "RLO", "LRO", "RLE", "LRE", "PDF"}:
            return char
    return None


def _checked_preview(data: bytes) -> None:
    if (found := _call_of(data)) is None:
        return
    policy, call = found
    if not isinstance(call.arguments, dict):
        return  # nobody is asked about what is no object: it is denied
    decision = decide(policy, call, Seen.start(policy.deployment), {})
    try:
        shown = preview_of(policy.deployment, call, decision)
    except GuardError:
        return
    for width in (40, 96):
        whole = shown.text(width)
        bad = shown_badly(whole)
        require(bad is None, f"the preview holds {bad!r}")
    canonical_json(shown.as_json())


TARGETS = (
    Target("decide", _made_small, _checked_small),
    Target("decide-examples", _made_example, _checked_example),
    Target("mixed", _made_mixed, _checked_mixed),
    Target("preview", _made_example, _checked_preview),
)
