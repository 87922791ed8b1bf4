"""What `/proc` says of the processes that run: who, whose child, since when, with which mark.

A process is named by its number and its start, since numbers are used again.  Zombies are dead:
they run nothing and hold nothing.
"""

import os
import select
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import NamedTuple

MARK = "CORRIGIBLE_TREE"
"""The environment variable that marks what was started below a warden."""

_MOST_ENVIRONMENT = 1 << 22
_DEAD = (b"Z", b"X", b"x")


class Process(NamedTuple):
    """One living process; `started` is in the kernel's ticks since it booted."""

    pid: int
    started: int
    parent: int
    group: int
    session: int
    stopped: bool


def read_proc(path: str, most: int = 4096) -> bytes:
    """Return what a file of `/proc` holds.

    Raises:
        OSError: there is no such process any more, or it may not be looked at.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        chunks = []
        while most > 0 and (chunk := os.read(handle, min(most, 1 << 16))):
            chunks.append(chunk)
            most -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(handle)


def process(pid: int) -> Process | None:
    """Return a process; None where it is gone or a zombie."""
    try:
        fields = read_proc(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if fields[0] in _DEAD:
            return None
        parent, group, session, started = (int(fields[at]) for at in (1, 2, 3, 19))
    except (OSError, ValueError, IndexError):
        return None
    return Process(pid, started, parent, group, session, fields[0] in {b"T", b"t"})


def table() -> dict[int, Process]:
    """Return every living process of this PID namespace."""
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    return {pid: found for pid in pids if (found := process(pid)) is not None}


def below(roots: Iterable[int], living: Mapping[int, Process]) -> set[int]:
    """Return the descendants of some processes, the roots left out unless below another."""
    children: dict[int, list[int]] = {}
    for one in living.values():
        children.setdefault(one.parent, []).append(one.pid)
    found: set[int] = set()
    queue = list(roots)
    while queue:
        fresh = [pid for pid in children.get(queue.pop(), ()) if pid not in found]
        found.update(fresh)
        queue.extend(fresh)
    return found


def mark(pid: int, marker: str) -> str:
    """Return the mark in a process's environment, if it begins with `marker`; else nothing.

    Raises:
        OSError: its environment may not be read, or it is gone.
    """
    sign = f"{MARK}={marker}".encode()
    for line in read_proc(f"/proc/{pid}/environ", _MOST_ENVIRONMENT).split(b"\0"):
        if line.startswith(sign):
            return line.partition(b"=")[2].decode(errors="replace")
    return ""


def warden_mark(pid: int, marker: str) -> str:
    """Return the mark that a warden was given, if it begins with `marker`; else nothing.

    Raises:
        OSError: it is gone.
    """
    words = read_proc(f"/proc/{pid}/cmdline", 1 << 16).split(b"\0")
    if b"--mark" not in words:
        return ""
    word = words[words.index(b"--mark") + 1 :][:1]
    return word[0].decode(errors="replace") if word and word[0].startswith(marker.encode()) else ""


def pid_namespace(pid: int | str) -> str:
    """Return the name of a process's PID namespace; empty where it cannot be seen."""
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/pid")  # noqa: PTH115  (a name, no path)
    return ""


def hold_namespace(target: Process) -> tuple[str, int] | None:
    """Open a process's PID namespace: its name, and a descriptor; None where it is gone.

    The kernel gives the name of a namespace that has ended to the next one.  As long as the
    descriptor is open no other gets this one.
    """
    try:
        handle = os.open(f"/proc/{target.pid}/ns/pid", os.O_RDONLY)
    except OSError:
        return None
    now = process(target.pid)
    if now is None or now.started != target.started:  # its number may be another's by now
        os.close(handle)
        return None
    return f"pid:[{os.fstat(handle).st_ino}]", handle


def send(target: Process, signum: int) -> bool:
    """Signal exactly this process, never another that got its number; say whether it got there."""
    if sys.platform != "linux":
        return False
    try:
        handle = os.pidfd_open(target.pid)
    except OSError:
        return False
    try:
        now = process(target.pid)
        if now is None or now.started != target.started:
            return False
        signal.pidfd_send_signal(handle, signum)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def send_groups(targets: Iterable[Process], signum: int, *, never: Iterable[int]) -> None:
    """Signal whole process groups at once: a group cannot fork its way out of one signal.

    Only groups whose leader is among the targets: another group may hold outsiders.
    """
    spared = {os.getpgrp(), *never}
    for target in targets:
        if target.group == target.pid and target.group not in spared:
            with suppress(OSError):
                os.killpg(target.group, signum)


def has_ended(pidfd: int) -> bool:
    """Say whether the process behind a descriptor has ended."""
    return bool(select.select([pidfd], [], [], 0)[0])
