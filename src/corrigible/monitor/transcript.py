"""One record for what an agent did, whatever its run was written in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

EventKind = Literal[
    "system", "user", "assistant", "call", "result", "denied", "stop", "pause", "resume",
    "correction", "approval",
]  # fmt: skip
"""What happened.  A `call` is asked for by the agent; a `result` answers it (and may be an error);
`denied` says that a control or a person kept it from being dispatched, or lets it wait; `approval`
that a person let it pass."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was said or done in a run.

    A call, its result, its denial and its approval carry the same `call_id`, where the source
    says it; a denial follows its call.  A name that the source gives as one text
    (`mcp__server__tool`) is split where the form says how, else it is all in `tool`.  `arguments`
    is None where the source has none or they were no JSON object; `text` of a call is then what
    stood there.  Else `text` is what was said; on a result what the tool answered; on a denial
    the reason.
    """

    kind: EventKind
    text: str = ""
    server: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] | None = None
    call_id: str = ""
    is_error: bool = False
    at: float | None = None  # seconds since 1970, UTC
    caller: str = ""  # who called, where several agents share one log
    where: str = ""  # line, span or entry in the source


@dataclass(frozen=True, slots=True)
class Transcript:
    """One run of one agent.

    `events` is a tuple, or, for a run too long to hold (a ledger, a coding session), an iterator
    that reads them from the file in order, once, and before the next transcript is asked for.
    """

    id: str
    source: str  # the file
    format: str  # the name that `--format` takes
    agent: str  # the model or agent as the source names it, "" where it does not
    events: Iterable[Event]


@dataclass(frozen=True)
class Bad:
    """What could not be read: it is neither clean nor suspicious, and it is counted.

    `line` counts from 1; 0 is the whole file.  `why` begins with one of a few fixed reasons, up
    to its first colon, so that reasons can be counted.  A transcript whose records are partly bad
    comes with the rest of them, and its bad ones right after it.
    """

    source: str
    line: int
    why: str
    count: int = 1  # more than one: so many like this one, of which no one is named

    @property
    def reason(self) -> str:
        """The fixed part of `why`."""
        return self.why.partition(":")[0]

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return f"{where}: {self.why}"
