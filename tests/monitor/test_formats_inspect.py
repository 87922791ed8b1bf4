"""Inspect's logs, as it writes them: one run a sample, denials told apart from results."""

import importlib

import pytest

from corrigible.monitor.reading import read_transcripts
from corrigible.monitor.transcript import Bad

pytest.importorskip("inspect_ai")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # the other project's own
]


@pytest.fixture(scope="module", params=["eval", "json"])
def log(request, tmp_path_factory):
    """A log of two samples, in each of which a call is let through and one is refused."""
    approvals = importlib.import_module("inspect_ai.approval")  # here: it takes two seconds
    models = importlib.import_module("inspect_ai.model")
    solvers = importlib.import_module("inspect_ai.solver")
    inspect = importlib.import_module("inspect_ai")
    tool = importlib.import_module("inspect_ai.tool").tool
    sample = importlib.import_module("inspect_ai.dataset").Sample

    @tool
    def read_file():
        async def execute(path: str) -> str:
            """Read a file.

            Args:
                path: which.
            """
            return f"<b>{path}</b>"

        return execute

    @approvals.approver
    def no_logs():
        async def approve(_message, call, _view, _history):
            refused = "log" in call.arguments["path"]
            return approvals.Approval(
                decision="reject" if refused else "approve", explanation="no logs"
            )

        return approve

    def answer(messages, *_rest: object):
        asked = sum(message.role == "tool" for message in messages)
        path = ["/srv/a", "/srv/log"][asked] if asked < 2 else None
        out = (
            models.ModelOutput.from_content("m", "done")
            if path is None
            else models.ModelOutput.for_tool_call(
                "m", "read_file", {"path": path}, content="I read it"
            )
        )
        out.usage = models.ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return out

    folder = tmp_path_factory.mktemp("logs")
    task = inspect.Task(
        dataset=[sample(id=f"s{number}", input="read it") for number in (1, 2)],
        solver=[
            solvers.system_message("be brief"),
            solvers.use_tools(read_file()),
            solvers.generate(),
        ],
        approval=[
            approvals.ApprovalPolicy(no_logs(), "read_file"),
            approvals.ApprovalPolicy(approvals.auto_approver(), "*"),
        ],
    )
    model = models.get_model("mockllm/model", custom_outputs=answer)
    (done,) = inspect.eval(
        task, model=model, log_dir=str(folder), log_format=request.param, display="none"
    )
    assert done.status == "success"
    (path,) = folder.iterdir()
    return path


def test_a_sample_is_a_run(log):
    found = [(t, list(t.events)) for t in read_transcripts(log)]
    assert [t.id for t, _ in found] == ["s1-1", "s2-1"]
    transcript, events = found[0]
    assert (transcript.format, transcript.agent) == ("inspect", "mockllm/model")
    kinds = [event.kind for event in events if event.kind != "approval"]
    assert kinds == [
        "system", "user",
        "assistant", "call", "result",
        "assistant", "call", "denied",
        "assistant",
    ]  # fmt: skip
    calls = [event for event in events if event.kind == "call"]
    assert [call.arguments["path"] for call in calls] == ["/srv/a", "/srv/log"]
    assert next(e for e in events if e.kind == "result").text == "<b>/srv/a</b>"
    assert next(e for e in events if e.kind == "denied").call_id == calls[1].call_id


def test_a_cut_log_is_bad_and_nothing_is_raised(log, tmp_path):
    cut = tmp_path / log.name
    cut.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    found = list(read_transcripts(cut))
    assert found
    assert all(isinstance(one, Bad) for one in found)
