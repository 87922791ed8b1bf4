"""Arguments that two readers may read in two ways are refused."""

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_guard import call, decided, policy_of

from corrigible.guard.strict import DEEPEST, StrictError, check_arguments, parse_strict

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=12,
)

REFUSED_TEXTS = {
    "a key twice": ('{"path": "/a", "path": "/b"}', "duplicate"),
    "a key twice by an escape": (r'{"path": 1, "p\u0061th": 2}', "duplicate"),
    "a key twice, inside": ('{"a": [{"b": 1, "b": 2}]}', "duplicate"),
    "NaN": ('{"n": NaN}', "number"),
    "infinity": ('{"n": -Infinity}', "number"),
    "a number that overflows": ('{"n": 1e999}', "number"),
    "a whole number beyond 64 bits": ('{"n": 9223372036854775808}', "number"),
    "a number of many digits": ('{"n": ' + "9" * 5000 + "}", "number"),
    "a fraction of many digits": ('{"n": 0.' + "9" * 5000 + "}", "number"),
    "half a character": (r'{"p": "\ud800"}', "surrogate"),
    "half a character in a key": (r'{"\ud800": 1}', "surrogate"),
    "too deep": ('{"a": ' + "[" * 40 + "]" * 40 + "}", "depth"),
    "deep enough to end a parser": ("[" * 100_000, "depth"),
    "too large": ('{"a": "' + "x" * 1_000_001 + '"}', "size"),
    "no JSON": ("{'a': 1}", "json"),
    "more behind it": ("{} {}", "json"),
    "keys that are one in compatibility form": (r'{"p": 1, "\uff50": 2}', "alike"),
    "a control character in a key": (r'{"path\u0000": 1}', "key"),
    "a zero-width character in a key": (r'{"path\u200b": 1}', "key"),
}


@pytest.mark.parametrize(("text", "rule"), REFUSED_TEXTS.values(), ids=REFUSED_TEXTS)
def test_attack_12_what_readers_disagree_on_is_refused(text, rule):
    with pytest.raises(StrictError) as caught:
        parse_strict(text)
    assert caught.value.rule == f"arguments.{rule}"


def test_bytes_must_be_utf_8():
    with pytest.raises(StrictError, match="UTF-8"):
        parse_strict(b'{"a": "\xff"}')
    assert parse_strict('{"a": "ü"}'.encode()) == {"a": "ü"}


@pytest.mark.slow
@given(JSON)
def test_plain_json_is_read_as_it_is(value):
    assert parse_strict(json.dumps(value)) == value
    assert parse_strict(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ([1], "type"),
        ({1: 2}, "type"),
        ({"a": {1, 2}}, "type"),
        ({"a": float("nan")}, "number"),
        ({"a": 2**63}, "number"),
        ({"a": "\udc00"}, "surrogate"),
        ({"": 1}, "key"),
        ({"path ": 1}, "key"),
        ({"x" * 600: 1}, "key"),
        ({"path": 1, "Path": 2}, "alike"),
        ({"user_id": 1, "userId": 2}, "alike"),
        ({"path": 1, "pаth": 2}, "alike"),  # noqa: RUF001  (a Cyrillic letter)
        ({"a": ["x" * 600_000] * 2}, "size"),
        ({"a": [None] * 1_000_001}, "size"),
    ],
)
def test_attack_12_objects_of_a_client_are_checked_as_texts_are(value, rule):
    with pytest.raises(StrictError) as caught:
        check_arguments(value)
    assert caught.value.rule == f"arguments.{rule}"


def test_an_object_may_not_hold_itself():
    loop: dict = {}
    loop["a"] = loop
    with pytest.raises(StrictError, match=f"{DEEPEST} levels"):
        check_arguments(loop)


def test_checked_arguments_are_a_copy_that_nobody_else_can_change():
    given_ = {"paths": ["/a"], "more": MappingProxyType({"x": (1, 2)})}
    checked = check_arguments(given_)
    given_["paths"].append("/etc/passwd")
    assert checked == {"paths": ["/a"], "more": {"x": [1, 2]}}


def test_no_arguments_are_an_empty_object():
    assert check_arguments(None) == {}


class Sly(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


def test_a_value_with_a_behaviour_of_its_own_is_refused():
    with pytest.raises(StrictError, match="Sly"):
        check_arguments({"path": Sly("/etc")})


def test_a_message_holds_no_value():
    with pytest.raises(StrictError) as caught:
        check_arguments({"token": "hunter2\udc00"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [{"path": "/srv/app/x", "n": float("nan")}, {"path": "/srv/app/x", "Path": "/etc"}, [1]],
    ids=repr,
)
def test_the_decision_checks_arguments_itself(arguments):
    """A caller that forgot to check them gets a denial, not a way around."""
    made = call("files.read_file")
    object.__setattr__(made, "arguments", arguments)
    decision = decided(policy_of(), made)
    assert (decision.verdict, decision.rule.partition(".")[0]) == ("deny", "arguments")
