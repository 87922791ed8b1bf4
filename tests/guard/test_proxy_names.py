"""The names that clients see lead back to one tool each, and nothing invisible is shown."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.deployment.listing import ListedTool
from corrigible.guard.proxy.hub import wire_tool
from corrigible.guard.proxy.names import (
    LONGEST,
    Names,
    back_uri,
    front_name,
    front_uri,
    shown,
    unclean_key,
)

SERVERS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}", fullmatch=True)
TOOLS = st.text(st.characters(exclude_categories=("Cs", "Zs", "Cc")), min_size=1, max_size=128)


@given(SERVERS, TOOLS)
def test_every_name_is_one_that_every_client_takes(server, tool):
    assert re.fullmatch(rf"[A-Za-z0-9_-]{{1,{LONGEST}}}", front_name(server, tool))


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(st.tuples(SERVERS, TOOLS), unique=True, max_size=8))
def test_every_name_leads_back_to_its_own_tool_or_to_none(pairs):
    names = Names.of(pairs)
    assert set(names.known.values()) <= set(pairs)
    for pair in pairs:
        name = front_name(*pair)
        assert names.known.get(name) == pair or name in names.refused


def test_tools_of_one_name_on_two_servers_stay_apart():
    names = Names.of([("one", "read"), ("two", "read")])
    assert names.known == {"one__read": ("one", "read"), "two__read": ("two", "read")}


def test_two_tools_that_would_share_a_name_are_both_refused():
    names = Names.of([("a", "b__c"), ("a__b", "c")])
    assert names.known == {}
    assert names.refused == {"a__b__c": "a.b__c and a__b.c share this name"}


@pytest.mark.parametrize(
    "other", ["a__Read", "a__read ", "a__r\u0435ad", "a__read\u200b", "read", "A__read"]
)
def test_only_the_exact_name_leads_back(other):
    assert other not in Names.of([("a", "read")]).known


def test_names_that_are_cut_still_differ():
    assert front_name("a", "x" * 100) != front_name("a", "x" * 99 + "y")
    assert front_name("a", "b.c") != front_name("a", "b_c")


@given(SERVERS, st.text(min_size=1))
def test_an_address_comes_back_as_it_was(server, uri):
    assert back_uri(front_uri(server, uri)) == (server, uri)


@pytest.mark.parametrize("uri", ["file:///etc/x", "corrigible://", "corrigible:///x", None, 3])
def test_other_addresses_are_of_no_server(uri):
    assert back_uri(uri) is None


@pytest.mark.parametrize(
    "unseen",
    ["\u200b", "\u202e", "\x1b", "\U000e0041", "\ufe01", "\U000e0101", "\u3164", "\u2800", "\xa0"],
)
def test_what_is_invisible_is_spelled_out(unseen):
    seen = shown(f"a{unseen}b")
    assert unseen not in seen
    assert f"{ord(unseen):04x}" in seen


def test_ordinary_texts_stay_as_they_are():
    text = "Reads a file.\n\tGrüße, 日本語 ✓"
    assert shown(text) == text


def test_every_text_of_a_tool_is_neutralised():
    bad = "x\u202ey"
    tool = ListedTool(
        name="t",
        title=bad,
        description=bad,
        input_schema={"properties": {"a": {"description": bad, "enum": [bad]}}},
        output_schema={"title": bad},
        annotations={"title": bad, "readOnlyHint": True, "evil": bad, "destructiveHint": bad},
    )
    wire = wire_tool("s__t", tool)
    assert "\u202e" not in json.dumps(wire, ensure_ascii=False)
    assert wire["annotations"] == {"readOnlyHint": True, "title": "x\\u202ey"}
    assert wire["inputSchema"]["properties"]["a"]["enum"] == ["x\\u202ey"]


def test_a_schema_whose_names_are_not_clean_is_found():
    assert unclean_key({"properties": {"a": {"anyOf": [{"pa\u200bth": 1}]}}}) == "pa\\u200bth"
    assert unclean_key({"properties": {"path": {}}}) is None
