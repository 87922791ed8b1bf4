"""The guard as Inspect's approver, in real evaluations with a model of our own."""

import asyncio
import gc
import threading
import time

import pytest
from small_guard import manifest

from corrigible.errors import MissingExtraError
from corrigible.guard.sdk import Guard

try:
    from corrigible.adapters.inspect import guard_approver
except MissingExtraError as missing:
    pytest.skip(f"{missing}", allow_module_level=True)

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.approval import ApprovalPolicy, auto_approver
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.solver import generate, use_tools
from inspect_ai.tool import ToolCall, tool

pytestmark = [
    pytest.mark.slow,  # Inspect takes seconds to import
    # what Inspect itself does, on every evaluation
    pytest.mark.filterwarnings("ignore:The 'initial' parameter is deprecated"),
    pytest.mark.filterwarnings("ignore:Unclosed <MemoryObject:ResourceWarning"),
]

APP, LOG, CUSTOMER = "/srv/app/x", "/srv/log/x", "ann@shop.example"
USAGE = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)


@pytest.fixture
def guard(tmp_path):
    (tmp_path / "deployment.yaml").write_text(manifest(), encoding="utf-8")
    with Guard(tmp_path, state=tmp_path / "state") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _swept():
    """What Inspect left open is closed while its warnings are still ignored."""
    yield
    gc.collect()


@pytest.fixture
def made():
    return []


def kept(guard, kind):
    guard.session.gate.ledger.append("note", {}).result(10)
    return [one.body for one in guard.session.gate.ledger.entries(kinds={kind})]


def tools_of(made):
    @tool
    def write_file():
        async def execute(path: str) -> str:
            """Write a file.

            Args:
                path: where.
            """
            made.append(path)
            return f"wrote {path}"

        return execute

    @tool
    def send():
        async def execute(to: str) -> str:
            """Send a mail.

            Args:
                to: to whom.
            """
            made.append(to)
            return "sent"

        return execute

    return [write_file(), send()]


def scripted(*calls: tuple):
    """A model that asks for one call after the other, and then is done."""
    left = list(calls)

    def say(*_args: object, **_kwargs: object):
        if not left:
            said = ModelOutput.from_content("mockllm/model", "done")
        else:
            name, arguments = left.pop(0)
            said = ModelOutput.for_tool_call("mockllm/model", name, arguments)
        said.usage = USAGE
        return said

    return get_model("mockllm/model", custom_outputs=say)


def evaluated(tmp_path, made, policy, *calls: tuple):
    """What the model was told of each call in a real evaluation."""
    task = Task(dataset=[Sample("go")], solver=[use_tools(tools_of(made)), generate()])
    (log,) = evaluate(
        task, model=scripted(*calls), approval=policy, log_dir=str(tmp_path / "logs"),
        display="none", log_level="error",
    )  # fmt: skip
    assert log.status == "success", log.error
    (sample,) = log.samples
    return sample, [one for one in sample.messages if one.role == "tool"]


@pytest.mark.slow
def test_calls_of_an_evaluation_go_through_the_guard(guard, made, tmp_path):
    mine = guard_approver(guard, server="files")
    _, (allowed, denied, after) = evaluated(
        tmp_path, made, [ApprovalPolicy(mine, "*")],
        ("write_file", {"path": APP}), ("write_file", {"path": LOG}),
        ("write_file", {"path": f"{APP}2"}),
    )  # fmt: skip
    assert (allowed.error, allowed.text) == (None, f"wrote {APP}")
    assert denied.error.type == "approval"
    assert "write oversight/*" in denied.error.message
    assert after.error is None
    assert made == [APP, f"{APP}2"]
    assert [one["state"] for one in kept(guard, "outcome")] == ["completed"]
    mine.close()
    assert [one["state"] for one in kept(guard, "outcome")] == ["completed", "unknown"]
    assert kept(guard, "outcome")[0]["result"] == f"wrote {APP}"


@pytest.mark.slow
def test_a_pending_call_is_rejected_with_its_id(guard, made, tmp_path):
    policy = [ApprovalPolicy(guard_approver(guard, server="mail"), "*")]
    _, (told,) = evaluated(tmp_path, made, policy, ("send", {"to": CUSTOMER}))
    (pending,) = guard.session.gate.approvals.pending()
    assert f"pending, {pending.id}" in told.error.message
    assert not made


@pytest.mark.slow
def test_a_stopped_guard_ends_the_sample(guard, made, tmp_path):
    guard.stop(by="ann")
    policy = [ApprovalPolicy(guard_approver(guard, server="files"), "*")]
    sample, _ = evaluated(
        tmp_path, made, policy, ("write_file", {"path": APP}), ("write_file", {"path": APP})
    )
    assert not made
    (approval,) = [one for one in sample.events if one.event == "approval"]
    assert approval.decision == "terminate"


@pytest.mark.slow
def test_a_tool_that_is_not_the_deployments_may_go_to_the_next_approver(guard, made, tmp_path):
    policy = [
        ApprovalPolicy(guard_approver(guard, server="files", others="escalate"), "*"),
        ApprovalPolicy(auto_approver(), "*"),
    ]
    _, (told, denied) = evaluated(
        tmp_path, made, policy, ("send", {"to": "x"}), ("write_file", {"path": LOG})
    )
    assert told.text == "sent"
    assert denied.error.type == "approval"


# -- the approver alone --------------------------------------------------------------------------


def decided(approver, name="write_file", arguments=None, history=(), **more: object):
    given = {"path": APP} if arguments is None else arguments
    call = ToolCall(id=str(more.pop("id", "c1")), function=name, arguments=given, **more)
    return asyncio.run(approver("", call, None, list(history)))


def test_an_unknown_tool_is_rejected_where_nothing_else_is_said(guard):
    assert decided(guard_approver(guard, server="files"), "nothing").decision == "reject"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"path": APP, "at": float("nan")}, None),
        ({"path": APP}, "no JSON"),
        ({"path": object()}, None),
    ],
)
def test_arguments_that_readers_disagree_on_are_rejected(guard, arguments, error):
    approval = decided(
        guard_approver(guard, server="files"), arguments=arguments, parse_error=error
    )
    assert approval.decision == "reject"
    assert not guard.session.gate.inflight.snapshot()
    assert bool(kept(guard, "denied")) == (error is None)


def test_a_call_that_waits_is_approved_with_its_operator(guard):
    def answer():
        gate = guard.session.gate
        until = time.monotonic() + 20
        while not (waiting := gate.approvals.pending()) and time.monotonic() < until:
            time.sleep(0.005)
        gate.answer(waiting[0].id, approve=True, by="ann")

    operator = threading.Thread(target=answer)
    operator.start()
    mine = guard_approver(guard, server="mail", wait_s=20)
    assert decided(mine, "send", {"to": CUSTOMER}).decision == "approve"
    operator.join()


def test_a_stop_between_admission_and_dispatch_rejects(guard):
    gate, admit = guard.session.gate, guard.session.gate.admit

    def admit_and_stop(call):
        found = admit(call)
        guard.stop(by="ann")
        return found

    gate.admit = admit_and_stop
    assert decided(guard_approver(guard, server="files")).decision == "reject"


def test_two_calls_of_one_name_leave_the_first_unknown(guard):
    mine = guard_approver(guard, server="files")
    assert decided(mine).decision == "approve"
    assert decided(mine, arguments={"path": f"{APP}2"}).decision == "approve"
    assert [one["state"] for one in kept(guard, "outcome")] == ["unknown"]
    assert len(guard.session.gate.inflight.snapshot()) == 1
