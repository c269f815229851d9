"""Beam, ControlPoint, Aperture, Beamlets: what is sent at the phantom, in IEC 61217 and DICOM RT terms."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from rtsim.errors import InputError, MachineLimitError
from rtsim.geometry.iec61217 import bld_to_lps, check_angle, source_position_mm
from rtsim.machine.model import Machine, Wedge
from rtsim.typing import AnyFloatArray, FloatArray, Vector3


@dataclass(frozen=True, eq=False, kw_only=True)
class Aperture:
    """One shape of the beam limiting devices, in the isocenter plane.

    Attributes:
        jaws_x_mm, jaws_y_mm: (2,) lower and upper jaw along BLD x and y.
        leaf_pairs_mm: (n, 2) left and right leaf end along BLD x for each leaf pair of the machine's MLC, in the order
            of its ``leaf_edges_mm``; None when the field is shaped by the jaws alone.
    """

    jaws_x_mm: tuple[float, float]
    jaws_y_mm: tuple[float, float]
    leaf_pairs_mm: FloatArray | None = None

    def __post_init__(self) -> None:
        for name, pair in (("jaws_x_mm", self.jaws_x_mm), ("jaws_y_mm", self.jaws_y_mm)):
            if len(pair) != 2 or not all(math.isfinite(v) for v in pair) or pair[1] < pair[0]:
                raise InputError(f"{name} is {pair}; two finite positions, lower <= upper, in mm are needed")
        if self.leaf_pairs_mm is not None:
            leaves = np.array(self.leaf_pairs_mm, dtype=np.float64, order="C")
            if leaves.ndim != 2 or leaves.shape[1] != 2:
                raise InputError(f"leaf_pairs_mm has shape {leaves.shape}; (n leaf pairs, 2) values in mm are needed")
            strange = np.flatnonzero(~np.isfinite(leaves).all(axis=1))
            if strange.size:
                i = int(strange[0])
                raise InputError(
                    f"leaf_pairs_mm of leaf pair {i} is {leaves[i].tolist()}; finite positions in mm are needed "
                    f"({strange.size} pairs have none)"
                )
            crossed = np.flatnonzero(leaves[:, 1] < leaves[:, 0] - 1e-6)
            if crossed.size:
                i = int(crossed[0])
                raise InputError(
                    f"leaf pair {i} crosses: left {leaves[i, 0]:g} mm > right {leaves[i, 1]:g} mm; leaf_pairs_mm need "
                    f"left <= right ({crossed.size} pairs cross)"
                )
            leaves.flags.writeable = False
            object.__setattr__(self, "leaf_pairs_mm", leaves)


@dataclass(frozen=True, eq=False, kw_only=True)
class ControlPoint:
    """The state of the machine when ``cumulative_monitor_units`` of the beam have been given (DICOM Control Point).

    Between two control points everything moves linearly with the monitor units; a step-and-shoot segment is two control
    points of the same aperture.
    """

    cumulative_monitor_units: float
    aperture: Aperture
    gantry_deg: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Beamlets:
    """The elementary fields of a beam: rectangles in the isocenter plane, one per row of the arrays.

    Attributes:
        center_x_mm, center_y_mm: (n,) BLD positions of the centers.
        width_x_mm, width_y_mm: (n,) widths.
    """

    center_x_mm: FloatArray
    center_y_mm: FloatArray
    width_x_mm: FloatArray
    width_y_mm: FloatArray

    def __post_init__(self) -> None:
        for name in ("center_x_mm", "center_y_mm", "width_x_mm", "width_y_mm"):
            array = np.array(getattr(self, name), dtype=np.float64, order="C")
            if array.ndim != 1 or array.shape != np.shape(self.center_x_mm) or not np.isfinite(array).all():
                raise InputError(f"{name} of the beamlets must be a finite array of the same length as center_x_mm")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if (self.width_x_mm <= 0).any() or (self.width_y_mm <= 0).any():
            raise InputError("beamlet widths must be > 0 mm")

    @property
    def count(self) -> int:
        """Number of beamlets."""
        return int(self.center_x_mm.size)


WIDEST_INTERVAL_DEG: Final = 20.0
"""An interval of an arc is computed from its middle angle, and goes the shorter way round."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Beam:
    """A radiation beam.

    A beam is *deliverable* when it has control points. For planning it has ``beamlets``, and after the fluence has been
    optimized also ``beamlet_monitor_units`` (n,): the monitor units for which each beamlet is open.

    Attributes:
        machine: what delivers it.
        isocenter_mm: (x, y, z) LPS mm.
        gantry_deg, couch_deg, collimator_deg: IEC 61217; gantry of an arc: at its first control point.
        wedge: one of the machine's, in the beam for all of it; or None.

    Raises:
        InputError: angles, isocenter or monitor units that cannot be.
        MachineLimitError: jaws, leaves or a wedge that the machine does not have, or not there.
    """

    machine: Machine
    isocenter_mm: Vector3
    gantry_deg: float
    couch_deg: float = 0.0
    collimator_deg: float = 0.0
    name: str = ""
    control_points: tuple[ControlPoint, ...] = ()
    wedge: Wedge | None = None
    beamlets: Beamlets | None = None
    beamlet_monitor_units: FloatArray | None = None

    def __repr__(self) -> str:
        given = f"{len(self.control_points)} control points, {self.monitor_units:.4g} MU" if self.control_points else ""
        planned = "" if self.beamlets is None else f"{self.beamlets.count} beamlets"
        what = ", ".join(t for t in (f"gantry {self.gantry_deg:g} deg", given, planned) if t)
        return f"Beam({self.name!r}, {self.machine.name}, {what})"

    def __post_init__(self) -> None:
        for name in ("gantry_deg", "couch_deg", "collimator_deg"):
            object.__setattr__(self, name, check_angle(name, getattr(self, name)))
        iso = tuple(float(v) for v in self.isocenter_mm)
        if len(iso) != 3 or not all(math.isfinite(v) for v in iso):
            raise InputError(f"isocenter_mm is {self.isocenter_mm}; three finite LPS coordinates in mm are needed")
        object.__setattr__(self, "isocenter_mm", iso)
        self._check_wedge()
        self._check_control_points()
        self._check_beamlets()
        if self.beamlet_monitor_units is not None:
            weights = np.array(self.beamlet_monitor_units, dtype=np.float64)
            if self.beamlets is None or weights.shape != (self.beamlets.count,):
                raise InputError("beamlet_monitor_units needs beamlets and one value for each of them")
            bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
            if bad.size:
                raise InputError(
                    f"beamlet_monitor_units of beamlet {bad[0]} is {weights[bad[0]]:g}; all must be finite and >= 0"
                )
            weights.flags.writeable = False
            object.__setattr__(self, "beamlet_monitor_units", weights)

    def _check_wedge(self) -> None:
        """Refuse a wedge that the machine does not have, or has with another angle or factor."""
        if self.wedge is None:
            return
        given, machine = replace(self.wedge, orientation_deg=0.0), self.machine
        own = {w.name: replace(w, orientation_deg=0.0) for w in machine.wedges}
        if own.get(given.name) == given:
            return
        alike = own.get(given.name)
        has = f"the wedges {', '.join(own)}" if own else "no wedges"
        raise MachineLimitError(
            f"wedge {_of_wedge(given)} of {self.label} is none of {machine.name}, which has "
            f"{has if alike is None else _of_wedge(alike)}. Take the machine's own, machine.wedge(name), or give the "
            "machine this one, machine.with_wedge(wedge)"
        )

    def _check_control_points(self) -> None:
        if not self.control_points:
            return
        meterset = [c.cumulative_monitor_units for c in self.control_points]
        for k, c in enumerate(self.control_points):
            if not math.isfinite(c.cumulative_monitor_units):
                raise InputError(
                    f"cumulative_monitor_units of {self.label}, control point {k}, is "
                    f"{c.cumulative_monitor_units}; a finite number of MU is needed"
                )
            check_angle(f"gantry_deg of control point {k}", c.gantry_deg)
            self._check_limits(c.aperture)
        if len(meterset) < 2 or meterset[0] != 0.0 or any(b < a - 1e-9 for a, b in pairwise(meterset)):
            raise InputError(
                f"cumulative_monitor_units of {self.label} must start at 0 and never fall, in at "
                f"least two control points; given {meterset[:4]}..."
            )
        first = self.control_points[0].gantry_deg
        if abs((self.gantry_deg - first + 180.0) % 360.0 - 180.0) > 1e-6:
            raise InputError(
                f"gantry_deg of {self.label} is {self.gantry_deg:g} degrees, but its first control point is at "
                f"{first:g} degrees; give both the same angle"
            )
        self._check_arc()

    def _check_arc(self) -> None:
        """Refuse intervals that turn so far that their way round, or their middle angle, says too little."""
        for k, (a, b) in enumerate(pairwise(self.control_points)):
            turn = abs((b.gantry_deg - a.gantry_deg + 180.0) % 360.0 - 180.0)
            if turn > WIDEST_INTERVAL_DEG + 1e-6 and b.cumulative_monitor_units > a.cumulative_monitor_units:
                raise InputError(
                    f"{self.label}: the gantry turns from {a.gantry_deg:g} to {b.gantry_deg:g} degrees between "
                    f"control points {k} and {k + 1}; at most {WIDEST_INTERVAL_DEG:g} degrees an interval are allowed. "
                    "Give control points in between"
                )

    def _check_limits(self, aperture: Aperture) -> None:
        """Refuse jaws and leaves beyond their ends, and leaves of another machine (or none where only leaves shape)."""
        machine, beam = self.machine, self.label
        half = machine.max_field_mm / 2
        reach = half if machine.jaws is None else min(half, machine.jaws.limit_mm)
        for name, pair, limit in (
            ("jaws_x_mm", aperture.jaws_x_mm, half if machine.leaves_bound_x else reach),
            ("jaws_y_mm", aperture.jaws_y_mm, reach),
        ):
            if max(map(abs, pair)) > limit + 1e-6:
                raise MachineLimitError(
                    f"{beam}: {name} {pair} mm reach beyond the {2 * limit:g} mm field of {machine.name}; its jaws go "
                    f"from {-limit:g} to {limit:g} mm"
                )
        leaves = aperture.leaf_pairs_mm
        if leaves is None:
            if machine.leaves_bound_x:
                raise MachineLimitError(
                    f"{beam}: leaf_pairs_mm is None, but {machine.name} has no jaws along BLD x; give the positions of "
                    "its leaves"
                )
            return
        pairs = 0 if machine.mlc is None else machine.mlc.leaf_count
        if machine.mlc is None or leaves.shape[0] != pairs:
            raise MachineLimitError(f"{beam}: {leaves.shape[0]} leaf pairs given; {machine.name} has {pairs}")
        farthest, limit = int(np.abs(leaves).max(axis=1).argmax()), machine.mlc.max_position_mm
        if np.abs(leaves[farthest]).max() > limit + 1e-6:
            raise MachineLimitError(
                f"{beam}: leaf pair {farthest} stands at {leaves[farthest, 0]:g} and {leaves[farthest, 1]:g} mm; the "
                f"leaves of {machine.name} go from {-limit:g} to {limit:g} mm"
            )

    def _check_beamlets(self) -> None:
        if self.beamlets is None:
            return
        for axis, limits in (("x", self.machine.field_limit_x_mm), ("y", self.machine.field_limit_y_mm)):
            center, half = getattr(self.beamlets, f"center_{axis}_mm"), getattr(self.beamlets, f"width_{axis}_mm") / 2
            beyond = np.flatnonzero((center - half < limits[0] - 1e-6) | (center + half > limits[1] + 1e-6))
            if beyond.size:
                i = int(beyond[0])
                raise MachineLimitError(
                    f"{self.label}: beamlet {i} spans {center[i] - half[i]:g} to {center[i] + half[i]:g} mm "
                    f"along BLD {axis}; {self.machine.name} opens {limits[0]:g} to {limits[1]:g} mm"
                )

    @classmethod
    def open_field(
        cls,
        machine: Machine,
        size_mm: tuple[float, float] = (100.0, 100.0),
        *,
        gantry_deg: float = 0.0,
        isocenter_mm: Vector3 = (0.0, 0.0, 0.0),
        couch_deg: float = 0.0,
        collimator_deg: float = 0.0,
        monitor_units: float = 100.0,
        wedge: Wedge | None = None,
        name: str = "",
    ) -> Beam:
        """A rectangular field of the jaws, ``size_mm`` = full widths (BLD x, y) in the isocenter plane, centered.

        Where no jaws stop the beam along x, all leaf pairs do.
        """
        check_angle("gantry_deg", gantry_deg)
        if not isinstance(machine, Machine):
            raise InputError(f"machine is {machine!r}; a Machine is needed, such as rt.load_machine('generic_6x')")
        if not isinstance(size_mm, (tuple, list)) or len(size_mm) != 2 or not all(0.0 < w < math.inf for w in size_mm):
            raise InputError(f"size_mm is {size_mm!r}; two widths > 0 mm, BLD x and y, are needed")
        x_mm, y_mm = (-size_mm[0] / 2, size_mm[0] / 2), (-size_mm[1] / 2, size_mm[1] / 2)
        leaves = None
        if machine.leaves_bound_x and machine.mlc is not None:
            leaves = np.tile(x_mm, (machine.mlc.leaf_count, 1))
        aperture = Aperture(jaws_x_mm=x_mm, jaws_y_mm=y_mm, leaf_pairs_mm=leaves)
        return cls(
            machine=machine,
            isocenter_mm=isocenter_mm,
            gantry_deg=gantry_deg,
            couch_deg=couch_deg,
            collimator_deg=collimator_deg,
            wedge=wedge,
            name=name or f"G{gantry_deg:g}",
            control_points=static_control_points(((aperture, monitor_units),), gantry_deg),
        )

    @property
    def label(self) -> str:
        """The beam as messages quote it: by its name, or by its angles when it has none."""
        if self.name:
            return f"beam {self.name!r}"
        couch = f", couch {self.couch_deg:g}" if self.couch_deg else ""
        return f"the beam at gantry {self.gantry_deg:g}{couch} deg"

    @property
    def monitor_units(self) -> float:
        """Monitor units of the whole beam in one fraction; 0 without control points."""
        return self.control_points[-1].cumulative_monitor_units if self.control_points else 0.0

    @property
    def rotation(self) -> FloatArray:
        """(3, 3) whose columns are the BLD axes in LPS at ``gantry_deg``."""
        return bld_to_lps(self.gantry_deg, self.couch_deg, self.collimator_deg)

    @property
    def source_mm(self) -> FloatArray:
        """(3,) LPS mm of the source at ``gantry_deg``."""
        return source_position_mm(self.isocenter_mm, self.gantry_deg, self.couch_deg, self.machine.sad_mm)

    @property
    def is_arc(self) -> bool:
        """True when the gantry moves during the beam."""
        return any(c.gantry_deg != self.control_points[0].gantry_deg for c in self.control_points)

    def segments(self) -> tuple[tuple[Aperture, float], ...]:
        """Static apertures with their own monitor units (the pairs of equal control points of a step-and-shoot beam).

        Raises:
            InputError: leaves or gantry move while the beam is on.
        """
        out = []
        for a, b in pairwise(self.control_points):
            own = b.cumulative_monitor_units - a.cumulative_monitor_units
            if own <= 0:
                continue
            if a.gantry_deg != b.gantry_deg or not same_aperture(a.aperture, b.aperture):
                raise InputError(f"{self.label} moves while it is on; it has no static segments")
            out.append((a.aperture, own))
        return tuple(out)

    def with_segments(self, segments: tuple[tuple[Aperture, float], ...]) -> Beam:
        """The same beam delivered as static segments: (aperture, monitor units) each."""
        return replace(self, control_points=static_control_points(segments, self.gantry_deg))

    def scaled(self, factor: float) -> Beam:
        """The same beam with all monitor units multiplied by ``factor`` >= 0."""
        if not math.isfinite(factor) or factor < 0:
            raise InputError(f"factor is {factor}; monitor units can be scaled by a finite factor >= 0")
        points = tuple(
            replace(c, cumulative_monitor_units=c.cumulative_monitor_units * factor) for c in self.control_points
        )
        weights = None if self.beamlet_monitor_units is None else self.beamlet_monitor_units * factor
        return replace(self, control_points=points, beamlet_monitor_units=weights)


def _of_wedge(wedge: Wedge) -> str:
    kind = "physical" if wedge.physical else "virtual"
    return f"{wedge.name!r} ({kind}, angle_deg {wedge.angle_deg:g}, factor {wedge.factor:g})"


def with_names(beams: Iterable[Beam]) -> tuple[Beam, ...]:
    """The same beams; those without a name get their number and gantry angle, so that messages tell them apart."""
    return tuple(
        beam if beam.name else replace(beam, name=f"number {n}, gantry {beam.gantry_deg:g} deg")
        for n, beam in enumerate(beams, start=1)
    )


def same_aperture(a: Aperture, b: Aperture) -> bool:
    """True when jaws and leaves stand at the same positions."""
    if a is b:
        return True
    if a.jaws_x_mm != b.jaws_x_mm or a.jaws_y_mm != b.jaws_y_mm:
        return False
    if a.leaf_pairs_mm is None or b.leaf_pairs_mm is None:
        return a.leaf_pairs_mm is None and b.leaf_pairs_mm is None
    return bool(np.array_equal(a.leaf_pairs_mm, b.leaf_pairs_mm))


def static_control_points(segments: tuple[tuple[Aperture, float], ...], gantry_deg: float) -> tuple[ControlPoint, ...]:
    """Control points of static segments (aperture, monitor units): two of the same aperture for each.

    Raises:
        InputError: negative or non-finite monitor units.
    """
    points: list[ControlPoint] = []
    total = 0.0
    for aperture, units in segments:
        if not math.isfinite(units) or units < 0:
            raise InputError(f"monitor units are {units}; a finite number >= 0 is needed")
        points.append(ControlPoint(cumulative_monitor_units=total, aperture=aperture, gantry_deg=gantry_deg))
        total += float(units)
        points.append(ControlPoint(cumulative_monitor_units=total, aperture=aperture, gantry_deg=gantry_deg))
    return tuple(points)


def rectangle_coverage(
    edges_lower: AnyFloatArray, edges_upper: AnyFloatArray, lower: float, upper: float
) -> FloatArray:
    """Fraction (n,) of each interval [edges_lower, edges_upper] that lies inside [lower, upper]."""
    lo, hi = np.asarray(edges_lower, dtype=np.float64), np.asarray(edges_upper, dtype=np.float64)
    return np.asarray(np.clip(np.minimum(hi, upper) - np.maximum(lo, lower), 0.0, None) / (hi - lo))
