"""A curve with its intervals as one self-contained SVG, readable on light, on dark and in print."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from corrigible.errors import WorldError
from corrigible.evidence import Estimate
from corrigible.lab.joint_power import Sweep

WIDE, HIGH, EDGE = 560, 320, 48
_STYLE = (
    "svg{color-scheme:light dark}"
    "text{fill:#1f2328;font:12px system-ui,sans-serif}"
    ".axis{stroke:#57606a;fill:none}.zero{stroke:#57606a;stroke-dasharray:4 3}"
    ".line{stroke:#0969da;fill:none;stroke-width:2}.band{fill:#0969da;fill-opacity:.2}"
    ".dot{fill:#0969da}"
    "@media (prefers-color-scheme:dark){text{fill:#e6edf3}.axis,.zero{stroke:#8b949e}"
    ".line{stroke:#58a6ff}.band,.dot{fill:#58a6ff}}"
    "@media print{text{fill:#000}.line{stroke:#000}.band{fill:#888}.dot{fill:#000}}"
)


def curve_svg(
    points: Sequence[tuple[float, Estimate]],
    *,
    across: str,
    up: str,
    crossing: Estimate | None = None,
) -> str:
    """A line through estimates, its 95 % band, a line at 0, and where that is crossed.

    Args:
        points: from left to right, at least two, each measured.
        across: what the horizontal axis is.
        up: what the vertical axis is.
        crossing: written under the title where it was measured.

    Raises:
        WorldError: there are fewer than two points, or one was not measured.
    """
    measured = [(x, e.low, e.value, e.high) for x, e in points if e.measured]
    if len(measured) < 2 or len(measured) < len(points):  # noqa: PLR2004 - a line has two ends
        raise WorldError(
            f"a curve needs two points or more, all measured, got {len(measured)} of {len(points)}"
        )
    kept = [(x, *(float(v) for v in rest if v is not None)) for x, *rest in measured]
    left, right = kept[0][0], kept[-1][0]
    least, most = min(0.0, *(p[1] for p in kept)), max(0.0, *(p[3] for p in kept))

    def at(x: float, y: float) -> str:
        over = EDGE + (x - left) / (right - left or 1.0) * (WIDE - 2 * EDGE)
        down = HIGH - EDGE - (y - least) / (most - least or 1.0) * (HIGH - 2 * EDGE)
        return f"{over:.1f},{down:.1f}"

    band = [at(x, low) for x, low, _, _ in kept] + [at(x, high) for x, _, _, high in kept[::-1]]
    line = [at(x, value) for x, _, value, _ in kept]
    zero = at(left, 0.0), at(right, 0.0)
    title = f"{up} by {across}"
    dots = []
    for point in line:
        x, _, y = point.partition(",")
        dots.append(f'<circle class="dot" cx="{x}" cy="{y}" r="2.5"/>')
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {HIGH}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<polygon class="band" points="{" ".join(band)}"/>',
        f'<polyline class="zero" points="{" ".join(zero)}"/>',
        f'<polyline class="line" points="{" ".join(line)}"/>',
        *dots,
        *_labels(((left, right), (least, most)), (across, up), _crossed(crossing)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def alignment_svg(sweep: Sweep) -> str:
    """The alignment of two agents by the correlation of their rewards, and where it is 0."""
    return curve_svg(
        [(each.correlation, each.alignment) for each in sweep.each],
        across="correlation of rewards",
        up="alignment of POWER",
        crossing=sweep.crossing,
    )


def _crossed(crossing: Estimate | None) -> str:
    if crossing is None or crossing.value is None:
        return ""
    return f"0 at {crossing.value:.3f} ({crossing.low:.3f} to {crossing.high:.3f})"


def _labels(
    spans: tuple[tuple[float, float], tuple[float, float]], names: tuple[str, str], note: str
) -> list[str]:
    (left, right), (least, most) = spans
    bottom = HIGH - EDGE
    frame = f"{EDGE},{EDGE} {EDGE},{bottom} {WIDE - EDGE},{bottom}"
    return [
        f'<polyline class="axis" points="{frame}"/>',
        f'<text x="{EDGE}" y="{EDGE - 26}">{escape(names[1])}</text>',
        f'<text x="{EDGE}" y="{EDGE - 10}">{escape(note)}</text>',
        f'<text x="{WIDE - EDGE}" y="{HIGH - 12}" text-anchor="end">{escape(names[0])}</text>',
        f'<text x="{EDGE}" y="{bottom + 16}" text-anchor="middle">{left:g}</text>',
        f'<text x="{WIDE - EDGE}" y="{bottom + 16}" text-anchor="middle">{right:g}</text>',
        f'<text x="{EDGE - 4}" y="{bottom}" text-anchor="end">{least:.2f}</text>',
        f'<text x="{EDGE - 4}" y="{EDGE + 4}" text-anchor="end">{most:.2f}</text>',
    ]
