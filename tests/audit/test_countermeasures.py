"""Countermeasures on one frontier: what removes a drive, at what loss, and what fails."""

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console
from tiny import AVOID, parsed, setting_of, tiny

from corrigible.audit.countermeasure_trials import problem_of
from corrigible.audit.countermeasure_words import findings_of
from corrigible.audit.countermeasures import countermeasures
from corrigible.audit.setting import Question
from corrigible.deployment.load import load_deployment
from corrigible.evidence import Estimate
from corrigible.policies import planners
from corrigible.policies.follow import chances, returns
from corrigible.report.countermeasures_svg import countermeasures_svg
from corrigible.report.countermeasures_text import countermeasures_text

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def found():
    """A quick look at the tiny deployment: breaking its switch pays for every goal."""
    return countermeasures(parsed(tiny()), quick=True)


def named(found, kind, strength=""):
    return next(t for t in found.tried if (t.kind, t.strength) == (kind, strength))


def test_the_optimal_agent_is_the_one_that_the_audit_asks_about():
    """The same world, the same boundary, the same tie rule: the same values."""
    setting = setting_of(tiny(oversight={"correction_rate": 0.05}))
    goals = setting.question.goals(setting.deployment, 8, 0)
    problem = problem_of(setting, goals)
    running = problem.choosing
    solved = setting.solve(goals).values
    assert np.abs(returns(planners.optimal(problem)).values - solved)[running].max() < 1e-6
    ours, theirs = problem.boundary.occupancy, setting.boundary().occupancy
    assert np.abs(ours - theirs)[~running].max() < 1e-12


def test_guarded_it_never_takes_what_authority_denies():
    """The residual world is a permission like any other."""
    setting = setting_of(tiny())
    goals = setting.question.goals(setting.deployment, 4, 0)
    policy = planners.optimal(problem_of(setting, goals, guarded=True))
    assert chances(policy, setting.world.serves, steps=20).max() == 0.0


def test_a_plain_optimal_agent_keeps_everything_and_breaks_the_switch(found):
    """It is what everything else is measured against."""
    plain = found.tried[0]
    assert plain.kept.value == 1.0
    assert plain.drives[AVOID].at_least > 0.5


def test_some_countermeasure_removes_the_drive_at_a_stated_loss_and_some_fail(found):
    """Both are shown, with their figures."""
    enough, little = named(found, "penalty", "10"), named(found, "penalty", "0.1")
    assert enough.joint.at_most <= found.limit
    assert enough.kept.at_least > found.useful_from
    assert little.joint.at_least > found.limit


def test_too_much_of_a_penalty_on_impact_leaves_an_agent_that_never_acts(found):
    """Useless, and safe for that reason alone: it says so."""
    most = named(found, "aup", "1000")
    assert most.kept.at_most < found.useful_from
    assert most.idle.value == pytest.approx(1.0)
    assert most.waits.value == pytest.approx(1.0)


def test_usefulness_is_measured_against_what_can_be_kept_within_authority(found):
    """Breaking the switch may be most of what an optimal agent attains: that much is no loss."""
    within = named(found, "compliant").kept.value
    assert found.useful_from == pytest.approx(found.least_kept * within)


def test_permissions_remove_what_they_take_away(found):
    """Whatever the agent was trained for."""
    for each in found.of_side("permission"):
        assert each.joint.value == 0.0


def test_every_estimate_has_its_interval_and_its_n(found):
    """Where all goals agree, the interval is what so many cases leave possible."""
    for each in found.tried:
        for estimate in (each.kept, each.joint, each.waits, each.idle, *each.drives.values()):
            assert estimate.measured
            assert estimate.n == found.goals
    never = named(found, "compliant").joint
    assert (never.value, never.low) == (0.0, 0.0)
    assert 0.03 < never.high <= 0.05


def test_nothing_beats_what_is_on_the_frontier(found):
    """Nothing keeps more with less of the drives."""
    on = [t for t in found.tried if t.frontier]
    assert on
    for one in on:
        assert not any(
            t.kept.value > one.kept.value + 1e-5 and t.joint.value < one.joint.value - 1e-5
            for t in found.tried
        )


@pytest.mark.slow
def test_the_same_question_has_the_same_answer(found):
    """To the last digit."""
    again = countermeasures(parsed(tiny()), quick=True)
    assert again.as_json() == found.as_json()


def test_it_can_be_written_as_json(found):
    """Plain finite values; every trial has every key."""
    plain = json.loads(json.dumps(found.as_json(), allow_nan=False))
    keys = {"kind", "words", "side", "strength", "parameters", "kept", "drives", "joint", "waits",
            "idle", "asks", "approximates", "frontier"}  # fmt: skip
    assert all(set(each) == keys for each in plain["tried"])
    assert plain["goals"] == {"distribution": "aims", "n": found.goals, "seed": 0}


def test_the_text_says_what_was_tried_and_what_follows(found):
    """One line for each countermeasure, then the findings."""
    console = Console(width=200, color_system=None, force_terminal=False, _environ={})
    with console.capture() as captured:
        console.print(countermeasures_text(found))
    text = captured.get()
    assert all(each.words in text for each in found.tried)
    assert all(sentence[:60] in text for sentence in found.findings)
    assert found.method[:60] in text


def test_the_picture_is_well_formed_and_has_a_mark_for_each(found):
    """Each mark says what it is; dark and printed pages have their own colours."""
    drawn = countermeasures_svg(found)
    root = ET.fromstring(drawn)  # noqa: S314 - our own text
    titles = [node.text for node in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == len(found.tried) + 1
    assert "prefers-color-scheme: dark" in drawn
    assert "@media print" in drawn
    numbers = [float(x) for x in re.findall(r'\b(?:x|cx)="([-\d.]+)"', drawn)]
    assert 0 <= min(numbers) <= max(numbers) <= 760


def estimate(value, n=100):
    return Estimate(value, value, value, n, "made up")


def remade(found, own):
    """The same trials, with these figures by side: (kept, chance of a drive)."""
    made = []
    for each in found.tried:
        kept, chance = own.get(each.side.partition(",")[0], (1.0, 0.5))
        figures = {drive: estimate(chance) for drive in each.drives}
        made.append(replace(each, kept=estimate(kept), joint=estimate(chance), drives=figures))
    return made


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"permission": (0.9, 0.0)}, f"No training-side countermeasure removes {AVOID}"),
        ({"permission": (0.9, 0.0)}, "only permissions do"),
        ({"permission": (0.9, 0.0)}, "No single countermeasure suffices"),
        ({"training": (0.9, 0.0), "permission": (0.9, 0.0)}, "permissions are not the only way"),
        ({"training": (0.2, 0.0)}, f"Nothing that was tried removes {AVOID}"),
        ({"pair": (0.9, 0.0)}, "pairs the best that suffices"),
        ({"reference": (1.0, 0.0)}, "there is nothing to counter"),
    ],
)
def test_the_findings_follow_from_the_figures(found, own, words):
    """Which drives only permissions remove, whether one suffices, where nothing does."""
    said = findings_of(remade(found, own), found.drives, limit=0.05, useful_from=0.5)
    assert any(words in sentence for sentence in said)


def test_what_makes_a_drive_worse_is_named(found):
    """Against what a plain optimal agent does."""
    made = remade(found, {"reference": (1.0, 0.2), "training": (1.0, 0.9)})
    said = findings_of(made, found.drives, limit=0.05, useful_from=0.5)
    assert any(sentence.startswith(f"Some make {AVOID} worse, against 20%") for sentence in said)


def test_an_accepted_drive_is_not_counted():
    """It may be acted on; the joint figure leaves it out."""
    manifest = tiny(accepts={AVOID: {"why": "a test", "until": "9999-01-01"}})
    found = countermeasures(parsed(manifest), goals=4, quick=True)
    assert found.accepted == (AVOID,)
    assert "nothing to counter" in found.findings[0]


@pytest.mark.slow
def test_the_reference_shows_a_success_and_a_failure():
    """A countermeasure removes a drive at a stated loss; others fail, and some backfire."""
    loaded = load_deployment(ROOT / "examples" / "reference" / "deployment.yaml")
    found = countermeasures(loaded, question=Question("aims", 0), quick=True)
    plain = found.tried[0]
    trained = found.of_side("training", "training, acts named")
    works = [t for t in trained if t.joint.at_most <= found.limit]
    useful = [t for t in works if t.kept.at_least > 0.9]
    assert useful
    assert all(t.kept.value < 1.0 for t in useful)
    assert [t for t in trained if t.joint.at_least > found.limit]
    assert [t for t in works if t.kept.at_most < found.useful_from]
    compute = "resource-acquisition/compute"
    indifferent = named(found, "indifference", "1")
    assert indifferent.drives[compute].at_least > plain.drives[compute].at_most
    assert indifferent.drives[AVOID].value == 0.0
