"""Evidence: intervals that cover, records that cannot be changed, a store that only grows."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.drives import DRIVES, FAMILIES
from corrigible.errors import EvidenceError
from corrigible.evidence import (
    ALL_DRIVES,
    EVIDENCE_KINDS,
    Digests,
    Estimate,
    EvidenceStore,
    Record,
    Unscored,
    exact_estimate,
    is_stale,
    mean_estimate,
    not_measured,
    parse_record,
    record_json,
    share_estimate,
    software_digest,
    store_path,
)
from corrigible.quantiles import beta_quantile

MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EXPIRES = MADE + timedelta(days=90)
DIGESTS = Digests(manifest="a" * 64, world="b" * 64, software="c" * 64, lock="d" * 64)


def record(seed=1, **changed):  # noqa: ANN003
    """A record as an audit makes it; `changed` replaces fields."""
    made = Record(
        kind="incentive",
        drive="self-preservation/avoid-shutdown",
        measure="share/aims",
        estimate=share_estimate(1724, 2000, possible=1730),
        digests=DIGESTS,
        method="optimal policies of 2000 goals",
        seed=seed,
        command="corrigible audit deployment.yaml",
        made=MADE,
        expires=EXPIRES,
        unscored=(Unscored("out of sweeps", 3),),
    )
    return replace(made, **changed)


# -- estimates -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 20, 0.0, 1 - 0.025 ** (1 / 20)),  # closed forms at the ends
        (20, 20, 0.025 ** (1 / 20), 1.0),
        (0, 1, 0.0, 0.975),
        (5, 20, 0.0866, 0.4910),  # Brown, Cai and DasGupta 2001, table of exact intervals
        (1, 10, 0.0025, 0.4450),
        (81, 263, 0.2527, 0.3676),  # Newcombe 1998, table I, method 5
        (15, 148, 0.0578, 0.1617),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_a_shares_interval_is_the_published_one(successes, n, low, high):
    """Clopper and Pearson's interval, to the four places that the tables give."""
    estimate = share_estimate(successes, n)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=6e-5)
    assert (estimate.value, estimate.n) == (successes / n, n)


@pytest.mark.slow
@given(st.floats(1e-6, 1 - 1e-6), st.floats(1, 1e6), st.floats(1, 1e6))
def test_the_beta_quantile_is_scipys(p, a, b):
    """Within 1e-9 of scipy, for a and b up to a million."""
    special = pytest.importorskip("scipy.special")
    assert abs(beta_quantile(p, a, b) - special.betaincinv(a, b, p)) < 1e-9


@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.93])
def test_a_shares_interval_covers_in_19_of_20_samples(share):
    """The promise of the interval itself, summed exactly over every sample of 60 cases."""
    from math import comb  # noqa: PLC0415

    n, covered = 60, 0.0
    for k in range(n + 1):
        estimate = share_estimate(k, n)
        if estimate.low <= share <= estimate.high:
            covered += comb(n, k) * share**k * (1 - share) ** (n - k)
    assert covered >= 0.95


@pytest.mark.slow
@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 300))
def test_undecided_cases_widen_upwards_only(successes, undecided, rest):
    """The interval reaches from the fewest successes' lower end to the most successes' upper."""
    n = successes + undecided + rest
    wide = share_estimate(successes, n, possible=successes + undecided)
    assert wide.low == share_estimate(successes, n).low
    assert wide.high == share_estimate(successes + undecided, n).high


@pytest.mark.slow
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50), st.floats(0, 10))
def test_a_means_interval_is_the_normal_one_and_the_slack(values, slack):
    """mean ± (1.96 s / √n + slack), against the standard library's statistics."""
    from statistics import mean, stdev  # noqa: PLC0415

    n = len(values)
    estimate = mean_estimate(sum(values), sum(v * v for v in values), n, slack=slack)
    half = 1.959963984540054 * stdev(values) / n**0.5 + slack
    assert estimate.value == pytest.approx(mean(values), abs=1e-6)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(half, abs=1e-4)


@pytest.mark.parametrize(
    "estimate", [not_measured(7), share_estimate(0, 0), mean_estimate(0.3, 0.09, 1)]
)
def test_what_was_not_measured_has_no_value(estimate):
    """Nothing measured is None in all three parts: never a zero."""
    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert not estimate.measured


def test_an_exact_value_is_its_own_interval():
    """What was computed over all there is has no spread."""
    assert exact_estimate(0.25, 4) == Estimate(0.25, 0.25, 0.25, 4, "exact")


@pytest.mark.parametrize(
    "parts",
    [
        (0.5, None, 0.6, 10, "m"),
        (None, 0.1, None, 10, "m"),
        (0.5, 0.6, 0.7, 10, "m"),
        (float("nan"), 0.0, 1.0, 10, "m"),
        (0.5, 0.0, float("inf"), 10, "m"),
        (0.5, 0.4, 0.6, 0, "m"),
        (0.5, 0.4, 0.6, True, "m"),
        (0.5, 0.4, 0.6, -1, "m"),
        (0.5, 0.4, 0.6, 10, " "),
        ("0.5", 0.4, 0.6, 10, "m"),
    ],
)
def test_an_estimate_is_whole_or_refused(parts):
    """A value never stands without its interval, its n and how it was made."""
    with pytest.raises(EvidenceError, match="must be"):
        Estimate(*parts)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: share_estimate(5, 4),
        lambda: share_estimate(3, 10, possible=2),
        lambda: share_estimate(-1, 4),
        lambda: mean_estimate(10.0, 1.0, 4),  # no four numbers have these sums
        lambda: mean_estimate(1.0, 1.0, 4, slack=-0.1),
        lambda: mean_estimate(float("nan"), 1.0, 4),
        lambda: beta_quantile(1.0, 2, 2),
    ],
)
def test_counts_that_contradict_each_other_are_refused(wrong):
    """An estimate of impossible counts would look like a measurement."""
    with pytest.raises(EvidenceError, match="got"):
        wrong()


def test_counts_from_numpy_are_counts():
    """A sum over an array of booleans is taken as it comes, and kept as a plain number."""
    np = pytest.importorskip("numpy")
    estimate = share_estimate(np.array([True, False, True]).sum(), np.int64(3))
    assert estimate == share_estimate(2, 3)
    assert type(estimate.n) is int
    assert type(exact_estimate(np.float32(0.5), 1).value) is float


# -- records -------------------------------------------------------------------------------

texts = st.text(min_size=1).filter(str.strip)
finite = st.floats(allow_nan=False, allow_infinity=False)
moments = st.integers(0, 10**11).map(lambda s: datetime.fromtimestamp(s, timezone(3 * HOUR)))
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
estimates = st.one_of(
    st.builds(not_measured, st.integers(0, 10**6)),
    st.builds(
        lambda parts, n, method: Estimate(*(sorted(parts)[i] for i in (1, 0, 2)), n, method),
        st.tuples(finite, finite, finite),
        st.integers(1, 10**6),
        texts,
    ),
)
records = st.builds(
    lambda made, lasts, **rest: Record(made=made, expires=made + lasts, **rest),
    made=moments,
    lasts=st.timedeltas(timedelta(microseconds=1), timedelta(days=10**5)),
    kind=st.sampled_from(EVIDENCE_KINDS),
    drive=st.sampled_from((*DRIVES, *FAMILIES, ALL_DRIVES)),
    measure=st.from_regex(r"[a-z0-9]+([./_-][a-z0-9]+)*", fullmatch=True),
    estimate=estimates,
    digests=st.builds(Digests, digests, digests, digests, st.none() | digests, st.none() | digests),
    method=texts,
    seed=st.none() | st.integers(0, 2**128),
    command=texts,
    unscored=st.lists(st.builds(Unscored, texts, st.integers(1, 9999)), max_size=3).map(tuple),
)


@pytest.mark.slow
@given(records)
def test_a_record_written_and_parsed_is_the_same(made):
    """Save then load is the identity, down to the id."""
    again = parse_record(record_json(made))
    assert again == made
    assert again.id == made.id


@pytest.mark.slow
@settings(max_examples=20)  # each is a few flushes to the disk
@given(st.lists(records, max_size=8))
def test_a_stores_records_come_back_as_they_went_in(made):
    """Through the file and back: every record once, in the order in which it was first added."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.evidence.sqlite"
        with EvidenceStore(path) as store:
            store.add_all(made)
            store.add_all(made)
        with EvidenceStore(path) as store:
            assert store.records() == tuple(dict.fromkeys(made))


@pytest.mark.parametrize(
    "changed",
    [
        {"estimate": share_estimate(1724, 2001)},
        {"digests": replace(DIGESTS, lock=None)},
        {"seed": None},
        {"made": MADE + timedelta(microseconds=1)},
        {"unscored": ()},
        {"command": "corrigible audit other.yaml"},
    ],
)
def test_every_field_makes_the_id(changed):
    """Two records that differ anywhere have different ids; equal ones the same."""
    assert record(**changed).id != record().id
    assert record().id == record().id


def test_the_same_moment_in_another_zone_is_the_same_record():
    """Times are kept in UTC, so that a record's id does not depend on where it was made."""
    there = MADE.astimezone(timezone(timedelta(hours=-7)))
    assert record(made=there).id == record().id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "hunch"),
        ("drive", "self-preservation/avoid-shutdwon"),
        ("measure", "Share of goals"),
        ("measure", 5),
        ("estimate", 0.5),
        ("method", ""),
        ("command", None),
        ("seed", True),
        ("seed", -1),
        ("made", MADE.replace(tzinfo=None)),
        ("expires", MADE),
        ("unscored", ("lost",)),
    ],
)
def test_a_field_that_breaks_its_rule_is_named(field, value):
    """The error says which field, what rule, and what came."""
    with pytest.raises(EvidenceError, match=rf"^{field}.* must be .*, got "):
        record(**{field: value})


@pytest.mark.parametrize("wrong", ["", "sha1:" + "a" * 64, "A" * 64, None, 7])
def test_a_digest_is_a_sha256(wrong):
    """What a record rests on is named by a digest, or the record is refused."""
    with pytest.raises(EvidenceError, match=r"digests\.world must be"):
        replace(DIGESTS, world=wrong)


def test_a_bare_digest_and_a_prefixed_one_are_one():
    """A world's digest is bare, a manifest's is prefixed: they compare all the same."""
    assert replace(DIGESTS, world="b" * 64) == replace(DIGESTS, world="sha256:" + "b" * 64)


@given(st.integers(0), st.characters())
def test_any_changed_character_is_detected(where, character):
    """No single character of a record's text can be changed without its being noticed."""
    text = record_json(record())
    where %= len(text)
    changed = text[:where] + character + text[where + 1 :]
    if changed != text:
        with pytest.raises(EvidenceError, match=r"record|JSON"):
            parse_record(changed)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", '{"id": 1}', "[" * 9000, '{"id":"x","made":7}']
)
def test_a_text_that_is_no_record_is_refused(text):
    """Whatever is read, the error is one of evidence."""
    with pytest.raises(EvidenceError, match="must be one record in JSON"):
        parse_record(text)


# -- staleness -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["manifest", "world", "software", "lock"])
def test_a_changed_digest_makes_it_stale(name):
    """Evidence on another manifest, lock, world or software says nothing about this one."""
    now = replace(DIGESTS, **{name: "e" * 64})
    assert is_stale(record(), now, MADE).startswith(f"{name} changed: measured on ")


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (MADE, None),
        (EXPIRES - timedelta(microseconds=1), None),
        (EXPIRES, "expired on 2026-05-30 12:00 UTC"),
        (MADE - timedelta(seconds=1), "made in the future, on 2026-03-01 12:00 UTC"),
    ],
)
def test_a_record_counts_from_when_it_was_made_until_it_expires(now, reason):
    """The end is the first moment at which it supports nothing."""
    said = is_stale(record(), DIGESTS, now)
    assert said == reason or said.startswith(reason)


@pytest.mark.parametrize(
    ("measured", "deployed", "stale"),
    [("e", "e", False), ("e", "f", True), ("e", None, True), (None, "f", False)],
)
def test_a_record_of_one_agent_says_nothing_of_another(measured, deployed, stale):
    """What was computed without an agent holds for each; what one did, for that one alone."""
    on, now = (replace(DIGESTS, agent=x and x * 64) for x in (measured, deployed))
    assert (is_stale(record(digests=on), now, MADE) is not None) == stale


def test_a_lock_that_came_later_makes_it_stale():
    """Servers that were not reviewed are not the servers that were."""
    before = record(digests=replace(DIGESTS, lock=None))
    assert is_stale(before, DIGESTS, MADE).startswith("lock changed: measured on none")


def test_now_must_say_its_time_zone():
    """A time without its zone would be wrong by hours, silently."""
    with pytest.raises(EvidenceError, match="now must be a datetime with its time zone"):
        is_stale(record(), DIGESTS, MADE.replace(tzinfo=None))


def test_the_softwares_digest_knows_versions_in_any_order():
    """The same software has one digest; another version of a library has another."""
    assert software_digest(["numpy 2", "scipy 1"]) == software_digest(["scipy 1", "numpy 2"])
    assert software_digest(["numpy 2"]) != software_digest(["numpy 3"])


# -- the store -----------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return store_path(tmp_path / "deployment.yaml")


@pytest.fixture
def filled(path):
    with EvidenceStore(path) as store:
        store.add_all([record(1), record(2)])
    return path


def test_the_store_lies_beside_its_manifest():
    """One file, named after the manifest."""
    assert store_path(Path("a/deployment.yaml")) == Path("a/deployment.evidence.sqlite")


def test_adding_twice_adds_once(path):
    """`add` is idempotent, and `add_all` counts what is new."""
    with EvidenceStore(path) as store:
        store.add(record(1))
        assert store.add_all([record(1), record(2), record(2)]) == 1
        assert [r.seed for r in store.records()] == [1, 2]


def test_records_are_found_by_what_they_say(path):
    """Filters narrow; without one everything comes back."""
    kept = [record(), record(kind="reach"), record(drive=ALL_DRIVES), record(measure="gain")]
    with EvidenceStore(path) as store:
        store.add_all(kept)
        assert store.records(kind="reach") == (kept[1],)
        assert store.records(drive=ALL_DRIVES, measure="share/aims") == (kept[2],)
        assert store.records(measure="nothing") == ()


def test_the_latest_is_the_one_made_last(path):
    """Not the one added last; of two made at once, that one."""
    late = MADE + timedelta(days=1)
    with EvidenceStore(path) as store:
        store.add_all([record(1, made=late), record(2, made=late), record(3)])
        assert store.latest(kind="incentive").seed == 2
        assert store.latest(kind="control") is None


@pytest.mark.parametrize(
    "change", ["UPDATE record SET body = ''", "DELETE FROM record", "UPDATE record SET id = 'x'"]
)
def test_the_file_itself_refuses_changes(filled, change):
    """Append-only is a rule of the file, not a habit of this module."""
    never = pytest.raises(sqlite3.IntegrityError, match="evidence is never")
    with closing(sqlite3.connect(filled)) as file, never:
        file.execute(change)


@pytest.mark.parametrize("column", ["id", "seq"])
def test_a_record_cannot_be_replaced(filled, column):
    """INSERT OR REPLACE would delete the old row without asking the trigger on DELETE."""
    with closing(sqlite3.connect(filled)) as file:
        old = file.execute(f"SELECT {column} FROM record").fetchone()[0]  # noqa: S608
        other = "id" if column == "seq" else "seq"
        file.execute(
            f"INSERT OR REPLACE INTO record ({column}, {other}, body) VALUES (?, 9, '')",  # noqa: S608
            (old,),
        )
        assert file.execute("SELECT count(*) FROM record WHERE body = ''").fetchone() == (0,)


@pytest.mark.parametrize(
    "change",
    [
        "body = replace(body, '0.862', '0.001')",
        "body = replace(body, '\"seed\":1', '\"seed\":9')",
        "body = 'gone'",
        "body = CAST(body AS BLOB)",
        "id = 'sha256:0'",
    ],
)
def test_a_changed_row_is_named(filled, change):
    """Whoever drops the triggers and edits a row is found out at the next reading."""
    with closing(sqlite3.connect(filled, isolation_level=None)) as file:
        for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
            file.execute(f"DROP TRIGGER {name}")
        file.execute(f"UPDATE record SET {change} WHERE seq = 1")  # noqa: S608
        (id_,) = file.execute("SELECT id FROM record WHERE seq = 1").fetchone()
    with EvidenceStore(filled) as store, pytest.raises(EvidenceError, match=id_):
        store.records(kind="reach")


def test_a_record_swapped_under_another_id_is_named(filled):
    """A whole record, valid in itself, in another's place is a change too."""
    with closing(sqlite3.connect(filled, isolation_level=None)) as file:
        file.execute("INSERT INTO record (id, body) VALUES ('x', ?)", (record_json(record(3)),))
    named = pytest.raises(EvidenceError, match=r"record x holds record sha256:")
    with EvidenceStore(filled) as store, named:
        store.records()


def test_a_file_that_is_no_database_is_refused(path):
    """The error names the file and says what to do; the file is left as it was."""
    path.write_text("name: not a database\n" * 99)
    with pytest.raises(EvidenceError, match=rf"{path.name}: .*move it away"):
        EvidenceStore(path).__enter__()
    assert path.read_text() == "name: not a database\n" * 99


def test_another_programs_database_is_refused_untouched(path):
    """Somebody's own SQLite file is not turned into an evidence store."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    with pytest.raises(EvidenceError, match="another program's"):
        EvidenceStore(path).__enter__()
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(filled):
    """What a newer version wrote is not guessed at."""
    with closing(sqlite3.connect(filled)) as file:
        file.execute("PRAGMA user_version = 3")
    with pytest.raises(EvidenceError, match="schema 2 or older, got 3: a newer corrigible"):
        EvidenceStore(filled).__enter__()


def test_a_folder_that_is_not_there_is_an_error_of_evidence(tmp_path):
    """Not sqlite3's own, which names no file."""
    with pytest.raises(EvidenceError, match="make the file and its folder writable"):
        EvidenceStore(tmp_path / "none" / "x.evidence.sqlite").__enter__()


AS_NOBODY = """
import os, sys
from pathlib import Path
from corrigible.errors import EvidenceError
from corrigible.evidence import EvidenceStore
if os.getuid() == 0:
    os.setuid(65534)
with EvidenceStore(Path(sys.argv[1]), read_only=True) as store:
    print(len(store.records()))
try:
    EvidenceStore(Path(sys.argv[1])).__enter__()
except EvidenceError as error:
    print(error)
"""


def test_in_a_read_only_folder_reading_works_and_writing_says_what_to_do(filled):
    """A mounted checkout: what is there can be read; the way out of writing is named."""
    with tempfile.TemporaryDirectory() as folder:  # tmp_path lies below folders closed to others
        copy = Path(folder) / filled.name
        copy.write_bytes(filled.read_bytes())
        copy.chmod(0o444)
        Path(folder).chmod(0o555)
        said = subprocess.check_output([sys.executable, "-c", AS_NOBODY, copy], text=True)
        Path(folder).chmod(0o755)
    assert said.startswith("2\n")
    assert f"{copy}: " in said
    assert "make the file and its folder writable" in said


def test_reading_alone_makes_no_file(path):
    """A report of a deployment that was never audited leaves nothing behind."""
    with pytest.raises(EvidenceError, match="got no file; audit first"):
        EvidenceStore(path, read_only=True).__enter__()
    assert not path.exists()


def test_a_store_that_is_not_open_says_so(path):
    """Before `with`, and after it."""
    with EvidenceStore(path) as store, pytest.raises(EvidenceError, match="is open already"):
        store.__enter__()
    with pytest.raises(EvidenceError, match="is not open; use `with"):
        store.records()


def test_all_are_added_or_none(path):
    """A row that cannot be written takes the others of its call with it."""
    with EvidenceStore(path) as store:
        store._open.execute("PRAGMA query_only = ON")
        with pytest.raises(EvidenceError, match="readonly"):
            store.add_all([record(1), record(2)])
        store._open.execute("PRAGMA query_only = OFF")
        assert store.records() == ()


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_evidence import record
from corrigible.evidence import EvidenceStore
for seed in range(int(sys.argv[2]), int(sys.argv[2]) + 15):
    with EvidenceStore(Path(sys.argv[1])) as store:
        store.add_all([record(seed), record(seed + 1)])
"""


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(path):
    """Three writers race from the making of the file on; every record is there once."""
    here = os.fspath(Path(__file__).parent)
    command = [sys.executable, "-c", WRITER, os.fspath(path)]
    running = [subprocess.Popen([*command, str(15 * k), here]) for k in range(3)]
    assert [process.wait(300) for process in running] == [0, 0, 0]
    with EvidenceStore(path) as store:
        assert sorted(r.seed for r in store.records()) == list(range(46))


def test_a_records_text_is_plain_json(path):
    """Another tool can read the file without this package."""
    with EvidenceStore(path) as store:
        store.add(record())
    with closing(sqlite3.connect(path)) as file:
        (body,) = file.execute("SELECT body FROM record").fetchone()
    assert json.loads(body)["estimate"]["n"] == 2000
    assert body.isascii()
