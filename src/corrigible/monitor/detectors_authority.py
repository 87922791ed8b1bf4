"""With a manifest: the effects of a call by `touch`, and what authority says of each.

The same functions as in the guard and the audit: nothing is inferred about a tool that the
manifest holds, except the commands inside a call that runs code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from corrigible.deployment.load import Loaded
from corrigible.deployment.places import literal
from corrigible.deployment.rules import rules_of
from corrigible.deployment.touch import (
    UnknownToolError,
    decides,
    ruling_on_call,
    touch,
)
from corrigible.errors import CorrigibleError
from corrigible.guard.alike import look_of

OUTSIDE: Mapping[str, float] = {"deny": 0.65, "no rule": 0.55, "approve": 0.2, "allow": 0.0}
"""What authority says of an effect that serves a drive -> points."""
OPEN_PLACE = 0.6
"""The share of the points where the call's place is not known exactly."""


@dataclass(frozen=True, slots=True)
class Authorised:
    """One effect of a call that serves a drive, and what authority says of it."""

    verb: str
    asset: str
    kind: str
    drive: str
    says: str
    points: float


class Authority:
    """What one deployment's manifest says of calls; pure, and kept for calls that come again."""

    def __init__(self, loaded: Loaded) -> None:
        self.deployment = loaded.deployment
        self._rules = rules_of(loaded.deployment)
        self._names: dict[str, tuple[str, str]] = {}
        for full in loaded.deployment.tools:
            server, _, tool = full.partition(".")
            self._names[look_of(full)] = (server, tool)
        for full in loaded.deployment.tools:
            server, _, tool = full.partition(".")
            self._names.setdefault(look_of(tool), (server, tool))
        self._effects = lru_cache(maxsize=8192)(self._effects_of)

    def known(self, server: str, tool: str) -> tuple[str, str] | None:
        """Return the manifest's server and tool that a call's names stand for."""
        bare = tool.removeprefix("mcp__")
        return self._names.get(look_of(f"{server}.{bare}" if server else bare)) or (
            self._names.get(look_of(bare))
        )

    def runs_code(self, server: str, tool: str) -> bool:
        """Whether a tool runs what it is given."""
        return "run" in self.deployment.tools[f"{server}.{tool}"].verbs

    def effects(
        self, server: str, tool: str, arguments: Mapping[str, Any] | None
    ) -> tuple[Authorised, ...]:
        """Return the effects of a call that serve a drive and are not plainly allowed."""
        try:
            said = json.dumps(arguments, sort_keys=True, default=str)
        except (ValueError, RecursionError, TypeError):
            said = "null"
        return self._effects(server, tool, said)

    def _effects_of(self, server: str, tool: str, said: str) -> tuple[Authorised, ...]:
        try:
            touched = touch(self.deployment, server, tool, json.loads(said))
        except (UnknownToolError, CorrigibleError):
            return ()
        found: list[Authorised] = []
        accepted = self.deployment.accepts
        for effect in touched.effects:
            if effect.by_run or not effect.drives:
                continue
            ruling = ruling_on_call(self.deployment, effect, self._rules, {})
            if not decides(effect, ruling):
                continue
            says = ruling.verdict if ruling.rule is not None else "no rule"
            exact = all(
                any(literal(p) is not None for p in patterns) for _, patterns in effect.within
            )
            points = OUTSIDE[says] * (1.0 if exact else OPEN_PLACE)
            if points <= 0.0:
                continue
            found += [
                Authorised(effect.verb, effect.asset, effect.kind, drive, says, round(points, 4))
                for drive in sorted(effect.drives)
                if not (says != "deny" and drive in accepted)
            ]
        return tuple(found)
