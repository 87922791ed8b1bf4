"""Small random manifests, as plain values, for tests of what worlds they compile to."""

import json
from typing import Any

from hypothesis import strategies as st

from corrigible.deployment.load import Loaded, parse_deployment
from corrigible.drives import RUN_MEANS

_RATES = st.sampled_from([0, 0.25, 0.5, 1])
_CHANCES = st.sampled_from([0.25, 0.5, 1])
_KINDS = st.sampled_from([
    "resource/compute", "access", "tools", "information/secret", "people", "agents",
    "self/process", "self/code", "oversight/stop", "oversight/monitor", "oversight/approval",
    "oversight/goal", "oversight/limit", "bystander/goodwill",
])  # fmt: skip


@st.composite
def assets(draw: st.DrawFn) -> dict[str, Any]:
    """A task or two, and up to four other assets, each at a place of its own."""
    found: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 2))):
        levels = ["l0", "l1", "l2"][: draw(st.integers(2, 3))]
        found[f"task{number}"] = {"kind": "task", "levels": levels, "drift": draw(_RATES)}
    for number in range(draw(st.integers(0, 4))):
        kind = draw(_KINDS)
        asset: dict[str, Any] = {"kind": kind}
        if kind == "resource/compute":
            asset["levels"] = ["r0", "r1", "r2"][: draw(st.integers(2, 3))]
        if kind == "agents":
            asset["levels"] = ["idle", "at work"]
        if kind == "bystander/goodwill":
            asset |= {"levels": ["lost", "strained", "full"], "wear": draw(_RATES)}
        if kind == "oversight/limit":
            asset["caps"] = {"task0": draw(st.sampled_from(["l0", "l1"]))}
        keys = ["task0", "task0.drift", "stop_rate", "detection", "approval_rate"]
        asset["boosts"] = draw(
            st.dictionaries(st.sampled_from(keys), st.sampled_from([-0.25, 0.25]), max_size=2)
        )
        found[f"asset{number}"] = asset
    return {name: {**asset, "at": {"srv": f"a/{name}"}} for name, asset in found.items()}


@st.composite
def manifests(draw: st.DrawFn, *, corrections: bool = True) -> dict[str, Any]:
    """A manifest with one-verb tools, each on one asset or on all of them."""
    things = draw(assets())
    holdable = [n for n, a in things.items() if a["kind"] in {"access", "tools"}]
    tools: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 6))):
        target = draw(st.sampled_from([*(f"a/{n}" for n in things), "a/{x}"]))
        tools[f"srv.t{number}"] = {
            "verbs": [draw(st.sampled_from(RUN_MEANS))], "target": target,
            "success": draw(_CHANCES),
        }  # fmt: skip
    for number, name in enumerate(holdable):
        tools[f"srv.get{number}"] = {"verbs": ["acquire"], "target": f"a/{name}", "success": 0.5}
        tools["srv.t0"]["requires"] = [name]
    names = st.sampled_from([*things, "*", "task", "oversight/*", "srv:a/task0"])
    rule = st.builds("{} {}".format, st.sampled_from([*RUN_MEANS, "*"]), names)
    rules = st.lists(rule, max_size=3)
    rates = {k: draw(_RATES) for k in ("stop_rate", "detection", "approval_rate")}
    rates["correction_rate"] = draw(_RATES) if corrections else 0
    return {
        "corrigible": 1, "name": "random",
        "agent": {"kind": "tool-using", "goal": "g", "horizon": draw(st.integers(2, 12))},
        "servers": {"srv": {}}, "tools": tools, "assets": things,
        "authority": {"allow": draw(rules), "approve": draw(rules), "deny": draw(rules)},
        "oversight": rates,
    }  # fmt: skip


def loaded(manifest: dict[str, Any]) -> Loaded:
    """Load a manifest given as plain values."""
    return parse_deployment(json.dumps(manifest))
