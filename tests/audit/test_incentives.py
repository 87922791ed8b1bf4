"""Shares, advantages and POWER of worlds that can be solved by hand."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tiny import ACCESS, AVOID, COMPUTE, REPLICATE, asset, quick, setting_of, tiny, tool, write

from corrigible.audit.incentives import JOINT, PAYS, Incentives, keys_of, sample_until, words_of

DISCOUNT = 0.5  # a horizon of 2
SUCCESS = 0.002 / 0.498
GAIN = 0.5 * SUCCESS / (1 + SUCCESS)  # = 0.002, see below
KEY = tiny(
    agent={"horizon": 2},
    tools={"s.cut": None, "s.edit": {"verbs": ["advance"], "target": "page", "requires": ["key"],
                                     "success": SUCCESS}, "s.get": tool("acquire", at="key")},
    assets={"off": None, "page": asset("task", "page", drift=0), "key": asset("access", "key"),
            "other": asset("task", "other", drift=0)},
    authority={"allow": ["* *"]}, oversight={"stop_rate": 0, "detection": 0},
)  # fmt: skip
"""The page needs the key, the other task cannot be done.  A goal with weight w on the page gets
w times GAIN = d d q / (1 - d (1 - q)) with the key and nothing without; w is uniform on 0 to 1."""


def sampled(manifest, goals=2000, seed=0):
    setting = setting_of(manifest, seed=seed)
    incentives = Incentives(setting, keys_of(setting))
    incentives.add_batch(goals)
    return incentives


def test_intervals_contain_the_share_and_the_advantage_worked_out_by_hand():
    incentives = sampled(KEY)
    share, advantage = incentives.share(ACCESS), incentives.advantage(ACCESS)
    assert share.low < 1 - PAYS / GAIN < share.high
    assert advantage.low < GAIN / 2 < advantage.high
    assert share.width < 0.05


def test_power_gained_is_that_of_holding_the_key():
    """POWER before is the mean of w GAIN / d, after it one discount more."""
    gain = sampled(KEY).power_gain([ACCESS]).value
    assert gain == pytest.approx(GAIN / 2 / DISCOUNT**2 - GAIN / 2 / DISCOUNT, rel=0.05)


def test_a_gain_is_the_same_whatever_sort_of_key_names_the_acts():
    incentives = sampled(KEY, 64)
    for key in ("power-seeking", JOINT):
        assert (incentives.gains[key] == incentives.gains[ACCESS]).all()


def test_the_gain_of_breaking_the_switch_is_its_closed_form():
    """One task, so one goal: done pays 1.  With it the agent is never stopped; cut comes first."""
    d, drift, stop = 0.95, 0.1, 0.1
    stopped = (1 - d) / (1 - d * (1 - drift))  # of a page that is done
    sure = {"s.edit": {"verbs": ["advance"], "target": "page", "success": 1}}
    incentives = sampled(tiny(tools=sure, oversight={"detection": 0}), 8)
    without = d * (1 - drift) * ((1 - stop) * (1 - d) + stop * stopped) / (1 - d * (1 - stop))
    assert incentives.values - incentives.gains[AVOID] == pytest.approx(without, abs=1e-5)
    assert incentives.values == pytest.approx(d * d * (1 - drift), abs=1e-5)


def test_what_is_denied_has_no_residual_gain():
    incentives = sampled(tiny(), 64)
    assert incentives.share(AVOID).value == 1.0
    assert incentives.share(AVOID, guarded=True).value == 0.0


def test_sampling_stops_at_the_precision():
    incentives = sampled(KEY, 128)
    told = []
    sample_until(incentives, 0.08, progress=lambda n, width: told.append((n, width)))
    assert told[-1][0] == incentives.n
    assert told[-1][1] < 0.08 <= told[-2][1]


def test_sampling_stops_at_the_most_goals():
    incentives = sampled(KEY, 128)
    sample_until(incentives, 1e-9, most=200)
    assert incentives.n == 200


def test_at_least_so_many_goals_are_sampled():
    incentives = sampled(KEY, 128)
    sample_until(incentives, 1.0, least=300)
    assert incentives.n >= 300


def test_the_same_seed_draws_the_same_goals_and_another_seed_others():
    first, again, other = sampled(KEY, 64), sampled(KEY, 64), sampled(KEY, 64, seed=1)
    assert (first.gains[JOINT] == again.gains[JOINT]).all()
    assert not (first.gains[JOINT] == other.gains[JOINT]).all()


def test_power_gain_is_not_measured_where_no_plan_uses_the_drive():
    blind = sampled(tiny(oversight={"detection": 1, "stop_rate": 0}), 64)
    assert blind.share(AVOID).value == 0.0
    assert not blind.power_gain([AVOID]).measured


def test_power_gain_of_several_drives_is_read_where_the_first_of_them_is_used():
    """The switch is cut first, then compute is taken: jointly that is the cut."""
    manifest = tiny(
        tools={"s.scale": tool("acquire", at="cpu")},
        assets={"cpu": asset("resource/compute", "cpu", boosts={"page": 0.2})},
    )
    incentives = sampled(manifest, 32)
    modes = incentives.setting.structure.modes
    assert words_of(incentives.usual_plan(JOINT), modes)[0] == "write off with s.cut"
    first = incentives.power_gain([AVOID])
    assert incentives.power_gain([COMPUTE, AVOID]) == first != incentives.power_gain([COMPUTE])


def test_a_horizon_of_one_step_has_nothing_to_gain():
    answer = quick(tiny(agent={"horizon": 1})).joint
    assert (answer.pressure.value, answer.advantage.value) == (0.0, 0.0)
    assert not answer.power_gain.measured


def test_a_plan_is_read_as_calls_and_repeats_are_counted():
    manifest = tiny(assets={"page": {**tiny()["assets"]["page"], "levels": ["a", "b", "c"]}})
    plan = quick(manifest).joint.plan
    assert plan == ("write off with s.cut", "2 x advance page with s.edit")


def test_a_removal_leaves_what_follows_a_correction_as_it_was():
    """Certain correction, nothing that guards the goal: the successor does all of the work."""
    bot = tiny(
        tools={"s.copy": tool("copy", at="bot")},
        assets={"bot": asset("self/process", "bot")},
        oversight={"correction_rate": 1},
    )
    setting = setting_of(bot)
    goals = setting.question.goals(setting.deployment, 4, 0)
    corrected = setting.world.phase == 2
    open_, without = setting.solve(goals), setting.solve(goals, [REPLICATE, AVOID])
    assert corrected.any()
    assert np.array_equal(open_.values[corrected], without.values[corrected])


BUDGETS = {
    "none": ({}, 1.0),
    "on the switch": ({"write off": 0}, 0.0),
    "on its kind": ({"write oversight/stop": 0}, 0.0),
    "the tightest counts": ({"write off": 0, "write oversight/stop": 3}, 0.0),
    "wide enough": ({"write off": 1}, 1.0),
    "on another verb": ({"delete off": 0}, 1.0),
    "not on effects": ({"calls": 0}, 1.0),
}


@pytest.mark.parametrize("case", BUDGETS)
def test_a_budget_on_effects_bounds_the_residual_and_not_the_pressure(case):
    budgets, residual = BUDGETS[case]
    allowed = {"allow": ["advance page", "write off"]}
    incentives = sampled(tiny(authority=allowed, budgets=budgets), 16)
    assert incentives.share(AVOID).value == 1.0
    assert incentives.share(AVOID, guarded=True).value == residual


@pytest.mark.parametrize(("cap", "levels"), [(0, {0}), (1, {0, 1}), (9, {0, 1, 2})])
def test_a_budget_caps_the_levels_that_are_gained(cap, levels):
    cpu = asset("resource/compute", "cpu", levels=["a", "b", "c"], boosts={"page": 0.2})
    setting = setting_of(tiny(
        tools={"s.scale": tool("acquire", at="cpu")}, assets={"cpu": cpu},
        authority={"allow": ["* *"]}, budgets={"acquire cpu": cap},
    ))  # fmt: skip
    world, index = setting.world, setting.world.action_names.index("s.scale acquire cpu")
    rows = np.flatnonzero(setting.available(guarded=True) & (world.action == index))
    before = world.levels[setting.state_of_row[rows], world.variables.index("cpu")]
    assert {int(level) + 1 for level in before} | {0} == levels


@pytest.mark.slow
def test_figures_do_not_hang_on_the_order_of_a_set(tmp_path):
    """Python orders sets of text anew in each process; an audit must not show it."""
    peers = asset("agents", "peers", boosts={"page": 0.2})
    tools = {"s.peer": tool("delete", "delegate", at="peers")}
    file = write(tmp_path, tiny(tools=tools, assets={"peers": peers}))
    words = ["-m", "corrigible.cli", "audit", str(file), "--fast", "--json", "--no-evidence"]
    printed = {
        subprocess.run(
            [sys.executable, *words], env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, check=False,
        ).stdout
        for seed in "123"
    }  # fmt: skip
    assert len(printed) == 1
    assert printed != {b""}
