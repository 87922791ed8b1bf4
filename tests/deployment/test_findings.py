"""What a reviewer of a sound manifest would ask about; nothing of what is as it should be."""

import dataclasses
from datetime import date
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import load

from corrigible.deployment.findings import RULES, findings

CALM = {  # a manifest with nothing to ask about
    "agent": "{kind: tool-using, goal: Ship the weekly release., horizon: 40}",
    "servers": "{files: {}, jobs: {host: cluster}}",
    "tools": "{files.read: {verbs: [read], target: '{path}'}, "
    "jobs.apply: {verbs: [advance], target: '{name}'}}",
    "assets": "{release: {kind: task, at: {jobs: release-*}, drift: 0}, "
    "log: {kind: oversight/monitor, at: {files: /log}}, "
    "stop: {kind: oversight/stop, at: {jobs: stop}}, "
    "asks: {kind: oversight/approval, at: {files: /asks}}, "
    "prompt: {kind: oversight/goal, at: {files: /prompt}}}",
    "authority": "{allow: [advance release]}",
    "budgets": "{calls: 100}",
}
TODAY = date(2026, 6, 1)


def found(*overrides: str, lock=None, **sections: str | None):
    loaded = load(*overrides, **(CALM | sections))
    return findings(loaded, lock=lock, today=TODAY)


def of(rule, *overrides: str, lock=None, **sections: str | None):
    """The findings of one rule, as `place path: text` without the file."""
    return [
        f"{f.where}: {f.text}".removeprefix("m.yaml:")
        for f in found(*overrides, lock=lock, **sections)
        if f.rule == rule
    ]


def test_a_calm_manifest_has_no_findings():
    assert found() == ()


def test_a_finding_shows_its_place_its_rule_and_a_sentence():
    (finding,) = found("agent.horizon=")
    assert str(finding) == (
        "m.yaml:3:8 agent: open-ended-goal: no horizon is stated: nothing says when one run ends"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        finding.rule = "other"


def test_findings_come_in_the_order_of_the_file():
    many = found("assets.release.drift=0.1", budgets=None, agent="{kind: tool-using, goal: x}")
    places = [
        tuple(map(int, f.where.split(" ")[0].split(":")[1:])) for f in many if "--" not in f.where
    ]
    assert places == sorted(places)


def test_every_rule_says_why_it_is_one():
    assert all(reason for reason in RULES.values())
    assert next(iter(RULES)) == "open-ended-goal"


SAYS = [  # rule, sections, what it says
    ("open-ended-goal", {"budgets": None},
     "1:1 the manifest: no budget is stated: nothing says what one run may use up"),
    ("open-ended-goal", {"assets": CALM["assets"].replace("drift: 0", "drift: 1/20")},
     "6:62 assets.release.drift: 'release' drifts (0.05 in each step): it never stays done"),
    ("organ-in-reach", {"tools": "{files.w: {verbs: [write, read], target: '{p}'}}",
                        "authority": "{approve: [write log], allow: ['write files:**']}"},
     "5:18 tools.files.w: its calls can write 'log' (oversight/monitor): approve 'write log'"),
    ("run-without-sandbox", {"tools": "{jobs.sh: {verbs: [run]}}"},
     "5:18 tools.jobs.sh: 'jobs.sh' runs code and states no sandbox: it counts as every act on "),
    ("asset-not-reached", {"assets": CALM["assets"].replace("release-*", "a/b*").replace(
        "/log", "/logs")[:-1] + ", key: {kind: access, at: {empty: x}}}",
        "servers": "{files: {}, jobs: {}, empty: {}}"},
     "6:274 assets.key: no tool reaches 'key': its place is mistyped, or the world goes"),
    ("tool-reaches-nothing-named", {"tools": CALM["tools"][:-1] + ", files.x: {verbs: [read], "
                                    "target: /x}}"},
     "5:115 tools.files.x: 'files.x' reaches no asset: what it acts on is named nowhere"),
    ("tool-reaches-nothing-named", {"tools": CALM["tools"][:-1] + ", files.x: {verbs: [read], "
                                    "target: /x, reach: /y}}"},
     "5:115 tools.files.x: no place fits both the target and the reach of 'files.x'"),
    ("rule-never-matches", {"authority": "{allow: [advance release, delete release]}"},
     "7:38 authority.allow[1]: the rule 'delete release' covers no effect of any tool; is it "),
    ("rule-never-matches", {"authority":
      "{deny: ['read files:/b/**'], allow: ['read files:/b/c']}"},
     "7:49 authority.allow[0]: the rule 'read files:/b/c' never decides: stricter rules cover all"),
    ("unmet-requirement", {
        "tools": CALM["tools"].replace("[advance],", "[advance], requires: [key],"),
        "assets": CALM["assets"][:-1] + ", key: {kind: access, at: {jobs: key}}}"},
     "5:98 tools.jobs.apply.requires[0]: 'jobs.apply' requires 'key', which is not held at the "),
    ("expired-acceptance", {"accepts": "{power-seeking/delegate: {why: x, until: 2026-05-31}}"},
     "9:51 accepts.power-seeking/delegate.until: the acceptance of power-seeking/delegate "),
    ("idle-acceptance", {"accepts": "{power-seeking/delegate: {why: x, until: 2027-01-01}}"},
     "9:35 accepts.power-seeking/delegate: power-seeking/delegate is accepted and no call serves"),
    ("classifier-with-tools", {"agent": "{kind: classifier, goal: Sort mail.}"},
     "3:15 agent.kind: a classifier acts on nothing, and this one has 2 tools; which is it?"),
    ("no-lock", {"servers": "{files: {command: [server]}, jobs: {}}"},
     "4:10 servers: what files offer was never reviewed: there is no lock; `corrigible review`"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "sections", "words"), SAYS)
def test_a_finding_says_where_and_what_follows(rule, sections, words):
    (text,) = of(rule, **sections)
    assert text.startswith(words)


@pytest.mark.parametrize("organ", ["stop", "monitor", "approval", "goal"])
def test_an_organ_that_nobody_declared_is_a_finding(organ):
    kinds = CALM["assets"].replace(f"oversight/{organ}", "oversight/limit")
    (text,) = of("missing-organ", assets=kinds)
    assert f"no asset is declared oversight/{organ}: the audit takes it that " in text


UNBOUNDED = [
    ("Maximise revenue.", "Maximise"),
    ("Keep minimizing latency.", "minimizing"),
    ("Answer as many tickets as possible.", "as many tickets as possible"),
    ("Stay up as long as you can.", "as long as you can"),
    ("Win at all costs!", "at all costs"),
    ("Ship it no matter what happens.", "no matter what"),
    ("Do whatever it takes.", "whatever it takes"),
    ("Grow without any limit.", "without any limit"),
    ("Improve and never stop.", "never stop"),
    ("Never stop learning.", "Never stop"),
    ("There is always more to do.", "always more"),
    ("Keep growing the list.", "Keep growing"),
    ("Serve users\n   forever.", "forever"),
]


@pytest.mark.parametrize(("goal", "words"), UNBOUNDED)
def test_a_goal_without_enough_is_found_by_its_words(goal, words):
    (text,) = of("unbounded-wording", f"agent.goal={goal!r}".replace("\\n", " "))
    assert f"the goal says {words!r} and not when that is reached" in text


BOUNDED = [
    "Order a maximum of 3 laptops.", "Send at most 5 mails a day.", "Keep the minimum of 2 nodes.",
    "Do not maximise anything.", "Never stop the production database.",
    "Minimise cost down to 20 usd.",
    "Maximise uptime up to 99.9 percent.", "Reply as soon as possible.", "Use as needed.",
    "Ship without limiting the API.", "Answer within 3 days, at a cost of 4 usd.",
    "Write no more than 100 lines.", "Rather than maximise, settle.",
]  # fmt: skip


@pytest.mark.parametrize("goal", BOUNDED)
def test_a_goal_with_its_measure_is_left_alone(goal):
    assert of("unbounded-wording", f"agent.goal='{goal}'") == []


HARMLESS = [
    {"authority": "{allow: [advance release, 'write files:**']}"},  # a wildcard covers no organ
    {"authority": "{deny: [write log], allow: [advance release, write log]}"},
    {"authority": "{allow: [read log]}"},
]


@pytest.mark.parametrize("sections", HARMLESS)
def test_an_organ_that_authority_keeps_out_of_reach_is_no_finding(sections):
    tools = "{files.w: {verbs: [write, read], target: '{p}'}}"
    assert of("organ-in-reach", tools=tools, **sections) == []


def test_the_files_of_the_agent_itself_are_guarded_alike():
    assets = CALM["assets"][:-1] + ", code: {kind: self/code, at: {files: /bot/**}}}"
    tools = "{files.w: {verbs: [write], target: '{p}'}}"
    (text,) = of(
        "organ-in-reach", assets=assets, tools=tools, authority="{allow: ['write files:**']}"
    )
    assert "its calls can write 'code' (self/code): allow 'write files:**'" in text


def test_code_reaches_the_organs_of_the_servers_beside_its_own():
    servers = "{files: {}, jobs: {host: cluster}, sh: {}}"
    texts = of("organ-in-reach", servers=servers, tools="{sh.run: {verbs: [run]}}")
    assert [t.split(": ", 1)[1] for t in texts] == [
        f"code that it runs reaches {name!r} of the server 'files', on the same host"
        for name in ("log", "asks", "prompt")
    ]


def test_code_in_a_sandbox_reaches_nothing_beside_it():
    servers = "{files: {}, jobs: {host: cluster}, sh: {}}"
    tools = "{sh.run: {verbs: [run], sandbox: {sh: '**'}}}"
    assert of("organ-in-reach", servers=servers, tools=tools) == []
    assert of("run-without-sandbox", servers=servers, tools=tools) == []


SECRET = "sk-" + "a1B2" * 8
HIDDEN = [
    ("servers: {files: {command: [server, --token, hunter2hunter2]}, jobs: {}}", "command[2]"),
    (f"servers: {{files: {{command: [server, {SECRET}]}}, jobs: {{}}}}", "command[1]"),
    (f"servers: {{files: {{url: 'https://x/mcp?token={SECRET}'}}, jobs: {{}}}}", "url"),
    ("servers: {files: {url: 'https://me:hunter2hunter2@x/mcp'}, jobs: {}}", "url"),
]


@pytest.mark.parametrize(("servers", "where"), HIDDEN)
def test_a_secret_by_value_is_found_and_never_shown(servers, where):
    (text,) = of("secrets-by-value", servers=servers.removeprefix("servers: "))
    assert f" servers.files.{where}: " in text
    assert "hunter2" not in text
    assert SECRET not in text


def test_a_plain_command_holds_no_secret():
    servers = "{files: {command: [python, -m, server, --root, /srv/data]}, jobs: {}}"
    assert of("secrets-by-value", servers=servers) == []


def locked(*tools: str):
    return SimpleNamespace(tools=dict.fromkeys(tools, "sha256:0"))


def test_what_the_lock_and_the_manifest_do_not_share_is_found():
    servers = "{files: {command: [server]}, jobs: {}}"
    missing, extra = of("stale-lock", lock=locked("files.gone"), servers=servers)
    assert "the lock holds 'files.gone', which is no entry of the manifest" in missing + extra
    assert "the lock does not hold 'files.read': nobody reviewed it" in missing + extra


def test_a_lock_that_holds_what_is_started_is_no_finding():
    servers = "{files: {command: [server]}, jobs: {}}"
    assert found(lock=locked("files.read"), servers=servers) == ()


def test_a_classifier_is_not_asked_for_organs_or_a_horizon():
    quiet = {"tools": None, "assets": None, "authority": None, "budgets": None}
    agent = "{kind: classifier, goal: Sort mail.}"
    assert found(agent=agent, **quiet) == ()


def test_a_finding_on_an_overridden_value_names_the_override():
    (finding,) = found("assets.release.drift=0.1")
    assert finding.where == "--set assets.release.drift assets.release.drift"


VERBS = st.lists(
    st.sampled_from(["read", "write", "delete", "run", "copy", "acquire"]),
    min_size=1,
    max_size=2,
    unique=True,
)
TOOLS = st.lists(
    st.tuples(VERBS, st.sampled_from(["'{p}'", "/log", "[/a, '{q}']", "null"])), max_size=3
)
RULE = st.sampled_from(
    ["'read *'", "write log", "'* oversight/*'", "'run files:/l*'", "copy elsewhere"]
)
AUTHORITY = st.fixed_dictionaries(
    {k: st.lists(RULE, max_size=2) for k in ("allow", "approve", "deny")}
)


@settings(max_examples=40)
@given(TOOLS, AUTHORITY, st.sampled_from([None, locked("files.t0")]))
def test_no_checked_deployment_makes_findings_fail(tools, authority, lock):
    entries = ", ".join(
        f"files.t{n}: {{verbs: [{', '.join(verbs)}], target: {target}}}"
        for n, (verbs, target) in enumerate(tools)
    )
    lists = ", ".join(f"{k}: [{', '.join(texts)}]" for k, texts in authority.items())
    for finding in found(tools=f"{{{entries}}}", authority=f"{{{lists}}}", lock=lock):
        assert finding.rule in RULES
