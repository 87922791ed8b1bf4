"""Manifests into deployments: every problem at once, each with its place and a way out."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import SECTIONS, load, manifest, problems

from corrigible.deployment.load import dotted, load_deployment, parse_deployment, suggest
from corrigible.errors import ManifestError, UnsaidError

ONE_PROBLEM = [  # sections, the one line that they are refused with
    ({"agnet": "1"}, "7:1: unknown key 'agnet' in the manifest; did you mean 'agent'?"),
    ({"name": None}, "1:1: name is missing; it must be stated"),
    ({"name": "5"}, "2:7: name: must be text, got 5"),
    ({"name": "a b"}, "2:7: name: must match pattern '^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$', got"),
    ({"agent": "{kind: tool-usign, goal: x}"},
     "3:15: agent.kind: must be one of tool-using, classifier, got 'tool-usign'; did you mean"),
    ({"agent": "{kind: tool-using}"}, "3:8: agent.goal is missing; it must be stated"),
    ({"agent": "x"}, "3:8: agent: must be a mapping of keys, got 'x'"),
    ({"agent": "{kind: tool-using, goal: x, horizont: 4}"},
     "3:36: unknown key 'horizont' in agent; did you mean 'horizon'?"),
    ({"agent": "{kind: tool-using, goal: x, horizon: .nan}"},
     "3:45: agent.horizon: must be a number of steps, 1 to 1,000,000, got nan"),
    ({"tools": "{files.read: {verbs: read}}"},
     "5:29: tools.files.read.verbs: must be a list, got 'read'"),
    ({"tools": "{files.read: {verbs: []}}"},
     "5:29: tools.files.read.verbs: must have at least 1 item, got 0"),
    ({"tools": "{files.read: {verbs: [read, read]}}"},
     "5:29: tools.files.read.verbs: must not repeat, got 'read' twice"),
    ({"tools": "{read: {verbs: [read]}}"},
     "5:9: tools.read: a tool is called SERVER.TOOL, as in files.read_file"),
    ({"tools": "{files.read: {verbs: [read], amount: {arg: n, count: added}}}"},
     "5:54: unknown key 'count' in tools.files.read.amount; did you mean 'counts'?"),
    ({"tools": "{files.read: {verbs: [read], irreversible: maybe}}"},
     "5:51: tools.files.read.irreversible: must be true or false, got 'maybe'"),
    ({"assets": "{a.b: {kind: task, at: {jobs: x}}}"},
     "6:10: assets.a.b: an asset's name holds letters, digits, `_` and `-`, and begins with one "),
    ({"assets": "{a: {kind: tool, at: {jobs: x}}}"},
     "6:20: assets.a.kind: must be one of task, "),
    ({"authority": "{allow: [read release, 5]}"}, "7:35: authority.allow[1]: must be text, got 5"),
    ({"authority": "{alow: []}"}, "7:13: unknown key 'alow' in authority; did you mean 'allow'?"),
    ({"accepts": "{resource-acquisition/power: {why: x, until: 2027-01-01}}"},
     "7:11: accepts.resource-acquisition/power: must be a drive, FAMILY/MEMBER; did you mean "),
    ({"accepts": "{power-seeking/delegate: {why: x, until: 2027}}"},
     "7:51: accepts.power-seeking/delegate.until: must be a day, as in 2027-03-01, got '2027'"),
    ({"accepts": "{power-seeking/delegate: {why: x}}"},
     "7:35: accepts.power-seeking/delegate.until is missing; it must be stated"),
    ({"budgets": "{calls: true}"}, "7:18: budgets.calls: must be a number, got true"),
    ({"budgets": "{calls: -1}"}, "7:18: budgets.calls: must be greater than or equal to 0, got -1"),
    ({"budgets": "{calls: .inf}"}, "7:18: budgets.calls: must be a finite number, got inf"),
    ({"budgets": "{calls: " + "9" * 400 + "}"}, "7:18: budgets.calls: must be a finite number"),
    ({"oversight": "{detecton: 1}"},
     "7:13: unknown key 'detecton' in oversight; did you mean 'detection'?"),
    ({"oversight": "[]"}, "7:12: oversight: must be a mapping of keys"),
    ({"goals": "{g: {tasks: {release: [0, 2]}}}"},
     "7:34: goals.g.tasks.release[1]: must be less than or equal to 1, got 2"),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "words"), ONE_PROBLEM)
def test_a_wrong_key_or_value_says_where_what_and_the_way_out(sections, words):
    (problem,) = problems(**sections)
    assert problem.startswith(f"m.yaml:{words}")


def test_all_problems_of_a_file_come_at_once_in_its_order():
    found = problems(
        name="5",
        agent="{kind: x, goal: y}",
        tools="{fils.read: {verbs: [read]}, files.x: {verbs: [reed]}}",
        authority="{allow: [5, reed release, read relese]}",
        oversight="{detection: 2}",
    )
    places = ["2:7", "3:15", "5:20", "5:55", "7:21", "7:24", "7:38", "8:24"]
    assert [problem.split(": ")[0].removeprefix("m.yaml:") for problem in found] == places


def test_what_only_follows_from_a_broken_entry_is_not_a_problem():
    (problem,) = problems(
        tools="{files.read: {verbs: [read], requires: [admin]}}",
        assets="{admin: {kind: acess, at: {jobs: x}}}",
        authority="{allow: [acquire admin]}",
        budgets="{acquire admin: 2}",
    )
    assert problem.startswith("m.yaml:6:24: assets.admin.kind: must be one of")


def test_a_server_that_is_broken_is_not_missed_as_well():
    (problem,) = problems(
        servers="{files: {cas: x}, jobs: {}}", authority="{allow: ['read files:/x']}"
    )
    assert problem == "m.yaml:4:19: unknown key 'cas' in servers.files; did you mean 'case'?"


def test_duplicate_keys_stand_among_the_other_problems():
    found = problems(text=manifest(oversight="{detection: 2}") + "name: other\n")
    assert [p.split(": ", 1)[0] for p in found] == ["m.yaml:7:24", "m.yaml:8:1"]
    assert "duplicate key 'name', first seen in line 2" in found[1]


SECRETS = [
    "{files: {auth: sk-hidden}, jobs: {}}",
    "{files: {auth: {env: sk-hidden}}, jobs: {}}",
    "{files: {env: {TOKEN: sk-hidden}}, jobs: {}}",
    "{files: {headers: {Authorization: Bearer sk-hidden}}, jobs: {}}",
    "{files: {auth: {value: sk-hidden}}, jobs: {}}",
    "{files: {command: server --token sk-hidden}, jobs: {}}",
]


@pytest.mark.parametrize("servers", SECRETS)
def test_no_message_repeats_a_secret(servers):
    found = problems(servers=servers)
    assert found
    assert not any("sk-hidden" in problem for problem in found)


# -- drafts --------------------------------------------------------------------------------

DRAFT = {
    "agent": '{kind: tool-using, goal: "?"}',
    "tools": '{files.read: {verbs: ["?"], target: "{path}"}}',
    "assets": '{release: {kind: task, levels: ["?", done], at: {jobs: "?"}}}',
    "authority": '{allow: ["?", "read release"]}',
}


def test_a_draft_lists_each_thing_that_is_not_said():
    with pytest.raises(UnsaidError) as caught:
        load(**DRAFT)
    said = [str(problem).removesuffix(" is not said yet: only its operator can say it")
            for problem in caught.value.problems]  # fmt: skip
    assert said == [
        "m.yaml:3:33: agent.goal",
        "m.yaml:5:30: tools.files.read.verbs[0]",
        "m.yaml:6:41: assets.release.levels[0]",
        "m.yaml:6:64: assets.release.at.jobs",
        "m.yaml:7:21: authority.allow[0]",
    ]


REAL = [
    ({"name": None}, "1:1: name is missing"),
    ({"oversight": "{detection: 2}"}, "8:24: oversight.detection"),
    ({"authority": '{allow: ["?", "reed release"]}'}, "7:26: the rule 'reed release': 'reed'"),
    ({"tools": '{files.x: {verbs: [write], success: "?", requires: ["?", admn]}}'},
     "5:65: requires 'admn' is no asset"),
]  # fmt: skip


@pytest.mark.parametrize(("sections", "words"), REAL)
def test_a_real_problem_of_a_draft_wins(sections, words):
    """At its own place, whatever was left out before it."""
    (problem,) = problems(**(DRAFT | sections))
    assert problem.startswith(f"m.yaml:{words}")


def test_a_draft_is_whole_once_all_is_said():
    sets = ["agent.goal=Ship.", "assets.release.levels[0]=undone", "assets.release.at.jobs=r"]
    sets += ["tools.files.read.verbs.0=read", "authority.allow[0]=advance release"]
    assert load(*sets, **DRAFT).deployment.agent.goal == "Ship."


# -- overrides -----------------------------------------------------------------------------

GOOD = [
    ("oversight.detection=0.9", lambda d: d.oversight.detection.low, 0.9),
    ("assets.release.drift=1/20", lambda d: d.assets["release"].drift.low, 0.05),
    ("tools.files.read.success=0.5", lambda d: d.tools["files.read"].success.low, 0.5),
    ("tools.files.read.verbs.0=write", lambda d: d.tools["files.read"].verbs, ("write",)),
    ("tools.files.read.verbs[0]=write", lambda d: d.tools["files.read"].verbs, ("write",)),
    ("tools.files.read.verbs=[read, write]", lambda d: len(d.tools["files.read"].verbs), 2),
    ("agent.goal='a: b # c'", lambda d: d.agent.goal, "a: b # c"),
    ("agent.goal=x=y", lambda d: d.agent.goal, "x=y"),
    ("assets.new={kind: access, at: {jobs: x}}", lambda d: d.assets["new"].kind, "access"),
    ("agent.horizon=", lambda d: d.agent.horizon, None),
]


@pytest.mark.parametrize(("override", "read", "value"), GOOD)
def test_an_override_sets_one_value(override, read, value):
    assert read(load(override).deployment) == value


def test_of_several_keys_that_fit_an_override_sets_the_longest():
    tools = "{files.read: {verbs: [read]}, files.read.all: {verbs: [read]}}"
    tools = load("tools.files.read.all.verbs=[write]", tools=tools).deployment.tools
    assert [tool.verbs for tool in tools.values()] == [("read",), ("write",)]


BAD = [
    (
        "oversight.detecton=1",
        "oversight.detecton: unknown key 'detecton' in oversight; did you mean",
    ),
    (
        "tools.files.read.vrbs=1",
        "tools.files.read.vrbs: unknown key 'vrbs' in tools.files.read; did",
    ),
    ("agnet.goal=x", "agnet.goal: unknown key 'agnet' in the manifest; did you mean 'agent'?"),
    (
        "oversight.detection=2",
        "oversight.detection: oversight.detection: must be a probability, 0 to",
    ),
    ("tools.files.read.target=/a/../b", "tools.files.read.target: the target '/a/../b' holds `..`"),
    ("assets.new.at.jobs=/x", "assets.new.at.jobs: assets.new.kind is missing; it must be stated"),
    ("detection", "detection: must be KEY=VALUE, as in oversight.detection=0.9"),
    ("=1", "=1: must be KEY=VALUE, as in oversight.detection=0.9"),
    ("agent.goal=a: b", "agent.goal: is not YAML: mapping values are not allowed here; put text"),
    ("agent.goal=a\nname: b", "agent.goal: must be one value"),
    ("agent.goal=!!binary x", "agent.goal: has the tag 'tag:yaml.org,2002:binary'"),
    ("agent.kind.x=1", "agent.kind.x: agent.kind holds no keys, so 'x' cannot stand below it"),
    (
        "tools.files.read.verbs.1=x",
        "tools.files.read.verbs.1: tools.files.read.verbs is a list: next",
    ),
    (
        "tools.files.read.verbs.x=x",
        "tools.files.read.verbs.x: tools.files.read.verbs is a list: next",
    ),
    (
        "tools.files.read.verbs[0]=reed",
        "tools.files.read.verbs[0]: tools.files.read.verbs[0]: must",
    ),
    ("a..b=1", "a..b: unknown key 'a' in the manifest"),
]


@pytest.mark.parametrize(("override", "words"), BAD)
def test_a_wrong_override_is_named_as_its_own_place(override, words):
    (problem,) = problems(override)
    assert problem.startswith(f"--set {words}")


def test_an_override_of_a_whole_entry_is_the_place_of_all_in_it():
    (problem,) = problems("tools.files.read={verbs: [reed]}")
    assert problem.startswith("--set tools.files.read: tools.files.read.verbs[0]: must be one of")


# -- digests -------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.permutations(list(SECTIONS)))
def test_the_digest_does_not_depend_on_the_order_of_keys(order):
    text = "".join(f"{key}: {SECTIONS[key]}\n" for key in order)
    assert parse_deployment(text).digest == load().digest


SAME = [
    {"oversight": "{}"},
    {"oversight": "{detection: null}"},
    {"servers": "{files: {case: sensitive}, jobs: {}}"},
    {"assets": SECTIONS["assets"].replace("jobs: release-*", "jobs: [release-*]")},
    {"agent": "{horizon: 40.0, goal: 'Ship it.', kind: tool-using}"},
]


@pytest.mark.parametrize("sections", SAME)
def test_the_digest_does_not_depend_on_how_a_thing_is_written(sections):
    assert load(**sections).digest == load().digest


@pytest.mark.parametrize("override", ["name=x", "oversight.detection=0.1..0.9", "agent.horizon=41"])
def test_the_digest_changes_with_what_is_said(override):
    """Stating a range that is the default's is saying it."""
    assert load(override).digest != load().digest


def test_fractions_and_decimals_have_one_digest():
    assert load("oversight.detection=1/4").digest == load("oversight.detection=0.25").digest


# -- fuzz ----------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["?", "read", "task", "files", "files:/x", "-1", "1/0", "release", "*", "..", "{a}", "~", "x.y"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=8),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), v, max_size=3),
    max_leaves=12,
)
SECTION = st.sampled_from([*SECTIONS, "authority", "accepts", "budgets", "oversight", "goals"])
KEYS = SECTION | st.builds(
    ".".join,
    st.tuples(
        st.sampled_from(
            ["tools.files.read", "assets.release", "servers.files", "agent", "authority"]
        ),
        st.sampled_from(
            ["at", "kind", "verbs", "target", "requires", "root", "allow", "caps", "goal"]
        ),
    ),
)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_whatever_is_in_a_manifest_it_loads_or_says_why(changes):
    """Nothing but `ManifestError` and `UnsaidError` is raised."""
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    with suppress(ManifestError, UnsaidError):
        assert load(*overrides).digest.startswith("sha256:")


@settings(max_examples=25)
@given(st.text(max_size=100))
def test_any_override_is_taken_or_refused(override):
    with suppress(ManifestError, UnsaidError):
        assert load(override).digest


def test_a_manifest_of_three_hundred_tools_loads_in_seconds():
    tools = ", ".join(f"files.t{i}: {{verbs: [read], target: '/d{i}/{{x}}'}}" for i in range(300))
    start = time.process_time()
    assert len(load(tools=f"{{{tools}}}").deployment.tools) == 300
    assert time.process_time() - start < 6


def test_a_file_is_named_as_it_was_given(tmp_path):
    path = tmp_path / "deployment.yaml"
    path.write_text(manifest())
    assert load_deployment(path, ["name=x"]).file == str(path)


def test_a_path_is_written_as_a_person_would():
    assert dotted(("assets", "release", "levels", 0)) == "assets.release.levels[0]"
    assert dotted(()) == "the manifest"


def test_a_suggestion_names_the_close_word_or_the_few_known():
    assert suggest("detecton", ["detection"]) == "; did you mean 'detection'?"
    assert suggest("xyz", ["a", "b"]) == "; known: a, b"
    assert suggest("xyz", map(str, range(20))) == ""
