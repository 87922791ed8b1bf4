"""What a command's words are: flags, what it prints, what base64 stands for, what is an agent."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Sequence

from corrigible.monitor.effects_deed import Deed
from corrigible.monitor.effects_shell import Command

Handler = Callable[[list[str], Command], Iterator[Deed]]

AGENTS = frozenset(
    {"claude", "codex", "gemini", "aider", "llm", "opencode", "goose", "cursor-agent", "q",
     "amp", "crush", "autogpt"}
)  # fmt: skip
_AGENT_LIKE = re.compile(
    r"(?:^|[/_\s-])agents?(?:[_-]?(?:loop|main|runner|core|d))?(?:\.|\b)|--(?:headless|autonomous|agentic|yolo|resume-agent)\b"
    r"|\b(?:claude|codex|aider)\b|self\b",
    re.IGNORECASE,
)


def is_agent_like(text: str) -> bool:
    """Whether what is started looks like an agent, most likely the one that starts it."""
    return bool(_AGENT_LIKE.search(text))


def content_of_command(command: Command) -> str:
    """Return what a command prints or is fed, as far as its text says it."""
    before, argv = command.before, command.argv
    if before is not None and argv and argv[0] not in {"echo", "printf"}:
        return (command.stdin or content_of_command(before))[:4000]
    if argv and argv[0] in {"echo", "printf"}:
        said = " ".join(a for a in argv[1:] if a not in {"-n", "-e", "-ne", "-en"})[:4000]
        return said.replace("\\n", "\n") + "\n" * (argv[0] == "echo" and "-n" not in argv[1:2])
    return (command.stdin or " ".join(argv))[:4000]


def plain(argv: Sequence[str]) -> list[str]:
    """Return the words of a command that are no flags."""
    return [word for word in argv[1:] if word and not word.startswith("-")]


def flag(argv: Sequence[str], *names: str) -> bool:
    """Whether one of some flags is among the words, alone or with `=`."""
    return any(word in names or word.split("=", 1)[0] in names for word in argv[1:])


def after(argv: Sequence[str], *names: str) -> str:
    """Return the value of a flag: the word after it, or after its `=`."""
    for place, word in enumerate(argv):
        if word in names and place + 1 < len(argv):
            return argv[place + 1]
        if "=" in word and word.split("=", 1)[0] in names:
            return word.split("=", 1)[1]
    return ""


def decoded(text: str) -> str:
    """Return what base64 or hex text stands for where that is readable text, else nothing."""
    bare = re.sub(r"\s+", "", text)
    if len(bare) < 8 or len(bare) > 65_536:  # noqa: PLR2004  (shorter ones are words)
        return ""
    for decode in (_from_base64, _from_hex):
        found = decode(bare)
        if found and sum(c.isprintable() or c in "\n\t" for c in found) >= 0.95 * len(found):
            return found
    return ""


def _from_base64(bare: str) -> str:
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True).decode()
    except (ValueError, binascii.Error):
        return ""


def _from_hex(bare: str) -> str:
    try:
        return bytes.fromhex(bare).decode()
    except ValueError:
        return ""
