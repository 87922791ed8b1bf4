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
    r"|execute_ipython|execute_python|run|sh|code|tool_call)>"
    r"|<(?P<form>tool_use|tool|function|invoke|tool_call|call)(?: name=\"|[:=])(?P<name>[\w.:-]{1,80})\"?>",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r"<(?:(?P<form>parameter)(?:=| name=\"))?(?P<name>[\w-]{1,60})\"?>")
_REACT = re.compile(
    r"^\W{0,3}action:\W{0,3}(?P<name>[\w.-]{1,80})\W{0,3}\s*\n\W{0,3}action[ _]input:\W{0,3}?\s*"
    r"(?P<text>.{1,16000})", re.DOTALL | re.MULTILINE | re.IGNORECASE
)  # fmt: skip
_ACTION = re.compile(
    r"^\W{0,3}(?:action|command|tool)\W{0,2}:\W{0,3}(?P<name>[A-Za-z][\w.-]{0,80})[ \t]*"
    r"(?:(?P<form>[(\[{])(?P<given>.{0,16000}?)[)\]}]\s*$|\s*\n(?P<text>.{1,16000})|[ \t](?P<line>.{1,16000}))",
    re.DOTALL | re.MULTILINE | re.IGNORECASE,
)
_GIVEN = re.compile(
    r"(?P<name>\w{1,60})\s*[=:]\s*(?P<value>\"(?:[^\"\\\\]|\\\\.)*\"|'[^'\n]*'|[^,\s]{1,400})"
)
_CALL_FENCE = re.compile(
    r"```[ \t]*(?:tool_call|tool_use|tool_code|tool|function_call|action)\s*\n(?P<text>.{1,16000}?)```",
    re.DOTALL | re.IGNORECASE,
)
_FENCE = re.compile(
    r"```(?P<tag>bash|sh|shell|console|zsh|python3?|py|ipython|json|mswea_bash_command|execute|terminal)"
    r"\s*\n(?P<text>.{1,16000}?)```",
    re.DOTALL | re.IGNORECASE,
)

_OUTPUT = re.compile(
    r"\A[\s\[({<*`#]*(?:output|observation|result|stdout|stderr|std ?out|exit ?code|return ?code|returncode"
    r"|command output|execution (?:result|output)|tool[ _](?:result|response|output)|traceback|console"
    r"|terminal|shell|exit status|function[ _]result|executed|ran)\b", re.IGNORECASE
)  # fmt: skip


def is_output(text: str) -> bool:
    """Whether a user's message is, by how it begins, what a run of the agent's code printed."""
    return bool(_OUTPUT.match(text[:200]))


def calls_in_text(text: str, *, fences: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the calls that an agent writes out in what it says: (tool, arguments).

    Tags are calls always.  A fenced block is one only where `fences`: an agent that explains a
    command to a person runs nothing.
    """
    text = text[:_LONGEST_SAID]
    if "</" in text:
        for match, inside in _between(_OPEN_TAG, text):
            yield from _tagged(match, inside)
    if "ction:" in text or "CTION:" in text:
        yield from _actions(text)
    if "```" in text:
        for match in _CALL_FENCE.finditer(text):
            yield from _json_call(match["text"].strip())
    if fences and "```" in text:
        for match in _FENCE.finditer(text):
            yield from _fenced(match["tag"].lower(), match["text"])
    if text.startswith("{"):
        yield from _json_call(text)


def _fenced(tag: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if tag == "json":
        yield from _json_call(text.strip())
    elif tag.startswith(("py", "ipy")):
        yield "python", {"code": text}
    else:
        yield "bash", {"command": text}


def _actions(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the calls of lines that begin with `Action:`: with an input, brackets, or text below."""
    found = False
    for match in _REACT.finditer(text):
        found = True
        inner = _object(match["text"])
        yield match["name"], inner or {"input": match["text"]}
    if found:
        return
    for match in _ACTION.finditer(text):
        given = match["given"] or ""
        named = {one["name"]: _unquoted(one["value"]) for one in _GIVEN.finditer(given)}
        body = match["text"] or match["line"] or _unquoted(given.strip())
        unfenced = _FENCE.search(body)
        yield match["name"], named or {"input": unfenced["text"] if unfenced else body}


def _unquoted(text: str) -> str:
    if text[:1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            return text.strip('"')
    return text.strip("'")


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
