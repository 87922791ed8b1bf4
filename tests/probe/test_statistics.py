"""The statistics, against published figures and by simulation of their promises."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from corrigible.errors import ProbeError
from corrigible.evidence import share_estimate
from corrigible.probe.sequential import EProcess, clean_episodes
from corrigible.probe.statistics import (
    clustered_share,
    design_effect,
    episodes_for_width,
    holm,
    intraclass_correlation,
    jeffreys_interval,
    mcnemar,
    paired_difference,
    pass_chance,
    recurrence,
    required_episodes,
    upper_bound,
)

# Schlatter, Weinstein-Raun and Ladish 2025 (arXiv 2509.14260): about 1,000 trials a cell.
SHUTDOWN_RESISTANCE = [
    (945, 93.0, 95.8), (926, 90.9, 94.1), (892, 87.2, 91.0), (880, 85.9, 89.9),
    (518, 48.7, 54.9), (58, 4.5, 7.4), (45, 3.3, 5.9), (24, 1.6, 3.5),
]  # fmt: skip


@pytest.mark.parametrize(("events", "low", "high"), SHUTDOWN_RESISTANCE)
def test_jeffreys_intervals_are_the_published_ones(events, low, high):
    found = jeffreys_interval(events, 1000)
    assert (round(100 * found.low, 1), round(100 * found.high, 1)) == (low, high)


@pytest.mark.parametrize(
    ("limit", "needed"),
    [
        (0.05, (59, 93, 124, 153, 181, 208)),
        (0.01, (299, 473, 628, 773, 913, 1049)),
        (0.001, (2995, 4742, 6294, 7752, 9151, 10511)),
    ],
)
def test_so_many_episodes_exclude_a_limit(limit, needed):
    """One-sided, 95 %, with no event up to five."""
    assert tuple(required_episodes(limit, events=k) for k in range(6)) == needed


def test_the_two_sided_interval_needs_a_few_more():
    assert required_episodes(0.01, two_sided=True) == 368
    assert share_estimate(0, 368).high < 0.01 < share_estimate(0, 367).high


@given(st.integers(1, 400), st.data())
def test_the_one_sided_bound_is_that_of_its_needed_episodes(n, data):
    events = data.draw(st.integers(0, n - 1))
    bound = upper_bound(events, n)
    assert stats.binom.cdf(events, n, bound) == pytest.approx(0.05, rel=1e-6)


def test_so_many_episodes_make_an_interval_narrow():
    n = episodes_for_width(0.1)
    assert share_estimate(round(n / 2), n).width <= 0.1
    assert share_estimate(round((n - 3) / 2), n - 3).width > 0.1


def test_a_gate_of_299_passes_only_some_good_agents():
    """True rate 0.1 %: 74 %; 0.05 %: 86 %."""
    assert round(pass_chance(0.001, 299), 2) == 0.74
    assert round(pass_chance(0.0005, 299), 2) == 0.86


def test_five_discordant_pairs_one_way_are_the_fewest_that_tell():
    assert mcnemar(5, 0) / 2 < 0.05 < mcnemar(4, 0) / 2  # one-sided
    assert mcnemar(0, 0) == 1.0


def test_a_paired_difference_is_newcombes():
    """Newcombe 1998, table II: a=36, b=12, c=2, d=0 by method 10 gives 0.2 (0.0569 to 0.3404)."""
    first = np.array([1] * 36 + [1] * 12 + [0] * 2, dtype=bool)
    second = np.array([1] * 36 + [0] * 12 + [1] * 2, dtype=bool)
    found = paired_difference(first, second)
    assert found.estimate.value == pytest.approx(0.2)
    assert found.estimate.low == pytest.approx(0.0569, abs=2e-4)
    assert found.estimate.high == pytest.approx(0.3404, abs=2e-4)
    assert found.p == pytest.approx(2 * stats.binom.cdf(2, 14, 0.5))


@pytest.mark.slow
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_turning_a_pair_round_turns_its_difference_round(pairs):
    one, two = (np.array([p[i] for p in pairs], dtype=bool) for i in (0, 1))
    there, back = paired_difference(one, two), paired_difference(two, one)
    assert there.p == back.p
    if pairs:
        assert there.estimate.value == -back.estimate.value
        assert there.estimate.low == pytest.approx(-back.estimate.high)


def test_arms_of_different_length_are_no_pairs():
    with pytest.raises(ProbeError, match="as many episodes"):
        paired_difference(np.ones(3, dtype=bool), np.ones(2, dtype=bool))


def test_holms_p_values_are_those_of_his_step_down():
    assert holm([0.01, 0.04, 0.03]) == (0.03, 0.06, 0.06)
    assert holm([]) == ()


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_value(values):
    adjusted = holm(values)
    assert all(a >= p for a, p in zip(adjusted, values, strict=True))


def test_alike_episodes_of_a_cluster_count_for_less():
    """m = 10 episodes a scenario, correlation 0.1, 0.3, 0.5, 1: 569, 1107, 1645, 2990 for 1 %."""
    needed = [math.ceil(299 * design_effect(10, icc)) for icc in (0.1, 0.3, 0.5, 1)]
    assert needed == [569, 1107, 1645, 2990]


def test_a_clusters_episodes_that_are_all_alike_have_correlation_one():
    events, sizes = np.array([0, 5, 5, 0]), np.array([5, 5, 5, 5])
    assert intraclass_correlation(events, sizes) == pytest.approx(1.0)
    assert intraclass_correlation(np.zeros(4, dtype=int), sizes) is None


def test_without_an_event_the_cluster_is_the_unit():
    found = clustered_share(np.zeros(20, dtype=int), np.full(20, 50))
    assert found.value == 0.0
    assert found.high == share_estimate(0, 20).high


@pytest.mark.slow
def test_a_clustered_interval_covers_where_clusters_differ():
    """Every cluster is all or nothing: an interval over episodes would cover seldom."""
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(1000):
        events = 10 * (rng.random(60) < 0.3)
        found = clustered_share(events.astype(np.int64), np.full(60, 10))
        covered += found.low <= 0.3 <= found.high
    assert covered / 1000 > 0.93


def test_recurrence_counts_goals_not_episodes():
    found = recurrence(np.array([True, True, False, False]), np.array([0, 0, 1, 1]))
    assert (found.value, found.n) == (0.5, 2)


# -- stopping early ------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "n"), [(0.05, 69), (0.01, 352)])
def test_a_clean_run_stops_early(limit, n):
    assert clean_episodes(limit) == n


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.05, 0.01])
def test_looking_after_every_episode_keeps_the_error(limit):
    """10,000 runs at the limit itself, looked at after each of 1,000 episodes."""
    rng = np.random.default_rng(11)
    wrong = sum(EProcess(limit).add(rng.random(1000) < limit) for _ in range(10_000))
    assert wrong / 10_000 < 0.05


def test_an_agent_far_below_the_limit_is_cleared_nearly_always():
    rng = np.random.default_rng(3)
    cleared = sum(EProcess(0.05).add(rng.random(600) < 0.01) for _ in range(200))
    assert cleared >= 190


@pytest.mark.slow
@given(st.lists(st.booleans(), max_size=200))
def test_an_e_process_does_not_care_how_it_is_fed(events):
    whole, single = EProcess(0.05), EProcess(0.05)
    whole.add(events)
    for event in events:
        single.add([event])
    assert whole.e == single.e
    assert whole.excluded == single.excluded


def test_many_clean_episodes_do_not_overflow():
    process = EProcess(0.05)
    assert process.add(np.zeros(100_000, dtype=bool))
    assert np.isfinite(process.e)


@pytest.mark.parametrize("limit", [0, 1, -0.1])
def test_a_limit_must_leave_something_to_exclude(limit):
    with pytest.raises(ProbeError, match="must lie in"):
        EProcess(limit)
