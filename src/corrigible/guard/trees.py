"""The process trees that the guard started: how each is told apart, ended, and proven empty.

A tree is started through a warden (`wrap`), which marks it, ends it with the guard and, where
the system allows, holds it in a PID namespace that nothing leaves.  `kill` ends trees and reads
`/proc` afterwards: a proof says which processes were ever seen and which are left.
"""

import hashlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from corrigible.errors import GuardError
from corrigible.guard import processes
from corrigible.guard.processes import Process

_ROOT = str(Path(__file__).parents[2])  # where this package is imported from
_BEGIN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); from corrigible.guard.{} import main; main()"
)
_NOW = signal.SIGUSR1  # as in `warden`, which is not imported here: it handles signals
_LIMIT_S = 5.0
_PAUSE_S = 0.005
_ROUNDS = 20
_LOOKS = 3
_WARDENS_S = 0.3
_OTHERS = (
    "its process group was killed; this system shows no more: what left the group, as with "
    "setsid, may still run"
)
_ADOPTED = "it was not started through a warden: what detached itself before was not seen"


def bootstrapped(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of the guard apart from any environment or folder.

    Neither `PYTHONPATH` nor a file named like a module in the folder it starts in reaches it.
    """
    return [sys.executable, "-I", "-S", "-c", _BEGIN.format(module), _ROOT, *arguments]


@dataclass(frozen=True)
class TreeProof:
    """What is known of a tree once it was killed.

    `pids`: every process ever seen in it.  `killed`: how many still ran when the grace was over.
    `empty`: a last look at the system found none of it; `left`: those that it found.
    `how` it was held: `pid namespace`, `subreaper`, `adopted`, `process group`, `never started`.
    `unproven`: what that look cannot show; empty: it shows all.
    """

    name: str
    pids: tuple[int, ...]
    killed: int
    empty: bool
    took_s: float
    left: tuple[int, ...] = ()
    how: str = ""
    unproven: str = ""

    @property
    def proven(self) -> bool:
        """Whether nothing of the tree runs any more, as far as anyone can tell."""
        return self.empty and not self.unproven


@dataclass
class _Tree:
    name: str
    tag: str  # "" where only adopted
    roots: dict[int, int] = field(default_factory=dict)  # adopted: its start
    foreign: bool = False  # a root may have let go of others before it was adopted
    seen: dict[tuple[int, int], bool] = field(default_factory=dict)  # its start: a warden
    spaces: dict[str, int] = field(default_factory=dict)  # namespaces: each is held open
    spaced: bool = False  # whether it ever had a namespace of its own
    hidden: int = 0  # processes that may not be looked at
    living: dict[int, Process] = field(default_factory=dict)
    killed: int = 0
    took_s: float | None = None

    def hold(self, keeper: Process, own: str) -> None:
        """Take note of a keeper's namespace, unless that is the guard's own."""
        if processes.pid_namespace(keeper.pid) in {own, "", *self.spaces}:
            return
        if (held := processes.hold_namespace(keeper)) is not None:
            name, handle = held
            self.spaces[name], self.spaced = handle, True

    def let_go(self, alive: set[str]) -> None:
        """Forget the namespaces in which nothing runs: nothing can begin there any more."""
        for name in set(self.spaces) - alive:
            os.close(self.spaces.pop(name))


@dataclass(frozen=True)
class _Mark:
    text: str
    warden: bool


class Trees:
    """The trees of one guard, by name.  Its `marker` is in the environment of all of them.

    Safe to use from several threads.
    """

    def __init__(self, marker: str = "", *, grace_s: float = 2.0, namespaces: bool = True) -> None:
        self.marker = marker or secrets.token_hex(16)
        self._grace_s = grace_s
        self._namespaces = namespaces
        self._trees: dict[str, _Tree] = {}
        self._lock = threading.Lock()
        self._since = _started(os.getpid())  # what is older bears no mark of ours
        self._own_namespace = processes.pid_namespace("self")

    def tag(self, name: str) -> str:
        """Return the mark of the processes of one tree."""
        return f"{self.marker}.{hashlib.sha256(name.encode()).hexdigest()[:16]}"

    def wrap(self, name: str, argv: Sequence[str]) -> list[str]:
        """Return the command that runs a server as the tree `name`, below a warden.

        The same name again adds to the same tree, as where a server is started anew.
        """
        options = ["--mark", self.tag(name), "--grace", f"{self._grace_s:g}"]
        if sys.platform == "linux":
            options += ("--guard", f"{os.getpid()}:{_started(os.getpid())}")
        if not self._namespaces:
            options.append("--no-namespace")
        self.expect(name)
        return bootstrapped("warden", *options, "--", *argv)

    def expect(self, name: str) -> str:
        """Take up a tree whose processes are known by their mark; return the mark."""
        with self._lock:
            tree = self._trees.setdefault(name, _Tree(name, ""))
            tree.tag = self.tag(name)
        return tree.tag

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a server as the tree `name`, with pipes for its streams, its errors passed on.

        Raises:
            OSError: the warden cannot be started.
        """
        started = subprocess.Popen(  # noqa: S603  (what the operator's manifest names)
            self.wrap(name, argv),
            env=dict(env) if env is not None else None,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        if sys.platform != "linux":
            self.adopt(name, started.pid)
        return started

    def adopt(self, name: str, pid: int) -> None:
        """Take a process that runs already, and its descendants, as a part of the tree `name`.

        Raises:
            GuardError: there is no such process, or it is the guard itself.
        """
        if pid in {os.getpid(), 0, 1}:
            raise GuardError(f"process {pid} cannot be adopted as {name!r}: it is not a server's")
        started = _started(pid)
        with self._lock:
            tree = self._trees.setdefault(name, _Tree(name, ""))
            tree.roots[pid] = started
            tree.foreign = True
        self.look()

    def names(self) -> tuple[str, ...]:
        """Return the names of all trees, sorted."""
        with self._lock:
            return tuple(sorted(self._trees))

    def look(self) -> None:
        """Take note of what runs in the trees now: what is seen once is known for good."""
        if sys.platform == "linux":
            with self._lock:
                self._scan(list(self._trees.values()))

    def kill(
        self, names: Iterable[str] | None = None, grace_s: float = 2.0
    ) -> tuple[TreeProof, ...]:
        """End the trees of these names (None: all), and prove each empty from `/proc`.

        Each is asked to end first and has `grace_s` seconds; then all are stopped and killed
        together, until none is left or five seconds are over.  A name that was never started
        is proven empty.  Never raises for what it meets: a proof says what is left.
        """
        with self._lock:
            wanted = sorted(set(self._trees if names is None else names))
            trees = [self._trees.get(name) or _Tree(name, "") for name in wanted]
            for tree in trees:
                tree.took_s, tree.killed = None, 0
            began = time.monotonic()
            if not trees:
                return ()
            if sys.platform != "linux":
                return tuple(_group_killed(tree, grace_s) for tree in trees)
            for look in range(_LOOKS):
                self._end(trees, began, 0.0 if look else grace_s)
                time.sleep(_PAUSE_S)
                self._scan(trees)
                again = [tree for tree in trees if tree.living]
                if not again:  # twice in a row: one that hops from number to number is found
                    break
                for tree in again:
                    tree.took_s = None
            return tuple(self._proof(tree, began) for tree in trees)

    # -- how ---------------------------------------------------------------------------------

    def _end(self, trees: list[_Tree], began: float, grace_s: float) -> None:
        """Ask, wait, tell the wardens to end at once, then stop and kill what is left."""
        left = self._left(trees, began)
        if grace_s > 0:
            for tree in left:
                _ask(tree)
            left = self._wait(left, began, grace_s)
        for tree in left:
            tree.killed = sum(not tree.seen[one.pid, one.started] for one in tree.living.values())
            for warden in _wardens(tree):
                processes.send(warden, _NOW)
        self._wait([tree for tree in left if _wardens(tree)], began, _WARDENS_S)
        deadline = time.monotonic() + _LIMIT_S
        while (left := self._left(left, began)) and time.monotonic() < deadline:
            self._freeze(left)
            for tree in left:
                for one in tree.living.values():
                    processes.send(one, signal.SIGKILL)
            time.sleep(_PAUSE_S)

    def _freeze(self, trees: list[_Tree]) -> None:
        """Stop all of some trees, so that none can fork while they are killed one by one."""
        for _ in range(_ROUNDS):
            self._scan(trees)
            fresh = [one for tree in trees for one in tree.living.values() if not one.stopped]
            if not fresh:
                return
            processes.send_groups(fresh, signal.SIGSTOP, never=())
            for one in fresh:
                processes.send(one, signal.SIGSTOP)

    def _wait(self, trees: list[_Tree], began: float, seconds: float) -> list[_Tree]:
        """Return the trees that are not empty after so many seconds."""
        deadline = time.monotonic() + seconds
        while (left := self._left(trees, began)) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        return left

    def _left(self, trees: list[_Tree], began: float) -> list[_Tree]:
        """Return the trees in which anything runs; note when each of the others was empty."""
        self._scan([tree for tree in trees if tree.took_s is None])
        for tree in trees:
            if not tree.living and tree.took_s is None:
                tree.took_s = time.monotonic() - began
        return [tree for tree in trees if tree.took_s is None]

    def _scan(self, trees: list[_Tree]) -> None:
        """Find every living process of some trees: by mark, by namespace, by descent, by memory."""
        if not trees:
            return
        living = processes.table()
        late = [one for one in living.values() if one.started >= self._since]
        marks, hidden = self._marks(late, _above(living))
        for tree in trees:
            wardens = {pid for pid, mark in marks.items() if _bears(mark, tree) and mark.warden}
            found = {pid for pid, mark in marks.items() if _bears(mark, tree)}
            for pid, started in (*tree.roots.items(), *tree.seen):
                if pid in living and living[pid].started == started:
                    found.add(pid)
            for pid in wardens:
                tree.hold(living[pid], self._own_namespace)
            if tree.spaces:
                spaces = {one.pid: processes.pid_namespace(one.pid) for one in late}
                found |= {pid for pid, space in spaces.items() if space in tree.spaces}
                tree.let_go(set(spaces.values()))
            found |= processes.below(found, living)
            tree.living = {pid: living[pid] for pid in found - {os.getpid()} if pid in living}
            tree.hidden = max(tree.hidden, hidden)
            for pid, one in tree.living.items():
                tree.seen[pid, one.started] = pid in wardens

    def _marks(self, late: list[Process], above: set[int]) -> tuple[dict[int, _Mark], int]:
        """Return the mark that each process bears, and how many may not be looked at.

        Of those, orphans alone count: what has a parent below a warden is found by descent.
        """
        found: dict[int, _Mark] = {}
        hidden = 0
        for one in late:
            try:
                if text := processes.warden_mark(one.pid, self.marker):
                    found[one.pid] = _Mark(text, warden=True)
                elif text := processes.mark(one.pid, self.marker):
                    found[one.pid] = _Mark(text, warden=False)
            except PermissionError:
                hidden += one.parent in above
            except OSError:
                continue  # it has just ended
        return found, hidden

    def _proof(self, tree: _Tree, began: float) -> TreeProof:
        how = "pid namespace" if tree.spaced else "subreaper"
        if not tree.seen and not tree.roots:
            how = "never started"
        elif tree.roots:
            how = "adopted"
        unproven = _ADOPTED if tree.foreign else ""
        if how == "subreaper" and tree.hidden:
            unproven = f"{tree.hidden} orphans of other users started since may not be looked at"
        return TreeProof(
            name=tree.name,
            pids=tuple(sorted({pid for pid, _ in tree.seen})),
            killed=tree.killed,
            empty=not tree.living,
            took_s=tree.took_s if tree.took_s is not None else time.monotonic() - began,
            left=tuple(sorted(tree.living)),
            how=how,
            unproven=unproven,
        )


def marked_by(marker: str, name: str, pid: int, started: int) -> Trees:
    """Return one tree: a guard that may run still, and all that bears its marker.

    For whoever ends a guard from outside.  A process that has the guard's number by now and not
    its start is left alone.
    """
    trees = Trees(marker)
    trees._since = 0  # noqa: SLF001  (all that bears the marker is older than we are)
    tree = _Tree(name, f"{marker}.")
    if (found := processes.process(pid)) is not None and found.started == started:
        tree.roots[pid] = started
    trees._trees[name] = tree  # noqa: SLF001  (this is its other way to be made)
    return trees


def _bears(mark: _Mark, tree: _Tree) -> bool:
    return bool(tree.tag) and mark.text.startswith(tree.tag)


def _above(living: Mapping[int, Process]) -> set[int]:
    """Return the processes that orphans below this one can come to belong to."""
    found, pid = {1}, os.getpid()
    while pid in living and (pid := living[pid].parent) not in found:
        found.add(pid)
    return found


def _wardens(tree: _Tree) -> list[Process]:
    return [one for pid, one in tree.living.items() if tree.seen.get((pid, one.started))]


def _ask(tree: _Tree) -> None:
    """Ask a tree to end: its fronts, which pass it on once, or all where there is no warden."""
    wardens = {one.pid for one in _wardens(tree)}
    for pid, one in tree.living.items():
        front = pid in wardens and one.parent not in wardens
        if front or pid in tree.roots or not wardens:
            processes.send(one, signal.SIGTERM)


def _started(pid: int) -> int:
    """Return the start of a process that must be there.

    Raises:
        GuardError: it is not.
    """
    if sys.platform != "linux":
        return 0
    found = processes.process(pid)
    if found is None:
        raise GuardError(f"there is no process {pid}; it has ended, or never ran")
    return found.started


def _group_killed(tree: _Tree, grace_s: float) -> TreeProof:
    """Kill the process groups of a tree's roots, where the system shows no more than those."""
    began = time.monotonic()
    for pid in tree.roots:
        with suppress(OSError):
            os.killpg(pid, signal.SIGTERM)
    while (left := [pid for pid in tree.roots if _group_runs(pid)]) and (
        time.monotonic() - began < grace_s
    ):
        time.sleep(_PAUSE_S)
    for pid in left:
        with suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    time.sleep(_PAUSE_S)
    still = tuple(pid for pid in left if _group_runs(pid))
    took_s = time.monotonic() - began
    how = "process group" if tree.roots else "never started"
    pids = tuple(sorted(tree.roots))
    return TreeProof(tree.name, pids, len(left), not still, took_s, still, how, _OTHERS)


def _group_runs(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True
