"""`corrigible run`: start an agent contained, with the guard as its only route (Linux).

The agent runs as another user with no right and no way to gain one, in PID, network, mount, IPC
and UTS namespaces of its own.  Its network is a loopback that leads nowhere; the ports on it
that the guard serves are all that it can reach.  It sees no process but its own, its own `/tmp`,
`/dev` and `/run`, and the rest of the files read-only; what is hidden it does not see.  It
cannot write to the operator's terminal's input, and its environment holds what is named alone.

What this is not: the kernel is shared, and is trusted; no system call is filtered.  Unix sockets
in folders that stay visible are closed to the agent by their own rights alone.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import IO

from corrigible.errors import ContainmentError
from corrigible.guard import processes
from corrigible.guard.contained import Plan, arguments
from corrigible.guard.stopping import AGENT_TREE
from corrigible.guard.trees import TreeProof, Trees, bootstrapped

NOBODY = 65534
KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "COLORTERM", "TZ")
"""The variables of the caller's environment that an agent gets too."""

LIMITS: Mapping[str, int] = MappingProxyType({"NPROC": 1024, "NOFILE": 4096, "CORE": 0})

_PATH = "/usr/local/bin:/usr/bin:/bin"
_HOME = "/tmp"  # noqa: S108  (the agent's own)
_MOST_PORT = 65535
_SAME_USER = (
    "the agent runs as the user who started it: it can read that user's files where they are "
    "not hidden; start it as root to give it a user of its own"
)
_NONE: Mapping[str, str] = MappingProxyType({})
_Stream = int | IO[bytes] | None


@dataclass(frozen=True)
class Containment:
    """What an agent is started with, and what it may see.

    Args:
        command: the agent's, found on its `PATH`.
        cwd: where it works; the one folder, with `writable`, in which it may write.  The agent's
            user needs the right to.
        name: the agent's, as calls name their caller; its tree is `agent:NAME`.
        uid, gid: who it runs as, where root starts it; never root.  Else it runs as the user who
            starts it, in a user namespace.
        hidden: files and folders that it cannot see; the state directory, the manifest, the lock.
            Hide folders rather than files: a file that is replaced comes back into view.
        visible: what it can see though it lies in a folder that it has of its own, as `/tmp`.
        sockets: port of its loopback -> unix socket of the guard.
        env: variables, beside those of `KEPT`.
        limits: by the names of `resource.RLIMIT_*`.
    """

    command: tuple[str, ...]
    cwd: Path
    name: str = "agent"
    uid: int = NOBODY
    gid: int = NOBODY
    hidden: tuple[Path, ...] = ()
    visible: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    sockets: Mapping[int, Path] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=lambda: _NONE)
    limits: Mapping[str, int] = field(default_factory=lambda: LIMITS)

    def check(self) -> tuple[str, ...]:
        """Return why this cannot be started here; empty: a trial of it has just succeeded."""
        if problems := self._problems():
            return problems
        try:
            trial = replace(self, command=(shutil.which("true") or "/bin/true",), sockets={})
            null = subprocess.DEVNULL
            trial.start(Trees(), stdin=null, stdout=null, stderr=null).wait(10)
        except (ContainmentError, subprocess.TimeoutExpired) as error:
            return (str(error),)
        return ()

    def lacks(self) -> tuple[str, ...]:
        """Return what an agent that starts so is not kept from, though root could do so."""
        if sys.platform == "linux" and os.geteuid() != 0:
            return (_SAME_USER,)
        return ()

    def start(
        self,
        trees: Trees,
        *,
        stdin: _Stream = None,
        stdout: _Stream = None,
        stderr: _Stream = None,
    ) -> "ContainedAgent":
        """Start the agent; it runs once this returns.  It ends with this process.

        Raises:
            ContainmentError: it cannot be contained, or its command cannot be started; nothing
                of it runs.
        """
        if problems := self._problems():
            raise ContainmentError("; ".join(problems))
        tree = f"{AGENT_TREE}{self.name}"
        mark = trees.expect(tree)
        plan_read, plan_write = os.pipe()
        report_read, report_write = os.pipe()
        own = processes.process(os.getpid())
        guard = f"{os.getpid()}:{own.started if own else ''}"
        command = bootstrapped("contained", *arguments(mark, guard, (plan_read, report_write)))
        try:
            front = subprocess.Popen(  # noqa: S603  (our own module)
                command,
                pass_fds=(plan_read, report_write),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env={"PATH": _PATH},
            )
        finally:
            os.close(plan_read)
            os.close(report_write)
        with suppress(BrokenPipeError), os.fdopen(plan_write, "w") as file:
            file.write(self._plan().as_json())
        with os.fdopen(report_read, "rb") as file:
            trouble = file.read().decode(errors="replace")
        agent = ContainedAgent(front, tree, trees, self.lacks())
        if trouble:
            agent.kill(0.0)
            raise ContainmentError(
                f"{self.command[0]!r} was not started: containment failed at: {trouble}"
            )
        return agent

    def _problems(self) -> tuple[str, ...]:
        """Return what is wrong with this as such, whatever the kernel allows."""
        if sys.platform != "linux":
            return (f"containment needs Linux namespaces, and the system is {sys.platform!r}",)
        found = []
        if not self.command:
            found.append("there is no command to contain")
        if os.geteuid() == 0 and 0 in {self.uid, self.gid}:
            found.append(f"the agent must not be root; uid {self.uid}, gid {self.gid} were given")
        found += [
            f"{path} is not there; what is shown or hidden must exist before"
            for path in (self.cwd, *self.hidden, *self.visible, *self.writable)
            if not path.exists()
        ]
        found += [
            f"{path} has a second name (a hard link), which would not be hidden"
            for path in self.hidden
            if path.is_file() and path.stat().st_nlink > 1
        ]
        found += [
            f"a port must be between 1 and {_MOST_PORT}, got {port}"
            for port in self.sockets
            if not 0 < port <= _MOST_PORT
        ]
        return tuple(found)

    def _plan(self) -> Plan:
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        root = os.geteuid() == 0
        return Plan(
            command=self.command,
            cwd=_real(self.cwd),
            uid=self.uid if root else None,
            gid=self.gid if root else None,
            hidden=tuple(map(_real, self.hidden)),
            visible=tuple(map(_real, self.visible)),
            writable=tuple(map(_real, self.writable)),
            sockets={port: os.fspath(path.absolute()) for port, path in self.sockets.items()},
            env={"PATH": _PATH, "HOME": _HOME} | env | dict(self.env),
            limits=dict(self.limits),
        )


class ContainedAgent:
    """An agent that runs contained.  `lacks`: what it is not kept from here."""

    def __init__(
        self, front: subprocess.Popen[bytes], tree: str, trees: Trees, lacks: tuple[str, ...]
    ) -> None:
        self._front = front
        self._trees = trees
        self.tree = tree
        self.lacks = lacks

    @property
    def pid(self) -> int:
        """The process that stands for the agent: the one above it, outside its namespaces."""
        return self._front.pid

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where to write to the agent, if it was started with a pipe there."""
        return self._front.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        """Where to read what it prints, if it was started with a pipe there."""
        return self._front.stdout

    @property
    def stderr(self) -> IO[bytes] | None:
        """Where to read its errors, if it was started with a pipe there."""
        return self._front.stderr

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for its end, and return its code: 128 and the number where a signal ended it.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        return self._front.wait(timeout_s)

    def kill(self, grace_s: float = 2.0) -> TreeProof:
        """End it and all that it started, and prove that nothing is left."""
        proof = self._trees.kill([self.tree], grace_s)[0]
        with suppress(subprocess.TimeoutExpired):
            self._front.wait(1)
        return proof


def _real(path: Path) -> str:
    return os.path.realpath(path)
