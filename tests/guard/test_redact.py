"""Secrets do not reach the ledger, in any spelling; what is left is JSON, and bounded."""

import base64
import json
import math
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_runs import opened

from corrigible.deployment.masking import holds_secret
from corrigible.guard.call import canonical_json
from corrigible.guard.ledger import LONGEST_BODY
from corrigible.guard.redact import LONGEST_TEXT, Redactor, redact

SALT = b"s" * 32
KNOWN = 'p@ss/w0rd "\u00fc"\nline'
MARKER = Redactor([], SALT).marker

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.just(object()) | st.dates() | st.complex_numbers()
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(
        st.text() | st.integers() | st.none() | st.binary(), inner),
    max_leaves=20,
)  # fmt: skip


@pytest.mark.slow
@given(VALUES)
def test_whatever_comes_is_json_afterwards(value):
    kept = redact(value, ["known secret"], SALT)
    assert json.loads(canonical_json(kept)) == kept


@given(st.text(min_size=4), st.text(), st.text(), st.booleans())
def test_a_known_secret_is_nowhere_in_what_is_kept(secret, before, after, as_key):
    """Wherever it stands; the text around it stays, if it is none."""
    text = before + secret + after
    kept = redact({text: 1} if as_key else ["x", {"": (text,)}], [secret], SALT)
    (left,) = kept if as_key else kept[1].values() if kept[0] == "x" else [str(kept)]
    assert not any(secret in part for part in "".join(left).split(MARKER(secret)))


@pytest.mark.parametrize(
    "spelled",
    [
        KNOWN,
        json.dumps(KNOWN),
        json.dumps(KNOWN, ensure_ascii=False),
        KNOWN * 2,
        quote(KNOWN),
        quote(KNOWN, safe=""),
        KNOWN.encode().hex(),
        base64.b64encode(KNOWN.encode()).decode(),
        base64.b64encode(b"u:" + KNOWN.encode()).decode(),
        base64.urlsafe_b64encode(b"u" + KNOWN.encode() + b"tail").decode(),
    ],
)
def test_a_known_secret_is_found_in_the_spellings_it_is_sent_in(spelled):
    """All of them have the digest of the secret, so that one sees that it was the same."""
    kept = redact(f"with {spelled} sent", [KNOWN], SALT)
    assert MARKER(KNOWN) in kept
    assert kept.startswith("with ")
    assert kept.endswith(" sent")
    assert not set(json.dumps(KNOWN)[1:-1].split()) & set(kept.split())


@pytest.mark.parametrize(
    "text",
    [
        "sk-test-abcdefghijklmnop", "ghp_abcdefghijklmnopqrst", "AKIAABCDEFGHIJKLMNOP",
        "xoxb-12345678901", "eyJhbGciOiJI.eyJzdWIi", "https://user:pw@host/x",
        "token=abc", "API_KEY: abc", "--password hunter2 password=hunter2",
        "Authorization: Bearer abcdefgh", "aB3" * 12,
        "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nabc",
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_one(text):
    """Whatever `mask` masks: both have one list of shapes."""
    assert holds_secret(text)
    kept = redact(f"a {text} b", [], SALT)
    assert "<redacted sha256:" in kept
    assert kept.startswith("a ")
    assert redact(kept, [], SALT) == kept


@pytest.mark.slow
@given(st.text(alphabet="aB3-_=:. /@sktoenyxb\"'", max_size=60))
def test_what_mask_masks_is_redacted(text):
    assert not holds_secret(text) or "<redacted" in redact(text, [], SALT)


@pytest.mark.parametrize(
    "key", ["password", "apiKey", "X-Auth-Token", "client_secret", "Authorization", "cookie", "pin"]
)
def test_what_stands_under_a_secrets_name_is_one(key):
    kept = redact({key: "abc", "list": {key: [1234, {"a": "b"}]}, "flag": {key: True}}, [], SALT)
    assert kept[key] == MARKER("abc")
    assert kept["list"][key] == [MARKER("1234"), {"a": MARKER("b")}]
    assert kept["flag"] == {key: True}


@pytest.mark.parametrize("key", ["max_tokens", "token_count", "author", "path", "amount"])
def test_what_is_no_secret_stays(key):
    value = {
        key: 100,
        "path": "/srv/data/report.txt",
        "text": "the quick brown fox",
        "n": [1.5, -2],
    }
    assert redact(value, ["hunter2"], SALT) == value


def test_a_known_number_is_redacted():
    assert redact([123456, 12], ["123456"], SALT) == [MARKER("123456"), 12]


def test_digests_are_salted():
    """Equal secrets are equal under one salt, and unlike under another."""
    assert redact("hunter2hunter2", ["hunter2hunter2"], SALT) == MARKER("hunter2hunter2")
    assert redact("hunter2hunter2", ["hunter2hunter2"], b"t" * 32) != MARKER("hunter2hunter2")


def test_a_long_text_is_cut_and_its_digest_is_of_the_whole():
    text = "word " * 10_000
    kept = redact(text, [], SALT)
    assert kept.startswith(text[:LONGEST_TEXT])
    assert len(kept) < LONGEST_TEXT + 100
    assert "50000 characters" in kept
    assert kept != redact(text[:-1] + "!", [], SALT)


@given(st.integers(0, 40))
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(back):
    known = "hunter2-" * 5
    kept = redact("." * (LONGEST_TEXT - back) + known + "." * 3000, [known], SALT)
    assert "hunter2" not in kept
    looks = redact(
        "." * (LONGEST_TEXT - back - 1) + " sk-" + "abc123xyz" * 5 + " " * 3000, [], SALT
    )
    assert "abc123" not in looks


@pytest.mark.parametrize(
    "value",
    [
        ["\U0001f600" * 3000] * 300,
        ["a"] * 300_000,
        {str(number): "b" for number in range(100_000)},
        [[["\x00" * 50] * 100] * 100] * 10,
        {"password": ["x"] * 200_000},
    ],
    ids=["texts", "items", "keys", "nested", "secrets"],
)
def test_the_largest_value_fits_into_an_entry(value):
    """What the guard redacts can always be written."""
    assert len(canonical_json(redact(value, [], SALT))) < LONGEST_BODY


def test_what_is_no_json_becomes_text():
    kept = redact({"a": math.nan, "b": -math.inf, "c": b"xy", "d": {1}, 2: 10**400}, [], SALT)
    assert (kept["a"], kept["b"], kept["d"]) == ("nan", "-inf", "<no JSON: set>")
    assert kept["c"].startswith("<2 bytes, sha256:")
    assert kept["<int>"] == "<integer of 1329 bits>"


def test_nothing_raises():
    """Not even an object whose every method does, or one that holds itself."""

    class Hostile(dict):
        def items(self):
            raise RuntimeError("no")

    assert redact(Hostile(a=1), [], SALT) == "<could not be read: RuntimeError>"
    endless = []
    endless.append(endless)
    assert "nested too deep" in str(redact(endless, [], SALT))
    assert redact("\ud800 token=\udfff", ["\ud800ab1"], SALT).startswith("\ud800 token=<redacted")


@pytest.mark.parametrize(
    "part",
    ["a-", "token", "token ", "token: ", "ey-", "+a", "://", "sk-", "-----BEGIN ", "bearer ",
     "eyA-", "aA1+", "-----BEGIN PRIVATE KEY-----", "token=a "],
)  # fmt: skip
def test_no_text_takes_long(part):
    """An agent chooses the text: time must not grow with the square of it."""
    began = time.process_time()
    redact(part * (20_000 // len(part)), ["known secret"], SALT)
    assert time.process_time() - began < 0.1


def test_no_secret_is_in_the_files_bytes(tmp_path):
    """Of the ledger, its log and its index, while it is written and after."""
    redactor = Redactor([KNOWN, "known-secret-1"], SALT)
    body = {
        "arguments": {"text": f"use {KNOWN} now", "password": "hunter2hunter2", KNOWN: 1},
        "result": ["known-secret-1", base64.b64encode(b"x:known-secret-1").decode()],
    }
    secrets = [KNOWN, "hunter2hunter2", "known-secret-1", json.dumps(KNOWN)[1:-1],
               "bm93bi1zZWNyZXQt", base64.b64encode(b"x:known-secret-1").decode()]  # fmt: skip
    with opened(tmp_path) as ledger:
        ledger.append("intent", redactor.redact(body), durable=True).result()
        during = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    after = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"intent" in during
    assert not [secret for secret in secrets if secret.encode() in during + after]
