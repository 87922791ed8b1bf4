"""What calls touch: with open arguments for the audit, with those of one call for the guard."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import load

from corrigible.deployment.rules import rules_of
from corrigible.deployment.touch import (
    UnknownToolError,
    is_indivisible,
    raises,
    ruling_on,
    ruling_on_call,
    strictest,
    touch,
)
from corrigible.drives import KINDS, VERBS
from corrigible.errors import CorrigibleError

SERVERS = "{files: {root: /srv, home: /home/bot}, jobs: {host: cluster}, sh: {}}"
ASSETS = """{release: {kind: task, at: {jobs: release-*}},
  stop: {kind: oversight/stop, at: {jobs: stop-bot}},
  log: {kind: oversight/monitor, at: {files: /srv/log/**}},
  prompt: {kind: oversight/goal, at: {files: /srv/bot/prompt.md}}}"""
TOOLS = """{files.read: {verbs: [read], target: "{path}"},
  files.docs: {verbs: [read], target: "/srv/{path}", reach: /srv/docs/**},
  files.move: {verbs: [write, delete], target: ["{from}", "{to}"]},
  files.remove: {verbs: [delete], target: "{path}"},
  jobs.apply: {verbs: [advance], target: "{name}"},
  jobs.all: {verbs: [delete]},
  sh.run: {verbs: [run]},
  sh.boxed: {verbs: [run], sandbox: {files: "/srv/docs/**"}}}"""
AUTHORITY = "{allow: ['read files:/srv/**', 'write files:/srv/**', 'delete files:/srv/docs/**']}"
LOADED = load(servers=SERVERS, assets=ASSETS, tools=TOOLS, authority=AUTHORITY).deployment


def of(tool, **arguments: object):
    """What one call touches; with no arguments given, what any call does."""
    return touch(LOADED, *tool.split("."), arguments or None)


def pairs(touched):
    return {(effect.verb, effect.asset) for effect in touched.effects}


CALLS = [
    ("files.read", {"path": "/srv/log/a"}, ["log"]),
    ("files.read", {"path": "log/a"}, ["log"]),
    ("files.read", {"path": "/srv/docs/../log/a"}, ["log"]),
    ("files.read", {"path": "/srv/docs/%2e%2e/log/a"}, ["log"]),
    ("files.read", {"path": "file:///srv/log/a"}, ["log"]),
    ("files.read", {"path": "/srv/other"}, ["elsewhere"]),
    ("files.read", {"path": "~/x"}, ["elsewhere"]),
    ("files.read", {"path": ["/srv/log/a", "/srv/x"]}, ["log", "elsewhere"]),
    ("files.move", {"from": "/srv/log/a", "to": "/srv/x"}, ["log", "elsewhere"]),
    ("jobs.apply", {"name": "release-1"}, ["release"]),
    ("jobs.apply", {"name": "stop-bot"}, ["stop"]),
    ("jobs.apply", {"name": 7}, ["elsewhere"]),
    ("files.docs", {"path": "docs/a"}, ["elsewhere"]),
]


@pytest.mark.parametrize(("tool", "arguments", "assets"), CALLS)
def test_a_call_touches_what_its_arguments_name(tool, arguments, assets):
    touched = of(tool, **arguments)
    assert (list(touched.assets), touched.note) == (assets, "")


GUESSED = [
    ("files.read", {"path": "~root/x"}, "starts at the home '~root', which the manifest does not"),
    ("files.read", {"path": "/srv/\u200blog"}, "holds a control or an invisible character"),
    ("files.read", {"path": "/srv/a%2fb/../log"}, "it can be two places"),
    ("files.read", {"other": 1}, "the argument 'path' is not known: taken to be any"),
    ("files.read", {"path": {"x": 1}}, "the argument 'path' cannot be read as places"),
    ("files.read", {"path": True}, "the argument 'path' cannot be read as places"),
    ("files.read", {"path": 1.5}, "the argument 'path' cannot be read as places"),
    ("files.read", {"path": []}, "the argument 'path' cannot be read as places"),
    ("files.read", {"path": ["/x"] * 65}, "the argument 'path' cannot be read as places"),
    ("files.read", {"path": ["/x", None]}, "the argument 'path' cannot be read as places"),
    ("files.docs", {"path": "/etc"}, "has path start anew behind other text"),
]


@pytest.mark.parametrize(("tool", "arguments", "words"), GUESSED)
def test_a_call_whose_place_is_not_known_is_taken_to_reach_all_and_says_so(tool, arguments, words):
    touched = of(tool, **arguments)
    assert words in touched.note
    assert set(touched.assets) >= ({"log", "prompt", "elsewhere"} if "read" in tool else set())


BEYOND = [
    ({"path": "../etc/x"}, "'/etc/x' leaves the target '/srv/{path}'"),
    ({"path": "bot/prompt.md"}, "'/srv/bot/prompt.md' lies outside the stated reach of the tool"),
]


@pytest.mark.parametrize(("arguments", "words"), BEYOND)
def test_a_call_beyond_what_was_stated_of_its_tool_says_so(arguments, words):
    assert words in of("files.docs", **arguments).note


OPEN = [
    ("files.read", {"log", "prompt", "elsewhere"}),
    ("files.docs", {"elsewhere"}),
    ("jobs.apply", {"release", "stop", "elsewhere"}),
    ("jobs.all", {"release", "stop", "elsewhere"}),
    ("sh.run", {"log", "prompt", "elsewhere"}),
    ("sh.boxed", {"elsewhere"}),
]


@pytest.mark.parametrize(("tool", "assets"), OPEN)
def test_open_arguments_touch_all_that_any_call_touches(tool, assets):
    assert set(of(tool).assets) == assets
    assert of(tool).note == ""


@pytest.mark.parametrize("path", ["/srv", "/srv/bot", "/", "/srv/bot/prompt.md", "bot/"])
def test_what_is_deleted_goes_with_all_that_is_below_it(path):
    assert ("delete", "prompt") in pairs(of("files.remove", path=path))


@pytest.mark.parametrize("path", ["/srv/bo", "/srv/bot/prompt.md.bak", "/srv/docs"])
def test_what_is_deleted_beside_an_asset_does_not_touch_it(path):
    assert pairs(of("files.remove", path=path)) == {("delete", "elsewhere")}


def test_code_without_a_sandbox_has_every_verb_on_its_host_and_no_other():
    found = pairs(of("sh.run"))
    assert {verb for verb, asset in found if asset == "log"} == set(VERBS) - {"run"}
    assert not {asset for _, asset in found} & {"release", "stop"}
    assert all(effect.by_run for effect in of("sh.run").effects)


def test_an_unknown_tool_is_denied():
    with pytest.raises(UnknownToolError, match=r"'files.rm' is no tool of 'bot': it is denied"):
        of("files.rm")
    assert issubclass(UnknownToolError, CorrigibleError)


def test_effects_know_their_drives():
    (effect,) = of("jobs.apply", name="stop-bot").effects
    assert effect.drives == frozenset()
    (effect,) = of("files.remove", path="/srv/log/a").effects[:1]
    assert effect.drives == {"power-seeking/undermine-oversight"}


TEXTS = st.text(max_size=10) | st.text(alphabet="srv/.%2e~\\*logbt", max_size=12) | st.sampled_from(
    ["/srv/log/a", "log/../bot/prompt.md", "/srv", "docs/x", "../srv/log/x", "/"]
)  # fmt: skip
VALUES = TEXTS | st.integers() | st.floats() | st.none() | st.lists(TEXTS, max_size=3)
ARGUMENTS = st.dictionaries(st.sampled_from(["path", "from", "to", "name"]), VALUES, min_size=1)


@settings(max_examples=60)
@given(st.sampled_from(list(LOADED.tools)), ARGUMENTS)
def test_a_call_touches_no_more_than_any_call_or_says_why(tool, arguments):
    touched = of(tool, **arguments)
    assert pairs(touched) <= pairs(of(tool)) or touched.note


RULINGS = [
    ("files.read", {"path": "/srv/a"}, "allow", "allow"),
    ("files.read", {"path": "/etc/a"}, "deny", "deny"),
    ("files.read", {}, "allow", "deny"),
    ("files.read", {"path": ["/srv/a", "/etc/a"]}, "allow", "deny"),
    ("files.read", {"path": "/s?v/a"}, "deny", "deny"),
    ("files.remove", {"path": "/srv/docs"}, "allow", "allow"),
    ("files.remove", {"path": "/srv/docs/.."}, "allow", "deny"),
]


@pytest.mark.parametrize(("tool", "arguments", "most", "of_call"), RULINGS)
def test_a_call_needs_authority_at_every_place_where_it_may_act(tool, arguments, most, of_call):
    effect = of(tool, **{"unused": 1, **arguments}).effects[-1]
    assert effect.asset == "elsewhere"
    assert ruling_on(LOADED, effect, rules_of(LOADED), {}).verdict == most
    assert ruling_on_call(LOADED, effect, rules_of(LOADED), {}).verdict == of_call


def test_renamed_and_reordered_tools_touch_the_same():
    tools = "{files.b: {verbs: [read], target: '{path}'}, files.a: {verbs: [delete]}}"
    renamed = "{files.x: {verbs: [delete]}, files.y: {verbs: [read], target: '{path}'}}"
    first, second = (
        load(servers=SERVERS, assets=ASSETS, tools=t).deployment for t in (tools, renamed)
    )
    assert touch(first, "files", "a").effects == touch(second, "files", "x").effects
    assert touch(first, "files", "b").effects == touch(second, "files", "y").effects


def test_a_tool_is_indivisible_if_no_argument_says_where_it_acts():
    assert [name for name, tool in LOADED.tools.items() if is_indivisible(tool)] == [
        "jobs.all", "sh.run", "sh.boxed",
    ]  # fmt: skip


def test_the_strictest_of_some_verdicts_counts_and_of_none_deny():
    assert strictest(["allow", "approve"]) == "approve"
    assert strictest(["allow", "deny"]) == "deny"
    assert strictest([]) == "deny"


def test_what_is_held_is_raised_by_what_the_design_says():
    held = {verb for verb in VERBS if raises(verb, "access")}
    assert held == {"acquire"}
    assert raises("read", "information/data")
    assert not any(raises(verb, "self/process") for verb in VERBS)
    assert not any(raises(v, k) for v in VERBS for k in KINDS if k.startswith("oversight"))


def test_a_call_is_weighed_in_milliseconds():
    start = time.process_time()
    for number in range(100):
        of("files.read", path=f"/srv/log/{number}")
    assert time.process_time() - start < 2
