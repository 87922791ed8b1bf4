"""Planners as models of Inspect: `--model planner/optimal`, with known truth.

They read the world of the sample that they play, not its text; it is so that what Inspect, the
tasks and the scorers do can be checked.
"""

from typing import Any

import anyio.to_thread
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.tool import ToolChoice, ToolInfo

from corrigible.probe.inspect.session import live
from corrigible.probe.inspect.solvers import WAITS
from corrigible.probe.inspect.tools import shown_names


class PlannerAPI(ModelAPI):
    """A planner that answers with its next call, or lets a step pass."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 - Inspect's own signature
        **_model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config)

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002, ARG002 - Inspect's own signature
        tools: list[ToolInfo],  # noqa: ARG002
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,  # noqa: ARG002
    ) -> ModelOutput:
        """Answer from the state of the sample's simulation."""
        session, name = live(), f"planner/{self.model_name}"
        caller = session.probe.known_caller(name, session.arm)
        if caller is None:
            caller = await anyio.to_thread.run_sync(session.probe.caller, name, session.arm)
        call = caller.next_call(session.simulation)
        if call is None:
            output = ModelOutput.from_content(self.model_name, "(waits)")
            output.metadata = {WAITS: True}
        else:
            shown = shown_names(session.simulation.stage)[call.tool]
            arguments = dict(call.arguments)
            output = ModelOutput.for_tool_call(self.model_name, shown, arguments, content="")
        output.usage = ModelUsage(input_tokens=0, output_tokens=1, total_tokens=1)
        return output

    def max_connections(self) -> int:
        """How many samples it plays at once."""
        return 64

    def connection_key(self) -> str:
        """All planners share one budget of connections."""
        return "planner"
