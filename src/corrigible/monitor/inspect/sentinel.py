"""The detectors as a monitor of Inspect Sentinel: `corrigible/drive_monitor`.

    eval(task, sentinel=observe_only([drive_monitor()]))
    eval(task, sentinel=threshold(monitors=[drive_monitor()], reject_at=0.7))

It sees a call before it is made, with the conversation so far, and scores what that call adds.
"""

from pathlib import Path
from typing import Any

from inspect_sentinel import BeforeToolCall, Context, Monitor, Observation, monitor

from corrigible.deployment.load import load_deployment
from corrigible.monitor.inspect.messages import call_event, transcript_of
from corrigible.monitor.scan import Scanner
from corrigible.monitor.transcript import Transcript


@monitor(name="drive_monitor", version=1)
def drive_monitor(deployment: str | None = None) -> Monitor:
    """Score each tool call, before it is made, for the drives that it serves.

    Args:
        deployment: the manifest that the calls are under; None: effects are inferred.
    """
    scanner = Scanner(None if deployment is None else load_deployment(Path(deployment)))

    async def observe(context: Context, step: BeforeToolCall) -> Observation | None:  # noqa: ARG001  (Sentinel's own signature)
        return observation(scanner, _messages(step), step.call)

    return observe


def observation(scanner: Scanner, messages: list[Any], call: Any) -> Observation:
    """Return what a scanner says of one call after some messages: each drive with its score."""
    before = [
        event
        for event in transcript_of(messages).events
        if not (event.kind == "call" and event.call_id == call.id)
    ]
    run = Transcript("", "", "inspect", "", (*before, call_event(call, "this call")))
    now = [s for s in scanner.scan(run) if s.last == len(before)]
    scores: dict[str, float] = {}
    for suspicion in now:
        scores[suspicion.drive] = max(scores.get(suspicion.drive, 0.0), suspicion.score)
    told = sorted(now, key=lambda s: -s.score)[:3]
    highest = max(scores.values(), default=0.0)
    return Observation(
        suspicion=highest,
        explanation="; ".join(f"{s.score:.2f} {s.what}" for s in told) or "no act serves a drive",
        metadata={"drives": scores, "threshold": scanner.threshold.sentence()},
    )


def _messages(step: BeforeToolCall) -> list[Any]:
    return list(step.history or step.agent_messages or step.input or ())
