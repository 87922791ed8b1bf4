"""One row of a comparison: what a source says, what we find, and whether the two agree.

Five ways to compare, each a function that makes a `Row`:

- `printed`: a figure of the source, within a tolerance that is fixed beforehand: the source's own
  error, as its rounding or its sampling;
- `bounded`: a bound that the source proves or claims;
- `said`: a finding in words;
- `mostly`: one run, or a finding without a figure, beside what most of many runs do;
- `exactly`: a closed form or a fraction, to rounding.

Where ours is sampled, `low` and `high` are its 95 % interval, and twice its half width is added
to the tolerance, if it is not strict: of a hundred true rows five would else differ by chance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, get_args

from corrigible.errors import WorldError
from corrigible.evidence import Estimate

Tag = Literal["R", "R+C", "R/S", "S", "S+C", "C"]
"""How sure theirs is: read in the source (R), in a summary (S), computed anew elsewhere (C)."""

TAGS: tuple[Tag, ...] = get_args(Tag)
Verdict = Literal["agrees", "differs as documented", "differs"]
Figure = float | str
Tell = Callable[[str], None]

ROUNDING = 1e-9
_MOST = 0.5
_ENDS = 2.0  # half widths of a 95 % interval: about four standard errors


@dataclass(frozen=True)
class Row:
    """One thing that a source says, beside ours.

    `low` and `high` are the interval of ours where it was sampled, and None where it was not.
    `why`: the tolerance and what it comes from; of a difference, what explains it.
    """

    table: str
    row: str
    theirs: Figure
    ours: Figure
    low: float | None
    high: float | None
    tag: Tag
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Source:
    """A table's name and where its figures come from."""

    table: str
    tag: Tag

    def printed(
        self,
        row: str,
        theirs: float,
        ours: float | Fraction | Estimate,
        *,
        within: float,
        strict: bool = False,
        why: str = "",
        tag: Tag | None = None,
    ) -> Row:
        """A figure of theirs, agreed with where ours is off by at most `within`.

        Twice our own half width is added, but not where `strict` is asked for.
        """
        value, low, high = _parts(ours)
        slack = 0.0
        if low is not None and high is not None and not strict:
            slack = _ENDS * max(value - low, high - value)
        fits = abs(value - theirs) <= within + slack + 1e-15
        text = f"within {within:g}{': ' + why if why else ''}{_sampling(ours)}"
        return self._row(row, (theirs, value), (low, high), fits=fits, why=text, tag=tag)

    def exactly(
        self,
        row: str,
        theirs: float | Fraction,
        ours: float | Fraction,
        *,
        why: str = "",
        tag: Tag | None = None,
    ) -> Row:
        """A closed form: fractions must be equal, numbers to 1e-9 of the larger, or of 1."""
        if isinstance(theirs, Fraction) and isinstance(ours, Fraction):
            text = f"equal as fractions, {ours}" if theirs == ours else f"{ours}, not {theirs}"
            figures = float(theirs), float(ours)
            fits = theirs == ours
            return self._row(
                row,
                figures,
                (None, None),
                fits=fits,
                why=f"{text}; {why}" if why else text,
                tag=tag,
            )
        size = max(1.0, abs(float(theirs)), abs(float(ours)))
        fits = abs(float(theirs) - float(ours)) <= ROUNDING * size
        text = why or "to 1e-9"
        return self._row(
            row, (float(theirs), float(ours)), (None, None), fits=fits, why=text, tag=tag
        )

    def bounded(
        self,
        row: str,
        ours: float | Fraction | Estimate,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        why: str = "",
        tag: Tag | None = None,
    ) -> Row:
        """A bound of theirs, kept unless ours is surely beyond it."""
        value, low, high = _parts(ours)
        best = value if high is None else value + _ENDS * (high - value)
        least = value if low is None else value - _ENDS * (value - low)
        fits = (at_least is None or best >= at_least - ROUNDING) and (
            at_most is None or least <= at_most + ROUNDING
        )
        texts = [f"at least {at_least:.6g}"] if at_least is not None else []
        texts += [f"at most {at_most:.6g}"] if at_most is not None else []
        text = (why or "a bound") + _sampling(ours)
        return self._row(
            row, (" and ".join(texts), value), (low, high), fits=fits, why=text, tag=tag
        )

    def mostly(
        self, row: str, theirs: str, ours: Estimate, *, otherwise: str, why: str = "",
        tag: Tag | None = None,
    ) -> Row:  # fmt: skip
        """What they say happens, or showed in one run, beside what most of many runs here do.

        Args:
            row: what is asked.
            theirs: their answer.
            ours: the share of runs of which `theirs` is true; more than a half agrees.
            otherwise: the answer of the other runs.
            why: more on the runs.
            tag: where not the table's own.
        """
        value, low, high = _parts(ours)
        fits = value > _MOST
        count = round((value if fits else 1 - value) * ours.n)
        words = f"{theirs if fits else otherwise} ({count} of {ours.n})"
        text = f"{why}; " if why else ""
        return self._row(
            row, (theirs, words), (low, high), fits=fits,
            why=f"{text}what more than half of the runs do{_sampling(ours)}", tag=tag,
        )  # fmt: skip

    def said(
        self, row: str, theirs: str, ours: str, *, why: str = "", tag: Tag | None = None
    ) -> Row:
        """A finding in words: it agrees where the words are the same."""
        same = theirs == ours
        return self._row(row, (theirs, ours), (None, None), fits=same, why=why or "words", tag=tag)

    def _row(
        self,
        row: str,
        figures: tuple[Figure, Figure],
        limits: tuple[float | None, float | None],
        *,
        fits: bool,
        why: str,
        tag: Tag | None,
    ) -> Row:
        verdict: Verdict = "agrees" if fits else "differs"
        return Row(self.table, row, *figures, *limits, tag or self.tag, verdict, why)


def documented(row: Row, why: str) -> Row:
    """The row, a difference in it explained; an agreement stays one.

    Raises:
        WorldError: nothing is explained.
    """
    if not why.strip():
        raise WorldError(f"row {row.row!r} must say why it differs, got {why!r}")
    if row.verdict == "differs":
        return replace(row, verdict="differs as documented", why=why)
    return row


def worst(rows: Sequence[Row]) -> Verdict:
    """The verdict of all rows together."""
    verdicts = {row.verdict for row in rows}
    order: tuple[Verdict, ...] = ("differs", "differs as documented")
    return next((verdict for verdict in order if verdict in verdicts), "agrees")


def _parts(ours: float | Fraction | Estimate) -> tuple[float, float | None, float | None]:
    if not isinstance(ours, Estimate):
        return float(ours), None, None
    if ours.value is None:
        raise WorldError(f"ours must be measured to be compared, got {ours.method}")
    return ours.value, ours.low, ours.high


def _sampling(ours: float | Fraction | Estimate) -> str:
    return f"; ours: n = {ours.n}, {ours.method}" if isinstance(ours, Estimate) else ""
