"""Shapes: spheres, cylinders, boxes, ellipsoids, extrusions and swept sections, joined by ``|``, ``&`` and ``-``.

A shape is a signed distance: negative inside, positive outside, true to first order at the surface. That is what
``rtsim.geometry.coverage`` needs to find the fraction of each voxel that lies inside. Points are (..., 3) in (x, y, z)
LPS mm.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np

from rtsim.errors import GeometryError
from rtsim.typing import AnyFloatArray, FloatArray, Vector3

_FAR_MM = 1.0e6


class Axis(Enum):
    """A patient axis; the value is its column in a point (x, y, z)."""

    X = 0
    Y = 1
    Z = 2


class Shape(ABC):
    """A region of space. ``a | b`` joins, ``a & b`` intersects, ``a - b`` cuts b out of a."""

    @abstractmethod
    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """Signed distance (...,) of points (..., 3): < 0 inside, 0 on the surface, > 0 outside."""

    @abstractmethod
    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """Lower and upper corner of a box, LPS mm, that holds the shape."""

    def contains(self, points_mm: AnyFloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Boolean (...,): True where a point lies inside or on the surface."""
        return np.asarray(self.distance_mm(points_mm) <= 0.0)

    def __or__(self, other: Shape) -> Shape:
        return Union((self, other))

    def __and__(self, other: Shape) -> Shape:
        return Intersection((self, other))

    def __sub__(self, other: Shape) -> Shape:
        return Difference(self, other)

    def moved(self, offset_mm: Vector3) -> Shape:
        """The same shape moved by (x, y, z) mm."""
        return Placed(self, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0), offset_mm)

    def rotated(self, axis: Axis, angle_deg: float) -> Shape:
        """The same shape turned about a patient axis through the origin, right-handed, degrees."""
        c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
        a, b = {Axis.X: (1, 2), Axis.Y: (2, 0), Axis.Z: (0, 1)}[axis]
        matrix = np.eye(3)
        matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = c, -s, s, c
        return Placed(self, tuple(float(v) for v in matrix.ravel()), (0.0, 0.0, 0.0))

    def grown(self, margin_mm: float) -> Shape:
        """The shape whose surface lies ``margin_mm`` further out (in, when negative); true to first order."""
        return Grown(self, margin_mm)


def _positive(owner: str, **values_mm: float) -> None:
    for field, value in values_mm.items():
        if not (math.isfinite(value) and value > 0):
            raise GeometryError(f"{owner}.{field} is {value}; a finite length > 0 mm is needed")


@dataclass(frozen=True)
class Sphere(Shape):
    """A ball."""

    center_mm: Vector3
    radius_mm: float

    def __post_init__(self) -> None:
        _positive("Sphere", radius_mm=self.radius_mm)

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        return np.asarray(np.linalg.norm(np.asarray(points_mm) - np.array(self.center_mm), axis=-1) - self.radius_mm)

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        return _box_around(self.center_mm, (self.radius_mm,) * 3)


@dataclass(frozen=True)
class Ellipsoid(Shape):
    """An ellipsoid along the patient axes.

    distance = k (k - 1) / |grad|, with k = |p / r|: true at the surface to first order.
    """

    center_mm: Vector3
    radii_mm: Vector3

    def __post_init__(self) -> None:
        _positive("Ellipsoid", radii_mm=min(self.radii_mm))

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        radii = np.array(self.radii_mm)
        scaled = (np.asarray(points_mm) - np.array(self.center_mm)) / radii
        k0 = np.sqrt(np.einsum("...i,...i->...", scaled, scaled))
        scaled /= radii
        k1 = np.sqrt(np.einsum("...i,...i->...", scaled, scaled))
        return np.where(k1 > 1e-12, k0 * (k0 - 1.0) / np.maximum(k1, 1e-12), -float(radii.min()))

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        return _box_around(self.center_mm, self.radii_mm)


@dataclass(frozen=True)
class Box(Shape):
    """A box along the patient axes, from corner to corner; ``rounding_mm`` rounds its edges."""

    lower_mm: Vector3
    upper_mm: Vector3
    rounding_mm: float = 0.0

    def __post_init__(self) -> None:
        if not all(u > lo for lo, u in zip(self.lower_mm, self.upper_mm, strict=True)):
            raise GeometryError(
                f"Box from {self.lower_mm} to {self.upper_mm} mm is empty; each upper must exceed its lower"
            )

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        lower, upper = np.array(self.lower_mm), np.array(self.upper_mm)
        q = np.abs(np.asarray(points_mm) - (lower + upper) / 2) - (upper - lower) / 2 + self.rounding_mm
        outside = np.linalg.norm(np.maximum(q, 0.0), axis=-1)
        return np.asarray(outside + np.minimum(q.max(axis=-1), 0.0) - self.rounding_mm)

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        return self.lower_mm, self.upper_mm


@dataclass(frozen=True)
class Cylinder(Shape):
    """A circular cylinder with flat ends, centered on ``center_mm`` and along a patient axis."""

    center_mm: Vector3
    radius_mm: float
    length_mm: float
    axis: Axis = Axis.Z

    def __post_init__(self) -> None:
        _positive("Cylinder", radius_mm=self.radius_mm, length_mm=self.length_mm)

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        p = np.asarray(points_mm) - np.array(self.center_mm)
        a, b = [i for i in range(3) if i != self.axis.value]
        side = np.hypot(p[..., a], p[..., b]) - self.radius_mm
        end = np.abs(p[..., self.axis.value]) - self.length_mm / 2
        return _extruded(side, end)

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        half = [self.radius_mm] * 3
        half[self.axis.value] = self.length_mm / 2
        return _box_around(self.center_mm, (half[0], half[1], half[2]))


@dataclass(frozen=True)
class Extrusion(Shape):
    """A polygon pushed along a patient axis.

    Attributes:
        polygon_mm: vertices (a, b) in the plane across ``axis``: (y, z) for X, (x, z) for Y, (x, y) for Z.
        lower_mm, upper_mm: the ends along ``axis``.
        rounding_mm: radius added all round (the polygon is the skeleton).
    """

    polygon_mm: tuple[tuple[float, float], ...]
    lower_mm: float
    upper_mm: float
    axis: Axis = Axis.Z
    rounding_mm: float = 0.0

    def __post_init__(self) -> None:
        if len(self.polygon_mm) < 3:
            raise GeometryError(f"Extrusion has {len(self.polygon_mm)} vertices; a polygon needs at least three")
        if not self.upper_mm > self.lower_mm:
            raise GeometryError(
                f"Extrusion from {self.lower_mm} to {self.upper_mm} mm is empty; upper_mm must be larger"
            )

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        p = np.asarray(points_mm)
        a, b = [i for i in range(3) if i != self.axis.value]
        side = polygon_distance_mm(p[..., a], p[..., b], self.polygon_mm)
        middle, half = (self.lower_mm + self.upper_mm) / 2, (self.upper_mm - self.lower_mm) / 2
        end = np.abs(p[..., self.axis.value] - middle) - half
        return _extruded(side, end) - self.rounding_mm

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        plane = np.array(self.polygon_mm)
        lower, upper = np.zeros(3), np.zeros(3)
        across = [i for i in range(3) if i != self.axis.value]
        lower[across], upper[across] = plane.min(axis=0), plane.max(axis=0)
        lower[self.axis.value], upper[self.axis.value] = self.lower_mm, self.upper_mm
        return _vector(lower - self.rounding_mm), _vector(upper + self.rounding_mm)


@dataclass(frozen=True)
class Capsule(Shape):
    """A straight tube with round ends, its radius linear from one end to the other; ``z_scale`` > 1 makes it taller."""

    start_mm: Vector3
    end_mm: Vector3
    start_radius_mm: float
    end_radius_mm: float
    z_scale: float = 1.0

    def __post_init__(self) -> None:
        _positive(
            "Capsule", start_radius_mm=self.start_radius_mm, end_radius_mm=self.end_radius_mm, z_scale=self.z_scale
        )

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        shrink = np.array((1.0, 1.0, 1.0 / self.z_scale))
        start, along = np.array(self.start_mm) * shrink, (np.array(self.end_mm) - np.array(self.start_mm)) * shrink
        p = np.asarray(points_mm) * shrink - start
        length2 = max(float(along @ along), 1e-12)
        t = np.clip(p @ along / length2, 0.0, 1.0)
        nearest = np.linalg.norm(p - t[..., None] * along, axis=-1)
        return np.asarray(nearest - (self.start_radius_mm + t * (self.end_radius_mm - self.start_radius_mm)))

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        ends = np.array((self.start_mm, self.end_mm))
        r = max(self.start_radius_mm, self.end_radius_mm) * np.array((1.0, 1.0, self.z_scale))
        return _vector(ends.min(axis=0) - r), _vector(ends.max(axis=0) + r)


@dataclass(frozen=True)
class Section:
    """One axial section of a swept shape: a superellipse |x/a|^n + |y/b|^n <= 1 at height ``z_mm``."""

    z_mm: float
    center_mm: tuple[float, float]
    half_widths_mm: tuple[float, float]


@dataclass(frozen=True)
class Sweep(Shape):
    """A tube through axial sections at rising z, linear between them, with flat ends at the first and last section."""

    sections: tuple[Section, ...]
    exponent: float = 2.0

    def __post_init__(self) -> None:
        heights = [s.z_mm for s in self.sections]
        if len(heights) < 2 or any(b <= a for a, b in pairwise(heights)):
            raise GeometryError("Sweep needs at least two sections with z_mm rising from one to the next")
        if self.exponent < 1.0:
            raise GeometryError(
                f"Sweep.exponent is {self.exponent}; 1 (diamond), 2 (ellipse) or more (box-like) is needed"
            )
        for s in self.sections:
            _positive("Sweep", half_widths_mm=min(s.half_widths_mm))

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        p = np.asarray(points_mm)
        z = p[..., 2]
        table = np.array([(s.z_mm, *s.center_mm, *s.half_widths_mm) for s in self.sections])
        cx, cy, a, b = (np.interp(z, table[:, 0], table[:, i]) for i in range(1, 5))
        side = superellipse_distance_mm(p[..., 0] - cx, p[..., 1] - cy, a, b, self.exponent)
        return np.asarray(np.maximum(side, np.maximum(table[0, 0] - z, z - table[-1, 0])))

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        center = np.array([s.center_mm for s in self.sections])
        half = np.array([s.half_widths_mm for s in self.sections])
        low, high = (center - half).min(axis=0), (center + half).max(axis=0)
        return (
            (float(low[0]), float(low[1]), self.sections[0].z_mm),
            (float(high[0]), float(high[1]), self.sections[-1].z_mm),
        )


@dataclass(frozen=True)
class HalfSpace(Shape):
    """All points on the far side of a plane: (p - point) . normal <= 0. For cutting; it has no bounds of its own."""

    point_mm: Vector3
    normal: Vector3

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        normal = np.array(self.normal) / np.linalg.norm(self.normal)
        return np.asarray((np.asarray(points_mm) - np.array(self.point_mm)) @ normal)

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        return (-_FAR_MM,) * 3, (_FAR_MM,) * 3


@dataclass(frozen=True)
class Union(Shape):
    """All points in any of the shapes. ``blend_mm`` > 0 fills the creases between them, as flesh and bone do."""

    shapes: tuple[Shape, ...]
    blend_mm: float = 0.0

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        out = self.shapes[0].distance_mm(points_mm)
        for shape in self.shapes[1:]:
            other = shape.distance_mm(points_mm)
            if self.blend_mm > 0:
                h = np.maximum(self.blend_mm - np.abs(out - other), 0.0)
                out = np.minimum(out, other) - h * h / (4.0 * self.blend_mm)
            else:
                out = np.minimum(out, other)
        return out

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        boxes = np.array([s.bounds_mm() for s in self.shapes])
        return _vector(boxes[:, 0].min(axis=0) - self.blend_mm / 4), _vector(
            boxes[:, 1].max(axis=0) + self.blend_mm / 4
        )


@dataclass(frozen=True)
class Intersection(Shape):
    """All points in every one of the shapes."""

    shapes: tuple[Shape, ...]

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        out = self.shapes[0].distance_mm(points_mm)
        for shape in self.shapes[1:]:
            out = np.maximum(out, shape.distance_mm(points_mm))
        return out

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        boxes = np.array([s.bounds_mm() for s in self.shapes])
        return _vector(boxes[:, 0].max(axis=0)), _vector(boxes[:, 1].min(axis=0))


@dataclass(frozen=True)
class Difference(Shape):
    """All points of ``base`` that are not in ``cut``."""

    base: Shape
    cut: Shape

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        return np.maximum(self.base.distance_mm(points_mm), -self.cut.distance_mm(points_mm))

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        return self.base.bounds_mm()


@dataclass(frozen=True)
class Grown(Shape):
    """A shape with its surface moved out by ``margin_mm`` (in, when negative)."""

    base: Shape
    margin_mm: float

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        return np.asarray(self.base.distance_mm(points_mm) - self.margin_mm)

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        lower, upper = self.base.bounds_mm()
        return _vector(np.array(lower) - self.margin_mm), _vector(np.array(upper) + self.margin_mm)


@dataclass(frozen=True)
class Placed(Shape):
    """A shape turned by a rotation matrix (row-major, nine numbers) and then moved by ``offset_mm``."""

    base: Shape
    rotation: tuple[float, ...]
    offset_mm: Vector3

    def distance_mm(self, points_mm: AnyFloatArray) -> FloatArray:
        """See Shape."""
        matrix = np.array(self.rotation).reshape(3, 3)
        # p_local = R^T (p - offset); for row vectors that is (p - offset) @ R
        return self.base.distance_mm((np.asarray(points_mm) - np.array(self.offset_mm)) @ matrix)

    def bounds_mm(self) -> tuple[Vector3, Vector3]:
        """See Shape."""
        lower, upper = (np.array(v) for v in self.base.bounds_mm())
        matrix = np.array(self.rotation).reshape(3, 3)
        center, half = matrix @ ((lower + upper) / 2), np.abs(matrix) @ ((upper - lower) / 2)
        return _vector(center - half + np.array(self.offset_mm)), _vector(center + half + np.array(self.offset_mm))


def polygon_distance_mm(
    a_mm: AnyFloatArray, b_mm: AnyFloatArray, polygon_mm: tuple[tuple[float, float], ...]
) -> FloatArray:
    """Signed distance (...,) in the plane of points (a, b) to a closed polygon; < 0 inside (even-odd rule)."""
    squared = np.full(np.shape(a_mm), np.inf)
    inside = np.zeros(np.shape(a_mm), dtype=bool)
    for (a0, b0), (a1, b1) in zip(polygon_mm, polygon_mm[1:] + polygon_mm[:1], strict=True):
        ea, eb = a1 - a0, b1 - b0
        t = np.clip(((a_mm - a0) * ea + (b_mm - b0) * eb) / max(ea * ea + eb * eb, 1e-12), 0.0, 1.0)
        squared = np.minimum(squared, (a_mm - a0 - t * ea) ** 2 + (b_mm - b0 - t * eb) ** 2)
        if b0 != b1:
            inside ^= ((b0 > b_mm) != (b1 > b_mm)) & (a_mm < a0 + (b_mm - b0) * ea / eb)
    return np.asarray(np.where(inside, -1.0, 1.0) * np.sqrt(squared))


def superellipse_distance_mm(
    x_mm: AnyFloatArray,
    y_mm: AnyFloatArray,
    a_mm: AnyFloatArray | float,
    b_mm: AnyFloatArray | float,
    exponent: float = 2.0,
) -> FloatArray:
    """First-order signed distance (...,) to |x/a|^n + |y/b|^n = 1: (k - 1) / |grad k|, k = (..)^(1/n)."""
    u, v = np.abs(x_mm / a_mm), np.abs(y_mm / b_mm)
    if exponent == 2.0:
        k = np.sqrt(u * u + v * v)
        slope = np.sqrt((u / a_mm) ** 2 + (v / b_mm) ** 2) / np.maximum(k, 1e-9)
    else:
        k = (u**exponent + v**exponent) ** (1.0 / exponent)
        safe = np.maximum(k, 1e-9)
        slope = np.sqrt(((u / safe) ** (exponent - 1) / a_mm) ** 2 + ((v / safe) ** (exponent - 1) / b_mm) ** 2)
    return np.asarray((k - 1.0) / np.maximum(slope, 1e-9 + 0.5 / np.maximum(a_mm, b_mm)))


def _extruded(side: FloatArray, end: FloatArray) -> FloatArray:
    outside = np.hypot(np.maximum(side, 0.0), np.maximum(end, 0.0))
    return np.asarray(outside + np.minimum(np.maximum(side, end), 0.0))


def _box_around(center_mm: Vector3, half_mm: Vector3) -> tuple[Vector3, Vector3]:
    c, h = np.array(center_mm, dtype=np.float64), np.array(half_mm, dtype=np.float64)
    return _vector(c - h), _vector(c + h)


def _vector(values: AnyFloatArray) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])
