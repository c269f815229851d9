"""Where the edges of a profile lie, how steep they are, and how even it is between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtsim.errors import InputError
from rtsim.typing import FloatArray

_INSIDE_MM = 10.0
"""The dose that an edge is half of is read this far inside of its steepest place (or half way to the axis)."""

_LEAST_EVEN_MM = 2.0
"""Half of the part of a field without penumbra that is needed to speak of a tilt."""


@dataclass(frozen=True)
class Edge:
    """One edge of a profile.

    Attributes:
        position_mm: where the dose is half of what it is 10 mm further in (half way to the axis in small fields), so
            that beams without flattening filter have edges too.
        inside: the dose that it is half of.
        penumbra_mm: from 80 to 20 % of that dose.
    """

    position_mm: float
    inside: float
    penumbra_mm: float


def find_edges(position_mm: FloatArray, value: FloatArray, name: str = "profile") -> tuple[Edge, Edge]:
    """The two edges, left (negative) and right.

    Raises:
        InputError: the profile ends inside the field: there is no edge on a side.
    """
    middle = 0.5 * (position_mm[1:] + position_mm[:-1])
    slope = np.diff(value) / np.diff(position_mm)
    left, right = int(np.argmax(slope)), int(np.argmin(slope))
    if middle[left] >= middle[right]:
        raise InputError(f"{name}: the dose rises behind where it falls; this is not the profile of one field")
    return (
        _edge(-position_mm[::-1], value[::-1], -middle[left], -middle[right], name, mirrored=True),
        _edge(position_mm, value, middle[right], middle[left], name, mirrored=False),
    )


def _edge(x: FloatArray, y: FloatArray, steepest: float, other: float, name: str, *, mirrored: bool) -> Edge:
    """The falling edge near ``steepest`` of a profile whose rising edge is near ``other``."""
    center = 0.5 * (steepest + other)
    inner = max(steepest - _INSIDE_MM, 0.5 * (steepest + center))
    inside = float(np.interp(inner, x, y))
    levels = []
    for level in (0.8, 0.5, 0.2):
        below = np.flatnonzero((y < level * inside) & (x > inner))
        if below.size == 0:
            raise InputError(
                f"{name}: the dose does not fall to {100 * level:g} % of that inside the field on the "
                f"{'negative' if mirrored else 'positive'} side; the scan must reach beyond the edge of the field"
            )
        i = int(below[0])
        t = (y[i - 1] - level * inside) / (y[i - 1] - y[i])
        levels.append(float(x[i - 1] + t * (x[i] - x[i - 1])))
    return Edge(-levels[1] if mirrored else levels[1], inside, levels[2] - levels[0])


def center_mm(edges: tuple[Edge, Edge]) -> float:
    """Middle of the field: how far the profile is shifted."""
    return 0.5 * (edges[0].position_mm + edges[1].position_mm)


def width_mm(edges: tuple[Edge, Edge]) -> float:
    """Distance of the edges."""
    return edges[1].position_mm - edges[0].position_mm


def asymmetry_percent(position_mm: FloatArray, value: FloatArray, edges: tuple[Edge, Edge]) -> float:
    """Largest difference of the doses at equal distances to both sides of the middle, in percent of that in the middle.

    Within 80 % of the width and away from the penumbra; 0 for a field that is all penumbra. Positive: higher on the
    positive side.
    """
    middle = center_mm(edges)
    reach = min(0.4 * width_mm(edges), 0.5 * width_mm(edges) - 1.2 * max(e.penumbra_mm for e in edges))
    if reach < _LEAST_EVEN_MM:
        return 0.0
    distance = np.linspace(0.0, reach, 41)[1:]
    smooth = _smoothed(position_mm, value)
    difference = np.interp(middle + distance, position_mm, smooth) - np.interp(middle - distance, position_mm, smooth)
    worst = float(difference[int(np.argmax(np.abs(difference)))])
    return 100.0 * worst / float(np.interp(middle, position_mm, smooth))


def _smoothed(position_mm: FloatArray, value: FloatArray) -> FloatArray:
    """Mean over three neighbors where these lie within 3 mm: single noisy points are no tilt."""
    out = value.copy()
    close = (position_mm[2:] - position_mm[:-2]) <= 6.0
    out[1:-1][close] = ((value[2:] + value[1:-1] + value[:-2]) / 3.0)[close]
    return np.asarray(out)
