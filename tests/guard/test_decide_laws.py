"""Laws of deciding: stricter never allows more, order and memory make no difference, no escape."""

import random
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_guard import PATH_SCHEMA, call, decided, listed, loaded, policy_of, reviewed
from test_strict import JSON

from corrigible.deployment.rules import DECLARED, STRICTEST, rules_of
from corrigible.deployment.touch import decides, ruling_on_call, strictest, touch
from corrigible.guard.call import Call
from corrigible.guard.policy import decide
from corrigible.guard.seen import Seen

ALLOW = (
    "read files:/srv/**", "write files:/srv/app/**", "delete files:/srv/app/**", "write app",
    "acquire replicas", "acquire admin", "acquire resource/*", "delete release", "* task",
    "run files:/srv/app/**", "read elsewhere", "send *",
    "write files:/srv/app/** where arguments.mode == 'safe'",
    "acquire replicas where amount <= 2",
)  # fmt: skip
APPROVE = ("send customers", "write elsewhere", "acquire access", "write files:/srv/**")
DENY = (
    "write oversight/*", "delete oversight/*", "write files:/srv/app/x/**", "* people",
    "acquire replicas where amount > 3", "read files:/srv/app/secret",
)  # fmt: skip

PATHS = st.sampled_from([
    "/srv/app/x", "/srv/app/x/y", "/srv/app/secret", "/srv/bot/prompt.md", "/srv/log/a", "/etc/x",
    "/srv/app/../log", "app/z", "~/x", "%2e%2e/x", "\x00", "",
])  # fmt: skip
NAMES = st.sampled_from(["web", "db", "release-1", "admin", "..", "*"])
AMOUNTS = st.one_of(st.integers(-2, 6), st.sampled_from([1.5, "2", None, True, [1]]))
CALLS = st.one_of(
    st.builds(
        lambda tool, path, mode: call(f"files.{tool}", path=path, **mode),
        st.sampled_from(["read_file", "write_file"]),
        PATHS | st.lists(PATHS, max_size=3) | st.integers() | JSON,
        st.fixed_dictionaries({}, optional={"mode": st.sampled_from(["safe", "SAFE", 1, None])}),
    ),
    st.builds(lambda paths: call("files.delete_file", paths=paths), PATHS | st.lists(PATHS)),
    st.builds(lambda n, a: call("cluster.scale", name=n, replicas=a), NAMES, AMOUNTS),
    st.builds(lambda n, a: call("cluster.add", name=n, more=a), NAMES, AMOUNTS),
    st.builds(lambda n: call("cluster.grant", role=n), NAMES),
    st.builds(lambda n: call("cluster.drop", name=n), NAMES),
    st.builds(
        lambda to: call("mail.send", to=to), st.sampled_from(["a@shop.example", "b@x", None])
    ),
    st.builds(lambda text: call("shell.run", command=text), st.text(max_size=5)),
)
RULES = st.builds(
    lambda a, b, c: (tuple(a), tuple(b), tuple(c)),
    st.lists(st.sampled_from(ALLOW), unique=True, max_size=5),
    st.lists(st.sampled_from(APPROVE), unique=True, max_size=2),
    st.lists(st.sampled_from(DENY), unique=True, max_size=3),
)


def authority(allow, approve, deny):
    rows = zip(("allow", "approve", "deny"), (allow, approve, deny), strict=True)
    return "{" + ", ".join(f"{key}: {list(rules)!r}" for key, rules in rows) + "}"


@cache
def made(allow, approve, deny, budgets="{}"):
    return policy_of(authority=authority(allow, approve, deny), budgets=budgets)


def granted(policy, one):
    """How much is granted: 0 denied, 1 approval, 2 allowed."""
    return STRICTEST.index(decided(policy, one).verdict)


@pytest.mark.slow
@given(RULES, CALLS, st.tuples(*map(st.sampled_from, (ALLOW, DENY, APPROVE))))
def test_stricter_rules_never_grant_more(rules, one, change):
    less, more, asked = change
    allow, approve, deny = rules
    base = granted(made(*rules), one)
    fewer = tuple(rule for rule in allow if rule != less)
    assert granted(made(fewer, approve, deny), one) <= base
    assert granted(made(allow, approve, (*deny, more)), one) <= base
    # what was denied may be asked for under another approval; what was allowed is not more
    assert granted(made(allow, (*approve, asked), deny), one) <= max(base, 1)


@pytest.mark.slow
@given(CALLS, st.tuples(*[st.integers(0, 5)] * 2), st.tuples(*[st.floats(0, 3)] * 2))
def test_smaller_budgets_and_more_use_never_grant_more(one, limits, uses):
    (calls, fewer), (used, more) = limits, uses
    large = f"{{calls: {calls + fewer}, usd: 3, 'acquire replicas': 3, 'delete app': 2}}"
    small = f"{{calls: {calls}, usd: 2, 'acquire replicas': 1, 'delete app': 1}}"
    wide, narrow = (made(ALLOW[:9], APPROVE[:1], DENY[:2], budgets) for budgets in (large, small))
    less = decided(narrow, one, used={"calls": used, "usd": used})
    base = decided(wide, one, used={"calls": used, "usd": used})
    later = decided(wide, one, used={"calls": used + more, "usd": used + more})
    assert STRICTEST.index(less.verdict) <= STRICTEST.index(base.verdict)
    assert STRICTEST.index(later.verdict) <= STRICTEST.index(base.verdict)


@pytest.mark.slow
@given(RULES, CALLS, st.randoms(use_true_random=False))
def test_the_order_of_rules_of_one_force_does_not_matter(rules, one, rng):
    shuffled = tuple(tuple(rng.sample(part, len(part))) for part in rules)
    before, after = (decided(made(*some), one) for some in (rules, shuffled))
    assert before.verdict == after.verdict
    verdicts = [[e.verdict for e in decision.effects] for decision in (before, after)]
    assert verdicts[0] == verdicts[1]


@pytest.mark.slow
@given(RULES, st.lists(CALLS, min_size=1, max_size=6))
@settings(max_examples=40)
def test_what_is_kept_is_what_would_be_found_again(rules, calls):
    policy = made(*rules)
    fresh = policy_of(authority=authority(*rules), budgets="{}")
    for one in [*calls, *calls]:
        assert decided(policy, one) == decided(fresh, one)
    for one in calls:
        alone = policy_of(authority=authority(*rules), budgets="{}")
        assert decided(policy, one) == decided(alone, one)


@pytest.mark.slow
@given(RULES, CALLS)
def test_effects_and_rulings_are_those_of_the_whole_deployment(rules, one):
    """Looking at nearby assets and covering rules alone is a matter of speed."""
    policy = made(*rules)
    deployment, every = policy.deployment, rules_of(policy.deployment)
    decision = decided(policy, one)
    if decision.rule.startswith(("arguments.", "amount.", "error.")):
        return
    facts = {DECLARED: deployment.tools[one.name].irreversible}
    if any(" where " in rule for part in rules for rule in part):
        return
    touched = touch(deployment, one.server, one.tool, one.arguments)
    rulings = [(e, ruling_on_call(deployment, e, every, facts)) for e in touched.effects]
    expected = [(e.verb, e.asset, r.verdict, r.rule.text if r.rule else "") for e, r in rulings]
    found = [(e.verb, e.asset, e.verdict, e.rule) for e in decision.effects]
    named = [one for one in found if one[1] != "elsewhere"]
    assert named == [one for one in expected if one[1] != "elsewhere"]
    # What a bystander alone covers counts as elsewhere too, and only ever against the call.
    assert {(verb, asset) for verb, asset, *_ in found} >= {(v, a) for v, a, *_ in expected}
    counting = [ruling.verdict for effect, ruling in rulings if decides(effect, ruling)]
    if decision.verdict != "deny":
        assert decision.verdict == strictest(counting)
    elif strictest(counting) != "deny" and not decision.rule.startswith("requires."):
        assert any(asset == "elsewhere" and verdict == "deny" for _, asset, verdict, _ in found)


POLICY = policy_of()
START = Seen.start(POLICY.deployment)
SCHEMED = reviewed({}, listed("files", "read_file", PATH_SCHEMA | {"additionalProperties": True}))


@pytest.mark.slow
@given(st.text(max_size=12), st.text(max_size=12), JSON, JSON)
@settings(max_examples=200)
def test_a_decision_never_raises_and_no_unknown_tool_passes(server, tool, arguments, used):
    decision = decide(POLICY, Call(server, tool, arguments), START, used)  # type: ignore[arg-type]
    known = f"{server}.{tool}" in POLICY.deployment.tools
    assert known or decision.verdict == "deny"
    assert decision.rule


@pytest.mark.slow
@given(st.sampled_from(sorted(POLICY.deployment.tools)), JSON)
@settings(max_examples=300)
def test_no_arguments_make_a_decision_raise(name, value):
    for arguments in (value, {"path": value}, {"name": value, "replicas": value}, {"to": value}):
        server, _, tool = name.partition(".")
        for policy in (POLICY, SCHEMED):
            decision = decide(policy, Call(server, tool, arguments), START)  # type: ignore[arg-type]
            assert not decision.rule.startswith("error."), decision


def test_decisions_are_the_same_in_every_thread():
    rng = random.Random(5)  # noqa: S311  (a workload, no secret)
    calls = [
        call(
            "files.write_file", path=rng.choice(["/srv/app/x", "/srv/bot/prompt.md", "/x"]) + str(n)
        )
        for n in range(150)
    ]
    expected = [decided(policy_of(), one) for one in calls[:3]]
    policy = policy_of()

    def all_of(_):
        return [decided(policy, one) for one in calls]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(all_of, range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][:3] == expected


@pytest.mark.parametrize("value", [1, 1.0, True, "1"], ids=repr)
def test_values_that_python_takes_for_equal_are_not_mixed_up(value):
    """`1 == 1.0 == True` to Python, and three places to a server."""
    policy = policy_of(authority="{allow: ['acquire elsewhere']}", budgets="{}")
    answers = {}
    for one in (1, 1.0, True, "1", value):
        answers[repr(one)] = decided(policy, call("cluster.grant", role=one))
    for one in (1, 1.0, True, "1"):
        alone = policy_of(authority="{allow: ['acquire elsewhere']}", budgets="{}")
        assert decided(alone, call("cluster.grant", role=one)) == answers[repr(one)]
    assert answers["1"].verdict == "allow"
    assert answers["True"].verdict == "deny"


def test_a_decision_is_bound_to_the_manifests_digest():
    assert decided(POLICY, call("files.read_file", path="/x")).policy == loaded().digest
