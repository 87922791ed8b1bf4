"""The peers of `guard_decide.py`, in an interpreter that has them: JSON in, JSON out.

It imports nothing of ours, so that what the peers require may differ from what we require.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any


def timed(decide_one: Callable[[Any], bool], requests: Iterable[Any]) -> dict[str, float]:
    """Time each decision by itself, in microseconds."""
    took, allowed = [], 0
    for request in requests:
        began = time.perf_counter_ns()
        allowed += decide_one(request)
        took.append(time.perf_counter_ns() - began)
    took.sort()
    p50, p99 = (took[min(int(len(took) * q), len(took) - 1)] / 1000 for q in (0.5, 0.99))
    return {"p50": p50, "p99": p99, "allowed": allowed / len(took)}


def cedar(work: dict[str, Any]) -> dict[str, float]:
    """Cedar: policies and entities parsed once."""
    from cedarpy import Decision, Entities, PolicySet, is_authorized  # noqa: PLC0415  (a peer)

    text = "\n".join(
        f'{effect}(principal, action == Action::"{verb}", resource) when '
        f'{{ context.server == "{server}" && context.path like "{folder}/*" }};'
        for effect, key in (("permit", "allow"), ("forbid", "deny"))
        for verb, server, folder in work[key]
    )
    policies, entities = PolicySet.from_str(text), Entities.from_json_str("[]")
    requests = [
        {
            "principal": 'Agent::"bot"',
            "action": f'Action::"{verb}"',
            "resource": 'Server::"any"',
            "context": {"server": server, "path": path},
        }
        for verb, server, path in work["calls"]
    ]
    for request in requests[:100]:
        is_authorized(request, policies, entities)
    return timed(
        lambda r: is_authorized(r, policies, entities).decision is Decision.Allow, requests
    )


def toolkit(work: dict[str, Any]) -> dict[str, float]:
    """The toolkit's `PolicyEngine`: one policy with all rules."""
    from agentmesh.governance.policy import (  # noqa: PLC0415  (a peer)
        Policy,
        PolicyEngine,
        PolicyRule,
    )

    rules = [
        PolicyRule(
            name=f"{key}-{n}",
            condition=f"call.verb == '{verb}' and call.server == '{server}' "
            f"and call.folder == '{folder}'",
            action=key,
            priority=priority,
        )
        for key, priority in (("deny", 2), ("allow", 1))
        for n, (verb, server, folder) in enumerate(work[key])
    ]
    engine = PolicyEngine()
    engine.load_policy(Policy(name="bench", agents=["*"], rules=rules, default_action="deny"))
    requests = [
        {"call": {"verb": verb, "server": server, "folder": path.rpartition("/")[0]}}
        for verb, server, path in work["calls"]
    ]
    for request in requests[:100]:
        engine.evaluate("did:mesh:bot", request)
    return timed(lambda r: bool(engine.evaluate("did:mesh:bot", r).allowed), requests)


def main() -> int:
    work = json.load(sys.stdin)
    found = {}
    if find_spec("cedarpy"):
        found["cedarpy"] = cedar(work)
    if find_spec("agentmesh"):
        found["agent-governance-toolkit"] = toolkit(work)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
