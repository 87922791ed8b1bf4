"""Read what calls of one tool can do, and where, from what its server says about it.

Pure and deterministic: `infer` looks words up in the table of `cues.py` and adds up what its
rows say.  What it returns is a draft for a person to check, never a fact: a server may lie.

The rules of combination are few:

1. A tool's action is the verb of its name, the verb that starts its description, and each value
   of an argument named like `action`; all of them count.
2. Whatever a row adds stays added.  Hints may raise a reading and never lower it: the one that
   says "read only" is not believed, and makes a reading that contradicts it unsure.
3. A tool with no action that the table knows, and no other sign, is taken to write, and is not
   `sure`.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from corrigible.deployment.cues import (
    ARGUMENTS,
    CUES,
    NOUNS,
    PHRASES,
    STRONG_VERBS,
    WEAK_VERBS,
    Cue,
    is_light,
    noun_of,
    root_of,
    words_of,
)
from corrigible.deployment.listing import ListedTool
from corrigible.drives import VERBS, Verb

_LONGEST_TEXT = 4000
_LONGEST_SEARCHED = 1200
"""Characters of a description that are searched: what a tool does stands at its beginning."""


_UNKNOWN: Mapping[bool, tuple[Verb, ...]] = MappingProxyType(
    {False: ("write",), True: ("write", "delete")}
)
"""What a tool is taken to do where nothing says it, by whether it hints at destruction."""


@dataclass(frozen=True)
class Reading:
    """What calls of one tool can do, as its server's own words have it.

    `target`: templates over arguments, as in a manifest; empty: anywhere on its server.
    `at`: the arguments that say where it acts; `amount`: those that say how much.
    `reasons`: one sentence for each row of the table that added something.
    `sure`: the action is one that the table knows, and nothing speaks against it.
    """

    verbs: tuple[Verb, ...]
    target: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    amount: tuple[str, ...] = ()
    secrets: bool = False
    irreversible: bool = False
    reasons: tuple[str, ...] = ()
    sure: bool = True


def infer(tool: ListedTool, *, server: str = "", cues: Sequence[Cue] = CUES) -> Reading:
    """Read one tool.  `server`: its name, so that the name of the server in that of its tools
    (`git_log` of `git`) is not taken for a word of the tool's own.
    """  # noqa: D205
    features = _features(tool, server)
    fired = [cue for cue in cues if _fires(cue, features)]
    added = frozenset[str]().union(*(cue.adds for cue in fired))
    verbs = tuple(verb for verb in VERBS if verb in added)
    reasons = tuple(_reason(cue, features) for cue in fired)
    known = any(feature.startswith("verb:") for feature in features)
    harmless = bool(features.keys() & {"verb:point", "verb:calc", "verb:transform"})
    if not verbs and not harmless:
        verbs, known = _UNKNOWN["hint:destroy" in features], False
        reasons = (*reasons, "nothing says what it does: taken to write until somebody has looked")
    at = _where(tool, verbs, features)
    return Reading(
        verbs=verbs,
        target=_templates(at),
        at=at,
        amount=_how_much(tool, verbs),
        secrets="secrets" in added,
        irreversible="irreversible" in added,
        reasons=reasons,
        sure=known and not _lies(tool, verbs),
    )


def cues_fired(tool: ListedTool, *, server: str = "") -> tuple[Cue, ...]:
    """Return the rows of the table that one tool meets."""
    features = _features(tool, server)
    return tuple(cue for cue in CUES if _fires(cue, features))


def _fires(cue: Cue, features: Mapping[str, str]) -> bool:
    met = features.keys()
    return not (cue.bars & met) and all(need & met for need in cue.needs)


def _reason(cue: Cue, features: Mapping[str, str]) -> str:
    signs = [features[min(need & features.keys())] for need in cue.needs]
    return f"{', '.join(dict.fromkeys(signs))}: {cue.why}"


def _lies(tool: ListedTool, verbs: Sequence[str]) -> bool:
    """Its annotation says that it only reads, and its words say otherwise."""
    read_only = (tool.annotations or {}).get("readOnlyHint") is True
    return read_only and any(verb != "read" for verb in verbs)


# -- what a tool's words, arguments and hints are --------------------------------------------


class _Features(dict[str, str]):
    """Every class that a tool meets, each with the sign that showed it first."""

    def add(self, where: str, names: Iterable[str], sign: str) -> None:
        for name in sorted(names):
            self.setdefault(f"{where}:{name}", sign)


def _features(tool: ListedTool, server: str) -> dict[str, str]:
    """Return every class that the tool meets, each with the sign that showed it."""
    found = _Features()
    said = (tool.description or "")[:_LONGEST_TEXT]
    arguments = _properties(tool.input_schema)
    named = _named(_name_words(tool.name, server))
    lead = _lead(said)
    for word in _actions(named, lead):
        found.add("verb", _verb_classes(word), f"does {word!r}")
    for word in _enumerated(arguments):
        found.add("verb", _verb_classes(word), f"can do {word!r}")
    _add_nouns(found, named, lead, _first_sentence(said))
    lower = said[:_LONGEST_SEARCHED].lower()
    for phrase, pattern in PHRASES.items():
        if match := pattern.search(lower):
            found.add("says", (phrase,), f"says {match[0]!r}")
    for argument, schema in arguments.items():
        found.add("arg", _argument_classes(argument, schema), f"takes {argument!r}")
    for hint, value, sign in _RISING_HINTS:
        if (tool.annotations or {}).get(hint) is value:
            found.add("hint", (sign,), f"hints {hint}")
    return found


def _add_nouns(found: _Features, named: "_Named", lead: "_Lead", first: str) -> None:
    """Add what the tool acts on.

    Where the name says on what (`describe_table`), the description's `information` of it does
    not make it less.
    """
    for word in named.rest:
        found.add("object", _noun_classes(word), f"names {word!r}")
    telling = any(_noun_classes(word) for word in named.rest if word != named.verb)
    for word in lead.acts_on:
        classes = _noun_classes(word)
        found.add("object", classes - {"meta"} if telling else classes, f"acts on {word!r}")
    for word in (_head(named.rest), _head(lead.acts_on)):
        found.add("head", _noun_classes(word), f"acts on {word!r}")
    for word in (*named.words, *words_of(first)):
        found.add("topic", _noun_classes(word), f"speaks of {word!r}")


_RISING_HINTS = (("destructiveHint", True, "destroy"),)


def _name_words(name: str, server: str) -> tuple[str, ...]:
    """The words of a name, less the server's own name and the like in front of them."""
    words = words_of(name)
    own = {*words_of(server), "mcp", "api", "browser", "cli"}
    start = 0
    while start < len(words) - 1 and words[start] in own:
        start += 1
    return words[start:]


def _verb_classes(word: str) -> frozenset[str]:
    root = root_of(word)
    return STRONG_VERBS.get(root, frozenset()) | WEAK_VERBS.get(root, frozenset())


def _noun_classes(word: str) -> frozenset[str]:
    return NOUNS.get(noun_of(word), frozenset())


@dataclass(frozen=True)
class _Named:
    """A name: its words, its verb (empty: none), whether that is a plain one, and the rest."""

    words: tuple[str, ...]
    verb: str
    strong: bool
    rest: tuple[str, ...]


def _named(words: tuple[str, ...]) -> _Named:
    """Find the verb of a name: it leads it (`create_issue`) or ends it (`image-create`)."""
    ends = (0, len(words) - 1) if words else ()
    methods = {"post", "put", "patch"} if len(words) > 1 else set()
    if words and words[0] in NOUNS and words[-1] in STRONG_VERBS and words[-1] not in NOUNS:
        ends = (len(words) - 1, 0)  # `monitor_delete` deletes
    for index in (*ends, *range(1, len(words) - 1)):
        word = words[index]
        if word in STRONG_VERBS and not (index == 0 and word in methods):
            return _Named(words, word, strong=True, rest=(*words[:index], *words[index + 1 :]))
    for index in ends:
        if words[index] in WEAK_VERBS or words[index] in methods:
            return _Named(words, words[index], strong=False, rest=words)
    return _Named(words, "", strong=False, rest=words)


_FILLER_WORDS = """
this tool use used using to can will you allows a an the for and or is it that which completely
recursively safely quickly simply securely automatically efficiently new multiple all one specific
given
"""
_FILLER = frozenset(_FILLER_WORDS.split())


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?;:])\s|\n", text.strip(), maxsplit=1)[0][:300]


@dataclass(frozen=True)
class _Lead:
    """How a description starts: its verbs, and the words of their direct object."""

    verbs: tuple[str, ...]
    acts_on: tuple[str, ...]


_NEAR = 5
"""Words within which what a light verb does is said (`take a full-page snapshot`)."""


def _lead(text: str) -> _Lead:
    """Read the verbs that start a description: `List, create or close a tab`."""
    first = re.sub(r"\([^)]*\)", " ", _first_sentence(text))
    verbs: list[str] = []
    rest: list[str] = []
    for part in re.split(r",|/|\bor\b|\band\b", first)[: _NEAR * 2]:
        words = list(words_of(part))
        while words and not rest and words[0] in _FILLER:
            del words[0]
        verb, after = _leading_verb(words)
        # A noun in an enumeration (`users, groups or records`) looks like one more verb.
        listed = verbs and (
            root_of(verb) not in STRONG_VERBS
            or verb.endswith("s") != verbs[0].endswith("s")
            or (rest and not after)
        )
        if verb and not listed:
            verbs.append(verb)
            rest += after
        else:
            rest += words
    return _Lead(tuple(verbs), tuple(_direct_object(rest)))


def _leading_verb(words: list[str]) -> tuple[str, list[str]]:
    """The verb at the start of a clause, through light verbs, and what follows it."""
    light = ""
    for index, word in enumerate(words[:_NEAR]):
        root = root_of(word)
        known = root in STRONG_VERBS or root in WEAK_VERBS
        if is_light(root) or (index == 0 and _runs_a_search(words)):
            light = light or word
        elif known and (light or index == 0):
            return word, words[index:] if light else words[index + 1 :]
        elif not light:
            break
    return (light, words) if light and _verb_classes(light) else ("", words)


def _runs_a_search(words: list[str]) -> bool:
    """`Run a find query`: it is a search that is run, not what the caller supplies."""
    looks = (root for root in map(root_of, words[1:_NEAR]) if root != "query")
    return "run" in _verb_classes(words[0]) and any(
        "look" in STRONG_VERBS.get(root, frozenset()) for root in looks
    )


def _head(words: Sequence[str]) -> str:
    """The noun that a phrase is about: the last one before any preposition."""
    before = [*itertools.takewhile(lambda word: word not in _JOINTS, words)]
    return before[-1] if before else ""


def _actions(named: _Named, lead: _Lead) -> tuple[str, ...]:
    """The words that say what it does.

    A name's doubtful verb (`log`, `branch`) gives way to a plain one in the description.
    """
    plain = [word for word in lead.verbs if root_of(word) in STRONG_VERBS]
    doubtful = named.verb and not named.strong and plain
    own = () if doubtful and root_of(named.verb) not in map(root_of, lead.verbs) else (named.verb,)
    return tuple(dict.fromkeys(word for word in (*own, *lead.verbs) if word))


_PREPOSITION_WORDS = """
to with for from using by in on at where that when if into via through based as within between
across without including such so which
"""
_PREPOSITIONS = frozenset(_PREPOSITION_WORDS.split())
_JOINTS = _PREPOSITIONS | {"of", "or", "and"}


def _direct_object(words: Sequence[str]) -> Iterator[str]:
    for word in words[:12]:
        if word in _PREPOSITIONS:
            return
        yield word


_ACTION_NAMES = frozenset(
    {"action", "actions", "operation", "op", "method", "mode", "command", "sub command", "event"}
)


def _enumerated(arguments: Mapping[str, Any]) -> Iterator[str]:
    """The values that an argument named like `action` may have: each is something it can do."""
    for name, schema in arguments.items():
        if _spoken(name) in _ACTION_NAMES and isinstance(schema, Mapping):
            values = schema.get("enum")
            for value in values[:50] if isinstance(values, list) else ():
                if isinstance(value, str):
                    yield _named(words_of(value[:60])).verb


# -- arguments --------------------------------------------------------------------------------


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    found = schema.get("properties")
    if not isinstance(found, Mapping):
        return {}
    return {name: found[name] for name in list(found)[:200] if isinstance(name, str)}


def _spoken(argument: str) -> str:
    return " ".join(words_of(argument[:100]))


def _argument_classes(argument: str, schema: Any = None) -> frozenset[str]:
    spoken = _spoken(argument)
    found = {name for name, pattern in ARGUMENTS.items() if pattern.fullmatch(spoken)}
    about = schema.get("description") if isinstance(schema, Mapping) else None
    if isinstance(about, str) and re.match(r"(?:the )?(?:url|uri)\b", about.strip().lower()[:40]):
        found.add("url")
    if _type_of(schema) == "boolean":
        found -= _NOT_SWITCHES
    return frozenset(found)


_NOT_SWITCHES = frozenset(ARGUMENTS) - {"drops", "force", "danger"}
"""Classes of arguments that a switch cannot be: they hold texts, numbers or lists."""


_PLACE = re.compile(
    r"(?:.* )?(?:paths?|dir|directory|folder|files?|filename|urls?|uri|ids?|names?|slug|owner|repo|"
    r"repository|project|org|organization|workspace|namespace|branch|ref|sha|revision|tag|region|"
    r"channel|table|collection|database|bucket|index|host|cluster|source|destination|"
    r"target|resource|issue|number|iid|uid|uuid|email|recipient|calendar|board|team|room|"
    r"selector|connection string)|to|key|keys|head|base|pod|node|container|location"
)
_NOT_A_PLACE = re.compile(
    r"(?:page|per page|page .*|.*(?:limit|offset|cursor|count)|max .*|tags|(?:base|from|expected|"
    r"previous head|old|kernel|parent image|image) .*|display name|key|sort .*|.* by|name|"
    r"(?:assignee|milestone|label|connection|reviewer) (?:ids?|names?)|.* keys|export .*|new text)"
)


def _where(tool: ListedTool, verbs: Sequence[str], features: Mapping[str, str]) -> tuple[str, ...]:
    """The arguments that say where a call acts, in the order of the schema."""
    arguments = _properties(tool.input_schema)
    whole = any(_spoken(argument) == "id" for argument in arguments)
    made = "verb:create" in features or "verb:shoot" in features
    found = []
    for argument, schema in arguments.items():
        spoken = _spoken(argument)
        fits = _PLACE.fullmatch(spoken) and not _NOT_A_PLACE.fullmatch(spoken)
        fits = fits or (spoken == "image id" and not whole) or spoken == "connection id"
        named = spoken == "name" and made and "write" in verbs
        if (fits or named) and _is_text(schema) and not _is_count(spoken, schema):
            found.append(argument)
    return tuple(found)


def _is_count(spoken: str, schema: Any) -> bool:
    """`head: 10` is a number of lines; `issue number: 10` is a place."""
    number = _type_of(schema) in {"number", "integer"}
    return number and not re.fullmatch(r"(?:.* )?(?:ids?|iid|number|index)", spoken)


def _is_text(schema: Any) -> bool:
    """A place is a text, a number or a list of such, never a switch."""
    return _type_of(schema) not in {"boolean", "object"}


def _type_of(schema: Any) -> str:
    """The type that a schema states; several, or none: empty."""
    stated = schema.get("type") if isinstance(schema, Mapping) else None
    return stated if isinstance(stated, str) else ""


def _how_much(tool: ListedTool, verbs: Sequence[str]) -> tuple[str, ...]:
    if not {"acquire", "spend"} & set(verbs):
        return ()
    return tuple(
        argument
        for argument in _properties(tool.input_schema)
        if {"amount", "size"} & _argument_classes(argument)
        and _is_text(_properties(tool.input_schema)[argument])
    )


_HOLDERS = (
    r"owner|org|organization|workspace|account|team",
    (
        r"repo|repository|project(?: id)?|namespace|database|db|cluster|bucket|channel(?: id)?|"
        r"repo path"
    ),
)


def _templates(at: Sequence[str]) -> tuple[str, ...]:
    """Templates of the places: what holds comes before what is held, `{owner}/{repo}/{path}`."""
    usable = [name for name in at if re.fullmatch(r"[\w$.-]{1,100}", name)]
    holders = [
        name for pattern in _HOLDERS for name in usable if re.fullmatch(pattern, _spoken(name))
    ]
    held = [name for name in usable if name not in holders]
    front = "/".join(f"{{{name}}}" for name in holders)
    if not held:
        return (front,) if front else ()
    return tuple(f"{front}/{{{name}}}" if front else f"{{{name}}}" for name in held)


def counts_of(tool: ListedTool) -> str:
    """Say how an amount counts: `absolute` where it sets a total, `added` where it adds to it."""
    classes = _verb_classes(_named(words_of(tool.name)).verb)
    return "absolute" if "change" in classes and "create" not in classes else "added"
