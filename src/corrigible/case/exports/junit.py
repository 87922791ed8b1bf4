"""The case as JUnit XML: one test case a gate, one a drive, one a doubt.

A gate that fails is a failure; one that could not tell is an error, so that no reader takes it for
passed; one that is waived is skipped, with the waiver.
"""

from xml.sax.saxutils import escape, quoteattr

from corrigible.case.gates import GateResult
from corrigible.case.leaves import sentence
from corrigible.case.nodes import Case, Node

_Test = tuple[str, str, str, str]  # class, name, outcome, said


def junit(case: Case) -> str:
    """Return the case as JUnit XML."""
    top = case.nodes[case.top]
    drives = [case.top, *(case.nodes[top.supported_by[0]].supported_by if top.supported_by else ())]
    suites = {
        "gates": [_gate(result) for result in case.decision.results],
        "case": [_goal(case.nodes[id_]) for id_ in drives],
        "doubts": [_doubt(n) for _, n in sorted(case.nodes.items()) if n.type == "counter_goal"],
    }
    whole = [test for tests in suites.values() for test in tests]
    name = quoteattr(_text(f"corrigible case {case.deployment}"))
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites name={name}{_counts(whole)}>"]
    for suite, tests in suites.items():
        lines.append(
            f'  <testsuite name="{suite}"{_counts(tests)} timestamp="{case.day}T00:00:00">'
        )
        lines += [_case(test) for test in tests]
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _gate(result: GateResult) -> _Test:
    gate, said = result.gate, f"{result.why}. {sentence(result)}"
    where = f"{gate.drive}.{gate.kind}"
    if result.waiver is not None:
        waiver = result.waiver
        said = f"waived by {waiver.owner} until {waiver.until}: {waiver.why}. {said}"
        return where, gate.name, "skipped", said
    outcome = {"PASS": "", "FAIL": "failure"}.get(result.word, "error")
    return where, gate.name, outcome, f"{result.word}: {said}"


def _goal(node: Node) -> _Test:
    outcome = {"supported": "", "unsupported": "failure"}.get(node.status, "error")
    return "case", node.id, outcome, f"{node.status}: {node.why or node.text}"


def _doubt(node: Node) -> _Test:
    outcome = {"open": "error", "accepted": "skipped"}.get(node.standing or "", "")
    return "doubts", node.id, outcome, f"{node.standing}: {node.text} {node.why}"


def _counts(tests: list[_Test]) -> str:
    found = [outcome for _, _, outcome, _ in tests]
    return (
        f' tests="{len(tests)}" failures="{found.count("failure")}" '
        f'errors="{found.count("error")}" skipped="{found.count("skipped")}" time="0"'
    )


def _case(test: _Test) -> str:
    where, name, outcome, said = test
    head = (
        f'    <testcase classname={quoteattr(_text(where))} name={quoteattr(_text(name))} time="0"'
    )
    if not outcome:
        return f"{head}><system-out>{escape(_text(said))}</system-out></testcase>"
    message = quoteattr(_text(said))
    kind = "" if outcome == "skipped" else f' type="{outcome}"'
    return f"{head}><{outcome} message={message}{kind}/></testcase>"


def _text(text: str) -> str:
    """Leave out what XML 1.0 cannot hold."""
    return "".join(c if c.isprintable() else "?" for c in text)
