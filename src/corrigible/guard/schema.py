"""A tool's input schema as a compiled check of arguments.

JSON Schema as servers use it (drafts 7 to 2020-12), in two ways stricter: a whole number is
written without a fraction (`1.0` is none: two texts of one number would be two calls), and a
pattern is matched in linear time or not at all.  No reference is ever fetched.  A schema with an
assertion that is not known here is refused as a whole, so that its tool is held back.
"""

import json
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from typing import Any

from corrigible.deployment.listing import plain
from corrigible.errors import GuardError
from corrigible.guard.patterns import Pattern, PatternError

_DEEPEST = 64
_MOST_STEPS = 50_000  # schemas looked at in one check: `anyOf` in a loop doubles at every level


class SchemaError(GuardError, ValueError):
    """A schema that cannot be checked; the message says which part of it and why."""


class _TooMuchError(Exception):
    """One check took too many steps."""


class _Steps:
    """How many more schemas one check may look at."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = _MOST_STEPS

    def one(self) -> None:
        """Count one."""
        self.left -= 1
        if self.left < 0:
            raise _TooMuchError


_Check = Callable[[Any, str, _Steps], str | None]
"""(value, its place as shown, steps left) -> what is wrong, without the value; or None."""

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
}
_WORDS: Mapping[type, str] = {
    dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a whole number",
    float: "a number with a fraction", type(None): "null",
}  # fmt: skip

_NOT_CHECKED = (
    "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "extends",
    "disallow", "divisibleBy",
)  # fmt: skip
_OPEN = ("$ref", "allOf", "anyOf", "oneOf", "not", "if", "patternProperties", "dependentSchemas")


class Checker:
    """The compiled check of one tool's arguments.

    `names`: the arguments that the schema knows; `closed`: whether it takes no others, by what
    it says or because it does not say that it takes any.
    """

    def __init__(self, schema: Any) -> None:
        """Compile a schema.

        Raises:
            SchemaError: it is no schema, or makes a demand that cannot be checked here.
        """
        self._check = _Compiler(schema).compiled(schema, 0)
        known = schema.get("properties") if isinstance(schema, Mapping) else None
        self.names: frozenset[str] = frozenset(known) if isinstance(known, Mapping) else frozenset()
        self.closed = (
            isinstance(known, Mapping)
            and not any(key in schema for key in _OPEN)
            and schema.get("additionalProperties", False) is False
        )

    def problem(self, arguments: Any) -> str | None:
        """Return what is wrong with arguments, without any of their values, or None."""
        try:
            return self._check(arguments, "the arguments", _Steps())
        except _TooMuchError:
            return "the arguments take too many steps to check against the schema"


class _Compiler:
    """Makes checks of the parts of one schema; `references` already followed are kept."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.references: dict[str, _Check | None] = {}

    def compiled(self, schema: Any, depth: int) -> _Check:
        if depth > _DEEPEST:
            raise SchemaError(f"the schema is more than {_DEEPEST} levels deep")
        if schema is True or schema == {}:
            return _nothing_wrong
        if schema is False:
            return lambda _value, at, _steps: f"{at} may not be given"
        if not isinstance(schema, Mapping):
            raise SchemaError(f"a schema must be an object, got {plain(repr(schema), 60)}")
        for key in _NOT_CHECKED:
            if key in schema and schema[key] not in (True, {}):
                raise SchemaError(f"the schema's {key!r} cannot be checked here")
        keywords = [one for one in _KEYWORDS if any(key in schema for key in one[0])]
        return _all_of([self.keyword(one, schema, depth + 1) for one in keywords])

    def keyword(
        self, keyword: tuple[tuple[str, ...], "_Keyword"], schema: Mapping[str, Any], depth: int
    ) -> _Check:
        """Compile one keyword of a schema."""
        keys, compile_keyword = keyword
        try:
            return compile_keyword(self, schema, depth)
        except SchemaError:
            raise
        except (TypeError, ValueError, AttributeError, KeyError):
            raise SchemaError(f"the schema's {keys[0]!r} is not of its form") from None

    def many(self, schemas: Any, depth: int) -> list[_Check]:
        if not isinstance(schemas, Sequence) or isinstance(schemas, str) or not schemas:
            raise SchemaError("the schema holds an empty list of schemas, or none")
        return [self.compiled(schema, depth) for schema in schemas]

    def named(self, schemas: Any, depth: int) -> dict[str, _Check]:
        if not isinstance(schemas, Mapping):
            raise SchemaError("the schema's names must stand in an object")
        return {name: self.compiled(schema, depth) for name, schema in schemas.items()}

    # -- keywords --------------------------------------------------------------------------

    def keyword_reference(self, schema: Mapping[str, Any], depth: int) -> _Check:
        ref = schema["$ref"]
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise SchemaError(f"the reference {plain(ref, 80)!r} leads out of the schema")
        if ref not in self.references:
            self.references[ref] = None  # a loop meets this, and looks again once it is run
            self.references[ref] = self.compiled(self.found(ref), depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            steps.one()
            target = self.references[ref]
            assert target is not None  # noqa: S101  (compiled before any check is run)
            return target(value, at, steps)

        return check

    def found(self, ref: str) -> Any:
        found: Any = self.root
        for part in ref.split("/")[1:]:
            step = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isascii() and step.isdigit():
                found = found[int(step)] if int(step) < len(found) else None
            else:
                raise SchemaError(f"the reference {plain(ref, 80)!r} leads nowhere")
        return found

    def keyword_type(self, schema: Mapping[str, Any], _depth: int) -> _Check:
        stated = schema["type"]
        names = [stated] if isinstance(stated, str) else list(stated)
        tests = [_TYPES[name] for name in names]
        words = " or ".join(names)

        def check(value: Any, at: str, _steps: _Steps) -> str | None:
            if any(test(value) for test in tests):
                return None
            return f"{at} must be of type {words}, got {_WORDS.get(type(value), 'something else')}"

        return check

    def keyword_enum(self, schema: Mapping[str, Any], _depth: int) -> _Check:
        return _one_of_values(schema["enum"])

    def keyword_const(self, schema: Mapping[str, Any], _depth: int) -> _Check:
        return _one_of_values([schema["const"]])

    def keyword_properties(self, schema: Mapping[str, Any], depth: int) -> _Check:
        known = self.named(schema.get("properties", {}), depth)
        patterns = [
            (_pattern(text), self.compiled(one, depth))
            for text, one in schema.get("patternProperties", {}).items()
        ]
        more = schema.get("additionalProperties", True)
        others = self.compiled(more, depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            if not isinstance(value, dict):
                return None
            for name, item in value.items():
                where = _below(at, name)
                checks = [known[name]] if name in known else []
                for pattern, one in patterns:
                    fits = pattern(name)
                    if isinstance(fits, str):
                        return f"the name {where} {fits}"
                    checks += [one] if fits else []
                if not checks and more is False:
                    return f"{where} is no argument that the schema knows"
                steps.one()
                for one in checks or [others]:
                    if wrong := one(item, where, steps):
                        return wrong
            return None

        return check

    def keyword_property_names(self, schema: Mapping[str, Any], depth: int) -> _Check:
        names = self.compiled(schema["propertyNames"], depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            if isinstance(value, dict):
                for name in value:
                    if wrong := names(name, f"the name {_below(at, name)}", steps):
                        return wrong
            return None

        return check

    def keyword_required(self, schema: Mapping[str, Any], _depth: int) -> _Check:
        names = tuple(_texts(schema["required"]))

        def check(value: Any, at: str, _steps: _Steps) -> str | None:
            if isinstance(value, dict):
                for name in names:
                    if name not in value:
                        return f"{_below(at, name)} is missing"
            return None

        return check

    def keyword_dependent(self, schema: Mapping[str, Any], depth: int) -> _Check:
        needs: dict[str, tuple[str, ...]] = {}
        fits: dict[str, _Check] = {}
        for key in ("dependentRequired", "dependentSchemas", "dependencies"):
            for name, what in schema.get(key, {}).items():
                if isinstance(what, list):
                    needs[name] = (*needs.get(name, ()), *_texts(what))
                else:
                    fits[name] = _all_of(
                        [fits.get(name, _nothing_wrong), self.compiled(what, depth)]
                    )

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            if not isinstance(value, dict):
                return None
            for name, needed in needs.items():
                if name in value and (missing := [n for n in needed if n not in value]):
                    return f"{_below(at, missing[0])} is missing beside {plain(name, 60)!r}"
            wrong = (one(value, at, steps) for name, one in fits.items() if name in value)
            return next(filter(None, wrong), None)

        return check

    def keyword_items(self, schema: Mapping[str, Any], depth: int) -> _Check:
        stated = schema.get("items", True)
        first = schema.get("prefixItems", stated if isinstance(stated, list) else [])
        rest_of = schema.get("additionalItems", True) if isinstance(stated, list) else stated
        prefix = [self.compiled(one, depth) for one in first]
        rest = self.compiled(rest_of, depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            if not isinstance(value, list):
                return None
            for index, item in enumerate(value):
                steps.one()
                one = prefix[index] if index < len(prefix) else rest
                if wrong := one(item, f"{at}[{index}]", steps):
                    return wrong
            return None

        return check

    def keyword_contains(self, schema: Mapping[str, Any], depth: int) -> _Check:
        wanted = self.compiled(schema["contains"], depth)
        least = _count(schema.get("minContains", 1))
        most = _count(schema["maxContains"]) if "maxContains" in schema else None

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            if not isinstance(value, list):
                return None
            steps.one()
            count = sum(wanted(item, at, steps) is None for item in value)
            if count < least or (most is not None and count > most):
                return f"{at} must hold {least} to {most or 'any number'} of what is asked for"
            return None

        return check

    def keyword_any_of(self, schema: Mapping[str, Any], depth: int) -> _Check:
        options = self.many(schema["anyOf"], depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            first: str | None = None
            for option in options:
                steps.one()
                wrong = option(value, at, steps)
                if wrong is None:
                    return None
                first = first or wrong
            return first

        return check

    def keyword_one_of(self, schema: Mapping[str, Any], depth: int) -> _Check:
        options = self.many(schema["oneOf"], depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            fitting, first = 0, None
            for option in options:
                steps.one()
                wrong = option(value, at, steps)
                fitting += wrong is None
                first = first or wrong
            if fitting == 1:
                return None
            return first if fitting == 0 else f"{at} fits more than one form of the schema"

        return check

    def keyword_every(self, schema: Mapping[str, Any], depth: int) -> _Check:
        return _all_of(self.many(schema["allOf"], depth))

    def keyword_not(self, schema: Mapping[str, Any], depth: int) -> _Check:
        unwanted = self.compiled(schema["not"], depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            steps.one()
            return (
                f"{at} is what the schema rules out" if unwanted(value, at, steps) is None else None
            )

        return check

    def keyword_if(self, schema: Mapping[str, Any], depth: int) -> _Check:
        asked = self.compiled(schema["if"], depth)
        yes = self.compiled(schema.get("then", True), depth)
        no = self.compiled(schema.get("else", True), depth)

        def check(value: Any, at: str, steps: _Steps) -> str | None:
            steps.one()
            return (yes if asked(value, at, steps) is None else no)(value, at, steps)

        return check

    def keyword_bounds(self, schema: Mapping[str, Any], _depth: int) -> _Check:
        bounds = [(key, schema[key]) for key in _BOUNDS if key in schema]
        for key, bound in bounds:
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                raise SchemaError(f"the schema's {key!r} must be a number")

        def check(value: Any, at: str, _steps: _Steps) -> str | None:
            for key, bound in bounds:
                measure, fits, words = _BOUNDS[key]
                size = measure(value)
                if size is not None and not fits(size, bound):
                    return f"{at} must {words} {bound:g}"
            return None

        return check

    def keyword_pattern(self, schema: Mapping[str, Any], _depth: int) -> _Check:
        pattern = _pattern(schema["pattern"])
        shown = plain(schema["pattern"], 80)

        def check(value: Any, at: str, _steps: _Steps) -> str | None:
            fits = pattern(value) if isinstance(value, str) else True
            if isinstance(fits, str):
                return f"{at} {fits}"
            return None if fits else f"{at} must fit the pattern {shown}"

        return check

    def keyword_unique(self, schema: Mapping[str, Any], _depth: int) -> _Check:
        def check(value: Any, at: str, _steps: _Steps) -> str | None:
            if isinstance(value, list) and len({_key(item) for item in value}) < len(value):
                return f"{at} must not hold one thing twice"
            return None

        return check if schema["uniqueItems"] is True else _nothing_wrong


def _one_of_values(values: Sequence[Any]) -> _Check:
    known = {_key(value) for value in values}
    shown = plain(", ".join(json.dumps(value) for value in values), 200)

    def check(value: Any, at: str, _steps: _Steps) -> str | None:
        return None if _key(value) in known else f"{at} must be one of {shown}"

    return check


def _nothing_wrong(_value: Any, _at: str, _steps: _Steps) -> str | None:
    return None


def _all_of(checks: Iterable[_Check]) -> _Check:
    every = tuple(check for check in checks if check is not _nothing_wrong)
    if not every:
        return _nothing_wrong
    if len(every) == 1:
        return every[0]

    def check(value: Any, at: str, steps: _Steps) -> str | None:
        steps.one()
        for one in every:
            if wrong := one(value, at, steps):
                return wrong
        return None

    return check


def _below(at: str, name: str) -> str:
    shown = plain(name, 60)
    return f"the argument {shown!r}" if at == "the arguments" else f"{at}.{shown}"


def _texts(value: Any) -> Iterable[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise SchemaError("the schema must list names as texts")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise SchemaError("the schema must count by whole numbers")
    return value


def _key(value: Any) -> str:
    """Return one text for all values that JSON Schema takes for equal."""
    return json.dumps(_whole_where_it_is(value), sort_keys=True)


def _whole_where_it_is(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _whole_where_it_is(item) for key, item in value.items()}
    return [_whole_where_it_is(item) for item in value] if isinstance(value, list) else value


def _pattern(text: Any) -> Callable[[str], bool | str]:
    """Return a search that says whether a text fits, or why that cannot be told."""
    try:
        found = Pattern(text)
    except PatternError as error:
        why = f"must fit the pattern {plain(text, 60)}, which {error}: it cannot be checked"
        return lambda _value: why

    def search(value: str) -> bool | str:
        try:
            return found.found_in(value)
        except PatternError as error:
            return f"must fit the pattern {plain(text, 60)}, which {error}"

    return search


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _is_multiple(size: float, bound: float) -> bool:
    if isinstance(size, int) and isinstance(bound, int):
        return bound > 0 and size % bound == 0
    return bound > 0 and (size / bound).is_integer()


_Bound = tuple[Callable[[Any], float | None], Callable[[float, float], bool], str]


def _lengths(name: str, kind: type[Sized], what: str) -> dict[str, _Bound]:
    """Return the two bounds on how long a value of one type may be."""

    def length(value: Any) -> int | None:
        return len(value) if isinstance(value, kind) else None

    return {
        f"min{name}": (length, operator.ge, f"have at least this many {what}:"),
        f"max{name}": (length, operator.le, f"have at most this many {what}:"),
    }


_BOUNDS: Mapping[str, _Bound] = {
    "minimum": (_number, operator.ge, "be at least"),
    "maximum": (_number, operator.le, "be at most"),
    "exclusiveMinimum": (_number, operator.gt, "be more than"),
    "exclusiveMaximum": (_number, operator.lt, "be less than"),
    "multipleOf": (_number, _is_multiple, "be a multiple of"),
    **_lengths("Length", str, "characters"),
    **_lengths("Items", list, "items"),
    **_lengths("Properties", dict, "names"),
}

_Keyword = Callable[[_Compiler, Mapping[str, Any], int], _Check]
_KEYWORDS: Sequence[tuple[tuple[str, ...], _Keyword]] = (
    (("type",), _Compiler.keyword_type),
    (("$ref",), _Compiler.keyword_reference),
    (("enum",), _Compiler.keyword_enum),
    (("const",), _Compiler.keyword_const),
    (("required",), _Compiler.keyword_required),
    (("properties", "patternProperties", "additionalProperties"), _Compiler.keyword_properties),
    (("propertyNames",), _Compiler.keyword_property_names),
    (("dependentRequired", "dependentSchemas", "dependencies"), _Compiler.keyword_dependent),
    (("items", "prefixItems"), _Compiler.keyword_items),
    (("contains",), _Compiler.keyword_contains),
    (("uniqueItems",), _Compiler.keyword_unique),
    (tuple(_BOUNDS), _Compiler.keyword_bounds),
    (("pattern",), _Compiler.keyword_pattern),
    (("allOf",), _Compiler.keyword_every),
    (("anyOf",), _Compiler.keyword_any_of),
    (("oneOf",), _Compiler.keyword_one_of),
    (("not",), _Compiler.keyword_not),
    (("if",), _Compiler.keyword_if),
)
