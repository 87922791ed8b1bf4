"""The smaller manifest: what a deployment was given and its ledgers never show in use, taken away.

Only grants are taken: tools, verbs, rules that allow or let a person approve, credentials of
servers, accepted drives; budgets on effects that never happened become 0.  Assets and rules that
deny stay: without them the audit and the guard would see less.  What a task needs stays too, used
or not.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corrigible.deployment.load import Loaded, parse_deployment
from corrigible.deployment.records import Deployment
from corrigible.deployment.touch import raises
from corrigible.errors import ManifestError, TranscriptError
from corrigible.guard.budgets import HOURS
from corrigible.monitor.trim_used import Used, used_in
from corrigible.monitor.yaml_cut import Path_, cut
from corrigible.world.modes import structure_of

_SECRETS = ("auth", "env", "headers")
_HELD = ("access", "tools", "information/secret", "self/memory")


@dataclass(frozen=True)
class Cut:
    """One thing that was never used, and what is done about it.

    `what`: tool, verb, rule, server, credential, budget, acceptance.  `gone` and `zero`: where it
    stands in the manifest, taken out or set to 0.  `kept`: why it stays all the same, "" where
    it goes.
    """

    what: str
    name: str
    gone: tuple[Path_, ...]
    zero: tuple[Path_, ...] = ()
    kept: str = ""


@dataclass(frozen=True)
class Trim:
    """The smaller manifest and how it came about.

    `idle`: credentials and memory (assets that can be held) that no call touched: they are told,
    not taken out.  `before`, `after`: the manifest's text; equal where nothing is to be cut.
    """

    loaded: Loaded
    used: Used
    cuts: tuple[Cut, ...]
    idle: tuple[str, ...]
    before: str
    after: str
    smaller: Loaded

    @property
    def diff(self) -> str:
        """What changes, as a unified diff."""
        name = Path(self.loaded.file).name
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True), self.after.splitlines(keepends=True),
            f"a/{name}", f"b/{name}",
        )  # fmt: skip
        return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def trim(loaded: Loaded, text: str, ledgers: Iterable[Path]) -> Trim:
    """Return the smaller manifest that does all that the ledgers show.

    Args:
        loaded: the manifest.
        text: its text, as it was loaded.
        ledgers: one or more ledgers of the guard.

    Raises:
        LedgerError: a ledger cannot be read.
        TranscriptError: no ledger holds a call: then nothing can be said.
    """
    used = used_in(ledgers, loaded)
    if not used.calls:
        raise TranscriptError("empty: no ledger holds a dispatched call, so nothing can be trimmed")
    maker = _Maker(loaded, text)
    for cuts in _candidates(loaded.deployment, used):
        maker.take(cuts)
    return Trim(
        loaded, used, tuple(maker.told), _idle(loaded.deployment, used), text,
        maker.text, maker.smaller,
    )  # fmt: skip


# -- what was never used ---------------------------------------------------------------------


def _candidates(deployment: Deployment, used: Used) -> Iterable[Sequence[Cut]]:
    """Yield what was never used, a kind at a time: what others may stand on comes last."""
    tools = [name for name in deployment.tools if name not in used.tools]
    yield [Cut("tool", name, (("tools", name),)) for name in tools]
    yield [
        Cut("verb", f"{name} {verb}", (("tools", name, "verbs", index),))
        for name, tool in deployment.tools.items()
        if name in used.verbs and "run" not in tool.verbs  # code that runs has every verb
        for index, verb in enumerate(tool.verbs)
        if verb not in used.verbs[name]
    ]
    yield [
        Cut("rule", f"{verdict}: {text}", (("authority", verdict, index),))
        for verdict, index, text in deployment.authority.items()
        if verdict != "deny" and text not in used.rules
    ]
    called = {deployment.server_of(name) for name in used.tools}
    servers = [name for name in deployment.servers if name not in called]
    yield [
        Cut("credential", f"{name}.{key}", (("servers", name, key),))
        for name in servers
        for key in _SECRETS
        if getattr(deployment.servers[name], key)
    ]
    yield [Cut("server", name, (("servers", name),)) for name in servers]
    yield [
        Cut("acceptance", drive, (("accepts", drive),))
        for drive in deployment.accepts
        if drive not in used.drives
    ]
    yield [
        Cut("budget", key, (), (("budgets", key),))
        for key, limit in deployment.budgets.items()
        if key not in {"calls", HOURS} and limit > 0 and not used.most.get(key)
    ]


def _idle(deployment: Deployment, used: Used) -> tuple[str, ...]:
    touched = {asset for _, asset in used.effects}
    needed = {n for name in used.tools if (t := deployment.tools.get(name)) for n in t.requires}
    return tuple(
        name
        for name, asset in deployment.assets.items()
        if ({asset.kind, asset.family} & set(_HELD)) and name not in touched | needed
    )


# -- taking it away ----------------------------------------------------------------------------


class _Maker:
    """Takes away what can go: the manifest must stay right, and its tasks within reach."""

    def __init__(self, loaded: Loaded, text: str) -> None:
        self.source, self.file = text, loaded.file
        self.text, self.smaller = text, loaded
        self.gone: list[Path_] = []
        self.zero: list[Path_] = []
        self.told: list[Cut] = []
        self.tasks = _reached(loaded.deployment)

    def take(self, cuts: Sequence[Cut]) -> None:
        """Take several things away at once, or one by one where they cannot all go."""
        if not cuts:
            return
        if not self._try(cuts):
            self.told += cuts
            return
        for one in cuts:
            why = self._try([one])
            self.told.append(Cut(one.what, one.name, one.gone, one.zero, why))

    def _try(self, cuts: Sequence[Cut]) -> str:
        """Take things away; return why that cannot be, "" where it was done."""
        gone = [*self.gone, *(path for one in cuts for path in one.gone)]
        zero = [*self.zero, *(path for one in cuts for path in one.zero)]
        text = cut(self.source, gone, dict.fromkeys(zero, "0"))
        try:
            smaller = parse_deployment(text, self.file)
        except ManifestError as error:
            return f"the manifest needs it: {error.problems[0].text}"
        lost = self.tasks - _reached(smaller.deployment)
        if lost:
            return f"no other granted call advances {', '.join(sorted(lost))}"
        self.gone, self.zero, self.text, self.smaller = gone, zero, text, smaller
        return ""


def _reached(deployment: Deployment) -> set[str]:
    """Return the tasks that granted calls advance, with what these require had by granted calls."""
    modes = [mode for mode in structure_of(deployment).all_modes if not mode.outside]
    held = {n for n, a in deployment.assets.items() if 0 < a.start_level < len(a.scale)}
    while True:
        able = [mode for mode in modes if held.issuperset(mode.requires)]
        more = {mode.asset for mode in able if raises(mode.verb, mode.kind)} - held
        if not more:
            break
        held |= more
    tasks = set(deployment.of_kind("task"))
    return {mode.asset for mode in able if mode.asset in tasks and raises(mode.verb, mode.kind)}


def unused_words(trim_: Trim) -> Mapping[str, tuple[str, ...]]:
    """Return what goes, by kind, in the order of the manifest."""
    found: dict[str, tuple[str, ...]] = {}
    for one in trim_.cuts:
        if not one.kept:
            found[one.what] = (*found.get(one.what, ()), one.name)
    return found
