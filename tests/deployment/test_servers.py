"""Whatever a server does, listing ends in time, names it with why, and leaves nothing running."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from corrigible.deployment.clients import Given, ServerSpec, spec_of_command
from corrigible.deployment.servers import Limits, list_servers

SPEAK = """
import json, os, subprocess, sys, time
def serve(tools, pages=None):
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] == "initialize":
            answer["result"] = {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"},
                "instructions": "be kind",
            }
        elif message["method"] == "tools/list":
            cursor = (message.get("params") or {}).get("cursor")
            answer["result"] = pages(cursor) if pages else {"tools": tools}
        else:
            answer["error"] = {"code": -32601, "message": "unknown: " + message["method"]}
        print(json.dumps(answer), flush=True)
def tool(name, **more):
    return {"name": name, "inputSchema": {"type": "object"}, **more}
"""
QUICK = Limits(seconds=1.5)
ENOUGH = Limits(seconds=20)
SLOWER = pytest.mark.slow


def fake(body, name="fake", env=()):
    """A server that is a small script."""
    return ServerSpec(name=name, command=(sys.executable, "-c", SPEAK + body), env=env)


def listing_of(body, limits=ENOUGH, env=()):
    return list_servers([fake(body, env=env)], limits=limits)[0]


def test_what_a_server_says_of_itself_is_captured():
    listing = listing_of("serve([tool('read', title='R', description='d', annotations={'x': 1})])")
    (tool,) = listing.tools
    assert (tool.name, tool.title, tool.description) == ("read", "R", "d")
    assert tool.annotations == {"x": 1}
    assert (listing.server_info, listing.instructions) == ("fake 1", "be kind")
    assert (listing.protocol, listing.problem) == ("2025-11-25", None)


@SLOWER
def test_a_server_of_the_modern_era_is_listed():
    body = """
import anyio, mcp_types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
async def tools(ctx, params):
    return mcp_types.ListToolsResult(
        tools=[mcp_types.Tool(name="read", input_schema={"type": "object"})], ttl_ms=0,
        cache_scope="public")
async def main():
    server = Server("modern", on_list_tools=tools)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
anyio.run(main)
"""
    listing = listing_of(body)
    assert (listing.problem, listing.protocol) == (None, "2026-07-28")
    assert [tool.name for tool in listing.tools] == ["read"]


def test_pages_are_followed_to_their_end():
    body = """
serve([], lambda cursor: {"tools": [tool("b")]} if cursor == "2" else
      {"tools": [tool("a")], "nextCursor": "2"})"""
    assert [tool.name for tool in listing_of(body).tools] == ["a", "b"]


FAILURES = {
    "ends at once": ("print('no key', file=sys.stderr); sys.exit(3)", "ended with exit code 3"),
    "is killed": ("os.kill(os.getpid(), 9)", "ended by signal 9"),
    "hangs": ("time.sleep(60)", "no full answer within 1.5 s"),
    "ignores its end": (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(1)",
        "no full answer within 1.5 s",
    ),
    "answers no JSON": (
        "for line in sys.stdin: print('{oops', flush=True)",
        "it printed '{oops', no JSON-RPC",
    ),
    "answers what is no list": ("serve(7)", "the protocol does not allow"),
    "lists what is no tool": ("serve([{'nome': 1}])", "the protocol does not allow"),
    "lists 10,000 tools": (
        "serve([tool(f't{i}') for i in range(10_000)])",
        "more than 2,000 tools",
    ),
    "never stops paging": (
        """n = iter(range(10**9))
serve([], lambda cursor: {'tools': [], 'nextCursor': str(next(n))})""",
        "floods",
    ),
    "pages in a circle": (
        "serve([], lambda cursor: {'tools': [tool('a')], 'nextCursor': 'x'})",
        "go in a circle",
    ),
    "writes without end": (
        "while True: sys.stdout.write('x' * 65536)",
        "sent more than 1,000,000 bytes",
    ),
}


@pytest.mark.parametrize(
    "how",
    [pytest.param(how, marks=[SLOWER] if "no full answer" in why or "oops" in why else [])
     for how, (_, why) in FAILURES.items()],
)  # fmt: skip
def test_a_server_that_fails_is_named_with_why(how):
    body, why = FAILURES[how]
    limits = Limits(
        seconds=1.5 if "sleep" in body or "oops" in body else 20, pages=50, total_bytes=1_000_000
    )
    listing = listing_of(body, limits)
    assert listing.problem is not None
    assert why in listing.problem
    assert listing.tools == ()


def test_what_it_printed_on_stderr_is_kept_with_secrets_masked():
    body = "print('key s3cr3t-value TOKEN=abc', file=sys.stderr); sys.exit(1)"
    env = (Given("KEY", "KEY", literal=True, text="s3cr3t-value"),)
    assert listing_of(body, env=env).printed == ("key *** TOKEN=***",)


def test_a_server_that_cannot_be_started_is_named():
    missing, folder = list_servers(
        [spec_of_command(["/no/such/thing"], name="a"), spec_of_command([str(Path.cwd())])]
    )
    assert missing.problem == "was not started: there is no '/no/such/thing'"
    assert "was not started" in (folder.problem or "")


def test_a_variable_that_is_not_set_is_named():
    given = Given("KEY", "SURELY_NOT_SET", literal=False, text="${SURELY_NOT_SET}")
    assert "SURELY_NOT_SET is not set" in (listing_of("serve([])", env=(given,)).problem or "")


def test_variables_reach_the_server_and_others_do_not(monkeypatch):
    monkeypatch.setenv("OTHER_SECRET", "x")
    env = (Given("KEY", "KEY", literal=True, text="value"),)
    body = "serve([tool('a', description=repr((os.environ['KEY'], 'OTHER_SECRET' in os.environ)))])"
    assert listing_of(body, env=env).tools[0].description == "('value', False)"


@SLOWER
def test_one_server_that_fails_does_not_hold_up_the_others():
    began = time.monotonic()
    first, second = list_servers(
        [fake("time.sleep(60)", "bad"), fake("serve([tool('a')])", "good")],
        limits=Limits(seconds=5),
    )
    assert (first.server, second.server) == ("bad", "good")
    assert first.problem is not None
    assert len(second.tools) == 1
    assert time.monotonic() - began < 15


def running_with(mark):
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if mark.encode() in command and int(entry.parent.name) != os.getpid():
            found.append(int(entry.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="shows processes in /proc")
@pytest.mark.parametrize("detach", ["", "start_new_session=True"])
@pytest.mark.parametrize("orphan", [False, True])
def test_nothing_that_it_started_is_left_running(detach, orphan, tmp_path):
    """Children, children in a session of their own, and orphans of a parent that ended."""
    mark = f"left-{tmp_path.name}-{os.urandom(4).hex()}"
    child = [sys.executable, "-c", "import time; time.sleep(300)", mark]
    start = f"subprocess.Popen({child!r}, stdout=subprocess.DEVNULL, {detach})"
    if orphan:
        inner = f"import subprocess; {start}"
        start = f"subprocess.run([sys.executable, '-c', {inner!r}, {mark!r}])"
    listing = listing_of(f"{start}\nserve([tool('a')])")
    assert listing.problem is None
    assert running_with(mark) == []


@SLOWER
def test_nothing_reaches_the_streams_of_the_caller(capfd):
    body = "print('hello out'); print('hello err', file=sys.stderr); serve([tool('a')])"
    assert listing_of(body).problem is None
    listing_of("for line in sys.stdin: print('{oops', flush=True)", QUICK)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


HOSTILE = {
    "": "its name must be text",
    "a b": "white space",
    "a\nb": "white space, control",
    "a\x1b[31m": "control",
    "read\u202efile": "invisible",
    "read\u200bfile": "invisible",
    "\uff52ead": "compatibility form",
    "x" * 5000: "128 characters at most, got 5,000",
}


def test_hostile_names_are_left_out_and_shown_harmless():
    body = f"serve([tool(n) for n in {list(HOSTILE)!r}] + [tool('good')])"
    listing = listing_of(body)
    assert [tool.name for tool in listing.tools] == ["good"]
    assert len(listing.refused) == len(HOSTILE)
    for why, shown in zip(HOSTILE.values(), listing.refused, strict=True):
        assert why in shown
        assert shown.isprintable()
        assert len(shown) < 300


def test_a_name_that_is_listed_twice_is_left_out():
    listing = listing_of("serve([tool('a'), tool('a', description='other'), tool('b')])")
    assert [tool.name for tool in listing.tools] == ["b"]
    assert "more than once" in listing.refused[0]


def test_a_huge_description_leaves_that_tool_out():
    listing = listing_of("serve([tool('a', description='x' * 500_000), tool('b')])")
    assert [tool.name for tool in listing.tools] == ["b"]
    assert "256,000 are the limit" in listing.refused[0]


def test_no_tool_is_ever_called(tmp_path):
    """Every request that reaches the server is written down: none is `tools/call`."""
    log = tmp_path / "log"
    body = f"""
class Log:
    def __init__(self, inner): self.inner = inner
    def __iter__(self):
        for line in self.inner:
            with open({str(log)!r}, "a") as file: file.write(json.loads(line)["method"] + "\\n")
            yield line
sys.stdin = Log(sys.stdin)
serve([tool("a")])"""
    assert listing_of(body).problem is None
    assert set(log.read_text().split()) <= {
        "server/discover", "initialize", "notifications/initialized", "tools/list",
    }  # fmt: skip


HTTP = """
import http.server, sys, json
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args): pass
    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = b""
        if self.headers.get("authorization") != "Bearer t":
            self.send_response(401)
        elif "id" not in message:
            self.send_response(202)
        else:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            result = {"error": {"code": -32601, "message": "no"}}
            if message["method"] == "initialize":
                result = {"result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                                     "serverInfo": {"name": "web", "version": "1"}}}
            if message["method"] == "tools/list":
                result = {"result": {"tools": [{"name": "a" * int(sys.argv[2]),
                                                "inputSchema": {"type": "object"}}]}}
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **result}).encode()
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.send_error(405)
    do_DELETE = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def web():
    """Start a server on the web; its one tool has a name of as many letters as asked."""
    started = []

    def start(letters=1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        started.append(subprocess.Popen([sys.executable, "-c", HTTP, str(port), str(letters)]))
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        return f"http://127.0.0.1:{port}/mcp"

    yield start
    for process in started:
        process.kill()
        process.wait()


def at_url(url, says="t"):
    headers = (Given("Authorization", "TOKEN", literal=True, text=f"Bearer {says}"),)
    return ServerSpec(name="web", url=url, transport="http", headers=headers)


@pytest.mark.slow
def test_a_server_on_the_web_is_listed_with_its_headers(web):
    (listing,) = list_servers([at_url(web())], limits=ENOUGH)
    assert (listing.problem, [tool.name for tool in listing.tools]) == (None, ["a"])


def test_a_server_on_the_web_that_refuses_is_named(web):
    (listing,) = list_servers([at_url(web(), says="wrong")], limits=ENOUGH)
    assert listing.problem is not None
    assert "wrong" not in listing.problem


@pytest.mark.slow
def test_a_server_on_the_web_that_floods_is_cut_off(web):
    limits = Limits(seconds=20, total_bytes=100_000)
    (listing,) = list_servers([at_url(web(300_000))], limits=limits)
    assert listing.problem == "floods: it sent more than 100,000 bytes"


def test_nobody_there_is_said():
    (listing,) = list_servers([at_url("http://127.0.0.1:9/mcp")], limits=ENOUGH)
    assert "cannot be reached" in (listing.problem or "")


@pytest.mark.servers
@pytest.mark.slow
@pytest.mark.parametrize(("program", "least"), [("mcp-server-git", 10), ("mcp-server-time", 2)])
def test_real_servers_are_listed(program, least):
    where = shutil.which(
        program, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if where is None:
        pytest.skip(f"{program} is not installed: pip install {program}")
    (listing,) = list_servers([spec_of_command([where])], limits=Limits(seconds=60))
    assert listing.problem is None
    assert len(listing.tools) >= least
    assert json.dumps([dict(tool.input_schema) for tool in listing.tools])
