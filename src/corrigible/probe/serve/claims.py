"""Which episodes are being played right now, told across processes.

One file, one byte an episode, held by a record lock of the process that plays it: a process that
dies lets go of what it held, and nothing is left to clean up.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Claims:
    """The claims of one process.  It must be the only one of its process: locks are a process's."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a+b")
        self._own: set[int] = set()

    def take(self, number: int) -> bool:
        """Claim an episode by its number; False where it is claimed already, here or elsewhere."""
        if number in self._own:
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number + 1)
        except OSError:
            return False
        self._own.add(number)
        return True

    def free(self, number: int) -> None:
        """Let go of an episode."""
        self._own.discard(number)
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number + 1)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from writing the log for as long as the block is open."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, 0)

    def close(self) -> None:
        """Let go of everything."""
        self._file.close()
