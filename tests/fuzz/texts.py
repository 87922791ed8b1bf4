"""Strict JSON, places, patterns, schemas and redaction, against what else reads the same."""

import json
import math
import posixpath
import re
from functools import cache
from random import Random
from typing import Any

from jsonschema import Draft202012Validator

from corrigible.deployment.places import (
    PlaceError,
    arguments_of,
    canonical,
    overlap,
    pattern_of,
    template_pattern,
)
from corrigible.deployment.records import Server
from corrigible.guard.call import canonical_json
from corrigible.guard.patterns import Pattern, PatternError
from corrigible.guard.redact import Redactor
from corrigible.guard.schema import Checker, SchemaError
from corrigible.guard.strict import DEEPEST, StrictError, check_arguments, parse_strict
from fuzz.calls import CALLS, SEEDS
from fuzz.mutate import changed, packed, text, unpacked, value, with_change
from fuzz.target import Target, require

JSON_SEEDS = (
    *(json.dumps(arguments).encode() for _, _, arguments in CALLS),
    b'{"a": 1, "a": 2}', b'{"n": NaN}', b'{"n": 1e999}', b"[" * 40 + b"]" * 40, b'{"": {"": 1}}',
    b'{"t": "\\ud83d\\ude00", "u": "\\ud800"}', b"[1, -0, 1.5e3, 9223372036854775807]",
)  # fmt: skip

# -- strict JSON -------------------------------------------------------------------------------


def _unlike(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    require(len(dict(pairs)) == len(pairs), "a name stands twice")
    return dict(pairs)


def _depth(value_: Any) -> int:
    if isinstance(value_, dict | list):
        inner = value_.values() if isinstance(value_, dict) else value_
        return 1 + max(map(_depth, inner), default=0)
    return 0


def _numbers(value_: Any) -> list[Any]:
    if isinstance(value_, dict | list):
        inner = value_.values() if isinstance(value_, dict) else value_
        return [number for item in inner for number in _numbers(item)]
    return [value_] if isinstance(value_, int | float) else []


def _checked_strict(data: bytes) -> None:
    try:
        found = parse_strict(data)
    except StrictError:
        return
    plain = json.loads(data, object_pairs_hook=_unlike)
    require(plain == found, "read otherwise than by another reader")
    require(_depth(found) <= DEEPEST, "deeper than it may be")
    for number in _numbers(found):
        require(math.isfinite(number), "NaN or infinity")
        require(not isinstance(number, int) or -(2**63) <= number < 2**63, "beyond 64 bits")
    canonical_json(found).encode()
    json.dumps(found, ensure_ascii=False).encode()
    if found is None:
        return  # no arguments
    try:
        require(check_arguments(found) == found, "the copy of arguments is another value")
    except StrictError:
        return


# -- places ------------------------------------------------------------------------------------

SERVERS = (
    Server(),
    Server(root="/srv", home="/home/bot"),
    Server(root="/srv/", case="insensitive"),
    Server(root="C:/work", case="insensitive"),
    Server(root="https://api.example/v1"),
)


def _made_place(rng: Random) -> bytes:
    return packed([rng.randrange(len(SERVERS)), text(rng, SEEDS), text(rng, SEEDS)])


def _checked_place(data: bytes) -> None:
    try:
        number, place, other = unpacked(data)
        server = SERVERS[number % len(SERVERS)]
    except (ValueError, TypeError):
        return
    if not (isinstance(place, str) and isinstance(other, str)):
        return
    for glob in (place, other, f"{place}/**"):
        try:
            overlap(pattern_of(glob, server), pattern_of("/srv/**", server))
        except PlaceError:
            continue
    for template in ("{path}", "jobs/{path}", place):
        try:
            template_pattern(template, server, dict.fromkeys(arguments_of(template), other))
        except PlaceError:
            continue
    try:
        first = canonical(place, server)
    except PlaceError:
        return
    require(canonical(first, server) == first, f"canonical is not idempotent: {first!r}")
    require("\x00" not in first, "a place holds a NUL")
    if re.fullmatch(r"/[a-z0-9/.]*", place) and server.case == "sensitive":
        require(first == "/" + posixpath.normpath(place).lstrip("/"), f"resolved to {first!r}")


# -- patterns ----------------------------------------------------------------------------------

_ATOMS = ("a", "b", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\s", r"\S", r"\.", "-", "1")


def _pattern(rng: Random, depth: int = 2) -> str:
    parts = []
    for _ in range(rng.randint(1, 3)):
        if depth and rng.random() < 0.3:
            part = rng.choice(("(?:{})", "({})")).format(_pattern(rng, depth - 1))
        else:
            part = rng.choice(_ATOMS)
        parts.append(part + rng.choice(("", "", "", "*", "+", "?", "{2}", "{1,2}", "{0,}", "*?")))
    whole = "".join(parts)
    if rng.random() < 0.2:
        whole += "|" + rng.choice(_ATOMS)
    return rng.choice(("", "^")) + whole + rng.choice(("", "$"))


def _made_pattern(rng: Random) -> bytes:
    pattern = _pattern(rng)
    if rng.random() < 0.3:
        mutated = changed(rng, pattern.encode(), (b"(a*)*$", b"(?=a)", b"\\1", b"a{1000}", b"[[]"))
        pattern = mutated.decode("utf-8", "replace")
    letters = rng.choices("aabbc1-. \n", k=rng.randint(0, 10))
    return packed([pattern, "".join(letters) * rng.choice((1, 1, 1, 300))])


def _checked_pattern(data: bytes) -> None:
    try:
        source, subject = unpacked(data)
        pattern = Pattern(str(source))
        found = pattern.found_in(str(subject))
    except (ValueError, TypeError, PatternError):
        return
    # What reads alike in both dialects, and is short enough for a matcher that goes back.
    alike = re.fullmatch(r"\^?[ab1.\-\[\]^cdwsS\\*+?{}2,0|()?:]*\$?", source)
    if not alike or len(subject) > 10 or r"\c" in source or "{," in source or len(source) > 40:
        return
    try:
        other = re.compile(re.sub(r"\$$", r"\\Z", source), re.ASCII)
    except (re.error, FutureWarning):
        return
    require(found == (other.search(subject) is not None), f"{source!r} in {subject!r}: {found}")


# -- schemas -----------------------------------------------------------------------------------


def _schema(rng: Random, depth: int = 3) -> Any:
    if not depth or rng.random() < 0.1:
        return rng.choice((True, False, {}, {"type": "string"}, {"type": "integer"}))
    made: dict[str, Any] = {}
    for _ in range(rng.randint(1, 3)):
        key = rng.choice(_KEYWORDS)
        made[key] = _keyword(rng, key, depth - 1)
    return made


_KEYWORDS = (
    "type", "enum", "const", "properties", "required", "additionalProperties", "items",
    "prefixItems", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "minimum",
    "maximum", "exclusiveMinimum", "multipleOf", "allOf", "anyOf", "oneOf", "not", "if",
    "dependentRequired", "dependentSchemas", "propertyNames", "patternProperties", "contains",
    "minContains", "maxContains", "minProperties", "maxProperties", "pattern", "then", "else",
)  # fmt: skip
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_NAMES = ("a", "b", "c", "name")
_SMALL = (0, 1, 2, 3, -1, "a", "ab", "", None, True, False, 1.5, [], {}, [1], {"a": 1}, [1, 1])


def _keyword(rng: Random, key: str, depth: int) -> Any:  # noqa: PLR0911  (one for each form)
    if key == "type":
        return rng.choice((rng.choice(_TYPES), rng.sample(_TYPES, 2)))
    if key in {"properties", "dependentSchemas", "patternProperties"}:
        names = ("^a", "b$", "[ab]") if key == "patternProperties" else _NAMES
        return {name: _schema(rng, depth) for name in rng.sample(names, 2)}
    if key in {"prefixItems", "allOf", "anyOf", "oneOf"}:
        return [_schema(rng, depth) for _ in range(rng.randint(1, 2))]
    if key == "dependentRequired":
        return {rng.choice(_NAMES): rng.sample(_NAMES, 1)}
    if key in {"enum", "required"}:
        return rng.sample(_SMALL, 2) if key == "enum" else rng.sample(_NAMES, 1)
    if key in {"const", "uniqueItems", "pattern"}:
        some = {"const": _SMALL, "uniqueItems": (True, False), "pattern": ("^a", "b", "^$")}
        return rng.choice(some[key])
    if key.startswith(("min", "max", "exclusive", "multiple")):
        return rng.choice((1, 2, 3)) if key == "multipleOf" else rng.choice((0, 1, 2))
    return _schema(rng, depth)


def _instance(rng: Random, depth: int = 3) -> Any:
    kind = rng.randrange(5) if depth else 4
    if kind < 2:
        return {n: _instance(rng, depth - 1) for n in rng.sample(_NAMES, rng.randint(0, 3))}
    if kind == 2:
        return [_instance(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return rng.choice(_SMALL)


def _made_schema(rng: Random) -> bytes:
    schema = _schema(rng)
    if rng.random() < 0.2:
        schema = with_change(rng, schema, ("#", "#/$defs/a", "http://x/y", "$ref", "^(a+)+$"))
        return packed([schema, _instance(rng), False])
    return packed([schema, _instance(rng), True])


def _checked_schema(data: bytes) -> None:
    try:
        schema, instance, whole = unpacked(data)
        problem = Checker(schema).problem(instance)
    except (ValueError, TypeError, SchemaError) as error:
        require(isinstance(error, ValueError), f"{error!r} is not of ours")
        return
    if whole is not True:  # no schema by its own rules, perhaps
        return
    if problem is not None and "cannot be checked" in problem:
        return
    try:
        fits = Draft202012Validator(schema).is_valid(instance)
    except Exception:  # noqa: BLE001  (an oracle that fails says nothing)
        return
    require((problem is None) == fits, f"the oracle says {fits}, here: {problem}")


# -- redaction ---------------------------------------------------------------------------------

SECRETS = ("hunter2-hunter2", 'pa55 "w"ord\\/+', "s\u00e9cret-\U0001f511", "x" * 64 + "Y9")


@cache
def _redactor() -> Redactor:
    return Redactor(SECRETS, b"salt" * 8)


def _made_value(rng: Random) -> bytes:
    seeds = (*SECRETS, *(f"{one}{one}" for one in SECRETS), "token=", "Bearer ", "https://u:p@h/")
    drawn = {text(rng, seeds)[:200]: value(rng, seeds, 4) for _ in range(rng.randint(1, 4))}
    if rng.random() < 0.1:
        drawn["long"] = "a" * rng.randint(1900, 2100) + rng.choice(SECRETS) * rng.choice((1, 900))
    return packed(drawn)


def _leaves(value_: Any) -> list[str]:
    if isinstance(value_, dict):
        return [t for key, item in value_.items() for t in (str(key), *_leaves(item))]
    if isinstance(value_, list):
        return [t for item in value_ for t in _leaves(item)]
    return [str(value_)]


def _checked_redact(data: bytes) -> None:
    try:
        given = unpacked(data)
    except ValueError:
        return
    kept = _redactor().redact(given)
    json.dumps(kept, allow_nan=False)
    for leaf in _leaves(kept):
        for secret in SECRETS:
            require(secret not in leaf, f"the secret {secret[:8]!r} is kept")
    require(not str(kept).startswith("<could not be read"), "plain JSON could not be read")


# -- all of them -------------------------------------------------------------------------------


def _made_json(rng: Random) -> bytes:
    if rng.random() < 0.3:
        return packed(value(rng, SEEDS, 4))
    return changed(rng, rng.choice(JSON_SEEDS), JSON_SEEDS)


TARGETS = (
    Target("strict-json", _made_json, _checked_strict),
    Target("places", _made_place, _checked_place),
    Target("patterns", _made_pattern, _checked_pattern),
    Target("schema", _made_schema, _checked_schema),
    Target("redact", _made_value, _checked_redact),
)
