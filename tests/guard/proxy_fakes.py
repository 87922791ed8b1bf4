"""A small gate, and a house: the proxy with toy servers behind it, kept over several tests."""

import secrets
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
from anyio.from_thread import start_blocking_portal
from mcp import Client

from corrigible.deployment.clients import Given, ServerSpec
from corrigible.errors import DeniedError, WithheldError
from corrigible.guard.call import Decision
from corrigible.guard.proxy.back import Back, Limits
from corrigible.guard.proxy.front import Front
from corrigible.guard.proxy.hub import Hub

TOY = Path(__file__).with_name("toy_server.py")
ERAS = ("legacy", "auto")


class FakeGate:
    """Lets through what `go` names, as `server.tool`; all else is denied.  It keeps a diary."""

    def __init__(self, go=(), hidden=()) -> None:
        self.go, self.hidden, self.waiting = set(go), set(hidden), {}
        self.admitted, self.ended, self.listings = [], [], {}
        self.mode, self.withhold, self.late = "run", False, False
        self.cancels = {}
        self.latch = SimpleNamespace(state=lambda: SimpleNamespace(on=lambda *_: self.mode))

    async def admit_async(self, call):
        await anyio.lowlevel.checkpoint()
        id_ = secrets.token_hex(4)
        state, pending, rule = "denied", "", "default"
        if self.mode == "stopped":
            rule = "latch.stopped"
        elif call.name in self.waiting:
            pending, state = self.waiting[call.name], "pending"
        elif call.name in self.go:
            state = "go"
        verdict = {"go": "allow", "denied": "deny", "pending": "approve"}[state]
        decision = Decision(verdict, rule, f"{call.name} is not known", lifts="a rule")
        message = f"{state} by {rule}: {call.name}"
        if pending:
            message = f"pending, {pending}: ask your operator: corrigible approve {pending}"
        self.admitted.append((call.name, state, dict(call.arguments), call.caller))
        return SimpleNamespace(
            id=id_, call=call, decision=decision, state=state, pending=pending, message=message
        )

    def dispatch(self, admission, cancel):
        if self.late:
            raise DeniedError(f"{admission.call.name} was not dispatched: stopped")
        self.cancels[admission.id] = cancel

    def release(self, admission, state, result):
        self.cancels.pop(admission.id, None)
        self.ended.append((admission.call.name, state, result))
        if self.withhold:
            raise WithheldError(f"the result of {admission.call.name} is withheld")

    def listed(self, listing):
        self.listings.setdefault(listing.server, []).append(listing)

    def shows(self, server, tool):
        name = f"{server}.{tool}"
        return name in self.go | set(self.waiting) and name not in self.hidden

    def stop(self):
        self.mode = "stopped"
        for cancel in list(self.cancels.values()):
            cancel()

    def last(self):
        return self.ended[-1][:2]

    def tried(self, name):
        return [state for tried, state, *_ in self.admitted if tried == name]


def toy_spec(name, log=None, era="auto", **env: str):
    """A toy server under a name; `env` goes to it."""
    given = {"TOY_NAME": name, "TOY_ERA": era, **env} | ({"TOY_LOG": str(log)} if log else {})
    texts = tuple(Given(key, key, literal=True, text=value) for key, value in given.items())
    return ServerSpec(name=name, command=(sys.executable, str(TOY)), env=texts)


class House:
    """The proxy in a thread of its own; `run` runs an async function there."""

    def __init__(self, portal, gate, front, log) -> None:
        self.portal, self.gate, self.hub, self.front = portal, gate, front.hub, front
        self.log = log

    def run(self, function, *args: Any):
        return self.portal.call(function, *args)

    def fresh(self, **more: Any):
        """Let the gate forget all; only what `more` says goes."""
        self.gate.__init__(**more)
        if self.log:
            self.log.write_text("")

    def did(self):
        return self.log.read_text().splitlines()

    def client(self, era, **more: Any):
        return Client(self.front, mode=era, cache=None, **more)

    def call(self, era, name, arguments=None, **more: Any):
        """Call a tool once, as a fresh client."""

        async def calling():
            async with self.client(era, **more) as client:
                return await client.call_tool(name, arguments or {})

        return self.run(calling)

    def within(self, era, work, **more: Any):
        """Run `work(client)` with a fresh client."""

        async def working():
            async with self.client(era, **more) as client:
                return await work(client)

        return self.run(working)


@contextmanager
def house(specs, log=None, limits=None, gate=None, **more: Any):
    """Keep the proxy with these servers behind it while the block is open."""
    with start_blocking_portal() as portal:
        gate = FakeGate() if gate is None else gate
        backs = [Back(spec, limits=limits or Limits(), **more) for spec in specs]

        async def build():
            hub = Hub(gate, backs)
            return hub, Front(hub)

        hub, front = portal.call(build)
        ended = portal.start_task_soon(_kept, hub)
        try:
            portal.call(_settled, hub)
            yield House(portal, gate, front, log)
        finally:
            ended.cancel()


async def _kept(hub):
    await hub.run()


async def _settled(hub):
    for back in hub.backs.values():
        await back.settled()


def told(result):
    """What a result says of the guard's decision."""
    return (result.structured_content or {}).get("corrigible", {})


def said(result):
    return "".join(getattr(block, "text", "") for block in result.content)
