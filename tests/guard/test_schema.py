"""A compiled schema says what the reference validator says, sooner, and nothing runs for ever."""

import time

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_guard import PATH_SCHEMA, call, decided, listed, reviewed
from test_strict import JSON

from corrigible.guard.patterns import Pattern, PatternError
from corrigible.guard.schema import Checker, SchemaError

pytestmark = pytest.mark.slow

SCHEMAS = {
    "closed": PATH_SCHEMA,
    "types": {"properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "number"}}},
    "enum": {"properties": {"a": {"enum": ["x", 1, None]}, "b": {"const": [1]}}},
    "numbers": {"properties": {"a": {"minimum": 0, "exclusiveMaximum": 10, "multipleOf": 2}}},
    "texts": {"properties": {"a": {"minLength": 1, "maxLength": 3, "pattern": "^[a-f]+$"}}},
    "lists": {"properties": {"a": {"items": {"type": "string"}, "minItems": 1, "maxItems": 2}}},
    "prefix": {"properties": {"a": {"prefixItems": [{"type": "integer"}], "items": False}}},
    "unique": {"properties": {"a": {"uniqueItems": True}}},
    "contains": {"properties": {"a": {"contains": {"type": "null"}, "maxContains": 1}}},
    "any": {"properties": {"a": {"anyOf": [{"type": "string"}, {"minimum": 3}]}}},
    "one": {"properties": {"a": {"oneOf": [{"type": "integer"}, {"minimum": 3}]}}},
    "all": {"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "array"}}}]},
    "not": {"not": {"required": ["a"]}},
    "if": {
        "if": {"properties": {"a": {"const": True}}},
        "then": {"required": ["b"]},
        "else": {"maxProperties": 2},
    },
    "names": {"propertyNames": {"maxLength": 2}, "minProperties": 1},
    "patterns": {"patternProperties": {"^a": {"type": "null"}}, "additionalProperties": True},
    "dependent": {"dependentRequired": {"a": ["b"]},
                  "dependentSchemas": {"b": {"required": ["c"]}}},
    "references": {
        "$defs": {"tree": {"properties": {"a": {"$ref": "#/$defs/tree"}}, "type": "object"}},
        "$ref": "#/$defs/tree",
    },
    "more": {"properties": {"a": True}, "additionalProperties": {"type": "string"}},
}  # fmt: skip
VALUES = st.dictionaries(
    st.sampled_from(["a", "b", "c", "abc"]),
    JSON | st.integers(-3, 12) | st.text("abcxyz", max_size=4) | st.lists(st.none() | st.just(1)),
    max_size=4,
)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@given(value=VALUES)
@settings(max_examples=60)
def test_a_checker_agrees_with_the_reference(schema, value):
    agreed = jsonschema.Draft202012Validator(schema).is_valid(_without_whole_floats(value))
    assert (Checker(schema).problem(_without_whole_floats(value)) is None) == agreed


def _without_whole_floats(value):
    """1.0 is no whole number here, and is one to the reference."""
    if isinstance(value, dict):
        return {k: _without_whole_floats(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_whole_floats(v) for v in value]
    return (
        value + 0.5
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e9
        else (0.5 if isinstance(value, float) and value.is_integer() else value)
    )


def test_attack_12_a_fraction_is_no_whole_number_though_it_is_zero():
    checker = Checker({"properties": {"n": {"type": "integer"}}})
    assert checker.problem({"n": 1}) is None
    assert checker.problem({"n": 1.0}) is not None
    assert checker.problem({"n": True}) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://schemas.example/tool.json"},
        {"$ref": "#/$defs/none"},
        {"$dynamicRef": "#a"},
        {"unevaluatedProperties": False},
        {"type": "text"},
        {"properties": []},
        {"required": "path"},
        {"anyOf": []},
        {"minimum": "1"},
        {"items": 5},
        [],
        None,
    ],
    ids=repr,
)
def test_a_schema_that_cannot_be_checked_is_refused_whole(schema):
    with pytest.raises(SchemaError):
        Checker(schema)


def test_a_tool_whose_schema_cannot_be_checked_is_held_back():
    policy = reviewed({}, listed("files", "read_file", {"$ref": "https://x.example/s.json"}))
    decision = decided(policy, call("files.read_file", path="/srv/app/x"))
    assert decision.rule == "tool.held"
    assert "leads out of the schema" in decision.reason


SLOW = {
    "nested": (r"^(a+)+$", "a" * 5000 + "!"),
    "alternatives": (r"^(a|aa)+$", "a" * 5000 + "!"),
    "optional": ("a?" * 30 + "a" * 30, "a" * 29),
    "polynomial": (r"^.*.*.*.*=$", "x" * 5000),
    "email": (r"^([a-z0-9]+[._-]?)*@([a-z0-9]+\.)+[a-z]{2,}$", "a" * 3000),
}


@pytest.mark.parametrize(("pattern", "text"), SLOW.values(), ids=SLOW)
def test_attack_12_no_pattern_runs_for_ever(pattern, text):
    began = time.process_time()
    assert not Pattern(pattern).found_in(text)
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    "pattern", [r"(a)\1", "(?=a)b", "(?!a)", r"\p{L}", "(", "a)", "*", "[z-a]"]
)
def test_a_pattern_that_needs_memory_or_is_none_is_refused(pattern):
    with pytest.raises(PatternError):
        Pattern(pattern)
    wrong = Checker({"properties": {"a": {"pattern": pattern}}}).problem({"a": "x"})
    assert "cannot be checked" in wrong


@given(
    st.sampled_from(
        [r"^[a-c]+x?$", r"(ab|a)(bc|c)", r"a{2,3}b*", r"^$", r"\bab\b", r"[^ab]\w", r"a.c", "b|^c"]
    ),
    st.text("abcx \n", max_size=12),
)
def test_a_pattern_finds_what_the_reference_finds(pattern, text):
    import re  # noqa: PLC0415  (what the module under test does without)

    expected = re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
    assert Pattern(pattern).found_in(text) == expected


def test_a_schema_that_doubles_at_every_level_ends():
    node = {"anyOf": [{"properties": {"a": {"$ref": "#/$defs/n"}}, "not": {}}] * 2}
    checker = Checker({"$defs": {"n": node}, "$ref": "#/$defs/n"})
    deep: dict = {}
    for _ in range(30):
        deep = {"a": deep}
    began = time.process_time()
    assert "too many steps" in checker.problem(deep)
    assert time.process_time() - began < 1.0


def test_a_problem_names_the_place_and_holds_no_value():
    wrong = Checker(PATH_SCHEMA).problem({"path": ["hunter2"]})
    assert wrong == "the argument 'path' must be of type string, got a list"


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"path": 5}, "arguments.schema"),
        ({}, "arguments.schema"),
        ({"path": "/srv/app/x", "mode": "w"}, "arguments.unknown"),
        ({"Path": "/srv/app/x"}, "arguments.alike"),
        ({"path": "/srv/app/x", "pа\u0442h": "/etc"}, "arguments.alike"),  # noqa: RUF001
        ({"path": "/srv/app/x", "path_": "/etc/shadow"}, "arguments.alike"),
        ({"path": "/srv/app/x", "ｐath": "/etc/shadow"}, "arguments.alike"),  # noqa: RUF001
    ],
    ids=repr,
)
def test_attack_12_arguments_that_are_not_the_schemas_are_denied(arguments, rule):
    policy = reviewed({}, listed("files", "read_file", PATH_SCHEMA))
    decision = decided(policy, call("files.read_file", **arguments))
    assert decision.verdict == "deny"
    assert decision.rule in {rule, "arguments.alike"}


def test_a_schema_that_names_arguments_takes_no_others_unless_it_says_so():
    """A server may read an argument that its schema forgot: `file` beside `path`."""
    silent = {"type": "object", "properties": {"path": {"type": "string"}}}
    policy = reviewed({}, listed("files", "read_file", silent))
    made = call("files.read_file", path="/srv/app/x", file="/etc/shadow")
    assert decided(policy, made).rule == "arguments.unknown"
    open_ = reviewed({}, listed("files", "read_file", silent | {"additionalProperties": True}))
    assert decided(open_, made).verdict == "allow"


def test_a_decoy_argument_fills_no_target():
    """The manifest's target reads `path`; the server's schema knows only `file`."""
    schema = {"properties": {"file": {"type": "string"}}, "additionalProperties": True}
    policy = reviewed({}, listed("files", "read_file", schema))
    made = call("files.read_file", path="/srv/app/x", file="/etc/shadow")
    assert decided(policy, made).verdict == "deny"
