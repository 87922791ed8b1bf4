"""What the parts of a manifest must be to each other: names that exist, demands that can be met."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from corrigible.deployment.places import PlaceError, canonical, pattern_of, template_pattern
from corrigible.deployment.records import RATES_OF_OVERSIGHT, Deployment, Server
from corrigible.deployment.rules import Rule, RuleError, parse_rule, rules_of
from corrigible.deployment.source import Path_
from corrigible.deployment.touch import raises, ruling_on, touch
from corrigible.drives import KINDS, VERBS

Found = tuple[Path_, str]
BUDGETS = ("calls", "hours", "usd", "eur", "tokens")


@dataclass(frozen=True)
class _Broken:
    """A broken rule; `about`: the entry (`servers`, `files`) whose absence it complains of."""

    path: Path_
    text: str
    about: tuple[str, str] | None = None


def check(deployment: Deployment, *, set_aside: set[str]) -> list[Found]:
    """Return every broken rule as (path, sentence).

    `set_aside` names what is left out or incomplete, as broken or not said yet: `tools.files.read`,
    or a whole section, `servers`.  What would only follow from that is not returned.
    """
    sites = [item for rule in (_servers, _tools, _assets) for item in rule(deployment)]
    names = [
        item
        for rule in (_boosts, _caps, _requires, _authority, _budgets, _goals)
        for item in rule(deployment)
    ]
    if not sites:
        unread = any(item.path[0] == "authority" for item in names)
        sites = [*_places(deployment, () if unread else rules_of(deployment))]
    if not sites and not any(n.startswith(("tools", "assets", "servers")) for n in set_aside):
        sites = [*_cycles(deployment)]
    return [(b.path, b.text) for b in (*sites, *names) if not _follows(b, set_aside)]


def _follows(broken: _Broken, set_aside: set[str]) -> bool:
    """Whether a problem only says that something is missing that was set aside."""
    if broken.about is None:
        return False
    section, name = broken.about
    return bool({section, f"{section}.{name}"} & set_aside)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names) or 'none'}"
    return f"{name!r} is no {what}{hint}"


def _no_server(d: Deployment, name: str, path: Path_, before: str = "") -> _Broken:
    return _Broken(path, before + _unknown("server", name, d.servers), ("servers", name))


def _servers(d: Deployment) -> Iterator[_Broken]:
    for name, server in d.servers.items():
        for key, place in (("root", server.root), ("home", server.home)):
            if place is not None and (why := _why_no_place(place)):
                yield _Broken(("servers", name, key), f"the place {place!r} {why}")


def _why_no_place(place: str) -> str:
    try:
        canonical(place, Server())
    except PlaceError as error:
        return str(error)
    return ""


def _is_sound(server: Server) -> bool:
    """Whether the places of a server can be read at all: else each of them would be a problem."""
    return not any(_why_no_place(place) for place in (server.root, server.home) if place)


def _tools(d: Deployment) -> Iterator[_Broken]:
    for name, tool in d.tools.items():
        server = d.server_of(name)
        path: Path_ = ("tools", name)
        if server not in d.servers:
            yield _no_server(d, server, path, f"the tool {name!r}: ")
            continue
        record = d.servers[server]
        for index, template in enumerate((tool.target or ()) if _is_sound(record) else ()):
            try:
                _refuse_dots(template)
                template_pattern(template, record)
            except PlaceError as error:
                yield _Broken((*path, "target", index), f"the target {template!r} {error}")
        yield from _globs(d, server, tool.reach or (), (*path, "reach"))
        for other, globs in (tool.sandbox or {}).items():
            yield from _globs(d, other, globs, (*path, "sandbox", other))


def _globs(d: Deployment, server: str, globs: tuple[str, ...], path: Path_) -> Iterator[_Broken]:
    if server not in d.servers:
        yield _no_server(d, server, path)
        return
    for index, glob in enumerate(globs if _is_sound(d.servers[server]) else ()):
        try:
            _refuse_dots(glob)
            pattern_of(glob, d.servers[server])
        except PlaceError as error:
            yield _Broken((*path, index), f"the place {glob!r} {error}")


def _refuse_dots(place: str) -> None:
    if ".." in place.replace("\\", "/").split("/"):
        raise PlaceError("holds `..`; write the place that it leads to")


def _assets(d: Deployment) -> Iterator[_Broken]:
    only_task = d.of_kind("task") == ("task",)
    for name, asset in d.assets.items():
        path: Path_ = ("assets", name)
        taken = {"elsewhere", *KINDS} - ({"task"} if only_task else set())
        if name in taken:
            yield _Broken(path, f"an asset may not be called {name!r}: it is the name of a kind")
        if name in RATES_OF_OVERSIGHT:
            yield _Broken(path, f"an asset may not be called {name!r}: it is the name of a rate")
        if not asset.at:
            text = f"the asset {name!r} is on no server; say where, as in at: {{SERVER: PLACE}}"
            yield _Broken(path, text, ("assets", name))
        for server, globs in asset.at.items():
            yield from _globs(d, server, globs, (*path, "at", server))


def _boosts(d: Deployment) -> Iterator[_Broken]:
    tasks = d.of_kind("task")
    for name, asset in d.assets.items():
        for key in asset.boosts:
            task = key.removesuffix(".drift")
            if key not in RATES_OF_OVERSIGHT and task not in tasks:
                known = [*tasks, *(f"{t}.drift" for t in tasks), *RATES_OF_OVERSIGHT]
                text = f"the boost of {_unknown('task, drift or rate of oversight', key, known)}"
                yield _Broken(("assets", name, "boosts", key), text, ("assets", task))


def _caps(d: Deployment) -> Iterator[_Broken]:
    for name, asset in d.assets.items():
        for capped, level in asset.caps.items():
            path: Path_ = ("assets", name, "caps", capped)
            if capped not in d.assets:
                text = f"the cap of {_unknown('asset', capped, d.assets)}"
                yield _Broken(path, text, ("assets", capped))
            elif level not in d.assets[capped].scale:
                text = _unknown(f"level of {capped!r}", level, d.assets[capped].scale)
                yield _Broken(path, text, ("assets", capped))


def _requires(d: Deployment) -> Iterator[_Broken]:
    for name, tool in d.tools.items():
        for index, needed in enumerate(tool.requires):
            path: Path_ = ("tools", name, "requires", index)
            if needed not in d.assets:
                text = f"requires {_unknown('asset', needed, d.assets)}"
                yield _Broken(path, text, ("assets", needed))
            elif d.assets[needed].family in {"oversight", "bystander"}:
                kind = d.assets[needed].kind
                text = f"an asset of kind {kind} cannot be held, so {needed!r} is no demand"
                yield _Broken(path, text)


def _places(d: Deployment, rules: tuple[Rule, ...]) -> Iterator[_Broken]:
    """Patterns that cannot be compared in a bounded time: nobody could say what a call touches."""
    for name in d.tools:
        server, _, short = name.partition(".")
        try:
            for effect in touch(d, server, short).effects:
                ruling_on(d, effect, rules, {})
        except PlaceError as error:
            text = f"a place of {name!r}, or of an asset or a rule that it meets, {error}"
            yield _Broken(("tools", name), text)


# -- demands that wait for each other ------------------------------------------------------


def _cycles(d: Deployment) -> Iterator[_Broken]:
    """Demands that wait for each other: no order of calls ever meets them."""
    if not any(tool.requires for tool in d.tools.values()):
        return
    givers = givers_of(d)
    never = set(d.assets) - attainable(d, givers)
    graph = {
        asset: {n for tool in givers[asset] for n in d.tools[tool].requires if n in never}
        for asset in d.assets
        if asset in never
    }
    told: set[str] = set()
    for start in graph:
        loop = _loop_from(graph, start)
        if not loop or told & set(loop):
            continue
        told |= set(loop)
        path, needed = next(
            (("tools", name, "requires", index), needed)
            for name, tool in d.tools.items()
            for index, needed in enumerate(tool.requires)
            if needed in loop and name in {t for asset in loop for t in givers[asset]}
        )
        loop = _loop_from(graph, needed) or loop
        text = f"cyclic requires: {' needs '.join(map(repr, loop))}; nothing can be had first"
        yield _Broken(path, text)


def givers_of(d: Deployment) -> Mapping[str, list[str]]:
    """Return, for each asset, the tools with a call that can take it one level up."""
    givers: dict[str, list[str]] = {asset: [] for asset in d.assets}
    for name in d.tools:
        server, _, short = name.partition(".")
        effects = touch(d, server, short).effects
        for asset in {e.asset: None for e in effects if raises(e.verb, e.kind)}:
            givers[asset].append(name)
    return givers


def attainable(d: Deployment, givers: Mapping[str, list[str]]) -> set[str]:
    """Return the assets held at the start, and those that some order of calls raises."""
    held = {name for name, asset in d.assets.items() if asset.start_level > 0}
    while True:
        new = {
            asset
            for asset, tools in givers.items()
            if asset not in held and any(set(d.tools[t].requires) <= held for t in tools)
        }
        if not new:
            return held
        held |= new


def _loop_from(graph: Mapping[str, set[str]], start: str) -> list[str]:
    """Return a shortest loop start -> … -> start, or an empty list."""
    paths = [[start]]
    seen: set[str] = set()
    while paths:
        path = paths.pop(0)
        for after in sorted(graph.get(path[-1], ())):
            if after == start:
                return [*path, start]
            if after not in seen:
                seen.add(after)
                paths.append([*path, after])
    return []


# -- authority, budgets, goals -------------------------------------------------------------


def _authority(d: Deployment) -> Iterator[_Broken]:
    for verdict, index, text in d.authority.items():
        try:
            parse_rule(verdict, text, d)
        except RuleError as error:
            target = [*text.split(), "", ""][1]
            about = ("servers", target.partition(":")[0]) if ":" in target else ("assets", target)
            named = about if repr(target) in str(error) else None
            yield _Broken(("authority", verdict, index), f"the rule {text!r}: {error}", named)


def _budgets(d: Deployment) -> Iterator[_Broken]:
    plain = dict.fromkeys((*BUDGETS, *(key for tool in d.tools.values() for key in tool.cost)))
    for key in d.budgets:
        verb, space, target = key.partition(" ")
        path: Path_ = ("budgets", key)
        if not space:
            if key not in plain:
                text = f"the budget {_unknown('budget', key, [*plain, 'VERB ASSET'])}"
                yield _Broken(path, text)
        elif verb not in VERBS:
            yield _Broken(path, f"the budget {key!r}: {_unknown('verb', verb, VERBS)}")
        elif target not in d.assets and target not in KINDS:
            text = f"the budget {key!r}: {_unknown('asset or kind', target, [*d.assets, *KINDS])}"
            yield _Broken(path, text, ("assets", target))


def _goals(d: Deployment) -> Iterator[_Broken]:
    tasks = d.of_kind("task")
    for name, goal in d.goals.items():
        path: Path_ = ("goals", name, "tasks")
        for task, utilities in goal.tasks.items():
            about = ("assets", task)
            if task not in tasks:
                yield _Broken((*path, task), f"the goal {_unknown('task', task, tasks)}", about)
            elif len(utilities) != len(d.assets[task].scale):
                levels = len(d.assets[task].scale)
                text = f"must hold one utility for each of the {levels} levels of {task!r}"
                yield _Broken((*path, task), f"{text}, got {len(utilities)}", about)
        best = sum(max(utilities) for utilities in goal.tasks.values() if utilities)
        if best > 1 + 1e-9:  # what rounding adds
            text = f"the utilities of {name!r} must add up to 1 at most at the best outcome"
            yield _Broken(path, f"{text}, got {best:g}")
