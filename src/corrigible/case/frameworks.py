"""Frameworks as data: their clauses, where the text was read, and what of ours is relevant.

`frameworks/*.yaml` holds one document each.  A clause says how its text is known (`provenance`);
what is known from memory alone is shown as unverified everywhere.  Nothing here says that anybody
complies with anything: evidence is relevant to a clause, or there is none.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from corrigible.deployment.source import parse_source
from corrigible.drives import DRIVES, FAMILIES
from corrigible.errors import FrameworkError, ManifestError
from corrigible.evidence import ALL_DRIVES, EVIDENCE_KINDS, Record

Provenance = Literal["P", "Q", "S", "M"]
Standing = Literal["present", "stale", "none", "by command"]

PROVENANCE: Mapping[str, str] = {
    "P": "read",
    "Q": "quoted by others",
    "S": "secondary",
    "M": "unverified",
}
"""How a clause's text is known: read at the source, quoted by others, told by others, recalled."""

LONGEST_QUOTE = 25
"""Words of a quote."""
MEASURES: Mapping[str, tuple[str, ...]] = {
    "reach": (),
    "incentive": ("pressure", "residual", "advantage", "power_gain"),
    "propensity": ("rate", "opportunity", "recurrence", "sensitivity", "excess"),
    "control": ("paths-stopped", "attacks-held", "stops-proven", "search"),
}
"""The measures that records of each kind may have; what follows a slash is the goals' draw."""

_INDEX, _OURS = "index", "ours"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_STRENGTHS = ("core", "related")
_KEYS = {
    "document", "title", "issuer", "version", "effective", "locator", "url", "provenance", "as_of",
    "clauses", "gaps", "changes", "supersedes", "superseded_by",
}  # fmt: skip
_CLAUSE_KEYS = {
    "id", "locator", "quote", "paraphrase", "provenance", "relevant", "note", "strength",
}  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """Records that may be relevant: of a kind and a measure, of some drives or families, or all."""

    kind: str
    measure: str
    drives: tuple[str, ...] = ()

    def fits(self, record: Record) -> bool:
        """Whether a record is one of these."""
        if record.kind != self.kind or record.measure.partition("/")[0] != self.measure:
            return False
        names = {record.drive, record.drive.partition("/")[0]}
        return not self.drives or bool(names & set(self.drives))


@dataclass(frozen=True)
class Ours:
    """Something that corrigible measures or does: records, and the commands that make them."""

    name: str
    what: str
    evidence: tuple[Wanted, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True)
class Clause:
    """One clause: its text as a quote of at most 25 words or in our words, and what is relevant."""

    id: str
    locator: str
    text: str
    quoted: bool
    provenance: Provenance
    relevant: tuple[str, ...]
    strength: str
    note: str = ""

    @property
    def verified(self) -> bool:
        """Whether the text was read at its source."""
        return self.provenance == "P"

    @property
    def known_as(self) -> str:
        """How its text is known, in words; `unverified` where it is from memory."""
        return PROVENANCE[self.provenance]


@dataclass(frozen=True)
class Framework:
    """One document in one version.  `effective`: from when it holds; None where not known here."""

    name: str
    document: str
    title: str
    issuer: str
    version: str
    effective: str | None
    locator: str
    provenance: Provenance
    as_of: str
    clauses: tuple[Clause, ...]
    gaps: tuple[str, ...]
    changes: tuple[str, ...] = ()
    superseded_by: str | None = None
    url: str | None = None

    @property
    def covered(self) -> tuple[Clause, ...]:
        """The clauses to which something of ours is relevant."""
        return tuple(clause for clause in self.clauses if clause.relevant)

    @property
    def uncovered(self) -> tuple[Clause, ...]:
        """The clauses to which nothing of ours is."""
        return tuple(clause for clause in self.clauses if not clause.relevant)

    @property
    def unverified(self) -> tuple[Clause, ...]:
        """The clauses known from memory alone."""
        return tuple(clause for clause in self.clauses if clause.provenance == "M")


@dataclass(frozen=True)
class Coverage:
    """One clause for one deployment: how the evidence that is relevant to it stands.

    `standing` is the best of what is relevant: present, stale, none, or `by command` where no
    record is kept of it.  `missing`: what of ours is relevant and has no current record.
    """

    clause: Clause
    standing: Standing
    present: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def framework(name: str) -> Framework:
    """Return one framework.

    Raises:
        FrameworkError: there is none of that name.
    """
    found = frameworks()
    if name not in found:
        raise FrameworkError(f"no framework is called {name[:60]!r}; known: {', '.join(found)}")
    return found[name]


@cache
def frameworks() -> Mapping[str, Framework]:
    """Return every framework by name, in the order of the index.

    Raises:
        FrameworkError: a file that ships with corrigible breaks a rule.
    """
    index = _values(_INDEX)
    return {name: parse_framework(name, _values(name), index[name], ours()) for name in index}


@cache
def ours() -> Mapping[str, Ours]:
    """Return what of ours may be relevant, by the name that clauses use.

    Raises:
        FrameworkError: the file that ships with corrigible breaks a rule.
    """
    return {name: _ours(name, values) for name, values in _values(_OURS).items()}


def coverage(
    found: Framework, records: Sequence[Record], stale: Mapping[str, str]
) -> tuple[Coverage, ...]:
    """Return how the evidence relevant to each clause stands.

    Args:
        found: the framework.
        records: of the deployment.
        stale: why a record supports nothing any more, by its id.
    """
    return tuple(_coverage(clause, records, stale) for clause in found.clauses)


def _coverage(clause: Clause, records: Iterable[Record], stale: Mapping[str, str]) -> Coverage:
    held = tuple(records)
    present, old, missing = [], [], []
    for name in clause.relevant:
        wanted = ours()[name].evidence
        if not wanted:
            continue
        fits = [r for r in held if r.estimate.measured and any(w.fits(r) for w in wanted)]
        if any(record.id not in stale for record in fits):
            present.append(name)
        elif fits:
            old.append(name)
        else:
            missing.append(name)
    standing: Standing = "none"
    if present or old:
        standing = "present" if present else "stale"
    elif clause.relevant and not missing:
        standing = "by command"
    return Coverage(clause, standing, tuple(present), tuple(old), tuple(missing))


# -- reading -------------------------------------------------------------------------------


def _values(name: str) -> Mapping[str, Any]:
    file = resources.files("corrigible.case") / "frameworks" / f"{name}.yaml"
    try:
        source = parse_source(file.read_text(encoding="utf-8"), f"{name}.yaml")
    except (OSError, ManifestError) as error:
        raise FrameworkError(f"frameworks/{name}.yaml: {error}") from None
    if source.problems:
        raise FrameworkError("\n".join(map(str, source.problems)))
    values: Mapping[str, Any] = source.value
    return values


def parse_framework(
    name: str, values: Mapping[str, Any], indexed: Mapping[str, Any], known: Mapping[str, Ours]
) -> Framework:
    """Return the framework that a file's values state.

    Raises:
        FrameworkError: a rule is broken; the message names the file and the clause.
    """
    _only(name, values, _KEYS)
    _needs(name, values, _KEYS - {"url", "changes", "supersedes", "superseded_by"})
    for key in ("version", "effective"):
        if values[key] != indexed.get(key):
            raise _broken(name, f"{key} must be the index's {indexed.get(key)!r}", values[key])
    for key in ("effective", "as_of"):
        if values[key] is not None and not _DAY.fullmatch(str(values[key])):
            raise _broken(name, f"{key} must be a day, as 2026-07-08, or null", values[key])
    tag = _tag(name, values["provenance"])
    clauses = tuple(_clause(name, item, tag, known) for item in values["clauses"])
    ids = [clause.id for clause in clauses]
    if len(set(ids)) != len(ids) or not ids:
        raise _broken(name, "clauses must be there, each with its own id", ids)
    return Framework(
        name=name,
        document=values["document"],
        title=values["title"],
        issuer=values["issuer"],
        version=values["version"],
        effective=values["effective"],
        locator=values["locator"],
        provenance=tag,
        as_of=values["as_of"],
        clauses=clauses,
        gaps=tuple(values["gaps"]),
        changes=tuple(values.get("changes", ())),
        superseded_by=values.get("superseded_by"),
        url=values.get("url"),
    )


def _clause(
    name: str, item: Mapping[str, Any], tag: Provenance, known: Mapping[str, Ours]
) -> Clause:
    where = f"{name}: clause {item.get('id')}"
    _only(where, item, _CLAUSE_KEYS)
    _needs(where, item, {"id", "locator", "relevant", "strength"})
    quote, paraphrase = item.get("quote"), item.get("paraphrase")
    if (quote is None) == (paraphrase is None):
        raise _broken(where, "must have a quote or a paraphrase, one of them", (quote, paraphrase))
    if quote is not None and len(quote.split()) > LONGEST_QUOTE:
        words = len(quote.split())
        raise _broken(where, f"a quote has {LONGEST_QUOTE} words at most", words)
    strange = [one for one in item["relevant"] if one not in known]
    if strange:
        raise _broken(where, "relevant must name what ours.yaml has", strange)
    if item["strength"] not in _STRENGTHS:
        raise _broken(where, f"strength must be one of {_STRENGTHS}", item["strength"])
    return Clause(
        id=item["id"],
        locator=item["locator"],
        text=str(paraphrase if quote is None else quote),
        quoted=quote is not None,
        provenance=_tag(where, item.get("provenance", tag)),
        relevant=tuple(item["relevant"]),
        strength=item["strength"],
        note=item.get("note", ""),
    )


def _ours(name: str, values: Mapping[str, Any]) -> Ours:
    where = f"ours: {name}"
    _only(where, values, {"what", "evidence", "commands"})
    _needs(where, values, {"what", "commands"})
    wanted = []
    for item in values.get("evidence", ()):
        _only(where, item, {"kind", "measure", "drives"})
        if item["kind"] not in EVIDENCE_KINDS or item["measure"] not in MEASURES[item["kind"]]:
            raise _broken(where, "must be a kind and one of its measures", dict(item))
        drives = tuple(item.get("drives", ()))
        if not set(drives) <= {*DRIVES, *FAMILIES, ALL_DRIVES}:
            raise _broken(where, "drives must be drives, families or all", drives)
        wanted.append(Wanted(item["kind"], item["measure"], drives))
    return Ours(name, values["what"], tuple(wanted), tuple(values["commands"]))


def _tag(where: str, tag: object) -> Provenance:
    if tag not in get_args(Provenance):
        raise _broken(where, f"provenance must be one of {get_args(Provenance)}", tag)
    return tag  # type: ignore[return-value]  # just checked


def _only(where: str, values: Mapping[str, Any], keys: set[str]) -> None:
    if strange := set(values) - keys:
        raise _broken(where, f"keys must be among {sorted(keys)}", sorted(strange))


def _needs(where: str, values: Mapping[str, Any], keys: set[str]) -> None:
    if missing := keys - set(values):
        raise _broken(where, "these keys must be there", sorted(missing))


def _broken(where: str, rule: str, got: object) -> FrameworkError:
    return FrameworkError(f"frameworks/{where}: {rule}, got {got!r}")
