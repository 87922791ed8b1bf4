"""Bounds, required n, power and retries: published figures, scipy's own, and by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from corrigible.case.bounds import (
    UPPER_BY,
    chance_of_one,
    clean_episodes,
    correlation,
    design_effect,
    judged_upper,
    lower,
    power_curve,
    required,
    retry_inflation,
    sensitivity_bound,
    sequential_bound,
    spent_alpha,
    upper,
)
from corrigible.errors import EvidenceError
from corrigible.probe.sequential import EProcess
from corrigible.quantiles import beta_quantile

RATES = (0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.001, 0.0001)
COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.975, 0.99])


# -- figures that are known ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "known"),
    [
        (0.90, [22, 45, 76, 114, 230, 460, 2302, 23025]),
        (0.95, [29, 59, 99, 149, 299, 598, 2995, 29956]),
        (0.99, [44, 90, 152, 228, 459, 919, 4603, 46050]),
    ],
)
def test_so_many_trials_without_an_event_exclude_a_rate(level, known):
    """Also by the closed form: the smallest n with (1 - p)^n <= 1 - level."""
    assert [required(rate, level=level) for rate in RATES] == known
    assert known == [math.ceil(math.log(1 - level) / math.log1p(-rate)) for rate in RATES]


@pytest.mark.parametrize(
    ("rate", "known"),
    [
        (0.05, [59, 93, 124, 153, 181, 208]),
        (0.01, [299, 473, 628, 773, 913, 1049]),
        (0.001, [2995, 4742, 6294, 7752, 9151, 10511]),
    ],
)
def test_so_many_trials_with_k_events_exclude_a_rate(rate, known):
    assert [required(rate, events=k) for k in range(6)] == known


def test_the_bounds_at_none_in_300_differ_by_method():
    """The exact one is the largest that is no nonsense; the normal one is nonsense."""
    found = {name: bound(0, 300, 0.95) for name, bound in UPPER_BY.items()}
    assert found == pytest.approx({
        "Clopper-Pearson": 0.00994, "Wilson": 0.00894, "Jeffreys": 0.00638,
        "uniform prior": 0.00990, "normal": 0.0,
    }, abs=5e-6)  # fmt: skip
    two_sided = {name: bound(0, 300, 0.975) for name, bound in UPPER_BY.items()}
    assert two_sided["Clopper-Pearson"] == pytest.approx(0.0122, abs=5e-5)
    assert two_sided["Wilson"] == pytest.approx(0.0126, abs=5e-5)


def test_retrying_until_green_lets_more_and_more_slip():
    assert [round(100 * retry_inflation(0.05, t)) for t in (1, 3, 5, 10)] == [5, 14, 23, 40]


def test_alpha_split_over_the_plan_is_spent_once_and_past_it_grows_like_a_logarithm():
    assert [spent_alpha(0.05, 3, t) for t in (0, 1, 2, 3)] == pytest.approx(
        [0.05 / 3, 0.05 / 3, 0.1 / 3, 0.05]
    )
    assert spent_alpha(0.05, 1, 10) == pytest.approx(0.05 * sum(1 / k for k in range(1, 11)))
    assert spent_alpha(0.05, 1, 10) < retry_inflation(0.05, 10) / 2


def test_a_good_agent_may_fail_a_small_gate():
    passes = {power.rate: power.passes for power in power_curve(0.01, 299)}
    assert passes[0.001] == pytest.approx(0.74, abs=0.005)
    assert passes[0.0005] == pytest.approx(0.86, abs=0.005)
    assert (passes[0.0], passes[0.01] <= 0.05) == (1.0, True)


def test_an_e_process_stops_a_sixth_later_than_the_fixed_n():
    assert (clean_episodes(0.05), clean_episodes(0.01)) == (69, 352)
    assert sequential_bound(0, 351, error=0.05) > 0.01 >= sequential_bound(0, 352, error=0.05)


def test_runs_of_one_scenario_count_for_less():
    alike = (0.1, 0.3, 0.5, 1.0)
    found = [required(0.01, effect=design_effect(10, icc)) for icc in alike]
    assert found == [569, 1107, 1645, 2990]


def test_a_judge_that_misses_some_raises_the_bound():
    """48 of 50 known events seen, none judged in 400: 1.0 % becomes 0.95 % of what is true."""
    found = judged_upper(0, 400, detected=48, of=50)
    assert found.sensitivity == pytest.approx(0.842, abs=5e-4)
    assert found.apparent == pytest.approx(0.0080, abs=5e-5)
    assert found.bound == pytest.approx(0.0095, abs=5e-5)
    assert sensitivity_bound(48, 50) == found.sensitivity
    assert judged_upper(0, 400, detected=0, of=50).bound == 1.0


def test_a_small_rate_over_many_exposures_happens():
    assert chance_of_one(0.001, 1000) == pytest.approx(0.632, abs=5e-4)


# -- laws ---------------------------------------------------------------------------------------


@given(COUNTS, LEVELS)
def test_the_exact_bounds_are_scipys(counts, level):
    events, n = counts
    one_sided = stats.binomtest(events, n, alternative="less").proportion_ci(level, "exact")
    assert upper(events, n, level=level) == pytest.approx(one_sided.high, abs=1e-9)
    other = stats.binomtest(events, n, alternative="greater").proportion_ci(level, "exact")
    assert lower(events, n, level=level) == pytest.approx(other.low, abs=1e-9)
    if 0 < events < n:
        own = beta_quantile(level, events + 1, n - events)
        assert upper(events, n, level=level) == pytest.approx(own, abs=1e-8)


@given(COUNTS, LEVELS)
def test_wilsons_bound_is_scipys(counts, level):
    events, n = counts
    known = stats.binomtest(events, n).proportion_ci(2 * level - 1, "wilson").high
    assert UPPER_BY["Wilson"](events, n, level) == pytest.approx(known, abs=1e-9)


@given(COUNTS, LEVELS)
def test_an_event_more_raises_both_bounds_and_a_trial_more_lowers_them(counts, level):
    events, n = counts
    assert upper(events, n, level=level) >= upper(events, n + 1, level=level)
    assert lower(events, n, level=level) >= lower(events, n + 1, level=level)
    if events < n:
        assert upper(events, n, level=level) <= upper(events + 1, n, level=level)
        assert lower(events, n, level=level) <= lower(events + 1, n, level=level)
    assert lower(events, n, level=level) <= events / n <= upper(events, n, level=level)


@given(COUNTS, st.floats(1.0, 20.0))
def test_a_design_effect_only_widens(counts, effect):
    events, n = counts
    wide = upper(events / effect, n / effect)
    assert wide >= upper(events, n) - 1e-12
    assert lower(events / effect, n / effect) <= lower(events, n) + 1e-12


@given(st.integers(0, 20), st.integers(0, 40), st.integers(1, 40))
def test_a_judge_never_lowers_a_bound(events, detected, of):
    detected = min(detected, of)
    assert judged_upper(events, 400, detected=detected, of=of).bound >= upper(events, 400)


@given(st.floats(0.001, 0.5), st.integers(0, 5), LEVELS)
def test_the_required_n_is_the_first_that_does_it(limit, events, level):
    n = required(limit, events=events, level=level)
    assert upper(events, n, level=level) <= limit
    assert n - 1 == events or upper(events, n - 1, level=level) > limit


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_what_an_e_process_excludes_is_wider_than_the_fixed_bound(counts):
    """Being valid at any time costs something."""
    events, n = counts
    bound = sequential_bound(events, n, error=0.05)
    assert bound >= upper(events, n, level=0.95) - 1e-5
    if bound < 1:
        assert EProcess(min(bound * 1.001, 1 - 1e-12), n=n, events=events).e >= 20


@pytest.mark.parametrize(("events", "n"), [(1, 0), (-1, 3), (4, 3)])
def test_impossible_counts_are_refused(events, n):
    with pytest.raises(EvidenceError, match="0 <= events <= n"):
        upper(events, n)


def test_a_level_outside_its_range_is_refused():
    with pytest.raises(EvidenceError, match="level must lie in"):
        lower(1, 3, level=1.0)


def test_likeness_below_nothing_is_none_and_without_events_unknown():
    assert correlation([1, 1, 1, 1], [2, 2, 2, 2]) == 0.0
    assert correlation([0, 0, 0], [5, 5, 5]) is None


# -- by simulation ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.002, 0.01, 0.05])
@pytest.mark.parametrize("n", [59, 299, 1000])
def test_the_exact_bound_covers_and_jeffreys_may_not(rate, n):
    """40,000 samples: the exact bound lies below the true rate in 5 % of them at most."""
    rng = np.random.default_rng([7, n])
    drawn, counts = np.unique(rng.binomial(n, rate, 40_000), return_counts=True)
    missed = sum(c for k, c in zip(drawn, counts, strict=True) if upper(int(k), n) < rate)
    assert missed / 40_000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 40_000)


@pytest.mark.slow
def test_a_judged_bound_covers_with_the_judge_drawn_too():
    """A judge that sees 0.9 of the events, its 50 known ones drawn anew each time."""
    rng = np.random.default_rng(11)
    rate, seen, n, known = 0.02, 0.9, 400, 50
    events, detected = rng.binomial(n, rate * seen, 5000), rng.binomial(known, seen, 5000)
    bounds = {
        (k, d): judged_upper(int(k), n, detected=int(d), of=known).bound
        for k, d in set(zip(events.tolist(), detected.tolist(), strict=True))
    }
    missed = sum(bounds[pair] < rate for pair in zip(events.tolist(), detected.tolist(),
                                                      strict=True))  # fmt: skip
    assert missed / 5000 <= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0.05, 0.01])
def test_an_e_process_that_is_looked_at_all_the_time_errs_in_one_of_twenty(limit):
    """3,000 agents exactly at the limit, each looked at after every episode."""
    rng = np.random.default_rng(3)
    length = round(30 / limit)
    wrong = sum(EProcess(limit).add(rng.random(length) < limit) for _ in range(3000))
    assert wrong / 3000 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 3000)
    low = sum(EProcess(limit).add(rng.random(length) < limit / 5) for _ in range(300))
    assert low / 300 > 0.99


@pytest.mark.slow
def test_splitting_alpha_over_a_plan_keeps_the_whole_within_it():
    """Five tries, each on fresh trials at the limit: one passes in 5 % of the cases at most."""
    rng = np.random.default_rng(5)
    drawn = rng.binomial(299, 0.01, (20_000, 5))
    split = np.vectorize(lambda k: upper(int(k), 299, level=1 - 0.05 / 5) <= 0.01)
    plain = np.vectorize(lambda k: upper(int(k), 299) <= 0.01)
    known = {k: (bool(split(k)), bool(plain(k))) for k in np.unique(drawn)}
    passed = np.array([[known[k] for k in row] for row in drawn])
    assert passed[:, :, 0].any(axis=1).mean() <= 0.05
    assert passed[:, :, 1].any(axis=1).mean() > 0.2
