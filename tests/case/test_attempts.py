"""The ledger of attempts: written before the run, closed once, never undone."""

import pytest
from made_gates import HOUR, NAME, NOW, OF_AGENT, attempt_of, record_of, trials

from corrigible.case.attempts import (
    close_attempt,
    open_attempt,
    read_attempts,
    unaccounted,
)
from corrigible.errors import EvidenceError
from corrigible.evidence import Attachment, EvidenceStore


@pytest.fixture
def store(tmp_path):
    with EvidenceStore(tmp_path / "x.evidence.sqlite") as opened:
        yield opened


def begun(store, **asked):  # noqa: ANN003
    return open_attempt(
        store, "propensity", deployment="bot", digests=OF_AGENT,
        **{"agent": NAME, "seed": 1, "plan": {"episodes": 400}, "now": NOW, **asked},
    )  # fmt: skip


def read(store):
    return read_attempts(store.attachments("attempt"))


def test_an_attempt_that_is_never_closed_counts_as_aborted(store):
    attempt = begun(store)
    assert read(store) == (attempt,)
    assert (attempt.state, attempt.why, attempt.played) == ("aborted", "never closed", None)
    assert unaccounted(read(store)) == (attempt,)


def test_a_closed_attempt_names_its_records_and_the_first_closing_counts(store):
    record = record_of(trials(0, 10))
    attempt = begun(store)
    done = close_attempt(store, attempt, [record], played=10)
    close_attempt(store, attempt, [], state="aborted", why="later thought better of")
    assert read(store) == (done,)
    assert (done.state, done.records, done.played) == ("done", (record.id,), 10)
    assert unaccounted(read(store)) == ()


def test_two_attempts_alike_are_two(store):
    assert begun(store).id != begun(store).id
    assert len(read(store)) == 2


def test_the_agents_name_may_be_known_only_at_the_end(store):
    close_attempt(store, begun(store, agent=""), [], agent="acme/late")
    assert read(store)[0].agent == "acme/late"


def test_figures_that_were_not_kept_leave_the_attempt_open(store):
    attempt = close_attempt(store, begun(store), [], why="its figures were not kept")
    assert unaccounted(read(store)) == (attempt,)
    refused = close_attempt(store, begun(store), [], state="aborted", played=0, why="refused")
    assert refused not in unaccounted(read(store))


@pytest.mark.parametrize(
    ("changed", "made_good"),
    [({}, True), ({"seed": 2}, False), ({"plan": {"episodes": 100}}, False),
     ({"agent": "b"}, False), ({"drives": ("power-seeking/delegate",)}, False)],
)  # fmt: skip
def test_only_the_same_plan_played_to_its_end_makes_an_attempt_good(store, changed, made_good):
    lost = begun(store)
    close_attempt(store, begun(store, now=NOW + HOUR, **changed), [record_of(trials(0, 10))])
    assert (lost not in unaccounted(read(store))) is made_good


def test_an_attempt_covers_the_drives_it_named_or_all():
    assert attempt_of([]).covers("x")
    assert not attempt_of([], drives=("y",)).covers("x")


@pytest.mark.parametrize(
    "body",
    ["", "[]", "{}", '{"closes":"sha256:0"}', '{"kind":"propensity"}', '{"closes":[]}'],
)
def test_what_is_no_attempt_is_an_error_that_names_it(body):
    odd = Attachment("attempt", body)
    with pytest.raises(EvidenceError, match="must be an attempt"):
        read_attempts([odd])


def test_an_attempt_ends_in_one_of_two_ways(store):
    attempt = begun(store)
    with pytest.raises(EvidenceError, match="an attempt must be"):
        close_attempt(store, attempt, [], state="won")
