"""The proxy as a process: over stdio, a port and a unix socket."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from proxy_fakes import ERAS, said, told

from corrigible.guard.call import Caller
from corrigible.guard.proxy.http import Access

pytestmark = pytest.mark.slow  # each is a process with servers of its own
SCRIPT = Path(__file__).with_name("proxy_script.py")
TOKEN, OTHER = "t" * 32, "o" * 32
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "raw", "version": "1"},
    },
}


def command(tmp_path, **config: Any):
    log = tmp_path / "log"
    log.touch()
    whole = {"go": ["toy.echo", "toy.slow"], "servers": {"toy": {"log": str(log)}}, **config}
    whole["diary"] = str(tmp_path / "diary")
    path = tmp_path / "config.json"
    path.write_text(json.dumps(whole))
    return [sys.executable, str(SCRIPT), str(path)]


def did(tmp_path):
    return (tmp_path / "log").read_text().splitlines()


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


# -- stdio -------------------------------------------------------------------------------------


@contextmanager
def raw(tmp_path, **config: Any):
    """A client that writes the lines itself."""
    process = subprocess.Popen(
        command(tmp_path, **config), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process, lambda text: _exchanged(process, text)
    finally:
        process.stdin.close()
        process.wait(120)
        process.stdout.close()


def _exchanged(process, text):
    process.stdin.write(text + "\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process):
    """The next message that is no notification."""
    while "method" in (message := json.loads(process.stdout.readline())):
        pass
    return message


def call(id_, arguments, name="toy__echo"):
    params = f'{{"name": "{name}", "arguments": {arguments}}}'
    return f'{{"jsonrpc": "2.0", "id": {id_}, "method": "tools/call", "params": {params}}}'


@pytest.mark.parametrize("era", ERAS)
def test_a_real_client_over_stdio(tmp_path, era):
    first, *rest = command(tmp_path)

    async def used():
        async with Client(StdioServerParameters(command=first, args=rest), mode=era) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            return tools, await client.call_tool("toy__echo", {"text": "hi"})

    tools, result = anyio.run(used)
    assert tools == ["toy__echo", "toy__slow"]
    assert said(result) == "toyhi"


def test_texts_that_two_parsers_read_in_two_ways_go_no_further(tmp_path):
    """Attack 12, on the text itself: a key twice, NaN, a number too large, half a character."""
    with raw(tmp_path) as (process, exchange):
        exchange(json.dumps(HELLO))
        process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        assert "result" in exchange(call(2, '{"text": "a"}'))
        bad = ('{"text": "a", "text": "b"}', '{"text": NaN}', '{"n": 1e999}', '{"n": ' + "9" * 30
               + "}", '{"text": "\\ud800"}', "[" * 40 + "]" * 40)  # fmt: skip
        for arguments in bad:
            assert exchange(call(3, arguments))["error"]["code"] == -32700
        assert exchange("[]")["error"]["code"] == -32600
        assert exchange("nonsense")["error"]["code"] == -32700
        assert exchange('{"jsonrpc": "2.0", "id": 9, "method": 3}')["id"] == 9
        assert "result" in exchange(call(4, '{"text": "b"}'))
    assert [line for line in did(tmp_path) if "called" in line] == [
        'toy called echo {"text": "a"}',
        'toy called echo {"text": "b"}',
    ]


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGTERM])
def test_a_call_in_flight_is_answered_when_it_is_stopped(tmp_path, signum):
    """Attack 34: by the operator's stop, and at the end of the guard itself."""
    with raw(tmp_path) as (process, exchange):
        exchange(json.dumps(HELLO))
        process.stdin.write(call(2, '{"text": "60"}', "toy__slow") + "\n")
        process.stdin.flush()
        wait_for(lambda: any("called slow" in line for line in did(tmp_path)))
        began = time.monotonic()
        process.send_signal(signum)
        answer = _answer(process)
        assert time.monotonic() - began < 3
        assert answer["id"] == 2
        assert answer["result"]["structuredContent"]["corrigible"]["state"] == "stopped"
        if signum == signal.SIGTERM:
            assert process.wait(120) == 0
    assert json.loads((tmp_path / "diary").read_text())[-1] == ["toy.slow", "unknown"]


def test_when_the_client_goes_its_call_is_cancelled_and_the_servers_end(tmp_path):
    with raw(tmp_path) as (process, exchange):
        exchange(json.dumps(HELLO))
        process.stdin.write(call(2, '{"text": "60"}', "toy__slow") + "\n")
        process.stdin.flush()
        wait_for(lambda: any("called slow" in line for line in did(tmp_path)))
        process.stdin.close()
        assert process.wait(120) == 0
    assert json.loads((tmp_path / "diary").read_text())[-1] == ["toy.slow", "unknown"]


# -- HTTP --------------------------------------------------------------------------------------


@contextmanager
def served(tmp_path, **config: Any):
    """The proxy over HTTP; yields where it is."""
    opened = tmp_path / "opened"
    config["opened"] = str(opened)
    tokens = {TOKEN: ["main", []], OTHER: ["sub", ["main"]]}
    process = subprocess.Popen(
        command(tmp_path, tokens=tokens, **config), stderr=subprocess.PIPE, text=True
    )
    try:
        wait_for(lambda: opened.exists() and opened.read_text())
        yield opened.read_text()
    finally:
        process.terminate()
        _, printed = process.communicate(timeout=120)
        assert TOKEN not in printed


async def used(where, era, token=TOKEN):
    headers = {"Authorization": f"Bearer {token}"}
    transport = None
    url = where
    if where.startswith("unix:"):
        transport = httpx2.AsyncHTTPTransport(uds=where.removeprefix("unix:"))
        url = "http://localhost/mcp"
    async with (
        httpx2.AsyncClient(headers=headers, transport=transport) as http,
        Client(streamable_http_client(url, http_client=http), mode=era) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        good = await client.call_tool("toy__echo", {"text": "hi"})
        return tools, good, await client.call_tool("toy__fail", {})


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("door", ["port", "unix"])
def test_a_real_client_over_http(tmp_path, era, door):
    where = {"port": 0} if door == "port" else {"unix": str(tmp_path / "guard.sock")}
    with served(tmp_path, **where) as url:
        tools, good, bad = anyio.run(used, url, era)
        if door == "unix":
            assert stat.S_IMODE((tmp_path / "guard.sock").stat().st_mode) == 0o600
    assert tools == ["toy__echo", "toy__slow"]
    assert said(good) == "toyhi"
    assert told(bad)["state"] == "denied"
    assert not (tmp_path / "guard.sock").exists()


def test_who_may_not_reach_it_does_not(tmp_path):
    """The token, the Host, the Origin, the path and the size, each by itself."""
    with served(tmp_path, port=0) as url:
        good = {
            "Authorization": f"Bearer {TOKEN}",
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        }
        body = json.dumps(HELLO)

        def status(path=url, content=body, method="POST", **headers: Any):
            changed = {k: v for k, v in {**good, **headers}.items() if v is not None}
            return httpx2.request(method, path, headers=changed, content=content).status_code

        assert status() == 200
        assert status(Authorization=None) == 401
        assert status(Authorization=f"Bearer {TOKEN}x") == 401
        assert status(Authorization=f"Bearer {TOKEN[:-1]}") == 401
        assert status(Authorization=f"Basic {TOKEN}") == 401
        assert status(path=f"{url}?token={TOKEN}", Authorization=None) == 401
        assert status(Host="evil.example") == 421
        assert status(Host="evil.example:80") == 421
        assert status(Origin="http://evil.example") == 403
        assert status(Origin="null") == 403
        assert status(path=url.replace("/mcp", "/other")) == 404
        assert status(method="PUT") == 405
        assert status(content="x" * 5_000_000) == 413
        assert status(content='{"jsonrpc": "2.0", "jsonrpc": "2.0", "id": 1}') == 400


def test_a_session_belongs_to_the_token_that_opened_it(tmp_path):
    with served(tmp_path, port=0) as url:

        def post(token, **headers: Any):
            return httpx2.post(
                url,
                content=json.dumps(HELLO),
                headers={
                    "Authorization": f"Bearer {token}",
                    "Accept": "application/json, text/event-stream",
                    "Content-Type": "application/json",
                    **headers,
                },
            )

        session = post(TOKEN).headers["mcp-session-id"]
        listing = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
        answers = [
            httpx2.post(
                url,
                content=listing,
                headers={
                    "Authorization": f"Bearer {token}",
                    "Accept": "application/json, text/event-stream",
                    "Content-Type": "application/json",
                    "Mcp-Session-Id": session,
                },
            ).status_code
            for token in (TOKEN, OTHER)
        ]
        assert answers == [200, 404]


def test_a_token_says_who_calls_and_goes_no_further(tmp_path):
    """Attack 24: the server behind gets its own credential, never the client's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "behind"
    log.touch()
    toy = [sys.executable, str(Path(__file__).with_name("toy_server.py")), "http", str(port)]
    behind = subprocess.Popen(toy, env={**os.environ, "TOY_LOG": str(log), "TOY_NAME": "far"})
    try:
        wait_for(lambda: _answers(port))
        for era in ERAS:
            _through(port, era)
    finally:
        behind.terminate()
        behind.wait(120)
    lines = log.read_text().splitlines()
    assert "far authorization Bearer the-guards-own-key" in lines
    assert not any(TOKEN in line for line in lines)
    assert sum("called echo" in line for line in lines) == 2


def _answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _through(port, era):
    from proxy_fakes import house  # noqa: PLC0415  (only here a house is kept)

    from corrigible.deployment.clients import Given, ServerSpec  # noqa: PLC0415

    key = Given("Authorization", "FAR_KEY", literal=False, text="Bearer ${FAR_KEY}")
    os.environ["FAR_KEY"] = "the-guards-own-key"
    url = f"http://127.0.0.1:{port}/mcp"
    far = ServerSpec(name="far", url=url, transport="http", headers=(key,))
    with house([far]) as kept:
        assert kept.hub.backs["far"].problem is None
        kept.fresh(go={"far.echo"})
        assert not kept.call(era, "far__echo", {"text": "x"}).is_error


def test_a_short_token_is_none():
    with pytest.raises(ValueError, match="16 characters"):
        Access({"short": Caller()}, frozenset({"localhost"}))
    with pytest.raises(ValueError, match="needs a token"):
        Access({}, frozenset({"localhost"}))
