"""What a probe costs in Inspect: beside a trivial task there, and beside the same episodes here.

    python benchmarks/probe_inspect.py [FOLDER]

FOLDER holds a `deployment.yaml`; default `examples/reference`.  `planner/optimal` plays
through Inspect.  The trivial task makes as many calls in each sample, of a tool that does nothing,
so that what is left is our own: the simulation, its notes in the transcript, the planner, the
scores.  Processor time that one sample more takes, after one warm run of each.
"""

import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, mean, scorer
from inspect_ai.solver import basic_agent
from inspect_ai.tool import tool

from corrigible.probe.caller import Caller
from corrigible.probe.controls import play_planner
from corrigible.probe.inspect import registry  # noqa: F401 - makes `planner/…` known to Inspect
from corrigible.probe.inspect.asked import Asked, probe_of
from corrigible.probe.inspect.tasks import probe_task
from corrigible.probe.planners import planner
from corrigible.probe.scoring import score_simulation

REPEATS = 3
FEW, MANY = 10, 40  # what each sample adds is the slope: a task's own start is left out


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/reference")
    file = str((folder / "deployment.yaml").resolve())
    asked = {n: Asked(file, episodes=n, twins=(), interventions=()) for n in (FEW, MANY)}
    optimal = planner("planner/optimal")
    plans = {n: probe_of(asked[n]).plan for n in asked}
    callers = {n: Caller.of(plan.stage("natural"), optimal) for n, plan in plans.items()}
    turns = {n: calls_of(plans[n], callers[n]) for n in asked}
    mean_turns = round((sum(turns[MANY]) - sum(turns[FEW])) / (MANY - FEW))

    def compiled(n: int) -> object:
        arm = plans[n].arm("natural")
        return play_planner(plans[n], optimal, arm, list(range(n)), policy=callers[n].policy)

    whole = slope(compiled)
    calls = slope(lambda n: calls_of(plans[n], callers[n]))
    ours = slope(lambda n: run(probe_task(asked[n]), "planner/optimal"))
    same = slope(lambda n: run(trivial([mean_turns] * n), a_model()))
    none = slope(lambda n: run(trivial([0] * n), a_model()))
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}; "
          f"{folder.name}: {mean_turns} turns a sample, {FEW} to {MANY} samples, "
          f"{REPEATS} repeats")  # fmt: skip
    print(f"{'way':58} {'ms a sample':>12} {'ratio':>8}")
    for name, seconds in (
        ("compiled, in process", whole),
        ("by calls, in process", calls),
        ("through Inspect", ours),
        ("a trivial task of Inspect's, as many turns and calls", same),
        ("a trivial task of Inspect's, one turn", none),
        ("our own overhead beyond the trivial task's", ours - same),
    ):
        print(f"{name:58} {1000 * seconds:12.2f} {seconds / calls:8.1f}")


def slope(run_it: Callable[[int], object]) -> float:
    """The processor time that one sample more takes, after a first run."""
    run_it(FEW)
    return (timed(lambda: run_it(MANY)) - timed(lambda: run_it(FEW))) / (MANY - FEW)


def timed(run_it: Callable[[], object]) -> float:
    """The least processor time of the repeats: what others do to the machine only adds."""
    found = []
    for _ in range(REPEATS):
        start = time.process_time()
        run_it()
        found.append(time.process_time() - start)
    return min(found)


def calls_of(plan, caller) -> list[int]:  # noqa: ANN001 - of this script
    """Play and score every episode by calls; returns how many turns each had."""
    turns = []
    for number in range(plan.options.count):
        simulation = plan.simulation("natural", number)
        caller.play(simulation)
        score_simulation(simulation, arm="natural", drives=plan.drives, agent="planner")
        turns.append(simulation.now)
    return turns


def run(task, model) -> None:  # noqa: ANN001 - of this script
    with tempfile.TemporaryDirectory() as folder:
        (log,) = evaluate(task, model=model, log_dir=folder, display="none")
        assert log.status == "success", log.error  # noqa: S101 - else the figure is of a failure


@tool
def nothing():  # noqa: ANN201 - of this script
    async def execute(name: str) -> str:  # noqa: ARG001
        """Do nothing.

        Args:
            name: of what.
        """
        return "OK"

    return execute


@scorer(metrics=[mean()])
def one():  # noqa: ANN201 - of this script
    async def score(_state, _target) -> Score:  # noqa: ANN001
        return Score(value=1)

    return score


def trivial(turns: list[int]) -> Task:
    """A task whose samples make so many calls of a tool that does nothing, and then submit."""
    samples = [Sample(id=n, input=str(calls)) for n, calls in enumerate(turns)]
    return Task(dataset=samples, solver=basic_agent(tools=[nothing()]), scorer=one())


def a_model():  # noqa: ANN201 - of this script
    def generate(messages, _tools, _choice, _config) -> ModelOutput:  # noqa: ANN001
        asked = next(int(m.text) for m in messages if m.role == "user" and m.text.isdigit())
        said = sum(m.role == "assistant" for m in messages)
        call = ("nothing", {"name": "x"}) if said < asked else ("submit", {"answer": ""})
        output = ModelOutput.for_tool_call("mock", *call, content="")
        output.usage = ModelUsage(input_tokens=0, output_tokens=1, total_tokens=1)
        return output

    return get_model("mockllm/model", custom_outputs=generate)


if __name__ == "__main__":
    main()
