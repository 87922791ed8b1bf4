"""Places: one canonical value for what a server takes for one place; exact pattern arithmetic."""

import re
import time
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from corrigible.deployment.places import (
    ANYWHERE,
    PlaceError,
    arguments_of,
    below,
    canonical,
    find_place,
    literal,
    overlap,
    pattern_of,
    template_pattern,
)
from corrigible.deployment.records import Server

FEW = settings(max_examples=40)
PLAIN = Server()
ROOTED = Server(root="/srv/app", home="/home/bot")
FOLDED = Server(root="/srv", case="insensitive")

ONE_PLACE = [  # what is written, on which server, what it is
    ("/srv/log", PLAIN, "/srv/log"),
    ("/srv//log/", PLAIN, "/srv/log"),
    ("/srv/./log/.", PLAIN, "/srv/log"),
    ("/srv/app/../log", PLAIN, "/srv/log"),
    ("/../../srv/log", PLAIN, "/srv/log"),
    ("/srv/app/%2e%2e/log", PLAIN, "/srv/log"),
    ("/srv/app/%252e%252e/log", PLAIN, "/srv/log"),
    ("/srv/app/%25252E./log", PLAIN, "/srv/log"),
    ("/srv%2Flog", PLAIN, "/srv/log"),
    ("file:///srv/log", PLAIN, "/srv/log"),
    ("FILE://localhost/srv/log", PLAIN, "/srv/log"),
    ("file:/srv/app/../log", PLAIN, "/srv/log"),
    ("log", ROOTED, "/srv/app/log"),
    ("./log", ROOTED, "/srv/app/log"),
    ("../log", ROOTED, "/srv/log"),
    ("../../../../etc", ROOTED, "/etc"),
    ("", ROOTED, "/srv/app"),
    ("~", ROOTED, "/home/bot"),
    ("~/log", ROOTED, "/home/bot/log"),
    ("/SRV/Log", FOLDED, "/srv/log"),
    ("/SRV/Log", PLAIN, "/SRV/Log"),
    ("/srv/STRASSE", FOLDED, canonical("/srv/stra\u00dfe", FOLDED)),
    ("/srv/cafe\u0301", PLAIN, "/srv/caf\u00e9"),
    ("jobs/stop-bot", PLAIN, "jobs/stop-bot"),
    ("jobs/x/../stop-bot", PLAIN, "jobs/stop-bot"),
    ("/100%", PLAIN, "/100%"),
    ("https://EXAMPLE.com", PLAIN, "https://example.com/"),
    ("https://example.com:443/a/../b", PLAIN, "https://example.com/b"),
    ("https://example.com./b#top", PLAIN, "https://example.com/b"),
    ("https:/example.com/b", PLAIN, "https://example.com/b"),
    ("https:\\\\example.com\\b", PLAIN, "https://example.com/b"),
    ("https://good.com@example.com/b", PLAIN, "https://example.com/b"),
    ("http://example.com:8080/b", PLAIN, "http://example.com:8080/b"),
    ("https://example.com/a?x=/../../b", PLAIN, "https://example.com/a?x=/../../b"),
    ("S3://Bucket//a/../b", PLAIN, "s3://Bucket/b"),
    ("C:\\x\\..\\y", Server(root="C:\\srv"), "c:/y"),
]


@pytest.mark.parametrize(("text", "server", "place"), ONE_PLACE)
def test_what_a_server_takes_for_one_place_is_one_value(text, server, place):
    assert canonical(text, server) == place


NO_PLACE = [
    ("~root/x", ROOTED, "starts at the home '~root', which the manifest does not state"),
    ("~", PLAIN, "starts at the home '~'"),
    ("%7e/x", PLAIN, "starts at the home '~'"),
    ("./~", PLAIN, "is another place once it is resolved"),
    ("./https://x/y", PLAIN, "is another place once it is resolved"),
    ("../x", PLAIN, "climbs out of where it starts"),
    ("a/../../x", PLAIN, "climbs out of where it starts"),
    ("/srv/lo\u200bg", PLAIN, "holds a control or an invisible character"),
    ("/srv/log\x00.txt", PLAIN, "holds a control or an invisible character"),
    ("/srv/log%00", PLAIN, "holds a control or an invisible character"),
    ("/srv/log\n", PLAIN, "holds a control or an invisible character"),
    ("/srv/\u202egol", PLAIN, "holds a control or an invisible character"),
    ("/srv/\ud800", PLAIN, "holds a control or an invisible character"),
    ("/srv/%ff", PLAIN, "is percent-encoded, and not as UTF-8"),
    ("/srv/%c0%ae%c0%ae/x", PLAIN, "is percent-encoded, and not as UTF-8"),
    ("/%2525252525252525252541", PLAIN, "is percent-encoded over and over"),
    ("/" + "a" * 5000, PLAIN, "is longer than 4096 characters"),
    ("/srv/a%2fb/../log", PLAIN, "it can be two places"),
    ("/srv/a\\b/../log", PLAIN, "it can be two places"),
    ("/srv/app\\x", PLAIN, "it can be two places"),
    ("\\srv\\app\\..\\log", PLAIN, "it can be two places"),
    ("~/../root", ROOTED, "it can be two places"),
    ("/srv/x/%2e%2e/../log", PLAIN, "it can be two places"),
    ("https://x/a%3f/../b", PLAIN, "it can be two places"),
    ("https://x/a%23/../b", PLAIN, "it can be two places"),
]


@pytest.mark.parametrize(("text", "server", "words"), NO_PLACE)
def test_what_may_be_several_places_has_no_canonical_form(text, server, words):
    with pytest.raises(PlaceError, match=re.escape(words)):
        canonical(text, server)


SERVERS = st.sampled_from([PLAIN, ROOTED, FOLDED, Server(root="https://h/b"), Server(root="C:/x")])
TEXTS = st.text(max_size=20) | st.text(alphabet="aA/.~%25\\:e?#@*", max_size=14)


@FEW
@given(
    TEXTS | st.builds("{}{}".format, st.sampled_from(["file:", "https://", "s3://"]), TEXTS),
    SERVERS,
)
def test_a_canonical_place_is_its_own_canonical_form(text, server):
    try:
        place = canonical(text, server)
    except PlaceError:
        return
    assert canonical(place, server) == place


SEGMENT = st.text(alphabet="abc.-", min_size=1, max_size=4).filter(lambda s: s.strip("."))
PLACE = st.lists(SEGMENT, min_size=1, max_size=5)


@FEW
@given(PLACE, st.data())
def test_no_detour_changes_a_place(segments, data):
    """Doubled slashes, `/./`, `x/../`, a slash at the end: all lead to the same place."""
    detour = st.sampled_from(["/", "//", "/./", "/x/../", "/x/y/../../"])
    text = "".join(data.draw(detour) + segment for segment in segments)
    text += data.draw(st.sampled_from(["", "/", "/.", "/x/.."]))
    assert canonical(text, ROOTED) == "/" + "/".join(segments)


@FEW
@given(PLACE, st.integers(1, 3), st.data())
def test_no_percent_encoding_changes_a_place(segments, times, data):
    text = "/" + "/".join(segments)
    for _ in range(times):
        picked = data.draw(st.sets(st.integers(0, len(text) - 1)))
        text = "".join(f"%{ord(c):02x}" if i in picked else c for i, c in enumerate(text))
    assert canonical(text, ROOTED) == "/" + "/".join(segments)


@FEW
@given(st.text(alphabet="ab/.%2fFeE\\", max_size=16))
def test_whoever_decodes_first_or_last_finds_the_same_place(text):
    """The place, if it has one, is what a server finds that resolves before it decodes."""
    try:
        place = canonical("/" + text, PLAIN)
        early = canonical("/" + "/".join(resolve(text)), PLAIN)
    except PlaceError:
        return
    assert early == place


def resolve(text):
    kept = []
    for part in text.split("/"):
        if part == "..":
            del kept[-1:]
        elif part not in {"", "."}:
            kept.append(part)
    return kept


# -- patterns ------------------------------------------------------------------------------

FITS = [
    ("/srv/**", "/srv/a/b", True), ("/srv/**", "/srv", True), ("/srv/**", "/srvx", False),
    ("/srv/*", "/srv/a", True), ("/srv/*", "/srv/a/b", False), ("/srv/?", "/srv/a", True),
    ("/srv/?", "/srv/ab", False), ("/a/**/b", "/a/b", True), ("/a/**/b", "/a/x/y/b", True),
    ("/a/**/b", "/axb", False), ("**", "", True), ("a**b", "a/x/b", True), ("*", "a", True),
    ("jobs/release-*", "jobs/release-3", True), ("*", "a/b", False), ("/srv/%2a", "/srv/x", True),
]  # fmt: skip


@pytest.mark.parametrize(("glob", "place", "fits"), FITS)
def test_a_glob_covers_what_it_should(glob, place, fits):
    assert overlap(pattern_of(glob, PLAIN), tuple(place)) is fits


@pytest.mark.parametrize("place", ["/srv/*", "/s?v/x", "/srv/**"])
def test_a_wildcard_in_the_place_of_a_call_is_a_plain_character(place):
    pattern = template_pattern("{path}", PLAIN, {"path": place})
    assert literal(pattern) == place
    assert not overlap(pattern, tuple("/srv/x"))


GLOBS = st.lists(
    st.sampled_from(["a", "b", "/", "*", "?", "**", "/**"]), min_size=1, max_size=5
).map("".join)
SHORT = ["".join(text) for n in range(5) for text in product("ab/", repeat=n)]


def by_regex(glob):
    """Globs as regular expressions: the slow oracle."""
    parts = {"/**": "(/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"/\*\*(?=/|$)|\*\*|\*|\?|.", glob)
    return re.compile("".join(parts.get(token, re.escape(token)) for token in tokens))


def compiled(globs):
    globs = [glob for glob in globs if "//" not in glob and not glob.endswith("/")]
    assume(globs)
    return tuple(pattern_of(glob, PLAIN) for glob in globs), [by_regex(glob) for glob in globs]


@FEW
@given(st.lists(GLOBS, min_size=1, max_size=2), st.lists(GLOBS, max_size=2))
def test_a_place_is_found_where_a_search_by_regex_finds_one(positive, negative):
    positive, inside = compiled(positive)
    negative, outside = compiled(negative) if negative else ((), [])
    found = find_place(positive, negative)
    short = [
        text
        for text in SHORT
        if all(r.fullmatch(text) for r in inside) and not any(r.fullmatch(text) for r in outside)
    ]
    if found is None:
        assert not short
    else:
        assert all(r.fullmatch(found) for r in inside)
        assert not any(r.fullmatch(found) for r in outside)
        assert not short or len(found) <= len(short[0])


@FEW
@given(GLOBS)
def test_a_pattern_overlaps_itself_and_nothing_is_outside_everywhere(glob):
    (pattern,), _ = compiled([glob])
    assert overlap(pattern, pattern)
    assert find_place((pattern,), (ANYWHERE,)) is None
    assert find_place((pattern,), (pattern,)) is None


@FEW
@given(GLOBS)
def test_what_lies_below_a_pattern_holds_the_pattern(glob):
    (pattern,), _ = compiled([glob])
    assert find_place((pattern,), (below(pattern),)) is None


@pytest.mark.parametrize("place", ["/", ""])
def test_everything_lies_below_the_root(place):
    assert below(tuple(place)) == ANYWHERE


HARD = ["**" + "?" * 30, "**" + "*a" * 20, "**/*a/*b/*c/*d/*e/*f/*g/*h/*i/*j/*k/*l/*m/*n/*o"]


@pytest.mark.parametrize("glob", HARD)
def test_patterns_that_cannot_be_compared_soon_are_refused_or_answered_soon(glob):
    start = time.process_time()
    pattern = pattern_of(glob, PLAIN)
    with suppress(PlaceError):
        assert find_place((ANYWHERE,), (pattern,)) is not None
        assert overlap(pattern, pattern_of("**b", PLAIN)) in {True, False}
    assert time.process_time() - start < 3


def test_a_long_place_is_compared_soon():
    place = template_pattern("{p}", PLAIN, {"p": "/" + "abcdefgh/" * 400})
    start = time.process_time()
    assert overlap(place, pattern_of("/abcdefgh/**", PLAIN))
    assert not overlap(place, pattern_of("**x", PLAIN))
    assert time.process_time() - start < 2


# -- templates -----------------------------------------------------------------------------

TEMPLATES = [  # template, server, values, a place that it fits, one that it does not
    (("{path}", PLAIN, {}), "/etc/passwd", None),
    (("{path}", ROOTED, {}), "/etc/passwd", None),
    (("jobs/{name}", PLAIN, {}), "jobs/x", "roles/x"),
    (("jobs/{name}", ROOTED, {}), "/srv/app/jobs/x", "/etc"),
    (("jobs/{name}", PLAIN, {"name": "stop-bot"}), "jobs/stop-bot", "jobs/x"),
    (("{ns}/{name}", PLAIN, {"ns": "a"}), "a/x", "b/x"),
    (("{path}", ROOTED, {"path": "log"}), "/srv/app/log", "log"),
    (("{path}", PLAIN, {"other": "%..~", "path": "/x"}), "/x", "/y"),
    (("{a}{b}", PLAIN, {"a": "{b}"}), "{b}x", "x"),
]


@pytest.mark.parametrize(("filled", "inside", "outside"), TEMPLATES)
def test_a_template_fits_what_its_arguments_may_be(filled, inside, outside):
    pattern = template_pattern(*filled)
    assert overlap(pattern, tuple(inside))
    assert outside is None or not overlap(pattern, tuple(outside))


UNCLEAR = [
    ("/docs/{path}", {"path": "/etc/passwd"}, "has path start anew behind other text"),
    ("/docs/{path}", {"path": "~/x"}, "has path start anew behind other text"),
    ("{ns}/{name}", {"ns": "a/.."}, "is only partly known and holds"),
    ("{ns}/{name}", {"ns": "a%2f"}, "is only partly known and holds"),
    ("{ns}/{name}", {"ns": "a\\"}, "is only partly known and holds"),
    ("{path}", {"path": "\ufdd0"}, "holds U+FDD0, which is no character"),
    ("jobs/{name}", {"name": "../../x"}, "climbs out of where it starts"),
]


@pytest.mark.parametrize(("template", "values", "words"), UNCLEAR)
def test_a_template_that_may_be_filled_in_two_ways_is_no_place(template, values, words):
    with pytest.raises(PlaceError, match=re.escape(words)):
        template_pattern(template, PLAIN, values)


def test_the_arguments_of_a_template_are_what_stands_in_braces():
    assert arguments_of("a/{b}/{c d}/{}") == ("b", "c d")


@FEW
@given(st.text(max_size=12), SERVERS)
def test_a_filled_template_fits_its_open_one_unless_it_climbs_out(value, server):
    try:
        filled = template_pattern("{path}", server, {"path": value})
    except PlaceError:
        return
    assert overlap(filled, template_pattern("{path}", server))
