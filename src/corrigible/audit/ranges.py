"""Rates that are ranges: which of them the world reads, and a small designed sample of points."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from corrigible.audit.setting import DESIGN
from corrigible.deployment.rates import Span
from corrigible.deployment.records import Deployment
from corrigible.world.modes import Structure, structure_of

_LEVELS = 8
_CANDIDATES = 64
_FULL_GRID = 2  # up to this many ranges, every corner is a point


@dataclass(frozen=True)
class Design:
    """`paths`: the ranges that the world reads.  `points`: exact rates, one mapping a point."""

    paths: tuple[str, ...]
    points: tuple[dict[str, float], ...]


def read_rates(deployment: Deployment, structure: Structure) -> dict[str, Span]:
    """Return the rates on which the world of a deployment hangs, by path."""
    rates = deployment.rates()
    paths = ["agent.horizon"]
    for mode in structure.modes:
        paths += mode.rate_paths
    paths += [f"assets.{name}.drift" for name in deployment.of_kind("task")]
    variables = {variable.name for variable in structure.variables}
    paths += [f"assets.{n}.wear" for n in deployment.of_kind("bystander") if n in variables]
    paths += ["oversight.stop_rate", "oversight.correction_rate"]
    if any(mode.outside for mode in structure.modes):
        paths.append("oversight.detection")
    if any(mode.verdict == "approve" for mode in structure.modes):
        paths.append("oversight.approval_rate")
    return {path: rates[path] for path in dict.fromkeys(paths)}


def design(
    deployment: Deployment,
    seed: int,
    weights: Mapping[str, Mapping[str, float]] | None = None,
) -> Design:
    """Return the points at which to audit: one where nothing is a range, else 3 to 9.

    Up to two ranges: their corners and the middle.  More: eight evenly spaced levels of each,
    as a Latin hypercube (the best spread of 64 seeded draws), and the middle.  A horizon is
    spaced by ratio.  Ranges that the world does not read stand at their middle.  `weights`: as
    `structure_of` takes them; a rule that reads them may make the world read one rate more.
    """
    middle = {path: span.middle for path, span in deployment.rates().items() if not span.exact}
    read = read_rates(deployment, structure_of(deployment, weights))
    spans = {path: span for path, span in read.items() if not span.exact}
    if not spans:
        return Design((), (middle,))
    shares = _shares(len(spans), np.random.default_rng([seed, DESIGN]))
    points = tuple(
        middle | {path: _at(path, spans[path], s) for path, s in zip(spans, row, strict=True)}
        for row in shares
    )
    return Design(tuple(spans), points)


def _at(path: str, span: Span, share: float) -> float:
    if path == "agent.horizon":
        return float(span.low * (span.high / span.low) ** share)
    return float(span.low + share * (span.high - span.low))


def _shares(count: int, rng: np.random.Generator) -> np.ndarray:
    """Return points in the unit cube `[points, count]`, the middle last."""
    middle = np.full((1, count), 0.5)
    if count <= _FULL_GRID:
        corners = np.array(np.meshgrid(*[[0.0, 1.0]] * count)).reshape(count, -1).T
        return np.vstack([corners, middle])
    best, spread = np.zeros((_LEVELS, count)), -1.0
    for _ in range(_CANDIDATES):
        columns = [rng.permutation(_LEVELS) for _ in range(count)]
        candidate = np.column_stack(columns) / (_LEVELS - 1)
        gaps = np.linalg.norm(candidate[:, None] - candidate[None], axis=2)
        nearest = gaps[~np.eye(_LEVELS, dtype=bool)].min()
        if nearest > spread:
            best, spread = candidate, float(nearest)
    return np.vstack([best, middle])
