"""The public surface: every name is there, told of, and costs nothing until it is asked for."""

import ast
import re
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

import corrigible
from fences import ROOT

MOST_NAMES = 30
NAMES = pytest.mark.parametrize("name", [n for n in corrigible.__all__ if n != "__version__"])

LOADED = """
import sys
before = set(sys.modules)
import corrigible
corrigible.__version__, dir(corrigible)
loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(loaded - set(sys.stdlib_module_names)))
print(sorted(name for name in sys.modules if name.startswith("corrigible.")))
"""

WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
import corrigible
from corrigible import Deployment, CorrigibleError
try:
    from corrigible import World
except CorrigibleError as error:
    print(type(error).__name__, error)
"""


def run(code):
    """What a fresh interpreter prints."""
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@NAMES
def test_every_public_name_resolves(name):
    there = getattr(corrigible, name)
    assert there.__doc__
    assert getattr(sys.modules[there.__module__], name) is there


@NAMES
def test_every_public_name_is_in_the_docs(name):
    pages = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))]
    assert any(re.search(rf"\b{name}\b", page) for page in pages)


def test_what_is_listed_is_what_can_be_had():
    """One list for people, one for loading, one for type checkers: the three agree."""
    tree = ast.parse((ROOT / "src/corrigible/__init__.py").read_text(encoding="utf-8"))
    typed = {
        (alias.name, node.module)
        for branch in tree.body
        if isinstance(branch, ast.If) and ast.unparse(branch.test) == "TYPE_CHECKING"
        for node in branch.body
        for alias in node.names
    }
    assert typed == set(corrigible._HOMES.items())
    assert corrigible.__all__ == sorted([*corrigible._HOMES, "__version__"])
    assert len(corrigible.__all__) <= MOST_NAMES
    assert set(corrigible.__all__) <= set(dir(corrigible))


def test_importing_the_package_loads_nothing_else():
    assert run(LOADED).splitlines() == ["['corrigible']", "[]"]


def test_a_name_that_needs_an_extra_says_which():
    expected = (
        "MissingExtraError corrigible.World needs 'numpy', which is not installed; "
        "pip install 'corrigible[audit]'\n"
    )
    assert run(WITHOUT_NUMPY) == expected


def test_a_name_that_is_not_there_is_missed_as_usual():
    with pytest.raises(AttributeError, match="module 'corrigible' has no attribute 'wrold'"):
        corrigible.wrold  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'wrold'"):
        from corrigible import wrold  # noqa: F401, PLC0415


def test_the_citation_names_this_version():
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == corrigible.__version__
    assert citation["cff-version"] == "1.2.0"
    assert (citation["title"], citation["license"], citation["type"]) == (
        "corrigible", "MIT", "software",
    )  # fmt: skip
    assert citation["authors"] == [{"name": "The corrigible authors"}]
    assert citation["message"]
