"""The state directory: what a guard keeps for one deployment, out of the agent's reach.

It holds the stop latch, the ledger, the keys and the operator's socket.  Who can write in it can
resume what was stopped, so it must be the guard's user's alone; anything else is refused.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from corrigible.errors import GuardError

_TOKEN = re.compile(r"[0-9a-f]{64}")
_LONGEST_TOKEN = 4096
_LONGEST_HOLDER = 4096
_LOCK_WAIT_S = 0.5  # a reader holds the lock for a moment to see whether a guard does


@dataclass(frozen=True)
class StateDirectory:
    """The files of one guard, by name.  Made by `open_state` or `found_state`, which check it."""

    path: Path

    @property
    def latch(self) -> Path:
        """The stop latch."""
        return self.path / "latch.json"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.path / "ledger.sqlite"

    @property
    def signing_key(self) -> Path:
        """The key that signs the ledger's heads."""
        return self.path / "signing.key"

    @property
    def operator_token(self) -> Path:
        """The operator's credential."""
        return self.path / "operator.token"

    @property
    def operator_socket(self) -> Path:
        """Where the operator speaks to the guard."""
        return self.path / "operator.sock"

    @property
    def agent_socket(self) -> Path:
        """Where hooks and the SDK ask for decisions."""
        return self.path / "agent.sock"

    @property
    def guard_pid(self) -> Path:
        """Who holds the directory: locked for as long as that guard runs."""
        return self.path / "guard.pid"


def state_directory(manifest: Path, override: Path | None = None) -> Path:
    """Return where the state of a deployment is kept; nothing is created.

    `override`, else `corrigible/<folder>-<hash>` in `$XDG_STATE_HOME` or `~/.local/state`.  The
    hash is of the manifest's own path, links resolved: one manifest has one state, whatever
    name it was reached by.

    Raises:
        GuardError: there is no home directory to keep it in.
    """
    if override is not None:
        return override.absolute()
    manifest = manifest.resolve()
    stated = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not stated.is_absolute():  # as the XDG specification has it: a relative one is ignored
        try:
            stated = Path.home() / ".local" / "state"
        except RuntimeError:
            raise GuardError(
                "the state directory needs a home directory, got none; "
                "set XDG_STATE_HOME or name the directory yourself"
            ) from None
    digest = hashlib.sha256(os.fsencode(manifest)).hexdigest()[:12]
    folder = re.sub(r"[^A-Za-z0-9._-]+", "_", manifest.parent.name)[:40]
    return stated / "corrigible" / f"{folder}-{digest}"


def open_state(path: Path) -> StateDirectory:
    """Return a guard's state directory, created with mode 0700 where it is missing.

    Raises:
        GuardError: it cannot be created, or others could change it (see `found_state`).
    """
    try:
        # Made one by one: `parents=True` gives the parents whatever the mask leaves.
        for folder in (*reversed(path.parents), path):
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
    except OSError as error:
        raise GuardError(
            f"{path}: the state directory cannot be created: {error.strerror}; "
            "make its parent writable for the guard's user or name another directory"
        ) from error
    return _checked(path, {os.geteuid()})


def found_state(path: Path) -> StateDirectory:
    """Return the state directory of a guard that ran before; nothing is created.

    Root may use the directory of any user: it could become that user.

    Raises:
        GuardError: there is none; or it is a link, another user's, or open to others; or a
            parent lets others put another directory in its place.
    """
    if not os.path.lexists(path):
        raise GuardError(f"{path}: there is no state directory; no guard ever ran for it")
    with suppress(OSError):
        owner = path.lstat().st_uid
        return _checked(path, {owner} if os.geteuid() == 0 else {os.geteuid()})
    raise GuardError(f"{path}: the state directory cannot be read; run this as the guard's user")


def _checked(path: Path, owners: set[int]) -> StateDirectory:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        what = "a link" if stat.S_ISLNK(found.st_mode) else "no directory"
        raise GuardError(
            f"{path}: the state directory must be a directory itself, got {what}; "
            "remove it or name another directory"
        )
    if found.st_uid not in owners:
        raise GuardError(
            f"{path}: the state directory must be the guard's user's (uid {min(owners)}), got uid "
            f"{found.st_uid}; chown it, or name another directory"
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        raise GuardError(
            f"{path}: the state directory must be closed to others (0700), got {mode:04o}; "
            f"see who wrote in it, then `chmod 700 {path}`"
        )
    for parent in path.resolve().parents:
        _check_parent(path, parent, owners | {0, _unmapped_uid()})
    return StateDirectory(path)


def _check_parent(path: Path, parent: Path, owners: set[int]) -> None:
    """Refuse a parent in which someone else could put another directory in this one's place."""
    found = parent.stat()
    shared = stat.S_IWOTH
    if found.st_gid not in {0, os.getegid()}:  # a user's own group is no wider than the user
        shared |= stat.S_IWGRP
    if found.st_mode & shared and not found.st_mode & stat.S_ISVTX:
        fault = f"mode {stat.S_IMODE(found.st_mode):04o}: others can write there"
    elif found.st_uid not in owners:
        fault = f"uid {found.st_uid}: another user owns it"
    else:
        return
    raise GuardError(
        f"{path}: no parent of the state directory may be another's to change, got {parent} with "
        f"{fault}; close it or name another directory"
    )


def _unmapped_uid() -> int:
    """Return the uid that stands for the owners outside of a user namespace; 0 outside of one."""
    with suppress(OSError, ValueError):
        _, outside, count = map(int, Path("/proc/self/uid_map").read_text("ascii").split())
        if (outside, count) == (0, 2**32 - 1):
            return 0
    with suppress(OSError, ValueError):
        return int(Path("/proc/sys/kernel/overflowuid").read_text("ascii"))
    return 0


def create_token(state: StateDirectory) -> str:
    """Return the operator's token; it is made, mode 0600, where there is none yet.

    Raises:
        GuardError: it cannot be written, or the one that is there cannot be trusted.
    """
    if not os.path.lexists(state.operator_token):
        draft = state.path / f".operator.token.{secrets.token_hex(8)}"
        try:
            handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):  # another guard was first: its token counts
                os.link(draft, state.operator_token)
        except OSError as error:
            raise GuardError(
                f"{state.operator_token}: the token cannot be written: {error.strerror}"
            ) from error
        finally:
            draft.unlink(missing_ok=True)
    return read_token(state)


def read_token(state: StateDirectory) -> str:
    """Return the operator's token.

    Raises:
        GuardError: there is none; it is a link, another's, open to others, or no token.
    """
    path = state.operator_token
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(file.fileno())
            text = file.read(_LONGEST_TOKEN).decode("ascii", "replace").strip()
    except FileNotFoundError:
        raise GuardError(f"{path}: there is no token; start the guard once to make it") from None
    except OSError as error:
        raise GuardError(f"{path}: the token cannot be read: {error.strerror}") from error
    owner = state.path.lstat().st_uid
    closed = stat.S_ISREG(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077
    if not closed or found.st_uid != owner:
        raise GuardError(
            f"{path}: the token must be a file of uid {owner} with mode 0600, got uid "
            f"{found.st_uid} and mode {stat.S_IMODE(found.st_mode):04o}; others may know it: "
            "remove it and start the guard again"
        )
    if not _TOKEN.fullmatch(text):
        raise GuardError(
            f"{path}: the token must be 64 hexadecimal digits, got {len(text)} characters; "
            "remove it and start the guard again"
        )
    return text


@dataclass(frozen=True)
class Holder:
    """The guard that holds a directory: its process, when that started, and a mark of its own.

    `started` is field 22 of `/proc/PID/stat`, in ticks since the system's start (0 where there
    is no /proc): with it a number that was given to another process is told apart.
    """

    pid: int
    started: int
    marker: str


@contextmanager
def hold_guard(state: StateDirectory) -> Iterator[Holder]:
    """Hold a state directory for one guard; the kernel lets go when its process ends.

    Raises:
        GuardError: another guard holds it, or the lock cannot be taken.
    """
    handle = _locked(state)
    try:
        holder = Holder(os.getpid(), started_at(os.getpid()), secrets.token_hex(8))
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(asdict(holder)).encode(), 0)
        os.fsync(handle)
        yield holder
    finally:
        # The file stays: who unlinks a lock lets two hold one of that name.
        with suppress(OSError):
            os.ftruncate(handle, 0)
        os.close(handle)


def guard_holder(state: StateDirectory) -> Holder | None:
    """Return the guard that holds the directory now, or None.

    Raises:
        GuardError: one does, and what it says of itself cannot be read.
    """
    try:
        handle = _opened(state)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(state, error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _parsed(state, os.pread(handle, _LONGEST_HOLDER, 0))
    except OSError as error:
        raise _unreadable(state, error) from error
    else:
        return None
    finally:
        os.close(handle)


def started_at(pid: int) -> int:
    """Return when a process started, in ticks since the system's start; 0 where nobody says."""
    with suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        return int(text.rpartition(")")[2].split()[19])  # a name may hold spaces and brackets
    return 0


def _opened(state: StateDirectory, flags: int = 0) -> int:
    return os.open(state.guard_pid, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)


def _unreadable(state: StateDirectory, error: OSError) -> GuardError:
    return GuardError(f"{state.guard_pid}: the lock cannot be read: {error.strerror}")


def _locked(state: StateDirectory) -> int:
    until = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            handle = _opened(state, os.O_CREAT)
        except OSError as error:
            raise _unreadable(state, error) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_there(state, handle):
                return handle
        except BlockingIOError:
            if time.monotonic() > until:
                holder = _parsed(state, os.pread(handle, _LONGEST_HOLDER, 0))
                os.close(handle)
                raise GuardError(
                    f"{state.path}: one guard at most may run for a deployment, and process "
                    f"{holder.pid} does; end it first, or name another state directory"
                ) from None
        except OSError as error:
            os.close(handle)
            raise _unreadable(state, error) from error
        os.close(handle)
        time.sleep(0.01)


def _is_still_there(state: StateDirectory, handle: int) -> bool:
    """Whether the lock taken is on the file of that name, not on one removed meanwhile."""
    with suppress(FileNotFoundError):
        return os.path.samestat(state.guard_pid.lstat(), os.fstat(handle))
    return False


def _parsed(state: StateDirectory, text: bytes) -> Holder:
    try:
        told = json.loads(text)
        return Holder(int(told["pid"]), int(told["started"]), str(told["marker"]))
    except (ValueError, TypeError, KeyError):
        raise GuardError(
            f"{state.guard_pid}: a guard holds it and does not say which; "
            "`fuser` names the process that has it open"
        ) from None
