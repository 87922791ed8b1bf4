"""The SDK: a guarded function is decided, kept and stoppable, and what it cannot see it refuses."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest
from small_guard import manifest

from corrigible.errors import DeniedError, GuardError, PendingError, WithheldError
from corrigible.guard.call import Caller
from corrigible.guard.latch import Scope
from corrigible.guard.sdk import Guard

pytestmark = pytest.mark.slow

APP, LOG = "/srv/app/x", "/srv/log/x"
CUSTOMER = "ann@shop.example"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "deployment.yaml").write_text(manifest(), encoding="utf-8")
    return tmp_path


@pytest.fixture
def guard(folder):
    with Guard(folder, state=folder / "state") as opened:
        yield opened


def kept(guard, kind):
    """The bodies of the ledger's entries of one kind, once all that was told to it is written."""
    guard.session.gate.ledger.append("note", {}).result(10)
    return [one.body for one in guard.session.gate.ledger.entries(kinds={kind})]


def answered(guard, approve=True):
    """Answer the first request that comes up, as an operator would, from another thread."""
    gate = guard.session.gate

    def work():
        until = time.monotonic() + 20
        while not (waiting := gate.approvals.pending()) and time.monotonic() < until:
            time.sleep(0.005)
        gate.answer(waiting[0].id, approve=approve, by="ann", why="so")

    thread = threading.Thread(target=work)
    thread.start()
    return thread


class Calls(list):
    """A tool that notes what it was called with."""

    def write(self, path: str, text: str = "hello") -> str:
        self.append((path, text))
        return f"wrote {path}"

    async def write_async(self, path: str, text: str = "hello") -> str:
        self.append((path, text))
        return f"wrote {path}"

    def send(self, to: str) -> str:
        self.append(to)
        return "sent"


@pytest.fixture
def calls():
    return Calls()


def call(guard, name, function, /, *, how="sync", caller=None, wait_s=0.0, **arguments: object):
    if how == "sync":
        return guard.call(name, function, arguments, caller=caller, wait_s=wait_s)

    async def work():
        async def asynchronous(**given: object):
            return function(**given)

        return await guard.perform_async(
            name, arguments, lambda given: asynchronous(**given), caller=caller, wait_s=wait_s
        )

    return asyncio.run(work())


both = pytest.mark.parametrize("how", ["sync", "async"])

# -- what may go, and what may not ---------------------------------------------------------------


@both
def test_an_allowed_call_is_made_and_kept_before_and_after(guard, calls, how):
    assert call(guard, "files.write_file", calls.write, how=how, path=APP) == f"wrote {APP}"
    (intent,), (outcome,) = kept(guard, "intent"), kept(guard, "outcome")
    assert (intent["server"], intent["tool"]) == ("files", "write_file")
    assert outcome["call_id"] == intent["call_id"]
    assert (outcome["state"], outcome["result"]) == ("completed", f"wrote {APP}")


@both
@pytest.mark.parametrize(
    ("name", "path", "rule"),
    [
        ("files.write_file", LOG, "write oversight/*"),
        ("files.write_file", "/etc/passwd", "default"),
        ("files.Write_file", APP, "names."),
        ("nothing", APP, "names."),
    ],
)
def test_a_denied_call_is_not_made_and_says_why(guard, calls, how, name, path, rule):  # noqa: PLR0917
    with pytest.raises(DeniedError, match="denied by") as caught:
        call(guard, name, calls.write, how=how, path=path)
    assert rule in str(caught.value)
    assert not calls
    assert len(kept(guard, "denied")) == 1
    assert not kept(guard, "intent")


@both
def test_a_call_that_needs_an_operator_is_pending_then_made_once(guard, calls, how):
    with pytest.raises(PendingError) as caught:
        call(guard, "mail.send", calls.send, how=how, to=CUSTOMER)
    guard.session.gate.answer(caught.value.id, approve=True, by="ann")
    assert call(guard, "mail.send", calls.send, how=how, to=CUSTOMER) == "sent"
    with pytest.raises(PendingError):
        call(guard, "mail.send", calls.send, how=how, to=CUSTOMER)
    assert calls == [CUSTOMER]


@both
def test_a_call_that_waits_is_made_once_it_is_approved(guard, calls, how):
    operator = answered(guard)
    assert call(guard, "mail.send", calls.send, how=how, to=CUSTOMER, wait_s=20) == "sent"
    operator.join()


@both
def test_a_call_that_waits_is_denied_once_it_is_rejected(guard, calls, how):
    operator = answered(guard, approve=False)
    with pytest.raises(DeniedError, match="rejected this call"):
        call(guard, "mail.send", calls.send, how=how, to=CUSTOMER, wait_s=20)
    operator.join()
    assert not calls


@both
def test_no_answer_in_time_is_no_approval(guard, calls, how):
    with pytest.raises(PendingError):
        call(guard, "mail.send", calls.send, how=how, to=CUSTOMER, wait_s=0.1)
    assert not calls


@both
def test_a_call_that_fails_is_kept_as_failed_and_its_error_raised(guard, how):
    def broken(path: str) -> str:
        raise ValueError(path)

    with pytest.raises(ValueError, match=APP):
        call(guard, "files.write_file", broken, how=how, path=APP)
    (outcome,) = kept(guard, "outcome")
    assert (outcome["state"], outcome["result"]) == ("failed", {"raised": "ValueError"})


def test_a_guard_that_is_not_open_lets_nothing_through(folder, calls):
    guard = Guard(folder, state=folder / "state")
    with pytest.raises(GuardError, match="not open"):
        guard.call("files.write_file", calls.write, {"path": APP})
    assert not calls


def test_two_guards_on_one_directory_are_refused(guard, folder):
    with (
        pytest.raises(GuardError, match="one guard at most"),
        Guard(folder, state=folder / "state"),
    ):
        pass
    assert guard.call("files.write_file", lambda path: path, {"path": APP}) == APP


def test_servers_that_are_started_are_no_functions(folder):
    text = manifest(servers="{files: {command: [python]}, cluster: {}, mail: {}, shell: {}}")
    (folder / "deployment.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(GuardError, match="an SDK guards functions"), Guard(folder):
        pass


def test_an_asynchronous_guard_closes_behind_itself(folder):
    async def work():
        async with Guard(folder, state=folder / "state") as guard:
            return guard

    with pytest.raises(GuardError, match="not open"):
        _ = asyncio.run(work()).session


# -- what is decided is what is called -----------------------------------------------------------


@both
def test_arguments_changed_while_an_operator_looks_change_nothing(guard, how):
    paths, given = [APP], []

    def delete(paths: list[str]) -> None:
        given.append(list(paths))

    gate, wait = guard.session.gate, guard.session.gate.admit

    def admit(admitted):
        found = wait(admitted)
        paths[:] = ["/etc"]
        return found

    gate.admit = admit
    call(guard, "files.delete_file", delete, how=how, paths=paths)
    assert given == [[APP]]
    (intent,) = kept(guard, "intent")
    assert intent["arguments"] == {"paths": [APP]}


def test_a_function_that_changes_its_arguments_changes_no_record(guard):
    def delete(paths: list[str]) -> None:
        paths.append("/etc")

    stop = guard.session.gate.release
    seen = []

    def release(admission, *rest: object):
        seen.append(admission.call.arguments)
        stop(admission, *rest)

    guard.session.gate.release = release
    guard.call("files.delete_file", delete, {"paths": [APP]})
    assert seen == [{"paths": [APP]}]


@both
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (float("nan"), "arguments.number"),
        (object(), "arguments.type"),
        ("\ud800", "arguments.surrogate"),
        (2**70, "arguments.number"),
    ],
)
def test_arguments_that_are_no_json_are_denied_and_kept(guard, calls, how, value, rule):  # noqa: PLR0917
    with pytest.raises(DeniedError, match=rule):
        call(guard, "files.write_file", calls.write, how=how, path=APP, text=value)
    assert not calls
    assert kept(guard, "denied")[0]["rule"] == rule


def test_defaults_are_decided_on_too(guard):
    def write(path: str = APP) -> str:
        return path

    assert guard.call("files.write_file", write, {}) == APP
    assert guard.tool("files.write_file")(write)() == APP
    assert [one["arguments"] for one in kept(guard, "intent")] == [{"path": APP}] * 2


def test_arguments_that_do_not_fit_the_function_are_denied(guard, calls):
    with pytest.raises(DeniedError, match="do not fit the function"):
        guard.call("files.write_file", calls.write, {"path": APP, "mode": 7})
    with pytest.raises(DeniedError, match="do not fit the function"):
        guard.tool("files.write_file")(calls.write)()


# -- the decorator -------------------------------------------------------------------------------


def test_a_decorated_function_is_guarded_by_place_and_by_name(guard, calls):
    write = guard.tool("files.write_file")(calls.write)
    assert write(APP) == write(path=APP) == f"wrote {APP}"
    with pytest.raises(DeniedError):
        write(LOG)
    assert calls == [(APP, "hello")] * 2
    assert write.__name__ == "write"


def test_a_decorated_coroutine_function_is_guarded(guard, calls):
    write = guard.tool("files.write_file")(calls.write_async)

    async def work():
        assert await write(APP) == f"wrote {APP}"
        with pytest.raises(DeniedError):
            await write(LOG)

    asyncio.run(work())
    assert calls == [(APP, "hello")]


def star(*paths: str): ...
def double(**paths: str): ...
def by_place(path, /): ...
def generator(path):
    yield path


async def async_generator(path):
    yield path


@pytest.mark.parametrize("function", [star, double, by_place, generator, async_generator])
def test_a_function_that_hides_its_arguments_or_its_work_is_refused(guard, function):
    with pytest.raises(TypeError, match="a guarded tool"):
        guard.tool("files.write_file")(function)
    with pytest.raises(TypeError, match="a guarded tool"):
        guard.call("files.write_file", function, {})


def test_a_coroutine_is_no_result_of_a_call(guard, calls):
    """Else its work would be done after the guard looked away."""
    with pytest.raises(TypeError, match="call_async"):
        guard.call("files.write_file", calls.write_async, {"path": APP})
    with pytest.raises(TypeError, match="call_async"):
        guard.perform("files.write_file", {"path": APP}, lambda given: (x for x in given))
    assert not calls
    assert [one["state"] for one in kept(guard, "outcome")] == ["failed", "failed"]


def test_what_cannot_be_awaited_is_no_asynchronous_tool(guard, calls):
    with pytest.raises(TypeError, match="must be awaited"):
        asyncio.run(guard.call_async("files.write_file", calls.write, {"path": APP}))


# -- callers -------------------------------------------------------------------------------------


@both
def test_a_stop_of_an_agent_stops_its_sub_agents_and_no_other(guard, calls, how):
    guard.stop(Scope("agent", "lead"), by="ann")
    child = Caller("helper", ("lead",))
    with pytest.raises(DeniedError, match="stopped"):
        call(guard, "files.write_file", calls.write, how=how, caller=child, path=APP)
    with pytest.raises(DeniedError, match="stopped"):
        call(guard, "files.write_file", calls.write, how=how, caller=Caller("lead"), path=APP)
    assert not calls
    call(guard, "files.write_file", calls.write, how=how, caller=Caller("other"), path=APP)
    assert len(calls) == 1


def test_an_approval_is_for_the_caller_that_asked(guard, calls):
    with pytest.raises(PendingError) as caught:
        guard.call("mail.send", calls.send, {"to": CUSTOMER}, caller=Caller("one"))
    guard.session.gate.answer(caught.value.id, approve=True, by="ann")
    with pytest.raises(PendingError):
        guard.call("mail.send", calls.send, {"to": CUSTOMER}, caller=Caller("two"))
    assert guard.call("mail.send", calls.send, {"to": CUSTOMER}, caller=Caller("one")) == "sent"


# -- stops ---------------------------------------------------------------------------------------


def test_a_stop_between_admission_and_dispatch_keeps_the_call_in(guard, calls):
    gate, admit = guard.session.gate, guard.session.gate.admit

    def admit_and_stop(admitted):
        found = admit(admitted)
        guard.stop(by="ann")
        return found

    gate.admit = admit_and_stop
    with pytest.raises(DeniedError, match="not dispatched"):
        guard.call("files.write_file", calls.write, {"path": APP})
    with pytest.raises(DeniedError):
        asyncio.run(guard.call_async("files.write_file", calls.write_async, {"path": APP}))
    assert not calls


def test_an_asynchronous_tool_begins_only_once_it_is_dispatched(guard, calls):
    """What returns an awaitable may have begun before it is awaited."""
    gate, admit = guard.session.gate, guard.session.gate.admit

    def admit_and_stop(admitted):
        found = admit(admitted)
        guard.stop(by="ann")
        return found

    gate.admit = admit_and_stop

    def eager(given):
        calls.append(given)
        return asyncio.sleep(0)

    async def work():
        await guard.perform_async("files.write_file", {"path": APP}, eager)

    with pytest.raises(DeniedError):
        asyncio.run(work())
    assert not calls


def test_the_result_of_a_call_that_was_stopped_is_withheld(guard):
    def slow(path: str) -> str:
        guard.session.stop(by="ann", why="enough", grace_s=0.0)
        return f"the contents of {path}"

    with pytest.raises(WithheldError, match="is withheld"):
        guard.call("files.write_file", slow, {"path": APP})
    with pytest.raises(DeniedError, match="stopped"):
        guard.call("files.write_file", slow, {"path": APP})


@contextmanager
def stopped_soon(guard, begun):
    reports = []

    def work():
        begun.wait(120)
        reports.append(guard.stop(by="ann"))

    thread = threading.Thread(target=work)
    thread.start()
    yield reports
    thread.join()


def test_a_stop_cancels_an_asynchronous_call_and_not_its_caller(guard):
    begun, seen = threading.Event(), []

    async def forever(path: str) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append(path)
            raise

    async def work():
        with pytest.raises(WithheldError, match="nobody knows"):
            await guard.call_async("files.write_file", forever, {"path": APP})
        return "the agent goes on"

    with stopped_soon(guard, begun) as reports:
        assert asyncio.run(work()) == "the agent goes on"
    assert seen == [APP]
    (flight,) = reports[0].flights
    assert flight.state == "unknown"
    assert [one["state"] for one in kept(guard, "outcome")] == ["unknown"]


def test_a_call_that_will_not_be_cancelled_has_its_result_withheld(guard):
    begun = threading.Event()

    async def stubborn(path: str) -> str:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return path
        return ""

    with stopped_soon(guard, begun), pytest.raises(WithheldError):
        asyncio.run(guard.call_async("files.write_file", stubborn, {"path": APP}))


def test_a_caller_that_is_cancelled_stays_cancelled_and_its_call_unknown(guard):
    async def work():
        begun = asyncio.Event()

        async def forever(path: str) -> None:  # noqa: ARG001  (its form)
            begun.set()
            await asyncio.sleep(60)

        task = asyncio.ensure_future(guard.call_async("files.write_file", forever, {"path": APP}))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert [one["state"] for one in kept(guard, "outcome")] == ["unknown"]
    with pytest.raises(PendingError):  # nothing is tried again blindly
        guard.call("files.write_file", lambda path: path, {"path": APP})


def test_a_caller_that_goes_while_it_is_let_in_gets_nothing_dispatched(guard, calls):
    gate, admit = guard.session.gate, guard.session.gate.admit
    inside, go = threading.Event(), threading.Event()

    def slow(admitted):
        inside.set()
        go.wait(120)
        return admit(admitted)

    gate.admit = slow

    async def work():
        task = asyncio.ensure_future(
            guard.call_async("files.write_file", calls.write_async, {"path": APP})
        )
        while not inside.is_set():  # noqa: ASYNC110  (set by a thread)
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        while not kept(guard, "outcome"):  # noqa: ASYNC110  (written by a thread)
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(work(), 120))
    assert not calls
    assert kept(guard, "outcome")[0]["state"] == "not dispatched"


def test_who_interrupts_a_call_gets_through_though_it_was_stopped(guard):
    def interrupted(path: str) -> None:
        guard.session.stop(by="ann", why="", grace_s=0.0)
        raise KeyboardInterrupt(path)

    with pytest.raises(KeyboardInterrupt):
        guard.call("files.write_file", interrupted, {"path": APP})


def test_a_stop_says_that_the_agent_is_not_contained(guard):
    assert any("not contained" in line for line in guard.stop(by="ann").outside)


def test_a_stopped_deployment_is_stopped_in_the_next_guard_too(folder, calls):
    with Guard(folder, state=folder / "state") as guard:
        guard.stop(by="ann")
    with Guard(folder, state=folder / "state") as guard, pytest.raises(DeniedError, match="stop"):
        guard.call("files.write_file", calls.write, {"path": APP})


def test_budgets_hold_for_calls_side_by_side(guard, calls):
    async def work():
        made = [
            guard.call_async("files.write_file", calls.write_async, {"path": f"{APP}{n}"})
            for n in range(20)
        ]
        return await asyncio.gather(*made, return_exceptions=True)

    results = asyncio.run(work())
    assert len(calls) == 10  # the manifest's budget of calls
    assert sum(isinstance(one, DeniedError) for one in results) == 10
