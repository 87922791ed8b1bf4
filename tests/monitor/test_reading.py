"""What cannot be read is named and counted, never raised, never silent; memory stays flat."""

import gc
import json
import os
import resource
import tracemalloc
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corrigible.errors import TranscriptError
from corrigible.monitor.formats.lines import DEEPEST, records_of
from corrigible.monitor.formats.runs import MOST_NAMED
from corrigible.monitor.reading import read_transcripts
from corrigible.monitor.transcript import Bad

GOOD = json.dumps({"messages": [{"role": "user", "content": "hi"}]}) + "\n"
LINE = json.dumps({"role": "user", "content": "hi"}) + "\n"
DEEP = "[" * (DEEPEST + 2) + "]" * (DEEPEST + 2)


def found(path, **options: str | None):
    """All that reading gives, its events read."""
    return [
        x if isinstance(x, Bad) else (x, tuple(x.events)) for x in read_transcripts(path, **options)
    ]


def bad_of(path, **options: str | None):
    return [x for x in found(path, **options) if isinstance(x, Bad)]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (b'{"messages": [{"role": "user", "con', "truncated"),
        (b'{"messages": [}\n', "json"),
        (b'{"messages": [], "messages": []}\n', "duplicate key"),
        (b'{"messages": [NaN]}\n', "number"),
        (b'{"messages": [1e999]}\n', "number"),
        (b'{"messages": [' + b"9" * 5000 + b"]}\n", "json"),
        (b'{"messages": ' + DEEP.encode() + b"}\n", "depth"),
        (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "depth"),
        (b'{"messages": [{"role": "user", "content": "\xe9"}]}\n', "encoding"),
        (b'{"nothing": 1}\n', "shape"),
        (b"17\n", "shape"),
        (b'{"messages": {"a": 1}}\n', "shape"),
    ],
)
def test_a_bad_line_is_named_and_the_others_are_read(tmp_path, second, reason):
    file = tmp_path / "a.jsonl"
    file.write_bytes(GOOD.encode() + second)
    one, bad = found(file)
    assert len(one[1]) == 1
    assert (bad.reason, bad.line, bad.source) == (reason, 2, str(file))
    assert str(bad).startswith(f"{file}:2: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (GOOD.encode("utf-16"), "encoding"),
        (b"\x1f\x8b\x08\x00", "encoding"),
        (b'{\n "messages": [\n', "truncated"),
        (b'{\n "messages": [}\n}', "json"),
        (b'{"hello": 1}', "format"),
        (b"[1, 2]", "format"),
        (b"- a\n- b\n- c\n- d\n- e\n", "format"),
        (b"<html><script>alert(1)</script></html>", "truncated"),
        (b"SQLite format 3\0" + b"\0" * 100, "ledger"),
        (b"\0" * 100, "truncated"),
    ],
)
def test_a_file_that_holds_no_run_says_why(tmp_path, content, reason):
    file = tmp_path / "a.json"
    file.write_bytes(content)
    assert [one.reason for one in bad_of(file)] == [reason]


def test_what_is_no_file_says_so(tmp_path):
    os.mkfifo(tmp_path / "pipe.jsonl")
    empty = tmp_path / "empty"
    empty.mkdir()
    for path in (tmp_path / "pipe.jsonl", tmp_path / "none", empty, tmp_path / "a\0b"):
        assert [one.reason for one in bad_of(path)] == ["file"]


def test_an_unknown_format_is_refused_at_once(tmp_path):
    with pytest.raises(TranscriptError, match="must be one of inspect, openai"):
        read_transcripts(tmp_path, format="nope")


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("c.jsonl", "b/x.json", "a.ndjson", "README.md"):
        (tmp_path / name).write_text(GOOD)
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    sources = [os.path.relpath(t.source, tmp_path) for t, _ in found(tmp_path)]
    assert sources == ["a.ndjson", "b/x.json", "c.jsonl"]


def test_half_a_character_does_not_make_a_run_unreadable(tmp_path):
    (tmp_path / "a.jsonl").write_text(GOOD.replace("hi", "\\ud83d\\ude00 \\ud800"))
    [(_, [event])] = found(tmp_path / "a.jsonl")
    assert event.text == "\U0001f600 \ufffd"


def test_events_are_read_as_they_are_asked_for(tmp_path):
    """The first event of a file that never ends is there at once."""
    file = tmp_path / "a.jsonl"
    file.write_text(LINE * 200_000)
    runs = read_transcripts(file)
    assert len(list(islice(next(runs).events, 3))) == 3
    runs.close()


def test_bad_records_that_the_caller_left_unread_are_told_all_the_same(tmp_path):
    (tmp_path / "a.jsonl").write_text(LINE * 50 + "{]\n")
    transcript, bad = read_transcripts(tmp_path / "a.jsonl")
    assert (bad.reason, bad.line) == ("json", 51)
    assert list(transcript.events) == []


def test_more_bad_records_than_are_named_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text(LINE + "{]\n" * (MOST_NAMED + 7))
    bad = bad_of(tmp_path / "a.jsonl")
    assert len(bad) == MOST_NAMED + 1
    assert sum(one.count for one in bad) == MOST_NAMED + 7


@settings(max_examples=60)
@given(content=st.binary(max_size=200))
def test_no_bytes_make_a_reader_fail(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any.bin"
    file.write_bytes(content)
    assert found(file)


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_memory_does_not_grow_with_a_file(tmp_path):
    """Ten times the file, and the peak stays within what one buffer more may take."""
    peaks = []
    for size in (200, 2_000):
        file = tmp_path / f"{size}.jsonl"
        file.write_text(json.dumps({"role": "user", "content": "x" * 1000}) + "\n")
        with file.open("a") as out:
            for _ in range(size):
                out.write(json.dumps({"role": "assistant", "content": "y" * 10_000}) + "\n")
        gc.collect()
        tracemalloc.start()
        for transcript in read_transcripts(file):
            assert sum(1 for _ in transcript.events) == size + 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000


@pytest.mark.slow
def test_a_line_of_a_hundred_megabytes_is_bad_and_the_next_is_read(tmp_path):
    file = tmp_path / "a.jsonl"
    with file.open("w") as out:
        out.write(LINE)
        for _ in range(100):
            out.write("x" * 1_000_000)
        out.write("\n" + LINE)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    [first, bad, third] = list(records_of(file))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (bad.reason, bad.line) == ("size", 2)
    assert first.value == third.value
    assert grown < 300_000  # kB: the line's bound, not a hundred times its text
