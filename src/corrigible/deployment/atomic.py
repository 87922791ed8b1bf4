"""Write a file whole or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

_MODE = 0o644


def write_whole(path: Path, text: str, *, keep: bool = False) -> None:
    """Write `text` to `path` in one step: no reader ever sees half of it.

    `keep`: refuse, in the same step, where the file exists.

    Raises:
        FileExistsError: `keep` is set and there is such a file; it is left as it was.
        OSError: it cannot be written; what was there is left as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(_MODE & ~_umask())
        if keep:
            os.link(name, path)
        else:
            os.replace(name, path)  # noqa: PTH105  (the step that is atomic, by its own name)
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _umask() -> int:
    """The mask of this process, read in the only way there is."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
