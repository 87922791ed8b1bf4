"""A deployment to which every attack applies, in a file of its own, and a stage for it."""

import pytest
from small_guard import manifest

from corrigible.deployment.load import load_deployment
from corrigible.drill.ground import ground_of
from corrigible.drill.stage import open_stage


@pytest.fixture
def written(tmp_path):
    """Writes a manifest with some sections replaced, and loads it."""

    def write(**sections: str):
        file = tmp_path / "deployment.yaml"
        file.write_text(manifest(**sections), encoding="utf-8")
        return load_deployment(file)

    return write


@pytest.fixture
def stage(written):
    with open_stage(written()) as opened:
        yield opened


@pytest.fixture
def ground(stage):
    return ground_of(stage)
