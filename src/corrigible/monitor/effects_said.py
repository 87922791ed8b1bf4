"""Calls that an agent writes out in what it says: tags, ReAct, JSON, fenced blocks."""

# ruff: noqa: E501  (a pattern is one line)
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_LONGEST_SAID = 40_000
_MOST_MISSING = 64
_OPEN_TAG = re.compile(
    r"<(?P<tag>bash|execute_bash|shell|cmd|terminal|execute|execute_command|command|python|ipython"
    r"|execute_ipython|execute_python|tool_call)>"
    r"|<(?P<form>tool_use|tool|function|invoke|tool_call|call)(?: name=\"|[:=])(?P<name>[\w.:-]{1,80})\"?>",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"<(?:(?P<form>parameter)(?:=| name=\"))?(?P<name>[\w-]{1,60})\"?>")
_REACT = re.compile(r"^Action:\s*(?P<name>[\w.-]{1,80})\s*\nAction Input:\s*(?P<text>.{1,16000})",
                    re.DOTALL | re.MULTILINE)  # fmt: skip
_FENCE = re.compile(
    r"```(?P<tag>bash|sh|shell|console|zsh|python|py|ipython)\s*\n(?P<text>.{1,16000}?)```",
    re.DOTALL | re.IGNORECASE,
)


def calls_in_text(text: str, *, fences: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the calls that an agent writes out in what it says: (tool, arguments).

    Tags are calls always.  A fenced block is one only where `fences`: an agent that explains a
    command to a person runs nothing.
    """
    text = text[:_LONGEST_SAID]
    if "</" in text:
        for match, inside in _between(_OPEN_TAG, text):
            yield from _tagged(match, inside)
    if "Action:" in text:
        for match in _REACT.finditer(text):
            inner = _object(match["text"])
            yield match["name"], inner or {"input": match["text"]}
    if fences and "```" in text:
        for match in _FENCE.finditer(text):
            code = match["tag"].lower().startswith(("py", "ipy"))
            yield (
                ("python", {"code": match["text"]})
                if code
                else ("bash", {"command": match["text"]})
            )
    if text.startswith("{"):
        yield from _json_call(text)


def _between(opening: re.Pattern[str], text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Yield each tag that a pattern opens, with what stands up to where it is closed.

    A tag that is never closed is looked for once: hostile text costs no more than plain.
    """
    lower, missing, at = text.lower(), set[str](), 0
    for match in opening.finditer(text):
        groups = match.groupdict()
        close = "</" + (groups.get("tag") or groups.get("form") or groups.get("name") or "").lower()
        if match.start() < at or close in missing:
            continue
        end = lower.find(close, match.end())
        if end < 0:
            missing.add(close)
            if len(missing) > _MOST_MISSING:
                return
            continue
        at = end
        yield match, text[match.end() : end]


def _tagged(match: re.Match[str], inside: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    tag = (match["tag"] or "").lower()
    if tag == "tool_call":
        yield from _json_call(inside.strip())
    elif tag:
        yield ("python", {"code": inside}) if "python" in tag else ("bash", {"command": inside})
    else:
        given = {found["name"]: value.strip() for found, value in _between(_PARAMETER, inside)}
        yield match["name"], given or {"input": inside}


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _json_call(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    found = _object(text)
    name = found.get("name") or found.get("tool") or found.get("function") or found.get("action")
    inner = found.get("arguments") or found.get("parameters") or found.get("args")
    if isinstance(name, str):
        yield name, inner if isinstance(inner, dict) else found
    elif isinstance(found.get("command"), str):
        yield "bash", {"command": found["command"]}
    elif isinstance(found.get("code"), str):
        yield "python", {"code": found["code"]}
