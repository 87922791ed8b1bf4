"""The operator's commands: stop and resume, approve and reject, and read the ledger.

They speak to a running guard over its own socket, with the operator's credential; a stop also
works where the guard hangs or does not run.
"""

import getpass
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from corrigible.cli.guards import state_option
from corrigible.cli.shared import MANIFEST, OVER, errors_as_exit_codes, manifest_of
from corrigible.errors import OperatorError

if TYPE_CHECKING:
    from corrigible.guard.state import StateDirectory
    from corrigible.guard.stopping import StopReport

_F = TypeVar("_F", bound=Callable[..., Any])
_SCOPES = ("server", "tool", "call", "agent")


def _of_deployment(command: _F) -> _F:
    """Add the options that say whose guard is meant."""
    of = click.option(
        "-d",
        "--deployment",
        type=click.Path(path_type=Path),
        default=Path(MANIFEST),
        show_default=True,
        help="The manifest, or its folder.",
    )
    return of(state_option(command))


def _scoped(command: _F) -> _F:
    """Add the options that say what of it is meant; none of them: all."""
    for kind in reversed(_SCOPES):
        command = click.option(f"--{kind}", metavar="NAME", help=f"Only this {kind}.")(command)
    return command


def _state(deployment: Path, folder: Path | None) -> "StateDirectory":
    from corrigible.guard.state import found_state, state_directory  # noqa: PLC0415

    return found_state(state_directory(manifest_of(deployment), folder))


def _scope(names: Mapping[str, str | None]) -> dict[str, str]:
    given = {kind: name for kind, name in names.items() if kind in _SCOPES and name}
    if len(given) > 1:
        raise OperatorError(f"one scope at a time, got {', '.join(sorted(given))}")
    return next(({"kind": k, "name": n} for k, n in given.items() if n), {"kind": "all"})


def _ask(
    state: "StateDirectory", request: Mapping[str, Any], timeout_s: float = 10.0
) -> dict[str, Any]:
    from corrigible.guard.operator_client import ask_guard  # noqa: PLC0415

    return ask_guard(state, request, timeout_s)


@click.command()
@click.option("--why", default="", help="For the ledger.")
@click.option("--grace", type=click.FloatRange(0, 60), default=2.0, show_default=True)
@_scoped
@_of_deployment
def stop(
    *, deployment: Path, state_folder: Path | None, why: str, grace: float, **names: str | None
) -> None:
    """Stop the deployment, or one server, tool, call or agent of it; it stays stopped.

    Closes admission, voids approvals, cancels calls in flight, kills the servers' processes,
    proves them gone and says what it could not reach.  Needs no approval; works where the guard
    hangs.  Exit code 1: something is not proven stopped.
    """
    with errors_as_exit_codes():
        state, scope = _state(deployment, state_folder), _scope(names)
        try:
            found = _ask(
                state,
                {"do": "stop", "grace_s": grace, "why": why, "by": _me(), **scope},
                grace + 10,
            )
            click.echo(found["text"])
            proven = bool(found["report"]["proven"])
        except OperatorError as error:
            click.echo(str(error), err=True)
            report = _stopped_by_hand(state, scope, why)
            click.echo(report.text())
            proven = report.proven
    sys.exit(0 if proven else OVER)


def _stopped_by_hand(state: "StateDirectory", scope: Mapping[str, str], why: str) -> "StopReport":
    """Write the latch from here; where a guard holds the directory and hangs, end it too."""
    from corrigible.guard.inflight import InFlight  # noqa: PLC0415
    from corrigible.guard.latch import Latch, Scope  # noqa: PLC0415
    from corrigible.guard.state import guard_holder  # noqa: PLC0415
    from corrigible.guard.stopping import stop as stop_now  # noqa: PLC0415
    from corrigible.guard.stopping import stop_hung_guard  # noqa: PLC0415
    from corrigible.guard.trees import Trees  # noqa: PLC0415

    latch, by, holder = Latch(state.latch), _me(), guard_holder(state)
    if holder is not None:
        return stop_hung_guard(
            latch, pid=holder.pid, started=holder.started, marker=holder.marker, why=why, by=by
        )
    wanted = Scope(scope["kind"], scope.get("name", ""))  # type: ignore[arg-type]  # checked
    return stop_now(latch, InFlight(), Trees(), scope=wanted, why=why, by=by)


@click.command()
@click.option("--why", default="", help="For the ledger.")
@_scoped
@_of_deployment
def pause(*, deployment: Path, state_folder: Path | None, why: str, **names: str | None) -> None:
    """Hold back new calls; those in flight go on."""
    with errors_as_exit_codes():
        state = _state(deployment, state_folder)
        found = _ask(state, {"do": "pause", "why": why, "by": _me(), **_scope(names)})
        click.echo(f"paused (epoch {found['epoch']})")


@click.command()
@_scoped
@_of_deployment
def resume(*, deployment: Path, state_folder: Path | None, **names: str | None) -> None:
    """Let what was stopped or paused run again; nobody but the operator can.

    Works without a running guard too: a stopped deployment stays stopped until this.
    """
    from corrigible.guard.latch import Latch, Scope  # noqa: PLC0415
    from corrigible.guard.state import guard_holder  # noqa: PLC0415

    with errors_as_exit_codes():
        state, scope = _state(deployment, state_folder), _scope(names)
        if guard_holder(state) is not None:
            epoch = _ask(state, {"do": "resume", "by": _me(), **scope})["epoch"]
        else:
            wanted = Scope(scope["kind"], scope.get("name", ""))  # type: ignore[arg-type]  # checked
            epoch = Latch(state.latch).resume(wanted, _me()).epoch
        click.echo(f"running again (epoch {epoch})")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_of_deployment
def pending(*, deployment: Path, state_folder: Path | None, as_json: bool) -> None:
    """Show what waits for an answer: every call in full, as it would be sent."""
    with errors_as_exit_codes():
        found = _ask(_state(deployment, state_folder), {"do": "pending"})["pending"]
        if as_json:
            click.echo(json.dumps(found, indent=1))
            return
        for one in found:
            asked = f", asked {one['count']} times" if one["count"] > 1 else ""
            click.echo(
                f"{one['id']}  waits {one['waits_s']:.0f} s{asked}, "
                f"expires in {one['expires_s']:.0f} s"
            )
            click.echo(one["preview"] + "\n")
        click.echo(f"{len(found)} waiting" if found else "Nothing waits.")


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--count", type=click.IntRange(min=1), default=1, help="So many equal calls.")
@click.option("--why", default="", help="For the ledger.")
@_of_deployment
def approve(id_: str, *, deployment: Path, state_folder: Path | None, count: int, why: str) -> None:
    """Let exactly this call, or plan, be dispatched: once, soon, under this manifest."""
    with errors_as_exit_codes():
        state = _state(deployment, state_folder)
        found = _ask(state, {"do": "approve", "id": id_, "count": count, "why": why, "by": _me()})
        click.echo(f"approved {found['id']}, {found['count']} time(s)")


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--why", default="", help="The agent is told this.")
@_of_deployment
def reject(id_: str, *, deployment: Path, state_folder: Path | None, why: str) -> None:
    """Deny what is pending; the same call is not asked again for a while."""
    with errors_as_exit_codes():
        state = _state(deployment, state_folder)
        _ask(state, {"do": "reject", "id": id_, "why": why, "by": _me()})
        click.echo(f"rejected {id_}")


@click.command()
@click.argument("plan_file", type=click.Path(path_type=Path), metavar="PLAN.json")
@_of_deployment
def plan(plan_file: Path, *, deployment: Path, state_folder: Path | None) -> None:
    """Put a list of calls up as a whole; once approved, only they pass, in their order."""
    from corrigible.guard.strict import parse_strict  # noqa: PLC0415

    with errors_as_exit_codes():
        try:
            steps = parse_strict(plan_file.read_bytes())
        except OSError as error:
            raise OperatorError(f"{plan_file}: {error.strerror}") from None
        found = _ask(_state(deployment, state_folder), {"do": "put up", "plan": steps, "by": _me()})
        click.echo(found["preview"])
        click.echo(f"\npending, {found['id']}: `corrigible approve {found['id']}`")


@click.command()
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--why", default="", help="For the ledger.")
@_of_deployment
def correct(manifest: Path, *, deployment: Path, state_folder: Path | None, why: str) -> None:
    """Replace the manifest under a running guard; what was decided before is void."""
    with errors_as_exit_codes():
        state, new = _state(deployment, state_folder), manifest_of(manifest).resolve()
        found = _ask(state, {"do": "correct", "manifest": str(new), "why": why, "by": _me()}, 30.0)
        click.echo(f"corrected: {found['voided']} approvals void, now {found['after']}")


@click.command()
@click.option("--rest-over", is_flag=True, help="Ask again after too many approvals.")
@_of_deployment
def status(*, deployment: Path, state_folder: Path | None, rest_over: bool) -> None:
    """Show how the guard stands: latch, calls in flight, budgets, approvals given (JSON)."""
    with errors_as_exit_codes():
        state = _state(deployment, state_folder)
        if rest_over:
            _ask(state, {"do": "rest", "by": _me()})
        click.echo(json.dumps(_ask(state, {"do": "status"}), indent=1))


@click.group()
def ledger() -> None:
    """Verify, export or read the guard's log."""


@ledger.command()
@click.option(
    "--heads",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Signed heads that were kept elsewhere: a cut tail shows against them.",
)
@_of_deployment
def verify(*, deployment: Path, state_folder: Path | None, heads: Path | None) -> None:
    """Check every entry, the chain, and the signed heads.  Exit code 1: something was changed."""
    from corrigible.guard.ledger_head import read_heads  # noqa: PLC0415
    from corrigible.guard.signing import signing_key  # noqa: PLC0415
    from corrigible.guard.verify import verify as check  # noqa: PLC0415

    with errors_as_exit_codes():
        state = _state(deployment, state_folder)
        kept = read_heads(heads.read_text("ascii").splitlines()) if heads else ()
        public = signing_key(state.signing_key, create=False).public
        found = check(state.ledger, kept, public)
        click.echo(found.text())
    sys.exit(0 if found.ok else OVER)


@ledger.command()
@click.option("--heads", "only_heads", is_flag=True, help="Only the signed heads.")
@_of_deployment
def export(*, deployment: Path, state_folder: Path | None, only_heads: bool) -> None:
    """Print every entry as a line of JSON, or the signed heads, to be kept elsewhere."""
    from corrigible.guard import ledger_text  # noqa: PLC0415

    with errors_as_exit_codes():
        path = _state(deployment, state_folder).ledger
        _print_lines(ledger_text.export_heads(path) if only_heads else ledger_text.export(path))


@ledger.command()
@click.option("-n", "count", type=click.IntRange(1, 10_000), default=20, show_default=True)
@_of_deployment
def tail(*, deployment: Path, state_folder: Path | None, count: int) -> None:
    """Print the last entries, a line each."""
    from corrigible.guard.ledger_text import tail as last  # noqa: PLC0415

    with errors_as_exit_codes():
        _print_lines(last(_state(deployment, state_folder).ledger, count))


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _me() -> str:
    """Name the operator for the ledger: who is logged in, as the system says."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "operator"
