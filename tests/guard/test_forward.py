"""The proxy lets through what the list names, to the address that was looked at, and no more."""

import asyncio
import ipaddress
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corrigible.errors import GuardError
from corrigible.guard import forward
from corrigible.guard.forward import Allowed, ForwardProxy, canonical_host

LOCAL = "127.0.0.1"


class Far:
    """A server that remembers what it was sent, and answers."""

    def __init__(self) -> None:
        self.got = b""
        self.port = 0
        self.silent = False

    async def serve(self, reader, writer):
        try:
            while chunk := await reader.read(4096):
                self.got += chunk
                if not self.silent:
                    writer.write(b"pong")
                    await writer.drain()
                if self.got.startswith(b"GET") or self.got.startswith(b"POST"):
                    break
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def setting(tmp_path, entry, *, resolve=None, head_s=10.0, idle_s=900.0):
    """A far server, a proxy that resolves every name to it, and what the proxy reported."""
    far, reports, resolved = Far(), [], []
    server = await asyncio.start_server(far.serve, LOCAL, 0)
    far.port = server.sockets[0].getsockname()[1]

    async def system(host, _port):
        resolved.append(host)
        return (LOCAL,)

    allowed = [Allowed(*(part(far) if callable(part) else part for part in entry))]
    path = tmp_path / "p"
    proxy = ForwardProxy(
        allowed, reports.append, resolve=resolve or system, head_s=head_s, idle_s=idle_s
    )
    async with server, proxy.serving(path):
        yield far, proxy, path, reports, resolved
        await proxy.close()


def port_of(far):
    return far.port


OURS = ("model.example", port_of, True)


async def say(path, text, *, more=b"", most=65536):
    """Send bytes to the proxy and return all that comes back."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(text if isinstance(text, bytes) else text.encode())
        if more:
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            writer.write(more)
            await writer.drain()
            return await reader.read(most)
        async with asyncio.timeout(120):
            return await reader.read(-1)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def connect(host, port):
    return f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"


def run(work):
    return asyncio.run(work)


def test_a_listed_host_is_reached_and_reported(tmp_path):
    async def work():
        async with setting(tmp_path, OURS) as (far, proxy, path, reports, resolved):
            assert await say(path, connect("model.example", far.port), more=b"ping") == b"pong"
            assert far.got == b"ping"
            await proxy.close()
            (report,) = reports
            assert (report.host, report.port, report.allowed) == ("model.example", far.port, True)
            assert (report.address, report.sent, report.received) == (LOCAL, 4, 4)
            assert resolved == ["model.example"]  # once: the address that was looked at is used

    run(work())


@pytest.mark.parametrize("host", ["MODEL.example", "model.example.", "Model.Example."])
def test_another_spelling_of_a_listed_name_is_the_same(tmp_path, host):
    async def work():
        async with setting(tmp_path, OURS) as (far, _, path, *_rest):
            assert await say(path, connect(host, far.port), more=b"ping") == b"pong"

    run(work())


@pytest.mark.parametrize("host", [
    "other.example", "evil-model.example", "a.model.example", "model.example.evil.com",
    "xmodel.example", "m\u043edel.example", "model.examp1e", LOCAL, "localhost", "[::1]",
    "[::ffff:127.0.0.1]", "169.254.169.254",
])  # fmt: skip
def test_what_is_not_listed_is_refused_unresolved(tmp_path, host):
    """Also numeric addresses; asking for a name would itself tell somebody something."""

    async def work():
        async with setting(tmp_path, OURS) as (far, _, path, reports, resolved):
            answer = await say(path, connect(host, far.port))
            assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 400"))
            assert [report.allowed for report in reports] == [False]
            assert (far.got, resolved) == (b"", [])

    run(work())


@pytest.mark.parametrize("port", [1, 80, 65535])
def test_another_port_of_a_listed_host_is_refused(tmp_path, port):
    async def work():
        async with setting(tmp_path, OURS) as (_, _, path, *_rest):
            assert b" 403 " in await say(path, connect("model.example", port))

    run(work())


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0",  # noqa: S104  (nobody listens there: it must be refused)
    "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1",
    "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::1",
])  # fmt: skip
def test_a_name_that_leads_inwards_is_refused(tmp_path, address):
    """A name's owner chooses its address: it must not be one of ours."""

    async def resolve(_host, _port):
        return [address]

    async def work():
        entry = ("model.example", port_of)
        async with setting(tmp_path, entry, resolve=resolve) as (far, _, path, reports, _resolved):
            answer = await say(path, connect("model.example", far.port))
            assert b" 403 " in answer
            assert b"no public address" in answer
            assert not reports[0].allowed

    run(work())


def test_public_addresses_are_public():
    """The other side of the test above."""
    for text in ("1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"):
        assert forward._is_public(ipaddress.ip_address(text))


def test_an_inward_address_is_reached_where_the_list_says_so(tmp_path):
    async def work():
        async with setting(tmp_path, (LOCAL, port_of)) as (far, _, path, *_rest):
            assert await say(path, connect(LOCAL, far.port), more=b"ping") == b"pong"

    run(work())


def test_a_plain_request_is_sent_on_as_one_to_its_host(tmp_path):
    """The host is the one that was looked at, whatever a header says."""

    async def work():
        async with setting(tmp_path, OURS) as (far, _, path, *_rest):
            head = (
                f"POST http://model.example:{far.port}/v1?x=1 HTTP/1.1\r\nHost: evil.example\r\n"
                "Proxy-Authorization: secret\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
                "X-Kept: 2\r\nContent-Length: 4\r\n\r\nbody"
            )
            assert await say(path, head + "GET http://evil.example/ HTTP/1.1\r\n\r\n") == b"pong"
            lines = far.got.decode().split("\r\n")
            assert lines[0] == "POST /v1?x=1 HTTP/1.1"
            assert f"Host: model.example:{far.port}" in lines
            assert {"X-Kept: 2", "Connection: close"} <= set(lines)
            for word in ("evil", "Proxy", "X-Hop"):
                assert word not in far.got.decode()
            assert far.got.endswith(b"\r\n\r\nbody")

    run(work())


AT = "http://model.example/ HTTP/1.1"
BAD = {
    "a body of unknown length": f"POST {AT}\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": f"POST {AT}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a negative length": "POST http://model.example/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a user in front": "GET http://model.example@evil.example/ HTTP/1.1\r\n\r\n",
    "a user before CONNECT": "CONNECT x@model.example:80 HTTP/1.1\r\n\r\n",
    "another scheme": "GET ftp://model.example/ HTTP/1.1\r\n\r\n",
    "no host": "GET / HTTP/1.1\r\nHost: model.example\r\n\r\n",
    "no port": "CONNECT model.example HTTP/1.1\r\n\r\n",
    "port 0": "CONNECT model.example:0 HTTP/1.1\r\n\r\n",
    "a port too high": "CONNECT model.example:65536 HTTP/1.1\r\n\r\n",
    "no request": "\x16\x03\x01\x02\x00\r\n\r\n",
    "a folded header": "CONNECT model.example:80 HTTP/1.1\r\nA: b\r\n c: d\r\n\r\n",
    "a bare newline": "CONNECT model.example:80 HTTP/1.1\nA: b\r\n\r\n",
    "a space before the colon": "GET http://model.example/ HTTP/1.1\r\nContent-Length : 3\r\n\r\n",
    "a number as a name": "CONNECT 0x7f000001:80 HTTP/1.1\r\n\r\n",
    "half an address": "CONNECT 127.1:80 HTTP/1.1\r\n\r\n",
    "an encoded name": "CONNECT model%2eexample:80 HTTP/1.1\r\n\r\n",
    "a head too long": "GET http://model.example/ HTTP/1.1\r\nA: " + "b" * 20_000 + "\r\n\r\n",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_clear_request_is_refused(tmp_path, text):
    async def work():
        async with setting(tmp_path, ("model.example", 80, True)) as (far, _, path, reports, _r):
            answer = await say(path, text)
            assert answer == b"" or answer.split()[1] in {b"400", b"411", b"431"}
            assert [report.allowed for report in reports] == [False]
            assert far.got == b""

    run(work())


def test_a_head_that_never_ends_is_cut_off(tmp_path):
    async def work():
        async with setting(tmp_path, OURS, head_s=0.05) as (_, _, path, reports, _r):
            assert b" 408 " in await say(path, "CONNECT model")
            assert not reports[0].allowed

    run(work())


def test_a_connection_that_says_nothing_is_cut_off(tmp_path):
    async def work():
        async with setting(tmp_path, OURS, idle_s=0.05) as (far, _, path, *_rest):
            assert (await say(path, connect("model.example", far.port))).startswith(b"HTTP/1.1 200")

    run(work())


@pytest.mark.parametrize("from_a_thread", [False, True])
def test_a_stop_closes_all_that_is_open_and_lets_none_in(tmp_path, from_a_thread):
    async def work():
        async with setting(tmp_path, OURS) as (far, proxy, path, reports, _r):
            far.silent = True
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(connect("model.example", far.port).encode())
            await reader.readuntil(b"\r\n\r\n")
            if from_a_thread:
                await asyncio.to_thread(proxy.close_soon)
            else:
                await proxy.close()
            async with asyncio.timeout(120):
                with suppress(ConnectionError):
                    assert await reader.read() == b""
            writer.close()
            assert await say(path, connect("model.example", far.port)) == b""
            assert len(reports) == 1
            proxy.open_again()
            far.silent = False
            assert await say(path, connect("model.example", far.port), more=b"ping") == b"pong"

    run(work())


def test_the_socket_is_its_users_alone(tmp_path):
    async def work():
        async with setting(tmp_path, OURS) as (_, _, path, *_rest):
            assert path.stat().st_mode & 0o777 == 0o600
        assert not path.exists()

    run(work())


def test_a_host_that_is_down_is_reported(tmp_path):
    async def work():
        async with setting(tmp_path, (LOCAL, 1)) as (_, _, path, reports, _r):
            assert b" 502 " in await say(path, connect(LOCAL, 1))
            assert "ConnectionRefusedError" in reports[0].why

    run(work())


@pytest.mark.parametrize(
    "host",
    ["", "a b", "a/b", "a..b", "-a", "127.1", "0x7f.1", "1.2.3.4.5", "a\x00", "[::1", "é" * 70],
)
def test_a_list_with_no_host_is_refused(host):
    with pytest.raises(GuardError, match="neither a host's name"):
        Allowed(host, 443)


@pytest.mark.parametrize(("host", "canonical"), [
    ("API.Example.COM.", "api.example.com"), ("[::1]", "::1"), ("::FFFF:1.2.3.4", "1.2.3.4"),
    ("2001:DB8:0::1", "2001:db8::1"), ("bücher.example", "xn--bcher-kva.example"),
])  # fmt: skip
def test_a_host_has_one_spelling(host, canonical):
    assert canonical_host(host) == canonical


@given(st.text(max_size=40))
def test_canonical_hosts_stay_as_they_are(text):
    """A law: twice is as once, whatever is asked for; what has no spelling is refused."""
    try:
        once = canonical_host(text)
    except GuardError:
        return
    assert canonical_host(once) == once
