"""Shares independent work out over threads: the kernels run without Python's lock.

Threads of Python's own rather than numba's: the kernels then compile in half the time, and an
interrupt is seen between two pieces of work, and inside a kernel that is told to watch for it.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Progress = Callable[[int, int], None]
"""Told how much is done, and of how much; called in the caller's own thread."""

_PIECES = 4  # pieces of work a thread: evens out what the blocks cost


def thread_count() -> int:
    """How many threads are used: the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_out(
    count: int,
    work: Callable[[tuple[int, int]], None],
    *,
    size: int = 0,
    cancel: npt.NDArray[np.uint8] | None = None,
    progress: Progress | None = None,
) -> None:
    """Call `work((begin, stop))` on pieces that cover `range(count)`, several at a time.

    Args:
        count: how many pieces of work there are at most.
        work: what is done; it must not depend on how the range is cut.
        size: the most that is done at once; default: as much as keeps all threads busy.
        cancel: set to 1 when something is raised, for pieces already begun to watch.
        progress: told after each piece.

    Raises whatever a piece raises, an interrupt too; the pieces that were not begun are then
    left out.
    """
    if count < 1:
        return
    threads = min(thread_count(), count)
    if size < 1:
        size = count if threads <= 1 else -(-count // (threads * _PIECES))
    ends = [*range(0, count, size), count]
    if threads <= 1 and progress is None and cancel is None:
        work((0, count))
        return
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        try:
            for done, _ in zip(ends[1:], pool.map(work, pairwise(ends)), strict=True):
                if progress is not None:
                    progress(done, count)
        except BaseException:
            if cancel is not None:
                cancel[0] = 1
            pool.shutdown(cancel_futures=True)
            raise
