"""A deployment of real servers in a folder of its own, and its operator at the command line."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters
from proxy_fakes import said

BIN = Path(sys.executable).parent
INSTALL_S = 40


def ran(*command: object):
    """A program's exit code and all that it says."""
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


@dataclass
class Ground:
    """A deployment in a folder of its own, and its operator."""

    folder: Path

    @property
    def manifest(self):
        return self.folder / "deployment.yaml"

    @property
    def state(self):
        return self.folder / "state"

    def operator(self, *words: object):
        """What one command of the operator's says."""
        words = (BIN / "corrigible", *words, "-d", self.manifest, "--state", self.state)
        return ran(*words)[1]

    async def asked(self, *words: object):
        return await anyio.to_thread.run_sync(lambda: self.operator(*words))

    def client(self, era, *options: str):
        args = ["guard", str(self.manifest), "--state", str(self.state), *options]
        server = StdioServerParameters(command=str(BIN / "corrigible"), args=args)
        return Client(server, mode=era, cache=None)

    def reviewed(self):
        """Accept what the servers list, as a person does who has read it."""
        code, told = ran(BIN / "corrigible", "review", self.manifest, "--accept-all")
        assert not code, told


def text_of(result):
    return ("refused: " if result.is_error else "") + said(result)


def npm_install(folder, package):
    """Install a package of npm's into a folder; the test is skipped where that cannot be."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if not (npm and node):
        pytest.skip("npm and node are not installed")
    install = (npm, "install", "--prefix", folder, "--prefer-offline", "--no-audit", "--no-fund")
    try:
        done = subprocess.run(
            [*map(str, install), package], capture_output=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{package} was not installed within {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"{package} cannot be installed here: {done.stderr[-200:]!r}")
    return folder / "node_modules" / ".bin"


async def until(condition, seconds=120.0):
    """Wait for what another process does."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110  (another process's doing has no event here)
            await anyio.sleep(0.05)
