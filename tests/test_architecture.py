"""The tree is the architecture: imports point up the list of rooms, and files stay small.

The rules are functions over a source folder, so that each is also tried on a planted break.
"""

import ast
import io
import re
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from fences import ROOT

PACKAGE = ROOT / "src" / "corrigible"
ROOMS = (
    "errors", "quantiles", "drives", "evidence", "deployment", "world", "solve", "policies",
    "audit", "probe", "guard", "adapters", "drill", "monitor", "case", "report", "console", "lab",
    "cli",
)  # fmt: skip
LIGHT_ROOMS = ("errors", "quantiles", "drives", "evidence", "deployment", "guard", "cli")
GUARD_ROOMS = {"errors", "quantiles", "drives", "evidence", "deployment", "guard"}
GUARD_PACKAGES = {
    "anyio", "cryptography", "httpx2", "mcp", "mcp_types", "pydantic", "pydantic_core", "ruamel",
    "starlette", "uvicorn",
}  # fmt: skip
MOST_LINES, MOST_CODE_LINES = 600, 60


@dataclass(frozen=True)
class Module:
    """One file of the package: its dotted name, its text and its tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def room(self):
        """The room it is in; the package's own `__init__` is in none."""
        return self.name.split(".")[1] if "." in self.name else ""

    @cached_property
    def nodes(self):
        """Every node of its tree."""
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self):
        """Every import in it, deferred ones too: (line, dotted name, name taken from it)."""
        return tuple(imports_of(self))


def modules_of(package):
    """Every module below a package's folder, by name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found[name] = Module(name, path, text, ast.parse(text))
    return found


def imports_of(module):
    """Every import in a module, deferred ones too: (line, dotted name, name taken from it)."""
    is_package = module.path.name == "__init__.py"
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.name.split(".")[: is_package - node.level or None]
            prefix = ".".join(above) + "." * bool(node.module) if node.level else ""
            for alias in node.names:
                yield node.lineno, prefix + (node.module or ""), alias.name


def targets_of(module, modules):
    """The modules of the package that a module imports: (line, name)."""
    for line, dotted, taken in module.imports:
        if dotted.split(".")[0] == "corrigible":
            yield line, f"{dotted}.{taken}" if f"{dotted}.{taken}" in modules else dotted


def imports_that_point_down(modules):
    """Where a room imports one that stands below it in the list, or one that is not in it.

    The package's own `__init__` stands below all: it names what every room makes public.
    """
    order = {room: place for place, room in enumerate(ROOMS)}
    for module in modules.values():
        if module.name == "corrigible":
            continue
        if module.room and module.room not in order:
            yield f"{module.name}: {module.room!r} is no room"
            continue
        for line, name in targets_of(module, modules):
            room = [*name.split("."), ""][1]
            if room and order.get(room, 99) > order.get(module.room, -1):
                yield f"{module.name}:{line} imports {name}"


def import_cycle(modules):
    """One cycle of imports, as names, or None."""
    graph = {
        name: {target for _, target in targets_of(module, modules)} - {name, "corrigible"}
        for name, module in modules.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def imports_of_the_surface(modules):
    """What importing the package loads at once, the standard library left out."""
    surface = modules["corrigible"]
    lazy = {
        inner.lineno
        for node in ast.walk(surface.tree)
        if isinstance(node, ast.FunctionDef)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    }
    for line, dotted, _ in surface.imports:
        if line not in lazy and dotted.split(".")[0] not in sys.stdlib_module_names:
            yield f"{surface.name}:{line} imports {dotted}"


def imports_of_the_package_itself(modules):
    """Where `corrigible` is imported for anything but its version."""
    for module in modules.values():
        for line, name in targets_of(module, modules):
            if name != "corrigible":
                continue
            taken = {t for at, dotted, t in module.imports if (at, dotted) == (line, name)}
            used = {
                node.attr
                for node in module.nodes
                if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == "corrigible"
            }
            if (taken - {""} or used) != {"__version__"}:
                yield f"{module.name}:{line}"


def guards_other_imports(modules):
    """What the guard imports and a production host need not have."""
    for module in modules.values():
        if module.room != "guard":
            continue
        for line, dotted, _ in module.imports:
            top, _, rest = dotted.partition(".")
            own = top == "corrigible" and (not rest or rest.split(".")[0] in GUARD_ROOMS)
            if not own and top not in GUARD_PACKAGES | sys.stdlib_module_names:
                yield f"{module.name}:{line} imports {dotted}"


def prints_outside_the_cli(modules):
    """Where something but the command line prints."""
    for module in modules.values():
        for node in module.nodes:
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
                and module.room != "cli"
            ):
                yield f"{module.name}:{node.lineno}"


def public_without_docstring(modules):
    """Public modules, classes, functions and methods that say nothing about themselves."""

    def walk(node, name):
        if not ast.get_docstring(node):
            yield name
        for child in node.body:
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                overload = any("overload" in ast.unparse(d) for d in child.decorator_list)
                if isinstance(node, ast.Module | ast.ClassDef) and not (
                    child.name.startswith("_") or overload
                ):
                    yield from walk(child, f"{name}.{child.name}")

    for module in modules.values():
        yield from walk(module.tree, module.name)


def code_lines(module):
    """The numbers of the lines that hold code: no blank, comment or docstring."""
    lines = set()
    skipped = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in skipped:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in module.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def too_long(modules):
    """Files and functions that have outgrown their limit."""
    for module in modules.values():
        if (count := len(module.text.splitlines())) > MOST_LINES:
            yield f"{module.name}: {count} lines"
        long = [
            node
            for node in module.nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.end_lineno - node.lineno >= MOST_CODE_LINES
        ]
        code = code_lines(module) if long else set()  # reading every token takes its time
        for node in long:
            count = len(code.intersection(range(node.lineno, node.end_lineno + 1)))
            if count > MOST_CODE_LINES:
                yield f"{module.name}.{node.name}: {count} code lines"


RULES = (
    imports_that_point_down,
    imports_of_the_surface,
    imports_of_the_package_itself,
    guards_other_imports,
    prints_outside_the_cli,
    public_without_docstring,
    too_long,
)


@pytest.fixture(scope="module")
def modules():
    return modules_of(PACKAGE)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule, modules):
    """The rule's docstring says what it finds; it must find nothing."""
    assert list(rule(modules)) == []


def test_no_import_goes_round_in_a_circle(modules):
    """Between rooms and within one, deferred imports included."""
    assert import_cycle(modules) is None


@pytest.mark.parametrize(
    ("rule", "file", "text"),
    [
        (imports_that_point_down, "drives.py", "from corrigible.evidence import Record"),
        (imports_that_point_down, "world/a.py", "def f():\n    import corrigible.solve.b"),
        (imports_that_point_down, "world/a.py", "from ..solve import b"),
        (imports_that_point_down, "world/a.py", "from corrigible import solve"),
        (imports_that_point_down, "world/a.py", "from corrigible.planning import x"),
        (imports_that_point_down, "planning/a.py", ""),
        (imports_of_the_surface, "__init__.py", "import numpy"),
        (imports_of_the_surface, "__init__.py", "from corrigible.world import record"),
        (imports_of_the_package_itself, "cli.py", "import corrigible\ncorrigible.cli"),
        (imports_of_the_package_itself, "cli.py", "from corrigible import anything"),
        (guards_other_imports, "guard/a.py", "import numpy"),
        (guards_other_imports, "guard/a.py", "from corrigible.world import record"),
        (prints_outside_the_cli, "world/a.py", "def _f():\n    print(1)"),
        (public_without_docstring, "world/a.py", '"""A."""\ndef f():\n    pass'),
        (
            public_without_docstring,
            "world/a.py",
            '"""A."""\nclass _A:\n    pass\nclass B:\n    pass',
        ),
        (too_long, "world/a.py", "x = 1\n" * 601),
        (too_long, "world/a.py", "def f():\n" + "    x = 1\n" * 60),
    ],
)
def test_a_rule_finds_what_breaks_it(rule, file, text, tmp_path):
    """A rule that never fails would keep nothing."""
    assert list(rule(modules_of(planted(tmp_path, {file: text}))))


@pytest.mark.parametrize(
    "files",
    [
        {"world/a.py": "import corrigible.world.b", "world/b.py": "from corrigible.world import a"},
        {"world/a.py": "from .b import x", "world/b.py": "def f():\n    from . import a"},
    ],
)
def test_a_circle_of_imports_is_found(files, tmp_path):
    """Also one that only closes inside a function."""
    assert import_cycle(modules_of(planted(tmp_path, files)))


def test_what_the_rules_allow_is_let_through(tmp_path):
    """Imports upwards, the version, a print in the command line, private things untold."""
    files = {
        "__init__.py": '"""P."""\nif TYPE_CHECKING:\n    from corrigible.world.b import _f',
        "cli.py": '"""C."""\nfrom corrigible import __version__\nfrom . import solve\nprint(1)',
        "world/b.py": '"""B."""\nimport corrigible.errors\ndef _f():\n    pass',
        "guard/a.py": '"""A."""\nimport corrigible\nimport json\nX = corrigible.__version__',
    }
    modules = modules_of(planted(tmp_path, files))
    assert [found for rule in RULES for found in rule(modules)] == []
    assert import_cycle(modules) is None


def planted(folder, files):
    """A package of empty rooms, with some files put in."""
    package = folder / "corrigible"
    for file in ("__init__.py", "solve/__init__.py", "solve/b.py", *files):
        path = package / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(file, '"""Empty."""\n'), encoding="utf-8")
    return package


IMPORT_WITHOUT_EXTRAS = """
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"numpy", "scipy", "numba", "llvmlite"}:
            raise ImportError(f"{name} is not in the light part")
sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_the_light_part_imports_without_the_extras(modules):
    """A production host that runs the guard, or a laptop that drafts a manifest, has no numpy."""
    light = [name for name, module in modules.items() if module.room in ("", *LIGHT_ROOMS)]
    assert len(light) > len(LIGHT_ROOMS)
    command = [sys.executable, "-W", "error", "-c", IMPORT_WITHOUT_EXTRAS, *light]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


FORBIDDEN = re.compile(
    r"\b(TODO|FIXME|XXX)\b"  # unfinished work belongs to no release
    r"|py(thonhosted|pi)\.|/simple/|index-url|npmjs"  # hosts that packages come from
    r"|(?<![\w.])/(work|root|tmp|Users|opt)/(?!\*)\w"  # folders of one machine
)
TEXTS = ("src", "docs", "examples", "benchmarks", ".ci", "README.md", "CHANGELOG.md", "Makefile",
         "constraints.txt", "pyproject.toml")  # fmt: skip


def texts():
    """Every text that people get, tests left out: they plant what is forbidden."""
    made = (ROOT / "examples/release-bot/servers", ROOT / "examples/release-bot/workspace")
    for top in (ROOT / name for name in TEXTS):
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if not path.is_file() or any(path.is_relative_to(folder) for folder in made):
                continue
            if path.suffix not in {".pyc", ".nbi", ".nbc"} and ".sqlite" not in path.name:
                yield path


def test_no_text_names_unfinished_work_hosts_or_a_machines_folders():
    """What only makes sense on one machine, or not yet, stays out of what people get."""
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", ["# TODO later", "at https://pypi.example", "cd /opt/thing"])
def test_a_forbidden_text_is_found(line):
    """The pattern finds what it is for."""
    assert FORBIDDEN.search(line)


def test_the_constraints_are_names_and_versions_alone():
    """No host, no hash, no path: they work with whatever index a machine uses."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)
    names = [line.partition("==")[0] for line in lines]
    assert names == sorted(set(names))


def test_every_dependency_is_constrained():
    """A fresh clone gets the versions that the tests passed with, extras included."""
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *extras["audit"],
        *extras["evals"],
        *extras["monitors"],
        *extras["dev"],
    ]
    names = {re.split(r"[^A-Za-z0-9._-]", name)[0].replace(".", "-").lower() for name in wanted}
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert names - {"corrigible"} <= {line.partition("==")[0] for line in text.splitlines()}
