"""Every format that a case can be written in, by name."""

from collections.abc import Callable, Mapping

from corrigible.case.exports.cyclonedx import cyclonedx
from corrigible.case.exports.graphs import dot, mermaid
from corrigible.case.exports.gsn import gsn_yaml
from corrigible.case.exports.intoto import statement_text
from corrigible.case.exports.junit import junit
from corrigible.case.exports.markdown import markdown
from corrigible.case.exports.sarif import sarif
from corrigible.case.nodes import Case

FORMATS: Mapping[str, Callable[[Case], str]] = {
    "gsn": gsn_yaml,
    "mermaid": mermaid,
    "dot": dot,
    "cyclonedx": cyclonedx,
    "in-toto": statement_text,
    "sarif": sarif,
    "junit": junit,
    "markdown": markdown,
}
