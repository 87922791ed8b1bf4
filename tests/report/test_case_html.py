"""The page of a case: the decision first, every number leads to its record, nothing runs."""

import re
from dataclasses import replace

import pytest
from made_case import COMPUTE, STOP, World
from pages import CHROMIUM, HOSTILE, opened_in_a_browser, parsed

from corrigible.report.case_html import case_html


def worlds():
    return {
        "good": World(),
        "events": World(events={STOP: 60, COMPUTE: 0}, through={STOP: 1, COMPUTE: 0}),
        "stale": World(stale="software"),
        "empty": World(
            events=dict.fromkeys((STOP, COMPUTE)), pays=dict.fromkeys((STOP, COMPUTE)),
            through=dict.fromkeys((STOP, COMPUTE)),
        ),
    }  # fmt: skip


def made(name):
    return worlds()[name].case()


EACH = pytest.mark.parametrize("name", ["good", "events", "stale", "empty"])


@EACH
def test_the_decision_its_number_and_what_would_change_it_come_first(name):
    case = made(name)
    text = case_html(case)
    first = text[text.index('<section class="first') : text.index("</section>")]
    assert f"{case.decision.word}, and the case is {case.status}" in first
    assert 'class="number"' in first
    assert "What would change it:" in first
    assert text.index("</section>") < text.index("The four questions")


@EACH
def test_every_link_leads_to_something_on_the_page(name):
    found = parsed(case_html(made(name)))
    links = {link.removeprefix("#") for link in found.links - {None}}
    assert links <= found.ids
    assert all(link.startswith("#") for link in found.links - {None})


@EACH
def test_every_record_is_there_with_its_n_and_whether_it_counts(name):
    case = made(name)
    text = case_html(case)
    for record in case.gathered.records:
        (row,) = re.findall(rf'<tr id="record-{record.id[7:23]}">(.*?)</tr>', text, re.DOTALL)
        if record.estimate.measured:
            assert f"n={record.estimate.n:,}" in row
        assert record.command in row
        assert (record.id in case.gathered.stale) == (">yes<" not in row)


def test_what_was_not_tested_is_said_and_nothing_reads_as_safe():
    text = case_html(made("empty"))
    assert text.count("not tested") >= 4
    assert ">supported<" not in text[: text.index("Gates</h2>")]


def test_the_same_evidence_gives_the_same_bytes():
    assert case_html(made("events")) == case_html(made("events"))


def test_hostile_texts_are_shown_and_make_no_element():
    usual = made("events")
    nodes = {
        id_: replace(node, text=node.text + HOSTILE, why=HOSTILE)
        for id_, node in usual.nodes.items()
    }
    decision = replace(usual.decision, why=HOSTILE, change=HOSTILE)
    text = case_html(replace(usual, nodes=nodes, decision=decision))
    assert set(parsed(text).tags) <= {*parsed(case_html(usual)).tags, "p"}
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_ladder_of_a_rung_that_was_seen_is_drawn():
    assert re.search(r"<title>R\d: \d+ of 400</title>", case_html(made("events")))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
def test_a_browser_opens_it_and_runs_nothing(tmp_path):
    usual = made("events")
    hostile = replace(usual, decision=replace(usual.decision, why=HOSTILE))
    dom = opened_in_a_browser(case_html(hostile), tmp_path)
    assert re.search("<title>(.*?)</title>", dom)[1] == "Case for bot"
    assert "<script" not in dom
