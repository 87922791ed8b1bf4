"""Processes that do what they can to outlive a stop, and a look at which of them still run."""

import secrets
import sys
import time
from pathlib import Path

_CHILD = """
import os, signal, sys, time
kind = sys.argv[1]
def rest():
    while True:
        time.sleep(0.05)
if os.fork() == 0:
    if kind in ("own session", "daemon", "all at once"):
        os.setsid()
    if kind in ("daemon", "all at once"):
        if os.fork():
            os._exit(0)
    if kind in ("deaf to SIGTERM", "all at once"):
        for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(one, signal.SIG_IGN)
    rest()
rest()
"""
KINDS = ("same group", "own session", "daemon", "deaf to SIGTERM", "all at once")
"""What the children of a server do: stay, leave the group, detach by two forks, ignore to be
asked, and the last three together."""

LEAST = 2  # processes of each kind: the server and its child


def word() -> str:
    """Return a text that only the processes of one rehearsal have in their arguments."""
    return f"corrigible-drill-{secrets.token_hex(8)}"


def command(kind: str, mark: str) -> list[str]:
    """Return the command of a server whose child is of this kind."""
    return [sys.executable, "-I", "-S", "-c", _CHILD, kind, mark]


def alive(mark: str) -> tuple[int, ...]:
    """Return the processes that bear a word, apart from any proof of the guard's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            state = (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
        except OSError:
            continue
        # The warden has the server's command behind its own, so the word alone is not enough.
        if state != "Z" and words[-2:-1] == [mark.encode()] and _CHILD.encode() in words[:5]:
            found.append(int(folder.name))
    return tuple(found)


def settled(mark: str, least: int, timeout_s: float = 60.0) -> tuple[int, ...]:
    """Wait until so many processes bear a word, and return them; fewer if they never come."""
    until = time.monotonic() + timeout_s
    while len(found := alive(mark)) < least and time.monotonic() < until:
        time.sleep(0.02)
    return found
