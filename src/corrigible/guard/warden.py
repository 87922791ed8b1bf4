"""One server under a warden: `python -m corrigible.guard.warden [options] -- COMMAND...`.

Two processes stand above the server.  The *front* is what the guard started: it watches the
guard and passes signals on.  The *keeper* is the first process of a PID namespace of its own,
so that the kernel itself ends everything below when the keeper ends, whatever it did to detach
itself.  Where the system allows no such namespace, the keeper is a subreaper in a session of
its own, finds its descendants in `/proc` and kills them until there are none; a line on stderr
says so.  The standard streams are the server's.

All below is killed when the server ends, when the guard ends, when the front is killed, and
when the front is told: SIGTERM, SIGINT and SIGHUP reach the server first, which then has
`--grace` seconds; SIGUSR1 or a second signal kills at once.  The exit code is the server's, 128
and the number where a signal ended it.

A hostile server of the same user without a namespace can kill both processes.  What it started
then still carries the mark in its environment, unless it sheds that too.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

from corrigible.guard import kernel
from corrigible.guard.processes import MARK, Process, below, has_ended, process, send, send_groups
from corrigible.guard.processes import table as living_processes

GRACE_S = 2.0
NOW = signal.SIGUSR1
"""The signal that ends a tree at once."""

_ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_KILLED = 128 + signal.SIGKILL
_CANNOT_RUN = 127
_ROUNDS = 20


class Options(NamedTuple):
    """How one server is run; `guard` is `PID:START` of the process that it ends with."""

    command: tuple[str, ...]
    mark: str = ""
    guard: str = ""
    grace_s: float = GRACE_S
    namespace: bool = True


def main() -> None:
    """Run the server that the arguments name, and exit with its code."""
    try:
        options = parsed(sys.argv[1:])
    except ValueError as error:
        _say(f"{error}; python -m corrigible.guard.warden [--mark M] -- COMMAND...")
        sys.exit(2)
    sys.exit(run(options))


def parsed(arguments: Sequence[str]) -> Options:
    """Return what the arguments say; argparse would take a third of the start's time.

    Raises:
        ValueError: an option is unknown or has no value, or there is no command.
    """
    given: dict[str, str] = {}
    rest = list(arguments)
    while rest and (word := rest.pop(0)) != "--":
        if word == "--no-namespace":
            given[word] = word
        elif word in {"--mark", "--guard", "--grace"} and rest:
            given[word] = rest.pop(0)
        else:
            raise ValueError(f"{word!r} is no option of a warden, or has no value")
    if not rest:
        raise ValueError("there is no command after '--'")
    return Options(
        tuple(rest),
        mark=given.get("--mark", ""),
        guard=given.get("--guard", ""),
        grace_s=float(given.get("--grace", GRACE_S)),
        namespace="--no-namespace" not in given,
    )


def run(options: Options) -> int:
    """Run a server below a keeper, wait for it, and return its code."""
    if sys.platform != "linux":
        return _run_in_group(options)
    guard = watched(options.guard)
    if guard is None:
        _say("the guard has ended already; the server was not started")
        return _KILLED
    namespace = options.namespace
    if namespace and (why := _own_namespace()):
        _say(f"no PID namespace ({why}); it kills what it finds below it instead")
        namespace = False
    kernel.become_subreaper()
    own = os.pidfd_open(os.getpid())
    wake = wakened()  # before there is a server that could be asked to end
    child = os.fork()
    if child == 0:
        keeper(
            lambda: _server(options),
            own,
            grace_s=options.grace_s,
            namespace=namespace,
            set_up=_own_proc if namespace else lambda: None,
            failed=_say,
        )
    return front(child, guard, wake, namespace=namespace)


def watched(guard: str) -> int | None:
    """Return a descriptor that tells when the guard ends; None where it already has.

    `guard` is `PID:START`; empty: the parent.  A descriptor tells it also where the thread that
    forked us ends before the guard does, which a parent-death signal would mistake for its end.
    """
    number, _, started = (guard or f"{os.getppid()}:").partition(":")
    try:
        handle = os.pidfd_open(int(number))
    except OSError:
        return None
    found = process(int(number))
    if found is None or (started and int(started) != found.started):
        return None
    return handle


def _own_namespace() -> str:
    """Have the next child be the first of a PID namespace; return why that is not allowed."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        if uid == 0:
            with suppress(OSError):
                kernel.unshare(kernel.CLONE_NEWPID)
                return ""
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
        kernel.map_own_user(uid, gid)
    except OSError as error:
        return str(error.strerror or error)
    return ""


def front(child: int, guard: int, wake: int, *, namespace: bool) -> int:
    """Pass signals to the keeper, end it when the guard ends, and return its code.

    `wake` is what `wakened` gave before the fork.
    """
    let_go_of_streams()
    watching = select.poll()
    own = os.pidfd_open(child)
    for handle in (wake, guard, own):
        watching.register(handle, select.POLLIN)
    deadline: float | None = None
    while not has_ended(own):
        ready = {handle for handle, _ in watching.poll(_wait_ms(deadline))}
        for signum in _signals(wake) if wake in ready else ():
            with suppress(ProcessLookupError):
                os.kill(child, signum)
        if guard in ready:
            watching.unregister(guard)
            with suppress(ProcessLookupError):
                os.kill(child, NOW)
            deadline = time.monotonic() + 1
        if deadline is not None and time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)  # in a namespace this ends all; else we sweep
            deadline = None
    code = _exit_code(os.waitpid(child, 0)[1])
    if not namespace:
        sweep()  # a keeper that was killed left its orphans to us
    return code


# -- the keeper --------------------------------------------------------------------------------


def keeper(
    start: Callable[[], int],
    front_fd: int,
    *,
    grace_s: float,
    namespace: bool,
    set_up: Callable[[], None],
    failed: Callable[[str], None],
) -> NoReturn:
    """Be the keeper, in the child of a fork: set up, start, keep, and exit.

    `failed` is told why where anything but the kept program goes wrong.
    """
    code = _CANNOT_RUN
    try:
        if namespace:
            kernel.die_with_parent(signal.SIGKILL)
        else:
            os.setsid()  # what kills the front's whole group must leave the one who sweeps
            kernel.become_subreaper()
        set_up()
        code = keep(start, front_fd, grace_s, namespace=namespace)
    except BaseException as error:  # noqa: BLE001  (a forked child must not unwind further)
        failed(f"{type(error).__name__}: {error}")
    finally:
        if not namespace:
            with suppress(BaseException):
                sweep()
        os._exit(code)


def keep(start: Callable[[], int], front_fd: int, grace_s: float, *, namespace: bool = True) -> int:
    """Start what is kept, reap all below it, and return its code once it is to end.

    Whoever calls this ends next: in a namespace that kills the rest, else `sweep` does.
    """
    wake = wakened()
    if not namespace:
        kernel.die_with_parent(NOW)
    kept = start()
    let_go_of_streams()
    watching = select.poll()
    watching.register(wake, select.POLLIN)
    watching.register(front_fd, select.POLLIN)
    deadline: float | None = None
    while True:
        ready = {handle for handle, _ in watching.poll(_wait_ms(deadline))}
        asked = _signals(wake) if wake in ready else ()
        code = _reaped(kept)
        if code is not None:
            return code
        if front_fd in ready or NOW in asked:
            return _KILLED
        for signum in asked:
            if signum in _ASKED:
                if deadline is not None:
                    return 128 + signum
                deadline = time.monotonic() + grace_s
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(kept, signum)
        if deadline is not None and time.monotonic() >= deadline:
            return _KILLED


def _server(options: Options) -> int:
    """Fork and start the server; return its number."""
    mark: Mapping[str, str] = {MARK: options.mark} if options.mark else {}
    return started(options.command, {**os.environ, **mark})


def started(
    command: Sequence[str],
    env: Mapping[str, str],
    prepare: Callable[[], None] = lambda: None,
    failed: Callable[[str], None] | None = None,
) -> int:
    """Fork, prepare the child, start a program in it in a session of its own; return its number.

    In a session of its own it has no terminal to type into on its user's behalf.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        for signum in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, NOW, *_ASKED):
            signal.signal(signum, signal.SIG_DFL)  # ignored ones would stay ignored
        os.setsid()
        prepare()
        os.execvpe(command[0], list(command), dict(env))  # noqa: S606  (no shell is wanted)
    except BaseException as error:  # noqa: BLE001  (a forked child must not unwind further)
        (failed or _say)(f"{command[0]!r} cannot be started: {error}")
    finally:
        os._exit(_CANNOT_RUN)


def _reaped(kept: int) -> int | None:
    """Reap every child that ended; return the code of the kept one if it is among them."""
    code = None
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            if found[0] == kept:
                code = _exit_code(found[1])
    return code


def _own_proc() -> None:
    """Show the namespace its own `/proc`, where that is allowed; else the host's stays."""
    with suppress(OSError):
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("", "/", "", flags=kernel.MS_REC | kernel.MS_SLAVE)
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        kernel.mount("proc", "/proc", "proc", flags=flags)


def sweep() -> None:
    """Kill every descendant of this process, until it has no child any more.

    That is the kernel's word, not a look at `/proc`: every orphan below becomes a child of this
    process.  All are stopped before any is killed, so that none can fork in the meantime.
    """
    while True:
        held: dict[int, Process] = {}
        for _ in range(_ROUNDS):
            living = living_processes()
            family = {pid: living[pid] for pid in below([os.getpid()], living) if pid in living}
            fresh = [one for pid, one in family.items() if pid not in held]
            held.update(family)
            send_groups(fresh, signal.SIGSTOP, never=())
            for one in fresh:
                send(one, signal.SIGSTOP)
            if not fresh:
                break
        for one in held.values():
            send(one, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        if not held:
            time.sleep(0.0005)


# -- what both do ------------------------------------------------------------------------------


def wakened() -> int:
    """Turn signals into bytes on a pipe; return its end to read."""
    read, write = os.pipe()
    for handle in (read, write):
        os.set_blocking(handle, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for signum in (signal.SIGCHLD, NOW, *_ASKED):
        signal.signal(signum, lambda *_: None)
    return read


def _signals(wake: int) -> tuple[int, ...]:
    with suppress(BlockingIOError):
        return tuple(one for one in os.read(wake, 1024) if one != signal.SIGCHLD)
    return ()


def _wait_ms(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000 + 1


def let_go_of_streams() -> None:
    """Hold no end of the server's pipes open: their readers wait for all ends to close."""
    handle = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(handle, stream)
    os.close(handle)


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _say(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"corrigible warden: {text}\n".encode(errors="replace"))


def _run_in_group(options: Options) -> int:
    """Where there is no Linux: one process group, which is killed at the end.

    What leaves its group escapes; whoever needs more needs Linux.
    """
    _say("not Linux; only the server's process group is killed")
    parent = os.getppid()
    wake = wakened()
    kept = _server(options)
    let_go_of_streams()
    deadline: float | None = None
    code = None
    while code is None:
        select.select([wake], [], [], 0.25)
        asked = _signals(wake)
        code = _reaped(kept)
        if asked and deadline is None:
            deadline = time.monotonic() + options.grace_s
            os.kill(kept, signal.SIGTERM)
        late = deadline is not None and time.monotonic() > deadline
        if NOW in asked or late or os.getppid() != parent:
            break
    with suppress(OSError):
        os.killpg(kept, signal.SIGKILL)
    return _KILLED if code is None else code


if __name__ == "__main__":
    main()
