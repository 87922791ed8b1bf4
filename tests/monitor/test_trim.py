"""The smaller manifest keeps what was used, what the task needs, and every comment."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from corrigible.deployment.load import load_deployment, parse_deployment
from corrigible.errors import DeniedError, TranscriptError
from corrigible.guard.sdk import Guard
from corrigible.monitor.trim import trim
from corrigible.monitor.yaml_cut import cut

TEXT = """\
# A bot.
corrigible: 1
name: bot
agent: {kind: tool-using, goal: Ship it., horizon: 20}

servers:
  # where it works
  files: {}
  mail: {auth: {env: MAIL_KEY}}   # never called
  spare: {}

tools:
  # the work
  files.edit:   {verbs: [advance], target: "p/{path}"}   # used
  files.build:  {verbs: [advance], target: "b/{path}"}
  # the rest
  files.grab:
    verbs: [read]
    target: "{path}"
  # about mail
  mail.send:    {verbs: [send], target: "{to}"}
  mail.buy:     {verbs: [acquire], target: "{to}", cost: {usd: 2}}

assets:
  page:  {kind: task, at: {files: "p/**"}}
  book:  {kind: task, at: {files: "b/**"}}
  key:   {kind: information/secret, at: {files: "k/**"}}
  team:  {kind: people, at: {mail: "*"}}
  hosts: {kind: resource/compute, at: {mail: "hosts"}}

authority:
  allow: ["advance page", "advance book", "read key",   # all of it
          "send team"]
  approve: ["acquire hosts"]
  deny: ["write oversight/*"]
accepts:
  resource-acquisition/compute: {why: Its job., until: 2999-01-01}
budgets: {calls: 50, usd: 10}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The manifest, and the ledger of a run that did one thing and was denied another."""
    folder = tmp_path_factory.mktemp("trimmed")
    (folder / "deployment.yaml").write_text(TEXT, encoding="utf-8")
    with Guard(folder, state=folder / "state") as guard:
        for _ in range(29):
            guard.perform("files.edit", {"path": "x"}, lambda _: "done")
        with pytest.raises(DeniedError):
            guard.perform("files.grab", {"path": "/etc/passwd"}, lambda _: "no")
    return load_deployment(folder / "deployment.yaml"), folder / "state" / "ledger.sqlite"


@pytest.fixture(scope="module")
def trimmed(made):
    loaded, ledger = made
    return trim(loaded, TEXT, [ledger])


@pytest.mark.slow
def test_what_was_never_used_goes_and_what_was_used_stays(trimmed):
    smaller = trimmed.smaller.deployment
    assert set(smaller.tools) == {"files.edit", "files.build"}
    assert smaller.authority.allow == ("advance page", "advance book")
    assert (smaller.authority.approve, smaller.authority.deny) == ((), ("write oversight/*",))
    assert dict(smaller.accepts) == {}
    assert smaller.budgets == {"calls": 50, "usd": 0}
    assert set(smaller.servers) == {"files", "mail"}
    assert smaller.servers["mail"].auth is None


@pytest.mark.slow
def test_what_a_task_needs_stays_though_it_was_never_used(trimmed):
    kept = {one.name: one.kept for one in trimmed.cuts if one.kept}
    assert kept["files.build"] == "no other granted call advances book"
    assert "mail" in kept  # assets name places on it


@pytest.mark.slow
def test_no_asset_goes_and_the_idle_ones_are_told(trimmed):
    assert set(trimmed.smaller.deployment.assets) == set(trimmed.loaded.deployment.assets)
    assert trimmed.idle == ("key",)


@pytest.mark.slow
def test_comments_and_layout_stay(trimmed):
    kept = [line for line in TEXT.splitlines() if line in trimmed.after.splitlines()]
    for line in (
        "# A bot.",
        "  # the work",
        "  # about mail",
        "  # the rest",
        "  # where it works",
    ):
        assert line in kept
    assert '  files.edit:   {verbs: [advance], target: "p/{path}"}   # used' in kept
    assert parse_deployment(trimmed.after).deployment == trimmed.smaller.deployment
    added = [line[1:] for line in trimmed.diff.splitlines() if line[:2] in {"+ ", "+a", "+b"}]
    assert added == [
        "  mail: {}   # never called",
        '  allow: ["advance page", "advance book"]',
        "  approve: []",
        "accepts: {}",
        "budgets: {calls: 50, usd: 0}",
    ]


@pytest.mark.slow
def test_the_bound_is_exact_and_says_no_more_than_its_n(trimmed):
    """0 of n: the one-sided 95 % bound p has (1 - p)^n = 0.05."""
    assert trimmed.used.calls == 29
    assert (1 - trimmed.used.at_most) ** 29 == pytest.approx(0.05)
    assert timedelta(seconds=trimmed.used.seconds) < timedelta(minutes=5)


@pytest.mark.slow
def test_a_second_trim_finds_nothing_more(trimmed, made):
    again = trim(trimmed.smaller, trimmed.after, [made[1]])
    assert again.diff == ""
    assert again.used.other == again.used.calls  # the ledger is of the larger manifest


@pytest.mark.slow
def test_a_ledger_without_a_call_says_nothing(tmp_path):
    (tmp_path / "deployment.yaml").write_text(TEXT, encoding="utf-8")
    with Guard(tmp_path, state=tmp_path / "state"):
        pass
    loaded = load_deployment(tmp_path / "deployment.yaml")
    with pytest.raises(TranscriptError, match="nothing can be trimmed"):
        trim(loaded, TEXT, [tmp_path / "state" / "ledger.sqlite"])


# -- cutting text ----------------------------------------------------------------------------------


def without(value, path, gone):
    """What a value is once entries are taken out."""
    if isinstance(value, dict):
        return {k: without(v, (*path, k), gone) for k, v in value.items() if (*path, k) not in gone}
    if isinstance(value, list):
        return [without(v, (*path, i), gone) for i, v in enumerate(value) if (*path, i) not in gone]
    return value


def inside(value):
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def paths_of(value, path=()):
    for step, item in inside(value):
        yield (*path, step)
        yield from paths_of(item, (*path, step))


def plain(text):
    return YAML(typ="safe", pure=True).load(text)


SHORT = """\
# top
a:
  # one
  b: {c: 1, "d": [x, y], e: {}}   # beside
  f:
    - g
    # between
    - {h: 1,   # in a flow
       i: 2}

  # after
  j: |
    text
    # no comment
k: [l,
    m]   # end
n: 'o'
"""
PATHS = sorted(paths_of(plain(SHORT)), key=str)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.sets(st.sampled_from(PATHS), max_size=8))
def test_cut_text_says_what_is_left_and_nothing_else(gone):
    """Whatever goes, what is read from the text is the value without it."""
    assert plain(cut(SHORT, gone)) == without(plain(SHORT), (), gone)


def test_only_what_is_cut_changes():
    after = cut(SHORT, [("a", "f", 0), ("k", 1), ("a", "b", "d")])
    expected = SHORT.replace("    - g\n", "").replace('"d": [x, y], ', "")
    assert after == expected.replace("[l,\n    m]", "[l]")


def test_a_scalar_is_put_in_the_place_of_another():
    after = cut(TEXT, [], {("budgets", "usd"): "0"})
    assert after == TEXT.replace("usd: 10", "usd: 0")


def test_json_is_cut_as_well():
    """A manifest may be written as JSON: it is YAML."""
    text = json.dumps({"a": {"b": 1, "c": 2}, "d": [1, 2]}, indent=1)
    assert json.loads(cut(text, [("a", "c"), ("d", 0)])) == {"a": {"b": 1}, "d": [2]}


@pytest.mark.slow
def test_where_the_ledger_had_to_redact_what_a_rule_reads_every_rule_counts_as_used(tmp_path):
    """Nobody knows which place it was: none of the grants can be said to be unused."""
    text = TEXT.replace('target: "p/{path}"}   # used', 'target: "p/{token}"}')
    (tmp_path / "deployment.yaml").write_text(text, encoding="utf-8")
    with Guard(tmp_path, state=tmp_path / "state") as guard:
        guard.perform("files.edit", {"token": "x" * 20}, lambda _: "done")
    loaded = load_deployment(tmp_path / "deployment.yaml")
    found = trim(loaded, text, [tmp_path / "state" / "ledger.sqlite"])
    assert [one for one in found.cuts if one.what == "rule"] == []
