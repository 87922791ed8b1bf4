"""What every command shares: exit codes, where tables go, how errors end, the manifest asked for.

Exit codes: 0 done and within limits; 1 a limit failed; 2 wrong use or bad input; 3 could not
tell.  Tables go to standard output, progress and errors to standard error.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from corrigible.deployment.load import Loaded
from corrigible.deployment.lock import Lock, load_lock, lock_path, lock_text
from corrigible.errors import (
    CorrigibleError,
    EvidenceError,
    MissingExtraError,
    NotSolvedError,
    UnsaidError,
)

if TYPE_CHECKING:
    from corrigible.evidence import Record

WITHIN, OVER, WRONG, UNTOLD = 0, 1, 2, 3
MANIFEST = "deployment.yaml"
_WIDTH = 150
"""Columns of a table that goes to a file or a pipe."""


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Print what corrigible raises on purpose, one line a problem, and exit with its code."""
    try:
        yield
    except UnsaidError as error:
        click.echo(f"This is a draft; {len(error.problems)} things are not said yet:", err=True)
        click.echo(str(error), err=True)
        click.echo("Nothing was audited: no drive was found safe.", err=True)
        sys.exit(UNTOLD)
    except NotSolvedError as error:
        click.echo(f"Could not tell: {error}; a shorter horizon is easier", err=True)
        sys.exit(UNTOLD)
    except CorrigibleError as error:
        click.echo(str(error), err=True)
        sys.exit(WRONG)


def console() -> Console:
    """Where tables are printed: as wide as the terminal, or as a page where there is none."""
    out = Console(markup=False, emoji=False, highlight=False)
    if out.is_terminal:
        return out
    return Console(width=_WIDTH, markup=False, emoji=False, highlight=False)


def manifest_of(deployment: Path) -> Path:
    """The manifest itself, or the one in a folder."""
    return deployment / MANIFEST if deployment.is_dir() else deployment


deployment_argument = click.argument(
    "deployment", type=click.Path(path_type=Path, exists=False), metavar="DEPLOYMENT"
)


def lock_beside(loaded: Loaded) -> Lock | None:
    """Return the lock beside a manifest, if there is one."""
    file = lock_path(Path(loaded.file))
    return load_lock(file) if file.exists() else None


def lock_digest(loaded: Loaded) -> str | None:
    """The sha256 of the lock beside a manifest, if there is one."""
    lock = lock_beside(loaded)
    return None if lock is None else hashlib.sha256(lock_text(lock).encode()).hexdigest()


def keep_evidence(loaded: Loaded, records: "Iterable[Record]") -> None:
    """Add figures to the store beside a manifest; a folder that cannot be written is only told."""
    from corrigible.evidence import EvidenceStore, store_path  # noqa: PLC0415

    try:
        with EvidenceStore(store_path(Path(loaded.file))) as store:
            store.add_all(records)
    except EvidenceError as error:
        click.echo(f"no evidence was kept: {error}", err=True)


@contextmanager
def audit_extra() -> Iterator[None]:
    """Say which extra to install where the solver's packages are missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in {"numpy", "scipy", "numba"}:
            raise MissingExtraError(
                f"this command needs {error.name}, which is not installed; "
                "pip install 'corrigible[audit]'"
            ) from None
        raise


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is being done on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _text: None
        return
    with console.status("starting") as status:
        yield status.update
