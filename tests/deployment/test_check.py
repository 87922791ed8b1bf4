"""What the parts of a manifest must be to each other."""

import pytest
from small_manifest import load, problems

from corrigible.deployment.check import attainable, givers_of

ONE_PROBLEM = [
    ({"tools": "{fils.read: {verbs: [read]}}"},
     "5:20: the tool 'fils.read': 'fils' is no server; did you mean 'files'?"),
    ({"tools": "{files.read: {verbs: [read], target: '~/x'}}"},
     "5:45: the target '~/x' starts at the home '~', which the manifest does not state"),
    ({"tools": "{files.read: {verbs: [read], target: 'a/{x}/../b'}}"},
     "5:45: the target 'a/{x}/../b' holds `..`; write the place that it leads to"),
    ({"tools": "{files.read: {verbs: [read], reach: [a, '%ff']}}"},
     "5:48: the place '%ff' is percent-encoded, and not as UTF-8"),
    ({"tools": "{files.x: {verbs: [run], sandbox: {fils: '**'}}}"},
     "5:49: 'fils' is no server; did you mean 'files'?"),
    ({"tools": "{files.x: {verbs: [run], sandbox: {files: ['**', ../x]}}}"},
     "5:57: the place '../x' holds `..`"),
    ({"tools": "{files.x: {verbs: [read], reach: '**a" + "?" * 30 + "'}}",
      "assets": "{l: {kind: task, at: {files: '**b" + "?" * 31 + "'}}}"},
     "5:18: a place of 'files.x', or of an asset or a rule that it meets, holds too"),
    ({"servers": "{files: {home: '/%ff'}, jobs: {}}"}, "4:25: the place '/%ff' is percent-encoded"),
    ({"assets": "{release: {kind: task}}"},
     "6:19: the asset 'release' is on no server; say where, as in at: {SERVER: PLACE}"),
    ({"assets": "{release: {kind: task, at: {job: x}}}"},
     "6:42: 'job' is no server; did you mean 'jobs'?"),
    ({"assets": "{release: {kind: task, at: {jobs: [x, 'a\\b/../c']}}}"},
     "6:47: the place 'a\\\\b/../c' holds `..`"),
    ({"assets": "{access: {kind: access, at: {jobs: x}}}"},
     "6:18: an asset may not be called 'access': it is the name of a kind"),
    ({"assets": "{detection: {kind: task, at: {jobs: x}}}"},
     "6:21: an asset may not be called 'detection': it is the name of a rate"),
    ({"assets": "{r: {kind: task, at: {jobs: x}}, t: {kind: tools, at: {jobs: y}, "
      "boosts: {rr: 1}}}"},
     "6:87: the boost of 'rr' is no task, drift or rate of oversight; did you mean 'r'?"),
    ({"assets": "{r: {kind: task, at: {jobs: x}, boosts: {r.drft: 1}}}"},
     "6:58: the boost of 'r.drft' is no task, drift or rate of oversight; did you mean 'r.drift'?"),
    ({"assets": "{l: {kind: oversight/limit, at: {jobs: x}, caps: {ll: 1}}}"},
     "6:63: the cap of 'll' is no asset; did you mean 'l'?"),
    ({"assets": "{c: {kind: access, at: {jobs: y}}, l: {kind: oversight/limit, at: {jobs: x}, "
      "caps: {c: hold}}}"}, "6:96: 'hold' is no level of 'c'; did you mean 'held'?"),
    ({"tools": "{files.x: {verbs: [read], requires: [log]}}"},
     "5:45: an asset of kind oversight/monitor cannot be held, so 'log' is no demand"),
    ({"tools": "{files.x: {verbs: [read], requires: [relese]}}"},
     "5:45: requires 'relese' is no asset; did you mean 'release'?"),
    ({"authority": "{deny: ['reed release']}"},
     "7:20: the rule 'reed release': 'reed' is no verb; did you mean 'read'?"),
    ({"authority": "{deny: ['write oversight*']}"},
     "7:20: the rule 'write oversight*': 'oversight*' names no organ, nor elsewhere"),
    ({"authority": "{approve: ['write fils:/x']}"},
     "7:23: the rule 'write fils:/x': 'fils' in 'fils:/x' is no server; did you mean 'files'?"),
    ({"budgets": "{euros: 3}"},
     "7:18: the budget 'euros' is no budget; did you mean 'eur'?"),
    ({"budgets": "{acquir release: 3}"},
     "7:27: the budget 'acquir release': 'acquir' is no verb; did you mean 'acquire'?"),
    ({"budgets": "{advance relese: 3}"},
     "7:27: the budget 'advance relese': 'relese' is no asset or kind; did you mean 'release'?"),
    ({"goals": "{g: {tasks: {relese: [0, 1]}}}"},
     "7:29: the goal 'relese' is no task; did you mean 'release'?"),
    ({"goals": "{g: {tasks: {log: [0, 1]}}}"}, "7:26: the goal 'log' is no task; known: release"),
    ({"goals": "{g: {tasks: {release: [0, 0.5, 1]}}}"},
     "7:30: must hold one utility for each of the 2 levels of 'release', got 3"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("sections", "words"), ONE_PROBLEM)
def test_a_part_that_does_not_fit_says_where_what_and_the_way_out(sections, words):
    (problem,) = problems(**sections)
    assert problem.startswith(f"m.yaml:{words}")


def test_parts_that_fit_are_no_problem():
    tools = "{files.read: {verbs: [read], cost: {chf: 2}}}"
    budgets = "{chf: 3, calls: 2, advance release: 1, acquire resource/compute: 2}"
    assert problems(tools=tools, budgets=budgets, authority="{deny: ['* oversight/*']}") == []


def test_the_only_task_may_be_called_task():
    assets = "{task: {kind: task, at: {jobs: x}}}"
    assert problems(assets=assets) == []
    assert problems(assets=assets[:-1] + ", other: {kind: task, at: {jobs: y}}}") != []


def test_utilities_add_up_to_one_at_most():
    assets = "{a: {kind: task, at: {jobs: a}}, b: {kind: task, at: {jobs: b}}}"
    (problem,) = problems(assets=assets, goals="{g: {tasks: {a: [0, 0.7], b: [0, 0.6]}}}")
    words = "the utilities of 'g' must add up to 1 at most at the best outcome, got 1.3"
    assert problem == f"m.yaml:7:20: {words}"


# -- demands -------------------------------------------------------------------------------


def keys(*requires: str, held=()):
    """Access assets a, b, …; each tool `jobs.N` gives one of them and requires others."""
    tools = ", ".join(
        f"jobs.t{n}: {{verbs: [acquire], target: k-{gives}, requires: [{', '.join(needs)}]}}"
        for n, (gives, *needs) in enumerate(requires)
    )
    names = sorted({name for group in requires for name in group})
    start = {name: ", start: held" if name in held else "" for name in names}
    assets = ", ".join(
        f"{name}: {{kind: access, at: {{jobs: k-{name}}}{start[name]}}}" for name in names
    )
    return {"tools": f"{{{tools}}}", "assets": f"{{{assets}}}"}


CYCLES = [
    (["ab", "ba"], "'b' needs 'a' needs 'b'"),
    (["aa"], "'a' needs 'a'"),
    (["ab", "bc", "ca"], "'b' needs 'c' needs 'a' needs 'b'"),
    (["ab", "ba", "c", "dc"], "'b' needs 'a' needs 'b'"),
    (["abc", "ba", "c"], "'b' needs 'a' needs 'b'"),
    (["ab", "ac", "ba", "ca"], "'b' needs 'a' needs 'b'"),
]


@pytest.mark.parametrize(("requires", "loop"), CYCLES)
def test_demands_that_wait_for_each_other_are_found(requires, loop):
    (problem,) = problems(**keys(*requires))
    assert problem.startswith("m.yaml:5:")
    assert problem.endswith(f": cyclic requires: {loop}; nothing can be had first")


SOUND = [
    (["a", "ba", "cb"], ""),
    (["ab", "ba"], "a"),
    (["ab", "ba", "a"], ""),
    (["ab", "ba", "bc", "c"], ""),
    (["aa"], "a"),
    (["ab"], ""),  # nothing gives b: a finding, no cycle
]


@pytest.mark.parametrize(("requires", "held"), SOUND)
def test_chains_and_what_is_held_at_the_start_are_no_cycle(requires, held):
    assert problems(**keys(*requires, held=held)) == []


def test_two_separate_cycles_are_two_problems():
    assert len(problems(**keys("ab", "ba", "cd", "dc"))) == 2


def test_reading_an_asset_that_is_only_acquired_gives_nothing():
    sections = keys("ab", "ba")
    sections["tools"] = sections["tools"][:-1] + ", jobs.see: {verbs: [read], target: '{x}'}}"
    assert len(problems(**sections)) == 1


def test_what_can_be_had_is_what_some_order_of_calls_gives():
    d = load(**keys("a", "ba", "cd")).deployment
    assert givers_of(d)["b"] == ["jobs.t1"]
    assert attainable(d, givers_of(d)) == {"a", "b"}
