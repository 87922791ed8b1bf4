"""Calls over a server's pipe: one answer each, by the agreed version, none from who has gone."""

import json
from types import SimpleNamespace
from typing import Any

import anyio
import mcp_types
import pytest
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from corrigible.guard.proxy.pipe import Pipe
from corrigible.guard.proxy.wire import LineWriter

HANDSHAKE, MODERN = "2025-06-18", "2026-07-28"
RESULT = {"content": [{"type": "text", "text": "hello"}]}


class Server:
    """What a server was sent, and how it answers."""

    def __init__(self, version=HANDSHAKE, meta=None) -> None:
        self.sent = []
        self.pipe = Pipe(LineWriter(self._written))

        def stamp(data, _options):
            if meta is not None:
                data["params"]["_meta"] = dict(meta)

        self.pipe.agreed(SimpleNamespace(_stamp=stamp), version)
        self.notes = []

    async def _written(self, line):
        assert line.endswith(b"\n")
        self.sent.append(json.loads(line))

    async def told(self, *note: Any):
        self.notes.append(note)

    def says(self, **fields: Any):
        message = {"jsonrpc": "2.0", **fields}
        return self.pipe.take(mcp_types.jsonrpc_message_adapter.validate_python(message))

    def progress(self, token, progress, **more: Any):
        params = {"progressToken": token, "progress": progress, **more}
        return self.says(method="notifications/progress", params=params)

    def run(self, *steps: Any, seconds=5.0, progress=None):
        """Make a call, take the steps once it was sent, and return what came of it."""

        async def calling():
            async with anyio.create_task_group() as tasks:
                found = {}

                async def call():
                    try:
                        found["result"] = await self.pipe.call(
                            {"name": "echo", "arguments": {}},
                            seconds=seconds,
                            progress=progress or self.told,
                        )
                    except (MCPError, ValidationError) as error:
                        found["error"] = error

                tasks.start_soon(call)
                await anyio.wait_all_tasks_blocked()
                for step in steps:
                    step()
                    await anyio.wait_all_tasks_blocked()
                if not steps:
                    await anyio.sleep(2 * seconds)
                tasks.cancel_scope.cancel()
            return found

        return anyio.run(calling)

    @property
    def id(self):
        return self.sent[0]["id"]


def test_a_call_says_what_was_agreed_and_gets_its_result_as_it_came():
    server = Server(MODERN, {"version": MODERN})
    answer = {"resultType": "complete", **RESULT, "other": 5}
    found = server.run(lambda: server.says(id=server.id, result=answer))
    assert found == {"result": answer}
    assert server.id >= 2**30  # the library's own count from 1
    params = server.sent[0]["params"]
    assert params == {
        "name": "echo",
        "arguments": {},
        "_meta": {"version": MODERN, "progressToken": server.id},
    }


def test_a_version_without_questions_has_none():
    """Else a server of an older version could hold a call open by fields that it does not have."""
    server = Server(HANDSHAKE)
    answer = {**RESULT, "resultType": "input_required", "requestState": "s", "inputRequests": {}}
    found = server.run(lambda: server.says(id=server.id, result=answer))
    assert found == {"result": RESULT}


@pytest.mark.parametrize("result", [{"content": "text"}, {"content": [{"type": "text"}]}])
def test_an_answer_that_the_protocol_does_not_allow_is_an_error(result):
    server = Server()
    found = server.run(lambda: server.says(id=server.id, result=result))
    assert isinstance(found["error"], ValidationError)


def test_only_the_first_answer_counts_and_late_ones_reach_nobody():
    server = Server()

    def answered():
        assert server.says(id=server.id, result=RESULT)
        assert server.says(id=server.id, result={"content": []})

    assert server.run(answered) == {"result": RESULT}
    assert server.says(id=server.id, result=RESULT)  # taken, and dropped
    assert not server.says(id=1, result={})  # the library's
    assert not server.says(id="a", result={})
    assert not server.says(id=server.id + 1, result={})
    assert not server.says(method="notifications/tools/list_changed")
    assert not server.progress(server.id, 1)


def test_an_error_of_the_server_is_told():
    server = Server()
    found = server.run(
        lambda: server.says(id=server.id, error={"code": -32602, "message": "no such tool"})
    )
    assert found["error"].error.message == "no such tool"


def test_progress_comes_in_order_before_the_result_and_a_client_that_breaks_ends_nothing():
    server = Server()

    async def told(*note: Any):
        await server.told(*note)
        raise RuntimeError("the client has gone")

    def all_at_once():
        assert server.progress(server.id, 1, total=9, message="one")
        assert server.progress(server.id, 2.5, total="x", message=5)
        assert server.progress(server.id, "1")  # no number: taken, and not passed on
        assert server.says(id=server.id, result=RESULT)

    assert server.run(all_at_once, progress=told) == {"result": RESULT}
    assert server.notes == [(1.0, 9.0, "one"), (2.5, None, None)]


def test_of_a_flood_of_progress_the_last_is_kept():
    server = Server()

    def flood():
        for number in range(5000):
            server.progress(server.id, number)
        server.says(id=server.id, result=RESULT)

    assert server.run(flood) == {"result": RESULT}
    assert [note[0] for note in server.notes] == list(range(4900, 5000))


def test_when_the_server_has_gone_every_call_ends():
    server = Server()
    found = server.run(server.pipe.close)
    assert found["error"].error.code == mcp_types.CONNECTION_CLOSED
    found = server.run(lambda: None)
    assert found["error"].error.code == mcp_types.CONNECTION_CLOSED
    assert len(server.sent) == 1  # nothing more is sent


def test_a_call_without_an_answer_ends_in_time_and_is_cancelled():
    server = Server()
    found = server.run(seconds=0.05)
    assert found["error"].error.code == mcp_types.REQUEST_TIMEOUT
    assert server.sent[1]["method"] == "notifications/cancelled"
    assert server.sent[1]["params"]["requestId"] == server.id


def test_a_call_that_is_given_up_is_cancelled_behind():
    server = Server()
    assert server.run(lambda: None) == {}
    assert server.sent[1]["method"] == "notifications/cancelled"
    assert server.sent[1]["params"]["requestId"] == server.id
