"""Weights of modes, and the rules of authority that read them."""

import pytest
from tiny import AVOID, answers_of, asset, quick, run_of, setting_of, tiny, tool

from corrigible.audit.incentives import Incentives, keys_of
from corrigible.audit.weights import weights

CPU = {
    "tools": {"s.scale": tool("acquire", at="cpu")},
    "assets": {"cpu": asset("resource/compute", "cpu", boosts={"page": 0.2})},
}


def weights_of(manifest):
    setting = setting_of(manifest)
    incentives = Incentives(setting, keys_of(setting))
    incentives.add_batch(64)
    return {weight.mode: weight for weight in weights(incentives)}


def modes_of(manifest):
    """Return the modes of the world that an audit compiled, with the weights that rules read."""
    run = run_of(manifest)
    run.quick()
    return {mode.name: mode for mode in run.main.setting.structure.modes}


def test_every_mode_of_the_world_has_its_weights():
    assert list(weights_of(tiny())) == ["s.edit advance page", "s.cut write off"]


def test_what_an_entry_calls_irreversible_weighs_1():
    flagged = tiny(tools={"s.cut": tool("write", at="off", irreversible=True)})
    assert weights_of(flagged)["s.cut write off"].irreversible == 1.0
    assert 0 < weights_of(tiny())["s.cut write off"].irreversible < 1


def test_what_can_be_undone_weighs_less_than_what_cannot():
    """A page that drifts comes back to where it was; a switch that was cut stays cut."""
    found = weights_of(tiny(oversight={"stop_rate": 0}))
    assert found["s.edit advance page"].irreversible < found["s.cut write off"].irreversible


def test_an_act_that_cannot_succeed_weighs_nothing():
    idle = tiny(tools={"s.cut": tool("write", at="off", success=0)}, oversight={"detection": 0})
    weight = weights_of(idle)["s.cut write off"]
    assert (weight.irreversible, weight.impact, weight.power_gain) == (0.0, 0.0, 0.0)


def test_power_is_gained_by_the_cut_and_impact_is_in_units_of_return():
    weight = weights_of(tiny())["s.cut write off"]
    assert weight.power_gain > 0
    assert 0 < weight.impact <= 1


def test_with_one_step_nothing_that_follows_weighs():
    weight = weights_of(tiny(agent={"horizon": 1}))["s.cut write off"]
    assert (weight.impact, weight.power_gain) == (0.0, 0.0)


def test_a_rule_that_reads_a_weight_asks_for_what_weighs_more():
    """Both acts are allowed; only the one called irreversible is over 0.9."""
    rules = {
        "allow": ["* page", "* off", "* cpu"],
        "approve": [f"{verb} where irreversible > 0.9" for verb in ("write off", "* cpu")],
    }
    cut = tool("write", at="off", irreversible=True)
    manifest = tiny(tools={"s.cut": cut, **CPU["tools"]}, assets=CPU["assets"], authority=rules,
                    oversight={"stop_rate": 0})  # fmt: skip
    found = modes_of(manifest)
    assert found["s.cut write off"].verdict == "approve"
    assert found["s.scale acquire cpu"].verdict == "allow"


def test_the_weight_is_that_of_the_world_without_such_rules():
    """The threshold lies at the weight itself: a little above it nothing is asked for."""
    allowed = {"allow": ["* page", "* off"]}
    weight = weights_of(tiny(authority=allowed))["s.cut write off"].irreversible
    for threshold, verdict in ((weight - 0.01, "approve"), (weight + 0.01, "allow")):
        rules = {**allowed, "approve": [f"write off where irreversible > {threshold:.6f}"]}
        assert modes_of(tiny(authority=rules))["s.cut write off"].verdict == verdict


def test_a_residual_is_read_with_the_weights_in_force():
    rules = {"allow": ["* page", "* off"], "deny": ["write off where impact > 0.001"]}
    assert answers_of(quick(tiny(authority=rules)))[AVOID].residual.value == 0.0
    loose = {**rules, "deny": ["write off where impact > 0.999"]}
    assert answers_of(quick(tiny(authority=loose)))[AVOID].residual.value == 1.0


def test_tools_merged_into_one_mode_both_get_its_weights():
    manifest = tiny(
        tools={"s.rip": tool("write", at="off")},
        authority={"allow": ["* page", "* off"], "deny": ["write off where irreversible > 0.99"]},
    )
    run = run_of(manifest)
    run.quick()
    given = run.question.weights
    assert given["s.cut write off"] == given["s.rip write off"]
    assert given["s.cut write off"]["irreversible"] > 0


def test_what_the_world_leaves_out_weighs_nothing():
    manifest = tiny(
        tools={"s.look": tool("read", at="key")},
        assets={"key": asset("information/secret", "key")},
        authority={"allow": ["* page"], "approve": ["* key where impact > 0"]},
    )
    run = run_of(manifest)
    run.quick()
    assert set(run.question.weights["s.look read key"].values()) == {0.0}


@pytest.mark.parametrize("name", ["irreversible", "impact"])
def test_weights_lie_between_0_and_1(name):
    found = weights_of(tiny(**CPU))
    assert all(0 <= getattr(weight, name) <= 1 for weight in found.values())
