"""YAML into plain values with their places; hostile text is refused, soon and in one sentence."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corrigible.deployment.source import LARGEST_BYTES, parse_source, read_source
from corrigible.errors import ManifestError


def refusal(text):
    with pytest.raises(ManifestError) as caught:
        parse_source(text, "m.yaml")
    return str(caught.value)


SCALARS = [  # YAML 1.2: nothing becomes a number or a truth that does not look like one
    ("1", 1), ("0x1F", 31), ("0o17", 15), ("-3", -3), ("0.5", 0.5), (".5", 0.5), ("1e3", 1000.0),
    ("010", "010"), ("1:30", "1:30"), ("1_000", "1_000"), ("no", "no"), ("on", "on"),
    ("true", True), ("null", None), ("~", None), ("", None), ("2027-03-01", "2027-03-01"),
    ("1/20", "1/20"), ("0.2..0.8", "0.2..0.8"), ("'1'", "1"), (".inf", float("inf")),
    ("1" * 90, int("1" * 90)), ("1" * 400, float("inf")), ("=", "="), ("!!str 5", "5"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_scalar_is_what_it_looks_like(text, value):
    got = parse_source(f"a: {text}", "m.yaml").value["a"]
    assert (type(got), got) == (type(value), value)


def test_nan_is_read_as_nan():
    got = parse_source("a: .nan", "m.yaml").value["a"]
    assert got != got  # noqa: PLR0124  (that is what it is)


REFUSED = [
    ("", "m.yaml:1:1: is empty; `corrigible init` drafts a manifest"),
    ("# only a remark\n", "m.yaml:1:1: is empty; `corrigible init` drafts a manifest"),
    ("- 1", "m.yaml:1:1: must be a mapping of keys, got a list"),
    ("word", "m.yaml:1:1: must be a mapping of keys, got a single value 'word'"),
    ("a: [1", "m.yaml:1:6: is not YAML: expected ',' or ']', but got '<stream end>'"),
    ("a: 1\n\tb: 2", "m.yaml:2:1: is not YAML: found character '\\t' that cannot start any token"),
    ("a: 1\n...\n---\nb: 2", "m.yaml:3:1: holds a second document; a manifest is one"),
    ("a: \x00", "m.yaml:1:4: is not YAML: unacceptable character #x0000"),
    ('a: "\\UFFFFFFFF"', "m.yaml: is not YAML: Python int too large"),
    ("a: &x 1", "m.yaml:1:4: anchors and aliases (`&name`, `*name`) are not taken"),
    ("a: *x", "m.yaml:1:4: anchors and aliases (`&name`, `*name`) are not taken"),
    ("%YAML 9.9\n---\na: 1", "m.yaml:1:1: is not YAML: found incompatible YAML document"),
]


@pytest.mark.parametrize(("text", "start"), REFUSED)
def test_what_is_no_mapping_of_plain_values_is_refused_with_its_place(text, start):
    assert refusal(text).startswith(start)


NOTED = [
    ("a: 1\na: 2", "m.yaml:2:1: duplicate key 'a', first seen in line 1; keep one of them"),
    ("b: {a: 1, a: 2}", "m.yaml:1:11: duplicate key 'a', first seen in line 1; keep one of them"),
    ("? [x]\n: 1", "m.yaml:1:3: a key must be plain text"),
    ("? {x: [1]}\n: 1", "m.yaml:1:3: a key must be plain text"),
    ("a: !!python/object:os.system x", "m.yaml:1:4: has the tag 'tag:yaml.org,2002:python/object"),
    ("a: !!binary aGk=", "m.yaml:1:4: has the tag 'tag:yaml.org,2002:binary'; write the value"),
    ("a: !x {b: 1}", "m.yaml:1:4: has the tag '!x'; write the value without it"),
    ('a: "x\\0y"', "m.yaml:1:4: holds the character U+0000, which is no text; leave it out"),
    ('a: "\\ud800"', "m.yaml:1:4: holds the character U+D800, which is no text; leave it out"),
    ('a: "\\e[2J"', "m.yaml:1:4: holds the character U+001B, which is no text; leave it out"),
]


@pytest.mark.parametrize(("text", "start"), NOTED)
def test_what_can_be_passed_over_is_noted_with_its_place(text, start):
    (problem,) = parse_source(text, "m.yaml").problems
    assert str(problem).startswith(start)


def test_the_rest_is_read_past_what_is_passed_over():
    source = parse_source("? [x]\n: 1\na: 1\na: {b: [1, {c: 2}]}\nd: 4", "m.yaml")
    assert source.value == {"a": 1, "d": 4}
    assert len(source.problems) == 2


def test_a_syntax_error_does_not_hide_what_was_noted_before_it():
    assert refusal("a: 1\na: 2\nb: [").splitlines()[0].startswith("m.yaml:2:1: duplicate key")


def test_a_numeric_key_is_text():
    assert parse_source("1: a\ntrue: b\n", "m.yaml").value == {"1": "a", "true": "b"}


def test_every_value_and_key_has_its_place():
    source = parse_source("a:\n  - x\n  - {b: y}\n", "m.yaml")
    assert source.values_at["a", 1, "b"] == (3, 9)
    assert source.keys_at["a", 1, "b"] == (3, 6)


def test_a_problem_stands_at_the_nearest_place_that_the_file_has():
    source = parse_source("a:\n  b: 1\n", "m.yaml")
    assert str(source.problem(("a", "x", "y"), "is missing")) == "m.yaml:2:3: is missing"


def quick(seconds, act):
    start = time.process_time()
    act()
    assert time.process_time() - start < seconds


LAUGHS = "a: &a [x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "billion laughs": LAUGHS,
    "deep flow": "a: " + "[" * 1_000,
    "deep mappings": "{a: " * 5_000,
    "deep blocks": "".join(" " * i + f"k{i}:\n" for i in range(500)),
    "ten megabytes": "a: 1\n" * 2_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_soon(text):
    quick(5.0, lambda: refusal(text))


def test_nesting_is_refused_at_its_place():
    assert refusal("a: " + "[" * 50).startswith("m.yaml:1:43: may be nested 40 deep at most")


# -- files ---------------------------------------------------------------------------------


def refused_file(path, data):
    path.write_bytes(data)
    with pytest.raises(ManifestError) as caught:
        read_source(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_large_file_is_refused_before_it_is_read_whole(tmp_path):
    with (tmp_path / "m.yaml").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(ManifestError, match="may be 256,000 bytes at most"):
        read_source(tmp_path / "m.yaml")


def test_a_file_of_ten_megabytes_is_refused(tmp_path):
    text = refused_file(tmp_path / "m.yaml", b"a: 1\n" * 2_000_000)
    assert text == f"may be {LARGEST_BYTES:,} bytes at most, and holds more; is this a manifest?"


@pytest.mark.parametrize("data", [b"\xff\xfea\x00", b"\x89PNG\r\n", b"a: \xc3("])
def test_a_file_that_is_no_text_is_refused(tmp_path, data):
    assert refused_file(tmp_path / "m.yaml", data).startswith("must be UTF-8 text, byte ")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "m.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    source = read_source(tmp_path / "m.yaml")
    assert (source.value, source.keys_at["a",]) == ({"a": 1}, (1, 1))


@pytest.mark.parametrize("name", ["missing.yaml", ".", "nul\0.yaml"])
def test_what_cannot_be_read_says_why(tmp_path, name):
    with pytest.raises(ManifestError, match="cannot be read: "):
        read_source(tmp_path / name)


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}?!&*'\"|>%@# \n\t01.", max_size=60))
def test_any_text_is_read_or_refused(text):
    """Nothing but a `ManifestError` is raised, whatever came."""
    with suppress(ManifestError):
        assert isinstance(parse_source(text, "m.yaml").value, dict)
