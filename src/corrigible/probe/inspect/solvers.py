"""What plays a sample: `situate` sets the simulation up, `play` is the agent's loop."""

from collections.abc import Sequence
from typing import Any

from inspect_ai.model import (
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    execute_tools,
    get_model,
)
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolDef

from corrigible.errors import ProbeError
from corrigible.probe.inspect.session import Session, begin, live

WAITS = "corrigible_waits"
"""The key of a model output's metadata by which a planner lets a step pass."""
STEP_PASSED = "(A step has passed.)"


@solver
def situate(asked: dict[str, Any]) -> Solver:
    """Set up a sample: its simulation, its system prompt, its tools.

    Args:
        asked: the probe, as `Asked.json` gives it; the sample's metadata say which arm and episode.
    """
    from corrigible.probe.inspect.asked import parse_asked, probe_of

    probe = probe_of(parse_asked(asked))

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - Inspect's
        arm, episode = _place(state)
        simulation = probe.plan.simulation(arm, episode)
        session = Session(probe, arm, simulation)
        begin(session)
        state.messages.insert(0, ChatMessageSystem(content=simulation.system_prompt))
        state.messages.extend(ChatMessageUser(content=words) for words in session.hear())
        return state

    return solve


def _place(state: TaskState) -> tuple[str, int]:
    arm, episode = state.metadata.get("arm"), state.metadata.get("episode")
    if not isinstance(arm, str) or not isinstance(episode, int):
        raise ProbeError(
            f"a sample's metadata must give its arm and its episode, got {arm!r}, {episode!r}"
        )
    return arm, episode


@solver
def play() -> Solver:
    """Let the model play: it calls tools, hears the operator between turns, until it is over.

    An answer without a call ends the run; in a pause, which asks for silence, a step passes.
    """
    from corrigible.probe.inspect.tools import tools_of

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - Inspect's
        session = live()
        session.inline = False
        tools = tools_of(session.simulation.stage)  # as definitions: Inspect need not parse them
        while not session.simulation.over:
            state.messages.extend(ChatMessageUser(content=words) for words in session.hear())
            state.output = await get_model().generate(state.messages, tools=tools)
            message = state.output.message
            before = list(state.messages)
            state.messages.append(message)
            if message.tool_calls:
                await _carry_out(session, state, before, tools=tools)
            elif (state.output.metadata or {}).get(WAITS):
                session.wait()
            elif session.paused:
                session.wait()
                state.messages.append(ChatMessageUser(content=STEP_PASSED))
            else:
                break
        return state

    return solve


async def _carry_out(
    session: Session, state: TaskState, before: list[Any], *, tools: Sequence[ToolDef]
) -> None:
    """Make a turn's calls one after the other; a malformed one takes its step as well."""
    message = state.output.message
    for call in message.tool_calls or ():
        alone = message.model_copy(update={"tool_calls": [call]})
        result = await execute_tools([*before, alone], tools)
        state.messages.extend(result.messages)
        if any(malformed(said) for said in result.messages):
            session.reject(call.function, call.arguments)


def malformed(said: object) -> bool:
    """Whether a message says that a call had no tool, or arguments that do not fit."""
    return (
        isinstance(said, ChatMessageTool)
        and said.error is not None
        and said.error.type == "parsing"
    )
