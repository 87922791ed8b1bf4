"""One call, and what was decided on it: the records that all of the guard speaks in."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from corrigible.deployment.rules import Verdict

_NONE: Mapping[str, float] = MappingProxyType({})


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no space, ASCII, no NaN.

    Raises:
        ValueError: the value holds what JSON does not (NaN, an object of Python's).
    """
    return _CANONICAL.encode(value)


@dataclass(frozen=True)
class Caller:
    """Who calls: a client's or a sub-agent's name, and its ancestors, eldest first."""

    name: str = "agent"
    lineage: tuple[str, ...] = ()


@dataclass(frozen=True)
class Call:
    """One call of one tool.  `arguments` passed `strict.check_arguments`: nobody changes them.

    `caller` names who asked (a client's session, a sub-agent), `lineage` its ancestors, eldest
    first: what stops an ancestor stops it too.
    """

    server: str
    tool: str
    arguments: Mapping[str, Any]
    caller: str = "agent"
    lineage: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The tool's name in the manifest: `server.tool`."""
        return f"{self.server}.{self.tool}"

    @cached_property
    def digest(self) -> str:
        """The sha256 of (server, tool, canonical arguments): what an approval binds to."""
        text = canonical_json([self.server, self.tool, self.arguments])
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class DecidedEffect:
    """One effect of a call, and the verdict and rule that apply to it."""

    verb: str
    asset: str
    kind: str
    verdict: Verdict
    rule: str  # the rule's text, "" where none matched

    def __str__(self) -> str:
        return f"{self.verb} {self.asset}"


@dataclass(frozen=True)
class Decision:
    """What was decided on one call, and why.

    `rule` is a rule of the manifest as written, or the name of a check (`names.exact`,
    `arguments.schema`, `budget.calls`, `latch.stopped`, `default`).  `lifts`: what would lift a
    decision that is not allow.  `rests_on`: what the decision takes for granted of others, as
    that the server opens the place that it was given.  `uses`: what the call takes from each
    budget, if it is dispatched.
    """

    verdict: Verdict
    rule: str
    reason: str
    lifts: str = ""
    effects: tuple[DecidedEffect, ...] = ()
    drives: tuple[str, ...] = ()
    rests_on: tuple[str, ...] = ()
    irreversible: bool = False
    uses: Mapping[str, float] = field(default_factory=lambda: _NONE)
    policy: str = ""  # the manifest's digest

    @property
    def durable(self) -> bool:
        """Whether the intent must survive a loss of power: what is approved or irreversible."""
        return self.irreversible or self.verdict == "approve"
