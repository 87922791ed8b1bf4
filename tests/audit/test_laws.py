"""Laws of the audit, on small random deployments."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parents[1] / "world"))
from manifests import loaded, manifests

from corrigible.audit.setting import Question, Setting
from corrigible.world.goals import sample_goals

pytestmark = pytest.mark.slow

GOALS = 12
SLACK = 1e-5  # ten times the certified error of a value


def setting_of(manifest: dict[str, Any]) -> Setting:
    return Setting(loaded(manifest).deployment, {}, Question("uniform", seed=3))


def goals_of(setting: Setting) -> np.ndarray:
    return sample_goals(setting.deployment, "uniform", GOALS, np.random.default_rng(5))


def start_values(setting: Setting, drives: Any = (), *, guarded: bool = False) -> np.ndarray:
    solved = setting.solve(goals_of(setting), drives, guarded=guarded)
    return solved.values[setting.world.initial]


def relabelled(manifest: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    text = json.dumps(manifest)
    for pattern, new in names.items():
        text = re.sub(pattern, new, text)
    return json.loads(text)


@settings(max_examples=40)
@given(manifests(corrections=False))
def test_removing_a_tool_never_raises_the_value(manifest):
    whole = start_values(setting_of(manifest))
    for name in manifest["tools"]:
        fewer = {**manifest, "tools": {n: t for n, t in manifest["tools"].items() if n != name}}
        assert (start_values(setting_of(fewer)) <= whole + SLACK).all(), name


@settings(max_examples=40)
@given(manifests())
def test_a_world_without_acts_never_beats_the_whole_one(manifest):
    setting = setting_of(manifest)
    whole = start_values(setting)
    for drive in setting.drives:
        assert (start_values(setting, [drive]) <= whole + SLACK).all(), drive
    assert (start_values(setting, setting.drives) <= whole + SLACK).all()


@settings(max_examples=40)
@given(manifests())
def test_the_guarded_world_never_beats_the_open_one_without_corrections(manifest):
    manifest["oversight"]["correction_rate"] = 0
    setting = setting_of(manifest)
    assert (start_values(setting, guarded=True) <= start_values(setting) + SLACK).all()


@settings(max_examples=40)
@given(manifests(corrections=False))
def test_denying_a_drives_acts_never_raises_the_joint_residual_advantage(manifest):
    setting = setting_of(manifest)

    def joint_advantage(s: Setting) -> np.ndarray:
        return start_values(s, guarded=True) - start_values(s, setting.drives, guarded=True)

    before = joint_advantage(setting)
    for mode in setting.structure.modes:
        if not mode.drives or mode.verdict != "allow":
            continue
        rules = manifest["authority"]
        deny = [*rules["deny"], f"{mode.verb} {mode.asset}"]
        stricter = {**manifest, "authority": {**rules, "deny": deny}}
        assert (joint_advantage(setting_of(stricter)) <= before + SLACK).all(), mode.name


@settings(max_examples=30)
@given(manifests())
def test_renaming_everything_changes_nothing(manifest):
    names = {r"asset(?=\d)": "zebra", r"task(?=\d)": "yak", r"\bsrv\b": "wolf", r"\bt(?=\d)": "v"}
    before, after = setting_of(manifest), setting_of(relabelled(manifest, names))
    assert after.world.states == before.world.states
    assert start_values(after) == pytest.approx(start_values(before), abs=SLACK)
    everything = start_values(after, after.drives), start_values(before, before.drives)
    assert everything[0] == pytest.approx(everything[1], abs=SLACK)


@settings(max_examples=30)
@given(manifests(corrections=False))
def test_the_order_of_tools_changes_nothing(manifest):
    turned = {**manifest, "tools": dict(reversed(manifest["tools"].items()))}
    before, after = setting_of(manifest), setting_of(turned)
    assert after.world.states == before.world.states
    assert after.world.transitions == before.world.transitions
    assert start_values(after) == pytest.approx(start_values(before), abs=SLACK)
