"""The status of every node, computed from the leaves: no node's status is ever written.

A goal or a strategy is as good as the worst that it rests on where it rests on `all`, and as the
best of its lines of argument where `any` one of them carries it; there is no average, so nine good
leaves never hide a bad one.  An open counter goal, or a counter solution, leaves what it challenges
undermined at best.  Statuses are ordered (`STATUSES`, worst first), and all three steps are
monotone: making a leaf worse, or opening a doubt, never makes any node better.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from corrigible.case.nodes import STATUSES, Node, Status, checked
from corrigible.errors import CaseError

_RANK: Mapping[str, int] = {status: rank for rank, status in enumerate(STATUSES)}


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of some statuses; of none: supported."""
    return min(statuses, key=_RANK.__getitem__, default="supported")


def best(statuses: Iterable[Status]) -> Status:
    """Return the best of some statuses; of none: undeveloped."""
    return max(statuses, key=_RANK.__getitem__, default="undeveloped")


def computed(nodes: Mapping[str, Node]) -> dict[str, Node]:
    """Return the nodes with every status computed from those of the solutions.

    A solution brings its own status, as the evidence gives it.  Contexts, assumptions and
    justifications are taken as they stand.

    Raises:
        CaseError: a link breaks the notation (`nodes.checked`), or nodes support each other in a
            circle.
    """
    checked(nodes)
    against: dict[str, list[Node]] = {}
    for node in nodes.values():
        for end in node.challenges if node.open else ():
            against.setdefault(end, []).append(node)
    found: dict[str, Node] = {}
    for id_ in _order(nodes):
        node = _own(nodes[id_], found)
        found[id_] = _challenged(node, against.get(id_, []))
    return {id_: found[id_] for id_ in nodes}


def _order(nodes: Mapping[str, Node]) -> list[str]:
    try:
        return list(TopologicalSorter({i: n.supported_by for i, n in nodes.items()}).static_order())
    except CycleError as error:
        circle = " <- ".join(map(str, error.args[1]))
        raise CaseError(f"nodes must not support each other in a circle, got {circle}") from None


def _own(node: Node, found: Mapping[str, Node]) -> Node:
    """Return a node with what its support gives it, whatever stands against it."""
    if node.type == "solution":
        return node
    if node.type == "counter_goal":
        return replace(node, status="undermined" if node.open else "supported")
    if node.type not in {"goal", "strategy"}:
        return replace(node, status="supported")
    if not node.supported_by:
        return replace(node, status="undeveloped", why=node.why or "nothing supports it yet")
    support = sorted(
        (found[id_] for id_ in node.supported_by), key=lambda n: (_RANK[n.status], n.id)
    )
    one = support[0] if node.combine == "all" else support[-1]
    return replace(node, status=one.status, why=_why(node, one, support))


def _why(node: Node, one: Node, support: list[Node]) -> str:
    """Say which support decides: the worst of all, or, of lines none of which holds, the best."""
    if node.combine == "any":
        if one.status == "supported":
            return f"one line of argument is enough, and {one.id} holds"
        said = one.why if len(support) == 1 else f"no line of argument holds; nearest is {one.id}"
        return said if len(support) == 1 else f"{said}: {one.why}"
    return "" if one.status == "supported" else one.why


def _challenged(node: Node, against: list[Node]) -> Node:
    if not against or _RANK[node.status] <= _RANK["undermined"]:
        return node
    first, *others = sorted(against, key=lambda one: one.id)
    more = f" (and {len(others)} more)" if others else ""
    why = f"{first.id} stands against it{more}: {first.why or first.text}"
    return replace(node, status="undermined", why=why)
