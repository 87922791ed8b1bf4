"""Where a drill is played: the guard itself, on a state of its own, before simulated servers.

The gate, ledger, latch, approvals and process trees are those of a live guard.  The servers are
functions that write down what reached them; the lock is made from what these functions list.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from corrigible.deployment.listing import ListedTool, Listing
from corrigible.deployment.load import Loaded, load_deployment
from corrigible.deployment.lock import lock_of, lock_path, write_lock
from corrigible.deployment.places import arguments_of
from corrigible.deployment.records import Deployment
from corrigible.deployment.rules import rules_of
from corrigible.errors import DeniedError, GuardError, WithheldError
from corrigible.guard.bodies import Admission
from corrigible.guard.budgets import Budgets
from corrigible.guard.call import Call
from corrigible.guard.gate import Gate, Past
from corrigible.guard.names import is_method
from corrigible.guard.policy import Policy
from corrigible.guard.redact import Redactor
from corrigible.guard.seen import Seen
from corrigible.guard.session import Session, open_session
from corrigible.guard.state import open_state
from corrigible.guard.stopping import Beyond
from corrigible.guard.strict import StrictError, parse_strict
from corrigible.guard.weights import table_path

_MANIFEST = "deployment.yaml"
SECRET = "drilled-secret-7c1f0a93b2"  # noqa: S105  (a decoy: what the ledger must not hold)

NOTE = "drill_note"
"""An argument that every simulated tool takes and nothing reads."""

State = Literal["reached", "denied", "pending", "not dispatched", "withheld"]


@dataclass(frozen=True)
class Fired:
    """What became of one call: `reached` the server, or was stopped before it, by which rule.

    `withheld`: it reached the server, and the agent did not get what came back.
    """

    state: State
    rule: str
    admission: Admission | None = None
    message: str = ""


@dataclass(eq=False)
class Stage:
    """An open guard and its simulated servers; `received` is what reached these, in order."""

    folder: Path
    session: Session
    listings: tuple[Listing, ...]
    received: list[Call] = field(default_factory=list)

    @property
    def deployment(self) -> Deployment:
        """The deployment that is drilled."""
        return self.session.loaded.deployment

    @property
    def policy(self) -> Policy:
        """What its calls are decided from."""
        return self.session.gate.policy

    def fresh(self, policy: Policy | None = None) -> Gate:
        """Return a gate at the start of a run: nothing seen, nothing used, nothing asked."""
        known = policy or self.policy
        past = Past(Seen.start(known.deployment), Budgets(known.deployment.budgets))
        gate = self.session.gate
        return Gate(known, past, gate.ledger, gate.latch, redact=gate.redact)

    def fire(self, gate: Gate, call: Call) -> Fired:
        """Put one call through the gate, to its server where it may go, and back."""
        admission = gate.admit(call)
        if admission.state != "go":
            state: State = "denied" if admission.state == "denied" else "pending"
            return Fired(state, admission.decision.rule, admission, admission.message)
        return self.send(gate, admission)

    def send(self, gate: Gate, admission: Admission) -> Fired:
        """Dispatch an admitted call to its simulated server, and release what comes back."""
        rule = admission.decision.rule
        try:
            gate.dispatch(admission, lambda: None)
        except DeniedError as error:
            return Fired("not dispatched", rule, admission, str(error))
        self.received.append(admission.call)
        try:
            gate.release(admission, "completed", {"ok": True})
        except WithheldError as error:
            return Fired("withheld", rule, admission, str(error))
        return Fired("reached", rule, admission)

    def fire_raw(self, gate: Gate, server: str, tool: str, raw: str) -> Fired:
        """Fire a call whose arguments are a JSON text, read as the guard's front reads it."""
        try:
            arguments = parse_strict(raw)
        except StrictError as error:
            return Fired("denied", error.rule, None, str(error))
        return self.fire(gate, Call(server, tool, arguments))


def simulated(deployment: Deployment) -> tuple[Listing, ...]:
    """Return what the simulated servers list: the manifest's tools, with open schemas.

    A schema names the arguments that the manifest speaks of, and takes others too: the real ones
    are known by their digest alone.
    """
    conditions = {
        condition.name.partition(".")[2]
        for rule in rules_of(deployment)
        for condition in rule.conditions
        if condition.name.startswith("arguments.")
    }
    found: dict[str, list[ListedTool]] = {server: [] for server in deployment.servers}
    for name, tool in deployment.tools.items():
        server, _, short = name.partition(".")
        if is_method(short):
            continue
        named = {n for template in tool.target or () for n in arguments_of(template)} | conditions
        named |= {NOTE} | ({tool.amount.arg} if tool.amount else set())
        schema = {
            "type": "object",
            "properties": {n: {} for n in sorted(named)},
            "additionalProperties": True,
        }
        found[server].append(ListedTool(short, description="simulated", input_schema=schema))
    return tuple(Listing(server, tuple(tools)) for server, tools in found.items())


@contextmanager
def open_stage(
    loaded: Loaded,
    *,
    contained: bool = False,
    edit: Callable[[str], str] = str,
    folder: Path | None = None,
) -> Iterator[Stage]:
    """Open a guard of this deployment on a state directory of its own, which ends with it.

    `edit` changes the manifest's text first.  `folder`: the stage's own, kept when it closes, so
    that a second guard can go on from there.

    Raises:
        ManifestError, StaleTableError: as for a live guard.
        GuardError: the manifest is no file that can be copied.
    """
    if folder is None:
        with (
            tempfile.TemporaryDirectory(prefix="corrigible-drill-") as made,
            open_stage(loaded, contained=contained, edit=edit, folder=Path(made)) as stage,
        ):
            yield stage
        return
    copy = _copied(Path(loaded.file), folder, edit)
    listings = simulated(copy.deployment)
    write_lock(lock_of(listings), lock_path(Path(copy.file)))
    beyond = Beyond(local=frozenset(copy.deployment.servers), contained=contained)
    environ = _decoys(copy.deployment)
    state = open_state(folder / "state")
    with open_session(copy, state, beyond=beyond, environ=environ) as session:
        for listing in listings:
            session.gate.listed(listing)
        session.gate.redact = _with_decoy(session)
        yield Stage(folder, session, listings)


def _copied(manifest: Path, folder: Path, edit: Callable[[str], str]) -> Loaded:
    target = folder / _MANIFEST
    try:
        target.write_text(edit(manifest.read_text(encoding="utf-8")), encoding="utf-8")
        if table_path(manifest).exists():
            shutil.copyfile(table_path(manifest), table_path(target))
    except OSError as error:
        raise GuardError(f"{manifest}: cannot be copied for a drill: {error}") from error
    return load_deployment(target)


def _decoys(deployment: Deployment) -> Mapping[str, str]:
    """Return a decoy for each secret that the manifest refers to."""
    names = set[str]()
    for server in deployment.servers.values():
        references = [*server.env.values(), *server.headers.values()]
        names |= {one.env for one in [*references, *([server.auth] if server.auth else [])]}
    return dict.fromkeys(names, SECRET)


def _with_decoy(session: Session) -> Callable[[Any], Any]:
    """Return a redaction that knows the decoy also where the manifest refers to no secret."""
    inner = session.gate.redact
    decoy = Redactor({SECRET}, b"drill")
    return lambda value: decoy.redact(inner(value))
