"""Names are matched to the letter; what only resembles a known tool is denied, and says so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_guard import call, decided, listed, policy_of

from corrigible.guard.names import NameIndex, is_method

INDEX = NameIndex(["files.read_file", "shell.bash", "mail.send_mail"])

ALIKE = {
    "case": ("files", "Read_File"),
    "trailing space": ("files", "read_file "),
    "leading space": ("files", " read_file"),
    "zero width": ("shell", "bash\u200b"),
    "full width": ("shell", "ｂａｓｈ"),  # noqa: RUF001
    "homoglyph": ("shell", "bаsh"),  # noqa: RUF001  (a Cyrillic letter)
    "control": ("shell", "bash\x00"),
    "server's case": ("Files", "read_file"),
    "joined otherwise": ("files", "read-file"),
    "prefix": ("files", "files__read_file"),
    "prefix of a gateway": ("files", "mcp__files__read_file"),
    "other prefix": ("shell", "legacy.bash"),
    "other server": ("mail", "read_file"),
    "server in the name": ("gateway", "files.read_file"),
    "combining mark": ("shell", "bash\u0301"),
    "variation selector": ("shell", "bash\ufe0f"),
}


@pytest.mark.parametrize(("server", "tool"), ALIKE.values(), ids=ALIKE)
def test_a_name_that_resembles_a_known_one_is_denied_and_says_which(server, tool):
    problem = INDEX.problem(server, tool)
    assert problem is not None
    assert problem.rule == "names.exact"
    known = "files.read_file" if "ead" in tool else "shell.bash"
    assert repr(known) in problem.reason


def test_exact_names_are_known():
    assert INDEX.problem("files", "read_file") is None


def test_a_name_like_no_other_is_unknown():
    assert INDEX.problem("files", "format_disk").rule == "names.unknown"


def test_two_ways_to_cut_one_name_are_not_one_tool():
    """`a.b` of the tool `c` is not `a` of the tool `b.c`."""
    index = NameIndex(["a.b.c"])
    assert index.problem("a", "b.c") is None
    assert index.problem("a.b", "c") is not None


def test_a_name_that_is_no_text_is_unknown():
    assert INDEX.problem("files", 5).rule == "names.unknown"


def test_a_reason_shows_what_is_not_seen():
    assert "\u200b" not in INDEX.problem("shell", "bash\u200b").reason
    assert "\\u200b" in INDEX.problem("shell", "bash\u200b").reason


@given(st.text(max_size=40), st.text(max_size=40))
def test_only_known_names_pass(server, tool):
    known = {("files", "read_file"), ("shell", "bash"), ("mail", "send_mail")}
    assert (INDEX.problem(server, tool) is None) == ((server, tool) in known)


def test_a_name_of_a_million_characters_is_refused_soon():
    assert INDEX.problem("files", "x_" * 500_000).rule == "names.unknown"


# -- through the decision ------------------------------------------------------------------


@pytest.mark.parametrize(
    "tool",
    ["Read_File", "read_file ", "files__read_file", "reаd_file", "read_file\u200b"],  # noqa: RUF001
)
def test_attack_1_and_2_a_variant_of_a_tools_name_is_denied(tool):
    made = call("files." + tool, path="/srv/app/x")
    assert decided(policy_of(), made).rule == "names.exact"


def test_attack_2_a_tool_of_another_server_does_not_shadow_one():
    decision = decided(policy_of(), call("mail.read_file", path="/srv/app/x"))
    assert (decision.verdict, decision.rule) == ("deny", "names.exact")


def test_attack_3_a_tool_that_no_list_shows_is_denied_when_called():
    """Hiding is no defence: a tool that the server has and the manifest has not is denied."""
    policy = policy_of(listings=[listed("files", "format_disk")])
    assert decided(policy, call("files.format_disk")).rule == "names.unknown"


@pytest.mark.parametrize("name", ["resources/read", "prompts/get", "tasks/cancel", "ping"])
def test_methods_of_the_protocol_are_told_from_tools(name):
    assert is_method(name)
    assert not is_method("read_file")
    assert decided(policy_of(), call(f"files.{name}", uri="file:///srv/app/x")).verdict == "deny"
