"""Draft a `deployment.yaml` from what live servers list, for a person to finish.

What was inferred stands in it with the reasons beside it; where only the operator can answer it
holds `"?"`, which no audit passes over.  Texts of servers appear in comments alone, each as one
line that cannot leave its comment; names stand in double quotes with all that is not printable
escaped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corrigible.deployment.atomic import write_whole
from corrigible.deployment.clients import Given, ServerSpec, refers
from corrigible.deployment.infer import Reading, counts_of, infer
from corrigible.deployment.listing import ListedTool, Listing, plain
from corrigible.deployment.lock import Lock, lock_of, lock_path, lock_text
from corrigible.deployment.masking import holds_secret, mask, secret_words
from corrigible.errors import ManifestError, Problem

UNSAID = '"?"'
_LARGEST_COMMENTED = 900_000
"""Characters of a draft; a larger one leaves its reasons out, so that a manifest can be read."""

_REASONS_SHOWN = 12


@dataclass(frozen=True)
class Draft:
    """A drafted manifest and what it was made of; `readings` by `server.tool`."""

    text: str
    lock: Lock
    listings: tuple[Listing, ...]
    readings: Mapping[str, Reading]


def draft_of(
    specs: Sequence[ServerSpec], listings: Sequence[Listing], *, name: str = "my-agent"
) -> Draft:
    """Draft the manifest of what `specs` give an agent, from what each server listed.

    The draft holds exactly the tools of `listings`.  The same listings give the same text.
    """
    readings = {
        f"{listing.server}.{tool.name}": infer(tool, server=listing.server)
        for listing in listings
        for tool in listing.tools
    }
    text = _text(specs, listings, readings, name)
    if len(text) > _LARGEST_COMMENTED:
        text = _text(specs, listings, readings, name, brief=True)
    return Draft(text, lock_of(listings), tuple(listings), readings)


def write_draft(draft: Draft, path: Path, *, replace: bool = False) -> tuple[Path, Path]:
    """Write the manifest and its lock, each whole or not at all; return where they are.

    Raises:
        ManifestError: one of them exists already and `replace` is not set, or cannot be written;
            what was there is left as it was.
    """
    manifest, lock = path, lock_path(path)
    if manifest == lock:
        text = "a manifest cannot be named like its lock; name it `deployment.yaml`"
        raise ManifestError([Problem(str(path), 0, 0, text)])
    for file in (manifest, lock):
        if file.exists() and not replace:
            text = "is there already: give another `--out`, or say that it may be replaced"
            raise ManifestError([Problem(str(file), 0, 0, text)])
    file = lock
    try:
        write_whole(lock, lock_text(draft.lock), keep=not replace)
        file = manifest
        write_whole(manifest, draft.text, keep=not replace)
    except OSError as error:
        text = f"cannot be written: {error.strerror or error}"
        raise ManifestError([Problem(str(file), 0, 0, text)]) from None
    return manifest, lock


# -- YAML --------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    r"""Write a text as a double-quoted scalar: on one line, all that is not printable escaped."""
    special = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(special.get(char) or _escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    code = ord(char)
    if char.isprintable():
        return char
    if code <= 0xFF:  # noqa: PLR2004  (what two hexadecimal digits can say)
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004


def _list(items: Sequence[str]) -> str:
    return f"[{', '.join(items)}]"


def _comment(text: str, longest: int = 160) -> str:
    """Write a comment: one line whatever the text holds."""
    return f"# {plain(mask(text[: 8 * longest]), longest)}"


# -- the parts ---------------------------------------------------------------------------------


def _text(
    specs: Sequence[ServerSpec],
    listings: Sequence[Listing],
    readings: Mapping[str, Reading],
    name: str,
    *,
    brief: bool = False,
) -> str:
    lines = [
        "# Drafted by `corrigible init` from what the servers below say of themselves.",
        "# They may be wrong, or lie: check each tool against what it does.",
        '# "?" stands where only you can answer; an audit lists each until all are said.',
        "corrigible: 1",
        f"name: {quoted(name)}",
        "agent:",
        "  kind: tool-using",
        f"  goal: {UNSAID}  # with its end, as in: Ship the weekly release of the storefront.",
        "  # horizon: 40  # the steps of one run, if you know them",
        *_servers(specs, listings),
        *_tools(listings, readings, brief=brief),
        *_assets([spec.name for spec in specs], readings),
        *_AUTHORITY,
    ]
    return "\n".join(lines) + "\n"


def _servers(specs: Sequence[ServerSpec], listings: Sequence[Listing]) -> Iterator[str]:
    known = {listing.server: listing for listing in listings}
    yield "servers:" if specs else "servers: {}"
    for spec in specs:
        listing = known.get(spec.name)
        yield f"  {quoted(spec.name)}:"
        if spec.label and spec.label != spec.name:
            yield f"    {_comment(f'its client calls it {spec.label!r}')}"
        if listing is not None:
            yield from (f"    {line}" for line in _heard(listing))
        yield from (f"    {line}" for line in _reached(spec))
        if spec.cwd is not None:
            yield f"    cwd: {UNSAID if refers(spec.cwd) else quoted(spec.cwd)}"
        yield from (f"    {line}" for line in _references(spec))


def _heard(listing: Listing) -> Iterator[str]:
    if listing.problem is not None:
        yield _comment(f"NOT LISTED: it {listing.problem}")
        yield _comment("its tools are missing below, and unknown tools are denied")
        for line in listing.printed[-3:]:
            yield _comment(f"it printed: {line}")
        return
    who = listing.server_info or "a server that does not name itself"
    yield _comment(f"{who}; protocol {listing.protocol}; {len(listing.tools)} tools")
    for why in listing.refused[:20]:
        yield _comment(f"left out: {why}")


def _reached(spec: ServerSpec) -> Iterator[str]:
    if spec.command is not None:
        hidden = secret_words(spec.command)
        words = []
        for place, word in enumerate(spec.command):
            if place in hidden or refers(word):
                yield _comment(
                    f"word {place + 1} of its command held a secret or a reference: "
                    "give it by `env`, and rewrite the command"
                )
                words.append(UNSAID)
            else:
                words.append(quoted(word))
        yield f"command: {_list(words)}"
    elif spec.url is not None:
        if holds_secret(spec.url) or refers(spec.url):
            yield _comment("its address held a secret or a reference: give it by `auth`")
            yield f"url: {UNSAID}"
        else:
            yield f"url: {quoted(spec.url)}"


def _references(spec: ServerSpec) -> Iterator[str]:
    """The variables and headers, each by the name of the variable that holds it."""
    for key, given in (("env", spec.env), ("headers", spec.headers)):
        if not given:
            continue
        yield f"{key}:"
        for one in given:
            yield f"  {quoted(one.name)}: {{env: {one.reference}}}{_about(one, key)}"


def _about(given: Given, key: str) -> str:
    what = "the whole header" if key == "headers" else "it"
    if given.literal:
        return f"  # the client's file holds it: set {given.reference} where the guard runs"
    if refers(given.text) and given.text != f"${{{given.reference}}}":
        return f"  # made of references: set {given.reference} to {what} where the guard runs"
    return ""


def _tools(
    listings: Sequence[Listing], readings: Mapping[str, Reading], *, brief: bool
) -> Iterator[str]:
    some = any(listing.tools for listing in listings)
    yield "tools:  # every tool an entry; unknown tools are denied" if some else "tools: {}"
    for listing in listings:
        for tool in listing.tools:
            key = f"{listing.server}.{tool.name}"
            yield f"  {quoted(key)}:"
            yield from (f"    {line}" for line in _tool(tool, readings[key], brief=brief))


def _tool(tool: ListedTool, reading: Reading, *, brief: bool) -> Iterator[str]:
    notes = [] if brief else [*_reasons(tool, reading)]
    yield from map(_comment, notes)
    if not reading.sure:
        yield _comment("CHECK: its words are not clear, or its hint says that it only reads")
    if not reading.verbs:
        yield _comment("no effect that lasts was seen: it stands as one that reads")
    yield f"verbs: {_list(reading.verbs or ('read',))}"
    if reading.target:
        targets = [quoted(one) for one in reading.target]
        yield f"target: {targets[0] if len(targets) == 1 else _list(targets)}"
    if reading.amount:
        yield f"amount: {{arg: {quoted(reading.amount[0])}, counts: {counts_of(tool)}}}"
    for flag in ("irreversible", "secrets"):
        if getattr(reading, flag):
            yield f"{flag}: true"


def _reasons(tool: ListedTool, reading: Reading) -> Iterator[str]:
    """What its server says, why it was read so, and what only the operator can bound."""
    if tool.description or tool.title:
        yield f"says: {tool.description or tool.title}"
    yield from reading.reasons[:_REASONS_SHOWN]
    if not reading.target:
        yield "no argument says where it acts: anywhere on its server, unless you say"
    if "run" in reading.verbs:
        yield "sandbox: {SERVER: PLACE} bounds what its code can touch; without it, all"


_ORGANS = (
    ("stop", "oversight/stop", "how you stop it: a job, a file, a switch"),
    ("audit-log", "oversight/monitor", "where what it does is logged, for instance /srv/log/**"),
    ("approvals", "oversight/approval", "where approvals are kept or asked for"),
    ("prompt", "oversight/goal", "where its prompt or its goal is written"),
    ("credentials", "information/secret", "where keys, tokens and passwords lie: ~/.ssh/**"),
    ("own-code", "self/code", "the code that it runs from"),
    ("own-memory", "self/memory", "what it remembers from run to run"),
)
_BY_VERB = (
    ("acquire", "capacity", "resource/compute, levels: [start, more, most]",
     "machines or storage that it can take"),
    ("spend", "money", "resource/money, levels: [start, more]", "the account that pays"),
    ("send", "recipients", "people", "whom it can write to"),
    ("delegate", "helpers", "agents", "whom or what it can set to work"),
)  # fmt: skip


def _assets(servers: Sequence[str], readings: Mapping[str, Reading]) -> Iterator[str]:
    """The assets that only the operator knows, each with an open place."""
    at = f"{{{quoted(servers[0] if servers else 'server')}: {UNSAID}}}"
    yield "assets:  # each `at` is {SERVER: PLACE}; delete what does not exist here, add what does"
    yield f"  task: {{kind: task, levels: [todo, done], at: {at}}}  # what it is to bring about"
    for name, kind, example in _ORGANS:
        yield f"  {name}: {{kind: {kind}, at: {at}}}  # {example}"
    used = {verb for reading in readings.values() for verb in reading.verbs}
    for verb, name, kind, example in _BY_VERB:
        if verb in used:
            yield f"  {name}: {{kind: {kind}, at: {at}}}  # {example}"


_AUTHORITY = (
    "authority:  # deny over approve over allow; what no rule matches is denied",
    '  allow: []    # as in ["read task", "advance task", "read files:/srv/work/**"]',
    '  approve: []  # as in ["send people", "acquire resource/*"]',
    '  deny: []     # as in ["write oversight/*", "delete oversight/*", "copy self/*"]',
    "# oversight: {stop_rate: 1/20, correction_rate: 1/50, detection: 0.5, approval_rate: 0.3}",
)
