"""What the parts of a manifest must be to each other: names that exist, demands that can be met."""

from collections.abc import Iterator

from corrigible.deployment.places import PlaceError, pattern_of, template_pattern
from corrigible.deployment.records import RATES_OF_OVERSIGHT, Deployment
from corrigible.deployment.rules import RuleError, parse_rule
from corrigible.deployment.source import Path_
from corrigible.drives import KINDS, VERBS

Found = tuple[Path_, str]
BUDGETS = ("calls", "hours", "usd", "eur", "tokens")


def check(deployment: Deployment, *, set_aside: set[str]) -> list[Found]:
    """Return every broken rule as (path, sentence); `set_aside` names entries left out already."""
    rules = (
        _tools, _assets, _boosts, _caps, _requires, _cycles, _authority, _budgets, _goals,
    )  # fmt: skip
    found = [item for rule in rules for item in rule(deployment)]
    return [(path, text) for path, text in found if not _follows_from(text, set_aside)]


def _follows_from(text: str, set_aside: set[str]) -> bool:
    """Whether a problem only says that an entry is missing that was set aside as broken."""
    return any(f"{entry!r}" in text for name in set_aside for entry in [name.partition(".")[2]])


def _unknown(what: str, name: str, known: Iterator[str] | list[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  (only on the way to an error)

    names = list(known)
    close = get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names) or 'none'}"
    return f"{name!r} is no {what}{hint}"


def _tools(d: Deployment) -> Iterator[Found]:
    for name, tool in d.tools.items():
        server = d.server_of(name)
        path: Path_ = ("tools", name)
        if server not in d.servers:
            yield path, f"the tool {name!r}: " + _unknown("server", server, list(d.servers))
            continue
        record = d.servers[server]
        for template in tool.target or ():
            try:
                template_pattern(template, record)
            except PlaceError as error:
                yield (*path, "target"), f"the target {template!r} {error}"
        for glob in tool.reach or ():
            yield from _glob(d, server, glob, (*path, "reach"))
        for other, globs in (tool.sandbox or {}).items():
            if other not in d.servers:
                yield (*path, "sandbox"), _unknown("server", other, list(d.servers))
                continue
            for glob in globs:
                yield from _glob(d, other, glob, (*path, "sandbox", other))


def _glob(d: Deployment, server: str, glob: str, path: Path_) -> Iterator[Found]:
    try:
        pattern_of(glob, d.servers[server])
    except PlaceError as error:
        yield path, f"the place {glob!r} {error}"


def _assets(d: Deployment) -> Iterator[Found]:
    for name, asset in d.assets.items():
        path: Path_ = ("assets", name)
        if name in {"elsewhere", *KINDS} and not (name == "task" and asset.kind == "task"):
            yield path, f"an asset may not be called {name!r}: it is the name of a kind"
        if not asset.at:
            yield path, f"the asset {name!r} is on no server; say where: at: {{SERVER: PLACE}}"
        for server, globs in asset.at.items():
            if server not in d.servers:
                yield (*path, "at", server), _unknown("server", server, list(d.servers))
                continue
            for glob in globs:
                yield from _glob(d, server, glob, (*path, "at", server))


def _boosts(d: Deployment) -> Iterator[Found]:
    tasks = d.of_kind("task")
    for name, asset in d.assets.items():
        for key in asset.boosts:
            target, dot, what = key.partition(".")
            fits = key in RATES_OF_OVERSIGHT if not dot and key not in tasks else target in tasks
            if not fits or (dot and what != "drift"):
                known = [*tasks, *(f"{t}.drift" for t in tasks), *RATES_OF_OVERSIGHT]
                text = _unknown("task, drift or rate of oversight", key, known)
                yield ("assets", name, "boosts", key), f"the boost of {text}"


def _caps(d: Deployment) -> Iterator[Found]:
    for name, asset in d.assets.items():
        for capped, level in asset.caps.items():
            path: Path_ = ("assets", name, "caps", capped)
            if capped not in d.assets:
                yield path, _unknown("asset", capped, list(d.assets))
            elif level not in d.assets[capped].scale:
                yield path, _unknown(f"level of {capped}", level, list(d.assets[capped].scale))


def _requires(d: Deployment) -> Iterator[Found]:
    for name, tool in d.tools.items():
        for index, needed in enumerate(tool.requires):
            path: Path_ = ("tools", name, "requires", index)
            if needed not in d.assets:
                yield path, _unknown("asset", needed, list(d.assets))
            elif d.assets[needed].family in {"oversight", "bystander"}:
                kind = d.assets[needed].kind
                yield path, f"an asset of kind {kind} cannot be held, so {needed!r} is no demand"


def _cycles(d: Deployment) -> Iterator[Found]:
    """Demands that wait for each other: no order of calls ever meets them."""
    graph: dict[str, set[str]] = {}
    for tool in d.tools.values():
        for needed in tool.requires:
            if needed in d.assets:
                graph.setdefault(needed, set())
    for asset in graph:
        givers = [t for t in _givers(d, asset)]
        if givers and all(t.requires for t in givers):
            graph[asset] = {n for t in givers for n in t.requires if n in graph}
    for start in graph:
        loop = _loop_from(graph, start)
        if loop and min(loop[:-1]) == start and not _attainable(d, start):
            first = next(n for n, t in d.tools.items() if start in t.requires)
            path: Path_ = ("tools", first, "requires")
            yield path, f"cyclic requires: {' needs '.join(loop)}; nothing can be had first"


def _givers(d: Deployment, asset: str) -> Iterator:  # type: ignore[type-arg]
    from corrigible.deployment.touch import touch  # noqa: PLC0415

    for name, tool in d.tools.items():
        server = d.server_of(name)
        if server not in d.servers:
            continue
        try:
            touched = touch(d, server, name.partition(".")[2])
        except (PlaceError, KeyError):
            continue
        if asset in touched.assets:
            yield tool


def _attainable(d: Deployment, asset: str) -> bool:
    held: set[str] = {
        name for name, a in d.assets.items() if a.start_level > 0
    }
    while True:
        new = {
            name
            for name in d.assets
            if name not in held and any(set(t.requires) <= held for t in _givers(d, name))
        }
        if not new:
            return asset in held
        held |= new


def _loop_from(graph: dict[str, set[str]], start: str) -> list[str]:
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


def _authority(d: Deployment) -> Iterator[Found]:
    for verdict, index, text in d.authority.items():
        try:
            parse_rule(verdict, text, d)  # type: ignore[arg-type]  # the three list names
        except RuleError as error:
            yield ("authority", verdict, index), f"authority.{verdict}[{index}]: {error}"


def _budgets(d: Deployment) -> Iterator[Found]:
    for key in d.budgets:
        verb, space, target = key.partition(" ")
        path: Path_ = ("budgets", key)
        if not space:
            if key not in BUDGETS:
                yield path, f"the budget {_unknown('budget', key, [*BUDGETS, 'VERB ASSET'])}"
        elif verb not in VERBS:
            yield path, _unknown("verb", verb, list(VERBS))
        elif target not in d.assets and target not in KINDS:
            yield path, _unknown("asset or kind", target, list(d.assets))


def _goals(d: Deployment) -> Iterator[Found]:
    tasks = d.of_kind("task")
    for name, goal in d.goals.items():
        path: Path_ = ("goals", name, "tasks")
        for task, utilities in goal.tasks.items():
            if task not in tasks:
                yield (*path, task), _unknown("task", task, list(tasks))
            elif len(utilities) != len(d.assets[task].scale):
                levels = len(d.assets[task].scale)
                yield (
                    (*path, task),
                    f"must hold one utility for each of the {levels} levels, got {len(utilities)}",
                )
        if sum(max(utilities) for utilities in goal.tasks.values() if utilities) > 1 + 1e-9:
            yield path, f"the utilities of {name!r} must add up to at most 1 at the best outcome"
