"""Records: what a manifest may hold, key by key."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from small_manifest import load, problems

from corrigible.deployment.records import Acceptance, Asset, Server, StatedGoal, Tool

WHERE = [
    ({}, "localhost"),
    ({"command": ["x"]}, "localhost"),
    ({"command": ["x"], "host": "Build-1."}, "build-1"),
    ({"host": "127.0.0.1"}, "localhost"),
    ({"url": "https://A.example:8443/mcp"}, "a.example"),
    ({"url": "https://user@a.example/mcp"}, "a.example"),
    ({"url": "http://a.example?x=b/c@d"}, "a.example"),
    ({"url": "http://127.0.0.2:80"}, "localhost"),
    ({"url": "http://[::1]:80/x"}, "localhost"),
    ({"url": "http://[2001:db8::1]/x"}, "[2001:db8::1]"),
    ({"url": "http://localhost./x"}, "localhost"),
]


@pytest.mark.parametrize(("fields", "host"), WHERE)
def test_a_server_runs_on_the_host_that_its_entry_says(fields, host):
    assert Server.model_validate(fields).where == host


@pytest.mark.parametrize("key", ["root", "home"])
@pytest.mark.parametrize("place", ["srv", "./srv", "~", "~/x"])
def test_where_places_start_must_be_whole(key, place):
    with pytest.raises(ValidationError, match=f"`{key}` must be a whole place, as in /srv"):
        Server.model_validate({key: place})


def test_a_server_has_one_way_in():
    with pytest.raises(ValidationError, match="has `command` or `url`, not both"):
        Server.model_validate({"command": ["x"], "url": "http://x"})


ASSETS = [
    ({"kind": "elsewhere"}, "no asset can be it"),
    ({"kind": "task", "levels": ["one"]}, "needs two levels or more, lowest first"),
    ({"kind": "task", "levels": ["a", "b", "a"]}, "must not repeat, got 'a' twice"),
    ({"kind": "oversight/stop", "levels": ["a", "b"]}, "it has no `levels`"),
    ({"kind": "task", "start": "gone"}, "`start` must be one of its levels, got 'gone'"),
    ({"kind": "access", "drift": 0.1}, "`drift` belongs to a task asset, this is access"),
    ({"kind": "task", "wear": 0.1}, "`wear` belongs to a bystander asset, this is task"),
    ({"kind": "task", "caps": {"x": "y"}}, "`caps` belongs to an oversight/limit organ"),
]


@pytest.mark.parametrize(("fields", "words"), ASSETS)
def test_an_asset_fits_its_kind(fields, words):
    with pytest.raises(ValidationError, match=words):
        Asset.model_validate(fields)


LEVELS = [
    ([1, 2, 4], ("1", "2", "4")),
    ([1000000, 1000001], ("1000000", "1000001")),
    ([0.1, 1.0, 123456789.5], ("0.1", "1", "123456789.5")),
]


@pytest.mark.parametrize(("levels", "texts"), LEVELS)
def test_levels_written_as_numbers_stay_apart(levels, texts):
    assert Asset.model_validate({"kind": "task", "levels": levels}).levels == texts


def test_an_asset_starts_lowest_and_a_bystander_highest():
    assert Asset.model_validate({"kind": "access"}).start_level == 0
    assert Asset.model_validate({"kind": "bystander/law"}).start_level == 1
    assert Asset.model_validate({"kind": "access", "start": "held"}).start_level == 1


@pytest.mark.parametrize("until", [2027, 86400, "86400", "2027-13-01", "2027-W01-1", 1.5, True])
def test_an_acceptance_ends_on_a_day(until):
    with pytest.raises(ValidationError):
        Acceptance.model_validate({"why": "x", "until": until})


def test_a_day_is_read_as_it_is_written():
    until = Acceptance.model_validate({"why": "x", "until": "2027-03-01"}).until
    assert until == date(2027, 3, 1)


@pytest.mark.parametrize("number", [True, -1, float("nan"), float("inf"), "many", None])
def test_a_cost_is_a_number_and_no_switch(number):
    with pytest.raises(ValidationError):
        Tool.model_validate({"verbs": ["read"], "cost": {"usd": number}})


@pytest.mark.parametrize("utility", [True, -0.1, 1.1, float("nan")])
def test_a_utility_is_between_zero_and_one(utility):
    with pytest.raises(ValidationError):
        StatedGoal.model_validate({"tasks": {"x": [utility, 1]}})


def test_a_sandbox_is_for_tools_that_run():
    with pytest.raises(ValidationError, match="its verbs hold no `run`"):
        Tool.model_validate({"verbs": ["read"], "sandbox": {"x": "**"}})


def test_a_record_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        load().deployment.name = "other"


def test_rates_that_nobody_stated_are_ranges():
    rates = load().deployment.rates()
    assert str(rates["oversight.detection"]) == "0.1..0.9"
    assert str(rates["assets.release.drift"]) == "0.0..0.05"
    assert str(rates["agent.horizon"]) == "40.0"


@pytest.mark.parametrize("switch", ["true", "1.5", "'1'", "null", "[1]", "2"])
def test_the_format_is_number_one(switch):
    (problem,) = problems(corrigible=switch)
    assert problem.startswith("m.yaml:1:13: corrigible: must be ")


@given(st.lists(st.integers(0, 10**12) | st.floats(0, 1e9), min_size=2, max_size=5, unique=True))
def test_distinct_numbers_are_distinct_levels(levels):
    """Where 15 digits tell them apart."""
    if len({f"{level:.15g}" for level in levels}) == len(levels):
        assert len(set(Asset.model_validate({"kind": "task", "levels": levels}).scale)) == len(
            levels
        )
