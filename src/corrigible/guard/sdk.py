"""The guard around plain Python tools: a context manager, a call, a decorator; sync and async.

    with Guard("deployment.yaml") as guard:

        @guard.tool("mail.send")
        def send(to: str, body: str) -> str: ...

        send(to="ann@example.org", body="hello")     # decided, kept, stoppable

What runs in the agent's own process can leave it without the guard: such a guard is advice, and
every stop says `the agent is not contained`.
"""

import asyncio
import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar, cast

import anyio.to_thread

from corrigible.deployment.load import Loaded, load_deployment
from corrigible.errors import DeniedError, GuardError, PendingError, WithheldError
from corrigible.guard.bodies import Admission
from corrigible.guard.call import Call, Caller
from corrigible.guard.gate import Gate
from corrigible.guard.latch import EVERYTHING, Scope
from corrigible.guard.session import Session, open_session
from corrigible.guard.state import open_state, state_directory
from corrigible.guard.stopping import Beyond, StopReport
from corrigible.guard.strict import StrictError, check_arguments

_P = ParamSpec("_P")
_T = TypeVar("_T")
Arguments = Mapping[str, Any]


class Guard:
    """The guard of one deployment, for tools that are Python functions.

    Args:
        manifest: the deployment, or its folder.  Its tools are `server.tool`; the servers of
            functions are described, not started (neither `command` nor `url`).
        state: the state directory; by default the deployment's own (see `state.state_directory`).
        new_run: begin a new run: budgets count from here.
        caller: who calls where nothing else is said.
        agent_socket: where other processes of the agent ask for decisions, as `corrigible hook`
            does (see `agent_door`); no such door is opened without it.

    Raises (on entering):
        ManifestError: the manifest breaks a rule.
        GuardError: another guard runs, or its files cannot be trusted.
    """

    def __init__(
        self,
        manifest: Path | str,
        *,
        state: Path | None = None,
        new_run: bool = False,
        caller: str = "agent",
        agent_socket: Path | None = None,
    ) -> None:
        path = Path(manifest)
        self._manifest = path / "deployment.yaml" if path.is_dir() else path
        self._folder, self._new_run, self._agent_socket = state, new_run, agent_socket
        self._caller = Caller(caller)
        self._stack = ExitStack()
        self._session: Session | None = None

    # -- opening and closing ---------------------------------------------------------------

    def __enter__(self) -> Self:
        loaded = load_deployment(self._manifest)
        _require_functions(loaded)
        state = open_state(state_directory(self._manifest, self._folder))
        beyond = Beyond(local=frozenset(loaded.deployment.servers))
        self._session = self._stack.enter_context(
            open_session(
                loaded,
                state,
                live=False,
                new_run=self._new_run,
                beyond=beyond,
                agent_socket=self._agent_socket,
            )
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._session = None
        self._stack.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, *error: object) -> None:
        self.__exit__(*error)

    @property
    def session(self) -> Session:
        """The open session.

        Raises:
            GuardError: the guard is not open.
        """
        if self._session is None:
            raise GuardError("the guard is not open; use `with Guard(manifest) as guard:`")
        return self._session

    def stop(self, scope: Scope = EVERYTHING, *, why: str = "", by: str = "program") -> StopReport:
        """Stop the deployment or a part of it (see `stopping.stop`); only an operator resumes."""
        return self.session.stop(scope, why=why, by=by)

    # -- calls -----------------------------------------------------------------------------

    def call(
        self,
        name: str,
        function: Callable[..., _T],
        arguments: Arguments,
        *,
        caller: Caller | None = None,
        wait_s: float = 0.0,
    ) -> _T:
        """Call a function as the tool `name`, if the guard lets it.

        What is decided is what the function gets: a copy, its defaults filled in.
        `wait_s`: how long to wait for an operator where the call needs one.

        Raises:
            DeniedError: it is denied; nothing was called.
            PendingError: it waits for an operator; nothing was called.
            WithheldError: it was called, and a stop came meanwhile.
            TypeError: the function takes what the guard could not see, or works on after it
                returned.
        """
        named = _named(name, function, (), arguments)
        return self.perform(
            name, named, lambda given: function(**given), caller=caller, wait_s=wait_s
        )

    async def call_async(
        self,
        name: str,
        function: Callable[..., Awaitable[_T]],
        arguments: Arguments,
        *,
        caller: Caller | None = None,
        wait_s: float = 0.0,
    ) -> _T:
        """`call`, for a coroutine function; a stop cancels it."""
        named = _named(name, function, (), arguments)
        return await self.perform_async(
            name, named, lambda given: function(**given), caller=caller, wait_s=wait_s
        )

    def perform(
        self,
        name: str,
        arguments: Arguments,
        work: Callable[[dict[str, Any]], _T],
        *,
        caller: Caller | None = None,
        wait_s: float = 0.0,
    ) -> _T:
        """Do a piece of work as one call of the tool `name`, for tools that are no functions.

        `work` is given a copy of the arguments that were decided on: it must use no others.

        Raises:
            As `call`.
        """
        gate, call = self.session.gate, self._call_of(name, arguments, caller)
        admission = self._admitted(call, wait_s)
        gate.dispatch(admission, lambda: None)
        try:
            result = work(copy.deepcopy(dict(call.arguments)))
            _require_done(name, result)
        except Exception as error:
            gate.release(admission, "failed", {"raised": type(error).__name__})
            raise
        except BaseException:
            with suppress(WithheldError):  # whoever interrupted must get through
                gate.release(admission, "unknown", {"raised": "it was interrupted"})
            raise
        gate.release(admission, "completed", result)
        return result

    async def perform_async(
        self,
        name: str,
        arguments: Arguments,
        work: Callable[[dict[str, Any]], Awaitable[_T]],
        *,
        caller: Caller | None = None,
        wait_s: float = 0.0,
    ) -> _T:
        """`perform`, for work that is awaited; a stop cancels it.

        Raises:
            WithheldError: a stop came meanwhile; nobody knows what a cancelled call still did.
        """
        gate, call = self.session.gate, self._call_of(name, arguments, caller)
        admission = await self._admitted_async(call, wait_s)
        running = _Running()
        gate.dispatch(admission, running.stop)
        try:
            # Only now: to make an awaitable may be to begin.
            result = await running.of(name, work(copy.deepcopy(dict(call.arguments))))
        except asyncio.CancelledError:
            with suppress(WithheldError):
                gate.release(admission, "unknown", {"raised": "it was cancelled"})
            task = asyncio.current_task()
            if running.stopped and not (task and task.cancelling()):
                # The caller's own task goes on: it was not the one that was cancelled.
                raise WithheldError(
                    f"{name} was stopped while it ran: nobody knows whether it had its effect"
                ) from None
            raise
        except Exception as error:
            gate.release(admission, "failed", {"raised": type(error).__name__})
            raise
        except BaseException:
            with suppress(WithheldError):
                gate.release(admission, "unknown", {"raised": "it was interrupted"})
            raise
        gate.release(admission, "completed", result)
        return result

    def tool(
        self, name: str, *, caller: Caller | None = None, wait_s: float = 0.0
    ) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
        """Return a decorator that makes every call of a function a call of the tool `name`.

        Raises:
            TypeError: the function takes what the guard could not see (`*args`, `**kwargs`,
                arguments without a name), or works on after it returned (a generator).
        """

        def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
            _signature(function)

            @functools.wraps(function)
            def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _T:
                named = _named(name, function, args, kwargs)
                return self.call(name, function, named, caller=caller, wait_s=wait_s)

            @functools.wraps(function)
            async def guarded_async(*args: _P.args, **kwargs: _P.kwargs) -> Any:
                named = _named(name, function, args, kwargs)
                asynchronous = cast("Callable[..., Awaitable[Any]]", function)
                return await self.call_async(
                    name, asynchronous, named, caller=caller, wait_s=wait_s
                )

            if inspect.iscoroutinefunction(function):
                return cast("Callable[_P, _T]", guarded_async)
            return guarded

        return decorate

    # -- admission -------------------------------------------------------------------------

    def _call_of(self, name: str, arguments: Arguments, caller: Caller | None) -> Call:
        """Return the call, with arguments that nobody else holds.

        Raises:
            DeniedError: the arguments are no plain JSON; the ledger has the attempt.
        """
        server, _, tool = name.partition(".")
        who = caller or self._caller
        try:
            checked = check_arguments(arguments)
        except StrictError as error:
            self._refused(Call(server, tool, arguments, who.name, who.lineage))
            raise DeniedError(f"{name} is denied by {error.rule}: {error}") from None
        return Call(server, tool, checked, who.name, who.lineage)

    def _refused(self, call: Call) -> None:
        """Have the gate deny what is no JSON, for its ledger; whatever it says, it is denied."""
        gate = self.session.gate
        _drop(gate, gate.admit(call), "its arguments are no JSON")

    def _admitted(self, call: Call, wait_s: float) -> Admission:
        gate = self.session.gate
        admission = gate.admit(call)
        if admission.state == "pending" and admission.pending and wait_s > 0:
            gate.approvals.wait(admission.pending, wait_s)
            admission = gate.admit(call)
        return _let_in(admission)

    async def admission_async(
        self,
        name: str,
        arguments: Arguments,
        *,
        caller: Caller | None = None,
        wait_s: float = 0.0,
    ) -> Admission:
        """Ask for one call, and do not make it: for who dispatches and releases it elsewhere.

        Raises:
            DeniedError: the arguments are no plain JSON; every other denial is in what comes back.
        """
        return await self._asked_async(self._call_of(name, arguments, caller), wait_s)

    async def _admitted_async(self, call: Call, wait_s: float) -> Admission:
        return _let_in(await self._asked_async(call, wait_s))

    async def _asked_async(self, call: Call, wait_s: float) -> Admission:
        gate = self.session.gate
        admission = await _admit_async(gate, call)
        if admission.state != "pending" or not admission.pending or wait_s <= 0:
            return admission
        clock = asyncio.get_running_loop().time
        until = clock() + wait_s
        # No thread waits: many calls may, and threads are few.
        while clock() < until and _still_waits(gate, admission.pending):  # noqa: ASYNC110  (an operator answers in a thread of its own)
            await asyncio.sleep(min(_LOOK_S, max(0.0, until - clock())))
        return await _admit_async(gate, call)


_LOOK_S = 0.05


class _Running:
    """The work of one asynchronous call, which a stop cancels from any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Any] | None = None
        self.stopped = False

    def of(self, name: str, work: Awaitable[_T]) -> "asyncio.Future[_T]":
        """Begin the work.

        Raises:
            TypeError: it is nothing that can be awaited.
        """
        if not inspect.isawaitable(work):
            raise TypeError(f"{name}: an asynchronous tool must be awaited, got {type(work)}")
        future = asyncio.ensure_future(work)
        self._future = future
        return future

    def stop(self) -> None:
        with suppress(RuntimeError):  # the loop has ended: so has the call
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._future is not None and not self._future.done():
            self.stopped = self._future.cancel()


async def _admit_async(gate: Gate, call: Call) -> Admission:
    """Admit a call; what is admitted for a caller that has gone meanwhile is not dispatched."""
    admitting = asyncio.ensure_future(anyio.to_thread.run_sync(gate.admit, call))

    def ended(done: "asyncio.Future[Admission]") -> None:
        if not done.cancelled() and done.exception() is None:
            _drop(gate, done.result(), "the caller has gone")

    try:
        return await asyncio.shield(admitting)
    except asyncio.CancelledError:
        admitting.add_done_callback(ended)
        raise


def _drop(gate: Gate, admission: Admission, why: str) -> None:
    """Write that an admitted call is not dispatched after all."""
    if admission.state == "go":
        with suppress(WithheldError):
            gate.release(admission, "not dispatched", why)


def _still_waits(gate: Gate, pending: str) -> bool:
    found = gate.approvals.request(pending)
    return found is not None and found.state == "waiting"


def _let_in(admission: Admission) -> Admission:
    if admission.state == "denied":
        raise DeniedError(f"{admission.call.name} is {admission.message}")
    if admission.state == "pending":
        raise PendingError(admission.message, id=admission.pending)
    return admission


_UNSEEN = {
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
    inspect.Parameter.POSITIONAL_ONLY,
}


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(function)
    if any(one.kind in _UNSEEN for one in signature.parameters.values()):
        raise TypeError(
            "a guarded tool names every parameter: it takes no *args, no **kwargs and none that "
            "goes by position alone"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("a guarded tool does its work before it returns: it is no generator")
    return signature


def _named(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Arguments
) -> dict[str, Any]:
    """Return every argument of a call by its name, those left out too."""
    signature = _signature(function)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise DeniedError(f"{name}: the arguments do not fit the function: {error}") from None
    bound.apply_defaults()
    return dict(bound.arguments)


def _require_done(name: str, result: object) -> None:
    """Refuse a result whose work is still to come: it would be done unseen.

    Raises:
        TypeError: it is a coroutine or a generator.
    """
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()
    elif not (inspect.isawaitable(result) or inspect.isasyncgen(result)):
        return
    raise TypeError(
        f"{name}: a guarded tool does its work before it returns, got a {type(result).__name__}; "
        "an asynchronous function goes through `call_async`"
    )


def _require_functions(loaded: Loaded) -> None:
    started = [n for n, s in loaded.deployment.servers.items() if s.command or s.url]
    if started:
        raise GuardError(
            f"{loaded.file}: the servers {', '.join(sorted(started))} are started or reached, and "
            "an SDK guards functions; put `corrigible guard` in front of them, and give the "
            "functions a manifest of their own"
        )
