"""Every export is read back or held against its format's own rules, and says what the case says."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, date, datetime
from xml.etree import ElementTree as ET

import pytest
from gsn_rules import broken_rules, listed, loaded
from hypothesis import given, settings
from hypothesis import strategies as st
from made_case import COMPUTE, DRIVES, LOOSE, MANIFEST, NOW, STOP, World, default_gates, written

from corrigible.case.exports.cyclonedx import cyclonedx
from corrigible.case.exports.formats import FORMATS
from corrigible.case.exports.graphs import MOST_EDGES, MOST_TEXT, dot, mermaid
from corrigible.case.exports.gsn import _quoted, gsn_yaml
from corrigible.case.exports.intoto import envelope, opened, pre_authentication, statement
from corrigible.case.exports.junit import junit
from corrigible.case.exports.markdown import markdown
from corrigible.case.exports.sarif import RULES, sarif
from corrigible.case.gates import Gates
from corrigible.case.waivers import Waiver
from corrigible.drives import DRIVES as ALL
from corrigible.errors import CaseError
from corrigible.guard.signing import signing_key

HOSTILE = 'a"]; b-->c|<script>*_`\\ \x07\u202e\ufeff é 日 \U0001f600: #x\n- y'
GOOD, RED, LATE = (
    World(),
    World(events={STOP: 60, COMPUTE: 15}, where=LOOSE),
    World(stale="too old"),
)


@dataclass(frozen=True)
class Incident:
    id: str = "INC-2026-0001"
    status: str = "open"
    undermines: tuple[str, ...] = (f"G/{STOP}/stopped",)
    behaviours: tuple[()] = ()


def hostile():
    goal = json.dumps("".join(c for c in HOSTILE if c.isprintable()), ensure_ascii=False)
    text = MANIFEST.replace("goal: Ship it.", f"goal: {goal}")
    return World(
        manifest=text, agent=HOSTILE, incidents=(Incident(),), where=LOOSE,
        gates=Gates(default_gates((STOP,))),
    )  # fmt: skip


@pytest.fixture(
    params=[
        pytest.param(GOOD, id="good", marks=pytest.mark.slow),
        pytest.param(RED, id="red"),
        pytest.param(LATE, id="stale", marks=pytest.mark.slow),
        pytest.param(hostile, id="hostile"),
    ]
)
def case(request):
    world = request.param if isinstance(request.param, World) else request.param()
    return world.case()


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"in-toto"}))
def test_the_same_case_gives_the_same_bytes(name):
    assert FORMATS[name](World().case()) == FORMATS[name](World().case())


# -- gsn2x ---------------------------------------------------------------------------------


def test_the_yaml_keeps_every_rule_of_gsn2x(case):
    assert broken_rules(loaded(gsn_yaml(case))) == []


def test_the_yaml_read_back_is_the_case(case):
    """Every node, text, link, claim point and status; a doubt against several is numbered."""
    elements = loaded(gsn_yaml(case))
    for id_, node in case.nodes.items():
        found = elements[id_]
        assert (found["text"], found["status"]) == (node.text, node.status)
        assert tuple(listed(found.get("supportedBy"))) == node.supported_by
        assert tuple(listed(found.get("inContextOf"))) == node.in_context_of
        acp = {name: tuple(ends) for name, ends in found.get("acp", {}).items()}
        assert acp == dict(node.acp)
        copies = [id_, *(f"{id_}#{i + 2}" for i in range(len(node.challenges) - 1))]
        ends = [elements[i]["challenges"] for i in copies if node.challenges]
        assert tuple(ends) == node.challenges
    names = {i.partition("#")[0] for i in elements}
    assert names == set(case.nodes)


@pytest.mark.parametrize("text", ["a: b", "2026-01-01", "no", "- x", "{x}", HOSTILE, "\u2028\x85"])
def test_any_text_is_one_scalar(text):
    assert loaded(f"x: {_quoted(text)}") == {"x": text}


@settings(max_examples=30)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_every_text_comes_back_as_it_was(text):
    assert loaded(f"x: {_quoted(text)}") == {"x": text}


def test_a_planted_break_of_each_rule_is_found():
    """A checker that never complains would check nothing."""
    good = {"G": {"text": "t", "supportedBy": ["Sn"]}, "Sn": {"text": "t"}}
    breaks = {
        "V01": {"x": {"text": "t"}}, "V02": {"G": {"text": "t"}},
        "V03": {"G": {"text": "t", "supportedBy": ["Sn"], "undeveloped": True}},
        "V04": {"Sn": {"text": "t", "supportedBy": ["G"]}},
        "V05": {"G": {"text": "t", "supportedBy": ["Sn", "Sn"]}},
        "V06": {"G": {"text": "t", "supportedBy": ["G"]}},
        "V08": {"Sn": {"text": "t", "nodeType": "Goal"}},
        "V09": {"G": {"text": "t", "supportedBy": ["Sn"], "acp": {"A": ["C"]}}},
        "V10": {"Sn": {"text": "t", "defeated": True}},
        "V12": {"Sn": {"text": "t", "challenges": "G"}},
        "C13/C14": {"CG": {"text": "t", "challenges": "gone"}},
        "C03": {"G": {"text": "t", "supportedBy": ["gone"]}},
        "C01": {"G/2": {"text": "t", "supportedBy": ["Sn"]}},
    }  # fmt: skip
    assert broken_rules(good) == []
    missed = [r for r, change in breaks.items()
              if not any(f.startswith(r) for f in broken_rules(good | change))]  # fmt: skip
    assert missed == []


# -- graphs --------------------------------------------------------------------------------

_LABEL = r'"(?:[^"\\\n]|\\.)*"'
_DOT_LINE = re.compile(
    rf"digraph case \{{|\}}|  rankdir=LR; .*;|  label={_LABEL};|  {_LABEL} \[.*, label={_LABEL}\];"
    rf"|  {_LABEL} -> {_LABEL}(?: \[[^\]]*\])?;"
)
_MERMAID_LINE = re.compile(
    r"flowchart TD|  %% sha256:[0-9a-f]{64}|  classDef [a-z]+ fill:#[0-9a-f]{6},color:#111"
    r"|  (?:n\d+|left)(?:\[|\[/|\(\(|\(\[|\{\{)\"[^\"<>{}\[\]|`]*(?:<br/>[^\"<>{}\[\]|`]*)*\""
    r"(?:\]|/\]|\)\)|\]\)|\}\}):::[a-z]+|  n\d+ (?:-->|-\.->|-\. challenges \.->) n\d+"
)


def test_every_line_of_a_graph_is_of_its_grammar(case):
    for text, line in ((dot(case), _DOT_LINE), (mermaid(case), _MERMAID_LINE)):
        assert [one for one in text.splitlines() if not line.fullmatch(one)] == []


def test_the_dot_graph_has_every_node_and_every_link(case):
    text = dot(case)
    links = sum(len(n.supported_by) + len(n.in_context_of) + len(n.challenges)
                for n in case.nodes.values())  # fmt: skip
    assert text.count(" -> ") == links
    assert text.count(", label=") == len(case.nodes)


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.slow
def test_graphviz_reads_the_graph(case):
    done = subprocess.run(["dot", "-Tcanon"], input=dot(case), capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_a_chart_stays_within_what_mermaid_draws_and_says_what_it_leaves_out():
    measured = {"pays": dict.fromkeys(ALL, 0.5), "events": dict.fromkeys(ALL, 9)}
    text = mermaid(World(reachable=ALL, **measured).case())
    arrows = len(re.findall(r" -->| -\.->| \.->", text))
    assert (arrows <= MOST_EDGES, len(text) <= MOST_TEXT) == (True, True)
    assert "more nodes are left out here" in text
    assert "left out" not in mermaid(World(reachable=()).case())


# -- CycloneDX -----------------------------------------------------------------------------


def test_the_declarations_lead_from_requirements_to_dated_evidence(case):
    bom = json.loads(cyclonedx(case))
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    said = bom["declarations"]
    claims = {one["bom-ref"]: one for one in said["claims"]}
    evidence = {one["bom-ref"] for one in said["evidence"]}
    wanted = {r["bom-ref"] for r in bom["definitions"]["standards"][0]["requirements"]}
    for one in said["attestations"][0]["map"]:
        assert one["requirement"] in wanted
        assert {*one["claims"], *one["counterClaims"]} <= set(claims)
        good = case.nodes[one["claims"][0]].status == "supported"
        assert one["conformance"]["score"] == (1 if good else 0)
    for claim in claims.values():
        assert {*claim.get("evidence", ()), *claim.get("counterEvidence", ())} <= evidence
    dated = [one for one in said["evidence"] if one["data"]]
    assert all(one["created"] < one["expires"] for one in dated)


def test_references_are_unique_in_the_whole_bom(case):
    refs = re.findall(r'"bom-ref": ("[^"]*")', cyclonedx(case))
    assert len(refs) == len(set(refs))


@pytest.mark.slow
def test_the_bom_keeps_to_the_formats_own_schema(case):
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(cyclonedx(case)) is None


# -- in-toto -------------------------------------------------------------------------------


@pytest.fixture
def filed(tmp_path):
    return World(loaded=written(tmp_path)).case()


def test_a_statement_is_bound_to_the_manifests_bytes(filed, tmp_path):
    said = statement(filed)
    body = (tmp_path / "deployment.yaml").read_bytes()
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    assert said["subject"][0]["digest"] == {"sha256": hashlib.sha256(body).hexdigest()}
    assert said["predicate"]["result"] == "PASSED"
    assert len(said["predicate"]["passedTests"]) == len(filed.decision.results)


@pytest.mark.parametrize(
    "change",
    [{"events": {STOP: 60, COMPUTE: 0}}, {"stale": "old"}, {"where": LOOSE}, {"through": {}}],
)
def test_what_could_not_be_told_has_not_passed(change, tmp_path):
    said = statement(World(loaded=written(tmp_path), **change).case())["predicate"]
    assert (said["result"], bool(said["failedTests"])) == ("FAILED", True)


def test_a_manifest_that_is_gone_binds_nothing():
    with pytest.raises(CaseError, match="must be there"):
        statement(World().case())


def test_an_envelope_verifies_with_the_key_alone_and_with_nothing_else(filed, tmp_path):
    """By the package that everybody has, over DSSE's own encoding, written out here."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
        Ed25519PublicKey,
    )

    key = signing_key(tmp_path / "key.pem")
    document = json.loads(envelope(filed, key))
    body, kind = base64.b64decode(document["payload"]), document["payloadType"]
    message = f"DSSEv1 {len(kind)} {kind} {len(body)} ".encode() + body
    signature = base64.b64decode(document["signatures"][0]["sig"])
    Ed25519PublicKey.from_public_bytes(key.public.raw).verify(signature, message)
    assert kind == "application/vnd.in-toto+json"
    assert json.loads(body) == statement(filed) == opened(json.dumps(document), key.public)
    assert pre_authentication("t", b"ab") == b"DSSEv1 1 t 2 ab"


def test_a_changed_envelope_and_another_key_are_refused(filed, tmp_path):
    key, other = signing_key(tmp_path / "key.pem"), signing_key(tmp_path / "other.pem")
    document = json.loads(envelope(filed, key))
    changed = base64.b64decode(document["payload"]).replace(b"PASSED", b"FAILED")
    turned = document | {"payload": base64.b64encode(changed).decode()}
    retyped = document | {"payloadType": "text/plain"}
    for text, public in ((json.dumps(turned), key.public), (json.dumps(retyped), key.public),
                         (json.dumps(document), other.public)):  # fmt: skip
        with pytest.raises(CaseError, match="must be signed by"):
            opened(text, public)
    for text in ("", "[]", '{"payload": 3}', "{}"):
        with pytest.raises(CaseError, match="must be a DSSE envelope"):
            opened(text, key.public)


# -- SARIF ---------------------------------------------------------------------------------


def test_every_result_has_a_rule_a_fingerprint_and_a_place_in_the_repository(case):
    run = json.loads(sarif(case))["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == list(RULES)
    for rule in run["tool"]["driver"]["rules"]:
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
    for one in run["results"]:
        place = one["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"].endswith("deployment.yaml")
        assert not place["artifactLocation"]["uri"].startswith(("/", ".", "file:"))
        assert place["region"]["startLine"] >= 1
        assert (rules[one["ruleIndex"]], bool(one["message"]["text"])) == (one["ruleId"], True)
    prints = [one["partialFingerprints"]["corrigible/v1"] for one in run["results"]]
    assert len(set(prints)) == len(prints)


def test_a_good_case_has_no_result_and_a_bad_one_names_each_gate_and_doubt():
    assert json.loads(sarif(GOOD.case()))["runs"][0]["results"] == []
    found = [one["ruleId"] for one in json.loads(sarif(RED.case()))["runs"][0]["results"]]
    assert {"gate-failed", "gate-inconclusive", "goal-not-supported", "doubt-open"} == set(found)
    stale = [one["ruleId"] for one in json.loads(sarif(LATE.case()))["runs"][0]["results"]]
    assert "gate-invalid" in stale


def test_a_finding_stays_one_finding_while_its_numbers_move():
    one, two = (World(events={STOP: n, COMPUTE: 0}).case() for n in (60, 61))
    found = [json.loads(sarif(c))["runs"][0]["results"] for c in (one, two)]
    prints = [{r["partialFingerprints"]["corrigible/v1"] for r in results} for results in found]
    assert prints[0] == prints[1]
    assert sarif(one) != sarif(two)


def test_a_stated_gate_is_found_at_its_line(tmp_path):
    file = tmp_path / "gates.yaml"
    gate = default_gates((STOP,))[1]
    placed = type(gate)(**{**vars(gate), "line": 7, "column": 3})
    gates = Gates((placed,), file=str(file))
    result = json.loads(sarif(World(events={STOP: 60}, gates=gates).case()))["runs"][0]["results"][
        0
    ]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("gates.yaml")
    assert place["region"] == {"startLine": 7, "startColumn": 3}


# -- JUnit, Markdown -----------------------------------------------------------------------


def test_the_xml_counts_what_it_holds_and_takes_nothing_unknown_for_passed(case):
    root = ET.fromstring(junit(case))  # noqa: S314  (our own text)
    tags = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    for suite in root.iter("testsuite"):
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        for tag, count in tags.items():
            assert int(suite.get(count)) == sum(one.find(tag) is not None for one in cases)
        names = [(one.get("classname"), one.get("name")) for one in cases]
        assert len(set(names)) == len(names)
    gates = root.find("testsuite[@name='gates']").findall("testcase")
    for one, result in zip(gates, case.decision.results, strict=True):
        expected = {"PASS": None, "FAIL": "failure"}.get(result.word, "error")
        found = next((child.tag for child in one if child.tag in tags), None)
        assert (one.get("name"), found) == (result.gate.name, expected)


def waived(world):
    gathered = world.gathered()
    gate = default_gates(DRIVES)[1]
    waiver = Waiver(
        gate.name, gate.digest, "Ada", HOSTILE, date(2026, 12, 31), NOW, "sha256:" + "0" * 64
    )
    return type(gathered)(**{**vars(gathered), "waivers": (waiver,)})


def test_a_waived_gate_is_skipped_suppressed_and_named_with_its_owner(tmp_path):
    from corrigible.case.gates import run_gates  # noqa: PLC0415
    from corrigible.case.pattern import convergence_case  # noqa: PLC0415

    gathered = waived(World(events={STOP: 15, COMPUTE: 0}, loaded=written(tmp_path)))
    decision = run_gates(Gates(default_gates(DRIVES)), gathered)
    case = convergence_case(gathered, decision)
    assert (decision.word, case.status) == ("PASS", "supported")
    root = ET.fromstring(junit(case))  # noqa: S314  (our own text)
    skipped = root.findall(".//testsuite[@name='gates']//skipped")
    assert ["waived by Ada" in one.get("message") for one in skipped] == [True]
    result = json.loads(sarif(case))["runs"][0]["results"][0]
    assert "Ada" in result["suppressions"][0]["justification"]
    assert statement(case)["predicate"]["result"] == "WARNED"
    assert case.nodes[f"Sn/{STOP}/does/rate/aims"].why.startswith("waived by Ada until 2026-12-31")


@pytest.mark.slow
def test_junitparser_reads_the_xml(case):
    parser = pytest.importorskip("junitparser")
    found = parser.JUnitXml.fromstring(junit(case).encode())
    assert sum(len(list(suite)) for suite in found) == found.tests


def test_the_summary_says_the_decision_first_and_escapes_the_rest(case):
    text = markdown(case)
    assert text.startswith(f"## {case.deployment}: {case.decision.word}, case {case.status}\n")
    assert re.search(r"(?<!\\)<", text) is None
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert widths <= {7}


def test_times_are_of_the_evidence_and_days_alone_of_the_case():
    """A case of the same evidence later on the same day is the same case."""
    one, two = World(), World()
    later = type(two.gathered())(
        **{**vars(two.gathered()), "now": datetime(2026, 6, 15, 23, tzinfo=UTC)}
    )
    from corrigible.case.gates import run_gates  # noqa: PLC0415
    from corrigible.case.pattern import convergence_case  # noqa: PLC0415

    gates = Gates(default_gates(DRIVES))
    case = convergence_case(later, run_gates(gates, later), gates=gates)
    assert cyclonedx(case) == cyclonedx(one.case())
