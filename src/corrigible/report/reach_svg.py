"""The reach graph: which tools reach which assets, and which drives that serves."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corrigible.report.charts import picture, stroke, words
from corrigible.report.html import visible

_WIDTH = 1060
_ROW = 30
_TOP = 46
_TOOLS, _ASSETS, _DRIVES = 270, 530, 780  # where a column's texts end, are centred, begin
_HALF = 105  # of an asset's box
_LOOSE = {"allow": 0, "approve": 1, "deny": 2}
_LONGEST = 40  # letters of a name
_Json = Mapping[str, Any]


def reach_svg(acts: Sequence[_Json]) -> str:
    """Return the graph of an audit's acts; those that serve no drive are left out.

    A line from a tool to an asset is drawn by what authority says of the loosest such act.
    Tools that reach the same, in the same way, share one node.
    """
    serving = [act for act in acts if act["drives"]]
    if not serving:
        return picture(40, [words(20, 24, "No tool reaches an act that serves a drive.")], "empty")
    ruled = _ruled(serving)
    assets = list(dict.fromkeys(act["asset"] for act in serving))
    drives = list(dict.fromkeys(drive for act in serving for drive in act["drives"]))
    tools = _together(ruled)
    assets = _near(assets, [(a, t) for t, name in enumerate(tools) for a in ruled[name[0]]])
    serves = [(act["asset"], drive) for act in serving for drive in act["drives"]]
    drives = _near(drives, [(drive, assets.index(asset)) for asset, drive in serves])
    rows = max(len(tools), len(assets), len(drives))
    at: dict[str, Mapping[Any, float]] = {
        "tool": {name: _y(i, len(tools), rows) for i, name in enumerate(tools)},
        "asset": {name: _y(i, len(assets), rows) for i, name in enumerate(assets)},
        "drive": {name: _y(i, len(drives), rows) for i, name in enumerate(drives)},
    }
    parts = [
        words(_TOOLS, 20, "tools", "soft end"),
        words(_ASSETS, 20, "assets", "soft middle"),
        words(_DRIVES, 20, "drives", "soft"),
        *_lines(at, ruled, dict.fromkeys(serves)),
        *_names(at, {act["asset"]: act["kind"] for act in serving}),
        *_legend(_TOP + rows * _ROW + 14),
    ]
    told = f"{len(ruled)} tools reach {len(assets)} assets, which serves {len(drives)} drives"
    return picture(_TOP + rows * _ROW + 30, parts, told)


def _ruled(serving: Iterable[_Json]) -> dict[str, dict[str, str]]:
    """What the loosest rule says, by tool and asset."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for act in serving:
        for tool in act["tools"]:
            said = found[tool].get(act["asset"], act["authority"])
            found[tool][act["asset"]] = min(said, act["authority"], key=_LOOSE.__getitem__)
    return dict(found)


def _together(ruled: Mapping[str, Mapping[str, str]]) -> list[tuple[str, ...]]:
    alike: dict[tuple[tuple[str, str], ...], list[str]] = defaultdict(list)
    for tool, assets in ruled.items():
        alike[tuple(sorted(assets.items()))].append(tool)
    return [tuple(tools) for tools in alike.values()]


def _near(names: Sequence[str], links: Iterable[tuple[str, int]]) -> list[str]:
    """Order names by the mean place of what they are linked to: fewer lines cross."""
    places: dict[str, list[int]] = defaultdict(list)
    for name, place in links:
        places[name].append(place)
    return sorted(names, key=lambda name: (sum(places[name]) / len(places[name]), name))


def _y(place: int, count: int, rows: int) -> float:
    return _TOP + (place + 0.5) * _ROW * rows / count


def _lines(
    at: Mapping[str, Mapping[Any, float]],
    ruled: Mapping[str, Mapping[str, str]],
    serves: Iterable[tuple[str, str]],
) -> Iterable[str]:
    for tools, y in at["tool"].items():
        for asset, verdict in ruled[tools[0]].items():
            ends = (_TOOLS + 8, y, _ASSETS - _HALF, at["asset"][asset])
            yield _bent(ends, verdict)
    for asset, drive in serves:
        ends = (_ASSETS + _HALF, at["asset"][asset], _DRIVES - 8, at["drive"][drive])
        yield _bent(ends, "serves")


def _bent(ends: tuple[float, float, float, float], kind: str) -> str:
    x1, y1, x2, y2 = ends
    middle = (x1 + x2) / 2
    path = f"M{x1:.1f} {y1:.1f}C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return f'<path class="line {kind}" d="{path}"/>'


def _names(at: Mapping[str, Mapping[Any, float]], kinds: Mapping[str, str]) -> Iterable[str]:
    for tools, y in at["tool"].items():
        more = f" and {len(tools) - 1} more" if len(tools) > 1 else ""
        yield _named((_TOOLS, y), tools[0], more, kind="end", whole=", ".join(tools))
    for asset, y in at["asset"].items():
        yield (
            f'<rect class="node" x="{_ASSETS - _HALF}" y="{y - 12:.1f}" width="{2 * _HALF}" '
            'height="24" rx="5"/>'
        )
        yield _named((_ASSETS, y), asset, "", kind="middle", whole=f"{asset}: {kinds[asset]}")
    for drive, y in at["drive"].items():
        yield _named((_DRIVES, y), drive, "", kind="", whole=drive)


def _named(place: tuple[float, float], name: str, more: str, *, kind: str, whole: str) -> str:
    x, y = place
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    own = f' class="{kind}"' if kind else ""
    title = f"<title>{visible(whole)}</title>"
    return f'<text x="{x:.1f}" y="{y + 4:.1f}"{own}>{title}{visible(short + more)}</text>'


def _legend(y: float) -> Iterable[str]:
    for number, (kind, text) in enumerate(
        (("allow", "allowed"), ("approve", "asks first"), ("deny", "denied, or no rule"))
    ):
        x = 60.0 + 220 * number
        yield stroke((x, y - 4, x + 34, y - 4), f"line {kind}")
        yield words(x + 42, y, text, "soft")
