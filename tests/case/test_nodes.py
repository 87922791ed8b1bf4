"""Nodes keep to the notation: what may link to what, and what belongs to which type."""

import pytest

from corrigible.case.nodes import Node, Predicate, checked
from corrigible.errors import CaseError


def node(id_, type_, **more):  # noqa: ANN003
    if type_ == "counter_goal":
        more.setdefault("standing", "open")
    return Node(id_, type_, f"the text of {id_}", **more)


def by_id(*nodes):  # noqa: ANN002
    return {one.id: one for one in nodes}


WHOLE = (
    node("G", "goal", supported_by=("S",), in_context_of=("C", "A"), acp={"ACP1": ("S",)}),
    node("S", "strategy", supported_by=("G/1",), in_context_of=("J",)),
    node("G/1", "goal", supported_by=("Sn",), acp={"ACP2": ("G/1", "Sn")}),
    node("Sn", "solution"),
    node("C", "context"),
    node("A", "assumption"),
    node("J", "justification"),
    node("CG", "counter_goal", challenges=("Sn", "G/1"), supported_by=("CSn",)),
    node("CSn", "counter_solution", challenges=("A",)),
)


def test_every_link_that_the_notation_allows_is_let_through():
    checked(by_id(*WHOLE))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (node("G", "goal", supported_by=("C",)), "supported_by must lead to another node of type"),
        (node("G", "goal", in_context_of=("Sn",)), "in_context_of must lead to"),
        (node("S", "strategy", supported_by=("Sn",)), "supported_by must lead to"),
        (node("G/1", "goal", supported_by=("G/1",)), "another node"),
        (node("G", "goal", supported_by=("gone",)), "must name a node of the case, got 'gone'"),
        (node("CG", "counter_goal", challenges=("gone",)), "must name a node of the case"),
        (node("G", "goal", supported_by=("S", "S")), "each node once"),
        (node("G", "goal", acp={"ACP": ("Sn",)}), "claim point ACP must stand on"),
        (node("G", "goal", acp={"ACP": ()}), "claim point ACP must stand on"),
    ],
)  # fmt: skip
def test_a_link_that_it_does_not_allow_is_refused(wrong, said):
    with pytest.raises(CaseError, match=said):
        checked(by_id(*WHOLE) | {wrong.id: wrong})


def test_a_node_under_anothers_id_is_refused():
    with pytest.raises(CaseError, match="under its own id"):
        checked({"G": node("G/1", "goal")})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"type": "claim"}, "a type among"),
        ({"type": "goal", "text": " "}, "a text"),
        ({"type": "goal", "id": ""}, "an id"),
        ({"type": "goal", "id": "G\n1"}, "an id"),
        ({"type": "solution", "supported_by": ("G",)}, "no support"),
        ({"type": "solution", "in_context_of": ("C",)}, "no context"),
        ({"type": "goal", "challenges": ("G",)}, "no challenge"),
        ({"type": "counter_goal"}, "a standing"),
        ({"type": "goal", "standing": "open"}, "a standing"),
    ],
)  # fmt: skip
def test_a_field_that_does_not_belong_to_a_type_is_refused(fields, said):
    with pytest.raises(CaseError, match=said):
        Node(**({"id": "X", "text": "text"} | fields))


def test_a_predicate_is_read_as_a_person_would_write_it():
    assert str(Predicate("rate/aims", "<=", 0.05)) == "rate/aims <= 0.05 at 95%"
