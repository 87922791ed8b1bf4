"""Authority: what rules cover, and that a stricter authority never grants more."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_manifest import load

from corrigible.deployment.places import ANYWHERE, pattern_of
from corrigible.deployment.records import Server
from corrigible.deployment.rules import (
    DECLARED,
    STRICTEST,
    Act,
    Condition,
    RuleError,
    parse_rule,
    rule_on,
    rule_on_every,
)

DEPLOYMENT = load(
    assets="{release: {kind: task, at: {jobs: release-*}}, cpu: {kind: resource/compute, at: "
    "{jobs: d/*}}, log: {kind: oversight/monitor, at: {files: /srv/log/**}}, "
    "stop: {kind: oversight/stop, at: {jobs: stop}}}"
).deployment


@cache
def rule(text):
    return parse_rule(*text.split(" ", 1), DEPLOYMENT)


def rules(*texts: str):
    """Rules from `deny write log`, in the order in which authority reads them."""
    return tuple(sorted(map(rule, texts), key=lambda rule: STRICTEST.index(rule.verdict)))


def act(verb, asset, *places: str, by_run=False, server="files"):
    kinds = {name: a.kind for name, a in DEPLOYMENT.assets.items()} | {"elsewhere": "elsewhere"}
    patterns = [(server, (pattern_of(p, Server()),)) for p in places] or [(server, (ANYWHERE,))]
    return Act(verb, asset, kinds[asset], by_run, tuple(patterns), {})


def verdict(the_act, *texts: str, facts=None):
    return rule_on(the_act, rules(*texts), facts or {}).verdict


WRONG = [
    ("read", "must be VERB TARGET [where CONDITION], got 'read'"),
    ("read files:/srv/my docs", "got 'read files:/srv/my docs'; in a place, write a space as %20"),
    ("reed release", "'reed' is no verb; did you mean 'read'?"),
    ("read relese", "nor SERVER:PLACE, nor elsewhere; did you mean 'release'?"),
    ("read resources/*", "'resources/*' is neither an asset, nor a kind"),
    ("read fils:/x", "'fils' in 'fils:/x' is no server; did you mean 'files'?"),
    ("read files:~/x", "the place in 'files:~/x' starts at the home '~', which"),
    ("write oversight*", "'oversight*' names no organ, nor elsewhere: write oversight/"),
    ("write */stop", "'*/stop' names no organ, nor elsewhere"),
    ("write else*", "'else*' names no organ, nor elsewhere"),
    ("read release where colour == red", "the condition 'colour == red' must be NAME or NAME OP"),
    ("read release where impact > high", "'impact > high' compares with a number, got high"),
    ("read release where impact > nan", "'impact > nan' compares with a number, got nan"),
    ("read release where amount == true", "'amount == true' compares with a number, got true"),
    ("read release where arguments.n < x", "'arguments.n < x' compares with a number, got x"),
    ("read release where ", "must be VERB TARGET"),
    ("read release when impact > 1", "must be VERB TARGET"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_a_wrong_rule_says_what_is_wrong_and_what_to_write(text, words):
    with pytest.raises(RuleError) as caught:
        parse_rule("allow", text, DEPLOYMENT)
    assert words in str(caught.value)


COVERS = [  # a rule, a verb, an asset, whether it covers it
    ("write release", "write", "release", True),
    ("write release", "read", "release", False),
    ("* release", "read", "release", True),
    ("write task", "write", "release", True),
    ("acquire resource/*", "acquire", "cpu", True),
    ("acquire resource/money", "acquire", "cpu", False),
    ("write *", "write", "release", True),
    ("write *", "write", "elsewhere", False),
    ("* *", "write", "elsewhere", False),
    ("write elsewhere", "write", "elsewhere", True),
    ("write *", "write", "log", False),
    ("* *", "delete", "stop", False),
    ("write log", "write", "log", True),
    ("write oversight/*", "write", "log", True),
    ("write oversight/stop", "write", "log", False),
    ("write oversight/monitor", "write", "log", True),
    ("write files:**", "write", "log", False),
    ("write files:/srv/log/*", "write", "log", False),
    ("write files:/srv/log/a", "write", "log", True),
    ("write files:**", "write", "elsewhere", True),
    ("write jobs:**", "write", "elsewhere", False),
]


@pytest.mark.parametrize(("text", "verb", "asset", "covers"), COVERS)
def test_a_wildcard_covers_no_organ_and_a_bare_one_not_elsewhere(text, verb, asset, covers):
    assert (verdict(act(verb, asset), f"allow {text}") == "allow") is covers


RUNS = [("run *", True), ("write *", True), ("read *", False), ("run log", False)]


@pytest.mark.parametrize(("text", "covers"), RUNS)
def test_a_rule_on_run_speaks_of_all_that_code_does(text, covers):
    assert (verdict(act("write", "release", by_run=True), f"allow {text}") == "allow") is covers


def test_a_rule_on_run_says_nothing_of_a_plain_call():
    assert verdict(act("write", "release"), "allow run *") == "deny"


ORDER = [
    (["deny write release", "approve write release", "allow write release"], "deny"),
    (["approve write release", "allow write release"], "approve"),
    (["allow write release"], "allow"),
    ([], "deny"),
]


@pytest.mark.parametrize(("texts", "expected"), ORDER)
def test_deny_is_over_approve_over_allow_and_nothing_is_deny(texts, expected):
    assert verdict(act("write", "release"), *texts) == expected


PLACES = [  # rules, the most that a call which picks its place is granted
    (["allow write files:/srv/**"], "allow"),
    (["deny write files:/srv/**", "allow write files:/srv/app"], "deny"),
    (["deny write files:/srv/a/**", "allow write files:/srv/**"], "allow"),
    (["approve write files:/srv/**", "allow write files:/srv/a"], "approve"),
    (["approve write files:/srv/a", "allow write files:/srv/**"], "allow"),
    (["deny write files:/srv/**", "approve write files:/**", "allow write files:/etc"], "approve"),
    (["deny write files:**", "allow write files:**"], "deny"),
]


@pytest.mark.parametrize(("texts", "expected"), PLACES)
def test_the_most_that_is_granted_is_that_at_the_best_place(texts, expected):
    assert verdict(act("write", "elsewhere"), *texts) == expected


EVERY = [  # rules, places of the call, what it is granted wherever it acts
    (["allow write files:/srv/**"], ["**"], "deny"),
    (["allow write files:/srv/**"], ["/srv/a", "/srv/b"], "allow"),
    (["allow write files:/srv/**"], ["/srv/a", "/etc/b"], "deny"),
    (["allow write files:/srv/**", "approve write files:/etc/*"], ["/srv/a", "/etc/b"], "approve"),
    (["allow write files:/srv/**", "deny write files:/srv/a"], ["/srv/*"], "deny"),
    (["allow write files:/srv/a*", "allow write files:/srv/b*"], ["/srv/a?", "/srv/b"], "allow"),
    (["allow write files:**", "approve write files:/srv/a"], ["/srv/*"], "approve"),
    (["allow write elsewhere"], ["**"], "allow"),
    ([], ["/srv/a"], "deny"),
]


@pytest.mark.parametrize(("texts", "places", "expected"), EVERY)
def test_a_call_is_granted_what_is_granted_at_each_of_its_places(texts, places, expected):
    ruling = rule_on_every(act("write", "elsewhere", *places), rules(*texts), {})
    assert ruling.verdict == expected


def test_an_act_without_a_place_is_denied():
    nowhere = Act("write", "release", "task", by_run=False, within=(), outside={})
    assert rule_on(nowhere, rules("allow write release"), {}).verdict == "deny"
    assert rule_on_every(nowhere, rules("allow write release"), {}).verdict == "deny"


def test_a_ruling_names_the_rule_that_decides():
    ruling = rule_on(act("write", "log"), rules("deny write log", "allow write log"), {})
    assert ruling.rule is not None
    assert (ruling.rule.verdict, ruling.rule.text) == ("deny", "write log")


# -- conditions ----------------------------------------------------------------------------

HOLDS = [
    ("arguments.n > 5", 6, True), ("arguments.n > 5", "6", True), ("arguments.n > 5", "x", False),
    ("arguments.n != 5", "x", True), ("arguments.n == 5", "5.0", True),
    ("arguments.force", True, True), ("arguments.force", "TRUE", True),
    ("arguments.force", "", False),
    ("arguments.env == prod", "prod", True), ("arguments.env != prod", "dev", True),
    ("arguments.v == '5'", 5, True), ('arguments.v == "a and b"', "a and b", True),
    ("arguments.env == inf", "inf", True),
]  # fmt: skip


@pytest.mark.parametrize(("text", "got", "holds"), HOLDS)
def test_a_condition_reads_a_value_as_a_server_may(text, got, holds):
    (condition,) = parse_rule("deny", f"read release where {text}", DEPLOYMENT).conditions
    assert condition.holds(got) is holds


READS = [
    ("irreversible", Condition(DECLARED, "==", value=True)),
    ("irreversible == false", Condition(DECLARED, "==", value=False)),
    ("irreversible > 0.2", Condition("irreversible", ">", 0.2)),
    ("impact", Condition("impact", ">", 0.0)),
    ("amount >= 2", Condition("amount", ">=", 2.0)),
]


@pytest.mark.parametrize(("text", "condition"), READS)
def test_a_condition_is_a_name_or_a_comparison(text, condition):
    assert parse_rule("deny", f"read release where {text}", DEPLOYMENT).conditions == (condition,)


def test_conditions_are_joined_outside_quotes():
    text = "read release where amount > 1 and arguments.x == 'a and b' and irreversible"
    names = [c.name for c in parse_rule("deny", text, DEPLOYMENT).conditions]
    assert names == ["amount", "arguments.x", DECLARED]


UNKNOWN = [("allow", "allow", "deny"), ("approve", "approve", "deny"), ("deny", "deny", "deny")]


@pytest.mark.parametrize(("listed", "most", "least"), UNKNOWN)
def test_a_condition_on_what_is_not_known_goes_against_who_asks(listed, most, least):
    """The agent picks the arguments; a call whose argument is unknown has no benefit of doubt."""
    the_act, found = act("write", "release"), rules(f"{listed} write release where amount > 1")
    assert rule_on(the_act, found, {}).verdict == most
    assert rule_on_every(the_act, found, {}).verdict == least


UNKNOWN_BESIDE_ALLOW = [("approve", "allow", "approve"), ("deny", "allow", "deny")]


@pytest.mark.parametrize(("listed", "most", "least"), UNKNOWN_BESIDE_ALLOW)
def test_a_restriction_on_what_is_not_known_may_hold_or_not(listed, most, least):
    found = rules("allow write release", f"{listed} write release where amount > 1")
    assert rule_on(act("write", "release"), found, {}).verdict == most
    assert rule_on_every(act("write", "release"), found, {}).verdict == least


# -- laws ----------------------------------------------------------------------------------

TARGETS = ["*", "task", "release", "log", "oversight/*", "elsewhere", "resource/*", "files:**",
           "files:/srv/**", "files:/srv/log/a", "files:/srv/*", "jobs:release-*"]  # fmt: skip
TEXTS = st.builds(
    "{} {}{}".format,
    st.sampled_from(["write", "read", "*", "run"]),
    st.sampled_from(TARGETS),
    st.sampled_from(["", " where amount > 1", " where irreversible"]),
)
AUTHORITIES = st.lists(st.tuples(st.sampled_from(STRICTEST), TEXTS), max_size=5)
ACTS = st.builds(
    lambda verb, asset, places, run: act(verb, asset, *places, by_run=run),
    st.sampled_from(["read", "write"]),
    st.sampled_from(["release", "log", "elsewhere", "cpu"]),
    st.lists(st.sampled_from(["/srv/*", "/srv/log/a", "**", "/etc"]), min_size=1, max_size=2),
    st.booleans(),
)
FACTS = st.sampled_from([{}, {"amount": 2.0}, {"amount": 0.0, DECLARED: True}])
FEW = settings(max_examples=25)  # several laws, each on both rulings
CASES = st.tuples(ACTS, AUTHORITIES, FACTS)
RULINGS = pytest.mark.parametrize("ruling", [rule_on, rule_on_every])


def granted(ruling, the_act, authority, facts):
    found = rules(*(" ".join(listed) for listed in authority))
    return STRICTEST.index(ruling(the_act, found, facts).verdict)


@RULINGS
@FEW
@given(CASES, st.data())
def test_a_rule_moved_to_a_stricter_list_never_grants_more(ruling, case, data):
    the_act, authority, facts = case
    moved = [(data.draw(st.sampled_from(STRICTEST[: STRICTEST.index(v) + 1])), t)
             for v, t in authority]  # fmt: skip
    assert granted(ruling, the_act, moved, facts) <= granted(ruling, the_act, authority, facts)


@RULINGS
@FEW
@given(CASES, TEXTS)
def test_one_more_deny_never_grants_more(ruling, case, text):
    the_act, authority, facts = case
    more = [*authority, ("deny", text)]
    assert granted(ruling, the_act, more, facts) <= granted(ruling, the_act, authority, facts)


@RULINGS
@FEW
@given(CASES, TEXTS)
def test_one_allow_less_never_grants_more(ruling, case, text):
    the_act, authority, facts = case
    more = [*authority, ("allow", text)]
    assert granted(ruling, the_act, authority, facts) <= granted(ruling, the_act, more, facts)


@RULINGS
@FEW
@given(CASES, st.randoms())
def test_the_order_of_rules_within_a_list_does_not_matter(ruling, case, random):
    the_act, authority, facts = case
    other = random.sample(authority, len(authority))
    assert granted(ruling, the_act, authority, facts) == granted(ruling, the_act, other, facts)


@FEW
@given(CASES)
def test_what_is_granted_everywhere_is_never_more_than_what_is_granted_somewhere(case):
    the_act, authority, facts = case
    least = granted(rule_on_every, the_act, authority, facts)
    assert least <= granted(rule_on, the_act, authority, facts)


@FEW
@given(CASES)
def test_at_one_exact_place_both_rulings_agree(case):
    the_act, authority, facts = case
    facts = {"amount": 0.0, DECLARED: False, **facts}
    exact = replace(the_act, within=(("files", (tuple("/srv/log/a"),)),))
    assert granted(rule_on, exact, authority, facts) == granted(
        rule_on_every, exact, authority, facts
    )
