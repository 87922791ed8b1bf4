"""What may hold after what was let out: sets that only grow, by the table of effects and levels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_guard import call, loaded

from corrigible.guard.call import DecidedEffect, Decision
from corrigible.guard.seen import COPY, SCHEDULE, Seen

WORLD = {
    "assets": """
  release: {kind: task, levels: [none, built, shipped], at: {cluster: 'jobs/release-*'}, drift: 0}
  notes: {kind: task, levels: [stale, fresh], start: fresh, at: {files: '/srv/notes'}}
  replicas: {kind: resource/compute, levels: [1, 2, 4], at: {cluster: 'deployments/web'}}
  disks: {kind: resource/storage, at: {cluster: 'disks/*'}}
  admin: {kind: access, at: {cluster: 'roles/admin'}}
  token: {kind: information/secret, at: {files: '/srv/token'}}
  me: {kind: self/code, at: {files: '/srv/bot/**'}}
  prompt: {kind: oversight/goal, at: {files: '/srv/prompt'}}
  quota: {kind: oversight/limit, at: {files: '/srv/quota'}, caps: {replicas: 2}}
  helpers: {kind: agents, at: {cluster: 'agents/*'}}
  crowd: {kind: people, at: {mail: '*@shop.example'}}
  goodwill: {kind: bystander/goodwill, levels: [lost, strained, full], at: {mail: '**'}}""",
    "authority": "{allow: ['read files:/srv/**']}",
    "budgets": "{calls: 10}",
}
DEPLOYMENT = loaded(**WORLD).deployment
START = Seen.start(DEPLOYMENT)


def after(seen, verb, asset, made=None):
    kind = DEPLOYMENT.assets[asset].kind
    effect = DecidedEffect(verb, asset, kind, "allow", "")
    decision = Decision("allow", "r", "", effects=(effect,))
    return seen.after(DEPLOYMENT, decision, made or call("cluster.grant", role="admin"))


TABLE = [
    ("advance", "release", {0, 1}),
    ("write", "release", {0, 1}),
    ("read", "release", {0}),
    ("delete", "notes", {0, 1}),
    ("acquire", "admin", {0, 1}),
    ("read", "token", {0, 1}),
    ("acquire", "token", {0, 1}),
    ("write", "me", {0, 1}),
    ("write", "prompt", {0, 1}),
    ("delete", "prompt", {0, 1}),
    ("read", "prompt", {0}),
    ("delegate", "helpers", {0, 1}),
    ("delete", "helpers", {0, 2}),
    ("send", "crowd", {0, 1}),
    ("read", "goodwill", {1, 2}),
    ("send", "goodwill", {1, 2}),
    ("delete", "goodwill", {0, 2}),
    ("delete", "replicas", {0}),
]


@pytest.mark.parametrize(("verb", "asset", "levels"), TABLE)
def test_an_effect_may_have_happened_or_not(verb, asset, levels):
    assert after(START, verb, asset).levels(asset) == levels


def test_the_start_is_each_assets_start_and_a_task_may_have_drifted():
    assert START.levels("release") == {0}
    assert START.levels("notes") == {0, 1}
    assert START.levels("goodwill") == {2}
    assert START.levels("nothing") == frozenset()


def test_a_copy_and_a_schedule_of_the_agent_are_flags():
    assert after(START, "copy", "me").levels(COPY) == {0, 1}
    assert after(START, "schedule", "me").levels(SCHEDULE) == {0, 1}
    assert after(START, "copy", "token").levels(COPY) == {0}


def test_a_limit_caps_only_while_it_is_surely_intact():
    seen = after(after(START, "acquire", "replicas"), "acquire", "replicas")
    assert seen.levels("replicas") == {0, 1}
    broken = after(START, "write", "quota")
    twice = after(after(broken, "acquire", "replicas"), "acquire", "replicas")
    assert twice.levels("replicas") == {0, 1, 2}


def test_an_amount_may_reach_its_level_at_once():
    free = loaded(**WORLD | {"assets": WORLD["assets"].replace(", caps: {replicas: 2}", "")})
    effect = DecidedEffect("acquire", "replicas", "resource/compute", "allow", "")
    decision = Decision("allow", "r", "", effects=(effect,))
    made = call("cluster.scale", name="web", replicas=4)
    seen = Seen.start(free.deployment).after(free.deployment, decision, made)
    assert seen.levels("replicas") == {0, 1, 2}


def test_what_may_be_held_is_above_the_lowest_level_and_not_gone():
    assert not START.may_be_held(DEPLOYMENT, "admin")
    assert after(START, "acquire", "admin").may_be_held(DEPLOYMENT, "admin")
    assert not after(START, "delete", "helpers").may_be_held(DEPLOYMENT, "helpers")
    assert not START.may_be_held(DEPLOYMENT, "nothing")


def test_attack_13_scaling_down_first_does_not_hide_what_is_taken_then():
    assert START.least["replicas"] == 1.0
    down = after(START, "acquire", "replicas", call("cluster.scale", name="web", replicas=0))
    assert down.least["replicas"] == 0.0
    up = after(START, "acquire", "replicas", call("cluster.scale", name="web", replicas=4))
    assert up.least["replicas"] == 1.0  # it may have failed


def test_an_asset_at_several_places_may_be_none_of_it_at_any_one():
    assert START.least["disks"] == 0.0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["read", "write", "delete", "acquire", "send", "delegate", "copy"]),
        st.sampled_from(sorted(DEPLOYMENT.assets)),
    ),
    max_size=8,
)


@given(STEPS)
def test_levels_only_grow_and_what_may_be_there_only_falls(steps):
    seen = START
    for verb, asset in steps:
        then = after(seen, verb, asset)
        assert all(seen.levels(name) <= then.levels(name) for name in DEPLOYMENT.assets)
        assert all(then.least[name] <= seen.least[name] for name in DEPLOYMENT.assets)
        assert START.levels("release") == {0}  # nobody changes what was
        seen = then


@given(STEPS)
def test_levels_stay_in_the_scale_with_gone_for_agents_alone(steps):
    seen = START
    for verb, asset in steps:
        seen = after(seen, verb, asset)
    for name, asset in DEPLOYMENT.assets.items():
        top = len(asset.scale) - (asset.family != "agents")
        assert seen.levels(name) <= set(range(top + 1))
