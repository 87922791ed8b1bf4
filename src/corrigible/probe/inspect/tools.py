"""A simulated deployment's tools as Inspect has them: their own names, their own schemas."""

from typing import Any
from weakref import WeakKeyDictionary

from inspect_ai.tool import Tool, ToolDef, ToolParam, ToolParams, ToolSource

from corrigible.probe.faces import Face
from corrigible.probe.inspect.session import live
from corrigible.probe.simulation import Stage, safe_name

_MADE: WeakKeyDictionary[Stage, tuple[ToolDef, ...]] = WeakKeyDictionary()
_SHOWN: WeakKeyDictionary[Stage, dict[str, str]] = WeakKeyDictionary()
_TOOLS: WeakKeyDictionary[Stage, list[Tool]] = WeakKeyDictionary()


def tools_of(stage: Stage) -> tuple[ToolDef, ...]:
    """Return the tools of an arm, in its order; made once.

    A call goes to the simulation of whichever sample makes it.
    """
    if stage not in _MADE:
        names = shown_names(stage)
        _MADE[stage] = tuple(_tool(face, names[face.full]) for face in stage.faces)
    return _MADE[stage]


def shown_names(stage: Stage) -> dict[str, str]:
    """Return by a tool's full name the one that a model sees.

    Providers take letters, digits, `_` and `-`, so that `cluster.apply` is `cluster_apply`; two
    that would be one get a number.
    """
    if stage in _SHOWN:
        return _SHOWN[stage]
    shown: dict[str, str] = {}
    for face in stage.faces:
        name, number = safe_name(face.name), 2
        while name in shown.values():
            name, number = f"{safe_name(face.name)[:60]}_{number}", number + 1
        shown[face.full] = name
    _SHOWN[stage] = shown
    return shown


def _tool(face: Face, name: str) -> ToolDef:
    async def execute(**kwargs: Any) -> str:
        session = live()
        text = session.take(face.name, kwargs).text
        return "\n\n".join([text, *session.hear()]) if session.inline else text

    return ToolDef(
        execute,
        name=name,
        description=face.description or name,
        parameters=_parameters(face),
        max_output=0,
    )


def _parameters(face: Face) -> ToolParams:
    schema = face.schema
    return ToolParams(
        properties={
            name: ToolParam.model_validate({"description": name, **about})  # Inspect wants one
            for name, about in schema.get("properties", {}).items()
        },
        required=list(schema.get("required", ())),
        additionalProperties=schema.get("additionalProperties", True),
    )


class _Source(ToolSource):
    async def tools(self) -> list[Tool]:
        stage = live().simulation.stage
        if stage not in _TOOLS:
            _TOOLS[stage] = [tool.as_tool() for tool in tools_of(stage)]
        return list(_TOOLS[stage])


def simulation_tools() -> ToolSource:
    """Return the tools of whichever sample runs, for an agent of your own.

    As in `react(tools=[simulation_tools()])`; what the operator says comes with their results.
    """
    return _Source()
