"""What the proxy adds to a call over stdio, against calling the server directly and fastmcp.

    python benchmarks/guard_proxy.py [--calls 600] [--json] [--peer-python PYTHON]

One small server, one client each: directly, through our proxy with a gate that lets everything
through, through our proxy with the real gate, and through fastmcp's `create_proxy`.  Their calls
take turns, so that a busy moment hits all of them; what a proxy adds is the median of the
differences within a turn.  The peer comes with the `[bench]` extra; `--peer-python` names
another interpreter that has it.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio

WARM = 50
ERAS = {"handshake": "legacy", "2026-07-28": "auto"}


@dataclass(frozen=True)
class Row:
    """One measured case; `ratio` is the peer's over ours, None where there is no peer."""

    case: str
    value: float
    unit: str
    peer: str
    peer_value: float | None
    ratio: float | None


# -- the processes under test ------------------------------------------------------------------


async def serve_toy() -> None:
    """Serve one tool that gives back its argument."""
    import mcp_types as t  # noqa: PLC0415  (each process imports what it is made of)
    from mcp.server.lowlevel import Server  # noqa: PLC0415
    from mcp.server.stdio import stdio_server  # noqa: PLC0415

    async def tools(_ctx: Any, _params: Any) -> t.ListToolsResult:
        tool = t.Tool(name="echo", input_schema={"type": "object"})
        return t.ListToolsResult(tools=[tool], ttl_ms=0, cache_scope="private")

    async def call(_ctx: Any, params: t.CallToolRequestParams) -> t.CallToolResult:
        return t.CallToolResult(content=[t.TextContent(text=json.dumps(params.arguments))])

    server = Server("toy", on_list_tools=tools, on_call_tool=call)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


class OpenGate:
    """Lets every call through."""

    def __init__(self) -> None:
        self.latch = SimpleNamespace(state=lambda: SimpleNamespace(on=lambda *_: "run"))
        self.count = 0

    async def admit_async(self, call: Any) -> Any:
        """Let it through."""
        self.count += 1
        return SimpleNamespace(
            id=str(self.count), call=call, decision=None, state="go", pending="", message=""
        )

    def dispatch(self, admission: Any, cancel: Any) -> None:
        """Do nothing."""

    def release(self, admission: Any, state: str, result: Any) -> None:
        """Do nothing."""

    def listed(self, listing: Any) -> None:
        """Do nothing."""

    def shows(self, server: str, tool: str) -> bool:
        """Show the tool, and no other method."""
        return (server, tool) == ("toy", "echo")


async def serve_ours() -> None:
    """Serve our proxy in front of the toy."""
    from corrigible.deployment.clients import ServerSpec  # noqa: PLC0415
    from corrigible.guard.proxy.back import Back  # noqa: PLC0415
    from corrigible.guard.proxy.serve import serve_stdio  # noqa: PLC0415

    toy = ServerSpec(name="toy", command=(sys.executable, __file__, "--serve", "toy"))
    await serve_stdio(OpenGate(), [Back(toy)])


MANIFEST = """
corrigible: 1
name: toy
agent: {{kind: tool-using, goal: Say it.}}
servers: {{toy: {{command: [{python}, {script}, --serve, toy]}}}}
tools: {{toy.echo: {{verbs: [read], target: "/docs/{{text}}"}}}}
assets: {{docs: {{kind: information/data, at: {{toy: "/docs/**"}}}}}}
authority: {{allow: [read docs]}}
"""


async def serve_guarded() -> None:
    """Serve our proxy with the real gate: manifest, lock, latch and ledger."""
    from corrigible.deployment.clients import ServerSpec  # noqa: PLC0415
    from corrigible.deployment.load import load_deployment  # noqa: PLC0415
    from corrigible.deployment.lock import lock_of, lock_path, write_lock  # noqa: PLC0415
    from corrigible.deployment.servers import list_servers_async  # noqa: PLC0415
    from corrigible.guard.proxy.back import Back  # noqa: PLC0415
    from corrigible.guard.proxy.serve import serve_stdio  # noqa: PLC0415
    from corrigible.guard.session import open_session  # noqa: PLC0415
    from corrigible.guard.state import open_state  # noqa: PLC0415

    toy = ServerSpec(name="toy", command=(sys.executable, __file__, "--serve", "toy"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "deployment.yaml"
        path.write_text(MANIFEST.format(python=sys.executable, script=__file__))
        write_lock(lock_of(await list_servers_async([toy])), lock_path(path))
        with open_session(load_deployment(path), open_state(Path(folder) / "state")) as session:
            await serve_stdio(session.gate, [Back(toy, wrap=session.trees.wrap)])


def serve_fastmcp(python: str) -> None:
    """Serve fastmcp's proxy in front of the same toy."""
    from fastmcp.client.transports import StdioTransport  # noqa: PLC0415
    from fastmcp.server import create_proxy  # noqa: PLC0415

    transport = StdioTransport(command=python, args=[__file__, "--serve", "toy"], keep_alive=True)
    create_proxy(transport).run(transport="stdio", show_banner=False, log_level="CRITICAL")


# -- the measurement ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Way:
    """One way to the tool: its command, and the tool's name there."""

    name: str
    command: tuple[str, ...]
    tool: str


def peer_python(given: str | None) -> tuple[str | None, str]:
    """Return the interpreter that has the peer, and its version or why there is none."""
    python = given or sys.executable
    code = "import fastmcp; print(fastmcp.__version__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        return None, "fastmcp is not installed: it comes with the extra [bench]"
    return python, f"fastmcp {done.stdout.strip()}"


async def measured(ways: list[Way], mode: str, calls: int) -> dict[str, list[float]]:
    """Return the seconds of each call, a list a way, taken in turns."""
    from mcp import Client, StdioServerParameters  # noqa: PLC0415

    found: dict[str, list[float]] = {way.name: [] for way in ways}
    async with AsyncExitStack() as stack:
        clients = {}
        for way in ways:
            parameters = StdioServerParameters(command=way.command[0], args=list(way.command[1:]))
            client = Client(parameters, mode=mode, cache=None)
            clients[way.name] = await stack.enter_async_context(client)
            await clients[way.name].list_tools()
        for turn in range(WARM + calls):
            order = ways[turn % len(ways) :] + ways[: turn % len(ways)]
            for way in order:
                began = time.perf_counter()
                result = await clients[way.name].call_tool(way.tool, {"text": f"{turn:064}"})
                took = time.perf_counter() - began
                if result.is_error:
                    raise RuntimeError(f"{way.name} refused: {result.content}")
                if turn >= WARM:
                    found[way.name].append(took)
    return found


def added(found: dict[str, list[float]], name: str) -> float:
    """Return the median, in ms, of what a way adds to the direct call of the same turn."""
    pairs = zip(found[name], found["direct"], strict=True)
    return 1_000 * statistics.median(theirs - direct for theirs, direct in pairs)


def rows(calls: int, given: str | None) -> list[Row]:
    """Measure every era."""
    python, version = peer_python(given)
    ways = [
        Way("direct", (sys.executable, __file__, "--serve", "toy"), "echo"),
        Way("ours", (sys.executable, __file__, "--serve", "ours"), "toy__echo"),
        Way("guarded", (sys.executable, __file__, "--serve", "guarded"), "toy__echo"),
    ]
    if python is not None:
        command = (python, __file__, "--serve", "fastmcp", "--toy-python", sys.executable)
        ways.append(Way("peer", command, "echo"))
    found = []
    for era, mode in ERAS.items():
        walls = anyio.run(measured, ways, mode, calls)
        theirs = added(walls, "peer") if python is not None else None
        rounded = None if theirs is None else round(theirs, 3)
        for case, name in (("an open gate", "ours"), ("the guard", "guarded")):
            ours = added(walls, name)
            ratio = None if theirs is None else round(theirs / ours, 3)
            row = Row(f"added p50 by {case}, {era}", round(ours, 3), "ms", version, rounded, ratio)
            found.append(row)
        direct = 1_000 * statistics.median(walls["direct"])
        found.append(Row(f"direct p50, {era}", round(direct, 3), "ms", "", None, None))
    return found


def main() -> None:
    """Measure and print, or be one of the processes under test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--peer-python")
    parser.add_argument("--serve", choices=("toy", "ours", "guarded", "fastmcp"))
    parser.add_argument("--toy-python", default=sys.executable)
    options = parser.parse_args()
    if options.serve == "fastmcp":
        serve_fastmcp(options.toy_python)
    elif options.serve:
        anyio.run({"toy": serve_toy, "ours": serve_ours, "guarded": serve_guarded}[options.serve])
    else:
        found = rows(options.calls, options.peer_python)
        print(f"# {platform.processor() or platform.machine()}, Python {sys.version.split()[0]}")
        for row in found:
            print(json.dumps(asdict(row)) if options.json else f"{asdict(row)}")


if __name__ == "__main__":
    main()
