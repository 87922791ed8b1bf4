"""Servers whose children do what they can to outlive them, and a look at who still runs."""

import os
import secrets
import shlex
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc; needs Linux")

# In order: the same group, a session of its own, a daemon by two forks, one that ignores to be
# asked, one without its environment, one that is all of this, and one below an asyncio loop.
ODD = """
sleep $0 &
setsid sleep $0 &
(setsid sh -c 'sleep $0 & sleep $0; :' "$0" &)
sh -c 'trap "" TERM INT HUP; while :; do sleep $0; done' "$0" &
env -i PATH="$PATH" setsid sleep $0 &
(env -i PATH="$PATH" setsid sh -c 'trap "" TERM; (sleep $0 &) ; while :; do sleep $0; done' "$0" &)
{python} -I -c {loop} "$0" &
while :; do sleep 0.05; done
"""
LOOP = """
import asyncio, sys
async def main():
    child = await asyncio.create_subprocess_exec("sleep", sys.argv[1])
    await child.wait()
asyncio.run(main())
"""


def token():
    """A word that only the processes of one test have in their arguments; `sleep` takes it."""
    return str(10**9 + secrets.randbelow(10**9))


def odd_server(word):
    """The command of a server with seven kinds of odd children; each bears the word."""
    text = ODD.replace("{python}", sys.executable).replace("{loop}", shlex.quote(LOOP))
    return ["sh", "-c", text, word]


def sleeping(word):
    """The odd children that are up, as `sleep` alone."""
    sign = b"sleep\0" + word.encode()
    return [pid for pid in alive(word) if _arguments(pid).startswith(sign)]


ODD_CHILDREN = 9  # the sleeps that an odd server's children come down to


def alive(word):
    """The processes that bear a word in their arguments, apart from any proof of ours."""
    entries = Path("/proc").glob("[0-9]*")
    found = {int(entry.name) for entry in entries if word.encode() in _arguments(entry.name)}
    return sorted(found - {os.getpid()})


def _arguments(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def gone(word, seconds=60.0):
    """Whether no process bears the word any more within a time."""
    deadline = time.monotonic() + seconds
    while alive(word):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def until(true, seconds=120.0):
    """Wait for something to be so; fail where it is not in time."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.01)


def refusal_of(flags):
    """Why `unshare` may not be used here with some flags; empty: it may."""
    program = shutil.which("unshare")
    if sys.platform != "linux" or program is None:
        return "no Linux, or no `unshare` to try it with"
    done = subprocess.run(
        [program, *flags.split(), "true"], capture_output=True, text=True, check=False
    )
    return done.stderr.strip() if done.returncode else ""


def script(text):
    """A Python program from an indented text."""
    return [sys.executable, "-c", textwrap.dedent(text)]
