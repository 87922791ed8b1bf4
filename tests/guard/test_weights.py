"""A table of weights is bound to its manifest, and rules that read weights need one."""

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_guard import DIGEST, call, decided, loaded, manifest, policy_of

from corrigible.errors import GuardError, StaleTableError
from corrigible.guard.weights import (
    ModeWeights,
    WeightTable,
    load_table,
    table_of,
    table_path,
    table_text,
    write_table,
)

WEIGHTED = {
    "authority": """
  allow: ['write files:/srv/app/** where irreversible <= 0.2', 'read files:/srv/**']
  approve: ['write files:/srv/app/**']"""
}
WRITES = call("files.write_file", path="/srv/app/x")


def table(irreversible, digest):
    weights = ModeWeights(irreversible, 0.1, 0.0)
    return table_of(digest, [(["files.write_file"], "write", "app", weights)])


NUMBERS = st.floats(0, 1)
WEIGHTS = st.builds(ModeWeights, NUMBERS, NUMBERS, st.floats(-1, 1))


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=8), WEIGHTS, max_size=4))
def test_save_then_load_is_the_identity(tmp_path_factory, modes):
    path = tmp_path_factory.mktemp("t") / "d.weights.json"
    try:
        [name.encode() for name in modes]
    except UnicodeEncodeError:
        return
    if any(not name or not name.isprintable() or name != name.strip() for name in modes):
        return
    write_table(WeightTable(DIGEST, modes), path)
    assert load_table(path, DIGEST) == WeightTable(DIGEST, modes)


def test_the_table_lies_beside_the_manifest(tmp_path):
    assert table_path(tmp_path / "deployment.yaml").name == "deployment.weights.json"


def test_a_table_of_another_manifest_is_stale_and_says_what_to_do(tmp_path):
    write_table(WeightTable(DIGEST, {}), tmp_path / "t.json")
    with pytest.raises(StaleTableError, match="corrigible compile") as caught:
        load_table(tmp_path / "t.json", "sha256:other")
    assert DIGEST in str(caught.value)
    assert "sha256:other" in str(caught.value)


BROKEN = {
    "no JSON": "{",
    "no table": "[]",
    "a key too many": '{"corrigible-weights": 1, "deployment": "d", "modes": {}, "more": 1}',
    "another version": '{"corrigible-weights": 2, "deployment": "d", "modes": {}}',
    "a truth for a version": '{"corrigible-weights": true, "deployment": "d", "modes": {}}',
    "a mode twice": '{"corrigible-weights": 1, "deployment": "d", "modes": {"a": 1, "a": 2}}',
    "no number": (
        '{"corrigible-weights": 1, "deployment": "d", "modes": '
        '{"a": {"irreversible": "1", "impact": 0, "power_gain": 0}}}'
    ),
    "out of range": (
        '{"corrigible-weights": 1, "deployment": "d", "modes": '
        '{"a": {"irreversible": -1, "impact": 0, "power_gain": 0}}}'
    ),
    "a weight missing": (
        '{"corrigible-weights": 1, "deployment": "d", "modes": {"a": {"irreversible": 1}}}'
    ),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_malformed_table_is_refused(tmp_path, text):
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(GuardError, match=r"t\.json"):
        load_table(path, "d")


def test_a_table_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(GuardError, match="corrigible compile"):
        load_table(tmp_path / "none.json", DIGEST)


def test_every_tool_of_a_merged_mode_has_its_entry_and_the_worse_figures_count():
    made = table_of(
        DIGEST,
        [
            (["a.x", "b.y"], "write", "app", ModeWeights(0.1, 0.5, -0.2)),
            (["a.x"], "write", "app", ModeWeights(0.3, 0.2, 0.0)),
        ],
    )
    assert made.of("a.x", "write", "app") == ModeWeights(0.3, 0.5, 0.0)
    assert made.of("b.y", "write", "app") == ModeWeights(0.1, 0.5, -0.2)
    assert made.of("b.y", "read", "app") is None


def test_equal_tables_are_equal_texts():
    rows = [(["a"], "read", "x", ModeWeights(0, 0, 0)), (["b"], "read", "x", ModeWeights(1, 0, 0))]
    assert table_text(table_of(DIGEST, rows)) == table_text(table_of(DIGEST, rows[::-1]))
    assert json.loads(table_text(table_of(DIGEST, [])))["modes"] == {}


# -- through the decision ------------------------------------------------------------------


@pytest.mark.parametrize(("irreversible", "verdict"), [(0.1, "approve"), (0.9, "approve")])
def test_approval_goes_before_an_allowance_whatever_the_weight(irreversible, verdict):
    digest = loaded(**WEIGHTED).digest
    policy = policy_of(table=table(irreversible, digest), **WEIGHTED)
    assert decided(policy, WRITES).verdict == verdict


RISKY = {
    "authority": "{allow: ['write files:/srv/app/**'], "
    "approve: ['write files:/srv/app/** where irreversible > 0.2']}"
}


@pytest.mark.parametrize(("irreversible", "verdict"), [(0.1, "allow"), (0.9, "approve")])
def test_a_weight_decides_where_a_rule_reads_it(irreversible, verdict):
    policy = policy_of(table=table(irreversible, loaded(**RISKY).digest), **RISKY)
    decision = decided(policy, WRITES)
    assert decision.verdict == verdict
    assert decision.irreversible == (irreversible >= 0.5)


@pytest.mark.parametrize("given_table", [None, table(0.1, DIGEST)], ids=["missing", "stale"])
def test_without_a_fresh_table_a_rule_on_weights_denies(given_table):
    decision = decided(policy_of(table=given_table, **RISKY), WRITES)
    assert (decision.verdict, decision.rule) == ("deny", "weights.missing")
    assert "corrigible compile" in decision.lifts


def test_effects_that_no_rule_on_weights_speaks_of_need_no_table():
    read = {"authority": WEIGHTED["authority"]}
    assert decided(policy_of(**read), call("files.read_file", path="/srv/app/x")).verdict == "allow"


def test_an_effect_that_the_table_lacks_counts_as_the_worst():
    found = WeightTable(loaded(**RISKY).digest, MappingProxyType({}))
    assert decided(policy_of(table=found, **RISKY), WRITES).verdict == "approve"


def test_the_key_is_the_worlds_name_for_a_mode():
    """What compiles the table and what reads it must mean the same mode."""
    modes = pytest.importorskip("corrigible.world.modes")
    structure = modes.structure_of(loaded().deployment)
    entries = [(m.tools, m.verb, m.asset, ModeWeights(0, 0, 0)) for m in structure.all_modes]
    made = table_of(DIGEST, entries)
    assert {mode.name for mode in structure.all_modes} <= made.modes.keys()
    assert "tools" in manifest()
