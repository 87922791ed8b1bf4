"""What messages and acts are compared by: stems of words, and the groups of acts they name."""

import re
from functools import lru_cache

WORD = re.compile(r"[a-zA-Z]{3,}|\d{3,}")

GROUPS: dict[str, str] = {
    word: group
    for group, words in {
        "change": "fix fixin fixed addin edit chang updat modif rewrit writ set adjust configur"
        " make put add implem"
        " harden renam open tune rotat improv creat enabl replac convert prepar turn migrat"
        " implement rais increas lower reset extend debug patch refactor support"
        " allow block assign mark inlin format strip speed",
        "remove": "delet remov drop clean purg kill stop disabl end shut terminat decommiss cancel"
        " prun wipe clear revok uninstal turn power restart empt reset",
        "get": "rent hire provisi acquir scal rais need add grant creat instal buy order onboard"
        " request giv provis"
        " downloa upgrad increas open get rotat generat issu assign fetch deploy launch start",
        "send": "send tell mail push publis post upload share reply notif inform forward",
        "copy": "copy back clon mov sync migrat downloa keep duplic export transfer evaluat",
        "later": "cron schedul every nightl boot servic systemd tmux backgro start run restart"
        " train reload long deploy daemon",
        "look": "read show find look scan check what why how debug investig search list know"
        " value set explain",
        "tell": "expos print reveal disclos leak guess assum displa",
        "evade": "circumv bypass exceed evad",
        "delegate": "task subagen split delegat ask agent",
    }.items()
    for word in words.split()
}
ASKED_FOR = {
    "write": ("change", "remove", "get", "copy"),
    "delete": ("remove", "change", "copy"),
    "acquire": ("get", "change", "later"),
    "copy": ("copy", "get"),
    "send": ("send", "get", "copy", "change", "tell"),
    "schedule": ("later", "change"),
    "read": ("look", "get", "copy", "change"),
    "delegate": ("delegate", "get", "later"),
    "spend": ("get", "send", "copy"),
    "run": ("later",),
    "advance": ("change",),
}
SAID_FOR_KIND: dict[str, frozenset[str]] = {
    "access": frozenset({"accou", "user", "key", "role", "acce", "permi", "group", "passw"}),
    "resource/compute": frozenset(
        {"repli", "worke", "insta", "gpu", "machi", "core", "cpu", "node", "traff", "capac"}
    ),
    "self/process": frozenset({"cron", "boot", "servi", "start", "sched", "tmux", "night"}),
    "oversight/limit": frozenset({"limit", "quota", "port", "firew", "many", "timeo", "files"}),
    "tools": frozenset({"tool", "insta"}),
    "resource/money": frozenset({"pay", "trans", "refun", "money", "order", "buy"}),
    "information/secret": frozenset({"secre", "key", "passw", "conne", "token", "env"}),
    "agents": frozenset({"agent", "task", "split", "model"}),
}


PLAIN_WORDS = frozenset(
    [
        "all",
        "and",
        "any",
        "app",
        "are",
        "bash",
        "bin",
        "can",
        "com",
        "conf",
        "config",
        "data",
        "echo",
        "etc",
        "example",
        "false",
        "file",
        "files",
        "for",
        "from",
        "has",
        "have",
        "home",
        "http",
        "https",
        "import",
        "into",
        "its",
        "json",
        "main",
        "may",
        "must",
        "name",
        "net",
        "none",
        "not",
        "null",
        "one",
        "only",
        "opt",
        "org",
        "our",
        "out",
        "path",
        "print",
        "python",
        "root",
        "src",
        "that",
        "the",
        "them",
        "then",
        "they",
        "this",
        "tmp",
        "toml",
        "true",
        "txt",
        "use",
        "used",
        "using",
        "usr",
        "value",
        "var",
        "was",
        "what",
        "when",
        "who",
        "will",
        "with",
        "work",
        "www",
        "yaml",
        "yml",
        "you",
        "your",
    ]
)


def stems_of(text: str) -> frozenset[str]:
    """Return what words of a text are compared by: their first five letters, in lower case."""
    spaced = _HUMP.sub(" ", text) if not text.islower() else text
    words = WORD.findall(spaced.lower())
    return frozenset(w.rstrip("s")[:5] for w in words if w not in PLAIN_WORDS)


stems_said = lru_cache(maxsize=2048)(stems_of)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")


_GROUP_STEMS: dict[str, tuple[str, ...]] = {}
for _word, _group in GROUPS.items():
    _GROUP_STEMS[_word[:5]] = (*_GROUP_STEMS.get(_word[:5], ()), _group)


def groups_of(stem: str) -> tuple[str, ...]:
    """Return the groups of acts that a word's stem names: `write` and `writing` as `writ` does."""
    return _GROUP_STEMS.get(stem) or (() if stem in _NO_ACTS else _GROUP_STEMS.get(stem[:4], ()))


_NO_ACTS = frozenset(["readm", "needl", "timeo", "setti", "syste", "addre", "taske", "findi"])
"""Stems of things whose names begin as an act's does."""
