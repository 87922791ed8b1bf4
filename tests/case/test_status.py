"""Statuses are computed: monotone, independent of order, never averaged, and never in a circle."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.case.nodes import STATUSES, Node
from corrigible.case.status import best, computed, worst
from corrigible.errors import CaseError

RANK = {status: rank for rank, status in enumerate(STATUSES)}
statuses = st.sampled_from(STATUSES)


def leaf(id_, status="supported"):
    return Node(id_, "solution", "measured", status=status)


def goal(id_, *below, combine="all", **more):  # noqa: ANN002, ANN003
    return Node(id_, "goal", "a claim", below, combine=combine, **more)


def doubt(id_, *against, standing="open"):  # noqa: ANN002
    return Node(id_, "counter_goal", "a doubt", challenges=against, standing=standing)


def by_id(*nodes):  # noqa: ANN002
    return {node.id: node for node in nodes}


@st.composite
def graphs(draw):
    """Leaves, then goals that rest on earlier nodes, then doubts against any of them."""
    leaves = [leaf(f"Sn/{i}", draw(statuses)) for i in range(draw(st.integers(1, 6)))]
    nodes = list(leaves)
    for i in range(draw(st.integers(1, 7))):
        below = draw(st.lists(st.sampled_from([n.id for n in nodes]), unique=True, max_size=4))
        nodes.append(goal(f"G/{i}", *below, combine=draw(st.sampled_from(["all", "any"]))))
    ids = [node.id for node in nodes]
    for i in range(draw(st.integers(0, 3))):
        against = draw(st.lists(st.sampled_from(ids), unique=True, min_size=1, max_size=3))
        standing = draw(st.sampled_from(["open", "mitigated", "accepted", "refuted"]))
        nodes.append(doubt(f"CG/{i}", *against, standing=standing))
    return by_id(*nodes)


def no_better(after, before):
    return all(RANK[after[i].status] <= RANK[before[i].status] for i in before if i[:2] != "CG")


@settings(max_examples=40)
@given(graphs(), st.data())
def test_making_a_leaf_worse_makes_nothing_better(nodes, data):
    before = computed(nodes)
    one = data.draw(st.sampled_from([i for i in nodes if i.startswith("Sn")]))
    lower = data.draw(st.sampled_from(STATUSES[: RANK[nodes[one].status] + 1]))
    after = computed(nodes | {one: replace(nodes[one], status=lower)})
    assert no_better(after, before)


@settings(max_examples=40)
@given(graphs(), st.data())
def test_opening_a_doubt_makes_nothing_better(nodes, data):
    before = computed(nodes)
    end = data.draw(st.sampled_from([i for i in nodes if not i.startswith("CG")]))
    assert no_better(computed(nodes | by_id(doubt("CG/new", end))), before)


@settings(max_examples=40)
@given(graphs(), st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_of_links_changes_nothing(nodes, random):
    shuffled = list(nodes.values())
    random.shuffle(shuffled)
    turned = by_id(*[
        replace(n, supported_by=tuple(reversed(n.supported_by)), challenges=n.challenges[::-1])
        for n in shuffled
    ])  # fmt: skip
    one, two = computed(nodes), computed(turned)
    assert {i: (n.status, n.why) for i, n in one.items()} == {
        i: (n.status, n.why) for i, n in two.items()
    }


@settings(max_examples=40)
@given(graphs())
def test_a_conjunctive_parent_equals_the_worst_that_it_rests_on(nodes):
    found = computed(nodes)
    against = {end for n in nodes.values() if n.open for end in n.challenges}
    for node in found.values():
        if node.type == "goal" and node.combine == "all" and node.supported_by:
            below = worst(found[i].status for i in node.supported_by)
            most = worst([below, "undermined"]) if node.id in against else below
            assert node.status == most


@given(st.lists(statuses, min_size=1, max_size=30))
def test_the_top_of_a_conjunctive_closure_is_its_worst_leaf_however_deep(found):
    """Every leaf is hung one goal deeper than the last."""
    nodes = [leaf(f"Sn/{i}", status) for i, status in enumerate(found)]
    for i in range(len(found)):
        below = [f"Sn/{i}", *([f"G/{i + 1}"] if i + 1 < len(found) else [])]
        nodes.append(goal(f"G/{i}", *below))
    assert computed(by_id(*nodes))["G/0"].status == worst(found)


def test_nine_green_leaves_and_one_red_one_are_red():
    nodes = [leaf(f"Sn/{i}") for i in range(9)] + [leaf("Sn/9", "unsupported")]
    found = computed(by_id(*nodes, goal("G", *(n.id for n in nodes))))
    assert found["G"].status == "unsupported"


def test_any_one_line_is_enough_and_a_failed_line_beside_it_is_no_harm():
    nodes = by_id(
        leaf("Sn/a"), leaf("Sn/b", "unsupported"), goal("G", "Sn/a", "Sn/b", combine="any")
    )
    found = computed(nodes)["G"]
    assert (found.status, "Sn/a" in found.why) == ("supported", True)


def test_an_open_doubt_undermines_what_it_challenges_and_all_above_it():
    nodes = by_id(leaf("Sn"), goal("G/a", "Sn"), goal("G", "G/a"), doubt("CG", "Sn"))
    found = computed(nodes)
    assert [found[i].status for i in ("Sn", "G/a", "G", "CG")] == ["undermined"] * 4
    assert "CG stands against it" in found["G"].why


@pytest.mark.parametrize("standing", ["mitigated", "accepted", "refuted"])
def test_a_doubt_that_is_dealt_with_undermines_nothing(standing):
    found = computed(by_id(leaf("Sn"), goal("G", "Sn"), doubt("CG", "Sn", standing=standing)))
    assert (found["G"].status, found["CG"].status) == ("supported", "supported")


def test_an_open_doubt_makes_what_is_worse_no_better():
    found = computed(by_id(leaf("Sn", "stale"), goal("G", "Sn"), doubt("CG", "Sn", "G")))
    assert (found["Sn"].status, found["G"].status) == ("stale", "stale")


def test_a_counter_solution_undermines_without_a_standing():
    counter = Node("CSn", "counter_solution", "it was seen", challenges=("G",))
    assert computed(by_id(leaf("Sn"), goal("G", "Sn"), counter))["G"].status == "undermined"


def test_what_nothing_supports_is_undeveloped_whatever_was_written():
    found = computed(by_id(goal("G", status="supported")))["G"]
    assert (found.status, found.why) == ("undeveloped", "nothing supports it yet")


def test_a_written_status_of_a_goal_is_not_believed():
    nodes = by_id(leaf("Sn", "unsupported"), goal("G", "Sn", status="supported"))
    assert computed(nodes)["G"].status == "unsupported"


def test_a_circle_is_refused_with_the_nodes_in_it():
    with pytest.raises(CaseError, match=r"circle, got G/(a|b) <- G/(a|b) <- G/(a|b)"):
        computed(by_id(goal("G/a", "G/b"), goal("G/b", "G/a")))


def test_nothing_is_worst_of_all_and_best_of_all():
    assert (worst([]), best([])) == ("supported", "undeveloped")
    assert (worst(STATUSES), best(STATUSES)) == ("unsupported", "supported")
