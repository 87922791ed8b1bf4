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
        toward = STRICTER[path]
        grid = _GRID[::-1] if toward > 0 else _GRID
        shares = {}
        for value in grid:
            shares[value] = what_if.shares(path, value, keys)
            if progress is not None:
                progress()
        for key in keys:
            found[key][path.partition(".")[2]] = _edge(what_if, path, key, limit=limit, grid=grid)
            if progress is not None:
                progress()
    return found


def _edge(
    what_if: WhatIf, path: str, key: str, *, limit: float, grid: tuple[float, ...]
) -> float | None:
    """Walk from the strictest value to the last one within the limit, then bisect."""
    inside: float | None = None
    outside: float | None = None
    for value in grid:
        if what_if.shares(path, value, (key,))[key] <= limit:
            inside = value
        else:
            outside = value
            break
    if inside is None or outside is None:
        return inside
    while abs(outside - inside) > _PRECISION[path]:
        middle = round((inside + outside) / 2, 5)
        if what_if.shares(path, middle, (key,))[key] <= limit:
            inside = middle
        else:
            outside = middle
    return round(inside, 4)
