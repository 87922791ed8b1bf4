"""`deployment.yaml` into a `Deployment`: every problem at once, each with file, line and column."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from corrigible.deployment import records
from corrigible.deployment.check import check
from corrigible.deployment.source import Path_, Source, parse_source, read_source
from corrigible.errors import ManifestError, Problem, UnsaidError

UNSAID = "?"
"""What a draft holds where only the operator can answer."""

_RECORD_AT: Sequence[tuple[tuple[str, ...], type[BaseModel]]] = (
    ((), records.Deployment),
    (("agent",), records.Agent),
    (("servers", "*"), records.Server),
    (("servers", "*", "auth"), records.EnvReference),
    (("servers", "*", "env", "*"), records.EnvReference),
    (("servers", "*", "headers", "*"), records.EnvReference),
    (("tools", "*"), records.Tool),
    (("tools", "*", "amount"), records.Amount),
    (("assets", "*"), records.Asset),
    (("authority",), records.Authority),
    (("accepts", "*"), records.Acceptance),
    (("oversight",), records.Oversight),
    (("goals", "*"), records.StatedGoal),
)


@dataclass(frozen=True)
class Loaded:
    """A deployment, the source that it came from (for places), and its digest."""

    deployment: records.Deployment
    source: Source
    digest: str

    @property
    def file(self) -> str:
        """The manifest's file, as it was given."""
        return self.source.file


def load_deployment(path: Path, overrides: Iterable[str] = ()) -> Loaded:
    """Load a manifest, with `KEY=VALUE` overrides (`assets.release.drift=0`).

    Raises:
        ManifestError: a rule is broken; it holds every problem found, with its place.
        UnsaidError: nothing is wrong, but the manifest is a draft that still holds `"?"`.
    """
    return _load(read_source(path), overrides)


def parse_deployment(text: str, file: str = "<text>", overrides: Iterable[str] = ()) -> Loaded:
    """Load a manifest from text: as `load_deployment`."""
    return _load(parse_source(text, file), overrides)


def digest_of(deployment: records.Deployment) -> str:
    """Return the sha256 of the canonical form: sorted keys, no defaults, rates as numbers."""
    plain = deployment.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def _load(source: Source, overrides: Iterable[str]) -> Loaded:
    problems = list(source.problems)
    for override in overrides:
        problems += _override(source.value, override)
    unsaid = [path for path, value in _scalars(source.value, ()) if value == UNSAID]
    data = _without(source.value, unsaid) if unsaid else source.value
    deployment, found = _validate(data, source, frozenset(unsaid))
    problems += found
    if problems:
        raise ManifestError(sorted(problems, key=lambda p: (p.line, p.column)))
    if unsaid:
        raise UnsaidError([_unsaid_problem(source, path) for path in unsaid])
    if deployment is None:
        raise AssertionError("no problem was found and no deployment was built")
    return Loaded(deployment, source, digest_of(deployment))


def _unsaid_problem(source: Source, path: Path_) -> Problem:
    return source.problem(path, f"{dotted(path)} is not said yet: only its operator can say it")


def dotted(path: Path_) -> str:
    """Write a path as a person would: `assets.release.levels[0]`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "the manifest"


def _scalars(value: Any, path: Path_) -> Iterable[tuple[Path_, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _scalars(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _scalars(item, (*path, index))
    else:
        yield path, value


def _without(value: Any, paths: Iterable[Path_]) -> Any:
    """Copy `value` without the entries at `paths`, nor what becomes empty by that."""
    gone = set(paths)

    def copy(item: Any, path: Path_) -> Any:
        if isinstance(item, dict):
            kept = {k: copy(v, (*path, k)) for k, v in item.items() if (*path, k) not in gone}
            return {k: v for k, v in kept.items() if v not in ({}, []) or item[k] in ({}, [])}
        if isinstance(item, list):
            return [copy(v, (*path, i)) for i, v in enumerate(item) if (*path, i) not in gone]
        return item

    return copy(value, ())


# -- overrides -----------------------------------------------------------------------------


def _override(data: Any, override: str) -> list[Problem]:
    """Set one value in place; tool names hold dots, so the longest key that fits is taken."""
    key, equals, text = override.partition("=")
    where = f"--set {override}"
    if not equals or not key:
        return [Problem(where, 0, 0, "must be KEY=VALUE, as in oversight.detection=0.9")]
    try:
        value = parse_source(f"value: {text}", where).value["value"]
    except ManifestError as error:
        return [Problem(where, 0, 0, problem.text) for problem in error.problems]
    at, rest = data, key
    while True:
        if isinstance(at, list):
            head, _, tail = rest.partition(".")
            if not head.isdigit() or int(head) >= len(at):
                return [Problem(where, 0, 0, f"must be an index below {len(at)}, got {head!r}")]
            if not tail:
                at[int(head)] = value
                return []
            at, rest = at[int(head)], tail
            continue
        if not isinstance(at, dict):
            return [Problem(where, 0, 0, f"{rest!r} stands below a value that holds no keys")]
        fits = [k for k in at if rest == k or rest.startswith(f"{k}.")]
        head = max(fits, key=len) if fits else rest.partition(".")[0]
        tail = rest[len(head) + 1 :]
        if not tail:
            at[head] = value
            return []
        at, rest = at.setdefault(head, {}), tail


# -- validation ----------------------------------------------------------------------------


def _validate(
    data: Any, source: Source, unsaid: frozenset[Path_]
) -> tuple[records.Deployment | None, list[Problem]]:
    """Validate; entries that break a record's rules are set aside so that the rest is checked."""
    problems: list[Problem] = []
    set_aside: set[Path_] = {path[:2] for path in unsaid}
    for _ in range(4):
        try:
            deployment = records.Deployment.model_validate(data)
        except ValidationError as error:
            paths: set[Path_] = set()
            for item in error.errors(include_url=False):
                path = tuple(item["loc"])
                draft_gap = item["type"] == "missing" and any(
                    p[: len(path)] == path or path[: len(p)] == p for p in unsaid
                )
                if not draft_gap:
                    problems.append(_problem(item, path, source))
                paths.add(_entry_of(path, data))
            set_aside |= paths
            data = _without(data, paths)
            if not all(section in data for section in ("corrigible", "name", "agent", "servers")):
                break
        else:
            found = check(deployment, set_aside={dotted(path) for path in set_aside})
            problems += [source.problem(path, text) for path, text in found]
            return deployment, problems
    return None, problems


def _entry_of(path: Path_, data: Any) -> Path_:
    """The whole entry (one tool, one asset, one section) that holds what is wrong."""
    named = ("servers", "tools", "assets", "accepts", "goals", "budgets")
    depth = 2 if path and path[0] in named else 1
    value = data
    for length, step in enumerate(path[:depth]):
        if not isinstance(value, dict) or step not in value:
            return path[:length] or path[:1]
        value = value[step]
    return path[:depth]


def _problem(item: Any, path: Path_, source: Source) -> Problem:
    kind, got = item["type"], item.get("input")
    if path and path[-1] == "[key]":
        path = path[:-1]
        words = _plain_message(item)
        return source.problem(path, f"{dotted(path)}: {words}", key=True)
    if kind == "extra_forbidden":
        known = tuple(_record_at(path[:-1]).model_fields)
        words = f"unknown key {str(path[-1])!r} in {dotted(path[:-1])}{suggest(path[-1], known)}"
        return source.problem(path, words, key=True)
    if kind == "missing":
        return source.problem(path, f"{dotted(path)} is missing; it must be stated")
    return source.problem(path, f"{dotted(path)}: {_plain_message(item)}{_got(kind, got)}")


def _plain_message(item: Any) -> str:
    if item["type"] == "literal_error":
        expected = [e.strip("'") for e in re.split(r", | or ", item["ctx"]["expected"])]
        return f"must be one of {', '.join(expected)}{suggest(item['input'], expected)}"
    message = str(item["msg"]).removeprefix("Value error, ")
    return message.replace("Input should", "must").replace("String should", "must")


def _got(kind: str, got: Any) -> str:
    if kind in {"value_error", "rate"} or isinstance(got, dict | list):
        return ""
    return f", got {str(got)[:80]!r}" if isinstance(got, str) else f", got {str(got)[:80]}"


def _record_at(path: Path_) -> type[BaseModel]:
    for pattern, record in _RECORD_AT:
        if len(pattern) == len(path) and all(
            p in ("*", s) for p, s in zip(pattern, path, strict=True)
        ):
            return record
    return records.Deployment


def suggest(word: object, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or what is known, for a word that is not among them."""
    names = list(known)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(names)}" if 0 < len(names) <= 15 else ""  # noqa: PLR2004
