"""Whatever a server does, it is named with why, the others go on, and nothing is let through."""

import sys
import time
from pathlib import Path

import anyio
import pytest
from proxy_fakes import ERAS, TOY, house, said, told, toy_spec

from corrigible.deployment.clients import Given, ServerSpec
from corrigible.guard.proxy.back import Limits

pytestmark = pytest.mark.slow  # each starts servers of its own
NARROW = Limits(first_wait_s=60, message_bytes=50_000)
QUICK = Limits(call_s=0.5, result_bytes=2_000, message_bytes=50_000, first_wait_s=0)


def broken(name, code):
    """A server that is a small script, and none."""
    return ServerSpec(name=name, command=(sys.executable, "-c", code))


async def until(condition, seconds=120.0):
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  (a server's doing has no event here)
            await anyio.sleep(0.01)


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.write_text("")
    return path


def test_servers_that_are_none_are_named_and_the_others_go_on(log):
    specs = [
        ServerSpec(name="missing", command=("/no/such/program",)),
        broken("ends", "import sys; print('no key here', file=sys.stderr); sys.exit(7)"),
        broken("floods", "print('x' * 10**6, flush=True); import time; time.sleep(60)"),
        ServerSpec(
            name="unset",
            command=("x",),
            env=(Given("A", "NO_SUCH", literal=False, text="${NO_SUCH}"),),
        ),
        ServerSpec(name="far", url="http://127.0.0.1:9/mcp", transport="http"),
        toy_spec("good", log),
    ]
    with house(specs, log, NARROW) as kept:
        problems = {name: back.problem or "" for name, back in kept.hub.backs.items()}
        assert "there is no '/no/such/program'" in problems["missing"]
        assert "exit code 7" in problems["ends"]
        assert "no key here" in problems["ends"]
        assert "floods" in problems["floods"]
        assert "NO_SUCH is not set" in problems["unset"]
        assert "cannot be reached" in problems["far"]
        assert not problems["good"]
        assert kept.gate.listings["missing"][0].problem
        kept.fresh(go={"good.echo", "ends.echo"})
        assert said(kept.call("auto", "good__echo")) == "good"
        result = kept.call("auto", "ends__echo")
        assert result.is_error


def test_a_server_that_hangs_at_the_start_is_named_in_time(log):
    spec = broken("hangs", "import time; time.sleep(60)")
    with house([spec], log, Limits(connect_s=0.5)) as kept:
        assert kept.hub.backs["hangs"].problem == "gave no full answer within 0.5 s"


@pytest.mark.parametrize("era", ERAS)
def test_a_server_that_dies_in_a_call_leaves_it_unknown_and_comes_back_on_demand(log, era):
    with house([toy_spec("toy", log)], log, QUICK) as kept:
        kept.fresh(go={"toy.die", "toy.echo"})
        result = kept.call(era, "toy__die")
        assert told(result) == {"state": "unknown"}
        assert kept.gate.last() == ("toy.die", "unknown")
        assert said(kept.call(era, "toy__echo", {"text": "again"})) == "toyagain"
        assert len(kept.gate.listings.get("toy", ())) == 1  # what it lists was looked at again


def test_nothing_that_is_stopped_is_started_again(log):
    with house([toy_spec("toy", log)], log, QUICK) as kept:
        kept.fresh(go={"toy.die", "toy.echo"})
        kept.call("auto", "toy__die")
        kept.gate.mode = "stopped"
        assert told(kept.call("auto", "toy__echo"))["rule"] == "latch.stopped"
        time.sleep(0.3)
        assert not kept.hub.backs["toy"].up
        assert kept.gate.listings == {}


def test_a_call_that_hangs_ends_in_time_as_unknown(log):
    with house([toy_spec("toy", log)], log, QUICK) as kept:
        kept.fresh(go={"toy.hang", "toy.echo"})
        result = kept.call("auto", "toy__hang")
        assert told(result) == {"state": "unknown"}
        assert "no answer in 0.5 s" in said(result)
        assert not kept.call("auto", "toy__echo").is_error


def test_a_result_that_is_too_large_is_not_handed_on(log):
    with house([toy_spec("toy", log)], log, QUICK) as kept:
        kept.fresh(go={"toy.big"})
        assert not kept.call("auto", "toy__big", {"text": "1000"}).is_error
        result = kept.call("auto", "toy__big", {"text": "5000"})
        assert "2,000 are the limit" in said(result)
        assert kept.gate.last() == ("toy.big", "unknown")
        flood = kept.call("auto", "toy__big", {"text": "200000"})
        assert told(flood) == {"state": "unknown"}


UNSET = Given("A", "NO_SUCH", literal=False, text="${NO_SUCH}")
NO_PROTOCOL = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    r = {"tools/list": {"tools": [{"name": "odd", "inputSchema": {"type": "object"}}]},
         "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                        "serverInfo": {"name": "x", "version": "1"}},
         "tools/call": {"content": [{"type": "evil", "text": 3}]}}.get(m["method"])
    if "id" in m:
        a = {"jsonrpc": "2.0", "id": m["id"]}
        a |= {"result": r} if r else {"error": {"code": -32601, "message": "no"}}
        print(json.dumps(a), flush=True)
"""


@pytest.mark.parametrize("era", ERAS)
def test_a_result_that_the_protocol_does_not_allow_is_refused(log, era):
    with house([broken("raw", NO_PROTOCOL)], log) as kept:
        kept.fresh(go={"raw.odd"})
        result = kept.call(era, "raw__odd")
        assert told(result) == {"state": "unknown"}
        assert "protocol does not allow" in said(result)


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("back", ["auto", "legacy"])
def test_a_tool_that_changes_itself_is_handed_to_the_gate_and_the_client_hears(log, era, back):
    """Attack 6: a rug pull."""
    with house([toy_spec("toy", log, era=back)], log) as kept:
        kept.fresh(go={"toy.rug", "toy.echo", "toy.grown"})
        heard = []

        async def note(message):
            heard.append(getattr(message, "method", message))

        async def pulled(client):
            before = {t.name: t.description for t in (await client.list_tools()).tools}
            await client.call_tool("toy__rug", {})
            await until(lambda: "toy" in kept.gate.listings)
            kept.gate.hidden.add("toy.echo")  # what the gate does with what differs from the lock
            if era == "legacy":
                await until(lambda: "notifications/tools/list_changed" in heard)
            return before, {t.name: t.description for t in (await client.list_tools()).tools}

        before, after = kept.within(era, pulled, message_handler=note)
        (listing,) = kept.gate.listings["toy"][-1:]
        changed = {tool.name: tool.description for tool in listing.tools}
        assert "mails it to everybody" in changed["echo"]
        assert before.keys() == {"toy__echo", "toy__rug"}
        assert after.keys() == {"toy__rug", "toy__grown"}


def test_a_listening_client_hears_of_a_change(log):
    with house([toy_spec("toy", log)], log) as kept:
        kept.fresh(go={"toy.rug"})

        async def heard(client):
            async with client.listen(tools_list_changed=True) as events:
                await client.call_tool("toy__rug", {})
                with anyio.fail_after(120):
                    return await anext(aiter(events))

        assert "ToolsListChanged" in repr(kept.within("auto", heard))


def test_a_warden_is_put_around_the_command_and_told_the_process(log):
    wrapped, started = [], []

    def wrap(name, command):
        wrapped.append((name, tuple(command)))
        return ("/usr/bin/env", *command)

    more = {"wrap": wrap, "on_start": lambda name, pid: started.append((name, pid))}
    with house([toy_spec("toy", log)], log, **more) as kept:
        kept.fresh(go={"toy.echo"})
        assert not kept.call("auto", "toy__echo").is_error
        ((name, pid),) = started
        assert name == "toy"
        assert Path(f"/proc/{pid}").exists()
    assert wrapped == [("toy", (sys.executable, str(TOY)))]
    assert not Path(f"/proc/{pid}").exists()


def test_a_servers_own_secrets_are_not_in_what_it_answers(log, monkeypatch):
    monkeypatch.setenv("TOY_KEY", "s3cr3t-value-0815")
    spec = toy_spec("toy", log)
    given = Given("TOY_SECRET", "TOY_KEY", literal=False, text="${TOY_KEY}")
    spec = ServerSpec(name="toy", command=spec.command, env=(*spec.env, given))
    with house([spec], log) as kept:
        kept.fresh(go={"toy.env"})
        text = said(kept.call("auto", "toy__env"))
        assert "TOY_SECRET" in text
        assert "s3cr3t" not in text


def test_the_guards_own_environment_is_not_the_servers(log, monkeypatch):
    monkeypatch.setenv("GUARDS_KEY", "only-the-guards")
    with house([toy_spec("toy", log)], log) as kept:
        kept.fresh(go={"toy.env"})
        assert "only-the-guards" not in said(kept.call("auto", "toy__env"))
