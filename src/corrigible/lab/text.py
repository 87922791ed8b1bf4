"""A run of the lab as lines of text, for people."""

from itertools import groupby

from corrigible.lab.run import LabRun
from corrigible.lab.table import Figure, Row

_MARK = {"agrees": " ", "differs as documented": "~", "differs": "!"}
_HEAD = ("", "row", "theirs", "ours", "95 % interval", "tag")


def lab_lines(run: LabRun) -> list[str]:
    """Every table with its rows, what explains a difference, and the count of verdicts.

    A row begins with `!` where it differs, and `~` where it differs as documented.
    """
    lines: list[str] = []
    for table, group in groupby(run.rows, key=lambda row: row.table):
        rows = list(group)
        lines += [table, *_columns([_HEAD, *(_cells(row) for row in rows)])]
        for row in rows:
            if row.verdict != "agrees":
                lines.append(f"  {_MARK[row.verdict]} {row.row}: {row.why}")
        lines.append("")
    return [*lines, summary(run)]


def summary(run: LabRun) -> str:
    """One sentence: how many rows agree, differ as documented, and differ."""
    counts = {verdict: sum(row.verdict == verdict for row in run.rows) for verdict in _MARK}
    how = "quick" if run.quick else "full"
    return (
        f"{len(run.rows)} rows of {len(run.tables)} tables ({how}): {counts['agrees']} agree, "
        f"{counts['differs as documented']} differ as documented, {counts['differs']} differ"
    )


def _cells(row: Row) -> tuple[str, ...]:
    interval = "" if row.low is None or row.high is None else f"{row.low:.4f} to {row.high:.4f}"
    return (
        _MARK[row.verdict], row.row, _figure(row.theirs), _figure(row.ours), interval, row.tag,
    )  # fmt: skip


def _figure(value: Figure) -> str:
    if isinstance(value, str):
        return value
    if value != 0 and abs(value) < 1e-4:  # noqa: PLR2004 - digits that four places would hide
        return f"{value:.1e}"
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _columns(lines: list[tuple[str, ...]]) -> list[str]:
    """Aligned, the first column as narrow as its marks; columns without a cell are left out."""
    kept = [i for i in range(len(lines[0])) if i == 0 or any(line[i] for line in lines[1:])]
    widths = [max(len(line[i]) for line in lines) for i in kept]
    return [
        "  ".join(line[i].ljust(width) for i, width in zip(kept, widths, strict=True)).rstrip()
        for line in lines
    ]
