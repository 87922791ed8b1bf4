"""`python -m corrigible.guard.contained`: the process above a contained agent.

The *front* and the *keeper* are as for a server under a warden.  The keeper is the first process
of the agent's PID namespace; it lays out the agent's view of the files and starts it as another
user without any right.  A *relay* beside the front keeps the host's view of files and processes
and shares the agent's network alone: it listens on the agent's loopback and forwards to the
guard's unix sockets, so that no file of the guard's and no process of the relay is in the
agent's reach.

What is to be contained comes as JSON on a descriptor; what went wrong goes out on another,
which is closed without a word once the agent runs.
"""

import fcntl
import json
import os
import resource
import signal
import socket
import stat
import struct
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corrigible.guard import kernel, warden

_PRIVATE = ("/tmp", "/var/tmp", "/run")  # noqa: S108  (what the agent gets of its own)
_PRIVATE_SIZE = "size=1g,mode=1777"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {"fd": "self/fd", "stdin": "self/fd/0", "stdout": "self/fd/1", "stderr": "self/fd/2"}
_HIDING = "/dev/.hidden"
_MOST_CONNECTIONS = 256
_CHUNK = 1 << 16
_GRACE_S = 2.0
_IFF_UP, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 1, 0x8913, 0x8914


@dataclass(frozen=True)
class Plan:
    """What is contained and how; all paths are absolute and free of links.

    `uid` and `gid` None: the user stays the same, in a user namespace.
    """

    command: tuple[str, ...]
    cwd: str
    uid: int | None
    gid: int | None
    hidden: tuple[str, ...]
    visible: tuple[str, ...]
    writable: tuple[str, ...]
    sockets: Mapping[int, str]
    env: Mapping[str, str]
    limits: Mapping[str, int]

    def as_json(self) -> str:
        """Return the plan as the text that `plan_of` reads."""
        return json.dumps(vars(self) | {"sockets": list(self.sockets.items())})


def plan_of(text: str) -> Plan:
    """Return the plan in a text of ours."""
    value: dict[str, Any] = json.loads(text)
    for name in ("command", "hidden", "visible", "writable"):
        value[name] = tuple(value[name])
    value["sockets"] = {int(port): path for port, path in value["sockets"]}
    return Plan(**value)


def main() -> None:
    """Contain what the plan says, and exit with the agent's code."""
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    report = int(given["--report"])
    os.set_inheritable(report, False)  # noqa: FBT003  (takes it by position alone)
    with os.fdopen(int(given["--plan"])) as file:
        plan = plan_of(file.read())
    try:
        code = _run(plan, given["--guard"], report)
    except OSError as error:
        os.write(report, f"{error.strerror or error}".encode())
        code = 1
    sys.exit(code)


def _run(plan: Plan, guard_name: str, report: int) -> int:
    """Enter the namespaces, start the keeper, relay until it ends."""
    guard = warden.watched(guard_name)
    if guard is None:
        raise OSError(0, "the guard has ended already; the agent was not started")
    uid, gid = os.geteuid(), os.getegid()
    if uid != 0:
        kernel.unshare(kernel.CLONE_NEWUSER)
        kernel.map_own_user(uid, gid)
    kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    _name_host("contained")
    _raise_loopback()
    if plan.sockets:
        _fork_relay({_listening(port): path for port, path in plan.sockets.items()}, report)
    kernel.unshare(kernel.CLONE_NEWPID)
    own = os.pidfd_open(os.getpid())
    wake = warden.wakened()
    child = os.fork()
    if child == 0:
        _keep(plan, own, report)
    os.close(report)
    kernel.drop_capabilities(bounding=False)
    kernel.no_new_privileges()
    return warden.front(child, guard, wake, namespace=True)


def _fork_relay(listeners: Mapping[socket.socket, str], report: int) -> None:
    """Serve the ports in a process of its own, which ends with this one.

    It cannot be threads of the front: whoever opened a PID namespace can start none.
    """
    if os.fork():
        for listener in listeners:
            listener.close()
        return
    try:
        kernel.die_with_parent(signal.SIGKILL)
        os.close(report)
        warden.let_go_of_streams()
        kernel.drop_capabilities(bounding=False)
        kernel.no_new_privileges()
        free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        for listener, path in listeners.items():
            _in_thread(_serve, listener, path, free)
        while True:
            signal.pause()
    finally:
        os._exit(1)


def _keep(plan: Plan, front_fd: int, report: int) -> None:
    def failed(text: str) -> None:
        with suppress(OSError):
            os.write(report, text.encode(errors="replace"))

    def start() -> int:
        kernel.undumpable()  # also where the agent is the same user, it must not be traced
        pid = warden.started(plan.command, plan.env, lambda: _become_agent(plan), failed)
        os.close(report)
        # The keeper stays the guard's user, so that the agent cannot signal or trace it, and
        # needs no right but to pass a signal on.
        kernel.drop_capabilities(keep=kernel.CAP_KILL)
        kernel.no_new_privileges()
        return pid

    warden.keeper(
        start,
        front_fd,
        grace_s=_GRACE_S,
        namespace=True,
        set_up=lambda: lay_out(plan),
        failed=failed,
    )


def _become_agent(plan: Plan) -> None:
    """Drop every right, in the process that becomes the agent."""
    for name, most in plan.limits.items():
        number = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(number)[1]
        most_allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (most_allowed, most_allowed))
    kernel.drop_capabilities(keep=(1 << 6) | (1 << 7))  # to change the group and the user
    if plan.uid is not None and plan.gid is not None:
        os.setgroups([])
        os.setresgid(plan.gid, plan.gid, plan.gid)
        os.setresuid(plan.uid, plan.uid, plan.uid)
    kernel.drop_capabilities(bounding=False)
    kernel.no_new_privileges()
    os.umask(0o022)
    os.chdir(plan.cwd)


# -- the agent's view of the files -------------------------------------------------------------


def lay_out(plan: Plan) -> None:
    """Give the keeper and what it starts a view of the files of their own.

    All is read-only and grants no right to who runs it (nosuid), but the working directory, what
    is named writable, and the private folders, which begin empty.  What is hidden can be
    neither read nor written, by any path below it.

    Raises:
        OSError: the kernel refuses a step; the message names it.
    """
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("", "/", "", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    writable = dict.fromkeys((plan.cwd, *plan.writable))
    with ExitStack() as opened:
        shown = {path: _held_open(path, opened) for path in (*plan.visible, *writable)}
        devices = {name: _held_open(f"/dev/{name}", opened) for name in _DEVICES}
        private = [path for path in _PRIVATE if Path(path).is_dir()]
        for path in dict.fromkeys(os.path.realpath(path) for path in private):
            kernel.mount("tmpfs", path, "tmpfs", flags=_PLAIN, options=_PRIVATE_SIZE)
        _own_devices(devices)
        for path in sorted(shown, key=len):
            _bind(shown[path], path)
    kernel.mount_attributes("/", on=kernel.MS_RDONLY | kernel.MS_NOSUID, below=True)
    for path in (*private, "/dev/shm", *writable):  # noqa: S108  (its own)
        kernel.mount_attributes(path, off=kernel.MS_RDONLY)
    kernel.mount("proc", "/proc", "proc", flags=_PLAIN | kernel.MS_NOEXEC)
    for path in sorted(plan.hidden, key=len):
        _pin(path, tuple(writable))
        _hide(path)


_PLAIN = kernel.MS_NOSUID | kernel.MS_NODEV


def _held_open(path: str, opened: ExitStack) -> int:
    """Open a place, so that it can still be reached where something is mounted above it."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise OSError(error.errno, f"{path} cannot be shown to the agent: {error}") from None
    opened.callback(os.close, handle)
    return handle


def _bind(handle: int, path: str) -> None:
    """Mount what is open at a path, which is made where a private folder covers it."""
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        Path(path).mkdir(parents=True, exist_ok=True)
    elif not Path(path).exists():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    kernel.mount(f"/proc/self/fd/{handle}", path, "", flags=kernel.MS_BIND | kernel.MS_REC)


def _own_devices(devices: Mapping[str, int]) -> None:
    """Mount a `/dev` with what every program needs, and no disk, terminal or socket of others."""
    kernel.mount("tmpfs", "/dev", "tmpfs", flags=kernel.MS_NOSUID, options="size=64k,mode=755")
    for name, handle in devices.items():
        _bind(handle, f"/dev/{name}")
    for name, target in _LINKS.items():
        Path("/dev", name).symlink_to(f"/proc/{target}")
    for name in ("shm", "pts"):
        Path("/dev", name).mkdir()
    kernel.mount("tmpfs", "/dev/shm", "tmpfs", flags=_PLAIN, options=_PRIVATE_SIZE)  # noqa: S108
    with suppress(OSError):  # a kernel may have no terminals of one's own; few programs ask
        options = "newinstance,ptmxmode=0666,mode=0620"
        kernel.mount("devpts", "/dev/pts", "devpts", flags=kernel.MS_NOSUID, options=options)
        Path("/dev/ptmx").symlink_to("pts/ptmx")
    handle = os.open(_HIDING, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0)
    os.close(handle)


def _pin(path: str, writable: Sequence[str]) -> None:
    """Make every writable folder above a hidden place one that cannot be moved.

    Else the agent could move such a folder away with what is hidden in it, and put something of
    its own, as a manifest, where the guard looks for it.
    """
    above = Path(path).parents
    roots = [Path(root) for root in writable if Path(root) in above]
    for folder in reversed(above):
        if any(root in folder.parents for root in roots) and folder.is_dir():
            kernel.mount(str(folder), str(folder), "", flags=kernel.MS_BIND | kernel.MS_REC)


def _hide(path: str) -> None:
    """Cover a folder or a file by an empty one that nobody may open.

    Raises:
        OSError: it is still there afterwards.
    """
    if not os.path.lexists(path):
        return  # a private folder covers it already
    before = Path(path).stat()
    if stat.S_ISDIR(before.st_mode):
        flags = _PLAIN | kernel.MS_RDONLY | kernel.MS_NOEXEC
        kernel.mount("tmpfs", path, "tmpfs", flags=flags, options="size=4k,mode=000")
    else:
        kernel.mount(_HIDING, path, "", flags=kernel.MS_BIND)
        kernel.mount_attributes(path, on=kernel.MS_RDONLY | _PLAIN | kernel.MS_NOEXEC)
    after = Path(path).stat()
    if (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino):
        raise OSError(0, f"{path} could not be hidden")


# -- the network -------------------------------------------------------------------------------


def _name_host(name: str) -> None:
    with suppress(OSError):
        socket.sethostname(name)


def _raise_loopback() -> None:
    """Bring up the one device of the new network, which leads nowhere else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _listening(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener


def _serve(listener: socket.socket, path: str, free: threading.BoundedSemaphore) -> None:
    """Forward every connection of one port to one unix socket, at most so many at a time."""
    while True:
        free.acquire()
        try:
            inside = listener.accept()[0]
            outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                outside.connect(path)
            except OSError:  # the guard does not listen: whoever called sees the end
                inside.close()
                outside.close()
                raise
        except OSError:
            free.release()
            continue
        _in_thread(_forward, inside, outside, free)


def _forward(
    inside: socket.socket, outside: socket.socket, free: threading.BoundedSemaphore
) -> None:
    """Carry bytes both ways until both ends have ended."""
    back = _in_thread(_pump, outside, inside)
    _pump(inside, outside)
    back.join()
    inside.close()
    outside.close()
    free.release()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _in_thread(act: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=act, args=args, daemon=True)
    thread.start()
    return thread


def arguments(mark: str, guard: str, handles: Sequence[int]) -> list[str]:
    """Return the arguments that `main` takes: the mark, the guard, and the two descriptors."""
    plan, report = map(str, handles)
    return ["--mark", mark, "--guard", guard, "--plan", plan, "--report", report]


if __name__ == "__main__":
    main()
