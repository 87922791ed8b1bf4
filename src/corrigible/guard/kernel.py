"""The calls of the Linux kernel that Python 3.11 has no function for, each as one function.

Every function raises OSError with the call's name where the kernel refuses; on any other system
they raise it with ENOSYS.  Nothing here is imported that takes time: wardens start through it.
"""

import ctypes
import errno
import os
import sys
from functools import cache
from typing import Any

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

CAP_KILL = 1 << 5

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
MS_BIND, MS_REC, MS_PRIVATE, MS_SLAVE = 0x1000, 0x4000, 0x40000, 0x80000

_PDEATHSIG, _DUMPABLE, _CAPBSET_DROP, _SUBREAPER = 1, 4, 24, 36
_NO_NEW_PRIVS, _CAP_AMBIENT, _AMBIENT_CLEAR_ALL = 38, 47, 4
_MOUNT_SETATTR = 442  # the same number on every architecture
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_CAP_VERSION_3 = 0x20080522
_LAST_CAP = "/proc/sys/kernel/cap_last_cap"


@cache
def _libc() -> Any:
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, f"this needs Linux, and the system is {sys.platform!r}")
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: Any) -> None:
    if getattr(_libc(), name)(*args) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(option: int, *args: int) -> None:
    _call("prctl", option, *(ctypes.c_ulong(arg) for arg in (*args, 0, 0, 0, 0)[:4]))


def die_with_parent(signum: int) -> None:
    """Have this process sent a signal when the thread that forked it ends."""
    _prctl(_PDEATHSIG, signum)


def become_subreaper() -> None:
    """Have every orphan among the descendants become a child of this process."""
    _prctl(_SUBREAPER, 1)


def no_new_privileges() -> None:
    """Let no program that is started from here gain rights, for good."""
    _prctl(_NO_NEW_PRIVS, 1)


def undumpable() -> None:
    """Keep this process from being traced, and its `/proc` files from being read, by its user."""
    _prctl(_DUMPABLE, 0)


def drop_capabilities(*, keep: int = 0, bounding: bool = True) -> None:
    """Give up every capability but those in the mask `keep`.

    `bounding`: no program that is started from here gets one back.
    """
    if bounding:
        handle = os.open(_LAST_CAP, os.O_RDONLY)
        last = int(os.read(handle, 16))
        os.close(handle)
        for number in range(last + 1):
            _prctl(_CAPBSET_DROP, number)
        _prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAP_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(keep, keep)  # effective, permitted, inheritable; low halves first
    _call("capset", header, sets)


def unshare(flags: int) -> None:
    """Leave the namespaces that `flags` names for new ones."""
    _call("unshare", ctypes.c_int(flags))


def mount(source: str, target: str, kind: str, *, flags: int = 0, options: str = "") -> None:
    """Mount `source` of a kind at `target`.

    Raises:
        OSError: the kernel refuses; the message names the target.
    """
    texts = [os.fsencode(text) if text else None for text in (source, target, kind)]
    data = os.fsencode(options) if options else None
    try:
        _call("mount", *texts, ctypes.c_ulong(flags), data)
    except OSError as error:
        number = error.errno or 0
        raise OSError(
            number, f"mount {kind or source} at {target}: {os.strerror(number)}"
        ) from None


def mount_attributes(target: str, *, on: int = 0, off: int = 0, below: bool = False) -> None:
    """Set and clear the attributes (as `MS_RDONLY`) of a mount; `below`: of all under it too.

    Raises:
        OSError: as `mount`; ENOSYS on a kernel before 5.12.
    """
    attributes = (ctypes.c_uint64 * 4)(on, off, 0, 0)
    flags = _AT_RECURSIVE if below else 0
    try:
        _call(
            "syscall",
            ctypes.c_long(_MOUNT_SETATTR),
            ctypes.c_int(_AT_FDCWD),
            os.fsencode(target),
            ctypes.c_uint(flags),
            attributes,
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        )
    except OSError as error:
        number = error.errno or 0
        raise OSError(number, f"mount_setattr at {target}: {os.strerror(number)}") from None


def map_own_user(uid: int, gid: int) -> None:
    """In a new user namespace, let this user and group keep their numbers."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        handle = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)
