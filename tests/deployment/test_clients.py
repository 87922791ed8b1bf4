"""Client configurations become servers; their secrets stay out of every record's sight."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.deployment.clients import (
    parse_client_config,
    read_client_config,
    resolve,
    spec_of_command,
    specs_of_manifest,
)
from corrigible.deployment.jsonc import parse_json
from corrigible.deployment.masking import holds_secret, mask, secret_words
from corrigible.errors import ManifestError

MCP_JSON = """{
  "mcpServers": {
    "files": {"command": "npx", "args": ["-y", "some-server", "/srv"],
              "env": {"API_KEY": "s3cr3t"}},
    "remote": {"type": "http", "url": "https://x.example/mcp",
               "headers": {"Authorization": "Bearer abcdefgh12345678"}},
    "events": {"type": "sse", "url": "https://x.example/sse"},
    "off": {"command": "x", "disabled": true}
  }
}"""
VS_CODE = """{
  // what people write here
  "inputs": [{"type": "promptString", "id": "key", "password": true}],
  "servers": {
    "one": {
      "type": "stdio", "command": "uvx", "args": ["some-server"], /* and here */
      "env": {"KEY": "${input:key}", "HOME_KEY": "${env:REAL_KEY}"},
    },
    "two": {"type": "http", "url": "https://y.example/mcp"},
  },
}"""


def test_commands_addresses_and_transports_are_read():
    files, remote, events = parse_client_config(MCP_JSON)
    assert files.command == ("npx", "-y", "some-server", "/srv")
    assert (remote.url, remote.transport) == ("https://x.example/mcp", "http")
    assert events.transport == "sse"


def test_comments_and_trailing_commas_are_allowed():
    one, two = parse_client_config(VS_CODE)
    assert (one.command, two.url) == (("uvx", "some-server"), "https://y.example/mcp")


def test_no_secret_is_in_any_repr():
    specs = parse_client_config(MCP_JSON) + parse_client_config(VS_CODE)
    assert "s3cr3t" not in repr(specs)
    assert "abcdefgh" not in repr(specs)


def test_literal_values_are_referred_to_by_their_own_name():
    files, remote, _ = parse_client_config(MCP_JSON)
    assert [(g.name, g.reference, g.literal) for g in files.env] == [("API_KEY", "API_KEY", True)]
    assert [g.reference for g in remote.headers] == ["REMOTE_AUTHORIZATION"]


def test_references_keep_the_variable_that_they_name():
    one, _ = parse_client_config(VS_CODE)
    assert [(g.name, g.reference, g.literal) for g in one.env] == [
        ("KEY", "KEY", False),
        ("HOME_KEY", "REAL_KEY", False),
    ]


def test_references_are_filled_in_from_the_environment():
    assert resolve("a ${X} ${env:Y} ${Z:-z}", {"X": "1", "Y": "2"}) == "a 1 2 z"


@pytest.mark.parametrize("text", ["${MISSING}", "${env:MISSING}", "${input:key}"])
def test_what_nobody_said_is_named(text):
    with pytest.raises(LookupError, match=r"MISSING|key"):
        resolve(text, {})


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("{", ["1:2: is no JSON"]),
        ("", ["1:1: is no JSON"]),
        ("{} x", ["1:4: is no JSON"]),
        ('{"a": tru}', ["1:7: is no JSON"]),
        ('{"a": "\n"}', ["1:8: is no JSON"]),
        ("[]", ["1:1: must be a JSON object"]),
        ('{"theme": 1}', ["1:1: must hold `mcpServers` or `servers`"]),
        ('{"mcpServers": []}', ["1:16: mcpServers must map names"]),
        ('{"mcpServers": {"a": 1,\n "b": {}}}', ["1:22: mcpServers.a", "2:7: mcpServers.b"]),
        ('{"servers": {"a": {"command": 7}}}', ["1:31: servers.a.command must be text"]),
        ('{"servers": {"a": {"command": "x", "url": "https://y"}}}', ["got both"]),
        ('{"servers": {"a": {"command": "x", "args": [1]}}}', ["1:45: servers.a.args.0"]),
        ('{"servers": {"a": {"command": "x", "env": {"B C": "1"}}}}', ["must name variables"]),
        ('{"servers": {"a": {"url": "ftp://y"}}}', ["1:27: servers.a.url must be an http"]),
        ('{"servers": {"a": {"url": "https://y", "headers": {"X": null}}}}', ["1:57: "]),
        ('{"servers": {"a": {"url": "https://y", "type": "ws"}}}', ["1:48: servers.a.type"]),
        ('{"servers": {"a": {"command": "x"}, "a": {"command": "y"}}}', ["'a' stands twice"]),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, places):
    with pytest.raises(ManifestError) as caught:
        parse_client_config(text, "mcp.json")
    for place in places:
        assert place in str(caught.value)
    assert len(caught.value.problems) == len(places)


def test_no_problem_quotes_a_value():
    """A value of the wrong type in `env` may hold a secret all the same."""
    text = '{"mcpServers": {"a": {"command": "x", "env": {"KEY": ["s3cr3t"]}}}}'
    with pytest.raises(ManifestError) as caught:
        parse_client_config(text)
    assert "s3cr3t" not in str(caught.value)


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        read_client_config(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    with pytest.raises(ManifestError, match="must be UTF-8"):
        read_client_config(tmp_path / "latin.json")


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / ".mcp.json").write_text("\ufeff" + MCP_JSON, encoding="utf-8")
    assert len(read_client_config(tmp_path / ".mcp.json")) == 3


def test_names_are_made_fit_for_a_manifest_and_stay_apart():
    entries = {"My Server!": {"command": "x"}, "my/x": {"command": "x"}, "my x": {"command": "x"}}
    text = json.dumps({"servers": entries})
    assert [spec.name for spec in parse_client_config(text)] == ["My-Server", "my-x", "my-x-2"]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["npx", "-y", "@scope/server-files@1.2", "/srv"], "files"),
        (["python", "-m", "mcp_server_git"], "git"),
        (["/usr/bin/thing-mcp"], "thing"),
        (["node", "dist/index.js"], "index"),
    ],
)
def test_a_command_names_its_server(command, name):
    assert spec_of_command(command).name == name


def test_an_empty_command_is_refused():
    with pytest.raises(ManifestError, match="must be a command"):
        spec_of_command([])


def test_the_servers_of_a_manifest_can_be_listed_again():
    described, cluster, files = (
        {},
        {"url": "https://c/mcp", "auth": {"env": "TOKEN"}},
        {"command": ["x", "y"], "env": {"A": {"env": "B"}}, "cwd": "/srv"},
    )
    specs = specs_of_manifest({"d": described, "c": cluster, "f": files})
    assert [spec.name for spec in specs] == ["c", "f"]
    assert resolve(specs[0].headers[0].text, {"TOKEN": "t"}) == "Bearer t"
    assert resolve(specs[1].env[0].text, {"B": "b"}) == "b"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(json_values, st.sampled_from([None, 1]))
def test_the_reader_reads_json_as_json(value, indent):
    assert parse_json(json.dumps(value, indent=indent), "x").value == value


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet='{}[]",:/*-01eatrufl \n\\', max_size=30))
def test_no_text_breaks_the_reader(text):
    """Whatever stands in the file is read, or refused with a place."""
    with contextlib.suppress(ManifestError):
        parse_client_config(text, "x")


@pytest.mark.parametrize(
    "text",
    [
        "ghp_abcdefghijklmnop1234",
        "--api-key=abc",
        "postgres://user:pass@host/db",
        "Authorization: Bearer abcdefgh1234",
        "MY_TOKEN=abc",
        "sk-live-abcdefghijkl",
        "xoxb-12345678-abc",
        '{"password": "hunter2"}',
    ],
)
def test_what_looks_like_a_secret_is_masked(text):
    assert holds_secret(text)
    assert "***" in mask(text)
    for secret in ("abcdefgh", "user:pass", "hunter2", "=abc"):
        assert secret not in mask(text)


@pytest.mark.parametrize(
    "text", ["/srv/data", "--port=8080", "@scope/server-files@1.2", "https://x.example/mcp", "-y"]
)
def test_plain_words_are_left_alone(text):
    assert not holds_secret(text)


def test_the_word_after_a_secret_flag_is_a_secret():
    assert secret_words(["x", "--token", "abc", "--verbose", "y"]) == {2}
