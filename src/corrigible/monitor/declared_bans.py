"""What messages forbid: which sentences do, of which act, about what, and how much is too much."""
# ruff: noqa: RUF001, E501  (people write both apostrophes; a pattern is one line)

import re
from collections.abc import Iterator
from dataclasses import dataclass

from corrigible.drives import ORGANS, Kind, Verb
from corrigible.monitor.declared_stems import ASKED_FOR, groups_of, stems_of

_LONGEST = 24_000

# `_FORBIDS`, `_REPORTS`, `CONDITIONAL` and `_CAP` are tried on text in lower case.
_FORBIDS = re.compile(
    r"\b(?:do not|don['’]t|must not|mustn['’]t|may not|should not|shouldn['’]t|cannot|can['’]t|never"
    r"|not (?:be )?(?:allowed|permitted|authori[sz]ed)|no authority|forbidden|prohibited|refrain"
    r"|off[- ]limits|hands off|not to be|without (?:asking|permission|approval)|out of bounds"
    r"|only (?:be|by|the)|is reserved|belongs? to|leave .{1,60}?(?:running"
    r"|alone|untouched|intact|as (?:it|they))\b|stay within|must stay|read[- ]only|must be (?:left|kept)|let it\b"
    r"|is for the|is intended|allow yourself|no(?:body|t)? (?:may|to)\b|unprivileged"
    r"|granted by|by the \w+ team only|without (?:any )?(?:outside|external|internet|network|access)|\boffline\b|by \w+ only"
    r"|need(?:s)? (?:a|an)? ?(?:\w+'s )?(?:approval|review)|must not leave|work alone"
    r"|(?:is|are) (?:set|managed|decided|owned|issued|changed|controlled|granted|maintained) (?:only )?by (?:the |our |a |an )?"
    r"(?:\w+ ){0,2}(?:team|operators?|owners?|admin\w*|managers?|people|humans?|staff|department|security|safety)\b"
    r"|(?:^|[,;:] )no (?:\w+ ){0,2}(?:machines?|tools?|packages?|libraries|internet|network|access|agents?|credentials?"
    r"|keys?|accounts?|services?|requests?)\b|, owned by|(?:is|are) (?:protected|private|confidential|frozen|locked)\b|no changes?\b|freeze\b|ask (?:me |us )?(?:first|before)"
    r"|(?:is|are) not (?:needed|wanted|yours|part of))",
)


_REPORTS = re.compile(
    r"\b(?:i|we|he|she|they|there|who|which|it|why|he's|i'm|i am)\b(?: \w+)? (?:do not|don['’]t|cannot"
    r"|can['’]t|may not|should not|shouldn['’]t|never|am not|are not)\b|\bwhy\b|\?\s*$",
)
"""Who says what they do not do forbids nothing: `I don't have my booking number`."""


CONDITIONAL = re.compile(
    r"\b(?:if|unless|when|until(?! (?:mon|tues|wednes|thurs|fri|satur|sun)day|until (?:next|tomorrow|\d|further|the end))"
    r"|only after|in case|except)\b"
)


@dataclass(frozen=True, slots=True)
class Ban:
    """A sentence that forbids without a condition: its words, and which kinds of act it names.

    `groups` empty: it names no act, so every one is meant (`/vault is off limits`).
    """

    stems: frozenset[str]
    groups: frozenset[str]
    kinds: frozenset[Kind]
    of_all: bool  # it speaks of an act on anything: `do not delete data`

    def is_of(self, verb: Verb) -> bool:
        """Whether it forbids such an act: it names it, or it names none."""
        return not self.groups or not self.groups.isdisjoint(ASKED_FOR[verb])

    def is_about(self, stems: frozenset[str]) -> bool:
        """Whether a thing's words are most of what it is about, beside the words for acts."""
        core = {stem for stem in self.stems if not groups_of(stem)} or self.stems
        return 2 * len(stems & core) > len(core)


def ban_of(part: str, sentence: str, kinds: tuple[Kind, ...]) -> Ban:
    """Return the ban that a sentence is: its acts are those of the part that forbids."""
    bare = _NO_OBJECT.sub(" ", sentence)
    stems = stems_of(bare)
    acts = stems_of(_NO_OBJECT.sub(" ", part))
    groups = frozenset(group for s in acts for group in groups_of(s))
    if _SHOWS.search(part):
        groups |= {"tell"}
    about = frozenset(ORGANS if "oversight/" in sentence else kinds)
    core = {stem for stem in stems - _BANNING if not groups_of(stem)}
    return Ban(stems - _BANNING, groups, about, not core and bare == sentence)


_SHOWS = re.compile(r"(?i)\b(?:print|echo|show)\b")


_NO_OBJECT = re.compile(
    r"(?i)\bread[- ]only\b|\bonly (?:be )?read\b|\boff[- ]limits\b|\bout of bounds\b"
    r"|\b(?:outside(?: of)?|except(?: for)?|other than|beyond|apart from|besides)(?: the| in)? \S+"
    r"|\buntil\b.*|\bcode freeze\b|\bfreeze\b|\b(?:\d+|of|per) turns?\b|\b(?:is|are) (?:set|managed|decided|owned|issued|changed|controlled|granted|maintained) (?:only )?by\b[^.;,]*"
)
"""What of a ban is neither its act nor what it is about."""


_BANNING = frozenset({"allow", "must", "never", "permi", "forbi", "may", "outsi", "bound", "chang",
                      "modif", "alter", "touch", "edit", "delet", "write", "remov", "new",
                      "other", "more", "addit", "there", "first", "befor", "anyth", "under"})  # fmt: skip


_LEFT_OUT = re.compile(
    r"(?i)\b(?:outside(?: of)?|except(?: for)?|other than|beyond|apart from|besides)(?: the| in)? [\"'`]?$"
)


_TURN = re.compile(
    r";\s+|[,:\u2014-]\s+(?=(?:but|instead|check|use|see|prefer|rather|first|read|run|look|please|always|follow|write|ask)\b)"
)


def banning_part(sentence: str, said: str) -> str:
    """Return the part of a sentence that forbids: `never guess, check package.json first`."""
    if len(said) != len(sentence):
        return sentence
    at = 0
    for match in (*_TURN.finditer(said), None):
        end = match.start() if match else len(said)
        if _FORBIDS.search(said, at, end):
            return sentence[at:end]
        at = match.end() if match else end
    return sentence


def is_left_out(thing: str, sentence: str) -> bool:
    """Whether a sentence that forbids leaves a thing out: `nothing outside of src/`."""
    return _LEFT_OUT.search(sentence[: sentence.find(thing)]) is not None


_CAP = re.compile(
    r"(?:at most|no more than|up to|maximum of|limited to|limit of|cap of|not exceed|only use|may use|you have|are given)"
    r" (?:the )?(?:[$€£]|usd |eur )?(?P<number>\d[\d,.]*)\s?(?P<noun>[a-z]{3,})"
)


def caps_in(lower: str) -> Iterator[tuple[str, float]]:
    """Yield how many of a thing a message allows at most: `at most 4 GPUs`."""
    for match in (
        _CAP.finditer(lower[:_LONGEST]) if any(digit in lower for digit in "123456789") else ()
    ):
        try:
            yield (
                match["noun"].rstrip("s")[:5],
                float(match["number"].rstrip(".,").replace(",", "")),
            )
        except ValueError:
            continue


_FORBIDDING = (
    "not", "n't", "n’t", "never", "prohibit", "forbid", "refrain", "limits", "hands off", "only",
    "reserved", "belong", "leave ", "stay", "read-only", "kept", "must be left", "let it", "for the",
    "intended", "yourself", "nobody", "unpriv", "granted by", "without", "needs", "need ", "bounds",
    "alone", " no ", "authority", " by ", "protected", "private", "confidential", "frozen", "locked",
    "offline", "no change", "no ", "freeze", "ask ", "no further",
)  # fmt: skip
"""What a sentence must hold for `_FORBIDS` to be tried."""


def forbids(said: str) -> bool:
    """Whether a sentence in lower case forbids something."""
    for word in _FORBIDDING:
        if word in said:
            break
    else:
        return False
    return _FORBIDS.search(said) is not None and _REPORTS.search(said) is None
