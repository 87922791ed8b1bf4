"""Hostile input from good input: simple mutators of texts and of JSON values."""

import json
from random import Random
from typing import Any

WORDS = (
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u0000", b"\\ud800", b"\x00", b"\xff",
    b"\xf0\x9f\x92\xa9", b"NaN", b"-Infinity", b"1e999", b"-0", b"9223372036854775808", b"0.1",
    b"true", b"null", b"..", b"../", b"%2e%2e%2f", b"%00", b"%25", b"~", b"~root", b"file:",
    b"//", b"**", b"*", b"?", b"\n", b"\r\n", b"\t", b" ", b"\xe2\x80\xae", b"\xe2\x80\x8b",
    b"&a ", b"*a", b"<<: ", b"!!python/object:os.system ", b"- ", b"? ", b"| ", b"> ", b"#",
    b"---\n", b"'", b"where amount <= 1", b"allow", b"deny", b"files:", b"\xef\xbc\x8e\xef\xbc\x8e",
)  # fmt: skip
TEXTS = (
    "", ".", "..", "/", "//", "~", "~/x", "~root/x", "\\", "..\\..\\etc", "%2e%2e/%2e%2e/etc",
    "%252e%252e%252fetc", "..%2f..%2fetc", "%c0%ae%c0%ae/", "%", "%zz", "file:///etc/passwd",
    "file://localhost/etc", "http://x/..", "C:\\x", "c:/x", "\x00", "a\x00b", "\x1b[2J", "\u202e",
    "\u200b", "\ufeff", "\ufdd0", "\uff0e\uff0e/", "\u2025/", "/srv/app/../log/a", "/srv/app",
    "/srv/app/x", "/srv/bot/prompt.md", "/srv/app/./x", "/SRV/app", "srv/app", "app/z", "*", "**",
    "?", "[a]", "{path}", "web", "admin", "release-1", "x@shop.example", "boss@x", "\u0130",
    "\u00df", "e\u0301", "\ud800", "a" * 5000, "/" * 300, "../" * 40, "%25" * 20,
)  # fmt: skip
NUMBERS = (
    0, -1, 1, 2, 1.0, 0.5, -0.0, 1e308, -1e-308, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63),
    10**40, float("nan"), float("inf"),
)  # fmt: skip


def changed(rng: Random, data: bytes, others: tuple[bytes, ...], most: int = 4) -> bytes:
    """Return a text after a few small changes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randint(0, len(out))
        end = min(len(out), at + rng.choice((1, 1, 2, 4, 8, 40)))
        kind = rng.randrange(8)
        if kind == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at:at] = rng.choice(WORDS)
        elif kind == 2:
            del out[at:end]
        elif kind == 3:
            out[at:at] = out[at:end] * rng.choice((1, 1, 2, 50))
        elif kind == 4:
            other = rng.choice(others)
            start = rng.randint(0, len(other))
            out[at:end] = other[start : start + rng.choice((4, 20, 200))]
        elif kind == 5:
            out[at:end] = rng.choice(WORDS)
        elif kind == 6:
            out[at:at] = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        else:
            out[at:end] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 6)))
    return bytes(out)


def text(rng: Random, seeds: tuple[str, ...] = TEXTS) -> str:
    """Return a hostile text."""
    base = rng.choice(seeds + TEXTS)
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        other = rng.choice(seeds + TEXTS)[:40]
        at = rng.randint(0, len(base))
        kind = rng.randrange(5)
        if kind == 0:
            base = base[:at] + other + base[at:]
        elif kind == 1:
            base = base[:at] + base[at + 1 :]
        elif kind == 2:
            base = base[:at] + chr(_code_point(rng)) + base[at:]
        elif kind == 3:
            base = base[:at] + f"%{rng.randrange(256):02x}" + base[at:]
        else:
            base = base + rng.choice(("/", "", "\\", "//", "/./")) + other
    return base


def _code_point(rng: Random) -> int:
    return rng.choice((rng.randrange(128), rng.randrange(0x3000), rng.randrange(0x110000)))


def scalar(rng: Random, seeds: tuple[str, ...] = TEXTS) -> Any:
    """Return a value that holds no others."""
    kind = rng.randrange(6)
    if kind < 3:
        return text(rng, seeds)
    return rng.choice(NUMBERS) if kind < 5 else rng.choice((None, True, False))


def value(rng: Random, seeds: tuple[str, ...] = TEXTS, depth: int = 3) -> Any:
    """Return any JSON value, and what passes for one."""
    kind = rng.randrange(8) if depth else 0
    if kind < 5:
        return scalar(rng, seeds)
    many = range(rng.choice((0, 1, 1, 2, 3)))
    if kind == 5:
        return [value(rng, seeds, depth - 1) for _ in many]
    if kind == 6:
        return {text(rng, seeds)[:300]: value(rng, seeds, depth - 1) for _ in many}
    inner = value(rng, seeds, depth - 1)
    for _ in range(rng.choice((1, 2, 30, 40))):
        inner = [inner] if rng.random() < 0.5 else {"a": inner}
    return inner


def with_change(rng: Random, whole: Any, seeds: tuple[str, ...] = TEXTS) -> Any:
    """Return a JSON value with one part of it replaced, dropped, doubled or renamed."""
    if isinstance(whole, dict) and whole and rng.random() < 0.85:
        key = rng.choice(list(whole))
        out = dict(whole)
        kind = rng.randrange(8)
        if kind == 0:
            del out[key]
        elif kind == 1:
            out[text(rng, (*seeds, key, key.upper(), f"{key}\u200b"))[:300]] = out.pop(key)
        elif kind == 2:
            out[text(rng, seeds)[:300]] = value(rng, seeds)
        else:
            out[key] = with_change(rng, out[key], seeds)
        return out
    if isinstance(whole, list) and whole and rng.random() < 0.85:
        at = rng.randrange(len(whole))
        kind = rng.randrange(5)
        if kind == 0:
            return whole[:at] + whole[at + 1 :]
        if kind == 1:
            return [*whole, whole[at]]
        return [*whole[:at], with_change(rng, whole[at], seeds), *whole[at + 1 :]]
    return value(rng, seeds)


def packed(whole: Any) -> bytes:
    """Return a value as bytes that `unpacked` reads back, NaN and half characters too."""
    return json.dumps(whole).encode()


def unpacked(data: bytes) -> Any:
    """Return what was packed.  Raises ValueError."""
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError from error
