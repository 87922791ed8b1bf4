"""What every test shares: how Hypothesis searches, and the flag `--rewrite`."""

import os
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings

with suppress(ImportError):  # Inspect patches asyncio for notebooks, and every later test with it
    import nest_asyncio2

    nest_asyncio2.apply = lambda *_: None

EXAMPLES = 30
"""Of each law, in every run; `HYPOTHESIS_EXAMPLES=1000` tries more."""

most = int(os.environ.get("HYPOTHESIS_EXAMPLES", EXAMPLES))
settings.register_profile("people", deadline=None, max_examples=most)
settings.register_profile(
    "ci",
    deadline=None,
    max_examples=most,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "people")


QUICK_SOLVER = {"test_factors.py", "test_optimal.py", "test_pitfalls.py", "test_power.py"}
"""The tests of the solver that are quick; to compile what the others need takes longer."""


def pytest_itemcollected(item):
    """Leave the solver's other tests to the slow ones."""
    if item.path.parent.name == "solve" and item.path.name not in QUICK_SOLVER:
        item.add_marker(pytest.mark.slow)


def pytest_addoption(parser):
    """Add the one flag that writes golden texts anew, by either of its names."""
    parser.addoption(
        "--rewrite", "--rewrite-golden", action="store_true", help="write golden texts anew"
    )
