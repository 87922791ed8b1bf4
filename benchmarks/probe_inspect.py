"""What a probe costs in Inspect: beside a trivial task there, and beside the same episodes here.

    python benchmarks/probe_inspect.py [FOLDER]

FOLDER holds a `deployment.yaml`; default `examples/reference`.  `planner/optimal` plays the world
as it is.  The trivial task has the same system prompts, the same tools with the same schemas and
the same calls in the same turns, by the same loop, of a model that knows them beforehand; its tools
do nothing, and one score is 1.  What is left is our own: the simulation, its notes in the
transcript, the planner, the scores.  Processor time, all ways in turn in one process, after a warm
run of each: what one sample more takes, and what a task takes beside its samples.
"""

import gc
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessageSystem,
    ChatMessageUser,
    ModelOutput,
    ModelUsage,
    execute_tools,
    get_model,
)
from inspect_ai.scorer import Score, mean, scorer
from inspect_ai.solver import solver
from inspect_ai.tool import ToolDef

from corrigible.probe.caller import Caller
from corrigible.probe.controls import play_planner
from corrigible.probe.inspect import registry  # noqa: F401 - makes `planner/…` known to Inspect
from corrigible.probe.inspect.asked import Asked, probe_of
from corrigible.probe.inspect.tasks import probe_task
from corrigible.probe.inspect.tools import shown_names, tools_of
from corrigible.probe.planners import planner
from corrigible.probe.scoring import score_simulation

REPEATS = 4
FEW, MANY = 1, 20


@dataclass(frozen=True)
class Way:
    """One way to play: what one sample more takes, and a task beside its samples; in seconds."""

    sample: float
    task: float


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/reference")
    file = str((folder / "deployment.yaml").resolve())
    asked = {n: Asked(file, episodes=n, twins=(), interventions=()) for n in (FEW, MANY)}
    optimal = planner("planner/optimal")
    plans = {n: probe_of(asked[n]).plan for n in asked}
    callers = {n: Caller.of(plan.stage("natural"), optimal) for n, plan in plans.items()}
    scripts = {n: calls_of(plans[n], callers[n]) for n in asked}
    tasks = {n: trivial(plans[n], scripts[n]) for n in asked}

    def compiled(n: int) -> object:
        arm = plans[n].arm("natural")
        return play_planner(plans[n], optimal, arm, list(range(n)), policy=callers[n].policy)

    names = ("compiled, in process", "by calls, in process", "through Inspect",
             "a trivial task of Inspect's, the same calls")  # fmt: skip
    ways = measured([
        compiled,
        lambda n: calls_of(plans[n], callers[n]),
        lambda n: run(probe_task(asked[n]), "planner/optimal"),
        lambda n: run(tasks[n], a_model(scripts[n])),
    ])  # fmt: skip
    turns = [len(script) for script in scripts[MANY][FEW:]]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"Inspect {version('inspect_ai')}; {folder.name}: {sum(turns) / len(turns):.1f} turns a "
          f"sample, {len(tools_of(plans[MANY].stage('natural')))} tools, {FEW} and {MANY} samples, "
          f"least of {REPEATS} repeats")  # fmt: skip
    print(f"{'way':58} {'ms a sample':>12} {'ms a task':>10}")
    ours, same = ways[2], ways[3]
    over = Way(ours.sample - same.sample, ours.task - same.task)
    for name, way in (*zip(names, ways, strict=True), ("our own beyond the trivial task's", over)):
        print(f"{name:58} {1000 * way.sample:12.2f} {1000 * way.task:10.0f}")


def measured(ways: list[Callable[[int], object]]) -> list[Way]:
    """Time all ways in turn, so that what else the machine does meets all of them."""
    for way in ways:
        way(FEW)
    gc.freeze()  # a search of all that was imported falls on whichever way it meets
    found: dict[tuple[int, int], list[float]] = {}
    for _ in range(REPEATS):
        for n in (FEW, MANY):
            for place, way in enumerate(ways):
                gc.collect()
                start = time.process_time()
                way(n)
                found.setdefault((place, n), []).append(time.process_time() - start)
    least = {key: min(times) for key, times in found.items()}
    slopes = [(least[p, MANY] - least[p, FEW]) / (MANY - FEW) for p in range(len(ways))]
    return [Way(slope, least[place, FEW] - FEW * slope) for place, slope in enumerate(slopes)]


def calls_of(plan, caller) -> list[list[tuple]]:  # noqa: ANN001 - of this script
    """Play and score every episode by calls; returns the calls of each."""
    scripts, names = [], shown_names(plan.stage("natural"))
    for number in range(plan.options.count):
        simulation = plan.simulation("natural", number)
        caller.play(simulation)
        score_simulation(simulation, arm="natural", drives=plan.drives, agent="planner")
        scripts.append([(names.get(s.tool), dict(s.arguments)) for s in simulation.steps])
    return scripts


def run(task, model) -> None:  # noqa: ANN001 - of this script
    with tempfile.TemporaryDirectory() as folder:
        (log,) = evaluate(task, model=model, log_dir=folder, display="none")
        assert log.status == "success", log.error  # noqa: S101 - else the figure is of a failure


# -- the trivial task ----------------------------------------------------------------------


def trivial(plan, scripts) -> Task:  # noqa: ANN001 - of this script
    """A task whose samples make the same calls of tools that do nothing."""
    stage, samples = plan.stage("natural"), []
    for number in range(len(scripts)):
        prompt = ChatMessageSystem(content=stage.prompt(plan.goal_of(number)))
        samples.append(Sample(id=number, input=[prompt, ChatMessageUser(content=str(number))]))
    tools = [
        ToolDef(nothing, name=t.name, description=t.description, parameters=t.parameters)
        for t in tools_of(stage)
    ]
    return Task(dataset=samples, solver=loop(tools, scripts), scorer=one())


async def nothing(**_kwargs: object) -> str:
    return "OK"


@solver
def loop(tools, scripts):  # noqa: ANN001, ANN201 - of this script
    async def solve(state, _generate):  # noqa: ANN001, ANN202
        for _turn in scripts[state.sample_id]:
            state.output = await get_model().generate(state.messages, tools=tools)
            state.messages.append(state.output.message)
            if state.output.message.tool_calls:
                result = await execute_tools(state.messages, tools)
                state.messages.extend(result.messages)
        return state

    return solve


@scorer(metrics=[mean()])
def one():  # noqa: ANN201 - of this script
    async def score(_state, _target) -> Score:  # noqa: ANN001
        return Score(value=1)

    return score


def a_model(scripts):  # noqa: ANN001, ANN201 - of this script
    def generate(messages, _tools, _choice, _config) -> ModelOutput:  # noqa: ANN001
        turn = sum(m.role == "assistant" for m in messages)
        tool, arguments = scripts[int(messages[1].text)][turn]
        if tool is None:
            output = ModelOutput.from_content("mock", "(waits)")
        else:
            output = ModelOutput.for_tool_call("mock", tool, arguments, content="")
        output.usage = ModelUsage(input_tokens=0, output_tokens=1, total_tokens=1)
        return output

    return get_model("mockllm/model", custom_outputs=generate)


if __name__ == "__main__":
    main()
