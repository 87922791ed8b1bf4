"""A draft loads back with exactly the tools listed, whatever servers call themselves and say."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from corrigible.deployment import draft as drafts
from corrigible.deployment.clients import Given, ServerSpec, spec_of_command
from corrigible.deployment.draft import draft_of, lock_path, quoted, write_draft
from corrigible.deployment.listing import ListedTool, Listing, plain
from corrigible.deployment.load import parse_deployment
from corrigible.deployment.lock import compare, load_lock
from corrigible.errors import ManifestError, UnsaidError

READ = ListedTool(
    name="read_note",
    description="Read the contents of a note",
    input_schema={"type": "object", "properties": {"path": {"type": "string"}}},
)
SCALE = ListedTool(
    name="scale_cluster",
    description="Scale a cluster",
    input_schema={"properties": {"name": {}, "replicas": {"type": "integer"}}},
)
RUN = ListedTool(name="run_code", description="Run code", input_schema={"properties": {"code": {}}})
SPECS = (spec_of_command(["notes-server", "/srv"], name="notes"),)


def load(text):
    return YAML(typ="safe", pure=True).load(text)


def drafted(*tools: ListedTool):
    return draft_of(SPECS, [Listing("notes", tools=tools, protocol="2025-11-25")])


def test_every_tool_has_an_entry_with_what_was_read_of_it():
    tools = load(drafted(READ, SCALE).text)["tools"]
    assert tools["notes.read_note"] == {"verbs": ["read"], "target": "{path}", "secrets": True}
    assert {"spend", "acquire"} <= set(tools["notes.scale_cluster"]["verbs"])
    assert tools["notes.scale_cluster"]["amount"] == {"arg": "replicas", "counts": "absolute"}
    assert tools["notes.scale_cluster"]["irreversible"] is True


def test_every_reading_stands_with_its_reasons():
    text = drafted(READ).text
    assert "# does 'read'" in text
    assert "# says: Read the contents of a note" in text


def test_a_tool_that_runs_code_is_told_about_sandboxes():
    assert "# sandbox:" in drafted(RUN).text


def test_only_the_questions_for_the_operator_are_open():
    """The loader finds nothing wrong with a draft, and what it lists as unsaid is all `"?"`."""
    draft = drafted(READ, SCALE, RUN)
    with pytest.raises(UnsaidError) as caught:
        parse_deployment(draft.text)
    assert len(caught.value.problems) == draft.text.count('"?"') - 1  # one is in a comment


def test_nothing_is_allowed_until_somebody_says_so():
    assert load(drafted(READ).text)["authority"] == {"allow": [], "approve": [], "deny": []}


def test_a_server_that_could_not_be_listed_is_in_the_draft_with_why():
    draft = draft_of(SPECS, [Listing("notes", problem="hangs", printed=("a \x1b[31m b",))])
    assert load(draft.text)["servers"]["notes"] == {"command": ["notes-server", "/srv"]}
    assert load(draft.text)["tools"] == {}
    assert "# NOT LISTED: it hangs" in draft.text
    assert "\x1b" not in draft.text


SECRETS = ("s3cr3t-value", "hunter2", "ghp_abcdefghijklmnop1234", "t0k3n-of-url")
GIVEN = ServerSpec(
    name="notes",
    command=("x", "--token", SECRETS[1], SECRETS[2], "${HOME}/x", "/srv"),
    env=(
        Given("KEY", "KEY", literal=True, text=SECRETS[0]),
        Given("A", "B", literal=False, text="${B}"),
    ),
)
REACHED = ServerSpec(
    name="web",
    url=f"https://user:{SECRETS[3]}@x.example/mcp",
    transport="http",
    headers=(Given("X-Key", "WEB_X_KEY", literal=True, text=SECRETS[0]),),
)


def test_secrets_are_in_a_draft_by_reference_alone():
    draft = draft_of((GIVEN, REACHED), [Listing("notes", tools=(READ,)), Listing("web")])
    for secret in SECRETS:
        assert secret not in draft.text
    servers = load(draft.text)["servers"]
    assert servers["notes"]["command"] == ["x", "--token", "?", "?", "?", "/srv"]
    assert servers["notes"]["env"] == {"KEY": {"env": "KEY"}, "A": {"env": "B"}}
    assert servers["web"] == {"url": "?", "headers": {"X-Key": {"env": "WEB_X_KEY"}}}


# What servers may call things: all that would end a comment, a quote or a document, and more.
hostile = st.text(
    st.sampled_from("\n\r\t\0\x1b\x85\u2028\u2029\u202e\u200b\ufeff\"'\\#:-{}[]&*!|>%@`?,= ax1é😀")
    | st.characters(exclude_categories=("Cs",)),
    max_size=60,
)
printable = st.characters(exclude_categories=("C", "Z"))
names = st.text(st.sampled_from("\"'\\#:{}[]&*!|>%@`?,=a") | printable, min_size=1, max_size=40)
tools = st.lists(
    st.builds(
        ListedTool,
        name=names,
        description=st.none() | hostile,
        title=st.none() | hostile,
        input_schema=st.fixed_dictionaries(
            {"properties": st.dictionaries(hostile, st.just({"type": "string"}), max_size=4)}
        ),
        annotations=st.none() | st.just({"readOnlyHint": True}),
    ),
    max_size=5,
    unique_by=lambda tool: tool.name,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(tools, hostile, hostile, st.lists(hostile, max_size=3))
def test_a_draft_loads_back_with_exactly_the_tools_listed(some, problem, said, words):
    spec = ServerSpec(name="s", command=("run", *(word for word in words if word)), label=said)
    listing = Listing("s", some, refused=(problem,), protocol=said, server_info=said)
    failed = Listing("t", problem=problem, printed=(said,))
    draft = draft_of((spec, ServerSpec(name="t", command=("x",))), [listing, failed])
    loaded = load(draft.text)
    assert set(loaded["tools"]) == {f"s.{tool.name}" for tool in some}
    assert set(loaded["servers"]) == {"s", "t"}
    assert set(loaded) == {
        "corrigible", "name", "agent", "servers", "tools", "assets", "authority",
    }  # fmt: skip
    assert loaded["authority"] == {"allow": [], "approve": [], "deny": []}


@settings(deadline=None, max_examples=60)
@given(hostile)
def test_a_quoted_text_comes_back_as_it_was(text):
    assert load(f"- {quoted(text)}") == [text]
    assert "\n" not in quoted(text)


@settings(deadline=None, max_examples=60)
@given(hostile, st.integers(10, 50))
def test_a_plain_text_is_one_short_line_that_can_be_printed(text, longest):
    assert plain(text, longest).isprintable()
    assert len(plain(text, longest)) <= longest


def test_a_draft_too_large_to_load_leaves_its_reasons_out(monkeypatch):
    many = [ListedTool(name=f"read_{i}", description="Read a note") for i in range(40)]
    assert "# says:" in drafted(*many).text
    monkeypatch.setattr(drafts, "_LARGEST_COMMENTED", 5_000)
    assert "# says:" not in drafted(*many).text
    assert len(load(drafted(*many).text)["tools"]) == 40


def test_equal_listings_give_equal_drafts():
    assert drafted(READ, SCALE) == drafted(READ, SCALE)


def test_the_manifest_and_its_lock_are_written_side_by_side(tmp_path):
    draft = drafted(READ)
    manifest, lock = write_draft(draft, tmp_path / "deployment.yaml")
    assert manifest.read_text() == draft.text
    assert lock == lock_path(manifest) == tmp_path / "deployment.lock"
    assert not compare(load_lock(lock), draft.listings)
    assert sorted(path.name for path in tmp_path.iterdir()) == [lock.name, manifest.name]


@pytest.mark.parametrize("there", ["deployment.yaml", "deployment.lock"])
def test_what_is_there_is_not_replaced_unless_told(there, tmp_path):
    (tmp_path / there).write_text("mine")
    with pytest.raises(ManifestError, match="is there already"):
        write_draft(drafted(READ), tmp_path / "deployment.yaml")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(there, "mine")]
    write_draft(drafted(READ), tmp_path / "deployment.yaml", replace=True)
    assert (tmp_path / there).read_text() != "mine"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ManifestError, match="cannot be written"):
        write_draft(drafted(READ), tmp_path / "none" / "deployment.yaml")


@pytest.mark.skipif(sys.platform == "win32", reason="file modes")
def test_the_files_are_readable_as_the_mask_has_it(tmp_path):
    manifest, _ = write_draft(drafted(READ), tmp_path / "deployment.yaml")
    assert manifest.stat().st_mode & 0o600 == 0o600
