"""What every command shares: exit codes, where tables go, how errors end, the manifest asked for.

Exit codes: 0 done and within limits; 1 a limit failed; 2 wrong use or bad input; 3 could not
tell.  Tables go to standard output, progress and errors to standard error.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from corrigible.deployment.load import Loaded
from corrigible.deployment.lock import Lock, load_lock, lock_path
from corrigible.deployment.lock import lock_digest as digest_of_lock
from corrigible.errors import (
    CorrigibleError,
    EvidenceError,
    MissingExtraError,
    NotSolvedError,
    UnsaidError,
)

if TYPE_CHECKING:
    from corrigible.case.attempts import Attempt
    from corrigible.evidence import Attachment, EvidenceKind, Record

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
goals_option = click.option(
    "--goals",
    type=click.Choice(["aims", "uniform", "stated"]),
    default="aims",
    show_default=True,
    help="Where goals are drawn from.",
)
seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
evidence_option = click.option(
    "--evidence/--no-evidence",
    default=True,
    show_default=True,
    help="Add the figures to the evidence store beside the manifest.",
)


def lock_beside(loaded: Loaded) -> Lock | None:
    """Return the lock beside a manifest, if there is one."""
    file = lock_path(Path(loaded.file))
    return load_lock(file) if file.exists() else None


def lock_digest(loaded: Loaded) -> str | None:
    """The sha256 of the lock beside a manifest, if there is one."""
    return digest_of_lock(Path(loaded.file))


def keep_evidence(
    loaded: Loaded, records: "Iterable[Record]", attachments: "Iterable[Attachment]" = ()
) -> None:
    """Add figures, and what they are computed from, to the store beside a manifest.

    A folder that cannot be written is only told.
    """
    from corrigible.evidence import EvidenceStore, store_path  # noqa: PLC0415

    try:
        with EvidenceStore(store_path(Path(loaded.file))) as store:
            store.add_all(records, attachments)
    except EvidenceError as error:
        click.echo(f"no evidence was kept: {error}", err=True)


class Attempted:
    """A run that is under way: what it finds is kept with it, or that it found nothing is."""

    def __init__(self, loaded: Loaded, attempt: "Attempt | None", *, keep: bool) -> None:
        self._loaded, self._attempt, self._keep = loaded, attempt, keep

    def found(
        self,
        records: "Iterable[Record]",
        attachments: "Iterable[Attachment]",
        *,
        agent: str = "",
    ) -> None:
        """Keep what a run found, and close its attempt; `agent`: its name, if known only now."""
        kept = tuple(records) if self._keep else ()
        if self._keep:
            keep_evidence(self._loaded, kept, attachments)
        self.close(kept, agent=agent, why="" if kept else "its figures were not kept")

    def close(
        self,
        records: "Iterable[Record]" = (),
        *,
        agent: str = "",
        aborted: bool = False,
        played: int | None = None,
        why: str = "",
    ) -> None:
        """Write down how the run ended; only the first time counts."""
        if self._attempt is None:
            return
        from corrigible.case.attempts import close_attempt  # noqa: PLC0415
        from corrigible.evidence import EvidenceStore, store_path  # noqa: PLC0415

        try:
            with EvidenceStore(store_path(Path(self._loaded.file))) as store:
                close_attempt(
                    store, self._attempt, records, agent=agent, played=played, why=why,
                    state="aborted" if aborted else "done",
                )  # fmt: skip
        except EvidenceError as error:
            click.echo(f"how the attempt ended was not written down: {error}", err=True)
        self._attempt = None


@contextmanager
def attempting(
    loaded: Loaded,
    kind: "EvidenceKind",
    *,
    keep: bool,
    agent: str = "",
    seed: int | None = None,
    drives: "Iterable[str]" = (),
    plan: "Mapping[str, Any]",
) -> Iterator[Attempted]:
    """Write down that a run begins, before its first trial, and how it ends.

    What is refused for wrong use had no trial.  Whatever else ends it, also an interrupt, leaves
    it aborted.  Without `keep` it is written down only where there is a store already.
    """
    from corrigible.case.attempts import open_attempt  # noqa: PLC0415
    from corrigible.evidence import (  # noqa: PLC0415
        Digests,
        EvidenceStore,
        software_digest,
        store_path,
    )

    path = store_path(Path(loaded.file))
    own = hashlib.sha256(agent.encode()).hexdigest() if agent else None
    lock = lock_digest(loaded)
    digests = Digests(loaded.digest, loaded.digest, software_digest(), lock, own)
    opened = None
    if keep or path.exists():
        try:
            with EvidenceStore(path) as store:
                opened = open_attempt(
                    store, kind, deployment=loaded.deployment.name, digests=digests, agent=agent,
                    seed=seed, drives=drives, plan=plan,
                )  # fmt: skip
        except EvidenceError as error:
            click.echo(f"the attempt was not written down: {error}", err=True)
    run = Attempted(loaded, opened, keep=keep)
    try:
        yield run
    except CorrigibleError as error:
        run.close(aborted=True, played=0, why=f"refused: {error}"[:200])
        raise
    except BaseException as error:
        run.close(aborted=True, why=f"{type(error).__name__}: {error}"[:200])
        raise
    run.close(why="its figures were not kept")


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
