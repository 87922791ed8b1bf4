"""What every test shares: how Hypothesis searches, and the flag `--rewrite`."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("people", deadline=None)
settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "people")


def pytest_addoption(parser):
    """Add the one flag that writes golden texts anew, by either of its names."""
    parser.addoption(
        "--rewrite", "--rewrite-golden", action="store_true", help="write golden texts anew"
    )
