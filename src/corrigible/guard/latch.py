"""The stop latch: what is paused and what is stopped, in a file that outlives the guard.

Whoever has the operator's rights can write it, with or without a running guard; the guard reads
it before it admits a call, before it dispatches one and before it releases a result.  Whatever
cannot be read or trusted is stopped: a latch that is gone, malformed, open to other users, or
another user's.
"""

import fcntl
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from corrigible.errors import GuardError

Kind = Literal["all", "server", "tool", "call", "agent"]
Mode = Literal["paused", "stopped"]
Standing = Literal["run", "paused", "stopped"]

_KINDS, _MODES = get_args(Kind), get_args(Mode)
_MADE = "latch.made"  # says that there was a latch here: one that is gone was taken away
_MOST_BYTES = 1 << 20
_MOST_TEXT = 2000
_LOCK_S = 1.0
_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_RESUME = "`corrigible resume` with no scope writes it anew"


@dataclass(frozen=True)
class Scope:
    """What a stop or a pause is for.

    `name`: the server; the tool as `server.tool`; the call's id; the agent (a caller: whoever
    has it among its ancestors is meant too).  Empty for `all` alone.
    """

    kind: Kind
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(
                f"a scope's kind must be one of {', '.join(_KINDS)}; got {self.kind!r}"
            )
        if bool(self.name) == (self.kind == "all"):
            raise ValueError(f"scope {self.kind!r} must {'not ' * (self.kind == 'all')}have a name")

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()

    def covers(
        self, *, server: str, tool: str, call_id: str, caller: str, lineage: Iterable[str]
    ) -> bool:
        """Say whether a call is in this scope; `tool` is its name within the server."""
        if self.kind == "agent":
            return self.name == caller or self.name in lineage
        named = {"all": "", "server": server, "tool": f"{server}.{tool}", "call": call_id}
        return self.name == named[self.kind]


EVERYTHING = Scope("all")


@dataclass(frozen=True)
class ScopeState:
    """One scope that is held: how, why, by whom, since when (UTC)."""

    scope: Scope
    mode: Mode
    why: str
    by: str
    at: str


@dataclass(frozen=True)
class LatchState:
    """The latch as it was read.  `epoch` rises with every change; `readable`: it was trusted."""

    epoch: int
    held: tuple[ScopeState, ...] = ()
    readable: bool = True

    def on(  # noqa: PLR0917  (the order in which a call is named everywhere)
        self, server: str, tool: str, call_id: str, caller: str, lineage: Iterable[str]
    ) -> Standing:
        """Say what the latch has in store for a call: the worst of the scopes that it is in."""
        if not self.held:
            return "run"
        modes, name = self._modes, f"{server}.{tool}"
        met = {modes.get(("all", "")), modes.get(("server", server)), modes.get(("tool", name))}
        met.add(modes.get(("call", call_id)))
        met.update(modes.get(("agent", above)) for above in (caller, *lineage))
        return "stopped" if "stopped" in met else "paused" if "paused" in met else "run"

    @cached_property
    def _modes(self) -> dict[tuple[str, str], Mode]:
        """The worst mode of each scope, by kind and name: a look must not grow with them."""
        found: dict[tuple[str, str], Mode] = {}
        for one in self.held:
            key = (one.scope.kind, one.scope.name)
            found[key] = "stopped" if "stopped" in {found.get(key), one.mode} else "paused"
        return found

    def find(self, scope: Scope) -> ScopeState | None:
        """Return how exactly this scope is held; None: it is not."""
        return next((one for one in self.held if one.scope == scope), None)


class Latch:
    """The latch in one file; safe to use from several threads and processes.

    `Latch.create` makes it at the first set-up of a deployment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._name = os.fspath(path)
        self._read: tuple[tuple[int, ...], LatchState] | None = None
        self._last = 0  # the highest epoch that was seen
        self._closing: tuple[ScopeState, ...] = ()  # stops that are not in the file yet
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> "Latch":
        """Make the latch of a new deployment, running; one that was ever made stays as it is.

        One that was made and is gone stays gone, and so stopped.

        Raises:
            GuardError: the folder is not there, or cannot be written.
        """
        latch = cls(path)
        made = path.with_name(_MADE)
        with latch._written("the latch cannot be made"), latch._locked():
            if not made.exists():
                if not path.exists():
                    latch._write(LatchState(0), mtime_ns=0)
                os.close(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
                _keep_owner(made)
                _sync_folder(path.parent)
        return latch

    def state(self) -> LatchState:
        """Return the latch as it is now; never raises: what cannot be read is stopped.

        A file that did not change is not read again: this takes microseconds.
        """
        try:
            found = os.lstat(self._name)
            key = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
            if self._read is not None and self._read[0] == key:
                state = self._read[1]
            else:
                state = self._loaded()
                self._last = max(self._last, state.epoch)
                self._read = (key, state)
        except (OSError, ValueError, RecursionError) as error:
            self._read = None
            state = _unreadable(self._last + 1, _reason(self.path, error))
        closing = self._closing
        if closing:
            return LatchState(state.epoch + 1, (*state.held, *closing), state.readable)
        return state

    def stop(self, scope: Scope, why: str, by: str) -> LatchState:
        """Stop a scope for good.  It is in force for this `Latch` at once, for all once written.

        Raises:
            GuardError: it cannot be written.  It stays in force for this `Latch`.
        """
        entry = _entry(scope, "stopped", why, by)
        with self._lock:
            self._closing = (*self._closing, entry)
        state = self._change(lambda held: _with(held, entry), sure=True)
        with self._lock:
            self._closing = tuple(one for one in self._closing if one is not entry)
        return state

    def pause(self, scope: Scope, why: str, by: str) -> LatchState:
        """Hold back what is in a scope; one that is stopped stays stopped.

        Raises:
            GuardError: it cannot be written.
        """
        entry = _entry(scope, "paused", why, by)
        return self._change(lambda held: _with(held, entry))

    def resume(self, scope: Scope, by: str) -> LatchState:
        """Let a scope run again; scopes that are held beside it stay held.

        Resuming `all` makes a latch that could not be read anew, with nothing held.

        Raises:
            GuardError: the scope is not held, `by` is empty, or it cannot be written.
        """
        _entry(scope, "paused", "", by)
        unwritten = tuple(one for one in self._closing if one.scope == scope)
        state = self._change(
            lambda held: _without((*held, *unwritten), scope), anew=scope == EVERYTHING
        )
        with self._lock:
            self._closing = tuple(one for one in self._closing if one.scope != scope)
        return state

    # -- the file ----------------------------------------------------------------------------

    def _loaded(self) -> LatchState:
        """Read the file.

        Raises:
            OSError, ValueError: it cannot be read, trusted or understood.
        """
        folder = os.lstat(self.path.parent)
        owner = os.geteuid() or folder.st_uid  # root looks after other users' latches
        _check(self.path.parent, folder, stat.S_ISDIR, owner=owner)
        handle = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            _check(self.path, os.fstat(handle), stat.S_ISREG, owner=owner)
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"it is longer than {_MOST_BYTES} bytes")
        return _parsed(json.loads(text))

    def _change(
        self,
        change: Callable[[tuple[ScopeState, ...]], tuple[ScopeState, ...]],
        *,
        sure: bool = False,
        anew: bool = False,
    ) -> LatchState:
        """Write a changed latch under the lock, and return what was written.

        `sure`: write also where the lock is not to be had, as where a hung guard holds it.
        """
        with self._written("the latch cannot be written"), self._locked(sure=sure):
            mtime_ns = 0
            with suppress(OSError):
                mtime_ns = os.lstat(self._name).st_mtime_ns
            try:
                old = self._loaded()
            except (OSError, ValueError, RecursionError) as error:
                # Later than any counter: epochs still rise where the last one is not known.
                epoch = max(self._last, time.time_ns() // 1_000_000)
                old = _unreadable(epoch, _reason(self.path, error))
                if anew:
                    old = LatchState(epoch, (ScopeState(EVERYTHING, "stopped", "", "", ""),))
            new = LatchState(max(old.epoch, self._last) + 1, change(old.held))
            self._write(new, mtime_ns=mtime_ns)
            self._last = max(self._last, new.epoch)
        return new

    def _write(self, state: LatchState, *, mtime_ns: int) -> None:
        """Replace the file in one step, on disk before this returns.

        Its time is later than that of the file before, whatever the clock says: a reader that
        compares number, time and size never takes a new file for the old one.
        """
        held = [
            {
                "kind": one.scope.kind,
                "name": one.scope.name,
                "mode": one.mode,
                "why": one.why,
                "by": one.by,
                "at": one.at,
            }
            for one in state.held
        ]
        text = json.dumps({"version": 1, "epoch": state.epoch, "held": held}, indent=1)
        name = f"{self._name}.{os.getpid()}.{threading.get_ident()}.new"
        handle = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                _keep_owner(Path(name))
                later = max(time.time_ns(), mtime_ns + 1)
                os.utime(handle, ns=(later, later))
                os.fsync(handle)
            os.replace(name, self._name)  # noqa: PTH105  (the step that is atomic, by its name)
            _sync_folder(self.path.parent)
        finally:
            Path(name).unlink(missing_ok=True)

    @contextmanager
    def _locked(self, *, sure: bool = False) -> Iterator[None]:
        """Hold the lock of the folder: of it, since the file itself is replaced.

        Raises:
            GuardError: another holds it for longer than a second, and not `sure`.
        """
        handle = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            deadline = time.monotonic() + _LOCK_S
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        if sure:
                            break
                        raise GuardError(
                            f"{self.path}: another process has held the latch's lock for "
                            f"{_LOCK_S:g} s; is a guard stopped in the middle of a change?"
                        ) from None
                    time.sleep(0.002)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _written(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise GuardError(f"{self.path}: {what}: {error.strerror or error}") from error


def _entry(scope: Scope, mode: Mode, why: str, by: str) -> ScopeState:
    if not by.strip():
        raise GuardError(f"{mode} {scope}: `by` must name who asks, got {by!r}")
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return ScopeState(scope, mode, why[:_MOST_TEXT], by[:_MOST_TEXT], at)


def _with(held: tuple[ScopeState, ...], entry: ScopeState) -> tuple[ScopeState, ...]:
    """Add or replace a scope's entry; a pause never takes the place of a stop."""
    before = next((one for one in held if one.scope == entry.scope), None)
    if before is not None and before.mode == "stopped" and entry.mode == "paused":
        return held
    return (*(one for one in held if one.scope != entry.scope), entry)


def _without(held: tuple[ScopeState, ...], scope: Scope) -> tuple[ScopeState, ...]:
    left = tuple(one for one in held if one.scope != scope)
    if len(left) == len(held):
        names = ", ".join(str(one.scope) for one in held) or "nothing"
        raise GuardError(f"{scope} is not held, so it cannot be resumed; held: {names}")
    return left


def _unreadable(epoch: int, why: str) -> LatchState:
    held = (ScopeState(EVERYTHING, "stopped", why, "corrigible", ""),)
    return LatchState(epoch, held, readable=False)


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path} is not there, so all is stopped; {_RESUME}"
    text = error.strerror if isinstance(error, OSError) and error.strerror else error
    return f"{path} cannot be trusted ({text}), so all is stopped; {_RESUME}"


def _parsed(value: Any) -> LatchState:
    """Take a latch from its JSON, exactly.

    Raises:
        ValueError: anything in it is not as it must be.
    """
    if not isinstance(value, dict) or set(value) != {"version", "epoch", "held"}:
        raise ValueError("it must hold version, epoch and held")
    epoch, held = value["epoch"], value["held"]
    if value["version"] != 1 or type(epoch) is not int or epoch < 0 or not isinstance(held, list):
        raise ValueError(
            f"version must be 1 and epoch a count, got {value['version']!r}, {epoch!r}"
        )
    return LatchState(epoch, tuple(_parsed_scope(one) for one in held))


def _parsed_scope(one: Any) -> ScopeState:
    keys = {"kind", "name", "mode", "why", "by", "at"}
    texts = isinstance(one, dict) and set(one) == keys and all(type(v) is str for v in one.values())
    if not texts or one["mode"] not in _MODES:
        raise ValueError(f"a scope must hold {', '.join(sorted(keys))} as texts, got {one!r}")
    return ScopeState(
        Scope(one["kind"], one["name"]), one["mode"], one["why"], one["by"], one["at"]
    )


def _check(path: Path, found: os.stat_result, kind: Callable[[int], bool], *, owner: int) -> None:
    """Refuse what is no such file, what another user owns, and what others may write.

    Raises:
        ValueError: it is.
    """
    if not kind(found.st_mode):
        raise ValueError(f"{path.name} is of another kind, mode {found.st_mode:o}")
    if found.st_uid not in {owner, 0}:
        raise ValueError(f"{path.name} belongs to user {found.st_uid}")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise ValueError(f"other users may write {path.name}, mode {stat.S_IMODE(found.st_mode):o}")


def _keep_owner(path: Path) -> None:
    """Give what root writes to the folder's owner, who could not read it else."""
    owner = path.parent.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
