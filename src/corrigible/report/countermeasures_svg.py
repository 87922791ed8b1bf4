"""The frontier as a picture: task value kept against the chance of acting on a drive, as SVG.

Written by hand, so that it reads on a light screen, on a dark one and on paper: colours come from
a style sheet inside the file, and every mark has its own shape too.
"""

from collections.abc import Iterable
from html import escape

from corrigible.audit.countermeasure_records import Countermeasures, Tried
from corrigible.audit.verdict import percent
from corrigible.evidence import Estimate

_WIDTH, _HEIGHT = 760, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 24, 64, 92
_TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_MOST_LABELS = 14
_SHORT = 44  # letters of a name at most
_LETTER = 6.2  # pixels, about
_PLACES = ((9, 4), (-9, 4), (7, 17), (-7, 17), (7, -10), (-7, -10))  # where a name may stand

_Box = tuple[float, float, float, float]  # left, top, right, bottom

_SHAPES = {
    "reference": ("optimal, and random", "star"),
    "training": ("trained so", "circle"),
    "training, acts named": ("trained so, acts named", "square"),
    "pair": ("two at once", "diamond"),
    "permission": ("permissions", "triangle"),
}

_STYLE = """
  svg { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --line: #d0d7de; --back: #fff;
        --a: #57606a; --b: #0a5fb4; --c: #1a7f37; --d: #8250df; --e: #bc4c00; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9aa4af; --line: #3a424c; --back: #0d1117;
          --a: #b1bac4; --b: #6cb6ff; --c: #57d364; --d: #c6a5ff; --e: #ffa657; }
  }
  @media print { svg { --ink: #000; --soft: #333; --line: #999; --back: #fff;
        --a: #000; --b: #000; --c: #000; --d: #000; --e: #000; } }
  .back { fill: var(--back); } .grid { stroke: var(--line); stroke-width: 1; }
  .limit { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 5 4; }
  .span { stroke: var(--soft); stroke-width: 1; opacity: .45; }
  .frontier { fill: none; stroke: var(--ink); stroke-width: 1.5; opacity: .6; }
  text { font: 12px system-ui, sans-serif; fill: var(--ink); }
  .name { paint-order: stroke; stroke: var(--back); stroke-width: 3px; font-size: 11px; }
  .soft { fill: var(--soft); } .title { font-size: 15px; font-weight: 600; }
  .reference { fill: var(--a); } .training { fill: none; stroke: var(--b); stroke-width: 1.8; }
  .named { fill: var(--c); } .pair { fill: var(--d); } .permission { fill: var(--e); }
""".strip()

_CLASSES = {"training, acts named": "named"}
_OPENING = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
    f'aria-labelledby="title desc" width="{_WIDTH}" height="{_HEIGHT}">'
)


def countermeasures_svg(found: Countermeasures) -> str:
    """Return the picture: one mark a countermeasure, its intervals, and the frontier as a line.

    Up: more of the task value kept; left: less of the drives.
    """
    marked = [t for t in found.tried if t.kept.measured and t.joint.measured]
    title = f"{found.deployment}: task value kept against acting on a drive"
    parts = [
        _OPENING,
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(_described(found))}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="back" width="{_WIDTH}" height="{_HEIGHT}"/>',
        _text(_LEFT, 24, title, "title"),
        _text(_LEFT, 44, f"{found.goals} goals, {found.steps} steps a run; lines: 95 % intervals",
              "soft"),
        *_axes(found),
        *_line(marked),
        *(part for each in marked for part in _mark(each)),
        *_labels(marked),
        *_legend(),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _described(found: Countermeasures) -> str:
    best = [f"{t.words}: {_said(t.kept)} kept, {_said(t.joint)} of runs" for t in found.tried
            if t.frontier]  # fmt: skip
    return "On the frontier: " + "; ".join(best) + "."


def _x(chance: float) -> float:
    return _LEFT + chance * (_WIDTH - _LEFT - _RIGHT)


def _y(kept: float) -> float:
    return _HEIGHT - _BOTTOM - min(max(kept, 0.0), 1.1) / 1.1 * (_HEIGHT - _TOP - _BOTTOM)


def _axes(found: Countermeasures) -> Iterable[str]:
    for tick in _TICKS:
        x, y = _x(tick), _y(tick)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(1.1):.1f}" y2="{_y(0):.1f}"/>'
        yield f'<line class="grid" x1="{_x(0):.1f}" x2="{_x(1):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(x, _y(0) + 18, f"{tick:.0%}", "soft", anchor="middle")
        yield _text(_LEFT - 8, y + 4, f"{tick:.0%}", "soft", anchor="end")
    x, y = _x(found.limit), _y(found.useful_from)
    yield f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{_y(1.1):.1f}" y2="{_y(0):.1f}"/>'
    yield f'<line class="limit" x1="{_x(0):.1f}" x2="{_x(1):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield _text(_x(0.5), _y(0) + 36, "chance of acting on a drive in one run", anchor="middle")
    middle = _y(0.55)
    yield (
        f'<text x="16" y="{middle:.1f}" text-anchor="middle" '
        f'transform="rotate(-90 16 {middle:.1f})">task value kept</text>'
    )


def _line(marked: list[Tried]) -> Iterable[str]:
    points = sorted(
        (each.joint.value or 0.0, each.kept.value or 0.0) for each in marked if each.frontier
    )
    if len(points) > 1:
        path = " ".join(f"{_x(chance):.1f},{_y(kept):.1f}" for chance, kept in points)
        yield f'<polyline class="frontier" points="{path}"/>'


def _mark(each: Tried) -> Iterable[str]:
    x, y = _x(each.joint.value or 0.0), _y(each.kept.value or 0.0)
    low, high = _x(max(each.joint.at_least, 0.0)), _x(min(each.joint.at_most, 1.0))
    under, over = _y(each.kept.at_least), _y(each.kept.at_most)
    yield f'<line class="span" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<line class="span" x1="{x:.1f}" x2="{x:.1f}" y1="{under:.1f}" y2="{over:.1f}"/>'
    told = f"{each.words}: keeps {_said(each.kept)}, acts on a drive in {_said(each.joint)} of runs"
    yield _shape(each.side, x, y, told)


def _shape(side: str, x: float, y: float, told: str = "") -> str:
    name, kind = _CLASSES.get(side, side), _SHAPES[side][1]
    title = f"<title>{escape(told)}</title>" if told else ""
    if kind == "circle":
        return f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{title}</circle>'
    corners = {
        "square": ((-4, -4), (4, -4), (4, 4), (-4, 4)),
        "diamond": ((0, -6), (6, 0), (0, 6), (-6, 0)),
        "triangle": ((0, -6), (5.5, 4.5), (-5.5, 4.5)),
        "star": ((0, -7), (2, -2), (7, 0), (2, 2), (0, 7), (-2, 2), (-7, 0), (-2, -2)),
    }[kind]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="{name}" points="{points}">{title}</polygon>'


def _labels(marked: list[Tried]) -> Iterable[str]:
    """Names beside marks, as many as find a place that no mark and no other name has."""
    points = [(_x(each.joint.value or 0.0), _y(each.kept.value or 0.0)) for each in marked]
    ordered = sorted(
        zip(marked, points, strict=True),
        key=lambda pair: (pair[0].side != "reference", pair[0].side == "pair", -pair[1][1]),
    )
    taken: list[_Box] = []
    for each, (x, y) in ordered:
        words = each.words.partition(" (")[0]
        words = words if len(words) <= _SHORT else words[: _SHORT - 1] + "…"
        width = _LETTER * len(words)
        for dx, dy in _PLACES:
            left = x + dx if dx > 0 else x + dx - width
            box = (left, y + dy - 10, left + width, y + dy + 3)
            inside = box[0] > _LEFT and box[2] < _WIDTH - _RIGHT and box[3] < _y(0)
            if inside and not _covered(box, points) and not any(_meet(box, t) for t in taken):
                taken.append(box)
                yield _text(x + dx, y + dy, words, "name", anchor="start" if dx > 0 else "end")
                break
        if len(taken) >= _MOST_LABELS:
            return


def _covered(box: _Box, points: list[tuple[float, float]]) -> bool:
    room = 5.0
    return any(
        box[0] - room < x < box[2] + room and box[1] - room < y < box[3] + room for x, y in points
    )


def _meet(one: _Box, other: _Box) -> bool:
    across = one[0] < other[2] and other[0] < one[2]
    return across and one[1] < other[3] and other[1] < one[3]


def _legend() -> Iterable[str]:
    x, y = float(_LEFT), _HEIGHT - 22
    for side, (words, _) in _SHAPES.items():
        yield _shape(side, x, y - 4)
        yield _text(x + 11, y, words, "soft")
        x += 26 + 6.1 * len(words)


def _text(x: float, y: float, words: str, name: str = "", *, anchor: str = "start") -> str:
    own = f' class="{name}"' if name else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{own}>{escape(words)}</text>'


def _said(estimate: Estimate) -> str:
    return "an unknown share" if estimate.value is None else percent(estimate.value)
