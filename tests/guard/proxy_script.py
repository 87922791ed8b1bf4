"""The proxy as a process of its own: `python proxy_script.py CONFIG.json`.

`CONFIG` holds `go`, `servers` (name -> environment of a toy, or `{"command": [...]}`), and
`port` or `unix`.  SIGUSR1 is the operator's stop.  What the gate kept goes to `diary`.
"""

import json
import logging
import signal
import sys
from pathlib import Path

import anyio
from proxy_fakes import FakeGate, toy_spec

from corrigible.deployment.clients import ServerSpec
from corrigible.guard.call import Caller
from corrigible.guard.proxy.back import Back
from corrigible.guard.proxy.serve import Port, Stdio, Unix, serve


async def main(config):
    gate = FakeGate(go=config["go"])
    signal.signal(signal.SIGUSR1, lambda *_: gate.stop())
    backs = [
        Back(ServerSpec(name=name, command=tuple(given["command"])))
        if "command" in given
        else Back(toy_spec(name, **given))
        for name, given in config["servers"].items()
    ]
    tokens = {token: Caller(*who) for token, who in config.get("tokens", {}).items()}
    door = Stdio()
    if "port" in config:
        door = Port(tokens, port=config["port"])
    elif "unix" in config:
        door = Unix(tokens, Path(config["unix"]))

    def opened(where):
        if path := config.get("opened"):
            Path(path).write_text(where)

    try:
        await serve(gate, backs, (door,), opened=opened)
    finally:
        keep(gate, config.get("diary"))


def keep(gate, path):
    if path:
        Path(path).write_text(json.dumps([one[:2] for one in gate.ended]))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    anyio.run(main, json.loads(Path(sys.argv[1]).read_text()))
