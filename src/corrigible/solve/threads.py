"""Shares independent work out over threads: the kernels run without Python's lock.

Threads of Python's own rather than numba's: the kernels then compile in half the time, and an
interrupt is seen between two pieces of work.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

_PIECES = 4  # pieces of work a thread: evens out what the blocks cost


def thread_count() -> int:
    """How many threads are used: the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_out(count: int, work: Callable[[tuple[int, int]], None]) -> None:
    """Call `work((begin, stop))` on pieces that cover `range(count)`, several at a time.

    Raises whatever a piece raises; the pieces that were not begun are then left out.
    """
    threads = min(thread_count(), count)
    if threads <= 1:
        work((0, count))
        return
    pieces = min(count, threads * _PIECES)
    ends = [count * piece // pieces for piece in range(pieces + 1)]
    with ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(work, pairwise(ends)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
