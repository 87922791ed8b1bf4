"""Kinds of places: those of one kind fit the same patterns, and what is unusual has none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_guard import call, policy_of

from corrigible.deployment.places import find_place, pattern_of, template_pattern
from corrigible.deployment.records import Server, Tool
from corrigible.guard.kinds import Index, Kinds
from corrigible.guard.policy import decide
from corrigible.guard.seen import Seen

SERVER = Server()
SEGMENTS = st.sampled_from(["a", "b", "srv", "x.y", "ab", "a b"])
PLACES = st.builds(
    lambda parts, absolute: ("/" if absolute else "") + "/".join(parts),
    st.lists(SEGMENTS, min_size=1, max_size=4),
    st.booleans(),
)
GLOBS = st.builds(
    lambda place, end: place + end,
    PLACES,
    st.sampled_from(["", "/**", "/*", "*", "/**/x.y", "/?", "/**/a/**"]),
) | st.sampled_from(["**", "/**", "/*", "/**/a", "*", "/*/b/**"])


@given(st.lists(GLOBS, max_size=6), PLACES | st.sampled_from(["", "/"]))
@settings(max_examples=100)
def test_an_index_finds_what_each_pattern_by_itself_would(globs, place):
    patterns = list(dict.fromkeys(pattern_of(glob, SERVER) for glob in globs))
    index = Index(patterns)
    assert index.whole
    wanted = {n for n, p in enumerate(patterns) if find_place((tuple(place), p), ()) is not None}
    assert set(index.fits(place)) == wanted
    assert len(index.fits(place)) == len(wanted)


@given(st.lists(GLOBS, min_size=1, max_size=5), PLACES)
@settings(max_examples=100)
def test_what_has_no_parts_lies_whole_in_a_pattern_or_out_of_it(globs, place):
    """So a deletion of it and of all below it is decided as the place itself is."""
    patterns = list(dict.fromkeys(pattern_of(glob, SERVER) for glob in globs))
    index = Index(patterns)
    if index.parts(place):
        return
    subtree = pattern_of(f"{place}/**", SERVER)
    fitting = set(index.fits(place))
    for number, pattern in enumerate(patterns):
        if number in fitting:
            assert find_place((subtree,), (pattern,)) is None  # all of it lies within
        else:
            assert find_place((subtree, pattern), ()) is None  # none of it does


def test_patterns_of_many_wildcards_are_left_to_the_slow_way():
    assert not Index([pattern_of("/*/*/*/*/*", SERVER)]).whole


def kinds(target="/srv/{path}", patterns=("/srv/app/**",), **more):  # noqa: ANN003
    server = Server(**more.pop("server", {}))
    tool = Tool(verbs=more.pop("verbs", ["read"]), target=target, **more)
    found = [pattern_of(glob, server) for glob in patterns]
    return Kinds(tool, server, reads=("path",), other=(), patterns=found)


@pytest.mark.parametrize(
    "value",
    [
        None, ("open",), (bool, True), (float, 1.0), (list, ("a",)), "/etc", "~x", "..", "../etc",
        "a/../../etc", "a\x00", "%2e%2e/etc", "a\u200b", "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_out_of_the_ordinary_has_no_kind(value):
    assert kinds().of((value,)) is None


def test_a_value_that_starts_anew_behind_other_text_has_none():
    assert kinds(target="/srv{path}").of(("/app/x",)) is None
    assert kinds(target="/srv/{path}").of(("/app/x",)) is None
    assert kinds(target="{path}").of(("/srv/app/x",)) == ((0,),)


@pytest.mark.parametrize("value", ["app/x", "app//x", "./app/x", "app/x/", "app/%78", "app/é", 5])
def test_a_place_has_the_kind_of_the_patterns_that_its_canonical_form_fits(value):
    one = kinds()
    key = (int, value) if isinstance(value, int) else value
    inside = isinstance(value, str)
    assert one.of((key,)) == (((0,) if inside else ()),)


def test_a_place_outside_of_the_stated_reach_has_none():
    assert kinds(reach=["/srv/app/**"]).of(("app/x",)) == ((0,),)
    assert kinds(reach=["/srv/app/**"]).of(("log/x",)) is None


def test_case_counts_only_where_the_server_says_so():
    folding = kinds(server={"case": "insensitive"}, patterns=("/srv/APP/**",))
    assert folding.of(("aPP/X",)) == ((0,),)
    assert kinds().of(("aPP/X",)) == ((),)


@pytest.mark.parametrize("value", ["app", "ap", "application"])
def test_a_deletion_above_something_has_none(value):
    one = kinds(verbs=["delete"], patterns=("/srv/app/x/**", "/srv/application"))
    assert one.of((value,)) == (None if value != "ap" else ((),))


@pytest.mark.parametrize(
    ("text", "root"),
    [("a/b", None), ("/a/b", "/srv"), ("a/b", "/srv"), ("/a.b/-c/_d e@f,=+", None)],
)
def test_a_plain_place_is_its_own_canonical_form(text, root):
    server = Server(root=root)
    one = Kinds(
        Tool(verbs=["read"], target="{path}"), server, reads=("path",), other=(), patterns=()
    )
    assert "".join(template_pattern("{path}", server, {"path": text})) == one._place(
        one._targets[0], (text,)
    )


def test_equal_kinds_are_decided_alike_and_once(monkeypatch):
    policy = policy_of()
    ruler = policy.tools["files.read_file"].ruler
    seen = Seen.start(policy.deployment)
    first = decide(policy, call("files.read_file", path="/srv/app/one"), seen, {})
    monkeypatch.setattr(ruler, "ruled_anew", lambda _key: pytest.fail("it was looked at anew"))
    again = decide(policy, call("files.read_file", path="/srv/app/two/three"), seen, {})
    assert first == again
    assert first.verdict == "allow"
