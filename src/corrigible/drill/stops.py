"""Rehearsed stops, pauses and corrections, with real processes, threads and loops in flight."""

import asyncio
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from corrigible.deployment.load import Loaded, load_deployment
from corrigible.drill import children
from corrigible.drill.ground import Ground, noted
from corrigible.drill.records import Stop
from corrigible.drill.stage import Stage, open_stage
from corrigible.errors import CorrigibleError, WithheldError
from corrigible.guard.bodies import Admission, Ending
from corrigible.guard.call import Call
from corrigible.guard.gate import Gate
from corrigible.guard.latch import EVERYTHING, Scope
from corrigible.guard.policy import Policy
from corrigible.guard.stopping import StopReport

CLOSED_WITHIN_MS, EMPTY_WITHIN_S = 2_000.0, 10.0
"""When a stop counts as too slow, on a machine however busy: the figures say how fast it was."""
_GRACE_S = 0.5
_PATIENCE_S = 60.0  # for what a busy machine is slow to begin or to end
_BY = "drill"
_CALLS = 20  # in flight at a stop of all


@dataclass(eq=False)
class _Tool:
    """One call in flight: where its work runs, and what the agent got in the end."""

    gate: Gate
    admission: Admission
    got: list[str]

    def release(self, state: Ending) -> None:
        """End the call; `got` holds whether the agent has its result."""
        try:
            self.gate.release(self.admission, state, {"ok": True})
        except WithheldError:
            self.got.append("withheld")
        else:
            self.got.append(f"released {state}")


def _sync(gate: Gate, admission: Admission, until: threading.Event) -> _Tool:
    """Start a tool in a thread, which nothing can end: it runs on until `until`."""
    tool = _Tool(gate, admission, [])
    gate.dispatch(admission, lambda: None)

    def work() -> None:
        until.wait(5 * _PATIENCE_S)
        tool.release("completed")

    threading.Thread(target=work, daemon=True).start()
    return tool


def _async(gate: Gate, admission: Admission, until: threading.Event) -> _Tool:
    """Start a coroutine in a loop of its own; a stop cancels it."""
    tool = _Tool(gate, admission, [])
    ready = threading.Event()
    handle: list[Any] = []

    async def main() -> None:
        task = asyncio.current_task()
        handle.extend((asyncio.get_running_loop(), task))
        ready.set()
        try:
            while not until.is_set():  # noqa: ASYNC110  (it is set from another thread)
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            tool.release("cancelled")
        else:
            tool.release("completed")

    threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
    ready.wait(_PATIENCE_S)
    gate.dispatch(admission, lambda: handle[0].call_soon_threadsafe(handle[1].cancel))
    return tool


@dataclass(frozen=True)
class _Play:
    """What a rehearsal is played with: a call that passes, and whether it does more than read."""

    loaded: Loaded
    call: Call
    acts: bool
    contained: bool

    def calls(self, count: int) -> list[Call]:
        """Return so many calls, no two alike."""
        return [noted(self.call, number) for number in range(count)]


def rehearse(loaded: Loaded, ground: Ground, *, contained: bool) -> tuple[Stop, ...]:
    """Rehearse every stop; what cannot be rehearsed here says why, and is never held."""
    one = ground.acting or ground.harmless
    drills: tuple[tuple[str, Callable[[_Play], Stop]], ...] = (
        ("stop all", _stop_all),
        ("stop an agent and its sub-agents", _stop_agent),
        ("pause and recover", _pause),
        ("correct while calls fly", _correct),
    )
    if one is None:
        why = "no call of this deployment passes, so none can be in flight"
        return tuple(Stop(name, "could not tell", why) for name, _ in drills)
    play = _Play(loaded, one.call, one is ground.acting, contained)
    found = []
    for name, drill in drills:
        try:
            done = drill(play)
        except (CorrigibleError, OSError, subprocess.SubprocessError) as error:
            done = Stop(name, "could not tell", f"{type(error).__name__}: {error}")
        if done.checks:
            done = replace(done, answer="held" if all(done.checks.values()) else "broken")
        found.append(done)
    return tuple(found)


# -- stop all ------------------------------------------------------------------------------


def _stop_all(play: _Play) -> Stop:
    if sys.platform != "linux":
        return Stop("stop all", "could not tell", "processes are only told apart on Linux")
    with tempfile.TemporaryDirectory(prefix="corrigible-drill-") as made:
        folder = Path(made)
        with open_stage(play.loaded, contained=play.contained, folder=folder) as stage:
            done, unknown = _stopped_all(stage, play)
        with open_stage(play.loaded, contained=play.contained, folder=folder) as stage:
            after = _after_restart(stage, play, unknown)
    return replace(done, checks={**done.checks, **after})


def _stopped_all(stage: Stage, play: _Play) -> tuple[Stop, list[Call]]:
    gate, trees = stage.session.gate, stage.session.trees
    marks = {kind: children.word() for kind in children.KINDS}
    started = [trees.start(kind, children.command(kind, mark)) for kind, mark in marks.items()]
    up = {kind: children.settled(mark, children.LEAST) for kind, mark in marks.items()}
    until = threading.Event()
    *admissions, waiting = [gate.admit(one) for one in play.calls(_CALLS + 1)]
    flying = [one for one in admissions if one.state == "go"]
    tools = [(_async if at % 2 else _sync)(gate, one, until) for at, one in enumerate(flying)]
    report, closed_ms = _timed_stop(stage)
    left = {kind: children.alive(mark) for kind, mark in marks.items()}
    until.set()
    for process in started:
        _end(process)
    ended = _ends_of(tools)
    proofs = {tree.name: tree for tree in report.trees}
    empty_s = max((proofs[kind].took_s for kind in marks if kind in proofs), default=0.0)
    checks = {
        "some calls flew": bool(flying),
        "every kind of child ran": all(len(found) >= children.LEAST for found in up.values()),
        f"admission closed within {CLOSED_WITHIN_MS:g} ms": closed_ms <= CLOSED_WITHIN_MS,
        "each tree is proven empty": all(k in proofs and proofs[k].proven for k in marks),
        "no process of any is left": not any(left.values()),
        f"the trees are empty within {EMPTY_WITHIN_S:g} s": empty_s <= EMPTY_WITHIN_S,
        "every call has an end": not gate.inflight.snapshot() and len(ended) == len(tools),
        "no late result is handed out": "released completed" not in ended,
        "what was admitted before does not leave": waiting.state != "go"
        or _is_void(stage, waiting),
        "the stop is proven": report.proven,
    }
    figures = {
        "admission_closed_ms": round(closed_ms, 2),
        "trees_empty_s": round(empty_s, 3),
        "whole_stop_s": round(report.took_s, 3),
        "calls_in_flight": float(len(flying)),
        "processes": float(sum(map(len, up.values()))),
    }
    kinds = f"children: {', '.join(children.KINDS)}; tools in threads and in loops"
    # Those in threads went on: their effect is there, and the agent was told of none.
    unknown = [tool.admission.call for tool in tools[::2]]
    done = Stop("stop all", "held", kinds, checks, figures, _counted(report), report.outside)
    return done, unknown


def _timed_stop(stage: Stage) -> tuple[StopReport, float]:
    """Stop all; also return the milliseconds until a call that was made meanwhile was refused."""
    gate = stage.session.gate
    closed: list[float] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            if gate.admit(Call("drill", "probe", {})).decision.rule == "latch.stopped":
                closed.append(time.monotonic())
                return
            time.sleep(0.0005)

    asker = threading.Thread(target=ask, daemon=True)
    asker.start()
    time.sleep(0.02)
    began = time.monotonic()
    report = stage.session.stop(EVERYTHING, why="drill", by=_BY, grace_s=_GRACE_S)
    asker.join(2 * CLOSED_WITHIN_MS / 1000)
    over.set()
    return report, 1000 * (closed[0] - began) if closed else float("inf")


def _ends_of(tools: list[_Tool]) -> list[str]:
    """Wait for what the agent gets of each call."""
    deadline = time.monotonic() + _PATIENCE_S
    while any(not tool.got for tool in tools) and time.monotonic() < deadline:
        time.sleep(0.01)
    return [state for tool in tools for state in tool.got]


def _after_restart(stage: Stage, play: _Play, unknown: list[Call]) -> dict[str, bool]:
    """Look at a guard that was started anew after the stop, and resume it."""
    still = stage.fire(stage.session.gate, play.call).rule == "latch.stopped"
    if still:
        stage.session.answer({"do": "resume", "peer": {"uid": 0}, "by": _BY})
    again = [stage.fire(stage.session.gate, call).state for call in unknown] if play.acts else []
    return {
        "after a restart it is still stopped": still,
        "resumed, nothing is sent a second time unasked": "reached" not in again,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let go of a server that should have ended; one that has not keeps nothing waiting."""
    process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    process.wait(10)


def _counted(report: StopReport) -> dict[str, str]:
    ends: dict[str, int] = {}
    for flight in report.flights:
        ends[flight.state] = ends.get(flight.state, 0) + 1
    return {state: str(count) for state, count in sorted(ends.items())}


def _is_void(stage: Stage, admission: Admission) -> bool:
    return stage.send(stage.session.gate, admission).state == "not dispatched"


# -- an agent, a pause, a correction -------------------------------------------------------


def _stop_agent(play: _Play) -> Stop:
    name = "stop an agent and its sub-agents"
    with open_stage(play.loaded, contained=play.contained) as stage:
        gate, until = stage.session.gate, threading.Event()
        child = replace(noted(play.call, 1), caller="child", lineage=("boss",))
        beside = replace(noted(play.call, 2), caller="other")
        own, others = gate.admit(child), gate.admit(beside)
        if "go" not in own.state or "go" not in others.state:
            return Stop(name, "could not tell", "the budgets let no two calls fly at once")
        tools = [_async(gate, own, until), _sync(gate, others, until)]
        marks = {caller: children.word() for caller in ("boss", "other")}
        started = [
            stage.session.trees.start(f"agent:{caller}", children.command("own session", mark))
            for caller, mark in marks.items()
        ]
        for mark in marks.values():
            children.settled(mark, children.LEAST)
        scope = Scope("agent", "boss")
        report = stage.session.stop(scope, why="drill", by=_BY, grace_s=_GRACE_S)
        left = {caller: len(children.alive(mark)) for caller, mark in marks.items()}
        refused = stage.fire(gate, replace(child, caller="grandchild", lineage=("boss", "child")))
        until.set()
        _ends_of(tools)
        checks = {
            "the sub-agent's call was cancelled": tools[0].got == ["released cancelled"]
            or "withheld" in tools[0].got,
            "its processes are gone": left["boss"] == 0 or sys.platform != "linux",
            "another agent's go on": left["other"] >= children.LEAST or sys.platform != "linux",
            "a sub-agent of the sub-agent is refused": refused.rule == "latch.stopped",
            "another agent's call completes": tools[1].got == ["released completed"],
            "the stop is proven": report.proven,
        }
        stage.session.trees.kill(None, 0.1)
        for process in started:
            _end(process)
        figures = {"whole_stop_s": round(report.took_s, 3)}
        return Stop(name, "held", "by lineage: caller, child, grandchild", checks, figures,
                    _counted(report), report.outside)  # fmt: skip


def _pause(play: _Play) -> Stop:
    with open_stage(play.loaded, contained=play.contained) as stage:
        gate, session, until = stage.session.gate, stage.session, threading.Event()
        flying, second, third = play.calls(3)
        tool = _sync(gate, gate.admit(flying), until)
        waiting = gate.admit(second)
        began = time.monotonic()
        session.answer({"do": "pause", "peer": {"uid": 0}, "by": _BY})
        paused = stage.fire(gate, third)
        closed_ms = 1000 * (time.monotonic() - began)
        held = waiting.state != "go" or _is_void(stage, waiting)
        before = len(stage.received)
        until.set()
        _ends_of([tool])
        session.answer({"do": "resume", "peer": {"uid": 0}, "by": _BY})
        after = [stage.fire(gate, call).state for call in (third, third)]
        sent = [call for call in stage.received if call.digest == third.digest]
        checks = {
            "a new call waits": paused.state == "pending" and before == 0,
            "what was admitted before does not leave": held,
            "the call in flight goes on and ends": tool.got == ["released completed"],
            "resumed, the call passes": after[0] == "reached",
            "each is sent as often as it was called": len(sent) == after.count("reached"),
        }
        figures = {"admission_closed_ms": round(closed_ms, 2)}
        said = "new calls wait, the one in flight ends, the operator resumes"
        return Stop("pause and recover", "held", said, checks, figures)


_NOTHING_GRANTED = ("authority.allow=[]", "authority.approve=[]")


def _correct(play: _Play) -> Stop:
    with open_stage(play.loaded, contained=play.contained) as stage:
        gate, until = stage.session.gate, threading.Event()
        flying, second, third = play.calls(3)
        tool = _sync(gate, gate.admit(flying), until)
        waiting = gate.admit(second)
        stricter = load_deployment(Path(stage.session.loaded.file), _NOTHING_GRANTED)
        policy = Policy.of(stricter.deployment, stricter.digest, lock=gate.policy.lock,
                           listings=stage.listings)  # fmt: skip
        began = time.monotonic()
        gate.correct(policy, by=_BY, why="drill")
        took_ms = 1000 * (time.monotonic() - began)
        void = waiting.state != "go" or _is_void(stage, waiting)
        after = stage.fire(gate, third)
        until.set()
        _ends_of([tool])
        gate.ledger.head()
        kept = [e.body for e in gate.ledger.entries(kinds={"corrected"})]
        checks = {
            "what was decided under the old one does not leave": void,
            "the new one decides at once": after.state == "denied",
            "what it denies is not handed out": tool.got == ["withheld"],
            "the correction is in the ledger": [e["after"] for e in kept] == [stricter.digest],
        }
        figures = {"corrected_ms": round(took_ms, 2)}
        said = "a manifest that grants nothing replaces this one"
        return Stop("correct while calls fly", "held", said, checks, figures)
