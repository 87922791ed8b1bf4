"""How long one decision takes, beside other engines on equal rules: one table.

    python benchmarks/guard_decide.py [--peers PYTHON] [--calls N] [--json FILE]

40 tools, 24 assets, 100 rules (80 allow, 20 deny); each call names a path.  Cases: paths that
come again (200 of them), where the guard answers from what it keeps; paths that never came
before, most of which lie in folders that did, so that what rules and assets say of them is kept;
paths that are the first in their folder, where nothing is kept; and calls that are denied for
their name.  PYTHON is an interpreter that has the peers
(`cedarpy`, `agent-governance-toolkit[core]`); without them there are our figures alone.

The peers get the same rules as far as they can say them: Cedar's with `like` on the text of the
path (pre-parsed, entities too), the toolkit's with equality on the folder, which we work out for
it outside the timing.  Neither makes a path canonical, checks names that look alike, schemas,
amounts or budgets: they do less.
"""

import argparse
import json
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from corrigible.deployment.load import parse_deployment
from corrigible.guard.call import Call
from corrigible.guard.policy import Policy, decide
from corrigible.guard.seen import Seen

TOOLS, ASSETS, ALLOWED, DENIED = 40, 24, 80, 20
SERVERS = ("files", "mail", "cluster", "db")
VERBS = ("read", "write", "send", "acquire", "advance")
KINDS = ("task", "information/data", "resource/compute", "bystander/goodwill", "access")
AGAIN = 200
PEERS = Path(__file__).with_name("guard_decide_peers.py")


@dataclass(frozen=True)
class Row:
    """One figure beside a peer's; `ratio`: the peer's over ours."""

    case: str
    value: float
    unit: str
    peer: str
    peer_value: float | None
    ratio: float | None


@dataclass(frozen=True)
class Times:
    """Quantiles of the time of one decision, in microseconds, and the share allowed."""

    p50: float
    p99: float
    allowed: float


def granted(number: int) -> tuple[str, str, str]:
    """The verb, the server and the folder of one rule that allows."""
    return VERBS[number % 5], SERVERS[number % 4], f"/srv/d{number % TOOLS}/sub{number % 3}"


def refused(number: int) -> tuple[str, str, str]:
    """The verb, the server and the folder of one rule that denies."""
    return VERBS[number % 5], SERVERS[number % 4], f"/srv/d{number}/closed"


def manifest() -> str:
    tools = [
        f"  {SERVERS[i % 4]}.tool_{i}: {{verbs: [{VERBS[i % 5]}], target: '/srv/d{i}/{{path}}'}}"
        for i in range(TOOLS)
    ]
    assets = [
        f"  a{i}: {{kind: {KINDS[i % 5]}, at: {{{SERVERS[i % 4]}: '/srv/d{i}/**'}}}}"
        for i in range(ASSETS)
    ]
    allow = ["'{} {}:{}/**'".format(*granted(i)) for i in range(ALLOWED)]
    deny = ["'{} {}:{}/**'".format(*refused(i)) for i in range(DENIED)]
    return "\n".join(
        [
            "corrigible: 1",
            "name: bench",
            "agent: {kind: tool-using, goal: Ship it., horizon: 40}",
            "servers: {" + ", ".join(f"{name}: {{}}" for name in SERVERS) + "}",
            "tools:",
            *tools,
            "assets:",
            *assets,
            f"authority: {{allow: [{', '.join(allow)}], deny: [{', '.join(deny)}]}}",
            "budgets: {calls: 1000000}",
        ]
    )


def calls_of(count: int, *, again: bool) -> list[tuple[int, str]]:
    """The tool's number and the path of each call."""
    rng = random.Random(0)  # noqa: S311  (a workload, no secret)
    found = []
    for n in range(count):
        number = n % AGAIN if again else n
        folder = rng.choice(["sub0", "sub1", "sub2", "sub0", "closed"])
        if again:
            folder = ["sub0", "sub1", "sub2", "closed"][number % 4]
        found.append((number % TOOLS, f"{folder}/report-{number}.txt"))
    return found


def first_calls() -> list[tuple[int, str]]:
    """One call in each folder that rules tell apart, of each tool."""
    folders = ("sub0", "sub1", "sub2", "closed")
    return [(i, f"{folder}/report.txt") for i in range(TOOLS) for folder in folders]


def timed(decide_one: Callable[[Any], bool], calls: Iterable[Any]) -> Times:
    """Time each decision by itself."""
    took, allowed = [], 0
    for one in calls:
        began = time.perf_counter_ns()
        allowed += decide_one(one)
        took.append(time.perf_counter_ns() - began)
    took.sort()
    pick = [took[min(int(len(took) * share), len(took) - 1)] / 1000 for share in (0.5, 0.99)]
    return Times(*pick, allowed / len(took))


def ours(calls: list[tuple[int, str]], *, warm: bool, prefix: str = "") -> Times:
    loaded = parse_deployment(manifest())
    policy = Policy.of(loaded.deployment, loaded.digest)
    seen = Seen.start(loaded.deployment)
    made = [Call(SERVERS[i % 4], f"{prefix}tool_{i}", {"path": path}) for i, path in calls]

    def allowed(call: Call) -> bool:
        return decide(policy, call, seen, {"calls": 3.0}).verdict == "allow"

    if warm:
        for call in made:
            allowed(call)
    return timed(allowed, made)


def peers_on(python: str, calls: list[tuple[int, str]]) -> dict[str, Times]:
    """What the peers take for the same calls, in an interpreter that has them."""
    work = {
        "allow": [granted(i) for i in range(ALLOWED)],
        "deny": [refused(i) for i in range(DENIED)],
        "calls": [[VERBS[i % 5], SERVERS[i % 4], f"/srv/d{i}/{path}"] for i, path in calls],
    }
    done = subprocess.run(
        [python, "-W", "ignore", str(PEERS)],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return {name: Times(**times) for name, times in found.items()}


def rows(peers: str | None = None, calls: int = 4000) -> list[dict[str, Any]]:
    """Measure all cases; each row has case, value, unit, peer, peer_value, ratio."""
    found: list[Row] = []
    cases = (
        ("paths that come again", calls_of(calls, again=True)),
        ("paths never seen", calls_of(calls, again=False)),
        ("the first path in a folder", first_calls()),
    )
    for case, asked in cases:
        own = ours(asked, warm=case == "paths that come again")
        others = peers_on(peers, asked) if peers else {}
        for name, times in others.items():
            if abs(times.allowed - own.allowed) > 1e-9:
                raise RuntimeError(f"{name} allows {times.allowed:.1%}, we {own.allowed:.1%}")
        for quantile in ("p50", "p99"):
            value = getattr(own, quantile)
            against = {name: getattr(times, quantile) for name, times in others.items()} or {
                "": None
            }
            found += [
                Row(f"{case}, {quantile}", value, "us", name, of, of / value if of else None)
                for name, of in against.items()
            ]
    alike = ours(calls_of(calls, again=True), warm=True, prefix="server__")
    found += [
        Row(f"names that look alike, {quantile}", getattr(alike, quantile), "us", "", None, None)
        for quantile in ("p50", "p99")
    ]
    return [asdict(row) for row in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="an interpreter that has the peers")
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = rows(options.peers, options.calls)
    if options.json:
        options.json.write_text(json.dumps({"rows": found}, indent=1), encoding="utf-8")
    title = f"one decision; {options.calls} calls; Python {platform.python_version()}"
    table = Table(title=f"{title}, {platform.machine()}")
    for column in ("case", "ours", "peer", "theirs", "theirs / ours"):
        table.add_column(column, justify="left" if column in {"case", "peer"} else "right")
    for row in found:
        theirs = "" if row["peer_value"] is None else f"{row['peer_value']:.1f} us"
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        table.add_row(row["case"], f"{row['value']:.1f} us", row["peer"], theirs, ratio)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
