"""Budgets are taken all or nothing, exactly, by any number of threads, and never given back."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corrigible.guard.budgets import Budgets, exceeds


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


SHARES = st.dictionaries(
    st.sampled_from(["calls", "usd", "acquire replicas"]),
    st.floats(0, 5, allow_nan=False) | st.sampled_from([0.1, 0.2, 0.3]),
)
LIMITS = st.dictionaries(st.sampled_from(["calls", "usd", "acquire replicas"]), st.floats(0, 8))


@given(LIMITS, st.lists(SHARES, max_size=20))
def test_what_is_used_never_passes_a_limit(limits, shares):
    budgets = Budgets(limits)
    for share in shares:
        before = budgets.used()
        refused = budgets.reserve(share)
        after = budgets.used()
        assert refused is None or (refused in limits and after == before)
        assert all(after.get(key, 0) <= limits[key] for key in limits)
        assert all(after[key] >= before[key] for key in before)


@given(LIMITS, st.dictionaries(st.sampled_from(["calls", "usd"]), st.floats(0, 1)), SHARES)
def test_a_smaller_budget_never_lets_more_through(limits, factors, share):
    smaller = {key: limit * factors.get(key, 1.0) for key, limit in limits.items()}
    if Budgets(smaller).reserve(share) is None:
        assert Budgets(limits).reserve(share) is None


def test_attack_13_many_small_shares_come_to_their_sum():
    budgets = Budgets({"usd": 1.0})
    taken = sum(budgets.reserve({"usd": 0.1}) is None for _ in range(50))
    assert taken == 10
    assert budgets.used() == {"usd": 1.0}


@pytest.mark.parametrize("share", [-1.0, -1e-9, math.nan, math.inf, -math.inf])
def test_attack_13_a_share_that_would_give_back_is_refused(share):
    budgets = Budgets({"usd": 1.0})
    assert budgets.reserve({"usd": share}) == "usd"
    assert budgets.used() == {"usd": 0.0}


def test_all_or_nothing():
    budgets = Budgets({"calls": 10, "usd": 1})
    assert budgets.reserve({"calls": 1, "usd": 2}) == "usd"
    assert budgets.used() == {"calls": 0.0, "usd": 0.0}


def test_attack_13_calls_in_parallel_do_not_race_the_counter():
    budgets = Budgets({"calls": 500, "usd": 40})
    ready = threading.Barrier(8)

    def spend(_):
        ready.wait()
        return sum(budgets.reserve({"calls": 1, "usd": 0.1}) is None for _ in range(200))

    with ThreadPoolExecutor(8) as pool:
        let_through = sum(pool.map(spend, range(8)))
    assert let_through == 400
    assert budgets.used() == {"calls": 400.0, "usd": 40.0}


def test_hours_run_by_the_clock_from_the_first_call():
    clock = Clock()
    budgets = Budgets({"hours": 2}, clock=clock)
    clock.now += 100 * 3600
    assert budgets.reserve({}) is None
    clock.now += 7199
    assert budgets.reserve({}) is None
    clock.now += 1
    assert budgets.reserve({}) == "hours"
    assert budgets.used() == {"hours": 2.0}


def test_a_clock_that_steps_back_gives_no_time_back():
    clock = Clock()
    budgets = Budgets({"hours": 1}, clock=clock)
    budgets.reserve({})
    clock.now += 1800
    assert budgets.used() == {"hours": 0.5}
    clock.now -= 900
    assert budgets.used() == {"hours": 0.5}
    clock.now += 1800
    assert budgets.reserve({}) == "hours"


def test_a_restart_takes_up_what_was_used():
    clock = Clock()
    budgets = Budgets({"calls": 3, "hours": 2}, clock=clock)
    budgets.restore({"calls": 2}, 1.5)
    assert budgets.reserve({"calls": 1}) is None
    assert budgets.reserve({"calls": 1}) == "calls"
    clock.now += 1800
    assert budgets.reserve({}) == "hours"


def test_smaller_budgets_count_what_was_used_under_larger_ones():
    """Also what no budget limited then."""
    old = Budgets({"calls": 10})
    old.reserve({"calls": 4, "usd": 3})
    new = Budgets({"calls": 5, "usd": 3}).restored(old.used())
    assert new.reserve({"calls": 2}) == "calls"
    assert new.reserve({"calls": 1, "usd": 0.1}) == "usd"
    assert new.reserve({"calls": 1}) is None


def test_restoring_never_lowers():
    budgets = Budgets({"calls": 5})
    budgets.restore({"calls": 4})
    budgets.restore({"calls": -4}, -3)
    assert budgets.used() == {"calls": 4.0}


def test_what_is_no_number_exceeds():
    assert exceeds(math.nan, 1, 10)
    assert exceeds(0, math.inf, 10)
    assert not exceeds(0.1, 0.2, 0.3)
