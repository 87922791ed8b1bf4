"""Read the servers that an agent's client is configured with.

Three shapes are read: `.mcp.json` and `claude_desktop_config.json` (`mcpServers`) and VS Code's
`mcp.json` (`servers`, with `inputs`); comments and trailing commas are allowed in all of them.
Keys that only concern the client are passed over.

What an `env` variable or a header holds is taken for a secret, always: it serves to list the
servers now, is in no record's `repr`, and goes by reference alone into a draft.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from corrigible.deployment.jsonc import Json, Steps, parse_json
from corrigible.deployment.listing import plain
from corrigible.errors import ManifestError, Problem

Transport = Literal["stdio", "http", "sse"]

_LARGEST_BYTES = 1_000_000
_REFERENCE = re.compile(
    r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{input:([^}]*)\}"
)
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECTIONS = ("mcpServers", "servers")


@dataclass(frozen=True)
class Given:
    """A variable or a header that a server is given.

    `reference`: the environment variable by which a manifest refers to its value.  `literal`:
    the client's file holds the value itself.  `text`: what the file holds, never to be shown.
    """

    name: str
    reference: str
    literal: bool
    text: str = field(repr=False)


@dataclass(frozen=True)
class ServerSpec:
    """One server as a client starts or reaches it: `command` or `url`, never both.

    `label`: what the client calls it; `name`: that, fit for a manifest.
    """

    name: str
    command: tuple[str, ...] | None = field(default=None, repr=False)
    url: str | None = field(default=None, repr=False)
    transport: Transport = "stdio"
    env: tuple[Given, ...] = ()
    headers: tuple[Given, ...] = ()
    cwd: str | None = None
    label: str = ""


class _UnresolvedError(LookupError):
    """A value refers to what nobody said."""


def read_client_config(path: Path) -> tuple[ServerSpec, ...]:
    """Read every server of a client's configuration that is not disabled.

    Raises:
        ManifestError: it cannot be read, is no JSON, or breaks a rule; all problems at once.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        text = f"cannot be read: {error.strerror or error}"
        raise ManifestError([Problem(str(path), 0, 0, text)]) from None
    if len(raw) > _LARGEST_BYTES:
        text = f"may be {_LARGEST_BYTES:,} bytes at most, got {len(raw):,}"
        raise ManifestError([Problem(str(path), 0, 0, text)])
    try:
        return parse_client_config(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        text = f"must be UTF-8 text, byte {error.start} is {raw[error.start]:#04x}"
        raise ManifestError([Problem(str(path), 0, 0, text)]) from None


def parse_client_config(text: str, file: str = "<text>") -> tuple[ServerSpec, ...]:
    """Read the servers of a configuration given as text: as `read_client_config`."""
    source = parse_json(text, file)
    problems = source.problems
    if not isinstance(source.value, Mapping):
        raise ManifestError([*problems, source.problem((), "must be a JSON object")])
    section = next((name for name in _SECTIONS if name in source.value), None)
    if section is None:
        known = ", ".join(map(repr, list(source.value)[:8])) or "nothing"
        rule = f"must hold `mcpServers` or `servers`, has {plain(known)}"
        raise ManifestError([*problems, source.problem((), rule)])
    entries = source.value[section]
    if not isinstance(entries, Mapping):
        rule = f"{section} must map names to servers, got {_kind(entries)}"
        raise ManifestError([*problems, source.problem((section,), rule)])
    specs: list[ServerSpec] = []
    for label, entry in entries.items():
        reader = _Entry(source, (section, label), entry)
        spec = reader.spec(label, {known.name for known in specs})
        if spec is not None:
            specs.append(spec)
    if problems:
        raise ManifestError(sorted(problems, key=lambda p: (p.line, p.column)))
    return tuple(specs)


def spec_of_command(command: Sequence[str], *, name: str | None = None) -> ServerSpec:
    """Describe a server by its command line alone.

    Raises:
        ManifestError: the command is empty.
    """
    if not command or not all(command):
        raise ManifestError([Problem("--", 0, 0, f"must be a command, got {list(command)!r}")])
    return ServerSpec(name=_fit_name(name or _name_of(command), set()), command=tuple(command))


def resolve(text: str, environ: Mapping[str, str]) -> str:
    """Fill in the `${VARIABLE}` and `${env:VARIABLE}` of a text.

    Raises:
        LookupError: it refers to a variable that is not set, or to a question (`${input:...}`)
            that only the client can ask; the message names it.
    """

    def value(match: re.Match[str]) -> str:
        variable, default, question = match.groups()
        if question is not None:
            raise _UnresolvedError(f"its client asks for {plain(question, 60)!r} when it starts")
        if variable in environ:
            return environ[variable]
        if default is not None:
            return default
        raise _UnresolvedError(f"the environment variable {variable} is not set")

    return _REFERENCE.sub(value, text)


def refers(text: str) -> bool:
    """Say whether a text refers to variables, to questions, or to the client's own places."""
    return "${" in text


@dataclass
class _Entry:
    """One server's entry, read key by key; what is wrong goes to the file's problems."""

    source: Json
    steps: Steps
    value: Any

    def wrong(self, key: Steps, text: str) -> None:
        name = ".".join(map(str, (*self.steps, *key)))
        problem = self.source.problem((*self.steps, *key), f"{plain(name)} {text}")
        self.source.problems.append(problem)

    def spec(self, label: str, taken: set[str]) -> ServerSpec | None:
        if not isinstance(self.value, Mapping):
            self.wrong((), f"must be a server's entry, got {_kind(self.value)}")
            return None
        if self.value.get("disabled") is True:
            return None
        name = _fit_name(label, taken)
        command, url = self.text("command"), self.text("url") or self.text("serverUrl")
        arguments = self.texts("args")
        if (command is None) == (url is None) and not self.said_wrong():
            both = "both" if command else "neither"
            self.wrong((), f"must have `command` or `url`, got {both}")
        if url is not None and not re.match(r"https?://[^\s]+$", url) and not refers(url[:2]):
            self.wrong(("url",), "must be an http:// or https:// address")
        return ServerSpec(
            name=name,
            command=None if command is None else (command, *arguments),
            url=url,
            transport=self.transport(url),
            env=self.given("env", ""),
            headers=self.given("headers", name),
            cwd=self.text("cwd"),
            label=label,
        )

    def said_wrong(self) -> bool:
        """Say whether `command` or `url` is there, and wrong: that was reported already."""
        keys = ("command", "url", "serverUrl")
        return any(key in self.value and not isinstance(self.value[key], str) for key in keys)

    def transport(self, url: str | None) -> Transport:
        kind = self.value.get("type", self.value.get("transport"))
        known = {"stdio", "http", "sse", "streamable-http", "streamableHttp", "streamable_http"}
        if kind is not None and (not isinstance(kind, str) or kind not in known):
            self.wrong(("type",), f"must be stdio, http or sse, got {plain(repr(kind), 60)}")
        if kind == "sse":
            return "sse"
        return "stdio" if url is None else "http"

    def text(self, key: str) -> str | None:
        value = self.value.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value or "\0" in value:
            self.wrong((key,), f"must be text that is not empty, got {_kind(value)}")
            return None
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.value.get(key, [])
        if not isinstance(value, list):
            self.wrong((key,), f"must be a list of texts, got {_kind(value)}")
            return ()
        for place, item in enumerate(value):
            if not isinstance(item, str) or "\0" in item:
                self.wrong((key, place), f"must be text, got {_kind(item)}")
        return tuple(item for item in value if isinstance(item, str))

    def given(self, key: str, prefix: str) -> tuple[Given, ...]:
        value = self.value.get(key)
        if value is None:
            return ()
        if not isinstance(value, Mapping):
            self.wrong((key,), f"must map names to texts, got {_kind(value)}")
            return ()
        found = []
        for name, held in value.items():
            if not isinstance(held, str | int | float | bool) or "\0" in str(held):
                self.wrong((key, name), f"must be text, got {_kind(held)}")
            elif not prefix and not _ENV_NAME.fullmatch(name):
                self.wrong((key,), f"must name variables, got {plain(name, 60)!r}")
            elif prefix and not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
                self.wrong((key,), f"must name headers, got {plain(name, 60)!r}")
            else:
                found.append(_given(name, str(held), prefix))
        return tuple(found)


def _given(name: str, text: str, prefix: str) -> Given:
    whole = _REFERENCE.fullmatch(text)
    if whole and whole[1]:
        return Given(name, whole[1], literal=False, text=text)
    reference = re.sub(r"\W", "_", f"{prefix}_{name}" if prefix else name).upper()
    reference = reference if prefix else name
    if not _ENV_NAME.fullmatch(reference):
        reference = f"SERVER_{reference}"
    return Given(name, reference, literal=not refers(text), text=text)


def _fit_name(label: str, taken: set[str]) -> str:
    """Make a name that a manifest allows, and that no other server has."""
    fit = re.sub(r"[^A-Za-z0-9_-]+", "-", label).strip("-_")[:60] or "server"
    name, count = fit, 1
    while name in taken:
        count += 1
        name = f"{fit}-{count}"
    return name


def _name_of(command: Sequence[str]) -> str:
    """What to call a server that is only a command line: the package or program that it runs."""
    runners = {"npx", "uvx", "uv", "node", "python", "python3", "deno", "bun", "bunx", "docker",
               "run", "tool", "exec", "-m", "-y", "--yes", "dlx", "pnpm", "env"}  # fmt: skip
    words = [
        word
        for word in command
        if not word.startswith("-") and re.sub(r"[\d.]+$", "", Path(word).name) not in runners
    ]
    word = (words or list(command))[0].rstrip("/").rpartition("/")[2].partition("@")[0]
    word = re.sub(r"\.(?:py|js|mjs|ts|sh|exe)$", "", word)
    short = re.sub(r"^(?:mcp[-_])?(?:server[-_])?|(?:[-_]mcp)?(?:[-_]server)?$", "", word)
    return short or word


def _kind(value: Any) -> str:
    """Say what a value is, without saying it: it may be a secret."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    if value == "":
        return "empty text"
    return kinds.get(type(value), "a number")


def specs_of_manifest(servers: Mapping[str, Mapping[str, Any]]) -> tuple[ServerSpec, ...]:
    """Return the servers of a manifest that can be listed: those with a command or an address.

    `servers`: the manifest's section as plain values, checked before.  `auth` goes as a bearer
    token; every value is read from the environment when the server is listed.
    """
    found = []
    for name, entry in servers.items():
        if not (entry.get("command") or entry.get("url")):
            continue
        headers = [*_by_reference(entry.get("headers"))]
        if auth := entry.get("auth"):
            variable = auth["env"]
            text = f"Bearer ${{{variable}}}"
            headers.append(Given("Authorization", variable, literal=False, text=text))
        command = entry.get("command")
        found.append(
            ServerSpec(
                name=name,
                command=tuple(command) if command else None,
                url=entry.get("url"),
                transport="stdio" if command else "http",
                env=tuple(_by_reference(entry.get("env"))),
                headers=tuple(headers),
                cwd=entry.get("cwd"),
            )
        )
    return tuple(found)


def _by_reference(section: Mapping[str, Mapping[str, str]] | None) -> list[Given]:
    return [
        Given(name, held["env"], literal=False, text=f"${{{held['env']}}}")
        for name, held in (section or {}).items()
    ]
