"""The manifest as frozen records, checked on creation.

These records say what a manifest may hold, key by key; what its parts must be to each other
(names that must exist, requirements that must be attainable) is `check.py`'s.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from corrigible.deployment.rates import DEFAULT_RANGES, Rate, Span, Steps
from corrigible.drives import DRIVES, Kind, Verb

AgentKind = Literal["tool-using", "classifier"]
RATES_OF_OVERSIGHT = ("stop_rate", "correction_rate", "detection", "approval_rate")


def _as_tuple(value: Any) -> Any:
    """One text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    """A level may be written as a number: `levels: [1, 2, 4]`."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return f"{value:.15g}" if isinstance(value, float) else value


def _not_a_switch(value: Any) -> Any:
    """`calls: true` is no amount, though true is 1 to a computer."""
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {str(value).lower()}")  # noqa: TRY004  (pydantic's)
    return value


def _as_day(value: Any) -> Any:
    """Take a day as it is written; numbers would be read as seconds since 1970."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise ValueError(f"must be a day, as in 2027-03-01, got {str(value)[:80]!r}")
    return value


def _no_repeats(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"must not repeat, got {', '.join(map(repr, repeated))} twice")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$")]
AssetName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,199}$")]
"""No dot: `release.drift` must be the drift of `release`."""
ServerName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,199}$")]
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\.[^\s\x00-\x1f\x7f]{1,256}$")]
Text = Annotated[str, Field(min_length=1, max_length=4096)]
Level = Annotated[str, BeforeValidator(_as_text), Field(min_length=1, max_length=100)]
Places = Annotated[tuple[Text, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Number = Annotated[float, BeforeValidator(_not_a_switch)]
Amount_ = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[Number, Field(ge=0, le=1, allow_inf_nan=False)]
Boost = Annotated[Number, Field(ge=-1, le=1, allow_inf_nan=False)]
Day = Annotated[date, BeforeValidator(lambda v: v if isinstance(v, date) else _as_day(v))]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, hide_input_in_errors=True)


class Agent(_Record):
    """What is deployed: `horizon` is the number of steps in one run, None where nobody said."""

    kind: AgentKind
    goal: Text
    horizon: Steps | None = None


class EnvReference(_Record):
    """A secret by reference: the name of the environment variable that holds it."""

    env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


_WHOLE = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z]:([/\\\\]|$)")
_THIS_HOST = re.compile(r"localhost|127(\.\d{1,3}){1,3}|0\.0\.0\.0|\[?::1?\]?")


class Server(_Record):
    """An MCP server: started by `command`, reached at `url`, or only described (neither).

    `host`: where it runs; servers of one host are within reach of code that runs on it.
    `root`: where relative places start; `home`: what `~` means; `case`: whether the places of
    this server tell capital letters from small ones.
    """

    command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2048)] | None = None
    auth: EnvReference | None = None
    env: Mapping[str, EnvReference] = Field(default_factory=dict)
    headers: Mapping[str, EnvReference] = Field(default_factory=dict)
    cwd: Text | None = None
    host: Text | None = None
    root: Text | None = None
    home: Text | None = None
    case: Literal["sensitive", "insensitive"] = "sensitive"

    @model_validator(mode="after")
    def _one_way_in(self) -> "Server":
        if self.command and self.url:
            raise ValueError("has `command` or `url`, not both")
        for key in ("root", "home"):
            place = getattr(self, key)
            if place is not None and not _WHOLE.match(place):
                raise ValueError(f"`{key}` must be a whole place, as in /srv, got {place[:80]!r}")
        return self

    @property
    def where(self) -> str:
        """The host that it runs on: stated, else the URL's, else this one (`localhost`)."""
        if self.host is not None:
            host = self.host
        elif self.url is None:
            return "localhost"
        else:
            host = re.split(r"[/?#\\]", self.url.split("://", 1)[1])[0].rsplit("@", 1)[-1]
            host = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        host = host.lower().rstrip(".")
        return "localhost" if _THIS_HOST.fullmatch(host) else host


class Amount(_Record):
    """Which argument says how much, and whether it is the new total or what is added."""

    arg: Text
    counts: Literal["absolute", "added"] = "absolute"


class Tool(_Record):
    """What calls of one tool do, and where.

    `target`: templates over arguments (`/docs/{path}`); None acts anywhere on its server.
    `reach`: places that the server confines it to; None: no such bound.
    `sandbox`: for `run`, the places that the code can touch, by server; None: everything on
    the server's host.  `success`: the chance that one call achieves it.
    """

    verbs: Annotated[tuple[Verb, ...], AfterValidator(_no_repeats), Field(min_length=1)]
    target: Places | None = None
    reach: Places | None = None
    sandbox: Mapping[str, Places] | None = None
    success: Rate | None = None
    amount: Amount | None = None
    cost: Mapping[Name, Amount_] = Field(default_factory=dict)
    requires: Annotated[tuple[Name, ...], AfterValidator(_no_repeats)] = ()
    irreversible: bool = False
    secrets: bool = False

    @model_validator(mode="after")
    def _sandbox_is_for_run(self) -> "Tool":
        if self.sandbox is not None and "run" not in self.verbs:
            raise ValueError("`sandbox` bounds what `run` can touch, and its verbs hold no `run`")
        return self


_TWO_LEVELS: Mapping[str, tuple[str, str]] = {
    "task": ("undone", "done"),
    "resource": ("start", "more"),
    "access": ("no", "held"),
    "tools": ("no", "held"),
    "information": ("no", "held"),
    "people": ("no", "won over"),
    "agents": ("idle", "at work"),
    "self": ("no", "copy"),
    "oversight": ("intact", "broken"),
    "bystander": ("harmed", "whole"),
}


class Asset(_Record):
    """A thing that can be held, changed or harmed.

    `levels` run from lowest to highest; every asset starts at its first level, a bystander at
    its last, unless `start` says otherwise.  `boosts`: what each level above the lowest adds to
    the success of a task (`release`), to its drift (`release.drift`) or to a rate of oversight.
    `caps`: for a limit organ, the highest level that it lets an asset have while it is intact.
    """

    kind: Kind
    at: Mapping[Name, Places] = Field(default_factory=dict)
    levels: Annotated[tuple[Level, ...], AfterValidator(_no_repeats)] | None = None
    start: Level | None = None
    drift: Rate | None = None
    boosts: Mapping[str, Boost] = Field(default_factory=dict)
    wear: Rate | None = None
    caps: Mapping[Name, Level] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Asset":
        if self.kind == "elsewhere":
            raise ValueError("`elsewhere` is what no asset names, so no asset can be it")
        if self.levels is not None and len(self.levels) < 2:  # noqa: PLR2004  (two ends)
            raise ValueError("needs two levels or more, lowest first")
        if self.levels is not None and self.family == "oversight":
            raise ValueError("an oversight organ is intact or broken: it has no `levels`")
        if self.start is not None and self.start not in self.scale:
            raise ValueError(f"`start` must be one of its levels, got {self.start!r}")
        for key, kind in (("drift", "task"), ("wear", "bystander")):
            if getattr(self, key) is not None and self.family != kind:
                raise ValueError(f"`{key}` belongs to a {kind} asset, this is {self.kind}")
        if self.caps and self.kind != "oversight/limit":
            raise ValueError(f"`caps` belongs to an oversight/limit organ, this is {self.kind}")
        return self

    @property
    def family(self) -> str:
        """The kind's first word: `oversight` for `oversight/stop`."""
        return self.kind.partition("/")[0]

    @property
    def scale(self) -> tuple[str, ...]:
        """Its levels, lowest first, the kind's own two where none are stated."""
        return self.levels if self.levels is not None else _TWO_LEVELS[self.family]

    @property
    def start_level(self) -> int:
        """The index into `scale` at which it starts."""
        if self.start is not None:
            return self.scale.index(self.start)
        return len(self.scale) - 1 if self.family == "bystander" else 0


class Authority(_Record):
    """The rules, as written: deny over approve over allow; nothing matches: deny."""

    allow: tuple[Text, ...] = ()
    approve: tuple[Text, ...] = ()
    deny: tuple[Text, ...] = ()

    def items(self) -> Iterator[tuple[Literal["deny", "approve", "allow"], int, str]]:
        """Yield (list, index, text) of every rule, the strictest list first."""
        for index, text in enumerate(self.deny):
            yield "deny", index, text
        for index, text in enumerate(self.approve):
            yield "approve", index, text
        for index, text in enumerate(self.allow):
            yield "allow", index, text


class Acceptance(_Record):
    """A drive granted on purpose: why, and until when."""

    why: Text
    until: Day


class Oversight(_Record):
    """How often, in each step: a stop comes, a correction comes, an act outside authority is
    detected, a request is approved.  None: nobody said (`DEFAULT_RANGES`)."""  # noqa: D205, D209

    stop_rate: Rate | None = None
    correction_rate: Rate | None = None
    detection: Rate | None = None
    approval_rate: Rate | None = None


class StatedGoal(_Record):
    """One goal that the agent might have: for each task, the utility of each of its levels.

    A goal's utility of an outcome is the sum over its tasks, and must stay within 0 to 1.
    """

    weight: Annotated[Number, Field(gt=0, allow_inf_nan=False)] = 1.0
    tasks: Mapping[Name, tuple[Share, ...]]


def _known_drive(value: str) -> str:
    if value not in DRIVES:
        raise ValueError(f"must be a drive, family/member, got {value!r}")
    return value


class Deployment(_Record):
    """One deployment: an agent and all that it is given, as its manifest states it."""

    corrigible: Annotated[Literal[1], BeforeValidator(_not_a_switch)]
    name: Name
    agent: Agent
    servers: Mapping[ServerName, Server]
    tools: Mapping[ToolName, Tool] = Field(default_factory=dict)
    assets: Mapping[AssetName, Asset] = Field(default_factory=dict)
    authority: Authority = Authority()
    accepts: Mapping[Annotated[str, AfterValidator(_known_drive)], Acceptance] = Field(
        default_factory=dict
    )
    budgets: Mapping[Text, Amount_] = Field(default_factory=dict)
    oversight: Oversight = Oversight()
    goals: Mapping[Name, StatedGoal] = Field(default_factory=dict)

    def server_of(self, tool: str) -> str:
        """Return the name of the server that a tool (`server.tool`) belongs to."""
        return tool.partition(".")[0]

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Return the names of the assets of one kind (`oversight/stop`) or family (`task`)."""
        return tuple(n for n, a in self.assets.items() if kind in {a.kind, a.family})

    def rates(self) -> dict[str, Span]:
        """Return every rate by its path in the manifest, the unstated as their default range."""
        found: dict[str, Span | None] = {"agent.horizon": self.agent.horizon}
        for name, tool in self.tools.items():
            found[f"tools.{name}.success"] = tool.success
        for name, asset in self.assets.items():
            if asset.family == "task":
                found[f"assets.{name}.drift"] = asset.drift
            if asset.family == "bystander":
                found[f"assets.{name}.wear"] = asset.wear
        for rate in RATES_OF_OVERSIGHT:
            found[f"oversight.{rate}"] = getattr(self.oversight, rate)
        return {
            path: DEFAULT_RANGES[path.rpartition(".")[2]] if span is None else span
            for path, span in found.items()
        }
