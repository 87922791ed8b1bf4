"""Shell text into simple commands: words, redirections, pipes, here-documents, substitutions.

No shell is run and nothing is expanded that the text itself does not say: `$NAME` where `NAME`
was assigned a literal before.  It reads what agents write, which is what bash would run for
plain commands, and gives up nothing but meaning on the rest: any text gives some commands.
Linear in the text; text beyond `LONGEST` characters is not read.
"""

import re
from collections.abc import MutableMapping
from dataclasses import dataclass, field

LONGEST = 16_384
_DEEPEST = 4
_MOST_COMMANDS = 400

_PIECE = re.compile(
    r"""
      (?P<space>[ \t\r]+ | \\\n)
    | (?P<heredoc>\d*<<-?(?!<)[ \t]*(?P<quote>['"\\]?)(?P<word>[\w.-]+)['"]?)
    | (?P<redirect>(?:\d*|&)(?:<<<|>>|>\||>&|<&|<>|>|<))
    | (?P<end>\n|;;?|&&|\|\|?&?|&|[()])
    | (?P<single>\$?'[^']*'?)
    | (?P<double>\$?"(?:[^"\\]|\\.)*"?)
    | (?P<sub>\$\(|`)
    | (?P<variable>\$(?:\{[^}]*\}|\w+|[@\#?!*$-]))
    | (?P<escape>\\.)
    | (?P<comment>(?<![^\s;&|])\#[^\n]*)
    | (?P<plain>[^\s'"\\;&|<>()`$]+|[$\\])
    """,
    re.VERBOSE | re.DOTALL,
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)[^}]*\}|(\w+))")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*\+?=")
_FUNCTION = re.compile(r"(?:^|[;&|\n]\s*)(?:function\s+)?([\w.-]+)\s*\(\)\s*\{")


@dataclass(slots=True)
class Command:
    """One simple command.

    `writes`: (path, appended) of its redirections; `stdin`: here-document or here-string;
    `before`: the command that is piped into it; `background`: it ends in `&`.
    """

    argv: list[str] = field(default_factory=list)
    writes: list[tuple[str, bool]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    assigned: list[tuple[str, str]] = field(default_factory=list)
    stdin: str = ""
    before: "Command | None" = None
    background: bool = False


def commands_of(
    text: str, variables: MutableMapping[str, str] | None = None, *, depth: int = 0
) -> list[Command]:
    """Return the simple commands of a shell text in order, those in `$(...)` before their own.

    `variables`: what names were assigned before; literal assignments are added to it.
    """
    reader = _Reader(text[:LONGEST], {} if variables is None else variables, depth)
    reader.read()
    return reader.commands


def functions_of(text: str) -> list[str]:
    """Return the names of the shell functions that a text defines."""
    return _FUNCTION.findall(text[:LONGEST]) if "()" in text else []


class _Reader:
    def __init__(self, text: str, variables: MutableMapping[str, str], depth: int) -> None:
        self.text, self.variables, self.depth = text, variables, depth
        self.commands: list[Command] = []
        self._now = Command()
        self._word: list[str] | None = None
        self._redirect = ""
        self._waiting: list[tuple[str, Command]] = []

    def read(self) -> None:
        at, text = 0, self.text
        while at < len(text) and len(self.commands) < _MOST_COMMANDS:
            piece = _PIECE.match(text, at)
            if piece is None:  # nothing that the pattern knows: one character of a word
                self._add(text[at])
                at += 1
                continue
            at = self._take(piece)
        self._end_word()
        self._end_command("")

    def _take(self, piece: re.Match[str]) -> int:
        kind, found, at = piece.lastgroup, piece[0], piece.end()
        if piece["heredoc"] is not None:
            self._end_word()
            self._waiting.append((piece["word"], self._now))
        elif kind == "space":
            self._end_word()
        elif kind == "redirect":
            self._start_redirect(found)
        elif kind == "end":
            return self._take_end(found, at)
        elif kind == "single":
            self._add(found.lstrip("$").strip("'"))
        elif kind == "double":
            inside = found.lstrip("$").removeprefix('"')
            inside = inside.removesuffix('"')
            self._substitutions(inside)
            self._add(self._expanded(re.sub(r'\\(["\\$`])', r"\1", inside)))
        elif kind == "sub":
            return self._take_substitution(found, at)
        elif kind == "escape":
            self._add(found[1])
        elif kind in {"plain", "variable"}:
            self._add(self._expanded(found))
        return at

    def _take_end(self, found: str, at: int) -> int:
        self._end_word()
        self._end_command(found)
        if found == "\n" and self._waiting:
            return self._take_documents(at)
        return at

    def _take_documents(self, at: int) -> int:
        for word, command in self._waiting:
            end = re.compile(rf"^\s*{re.escape(word)}\s*$", re.MULTILINE).search(self.text, at)
            stop = end.start() if end else len(self.text)
            command.stdin += self.text[at:stop]
            at = end.end() if end else stop
        self._waiting.clear()
        return at

    def _take_substitution(self, found: str, at: int) -> int:
        text, start, open_ = self.text, at, 1
        if found == "`":
            end = text.find("`", at)
            at = len(text) if end < 0 else end
        else:
            while at < len(text) and open_:
                open_ += (text[at] == "(") - (text[at] == ")")
                at += 1
            at -= not open_
        self._inner(text[start:at])
        self._add(f"$({text[start:at]})")
        return min(at + 1, len(text))

    def _substitutions(self, inside: str) -> None:
        if "$(" in inside or "`" in inside:
            for match in re.finditer(r"\$\(([^()]*)\)|`([^`]*)`", inside):
                self._inner(match[1] or match[2] or "")

    def _inner(self, text: str) -> None:
        if self.depth < _DEEPEST:
            self.commands += commands_of(text, self.variables, depth=self.depth + 1)

    def _expanded(self, text: str) -> str:
        if "$" not in text or not self.variables:
            return text
        return _VARIABLE.sub(lambda m: self.variables.get(m[1] or m[2], m[0]), text)

    def _add(self, text: str) -> None:
        if self._word is None:
            self._word = [text]
        else:
            self._word.append(text)

    def _start_redirect(self, found: str) -> None:
        if self._word is not None and "".join(self._word).isdigit():
            self._word = None
        self._end_word()
        self._redirect = found.lstrip("0123456789&")

    def _end_word(self) -> None:
        if self._word is None:
            return
        word = self._expanded("".join(self._word))
        self._word = None
        if self._redirect:
            self._end_redirect(word)
        elif not self._now.argv and _ASSIGNED.match(word):
            name, _, value = word.partition("=")
            self._now.assigned.append((name, value))
        elif word not in _NOISE or self._now.argv:
            self._now.argv.append(word)

    def _end_redirect(self, word: str) -> None:
        found, self._redirect = self._redirect, ""
        if found == "<<<":
            self._now.stdin += word
        elif found in {"<", "<>"}:
            self._now.reads.append(word)
        elif not (found.endswith("&") and (word.isdigit() or word == "-")):
            self._now.writes.append((word, found == ">>"))

    def _end_command(self, found: str) -> None:
        now, self._redirect = self._now, ""
        piped = found in {"|", "|&"}
        now.background = found == "&"
        if not now.argv and len(self.variables) < _MOST_COMMANDS:
            self.variables.update(now.assigned)
        elif now.argv and now.argv[0] in _SETS and len(self.variables) < _MOST_COMMANDS:
            given = (word.partition("=") for word in now.argv[1:])
            self.variables.update((name, value) for name, found, value in given if found)
        if now.argv or now.writes or now.assigned:
            self.commands.append(now)
            self._now = Command(before=now if piped else None)
        else:
            # `( a; b ) | c`: what the group wrote last is what is read here.
            last = self.commands[-1] if piped and self.commands else now.before
            self._now = Command(before=last if piped or not found.strip() else None)


_SETS = frozenset({"export", "declare", "readonly", "local", "typeset", "set"})
_NOISE = frozenset(
    {"{", "}", "!", "then", "do", "else", "elif", "if", "while", "until", "fi", "done", "time",
     "[[", "]]", "in", "esac"}
)  # fmt: skip
"""Words of the shell's own grammar that may stand before a command."""
