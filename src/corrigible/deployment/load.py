"""`deployment.yaml` into a `Deployment`: every problem at once, each with file, line and column."""

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ValidationError

from corrigible.deployment import records
from corrigible.deployment.check import check
from corrigible.deployment.source import Path_, Source, parse_source, read_source
from corrigible.drives import DRIVES
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
        problems += _override(source, override)
    unsaid = [path for path, value in _scalars(source.value, ()) if value == UNSAID]
    deployment, found = _validate(source, frozenset(unsaid))
    problems += found
    if problems:
        raise ManifestError(sorted(dict.fromkeys(problems), key=lambda p: (p.line, p.column)))
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


def _override(source: Source, override: str) -> list[Problem]:
    """Set one value in place; tool names hold dots, so the longest key that fits is taken."""
    key, equals, text = override.partition("=")
    where = f"--set {key}" if equals and key else f"--set {override[:80]}"
    if not equals or not key:
        return [Problem(where, 0, 0, "must be KEY=VALUE, as in oversight.detection=0.9")]
    try:
        read = parse_source(f"value: {text}", where)
    except ManifestError as error:
        hint = "; put text that holds `: ` or ` #` in quotes"
        return [Problem(where, 0, 0, problem.text + hint) for problem in error.problems]
    if read.problems or set(read.value) != {"value"}:
        texts = [problem.text for problem in read.problems] or ["must be one value"]
        return [Problem(where, 0, 0, words) for words in texts]
    wrong = _set(source, key, read.value["value"])
    return [] if wrong is None else [Problem(where, 0, 0, wrong)]


def _set(source: Source, key: str, value: Any) -> str | None:
    """Set what `key` names; return why not where that cannot be done."""
    at, rest = source.value, key
    path: Path_ = ()
    while True:
        if isinstance(at, list):
            step = re.match(r"\[?(\d{1,9})\]?(?:\.|(?=\[)|$)", rest)
            if step is None or int(step[1]) >= len(at):
                return f"{dotted(path)} is a list: next must be an index below {len(at)}"
            head: str | int = int(step[1])
            tail = rest[step.end() :]
        elif isinstance(at, dict):
            fits = [k for k in at if rest == k or rest.startswith((f"{k}.", f"{k}["))]
            head = max(fits, key=len) if fits else rest.partition(".")[0]
            tail = rest[len(head) :].removeprefix(".")
        else:
            return f"{dotted(path)} holds no keys, so {rest!r} cannot stand below it"
        path = (*path, head)
        if not tail:
            at[head] = value
            source.overrides[path] = f"--set {key}"
            return None
        if isinstance(head, str) and at.get(head) is None:
            at[head] = {}
            source.overrides[path] = f"--set {key}"
        at, rest = at[head], tail


# -- validation ----------------------------------------------------------------------------

_STAND_INS: Mapping[str, Any] = MappingProxyType({
    "corrigible": 1,
    "name": "unnamed",
    "agent": {"kind": "tool-using", "goal": "unknown"},
    "servers": {},
})  # fmt: skip
"""What a manifest must hold, where it was set aside as broken: so that the rest is checked."""


def _validate(
    source: Source, unsaid: frozenset[Path_]
) -> tuple[records.Deployment | None, list[Problem]]:
    """Validate; entries that break a record's rules are set aside so that the rest is checked."""
    problems: list[Problem] = []
    gone: set[Path_] = set(unsaid)
    while True:
        stand_ins = {key: value for key, value in _STAND_INS.items() if (key,) in gone}
        try:
            deployment = records.Deployment.model_validate(stand_ins | _without(source.value, gone))
        except ValidationError as error:
            entries: set[Path_] = set()
            for item in error.errors(include_url=False):
                path = _original(tuple(item["loc"]), gone)
                entries.add(_entry_of(path, source.value))
                if not _follows(item, path, source.value, unsaid):
                    problems.append(_problem(item, path, source))
            if entries <= gone:
                return None, problems
            gone |= entries
        else:
            found = check(deployment, set_aside={".".join(map(str, p[:2])) for p in gone})
            problems += [source.problem(_original(path, gone), text) for path, text in found]
            return (deployment if not gone else None), problems


def _follows(item: Any, path: Path_, value: Any, unsaid: frozenset[Path_]) -> bool:
    """Whether a problem only follows: from what was set aside, or from what a draft leaves open."""
    if item["type"] not in {"missing", "too_short", "value_error"}:
        return False
    if item["type"] == "missing" and path[0] in value and len(path) == 1:
        return True
    return any(p[: len(path)] == path or path[: len(p)] == p for p in unsaid)


def _original(path: Path_, gone: Iterable[Path_]) -> Path_:
    """Return where a path of what is left stood before: list items move up when one is gone."""
    found: Path_ = ()
    for step in path:
        if isinstance(step, int):
            missing = sorted(p[-1] for p in gone if len(p) == len(found) + 1 and p[:-1] == found)
            for index in missing:
                step += isinstance(index, int) and index <= step  # noqa: PLW2901
        found = (*found, step)
    return found


def _entry_of(path: Path_, data: Any) -> Path_:
    """The whole entry (one tool, one asset, one rule, one section) that holds what is wrong."""
    named = ("servers", "tools", "assets", "accepts", "goals", "budgets")
    depth = 3 if path[:1] == ("authority",) else 2 if path[:1] and path[0] in named else 1
    value = data
    for length, step in enumerate(path[:depth]):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return path[: max(length, 1)]
    return path[:depth]


_SECRETS = {"env", "headers", "auth"}
_MUST_BE: Mapping[str, str] = MappingProxyType({
    "tools": "a tool is called SERVER.TOOL, as in files.read_file",
    "servers": "a server's name holds letters, digits, `_` and `-`, and begins with one of the "
    "first two",
    "assets": "an asset's name holds letters, digits, `_` and `-`, and begins with one of the "
    "first two",
})  # fmt: skip


def _problem(item: Any, path: Path_, source: Source) -> Problem:
    kind, got = item["type"], item.get("input")
    if path and path[-1] == "[key]":
        path = path[:-1]
        words = _MUST_BE.get(str(path[0])) if kind == "string_pattern_mismatch" else None
        if path[0] == "accepts":
            words = f"must be a drive, FAMILY/MEMBER{suggest(path[-1], DRIVES)}"
        return source.problem(path, f"{dotted(path)}: {words or plain_message(item)}", key=True)
    if len(path) >= 3 and path[0] == "servers" and path[2] in _SECRETS:  # noqa: PLR2004
        words = "must be a reference, as in {env: NAME}; a manifest holds no secret"  # got: unsaid
        return source.problem(path, f"{dotted(path)}: {words}")
    if kind == "extra_forbidden":
        known = tuple(_record_at(path[:-1]).model_fields)
        words = f"unknown key {str(path[-1])!r} in {dotted(path[:-1])}{suggest(path[-1], known)}"
        return source.problem(path, words, key=True)
    if kind == "missing":
        return source.problem(path, f"{dotted(path)} is missing; it must be stated")
    shown = "" if path[2:3] == ("command",) else got_words(kind, got)  # arguments may hold secrets
    return source.problem(path, f"{dotted(path)}: {plain_message(item)}{shown}")


_WORDS = (
    ("Input should", "must"),
    ("String should", "must"),
    ("Value should", "must"),
    ("Tuple should", "must"),
    (" after validation, not", ", got"),
    ("be a valid tuple", "be a list"),
    ("be a valid dictionary", "be a mapping of keys"),
    ("be a valid mapping", "be a mapping of keys"),
    ("be a valid string", "be text"),
    ("be a valid number, unable to parse string as a number", "be a number"),
    ("be a valid boolean, unable to interpret input", "be true or false"),
    ("be a valid boolean", "be true or false"),
)


def plain_message(item: Any) -> str:
    """Return what a validator says of a value, in the words of a manifest's problems."""
    if item["type"] == "literal_error":
        expected = [e.strip("'") for e in re.split(r", | or ", item["ctx"]["expected"])]
        must = f"must be {'one of ' if len(expected) > 1 else ''}{', '.join(expected)}"
        close = difflib.get_close_matches(str(item["input"]), expected, n=1, cutoff=0.6)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        return f"{must}{got_words('literal', item['input'])}{hint}"
    message = re.sub(r" or (an )?instance of \w+$", "", str(item["msg"]))
    for theirs, ours in (("Value error, ", ""), *_WORDS):
        message = message.replace(theirs, ours)
    return message


def got_words(kind: str, got: Any) -> str:
    """Return `, got VALUE`, or nothing where the message says it already."""
    if kind in {"value_error", "rate", "literal_error"} or isinstance(got, dict | list):
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
