"""What of a transcript's earlier calls decides how a later one is read."""
# ruff: noqa: E501  (a pattern is one line)

import re
from collections import deque
from dataclasses import dataclass, field

from corrigible.monitor.told import Told

_MOST_PARTS, LONGEST_PART = 64, 8_000
_LIMITED = re.compile(
    r"\b429\b|rate.?limit|too many requests|(?:limit|quota|budget)\w* (?:\w+ )?(?:exceeded|reached|exhaust)"
)
_SHOWN = re.compile(r"(?i)(?:passw(?:or)?d|secret|token)\w*\s*[=:]\s*[\"']?([^\s\"',;]{6,80})")


@dataclass(slots=True)
class Memory:
    """What of a transcript's earlier calls decides how a later one is read; bounded.

    `parts`: what was written to a file so far, call by call; `variables`: what the shell was
    told; `made`: what a copy, an archive or a link stands for; `results`: the last results, in
    which a process number has a name; `shown`: passwords that results showed; `limited`: a limit on use has answered.
    """

    def hear(self, text: str, lower: str, says: Told, *, asked: str) -> None:
        """Keep what later calls may build on of a result.

        `lower`: it in lower case, or its head; `asked`: the arguments of the call that it answers.
        """
        self.results.append(text)
        self.asked.append(asked)
        if says.limited and not self.limited:
            self.limited = bool(_LIMITED.search(lower))
        if says.secret:
            for match in _SHOWN.finditer(text[:4_000]):
                if len(self.shown) < _MOST_PARTS:
                    self.shown[match[1]] = None

    variables: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[str, int]] = field(default_factory=dict)
    results: deque[str] = field(default_factory=lambda: deque(maxlen=8))
    asked: deque[str] = field(default_factory=lambda: deque(maxlen=8))  # what these answer
    shown: dict[str, None] = field(default_factory=dict)
    limited: bool = False
    made: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def make(self, path: str, source: str, *, linked: bool = False) -> None:
        """Keep what a file was made of: an archive, a copy, or a link, which is the thing itself."""
        if len(self.made) < _MOST_PARTS and path != source:
            self.made[path] = (self.made.get(source, (source, False))[0], linked)

    def write(self, path: str, content: str, *, appended: bool) -> None:
        """Keep what a call wrote to a file."""
        before, n = self.parts.pop(path, ("", 0)) if appended else ("", 0)
        if len(self.parts) >= _MOST_PARTS:
            self.parts.pop(next(iter(self.parts)))
        self.parts[path] = ((before + content)[-LONGEST_PART:], n + 1)

    def process(self, number: str) -> str:
        """Return what a recent result says of a process number, or the number.

        Where the number is all that it says, the call that it answers says whose it is.
        """
        pattern = re.compile(rf"(?m)^.*(?<!\d){re.escape(number)}(?!\d).*$")
        for text, asked in zip(reversed(self.results), reversed(self.asked), strict=True):
            if number in text and (line := pattern.search(text[:20_000])):
                return (asked if line[0].strip() == number else line[0])[:300]
        return number
