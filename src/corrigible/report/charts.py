"""Pictures for a page, as SVG drawn by hand; their colours come from the page's style.

Every mark differs in its shape or its dashes too, so that nothing hangs on a colour alone.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from corrigible.case.leaves import percent
from corrigible.evidence import Estimate
from corrigible.report.html import NOT_TESTED, visible

_WIDTH = 1060
_LETTER = 6.6  # pixels, about
_ROW = 24
_NAMES = 300  # where the plot begins

_Scale = Callable[[float], float]


@dataclass(frozen=True)
class Line:
    """One line of a chart: a name and its points, from left to right."""

    name: str
    points: tuple[tuple[float, float], ...]


def picture(height: float, parts: Iterable[str], told: str, *, width: float = _WIDTH) -> str:
    """Return the picture; `told` says in words what it shows, for those who do not see it."""
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{visible(told)}">'
    )
    return "\n".join([opening, *parts, "</svg>"])


def words(x: float, y: float, text: str, kind: str = "") -> str:
    """Return a text in a picture."""
    own = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{own}>{visible(text)}</text>'


def stroke(ends: tuple[float, float, float, float], kind: str) -> str:
    """Return a straight line from (x1, y1) to (x2, y2)."""
    x1, y1, x2, y2 = ends
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def intervals(rows: Sequence[tuple[str, Estimate, Estimate]], limit: float, told: str) -> str:
    """Return shares with their intervals: a filled dot for the first, an open one for the second.

    Args:
        rows: a name, the share as it stands, the share once the guard holds.
        limit: drawn as a dashed line.
        told: what it shows, in words.
    """
    left, right, top = _NAMES, _WIDTH - 20, 30
    bottom = top + _ROW * len(rows)

    def across(value: float) -> float:
        return left + min(max(value, 0.0), 1.0) * (right - left)

    parts = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(stroke((across(tick), top - 6, across(tick), bottom), "grid"))
        parts.append(words(across(tick), top - 12, f"{tick:.0%}", "soft middle"))
    parts.append(stroke((across(limit), top - 6, across(limit), bottom), "limit"))
    for number, (name, first, second) in enumerate(rows):
        y = top + _ROW * number + 12
        parts.append(words(left - 12, y + 4, name, "end"))
        parts += _dot(across, y - 3, first, "filled")
        parts += _dot(across, y + 5, second, "open")
        if not first.measured and not second.measured:
            parts.append(words(left + 8, y + 4, NOT_TESTED, "soft"))
    return picture(bottom + 8, parts, told)


def _dot(across: _Scale, y: float, one: Estimate, kind: str) -> Iterable[str]:
    if one.value is None:
        return
    told = f"{percent(one.value)} [{percent(one.at_least)}, {percent(one.at_most)}]"
    x = across(one.value)
    yield stroke((across(one.at_least), y, across(one.at_most), y), "whisker")
    yield f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.6"><title>{told}</title></circle>'


def curves(panels: Sequence[tuple[str, float, Sequence[Line]]], limit: float, told: str) -> str:
    """Return one panel for each rate: shares over its values, where it stands, the limit.

    Args:
        panels: the rate's name, where it stands now, and a line for each drive.
        limit: drawn as a dashed line.
        told: what it shows, in words.
    """
    names = list(dict.fromkeys(line.name for _, _, lines in panels for line in lines))
    gap, top, tall = 56.0, 34.0, 200.0
    wide = (_WIDTH - gap * (len(panels) + 1)) / max(len(panels), 1)
    parts: list[str] = []
    for number, (rate, now, lines) in enumerate(panels):
        box = (gap + number * (wide + gap), top, wide, tall)
        parts += _panel(box, rate, now, lines, names=names, limit=limit)
    y = top + tall + 46
    for number, name in enumerate(names):
        x = gap + (number % 3) * 340
        parts.append(stroke((x, y - 4, x + 34, y - 4), f"line s{number % 6}"))
        parts.append(words(x + 42, y, name))
        y += 20 if number % 3 == 2 else 0  # noqa: PLR2004  (three in a row)
    return picture(y + 14, parts, told)


def _panel(
    box: tuple[float, float, float, float],
    rate: str,
    now: float,
    lines: Sequence[Line],
    *,
    names: Sequence[str],
    limit: float,
) -> Iterable[str]:
    left, top, wide, tall = box
    most = max([now, *(x for line in lines for x, _ in line.points)], default=1.0) or 1.0

    def place(x: float, share: float) -> tuple[float, float]:
        return left + x / most * wide, top + (1 - share) * tall

    for tick in (0.0, 0.5, 1.0):
        _, y = place(0, tick)
        yield stroke((left, y, left + wide, y), "grid")
        yield words(left - 6, y + 4, f"{tick:.0%}", "soft end")
        yield words(left + tick * wide, top + tall + 16, f"{tick * most:.3g}", "soft middle")
    _, y = place(0, limit)
    yield stroke((left, y, left + wide, y), "limit")
    x, _ = place(now, 0)
    yield stroke((x, top, x, top + tall), "now")
    yield words(x, top - 4, "now", "soft middle")
    yield words(left + wide / 2, top - 18, rate, "middle")
    for line in lines:
        path = " ".join("{:.1f},{:.1f}".format(*place(x, share)) for x, share in line.points)
        opening = f'<polyline class="line s{names.index(line.name) % 6}" points="{path}">'
        yield f"{opening}<title>{visible(line.name)}</title></polyline>"


def moved(rows: Sequence[tuple[str, float, float, float]], told: str) -> str:
    """Return how a share moves where a rate is halved and doubled, the largest move first.

    Args:
        rows: the rate, the share as it stands, with the rate halved, with it doubled.
        told: what it shows, in words.
    """
    left, right, top = _NAMES, _WIDTH - 20, 30

    def across(value: float) -> float:
        return left + value * (right - left)

    bottom = top + _ROW * len(rows)
    parts = []
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        parts.append(stroke((across(tick), top - 6, across(tick), bottom), "grid"))
        parts.append(words(across(tick), top - 12, f"{tick:.0%}", "soft middle"))
    for number, (rate, now, half, double) in enumerate(rows):
        y = top + _ROW * number + 12
        parts.append(words(left - 34, y + 4, rate, "end"))
        parts.append(
            stroke((across(min(half, double)), y, across(max(half, double)), y), "whisker")
        )
        parts.append(words(across(half) - 4, y + 4, "½", "end" if half <= double else ""))
        parts.append(words(across(double) + 4, y + 4, "2x", "" if half <= double else "end"))
        parts.append(f'<circle class="filled" cx="{across(now):.1f}" cy="{y:.1f}" r="3.2"/>')
    return picture(bottom + 8, parts, told)


def ladders(rows: Sequence[tuple[str, Mapping[str, int]]], told: str) -> str:
    """Return a bar for each name, one part for each rung R0 to R5, as wide as its share."""
    left, right, top = _NAMES, _WIDTH - 90, 8
    parts = []
    for number, (name, rungs) in enumerate(rows):
        y, x, total = top + _ROW * number, float(left), sum(rungs.values())
        parts.append(words(left - 12, y + 15, name, "end"))
        parts.append(words(right + 8, y + 15, f"n={total:,}" if total else NOT_TESTED, "soft"))
        for rung, count in sorted(rungs.items()):
            wide = (right - left) * count / max(total, 1)
            title = f"<title>{visible(rung)}: {count:,} of {total:,}</title>"
            kind = f"r{rung[-1]}" if rung[-1:].isdigit() else "node"
            parts.append(
                f'<rect class="{kind}" x="{x:.1f}" y="{y + 2:.1f}" width="{wide:.1f}" '
                f'height="{_ROW - 6}">{title}</rect>'
            )
            if wide > _LETTER * (len(rung) + 1 + len(str(count))):
                parts.append(words(x + 4, y + 15, f"{rung} {count:,}"))
            x += wide
    return picture(top + _ROW * len(rows) + 6, parts, told)
