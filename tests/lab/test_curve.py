"""A curve as a picture: well formed, self-contained, with everything that was measured in it."""

import xml.etree.ElementTree as ET

import pytest

from corrigible.errors import WorldError
from corrigible.evidence import Estimate, not_measured
from corrigible.lab.curve import curve_svg


def estimate(value):
    return Estimate(value, value - 0.1, value + 0.1, 100, "normal 95 %")


def test_a_curve_is_one_svg_that_needs_nothing_else():
    points = [(0.0, estimate(-0.5)), (0.5, estimate(0.2)), (1.0, estimate(1.0))]
    svg = curve_svg(points, across="a & b", up="<c>", crossing=estimate(0.3))
    root = ET.fromstring(svg)  # noqa: S314 - our own text
    assert root.find("{http://www.w3.org/2000/svg}title").text == "<c> by a & b"
    assert svg.count('class="dot"') == len(points)
    assert "0 at 0.300 (0.200 to 0.400)" in svg
    assert "prefers-color-scheme:dark" in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_a_curve_without_a_crossing_names_none():
    svg = curve_svg([(0, estimate(1)), (1, estimate(2))], across="x", up="y",
                    crossing=not_measured())  # fmt: skip
    assert "0 at" not in svg


@pytest.mark.parametrize(
    "points", [[], [(0, estimate(1))], [(0, estimate(1)), (1, not_measured())]]
)
def test_what_was_not_measured_is_not_drawn(points):
    with pytest.raises(WorldError, match="two points or more, all measured"):
        curve_svg(points, across="x", up="y")
