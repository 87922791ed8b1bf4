"""How well the verbs of real tools are read from their own descriptions: one table.

    python benchmarks/inference.py FOLDER

FOLDER holds one `SERVER.json` a server (`{"tools": [...]}` as the protocol lists them) and
`labels.json`: for each `server.tool`, the `verbs`, `secrets`, `irreversible`, `at`, `amount`
that people read, and what they disputed, which is not scored either way.

The second table is the honest one: for each server, what the reading gets there when every cue
that fires on no other server is taken out of the table.
"""

import json
import platform
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from corrigible.deployment.cues import CUES, Cue
from corrigible.deployment.infer import Reading, cues_fired, infer
from corrigible.deployment.listing import ListedTool
from corrigible.drives import VERBS

FLAGS = ("secrets", "irreversible")
ARGUMENTS = ("at", "amount")


@dataclass
class Tally:
    """True positives, false positives, false negatives; and where the false ones are."""

    hit: int = 0
    over: int = 0
    missed: int = 0
    where: list[str] = field(default_factory=list)

    def add(self, said: bool, true: bool, tool: str) -> None:
        """Count one decision."""
        self.hit += said and true
        self.over += said and not true
        self.missed += true and not said
        if said != true:
            self.where.append(("+" if said else "-") + tool)

    @property
    def precision(self) -> float:
        """Share of what was said that is true."""
        return self.hit / (self.hit + self.over) if self.hit + self.over else float("nan")

    @property
    def recall(self) -> float:
        """Share of what is true that was said."""
        return self.hit / (self.hit + self.missed) if self.hit + self.missed else float("nan")

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        total = 2 * self.hit + self.over + self.missed
        return 2 * self.hit / total if total else float("nan")


def listed(raw: Mapping[str, Any]) -> ListedTool:
    return ListedTool(
        name=raw["name"],
        title=raw.get("title"),
        description=raw.get("description"),
        input_schema=raw.get("inputSchema") or {},
        output_schema=raw.get("outputSchema"),
        annotations=raw.get("annotations"),
    )


def read_folder(folder: Path) -> dict[str, dict[str, ListedTool]]:
    return {
        path.stem: {tool["name"]: listed(tool) for tool in json.loads(path.read_text())["tools"]}
        for path in sorted(folder.glob("*.json"))
        if path.stem not in {"labels", "INDEX"}
    }


def score(
    servers: Mapping[str, Mapping[str, ListedTool]],
    labels: Mapping[str, Any],
    cues: Mapping[str, tuple[Cue, ...]],
) -> tuple[dict[str, Tally], dict[str, Tally]]:
    """Score every labelled tool, with the cues that its server may use."""
    measures: dict[str, Tally] = defaultdict(Tally)
    per_server: dict[str, Tally] = defaultdict(Tally)
    for server, tools in servers.items():
        for name, tool in tools.items():
            key = f"{server}.{name}"
            if (label := labels.get(key)) is None:
                continue
            reading = infer(tool, server=server, cues=cues.get(server, CUES))
            _score_one(key, reading, label, measures=measures, server=per_server[server])
    return measures, per_server


def _score_one(
    key: str, reading: Reading, label: Any, *, measures: dict[str, Tally], server: Tally
) -> None:
    for verb in VERBS:
        if verb != "advance" and verb not in label["disputed"]:
            measures[verb].add(verb in reading.verbs, verb in label["verbs"], key)
            server.add(verb in reading.verbs, verb in label["verbs"], f"{verb}:{key}")
    for flag in FLAGS:
        if flag in label:
            measures[flag].add(getattr(reading, flag), label[flag], key)
    for role in ARGUMENTS:
        for argument in {*getattr(reading, role), *label.get(role, ())}:
            if argument not in label.get(f"{role}_disputed", ()):
                said, true = argument in getattr(reading, role), argument in label.get(role, ())
                measures[role].add(said, true, f"{key}({argument})")


def micro(measures: Mapping[str, Tally]) -> Tally:
    verbs = [tally for name, tally in measures.items() if name in VERBS]
    return Tally(
        sum(t.hit for t in verbs), sum(t.over for t in verbs), sum(t.missed for t in verbs)
    )


def row(name: str, tally: Tally) -> str:
    figures = "  ".join(f"{x:9.3f}" for x in (tally.precision, tally.recall, tally.f1))
    return f"{name:<16}{figures}  {tally.hit:5d}{tally.over:6d}{tally.missed:7d}"


def leave_one_out(
    servers: Mapping[str, Mapping[str, ListedTool]],
) -> tuple[dict[str, tuple[Cue, ...]], dict[str, Counter[str]]]:
    """For each server the cues that fire elsewhere too; and which cue fires where."""
    fired: dict[str, Counter[str]] = defaultdict(Counter)
    for server, tools in servers.items():
        for tool in tools.values():
            for cue in cues_fired(tool, server=server):
                fired[cue.text][server] += 1
    kept = {
        server: tuple(cue for cue in CUES if set(fired[cue.text]) - {server}) for server in servers
    }
    return kept, fired


def show(title: str, measures: dict[str, Tally], per_server: dict[str, Tally]) -> None:
    head = f"{'precision':>9}  {'recall':>9}  {'F1':>9}"
    print(f"\n{title}\n{'':<16}{head}  {'hit':>5}{'over':>6}{'missed':>7}")
    for name in (*(v for v in VERBS if v != "advance"), *FLAGS, *ARGUMENTS):
        print(row(name, measures[name]))
    print(row("all verbs", micro(measures)))
    for name, tally in sorted(per_server.items()):
        print(row(f"  {name}", tally))


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__)
        return 2
    folder = Path(sys.argv[1])
    servers = read_folder(folder)
    labels = json.loads((folder / "labels.json").read_text())
    tools = [(server, tool) for server, found in servers.items() for tool in found.values()]
    began = time.perf_counter()
    for server, tool in tools:
        infer(tool, server=server)
    took = time.perf_counter() - began
    measures, per_server = score(servers, labels, {})
    show(f"{len(labels)} labelled tools of {len(per_server)} servers", measures, per_server)
    kept, fired = leave_one_out(servers)
    show("without the cues that fire on that server alone", *score(servers, labels, kept))
    alone = {c.text: next(iter(fired[c.text])) for c in CUES if len(fired[c.text]) == 1}
    never = [cue.text for cue in CUES if not fired[cue.text]]
    print(f"\n{len(CUES)} cues; {len(never)} fire on none of these servers; {len(alone)} on one:")
    for text, server in sorted(alone.items(), key=lambda item: item[1]):
        print(f"  {server:<14} {text}")
    print(
        f"\n{len(tools)} tools read in {took:.3f} s; Python {platform.python_version()}, "
        f"{platform.machine()}"
    )
    if "--errors" in sys.argv:
        for name, tally in measures.items():
            print(f"{name}: {' '.join(tally.where)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
