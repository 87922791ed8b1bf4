"""Break-even oversight: how strict it must be for a drive to stop paying."""

from collections.abc import Callable, Mapping

from corrigible.audit.what_if import WhatIf

_PRECISION = {"oversight.detection": 0.01, "oversight.approval_rate": 0.01,
              "oversight.stop_rate": 0.001}  # fmt: skip
_GRID = (0.0, 0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)

STRICTER: Mapping[str, int] = {
    "oversight.detection": +1,
    "oversight.stop_rate": -1,
    "oversight.approval_rate": -1,
}
"""The rates of oversight that can be broken even, and the direction in which each is stricter.

A stop that comes seldom is worth less to avoid: the highest stop rate is asked for."""


def break_even(
    what_if: WhatIf,
    paths: tuple[str, ...],
    keys: tuple[str, ...],
    limit: float,
    *,
    progress: Callable[[], None] | None = None,
) -> dict[str, dict[str, float | None]]:
    """Return, for each key and rate, where its share falls to `limit` or below.

    To within 0.01, a stop rate to within 0.001.

    From there on, every stricter value tried stays within the limit (a share need not fall
    evenly).  None: no value tried brings it within.
    """
    found: dict[str, dict[str, float | None]] = {key: {} for key in keys}
    for path in paths:
        edges = _edges(what_if, path, keys, limit)
        for key in keys:
            inside, outside = edges[key]
            if inside is not None and outside is not None:
                inside = _bisected(what_if, path, key, limit=limit, ends=(inside, outside))
            found[key][path.partition(".")[2]] = inside
            if progress is not None:
                progress()
    return found


_Edges = dict[str, tuple[float | None, float | None]]


def _edges(what_if: WhatIf, path: str, keys: tuple[str, ...], limit: float) -> _Edges:
    """Walk each key from the strictest value on: the last one within the limit, the next."""
    edges: _Edges = dict.fromkeys(keys, (None, None))
    walking = list(keys)
    for value in _GRID[::-1] if STRICTER[path] > 0 else _GRID:
        shares = what_if.shares(path, value, walking)
        for key in list(walking):
            if shares[key] <= limit:
                edges[key] = (value, None)
            else:
                edges[key] = (edges[key][0], value)
                walking.remove(key)
        if not walking:
            break
    return edges


def _bisected(
    what_if: WhatIf, path: str, key: str, *, limit: float, ends: tuple[float, float]
) -> float:
    inside, outside = ends
    while abs(outside - inside) > _PRECISION[path]:
        middle = round((inside + outside) / 2, 5)
        if what_if.shares(path, middle, (key,))[key] <= limit:
            inside = middle
        else:
            outside = middle
    return round(inside, 4)
