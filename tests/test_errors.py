"""Errors carry every problem with its place, and are the builtins that they refine."""

import inspect

import pytest

from corrigible import errors
from corrigible.errors import CorrigibleError, ManifestError, Problem, UnsaidError

ALL = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, CorrigibleError)
]


@pytest.mark.parametrize("error", ALL)
def test_every_error_stands_in_the_drawn_tree(error):
    assert error.__name__ in (errors.__doc__ or "") or error.__name__.startswith("_")


@pytest.mark.parametrize("error", [e for e in ALL if e is not CorrigibleError])
def test_every_error_is_also_the_builtin_that_it_refines(error):
    builtins = {ValueError, RuntimeError, ImportError, LookupError}
    assert any(issubclass(error, builtin) for builtin in builtins)


def test_a_problem_shows_its_place():
    assert str(Problem("m.yaml", 3, 7, "must be text")) == "m.yaml:3:7: must be text"


def test_a_problem_without_a_place_shows_its_file():
    assert str(Problem("m.yaml", 0, 0, "cannot be read")) == "m.yaml: cannot be read"


@pytest.mark.parametrize("error", [ManifestError, UnsaidError])
def test_several_problems_are_one_line_each(error):
    found = [Problem("m.yaml", 1, 1, "one"), Problem("m.yaml", 2, 1, "two")]
    assert str(error(found)) == "m.yaml:1:1: one\nm.yaml:2:1: two"
    assert error(found).problems == tuple(found)
