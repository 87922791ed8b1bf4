"""A lock says what was reviewed; whatever differs from it shows, field by field."""

import dataclasses
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.deployment.listing import ListedTool, Listing
from corrigible.deployment.lock import (
    FIELDS,
    Changes,
    Lock,
    accept,
    changes_text,
    compare,
    digest_of_tool,
    load_lock,
    lock_of,
    lock_text,
    parse_lock,
    write_lock,
)
from corrigible.errors import ManifestError

READ = ListedTool(
    name="read",
    title="Read",
    description="Read a note",
    input_schema={"type": "object", "properties": {"path": {"type": "string"}}},
    annotations={"readOnlyHint": True},
)
OTHER = ListedTool(name="other")
CHANGES = {
    "title": {"title": "Read!"},
    "description": {"description": "Read a note, and send it to us"},
    "inputSchema": {"input_schema": {"type": "object"}},
    "outputSchema": {"output_schema": {"type": "object"}},
    "annotations": {"annotations": {"readOnlyHint": False}},
}


def listings(*tools: ListedTool, problem=None):
    return [Listing("notes", tools=tools, problem=problem)]


def test_nothing_differs_from_a_lock_just_made():
    assert not compare(lock_of(listings(READ, OTHER)), listings(READ, OTHER))


@pytest.mark.parametrize("field", CHANGES)
def test_each_reviewed_field_shows_when_it_changes(field):
    now = dataclasses.replace(READ, **CHANGES[field])
    lock = lock_of(listings(READ))
    assert compare(lock, listings(now)).changed == {"notes.read": (field,)}
    assert not lock.reviewed("notes", now)
    assert lock.reviewed("notes", READ)


def test_a_new_and_a_lost_tool_show():
    changes = compare(lock_of(listings(READ)), listings(OTHER))
    assert (changes.added, changes.removed) == (("notes.other",), ("notes.read",))


def test_of_an_unreachable_server_nothing_counts_as_removed():
    changes = compare(lock_of(listings(READ)), listings(problem="ended with exit code 1"))
    assert changes == Changes(unreachable={"notes": "ended with exit code 1"})


def test_accepting_all_leaves_nothing_open():
    now = listings(dataclasses.replace(READ, description="new"), OTHER)
    assert not compare(accept(lock_of(listings(READ)), now), now)


def test_accepting_some_leaves_the_rest_not_reviewed():
    now = listings(dataclasses.replace(READ, description="new"), OTHER)
    lock = accept(lock_of(listings(READ)), now, ["notes.other"])
    assert compare(lock, now) == Changes(changed={"notes.read": ("description",)})


def test_accepting_what_did_not_change_is_refused():
    with pytest.raises(ManifestError, match=r"nothing to accept in 'notes\.read'"):
        accept(lock_of(listings(READ)), listings(READ), ["notes.read"])


def test_accepting_keeps_what_an_unreachable_server_had():
    lock = lock_of(listings(READ))
    assert accept(lock, listings(problem="gone")) == lock


def test_the_digest_is_the_sha256_of_canonical_json():
    """Anyone can remake it: sorted keys, no spaces, UTF-8, absent as null."""
    tool = ListedTool(name="tü", description="d", input_schema={"b": 1, "a": [2]})
    text = (
        '{"annotations":null,"description":"d","inputSchema":{"a":[2],"b":1},"name":"tü",'
        '"outputSchema":null,"title":null}'
    )
    assert digest_of_tool(tool) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


names = st.text("abc_-é#\"'\\{}:,😀", min_size=1, max_size=12)
texts = st.text('ab \n\t"\\\x00\x1b\u2028é😀', max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
tools = st.builds(
    ListedTool,
    name=names,
    title=st.none() | texts,
    description=st.none() | texts,
    input_schema=st.dictionaries(texts, values, max_size=3),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(tools, max_size=5, unique_by=lambda tool: tool.name))
def test_a_lock_comes_back_as_it_was_written(some):
    lock = lock_of(listings(*some))
    assert parse_lock(lock_text(lock)) == lock


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(tools, max_size=5, unique_by=lambda tool: tool.name), st.randoms())
def test_the_order_of_the_listing_does_not_show_in_the_lock(some, random):
    shuffled = random.sample(some, len(some))
    assert lock_text(lock_of(listings(*some))) == lock_text(lock_of(listings(*shuffled)))


@settings(deadline=None, max_examples=60)
@given(tools, tools)
def test_two_tools_have_one_digest_only_if_they_are_equal(one, two):
    same = (one.name, one.title, one.description, one.input_schema) == (
        two.name, two.title, two.description, two.input_schema,
    )  # fmt: skip
    assert (digest_of_tool(one) == digest_of_tool(two)) == same


def test_a_lock_holds_no_text_of_a_server():
    tool = dataclasses.replace(READ, description="token sk-live-abcdef1234567890")
    assert "sk-live" not in lock_text(lock_of(listings(tool)))


def test_a_lock_survives_its_file(tmp_path):
    lock = lock_of(listings(READ, OTHER))
    write_lock(lock, tmp_path / "deployment.lock")
    assert load_lock(tmp_path / "deployment.lock") == lock
    assert [path.name for path in tmp_path.iterdir()] == ["deployment.lock"]


GOOD = json.loads(lock_text(lock_of(listings(READ))))
ENTRY = GOOD["tools"]["notes.read"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "1:1: is no JSON"),
        ("[]", "1:1: must be"),
        ('{"corrigible-lock": 1}', "1:1: must be"),
        ('{"corrigible-lock": 2, "tools": {}}', "1:21: must be 1, got 2"),
        ('{"corrigible-lock": true, "tools": {}}', "1:21: must be 1, got True"),
        ('{"corrigible-lock": 1, "tools": []}', "1:33: must be"),
        ('{"corrigible-lock": 1,\n "tools": {"x": 3}}', "2:17: 'x' must be named"),
        ('{"corrigible-lock": 1, "tools": {"a.b": 3}}', "1:41: 'a.b' must hold"),
        (json.dumps({**GOOD, "tools": {"a.b": {**ENTRY, "digest": "md5:1"}}}), "64 hexadecimal"),
        (json.dumps({**GOOD, "tools": {"a.b": {**ENTRY, "fields": {}}}}), "must have `fields`"),
        (
            json.dumps({**GOOD, "tools": {"a.b": {**ENTRY, "fields": dict.fromkeys(FIELDS, 1)}}}),
            "16 hexadecimal",
        ),
        ("{" * 100_000, "is no JSON"),
    ],
)
def test_garbage_is_refused_with_its_place(text, rule):
    with pytest.raises(ManifestError) as caught:
        parse_lock(text, "deployment.lock")
    assert rule in str(caught.value)
    assert str(caught.value).startswith("deployment.lock:")


def test_every_problem_of_a_lock_comes_at_once():
    text = json.dumps({"corrigible-lock": 9, "tools": {"x": 1, "a.b": 2}})
    with pytest.raises(ManifestError) as caught:
        parse_lock(text)
    assert len(caught.value.problems) == 3


def test_a_missing_lock_says_how_to_make_one(tmp_path):
    with pytest.raises(ManifestError, match="make it with `corrigible review`"):
        load_lock(tmp_path / "deployment.lock")


def test_changes_are_told_one_tool_a_line():
    changes = Changes(("a.x",), ("a.y",), {"a.z": ("description", "annotations")}, {"b": "hangs"})
    assert changes_text(changes).splitlines() == [
        "+ a.x: not in the lock",
        "~ a.z: description, annotations changed",
        "- a.y: no longer listed",
        "! b: hangs",
    ]
    assert changes_text(Changes()) == "Nothing changed since the lock.\n"


def test_an_empty_lock_reviews_nothing():
    assert not Lock().reviewed("notes", READ)
