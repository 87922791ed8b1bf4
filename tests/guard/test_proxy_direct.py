"""Calls that are served past the library's layers: as strictly as it serves them, and no others."""

from typing import Any

import anyio
import mcp_types
import pytest
from mcp.shared.message import SessionMessage
from proxy_fakes import house, toy_spec

from corrigible.guard.proxy.direct import Direct

pytestmark = pytest.mark.slow  # a server is started

VERSION = "2026-07-28"
ENVELOPE = {
    mcp_types.PROTOCOL_VERSION_META_KEY: VERSION,
    mcp_types.CLIENT_INFO_META_KEY: {"name": "test", "version": "1"},
    mcp_types.CLIENT_CAPABILITIES_META_KEY: {},
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    log = tmp_path_factory.mktemp("direct") / "log"
    log.write_text("")
    with house([toy_spec("toy", log)], log) as house_:
        yield house_


class Wire:
    """A client that writes messages as it likes."""

    def __init__(self, send, receive) -> None:
        self.send, self.receive = send, receive

    async def say(self, **fields: Any):
        adapter = mcp_types.jsonrpc_message_adapter
        message = adapter.validate_python({"jsonrpc": "2.0", **fields}, by_name=False)
        await self.send.send(SessionMessage(message))

    async def hear(self):
        with anyio.fail_after(5):
            item = await self.receive.receive()
        return item.message.model_dump(by_alias=True, exclude_unset=True)

    async def silence(self, seconds=0.3):
        with anyio.move_on_after(seconds):
            return (await self.receive.receive()).message
        return None

    async def call(self, id_, tool="toy__echo", *, meta=ENVELOPE, **arguments: Any):
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        await self.say(id=id_, method="tools/call", params=params)


def speaking(kept, work, *, first=True):
    """Run `work(wire)` against the front over streams; `first`: in the 2026 era."""

    async def served():
        send, read = anyio.create_memory_object_stream(10)
        write, receive = anyio.create_memory_object_stream(10)
        options = kept.front.create_initialization_options()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kept.front.run, read, write, options)
            wire = Wire(send, receive)
            if first:
                await wire.say(id=0, method="server/discover", params={"_meta": ENVELOPE})
                assert "result" in await wire.hear()
            await work(wire)
            tasks.cancel_scope.cancel()

    kept.run(served)


@pytest.fixture
def calls(monkeypatch):
    """How many calls went past the library."""
    found = []
    serve = Direct._serve

    async def _counted(self, request, *others: Any):
        found.append(request.request_id)
        await serve(self, request, *others)

    monkeypatch.setattr(Direct, "_serve", _counted)
    return found


def test_a_call_of_the_2026_era_is_answered_as_the_library_answers(kept, calls):
    kept.fresh(go={"toy.echo"})

    async def work(wire):
        await wire.call("a", text="hello")
        answer = await wire.hear()
        assert answer["id"] == "a"
        result = answer["result"]
        assert result["resultType"] == "complete"
        assert result["_meta"][mcp_types.SERVER_INFO_META_KEY]["name"] == "corrigible"
        assert "".join(block["text"] for block in result["content"]) == "toyhello"

    speaking(kept, work)
    assert calls == ["a"]
    assert kept.gate.last() == ("toy.echo", "completed")


def test_a_denied_call_is_a_result_that_says_so(kept, calls):
    kept.fresh(go=set())

    async def work(wire):
        await wire.call(1)
        result = (await wire.hear())["result"]
        assert result["isError"] is True
        assert result["structuredContent"]["corrigible"]["state"] == "denied"

    speaking(kept, work)
    assert calls == [1]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"name": "toy__echo", "arguments": {}, "_meta": {}}, mcp_types.INVALID_PARAMS),
        ({"name": "toy__echo", "arguments": {}}, mcp_types.INVALID_PARAMS),
        ({"name": 5, "arguments": {}, "_meta": ENVELOPE}, mcp_types.INVALID_PARAMS),
        ({"arguments": {}, "_meta": ENVELOPE}, mcp_types.INVALID_PARAMS),
        ({"name": "toy__echo", "arguments": [], "_meta": ENVELOPE}, mcp_types.INVALID_PARAMS),
        (
            {"name": "toy__echo", "_meta": {**ENVELOPE, next(iter(ENVELOPE)): "2031-01-01"}},
            mcp_types.UNSUPPORTED_PROTOCOL_VERSION,
        ),
    ],
)
def test_what_is_not_in_order_is_the_librarys_to_refuse(kept, calls, params, code):
    kept.fresh(go={"toy.echo"})

    async def work(wire):
        await wire.call(1)  # a version that was accepted once speaks for no other
        assert "result" in await wire.hear()
        await wire.say(id=2, method="tools/call", params=params)
        assert (await wire.hear())["error"]["code"] == code

    speaking(kept, work)
    assert calls == [1]


def test_no_call_is_taken_before_the_era_is_known_or_in_the_other_one(kept, calls):
    kept.fresh(go={"toy.echo"})

    async def enveloped_first(wire):
        await wire.call(1)
        assert "result" in await wire.hear()
        assert calls == []  # the first request decides the era: the library's
        await wire.call(2)
        assert "result" in await wire.hear()
        assert calls == [2]

    async def no_handshake(wire):
        await wire.say(id=1, method="tools/call", params={"name": "toy__echo", "arguments": {}})
        assert "error" in await wire.hear()
        await wire.call(2)
        assert (await wire.hear())["error"]["code"] == mcp_types.INVALID_REQUEST

    speaking(kept, enveloped_first, first=False)
    calls.clear()
    speaking(kept, no_handshake, first=False)
    assert calls == []


def test_a_cancelled_call_is_cancelled_behind_and_never_answered(kept):
    kept.fresh(go={"toy.slow", "toy.echo"})

    async def work(wire):
        await wire.call(7, "toy__slow")
        with anyio.fail_after(5):
            while not any("slow" in line for line in kept.did()):  # noqa: ASYNC110  (a log)
                await anyio.sleep(0.01)
        await wire.say(method="notifications/cancelled", params={"requestId": 7, "_meta": {}})
        assert await wire.silence() is None
        with anyio.fail_after(5):
            while "toy slow cancelled" not in kept.did():  # noqa: ASYNC110  (a log)
                await anyio.sleep(0.01)
        await wire.call(8, text="after")
        assert (await wire.hear())["id"] == 8

    speaking(kept, work)


def test_an_equal_call_right_after_a_cancelled_one_is_decided_after_its_end(kept):
    """Both may come in one piece: else the second is decided before the first has ended."""
    kept.fresh(go={"toy.slow"})
    ended = []
    inner = kept.gate.admit_async

    async def admit(call):
        ended.append(len(kept.gate.ended))
        return await inner(call)

    def message(**fields: Any):
        value = {"jsonrpc": "2.0", **fields}
        return mcp_types.jsonrpc_message_adapter.validate_python(value, by_name=False)

    async def taken():
        write, receive = anyio.create_memory_object_stream(10)
        params = {"name": "toy__slow", "arguments": {}, "_meta": ENVELOPE}
        async with anyio.create_task_group() as tasks:
            direct = Direct(kept.front.calls, write, tasks, stamp=dict)
            direct.take(message(id=0, method="server/discover", params={"_meta": ENVELOPE}))
            assert direct.take(message(id=1, method="tools/call", params=params))
            with anyio.fail_after(5):
                while not kept.did():  # noqa: ASYNC110  (a log)
                    await anyio.sleep(0.01)
            kept.gate.go = set()
            told = {"requestId": 1, "_meta": {}}
            assert direct.take(message(method="notifications/cancelled", params=told))
            assert direct.take(message(id=2, method="tools/call", params=params))
            with anyio.fail_after(5):
                assert (await receive.receive()).message.id == 2
            tasks.cancel_scope.cancel()

    kept.gate.admit_async = admit
    kept.run(taken)
    del kept.gate.admit_async
    assert ended == [0, 1]
    assert kept.gate.last() == ("toy.slow", "unknown")


def test_progress_is_told_only_to_who_asked_for_it_and_before_the_answer(kept):
    kept.fresh(go={"toy.progress"})

    async def work(wire):
        await wire.call(1, "toy__progress", meta={**ENVELOPE, "progressToken": "t"})
        heard = [await wire.hear()]
        while "id" not in heard[-1]:
            heard.append(await wire.hear())
        notes = [one["params"] for one in heard[:-1]]
        assert notes
        assert {note["progressToken"] for note in notes} == {"t"}
        assert [note["progress"] for note in notes] == sorted(note["progress"] for note in notes)
        await wire.call(2, "toy__progress")
        assert (await wire.hear())["id"] == 2

    speaking(kept, work)


def test_a_handler_that_breaks_answers_without_saying_how(kept, monkeypatch):
    kept.fresh(go={"toy.echo"})

    async def broken(_ctx, _params):
        raise RuntimeError("a secret")

    async def not_a_result(_ctx, _params):
        return {"content": 5}

    async def work(wire):
        for id_, handler in enumerate((broken, not_a_result)):
            monkeypatch.setattr(kept.front.calls, "call", handler)
            await wire.call(id_)
            error = (await wire.hear())["error"]
            assert error["code"] == mcp_types.INTERNAL_ERROR
            assert "secret" not in error["message"]

    speaking(kept, work)
