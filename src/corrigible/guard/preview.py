r"""What an operator sees of one call before they answer: all of it, in plain words.

The agent wrote the arguments, and would have them read as it pleases.  So every text of the
agent's stands behind `|` on lines that are wrapped here, with whatever a terminal would obey or
hide shown as an escape (`\x1b`, `\u202e`); runs are counted, never cut.  No line of its can
begin where the guard's own lines begin.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from corrigible.deployment.places import Pattern, PlaceError
from corrigible.deployment.records import Deployment
from corrigible.deployment.touch import Effect, UnknownToolError, touch
from corrigible.errors import GuardError
from corrigible.guard.approvals import fresh_digest
from corrigible.guard.call import Call, DecidedEffect, Decision, canonical_json

_WIDTH = 96
_NARROWEST = 40
_RUNS = re.compile(r"(.)\1{15,}", re.DOTALL)  # counted, not repeated
_LONG = 120  # characters from which a value's length and digest are said
_NAMED = 6  # characters that one warning names
_MARKS = 2  # combining marks on one letter; more would paint over the lines around it
_NOTHING_USED: Mapping[str, float] = MappingProxyType({})

# Letters and marks that take no ink, though Unicode calls them printable.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ALIKE = {"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"}


# -- making any text safe to look at ---------------------------------------------------------


def escaped(text: str) -> str:
    r"""Return `text` with everything that does not show as itself written out, and nothing lost.

    Backslash and quote are doubled up with a backslash; control, format, blank, unassigned and
    right-to-left characters and marks piled on one letter become `\n`, `\x1b`, `\u202e`; sixteen
    or more of one character in a row become `\{40 * " "}`.
    """
    out: list[str] = []
    done = 0
    for run in _RUNS.finditer(text):
        char = run[1]
        shown = _code(char) if unicodedata.category(char)[0] == "M" else _shown(char)
        out += [_each(text[done : run.start()]), f'\\{{{len(run[0])} * "{shown}"}}']
        done = run.end()
    return "".join([*out, _each(text[done:])])


def _each(text: str) -> str:
    if text.isascii():
        return text.translate(_ASCII_SHOWN)
    out: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        out.append(_code(char) if marks > _MARKS else _shown(char))
    return "".join(out)


def _shown(char: str) -> str:
    if char in '\\"':
        return f"\\{char}"
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    turns = unicodedata.bidirectional(char) in {"R", "AL", "AN"}
    return _code(char) if turns or not char.isprintable() or _BLANK.match(char) else char


def _code(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:  # noqa: PLR2004  (what two hexadecimal digits can say)
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


_ASCII_SHOWN = {code: _shown(chr(code)) for code in range(128)}


def _scripts(word: str) -> set[str]:
    """Return the scripts of a word's letters, by the first word of each one's Unicode name."""
    return {unicodedata.name(c, "UNKNOWN").partition(" ")[0] for c in word if c.isalpha()}


def _ascii(text: str) -> str:
    return "".join(c if c.isascii() and c.isprintable() else _code(c) for c in text)


def warnings_on(text: str, *, name: bool = False) -> tuple[str, ...]:
    """Return what may mislead in a text, one sentence each.

    Words whose letters are of scripts that look alike (Cyrillic among Latin), characters that
    are a form of ASCII's, and those that are shown as an escape because they are invisible,
    turn the direction, or control a terminal.  `name`: every letter beyond ASCII too.
    """
    found: list[str] = []
    for word in [] if text.isascii() else dict.fromkeys(text.split()):
        mixed = sorted(_scripts(word) & _ALIKE)
        if len(mixed) > 1:
            found.append(f"letters that look alike ({', '.join(mixed)}) in {_ascii(word)}")
        elif name and (others := _scripts("".join(c for c in word if not c.isascii()))):
            found.append(f"letters of {', '.join(sorted(others))} in {_ascii(word)}")
    if posing := [c for c in dict.fromkeys(text) if not c.isascii() and _poses(c)]:
        found.append(f"characters that pose as others: {_listed(posing)}")
    hidden = {c for c in set(text) - set("\n\r\t") if c not in '\\"' and _shown(c) != c}
    for what, these in (
        ("characters that control a terminal", {c for c in hidden if _is(c, "Cc")}),
        ("characters that turn the direction of text", {c for c in hidden if _turns(c)}),
        ("characters that do not show", {c for c in hidden if not _is(c, "Cc") and not _turns(c)}),
    ):
        if these:
            found.append(f"{what}: {_listed(sorted(these))}")
    return tuple(found)


def _listed(chars: list[str]) -> str:
    return ", ".join(map(_code, chars[:_NAMED])) + (" and more" if len(chars) > _NAMED else "")


def _poses(char: str) -> bool:
    """Whether a character is another form of one of ASCII's, as a fullwidth letter is."""
    same = unicodedata.normalize("NFKC", char)
    return len(same) == 1 and same.isascii() and not same.isspace()


def _is(char: str, category: str) -> bool:
    return unicodedata.category(char) == category


def _turns(char: str) -> bool:
    kind = unicodedata.bidirectional(char)
    return kind in {"R", "AL", "AN", "RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI"}


# -- the records -----------------------------------------------------------------------------


@dataclass(frozen=True)
class ShownValue:
    """One value among the arguments: where it is, and all of it as it can safely be read.

    `shown`: quoted and escaped where it is text, else as JSON writes it.  `length` and `sha256`
    are of the text itself (as UTF-8), or of the JSON.
    """

    at: str
    shown: str
    length: int
    sha256: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ShownEffect:
    """One effect: its verdict and rule, the drives it serves, where, and what it hands over."""

    effect: str
    kind: str
    verdict: str
    rule: str
    drives: tuple[str, ...]
    places: tuple[str, ...]
    by_run: bool
    hands_over: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """One call for an operator's eyes.  `call` is the digest of the call that it shows.

    All texts that an agent or a server may have written are escaped already.
    """

    call: str
    tool: str
    caller: str
    lineage: tuple[str, ...]
    verdict: str
    rule: str
    reason: str
    irreversible: bool
    effects: tuple[ShownEffect, ...]
    drives: tuple[str, ...]
    uses: tuple[str, ...]
    rests_on: tuple[str, ...]
    arguments: tuple[ShownValue, ...]
    warnings: tuple[str, ...]

    def text(self, width: int = _WIDTH) -> str:
        """Return it as lines of at most `width` columns (40 at least), the agent's behind `|`.

        The guard's own lines begin in the first column with one of its words; a line that goes
        on begins with blanks.  The last line says again what is answered.
        """
        return "\n".join(_lines(self, max(width, _NARROWEST)))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found


def preview_of(
    deployment: Deployment,
    call: Call,
    decision: Decision,
    *,
    used: Mapping[str, float] = _NOTHING_USED,
) -> Preview:
    """Return what an operator must see of one call: everything, nothing cut.

    Args:
        deployment: the manifest's; it says what effects reach and what budgets hold.
        call: the call; its arguments are shown as they are at this moment.
        decision: what was decided on it.
        used: what was used of each budget before.

    Raises:
        GuardError: the arguments are no JSON: they cannot be shown as they would be sent.
    """
    try:
        digest = fresh_digest(call)
        arguments = tuple(_values(json.loads(canonical_json(dict(call.arguments))), ""))
    except (ValueError, TypeError, RecursionError) as error:
        raise GuardError(
            f"the arguments of {escaped(call.name)} must be plain JSON to be shown: {error}"
        ) from error
    names = (call.name, call.caller, *call.lineage)
    return Preview(
        call=digest,
        tool=escaped(call.name),
        caller=escaped(call.caller),
        lineage=tuple(map(escaped, call.lineage)),
        verdict=decision.verdict,
        rule=escaped(decision.rule),
        reason=escaped(decision.reason),
        irreversible=decision.irreversible,
        effects=_effects(deployment, call, decision),
        drives=decision.drives,
        uses=tuple(_uses(deployment, decision, used)),
        rests_on=tuple(map(escaped, decision.rests_on)),
        arguments=arguments,
        warnings=tuple(
            f'"{escaped(text)}" has {w}' for text in names for w in warnings_on(text, name=True)
        ),
    )


def _values(value: Any, at: str) -> Iterator[ShownValue]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            plain_key = key if _NAME.fullmatch(key) else f'"{escaped(key)}"'
            step = f"{at}.{plain_key}" if at else plain_key
            for number, shown in enumerate(_values(item, step)):
                on_key = () if number else warnings_on(key, name=True)
                told = tuple(f"its name has {w}" for w in on_key)
                yield _with(shown, told) if told else shown
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _values(item, f"{at}[{number}]")
    elif isinstance(value, str):
        data = value.encode("utf-8", "surrogatepass")
        digest = hashlib.sha256(data).hexdigest()
        yield ShownValue(at, f'"{escaped(value)}"', len(value), digest, warnings_on(value))
    elif at or value:
        text = json.dumps(value)
        yield ShownValue(at, text, len(text), hashlib.sha256(text.encode()).hexdigest(), ())


def _with(shown: ShownValue, told: tuple[str, ...]) -> ShownValue:
    return ShownValue(shown.at, shown.shown, shown.length, shown.sha256, told + shown.warnings)


# -- what it does ----------------------------------------------------------------------------


def _effects(deployment: Deployment, call: Call, decision: Decision) -> tuple[ShownEffect, ...]:
    where: dict[tuple[str, str], list[Effect]] = {}
    try:
        for effect in touch(deployment, call.server, call.tool, call.arguments).effects:
            where.setdefault((effect.verb, effect.asset), []).append(effect)
    except (UnknownToolError, PlaceError, KeyError):
        where = {}  # each effect then says that its place is not known
    return tuple(
        _effect(deployment, decided, where.get((decided.verb, decided.asset), []))
        for decided in decision.effects
    )


def _effect(deployment: Deployment, decided: DecidedEffect, found: list[Effect]) -> ShownEffect:
    # The first pattern is the call's own; those behind it say which asset lies there.
    places = dict.fromkeys(
        f"{server}:{_place(patterns[0])}" for effect in found for server, patterns in effect.within
    )
    by_run = any(effect.by_run for effect in found)
    return ShownEffect(
        effect=str(decided),
        kind=decided.kind,
        verdict=decided.verdict,
        rule=escaped(decided.rule) or "no rule speaks of it",
        drives=tuple(sorted(frozenset().union(*(effect.drives for effect in found)))),
        places=tuple(places) or ("a place that is not known",),
        by_run=by_run,
        hands_over=_handed_over(deployment, decided, by_run=by_run),
    )


def _place(pattern: Pattern) -> str:
    tokens = [t for i, t in enumerate(pattern) if not (i and pattern[i - 1] == "/**")]
    text = "".join({"[*]": "*", "[?]": "?"}.get(token, token) for token in tokens)
    return f'"{escaped(text)}"'


def _handed_over(
    deployment: Deployment, decided: DecidedEffect, *, by_run: bool
) -> tuple[str, ...]:
    """Return, for a delegation, to whom and what they can do: that is what is approved."""
    if decided.verb != "delegate":
        return ()
    asset = deployment.assets.get(decided.asset)
    if asset is None:
        who = "to agents that the manifest does not name: nothing is known of what they can do"
        return (who,)
    at = ", ".join(f"{server}:{place}" for server, globs in asset.at.items() for place in globs)
    found = [f"to {decided.asset} ({asset.kind}) at {at or 'no stated place'}"]
    if asset.boosts:
        gain = ", ".join(f"{name} by {boost:g}" for name, boost in asset.boosts.items())
        found.append(f"it is stated to raise {gain}")
    if by_run:
        found.append("code that the call runs does it: what is handed over shows in no argument")
    for verdict, rules in (
        ("do unasked", deployment.authority.allow),
        ("do once approved", deployment.authority.approve),
    ):
        if rules:
            found.append(f"through this guard it may {verdict}: {'; '.join(map(escaped, rules))}")
    found.append("past this guard nothing here holds it: its own tools are not in this manifest")
    return tuple(found)


def _uses(deployment: Deployment, decision: Decision, used: Mapping[str, float]) -> Iterator[str]:
    for name, amount in decision.uses.items():
        limit = deployment.budgets.get(name)
        of = f" of {limit:g}" if limit is not None else ""
        before = f", {used[name]:g} used before" if name in used else ""
        yield escaped(f"{name}: {amount:g}{of}{before}")


# -- as lines --------------------------------------------------------------------------------


def _lines(preview: Preview, width: int) -> Iterator[str]:
    p = preview
    final = "IRREVERSIBLE" if p.irreversible else "can be undone, as far as the manifest says"
    whom = f'"{p.caller}"'
    if p.lineage:
        whom += " of " + ", of ".join(f'"{name}"' for name in reversed(p.lineage))
    yield from wrapped("CALL      ", p.tool, width)
    yield from wrapped("BY        ", whom, width)
    yield from wrapped("VERDICT   ", f"{p.verdict}, by {p.rule}: {p.reason}", width)
    yield from wrapped("UNDOING   ", final, width)
    for warning in p.warnings:
        yield from wrapped("WARNING   ", warning, width)
    for e in p.effects:
        serves = f", serves {', '.join(e.drives)}" if e.drives else ""
        run = " by the code that it runs" if e.by_run else ""
        said = f"{e.effect} ({e.kind}){run}: {e.verdict}, by {e.rule}{serves}"
        yield from wrapped("EFFECT    ", said, width)
        yield from wrapped("  at      ", ", ".join(e.places), width)
        for line in e.hands_over:
            yield from wrapped("  gives   ", line, width)
    if not p.effects:
        yield from wrapped("EFFECT    ", "none that the manifest knows of", width)
    if p.drives:
        yield from wrapped("DRIVES    ", ", ".join(p.drives), width)
    for use in p.uses:
        yield from wrapped("USES      ", use, width)
    for what in p.rests_on:
        yield from wrapped("RESTS ON  ", what, width)
    yield from _argument_lines(p, width)
    said = f"{p.tool}, {len(p.arguments)} values, {final}, {p.call}"
    yield from wrapped("END OF    ", said, width)


def _argument_lines(preview: Preview, width: int) -> Iterator[str]:
    total = sum(value.length for value in preview.arguments)
    said = f"{len(preview.arguments)} values, {total:,} characters; behind | the agent's own words"
    yield from wrapped("ARGUMENTS ", said, width)
    for value in preview.arguments:
        yield from wrapped("  | ", f"{value.at} = {value.shown}", width, again="  |   ")
        if value.length > _LONG:
            yield from wrapped(
                "  ^ ", f"{value.length:,} characters, sha256 {value.sha256}", width, again="  ^   "
            )
        for warning in value.warnings:
            yield from wrapped("  ! ", warning, width, again="  !   ")


_TOKEN = re.compile(r"""\\\{\d+ \* "(?:\\[^"]*"?|[^"\\])"\}|\\.|[^\\]+""", re.DOTALL)


def wrapped(first: str, text: str, width: int, *, again: str = " " * 10) -> Iterator[str]:
    """Yield one entry as lines of at most `width` columns, each but the first behind `again`.

    A terminal that wrapped it by itself would put the agent's words where ours begin.
    """
    head = first
    for part in _parted(text):
        for piece in _pieces(part, width - len(head), width - len(again)):
            yield head + piece
            head = again


def _pieces(part: str, columns: int, after: int) -> Iterator[str]:
    """Yield a text in pieces of at most `columns` columns, `after` from the second on."""
    if part.isascii():
        yield part[:columns]
        yield from (part[at : at + after] for at in range(columns, len(part), after))
        return
    piece, left = "", columns
    for char in part:
        wide = 2 if unicodedata.east_asian_width(char) in "WF" else 1
        wide = 0 if unicodedata.category(char) in {"Mn", "Me"} else wide
        if wide > left:
            yield piece
            piece, left = "", after
        piece += char
        left -= wide
    yield piece


def _parted(text: str) -> list[str]:
    """Part an escaped text behind each line break that it shows."""
    parts = [""]
    for bit in _TOKEN.findall(text):
        parts[-1] += bit
        if bit == "\\n" or (bit.startswith("\\{") and "\\n" in bit):
            parts.append("")
    return [part for part in parts if part] or [""]
