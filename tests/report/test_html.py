"""Pages show what others wrote and never obey it; a browser runs and loads nothing from them."""

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import CHROMIUM, HOSTILE, Balance, opened_in_a_browser, parsed
from tiny import quick, tiny, whole

from corrigible.case.leaves import percent
from corrigible.evidence import not_measured, share_estimate
from corrigible.report.audit_html import audit_html
from corrigible.report.audit_json import audit_json
from corrigible.report.charts import Line, curves, intervals, ladders, moved
from corrigible.report.html import page, share, table, visible
from corrigible.report.reach_svg import reach_svg


def with_names(document, name):
    """The same document with a hostile text wherever somebody else may write one."""
    text = json.dumps(document).replace("avoid-shutdown", json.dumps(f"avoid-{name}")[1:-1])
    changed = json.loads(text)
    changed["deployment"] = name
    changed["findings"] = [{"where": name, "rule": name, "text": name}]
    for act in changed["acts"]:
        act["asset"], act["tools"] = act["asset"] + name, [tool + name for tool in act["tools"]]
    return changed


@pytest.fixture(scope="module")
def document():
    return audit_json(whole(tiny()))


@given(st.text())
def test_no_text_opens_an_element_or_hides(text):
    shown = visible(text)
    assert not re.search(r"[<>\"']", shown)
    assert not any(unicodedata.category(c) in {"Cc", "Cf"} and c != "\n" for c in shown)
    found = Balance()
    found.feed(f"<p>{shown}</p>")
    assert found.tags == ["p"]


def test_what_turns_the_reading_is_named():
    assert visible("a\u202eb\x1b") == "a⟨U+202E⟩b⟨U+001B⟩"


def test_a_share_has_its_interval_and_n_and_nothing_measured_is_no_zero():
    assert re.sub("<[^>]*>", "", share(share_estimate(0, 299))) == "0 % [0 %, 1.23 %] n=299"
    assert "not tested" in share(not_measured(20))
    assert 'href="#record-1"' in share(share_estimate(1, 2), "record-1")
    written = [percent(x) for x in (0.0, 0.00001, 0.05, 0.99999, 1.0)]
    assert written == ["0 %", "0.001 %", "5 %", ">99.9 %", "100 %"]


def test_the_page_forbids_everything_but_its_own_style():
    text = page("a", ["<p>b</p>"])
    parsed(text)
    assert "default-src 'none'; style-src 'unsafe-inline'" in text
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script|<link|@import|url\(", text)


@pytest.mark.slow
def test_the_same_audit_gives_the_same_bytes(document):
    assert audit_html(document) == audit_html(json.loads(json.dumps(document)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [HOSTILE, "]]>", "--><svg onload=alert(1)>", "\u202eevil"])
def test_a_hostile_name_is_shown_and_makes_no_element(document, name):
    usual, hostile = parsed(audit_html(document)), parsed(audit_html(with_names(document, name)))
    assert set(hostile.tags) == set(usual.tags) | {"table", "h2"}
    assert "script" not in hostile.tags


@pytest.mark.slow
def test_every_state_of_a_drive_is_said(document):
    text = audit_html(document)
    assert "not tested" in text  # does it, is it stopped
    assert document["verdict"]["outcome"] in text
    assert re.search(r"No call reaches: .*goal-preservation", text)
    early = audit_html(audit_json(quick(tiny())))
    assert "the audit was cut short" in early


def test_a_classifiers_page_says_that_nothing_applies():
    classifier = {**tiny(), "agent": {"kind": "classifier", "goal": "Sort."}, "tools": {},
                  "authority": {}}  # fmt: skip
    assert "Not applicable" in audit_html(audit_json(quick(classifier)))


def test_pictures_are_whole_and_say_in_words_what_they_show():
    rows = [("a", share_estimate(1, 9), not_measured()), ("b", not_measured(), not_measured())]
    pictures = [
        intervals(rows, 0.05, "told"),
        curves([("rate", 0.3, [Line("a", ((0.0, 1.0), (0.5, 0.0)))])], 0.05, "told"),
        moved([("rate", 0.5, 0.2, 0.9)], "told"),
        ladders([("a", {"R0": 3, "R5": 1}), ("b", {})], "told"),
        reach_svg([]),
    ]
    for svg in pictures:
        found = parsed(svg)
        assert found.tags[0] == "svg"
        assert 'role="img" aria-label="' in svg
    assert "not tested" in pictures[0]
    assert "not tested" in pictures[3]


def test_the_graph_joins_tools_that_reach_the_same_and_keeps_the_loosest_word():
    def act(tool, authority, drives=("power-seeking/expand-access",)):
        return {"tools": [tool], "asset": "admin", "kind": "access", "authority": authority,
                "drives": list(drives)}  # fmt: skip

    svg = reach_svg(
        [act("s.a", "deny"), act("s.b", "allow"), act("s.a", "allow"), act("s.c", "deny", ())]
    )
    assert svg.count('class="line allow" d=') == 1  # s.a and s.b are one node
    assert "s.a and 1 more" in svg
    assert "s.c" not in svg


def test_a_table_anchors_its_rows():
    found = parsed(table(("a",), [("x",), ("y",)], ids=("one", "two")))
    assert {"one", "two"} <= found.ids


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to open the page in")
def test_a_browser_runs_nothing_of_a_hostile_page_and_asks_for_nothing(document, tmp_path):
    dom = opened_in_a_browser(audit_html(with_names(document, HOSTILE)), tmp_path)
    assert re.search("<title>(.*?)</title>", dom)[1].startswith("Audit of &lt;script&gt;")
    assert "<script" not in dom
